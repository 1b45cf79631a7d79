//! Station 1: what the webhook stored becomes messages and statuses, in the order it came.
//!
//! What this process just committed waits here in memory; the database is read for what it did not see itself, and
//! for what did not fit. Nothing is lost by dropping everything in here: the rows stay open until they are processed.

pub mod normalize;
mod route;
mod wishes;
mod worker;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::conversation::Conversations;
use crate::media::Media;
use crate::news::Newsroom;
use crate::routing::Routing;
use crate::runtime::Clock;
use crate::store::Store;
use crate::store::events::Event;

/// Events that may wait in memory, in the queue and in hand, and their bytes together.
const WAITING: usize = 8_192;
const WAITING_BYTES: usize = 64 << 20;

/// Where the webhook hands on what it committed. Cheap to clone.
#[derive(Clone)]
pub struct Inbox(Arc<Shared>);

struct Shared {
    queue: mpsc::Sender<Event>,
    bytes: AtomicUsize,
    /// Events taken from the queue and not finished.
    in_hand: AtomicUsize,
    spill: Mutex<Spill>,
    ended: CancellationToken,
}

/// Once something did not fit, everything goes through the database until that is worked off: order is kept.
struct Spill {
    active: bool,
    ids: Vec<i64>,
}

/// What the station works with.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// Number → accounts.
    pub routing: Routing,
    /// The next station.
    pub conversations: Conversations,
    /// Who fetches what comes with messages.
    pub media: Media,
    /// To tell other instances of messages for conversations of theirs.
    pub news: Newsroom,
    /// The time.
    pub clock: Clock,
    /// Counts the station's task.
    pub tasks: TaskTracker,
    /// Nothing new after this.
    pub stop: CancellationToken,
}

impl Inbox {
    /// Starts the station; it first works off what the database holds.
    pub fn start(parts: Parts) -> Self {
        let (queue, events) = mpsc::channel(WAITING);
        let spill = Mutex::new(Spill { active: true, ids: Vec::new() });
        let (bytes, in_hand, ended) = Default::default();
        let inbox = Self(Arc::new(Shared { queue, bytes, in_hand, spill, ended }));
        let (tasks, worker) = (parts.tasks.clone(), inbox.clone());
        tasks.spawn(async move {
            // Told by a panic too.
            let _ended = worker.0.ended.clone().drop_guard();
            worker::run(parts, worker, events).await;
        });
        inbox
    }

    /// Resolves when the station has ended: it was stopped, its lease is lost, or it failed.
    pub async fn ended(&self) {
        self.0.ended.cancelled().await;
    }

    /// Takes over an event that was just committed.
    pub fn hand_on(&self, event: Event) {
        let mut spill = self.spill();
        let size = event.raw.len();
        let bytes = self.0.bytes.fetch_add(size, Ordering::Relaxed) + size;
        if !spill.active && bytes <= WAITING_BYTES && self.waiting() < WAITING {
            match self.0.queue.try_send(event) {
                Ok(()) => return,
                Err(mpsc::error::TrySendError::Full(event) | mpsc::error::TrySendError::Closed(event)) => {
                    spill.ids.push(event.id);
                }
            }
        } else {
            spill.ids.push(event.id);
        }
        self.0.bytes.fetch_sub(size, Ordering::Relaxed);
        spill.active = true;
    }

    /// Events in memory, those in hand included.
    pub fn waiting(&self) -> usize {
        WAITING - self.0.queue.capacity() + self.0.in_hand.load(Ordering::Acquire)
    }

    /// Whether nothing waits, here or in the database as far as known.
    pub fn is_idle(&self) -> bool {
        self.waiting() == 0 && !self.spill().active
    }

    fn spill(&self) -> std::sync::MutexGuard<'_, Spill> {
        self.0.spill.lock().unwrap_or_else(|e| e.into_inner())
    }
}
