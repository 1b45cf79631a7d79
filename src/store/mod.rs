//! Everything that touches the database: one file per subject, each with its rows and every query on them.
//!
//! Reads go through `read`, rare writes through [`Store::begin`], the small writes every message needs through the
//! [`writer`], which lets hundreds of them share one commit. On SQLite all writes share one connection, so there is
//! no lock to wait for; on PostgreSQL the door and the stations each have a writer, with a connection of its own.

pub mod accept;
pub mod account_events;
pub mod accounts;
pub mod alert_ends;
pub mod alerts;
pub mod analytics;
pub mod attempts;
pub mod audit;
pub mod changes;
pub mod chatbots;
mod connect;
pub mod contact_book;
pub mod contacts;
pub mod conversations;
pub mod deliveries;
pub mod erasure;
pub mod event_deliveries;
pub mod event_endpoints;
pub mod events;
mod fair;
pub mod idempotency;
pub mod inspect;
pub mod instances;
pub mod mend;
pub mod media;
pub mod messages;
pub mod overview;
pub mod people;
pub mod replies;
pub mod reseal;
pub mod restored;
pub mod retention;
pub mod search;
pub mod session_keys;
pub mod session_sends;
mod session_watch;
pub mod sessions;
pub mod statuses;
mod telling;
pub mod tenants;
pub mod threads;
pub mod told;
pub mod turns;
pub mod usage;
mod sql;
mod strip;
pub mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, RuntimeErr,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

pub use connect::{Location, MigrateError, SingleProcess, migrate_down, migrate_up, migration_status};
use event_endpoints::Listeners;
use writer::Writer;

/// Pause before a database that was not there is asked again.
const PAUSE: Duration = Duration::from_millis(300);

/// Why a database call did not do its work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Not reachable, or not in time: nothing was committed as far as we know; try again.
    #[error("the database is not reachable: {0}")]
    Unavailable(String),
    /// More is waiting to be written than we are ready to hold.
    #[error("the database does not keep up")]
    Full,
    /// Another instance took over what this one owned; its plans are void.
    #[error("this instance's lease ran out")]
    Fenced,
    /// A unique constraint: somebody else has it already.
    #[error("already taken")]
    Conflict,
    /// The statement itself is wrong, or its data: trying again does not help.
    #[error("database: {0}")]
    Query(String),
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        if let Some(sea_orm::SqlErr::UniqueConstraintViolation(_)) = error.sql_err() {
            return Self::Conflict;
        }
        match &error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Self::Unavailable(error.to_string()),
            DbErr::Exec(RuntimeErr::SqlxError(e)) | DbErr::Query(RuntimeErr::SqlxError(e)) => match &**e {
                // Server shutting down (57P0x) or for reading only (25006; 8 on SQLite), too many connections (53xxx),
                // no memory (7), disk full and I/O errors (58xxx; 13, 14 and 10), lock waits over (5, 6), deadlocks
                // (40xxx): all "later", none "wrong".
                sqlx::Error::Database(db) => match db.code().as_deref() {
                    Some(code) if later(code) => Self::Unavailable(error.to_string()),
                    _ => Self::Query(error.to_string()),
                },
                sqlx::Error::Encode(_)
                | sqlx::Error::Decode(_)
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::TypeNotFound { .. } => Self::Query(error.to_string()),
                _ => Self::Unavailable(error.to_string()),
            },
            _ => Self::Query(error.to_string()),
        }
    }
}

/// Whether PostgreSQL broke it off because of what somebody else did at the same time: a deadlock, or an order that
/// nobody could have made. Done again, it goes well.
fn collided(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(e)) | DbErr::Query(RuntimeErr::SqlxError(e))) = error else {
        return false;
    };
    e.as_database_error().and_then(|e| e.code()).is_some_and(|code| ["40P01", "40001"].contains(&&*code))
}

fn later(code: &str) -> bool {
    // PostgreSQL's codes are five letters or digits, SQLite's numbers are shorter.
    if code.len() == 5 {
        let prefixes = ["57P0", "53", "58", "08", "40", "57014", "55P03", "25P0", "25006"];
        return prefixes.iter().any(|prefix| code.starts_with(prefix));
    }
    // The last byte is the error itself, what stands above tells of where it came from.
    code.parse::<i32>().is_ok_and(|code| [5, 6, 7, 8, 10, 13, 14].contains(&(code & 0xff)))
}

/// The database, as the rest of the house sees it. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    read: DatabaseConnection,
    write: DatabaseConnection,
    /// The writers' own connections.
    lines: [DatabaseConnection; 2],
    door: Writer,
    stations: Writer,
    instance: Arc<AtomicI64>,
    listeners: Listeners,
    /// The life this handle speaks for; `None`: whichever this process has at the time.
    life: Option<i64>,
    location: Location,
}

impl Store {
    /// Opens the database that `location` names; the schema must be there ([`migrate_up`]).
    pub async fn open(location: &Location) -> Result<Self, StoreError> {
        let (read, write) = connect::open(location).await?;
        let instance = Arc::new(AtomicI64::new(0));
        let listeners = Listeners::default();
        let lines = [connect::line(location, &write).await?, connect::line(location, &write).await?];
        let stations = Writer::spawn(lines[0].clone(), instance.clone(), listeners.clone());
        let door = match write.get_database_backend() {
            DbBackend::Postgres => Writer::spawn(lines[1].clone(), instance.clone(), listeners.clone()),
            _ => stations.clone(),
        };
        let (location, life) = (location.clone(), None);
        Ok(Self { read, write, lines, door, stations, instance, listeners, life, location })
    }

    /// Where it lives.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Whether several instances may share this database.
    pub fn is_shared(&self) -> bool {
        self.write.get_database_backend() == DbBackend::Postgres
    }

    /// For reads. Never write through it: on SQLite it would wait for a lock.
    pub(crate) fn read(&self) -> &DatabaseConnection {
        &self.read
    }

    /// The group-committing writer of the webhook.
    pub fn door(&self) -> &Writer {
        &self.door
    }

    /// The group-committing writer of everything behind it.
    pub fn stations(&self) -> &Writer {
        &self.stations
    }

    /// Whose systems want to hear of what.
    pub fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// A transaction of one's own, for rare writes. Keep it short, and never wait for anyone else inside it.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        Ok(begin(&self.write).await?)
    }

    /// For what rests on owning something: [`StoreError::Fenced`] once the life of this handle is over.
    async fn begin_fenced(&self) -> Result<DatabaseTransaction, StoreError> {
        let tx = self.begin().await?;
        let current = self.life.is_none_or(|life| life == self.latest_life());
        if current && (self.life.is_none() || writer::still_alive(&tx, self.instance()).await?) {
            Ok(tx)
        } else {
            Err(StoreError::Fenced)
        }
    }

    /// This instance's place in `instances`; 0 before it joined.
    pub fn instance(&self) -> i64 {
        self.life.unwrap_or_else(|| self.latest_life())
    }

    /// The latest life of this process, over or not; 0 before its first.
    fn latest_life(&self) -> i64 {
        self.instance.load(Ordering::Acquire)
    }

    /// A new life of this process begins: the database in its name. Handles of earlier lives go on reading, and record
    /// what happened, but what they planned is refused.
    fn begin_life(&self, id: i64) -> Self {
        self.instance.store(id, Ordering::Release);
        let (door, stations) = (self.door.of_life(id), self.stations.of_life(id));
        Self { door, stations, life: Some(id), ..self.clone() }
    }

    /// Repeats `work` for which the database was not there, until it is, or until `enough`.
    pub async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        enough: impl Fn() -> bool,
        work: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        loop {
            match work().await {
                Err(StoreError::Unavailable(_) | StoreError::Full) if !enough() => {
                    tokio::time::sleep(PAUSE).await;
                }
                result => return result,
            }
        }
    }

    /// One round trip, to know that it answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.write.execute_unprepared("select 1").await?;
        Ok(())
    }

    /// The version the server tells, for `doctor`.
    pub async fn version(&self) -> Result<String, StoreError> {
        let question =
            if self.is_shared() { "select version() as v" } else { "select sqlite_version() as v" };
        let row = self.read.query_one_raw(sql::statement(&self.read, question, [])).await?;
        Ok(row.map(|row| row.try_get::<String>("", "v")).transpose()?.unwrap_or_default())
    }

    /// Closes all connections.
    pub async fn close(self) {
        for pool in [self.read, self.write].into_iter().chain(self.lines) {
            let _ = pool.close().await;
        }
    }
}

/// SQLite must take its write lock at once (IMMEDIATE): a transaction that reads first and then wants to write would be
/// refused as "locked", without any waiting.
async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    db.begin_with_options(TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..Default::default()
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::later;

    #[test]
    fn what_passes_is_told_from_what_is_wrong() {
        // SQLite: busy, busy for long, a snapshot that is too old, I/O errors, disk full, opened for reading only.
        let sqlite = ["5", "773", "517", "6", "10", "266", "778", "1034", "13", "14", "8", "1032"];
        // PostgreSQL: shutting down, a standby after a fail-over, no room, deadlock, statement took too long.
        let postgres = ["57P01", "25006", "53300", "53100", "58030", "08006", "40P01", "57014"];
        for code in sqlite.into_iter().chain(postgres) {
            assert!(later(code), "{code}");
        }
        // A statement that is wrong, a missing table, a constraint, a text too long, no number at all.
        for code in ["1", "19", "787", "1299", "25", "42P01", "23505", "23502", "22001", "2500", ""] {
            assert!(!later(code), "{code}");
        }
    }
}
