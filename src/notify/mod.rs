//! Tells tenants' own systems what happened: signed, tried again for a day, each endpoint by itself.
//!
//! What is to be told stands in `event_deliveries`, written with the change it speaks of. Endpoints with something due
//! have a lane each, so that a slow one delays nobody else's; an endpoint that is slow or fails gets one at a time, one
//! that fails rests for a while, and one that fails for five days is switched off.

mod places;
pub mod signature;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::ids::EventDeliveryId;
use crate::news::{News, Newsroom};
use crate::responder::{check_url, guarded_client};
use crate::runtime::Clock;
use crate::secret::{self, Ring};
use crate::store::event_deliveries::{EventDelivery, Tried};
use crate::store::event_endpoints::Endpoint;
use crate::store::{Store, StoreError};
use crate::telemetry::metric;
use places::Places;

/// Waits before the retries, to which up to a tenth is added.
const RETRIES: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(5 * 3_600),
    Duration::from_secs(10 * 3_600),
    Duration::from_secs(10 * 3_600),
];
/// How long an endpoint may take to answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// A try whose process died is made again after this, in milliseconds.
const LEASE: i64 = 60_000;
/// Tries at once for one endpoint.
const PER_ENDPOINT: usize = 8;
/// An endpoint that took longer for some of them gets one at a time, in milliseconds.
const SLOW: i64 = 3_000;
/// How often the database is looked into without being woken.
const LOOK: Duration = Duration::from_secs(1);
/// How long an endpoint rests after nothing but failures: at first, and at most.
const REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(300);

/// Tells tenants' systems. Cheap to clone.
#[derive(Clone)]
pub struct Notifier(Arc<Inner>);

struct Inner {
    store: Store,
    ring: Ring,
    news: Newsroom,
    clock: Clock,
    http: reqwest::Client,
    allow_private: bool,
    places: Places,
    lanes: Mutex<Lanes>,
}

#[derive(Default)]
struct Lanes {
    busy: HashSet<Uuid>,
    /// Slow or failing lately.
    slow: HashSet<Uuid>,
    /// Failures in a row, and until when there is no next try, Unix milliseconds.
    resting: HashMap<Uuid, (u32, i64)>,
}

impl Notifier {
    /// `allow_private`: endpoints may live in private networks and without TLS.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(
        store: Store,
        ring: Ring,
        news: Newsroom,
        clock: Clock,
        allow_private: bool,
    ) -> Result<Self, reqwest::Error> {
        let http = guarded_client(TIMEOUT, allow_private)?;
        let (places, lanes) = (Places::default(), Mutex::default());
        Ok(Self(Arc::new(Inner { store, ring, news, clock, http, allow_private, places, lanes })))
    }

    /// Works until `stop`; its lanes are counted by `tasks`.
    pub async fn run(self, tasks: TaskTracker, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.store.listeners().woken() => {}
                () = tokio::time::sleep(self.0.clock.pause(LOOK).max(Duration::from_millis(10))) => {}
            }
            let now = self.0.clock.now_ms();
            let due = match self.0.store.due_endpoints(now).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::debug!(%error, "events wait for the database");
                    continue;
                }
            };
            for endpoint in due {
                let mut lanes = self.lanes();
                let rests = lanes.resting.get(&endpoint).is_some_and(|(_, until)| now < *until);
                if !rests && lanes.busy.insert(endpoint) {
                    let (notifier, stop) = (self.clone(), stop.clone());
                    tasks.spawn(async move {
                        if let Err(error) = notifier.work_off(endpoint, &stop).await {
                            tracing::warn!(%endpoint, %error, "events will be told later");
                        }
                        notifier.lanes().busy.remove(&endpoint);
                    });
                }
            }
        }
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells an endpoint what is due, until nothing is, or until it fails.
    async fn work_off(&self, id: Uuid, stop: &CancellationToken) -> Result<(), StoreError> {
        let store = &self.0.store;
        while !stop.is_cancelled() {
            let Some(endpoint) = store.open_endpoint(id).await? else { return Ok(()) };
            let most = if self.lanes().slow.contains(&id) { 1 } else { PER_ENDPOINT };
            // What there is no room for is left to others, and its lease does not run out while it waits.
            let places = tokio::select! {
                places = self.0.places.take(&endpoint.tenant_id, most) => places,
                () = stop.cancelled() => return Ok(()),
            };
            let now = self.0.clock.now_ms();
            let batch = store.claim_event_deliveries(id, now, now + LEASE, places.len() as u64).await?;
            if batch.is_empty() {
                return Ok(());
            }
            let secrets = signature::secrets(&self.0.ring, &endpoint, now);
            let secrets = secrets
                .inspect_err(|error| tracing::error!(endpoint = %id, %error, "events cannot be signed"))
                .unwrap_or_default();
            let tell = async |d, _place| self.tell(&endpoint, &secrets, d).await;
            let tried = join_all(batch.iter().zip(places).map(|(d, place)| tell(d, place))).await;
            let well = tried.iter().all(|t| t.status == "delivered");
            if well && self.0.clock.now_ms() - now < SLOW {
                self.lanes().slow.remove(&id);
            } else {
                self.lanes().slow.insert(id);
            }
            let gone = tried.iter().any(|t| t.response_status == Some(i64::from(StatusCode::GONE.as_u16())));
            let now = self.0.clock.now_ms();
            if store.finish_event_deliveries(&endpoint.tenant_id, id, &tried, gone, now).await? {
                tracing::warn!(endpoint = %id, tenant = endpoint.tenant_id, gone, "an event endpoint is off now");
                store.load_listeners().await?;
                return self.0.news.tell(News::Endpoints).await;
            }
            if tried.iter().any(|t| t.status == "delivered") {
                self.lanes().resting.remove(&id);
            } else {
                let mut lanes = self.lanes();
                let failures = lanes.resting.get(&id).map_or(0, |(failures, _)| *failures);
                let rest = (REST * 2_u32.saturating_pow(failures)).min(LONGEST_REST);
                let until = now + millis(self.0.clock.pause(rest));
                lanes.resting.insert(id, (failures.saturating_add(1).min(10), until));
                return Ok(());
            }
        }
        Ok(())
    }

    /// One try.
    async fn tell(&self, endpoint: &Endpoint, secrets: &[SecretString], d: &EventDelivery) -> Tried {
        let (response_status, reason) = match self.post(endpoint, secrets, d).await {
            Ok(status) => {
                let reason = match status {
                    _ if status.is_success() => None,
                    StatusCode::GONE => Some("gone"),
                    _ if status.is_redirection() => Some("redirect"),
                    _ => Some("refused"),
                };
                (Some(i64::from(status.as_u16())), reason)
            }
            Err(reason) => (None, Some(reason)),
        };
        metrics::counter!(metric::EVENT_TRIES, "outcome" => reason.unwrap_or("delivered")).increment(1);
        let now = self.0.clock.now_ms();
        let wait = usize::try_from(d.attempts).ok().and_then(|n| RETRIES.get(n.saturating_sub(1)));
        let (status, next_at) = match (reason, wait) {
            (None, _) => ("delivered", now),
            (Some(_), Some(wait)) => ("queued", now + millis(self.0.clock.pause(later(*wait)))),
            (Some(_), None) => ("dead", now),
        };
        Tried { id: d.id, status, next_at, response_status, reason }
    }

    /// What the endpoint answered; nothing of its body is read. Or why there was no answer, as a word.
    async fn post(
        &self,
        endpoint: &Endpoint,
        secrets: &[SecretString],
        d: &EventDelivery,
    ) -> Result<StatusCode, &'static str> {
        if secrets.is_empty() {
            return Err("secret_unreadable");
        }
        let url = check_url(&endpoint.url, self.0.allow_private).map_err(|_| "forbidden_address")?;
        let id = EventDeliveryId(d.id).to_string();
        let at = self.0.clock.now_ms() / 1000;
        let request = self
            .0
            .http
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", signature::sign(secrets, &id, at, &d.payload))
            .body(d.payload.clone());
        match request.send().await {
            Ok(response) => Ok(response.status()),
            Err(error) if error.is_timeout() => Err("timeout"),
            Err(error) if error.is_connect() => Err("unreachable"),
            Err(_) => Err("broken"),
        }
    }
}

/// Up to a tenth more, so that what failed together does not come again together.
fn later(wait: Duration) -> Duration {
    let [luck] = secret::random::<1>();
    wait.mul_f64(1.0 + f64::from(luck) / 2_550.0)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_grows_by_a_tenth_at_most() {
        for _ in 0..1_000 {
            let wait = later(Duration::from_secs(100));
            assert!((100.0..=110.0).contains(&wait.as_secs_f64()), "{wait:?}");
        }
    }
}
