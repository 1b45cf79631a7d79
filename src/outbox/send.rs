//! One attempt: record it, make it, record how it ended, and decide what follows.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tracing::Instrument;
use tracing::field::Empty;
use uuid::Uuid;

use super::pacing::{NUMBER, PAIR};
use super::{Outbox, Parcel};
use crate::graph::client::{Accepted, SendFailure};
use crate::graph::errors::{self, Reaction, Verdict};
use crate::graph::{content, messages};
use crate::ids::MediaId;
use crate::media::UploadFailure;
use crate::message::DeliveryStatus;
use crate::routing::{Account, Status};
use crate::store::StoreError;
use crate::store::attempts::{FinishAttempt, StartAttempt};
use crate::telemetry::metric;
use crate::telemetry::traces::TARGET;

/// Waits before the safe retries, in seconds: 4^n.
const RETRIES: [u64; 4] = [1, 4, 16, 64];
/// Longest wait that a `Retry-After` may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// What the lane does next.
pub(super) enum Step {
    /// The next parcel.
    Next,
    /// The same parcel, after a while.
    Again(Duration),
    /// The rest of this answer is not sent; then the next one.
    SkipAnswer,
    /// Nothing of this lane until something changes.
    Hold,
}

/// What one attempt came to.
struct Ending {
    outcome: &'static str,
    status: DeliveryStatus,
    reason: Option<&'static str>,
    code: Option<i64>,
    detail: Option<String>,
    wamid: Option<String>,
    opted_out: bool,
    wait: Duration,
    step: Step,
}

impl Outbox {
    pub(super) async fn send(&self, conversation: i64, parcel: &mut Parcel) -> Result<Step, StoreError> {
        let store = &self.0.store;
        let find = || self.0.routing.account(&parcel.phone_number_id, parcel.account_id);
        let account = self.patiently(find).await?;
        let why = match account.as_ref().map(|a| a.status) {
            Some(Status::TokenInvalid) => "token_invalid",
            _ => "account_inactive",
        };
        let Some(account) = account.filter(|a| a.status.may_send()) else {
            self.patiently(|| store.hold_delivery(parcel.delivery_id, why)).await?;
            return Ok(Step::Hold);
        };
        let pair = format!("{}/{conversation}", parcel.phone_number_id);
        let now = self.0.clock.now_ms();
        let paced = self.0.pacing.wait(&parcel.phone_number_id, now).max(self.0.pacing.wait(&pair, now));
        // Longer than any wait there is: the clock went back meanwhile.
        let due =
            Some(parcel.next_at.saturating_sub(now)).filter(|due| *due <= LONGEST_WAIT.as_millis() as i64);
        let wait = paced.max(due.unwrap_or(0));
        if wait > 0 {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(wait.unsigned_abs())) => {}
                () = self.0.stop.cancelled() => return Ok(Step::Next),
            }
        }

        let attempt_id = Uuid::now_v7();
        // Files go up before the attempt begins: whoever is stopped meanwhile has sent nothing.
        let content = self.content(parcel, &account).await?;
        let start = StartAttempt {
            attempt_id,
            delivery_id: parcel.delivery_id,
            account_id: parcel.account_id,
            now: self.0.clock.now_ms(),
        };
        let Some(to) = self.patiently(|| store.stations().write(start.clone())).await? else {
            return Ok(Step::Next); // cancelled meanwhile
        };
        let callback = attempt_id.to_string();
        let body = content.map(|content| match content {
            Some(content) => messages::addressed(&to, content, &callback),
            None => messages::text(&to, &parcel.text, &callback),
        });
        let span = tracing::info_span!(target: TARGET, "send", delivery = parcel.delivery_id, outcome = Empty, code = Empty);
        let began = Instant::now();
        let result = match body {
            Ok(body) => {
                let sending = self.0.graph.send(&parcel.phone_number_id, &account.credentials, &body);
                sending.instrument(span.clone()).await
            }
            Err(failure) => Err(failure),
        };
        metrics::histogram!(metric::SEND_SECONDS).record(began.elapsed());
        self.0.pacing.sent(&pair, self.0.clock.now_ms());
        let ending = self.judge(result, parcel, &account, &pair).await;
        span.record("outcome", ending.outcome);
        if let Some(code) = ending.code {
            span.record("code", code);
        }
        drop(span);
        metrics::counter!(metric::SENDS, "outcome" => ending.outcome,
            "code" => ending.code.map_or_else(String::new, |code| code.to_string()))
        .increment(1);

        let now = self.0.clock.now_ms();
        let finish = FinishAttempt {
            attempt_id,
            delivery_id: parcel.delivery_id,
            account_id: parcel.account_id,
            outcome: ending.outcome,
            wamid: ending.wamid,
            code: ending.code,
            detail: ending.detail,
            status: ending.status,
            reason: ending.reason,
            opted_out: ending.opted_out,
            next_at: now + i64::try_from(ending.wait.as_millis()).unwrap_or(0),
            now,
        };
        if self.patiently(|| store.stations().write(finish.clone())).await? {
            self.0.routing.changed(&parcel.phone_number_id).await;
        }
        if matches!(ending.step, Step::SkipAnswer) {
            self.patiently(|| store.cancel_rest(parcel.message_id, parcel.part)).await?;
        }
        Ok(ending.step)
    }

    /// What goes to Meta, unless it is the bubble's words alone; files of ours are there afterwards.
    async fn content(
        &self,
        parcel: &Parcel,
        account: &Account,
    ) -> Result<Result<Option<Map<String, Value>>, SendFailure>, StoreError> {
        let Some(mut content) = parcel.content.clone() else { return Ok(Ok(None)) };
        for file in content::files(&mut content) {
            let id = file.part.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
            let Some(MediaId(id)) = id else { continue };
            let find = || async {
                match self.0.media.graph_id(account, id).await {
                    Err(UploadFailure::Store(error)) => Err(error),
                    Err(UploadFailure::Graph(failure)) => Ok(Err(failure)),
                    Ok(id) => Ok(Ok(id)),
                }
            };
            match self.patiently(find).await? {
                Ok(id) => file.part.insert("id".to_owned(), id.into()),
                Err(failure) => return Ok(Err(failure)),
            };
        }
        Ok(Ok(Some(content)))
    }

    async fn judge(
        &self,
        result: Result<Accepted, SendFailure>,
        parcel: &mut Parcel,
        account: &Account,
        pair: &str,
    ) -> Ending {
        let ended = |outcome, status, step| Ending {
            outcome,
            status,
            step,
            reason: None,
            code: None,
            detail: None,
            wamid: None,
            opted_out: false,
            wait: Duration::ZERO,
        };
        match result {
            Ok(Accepted { wamid }) => {
                Ending { wamid: Some(wamid), ..ended("accepted", DeliveryStatus::Sent, Step::Next) }
            }
            Err(SendFailure::NotSent(detail)) => {
                let ending =
                    Ending { detail: Some(detail), ..ended("not_sent", DeliveryStatus::Queued, Step::Next) };
                self.retry(parcel, ending, "graph_unreachable", None)
            }
            Err(SendFailure::Ambiguous { detail, code }) => {
                metrics::counter!(metric::DELIVERIES_UNKNOWN).increment(1);
                let verdict = code.and_then(errors::verdict);
                Ending {
                    reason: Some(verdict.map_or("answer_lost", |verdict| verdict.reason)),
                    code,
                    detail: Some(detail),
                    ..ended("unknown", DeliveryStatus::Unknown, Step::Next)
                }
            }
            Err(SendFailure::Refused { error, retry_after }) => {
                let verdict = error.verdict();
                let refused = Ending {
                    code: error.code,
                    reason: Some(verdict.reason),
                    detail: Some(error.details.clone().unwrap_or_else(|| error.message.clone())),
                    ..ended("refused", DeliveryStatus::Failed, Step::SkipAnswer)
                };
                let now = self.0.clock.now_ms();
                match verdict.reaction {
                    Reaction::RetryLater => {
                        let distance = self.0.clock.pause(NUMBER);
                        self.0.pacing.slow_down(&parcel.phone_number_id, distance, now);
                        self.retry(parcel, refused, verdict.reason, retry_after)
                    }
                    Reaction::PairLimit => {
                        self.0.pacing.slow_down(pair, self.0.clock.pause(PAIR), now);
                        self.retry(parcel, refused, verdict.reason, retry_after)
                    }
                    Reaction::Ambiguous => {
                        metrics::counter!(metric::DELIVERIES_UNKNOWN).increment(1);
                        Ending {
                            outcome: "unknown",
                            status: DeliveryStatus::Unknown,
                            step: Step::Next,
                            ..refused
                        }
                    }
                    Reaction::TokenInvalid => {
                        self.set_status(account, verdict).await;
                        Ending { status: DeliveryStatus::Queued, step: Step::Hold, ..refused }
                    }
                    Reaction::AccountRestricted => {
                        self.set_status(account, verdict).await;
                        refused
                    }
                    Reaction::OptedOut => Ending { opted_out: true, ..refused },
                    Reaction::WindowClosed | Reaction::Undeliverable | Reaction::Permanent => refused,
                }
            }
        }
    }

    /// Meta says that something is wrong with the account itself: everybody is to know.
    async fn set_status(&self, account: &Account, verdict: &Verdict) {
        let Some(status) = verdict.account_status() else { return };
        let id = account.place.account_id;
        let (used, now) = (&account.sealed_token, self.0.clock.now_ms());
        match self.0.store.set_account_status(id, status, verdict.reason, used, now).await {
            Ok(false) => {}
            Ok(true) => {
                tracing::error!(
                    account = id,
                    tenant = account.place.tenant_id,
                    status,
                    reason = verdict.reason,
                    advice = verdict.advice,
                    "an account needs its people"
                );
                self.0.routing.changed(&account.place.phone_number_id).await;
            }
            Err(error) => {
                tracing::error!(account = id, %error, "an account's new status could not be stored")
            }
        }
    }

    /// A certainly unsent parcel goes again, until its retries are used up.
    fn retry(
        &self,
        parcel: &mut Parcel,
        ending: Ending,
        reason: &'static str,
        retry_after: Option<Duration>,
    ) -> Ending {
        let tried = usize::try_from(parcel.attempts).unwrap_or(usize::MAX);
        parcel.attempts += 1;
        let Some(seconds) = RETRIES.get(tried) else {
            let (status, step) = (DeliveryStatus::Dead, Step::SkipAnswer);
            return Ending { status, reason: Some(reason), step, ..ending };
        };
        let asked = retry_after.unwrap_or_default().min(LONGEST_WAIT);
        let wait = self.0.clock.pause(Duration::from_secs(*seconds)).max(asked);
        let (status, step) = (DeliveryStatus::Queued, Step::Again(wait));
        Ending { status, reason: Some(reason), wait, step, ..ending }
    }
}
