//! Standard Webhooks: how a receiver knows that an event is ours, and how old it is.

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use uuid::Uuid;

use crate::ids::TenantId;
use crate::secret::{self, Place, Ring, SecretError};
use crate::store::event_endpoints::Endpoint;

const PREFIX: &str = "whsec_";

/// A new secret, `whsec_` and base64 of 32 random bytes.
pub fn new_secret() -> SecretString {
    format!("{PREFIX}{}", BASE64_STANDARD.encode(secret::random::<32>())).into()
}

/// Where an endpoint's sealed secrets live: `secret` or `previous_secret`.
pub fn secret_place(tenant: &str, endpoint: Uuid, column: &'static str) -> Place {
    Place::new(&TenantId::trusted(tenant), "event_endpoints", column, endpoint)
}

/// The secrets an endpoint's events are signed with at `now` (Unix milliseconds), newest first.
///
/// # Errors
/// When the ring does not open them.
pub fn secrets(ring: &Ring, endpoint: &Endpoint, now: i64) -> Result<Vec<SecretString>, SecretError> {
    let open =
        |sealed: &str, column| ring.open(sealed, &secret_place(&endpoint.tenant_id, endpoint.id, column));
    let mut secrets = vec![open(&endpoint.secret, "secret")?];
    if let Some(previous) = &endpoint.previous_secret
        && endpoint.previous_until.is_some_and(|until| now < until)
    {
        secrets.push(open(previous, "previous_secret")?);
    }
    Ok(secrets)
}

/// The header `webhook-signature`: one signature for each secret. `at`: Unix seconds, as in `webhook-timestamp`.
pub fn sign(secrets: &[SecretString], id: &str, at: i64, body: &str) -> String {
    let signatures: Vec<String> = secrets.iter().map(|secret| sign_once(secret, id, at, body)).collect();
    signatures.join(" ")
}

fn sign_once(secret: &SecretString, id: &str, at: i64, body: &str) -> String {
    let text = secret.expose_secret();
    let key = BASE64_STANDARD.decode(text.strip_prefix(PREFIX).unwrap_or(text)).unwrap_or_default();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
    for part in [id, ".", &at.to_string(), ".", body] {
        mac.update(part.as_bytes());
    }
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks libraries.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let secret: SecretString = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into();
        let (id, at, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign(std::slice::from_ref(&secret), id, at, body), expected);
        let both = sign(&[new_secret(), secret], id, at, body);
        let (fresh, old) = both.split_once(' ').unwrap();
        assert!(fresh.starts_with("v1,") && fresh != expected && old == expected);
    }

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let [a, b] = [new_secret(), new_secret()];
        assert_ne!(a.expose_secret(), b.expose_secret());
        assert_eq!(BASE64_STANDARD.decode(&a.expose_secret()[PREFIX.len()..]).unwrap().len(), 32);
    }
}
