//! What a browser holds for a sign-in, and what a link carries: 256 random bits, of which a SHA-256 is stored.
//!
//! A fast hash suffices, because there is nothing to guess.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use crate::secret::random;

/// A new token, 43 characters that fit a cookie and a URL.
pub fn generate() -> SecretString {
    BASE64_URL_SAFE_NO_PAD.encode(random::<32>()).into()
}

/// What is stored of it: 64 hex digits.
pub fn digest(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn tokens_fit_and_never_repeat() {
        let [a, b] = [generate(), generate()];
        let a = a.expose_secret();
        assert_ne!(a, b.expose_secret());
        assert_eq!(a.len(), 43);
        assert!(a.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c)));
        assert_eq!(digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
