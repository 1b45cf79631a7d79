//! How a turn begins: who is in it, if anybody may be answered at all.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, FromQueryResult, Value};
use uuid::Uuid;

use super::{TURN, Turn};
use crate::store::event_endpoints::Listeners;
use crate::store::messages::Place;
use crate::store::writer::Write;
use crate::store::{sql, threads};

/// Freezes the members of a turn and takes them out of the line, unless chatbots are to be silent. Whoever is not in line
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
    /// Nobody is, for this reason: somebody else has the thread, or the customer wants silence. The members are where
    /// they were.
    Silent(&'static str),
    /// Somebody older stands in line, put there by another instance; nothing is changed.
    Behind,
}

impl Write for OpenTurn {
    type Output = Opened;

    fn account(&self) -> Option<i64> {
        Some(self.place.account_id)
    }

    async fn apply(
        tx: &DatabaseTransaction,
        _: (i64, &Listeners),
        group: &[Self],
    ) -> Result<Vec<Opened>, DbErr> {
        let now = group.iter().map(|t| t.now).max().unwrap_or_default();
        let silent = threads::silent(tx, group.iter().map(|t| t.thread_id), now).await?;
        let behind = behind(tx, group).await?;
        let free = |t: &&Self| !silent.contains_key(&t.thread_id) && !behind.contains(&t.conversation_id);
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
            outputs.push(if let Some(why) = silent.get(&t.thread_id) {
                Opened::Silent(why)
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
