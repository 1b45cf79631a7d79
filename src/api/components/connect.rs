//! What `<whatsapp-connect>` may do: see where its one session stands, with the code to scan; link and unlink it.

use actix_web::web;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::Parts;
use super::super::answer::{self, Answer, Success, Time};
use super::super::body::{Body, Field, Fields};
use super::super::outgoing::phone;
use super::super::problem::{ApiError, Code};
use super::super::sessions::{self, POLL, qr_view, tenant};
use super::token::{Component, Embedded};
use crate::channel::qr::Picture;
use crate::channel::state::{State, explain};
use crate::store::sessions::Session;

/// A number to be linked, as a component shows it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Linking {
    /// The session; null: there is none before the first `connect`.
    id: Option<String>,
    /// As of a session; `disconnected` where there is none.
    state: State,
    /// Why, as a stable word; `none` where there is no session.
    reason: String,
    /// Why, in one sentence.
    sentence: String,
    /// What to do.
    advice: String,
    /// The linked number, digits.
    phone: Option<String>,
    /// The code to scan; null: there is none.
    qr: Option<Drawing>,
    /// How soon to ask again, in milliseconds.
    poll_after_ms: u64,
}

/// A QR code to be drawn: a page's own policy may allow it no pictures.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drawing {
    /// Units of a side, with the white ones around it.
    side: usize,
    /// What is dark: the `d` of an SVG path.
    path: String,
    /// Grows with every new code.
    version: i64,
    expires_at: Option<Time>,
    /// Seconds until then, by the server's clock.
    seconds_left: Option<i64>,
    /// Whether a new code is awaited: show this one greyed.
    expired: bool,
}

/// Where the number stands.
#[utoipa::path(get, path = "/api/v1/components/{site}/session", tag = "components", params(("site" = String, Path)),
    security(("componentToken" = [])), responses((status = 200, body = Success<Linking>)))]
pub async fn session(embedded: Embedded, parts: web::Data<Parts>) -> Answer {
    let embedded = embedded.only(Component::Connect)?;
    let found = meant(&embedded, &parts).await?;
    answer::ok("Session", view(&parts, found.as_ref()))
}

/// Begins to link the number, or goes on: soon there is a code to scan.
#[utoipa::path(post, path = "/api/v1/components/{site}/session/connect", tag = "components",
    params(("site" = String, Path)), security(("componentToken" = [])),
    responses((status = 200, body = Success<Linking>)))]
pub async fn connect(embedded: Embedded, parts: web::Data<Parts>) -> Answer {
    let embedded = embedded.only(Component::Connect)?;
    let session = match (embedded.claims.session, meant(&embedded, &parts).await?) {
        (Some(_), Some(session)) => {
            let line = sessions::line(&embedded.caller, &parts, "session.start", &session);
            parts.sessions.start(&session, &line).await?
        }
        (Some(_), None) => return Err(ApiError::not_found("session")),
        (None, _) => tenant::ensure(&embedded.caller, &parts).await?,
    };
    answer::ok("Connecting", view(&parts, Some(&session)))
}

/// Unlinks the number.
#[utoipa::path(post, path = "/api/v1/components/{site}/session/disconnect", tag = "components",
    params(("site" = String, Path)), security(("componentToken" = [])),
    responses((status = 200, body = Success<Linking>)))]
pub async fn disconnect(embedded: Embedded, parts: web::Data<Parts>) -> Answer {
    let embedded = embedded.only(Component::Connect)?;
    let Some(session) = meant(&embedded, &parts).await? else {
        return answer::ok("Already disconnected", view(&parts, None));
    };
    if session.state == State::LoggedOut.as_str() {
        return answer::ok("Already disconnected", view(&parts, Some(&session)));
    }
    let line = sessions::line(&embedded.caller, &parts, "session.logout", &session);
    let session = parts.sessions.logout(&session, &line).await?;
    answer::ok("Disconnected", view(&parts, Some(&session)))
}

/// Which phone is to be linked by a code.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ComponentPhone {
    /// 7 to 15 digits with their country code; `+` may lead.
    #[serde(default)]
    #[schema(value_type = String, required)]
    phone_number: Field<String>,
}

/// A code to type into the phone.
#[derive(Serialize, ToSchema)]
pub struct TypedCode {
    /// The session.
    id: String,
    /// Eight letters and digits.
    code: String,
}

/// A code to type into the phone instead of scanning; WhatsApp may refuse it, so the QR code stays.
#[utoipa::path(post, path = "/api/v1/components/{site}/session/pairing-code", tag = "components",
    params(("site" = String, Path)), security(("componentToken" = [])), request_body = ComponentPhone,
    responses((status = 200, body = Success<TypedCode>)))]
pub async fn pairing_code(embedded: Embedded, parts: web::Data<Parts>, body: Body) -> Answer {
    let embedded = embedded.only(Component::Connect)?;
    let asked: ComponentPhone = body.read()?;
    let mut fields = Fields::default();
    let number = fields.required("phoneNumber", asked.phone_number, phone);
    fields.done()?;
    let session = meant(&embedded, &parts).await?.ok_or_else(|| ApiError::not_found("session"))?;
    if session.state != State::Pairing.as_str() {
        let (sentence, advice) = explain(&session.reason);
        let detail = format!("It is not being linked now. {sentence} {advice}");
        return Err(ApiError::new(Code::WrongState, detail));
    }
    let code = parts.sessions.pairing_code(&session, &number.unwrap_or_default()).await?;
    answer::ok("Type the code into the phone", TypedCode { id: session.key(), code })
}

/// The token's session, or the tenant's default one if it names none; 404 once a named one is gone.
async fn meant(embedded: &Embedded, parts: &Parts) -> Result<Option<Session>, ApiError> {
    let Some(id) = embedded.claims.session else { return sessions::meant(&embedded.caller, parts).await };
    let found = parts.store.session(id).await?.filter(|session| {
        session.deleted_at.is_none() && session.tenant_id == embedded.caller.tenant.as_str()
    });
    found.map(Some).ok_or_else(|| ApiError::not_found("session"))
}

fn view(parts: &Parts, session: Option<&Session>) -> Linking {
    let Some(session) = session else {
        return Linking {
            id: None,
            state: State::Disconnected,
            reason: "none".to_owned(),
            sentence: "No number is linked yet.".to_owned(),
            advice: "Connect, and scan the code with the phone.".to_owned(),
            phone: None,
            qr: None,
            poll_after_ms: POLL,
        };
    };
    let (sentence, advice) = explain(&session.reason);
    let state = State::parse(&session.state);
    Linking {
        id: Some(session.key()),
        state,
        reason: session.reason.clone(),
        sentence: sentence.to_owned(),
        advice: advice.to_owned(),
        phone: session.phone.clone().filter(|_| state == State::Connected),
        qr: drawing(parts, session),
        poll_after_ms: POLL,
    }
}

fn drawing(parts: &Parts, session: &Session) -> Option<Drawing> {
    use secrecy::ExposeSecret;
    let picture = Picture::of(parts.sessions.qr_value(session)?.expose_secret())?;
    let now = parts.clock.now_ms();
    Some(Drawing {
        side: picture.side(),
        path: picture.path(),
        version: session.qr_version,
        expires_at: session.qr_expires_at.map(Time),
        seconds_left: session.qr_expires_at.map(|at| ((at - now) / 1_000).max(0)),
        expired: qr_view(session, now).is_expired(),
    })
}
