//! What runs sessions: one face for a WAHA server, for the sandbox's phones, and for devices of our own.

use std::time::Duration;

use secrecy::SecretString;

#[cfg(feature = "native")]
use super::native::Native;
use super::phones::Phones;
use super::waha::Waha;

/// Who is linked, as the engine says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Me {
    /// Digits.
    pub phone: Option<String>,
    /// The name on the profile.
    pub name: Option<String>,
}

/// Where a session stands at its engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The engine knows nothing of it.
    Absent,
    /// Known, not running.
    Stopped,
    /// On its way.
    Starting,
    /// It shows a QR code.
    Pairing,
    /// Connected.
    Working(Me),
    /// The connection was lost, and the engine is bringing it back, however long that takes.
    Reconnecting(String),
    /// The phone has unlinked it.
    Unlinked,
    /// The engine gave up.
    Failed,
    /// A word that is new to us.
    Odd(String),
}

/// Why an engine did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Not there, or no answer in time.
    #[error("the engine does not answer: {0}")]
    Unreachable(String),
    /// It does not take our key.
    #[error("the engine refuses our key")]
    KeyRefused,
    /// It says no.
    #[error("the engine refuses: {0}")]
    Refused(String),
}

impl EngineError {
    /// The reason's code; see [`super::state::explain`].
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "engine_unreachable",
            Self::KeyRefused => "key_refused",
            Self::Refused(_) => "engine_refused",
        }
    }
}

/// Why a message did not go out, and how sure that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendFailure {
    /// Certainly not sent, and may be later: the engine is away, or the session not connected.
    NotSent(String),
    /// Certainly not sent, and never will be.
    Refused(String),
    /// The answer was lost.
    Ambiguous(String),
}

/// What a session's engine is told about it.
#[derive(Debug, Clone)]
pub struct Spec<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its tenant, for the address of its webhook.
    pub tenant: &'a str,
    /// Signs its webhooks.
    pub webhook_key: Option<&'a SecretString>,
}

/// A QR code as the engine shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qr {
    /// What the picture says.
    pub value: String,
    /// How long it is good for, if the engine says.
    pub lives: Option<Duration>,
}

/// An engine. Cheap to clone.
#[derive(Clone)]
pub enum Engine {
    /// A WAHA server, over HTTP.
    Waha(Waha),
    /// Virtual phones in this process.
    Sandbox(Phones),
    /// Linked devices in this process.
    #[cfg(feature = "native")]
    Native(Native),
}

impl Engine {
    /// Whether it runs sessions inside this process. Such a session lives where its watcher does: nobody else starts,
    /// stops or unlinks it, and a command is left to the watcher.
    pub fn lives_here(&self) -> bool {
        match self {
            Self::Waha(_) | Self::Sandbox(_) => false,
            #[cfg(feature = "native")]
            Self::Native(_) => true,
        }
    }
}

macro_rules! either {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $kind:ty),*) -> $output:ty;)*) => {
        impl Engine {
            $($(#[$doc])*
            pub async fn $name(&self, $($arg: $kind),*) -> $output {
                match self {
                    Self::Waha(engine) => engine.$name($($arg),*).await,
                    Self::Sandbox(engine) => engine.$name($($arg),*).await,
                    #[cfg(feature = "native")]
                    Self::Native(engine) => engine.$name($($arg),*).await,
                }
            })*
        }
    };
}

either! {
    /// Makes the session there, unless it is, and makes it run.
    start(spec: Spec<'_>) -> Result<(), EngineError>;
    /// Has what the session hears brought here, if it does not yet: our address may be another than when it was made.
    align(spec: Spec<'_>) -> Result<(), EngineError>;
    /// Stops it; the phone stays linked. Nothing to do is fine.
    stop(name: &str) -> Result<(), EngineError>;
    /// Stops and starts it.
    restart(name: &str) -> Result<(), EngineError>;
    /// Unlinks the phone and stops it. Nothing to do is fine.
    logout(name: &str) -> Result<(), EngineError>;
    /// Unlinks the phone and forgets everything. Nothing to do is fine.
    delete(name: &str) -> Result<(), EngineError>;
    /// Where it stands. `fresh`: as of now, not of a moment ago.
    look(name: &str, fresh: bool) -> Result<Seen, EngineError>;
    /// The QR code it shows now; `None`: none.
    qr(name: &str) -> Result<Option<Qr>, EngineError>;
    /// A code to type into this phone instead of scanning.
    pairing_code(name: &str, phone: &str) -> Result<String, EngineError>;
    /// Whether WhatsApp itself answers through the session.
    is_alive(name: &str, phone: &str) -> Result<bool, EngineError>;
    /// Where this phone's messages go; `None`: it has no WhatsApp.
    address_of(name: &str, phone: &str) -> Result<Option<String>, EngineError>;
    /// The phone behind a hidden id, if the engine knows it.
    phone_of(name: &str, lid: &str) -> Result<Option<String>, EngineError>;
    /// Blue ticks on this message.
    seen(name: &str, to: &str, wamid: &str) -> Result<(), EngineError>;
    /// Shows "typing…", or no longer.
    typing(name: &str, to: &str, on: bool) -> Result<(), EngineError>;
    /// Sends a text; the message's id. `mark` is the same whenever this message is tried: an engine that may choose ids
    /// takes it.
    send_text(name: &str, to: &str, text: &str, mark: &str) -> Result<String, SendFailure>;
}
