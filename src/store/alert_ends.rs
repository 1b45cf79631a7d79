//! When what people were told of is over: found by looking at what stands now, and noted beside the alert.

use sea_orm::{ConnectionTrait, Value};

use super::alerts::{Kind, QUIET};
use super::{Store, StoreError, sql};

/// Found by looking: over as soon as a look finds it no more.
const LOOKED_FOR: &str =
    "'work_waits', 'deliveries_unknown', 'deliveries_dead', 'turns_dead', 'events_unroutable'";

/// How an alert of a kind with an end is named among those that stand.
pub fn standing(kind: Kind, subject: &str) -> String {
    format!("{}:{subject}", kind.as_str())
}

impl Store {
    /// Notes which alerts are over at `now` (Unix milliseconds): what is not among the `standing` ones, numbers that work
    /// again or are switched off, sessions that are linked again or gone. A responder that rests is known to the instance
    /// that asked it alone: its alert is over when nobody has said it again.
    pub async fn end_alerts(&self, standing: &[String], now: i64) -> Result<(), StoreError> {
        let named = format!("kind || ':' || subject {}", sql::among(self.read(), 1, "text"));
        let over = format!(
            "ended_at is null and ((kind in ({LOOKED_FOR}) and not ({named})) \
             or (kind = 'responder_resting' and at <= $2 and not ({named})) \
             or (kind in ('account_token_invalid', 'account_restricted') and not exists \
                 (select 1 from whatsapp_accounts a where a.id = alerts.account_id and a.deleted_at is null \
                  and a.status in ('token_invalid', 'restricted', 'pending'))) \
             or (kind = 'session_lost' and not exists \
                 (select 1 from whatsapp_sessions s where 'ses_' || s.id = alerts.subject \
                  and s.deleted_at is null and s.state in ('logged_out', 'failed'))))"
        );
        let mut values: Vec<Value> = vec![sql::json(standing), (now - QUIET).into()];
        // A look that costs no write: mostly nothing is over.
        let text = format!("select 1 as one from alerts where {over} limit 1");
        if self.read().query_one_raw(sql::statement(self.read(), &text, values.clone())).await?.is_none() {
            return Ok(());
        }
        values.push(now.into());
        let tx = self.begin().await?;
        tx.execute_raw(sql::statement(&tx, &format!("update alerts set ended_at = $3 where {over}"), values))
            .await?;
        Ok(tx.commit().await?)
    }
}
