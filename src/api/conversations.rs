//! Conversations: what was said, and whether a person or a chatbot answers.

use std::collections::HashMap;

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Parts;
use super::answer::{self, Answer, Both, Listing, Page, Success, Time};
use super::body::{Body, Fields};
use super::guard::{Reader, Replier};
use super::media::MediaView;
use super::outgoing::{self, Outgoing, WINDOW};
use super::problem::ApiError;
use super::send::{self, Queued};
use super::trace;
use crate::graph::errors;
use crate::ids::{AccountId, ContactId, ConversationId, DeliveryId, MessageId};
use crate::store::StoreError;
use crate::store::conversations::{ConversationRef, ConversationRow};
use crate::store::deliveries::Delivery;
use crate::store::messages::Message;
use crate::store::search::Wanted;

/// A person keeps a thread so long after their last word, in milliseconds.
const HAND_OVER: i64 = 86_400_000;
/// Longest words that are looked for.
pub(super) const LOOKED_FOR: usize = 200;

/// A conversation: one customer with one chatbot on one number.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConversationView {
    id: ConversationId,
    chatbot_id: String,
    /// The integration it goes through.
    integration_id: AccountId,
    phone_number_id: String,
    contact: ContactView,
    /// `uniqueClientId` of the response API.
    unique_client_id: String,
    /// A person has it until then; null: the chatbot answers.
    handed_over_until: Option<Time>,
    /// Free-form messages are taken until then; null: templates only.
    window_until: Option<Time>,
    /// The customer wants no messages, since then.
    opted_out_at: Option<Time>,
    created_at: Time,
    last_message_at: Time,
}

/// Who writes.
#[derive(Serialize, ToSchema)]
pub struct ContactView {
    id: ContactId,
    name: Option<String>,
    /// Absent for customers who hide it.
    phone: Option<String>,
}

/// A message of either direction.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageView {
    id: MessageId,
    /// `in` or `out`.
    direction: String,
    /// `contact`, `chatbot`, `fallback`, `person` or `api`.
    author: String,
    /// Meta's type word.
    #[serde(rename = "type")]
    kind: String,
    text: String,
    /// Meta's id, of incoming ones.
    wamid: Option<String>,
    /// Why it was not answered, as a word.
    note: Option<String>,
    /// The same as a sentence.
    explanation: Option<String>,
    turn_id: Option<String>,
    /// The file that came with it.
    media: Option<MediaView>,
    sent_at: Time,
    created_at: Time,
    /// How an outgoing one fares: a part each. None: it was not meant to be sent.
    deliveries: Vec<PartView>,
}

/// How a part of an outgoing message fares.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartView {
    id: DeliveryId,
    status: String,
    reason: Option<String>,
    /// What to do about it.
    advice: Option<String>,
    code: Option<i64>,
    wamid: Option<String>,
}

/// Which conversations.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// Of this chatbot alone.
    chatbot_id: Option<String>,
    /// `true`: those that a person has; `false`: those that the chatbot answers.
    handed_over: Option<String>,
    /// Part of what was said, of a phone number or of a name.
    q: Option<String>,
}

/// Lists the tenant's conversations, the latest first. When words are looked for, a page may be short, or empty, and still
/// have a `nextCursor`: there is more to look through.
#[utoipa::path(get, path = "/api/v1/conversations", tag = "conversations", params(Page, Filter),
    responses((status = 200, body = Listing<ConversationView>)))]
pub async fn list(
    caller: Reader,
    parts: web::Data<Parts>,
    page: web::Query<Page>,
    filter: web::Query<Filter>,
) -> Answer {
    let slice = page.slice::<Both<i64, i64>>()?;
    let Both(at, id) = slice.after.unwrap_or(Both(i64::MAX, i64::MAX));
    let now = parts.clock.now_ms();
    let handed_over = match filter.handed_over.as_deref() {
        None => None,
        Some("true") => Some((true, now)),
        Some("false") => Some((false, now)),
        Some(_) => return Err(ApiError::field("handedOver", "must be true or false")),
    };
    let words = filter.q.as_deref().map(str::trim).filter(|words| !words.is_empty());
    if words.is_some_and(|words| words.len() > LOOKED_FOR) {
        return Err(ApiError::field("q", format!("must have at most {LOOKED_FOR} bytes")));
    }
    let wanted = Wanted { chatbot: filter.chatbot_id.as_deref(), contact: None, handed_over, words };
    let tenant = caller.tenant.as_str();
    let (rows, end) = parts.store.find_conversations(tenant, &wanted, (at, id), slice.fetch()).await?;
    let end = end.map(|(at, id)| Both(at, id));
    slice.answer_until(rows, |row| Both(row.last_message_at, row.id), |row| view(row, now), end)
}

/// One conversation.
#[utoipa::path(get, path = "/api/v1/conversations/{id}", tag = "conversations", params(("id" = String, Path)),
    responses((status = 200, body = Success<ConversationView>)))]
pub async fn one(caller: Reader, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    let (row, _) = caller.conversation(&parts, &id).await?;
    answer::ok("Conversation", view(row, parts.clock.now_ms()))
}

/// What was said, the newest first; outgoing messages with how they fare.
#[utoipa::path(get, path = "/api/v1/conversations/{id}/messages", tag = "conversations",
    params(("id" = String, Path), Page), responses((status = 200, body = Listing<MessageView>)))]
pub async fn messages(
    caller: Reader,
    parts: web::Data<Parts>,
    id: web::Path<String>,
    page: web::Query<Page>,
) -> Answer {
    let (row, _) = caller.conversation(&parts, &id).await?;
    let slice = page.slice::<i64>()?;
    let before = slice.after.unwrap_or(i64::MAX);
    let rows = parts.store.message_page(caller.tenant.as_str(), row.id, before, slice.fetch()).await?;
    let mut beside = beside(&parts, &rows).await?;
    slice.answer(
        rows,
        |message| message.id,
        |message| {
            let beside = beside.remove(&message.id).unwrap_or_default();
            message_view(message, beside)
        },
    )
}

/// What stands beside a message.
#[derive(Default)]
pub(super) struct Beside {
    deliveries: Vec<PartView>,
    media: Option<MediaView>,
}

/// What stands beside these messages: how the outgoing ones fare, and the files that came with the others.
pub(super) async fn beside(parts: &Parts, messages: &[Message]) -> Result<HashMap<i64, Beside>, StoreError> {
    let (outgoing, incoming): (Vec<&Message>, Vec<&Message>) =
        messages.iter().partition(|m| m.direction == "out");
    let ids = |messages: Vec<&Message>| messages.iter().map(|m| m.id).collect::<Vec<i64>>();
    let mut found: HashMap<i64, Beside> = HashMap::new();
    for delivery in parts.store.deliveries_of_messages(&ids(outgoing)).await? {
        found.entry(delivery.message_id).or_default().deliveries.push(part(delivery));
    }
    for file in parts.store.media_of_messages(&ids(incoming)).await? {
        if let Some(message) = file.message_id {
            found.entry(message).or_default().media = Some(file.into());
        }
    }
    Ok(found)
}

/// A person answers: the chatbots of the number are silent for 24 hours from now.
#[utoipa::path(post, path = "/api/v1/conversations/{id}/messages", tag = "conversations",
    params(("id" = String, Path)), request_body = Outgoing, responses((status = 202, body = Success<Queued>)))]
pub async fn reply(caller: Replier, parts: web::Data<Parts>, id: web::Path<String>, body: Body) -> Answer {
    let (row, conversation) = caller.conversation(&parts, &id).await?;
    let words: Outgoing = body.read()?;
    let mut fields = Fields::default();
    words.without_address(&mut fields);
    let written = words.written(&mut fields);
    outgoing::files(&parts, &caller.tenant, &written, &mut fields).await?;
    fields.done()?;
    let account = parts.store.account(row.whatsapp_account_id).await?;
    let place = send::sending_place(&account.ok_or_else(|| ApiError::not_found("integration"))?)?;
    let number = &conversation.phone_number_id;
    outgoing::window(&parts, Some(conversation.thread_id), number, &written).await?;
    hand(&parts, &conversation, Some(parts.clock.now_ms() + HAND_OVER)).await?;
    let queued = send::enqueue(&parts, &place, &conversation, "person", written).await?;
    tell(&parts, &conversation).await?;
    Ok(HttpResponse::Accepted().json(queued))
}

/// A person takes the customer over: the chatbots of the number are silent for 24 hours.
#[utoipa::path(post, path = "/api/v1/conversations/{id}/hand-over", tag = "conversations",
    params(("id" = String, Path)), responses((status = 200, body = Success<ConversationView>)))]
pub async fn hand_over(caller: Replier, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    let (row, conversation) = caller.conversation(&parts, &id).await?;
    let until = parts.clock.now_ms() + HAND_OVER;
    hand(&parts, &conversation, Some(until)).await?;
    tell(&parts, &conversation).await?;
    let row = ConversationRow { hand_over_until: Some(until), ..row };
    answer::ok("The conversation is handed over", view(row, parts.clock.now_ms()))
}

/// The chatbots answer again, from the customer's next message on.
#[utoipa::path(post, path = "/api/v1/conversations/{id}/hand-back", tag = "conversations",
    params(("id" = String, Path)), responses((status = 200, body = Success<ConversationView>)))]
pub async fn hand_back(caller: Replier, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    let (row, conversation) = caller.conversation(&parts, &id).await?;
    hand(&parts, &conversation, None).await?;
    tell(&parts, &conversation).await?;
    let row = ConversationRow { hand_over_until: None, ..row };
    answer::ok("The conversation is handed back", view(row, parts.clock.now_ms()))
}

async fn hand(parts: &Parts, conversation: &ConversationRef, until: Option<i64>) -> Result<(), StoreError> {
    match until {
        Some(until) => parts.store.hand_over(conversation.thread_id, until, "person").await,
        None => parts.store.hand_back(conversation.thread_id, parts.clock.now_ms()).await,
    }
}

/// Every chatbot of the thread is to notice.
async fn tell(parts: &Parts, conversation: &ConversationRef) -> Result<(), StoreError> {
    for id in parts.store.conversations_of_thread(conversation.thread_id).await? {
        parts.nudge(id).await;
    }
    Ok(())
}

pub(super) fn view(row: ConversationRow, now: i64) -> ConversationView {
    ConversationView {
        id: ConversationId(row.id),
        chatbot_id: row.chatbot_id,
        integration_id: AccountId(row.whatsapp_account_id),
        phone_number_id: row.phone_number_id,
        contact: ContactView { id: ContactId(row.contact_id), name: row.name, phone: row.wa_id },
        unique_client_id: row.unique_conv_id,
        handed_over_until: row.hand_over_until.filter(|until| *until > now).map(Time),
        window_until: row.wrote_at.map(|at| at + WINDOW).filter(|until| *until > now).map(Time),
        opted_out_at: row.opted_out_at.map(Time),
        created_at: Time(row.created_at),
        last_message_at: Time(row.last_message_at),
    }
}

pub(super) fn message_view(message: Message, beside: Beside) -> MessageView {
    MessageView {
        id: MessageId(message.id),
        direction: message.direction,
        author: message.author,
        kind: message.kind,
        text: message.text,
        wamid: message.wamid,
        explanation: message.note.as_deref().map(trace::why_silent),
        note: message.note,
        turn_id: message.turn_id.map(|id| id.to_string()),
        media: beside.media,
        sent_at: Time(message.sent_at),
        created_at: Time(message.created_at),
        deliveries: beside.deliveries,
    }
}

fn part(delivery: Delivery) -> PartView {
    let advice = delivery.reason.as_deref().and_then(errors::by_reason);
    PartView {
        id: DeliveryId(delivery.id),
        status: delivery.status,
        reason: delivery.reason,
        advice: advice.map(|verdict| verdict.advice.to_owned()),
        code: delivery.code,
        wamid: delivery.wamid,
    }
}
