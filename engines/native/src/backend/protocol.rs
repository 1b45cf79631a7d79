//! What WhatsApp's own client remembers beside keys: hidden ids, devices, tokens, what was sent, what came in.

use whatsapp_rust::async_trait;
use whatsapp_rust::wacore::store::error::Result;
use whatsapp_rust::wacore::store::traits::{
    DeviceListRecord, LidPnMappingEntry, PendingInboundKey, PendingInboundRow, ProtocolStore, TcTokenEntry,
};

use super::{Backend, both, dated, json, read, undated};
use crate::keys::Step;

const SENDER_DEVICE: &str = "sender_device";
const LID: &str = "lid";
const PHONE: &str = "phone";
const BASE_KEY: &str = "base_key";
const DEVICES: &str = "devices";
const GROUP: &str = "group";
const TOKEN: &str = "token";
const SENT: &str = "sent";
const INBOUND: &str = "inbound";

impl Backend {
    /// Reads a contact's token, changes it, and writes it back, alone; none: it stays as it is.
    async fn change_token(
        &self,
        jid: &str,
        change: impl FnOnce(Option<TcTokenEntry>) -> Option<TcTokenEntry> + Send,
    ) -> Result<()> {
        let _alone = self.changing.lock().await;
        match change(self.get_json(TOKEN, jid, "").await?) {
            Some(entry) => self.put(TOKEN, jid, "", json(&entry)?).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl ProtocolStore for Backend {
    async fn get_sender_key_devices(&self, group_jid: &str) -> Result<Vec<(String, bool)>> {
        let all = self.scan(SENDER_DEVICE, Some(group_jid)).await?;
        Ok(all.into_iter().map(|(_, device, has)| (device, has == [1])).collect())
    }

    async fn set_sender_key_status(&self, group_jid: &str, entries: &[(&str, bool)]) -> Result<()> {
        let put =
            |(device, has): &(&str, bool)| Step::put(SENDER_DEVICE, group_jid, device, [u8::from(*has)]);
        self.write(entries.iter().map(put).collect()).await
    }

    async fn clear_sender_key_devices(&self, group_jid: &str) -> Result<()> {
        self.delete_where(SENDER_DEVICE, Some(group_jid), |_, _, _| true).await.map(drop)
    }

    async fn delete_sender_key_device_rows(&self, device_jids: &[&str]) -> Result<()> {
        self.delete_where(SENDER_DEVICE, None, |_, device, _| device_jids.contains(&device)).await.map(drop)
    }

    async fn clear_all_sender_key_devices(&self) -> Result<()> {
        self.delete_where(SENDER_DEVICE, None, |_, _, _| true).await.map(drop)
    }

    async fn get_lid_mapping(&self, lid: &str) -> Result<Option<LidPnMappingEntry>> {
        self.get_json(LID, lid, "").await
    }

    async fn get_pn_mapping(&self, phone: &str) -> Result<Option<LidPnMappingEntry>> {
        let Some(lid) = self.get(PHONE, phone, "").await? else { return Ok(None) };
        self.get_lid_mapping(&String::from_utf8_lossy(&lid)).await
    }

    async fn put_lid_mapping(&self, entry: &LidPnMappingEntry) -> Result<()> {
        self.put_lid_mappings(std::slice::from_ref(entry)).await
    }

    async fn put_lid_mappings(&self, entries: &[LidPnMappingEntry]) -> Result<()> {
        let _alone = self.changing.lock().await;
        let mut steps = Vec::new();
        for entry in entries {
            // A number that another person has by now leads to nobody.
            let old = self.get_lid_mapping(&entry.lid).await?;
            if let Some(old) = old.filter(|old| old.phone_number != entry.phone_number) {
                steps.push(Step::delete(PHONE, &old.phone_number, ""));
            }
            steps.push(Step::put(LID, &entry.lid, "", json(entry)?));
            steps.push(Step::put(PHONE, &entry.phone_number, "", entry.lid.as_str()));
        }
        self.write(steps).await
    }

    async fn get_all_lid_mappings(&self) -> Result<Vec<LidPnMappingEntry>> {
        self.scan(LID, None).await?.iter().map(|(.., entry)| read(entry)).collect()
    }

    async fn save_base_key(&self, address: &str, message_id: &str, base_key: &[u8]) -> Result<()> {
        self.put(BASE_KEY, address, message_id, base_key).await
    }

    async fn has_same_base_key(&self, address: &str, message_id: &str, current: &[u8]) -> Result<bool> {
        Ok(self.get(BASE_KEY, address, message_id).await?.is_some_and(|saved| saved == current))
    }

    async fn delete_base_key(&self, address: &str, message_id: &str) -> Result<()> {
        self.delete(BASE_KEY, address, message_id).await
    }

    async fn update_device_list(&self, record: DeviceListRecord) -> Result<()> {
        self.update_device_lists(vec![record]).await
    }

    async fn update_device_lists(&self, records: Vec<DeviceListRecord>) -> Result<()> {
        let put = |record: &DeviceListRecord| Ok(Step::put(DEVICES, &record.user, "", json(record)?));
        self.write(records.iter().map(put).collect::<Result<_>>()?).await
    }

    async fn get_devices(&self, user: &str) -> Result<Option<DeviceListRecord>> {
        self.get_json(DEVICES, user, "").await
    }

    async fn delete_devices(&self, user: &str) -> Result<()> {
        self.delete(DEVICES, user, "").await
    }

    async fn get_group_metadata(&self, group_jid: &str) -> Result<Option<Vec<u8>>> {
        self.get(GROUP, group_jid, "").await
    }

    async fn put_group_metadata(&self, group_jid: &str, blob: &[u8]) -> Result<()> {
        self.put(GROUP, group_jid, "", blob).await
    }

    async fn delete_group_metadata(&self, group_jid: &str) -> Result<()> {
        self.delete(GROUP, group_jid, "").await
    }

    async fn get_tc_token(&self, jid: &str) -> Result<Option<TcTokenEntry>> {
        self.get_json(TOKEN, jid, "").await
    }

    async fn put_tc_token(&self, jid: &str, entry: &TcTokenEntry) -> Result<()> {
        self.change_token(jid, |_| Some(entry.clone())).await
    }

    async fn delete_tc_token(&self, jid: &str) -> Result<()> {
        self.delete(TOKEN, jid, "").await
    }

    async fn get_all_tc_token_jids(&self) -> Result<Vec<String>> {
        Ok(self.scan(TOKEN, None).await?.into_iter().map(|(jid, ..)| jid).collect())
    }

    async fn delete_expired_tc_tokens(&self, token_cutoff: i64, sender_cutoff: i64) -> Result<u32> {
        let _alone = self.changing.lock().await;
        let over = |value: &[u8]| {
            let Ok(entry) = read::<TcTokenEntry>(value) else { return true };
            let received = !entry.token.is_empty() && entry.token_timestamp >= token_cutoff;
            !received && entry.sender_timestamp.is_none_or(|at| at < sender_cutoff)
        };
        self.delete_where(TOKEN, None, |_, _, value| over(value)).await
    }

    async fn touch_tc_token_sender_timestamp(&self, jid: &str, sender_timestamp: i64) -> Result<()> {
        self.change_token(jid, |entry| {
            let mut entry = entry.unwrap_or(TcTokenEntry {
                token: Vec::new(),
                token_timestamp: sender_timestamp,
                sender_timestamp: None,
            });
            entry.sender_timestamp = entry.sender_timestamp.max(Some(sender_timestamp));
            Some(entry)
        })
        .await
    }

    async fn store_received_tc_token(&self, jid: &str, token: &[u8], token_timestamp: i64) -> Result<()> {
        self.change_token(jid, |entry| {
            let newer = |old: &TcTokenEntry| !old.token.is_empty() && old.token_timestamp > token_timestamp;
            if entry.as_ref().is_some_and(newer) {
                return None;
            }
            let sender_timestamp = entry.and_then(|entry| entry.sender_timestamp);
            Some(TcTokenEntry { token: token.to_vec(), token_timestamp, sender_timestamp })
        })
        .await
    }

    async fn store_sent_message(&self, chat_jid: &str, message_id: &str, payload: &[u8]) -> Result<()> {
        self.put(SENT, chat_jid, message_id, dated(payload)).await
    }

    async fn take_sent_message(&self, chat_jid: &str, message_id: &str) -> Result<Option<Vec<u8>>> {
        let _alone = self.changing.lock().await;
        let Some(found) = self.get(SENT, chat_jid, message_id).await? else { return Ok(None) };
        self.delete(SENT, chat_jid, message_id).await?;
        Ok(Some(undated(&found).1.to_vec()))
    }

    async fn delete_expired_sent_messages(&self, cutoff_timestamp: i64) -> Result<u32> {
        self.delete_where(SENT, None, |_, _, value| undated(value).0 < cutoff_timestamp).await
    }

    async fn store_pending_inbound(&self, chat: &str, sender: &str, id: &str, message: &[u8]) -> Result<()> {
        self.put(INBOUND, &both(chat, sender), id, dated(message)).await
    }

    async fn get_pending_inbound(&self, chat: &str, sender: &str, id: &str) -> Result<Option<Vec<u8>>> {
        let found = self.get(INBOUND, &both(chat, sender), id).await?;
        Ok(found.map(|value| undated(&value).1.to_vec()))
    }

    async fn delete_pending_inbound(&self, chat: &str, sender: &str, id: &str) -> Result<()> {
        self.delete(INBOUND, &both(chat, sender), id).await
    }

    async fn delete_expired_pending_inbound(&self, cutoff_timestamp: i64) -> Result<u32> {
        self.delete_where(INBOUND, None, |_, _, value| undated(value).0 < cutoff_timestamp).await
    }

    async fn store_pending_inbound_batch(&self, rows: &[PendingInboundRow<'_>]) -> Result<()> {
        let put = |row: &PendingInboundRow<'_>| {
            Step::put(INBOUND, &both(row.chat, row.sender), row.id, dated(row.message))
        };
        self.write(rows.iter().map(put).collect()).await
    }

    async fn delete_pending_inbound_batch(&self, keys: &[PendingInboundKey<'_>]) -> Result<()> {
        let delete = |key: &PendingInboundKey<'_>| Step::delete(INBOUND, &both(key.chat, key.sender), key.id);
        self.write(keys.iter().map(delete).collect()).await
    }
}
