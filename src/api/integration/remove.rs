//! Taking a number from a chatbot.

use actix_web::web;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{IntegrationView, Which, by_id, meant, missing, view};
use crate::api::Parts;
use crate::api::answer::{self, Answer, Success};
use crate::api::guard::{Caller, Manager};
use crate::ids::AccountId;
use crate::store::accounts::Account;

/// What else is to be undone.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Undo {
    /// Whether Meta is told to send this business's webhooks here no longer, unless another of our numbers needs them.
    /// False unless given.
    #[serde(default)]
    unsubscribe: bool,
}

/// Takes a number from a chatbot: it stops routing at once. Everything said stays readable, and the same pair may
/// come back.
#[utoipa::path(delete, path = "/api/v1/whatsapp/integration", tag = "integrations", params(Which, Undo),
    responses((status = 200, body = Success<IntegrationView>)))]
pub async fn remove(
    caller: Manager,
    parts: web::Data<Parts>,
    which: web::Query<Which>,
    undo: web::Query<Undo>,
) -> Answer {
    let account = meant(&caller, &parts, &which).await?.ok_or_else(missing)?;
    put_away(&caller, &parts, account, undo.unsubscribe).await
}

/// The same, by id.
#[utoipa::path(delete, path = "/api/v1/whatsapp/integration/{id}", tag = "integrations",
    params(("id" = String, Path), Undo), responses((status = 200, body = Success<IntegrationView>)))]
pub async fn remove_one(
    caller: Manager,
    parts: web::Data<Parts>,
    id: web::Path<String>,
    undo: web::Query<Undo>,
) -> Answer {
    let account = by_id(&caller, &parts, &id).await?.ok_or_else(missing)?;
    put_away(&caller, &parts, account, undo.unsubscribe).await
}

async fn put_away(caller: &Caller, parts: &Parts, mut account: Account, unsubscribe: bool) -> Answer {
    let now = parts.clock.now_ms();
    account.deleted_at = Some(now);
    account.updated_at = now;
    let target = AccountId(account.id).to_string();
    parts.store.save_account(&account, None, None, &caller.audit("integration.delete", &target, now)).await?;
    parts.store.free_number(&account.phone_number_id).await?;
    parts.routing.changed(&account.phone_number_id).await;
    let message = match unsubscribe {
        false => "Integration deleted".to_owned(),
        true => format!("Integration deleted; {}", take_off(parts, &account).await?),
    };
    answer::ok(message, view(parts, account))
}

/// What became of the subscription. Meta's refusal changes nothing here: the number is gone all the same.
async fn take_off(parts: &Parts, account: &Account) -> Result<String, crate::store::StoreError> {
    let waba = account.business_account_id.as_str();
    if !parts.store.accounts_of_business(waba).await?.is_empty() {
        return Ok("another number of this business account still needs its webhooks".to_owned());
    }
    let credentials = parts.onboarding.credentials(account)?;
    Ok(match parts.onboarding.graph.unsubscribe(waba, &credentials).await {
        Ok(()) => "its webhooks are switched off at Meta".to_owned(),
        Err(failure) => format!("its webhooks could not be switched off at Meta: {failure}"),
    })
}
