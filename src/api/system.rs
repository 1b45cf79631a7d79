//! What machines ask: the API's description, whether we live, whether we are ready, and numbers to watch.

use std::sync::OnceLock;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;

use super::Parts;
use super::answer::{Answer, Time};
use super::problem::{ApiError, Code};
use super::{credential, guard};
use crate::secret;

/// How long the database may take to answer before we call ourselves not ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// The process lives.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// Always `OK`.
    status: &'static str,
    /// For people.
    message: &'static str,
    /// Now, RFC 3339.
    timestamp: Time,
    /// Seconds since the start.
    uptime: f64,
}

/// Whether new requests should come here.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    /// `ready`, `draining` or `unavailable`.
    status: &'static str,
    /// What it depends on.
    parts: Vec<Part>,
}

/// One thing that readiness depends on.
#[derive(Serialize, ToSchema)]
pub struct Part {
    /// `database` or `stations`.
    name: &'static str,
    /// Whether it works.
    ok: bool,
    /// For people.
    detail: &'static str,
}

/// Says that the process lives.
#[utoipa::path(get, path = "/health", tag = "system", security(()), responses((status = 200, body = Health)))]
pub async fn health(parts: web::Data<Parts>) -> HttpResponse {
    let now = parts.clock.now_ms();
    HttpResponse::Ok().json(Health {
        status: "OK",
        message: "Switchboard is running",
        timestamp: Time(now),
        uptime: (now - parts.started_at).max(0) as f64 / 1000.0,
    })
}

/// Says whether new requests should come here. Without stations (after a lost lease) webhooks are still stored.
#[utoipa::path(get, path = "/ready", tag = "system", security(()),
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
pub async fn ready(parts: web::Data<Parts>) -> HttpResponse {
    let answered = tokio::time::timeout(PATIENCE, parts.store.ping()).await;
    let database = matches!(answered, Ok(Ok(())));
    let stations = parts.stations.get().is_some();
    let say = |ok, well, badly| if ok { well } else { badly };
    let parts_of_it = vec![
        Part { name: "database", ok: database, detail: say(database, "it answers", "no answer within 2 s") },
        Part { name: "stations", ok: stations, detail: say(stations, "at work", "beginning anew") },
    ];
    let (status, mut answer) = match (parts.draining.is_cancelled(), database) {
        (true, _) => ("draining", HttpResponse::ServiceUnavailable()),
        (false, false) => ("unavailable", HttpResponse::ServiceUnavailable()),
        (false, true) => ("ready", HttpResponse::Ok()),
    };
    answer.json(Readiness { status, parts: parts_of_it })
}

/// Numbers for Prometheus: with `METRICS_TOKEN` or a platform key; open outside production.
#[utoipa::path(get, path = "/metrics", tag = "system", security((), ("apiKey" = []), ("signIn" = [])),
    responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn metrics(request: HttpRequest, parts: web::Data<Parts>) -> Answer {
    let token = credential::bearer(request.headers());
    let scraper = parts.metrics_token.as_ref().zip(token);
    let may = !parts.production
        || scraper.is_some_and(|(known, given)| secret::equal(known.expose_secret(), given))
        || guard::is_platform(&request).await?;
    if !may {
        let detail = "Send Authorization: Bearer with METRICS_TOKEN or a platform key.";
        return Err(ApiError::new(Code::Unauthenticated, detail));
    }
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(parts.metrics.render()))
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "system", security(()),
    responses((status = 200, body = Object, description = "OpenAPI")))]
pub async fn openapi() -> HttpResponse {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    let text = DOCUMENT.get_or_init(|| super::document().to_string());
    HttpResponse::Ok().content_type("application/json").body(text.as_str())
}
