//! What a value may be, and what to say when it is not.
//!
//! A message names what is expected and never repeats the value.

use std::net::IpAddr;

use secrecy::SecretString;
use url::Url;

/// How careful to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// One person's machine: keys are made, private responders allowed, metrics open.
    Development,
    /// Everything else.
    Production,
}

/// What runs sessions linked by QR code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEngine {
    /// A WAHA server beside us.
    Waha,
    /// This program itself, when built with the feature `native`.
    Native,
    /// The stand-in of `demo`.
    Sandbox,
}

/// Whether a new number is checked with Graph before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnboardingVerify {
    /// It is.
    Graph,
    /// It is not: for tests and stand-ins.
    Off,
}

/// The platform's app secrets, current first. May be empty.
#[derive(Debug, Clone, Default)]
pub struct AppSecrets(Vec<SecretString>);

impl AppSecrets {
    /// All that sign validly.
    pub fn all(&self) -> &[SecretString] {
        &self.0
    }

    /// The one to sign with.
    pub fn current(&self) -> Option<&SecretString> {
        self.0.first()
    }
}

type Parsed<T> = Result<T, String>;

pub(super) fn app_secrets(text: &str) -> Parsed<AppSecrets> {
    let secrets = text.split(',').map(str::trim).filter(|secret| !secret.is_empty());
    Ok(AppSecrets(secrets.map(Into::into).collect()))
}

pub(super) fn environment(text: &str) -> Parsed<Environment> {
    match text {
        // `test` is what NODE_ENV holds while a suite runs.
        "development" | "test" => Ok(Environment::Development),
        "production" => Ok(Environment::Production),
        _ => Err("expected development or production".to_owned()),
    }
}

pub(super) fn engine(text: &str) -> Parsed<SessionEngine> {
    match text {
        "waha" => Ok(SessionEngine::Waha),
        "native" => Ok(SessionEngine::Native),
        "sandbox" => Ok(SessionEngine::Sandbox),
        _ => Err("expected waha or native".to_owned()),
    }
}

pub(super) fn onboarding(text: &str) -> Parsed<OnboardingVerify> {
    match text {
        "graph" => Ok(OnboardingVerify::Graph),
        "off" => Ok(OnboardingVerify::Off),
        _ => Err("expected graph or off".to_owned()),
    }
}

pub(super) fn boolean(text: &str) -> Parsed<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

pub(super) fn address(text: &str) -> Parsed<IpAddr> {
    let text = if text == "localhost" { "127.0.0.1" } else { text };
    text.parse().map_err(|_| "expected an address such as 127.0.0.1 or 0.0.0.0".to_owned())
}

pub(super) fn port(text: &str) -> Parsed<u16> {
    text.parse().map_err(|_| "expected a port from 0 to 65535".to_owned())
}

pub(super) fn days(text: &str) -> Parsed<u32> {
    let days = text.parse().ok().filter(|days| (1..=36_500).contains(days));
    days.ok_or_else(|| "expected a number of days, 1 or more".to_owned())
}

/// An address to append paths to: no slash at the end, no query, no credentials (they would reach logs).
pub(super) fn base_url(text: &str) -> Parsed<String> {
    let expected = || "expected an address such as https://example.com".to_owned();
    let url = http_url(text).ok_or_else(expected)?;
    let plain = url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    if plain && anonymous { Ok(text.trim_end_matches('/').to_owned()) } else { Err(expected()) }
}

/// An address that is itself a credential, as chat programs hand them out for incoming messages.
pub(super) fn secret_url(text: &str) -> Parsed<SecretString> {
    http_url(text)
        .map(|_| text.into())
        .ok_or_else(|| "expected an address such as https://example.com/…".to_owned())
}

fn http_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

pub(super) fn database_url(text: &str) -> Parsed<SecretString> {
    let known = ["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
    if known { Ok(text.into()) } else { Err("expected sqlite://path?mode=rwc or postgres://…".to_owned()) }
}

pub(super) fn graph_version(text: &str) -> Parsed<String> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    match text.strip_prefix('v').and_then(|version| version.split_once('.')) {
        Some((major, minor)) if digits(major) && digits(minor) => Ok(text.to_owned()),
        _ => Err("expected a version such as v26.0".to_owned()),
    }
}

pub(super) fn path(text: &str) -> Parsed<String> {
    let plain = text.starts_with('/') && !text.contains(['?', '#', ' ']);
    if plain { Ok(text.to_owned()) } else { Err("expected a path such as /response".to_owned()) }
}

/// This key opens every tenant: it must not be guessable.
pub(super) fn admin_api_key(text: &str) -> Parsed<SecretString> {
    if text.chars().count() >= 16 {
        Ok(text.into())
    } else {
        Err("expected 16 characters or more; make one with: openssl rand -hex 24".to_owned())
    }
}
