//! What Meta told of an integration's business account and numbers: reviews, restrictions, templates, quality.

use actix_web::web;
use serde::Serialize;
use utoipa::ToSchema;

use super::{by_id, missing};
use crate::api::Parts;
use crate::api::answer::{Answer, Listing, Page, Time};
use crate::api::guard::Reader;
use crate::ids::AccountEventId;
use crate::store::account_events::AccountEvent;

/// Something Meta told.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountEventView {
    id: AccountEventId,
    /// Meta's webhook field, e.g. `account_update`.
    field: String,
    /// What happened, in Meta's words, e.g. `DISABLED_UPDATE`.
    event: String,
    /// `info`, `warning` or `critical`.
    severity: String,
    /// What more Meta said.
    detail: Option<String>,
    /// What the integrations became by it: `inactive`, `restricted`, `pending`.
    action: Option<String>,
    /// By Meta's clock.
    at: Time,
}

/// What Meta told of the integration's WABA and its numbers, newest first.
#[utoipa::path(get, path = "/api/v1/whatsapp/integration/{id}/events", tag = "integrations",
    params(("id" = String, Path), Page), responses((status = 200, body = Listing<AccountEventView>)))]
pub async fn events(
    caller: Reader,
    parts: web::Data<Parts>,
    id: web::Path<String>,
    page: web::Query<Page>,
) -> Answer {
    let account = by_id(&caller, &parts, &id).await?.ok_or_else(missing)?;
    let slice = page.slice::<i64>()?;
    let (tenant, before) = (caller.tenant.as_str(), slice.after.unwrap_or(i64::MAX));
    let rows =
        parts.store.account_events(tenant, &account.business_account_id, before, slice.fetch()).await?;
    slice.answer(rows, |row| row.id, view)
}

fn view(row: AccountEvent) -> AccountEventView {
    AccountEventView {
        id: AccountEventId(row.id),
        field: row.field,
        event: row.event,
        severity: row.severity,
        detail: row.detail,
        action: row.action,
        at: Time(row.at),
    }
}
