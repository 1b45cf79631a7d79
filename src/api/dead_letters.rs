//! Dead letters: deliveries and turns that ended badly, all in one list, tried again one by one or by what they share.

use actix_web::web;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Parts;
use super::answer::{self, Answer, Both, Listing, Page, Success, Time};
use super::body::{Body, Field, Fields, any, moment};
use super::guard::{Reader, Replier};
use super::problem::{ApiError, Code};
use crate::graph::errors;
use crate::ids::{ConversationId, DeliveryId, TurnId};
use crate::news::News;
use crate::runtime::instant;
use crate::store::audit::Audit;
use crate::store::mend::{Lost, Which};

/// How they may have ended.
const STATUSES: [&str; 3] = ["dead", "failed", "unknown"];
/// Things tried again by one call, at most.
const MOST: u64 = 1_000;
/// Things written in one transaction.
const PIECE: u64 = 200;

/// Something that ended badly.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterView {
    /// As in `/api/v1/deliveries`.
    id: String,
    /// `message`, or `turn`: a question that got no answer.
    kind: &'static str,
    tenant: String,
    conversation_id: ConversationId,
    /// `dead`: given up; `failed`: refused by Meta; `unknown`: nobody knows whether it went out.
    status: String,
    /// Why, as a word; of a turn with details.
    reason: Option<String>,
    /// What to do about it.
    advice: Option<&'static str>,
    attempts: i64,
    created_at: Time,
    /// Seconds since then.
    age: i64,
}

/// Which of them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// `dead` (unless given), `failed` or `unknown`.
    status: Option<String>,
    /// For this reason alone, e.g. `window_closed`.
    reason: Option<String>,
    /// From here on: `2026-01-31`, or `2026-01-31T12:00:00Z`.
    since: Option<String>,
    /// Those before.
    until: Option<String>,
}

/// Lists what ended badly, oldest first: a tenant's own; everybody's for the platform that names no tenant.
#[utoipa::path(get, path = "/api/v1/dead-letters", tag = "dead-letters", params(Page, Filter),
    responses((status = 200, body = Listing<DeadLetterView>)))]
pub async fn list(
    caller: Reader,
    parts: web::Data<Parts>,
    page: web::Query<Page>,
    filter: web::Query<Filter>,
) -> Answer {
    let mut fields = Fields::default();
    let status = filter.status.clone().unwrap_or_else(|| "dead".to_owned());
    if !STATUSES.contains(&status.as_str()) {
        fields.wrong("status", "must be dead, failed or unknown");
    }
    let mut time = |name: &str, text: &Option<String>| {
        let read = text.as_deref().map(instant)?;
        read.map_err(|expected| fields.wrong(name, expected)).ok()
    };
    let (since, until) = (time("since", &filter.since), time("until", &filter.until));
    fields.done()?;
    let which = Which {
        tenant: caller.scope().map(str::to_owned),
        reason: filter.reason.clone(),
        since: since.unwrap_or(0),
        until: until.map_or(i64::MAX, |until| until - 1),
    };
    // Two lists in one: the cursor says how far each of them was read.
    let slice = page.slice::<Both<i64, Uuid>>()?;
    let mut place = slice.after.unwrap_or(Both(0, Uuid::nil()));
    let deliveries = parts.store.lost_deliveries(&status, &which, place.0, slice.fetch()).await?;
    let turns = match status.as_str() {
        "dead" => parts.store.lost_turns(&which, place.1, slice.fetch()).await?,
        _ => Vec::new(),
    };
    let (mut deliveries, mut turns) = (deliveries.into_iter().peekable(), turns.into_iter().peekable());
    let now = parts.clock.now_ms();
    let mut rows = Vec::new();
    loop {
        let older = match (deliveries.peek(), turns.peek()) {
            (Some(delivery), Some(turn)) => delivery.created_at <= turn.created_at,
            (delivery, _) => delivery.is_some(),
        };
        let letter = if older {
            deliveries.next().map(|row| {
                place.0 = row.id;
                view("message", DeliveryId(row.id).to_string(), row, now)
            })
        } else {
            turns.next().map(|row| {
                place.1 = row.id;
                view("turn", TurnId(row.id).to_string(), row, now)
            })
        };
        let Some(letter) = letter else { break };
        rows.push((place, letter));
    }
    slice.answer(rows, |(place, _)| *place, |(_, letter)| letter)
}

fn view<I: sea_orm::TryGetable>(kind: &'static str, id: String, row: Lost<I>, now: i64) -> DeadLetterView {
    DeadLetterView {
        id,
        kind,
        tenant: row.tenant_id,
        conversation_id: ConversationId(row.conversation_id),
        status: row.status,
        advice: row.reason.as_deref().and_then(errors::by_reason).map(|verdict| verdict.advice),
        reason: row.reason,
        attempts: row.attempts,
        created_at: Time(row.created_at),
        age: (now - row.created_at).max(0) / 1000,
    }
}

/// A wish for another try of many.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryMany {
    /// `dead` (unless given), `failed` or `unknown`.
    #[serde(default)]
    #[schema(value_type = String)]
    status: Field<String>,
    /// For this reason alone.
    #[serde(default)]
    #[schema(value_type = String)]
    reason: Field<String>,
    /// From here on.
    #[serde(default)]
    #[schema(value_type = String)]
    since: Field<String>,
    /// Those before.
    #[serde(default)]
    #[schema(value_type = String)]
    until: Field<String>,
    /// Must be true for `unknown`: customers may get those twice.
    #[serde(default)]
    #[schema(value_type = bool)]
    confirm: Field<bool>,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
pub struct Retried {
    /// `dead`, `failed` or `unknown`.
    id: String,
    /// Things that fit.
    found: u64,
    /// Those that are tried again now. The others: another turn of their conversation is being asked.
    retried: u64,
    /// There are more: call again.
    more: bool,
}

/// Tries again whatever fits, at most a thousand by one call. What is tried already is left alone.
#[utoipa::path(post, path = "/api/v1/dead-letters/retry", tag = "dead-letters", request_body = RetryMany,
    responses((status = 200, body = Success<Retried>)))]
pub async fn retry(caller: Replier, parts: web::Data<Parts>, body: Body) -> Answer {
    let wish: RetryMany = body.read()?;
    let mut fields = Fields::default();
    let one_of = |status: String| match STATUSES.contains(&status.as_str()) {
        true => Ok(status),
        false => Err("must be dead, failed or unknown".to_owned()),
    };
    let status = fields.given("status", wish.status, one_of).unwrap_or_else(|| "dead".to_owned());
    let which = Which {
        tenant: caller.scope().map(str::to_owned),
        reason: fields.given("reason", wish.reason, any),
        since: fields.given("since", wish.since, moment).unwrap_or(0),
        until: fields.given("until", wish.until, moment).map_or(i64::MAX, |until| until - 1),
    };
    let confirmed = fields.given("confirm", wish.confirm, any).unwrap_or(false);
    fields.done()?;
    if status == "unknown" && !confirmed {
        let detail = "Nobody knows whether these went out: customers may get them twice. Send confirm: true.";
        return Err(ApiError::new(Code::Unconfirmed, detail));
    }
    let now = parts.clock.now_ms();
    let (mut found, mut retried, mut more) = (0, 0, false);
    let mut last = 0;
    loop {
        let rows = parts.store.lost_deliveries(&status, &which, last, PIECE).await?;
        let Some(end) = rows.last() else { break };
        if found >= MOST {
            more = true;
            break;
        }
        last = end.id;
        found += rows.len() as u64;
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        retried += parts.store.requeue_deliveries(&ids, &status, now).await?;
    }
    let mut last = Uuid::nil();
    while status == "dead" && !more {
        let rows = parts.store.lost_turns(&which, last, PIECE).await?;
        let Some(end) = rows.last() else { break };
        if found >= MOST {
            more = true;
            break;
        }
        last = end.id;
        found += rows.len() as u64;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        retried += parts.store.reopen_turns(&ids).await?;
    }
    let detail = retried.to_string();
    let line = caller.audit("dead_letters.retry", &status, now);
    parts.store.log(&Audit { detail: Some(&detail), ..line }).await?;
    if let Err(error) = parts.news.tell(News::Work).await {
        tracing::warn!(%error, "instances will notice new work by themselves");
    }
    answer::ok("They are tried again", Retried { id: status, found, retried, more })
}
