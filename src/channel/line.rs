//! A session's line: what waits leaves one by one, as a person would send it.
//!
//! Answers go first, after a moment of typing. What the business starts follows in its own order and at the pace the
//! session allows. The line is the database's: whatever happens to this process, what was not sent still stands there.

use std::time::Duration;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Sessions;
use super::engine::{Engine, SendFailure};
use super::pace::{self, Facts, Gate, Pace};
use super::supervise::Life;
use crate::message::{DeliveryStatus, Recipient};
use crate::store::StoreError;
use crate::store::attempts::{FinishAttempt, StartAttempt};
use crate::store::session_sends::Next;
use crate::store::sessions::Session;
use crate::telemetry::metric;

/// Wait before something that was not taken is tried again, and the longest.
const AGAIN: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(300);

/// What a look at the line came to.
pub(super) struct Line {
    /// When to look again at the latest.
    pub rest: Duration,
    /// Whether the engine should be asked where the session stands.
    pub look: bool,
}

/// How one try ended.
enum Sent {
    Accepted,
    NotTaken,
    /// Cancelled meanwhile, refused, or in doubt: the next one.
    Over,
}

const NEXT: Line = Line { rest: Duration::ZERO, look: false };

impl Sessions {
    /// Sends the next one, if there is one and it may leave.
    pub(super) async fn work_off(
        &self,
        life: &Life,
        session: &Session,
        engine: &Engine,
    ) -> Result<Line, StoreError> {
        let now = self.0.parts.clock.now_ms();
        if let Some(next) = life.store.next_session_delivery(session.id, false, now).await? {
            return Ok(match self.send(life, session, engine, &next, false).await? {
                Sent::NotTaken => Line { rest: Duration::ZERO, look: true },
                Sent::Accepted | Sent::Over => NEXT,
            });
        }
        let Some(next) = life.store.next_session_delivery(session.id, true, now).await? else {
            return Ok(Line { rest: Duration::MAX, look: false });
        };
        let pace = Pace::parse(&session.pace);
        let sent = life.store.session_sent(session.id, pace.today(now)).await?;
        let facts = Facts {
            now,
            next_send_at: session.next_send_at,
            sent,
            new_contact: next.new_contact,
            since: session.first_connected_at.unwrap_or(now),
        };
        if let Gate::Wait(until, why) = pace.gate(facts) {
            if why != "paced" {
                if next.delivery.reason.as_deref() != Some(why) {
                    tracing::info!(event = "session_line_waits", session = session.id, reason = why);
                }
                // Every time: what came into the line since says why it waits, too.
                life.store.hold_session(session.id, true, Some(why)).await?;
            }
            let rest = Duration::from_millis((until - now).max(0).unsigned_abs());
            return Ok(Line { rest, look: false });
        }
        Ok(match self.send(life, session, engine, &next, true).await? {
            Sent::NotTaken => Line { rest: Duration::ZERO, look: true },
            Sent::Over => NEXT,
            Sent::Accepted => {
                let now = self.0.parts.clock.now_ms();
                let gap = self.0.parts.clock.pause(pace.gap(sent.messages + 1));
                let next_send_at = now + i64::try_from(gap.as_millis()).unwrap_or(0);
                let (id, stranger) = (next.delivery.id, next.new_contact);
                life.store.note_session_send(session.id, id, stranger, next_send_at, now).await?;
                NEXT
            }
        })
    }

    async fn send(
        &self,
        life: &Life,
        session: &Session,
        engine: &Engine,
        next: &Next,
        started: bool,
    ) -> Result<Sent, StoreError> {
        let (clock, delivery) = (&self.0.parts.clock, &next.delivery);
        let name = session.name.as_str();
        let unwanted = next.opted_out && started;
        let known_at: Option<Recipient> = serde_json::from_str(&delivery.recipient).ok();
        let address = match &known_at {
            _ if unwanted => None,
            Some(Recipient::UserId(id)) => Some(id.clone()),
            Some(Recipient::Phone(phone)) if next.new_contact => {
                // Only WhatsApp knows under which spelling a number goes, and whether it goes at all.
                engine.address_of(name, phone).await.unwrap_or(Some(format!("{phone}@c.us")))
            }
            Some(Recipient::Phone(phone)) => Some(format!("{phone}@c.us")),
            None => None,
        };
        if let Some(to) = &address {
            let (answers, _) = life.store.session_backlog(session.id).await?;
            if let Some(wamid) = &next.last_wamid {
                let _ = engine.seen(name, to, wamid).await;
            }
            let _ = engine.typing(name, to, true).await;
            tokio::select! {
                () = tokio::time::sleep(clock.pause(pace::typing(&delivery.text, answers - 1))) => {}
                () = life.stop.cancelled() => return Ok(Sent::NotTaken),
            }
            let _ = engine.typing(name, to, false).await;
        }
        let attempt_id = Uuid::now_v7();
        let start = StartAttempt {
            delivery_id: delivery.id,
            account_id: delivery.whatsapp_account_id,
            attempt_id,
            now: clock.now_ms(),
        };
        let Some(now_at) = life.store.stations().write(start).await? else {
            return Ok(Sent::Over); // cancelled meanwhile
        };
        let result = match &address {
            _ if known_at.is_some_and(|known_at| known_at != now_at) => {
                Err(SendFailure::NotSent("the contact's address changed meanwhile".to_owned()))
            }
            Some(to) => engine.send_text(name, to, &delivery.text, &mark(session, delivery.id)).await,
            None if unwanted => Err(SendFailure::Refused("the contact wants no more messages".to_owned())),
            None => Err(SendFailure::Refused("this number has no WhatsApp".to_owned())),
        };
        let refused = if unwanted { "opted_out" } else { "undeliverable" };
        let now = clock.now_ms();
        let (sent, finish) = self.judge(result, session, next, (attempt_id, now), refused);
        metrics::counter!(metric::SENDS, "outcome" => finish.outcome, "code" => "").increment(1);
        let failed = finish.status == DeliveryStatus::Failed;
        let write = || life.store.stations().write(finish.clone());
        life.store.patiently(|| life.tasks.is_closed(), write).await?;
        if failed {
            life.store.cancel_rest(delivery.message_id, delivery.part).await?;
        }
        Ok(sent)
    }

    fn judge(
        &self,
        result: Result<String, SendFailure>,
        session: &Session,
        next: &Next,
        (attempt_id, now): (Uuid, i64),
        refusal: &'static str,
    ) -> (Sent, FinishAttempt) {
        let delivery = &next.delivery;
        let ended = |outcome, status, reason| FinishAttempt {
            attempt_id,
            delivery_id: delivery.id,
            account_id: delivery.whatsapp_account_id,
            outcome,
            wamid: None,
            code: None,
            detail: None,
            status,
            reason,
            opted_out: false,
            next_at: now,
            now,
        };
        match result {
            Ok(wamid) => {
                let sent = ended("accepted", DeliveryStatus::Sent, None);
                (Sent::Accepted, FinishAttempt { wamid: Some(wamid), ..sent })
            }
            Err(SendFailure::NotSent(detail)) => {
                let tried = u32::try_from(delivery.attempts).unwrap_or(0).min(8);
                let wait = self.0.parts.clock.pause((AGAIN * 2_u32.pow(tried)).min(LONGEST));
                tracing::warn!(event = "session_send_waits", session = session.id, delivery = delivery.id);
                let held = ended("not_sent", DeliveryStatus::Queued, Some("session_disconnected"));
                let next_at = now + i64::try_from(wait.as_millis()).unwrap_or(0);
                (Sent::NotTaken, FinishAttempt { detail: Some(detail), next_at, ..held })
            }
            Err(SendFailure::Refused(detail)) => {
                let refused = ended("refused", DeliveryStatus::Failed, Some(refusal));
                (Sent::Over, FinishAttempt { detail: Some(detail), ..refused })
            }
            Err(SendFailure::Ambiguous(detail)) => {
                metrics::counter!(metric::DELIVERIES_UNKNOWN).increment(1);
                let unknown = ended("unknown", DeliveryStatus::Unknown, Some("answer_lost"));
                (Sent::Over, FinishAttempt { detail: Some(detail), ..unknown })
            }
        }
    }
}

/// The id a delivery's message has whenever it is tried, where the engine may choose: so that whoever gets it twice is
/// shown it once. No other delivery's, even of another database.
fn mark(session: &Session, delivery: i64) -> String {
    let place = format!("{}/{}/{delivery}", session.created_at, session.id);
    format!("3EB0{}", hex::encode_upper(&Sha256::digest(place)[..9]))
}
