//! Who calls: an API key, a browser's sign-in or a token of a Supabase project. Ours are read from the database for each request, so that what is taken away is
//! gone at once on every instance.

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::problem::ApiError;
use super::{Parts, supabase};
use crate::auth::api_key::ApiKey;
use crate::auth::{Role, token};
use crate::ids::{TenantId, UserId};
use crate::secret;

/// A sign-in that nobody used for so many milliseconds is over; and any after so many.
pub const IDLE: i64 = 12 * 3_600_000;
/// See [`IDLE`].
pub const LONGEST: i64 = 30 * 24 * 3_600_000;
/// The last use of a key or sign-in is noted once in so many milliseconds.
const NOTED: i64 = 60_000;

/// A credential that was recognised.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Whose it is; none: the platform's.
    pub tenant: Option<TenantId>,
    /// What it may do.
    pub role: Role,
    /// For the audit log: `key:ab12cd34`, `user:ada@example.com` or `platform`.
    pub actor: String,
    /// Who it is, if it is a person.
    pub person: Option<Person>,
}

/// A person who signed in, here or at Supabase.
#[derive(Debug, Clone)]
pub struct Person {
    /// Their id, as they know it.
    pub id: String,
    /// Their e-mail address; none for some of Supabase's.
    pub email: Option<String>,
    /// What people call them.
    pub name: Option<String>,
    /// Their sign-in, if it is one of ours.
    pub sign_in: Option<SignedIn>,
}

/// One of our own sign-ins.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Whose it is.
    pub user: Uuid,
    /// What is stored of its token.
    pub hash: String,
}

/// The caller's credential; `None` when there is none, or none that is good. Who sends a bearer token is not known by
/// anything else.
pub async fn of(parts: &Parts, request: &HttpRequest) -> Result<Option<Credential>, ApiError> {
    if let Some(token) = bearer(request.headers()) {
        return of_token(parts, token).await;
    }
    let Some(token) = parts.people.cookie.read(request.headers()) else { return Ok(None) };
    let credential = of_cookie(parts, &token::digest(token)).await?;
    if credential.is_some() && !request.method().is_safe() {
        parts.people.cookie.refuse_other_sites(request, true)?;
    }
    Ok(credential)
}

/// The token of `Authorization: Bearer …`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

async fn of_token(parts: &Parts, token: &str) -> Result<Option<Credential>, ApiError> {
    if parts.admin_key.as_ref().is_some_and(|key| secret::equal(key.expose_secret(), token)) {
        let actor = "platform".to_owned();
        return Ok(Some(Credential { tenant: None, role: Role::Owner, actor, person: None }));
    }
    let Some(key) = ApiKey::parse(token) else { return supabase::credential(parts, token).await };
    let row = parts.store.api_key(key.id()).await?;
    let Some(row) = row.filter(|row| key.matches(&row.secret_hash) && row.revoked_at.is_none()) else {
        return Ok(None);
    };
    let now = parts.clock.now_ms();
    if row.last_used_at.is_none_or(|at| now - at >= NOTED) {
        noted(parts.store.touch_api_key(&row.id, now).await);
    }
    Ok(Role::parse(&row.role).map(|role| Credential {
        tenant: row.tenant_id.as_deref().map(TenantId::trusted),
        role,
        actor: format!("key:{}", row.id),
        person: None,
    }))
}

async fn of_cookie(parts: &Parts, hash: &str) -> Result<Option<Credential>, ApiError> {
    let now = parts.clock.now_ms();
    let row = parts.store.sign_in(hash).await?;
    let Some(row) = row.filter(|row| now < row.expires_at && now - row.seen_at < IDLE) else {
        return Ok(None);
    };
    if now - row.seen_at >= NOTED {
        noted(parts.store.touch_sign_in(hash, now).await);
    }
    Ok(Role::parse(&row.role).map(|role| Credential {
        tenant: row.tenant_id.as_deref().map(TenantId::trusted),
        role,
        actor: format!("user:{}", row.email),
        person: Some(Person {
            id: UserId(row.user_id).to_string(),
            email: Some(row.email),
            name: Some(row.name),
            sign_in: Some(SignedIn { user: row.user_id, hash: hash.to_owned() }),
        }),
    }))
}

fn noted(done: Result<(), crate::store::StoreError>) {
    if let Err(error) = done {
        tracing::warn!(%error, "a credential's last use could not be noted");
    }
}
