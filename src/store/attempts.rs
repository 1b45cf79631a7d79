//! The writes of a try: it begins, it ends.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryResult, Value};
use uuid::Uuid;

use super::changes::Change;
use super::contacts::NOWHERE;
use super::event_endpoints::Listeners;
use super::statuses;
use super::threads::OPTED_OUT;
use super::writer::Write;
use super::{sql, telling};
use crate::message::{DeliveryStatus, Recipient};

/// Where a delivery's customer is now.
const ADDRESS: &str = "coalesce((select c.recipient from whatsapp_conversations c \
    where c.id = deliveries.conversation_id), deliveries.recipient)";

/// Records that a delivery is about to be tried, and tells where it goes: to its customer as they are known at this
/// moment, whatever was known when it was written. `None`: it is not waiting any more, its customer wants no messages or
/// was erased, which cancels it, or nobody knows an address of theirs, so that it fails. Told twice, because the first
/// commit was in doubt, it says the same.
#[derive(Debug, Clone)]
pub struct StartAttempt {
    /// Of which delivery.
    pub delivery_id: i64,
    /// Whose.
    pub account_id: i64,
    /// UUIDv7; travels as `biz_opaque_callback_data`.
    pub attempt_id: Uuid,
    /// Unix milliseconds.
    pub now: i64,
}

impl Write for StartAttempt {
    type Output = Option<Recipient>;

    fn account(&self) -> Option<i64> {
        Some(self.account_id)
    }

    async fn apply(
        tx: &DatabaseTransaction,
        _: (i64, &Listeners),
        group: &[Self],
    ) -> Result<Vec<Option<Recipient>>, DbErr> {
        let text = format!(
            "update deliveries set status = 'sending', reason = null, attempts = attempts + 1, recipient = {ADDRESS} \
             where status = 'queued' and id {} and not {OPTED_OUT} and {ADDRESS} not in ('null', '{NOWHERE}') \
             returning id, recipient",
            sql::among(tx, 1, "bigint")
        );
        let ids = [sql::json(group.iter().map(|s| s.delivery_id))];
        let mut started: HashMap<i64, Recipient> = HashMap::with_capacity(group.len());
        let starting = tx.query_all_raw(sql::statement(tx, &text, ids)).await?;
        read_addresses(&mut started, &starting)?;
        let (fresh, other): (Vec<&Self>, Vec<&Self>) =
            group.iter().partition(|s| started.contains_key(&s.delivery_id));
        if !fresh.is_empty() {
            let rows = fresh
                .iter()
                .map(|s| -> [Value; 3] { [s.attempt_id.into(), s.delivery_id.into(), s.now.into()] });
            // The latest attempt is the one that counts, also when the clock went back since the one before.
            let (rows, values) = sql::rows(tx, rows);
            let text = format!(
                "insert into attempts (id, delivery_id, started_at) select column1, column2, \
                 coalesce((select max(a.started_at) + 1 from attempts a \
                     where a.delivery_id = v.column2 and a.started_at >= v.column3), column3) \
                 from {rows} where column1 is not null"
            );
            tx.execute_raw(sql::statement(tx, &text, values)).await?;
        }
        if !other.is_empty() {
            let text = format!(
                "update deliveries set reason = case when {ADDRESS} = 'null' then 'erased' \
                     when {OPTED_OUT} then 'opted_out' else 'undeliverable' end, \
                 status = case when {ADDRESS} = '{NOWHERE}' and not {OPTED_OUT} then 'failed' else 'cancelled' end, \
                 failed_at = case when {ADDRESS} = '{NOWHERE}' and not {OPTED_OUT} then $2 end \
                 where status = 'queued' and id {} and ({OPTED_OUT} or {ADDRESS} in ('null', '{NOWHERE}'))",
                sql::among(tx, 1, "bigint")
            );
            let values = [sql::json(other.iter().map(|s| s.delivery_id)), other[0].now.into()];
            tx.execute_raw(sql::statement(tx, &text, values)).await?;
            let text = format!(
                "select d.id, d.recipient from attempts a join deliveries d on d.id = a.delivery_id \
                 where a.finished_at is null and a.id in ({})",
                sql::list(1, other.len())
            );
            let ids = other.iter().map(|s| s.attempt_id.into());
            read_addresses(&mut started, &tx.query_all_raw(sql::statement(tx, &text, ids)).await?)?;
        }
        Ok(group.iter().map(|s| started.get(&s.delivery_id).cloned()).collect())
    }

    async fn tell(
        tx: &DatabaseTransaction,
        listeners: &Listeners,
        group: &[Self],
        outputs: &[Self::Output],
    ) -> Result<(), DbErr> {
        let over = group.iter().zip(outputs).filter(|(_, to)| to.is_none()).map(|(s, _)| s.delivery_id);
        telling::deliveries(tx, listeners, over, group[0].now).await
    }

    fn changed<'a>(group: &'a [Self], _: &'a [Self::Output]) -> impl Iterator<Item = Change<'a>> {
        group.iter().map(|start| Change::Delivery(start.delivery_id))
    }
}

fn read_addresses(found: &mut HashMap<i64, Recipient>, rows: &[QueryResult]) -> Result<(), DbErr> {
    for row in rows {
        let address: String = row.try_get("", "recipient")?;
        let address = serde_json::from_str(&address).map_err(|e| DbErr::Json(e.to_string()))?;
        found.insert(row.try_get("", "id")?, address);
    }
    Ok(())
}

/// Records how an attempt ended, and what the delivery is now. Recorded even by a stale instance: it happened.
#[derive(Debug, Clone)]
pub struct FinishAttempt {
    /// The attempt.
    pub attempt_id: Uuid,
    /// Its delivery.
    pub delivery_id: i64,
    /// Whose.
    pub account_id: i64,
    /// `accepted`, `refused`, `not_sent`, `unknown`.
    pub outcome: &'static str,
    /// Meta's id of the message, when accepted.
    pub wamid: Option<String>,
    /// Meta's error code.
    pub code: Option<i64>,
    /// Meta's words, or what went wrong.
    pub detail: Option<String>,
    /// What the delivery is now: `sent`, `queued` (again at `next_at`), `failed`, `unknown`, `dead`.
    pub status: DeliveryStatus,
    /// Why, as a word, unless it is sent.
    pub reason: Option<&'static str>,
    /// Whether the customer wants no more of this kind.
    pub opted_out: bool,
    /// Earliest time of the next attempt, Unix milliseconds.
    pub next_at: i64,
    /// Unix milliseconds.
    pub now: i64,
}

impl Write for FinishAttempt {
    /// Whether a status that came early has changed the account.
    type Output = bool;
    const FENCED: bool = false;

    fn account(&self) -> Option<i64> {
        Some(self.account_id)
    }

    async fn apply(
        tx: &DatabaseTransaction,
        (_, listeners): (i64, &Listeners),
        group: &[Self],
    ) -> Result<Vec<bool>, DbErr> {
        let rows = group.iter().map(|f| -> [Value; 10] {
            [
                f.attempt_id.into(),
                f.delivery_id.into(),
                f.outcome.into(),
                f.wamid.clone().into(),
                f.code.into(),
                f.detail.clone().into(),
                f.status.as_str().into(),
                f.reason.into(),
                f.next_at.into(),
                f.now.into(),
            ]
        });
        let (rows, values) = sql::rows(tx, rows);
        // Of whoever was erased meanwhile nothing is written down.
        let erased = "exists (select 1 from deliveries d where d.id = v.column2 and d.recipient = 'null')";
        let text = format!(
            "update attempts set finished_at = v.column10, outcome = v.column3, code = v.column5, \
             wamid = case when {erased} then null else v.column4 end, \
             detail = case when {erased} then null else v.column6 end from {rows} where attempts.id = v.column1"
        );
        tx.execute_raw(sql::statement(tx, &text, values.clone())).await?;
        // A status that overtook this answer stands; it knows more. So does a later attempt.
        let text = format!(
            "update deliveries set status = v.column7, reason = v.column8, code = v.column5, detail = v.column6, \
             wamid = coalesce(v.column4, deliveries.wamid), next_at = v.column9, \
             sent_at = case when v.column7 = 'sent' then v.column10 else deliveries.sent_at end, \
             failed_at = case when v.column7 in ('failed', 'dead') then v.column10 else deliveries.failed_at end \
             from {rows} where deliveries.id = v.column2 and deliveries.status in ('sending', 'unknown') \
             and v.column1 = (select id from attempts where delivery_id = deliveries.id \
                 order by started_at desc, id desc limit 1)"
        );
        tx.execute_raw(sql::statement(tx, &text, values)).await?;
        for f in group.iter().filter(|f| f.opted_out) {
            statuses::opt_out(tx, f.delivery_id, f.now).await?;
        }
        let changed = statuses::apply_early(tx, listeners, group).await?;
        Ok(group.iter().map(|f| changed.contains(&f.account_id)).collect())
    }

    async fn tell(
        tx: &DatabaseTransaction,
        listeners: &Listeners,
        group: &[Self],
        _: &[bool],
    ) -> Result<(), DbErr> {
        telling::deliveries(tx, listeners, group.iter().map(|f| f.delivery_id), group[0].now).await
    }

    fn changed<'a>(group: &'a [Self], _: &'a [bool]) -> impl Iterator<Item = Change<'a>> {
        group.iter().map(|finish| Change::Delivery(finish.delivery_id))
    }
}
