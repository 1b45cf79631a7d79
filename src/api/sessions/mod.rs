//! Sessions: numbers linked by QR code, as callers see and command them.

pub mod change;
pub mod events;
pub mod messages;
pub mod qr;
pub mod single;
pub mod tenant;
pub mod upkeep;

use actix_web::http::StatusCode;
use actix_web::web;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Parts;
use super::answer::{self, Answer, Listing, Page, Success, Time};
use super::body::{Body, Checked, Field, Fields, any};
use super::guard::{Caller, Manager, Reader};
use super::problem::{ApiError, Code};
use crate::auth::Permission;
use crate::channel::engine::EngineError;
use crate::channel::pace::Pace;
use crate::channel::state::{State, explain};
use crate::channel::{CommandError, Wish};
use crate::store::audit::Audit;
use crate::store::sessions::{Session, session_of};

/// How soon a page that polls should ask again, in milliseconds.
pub(super) const POLL: u64 = 3_000;
const DAY: i64 = 86_400_000;
/// Days after which a linked device is usually asked to scan again, and when people are warned.
const LIFE: i64 = 30;
const WARNING: i64 = 27;
/// Longest name that every engine takes.
const LONGEST_NAME: usize = 54;

/// A session.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    /// `ses_12`: also its number wherever a `phoneNumberId` stands.
    id: String,
    name: String,
    /// What runs it: `waha` or `sandbox`.
    engine: String,
    /// Who answers; null: nobody.
    chatbot_id: Option<String>,
    /// Whether it is meant where a call names none.
    is_default: bool,
    state: State,
    /// Why, as a stable word.
    reason: String,
    /// Why, in one sentence.
    sentence: &'static str,
    /// What to do.
    advice: &'static str,
    /// The engine's own words.
    detail: Option<String>,
    /// The linked number, digits.
    phone: Option<String>,
    /// The name on its profile.
    push_name: Option<String>,
    /// The QR code it shows; null: none. Its picture is at `…/qr`.
    qr: Option<QrView>,
    /// The picture's address, without sign-in, for five minutes from now; for those who may see it.
    qr_url: Option<String>,
    /// How soon to ask again, in milliseconds.
    poll_after_ms: u64,
    /// Days since it was linked.
    age_days: Option<i64>,
    /// That it will soon have to be scanned again.
    warning: Option<String>,
    /// Tries to bring it back since it was last well.
    reconnects: i64,
    queue: Queue,
    pace: Pace,
    connected_at: Option<Time>,
    disconnected_at: Option<Time>,
    linked_at: Option<Time>,
    created_at: Time,
}

/// A QR code, without its content.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QrView {
    /// Grows with every new code.
    version: i64,
    generated_at: Option<Time>,
    expires_at: Option<Time>,
    /// Whether a new one is awaited: show this one greyed.
    expired: bool,
}

impl QrView {
    /// Whether a new code is awaited.
    pub(super) fn is_expired(&self) -> bool {
        self.expired
    }
}

/// What waits to be sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// Answers of chatbots and people.
    answers: i64,
    /// Messages the business starts.
    started: i64,
    /// Those started and sent today.
    sent_today: i64,
    /// Today's cap for them.
    cap_today: i64,
}

/// A session to be made.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewSession {
    /// 1 to 54 letters, digits, hyphens or underscores; `tenant_<id>` for a tenant's first, unless given.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    name: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    engine: Field<String>,
    /// Who answers; nobody unless given.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    chatbot_id: Field<String>,
    /// To be linked by a code instead of a QR: ask for it at `…/pairing-code`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    phone_number: Field<String>,
    /// How fast the business may write through it.
    #[serde(default)]
    #[schema(value_type = Option<Pace>)]
    pace: Field<Pace>,
}

/// Makes a session and starts it: soon there is a QR code to scan.
#[utoipa::path(post, path = "/api/v1/sessions", tag = "sessions", request_body = NewSession,
    responses((status = 201, body = Success<SessionView>)))]
pub async fn create(caller: Manager, parts: web::Data<Parts>, body: Body) -> Answer {
    let new: NewSession = body.read()?;
    let mut fields = Fields::default();
    let name = fields.given("name", new.name, |name| name_for(&caller, name));
    let engines = parts.sessions.engines();
    let engine = fields.given("engine", new.engine, |engine| match engines.of(&engine) {
        Some(_) => Ok(engine),
        None => Err("is not an engine that is set up here".to_owned()),
    });
    let chatbot = fields.optional("chatbotId", new.chatbot_id, any).flatten();
    fields.given("phoneNumber", new.phone_number, super::outgoing::phone);
    let pace = fields.given("pace", new.pace, any).unwrap_or_default();
    change::check(&mut fields, &pace);
    fields.done()?;
    let chatbot = match chatbot {
        Some(id) => Some(caller.chatbot(&parts, &id).await?),
        None => None,
    };
    let name = match name {
        Some(name) => name,
        None => free_name(&caller, &parts).await?,
    };
    let line = caller.audit("session.create", &name, parts.clock.now_ms());
    let wish = Wish {
        tenant: caller.tenant.to_string(),
        name: name.clone(),
        engine: engine.unwrap_or_else(|| engines.usual().to_owned()),
        chatbot,
        pace,
    };
    let made = parts.sessions.create(wish, &line).await?;
    answer::success(StatusCode::CREATED, "Session created", view(&caller, &parts, made).await?)
}

/// The tenant's sessions, by age.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "sessions", params(Page),
    responses((status = 200, body = Listing<SessionView>)))]
pub async fn list(caller: Reader, parts: web::Data<Parts>, page: web::Query<Page>) -> Answer {
    let slice = page.slice::<i64>()?;
    let rows =
        parts.store.session_page(caller.tenant.as_str(), slice.after.unwrap_or(0), slice.fetch()).await?;
    let mut views = Vec::with_capacity(rows.len());
    for row in rows {
        views.push((row.id, view(&caller, &parts, row).await?));
    }
    slice.answer(views, |(id, _)| *id, |(_, view)| view)
}

/// One session.
#[utoipa::path(get, path = "/api/v1/sessions/{name}", tag = "sessions", params(("name" = String, Path)),
    responses((status = 200, body = Success<SessionView>)))]
pub async fn one(caller: Reader, parts: web::Data<Parts>, name: web::Path<String>) -> Answer {
    let session = find(&caller, &parts, &name).await?;
    answer::ok("Session", view(&caller, &parts, session).await?)
}

/// Starts a session; it may run already. One that rests shows a new QR code.
#[utoipa::path(post, path = "/api/v1/sessions/{name}/start", tag = "sessions", params(("name" = String, Path)),
    responses((status = 200, body = Success<SessionView>)))]
pub async fn start(caller: Manager, parts: web::Data<Parts>, name: web::Path<String>) -> Answer {
    let session = find(&caller, &parts, &name).await?;
    let line = line(&caller, &parts, "session.start", &session);
    let session = parts.sessions.start(&session, &line).await?;
    answer::ok("Session started", view(&caller, &parts, session).await?)
}

/// Stops a session; the phone stays linked, and what waits to be sent is kept.
#[utoipa::path(post, path = "/api/v1/sessions/{name}/stop", tag = "sessions", params(("name" = String, Path)),
    responses((status = 200, body = Success<SessionView>)))]
pub async fn stop(caller: Manager, parts: web::Data<Parts>, name: web::Path<String>) -> Answer {
    let session = find(&caller, &parts, &name).await?;
    let line = line(&caller, &parts, "session.stop", &session);
    let session = parts.sessions.stop(&session, &line).await?;
    answer::ok("Session stopped", view(&caller, &parts, session).await?)
}

/// Stops and starts a session; tries to reconnect are counted anew.
#[utoipa::path(post, path = "/api/v1/sessions/{name}/restart", tag = "sessions", params(("name" = String, Path)),
    responses((status = 200, body = Success<SessionView>)))]
pub async fn restart(caller: Manager, parts: web::Data<Parts>, name: web::Path<String>) -> Answer {
    let session = find(&caller, &parts, &name).await?;
    let line = line(&caller, &parts, "session.restart", &session);
    let session = parts.sessions.restart(&session, &line).await?;
    answer::ok("Session restarted", view(&caller, &parts, session).await?)
}

/// Unlinks the phone; what waits to be sent is kept for the next one.
#[utoipa::path(post, path = "/api/v1/sessions/{name}/logout", tag = "sessions", params(("name" = String, Path)),
    responses((status = 200, body = Success<SessionView>)))]
pub async fn logout(caller: Manager, parts: web::Data<Parts>, name: web::Path<String>) -> Answer {
    let session = find(&caller, &parts, &name).await?;
    let line = line(&caller, &parts, "session.logout", &session);
    let session = parts.sessions.logout(&session, &line).await?;
    answer::ok("Session logged out", view(&caller, &parts, session).await?)
}

/// Unlinks the phone and puts the session away: its name is free, what was said stays readable.
#[utoipa::path(delete, path = "/api/v1/sessions/{name}", tag = "sessions", params(("name" = String, Path)),
    responses((status = 200, body = Success<SessionView>)))]
pub async fn remove(caller: Manager, parts: web::Data<Parts>, name: web::Path<String>) -> Answer {
    let session = find(&caller, &parts, &name).await?;
    let line = line(&caller, &parts, "session.delete", &session);
    let gone = view(&caller, &parts, session.clone()).await?;
    parts.sessions.delete(&session, &line).await?;
    answer::ok("Session deleted", gone)
}

// ── what all of them share ──────────────────────────────────────────────────────────────────────────

/// The caller's session of this name (or id), or 404.
pub(super) async fn find(caller: &Caller, parts: &Parts, name: &str) -> Result<Session, ApiError> {
    let found = match session_of(name) {
        Some(id) => parts.store.session(id).await?.filter(|session| session.deleted_at.is_none()),
        None => parts.store.session_named(name).await?,
    };
    let theirs = found.filter(|session| session.tenant_id == caller.tenant.as_str());
    theirs.ok_or_else(|| ApiError::not_found("session"))
}

/// The session that is meant where none is named: the one called `CLIENT_ID` if it is the caller's, else the tenant's
/// default.
pub(super) async fn meant(caller: &Caller, parts: &Parts) -> Result<Option<Session>, ApiError> {
    if let Some(name) = &parts.client_id
        && let Some(session) = parts.store.session_named(name).await?
        && session.tenant_id == caller.tenant.as_str()
    {
        return Ok(Some(session));
    }
    Ok(parts.store.default_session(caller.tenant.as_str()).await?)
}

/// A line for the audit log.
pub(super) fn line<'a>(
    caller: &'a Caller,
    parts: &Parts,
    action: &'a str,
    session: &'a Session,
) -> Audit<'a> {
    caller.audit(action, &session.name, parts.clock.now_ms())
}

/// Names of the form `tenant_<id>` belong to that tenant alone.
fn name_for(caller: &Caller, name: String) -> Checked<String> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
    let name = super::body::word(LONGEST_NAME, allowed, "letters, digits, hyphens or underscores")(name)?;
    if name.starts_with("ses_") {
        return Err("must not look like an id".to_owned());
    }
    match name.strip_prefix("tenant_") {
        Some(tenant) if tenant != caller.tenant.as_str() => {
            Err("is of the form tenant_<id>, which belongs to that tenant".to_owned())
        }
        _ => Ok(name),
    }
}

/// `tenant_<id>` for the first, names that nobody guesses for more.
async fn free_name(caller: &Caller, parts: &Parts) -> Result<String, ApiError> {
    let first = format!("tenant_{}", caller.tenant);
    let usable = name_for(caller, first.clone()).is_ok();
    if usable && parts.store.session_named(&first).await?.is_none() {
        return Ok(first);
    }
    Ok(format!("wa-{}", hex::encode(crate::secret::random::<6>())))
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        let error = match error {
            CommandError::Store(error) => return error.into(),
            CommandError::NameTaken => {
                return Self::new(Code::Exists, "A session of this name is there already.");
            }
            CommandError::NoEngine => {
                return Self::new(Code::EngineUnreachable, "The engine of this session is not set up here.");
            }
            CommandError::Engine(error) => error,
        };
        let code = match &error {
            EngineError::Unreachable(_) => Code::EngineUnreachable,
            EngineError::KeyRefused => Code::KeyRefused,
            EngineError::Refused(_) => Code::EngineRefused,
        };
        Self::new(code, format!("{}. {}", capital(&error.to_string()), explain(error.reason()).1))
    }
}
fn capital(words: &str) -> String {
    let mut chars = words.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// What this caller may see of a session.
async fn view(caller: &Caller, parts: &Parts, session: Session) -> Result<SessionView, ApiError> {
    let now = parts.clock.now_ms();
    let pace = Pace::parse(&session.pace);
    let (answers, started) = parts.store.session_backlog(session.id).await?;
    let sent = parts.store.session_sent(session.id, pace.today(now)).await?;
    let cap_today = pace.cap(session.first_connected_at.unwrap_or(now), now);
    let qr_url = match may_pair(caller) && session.qr.is_some() {
        true => Some(qr::link(parts, &session).await?),
        false => None,
    };
    let age_days = session.paired_at.filter(|_| session.paired).map(|at| (now - at).max(0) / DAY);
    let (sentence, advice) = explain(&session.reason);
    Ok(SessionView {
        id: session.key(),
        state: State::parse(&session.state),
        sentence,
        advice,
        qr: session.qr.is_some().then(|| qr_view(&session, now)),
        qr_url,
        poll_after_ms: POLL,
        age_days,
        warning: age_days.filter(|days| *days >= WARNING).map(|days| {
            format!("Linked {days} days ago: WhatsApp usually wants a new scan after {LIFE} days. Have the phone at hand.")
        }),
        queue: Queue { answers, started, sent_today: sent.messages, cap_today },
        pace,
        reconnects: session.reconnects,
        connected_at: session.connected_at.map(Time),
        disconnected_at: session.disconnected_at.map(Time),
        linked_at: session.paired_at.map(Time),
        created_at: Time(session.created_at),
        name: session.name,
        engine: session.engine,
        chatbot_id: session.chatbot_id,
        is_default: session.is_default,
        reason: session.reason,
        detail: session.detail,
        phone: session.phone,
        push_name: session.push_name,
    })
}

/// The code a session shows, without its content.
pub(super) fn qr_view(session: &Session, now: i64) -> QrView {
    QrView {
        version: session.qr_version,
        generated_at: session.qr_at.map(Time),
        expires_at: session.qr_expires_at.map(Time),
        expired: session.qr_expires_at.is_none_or(|at| at <= now) || session.state != State::Pairing.as_str(),
    }
}

/// Whoever sees the QR code may own the number.
fn may_pair(caller: &Caller) -> bool {
    caller.role.can(Permission::Manage)
}
