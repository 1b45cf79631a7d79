//! One commit, within its time. A panic in what is written is the data's fault: the writer itself must live on.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr};

use crate::store::{StoreError, begin, collided};

/// A commit that takes longer is given up; whoever waited is told that the database is away.
const COMMIT: Duration = Duration::from_secs(10);
/// How often the same is written again that collided with what another instance wrote.
pub(super) const COLLISIONS: usize = 5;

/// Why nothing was committed.
pub(super) struct Failed {
    pub error: StoreError,
    /// It collided with somebody else's writes: done again, it goes well.
    pub collided: bool,
}

/// What collides is done again at once, before anything that comes after it. A macro, since a future that borrows can
/// be made again only where it was made.
macro_rules! again {
    ($work:expr) => {{
        let mut left = $crate::store::writer::commit::COLLISIONS;
        loop {
            match $work {
                Err(failed) if failed.collided && left > 0 => left -= 1,
                result => break result.map_err(|failed| failed.error),
            }
        }
    }};
}
pub(super) use again;

/// Commits `work`.
pub(super) async fn transact<T>(
    db: &DatabaseConnection,
    work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, DbErr>,
) -> Result<T, Failed> {
    in_time(async {
        let tx = begin(db).await?;
        let output = work(&tx).await?;
        tx.commit().await?;
        Ok(output)
    })
    .await
}

/// Waits for what commits itself.
pub(super) async fn in_time<T>(work: impl Future<Output = Result<T, DbErr>>) -> Result<T, Failed> {
    let failed = |error| Err(Failed { error, collided: false });
    match tokio::time::timeout(COMMIT, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(result)) => result.map_err(|error| Failed { collided: collided(&error), error: error.into() }),
        Ok(Err(_)) => failed(StoreError::Query("writing it panicked".into())),
        Err(_) => failed(StoreError::Unavailable("no commit in time".into())),
    }
}
