//! The cargo: what travels between Meta's JSON, the database, a responder and a channel.

use serde::{Deserialize, Serialize};

/// Who wrote a message, as far as the transport says. Each part may be absent; all absent means "nobody known".
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Sender {
    /// WhatsApp phone identity: digits without `+`. Absent for customers who hide behind a username.
    pub wa_id: Option<String>,
    /// Business-scoped user ID (BSUID), opaque, kept whole, e.g. `US.13491208655302741918`.
    pub user_id: Option<String>,
    /// BSUID of the parent portfolio.
    pub parent_user_id: Option<String>,
    /// The name the person shows, if any.
    pub name: Option<String>,
}

/// One message from a customer, whatever its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    /// Routing key: the business number that received it.
    pub phone_number_id: String,
    /// The WABA (Messaging account) named by the entry.
    pub business_account_id: String,
    /// Meta's message ID; with the account it is the dedupe key.
    pub wamid: String,
    /// Who wrote it.
    pub sender: Sender,
    /// When it was written, Unix milliseconds, by Meta's clock. 0 when unreadable.
    pub sent_at: i64,
    /// Meta's type word: `text`, `image`, `interactive`, `reaction`, … or anything new.
    pub kind: String,
    /// What a responder and a person read: body, title, caption, readable location, or a label such as `[Image]`.
    pub text: String,
    /// Whether a responder is asked; otherwise the message is stored only.
    pub answerable: bool,
    /// The file that came with it.
    pub media: Option<Attachment>,
    /// Whose words they are.
    pub voice: Voice,
}

/// Whose words a message is, and how it came to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// The customer's, to us.
    Customer,
    /// The customer's, to somebody else who has the thread now.
    Overheard,
    /// The business's, from its phone app: a person takes over.
    Person,
    /// The business's, from whoever sent it, perhaps ourselves: if not, somebody takes over.
    Anybody,
    /// The business's, from the one who has the thread now.
    Other,
}

impl Voice {
    /// Whether the customer speaks.
    pub fn is_customer(self) -> bool {
        matches!(self, Self::Customer | Self::Overheard)
    }
}

/// A customer goes by other names from now on. Where both sides name a kind, the one replaces the other; what only
/// the former side names tells who is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    /// The names until now.
    pub previous: Sender,
    /// The names from now on.
    pub current: Sender,
    /// Unix milliseconds by Meta's clock; 0 when unreadable.
    pub at: i64,
}

/// Meta's conversation routing moved a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed {
    /// Whose thread.
    pub customer: Sender,
    /// Whether it is ours now.
    pub ours: bool,
    /// Unix milliseconds by Meta's clock; 0 when unreadable.
    pub at: i64,
}

/// A customer's word on marketing messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// Who.
    pub customer: Sender,
    /// Whether they are welcome.
    pub wanted: bool,
    /// Unix milliseconds by Meta's clock; 0 when unreadable.
    pub at: i64,
}

/// What Meta tells about a WABA, one of its numbers or one of its templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusinessNews {
    /// The WABA.
    pub business_account_id: String,
    /// Meta's word for what happened, e.g. `PARTNER_REMOVED`.
    pub event: String,
    /// How much it matters.
    pub severity: Severity,
    /// Everything else it says, as `name: value` pairs.
    pub detail: Option<String>,
    /// What it changes.
    pub effect: Effect,
}

/// How much a piece of news matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look.
    Warning,
    /// Something does not work any more.
    Critical,
}

impl Severity {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What a piece of news changes here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The WABA's accounts are switched off, for this reason.
    SwitchOff(&'static str),
    /// The WABA's accounts work as far as Meta allows, for this reason.
    Restrict(&'static str),
    /// What was switched off or restricted for this reason is checked with Graph, and works again if it agrees.
    CheckAgain(&'static str),
    /// A template.
    Template(TemplateNews),
    /// A number, or all of the WABA's.
    Number(NumberNews),
}

impl Effect {
    /// Whether accounts have another status afterwards.
    pub fn is_about_accounts(&self) -> bool {
        matches!(self, Self::SwitchOff(_) | Self::Restrict(_) | Self::CheckAgain(_))
    }
}

/// What is new about a template; absent things stay as they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the columns of `templates`, named alike
pub struct TemplateNews {
    pub name: String,
    pub language: String,
    pub template_id: Option<String>,
    pub status: Option<String>,
    pub category: Option<String>,
    pub quality: Option<String>,
    pub reason: Option<String>,
}

/// What is new about a number; absent things stay as they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the columns of `numbers`, named alike
pub struct NumberNews {
    /// Digits of the number; none: all numbers of the WABA.
    pub digits: Option<String>,
    pub quality: Option<String>,
    pub verified_name: Option<String>,
    pub name_status: Option<String>,
    pub messaging_limit: Option<String>,
}

/// A file that came with a message; Meta keeps it for seven days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Meta's ID of it.
    pub id: String,
    /// Its type.
    pub mime_type: String,
    /// Its digest, in hex or base64, if Meta tells.
    pub sha256: Option<String>,
    /// Its name, of documents.
    pub filename: Option<String>,
}

/// What Meta says about one of our messages. Never regresses: see [`DeliveryStatus::rank`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusUpdate {
    /// The number it left from.
    pub phone_number_id: String,
    /// Meta's ID of our message.
    pub wamid: String,
    /// `None` for a word we do not know: recorded raw, changes nothing.
    pub status: Option<DeliveryStatus>,
    /// Unix milliseconds by Meta's clock.
    pub at: i64,
    /// `biz_opaque_callback_data`: the attempt it belongs to, when Meta echoes it.
    pub callback: Option<String>,
    /// First error of a `failed` status.
    pub error_code: Option<i64>,
    /// Its words.
    pub error_text: Option<String>,
    /// Whose status it is, when the message went to a group: phone or BSUID.
    pub participant: Option<String>,
    /// What Meta bills, when it says so.
    pub pricing: Option<Pricing>,
}

/// What Meta bills for a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pricing {
    /// `service`, `utility`, `marketing`, `authentication` …
    pub category: String,
    /// `regular`, `free_customer_service`, `free_entry_point` …
    pub kind: String,
    /// Whether it costs something.
    pub billable: bool,
}

/// One thing a webhook change yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A message of a customer, or one of the business that did not come through us.
    Message(Inbound),
    /// News of a message we sent.
    Status(StatusUpdate),
    /// A customer has other names.
    Rename(Rename),
    /// A thread has another owner.
    Routed(Routed),
    /// A customer's word on marketing messages.
    Consent(Consent),
    /// About a WABA, a number or a template.
    Business(BusinessNews),
    /// Recorded with a reason, answered never: unknown fields, items without an ID, errors.
    Notice {
        /// Why it is only recorded, one short phrase.
        reason: String,
    },
}

/// Where a delivery stands. Stored and served as the lower-case word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    /// Waiting for its turn to be sent, or held back by a reason.
    Queued,
    /// An attempt is under way.
    Sending,
    /// Meta took it.
    Sent,
    /// It reached the phone.
    Delivered,
    /// It was read.
    Read,
    /// A voice note was played.
    Played,
    /// Refused for good.
    Failed,
    /// The answer to the attempt was lost: it may have gone out.
    Unknown,
    /// Withdrawn before it was sent.
    Cancelled,
    /// Given up after its last retry.
    Dead,
}

impl DeliveryStatus {
    /// Order in which statuses may follow each other; a lower or equal rank never replaces a higher one.
    pub fn rank(self) -> u8 {
        match self {
            Self::Queued => 0,
            Self::Sending => 1,
            Self::Unknown => 2,
            Self::Sent => 3,
            Self::Cancelled | Self::Dead | Self::Failed => 4,
            Self::Delivered => 5,
            Self::Read => 6,
            Self::Played => 7,
        }
    }

    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }

    /// Reads a stored or received word; `None` for an unknown one.
    pub fn parse(word: &str) -> Option<Self> {
        use DeliveryStatus::*;
        [Queued, Sending, Sent, Delivered, Read, Played, Failed, Unknown, Cancelled, Dead]
            .into_iter()
            .find(|s| s.as_str() == word)
    }
}

/// Where a customer is written to. It may change until a message leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipient {
    /// Digits without `+`; sent as `to`.
    Phone(String),
    /// A BSUID; sent as `recipient`.
    UserId(String),
}

/// One entry of the talk given to a responder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// Who speaks in an [`Entry`]. People who answer for the business are `assistant` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The customer.
    User,
    /// The business: chatbot or person.
    Assistant,
}
