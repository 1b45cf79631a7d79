//! Sign-ins of a Supabase project: its tokens, under its secret or its published keys.
//!
//! Keys are kept and looked at anew now and then; a token that names an unknown key has them fetched at once, but no
//! more often than once a minute, whoever asks.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::StreamExt;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::jwt::{Algorithm, BadToken, Claims, Jwk, Key, Unverified};
use crate::runtime::{self, Clock};

/// Keys are looked at anew after so many milliseconds; for an unknown name, and after a failure, no sooner than after
/// these.
const FRESH: i64 = 10 * 60_000;
const UNKNOWN: i64 = 60_000;
const FAILED: i64 = 5_000;
/// Largest answer that is read, and how long it may take.
const LARGEST: usize = 256 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

/// Why nobody is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SupabaseError {
    /// The token.
    #[error(transparent)]
    Bad(#[from] BadToken),
    /// The project's keys could not be fetched, ever.
    #[error("the project's keys cannot be fetched")]
    Unreachable,
}

/// A project whose tokens we take. Cheap to clone.
#[derive(Clone)]
pub struct Supabase(Arc<Inner>);

struct Inner {
    issuer: String,
    secret: Option<Key>,
    keys_url: String,
    http: reqwest::Client,
    clock: Clock,
    keys: RwLock<Keys>,
    /// One fetches, the others wait for what it brings.
    fetching: Mutex<()>,
}

#[derive(Default)]
struct Keys {
    by_name: HashMap<String, Arc<Key>>,
    /// Last fetched, and last tried, Unix milliseconds.
    fetched: Option<i64>,
    tried: Option<i64>,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

impl Supabase {
    /// The project at `url`, without a slash at the end; `secret` where it still signs by secret.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(url: &str, secret: Option<SecretString>, clock: Clock) -> Result<Self, reqwest::Error> {
        let issuer = format!("{}/auth/v1", url.trim_end_matches('/'));
        Ok(Self(Arc::new(Inner {
            keys_url: format!("{issuer}/.well-known/jwks.json"),
            issuer,
            secret: secret.map(Key::Secret),
            http: runtime::http_client(PATIENCE).build()?,
            clock,
            keys: RwLock::default(),
            fetching: Mutex::default(),
        })))
    }

    /// What a token says of whom it belongs to.
    ///
    /// # Errors
    /// Why it is not believed.
    pub async fn verify(&self, token: &str) -> Result<Claims, SupabaseError> {
        let token = Unverified::parse(token)?;
        let claims = match token.algorithm {
            Algorithm::Hs256 => token.verify(self.0.secret.as_ref().ok_or(BadToken::NoKey)?)?,
            Algorithm::Es256 | Algorithm::Rs256 => {
                let name = token.kid.as_deref().ok_or(BadToken::NoKey)?;
                token.verify(&*self.key(name).await?)?
            }
        };
        claims.check(&self.0.issuer, self.0.clock.now_ms())?;
        Ok(claims)
    }

    async fn key(&self, name: &str) -> Result<Arc<Key>, SupabaseError> {
        let (found, wanted) = self.look(name);
        match found {
            Some(key) if !wanted => return Ok(key),
            // Somebody else fetches already: this one is good enough meanwhile.
            Some(key) => {
                let Ok(_turn) = self.0.fetching.try_lock() else { return Ok(key) };
                self.fetch().await;
            }
            None if wanted => {
                let _turn = self.0.fetching.lock().await;
                // Whoever had the turn before may have brought it.
                if self.look(name).1 {
                    self.fetch().await;
                }
            }
            None => {}
        }
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        match keys.by_name.get(name) {
            Some(key) => Ok(key.clone()),
            None if keys.fetched.is_none() => Err(SupabaseError::Unreachable),
            None => Err(BadToken::NoKey.into()),
        }
    }

    /// The key of this name as we know it, and whether to look at the project's keys (anew).
    fn look(&self, name: &str) -> (Option<Arc<Key>>, bool) {
        let now = self.0.clock.now_ms();
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        let found = keys.by_name.get(name).cloned();
        let failed = keys.tried != keys.fetched;
        let pace = if failed {
            FAILED
        } else if found.is_some() {
            FRESH
        } else {
            UNKNOWN
        };
        (found, keys.tried.is_none_or(|at| now - at >= pace))
    }

    async fn fetch(&self) {
        let fetched = self.download().await;
        let now = self.0.clock.now_ms();
        let mut keys = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.tried = Some(now);
        match fetched {
            Ok(by_name) => {
                keys.by_name = by_name;
                keys.fetched = Some(now);
            }
            Err(error) => tracing::warn!(%error, "the keys of the Supabase project could not be fetched"),
        }
    }

    async fn download(&self) -> Result<HashMap<String, Arc<Key>>, Box<dyn std::error::Error + Send + Sync>> {
        let response = self.0.http.get(&self.0.keys_url).send().await?;
        if response.status() != 200 {
            return Err(format!("answered {}", response.status()).into());
        }
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            body.extend_from_slice(&chunk?);
            if body.len() > LARGEST {
                return Err("the answer is too large".into());
            }
        }
        let set: KeySet = serde_json::from_slice(&body)?;
        // A key of a kind we do not know must not hide the others.
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        Ok(keys.filter_map(|jwk| Some((jwk.kid.clone()?, Arc::new(jwk.key()?)))).collect())
    }
}
