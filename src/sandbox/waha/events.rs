//! Where the stand-in's webhooks leave: signed, and tried again whatever the answer, as WAHA does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha512;
use tokio::sync::mpsc;

use crate::sandbox::lock;

/// Tries of one webhook.
const TRIES: usize = 15;

/// One webhook to be posted.
struct Letter {
    url: String,
    signature: Option<String>,
    body: Value,
    retry: Duration,
}

/// Every try, with the status that came back.
type Posted = Arc<Mutex<Vec<(Value, Option<u16>)>>>;

/// The way out. It has a thread of its own, so that it works under any runtime.
pub struct Outlet {
    letters: mpsc::UnboundedSender<Letter>,
    posted: Posted,
}

impl Outlet {
    pub fn new(http: reqwest::Client) -> Self {
        let (letters, mut queue) = mpsc::unbounded_channel::<Letter>();
        let posted = Posted::default();
        let kept = posted.clone();
        std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            runtime.block_on(async move {
                // No order between them, as there is none in WAHA once one has to be tried again.
                while let Some(letter) = queue.recv().await {
                    tokio::spawn(deliver(http.clone(), letter, kept.clone()));
                }
            });
        });
        Self { letters, posted }
    }

    pub fn post(&self, url: &str, key: Option<&str>, body: &Value, retry: Duration) {
        let signature = key.and_then(|key| {
            let mut mac = <Hmac<Sha512> as KeyInit>::new_from_slice(key.as_bytes()).ok()?;
            mac.update(body.to_string().as_bytes());
            Some(hex::encode(mac.finalize().into_bytes()))
        });
        let _ = self.letters.send(Letter { url: url.to_owned(), signature, body: body.clone(), retry });
    }

    pub fn posted(&self) -> Vec<(Value, Option<u16>)> {
        lock(&self.posted).clone()
    }
}

async fn deliver(http: reqwest::Client, letter: Letter, posted: Posted) {
    for _ in 0..TRIES {
        let mut request = http
            .post(&letter.url)
            .header("Content-Type", "application/json")
            .header("X-Webhook-Timestamp", letter.body["timestamp"].to_string())
            .body(letter.body.to_string());
        if let Some(signature) = &letter.signature {
            request =
                request.header("X-Webhook-Hmac", signature).header("X-Webhook-Hmac-Algorithm", "sha512");
        }
        let status = request.send().await.ok().map(|response| response.status().as_u16());
        lock(&posted).push((letter.body.clone(), status));
        if status.is_some_and(|status| (200..300).contains(&status)) {
            return;
        }
        tokio::time::sleep(letter.retry).await;
    }
}
