//! A chatbot on trial: its responder is asked once, and a person sees what went and what came.

use std::time::Instant;

use actix_web::web;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Parts;
use super::answer::{self, Answer, Success};
use super::body::{Body, Field, Fields, text};
use super::guard::Manager;
use super::problem::{ApiError, Code};
use crate::ids::TurnId;
use crate::message::{Entry, Role};
use crate::responder::{Call, Seen, SeenRequest, SeenResponse, Settings};
use crate::routing::chatbot_key_place;

/// What is asked unless the caller says so.
const GREETING: &str = "Hello";

/// A question for the trial.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Question {
    /// What a customer might write; `Hello` unless given.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    message: Field<String>,
}

/// How a trial went.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    /// The trial's own; the responder got it as `Idempotency-Key`.
    id: TurnId,
    /// Whether there is an answer that a customer could read.
    ok: bool,
    /// As it left us, its key masked; null: nothing was sent.
    request: Option<SeenRequest>,
    /// As it came, word for word; null: nothing came.
    response: Option<SeenResponse>,
    duration_ms: u64,
    /// What the customer would read, before formatting.
    answer: Option<String>,
    /// Whether a person would take over after it.
    hand_off: bool,
    /// Why there is no answer, as a word.
    reason: Option<&'static str>,
    /// The same as a sentence.
    detail: Option<String>,
}

/// Asks a chatbot's responder as a customer's first message would, and shows request and response. Nothing is stored or
/// sent to anybody.
#[utoipa::path(post, path = "/api/v1/chatbots/{id}/test", tag = "chatbots", params(("id" = String, Path)),
    request_body = Question, responses((status = 200, body = Success<Trial>)))]
pub async fn try_out(caller: Manager, parts: web::Data<Parts>, id: web::Path<String>, body: Body) -> Answer {
    let chatbot = caller.chatbot(&parts, &id).await?;
    let question: Question = body.read()?;
    let mut fields = Fields::default();
    let words = fields.given("message", question.message, text(4096)).unwrap_or_else(|| GREETING.to_owned());
    fields.done()?;
    let unreadable = |_| ApiError::new(Code::Internal, "The chatbot's key cannot be opened: give it anew.");
    let place = chatbot_key_place(&chatbot.tenant_id, &chatbot.id);
    let key = chatbot.api_key.as_deref().map(|sealed| parts.ring.open(sealed, &place)).transpose();
    let key = key.map_err(unreadable)?;
    let (turn_id, seen, began) = (Uuid::now_v7(), Seen::default(), Instant::now());
    let call = Call {
        turn_id,
        chatbot_id: &chatbot.id,
        api_key: key.as_ref(),
        settings: &Settings::parse(&chatbot.responder),
        entries: &[Entry { role: Role::User, content: words }],
        unique_client_id: &format!("whatsapp_test_{}", chatbot.id),
        phone: None,
        seen: Some(&seen),
    };
    let asked = parts.responders.try_out(&call).await;
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (request, response) = seen.take();
    let (said, failure) = match asked {
        Ok(said) => (Some(said), None),
        Err(failure) => (None, Some(failure)),
    };
    let message = if failure.is_none() { "The responder answered" } else { "The responder gave no answer" };
    let trial = Trial {
        id: TurnId(turn_id),
        ok: said.is_some(),
        request,
        response,
        duration_ms,
        hand_off: said.as_ref().is_some_and(|said| said.hand_off),
        answer: said.map(|said| said.text),
        reason: failure.as_ref().map(|failure| failure.reason),
        detail: failure.map(|failure| failure.detail),
    };
    answer::ok(message, trial)
}
