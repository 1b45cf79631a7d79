//! What people do with sessions: make, start, stop, restart, log out, bind, delete.
//!
//! A command is written first, then told to the engine at once, so that whoever gave it hears how it went. If the engine
//! is away, the command stands, and the session's watcher goes on with it.

use std::time::Duration;

use secrecy::SecretString;

use super::engine::{Engine, EngineError};
use super::pace::Pace;
use super::{Sessions, place};
use crate::ids::TenantId;
use crate::routing::VERIFY_TOKEN;
use crate::secret;
use crate::store::StoreError;
use crate::store::audit::Audit;
use crate::store::chatbots::Chatbot;
use crate::store::sessions::{Command, Session, silent_chatbot};

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A session of this name is there already.
    #[error("the name is taken")]
    NameTaken,
    /// Its engine is not set up here.
    #[error("there is no engine of this kind")]
    NoEngine,
}

/// A session to be made.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Whose.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// What runs it.
    pub engine: String,
    /// Who answers, if anybody.
    pub chatbot: Option<Chatbot>,
    /// How fast the business may write through it.
    pub pace: Pace,
}

/// How long a session that is deleted may take to tell its phone.
const FAREWELL: Duration = Duration::from_secs(20);

const START: Command = Command {
    wanted: "running",
    state: "connecting",
    reason: "starting",
    keeps_pairing: true,
    keeps_qr: false,
};
const STOP: Command = Command {
    wanted: "stopped",
    state: "disconnected",
    reason: "stopping",
    keeps_pairing: true,
    keeps_qr: false,
};
const LOGOUT: Command = Command {
    wanted: "stopped",
    state: "disconnected",
    reason: "logging_out",
    keeps_pairing: false,
    keeps_qr: false,
};

impl Sessions {
    /// Makes a session and starts it. If the engine does not take it, there is none.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn create(&self, wish: Wish, line: &Audit<'_>) -> Result<Session, CommandError> {
        let store = &self.0.parts.store;
        let engine = self.0.parts.engines.of(&wish.engine).ok_or(CommandError::NoEngine)?;
        let new = Session {
            tenant_id: wish.tenant,
            name: wish.name,
            engine: wish.engine,
            pace: serde_json::to_string(&wish.pace).unwrap_or_default(),
            ..blank(line.now)
        };
        let id = store.create_session(&new, line).await.map_err(|error| match error {
            StoreError::Conflict => CommandError::NameTaken,
            other => other.into(),
        })?;
        let key: SecretString = hex::encode(secret::random::<32>()).into();
        let made = Session { id, ..new };
        let made = async {
            let sealed = self
                .0
                .parts
                .ring
                .seal(secrecy::ExposeSecret::expose_secret(&key), &place(&made, "webhook_key"));
            store.set_session_key(id, &sealed).await?;
            self.bind(&made, wish.chatbot, line.now).await?;
            if !engine.lives_here() {
                engine.start(self.spec(&made, Some(&key))).await?;
            }
            Ok::<_, CommandError>(())
        }
        .await;
        let session = self.load(id).await?;
        if let Err(error) = made {
            store.delete_session(&session, line).await?;
            return Err(error);
        }
        tracing::info!(
            event = "session_created",
            session = id,
            tenant = session.tenant_id,
            engine = session.engine
        );
        self.turned(id).await;
        Ok(session)
    }

    /// Makes it run; it may run already. A session that rests (logged out, expired, given up) shows a new QR code.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn start(&self, session: &Session, line: &Audit<'_>) -> Result<Session, CommandError> {
        if session.wanted == "running" && matches!(session.state.as_str(), "connected" | "pairing") {
            return Ok(session.clone());
        }
        // What rests is not merely started: its engine may hold on to the failure.
        let rested = matches!(session.state.as_str(), "expired" | "failed" | "logged_out");
        self.run(session, rested, line).await
    }

    /// Stops and starts it, and counts tries anew.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn restart(&self, session: &Session, line: &Audit<'_>) -> Result<Session, CommandError> {
        self.run(session, true, line).await
    }

    async fn run(&self, session: &Session, anew: bool, line: &Audit<'_>) -> Result<Session, CommandError> {
        let key = self.webhook_key(session).ok().flatten();
        let spec = self.spec(session, key.as_ref());
        self.command(session, START, line, async |engine: Engine| {
            if anew {
                engine.stop(&session.name).await?;
            }
            engine.start(spec).await
        })
        .await
    }

    /// Stops it; the phone stays linked, and what waits to be sent is kept.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn stop(&self, session: &Session, line: &Audit<'_>) -> Result<Session, CommandError> {
        if session.reason == "stopped" {
            return Ok(session.clone());
        }
        self.command(session, STOP, line, async |engine: Engine| engine.stop(&session.name).await).await
    }

    /// Unlinks the phone and stops it; what waits to be sent is kept.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn logout(&self, session: &Session, line: &Audit<'_>) -> Result<Session, CommandError> {
        self.command(session, LOGOUT, line, async |engine: Engine| engine.logout(&session.name).await).await
    }

    async fn command(
        &self,
        session: &Session,
        command: Command,
        line: &Audit<'_>,
        work: impl AsyncFnOnce(Engine) -> Result<(), EngineError>,
    ) -> Result<Session, CommandError> {
        let engine = self.0.parts.engines.of(&session.engine).ok_or(CommandError::NoEngine)?;
        self.0.parts.store.command_session(session.id, &command, line).await?;
        let done = if engine.lives_here() { Ok(()) } else { work(engine).await };
        // The watcher finds the engine as it is by now, and writes that down.
        self.turned(session.id).await;
        self.changed(session.id).await;
        if let Err(error) = done {
            tracing::warn!(event = "session_command_failed", session = session.id, action = line.action, %error);
            return Err(error.into());
        }
        self.load(session.id).await
    }

    /// Unlinks the phone, forgets everything at the engine, and puts the session away. An engine that is away does not
    /// keep it alive here.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn delete(&self, session: &Session, line: &Audit<'_>) -> Result<(), CommandError> {
        if let Some(engine) = self.0.parts.engines.of(&session.engine) {
            if engine.lives_here() {
                self.logged_out_by_its_watcher(session, line).await?;
            } else if let Err(error) = engine.delete(&session.name).await {
                tracing::warn!(event = "session_left_at_engine", session = session.id, %error);
            }
        }
        self.0.parts.store.delete_session(session, line).await?;
        self.0.parts.routing.changed(&session.key()).await;
        self.turned(session.id).await;
        self.changed(session.id).await;
        tracing::info!(event = "session_deleted", session = session.id, tenant = session.tenant_id);
        Ok(())
    }

    /// Logs a session out that lives inside an instance, perhaps another one, and waits for it a while.
    async fn logged_out_by_its_watcher(
        &self,
        session: &Session,
        line: &Audit<'_>,
    ) -> Result<(), CommandError> {
        if !session.paired {
            return Ok(());
        }
        self.logout(session, &Audit { action: "session.logout", ..line.clone() }).await?;
        let end = tokio::time::Instant::now() + FAREWELL;
        while self.load(session.id).await?.reason == "logging_out" {
            if tokio::time::Instant::now() > end {
                tracing::warn!(
                    event = "session_left_at_engine",
                    session = session.id,
                    "its phone still lists it"
                );
                break;
            }
            tokio::time::sleep(FAREWELL / 200).await;
        }
        Ok(())
    }

    /// A code to type into the phone instead of scanning.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn pairing_code(&self, session: &Session, phone: &str) -> Result<String, CommandError> {
        let engine = self.0.parts.engines.of(&session.engine).ok_or(CommandError::NoEngine)?;
        Ok(engine.pairing_code(&session.name, phone).await?)
    }

    /// From now on this chatbot answers at the session, or nobody.
    ///
    /// # Errors
    /// The database's.
    pub async fn bind(
        &self,
        session: &Session,
        chatbot: Option<Chatbot>,
        now: i64,
    ) -> Result<(), StoreError> {
        let nobody = || {
            let id = silent_chatbot(session.id);
            let name = format!("{} (nobody answers)", session.name);
            Chatbot { name, paused: true, ..Chatbot::new(&id, &session.tenant_id, now) }
        };
        let chatbot = chatbot.unwrap_or_else(nobody);
        // Accounts have tokens; a session's are known to nobody, and good for nothing.
        let (ring, tenant) = (&self.0.parts.ring, TenantId::trusted(&session.tenant_id));
        let token = hex::encode(secret::random::<16>());
        let [verify, access] = ["verify_token", "access_token"].map(|column| {
            let row = format!("{}/{}", chatbot.id, session.key());
            ring.seal(&token, &secret::Place::new(&tenant, "whatsapp_accounts", column, row))
        });
        let hash = ring.keyed_hash(VERIFY_TOKEN, &token);
        self.0.parts.store.bind_session(session, &chatbot, [&hash, &verify, &access], now).await?;
        self.0.parts.routing.changed(&session.key()).await;
        Ok(())
    }

    pub(super) async fn load(&self, id: i64) -> Result<Session, CommandError> {
        let found = self.0.parts.store.session(id).await?;
        found.ok_or_else(|| StoreError::Query("a session is gone while it is used".to_owned()).into())
    }
}

fn blank(now: i64) -> Session {
    Session {
        id: 0,
        tenant_id: String::new(),
        name: String::new(),
        engine: String::new(),
        chatbot_id: None,
        is_default: false,
        wanted: "running".into(),
        state: "connecting".into(),
        reason: "starting".into(),
        detail: None,
        state_at: now,
        paired: false,
        phone: None,
        push_name: None,
        webhook_key: None,
        qr: None,
        qr_version: 0,
        qr_at: None,
        qr_expires_at: None,
        qr_link_until: 0,
        reconnects: 0,
        retry_at: 0,
        pace: String::new(),
        next_send_at: 0,
        first_connected_at: None,
        paired_at: None,
        connected_at: None,
        disconnected_at: None,
        epoch: 0,
        owner: None,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    }
}
