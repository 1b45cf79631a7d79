//! Contacts: who they are, all that was said with them, and its erasure.

use actix_web::http::header::CONTENT_DISPOSITION;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Parts;
use super::answer::{self, Answer, Listing, Page, Success, Time};
use super::conversations::{self, ConversationView, LOOKED_FOR, MessageView};
use super::guard::{Caller, Manager, Reader, Replier};
use super::problem::ApiError;
use crate::ids::{ContactId, ThreadId};
use crate::store::StoreError;
use crate::store::audit::Audit;
use crate::store::contact_book::{Alias, ContactRow, ThreadRow};
use crate::store::search::Wanted;

/// Messages read at once for an export.
const PIECE: u64 = 500;
/// Conversations of one contact, at most.
const CONVERSATIONS: u64 = 1_000;

/// A contact.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KnownContact {
    id: ContactId,
    name: Option<String>,
    /// Absent for customers who hide it.
    phone: Option<String>,
    /// The WABA, or session, inside which it is known.
    scope: String,
    conversations: i64,
    last_message_at: Option<Time>,
    created_at: Time,
}

/// A contact with all it goes by.
#[derive(Serialize, ToSchema)]
pub struct ContactWithNames {
    #[serde(flatten)]
    contact: KnownContact,
    aliases: Vec<AliasView>,
    /// The numbers it talks to.
    threads: Vec<ThreadView>,
}

/// A name that a contact goes by.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AliasView {
    /// `wa_id`, `bsuid`, `parent_bsuid`, `lid` or `phone`.
    kind: String,
    value: String,
    created_at: Time,
}

/// A contact on one number.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ThreadView {
    id: ThreadId,
    phone_number_id: String,
    /// A person has it until then; null: the chatbots answer.
    handed_over_until: Option<Time>,
    /// Since when it wants to hear nothing more.
    opted_out_at: Option<Time>,
    created_at: Time,
}

/// All that is known of a contact.
#[derive(Serialize, ToSchema)]
pub struct Export {
    #[serde(flatten)]
    contact: ContactWithNames,
    /// Its conversations.
    talks: Vec<ConversationView>,
    /// All that was said, oldest first.
    messages: Vec<MessageView>,
}

/// What an erasure came to.
#[derive(Serialize, ToSchema)]
pub struct ErasedView {
    id: ContactId,
    /// Messages whose words are gone.
    messages: u64,
    /// Stored events whose bodies are gone.
    events: u64,
}

/// Which contacts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Part of a name or of a phone number.
    q: Option<String>,
}

/// Lists the tenant's contacts, the latest first.
#[utoipa::path(get, path = "/api/v1/contacts", tag = "contacts", params(Page, Filter),
    responses((status = 200, body = Listing<KnownContact>)))]
pub async fn list(
    caller: Reader,
    parts: web::Data<Parts>,
    page: web::Query<Page>,
    filter: web::Query<Filter>,
) -> Answer {
    let slice = page.slice::<i64>()?;
    let words = filter.q.as_deref().map(str::trim).filter(|words| !words.is_empty());
    if words.is_some_and(|words| words.len() > LOOKED_FOR) {
        return Err(ApiError::field("q", format!("must have at most {LOOKED_FOR} bytes")));
    }
    let (tenant, before) = (caller.tenant.as_str(), slice.after.unwrap_or(i64::MAX));
    let rows = parts.store.find_contacts(tenant, words, before, slice.fetch()).await?;
    slice.answer(rows, |row| row.id, view)
}

/// One contact, with all it goes by.
#[utoipa::path(get, path = "/api/v1/contacts/{id}", tag = "contacts", params(("id" = String, Path)),
    responses((status = 200, body = Success<ContactWithNames>)))]
pub async fn one(caller: Reader, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    let row = find(&caller, &parts, &id).await?;
    answer::ok("Contact", with_names(&parts, row).await?)
}

/// What was said with a contact, on all numbers and by all chatbots, newest first.
#[utoipa::path(get, path = "/api/v1/contacts/{id}/timeline", tag = "contacts",
    params(("id" = String, Path), Page), responses((status = 200, body = Listing<MessageView>)))]
pub async fn timeline(
    caller: Reader,
    parts: web::Data<Parts>,
    id: web::Path<String>,
    page: web::Query<Page>,
) -> Answer {
    let row = find(&caller, &parts, &id).await?;
    let slice = page.slice::<i64>()?;
    let rows = parts.store.timeline(row.id, slice.after.unwrap_or(i64::MAX), slice.fetch()).await?;
    let mut beside = conversations::beside(&parts, &rows).await?;
    let view = |message: crate::store::messages::Message| {
        let beside = beside.remove(&message.id).unwrap_or_default();
        conversations::message_view(message, beside)
    };
    slice.answer(rows, |message| message.id, view)
}

/// All that is known of a contact, for the contact.
#[utoipa::path(get, path = "/api/v1/contacts/{id}/export", tag = "contacts", params(("id" = String, Path)),
    responses((status = 200, body = Success<Export>)))]
pub async fn export(caller: Manager, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    let row = find(&caller, &parts, &id).await?;
    let (contact, now) = (row.id, parts.clock.now_ms());
    let wanted = Wanted { contact: Some(contact), ..Wanted::default() };
    let newest = (i64::MAX, i64::MAX);
    let tenant = caller.tenant.as_str();
    let (talks, _) = parts.store.find_conversations(tenant, &wanted, newest, CONVERSATIONS).await?;
    let (mut messages, mut before) = (Vec::new(), i64::MAX);
    loop {
        let rows = parts.store.timeline(contact, before, PIECE).await?;
        let Some(last) = rows.last() else { break };
        before = last.id;
        let mut beside = conversations::beside(&parts, &rows).await?;
        messages.extend(rows.into_iter().map(|message| {
            let beside = beside.remove(&message.id).unwrap_or_default();
            conversations::message_view(message, beside)
        }));
    }
    messages.reverse();
    let id = ContactId(contact).to_string();
    parts.store.log(&caller.audit("contact.export", &id, now)).await?;
    let data = Export {
        contact: with_names(&parts, row).await?,
        talks: talks.into_iter().map(|talk| conversations::view(talk, now)).collect(),
        messages,
    };
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.json\"")))
        .json(Success {
            success: true,
            message: "Everything that is known of this contact".to_owned(),
            data,
        }))
}

/// Erases a contact: its names, all words, files and raw events. Counts stay. Whoever writes again is somebody new.
#[utoipa::path(delete, path = "/api/v1/contacts/{id}", tag = "contacts", params(("id" = String, Path)),
    responses((status = 200, body = Success<ErasedView>)))]
pub async fn erase(caller: Manager, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    let id: ContactId = id.parse().map_err(|_| ApiError::not_found("contact"))?;
    let target = id.to_string();
    let line: Audit<'_> = caller.audit("contact.erase", &target, parts.clock.now_ms());
    let erased = parts.store.erase_contact(caller.tenant.as_str(), id.0, &line).await?;
    let erased = erased.ok_or_else(|| ApiError::not_found("contact"))?;
    // Memory holds words too.
    for conversation in &erased.conversations {
        parts.nudge(*conversation).await;
    }
    answer::ok("The contact is erased", ErasedView { id, messages: erased.messages, events: erased.events })
}

/// A person notes that a contact wants no more messages, as if it had written STOP on each of its numbers: what waits is
/// withdrawn, and chatbots are silent.
#[utoipa::path(post, path = "/api/v1/contacts/{id}/opt-out", tag = "contacts", params(("id" = String, Path)),
    responses((status = 200, body = Success<ContactWithNames>)))]
pub async fn opt_out(caller: Replier, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    silence(&caller, &parts, &id, true).await
}

/// The contact wants messages again, as if it had written START.
#[utoipa::path(post, path = "/api/v1/contacts/{id}/opt-in", tag = "contacts", params(("id" = String, Path)),
    responses((status = 200, body = Success<ContactWithNames>)))]
pub async fn opt_in(caller: Replier, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    silence(&caller, &parts, &id, false).await
}

async fn silence(caller: &Caller, parts: &Parts, id: &str, wanted: bool) -> Answer {
    let row = find(caller, parts, id).await?;
    let target = ContactId(row.id).to_string();
    let action = if wanted { "contact.opt_out" } else { "contact.opt_in" };
    let line = caller.audit(action, &target, parts.clock.now_ms());
    parts.store.set_opt_out(row.id, wanted, &line).await?;
    answer::ok("Contact", with_names(parts, row).await?)
}

async fn find(caller: &Caller, parts: &Parts, id: &str) -> Result<ContactRow, ApiError> {
    let missing = || ApiError::not_found("contact");
    let ContactId(id) = id.parse().map_err(|_| missing())?;
    parts.store.contact(caller.tenant.as_str(), id).await?.ok_or_else(missing)
}

async fn with_names(parts: &Parts, row: ContactRow) -> Result<ContactWithNames, StoreError> {
    let (aliases, threads) =
        (parts.store.aliases(row.id).await?, parts.store.threads_of_contact(row.id).await?);
    let now = parts.clock.now_ms();
    Ok(ContactWithNames {
        contact: view(row),
        aliases: aliases.into_iter().map(alias).collect(),
        threads: threads.into_iter().map(|row| thread(row, now)).collect(),
    })
}

fn view(row: ContactRow) -> KnownContact {
    KnownContact {
        id: ContactId(row.id),
        name: row.name,
        phone: row.wa_id,
        scope: row.scope,
        conversations: row.conversations,
        last_message_at: row.last_message_at.map(Time),
        created_at: Time(row.created_at),
    }
}

fn alias(alias: Alias) -> AliasView {
    AliasView { kind: alias.kind, value: alias.value, created_at: Time(alias.created_at) }
}

fn thread(row: ThreadRow, now: i64) -> ThreadView {
    ThreadView {
        id: ThreadId(row.id),
        phone_number_id: row.phone_number_id,
        handed_over_until: row.hand_over_until.filter(|until| *until > now).map(Time),
        opted_out_at: row.opted_out_at.map(Time),
        created_at: Time(row.created_at),
    }
}
