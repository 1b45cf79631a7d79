//! Threads (contact × number) and conversations (thread × account): finding or making them, and who runs them.
//!
//! A conversation is run by one instance at a time: its `owner`. A living instance keeps what it owns; what belonged
//! to a dead one, or to nobody, is free to be claimed. So history and order live in one process, and need no lock.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, Value};

use super::contacts::{self, Scope, inserted};
use super::messages::{Append, Place, wrote_at};
use super::{Store, StoreError, sql};
use crate::message::{Recipient, Sender};

/// What is needed to go on with a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationRef {
    /// Row of `whatsapp_conversations`.
    pub id: i64,
    /// Its thread.
    pub thread_id: i64,
    /// Its contact.
    pub contact_id: i64,
    /// Its account.
    pub account_id: i64,
    /// Its number.
    pub phone_number_id: String,
    /// `uniqueClientId` of the response API.
    pub unique_conv_id: String,
    /// Where replies go.
    pub recipient: Recipient,
}

/// A conversation, found for a message.
pub(super) struct Home {
    pub conversation: ConversationRef,
    pub owner: Option<i64>,
    pub first: bool,
}

const COLUMNS: &str = "id, thread_id, contact_id, whatsapp_account_id as account_id, phone_number_id, unique_conv_id, \
                       recipient, owner";
/// Nobody holds it: no owner, or a dead one.
pub(super) const FREE: &str = "(owner is null or owner not in (select id from instances))";

#[derive(FromQueryResult)]
struct Row {
    id: i64,
    thread_id: i64,
    contact_id: i64,
    account_id: i64,
    phone_number_id: String,
    unique_conv_id: String,
    recipient: String,
    owner: Option<i64>,
}

impl Row {
    fn into_ref(self) -> Result<ConversationRef, DbErr> {
        Ok(ConversationRef {
            id: self.id,
            thread_id: self.thread_id,
            contact_id: self.contact_id,
            account_id: self.account_id,
            phone_number_id: self.phone_number_id,
            unique_conv_id: self.unique_conv_id,
            recipient: parsed(&self.recipient)?,
        })
    }
}

/// Where a reply to `sender` goes: the phone when it is known, since only that keeps Meta sending it.
pub fn recipient_of(sender: &Sender) -> Option<Recipient> {
    let phone = sender.wa_id.clone().map(Recipient::Phone);
    phone.or_else(|| sender.user_id.clone().map(Recipient::UserId))
}

/// A home for each message of a group.
pub(super) async fn resolve(
    tx: &DatabaseTransaction,
    instance: i64,
    group: &[&Append],
) -> Result<Vec<Home>, DbErr> {
    let mut found: HashMap<(i64, &Sender), (ConversationRef, Option<i64>, bool)> = HashMap::new();
    let mut unowned: Vec<i64> = Vec::new();
    for a in group {
        let key = (a.place.account_id, &a.message.sender);
        if a.known.is_some() || found.contains_key(&key) {
            continue;
        }
        let (conversation, owner, first) =
            find_or_make(tx, &a.place, &a.message.sender, a.message.sent_at, a.now).await?;
        unowned.push(conversation.id);
        found.insert(key, (conversation, owner, first));
    }
    let owners = claim(tx, instance, &unowned).await?;
    let mut homes = Vec::with_capacity(group.len());
    for a in group {
        homes.push(match &a.known {
            // What this instance knows, it owns: the cache is emptied when its lease is lost.
            Some(known) => Home { conversation: known.clone(), owner: Some(instance), first: false },
            None => {
                let (conversation, owner, first) =
                    match found.get_mut(&(a.place.account_id, &a.message.sender)) {
                        // Only one message of a group is the first.
                        Some((conversation, owner, first)) => {
                            (conversation.clone(), *owner, std::mem::take(first))
                        }
                        None => return Err(DbErr::Custom("a message without a conversation".into())),
                    };
                let owner = owners.get(&conversation.id).copied().or(owner);
                Home { conversation, owner, first }
            }
        });
    }
    Ok(homes)
}

/// Claims what is free of these, unless nobody works here; tells the living owners.
async fn claim(tx: &DatabaseTransaction, instance: i64, ids: &[i64]) -> Result<HashMap<i64, i64>, DbErr> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    if instance != 0 {
        let among = sql::among(tx, 2, "bigint");
        let text = format!("update whatsapp_conversations set owner = $1 where {FREE} and id {among}");
        tx.execute_raw(sql::statement(tx, &text, [instance.into(), sql::json(ids)])).await?;
    }
    let among = sql::among(tx, 1, "bigint");
    let text = format!("select id, owner from whatsapp_conversations where not {FREE} and id {among}");
    let rows = tx.query_all_raw(sql::statement(tx, &text, [sql::json(ids)])).await?;
    rows.iter().map(|row| Ok((row.try_get("", "id")?, row.try_get("", "owner")?))).collect()
}

pub(super) async fn find_or_make(
    tx: &DatabaseTransaction,
    place: &Place,
    sender: &Sender,
    sent_at: i64,
    now: i64,
) -> Result<(ConversationRef, Option<i64>, bool), DbErr> {
    contacts::lock(tx).await?;
    let scope = Scope { tenant: &place.tenant_id, scope: &place.scope };
    let sender = &contacts::as_known_now(tx, scope, sender, sent_at).await?;
    let contact = contacts::resolve(tx, scope, sender, (sent_at, now)).await?;
    let thread = thread(tx, place, contact, now).await?;
    let recipient = recipient_of(sender).ok_or_else(|| DbErr::Custom("a message without a sender".into()))?;
    let recipient_json = serde_json::to_string(&recipient).map_err(|e| DbErr::Json(e.to_string()))?;
    let text = format!(
        "select {COLUMNS} from whatsapp_conversations where thread_id = $1 and whatsapp_account_id = $2"
    );
    let values: [Value; 2] = [thread.into(), place.account_id.into()];
    if let Some(row) = Row::find_by_statement(sql::statement(tx, &text, values)).one(tx).await? {
        if row.recipient != recipient_json {
            let text = "update whatsapp_conversations set recipient = $2 where id = $1";
            tx.execute_raw(sql::statement(tx, text, [row.id.into(), recipient_json.into()])).await?;
        }
        let owner = row.owner;
        return Ok((ConversationRef { recipient, ..row.into_ref()? }, owner, false));
    }
    let unique_conv_id = unique_conv_id(tx, &place.chatbot_id, &recipient).await?;
    let text = "insert into whatsapp_conversations (tenant_id, thread_id, contact_id, whatsapp_account_id, chatbot_id, \
                phone_number_id, unique_conv_id, recipient, created_at, last_message_at) \
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) returning id";
    let values: [Value; 9] = [
        place.tenant_id.as_str().into(),
        thread.into(),
        contact.into(),
        place.account_id.into(),
        place.chatbot_id.as_str().into(),
        place.phone_number_id.as_str().into(),
        unique_conv_id.as_str().into(),
        recipient_json.into(),
        now.into(),
    ];
    let id = inserted(tx, text, values).await?;
    let conversation = ConversationRef {
        id,
        thread_id: thread,
        contact_id: contact,
        account_id: place.account_id,
        phone_number_id: place.phone_number_id.clone(),
        unique_conv_id,
        recipient,
    };
    Ok((conversation, None, true))
}

async fn thread(tx: &DatabaseTransaction, place: &Place, contact: i64, now: i64) -> Result<i64, DbErr> {
    let text = "select id from threads where contact_id = $1 and phone_number_id = $2";
    let values: [Value; 2] = [contact.into(), place.phone_number_id.as_str().into()];
    if let Some(row) = tx.query_one_raw(sql::statement(tx, text, values)).await? {
        return row.try_get("", "id");
    }
    let text = "insert into threads (tenant_id, contact_id, phone_number_id, created_at) values ($1, $2, $3, $4) \
                returning id";
    let values: [Value; 4] =
        [place.tenant_id.as_str().into(), contact.into(), place.phone_number_id.as_str().into(), now.into()];
    inserted(tx, text, values).await
}

/// `whatsapp_<phone or BSUID>_<chatbot>`, with `_2`, `_3` … for whoever comes to a name that is taken.
async fn unique_conv_id(
    tx: &DatabaseTransaction,
    chatbot: &str,
    recipient: &Recipient,
) -> Result<String, DbErr> {
    let (Recipient::Phone(who) | Recipient::UserId(who)) = recipient;
    let base = format!("whatsapp_{who}_{chatbot}");
    let text = "select 1 as one from whatsapp_conversations where chatbot_id = $1 and unique_conv_id = $2";
    let mut name = base.clone();
    for n in 2.. {
        let taken =
            tx.query_one_raw(sql::statement(tx, text, [chatbot.into(), name.as_str().into()])).await?;
        if taken.is_none() {
            break;
        }
        name = format!("{base}_{n}");
    }
    Ok(name)
}

/// Notes that something happened in these conversations, for lists that show the latest first. Tells where each goes
/// now; those that were forgotten or erased, though somebody still knew them, are not among them.
pub(super) async fn touch(
    tx: &DatabaseTransaction,
    mut ids: Vec<i64>,
    now: i64,
) -> Result<HashMap<i64, Recipient>, DbErr> {
    ids.sort_unstable();
    ids.dedup();
    let text = format!(
        "update whatsapp_conversations set last_message_at = $2 where erased_at is null and id {} \
         returning id, recipient",
        sql::among(tx, 1, "bigint")
    );
    let rows = match ids.is_empty() {
        true => Vec::new(),
        false => tx.query_all_raw(sql::statement(tx, &text, [sql::json(&ids), now.into()])).await?,
    };
    rows.iter()
        .map(|row| Ok((row.try_get("", "id")?, parsed(&row.try_get::<String>("", "recipient")?)?)))
        .collect()
}

fn parsed(recipient: &str) -> Result<Recipient, DbErr> {
    serde_json::from_str(recipient).map_err(|e| DbErr::Json(e.to_string()))
}

/// Another home for a message that was just stored in a conversation that is gone, or is not its sender's any more.
pub(super) async fn rehome(
    tx: &DatabaseTransaction,
    instance: i64,
    append: &Append,
    id: i64,
) -> Result<Home, DbErr> {
    let message = &append.message;
    let (conversation, owner, first) =
        find_or_make(tx, &append.place, &message.sender, message.sent_at, append.now).await?;
    let owners = claim(tx, instance, &[conversation.id]).await?;
    let text = "update messages set conversation_id = $2 where id = $1";
    tx.execute_raw(sql::statement(tx, text, [id.into(), conversation.id.into()])).await?;
    Ok(Home { owner: owners.get(&conversation.id).copied().or(owner), first, conversation })
}

/// A conversation as people see it.
#[derive(Debug, Clone, FromQueryResult)]
pub struct ConversationRow {
    /// Its id.
    pub id: i64,
    /// Its chatbot.
    pub chatbot_id: String,
    /// Its account.
    pub whatsapp_account_id: i64,
    /// Its number.
    pub phone_number_id: String,
    /// `uniqueClientId`.
    pub unique_conv_id: String,
    /// The contact's id.
    pub contact_id: i64,
    /// The contact's name.
    pub name: Option<String>,
    /// The contact's phone identity, if known.
    pub wa_id: Option<String>,
    /// A person has it until then.
    pub hand_over_until: Option<i64>,
    /// The contact wants no messages, since then.
    pub opted_out_at: Option<i64>,
    /// When the contact last wrote, by Meta's clock.
    pub wrote_at: Option<i64>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub last_message_at: i64,
}

pub(super) const SEEN: &str = concat!(
    "c.id, c.chatbot_id, c.whatsapp_account_id, c.phone_number_id, c.unique_conv_id, c.contact_id, p.name, \
     (select max(a.value) from contact_aliases a where a.contact_id = c.contact_id and a.kind = 'wa_id') as wa_id, \
     t.hand_over_until, t.opted_out_at, c.created_at, c.last_message_at, ",
    wrote_at!(),
    " as wrote_at from whatsapp_conversations c join contacts p on p.id = c.contact_id join threads t on t.id = c.thread_id"
);

impl Store {
    /// One of a tenant's conversations.
    pub async fn conversation(&self, tenant: &str, id: i64) -> Result<Option<ConversationRow>, StoreError> {
        let text = format!("select {SEEN} where c.tenant_id = $1 and c.id = $2 and c.erased_at is null");
        let found = ConversationRow::find_by_statement(sql::statement(
            self.read(),
            &text,
            [tenant.into(), id.into()],
        ));
        Ok(found.one(self.read()).await?)
    }

    /// What is needed to go on with it.
    pub async fn conversation_ref(&self, id: i64) -> Result<Option<ConversationRef>, StoreError> {
        let text =
            format!("select {COLUMNS} from whatsapp_conversations where id = $1 and erased_at is null");
        let row =
            Row::find_by_statement(sql::statement(self.read(), &text, [id.into()])).one(self.read()).await?;
        Ok(row.map(Row::into_ref).transpose()?)
    }

    /// Up to `limit` conversations with open work (waiting messages, an open turn, something to send) since before
    /// `older_than` that nobody holds become ours. True: there may be
    /// more; otherwise they come with those of ours that have such work.
    pub async fn claim_conversations(
        &self,
        older_than: i64,
        limit: usize,
    ) -> Result<(Vec<i64>, bool), StoreError> {
        let tx = self.begin().await?;
        let skip = if self.is_shared() { "for update skip locked" } else { "" };
        let open = "select conversation_id from pending_messages where at < $2 \
                    union select conversation_id from turns where status = 'asking' and created_at < $2 \
                    union select d.conversation_id from deliveries d \
                        join whatsapp_accounts a on a.id = d.whatsapp_account_id \
                        where d.created_at < $2 and (d.status = 'sending' or (d.status = 'queued' \
                        and a.transport = 'cloud' and a.deleted_at is null and a.status in ('active', 'restricted')))";
        let values = [self.instance().into(), older_than.into()];
        let text = format!(
            "update whatsapp_conversations set owner = $1 where id in (select id from whatsapp_conversations \
             where {FREE} and id in ({open}) limit {limit} {skip}) returning id"
        );
        let mut rows = tx.query_all_raw(sql::statement(&tx, &text, values.clone())).await?;
        tx.commit().await?;
        let more = rows.len() == limit;
        if !more {
            let text = format!("select id from whatsapp_conversations where owner = $1 and id in ({open})");
            rows.extend(self.read().query_all_raw(sql::statement(self.read(), &text, values)).await?);
        }
        let mut ids = rows.iter().map(|row| row.try_get("", "id")).collect::<Result<Vec<i64>, _>>()?;
        ids.sort_unstable();
        ids.dedup();
        Ok((ids, more))
    }

    /// Makes one conversation ours if it is free and we work; tells whose it is now.
    pub async fn claim_conversation(&self, id: i64) -> Result<Option<i64>, StoreError> {
        let tx = self.begin().await?;
        let owners = claim(&tx, self.instance(), &[id]).await?;
        tx.commit().await?;
        Ok(owners.get(&id).copied())
    }

    /// The conversation of a contact with an account, made if need be: for messages the business starts.
    pub async fn open_conversation(
        &self,
        place: &Place,
        sender: &Sender,
        now: i64,
    ) -> Result<ConversationRef, StoreError> {
        let tx = self.begin().await?;
        let (conversation, ..) = find_or_make(&tx, place, sender, now, now).await?;
        tx.commit().await?;
        Ok(conversation)
    }
}
