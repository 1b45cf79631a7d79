//! What the stand-in knows: numbers, tokens, subscriptions, and what was sent.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

use super::{File, Options, Rule, StatusWebhook, display_number};
use crate::sandbox::Ring;

/// A business number.
#[derive(Debug, Clone)]
pub struct Number {
    /// The routing key.
    pub phone_number_id: String,
    /// The number people see, digits only.
    pub display_phone_number: String,
    /// The WABA it belongs to; `None`: whichever asks.
    pub business_account_id: Option<String>,
    /// `CONNECTED` when it can send.
    pub status: String,
    /// The tokens it accepts; empty: any.
    pub tokens: Vec<String>,
    /// Where its own webhooks go, when that was overridden for this number.
    pub override_url: Option<String>,
}

impl Number {
    /// A connected number of no particular WABA that accepts any token.
    pub fn new(phone_number_id: &str) -> Self {
        Self {
            phone_number_id: phone_number_id.to_owned(),
            display_phone_number: display_number(phone_number_id),
            business_account_id: None,
            status: "CONNECTED".to_owned(),
            tokens: Vec::new(),
            override_url: None,
        }
    }

    /// Not yet registered for the Cloud API.
    pub fn pending(self) -> Self {
        Self { status: "PENDING".to_owned(), ..self }
    }

    /// Of this WABA.
    pub fn waba(self, id: &str) -> Self {
        Self { business_account_id: Some(id.to_owned()), ..self }
    }

    /// Accepting this token (and those given before).
    pub fn token(mut self, token: &str) -> Self {
        self.tokens.push(token.to_owned());
        self
    }

    /// Shown to people as this number, digits only.
    pub fn display(self, digits: &str) -> Self {
        Self { display_phone_number: digits.to_owned(), ..self }
    }
}

/// An app's subscription to a WABA.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscription {
    /// Whether the app gets this WABA's webhooks.
    pub subscribed: bool,
    /// Where they go instead of the app's own URL.
    pub override_url: Option<String>,
}

/// An approved template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// Its language's code.
    pub language: String,
    /// How many parameters its body has.
    pub parameters: usize,
}

/// A message that was accepted.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The number it was sent from.
    pub phone_number_id: String,
    /// The customer: digits without `+`, or a BSUID.
    pub to: String,
    /// The bearer token used.
    pub token: String,
    /// `appsecret_proof` of the query, if any.
    pub app_secret_proof: Option<String>,
    /// `biz_opaque_callback_data`, if any.
    pub callback: Option<String>,
    /// The ID it was given.
    pub wamid: String,
    /// The whole request.
    pub body: Value,
    /// When it was accepted, Unix milliseconds.
    pub at_ms: i64,
    /// The last status sent about it: `sent`, `delivered`, `read`.
    pub status: Option<&'static str>,
}

impl Sent {
    /// The words of a text message; empty for any other.
    pub fn text(&self) -> &str {
        self.body["text"]["body"].as_str().unwrap_or_default()
    }
}

/// A call that marked a customer's message as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The number that read it.
    pub phone_number_id: String,
    /// The customer's message.
    pub wamid: String,
    /// Whether "typing" was shown too.
    pub typing: bool,
    /// When, Unix milliseconds.
    pub at_ms: i64,
}

/// A sent message as it is remembered: unread, so that remembering stays cheap.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) phone_number_id: String,
    pub(super) to: String,
    pub(super) token: String,
    pub(super) app_secret_proof: Option<String>,
    pub(super) callback: Option<String>,
    pub(super) wamid: String,
    pub(super) body: Bytes,
    pub(super) at_ms: i64,
    pub(super) status: Option<&'static str>,
}

impl Kept {
    pub(super) fn open(&self) -> Sent {
        Sent {
            phone_number_id: self.phone_number_id.clone(),
            to: self.to.clone(),
            token: self.token.clone(),
            app_secret_proof: self.app_secret_proof.clone(),
            callback: self.callback.clone(),
            wamid: self.wamid.clone(),
            body: serde_json::from_slice(&self.body).unwrap_or_default(),
            at_ms: self.at_ms,
            status: self.status,
        }
    }
}

/// Everything about numbers and WABAs.
#[derive(Debug, Default)]
pub(super) struct Known {
    strict: bool,
    numbers: HashMap<String, Number>,
    pub(super) subscriptions: HashMap<String, Subscription>,
    pub(super) revoked: HashSet<String>,
    /// Codes of sign-ups: the token each yields, and until when.
    pub(super) codes: HashMap<String, (String, Instant)>,
    pub(super) templates: Vec<Template>,
}

/// Why a call is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    Token,
    NoSuchObject,
}

impl Known {
    pub(super) fn register(&mut self, number: Number) {
        self.numbers.insert(number.phone_number_id.clone(), number);
    }

    /// The number, made known on first use unless strict; the token must be one of its own.
    pub(super) fn number(&mut self, id: &str, token: &str) -> Result<&mut Number, Denied> {
        if self.revoked.contains(token) {
            return Err(Denied::Token);
        }
        if !self.numbers.contains_key(id) {
            if self.strict || id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Denied::NoSuchObject);
            }
            self.numbers.insert(id.to_owned(), Number::new(id));
        }
        let number = self.numbers.get_mut(id).ok_or(Denied::NoSuchObject)?;
        if !number.tokens.is_empty() && !number.tokens.iter().any(|known| known == token) {
            return Err(Denied::Token);
        }
        Ok(number)
    }

    /// The WABA of a number, if it is known.
    pub(super) fn waba_of(&self, id: &str) -> Option<String> {
        self.numbers.get(id)?.business_account_id.clone()
    }

    /// The numbers of a WABA that this token may see. In lenient mode those of no WABA are anybody's.
    pub(super) fn numbers_of(&self, waba: &str, token: &str) -> Result<Vec<&Number>, Denied> {
        if self.revoked.contains(token) {
            return Err(Denied::Token);
        }
        let own: Vec<_> = self
            .numbers
            .values()
            .filter(|number| match &number.business_account_id {
                Some(id) => id == waba,
                None => !self.strict,
            })
            .collect();
        if own.is_empty() && self.strict {
            return Err(Denied::NoSuchObject);
        }
        let visible: Vec<_> = own
            .iter()
            .copied()
            .filter(|number| number.tokens.is_empty() || number.tokens.iter().any(|known| known == token))
            .collect();
        if visible.is_empty() && !own.is_empty() {
            return Err(Denied::Token);
        }
        Ok(visible)
    }

    /// Whether a token is worth anything.
    pub(super) fn is_valid(&self, token: &str) -> bool {
        !self.revoked.contains(token)
            && (!self.strict || self.numbers.values().any(|number| number.tokens.iter().any(|t| t == token)))
    }
}

/// All of the stand-in's state; each part behind a lock of its own.
pub(super) struct State {
    pub(super) known: Mutex<Known>,
    pub(super) rules: Mutex<Vec<Rule>>,
    pub(super) sent: Mutex<Ring<Kept>>,
    pub(super) reads: Mutex<Ring<Read>>,
    pub(super) files: Mutex<HashMap<String, File>>,
    pub(super) status_webhook: Mutex<Option<StatusWebhook>>,
    pub(super) sent_count: watch::Sender<usize>,
    pub(super) calls: AtomicUsize,
    pub(super) next_wamid: AtomicU64,
    /// Makes the wamids of this run unlike those of any other.
    pub(super) run: u32,
}

impl State {
    pub(super) fn new(options: Options) -> Self {
        Self {
            known: Mutex::new(Known { strict: options.strict, ..Known::default() }),
            rules: Mutex::default(),
            sent: Mutex::new(Ring::new(options.keep)),
            reads: Mutex::new(Ring::new(options.keep)),
            files: Mutex::default(),
            status_webhook: Mutex::default(),
            sent_count: watch::Sender::new(0),
            calls: AtomicUsize::new(0),
            next_wamid: AtomicU64::new(1),
            run: uuid::Uuid::new_v4().as_fields().0,
        }
    }
}
