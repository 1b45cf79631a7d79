//! Embedded Signup: what Meta's pop-up hands over becomes an integration.

use actix_web::http::StatusCode;
use actix_web::web;
use secrecy::ExposeSecret;
use serde::Deserialize;
use utoipa::ToSchema;

use super::create::{Draft, onboard, pair};
use super::{IntegrationView, Mode, business_account_id, by_id, graph_says, missing, view};
use crate::api::Parts;
use crate::api::answer::{self, Answer, Success};
use crate::api::body::{Body, Checked, Field, Fields, any, secret, word};
use crate::api::guard::Manager;
use crate::api::problem::{ApiError, Code};
use crate::graph::client::Credentials;
use crate::ids::{AccountId, ChatbotId};
use crate::routing::sealed_place;
use crate::store::accounts::Account;

/// What the pop-up's message event and its callback gave.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignUp {
    /// Lives for 30 seconds and works once: send it on at once.
    #[serde(default)]
    #[schema(value_type = String, required)]
    code: Field<String>,
    /// `phone_number_id` of the message event.
    #[serde(default)]
    #[schema(value_type = String, required)]
    phone_number_id: Field<String>,
    /// `waba_id` of the message event.
    #[serde(default)]
    #[schema(value_type = String, required)]
    business_account_id: Field<String>,
    /// Made in the caller's tenant when there is none.
    #[serde(default)]
    #[schema(value_type = String, required)]
    chatbot_id: Field<String>,
    /// The chatbot's key at its responder; write-only.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    api_key: Field<String>,
    /// `all` unless given.
    #[serde(default)]
    #[schema(value_type = Mode)]
    mode: Field<Mode>,
    /// Six digits of two-step verification: registers a number that is not connected yet. Not for numbers that stay in
    /// the phone app.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pin: Field<String>,
}

/// Takes the code of an Embedded Signup for a token of the business, subscribes our app to the business account,
/// registers the number if a PIN is given, and onboards it. Done again for the same chatbot and number, it brings a new
/// token: without a gap, and what waited for one is sent.
#[utoipa::path(post, path = "/api/v1/whatsapp/signup", tag = "integrations", request_body = SignUp,
    responses((status = 201, body = Success<IntegrationView>), (status = 200, body = Success<IntegrationView>)))]
pub async fn sign_up(caller: Manager, parts: web::Data<Parts>, body: Body) -> Answer {
    let new: SignUp = body.read()?;
    let mut fields = Fields::default();
    let code = fields.required("code", new.code, secret(1));
    let number =
        fields.required("phoneNumberId", new.phone_number_id, word(32, |c| c.is_ascii_digit(), "digits"));
    let waba = fields.required("businessAccountId", new.business_account_id, business_account_id);
    let chatbot =
        fields.required("chatbotId", new.chatbot_id, |id| id.parse::<ChatbotId>().map_err(|e| e.to_string()));
    let api_key = fields.optional("apiKey", new.api_key, secret(1)).flatten();
    let mode = fields.given("mode", new.mode, any).unwrap_or(Mode::All);
    let pin = fields.optional("pin", new.pin, six_digits).flatten();
    fields.done()?;
    let (Some(code), Some(number), Some(waba), Some(chatbot)) = (code, number, waba, chatbot) else {
        return Err(ApiError::new(Code::Internal, "A missing field went unnoticed."));
    };
    let Some((app_id, app_secret)) = &parts.onboarding.app else {
        let detail = "The server needs FACEBOOK_APP_ID and FACEBOOK_APP_SECRET for Embedded Signup.";
        return Err(ApiError::new(Code::WrongState, detail));
    };
    // Before the code is spent: what would be refused anyway.
    let pair = pair(&caller, &parts, chatbot.as_str(), &number).await?;
    if let Some(row) = pair.as_ref().filter(|row| row.deleted_at.is_none()) {
        if row.business_account_id != waba {
            let words = "is not the one this number was onboarded with";
            return Err(ApiError::field("businessAccountId", words));
        }
        if row.app_secret.is_some() {
            let detail = "The integration has an app secret of its own, which no token of our app fits: remove that first.";
            return Err(ApiError::new(Code::WrongState, detail));
        }
    }

    let graph = &parts.onboarding.graph;
    let token = graph.exchange_code(&code.into(), app_id, app_secret).await.map_err(graph_says)?;
    let credentials = Credentials { token: token.clone(), app_secret: Some(app_secret.clone()) };
    let known = graph.phone_number(&number, &credentials).await.map_err(graph_says)?;
    if let Some(pin) = pin.filter(|_| known.status.as_deref() != Some("CONNECTED")) {
        graph.register(&number, &credentials, &pin).await.map_err(graph_says)?;
    }
    // Subscribing anew without an override wipes one that exists, so what is subscribed is left as it is.
    let apps = graph.subscribed_apps(&waba, &credentials).await.map_err(graph_says)?;
    if !apps.iter().any(|app| app.id == *app_id) {
        graph.subscribe(&waba, &credentials, None).await.map_err(graph_says)?;
    }

    let token = token.expose_secret().to_owned();
    let (status, message, account) = match pair {
        Some(account) if account.deleted_at.is_none() => {
            (StatusCode::OK, "Integration has a new token", renewed(&caller, &parts, account, &token).await?)
        }
        pair => {
            let draft = Draft {
                chatbot_id: chatbot,
                phone_number_id: number,
                access_token: token,
                verify_token: uuid::Uuid::new_v4().simple().to_string(),
                business_account_id: waba,
                webhook_url: None,
                app_secret: None,
                api_key,
                display_phone_number: None,
                mode,
            };
            let (message, account) = onboard(&caller, &parts, draft, pair, false).await?;
            (StatusCode::CREATED, message, account)
        }
    };
    answer::success(status, message, view(&parts, account))
}

/// An integration that exists, with a new token, checked.
async fn renewed(caller: &Manager, parts: &Parts, before: Account, token: &str) -> Result<Account, ApiError> {
    // Meta took its time: what others did meanwhile is not to be overwritten.
    let now = parts.store.account(before.id).await?.filter(|row| row.deleted_at.is_none());
    let mut account = now.ok_or_else(missing)?;
    if account.app_secret != before.app_secret || account.business_account_id != before.business_account_id {
        return Err(ApiError::new(
            Code::WrongState,
            "It was changed by somebody else meanwhile: look again.",
        ));
    }
    account.access_token = parts.ring.seal(token, &sealed_place(&account, "access_token"));
    account.updated_at = parts.clock.now_ms();
    let target = AccountId(account.id).to_string();
    let line = caller.audit("integration.change", &target, account.updated_at);
    parts.store.save_account(&account, None, None, &line).await?;
    Ok(parts.onboarding.recheck(&account).await?.0)
}

/// A number's PIN.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registration {
    /// Six digits of two-step verification.
    #[serde(default)]
    #[schema(value_type = String, required)]
    pin: Field<String>,
}

/// Registers the number for the Cloud API. Meta allows ten tries in 72 hours, so a number that is connected is left alone.
#[utoipa::path(post, path = "/api/v1/whatsapp/integration/{id}/register", tag = "integrations",
    params(("id" = String, Path)), request_body = Registration,
    responses((status = 200, body = Success<IntegrationView>)))]
pub async fn register(caller: Manager, parts: web::Data<Parts>, id: web::Path<String>, body: Body) -> Answer {
    let account = by_id(&caller, &parts, &id).await?.ok_or_else(missing)?;
    let wanted: Registration = body.read()?;
    let mut fields = Fields::default();
    let pin = fields.required("pin", wanted.pin, six_digits);
    fields.done()?;
    let credentials = parts.onboarding.credentials(&account)?;
    let graph = &parts.onboarding.graph;
    let known = graph.phone_number(&account.phone_number_id, &credentials).await.map_err(graph_says)?;
    let connected = known.status.as_deref() == Some("CONNECTED");
    if let Some(pin) = pin.filter(|_| !connected) {
        graph.register(&account.phone_number_id, &credentials, &pin).await.map_err(graph_says)?;
    }
    let (account, _) = parts.onboarding.recheck(&account).await?;
    let message = if connected { "The number is connected already" } else { "The number is registered" };
    answer::ok(message, view(&parts, account))
}

fn six_digits(pin: String) -> Checked<String> {
    let fine = pin.len() == 6 && pin.bytes().all(|c| c.is_ascii_digit());
    if fine { Ok(pin) } else { Err("must be six digits".to_owned()) }
}
