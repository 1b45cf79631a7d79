//! What engines in this process tell, and whom.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::waha::inbound::Event;
use crate::store::StoreError;

/// What an engine in this process has to tell.
#[derive(Debug, Clone)]
pub enum Heard {
    /// Somebody wrote.
    Text {
        /// The message's id.
        id: String,
        /// Digits.
        from: String,
        /// The name on the profile.
        name: Option<String>,
        /// The words.
        text: String,
    },
    /// One of our messages got on.
    Status {
        /// The message's id.
        id: String,
        /// `delivered` or `read`.
        status: &'static str,
    },
    /// Something in the words of a WAHA server.
    Event(Box<Event>),
    /// The session itself stands elsewhere now.
    Turned,
}

/// Who is told, by the session's name; the message counts as taken when it says so.
pub type Ear = Arc<dyn Fn(String, Heard) -> BoxFuture<'static, Result<(), StoreError>> + Send + Sync>;
