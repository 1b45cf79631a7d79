//! Every integration of a tenant: the health of all its numbers at a glance.

use actix_web::web;

use super::{IntegrationView, view};
use crate::api::Parts;
use crate::api::answer::{Answer, Listing, Page};
use crate::api::guard::Reader;

/// All integrations, the oldest first.
#[utoipa::path(get, path = "/api/v1/whatsapp/integrations", tag = "integrations", params(Page),
    responses((status = 200, body = Listing<IntegrationView>)))]
pub async fn list(caller: Reader, parts: web::Data<Parts>, page: web::Query<Page>) -> Answer {
    let slice = page.slice::<i64>()?;
    let after = slice.after.unwrap_or(0);
    let rows = parts.store.accounts_page(caller.tenant.as_str(), after, slice.fetch()).await?;
    slice.answer(rows, |row| row.id, |row| view(&parts, row))
}
