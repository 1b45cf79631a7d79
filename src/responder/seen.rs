//! What went to a responder and what came back, word for word, for a person who wants to see it. Without the key.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use reqwest::header::HeaderMap;
use reqwest::{Request, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::secret;

/// Longest body that is shown, in characters.
const SHOWN: usize = 65_536;

/// A request as it left us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SeenRequest {
    /// `POST`.
    pub method: String,
    /// Where it went.
    pub url: String,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: String,
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SeenResponse {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its body, the first 65,536 characters.
    pub body: String,
}

/// Remembers one exchange.
#[derive(Debug, Default)]
pub struct Seen(Mutex<(Option<SeenRequest>, Option<SeenResponse>)>);

impl Seen {
    /// What went and what came, as far as it got.
    pub fn take(&self) -> (Option<SeenRequest>, Option<SeenResponse>) {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn request(&self, request: &Request, key: Option<&SecretString>) {
        let body = request.body().and_then(|body| body.as_bytes()).unwrap_or_default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(SeenRequest {
            method: request.method().to_string(),
            url: hide(request.url().as_str(), key),
            headers: headers(request.headers(), key),
            body: shown(body, key),
        });
    }

    pub(super) fn response(
        &self,
        status: StatusCode,
        heads: &HeaderMap,
        body: &[u8],
        key: Option<&SecretString>,
    ) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(SeenResponse {
            status: status.as_u16(),
            headers: headers(heads, key),
            body: shown(body, key),
        });
    }
}

fn headers(headers: &HeaderMap, key: Option<&SecretString>) -> BTreeMap<String, String> {
    let line = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
        (name.to_string(), hide(&String::from_utf8_lossy(value.as_bytes()), key))
    };
    headers.iter().map(line).collect()
}

fn shown(body: &[u8], key: Option<&SecretString>) -> String {
    hide(&String::from_utf8_lossy(body), key).chars().take(SHOWN).collect()
}

/// The key is masked as it is, and as it stands in JSON.
fn hide(text: &str, key: Option<&SecretString>) -> String {
    let Some(key) = key.map(ExposeSecret::expose_secret).filter(|key| !key.is_empty()) else {
        return text.to_owned();
    };
    let masked = secret::mask(key);
    let quoted = serde_json::to_string(key).unwrap_or_default();
    text.replace(quoted.trim_matches('"'), &masked).replace(key, &masked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_masked_in_every_spelling() {
        let key: SecretString = "k\"\\-of-the-responder-0001".to_owned().into();
        for text in ["Bearer k\"\\-of-the-responder-0001", r#"{"id":"k\"\\-of-the-responder-0001"}"#] {
            let hidden = hide(text, Some(&key));
            assert!(!hidden.contains("responder") && hidden.contains("…0001"), "{hidden}");
        }
        assert_eq!(hide("text", Some(&String::new().into())), "text");
    }
}
