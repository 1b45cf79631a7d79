//! Contacts as people see them: their names, their conversations, all that was said.

use sea_orm::{FromQueryResult, Value};

use super::audit::{Audit, audit};
use super::messages::{MESSAGE, Message};
use super::threads::{self, Control};
use super::{Store, StoreError, sql};

/// A contact.
#[derive(Debug, Clone, FromQueryResult)]
pub struct ContactRow {
    /// Its id.
    pub id: i64,
    /// Inside which WABA or session it is known.
    pub scope: String,
    /// The name it shows.
    pub name: Option<String>,
    /// Its phone identity, if known.
    pub wa_id: Option<String>,
    /// Its conversations.
    pub conversations: i64,
    /// When something was last said, Unix milliseconds.
    pub last_message_at: Option<i64>,
    /// Unix milliseconds.
    pub created_at: i64,
}

pub(super) const SEEN: &str = "p.id, p.scope, p.name, \
    (select max(a.value) from contact_aliases a where a.contact_id = p.id and a.kind = 'wa_id') as wa_id, \
    (select count(*) from whatsapp_conversations c join threads t on t.id = c.thread_id \
     where t.contact_id = p.id) as conversations, \
    (select max(c.last_message_at) from whatsapp_conversations c join threads t on t.id = c.thread_id \
     where t.contact_id = p.id) as last_message_at, \
    p.created_at from contacts p";

/// A name that a contact goes by.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Alias {
    /// `wa_id`, `bsuid`, `parent_bsuid`, `lid` or `phone`.
    pub kind: String,
    /// The name itself.
    pub value: String,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// A contact on one number.
#[derive(Debug, Clone, FromQueryResult)]
pub struct ThreadRow {
    /// Its id.
    pub id: i64,
    /// The number.
    pub phone_number_id: String,
    /// A person has it until then, Unix milliseconds.
    pub hand_over_until: Option<i64>,
    /// Since when it wants to hear nothing more.
    pub opted_out_at: Option<i64>,
    /// Unix milliseconds.
    pub created_at: i64,
}

impl Store {
    /// One of a tenant's contacts, unless it was erased.
    pub async fn contact(&self, tenant: &str, id: i64) -> Result<Option<ContactRow>, StoreError> {
        let text = format!("select {SEEN} where p.tenant_id = $1 and p.id = $2 and p.erased_at is null");
        let found =
            ContactRow::find_by_statement(sql::statement(self.read(), &text, [tenant.into(), id.into()]));
        Ok(found.one(self.read()).await?)
    }

    /// The names a contact goes by.
    pub async fn aliases(&self, contact: i64) -> Result<Vec<Alias>, StoreError> {
        let text =
            "select kind, value, created_at from contact_aliases where contact_id = $1 order by kind, value";
        Ok(Alias::find_by_statement(sql::statement(self.read(), text, [contact.into()]))
            .all(self.read())
            .await?)
    }

    /// The numbers a contact talked to.
    pub async fn threads_of_contact(&self, contact: i64) -> Result<Vec<ThreadRow>, StoreError> {
        let text = "select id, phone_number_id, hand_over_until, opted_out_at, created_at from threads \
                    where contact_id = $1 order by id";
        let found = ThreadRow::find_by_statement(sql::statement(self.read(), text, [contact.into()]));
        Ok(found.all(self.read()).await?)
    }

    /// Notes on every number of a contact that it wants silence, or no longer; with silence, withdraws what waits for it.
    pub async fn set_opt_out(&self, contact: i64, silence: bool, line: &Audit<'_>) -> Result<(), StoreError> {
        let threads = self.threads_of_contact(contact).await?;
        let what = if silence { Control::OptOut } else { Control::OptIn };
        let tx = self.begin().await?;
        for thread in threads {
            threads::apply(&tx, thread.id, what, line.now, line.now).await?;
        }
        audit(&tx, line).await?;
        Ok(tx.commit().await?)
    }

    /// What was said with a contact, in all its conversations, newest first, older than `before`.
    pub async fn timeline(&self, contact: i64, before: i64, limit: u64) -> Result<Vec<Message>, StoreError> {
        let text = format!(
            "select {MESSAGE} from messages where conversation_id in \
             (select c.id from whatsapp_conversations c join threads t on t.id = c.thread_id where t.contact_id = $1) \
             and id < $2 order by id desc limit {limit}"
        );
        let values: [Value; 2] = [contact.into(), before.into()];
        Ok(Message::find_by_statement(sql::statement(self.read(), &text, values)).all(self.read()).await?)
    }
}
