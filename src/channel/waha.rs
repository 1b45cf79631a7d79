//! A WAHA server over HTTP: the calls of its 2026 contract, in the ways older ones understand too.

pub mod inbound;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Client, Method, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::Url;

use super::engine::{EngineError, Me, Qr, Seen, SendFailure, Spec};
use inbound::{bare_id, digits_of};

/// How long a look may take: a session says within ten seconds that its engine is away.
const LOOK: Duration = Duration::from_secs(6);
/// How long anything else may take. WAHA itself waits 5 s before it refuses a call to a session that is not connected.
const CALL: Duration = Duration::from_secs(30);
/// How long one look at all sessions serves all their watchers.
const FRESH: Duration = Duration::from_secs(1);
/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 4 << 20;
/// What we want to be told of. `message.any` holds what a person writes on the phone, too.
const EVENTS: [&str; 3] = ["session.status", "message.any", "message.ack"];

/// A WAHA server. Cheap to clone.
#[derive(Clone)]
pub struct Waha(Arc<Inner>);

struct Inner {
    root: Url,
    key: Option<SecretString>,
    /// Where its webhooks go: our own address as WAHA sees it.
    callback: String,
    http: Client,
    /// All sessions as last listed; an error is remembered as long as an answer.
    listed: Mutex<Option<(Instant, Listed)>>,
}

/// Every session by its name, or why there is no list.
type Listed = Result<Arc<HashMap<String, Seen>>, EngineError>;

/// What a call came to.
enum Outcome {
    Done(Value),
    /// An answer that is no success.
    Refused(StatusCode, String),
}

impl Waha {
    /// `root` such as `http://waha:3000/api`; `callback` such as `http://switchboard:3000`.
    pub fn new(root: Url, key: Option<SecretString>, callback: String, http: Client) -> Self {
        Self(Arc::new(Inner { root, key, callback, http, listed: Mutex::default() }))
    }

    async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Outcome, reqwest::Error> {
        let mut url = self.0.root.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.0.http.request(method, url).timeout(patience);
        if let Some(key) = &self.0.key {
            request = request.header("X-Api-Key", key.expose_secret());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        let body = read_capped(response).await?;
        // 2024.10 answers "nothing" with an empty 200.
        let answer = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(Outcome::Done(answer));
        }
        Ok(Outcome::Refused(status, words_of(&answer)))
    }

    /// A call whose failure is about the session, not about one message.
    async fn ask(&self, method: Method, path: &[&str], body: Option<&Value>) -> Result<Outcome, EngineError> {
        let patience = if method == Method::GET { LOOK } else { CALL };
        self.asked(self.call(method, path, &[], body, patience).await)
    }

    fn asked(&self, outcome: Result<Outcome, reqwest::Error>) -> Result<Outcome, EngineError> {
        match outcome {
            Err(error) => Err(EngineError::Unreachable(words(error))),
            Ok(Outcome::Refused(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _)) => {
                Err(EngineError::KeyRefused)
            }
            // What stands before WAHA answers so while it is away, and WAHA itself while it is not ready.
            Ok(Outcome::Refused(status, words)) if status.is_server_error() => {
                Err(EngineError::Unreachable(format!("{status}: {words}")))
            }
            Ok(outcome) => Ok(outcome),
        }
    }

    /// A command; a session that is not there is fine.
    async fn command(&self, name: &str, what: &str) -> Result<(), EngineError> {
        match self.ask(Method::POST, &["sessions", name, what], None).await? {
            Outcome::Done(_) | Outcome::Refused(StatusCode::NOT_FOUND, _) => Ok(()),
            Outcome::Refused(_, words) => Err(EngineError::Refused(words)),
        }
    }

    pub(super) async fn start(&self, spec: Spec<'_>) -> Result<(), EngineError> {
        let config = self.config(&spec);
        let made = json!({ "name": spec.name, "start": true, "config": config });
        match self.ask(Method::POST, &["sessions"], Some(&made)).await? {
            Outcome::Done(_) => return Ok(()),
            // There already: its settings may be of an older start of ours.
            Outcome::Refused(StatusCode::UNPROCESSABLE_ENTITY, words) if words.contains("already") => {}
            Outcome::Refused(_, words) => return Err(EngineError::Refused(words)),
        }
        let body = json!({ "config": config });
        if let Outcome::Refused(_, words) =
            self.ask(Method::PUT, &["sessions", spec.name], Some(&body)).await?
        {
            return Err(EngineError::Refused(words));
        }
        match self.ask(Method::POST, &["sessions", spec.name, "start"], None).await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Refused(_, words) => Err(EngineError::Refused(words)),
        }
    }

    pub(super) async fn align(&self, spec: Spec<'_>) -> Result<(), EngineError> {
        let Outcome::Done(session) = self.ask(Method::GET, &["sessions", spec.name], None).await? else {
            return Ok(());
        };
        let wanted = self.config(&spec);
        let webhooks = session["config"]["webhooks"].as_array();
        if webhooks.into_iter().flatten().any(|webhook| webhook["url"] == wanted["webhooks"][0]["url"]) {
            return Ok(());
        }
        // It restarts the session, so it is done only when nothing would be heard without it.
        match self.ask(Method::PUT, &["sessions", spec.name], Some(&json!({ "config": wanted }))).await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Refused(_, words) => Err(EngineError::Refused(words)),
        }
    }

    fn config(&self, spec: &Spec<'_>) -> Value {
        let mut url = format!("{}/api/webhook/waha?tenant_id=", self.0.callback);
        url.extend(url::form_urlencoded::byte_serialize(spec.tenant.as_bytes()));
        let mut webhook = json!({
            "url": url, "events": EVENTS,
            "retries": { "policy": "exponential", "delaySeconds": 2, "attempts": 12 },
        });
        if let Some(key) = spec.webhook_key {
            webhook["hmac"] = json!({ "key": key.expose_secret() });
        }
        json!({ "metadata": { "tenant": spec.tenant }, "webhooks": [webhook] })
    }

    pub(super) async fn stop(&self, name: &str) -> Result<(), EngineError> {
        self.command(name, "stop").await
    }

    pub(super) async fn restart(&self, name: &str) -> Result<(), EngineError> {
        self.command(name, "restart").await
    }

    pub(super) async fn logout(&self, name: &str) -> Result<(), EngineError> {
        self.command(name, "logout").await?;
        // A session that ran is started again by its log-out.
        self.command(name, "stop").await
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), EngineError> {
        match self.ask(Method::DELETE, &["sessions", name], None).await? {
            Outcome::Done(_) | Outcome::Refused(StatusCode::NOT_FOUND, _) => Ok(()),
            Outcome::Refused(_, words) => Err(EngineError::Refused(words)),
        }
    }

    pub(super) async fn look(&self, name: &str, fresh: bool) -> Result<Seen, EngineError> {
        // What all are told together is a moment old: good enough for good news, and for nothing else.
        if !fresh && let Some(working @ Seen::Working(_)) = self.listed().await?.get(name) {
            return Ok(working.clone());
        }
        match self.ask(Method::GET, &["sessions", name], None).await? {
            Outcome::Done(session) => Ok(seen(&session)),
            Outcome::Refused(StatusCode::NOT_FOUND, _) => Ok(Seen::Absent),
            Outcome::Refused(_, words) => Err(EngineError::Refused(words)),
        }
    }

    /// All sessions; one question at a time, and one answer for all who ask within a moment.
    async fn listed(&self) -> Listed {
        let mut listed = self.0.listed.lock().await;
        if let Some((at, answer)) = &*listed
            && at.elapsed() < FRESH
        {
            return answer.clone();
        }
        let outcome = self.call(Method::GET, &["sessions"], &[("all", "true")], None, LOOK).await;
        let answer = match self.asked(outcome) {
            Ok(Outcome::Done(list)) => {
                let sessions = list.as_array().into_iter().flatten();
                let named = sessions.filter_map(|s| Some((s["name"].as_str()?.to_owned(), seen(s))));
                Ok(Arc::new(named.collect()))
            }
            Ok(Outcome::Refused(_, words)) => Err(EngineError::Refused(words)),
            Err(error) => Err(error),
        };
        *listed = Some((Instant::now(), answer.clone()));
        answer
    }

    pub(super) async fn qr(&self, name: &str) -> Result<Option<Qr>, EngineError> {
        let outcome = self.call(Method::GET, &[name, "auth", "qr"], &[("format", "raw")], None, CALL).await;
        match self.asked(outcome)? {
            Outcome::Done(answer) => {
                let value = answer["value"].as_str().filter(|value| !value.is_empty());
                Ok(value.map(|value| Qr { value: value.to_owned(), lives: None }))
            }
            // 422: it shows none just now.
            Outcome::Refused(..) => Ok(None),
        }
    }

    pub(super) async fn pairing_code(&self, name: &str, phone: &str) -> Result<String, EngineError> {
        let body = json!({ "phoneNumber": phone });
        match self.ask(Method::POST, &[name, "auth", "request-code"], Some(&body)).await? {
            Outcome::Done(answer) => match answer["code"].as_str() {
                Some(code) => Ok(code.to_owned()),
                None => Err(EngineError::Refused("no code in the answer".to_owned())),
            },
            Outcome::Refused(_, words) => Err(EngineError::Refused(words)),
        }
    }

    /// A question that WhatsApp itself must answer.
    pub(super) async fn is_alive(&self, name: &str, phone: &str) -> Result<bool, EngineError> {
        let query = [("phone", phone), ("session", name)];
        let outcome = self.call(Method::GET, &["contacts", "check-exists"], &query, None, CALL).await;
        match outcome {
            Ok(Outcome::Done(answer)) => Ok(answer["numberExists"].is_boolean()),
            Ok(Outcome::Refused(status, _)) => {
                // Not every engine behind WAHA can ask; that is no sign of death.
                Ok(matches!(status, StatusCode::NOT_IMPLEMENTED | StatusCode::NOT_FOUND))
            }
            Err(error) if error.is_timeout() => Ok(false),
            Err(error) => Err(EngineError::Unreachable(words(error))),
        }
    }

    pub(super) async fn address_of(&self, name: &str, phone: &str) -> Result<Option<String>, EngineError> {
        let query = [("phone", phone), ("session", name)];
        let outcome = self.call(Method::GET, &["contacts", "check-exists"], &query, None, CALL).await;
        let usual = || Some(format!("{phone}@c.us"));
        match self.asked(outcome)? {
            Outcome::Done(answer) if answer["numberExists"] == false => Ok(None),
            Outcome::Done(answer) => Ok(answer["chatId"].as_str().map(str::to_owned).or_else(usual)),
            Outcome::Refused(..) => Ok(usual()),
        }
    }

    pub(super) async fn phone_of(&self, name: &str, lid: &str) -> Result<Option<String>, EngineError> {
        match self.ask(Method::GET, &[name, "lids", lid], None).await? {
            Outcome::Done(answer) => Ok(answer["pn"].as_str().and_then(digits_of)),
            Outcome::Refused(..) => Ok(None),
        }
    }

    pub(super) async fn seen(&self, name: &str, to: &str, wamid: &str) -> Result<(), EngineError> {
        // Without ids some engines fail, so there are always some.
        let body = json!({ "session": name, "chatId": to, "messageIds": [wamid], "messageId": wamid });
        self.ask(Method::POST, &["sendSeen"], Some(&body)).await.map(drop)
    }

    pub(super) async fn typing(&self, name: &str, to: &str, on: bool) -> Result<(), EngineError> {
        let path = if on { "startTyping" } else { "stopTyping" };
        let body = json!({ "session": name, "chatId": to });
        self.ask(Method::POST, &[path], Some(&body)).await.map(drop)
    }

    pub(super) async fn send_text(
        &self,
        name: &str,
        to: &str,
        text: &str,
        _: &str,
    ) -> Result<String, SendFailure> {
        let body = json!({ "session": name, "chatId": to, "text": text });
        match self.call(Method::POST, &["sendText"], &[], Some(&body), CALL).await {
            Ok(Outcome::Done(answer)) => sent_id(&answer)
                .ok_or_else(|| SendFailure::Ambiguous("success without a message id".to_owned())),
            Ok(Outcome::Refused(status, words)) => Err(match status.as_u16() {
                // The session is not connected (422), not there (404), or our key not the right one.
                401 | 403 | 404 | 422 | 429 | 503 => SendFailure::NotSent(format!("{status}: {words}")),
                400..500 => SendFailure::Refused(format!("{status}: {words}")),
                _ => SendFailure::Ambiguous(format!("{status}: {words}")),
            }),
            Err(error) if error.is_connect() || error.is_builder() => Err(SendFailure::NotSent(words(error))),
            Err(error) => Err(SendFailure::Ambiguous(words(error))),
        }
    }
}

fn seen(session: &Value) -> Seen {
    match session["status"].as_str().unwrap_or_default() {
        "STOPPED" => Seen::Stopped,
        "STARTING" => Seen::Starting,
        "SCAN_QR_CODE" => Seen::Pairing,
        "WORKING" => {
            let me = &session["me"];
            let name = me["pushName"].as_str().filter(|name| !name.is_empty()).map(str::to_owned);
            Seen::Working(Me { phone: me["id"].as_str().and_then(digits_of), name })
        }
        "FAILED" => Seen::Failed,
        other => Seen::Odd(other.chars().take(80).collect()),
    }
}

/// The id of a message we sent. Some engines answer in their own shape.
fn sent_id(answer: &Value) -> Option<String> {
    let id = &answer["id"];
    let found =
        [&id["_serialized"], id, &answer["key"]["id"], &id["id"], &answer["_data"]["id"]["_serialized"]];
    found.into_iter().find_map(Value::as_str).map(bare_id)
}

/// WAHA's words for a failure; never what was sent.
fn words_of(answer: &Value) -> String {
    let said = [&answer["message"], &answer["error"], &answer["exception"]["message"]];
    let text = said.into_iter().find_map(|value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => Some(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ")),
        _ => None,
    });
    text.unwrap_or_else(|| "no reason given".to_owned()).chars().take(300).collect()
}

/// The address goes: it may hold a phone number.
fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    words
}

async fn read_capped(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        // What is beyond is no answer to anything we ask.
        if body.len() + chunk.len() > MAX_ANSWER {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
