//! What the outside world gives a program: time, outgoing HTTP and the signal to stop.

use std::{
    future::Future,
    sync::{
        Arc, Once,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

/// Where "now" comes from, and how long a wait between two tries is. Cheap to clone; clones of a manual clock share
/// their time.
#[derive(Debug, Clone)]
pub struct Clock {
    source: Source,
    pace: f64,
}

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's own time.
    pub fn system() -> Self {
        Self { source: Source::System, pace: 1.0 }
    }

    /// A clock that stands at `now_ms` (Unix milliseconds) until told otherwise: tests own their time.
    pub fn manual(now_ms: i64) -> Self {
        Self { source: Source::Manual(Arc::new(AtomicI64::new(now_ms))), pace: 1.0 }
    }

    /// Waits between tries last `pace` times as long as they would: tests need not wait for minutes.
    pub fn with_pace(self, pace: f64) -> Self {
        Self { pace: pace.clamp(0.0, 1.0), ..self }
    }

    /// How long to wait where the schedule says `wait`.
    pub fn pause(&self, wait: Duration) -> Duration {
        wait.mul_f64(self.pace)
    }

    /// Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        match &self.source {
            Source::System => system_now_ms(),
            Source::Manual(now) => now.load(Ordering::SeqCst),
        }
    }

    /// Moves a manual clock by `by_ms`, backwards when negative. The machine's time cannot be moved: no effect.
    pub fn advance(&self, by_ms: i64) {
        if let Source::Manual(now) = &self.source {
            now.fetch_add(by_ms, Ordering::SeqCst);
        }
    }
}

/// Unix milliseconds as people and other programs read them: `2026-01-02T03:04:05.678Z`.
pub fn rfc3339(ms: i64) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    at.ok().and_then(|at| at.format(&time::format_description::well_known::Rfc3339).ok()).unwrap_or_default()
}

/// Reads a day (its beginning in UTC) or a time in RFC 3339 as Unix milliseconds; the error says what is expected.
pub fn instant(text: &str) -> Result<i64, String> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let at = time::OffsetDateTime::parse(&whole, &time::format_description::well_known::Rfc3339);
    let at = at.map_err(|_| "expected a day such as 2026-01-31, or 2026-01-31T12:00:00Z".to_owned())?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).map_err(|e| e.to_string())
}

#[allow(clippy::disallowed_methods)] // The one place where time enters.
fn system_now_ms() -> i64 {
    match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(_) => 0, // A machine whose clock stands before 1970.
    }
}

/// Makes *ring* the process's TLS provider. Any number of calls; without one the first TLS connection panics.
pub fn install_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // `Err` means that somebody else installed one already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// A client for one kind of call, to be built once and kept: connect within 3 s, the whole call within `total`.
///
/// Redirects are off, because a redirect would carry a token to an address nobody checked; proxies are off,
/// because they would resolve names past the caller's guard. The caller may add a resolver before `build()`.
pub fn http_client(total: Duration) -> reqwest::ClientBuilder {
    install_tls_provider();
    reqwest::Client::builder()
        .user_agent(concat!("switchboard/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(3).min(total))
        .timeout(total)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        // Below the 60 s after which common load balancers silently drop an idle connection.
        .pool_idle_timeout(Duration::from_secs(50))
        // As many as may be talking at once: whatever is over this is closed after each call and opened for the next.
        .pool_max_idle_per_host(1024)
}

/// How a program ends: first everybody drains (takes no new work, finishes what is in hand), then all stop.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    kill: CancellationToken,
}

impl Shutdown {
    /// Nobody has asked to stop yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everybody to drain.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Stops at once, drained or not.
    pub fn kill(&self) {
        self.drain.cancel();
        self.kill.cancel();
    }

    /// Whether draining has begun.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Resolves when draining begins.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Resolves when there is no more time to drain.
    pub async fn killed(&self) {
        self.kill.cancelled().await;
    }

    /// Ends with the draining token, for libraries that take one.
    pub fn drain_token(&self) -> CancellationToken {
        self.drain.clone()
    }

    /// Listens for SIGTERM and Ctrl-C from the moment of the call: the first drains, the second kills.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn on_signals(&self) -> std::io::Result<impl Future<Output = ()> + use<>> {
        let mut signals = Signals::new()?;
        let shutdown = self.clone();
        Ok(async move {
            signals.next().await;
            tracing::info!("signal received: draining; a second one stops at once");
            shutdown.drain();
            signals.next().await;
            tracing::warn!("second signal: stopping now");
            shutdown.kill();
        })
    }
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        // An error means that Ctrl-C cannot be heard: then never resolve, rather than stop unasked.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand_and_for_all_its_clones() {
        let clock = Clock::manual(1_000);
        let clone = clock.clone();
        clock.advance(500);
        assert_eq!(clone.now_ms(), 1_500);
        clone.advance(-2_000);
        assert_eq!(clock.now_ms(), -500);
        assert_eq!(clock.pause(Duration::from_secs(1)), Duration::from_secs(1));
        assert_eq!(clock.with_pace(0.25).pause(Duration::from_secs(1)), Duration::from_millis(250));
        // After 2020 and before 2200: the unit is milliseconds.
        let system = Clock::system();
        system.advance(1_000_000_000_000);
        assert!((1_577_836_800_000..7_258_118_400_000).contains(&system.now_ms()));
    }

    #[tokio::test]
    async fn the_first_signal_drains_and_the_second_kills() {
        let shutdown = Shutdown::new();
        let task = tokio::spawn(shutdown.on_signals().unwrap());
        assert!(!shutdown.is_draining());
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM).unwrap();
        shutdown.draining().await;
        let waited = tokio::time::timeout(Duration::from_millis(50), shutdown.killed()).await;
        assert!(waited.is_err(), "one signal must leave time to drain");
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGINT).unwrap();
        shutdown.killed().await;
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_gives_up_in_time_and_follows_nobody() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let location = format!("HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n");
        tokio::spawn(async move {
            let (mut first, _) = listener.accept().await.unwrap();
            let _ = first.read(&mut [0; 1024]).await;
            first.write_all(location.as_bytes()).await.unwrap();
            let _silent = listener.accept().await;
            drop(first);
            std::future::pending::<()>().await;
        });
        let client = http_client(Duration::from_millis(300)).pool_max_idle_per_host(0).build().unwrap();
        assert_eq!(client.get(&url).send().await.unwrap().status(), 302);
        assert!(client.get(&url).send().await.unwrap_err().is_timeout());
    }
}
