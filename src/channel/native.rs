//! The engine in this process: linked devices that speak WhatsApp's own protocol, their keys in the drawers of
//! [`super::keys`].
//!
//! A device runs where its session's watcher runs, and nowhere else: only the watcher starts and stops it. Its crate has
//! a face of its own; here that is put into the words of the other engines.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use switchboard_native::{
    Content, Device, DeviceError, Ears, Message, Receipt, SendError, Settings, Stage, Step, async_trait,
};

use super::ear::{Ear, Heard};
use super::engine::{EngineError, Me, Qr, Seen, SendFailure, Spec};
use super::keys::{Drawer, Keys, KeysError, Owner};
use super::waha::inbound::{Event, bare_id};
use crate::secret::Ring;
use crate::store::Store;

/// How long a device that is only started to be unlinked may take to connect.
const FAREWELL: Duration = Duration::from_secs(8);

/// The devices that run here. Cheap to clone.
#[derive(Clone)]
pub struct Native(Arc<Inner>);

struct Inner {
    store: Store,
    ring: Ring,
    keys: Arc<dyn Keys>,
    settings: Settings,
    devices: Mutex<HashMap<String, Arc<Running>>>,
    ear: Arc<OnceLock<Ear>>,
}

struct Running {
    session: i64,
    device: Device,
}

impl Native {
    /// No device runs yet. `keys`: where they lie.
    pub fn new(store: Store, ring: Ring, keys: Arc<dyn Keys>, settings: Settings) -> Self {
        let (devices, ear) = (Mutex::default(), Arc::default());
        Self(Arc::new(Inner { store, ring, keys, settings, devices, ear }))
    }

    /// From now on this one is told what the devices hear; the first one counts.
    pub fn tell(&self, ear: Ear) {
        let _ = self.0.ear.set(ear);
    }

    fn devices(&self) -> MutexGuard<'_, HashMap<String, Arc<Running>>> {
        self.0.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self, name: &str) -> Option<Arc<Running>> {
        self.devices().get(name).cloned()
    }

    /// For what only a running device can do.
    fn there(&self, name: &str) -> Result<Arc<Running>, EngineError> {
        let elsewhere =
            || EngineError::Refused("the session does not run on this instance; try again".to_owned());
        self.running(name).ok_or_else(elsewhere)
    }

    async fn owner(&self, name: &str) -> Result<Owner, EngineError> {
        let found = self.0.store.session_named(name).await.map_err(|error| away(&error))?;
        found
            .as_ref()
            .map(Owner::from)
            .ok_or_else(|| EngineError::Refused("there is no such session".to_owned()))
    }

    async fn drawer(&self, owner: Owner) -> Result<Drawer, EngineError> {
        Drawer::open(self.0.keys.clone(), self.0.ring.clone(), owner).await.map_err(|error| away(&error))
    }

    /// The session is another instance's now, or nobody's: its device must not go on here.
    pub(super) async fn release(&self, session: i64) {
        let running = {
            let mut devices = self.devices();
            let name =
                devices.iter().find(|(_, running)| running.session == session).map(|(name, _)| name.clone());
            name.and_then(|name| devices.remove(&name))
        };
        if let Some(running) = running {
            running.device.stop().await;
        }
    }

    pub(super) async fn start(&self, spec: Spec<'_>) -> Result<(), EngineError> {
        self.begin(spec.name).await
    }

    async fn begin(&self, name: &str) -> Result<(), EngineError> {
        if self.running(name).is_some_and(|running| !running.device.stage().is_over()) {
            return Ok(());
        }
        self.stop(name).await?;
        let owner = self.owner(name).await?;
        let session = owner.session;
        let chest = Arc::new(Chest(self.drawer(owner).await?));
        let ears = Arc::new(Hearing { name: name.to_owned(), ear: self.0.ear.clone() });
        let device = Device::start(chest, ears, &self.0.settings).await.map_err(engine_error)?;
        self.devices().insert(name.to_owned(), Arc::new(Running { session, device }));
        Ok(())
    }

    pub(super) async fn align(&self, _: Spec<'_>) -> Result<(), EngineError> {
        Ok(())
    }

    pub(super) async fn stop(&self, name: &str) -> Result<(), EngineError> {
        let running = self.devices().remove(name);
        if let Some(running) = running {
            running.device.stop().await;
        }
        Ok(())
    }

    pub(super) async fn restart(&self, name: &str) -> Result<(), EngineError> {
        self.stop(name).await?;
        self.begin(name).await
    }

    pub(super) async fn logout(&self, name: &str) -> Result<(), EngineError> {
        let owner = self.owner(name).await?;
        if self.running(name).is_none() && self.has_keys(&owner).await? {
            // The phone would go on showing a device that nobody has any more.
            self.begin(name).await?;
            let end = tokio::time::Instant::now() + FAREWELL;
            let starting = |stage: Stage| matches!(stage, Stage::Starting | Stage::Waiting(_));
            while self.running(name).is_some_and(|running| starting(running.device.stage()))
                && tokio::time::Instant::now() < end
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let running = self.devices().remove(name);
        if let Some(running) = running {
            match running.device.stage() {
                Stage::Connected(_) => running.device.log_out().await,
                _ => running.device.stop().await,
            }
        }
        // A drawer of its own: whatever the device still writes into the old one is refused.
        self.drawer(owner).await?.wipe().await.map_err(|error| away(&error))
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), EngineError> {
        self.logout(name).await
    }

    async fn has_keys(&self, owner: &Owner) -> Result<bool, EngineError> {
        let found = self.0.keys.get(owner, "device", "", "").await;
        Ok(found.map_err(|error| away(&error))?.is_some())
    }

    pub(super) async fn look(&self, name: &str, _: bool) -> Result<Seen, EngineError> {
        let Some(running) = self.running(name) else {
            let owner = self.owner(name).await?;
            return Ok(if self.has_keys(&owner).await? { Seen::Stopped } else { Seen::Absent });
        };
        Ok(match running.device.stage() {
            Stage::Starting => Seen::Starting,
            Stage::Pairing { .. } => Seen::Pairing,
            Stage::Connected(me) => Seen::Working(Me { phone: me.phone, name: me.name }),
            Stage::Waiting(words) => Seen::Reconnecting(words),
            Stage::Exhausted => Seen::Failed,
            Stage::LoggedOut => Seen::Unlinked,
            Stage::Replaced => Seen::Odd("another program uses this device's keys".to_owned()),
            Stage::Refused(words) => Seen::Odd(words.chars().take(200).collect()),
            // It is started again, over whatever the keys are by now.
            Stage::KeysLost => {
                self.stop(name).await?;
                Seen::Stopped
            }
        })
    }

    pub(super) async fn qr(&self, name: &str) -> Result<Option<Qr>, EngineError> {
        let code = self.running(name).and_then(|running| running.device.code());
        Ok(code.map(|(value, left)| Qr { value, lives: Some(left) }))
    }

    pub(super) async fn pairing_code(&self, name: &str, phone: &str) -> Result<String, EngineError> {
        let code = self.there(name)?.device.pairing_code(phone).await.map_err(engine_error)?;
        // As the phone shows the field it is typed into.
        Ok(if code.len() == 8 { format!("{}-{}", &code[..4], &code[4..]) } else { code })
    }

    pub(super) async fn is_alive(&self, name: &str, phone: &str) -> Result<bool, EngineError> {
        Ok(self.there(name)?.device.is_on_whatsapp(phone).await.is_ok())
    }

    pub(super) async fn address_of(&self, name: &str, phone: &str) -> Result<Option<String>, EngineError> {
        let there = self.there(name)?.device.is_on_whatsapp(phone).await.map_err(engine_error)?;
        Ok(there.then(|| format!("{phone}@c.us")))
    }

    pub(super) async fn phone_of(&self, name: &str, lid: &str) -> Result<Option<String>, EngineError> {
        let names = self.there(name)?.device.names_of(lid).await.map_err(engine_error)?;
        Ok(names.map(|(phone, _)| phone))
    }

    /// The hidden id (`…@lid`) of this phone's owner, if it was ever told.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub async fn lid_of(&self, name: &str, phone: &str) -> Result<Option<String>, EngineError> {
        let names = self.there(name)?.device.names_of(&format!("{phone}@c.us")).await;
        Ok(names.map_err(engine_error)?.map(|(_, lid)| lid))
    }

    pub(super) async fn seen(&self, name: &str, to: &str, wamid: &str) -> Result<(), EngineError> {
        self.there(name)?.device.mark_read(to, &bare_id(wamid)).await.map_err(engine_error)
    }

    pub(super) async fn typing(&self, name: &str, to: &str, on: bool) -> Result<(), EngineError> {
        self.there(name)?.device.typing(to, on).await.map_err(engine_error)
    }

    pub(super) async fn send_text(
        &self,
        name: &str,
        to: &str,
        text: &str,
        mark: &str,
    ) -> Result<String, SendFailure> {
        let gone = || SendFailure::NotSent("the device does not run".to_owned());
        let running = self.running(name).ok_or_else(gone)?;
        match running.device.send_text(to, text, mark).await {
            Ok(()) => Ok(mark.to_owned()),
            Err(SendError::NotSent(words)) => Err(SendFailure::NotSent(words)),
            Err(SendError::Refused(words)) => Err(SendFailure::Refused(words)),
        }
    }
}

/// What stands in the way may be gone in a moment.
fn away(error: &dyn std::error::Error) -> EngineError {
    EngineError::Unreachable(error.to_string())
}

fn engine_error(error: DeviceError) -> EngineError {
    match error {
        DeviceError::NotStarted(words) | DeviceError::NoAnswer(words) => EngineError::Unreachable(words),
        DeviceError::Refused(words) => EngineError::Refused(words),
    }
}

/// A drawer, as a device opens it.
struct Chest(Drawer);

fn keys_error(error: KeysError) -> switchboard_native::KeysError {
    match error {
        KeysError::Stale => switchboard_native::KeysError::Lost,
        other => switchboard_native::KeysError::Unavailable(other.to_string()),
    }
}

#[async_trait]
impl switchboard_native::Keys for Chest {
    async fn get(
        &self,
        kind: &'static str,
        k1: &str,
        k2: &str,
    ) -> Result<Option<Vec<u8>>, switchboard_native::KeysError> {
        let found = self.0.get(kind, k1, k2).await.map_err(keys_error)?;
        Ok(found.map(|value| value.expose_secret().to_vec()))
    }

    async fn scan(
        &self,
        kind: &'static str,
        k1: Option<&str>,
    ) -> Result<Vec<(String, String, Vec<u8>)>, switchboard_native::KeysError> {
        let found = self.0.scan(kind, k1).await.map_err(keys_error)?;
        Ok(found.into_iter().map(|(k1, k2, value)| (k1, k2, value.expose_secret().to_vec())).collect())
    }

    async fn write(&self, steps: Vec<Step>) -> Result<(), switchboard_native::KeysError> {
        let step = |Step { kind, k1, k2, value }| (kind, k1, k2, value.map(Into::into));
        self.0.write(steps.into_iter().map(step).collect()).await.map_err(keys_error)
    }
}

/// What a session's device hears, on its way to the house.
struct Hearing {
    name: String,
    ear: Arc<OnceLock<Ear>>,
}

impl Hearing {
    async fn tell(&self, heard: Heard) -> Result<(), String> {
        let Some(ear) = self.ear.get() else { return Err("nobody listens yet".to_owned()) };
        ear(self.name.clone(), heard).await.map_err(|error| error.to_string())
    }
}

#[async_trait]
impl Ears for Hearing {
    async fn heard(&self, messages: Vec<Message>) -> Result<(), String> {
        for message in messages {
            if let Some(event) = event(&self.name, message) {
                self.tell(Heard::Event(Box::new(event))).await?;
            }
        }
        Ok(())
    }

    async fn receipt(&self, receipt: Receipt) {
        for id in receipt.ids {
            let told = self.tell(Heard::Status { id, status: receipt.status }).await;
            if let Err(error) = told {
                tracing::warn!(event = "session_receipt_lost", session = self.name, error);
            }
        }
    }

    async fn turned(&self) {
        let _ = self.tell(Heard::Turned).await;
    }
}

/// A message in the words of a WAHA server, which every step behind this one reads.
fn event(session: &str, message: Message) -> Option<Event> {
    let chat = message.chat.replace("@s.whatsapp.net", "@c.us");
    let mut payload = json!({
        "id": format!("{}_{chat}_{}", message.own, message.id),
        "timestamp": message.at,
        "fromMe": message.own,
        "source": "app",
        "hasMedia": false,
        "_data": {
            "pushName": message.name,
            "key": { "senderPn": message.phone.map(|phone| format!("{phone}@s.whatsapp.net")) },
        },
    });
    payload[if message.own { "to" } else { "from" }] = chat.into();
    match message.content {
        Content::Text(text) => payload["body"] = text.into(),
        Content::Media { mime, caption, file_name, voice } => {
            let mime = if voice { "audio/ogg; codecs=opus".to_owned() } else { mime };
            payload["hasMedia"] = true.into();
            payload["body"] = caption.into();
            payload["media"] = json!({ "mimetype": mime, "filename": file_name });
        }
        Content::Location { latitude, longitude, name } => {
            payload["location"] =
                json!({ "latitude": latitude, "longitude": longitude, "description": name });
        }
        Content::Contacts(cards) => payload["vCards"] = cards.into(),
    }
    let body: Value = json!({ "session": session, "event": "message.any", "payload": payload });
    Event::parse(body.to_string().as_bytes())
}
