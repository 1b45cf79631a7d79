//! Meta's error codes: what each means for the message, the account and the person who has to act.
//!
//! Decided by `code` alone: Meta changes titles, and `error_subcode` is deprecated. The same codes come as
//! answers to a send and as `failed` statuses.

mod table;

use serde_json::Value;

use table::{DOUBT, REFUSED, TABLE, TOKEN, TOO_MANY};

/// An error answer of the Graph API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} (HTTP {http}, code {})", self.details.as_deref().unwrap_or(&self.message), self.code.map_or_else(|| "none".to_owned(), |c| c.to_string()))]
pub struct GraphError {
    /// HTTP status.
    pub http: u16,
    /// Meta's `error.code`; `None` when the body was not Meta's.
    pub code: Option<i64>,
    /// `error.message`.
    pub message: String,
    /// `error.error_data.details`: the more useful words.
    pub details: Option<String>,
    /// What Meta's support asks for.
    pub fbtrace_id: Option<String>,
    /// Meta's own hint that the same call may succeed later.
    pub is_transient: bool,
}

impl GraphError {
    /// Reads an error body; one that is not Meta's keeps the HTTP status alone.
    pub fn parse(http: u16, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = &body["error"];
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        Self {
            http,
            code: error["code"].as_i64(),
            message: text(&error["message"])
                .unwrap_or_else(|| "answer without Meta's error object".to_owned()),
            details: text(&error["error_data"]["details"]),
            fbtrace_id: text(&error["fbtrace_id"]),
            is_transient: error["is_transient"] == true,
        }
    }

    /// What to do about it. A code in the table decides; otherwise the HTTP status.
    pub fn verdict(&self) -> &'static Verdict {
        if let Some(verdict) = self.code.and_then(verdict) {
            return verdict;
        }
        match self.http {
            429 => &TOO_MANY,
            401 => &TOKEN,
            408 | 500.. => &DOUBT,
            _ if self.is_transient => &DOUBT,
            _ => &REFUSED,
        }
    }
}

/// What a failed send means for what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// Turned away before anything happened: try again, slowing down for the whole number.
    RetryLater,
    /// The same, for this customer alone.
    PairLimit,
    /// It may have gone out: never repeat by itself.
    Ambiguous,
    /// More than 24 h since the customer wrote: a template, or a person.
    WindowClosed,
    /// This customer cannot get it.
    Undeliverable,
    /// The customer opted out of this kind of message: remember it.
    OptedOut,
    /// This message can never go out as it is; others can.
    Permanent,
    /// Hold everything of the account until it has a new token.
    TokenInvalid,
    /// Stop sending for the account and alert its people.
    AccountRestricted,
}

/// Whose turn it is to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Meta; time heals it.
    Meta,
    /// The business: token, payment, number, template, policy.
    Tenant,
    /// The customer's phone, settings or choice.
    Contact,
    /// Whoever built the message: this service or a caller of its API.
    Message,
}

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What to do.
    pub reaction: Reaction,
    /// Whose turn it is.
    pub fault: Fault,
    /// Stable snake_case word, stored and served as the `reason` of a delivery.
    pub reason: &'static str,
    /// One sentence a person can act on.
    pub advice: &'static str,
}

impl Verdict {
    /// Whether the same message may be sent again without a person's word.
    pub fn may_retry(&self) -> bool {
        matches!(self.reaction, Reaction::RetryLater | Reaction::PairLimit)
    }

    /// What the account is from now on, if this says something of it.
    pub fn account_status(&self) -> Option<&'static str> {
        match self.reaction {
            Reaction::TokenInvalid => Some("token_invalid"),
            Reaction::AccountRestricted => Some("restricted"),
            _ => None,
        }
    }

    /// Whether the message certainly did not go out.
    pub fn certainly_not_sent(&self) -> bool {
        self.reaction != Reaction::Ambiguous
    }
}

/// The verdict on a known code; `None` for one that is not in the table.
pub fn verdict(code: i64) -> Option<&'static Verdict> {
    TABLE
        .iter()
        .find(|(codes, _)| codes.iter().any(|range| range.contains(&code)))
        .map(|(_, verdict)| *verdict)
}

/// The verdict with this `reason`, for showing an older failure.
pub fn by_reason(reason: &str) -> Option<&'static Verdict> {
    let rows = TABLE.iter().map(|(_, verdict)| *verdict).chain([&REFUSED]);
    rows.into_iter().find(|verdict| verdict.reason == reason)
}

#[cfg(test)]
mod tests;
