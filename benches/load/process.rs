//! Child processes, and what the operating system says of them.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use switchboard::cli::simulate::http1::Connection;
use switchboard::graph::signature;
use switchboard::sandbox::webhook;

use super::world::{Press, Pressed};
use super::{APP_SECRET, Failure, KEYS, number};

/// A server, ended with this.
pub struct Server {
    child: Child,
    /// Its address.
    pub url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// One of [`super::servers`], by its kind.
    pub fn other(kind: &str, database: &str, world: &str) -> Result<Self, Failure> {
        let mut child = ourselves(&["child", kind, database, world])?.spawn()?;
        let url =
            BufReader::new(child.stdout.take().ok_or("no output")?).lines().next().ok_or("it ended")??;
        Ok(Self { child, url })
    }

    /// The service itself, and how long it took from its start to the first webhook it stored.
    pub async fn ours(database: &str, world: &str, role: &str) -> Result<(Self, Duration), Failure> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let began = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_switchboard"))
            .args(["serve", "--role", role])
            .env_clear()
            .env("PORT", port.to_string())
            .env("DATABASE_URL", database)
            .env("FACEBOOK_APP_SECRET", APP_SECRET)
            .env("SWITCHBOARD_KEYS", KEYS)
            .env("GRAPH_API_BASE_URL", world)
            .env("RESPONSE_API_BASE_URL", world)
            .env("RUST_LOG", "warn")
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null())
            .spawn()?;
        let server = Self { child, url: format!("http://127.0.0.1:{port}") };
        // A signed status about a message nobody sent: stored, and no work afterwards.
        let status = webhook::Status::new("wamid.none", "read", "15550000001");
        let body = webhook::body(&[webhook::Change::new(&number(0)).status(status)]);
        let signature = signature::sign(APP_SECRET.as_bytes(), body.as_bytes());
        let mut line = Connection::new(([127, 0, 0, 1], port).into(), "localhost", "/webhook");
        while line.post(&signature, body.as_bytes()).await.ok() != Some(200) {
            if began.elapsed() > Duration::from_secs(20) {
                return Err("the service does not start".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok((server, began.elapsed()))
    }

    /// CPU seconds so far.
    pub fn cpu(&self) -> f64 {
        cpu(self.child.id())
    }

    /// Resident bytes now, and at most so far.
    pub fn resident(&self) -> (f64, f64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0.0) * 1024.0
        };
        (bytes("VmRSS:"), bytes("VmHWM:"))
    }
}

/// The world outside, see [`super::world`].
pub struct World {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// Where both stand-ins answer.
    pub url: String,
    runs: usize,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl World {
    pub fn start() -> Result<Self, Failure> {
        let mut child = ourselves(&["child", "world"])?.stdin(Stdio::piped()).spawn()?;
        let orders = child.stdin.take().ok_or("no input")?;
        let mut answers = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let url = answers.next().ok_or("it ended")??;
        Ok(Self { child, orders, answers, url, runs: 0 })
    }

    pub fn press(&mut self, order: &Press) -> Result<Pressed, Failure> {
        self.runs += 1;
        let order = Press { run: self.runs, ..order.clone() };
        writeln!(self.orders, "{}", serde_json::to_string(&order)?)?;
        Ok(serde_json::from_str(&self.answers.next().ok_or("the world ended")??)?)
    }
}

fn ourselves(arguments: &[&str]) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(command)
}

/// CPU seconds of a process and of its children that have ended: fields 14 to 17 of its `stat`, in ticks of 10 ms.
fn cpu(pid: u32) -> f64 {
    fields(pid).map_or(0.0, |fields| {
        fields[11..15].iter().filter_map(|f| f.parse::<f64>().ok()).sum::<f64>() / 100.0
    })
}

/// CPU seconds of a PostgreSQL server, by the process id of one of its backends.
pub fn postgres_cpu(backend: u32) -> f64 {
    let parent = |pid: u32| fields(pid).and_then(|fields| fields[1].parse::<u32>().ok());
    let Some(postmaster) = parent(backend) else { return 0.0 };
    let all = std::fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| {
        let name: PathBuf = entry.ok()?.file_name().into();
        name.to_str()?.parse::<u32>().ok()
    });
    cpu(postmaster) + all.filter(|pid| parent(*pid) == Some(postmaster)).map(cpu).sum::<f64>()
}

/// What follows the name in `/proc/<pid>/stat`; the name may hold anything.
fn fields(pid: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}
