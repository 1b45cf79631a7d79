//! Station 1's rows behind the door: where each event stands while it is not plainly done.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, Value};

use super::changes::Change;
use super::event_endpoints::Listeners;
use super::messages::{self, Append, Appended};
use super::statuses::{self, ApplyStatus};
use super::told::{self, Told};
use super::writer::Write;
use super::{Store, StoreError, alerts, sql, telling};

/// Attempts after which an event that keeps crashing its worker is quarantined.
pub const MAX_ATTEMPTS: i64 = 5;
/// Attempts after which it, or one that came with it, is taken to be what crashed them.
const SUSPECT: i64 = 2;

/// Where an event stands. An event without a state row is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventState {
    /// Stored, waiting to be processed.
    Received,
    /// Unreadable, or it keeps failing: needs a person.
    Quarantined,
    /// No account knows its number.
    Unroutable,
    /// Its account does not take messages now (pending, inactive, deleted).
    Parked,
    /// Signed by a secret that may not speak for this account.
    Refused,
    /// Of a kind that is only kept.
    Ignored,
}

impl EventState {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Quarantined => "quarantined",
            Self::Unroutable => "unroutable",
            Self::Parked => "parked",
            Self::Refused => "refused",
            Self::Ignored => "ignored",
        }
    }
}

/// Where an event stands after a [`Process`].
#[derive(Debug, Clone)]
pub enum End {
    /// There is more of it: see [`Process::in_pieces`].
    More,
    /// Done: its state row goes.
    Done,
    /// It stays, with a reason, shown to this tenant.
    Left(EventState, String, Option<String>),
}

/// Messages of one event that are appended in one piece.
const PIECE: usize = 100;

impl Process {
    /// A large event is written in pieces, so that nobody else waits long; the last one ends it.
    pub fn in_pieces(mut self) -> Vec<Self> {
        let mut pieces = Vec::new();
        // What it tells comes first, so that the messages find it done.
        while self.told.len() > PIECE {
            pieces.push(Self {
                event_id: self.event_id,
                appends: Vec::new(),
                statuses: Vec::new(),
                told: self.told.drain(..PIECE).collect(),
                end: End::More,
                now: self.now,
            });
        }
        while self.appends.len() > PIECE || self.statuses.len() > PIECE {
            pieces.push(Self {
                event_id: self.event_id,
                appends: self.appends.drain(..self.appends.len().min(PIECE)).collect(),
                statuses: self.statuses.drain(..self.statuses.len().min(PIECE)).collect(),
                told: std::mem::take(&mut self.told),
                end: End::More,
                now: self.now,
            });
        }
        pieces.push(self);
        pieces
    }
}

/// What became of an event: its messages and statuses, and the state that remains if it is not done.
#[derive(Debug, Clone)]
pub struct Process {
    /// The event.
    pub event_id: i64,
    /// Messages × accounts.
    pub appends: Vec<Append>,
    /// Statuses × accounts.
    pub statuses: Vec<ApplyStatus>,
    /// What it tells besides, × tenants. Takes effect before the messages.
    pub told: Vec<Told>,
    /// What the event is now.
    pub end: End,
    /// Unix milliseconds.
    pub now: i64,
}

impl Write for Process {
    /// One per append.
    type Output = Vec<Option<Appended>>;

    fn weight(&self) -> usize {
        1 + self.appends.len() + self.statuses.len() + self.told.len()
    }

    async fn apply(
        tx: &DatabaseTransaction,
        (instance, listeners): (i64, &Listeners),
        group: &[Self],
    ) -> Result<Vec<Vec<Option<Appended>>>, DbErr> {
        for p in group {
            for told in &p.told {
                told::apply(tx, told, p.event_id, p.now).await?;
            }
        }
        let appends: Vec<&Append> = group.iter().flat_map(|p| &p.appends).collect();
        let mut appended = messages::append(tx, instance, &appends).await?.into_iter();
        let updates: Vec<&ApplyStatus> = group.iter().flat_map(|p| &p.statuses).collect();
        statuses::apply(tx, listeners, &updates).await?;
        let done = group.iter().filter(|p| matches!(p.end, End::Done)).map(|p| p.event_id);
        let text = format!("delete from event_states where event_id {}", sql::among(tx, 1, "bigint"));
        tx.execute_raw(sql::statement(tx, &text, [sql::json(done)])).await?;
        for p in group {
            if let End::Left(state, reason, tenant) = &p.end {
                // It may be there no more: an earlier piece of the event failed after its last one had ended it.
                let text = "insert into event_states (event_id, state, reason, tenant_id, phone_number_id, at) \
                            select id, $2, $3, $4, phone_number_id, $5 from webhook_events where id = $1 \
                            on conflict (event_id) do update set state = excluded.state, reason = excluded.reason, \
                            tenant_id = excluded.tenant_id, owner = null, at = excluded.at";
                let values: [Value; 5] = [
                    p.event_id.into(),
                    state.as_str().into(),
                    reason.as_str().into(),
                    tenant.clone().into(),
                    p.now.into(),
                ];
                tx.execute_raw(sql::statement(tx, text, values)).await?;
                alerts::left(tx, *state, tenant.as_deref(), p.now).await?;
            }
        }
        Ok(group.iter().map(|p| appended.by_ref().take(p.appends.len()).collect()).collect())
    }

    async fn tell(
        tx: &DatabaseTransaction,
        listeners: &Listeners,
        group: &[Self],
        outputs: &[Self::Output],
    ) -> Result<(), DbErr> {
        let since = group.iter().map(|p| p.now).min().unwrap_or_default();
        told::tell(tx, listeners, group.iter().flat_map(|p| &p.told), since).await?;
        telling::processed(tx, listeners, group, outputs).await
    }

    fn changed<'a>(group: &'a [Self], outputs: &'a [Self::Output]) -> impl Iterator<Item = Change<'a>> {
        let appended = outputs.iter().flatten().flatten();
        let statuses = group.iter().flat_map(|p| &p.statuses);
        (appended.map(|appended| Change::Conversation(appended.conversation.id)))
            .chain(statuses.map(|status| Change::Wamid(&status.wamid)))
    }
}

/// An event to be processed.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Event {
    /// Its place in the order of arrival.
    pub id: i64,
    /// The WABA.
    pub entry_id: String,
    /// What changed.
    pub field: String,
    /// The number, if it names one.
    pub phone_number_id: Option<String>,
    /// Fingerprint of the secret that verified it.
    pub verified_by: String,
    /// Whether that is a platform secret.
    pub by_platform: bool,
    /// The change as received.
    pub raw: Vec<u8>,
    /// Unix milliseconds.
    pub received_at: i64,
    /// See [`super::accept::Accept::lane`].
    pub lane: Option<i64>,
    /// Whose it was found to be when it was set aside: it is nobody else's later, whoever has the number then.
    pub tenant_id: Option<String>,
}

const EVENT: &str = "e.id, e.entry_id, e.field, e.phone_number_id, e.verified_by, e.by_platform, e.raw, e.received_at, s.lane, s.tenant_id";

impl Store {
    /// Takes over up to `limit` open events that no living instance holds, oldest first, and none whose lane has an
    /// older open event in other hands. What is ours since before `forgotten` was lost on its way to memory.
    ///
    /// Where one of them was in the hands of [`SUSPECT`] workers that died, one is taken at a time: so that the one which
    /// stops its workers is found, and set aside, alone.
    pub async fn claim_events(&self, limit: u64, forgotten: i64) -> Result<Vec<Event>, StoreError> {
        let tx = self.begin().await?;
        let skip = if self.is_shared() { "for update of s skip locked" } else { "" };
        let text = format!(
            "update event_states set owner = $1, attempts = attempts + 1 where event_id in (
                 select s.event_id from event_states s
                 where s.state = 'received' and (s.owner is null or s.owner not in (select id from instances)
                     or (s.owner = $1 and s.at < $2))
                 and not exists (select 1 from event_states o where o.state = 'received' and o.lane = s.lane
                     and o.event_id < s.event_id and o.owner <> $1 and o.owner in (select id from instances))
                 order by s.event_id limit (select case when exists (select 1 from (
                     select attempts from event_states where state = 'received'
                     and (owner is null or owner not in (select id from instances)) order by event_id limit {limit}) p
                     where p.attempts >= {SUSPECT}) then 1 else {limit} end) {skip})
             returning event_id, attempts"
        );
        let mut ids: Vec<i64> = Vec::new();
        let mut poison: Vec<i64> = Vec::new();
        for row in
            tx.query_all_raw(sql::statement(&tx, &text, [self.instance().into(), forgotten.into()])).await?
        {
            let id: i64 = row.try_get("", "event_id")?;
            let attempts: i64 = row.try_get("", "attempts")?;
            if attempts > MAX_ATTEMPTS { &mut poison } else { &mut ids }.push(id);
        }
        if !poison.is_empty() {
            let text = format!(
                "update event_states set state = 'quarantined', owner = null, reason = 'it stopped its worker five times' \
                 where event_id {}",
                sql::among(&tx, 1, "bigint")
            );
            tx.execute_raw(sql::statement(&tx, &text, [sql::json(poison)])).await?;
        }
        let events = if ids.is_empty() {
            Vec::new()
        } else {
            let text = format!(
                "select {EVENT} from webhook_events e join event_states s on s.event_id = e.id where e.id {} \
                 order by e.id",
                sql::among(&tx, 1, "bigint")
            );
            Event::find_by_statement(sql::statement(&tx, &text, [sql::json(ids)])).all(&tx).await?
        };
        tx.commit().await?;
        Ok(events)
    }

    /// Of the events with these digests, those that are open and this instance's.
    pub async fn own_open_events(&self, digests: &[[u8; 32]]) -> Result<Vec<Event>, StoreError> {
        let mut events = Vec::new();
        for some in digests.chunks(500) {
            let text = format!(
                "select {EVENT} from webhook_events e join event_states s on s.event_id = e.id \
                 where s.state = 'received' and s.owner = $1 and e.digest in ({}) order by e.id",
                sql::list(2, some.len())
            );
            let digests = some.iter().map(|digest| Value::from(digest.to_vec()));
            let values = [self.instance().into()].into_iter().chain(digests);
            let statement = sql::statement(self.read(), &text, values);
            events.extend(Event::find_by_statement(statement).all(self.read()).await?);
        }
        Ok(events)
    }

    /// The oldest open event in each of these lanes that is not in this instance's hands.
    pub async fn oldest_elsewhere(&self, lanes: &[i64]) -> Result<HashMap<i64, i64>, StoreError> {
        let text = format!(
            "select lane, min(event_id) as oldest from event_states where state = 'received' \
             and (owner is null or owner <> $1) and lane {} group by lane",
            sql::among(self.read(), 2, "bigint")
        );
        let values = [self.instance().into(), sql::json(lanes)];
        let rows = self.read().query_all_raw(sql::statement(self.read(), &text, values)).await?;
        let pairs = rows.iter().map(|row| Ok((row.try_get("", "lane")?, row.try_get("", "oldest")?)));
        pairs.collect()
    }

    /// Lets go of events, so that whoever comes first may claim them.
    pub async fn release_events(&self, ids: &[i64]) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = format!(
            "update event_states set owner = null, attempts = attempts - 1 where event_id {}",
            sql::among(&tx, 1, "bigint")
        );
        tx.execute_raw(sql::statement(&tx, &text, [sql::json(ids)])).await?;
        Ok(tx.commit().await?)
    }

    /// Events of a number that waited for an account of this tenant become open again; returns how many.
    pub async fn reopen_events(
        &self,
        tenant: &str,
        phone_number_id: &str,
        since: i64,
    ) -> Result<u64, StoreError> {
        let tx = self.begin().await?;
        let text = "update event_states set state = 'received', reason = null, owner = null, attempts = 0 \
                    where phone_number_id = $1 and state = 'parked' and at >= $2 \
                    and (tenant_id is null or tenant_id = $3)";
        let values: [Value; 3] = [phone_number_id.into(), since.into(), tenant.into()];
        let done = tx.execute_raw(sql::statement(&tx, text, values)).await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// Opens one event again, whatever became of it; messages that exist stay single. False when there is none.
    pub async fn replay_event(&self, id: i64, now: i64) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let text = "insert into event_states (event_id, state, phone_number_id, attempts, at) \
                    select id, 'received', phone_number_id, 0, $2 from webhook_events where id = $1 \
                    on conflict (event_id) do update set state = 'received', reason = null, owner = null, attempts = 0";
        let done = tx.execute_raw(sql::statement(&tx, text, [id.into(), now.into()])).await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }
}
