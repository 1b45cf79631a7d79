//! What a device tells: where it stands, messages, receipts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use whatsapp_rust::async_trait;
use whatsapp_rust::types::durability_hook::{InboundDurabilityHook, InboundMessage};
use whatsapp_rust::wacore::types::events::{Event, EventHandler};
use whatsapp_rust::wacore::types::presence::ReceiptType;
use whatsapp_rust::{Client, anyhow};

use crate::content::{self, Message};

/// Who is linked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Me {
    /// Digits.
    pub phone: Option<String>,
    /// The name on the profile.
    pub name: Option<String>,
}

/// Where a device stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// On its way, for the first time or after a scan.
    Starting,
    /// It shows a code.
    Pairing {
        /// What the picture says.
        code: String,
        /// How long it is good for.
        until: Instant,
    },
    /// Messages come and go.
    Connected(Me),
    /// The connection was lost; the device tries again by itself, ever more slowly.
    Waiting(String),
    /// Nobody scanned its codes; it has stopped.
    Exhausted,
    /// The phone no longer knows it; its keys are good for nothing.
    LoggedOut,
    /// Something else uses its keys; it has stopped.
    Replaced,
    /// WhatsApp will not have it, for a reason; it has stopped.
    Refused(String),
    /// Its keys are no longer its own; it has stopped.
    KeysLost,
}

impl Stage {
    /// Whether nothing will come of it any more.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Exhausted | Self::LoggedOut | Self::Replaced | Self::Refused(_) | Self::KeysLost)
    }
}

/// How far messages of ours got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Their ids.
    pub ids: Vec<String>,
    /// `delivered`, `read` or `played`.
    pub status: &'static str,
}

/// Who hears what comes in.
#[async_trait]
pub trait Ears: Send + Sync + 'static {
    /// Keeps messages, all or none, durably; only then does WhatsApp learn that they arrived, and until then it brings
    /// them again. The same one may come twice. Nothing may be sent from inside.
    ///
    /// # Errors
    /// Why they could not be kept.
    async fn heard(&self, messages: Vec<Message>) -> Result<(), String>;

    /// Messages of ours got on. What is lost here is not told again.
    async fn receipt(&self, receipt: Receipt);

    /// The device stands elsewhere now.
    async fn turned(&self);
}

/// A device's stage, and who waits for the server's word on a message.
pub(crate) struct Board {
    ears: Arc<dyn Ears>,
    home: Handle,
    stage: Mutex<Stage>,
    waiting: Mutex<HashMap<String, oneshot::Sender<Option<String>>>>,
    /// Set once there is one; its own number is asked for when it is connected.
    client: std::sync::OnceLock<std::sync::Weak<Client>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    pub fn new(ears: Arc<dyn Ears>, home: Handle) -> Self {
        let (stage, waiting, client) = (Mutex::new(Stage::Starting), Mutex::default(), Default::default());
        Self { ears, home, stage, waiting, client }
    }

    /// Whose board it is.
    pub fn belongs_to(&self, client: &Arc<Client>) {
        let _ = self.client.set(Arc::downgrade(client));
    }

    pub fn stage(&self) -> Stage {
        lock(&self.stage).clone()
    }

    /// It stands there from now on, unless it has come to an end before.
    pub fn turn(&self, next: Stage) {
        {
            let mut stage = lock(&self.stage);
            if stage.is_over() || *stage == next {
                return;
            }
            *stage = next.clone();
        }
        // Without keys it must neither receipt nor send.
        if next == Stage::KeysLost
            && let Some(client) = self.client.get().and_then(std::sync::Weak::upgrade)
        {
            self.home.spawn(async move { client.disconnect().await });
        }
        let ears = self.ears.clone();
        self.home.spawn(async move { ears.turned().await });
    }

    /// What the server says of this message, when it does: nothing, or the code it refuses it with.
    pub fn expect(&self, id: &str) -> oneshot::Receiver<Option<String>> {
        let (tell, hear) = oneshot::channel();
        lock(&self.waiting).insert(id.to_owned(), tell);
        hear
    }

    /// Nobody waits for it any more.
    pub fn forget(&self, id: &str) {
        lock(&self.waiting).remove(id);
    }

    fn me(&self) -> Me {
        let Some(client) = self.client.get().and_then(std::sync::Weak::upgrade) else { return Me::default() };
        let name = Some(client.push_name()).filter(|name| !name.is_empty());
        Me { phone: client.pn().map(|jid| jid.user.to_string()), name }
    }
}

/// Runs on the way of every event, in their order.
pub(crate) struct Listener(pub Arc<Board>);

impl EventHandler for Listener {
    fn handle_event(&self, event: Arc<Event>) {
        let board = &self.0;
        match &*event {
            Event::PairingQrCode(qr) => {
                board.turn(Stage::Pairing { code: qr.code.clone(), until: Instant::now() + qr.timeout });
            }
            Event::PairingQrCodesExhausted(_) => board.turn(Stage::Exhausted),
            Event::PairSuccess(_) => board.turn(Stage::Starting),
            Event::PairError(error) => board.turn(Stage::Refused(format!("pairing failed: {}", error.error))),
            Event::QrScannedWithoutMultidevice(_) => {
                board.turn(Stage::Refused("this phone's WhatsApp is too old to link devices".to_owned()));
            }
            Event::Connected(_) => board.turn(Stage::Connected(board.me())),
            Event::Disconnected(lost) => board.turn(Stage::Waiting(lost.reason.to_string())),
            Event::StreamReplaced(_) => board.turn(Stage::Replaced),
            Event::LoggedOut(_) => board.turn(Stage::LoggedOut),
            Event::ConnectFailure(failure) => {
                board.turn(Stage::Refused(format!("WhatsApp refuses the connection: {:?}", failure.reason)));
            }
            Event::ClientOutdated(_) => {
                board.turn(Stage::Refused("WhatsApp no longer takes this version of its client".to_owned()));
            }
            Event::TemporaryBan(ban) => {
                let hours = (ban.expire.num_minutes().max(0) + 59) / 60;
                board.turn(Stage::Refused(format!("banned for {hours} hours: {}", ban.code)));
            }
            Event::ServerAck(ack) => {
                if let Some(tell) = lock(&board.waiting).remove(&ack.id) {
                    let _ = tell.send(ack.error.clone());
                }
            }
            Event::Receipt(receipt) => {
                let status = match receipt.r#type {
                    ReceiptType::Delivered => "delivered",
                    ReceiptType::Read => "read",
                    ReceiptType::Played => "played",
                    _ => return,
                };
                if receipt.source.is_from_me || receipt.source.is_group {
                    return;
                }
                let ids = receipt.message_ids.iter().map(ToString::to_string).collect();
                let ears = board.ears.clone();
                board.home.spawn(async move { ears.receipt(Receipt { ids, status }).await });
            }
            _ => {}
        }
    }
}

/// Stands between a message and its receipt.
pub(crate) struct Keeper(pub Arc<Board>);

#[async_trait]
impl InboundDurabilityHook for Keeper {
    async fn on_messages(&self, _: Arc<Client>, batch: &[InboundMessage]) -> anyhow::Result<()> {
        let messages: Vec<Message> = batch.iter().filter_map(content::read).collect();
        if messages.is_empty() {
            return Ok(());
        }
        self.0.ears.heard(messages).await.map_err(anyhow::Error::msg)
    }
}

/// How long a code is still good.
pub(crate) fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}
