//! The device itself: its keys of identity and its account, as one value.

use whatsapp_rust::async_trait;
use whatsapp_rust::wacore::store::Device;
use whatsapp_rust::wacore::store::error::Result;
use whatsapp_rust::wacore::store::traits::DeviceStore;

use super::{Backend, json};

const DEVICE: &str = "device";

#[async_trait]
impl DeviceStore for Backend {
    async fn save(&self, device: &Device) -> Result<()> {
        self.put(DEVICE, "", "", json(device)?).await
    }

    async fn load(&self) -> Result<Option<Device>> {
        self.get_json(DEVICE, "", "").await
    }

    async fn exists(&self) -> Result<bool> {
        Ok(self.get(DEVICE, "", "").await?.is_some())
    }

    /// There is one device in each drawer.
    async fn create(&self) -> Result<i32> {
        Ok(1)
    }
}
