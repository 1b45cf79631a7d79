//! What tenants' own systems are told: one row per event and endpoint, written with the change itself.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, Value};
use serde_json::json;
use uuid::Uuid;

use super::alerts::{self, Alert, Kind};
use super::event_endpoints::{EventType, Listeners, disable};
use super::{Store, StoreError, sql};
use crate::ids::EventDeliveryId;
use crate::runtime::rfc3339;

/// An endpoint that only failed for so long is switched off, in milliseconds: five days.
const PATIENCE: i64 = 5 * 86_400_000;
/// Rows of one insert.
const ROWS: usize = 500;

/// Something that happened, as a tenant is told.
pub(super) struct Told<'a> {
    pub tenant: &'a str,
    /// Whose words it may hold.
    pub conversation: Option<i64>,
    pub kind: EventType,
    pub data: serde_json::Value,
    pub now: i64,
}

/// Puts these in line for every endpoint that wants them.
pub(super) async fn tell(
    tx: &DatabaseTransaction,
    listeners: &Listeners,
    events: impl IntoIterator<Item = Told<'_>>,
) -> Result<(), DbErr> {
    let mut rows: Vec<[Value; 9]> = Vec::new();
    for event in events {
        let payload =
            json!({ "type": event.kind, "timestamp": rfc3339(event.now), "data": event.data }).to_string();
        for endpoint in listeners.of(event.tenant, event.kind) {
            rows.push([
                EventDeliveryId::new(event.now).0.into(),
                endpoint.into(),
                event.tenant.into(),
                event.conversation.into(),
                event.kind.as_str().into(),
                payload.as_str().into(),
                "queued".into(),
                event.now.into(),
                event.now.into(),
            ]);
        }
    }
    let head =
        "event_deliveries (id,endpoint_id,tenant_id,conversation_id,type,payload,status,next_at,created_at)";
    while !rows.is_empty() {
        let rest = rows.split_off(rows.len().min(ROWS));
        tx.execute_raw(sql::insert(tx, head, std::mem::replace(&mut rows, rest), "")).await?;
    }
    Ok(())
}

/// What waits for this endpoint is dead.
pub(super) async fn give_up(
    tx: &DatabaseTransaction,
    endpoint: Uuid,
    reason: &str,
    now: i64,
) -> Result<(), DbErr> {
    let text = "update event_deliveries set status = 'dead', reason = $2, finished_at = $3 \
                where endpoint_id = $1 and status = 'queued'";
    tx.execute_raw(sql::statement(tx, text, [endpoint.into(), reason.into(), now.into()])).await?;
    Ok(())
}

/// A stored delivery of an event.
#[derive(Debug, Clone, FromQueryResult)]
#[allow(missing_docs)] // the columns of `event_deliveries`, named alike
pub struct EventDelivery {
    pub id: Uuid,
    pub endpoint_id: Uuid,
    pub tenant_id: String,
    pub kind: String,
    pub payload: String,
    pub status: String,
    pub attempts: i64,
    pub next_at: i64,
    pub response_status: Option<i64>,
    pub reason: Option<String>,
    pub created_at: i64,
    pub finished_at: Option<i64>,
}

const DELIVERY: &str = "id, endpoint_id, tenant_id, type as kind, payload, status, attempts, next_at, \
                        response_status, reason, created_at, finished_at";

/// How one try ended.
#[derive(Debug, Clone)]
pub struct Tried {
    /// Which delivery.
    pub id: Uuid,
    /// `delivered`, `queued` (again at `next_at`) or `dead`.
    pub status: &'static str,
    /// Earliest time of the next try, Unix milliseconds.
    pub next_at: i64,
    /// HTTP status, if there was an answer.
    pub response_status: Option<i64>,
    /// Why it was no success, in a few words; never what the endpoint said.
    pub reason: Option<&'static str>,
}

/// Which of a tenant's deliveries; empty means any.
#[derive(Debug, Clone, Default)]
pub struct Filter<'a> {
    /// For one endpoint.
    pub endpoint: Option<Uuid>,
    /// In one status.
    pub status: &'a str,
    /// Of one type.
    pub kind: &'a str,
}

impl Store {
    /// Endpoints for which something is due.
    pub async fn due_endpoints(&self, now: i64) -> Result<Vec<Uuid>, StoreError> {
        let text = "select id from event_endpoints e where disabled_at is null and exists \
                    (select 1 from event_deliveries d where d.endpoint_id = e.id and d.status = 'queued' \
                    and d.next_at <= $1)";
        let rows = self.read().query_all_raw(sql::statement(self.read(), text, [now.into()])).await?;
        Ok(rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, _>>()?)
    }

    /// Takes up to `limit` due deliveries of an endpoint, oldest first. They are due again at `until`, in case this
    /// process does not live to say how they ended; the try counts already.
    pub async fn claim_event_deliveries(
        &self,
        endpoint: Uuid,
        now: i64,
        until: i64,
        limit: u64,
    ) -> Result<Vec<EventDelivery>, StoreError> {
        let tx = self.begin().await?;
        let skip = if self.is_shared() { "for update skip locked" } else { "" };
        let text = format!(
            "update event_deliveries set attempts = attempts + 1, next_at = $3 where id in (
                 select id from event_deliveries where endpoint_id = $1 and status = 'queued' and next_at <= $2
                 order by next_at limit {limit} {skip}) returning {DELIVERY}"
        );
        let values: [Value; 3] = [endpoint.into(), now.into(), until.into()];
        let found = EventDelivery::find_by_statement(sql::statement(&tx, &text, values)).all(&tx).await?;
        tx.commit().await?;
        Ok(found)
    }

    /// Records how tries ended. `gone`: the endpoint wants to hear no more. True: it is switched off now, for that or
    /// because it only failed for five days.
    pub async fn finish_event_deliveries(
        &self,
        tenant: &str,
        endpoint: Uuid,
        tried: &[Tried],
        gone: bool,
        now: i64,
    ) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let text = "update event_deliveries set status = $2, next_at = $3, response_status = $4, reason = $5, \
                    finished_at = $6 where id = $1 and status = 'queued'";
        for t in tried {
            let finished = (t.status != "queued").then_some(now);
            let values: [Value; 6] = [
                t.id.into(),
                t.status.into(),
                t.next_at.into(),
                t.response_status.into(),
                t.reason.into(),
                finished.into(),
            ];
            tx.execute_raw(sql::statement(&tx, text, values)).await?;
        }
        let well = tried.iter().any(|t| t.status == "delivered");
        let text = if well {
            "update event_endpoints set failing_since = null where id = $1 and failing_since < $2"
        } else {
            "update event_endpoints set failing_since = coalesce(failing_since, $2) where id = $1"
        };
        tx.execute_raw(sql::statement(&tx, text, [endpoint.into(), now.into()])).await?;
        let text = "select 1 as one from event_endpoints where id = $1 and failing_since <= $2";
        let overdue = [endpoint.into(), (now - PATIENCE).into()];
        let failing = tx.query_one_raw(sql::statement(&tx, text, overdue)).await?.is_some();
        let reason = if gone { Some("gone") } else { failing.then_some("failing") };
        let disabled = match reason {
            Some(reason) => disable(&tx, endpoint, reason, now).await?,
            None => false,
        };
        if disabled {
            let why = if gone { "it answered 410" } else { "it only failed for five days" };
            let subject = endpoint.to_string();
            let text = format!("Events are not told to endpoint {endpoint} any more: {why}.");
            let alert =
                Alert { tenant: Some(tenant), ..Alert::new(Kind::EndpointDisabled, &subject, text, now) };
            alerts::raise(&tx, &alert).await?;
        }
        tx.commit().await?;
        Ok(disabled)
    }

    /// A page of a tenant's event deliveries, newest first, older than `before`.
    pub async fn event_delivery_page(
        &self,
        tenant: &str,
        filter: &Filter<'_>,
        before: Uuid,
        limit: u64,
    ) -> Result<Vec<EventDelivery>, StoreError> {
        let endpoint = if filter.endpoint.is_some() { "endpoint_id = $5" } else { "$5 is not null" };
        let text = format!(
            "select {DELIVERY} from event_deliveries where tenant_id = $1 and id < $2 and ($3 = '' or status = $3) \
             and ($4 = '' or type = $4) and {endpoint} order by id desc limit {limit}"
        );
        let endpoint = filter.endpoint.unwrap_or_default();
        let values: [Value; 5] =
            [tenant.into(), before.into(), filter.status.into(), filter.kind.into(), endpoint.into()];
        let found = EventDelivery::find_by_statement(sql::statement(self.read(), &text, values));
        Ok(found.all(self.read()).await?)
    }

    /// One of a tenant's event deliveries.
    pub async fn event_delivery(&self, tenant: &str, id: Uuid) -> Result<Option<EventDelivery>, StoreError> {
        let text = format!("select {DELIVERY} from event_deliveries where tenant_id = $1 and id = $2");
        let found =
            EventDelivery::find_by_statement(sql::statement(self.read(), &text, [tenant.into(), id.into()]));
        Ok(found.one(self.read()).await?)
    }

    /// Puts a delivery that ended in line again, with all its tries. False when it waits anyway, or when its endpoint
    /// is gone or off.
    pub async fn retry_event_delivery(&self, tenant: &str, id: Uuid, now: i64) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let text = "update event_deliveries set status = 'queued', attempts = 0, next_at = $3, reason = null, \
                    finished_at = null where tenant_id = $1 and id = $2 and status <> 'queued' \
                    and endpoint_id in (select id from event_endpoints where disabled_at is null)";
        let values: [Value; 3] = [tenant.into(), id.into(), now.into()];
        let done = tx.execute_raw(sql::statement(&tx, text, values)).await?;
        tx.commit().await?;
        self.listeners().wake();
        Ok(done.rows_affected() == 1)
    }
}
