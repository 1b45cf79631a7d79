//! A stand-in of Meta's Graph API: numbers, tokens, sent messages, subscriptions, and faults on demand.
//!
//! By default it is lenient: any number and any token will do, and is known from its first use. Numbers that are
//! [registered](GraphStandIn::register) accept their own tokens alone; with `strict`, only those exist.

mod faults;
mod manage;
mod media;
mod messages;
mod routes;
mod signup;
mod state;
mod statuses;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::web;

pub use faults::{Call, Fault, Rule};
pub use media::File;
pub use state::{Number, Read, Sent, Subscription, Template};
pub use statuses::StatusWebhook;

use super::server::StandInServer;
use super::{KEEP, lock};
use state::State;

/// How the stand-in behaves.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many messages (and read calls) are remembered, the last ones; all are counted.
    pub keep: usize,
    /// Whether only registered numbers exist.
    pub strict: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { keep: KEEP, strict: false }
    }
}

/// The stand-in, running until it is stopped or dropped.
pub struct GraphStandIn {
    /// What `GRAPH_API_BASE_URL` is set to: `http://127.0.0.1:<port>`.
    pub base_url: String,
    server: StandInServer,
    state: Arc<State>,
}

impl GraphStandIn {
    /// Starts a lenient one.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start() -> io::Result<Self> {
        Self::start_with(Options::default())
    }

    /// Starts one.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start_with(options: Options) -> io::Result<Self> {
        let state = Arc::new(State::new(options));
        let data = web::Data::from(state.clone());
        let server = StandInServer::start(move |config| {
            config.app_data(data.clone()).configure(routes::configure);
        })?;
        Ok(Self { base_url: server.base_url(), server, state })
    }

    /// Closes the port: connections are refused until [`Self::resume`]. What it knows stays known.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Listens again, on the same port.
    ///
    /// # Errors
    /// When somebody else took the port meanwhile.
    pub fn resume(&self) -> io::Result<()> {
        self.server.resume()
    }

    /// Makes a number known (or replaces what is known of it), with its WABA and the tokens it accepts.
    pub fn register(&self, number: Number) {
        lock(&self.state.known).register(number);
    }

    /// Makes a code as Embedded Signup's pop-up does: it yields this token, once, for 30 seconds.
    pub fn issue_code(&self, code: &str, token: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        lock(&self.state.known).codes.insert(code.to_owned(), (token.to_owned(), until));
    }

    /// From now on this token is answered with code 190, as after a password change at Meta.
    pub fn revoke_token(&self, token: &str) {
        lock(&self.state.known).revoked.insert(token.to_owned());
    }

    /// A revoked token is good again.
    pub fn restore_token(&self, token: &str) {
        lock(&self.state.known).revoked.remove(token);
    }

    /// What is subscribed on this WABA.
    pub fn subscription(&self, business_account_id: &str) -> Subscription {
        lock(&self.state.known).subscriptions.get(business_account_id).cloned().unwrap_or_default()
    }

    /// Sets what is subscribed on this WABA, e.g. an override that belongs to somebody else.
    pub fn set_subscription(&self, business_account_id: &str, subscription: Subscription) {
        lock(&self.state.known).subscriptions.insert(business_account_id.to_owned(), subscription);
    }

    /// Makes a template known. Once there is one, only known ones may be sent; before, any.
    pub fn approve(&self, name: &str, language: &str, parameters: usize) {
        let (name, language) = (name.to_owned(), language.to_owned());
        lock(&self.state.known).templates.push(Template { name, language, parameters });
    }

    /// Keeps a file as if a customer had sent it; the ID that its message names.
    pub fn put_file(&self, file: File) -> String {
        media::keep(&self.state, file)
    }

    /// What was uploaded or put here under this ID.
    pub fn file(&self, id: &str) -> Option<File> {
        lock(&self.state.files).get(id).cloned()
    }

    /// How many files there are.
    pub fn file_count(&self) -> usize {
        lock(&self.state.files).len()
    }

    /// Breaks one of the next calls; rules are used up in the order they were given.
    pub fn fault(&self, rule: impl Into<Rule>) {
        lock(&self.state.rules).push(rule.into());
    }

    /// From now on each accepted message yields signed status webhooks; `None` ends that.
    pub fn set_status_webhook(&self, target: Option<StatusWebhook>) {
        *lock(&self.state.status_webhook) = target;
    }

    /// The messages accepted, oldest first: the last `keep` of them.
    pub fn sent(&self) -> Vec<Sent> {
        lock(&self.state.sent).items.iter().map(state::Kept::open).collect()
    }

    /// Those to this customer: a phone with or without `+`, or a BSUID.
    pub fn sent_to(&self, customer: &str) -> Vec<Sent> {
        let customer = customer.trim_start_matches('+');
        lock(&self.state.sent)
            .items
            .iter()
            .filter(|kept| kept.to == customer)
            .map(state::Kept::open)
            .collect()
    }

    /// How many messages were accepted since the start or [`Self::clear`].
    pub fn sent_count(&self) -> usize {
        *self.state.sent_count.borrow()
    }

    /// How many calls of any kind came in since the start or [`Self::clear`], failed ones included.
    pub fn call_count(&self) -> usize {
        self.state.calls.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The calls that marked a message as read (and perhaps showed "typing"), oldest first.
    pub fn reads(&self) -> Vec<Read> {
        lock(&self.state.reads).items.iter().cloned().collect()
    }

    /// Waits until `n` messages were accepted and returns what is remembered; fewer when the time ran out.
    pub async fn wait_for_sent(&self, n: usize, timeout: Duration) -> Vec<Sent> {
        let mut count = self.state.sent_count.subscribe();
        let _ = tokio::time::timeout(timeout, count.wait_for(|count| *count >= n)).await;
        self.sent()
    }

    /// Forgets messages, read calls, counts and faults; numbers, tokens and subscriptions stay.
    pub fn clear(&self) {
        lock(&self.state.sent).items.clear();
        lock(&self.state.reads).items.clear();
        lock(&self.state.rules).clear();
        self.state.calls.store(0, std::sync::atomic::Ordering::Relaxed);
        self.state.sent_count.send_replace(0);
    }
}

/// The phone number of a business number nobody registered: country code 888 is nobody's, so it never collides
/// with a customer's.
pub fn display_number(phone_number_id: &str) -> String {
    let last = phone_number_id.len().saturating_sub(10);
    format!("888{}", phone_number_id.get(last..).unwrap_or_default())
}

#[cfg(test)]
mod tests;
