//! Contacts and the names they go by.
//!
//! A contact is an opaque id inside a scope (a tenant's WABA or session). WhatsApp knows people by several names that
//! come and go: the phone identity (`wa_id`) may be hidden, numbers are given to other people, and the business-scoped
//! user ID (BSUID) is the one that stays with a person. So a BSUID decides; a `wa_id` counts only where it does not
//! contradict one.
//!
//! Meta tells when somebody's names change. That is remembered for good, so that it holds for whatever comes late, and
//! for people who were never seen under their former name.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Value};

use super::conversations::recipient_of;
use super::sql;
use crate::message::{Consent, Recipient, Rename, Sender};

/// The advisory lock under which contacts and conversations are made: two instances may see the same stranger.
pub(super) const MAKING: i64 = 0x7377_6270_656f_706c;
/// A contact that is younger than a change of names by more than this is not whom it means, in milliseconds.
const DELAY: i64 = 60_000;
/// Changes of names that are followed, one after the other.
const CHANGES: usize = 8;
/// Meta's clock knows whole seconds only.
const SECOND: i64 = 1_000;

/// The address of a customer who is known by no name any more.
pub(super) const NOWHERE: &str = r#"{"user_id":""}"#;

/// Until the end of the transaction nobody else makes or changes contacts. SQLite has one writer anyway.
pub(super) async fn lock(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    if tx.get_database_backend() == DbBackend::Postgres {
        tx.execute_unprepared(&format!("select pg_advisory_xact_lock({MAKING})")).await?;
    }
    Ok(())
}

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
    (sent_at, now): (i64, i64),
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
        point(tx, scope, ("bsuid", id), None, contact, sent_at).await?;
    }
    if by_phone != Some(contact)
        && let Some(id) = &sender.wa_id
    {
        point(tx, scope, ("wa_id", id), by_phone, contact, sent_at).await?;
    }
    if let Some(id) = &sender.parent_user_id
        && find(tx, scope, "parent_bsuid", id).await?.is_none()
    {
        point(tx, scope, ("parent_bsuid", id), None, contact, sent_at).await?;
    }
    Ok(contact)
}

/// Somebody who wrote at `sent_at`, by the names they have now. A phone number that was given up means its former
/// owner only in what was written before.
pub(super) async fn as_known_now(
    tx: &impl ConnectionTrait,
    scope: Scope<'_>,
    sender: &Sender,
    sent_at: i64,
) -> Result<Sender, DbErr> {
    let mut sender = sender.clone();
    let text = "select kind, current, at from contact_renames where tenant_id = $1 and scope = $2 \
                and ((kind = 'wa_id' and previous = $3 and at > $5) or (kind = 'bsuid' and previous = $4 and at > $6)) \
                order by at desc";
    // A user ID is never given to somebody else, so it means its owner whenever it comes.
    let (mut phone_since, mut user_since) = (sent_at, i64::MIN);
    for _ in 0..CHANGES {
        let values: [Value; 6] = [
            scope.tenant.into(),
            scope.scope.into(),
            sender.wa_id.clone().unwrap_or_default().into(),
            sender.user_id.clone().unwrap_or_default().into(),
            phone_since.into(),
            user_since.into(),
        ];
        let rows = tx.query_all_raw(sql::statement(tx, text, values)).await?;
        if rows.is_empty() {
            break;
        }
        // Newest first, so that the change that came first has the last word.
        for row in rows {
            let is_phone = row.try_get::<String>("", "kind")? == "wa_id";
            let (name, since) = match is_phone {
                true => (&mut sender.wa_id, &mut phone_since),
                false => (&mut sender.user_id, &mut user_since),
            };
            (*name, *since) = (Some(row.try_get("", "current")?), row.try_get("", "at")?);
        }
    }
    if let (Some(user), Some(phone)) = (&sender.user_id, &sender.wa_id)
        && let Some(contact) = find(tx, scope, "bsuid", user).await?
        && is_newer_owners(tx, scope, phone, contact, phone_since).await?
    {
        sender.wa_id = None;
    }
    Ok(sender)
}

/// Whether a phone is somebody else's since after `at`: whoever it meant then has lost it, without Meta telling so.
async fn is_newer_owners(
    tx: &impl ConnectionTrait,
    scope: Scope<'_>,
    phone: &str,
    contact: i64,
    at: i64,
) -> Result<bool, DbErr> {
    let text = "select 1 as one from contact_aliases where tenant_id = $1 and scope = $2 and kind = 'wa_id' \
                and value = $3 and contact_id <> $4 and created_at >= $5";
    let values: [Value; 5] =
        [scope.tenant.into(), scope.scope.into(), phone.into(), contact.into(), (at + SECOND).into()];
    Ok(tx.query_one_raw(sql::statement(tx, text, values)).await?.is_some())
}

/// The contact with these names, if there is one.
pub(super) async fn find_person(
    tx: &impl ConnectionTrait,
    scope: Scope<'_>,
    sender: &Sender,
    at: i64,
) -> Result<Option<i64>, DbErr> {
    let sender = as_known_now(tx, scope, sender, at).await?;
    if let Some(id) = &sender.user_id
        && let Some(contact) = find(tx, scope, "bsuid", id).await?
    {
        return Ok(Some(contact));
    }
    let Some(id) = &sender.wa_id else { return Ok(None) };
    let Some(contact) = find(tx, scope, "wa_id", id).await? else { return Ok(None) };
    let same = sender.user_id.is_none() || !has_alias(tx, contact, "bsuid").await?;
    Ok(same.then_some(contact))
}

/// Remembers a change of names, once, and moves the names of whoever is known by the former ones.
pub(super) async fn rename(tx: &DatabaseTransaction, scope: Scope<'_>, change: &Rename) -> Result<(), DbErr> {
    lock(tx).await?;
    let Rename { previous, current, at } = change;
    let pairs = [
        ("wa_id", &previous.wa_id, &current.wa_id),
        ("bsuid", &previous.user_id, &current.user_id),
        ("parent_bsuid", &previous.parent_user_id, &current.parent_user_id),
    ];
    let mut is_news = false;
    for (kind, old, new) in pairs {
        let (Some(old), Some(new)) = (old, new) else { continue };
        if old != new {
            let text = "insert into contact_renames (tenant_id, scope, kind, previous, current, at) \
                        values ($1, $2, $3, $4, $5, $6) on conflict do nothing";
            let values: [Value; 6] = [
                scope.tenant.into(),
                scope.scope.into(),
                kind.into(),
                old.as_str().into(),
                new.as_str().into(),
                (*at).into(),
            ];
            is_news |= tx.execute_raw(sql::statement(tx, text, values)).await?.rows_affected() > 0;
        }
    }
    if !is_news {
        return Ok(());
    }
    // Nobody known by the former names: whoever comes with them, late, is found under the current ones.
    let Some(contact) = former(tx, scope, previous, *at).await? else { return Ok(()) };
    for (kind, old, new) in pairs {
        match (old, new) {
            (_, Some(new)) => {
                let text = "delete from contact_aliases where contact_id = $1 and kind = $2 and value <> $3";
                let values: [Value; 3] = [contact.into(), kind.into(), new.as_str().into()];
                tx.execute_raw(sql::statement(tx, text, values)).await?;
                let other = find(tx, scope, kind, new).await?;
                point(tx, scope, (kind, new), other, contact, *at).await?;
            }
            // A user ID changes with the phone: whatever is not told anew is not theirs any more.
            (_, None) => {
                let text = "delete from contact_aliases where contact_id = $1 and kind = $2";
                tx.execute_raw(sql::statement(tx, text, [contact.into(), kind.into()])).await?;
            }
        }
    }
    if let Some(recipient) = recipient_of(current) {
        move_address(tx, contact, stored(&recipient)?, String::new()).await?;
    }
    Ok(())
}

/// Whom the former names mean. A phone number may be somebody else's already, who came after the change.
async fn former(
    tx: &DatabaseTransaction,
    scope: Scope<'_>,
    previous: &Sender,
    at: i64,
) -> Result<Option<i64>, DbErr> {
    if let Some(id) = &previous.user_id
        && let Some(contact) = find(tx, scope, "bsuid", id).await?
    {
        return Ok(Some(contact));
    }
    let Some(id) = &previous.wa_id else { return Ok(None) };
    let text = "select c.id from contact_aliases a join contacts c on c.id = a.contact_id \
                where a.tenant_id = $1 and a.scope = $2 and a.kind = 'wa_id' and a.value = $3 and c.created_at <= $4";
    let values: [Value; 4] =
        [scope.tenant.into(), scope.scope.into(), id.as_str().into(), (at + DELAY).into()];
    tx.query_one_raw(sql::statement(tx, text, values)).await?.map(|row| row.try_get("", "id")).transpose()
}

/// Remembers a customer's last word on marketing messages, also of one who never wrote.
pub(super) async fn consent(
    tx: &DatabaseTransaction,
    scope: Scope<'_>,
    consent: &Consent,
    now: i64,
) -> Result<(), DbErr> {
    lock(tx).await?;
    let customer = as_known_now(tx, scope, &consent.customer, consent.at).await?;
    let contact = resolve(tx, scope, &customer, (consent.at, now)).await?;
    let text = "update contacts set marketing = $2, marketing_at = $3 \
                where id = $1 and coalesce(marketing_at, 0) <= $3";
    let word = if consent.wanted { "resume" } else { "stop" };
    tx.execute_raw(sql::statement(tx, text, [contact.into(), word.into(), consent.at.into()])).await?;
    Ok(())
}

async fn find(
    tx: &impl ConnectionTrait,
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

async fn has_alias(tx: &impl ConnectionTrait, contact: i64, kind: &str) -> Result<bool, DbErr> {
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

/// Makes a name mean this contact from `since` on (by Meta's clock), whomever it meant before.
async fn point(
    tx: &DatabaseTransaction,
    scope: Scope<'_>,
    (kind, name): (&str, &str),
    former: Option<i64>,
    contact: i64,
    since: i64,
) -> Result<(), DbErr> {
    let text = "insert into contact_aliases (tenant_id, scope, kind, value, contact_id, created_at) \
                values ($1, $2, $3, $4, $5, $6) \
                on conflict (tenant_id, scope, kind, value) do update set contact_id = excluded.contact_id, \
                created_at = excluded.created_at";
    let values: [Value; 6] =
        [scope.tenant.into(), scope.scope.into(), kind.into(), name.into(), contact.into(), since.into()];
    tx.execute_raw(sql::statement(tx, text, values)).await?;
    match former.filter(|former| kind == "wa_id" && *former != contact) {
        Some(former) => leave_phone(tx, former, name).await,
        None => Ok(()),
    }
}

/// A phone is another's now: nothing meant for its former owner goes there any more. Of that one only the user ID may
/// be left.
async fn leave_phone(tx: &DatabaseTransaction, former: i64, phone: &str) -> Result<(), DbErr> {
    let text = "select value from contact_aliases where contact_id = $1 and kind = 'bsuid'";
    let row = tx.query_one_raw(sql::statement(tx, text, [former.into()])).await?;
    let user: Option<String> = row.map(|row| row.try_get("", "value")).transpose()?;
    let to = user.map_or(Ok(NOWHERE.to_owned()), |user| stored(&Recipient::UserId(user)))?;
    let from = stored(&Recipient::Phone(phone.to_owned()))?;
    move_address(tx, former, to, from).await
}

/// Whatever goes to a contact, or only what goes to the address `from` (empty: any), goes to `to` from now on.
async fn move_address(tx: &DatabaseTransaction, contact: i64, to: String, from: String) -> Result<(), DbErr> {
    for text in [
        "update whatsapp_conversations set recipient = $2 where contact_id = $1 and ($3 = '' or recipient = $3)",
        "update deliveries set recipient = $2 where status = 'queued' and ($3 = '' or recipient = $3) \
         and conversation_id in (select id from whatsapp_conversations where contact_id = $1)",
    ] {
        let values: [Value; 3] = [contact.into(), to.as_str().into(), from.as_str().into()];
        tx.execute_raw(sql::statement(tx, text, values)).await?;
    }
    Ok(())
}

/// An address as its column holds it.
fn stored(recipient: &Recipient) -> Result<String, DbErr> {
    serde_json::to_string(recipient).map_err(|e| DbErr::Json(e.to_string()))
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
