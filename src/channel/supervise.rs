//! Which sessions this instance watches: one task each, a panic in one is nobody else's.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Sessions;
use crate::news::News;
use crate::store::{Store, StoreError};

/// How often free sessions are looked for, and work that nobody told of.
const PATROL: Duration = Duration::from_secs(2);
/// Free sessions taken at once where several instances share them.
const CLAIM: u64 = 25;
/// Pause before a watcher that failed starts again.
const PAUSE: Duration = Duration::from_secs(2);
/// What left is of interest for its day's caps, in milliseconds.
const KEPT: i64 = 3 * 86_400_000;

/// What a watcher waits for.
#[derive(Default)]
pub(super) struct Bell {
    rung: Notify,
    look: AtomicBool,
}

impl Bell {
    fn ring(&self, look: bool) {
        self.look.fetch_or(look, Ordering::AcqRel);
        self.rung.notify_one();
    }

    /// Resolves when somebody has rung since the last time.
    pub async fn rings(&self) {
        self.rung.notified().await;
    }

    /// Whether the engine is to be asked; asked once.
    pub fn take_look(&self) -> bool {
        self.look.swap(false, Ordering::AcqRel)
    }
}

/// One life of this instance, as a watcher sees it.
#[derive(Clone)]
pub(super) struct Life {
    /// The database in the name of this life.
    pub store: Store,
    /// Nothing new after this.
    pub stop: CancellationToken,
    /// Counts the watchers.
    pub tasks: TaskTracker,
}

impl Sessions {
    /// Watches sessions for one life of this instance, until `stop`.
    pub fn supervise(&self, store: Store, tasks: TaskTracker, stop: CancellationToken) {
        let (sessions, life) = (self.clone(), Life { store, stop, tasks: tasks.clone() });
        tasks.spawn(async move { sessions.patrol(life).await });
    }

    async fn patrol(&self, life: Life) {
        let mut news = self.0.parts.news.hear();
        let mut watched: HashMap<i64, Arc<Bell>> = HashMap::new();
        let mut swept = 0;
        loop {
            if let Err(error) = self.round(&life, &mut watched).await {
                if matches!(error, StoreError::Fenced) {
                    return;
                }
                tracing::warn!(%error, "sessions could not be looked for");
            }
            let now = self.0.parts.clock.now_ms();
            if now - swept > KEPT / 72 {
                swept = now;
                let _ = life.store.sweep_session_sends(now - KEPT).await;
            }
            let round = tokio::time::sleep(PATROL);
            tokio::pin!(round);
            loop {
                tokio::select! {
                    () = &mut round => break,
                    () = life.stop.cancelled() => return,
                    told = news.recv() => match told {
                        Ok(News::Session { id, look }) => match watched.get(&id) {
                            Some(bell) => bell.ring(look),
                            // Perhaps it is new, or to run again.
                            None if look => break,
                            None => {}
                        },
                        Ok(News::Lost) | Err(broadcast::error::RecvError::Lagged(_)) => {
                            watched.values().for_each(|bell| bell.ring(true));
                            break;
                        }
                        Ok(_) => {}
                        Err(broadcast::error::RecvError::Closed) => return,
                    },
                }
            }
        }
    }

    async fn round(&self, life: &Life, watched: &mut HashMap<i64, Arc<Bell>>) -> Result<(), StoreError> {
        let now = self.0.parts.clock.now_ms();
        let limit = if life.store.is_shared() { CLAIM } else { u64::MAX >> 1 };
        let ours = life.store.claim_sessions(limit, now).await?;
        // A watcher ends by itself when its session is not to be watched any more.
        watched.retain(|_, bell| Arc::strong_count(bell) > 1);
        for id in ours {
            if watched.contains_key(&id) {
                continue;
            }
            let bell = Arc::new(Bell::default());
            watched.insert(id, bell.clone());
            let (sessions, life) = (self.clone(), life.clone());
            life.tasks.clone().spawn(async move {
                sessions.keep_watching(&life, id, &bell).await;
                sessions.0.parts.engines.release(id).await;
            });
        }
        for id in life.store.sessions_with_work(now).await? {
            if let Some(bell) = watched.get(&id) {
                bell.ring(false);
            }
        }
        Ok(())
    }

    async fn keep_watching(&self, life: &Life, id: i64, bell: &Bell) {
        loop {
            match AssertUnwindSafe(self.watch(life, id, bell)).catch_unwind().await {
                Ok(Ok(()) | Err(StoreError::Fenced)) => return,
                Ok(Err(error)) => tracing::warn!(event = "session_paused", session = id, %error),
                Err(_) => tracing::error!(
                    event = "session_crashed",
                    session = id,
                    "the watcher of a session panicked; it starts again, and the others go on"
                ),
            }
            tokio::select! {
                () = tokio::time::sleep(self.0.parts.clock.pause(PAUSE)) => {}
                () = life.stop.cancelled() => return,
            }
        }
    }
}
