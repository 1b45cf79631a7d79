//! Station 3: deliveries leave in the order of their conversation, each attempt recorded before it is made.
//!
//! A conversation with something to send has a lane in memory, and one task that works it off. What waits for
//! somebody (a new token, say) is not kept in memory: it stays `queued` with its reason, and is looked up again.

pub mod format;
pub mod pacing;
mod send;

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::graph::client::GraphClient;
use crate::media::Media;
use crate::news::News;
use crate::routing::Routing;
use crate::runtime::Clock;
use crate::store::deliveries::Delivery;
use crate::store::sessions::session_of;
use crate::store::{Store, StoreError};
use crate::telemetry::metric;
use pacing::Pacing;
use send::Step;

/// What is needed to send one delivery.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// Its row.
    pub delivery_id: i64,
    /// The answer it is a part of.
    pub message_id: i64,
    /// Which part.
    pub part: i64,
    /// Through which account.
    pub account_id: i64,
    /// From which number.
    pub phone_number_id: String,
    /// The bubble's words.
    pub text: String,
    /// Meta's message object, where it is more than these words.
    pub content: Option<Map<String, Value>>,
    /// Tries so far.
    pub attempts: i64,
    /// Not to be sent before, Unix milliseconds.
    pub next_at: i64,
}

/// The station. Cheap to clone.
#[derive(Clone)]
pub struct Outbox(Arc<Inner>);

struct Inner {
    store: Store,
    routing: Routing,
    graph: GraphClient,
    media: Media,
    clock: Clock,
    pacing: Pacing,
    lanes: Mutex<Lanes>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Default)]
struct Lanes {
    busy: HashMap<i64, VecDeque<Parcel>>,
    /// Conversations with parcels that only the database remembers.
    held: HashSet<i64>,
    /// Conversations at work that are to look in the database once more before they rest.
    again: HashSet<i64>,
}

/// How a lane ends.
enum Rest {
    /// Nothing is left.
    Idle,
    /// Parcels remain that only the database remembers.
    Held,
    /// The database may know of more.
    LookAgain,
}

impl Outbox {
    /// An idle station. Its tasks are counted by `tasks` and take nothing new after `stop`.
    pub fn new(
        store: Store,
        routing: Routing,
        graph: GraphClient,
        media: Media,
        clock: Clock,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let lanes = Mutex::default();
        let pacing = Pacing::default();
        Self(Arc::new(Inner { store, routing, graph, media, clock, pacing, lanes, tasks, stop }))
    }

    /// Takes over deliveries that were just committed.
    pub fn hand_on(&self, conversation: i64, parcels: impl IntoIterator<Item = Parcel>) {
        let mut parcels = parcels.into_iter().peekable();
        if let Some(session) = parcels.peek().and_then(|p| session_of(&p.phone_number_id)) {
            return self.leave_to(session);
        }
        let mut lanes = self.lock();
        if lanes.held.remove(&conversation) {
            // Older ones wait in the database, and these with them: in order, from there.
            lanes.busy.entry(conversation).or_default();
            drop(lanes);
            return self.spawn(conversation, true);
        }
        match lanes.busy.get_mut(&conversation) {
            Some(lane) => lane.extend(parcels),
            None => {
                lanes.busy.insert(conversation, parcels.collect());
                drop(lanes);
                self.spawn(conversation, false);
            }
        }
    }

    /// Looks in the database for what is to be sent in a conversation of ours: now, or when its lane has worked off
    /// what it holds.
    pub fn recover(&self, conversation: i64) {
        let mut lanes = self.lock();
        if lanes.busy.contains_key(&conversation) {
            lanes.again.insert(conversation);
            return;
        }
        lanes.held.remove(&conversation);
        lanes.busy.insert(conversation, VecDeque::new());
        drop(lanes);
        self.spawn(conversation, true);
    }

    /// A session works its own line off, from the database: it is told that there is something.
    fn leave_to(&self, session: i64) {
        let news = self.0.routing.news().clone();
        tokio::spawn(async move {
            if let Err(error) = news.tell(News::Session { id: session, look: false }).await {
                tracing::debug!(%error, session, "a session will find its line by itself");
            }
        });
    }

    /// Lanes at work.
    pub fn busy(&self) -> usize {
        self.lock().busy.len()
    }

    /// The Graph API as configured, for signs of life that are no deliveries.
    pub fn graph(&self) -> &GraphClient {
        &self.0.graph
    }

    /// Where files are.
    pub fn media(&self) -> &Media {
        &self.0.media
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lanes> {
        self.0.lanes.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn spawn(&self, conversation: i64, from_database: bool) {
        let outbox = self.clone();
        self.0.tasks.spawn(async move {
            let work = AssertUnwindSafe(outbox.work(conversation, from_database));
            let held = match work.catch_unwind().await {
                Ok(Ok(held)) => held,
                // The lease is lost: whoever has it now finds everything in the database.
                Ok(Err(StoreError::Fenced)) => false,
                Err(_) => {
                    tracing::error!(conversation, "an outbox lane panicked; its deliveries are looked up again");
                    true
                }
                Ok(Err(error)) => {
                    tracing::error!(conversation, %error, "an outbox lane stops; its deliveries are looked up again");
                    true
                }
            };
            let mut lanes = outbox.lock();
            // Idle lanes have left under their own lock; another task may have taken the name since.
            if held {
                lanes.busy.remove(&conversation);
                lanes.again.remove(&conversation);
                lanes.held.insert(conversation);
            }
        });
    }

    /// Works a lane off. True: parcels remain that only the database remembers.
    async fn work(&self, conversation: i64, from_database: bool) -> Result<bool, StoreError> {
        let mut lost = from_database;
        let mut look = from_database;
        loop {
            if look {
                self.look(conversation, std::mem::take(&mut lost)).await?;
            }
            match self.work_off(conversation).await? {
                Rest::Idle => return Ok(false),
                Rest::Held => return Ok(true),
                Rest::LookAgain => look = true,
            }
        }
    }

    /// Loads what the database knows and memory does not. `interrupted`: nobody can be sending for us just now, so
    /// what stands as being sent was interrupted.
    async fn look(&self, conversation: i64, interrupted: bool) -> Result<(), StoreError> {
        let parcels = self.patiently(|| self.load(conversation, interrupted)).await?;
        let mut lanes = self.lock();
        // What was handed on meanwhile is among what was loaded, or newer.
        let lane = lanes.busy.entry(conversation).or_default();
        let newest = parcels.last().map_or(0, |p| p.delivery_id);
        let newer: Vec<Parcel> = lane.drain(..).filter(|p| p.delivery_id > newest).collect();
        *lane = parcels.into_iter().chain(newer).collect();
        Ok(())
    }

    async fn work_off(&self, conversation: i64) -> Result<Rest, StoreError> {
        loop {
            let next = {
                let mut lanes = self.lock();
                let next = lanes.busy.get_mut(&conversation).and_then(VecDeque::pop_front);
                if next.is_none() && lanes.again.remove(&conversation) {
                    return Ok(Rest::LookAgain);
                }
                if next.is_none() {
                    // Under the same lock: what is handed on from now on starts a new task.
                    lanes.busy.remove(&conversation);
                }
                next
            };
            let Some(mut parcel) = next else { return Ok(Rest::Idle) };
            loop {
                if self.0.stop.is_cancelled() {
                    return Ok(Rest::Idle);
                }
                match self.send(conversation, &mut parcel).await? {
                    Step::Next => break,
                    Step::Again(after) => {
                        tokio::select! {
                            () = tokio::time::sleep(after) => {}
                            () = self.0.stop.cancelled() => {}
                        }
                    }
                    Step::SkipAnswer => {
                        let mut lanes = self.lock();
                        if let Some(lane) = lanes.busy.get_mut(&conversation) {
                            lane.retain(|p| p.message_id != parcel.message_id);
                        }
                        break;
                    }
                    Step::Hold => return Ok(Rest::Held),
                }
            }
        }
    }

    async fn load(&self, conversation: i64, interrupted: bool) -> Result<Vec<Parcel>, StoreError> {
        let lost = match interrupted {
            true => self.0.store.interrupted_deliveries(conversation, self.0.clock.now_ms()).await?,
            false => 0,
        };
        if lost > 0 {
            tracing::warn!(
                conversation,
                lost,
                "deliveries were interrupted while being sent: they are `unknown` now"
            );
            metrics::counter!(metric::DELIVERIES_UNKNOWN).increment(lost);
        }
        let rows = self.0.store.open_deliveries(conversation).await?;
        let mut parcels = Vec::with_capacity(rows.len());
        for row in rows {
            if let Some(number) = self.number_of(&row).await? {
                if let Some(session) = session_of(&number) {
                    self.leave_to(session);
                    return Ok(Vec::new());
                }
                parcels.extend(parcel(row, number));
            }
        }
        Ok(parcels)
    }

    async fn number_of(&self, row: &Delivery) -> Result<Option<String>, StoreError> {
        Ok(self.0.store.account(row.whatsapp_account_id).await?.map(|a| a.phone_number_id))
    }

    /// See [`Store::patiently`]; the end is when the station's tasks are closed.
    async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        work: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        self.0.store.patiently(|| self.0.tasks.is_closed(), work).await
    }
}

fn parcel(row: Delivery, phone_number_id: String) -> Option<Parcel> {
    Some(Parcel {
        delivery_id: row.id,
        message_id: row.message_id,
        part: row.part,
        account_id: row.whatsapp_account_id,
        phone_number_id,
        text: row.text,
        content: row.content.map(|json| serde_json::from_str(&json)).transpose().ok()?,
        attempts: row.attempts,
        next_at: row.next_at,
    })
}
