//! Event deliveries: what a tenant's own systems were told, and what they made of it.

use actix_web::http::StatusCode;
use actix_web::web;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Parts;
use super::answer::{self, Answer, Listing, Page, Success, Time};
use super::guard::{Caller, Reader, Replier};
use super::problem::{ApiError, Code};
use crate::ids::{EventDeliveryId, EventEndpointId};
use crate::store::event_deliveries::{EventDelivery, Filter};
use crate::store::event_endpoints::EventType;

const STATUSES: [&str; 3] = ["queued", "delivered", "dead"];

/// One event for one endpoint.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventDeliveryView {
    /// Also the `webhook-id`: the same for every try.
    id: EventDeliveryId,
    endpoint_id: EventEndpointId,
    /// What happened, e.g. `message.received`.
    #[serde(rename = "type")]
    kind: String,
    /// `queued`, `delivered` or `dead`.
    status: String,
    /// Tries so far.
    attempts: i64,
    /// When it is tried next, while it is queued.
    next_at: Option<Time>,
    /// What the endpoint answered last, if it did.
    response_status: Option<i64>,
    /// Why the last try was no success: `refused`, `redirect`, `timeout`, `unreachable`, `broken`, `gone`,
    /// `forbidden_address`, `secret_unreadable`, `endpoint_disabled` or `endpoint_deleted`.
    reason: Option<String>,
    created_at: Time,
    finished_at: Option<Time>,
    /// What is told: `type`, `timestamp` and `data`. Only when one delivery is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Value>,
}

/// Which deliveries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct Which {
    /// Those for one endpoint.
    pub endpoint_id: Option<String>,
    /// Those in one status: `queued`, `delivered` or `dead`.
    pub status: Option<String>,
    /// Those of one type, e.g. `message.received`.
    #[serde(rename = "type")]
    #[param(rename = "type")]
    pub kind: Option<String>,
}

/// Lists what the tenant's systems were told, newest first.
#[utoipa::path(get, path = "/api/v1/event-deliveries", tag = "event-deliveries", params(Page, Which),
    responses((status = 200, body = Listing<EventDeliveryView>)))]
pub async fn list(
    caller: Reader,
    parts: web::Data<Parts>,
    page: web::Query<Page>,
    which: web::Query<Which>,
) -> Answer {
    let slice = page.slice::<Uuid>()?;
    let endpoint = which.endpoint_id.as_deref().map(str::parse::<EventEndpointId>).transpose();
    let endpoint = endpoint.map_err(|_| ApiError::field("endpointId", "must be the id of an endpoint"))?;
    let status = which.status.as_deref().unwrap_or_default();
    if !status.is_empty() && !STATUSES.contains(&status) {
        return Err(ApiError::field("status", "must be queued, delivered or dead"));
    }
    let kind = which.kind.as_deref().unwrap_or_default();
    if !kind.is_empty() && !EventType::ALL.iter().any(|known| known.as_str() == kind) {
        return Err(ApiError::field("type", "is not a type of event"));
    }
    let filter = Filter { endpoint: endpoint.map(|id| id.0), status, kind };
    let before = slice.after.unwrap_or(Uuid::max());
    let tenant = caller.tenant.as_str();
    let rows = parts.store.event_delivery_page(tenant, &filter, before, slice.fetch()).await?;
    slice.answer(rows, |row| row.id, |row| EventDeliveryView { payload: None, ..view(row) })
}

/// One delivery, with what is told.
#[utoipa::path(get, path = "/api/v1/event-deliveries/{id}", tag = "event-deliveries", params(("id" = String, Path)),
    responses((status = 200, body = Success<EventDeliveryView>)))]
pub async fn one(caller: Reader, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    answer::ok("Event delivery", view(find(&caller, &parts, &id).await?))
}

/// Tells it again, from the first try on, under the same `webhook-id`.
#[utoipa::path(post, path = "/api/v1/event-deliveries/{id}/retry", tag = "event-deliveries", params(("id" = String, Path)),
    responses((status = 202, body = Success<EventDeliveryView>)))]
pub async fn retry(caller: Replier, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    let delivery = find(&caller, &parts, &id).await?;
    let now = parts.clock.now_ms();
    if !parts.store.retry_event_delivery(caller.tenant.as_str(), delivery.id, now).await? {
        let words = "It waits for its next try already, or its endpoint is off or gone.";
        return Err(ApiError::new(Code::WrongState, words));
    }
    let delivery = find(&caller, &parts, &id).await?;
    answer::success(StatusCode::ACCEPTED, "It will be told again", view(delivery))
}

async fn find(caller: &Caller, parts: &Parts, id: &str) -> Result<EventDelivery, ApiError> {
    let missing = || ApiError::not_found("event delivery");
    let EventDeliveryId(id) = id.parse().map_err(|_| missing())?;
    parts.store.event_delivery(caller.tenant.as_str(), id).await?.ok_or_else(missing)
}

fn view(row: EventDelivery) -> EventDeliveryView {
    EventDeliveryView {
        id: EventDeliveryId(row.id),
        endpoint_id: EventEndpointId(row.endpoint_id),
        kind: row.kind,
        next_at: (row.status == "queued").then_some(Time(row.next_at)),
        status: row.status,
        attempts: row.attempts,
        response_status: row.response_status,
        reason: row.reason,
        created_at: Time(row.created_at),
        finished_at: row.finished_at.map(Time),
        payload: serde_json::from_str(&row.payload).ok(),
    }
}
