//! Messages that the business starts.

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Parts;
use super::answer::{Answer, Success};
use super::body::{Body, Fields};
use super::guard::Replier;
use super::idempotency::Once;
use super::integration;
use super::outgoing::{self, Outgoing, Written};
use super::problem::{ApiError, Code};
use crate::ids::{AccountId, ConversationId, DeliveryId, MessageId};
use crate::message::{Recipient, Sender};
use crate::routing::Status;
use crate::store::accounts::Account;
use crate::store::conversations::{ConversationRef, recipient_of};
use crate::store::messages::Place;
use crate::store::replies::{Enqueued, Letter, Reply, Started};

/// Through which chatbot.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct Through {
    /// The chatbot whose number sends.
    #[param(required, value_type = String)]
    chatbot_id: Option<String>,
    /// Its number, where several serve it.
    phone_number_id: Option<String>,
}

/// A message on its way.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Queued {
    /// Look it up at `/api/v1/deliveries/{id}`.
    pub(super) id: DeliveryId,
    /// `queued`.
    status: &'static str,
    message_id: MessageId,
    conversation_id: ConversationId,
}

impl Queued {
    /// What was stored in a conversation.
    pub(super) fn new(enqueued: &Enqueued, conversation: i64) -> Self {
        Self {
            id: DeliveryId(enqueued.deliveries.first().copied().unwrap_or_default()),
            status: "queued",
            message_id: MessageId(enqueued.message_id),
            conversation_id: ConversationId(conversation),
        }
    }
}

/// What a call queued: its first message, and all of them.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueuedEach {
    #[serde(flatten)]
    first: Queued,
    /// In the order of `contacts`, or the one.
    deliveries: Vec<Queued>,
}

impl QueuedEach {
    /// The conversations there is work in now.
    fn conversations(&self) -> BTreeSet<i64> {
        self.deliveries.iter().map(|queued| queued.conversation_id.0).collect()
    }
}

/// Sends a message to a customer, or one to each of many. Free-form ones are taken within 24 hours of the customer's last word; templates always.
#[utoipa::path(post, path = "/api/v1/whatsapp/send", tag = "messages", params(Through), request_body = Outgoing,
    responses((status = 202, body = Success<QueuedEach>)))]
pub async fn send(
    caller: Replier,
    parts: web::Data<Parts>,
    through: web::Query<Through>,
    body: Body,
) -> Answer {
    let Through { chatbot_id, phone_number_id } = through.into_inner();
    let account = integration::of_chatbot(&caller, &parts, chatbot_id, phone_number_id).await?;
    let mut fields = Fields::default();
    let letters = body.read::<Outgoing>()?.letters(&mut fields);
    for (_, written) in &letters {
        outgoing::files(&parts, &caller.tenant, written, &mut fields).await?;
    }
    fields.done()?;
    let place = sending_place(&account)?;
    let queued = to_people(&parts, &place, letters).await?;
    Ok(HttpResponse::Accepted().json(queued))
}

/// Queues a message for each of these people: for all of them, or, when one may not be written to, for none.
pub(super) async fn to_people(
    parts: &Parts,
    place: &Place,
    letters: Vec<(Sender, Written)>,
) -> Result<Success<QueuedEach>, ApiError> {
    // Nothing is stored before everybody may be written to: a refusal leaves no trace.
    let now = parts.clock.now_ms();
    let mut refused = None;
    for (n, (person, written)) in letters.iter().enumerate() {
        let thread = parts.store.thread_of(place, person, now).await?;
        match outgoing::window(parts, thread, &place.phone_number_id, written).await {
            Err(error) if letters.len() > 1 => refused = Some(error.at(&format!("contacts.{n}"), refused)?),
            other => other?,
        }
    }
    refused.map_or(Ok(()), Err)?;
    let letters = letters.into_iter().filter_map(|(person, written)| {
        let recipient = recipient_of(&person)?;
        Some(Letter { person, reply: reply("api", written, recipient) })
    });
    let queued = start(parts, place, letters.collect(), now).await?;
    for conversation in queued.data.conversations() {
        parts.nudge(conversation).await;
    }
    Ok(queued)
}

/// Stores messages together with what their sender is told.
async fn start(
    parts: &Parts,
    place: &Place,
    letters: Vec<Letter>,
    now: i64,
) -> Result<Success<QueuedEach>, ApiError> {
    let queued = |started: &[Started]| {
        let each = || started.iter().map(|(conversation, enqueued)| Queued::new(enqueued, conversation.id));
        let message = match started.len() {
            1 => "Message queued".to_owned(),
            n => format!("{n} messages queued"),
        };
        each().next().map(|first| Success {
            success: true,
            message,
            data: QueuedEach { first, deliveries: each().collect() },
        })
    };
    let once = Once::current();
    let kept = |started: &[Started]| {
        let once = once.as_ref()?;
        Some((once.slot.clone(), once.kept(StatusCode::ACCEPTED, &queued(started)?)?))
    };
    let started = parts.store.start(place, letters, now, kept).await?;
    queued(&started).ok_or_else(|| ApiError::field("to", "is required"))
}

/// Where messages of an account belong; 409 when it does not work. Without a valid token they wait for one.
pub(super) fn sending_place(account: &Account) -> Result<Place, ApiError> {
    let status = Status::parse(&account.status);
    if account.deleted_at.is_some() || !status.takes_messages() {
        let detail = format!("The integration {} is {}.", AccountId(account.id), account.status);
        return Err(ApiError::new(Code::NotActive, detail));
    }
    Ok(Place {
        account_id: account.id,
        tenant_id: account.tenant_id.clone(),
        chatbot_id: account.chatbot_id.clone(),
        phone_number_id: account.phone_number_id.clone(),
        scope: account.business_account_id.clone(),
    })
}

/// A message that goes out as it is written.
fn reply(author: &'static str, written: Written, recipient: Recipient) -> Reply {
    let content = written.content.map(|object| serde_json::Value::Object(object).to_string());
    Reply {
        author,
        kind: written.kind,
        parts: vec![written.text.clone()],
        text: written.text,
        content,
        recipient,
    }
}

/// Stores a message that goes out as it is written, its delivery, and what its sender is told.
pub(super) async fn enqueue(
    parts: &Parts,
    place: &Place,
    conversation: &ConversationRef,
    author: &'static str,
    written: Written,
) -> Result<Success<Queued>, ApiError> {
    let reply = reply(author, written, conversation.recipient.clone());
    let queued = |enqueued: &Enqueued| Success {
        success: true,
        message: "Message queued".to_owned(),
        data: Queued::new(enqueued, conversation.id),
    };
    let once = Once::current();
    let kept = |enqueued: &Enqueued| {
        let once = once.as_ref()?;
        Some((once.slot.clone(), once.kept(StatusCode::ACCEPTED, &queued(enqueued))?))
    };
    let now = parts.clock.now_ms();
    let enqueued = parts.store.enqueue(place, conversation.id, &reply, now, kept).await?;
    Ok(queued(&enqueued))
}
