//! Drills: each brings one fault about, on real sockets and real databases, and holds what came of it against what
//! is promised. Prints a table; fails when anything did not hold. docs/RELIABILITY.md tells what the rows mean.
//!
//! `cargo test --test faults -- [name…] [--full] [--cycles N] [--soak SECONDS] [--cases N] [--seed N]`

#![allow(clippy::print_stdout)] // the table

#[allow(dead_code)] // the rest of it serves the other tests
#[path = "../it/harness/mod.rs"]
mod harness;
mod crowds;
mod files;
mod kills;
mod ledger;
mod outages;
mod outside;
mod overload;
mod pressure;
mod schedules;
mod schemas;
mod together;

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use harness::Db;
use tokio::runtime::Runtime;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The embedded one.
    Sqlite,
    /// A server.
    Postgres,
}
use Kind::{Postgres, Sqlite};

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Whether there is time for real leases and large crowds.
    pub full: bool,
    /// Kills of each kind.
    pub cycles: usize,
    /// Length of the soak.
    pub soak: Duration,
    /// Random schedules on each database.
    pub cases: usize,
    /// What the first of them is drawn from; the next ones follow.
    pub seed: u64,
}

/// Where a drill takes place.
#[derive(Debug, Clone, Copy)]
pub struct At {
    /// On which database.
    pub kind: Kind,
    /// How much of everything.
    pub scale: Scale,
}

impl At {
    /// A fresh database.
    pub async fn db(self) -> Db {
        match self.kind {
            Sqlite => Db::Sqlite(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()),
            Postgres => Db::postgres().await.expect("asked for only where there is one"),
        }
    }
}

/// What a drill did, and the figure it is judged by. One that does not hold panics.
pub struct Held {
    /// How often, how much.
    pub tried: String,
    /// What came of it.
    pub figure: String,
}

struct Drill {
    name: &'static str,
    fault: &'static str,
    alone: bool,
    on: &'static [Kind],
    work: fn(At) -> Pin<Box<dyn Future<Output = Held>>>,
}

macro_rules! drills {
    ($($module:ident::$name:ident on $($kind:ident)+: $fault:literal)*) => {
        const DRILLS: &[Drill] = &[$(Drill {
            name: stringify!($name),
            fault: $fault,
            alone: matches!(stringify!($module).as_bytes(), b"crowds"),
            on: &[$($kind),+],
            work: |at| Box::pin($module::$name(at)),
        }),*];
    };
}

drills! {
    kills::killed on Sqlite Postgres: "kill -9 under load, every third during a stop"
    kills::one_of_two_killed on Postgres: "kill -9 of one of two instances"
    kills::killed_after_a_send on Sqlite Postgres: "kill -9 after Graph took it, before that is noted"
    kills::frozen on Postgres: "one of two instances frozen beyond its lease"
    kills::stopped_with_everything_open on Postgres: "SIGTERM with calls and connections open"
    together::three_at_once on Postgres: "three processes: one frozen, one killed, one renewed"
    together::poison on Postgres: "an event that stops whoever touches it"
    outages::server_stops on Postgres: "the database server crashes and comes back"
    outages::server_crawls on Postgres: "the database answers two seconds late"
    outages::breaks_mid_commit on Postgres: "a connection is reset before and after a commit"
    outages::connections_taken on Postgres: "all connections taken"
    outages::news_lost on Postgres: "LISTEN connections ended"
    files::disk_full on Sqlite: "disk full"
    files::servers_disk_full on Postgres: "the server's disk full"
    files::locked on Sqlite: "database locked by another process"
    schemas::two_starters on Sqlite Postgres: "two starters on an older schema"
    schemas::migration_fails on Sqlite Postgres: "a migration fails half-way"
    schemas::newer_schema on Sqlite Postgres: "the schema of a later version"
    outside::endless_answers on Sqlite: "answers without end, names that lead nowhere"
    outside::clock_jumps on Sqlite Postgres: "the clock jumps back and forth"
    crowds::loud_and_slow on Sqlite Postgres: "one tenant slow, one fifty times as loud"
    crowds::burst on Sqlite Postgres: "one tenant's burst"
    pressure::half_open on Sqlite: "half-open connections"
    pressure::overload on Sqlite Postgres: "more at once than may wait"
    schedules::schedules on Sqlite Postgres: "everything in any order"
    overload::three_times_too_much on Postgres: "three times what the database takes"
    pressure::soak on Sqlite Postgres: "a steady stream"
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |flag: &str| -> Option<u64> {
        let at = arguments.iter().position(|argument| argument == flag)?;
        Some(arguments.get(at + 1)?.parse().unwrap_or_else(|_| panic!("{flag} takes a number")))
    };
    let full = arguments.iter().any(|argument| argument == "--full");
    let usual = |ci: u64, all: u64| if full { all } else { ci };
    let scale = Scale {
        full,
        cycles: number("--cycles").unwrap_or(usual(8, 1_000)) as usize,
        soak: Duration::from_secs(number("--soak").unwrap_or(usual(5, 7_200))),
        cases: number("--cases").unwrap_or(usual(4, 300)) as usize,
        seed: number("--seed").unwrap_or(1),
    };
    let names: Vec<&String> =
        arguments.iter().filter(|a| !a.starts_with('-') && a.parse::<u64>().is_err()).collect();
    let chosen = |name: &str| names.is_empty() || names.iter().any(|wanted| name.contains(wanted.as_str()));
    let postgres = runtime().block_on(Db::postgres()).is_some();

    // What did not hold stands in the table; here only what panicked elsewhere, without its trace.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    println!("{:52}  {:8}  {:28}  {:4}  figure", "fault", "database", "tried", "held");
    let drills = DRILLS.iter().filter(|drill| chosen(drill.name));
    let all = drills.flat_map(|drill| drill.on.iter().map(move |kind| (drill, *kind)));
    let all: Vec<_> = all.filter(|(_, kind)| postgres || *kind == Sqlite).collect();
    let held = AtomicBool::new(true);
    // Most of a drill is waiting, so several run at once; where time is compared, and for good figures, one.
    let (alone, together): (VecDeque<_>, VecDeque<_>) = all.into_iter().partition(|(drill, _)| drill.alone);
    for (line, threads) in [(together, if full { 1 } else { 4 }), (alone, 1)] {
        let line = Mutex::new(line);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let next = || line.lock().unwrap().pop_front();
                    while let Some((drill, kind)) = next() {
                        if !drill.run(At { kind, scale }) {
                            held.store(false, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
    }
    if held.into_inner() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

impl Drill {
    /// Runs it and prints its row; whether it held.
    fn run(&self, at: At) -> bool {
        let began = Instant::now();
        let held = runtime().block_on(AssertUnwindSafe((self.work)(at)).catch_unwind());
        let (tried, word, figure) = match held {
            Ok(held) => (held.tried, "yes", held.figure),
            Err(why) => (self.name.to_owned(), "NO", said(&*why)),
        };
        let (name, took) = (format!("{:?}", at.kind), began.elapsed().as_secs_f64());
        println!("{:52}  {name:8}  {tried:28}  {word:4}  {figure}  [{took:.1} s]", self.fault);
        word == "yes"
    }
}

/// The words of a panic.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").replace('\n', " ")
}
