//! The endpoints, under any version, and what they share: errors in Meta's words, tokens, faults.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::state::{Denied, State};
use super::{Call, Fault, faults, manage, media, messages, signup};
use crate::sandbox::lock;
use crate::sandbox::server::hang_up;

pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            web::scope(r"/v{version:\d+\.\d+}")
                .route("/{id}/messages", web::post().to(messages::post))
                .route("/oauth/access_token", web::get().to(signup::access_token))
                .route("/{id}/register", web::post().to(signup::register))
                .route("/{id}/media", web::post().to(media::upload))
                .route("/debug_token", web::get().to(manage::debug_token))
                .route("/{id}/phone_numbers", web::get().to(manage::phone_numbers))
                .service(
                    web::resource("/{id}/subscribed_apps")
                        .get(manage::subscribed_apps)
                        .post(manage::subscribe)
                        .delete(manage::unsubscribe),
                )
                .service(web::resource("/{id}").get(media::object).post(manage::configure_number)),
        )
        .route("/files/{id}", web::get().to(media::fetch));
}

/// A call turned away, in Meta's words.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    http: u16,
    code: i64,
    message: &'static str,
    details: Cow<'static, str>,
}

impl Refusal {
    pub(super) fn new(
        http: u16,
        code: i64,
        message: &'static str,
        details: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { http, code, message, details: details.into() }
    }

    /// Code 100: something about the request itself is wrong.
    pub(super) fn invalid(details: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, 100, "Invalid parameter", details)
    }

    pub(super) fn answer(self) -> HttpResponse {
        let status = StatusCode::from_u16(self.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        HttpResponse::build(status).json(json!({
            "error": {
                "message": format!("(#{}) {}", self.code, self.message),
                "type": if self.code == 190 { "OAuthException" } else { "GraphMethodException" },
                "code": self.code,
                "error_data": { "messaging_product": "whatsapp", "details": self.details },
                "fbtrace_id": "Sandbox",
            }
        }))
    }
}

impl From<Denied> for Refusal {
    fn from(why: Denied) -> Self {
        match why {
            Denied::Token => {
                Self::new(401, 190, "Invalid OAuth access token", "The token is not valid here.")
            }
            Denied::NoSuchObject => {
                Self::new(400, 100, "Unsupported request", "No such object for this token.")
            }
        }
    }
}

pub(super) fn bearer(request: &HttpRequest) -> Result<&str, Refusal> {
    request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .filter(|token| !token.is_empty())
        .ok_or_else(|| {
            Refusal::new(401, 190, "An access token is required", "Authorization: Bearer is missing.")
        })
}

/// Lets `work` happen in the manner of the fault that is due, if any.
pub(super) async fn with_faults(
    state: &State,
    request: &HttpRequest,
    call: Call,
    id: &str,
    work: impl AsyncFnOnce() -> HttpResponse,
) -> HttpResponse {
    state.calls.fetch_add(1, Ordering::Relaxed);
    let fault = faults::take(&mut lock(&state.rules), call, id);
    match fault {
        None => work().await,
        Some(Fault::Error { http, code, retry_after }) => {
            let mut answer =
                Refusal::new(http, code, "As the sandbox was told", "A fault on demand.").answer();
            if let Some(seconds) = retry_after {
                answer.headers_mut().insert(RETRY_AFTER, seconds.into());
            }
            answer
        }
        Some(Fault::Slow(delay)) => {
            tokio::time::sleep(delay).await;
            work().await
        }
        Some(Fault::Hang(delay)) => {
            let answer = work().await;
            tokio::time::sleep(delay).await;
            answer
        }
        Some(Fault::LoseAnswer) => {
            let answer = work().await;
            hang_up(request);
            answer
        }
        Some(Fault::HangUp) => {
            hang_up(request);
            HttpResponse::BadGateway().finish()
        }
    }
}
