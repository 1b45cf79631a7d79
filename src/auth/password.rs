//! Passwords: which are good enough, and Argon2id over them.
//!
//! Hashing takes 19 MiB and tens of milliseconds, so requests go through [`Hashing`]: on blocking threads, few at a time.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

/// Hashes computed at once, and how long one waits for its turn.
const AT_ONCE: usize = 2;
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a password is refused, or could not be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Fewer than 8 characters.
    #[error("a password has at least 8 characters")]
    TooShort,
    /// More than 128 characters.
    #[error("a password has at most 128 characters")]
    TooLong,
    /// Everybody's first guess.
    #[error("this password is among the most common ones; choose another")]
    Common,
    /// No memory, or no random salt.
    #[error("the password could not be hashed")]
    Hashing,
    /// Too many at once.
    #[error("too many people sign in at once")]
    Busy,
}

/// Where requests have passwords hashed, so that they use neither all memory nor all threads. Clones share it.
#[derive(Debug, Clone)]
pub struct Hashing(Arc<Semaphore>);

impl Default for Hashing {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Hashing {
    /// [`hash`], when it is its turn.
    ///
    /// # Errors
    /// [`PasswordError::Busy`], [`PasswordError::Hashing`].
    pub async fn hash(&self, password: SecretString) -> Result<String, PasswordError> {
        self.run(move || hash(&password)).await?
    }

    /// [`verify`], when it is its turn.
    ///
    /// # Errors
    /// [`PasswordError::Busy`], [`PasswordError::Hashing`].
    pub async fn verify(
        &self,
        password: SecretString,
        stored: Option<String>,
    ) -> Result<bool, PasswordError> {
        self.run(move || verify(&password, stored.as_deref())).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = tokio::time::timeout(PATIENCE, self.0.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(PasswordError::Busy) };
        let done = tokio::task::spawn_blocking(move || {
            // Held here, not by the request: a caller who hangs up does not make room for another.
            let _turn = turn;
            work()
        });
        done.await.map_err(|_| PasswordError::Hashing)
    }
}

/// Of eight characters and more, what attackers try first. Compared without case and without trailing digits
/// and marks, so that `Password123!` is one of them.
const COMMON: [&str; 48] = [
    "password",
    "passw0rd",
    "passwort",
    "motdepasse",
    "contraseña",
    "contrasena",
    "qwertyui",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjk",
    "asdfghjkl",
    "zxcvbnm",
    "1q2w3e4r",
    "1qaz2wsx",
    "q1w2e3r4",
    "q1w2e3r4t5",
    "qwerty",
    "abc",
    "abcd",
    "abcdefgh",
    "iloveyou",
    "princess",
    "sunshine",
    "football",
    "baseball",
    "superman",
    "batman",
    "trustno",
    "welcome",
    "letmein",
    "whatever",
    "computer",
    "internet",
    "master",
    "dragon",
    "monkey",
    "shadow",
    "michael",
    "jennifer",
    "starwars",
    "pokemon",
    "admin",
    "administrator",
    "changeme",
    "default",
    "switchboard",
    "whatsapp",
    "secret",
];

/// Checks a password that somebody wants to have.
///
/// # Errors
/// The rule it breaks, in words for its owner.
pub fn check(password: &SecretString) -> Result<(), PasswordError> {
    let password = password.expose_secret();
    match password.chars().count() {
        ..8 => return Err(PasswordError::TooShort),
        129.. => return Err(PasswordError::TooLong),
        _ => {}
    }
    let lower = password.to_lowercase();
    let core = lower.trim_end_matches(|c: char| c.is_numeric() || c.is_ascii_punctuation());
    // Nothing but digits and marks, or one character over and over, is as good as no password.
    let monotonous = password.chars().skip(1).all(|c| password.starts_with(c));
    if core.is_empty() || monotonous || COMMON.contains(&core) || COMMON.contains(&lower.as_str()) {
        return Err(PasswordError::Common);
    }
    Ok(())
}

/// Hashes a password for storing, as a PHC string with its salt and parameters.
///
/// # Errors
/// [`PasswordError::Hashing`].
pub fn hash(password: &SecretString) -> Result<String, PasswordError> {
    let hash = hasher()?.hash_password(password.expose_secret().as_bytes());
    Ok(hash.map_err(|_| PasswordError::Hashing)?.to_string())
}

/// Whether the password is the stored one. `None`, nobody of that name, costs the same time and is `false`: how
/// long a sign-in takes must not tell who has an account.
pub fn verify(password: &SecretString, stored: Option<&str>) -> bool {
    static NOBODY: LazyLock<Option<String>> = LazyLock::new(|| hash(&"nobody has this".into()).ok());
    let Some(hash) = stored.or(NOBODY.as_deref()).and_then(|text| PasswordHash::new(text).ok()) else {
        return false;
    };
    let password = password.expose_secret().as_bytes();
    let matches = hasher().is_ok_and(|hasher| hasher.verify_password(password, &hash).is_ok());
    stored.is_some() && matches
}

/// OWASP's second choice: 19 MiB, two passes, one lane.
fn hasher() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(19_456, 2, 1, None).map_err(|_| PasswordError::Hashing)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_password_opens_and_no_other() {
        let stored = hash(&"correct horse".into()).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_ne!(stored, hash(&"correct horse".into()).unwrap(), "every hash has its own salt");
        assert!(verify(&"correct horse".into(), Some(&stored)));
        assert!(!verify(&"correct horse ".into(), Some(&stored)));
        assert!(!verify(&"correct horse".into(), Some("not a hash")));
        assert!(!verify(&"nobody has this".into(), None));
    }

    #[test]
    fn weak_passwords_are_refused_by_their_rule() {
        for (password, error) in [
            ("", PasswordError::TooShort),
            ("seven77", PasswordError::TooShort),
            ("ééééééé", PasswordError::TooShort),
            ("password", PasswordError::Common),
            ("Password123!", PasswordError::Common),
            ("Switchboard2026", PasswordError::Common),
            ("123456789", PasswordError::Common),
            ("1q2w3e4r", PasswordError::Common),
            ("aaaaaaaaaa", PasswordError::Common),
            (&"x7".repeat(65), PasswordError::TooLong),
        ] {
            assert_eq!(check(&password.into()), Err(error), "{password:?}");
        }
        for password in ["correct horse battery", "çok gizli", "k9-Blue-kite", &"x7".repeat(64)] {
            assert_eq!(check(&password.into()), Ok(()), "{password:?}");
        }
    }
}
