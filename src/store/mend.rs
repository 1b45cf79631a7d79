//! What people open again: events that were left, deliveries and turns that ended badly. Whoever runs the conversations
//! finds it by itself.

use sea_orm::{ConnectionTrait, FromQueryResult, Value};
use uuid::Uuid;

use super::changes::Change;
use super::inspect::VISIBLE;
use super::threads::OPTED_OUT;
use super::{Store, StoreError, sql};

/// An event that may be read once more.
#[derive(Debug, Clone, FromQueryResult)]
#[allow(missing_docs)] // the columns of `webhook_events` and `event_states`
pub struct StoredEvent {
    pub id: i64,
    pub state: Option<String>,
    pub reason: Option<String>,
    pub phone_number_id: Option<String>,
    pub received_at: i64,
}

/// Which things; times in Unix milliseconds, both inclusive.
#[derive(Debug, Clone)]
pub struct Which {
    /// Of one tenant.
    pub tenant: Option<String>,
    /// For this reason, or one that begins with it and a colon.
    pub reason: Option<String>,
    /// From here on.
    pub since: i64,
    /// Up to here.
    pub until: i64,
}

impl Default for Which {
    fn default() -> Self {
        Self { tenant: None, reason: None, since: 0, until: i64::MAX }
    }
}

impl Which {
    fn values(&self) -> [Value; 4] {
        [
            self.tenant.clone().unwrap_or_default().into(),
            self.reason.clone().unwrap_or_default().into(),
            self.since.into(),
            self.until.into(),
        ]
    }
}

/// `$1` to `$4` of [`Which::values`], for tables with a tenant, a reason and a time.
const WHICH: &str = "($1 = '' or tenant_id = $1) and ($2 = '' or reason = $2 or substr(reason, 1, length($2) + 1) = \
                     $2 || ':') and created_at between $3 and $4";

/// A delivery or a turn that ended badly.
#[derive(Debug, Clone, FromQueryResult)]
#[allow(missing_docs)] // the columns of `deliveries` and `turns`
pub struct Lost<I: sea_orm::TryGetable> {
    pub id: I,
    pub tenant_id: String,
    pub conversation_id: i64,
    pub status: String,
    pub reason: Option<String>,
    pub attempts: i64,
    pub created_at: i64,
}

const LOST: &str = "id, tenant_id, conversation_id, status, reason, attempts, created_at";

impl Store {
    /// Stored events by id after `after`: those left in one of these states, or all of them, done ones too, if none is
    /// named. `claimed`: also those that came before the tenant's number was known to be theirs.
    pub async fn stored_events(
        &self,
        states: &[&str],
        which: &Which,
        claimed: bool,
        after: i64,
        limit: u64,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let theirs = "s.tenant_id is null and e.phone_number_id in \
                      (select phone_number_id from whatsapp_accounts where tenant_id = $1 and deleted_at is null)";
        let visible = if claimed { format!("({VISIBLE} or ({theirs}))") } else { VISIBLE.to_owned() };
        let (join, left) = match states {
            [] => ("left join", "$6 = ''".to_owned()),
            states => ("join", format!("s.state in ({})", sql::list(6, states.len()))),
        };
        let text = format!(
            "select e.id, s.state, s.reason, e.phone_number_id, e.received_at \
             from webhook_events e {join} event_states s on s.event_id = e.id \
             where e.id > $5 and {left} and e.received_at between $3 and $4 and {visible} \
             and ($2 = '' or s.reason = $2) order by e.id limit {limit}"
        );
        let states = if states.is_empty() { &[""] } else { states };
        let values = which.values().into_iter().chain([after.into()]);
        let values = values.chain(states.iter().map(|state| (*state).into()));
        Ok(StoredEvent::find_by_statement(sql::statement(self.read(), &text, values))
            .all(self.read())
            .await?)
    }

    /// Opens events again that do not wait already; returns how many. What they brought before stays single.
    pub async fn replay_events(&self, ids: &[i64], now: i64) -> Result<u64, StoreError> {
        let tx = self.begin().await?;
        let text = format!(
            "insert into event_states (event_id, state, phone_number_id, attempts, at) \
             select id, 'received', phone_number_id, 0, $2 from webhook_events where id {} \
             on conflict (event_id) do update set state = 'received', reason = null, owner = null, attempts = 0 \
             where event_states.state <> 'received'",
            sql::among(&tx, 1, "bigint")
        );
        let done = tx.execute_raw(sql::statement(&tx, &text, [sql::json(ids), now.into()])).await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// Deliveries in this status, by id after `after`, of accounts that are still there.
    pub async fn lost_deliveries(
        &self,
        status: &str,
        which: &Which,
        after: i64,
        limit: u64,
    ) -> Result<Vec<Lost<i64>>, StoreError> {
        let text = format!(
            "select {LOST} from deliveries where {WHICH} and id > $5 and status = $6 \
             and whatsapp_account_id in (select id from whatsapp_accounts where deleted_at is null) \
             order by id limit {limit}"
        );
        let values = which.values().into_iter().chain([after.into(), status.into()]);
        Ok(Lost::find_by_statement(sql::statement(self.read(), &text, values)).all(self.read()).await?)
    }

    /// Puts deliveries in line again if they are still in this status and their customers want messages, with all their
    /// tries, and with the parts that were not sent because of them. Returns how many.
    pub async fn requeue_deliveries(&self, ids: &[i64], status: &str, now: i64) -> Result<u64, StoreError> {
        let tx = self.begin().await?;
        let again = "status = 'queued', reason = null, code = null, detail = null, attempts = 0, failed_at = null, \
                     next_at = $1";
        let text = format!(
            "update deliveries set {again} where id {} and status = $3 and not {OPTED_OUT} returning message_id, part",
            sql::among(&tx, 2, "bigint")
        );
        let values = [now.into(), sql::json(ids), status.into()];
        let rows = tx.query_all_raw(sql::statement(&tx, &text, values)).await?;
        for row in &rows {
            let text = format!(
                "update deliveries set {again} where message_id = $2 and part > $3 and status = 'cancelled' \
                 and reason = 'earlier_part_failed'"
            );
            let (message, part): (i64, i64) = (row.try_get("", "message_id")?, row.try_get("", "part")?);
            tx.execute_raw(sql::statement(&tx, &text, [now.into(), message.into(), part.into()])).await?;
        }
        tx.commit().await?;
        self.changes().note(ids.iter().copied().map(Change::Delivery));
        Ok(rows.len() as u64)
    }

    /// Turns without an answer, by id after `after`.
    pub async fn lost_turns(
        &self,
        which: &Which,
        after: Uuid,
        limit: u64,
    ) -> Result<Vec<Lost<Uuid>>, StoreError> {
        let text = format!(
            "select {LOST} from turns where {WHICH} and id > $5 and status = 'dead' order by id limit {limit}"
        );
        let values = which.values().into_iter().chain([after.into()]);
        Ok(Lost::find_by_statement(sql::statement(self.read(), &text, values)).all(self.read()).await?)
    }

    /// Opens dead turns again; of a conversation only one at a time. Returns how many.
    pub async fn reopen_turns(&self, ids: &[Uuid]) -> Result<u64, StoreError> {
        let tx = self.begin().await?;
        let mut opened = 0;
        for id in ids {
            let text = "update turns set status = 'asking', reason = null, closed_at = null \
                        where id = $1 and status = 'dead' and not exists (select 1 from turns o \
                        where o.conversation_id = turns.conversation_id and o.status = 'asking')";
            opened += tx.execute_raw(sql::statement(&tx, text, [(*id).into()])).await?.rows_affected();
        }
        tx.commit().await?;
        Ok(opened)
    }
}
