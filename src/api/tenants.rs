//! Tenants: made and changed by the platform; each may look at itself.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::web;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Parts;
use super::answer::{self, Answer, Listing, Page, Success, Time};
use super::body::{Body, Checked, Field, Fields, text};
use super::guard::{Manager, Reader};
use super::problem::{ApiError, Code};
use crate::ids::TenantId;
use crate::store::StoreError;
use crate::store::tenants::{Audit, Tenant};

/// Names of one tenant elsewhere, at most.
const NAMES: usize = 50;

/// A business.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantView {
    id: String,
    name: String,
    /// Its names in other systems, by system.
    external_ids: BTreeMap<String, String>,
    created_at: Time,
}

/// A tenant to be made.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewTenant {
    /// 1 to 64 letters, digits, dots, hyphens or underscores; made up unless given.
    #[serde(default)]
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_.-]{1,64}$")]
    id: Field<String>,
    #[serde(default)]
    #[schema(value_type = String, required, min_length = 1, max_length = 200)]
    name: Field<String>,
    /// Its names in other systems, by system; each belongs to one tenant.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    external_ids: Field<BTreeMap<String, String>>,
}

/// What changes about a tenant.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantChange {
    #[serde(default)]
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    name: Field<String>,
    /// Merged by system: null removes a name.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    external_ids: Field<BTreeMap<String, Option<String>>>,
}

/// Makes a tenant.
#[utoipa::path(post, path = "/api/v1/tenants", tag = "tenants", request_body = NewTenant,
    responses((status = 201, body = Success<TenantView>)))]
pub async fn create(caller: Manager, parts: web::Data<Parts>, body: Body) -> Answer {
    caller.platform()?;
    let new: NewTenant = body.read()?;
    let mut fields = Fields::default();
    let id = fields.given("id", new.id, |id| id.parse::<TenantId>().map_err(|e| e.to_string()));
    let name = fields.required("name", new.name, text(200));
    let names = fields.optional("externalIds", new.external_ids, names).flatten();
    fields.done()?;
    let id = id.map_or_else(|| Uuid::now_v7().simple().to_string(), |id| id.to_string());
    let names: Vec<(String, String)> = names.unwrap_or_default().into_iter().collect();
    let now = parts.clock.now_ms();
    let line = Audit { tenant: Some(&id), ..caller.audit("tenant.create", &id, now) };
    parts.store.create_tenant(&id, &name.unwrap_or_default(), &names, &line).await.map_err(taken)?;
    answer::success(StatusCode::CREATED, "Tenant created", load(&parts, &id).await?)
}

/// Lists all tenants, by id.
#[utoipa::path(get, path = "/api/v1/tenants", tag = "tenants", params(Page),
    responses((status = 200, body = Listing<TenantView>)))]
pub async fn list(caller: Reader, parts: web::Data<Parts>, page: web::Query<Page>) -> Answer {
    caller.platform()?;
    let slice = page.slice::<String>()?;
    let rows = parts.store.tenant_page(slice.after.as_deref().unwrap_or_default(), slice.fetch()).await?;
    let mut views = Vec::with_capacity(rows.len());
    for row in rows {
        views.push(view(&parts, row).await?);
    }
    slice.answer(views, |view| view.id.clone(), |view| view)
}

/// One tenant: any for the platform, itself for everybody else.
#[utoipa::path(get, path = "/api/v1/tenants/{id}", tag = "tenants", params(("id" = String, Path)),
    responses((status = 200, body = Success<TenantView>)))]
pub async fn one(caller: Reader, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    if !caller.is_platform && *id != caller.tenant.as_str() {
        return Err(ApiError::not_found("tenant"));
    }
    answer::ok("Tenant", load(&parts, &id).await?)
}

/// Renames a tenant, or changes its names elsewhere.
#[utoipa::path(patch, path = "/api/v1/tenants/{id}", tag = "tenants", params(("id" = String, Path)),
    request_body = TenantChange, responses((status = 200, body = Success<TenantView>)))]
pub async fn change(caller: Manager, parts: web::Data<Parts>, id: web::Path<String>, body: Body) -> Answer {
    caller.platform()?;
    let before = load(&parts, &id).await?;
    let change: TenantChange = body.read()?;
    if !change.name.is_there() && !change.external_ids.is_there() {
        return Err(ApiError::new(Code::Invalid, "Nothing to change was given."));
    }
    let mut fields = Fields::default();
    let name = fields.given("name", change.name, text(200));
    let names = fields.optional("externalIds", change.external_ids, |changes| {
        let mut all = before.external_ids.clone();
        for (kind, value) in changes {
            match value {
                Some(value) => drop(all.insert(kind, value)),
                None => drop(all.remove(&kind)),
            }
        }
        names(all)
    });
    fields.done()?;
    let names: Option<Vec<(String, String)>> =
        names.map(|names| names.unwrap_or_default().into_iter().collect());
    let line = Audit { tenant: Some(&id), ..caller.audit("tenant.change", &id, parts.clock.now_ms()) };
    let name = name.unwrap_or(before.name);
    parts.store.update_tenant(&id, &name, names.as_deref(), &line).await.map_err(taken)?;
    answer::ok("Tenant changed", load(&parts, &id).await?)
}

fn names(names: BTreeMap<String, String>) -> Checked<BTreeMap<String, String>> {
    let short = |text: &str, longest| !text.trim().is_empty() && text.chars().count() <= longest;
    if names.len() > NAMES || !names.iter().all(|(kind, value)| short(kind, 64) && short(value, 256)) {
        return Err(format!("must have at most {NAMES} names of 1 to 256 characters, systems of 1 to 64"));
    }
    Ok(names)
}

fn taken(error: StoreError) -> ApiError {
    match error {
        StoreError::Conflict => {
            ApiError::new(Code::Exists, "Another tenant has this id or one of these external ids.")
        }
        other => other.into(),
    }
}

async fn load(parts: &Parts, id: &str) -> Result<TenantView, ApiError> {
    let found = parts.store.tenant(id).await?;
    view(parts, found.ok_or_else(|| ApiError::not_found("tenant"))?).await
}

async fn view(parts: &Parts, tenant: Tenant) -> Result<TenantView, ApiError> {
    let external_ids = parts.store.external_ids(&tenant.id).await?.into_iter().collect();
    Ok(TenantView { external_ids, id: tenant.id, name: tenant.name, created_at: Time(tenant.created_at) })
}
