//! Who answers for a chatbot: the response API (the default), any OpenAI-compatible endpoint, or an echo.
//!
//! One call each, no retries: whether to try again is the conversation's decision, by [`Failure::try_again`].

pub mod breaker;
mod guard;
mod openai;
mod response_api;
mod seen;

use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tracing::Instrument;
use tracing::field::Empty;
use url::Url;
use uuid::Uuid;

use crate::message::Entry;
use crate::telemetry::traces::TARGET;
use breaker::Breaker;
pub use guard::{Forbidden, check_url, guarded_client};
pub use seen::{Seen, SeenRequest, SeenResponse};

/// Largest answer we read, in bytes.
const MAX_ANSWER: usize = 256 * 1024;
/// How long a call may take unless the chatbot says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The kinds there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `POST {base}{path}` with the body of the response API.
    #[default]
    ResponseApi,
    /// `POST {base}/chat/completions`.
    Openai,
    /// Says what it was told. For trying things out.
    Echo,
}

/// How to reach a chatbot's responder; stored as JSON, served by the API in the same shape.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Which kind; `response_api` unless given.
    #[serde(default)]
    pub kind: Kind,
    /// Where it lives; the server's own default unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Path below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `metadata.originUrl` of the response API; `whatsapp://chat` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_url: Option<String>,
    /// Model name, for `openai`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// First message of every call, for `openai`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// How long one call may take, in milliseconds; 30,000 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

impl Settings {
    /// Reads the stored form. What cannot be read is the default: it was checked when it was stored.
    pub fn parse(stored: &str) -> Self {
        serde_json::from_str(stored).unwrap_or_default()
    }

    fn timeout(&self) -> Duration {
        self.timeout_ms.map_or(TIMEOUT, Duration::from_millis)
    }
}

/// One question to a responder.
#[derive(Debug)]
pub struct Call<'a> {
    /// The turn: the same for every try, so that the other side may recognise a repetition.
    pub turn_id: Uuid,
    /// Who is asked.
    pub chatbot_id: &'a str,
    /// The chatbot's key.
    pub api_key: Option<&'a SecretString>,
    /// How.
    pub settings: &'a Settings,
    /// The talk, oldest first, the newest message last.
    pub entries: &'a [Entry],
    /// Who asks, in the responder's memory.
    pub unique_client_id: &'a str,
    /// The customer's phone, if known.
    pub phone: Option<&'a str>,
    /// Where the exchange is written down for a person to see.
    pub seen: Option<&'a Seen>,
}

/// What a responder said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Markdown; never blank.
    pub text: String,
    /// A person should take over after this.
    pub hand_off: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Failure {
    /// A word to count and to show, e.g. `responder_timeout`.
    pub reason: &'static str,
    /// What happened, for people; never the customer's words.
    pub detail: String,
    /// Whether another try may help.
    pub try_again: bool,
}

impl Failure {
    fn later(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), try_again: true }
    }

    fn never(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), try_again: false }
    }
}

/// All responders behind one door. Cheap to clone.
#[derive(Clone)]
pub struct Responders {
    /// For addresses that tenants name.
    http: reqwest::Client,
    /// For the operator's own address, wherever it is. Not for a tenant who names the same host: its other ports and
    /// paths are no business of tenants.
    trusted: reqwest::Client,
    base_url: Option<Url>,
    path: String,
    allow_private: bool,
    breaker: Breaker,
}

impl Responders {
    /// `base_url` and `path` serve chatbots that name none of their own. Private addresses are refused unless allowed;
    /// the operator's own `base_url` is always allowed.
    pub fn new(base_url: Option<Url>, path: String, allow_private: bool) -> Result<Self, reqwest::Error> {
        let client = |allow_private| guarded_client(Duration::from_secs(120), allow_private);
        let (http, trusted) = (client(allow_private)?, client(true)?);
        Ok(Self { http, trusted, base_url, path, allow_private, breaker: Breaker::default() })
    }

    /// Asks once.
    pub async fn ask(&self, call: &Call<'_>, now_ms: i64) -> Result<Answer, Failure> {
        let span =
            tracing::info_span!(target: TARGET, "responder", chatbot = call.chatbot_id, outcome = Empty);
        let answer = match self.address(call.settings)? {
            None => echo(call),
            Some(url) => {
                let asking = self.guarded(call, &url, now_ms, self.exchange(call, &url));
                asking.instrument(span.clone()).await.and_then(spoken)
            }
        };
        span.record("outcome", answer.as_ref().map_or_else(|failure| failure.reason, |_| "answered"));
        answer
    }

    /// Asks once for a person who wants to see how it goes: whatever happened before, and without consequences.
    pub async fn try_out(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        match self.address(call.settings)? {
            None => echo(call),
            Some(url) => self.exchange(call, &url).await.and_then(spoken),
        }
    }

    async fn exchange(&self, call: &Call<'_>, url: &Url) -> Result<Answer, Failure> {
        let http = self.client(call.settings);
        match call.settings.kind {
            Kind::Openai => openai::ask(http, url, call).await,
            Kind::ResponseApi | Kind::Echo => response_api::ask(http, url, call).await,
        }
    }

    /// Where it is asked; nowhere: it is an echo.
    fn address(&self, settings: &Settings) -> Result<Option<Url>, Failure> {
        let path = match settings.kind {
            Kind::Echo => return Ok(None),
            Kind::ResponseApi => &self.path,
            Kind::Openai => "/chat/completions",
        };
        // A tenant names paths at addresses of its own alone.
        let own = settings.base_url.as_ref().and(settings.path.as_deref());
        self.url(settings, own.unwrap_or(path)).map(Some)
    }

    /// Through the breakers: refused connections count for the host, errors and timeouts for the chatbot alone.
    async fn guarded(
        &self,
        call: &Call<'_>,
        url: &Url,
        now_ms: i64,
        work: impl Future<Output = Result<Answer, Failure>>,
    ) -> Result<Answer, Failure> {
        let host = format!("host:{}", url.authority());
        let bot = format!("bot:{}", call.chatbot_id);
        for key in [&host, &bot] {
            if !self.breaker.allows(key, now_ms) {
                return Err(Failure::later(
                    "responder_resting",
                    "it failed too often; the next try is due soon",
                ));
            }
        }
        let result = work.await;
        let refused = matches!(&result, Err(f) if f.reason == "responder_unreachable");
        let broken = matches!(&result, Err(f) if f.try_again && !refused);
        self.breaker.record(&host, !refused, now_ms);
        if !refused {
            self.breaker.record(&bot, !broken, now_ms);
        }
        result
    }

    /// Who failed too often and is left alone just now: `bot:<chatbot>` and `host:<host>`.
    pub fn resting(&self) -> Vec<String> {
        self.breaker.resting()
    }

    fn client(&self, settings: &Settings) -> &reqwest::Client {
        if settings.base_url.is_some() { &self.http } else { &self.trusted }
    }

    fn url(&self, settings: &Settings, path: &str) -> Result<Url, Failure> {
        let base = match &settings.base_url {
            Some(own) => check_url(own, self.allow_private)
                .map_err(|e| Failure::never("responder_forbidden", e.to_string()))?,
            None => self.base_url.clone().ok_or_else(|| {
                Failure::never(
                    "responder_missing",
                    "neither the chatbot nor RESPONSE_API_BASE_URL names an address",
                )
            })?,
        };
        let text = format!("{}/{}", base.as_str().trim_end_matches('/'), path.trim_start_matches('/'));
        Url::parse(&text).map_err(|e| Failure::never("responder_missing", format!("not an address: {e}")))
    }
}

fn spoken(answer: Answer) -> Result<Answer, Failure> {
    if answer.text.trim().is_empty() {
        return Err(Failure::later("responder_empty", "the responder's answer is empty"));
    }
    Ok(answer)
}

fn echo(call: &Call<'_>) -> Result<Answer, Failure> {
    let last = call.entries.last().map(|e| e.content.clone()).unwrap_or_default();
    Ok(Answer { text: last, hand_off: false })
}

/// Sends a request; the body of a success, or why there is none.
async fn exchange(request: RequestBuilder, call: &Call<'_>) -> Result<(StatusCode, Vec<u8>), Failure> {
    let timeout = call.settings.timeout();
    let read = async {
        let (http, request) = request.build_split();
        let request = request?;
        if let Some(seen) = call.seen {
            seen.request(&request, call.api_key);
        }
        let mut response = http.execute(request).await?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
        }
        if let Some(seen) = call.seen {
            seen.response(status, response.headers(), &body, call.api_key);
        }
        Ok::<_, reqwest::Error>(Some((status, body)))
    };
    match tokio::time::timeout(timeout, read).await {
        Ok(Ok(Some(answer))) => Ok(answer),
        Ok(Ok(None)) => {
            Err(Failure::later("responder_too_long", "the responder's answer is longer than 256 KB"))
        }
        Ok(Err(error)) if error.is_connect() => {
            Err(Failure::later("responder_unreachable", format!("no connection: {}", root_cause(&error))))
        }
        Ok(Err(error)) if error.is_timeout() => Err(timed_out(timeout)),
        Ok(Err(error)) => {
            Err(Failure::later("responder_broken", format!("the call broke: {}", root_cause(&error))))
        }
        Err(_) => Err(timed_out(timeout)),
    }
}

fn timed_out(after: Duration) -> Failure {
    Failure::later("responder_timeout", format!("no answer within {} s", after.as_secs_f32()))
}

/// The innermost reason: reqwest's own words would repeat the URL.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The operator's responder may live in the private network; that opens its host to no tenant.
    #[tokio::test]
    async fn a_tenant_does_not_reach_the_operators_private_host() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
        let responders = Responders::new(Some(url.parse().unwrap()), "/".into(), false).unwrap();
        let knock = async |base_url: Option<String>| {
            let settings = Settings { base_url, ..Settings::default() };
            let request = responders.client(&settings).get(&url).timeout(Duration::from_millis(300));
            request.send().await.unwrap_err()
        };
        let own = knock(None).await;
        assert!(own.is_timeout() && !own.is_connect(), "connected, and nobody speaks there: {own:?}");
        let tenants = knock(Some(url.clone())).await;
        assert!(tenants.is_connect(), "not even connected: {tenants:?}");
    }
}
