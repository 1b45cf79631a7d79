//! Station 3's rows: deliveries (outgoing messages), and attempts (one try each) as they are read.

use sea_orm::{ConnectionTrait, FromQueryResult, Value};
use uuid::Uuid;

use super::changes::Change;
use super::idempotency::{self, Kept, Slot};
use super::messages::Place;
use super::replies::{Enqueued, Outgoing, Reply, enqueue};
use super::threads::OPTED_OUT;
use super::{Store, StoreError, sql, telling};
use crate::message::DeliveryStatus;

/// A stored delivery.
#[derive(Debug, Clone, FromQueryResult)]
#[allow(missing_docs)] // the columns of `deliveries`, named alike
pub struct Delivery {
    pub id: i64,
    pub tenant_id: String,
    pub whatsapp_account_id: i64,
    pub conversation_id: i64,
    pub message_id: i64,
    pub turn_id: Option<Uuid>,
    pub part: i64,
    pub parts: i64,
    pub recipient: String,
    pub text: String,
    pub content: Option<String>,
    pub status: String,
    pub reason: Option<String>,
    pub code: Option<i64>,
    pub detail: Option<String>,
    pub wamid: Option<String>,
    pub attempts: i64,
    pub next_at: i64,
    pub created_at: i64,
    pub sent_at: Option<i64>,
    pub delivered_at: Option<i64>,
    pub read_at: Option<i64>,
    pub played_at: Option<i64>,
    pub failed_at: Option<i64>,
    pub price_category: Option<String>,
    pub price_type: Option<String>,
    pub billable: Option<bool>,
}

const DELIVERY: &str = "id, tenant_id, whatsapp_account_id, conversation_id, message_id, turn_id, part, parts, \
    recipient, text, content, status, reason, code, detail, wamid, attempts, next_at, created_at, sent_at, delivered_at, \
    read_at, played_at, failed_at, price_category, price_type, billable";

/// What a lane sends; a session sees to its own line, and may be sending while a lane looks.
const OFFICIAL: &str = "whatsapp_account_id in (select id from whatsapp_accounts where transport = 'cloud')";

/// A stored attempt.
#[derive(Debug, Clone, FromQueryResult)]
#[allow(missing_docs)] // the columns of `attempts`, named alike
pub struct Attempt {
    pub id: Uuid,
    pub delivery_id: i64,
    pub started_at: i64,
    pub finished_at: Option<i64>,
    pub outcome: Option<String>,
    pub code: Option<i64>,
    pub detail: Option<String>,
    pub wamid: Option<String>,
}

impl Store {
    /// What is to be sent in a conversation, oldest first.
    pub async fn open_deliveries(&self, conversation_id: i64) -> Result<Vec<Delivery>, StoreError> {
        self.find_deliveries(
            "conversation_id = $1 and status = 'queued' order by id",
            [conversation_id.into()],
        )
        .await
    }

    /// These deliveries, oldest first.
    pub async fn deliveries(&self, ids: &[i64]) -> Result<Vec<Delivery>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let which = format!("id {} order by id", sql::among(self.read(), 1, "bigint"));
        self.find_deliveries(&which, [sql::json(ids)]).await
    }

    /// The deliveries of these messages, oldest first.
    pub async fn deliveries_of_messages(&self, ids: &[i64]) -> Result<Vec<Delivery>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let which = format!("message_id {} order by id", sql::among(self.read(), 1, "bigint"));
        self.find_deliveries(&which, [sql::json(ids)]).await
    }

    /// A page of a tenant's deliveries, newest first, older than `before`; of one status and number if given.
    pub async fn delivery_page(
        &self,
        tenant: &str,
        status: Option<DeliveryStatus>,
        number: Option<&str>,
        before: i64,
        limit: u64,
    ) -> Result<Vec<Delivery>, StoreError> {
        let which = format!(
            "tenant_id = $1 and id < $2 and ($3 = '' or status = $3) and ($4 = '' or whatsapp_account_id in \
             (select id from whatsapp_accounts where phone_number_id = $4)) order by id desc limit {limit}"
        );
        let status = status.map(DeliveryStatus::as_str).unwrap_or_default();
        let number = number.unwrap_or_default();
        self.find_deliveries(&which, [tenant.into(), before.into(), status.into(), number.into()]).await
    }

    /// One of a tenant's deliveries.
    pub async fn delivery(&self, tenant: &str, id: i64) -> Result<Option<Delivery>, StoreError> {
        Ok(self.find_deliveries("tenant_id = $1 and id = $2", [tenant.into(), id.into()]).await?.pop())
    }

    async fn find_deliveries(
        &self,
        which: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<Delivery>, StoreError> {
        let text = format!("select {DELIVERY} from deliveries where {which}");
        Ok(Delivery::find_by_statement(sql::statement(self.read(), &text, values)).all(self.read()).await?)
    }

    /// The tries of a delivery, oldest first.
    pub async fn attempts(&self, delivery_id: i64) -> Result<Vec<Attempt>, StoreError> {
        let text = "select id, delivery_id, started_at, finished_at, outcome, code, detail, wamid from attempts \
                    where delivery_id = $1 order by started_at";
        let found = Attempt::find_by_statement(sql::statement(self.read(), text, [delivery_id.into()]));
        Ok(found.all(self.read()).await?)
    }

    /// What was being sent when its instance stopped: nobody knows whether it went out.
    pub async fn interrupted_deliveries(&self, conversation_id: i64, now: i64) -> Result<u64, StoreError> {
        let tx = self.begin_fenced().await?;
        let text = format!(
            "update attempts set outcome = 'unknown', finished_at = $2, detail = 'interrupted' \
             where finished_at is null and delivery_id in \
             (select id from deliveries where conversation_id = $1 and status = 'sending' and {OFFICIAL})"
        );
        tx.execute_raw(sql::statement(&tx, &text, [conversation_id.into(), now.into()])).await?;
        let text = format!(
            "update deliveries set status = 'unknown', reason = 'interrupted' \
             where conversation_id = $1 and status = 'sending' and {OFFICIAL} returning id"
        );
        let rows = tx.query_all_raw(sql::statement(&tx, &text, [conversation_id.into()])).await?;
        let lost = rows.iter().map(|row| row.try_get("", "id")).collect::<Result<Vec<i64>, _>>()?;
        telling::deliveries(&tx, &self.listeners, lost.iter().copied(), now).await?;
        tx.commit().await?;
        self.changes().note(lost.iter().copied().map(Change::Delivery));
        Ok(lost.len() as u64)
    }

    /// Moves a delivery from one of `from` to `to`. False if it stands elsewhere.
    pub async fn move_delivery(
        &self,
        tenant: &str,
        id: i64,
        from: &[DeliveryStatus],
        to: DeliveryStatus,
        reason: Option<&str>,
        now: i64,
    ) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let text = format!(
            "update deliveries set status = $1, reason = $2, next_at = $3 where tenant_id = $4 and id = $5 \
             and status in ({})",
            sql::list(6, from.len())
        );
        let values: [Value; 5] = [to.as_str().into(), reason.into(), now.into(), tenant.into(), id.into()];
        let values = values.into_iter().chain(from.iter().map(|s| s.as_str().into()));
        let done = tx.execute_raw(sql::statement(&tx, &text, values)).await?;
        tx.commit().await?;
        self.changes().note([Change::Delivery(id)]);
        Ok(done.rows_affected() == 1)
    }

    /// Queues a delivery again by a person's wish, with all its tries, and with it the later parts that were not sent
    /// because of it. False if it stands in none of `from`, waits unhindered, or its customer wants no messages.
    pub async fn retry_delivery(
        &self,
        tenant: &str,
        id: i64,
        from: &[DeliveryStatus],
        now: i64,
    ) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let queued = "set status = 'queued', reason = null, code = null, detail = null, failed_at = null, next_at = $1, \
                      attempts = 0";
        let text = format!(
            "update deliveries {queued} where tenant_id = $2 and id = $3 and status in ({}) \
             and (status <> 'queued' or reason is not null) and not {OPTED_OUT} returning message_id, part",
            sql::list(4, from.len())
        );
        let values: [Value; 3] = [now.into(), tenant.into(), id.into()];
        let values = values.into_iter().chain(from.iter().map(|s| s.as_str().into()));
        let Some(row) = tx.query_one_raw(sql::statement(&tx, &text, values)).await? else {
            return Ok(false);
        };
        let (message, part): (i64, i64) = (row.try_get("", "message_id")?, row.try_get("", "part")?);
        let text = format!(
            "update deliveries {queued} where message_id = $2 and part > $3 and status = 'cancelled' \
             and reason = 'earlier_part_failed'"
        );
        tx.execute_raw(sql::statement(&tx, &text, [now.into(), message.into(), part.into()])).await?;
        tx.commit().await?;
        self.changes().note([Change::Delivery(id)]);
        Ok(true)
    }

    /// The later parts of an answer whose earlier part failed for good are not sent.
    pub async fn cancel_rest(&self, message_id: i64, after_part: i64) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "update deliveries set status = 'cancelled', reason = 'earlier_part_failed' \
                    where message_id = $1 and part > $2 and status = 'queued'";
        tx.execute_raw(sql::statement(&tx, text, [message_id.into(), after_part.into()])).await?;
        Ok(tx.commit().await?)
    }

    /// Notes why a waiting delivery waits.
    pub async fn hold_delivery(&self, id: i64, reason: &str) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "update deliveries set reason = $2 where id = $1 and status = 'queued'";
        tx.execute_raw(sql::statement(&tx, text, [id.into(), reason.into()])).await?;
        tx.commit().await?;
        self.changes().note([Change::Delivery(id)]);
        Ok(())
    }

    /// Stores a message the business starts, with its deliveries; and what its sender is told, to be told again.
    pub async fn enqueue(
        &self,
        place: &Place,
        conversation_id: i64,
        reply: &Reply,
        now: i64,
        kept: impl FnOnce(&Enqueued) -> Option<(Slot, Kept)>,
    ) -> Result<Enqueued, StoreError> {
        let tx = self.begin().await?;
        let outgoing = Outgoing { place, conversation_id, turn_id: None, reply, now };
        let enqueued = enqueue(&tx, &[outgoing]).await?.pop().unwrap_or_default();
        if let Some((slot, kept)) = kept(&enqueued) {
            idempotency::keep(&tx, &slot, &kept).await?;
        }
        tx.commit().await?;
        self.changes().note([Change::Conversation(conversation_id)]);
        Ok(enqueued)
    }
}
