//! Messages that the business starts through a session: one, or one for each of many.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::Parts;
use super::super::answer::{self, Answer, Success, Time};
use super::super::body::{Body, Field, Fields, text};
use super::super::bulk::{self, Addressee};
use super::super::guard::{Caller, Replier};
use super::super::outgoing::phone;
use super::super::problem::{ApiError, Code};
use super::super::send::{self, Queued};
use super::{find, meant};
use crate::channel::state::{State, explain};
use crate::graph::content::TEXT;
use crate::message::Sender;
use crate::store::replies::Reply;
use crate::store::sessions::Session;

/// People in one call, at most.
const MANY: usize = 1_000;

/// What to send, and to whom.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Letter {
    /// 7 to 15 digits with their country code; `+` may lead. Also taken as `number`, `phoneNumber` or `phone`.
    #[serde(default, alias = "number", alias = "phoneNumber", alias = "phone")]
    #[schema(value_type = Option<String>)]
    to: Field<String>,
    /// At most 4,096 characters. Also taken as `text`.
    #[serde(default, alias = "text")]
    #[schema(value_type = Option<String>)]
    message: Field<String>,
    /// Instead of `to`: up to 1,000 people, each perhaps with words of their own.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Addressee>>)]
    contacts: Field<Vec<Addressee>>,
    /// False refuses what cannot leave at once because the session is not connected; true unless given.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    queue: Field<bool>,
    /// `single` or `bulk`; what else is given tells as much.
    #[serde(default, rename = "type")]
    #[schema(value_type = Option<String>)]
    kind: Field<String>,
    /// Of older callers; the person is found by the number.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    contact_id: Field<serde_json::Value>,
}

/// Messages on their way.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueuedAll {
    /// The first one's delivery.
    id: crate::ids::DeliveryId,
    /// `queued`.
    status: &'static str,
    /// All of them, in order.
    deliveries: Vec<Queued>,
}

/// Queues a message, or one for each of many people. They leave in order, at the session's pace; see what became of one
/// at `/api/v1/deliveries/{id}`, and cancel it there while it waits.
#[utoipa::path(post, path = "/api/v1/sessions/{name}/messages", tag = "sessions", params(("name" = String, Path)),
    request_body = Letter, responses((status = 202, body = Success<QueuedAll>)))]
pub async fn send(caller: Replier, parts: web::Data<Parts>, name: web::Path<String>, body: Body) -> Answer {
    let session = find(&caller, &parts, &name).await?;
    let deliveries = enqueue(&caller, &parts, &session, body.read()?).await?;
    let id = deliveries.first().map(|queued| queued.id).ok_or_else(nothing)?;
    answer::success(StatusCode::ACCEPTED, "Queued", QueuedAll { id, status: "queued", deliveries })
}

/// What older callers read of a message they sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SentOne {
    success: bool,
    /// The delivery.
    message_id: crate::ids::DeliveryId,
    timestamp: Time,
    message: &'static str,
    data: QueuedAll,
}

/// The same through the session that is meant where none is named.
#[utoipa::path(post, path = "/api/whatsapp/send", tag = "single session", request_body = Letter,
    responses((status = 200, body = SentOne)))]
pub async fn send_single(caller: Replier, parts: web::Data<Parts>, body: Body) -> Answer {
    let letter = body.read()?;
    let session = meant(&caller, &parts).await?.ok_or_else(|| ApiError::not_found("session"))?;
    let deliveries = enqueue(&caller, &parts, &session, letter).await?;
    let id = deliveries.first().map(|queued| queued.id).ok_or_else(nothing)?;
    Ok(HttpResponse::Ok().json(SentOne {
        success: true,
        message_id: id,
        timestamp: Time(parts.clock.now_ms()),
        message: "Message queued",
        data: QueuedAll { id, status: "queued", deliveries },
    }))
}

fn nothing() -> ApiError {
    ApiError::field("to", "is required")
}

async fn enqueue(
    caller: &Caller,
    parts: &Parts,
    session: &Session,
    letter: Letter,
) -> Result<Vec<Queued>, ApiError> {
    let mut fields = Fields::default();
    let to = fields.given("to", letter.to, phone);
    let words = fields.given("message", letter.message, text(TEXT));
    let contacts = fields.given("contacts", letter.contacts, bulk::people(MANY));
    let queue = fields.given("queue", letter.queue, super::any);
    fields.given("contactId", letter.contact_id, super::any);
    fields.given("type", letter.kind, |kind| match kind.as_str() {
        "single" | "bulk" => Ok(kind),
        _ => Err("must be single or bulk".to_owned()),
    });
    let mut letters: Vec<(String, String)> = Vec::new();
    match contacts {
        Some(people) => letters = bulk::letters(people, words.as_deref(), &mut fields),
        None if !fields.has("contacts") => {
            for (name, given) in [("to", to.is_some()), ("message", words.is_some())] {
                if !given && !fields.has(name) {
                    fields.wrong(name, "is required");
                }
            }
            letters.extend(to.zip(words));
        }
        None => {}
    }
    fields.done()?;
    let connected = session.state == State::Connected.as_str();
    if !connected && queue == Some(false) {
        let (sentence, advice) = explain(&session.reason);
        return Err(ApiError::new(Code::NotConnected, format!("{sentence} {advice}")));
    }
    let key = session.key();
    let account = parts.store.accounts(caller.tenant.as_str(), None, Some(&key)).await?.pop();
    let place = send::sending_place(&account.ok_or_else(|| ApiError::not_found("session"))?)?;
    let mut queued = Vec::with_capacity(letters.len());
    for (to, words) in letters {
        let sender = Sender { wa_id: Some(to), ..Sender::default() };
        let conversation = parts.store.open_conversation(&place, &sender, parts.clock.now_ms()).await?;
        let reply = Reply {
            author: "api",
            kind: "text".to_owned(),
            parts: vec![words.clone()],
            text: words,
            content: None,
            recipient: conversation.recipient.clone(),
        };
        // One answer speaks of all of them: none of them alone is what the caller is told.
        let enqueued =
            parts.store.enqueue(&place, conversation.id, &reply, parts.clock.now_ms(), |_| None).await?;
        queued.push(Queued::new(&enqueued, conversation.id));
    }
    if connected {
        parts.sessions.has_work(session.id).await;
    } else {
        let why = parts.sessions.why_waiting(session);
        parts.store.hold_session(session.id, false, Some(why)).await?;
    }
    Ok(queued)
}
