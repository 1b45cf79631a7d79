//! The line to a database. Cut, it refuses connections, as when the server is down; silent, it takes everything and
//! gives nothing, as when packets are dropped; slow, it keeps each answer back; and it breaks at a word.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use url::Url;

/// How PostgreSQL ends an answer when no transaction is open: what was asked is committed.
const DONE: &[u8] = b"Z\0\0\0\x05I";

/// A TCP line through this process.
pub struct Line {
    /// The database's URL at this end.
    pub url: String,
    port: u16,
    server: String,
    up: Mutex<Option<AbortHandle>>,
    state: Arc<State>,
}

struct State {
    flows: watch::Sender<bool>,
    delay: Mutex<Duration>,
    trap: Mutex<Option<Trap>>,
}

/// When a connection is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Before the word arrives.
    Before,
    /// When all of it is committed, before that is told.
    Committed,
}

struct Trap {
    word: Vec<u8>,
    /// How often it may pass before.
    skip: usize,
    when: Break,
}

impl Line {
    /// A line to the server of this PostgreSQL URL.
    pub async fn to(url: &str) -> Self {
        let mut url: Url = url.parse().unwrap();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(port)).unwrap();
        let state =
            State { flows: watch::Sender::new(true), delay: Mutex::default(), trap: Mutex::default() };
        let line = Self { url: url.into(), port, server, up: Mutex::default(), state: Arc::new(state) };
        line.serve(listener);
        line
    }

    /// Closes every connection and refuses new ones.
    pub async fn cut(&self) {
        let up = self.up.lock().unwrap().take();
        if let Some(task) = up {
            task.abort();
            while !task.is_finished() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Takes connections again.
    pub async fn mend(&self) {
        self.serve(TcpListener::bind(("127.0.0.1", self.port)).await.unwrap());
    }

    /// From now on nothing arrives on either side, until [`Self::speak`].
    pub fn hush(&self) {
        self.state.flows.send_replace(false);
    }

    /// What was held back arrives.
    pub fn speak(&self) {
        self.state.flows.send_replace(true);
    }

    /// From now on each answer takes this much longer.
    pub fn slow(&self, delay: Duration) {
        *self.state.delay.lock().unwrap() = delay;
    }

    /// Resets the connection over which `word` travels, after it passed `skip` times.
    pub fn break_at(&self, word: &str, skip: usize, when: Break) {
        *self.state.trap.lock().unwrap() = Some(Trap { word: word.into(), skip, when });
    }

    /// Whether the connection was reset; there is no trap any more.
    pub fn broke(&self) -> bool {
        self.state.trap.lock().unwrap().take().is_none()
    }

    fn serve(&self, listener: TcpListener) {
        let (server, state) = (self.server.clone(), self.state.clone());
        let task = tokio::spawn(async move {
            // Ends with this task, connections and all.
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                connections.spawn(carry(near, server.clone(), state.clone()));
            }
        });
        *self.up.lock().unwrap() = Some(task.abort_handle());
    }
}

impl State {
    /// Whether the word is in this piece, and its turn has come.
    fn springs(&self, piece: &[u8]) -> Option<Break> {
        let mut trap = self.trap.lock().unwrap();
        let found = trap.as_mut().filter(|t| piece.windows(t.word.len()).any(|part| part == t.word))?;
        if found.skip > 0 {
            found.skip -= 1;
            return None;
        }
        trap.take().map(|trap| trap.when)
    }
}

async fn carry(mut near: TcpStream, server: String, state: Arc<State>) -> io::Result<()> {
    let mut far = TcpStream::connect(server).await?;
    let struck = AtomicBool::new(false);
    let (from_near, to_near) = near.split();
    let (from_far, to_far) = far.split();
    let asked = |piece: &[u8]| match state.springs(piece) {
        Some(Break::Before) => false,
        Some(Break::Committed) => {
            struck.store(true, Ordering::Relaxed);
            true
        }
        None => true,
    };
    let told = |piece: &[u8]| !(struck.load(Ordering::Relaxed) && piece.ends_with(DONE));
    let ended = tokio::try_join!(
        pass(from_near, to_far, &state, false, asked),
        pass(from_far, to_near, &state, true, told)
    );
    if ended.is_err() {
        // A reset, not an orderly end.
        near.set_zero_linger()?;
    }
    ended.map(drop)
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: &State,
    slowly: bool,
    may: impl Fn(&[u8]) -> bool,
) -> io::Result<()> {
    let mut flows = state.flows.subscribe();
    let mut piece = vec![0; 16_384];
    loop {
        let length = from.read(&mut piece).await?;
        if flows.wait_for(|flows| *flows).await.is_err() || length == 0 {
            return to.shutdown().await;
        }
        if !may(&piece[..length]) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let delay = *state.delay.lock().unwrap();
        if slowly && !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        to.write_all(&piece[..length]).await?;
    }
}
