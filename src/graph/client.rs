//! The Graph API over HTTP: one call each, no retries, no memory. What a failure means is in [`super::errors`].
//!
//! The difference that matters is between "certainly not sent" and "perhaps sent": `/messages` knows no
//! idempotency key, so a repeated call may be a second message on the customer's phone.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::errors::GraphError;
use super::{messages, signature};

/// How long one call may take, connecting included.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Largest answer we read, in bytes.
const MAX_ANSWER: usize = 256 * 1024;

/// What proves to Graph who is calling. Neither part is ever shown by `Debug`.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The account's access token; travels in the `Authorization` header only.
    pub token: SecretString,
    /// Its app's secret when known: adds `appsecret_proof`.
    pub app_secret: Option<SecretString>,
}

/// Meta took the message. Whether it arrives, statuses tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Meta's ID of the message.
    pub wamid: String,
}

/// Why a call did not succeed, and how sure that is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendFailure {
    /// No connection: nothing was written, so it may be tried again.
    #[error("Meta could not be reached: {0}")]
    NotSent(String),
    /// Meta answered no, and it certainly did not go out; [`GraphError::verdict`] says what follows.
    #[error("{error}")]
    Refused {
        /// Meta's words.
        error: GraphError,
        /// From `Retry-After`, when it names seconds.
        retry_after: Option<Duration>,
    },
    /// The answer was lost, unreadable or a fault of Meta's (5xx): the call may have had its effect.
    #[error("no certain answer: {detail}")]
    Ambiguous {
        /// What happened.
        detail: String,
        /// Meta's own code, when it was Meta's own fault.
        code: Option<i64>,
    },
}

impl SendFailure {
    pub(super) fn lost(detail: impl Into<String>) -> Self {
        Self::Ambiguous { detail: detail.into(), code: None }
    }
}

/// A Graph API at one address and version.
#[derive(Debug, Clone)]
pub struct GraphClient {
    pub(super) root: Url,
    pub(super) http: Client,
}

impl GraphClient {
    /// `base_url` such as `https://graph.facebook.com`, `version` such as `v26.0`. `http` should not follow
    /// redirects: a token must not travel to another host.
    pub fn new(base_url: Url, version: &str, http: Client) -> Self {
        Self { root: join(base_url, &[version]), http }
    }

    /// Sends a body made by [`messages`].
    pub async fn send(
        &self,
        phone_number_id: &str,
        credentials: &Credentials,
        body: &Value,
    ) -> Result<Accepted, SendFailure> {
        let path = [phone_number_id, "messages"];
        let answer = self.call(Method::POST, &path, &[], credentials, Some(body)).await?;
        match answer["messages"][0]["id"].as_str() {
            Some(wamid) if !wamid.is_empty() => Ok(Accepted { wamid: wamid.to_owned() }),
            _ => Err(SendFailure::lost("success without a message ID")),
        }
    }

    /// Blue ticks on a customer's message, and the typing indicator for 25 s or until the answer.
    pub async fn mark_read_and_type(
        &self,
        phone_number_id: &str,
        credentials: &Credentials,
        wamid: &str,
    ) -> Result<(), SendFailure> {
        let body = messages::read_and_typing(wamid);
        self.call(Method::POST, &[phone_number_id, "messages"], &[], credentials, Some(&body)).await.map(drop)
    }

    /// One call; the answer is JSON without an `error`.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        credentials: &Credentials,
        body: Option<&Value>,
    ) -> Result<Value, SendFailure> {
        let mut request = self.authorized(method, path, query, credentials)?;
        if let Some(body) = body {
            request = request.json(body);
        }
        Self::answer(request, credentials.token.expose_secret()).await
    }

    /// A call without its body.
    pub(super) fn authorized(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        credentials: &Credentials,
    ) -> Result<RequestBuilder, SendFailure> {
        let token = credentials.token.expose_secret();
        let mut url = join(self.root.clone(), path);
        for (key, value) in query {
            url.query_pairs_mut().append_pair(key, value);
        }
        if let Some(secret) = &credentials.app_secret {
            let proof = signature::app_secret_proof(secret.expose_secret().as_bytes(), token.as_bytes());
            url.query_pairs_mut().append_pair("appsecret_proof", &proof);
        }
        Ok(self.http.request(method, url).timeout(TIMEOUT).header(AUTHORIZATION, bearer(token)?))
    }

    /// The address of this path below the version.
    pub(super) fn url(&self, path: &[&str]) -> Url {
        join(self.root.clone(), path)
    }

    /// A request without credentials of its own.
    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url).timeout(TIMEOUT)
    }

    /// What a request is answered: JSON without an `error`. `secret` appears in no error.
    pub(super) async fn answer(request: RequestBuilder, secret: &str) -> Result<Value, SendFailure> {
        let response = request.send().await?;
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let answer = read_capped(response).await?;
        if status.is_success() {
            let unreadable = |_| SendFailure::lost("success with an unreadable body");
            let json: Value = serde_json::from_slice(&answer).map_err(unreadable)?;
            if json["error"].is_null() {
                return Ok(json);
            }
        }
        let mut error = GraphError::parse(status.as_u16(), &answer);
        hide(&mut error, secret);
        if !error.verdict().certainly_not_sent() {
            return Err(SendFailure::Ambiguous { detail: error.to_string(), code: error.code });
        }
        Err(SendFailure::Refused { error, retry_after })
    }
}

/// Appends path segments, escaped, so that an ID can never leave its place in the path.
fn join(mut url: Url, segments: &[&str]) -> Url {
    // Fails only for addresses like `mailto:`, which no request will accept either.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

pub(super) fn bearer(token: &str) -> Result<HeaderValue, SendFailure> {
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
        // What no header can carry, Meta never issued: the same as its own "invalid token".
        let message = "the access token holds characters that no token has".to_owned();
        let error = GraphError {
            http: 0,
            code: Some(190),
            message,
            details: None,
            fbtrace_id: None,
            is_transient: false,
        };
        SendFailure::Refused { error, retry_after: None }
    })?;
    header.set_sensitive(true);
    Ok(header)
}

/// Meta quotes a malformed token back; no error may carry it on.
pub(super) fn hide(error: &mut GraphError, token: &str) {
    if token.is_empty() {
        return;
    }
    error.message = error.message.replace(token, "[token]");
    error.details = error.details.take().map(|details| details.replace(token, "[token]"));
}

impl From<reqwest::Error> for SendFailure {
    /// The URL goes, for it holds `appsecret_proof`.
    fn from(error: reqwest::Error) -> Self {
        let never_written = error.is_connect() || error.is_builder();
        let error = error.without_url();
        let mut words = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            words = format!("{words}: {inner}");
            cause = inner.source();
        }
        if never_written { Self::NotSent(words) } else { Self::lost(words) }
    }
}

async fn read_capped(mut response: Response) -> Result<Vec<u8>, SendFailure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(SendFailure::lost("the answer is too large"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(86_400)))
}

#[cfg(test)]
pub(super) mod tests;
