//! The composition root: the only place that knows everything. A configuration and a bound listener become a running
//! service.

mod engine;
mod sessions;
mod retention;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::middleware::from_fn;
use actix_web::{HttpServer, web};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinHandle;
use tracing_actix_web::TracingLogger;
use url::Url;

use crate::api::{self, People, Stations, headers};
use crate::auth::supabase::Supabase;
use crate::channel::phones::Phones;
use crate::config::{Config, OnboardingVerify};
use crate::graph::client::GraphClient;
use crate::media::Media;
use crate::news::Newsroom;
use crate::notify::Notifier;
use crate::onboarding::Onboarding;
use crate::responder::Responders;
use crate::routing::Routing;
use crate::runtime::{self, Clock, Shutdown};
use crate::secret::Ring;
use crate::store::{Location, MigrateError, SingleProcess, Store, StoreError, migrate_up};
use crate::webhook::{self, Door};
use crate::{alerts, config, dashboard, telemetry};
use engine::Engine;

/// How long a stop may take before what is still under way is left to the database.
const DRAIN: Duration = Duration::from_secs(12);

/// What this process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Takes webhooks in, serves the API, and works.
    All,
    /// Takes webhooks in and serves the API only.
    Web,
    /// Works only; still answers `/health`, `/ready` and `/metrics`.
    Worker,
}

/// Mounts pages on a server; called once for each of its threads.
pub type Pages = Arc<dyn Fn(&mut web::ServiceConfig) + Send + Sync>;

/// Choices of a start that are not settings.
#[derive(Clone)]
pub struct Options {
    /// Whether the schema is brought up to date first.
    pub migrate: bool,
    /// What this process does.
    pub role: Role,
    /// The time.
    pub clock: Clock,
    /// More pages, from those who sit above: the sandbox's phone in `demo`.
    pub more: Option<Pages>,
    /// The sandbox's virtual phones; some of its own unless given.
    pub phones: Phones,
    /// Where devices of our own find WhatsApp, and what they call themselves there.
    #[cfg(feature = "native")]
    pub native: switchboard_native::Settings,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            migrate: true,
            role: Role::All,
            clock: Clock::system(),
            more: None,
            phones: Phones::default(),
            #[cfg(feature = "native")]
            native: switchboard_native::Settings { name: "Switchboard".to_owned(), ..Default::default() },
        }
    }
}

/// Why a start failed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting that was not understood.
    #[error("{0}")]
    Setting(String),
    /// The keys that seal secrets.
    #[error("SWITCHBOARD_KEYS: {0}")]
    Keys(#[from] crate::secret::SecretError),
    /// The schema.
    #[error("the database cannot be prepared: {0}")]
    Migrate(#[from] MigrateError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The port, or a socket.
    #[error("cannot listen: {0}")]
    Listen(#[from] std::io::Error),
    /// The client of outgoing calls.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// The metrics recorder.
    #[error(transparent)]
    Telemetry(#[from] telemetry::TelemetryError),
}

/// A service that runs.
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The database, for tests and for `demo`.
    pub store: Store,
    /// Number → accounts.
    pub routing: Routing,
    /// What seals secrets.
    pub ring: Ring,
    /// Where instances tell each other what changed.
    pub news: Newsroom,
    /// Where the first person is made, as long as there is nobody.
    pub setup_link: Option<String>,
    engine: Engine,
    shutdown: Shutdown,
    server: actix_web::dev::ServerHandle,
    serving: JoinHandle<std::io::Result<()>>,
    background: Vec<JoinHandle<()>>,
    /// The stations; none in the role of a web server.
    working: Option<JoinHandle<()>>,
    _single: Option<SingleProcess>,
}

/// Starts everything on `listener`.
pub async fn start(config: &Config, listener: TcpListener, options: Options) -> Result<Running, StartError> {
    use secrecy::ExposeSecret;
    let location =
        Location::parse(config.storage.database_url.expose_secret()).map_err(StartError::Setting)?;
    let single = location.claim()?;
    if options.migrate {
        migrate_up(&location).await?;
    }
    let shutdown = Shutdown::new();
    let metrics = telemetry::metrics()?;
    let store = Store::open(&location).await?;
    store.ensure_default_tenant(options.clock.now_ms()).await?;
    let ring = config.ring()?;
    store.load_listeners().await?;
    let news = Newsroom::open(store.clone(), shutdown.drain_token());
    let routing = Routing::new(store.clone(), ring.clone(), news.clone());
    let graph = GraphClient::new(
        url("GRAPH_API_BASE_URL", &config.meta.graph_api_base_url)?,
        &config.meta.graph_api_version,
        runtime::http_client(Duration::from_secs(30)).build()?,
    );
    let base = config.responder.response_api_base_url.as_deref();
    let responders = Responders::new(
        base.map(|text| url("RESPONSE_API_BASE_URL", text)).transpose()?,
        config.responder.response_api_path.clone(),
        config.allow_private_responders(),
    )?;
    let door = Door::new(
        store.clone(),
        routing.clone(),
        news.clone(),
        options.clock.clone(),
        config.meta.facebook_app_secret.all().to_vec(),
        config.meta.whatsapp_verify_token.clone(),
        config.meta.allow_unsigned_webhooks,
    );
    let stations = Stations::default();
    let sessions = sessions::open(config, &store, &ring, &routing, &news, &options)?;
    let waha = web::Data::new(sessions::door(config, &sessions, &door));
    let onboarding = Onboarding {
        store: store.clone(),
        ring: ring.clone(),
        routing: routing.clone(),
        news: news.clone(),
        graph: graph.clone(),
        clock: options.clock.clone(),
        webhook_url: Some(format!("{}/webhook", config.public_url())),
        verify: config.meta.onboarding_verify == OnboardingVerify::Graph,
        app: config.meta.facebook_app_id.clone().zip(config.meta.facebook_app_secret.current().cloned()),
    };
    let api = api::Parts {
        store: store.clone(),
        ring: ring.clone(),
        routing: routing.clone(),
        news: news.clone(),
        live: api::Live::open(store.clone(), &news, shutdown.drain_token()),
        stations: stations.clone(),
        onboarding: onboarding.clone(),
        sessions: sessions.clone(),
        public_url: config.public_url(),
        client_id: config.sessions.client_id.clone(),
        session_path: config.sessions.session_path.clone(),
        clock: options.clock.clone(),
        people: People::new(config.public_url(), config.is_production(), config.server.trusted_proxy.clone()),
        supabase: (config.supabase.supabase_url.as_deref())
            .map(|url| Supabase::new(url, config.supabase.supabase_jwt_secret.clone(), options.clock.clone()))
            .transpose()?,
        responders: responders.clone(),
        admin_key: config.storage.switchboard_admin_api_key.clone(),
        production: config.is_production(),
        allow_private_responders: config.allow_private_responders(),
        metrics: metrics.clone(),
        metrics_token: config.operations.metrics_token.clone(),
        draining: shutdown.drain_token(),
        started_at: options.clock.now_ms(),
    };
    let notifier = Notifier::new(
        store.clone(),
        ring.clone(),
        news.clone(),
        options.clock.clone(),
        config.allow_private_responders(),
    )?;
    let alarm = alerts::Alarm {
        store: store.clone(),
        clock: options.clock.clone(),
        responders: responders.clone(),
        address: config.operations.alert_webhook_url.clone(),
    };
    let engine = Engine::new(engine::Parts {
        store: store.clone(),
        routing: routing.clone(),
        responders,
        media: Media::new(
            store.clone(),
            routing.clone(),
            graph.clone(),
            options.clock.clone(),
            ring.clone(),
            config.public_url(),
        ),
        graph,
        news: news.clone(),
        clock: options.clock.clone(),
        door: door.clone(),
        stations,
        notifier,
        sessions,
    });

    let setup_link = api::setup::link(&store, &ring, &config.public_url()).await?;
    let addr = listener.local_addr()?;
    let role = options.role;
    let more = options.more.clone();
    let https = config.is_production() && config.public_url().starts_with("https://");
    let (door, api) = (web::Data::new(door), web::Data::new(api));
    let server = HttpServer::new(move || {
        let more = more.clone();
        let mut app = actix_web::App::new()
            .wrap(TracingLogger::<telemetry::RequestSpan>::new())
            .app_data(door.clone())
            .app_data(api.clone())
            .app_data(waha.clone());
        if role != Role::Worker {
            app = app.configure(webhook::configure).configure(webhook::waha::configure);
            app = app.configure(dashboard::configure);
            if let Some(more) = more {
                app = app.configure(move |config| more(config));
            }
        }
        app.configure(api::configure).wrap(from_fn(move |request, next| headers::safe(https, request, next)))
    })
    .keep_alive(Duration::from_secs(75))
    .shutdown_timeout(DRAIN.as_secs())
    .disable_signals()
    .listen(listener)?
    .run();
    let handle = server.handle();
    let serving = tokio::spawn(server);

    let mut background = vec![
        tokio::spawn(engine::hear(routing.clone(), store.clone(), news.hear())),
        tokio::spawn(engine::tidy(store.clone(), options.clock.clone(), metrics.clone())),
        tokio::spawn(engine::activate(onboarding)),
        tokio::spawn(alarm.watch()),
        tokio::spawn(retention::run(store.clone(), options.clock.clone(), config.storage.retention_days)),
    ];
    if let Some(port) = config.operations.metrics_port {
        background.push(metrics_listener((config.server.host, port), metrics)?);
    }
    let working = (role != Role::Web).then(|| tokio::spawn(engine.clone().run(shutdown.clone())));
    Ok(Running {
        addr,
        store,
        routing,
        ring,
        news,
        setup_link,
        engine,
        shutdown,
        server: handle,
        serving,
        background,
        working,
        _single: single,
    })
}

/// Metrics on a port of their own, for hosts that scrape without a token: it is not reachable from outside there.
fn metrics_listener(address: (IpAddr, u16), metrics: PrometheusHandle) -> Result<JoinHandle<()>, StartError> {
    let server = HttpServer::new(move || {
        let metrics = metrics.clone();
        let render = move || std::future::ready(metrics.render());
        actix_web::App::new().route("/metrics", web::get().to(render))
    });
    let server = server.workers(1).disable_signals().bind(address)?.run();
    Ok(tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the metrics listener stopped");
        }
    }))
}

fn url(name: &str, text: &str) -> Result<Url, StartError> {
    Url::parse(text).map_err(|e| StartError::Setting(format!("{name}: {e}")))
}

impl Running {
    /// Its address for callers on this machine.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Waits until nothing is on its way any more: inbox, conversations and outbox are empty. False: not in time.
    pub async fn idle(&self, within: Duration) -> bool {
        let end = Instant::now() + within;
        let mut quiet = 0;
        while Instant::now() < end {
            quiet = if self.engine.is_idle() { quiet + 1 } else { 0 };
            if quiet == 3 {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    /// Runs until a signal says otherwise; then drains.
    pub async fn until_stopped(self) -> Result<(), std::io::Error> {
        let signals = self.shutdown.on_signals()?;
        tokio::spawn(signals);
        self.shutdown.draining().await;
        let killed = self.shutdown.clone();
        tokio::select! {
            () = self.stop() => {}
            () = killed.killed() => {}
        }
        Ok(())
    }

    /// Takes nothing new, finishes what is in hand within its time, leaves the rest to the database.
    pub async fn stop(self) {
        let end = Instant::now() + DRAIN;
        self.shutdown.drain();
        self.server.stop(true).await;
        // To the very end: the last thing is to let others have what was owned here.
        if let Some(working) = self.working {
            let _ = tokio::time::timeout(end.saturating_duration_since(Instant::now()), working).await;
        }
        for task in &self.background {
            task.abort();
        }
        let _ = self.serving.await;
        self.store.close().await;
    }
}

/// The settings, from the process's variables and `.env`.
pub fn settings() -> Result<(Config, config::Variables), config::ConfigError> {
    let variables = config::process_variables()?;
    Ok((Config::load(&variables)?, variables))
}
