//! Faults on demand: which of the next calls go wrong, and how.

use std::time::Duration;

/// What goes wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Answered with an error in Meta's shape; nothing is accepted.
    Error {
        /// HTTP status.
        http: u16,
        /// Meta's error code.
        code: i64,
        /// Seconds for the `Retry-After` header.
        retry_after: Option<u64>,
    },
    /// Waits this long, then does as asked.
    Slow(Duration),
    /// Does as asked, then waits this long before it answers: the caller may give up on an accepted message.
    Hang(Duration),
    /// Does as asked, then closes the connection without an answer.
    LoseAnswer,
    /// Closes the connection before anything is accepted.
    HangUp,
}

impl Fault {
    /// An error without `Retry-After`.
    pub fn error(http: u16, code: i64) -> Self {
        Self::Error { http, code, retry_after: None }
    }
}

/// The kinds of call a fault can be meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `POST /{number}/messages` with a message.
    Send,
    /// `POST /{number}/messages` that marks one as read, with or without "typing".
    Read,
    /// Uploading a file, or asking where one is.
    Media,
    /// Fetching a file's bytes.
    Fetch,
    /// Everything else: numbers, subscriptions, tokens.
    Manage,
}

/// A fault, and the calls it strikes: the next message sent from any number, unless said otherwise.
#[derive(Debug, Clone)]
pub struct Rule {
    fault: Fault,
    call: Call,
    id: Option<String>,
    times: usize,
}

impl From<Fault> for Rule {
    fn from(fault: Fault) -> Self {
        Self { fault, call: Call::Send, id: None, times: 1 }
    }
}

impl Rule {
    /// Strikes the next `times` calls.
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Strikes only calls about this phone number, WABA or file ID.
    pub fn id(self, id: &str) -> Self {
        Self { id: Some(id.to_owned()), ..self }
    }

    /// Strikes calls of this kind.
    pub fn on(self, call: Call) -> Self {
        Self { call, ..self }
    }
}

/// The fault for this call, if one is due; it is used up by one.
pub(super) fn take(rules: &mut Vec<Rule>, call: Call, id: &str) -> Option<Fault> {
    let at = rules.iter().position(|rule| {
        rule.times > 0 && rule.call == call && rule.id.as_deref().is_none_or(|wanted| wanted == id)
    })?;
    let rule = &mut rules[at];
    rule.times -= 1;
    let fault = rule.fault.clone();
    if rule.times == 0 {
        rules.remove(at);
    }
    Some(fault)
}
