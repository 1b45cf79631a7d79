//! The stations as one unit that lives as long as this instance's lease.
//!
//! When the lease is lost (the process was frozen, the database away), another instance takes over what this one
//! owned. Then everything here stops, what was under way ends, and a new unit starts under a new name.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::Stations;
use crate::channel::Sessions;
use crate::conversation::Conversations;
use crate::graph::client::GraphClient;
use crate::inbox::{self, Inbox};
use crate::media::Media;
use crate::news::{News, Newsroom};
use crate::notify::Notifier;
use crate::onboarding::Onboarding;
use crate::outbox::Outbox;
use crate::responder::Responders;
use crate::routing::Routing;
use crate::runtime::{Clock, Shutdown};
use crate::store::instances::LEASE;
use crate::store::{Store, StoreError};
use crate::telemetry::metric;
use crate::webhook::Door;

/// Signs of life.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// Pause before the next life.
const PAUSE: Duration = Duration::from_millis(500);
/// How often conversations are looked for that have work and nobody who does it.
const PATROL: Duration = Duration::from_secs(4);
/// Free conversations taken over at once: many instances share what a dead one left.
const CLAIM: usize = 500;
/// Work that is younger is somebody's who is about to do it, in milliseconds.
const GRACE: i64 = 5_000;
/// How often pending accounts are checked again, and how many.
const PENDING: Duration = Duration::from_secs(30);
const PENDING_AT_ONCE: u64 = 20;
/// Numbers in use whose health is asked for in one round.
const IN_USE_AT_ONCE: u64 = 10;
/// How long what is under way may take at the end of a life: shorter than a stop, which is to free what is left.
const WIND_UP: Duration = Duration::from_secs(9);

/// What the stations are made of.
#[derive(Clone)]
pub(super) struct Parts {
    pub store: Store,
    pub routing: Routing,
    pub responders: Responders,
    pub graph: GraphClient,
    pub media: Media,
    pub news: Newsroom,
    pub clock: Clock,
    pub door: Door,
    pub stations: Stations,
    pub notifier: Notifier,
    pub sessions: Sessions,
}

/// Runs the stations. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    parts: Parts,
    unit: Arc<RwLock<Option<Unit>>>,
}

/// One life.
#[derive(Clone)]
struct Unit {
    inbox: Inbox,
    conversations: Conversations,
    outbox: Outbox,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Engine {
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts, unit: Arc::default() }
    }

    fn unit(&self) -> Option<Unit> {
        self.unit.read().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Whether nothing is on its way.
    pub fn is_idle(&self) -> bool {
        self.unit().is_some_and(|u| u.inbox.is_idle() && u.conversations.busy() == 0 && u.outbox.busy() == 0)
    }

    /// Lives one life after the other until the shutdown.
    pub(super) async fn run(self, shutdown: Shutdown) {
        while !shutdown.is_draining() {
            match self.parts.store.join(&name()).await {
                Ok(store) => {
                    tracing::info!(instance = store.instance(), "joined");
                    self.live(Parts { store, ..self.parts.clone() }, &shutdown).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot join yet");
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => {}
                        () = shutdown.draining() => {}
                    }
                }
            }
        }
    }

    async fn live(&self, parts: Parts, shutdown: &Shutdown) {
        let unit = begin(parts.clone());
        *self.unit.write().unwrap_or_else(|e| e.into_inner()) = Some(unit.clone());
        parts.door.open_to(Some(unit.inbox.clone()));
        parts.stations.set(Some(unit.conversations.clone()));
        let mut patrol = tokio::spawn(patrol(parts.clone(), unit.clone()));
        tokio::select! {
            () = heartbeat(&parts) => tracing::error!("the lease is lost: everything in hand is given up"),
            // Nobody else would work while this instance shows signs of life.
            () = unit.inbox.ended() => tracing::error!("the inbox stopped: everything begins anew"),
            _ = &mut patrol => tracing::error!("the patrol stopped: everything begins anew"),
            () = shutdown.draining() => {}
        }
        parts.door.open_to(None);
        parts.stations.set(None);
        unit.stop.cancel();
        unit.tasks.close();
        patrol.abort();
        // While it ends in good order it still owns what it has.
        tokio::select! {
            _ = tokio::time::timeout(WIND_UP, unit.tasks.wait()) => {}
            () = heartbeat(&parts) => {}
            () = shutdown.killed() => {}
        }
        *self.unit.write().unwrap_or_else(|e| e.into_inner()) = None;
        if let Err(error) = parts.store.leave().await {
            tracing::warn!(%error, "what this instance owned is free when its lease ends");
        }
        // Whatever ended this life may still be there: no faster than this.
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = shutdown.draining() => {}
        }
    }
}

fn begin(parts: Parts) -> Unit {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    tasks.spawn(parts.notifier.run(tasks.clone(), stop.clone()));
    let outbox = Outbox::new(
        parts.store.clone(),
        parts.routing.clone(),
        parts.graph.clone(),
        parts.media.clone(),
        parts.clock.clone(),
        tasks.clone(),
        stop.clone(),
    );
    let conversations = Conversations::new(
        parts.store.clone(),
        parts.routing.clone(),
        parts.responders,
        outbox.clone(),
        parts.clock.clone(),
        tasks.clone(),
        stop.clone(),
    );
    parts.sessions.supervise(parts.store.clone(), tasks.clone(), stop.clone());
    let inbox = Inbox::start(inbox::Parts {
        store: parts.store,
        routing: parts.routing,
        conversations: conversations.clone(),
        media: parts.media.clone(),
        news: parts.news,
        clock: parts.clock,
        tasks: tasks.clone(),
        stop: stop.clone(),
    });
    tasks.spawn(parts.media.run(stop.clone()));
    Unit { inbox, conversations, outbox, tasks, stop }
}

/// Ends when the lease is lost: another instance says so, or there was no word from the database for too long. On the
/// embedded database there is nobody else, and nothing to renew.
async fn heartbeat(parts: &Parts) {
    let store = &parts.store;
    if !store.is_shared() {
        return std::future::pending().await;
    }
    let lease = Duration::from_millis(LEASE.unsigned_abs());
    let mut last = Instant::now();
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let before = Instant::now();
        // A connection that went silent must not keep a dead instance from knowing it.
        let said = tokio::time::timeout(HEARTBEAT, store.stay_alive()).await;
        let said = said.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".into())));
        match said {
            Ok(Some(dead)) => {
                last = before;
                // What they had in hand is anybody's now.
                if dead > 0
                    && let Err(error) = parts.news.tell(News::Work).await
                {
                    tracing::debug!(%error, "it will be found by looking");
                }
            }
            Ok(None) => return,
            Err(_) if last.elapsed() < lease => {}
            Err(error) => {
                tracing::error!(%error, "no sign of life could be given");
                return;
            }
        }
    }
}

/// Finds open work of conversations: left by a dead instance, held until now, or told by another instance.
async fn patrol(parts: Parts, unit: Unit) {
    let mut news = parts.news.hear();
    // At the start everything open is work, also what is dated later than now: the clock may have been put back.
    let mut grace = None;
    loop {
        let older_than = grace.map_or(i64::MAX, |grace| parts.clock.now_ms() - grace + 1);
        if let Err(error) = search(&parts, &unit, older_than).await {
            tracing::warn!(%error, "open conversations could not be looked for");
        }
        grace = Some(GRACE);
        let round = tokio::time::sleep(PATROL);
        tokio::pin!(round);
        loop {
            tokio::select! {
                () = &mut round => break,
                told = news.recv() => match told {
                    Ok(News::Conversations { owner, ids }) if owner == parts.store.instance() => {
                        for id in ids {
                            unit.conversations.forget(id);
                            unit.outbox.recover(id);
                            if let Err(error) = unit.conversations.recover(id).await {
                                tracing::warn!(%error, conversation = id, "told of a conversation that cannot be read");
                            }
                        }
                    }
                    Ok(News::Work) => {
                        grace = None;
                        break;
                    }
                    Ok(News::Lost) | Err(broadcast::error::RecvError::Lagged(_)) => {
                        unit.conversations.forget_all();
                        grace = None;
                        break;
                    }
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                },
            }
        }
    }
}

async fn search(parts: &Parts, unit: &Unit, older_than: i64) -> Result<(), StoreError> {
    loop {
        let (ids, more) = parts.store.claim_conversations(older_than, CLAIM).await?;
        for id in ids {
            unit.conversations.recover(id).await?;
        }
        if !more {
            return Ok(());
        }
    }
}

/// Keeps routes fresh, and who listens to events.
pub(super) async fn hear(routing: Routing, store: Store, mut news: broadcast::Receiver<News>) {
    loop {
        match news.recv().await {
            Ok(News::Routes(number)) => routing.forget(&number).await,
            Ok(News::Endpoints) => listen(&store).await,
            Ok(News::Lost) | Err(broadcast::error::RecvError::Lagged(_)) => {
                routing.forget_all();
                listen(&store).await;
            }
            Ok(_) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

async fn listen(store: &Store) {
    if let Err(error) = store.load_listeners().await {
        tracing::warn!(%error, "changed event endpoints will be noticed within a minute");
    }
}

/// Asks Graph again about accounts it was not there for, and now and then about those in use.
pub(super) async fn activate(onboarding: Onboarding) {
    loop {
        tokio::time::sleep(PENDING).await;
        match onboarding.recheck_pending(PENDING_AT_ONCE).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "pending accounts are active now"),
            Err(error) => tracing::warn!(%error, "pending accounts could not be checked again"),
        }
        match onboarding.recheck_in_use(IN_USE_AT_ONCE).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "accounts work again"),
            Err(error) => tracing::warn!(%error, "numbers in use could not be checked"),
        }
    }
}

/// House-keeping: SQLite's checkpoints, old marks, the metrics' own.
pub(super) async fn tidy(store: Store, clock: Clock, metrics: PrometheusHandle) {
    let mut round = 0_u64;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        round += 1;
        if let Err(error) = store.checkpoint().await {
            tracing::debug!(%error, "no checkpoint this time");
        }
        if round.is_multiple_of(5) {
            metrics.run_upkeep();
            measure(&store, &clock, round == 5 || round.is_multiple_of(15)).await;
        }
        if round.is_multiple_of(60) {
            listen(&store).await;
        }
        if round.is_multiple_of(3_600)
            && let Err(error) = store.sweep(clock.now_ms()).await
        {
            tracing::warn!(%error, "old marks could not be swept");
        }
    }
}

async fn measure(store: &Store, clock: &Clock, count: bool) {
    let Ok(oldest) = store.oldest_waiting().await else { return };
    for (station, at) in ["inbox", "conversation", "outbox"].into_iter().zip(oldest) {
        let age = at.map_or(0, |at| (clock.now_ms() - at).max(0));
        metrics::gauge!(metric::OLDEST_WAITING_SECONDS, "station" => station).set(age as f64 / 1000.0);
    }
    for (station, state, n) in if count { store.items().await.unwrap_or_default() } else { Vec::new() } {
        metrics::gauge!(metric::ITEMS, "station" => station, "state" => state).set(n as f64);
    }
}

fn name() -> String {
    format!("{} {}", std::env::var("HOSTNAME").unwrap_or_default(), std::process::id())
}
