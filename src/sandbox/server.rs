//! One HTTP server of the sandbox: its own thread, a port of its own, and the power to hang up.

use std::any::Any;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::time::Duration;

use actix_web::dev::{Extensions, ServerHandle};
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpRequest, HttpServer, rt, web};

use super::lock;

type Configure = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// A running server on loopback. Works under any runtime, since it brings its own; dropping it stops it.
pub(super) struct StandInServer {
    addr: SocketAddr,
    configure: Configure,
    sockets: Sockets,
    running: Mutex<Option<ServerHandle>>,
}

/// A second hold on a connection's socket, so that the line can be cut.
struct Socket(TcpStream);

/// The connections that are open.
type Sockets = Arc<Mutex<Vec<Weak<Socket>>>>;

impl StandInServer {
    /// Listens on a free port of 127.0.0.1.
    pub(super) fn start(configure: impl Fn(&mut ServiceConfig) + Send + Sync + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let addr = listener.local_addr()?;
        let configure: Configure = Arc::new(configure);
        let sockets = Sockets::default();
        let handle = run(listener, configure.clone(), sockets.clone())?;
        Ok(Self { addr, configure, sockets, running: Mutex::new(Some(handle)) })
    }

    /// `http://127.0.0.1:<port>`.
    pub(super) fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Closes the port and every connection: from now on connections are refused.
    pub(super) async fn stop(&self) {
        let handle = lock(&self.running).take();
        if let Some(handle) = handle {
            handle.stop(false).await;
            // Workers end in their own time; nobody may be served meanwhile.
            for socket in lock(&self.sockets).drain(..).filter_map(|socket| socket.upgrade()) {
                let _ = socket.0.shutdown(Shutdown::Both);
            }
            // So that callers have noticed, and their next request opens a connection instead of losing one.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Listens again on the same port after [`Self::stop`]; nothing happens when it is running.
    pub(super) fn resume(&self) -> io::Result<()> {
        let mut running = lock(&self.running);
        if running.is_none() {
            let listener = TcpListener::bind(self.addr)?;
            *running = Some(run(listener, self.configure.clone(), self.sockets.clone())?);
        }
        Ok(())
    }
}

impl Drop for StandInServer {
    fn drop(&mut self) {
        if let Some(handle) = lock(&self.running).take() {
            // The command is on its way as soon as `stop` returns; there is nobody left to wait for it.
            drop(handle.stop(false));
        }
    }
}

fn run(listener: TcpListener, configure: Configure, sockets: Sockets) -> io::Result<ServerHandle> {
    let (started, handle) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("sandbox".into()).spawn(move || {
        rt::System::new().block_on(async move {
            let server = HttpServer::new(move || {
                let configure = configure.clone();
                App::new()
                    .app_data(web::PayloadConfig::new(101 << 20))
                    .configure(move |config| configure(config))
            })
            .workers(1)
            // Longer than any client here keeps a connection: none is closed just when it is used again.
            .keep_alive(Duration::from_secs(75))
            .disable_signals()
            .shutdown_timeout(0)
            .on_connect(move |io, data| remember(&sockets, io, data))
            .listen(listener)
            .map(HttpServer::run);
            match server {
                Ok(server) => {
                    let _ = started.send(Ok(server.handle()));
                    let _ = server.await;
                }
                Err(error) => drop(started.send(Err(error))),
            }
        });
    })?;
    handle.recv_timeout(Duration::from_secs(10)).map_err(io::Error::other)?
}

fn remember(sockets: &Mutex<Vec<Weak<Socket>>>, io: &dyn Any, data: &mut Extensions) {
    if let Some(stream) = io.downcast_ref::<rt::net::TcpStream>()
        && let Ok(second) = stream.as_fd().try_clone_to_owned()
    {
        let socket = Arc::new(Socket(second.into()));
        let mut sockets = lock(sockets);
        sockets.retain(|socket| socket.strong_count() > 0);
        sockets.push(Arc::downgrade(&socket));
        data.insert(socket);
    }
}

/// Cuts the connection of this request: whatever is answered afterwards never arrives.
pub(super) fn hang_up(request: &HttpRequest) {
    if let Some(socket) = request.conn_data::<Arc<Socket>>() {
        let _ = socket.0.shutdown(Shutdown::Both);
    }
}
