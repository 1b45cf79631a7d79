//! Messages that the business starts.

use actix_web::http::StatusCode;
use actix_web::web;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Parts;
use super::answer::{self, Answer, Success};
use super::body::{Body, Checked, Field, Fields, text};
use super::guard::Replier;
use super::integration;
use super::problem::{ApiError, Code};
use crate::ids::{AccountId, ConversationId, DeliveryId, MessageId};
use crate::message::Sender;
use crate::routing::Status;
use crate::store::accounts::Account;
use crate::store::conversations::ConversationRef;
use crate::store::messages::Place;
use crate::store::replies::Reply;

/// Longest text of one message, in characters.
pub const LONGEST: usize = 4096;

/// Through which chatbot.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct Through {
    /// The chatbot whose number sends.
    #[param(required, value_type = String)]
    chatbot_id: Option<String>,
    /// Its number, where several serve it.
    phone_number_id: Option<String>,
}

/// A text for a customer.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Outgoing {
    /// 7 to 15 digits with their country code; `+` may lead. Also taken as `number` or `phoneNumber`.
    #[serde(default)]
    #[schema(value_type = String, required)]
    to: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    number: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    phone_number: Field<String>,
    /// At most 4,096 characters, sent as they are. Also taken as `text`.
    #[serde(default)]
    #[schema(value_type = String, required)]
    message: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    text: Field<String>,
}

/// A message on its way.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Queued {
    /// Look it up at `/api/v1/deliveries/{id}`.
    id: DeliveryId,
    /// `queued`.
    status: &'static str,
    message_id: MessageId,
    conversation_id: ConversationId,
}

/// Sends a text to a customer; WhatsApp takes it within 24 hours of the customer's last message.
#[utoipa::path(post, path = "/api/v1/whatsapp/send", tag = "messages", params(Through), request_body = Outgoing,
    responses((status = 202, body = Success<Queued>)))]
pub async fn send(
    caller: Replier,
    parts: web::Data<Parts>,
    through: web::Query<Through>,
    body: Body,
) -> Answer {
    let Through { chatbot_id, phone_number_id } = through.into_inner();
    let account = integration::of_chatbot(&caller, &parts, chatbot_id, phone_number_id).await?;
    let new: Outgoing = body.read()?;
    let mut fields = Fields::default();
    let to = fields.required("to", new.to.or(new.number).or(new.phone_number), phone);
    let words = fields.required("message", new.message.or(new.text), text(LONGEST));
    fields.done()?;
    let sender = Sender { wa_id: to, ..Sender::default() };
    let place = sending_place(&account)?;
    let conversation = parts.store.open_conversation(&place, &sender, parts.clock.now_ms()).await?;
    let queued = enqueue(&parts, &place, &conversation, "api", words.unwrap_or_default()).await?;
    parts.nudge(conversation.id).await;
    answer::success(StatusCode::ACCEPTED, "Message queued", queued)
}

/// Digits only, as Meta's `wa_id`s are.
fn phone(number: String) -> Checked<String> {
    let digits = number.strip_prefix('+').unwrap_or(&number);
    let shaped = (7..=15).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit());
    if shaped && !digits.starts_with('0') {
        return Ok(digits.to_owned());
    }
    Err("must be 7 to 15 digits with their country code".to_owned())
}

/// Where messages of an account belong; 409 when it does not work. Without a valid token they wait for one.
pub(super) fn sending_place(account: &Account) -> Result<Place, ApiError> {
    let status = Status::parse(&account.status);
    if account.deleted_at.is_some() || !status.takes_messages() {
        let detail = format!("The integration {} is {}.", AccountId(account.id), account.status);
        return Err(ApiError::new(Code::NotActive, detail));
    }
    Ok(Place {
        account_id: account.id,
        tenant_id: account.tenant_id.clone(),
        chatbot_id: account.chatbot_id.clone(),
        phone_number_id: account.phone_number_id.clone(),
        scope: account.business_account_id.clone(),
    })
}

/// Stores a message that goes out as it is written, and its delivery.
pub(super) async fn enqueue(
    parts: &Parts,
    place: &Place,
    conversation: &ConversationRef,
    author: &'static str,
    words: String,
) -> Result<Queued, ApiError> {
    let recipient = conversation.recipient.clone();
    let reply = Reply { author, parts: vec![words.clone()], text: words, recipient };
    let enqueued = parts.store.enqueue(place, conversation.id, &reply, parts.clock.now_ms()).await?;
    let delivery = enqueued.deliveries.first().copied();
    Ok(Queued {
        id: DeliveryId(delivery.ok_or_else(|| ApiError::new(Code::Internal, "Nothing was queued."))?),
        status: "queued",
        message_id: MessageId(enqueued.message_id),
        conversation_id: ConversationId(conversation.id),
    })
}
