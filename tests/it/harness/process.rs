//! An instance as a process of its own, for tests that kill it.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use switchboard::sandbox::webhook::Sender;

use super::{APP_SECRET, World};

/// `switchboard serve` in a process.
pub struct Process {
    pub port: u16,
    child: Option<Child>,
    variables: Vec<(String, String)>,
}

impl Process {
    /// A process that is not started yet, with a port of its own.
    pub fn new(world: &World) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { port, child: None, variables: world.variables().into_iter().collect() }
    }

    /// With another variable, or another value of one.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    pub fn start(&mut self) {
        let child = Command::new(env!("CARGO_BIN_EXE_switchboard"))
            .arg("serve")
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("PORT", self.port.to_string())
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Sends a signal and waits for nothing.
    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.id()).unwrap());
        nix::sys::signal::kill(id, signal).unwrap();
    }

    /// SIGTERM; how long it took to end, and whether it ended well.
    pub fn terminate(&mut self) -> (Duration, bool) {
        let started = Instant::now();
        self.signal(Signal::SIGTERM);
        let status = self.child.take().unwrap().wait().unwrap();
        (started.elapsed(), status.success())
    }

    /// Resident memory in megabytes, and open files.
    pub fn holds(&self) -> (f64, usize) {
        let place = format!("/proc/{}", self.id());
        let status = std::fs::read_to_string(format!("{place}/status")).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = resident.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        let files = std::fs::read_dir(format!("{place}/fd")).map_or(0, Iterator::count);
        (kilobytes.unwrap_or(0.0) / 1024.0, files)
    }

    pub fn meta(&self) -> Sender {
        Sender::new(format!("http://127.0.0.1:{}/webhook", self.port), APP_SECRET).unwrap()
    }

    /// Waits until it answers.
    pub async fn ready(&self) {
        let end = Instant::now() + super::SOON;
        while self.meta().verify("the-shared-verify-token", "1").await.is_err() {
            assert!(Instant::now() < end, "the process does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command with the world's variables; whether it ended well, and what it said.
pub async fn run(world: &World, more: &[(&str, &str)], arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.args(arguments).env_clear().envs(world.variables()).envs(more.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.success(), said)
}
