//! A tenant's API keys: shown whole once, then by their public part.

use actix_web::http::StatusCode;
use actix_web::web;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Parts;
use super::answer::{self, Answer, Listing, Page, Success, Time};
use super::body::{Body, Field, Fields, any, text};
use super::guard::{Caller, Manager};
use super::problem::{ApiError, Code};
use crate::auth::Role;
use crate::auth::api_key::ApiKey;
use crate::store::tenants::ApiKeyRow;

/// An API key without its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyView {
    /// Its public part.
    id: String,
    name: String,
    role: String,
    /// As far as it is shown.
    masked_key: String,
    created_at: Time,
    /// To the minute.
    last_used_at: Option<Time>,
    revoked_at: Option<Time>,
}

/// A new API key: the only time it is shown whole.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewKeyView {
    /// The key itself. Keep it: it cannot be shown again.
    key: String,
    #[serde(flatten)]
    view: KeyView,
}

/// A key to be made.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewKey {
    /// What people call it.
    #[serde(default)]
    #[schema(value_type = String, required, min_length = 1, max_length = 200)]
    name: Field<String>,
    /// At most the caller's own; `admin` unless given.
    #[serde(default)]
    #[schema(value_type = Role)]
    role: Field<Role>,
}

/// Makes a key of the caller's tenant.
#[utoipa::path(post, path = "/api/v1/api-keys", tag = "api-keys", request_body = NewKey,
    responses((status = 201, body = Success<NewKeyView>)))]
pub async fn create(caller: Manager, parts: web::Data<Parts>, body: Body) -> Answer {
    let new: NewKey = body.read()?;
    let mut fields = Fields::default();
    let name = fields.required("name", new.name, text(200));
    let role = fields.given("role", new.role, any).unwrap_or(Role::Admin);
    fields.done()?;
    grantable(&caller, role)?;
    let key = ApiKey::generate();
    let now = parts.clock.now_ms();
    let row = ApiKeyRow {
        id: key.id().to_owned(),
        tenant_id: Some(caller.tenant.to_string()),
        name: name.unwrap_or_default(),
        role: role.as_str().to_owned(),
        secret_hash: key.digest(),
        created_at: now,
        last_used_at: None,
        revoked_at: None,
    };
    parts.store.create_api_key(&row, &caller.audit("api_key.create", &row.id, now)).await?;
    let view = NewKeyView { key: key.reveal().expose_secret().to_owned(), view: view(row) };
    answer::success(StatusCode::CREATED, "API key created; it is not shown again", view)
}

/// Lists the tenant's keys, oldest first, revoked ones too.
#[utoipa::path(get, path = "/api/v1/api-keys", tag = "api-keys", params(Page),
    responses((status = 200, body = Listing<KeyView>)))]
pub async fn list(caller: Manager, parts: web::Data<Parts>, page: web::Query<Page>) -> Answer {
    let slice = page.slice::<String>()?;
    let mut rows = parts.store.api_keys(Some(caller.tenant.as_str())).await?;
    if let Some(after) = &slice.after {
        let start = rows.iter().position(|row| row.id == *after).map_or(rows.len(), |at| at + 1);
        rows.drain(..start);
    }
    slice.answer(rows, |row| row.id.clone(), view)
}

/// Revokes a key at once. Nobody takes a key of a higher role than their own.
#[utoipa::path(delete, path = "/api/v1/api-keys/{id}", tag = "api-keys", params(("id" = String, Path)),
    responses((status = 200, body = Success<KeyView>)))]
pub async fn revoke(caller: Manager, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    let tenant = caller.tenant.as_str();
    let missing = || ApiError::not_found("API key");
    let row = parts.store.api_key(&id).await?;
    let row = row.filter(|row| row.tenant_id.as_deref() == Some(tenant)).ok_or_else(missing)?;
    grantable(&caller, Role::parse(&row.role).unwrap_or(Role::Owner))?;
    if row.revoked_at.is_some() {
        return Err(missing());
    }
    let now = parts.clock.now_ms();
    parts.store.revoke_api_key(Some(tenant), &id, &caller.audit("api_key.revoke", &id, now)).await?;
    answer::ok("API key revoked", view(ApiKeyRow { revoked_at: Some(now), ..row }))
}

fn grantable(caller: &Caller, role: Role) -> Result<(), ApiError> {
    if caller.role.can_grant(role) {
        return Ok(());
    }
    let detail = format!("The role {} cannot give or take {}.", caller.role.as_str(), role.as_str());
    Err(ApiError::new(Code::Forbidden, detail))
}

fn view(row: ApiKeyRow) -> KeyView {
    KeyView {
        masked_key: format!("sb_live_{}_••••", row.id),
        id: row.id,
        name: row.name,
        role: row.role,
        created_at: Time(row.created_at),
        last_used_at: row.last_used_at.map(Time),
        revoked_at: row.revoked_at.map(Time),
    }
}
