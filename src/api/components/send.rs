//! What `<whatsapp-send>` may do: see whether its one customer may be written to, write, and see how that fares.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::Parts;
use super::super::answer::{self, Answer, Success, Time};
use super::super::body::{Body, Field, Fields, text};
use super::super::outgoing::{self, WINDOW, Written};
use super::super::problem::{ApiError, Code};
use super::super::send::{self, Queued};
use super::token::{Component, Embedded};
use crate::graph::content::TEXT;
use crate::graph::errors;
use crate::ids::{ContactId, DeliveryId};
use crate::message::Sender;
use crate::store::conversations::ConversationRef;
use crate::store::messages::Place;
use crate::store::sessions::session_of;

/// Whom a component writes to.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recipient {
    /// The contact; null: nobody wrote to or from them yet.
    id: Option<ContactId>,
    /// Their number, digits; null where they hide it.
    phone: Option<String>,
    /// What they call themselves.
    name: Option<String>,
    /// `open`: words are taken; `closed`: the customer has not written within 24 hours, and Meta takes templates only;
    /// `opted_out`: the customer wants no messages; `not_active`: the number does not send now.
    takes: &'static str,
    /// Words are taken until then; null: without an end, or not at all.
    window_until: Option<Time>,
    /// `session` or `cloud`.
    through: &'static str,
}

/// How a message of the component fares.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    id: DeliveryId,
    /// As of a delivery.
    status: String,
    /// Why, as a word.
    reason: Option<String>,
    /// What to do about it.
    advice: Option<String>,
    sent_at: Option<Time>,
    delivered_at: Option<Time>,
    read_at: Option<Time>,
}

/// What to write.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Words {
    /// At most 4,096 characters.
    #[serde(default)]
    #[schema(value_type = String, required)]
    message: Field<String>,
}

/// Whether the customer may be written to.
#[utoipa::path(get, path = "/api/v1/components/{site}/recipient", tag = "components", params(("site" = String, Path)),
    security(("componentToken" = [])), responses((status = 200, body = Success<Recipient>)))]
pub async fn recipient(embedded: Embedded, parts: web::Data<Parts>) -> Answer {
    let embedded = embedded.only(Component::Send)?;
    let (place, active) = place(&embedded, &parts).await?;
    let (tenant, now) = (embedded.caller.tenant.as_str(), parts.clock.now_ms());
    let found = talk(&embedded, &parts, &place).await?;
    let (mut contact, mut until, mut opted_out) = (None, None, false);
    if let Some(talk) = &found {
        contact = parts.store.contact(tenant, talk.contact_id).await?;
        opted_out = parts.store.holder(talk.thread_id).await?.opted_out_at.is_some();
        let wrote = parts.store.customer_wrote_at(talk.thread_id).await?;
        until = wrote.map(|at| at + WINDOW).filter(|until| *until > now);
    }
    let linked = session_of(&place.phone_number_id).is_some();
    let view = Recipient {
        id: found.as_ref().map(|talk| ContactId(talk.contact_id)),
        phone: embedded.claims.to.clone().or_else(|| contact.as_ref().and_then(|c| c.wa_id.clone())),
        name: contact.and_then(|contact| contact.name),
        takes: match () {
            () if !active => "not_active",
            () if opted_out => "opted_out",
            () if linked || until.is_some() => "open",
            () => "closed",
        },
        window_until: until.filter(|_| !linked).map(Time),
        through: if linked { "session" } else { "cloud" },
    };
    answer::ok("Recipient", view)
}

/// Writes to the customer. The same rules hold as for `POST /api/v1/whatsapp/send`.
#[utoipa::path(post, path = "/api/v1/components/{site}/messages", tag = "components", params(("site" = String, Path)),
    security(("componentToken" = [])), request_body = Words, responses((status = 202, body = Success<Queued>)))]
pub async fn write(embedded: Embedded, parts: web::Data<Parts>, body: Body) -> Answer {
    let embedded = embedded.only(Component::Send)?;
    let words: Words = body.read()?;
    let mut fields = Fields::default();
    let words = fields.required("message", words.message, text(TEXT)).unwrap_or_default();
    fields.done()?;
    let (place, active) = place(&embedded, &parts).await?;
    if !active {
        return Err(ApiError::new(Code::NotActive, "The number does not send now."));
    }
    let written = Written { kind: "text".to_owned(), text: words, ..Written::default() };
    match &embedded.claims.to {
        Some(to) => {
            let person = Sender { wa_id: Some(to.clone()), ..Sender::default() };
            Ok(HttpResponse::Accepted().json(send::to_people(&parts, &place, vec![(person, written)]).await?))
        }
        None => {
            let talk = talk(&embedded, &parts, &place).await?;
            let talk = talk.ok_or_else(|| ApiError::not_found("conversation"))?;
            outgoing::window(&parts, Some(talk.thread_id), &place.phone_number_id, &written).await?;
            let queued = send::enqueue(&parts, &place, &talk, "api", written).await?;
            parts.nudge(talk.id).await;
            Ok(HttpResponse::Accepted().json(queued))
        }
    }
}

/// How a message fares; of this customer alone.
#[utoipa::path(get, path = "/api/v1/components/{site}/messages/{id}", tag = "components",
    params(("site" = String, Path), ("id" = String, Path)), security(("componentToken" = [])),
    responses((status = 200, body = Success<Sent>)))]
pub async fn fate(embedded: Embedded, parts: web::Data<Parts>, path: web::Path<(String, String)>) -> Answer {
    let embedded = embedded.only(Component::Send)?;
    let missing = || ApiError::not_found("message");
    let DeliveryId(id) = path.1.parse().map_err(|_| missing())?;
    let (place, _) = place(&embedded, &parts).await?;
    let talk = talk(&embedded, &parts, &place).await?.ok_or_else(missing)?;
    let found = parts.store.delivery(embedded.caller.tenant.as_str(), id).await?;
    let delivery = found.filter(|delivery| delivery.conversation_id == talk.id).ok_or_else(missing)?;
    let advice = delivery.reason.as_deref().and_then(errors::by_reason);
    let view = Sent {
        id: DeliveryId(id),
        advice: advice.map(|verdict| verdict.advice.to_owned()),
        status: delivery.status,
        reason: delivery.reason,
        sent_at: delivery.sent_at.map(Time),
        delivered_at: delivery.delivered_at.map(Time),
        read_at: delivery.read_at.map(Time),
    };
    answer::ok("Message", view)
}

/// Where messages of the token belong, and whether they may leave.
async fn place(embedded: &Embedded, parts: &Parts) -> Result<(Place, bool), ApiError> {
    let (tenant, claims) = (embedded.caller.tenant.as_str(), &embedded.claims);
    let missing = || ApiError::not_found("number that could send");
    let account = match (claims.account, claims.conversation) {
        (Some(account), _) => account,
        (None, Some(id)) => {
            parts.store.conversation(tenant, id).await?.ok_or_else(missing)?.whatsapp_account_id
        }
        (None, None) => return Err(missing()),
    };
    let account = parts.store.account(account).await?.filter(|account| account.tenant_id == tenant);
    let account = account.ok_or_else(missing)?;
    let active = send::sending_place(&account).is_ok();
    let place = Place {
        account_id: account.id,
        tenant_id: account.tenant_id,
        chatbot_id: account.chatbot_id,
        phone_number_id: account.phone_number_id,
        scope: account.business_account_id,
    };
    Ok((place, active))
}

/// The token's conversation, if there is one yet.
async fn talk(
    embedded: &Embedded,
    parts: &Parts,
    place: &Place,
) -> Result<Option<ConversationRef>, ApiError> {
    let claims = &embedded.claims;
    if let Some(id) = claims.conversation {
        let theirs = parts.store.conversation(&place.tenant_id, id).await?.is_some();
        return Ok(if theirs { parts.store.conversation_ref(id).await? } else { None });
    }
    let person = Sender { wa_id: claims.to.clone(), ..Sender::default() };
    let Some(thread) = parts.store.thread_of(place, &person, parts.clock.now_ms()).await? else {
        return Ok(None);
    };
    for id in parts.store.conversations_of_thread(thread).await? {
        let talk = parts.store.conversation_ref(id).await?;
        if let Some(talk) = talk.filter(|talk| talk.account_id == place.account_id) {
            return Ok(Some(talk));
        }
    }
    Ok(None)
}
