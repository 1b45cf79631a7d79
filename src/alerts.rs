//! What people have to know at once: found by looking, and posted to the operator's own address.
//!
//! Who finds something out raises it in the store (`store/alerts.rs`); this looks for what nobody in particular finds
//! out, and posts. Failures in here are logged and disturb nobody.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::ids::AccountId;
use crate::responder::Responders;
use crate::runtime::{Clock, http_client, rfc3339};
use crate::store::alert_ends::standing;
use crate::store::alerts::{Alert, AlertRow, Kind};
use crate::store::{Store, StoreError};

/// How often there is a look.
const LOOK: Duration = Duration::from_secs(5);
/// How long a post may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Work that waits for longer is an alert, in milliseconds.
const WAITING: i64 = 60_000;
/// So many losses of one tenant among what is younger than this (milliseconds) are an alert.
const LOSSES: i64 = 10;
const LOSSES_WITHIN: i64 = 10 * 60_000;
/// A look that takes longer is one at a slow database.
const SLOW: Duration = Duration::from_secs(2);
/// A database that does not answer for longer is away.
const AWAY: Duration = Duration::from_secs(10);
/// So many in one minute are a burst.
const BURST: u32 = 20;
const MINUTE: i64 = 60_000;

/// Counts wrong signatures.
#[derive(Debug, Default)]
pub struct Burst(Mutex<(i64, u32)>);

impl Burst {
    /// Counts one at `now` (Unix milliseconds); raises an alert when this minute has too many.
    pub fn count(&self, store: &Store, now: i64) {
        if self.is_too_many(now) {
            let store = store.clone();
            // Nobody who knocks waits for it.
            tokio::spawn(async move {
                let words = "Many webhooks with a wrong signature within a minute: the app secret was changed at Meta, \
                             or somebody knocks.";
                store.alert(Alert::new(Kind::SignaturesRefused, "webhook", words, now)).await;
            });
        }
    }

    /// True for the one with which this minute has too many.
    fn is_too_many(&self, now: i64) -> bool {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if count.0 != now / MINUTE {
            *count = (now / MINUTE, 0);
        }
        count.1 = count.1.saturating_add(1);
        count.1 == BURST + 1
    }
}

/// Who looks, and where it is told.
pub struct Alarm {
    /// Where alerts are kept.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Who is left alone after too many failures is an alert.
    pub responders: Responders,
    /// Where they are posted; none: they are only kept.
    pub address: Option<SecretString>,
}

impl Alarm {
    /// Looks and posts until the end.
    pub async fn watch(self) {
        let http = http_client(TIMEOUT).build();
        let http = http.inspect_err(|error| tracing::error!(%error, "alerts cannot be posted")).ok();
        let mut away: Option<(Instant, bool)> = None;
        loop {
            tokio::time::sleep(self.clock.pause(LOOK).max(Duration::from_millis(20))).await;
            let begun = Instant::now();
            let looked = tokio::time::timeout(AWAY, self.look(self.clock.now_ms())).await;
            let looked = looked.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".into())));
            if let Err(error) = looked {
                tracing::debug!(%error, "no look for alerts this time");
                let (since, said) = away.get_or_insert((begun, false));
                if since.elapsed() > self.clock.pause(AWAY) && !*said {
                    *said = true;
                    // It cannot be kept, so it is posted at once.
                    self.post(&http, Kind::DatabaseAway.as_str(), &self.absence()).await;
                }
                continue;
            }
            if let Some((since, true)) = away {
                let words = format!("The database was away for {} s and is back.", since.elapsed().as_secs());
                // Whoever heard that it is away hears that it is back.
                if self.raise(Kind::DatabaseAway, words).await.is_err() {
                    continue;
                }
            }
            away = None;
            if begun.elapsed() > SLOW {
                let words = format!("The database took {} s to answer.", begun.elapsed().as_secs());
                let _ = self.raise(Kind::DatabaseSlow, words).await;
            }
            if let Err(error) = self.post_all(&http).await {
                tracing::debug!(%error, "alerts are posted later");
            }
        }
    }

    async fn raise(&self, kind: Kind, words: String) -> Result<(), StoreError> {
        self.store.keep_alert(&Alert::new(kind, "database", words, self.clock.now_ms())).await
    }

    /// Raises what waits for too long, what is lost too often, and who fails too often; notes what is over.
    async fn look(&self, now: i64) -> Result<(), StoreError> {
        let store = &self.store;
        let mut stands = Vec::new();
        let oldest = store.oldest_waiting().await?;
        for (station, at) in ["inbox", "conversation", "outbox"].into_iter().zip(oldest) {
            if let Some(at) = at.filter(|at| now - at > WAITING) {
                let text = format!("The oldest item of the {station} waits for {} s.", (now - at) / 1000);
                stands.push(standing(Kind::WorkWaits, station));
                store.alert(Alert::new(Kind::WorkWaits, station, text, now)).await;
            }
        }
        for (kind, tenant, count) in store.losses(now - LOSSES_WITHIN, LOSSES).await? {
            let what = match kind {
                Kind::DeliveriesUnknown => "replies may or may not have gone out",
                Kind::DeliveriesDead => "replies were given up",
                _ => "turns got no answer",
            };
            let text = format!("{count} {what} for tenant {tenant} within ten minutes: see its deliveries.");
            stands.push(standing(kind, &tenant));
            store.alert(Alert { tenant: Some(&tenant), ..Alert::new(kind, &tenant, text, now) }).await;
        }
        let count = store.unroutable(now - LOSSES_WITHIN).await?;
        if count >= LOSSES {
            let text =
                format!("{count} events of numbers that nobody has, within ten minutes: see the events.");
            stands.push(standing(Kind::EventsUnroutable, "events"));
            store.alert(Alert::new(Kind::EventsUnroutable, "events", text, now)).await;
        }
        for key in self.responders.resting() {
            let (tenant, who) = match key.strip_prefix("bot:") {
                Some(bot) => (store.tenant_of_chatbot(bot).await?, format!("The responder of chatbot {bot}")),
                None => (None, format!("The responders at {}", key.trim_start_matches("host:"))),
            };
            let text = format!("{who} failed too often and is asked now and then only.");
            let alert = Alert::new(Kind::ResponderResting, &key, text, now);
            stands.push(standing(Kind::ResponderResting, &key));
            store.alert(Alert { tenant: tenant.as_deref(), ..alert }).await;
        }
        store.end_alerts(&stands, now).await
    }

    fn absence(&self) -> Value {
        json!({
            "text": "Switchboard: The database does not answer.",
            "kind": Kind::DatabaseAway.as_str(),
            "at": rfc3339(self.clock.now_ms()),
        })
    }

    async fn post_all(&self, http: &Option<reqwest::Client>) -> Result<(), StoreError> {
        if self.address.is_none() || !self.store.alerts_due(self.clock.now_ms()).await? {
            return Ok(());
        }
        for alert in self.store.claim_alerts(self.clock.now_ms()).await? {
            if self.post(http, &alert.kind, &message(&alert)).await {
                self.store.alert_posted(alert.id, self.clock.now_ms()).await?;
            }
        }
        Ok(())
    }

    /// Whether it was taken.
    async fn post(&self, http: &Option<reqwest::Client>, kind: &str, message: &Value) -> bool {
        let (Some(http), Some(address)) = (http, &self.address) else { return false };
        match http.post(address.expose_secret()).json(message).send().await {
            Ok(answer) if answer.status().is_success() => return true,
            Ok(answer) => tracing::warn!(kind, status = answer.status().as_u16(), "an alert was not taken"),
            // The address is a credential: reqwest's words would repeat it.
            Err(error) => tracing::warn!(kind, error = %error.without_url(), "an alert was not taken"),
        }
        false
    }
}

/// As chat programs take it (`text`), with the rest for machines.
fn message(alert: &AlertRow) -> Value {
    let mut message = json!({
        "text": format!("Switchboard: {}", alert.text),
        "kind": alert.kind,
        "at": rfc3339(alert.at),
    });
    if let Some(tenant) = &alert.tenant_id {
        message["tenant"] = json!(tenant);
    }
    if let Some(account) = alert.account_id {
        message["account"] = json!(AccountId(account));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_told_once_a_minute() {
        let burst = Burst::default();
        let told: Vec<i64> = (0..100).filter(|n| burst.is_too_many(60_000 + n)).collect();
        assert_eq!(told, [20]);
        assert!(!burst.is_too_many(120_000), "a new minute begins at nothing");
    }
}
