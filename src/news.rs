//! What instances tell each other: that routes changed, that a conversation got a message, that there is work.
//!
//! Over PostgreSQL's LISTEN and NOTIFY; inside one process over a channel. News may be lost (a connection breaks, a
//! listener lags): everything that depends on it also looks for itself after a while, and after a loss at once.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::changes::Names;
use crate::store::instances::CHANNEL;
use crate::store::{Location, Store, StoreError};

/// PostgreSQL refuses payloads of 8,000 bytes; this many ids fit well.
const IDS: usize = 300;
/// And so many bytes.
const PAYLOAD: usize = 7_900;
/// Between one word of work and the next.
const BREATH: Duration = Duration::from_millis(10);
/// What changed within so long is looked up and told together.
const GATHER: Duration = Duration::from_millis(150);
/// After more changed than can be named, the next changes are gathered for so long.
const REST: Duration = Duration::from_secs(2);

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
    /// What pages show of these tenants changed.
    Changed(Vec<(String, Names)>),
    /// More changed than can be named: every page looks again.
    MuchChanged,
    /// Some news may have been lost: look at everything anew.
    Lost,
}

/// Where news is told and heard. Cheap to clone.
#[derive(Clone)]
pub struct Newsroom {
    store: Store,
    local: broadcast::Sender<News>,
    work: Arc<Notify>,
    /// Stands before what it tells the others, so that it does not hear itself: 16 hex digits.
    name: Arc<str>,
}

impl Newsroom {
    /// Opens it; on PostgreSQL also listens to the others until `stop`.
    pub fn open(store: Store, stop: CancellationToken) -> Self {
        let (local, _) = broadcast::channel(1024);
        let name: Arc<str> = hex::encode(&Uuid::new_v4().as_bytes()[..8]).into();
        if let Location::Postgres(url) = store.location() {
            tokio::spawn(listen(url.clone(), name.clone(), local.clone(), stop.clone()));
        }
        let room = Self { store, local, work: Arc::default(), name };
        let spread = room.clone();
        tokio::spawn(async move {
            tokio::select! { () = spread.spread() => {}, () = spread.tell_changes() => {}, () = stop.cancelled() => {} }
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

    /// Tells what was committed here.
    async fn tell_changes(&self) {
        loop {
            self.store.changes().there().await;
            tokio::time::sleep(GATHER).await;
            let told = match self.store.changed_names().await {
                Ok(Some(tenants)) => self.tell(News::Changed(tenants.into_iter().collect())).await,
                Ok(None) => {
                    let told = self.tell(News::MuchChanged).await;
                    // Every page of everybody looks at everything: not several times a second.
                    tokio::time::sleep(REST).await;
                    told
                }
                Err(error) => Err(error),
            };
            if let Err(error) = told {
                tracing::debug!(%error, "pages will look by themselves");
            }
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
            News::Changed(tenants) => {
                for tenants in in_payloads(tenants) {
                    self.publish(&News::Changed(tenants)).await?;
                }
                Ok(())
            }
            news => self.publish(&news).await,
        }
    }

    async fn publish(&self, news: &News) -> Result<(), StoreError> {
        let payload = serde_json::to_string(news).map_err(|e| StoreError::Query(e.to_string()))?;
        self.store.notify(&format!("{}{payload}", self.name)).await
    }
}

/// As many of these together as fit a payload.
fn in_payloads(tenants: Vec<(String, Names)>) -> Vec<Vec<(String, Names)>> {
    let (mut payloads, mut length) = (vec![Vec::new()], 0);
    for tenant in tenants {
        let own = serde_json::to_string(&tenant).map_or(0, |json| json.len() + 1);
        if length + own > PAYLOAD {
            payloads.push(Vec::new());
            length = 0;
        }
        length += own;
        if let Some(payload) = payloads.last_mut() {
            payload.push(tenant);
        }
    }
    payloads.retain(|payload| !payload.is_empty());
    payloads
}

/// Hears what other instances tell. After every break, and at the start, [`News::Lost`].
async fn listen(url: String, own: Arc<str>, local: broadcast::Sender<News>, stop: CancellationToken) {
    let hear = async {
        loop {
            if let Err(error) = listen_once(&url, &own, &local).await {
                tracing::warn!(%error, "news from other instances is interrupted");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::select! { () = hear => {}, () = stop.cancelled() => {} }
}

async fn listen_once(url: &str, own: &str, local: &broadcast::Sender<News>) -> Result<(), sqlx::Error> {
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
        let told = notification.payload();
        if told.starts_with(own) {
            continue;
        }
        // Commands have no name.
        match serde_json::from_str(told.trim_start_matches(|c: char| c.is_ascii_hexdigit())) {
            Ok(news) => drop(local.send(news)),
            Err(error) => tracing::warn!(%error, "another instance told something unreadable"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_tenants_are_told_fits_postgresqls_payloads() {
        let names = |n: i64| Names { conversations: (n..n + 150).collect(), ..Names::default() };
        let all: Vec<(String, Names)> =
            (0..40).map(|n| (format!("tenant-{n}"), names(i64::MAX - 500 + n))).collect();
        let payloads = in_payloads(all.clone());
        assert!(payloads.len() > 10);
        for payload in &payloads {
            assert!(serde_json::to_string(&News::Changed(payload.clone())).unwrap().len() < 8_000);
        }
        assert_eq!(payloads.concat(), all);
        assert!(in_payloads(Vec::new()).is_empty());
    }
}
