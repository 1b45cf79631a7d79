//! Event endpoints: where a tenant's own systems hear of what happens. A secret is shown once.

use actix_web::http::StatusCode;
use actix_web::web;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Parts;
use super::answer::{self, Answer, Listing, Page, Success, Time};
use super::body::{Body, Checked, Field, Fields, any};
use super::guard::{Caller, Manager};
use super::problem::{ApiError, Code};
use crate::ids::EventEndpointId;
use crate::news::News;
use crate::notify::signature::{new_secret, secret_place};
use crate::responder::check_url;
use crate::store::StoreError;
use crate::store::event_endpoints::{Endpoint, EventType};

/// Endpoints of one tenant, at most.
const MOST: u64 = 10;
/// Longest address.
const ADDRESS: usize = 2_000;
/// How long the secret before signs as well, in milliseconds: a day.
const OVERLAP: i64 = 86_400_000;

/// An endpoint, without its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointView {
    id: EventEndpointId,
    url: String,
    /// What it hears of; empty: everything.
    types: Vec<EventType>,
    disabled: bool,
    /// `person`, `gone` (it answered 410) or `failing` (it only failed for five days).
    disabled_reason: Option<String>,
    /// Since when it only fails.
    failing_since: Option<Time>,
    /// Until when the secret before the last rotation signs as well.
    previous_secret_until: Option<Time>,
    created_at: Time,
    updated_at: Time,
}

/// An endpoint with its secret: the only time that it is shown.
#[derive(Serialize, ToSchema)]
pub struct SecretView {
    /// `whsec_` and base64. Keep it: it cannot be shown again.
    secret: String,
    #[serde(flatten)]
    view: EndpointView,
}

/// An endpoint to be made, or what changes about one.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointChange {
    /// https, and not inside a private network.
    #[serde(default)]
    #[schema(value_type = String)]
    url: Field<String>,
    /// What it hears of; everything unless given.
    #[serde(default)]
    #[schema(value_type = Option<Vec<EventType>>)]
    types: Field<Vec<EventType>>,
    /// Off: nothing is told, and what waits is dead. On again, it begins anew.
    #[serde(default)]
    #[schema(value_type = bool)]
    disabled: Field<bool>,
}

/// Makes an endpoint. Its secret is in the answer, this once.
#[utoipa::path(post, path = "/api/v1/event-endpoints", tag = "event-endpoints", request_body = EndpointChange,
    responses((status = 201, body = Success<SecretView>)))]
pub async fn create(caller: Manager, parts: web::Data<Parts>, body: Body) -> Answer {
    let new: EndpointChange = body.read()?;
    let mut fields = Fields::default();
    let url = fields.required("url", new.url, address(parts.allow_private_responders));
    let types = fields.optional("types", new.types, any).flatten().unwrap_or_default();
    let disabled = fields.given("disabled", new.disabled, any).unwrap_or(false);
    if disabled {
        fields.wrong("disabled", "a new endpoint is on");
    }
    fields.done()?;
    let now = parts.clock.now_ms();
    let EventEndpointId(id) = EventEndpointId::new(now);
    let secret = new_secret();
    let tenant = caller.tenant.as_str();
    let endpoint = Endpoint {
        id,
        tenant_id: tenant.to_owned(),
        url: url.unwrap_or_default(),
        types: stored(&types),
        secret: parts.ring.seal(secret.expose_secret(), &secret_place(tenant, id, "secret")),
        previous_secret: None,
        previous_until: None,
        failing_since: None,
        disabled_at: None,
        disabled_reason: None,
        created_at: now,
        updated_at: now,
    };
    let target = id.to_string();
    let line = caller.audit("event_endpoint.create", &target, now);
    parts.store.create_endpoint(&endpoint, MOST, &line).await.map_err(|error| match error {
        StoreError::Conflict => {
            ApiError::new(Code::WrongState, format!("A tenant may have {MOST} endpoints."))
        }
        other => other.into(),
    })?;
    changed(&parts).await?;
    answer::success(StatusCode::CREATED, "Event endpoint created", revealed(&secret, endpoint))
}

/// Lists the tenant's endpoints, oldest first.
#[utoipa::path(get, path = "/api/v1/event-endpoints", tag = "event-endpoints", params(Page),
    responses((status = 200, body = Listing<EndpointView>)))]
pub async fn list(caller: Manager, parts: web::Data<Parts>, page: web::Query<Page>) -> Answer {
    let slice = page.slice::<Uuid>()?;
    let after = slice.after.unwrap_or_default();
    let rows = parts.store.endpoint_page(caller.tenant.as_str(), after, slice.fetch()).await?;
    slice.answer(rows, |row| row.id, view)
}

/// One endpoint.
#[utoipa::path(get, path = "/api/v1/event-endpoints/{id}", tag = "event-endpoints", params(("id" = String, Path)),
    responses((status = 200, body = Success<EndpointView>)))]
pub async fn one(caller: Manager, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    answer::ok("Event endpoint", view(find(&caller, &parts, &id).await?))
}

/// Changes an endpoint's address or types, or switches it off or on.
#[utoipa::path(patch, path = "/api/v1/event-endpoints/{id}", tag = "event-endpoints", params(("id" = String, Path)),
    request_body = EndpointChange, responses((status = 200, body = Success<EndpointView>)))]
pub async fn change(caller: Manager, parts: web::Data<Parts>, id: web::Path<String>, body: Body) -> Answer {
    let mut endpoint = find(&caller, &parts, &id).await?;
    let change: EndpointChange = body.read()?;
    if !change.url.is_there() && !change.types.is_there() && !change.disabled.is_there() {
        return Err(ApiError::new(Code::Invalid, "Nothing to change was given."));
    }
    let now = parts.clock.now_ms();
    let mut fields = Fields::default();
    if let Some(url) = fields.given("url", change.url, address(parts.allow_private_responders)) {
        endpoint.url = url;
    }
    if let Some(types) = fields.optional("types", change.types, any) {
        endpoint.types = stored(&types.unwrap_or_default());
    }
    match fields.given("disabled", change.disabled, any) {
        Some(true) if endpoint.disabled_at.is_none() => {
            endpoint.disabled_at = Some(now);
            endpoint.disabled_reason = Some("person".to_owned());
        }
        Some(false) => {
            (endpoint.disabled_at, endpoint.disabled_reason, endpoint.failing_since) = (None, None, None);
        }
        _ => {}
    }
    fields.done()?;
    let target = endpoint.id.to_string();
    parts.store.update_endpoint(&endpoint, &caller.audit("event_endpoint.change", &target, now)).await?;
    changed(&parts).await?;
    answer::ok("Event endpoint changed", view(find(&caller, &parts, &id).await?))
}

/// Removes an endpoint; what waits for it is dead.
#[utoipa::path(delete, path = "/api/v1/event-endpoints/{id}", tag = "event-endpoints", params(("id" = String, Path)),
    responses((status = 200, body = Success<EndpointView>)))]
pub async fn remove(caller: Manager, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    let endpoint = find(&caller, &parts, &id).await?;
    let target = endpoint.id.to_string();
    let line = caller.audit("event_endpoint.delete", &target, parts.clock.now_ms());
    if !parts.store.delete_endpoint(caller.tenant.as_str(), endpoint.id, &line).await? {
        return Err(ApiError::not_found("event endpoint"));
    }
    changed(&parts).await?;
    answer::ok("Event endpoint deleted", view(endpoint))
}

/// Gives an endpoint a new secret, shown this once. Events are signed with both for a day.
#[utoipa::path(post, path = "/api/v1/event-endpoints/{id}/rotate-secret", tag = "event-endpoints",
    params(("id" = String, Path)), responses((status = 200, body = Success<SecretView>)))]
pub async fn rotate(caller: Manager, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    let endpoint = find(&caller, &parts, &id).await?;
    let place = |column| secret_place(&endpoint.tenant_id, endpoint.id, column);
    let before = parts.ring.open(&endpoint.secret, &place("secret")).map_err(|error| {
        tracing::error!(endpoint = %endpoint.id, %error, "an endpoint's secret cannot be read");
        ApiError::new(Code::Internal, "Its secret cannot be read with our keys.")
    })?;
    let secret = new_secret();
    let sealed = parts.ring.seal(secret.expose_secret(), &place("secret"));
    let previous = parts.ring.seal(before.expose_secret(), &place("previous_secret"));
    let now = parts.clock.now_ms();
    let target = endpoint.id.to_string();
    let line = caller.audit("event_endpoint.rotate_secret", &target, now);
    parts.store.rotate_endpoint_secret(endpoint.id, &sealed, &previous, now + OVERLAP, &line).await?;
    answer::ok(
        "The secret before signs as well for a day",
        revealed(&secret, find(&caller, &parts, &id).await?),
    )
}

/// Everybody is to know who listens now.
async fn changed(parts: &Parts) -> Result<(), StoreError> {
    parts.store.load_listeners().await?;
    if let Err(error) = parts.news.tell(News::Endpoints).await {
        tracing::warn!(%error, "other instances will notice a changed event endpoint within a minute");
    }
    Ok(())
}

async fn find(caller: &Caller, parts: &Parts, id: &str) -> Result<Endpoint, ApiError> {
    let missing = || ApiError::not_found("event endpoint");
    let EventEndpointId(id) = id.parse().map_err(|_| missing())?;
    parts.store.endpoint(caller.tenant.as_str(), id).await?.ok_or_else(missing)
}

fn address(allow_private: bool) -> impl Fn(String) -> Checked<String> {
    move |text| {
        if text.len() > ADDRESS {
            return Err(format!("must have at most {ADDRESS} characters"));
        }
        check_url(&text, allow_private).map(|url| url.into()).map_err(|error| error.to_string())
    }
}

fn stored(types: &[EventType]) -> String {
    let words: Vec<&str> = types.iter().map(|kind| kind.as_str()).collect();
    serde_json::json!(words).to_string()
}

fn revealed(secret: &SecretString, endpoint: Endpoint) -> SecretView {
    SecretView { secret: secret.expose_secret().to_owned(), view: view(endpoint) }
}

fn view(e: Endpoint) -> EndpointView {
    EndpointView {
        types: e.types(),
        id: EventEndpointId(e.id),
        url: e.url,
        disabled: e.disabled_at.is_some(),
        disabled_reason: e.disabled_reason,
        failing_since: e.failing_since.map(Time),
        previous_secret_until: e.previous_until.map(Time),
        created_at: Time(e.created_at),
        updated_at: Time(e.updated_at),
    }
}
