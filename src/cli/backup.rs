//! `switchboard backup` and `switchboard restore`: a consistent copy of the embedded database, and its way back.
//! PostgreSQL's own tools do the same for it ([`super::postgres_tools`]).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Row};

use super::progress::Progress;
use super::{Failure, location, postgres_tools, say};
use crate::config::{Config, Variables};
use crate::runtime::Clock;
use crate::store::{Location, restored};

/// Copies the database into a file while the service runs. PostgreSQL needs pg_dump for it; without it this says which
/// command to run.
#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    #[command(flatten)]
    config: Config,
    /// The file to write; it must not exist.
    file: PathBuf,
}

/// Puts a copy back in the place of the database. The service must be stopped. PostgreSQL needs pg_restore for it;
/// without it this says which command to run.
#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    #[command(flatten)]
    config: Config,
    /// A file that `backup` wrote.
    file: PathBuf,
    /// Replace a database that is there; it is kept beside the new one.
    #[arg(long)]
    force: bool,
    /// Go on with what was under way in the copy: only for one that was made after the service stopped for good, or
    /// what was answered since is answered again.
    #[arg(long)]
    resume: bool,
}

/// What becomes of open work.
pub(super) fn waits(resume: bool) -> &'static str {
    match resume {
        true => "it goes on with what was under way in the copy",
        false => {
            "what was under way in the copy is put aside with the reason `restored`: see `switchboard dead-letters list`"
        }
    }
}

impl Backup {
    pub(super) async fn run(self, variables: &Variables) -> Result<(), Failure> {
        self.config.check(variables)?;
        if self.file.exists() {
            return Err(format!("{} exists already; it is not overwritten", self.file.display()).into());
        }
        let Location::Sqlite(database) = location(&self.config)? else {
            return postgres_tools::dump(self.config.storage.database_url.expose_secret(), &self.file).await;
        };
        copy(&database, &self.file).await?;
        let size = std::fs::metadata(&self.file)?.len();
        say(format!("{} holds a checked copy of {} ({size} bytes)", self.file.display(), database.display()));
        if self.config.storage.switchboard_keys.is_none() {
            say("the sealing keys are not in it: keep a copy of switchboard.keys too");
        } else {
            say("the sealing keys are not in it: keep SWITCHBOARD_KEYS too");
        }
        Ok(())
    }
}

impl Restore {
    pub(super) async fn run(self, variables: &Variables) -> Result<(), Failure> {
        self.config.check(variables)?;
        if !self.file.is_file() {
            return Err(format!("there is no file {}", self.file.display()).into());
        }
        let location = location(&self.config)?;
        let Location::Sqlite(database) = &location else {
            let url = self.config.storage.database_url.expose_secret();
            return postgres_tools::restore(url, &self.file, self.force, self.resume).await;
        };
        // Held until the end: no service starts on half a database.
        let _single = location.claim()?;
        if database.exists() && !self.force {
            let path = database.display();
            return Err(format!("{path} exists; --force replaces it and keeps it beside the new one").into());
        }
        let fresh = beside(database, "restoring");
        remove(&fresh)?;
        copy(&self.file, &fresh).await.map_err(|error| format!("{}: {error}", self.file.display()))?;
        let now = Clock::system().now_ms();
        let mut connection = open(&fresh, false).await?;
        if !self.resume {
            put_aside(&mut connection, now).await?;
        }
        connection.close().await?;
        let aside = beside(database, &format!("before-{now}"));
        // The log belongs to its database: they go together, the log first, so that neither is ever read alone.
        for end in ["-wal", "-shm", ""] {
            let from = with_end(database, end);
            if from.exists() {
                std::fs::rename(&from, with_end(&aside, end))?;
            }
        }
        std::fs::rename(&fresh, database)?;
        sync_folder(database)?;
        if aside.exists() {
            say(format!("the database that was there is {} now", aside.display()));
        }
        say(format!("{} is {} again; start the service", database.display(), self.file.display()));
        say(waits(self.resume));
        Ok(())
    }
}

/// Writes a consistent, compact copy of a database, whoever works with it, and looks it over before it gets its name.
async fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let part = beside(to, "part");
    remove(&part)?;
    let mut source = open(from, true).await?;
    let words = "select count(*) from sqlite_master where name in ('webhook_events', 'whatsapp_accounts')";
    let tables: i64 = sqlx::query(words).fetch_one(&mut source).await?.try_get(0)?;
    if tables != 2 {
        return Err("not a database of Switchboard".into());
    }
    // Made first, so that nobody else may read it even while it grows.
    private(&part)?;
    let path = part.to_str().ok_or("the file's name is not UTF-8")?;
    let copied = watched(&part, sqlx::query("vacuum into $1").bind(path).execute(&mut source)).await;
    source.close().await?;
    let checked = async {
        copied?;
        let mut copy = open(&part, true).await?;
        let words: String = sqlx::query("pragma integrity_check").fetch_one(&mut copy).await?.try_get(0)?;
        copy.close().await?;
        File::open(&part)?.sync_all()?;
        if words != "ok" {
            return Err::<(), Failure>(format!("the copy is damaged: {words}").into());
        }
        // Refuses, unlike a rename, when somebody else made the file meanwhile.
        Ok(std::fs::hard_link(&part, to)?)
    };
    let checked = checked.await;
    remove(&part)?;
    checked?;
    sync_folder(to)?;
    Ok(())
}

/// Shows how a file grows while it is written.
pub(super) async fn watched<T>(file: &Path, work: impl Future<Output = T>) -> T {
    let mut progress = Progress::new("kilobytes");
    let mut shown = 0;
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => {
                progress.end();
                return done;
            }
            () = tokio::time::sleep(Duration::from_millis(200)) => {
                let size = std::fs::metadata(file).map_or(0, |file| file.len() / 1024);
                progress.add(size.saturating_sub(shown));
                shown = size.max(shown);
            }
        }
    }
}

async fn open(path: &Path, read_only: bool) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(read_only)
        .disable_statement_logging()
        .connect()
        .await
}

/// What the copy would do once more waits for people instead.
async fn put_aside(connection: &mut SqliteConnection, now: i64) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin().await?;
    for statement in restored::put_aside(now) {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *tx).await?;
    }
    tx.commit().await
}

/// An empty file that only its owner may read.
pub(super) fn private(path: &Path) -> std::io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// `folder/name.end`.
fn beside(path: &Path, end: &str) -> PathBuf {
    with_end(path, &format!(".{end}"))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(end);
    path.with_file_name(name)
}

/// A new name survives a power loss only when its folder is written too.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_grows_beside_its_place() {
        assert_eq!(beside(Path::new("data/x.db"), "part"), Path::new("data/x.db.part"));
    }
}
