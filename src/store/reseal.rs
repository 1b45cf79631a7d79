//! Sealed values of every row, for their move under a newer key. Each is replaced only if it is still what was read, so
//! that a service at work loses nothing.

use sea_orm::{ConnectionTrait, QueryResult, Value};
use uuid::Uuid;

use super::{Store, StoreError, sql};

/// A table with sealed columns. Each is sealed for its tenant, table, column and row.
#[derive(Debug)]
pub struct Sealed {
    /// The table.
    pub table: &'static str,
    /// Its sealed columns.
    pub columns: &'static [&'static str],
    id: Id,
    /// What else names a row in the place its values are sealed for, as SQL.
    name: Option<&'static str>,
}

/// Of what kind a table's ids are.
#[derive(Debug, Clone, Copy)]
enum Id {
    Text,
    Number,
    Uuid,
}

/// Every table with sealed columns.
pub const SEALED: [Sealed; 6] = [
    Sealed { table: "chatbots", columns: &["api_key"], id: Id::Text, name: None },
    Sealed {
        table: "whatsapp_accounts",
        columns: &["verify_token", "access_token", "app_secret", "previous_app_secret"],
        id: Id::Number,
        name: Some("chatbot_id || '/' || phone_number_id"),
    },
    Sealed { table: "event_endpoints", columns: &["secret", "previous_secret"], id: Id::Uuid, name: None },
    Sealed { table: "whatsapp_sessions", columns: &["webhook_key", "qr"], id: Id::Number, name: None },
    Sealed {
        table: "session_keys",
        columns: &["value"],
        id: Id::Number,
        name: Some("session_id || '/' || kind || '/' || k1 || '/' || k2"),
    },
    Sealed {
        table: "idempotency_keys",
        columns: &["answer"],
        id: Id::Number,
        name: Some("actor || '/' || key"),
    },
];

/// A row with what is sealed in it.
#[derive(Debug)]
pub struct SealedRow {
    /// Its `id`.
    pub id: Value,
    /// Whose it is.
    pub tenant: String,
    /// What names it in the place its values are sealed for.
    pub name: String,
    /// Its sealed values, in the order of the columns.
    pub values: Vec<Option<String>>,
    /// The hash a verify token is found by, if it has one.
    pub verify_token_hash: Option<String>,
}

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

impl Sealed {
    fn read(&self, row: &QueryResult) -> Result<SealedRow, StoreError> {
        let (id, name): (Value, String) = match self.id {
            Id::Text => {
                let id: String = row.try_get("", "id")?;
                (id.clone().into(), id)
            }
            Id::Number => {
                let id: i64 = row.try_get("", "id")?;
                (id.into(), id.to_string())
            }
            Id::Uuid => {
                let id: Uuid = row.try_get("", "id")?;
                (id.into(), id.to_string())
            }
        };
        let values = self.columns.iter().map(|column| row.try_get("", column));
        Ok(SealedRow {
            id,
            tenant: row.try_get("", "tenant_id")?,
            name: row.try_get::<Option<String>>("", "name")?.unwrap_or(name),
            values: values.collect::<Result<_, _>>()?,
            verify_token_hash: row.try_get("", "hash")?,
        })
    }
}

impl Store {
    /// Rows of a table by id, deleted ones included, after this one.
    pub async fn sealed_rows(
        &self,
        of: &Sealed,
        after: Option<Value>,
        limit: u64,
    ) -> Result<Vec<SealedRow>, StoreError> {
        let name = of.name.unwrap_or("cast(null as text)");
        let has_tokens = of.columns.contains(&"verify_token");
        let hash = if has_tokens { "verify_token_hash" } else { "cast(null as text)" };
        let which = if after.is_some() { "where id > $1" } else { "" };
        let text = format!(
            "select id, tenant_id, {name} as name, {hash} as hash, {} from {} {which} order by id limit {limit}",
            of.columns.join(", "),
            of.table
        );
        let rows = self.read().query_all_raw(sql::statement(self.read(), &text, after)).await?;
        rows.iter().map(|row| of.read(row)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The schema says of each column whether it is sealed.
    #[test]
    fn no_sealed_column_is_forgotten() {
        let mut table = "";
        let mut sealed = Vec::new();
        let schema = migration::postgres_sql();
        for line in schema.lines() {
            if let Some(name) = line.strip_prefix("create table ") {
                table = name.split(' ').next().unwrap();
            }
            if line.split_once("-- sealed").is_some() {
                sealed.push((table, line.split_whitespace().next().unwrap()));
            }
        }
        sealed.sort_unstable();
        let mut known: Vec<(&str, &str)> =
            SEALED.iter().flat_map(|of| of.columns.iter().map(|column| (of.table, *column))).collect();
        known.sort_unstable();
        assert_eq!(sealed, known);
    }
}
