//! `switchboard serve`: the service, until a signal.

use std::net::TcpListener;

use super::{Failure, say};
use crate::app::{self, Options, Role};
use crate::config::{Config, Variables};
use crate::telemetry::{self, Format};

/// The service.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    #[command(flatten)]
    config: Config,
    /// Do not bring the schema up to date first (a release command does).
    #[arg(long)]
    no_migrate: bool,
    /// What this process does; several share the work on PostgreSQL.
    #[arg(long, value_enum, default_value = "all")]
    role: Role,
}

impl Serve {
    pub(super) async fn run(self, variables: &Variables) -> Result<(), Failure> {
        let config = self.config;
        config.check(variables)?;
        let format = if config.is_production() { Format::Json } else { Format::Text };
        let collector = config.operations.otel_exporter_otlp_endpoint.as_deref();
        telemetry::init(format, config.operations.rust_log.as_deref(), collector)?;
        let address = (config.server.host, config.server.port);
        let listener = TcpListener::bind(address)
            .map_err(|e| format!("cannot listen on {}:{}: {e} (HOST, PORT)", address.0, address.1))?;
        let options = Options { migrate: !self.no_migrate, role: self.role, ..Options::default() };
        let running = app::start(&config, listener, options).await?;
        tracing::info!(address = %running.addr, url = config.public_url(), role = ?self.role,
            database = running.store.location().describe(), "ready");
        if let Some(link) = &running.setup_link {
            // Not through the log, which may be kept and shipped elsewhere by level and shape.
            say(format!("Nobody may sign in yet. Make the first person here:\n  {link}"));
        }
        Ok(running.until_stopped().await?)
    }
}
