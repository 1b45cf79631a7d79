//! The door: Meta's webhook. Verify, store, answer; nothing else happens before the 200.
//!
//! A body is [`Unverified`] until a secret is found that signed its exact bytes; only a [`Verified`] one is read.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::future::join_all;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::graph::payload::{self, Change};
use crate::graph::signature::{self, Signature};
use crate::inbox::Inbox;
use crate::news::{News, Newsroom};
use crate::routing::Routing;
use crate::runtime::Clock;
use crate::secret;
use crate::store::events::{Accept, Event};
use crate::store::{Store, StoreError};
use crate::telemetry::metric;

/// Largest body, in bytes; Meta sends up to 3 MB.
pub const MAX_BODY: usize = 3 << 20;
/// How long Meta is kept waiting for a commit; after that it comes again.
const COMMIT: Duration = Duration::from_millis(1_900);
/// Longest challenge that is echoed, in bytes.
const MAX_CHALLENGE: usize = 1_024;
/// Bytes hashed at most for a body whose signer it does not name itself.
const HASHED: usize = 32 << 20;
/// What stands for the secret of bodies that were accepted without one, in development.
const UNSIGNED: &str = "unsigned";

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
    inbox: RwLock<Option<Inbox>>,
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
            inbox: RwLock::default(),
        }))
    }

    /// From now on, what is stored is handed on to this station (or to none).
    pub fn open_to(&self, inbox: Option<Inbox>) {
        *self.0.inbox.write().unwrap_or_else(|e| e.into_inner()) = inbox;
    }

    fn inbox(&self) -> Option<Inbox> {
        self.0.inbox.read().unwrap_or_else(|e| e.into_inner()).clone()
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
    if let Some(account) = account
        && let Err(error) = door.0.store.mark_verified(account, door.0.clock.now_ms()).await
    {
        tracing::warn!(account, %error, "the time of a verification could not be stored");
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

fn forbidden() -> HttpResponse {
    metrics::counter!(metric::VERIFICATIONS_REFUSED).increment(1);
    HttpResponse::Forbidden().content_type("text/plain; charset=utf-8").body("Forbidden")
}

async fn receive(door: web::Data<Door>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let header = request.headers().get(signature::HEADER);
    let signature = header.and_then(|value| Signature::parse(value.to_str().ok()?));
    if signature.is_none() && !(door.0.allow_unsigned && header.is_none()) {
        return unsigned();
    }
    let too_large =
        || HttpResponse::PayloadTooLarge().json(json!({ "success": false, "error": "Body over 3 MiB" }));
    let announced =
        request.headers().get("content-length").and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BODY) {
        return too_large();
    }
    let body = match body.to_bytes_limited(MAX_BODY).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            return HttpResponse::BadRequest().json(json!({ "success": false, "error": "Body cut short" }));
        }
        Err(_) => return too_large(),
    };
    let verified = match (Unverified { body: &body, signature }).verify(&door.0).await {
        Ok(Some(verified)) => verified,
        Ok(None) => return unsigned(),
        Err(error) => return unavailable(&error),
    };
    match verified.store(&door).await {
        Ok(Stored::Kept) => {
            HttpResponse::Ok().json(json!({ "success": true, "message": "Webhook received" }))
        }
        Ok(Stored::NotOurs) => {
            HttpResponse::Ok().json(json!({ "success": true, "message": "Not a WhatsApp webhook event" }))
        }
        Err(error) => unavailable(&error),
    }
}

fn unsigned() -> HttpResponse {
    metrics::counter!(metric::SIGNATURES_REFUSED).increment(1);
    HttpResponse::Unauthorized().json(json!({ "success": false, "error": "Invalid signature" }))
}

/// Meta comes again, for seven days.
fn unavailable(error: &StoreError) -> HttpResponse {
    metrics::counter!(metric::WEBHOOKS_UNAVAILABLE).increment(1);
    tracing::warn!(%error, "a webhook could not be stored; Meta will send it again");
    HttpResponse::ServiceUnavailable()
        .insert_header((RETRY_AFTER, "2"))
        .json(json!({ "success": false, "error": "Not stored, please try again" }))
}

/// Bytes from anybody.
struct Unverified<'a> {
    body: &'a [u8],
    signature: Option<Signature>,
}

/// Bytes that a secret we know signed.
struct Verified<'a> {
    body: &'a [u8],
    by: String,
    by_platform: bool,
}

enum Stored {
    Kept,
    NotOurs,
}

impl<'a> Unverified<'a> {
    /// Finds the secret: the platform's, one of the accounts the body claims to be about, or, within a bound, anyone's
    /// (what such a body may do is decided change by change, see [`crate::routing::Account::accepts`]). `None`:
    /// nobody's.
    async fn verify(self, door: &Parts) -> Result<Option<Verified<'a>>, StoreError> {
        let Some(signature) = self.signature else {
            return Ok(Some(Verified { body: self.body, by: UNSIGNED.into(), by_platform: true }));
        };
        let signed = |secret: &SecretString| signature.matches(secret.expose_secret().as_bytes(), self.body);
        if let Some((_, by)) = door.secrets.iter().find(|(secret, _)| signed(secret)) {
            return Ok(Some(Verified { body: self.body, by: by.clone(), by_platform: true }));
        }
        let claimed = payload::peek(self.body);
        let mut accounts = Vec::new();
        for number in &claimed.phone_number_ids {
            accounts.extend(door.routing.accounts(number).await?.iter().cloned());
        }
        if claimed.phone_number_ids.is_empty() {
            for business in &claimed.business_account_ids {
                accounts.extend(door.routing.accounts_of_business(business).await?.iter().cloned());
            }
        }
        let everyone = door.routing.every_secret().await?;
        let others = everyone.iter().take(HASHED / self.body.len().max(1_024));
        let mut candidates = accounts.iter().flat_map(|a| &a.secrets).chain(others);
        Ok(candidates.find(|secret| signed(secret)).map(|secret| Verified {
            body: self.body,
            by: door.routing.fingerprint(secret),
            by_platform: false,
        }))
    }
}

impl Verified<'_> {
    /// One row per change; all of them, or an error.
    async fn store(self, door: &Door) -> Result<Stored, StoreError> {
        let now = door.0.clock.now_ms();
        let (changes, unreadable) = match payload::split(self.body) {
            Ok(split) if split.object != "whatsapp_business_account" => return Ok(Stored::NotOurs),
            Ok(split) => (split.changes, None),
            Err(error) => {
                let whole = Change {
                    entry_id: String::new(),
                    field: String::new(),
                    phone_number_id: None,
                    raw: self.body.to_vec(),
                };
                (vec![whole], Some(error.to_string()))
            }
        };
        // In tasks of their own: a row that is committed must be handed on, even if Meta hangs up meanwhile.
        let rows = changes.into_iter().map(|change| self.row(change, unreadable.clone(), now));
        let stored: Vec<_> = rows.map(|row| tokio::spawn(store_row(door.clone(), row))).collect();
        let all = async {
            for outcome in join_all(stored).await {
                outcome.map_err(|e| StoreError::Unavailable(e.to_string()))??;
            }
            Ok(Stored::Kept)
        };
        let late = |_| StoreError::Unavailable("no commit within two seconds".into());
        tokio::time::timeout(COMMIT, all).await.map_err(late)?
    }

    fn row(&self, change: Change, unreadable: Option<String>, now: i64) -> Accept {
        let mut hash = Sha256::new();
        for part in [self.by.as_bytes(), change.entry_id.as_bytes(), &change.raw] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Accept {
            digest: hash.finalize().into(),
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

/// Commits a row, and hands it on if it is new.
async fn store_row(door: Door, row: Accept) -> Result<(), StoreError> {
    let id = door.0.store.door().try_write(row.clone()).await?;
    metrics::counter!(metric::EVENTS, "new" => if id.is_some() { "yes" } else { "no" }).increment(1);
    let Some(id) = id.filter(|_| row.unreadable.is_none()) else { return Ok(()) };
    match door.inbox() {
        Some(inbox) => inbox.hand_on(event(id, row)),
        None => {
            if let Err(error) = door.0.news.tell(News::Work).await {
                tracing::debug!(%error, "the workers will find it by themselves");
            }
        }
    }
    Ok(())
}

/// Names from a body fit their columns; nothing that long is a name we know.
fn clipped(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
        text.truncate(end);
    }
    text.replace('\0', "")
}

/// The hash of the one customer a change is about, as its `contacts` say; `None` when it is about none or several.
fn lane(raw: &[u8]) -> Option<i64> {
    let mut who: Option<&[u8]> = None;
    for at in memchr::memmem::find_iter(raw, br#""wa_id":""#) {
        let rest = &raw[at + 9..];
        let id = &rest[..memchr::memchr(b'"', rest)?];
        if *who.get_or_insert(id) != id {
            return None;
        }
    }
    let digest: [u8; 32] = Sha256::digest(who?).into();
    Some(i64::from_be_bytes(digest[..8].try_into().ok()?))
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
    }
}
