//! Where the keys of sessions lie that this process runs itself: one face for every place, and the drawer that seals.
//!
//! Keys are a session's account: whoever has them is the linked device. So no place ever sees one in clear, and none
//! goes back: what two sides of a conversation share moves on with every message, and keys from yesterday would break
//! all of them. Therefore every batch of changes makes a new **generation** of the whole session, and of two places the
//! one with the newer generation is right, about everything.

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretSlice};
use tokio::sync::Mutex;

use std::sync::Arc;

use crate::ids::TenantId;
use crate::secret::{Place, Ring, SecretError};
use crate::store::sessions::Session;
use crate::store::{Store, StoreError};

pub use crate::store::session_keys::{Change, Entry};

/// Why keys could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeysError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file, and what the system said.
    #[error("key file {0}")]
    File(String),
    /// Somebody else has written these keys, or owns the session by now: whoever hears this stops using them.
    #[error("these keys are somebody else's by now")]
    Stale,
    /// No key of ours opens what is stored, or it is no longer what we stored.
    #[error("a stored key cannot be read: {0}")]
    Unreadable(String),
}

impl From<SecretError> for KeysError {
    fn from(error: SecretError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// Whose keys: enough for a database, which knows sessions by id, and for files, which are called by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The session.
    pub session: i64,
    /// Its name, unique among those that live.
    pub name: String,
    /// Its tenant.
    pub tenant: String,
}

impl From<&Session> for Owner {
    fn from(session: &Session) -> Self {
        let (name, tenant) = (session.name.clone(), session.tenant_id.clone());
        Self { session: session.id, name, tenant }
    }
}

impl Owner {
    /// Where a value is sealed for: the same in every place of the same house.
    pub fn place(&self, kind: &str, k1: &str, k2: &str) -> Place {
        let row = format!("{}/{kind}/{k1}/{k2}", self.session);
        Place::new(&TenantId::trusted(&self.tenant), "session_keys", "value", row)
    }
}

/// What a place answers.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, KeysError>>;

/// A place for keys. What it is given is sealed; it answers when that is durable.
pub trait Keys: Send + Sync {
    /// The newest generation; 0: there never were keys. It outlives a wipe, so that nothing older comes back.
    fn generation<'a>(&'a self, of: &'a Owner) -> Answer<'a, i64>;

    /// One value.
    fn get<'a>(&'a self, of: &'a Owner, kind: &'a str, k1: &'a str, k2: &'a str)
    -> Answer<'a, Option<Entry>>;

    /// All values of a kind, or those of it with this `k1`, in the order of `k1` and `k2`.
    fn scan<'a>(&'a self, of: &'a Owner, kind: &'a str, k1: Option<&'a str>) -> Answer<'a, Vec<Entry>>;

    /// Everything.
    fn all<'a>(&'a self, of: &'a Owner) -> Answer<'a, Vec<Entry>>;

    /// Writes a batch, whole or not at all, on top of the generation `after`; the new generation, which every value of it
    /// has.
    ///
    /// # Errors
    /// [`KeysError::Stale`]: `after` is not the newest generation, or this process may not write.
    fn write<'a>(&'a self, of: &'a Owner, after: i64, changes: Vec<Change>) -> Answer<'a, i64>;

    /// Makes `entries` all there is, as generation `generation`: for moves between places, and, with none, to wipe.
    ///
    /// # Errors
    /// [`KeysError::Stale`]: what is there is as new, or newer.
    fn replace<'a>(&'a self, of: &'a Owner, generation: i64, entries: Vec<Entry>) -> Answer<'a, ()>;
}

/// The database as a place: fenced, so that only the instance that watches a session writes its keys.
impl Keys for Store {
    fn generation<'a>(&'a self, of: &'a Owner) -> Answer<'a, i64> {
        Box::pin(async move { Ok(self.keys_generation(of.session).await?.unwrap_or(0)) })
    }

    fn get<'a>(
        &'a self,
        of: &'a Owner,
        kind: &'a str,
        k1: &'a str,
        k2: &'a str,
    ) -> Answer<'a, Option<Entry>> {
        Box::pin(async move { Ok(self.session_key(of.session, kind, k1, k2).await?) })
    }

    fn scan<'a>(&'a self, of: &'a Owner, kind: &'a str, k1: Option<&'a str>) -> Answer<'a, Vec<Entry>> {
        Box::pin(async move { Ok(self.session_keys_of(of.session, kind, k1).await?) })
    }

    fn all<'a>(&'a self, of: &'a Owner) -> Answer<'a, Vec<Entry>> {
        Box::pin(async move { Ok(self.session_keys(of.session).await?) })
    }

    fn write<'a>(&'a self, of: &'a Owner, after: i64, changes: Vec<Change>) -> Answer<'a, i64> {
        Box::pin(async move {
            match self.write_session_keys(of.session, after, &changes).await {
                Ok(written) => written.ok_or(KeysError::Stale),
                Err(StoreError::Fenced) => Err(KeysError::Stale),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn replace<'a>(&'a self, of: &'a Owner, generation: i64, entries: Vec<Entry>) -> Answer<'a, ()> {
        Box::pin(async move {
            if self.replace_session_keys(of.session, generation, &entries).await? {
                Ok(())
            } else {
                Err(KeysError::Stale)
            }
        })
    }
}

/// A value in clear with its `k1` and `k2`.
pub type Found = (String, String, SecretSlice<u8>);

/// One step of a batch, in clear: kind, `k1`, `k2`, and the value, or none to delete it.
pub type Step = (&'static str, String, String, Option<SecretSlice<u8>>);

/// One session's keys, sealed on their way in and opened on their way out. It knows the generation it has seen, so a
/// drawer that somebody else has written past, or whose last batch was perhaps written and perhaps not, refuses for ever:
/// a new one is opened, and whoever used the old one begins anew from what is stored.
pub struct Drawer {
    keys: Arc<dyn Keys>,
    ring: Ring,
    owner: Owner,
    generation: Mutex<i64>,
}

impl Drawer {
    /// Opens a session's drawer.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub async fn open(keys: Arc<dyn Keys>, ring: Ring, owner: Owner) -> Result<Self, KeysError> {
        let generation = Mutex::new(keys.generation(&owner).await?);
        Ok(Self { keys, ring, owner, generation })
    }

    /// One value.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub async fn get(&self, kind: &str, k1: &str, k2: &str) -> Result<Option<SecretSlice<u8>>, KeysError> {
        let found = self.keys.get(&self.owner, kind, k1, k2).await?;
        found.map(|entry| self.unseal(&entry)).transpose()
    }

    /// All values of a kind, or those of it with this `k1`, in the order of `k1` and `k2`.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub async fn scan(&self, kind: &str, k1: Option<&str>) -> Result<Vec<Found>, KeysError> {
        let found = self.keys.scan(&self.owner, kind, k1).await?;
        let open = |entry: Entry| Ok((entry.k1.clone(), entry.k2.clone(), self.unseal(&entry)?));
        found.into_iter().map(open).collect()
    }

    /// Writes a batch, whole or not at all. One batch at a time.
    ///
    /// # Errors
    /// See [`KeysError`]; after [`KeysError::Stale`] nothing of this drawer can be written any more.
    pub async fn write(&self, steps: Vec<Step>) -> Result<(), KeysError> {
        if steps.is_empty() {
            return Ok(());
        }
        let mut generation = self.generation.lock().await;
        let seal = |(kind, k1, k2, value): Step| match value {
            None => Change::Delete { kind: kind.to_owned(), k1, k2 },
            Some(value) => {
                let value = self.ring.seal(value.expose_secret(), &self.owner.place(kind, &k1, &k2));
                Change::Put(Entry { kind: kind.to_owned(), k1, k2, value, generation: *generation + 1 })
            }
        };
        let changes = steps.into_iter().map(seal).collect();
        *generation = self.keys.write(&self.owner, *generation, changes).await?;
        Ok(())
    }

    /// Everything goes, for good: the phone no longer knows this device.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub async fn wipe(&self) -> Result<(), KeysError> {
        let mut generation = self.generation.lock().await;
        self.keys.replace(&self.owner, *generation + 1, Vec::new()).await?;
        *generation += 1;
        Ok(())
    }

    fn unseal(&self, entry: &Entry) -> Result<SecretSlice<u8>, KeysError> {
        let place = self.owner.place(&entry.kind, &entry.k1, &entry.k2);
        Ok(self.ring.open_bytes(&entry.value, &place)?)
    }
}
