//! A stand-in of a WAHA server: sessions with QR codes, messages, acknowledgements, and webhooks that are signed and
//! tried again.
//!
//! It speaks the contract of 2026 or, with [`Version::Old`], that of 2024.10: one session, no signatures, other shapes.

mod events;
mod routes;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::web;
use serde_json::{Value, json};

use super::server::StandInServer;
use super::{http_client, lock, now_ms};
use crate::secret;
use events::Outlet;

/// Whose habits it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// 2026.7.1.
    #[default]
    Modern,
    /// 2024.10.8, Core, engine NOWEB.
    Old,
}

/// How it behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whose habits it has.
    pub version: Version,
    /// The key it wants, if any.
    pub key: Option<String>,
    /// How long it waits for a session to be ready before it says 422.
    pub patience: Duration,
    /// Between two tries of a webhook.
    pub retry: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: Version::Modern,
            key: None,
            patience: Duration::from_secs(5),
            retry: Duration::from_secs(2),
        }
    }
}

/// A session as the stand-in has it.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub status: String,
    pub config: Value,
    /// Digits, once a phone has scanned.
    pub phone: Option<String>,
    pub round: u32,
    pub seed: String,
}

/// A message it was asked to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Through which session.
    pub session: String,
    /// To which chat.
    pub chat: String,
    /// The words.
    pub text: String,
    /// The message's bare id.
    pub id: String,
    /// Whether "typing…" was shown before.
    pub typed: bool,
}

pub(super) struct State {
    pub options: Mutex<Options>,
    pub lines: Mutex<HashMap<String, Line>>,
    pub sent: Mutex<Vec<Sent>>,
    pub seen: Mutex<Vec<Value>>,
    pub typing: Mutex<HashMap<String, bool>>,
    pub lids: Mutex<HashMap<String, String>>,
    /// Acknowledgements after each message: level and delay.
    pub acks: Mutex<Vec<i64>>,
    pub outlet: Outlet,
}

/// The stand-in, running until it is stopped or dropped.
pub struct WahaStandIn {
    /// What `WAHA_API_URL` is set to: `http://127.0.0.1:<port>/api`.
    pub base_url: String,
    server: StandInServer,
    state: Arc<State>,
}

impl WahaStandIn {
    /// Starts one.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(options: Options) -> io::Result<Self> {
        let http = http_client().map_err(io::Error::other)?;
        let state = Arc::new(State {
            options: Mutex::new(options),
            lines: Mutex::default(),
            sent: Mutex::default(),
            seen: Mutex::default(),
            typing: Mutex::default(),
            lids: Mutex::default(),
            acks: Mutex::new(vec![1, 2, 3]),
            outlet: Outlet::new(http),
        });
        let data = web::Data::from(state.clone());
        let server = StandInServer::start(move |config| {
            config.app_data(data.clone()).configure(routes::configure);
        })?;
        Ok(Self { base_url: format!("{}/api", server.base_url()), server, state })
    }

    /// Closes the port: connections are refused until [`Self::resume`]. What it knows stays known.
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

    /// From now on it wants this key.
    pub fn set_key(&self, key: Option<&str>) {
        lock(&self.state.options).key = key.map(str::to_owned);
    }

    /// The words it has for where a session stands.
    pub fn status(&self, session: &str) -> Option<String> {
        lock(&self.state.lines).get(session).map(|line| line.status.clone())
    }

    /// What a session was configured with.
    pub fn config(&self, session: &str) -> Value {
        lock(&self.state.lines).get(session).map(|line| line.config.clone()).unwrap_or_default()
    }

    /// The messages it was asked to send, oldest first.
    pub fn sent(&self) -> Vec<Sent> {
        lock(&self.state.sent).clone()
    }

    /// The bodies of `sendSeen`, oldest first.
    pub fn seen(&self) -> Vec<Value> {
        lock(&self.state.seen).clone()
    }

    /// The webhooks it posted, each try, with the status that came back.
    pub fn posted(&self) -> Vec<(Value, Option<u16>)> {
        self.state.outlet.posted()
    }

    /// Which acknowledgements follow a message: 1 server, 2 device, 3 read, 4 played, -1 error.
    pub fn set_acks(&self, acks: &[i64]) {
        *lock(&self.state.acks) = acks.to_vec();
    }

    /// It knows the phone behind a hidden id.
    pub fn know(&self, lid: &str, phone: &str) {
        lock(&self.state.lids).insert(lid.to_owned(), phone.to_owned());
    }

    // ── what people with phones do ──────────────────────────────────────────────────────────────────

    /// The phone with this number scans what the session shows. False: it shows none.
    pub fn scan(&self, session: &str, phone: &str) -> bool {
        let scanned = {
            let mut lines = lock(&self.state.lines);
            let line = lines.get_mut(session).filter(|line| line.status == "SCAN_QR_CODE");
            line.map(|line| line.phone = Some(phone.to_owned())).is_some()
        };
        if scanned {
            self.turn(session, "STARTING");
            self.turn(session, "WORKING");
        }
        scanned
    }

    /// The next of the session's QR codes.
    pub fn next_code(&self, session: &str) {
        if let Some(line) = lock(&self.state.lines).get_mut(session) {
            line.round += 1;
        }
        self.turn(session, "SCAN_QR_CODE");
    }

    /// The phone unlinks the device.
    pub fn unlink(&self, session: &str) {
        if let Some(line) = lock(&self.state.lines).get_mut(session) {
            line.phone = None;
        }
        self.turn(session, "SCAN_QR_CODE");
    }

    /// The session stands there from now on, and says so.
    pub fn turn(&self, session: &str, status: &str) {
        self.state.turn(session, status);
    }

    /// Somebody writes: `chat` is `15551234567@c.us`, `123@lid`, `…@g.us`, `status@broadcast`. The message's id.
    pub fn write(&self, session: &str, chat: &str, text: &str) -> String {
        let id = format!("false_{chat}_{}", fresh_id());
        let payload = json!({
            "id": id, "timestamp": now_ms() / 1000, "from": chat, "fromMe": false, "source": "app",
            "to": self.state.me(session)["id"], "body": text, "hasMedia": false, "ack": null, "ackName": "UNKNOWN",
            "_data": { "pushName": "Alice" },
        });
        for event in ["message", "message.any"] {
            self.state.tell(session, event, payload.clone());
        }
        id
    }

    /// A person writes on the linked phone itself.
    pub fn write_on_phone(&self, session: &str, chat: &str, text: &str) {
        self.event(session, "message.any", json!({
            "id": format!("true_{chat}_{}", fresh_id()), "timestamp": now_ms() / 1000,
            "from": self.state.me(session)["id"], "to": chat, "fromMe": true, "source": "app", "body": text,
            "hasMedia": false, "ack": 1, "ackName": "SERVER",
        }));
    }

    /// Any event with any payload.
    pub fn event(&self, session: &str, event: &str, payload: Value) {
        self.state.tell(session, event, payload);
    }
}

impl State {
    /// Who is linked, as it stands in every webhook.
    pub fn me(&self, session: &str) -> Value {
        let phone = lock(&self.lines).get(session).and_then(|line| line.phone.clone());
        phone.map_or(Value::Null, |phone| json!({ "id": format!("{phone}@c.us"), "pushName": "Shop" }))
    }

    pub fn turn(&self, session: &str, status: &str) {
        if let Some(line) = lock(&self.lines).get_mut(session) {
            line.status = status.to_owned();
        }
        self.tell(session, "session.status", json!({ "name": session, "status": status }));
    }

    /// Posts an event to whoever is configured to hear it.
    pub fn tell(&self, session: &str, event: &str, payload: Value) {
        let options = lock(&self.options).clone();
        let config = lock(&self.lines).get(session).map(|line| line.config.clone()).unwrap_or_default();
        let mut body = json!({
            "event": event, "session": session, "metadata": config["metadata"], "me": self.me(session),
            "payload": payload, "engine": "NOWEB",
        });
        if options.version == Version::Modern {
            body["id"] = format!("evt_{}", fresh_id().to_lowercase()).into();
            body["timestamp"] = now_ms().into();
        }
        for webhook in config["webhooks"].as_array().into_iter().flatten() {
            let events = webhook["events"].as_array().into_iter().flatten();
            if events.into_iter().any(|wanted| *wanted == event || *wanted == "*") {
                let key = webhook["hmac"]["key"].as_str().filter(|_| options.version == Version::Modern);
                self.outlet.post(webhook["url"].as_str().unwrap_or_default(), key, &body, options.retry);
            }
        }
    }
}

fn fresh_id() -> String {
    format!("3EB0{}", hex::encode_upper(secret::random::<9>()))
}
