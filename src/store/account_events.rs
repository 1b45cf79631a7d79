//! What Meta told of a tenant's business accounts and numbers, as it is read again.

use sea_orm::{FromQueryResult, Value};

use super::{Store, StoreError, sql};

/// Something Meta told.
#[derive(Debug, Clone, FromQueryResult)]
#[allow(missing_docs)] // the columns of `account_events`, named alike
pub struct AccountEvent {
    pub id: i64,
    pub field: String,
    pub event: String,
    pub severity: String,
    pub detail: Option<String>,
    pub action: Option<String>,
    pub at: i64,
}

impl Store {
    /// What a tenant was told of a WABA and its numbers, newest first, below `before`.
    pub async fn account_events(
        &self,
        tenant: &str,
        business_account_id: &str,
        before: i64,
        limit: u64,
    ) -> Result<Vec<AccountEvent>, StoreError> {
        let text = format!(
            "select id, field, event, severity, detail, action, at from account_events \
             where tenant_id = $1 and business_account_id = $2 and id < $3 order by id desc limit {limit}"
        );
        let values: [Value; 3] = [tenant.into(), business_account_id.into(), before.into()];
        let found = AccountEvent::find_by_statement(sql::statement(self.read(), &text, values));
        Ok(found.all(self.read()).await?)
    }
}
