//! Alerts: what people had to know lately. The platform sees all, a tenant its own.

use actix_web::web;
use serde::Serialize;
use utoipa::ToSchema;

use super::Parts;
use super::answer::{Answer, Listing, Page, Time};
use super::guard::Reader;
use crate::ids::{AccountId, AlertId};
use crate::store::alerts::AlertRow;

/// An alert.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertView {
    id: AlertId,
    /// `account_token_invalid`, `account_restricted`, `business_news`, `secret_binding_refused`, `signatures_refused`,
    /// `work_waits`, `deliveries_unknown`, `deliveries_dead`, `turns_dead` or `endpoint_disabled`.
    kind: String,
    /// One or two sentences for people.
    text: String,
    /// Whose it is; null: the platform's.
    tenant: Option<String>,
    /// Which account, if it is about one.
    account: Option<AccountId>,
    at: Time,
    /// `open` until what it tells of is mended, `over` from then on; `moment` if it does not last.
    state: &'static str,
    /// Since when it is over.
    ended_at: Option<Time>,
}

/// Lists the last alerts, newest first. A platform key that names no tenant sees everybody's.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", params(Page),
    responses((status = 200, body = Listing<AlertView>)))]
pub async fn list(caller: Reader, parts: web::Data<Parts>, page: web::Query<Page>) -> Answer {
    let slice = page.slice::<i64>()?;
    let before = slice.after.unwrap_or(i64::MAX);
    let rows = parts.store.alert_page(caller.scope(), before, slice.fetch()).await?;
    slice.answer(rows, |row| row.id, view)
}

fn view(row: AlertRow) -> AlertView {
    let state = match row.ended_at {
        Some(_) => "over",
        None if row.lasts() => "open",
        None => "moment",
    };
    AlertView {
        id: AlertId(row.id),
        kind: row.kind,
        text: row.text,
        tenant: row.tenant_id,
        account: row.account_id.map(AccountId),
        at: Time(row.at),
        state,
        ended_at: row.ended_at.map(Time),
    }
}
