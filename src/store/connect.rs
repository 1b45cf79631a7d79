//! Opening the two kinds of database, and bringing their schema up to date.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr};
use sqlx::Connection as _;

use super::StoreError;

/// How long anything may wait for a connection: a webhook has to be answered within two seconds even then.
const ACQUIRE: Duration = Duration::from_millis(1500);
/// Any single statement on PostgreSQL.
const STATEMENT: Duration = Duration::from_secs(10);
/// How long a transaction on PostgreSQL may stand still: longer than any of ours thinks, shorter than a lease. What a frozen
/// process has locked is free then.
const IDLE: Duration = Duration::from_secs(5);
/// Statements kept prepared on each connection: every text there is, at its ten sizes.
const STATEMENTS: usize = 512;
/// The advisory lock under which PostgreSQL is migrated: "switchbd".
const MIGRATION_LOCK: i64 = 0x7377_6974_6368_6264;

/// A parsed `DATABASE_URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// The embedded database: this file.
    Sqlite(PathBuf),
    /// A server; the URL holds a password and is never printed.
    Postgres(String),
}

impl Location {
    /// Reads `sqlite://path?mode=rwc` or `postgres://…`; the error says what is expected.
    pub fn parse(url: &str) -> Result<Self, String> {
        if let Some(rest) = url.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest).split('?').next().unwrap_or_default();
            if path.is_empty() || path == ":memory:" {
                return Err(
                    "DATABASE_URL needs a file: an in-memory database would lose every message".into()
                );
            }
            return Ok(Self::Sqlite(path.into()));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        Err("DATABASE_URL must start with sqlite:// or postgres://".into())
    }

    /// What may be shown: no user, no password.
    pub fn describe(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("SQLite, {}", path.display()),
            Self::Postgres(url) => {
                let host = url.rsplit('@').next().unwrap_or_default();
                let host = host.split("://").last().unwrap_or_default().split('?').next().unwrap_or_default();
                format!("PostgreSQL, {host}")
            }
        }
    }
}

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The folder or the lock file beside the embedded database.
    #[error("{0}")]
    File(String),
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The one process that has the embedded database open. Held as long as this lives; the kernel frees it with the
/// process, however that ends.
#[derive(Debug)]
pub struct SingleProcess(#[allow(dead_code)] File);

impl Location {
    /// For SQLite: makes the folder and takes the lock that keeps a second process out. PostgreSQL needs none.
    pub fn claim(&self) -> Result<Option<SingleProcess>, MigrateError> {
        let Self::Sqlite(path) = self else { return Ok(None) };
        let fail =
            |what: &str, e: std::io::Error| MigrateError::File(format!("{what} {}: {e}", path.display()));
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| fail("cannot make the folder for", e))?;
        }
        let lock = lock_path(path);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock)
            .map_err(|e| fail("cannot write beside", e))?;
        file.try_lock().map_err(|_| {
            MigrateError::File(format!(
                "{} is open in another switchboard process; stop it, or use PostgreSQL to run several",
                path.display()
            ))
        })?;
        Ok(Some(SingleProcess(file)))
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    path.with_file_name(name)
}

/// Applies what is missing. On PostgreSQL under an advisory lock, so that of several starters one migrates and the
/// others wait; on SQLite over a connection that is closed again before any other opens, because a connection that
/// has seen the old schema keeps misreading the new one.
pub async fn migrate_up(location: &Location) -> Result<(), MigrateError> {
    let db = one_connection(location).await?;
    let result = async {
        if let Location::Postgres(_) = location {
            db.execute_unprepared(&format!("select pg_advisory_lock({MIGRATION_LOCK})")).await?;
        }
        if status(&db).await?.iter().any(|(_, applied)| !applied) {
            Migrator::up(&db, None).await?;
        }
        if let Location::Postgres(_) = location {
            db.execute_unprepared(migration::POSTGRES_RLS).await?;
            db.execute_unprepared(&format!("select pg_advisory_unlock({MIGRATION_LOCK})")).await?;
        }
        Ok::<_, DbErr>(())
    }
    .await;
    let _ = db.close().await;
    Ok(result.map_err(StoreError::from)?)
}

/// Takes back the newest migration.
pub async fn migrate_down(location: &Location) -> Result<(), MigrateError> {
    let db = one_connection(location).await?;
    let result = Migrator::down(&db, Some(1)).await;
    let _ = db.close().await;
    Ok(result.map_err(StoreError::from)?)
}

/// The name of every migration of this program, and whether it is applied.
pub async fn migration_status(location: &Location) -> Result<Vec<(String, bool)>, MigrateError> {
    let db = one_connection(location).await?;
    let result = status(&db).await;
    let _ = db.close().await;
    Ok(result.map_err(StoreError::from)?)
}

/// The database may know more: migrations of a later version, after which this one must still start, since instances
/// of both run side by side during a deploy.
async fn status(db: &DatabaseConnection) -> Result<Vec<(String, bool)>, DbErr> {
    Migrator::install(db).await?;
    let applied: Vec<String> =
        Migrator::get_migration_models(db).await?.into_iter().map(|model| model.version).collect();
    let ours = Migrator::migrations().into_iter().map(|migration| migration.name().to_owned());
    Ok(ours.map(|name| (name.clone(), applied.contains(&name))).collect())
}

async fn one_connection(location: &Location) -> Result<DatabaseConnection, StoreError> {
    let mut options = options(location);
    options.max_connections(1).map_sqlx_postgres_opts(|o| o.options([("statement_timeout", "600000")]));
    Ok(Database::connect(options).await?)
}

/// The read pool and the write pool.
pub(super) async fn open(
    location: &Location,
) -> Result<(DatabaseConnection, DatabaseConnection), StoreError> {
    let mut write = options(location);
    let mut read = options(location);
    match location {
        // One writer: no lock to wait for inside this process.
        Location::Sqlite(_) => {
            write.max_connections(1).min_connections(1);
            read.max_connections(4).map_sqlx_sqlite_opts(|o| o.pragma("query_only", "on"));
        }
        Location::Postgres(_) => {
            write.max_connections(8);
            read.max_connections(8);
        }
    }
    let write = Database::connect(write).await?;
    let read = Database::connect(read).await?;
    Ok((read, write))
}

/// A line for one writer: the write pool itself on SQLite. On PostgreSQL a connection of its own, since statements are
/// prepared on each; the second one is for when the first hangs.
pub(super) async fn line(
    location: &Location,
    write: &DatabaseConnection,
) -> Result<DatabaseConnection, StoreError> {
    let Location::Postgres(_) = location else { return Ok(write.clone()) };
    let mut options = options(location);
    options.max_connections(2).min_connections(1);
    Ok(Database::connect(options).await?)
}

fn options(location: &Location) -> ConnectOptions {
    let url = match location {
        Location::Sqlite(path) => format!("sqlite://{}?mode=rwc", path.display()),
        Location::Postgres(url) => url.clone(),
    };
    let mut options = ConnectOptions::new(url);
    options
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .acquire_timeout(ACQUIRE)
        .connect_timeout(ACQUIRE)
        .test_before_acquire(false)
        // A row is never waited for long: FULL makes each group's commit durable, the checkpoint runs elsewhere.
        .map_sqlx_sqlite_opts(|o| {
            o.pragma("journal_mode", "wal")
                .pragma("synchronous", "full")
                .pragma("busy_timeout", "1500")
                .pragma("wal_autocheckpoint", "0")
                .pragma("foreign_keys", "on")
                .pragma("cache_size", "-8000")
                // What a statement would take back if it failed: it is small, and gone with the statement.
                .pragma("temp_store", "memory")
                .optimize_on_close(true, None)
                .statement_cache_capacity(STATEMENTS)
                // A group's rows come back in one go, without the two threads waiting for each other.
                .row_buffer_size(1024)
        })
        // On a full disk SQLite rolls a transaction back by itself. Sqlx then still counts it as open: later ones would
        // be "committed" inside it, that is not at all. Such a connection serves nobody again.
        .map_sqlx_sqlite_pool_opts(|pool| {
            pool.after_release(|connection, _| {
                Box::pin(async move {
                    if connection.is_in_transaction() {
                        // An orderly rollback is on its way, and done after this.
                        connection.ping().await?;
                    }
                    Ok(!connection.is_in_transaction())
                })
            })
        })
        .map_sqlx_postgres_opts(|o| {
            o.application_name("switchboard")
                .options([
                    ("statement_timeout", STATEMENT.as_millis().to_string().as_str()),
                    ("idle_in_transaction_session_timeout", IDLE.as_millis().to_string().as_str()),
                ])
                .statement_cache_capacity(STATEMENTS)
        });
    options
}
