//! Turns: what a responder is asked, frozen before it is asked; and its answer, committed together with what is to be
//! sent.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, FromQueryResult, Value};
use uuid::Uuid;

use super::event_endpoints::Listeners;
use super::messages::Place;
use super::replies::{Enqueued, Outgoing, Reply, enqueue};
use super::writer::Write;
use super::{Store, StoreError, sql, telling};

/// Freezes the members of a turn and takes them out of the line, unless a person has the thread. Whoever is not in line
/// any more has had a turn and gets no second one; without anybody left no turn is opened.
#[derive(Debug, Clone)]
pub struct OpenTurn {
    /// UUIDv7; the `Idempotency-Key` of the call.
    pub turn_id: Uuid,
    /// Whose turn it is.
    pub place: Arc<Place>,
    /// In which conversation.
    pub conversation_id: i64,
    /// Its thread.
    pub thread_id: i64,
    /// Message ids, oldest first.
    pub members: Vec<i64>,
    /// Unix milliseconds.
    pub now: i64,
}

/// What came of an [`OpenTurn`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// These are to be answered: those of the members that were still in line.
    Asking(Vec<i64>),
    /// Nobody is: a person has the thread, and the members are where they were.
    HandedOver,
    /// Somebody older stands in line, put there by another instance; nothing is changed.
    Behind,
}

impl Write for OpenTurn {
    type Output = Opened;

    async fn apply(tx: &DatabaseTransaction, _: i64, group: &[Self]) -> Result<Vec<Opened>, DbErr> {
        let handed_over = handed_over(tx, group).await?;
        let behind = behind(tx, group).await?;
        let free = |t: &&Self| !handed_over.contains(&t.thread_id) && !behind.contains(&t.conversation_id);
        let members = sql::json(group.iter().filter(free).flat_map(|t| &t.members));
        let text = format!(
            "delete from pending_messages where message_id {} returning message_id",
            sql::among(tx, 1, "bigint")
        );
        let mut in_line = HashSet::with_capacity(group.len());
        for row in tx.query_all_raw(sql::statement(tx, &text, [members])).await? {
            in_line.insert(row.try_get::<i64>("", "message_id")?);
        }
        let mut outputs = Vec::with_capacity(group.len());
        let mut rows: Vec<[Value; 7]> = Vec::with_capacity(group.len());
        for t in group {
            outputs.push(if handed_over.contains(&t.thread_id) {
                Opened::HandedOver
            } else if behind.contains(&t.conversation_id) {
                Opened::Behind
            } else {
                let members: Vec<i64> = t.members.iter().copied().filter(|id| in_line.remove(id)).collect();
                if members.is_empty() {
                    // Perhaps this very turn was opened before, and only the news of its commit was lost.
                    Opened::Asking(t.opened_before(tx).await?)
                } else {
                    rows.push(t.row(&members)?);
                    Opened::Asking(members)
                }
            });
        }
        if !rows.is_empty() {
            let head = "turns (id,tenant_id,conversation_id,chatbot_id,members,status,created_at)";
            tx.execute_raw(sql::insert(tx, head, rows, "")).await?;
        }
        Ok(outputs)
    }
}

impl OpenTurn {
    fn row(&self, members: &[i64]) -> Result<[Value; 7], DbErr> {
        Ok([
            self.turn_id.into(),
            self.place.tenant_id.as_str().into(),
            self.conversation_id.into(),
            self.place.chatbot_id.as_str().into(),
            serde_json::to_string(members).map_err(|e| DbErr::Json(e.to_string()))?.into(),
            "asking".into(),
            self.now.into(),
        ])
    }

    async fn opened_before(&self, tx: &DatabaseTransaction) -> Result<Vec<i64>, DbErr> {
        let text = format!("select {TURN} from turns where id = $1");
        let turn = Turn::find_by_statement(sql::statement(tx, &text, [self.turn_id.into()])).one(tx).await?;
        Ok(turn.map(|turn| turn.member_ids()).unwrap_or_default())
    }
}

/// The threads of a group that a person has. Never from memory: a thread is shared with the number's other chatbots, and
/// with other instances.
async fn handed_over(tx: &DatabaseTransaction, group: &[OpenTurn]) -> Result<HashSet<i64>, DbErr> {
    let text =
        format!("select id from threads where hand_over_until > $1 and id {}", sql::among(tx, 2, "bigint"));
    let now = group.iter().map(|t| t.now).max().unwrap_or_default();
    let values = [now.into(), sql::json(group.iter().map(|t| t.thread_id))];
    let rows = tx.query_all_raw(sql::statement(tx, &text, values)).await?;
    rows.iter().map(|row| row.try_get("", "id")).collect()
}

/// The conversations of a group in which somebody older stands in line than those who are to have a turn.
async fn behind(tx: &DatabaseTransaction, group: &[OpenTurn]) -> Result<HashSet<i64>, DbErr> {
    // The embedded database has one instance, which put everybody in line itself.
    if tx.get_database_backend() != DbBackend::Postgres {
        return Ok(HashSet::new());
    }
    let text = format!(
        "select conversation_id, min(message_id) as oldest from pending_messages where conversation_id {} \
         group by conversation_id",
        sql::among(tx, 1, "bigint")
    );
    let ids = [sql::json(group.iter().map(|t| t.conversation_id))];
    let mut oldest: HashMap<i64, i64> = HashMap::new();
    for row in tx.query_all_raw(sql::statement(tx, &text, ids)).await? {
        oldest.insert(row.try_get("", "conversation_id")?, row.try_get("", "oldest")?);
    }
    let older = |t: &&OpenTurn| oldest.get(&t.conversation_id) < t.members.iter().min();
    let behind = group.iter().filter(|t| oldest.contains_key(&t.conversation_id)).filter(older);
    Ok(behind.map(|t| t.conversation_id).collect())
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnEnd {
    /// The responder answered.
    Answered,
    /// It did not; a person may ask again.
    Dead,
    /// Nobody is to answer any more (hand-over, pause).
    Dropped,
}

impl TurnEnd {
    fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Dead => "dead",
            Self::Dropped => "dropped",
        }
    }
}

/// Ends a turn; its reply and the deliveries are committed with it.
#[derive(Debug, Clone)]
pub struct CloseTurn {
    /// The turn.
    pub turn_id: Uuid,
    /// Whose turn it is.
    pub place: Arc<Place>,
    /// In which conversation.
    pub conversation_id: i64,
    /// How it ended.
    pub end: TurnEnd,
    /// Why, unless it was answered.
    pub reason: Option<String>,
    /// Calls made.
    pub attempts: i64,
    /// What is to be sent.
    pub reply: Option<Reply>,
    /// Unix milliseconds.
    pub now: i64,
}

impl Write for CloseTurn {
    /// `None`: somebody else has ended it; the reply was not stored.
    type Output = Option<Enqueued>;

    async fn apply(tx: &DatabaseTransaction, _: i64, group: &[Self]) -> Result<Vec<Option<Enqueued>>, DbErr> {
        let rows = group.iter().map(|t| -> [Value; 5] {
            [
                t.turn_id.into(),
                t.end.as_str().into(),
                Value::from(t.reason.clone()),
                t.attempts.into(),
                t.now.into(),
            ]
        });
        let (rows, values) = sql::rows(tx, rows);
        let text = format!(
            "update turns set status = v.column2, reason = v.column3, attempts = turns.attempts + v.column4, \
             answered_at = v.column5, closed_at = v.column5 from {rows} \
             where turns.id = v.column1 and turns.status = 'asking' returning turns.id"
        );
        let mut closed: HashMap<Uuid, bool> = HashMap::new();
        for row in tx.query_all_raw(sql::statement(tx, &text, values)).await? {
            closed.insert(row.try_get("", "id")?, true);
        }
        let replies: Vec<Outgoing<'_>> = group
            .iter()
            .filter(|t| closed.contains_key(&t.turn_id))
            .filter_map(|t| {
                Some(Outgoing {
                    place: &t.place,
                    conversation_id: t.conversation_id,
                    turn_id: Some(t.turn_id),
                    reply: t.reply.as_ref()?,
                    now: t.now,
                })
            })
            .collect();
        let mut enqueued = enqueue(tx, &replies).await?.into_iter();
        Ok(group
            .iter()
            .map(|t| {
                closed.remove(&t.turn_id)?;
                Some(if t.reply.is_some() {
                    enqueued.next().unwrap_or_default()
                } else {
                    Enqueued::default()
                })
            })
            .collect())
    }

    async fn tell(
        tx: &DatabaseTransaction,
        listeners: &Listeners,
        group: &[Self],
        outputs: &[Self::Output],
    ) -> Result<(), DbErr> {
        telling::dead_turns(tx, listeners, group, outputs).await
    }
}

/// A stored turn.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Turn {
    /// UUIDv7.
    pub id: Uuid,
    /// Its conversation.
    pub conversation_id: i64,
    /// Its chatbot.
    pub chatbot_id: String,
    /// JSON: message ids, oldest first.
    pub members: String,
    /// `asking`, `answered`, `dead`, `dropped`.
    pub status: String,
    /// Calls made.
    pub attempts: i64,
    /// Why it is dead or dropped.
    pub reason: Option<String>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub closed_at: Option<i64>,
}

impl Turn {
    /// Its message ids, oldest first.
    pub fn member_ids(&self) -> Vec<i64> {
        serde_json::from_str(&self.members).unwrap_or_default()
    }
}

const TURN: &str =
    "id, conversation_id, chatbot_id, members, status, attempts, reason, created_at, closed_at";

impl Store {
    /// The newest turns of a conversation, oldest first.
    pub async fn last_turns(&self, conversation_id: i64, limit: u64) -> Result<Vec<Turn>, StoreError> {
        let text = format!(
            "select {TURN} from turns where conversation_id = $1 order by created_at desc, id desc limit {limit}"
        );
        let found = Turn::find_by_statement(sql::statement(self.read(), &text, [conversation_id.into()]));
        let mut turns = found.all(self.read()).await?;
        turns.reverse();
        Ok(turns)
    }

    /// The turn of a conversation that was being asked when its instance stopped.
    pub async fn open_turn(&self, conversation_id: i64) -> Result<Option<Turn>, StoreError> {
        let text = format!("select {TURN} from turns where conversation_id = $1 and status = 'asking'");
        let found = Turn::find_by_statement(sql::statement(self.read(), &text, [conversation_id.into()]));
        Ok(found.one(self.read()).await?)
    }

    /// A tenant's turn.
    pub async fn turn(&self, tenant: &str, id: Uuid) -> Result<Option<Turn>, StoreError> {
        let text = format!("select {TURN} from turns where tenant_id = $1 and id = $2");
        let found = Turn::find_by_statement(sql::statement(self.read(), &text, [tenant.into(), id.into()]));
        Ok(found.one(self.read()).await?)
    }

    /// Turns without an answer, newest first.
    pub async fn dead_turns(&self, tenant: &str, before: i64, limit: u64) -> Result<Vec<Turn>, StoreError> {
        self.dead_turn_page(tenant, (before, Uuid::nil()), limit).await
    }

    /// A page of them; `before` is the last one's (time, id) of the page above.
    pub async fn dead_turn_page(
        &self,
        tenant: &str,
        before: (i64, Uuid),
        limit: u64,
    ) -> Result<Vec<Turn>, StoreError> {
        let text = format!(
            "select {TURN} from turns where tenant_id = $1 and status = 'dead' \
             and (created_at < $2 or (created_at = $2 and id < $3)) order by created_at desc, id desc limit {limit}"
        );
        let values: [Value; 3] = [tenant.into(), before.0.into(), before.1.into()];
        let found = Turn::find_by_statement(sql::statement(self.read(), &text, values));
        Ok(found.all(self.read()).await?)
    }

    /// Opens a dead turn again, for another try by a person's wish. False if it is not dead, or another is open.
    pub async fn reopen_turn(&self, tenant: &str, id: Uuid) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let text = "update turns set status = 'asking', reason = null, closed_at = null \
                    where tenant_id = $1 and id = $2 and status = 'dead' and not exists (select 1 from turns o \
                    where o.conversation_id = turns.conversation_id and o.status = 'asking')";
        let done = tx.execute_raw(sql::statement(&tx, text, [tenant.into(), id.into()])).await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }
}
