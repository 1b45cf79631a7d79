//! What numbers linked by QR code depend on: their engine, their rows, the folder of their keys.

use secrecy::ExposeSecret;
use serde_json::Value;

use super::{Bad, Doubt, Finding, Good, PATIENCE};
use crate::channel::state::explain;
use crate::config::{Config, SessionEngine};
use crate::runtime;
use crate::store::Store;

/// The engine answers, takes our key, and is not too old.
pub(super) async fn engine(config: &Config, in_use: bool) -> Finding {
    if config.sessions.session_engine == SessionEngine::Sandbox {
        return Doubt("SESSION_ENGINE=sandbox: virtual phones only; good for trying things out".into());
    }
    if config.sessions.session_engine == SessionEngine::Native {
        return native();
    }
    let root = &config.sessions.waha_api_url;
    let client = match runtime::http_client(PATIENCE).build() {
        Ok(client) => client,
        Err(error) => return Bad(error.to_string()),
    };
    let mut request = client.get(format!("{root}/server/version"));
    if let Some(key) = &config.sessions.waha_api_key {
        request = request.header("X-Api-Key", key.expose_secret());
    }
    match request.send().await {
        Ok(answer) if matches!(answer.status().as_u16(), 401 | 403) => {
            Bad(format!("{root} refuses our key: set WAHA_API_KEY to the key WAHA was started with"))
        }
        Ok(answer) if answer.status().is_success() => {
            let version: Value = answer.json().await.unwrap_or_default();
            let word = |name: &str| version[name].as_str().unwrap_or("?").to_owned();
            let told = format!("WAHA {} ({}) answers at {root}", word("version"), word("engine"));
            match word("version").get(..4).and_then(|year| year.parse::<u32>().ok()) {
                Some(year) if year < 2025 => Doubt(format!(
                    "{told}: it has one session only and does not sign its webhooks; 2026.6.1 does"
                )),
                _ if config.sessions.waha_api_key.is_none() => {
                    Doubt(format!("{told} without a key: whoever reaches it can send from your numbers"))
                }
                _ => Good(told),
            }
        }
        Ok(answer) => Bad(format!("{root} answers {}: it should end in /api", answer.status())),
        Err(_) if in_use => Bad(format!(
            "{root} cannot be reached, and sessions need it: check that WAHA runs, and WAHA_API_URL"
        )),
        Err(_) => Good("not used: no session, and no WAHA in reach".into()),
    }
}

#[cfg(feature = "native")]
fn native() -> Finding {
    Doubt("native: devices in this process, by a young library; docs/SESSIONS.md names its risks".into())
}

#[cfg(not(feature = "native"))]
fn native() -> Finding {
    Bad(crate::channel::NO_NATIVE.into())
}

/// Each session by what is wrong with it; and how many there are.
pub(super) async fn rows(config: &Config, store: &Store) -> (Finding, bool) {
    let sessions = match store.every_session().await {
        Ok(sessions) => sessions,
        Err(error) => return (Bad(format!("whatsapp_sessions cannot be read: {error}")), false),
    };
    let waha = sessions.iter().any(|session| session.engine == "waha");
    let connected = sessions.iter().filter(|session| session.state == "connected").count();
    let wrong: Vec<String> = sessions
        .iter()
        .filter(|session| {
            session.wanted == "running"
                && matches!(session.state.as_str(), "failed" | "logged_out" | "disconnected")
        })
        .map(|session| format!("{}: {}", session.name, explain(&session.reason).1))
        .collect();
    let mode = if config.is_production() { "production" } else { "development" };
    let told = format!("{} in whatsapp_sessions ({mode}), {connected} connected", sessions.len());
    match wrong.is_empty() {
        true => (Good(told), waha),
        false => (Doubt(format!("{told}; {}", wrong.join("; "))), waha),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::waha::{Options, Version, WahaStandIn};

    async fn find(url: &str, key: &str, in_use: bool) -> (char, String) {
        let variables = [("WAHA_API_URL", url), ("WAHA_API_KEY", key)];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        match engine(&Config::load(&variables).unwrap(), in_use).await {
            Good(words) => ('g', words),
            Doubt(words) => ('d', words),
            Bad(words) => ('b', words),
        }
    }

    #[tokio::test]
    async fn an_engine_is_told_by_whether_it_answers_takes_our_key_and_is_new() {
        let start = |version, key: Option<&str>| {
            let key = key.map(str::to_owned);
            WahaStandIn::start(Options { version, key, ..Options::default() }).unwrap()
        };
        let (new, old) = (start(Version::Modern, Some("key")), start(Version::Old, None));
        for (url, key, in_use, mark, words) in [
            (new.base_url.as_str(), "key", true, 'g', "WAHA 2026.7.1"),
            (&new.base_url, "another", true, 'b', "WAHA_API_KEY"),
            (&old.base_url, "", true, 'd', "one session only"),
            (new.base_url.trim_end_matches("/api"), "key", true, 'b', "should end in /api"),
            ("http://127.0.0.1:9/api", "key", true, 'b', "cannot be reached"),
            ("http://127.0.0.1:9/api", "key", false, 'g', "not used"),
        ] {
            let found = find(url, key, in_use).await;
            assert!(found.0 == mark && found.1.contains(words), "{url} {key}: {found:?}");
        }
    }

    #[cfg(not(feature = "native"))]
    #[tokio::test]
    async fn an_engine_that_was_not_built_in_is_said_with_how_to_build_it() {
        let variables = [("SESSION_ENGINE".to_owned(), "native".to_owned())].into();
        let found = engine(&Config::load(&variables).unwrap(), false).await;
        assert!(matches!(&found, Bad(words) if words.contains("--features native")));
    }
}
