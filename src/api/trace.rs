//! One message through all stations, by the times that were stored; and why it was not answered, if it was not.

use actix_web::web;
use serde::Serialize;
use utoipa::ToSchema;

use super::Parts;
use super::answer::{Answer, Listing, Time};
use super::guard::Reader;
use super::problem::ApiError;
use crate::graph::errors;
use crate::ids::{AccountId, ConversationId, DeliveryId, EventId, MessageId};
use crate::store::deliveries::Delivery;
use crate::store::inspect::{EventRow, Found};
use crate::store::turns::Turn;
use crate::store::{Store, StoreError};

/// The way of one message through one account; or of an event that never became a message.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// The message, or the event.
    pub id: String,
    /// Its conversation, if it has come so far.
    pub conversation_id: Option<ConversationId>,
    /// Who answers.
    pub chatbot_id: Option<String>,
    /// Through which integration.
    pub integration_id: Option<AccountId>,
    /// What became of it, in one word: `waiting`, `asking`, `shadow`, `silent`, `unanswered`, `fallback`, `unsent`; how its
    /// answer (or it, if we sent it) fares, as a delivery's status; or the state of an event that became no message.
    pub outcome: String,
    /// Why, as a word.
    pub reason: Option<String>,
    /// The same in one sentence.
    pub explanation: String,
    /// By time.
    pub stations: Vec<Station>,
}

/// One station on the way.
#[derive(Debug, Serialize, ToSchema)]
pub struct Station {
    /// `received` (by Meta's clock), `stored`, `routed`, `appended`, `turn`, `asked`, `answered`, `queued`, `attempt`,
    /// `sent`, `delivered`, `read`, `played`, `failed`.
    pub name: &'static str,
    /// When.
    pub at: Time,
    /// More, for people.
    pub detail: String,
}

/// Follows one message by Meta's id, incoming or ours: a trace per account.
#[utoipa::path(get, path = "/api/v1/trace/{wamid}", tag = "trace", params(("wamid" = String, Path)),
    responses((status = 200, body = Listing<Trace>)))]
pub async fn one(caller: Reader, parts: web::Data<Parts>, wamid: web::Path<String>) -> Answer {
    let traces = trace(&parts.store, caller.scope(), &wamid).await?;
    if traces.is_empty() {
        return Err(ApiError::not_found("message"));
    }
    Ok(actix_web::HttpResponse::Ok().json(Listing { success: true, data: traces, next_cursor: None }))
}

/// The traces of a message; `tenant`: only where it is theirs.
pub async fn trace(store: &Store, tenant: Option<&str>, wamid: &str) -> Result<Vec<Trace>, StoreError> {
    let mut traces = Vec::new();
    for message in store.messages_by_wamid(tenant, wamid).await? {
        traces.push(of_message(store, message).await?);
    }
    if traces.is_empty() {
        traces.extend(store.events_holding(tenant, wamid).await?.into_iter().map(of_event));
    }
    Ok(traces)
}

fn of_event(event: EventRow) -> Trace {
    let state = event.state.unwrap_or_default();
    let because = event.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    Trace {
        id: EventId(event.id).to_string(),
        conversation_id: None,
        chatbot_id: None,
        integration_id: None,
        explanation: format!("It came in an event that stands as {state}{because}."),
        outcome: state,
        reason: event.reason,
        stations: vec![station("stored", event.received_at, format!("field {}", event.field))],
    }
}

async fn of_message(store: &Store, message: Found) -> Result<Trace, StoreError> {
    let mut stations = Vec::new();
    let incoming = message.direction == "in";
    let turn = if incoming {
        let event = match message.event_id {
            Some(id) => store.event(None, id).await?.map(|(event, _)| event),
            None => None,
        };
        // Meta's clock tells whole seconds: what was stored within one was received when it was stored.
        let stored = event.as_ref().map_or(message.created_at, |event| event.received_at);
        let received = if stored - message.sent_at < 1_000 { stored } else { message.sent_at };
        stations.push(station("received", received, "by Meta"));
        if let Some(event) = event {
            stations.push(station("stored", event.received_at, EventId(event.id).to_string()));
        }
        stations.push(station("routed", message.created_at, format!("to {}", message.chatbot_id)));
        let conversation = ConversationId(message.conversation_id);
        stations.push(station("appended", message.created_at, format!("to {conversation}")));
        store.turn_of_message(message.conversation_id, message.id).await?
    } else {
        None
    };
    if let Some(turn) = &turn {
        let together = match turn.member_ids().len() {
            1 => "of this message".to_owned(),
            members => format!("of {members} messages together"),
        };
        stations.push(station("turn", turn.created_at, together));
        stations.push(station("asked", turn.created_at, message.chatbot_id.clone()));
        if let Some(at) = turn.closed_at {
            let tries = if turn.attempts > 1 {
                format!("after {} tries", turn.attempts)
            } else {
                "at the first try".to_owned()
            };
            match (turn.status.as_str(), &turn.reason) {
                ("answered", _) => stations.push(station("answered", at, tries)),
                (status, reason) => {
                    let why = reason.clone().unwrap_or_else(|| status.to_owned());
                    stations.push(station("failed", at, format!("{why} {tries}")));
                }
            }
        }
    }
    let outgoing = match &turn {
        Some(turn) => store.answers(message.conversation_id, turn.id).await?,
        None if incoming => Vec::new(),
        None => vec![message.id],
    };
    let deliveries = store.deliveries_of_messages(&outgoing).await?;
    for delivery in &deliveries {
        follow(store, delivery, &mut stations).await?;
    }
    // In the order of the way, not of the clocks: statuses come in whole seconds, and none is older than its send.
    for n in 1..stations.len() {
        stations[n].at = stations[n].at.max(stations[n - 1].at);
    }
    let became = match &message.note {
        Some(note) => Became::new("silent", Some(note), why_silent(note)),
        None if incoming => explain(turn.as_ref(), &deliveries),
        None => fate(&deliveries),
    };
    Ok(Trace {
        id: MessageId(message.id).to_string(),
        conversation_id: Some(ConversationId(message.conversation_id)),
        integration_id: Some(AccountId(message.whatsapp_account_id)),
        chatbot_id: Some(message.chatbot_id),
        outcome: became.outcome,
        reason: became.reason,
        explanation: became.explanation,
        stations,
    })
}

/// What became of a message: in a word, why, and in a sentence.
struct Became {
    outcome: String,
    reason: Option<String>,
    explanation: String,
}

impl Became {
    fn new(outcome: &str, reason: Option<&str>, explanation: impl Into<String>) -> Self {
        Self {
            outcome: outcome.to_owned(),
            reason: reason.map(str::to_owned),
            explanation: explanation.into(),
        }
    }
}

async fn follow(store: &Store, delivery: &Delivery, stations: &mut Vec<Station>) -> Result<(), StoreError> {
    let id = DeliveryId(delivery.id).to_string();
    stations.push(station("queued", delivery.created_at, format!("{id}, part {}", delivery.part + 1)));
    for attempt in store.attempts(delivery.id).await? {
        let outcome = attempt.outcome.unwrap_or_else(|| "under way".to_owned());
        let code = attempt.code.map(|code| format!(", code {code}")).unwrap_or_default();
        stations.push(station("attempt", attempt.started_at, format!("{id}: {outcome}{code}")));
    }
    let times = [
        ("sent", delivery.sent_at),
        ("delivered", delivery.delivered_at),
        ("read", delivery.read_at),
        ("played", delivery.played_at),
        ("failed", delivery.failed_at),
    ];
    stations.extend(times.into_iter().filter_map(|(name, at)| Some(station(name, at?, id.clone()))));
    Ok(())
}

fn station(name: &'static str, at: i64, detail: impl Into<String>) -> Station {
    Station { name, at: Time(at), detail: detail.into() }
}

/// What became of an incoming message that was to be answered.
fn explain(turn: Option<&Turn>, deliveries: &[Delivery]) -> Became {
    let Some(turn) = turn else { return Became::new("waiting", None, "It waits for its turn.") };
    match turn.status.as_str() {
        "asking" => Became::new("asking", None, "The responder is being asked."),
        "answered" if deliveries.is_empty() => {
            let words = "It was answered, but not sent: the chatbot is a shadow on this number.";
            Became::new("shadow", None, words)
        }
        "answered" => fate(deliveries),
        status => {
            let reason = turn.reason.as_deref().unwrap_or(status);
            let (outcome, fallback) = match deliveries {
                [] => ("unanswered", ""),
                _ => ("fallback", " The customer got the fallback text."),
            };
            let words = format!("The responder gave no answer ({reason}).{fallback}");
            // Stored as "reason: detail".
            Became::new(outcome, reason.split(": ").next(), words)
        }
    }
}

/// How the answer fares: its least lucky part decides.
fn fate(deliveries: &[Delivery]) -> Became {
    const WORST: [&str; 10] = [
        "failed",
        "dead",
        "unknown",
        "cancelled",
        "queued",
        "sending",
        "sent",
        "delivered",
        "read",
        "played",
    ];
    let worst =
        deliveries.iter().min_by_key(|delivery| WORST.iter().position(|word| *word == delivery.status));
    let Some(delivery) = worst else {
        return Became::new("unsent", None, "It was stored and never meant to be sent.");
    };
    let words = match delivery.reason.as_deref() {
        Some(reason) => {
            let advice = errors::by_reason(reason).map_or(String::new(), |v| format!(" {}", v.advice));
            format!("The answer is {} ({reason}).{advice}", delivery.status)
        }
        None => format!("The answer is {}.", delivery.status),
    };
    Became::new(&delivery.status, delivery.reason.as_deref(), words)
}

/// Why a message was stored and not answered.
pub fn why_silent(note: &str) -> String {
    let sentence = match note {
        "stale" => "It was older than 24 hours when it came, so nobody was asked.",
        "handed_over" => "A person has the conversation, so the chatbot is silent.",
        "opted_out" => "The customer asked for no more messages.",
        "restored" => "It waited when a copy of the database was made that was brought back later.",
        "asked_for_person" => "The customer asked for a person, who has the conversation now.",
        "standby" => "Somebody else has the conversation at Meta: it was only heard.",
        "not_answerable" => "There is nothing in it to answer.",
        "chatbot_paused" => "The chatbot is paused.",
        "account_inactive" => "The integration is switched off.",
        "own_number" => "It came from one of our own numbers: chatbots do not talk to each other.",
        other => return format!("It was stored and not answered: {other}."),
    };
    sentence.to_owned()
}
