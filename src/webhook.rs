//! The door: Meta's webhook. Verify, store, answer; nothing else happens before the 200.
//!
//! A body is [`Unverified`] until a secret is found that signed its exact bytes; only a [`Verified`] one is read.

mod signer;
pub mod waha;

use std::sync::{Arc, RwLock};
use std::time::Duration;

use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tracing::Instrument;
use tracing::field::Empty;

use crate::alerts::Burst;
use crate::graph::payload::{self, Change};
use crate::graph::signature::{self, Signature};
use crate::inbox::Inbox;
use crate::news::Newsroom;
use crate::routing::Routing;
use crate::runtime::Clock;
use crate::secret;
use crate::store::accept::Accept;
use crate::store::events::Event;
use crate::store::{Store, StoreError};
use crate::telemetry::metric;
use crate::telemetry::traces::TARGET;
use signer::{Unverified, Verified};

/// Largest body, in bytes; Meta sends up to 3 MB.
pub const MAX_BODY: usize = 3 << 20;
/// Longest challenge that is echoed, in bytes.
const MAX_CHALLENGE: usize = 1_024;
/// How long a body may take to come in.
const READING: Duration = Duration::from_secs(10);
/// How long finding the signer and storing may take together before Meta is asked to come again.
const PATIENCE: Duration = Duration::from_millis(1_900);
/// Changes of one body that are written at once.
const PORTION: usize = 512;
/// What stands for the secret of what a session heard.
const SESSION: &str = "session";
/// How long the time of a verification may take to be stored.
const NOTING: Duration = Duration::from_secs(10);

/// What the door needs. Cheap to clone.
#[derive(Clone)]
pub struct Door(Arc<Parts>);

struct Parts {
    store: Store,
    routing: Routing,
    news: Newsroom,
    clock: Clock,
    /// The platform's app secrets, current first, with their fingerprints.
    secrets: Vec<(SecretString, String)>,
    verify_token: Option<SecretString>,
    allow_unsigned: bool,
    /// Places for bodies whose signer must be looked up.
    looking: Semaphore,
    inbox: RwLock<Option<Inbox>>,
    refused: Burst,
}

impl Door {
    /// A door that stores; what it stores waits in the database until there is an [`Inbox`].
    pub fn new(
        store: Store,
        routing: Routing,
        news: Newsroom,
        clock: Clock,
        secrets: Vec<SecretString>,
        verify_token: Option<SecretString>,
        allow_unsigned: bool,
    ) -> Self {
        let secrets = secrets.into_iter().map(|s| (s.clone(), routing.fingerprint(&s))).collect();
        Self(Arc::new(Parts {
            store,
            routing,
            news,
            clock,
            secrets,
            verify_token,
            allow_unsigned,
            looking: Semaphore::new(signer::LOOKING),
            inbox: RwLock::default(),
            refused: Burst::default(),
        }))
    }

    /// From now on, what is stored is handed on to this station (or to none).
    pub fn open_to(&self, inbox: Option<Inbox>) {
        *self.0.inbox.write().unwrap_or_else(|e| e.into_inner()) = inbox;
    }

    fn inbox(&self) -> Option<Inbox> {
        self.0.inbox.read().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// What a session heard, in Meta's shape: for its number alone, whoever else the body may name.
    pub async fn take_from_session(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let now = self.0.clock.now_ms();
        let verified = Verified { by: SESSION.to_owned(), by_platform: true };
        self.keep(changes.into_iter().map(|change| verified.row(change, None, now))).await
    }

    /// Stores what was verified and hands it on: all of it, or an error.
    async fn keep(&self, mut rows: impl ExactSizeIterator<Item = Accept>) -> Result<(), StoreError> {
        let (mut elsewhere, mut failed, mut repeated) = (false, None, Vec::new());
        // In portions: a body of ten thousand changes must not fill the writer's queue, which all bodies share.
        while failed.is_none() && rows.len() > 0 {
            let portion: Vec<Accept> = rows.by_ref().take(PORTION).collect();
            let written = match self.0.store.door().try_write_all(portion.clone()).await {
                Ok(written) => written,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            };
            for (row, written) in portion.into_iter().zip(written) {
                // One that failed fails the body, but what is stored will not come in again.
                let id = match written {
                    Ok(id) => id,
                    Err(error) => {
                        failed = Some(error);
                        continue;
                    }
                };
                metrics::counter!(metric::EVENTS, "new" => if id.is_some() { "yes" } else { "no" })
                    .increment(1);
                match (id, self.inbox()) {
                    (Some(id), Some(inbox)) if row.unreadable.is_none() => inbox.hand_on(event(id, row)),
                    (Some(_), None) => elsewhere = true,
                    (None, Some(_)) => repeated.push(row.digest),
                    _ => {}
                }
            }
        }
        // A commit whose answer was lost told nobody: it is still open, and ours. What waits in memory already is not
        // done twice for being handed on again.
        if let Some(inbox) = self.inbox().filter(|_| !repeated.is_empty()) {
            match self.0.store.own_open_events(&repeated).await {
                Ok(open) => open.into_iter().for_each(|event| inbox.hand_on(event)),
                Err(error) => failed = Some(error),
            }
        }
        if elsewhere {
            self.0.news.tell_of_work();
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Mounts `GET` and `POST /webhook`.
pub fn configure(config: &mut web::ServiceConfig) {
    config.service(web::resource("/webhook").route(web::get().to(verify)).route(web::post().to(receive)));
}

/// Meta asks, while a callback URL is set up, whether we know the token it was given.
async fn verify(door: web::Data<Door>, request: HttpRequest) -> HttpResponse {
    let query: Vec<(String, String)> =
        web::Query::from_query(request.query_string()).map(web::Query::into_inner).unwrap_or_default();
    let get = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let token = get("hub.verify_token").unwrap_or_default();
    let challenge = get("hub.challenge").filter(|c| c.len() <= MAX_CHALLENGE);
    let (Some("subscribe"), Some(challenge), false) = (get("hub.mode"), challenge, token.trim().is_empty())
    else {
        return forbidden();
    };
    let account = door.0.routing.account_of_verify_token(token).await;
    if let Some(account) = account {
        tokio::spawn(note_verification(door.get_ref().clone(), account));
    }
    let shared = door.0.verify_token.as_ref().is_some_and(|t| secret::equal(t.expose_secret(), token));
    if account.is_none() && !shared {
        return forbidden();
    }
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/plain; charset=utf-8"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(challenge.to_owned())
}

/// Nobody waits for this: a database that does not answer must not keep Meta from its challenge.
async fn note_verification(door: Door, account: i64) {
    let noted = door.0.store.mark_verified(account, door.0.clock.now_ms());
    match tokio::time::timeout(NOTING, noted).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(account, %error, "the time of a verification could not be stored"),
        Err(_) => tracing::warn!(account, "the time of a verification could not be stored in time"),
    }
}

fn forbidden() -> HttpResponse {
    metrics::counter!(metric::VERIFICATIONS_REFUSED).increment(1);
    HttpResponse::Forbidden().content_type("text/plain; charset=utf-8").body("Forbidden")
}

async fn receive(door: web::Data<Door>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let span = tracing::info_span!(target: TARGET, "door", status = Empty);
    let answer = take(door, request, body).instrument(span.clone()).await;
    span.record("status", answer.status().as_u16());
    answer
}

async fn take(door: web::Data<Door>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let header = request.headers().get(signature::HEADER);
    let signature = header.and_then(|value| Signature::parse(value.to_str().ok()?));
    if signature.is_none() && !(door.0.allow_unsigned && header.is_none()) {
        return unsigned(&door);
    }
    let too_large =
        || json(HttpResponse::PayloadTooLarge(), r#"{"success":false,"error":"Body over 3 MiB"}"#);
    let announced =
        request.headers().get("content-length").and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BODY) {
        return too_large();
    }
    let body = match tokio::time::timeout(READING, body.to_bytes_limited(MAX_BODY)).await {
        Ok(Ok(Ok(body))) => body,
        Ok(Ok(Err(_))) => {
            return json(HttpResponse::BadRequest(), r#"{"success":false,"error":"Body cut short"}"#);
        }
        Ok(Err(_)) => return too_large(),
        Err(_) => {
            let mut response = HttpResponse::RequestTimeout();
            response.force_close();
            return json(response, r#"{"success":false,"error":"Body too slow"}"#);
        }
    };
    let began = std::time::Instant::now();
    let kept = async {
        let Some(verified) = (Unverified { body: &body, signature }).verify(&door.0).await? else {
            return Ok(None);
        };
        // A task of its own: if the caller hangs up, what gets stored is handed on all the same.
        let storing = tokio::spawn(verified.store(door.get_ref().clone(), body.clone()));
        storing.await.map_err(|panic| StoreError::Unavailable(panic.to_string()))?.map(Some)
    };
    let late = |_| Err(StoreError::Unavailable("not stored in time".into()));
    let kept = tokio::time::timeout(PATIENCE, kept).await.unwrap_or_else(late);
    match kept {
        Ok(Some(Stored::Kept)) => {
            metrics::histogram!(metric::WEBHOOK_SECONDS).record(began.elapsed());
            json(HttpResponse::Ok(), r#"{"success":true,"message":"Webhook received"}"#)
        }
        Ok(Some(Stored::NotOurs)) => {
            json(HttpResponse::Ok(), r#"{"success":true,"message":"Not a WhatsApp webhook event"}"#)
        }
        Ok(None) => unsigned(&door),
        Err(error) => unavailable(&error),
    }
}

fn unsigned(door: &Door) -> HttpResponse {
    metrics::counter!(metric::SIGNATURES_REFUSED).increment(1);
    door.0.refused.count(&door.0.store, door.0.clock.now_ms());
    json(HttpResponse::Unauthorized(), r#"{"success":false,"error":"Invalid signature"}"#)
}

/// These answers are compared byte by byte by older callers, so they stand as written.
fn json(mut response: HttpResponseBuilder, body: &'static str) -> HttpResponse {
    response.content_type("application/json").body(body)
}

/// Meta comes again, for seven days.
fn unavailable(error: &StoreError) -> HttpResponse {
    metrics::counter!(metric::WEBHOOKS_UNAVAILABLE).increment(1);
    tracing::warn!(%error, "a webhook could not be stored; Meta will send it again");
    let mut response = HttpResponse::ServiceUnavailable();
    response.insert_header((RETRY_AFTER, "2"));
    json(response, r#"{"success":false,"error":"Not stored, please try again"}"#)
}

enum Stored {
    Kept,
    NotOurs,
}

impl Verified {
    /// One row per change; all of them, or an error.
    async fn store(self, door: Door, body: Bytes) -> Result<Stored, StoreError> {
        let now = door.0.clock.now_ms();
        let (changes, unreadable) = match payload::split(&body) {
            Ok(split) if split.object != "whatsapp_business_account" => return Ok(Stored::NotOurs),
            Ok(split) => (split.changes, None),
            Err(error) => {
                let whole = Change {
                    entry_id: String::new(),
                    field: String::new(),
                    phone_number_id: None,
                    raw: body.to_vec(),
                };
                (vec![whole], Some(error.to_string()))
            }
        };
        door.keep(changes.into_iter().map(|change| self.row(change, unreadable.clone(), now))).await?;
        Ok(Stored::Kept)
    }

    fn row(&self, change: Change, unreadable: Option<String>, now: i64) -> Accept {
        let mut hash = Sha256::new();
        for part in [self.by.as_bytes(), change.entry_id.as_bytes(), &change.raw] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut digest: [u8; 32] = hash.finalize().into();
        // In the order of time they stand together in the index, however large it has become.
        digest[..4].copy_from_slice(&written_at(&change.raw).to_be_bytes());
        Accept {
            digest,
            entry_id: clipped(change.entry_id, 80),
            field: clipped(change.field, 80),
            phone_number_id: change.phone_number_id.map(|number| clipped(number, 64)),
            verified_by: self.by.clone(),
            by_platform: self.by_platform,
            received_at: now,
            lane: lane(&change.raw),
            raw: change.raw,
            unreadable,
        }
    }
}

/// Names from a body fit their columns; nothing that long is a name we know.
fn clipped(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
        text.truncate(end);
    }
    text.replace('\0', "")
}

/// The first time a change speaks of, in Unix seconds; 0 when it speaks of none.
fn written_at(raw: &[u8]) -> u32 {
    let key = br#""timestamp":""#;
    let Some(at) = memchr::memmem::find(raw, key) else { return 0 };
    let digits = raw[at + key.len()..].iter().take(10).take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |time: u32, digit| time.wrapping_mul(10).wrapping_add(u32::from(digit - b'0')))
}

/// The hash of the customer a change is about, as its `contacts` say: by the user id, which stays when a phone is
/// hidden, else by the phone. Meta puts one person into a change; of several, only the first one's order is kept
/// between instances. `None`: it is about nobody.
fn lane(raw: &[u8]) -> Option<i64> {
    let who = text_under(raw, br#""user_id""#).or_else(|| text_under(raw, br#""wa_id""#))?;
    let digest: [u8; 32] = Sha256::digest(who).into();
    Some(i64::from_be_bytes(digest[..8].try_into().ok()?))
}

/// The first text under this key (given with its quotes) that is not empty.
fn text_under<'a>(raw: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    memchr::memmem::find_iter(raw, key).find_map(|at| {
        let rest = raw[at + key.len()..].trim_ascii_start().strip_prefix(b":")?;
        let text = rest.trim_ascii_start().strip_prefix(b"\"")?;
        memchr::memchr(b'"', text).filter(|end| *end > 0).map(|end| &text[..end])
    })
}

fn event(id: i64, row: Accept) -> Event {
    Event {
        id,
        entry_id: row.entry_id,
        field: row.field,
        phone_number_id: row.phone_number_id,
        verified_by: row.verified_by,
        by_platform: row.by_platform,
        raw: row.raw,
        received_at: row.received_at,
        lane: row.lane,
        tenant_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_a_customer_however_the_change_is_written() {
        let of = |raw: &str| lane(raw.as_bytes());
        let anna = of(r#"{"contacts":[{"wa_id":"1555"}]}"#);
        assert!(anna.is_some());
        assert_eq!(of("{\"contacts\" : [{ \"wa_id\" :\n \"1555\" }]}"), anna);
        assert_eq!(of(r#"{"contacts":[{"wa_id":"1555"},{"wa_id":"1666"}]}"#), anna);
        assert_ne!(of(r#"{"contacts":[{"wa_id":"1666"}]}"#), anna);
        let hidden = of(r#"{"contacts":[{"user_id":"US.13.x"}],"messages":[{"from_user_id":"US.13.x"}]}"#);
        assert!(hidden.is_some() && hidden != anna);
        assert_eq!(of(r#"{"contacts":[{"wa_id":"1555","user_id":"US.13.x"}]}"#), hidden);
        assert_eq!(of(r#"{"user_id":{"previous":"a"},"x":"\"wa_id\":\"1\"","wa_id":""}"#), None);
    }
}
