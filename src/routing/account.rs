//! An account as the stations use it: its chatbot at hand, its secrets open.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::graph::client::Credentials;
use crate::responder::Settings;
use crate::store::accounts::Account as Row;
use crate::store::messages::Place;
use crate::store::sessions::session_of;

/// What an account may do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Everything.
    Active,
    /// Graph has not confirmed it yet: what arrives is parked.
    Pending,
    /// Switched off, or deleted.
    Inactive,
    /// Messages are answered; the answers wait for a new token.
    TokenInvalid,
    /// Meta limits it; we try.
    Restricted,
}

impl Status {
    /// Reads the stored word; anything unknown is off.
    pub fn parse(word: &str) -> Self {
        match word {
            "active" => Self::Active,
            "pending" => Self::Pending,
            "token_invalid" => Self::TokenInvalid,
            "restricted" => Self::Restricted,
            _ => Self::Inactive,
        }
    }

    /// Whether messages are appended and answered.
    pub fn takes_messages(self) -> bool {
        matches!(self, Self::Active | Self::Restricted | Self::TokenInvalid)
    }

    /// Whether anything may be sent.
    pub fn may_send(self) -> bool {
        matches!(self, Self::Active | Self::Restricted)
    }
}

/// How a chatbot's answers to a shared number are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Sent.
    All,
    /// Sent; the others of the number are shadows.
    Primary,
    /// Asked and stored, never sent.
    Shadow,
}

/// An account, ready to be used: secrets open, chatbot at hand.
#[derive(Debug)]
pub struct Account {
    /// Its id and the names its rows carry.
    pub place: Arc<Place>,
    /// What it may do.
    pub status: Status,
    /// Deleted: known only so that its events are parked and not called unroutable.
    pub deleted: bool,
    /// What happens to answers.
    pub mode: Mode,
    /// The token as it is stored: tells whether it has changed since.
    pub sealed_token: String,
    /// What Graph wants to see.
    pub credentials: Credentials,
    /// Its own app secrets, current and previous; empty: the platform's serve.
    pub secrets: Vec<SecretString>,
    pub(super) fingerprints: Vec<String>,
    /// Who answers.
    pub chatbot: Bot,
}

/// A chatbot's settings, ready to be used.
#[derive(Debug)]
#[allow(missing_docs)] // the fields of a chatbot as product and API name them
pub struct Bot {
    pub id: String,
    pub api_key: Option<SecretString>,
    pub responder: Settings,
    pub coalesce: Duration,
    pub coalesce_max: Duration,
    pub history_limit: usize,
    pub fallback_text: Option<String>,
    pub typing: bool,
    pub media_links: bool,
    pub paused: bool,
    pub hand_off_words: bool,
}

impl Account {
    /// Whether its number is linked by QR code: Graph knows nothing of it.
    pub fn is_session(&self) -> bool {
        session_of(&self.place.phone_number_id).is_some()
    }

    /// Whether a body verified by this secret may speak for this account. An account with its own secret accepts
    /// nothing else; the platform's secrets serve those without.
    pub fn accepts(&self, verified_by: &str, by_platform: bool) -> bool {
        if self.secrets.is_empty() { by_platform } else { self.fingerprints.iter().any(|f| f == verified_by) }
    }

    /// Whether its answers are kept to ourselves: its own wish, or because another is the number's primary.
    pub fn is_shadow(&self, all: &[Arc<Account>]) -> bool {
        let primary_elsewhere = || {
            all.iter().any(|a| {
                a.mode == Mode::Primary
                    && a.place.account_id != self.place.account_id
                    && a.status.takes_messages()
            })
        };
        self.mode == Mode::Shadow || (self.mode == Mode::All && primary_elsewhere())
    }
}

pub(super) fn place(row: &Row) -> Arc<Place> {
    Arc::new(Place {
        account_id: row.id,
        tenant_id: row.tenant_id.clone(),
        chatbot_id: row.chatbot_id.clone(),
        phone_number_id: row.phone_number_id.clone(),
        scope: row.business_account_id.clone(),
    })
}

/// An account whose secrets no key opens: it hears nothing and says nothing.
pub(super) fn unreadable(row: Row) -> Account {
    Account {
        sealed_token: row.access_token.clone(),
        place: place(&row),
        status: Status::Inactive,
        deleted: false,
        mode: Mode::Shadow,
        credentials: Credentials { token: String::new().into(), app_secret: None },
        secrets: Vec::new(),
        fingerprints: Vec::new(),
        chatbot: Bot {
            id: row.chatbot_id,
            api_key: None,
            responder: Settings::default(),
            coalesce: Duration::ZERO,
            coalesce_max: Duration::ZERO,
            history_limit: 0,
            fallback_text: None,
            typing: false,
            media_links: false,
            paused: true,
            hand_off_words: false,
        },
    }
}
