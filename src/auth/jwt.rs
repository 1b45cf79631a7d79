//! A signed token (JWT) and what must stand in it. Which algorithm verifies it follows from the key, never from the
//! token alone, so that a public key cannot be passed off as a secret.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;

/// Longest token that is read.
const LONGEST: usize = 8 * 1024;
/// How far clocks may differ, in seconds: for a token that is not good yet.
const LEEWAY: f64 = 30.0;

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// Not three parts of base64, or not JSON.
    #[error("it cannot be read")]
    Unreadable,
    /// `none`, or another one that nobody here signs with.
    #[error("its algorithm is not taken")]
    Algorithm,
    /// No key of that name, or of another kind.
    #[error("no key fits it")]
    NoKey,
    /// Somebody else's, or changed.
    #[error("its signature is not right")]
    Signature,
    /// `exp`.
    #[error("it has expired")]
    Expired,
    /// `nbf` or `iat`.
    #[error("it is not good yet")]
    TooEarly,
    /// `aud`.
    #[error("it is for somebody else")]
    Audience,
    /// `iss`.
    #[error("it is from somebody else")]
    Issuer,
    /// `sub`, `role` or `is_anonymous`.
    #[error("it names nobody who has signed in")]
    Nobody,
}

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256, under a secret.
    Hs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSA (PKCS #1 v1.5) with SHA-256.
    Rs256,
}

/// What verifies tokens: each kind by one algorithm.
pub enum Key {
    /// [`Algorithm::Hs256`].
    Secret(SecretString),
    /// [`Algorithm::Es256`]: an uncompressed point.
    Point(Vec<u8>),
    /// [`Algorithm::Rs256`]: modulus and exponent, big-endian.
    Rsa(Vec<u8>, Vec<u8>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "a secret",
            Self::Point(_) => "a P-256 key",
            Self::Rsa(..) => "an RSA key",
        })
    }
}

/// One key of a set (JWK). What is not for verifying signatures, or of another kind, is `None`.
#[derive(Deserialize)]
pub struct Jwk {
    /// Its name, which tokens repeat.
    pub kid: Option<String>,
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Jwk {
    /// The key in it.
    pub fn key(&self) -> Option<Key> {
        let part = |text: &Option<String>| BASE64_URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        if self.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        let says = |algorithm: &str| self.alg.as_deref().is_none_or(|alg| alg == algorithm);
        match self.kty.as_str() {
            "EC" if self.crv.as_deref() == Some("P-256") && says("ES256") => {
                let (x, y) = (part(&self.x)?, part(&self.y)?);
                (x.len() == 32 && y.len() == 32).then(|| Key::Point([&[4][..], &x, &y].concat()))
            }
            "RSA" if says("RS256") => Some(Key::Rsa(part(&self.n)?, part(&self.e)?)),
            _ => None,
        }
    }
}

/// A token as it came: nothing in it is to be believed.
pub struct Unverified<'a> {
    /// How it says it is signed.
    pub algorithm: Algorithm,
    /// By which key, as it says.
    pub kid: Option<String>,
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood: none is.
    crit: Option<Value>,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`BadToken::Unreadable`], [`BadToken::Algorithm`].
    pub fn parse(text: &'a str) -> Result<Self, BadToken> {
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| BadToken::Unreadable);
        if text.len() > LONGEST {
            return Err(BadToken::Unreadable);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(BadToken::Unreadable)?;
        let (header, payload) = signed.split_once('.').ok_or(BadToken::Unreadable)?;
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| BadToken::Unreadable)?;
        let algorithm = match header.alg.as_str() {
            "HS256" => Algorithm::Hs256,
            "ES256" => Algorithm::Es256,
            "RS256" => Algorithm::Rs256,
            _ => return Err(BadToken::Algorithm),
        };
        if header.crit.is_some() {
            return Err(BadToken::Algorithm);
        }
        Ok(Self {
            algorithm,
            kid: header.kid,
            signed,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// What it says, once `key` has verified it.
    ///
    /// # Errors
    /// [`BadToken::NoKey`] when the key is of another kind than the token says, [`BadToken::Signature`],
    /// [`BadToken::Unreadable`].
    pub fn verify(&self, key: &Key) -> Result<Claims, BadToken> {
        let signed = self.signed.as_bytes();
        let right = match (self.algorithm, key) {
            (Algorithm::Hs256, Key::Secret(secret)) => {
                let mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes());
                mac.is_ok_and(|mac| mac.chain_update(signed).verify_slice(&self.signature).is_ok())
            }
            (Algorithm::Es256, Key::Point(point)) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(signed, &self.signature)
                .is_ok(),
            (Algorithm::Rs256, Key::Rsa(n, e)) => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, signed, &self.signature)
                .is_ok(),
            _ => return Err(BadToken::NoKey),
        };
        if !right {
            return Err(BadToken::Signature);
        }
        serde_json::from_slice(&self.payload).map_err(|_| BadToken::Unreadable)
    }
}

/// What a verified token says.
#[derive(Debug, Deserialize)]
pub struct Claims {
    /// Who it is.
    #[serde(default)]
    pub sub: String,
    /// Their e-mail address, as far as they gave one.
    pub email: Option<String>,
    /// What the operator's own server noted of them; they cannot change it.
    #[serde(default)]
    pub app_metadata: Value,
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
    #[serde(default)]
    aud: Value,
    #[serde(default)]
    iss: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    is_anonymous: bool,
}

impl Claims {
    /// Whether they are for us, by the project whose issuer this is, now (Unix milliseconds), of somebody who has
    /// signed in.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, issuer: &str, now_ms: i64) -> Result<(), BadToken> {
        let now = now_ms as f64 / 1000.0;
        let names_us = |word: &Value| word.as_str() == Some("authenticated");
        let for_us = names_us(&self.aud) || self.aud.as_array().is_some_and(|all| all.iter().any(names_us));
        let word = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        let somebody = (1..=64).contains(&self.sub.len()) && self.sub.bytes().all(word);
        if self.exp <= now {
            Err(BadToken::Expired)
        } else if self.nbf.into_iter().chain(self.iat).any(|from| from > now + LEEWAY) {
            Err(BadToken::TooEarly)
        } else if !for_us {
            Err(BadToken::Audience)
        } else if self.iss != issuer {
            Err(BadToken::Issuer)
        } else if !somebody || self.role != "authenticated" || self.is_anonymous {
            Err(BadToken::Nobody)
        } else {
            Ok(())
        }
    }
}
