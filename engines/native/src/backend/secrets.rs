//! Secrets of single messages, by which later edits and reactions to them are read.

use serde::{Deserialize, Serialize};
use whatsapp_rust::async_trait;
use whatsapp_rust::wacore::store::error::Result;
use whatsapp_rust::wacore::store::traits::{
    MsgSecretEntry, MsgSecretStore, merge_msg_secret_expiry, merge_msg_secret_message_ts,
};

use super::{Backend, both, json, read};
use crate::keys::Step;

const SECRET: &str = "message_secret";

#[derive(Serialize, Deserialize)]
struct Secret {
    secret: Vec<u8>,
    expires_at: i64,
    message_ts: i64,
}

impl Backend {
    async fn secret(&self, chat: &str, sender: &str, id: &str) -> Result<Option<Secret>> {
        self.get_json(SECRET, &both(chat, sender), id).await
    }
}

#[async_trait]
impl MsgSecretStore for Backend {
    async fn put_msg_secrets(&self, entries: Vec<MsgSecretEntry>) -> Result<usize> {
        let _alone = self.changing.lock().await;
        let mut steps = Vec::with_capacity(entries.len());
        for entry in &entries {
            let mut new = Secret {
                secret: entry.secret.to_vec(),
                expires_at: entry.expires_at,
                message_ts: entry.message_ts,
            };
            if let Some(old) = self.secret(&entry.chat, &entry.sender, &entry.msg_id).await? {
                new.expires_at = merge_msg_secret_expiry(old.expires_at, new.expires_at);
                new.message_ts = merge_msg_secret_message_ts(old.message_ts, new.message_ts);
            }
            steps.push(Step::put(SECRET, &both(&entry.chat, &entry.sender), &entry.msg_id, json(&new)?));
        }
        self.write(steps).await?;
        Ok(entries.len())
    }

    async fn get_msg_secret(&self, chat: &str, sender: &str, msg_id: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.secret(chat, sender, msg_id).await?.map(|found| found.secret))
    }

    async fn get_msg_secret_with_ts(
        &self,
        chat: &str,
        sender: &str,
        msg_id: &str,
    ) -> Result<Option<(Vec<u8>, i64)>> {
        Ok(self.secret(chat, sender, msg_id).await?.map(|found| (found.secret, found.message_ts)))
    }

    async fn delete_expired_msg_secrets(&self, cutoff_timestamp: i64) -> Result<u32> {
        let over = |value: &[u8]| {
            read::<Secret>(value).map_or(true, |secret| (1..=cutoff_timestamp).contains(&secret.expires_at))
        };
        self.delete_where(SECRET, None, |_, _, value| over(value)).await
    }
}
