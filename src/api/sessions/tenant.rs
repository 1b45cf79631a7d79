//! A tenant's one session at the addresses, and in the very words, of an older system.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::Parts;
use super::super::answer::Answer;
use super::super::guard::{Caller, Manager, Reader};
use super::super::problem::ApiError;
use super::{free_name, line, may_pair, qr};
use crate::channel::Wish;
use crate::channel::pace::Pace;
use crate::channel::state::State;
use crate::store::sessions::Session;

/// A session that waits to be scanned.
#[derive(Serialize, ToSchema)]
pub struct Connecting {
    success: bool,
    /// The QR code's picture; without sign-in, for five minutes after this or a status call.
    qr_url: String,
    /// The session's name.
    session: String,
    message: &'static str,
}

/// Where the session stands.
#[derive(Serialize, ToSchema, Default)]
pub struct TenantStatus {
    connected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
}

/// What was done.
#[derive(Serialize, ToSchema)]
pub struct Done {
    success: bool,
    message: &'static str,
}

/// The caller as the tenant of the path: their own, by its id or the number it had in an older system; the platform may
/// name any. Another's is not there.
async fn own(caller: Caller, parts: &Parts, tenant: &str) -> Result<Caller, ApiError> {
    let missing = || ApiError::not_found("tenant");
    let id = match parts.store.tenant(tenant).await? {
        Some(tenant) => tenant.id,
        None => parts.store.tenant_by_external_id("legacy_int", tenant).await?.ok_or_else(missing)?,
    };
    if id == caller.tenant.as_str() {
        return Ok(caller);
    }
    if !caller.is_platform {
        return Err(missing());
    }
    Ok(caller.acting_for(&id))
}

/// Starts the tenant's session, made if need be, and says where its QR code is.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/whatsapp/connect", tag = "tenant session",
    params(("tenant_id" = String, Path)), responses((status = 200, body = Connecting)))]
pub async fn connect(caller: Manager, parts: web::Data<Parts>, tenant: web::Path<String>) -> Answer {
    let caller = own(caller.0, &parts, &tenant).await?;
    let session = ensure(&caller, &parts).await?;
    Ok(HttpResponse::Ok().json(Connecting {
        success: true,
        qr_url: qr::link(&parts, &session).await?,
        session: session.name,
        message: "Scan QR code with your WhatsApp to connect",
    }))
}

/// The same, at its shorter address.
#[utoipa::path(post, path = "/api/{tenant_id}/whatsapp/connect", tag = "tenant session",
    params(("tenant_id" = String, Path)), responses((status = 200, body = Connecting)))]
pub async fn connect_short(caller: Manager, parts: web::Data<Parts>, tenant: web::Path<String>) -> Answer {
    connect(caller, parts, tenant).await
}

/// The tenant's default session, running; made unless there is one.
pub(in crate::api) async fn ensure(caller: &Caller, parts: &Parts) -> Result<Session, ApiError> {
    let session = match super::meant(caller, parts).await? {
        Some(session) => {
            let line = line(caller, parts, "session.start", &session);
            parts.sessions.start(&session, &line).await?
        }
        None => {
            let name = match &parts.client_id {
                Some(name) if parts.store.session_named(name).await?.is_none() => name.clone(),
                _ => free_name(caller, parts).await?,
            };
            let wish = Wish {
                tenant: caller.tenant.to_string(),
                name: name.clone(),
                engine: parts.sessions.engines().usual().to_owned(),
                chatbot: None,
                pace: Pace::default(),
            };
            parts.sessions.create(wish, &caller.audit("session.create", &name, parts.clock.now_ms())).await?
        }
    };
    parts.store.set_waha_session_name(caller.tenant.as_str(), Some(&session.name)).await?;
    Ok(session)
}

/// Whether the tenant's number is connected.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/whatsapp/status", tag = "tenant session",
    params(("tenant_id" = String, Path)), responses((status = 200, body = TenantStatus)))]
pub async fn status(caller: Reader, parts: web::Data<Parts>, tenant: web::Path<String>) -> Answer {
    let caller = own(caller.0, &parts, &tenant).await?;
    let session = named(&caller, &parts).await?;
    let Some(session) = session else {
        let message = Some("WhatsApp not configured");
        return Ok(HttpResponse::Ok().json(TenantStatus { message, ..TenantStatus::default() }));
    };
    if may_pair(&caller) && session.qr.is_some() {
        qr::link(&parts, &session).await?; // prolongs it
    }
    let status = match State::parse(&session.state) {
        State::Connected => TenantStatus {
            connected: true,
            status: Some("WORKING"),
            phone: session.phone,
            session: Some(session.name),
            message: None,
        },
        _ if matches!(session.reason.as_str(), "engine_forgot" | "engine_unreachable" | "key_refused") => {
            TenantStatus { message: Some("Session not found"), ..TenantStatus::default() }
        }
        state => {
            let message = Some("Scan QR code to connect");
            TenantStatus { status: Some(word(state)), message, ..TenantStatus::default() }
        }
    };
    Ok(HttpResponse::Ok().json(status))
}

/// Stops the tenant's session; the phone stays linked.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/whatsapp/disconnect", tag = "tenant session",
    params(("tenant_id" = String, Path)), responses((status = 200, body = Done)))]
pub async fn disconnect(caller: Manager, parts: web::Data<Parts>, tenant: web::Path<String>) -> Answer {
    let caller = own(caller.0, &parts, &tenant).await?;
    let message = match named(&caller, &parts).await? {
        None => "Already disconnected",
        Some(session) => {
            let line = line(&caller, &parts, "session.stop", &session);
            parts.sessions.stop(&session, &line).await?;
            parts.store.set_waha_session_name(caller.tenant.as_str(), None).await?;
            "WhatsApp disconnected"
        }
    };
    Ok(HttpResponse::Ok().json(Done { success: true, message }))
}

/// The session the tenant's row names; none after a disconnect.
async fn named(caller: &Caller, parts: &Parts) -> Result<Option<Session>, ApiError> {
    let Some(name) = parts.store.waha_session_name(caller.tenant.as_str()).await? else { return Ok(None) };
    let found = parts.store.session_named(&name).await?;
    Ok(found.filter(|session| session.tenant_id == caller.tenant.as_str()))
}

/// WAHA's word for it.
fn word(state: State) -> &'static str {
    match state {
        State::Connected => "WORKING",
        State::Pairing => "SCAN_QR_CODE",
        State::Connecting => "STARTING",
        State::Disconnected | State::LoggedOut => "STOPPED",
        State::Expired | State::Failed => "FAILED",
    }
}
