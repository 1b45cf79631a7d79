//! The other door: webhooks of a WAHA server. Find whose it is, verify, store, answer.

use std::time::Duration;

use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::Sha512;

use super::{Door, MAX_BODY, READING};
use crate::channel::Sessions;
use crate::channel::waha::inbound::Event;
use crate::store::StoreError;
use crate::store::sessions::Session;
use crate::telemetry::metric;

/// How long the phone behind a hidden id may be asked for; without it the message is stored under that id.
const LOOKING_UP: Duration = Duration::from_millis(1_500);

/// What this door needs. Cheap to clone.
#[derive(Clone)]
pub struct WahaDoor {
    /// Where it is stored.
    pub door: Door,
    /// Whose it may be.
    pub sessions: Sessions,
    /// Signs webhooks of sessions that have no key of their own.
    pub hmac_key: Option<SecretString>,
    /// Whether unsigned bodies are taken although there is a key.
    pub allow_unsigned: bool,
    /// Whether sessions without any key are heard at all.
    pub allow_keyless: bool,
}

/// Mounts `POST /api/webhook/waha`.
pub fn configure(config: &mut web::ServiceConfig) {
    config.service(web::resource("/api/webhook/waha").route(web::post().to(receive)));
}

async fn receive(waha: web::Data<WahaDoor>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let body = match tokio::time::timeout(READING, body.to_bytes_limited(MAX_BODY)).await {
        Ok(Ok(Ok(body))) => body,
        Ok(Ok(Err(_))) => return HttpResponse::BadRequest().json(error("Body cut short")),
        Ok(Err(_)) => return HttpResponse::PayloadTooLarge().json(error("Body over 3 MiB")),
        Err(_) => return HttpResponse::RequestTimeout().json(error("Body too slow")),
    };
    // WAHA tries again whatever is no success, so what nobody can read is a success too.
    let Some(event) = Event::parse(&body) else { return HttpResponse::Ok().json(error("Not a WAHA event")) };
    let query: Vec<(String, String)> =
        web::Query::from_query(request.query_string()).map(web::Query::into_inner).unwrap_or_default();
    let tenant = query.iter().find(|(key, _)| key == "tenant_id").map(|(_, value)| value.as_str());
    let found = match waha.sessions.resolve(&event, tenant).await {
        Ok(found) => found,
        Err(error) => return unavailable(&error),
    };
    let Some((session, resolved_by)) = found else {
        tracing::error!(
            event = "waha_unresolved",
            session = event.session,
            kind = event.kind,
            "no tenant is known for it"
        );
        metrics::counter!(metric::EVENTS_UNRESOLVED).increment(1);
        return HttpResponse::Ok().json(error("Tenant not found"));
    };
    match waha.admits(&session, &request, &body) {
        Ok(true) => {}
        Ok(false) => {
            metrics::counter!(metric::SIGNATURES_REFUSED).increment(1);
            return HttpResponse::Unauthorized().json(error("Invalid signature"));
        }
        Err(error) => return unavailable(&StoreError::Query(error.to_string())),
    }
    tracing::debug!(
        event = "waha_heard",
        session = session.id,
        tenant = session.tenant_id,
        resolved_by,
        kind = event.kind
    );
    let heard = tokio::spawn({
        let (waha, session) = (waha.clone(), session.clone());
        // A task of its own: if the caller hangs up, what gets stored is handed on all the same.
        async move { waha.take(&session, &event).await }
    });
    match heard.await {
        Ok(Ok(())) => {
            let id = &session.tenant_id;
            let number = id.parse::<i64>().ok().filter(|number| number.to_string() == *id);
            let tenant_id = number.map_or_else(|| Value::from(id.as_str()), Value::from);
            HttpResponse::Ok().json(json!({ "status": "received", "tenant_id": tenant_id }))
        }
        Ok(Err(error)) => unavailable(&error),
        Err(panic) => unavailable(&StoreError::Unavailable(panic.to_string())),
    }
}

impl WahaDoor {
    /// Whether the body is its engine's: signed with the session's key, or with the one for sessions made elsewhere.
    fn admits(
        &self,
        session: &Session,
        request: &HttpRequest,
        body: &Bytes,
    ) -> Result<bool, crate::secret::SecretError> {
        let key = self.sessions.webhook_key(session)?.or_else(|| self.hmac_key.clone());
        let Some(key) = key else { return Ok(self.allow_keyless) };
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let Some(signature) = header("X-Webhook-Hmac") else { return Ok(self.allow_unsigned) };
        let known = header("X-Webhook-Hmac-Algorithm").is_none_or(|name| name.eq_ignore_ascii_case("sha512"));
        Ok(known && is_signed(key.expose_secret().as_bytes(), body, signature))
    }

    async fn take(&self, session: &Session, event: &Event) -> Result<(), StoreError> {
        if event.kind == "session.status" {
            self.sessions.turned(session.id).await;
            return Ok(());
        }
        let phone = match event.lid() {
            Some(lid) => self.sessions.phone_of(session, lid, LOOKING_UP).await,
            None => None,
        };
        self.door.take_from_session(event.changes(&session.key(), phone)).await
    }
}

/// Whether `signature` is the HMAC-SHA512 of these bytes, in hex; compared in constant time.
fn is_signed(key: &[u8], body: &[u8], signature: &str) -> bool {
    let Ok(given) = hex::decode(signature.trim()) else { return false };
    let Ok(mut mac) = <Hmac<Sha512> as KeyInit>::new_from_slice(key) else { return false };
    mac.update(body);
    mac.verify_slice(&given).is_ok()
}

fn error(message: &str) -> Value {
    json!({ "status": "error", "message": message })
}

/// WAHA comes again, a few times.
fn unavailable(problem: &StoreError) -> HttpResponse {
    metrics::counter!(metric::WEBHOOKS_UNAVAILABLE).increment(1);
    tracing::warn!(error = %problem, "a webhook of WAHA could not be stored; it will be sent again");
    HttpResponse::ServiceUnavailable()
        .insert_header((RETRY_AFTER, "2"))
        .json(error("Not stored, please try again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_signature_is_recognised() {
        let body = br#"{"event":"message","session":"default","engine":"WEBJS"}"#;
        let signature = "208f8a55dde9e05519e898b10b89bf0d0b3b0fdf11fdbf09b6b90476301b98d8\
                         097c462b2b17a6ce93b6b47a136cf2e78a33a63f6752c2c1631777076153fa89";
        assert!(is_signed(b"my-secret-key", body, signature));
        assert!(is_signed(b"my-secret-key", body, &signature.to_uppercase()));
        let mut other = body.to_vec();
        other.push(b' ');
        for (key, body, signature) in [
            (&b"another-key"[..], &body[..], signature),
            (b"my-secret-key", &other, signature),
            (b"my-secret-key", body, &signature[..126]),
            (b"my-secret-key", body, ""),
            (b"my-secret-key", body, "no hex"),
        ] {
            assert!(!is_signed(key, body, signature), "{signature}");
        }
    }
}
