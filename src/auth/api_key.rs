//! API keys, `sb_live_<8 id>_<43 secret>`: the id finds the row, the secret's SHA-256 is what is stored.
//!
//! A fast hash suffices, because the secret is 256 random bits: there is nothing to guess.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::secret::{self, random};

const PREFIX: &str = "sb_live_";
const ID: usize = 8;
/// 62^43 is just above 2^256.
const SECRET: usize = 43;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A well-formed key. `Debug` shows its id alone.
#[derive(Debug, Clone)]
pub struct ApiKey {
    id: String,
    secret: SecretString,
}

impl ApiKey {
    /// A new key.
    pub fn generate() -> Self {
        Self { id: base62(ID), secret: base62(SECRET).into() }
    }

    /// Reads a key as a caller sends it; `None` for every other shape.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let shaped = id.len() == ID && secret.len() == SECRET;
        let digits = |part: &str| part.bytes().all(|c| c.is_ascii_alphanumeric());
        (shaped && digits(id) && digits(secret)).then(|| Self { id: id.to_owned(), secret: secret.into() })
    }

    /// The public part: finds the row, may be shown.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The whole key, to be shown once.
    pub fn reveal(&self) -> SecretString {
        format!("{PREFIX}{}_{}", self.id, self.secret.expose_secret()).into()
    }

    /// What is stored: SHA-256 of the secret part, 64 hex digits.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(self.secret.expose_secret()))
    }

    /// Whether `stored` is this key's [`ApiKey::digest`]; in constant time.
    pub fn matches(&self, stored: &str) -> bool {
        secret::equal(&self.digest(), stored)
    }
}

/// `length` random digits; bytes beyond the last multiple of 62 are thrown away, or some digits would be likelier.
fn base62(length: usize) -> String {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let bytes = random::<64>().into_iter().filter(|byte| *byte < 248);
        text.extend(bytes.take(length - text.len()).map(|byte| char::from(BASE62[usize::from(byte % 62)])));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_id_and_known_by_its_secret() {
        let key = ApiKey::generate();
        let text = key.reveal();
        assert_eq!(text.expose_secret().len(), 8 + 8 + 1 + 43);
        let read = ApiKey::parse(text.expose_secret()).unwrap();
        assert_eq!(read.id(), key.id());
        assert!(read.matches(&key.digest()));

        let other = ApiKey::generate();
        assert_ne!(other.id(), key.id());
        assert!(
            !other.matches(&key.digest()) && !key.matches("") && !key.matches(&key.digest().to_uppercase())
        );
        assert!(!format!("{key:?}").contains(text.expose_secret().rsplit('_').next().unwrap()));
    }

    #[test]
    fn stored_digests_stay_valid() {
        let key = ApiKey::parse(&format!("sb_live_abcd1234_{}", "x".repeat(43))).unwrap();
        let expected = hex::encode(Sha256::digest("x".repeat(43)));
        assert_eq!(key.digest(), expected);
    }

    #[test]
    fn every_other_shape_is_refused() {
        let (id, secret) = ("a".repeat(8), "b".repeat(43));
        for wrong in [
            String::new(),
            "sb_live_".to_owned(),
            format!("sb_test_{id}_{secret}"),
            format!("sb_live_{id}{secret}"),
            format!("sb_live_{id}_{secret}b"),
            format!("sb_live_{id}a_{secret}"),
            format!("sb_live_{id}_{}", &secret[1..]),
            format!("sb_live_{id}_{}-", &secret[1..]),
            format!(" sb_live_{id}_{secret}"),
            format!("sb_live_éééé_{secret}"),
        ] {
            assert!(ApiKey::parse(&wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn every_digit_is_about_as_likely() {
        let text = base62(62_000);
        let times = |digit: u8| text.bytes().filter(|c| *c == digit).count();
        // A thousand each; ten standard deviations around it.
        assert!(BASE62.iter().all(|digit| (700..1300).contains(&times(*digit))));
    }
}
