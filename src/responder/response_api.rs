//! The response API: one JSON body each way; the key travels in the body, the talk as a string that holds JSON.

use reqwest::Client;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::{Answer, Call, Failure, exchange};

#[derive(Deserialize)]
struct Response {
    success: Option<bool>,
    response: Option<String>,
    action: Option<String>,
    error: Option<Value>,
    message: Option<Value>,
}

pub(super) async fn ask(http: &Client, url: &Url, call: &Call<'_>) -> Result<Answer, Failure> {
    let turn = call.turn_id.to_string();
    let request = http
        .post(url.clone())
        .header("X-Request-ID", &turn)
        .header("Idempotency-Key", &turn)
        .json(&body(call)?);
    let (status, bytes) = exchange(request, call).await?;
    let said: Result<Response, _> = serde_json::from_slice(&bytes);
    if misconfigured(&said) {
        return Err(Failure::never(
            "responder_config",
            "the responder knows no such API key for this origin: check the chatbot's apiKey and responder.originUrl",
        ));
    }
    if status.is_server_error() || status == 429 {
        return Err(Failure::later("responder_error", format!("the responder answered {status}")));
    }
    if !status.is_success() {
        return Err(Failure::never("responder_refused", format!("the responder answered {status}")));
    }
    let said =
        said.map_err(|_| Failure::later("responder_unreadable", "the responder's answer is not its JSON"))?;
    if said.success == Some(false) {
        return Err(Failure::later("responder_failed", "the responder answered success:false"));
    }
    Ok(Answer {
        text: said.response.unwrap_or_default(),
        hand_off: said.action.as_deref() == Some("handoff"),
    })
}

/// The one failure that is neither an outage nor ours: wherever it stands, no retry helps.
fn misconfigured(said: &Result<Response, serde_json::Error>) -> bool {
    let Ok(said) = said else { return false };
    [&said.error, &said.message].into_iter().flatten().any(|value| {
        let words = value.as_str().map(str::to_lowercase).unwrap_or_default();
        words.contains("invalid api key and origin mapping")
    })
}

fn body(call: &Call<'_>) -> Result<Value, Failure> {
    let query = serde_json::to_string(call.entries).map_err(|e| {
        Failure::never("responder_request", format!("the talk cannot be written as JSON: {e}"))
    })?;
    let mut about = json!({ "platform": "whatsapp" });
    if let Some(phone) = call.phone {
        about["phoneNumber"] = phone.into();
    }
    Ok(json!({
        "query": query,
        "mode": "default",
        "chatbotId": call.chatbot_id,
        "user": {
            "uniqueClientId": call.unique_client_id,
            "converslyWebId": call.api_key.map(|key| key.expose_secret()).unwrap_or_default(),
            "metadata": about,
        },
        "metadata": { "originUrl": call.settings.origin_url.as_deref().unwrap_or("whatsapp://chat") },
    }))
}
