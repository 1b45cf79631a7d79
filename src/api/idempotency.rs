//! `Idempotency-Key`: a request that is sent again with the same key is answered as the first one was, and does nothing.
//!
//! What succeeded is remembered for a day, for each credential alone. What failed is forgotten, so that it may be mended
//! and sent again. A message is committed together with the answer that tells of it: however a request breaks off,
//! repeating it sends nothing twice.

use actix_web::body::{BoxBody, MessageBody, to_bytes_limited};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use futures_util::StreamExt;
use secrecy::ExposeSecret;
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::Parts;
use super::components::token::Embedded;
use super::guard::Caller;
use super::problem::{ApiError, Code};
use crate::graph::multipart;
use crate::secret::{Place, Ring};
use crate::store::idempotency::{Claim, Kept, Slot};

/// The header.
pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is a remembered one.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Largest body that may carry a key, since it is read whole: a file of 16 MB, and the form around it.
const MAX_BODY: usize = (16 << 20) + (64 << 10);
/// Largest answer that is remembered; ours are far smaller.
const MAX_ANSWER: usize = 1 << 20;

tokio::task_local! {
    /// The key of the request being answered.
    static CURRENT: Once;
}

/// A key, and what it takes to remember an answer under it.
#[derive(Clone)]
pub(super) struct Once {
    pub slot: Slot,
    place: Place,
    ring: Ring,
}

impl Once {
    /// The key of the request being answered, if it has one.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// The answer as it is remembered. Some show a secret once, so all are sealed.
    pub fn kept(&self, status: StatusCode, answer: &impl Serialize) -> Option<Kept> {
        serde_json::to_vec(answer).ok().map(|json| self.seal(status, &json))
    }

    fn seal(&self, status: StatusCode, body: &[u8]) -> Kept {
        Kept { status: status.as_u16().into(), answer: self.ring.seal(body, &self.place) }
    }

    fn open(&self, kept: &Kept) -> Option<HttpResponse> {
        let body = self.ring.open(&kept.answer, &self.place).ok()?;
        let status = StatusCode::from_u16(u16::try_from(kept.status).ok()?).ok()?;
        let mut answer = HttpResponse::build(status);
        answer.insert_header((CONTENT_TYPE, "application/json"));
        answer.insert_header((REPLAYED, HeaderValue::from_static("true")));
        Some(answer.body(body.expose_secret().to_owned()))
    }
}

/// Middleware: a `POST` with a key is done once.
pub async fn once(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let key = request.headers().get(KEY).filter(|_| request.method() == Method::POST).cloned();
    let Some(key) = key else { return Ok(next.call(request).await?.map_into_boxed_body()) };
    // A stranger is told so by the handler.
    let Some((caller, about)) = caller(request.request()).await else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let begun = begin(&mut request, &caller, &about, &key).await;
    let (parts, once) = match begun {
        Ok(Begun::Now(parts, once)) => (parts, once),
        Ok(Begun::Before(answer)) => return Ok(request.into_response(answer)),
        Err(error) => return Ok(request.into_response(error.error_response())),
    };
    let response = CURRENT.scope(once.clone(), next.call(request)).await;
    let done = matches!(&response, Ok(response) if response.status().is_success());
    if !done {
        if let Err(error) = parts.store.release_key(&once.slot).await {
            tracing::warn!(%error, "an Idempotency-Key is free again only later");
        }
        return Ok(response?.map_into_boxed_body());
    }
    let (request, response) = response?.into_parts();
    let (head, body) = response.into_parts();
    let Ok(Ok(body)) = to_bytes_limited(body, MAX_ANSWER).await else {
        let error = ApiError::new(Code::Internal, "It was done, and the answer to it was lost.");
        return Ok(ServiceResponse::new(request, error.error_response()));
    };
    if let Err(error) = parts.store.keep_answer(&once.slot, &once.seal(head.status(), &body)).await {
        tracing::warn!(%error, "an answer could not be remembered under its Idempotency-Key");
    }
    Ok(ServiceResponse::new(request, head.set_body(body).map_into_boxed_body()))
}

/// Whoever asks, and what their credential alone says of what they ask for.
async fn caller(request: &HttpRequest) -> Option<(Caller, String)> {
    match Caller::of(request).await {
        Ok(caller) => Some((caller, String::new())),
        Err(_) => Embedded::of(request).await.ok().map(|page| (page.caller, page.claims.target())),
    }
}

/// How the API's description tells of it.
pub(super) fn parameter() -> Parameter {
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Made up by the caller for one request, up to 255 characters: sent again within 24 hours, the same request \
             is answered as before and does nothing.",
        ))
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .min_length(Some(1))
                .max_length(Some(255))
                .pattern(Some("^[!-~]+$")),
        ))
        .build()
}

enum Begun {
    Now(web::Data<Parts>, Once),
    Before(HttpResponse),
}

async fn begin(
    request: &mut ServiceRequest,
    caller: &Caller,
    about: &str,
    key: &HeaderValue,
) -> Result<Begun, ApiError> {
    let sane = |key: &&str| (1..=255).contains(&key.len()) && key.bytes().all(|c| c.is_ascii_graphic());
    let key =
        key.to_str().ok().filter(sane).ok_or_else(|| {
            ApiError::field("Idempotency-Key", "must have 1 to 255 characters, without blanks")
        })?;
    let parts = request.app_data::<web::Data<Parts>>().cloned();
    let parts =
        parts.ok_or_else(|| ApiError::new(Code::Internal, "The API was started without its parts."))?;
    let place = Place::new(&caller.tenant, "idempotency_keys", "answer", format!("{}/{key}", caller.actor));
    let slot = Slot { tenant: caller.tenant.to_string(), actor: caller.actor.clone(), key: key.to_owned() };
    let once = Once { slot, place, ring: parts.ring.clone() };
    let body = read(request).await?;
    // Keyed: the body may hold a password, and a plain hash of it could be guessed at.
    // Under every key there is: it may have been rotated since.
    let digests = parts.ring.keyed_hashes("idempotency", &digest(request, about, &body));
    request.set_payload(Payload::from(body));
    match parts.store.claim_key(&once.slot, &digests, parts.clock.now_ms()).await? {
        Claim::Fresh => Ok(Begun::Now(parts, once)),
        Claim::Answered(kept) => once.open(&kept).map(Begun::Before).ok_or_else(|| {
            ApiError::new(Code::Internal, "It was done before, and the answer to it cannot be read any more.")
        }),
        Claim::UnderWay => {
            Err(ApiError::new(Code::UnderWay, "The same request is being answered: ask again in a moment."))
        }
        Claim::Taken => {
            let detail =
                "Another request had this Idempotency-Key within the last 24 hours: make up a new one.";
            Err(ApiError::new(Code::KeyTaken, detail))
        }
    }
}

async fn read(request: &mut ServiceRequest) -> Result<web::Bytes, ApiError> {
    let broken = || ApiError::new(Code::Unreadable, "The body broke off.");
    let mut payload = request.extract::<web::Payload>().await.map_err(|_| broken())?;
    let mut body = web::BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| broken())?;
        if body.len() + chunk.len() > MAX_BODY {
            return Err(ApiError::new(Code::TooLarge, format!("A body may have {MAX_BODY} bytes.")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// What makes two requests the same: whom they are about, address, type and body. The boundary of a form is made up anew
/// each time.
fn digest(request: &ServiceRequest, about: &str, body: &[u8]) -> String {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let mut hash = Sha256::new();
    let mut add = |piece: &[u8]| {
        hash.update((piece.len() as u64).to_be_bytes());
        hash.update(piece);
    };
    add(about.as_bytes());
    add(request.uri().path().as_bytes());
    add(request.query_string().as_bytes());
    match multipart::read(kind, body) {
        Some(form) => form.iter().for_each(|part| {
            add(part.name.as_bytes());
            add(part.filename.as_deref().unwrap_or_default().as_bytes());
            add(part.mime_type.as_deref().unwrap_or_default().as_bytes());
            add(part.content);
        }),
        None => [kind.as_bytes(), body].into_iter().for_each(add),
    }
    hex::encode(hash.finalize())
}
