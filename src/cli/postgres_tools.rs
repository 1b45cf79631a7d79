//! Copies of PostgreSQL: by `pg_dump` and `pg_restore` where they are, else by the command to run.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use sqlx::{Connection, PgConnection, Row};
use url::Url;

use super::backup::{private, waits, watched};
use super::{Failure, say};
use crate::runtime::Clock;
use crate::store::restored;

/// Writes `file`.
pub(super) async fn dump(url: &str, file: &Path) -> Result<(), Failure> {
    let (shown, password) = apart(url)?;
    // Made first, so that nobody else may read it even while it grows.
    private(file)?;
    let file_argument = format!("--file={}", file.display());
    let arguments = ["--format=custom", &file_argument, shown.as_str()];
    match watched(file, run("pg_dump", &arguments, &password)).await {
        Ok(true) => {
            let size = std::fs::metadata(file)?.len();
            say(format!("{} holds a copy of {} ({size} bytes)", file.display(), place(&shown)));
            say("the sealing keys are not in it: keep SWITCHBOARD_KEYS too");
            Ok(())
        }
        Ok(false) => {
            std::fs::remove_file(file)?;
            say("pg_dump is not installed here; where it is, run (the password: PGPASSWORD or ~/.pgpass):");
            say(format!("pg_dump --format=custom --file={} {}", quoted(&file.display()), quoted(&shown)));
            Ok(())
        }
        Err(error) => {
            std::fs::remove_file(file)?;
            Err(error)
        }
    }
}

/// Reads `file` into the database; what is there is replaced only by wish.
pub(super) async fn restore(url: &str, file: &Path, force: bool, resume: bool) -> Result<(), Failure> {
    let (shown, password) = apart(url)?;
    let mut put_aside = restored::put_aside(Clock::system().now_ms()).to_vec();
    if resume {
        put_aside.clear();
    }
    if run("pg_restore", &["--version"], &password).await? {
        let [tables, alive] = tables_and_instances(url).await?;
        if alive > 0 {
            return Err(format!("{alive} instances are at work on {}: stop them first", place(&shown)).into());
        }
        if tables > 0 && !force {
            let place = place(&shown);
            return Err(
                format!("{place} is not empty; --force replaces what is there: back it up first").into()
            );
        }
        let database = format!("--dbname={shown}");
        let name = file.to_str().ok_or("the file's name is not UTF-8")?;
        let options = ["--clean", "--if-exists", "--no-owner", "--single-transaction"];
        run("pg_restore", &[&options[..], &[&database, name]].concat(), &password).await?;
        let mut connection = PgConnection::connect(url).await?;
        let mut tx = connection.begin().await?;
        for statement in put_aside {
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        connection.close().await?;
        say(format!("{} is {} again; start the service", place(&shown), file.display()));
        say(waits(resume));
        return Ok(());
    }
    say("pg_restore is not installed here; where it is, run this with the service stopped:");
    let (shown, file) = (quoted(&shown), quoted(&file.display()));
    say(format!("pg_restore --clean --if-exists --no-owner --single-transaction --dbname={shown} {file}"));
    if resume {
        return Ok(());
    }
    say("then this, before the service starts, or what went out since the copy was made goes out again:");
    let command = quoted(&put_aside.join("; "));
    say(format!("psql --set=ON_ERROR_STOP=1 --single-transaction --dbname={shown} --command={command}"));
    Ok(())
}

/// Runs one of the tools. False: it is not installed. What it complains of is in the error.
async fn run(tool: &str, arguments: &[&str], password: &str) -> Result<bool, Failure> {
    let mut command = Command::new(tool);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    // Other users of the machine see arguments, not variables.
    if !password.is_empty() {
        command.env("PGPASSWORD", password);
    }
    let ended = tokio::task::spawn_blocking(move || command.output()).await?;
    match ended {
        Ok(output) if output.status.success() => Ok(true),
        Ok(output) => Err(format!("{tool}: {}", String::from_utf8_lossy(&output.stderr).trim()).into()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(format!("{tool}: {error}").into()),
    }
}

/// How many tables of ours there are, and how many instances are at work on them.
async fn tables_and_instances(url: &str) -> Result<[i64; 2], Failure> {
    let mut connection = PgConnection::connect(url).await?;
    let count = async |connection: &mut PgConnection, question: &'static str| {
        sqlx::query(question).fetch_one(connection).await?.try_get::<i64, _>(0)
    };
    let tables = "select count(*) from information_schema.tables where table_schema = current_schema() \
                  and table_name in ('webhook_events', 'instances')";
    let tables = count(&mut connection, tables).await?;
    let alive =
        "select count(*) from instances where expires_at > extract(epoch from clock_timestamp()) * 1000";
    let alive = if tables == 2 { count(&mut connection, alive).await? } else { 0 };
    connection.close().await?;
    Ok([tables, alive])
}

/// The address without its password, and the password.
fn apart(url: &str) -> Result<(Url, String), Failure> {
    let mut url = Url::parse(url).map_err(|_| "DATABASE_URL is not an address")?;
    let password = url.password().unwrap_or_default().to_owned();
    url.set_password(None).map_err(|()| "DATABASE_URL has no host")?;
    Ok((url, unescaped(&password)))
}

/// `%41` is `A`.
fn unescaped(text: &str) -> String {
    let query = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(query.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn place(url: &Url) -> String {
    format!("{}{}", url.host_str().unwrap_or_default(), url.path())
}

/// For a shell.
fn quoted(text: &impl ToString) -> String {
    format!("'{}'", text.to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_to_paste_holds_no_password() {
        let (url, password) = apart("postgres://me:s3c%26r+t@db.example:6543/app?sslmode=require").unwrap();
        assert_eq!(quoted(&url), "'postgres://me@db.example:6543/app?sslmode=require'");
        assert_eq!((password.as_str(), place(&url).as_str()), ("s3c&r+t", "db.example/app"));
        assert_eq!(quoted(&"it's"), r"'it'\''s'");
    }
}
