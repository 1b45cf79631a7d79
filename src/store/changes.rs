//! What changed, for pages that show it: noted as it is committed, and looked up together a moment later.
//!
//! Only names are kept, and a bounded number of them: whoever hears that too much changed looks at everything.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{Store, StoreError, sql};

/// Changes noted between two looks, at most.
const NOTED: usize = 1_000;
/// Names of one tenant told at once, at most; they must fit a NOTIFY of PostgreSQL.
const NAMED: usize = 200;

/// Something that pages show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// A conversation: what was said in it, or who has it.
    Conversation(i64),
    /// Every conversation of a thread.
    Thread(i64),
    /// A delivery, and with it its conversation.
    Delivery(i64),
    /// The delivery that Meta calls by this name.
    Wamid(&'a str),
}

/// What changed for one tenant: row numbers, never what is in the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Names {
    /// Too much to name it: look at everything.
    pub all: bool,
    /// Conversations.
    pub conversations: BTreeSet<i64>,
    /// Deliveries.
    pub deliveries: BTreeSet<i64>,
    /// Accounts.
    pub accounts: BTreeSet<i64>,
    /// Sessions.
    pub sessions: BTreeSet<i64>,
}

impl Names {
    /// Everything.
    pub fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// These, and those.
    pub fn add(&mut self, other: Self) {
        self.all |= other.all;
        self.conversations.extend(other.conversations);
        self.deliveries.extend(other.deliveries);
        self.accounts.extend(other.accounts);
        self.sessions.extend(other.sessions);
        let sets = [&self.conversations, &self.deliveries, &self.accounts, &self.sessions];
        if self.all || sets.iter().map(|set| set.len()).sum::<usize>() > NAMED {
            *self = Self::all();
        }
    }
}

/// What was noted since the last look. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Changes(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    noted: Mutex<Noted>,
    there: Notify,
}

#[derive(Debug, Default)]
struct Noted {
    too_much: bool,
    conversations: HashSet<i64>,
    threads: HashSet<i64>,
    deliveries: HashSet<i64>,
    wamids: HashSet<String>,
}

impl Noted {
    fn add(&mut self, change: Change<'_>) {
        // Once everything is to be looked at, more names add nothing.
        if self.too_much {
            return;
        }
        match change {
            Change::Conversation(id) => drop(self.conversations.insert(id)),
            Change::Thread(id) => drop(self.threads.insert(id)),
            Change::Delivery(id) => drop(self.deliveries.insert(id)),
            Change::Wamid(id) => drop(self.wamids.insert(id.to_owned())),
        }
        let count = self.conversations.len() + self.threads.len() + self.deliveries.len() + self.wamids.len();
        if count > NOTED {
            *self = Self { too_much: true, ..Self::default() };
        }
    }
}

impl Changes {
    /// Notes what was committed.
    pub(super) fn note<'a>(&self, changes: impl IntoIterator<Item = Change<'a>>) {
        let mut changes = changes.into_iter().peekable();
        if changes.peek().is_none() {
            return;
        }
        let mut noted = self.noted();
        changes.for_each(|change| noted.add(change));
        drop(noted);
        self.0.there.notify_one();
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something is noted.
    pub async fn there(&self) {
        self.0.there.notified().await;
    }

    /// Forgets what is noted.
    pub fn forget(&self) {
        *self.noted() = Noted::default();
    }
}

impl Store {
    /// What was committed through this handle, for pages that show it.
    pub fn changes(&self) -> &Changes {
        self.listeners.changes()
    }

    /// What was noted since the last call, tenant by tenant; `None`: too much to name it. What cannot be looked up is
    /// told as too much the next time.
    pub async fn changed_names(&self) -> Result<Option<BTreeMap<String, Names>>, StoreError> {
        let noted = std::mem::take(&mut *self.changes().noted());
        if noted.too_much {
            return Ok(None);
        }
        let named = self.names_of(noted).await;
        if named.is_err() {
            self.changes().noted().too_much = true;
        }
        named.map(Some)
    }

    async fn names_of(&self, noted: Noted) -> Result<BTreeMap<String, Names>, StoreError> {
        let mut tenants: BTreeMap<String, Names> = BTreeMap::new();
        if !noted.deliveries.is_empty() || !noted.wamids.is_empty() {
            let text = format!(
                "select id, tenant_id, conversation_id from deliveries where id {} union \
                 select d.id, d.tenant_id, d.conversation_id from attempts a join deliveries d on d.id = a.delivery_id \
                 where a.wamid {}",
                sql::among(self.read(), 1, "bigint"),
                sql::among(self.read(), 2, "text")
            );
            let values = [sql::json(noted.deliveries), sql::json(noted.wamids)];
            for row in self.read().query_all_raw(sql::statement(self.read(), &text, values)).await? {
                let names = tenants.entry(row.try_get("", "tenant_id")?).or_default();
                names.deliveries.insert(row.try_get("", "id")?);
                names.conversations.insert(row.try_get("", "conversation_id")?);
            }
        }
        if !noted.conversations.is_empty() || !noted.threads.is_empty() {
            let text = format!(
                "select id, tenant_id from whatsapp_conversations where id {} union \
                 select id, tenant_id from whatsapp_conversations where thread_id {}",
                sql::among(self.read(), 1, "bigint"),
                sql::among(self.read(), 2, "bigint")
            );
            let values = [sql::json(noted.conversations), sql::json(noted.threads)];
            for row in self.read().query_all_raw(sql::statement(self.read(), &text, values)).await? {
                let names = tenants.entry(row.try_get("", "tenant_id")?).or_default();
                names.conversations.insert(row.try_get("", "id")?);
            }
        }
        tenants.values_mut().for_each(|names| names.add(Names::default()));
        Ok(tenants)
    }

    /// The accounts of a number, those put away too: tenant and id.
    pub async fn names_of_number(&self, phone_number_id: &str) -> Result<Vec<(String, i64)>, StoreError> {
        let text = "select tenant_id, id from whatsapp_accounts where phone_number_id = $1";
        let rows =
            self.read().query_all_raw(sql::statement(self.read(), text, [phone_number_id.into()])).await?;
        let account =
            |row: &sea_orm::QueryResult| Ok((row.try_get("", "tenant_id")?, row.try_get("", "id")?));
        Ok(rows.iter().map(account).collect::<Result<_, sea_orm::DbErr>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn more_than_can_be_named_is_everything() {
        let changes = Changes::default();
        changes.note([]);
        assert!(!changes.noted().too_much);
        changes.note((0..5).map(Change::Conversation).chain([Change::Conversation(1), Change::Wamid("w")]));
        changes.there().await;
        assert_eq!(changes.noted().conversations.len(), 5);
        assert_eq!(changes.noted().wamids.len(), 1);
        changes.note((0..2 * NOTED as i64).map(Change::Delivery));
        assert!(changes.noted().too_much);
        assert!(changes.noted().deliveries.is_empty(), "and nothing is kept beside it");
        changes.forget();
        assert!(!changes.noted().too_much);

        let mut names = Names { conversations: (0..NAMED as i64).collect(), ..Names::default() };
        names.add(Names::default());
        assert!(!names.all);
        names.add(Names { sessions: [1].into(), ..Names::default() });
        assert_eq!(names, Names::all());
    }

    /// PostgreSQL refuses payloads of 8,000 bytes.
    #[test]
    fn the_longest_names_fit_a_notification() {
        let conversations = (0..NAMED as i64).map(|n| i64::MAX - n).collect();
        let names = Names { conversations, ..Names::default() };
        assert!(serde_json::to_string(&names).unwrap().len() < 7_500);
    }
}
