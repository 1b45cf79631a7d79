//! How every number fares, counted over the last day: for the page that people keep open.

use sea_orm::FromQueryResult;

use super::{Store, StoreError, sql};

/// A number that serves a chatbot.
#[derive(Debug, Clone, FromQueryResult)]
#[allow(missing_docs)] // the columns of `whatsapp_accounts`, named alike
pub struct NumberRow {
    pub id: i64,
    pub tenant_id: String,
    pub transport: String,
    pub chatbot_id: String,
    pub chatbot_name: String,
    pub phone_number_id: String,
    pub display_phone_number: Option<String>,
    pub status: String,
    pub status_reason: Option<String>,
}

/// So many of one kind, at one account.
#[derive(Debug, Clone, FromQueryResult)]
pub struct CountRow {
    /// The account.
    pub account: i64,
    /// `in`, `out`, a status of a delivery, or `unanswered`.
    pub kind: String,
    /// How many.
    pub count: i64,
    /// The latest of them, Unix milliseconds.
    pub last: i64,
}

impl Store {
    /// The numbers of a tenant, or of everybody, that are not deleted; at most `limit`.
    pub async fn number_rows(&self, tenant: Option<&str>, limit: u64) -> Result<Vec<NumberRow>, StoreError> {
        let text = format!(
            "select a.id, a.tenant_id, a.transport, a.chatbot_id, c.name as chatbot_name, a.phone_number_id, \
             a.display_phone_number, a.status, a.status_reason \
             from whatsapp_accounts a join chatbots c on c.id = a.chatbot_id \
             where a.deleted_at is null and a.tenant_id {} order by a.tenant_id, a.id limit {limit}",
            whose(tenant)
        );
        let statement = sql::statement(self.read(), &text, [tenant.unwrap_or_default().into()]);
        Ok(NumberRow::find_by_statement(statement).all(self.read()).await?)
    }

    /// What happened at each account since then: messages by direction, deliveries that wait or failed, and turns that
    /// got no answer. What still waits counts whenever it began.
    pub async fn counts_since(&self, tenant: Option<&str>, since: i64) -> Result<Vec<CountRow>, StoreError> {
        let whose = whose(tenant);
        let texts = [
            format!(
                "select m.whatsapp_account_id as account, m.direction as kind, count(*) as count, \
                 max(m.created_at) as last from whatsapp_conversations c join messages m on m.conversation_id = c.id \
                 where c.tenant_id {whose} and c.last_message_at > $2 and m.created_at > $2 group by 1, 2"
            ),
            format!(
                "select whatsapp_account_id as account, status as kind, count(*) as count, max(created_at) as last \
                 from deliveries where tenant_id {whose} and (status in ('queued', 'sending') \
                 or status in ('failed', 'dead', 'unknown') and created_at > $2) group by 1, 2"
            ),
            format!(
                "select c.whatsapp_account_id as account, 'unanswered' as kind, count(*) as count, \
                 max(t.created_at) as last from turns t join whatsapp_conversations c on c.id = t.conversation_id \
                 where t.tenant_id {whose} and t.status = 'dead' and t.created_at > $2 group by 1, 2"
            ),
        ];
        let mut rows = Vec::new();
        for text in texts {
            let values = [tenant.unwrap_or_default().into(), since.into()];
            let statement = sql::statement(self.read(), &text, values);
            rows.extend(CountRow::find_by_statement(statement).all(self.read()).await?);
        }
        Ok(rows)
    }
}

/// What follows a tenant's column: either way an index serves. `$1` is read in both, so that both have it.
fn whose(tenant: Option<&str>) -> &'static str {
    match tenant {
        Some(_) => "= $1",
        None => "in (select id from tenants where $1 = '')",
    }
}
