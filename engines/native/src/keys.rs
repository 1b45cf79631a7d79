//! Where a device's keys lie, as the device sees it.

use whatsapp_rust::async_trait;
use whatsapp_rust::wacore::store::error::StoreError;

/// Why keys could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeysError {
    /// Not now; perhaps later.
    #[error("keys: {0}")]
    Unavailable(String),
    /// They are somebody else's by now, or it is not known whether the last batch was written: the device must stop.
    #[error("these keys are not this device's any more")]
    Lost,
}

impl From<KeysError> for StoreError {
    fn from(error: KeysError) -> Self {
        Self::Database(Box::new(error))
    }
}

/// One step of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it is.
    pub kind: &'static str,
    /// Whose, or which.
    pub k1: String,
    /// Of those, which.
    pub k2: String,
    /// What stands there from now on; none: nothing.
    pub value: Option<Vec<u8>>,
}

impl Step {
    /// This value stands there from now on.
    pub fn put(kind: &'static str, k1: &str, k2: &str, value: impl Into<Vec<u8>>) -> Self {
        Self { kind, k1: k1.to_owned(), k2: k2.to_owned(), value: Some(value.into()) }
    }

    /// Nothing stands there.
    pub fn delete(kind: &'static str, k1: &str, k2: &str) -> Self {
        Self { kind, k1: k1.to_owned(), k2: k2.to_owned(), value: None }
    }
}

/// A device's keys: bytes in clear, by kind and two names. Whoever keeps them seals them.
#[async_trait]
pub trait Keys: Send + Sync + 'static {
    /// One value.
    async fn get(&self, kind: &'static str, k1: &str, k2: &str) -> Result<Option<Vec<u8>>, KeysError>;

    /// All values of a kind, or those of it with this `k1`, with their `k1` and `k2` and in their order.
    async fn scan(
        &self,
        kind: &'static str,
        k1: Option<&str>,
    ) -> Result<Vec<(String, String, Vec<u8>)>, KeysError>;

    /// Writes a batch, whole or not at all, durably; of two steps about one place the later one counts.
    async fn write(&self, steps: Vec<Step>) -> Result<(), KeysError>;
}
