//! Group commit: many small writes, one transaction.
//!
//! While one group commits, the next one gathers; there is no timer. Writes of a kind are applied together, in the
//! order the data falls; if more wait than a group holds, it is shared out among the accounts. Everyone is answered after the commit. If a group fails because of its data, each of its
//! writes is tried alone, so that a bad one spoils nobody else's.

mod commit;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use self::commit::{again, in_time, transact};
use super::accept::Accept;
use super::attempts::{FinishAttempt, StartAttempt};
use super::event_endpoints::Listeners;
use super::events::Process;
use super::fair::Fair;
use super::turns::{CloseTurn, OpenTurn};
use super::{StoreError, sql};

mod kind;

pub use kind::Write;
use kind::{apply, told};

/// Writes that may wait; beyond that the door answers 503.
const WAITING: usize = 4096;
/// With so many callers inside, and the oldest of what is being written so old, the door answers 503 as well: who waits longer
/// gives up, and what is then stored for nobody would take the place of those who still wait.
const CROWD: usize = 64;
const BEHIND: Duration = Duration::from_millis(500);
/// Most writes in a group, and its weight: about so many rows, or kilobytes.
const TAKEN: usize = 512;
const GROUP: usize = 1_024;

/// A [`Write`] that has its place in the writer's queue.
pub trait Queued: Write {
    #[doc(hidden)]
    fn job(self, reply: Reply<Self>) -> Job;
}

#[doc(hidden)]
pub type Reply<W> = oneshot::Sender<Result<<W as Write>::Output, StoreError>>;

/// Writes whose order counts: once one of them could not be committed for now, the later ones are not either.
type Chain = Arc<AtomicBool>;

struct Item {
    job: Job,
    queued: Instant,
    life: Option<i64>,
    chain: Option<Chain>,
}

/// Handle of the writer's task. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Item>,
    /// For those who would rather be refused than wait long.
    places: Arc<Semaphore>,
    /// Those of them who are inside.
    callers: Arc<Semaphore>,
    /// Since when the oldest of what is being written has waited.
    oldest: Arc<Mutex<Option<Instant>>>,
    /// In whose name it writes; `None`: in the name of whoever this process is at the time.
    life: Option<i64>,
}

impl Writer {
    pub(super) fn spawn(db: DatabaseConnection, instance: Arc<AtomicI64>, listeners: Listeners) -> Self {
        let (queue, mut inbox) = mpsc::channel::<Item>(WAITING);
        let oldest = Arc::<Mutex<Option<Instant>>>::default();
        let noted = oldest.clone();
        tokio::spawn(async move {
            let mut line = Fair::default();
            let mut jobs = Vec::with_capacity(WAITING);
            loop {
                if line.is_empty() && inbox.recv_many(&mut jobs, WAITING).await == 0 {
                    return;
                }
                // All that came meanwhile, so that nobody waits outside while somebody's long lane is worked off.
                while let Ok(job) = inbox.try_recv() {
                    jobs.push(job);
                }
                jobs.drain(..).for_each(|job| line.push(job.job.account(), job));
                let mut group = Group::default();
                let (mut count, mut weight, mut oldest) = (0, 0, None);
                let instance = instance.load(Ordering::Acquire);
                while count < TAKEN && weight < GROUP {
                    let Some(Item { job, queued, life, chain }) = line.pop() else { break };
                    // Planned in an earlier life: what it rests on may be another instance's by now.
                    if life.is_some_and(|life| life != instance) && job.is_fenced() {
                        job.refuse(StoreError::Fenced);
                        continue;
                    }
                    if chain.as_ref().is_some_and(|chain| chain.load(Ordering::Acquire)) {
                        job.refuse(StoreError::Unavailable("what comes before it is not committed".into()));
                        continue;
                    }
                    oldest = Some(oldest.map_or(queued, |it: Instant| it.min(queued)));
                    group.chains.extend(chain);
                    (count, weight) = (count + 1, weight + job.weight());
                    group.push(job);
                }
                *noted.lock().unwrap_or_else(|e| e.into_inner()) = oldest;
                group.write(&db, instance, &listeners).await;
                *noted.lock().unwrap_or_else(|e| e.into_inner()) = None;
            }
        });
        let [places, callers] = [WAITING; 2].map(|room| Arc::new(Semaphore::new(room)));
        Self { queue, places, callers, oldest, life: None }
    }

    /// The same writer, in the name of one life of this process.
    pub(super) fn of_life(&self, life: i64) -> Self {
        Self { life: Some(life), ..self.clone() }
    }

    /// Waits for room, then for the commit.
    pub async fn write<W: Queued>(&self, what: W) -> Result<W::Output, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(self.item(what.job(reply), None)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Writes these in this order, one outcome each; when the database is away for one of them, it is for all that
    /// follow. Many calls of [`Self::write`] at once may come in any order: the runtime interrupts them.
    pub async fn write_all<W: Queued>(
        &self,
        all: impl IntoIterator<Item = W>,
    ) -> Vec<Result<W::Output, StoreError>> {
        let (mut answers, chain) = (Vec::new(), Chain::default());
        for what in all {
            let (reply, answer) = oneshot::channel();
            // If the writer is gone, so is the other end of the answer.
            let _ = self.queue.send(self.item(what.job(reply), Some(&chain))).await;
            answers.push(answer);
        }
        outcomes(answers).await
    }

    /// The same, but refuses all of them at once with [`StoreError::Full`] when too much waits.
    pub async fn try_write_all<W: Queued>(
        &self,
        all: Vec<W>,
    ) -> Result<Vec<Result<W::Output, StoreError>>, StoreError> {
        let _caller = self.callers.try_acquire().map_err(|_| StoreError::Full)?;
        if WAITING - self.callers.available_permits() > CROWD && self.waited() > BEHIND {
            return Err(StoreError::Full);
        }
        let count = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let _places = self.places.try_acquire_many(count).map_err(|_| StoreError::Full)?;
        let slots = self.queue.try_reserve_many(all.len()).map_err(|_| StoreError::Full)?;
        let (mut answers, chain) = (Vec::with_capacity(all.len()), Chain::default());
        for (what, slot) in all.into_iter().zip(slots) {
            let (reply, answer) = oneshot::channel();
            slot.send(self.item(what.job(reply), Some(&chain)));
            answers.push(answer);
        }
        Ok(outcomes(answers).await)
    }

    fn item(&self, job: Job, chain: Option<&Chain>) -> Item {
        Item { job, queued: Instant::now(), life: self.life, chain: chain.cloned() }
    }

    /// How long the oldest of what is being written has waited.
    fn waited(&self) -> Duration {
        let oldest = *self.oldest.lock().unwrap_or_else(|e| e.into_inner());
        oldest.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

async fn outcomes<T>(answers: Vec<oneshot::Receiver<Result<T, StoreError>>>) -> Vec<Result<T, StoreError>> {
    let mut outcomes = Vec::with_capacity(answers.len());
    for answer in answers {
        outcomes.push(answer.await.unwrap_or_else(|_| Err(gone())));
    }
    outcomes
}

fn gone() -> StoreError {
    StoreError::Unavailable("the writer has stopped".into())
}

/// On PostgreSQL: this instance's row, locked against its removal until the commit. A stale instance finds none, so
/// nothing it planned can still be written.
pub(super) async fn still_alive(tx: &DatabaseTransaction, instance: i64) -> Result<bool, DbErr> {
    if tx.get_database_backend() != DbBackend::Postgres {
        return Ok(true);
    }
    let question = "select id from instances where id = $1 for key share";
    Ok(tx.query_one_raw(sql::statement(tx, question, [instance.into()])).await?.is_some())
}

macro_rules! kinds {
    ($($field:ident: $kind:ident),* $(,)?) => {
        #[doc(hidden)]
        pub enum Job { $($kind($kind, Reply<$kind>)),* }

        impl Job {
            fn weight(&self) -> usize {
                match self { $(Job::$kind(write, _) => write.weight()),* }
            }

            fn account(&self) -> Option<i64> {
                match self { $(Job::$kind(write, _) => write.account()),* }
            }

            fn is_fenced(&self) -> bool {
                match self { $(Job::$kind(..) => $kind::FENCED),* }
            }

            fn refuse(self, why: StoreError) {
                match self { $(Job::$kind(_, reply) => drop(reply.send(Err(why)))),* }
            }
        }

        $(impl Queued for $kind {
            fn job(self, reply: Reply<Self>) -> Job {
                Job::$kind(self, reply)
            }
        })*

        /// The writes of one transaction, by kind, in the order the data falls.
        #[derive(Default)]
        struct Group {
            chains: Vec<Chain>,
            $($field: (Vec<$kind>, Vec<Reply<$kind>>)),*
        }

        impl Group {
            fn push(&mut self, job: Job) {
                match job {
                    $(Job::$kind(write, reply) => {
                        self.$field.0.push(write);
                        self.$field.1.push(reply);
                    })*
                }
            }

            async fn write(mut self, db: &DatabaseConnection, instance: i64, listeners: &Listeners) {
                $(self.$field = at_once(db, instance, self.$field, &self.chains).await;)*
                let fenced = false $(|| ($kind::FENCED && !self.$field.0.is_empty()))*;
                let count = 0 $(+ self.$field.0.len())*;
                if count == 0 {
                    return;
                }
                let outcome = again!(transact(db, async |tx| {
                    let alive = !fenced || still_alive(tx, instance).await?;
                    Ok(($(if self.$field.0.is_empty() {
                        Ok(Vec::new())
                    } else if $kind::FENCED && !alive {
                        Err(StoreError::Fenced)
                    } else {
                        Ok(apply(tx, (instance, listeners), &self.$field.0).await?)
                    },)*))
                }).await);
                match outcome {
                    Ok(($($field,)*)) => {
                        $(told(listeners, &self.$field.0, &$field);)*
                        $(answer(self.$field.1, $field);)*
                        listeners.wake();
                    }
                    Err(StoreError::Query(_) | StoreError::Conflict) if count > 1 => {
                        let mut away = None;
                        $(for (write, reply) in self.$field.0.into_iter().zip(self.$field.1) {
                            if let Some(error) = &away {
                                let _ = reply.send(Err(StoreError::clone(error)));
                                continue;
                            }
                            let alone = again!(transact(db, async |tx| {
                                if $kind::FENCED && !still_alive(tx, instance).await? {
                                    return Ok(None);
                                }
                                Ok(apply(tx, (instance, listeners), std::slice::from_ref(&write)).await?.pop())
                            }).await);
                            if let Err(error @ StoreError::Unavailable(_)) = &alone {
                                away = Some(error.clone());
                                broken(&self.chains);
                            }
                            let alone = alone.and_then(|output| output.ok_or(StoreError::Fenced)).map(|one| vec![one]);
                            told(listeners, std::slice::from_ref(&write), &alone);
                            answer(vec![reply], alone);
                        })*
                        listeners.wake();
                    }
                    Err(error) => {
                        broken(&self.chains);
                        $(for reply in self.$field.1 { let _ = reply.send(Err(error.clone())); })*
                    }
                }
            }
        }
    };
}

/// Commits the writes of one kind by themselves, if that can be done in one statement. Gives back what is still to do:
/// all of them if it cannot, or if one of them spoilt it.
async fn at_once<W: Write>(
    db: &DatabaseConnection,
    instance: i64,
    (group, replies): (Vec<W>, Vec<Reply<W>>),
    chains: &[Chain],
) -> (Vec<W>, Vec<Reply<W>>) {
    if group.is_empty() {
        return (group, replies);
    }
    match again!(in_time(async { W::at_once(db, instance, &group).await.transpose() }).await) {
        Ok(None) | Err(StoreError::Query(_) | StoreError::Conflict) => return (group, replies),
        Ok(Some(outputs)) => answer(replies, Ok(outputs)),
        Err(error) => {
            broken(chains);
            answer(replies, Err(error));
        }
    }
    Default::default()
}

/// What follows these may not overtake them.
fn broken(chains: &[Chain]) {
    chains.iter().for_each(|chain| chain.store(true, Ordering::Release));
}

fn answer<T>(replies: Vec<oneshot::Sender<Result<T, StoreError>>>, outcome: Result<Vec<T>, StoreError>) {
    match outcome {
        // Whoever stopped waiting is nobody to tell.
        Ok(outputs) => {
            replies.into_iter().zip(outputs).for_each(|(reply, output)| drop(reply.send(Ok(output))))
        }
        Err(error) => replies.into_iter().for_each(|reply| drop(reply.send(Err(error.clone())))),
    }
}

kinds! {
    accept: Accept,
    process: Process,
    open_turn: OpenTurn,
    close_turn: CloseTurn,
    start_attempt: StartAttempt,
    finish_attempt: FinishAttempt,
}

#[cfg(test)]
mod tests;
