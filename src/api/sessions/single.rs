//! The caller's one session at the addresses, and in the words, of two older systems at once.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::Parts;
use super::super::answer::{self, Answer, Success, Time};
use super::super::guard::{Manager, Reader};
use super::super::problem::{ApiError, Code};
use super::{POLL, line, may_pair, meant, qr, tenant, upkeep};
use crate::channel::state::{RECONNECTS, State, explain};
use crate::store::sessions::Session;

/// Where the session stands, in both systems' words.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    success: bool,
    data: Data,
    message: &'static str,
    is_connected: bool,
    /// `disconnected`, `connecting`, `waiting_scan` or `connected`.
    status: &'static str,
    phone_number: Option<String>,
    /// As a `data:` URL, for those who may link a phone.
    qr_code: Option<String>,
    connected_at: Option<Time>,
}

/// The first system's part.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Data {
    is_ready: bool,
    /// `ready`, `qr_ready`, `loading`, `reconnecting`, `disconnected`, `auth_failure`, `max_reconnect_exceeded` or
    /// `error`.
    connection_status: &'static str,
    timestamp: Time,
    /// The session's name; null: there is none.
    client_id: Option<String>,
}

/// Whether the caller's number is connected.
#[utoipa::path(get, path = "/api/whatsapp/status", tag = "single session",
    responses((status = 200, body = Status)))]
pub async fn status(caller: Reader, parts: web::Data<Parts>) -> Answer {
    let session = meant(&caller, &parts).await?;
    let state = session.as_ref().map_or(State::Disconnected, |s| State::parse(&s.state));
    let shown = session.as_ref().filter(|_| may_pair(&caller) && state == State::Pairing);
    let connected = state == State::Connected;
    Ok(HttpResponse::Ok().json(Status {
        success: true,
        data: data(&parts, session.as_ref()),
        message: session.as_ref().map_or("There is no session yet: connect.", |s| explain(&s.reason).0),
        is_connected: connected,
        status: match state {
            State::Connected => "connected",
            State::Pairing => "waiting_scan",
            State::Connecting => "connecting",
            _ => "disconnected",
        },
        qr_code: shown.and_then(|session| qr::data_url(&parts, session)),
        connected_at: session.as_ref().filter(|_| connected).and_then(|s| s.connected_at).map(Time),
        phone_number: session.filter(|_| connected).and_then(|s| s.phone),
    }))
}

fn data(parts: &Parts, session: Option<&Session>) -> Data {
    let state = session.map(|session| State::parse(&session.state));
    let reason = session.map(|session| session.reason.as_str()).unwrap_or_default();
    Data {
        is_ready: state == Some(State::Connected),
        connection_status: match (state, reason) {
            (_, "max_reconnect_exceeded") => "max_reconnect_exceeded",
            (_, "reconnecting" | "restoring" | "silent") => "reconnecting",
            (Some(State::Connected), _) => "ready",
            (Some(State::Pairing), _) => "qr_ready",
            (Some(State::Connecting), _) => "loading",
            (Some(State::LoggedOut), "phone_logged_out" | "engine_forgot") => "auth_failure",
            (Some(State::Expired | State::Failed), _) => "error",
            _ => "disconnected",
        },
        timestamp: Time(parts.clock.now_ms()),
        client_id: session.map(|session| session.name.clone()),
    }
}

/// A QR code as a `data:` URL.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Code64 {
    /// Null: the number is connected already.
    qr_code: Option<String>,
    timestamp: Time,
    expires_at: Option<Time>,
    expired: bool,
    poll_after_ms: u64,
}

/// The QR code to scan. None yet: 404. Connected already: null.
#[utoipa::path(get, path = "/api/whatsapp/qr", tag = "single session",
    responses((status = 200, body = Success<Code64>)))]
pub async fn qr(caller: Manager, parts: web::Data<Parts>) -> Answer {
    let none =
        || ApiError::new(Code::NotFound, "There is no QR code yet. Connect, and ask again in a moment.");
    let session = meant(&caller, &parts).await?.ok_or_else(none)?;
    let now = parts.clock.now_ms();
    let shown = super::qr_view(&session, now);
    let code = Code64 {
        qr_code: qr::data_url(&parts, &session),
        timestamp: Time(now),
        expires_at: shown.expires_at,
        expired: shown.expired && session.qr.is_some(),
        poll_after_ms: POLL,
    };
    if session.state == State::Connected.as_str() {
        return answer::ok("WhatsApp is already connected", code);
    }
    if code.qr_code.is_none() {
        return Err(none());
    }
    answer::ok("QR code", code)
}

/// What was begun.
#[derive(Serialize, ToSchema)]
pub struct Begun {
    success: bool,
    status: &'static str,
    message: &'static str,
}

/// Starts the caller's session, made if need be.
#[utoipa::path(post, path = "/api/whatsapp/connect", tag = "single session",
    responses((status = 200, body = Begun)))]
pub async fn connect(caller: Manager, parts: web::Data<Parts>) -> Answer {
    let session = tenant::ensure(&caller, &parts).await?;
    let connected = session.state == State::Connected.as_str();
    let (status, message) = match connected {
        true => ("connected", "WhatsApp is connected"),
        false => ("connecting", "Connecting: ask for the status until there is a QR code to scan"),
    };
    Ok(HttpResponse::Ok().json(Begun { success: true, status, message }))
}

/// Logs the caller's session out.
#[utoipa::path(post, path = "/api/whatsapp/disconnect", tag = "single session",
    responses((status = 200, body = Begun)))]
pub async fn disconnect(caller: Manager, parts: web::Data<Parts>) -> Answer {
    let session = meant(&caller, &parts).await?;
    let message = match session {
        Some(session) if !matches!(session.state.as_str(), "logged_out") => {
            let line = line(&caller, &parts, "session.logout", &session);
            parts.sessions.logout(&session, &line).await?;
            parts.store.set_waha_session_name(caller.tenant.as_str(), None).await?;
            "WhatsApp disconnected"
        }
        _ => "Already disconnected",
    };
    Ok(HttpResponse::Ok().json(Begun { success: true, status: "disconnected", message }))
}

/// Connects again, with all tries anew.
#[utoipa::path(post, path = "/api/whatsapp/reconnect", tag = "single session",
    responses((status = 200, body = Success<Data>)))]
pub async fn reconnect(caller: Manager, parts: web::Data<Parts>) -> Answer {
    let session = meant(&caller, &parts).await?.ok_or_else(|| ApiError::not_found("session"))?;
    let line = line(&caller, &parts, "session.restart", &session);
    let session = parts.sessions.restart(&session, &line).await?;
    parts.store.set_waha_session_name(caller.tenant.as_str(), Some(&session.name)).await?;
    answer::ok("Reconnecting", data(&parts, Some(&session)))
}

/// All about the caller's session.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Info {
    #[serde(flatten)]
    data: Data,
    /// Why it stands there, as a stable word.
    reason: Option<String>,
    phone_number: Option<String>,
    reconnect_attempts: i64,
    max_reconnect_attempts: i64,
    /// Whether somebody watches it.
    health_checks_active: bool,
    age_days: Option<i64>,
    /// Where keys of sessions lie.
    storage: upkeep::Storage,
}

/// Details of the caller's session, and of where sessions are kept.
#[utoipa::path(get, path = "/api/whatsapp/session-info", tag = "single session",
    responses((status = 200, body = Success<Info>)))]
pub async fn info(caller: Reader, parts: web::Data<Parts>) -> Answer {
    let session = meant(&caller, &parts).await?;
    answer::ok("Session information", about(&parts, session.as_ref()).await)
}

async fn about(parts: &Parts, session: Option<&Session>) -> Info {
    let now = parts.clock.now_ms();
    let linked = session.filter(|session| session.paired).and_then(|session| session.paired_at);
    Info {
        data: data(parts, session),
        reason: session.map(|session| session.reason.clone()),
        phone_number: session.and_then(|session| session.phone.clone()),
        reconnect_attempts: session.map_or(0, |session| session.reconnects),
        max_reconnect_attempts: RECONNECTS,
        health_checks_active: session
            .is_some_and(|session| session.wanted == "running" && session.owner.is_some()),
        age_days: linked.map(|at| (now - at).max(0) / super::DAY),
        storage: upkeep::storage(parts).await,
    }
}
