//! `switchboard migrate`: the schema, by hand or for pasting.

use super::{Failure, location, say};
use crate::config::{Config, Variables};
use crate::store::{migrate_down, migrate_up, migration_status};

/// Brings the database's schema up to date, or back; prints it as SQL.
#[derive(Debug, clap::Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    config: Config,
    /// up: apply what is missing. down: take back the newest. status: show what is applied.
    #[arg(value_enum, required_unless_present = "print_sql")]
    direction: Option<Direction>,
    /// Print the whole schema instead, for people who may only paste SQL (Supabase's editor).
    #[arg(long, value_name = "DATABASE")]
    print_sql: Option<Dialect>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Direction {
    Up,
    Down,
    Status,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Dialect {
    Postgres,
}

impl Migrate {
    pub(super) async fn run(self, variables: &Variables) -> Result<(), Failure> {
        if self.print_sql.is_some() {
            say(migration::postgres_sql());
            return Ok(());
        }
        self.config.check(variables)?;
        let location = location(&self.config)?;
        let _single = location.claim()?;
        match self.direction {
            Some(Direction::Up) | None => migrate_up(&location).await?,
            Some(Direction::Down) => migrate_down(&location).await?,
            Some(Direction::Status) => {}
        }
        for (name, applied) in migration_status(&location).await? {
            say(format!("{name}: {}", if applied { "applied" } else { "pending" }));
        }
        Ok(())
    }
}
