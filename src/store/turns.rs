//! Turns: what a responder is asked, frozen before it is asked; and its answer, committed together with what is to be
//! sent.

mod open;

use std::collections::HashMap;
use std::sync::Arc;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, Value};
use uuid::Uuid;

use super::changes::Change;
use super::event_endpoints::Listeners;
use super::messages::Place;
use super::replies::{Enqueued, Outgoing, Reply, enqueue};
use super::threads;
use super::writer::Write;
use super::{Store, StoreError, sql, telling};

pub use open::{OpenTurn, Opened};

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
    /// Its thread.
    pub thread_id: i64,
    /// How it ended.
    pub end: TurnEnd,
    /// Why, unless it was answered.
    pub reason: Option<String>,
    /// Calls made.
    pub attempts: i64,
    /// What is to be sent, unless somebody took the thread meanwhile, or the customer wants silence: then the turn is
    /// dropped.
    pub reply: Option<Reply>,
    /// Whether a person is to have the thread after this answer.
    pub hand_over: bool,
    /// Unix milliseconds.
    pub now: i64,
}

impl Write for CloseTurn {
    /// `None`: somebody else has ended it, or it was dropped; the reply was not stored.
    type Output = Option<Enqueued>;

    fn account(&self) -> Option<i64> {
        Some(self.place.account_id)
    }

    async fn apply(
        tx: &DatabaseTransaction,
        _: (i64, &Listeners),
        group: &[Self],
    ) -> Result<Vec<Option<Enqueued>>, DbErr> {
        let now = group.iter().map(|t| t.now).max().unwrap_or_default();
        let silent = threads::interrupted(tx, group.iter().map(|t| t.thread_id), now).await?;
        let silence = |t: &Self| silent.get(&t.thread_id).copied();
        let rows = group.iter().map(|t| -> [Value; 5] {
            let (end, reason) = match silence(t) {
                Some(why) => (TurnEnd::Dropped, Some(why.to_owned())),
                None => (t.end, t.reason.clone()),
            };
            [t.turn_id.into(), end.as_str().into(), reason.into(), t.attempts.into(), t.now.into()]
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
        for t in group.iter().filter(|t| silence(t).is_some()) {
            closed.remove(&t.turn_id);
        }
        for t in group.iter().filter(|t| t.hand_over && closed.contains_key(&t.turn_id)) {
            threads::hand_over_by_responder(tx, t.thread_id, t.now).await?;
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

    fn changed<'a>(group: &'a [Self], _: &'a [Self::Output]) -> impl Iterator<Item = Change<'a>> {
        group.iter().map(|turn| Change::Conversation(turn.conversation_id))
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
                    where o.conversation_id = turns.conversation_id and o.status = 'asking') \
                    returning conversation_id";
        let row = tx.query_one_raw(sql::statement(&tx, text, [tenant.into(), id.into()])).await?;
        let conversation: Option<i64> = row.map(|row| row.try_get("", "conversation_id")).transpose()?;
        tx.commit().await?;
        self.changes().note(conversation.map(Change::Conversation));
        Ok(conversation.is_some())
    }
}
