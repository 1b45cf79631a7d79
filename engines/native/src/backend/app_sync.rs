//! What the phone and its devices have agreed on: keys, versions and sums of the account's settings.

use std::collections::HashMap;

use whatsapp_rust::async_trait;
use whatsapp_rust::wacore::appstate::hash::HashState;
use whatsapp_rust::wacore::appstate::processor::AppStateMutationMAC;
use whatsapp_rust::wacore::store::error::Result;
use whatsapp_rust::wacore::store::traits::{AppStateSyncKey, AppSyncStore};

use super::{Backend, json};
use crate::keys::Step;

const KEY: &str = "sync_key";
const LATEST: &str = "sync_key_latest";
const VERSION: &str = "sync_version";
const MAC: &str = "sync_mac";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[async_trait]
impl AppSyncStore for Backend {
    async fn get_sync_key(&self, key_id: &[u8]) -> Result<Option<AppStateSyncKey>> {
        self.get_json(KEY, &hex(key_id), "").await
    }

    async fn set_sync_key(&self, key_id: &[u8], key: AppStateSyncKey) -> Result<()> {
        let key = Step::put(KEY, &hex(key_id), "", json(&key)?);
        self.write(vec![key, Step::put(LATEST, "", "", key_id)]).await
    }

    async fn get_version(&self, name: &str) -> Result<HashState> {
        Ok(self.get_json(VERSION, name, "").await?.unwrap_or_default())
    }

    async fn set_version(&self, name: &str, state: HashState) -> Result<()> {
        self.put(VERSION, name, "", json(&state)?).await
    }

    async fn put_mutation_macs(&self, name: &str, _: u64, mutations: &[AppStateMutationMAC]) -> Result<()> {
        let put =
            |mac: &AppStateMutationMAC| Step::put(MAC, name, &hex(&mac.index_mac), mac.value_mac.clone());
        self.write(mutations.iter().map(put).collect()).await
    }

    async fn get_mutation_mac(&self, name: &str, index_mac: &[u8]) -> Result<Option<Vec<u8>>> {
        self.get(MAC, name, &hex(index_mac)).await
    }

    async fn get_mutation_macs(
        &self,
        name: &str,
        index_macs: &[[u8; 32]],
    ) -> Result<HashMap<[u8; 32], Vec<u8>>> {
        let mut known: HashMap<String, Vec<u8>> =
            self.scan(MAC, Some(name)).await?.into_iter().map(|(_, index, value)| (index, value)).collect();
        Ok(index_macs.iter().filter_map(|index| Some((*index, known.remove(&hex(index))?))).collect())
    }

    async fn delete_mutation_macs(&self, name: &str, index_macs: &[Vec<u8>]) -> Result<()> {
        self.write(index_macs.iter().map(|index| Step::delete(MAC, name, &hex(index))).collect()).await
    }

    async fn clear_mutation_macs(&self, name: &str) -> Result<()> {
        self.delete_where(MAC, Some(name), |_, _, _| true).await.map(drop)
    }

    async fn get_latest_sync_key_id(&self) -> Result<Option<Vec<u8>>> {
        self.get(LATEST, "", "").await
    }
}
