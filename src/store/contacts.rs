//! Contacts and the names they go by.
//!
//! A contact is an opaque id inside a scope (a tenant's WABA or session). WhatsApp knows people by several names that
//! come and go: the phone identity (`wa_id`) may be hidden, numbers are given to other people, and the business-scoped
//! user ID (BSUID) is the one that stays with a person. So a BSUID decides; a `wa_id` counts only where it does not
//! contradict one.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Value};

use super::sql;
use crate::message::Sender;

/// Where aliases mean the same person.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub tenant: &'a str,
    pub scope: &'a str,
}

/// Finds the contact, or makes it; keeps its aliases up to date.
pub(super) async fn resolve(
    tx: &DatabaseTransaction,
    scope: Scope<'_>,
    sender: &Sender,
    now: i64,
) -> Result<i64, DbErr> {
    let by_user = match &sender.user_id {
        Some(id) => find(tx, scope, "bsuid", id).await?,
        None => None,
    };
    let by_phone = match &sender.wa_id {
        Some(id) => find(tx, scope, "wa_id", id).await?,
        None => None,
    };
    let contact = match (by_user, by_phone) {
        (Some(contact), _) => contact,
        // Known by phone only, from before BSUIDs: the same person. Known with another BSUID: the number was recycled,
        // and the new person must not inherit the former one's history.
        (None, Some(contact)) if sender.user_id.is_none() || !has_alias(tx, contact, "bsuid").await? => {
            contact
        }
        _ => create(tx, scope, sender.name.as_deref(), now).await?,
    };
    if by_user.is_none()
        && let Some(id) = &sender.user_id
    {
        point(tx, scope, "bsuid", id, contact, now).await?;
    }
    if by_phone != Some(contact)
        && let Some(id) = &sender.wa_id
    {
        point(tx, scope, "wa_id", id, contact, now).await?;
    }
    if let Some(id) = &sender.parent_user_id
        && find(tx, scope, "parent_bsuid", id).await?.is_none()
    {
        point(tx, scope, "parent_bsuid", id, contact, now).await?;
    }
    Ok(contact)
}

async fn find(
    tx: &DatabaseTransaction,
    scope: Scope<'_>,
    kind: &str,
    value: &str,
) -> Result<Option<i64>, DbErr> {
    let text = "select contact_id from contact_aliases where tenant_id = $1 and scope = $2 and kind = $3 and value = $4";
    let values: [Value; 4] = [scope.tenant.into(), scope.scope.into(), kind.into(), value.into()];
    tx.query_one_raw(sql::statement(tx, text, values))
        .await?
        .map(|row| row.try_get("", "contact_id"))
        .transpose()
}

async fn has_alias(tx: &DatabaseTransaction, contact: i64, kind: &str) -> Result<bool, DbErr> {
    let text = "select 1 as one from contact_aliases where contact_id = $1 and kind = $2";
    Ok(tx.query_one_raw(sql::statement(tx, text, [contact.into(), kind.into()])).await?.is_some())
}

async fn create(
    tx: &DatabaseTransaction,
    scope: Scope<'_>,
    name: Option<&str>,
    now: i64,
) -> Result<i64, DbErr> {
    let text =
        "insert into contacts (tenant_id, scope, name, created_at) values ($1, $2, $3, $4) returning id";
    let values: [Value; 4] = [scope.tenant.into(), scope.scope.into(), name.into(), now.into()];
    inserted(tx, text, values).await
}

/// Makes the alias mean this contact, from whomever it was.
async fn point(
    tx: &DatabaseTransaction,
    scope: Scope<'_>,
    kind: &str,
    value: &str,
    contact: i64,
    now: i64,
) -> Result<(), DbErr> {
    let text = "insert into contact_aliases (tenant_id, scope, kind, value, contact_id, created_at) \
                values ($1, $2, $3, $4, $5, $6) \
                on conflict (tenant_id, scope, kind, value) do update set contact_id = excluded.contact_id";
    let values: [Value; 6] =
        [scope.tenant.into(), scope.scope.into(), kind.into(), value.into(), contact.into(), now.into()];
    tx.execute_raw(sql::statement(tx, text, values)).await?;
    Ok(())
}

/// The id of the row that `text` inserts with `returning id`.
pub(super) async fn inserted(
    tx: &DatabaseTransaction,
    text: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<i64, DbErr> {
    let row = tx.query_one_raw(sql::statement(tx, text, values)).await?;
    row.ok_or_else(|| DbErr::RecordNotInserted)?.try_get("", "id")
}
