//! What people ask afterwards: which events came, and what became of one message. Reads only.

use sea_orm::{ConnectionTrait, FromQueryResult, Value};
use uuid::Uuid;

use super::turns::Turn;
use super::{Store, StoreError, sql};

/// A stored event as people see it.
#[derive(Debug, Clone, FromQueryResult)]
pub struct EventRow {
    /// Its place in the order of arrival.
    pub id: i64,
    /// The WABA.
    pub entry_id: String,
    /// What changed.
    pub field: String,
    /// The number, if it names one.
    pub phone_number_id: Option<String>,
    /// Unix milliseconds.
    pub received_at: i64,
    /// Where it stands; none: it is done.
    pub state: Option<String>,
    /// Why it stands there.
    pub reason: Option<String>,
    /// How often it was tried.
    pub attempts: Option<i64>,
}

/// A message found by Meta's id.
#[derive(Debug, Clone, FromQueryResult)]
#[allow(missing_docs)] // the columns of `messages`, named alike
pub struct Found {
    pub id: i64,
    pub whatsapp_account_id: i64,
    pub conversation_id: i64,
    pub chatbot_id: String,
    pub direction: String,
    pub note: Option<String>,
    pub turn_id: Option<Uuid>,
    pub event_id: Option<i64>,
    pub sent_at: i64,
    pub created_at: i64,
}

const EVENT: &str =
    "e.id, e.entry_id, e.field, e.phone_number_id, e.received_at, s.state, s.reason, s.attempts";
const FOUND: &str = "m.id, m.whatsapp_account_id, m.conversation_id, m.chatbot_id, m.direction, m.note, m.turn_id, \
                     m.event_id, m.sent_at, m.created_at";
/// Whose events these are: noted when they were left, or those of a number since it was confirmed as theirs. A number
/// that somebody merely claims shows nothing. `$1` is the tenant; empty: everybody.
pub(super) const VISIBLE: &str = "($1 = '' or s.tenant_id = $1 or exists (select 1 from numbers n \
                       where n.phone_number_id = e.phone_number_id and n.tenant_id = $1 \
                       and n.confirmed_at <= e.received_at))";

impl Store {
    /// A page of events, newest first, older than `before`; of one state if given (`done`: those without).
    pub async fn event_page(
        &self,
        tenant: Option<&str>,
        state: Option<&str>,
        before: i64,
        limit: u64,
    ) -> Result<Vec<EventRow>, StoreError> {
        let (join, which) = match state {
            None => ("left join", "$2 = ''"),
            Some("done") => ("left join", "$2 <> '' and s.state is null"),
            Some(_) => ("join", "s.state = $2"),
        };
        let text = format!(
            "select {EVENT} from webhook_events e {join} event_states s on s.event_id = e.id \
             where {VISIBLE} and {which} and e.id < $3 order by e.id desc limit {limit}"
        );
        let values: [Value; 3] =
            [tenant.unwrap_or_default().into(), state.unwrap_or_default().into(), before.into()];
        let found = EventRow::find_by_statement(sql::statement(self.read(), &text, values));
        Ok(found.all(self.read()).await?)
    }

    /// One event, with its raw bytes.
    pub async fn event(
        &self,
        tenant: Option<&str>,
        id: i64,
    ) -> Result<Option<(EventRow, Vec<u8>)>, StoreError> {
        let text = format!(
            "select {EVENT}, e.raw from webhook_events e left join event_states s on s.event_id = e.id \
             where {VISIBLE} and e.id = $2"
        );
        let values: [Value; 2] = [tenant.unwrap_or_default().into(), id.into()];
        let row = self.read().query_one_raw(sql::statement(self.read(), &text, values)).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some((EventRow::from_query_result(&row, "")?, row.try_get("", "raw")?)))
    }

    /// Events that are not done and hold this word: a message that never became one of ours.
    pub async fn events_holding(
        &self,
        tenant: Option<&str>,
        word: &str,
    ) -> Result<Vec<EventRow>, StoreError> {
        let holds = sql::holds(self.read(), "e.raw", 2);
        let text = format!(
            "select {EVENT} from event_states s join webhook_events e on e.id = s.event_id \
             where {VISIBLE} and {holds} order by e.id desc limit 10"
        );
        let values: [Value; 2] = [tenant.unwrap_or_default().into(), word.as_bytes().to_vec().into()];
        let found = EventRow::find_by_statement(sql::statement(self.read(), &text, values));
        Ok(found.all(self.read()).await?)
    }

    /// Messages with this id of Meta's: one per account, and ours by any of their attempts.
    pub async fn messages_by_wamid(
        &self,
        tenant: Option<&str>,
        wamid: &str,
    ) -> Result<Vec<Found>, StoreError> {
        // Through the accounts, because the index on messages begins with them.
        let text = format!(
            "select {FOUND} from messages m where m.wamid = $2 and m.whatsapp_account_id in \
                 (select id from whatsapp_accounts where $1 = '' or tenant_id = $1) \
             union select {FOUND} from messages m join deliveries d on d.message_id = m.id \
                 join attempts a on a.delivery_id = d.id where a.wamid = $2 and ($1 = '' or m.tenant_id = $1)"
        );
        let values: [Value; 2] = [tenant.unwrap_or_default().into(), wamid.into()];
        let found = Found::find_by_statement(sql::statement(self.read(), &text, values));
        let mut messages = found.all(self.read()).await?;
        messages.sort_by_key(|message| message.id);
        Ok(messages)
    }

    /// The turn a message was a member of.
    pub async fn turn_of_message(
        &self,
        conversation_id: i64,
        message_id: i64,
    ) -> Result<Option<Turn>, StoreError> {
        // Members are JSON; a turn holds few, and the id stands between brackets or commas.
        let text = "select id, conversation_id, chatbot_id, members, status, attempts, reason, created_at, closed_at \
                    from turns where conversation_id = $1 and (members like $2 or members like $3 \
                    or members like $4 or members like $5) order by created_at limit 1";
        let values: [Value; 5] = [
            conversation_id.into(),
            format!("[{message_id}]").into(),
            format!("[{message_id},%").into(),
            format!("%,{message_id},%").into(),
            format!("%,{message_id}]").into(),
        ];
        let found = Turn::find_by_statement(sql::statement(self.read(), text, values));
        Ok(found.one(self.read()).await?)
    }

    /// The messages that answer a turn.
    pub async fn answers(&self, conversation_id: i64, turn: Uuid) -> Result<Vec<i64>, StoreError> {
        let text = "select id from messages where conversation_id = $1 and turn_id = $2 order by id";
        let values: [Value; 2] = [conversation_id.into(), turn.into()];
        let rows = self.read().query_all_raw(sql::statement(self.read(), text, values)).await?;
        Ok(rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, _>>()?)
    }
}
