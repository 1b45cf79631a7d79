//! Numbers linked by QR code: any number of sessions, each run by an engine that speaks WhatsApp Web for us.
//!
//! A session is an account like an official number's: what comes in is put into Meta's shape and takes Meta's road, so
//! a chatbot serves both without knowing. What goes out waits in the same deliveries; each session has one task, on one
//! instance, that watches its engine ([`watch`]) and works its line off at a human pace ([`line`]).

mod commands;
pub mod ear;
pub mod engine;
pub mod keys;
mod line;
#[cfg(feature = "native")]
pub mod native;
pub mod pace;
pub mod phones;
pub mod qr;
mod resolve;
pub mod state;
mod supervise;
pub mod waha;
mod watch;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use moka::future::Cache;
use secrecy::SecretString;

use crate::graph::payload::Change;
use crate::ids::TenantId;
use crate::news::{News, Newsroom};
use crate::routing::Routing;
use crate::runtime::Clock;
use crate::secret::{self, Ring, SecretError};
use crate::store::sessions::Session;
use crate::store::{Store, StoreError};
use ear::Heard;
use engine::{Engine, Qr, Spec};
use phones::Phones;
use waha::Waha;

pub use commands::{CommandError, Wish};

/// What to do about a program that was built without the engine that is wanted.
#[cfg(not(feature = "native"))]
pub const NO_NATIVE: &str = "this program was built without the engine `native`; build it with \
    `cargo build --release --features native` after reading docs/SESSIONS.md, or set SESSION_ENGINE=waha";

/// Hidden ids whose phone is remembered, and how long.
const LIDS: u64 = 50_000;
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// Where what a session hears is stored; done when it is.
pub type Sink = Arc<dyn Fn(Vec<Change>) -> BoxFuture<'static, Result<(), StoreError>> + Send + Sync>;

/// The engines there are.
#[derive(Clone)]
pub struct Engines {
    /// A WAHA server.
    pub waha: Waha,
    /// The sandbox's phones, where they are allowed.
    pub phones: Option<Phones>,
    /// Devices of our own, where they are wanted.
    #[cfg(feature = "native")]
    pub native: Option<native::Native>,
}

impl Engines {
    /// What runs sessions unless they say otherwise.
    pub fn usual(&self) -> &'static str {
        #[cfg(feature = "native")]
        if self.native.is_some() {
            return "native";
        }
        if self.phones.is_some() { "sandbox" } else { "waha" }
    }

    /// This instance watches the session no longer: what runs of it in this process ends.
    async fn release(&self, session: i64) {
        #[cfg(feature = "native")]
        if let Some(native) = &self.native {
            native.release(session).await;
        }
        #[cfg(not(feature = "native"))]
        let _ = session;
    }

    /// The engine of this name, if there is one.
    pub fn of(&self, name: &str) -> Option<Engine> {
        match name {
            "waha" => Some(Engine::Waha(self.waha.clone())),
            "sandbox" => self.phones.clone().map(Engine::Sandbox),
            #[cfg(feature = "native")]
            "native" => self.native.clone().map(Engine::Native),
            _ => None,
        }
    }
}

/// What sessions are made of.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// What seals their secrets.
    pub ring: Ring,
    /// To say that a session's account changed.
    pub routing: Routing,
    /// Where changes are told.
    pub news: Newsroom,
    /// The time.
    pub clock: Clock,
    /// What runs them.
    pub engines: Engines,
}

/// All sessions. Cheap to clone.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    parts: Parts,
    sink: OnceLock<Sink>,
    lids: Cache<(i64, String), Option<String>>,
}

impl Sessions {
    /// Sessions that nobody watches yet; see [`Sessions::supervise`].
    pub fn new(parts: Parts) -> Self {
        let lids = Cache::builder().max_capacity(LIDS).time_to_live(REMEMBERED).build();
        Self(Arc::new(Inner { parts, sink: OnceLock::new(), lids }))
    }

    /// From now on, what sessions hear goes there; the first one counts.
    pub fn pour_into(&self, sink: Sink) {
        if self.0.sink.set(sink).is_err() {
            return;
        }
        let sessions = self.clone();
        let ear: ear::Ear = Arc::new(move |name, heard| {
            let sessions = sessions.clone();
            Box::pin(async move { sessions.hear(&name, heard).await })
        });
        let engines = &self.0.parts.engines;
        #[cfg(feature = "native")]
        if let Some(native) = &engines.native {
            native.tell(ear.clone());
        }
        if let Some(phones) = &engines.phones {
            phones.tell(ear);
        }
    }

    /// Stores what was heard.
    pub async fn take(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        match self.0.sink.get() {
            Some(sink) if !changes.is_empty() => sink(changes).await,
            _ => Ok(()),
        }
    }

    /// What an engine in this process has to tell.
    async fn hear(&self, name: &str, heard: Heard) -> Result<(), StoreError> {
        let Some(session) = self.0.parts.store.session_named(name).await? else { return Ok(()) };
        let (key, now) = (session.key(), self.0.parts.clock.now_ms());
        let changes = match heard {
            Heard::Turned => {
                self.turned(session.id).await;
                return Ok(());
            }
            Heard::Text { id, from, name, text } => {
                vec![waha::inbound::text(&key, &id, &from, name.as_deref(), &text, now / 1_000)]
            }
            Heard::Status { id, status } => vec![waha::inbound::status(&key, &id, status)],
            Heard::Event(event) => {
                let event = event.with_number(session.phone.clone());
                event.changes(&key, event.phone())
            }
        };
        self.take(changes).await
    }

    /// The engine says that a session stands elsewhere now: its watcher is to look.
    pub async fn turned(&self, id: i64) {
        self.tell(News::Session { id, look: true }).await;
    }

    /// There is something to send through a session.
    pub async fn has_work(&self, id: i64) {
        self.tell(News::Session { id, look: false }).await;
    }

    /// Whoever shows a session is to look again.
    async fn changed(&self, id: i64) {
        self.tell(News::SessionChanged(id)).await;
    }

    async fn tell(&self, news: News) {
        if let Err(error) = self.0.parts.news.tell(news).await {
            tracing::debug!(%error, "other instances will notice a session by themselves");
        }
    }

    /// The phone behind a hidden id, if its engine knows it and says so quickly.
    pub async fn phone_of(&self, session: &Session, lid: &str, patience: Duration) -> Option<String> {
        let engine = self.0.parts.engines.of(&session.engine)?;
        let ask = async { engine.phone_of(&session.name, lid).await.ok().flatten() };
        let cached = self.0.lids.get_with((session.id, lid.to_owned()), ask);
        tokio::time::timeout(patience, cached).await.ok().flatten()
    }

    /// What a session's deliveries say while it does not send.
    pub fn why_waiting(&self, session: &Session) -> &'static str {
        watch::reason_to_wait(state::State::parse(&session.state), &session.reason)
    }

    /// The engines there are.
    pub fn engines(&self) -> &Engines {
        &self.0.parts.engines
    }

    /// The key that signs a session's webhooks, if it has one of its own.
    ///
    /// # Errors
    /// When no key of ours opens it.
    pub fn webhook_key(&self, session: &Session) -> Result<Option<SecretString>, SecretError> {
        let sealed = session.webhook_key.as_deref();
        sealed.map(|sealed| self.0.parts.ring.open(sealed, &place(session, "webhook_key"))).transpose()
    }

    /// What the picture of a session says now, while there is one.
    pub fn qr_value(&self, session: &Session) -> Option<SecretString> {
        self.0.parts.ring.open(session.qr.as_deref()?, &place(session, "qr")).ok()
    }

    fn seal_qr(&self, session: &Session, qr: &Qr) -> String {
        self.0.parts.ring.seal(&qr.value, &place(session, "qr"))
    }

    fn spec<'a>(&self, session: &'a Session, key: Option<&'a SecretString>) -> Spec<'a> {
        Spec { name: &session.name, tenant: &session.tenant_id, webhook_key: key }
    }
}

/// Where a session's sealed columns live.
pub fn place(session: &Session, column: &'static str) -> secret::Place {
    secret::Place::new(&TenantId::trusted(&session.tenant_id), "whatsapp_sessions", column, session.id)
}
