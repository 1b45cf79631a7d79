//! The line to a database, which can be cut and mended: then connections are refused, as when its server is down.

use std::sync::Mutex;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use url::Url;

/// A TCP line through this process.
pub struct Line {
    /// The database's URL at this end.
    pub url: String,
    port: u16,
    server: String,
    up: Mutex<Option<AbortHandle>>,
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
        let line = Self { url: url.into(), port, server, up: Mutex::default() };
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

    fn serve(&self, listener: TcpListener) {
        let server = self.server.clone();
        let task = tokio::spawn(async move {
            // Ends with this task, connections and all.
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let server = server.clone();
                connections.spawn(async move {
                    let mut far = TcpStream::connect(server).await?;
                    tokio::io::copy_bidirectional(&mut near, &mut far).await
                });
            }
        });
        *self.up.lock().unwrap() = Some(task.abort_handle());
    }
}
