//! What instances tell each other: that routes changed, that a conversation got a message, that there is work.
//!
//! Over PostgreSQL's LISTEN and NOTIFY; inside one process over a channel. News may be lost (a connection breaks, a
//! listener lags): everything that depends on it also looks for itself after a while, and after a loss at once.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

use crate::store::instances::CHANNEL;
use crate::store::{Location, Store, StoreError};

/// PostgreSQL refuses payloads of 8,000 bytes; this many ids fit well.
const IDS: usize = 300;
/// Between one word of work and the next.
const BREATH: Duration = Duration::from_millis(10);

/// One piece of news.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// The accounts of this number, or their chatbots, changed.
    Routes(String),
    /// These conversations of this instance have open work.
    Conversations {
        /// The instance that owns them.
        owner: i64,
        /// Their ids.
        ids: Vec<i64>,
    },
    /// Event endpoints were made, changed or removed.
    Endpoints,
    /// A customer goes by other names.
    Names,
    /// There may be work that nobody holds.
    Work,
    /// A session has something to send, or (`look`) stands elsewhere at its engine.
    Session {
        /// Its id.
        id: i64,
        /// Whether its engine is to be asked at once.
        look: bool,
    },
    /// A session stands elsewhere: whoever shows it looks again.
    SessionChanged(i64),
    /// Some news may have been lost: look at everything anew.
    Lost,
}

/// Where news is told and heard. Cheap to clone.
#[derive(Clone)]
pub struct Newsroom {
    store: Store,
    local: broadcast::Sender<News>,
    work: Arc<Notify>,
}

impl Newsroom {
    /// Opens it; on PostgreSQL also listens to the others until `stop`.
    pub fn open(store: Store, stop: CancellationToken) -> Self {
        let (local, _) = broadcast::channel(1024);
        if let Location::Postgres(url) = store.location() {
            tokio::spawn(listen(url.clone(), local.clone(), stop.clone()));
        }
        let room = Self { store, local, work: Arc::default() };
        let spread = room.clone();
        tokio::spawn(async move {
            tokio::select! { () = spread.spread() => {}, () = stop.cancelled() => {} }
        });
        room
    }

    /// Tells [`News::Work`] soon: one word for all who ask meanwhile, since there may be thousands a second.
    pub fn tell_of_work(&self) {
        self.work.notify_one();
    }

    async fn spread(&self) {
        loop {
            self.work.notified().await;
            if let Err(error) = self.tell(News::Work).await {
                tracing::debug!(%error, "the workers will find it by themselves");
            }
            tokio::time::sleep(BREATH).await;
        }
    }

    /// Hears everything told from now on, here and elsewhere.
    pub fn hear(&self) -> broadcast::Receiver<News> {
        self.local.subscribe()
    }

    /// Tells it here at once and to the others. An error means that the others may hear of it only by themselves.
    pub async fn tell(&self, news: News) -> Result<(), StoreError> {
        // Nobody listening here is no failure.
        let _ = self.local.send(news.clone());
        match news {
            News::Conversations { owner, ids } => {
                for ids in ids.chunks(IDS) {
                    self.publish(&News::Conversations { owner, ids: ids.to_vec() }).await?;
                }
                Ok(())
            }
            news => self.publish(&news).await,
        }
    }

    async fn publish(&self, news: &News) -> Result<(), StoreError> {
        let payload = serde_json::to_string(news).map_err(|e| StoreError::Query(e.to_string()))?;
        self.store.notify(&payload).await
    }
}

/// Hears what other instances tell. After every break, and at the start, [`News::Lost`].
async fn listen(url: String, local: broadcast::Sender<News>, stop: CancellationToken) {
    let hear = async {
        loop {
            if let Err(error) = listen_once(&url, &local).await {
                tracing::warn!(%error, "news from other instances is interrupted");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::select! { () = hear => {}, () = stop.cancelled() => {} }
}

async fn listen_once(url: &str, local: &broadcast::Sender<News>) -> Result<(), sqlx::Error> {
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(2))
        .connect(url)
        .await?;
    let mut listener = sqlx::postgres::PgListener::connect_with(&pool).await?;
    listener.listen(CHANNEL).await?;
    let _ = local.send(News::Lost);
    // `None`: the connection broke; what was told meanwhile is lost.
    while let Some(notification) = listener.try_recv().await? {
        match serde_json::from_str(notification.payload()) {
            Ok(news) => drop(local.send(news)),
            Err(error) => tracing::warn!(%error, "another instance told something unreadable"),
        }
    }
    Ok(())
}
