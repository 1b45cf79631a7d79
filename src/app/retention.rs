//! Forgets what is older than the operator keeps: once an hour, in small pieces, beside everything else.

use std::time::Duration;

use uuid::Uuid;

use crate::runtime::Clock;
use crate::store::retention::Piece;
use crate::store::{Store, StoreError};

/// How often.
const EVERY: Duration = Duration::from_secs(3_600);
/// Things looked at in one transaction, and the rest after each, in which others write.
const PIECE: u64 = 200;
const REST: Duration = Duration::from_millis(20);
const DAY: i64 = 86_400_000;
const HOUR: i64 = 3_600_000;
/// What tenants' systems were told is kept no longer than this, in days.
const TOLD: u32 = 30;

/// Callers' files go after this time, in days: as long as Meta keeps them.
const UPLOADS: u32 = 30;

/// Works for ever. Without `days` only what was told to tenants' systems, and what callers uploaded, is forgotten.
pub(super) async fn run(store: Store, clock: Clock, days: Option<u32>) {
    loop {
        match once(&store, clock.now_ms(), days).await {
            Ok(0) => {}
            Ok(gone) => tracing::info!(gone, "old rows were removed"),
            Err(error) => tracing::warn!(%error, "old rows stay for another hour"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn once(store: &Store, now: i64, days: Option<u32>) -> Result<u64, StoreError> {
    match store.end_erasures(now).await {
        Ok(0) => {}
        Ok(ended) => tracing::info!(ended, "erasures that something had stopped are ended"),
        Err(error) => tracing::error!(%error, "erasures that something had stopped are not ended"),
    }
    let before = |days: u32| now - i64::from(days) * DAY;
    let told = before(days.map_or(TOLD, |days| days.min(TOLD)));
    let mut gone = all(Uuid::nil(), |after| store.expire_event_deliveries(told, after, PIECE)).await?;
    let uploads = before(days.map_or(UPLOADS, |days| days.min(UPLOADS)));
    gone += all(0, |after| store.expire_media(uploads, after, PIECE)).await?;
    gone += store.drop_abandoned(now - HOUR).await?;
    let Some(days) = days else { return Ok(gone) };
    let before = before(days);
    gone += all(0, |after| store.expire_messages(before, now, after, PIECE)).await?;
    gone += all(Uuid::nil(), |after| store.expire_turns(before, after, PIECE)).await?;
    gone += all(0, |after| store.expire_events(before, after, PIECE)).await?;
    gone += all(0, |after| store.expire_conversations(before, after, PIECE)).await?;
    gone += store.expire_news(before).await?;
    Ok(gone)
}

/// Piece after piece until what is left is young.
async fn all<I, F>(mut after: I, piece: impl Fn(I) -> F) -> Result<u64, StoreError>
where
    F: Future<Output = Result<Piece<I>, StoreError>>,
{
    let mut gone = 0;
    loop {
        let piece = piece(after).await?;
        gone += piece.gone;
        match piece.last {
            Some(last) => after = last,
            None => return Ok(gone),
        }
        tokio::time::sleep(REST).await;
    }
}
