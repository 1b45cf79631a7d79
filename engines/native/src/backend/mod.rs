//! The many stores that whatsapp-rust asks for, as one table of keys.

mod app_sync;
mod device;
mod protocol;
mod secrets;
mod signal;

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use whatsapp_rust::wacore::store::error::{Result, StoreError};

use crate::keys::{Keys, KeysError, Step};

/// One device's keys.
pub(crate) struct Backend {
    keys: Arc<dyn Keys>,
    /// Whatever is read, changed and written back is so by one at a time.
    changing: Mutex<()>,
    /// Told once the keys are no longer this device's.
    lost: Box<dyn Fn() + Send + Sync>,
}

impl Backend {
    pub fn new(keys: Arc<dyn Keys>, lost: impl Fn() + Send + Sync + 'static) -> Self {
        Self { keys, changing: Mutex::new(()), lost: Box::new(lost) }
    }

    async fn get(&self, kind: &'static str, k1: &str, k2: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.keys.get(kind, k1, k2).await?)
    }

    async fn scan(&self, kind: &'static str, k1: Option<&str>) -> Result<Vec<(String, String, Vec<u8>)>> {
        Ok(self.keys.scan(kind, k1).await?)
    }

    async fn write(&self, steps: Vec<Step>) -> Result<()> {
        if steps.is_empty() {
            return Ok(());
        }
        let written = self.keys.write(steps).await;
        if let Err(KeysError::Lost) = written {
            (self.lost)();
        }
        Ok(written?)
    }

    async fn put(&self, kind: &'static str, k1: &str, k2: &str, value: impl Into<Vec<u8>>) -> Result<()> {
        self.write(vec![Step::put(kind, k1, k2, value)]).await
    }

    async fn delete(&self, kind: &'static str, k1: &str, k2: &str) -> Result<()> {
        self.write(vec![Step::delete(kind, k1, k2)]).await
    }

    async fn get_json<T: DeserializeOwned>(
        &self,
        kind: &'static str,
        k1: &str,
        k2: &str,
    ) -> Result<Option<T>> {
        self.get(kind, k1, k2).await?.map(|bytes| read(&bytes)).transpose()
    }

    /// Deletes whatever of a kind, or of it with this `k1`, is to go; how many.
    async fn delete_where(
        &self,
        kind: &'static str,
        k1: Option<&str>,
        goes: impl Fn(&str, &str, &[u8]) -> bool,
    ) -> Result<u32> {
        let all = self.scan(kind, k1).await?;
        let gone = all.iter().filter(|(k1, k2, value)| goes(k1, k2, value));
        let steps: Vec<Step> = gone.map(|(k1, k2, _)| Step::delete(kind, k1, k2)).collect();
        let count = u32::try_from(steps.len()).unwrap_or(u32::MAX);
        self.write(steps).await?;
        Ok(count)
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| StoreError::Serialization(Box::new(error)))
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| StoreError::Serialization(Box::new(error)))
}

/// Two names as one; neither holds a space.
fn both(a: &str, b: &str) -> String {
    format!("{a} {b}")
}

/// A value that is kept for a time: when it was written, in Unix seconds, stands before it.
fn dated(value: &[u8]) -> Vec<u8> {
    let now = whatsapp_rust::wacore::time::now_secs();
    [&now.to_be_bytes()[..], value].concat()
}

/// See [`dated`]. Whatever is too short is as old as can be.
fn undated(bytes: &[u8]) -> (i64, &[u8]) {
    match bytes.split_first_chunk::<8>() {
        Some((at, value)) => (i64::from_be_bytes(*at), value),
        None => (i64::MIN, bytes),
    }
}
