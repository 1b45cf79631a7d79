//! Honest speed: the service beside servers that do less, in alternating runs on one machine, with the CPU time of
//! each process as the operating system counts it. docs/BENCHMARKS.md tells how to run it and what the rows mean.
//!
//! `cargo bench --bench load -- [--quick] [--json] [name…]`, where names pick measurements by their beginning.

#![allow(clippy::print_stdout)] // the report, and what child processes tell their parent

#[path = "../../tests/it/harness/postgres.rs"]
mod postgres;
mod process;
mod report;
mod servers;
mod world;

use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use process::{Server, World, postgres_cpu};
use report::{Report, median};
use sqlx::{Connection, PgConnection};
use switchboard::routing::{VERIFY_TOKEN, chatbot_key_place, sealed_place};
use switchboard::secret::Ring;
use switchboard::store::accounts::Account;
use switchboard::store::chatbots::Chatbot;
use switchboard::store::tenants::Audit;
use switchboard::store::{Location, Store, migrate_up};
use world::{Press, Pressed};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const APP_SECRET: &str = "the-benchmarks-app-secret";
const KEYS: &str = "a-benchmark-key-that-is-long-enough-to-be-one";
/// Business numbers, each with a chatbot of its own.
const NUMBERS: usize = 20;
/// Connections that press acknowledgements.
const CONNECTIONS: usize = 64;

fn number(n: usize) -> String {
    format!("{}", 100_000_000_000_000 + n)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["child", "world"] => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .and_then(|runtime| tokio::task::LocalSet::new().block_on(&runtime, world::run()))
                .map_err(Into::into)
        }
        ["child", kind, database, world] => {
            actix_web::rt::System::new().block_on(servers::run(kind, database, world))
        }
        _ => tokio::runtime::Runtime::new()
            .map_err(Into::into)
            .and_then(|runtime| runtime.block_on(bench(&words))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// How long and how often.
struct Effort {
    seconds: f64,
    warm: f64,
    rounds: usize,
}

async fn bench(words: &[&str]) -> Result<(), Failure> {
    postgres::DURABLE.store(true, Ordering::Relaxed);
    let quick = words.contains(&"--quick");
    let effort = match quick {
        true => Effort { seconds: 1.5, warm: 0.7, rounds: 1 },
        false => Effort { seconds: 2.5, warm: 1.0, rounds: 3 },
    };
    let chosen = |name: &str| {
        let mut names = words.iter().filter(|word| !word.starts_with("--")).peekable();
        names.peek().is_none() || names.any(|word| name.starts_with(word))
    };
    let mut report = Report::default();
    if chosen("acks") {
        acks(&effort, &mut report).await?;
    }
    if chosen("replies") {
        replies(&effort, &mut report).await?;
    }
    if chosen("flight") {
        in_flight(&effort, &mut report).await?;
    }
    if chosen("start") {
        start(&effort, &mut report).await?;
    }
    if words.contains(&"--json") {
        println!("{}", report.json())
    } else {
        println!("{}", report.table())
    }
    Ok(())
}

/// A database of one measurement, with its accounts.
enum Db {
    Sqlite(tempfile::TempDir),
    Postgres(postgres::Database, #[allow(dead_code)] PgConnection, u32),
}

impl Db {
    async fn sqlite() -> Result<Self, Failure> {
        // Beside the build, since a machine's /tmp may live in memory and make every commit free.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        Self::Sqlite(folder).prepared().await
    }

    async fn postgres() -> Result<Self, Failure> {
        let database = postgres::database().await.ok_or("these benchmarks need PostgreSQL's binaries")?;
        let mut connection = PgConnection::connect(&database.url).await?;
        let backend: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut connection).await?;
        Self::Postgres(database, connection, backend.unsigned_abs()).prepared().await
    }

    async fn of(kind: &str) -> Result<Self, Failure> {
        if kind == "PostgreSQL" { Self::postgres().await } else { Self::sqlite().await }
    }

    fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}/bench.db?mode=rwc", folder.path().display()),
            Self::Postgres(database, ..) => database.url.clone(),
        }
    }

    /// CPU seconds of the database's own processes.
    fn cpu(&self) -> f64 {
        match self {
            Self::Sqlite(_) => 0.0,
            Self::Postgres(_, _, backend) => postgres_cpu(*backend),
        }
    }

    async fn prepared(self) -> Result<Self, Failure> {
        let location = Location::parse(&self.url())?;
        migrate_up(&location).await?;
        let store = Store::open(&location).await?;
        store.ensure_default_tenant(0).await?;
        let ring = Ring::parse(&KEYS.to_owned().into())?;
        for n in 0..NUMBERS {
            let mut chatbot = Chatbot::new(&format!("bot-{n}"), "default", 0);
            (chatbot.coalesce_ms, chatbot.typing) = (0, false);
            chatbot.api_key = Some(ring.seal("a chatbot's key", &chatbot_key_place("default", &chatbot.id)));
            let mut account = Account {
                id: 0,
                tenant_id: "default".into(),
                transport: "cloud".into(),
                chatbot_id: chatbot.id.clone(),
                phone_number_id: number(n),
                business_account_id: format!("waba-{}", number(n)),
                display_phone_number: None,
                webhook_url: None,
                verify_token_hash: ring.keyed_hash(VERIFY_TOKEN, &chatbot.id),
                verify_token: String::new(),
                access_token: String::new(),
                app_secret: None,
                previous_app_secret: None,
                mode: "all".into(),
                status: "active".into(),
                status_reason: None,
                verified_at: None,
                checks: None,
                checked_at: None,
                created_at: 0,
                updated_at: 0,
                deleted_at: None,
            };
            account.verify_token = ring.seal(&chatbot.id, &sealed_place(&account, "verify_token"));
            account.access_token = ring.seal("an access token", &sealed_place(&account, "access_token"));
            let line = Audit {
                tenant: Some("default"),
                actor: "bench",
                action: "create",
                target: "",
                now: 0,
                ..Audit::default()
            };
            store.save_account(&account, Some(&chatbot), None, &line).await?;
        }
        store.close().await;
        Ok(self)
    }
}

/// One run: what came of it, and its cost.
struct Run {
    pressed: Pressed,
    /// Of the server, in microseconds for each message done.
    cpu: f64,
    /// Likewise, of the database's own processes.
    database_cpu: f64,
}

impl Run {
    fn per_second(&self) -> f64 {
        self.pressed.done as f64 / self.pressed.seconds
    }
}

/// Warms up, then measures.
fn measure(
    world: &mut World,
    servers: &[&Server],
    db: &Db,
    press: &Press,
    effort: &Effort,
) -> Result<Run, Failure> {
    world.press(&Press { seconds: effort.warm, rate: 0.0, ..press.clone() })?;
    let spent = || (servers.iter().map(|server| server.cpu()).sum::<f64>(), db.cpu());
    let before = spent();
    let pressed = world.press(press)?;
    let after = spent();
    let each = |seconds: f64| seconds * 1e6 / pressed.done.max(1) as f64;
    Ok(Run { cpu: each(after.0 - before.0), database_cpu: each(after.1 - before.1), pressed })
}

/// What all presses have in common.
fn press(effort: &Effort, servers: &[&Server]) -> Press {
    Press {
        urls: servers.iter().map(|server| server.url.clone()).collect(),
        seconds: effort.seconds,
        customers: CONNECTIONS,
        conversations: 16,
        in_a_row: 2,
        replies: 0,
        rate: 0.0,
        run: 0,
        size: 1_000,
        think_ms: 0,
    }
}

/// Durable acknowledgements, beside the same server without the database and one with a transaction a request; then
/// how long they take at half of what was reached.
async fn acks(effort: &Effort, report: &mut Report) -> Result<(), Failure> {
    const KINDS: [(&str, &str); 5] = [
        ("bare", ""),
        ("one-tx", "SQLite"),
        ("one-tx", "PostgreSQL"),
        ("ours", "SQLite"),
        ("ours", "PostgreSQL"),
    ];
    let mut runs: [Vec<Run>; 5] = Default::default();
    for _ in 0..effort.rounds {
        for (runs, (kind, database)) in runs.iter_mut().zip(KINDS) {
            let (db, mut world) = (Db::of(database).await?, World::start()?);
            let server = match kind {
                "ours" => Server::ours(&db.url(), &world.url, "web").await?.0,
                kind => Server::other(kind, &db.url(), &world.url)?,
            };
            runs.push(measure(&mut world, &[&server], &db, &press(effort, &[&server]), effort)?);
        }
    }
    let [bare, ..] = runs.each_ref().map(|runs| median(runs, Run::per_second));
    report.run("acks", "signature, split and route only (the limit)", &runs[0], "");
    for n in 1..5 {
        let (kind, database) = KINDS[n];
        let reached = median(&runs[n], Run::per_second);
        let what = if kind == "ours" { "every ack durable" } else { "one transaction a request" };
        report.run("acks", &format!("{what}, {database}"), &runs[n], "");
        if kind == "ours" {
            report.ratio(&format!("  of the limit, {database}"), reached / bare, "≥ 20 %", "45 %", 0.20);
            let naive = median(&runs[n - 2], Run::per_second);
            report.times(
                &format!("  of one transaction a request, {database}"),
                reached / naive,
                "≥ 5 ×",
                "10 ×",
                5.0,
            );
        }
    }
    for (n, database) in [(3, "SQLite"), (4, "PostgreSQL")] {
        let (db, mut world) = (Db::of(database).await?, World::start()?);
        let (server, _) = Server::ours(&db.url(), &world.url, "web").await?;
        let rate = median(&runs[n], Run::per_second) / 2.0;
        let run = measure(&mut world, &[&server], &db, &Press { rate, ..press(effort, &[&server]) }, effort)?;
        report.value(
            "half",
            &format!("p50 of acks at half load, {database}"),
            run.pressed.p50,
            "ms",
            "",
            "",
            None,
        );
        report.value(
            "half",
            &format!("p99 of acks at half load, {database}"),
            run.pressed.p99,
            "ms",
            "< 50",
            "15",
            Some(50.0),
        );
    }
    Ok(())
}

/// From the webhook to the reply, beside a server that stores nothing and only forwards; and two instances that
/// share one PostgreSQL.
async fn replies(effort: &Effort, report: &mut Report) -> Result<(), Failure> {
    const KINDS: [(&str, &str, usize); 4] =
        [("forward", "", 1), ("ours", "SQLite", 1), ("ours", "PostgreSQL", 1), ("ours", "PostgreSQL", 2)];
    let mut runs: [Vec<Run>; 4] = Default::default();
    for _ in 0..effort.rounds {
        for (runs, (kind, database, count)) in runs.iter_mut().zip(KINDS) {
            let (db, mut world) = (Db::of(database).await?, World::start()?);
            let mut servers = Vec::new();
            for _ in 0..count {
                servers.push(match kind {
                    "ours" => Server::ours(&db.url(), &world.url, "all").await?.0,
                    kind => Server::other(kind, &db.url(), &world.url)?,
                });
            }
            let servers: Vec<&Server> = servers.iter().collect();
            // 256 messages on their way: the forwarder holds each connection until the reply is out.
            let (customers, replies) = if kind == "forward" { (256, 1) } else { (128, 2) };
            let press = Press { customers, replies, conversations: 8, size: 0, ..press(effort, &servers) };
            runs.push(measure(&mut world, &servers, &db, &press, effort)?);
        }
    }
    let [forward, sqlite, postgres, two] = runs.each_ref().map(|runs| median(runs, Run::per_second));
    report.run("replies", "forwarded, nothing stored (the limit)", &runs[0], "");
    report.run("replies", "ours, SQLite", &runs[1], "< 300 µs");
    report.ratio("  of the limit, SQLite", sqlite / forward, "≥ 12 %", "45 %", 0.12);
    report.run("replies", "ours, PostgreSQL", &runs[2], "< 300 µs");
    report.ratio("  of the limit, PostgreSQL", postgres / forward, "≥ 8 %", "35 %", 0.08);
    report.run("replies", "ours, PostgreSQL, two instances", &runs[3], "");
    report.times("  of one instance, by throughput", two / postgres, "1.5 × given cores", "1.9 ×", 0.0);
    let [one, both] = [2, 3].map(|n: usize| median(&runs[n], |run| run.cpu + run.database_cpu));
    report.times("  of one instance, by CPU a message", 2.0 * one / both, "1.5 ×", "1.9 ×", 1.5);
    Ok(())
}

/// 2,000 conversations whose responder takes two seconds.
async fn in_flight(effort: &Effort, report: &mut Report) -> Result<(), Failure> {
    const COUNT: usize = 32 * CONNECTIONS;
    let (db, mut world) = (Db::sqlite().await?, World::start()?);
    let (server, _) = Server::ours(&db.url(), &world.url, "all").await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle = server.resident().0;
    // Over as many connections as Meta may have; each waits for the replies of its own conversations.
    let order = Press {
        replies: COUNT / CONNECTIONS,
        conversations: COUNT / CONNECTIONS,
        in_a_row: 1,
        size: 0,
        think_ms: 2_000,
        ..press(effort, &[&server])
    };
    let pressed = world.press(&Press { seconds: effort.seconds.max(2.0) * 2.0, ..order })?;
    let each = (server.resident().1 - idle) / COUNT as f64 / 1024.0;
    let name = "conversations in flight, responder 2 s";
    report.value("flight", name, COUNT as f64, "", "2,000", "10,000", None);
    report.value("flight", "  replies a second", pressed.done as f64 / pressed.seconds, "/s", "", "", None);
    report.value("flight", "  memory of each", each, "KB", "< 80", "30", Some(80.0));
    report.count("flight", &pressed);
    Ok(())
}

/// What it costs to be there, on a database that exists.
async fn start(effort: &Effort, report: &mut Report) -> Result<(), Failure> {
    for database in ["SQLite", "PostgreSQL"] {
        let (db, world) = (Db::of(database).await?, World::start()?);
        let (mut starts, mut idle) = (Vec::new(), Vec::new());
        for _ in 0..effort.rounds {
            let (server, took) = Server::ours(&db.url(), &world.url, "all").await?;
            starts.push(took.as_secs_f64() * 1e3);
            tokio::time::sleep(Duration::from_millis(700)).await;
            idle.push(server.resident().0 / 1e6);
        }
        let name = format!("from exec to the first durable ack, {database}");
        report.value("start", &name, median(&starts, |ms| *ms), "ms", "< 300", "100", Some(300.0));
        let name = format!("resident when idle, {database}");
        report.value("start", &name, median(&idle, |mb| *mb), "MB", "< 60", "30", Some(60.0));
    }
    Ok(())
}
