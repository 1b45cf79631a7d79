//! Every setting, from the environment: read, checked and explained in one place.
//!
//! [`Config`] is a clap group: a command flattens it and gets `--help` and flags for all of it. The values come
//! through [`environment`], not from clap's own look at the process, so that blanks count as unset, `APP_ENV`
//! has its alias, and tests need not touch the process.

mod environment;
mod proxy;
mod values;

use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

pub use environment::{Variables, apply, documented_names, known_names, process_variables};
pub use proxy::TrustedProxy;
pub use values::{AppSecrets, Environment, OnboardingVerify, SessionEngine};

use crate::secret::{Ring, SecretError};

/// Why the settings are refused. Never repeats a value: it may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A name that begins like ours and is none: most likely a slip of the pen.
    #[error("{name} is not a setting of Switchboard; did you mean {nearest}?")]
    Unknown {
        /// The name as it was given.
        name: String,
        /// The known name that looks most like it.
        nearest: String,
    },
    /// A value that cannot be meant.
    #[error("{name}: {expected}")]
    Invalid {
        /// The variable.
        name: String,
        /// What would have been right.
        expected: String,
    },
    /// `.env` is there and cannot be read.
    #[error(".env: {0}")]
    File(String),
}

impl ConfigError {
    fn invalid(name: &str, expected: impl ToString) -> Self {
        Self::Invalid { name: name.to_owned(), expected: expected.to_string() }
    }
}

/// All settings. `Debug` shows no secret.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where it runs and how it is reached.
    #[command(flatten)]
    pub server: Server,
    /// Where everything is kept, and under which keys.
    #[command(flatten)]
    pub storage: Storage,
    /// Meta's side.
    #[command(flatten)]
    pub meta: Meta,
    /// Who answers, unless a chatbot says otherwise.
    #[command(flatten)]
    pub responder: Responder,
    /// Numbers linked by QR code.
    #[command(flatten)]
    pub sessions: Sessions,
    /// Sign-in and storage shared with a Supabase project.
    #[command(flatten)]
    pub supabase: Supabase,
    /// Watching it run.
    #[command(flatten)]
    pub operations: Operations,
}

/// Where it runs and how it is reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub struct Server {
    /// Address to listen on; 0.0.0.0 in a container
    #[arg(long, env, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_parser = values::address)]
    pub host: IpAddr,
    /// Port to listen on; 0 takes any free one
    #[arg(long, env, default_value_t = 3000, value_parser = values::port)]
    pub port: u16,
    /// Address the world reaches it under, as https://…; found out on Fly.io and Render
    #[arg(long, env, value_parser = values::base_url)]
    pub public_url: Option<String>,
    /// Whose forwarded client address to believe: `fly`, or the proxies' addresses and networks
    #[arg(long, env, default_value = "", hide_default_value = true, value_parser = proxy::parse)]
    pub trusted_proxy: TrustedProxy,
    /// development or production (alias NODE_ENV)
    #[arg(long, env, default_value = "development", value_parser = values::environment)]
    pub app_env: Environment,
    /// Set by Fly.io.
    #[arg(long, env, hide = true)]
    pub fly_app_name: Option<String>,
    /// Set by Render.
    #[arg(long, env, hide = true, value_parser = values::base_url)]
    pub render_external_url: Option<String>,
}

/// Where everything is kept, and under which keys.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Storage")]
pub struct Storage {
    /// sqlite://path?mode=rwc or postgres://…
    #[arg(long, env, default_value = DEFAULT_DATABASE, hide_env_values = true, value_parser = values::database_url)]
    pub database_url: SecretString,
    /// Keys for secrets at rest, newest first: id:base64, or any secret of 32 characters and more
    #[arg(long, env, hide_env_values = true)]
    pub switchboard_keys: Option<SecretString>,
    /// API key of the platform itself, for the first steps
    #[arg(long, env, hide_env_values = true, value_parser = values::admin_api_key)]
    pub switchboard_admin_api_key: Option<SecretString>,
    /// Days after which messages, events and media are removed; unset keeps them
    #[arg(long, env, value_parser = values::days)]
    pub retention_days: Option<u32>,
}

/// Meta's side: webhook and Graph API.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Meta")]
pub struct Meta {
    /// Verify token of the platform's own webhook subscription
    #[arg(long, env, hide_env_values = true)]
    pub whatsapp_verify_token: Option<SecretString>,
    /// App secret that signs webhooks: current, then previous, separated by a comma
    #[arg(long, env, default_value = "", hide_default_value = true, hide_env_values = true, value_parser = values::app_secrets)]
    pub facebook_app_secret: AppSecrets,
    /// Id of the app the secret belongs to
    #[arg(long, env)]
    pub facebook_app_id: Option<String>,
    /// Where Meta's Graph API answers
    #[arg(long, env, default_value = "https://graph.facebook.com", value_parser = values::base_url)]
    pub graph_api_base_url: String,
    /// Version of the Graph API
    #[arg(long, env, default_value = "v26.0", value_parser = values::graph_version)]
    pub graph_api_version: String,
    /// Whether a new number is checked with Graph: graph or off
    #[arg(long, env, default_value = "graph", value_parser = values::onboarding)]
    pub onboarding_verify: OnboardingVerify,
    /// Take webhooks without a signature; never in production
    #[arg(long, env, default_value = "false", num_args = 0..=1, default_missing_value = "true", value_parser = values::boolean)]
    pub allow_unsigned_webhooks: bool,
}

/// Who answers, unless a chatbot says otherwise.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Responder")]
pub struct Responder {
    /// Where the response API answers
    #[arg(long, env, value_parser = values::base_url)]
    pub response_api_base_url: Option<String>,
    /// Path of its one call
    #[arg(long, env, default_value = "/response", value_parser = values::path)]
    pub response_api_path: String,
    /// Whether responders may live at private addresses; true in development, false in production
    #[arg(long, env, num_args = 0..=1, default_missing_value = "true", value_parser = values::boolean)]
    pub allow_private_responders: Option<bool>,
}

/// Numbers linked by QR code.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "QR sessions")]
pub struct Sessions {
    /// What runs them: waha or native
    #[arg(long, env, default_value = "waha", value_parser = values::engine)]
    pub session_engine: SessionEngine,
    /// Folder for session keys in development
    #[arg(long, env, default_value = "./whatsapp-session")]
    pub session_path: PathBuf,
    /// Name of the session where a call names none
    #[arg(long, env)]
    pub client_id: Option<String>,
    /// Where a WAHA server answers
    #[arg(long, env, default_value = "http://waha:3000/api", value_parser = values::base_url)]
    pub waha_api_url: String,
    /// Its key
    #[arg(long, env, hide_env_values = true)]
    pub waha_api_key: Option<SecretString>,
    /// Where WAHA reaches this program; its public address unless set
    #[arg(long, env, value_parser = values::base_url)]
    pub waha_webhook_url: Option<String>,
    /// Signs webhooks of WAHA sessions that were made elsewhere
    #[arg(long, env, hide_env_values = true)]
    pub waha_webhook_hmac_key: Option<SecretString>,
}

/// Sign-in and storage shared with a Supabase project.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Supabase")]
pub struct Supabase {
    /// The project's address; its people may then call the API with their access tokens
    #[arg(long, env, value_parser = values::base_url)]
    pub supabase_url: Option<String>,
    /// Secret its tokens are signed with, where it still signs by secret
    #[arg(long, env, hide_env_values = true)]
    pub supabase_jwt_secret: Option<SecretString>,
    /// Key with full access to its data
    #[arg(long, env, hide_env_values = true)]
    pub supabase_service_role_key: Option<SecretString>,
}

/// Watching it run.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Operations")]
pub struct Operations {
    /// Bearer token for /metrics
    #[arg(long, env, hide_env_values = true)]
    pub metrics_token: Option<SecretString>,
    /// Own port for /metrics without a token, for hosts that scrape inside
    #[arg(long, env, value_parser = values::port)]
    pub metrics_port: Option<u16>,
    /// Where alerts are posted
    #[arg(long, env, hide_env_values = true, value_parser = values::secret_url)]
    pub alert_webhook_url: Option<SecretString>,
    /// What is logged, e.g. info or warn,switchboard=debug
    #[arg(long, env)]
    pub rust_log: Option<String>,
    /// Collector for OpenTelemetry traces
    #[arg(long, env, value_parser = values::base_url)]
    pub otel_exporter_otlp_endpoint: Option<String>,
}

const DEFAULT_DATABASE: &str = "sqlite://data/switchboard.db?mode=rwc";

impl Config {
    /// Reads and checks the settings from variables alone, as if no flag were given.
    ///
    /// # Errors
    /// The first thing that is wrong, by its variable's name.
    pub fn load(variables: &Variables) -> Result<Self, ConfigError> {
        let config = environment::parse(variables)?;
        config.check(variables)?;
        Ok(config)
    }

    /// What no single value can tell: unknown names, and what production does not allow. A command that
    /// flattens this group calls it after parsing.
    ///
    /// # Errors
    /// The first thing that is wrong, by its variable's name.
    pub fn check(&self, variables: &Variables) -> Result<(), ConfigError> {
        environment::refuse_unknown(variables)?;
        if let Some(keys) = &self.storage.switchboard_keys {
            Ring::parse(keys).map_err(|error| ConfigError::invalid("SWITCHBOARD_KEYS", error))?;
        }
        if self.operations.metrics_port.is_some_and(|port| port != 0 && port == self.server.port) {
            return Err(ConfigError::invalid("METRICS_PORT", "expected another port than PORT"));
        }
        if self.supabase.supabase_jwt_secret.is_some() && self.supabase.supabase_url.is_none() {
            let why =
                "required beside SUPABASE_JWT_SECRET: it is what tells the project's tokens from others";
            return Err(ConfigError::invalid("SUPABASE_URL", why));
        }
        if !self.is_production() {
            return Ok(());
        }
        if self.storage.switchboard_keys.is_none() {
            let how = "required in production, or sealed secrets would be lost with the machine; make one with: openssl rand -base64 32";
            return Err(ConfigError::invalid("SWITCHBOARD_KEYS", how));
        }
        if self.meta.allow_unsigned_webhooks {
            let why = "refused in production: anybody could write messages in your customers' names";
            return Err(ConfigError::invalid("ALLOW_UNSIGNED_WEBHOOKS", why));
        }
        if self.sessions.session_engine == SessionEngine::Sandbox {
            return Err(ConfigError::invalid("SESSION_ENGINE", "expected waha or native in production"));
        }
        Ok(())
    }

    /// Whether the stricter rules hold.
    pub fn is_production(&self) -> bool {
        self.server.app_env == Environment::Production
    }

    /// The address the world reaches it under, without a slash at the end.
    pub fn public_url(&self) -> String {
        let server = &self.server;
        let on_fly = || server.fly_app_name.as_ref().map(|app| format!("https://{app}.fly.dev"));
        let here = || match server.host {
            // Nobody can open "any address".
            host if host.is_unspecified() => format!("http://localhost:{}", server.port),
            host @ IpAddr::V6(_) => format!("http://[{host}]:{}", server.port),
            host @ IpAddr::V4(_) => format!("http://{host}:{}", server.port),
        };
        let stated = server.public_url.clone();
        stated.or_else(on_fly).or_else(|| server.render_external_url.clone()).unwrap_or_else(here)
    }

    /// Whether responders may live at private addresses.
    pub fn allow_private_responders(&self) -> bool {
        self.responder.allow_private_responders.unwrap_or(!self.is_production())
    }

    /// The embedded database's file; `None` for PostgreSQL and for a database in memory.
    pub fn sqlite_path(&self) -> Option<PathBuf> {
        let url = self.storage.database_url.expose_secret();
        let rest = url.strip_prefix("sqlite:")?;
        let path = rest.strip_prefix("//").unwrap_or(rest).split('?').next().unwrap_or_default();
        (!path.is_empty() && path != ":memory:").then(|| PathBuf::from(path))
    }

    /// The keys for secrets at rest: those of `SWITCHBOARD_KEYS`, else (in development) those of a file beside
    /// the database, made when it is not there.
    ///
    /// # Errors
    /// When the keys cannot be read, or the file cannot be made.
    pub fn ring(&self) -> Result<Ring, SecretError> {
        if let Some(keys) = &self.storage.switchboard_keys {
            return Ring::parse(keys);
        }
        if self.is_production() {
            return Err(SecretError::Ring("SWITCHBOARD_KEYS is not set".to_owned()));
        }
        let beside = self.sqlite_path();
        let folder = beside.as_deref().and_then(Path::parent).unwrap_or(Path::new("data"));
        Ring::generate_file(&folder.join("switchboard.keys"))
    }
}

#[cfg(test)]
mod tests;
