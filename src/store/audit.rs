//! The log of what people and keys changed. Lines are added in the transaction of the change itself; the database
//! refuses to change or remove them.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, Value};

use super::{Store, StoreError, sql};

/// One line to be added.
#[derive(Debug, Clone, Default)]
pub struct Audit<'a> {
    /// Whose thing was changed; none for the platform's own.
    pub tenant: Option<&'a str>,
    /// Who did it, e.g. `key:ab12cd34` or `user:ada@example.com`.
    pub actor: &'a str,
    /// From which address, where it came over the network.
    pub address: Option<&'a str>,
    /// What, e.g. `integration.create`.
    pub action: &'a str,
    /// To which thing.
    pub target: &'a str,
    /// What more there is to say, e.g. `agent to admin`. Never a secret.
    pub detail: Option<&'a str>,
    /// Unix milliseconds.
    pub now: i64,
}

/// One line as it stands.
#[derive(Debug, Clone, FromQueryResult)]
#[allow(missing_docs)] // as in `Audit`
pub struct AuditRow {
    pub id: i64,
    pub tenant_id: Option<String>,
    pub at: i64,
    pub actor: String,
    pub address: Option<String>,
    pub action: String,
    pub target: String,
    pub detail: Option<String>,
}

/// Adds a line, in the transaction of the change itself.
pub(super) async fn audit(tx: &DatabaseTransaction, line: &Audit<'_>) -> Result<(), DbErr> {
    let text = "insert into audit_log (tenant_id, at, actor, address, action, target, detail) \
                values ($1, $2, $3, $4, $5, $6, $7)";
    let values: [Value; 7] = [
        line.tenant.into(),
        line.now.into(),
        line.actor.into(),
        line.address.into(),
        line.action.into(),
        line.target.into(),
        line.detail.into(),
    ];
    tx.execute_raw(sql::statement(tx, text, values)).await?;
    Ok(())
}

impl Store {
    /// Adds a line by itself, for what changes in several transactions.
    pub async fn log(&self, line: &Audit<'_>) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        audit(&tx, line).await?;
        Ok(tx.commit().await?)
    }

    /// Lines, the newest first, below `before`: of a tenant, or of everybody; of an actor or an action alone, if given.
    pub async fn audit_page(
        &self,
        tenant: Option<&str>,
        actor: Option<&str>,
        action: Option<&str>,
        before: i64,
        limit: u64,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let text = format!(
            "select id, tenant_id, at, actor, address, action, target, detail from audit_log where id < $1 \
             and ($2 = '' or tenant_id = $2) and ($3 = '' or actor = $3) and ($4 = '' or action = $4) \
             order by id desc limit {limit}"
        );
        let word = |word: Option<&str>| Value::from(word.unwrap_or_default());
        let values = [before.into(), word(tenant), word(actor), word(action)];
        let statement = sql::statement(self.read(), &text, values);
        Ok(AuditRow::find_by_statement(statement).all(self.read()).await?)
    }
}
