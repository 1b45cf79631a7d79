//! Status webhooks for accepted messages: `sent`, `delivered`, `read`, in that order, as Meta sends them.

use std::time::Duration;

use actix_web::web;

use super::state::State;
use crate::sandbox::lock;
use crate::sandbox::webhook::{self, Change, Sender, Status};

/// Where the statuses of accepted messages go, and how soon.
#[derive(Debug, Clone)]
pub struct StatusWebhook {
    sender: Sender,
    /// How long after acceptance each status leaves.
    pub delays: [Duration; 3],
}

impl StatusWebhook {
    /// Posts to `url` (with `/webhook`), signed with `app_secret`, after 60, 250 and 700 ms.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(url: impl Into<String>, app_secret: impl Into<String>) -> reqwest::Result<Self> {
        let delays = [60, 250, 700].map(Duration::from_millis);
        Ok(Self { sender: Sender::new(url, app_secret)?, delays })
    }
}

/// Sends the three statuses of one message; ends early when nobody takes them.
pub(super) async fn announce(
    state: web::Data<State>,
    target: StatusWebhook,
    number: String,
    wamid: String,
    to: String,
    callback: Option<String>,
) {
    let mut elapsed = Duration::ZERO;
    for (status, due) in ["sent", "delivered", "read"].into_iter().zip(target.delays) {
        tokio::time::sleep(due.saturating_sub(elapsed)).await;
        elapsed = due.max(elapsed);
        let mut update = Status::new(&wamid, status, &to);
        update.callback.clone_from(&callback);
        let waba = lock(&state.known).waba_of(&number);
        let mut change = Change::new(&number).status(update);
        if let Some(waba) = waba {
            change = change.waba(&waba);
        }
        if target.sender.send(webhook::body(&[change])).await.is_err() {
            return;
        }
        let mut sent = lock(&state.sent);
        if let Some(kept) = sent.items.iter_mut().rev().find(|kept| kept.wamid == wamid) {
            kept.status = Some(status);
        }
    }
}
