//! Deliveries, and turns that got no answer: what failed, why, and another try.

use actix_web::web;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Parts;
use super::answer::{self, Answer, Both, Listing, Page, Success, Time};
use super::body::{Body, Field, Fields, any};
use super::guard::{Caller, Reader, Replier};
use super::outgoing;
use super::problem::{ApiError, Code};
use crate::graph::errors;
use crate::ids::{ConversationId, DeliveryId, MessageId, TurnId};
use crate::message::{DeliveryStatus, Recipient};
use crate::store::deliveries::{Attempt, Delivery};
use crate::store::statuses::Participant;
use crate::store::turns::Turn;

/// An outgoing message, or a turn that got no answer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryView {
    /// `dlv_…`, or the turn's UUID.
    id: String,
    /// `message` or `turn`.
    kind: &'static str,
    conversation_id: ConversationId,
    /// The message it is a part of.
    message_id: Option<MessageId>,
    /// The turn it answers.
    turn_id: Option<String>,
    /// Whom it is for: a phone's digits, or a user ID; null for a turn, and once the contact is erased.
    to: Option<String>,
    /// Its words.
    text: Option<String>,
    /// Meta's message object, where it is more than these words.
    #[schema(value_type = Option<Object>)]
    content: Option<serde_json::Value>,
    /// Which part of how many, from 1.
    part: i64,
    parts: i64,
    /// `queued`, `sending`, `sent`, `delivered`, `read`, `played`, `failed`, `unknown`, `cancelled` or `dead`.
    status: String,
    /// Why, as a word.
    reason: Option<String>,
    /// What to do about it.
    advice: Option<String>,
    /// Meta's code.
    code: Option<i64>,
    /// Meta's or the responder's words.
    detail: Option<String>,
    /// Meta's id.
    wamid: Option<String>,
    /// Tries so far.
    attempts: i64,
    created_at: Time,
    sent_at: Option<Time>,
    delivered_at: Option<Time>,
    read_at: Option<Time>,
    /// A voice message was listened to.
    played_at: Option<Time>,
    failed_at: Option<Time>,
    /// What Meta bills for it, once it says so.
    pricing: Option<PricingView>,
}

/// What Meta bills.
#[derive(Serialize, ToSchema)]
pub struct PricingView {
    /// `service`, `utility`, `marketing`, `authentication` …
    category: String,
    /// `regular`, `free_customer_service` …
    #[serde(rename = "type")]
    kind: String,
    billable: bool,
}

/// How a message to a group fares with one of its people.
#[derive(Serialize, ToSchema)]
pub struct ParticipantView {
    /// Phone or user ID.
    id: String,
    status: String,
    at: Time,
}

/// A delivery with its tries.
#[derive(Serialize, ToSchema)]
pub struct DeliveryWithTries {
    #[serde(flatten)]
    delivery: DeliveryView,
    /// Oldest first.
    tries: Vec<TryView>,
    /// Of a message to a group; empty otherwise.
    participants: Vec<ParticipantView>,
}

/// One try.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TryView {
    id: String,
    started_at: Time,
    finished_at: Option<Time>,
    /// `accepted`, `refused`, `not_sent`, `unknown`; null: under way.
    outcome: Option<String>,
    code: Option<i64>,
    detail: Option<String>,
    wamid: Option<String>,
}

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Of this status alone; `dead` has the turns without an answer too.
    #[param(value_type = Option<DeliveryStatus>)]
    status: Option<String>,
    /// Through this number alone (of a session: its id); messages only, no unanswered turns.
    #[serde(rename = "phoneNumberId")]
    phone_number_id: Option<String>,
}

/// What a caller means by an id.
enum Thing {
    Message(Box<Delivery>),
    Turn(Turn),
}

async fn find(caller: &Caller, parts: &Parts, id: &str) -> Result<Thing, ApiError> {
    let tenant = caller.tenant.as_str();
    let found = if let Ok(DeliveryId(id)) = id.parse() {
        parts.store.delivery(tenant, id).await?.map(|delivery| Thing::Message(Box::new(delivery)))
    } else if let Ok(TurnId(id)) = id.parse() {
        parts.store.turn(tenant, id).await?.filter(|turn| turn.status == "dead").map(Thing::Turn)
    } else {
        None
    };
    found.ok_or_else(|| ApiError::not_found("delivery"))
}

/// Lists the tenant's deliveries and unanswered turns, the newest first.
#[utoipa::path(get, path = "/api/v1/deliveries", tag = "deliveries", params(Page, Filter),
    responses((status = 200, body = Listing<DeliveryView>)))]
pub async fn list(
    caller: Reader,
    parts: web::Data<Parts>,
    page: web::Query<Page>,
    filter: web::Query<Filter>,
) -> Answer {
    let status = match filter.status.as_deref() {
        None => None,
        Some(word) => Some(DeliveryStatus::parse(word).ok_or_else(|| {
            ApiError::field("status", "must be a status of a delivery, such as failed or dead")
        })?),
    };
    // Two lists in one: the cursor says how far each of them was read.
    let slice = page.slice::<Both<i64, Both<i64, Uuid>>>()?;
    let Both(before, Both(at, turn)) = slice.after.unwrap_or(Both(i64::MAX, Both(i64::MAX, Uuid::max())));
    let tenant = caller.tenant.as_str();
    let number = filter.phone_number_id.as_deref().filter(|number| !number.is_empty());
    let deliveries = parts.store.delivery_page(tenant, status, number, before, slice.fetch()).await?;
    let turns = match status {
        None | Some(DeliveryStatus::Dead) if number.is_none() => {
            parts.store.dead_turn_page(tenant, (at, turn), slice.fetch()).await?
        }
        _ => Vec::new(),
    };
    let (mut deliveries, mut turns) = (deliveries.into_iter().peekable(), turns.into_iter().peekable());
    let mut place = Both(before, Both(at, turn));
    let mut rows = Vec::new();
    loop {
        let newer = match (deliveries.peek(), turns.peek()) {
            (Some(delivery), Some(turn)) => delivery.created_at >= turn.created_at,
            (delivery, _) => delivery.is_some(),
        };
        let thing = if newer {
            deliveries.next().map(|delivery| {
                place.0 = delivery.id;
                Thing::Message(Box::new(delivery))
            })
        } else {
            turns.next().map(|turn| {
                place.1 = Both(turn.created_at, turn.id);
                Thing::Turn(turn)
            })
        };
        let Some(thing) = thing else { break };
        rows.push((place, thing));
    }
    slice.answer(rows, |(place, _)| *place, |(_, thing)| view(thing))
}

/// One delivery with its tries, or one unanswered turn.
#[utoipa::path(get, path = "/api/v1/deliveries/{id}", tag = "deliveries", params(("id" = String, Path)),
    responses((status = 200, body = Success<DeliveryWithTries>)))]
pub async fn one(caller: Reader, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    let thing = find(&caller, &parts, &id).await?;
    let (attempts, people) = match &thing {
        Thing::Message(delivery) => {
            (parts.store.attempts(delivery.id).await?, parts.store.participants(delivery.id).await?)
        }
        Thing::Turn(_) => Default::default(),
    };
    let tries = attempts.into_iter().map(try_view).collect();
    let person = |p: Participant| ParticipantView { id: p.participant, status: p.status, at: Time(p.at) };
    let participants = people.into_iter().map(person).collect();
    answer::ok("Delivery", DeliveryWithTries { delivery: view(thing), tries, participants })
}

/// A wish for another try.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Must be true for a delivery of status `unknown`: the customer may get it twice.
    #[serde(default)]
    #[schema(value_type = bool)]
    confirm: Field<bool>,
}

/// Tries again: what failed, died, is held up, or (confirmed) what may have gone out; asks again for an unanswered
/// turn.
#[utoipa::path(post, path = "/api/v1/deliveries/{id}/retry", tag = "deliveries", params(("id" = String, Path)),
    request_body = Retry, responses((status = 200, body = Success<DeliveryView>)))]
pub async fn retry(caller: Replier, parts: web::Data<Parts>, id: web::Path<String>, body: Body) -> Answer {
    use DeliveryStatus::{Dead, Failed, Queued, Unknown};
    let thing = find(&caller, &parts, &id).await?;
    let wish: Retry = body.read()?;
    let mut fields = Fields::default();
    let confirmed = fields.given("confirm", wish.confirm, any).unwrap_or(false);
    fields.done()?;
    let tenant = caller.tenant.as_str();
    let (conversation, done) = match &thing {
        Thing::Turn(turn) => (turn.conversation_id, parts.store.reopen_turn(tenant, turn.id).await?),
        Thing::Message(delivery) if delivery.status == Unknown.as_str() && !confirmed => {
            let detail =
                "Nobody knows whether it went out: the customer may get it twice. Send confirm: true.";
            return Err(ApiError::new(Code::Unconfirmed, detail));
        }
        Thing::Message(delivery) => {
            // What was not confirmed is not retried either if it became unknown just now.
            let from: &[DeliveryStatus] =
                if confirmed { &[Failed, Dead, Queued, Unknown] } else { &[Failed, Dead, Queued] };
            let now = parts.clock.now_ms();
            (delivery.conversation_id, parts.store.retry_delivery(tenant, delivery.id, from, now).await?)
        }
    };
    if !done {
        if let Some(conversation) = parts.store.conversation_ref(conversation).await? {
            outgoing::willing(&parts, conversation.thread_id).await?;
        }
        let detail =
            "Only what failed, is dead, unknown or held up can be tried again, and one turn at a time.";
        return Err(ApiError::new(Code::WrongState, detail));
    }
    parts.nudge(conversation).await;
    let thing = match thing {
        Thing::Turn(turn) => Thing::Turn(Turn { status: "asking".to_owned(), reason: None, ..turn }),
        Thing::Message(delivery) => find(&caller, &parts, &DeliveryId(delivery.id).to_string()).await?,
    };
    answer::ok("It is tried again", view(thing))
}

/// Withdraws what is still queued.
#[utoipa::path(delete, path = "/api/v1/deliveries/{id}", tag = "deliveries", params(("id" = String, Path)),
    responses((status = 200, body = Success<DeliveryView>)))]
pub async fn cancel(caller: Replier, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    let too_late = || ApiError::new(Code::WrongState, "Only what is still queued can be withdrawn.");
    let Thing::Message(delivery) = find(&caller, &parts, &id).await? else { return Err(too_late()) };
    let (from, to) = ([DeliveryStatus::Queued], DeliveryStatus::Cancelled);
    let (tenant, now) = (caller.tenant.as_str(), parts.clock.now_ms());
    if !parts.store.move_delivery(tenant, delivery.id, &from, to, Some("withdrawn"), now).await? {
        return Err(too_late());
    }
    answer::ok("It is withdrawn", view(find(&caller, &parts, &id).await?))
}

fn view(thing: Thing) -> DeliveryView {
    match thing {
        Thing::Message(delivery) => {
            let delivery = *delivery;
            let advice = delivery.reason.as_deref().and_then(errors::by_reason);
            DeliveryView {
                id: DeliveryId(delivery.id).to_string(),
                kind: "message",
                conversation_id: ConversationId(delivery.conversation_id),
                message_id: Some(MessageId(delivery.message_id)),
                turn_id: delivery.turn_id.map(|id| id.to_string()),
                to: match serde_json::from_str(&delivery.recipient) {
                    Ok(Recipient::Phone(to) | Recipient::UserId(to)) => Some(to),
                    Err(_) => None,
                },
                text: Some(delivery.text),
                content: delivery.content.and_then(|json| serde_json::from_str(&json).ok()),
                part: delivery.part + 1,
                parts: delivery.parts,
                status: delivery.status,
                reason: delivery.reason,
                advice: advice.map(|verdict| verdict.advice.to_owned()),
                code: delivery.code,
                detail: delivery.detail,
                wamid: delivery.wamid,
                attempts: delivery.attempts,
                created_at: Time(delivery.created_at),
                sent_at: delivery.sent_at.map(Time),
                delivered_at: delivery.delivered_at.map(Time),
                read_at: delivery.read_at.map(Time),
                played_at: delivery.played_at.map(Time),
                failed_at: delivery.failed_at.map(Time),
                pricing: delivery.price_category.map(|category| PricingView {
                    category,
                    kind: delivery.price_type.unwrap_or_default(),
                    billable: delivery.billable == Some(true),
                }),
            }
        }
        Thing::Turn(turn) => {
            // Stored as "reason: detail".
            let reason = turn.reason.unwrap_or_default();
            let (reason, detail) = reason.split_once(": ").unwrap_or((&reason, ""));
            let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            DeliveryView {
                id: turn.id.to_string(),
                kind: "turn",
                conversation_id: ConversationId(turn.conversation_id),
                message_id: None,
                turn_id: Some(turn.id.to_string()),
                to: None,
                text: None,
                content: None,
                part: 1,
                parts: 1,
                // While it is asked again it waits like anything queued.
                status: if turn.status == "asking" { "queued".to_owned() } else { turn.status },
                reason: given(reason),
                advice: None,
                code: None,
                detail: given(detail),
                wamid: None,
                attempts: turn.attempts,
                created_at: Time(turn.created_at),
                sent_at: None,
                delivered_at: None,
                read_at: None,
                played_at: None,
                failed_at: turn.closed_at.map(Time),
                pricing: None,
            }
        }
    }
}

fn try_view(attempt: Attempt) -> TryView {
    TryView {
        id: attempt.id.to_string(),
        started_at: Time(attempt.started_at),
        finished_at: attempt.finished_at.map(Time),
        outcome: attempt.outcome,
        code: attempt.code,
        detail: attempt.detail,
        wamid: attempt.wamid,
    }
}
