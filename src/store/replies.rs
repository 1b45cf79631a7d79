//! What goes out: a message as its author wrote it, and its deliveries, one for each bubble.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Value};
use uuid::Uuid;

use super::changes::Change;
use super::conversations::{self, ConversationRef};
use super::idempotency::{self, Kept, Slot};
use super::messages::Place;
use super::{Store, StoreError, sql};
use crate::message::{Recipient, Sender};

/// What goes out: the words as written, and as bubbles.
#[derive(Debug, Clone)]
pub struct Reply {
    /// `chatbot`, `fallback`, `person`, `api`.
    pub author: &'static str,
    /// Meta's type word.
    pub kind: String,
    /// As the author wrote it (Markdown from chatbots).
    pub text: String,
    /// As WhatsApp gets it. Empty: stored, never sent (shadow).
    pub parts: Vec<String>,
    /// Meta's message object as JSON, which goes out instead of the one part's text.
    pub content: Option<String>,
    /// Where to.
    pub recipient: Recipient,
}

/// The rows a reply became.
#[derive(Debug, Clone, Default)]
pub struct Enqueued {
    /// The message.
    pub message_id: i64,
    /// Its deliveries, in the order of the parts.
    pub deliveries: Vec<i64>,
}

/// A message the business starts. Its conversation, made if need be, says where it goes.
#[derive(Debug, Clone)]
pub struct Letter {
    /// For whom.
    pub person: Sender,
    /// What.
    pub reply: Reply,
}

/// A letter's conversation, and the rows it became.
pub type Started = (ConversationRef, Enqueued);

impl Store {
    /// Stores messages the business starts, all or none of them, with their deliveries and the conversations they open;
    /// and what their sender is told, to be told again.
    pub async fn start(
        &self,
        place: &Place,
        letters: Vec<Letter>,
        now: i64,
        kept: impl FnOnce(&[Started]) -> Option<(Slot, Kept)>,
    ) -> Result<Vec<Started>, StoreError> {
        let tx = self.begin().await?;
        let mut homes = Vec::with_capacity(letters.len());
        for Letter { person, mut reply } in letters {
            let (conversation, ..) = conversations::find_or_make(&tx, place, &person, now, now).await?;
            reply.recipient = conversation.recipient.clone();
            homes.push((conversation, reply));
        }
        let group: Vec<Outgoing<'_>> = homes
            .iter()
            .map(|(conversation, reply)| Outgoing {
                place,
                conversation_id: conversation.id,
                turn_id: None,
                reply,
                now,
            })
            .collect();
        let enqueued = enqueue(&tx, &group).await?;
        let started: Vec<Started> =
            homes.into_iter().map(|(conversation, _)| conversation).zip(enqueued).collect();
        if let Some((slot, kept)) = kept(&started) {
            idempotency::keep(&tx, &slot, &kept).await?;
        }
        tx.commit().await?;
        self.changes().note(started.iter().map(|(conversation, _)| Change::Conversation(conversation.id)));
        Ok(started)
    }
}

/// A reply and the place it belongs to.
pub(super) struct Outgoing<'a> {
    pub place: &'a Place,
    pub conversation_id: i64,
    pub turn_id: Option<Uuid>,
    pub reply: &'a Reply,
    pub now: i64,
}

/// Stores messages that go out together with their deliveries; one output each, in order.
pub(super) async fn enqueue(
    tx: &DatabaseTransaction,
    group: &[Outgoing<'_>],
) -> Result<Vec<Enqueued>, DbErr> {
    if group.is_empty() {
        return Ok(Vec::new());
    }
    let rows = group.iter().map(|o| -> [Value; 11] {
        [
            o.place.tenant_id.as_str().into(),
            o.place.account_id.into(),
            o.conversation_id.into(),
            o.place.chatbot_id.as_str().into(),
            "out".into(),
            o.reply.author.into(),
            o.reply.kind.as_str().into(),
            o.reply.text.as_str().into(),
            o.turn_id.into(),
            o.now.into(),
            o.now.into(),
        ]
    });
    let insert = sql::insert(
        tx,
        "messages (tenant_id,whatsapp_account_id,conversation_id,chatbot_id,direction,author,kind,text,turn_id,\
         sent_at,created_at)",
        rows,
        "returning id",
    );
    let mut outputs = Vec::with_capacity(group.len());
    for row in tx.query_all_raw(insert).await? {
        outputs.push(Enqueued { message_id: row.try_get("", "id")?, deliveries: Vec::new() });
    }
    // Both databases number the rows of one insert in the order given.
    outputs.sort_unstable_by_key(|e| e.message_id);
    let mut rows: Vec<[Value; 14]> = Vec::new();
    for (o, enqueued) in group.iter().zip(&outputs) {
        let recipient = serde_json::to_string(&o.reply.recipient).map_err(|e| DbErr::Json(e.to_string()))?;
        for (part, text) in o.reply.parts.iter().enumerate() {
            rows.push([
                o.place.tenant_id.as_str().into(),
                o.place.account_id.into(),
                o.conversation_id.into(),
                enqueued.message_id.into(),
                o.turn_id.into(),
                (part as i64).into(),
                (o.reply.parts.len() as i64).into(),
                recipient.as_str().into(),
                text.as_str().into(),
                o.reply.content.clone().into(),
                "queued".into(),
                o.now.into(),
                o.now.into(),
                0_i64.into(),
            ]);
        }
    }
    if !rows.is_empty() {
        let insert = sql::insert(
            tx,
            "deliveries (tenant_id,whatsapp_account_id,conversation_id,message_id,turn_id,part,parts,recipient,text,\
             content,status,next_at,created_at,attempts)",
            rows,
            "returning id, message_id",
        );
        let place: HashMap<i64, usize> = outputs.iter().enumerate().map(|(n, e)| (e.message_id, n)).collect();
        for row in tx.query_all_raw(insert).await? {
            let message: i64 = row.try_get("", "message_id")?;
            outputs[place[&message]].deliveries.push(row.try_get("", "id")?);
        }
        outputs.iter_mut().for_each(|e| e.deliveries.sort_unstable());
    }
    let touched: Vec<i64> = group.iter().map(|o| o.conversation_id).collect();
    let there = conversations::touch(tx, touched, group[0].now).await?;
    // An erasure drops turns itself; whoever else just meant to write finds nobody.
    if group.iter().any(|o| o.turn_id.is_none() && !there.contains_key(&o.conversation_id)) {
        return Err(DbErr::RecordNotFound("the conversation is gone".to_owned()));
    }
    Ok(outputs)
}
