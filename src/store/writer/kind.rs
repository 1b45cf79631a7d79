//! What a small write is: how a group of its kind is applied, and what is told of it.

use std::future::Future;

use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr};

use crate::store::StoreError;
use crate::store::changes::Change;
use crate::store::event_endpoints::Listeners;

/// One kind of small write.
pub trait Write: Sized + Send + Sync + 'static {
    /// What the writer gets back once it is committed.
    type Output: Send + Sync + 'static;
    /// Whether a stale instance must not do it. What already happened outside is recorded all the same.
    const FENCED: bool = true;
    /// Roughly how many rows it is, or how many kilobytes: keeps groups, and their statements, within bounds.
    fn weight(&self) -> usize {
        1
    }
    /// Whose it is, where groups are shared out among accounts. `None`: everybody's, in the order it came.
    fn account(&self) -> Option<i64> {
        None
    }
    /// Applies a group in as few statements as possible: one output each, in order.
    fn apply(
        tx: &DatabaseTransaction,
        of: (i64, &Listeners),
        group: &[Self],
    ) -> impl Future<Output = Result<Vec<Self::Output>, DbErr>> + Send;
    /// The same in one statement, which commits itself: one round trip instead of several. `None` where the database,
    /// or this kind of write, cannot do that; a kind that is told of ([`Self::tell`]) never can.
    fn at_once(
        _db: &DatabaseConnection,
        _instance: i64,
        _group: &[Self],
    ) -> impl Future<Output = Option<Result<Vec<Self::Output>, DbErr>>> + Send {
        std::future::ready(None)
    }
    /// Puts in line what tenants' own systems are told of a group that was applied, in the same transaction. Asked only
    /// while anybody listens.
    fn tell(
        _tx: &DatabaseTransaction,
        _listeners: &Listeners,
        _group: &[Self],
        _outputs: &[Self::Output],
    ) -> impl Future<Output = Result<(), DbErr>> + Send {
        std::future::ready(Ok(()))
    }
    /// What pages that show it are to look at again, now that a group is committed.
    fn changed<'a>(_group: &'a [Self], _outputs: &'a [Self::Output]) -> impl Iterator<Item = Change<'a>> {
        std::iter::empty()
    }
}

/// Applies a group, and puts in line what is told of it.
pub(super) async fn apply<W: Write>(
    tx: &DatabaseTransaction,
    (instance, listeners): (i64, &Listeners),
    group: &[W],
) -> Result<Vec<W::Output>, DbErr> {
    let outputs = W::apply(tx, (instance, listeners), group).await?;
    if listeners.are_there() {
        W::tell(tx, listeners, group, &outputs).await?;
    }
    Ok(outputs)
}

/// Notes what a group has changed, if it was committed.
pub(super) fn told<W: Write>(
    listeners: &Listeners,
    group: &[W],
    outcome: &Result<Vec<W::Output>, StoreError>,
) {
    if let Ok(outputs) = outcome {
        listeners.changes().note(W::changed(group, outputs));
    }
}
