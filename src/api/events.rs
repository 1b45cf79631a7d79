//! Webhook events as they were received: what became of them, and once more.

use actix_web::web;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Parts;
use super::answer::{self, Answer, Listing, Page, Success, Time};
use super::body::{Body, Field, Fields, any, moment};
use super::guard::{Caller, Manager, Reader};
use super::problem::ApiError;
use crate::ids::EventId;
use crate::news::News;
use crate::store::audit::Audit;
use crate::store::inspect::EventRow;
use crate::store::mend::Which;

/// Events read once more by one call, at most, and events that a dry run names.
const MOST: u64 = 1_000;
const NAMED: usize = 100;
/// Where an event may stand.
const STATES: [&str; 7] = ["received", "quarantined", "unroutable", "parked", "refused", "ignored", "done"];

/// One change of a webhook body.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    id: EventId,
    /// What changed; empty when unreadable.
    field: String,
    business_account_id: String,
    phone_number_id: Option<String>,
    /// `received`, `quarantined`, `unroutable`, `parked`, `refused`, `ignored` or `done`.
    state: String,
    /// Why it stands there.
    reason: Option<String>,
    received_at: Time,
}

/// An event with its body.
#[derive(Serialize, ToSchema)]
pub struct EventWithBody {
    #[serde(flatten)]
    event: EventView,
    /// The change as received; text when it is no JSON.
    raw: serde_json::Value,
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// In this state alone.
    state: Option<String>,
}

/// Lists events, the newest first: a tenant's own; everybody's for the platform that names no tenant.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(Page, Filter),
    responses((status = 200, body = Listing<EventView>)))]
pub async fn list(
    caller: Reader,
    parts: web::Data<Parts>,
    page: web::Query<Page>,
    filter: web::Query<Filter>,
) -> Answer {
    let state = filter.state.as_deref();
    if state.is_some_and(|state| !STATES.contains(&state)) {
        return Err(ApiError::field("state", format!("must be one of {}", STATES.join(", "))));
    }
    let slice = page.slice::<i64>()?;
    let before = slice.after.unwrap_or(i64::MAX);
    let rows = parts.store.event_page(caller.scope(), state, before, slice.fetch()).await?;
    slice.answer(rows, |row| row.id, view)
}

/// One event, with its body.
#[utoipa::path(get, path = "/api/v1/events/{id}", tag = "events", params(("id" = String, Path)),
    responses((status = 200, body = Success<EventWithBody>)))]
pub async fn one(caller: Reader, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    let (row, raw) = find(&caller, &parts, &id).await?;
    let text = || serde_json::Value::String(String::from_utf8_lossy(&raw).into_owned());
    let raw = serde_json::from_slice(&raw).unwrap_or_else(|_| text());
    answer::ok("Event", EventWithBody { event: view(row), raw })
}

/// Processes an event once more. What it brought already stays single.
#[utoipa::path(post, path = "/api/v1/events/{id}/replay", tag = "events", params(("id" = String, Path)),
    responses((status = 200, body = Success<EventView>)))]
pub async fn replay(caller: Manager, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    let (row, _) = find(&caller, &parts, &id).await?;
    parts.store.replay_event(row.id, parts.clock.now_ms()).await?;
    if let Err(error) = parts.news.tell(News::Work).await {
        tracing::warn!(%error, "other instances will notice new work by themselves");
    }
    let row = EventRow { state: Some("received".to_owned()), reason: None, ..row };
    answer::ok("The event is processed again", view(row))
}

/// A wish to have many events processed once more.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplayMany {
    /// Those left like this: `unroutable`, `quarantined`, `refused`, `parked`. Without it `since` is required, and all
    /// events of that time are meant, those that are done too.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    states: Field<Vec<String>>,
    /// Received from here on: `2026-01-31`, or `2026-01-31T12:00:00Z`.
    #[serde(default)]
    #[schema(value_type = String)]
    since: Field<String>,
    /// Received before.
    #[serde(default)]
    #[schema(value_type = String)]
    until: Field<String>,
    /// `nextAfter` of the call before.
    #[serde(default)]
    #[schema(value_type = String)]
    after: Field<String>,
    /// Only tell which.
    #[serde(default)]
    #[schema(value_type = bool)]
    dry_run: Field<bool>,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// `replay`, or `dry-run`.
    id: &'static str,
    /// Events that fit.
    found: u64,
    /// Those that are processed again now; those that wait anyway are left alone.
    replayed: u64,
    /// The first of them.
    events: Vec<EventId>,
    /// Give it as `after` to go on; null: that was all.
    next_after: Option<EventId>,
}

/// Processes many events once more, at most a thousand by one call, oldest first. What they brought already stays single.
#[utoipa::path(post, path = "/api/v1/events/replay", tag = "events", request_body = ReplayMany,
    responses((status = 200, body = Success<Replayed>)))]
pub async fn replay_many(caller: Manager, parts: web::Data<Parts>, body: Body) -> Answer {
    const LEFT: [&str; 4] = ["unroutable", "quarantined", "refused", "parked"];
    let wish: ReplayMany = body.read()?;
    let mut fields = Fields::default();
    let known = |states: Vec<String>| match states.iter().all(|state| LEFT.contains(&state.as_str())) {
        true => Ok(states),
        false => Err(format!("must be among {}", LEFT.join(", "))),
    };
    let states = fields.given("states", wish.states, known).unwrap_or_default();
    let since = fields.given("since", wish.since, moment);
    let until = fields.given("until", wish.until, moment).map_or(i64::MAX, |until| until - 1);
    let id = |text: String| text.parse::<EventId>().map_err(|error| error.to_string());
    let after = fields.given("after", wish.after, id).map_or(0, |id| id.0);
    let dry_run = fields.given("dryRun", wish.dry_run, any).unwrap_or(false);
    if states.is_empty() && since.is_none() && !fields.has("since") && !fields.has("states") {
        fields.wrong("since", "is required without states");
    }
    fields.done()?;
    let tenant = caller.scope().map(str::to_owned);
    let which = Which { tenant, since: since.unwrap_or(0), until, ..Which::default() };
    let states: Vec<&str> = states.iter().map(String::as_str).collect();
    let mut found = parts.store.stored_events(&states, &which, false, after, MOST + 1).await?;
    let more = found.len() as u64 > MOST;
    found.truncate(MOST as usize);
    let ids: Vec<i64> = found.iter().map(|event| event.id).collect();
    let now = parts.clock.now_ms();
    let mut replayed = 0;
    if !dry_run {
        replayed = parts.store.replay_events(&ids, now).await?;
        let detail = replayed.to_string();
        let line = caller.audit("events.replay", "events", now);
        parts.store.log(&Audit { detail: Some(&detail), ..line }).await?;
        if let Err(error) = parts.news.tell(News::Work).await {
            tracing::warn!(%error, "instances will notice new work by themselves");
        }
    }
    let next_after = ids.last().filter(|_| more).map(|id| EventId(*id));
    let events = ids.iter().take(NAMED).map(|id| EventId(*id)).collect();
    let (id, message) = match dry_run {
        true => ("dry-run", "These would be processed again"),
        false => ("replay", "They are processed again"),
    };
    answer::ok(message, Replayed { id, found: ids.len() as u64, replayed, events, next_after })
}

async fn find(caller: &Caller, parts: &Parts, id: &str) -> Result<(EventRow, Vec<u8>), ApiError> {
    let missing = || ApiError::not_found("event");
    let EventId(id) = id.parse().map_err(|_| missing())?;
    parts.store.event(caller.scope(), id).await?.ok_or_else(missing)
}

fn view(row: EventRow) -> EventView {
    EventView {
        id: EventId(row.id),
        field: row.field,
        business_account_id: row.entry_id,
        phone_number_id: row.phone_number_id,
        state: row.state.unwrap_or_else(|| "done".to_owned()),
        reason: row.reason,
        received_at: Time(row.received_at),
    }
}
