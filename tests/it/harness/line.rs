//! The line to a database. Cut, it refuses connections, as when the server is down; silent, it takes everything and
//! gives nothing, as when packets are dropped.

use std::io;
use std::sync::Mutex;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use url::Url;

/// A TCP line through this process.
pub struct Line {
    /// The database's URL at this end.
    pub url: String,
    port: u16,
    server: String,
    up: Mutex<Option<AbortHandle>>,
    flows: watch::Sender<bool>,
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
        let line =
            Self { url: url.into(), port, server, up: Mutex::default(), flows: watch::Sender::new(true) };
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
        self.flows.send_replace(false);
    }

    /// What was held back arrives.
    pub fn speak(&self) {
        self.flows.send_replace(true);
    }

    fn serve(&self, listener: TcpListener) {
        let (server, flows) = (self.server.clone(), self.flows.subscribe());
        let task = tokio::spawn(async move {
            // Ends with this task, connections and all.
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let (server, flows) = (server.clone(), flows.clone());
                connections.spawn(async move {
                    let (from_near, to_near) = near.into_split();
                    let (from_far, to_far) = TcpStream::connect(server).await?.into_split();
                    tokio::try_join!(pass(from_near, to_far, flows.clone()), pass(from_far, to_near, flows))
                });
            }
        });
        *self.up.lock().unwrap() = Some(task.abort_handle());
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut flows: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut piece = vec![0; 16_384];
    loop {
        let length = from.read(&mut piece).await?;
        if flows.wait_for(|flows| *flows).await.is_err() || length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..length]).await?;
    }
}
