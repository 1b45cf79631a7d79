//! Identities, sessions and keys of the Signal protocol.

use std::sync::Arc;

use whatsapp_rust::async_trait;
use whatsapp_rust::bytes::Bytes;
use whatsapp_rust::wacore::store::error::{Result, StoreError};
use whatsapp_rust::wacore::store::traits::SignalStore;

use super::Backend;
use crate::keys::Step;

const IDENTITY: &str = "identity";
const SESSION: &str = "session";
const PRE_KEY: &str = "pre_key";
const SIGNED_PRE_KEY: &str = "signed_pre_key";
const SENDER_KEY: &str = "sender_key";

/// So that their order as text is that of the numbers.
fn name(id: u32) -> String {
    format!("{id:010}")
}

fn number(name: &str) -> Result<u32> {
    name.parse().map_err(|_| StoreError::Validation(format!("{name} is no key id")))
}

/// Whether the server has it stands before the key itself.
fn pre_key(record: &[u8], uploaded: bool) -> Vec<u8> {
    [&[u8::from(uploaded)], record].concat()
}

fn puts(kind: &'static str, values: &[(Arc<str>, Bytes)]) -> Vec<Step> {
    values.iter().map(|(address, value)| Step::put(kind, address, "", value.to_vec())).collect()
}

#[async_trait]
impl SignalStore for Backend {
    async fn put_identity(&self, address: &str, key: [u8; 32]) -> Result<()> {
        self.put(IDENTITY, address, "", key).await
    }

    async fn put_identities_batch(&self, identities: &[(Arc<str>, [u8; 32])]) -> Result<()> {
        self.write(identities.iter().map(|(address, key)| Step::put(IDENTITY, address, "", *key)).collect())
            .await
    }

    async fn load_identity(&self, address: &str) -> Result<Option<[u8; 32]>> {
        let Some(key) = self.get(IDENTITY, address, "").await? else { return Ok(None) };
        let wrong = |key: Vec<u8>| StoreError::Validation(format!("an identity of {} bytes", key.len()));
        key.try_into().map(Some).map_err(wrong)
    }

    async fn delete_identity(&self, address: &str) -> Result<()> {
        self.delete(IDENTITY, address, "").await
    }

    async fn get_session(&self, address: &str) -> Result<Option<Bytes>> {
        Ok(self.get(SESSION, address, "").await?.map(Bytes::from))
    }

    async fn put_session(&self, address: &str, session: &[u8]) -> Result<()> {
        self.put(SESSION, address, "", session).await
    }

    async fn put_sessions_batch(&self, sessions: &[(Arc<str>, Bytes)]) -> Result<()> {
        self.write(puts(SESSION, sessions)).await
    }

    async fn delete_session(&self, address: &str) -> Result<()> {
        self.delete(SESSION, address, "").await
    }

    async fn store_prekey(&self, id: u32, record: &[u8], uploaded: bool) -> Result<()> {
        self.put(PRE_KEY, &name(id), "", pre_key(record, uploaded)).await
    }

    async fn store_prekeys_batch(&self, keys: &[(u32, Bytes)], uploaded: bool) -> Result<()> {
        let put = |(id, record): &(u32, Bytes)| Step::put(PRE_KEY, &name(*id), "", pre_key(record, uploaded));
        self.write(keys.iter().map(put).collect()).await
    }

    async fn load_prekey(&self, id: u32) -> Result<Option<Bytes>> {
        let found = self.get(PRE_KEY, &name(id), "").await?;
        Ok(found.map(|value| Bytes::from(value).slice(1..)))
    }

    async fn mark_prekeys_uploaded(&self, ids: &[u32]) -> Result<()> {
        // A key that is used up meanwhile must not come back.
        let _alone = self.changing.lock().await;
        let mut steps = Vec::new();
        for id in ids {
            if let Some(mut value) = self.get(PRE_KEY, &name(*id), "").await? {
                value[0] = 1;
                steps.push(Step::put(PRE_KEY, &name(*id), "", value));
            }
        }
        self.write(steps).await
    }

    async fn remove_prekey(&self, id: u32) -> Result<()> {
        let _alone = self.changing.lock().await;
        self.delete(PRE_KEY, &name(id), "").await
    }

    async fn get_max_prekey_id(&self) -> Result<u32> {
        let all = self.scan(PRE_KEY, None).await?;
        all.last().map_or(Ok(0), |(id, ..)| number(id))
    }

    async fn store_signed_prekey(&self, id: u32, record: &[u8]) -> Result<()> {
        self.put(SIGNED_PRE_KEY, &name(id), "", record).await
    }

    async fn load_signed_prekey(&self, id: u32) -> Result<Option<Vec<u8>>> {
        self.get(SIGNED_PRE_KEY, &name(id), "").await
    }

    async fn load_all_signed_prekeys(&self) -> Result<Vec<(u32, Vec<u8>)>> {
        let all = self.scan(SIGNED_PRE_KEY, None).await?;
        all.into_iter().map(|(id, _, record)| Ok((number(&id)?, record))).collect()
    }

    async fn remove_signed_prekey(&self, id: u32) -> Result<()> {
        self.delete(SIGNED_PRE_KEY, &name(id), "").await
    }

    async fn put_sender_key(&self, address: &str, record: &[u8]) -> Result<()> {
        self.put(SENDER_KEY, address, "", record).await
    }

    async fn put_sender_keys_batch(&self, sender_keys: &[(Arc<str>, Bytes)]) -> Result<()> {
        self.write(puts(SENDER_KEY, sender_keys)).await
    }

    async fn get_sender_key(&self, address: &str) -> Result<Option<Vec<u8>>> {
        self.get(SENDER_KEY, address, "").await
    }

    async fn delete_sender_key(&self, address: &str) -> Result<()> {
        self.delete(SENDER_KEY, address, "").await
    }
}
