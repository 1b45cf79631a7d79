//! Pairing: the QR code in every form, by a link without sign-in, and the code to type instead.

use actix_web::http::header::{ACCEPT, CACHE_CONTROL, ETAG};
use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::Parts;
use super::super::answer::{self, Answer, Success, Time};
use super::super::body::{Body, Field, Fields};
use super::super::guard::Manager;
use super::super::outgoing::phone;
use super::super::problem::{ApiError, Code};
use super::{POLL, find};
use crate::channel::qr::Picture;
use crate::channel::state::{State, explain};
use crate::secret;
use crate::store::sessions::Session;

/// How long a link is good after it was last asked for, and how much of that must be left before it is prolonged.
const LINK: i64 = 300_000;
const LEFT: i64 = 240_000;
/// What a link's hash is for.
const PURPOSE: &str = "session-qr";

/// A session's QR code, for a page that shows it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QrPage {
    /// The session.
    id: String,
    state: State,
    /// Why, as a stable word.
    reason: String,
    /// Why, in one sentence.
    sentence: &'static str,
    /// What to do.
    advice: &'static str,
    /// The picture as a `data:` URL; null: there is none, because the session is connected or not being linked.
    qr: Option<String>,
    /// Grows with every new code.
    version: i64,
    generated_at: Option<Time>,
    expires_at: Option<Time>,
    /// Whether a new code is awaited: show this one greyed.
    expired: bool,
    /// How soon to ask again, in milliseconds.
    poll_after_ms: u64,
}

/// In which form.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Form {
    /// `png`, `svg`, `dataurl`, `raw` (the text inside) or `json`; by the Accept header unless given.
    format: Option<String>,
}

/// The QR code that the session shows now, as a picture or for a page. It is replaced in place, and stays until a phone
/// is linked.
#[utoipa::path(get, path = "/api/v1/sessions/{name}/qr", tag = "sessions", params(("name" = String, Path), Form),
    responses((status = 200, body = Success<QrPage>)))]
pub async fn qr(
    caller: Manager,
    parts: web::Data<Parts>,
    request: HttpRequest,
    name: web::Path<String>,
    form: web::Query<Form>,
) -> Answer {
    let session = find(&caller, &parts, &name).await?;
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let form = match form.format.as_deref() {
        Some(form) => form,
        None if accept.contains("image/svg") => "svg",
        None if accept.contains("image/") => "png",
        None => "json",
    };
    if form == "json" {
        return answer::ok("QR code", page(&parts, &session));
    }
    picture(&parts, &session, form)
}

/// The same picture by its link alone: for five minutes after the link was given out.
#[utoipa::path(get, path = "/api/v1/session-qr/{token}", tag = "sessions", security(()),
    params(("token" = String, Path)), responses((status = 200, content_type = "image/png", body = String)))]
pub async fn by_link(parts: web::Data<Parts>, token: web::Path<String>) -> Answer {
    let missing = || ApiError::not_found("QR code");
    let (id, hash) = token.split_once('.').ok_or_else(missing)?;
    let session = match id.parse() {
        Ok(id) => parts.store.session(id).await?.filter(|session| session.deleted_at.is_none()),
        Err(_) => None,
    };
    let session = session.ok_or_else(missing)?;
    let known = parts.ring.keyed_hashes(PURPOSE, &said(&session));
    let genuine = known.iter().any(|known| secret::equal(known, hash));
    if !genuine || session.qr_link_until <= parts.clock.now_ms() {
        return Err(missing());
    }
    picture(&parts, &session, "png")
}

/// What a link vouches for: this session of this tenant, as it was last started.
fn said(session: &Session) -> String {
    format!("{}/{}/{}", session.tenant_id, session.id, session.epoch)
}

/// The picture's address, good for five minutes from now; the same one until the session is started anew.
pub(super) async fn link(parts: &Parts, session: &Session) -> Result<String, ApiError> {
    let now = parts.clock.now_ms();
    if session.qr_link_until < now + LEFT {
        parts.store.open_qr_link(session.id, now + LINK).await?;
    }
    let hash = parts.ring.keyed_hash(PURPOSE, &said(session));
    Ok(format!("{}/api/v1/session-qr/{}.{hash}", parts.public_url, session.id))
}

fn page(parts: &Parts, session: &Session) -> QrPage {
    let (sentence, advice) = explain(&session.reason);
    let shown = super::qr_view(session, parts.clock.now_ms());
    QrPage {
        id: session.key(),
        state: State::parse(&session.state),
        reason: session.reason.clone(),
        sentence,
        advice,
        qr: data_url(parts, session),
        version: shown.version,
        generated_at: shown.generated_at,
        expires_at: shown.expires_at,
        expired: shown.expired,
        poll_after_ms: POLL,
    }
}

/// The picture as a `data:` URL, if there is one.
pub(super) fn data_url(parts: &Parts, session: &Session) -> Option<String> {
    let value = parts.sessions.qr_value(session)?;
    Some(Picture::of(value.expose_secret())?.data_url())
}

fn picture(parts: &Parts, session: &Session, form: &str) -> Answer {
    let none = || {
        let (sentence, advice) = explain(&session.reason);
        ApiError::new(Code::NotFound, format!("There is no QR code now. {sentence} {advice}"))
    };
    let value = parts.sessions.qr_value(session).ok_or_else(none)?;
    let text = value.expose_secret();
    let drawn = || Picture::of(text).ok_or_else(none);
    let (kind, body) = match form {
        "png" => ("image/png", drawn()?.png()),
        "svg" => ("image/svg+xml", drawn()?.svg().into_bytes()),
        "dataurl" => ("text/plain; charset=utf-8", drawn()?.data_url().into_bytes()),
        "raw" => ("text/plain; charset=utf-8", text.as_bytes().to_vec()),
        _ => return Err(ApiError::field("format", "must be png, svg, dataurl, raw or json")),
    };
    Ok(HttpResponse::Ok()
        .content_type(kind)
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((ETAG, format!("\"{}\"", session.qr_version)))
        .body(body))
}

/// Which phone is to be linked.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PairingPhone {
    /// 7 to 15 digits with their country code; `+` may lead.
    #[serde(default)]
    #[schema(value_type = String, required)]
    phone_number: Field<String>,
}

/// A code to type into the phone.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PairingCode {
    /// The session.
    id: String,
    /// Eight letters and digits, to be typed under Linked devices, Link with phone number.
    code: String,
    /// For which phone.
    phone_number: String,
}

/// A code to type into the phone instead of scanning; WhatsApp may refuse it, so the QR code stays.
#[utoipa::path(post, path = "/api/v1/sessions/{name}/pairing-code", tag = "sessions",
    params(("name" = String, Path)), request_body = PairingPhone, responses((status = 200, body = Success<PairingCode>)))]
pub async fn pairing_code(
    caller: Manager,
    parts: web::Data<Parts>,
    name: web::Path<String>,
    body: Body,
) -> Answer {
    let session = find(&caller, &parts, &name).await?;
    let asked: PairingPhone = body.read()?;
    let mut fields = Fields::default();
    let number = fields.required("phoneNumber", asked.phone_number, phone);
    fields.done()?;
    if session.state != State::Pairing.as_str() {
        let (sentence, advice) = explain(&session.reason);
        return Err(ApiError::new(
            Code::WrongState,
            format!("It is not being linked now. {sentence} {advice}"),
        ));
    }
    let phone_number = number.unwrap_or_default();
    let code = parts.sessions.pairing_code(&session, &phone_number).await?;
    answer::ok("Type the code into the phone", PairingCode { id: session.key(), code, phone_number })
}
