//! Any OpenAI-compatible chat-completions endpoint.

use reqwest::Client;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::{Answer, Call, Failure, exchange};

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
}

#[derive(Deserialize)]
struct Said {
    content: Option<String>,
}

pub(super) async fn ask(http: &Client, url: &Url, call: &Call<'_>) -> Result<Answer, Failure> {
    let mut messages: Vec<Value> = Vec::with_capacity(call.entries.len() + 1);
    if let Some(prompt) = &call.settings.system_prompt {
        messages.push(json!({ "role": "system", "content": prompt }));
    }
    messages.extend(call.entries.iter().map(|e| json!({ "role": e.role, "content": e.content })));
    let turn = call.turn_id.to_string();
    let mut request =
        http.post(url.clone()).header("X-Request-ID", &turn).header("Idempotency-Key", &turn).json(
            &json!({ "model": call.settings.model.as_deref().unwrap_or_default(), "messages": messages,
            "user": call.unique_client_id }),
        );
    if let Some(key) = call.api_key {
        request = request.bearer_auth(key.expose_secret());
    }
    let (status, bytes) = exchange(request, call).await?;
    match status.as_u16() {
        200..=299 => {}
        401 | 403 => {
            return Err(Failure::never("responder_config", "the endpoint refuses the chatbot's apiKey"));
        }
        408 | 429 | 500.. => {
            return Err(Failure::later("responder_error", format!("the endpoint answered {status}")));
        }
        _ => return Err(Failure::never("responder_refused", format!("the endpoint answered {status}"))),
    }
    let said: Completion = serde_json::from_slice(&bytes).map_err(|_| {
        Failure::later("responder_unreadable", "the endpoint's answer is not a chat completion")
    })?;
    let text = said.choices.into_iter().next().and_then(|choice| choice.message.content).unwrap_or_default();
    Ok(Answer { text, hand_off: false })
}
