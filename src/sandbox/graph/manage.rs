//! Numbers, subscriptions and tokens: what onboarding and health checks ask.

use actix_web::web::{Bytes, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};

use super::routes::{Refusal, bearer, with_faults};
use super::state::State;
use super::{Call, Number, Subscription};
use crate::sandbox::{http_client, lock};

/// The app every token belongs to.
pub(super) const APP_ID: &str = "1000000000000001";
const APP_NAME: &str = "Switchboard sandbox";

#[derive(Deserialize)]
pub(super) struct Fields {
    #[serde(default)]
    fields: String,
}

/// Meta returns what was asked for, and always the ID.
fn only(mut object: Value, fields: &str) -> Value {
    let fields = if fields.is_empty() { "display_phone_number,verified_name,quality_rating" } else { fields };
    let wanted: Vec<_> = fields.split(',').map(str::trim).collect();
    if let Some(object) = object.as_object_mut() {
        object.retain(|key, _| key == "id" || wanted.contains(&key.as_str()));
    }
    object
}

fn describe(number: &Number) -> Value {
    let can_send = if number.status == "CONNECTED" { "AVAILABLE" } else { "BLOCKED" };
    let mut entities = vec![json!({
        "entity_type": "PHONE_NUMBER", "id": number.phone_number_id, "can_send_message": can_send,
    })];
    if let Some(waba) = &number.business_account_id {
        entities.push(json!({ "entity_type": "WABA", "id": waba, "can_send_message": "AVAILABLE" }));
    }
    entities.push(json!({ "entity_type": "APP", "id": APP_ID, "can_send_message": "AVAILABLE" }));
    let mut webhooks = json!({ "application": "https://sandbox.invalid/webhook" });
    if let Some(url) = &number.override_url {
        webhooks["phone_number"] = url.as_str().into();
    }
    json!({
        "id": number.phone_number_id,
        "display_phone_number": format!("+{}", number.display_phone_number),
        "verified_name": format!("Sandbox {}", number.phone_number_id),
        "status": number.status,
        "quality_rating": "GREEN",
        "code_verification_status": "VERIFIED",
        "name_status": "APPROVED",
        "whatsapp_business_manager_messaging_limit": "TIER_1K",
        "throughput": { "level": "STANDARD" },
        "health_status": { "can_send_message": can_send, "entities": entities },
        "webhook_configuration": webhooks,
    })
}

/// `work` for the bearer of a token, in the manner of the fault that is due.
pub(super) async fn manage(
    state: &State,
    request: &HttpRequest,
    id: &str,
    work: impl AsyncFnOnce(&str) -> Result<Value, Refusal>,
) -> HttpResponse {
    with_faults(state, request, Call::Manage, id, async || {
        let answer = match bearer(request) {
            Ok(token) => work(token).await,
            Err(answer) => Err(answer),
        };
        answer.map_or_else(Refusal::answer, |value| HttpResponse::Ok().json(value))
    })
    .await
}

pub(super) async fn number(
    state: Data<State>,
    request: HttpRequest,
    path: Path<(String, String)>,
    query: Query<Fields>,
) -> HttpResponse {
    manage(&state, &request, &path.1, async |token| {
        let mut known = lock(&state.known);
        let number = known.number(&path.1, token)?.clone();
        let mut object = describe(&number);
        let waba = number.business_account_id.and_then(|id| known.subscriptions.get(&id));
        if let Some(url) = waba.and_then(|subscription| subscription.override_url.as_deref()) {
            object["webhook_configuration"]["whatsapp_business_account"] = url.into();
        }
        Ok(only(object, &query.fields))
    })
    .await
}

pub(super) async fn phone_numbers(
    state: Data<State>,
    request: HttpRequest,
    path: Path<(String, String)>,
    query: Query<Fields>,
) -> HttpResponse {
    manage(&state, &request, &path.1, async |token| {
        let known = lock(&state.known);
        let mut numbers = known.numbers_of(&path.1, token)?;
        numbers.sort_by(|a, b| a.phone_number_id.cmp(&b.phone_number_id));
        let data: Vec<_> = numbers.into_iter().map(|number| only(describe(number), &query.fields)).collect();
        Ok(json!({ "data": data }))
    })
    .await
}

pub(super) async fn subscribed_apps(
    state: Data<State>,
    request: HttpRequest,
    path: Path<(String, String)>,
) -> HttpResponse {
    manage(&state, &request, &path.1, async |token| {
        let known = lock(&state.known);
        known.numbers_of(&path.1, token)?;
        let subscription = known.subscriptions.get(&path.1).filter(|it| it.subscribed);
        let data: Vec<_> = subscription
            .map(|subscription| {
                let mut app = json!({
                    "whatsapp_business_api_data": {
                        "id": APP_ID, "name": APP_NAME, "link": "https://sandbox.invalid",
                    }
                });
                if let Some(url) = &subscription.override_url {
                    app["override_callback_uri"] = url.as_str().into();
                }
                app
            })
            .into_iter()
            .collect();
        Ok(json!({ "data": data }))
    })
    .await
}

#[derive(Deserialize, Default)]
struct Override {
    #[serde(default)]
    override_callback_uri: String,
    #[serde(default)]
    verify_token: String,
}

/// Asks the callback URL to prove itself, as Meta does before it accepts one.
async fn verified(wanted: &Override) -> Result<Option<String>, Refusal> {
    let url = &wanted.override_callback_uri;
    if url.is_empty() {
        return Ok(None);
    }
    if url.len() > 200 {
        return Err(Refusal::invalid("override_callback_uri: 200 characters at most."));
    }
    let challenge = uuid::Uuid::new_v4().as_fields().0.to_string();
    let query = [
        ("hub.mode", "subscribe"),
        ("hub.challenge", &challenge),
        ("hub.verify_token", &wanted.verify_token),
    ];
    let proven = async {
        let answer = http_client()?.get(url).query(&query).send().await?;
        Ok::<_, reqwest::Error>(answer.status() == 200 && answer.text().await? == challenge)
    };
    match proven.await {
        Ok(true) => Ok(Some(url.clone())),
        _ => Err(Refusal::new(
            400,
            2200,
            "Callback verification failed",
            "The URL did not return the challenge.",
        )),
    }
}

pub(super) async fn subscribe(
    state: Data<State>,
    request: HttpRequest,
    path: Path<(String, String)>,
    body: Bytes,
) -> HttpResponse {
    manage(&state, &request, &path.1, async |token| {
        lock(&state.known).numbers_of(&path.1, token)?;
        // Without a body the override is wiped: Meta's trap, kept.
        let wanted: Override = serde_json::from_slice(&body).unwrap_or_default();
        let override_url = verified(&wanted).await?;
        let subscription = Subscription { subscribed: true, override_url };
        lock(&state.known).subscriptions.insert(path.1.clone(), subscription);
        Ok(json!({ "success": true }))
    })
    .await
}

pub(super) async fn unsubscribe(
    state: Data<State>,
    request: HttpRequest,
    path: Path<(String, String)>,
) -> HttpResponse {
    manage(&state, &request, &path.1, async |token| {
        let mut known = lock(&state.known);
        known.numbers_of(&path.1, token)?;
        known.subscriptions.remove(&path.1);
        Ok(json!({ "success": true }))
    })
    .await
}

#[derive(Deserialize)]
struct NumberSettings {
    webhook_configuration: Option<Override>,
}

pub(super) async fn configure_number(
    state: Data<State>,
    request: HttpRequest,
    path: Path<(String, String)>,
    body: Bytes,
) -> HttpResponse {
    manage(&state, &request, &path.1, async |token| {
        lock(&state.known).number(&path.1, token)?;
        let settings = serde_json::from_slice::<NumberSettings>(&body).ok();
        let Some(wanted) = settings.and_then(|settings| settings.webhook_configuration) else {
            return Err(Refusal::invalid("webhook_configuration is expected."));
        };
        let url = verified(&wanted).await?;
        lock(&state.known).number(&path.1, token)?.override_url = url;
        Ok(json!({ "success": true }))
    })
    .await
}

#[derive(Deserialize)]
pub(super) struct InputToken {
    input_token: String,
}

pub(super) async fn debug_token(
    state: Data<State>,
    request: HttpRequest,
    query: Query<InputToken>,
) -> HttpResponse {
    manage(&state, &request, "debug_token", async |_| {
        let valid = lock(&state.known).is_valid(&query.input_token);
        let scopes = ["whatsapp_business_messaging", "whatsapp_business_management"];
        Ok(json!({ "data": {
            "app_id": APP_ID, "application": APP_NAME, "type": "SYSTEM_USER",
            "is_valid": valid, "expires_at": 0, "scopes": scopes,
        }}))
    })
    .await
}
