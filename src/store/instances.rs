//! Who is alive: each instance renews its row; what belongs to a missing row is free.
//!
//! Leases live on the database's clock, so that no instance's own clock can make it immortal.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;

use super::{Store, StoreError, sql};

/// How long an instance counts as alive after its last sign of life, in milliseconds.
pub const LEASE: i64 = 15_000;

/// Station, the word that [`Store::items`] reads, and the state it stands for.
const ITEMS: [(&str, &str, &str); 13] = [
    ("inbox", "received", "received"),
    ("inbox", "parked", "parked"),
    ("inbox", "unroutable", "unroutable"),
    ("inbox", "quarantined", "quarantined"),
    ("inbox", "refused", "refused"),
    ("inbox", "ignored", "ignored"),
    ("conversation", "waiting", "waiting"),
    ("conversation", "asking", "asking"),
    ("conversation", "dead turn", "dead"),
    ("outbox", "queued", "queued"),
    ("outbox", "sending", "sending"),
    ("outbox", "unknown", "unknown"),
    ("outbox", "dead", "dead"),
];

/// Pages in SQLite's write-ahead log beyond which it is to start anew: 64 MB.
const LONG_LOG: i64 = 16_000;

impl Store {
    fn clock(&self) -> &'static str {
        if self.is_shared() {
            "cast(extract(epoch from clock_timestamp()) * 1000 as bigint)"
        } else {
            "cast((julianday('now') - 2440587.5) * 86400000 as integer)"
        }
    }

    /// Takes a new place among the living. The embedded database has one process only, so whoever was there is dead;
    /// and so is this process's own former life, of which the database may not have heard: nobody waits for its lease.
    /// The answer is the database in the name of this new life.
    pub async fn join(&self, name: &str) -> Result<Self, StoreError> {
        let tx = self.begin().await?;
        if self.is_shared() {
            let text = "delete from instances where id = $1";
            tx.execute_raw(sql::statement(&tx, text, [self.latest_life().into()])).await?;
        } else {
            tx.execute_unprepared("delete from instances").await?;
        }
        let text = format!(
            "insert into instances (name, expires_at) values ($1, {} + {LEASE}) returning id",
            self.clock()
        );
        let id = super::contacts::inserted(&tx, &text, [name.into()]).await?;
        tx.commit().await?;
        Ok(self.begin_life(id))
    }

    /// A sign of life, and the burial of those who gave none: how many. `None`: this instance was buried meanwhile.
    pub async fn stay_alive(&self) -> Result<Option<u64>, StoreError> {
        let tx = self.begin().await?;
        let clock = self.clock();
        let text = format!("update instances set expires_at = {clock} + {LEASE} where id = $1");
        let alive =
            tx.execute_raw(sql::statement(&tx, &text, [self.instance().into()])).await?.rows_affected() == 1;
        // One that froze in a transaction has its own row locked: it is buried when the server has ended that, and until
        // then the living must not wait for it.
        let free = if self.is_shared() { "for update skip locked" } else { "" };
        let bury = format!(
            "delete from instances where id in (select id from instances where expires_at < {clock} {free})"
        );
        let dead = tx.execute_unprepared(&bury).await?;
        tx.commit().await?;
        Ok(alive.then_some(dead.rows_affected()))
    }

    /// Leaves in good order: what it owned is free at once.
    pub async fn leave(&self) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        tx.execute_raw(sql::statement(&tx, "delete from instances where id = $1", [self.instance().into()]))
            .await?;
        Ok(tx.commit().await?)
    }

    /// How many are alive.
    pub async fn instance_count(&self) -> Result<i64, StoreError> {
        let row = self
            .read()
            .query_one_raw(sql::statement(self.read(), "select count(*) as n from instances", []))
            .await?;
        Ok(row.map(|row| row.try_get("", "n")).transpose()?.unwrap_or(0))
    }

    /// Moves what is in SQLite's write-ahead log into the file, beside the writer's way. A log that has become long is
    /// finished between two groups: only when nothing is left in it does it start anew instead of growing.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        if self.is_shared() {
            return Ok(());
        }
        let pragma = sql::statement(self.read(), "pragma wal_checkpoint(passive)", []);
        let row = self.read().query_one_raw(pragma.clone()).await?;
        let pages = row.map(|row| row.try_get::<i64>("", "log")).transpose()?.unwrap_or(0);
        if pages > LONG_LOG {
            // What came meanwhile, as far as that goes without the writer; then the rest.
            self.read().query_one_raw(pragma.clone()).await?;
            self.write.query_one_raw(pragma).await?;
        }
        Ok(())
    }

    /// Tells the other instances on PostgreSQL; a no-op elsewhere.
    pub async fn notify(&self, payload: &str) -> Result<(), StoreError> {
        if self.is_shared() {
            let text = format!("select pg_notify('{CHANNEL}', $1)");
            self.read().query_one_raw(sql::statement(self.read(), &text, [payload.into()])).await?;
        }
        Ok(())
    }

    /// How many items stand at each station in each state that is not the good end: (station, state, how many).
    pub async fn items(&self) -> Result<Vec<(&'static str, &'static str, i64)>, StoreError> {
        let text = "select state, count(*) as n from event_states group by state \
             union all select 'waiting', count(*) from pending_messages \
             union all select 'asking', count(*) from turns where status = 'asking' \
             union all select 'dead turn', count(*) from turns where status = 'dead' \
             union all select status, count(*) from deliveries where status in ('queued', 'sending') group by status \
             union all select status, count(*) from deliveries where status in ('unknown', 'dead') group by status";
        let rows = self.read().query_all_raw(sql::statement(self.read(), text, [])).await?;
        let mut found: HashMap<String, i64> = HashMap::new();
        for row in rows {
            found.insert(row.try_get("", "state")?, row.try_get("", "n")?);
        }
        let count = |(station, stored, state)| (station, state, found.get(stored).copied().unwrap_or(0));
        Ok(ITEMS.map(count).to_vec())
    }

    /// When the oldest open item of each station came to be, Unix milliseconds: inbox, conversation, outbox. What an
    /// account holds back until its people did something is not waiting for us.
    pub async fn oldest_waiting(&self) -> Result<[Option<i64>; 3], StoreError> {
        let text = "select (select min(at) from event_states where state = 'received') as inbox, \
                    (select min(at) from pending_messages) as conversation, \
                    (select min(d.next_at) from deliveries d join whatsapp_accounts a on a.id = d.whatsapp_account_id \
                        where d.status in ('queued', 'sending') and a.deleted_at is null \
                        and a.status in ('active', 'restricted')) as outbox";
        let row = self.read().query_one_raw(sql::statement(self.read(), text, [])).await?;
        let Some(row) = row else { return Ok([None; 3]) };
        Ok([row.try_get("", "inbox")?, row.try_get("", "conversation")?, row.try_get("", "outbox")?])
    }
}

/// The channel of LISTEN and NOTIFY.
pub const CHANNEL: &str = "switchboard";
