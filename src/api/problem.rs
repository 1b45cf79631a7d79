//! What a caller reads when a request fails: the API's only error, as `application/problem+json` (RFC 9457).

use std::fmt;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::QueryPayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, ResponseError};
use serde::Serialize;
use tracing_actix_web::RequestId;
use utoipa::ToSchema;

use crate::auth::password::PasswordError;
use crate::onboarding::Check;
use crate::store::StoreError;
use crate::store::people::PeopleError;

/// Seconds a caller is asked to wait when something of ours is away.
const LATER: u64 = 5;
/// The header a caller names its request with; made up when absent, and always sent back.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    /// The id of the request being answered: errors are written where nobody holds the request any more.
    static CURRENT: String;
}

macro_rules! codes {
    ($($name:ident $status:literal $code:literal $title:literal;)*) => {
        /// Every way a request can fail.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)] // the titles say it
        pub enum Code { $($name),* }

        impl Code {
            /// HTTP status, stable word, title.
            fn row(self) -> (u16, &'static str, &'static str) {
                match self { $(Self::$name => ($status, $code, $title)),* }
            }
        }
    };
}

codes! {
    Unreadable 400 "unreadable" "The request cannot be read";
    Invalid 400 "invalid" "Some values are not as expected";
    Unauthenticated 401 "unauthenticated" "A valid API key or sign-in is needed";
    SignInRefused 401 "sign_in_refused" "The e-mail address or the password is not right";
    LinkRefused 401 "link_refused" "The link is not good any more";
    Forbidden 403 "forbidden" "This caller may not do that";
    CrossSite 403 "cross_site" "The request comes from another site";
    NotFound 404 "not_found" "There is no such thing";
    WrongMethod 405 "method_not_allowed" "This address does not take that method";
    Exists 409 "already_exists" "It is there already";
    NumberTaken 409 "number_taken" "The number belongs to another tenant";
    NumberUnclear 409 "number_unclear" "Several numbers serve this chatbot";
    PrimaryTaken 409 "primary_taken" "Another chatbot is this number's primary";
    ForeignOverride 409 "foreign_override" "The webhooks go elsewhere by somebody's wish";
    NotActive 409 "not_active" "The account cannot send";
    WindowClosed 409 "window_closed" "The customer wrote too long ago";
    OptedOut 409 "opted_out" "The customer wants no messages";
    WrongState 409 "wrong_state" "It does not stand where that is possible";
    Unconfirmed 409 "confirmation_needed" "This needs a confirmation";
    LastOwner 409 "last_owner" "Nobody would be left to manage people";
    UnderWay 409 "request_under_way" "The same request is being answered";
    MediaFailed 410 "media_failed" "The file cannot be had any more";
    NotConnected 409 "not_connected" "The session is not connected";
    TooLarge 413 "too_large" "The body is too large";
    NotJson 415 "not_json" "The body must be application/json";
    GraphRefused 422 "graph_refused" "Meta refuses these values";
    KeyTaken 422 "idempotency_key_taken" "The Idempotency-Key belongs to another request";
    TooMany 429 "too_many_attempts" "Too many attempts";
    TooManyLines 429 "too_many_streams" "Too many live streams are open";
    StorageFull 507 "storage_full" "There is no room for it";
    Internal 500 "internal" "Something went wrong on our side";
    MediaWaiting 503 "media_waiting" "The file is not here yet";
    EngineUnreachable 502 "engine_unreachable" "The session's engine does not answer";
    KeyRefused 502 "key_refused" "The session's engine refuses our key";
    EngineRefused 502 "engine_refused" "The session's engine refuses";
    Unavailable 503 "unavailable" "The database does not answer";
    Busy 503 "busy" "This server has no room for it now";
    GraphUnreachable 503 "graph_unreachable" "Meta does not answer";
}

/// What is wrong with one field of a body or a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The field, nested ones with dots.
    pub field: String,
    /// What would have been right.
    pub message: String,
}

/// A request that failed.
#[derive(Debug, Clone)]
pub struct ApiError {
    code: Code,
    detail: String,
    fields: Vec<FieldError>,
    checks: Vec<Check>,
    /// Seconds to wait, where it is not the usual.
    wait: Option<u64>,
}

impl ApiError {
    /// A failure, with one sentence about this very case.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), fields: Vec::new(), checks: Vec::new(), wait: None }
    }

    /// Whether it failed in this way.
    pub fn is(&self, code: Code) -> bool {
        self.code == code
    }

    /// Too many attempts; the next is heard after `wait`.
    pub fn too_many(wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
        let detail = format!("Please try again in {seconds} s.");
        Self { wait: Some(seconds), ..Self::new(Code::TooMany, detail) }
    }

    /// Values that are not as expected, all of them at once.
    pub fn fields(fields: Vec<FieldError>) -> Self {
        let words: Vec<String> = fields.iter().map(|f| format!("{}: {}", f.field, f.message)).collect();
        Self { fields, ..Self::new(Code::Invalid, words.join("; ")) }
    }

    /// One value that is not as expected.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError { field: field.to_owned(), message: message.into() }])
    }

    /// There is no room for what this field holds.
    pub fn full(field: &str, detail: String) -> Self {
        let fields = vec![FieldError { field: field.to_owned(), message: detail.clone() }];
        Self { fields, ..Self::new(Code::StorageFull, detail) }
    }

    /// Not there, or another tenant's: the caller cannot tell.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("There is no such {what}."))
    }

    /// A refusal of one among many, in a row with those before it. Fails with what is no refusal of this one alone.
    pub fn at(self, field: &str, before: Option<Self>) -> Result<Self, Self> {
        if !matches!(self.code, Code::WindowClosed | Code::OptedOut) {
            return Err(self);
        }
        let refused = FieldError { field: field.to_owned(), message: self.detail.clone() };
        let mut all = before.unwrap_or(self);
        all.fields.push(refused);
        Ok(all)
    }

    /// With what onboarding found out.
    pub fn checks(self, checks: Vec<Check>) -> Self {
        Self { checks, ..self }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict => Self::new(Code::Exists, "Somebody has it already."),
            StoreError::Query(_) => {
                tracing::error!(%error, "a request failed in the database");
                Self::new(Code::Internal, "The failure is in our log under this request's id.")
            }
            StoreError::Unavailable(_) | StoreError::Full | StoreError::Fenced => {
                tracing::warn!(%error, "a request met no database");
                Self::new(Code::Unavailable, "The database does not answer; please try again.")
            }
        }
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::TooShort | PasswordError::TooLong | PasswordError::Common => {
                Self::field("password", error.to_string())
            }
            PasswordError::Busy => Self::too_many(Duration::from_secs(LATER)),
            PasswordError::Hashing => {
                tracing::error!(%error, "a password could not be hashed");
                Self::new(Code::Internal, "The failure is in our log under this request's id.")
            }
        }
    }
}

impl From<PeopleError> for ApiError {
    fn from(error: PeopleError) -> Self {
        match error {
            PeopleError::LastOwner => Self::new(Code::LastOwner, "Make somebody else an owner first."),
            PeopleError::Missing => Self::not_found("person"),
            PeopleError::Store(error) => error.into(),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.row().1, self.detail)
    }
}

/// A failed request: RFC 9457, with `success`, `error` and `message` for older callers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// `urn:switchboard:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The same for every case of this code.
    title: &'static str,
    /// HTTP status.
    status: u16,
    /// This very case.
    detail: String,
    /// Stable word to decide by.
    code: &'static str,
    /// To find the request in our log.
    request_id: String,
    /// Always false.
    success: bool,
    /// The title again.
    error: &'static str,
    /// The detail again.
    message: String,
    /// Field by field, when values are not as expected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// What was checked, when Meta refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<Check>,
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.row().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let (status, code, title) = self.code.row();
        let mut answer = HttpResponse::build(self.status_code());
        answer.insert_header((CONTENT_TYPE, "application/problem+json"));
        if self.code == Code::Unauthenticated {
            answer.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
        let later = matches!(
            self.code,
            Code::Unavailable
                | Code::GraphUnreachable
                | Code::MediaWaiting
                | Code::UnderWay
                | Code::TooManyLines
                | Code::Busy
        );
        if self.wait.is_some() || later {
            answer.insert_header((RETRY_AFTER, self.wait.unwrap_or(LATER)));
        }
        answer.json(Problem {
            kind: format!("urn:switchboard:problem:{code}"),
            title,
            status,
            detail: self.detail.clone(),
            code,
            request_id: CURRENT.try_with(Clone::clone).unwrap_or_default(),
            success: false,
            error: title,
            message: self.detail.clone(),
            errors: self.fields.clone(),
            checks: self.checks.clone(),
        })
    }
}

/// Middleware: every request has an id, the caller's own if it gave a sane one, and the answer says it.
pub async fn identified(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let sane = given.filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_graphic()));
    let id = sane.map(str::to_owned).unwrap_or_else(|| {
        let logged = request.extensions().get::<RequestId>().map(ToString::to_string);
        logged.unwrap_or_else(|| uuid::Uuid::now_v7().to_string())
    });
    let mut response = CURRENT
        .scope(id.clone(), async {
            // PostgreSQL takes no text with U+0000.
            if request.uri().path_and_query().is_some_and(|address| address.as_str().contains("%00")) {
                let error = ApiError::new(Code::Unreadable, "The address must not contain U+0000.");
                return Ok(request.into_response(error.error_response()).map_into_right_body());
            }
            Ok::<_, actix_web::Error>(next.call(request).await?.map_into_left_body())
        })
        .await?;
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    Ok(response)
}

/// The answer to a query that cannot be read: a parameter twice, or broken escapes.
pub fn unreadable_query(error: QueryPayloadError, _: &HttpRequest) -> actix_web::Error {
    let words = error.to_string();
    let field = words.split('`').nth(1).filter(|_| words.contains("field"));
    match field {
        Some(field) if words.contains("duplicate") => ApiError::field(field, "is there twice").into(),
        Some(field) => ApiError::field(field, "is missing, or not as expected").into(),
        None => ApiError::new(Code::Unreadable, "The query cannot be read.").into(),
    }
}

/// The answer of every address below `/api` that nobody serves.
pub async fn unknown_path() -> Result<HttpResponse, ApiError> {
    Err(ApiError::new(Code::NotFound, "Nothing is served at this address; see /openapi.json."))
}

/// The answer of an address that is served, by other methods.
pub async fn wrong_method(request: HttpRequest) -> HttpResponse {
    let pattern = request.match_pattern().unwrap_or_default();
    let served = super::ROUTES.iter().filter(|(_, path)| *path == pattern);
    let methods: Vec<String> = served.map(|(method, _)| method.to_ascii_uppercase()).collect();
    let allowed = methods.join(", ");
    let mut answer =
        ApiError::new(Code::WrongMethod, format!("This address takes {allowed}.")).error_response();
    if let Ok(allowed) = HeaderValue::from_str(&allowed) {
        answer.headers_mut().insert(ALLOW, allowed);
    }
    answer
}
