//! Forgetting: what is older than wanted goes, in small pieces, so that nobody waits for it. Open work stays.
//!
//! Rows are looked at in the order of their ids, which is roughly that of their age: no index over time is needed, and
//! what has to stay is not met twice.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, FromQueryResult, TryGetable, Value};
use uuid::Uuid;

use super::contacts::MAKING;
use super::{Store, StoreError, sql};

/// Most rows removed in one transaction where they are found by their age alone.
const AT_ONCE: u64 = 1_000;

/// What one piece came to.
#[derive(Debug, Clone, Copy)]
pub struct Piece<I> {
    /// Things removed.
    pub gone: u64,
    /// Where the next piece begins; none: everything left is young enough.
    pub last: Option<I>,
}

#[derive(FromQueryResult)]
struct Old {
    id: i64,
    whatsapp_account_id: i64,
    wamid: Option<String>,
    created_at: i64,
    open: bool,
}

impl Store {
    /// Of `limit` messages from `after` on, those of before `before` (Unix milliseconds), with their deliveries, attempts
    /// and files. What waits, is being asked or is to be sent stays. A mark is kept of each that Meta told us, so that it is not
    /// answered again when it is delivered once more.
    pub async fn expire_messages(
        &self,
        before: i64,
        now: i64,
        after: i64,
        limit: u64,
    ) -> Result<Piece<i64>, StoreError> {
        let tx = self.begin().await?;
        let text = format!(
            "select m.id, m.whatsapp_account_id, m.wamid, m.created_at, \
             exists (select 1 from pending_messages p where p.message_id = m.id) \
             or exists (select 1 from deliveries d where d.message_id = m.id and d.status in ('queued', 'sending')) \
             or exists (select 1 from turns t where t.conversation_id = m.conversation_id and t.status = 'asking') as open \
             from messages m where m.id > $1 order by m.id limit {limit}"
        );
        let rows = Old::find_by_statement(sql::statement(&tx, &text, [after.into()])).all(&tx).await?;
        let last = rows.last().filter(|row| row.created_at < before).map(|row| row.id);
        let gone: Vec<&Old> = rows.iter().filter(|row| row.created_at < before && !row.open).collect();
        let marks = gone.iter().filter_map(|row| -> Option<[Value; 3]> {
            Some([row.whatsapp_account_id.into(), row.wamid.clone()?.into(), now.into()])
        });
        mark(&tx, marks.collect()).await?;
        let ids: Vec<i64> = gone.iter().map(|row| row.id).collect();
        let among = sql::among(&tx, 1, "bigint");
        for table in ["attempts", "delivery_participants"] {
            let text = format!(
                "delete from {table} where delivery_id in (select id from deliveries where message_id {among})"
            );
            tx.execute_raw(sql::statement(&tx, &text, [sql::json(&ids)])).await?;
        }
        remove(&tx, "delete from media where message_id", &ids).await?;
        remove(&tx, "delete from deliveries where message_id", &ids).await?;
        let gone = remove(&tx, "delete from messages where id", &ids).await?;
        tx.commit().await?;
        Ok(Piece { gone, last })
    }

    /// Of `limit` turns from `after` on, those of before `before` that nobody is being asked for.
    pub async fn expire_turns(
        &self,
        before: i64,
        after: Uuid,
        limit: u64,
    ) -> Result<Piece<Uuid>, StoreError> {
        let tx = self.begin().await?;
        let (ids, last) = old::<Uuid>(&tx, "turns", "created_at", before, after, limit).await?;
        let gone = remove_named(&tx, "delete from turns where status <> 'asking' and id", &ids).await?;
        tx.commit().await?;
        Ok(Piece { gone, last })
    }

    /// Of `limit` files from `after` on, those that callers uploaded before `before`.
    pub async fn expire_media(&self, before: i64, after: i64, limit: u64) -> Result<Piece<i64>, StoreError> {
        let tx = self.begin().await?;
        let (ids, last) = old::<i64>(&tx, "media", "created_at", before, after, limit).await?;
        let gone = remove(&tx, "delete from media where message_id is null and id", &ids).await?;
        let text = "delete from media_uploads where not exists \
                    (select 1 from media m where m.id = media_uploads.media_id) and media_id";
        remove(&tx, text, &ids).await?;
        tx.commit().await?;
        Ok(Piece { gone, last })
    }

    /// Of `limit` things from `after` on that tenants' own systems were told, those of before `before`. What waits stays.
    pub async fn expire_event_deliveries(
        &self,
        before: i64,
        after: Uuid,
        limit: u64,
    ) -> Result<Piece<Uuid>, StoreError> {
        let tx = self.begin().await?;
        let (ids, last) = old::<Uuid>(&tx, "event_deliveries", "created_at", before, after, limit).await?;
        let text = "delete from event_deliveries where status <> 'queued' and id";
        let gone = remove_named(&tx, text, &ids).await?;
        tx.commit().await?;
        Ok(Piece { gone, last })
    }

    /// Of `limit` stored webhook events from `after` on, those of before `before`, but for those that still wait to be
    /// read.
    pub async fn expire_events(&self, before: i64, after: i64, limit: u64) -> Result<Piece<i64>, StoreError> {
        let tx = self.begin().await?;
        let (ids, last) = old::<i64>(&tx, "webhook_events", "received_at", before, after, limit).await?;
        remove(&tx, "delete from event_states where state <> 'received' and event_id", &ids).await?;
        let text = "delete from webhook_events where not exists \
                    (select 1 from event_states s where s.event_id = webhook_events.id) and id";
        let gone = remove(&tx, text, &ids).await?;
        tx.commit().await?;
        Ok(Piece { gone, last })
    }

    /// Of `limit` conversations from `after` on, those without messages in which nothing happened since `before`, with the
    /// threads and contacts that have nothing else. Whoever asked never to be written to again is remembered.
    pub async fn expire_conversations(
        &self,
        before: i64,
        after: i64,
        limit: u64,
    ) -> Result<Piece<i64>, StoreError> {
        let tx = self.begin().await?;
        if tx.get_database_backend() == DbBackend::Postgres {
            // Whoever is just finding one of these for a new message has this lock until it is stored.
            tx.execute_unprepared(&format!("select pg_advisory_xact_lock({MAKING})")).await?;
        }
        let text = format!("select id from whatsapp_conversations where id > $1 order by id limit {limit}");
        let rows = tx.query_all_raw(sql::statement(&tx, &text, [after.into()])).await?;
        let ids = rows.iter().map(|row| row.try_get("", "id")).collect::<Result<Vec<i64>, _>>()?;
        let text = format!(
            "delete from whatsapp_conversations where last_message_at < $1 and id {} and not exists \
             (select 1 from messages m where m.conversation_id = whatsapp_conversations.id) \
             returning thread_id, contact_id",
            sql::among(&tx, 2, "bigint")
        );
        let values = [before.into(), sql::json(&ids)];
        let gone = tx.query_all_raw(sql::statement(&tx, &text, values)).await?;
        let column =
            |name: &str| gone.iter().map(|row| row.try_get("", name)).collect::<Result<Vec<i64>, _>>();
        let (threads, contacts) = (column("thread_id")?, column("contact_id")?);
        let text = "delete from threads where opted_out_at is null and not exists \
                    (select 1 from whatsapp_conversations c where c.thread_id = threads.id) and id";
        remove(&tx, text, &threads).await?;
        let alone = |column| {
            format!(
                "not exists (select 1 from threads t where t.contact_id = {column}) \
                 and not exists (select 1 from contacts c where c.id = {column} and c.marketing = 'stop')"
            )
        };
        let text = format!(
            "delete from contact_aliases where {} and contact_id",
            alone("contact_aliases.contact_id")
        );
        remove(&tx, &text, &contacts).await?;
        let text = format!("delete from contacts where {} and id", alone("contacts.id"));
        remove(&tx, &text, &contacts).await?;
        tx.commit().await?;
        Ok(Piece { gone: gone.len() as u64, last: ids.last().copied() })
    }
}

impl Store {
    /// What Meta told before `before`: whoever comes with a name of that time is not known by it any more.
    pub async fn expire_news(&self, before: i64) -> Result<u64, StoreError> {
        let renames = "tenant_id, scope, kind, previous, at";
        Ok(self.forget("contact_renames", renames, "at", before).await?
            + self.forget("account_events", "id", "at", before).await?)
    }

    /// What nobody needs any more, whatever the operator keeps: early statuses after a day, dedupe marks after thirty,
    /// what requests were answered after a day.
    pub async fn sweep(&self, now: i64) -> Result<u64, StoreError> {
        const DAY: i64 = 86_400_000;
        Ok(self.forget("early_statuses", "id", "stored_at", now - DAY).await?
            + self.forget("dedupe_marks", "whatsapp_account_id, wamid", "at", now - 30 * DAY).await?
            + self.forget("idempotency_keys", "id", "at", now - DAY).await?)
    }

    /// Removes the rows of a table from before `before`, whose primary key is `key`.
    async fn forget(&self, table: &str, key: &str, time: &str, before: i64) -> Result<u64, StoreError> {
        let text = format!(
            "delete from {table} where ({key}) in (select {key} from {table} where {time} < $1 limit {AT_ONCE})"
        );
        self.repeat(&text, [before.into()]).await
    }

    /// Repeats a statement, which changes no more than some rows at once, until none is left to change. Others write
    /// in between.
    pub(super) async fn repeat(
        &self,
        text: &str,
        values: impl IntoIterator<Item = Value> + Clone,
    ) -> Result<u64, StoreError> {
        let mut all = 0;
        loop {
            let tx = self.begin().await?;
            let done = tx.execute_raw(sql::statement(&tx, text, values.clone())).await?.rows_affected();
            tx.commit().await?;
            all += done;
            if done == 0 {
                return Ok(all);
            }
        }
    }
}

/// What must not be answered again: (account, Meta's id, when).
pub(super) async fn mark(tx: &DatabaseTransaction, marks: Vec<[Value; 3]>) -> Result<(), StoreError> {
    if !marks.is_empty() {
        let tail = "on conflict (whatsapp_account_id,wamid) do update set at = excluded.at";
        tx.execute_raw(sql::insert(tx, "dedupe_marks (whatsapp_account_id,wamid,at)", marks, tail)).await?;
    }
    Ok(())
}

/// Of `limit` rows of a table from `after` on, the ids of those that are older; and where the next piece begins.
async fn old<I: TryGetable + Into<Value> + Copy>(
    tx: &DatabaseTransaction,
    table: &str,
    time: &str,
    before: i64,
    after: I,
    limit: u64,
) -> Result<(Vec<I>, Option<I>), StoreError> {
    let text = format!("select id, {time} as at from {table} where id > $1 order by id limit {limit}");
    let rows = tx.query_all_raw(sql::statement(tx, &text, [after.into()])).await?;
    let (mut ids, mut last) = (Vec::new(), None);
    for row in rows {
        let id: I = row.try_get("", "id")?;
        let is_old = row.try_get::<i64>("", "at")? < before;
        last = is_old.then_some(id);
        ids.extend(last);
    }
    Ok((ids, last))
}

/// As [`remove`], of rows that are named by UUIDs.
async fn remove_named(tx: &DatabaseTransaction, text: &str, ids: &[Uuid]) -> Result<u64, StoreError> {
    if ids.is_empty() {
        return Ok(0);
    }
    let text = format!("{text} in ({})", sql::list(1, ids.len()));
    let ids = ids.iter().map(|id| Value::from(*id));
    Ok(tx.execute_raw(sql::statement(tx, &text, ids)).await?.rows_affected())
}

/// Runs `text`, which ends with the column that is to be among `ids`.
async fn remove(tx: &DatabaseTransaction, text: &str, ids: &[i64]) -> Result<u64, StoreError> {
    if ids.is_empty() {
        return Ok(0);
    }
    let text = format!("{text} {}", sql::among(tx, 1, "bigint"));
    Ok(tx.execute_raw(sql::statement(tx, &text, [sql::json(ids)])).await?.rows_affected())
}
