//! A stand-in of the response API (`POST /response`) and of an OpenAI-compatible endpoint
//! (`POST /v1/chat/completions`): answers as a chatbot would, or misbehaves on demand.

mod routes;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::http::header::HeaderMap;
use actix_web::web::{self, Bytes, Data};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;

use super::server::StandInServer;
use super::{KEEP, Ring, lock, now_ms};

/// What a chatbot answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Who it is, what was said, and how much it remembers, in Markdown.
    Echo,
    /// These words.
    Text(String),
    /// These words, and the conversation is for a person from now on.
    Handoff(String),
    /// 200 with `success:false`.
    Refused,
    /// 200 with an empty answer.
    Empty,
    /// 200 with something that is not JSON.
    NotJson,
    /// 400: the request is wrong.
    BadRequest,
    /// 500.
    ServerError,
    /// 500 with "Invalid API key and origin mapping": a chatbot whose key and origin do not fit.
    UnknownOrigin,
    /// Nothing; the connection is closed.
    HangUp,
}

/// An answer, after some thinking.
#[derive(Debug, Clone)]
pub struct Behaviour {
    answer: Answer,
    delay: Duration,
}

impl From<Answer> for Behaviour {
    fn from(answer: Answer) -> Self {
        Self { answer, delay: Duration::ZERO }
    }
}

impl Answer {
    /// This answer, but only after `delay`. An hour makes a hang.
    pub fn after(self, delay: Duration) -> Behaviour {
        Behaviour { answer: self, delay }
    }
}

/// One request, as it came in.
#[derive(Debug, Clone)]
pub struct Received {
    /// `/response` or `/v1/chat/completions`.
    pub path: String,
    /// `X-Request-ID`, if sent.
    pub request_id: Option<String>,
    /// `Idempotency-Key`, if sent.
    pub idempotency_key: Option<String>,
    /// `Authorization`, if sent.
    pub authorization: Option<String>,
    /// The whole request; null when it was not JSON.
    pub body: Value,
    /// When, Unix milliseconds.
    pub at_ms: i64,
}

impl Received {
    /// The chatbot (or model) asked; empty when it is not said.
    pub fn chatbot(&self) -> &str {
        self.body["chatbotId"].as_str().or(self.body["model"].as_str()).unwrap_or_default()
    }

    /// The conversation given, oldest first: role and words.
    pub fn history(&self) -> Vec<(String, String)> {
        let turns = match self.body["query"].as_str() {
            Some(query) => serde_json::from_str(query).unwrap_or_default(),
            None => self.body["messages"].clone(),
        };
        serde_json::from_value::<Vec<Turn>>(turns)
            .unwrap_or_default()
            .into_iter()
            .map(|turn| (turn.role, turn.content))
            .collect()
    }
}

#[derive(Deserialize)]
struct Turn {
    role: String,
    content: String,
}

/// The stand-in, running until it is stopped or dropped.
pub struct ResponseApiStandIn {
    /// What `RESPONSE_API_BASE_URL` is set to: `http://127.0.0.1:<port>`.
    pub base_url: String,
    server: StandInServer,
    state: Arc<State>,
}

/// A request as it is remembered: unread, so that remembering stays cheap.
struct Kept {
    path: &'static str,
    request_id: Option<String>,
    idempotency_key: Option<String>,
    authorization: Option<String>,
    body: Bytes,
    at_ms: i64,
}

#[derive(Default)]
struct Behaviours {
    /// By chatbot; `None` is everyone's.
    usual: HashMap<Option<String>, Behaviour>,
    /// What comes before the usual, in order.
    next: Vec<(Option<String>, VecDeque<Behaviour>)>,
}

struct State {
    received: Mutex<Ring<Kept>>,
    count: watch::Sender<usize>,
    behaviours: Mutex<Behaviours>,
}

impl ResponseApiStandIn {
    /// Starts one that echoes and remembers the last [`KEEP`] requests.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start() -> io::Result<Self> {
        Self::start_with(KEEP)
    }

    /// Starts one that remembers the last `keep` requests; all are counted.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start_with(keep: usize) -> io::Result<Self> {
        let state = Arc::new(State {
            received: Mutex::new(Ring::new(keep)),
            count: watch::Sender::new(0),
            behaviours: Mutex::default(),
        });
        let data = Data::from(state.clone());
        let server = StandInServer::start(move |config| {
            config
                .app_data(data.clone())
                .route("/response", web::post().to(routes::respond))
                .route("/v1/chat/completions", web::post().to(routes::complete));
        })?;
        Ok(Self { base_url: server.base_url(), server, state })
    }

    /// Closes the port: connections are refused until [`Self::resume`].
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Listens again, on the same port.
    ///
    /// # Errors
    /// When somebody else took the port meanwhile.
    pub fn resume(&self) -> io::Result<()> {
        self.server.resume()
    }

    /// How this chatbot behaves from now on; `None`: all that have no behaviour of their own.
    pub fn behave(&self, chatbot: Option<&str>, behaviour: impl Into<Behaviour>) {
        lock(&self.state.behaviours).usual.insert(chatbot.map(str::to_owned), behaviour.into());
    }

    /// How this chatbot (`None`: any) behaves at the next requests, one after the other; then as usual.
    pub fn next(&self, chatbot: Option<&str>, behaviours: impl IntoIterator<Item = impl Into<Behaviour>>) {
        let behaviours = behaviours.into_iter().map(Into::into).collect();
        lock(&self.state.behaviours).next.push((chatbot.map(str::to_owned), behaviours));
    }

    /// The requests, oldest first: the last `keep` of them.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.state.received).items.iter().map(Kept::open).collect()
    }

    /// Those for this chatbot.
    pub fn received_for(&self, chatbot: &str) -> Vec<Received> {
        self.received().into_iter().filter(|request| request.chatbot() == chatbot).collect()
    }

    /// How many requests came since the start or [`Self::clear`].
    pub fn count(&self) -> usize {
        *self.state.count.borrow()
    }

    /// Waits until `n` requests came and returns what is remembered; fewer when the time ran out.
    pub async fn wait_for(&self, n: usize, timeout: Duration) -> Vec<Received> {
        let mut count = self.state.count.subscribe();
        let _ = tokio::time::timeout(timeout, count.wait_for(|count| *count >= n)).await;
        self.received()
    }

    /// Forgets requests, counts and behaviours.
    pub fn clear(&self) {
        lock(&self.state.received).items.clear();
        *lock(&self.state.behaviours) = Behaviours::default();
        self.state.count.send_replace(0);
    }
}

impl Kept {
    fn open(&self) -> Received {
        Received {
            path: self.path.to_owned(),
            request_id: self.request_id.clone(),
            idempotency_key: self.idempotency_key.clone(),
            authorization: self.authorization.clone(),
            body: serde_json::from_slice(&self.body).unwrap_or_default(),
            at_ms: self.at_ms,
        }
    }
}

impl State {
    fn remember(&self, path: &'static str, headers: &HeaderMap, body: &Bytes) {
        let header = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
        lock(&self.received).push(Kept {
            path,
            request_id: header("x-request-id"),
            idempotency_key: header("idempotency-key"),
            authorization: header("authorization"),
            body: body.clone(),
            at_ms: now_ms(),
        });
        self.count.send_modify(|count| *count += 1);
    }

    /// What is due for this chatbot, after its time of thinking.
    async fn answer(&self, chatbot: &str) -> Answer {
        let behaviour = lock(&self.behaviours).take(chatbot);
        if !behaviour.delay.is_zero() {
            tokio::time::sleep(behaviour.delay).await;
        }
        behaviour.answer
    }
}

impl Behaviours {
    fn take(&mut self, chatbot: &str) -> Behaviour {
        self.next.retain(|(_, queue)| !queue.is_empty());
        let due = self.next.iter_mut().find(|(id, _)| id.as_deref().is_none_or(|id| id == chatbot));
        if let Some(behaviour) = due.and_then(|(_, queue)| queue.pop_front()) {
            return behaviour;
        }
        let usual = self.usual.get(&Some(chatbot.to_owned())).or_else(|| self.usual.get(&None));
        usual.cloned().unwrap_or(Answer::Echo.into())
    }
}

#[cfg(test)]
mod tests;
