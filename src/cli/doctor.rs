//! `switchboard doctor`: looks at everything a deployment depends on and says what to mend.

mod sessions;

use std::process::ExitCode;
use std::time::Duration;

use super::{location, say};
use crate::config::{Config, Variables};
use crate::responder::check_url;
use crate::routing::sealed_place;
use crate::runtime;
use crate::store::{Location, Store, migration_status};

/// The first SQLite without the bug that could corrupt a database while its log is reset.
const SQLITE: [u32; 3] = [3, 51, 3];
/// How long each look outside may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Checks settings, database, keys and the world outside; says what to mend.
#[derive(Debug, clap::Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    config: Config,
}

/// What one look came to.
enum Finding {
    Good(String),
    /// It works, but should not stay so.
    Doubt(String),
    Bad(String),
}
use Finding::{Bad, Doubt, Good};

impl Doctor {
    pub(super) async fn run(self, variables: &Variables) -> ExitCode {
        let config = &self.config;
        let mut findings = vec![("settings", settings(config, variables))];
        findings.push(("public address", public_address(config)));
        findings.push(("webhook secrets", secrets(config)));
        let (database, store) = database(config).await;
        findings.extend(database);
        let mut in_use = false;
        if let Some(store) = store {
            findings.push(("keys", keys(config, &store).await));
            let (finding, waha) = sessions::rows(config, &store).await;
            findings.push(("sessions", finding));
            in_use = waha;
            store.close().await;
        }
        findings.push((
            "Graph API",
            outside(&format!("{}/{}/me", config.meta.graph_api_base_url, config.meta.graph_api_version))
                .await,
        ));
        findings.push(match &config.responder.response_api_base_url {
            Some(base) => ("response API", outside(base).await),
            None => (
                "response API",
                Doubt("RESPONSE_API_BASE_URL is not set: every chatbot must name its own".into()),
            ),
        });
        findings.push(("session engine", sessions::engine(config, in_use).await));
        findings.push(("session path", folder(&config.sessions.session_path)));

        let mut bad = false;
        for (what, finding) in &findings {
            let (mark, words) = match finding {
                Good(words) => ("ok  ", words),
                Doubt(words) => ("hmm ", words),
                Bad(words) => ("MEND", words),
            };
            bad |= matches!(finding, Bad(_));
            say(format!("{mark}  {what:16}  {words}"));
        }
        if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

fn settings(config: &Config, variables: &Variables) -> Finding {
    match config.check(variables) {
        Ok(()) => Good(format!(
            "understood ({})",
            if config.is_production() { "production" } else { "development" }
        )),
        Err(error) => Bad(error.to_string()),
    }
}

fn public_address(config: &Config) -> Finding {
    let url = config.public_url();
    match check_url(&url, false) {
        Ok(_) => Good(format!("{url}/webhook is what Meta is told")),
        Err(why) if config.is_production() => {
            Bad(format!("{url} {why}: set PUBLIC_URL; Meta needs a public https address"))
        }
        Err(_) => Doubt(format!("{url}: Meta cannot reach it; good for trying things out")),
    }
}

fn secrets(config: &Config) -> Finding {
    if config.meta.facebook_app_secret.all().is_empty() {
        return Doubt(
            "FACEBOOK_APP_SECRET is not set: only accounts with their own appSecret receive anything".into(),
        );
    }
    if config.meta.whatsapp_verify_token.is_none() {
        return Good("set (no WHATSAPP_VERIFY_TOKEN: each account's own is used)".into());
    }
    Good("set".into())
}

async fn database(config: &Config) -> (Vec<(&'static str, Finding)>, Option<Store>) {
    let location = match location(config) {
        Ok(location) => location,
        Err(error) => return (vec![("database", Bad(error.to_string()))], None),
    };
    if let Location::Sqlite(path) = &location
        && !path.exists()
    {
        let words = format!("{} is not there yet; `serve` makes it", path.display());
        return (vec![("database", Doubt(words))], None);
    }
    let store = match Store::open(&location).await {
        Ok(store) => store,
        Err(error) => {
            let words = format!("{}: {error}; check DATABASE_URL", location.describe());
            return (vec![("database", Bad(words))], None);
        }
    };
    let version = store.version().await.unwrap_or_default();
    let numbers: Vec<u32> = version.split('.').filter_map(|n| n.parse().ok()).collect();
    let old = !store.is_shared() && numbers.as_slice() < SQLITE.as_slice();
    let mut findings = vec![(
        "database",
        if old {
            Bad(format!("SQLite {version} can corrupt a database; 3.51.3 is the first that cannot"))
        } else {
            Good(format!(
                "{} answers: {}",
                location.describe(),
                version.split(',').next().unwrap_or_default()
            ))
        },
    )];
    let ready = match migration_status(&location).await {
        Ok(all) => match all.iter().filter(|(_, applied)| !applied).count() {
            0 => Good("up to date".into()),
            n => Bad(format!("{n} migrations are pending: run `switchboard migrate up`")),
        },
        Err(error) => Bad(error.to_string()),
    };
    let usable = matches!(ready, Good(_));
    findings.push(("schema", ready));
    (findings, usable.then_some(store))
}

/// Every stored token must open with the keys at hand.
async fn keys(config: &Config, store: &Store) -> Finding {
    let ring = match config.ring() {
        Ok(ring) => ring,
        Err(error) => return Bad(error.to_string()),
    };
    let accounts = match store.every_account().await {
        Ok(accounts) => accounts,
        Err(error) => return Bad(error.to_string()),
    };
    let sealed = accounts.len();
    let shut: Vec<String> = accounts
        .iter()
        .filter(|a| ring.open(&a.access_token, &sealed_place(a, "access_token")).is_err())
        .map(|a| a.id.to_string())
        .collect();
    if shut.is_empty() {
        return Good(format!("open all of {sealed} stored access tokens"));
    }
    Bad(format!(
        "{} of {sealed} stored access tokens do not open (accounts {}): SWITCHBOARD_KEYS lacks the key that sealed them",
        shut.len(),
        shut.join(", ")
    ))
}

/// Any answer will do: it is about names, routes and firewalls, not about rights.
async fn outside(url: &str) -> Finding {
    let client = match runtime::http_client(PATIENCE).build() {
        Ok(client) => client,
        Err(error) => return Bad(error.to_string()),
    };
    let host = url.split('/').take(3).collect::<Vec<_>>().join("/");
    match client.get(url).send().await {
        Ok(response) => Good(format!("{host} answers ({})", response.status().as_u16())),
        Err(error) if error.is_timeout() => {
            Bad(format!("{host} does not answer within {} s", PATIENCE.as_secs()))
        }
        Err(_) => Bad(format!("{host} cannot be reached: check the address, DNS and the way out")),
    }
}

fn folder(path: &std::path::Path) -> Finding {
    if !path.exists() {
        return Good(format!("{} is made when a session needs it", path.display()));
    }
    let probe = path.join(".switchboard-doctor");
    match std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)) {
        Ok(()) => Good(format!("{} is writable", path.display())),
        Err(error) => Bad(format!("{} cannot be written: {error}", path.display())),
    }
}
