//! Event endpoints: where a tenant's own systems hear of what happens, and who listens to what, from memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, Value};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

use super::audit::{Audit, audit};
use super::changes::Changes;
use super::{Store, StoreError, event_deliveries, sql};

/// What tenants can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub enum EventType {
    /// A customer's message was stored.
    #[serde(rename = "message.received")]
    MessageReceived,
    /// Meta took a message of ours.
    #[serde(rename = "message.sent")]
    MessageSent,
    /// A message of ours was delivered or read, failed, or nobody knows whether it went out.
    #[serde(rename = "message.status")]
    MessageStatus,
    /// What an account may do changed.
    #[serde(rename = "account.status")]
    AccountStatus,
    /// A turn got no answer.
    #[serde(rename = "turn.dead")]
    TurnDead,
    /// A number linked by QR code stands elsewhere.
    #[serde(rename = "session.status")]
    SessionStatus,
}

impl EventType {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::MessageReceived,
        Self::MessageSent,
        Self::MessageStatus,
        Self::AccountStatus,
        Self::TurnDead,
        Self::SessionStatus,
    ];

    /// The stored and told word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MessageReceived => "message.received",
            Self::MessageSent => "message.sent",
            Self::MessageStatus => "message.status",
            Self::AccountStatus => "account.status",
            Self::TurnDead => "turn.dead",
            Self::SessionStatus => "session.status",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Which endpoints of which tenant want which events. Whoever has none costs a look at one number. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Listeners(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The types anybody wants at all.
    any: AtomicU8,
    tenants: RwLock<HashMap<String, Vec<(Uuid, u8)>>>,
    woken: Notify,
    changes: Changes,
}

impl Listeners {
    /// What pages are told of.
    pub(super) fn changes(&self) -> &Changes {
        &self.0.changes
    }

    /// Whether any tenant wants to hear of anything.
    pub(super) fn are_there(&self) -> bool {
        self.0.any.load(Ordering::Relaxed) != 0
    }

    /// Whether any tenant wants events of this type.
    pub(super) fn any(&self, kind: EventType) -> bool {
        self.0.any.load(Ordering::Relaxed) & kind.bit() != 0
    }

    /// Whether this tenant does.
    pub(super) fn wants(&self, tenant: &str, kind: EventType) -> bool {
        self.any(kind) && !self.of(tenant, kind).is_empty()
    }

    /// The endpoints of this tenant that want events of this type.
    pub(super) fn of(&self, tenant: &str, kind: EventType) -> Vec<Uuid> {
        let tenants = self.0.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let all = tenants.get(tenant).map(Vec::as_slice).unwrap_or_default();
        all.iter().filter(|(_, types)| types & kind.bit() != 0).map(|(id, _)| *id).collect()
    }

    fn replace(&self, endpoints: impl IntoIterator<Item = (String, Uuid, u8)>) {
        let mut tenants: HashMap<String, Vec<(Uuid, u8)>> = HashMap::new();
        let mut any = 0;
        for (tenant, id, types) in endpoints {
            any |= types;
            tenants.entry(tenant).or_default().push((id, types));
        }
        *self.0.tenants.write().unwrap_or_else(PoisonError::into_inner) = tenants;
        self.0.any.store(any, Ordering::Relaxed);
        self.wake();
    }

    /// Something was committed that may have been told.
    pub(super) fn wake(&self) {
        if self.are_there() {
            self.0.woken.notify_one();
        }
    }

    /// Waits until there may be something to deliver.
    pub async fn woken(&self) {
        self.0.woken.notified().await;
    }
}

/// A stored endpoint. Secrets are sealed.
#[derive(Debug, Clone, FromQueryResult)]
#[allow(missing_docs)] // the columns of `event_endpoints`, named alike
pub struct Endpoint {
    pub id: Uuid,
    pub tenant_id: String,
    pub url: String,
    pub types: String,
    pub secret: String,
    pub previous_secret: Option<String>,
    pub previous_until: Option<i64>,
    pub failing_since: Option<i64>,
    pub disabled_at: Option<i64>,
    pub disabled_reason: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
}

impl Endpoint {
    /// What it wants to hear of; nothing named means everything.
    pub fn types(&self) -> Vec<EventType> {
        serde_json::from_str(&self.types).unwrap_or_default()
    }

    fn mask(&self) -> u8 {
        let types = self.types();
        let wanted = if types.is_empty() { EventType::ALL.to_vec() } else { types };
        wanted.into_iter().fold(0, |mask, kind| mask | kind.bit())
    }
}

const ENDPOINT: &str = "id, tenant_id, url, types, secret, previous_secret, previous_until, failing_since, \
                        disabled_at, disabled_reason, created_at, updated_at";

impl Store {
    /// Reads anew who listens to what: at the start, and whenever endpoints changed.
    pub async fn load_listeners(&self) -> Result<(), StoreError> {
        let found = self.find_endpoints("disabled_at is null", []).await?;
        self.listeners().replace(found.into_iter().map(|e| (e.tenant_id.clone(), e.id, e.mask())));
        Ok(())
    }

    async fn find_endpoints(
        &self,
        which: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<Endpoint>, StoreError> {
        let text = format!("select {ENDPOINT} from event_endpoints where {which}");
        Ok(Endpoint::find_by_statement(sql::statement(self.read(), &text, values)).all(self.read()).await?)
    }

    /// A page of a tenant's endpoints, oldest first.
    pub async fn endpoint_page(
        &self,
        tenant: &str,
        after: Uuid,
        limit: u64,
    ) -> Result<Vec<Endpoint>, StoreError> {
        let which = format!("tenant_id = $1 and id > $2 order by id limit {limit}");
        self.find_endpoints(&which, [tenant.into(), after.into()]).await
    }

    /// One of a tenant's endpoints.
    pub async fn endpoint(&self, tenant: &str, id: Uuid) -> Result<Option<Endpoint>, StoreError> {
        Ok(self.find_endpoints("tenant_id = $1 and id = $2", [tenant.into(), id.into()]).await?.pop())
    }

    /// One endpoint that is enabled, whoever's it is: for the worker.
    pub async fn open_endpoint(&self, id: Uuid) -> Result<Option<Endpoint>, StoreError> {
        Ok(self.find_endpoints("id = $1 and disabled_at is null", [id.into()]).await?.pop())
    }

    /// Stores a new endpoint. [`StoreError::Conflict`] when the tenant has `most` already.
    pub async fn create_endpoint(&self, e: &Endpoint, most: u64, line: &Audit<'_>) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "insert into event_endpoints (id, tenant_id, url, types, secret, created_at, updated_at) \
                    select $1, $2, $3, $4, $5, $6, $6 \
                    where (select count(*) from event_endpoints where tenant_id = $2) < $7";
        let values: [Value; 7] = [
            e.id.into(),
            e.tenant_id.as_str().into(),
            e.url.as_str().into(),
            e.types.as_str().into(),
            e.secret.as_str().into(),
            e.created_at.into(),
            i64::try_from(most).unwrap_or(i64::MAX).into(),
        ];
        if tx.execute_raw(sql::statement(&tx, text, values)).await?.rows_affected() == 0 {
            return Err(StoreError::Conflict);
        }
        audit(&tx, line).await?;
        Ok(tx.commit().await?)
    }

    /// Stores what a person changed: address, types, on or off. On again, it begins without past failures; off, what
    /// waits for it is dead.
    pub async fn update_endpoint(&self, e: &Endpoint, line: &Audit<'_>) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "update event_endpoints set url = $2, types = $3, disabled_at = $4, disabled_reason = $5, \
                    failing_since = $6, updated_at = $7 where id = $1";
        let values: [Value; 7] = [
            e.id.into(),
            e.url.as_str().into(),
            e.types.as_str().into(),
            e.disabled_at.into(),
            e.disabled_reason.clone().into(),
            e.failing_since.into(),
            line.now.into(),
        ];
        tx.execute_raw(sql::statement(&tx, text, values)).await?;
        if e.disabled_at.is_some() {
            event_deliveries::give_up(&tx, e.id, "endpoint_disabled", line.now).await?;
        }
        audit(&tx, line).await?;
        Ok(tx.commit().await?)
    }

    /// A new secret signs from now on; the one before signs as well until `until`.
    pub async fn rotate_endpoint_secret(
        &self,
        id: Uuid,
        sealed: &str,
        resealed_previous: &str,
        until: i64,
        line: &Audit<'_>,
    ) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "update event_endpoints set secret = $2, previous_secret = $3, previous_until = $4, \
                    updated_at = $5 where id = $1";
        let values: [Value; 5] =
            [id.into(), sealed.into(), resealed_previous.into(), until.into(), line.now.into()];
        tx.execute_raw(sql::statement(&tx, text, values)).await?;
        audit(&tx, line).await?;
        Ok(tx.commit().await?)
    }

    /// Removes an endpoint; what waits for it is dead. False when there is none.
    pub async fn delete_endpoint(
        &self,
        tenant: &str,
        id: Uuid,
        line: &Audit<'_>,
    ) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let text = "delete from event_endpoints where tenant_id = $1 and id = $2";
        let done = tx.execute_raw(sql::statement(&tx, text, [tenant.into(), id.into()])).await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        event_deliveries::give_up(&tx, id, "endpoint_deleted", line.now).await?;
        audit(&tx, line).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// Switches an endpoint off for a reason of ours. False when it is off already.
pub(super) async fn disable(
    tx: &DatabaseTransaction,
    id: Uuid,
    reason: &str,
    now: i64,
) -> Result<bool, DbErr> {
    let text = "update event_endpoints set disabled_at = $2, disabled_reason = $3, updated_at = $2 \
                where id = $1 and disabled_at is null";
    let done = tx.execute_raw(sql::statement(tx, text, [id.into(), now.into(), reason.into()])).await?;
    if done.rows_affected() == 1 {
        event_deliveries::give_up(tx, id, "endpoint_disabled", now).await?;
    }
    Ok(done.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_listens_is_told() {
        let listeners = Listeners::default();
        let [all, some] = [Uuid::from_u128(1), Uuid::from_u128(2)];
        assert!(!EventType::ALL.iter().any(|kind| listeners.any(*kind)));
        let every = EventType::ALL.into_iter().fold(0, |mask, kind| mask | kind.bit());
        listeners.replace([
            ("a".to_owned(), all, every),
            ("a".to_owned(), some, EventType::TurnDead.bit()),
            ("b".to_owned(), some, EventType::MessageSent.bit()),
        ]);
        assert_eq!(listeners.of("a", EventType::TurnDead), [all, some]);
        assert_eq!(listeners.of("a", EventType::MessageSent), [all]);
        assert!(!listeners.wants("b", EventType::TurnDead) && !listeners.wants("c", EventType::MessageSent));
        listeners.replace([]);
        assert!(!listeners.any(EventType::TurnDead));
    }

    #[test]
    fn words_are_those_of_the_contract() {
        for kind in EventType::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
