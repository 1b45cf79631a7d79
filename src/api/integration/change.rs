//! Changing an integration: new secrets, another mode, on and off.

use actix_web::web;
use secrecy::ExposeSecret;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    IntegrationView, Mode, Which, business_account_id, by_id, callback_url, display_phone_number, lost_race,
    meant, missing, one_primary, unusable, unused, verify_token, view,
};
use crate::api::Parts;
use crate::api::answer::{self, Answer, Success};
use crate::api::body::{Body, Field, Fields, any, secret};
use crate::api::guard::{Caller, Manager};
use crate::api::problem::{ApiError, Code};
use crate::ids::AccountId;
use crate::onboarding::{Onboarding, Report, Verdict};
use crate::routing::{VERIFY_TOKEN, sealed_place};
use crate::store::accounts::Account;

/// Whether an integration is to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// It is.
    Active,
    /// It is not: what arrives is kept, nothing is answered.
    Inactive,
}

/// What changes about an integration: absent fields stay.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IntegrationChange {
    /// A new token; what waits for it is sent.
    #[serde(default)]
    #[schema(value_type = String)]
    access_token: Field<String>,
    #[serde(default)]
    #[schema(value_type = String)]
    verify_token: Field<String>,
    #[serde(default)]
    #[schema(value_type = String)]
    business_account_id: Field<String>,
    /// Null: the server's own.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    webhook_url: Field<String>,
    /// A new secret; the one it replaces is accepted until the next change. Null: the platform's serves.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    app_secret: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    display_phone_number: Field<String>,
    #[serde(default)]
    #[schema(value_type = Mode)]
    mode: Field<Mode>,
    #[serde(default)]
    #[schema(value_type = Wanted)]
    status: Field<Wanted>,
}

impl IntegrationChange {
    fn is_empty(&self) -> bool {
        let Self { access_token, verify_token, business_account_id, webhook_url, app_secret, .. } = self;
        let texts = [access_token, verify_token, business_account_id, webhook_url, app_secret];
        let more = self.display_phone_number.is_there() || self.mode.is_there() || self.status.is_there();
        !(more || texts.iter().any(|field| field.is_there()))
    }
}

/// Changes an integration (merge patch). New tokens and accounts are checked with Graph first.
#[utoipa::path(patch, path = "/api/v1/whatsapp/integration", tag = "integrations", params(Which),
    request_body = IntegrationChange, responses((status = 200, body = Success<IntegrationView>)))]
pub async fn change(
    caller: Manager,
    parts: web::Data<Parts>,
    which: web::Query<Which>,
    body: Body,
) -> Answer {
    let account = meant(&caller, &parts, &which).await?.ok_or_else(missing)?;
    apply(&caller, &parts, account, body.read()?).await
}

/// The same, by id.
#[utoipa::path(patch, path = "/api/v1/whatsapp/integration/{id}", tag = "integrations", params(("id" = String, Path)),
    request_body = IntegrationChange, responses((status = 200, body = Success<IntegrationView>)))]
pub async fn change_one(
    caller: Manager,
    parts: web::Data<Parts>,
    id: web::Path<String>,
    body: Body,
) -> Answer {
    let account = by_id(&caller, &parts, &id).await?.ok_or_else(missing)?;
    apply(&caller, &parts, account, body.read()?).await
}

async fn apply(caller: &Caller, parts: &Parts, before: Account, change: IntegrationChange) -> Answer {
    if change.is_empty() {
        return Err(ApiError::new(Code::Invalid, "Nothing to change was given."));
    }
    let mut after = before.clone();
    let mut fields = Fields::default();
    let token = fields.given("accessToken", change.access_token, secret(1));
    let verify_token = fields.given("verifyToken", change.verify_token, verify_token);
    let waba = fields.given("businessAccountId", change.business_account_id, business_account_id);
    let webhook_url = fields.optional("webhookUrl", change.webhook_url, callback_url);
    let app_secret = fields.optional("appSecret", change.app_secret, secret(8));
    let shown = fields.optional("displayPhoneNumber", change.display_phone_number, display_phone_number);
    let mode = fields.given("mode", change.mode, any);
    let status = fields.given("status", change.status, any);
    unused(parts, &mut fields, verify_token.as_ref(), before.id).await?;
    fields.done()?;

    let seal = |value: &str, column| parts.ring.seal(value, &sealed_place(&before, column));
    if let Some(token) = &token {
        after.access_token = seal(token, "access_token");
    }
    if let Some(token) = &verify_token {
        after.verify_token = seal(token, "verify_token");
        after.verify_token_hash = parts.ring.keyed_hash(VERIFY_TOKEN, token);
    }
    if let Some(secret) = app_secret {
        // Meta signs with the old one for a while; it is sealed anew, for its new column.
        after.previous_app_secret = match (&before.app_secret, &secret) {
            (Some(old), Some(_)) => {
                let old = parts.ring.open(old, &sealed_place(&before, "app_secret")).map_err(unusable)?;
                Some(seal(old.expose_secret(), "previous_app_secret"))
            }
            _ => None,
        };
        after.app_secret = secret.map(|secret| seal(&secret, "app_secret"));
    }
    let moved = waba.as_ref().is_some_and(|waba| *waba != before.business_account_id);
    after.business_account_id = waba.unwrap_or(after.business_account_id);
    after.webhook_url = webhook_url.unwrap_or(after.webhook_url);
    after.display_phone_number = shown.unwrap_or(after.display_phone_number);
    after.mode = mode.map_or(after.mode, |mode| mode.as_str().to_owned());
    one_primary(parts, &after).await?;

    let now = parts.clock.now_ms();
    let on = status.map_or(before.status != "inactive", |wanted| wanted == Wanted::Active);
    let waking = on && !["active", "restricted"].contains(&before.status.as_str());
    let report = match token.is_some() || moved || (waking && status.is_some()) {
        true => Some(parts.onboarding.ask(&after, &parts.onboarding.credentials(&after)?).await),
        false => None,
    };
    if let Some(report) = &report {
        accepted(report, moved)?;
        report.note(&mut after, now);
    }
    let verdict = report.as_ref().map(|report| &report.verdict);
    let (status, reason) = match (on, verdict) {
        (false, _) => ("inactive", Some("switched_off")),
        (true, Some(Verdict::Confirmed { .. })) => ("active", None),
        // Confirmed once, with a new token: believed until Graph says otherwise.
        (true, Some(_)) if !["inactive", "pending"].contains(&before.status.as_str()) => ("active", None),
        (true, Some(_)) => ("pending", Some("graph_unreachable")),
        (true, None) => (before.status.as_str(), before.status_reason.as_deref()),
    };
    after.status = status.to_owned();
    after.status_reason = reason.map(str::to_owned);
    after.updated_at = now;
    let message =
        if status == "pending" { "Integration changed; it waits for Meta" } else { "Integration changed" };
    let claim = matches!(verdict, Some(Verdict::Confirmed { .. })).then(|| Onboarding::claim(&after));

    // Graph took its time: what others did meanwhile is not to be overwritten.
    let current = parts.store.account(before.id).await?.filter(|row| row.deleted_at.is_none());
    let current = current.ok_or_else(missing)?;
    if current.updated_at != before.updated_at || current.status != before.status {
        return Err(ApiError::new(
            Code::WrongState,
            "It was changed by somebody else meanwhile: look again.",
        ));
    }
    let target = AccountId(after.id).to_string();
    let line = caller.audit("integration.change", &target, now);
    if let Err(error) = parts.store.save_account(&after, None, claim.as_ref(), &line).await {
        return Err(lost_race(parts, &after, error).await);
    }
    let activated = before.status != "active" && after.status == "active";
    parts.onboarding.changed(&after, activated).await?;
    answer::ok(message, view(parts, after))
}

/// Whether a change may be stored after what Graph said.
fn accepted(report: &Report, moved: bool) -> Result<(), ApiError> {
    match &report.verdict {
        Verdict::Refused { detail, .. } => {
            let detail = format!("Meta refuses: {detail}");
            Err(ApiError::new(Code::GraphRefused, detail).checks(report.checks.clone()))
        }
        // Events are routed by the business account too: nobody gets one on their own word.
        Verdict::Unreachable if moved => {
            Err(ApiError::new(Code::GraphUnreachable, "Meta must confirm a new businessAccountId first."))
        }
        _ => Ok(()),
    }
}
