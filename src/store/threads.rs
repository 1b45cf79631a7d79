//! Who has a thread (a contact on a number): its chatbots, a person, somebody else at Meta, or nobody because the
//! customer wants silence.
//!
//! Times are the writer's, by Meta's clock where it tells one: what comes late must not undo what came after it.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Value};

use super::changes::Change;
use super::contacts::{self, Scope};
use super::messages::Place;
use super::{Store, StoreError, sql};
use crate::message::Sender;

/// A person keeps a thread this long after their last word, in milliseconds.
pub const HAND_OVER: i64 = 86_400_000;
/// Meta's clock knows whole seconds only.
const SECOND: i64 = 1_000;
/// Another of Meta's routing has the thread; only its routing gives it back.
pub const CONTROL_TAKEN: &str = "control_taken";

/// Which deliveries are for customers who want no messages.
pub(super) const OPTED_OUT: &str = "exists (select 1 from whatsapp_conversations c join threads t \
    on t.id = c.thread_id where c.id = deliveries.conversation_id and t.opted_out_at is not null)";

/// What happens to a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Somebody takes it, for this reason.
    HandOver(&'static str),
    /// Meta's routing gives it back to us.
    Passed,
    /// The customer wants no messages.
    OptOut,
    /// The customer wants messages again.
    OptIn,
}

/// Who has a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holder {
    /// Somebody else has it until then, Unix milliseconds.
    pub hand_over_until: Option<i64>,
    /// The customer wants no messages since then, Unix milliseconds.
    pub opted_out_at: Option<i64>,
}

impl Holder {
    /// Why chatbots are silent at `now`, if they are.
    pub fn silence(self, now: i64) -> Option<&'static str> {
        match self {
            Self { opted_out_at: Some(_), .. } => Some("opted_out"),
            Self { hand_over_until: Some(until), .. } if until > now => Some("handed_over"),
            _ => None,
        }
    }
}

/// Applies what happened at `at` to one thread.
pub(super) async fn apply(
    tx: &DatabaseTransaction,
    thread: i64,
    control: Control,
    at: i64,
    now: i64,
) -> Result<(), DbErr> {
    let done = match control {
        Control::HandOver(reason) => hand_over(tx, thread, reason, at, at + HAND_OVER, now).await?,
        Control::Passed => {
            // It may come before what it ends, which is nothing new then.
            let ends = "hand_over_reason = $3 and coalesce(handed_over_at, 0) <= $2";
            let text = format!(
                "update threads set hand_over_until = case when {ends} then null else hand_over_until end, \
                 hand_over_reason = case when {ends} then null else hand_over_reason end, \
                 passed_at = case when passed_at > $2 then passed_at else $2 end where id = $1"
            );
            let values: [Value; 3] = [thread.into(), at.into(), CONTROL_TAKEN.into()];
            tx.execute_raw(sql::statement(tx, &text, values)).await?;
            return Ok(());
        }
        Control::OptOut => {
            let text =
                "update threads set opted_out_at = $2 where id = $1 and coalesce(opted_in_at, 0) <= $2";
            tx.execute_raw(sql::statement(tx, text, [thread.into(), at.into()])).await?.rows_affected()
        }
        Control::OptIn => {
            let text = "update threads set opted_out_at = null, opted_in_at = $2 \
                        where id = $1 and coalesce(opted_out_at, 0) <= $2";
            tx.execute_raw(sql::statement(tx, text, [thread.into(), at.into()])).await?;
            return Ok(());
        }
    };
    if done > 0 {
        let why = if control == Control::OptOut { "opted_out" } else { "handed_over" };
        withdraw(tx, thread, why).await?;
    }
    Ok(())
}

/// Extends, never shortens. Meta's routing does not take a thread from the person who has it.
async fn hand_over(
    tx: &DatabaseTransaction,
    thread: i64,
    reason: &str,
    at: i64,
    until: i64,
    now: i64,
) -> Result<u64, DbErr> {
    if until <= now {
        return Ok(0);
    }
    let text = "update threads set handed_over_at = $2, \
        hand_over_reason = case when $4 = 'control_taken' and hand_over_until > $5 \
            then coalesce(hand_over_reason, $4) else $4 end, \
        hand_over_until = case when hand_over_until > $3 then hand_over_until else $3 end \
        where id = $1 and coalesce(handed_back_at, 0) < $6 \
        and ($4 <> 'control_taken' or coalesce(passed_at, 0) < $6)";
    let values: [Value; 6] =
        [thread.into(), at.into(), until.into(), reason.into(), now.into(), (at + SECOND).into()];
    Ok(tx.execute_raw(sql::statement(tx, text, values)).await?.rows_affected())
}

/// What was about to be said in the thread is not said any more: by its chatbots; after a STOP by nobody.
async fn withdraw(tx: &DatabaseTransaction, thread: i64, why: &str) -> Result<(), DbErr> {
    let text = "update deliveries set status = 'cancelled', reason = $2 where status = 'queued' \
                and conversation_id in (select id from whatsapp_conversations where thread_id = $1) \
                and ($2 = 'opted_out' or exists (select 1 from messages m where m.id = deliveries.message_id \
                    and m.author in ('chatbot', 'fallback')))";
    tx.execute_raw(sql::statement(tx, text, [thread.into(), why.into()])).await?;
    Ok(())
}

/// The thread of somebody with a number, if they ever wrote to it.
pub(super) async fn find(
    tx: &DatabaseTransaction,
    scope: Scope<'_>,
    customer: &Sender,
    at: i64,
    phone_number_id: &str,
) -> Result<Option<i64>, DbErr> {
    let Some(contact) = contacts::find_person(tx, scope, customer, at).await? else { return Ok(None) };
    let text = "select id from threads where contact_id = $1 and phone_number_id = $2";
    let row = tx.query_one_raw(sql::statement(tx, text, [contact.into(), phone_number_id.into()])).await?;
    row.map(|row| row.try_get("", "id")).transpose()
}

/// Of these threads, those whose chatbots are to be silent at `now`, and why. Never from memory: a thread is shared
/// with the number's other chatbots, and with other instances.
pub(super) async fn silent(
    tx: &DatabaseTransaction,
    threads: impl Iterator<Item = i64>,
    now: i64,
) -> Result<HashMap<i64, &'static str>, DbErr> {
    silent_where(tx, "hand_over_until > $1", threads, now).await
}

/// Of these threads, those where a chatbot that has thought already is not to speak any more. Another chatbot's own
/// hand-over interrupts nobody.
pub(super) async fn interrupted(
    tx: &DatabaseTransaction,
    threads: impl Iterator<Item = i64>,
    now: i64,
) -> Result<HashMap<i64, &'static str>, DbErr> {
    silent_where(tx, "(hand_over_until > $1 and hand_over_reason <> 'responder')", threads, now).await
}

async fn silent_where(
    tx: &DatabaseTransaction,
    handed_over: &str,
    threads: impl Iterator<Item = i64>,
    now: i64,
) -> Result<HashMap<i64, &'static str>, DbErr> {
    let text = format!(
        "select id, hand_over_until, opted_out_at from threads \
         where (opted_out_at is not null or {handed_over}) and id {}",
        sql::among(tx, 2, "bigint")
    );
    let mut silent = HashMap::new();
    for row in tx.query_all_raw(sql::statement(tx, &text, [now.into(), sql::json(threads)])).await? {
        let holder = Holder {
            hand_over_until: row.try_get("", "hand_over_until")?,
            opted_out_at: row.try_get("", "opted_out_at")?,
        };
        if let Some(why) = holder.silence(now) {
            silent.insert(row.try_get("", "id")?, why);
        }
    }
    Ok(silent)
}

/// A responder's own wish: its answer is still sent, then a person has the thread.
pub(super) async fn hand_over_by_responder(
    tx: &DatabaseTransaction,
    thread: i64,
    now: i64,
) -> Result<(), DbErr> {
    hand_over(tx, thread, "responder", now, now + HAND_OVER, now).await.map(drop)
}

impl Store {
    /// The thread of somebody with a number, if they ever met: nothing is made by asking.
    pub async fn thread_of(
        &self,
        place: &Place,
        person: &Sender,
        now: i64,
    ) -> Result<Option<i64>, StoreError> {
        let scope = Scope { tenant: &place.tenant_id, scope: &place.scope };
        let contact = contacts::find_person(self.read(), scope, person, now).await?;
        let Some(contact) = contact else { return Ok(None) };
        let text = "select id from threads where contact_id = $1 and phone_number_id = $2";
        let values: [Value; 2] = [contact.into(), place.phone_number_id.as_str().into()];
        let row = self.read().query_one_raw(sql::statement(self.read(), text, values)).await?;
        Ok(row.map(|row| row.try_get("", "id")).transpose()?)
    }

    /// Who has a thread.
    pub async fn holder(&self, thread_id: i64) -> Result<Holder, StoreError> {
        let text = "select hand_over_until, opted_out_at from threads where id = $1";
        let row = self.read().query_one_raw(sql::statement(self.read(), text, [thread_id.into()])).await?;
        let Some(row) = row else { return Ok(Holder::default()) };
        Ok(Holder {
            hand_over_until: row.try_get("", "hand_over_until")?,
            opted_out_at: row.try_get("", "opted_out_at")?,
        })
    }

    /// A person takes the thread until `until`.
    pub async fn hand_over(&self, thread_id: i64, until: i64, reason: &str) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "update threads set hand_over_until = $2, hand_over_reason = $3, handed_over_at = $4 \
                    where id = $1";
        let values: [Value; 4] = [thread_id.into(), until.into(), reason.into(), (until - HAND_OVER).into()];
        tx.execute_raw(sql::statement(&tx, text, values)).await?;
        withdraw(&tx, thread_id, "handed_over").await?;
        tx.commit().await?;
        self.changes().note([Change::Thread(thread_id)]);
        Ok(())
    }

    /// The person gives the thread back to its chatbots.
    pub async fn hand_back(&self, thread_id: i64, now: i64) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "update threads set hand_over_until = null, hand_over_reason = null, handed_back_at = $2 \
                    where id = $1";
        tx.execute_raw(sql::statement(&tx, text, [thread_id.into(), now.into()])).await?;
        tx.commit().await?;
        self.changes().note([Change::Thread(thread_id)]);
        Ok(())
    }

    /// All conversations of a thread: those of every account on its number.
    pub async fn conversations_of_thread(&self, thread_id: i64) -> Result<Vec<i64>, StoreError> {
        let text = "select id from whatsapp_conversations where thread_id = $1";
        let rows = self.read().query_all_raw(sql::statement(self.read(), text, [thread_id.into()])).await?;
        Ok(rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, _>>()?)
    }
}
