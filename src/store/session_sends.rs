//! What leaves through a session: the next delivery of its line, and what left, for its caps.

use sea_orm::{ConnectionTrait, FromQueryResult, Value};

use super::deliveries::Delivery;
use super::sessions::{key_of, session_of};
use super::{Store, StoreError, sql};

/// The next delivery of a session, and what its pace depends on.
#[derive(Debug, Clone)]
pub struct Next {
    /// It.
    pub delivery: Delivery,
    /// The contact's last message, for the read receipt.
    pub last_wamid: Option<String>,
    /// Whether the contact has neither written nor been written to.
    pub new_contact: bool,
    /// Whether the contact wants nothing more that the business starts.
    pub opted_out: bool,
}

/// What the business started through a session today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromQueryResult)]
pub struct Sent {
    /// Messages.
    pub messages: i64,
    /// Of those, to contacts nobody had talked to.
    pub new_contacts: i64,
}

/// The open deliveries, in the words of their index: without them SQLite would read all that were ever sent.
const OPEN: &str = "status in ('queued', 'sending') and status";
/// The accounts a session has, or had.
const ACCOUNTS: &str = "(select id from whatsapp_accounts where phone_number_id = $1)";

impl Store {
    /// What a session sends next: an answer (of chatbot or person) before what the business started, each in its
    /// order; a later one of a conversation never before an earlier one that waits for its next try.
    pub async fn next_session_delivery(
        &self,
        session: i64,
        started: bool,
        now: i64,
    ) -> Result<Option<Next>, StoreError> {
        let author = if started { "=" } else { "<>" };
        let text = format!(
            "select d.id from deliveries d join messages m on m.id = d.message_id \
             where d.status in ('queued', 'sending') and d.status = 'queued' and d.whatsapp_account_id in {ACCOUNTS} \
             and m.author {author} 'api' and d.next_at <= $2 \
             and not exists (select 1 from deliveries o join messages om on om.id = o.message_id \
                 where o.conversation_id = d.conversation_id and o.status in ('queued', 'sending') \
                 and o.status = 'queued' and o.id < d.id and o.next_at > $2 and om.author {author} 'api') \
             order by d.id + 0 limit 1"
        );
        let values: [Value; 2] = [key_of(session).into(), now.into()];
        let row = self.read().query_one_raw(sql::statement(self.read(), &text, values)).await?;
        let Some(row) = row else { return Ok(None) };
        let Some(delivery) = self.deliveries(&[row.try_get("", "id")?]).await?.pop() else { return Ok(None) };
        let text = "select (select wamid from messages where conversation_id = $1 and direction = 'in' \
                        order by id desc limit 1) as last_wamid, \
                    (exists (select 1 from messages where conversation_id = $1 and direction = 'in') \
                     or exists (select 1 from deliveries d join messages m on m.id = d.message_id \
                        where m.conversation_id = $1 and d.sent_at is not null)) as known, \
                    exists (select 1 from whatsapp_conversations c join threads t on t.id = c.thread_id \
                        where c.id = $1 and t.opted_out_at is not null) as opted_out";
        let row = self
            .read()
            .query_one_raw(sql::statement(self.read(), text, [delivery.conversation_id.into()]))
            .await?;
        let Some(row) = row else { return Ok(None) };
        let known: bool = row.try_get("", "known")?;
        let (last_wamid, opted_out) = (row.try_get("", "last_wamid")?, row.try_get("", "opted_out")?);
        Ok(Some(Next { delivery, last_wamid, new_contact: !known, opted_out }))
    }

    /// How much waits in a session's line: answers, and what the business started.
    pub async fn session_backlog(&self, session: i64) -> Result<(i64, i64), StoreError> {
        let text = format!(
            "select coalesce(sum(case when m.author = 'api' then 0 else 1 end), 0) as answers, \
             coalesce(sum(case when m.author = 'api' then 1 else 0 end), 0) as started \
             from deliveries d join messages m on m.id = d.message_id \
             where d.status = 'queued' and d.whatsapp_account_id in {ACCOUNTS}"
        );
        let row =
            self.read().query_one_raw(sql::statement(self.read(), &text, [key_of(session).into()])).await?;
        let Some(row) = row else { return Ok((0, 0)) };
        Ok((row.try_get("", "answers")?, row.try_get("", "started")?))
    }

    /// The sessions with something to send now: for whoever missed the news of it.
    pub async fn sessions_with_work(&self, now: i64) -> Result<Vec<i64>, StoreError> {
        let text = "select distinct a.phone_number_id as number from deliveries d \
                    join whatsapp_accounts a on a.id = d.whatsapp_account_id \
                    where d.status in ('queued', 'sending') and d.status = 'queued' and d.next_at <= $1 \
                    and a.transport = 'session'";
        let rows = self.read().query_all_raw(sql::statement(self.read(), text, [now.into()])).await?;
        let numbers = rows.iter().map(|row| row.try_get("", "number"));
        let numbers = numbers.collect::<Result<Vec<String>, _>>()?;
        Ok(numbers.iter().filter_map(|number| session_of(number)).collect())
    }

    /// What a session's former owner was sending when it stopped: nobody knows whether it went out.
    pub async fn interrupted_session(&self, session: i64, now: i64) -> Result<u64, StoreError> {
        let tx = self.begin_fenced().await?;
        let values: [Value; 2] = [key_of(session).into(), now.into()];
        let text = format!(
            "update attempts set outcome = 'unknown', finished_at = $2, detail = 'interrupted' \
             where finished_at is null and delivery_id in \
             (select id from deliveries where {OPEN} = 'sending' and whatsapp_account_id in {ACCOUNTS})"
        );
        tx.execute_raw(sql::statement(&tx, &text, values)).await?;
        let text = format!(
            "update deliveries set status = 'unknown', reason = 'interrupted' \
             where {OPEN} = 'sending' and whatsapp_account_id in {ACCOUNTS}"
        );
        let done = tx.execute_raw(sql::statement(&tx, &text, [key_of(session).into()])).await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// Says of everything that waits in a session's line (or only of what the business started) why it waits; no
    /// reason: nothing holds it.
    pub async fn hold_session(
        &self,
        session: i64,
        started_only: bool,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let which = if started_only {
            "and message_id in (select id from messages where author = 'api')"
        } else {
            ""
        };
        let text = format!(
            "update deliveries set reason = $2 where {OPEN} = 'queued' and whatsapp_account_id in {ACCOUNTS} \
             and coalesce(reason, '') <> coalesce($2, '') {which}"
        );
        let values: [Value; 2] = [key_of(session).into(), reason.into()];
        tx.execute_raw(sql::statement(&tx, &text, values)).await?;
        Ok(tx.commit().await?)
    }

    /// Notes that something the business started has left, and when the next may.
    pub async fn note_session_send(
        &self,
        session: i64,
        delivery: i64,
        new_contact: bool,
        next_send_at: i64,
        now: i64,
    ) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "insert into session_sends (delivery_id, session_id, at, new_contact) values ($1, $2, $3, $4) \
                    on conflict (delivery_id) do nothing";
        let values: [Value; 4] = [delivery.into(), session.into(), now.into(), new_contact.into()];
        tx.execute_raw(sql::statement(&tx, text, values)).await?;
        let text = "update whatsapp_sessions set next_send_at = $2 where id = $1";
        tx.execute_raw(sql::statement(&tx, text, [session.into(), next_send_at.into()])).await?;
        Ok(tx.commit().await?)
    }

    /// What the business started through a session since `since`.
    pub async fn session_sent(&self, session: i64, since: i64) -> Result<Sent, StoreError> {
        let text = "select count(*) as messages, \
                    coalesce(sum(case when new_contact then 1 else 0 end), 0) as new_contacts \
                    from session_sends where session_id = $1 and at >= $2";
        let values: [Value; 2] = [session.into(), since.into()];
        let found =
            Sent::find_by_statement(sql::statement(self.read(), text, values)).one(self.read()).await?;
        Ok(found.unwrap_or_default())
    }

    /// Forgets what left before `before`.
    pub async fn sweep_session_sends(&self, before: i64) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        tx.execute_raw(sql::statement(&tx, "delete from session_sends where at < $1", [before.into()]))
            .await?;
        Ok(tx.commit().await?)
    }
}
