//! Stand-ins with state, on real sockets: Meta's Graph API, a response API, Meta's webhook deliveries,
//! a WAHA server, and a customer's phone.
//!
//! `switchboard demo` and the tests run the very same ones. They play other people's machines, so they have a
//! clock of their own and know nothing of our database.

pub mod graph;
pub mod handset;
pub mod phone;
pub mod response_api;
pub mod waha;
pub mod webhook;

mod server;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The app secret with which the demo's webhooks are signed.
pub const DEMO_APP_SECRET: &str = "switchboard-demo-app-secret";

/// How many messages or requests a stand-in remembers unless told otherwise; beyond that it only counts.
pub const KEEP: usize = 10_000;

/// Unix milliseconds by the sandbox's clock.
pub fn now_ms() -> i64 {
    (time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000) as i64
}

/// A client for talking to a server on this machine: no proxy, no redirects, 30 s in all.
///
/// # Errors
/// When TLS cannot be set up.
pub fn http_client() -> reqwest::Result<reqwest::Client> {
    // Someone may have installed a provider before us; either will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(30))
        .build()
}

/// Locks even after a panic elsewhere: a failed test must not make the next one unreadable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers the last `keep` things.
#[derive(Debug)]
struct Ring<T> {
    keep: usize,
    items: VecDeque<T>,
}

impl<T> Ring<T> {
    fn new(keep: usize) -> Self {
        Self { keep, items: VecDeque::new() }
    }

    fn push(&mut self, item: T) {
        if self.keep == 0 {
            return;
        }
        if self.items.len() == self.keep {
            self.items.pop_front();
        }
        self.items.push_back(item);
    }
}
