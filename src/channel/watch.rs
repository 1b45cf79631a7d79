//! One session's watcher: asks its engine where it stands, writes down what changed, does what follows, and lets its
//! line go on while it is connected.

use std::time::Duration;

use tokio::time::Instant;

use super::Sessions;
use super::engine::{Engine, EngineError};
use super::state::{Act, Decision, Past, State, decide};
use super::supervise::{Bell, Life};
use crate::store::StoreError;
use crate::store::sessions::Session;
use crate::telemetry::metric;

/// How long a QR code is good where its engine does not say: the first one of a start, and each further one.
const FIRST_QR: i64 = 60_000;
const FURTHER_QR: i64 = 20_000;
/// How often WhatsApp itself is asked through a connected session.
const ALIVE: Duration = Duration::from_secs(600);
/// Silences after which it is restarted.
const SILENCES: u32 = 2;
/// Shortest and longest rest between two looks at the line.
const SHORTEST: Duration = Duration::from_millis(500);
const REST: Duration = Duration::from_secs(30);

/// Between two looks at the engine.
fn interval(state: State) -> Duration {
    match state {
        State::Connecting => Duration::from_secs(1),
        State::Pairing => Duration::from_secs(2),
        State::Disconnected => Duration::from_secs(3),
        State::Connected => Duration::from_secs(5),
        State::LoggedOut | State::Expired | State::Failed => Duration::from_secs(15),
    }
}

impl Sessions {
    /// Watches until the session is another instance's, or is not to be watched any more.
    pub(super) async fn watch(&self, life: &Life, id: i64, bell: &Bell) -> Result<(), StoreError> {
        let clock = &self.0.parts.clock;
        let lost = life.store.interrupted_session(id, clock.now_ms()).await?;
        if lost > 0 {
            tracing::warn!(event = "session_interrupted", session = id, lost, "deliveries are `unknown` now");
            metrics::counter!(metric::DELIVERIES_UNKNOWN).increment(lost);
        }
        self.align(life, id).await?;
        let (mut look_at, mut look) = (Instant::now(), true);
        let (mut alive_at, mut silences) = (Instant::now() + ALIVE, 0);
        // Which of people's commands the engine runs by.
        let mut epoch = None;
        // When the line is to be looked at, whether or not anybody rings.
        let mut line_at = Instant::now();
        loop {
            if life.stop.is_cancelled() {
                return Ok(());
            }
            let Some(mut session) = life.store.own_session(id).await? else { return Ok(()) };
            let Some(engine) = self.0.parts.engines.of(&session.engine) else {
                tracing::error!(event = "session_without_engine", session = id, engine = session.engine);
                return Ok(());
            };
            look |= bell.take_look();
            // A command to a session that lives here is the watcher's to do: it begins anew from what is stored.
            let commanded = epoch.replace(session.epoch).is_some_and(|epoch| epoch != session.epoch);
            if commanded && engine.lives_here() && session.wanted == "running" {
                let _ = engine.stop(&session.name).await;
                look = true;
            }
            if look || Instant::now() >= look_at {
                if session.wanted == "stopped" {
                    if self.finish(life, &session, &engine).await? {
                        return Ok(());
                    }
                } else {
                    // What changes soon is asked for itself; those at rest share one question.
                    let fresh =
                        look || !matches!(State::parse(&session.state), State::Connected | State::LoggedOut);
                    let seen = engine.look(&session.name, fresh).await;
                    let Some(now) = self.observe(life, session, &engine, seen).await? else {
                        look = true;
                        continue; // a command came meanwhile
                    };
                    session = now;
                }
                look = false;
                look_at = Instant::now() + clock.pause(interval(State::parse(&session.state)));
            }
            let sends = session.state == State::Connected.as_str() && session.wanted == "running";
            if !sends {
                line_at = Instant::now();
            } else {
                if Instant::now() >= alive_at {
                    alive_at = Instant::now() + ALIVE;
                    silences = self.listen(&session, &engine, silences).await;
                    if silences == SILENCES {
                        silences = 0;
                        self.wake_up(life, &session, &engine).await?;
                        look = true;
                        continue;
                    }
                }
                if Instant::now() >= line_at {
                    let line = self.work_off(life, &session, &engine).await?;
                    look |= line.look;
                    if look || line.rest.is_zero() {
                        tokio::task::yield_now().await;
                        continue;
                    }
                    line_at = Instant::now() + line.rest.clamp(clock.pause(SHORTEST), REST);
                }
            }
            tokio::select! {
                () = tokio::time::sleep_until(if sends { look_at.min(line_at) } else { look_at }) => {}
                () = bell.rings() => line_at = Instant::now(),
                () = life.stop.cancelled() => return Ok(()),
            }
        }
    }

    /// Sees that the engine brings what it hears to where we are now.
    async fn align(&self, life: &Life, id: i64) -> Result<(), StoreError> {
        let Some(session) = life.store.own_session(id).await?.filter(|s| s.wanted == "running" && s.paired)
        else {
            return Ok(());
        };
        let Some(engine) = self.0.parts.engines.of(&session.engine) else { return Ok(()) };
        let key = self.webhook_key(&session).ok().flatten();
        if let Err(error) = engine.align(self.spec(&session, key.as_ref())).await {
            tracing::warn!(event = "session_not_aligned", session = id, %error);
        }
        Ok(())
    }

    /// Goes on with a command that was given while the engine was away. True: done.
    async fn finish(&self, life: &Life, session: &Session, engine: &Engine) -> Result<bool, StoreError> {
        let logout = session.reason == "logging_out";
        let done = if logout { engine.logout(&session.name).await } else { engine.stop(&session.name).await };
        if let Err(error) = done {
            let said = Session { detail: Some(error.to_string()), ..session.clone() };
            life.store.observe_session(&said, false).await?;
            return Ok(false);
        }
        let (state, reason) =
            if logout { (State::LoggedOut, "logged_out") } else { (State::Disconnected, "stopped") };
        let now = self.0.parts.clock.now_ms();
        let ended = Session {
            state: state.as_str().into(),
            reason: reason.into(),
            detail: None,
            state_at: now,
            disconnected_at: Some(now),
            paired: session.paired && !logout,
            qr: None,
            qr_expires_at: None,
            updated_at: now,
            ..session.clone()
        };
        if life.store.observe_session(&ended, true).await? {
            life.store.hold_session(session.id, false, Some(reason_to_wait(state, reason))).await?;
            tracing::info!(event = "session_ended", session = session.id, tenant = session.tenant_id, reason);
            self.changed(session.id).await;
        }
        Ok(true)
    }

    /// Writes down where it stands now, and does what follows. `None`: it was too late for that.
    async fn observe(
        &self,
        life: &Life,
        session: Session,
        engine: &Engine,
        seen: Result<super::engine::Seen, EngineError>,
    ) -> Result<Option<Session>, StoreError> {
        let clock = &self.0.parts.clock;
        let now = clock.now_ms();
        let past = Past {
            state: State::parse(&session.state),
            given_up: session.reason == "max_reconnect_exceeded",
            age: now - session.state_at,
            paired: session.paired,
            reconnects: session.reconnects,
            retry_in: session.retry_at - now,
        };
        let Some(decision) = decide(past, seen) else { return Ok(Some(session)) };
        let act = decision.act;
        let wait = i64::try_from(clock.pause(decision.wait).as_millis()).unwrap_or(0);
        let mut next = apply(&session, decision, now, wait);
        let acted = match act {
            Act::Nothing => Ok(()),
            Act::Start | Act::Restart => {
                tracing::info!(event = "session_reconnect", session = session.id, tries = next.reconnects);
                let key = self.webhook_key(&session).ok().flatten();
                if act == Act::Restart {
                    engine.restart(&session.name).await
                } else {
                    engine.start(self.spec(&session, key.as_ref())).await
                }
            }
            Act::ShowQr => self.show_qr(&session, &mut next, engine, now).await,
        };
        if let Err(error) = acted
            && let Some(failed) = decide(past, Err(error))
        {
            next = apply(&next, failed, now, wait);
        }
        if !differs(&session, &next) {
            return Ok(Some(session));
        }
        let turned = session.state != next.state || session.reason != next.reason;
        let stored = life.store.observe_session(&next, turned).await;
        let outcome = if stored.is_ok() { "stored" } else { "failed" };
        metrics::counter!(metric::SESSION_WRITES, "outcome" => outcome).increment(1);
        if !stored? {
            return Ok(None);
        }
        self.turned_to(life, &session, &next, engine).await?;
        self.changed(next.id).await;
        Ok(Some(next))
    }

    /// The code that the engine shows now. An old one stays on the screen until there is a new one.
    async fn show_qr(
        &self,
        session: &Session,
        next: &mut Session,
        engine: &Engine,
        now: i64,
    ) -> Result<(), EngineError> {
        use secrecy::ExposeSecret;
        let Some(qr) = engine.qr(&session.name).await? else { return Ok(()) };
        let shown = self.qr_value(session);
        if shown.is_some_and(|shown| crate::secret::equal(shown.expose_secret(), &qr.value)) {
            return Ok(());
        }
        let usual = if session.qr.is_none() { FIRST_QR } else { FURTHER_QR };
        let lives = qr.lives.and_then(|lives| i64::try_from(lives.as_millis()).ok()).unwrap_or(usual);
        next.qr = Some(self.seal_qr(session, &qr));
        next.qr_version += 1;
        next.qr_at = Some(now);
        next.qr_expires_at = Some(now + lives);
        next.updated_at = now;
        Ok(())
    }

    /// What else follows from standing elsewhere.
    async fn turned_to(
        &self,
        life: &Life,
        before: &Session,
        now: &Session,
        engine: &Engine,
    ) -> Result<(), StoreError> {
        if before.state == now.state && before.reason == now.reason {
            return Ok(());
        }
        let (id, tenant) = (now.id, &now.tenant_id);
        let state = State::parse(&now.state);
        tracing::info!(event = "session_state", session = id, tenant, state = now.state, reason = now.reason);
        metrics::counter!(metric::SESSION_STATES, "state" => state.as_str(), "reason" => now.reason.clone())
            .increment(1);
        let was_pairing = before.state == State::Pairing.as_str();
        match state {
            State::Connected => {
                if was_pairing {
                    metrics::counter!(metric::SESSION_PAIRINGS, "outcome" => "paired").increment(1);
                }
                life.store.hold_session(id, false, None).await?;
                // Its number is one of our own now: nobody answers what it says.
                self.0.parts.routing.changed(&now.key()).await;
            }
            State::Expired | State::Failed if was_pairing => {
                metrics::counter!(metric::SESSION_PAIRINGS, "outcome" => "failed").increment(1);
            }
            _ => {}
        }
        if before.state == State::Connected.as_str() || before.reason == "restoring" {
            life.store.hold_session(id, false, Some(reason_to_wait(state, &now.reason))).await?;
        }
        if matches!(state, State::LoggedOut | State::Failed) {
            tracing::error!(
                event = "session_lost",
                session = id,
                tenant,
                reason = now.reason,
                "a session needs its people; what it has to send is kept"
            );
        }
        // What the phone unlinked must not lie about at the engine, nor make it show codes to nobody.
        if now.reason == "phone_logged_out"
            && let Err(error) = engine.logout(&now.name).await
        {
            tracing::warn!(event = "session_keys_left", session = id, %error);
        }
        Ok(())
    }

    /// Asks WhatsApp itself through the session; how often in a row it was silent.
    async fn listen(&self, session: &Session, engine: &Engine, silences: u32) -> u32 {
        let Some(phone) = &session.phone else { return 0 };
        match engine.is_alive(&session.name, phone).await {
            Ok(false) => silences + 1,
            Ok(true) | Err(_) => 0,
        }
    }

    /// It says that it is connected, and is not.
    async fn wake_up(&self, life: &Life, session: &Session, engine: &Engine) -> Result<(), StoreError> {
        tracing::warn!(
            event = "session_silent",
            session = session.id,
            "connected, but WhatsApp does not answer"
        );
        let now = self.0.parts.clock.now_ms();
        let silent = Session {
            state: State::Connecting.as_str().into(),
            reason: "silent".into(),
            state_at: now,
            reconnects: session.reconnects + 1,
            updated_at: now,
            ..session.clone()
        };
        if life.store.observe_session(&silent, true).await? {
            self.changed(session.id).await;
            if let Err(error) = engine.restart(&session.name).await {
                tracing::warn!(event = "session_reconnect_failed", session = session.id, %error);
            }
        }
        Ok(())
    }
}

/// What deliveries say of a session that does not send now.
pub(super) fn reason_to_wait(state: State, reason: &str) -> &'static str {
    match (state, reason) {
        (State::LoggedOut, _) => "session_logged_out",
        (_, "stopped" | "stopping" | "restored") => "session_stopped",
        _ => "session_disconnected",
    }
}

fn apply(session: &Session, decision: Decision, now: i64, wait: i64) -> Session {
    let state = decision.state.as_str();
    let moved = session.state != state;
    let mut next = Session {
        state: state.into(),
        reason: decision.reason.into(),
        detail: decision.detail,
        state_at: if moved || session.reason != decision.reason { now } else { session.state_at },
        paired: decision.paired,
        reconnects: decision.reconnects,
        retry_at: if decision.reconnects > session.reconnects { now + wait } else { session.retry_at },
        updated_at: now,
        ..session.clone()
    };
    match decision.state {
        State::Connected => {
            if !session.paired {
                next.paired_at = Some(now);
            }
            if moved {
                next.connected_at = Some(now);
            }
            next.first_connected_at = session.first_connected_at.or(Some(now));
            (next.qr, next.qr_expires_at) = (None, None);
            if let Some(me) = decision.me {
                next.phone = me.phone.or(next.phone);
                next.push_name = me.name.or(next.push_name);
            }
        }
        State::LoggedOut => (next.qr, next.qr_expires_at) = (None, None),
        _ => {}
    }
    if session.state == State::Connected.as_str() && moved {
        next.disconnected_at = Some(now);
    }
    next
}

fn differs(a: &Session, b: &Session) -> bool {
    let view = |s: &Session| {
        let words =
            (s.state.clone(), s.reason.clone(), s.detail.clone(), s.phone.clone(), s.push_name.clone());
        (words, s.paired, s.qr_version, s.qr.is_some(), s.reconnects, s.retry_at)
    };
    view(a) != view(b)
}
