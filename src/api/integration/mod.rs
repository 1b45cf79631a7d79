//! Integrations: one official number serving one chatbot, as callers see it.

pub mod change;
pub mod create;
pub mod events;
pub mod list;
pub mod remove;
pub mod signup;

use actix_web::{HttpResponse, web};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Parts;
use super::answer::{self, Answer, Success, Time};
use super::body::{Body, Checked, Field, Fields, any, text};
use super::guard::{Caller, Manager, Reader};
use super::problem::{ApiError, Code};
use crate::graph::client::SendFailure;
use crate::graph::errors;
use crate::ids::AccountId;
use crate::onboarding::{Check, Verdict};
use crate::routing::{VERIFY_TOKEN, sealed_place};
use crate::secret::{self, SecretError};
use crate::store::StoreError;
use crate::store::accounts::Account;

/// Longest callback URL that Meta takes.
const LONGEST_URL: usize = 200;

/// A number serving a chatbot.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationView {
    #[schema(value_type = String, example = "acc_12")]
    id: AccountId,
    chatbot_id: String,
    phone_number_id: String,
    business_account_id: String,
    display_phone_number: Option<String>,
    /// Its own callback URL, if it has one.
    webhook_url: Option<String>,
    /// What to enter at Meta: its own URL, else the server's.
    callback_url: Option<String>,
    /// Masked.
    access_token: String,
    /// Masked.
    verify_token: String,
    /// Masked; null: the platform's app secret serves.
    app_secret: Option<String>,
    /// `all`, `primary` or `shadow`.
    mode: String,
    /// `active`, `pending`, `inactive`, `token_invalid` or `restricted`.
    status: String,
    /// Why, as a word, unless it is active.
    status_reason: Option<String>,
    /// What to do about it.
    advice: Option<String>,
    /// When Meta last asked for the verify token.
    verified_at: Option<Time>,
    /// When Graph was last asked.
    checked_at: Option<Time>,
    /// What it said then.
    checks: Vec<Check>,
    created_at: Time,
    updated_at: Time,
}

/// How a chatbot's answers to a shared number are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Sent.
    All,
    /// Sent, and those of the number's other chatbots are not.
    Primary,
    /// Never sent.
    Shadow,
}

impl Mode {
    fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Primary => "primary",
            Self::Shadow => "shadow",
        }
    }
}

/// Which integration is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct Which {
    /// Its chatbot.
    #[param(required, value_type = String)]
    chatbot_id: Option<String>,
    /// Its number, where several serve the chatbot.
    phone_number_id: Option<String>,
}

/// The caller's integration of this chatbot; 409 when there are several.
async fn meant(caller: &Caller, parts: &Parts, which: &Which) -> Result<Option<Account>, ApiError> {
    let Some(chatbot) = &which.chatbot_id else {
        return Err(ApiError::field("chatbotId", "is required"));
    };
    let mut found = caller.accounts(parts, chatbot, which.phone_number_id.as_deref()).await?;
    // Numbers linked by QR code have addresses of their own.
    found.retain(|account| account.transport == "cloud");
    if found.len() > 1 {
        let numbers: Vec<&str> = found.iter().map(|account| account.phone_number_id.as_str()).collect();
        let detail = format!("Add phoneNumberId: this chatbot is served by {}.", numbers.join(", "));
        return Err(ApiError::new(Code::NumberUnclear, detail));
    }
    Ok(found.pop())
}

/// The caller's integration of this id.
async fn by_id(caller: &Caller, parts: &Parts, id: &str) -> Result<Option<Account>, ApiError> {
    let Ok(AccountId(id)) = id.parse() else { return Ok(None) };
    let found = parts.store.account(id).await?;
    let theirs = |a: &Account| a.tenant_id == caller.tenant.as_str() && a.deleted_at.is_none();
    Ok(found.filter(theirs).filter(|a| a.transport == "cloud"))
}

fn missing() -> ApiError {
    ApiError::not_found("integration")
}

/// The account through which something is sent for a chatbot; with the same rules as an integration's own routes.
pub(super) async fn of_chatbot(
    caller: &Caller,
    parts: &Parts,
    chatbot: Option<String>,
    number: Option<String>,
) -> Result<Account, ApiError> {
    let which = Which { chatbot_id: chatbot, phone_number_id: number };
    if let Some(account) = meant(caller, parts, &which).await? {
        return Ok(account);
    }
    // A chatbot without an official number may answer at one that is linked by QR code.
    let chatbot = which.chatbot_id.as_deref().unwrap_or_default();
    let mut linked = caller.accounts(parts, chatbot, which.phone_number_id.as_deref()).await?;
    linked.pop().ok_or_else(|| ApiError::not_found("chatbot with a number"))
}

/// An integration, by its chatbot. None, unknown or another tenant's: `success` false and no data, alike.
#[utoipa::path(get, path = "/api/v1/whatsapp/integration", tag = "integrations", params(Which),
    responses((status = 200, body = Success<Option<IntegrationView>>)))]
pub async fn get(caller: Reader, parts: web::Data<Parts>, which: web::Query<Which>) -> Answer {
    show(&parts, meant(&caller, &parts, &which).await?)
}

/// An integration, by its id. Unknown or another tenant's: `success` false and no data, alike.
#[utoipa::path(get, path = "/api/v1/whatsapp/integration/{id}", tag = "integrations", params(("id" = String, Path)),
    responses((status = 200, body = Success<Option<IntegrationView>>)))]
pub async fn get_one(caller: Reader, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    show(&parts, by_id(&caller, &parts, &id).await?)
}

fn show(parts: &Parts, found: Option<Account>) -> Answer {
    match found {
        Some(account) => answer::ok("Integration", view(parts, account)),
        None => Ok(HttpResponse::Ok().json(Success::<Option<IntegrationView>> {
            success: false,
            message: "There is no integration".to_owned(),
            data: None,
        })),
    }
}

/// Asks Graph again. What is confirmed becomes active, unless somebody switched it off.
#[utoipa::path(post, path = "/api/v1/whatsapp/integration/{id}/check", tag = "integrations",
    params(("id" = String, Path)), responses((status = 200, body = Success<IntegrationView>)))]
pub async fn check(caller: Manager, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    let account = by_id(&caller, &parts, &id).await?.ok_or_else(missing)?;
    let (account, report) = parts.onboarding.recheck(&account).await?;
    let message = match report.verdict {
        Verdict::Confirmed { .. } => "Meta confirms the number",
        Verdict::Refused { .. } => "Meta refuses: see the checks",
        Verdict::Unreachable => "Meta does not answer",
    };
    answer::ok(message, view(&parts, account))
}

/// How to subscribe.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subscribe {
    /// Whether this account's webhooks come to its callback URL rather than to the app's; true unless given.
    #[serde(default, rename = "override")]
    #[schema(value_type = bool)]
    with_override: Field<bool>,
    /// Whether to replace an override that leads elsewhere; false unless given.
    #[serde(default)]
    #[schema(value_type = bool)]
    force: Field<bool>,
}

/// Subscribes the token's app to the WhatsApp Business Account. Meta asks our webhook for the verify token meanwhile.
/// An override that leads elsewhere is named and left alone (409) unless `force` is given.
#[utoipa::path(post, path = "/api/v1/whatsapp/integration/{id}/subscribe", tag = "integrations",
    params(("id" = String, Path)), request_body = Subscribe,
    responses((status = 200, body = Success<IntegrationView>)))]
pub async fn subscribe(
    caller: Manager,
    parts: web::Data<Parts>,
    id: web::Path<String>,
    body: Body,
) -> Answer {
    let account = by_id(&caller, &parts, &id).await?.ok_or_else(missing)?;
    let wanted: Subscribe = body.read()?;
    let mut fields = Fields::default();
    let with_override = fields.given("override", wanted.with_override, any).unwrap_or(true);
    let force = fields.given("force", wanted.force, any).unwrap_or(false);
    let ours = parts.onboarding.webhook_of(&account).map(str::to_owned);
    if with_override && ours.as_ref().is_none_or(|url| url.len() > LONGEST_URL) {
        fields.wrong("override", "needs a webhookUrl of at most 200 characters, or PUBLIC_URL");
    }
    fields.done()?;
    let graph = &parts.onboarding.graph;
    let credentials = parts.onboarding.credentials(&account)?;
    let number = graph.phone_number(&account.phone_number_id, &credentials).await.map_err(graph_says)?;
    let apps = graph.subscribed_apps(&account.business_account_id, &credentials).await.map_err(graph_says)?;
    let foreign = apps
        .into_iter()
        .filter(|app| number.app_id().is_none_or(|id| id == app.id))
        .find_map(|app| app.override_callback_uri.filter(|url| Some(url) != ours.as_ref()));
    if let Some(foreign) = foreign.filter(|_| !force) {
        let detail =
            format!("The webhooks of this account go to {foreign}. Send force: true to replace that.");
        return Err(ApiError::new(Code::ForeignOverride, detail));
    }
    let verify_token = parts.ring.open(&account.verify_token, &sealed_place(&account, "verify_token"));
    let verify_token = verify_token.map_err(unusable)?;
    let callback = ours.as_deref().filter(|_| with_override).map(|url| (url, &verify_token));
    graph.subscribe(&account.business_account_id, &credentials, callback).await.map_err(graph_says)?;
    let (account, _) = parts.onboarding.recheck(&account).await?;
    answer::ok("The app is subscribed", view(&parts, account))
}

fn graph_says(failure: SendFailure) -> ApiError {
    match &failure {
        SendFailure::Refused { error, .. } if !error.verdict().may_retry() => {
            ApiError::new(Code::GraphRefused, error.to_string())
        }
        _ => ApiError::new(Code::GraphUnreachable, "Meta does not answer; please try again."),
    }
}

fn unusable(error: SecretError) -> StoreError {
    StoreError::Query(format!("a stored secret cannot be read: {error}"))
}

fn view(parts: &Parts, account: Account) -> IntegrationView {
    // What cannot be opened any more is shown as it is: there, and nobody's to see.
    let mask = |sealed: &str, column| {
        let opened = parts.ring.open(sealed, &sealed_place(&account, column));
        opened.map_or("••••".to_owned(), |secret| secret::mask(secret.expose_secret()))
    };
    let advice = account.status_reason.as_deref().and_then(errors::by_reason);
    IntegrationView {
        callback_url: parts.onboarding.webhook_of(&account).map(str::to_owned),
        access_token: mask(&account.access_token, "access_token"),
        verify_token: mask(&account.verify_token, "verify_token"),
        app_secret: account.app_secret.as_deref().map(|sealed| mask(sealed, "app_secret")),
        id: AccountId(account.id),
        chatbot_id: account.chatbot_id,
        phone_number_id: account.phone_number_id,
        business_account_id: account.business_account_id,
        display_phone_number: account.display_phone_number,
        webhook_url: account.webhook_url,
        mode: account.mode,
        status: account.status,
        status_reason: account.status_reason,
        advice: advice.map(|verdict| verdict.advice.to_owned()),
        verified_at: account.verified_at.map(Time),
        checked_at: account.checked_at.map(Time),
        checks: account.checks.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default(),
        created_at: Time(account.created_at),
        updated_at: Time(account.updated_at),
    }
}

// ── what making and changing share ──────────────────────────────────────────────────────────────────

fn verify_token(token: String) -> Checked<String> {
    if !(8..=256).contains(&token.len()) || !token.bytes().all(|c| c.is_ascii_graphic()) {
        return Err("must have 8 to 256 characters, without blanks".to_owned());
    }
    Ok(token)
}

fn callback_url(url: String) -> Checked<String> {
    let parsed = url::Url::parse(&url).ok();
    let fine = parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if fine && url.len() <= LONGEST_URL {
        return Ok(url);
    }
    Err(format!("must be an http or https URL of at most {LONGEST_URL} characters"))
}

fn business_account_id(id: String) -> Checked<String> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
    super::body::word(64, allowed, "letters, digits, hyphens or underscores")(id)
}

fn display_phone_number(number: String) -> Checked<String> {
    let allowed = |c: char| c.is_ascii_digit() || "+-() .".contains(c);
    let number = text(32)(number)?;
    if number.chars().all(allowed) { Ok(number) } else { Err("must be a phone number".to_owned()) }
}

/// Notes a verify token that another integration uses.
async fn unused(
    parts: &Parts,
    fields: &mut Fields,
    token: Option<&String>,
    except: i64,
) -> Result<(), ApiError> {
    let Some(token) = token else { return Ok(()) };
    let hashes = parts.ring.keyed_hashes(VERIFY_TOKEN, token);
    if parts.store.verify_token_taken(&hashes, except).await? {
        fields.wrong("verifyToken", "is used by another integration");
    }
    Ok(())
}

/// A number has one primary at most, among the accounts of its tenant.
async fn one_primary(parts: &Parts, account: &Account) -> Result<(), ApiError> {
    if account.mode != "primary" {
        return Ok(());
    }
    let tenant = account.tenant_id.as_str();
    let others = parts.store.accounts(tenant, None, Some(&account.phone_number_id)).await?;
    match others.iter().find(|other| other.id != account.id && other.mode == "primary") {
        Some(other) => {
            let detail = format!("The number's primary is {}.", other.chatbot_id);
            Err(ApiError::new(Code::PrimaryTaken, detail))
        }
        None => Ok(()),
    }
}

/// A number that Graph confirmed for another tenant is theirs.
async fn number_is_free(parts: &Parts, account: &Account) -> Result<(), ApiError> {
    match parts.store.number(&account.phone_number_id).await? {
        Some(number) if number.tenant_id != account.tenant_id => {
            Err(ApiError::new(Code::NumberTaken, "Meta confirmed this number for another tenant."))
        }
        _ => Ok(()),
    }
}

/// Somebody was faster: says at what.
async fn lost_race(parts: &Parts, account: &Account, error: StoreError) -> ApiError {
    if !matches!(error, StoreError::Conflict) {
        return error.into();
    }
    match number_is_free(parts, account).await {
        Err(taken) => taken,
        Ok(()) => {
            ApiError::new(Code::Exists, "This chatbot has this number already, or the verify token is used.")
        }
    }
}
