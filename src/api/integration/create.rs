//! Onboarding: a number comes to a chatbot.

use actix_web::http::StatusCode;
use actix_web::web;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    IntegrationView, Mode, business_account_id, callback_url, display_phone_number, lost_race,
    number_is_free, one_primary, unused, verify_token, view,
};
use crate::api::Parts;
use crate::api::answer::{self, Answer, Success};
use crate::api::body::{Body, Field, Fields, any, secret, word};
use crate::api::chatbots::seal;
use crate::api::guard::{Caller, Manager};
use crate::api::problem::{ApiError, Code};
use crate::ids::ChatbotId;
use crate::onboarding::{Onboarding, Verdict};
use crate::routing::{VERIFY_TOKEN, sealed_place};
use crate::store::accounts::Account;
use crate::store::chatbots::Chatbot;

/// A number for a chatbot.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewIntegration {
    /// Made in the caller's tenant when there is none.
    #[serde(default)]
    #[schema(value_type = String, required)]
    chatbot_id: Field<String>,
    /// 1 to 32 digits, from Meta.
    #[serde(default)]
    #[schema(value_type = String, required)]
    phone_number_id: Field<String>,
    /// Of a system user, with both WhatsApp permissions; write-only.
    #[serde(default)]
    #[schema(value_type = String, required)]
    access_token: Field<String>,
    /// 8 characters or more, used nowhere else; write-only.
    #[serde(default)]
    #[schema(value_type = String, required)]
    verify_token: Field<String>,
    /// The WhatsApp Business Account that the number belongs to.
    #[serde(default)]
    #[schema(value_type = String, required)]
    business_account_id: Field<String>,
    /// The callback URL at Meta, where it is not the server's own.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    webhook_url: Field<String>,
    /// Of the business's own app, if it has one: from then on only bodies signed by it are taken. Write-only.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    app_secret: Field<String>,
    /// The chatbot's key at its responder; write-only.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    api_key: Field<String>,
    /// Until Graph says it.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    display_phone_number: Field<String>,
    /// `all` unless given.
    #[serde(default)]
    #[schema(value_type = Mode)]
    mode: Field<Mode>,
    /// Only checks: nothing is stored, and the answer says what would have been. False unless given.
    #[serde(default)]
    #[schema(value_type = bool)]
    dry_run: Field<bool>,
}

/// A number for a chatbot, read and found well-formed.
pub(super) struct Draft {
    pub(super) chatbot_id: ChatbotId,
    pub(super) phone_number_id: String,
    pub(super) access_token: String,
    pub(super) verify_token: String,
    pub(super) business_account_id: String,
    pub(super) webhook_url: Option<String>,
    pub(super) app_secret: Option<String>,
    pub(super) api_key: Option<String>,
    pub(super) display_phone_number: Option<String>,
    pub(super) mode: Mode,
}

/// Brings a number to a chatbot: checked with Graph, active at once when it confirms, `pending` while it does not
/// answer.
#[utoipa::path(post, path = "/api/v1/whatsapp/integration", tag = "integrations", request_body = NewIntegration,
    responses((status = 201, body = Success<IntegrationView>),
        (status = 200, description = "Only checked: it was a dry run", body = Success<IntegrationView>)))]
pub async fn create(caller: Manager, parts: web::Data<Parts>, body: Body) -> Answer {
    let new: NewIntegration = body.read()?;
    let mut fields = Fields::default();
    let chatbot_id =
        fields.required("chatbotId", new.chatbot_id, |id| id.parse::<ChatbotId>().map_err(|e| e.to_string()));
    let digits = word(32, |c| c.is_ascii_digit(), "digits");
    let phone_number_id = fields.required("phoneNumberId", new.phone_number_id, digits);
    let access_token = fields.required("accessToken", new.access_token, secret(1));
    let verify_token = fields.required("verifyToken", new.verify_token, verify_token);
    let waba = fields.required("businessAccountId", new.business_account_id, business_account_id);
    let webhook_url = fields.optional("webhookUrl", new.webhook_url, callback_url).flatten();
    let app_secret = fields.optional("appSecret", new.app_secret, secret(8)).flatten();
    let api_key = fields.optional("apiKey", new.api_key, secret(1)).flatten();
    let shown =
        fields.optional("displayPhoneNumber", new.display_phone_number, display_phone_number).flatten();
    let mode = fields.given("mode", new.mode, any).unwrap_or(Mode::All);
    let dry_run = fields.given("dryRun", new.dry_run, any).unwrap_or(false);
    let pair = match (&chatbot_id, &phone_number_id) {
        (Some(chatbot), Some(number)) => pair(&caller, &parts, chatbot.as_str(), number).await?,
        _ => None,
    };
    let same = pair.as_ref().map_or(0, |row| row.id);
    unused(&parts, &mut fields, verify_token.as_ref(), same).await?;
    fields.done()?;
    let (Some(chatbot_id), Some(phone_number_id), Some(access_token), Some(verify_token), Some(waba)) =
        (chatbot_id, phone_number_id, access_token, verify_token, waba)
    else {
        return Err(ApiError::new(Code::Internal, "A missing field went unnoticed."));
    };

    let draft = Draft {
        chatbot_id,
        phone_number_id,
        access_token,
        verify_token,
        business_account_id: waba,
        webhook_url,
        app_secret,
        api_key,
        display_phone_number: shown,
        mode,
    };
    if pair.as_ref().is_some_and(|row| row.deleted_at.is_none()) {
        return Err(ApiError::new(Code::Exists, "This chatbot has this number already."));
    }
    let (message, account) = onboard(&caller, &parts, draft, pair, dry_run).await?;
    let status = if dry_run { StatusCode::OK } else { StatusCode::CREATED };
    answer::success(status, message, view(&parts, account))
}

/// Asks Graph, and stores the account as it follows. A deleted `pair` comes back to its row: with it its conversations,
/// and what was answered already.
pub(super) async fn onboard(
    caller: &Caller,
    parts: &Parts,
    draft: Draft,
    pair: Option<Account>,
    dry_run: bool,
) -> Result<(&'static str, Account), ApiError> {
    let now = parts.clock.now_ms();
    let chatbot = chatbot(caller, parts, draft.chatbot_id.as_str(), draft.api_key, now).await?;
    let mut account = Account {
        id: 0,
        tenant_id: caller.tenant.to_string(),
        transport: "cloud".to_owned(),
        chatbot_id: draft.chatbot_id.to_string(),
        phone_number_id: draft.phone_number_id,
        business_account_id: draft.business_account_id,
        display_phone_number: draft.display_phone_number,
        webhook_url: draft.webhook_url,
        verify_token_hash: parts.ring.keyed_hash(VERIFY_TOKEN, &draft.verify_token),
        verify_token: String::new(),
        access_token: String::new(),
        app_secret: None,
        previous_app_secret: None,
        mode: draft.mode.as_str().to_owned(),
        status: "pending".to_owned(),
        status_reason: None,
        verified_at: None,
        checks: None,
        checked_at: None,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    };
    let seal = |value: &str, column| parts.ring.seal(value, &sealed_place(&account, column));
    let sealed = (
        seal(&draft.verify_token, "verify_token"),
        seal(&draft.access_token, "access_token"),
        draft.app_secret.map(|secret| seal(&secret, "app_secret")),
    );
    (account.verify_token, account.access_token, account.app_secret) = sealed;
    account.id = pair.map_or(0, |row| row.id);
    number_is_free(parts, &account).await?;
    one_primary(parts, &account).await?;

    let report = parts.onboarding.ask(&account, &parts.onboarding.credentials(&account)?).await;
    report.note(&mut account, now);
    let (message, claim) = match &report.verdict {
        Verdict::Refused { detail, .. } => {
            let detail = format!("Meta refuses: {detail}");
            return Err(ApiError::new(Code::GraphRefused, detail).checks(report.checks));
        }
        Verdict::Unreachable => {
            account.status_reason = Some("graph_unreachable".to_owned());
            ("Integration created; Meta does not answer, so it is checked again by itself", None)
        }
        Verdict::Confirmed { .. } => {
            account.status = "active".to_owned();
            ("Integration created", Some(Onboarding::claim(&account)))
        }
    };
    if dry_run {
        return Ok(("Only checked: nothing was stored", account));
    }
    let target = format!("{}/{}", account.chatbot_id, account.phone_number_id);
    let line = caller.audit("integration.create", &target, now);
    match parts.store.save_account(&account, chatbot.as_ref(), claim.as_ref(), &line).await {
        Ok(id) => account.id = id,
        Err(error) => return Err(lost_race(parts, &account, error).await),
    }
    parts.onboarding.changed(&account, account.status == "active").await?;
    Ok((message, account))
}

/// The row of this chatbot and number, if the caller ever had one.
pub(super) async fn pair(
    caller: &Caller,
    parts: &Parts,
    chatbot: &str,
    number: &str,
) -> Result<Option<Account>, ApiError> {
    let rows = parts.store.accounts_of_number(number).await?;
    Ok(rows.into_iter().find(|row| row.chatbot_id == chatbot && row.tenant_id == caller.tenant.as_str()))
}

/// The chatbot as it is to be stored with its number; `None`: it stays as it is.
async fn chatbot(
    caller: &Caller,
    parts: &Parts,
    id: &str,
    api_key: Option<String>,
    now: i64,
) -> Result<Option<Chatbot>, ApiError> {
    let found = parts.store.chatbot_anywhere(id).await?;
    if found.as_ref().is_some_and(|chatbot| chatbot.tenant_id != caller.tenant.as_str()) {
        return Err(ApiError::not_found("chatbot"));
    }
    let alive = found.filter(|chatbot| chatbot.deleted_at.is_none());
    let stays = alive.is_some() && api_key.is_none();
    let mut chatbot = alive.unwrap_or_else(|| Chatbot::new(id, caller.tenant.as_str(), now));
    if let Some(key) = api_key {
        chatbot.api_key = Some(seal(parts, &chatbot, &key));
        chatbot.updated_at = now;
    }
    Ok((!stays).then_some(chatbot))
}
