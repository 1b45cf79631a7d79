//! The keys of sessions that this house runs itself, sealed, in the database.
//!
//! Every batch makes a new generation and is refused when another one came between: two processes that use the same
//! keys cannot both go on, and nothing older is ever written over something newer.

use sea_orm::{ConnectionTrait, DatabaseTransaction, FromQueryResult, Value};

use super::{Store, StoreError, sql};

/// Rows written by one statement.
const ROWS: usize = 500;

/// One sealed value, and what it is found by.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// What it is: `device`, `session`, `pre_key`, …
    pub kind: String,
    /// Whose, or which.
    pub k1: String,
    /// Of those, which; empty where `k1` says all.
    pub k2: String,
    /// Sealed.
    pub value: String,
    /// The generation it was written in.
    pub generation: i64,
}

/// One step of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// This value stands there from now on; its generation is the batch's.
    Put(Entry),
    /// Nothing stands there.
    Delete {
        /// See [`Entry::kind`].
        kind: String,
        /// See [`Entry::k1`].
        k1: String,
        /// See [`Entry::k2`].
        k2: String,
    },
}

const ENTRY: &str = "kind, k1, k2, value, generation";

impl Store {
    /// The newest generation of a session's keys; 0: it never had any. None: there is no such session.
    pub async fn keys_generation(&self, session: i64) -> Result<Option<i64>, StoreError> {
        let text = "select keys_generation from whatsapp_sessions where id = $1";
        let row = self.read().query_one_raw(sql::statement(self.read(), text, [session.into()])).await?;
        Ok(row.map(|row| row.try_get("", "keys_generation")).transpose()?)
    }

    /// One value.
    pub async fn session_key(
        &self,
        session: i64,
        kind: &str,
        k1: &str,
        k2: &str,
    ) -> Result<Option<Entry>, StoreError> {
        let which = "session_id = $1 and kind = $2 and k1 = $3 and k2 = $4";
        let values: [Value; 4] = [session.into(), kind.into(), k1.into(), k2.into()];
        Ok(self.session_keys_where(which, values).await?.pop())
    }

    /// All values of a kind, or those of it with this `k1`, in the order of `k1` and `k2`.
    pub async fn session_keys_of(
        &self,
        session: i64,
        kind: &str,
        k1: Option<&str>,
    ) -> Result<Vec<Entry>, StoreError> {
        let which = if k1.is_some() { "and k1 = $3" } else { "" };
        let which = format!("session_id = $1 and kind = $2 {which} order by k1, k2");
        let values = [session.into(), kind.into()].into_iter().chain(k1.map(Value::from));
        self.session_keys_where(&which, values).await
    }

    /// Everything a session has.
    pub async fn session_keys(&self, session: i64) -> Result<Vec<Entry>, StoreError> {
        self.session_keys_where("session_id = $1 order by kind, k1, k2", [session.into()]).await
    }

    async fn session_keys_where(
        &self,
        which: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<Entry>, StoreError> {
        let text = format!("select {ENTRY} from session_keys where {which}");
        Ok(Entry::find_by_statement(sql::statement(self.read(), &text, values)).all(self.read()).await?)
    }

    /// Writes a batch on top of the generation `after`; its own generation. None: another batch came between, the session
    /// is deleted, or another instance watches it now.
    pub async fn write_session_keys(
        &self,
        session: i64,
        after: i64,
        changes: &[Change],
    ) -> Result<Option<i64>, StoreError> {
        let tx = self.begin_fenced().await?;
        let generation = after + 1;
        let text = "update whatsapp_sessions set keys_generation = $3 \
                    where id = $1 and keys_generation = $2 and owner = $4 and deleted_at is null";
        let values: [Value; 4] = [session.into(), after.into(), generation.into(), self.instance().into()];
        if tx.execute_raw(sql::statement(&tx, text, values)).await?.rows_affected() == 0 {
            return Ok(None);
        }
        // The last word on a place counts; a statement must not meet one twice.
        let mut last = std::collections::BTreeMap::new();
        for change in changes {
            match change {
                Change::Put(entry) => {
                    last.insert((&entry.kind, &entry.k1, &entry.k2), Some(&entry.value));
                }
                Change::Delete { kind, k1, k2 } => {
                    last.insert((kind, k1, k2), None);
                }
            }
        }
        for ((kind, k1, k2), _) in last.iter().filter(|(_, value)| value.is_none()) {
            let text = "delete from session_keys where session_id = $1 and kind = $2 and k1 = $3 and k2 = $4";
            let values: [Value; 4] =
                [session.into(), kind.as_str().into(), k1.as_str().into(), k2.as_str().into()];
            tx.execute_raw(sql::statement(&tx, text, values)).await?;
        }
        let kept = last.into_iter().filter_map(|((kind, k1, k2), value)| {
            let (kind, k1, k2, value) = (kind.clone(), k1.clone(), k2.clone(), value?.clone());
            Some(Entry { kind, k1, k2, value, generation })
        });
        put(&tx, session, kept.collect()).await?;
        tx.commit().await?;
        Ok(Some(generation))
    }

    /// Makes `entries` all that a session has, as its generation `generation`; none: the keys are wiped, and nothing
    /// older can come back. False: what is there is as new or newer, or there is no such session.
    pub async fn replace_session_keys(
        &self,
        session: i64,
        generation: i64,
        entries: &[Entry],
    ) -> Result<bool, StoreError> {
        let tx = self.begin_fenced().await?;
        let text = "update whatsapp_sessions set keys_generation = $2 \
                    where id = $1 and keys_generation < $2 and deleted_at is null";
        let values: [Value; 2] = [session.into(), generation.into()];
        if tx.execute_raw(sql::statement(&tx, text, values)).await?.rows_affected() == 0 {
            return Ok(false);
        }
        let text = "delete from session_keys where session_id = $1";
        tx.execute_raw(sql::statement(&tx, text, [session.into()])).await?;
        put(&tx, session, entries.to_vec()).await?;
        tx.commit().await?;
        Ok(true)
    }
}

async fn put(tx: &DatabaseTransaction, session: i64, entries: Vec<Entry>) -> Result<(), StoreError> {
    for entries in entries.chunks(ROWS) {
        let rows = entries.iter().map(|entry| -> [Value; 6] {
            [
                session.into(),
                entry.kind.as_str().into(),
                entry.k1.as_str().into(),
                entry.k2.as_str().into(),
                entry.value.as_str().into(),
                entry.generation.into(),
            ]
        });
        let (rows, values) = sql::rows(tx, rows);
        let text = format!(
            "insert into session_keys (tenant_id, session_id, kind, k1, k2, value, generation) \
             select s.tenant_id, s.id, v.column2, v.column3, v.column4, v.column5, v.column6 \
             from {rows} join whatsapp_sessions s on s.id = v.column1 where v.column1 is not null \
             on conflict (session_id, kind, k1, k2) do update set value = excluded.value, \
             generation = excluded.generation"
        );
        tx.execute_raw(sea_orm::Statement::from_sql_and_values(tx.get_database_backend(), text, values))
            .await?;
    }
    Ok(())
}
