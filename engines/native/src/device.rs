//! One linked device: started over its keys, asked, told what to send, stopped.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use whatsapp_rust::bot::{Bot, BotHandle};
use whatsapp_rust::pair_code::PairCodeOptions;
use whatsapp_rust::send::{SendError as TheirSendError, SendOptions};
use whatsapp_rust::transport::TokioWebSocketTransportFactory;
use whatsapp_rust::wacore::proto_helpers::MessageBuilderExt;
use whatsapp_rust::wacore::store::DevicePropsOverride;
use whatsapp_rust::waproto::whatsapp as wa;
use whatsapp_rust::waproto::whatsapp::device_props::PlatformType;
use whatsapp_rust::{Client, Jid};

use crate::backend::Backend;
use crate::events::{Board, Ears, Keeper, Listener, Stage, left};
use crate::keys::Keys;
use crate::runtime::Home;

/// How long the server may take to say what it thinks of a message.
const WORD: Duration = Duration::from_secs(20);
/// How long a question to WhatsApp may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How long an orderly end may take before it is no longer waited for.
const END: Duration = Duration::from_secs(8);
/// Keys that others begin a conversation with, made at once. More are made when these are used up.
const PRE_KEYS: usize = 100;

/// How devices are run.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where WhatsApp answers, `wss://…`; none: where it does.
    pub url: Option<String>,
    /// Which version of its client WhatsApp is told; none: the one it says is the newest.
    pub version: Option<(u32, u32, u32)>,
    /// What the phone's list of linked devices shows.
    pub name: String,
}

/// Why a device did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// It could not be started: its keys cannot be read.
    #[error("the device could not be started: {0}")]
    NotStarted(String),
    /// It is not connected, or WhatsApp did not answer in time.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// What was asked makes no sense to WhatsApp.
    #[error("refused: {0}")]
    Refused(String),
}

/// Why a message was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It did not leave, or nobody said that it arrived. It may be sent again under the same id, and will not be shown twice.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It never will be.
    #[error("refused: {0}")]
    Refused(String),
}

/// A device that runs. Dropped, it is cut off without ceremony; see [`Device::stop`].
pub struct Device {
    /// Taken out by whoever ends it.
    bot: Mutex<Option<BotHandle>>,
    client: Arc<Client>,
    board: Arc<Board>,
}

impl Device {
    /// Starts a device over its keys: it shows codes if they are new, else it connects. It lives on the runtime of whoever
    /// calls this.
    ///
    /// # Errors
    /// [`DeviceError::NotStarted`].
    pub async fn start(
        keys: Arc<dyn Keys>,
        ears: Arc<dyn Ears>,
        settings: &Settings,
    ) -> Result<Self, DeviceError> {
        let home = Handle::current();
        let board = Arc::new(Board::new(ears, home.clone()));
        let lost = board.clone();
        let backend = Backend::new(keys, move || lost.turn(Stage::KeysLost));
        let mut transport = TokioWebSocketTransportFactory::new();
        if let Some(url) = &settings.url {
            transport = transport.with_url(url);
        }
        let props =
            DevicePropsOverride::new().with_os(&settings.name).with_platform_type(PlatformType::DESKTOP);
        let mut builder = Bot::builder()
            .with_backend_arc(Arc::new(backend))
            .with_transport_factory(transport)
            .with_runtime(Home(home))
            .with_device_props(props)
            .with_wanted_pre_key_count(PRE_KEYS)
            .with_inbound_durability_hook(Keeper(board.clone()))
            .with_event_handler(Listener(board.clone()))
            .skip_history_sync();
        if let Some(version) = settings.version {
            builder = builder.with_version(version);
        }
        let bot = builder.build().await.map_err(|error| DeviceError::NotStarted(chain(&error)))?;
        let client = bot.client();
        board.belongs_to(&client);
        Ok(Self { bot: Mutex::new(Some(bot.spawn())), client, board })
    }

    /// Where it stands.
    pub fn stage(&self) -> Stage {
        self.board.stage()
    }

    /// The code it shows, and how long that is good.
    pub fn code(&self) -> Option<(String, Duration)> {
        match self.stage() {
            Stage::Pairing { code, until } => Some((code, left(until))),
            _ => None,
        }
    }

    /// Ends it in good order: what is on its way is written down. The phone stays linked.
    pub async fn stop(&self) {
        let bot = self.bot.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(bot) = bot {
            let _ = tokio::time::timeout(END, bot.shutdown()).await;
        }
    }

    /// Unlinks the phone, as far as it can be reached, and ends. Its keys are left to whoever keeps them.
    pub async fn log_out(&self) {
        let _ = tokio::time::timeout(END, self.client.logout()).await;
        self.stop().await;
    }

    /// A code to type into this phone instead of scanning.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn pairing_code(&self, phone: &str) -> Result<String, DeviceError> {
        let client = &self.client;
        client.cancel_pair_code().await;
        let wish = PairCodeOptions { phone_number: phone.to_owned(), ..PairCodeOptions::default() };
        let asked = tokio::time::timeout(ANSWER, client.pair_with_code(wish)).await;
        let code = asked.map_err(|_| DeviceError::NoAnswer("no pairing code in time".to_owned()))?;
        code.map_err(|error| DeviceError::Refused(chain(&error)))
    }

    /// Sends a text under this id, and waits for the server's word.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send_text(&self, to: &str, text: &str, id: &str) -> Result<(), SendError> {
        let to = jid(to).ok_or_else(|| SendError::Refused("no address of WhatsApp's".to_owned()))?;
        if !matches!(self.stage(), Stage::Connected(_)) {
            return Err(SendError::NotSent("the device is not connected".to_owned()));
        }
        let word = self.board.expect(id);
        let options = SendOptions::default().with_message_id(id);
        let sent = self.client.send_message_with_options(to, wa::Message::text(text), options).await;
        let answer = match sent {
            Ok(_) => tokio::time::timeout(WORD, word).await,
            Err(error) => {
                self.board.forget(id);
                return Err(match error {
                    TheirSendError::InvalidRequest(words) => SendError::Refused(words),
                    error => SendError::NotSent(chain(&error)),
                });
            }
        };
        match answer {
            Ok(Ok(None)) => Ok(()),
            // The server's own trouble, or too many at once.
            Ok(Ok(Some(code))) if ["429", "500", "503"].contains(&code.as_str()) => {
                Err(SendError::NotSent(format!("WhatsApp answers {code}")))
            }
            Ok(Ok(Some(code))) => Err(SendError::Refused(format!("WhatsApp refuses it with code {code}"))),
            Ok(Err(_)) | Err(_) => {
                self.board.forget(id);
                Err(SendError::NotSent("nobody said that it arrived".to_owned()))
            }
        }
    }

    /// Shows "typing…", or no longer.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn typing(&self, to: &str, on: bool) -> Result<(), DeviceError> {
        let (client, to) = (&self.client, address(to)?);
        let shown = if on {
            client.chatstate().send_composing(&to).await
        } else {
            client.chatstate().send_paused(&to).await
        };
        shown.map_err(|error| DeviceError::NoAnswer(chain(&error)))
    }

    /// Blue ticks on this message of a person's.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn mark_read(&self, chat: &str, id: &str) -> Result<(), DeviceError> {
        let marked = self.client.mark_as_read(&address(chat)?, None, &[id]).await;
        marked.map_err(|error| DeviceError::NoAnswer(error.to_string()))
    }

    /// Whether this phone has WhatsApp.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn is_on_whatsapp(&self, phone: &str) -> Result<bool, DeviceError> {
        let whom = [Jid::pn(phone)];
        let contacts = self.client.contacts();
        let asked = tokio::time::timeout(ANSWER, contacts.is_on_whatsapp(&whom)).await;
        let found = asked.map_err(|_| DeviceError::NoAnswer("it took too long".to_owned()))?;
        let found = found.map_err(|error| DeviceError::NoAnswer(chain(&error)))?;
        Ok(found.iter().any(|found| found.is_registered))
    }

    /// The phone, digits, and the hidden id, `…@lid`, that belong together, by either of them, if they were ever told.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn names_of(&self, whom: &str) -> Result<Option<(String, String)>, DeviceError> {
        let entry = self.client.get_lid_pn_entry(&address(whom)?).await;
        let entry = entry.map_err(|error| DeviceError::NoAnswer(error.to_string()))?;
        Ok(entry.map(|entry| (entry.phone_number.to_string(), Jid::lid(&*entry.lid).to_string())))
    }
}

/// `15551234567@c.us` is what other clients call `15551234567@s.whatsapp.net`.
fn jid(address: &str) -> Option<Jid> {
    let jid: Jid = match address.strip_suffix("@c.us") {
        Some(phone) => Jid::pn(phone),
        None => address.parse().ok()?,
    };
    (jid.is_pn() || jid.is_lid()).then_some(jid)
}

fn address(text: &str) -> Result<Jid, DeviceError> {
    jid(text).ok_or_else(|| DeviceError::Refused("no address of WhatsApp's".to_owned()))
}

/// An error with what is behind it. None of them names a person.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    words
}
