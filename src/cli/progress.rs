//! How far a long command is: one line that is written over, for people at a terminal; and patience with a database that
//! others write to.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::store::StoreError;

/// How often the line is written anew.
const EVERY: Duration = Duration::from_millis(200);
/// How often a write that met a busy database is repeated, and after which pause.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(250);

/// One line of progress on standard error; silent where nobody looks.
pub(super) struct Progress {
    what: &'static str,
    terminal: bool,
    shown: Option<Instant>,
    done: u64,
}

impl Progress {
    /// Nothing done yet.
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, terminal: std::io::stderr().is_terminal(), shown: None, done: 0 }
    }

    /// So many more are done.
    pub(super) fn add(&mut self, count: u64) {
        self.done += count;
        if self.terminal && self.shown.is_none_or(|at| at.elapsed() >= EVERY) {
            self.shown = Some(Instant::now());
            eprint!("\r{}: {}", self.what, self.done);
            let _ = std::io::stderr().flush();
        }
    }

    /// Clears the line; how many were done.
    pub(super) fn end(self) -> u64 {
        if self.shown.is_some() {
            eprint!("\r{:60}\r", "");
        }
        self.done
    }
}

/// Repeats what met a busy database: a service at work beside us writes all the time.
pub(super) async fn patiently<T, F>(work: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut tries = 0;
    loop {
        match work().await {
            Err(StoreError::Unavailable(_)) if tries < TRIES => tries += 1,
            result => return result,
        }
        tokio::time::sleep(PAUSE).await;
    }
}
