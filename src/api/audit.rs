//! The audit log as people read it: what was changed, by whom, when and from where.

use actix_web::web;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Parts;
use super::answer::{Answer, Listing, Page, Time};
use super::guard::Manager;
use crate::store::audit::AuditRow;

/// One thing that was changed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditView {
    id: String,
    at: Time,
    /// Whose thing it is; null for the platform's own.
    tenant: Option<String>,
    /// `key:ab12cd34`, `user:ada@example.com`, `supabase:…`, `platform`, `command line` and the like.
    actor: String,
    /// Where the request came from, if it was one.
    address: Option<String>,
    /// For example `integration.create`.
    #[schema(example = "integration.create")]
    action: String,
    /// Which thing.
    target: String,
    /// What more there is to say, for example `agent to admin`.
    detail: Option<String>,
}

/// Which lines.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Of this actor alone.
    actor: Option<String>,
    /// Of this action alone.
    action: Option<String>,
}

/// Lists what was changed, the newest first. A platform caller that names no tenant sees everybody's.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(Page, Which),
    responses((status = 200, body = Listing<AuditView>)))]
pub async fn list(
    caller: Manager,
    parts: web::Data<Parts>,
    page: web::Query<Page>,
    which: web::Query<Which>,
) -> Answer {
    let slice = page.slice::<i64>()?;
    let before = slice.after.unwrap_or(i64::MAX);
    let (actor, action) = (which.actor.as_deref(), which.action.as_deref());
    let rows = parts.store.audit_page(caller.scope(), actor, action, before, slice.fetch()).await?;
    slice.answer(rows, |row| row.id, view)
}

fn view(row: AuditRow) -> AuditView {
    AuditView {
        id: format!("aud_{}", row.id),
        at: Time(row.at),
        tenant: row.tenant_id,
        actor: row.actor,
        address: row.address,
        action: row.action,
        target: row.target,
        detail: row.detail,
    }
}
