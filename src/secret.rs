//! Secrets at rest: sealed under a ring of keys, found by keyed hash, shown masked.

use std::{fmt, io::Write, path::Path, sync::Arc};

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_URL_SAFE_NO_PAD,
};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretBox, SecretSlice, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::ids::TenantId;

/// What went wrong; never says anything of the secret itself.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// A key ring nobody can read.
    #[error(
        "expected keys, newest first, separated by commas: `id:base64 of 32 bytes` or a secret of 32 or more characters without colon; {0}"
    )]
    Ring(String),
    /// The key file could not be read or made.
    #[error("key file {path}: {source}")]
    File {
        /// Where it is, or should have been.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not something `seal` wrote.
    #[error("not a sealed value")]
    Malformed,
    /// Sealed by a key that is no longer (or not yet) in the ring.
    #[error("sealed by key {0}, which is not in SWITCHBOARD_KEYS")]
    UnknownKey(String),
    /// Another key of the same name, another place, or changed since.
    #[error("does not open here: wrong key, moved from another row, or changed")]
    Refused,
}

/// Where a sealed value lives. It is authenticated with the value, so that a row copied into another tenant,
/// table, column or row does not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    /// `row` is what names the row for its lifetime. Tenants cannot hold a `/`, so no two places read alike.
    pub fn new(tenant: &TenantId, table: &'static str, column: &'static str, row: impl fmt::Display) -> Self {
        Self(format!("{tenant}/{table}/{column}/{row}"))
    }
}

/// The keys, newest first: the first seals, all open. Clones share them.
#[derive(Clone)]
pub struct Ring(Arc<[Key]>);

/// Shows the ids of the keys, never the keys.
impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

struct Key {
    id: String,
    root: SecretBox<[u8; 32]>,
    cipher: XChaCha20Poly1305,
}

impl Key {
    fn new(id: String, root: [u8; 32]) -> Self {
        let cipher = XChaCha20Poly1305::new(&derive(&root, "seal", "").into());
        Self { id, root: SecretBox::new(Box::new(root)), cipher }
    }

    /// `id:base64`, or a bare secret as hosts generate them, stretched and named after itself.
    fn parse(entry: &str) -> Result<Self, SecretError> {
        if let Some((id, key)) = entry.split_once(':') {
            let named = (1..=16).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_alphanumeric());
            if !named {
                return Err(SecretError::Ring("a key's id is 1 to 16 letters and digits".to_owned()));
            }
            let root = base64_any(key)
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or_else(|| SecretError::Ring(format!("key {id} is not base64 of 32 bytes")))?;
            return Ok(Self::new(id.to_owned(), root));
        }
        if entry.chars().count() < 32 {
            return Err(SecretError::Ring("a bare secret is shorter than 32 characters".to_owned()));
        }
        let root = derive(entry.as_bytes(), "root", "");
        Ok(Self::new(hex::encode(&derive(&root, "id", "")[..4]), root))
    }

    fn keyed_hash(&self, purpose: &str, value: &str) -> String {
        let key = derive(self.root.expose_secret(), "hash", purpose);
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&key).expect("HMAC takes keys of any length");
        mac.update(value.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

/// One key per use: what seals must not also hash.
fn derive(material: &[u8], usage: &str, purpose: &str) -> [u8; 32] {
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(Some(b"switchboard"), material)
        .expand_multi_info(&[usage.as_bytes(), b"/", purpose.as_bytes()], &mut key)
        .expect("32 bytes are within what HKDF can give");
    key
}

/// Hosts and people write base64 in both alphabets, padded or not.
fn base64_any(text: &str) -> Option<Vec<u8>> {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [STANDARD, URL_SAFE].iter().find_map(|alphabet| GeneralPurpose::new(alphabet, lenient).decode(text).ok())
}

impl Ring {
    /// Reads the value of `SWITCHBOARD_KEYS`: comma-separated, newest first.
    ///
    /// # Errors
    /// [`SecretError::Ring`], naming the entry by its id at most.
    pub fn parse(keys: &SecretString) -> Result<Self, SecretError> {
        let entries = keys.expose_secret().split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let ring = entries.map(Key::parse).collect::<Result<Vec<_>, _>>()?;
        if ring.is_empty() {
            return Err(SecretError::Ring("there is none".to_owned()));
        }
        if let Some(twice) =
            ring.iter().enumerate().find(|(i, key)| ring[..*i].iter().any(|k| k.id == key.id))
        {
            return Err(SecretError::Ring(format!("key {} is there twice", twice.1.id)));
        }
        Ok(Self(ring.into()))
    }

    /// The ring kept in a file, made with one new key when the file is not there. For development, where nobody
    /// sets `SWITCHBOARD_KEYS`; only the owner may read it (0600).
    ///
    /// # Errors
    /// [`SecretError::File`] when it can neither be read nor made, [`SecretError::Ring`] when it holds no keys.
    pub fn generate_file(path: &Path) -> Result<Self, SecretError> {
        let read = || std::fs::read_to_string(path);
        let text = match read() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                write_new_key(path).and_then(|()| read())
            }
            other => other,
        };
        let text = text.map_err(|source| SecretError::File { path: path.display().to_string(), source })?;
        Self::parse(&text.trim().into())
    }

    /// Seals under the newest key: `v1.<key id>.<base64url of nonce and ciphertext>`.
    pub fn seal(&self, plaintext: impl AsRef<[u8]>, place: &Place) -> String {
        let key = &self.0[0];
        let nonce: [u8; 24] = random();
        let payload = Payload { msg: plaintext.as_ref(), aad: place.0.as_bytes() };
        let sealed = key.cipher.encrypt(&XNonce::from(nonce), payload).expect("only fails above 256 GB");
        format!("v1.{}.{}", key.id, BASE64_URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// Opens text sealed for this very place.
    ///
    /// # Errors
    /// See [`Ring::open_bytes`]; [`SecretError::Malformed`] also when it is not text.
    pub fn open(&self, sealed: &str, place: &Place) -> Result<SecretString, SecretError> {
        let bytes = self.open_bytes(sealed, place)?;
        let text = std::str::from_utf8(bytes.expose_secret()).map_err(|_| SecretError::Malformed)?;
        Ok(text.into())
    }

    /// Opens bytes sealed for this very place.
    ///
    /// # Errors
    /// [`SecretError::Malformed`], [`SecretError::UnknownKey`] or [`SecretError::Refused`].
    pub fn open_bytes(&self, sealed: &str, place: &Place) -> Result<SecretSlice<u8>, SecretError> {
        let (id, body) = split(sealed).ok_or(SecretError::Malformed)?;
        let body = BASE64_URL_SAFE_NO_PAD.decode(body).map_err(|_| SecretError::Malformed)?;
        let (nonce, ciphertext) = body.split_first_chunk::<24>().ok_or(SecretError::Malformed)?;
        let key = self.0.iter().find(|k| k.id == id).ok_or_else(|| SecretError::UnknownKey(id.to_owned()))?;
        let payload = Payload { msg: ciphertext, aad: place.0.as_bytes() };
        let plaintext =
            key.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| SecretError::Refused)?;
        Ok(plaintext.into())
    }

    /// Whether the newest key sealed it; otherwise `rotate-keys` has work here.
    pub fn is_current(&self, sealed: &str) -> bool {
        split(sealed).is_some_and(|(id, _)| id == self.0[0].id)
    }

    /// What to store so that `value` can be found again without being stored: HMAC-SHA256 in hex under a key of
    /// this purpose alone. Without the ring not even a short value can be guessed from it.
    pub fn keyed_hash(&self, purpose: &str, value: &str) -> String {
        self.0[0].keyed_hash(purpose, value)
    }

    /// What to look for: the hash under each key, newest first, since rows may predate the newest.
    pub fn keyed_hashes(&self, purpose: &str, value: &str) -> Vec<String> {
        self.0.iter().map(|key| key.keyed_hash(purpose, value)).collect()
    }
}

fn split(sealed: &str) -> Option<(&str, &str)> {
    sealed.strip_prefix("v1.")?.split_once('.').filter(|(id, _)| id.len() <= 16)
}

/// Written aside, then linked into place: of two starters one wins whole, and nobody reads half a key.
fn write_new_key(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let [id, aside]: [[u8; 4]; 2] = [random(), random()];
    let aside = folder.join(format!(".{}.new-key", hex::encode(aside)));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&aside)?;
    let key: [u8; 32] = random();
    let written = writeln!(file, "{}:{}", hex::encode(id), BASE64_URL_SAFE_NO_PAD.encode(key))
        .and_then(|()| file.sync_all())
        .and_then(|()| match std::fs::hard_link(&aside, path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
    std::fs::remove_file(&aside)?;
    written
}

/// Random bytes nobody can guess.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// Whether two secrets are the same, in a time that tells nothing of either. The only place where secrets are compared:
/// `SecretString` knows no `==`, and tests/architecture.rs looks for ways around that.
pub fn equal(a: &str, b: &str) -> bool {
    Sha256::digest(a).ct_eq(&Sha256::digest(b)).into()
}

/// How a secret is shown: `EAAG…x9Qz` when it is long, `…x9Qz` from 16 characters, else dots.
pub fn mask(secret: &str) -> String {
    let chars: Vec<char> = secret.chars().collect();
    let (first, last) = match chars.len() {
        32.. => (4, 4),
        16.. => (0, 4),
        _ => return "••••".to_owned(),
    };
    chars[..first].iter().chain(&['…']).chain(&chars[chars.len() - last..]).collect()
}

#[cfg(test)]
mod tests;
