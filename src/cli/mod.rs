//! The commands, one file each.

mod api_key;
mod backup;
mod create_admin;
mod dead_letters;
mod demo;
mod doctor;
mod migrate;
mod postgres_tools;
mod progress;
mod replay;
mod rotate_keys;
mod serve;
pub mod simulate;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use secrecy::ExposeSecret;

use crate::config::{self, Config, Variables};
use crate::news::News;
use crate::store::{Location, SingleProcess, Store, migrate_up};

/// Many chatbots behind one WhatsApp webhook: every message stored, routed, answered once and in order.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything at once on this machine, without configuration: service, stand-ins, two tenants, a phone.
    Demo(demo::Demo),
    /// The service.
    Serve(serve::Serve),
    /// Brings the database's schema up to date, or back; prints it as SQL.
    Migrate(migrate::Migrate),
    /// Checks settings, database, keys and the world outside; says what to mend.
    Doctor(doctor::Doctor),
    /// Plays Meta's signed webhooks at a running server.
    Simulate(simulate::Simulate),
    /// Makes a person who may sign in.
    CreateAdmin(create_admin::CreateAdmin),
    /// Makes, lists and revokes API keys.
    ApiKey(api_key::ApiKeys),
    /// Seals every stored secret again with the newest key.
    RotateKeys(rotate_keys::RotateKeys),
    /// Copies the database while the service runs.
    Backup(backup::Backup),
    /// Puts a copy back in the place of the database.
    Restore(backup::Restore),
    /// Reads stored webhook events once more.
    Replay(replay::Replay),
    /// Lists what ended badly, or has it tried once more.
    DeadLetters(dead_letters::DeadLetters),
}

/// Why a command failed, in a sentence for the person at the terminal.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Reads the command line and the variables, does what they say.
pub async fn run() -> ExitCode {
    let variables = match config::process_variables() {
        Ok(variables) => variables,
        Err(error) => return fail(error.into()),
    };
    let matches = config::apply(Cli::command(), &variables).get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let done = match cli.command {
        Command::Simulate(simulate) => return simulate.run().await,
        Command::Doctor(doctor) => return doctor.run(&variables).await,
        Command::Demo(demo) => demo.run().await,
        Command::Serve(serve) => serve.run(&variables).await,
        Command::Migrate(migrate) => migrate.run(&variables).await,
        Command::CreateAdmin(create) => create.run(&variables).await,
        Command::ApiKey(keys) => keys.run(&variables).await,
        Command::RotateKeys(rotate) => rotate.run(&variables).await,
        Command::Backup(backup) => backup.run(&variables).await,
        Command::Restore(restore) => restore.run(&variables).await,
        Command::Replay(replay) => replay.run(&variables).await,
        Command::DeadLetters(letters) => letters.run(&variables).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error),
    }
}

fn fail(error: Failure) -> ExitCode {
    eprintln!("switchboard: {error}");
    ExitCode::FAILURE
}

/// Prints a line for the person at the terminal.
#[allow(clippy::print_stdout)] // the one place where commands speak
fn say(line: impl std::fmt::Display) {
    println!("{line}");
}

/// Tells running instances what they are to know at once; where that fails, or on SQLite, they find out by themselves.
async fn tell(store: &Store, news: &News) {
    if let Ok(news) = serde_json::to_string(news)
        && let Err(error) = store.notify(&news).await
    {
        tracing::debug!(%error, "running instances will see by themselves");
    }
}

/// Where the database is.
fn location(config: &Config) -> Result<Location, Failure> {
    Ok(Location::parse(config.storage.database_url.expose_secret())?)
}

/// The database with its schema up to date, for a command that needs nothing else. Where a service has the embedded
/// database open, this waits its turn for each write like everybody else on this machine.
async fn database(config: &Config, variables: &Variables) -> Result<(Store, Option<SingleProcess>), Failure> {
    config.check(variables)?;
    let location = location(config)?;
    // A running service holds the lock and has migrated already.
    let single = location.claim().ok().flatten();
    if single.is_some() || matches!(location, Location::Postgres(_)) {
        migrate_up(&location).await?;
    }
    Ok((Store::open(&location).await?, single))
}
