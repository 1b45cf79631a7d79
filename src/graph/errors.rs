//! Meta's error codes: what each means for the message, the account and the person who has to act.
//!
//! Decided by `code` alone: Meta changes titles, and `error_subcode` is deprecated. The same codes come as
//! answers to a send and as `failed` statuses.

use std::ops::RangeInclusive;

use serde_json::Value;

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

type Codes = &'static [RangeInclusive<i64>];

const fn row(reaction: Reaction, fault: Fault, reason: &'static str, advice: &'static str) -> Verdict {
    Verdict { reaction, fault, reason, advice }
}

static TOO_MANY: Verdict = row(
    Reaction::RetryLater,
    Fault::Meta,
    "rate_limited",
    "Meta is limiting how fast this number may send; the message is tried again by itself.",
);
static DOUBT: Verdict = row(
    Reaction::Ambiguous,
    Fault::Meta,
    "meta_unavailable",
    "Meta had a fault while taking the message, so it may have gone out; look at the conversation before sending it again.",
);
static TOKEN: Verdict = row(
    Reaction::TokenInvalid,
    Fault::Tenant,
    "token_invalid",
    "Meta no longer accepts the access token; store a new one, then the waiting messages go out.",
);
static REFUSED: Verdict = row(
    Reaction::Permanent,
    Fault::Message,
    "refused",
    "Meta refused the message for a reason not known here; its own words stand beside this.",
);
static PERMISSION: Verdict = row(
    Reaction::TokenInvalid,
    Fault::Tenant,
    "permission_missing",
    "The access token lacks a permission or the number is not assigned to it; grant whatsapp_business_messaging and store a new token.",
);
static NUMBER: Verdict = row(
    Reaction::AccountRestricted,
    Fault::Tenant,
    "number_not_ready",
    "The number is not registered or not approved for sending; finish its registration in WhatsApp Manager.",
);
static RESTRICTED: Verdict = row(
    Reaction::AccountRestricted,
    Fault::Tenant,
    "account_restricted",
    "Meta has restricted or locked the account; see its account quality page and ask for a review.",
);
static SPAM: Verdict = row(
    Reaction::AccountRestricted,
    Fault::Tenant,
    "spam_limited",
    "Too many people blocked or reported this number; sending stops until its quality recovers.",
);
static TEMPLATE: Verdict = row(
    Reaction::Permanent,
    Fault::Tenant,
    "template_invalid",
    "The template is missing, paused, not approved or filled in wrongly; mend it in WhatsApp Manager.",
);
static BAD_REQUEST: Verdict = row(
    Reaction::Permanent,
    Fault::Message,
    "bad_request",
    "Meta does not accept the message as it was built, or the number's ID is wrong; check both.",
);
static UNSUPPORTED: Verdict = row(
    Reaction::Permanent,
    Fault::Message,
    "not_supported",
    "This code belongs to calls, groups, usernames or block lists, which are not used here.",
);

/// First match wins. Every reason stands for exactly one verdict.
static TABLE: &[(Codes, &Verdict)] = &[
    (&[4..=4, 80007..=80007, 130429..=130429], &TOO_MANY),
    (
        &[131056..=131056],
        &row(
            Reaction::PairLimit,
            Fault::Meta,
            "pair_limited",
            "Too many messages to this customer in a short time; the message is tried again by itself.",
        ),
    ),
    (&[1..=2, 131000..=131000, 131016..=131016, 131057..=131057, 133004..=133004], &DOUBT),
    (
        &[131047..=131047],
        &row(
            Reaction::WindowClosed,
            Fault::Contact,
            "window_closed",
            "More than 24 hours have passed since the customer last wrote; send an approved template instead.",
        ),
    ),
    (
        &[131026..=131026],
        &row(
            Reaction::Undeliverable,
            Fault::Contact,
            "undeliverable",
            "The customer cannot receive this: not on WhatsApp, an old app, or terms not accepted.",
        ),
    ),
    (
        &[130403..=130403],
        &row(
            Reaction::Undeliverable,
            Fault::Contact,
            "contact_blocked",
            "The business has blocked this customer; unblock them to write again.",
        ),
    ),
    (
        &[130497..=130497],
        &row(
            Reaction::Undeliverable,
            Fault::Tenant,
            "country_restricted",
            "Meta does not let this account write to the customer's country.",
        ),
    ),
    (
        &[131030..=131030],
        &row(
            Reaction::Undeliverable,
            Fault::Tenant,
            "recipient_not_allowed",
            "A test number writes only to its allow-list; add the customer there or use a real number.",
        ),
    ),
    (
        &[131049..=131049],
        &row(
            Reaction::Permanent,
            Fault::Contact,
            "marketing_limited",
            "This customer gets enough marketing for now; do not try again within 24 hours.",
        ),
    ),
    (
        &[130472..=130472],
        &row(
            Reaction::Permanent,
            Fault::Meta,
            "experiment",
            "Meta holds marketing back from this customer as an experiment; there is nothing to mend.",
        ),
    ),
    (
        &[131050..=131050],
        &row(
            Reaction::OptedOut,
            Fault::Contact,
            "opted_out",
            "The customer stopped marketing messages from this business; respect it.",
        ),
    ),
    (&[131048..=131048], &SPAM),
    (
        &[131064..=131064],
        &row(
            Reaction::AccountRestricted,
            Fault::Tenant,
            "template_misuse",
            "Meta limits this account for templates in the wrong category; correct their categories.",
        ),
    ),
    (
        &[131021..=131021],
        &row(
            Reaction::Permanent,
            Fault::Message,
            "own_number",
            "A number cannot write to itself; use another recipient.",
        ),
    ),
    (&[33..=33, 100..=100, 803..=803, 131008..=131009, 131051..=131051, 135000..=135000], &BAD_REQUEST),
    (
        &[131052..=131053],
        &row(
            Reaction::Permanent,
            Fault::Message,
            "media_failed",
            "The media could not be fetched or has a type or size WhatsApp does not take; use another file.",
        ),
    ),
    (
        &[131062..=131062],
        &row(
            Reaction::Permanent,
            Fault::Message,
            "phone_needed",
            "This kind of message needs the customer's phone number; ask for it or send another kind.",
        ),
    ),
    (
        &[
            131037..=131037,
            131045..=131045,
            133000..=133000,
            133006..=133006,
            133010..=133010,
            133015..=133015,
        ],
        &NUMBER,
    ),
    (
        &[133016..=133016],
        &row(
            Reaction::AccountRestricted,
            Fault::Tenant,
            "registration_limited",
            "The number was registered too often; wait 72 hours before registering it again.",
        ),
    ),
    (
        &[131042..=131042],
        &row(
            Reaction::AccountRestricted,
            Fault::Tenant,
            "payment_missing",
            "Meta could not bill the account; add or mend its payment method in WhatsApp Manager.",
        ),
    ),
    (&[368..=368, 131031..=131031], &RESTRICTED),
    (&[0..=0, 190..=190], &TOKEN),
    (&[3..=3, 10..=10, 200..=299, 131005..=131005], &PERMISSION),
    (
        &[
            132000..=132001,
            132005..=132005,
            132007..=132007,
            132012..=132012,
            132015..=132016,
            132018..=132018,
            132068..=132069,
        ],
        &TEMPLATE,
    ),
    (
        &[131055..=131055, 131063..=131063, 134100..=134102],
        &row(
            Reaction::Permanent,
            Fault::Tenant,
            "marketing_api",
            "The account is not set up for the Marketing Messages API; send it the ordinary way.",
        ),
    ),
    (
        &[136024..=136024],
        &row(
            Reaction::Permanent,
            Fault::Tenant,
            "already_verified",
            "The number is verified already; nothing needs to be done.",
        ),
    ),
    (&[131200..=131299, 138000..=138999, 139000..=139999, 147000..=147999], &UNSUPPORTED),
];

#[cfg(test)]
mod tests;
