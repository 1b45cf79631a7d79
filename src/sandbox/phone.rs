//! The virtual phone at `/sandbox`: write as a customer, read the answers, and watch the message travel.
//!
//! What is written leaves as a signed webhook over a real socket; what is read is what the Graph stand-in got.
//! The way in between is told by whoever mounts the phone.

use std::sync::{Arc, Mutex};

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::DefaultHeaders;
use actix_web::web::{self, Data, Json, Query, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::graph::{GraphStandIn, Read, Sent};
use super::webhook::{self, Change, Incoming, Sender};
use super::{KEEP, Ring, lock, now_ms};

/// A place a message came by on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Station {
    /// `received`, `stored`, `routed`, `turn`, `asked`, `answered`, `sent`, `delivered`, `read`, or any other.
    pub name: String,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// A few words: which chatbot, how long, what went wrong.
    pub detail: String,
}

/// A business number that can be written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BusinessNumber {
    /// The routing key.
    pub phone_number_id: String,
    /// What people see.
    pub label: String,
}

/// Tells the way of the message with this wamid so far, in order.
pub type Trace = Arc<dyn Fn(String) -> BoxFuture<'static, Vec<Station>> + Send + Sync>;

/// Tells the numbers there are.
pub type Numbers = Arc<dyn Fn() -> BoxFuture<'static, Vec<BusinessNumber>> + Send + Sync>;

/// WhatsApp shows "typing" for 25 s at most.
const TYPING_MS: i64 = 25_000;

/// The phone: what was written on it, and where it looks for the rest.
pub struct Phone {
    graph: Arc<GraphStandIn>,
    sender: Sender,
    numbers: Numbers,
    trace: Trace,
    written: Mutex<Ring<Written>>,
}

/// A message the customer wrote.
#[derive(Debug, Clone)]
struct Written {
    phone_number_id: String,
    from: String,
    wamid: String,
    text: String,
    at_ms: i64,
    /// The webhook's answer; `None` while, or when, there is none.
    answer: Option<u16>,
}

impl Phone {
    /// A phone whose messages go to the webhook behind `sender`, and whose answers come from `graph`.
    pub fn new(graph: Arc<GraphStandIn>, sender: Sender, numbers: Numbers, trace: Trace) -> Self {
        Self { graph, sender, numbers, trace, written: Mutex::new(Ring::new(KEEP)) }
    }

    /// Mounts the page, its assets and its API under `/sandbox`.
    pub fn configure(self: Arc<Self>) -> impl FnOnce(&mut ServiceConfig) {
        move |config| {
            let headers = DefaultHeaders::new()
                .add((CONTENT_SECURITY_POLICY, "default-src 'self'; base-uri 'none'; frame-ancestors 'none'"))
                .add((X_CONTENT_TYPE_OPTIONS, "nosniff"))
                .add((REFERRER_POLICY, "no-referrer"))
                .add((CACHE_CONTROL, "no-store"));
            let asset = |kind: &'static str, text: &'static str| {
                web::get().to(move || async move { HttpResponse::Ok().content_type(kind).body(text) })
            };
            let page = || asset("text/html; charset=utf-8", include_str!("page/index.html"));
            config.service(
                web::scope("/sandbox")
                    .app_data(Data::from(self))
                    .wrap(headers)
                    .route("", page())
                    .route("/", page())
                    .route("/phone.css", asset("text/css; charset=utf-8", include_str!("page/phone.css")))
                    .route(
                        "/phone.js",
                        asset("text/javascript; charset=utf-8", include_str!("page/phone.js")),
                    )
                    .route("/api/numbers", web::get().to(numbers))
                    .route("/api/messages", web::post().to(write))
                    .route("/api/chat", web::get().to(chat)),
            );
        }
    }
}

async fn numbers(phone: Data<Phone>) -> impl Responder {
    Json((phone.numbers)().await)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Draft {
    phone_number_id: String,
    from: String,
    #[serde(default)]
    name: String,
    text: String,
}

impl Draft {
    fn check(&self) -> Result<(), &'static str> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(&self.phone_number_id) || self.phone_number_id.len() > 32 {
            return Err("Choose a number to write to.");
        }
        if !digits(&self.from) || !(5..=15).contains(&self.from.len()) {
            return Err("A phone number has 5 to 15 digits.");
        }
        if self.text.trim().is_empty() || self.text.chars().count() > 4096 {
            return Err("A message has 1 to 4096 characters.");
        }
        Ok(())
    }
}

/// Sends what the customer wrote, as Meta would deliver it.
async fn write(phone: Data<Phone>, draft: Json<Draft>) -> HttpResponse {
    if let Err(error) = draft.check() {
        return HttpResponse::BadRequest().json(json!({ "error": error }));
    }
    let mut message = Incoming::text(&draft.from, &draft.text);
    if !draft.name.trim().is_empty() {
        message = message.with_name(draft.name.trim());
    }
    let wamid = message.wamid.clone();
    // Remembered first, so that the bubble stands before the answer to it.
    lock(&phone.written).push(Written {
        phone_number_id: draft.phone_number_id.clone(),
        from: draft.from.clone(),
        wamid: wamid.clone(),
        text: draft.text.clone(),
        at_ms: now_ms(),
        answer: None,
    });
    let body = webhook::body(&[Change::new(&draft.phone_number_id).message(message)]);
    let answer = phone.sender.send(body).await.map_or(0, |answer| answer.status);
    let mut written = lock(&phone.written);
    if let Some(written) = written.items.iter_mut().rev().find(|written| written.wamid == wamid) {
        written.answer = Some(answer);
    }
    HttpResponse::Ok().json(json!({ "wamid": wamid, "status": answer }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Which {
    phone_number_id: String,
    from: String,
    /// The message whose way is told; the newest written one when absent.
    wamid: Option<String>,
}

/// A message on the screen.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Bubble {
    id: String,
    /// Whether the customer wrote it.
    mine: bool,
    text: String,
    at_ms: i64,
    /// Mine: `sending`, `accepted`, `read`, `refused`. Theirs: `accepted`, `sent`, `delivered`, `read`.
    state: &'static str,
}

#[derive(Serialize)]
struct Chat {
    typing: bool,
    bubbles: Vec<Bubble>,
    /// The message whose way follows.
    wamid: Option<String>,
    stations: Vec<Station>,
}

async fn chat(phone: Data<Phone>, which: Query<Which>) -> impl Responder {
    let here =
        |written: &&Written| written.phone_number_id == which.phone_number_id && written.from == which.from;
    let written: Vec<_> = lock(&phone.written).items.iter().filter(here).cloned().collect();
    let mut sent = phone.graph.sent_to(&which.from);
    sent.retain(|sent| sent.phone_number_id == which.phone_number_id);
    let wamid = which.wamid.clone().or_else(|| written.last().map(|written| written.wamid.clone()));
    let stations = match &wamid {
        Some(wamid) => (phone.trace)(wamid.clone()).await,
        None => Vec::new(),
    };
    let reads = phone.graph.reads();
    Json(Chat {
        typing: is_typing(&written, &sent, &reads, now_ms()),
        bubbles: bubbles(&written, &sent, &reads),
        wamid,
        stations,
    })
}

/// Typing shows until the answer comes, or 25 s.
fn is_typing(written: &[Written], sent: &[Sent], reads: &[Read], now: i64) -> bool {
    let began = reads
        .iter()
        .rev()
        .find(|read| read.typing && written.iter().any(|written| written.wamid == read.wamid))
        .map_or(i64::MIN, |read| read.at_ms);
    let answered = sent.last().map_or(i64::MIN, |sent| sent.at_ms);
    began > answered && began > now - TYPING_MS
}

fn bubbles(written: &[Written], sent: &[Sent], reads: &[Read]) -> Vec<Bubble> {
    let mine = written.iter().map(|written| Bubble {
        id: written.wamid.clone(),
        mine: true,
        text: written.text.clone(),
        at_ms: written.at_ms,
        state: match written.answer {
            _ if reads.iter().any(|read| read.wamid == written.wamid) => "read",
            Some(200) => "accepted",
            Some(_) => "refused",
            None => "sending",
        },
    });
    let theirs = sent.iter().map(|sent| Bubble {
        id: sent.wamid.clone(),
        mine: false,
        text: match sent.text() {
            "" => format!("[{}]", sent.body["type"].as_str().unwrap_or("message")),
            text => text.to_owned(),
        },
        at_ms: sent.at_ms,
        state: sent.status.unwrap_or("accepted"),
    });
    let mut all: Vec<_> = mine.chain(theirs).collect();
    all.sort_by_key(|bubble| bubble.at_ms);
    all
}

#[cfg(test)]
mod tests;
