//! Station 2's rows: messages of both directions, and those that wait for a turn.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, Value};
use uuid::Uuid;

use super::changes::Change;
use super::conversations::{self, ConversationRef};
use super::threads::{self, Control};
use super::{Store, StoreError, media, sql};
use crate::message::{Inbound, Voice};

/// One message for one account.
#[derive(Debug, Clone)]
pub struct Append {
    /// Whose it is.
    pub place: Arc<Place>,
    /// The message.
    pub message: Inbound,
    /// The conversation, when it is known to be ours already.
    pub known: Option<ConversationRef>,
    /// Why no responder is asked; `None` puts a customer's message in line for a turn.
    pub note: Option<&'static str>,
    /// What it does to its thread, the first time it comes.
    pub control: Option<Control>,
    /// What brought it.
    pub event_id: i64,
    /// Unix milliseconds.
    pub now: i64,
}

/// The account a message or a conversation belongs to, with the names its rows carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Row of `whatsapp_accounts`.
    pub account_id: i64,
    /// Its tenant.
    pub tenant_id: String,
    /// Its chatbot.
    pub chatbot_id: String,
    /// Its number.
    pub phone_number_id: String,
    /// Inside which aliases mean the same person: the WABA.
    pub scope: String,
}

/// A message that is stored now.
#[derive(Debug, Clone)]
pub struct Appended {
    /// Its place in the order.
    pub message_id: i64,
    /// Where it belongs.
    pub conversation: ConversationRef,
    /// Whether the conversation was made with it (so there is no history to read).
    pub first: bool,
    /// Whether this instance runs the conversation; if not, `owner` does.
    pub mine: bool,
    /// Who runs it.
    pub owner: Option<i64>,
}

/// Appends messages: one output each, `None` for a message that was there already.
pub(super) async fn append(
    tx: &DatabaseTransaction,
    instance: i64,
    group: &[&Append],
) -> Result<Vec<Option<Appended>>, DbErr> {
    if group.is_empty() {
        return Ok(Vec::new());
    }
    let homes = conversations::resolve(tx, instance, group).await?;
    let ours = ours(tx, group, &homes).await?;
    let foreign = group.iter().zip(&homes).enumerate().filter(|(n, _)| !ours.contains(n));
    let rows = foreign.map(|(_, (a, home))| -> [Value; 14] {
        let (direction, author) =
            if a.message.voice.is_customer() { ("in", "contact") } else { ("out", "person") };
        [
            a.place.tenant_id.as_str().into(),
            a.place.account_id.into(),
            home.conversation.id.into(),
            a.place.chatbot_id.as_str().into(),
            direction.into(),
            author.into(),
            a.message.wamid.as_str().into(),
            a.message.kind.as_str().into(),
            a.message.text.as_str().into(),
            a.note.into(),
            a.event_id.into(),
            a.message.sent_at.into(),
            a.now.into(),
            "WHATSAPP".into(),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return Ok(group.iter().map(|_| None).collect());
    }
    let insert = sql::insert(
        tx,
        "messages (tenant_id,whatsapp_account_id,conversation_id,chatbot_id,direction,author,wamid,kind,text,note,\
         event_id,sent_at,created_at,channel)",
        rows,
        // What has a mark was answered once, although its row is gone.
        "and not exists (select 1 from dedupe_marks d where d.whatsapp_account_id = column2 and d.wamid = column7) \
         on conflict (whatsapp_account_id,wamid) do nothing returning id, whatsapp_account_id, wamid",
    );
    let mut ids: HashMap<(i64, String), i64> = HashMap::with_capacity(group.len());
    for row in tx.query_all_raw(insert).await? {
        let key = (row.try_get("", "whatsapp_account_id")?, row.try_get("", "wamid")?);
        ids.insert(key, row.try_get("", "id")?);
    }
    let mut outputs = Vec::with_capacity(group.len());
    let mut waiting: Vec<[Value; 3]> = Vec::new();
    let is_new = |a: &Append| ids.contains_key(&(a.place.account_id, a.message.wamid.clone()));
    let touched = group.iter().zip(&homes).filter(|(a, _)| is_new(a)).map(|(_, home)| home.conversation.id);
    let addresses = conversations::touch(tx, touched.collect(), group[0].now).await?;
    let mut fresh: Vec<(i64, &Append)> = Vec::new();
    for (a, mut home) in group.iter().zip(homes) {
        // `remove`: of two equal messages in one group only the first is new.
        let id = ids.remove(&(a.place.account_id, a.message.wamid.clone()));
        if let Some(id) = id {
            fresh.push((id, *a));
            // Whoever goes to another address than was known may have lost the name they are known by to somebody else.
            let there = addresses.get(&home.conversation.id);
            if there.is_none_or(|now| a.known.as_ref().is_some_and(|known| known.recipient != *now)) {
                home = conversations::rehome(tx, instance, a, id).await?;
            }
            if let Some(control) = a.control {
                let at = a.message.sent_at;
                threads::apply(tx, home.conversation.thread_id, control, at, a.now).await?;
            }
            if a.note.is_none() && a.message.voice == Voice::Customer {
                waiting.push([id.into(), home.conversation.id.into(), a.now.into()]);
            }
        }
        outputs.push(id.map(|message_id| Appended {
            message_id,
            mine: home.owner == Some(instance),
            owner: home.owner,
            first: home.first,
            conversation: home.conversation,
        }));
    }
    if !waiting.is_empty() {
        let head = "pending_messages (message_id,conversation_id,at)";
        tx.execute_raw(sql::insert(tx, head, waiting, "")).await?;
    }
    media::expect(tx, &fresh).await?;
    Ok(outputs)
}

/// Sends under way for longer than this are not what an echo repeats, in milliseconds.
const UNDER_WAY: i64 = 600_000;

/// Which of the business's messages are ours: sent by one of our attempts; or, where they may be, sent while an attempt
/// of ours in the same conversation has no answer yet, or never got one.
async fn ours(
    tx: &DatabaseTransaction,
    group: &[&Append],
    homes: &[conversations::Home],
) -> Result<HashSet<usize>, DbErr> {
    let echoes: Vec<usize> = (0..group.len()).filter(|n| !group[*n].message.voice.is_customer()).collect();
    if echoes.is_empty() {
        return Ok(HashSet::new());
    }
    let text = format!("select wamid from attempts where wamid {}", sql::among(tx, 1, "text"));
    let wamids = [sql::json(echoes.iter().map(|n| &group[*n].message.wamid))];
    let mut known: HashSet<String> = HashSet::new();
    for row in tx.query_all_raw(sql::statement(tx, &text, wamids)).await? {
        known.insert(row.try_get("", "wamid")?);
    }
    let mut ours = HashSet::new();
    for n in echoes {
        let message = &group[n].message;
        let mut is_ours = known.contains(&message.wamid);
        if !is_ours && message.voice != Voice::Person {
            let text = "select 1 as one from deliveries d join whatsapp_conversations c on c.id = d.conversation_id \
                        join attempts a on a.delivery_id = d.id where c.thread_id = $1 \
                        and d.status in ('sending', 'unknown') and a.wamid is null and a.started_at > $2";
            let values: [Value; 2] =
                [homes[n].conversation.thread_id.into(), (group[n].now - UNDER_WAY).into()];
            is_ours = tx.query_one_raw(sql::statement(tx, text, values)).await?.is_some();
        }
        if is_ours {
            ours.insert(n);
        }
    }
    Ok(ours)
}

/// A stored message.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Message {
    /// Its place in the order.
    pub id: i64,
    /// Its conversation.
    pub conversation_id: i64,
    /// `in` or `out`.
    pub direction: String,
    /// `contact`, `chatbot`, `fallback`, `person`, `api`.
    pub author: String,
    /// Meta's ID, if it has one.
    pub wamid: Option<String>,
    /// Meta's type word.
    pub kind: String,
    /// What it says.
    pub text: String,
    /// Why it was not answered.
    pub note: Option<String>,
    /// The turn it answers.
    pub turn_id: Option<Uuid>,
    /// What brought it.
    pub event_id: Option<i64>,
    /// By Meta's clock, Unix milliseconds.
    pub sent_at: i64,
    /// By ours.
    pub created_at: i64,
}

pub(super) const MESSAGE: &str =
    "id, conversation_id, direction, author, wamid, kind, text, note, turn_id, event_id, sent_at, created_at";

/// When the customer of conversation `c` last wrote. Reactions and what the customer only changed open no window.
macro_rules! wrote_at {
    () => {
        "(select m.sent_at from messages m where m.conversation_id = c.id \
          and m.direction = 'in' and m.kind not in ('reaction', 'system', 'unsupported', 'edit', 'revoke') \
          order by m.id desc limit 1)"
    };
}
pub(super) use wrote_at;

impl Store {
    /// The messages of a conversation that wait for a turn, oldest first.
    pub async fn pending_messages(&self, conversation_id: i64) -> Result<Vec<Message>, StoreError> {
        let text = format!(
            "select {MESSAGE} from messages where id in \
             (select message_id from pending_messages where conversation_id = $1) order by id"
        );
        let found = Message::find_by_statement(sql::statement(self.read(), &text, [conversation_id.into()]));
        Ok(found.all(self.read()).await?)
    }

    /// The newest messages of a conversation, oldest first, without those that wait for a turn: they are no history
    /// yet.
    pub async fn last_messages(&self, conversation_id: i64, limit: u64) -> Result<Vec<Message>, StoreError> {
        let text = format!(
            "select {MESSAGE} from messages where conversation_id = $1 and not exists \
             (select 1 from pending_messages p where p.message_id = messages.id) order by id desc limit {limit}"
        );
        let found = Message::find_by_statement(sql::statement(self.read(), &text, [conversation_id.into()]));
        let mut messages = found.all(self.read()).await?;
        messages.reverse();
        Ok(messages)
    }

    /// These messages, oldest first.
    pub async fn messages(&self, ids: &[i64]) -> Result<Vec<Message>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let text = format!(
            "select {MESSAGE} from messages where id {} order by id",
            sql::among(self.read(), 1, "bigint")
        );
        let found = Message::find_by_statement(sql::statement(self.read(), &text, [sql::json(ids)]));
        Ok(found.all(self.read()).await?)
    }

    /// When the customer of a thread last wrote something that opens the customer service window, by Meta's clock,
    /// Unix milliseconds.
    pub async fn customer_wrote_at(&self, thread_id: i64) -> Result<Option<i64>, StoreError> {
        let text = concat!(
            "select max(",
            wrote_at!(),
            ") as at from whatsapp_conversations c where c.thread_id = $1"
        );
        let row = self.read().query_one_raw(sql::statement(self.read(), text, [thread_id.into()])).await?;
        Ok(row.map(|row| row.try_get("", "at")).transpose()?.flatten())
    }

    /// A page of a tenant's conversation, newest first, older than `before`.
    pub async fn message_page(
        &self,
        tenant: &str,
        conversation_id: i64,
        before: i64,
        limit: u64,
    ) -> Result<Vec<Message>, StoreError> {
        let text = format!(
            "select {MESSAGE} from messages where tenant_id = $1 and conversation_id = $2 and id < $3 \
             order by id desc limit {limit}"
        );
        let values: [Value; 3] = [tenant.into(), conversation_id.into(), before.into()];
        Ok(Message::find_by_statement(sql::statement(self.read(), &text, values)).all(self.read()).await?)
    }

    /// Takes messages out of the line without a turn, and notes why.
    pub async fn drop_pending(&self, ids: &[i64], why: &str) -> Result<(), StoreError> {
        let tx = self.begin_fenced().await?;
        let among = sql::among(&tx, 1, "bigint");
        let text = format!("delete from pending_messages where message_id {among}");
        tx.execute_raw(sql::statement(&tx, &text, [sql::json(ids)])).await?;
        let text = format!("update messages set note = $2 where id {among} returning conversation_id");
        let rows = tx.query_all_raw(sql::statement(&tx, &text, [sql::json(ids), why.into()])).await?;
        let talks = rows.iter().map(|row| row.try_get("", "conversation_id"));
        let talks = talks.collect::<Result<Vec<i64>, _>>()?;
        tx.commit().await?;
        self.changes().note(talks.into_iter().map(Change::Conversation));
        Ok(())
    }
}
