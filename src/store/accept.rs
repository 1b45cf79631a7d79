//! Station 1's rows at the door: what the webhook brought, and that it is open.

use std::collections::{HashMap, HashSet};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, RuntimeErr, Value,
};

use super::event_endpoints::Listeners;
use super::events::EventState;
use super::sql;
use super::writer::Write;

/// Stores one change of a verified body. `None` when the same bytes under the same secret are there already.
#[derive(Debug, Clone)]
pub struct Accept {
    /// SHA-256 over the verifying secret's fingerprint and the change's bytes.
    pub digest: [u8; 32],
    /// `entry[].id`: the WABA.
    pub entry_id: String,
    /// `changes[].field`; empty when unreadable.
    pub field: String,
    /// The number it is about, if it names one.
    pub phone_number_id: Option<String>,
    /// Fingerprint of the secret that verified it.
    pub verified_by: String,
    /// Whether that is one of the platform's secrets.
    pub by_platform: bool,
    /// The change as received.
    pub raw: Vec<u8>,
    /// When, Unix milliseconds.
    pub received_at: i64,
    /// Hash of the one person it is about, so that two instances keep that person's messages in order.
    pub lane: Option<i64>,
    /// Why it cannot be processed at all, if so.
    pub unreadable: Option<String>,
}

impl Write for Accept {
    type Output = Option<i64>;
    const FENCED: bool = false;

    fn weight(&self) -> usize {
        1 + self.raw.len() / 1_024
    }

    async fn apply(
        tx: &DatabaseTransaction,
        (instance, _): (i64, &Listeners),
        group: &[Self],
    ) -> Result<Vec<Option<i64>>, DbErr> {
        let rows = group.iter().map(|e| -> [Value; 8] {
            [
                e.digest.to_vec().into(),
                e.entry_id.as_str().into(),
                e.field.as_str().into(),
                e.phone_number_id.clone().into(),
                e.verified_by.as_str().into(),
                e.by_platform.into(),
                e.raw.clone().into(),
                e.received_at.into(),
            ]
        });
        let insert = sql::insert(
            tx,
            "webhook_events (digest,entry_id,field,phone_number_id,verified_by,by_platform,raw,received_at)",
            rows,
            "on conflict do nothing returning id, digest",
        );
        let mut ids = HashMap::with_capacity(group.len());
        for row in tx.query_all_raw(insert).await? {
            ids.insert(row.try_get::<Vec<u8>>("", "digest")?, row.try_get::<i64>("", "id")?);
        }
        // `remove`: of two equal bodies in one group only the first is new.
        let outputs: Vec<Option<i64>> = group.iter().map(|e| ids.remove(e.digest.as_slice())).collect();
        let owner = (instance != 0).then_some(instance);
        let states = group.iter().zip(&outputs).filter_map(|(e, id)| {
            let state = if e.unreadable.is_some() { EventState::Quarantined } else { EventState::Received };
            Some::<[Value; 8]>([
                (*id)?.into(),
                state.as_str().into(),
                e.unreadable.clone().into(),
                e.phone_number_id.clone().into(),
                e.lane.into(),
                owner.into(),
                1_i64.into(),
                e.received_at.into(),
            ])
        });
        let insert = sql::insert(
            tx,
            "event_states (event_id,state,reason,phone_number_id,lane,owner,attempts,at)",
            states,
            "",
        );
        if insert.values.as_ref().is_some_and(|v| !v.0.is_empty()) {
            tx.execute_raw(insert).await?;
        }
        Ok(outputs)
    }

    /// On PostgreSQL: both tables in one statement, a column a parameter, so that its text is always the same.
    async fn at_once(
        db: &DatabaseConnection,
        instance: i64,
        group: &[Self],
    ) -> Option<Result<Vec<Option<i64>>, DbErr>> {
        if db.get_database_backend() != DbBackend::Postgres {
            return None;
        }
        let mut seen = HashSet::with_capacity(group.len());
        let new: Vec<&Self> = group.iter().filter(|e| seen.insert(e.digest)).collect();
        fn column<'a, T>(rows: &[&'a Accept], of: impl Fn(&'a Accept) -> T) -> Vec<T> {
            rows.iter().map(|e| of(e)).collect()
        }
        let rows = sqlx::query_as::<_, (i64, Vec<u8>)>(ACCEPT)
            .bind(column(&new, |e| e.digest.as_slice()))
            .bind(column(&new, |e| e.entry_id.as_str()))
            .bind(column(&new, |e| e.field.as_str()))
            .bind(column(&new, |e| e.phone_number_id.as_deref()))
            .bind(column(&new, |e| e.verified_by.as_str()))
            .bind(column(&new, |e| e.by_platform))
            .bind(column(&new, |e| e.raw.as_slice()))
            .bind(column(&new, |e| e.received_at))
            .bind(column(&new, |e| e.lane))
            .bind(column(&new, |e| e.unreadable.as_deref()))
            .bind((instance != 0).then_some(instance))
            .fetch_all(db.get_postgres_connection_pool())
            .await;
        Some(match rows {
            Ok(rows) => {
                let mut ids: HashMap<Vec<u8>, i64> =
                    rows.into_iter().map(|(id, digest)| (digest, id)).collect();
                // `remove`: of two equal bodies in one group only the first is new.
                Ok(group.iter().map(|e| ids.remove(e.digest.as_slice())).collect())
            }
            Err(error) => Err(DbErr::Query(RuntimeErr::SqlxError(error.into()))),
        })
    }
}

/// See [`Accept::at_once`]. The states follow from the events, so they cannot be there without them.
const ACCEPT: &str = "with v as (select * from unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], \
         $6::boolean[], $7::bytea[], $8::bigint[], $9::bigint[], $10::text[]) \
     as v (digest, entry_id, field, phone_number_id, verified_by, by_platform, raw, received_at, lane, unreadable)), \
     e as (insert into webhook_events \
         (digest, entry_id, field, phone_number_id, verified_by, by_platform, raw, received_at) \
         select digest, entry_id, field, phone_number_id, verified_by, by_platform, raw, received_at from v \
         on conflict do nothing returning id, digest), \
     s as (insert into event_states (event_id, state, reason, phone_number_id, lane, owner, attempts, at) \
         select e.id, case when v.unreadable is null then 'received' else 'quarantined' end, \
         v.unreadable, v.phone_number_id, v.lane, $11, 1, v.received_at from e join v on v.digest = e.digest) \
     select id, digest from e";
