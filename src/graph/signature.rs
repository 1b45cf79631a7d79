//! `X-Hub-Signature-256`: HMAC-SHA256 of the raw body under an app secret.
//!
//! The bytes are hashed as received: Meta signs what it sends (with its `\u` escapes), so re-serialising or
//! "trying the escaped form too" would only widen what is accepted. SHA-1 is never accepted.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The header's name.
pub const HEADER: &str = "X-Hub-Signature-256";

/// A well-formed signature that still has to be checked against a secret and a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature([u8; 32]);

impl Signature {
    /// Reads `sha256=<64 hex digits>`; anything else is `None`.
    pub fn parse(header: &str) -> Option<Self> {
        let digits = header.strip_prefix("sha256=")?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// Whether `secret` signed exactly these bytes; compares in constant time.
    pub fn matches(&self, secret: &[u8], body: &[u8]) -> bool {
        mac(secret, body).verify_slice(&self.0).is_ok()
    }
}

/// The header value Meta would send for `body` under `secret`: for the sandbox, `simulate` and tests.
pub fn sign(secret: &[u8], body: &[u8]) -> String {
    format!("sha256={}", hex::encode(mac(secret, body).finalize().into_bytes()))
}

/// `appsecret_proof`: proves to Graph that the caller of a token also holds the app's secret.
pub fn app_secret_proof(app_secret: &[u8], access_token: &[u8]) -> String {
    hex::encode(mac(app_secret, access_token).finalize().into_bytes())
}

fn mac(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors published by Meta and GitHub.
    #[test]
    fn agrees_with_published_vectors() {
        for (secret, body, hex) in [
            (
                "test_app_secret",
                r#"{"object":"whatsapp_business_account","entry":[]}"#,
                "dec6a680679a968e7e0319355b23599cbfc54502c0784668e9618baa0c633756",
            ),
            (
                "It's a Secret to Everybody",
                "Hello, World!",
                "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            ),
        ] {
            let header = format!("sha256={hex}");
            assert_eq!(sign(secret.as_bytes(), body.as_bytes()), header);
            let signature = Signature::parse(&header).unwrap();
            assert!(signature.matches(secret.as_bytes(), body.as_bytes()));
            assert!(
                Signature::parse(&header.to_uppercase().replace("SHA256", "sha256"))
                    == Some(signature.clone())
            );
            assert!(!signature.matches(b"another", body.as_bytes()));
            assert!(!signature.matches(secret.as_bytes(), format!("{body} ").as_bytes()));
        }
    }

    #[test]
    fn refuses_every_other_form() {
        let hex = "0".repeat(64);
        for header in [
            "",
            "sha256=",
            "sha1=0000",
            &hex,
            &format!("sha256={}", &hex[1..]),
            &format!("sha256={hex}0"),
            &format!("SHA256={hex}"),
            &format!(" sha256={hex}"),
            &format!("sha256={}g", &hex[1..]),
        ] {
            assert_eq!(Signature::parse(header), None, "{header:?}");
        }
    }
}
