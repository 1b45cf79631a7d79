//! How every number fares at a glance: its state, and what happened at it within the last day.

use std::collections::HashMap;

use actix_web::web;
use serde::Serialize;
use utoipa::ToSchema;

use super::Parts;
use super::answer::{self, Answer, Success, Time};
use super::guard::Reader;
use crate::graph::errors;
use crate::ids::AccountId;
use crate::store::overview::{CountRow, NumberRow};

/// How far back is counted, in milliseconds.
const DAY: i64 = 86_400_000;
/// Numbers in one answer, at most.
const NUMBERS: u64 = 1_000;

/// Every number, and what happened within the last 24 hours.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// Always `overview`.
    id: &'static str,
    /// Since when is counted.
    since: Time,
    /// In the order they were connected, tenant by tenant.
    numbers: Vec<NumberHealth>,
}

/// How one number fares.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NumberHealth {
    /// The integration's, or the session's account.
    #[schema(value_type = String)]
    id: AccountId,
    tenant_id: String,
    /// `cloud` or `session`.
    transport: String,
    chatbot_id: String,
    chatbot_name: String,
    phone_number_id: String,
    display_phone_number: Option<String>,
    /// `active`, `pending`, `inactive`, `token_invalid` or `restricted`.
    status: String,
    status_reason: Option<String>,
    /// What to do about it.
    advice: Option<String>,
    /// Messages of customers.
    received: i64,
    /// Messages to customers.
    sent: i64,
    /// Deliveries that failed, were given up, or nobody knows of.
    failed: i64,
    /// Customers' messages that got no answer from the chatbot.
    unanswered: i64,
    /// Deliveries that wait to be sent, however long.
    waiting: i64,
    /// The latest message of a customer; null: none within the day.
    last_received_at: Option<Time>,
    last_sent_at: Option<Time>,
}

/// How every number fares: a tenant's; everybody's for the platform that names no tenant.
#[utoipa::path(get, path = "/api/v1/overview", tag = "overview", responses((status = 200, body = Success<Overview>)))]
pub async fn get(caller: Reader, parts: web::Data<Parts>) -> Answer {
    let since = parts.clock.now_ms() - DAY;
    let numbers = parts.store.number_rows(caller.scope(), NUMBERS).await?;
    let mut counts: HashMap<i64, Vec<CountRow>> = HashMap::new();
    for count in parts.store.counts_since(caller.scope(), since).await? {
        counts.entry(count.account).or_default().push(count);
    }
    let view = |number: NumberRow| {
        let counts = counts.remove(&number.id).unwrap_or_default();
        health(number, &counts)
    };
    let numbers = numbers.into_iter().map(view).collect();
    answer::ok("Overview", Overview { id: "overview", since: Time(since), numbers })
}

fn health(number: NumberRow, counts: &[CountRow]) -> NumberHealth {
    let of = |kinds: &[&str]| {
        counts.iter().filter(|row| kinds.contains(&row.kind.as_str())).map(|row| row.count).sum()
    };
    let last = |kind| counts.iter().find(|row| row.kind == kind).map(|row| Time(row.last));
    let advice = number.status_reason.as_deref().and_then(errors::by_reason);
    NumberHealth {
        id: AccountId(number.id),
        tenant_id: number.tenant_id,
        transport: number.transport,
        chatbot_id: number.chatbot_id,
        chatbot_name: number.chatbot_name,
        phone_number_id: number.phone_number_id,
        display_phone_number: number.display_phone_number,
        status: number.status,
        status_reason: number.status_reason,
        advice: advice.map(|verdict| verdict.advice.to_owned()),
        received: of(&["in"]),
        sent: of(&["out"]),
        failed: of(&["failed", "dead", "unknown"]),
        unanswered: of(&["unanswered"]),
        waiting: of(&["queued", "sending"]),
        last_received_at: last("in"),
        last_sent_at: last("out"),
    }
}
