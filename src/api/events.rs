//! Webhook events as they were received: what became of them, and once more.

use actix_web::web;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Parts;
use super::answer::{self, Answer, Listing, Page, Success, Time};
use super::guard::{Caller, Manager, Reader};
use super::problem::ApiError;
use crate::ids::EventId;
use crate::news::News;
use crate::store::inspect::EventRow;

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
