//! The table itself: which codes, what to do, whose turn it is, and the words for it.

use std::ops::RangeInclusive;

use super::{Fault, Reaction, Verdict};

type Codes = &'static [RangeInclusive<i64>];

const fn row(reaction: Reaction, fault: Fault, reason: &'static str, advice: &'static str) -> Verdict {
    Verdict { reaction, fault, reason, advice }
}

pub(super) static TOO_MANY: Verdict = row(
    Reaction::RetryLater,
    Fault::Meta,
    "rate_limited",
    "Meta is limiting how fast this number may send; the message is tried again by itself.",
);
pub(super) static DOUBT: Verdict = row(
    Reaction::Ambiguous,
    Fault::Meta,
    "meta_unavailable",
    "Meta had a fault while taking the message, so it may have gone out; look at the conversation before sending it again.",
);
pub(super) static TOKEN: Verdict = row(
    Reaction::TokenInvalid,
    Fault::Tenant,
    "token_invalid",
    "Meta no longer accepts the access token; store a new one, then the waiting messages go out.",
);
pub(super) static REFUSED: Verdict = row(
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
pub(super) static TABLE: &[(Codes, &Verdict)] = &[
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
