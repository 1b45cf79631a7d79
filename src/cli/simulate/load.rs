//! Many messages at once, and a table of how long the answers took.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use url::{Host, Url};

use super::http1::Connection;
use super::{Done, Error, Target};
use crate::graph::signature;
use crate::sandbox::webhook::{self, Change, Incoming, Sender};

/// No more than this in one go.
const MOST: usize = 1_000_000;
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(super) struct Load {
    #[command(flatten)]
    target: Target,
    /// The business numbers written to, in turn (may be repeated).
    #[arg(long, default_value = "123456789")]
    phone_number_id: Vec<String>,
    /// The first customer's phone; the others follow.
    #[arg(long, default_value_t = 15_550_000_000)]
    from: u64,
    /// What they write; `{n}` becomes the message's number, from 0.
    #[arg(long, default_value = "Message {n}")]
    text: String,
    /// How many messages.
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// How many customers write, in turn.
    #[arg(long, default_value_t = 100)]
    conversations: usize,
    /// Messages a second; 0: each connection sends the next as soon as the last is answered.
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// How many messages may wait for their answer at once.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Allow servers other than this machine.
    #[arg(long)]
    allow_remote: bool,
}

impl Load {
    pub(super) async fn run(self) -> Done {
        self.check().map_err(Error::Refused)?;
        // A thread and a runtime of its own: the other threads are left to whoever is measured.
        let (report, json) = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok::<_, Error>((runtime.block_on(self.press())?, self.target.json))
        })
        .await
        .map_err(std::io::Error::other)??;
        let table = if json { report.json().to_string() } else { report.table() };
        writeln!(std::io::stdout(), "{table}")?;
        Ok(report.ok == report.count)
    }

    fn check(&self) -> Result<(), String> {
        if self.count == 0 || self.count > MOST {
            return Err(format!("--count must be 1 to {MOST}"));
        }
        if self.connections == 0 || self.connections > 10_000 {
            return Err("--connections must be 1 to 10000".to_owned());
        }
        if self.conversations == 0 {
            return Err("--conversations must be at least 1".to_owned());
        }
        if !(0.0..=1e6).contains(&self.rate) {
            return Err("--rate must be 0 to 1000000".to_owned());
        }
        let here = match self.target.url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if !here && !self.allow_remote {
            return Err("load is for this machine only; --allow-remote lifts that".to_owned());
        }
        Ok(())
    }

    async fn press(&self) -> Result<Report, Error> {
        let url = self.target.url();
        let lines = self.lines(&url).await?;
        let bodies: Vec<_> =
            self.phone_number_id.iter().map(|number| Template::new(number, &self.text)).collect();
        let run = uuid::Uuid::new_v4().as_fields().0;
        let tally = RefCell::new(Tally::default());
        let next = Cell::new(0);
        let began = Instant::now();
        let workers = lines.into_iter().map(async |mut line| {
            while let Some((n, mut since)) = self.take(&next, began) {
                if let Some(wait) = since.checked_duration_since(Instant::now()) {
                    tokio::time::sleep(wait).await;
                    // The timer's own lateness is not the server's.
                    since = Instant::now();
                }
                let customer = n % self.conversations;
                let wamid = format!("wamid.L{run:08X}{n:08}");
                let from = self.from + customer as u64;
                let body = bodies[customer % bodies.len()].fill(&wamid, from, n);
                let outcome = tokio::time::timeout(PATIENCE, line.post(self.target.secret(), body)).await;
                let outcome = outcome.unwrap_or(Err("no answer in time"));
                tally.borrow_mut().add(outcome, since.elapsed());
                if outcome == Err("not connected") {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
        let workers = join_all(workers);
        tokio::select! {
            _ = workers => {}
            () = self.show_progress(&tally, began) => {}
        }
        Ok(tally.into_inner().report(began.elapsed()))
    }

    /// The next message and when it is due; a message that found no free connection is late from then on.
    fn take(&self, next: &Cell<usize>, began: Instant) -> Option<(usize, Instant)> {
        let n = next.get();
        if n == self.count {
            return None;
        }
        next.set(n + 1);
        let due = match self.rate {
            0.0 => Instant::now(),
            rate => began + Duration::from_secs_f64(n as f64 / rate),
        };
        Some((n, due))
    }

    /// The connections; the server must be there before anything is counted.
    async fn lines(&self, url: &Url) -> Result<Vec<Line>, Error> {
        if url.scheme() != "http" {
            let sender = self.target.sender()?;
            return Ok((0..self.connections).map(|_| Line::Any(sender.clone())).collect());
        }
        let port = url.port_or_known_default().unwrap_or(80);
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let mut last = None;
        for address in tokio::net::lookup_host((host, port)).await? {
            match tokio::net::TcpStream::connect(address).await {
                Ok(_) => {
                    let authority = url.authority();
                    let line = || Line::Plain(Connection::new(address, authority, url.path()));
                    return Ok((0..self.connections).map(|_| line()).collect());
                }
                Err(error) => last = Some(error),
            }
        }
        let why = last.map_or_else(String::new, |error| format!(": {error}"));
        Err(Error::Refused(format!("nobody listens at {host} port {port}{why}")))
    }

    /// Writes a line that overwrites itself; never ends.
    async fn show_progress(&self, tally: &RefCell<Tally>, began: Instant) {
        let shown = std::io::stderr().is_terminal();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            if shown {
                let tally = tally.borrow();
                let done = tally.latencies.len();
                let rate = done as f64 / began.elapsed().as_secs_f64();
                let failed = done - tally.ok();
                eprint!("\r{done} of {} · {rate:.0}/s · {failed} failed   ", self.count);
            }
        }
    }
}

/// A way to the server: the quick one, or one that speaks TLS.
enum Line {
    Plain(Connection),
    Any(Sender),
}

impl Line {
    async fn post(&mut self, secret: &str, body: String) -> Result<u16, &'static str> {
        match self {
            Self::Plain(connection) => {
                let signature = signature::sign(secret.as_bytes(), body.as_bytes());
                connection.post(&signature, body.as_bytes()).await.map_err(|error| match error.kind() {
                    std::io::ErrorKind::ConnectionRefused => "not connected",
                    _ => "no answer",
                })
            }
            Self::Any(sender) => match sender.send(body).await {
                Ok(answer) => Ok(answer.status),
                Err(error) if error.is_connect() => Err("not connected"),
                Err(_) => Err("no answer"),
            },
        }
    }
}

/// A body whose changing parts are filled in by copying: the load tool must cost less than the server.
struct Template(Vec<(String, Hole)>);

#[derive(Clone, Copy)]
enum Hole {
    Wamid,
    From,
    Number,
    End,
}

impl Template {
    fn new(phone_number_id: &str, text: &str) -> Self {
        // Marks that JSON leaves alone and nobody types.
        let (from, number, wamid) = ("\u{E000}", "\u{E001}", "\u{E002}");
        let message = Incoming::text(from, &text.replace("{n}", number)).with_wamid(wamid).with_name("Load");
        let body = webhook::body(&[Change::new(phone_number_id).message(message)]);
        let mut pieces = Vec::new();
        let mut rest = body.as_str();
        while let Some((at, mark)) = rest.char_indices().find(|(_, c)| ('\u{E000}'..='\u{E002}').contains(c))
        {
            let hole = match mark {
                '\u{E000}' => Hole::From,
                '\u{E001}' => Hole::Number,
                _ => Hole::Wamid,
            };
            pieces.push((rest[..at].to_owned(), hole));
            rest = &rest[at + mark.len_utf8()..];
        }
        pieces.push((rest.to_owned(), Hole::End));
        Self(pieces)
    }

    fn fill(&self, wamid: &str, from: u64, n: usize) -> String {
        use std::fmt::Write;
        let mut body = String::with_capacity(1024);
        for (literal, hole) in &self.0 {
            body.push_str(literal);
            let _ = match hole {
                Hole::Wamid => body.write_str(wamid),
                Hole::From => write!(body, "{from}"),
                Hole::Number => write!(body, "{n}"),
                Hole::End => Ok(()),
            };
        }
        body
    }
}

#[derive(Default)]
struct Tally {
    /// Microseconds, of every answer and every failure.
    latencies: Vec<u32>,
    /// By HTTP status.
    statuses: BTreeMap<u16, usize>,
    /// By reason, where no answer came.
    failures: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn add(&mut self, outcome: Result<u16, &'static str>, took: Duration) {
        self.latencies.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        match outcome {
            Ok(status) => *self.statuses.entry(status).or_default() += 1,
            Err(reason) => *self.failures.entry(reason).or_default() += 1,
        }
    }

    fn ok(&self) -> usize {
        self.statuses.get(&200).copied().unwrap_or_default()
    }

    fn report(mut self, took: Duration) -> Report {
        self.latencies.sort_unstable();
        let count = self.latencies.len();
        // The smallest latency that at least this share of the messages stayed within.
        let percentile = |share: f64| {
            let rank = (count as f64 * share).ceil() as usize;
            self.latencies.get(rank.saturating_sub(1)).map_or(0.0, |&micros| f64::from(micros) / 1000.0)
        };
        let statuses = self.statuses.iter().filter(|(status, _)| **status != 200);
        let errors = statuses
            .map(|(status, n)| (status.to_string(), *n))
            .chain(self.failures.iter().map(|(reason, n)| ((*reason).to_owned(), *n)))
            .collect();
        Report {
            count,
            ok: self.ok(),
            errors,
            seconds: took.as_secs_f64(),
            latency_ms: [0.5, 0.9, 0.99, 1.0].map(percentile),
        }
    }
}

struct Report {
    count: usize,
    ok: usize,
    errors: BTreeMap<String, usize>,
    seconds: f64,
    /// p50, p90, p99, the slowest.
    latency_ms: [f64; 4],
}

impl Report {
    fn per_second(&self) -> f64 {
        self.count as f64 / self.seconds.max(1e-9)
    }

    fn json(&self) -> Value {
        let [p50, p90, p99, max] = self.latency_ms;
        json!({
            "count": self.count, "ok": self.ok, "errors": self.errors,
            "seconds": self.seconds, "rps": self.per_second(),
            "latencyMs": { "p50": p50, "p90": p90, "p99": p99, "max": max },
        })
    }

    fn table(&self) -> String {
        let [p50, p90, p99, max] = self.latency_ms;
        let mut table = format!(
            "messages  {}\nok        {}\nseconds   {:.2}\nper s     {:.0}\n\
             p50       {p50:.2} ms\np90       {p90:.2} ms\np99       {p99:.2} ms\nmax       {max:.2} ms",
            self.count,
            self.ok,
            self.seconds,
            self.per_second()
        );
        for (what, n) in &self.errors {
            table.push_str(&format!("\n{what:<9} {n}"));
        }
        if std::io::stderr().is_terminal() {
            table.insert(0, '\n');
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_percentiles_and_what_went_wrong() {
        let mut tally = Tally::default();
        for milliseconds in (1..=100).rev() {
            let outcome = match milliseconds {
                1..=90 => Ok(200),
                91..=97 => Ok(503),
                _ => Err("no answer"),
            };
            tally.add(outcome, Duration::from_millis(milliseconds));
        }
        let report = tally.report(Duration::from_secs(2)).json();
        assert_eq!(report["latencyMs"], json!({ "p50": 50.0, "p90": 90.0, "p99": 99.0, "max": 100.0 }));
        assert_eq!(report["errors"], json!({ "503": 7, "no answer": 3 }));
        assert_eq!(
            (&report["count"], &report["ok"], &report["rps"]),
            (&json!(100), &json!(90), &json!(50.0))
        );
    }
}
