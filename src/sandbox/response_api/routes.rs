//! The two endpoints: what a request must hold, and how each answer is written down.

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, State, Turn};
use crate::sandbox::now_ms;
use crate::sandbox::server::hang_up;

/// The request of the contract; what it demands is demanded here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    query: String,
    mode: String,
    chatbot_id: String,
    user: User,
    metadata: Origin,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    unique_client_id: String,
    conversly_web_id: String,
    metadata: Platform,
}

#[derive(Deserialize)]
struct Platform {
    platform: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Origin {
    origin_url: String,
}

impl Request {
    /// The conversation, or what is wrong with the request.
    fn turns(&self) -> Result<Vec<Turn>, &'static str> {
        let required = [
            &self.mode,
            &self.chatbot_id,
            &self.user.unique_client_id,
            &self.user.metadata.platform,
            &self.metadata.origin_url,
        ];
        if required.iter().any(|field| field.is_empty()) {
            return Err("A required field is empty.");
        }
        let turns: Vec<Turn> = serde_json::from_str(&self.query).map_err(|_| "query is not a JSON array.")?;
        check(&turns)?;
        Ok(turns)
    }
}

fn check(turns: &[Turn]) -> Result<(), &'static str> {
    if turns.iter().any(|turn| !matches!(turn.role.as_str(), "system" | "user" | "assistant")) {
        return Err("A role is unknown.");
    }
    match turns.last() {
        Some(last) if last.role == "user" && !last.content.is_empty() => Ok(()),
        _ => Err("The last message must be the user's."),
    }
}

/// Shows that it knows its chatbot, its key and what was said before.
fn echo(name: &str, key: &str, turns: &[Turn]) -> String {
    let said = turns.last().map_or("", |turn| turn.content.as_str());
    let earlier = turns.len().saturating_sub(1);
    let key = key.char_indices().rev().nth(2).map_or("", |(at, _)| &key[at..]);
    let key = if key.is_empty() { String::new() } else { format!(" (key …{key})") };
    let memory = match earlier {
        0 => "This is the first message I see.".to_owned(),
        1 => "I remember 1 message before it.".to_owned(),
        n => format!("I remember {n} messages before it."),
    };
    format!("**{name}** here{key}. You said: {said}\n\n*{memory}*")
}

fn failure(http: u16, message: &str) -> HttpResponse {
    let status = actix_web::http::StatusCode::from_u16(http).unwrap_or_default();
    HttpResponse::build(status).json(json!({ "success": false, "error": message }))
}

/// Writes the answer down: `success` makes the body of a good one.
fn write(
    answer: Answer,
    request: &HttpRequest,
    echo: impl FnOnce() -> String,
    success: impl FnOnce(String, bool) -> Value,
) -> HttpResponse {
    let ok = |body: Value| HttpResponse::Ok().json(body);
    match answer {
        Answer::Echo => ok(success(echo(), false)),
        Answer::Text(text) => ok(success(text, false)),
        Answer::Handoff(text) => ok(success(text, true)),
        Answer::Empty => ok(success(String::new(), false)),
        Answer::Refused => ok(json!({ "success": false, "error": "The chatbot has no answer." })),
        Answer::NotJson => HttpResponse::Ok().content_type("text/html").body("<h1>Bad gateway</h1>"),
        Answer::BadRequest => failure(400, "Bad request"),
        Answer::ServerError => failure(500, "Internal server error"),
        Answer::UnknownOrigin => failure(500, "Invalid API key and origin mapping"),
        Answer::HangUp => {
            hang_up(request);
            failure(502, "")
        }
    }
}

/// `POST /response`.
pub(super) async fn respond(state: Data<State>, request: HttpRequest, body: Bytes) -> HttpResponse {
    state.remember("/response", request.headers(), &body);
    let asked: Request = match serde_json::from_slice(&body) {
        Ok(asked) => asked,
        Err(error) => return failure(400, &error.to_string()),
    };
    let turns = match asked.turns() {
        Ok(turns) => turns,
        Err(message) => return failure(400, message),
    };
    let answer = state.answer(&asked.chatbot_id).await;
    let reply = || echo(&asked.chatbot_id, &asked.user.conversly_web_id, &turns);
    write(answer, &request, reply, |text, handoff| {
        let mut body =
            json!({ "success": true, "response": text, "citations": ["https://example.com/manual#page=7"] });
        if handoff {
            body["action"] = "handoff".into();
        }
        body
    })
}

#[derive(Deserialize)]
struct Completion {
    model: String,
    messages: Vec<Turn>,
}

/// `POST /v1/chat/completions`.
pub(super) async fn complete(state: Data<State>, request: HttpRequest, body: Bytes) -> HttpResponse {
    state.remember("/v1/chat/completions", request.headers(), &body);
    let bad = |message: &str| HttpResponse::BadRequest().json(json!({ "error": { "message": message } }));
    let asked: Completion = match serde_json::from_slice(&body) {
        Ok(asked) => asked,
        Err(error) => return bad(&error.to_string()),
    };
    if let Err(message) = check(&asked.messages) {
        return bad(message);
    }
    let answer = state.answer(&asked.model).await;
    write(
        answer,
        &request,
        || echo(&asked.model, "", &asked.messages),
        |text, _| {
            json!({
                "id": format!("chatcmpl-{}", uuid::Uuid::new_v4().simple()),
                "object": "chat.completion",
                "created": now_ms() / 1000,
                "model": asked.model,
                "choices": [{
                    "index": 0,
                    "message": { "role": "assistant", "content": text },
                    "finish_reason": "stop",
                }],
                "usage": { "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0 },
            })
        },
    )
}
