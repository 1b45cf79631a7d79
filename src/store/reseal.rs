//! Sealed values of every row, for their move under a newer key. Each is replaced only if it is still what was read, so
//! that a service at work loses nothing.

use sea_orm::{ConnectionTrait, FromQueryResult, Value};
use uuid::Uuid;

use super::accounts::Account;
use super::chatbots::{CHATBOT, Chatbot};
use super::event_endpoints::Endpoint;
use super::{Store, StoreError, sql};

/// One column that holds sealed values, and the key of its row.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// Its row's `id`.
    pub id: Value,
    /// What was read.
    pub old: String,
    /// What is to stand there instead.
    pub new: String,
}

impl Store {
    /// Accounts by id, deleted ones included, after this one.
    pub async fn accounts_after(&self, id: i64, limit: u64) -> Result<Vec<Account>, StoreError> {
        self.find_accounts(&format!("id > $1 order by id limit {limit}"), [id.into()]).await
    }

    /// Chatbots by id, deleted ones included, after this one.
    pub async fn chatbots_after(&self, id: &str, limit: u64) -> Result<Vec<Chatbot>, StoreError> {
        let text = format!("select {CHATBOT} from chatbots where id > $1 order by id limit {limit}");
        let found = Chatbot::find_by_statement(sql::statement(self.read(), &text, [id.into()]));
        Ok(found.all(self.read()).await?)
    }

    /// Event endpoints by id, after this one.
    pub async fn endpoints_after(&self, id: Uuid, limit: u64) -> Result<Vec<Endpoint>, StoreError> {
        self.find_endpoints(&format!("id > $1 order by id limit {limit}"), [id.into()]).await
    }

    /// Replaces cells in one transaction; returns how many were still what was read.
    pub async fn reseal(&self, cells: &[Cell]) -> Result<u64, StoreError> {
        let tx = self.begin().await?;
        let mut replaced = 0;
        for cell in cells {
            let Cell { table, column, id, old, new } = cell;
            let text = format!("update {table} set {column} = $3 where id = $1 and {column} = $2");
            let values: [Value; 3] = [id.clone(), old.as_str().into(), new.as_str().into()];
            replaced += tx.execute_raw(sql::statement(&tx, &text, values)).await?.rows_affected();
        }
        tx.commit().await?;
        Ok(replaced)
    }

    /// The newest stored webhook event's id.
    pub async fn last_event_id(&self) -> Result<i64, StoreError> {
        let text = "select coalesce(max(id), 0) as id from webhook_events";
        let row = self.read().query_one_raw(sql::statement(self.read(), text, [])).await?;
        Ok(row.map(|row| row.try_get("", "id")).transpose()?.unwrap_or(0))
    }

    /// Gives the events after `after` up to `upto` their secret's fingerprint under the newest key: (old, new).
    pub async fn replace_fingerprints(
        &self,
        pairs: &[(String, String)],
        after: i64,
        upto: i64,
    ) -> Result<u64, StoreError> {
        let which = format!("id > $1 and id <= $2 and verified_by in ({})", sql::list(3, pairs.len()));
        let bounds: [Value; 2] = [after.into(), upto.into()];
        let values = bounds.clone().into_iter().chain(pairs.iter().map(|(old, _)| old.as_str().into()));
        let text = format!("select 1 as one from webhook_events where {which} limit 1");
        if self.read().query_one_raw(sql::statement(self.read(), &text, values)).await?.is_none() {
            return Ok(0);
        }
        let tx = self.begin().await?;
        let mut replaced = 0;
        for (old, new) in pairs {
            let text =
                "update webhook_events set verified_by = $4 where id > $1 and id <= $2 and verified_by = $3";
            let values = bounds.clone().into_iter().chain([old.as_str().into(), new.as_str().into()]);
            replaced += tx.execute_raw(sql::statement(&tx, text, values)).await?.rows_affected();
        }
        tx.commit().await?;
        Ok(replaced)
    }
}
