//! Erasing a contact: its names, what was said, and every copy of it. What is left only counts.
//!
//! First, in one transaction, nobody is known by its names any more and nothing of it is under way, so that whoever
//! writes from then on is somebody new. Then its traces go, in pieces, between which others write; what they are known
//! by stands in `contacts.erasing` until the last is gone, so that whatever stops an erasure, it is ended later. Marks
//! keep what is delivered once more from being answered again.

use std::collections::{BTreeMap, HashSet};

use sea_orm::{ConnectionTrait, DatabaseTransaction, Value};
use serde::{Deserialize, Serialize};

use super::audit::{Audit, audit};
use super::retention::mark;
use super::{Store, StoreError, contacts, sql, strip};
use crate::message::Recipient;

/// Events looked through at once.
const LOOK: i64 = 2_000;
/// Rows changed in one transaction.
const PIECE: usize = 200;
/// A name that was given up still means the contact for so long, in milliseconds: what tells of it comes a little late.
const LATE: i64 = 60_000;

/// What an erasure came to.
#[derive(Debug, Clone, Default)]
pub struct Erased {
    /// Messages whose words are gone.
    pub messages: u64,
    /// Stored events whose bodies are gone, or hold only what others said.
    pub events: u64,
    /// The conversations it was in: whoever has them in memory is to forget them.
    pub conversations: Vec<i64>,
}

/// What raw events are searched for.
#[derive(Default, Serialize, Deserialize)]
struct Traces {
    /// The numbers the contact talked to.
    numbers: Vec<String>,
    /// What it is called or was called, and until when, Unix milliseconds: a phone may be somebody else's since.
    names: BTreeMap<String, i64>,
}

impl Traces {
    fn add(&mut self, name: String, until: i64) {
        let known = self.names.entry(name).or_insert(until);
        *known = until.max(*known);
    }

    fn names_at(&self, at: i64) -> HashSet<String> {
        self.names.iter().filter(|(_, until)| at <= **until).map(|(name, _)| name.clone()).collect()
    }
}

impl Store {
    /// Erases one of a tenant's contacts. `None` when there is none. Done again after a failure, it ends what was begun.
    pub async fn erase_contact(
        &self,
        tenant: &str,
        id: i64,
        line: &Audit<'_>,
    ) -> Result<Option<Erased>, StoreError> {
        let Some(traces) = self.begin_erasure(tenant, id, line).await? else { return Ok(None) };
        self.end_erasure(id, &traces, line.now).await.map(Some)
    }

    /// Ends the erasures that something stopped; how many. One that fails keeps no other from its end.
    pub async fn end_erasures(&self, now: i64) -> Result<usize, StoreError> {
        let text = "select id, erasing from contacts where erasing is not null order by id";
        let rows = self.read().query_all_raw(sql::statement(self.read(), text, [])).await?;
        let mut ended = 0;
        for row in &rows {
            let (id, traces): (i64, String) = (row.try_get("", "id")?, row.try_get("", "erasing")?);
            let done = match parsed(&traces) {
                Ok(traces) => self.end_erasure(id, &traces, now).await.map(drop),
                Err(error) => Err(error),
            };
            match done {
                Ok(()) => ended += 1,
                Err(error) => tracing::error!(contact = id, %error, "an erasure cannot be ended"),
            }
        }
        Ok(ended)
    }

    /// From here on the contact is nobody. `None`: there is none, or it is erased already.
    async fn begin_erasure(
        &self,
        tenant: &str,
        id: i64,
        line: &Audit<'_>,
    ) -> Result<Option<Traces>, StoreError> {
        let addresses = self.addresses(id).await?;
        let tx = self.begin().await?;
        // Whoever is just finding it for a new message is done before, or finds it gone.
        contacts::lock(&tx).await?;
        let text = "update contacts set name = null, erased_at = $3 where tenant_id = $1 and id = $2 \
                    and erased_at is null returning scope";
        let values: [Value; 3] = [tenant.into(), id.into(), line.now.into()];
        let Some(row) = tx.query_one_raw(sql::statement(&tx, text, values)).await? else {
            let text =
                "select erasing from contacts where tenant_id = $1 and id = $2 and erasing is not null";
            let row = tx.query_one_raw(sql::statement(&tx, text, [tenant.into(), id.into()])).await?;
            return row.map(|row| parsed(&row.try_get::<String>("", "erasing")?)).transpose();
        };
        let mut traces = Traces::default();
        for (name, until) in addresses {
            traces.add(name, until + LATE);
        }
        let text = "select phone_number_id from threads where contact_id = $1";
        for row in tx.query_all_raw(sql::statement(&tx, text, [id.into()])).await? {
            traces.numbers.push(row.try_get("", "phone_number_id")?);
        }
        let text = "delete from contact_aliases where contact_id = $1 returning value";
        for row in tx.query_all_raw(sql::statement(&tx, text, [id.into()])).await? {
            traces.names.insert(row.try_get("", "value")?, line.now);
        }
        forget_renames(&tx, (tenant, &row.try_get::<String>("", "scope")?), &mut traces).await?;
        let theirs = "conversation_id in (select id from whatsapp_conversations where contact_id = $1)";
        let now = line.now;
        // What is under way comes to nothing: it was for somebody who is not known any more.
        for text in [
            format!("delete from pending_messages where {theirs}"),
            format!(
                "update turns set status = 'dropped', closed_at = {now} where status = 'asking' and {theirs}"
            ),
            format!(
                "update deliveries set status = 'cancelled', reason = 'erased', recipient = 'null' \
                 where status in ('queued', 'sending') and {theirs}"
            ),
            format!(
                "update whatsapp_conversations set recipient = 'null', \
                 unique_conv_id = 'erased_' || cast(id as text), erased_at = {now} where contact_id = $1"
            ),
        ] {
            tx.execute_raw(sql::statement(&tx, &text, [id.into()])).await?;
        }
        let kept = serde_json::to_string(&traces).map_err(|e| StoreError::Query(e.to_string()))?;
        let text = "update contacts set erasing = $2 where id = $1";
        tx.execute_raw(sql::statement(&tx, text, [id.into(), kept.into()])).await?;
        audit(&tx, line).await?;
        tx.commit().await?;
        Ok(Some(traces))
    }

    /// Where it was written to, and when something was last heard of that.
    async fn addresses(&self, contact: i64) -> Result<Vec<(String, i64)>, StoreError> {
        let text = "select d.recipient, max(coalesce(d.read_at, d.delivered_at, d.sent_at, d.created_at)) as until \
                    from whatsapp_conversations c join messages m on m.conversation_id = c.id \
                    join deliveries d on d.message_id = m.id where c.contact_id = $1 group by d.recipient";
        let rows = self.read().query_all_raw(sql::statement(self.read(), text, [contact.into()])).await?;
        let mut found = Vec::new();
        for row in rows {
            let address: Option<Recipient> =
                serde_json::from_str(&row.try_get::<String>("", "recipient")?).unwrap_or_default();
            let name = address.map(|(Recipient::Phone(name) | Recipient::UserId(name))| name);
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                found.push((name, row.try_get("", "until")?));
            }
        }
        Ok(found)
    }

    async fn end_erasure(&self, id: i64, traces: &Traces, now: i64) -> Result<Erased, StoreError> {
        let text = "select id from whatsapp_conversations where contact_id = $1";
        let rows = self.read().query_all_raw(sql::statement(self.read(), text, [id.into()])).await?;
        let conversations = rows.iter().map(|row| row.try_get("", "id")).collect::<Result<Vec<i64>, _>>()?;
        let mut erased = Erased { conversations, ..Erased::default() };
        let mut after = Some(0);
        while let Some(from) = after {
            after = self.erase_messages(&mut erased, from, traces, now).await?;
        }
        self.erase_beside(&erased.conversations).await?;
        erased.events += self.erase_events(traces).await?;
        let tx = self.begin().await?;
        let text = "update contacts set erasing = null where id = $1";
        tx.execute_raw(sql::statement(&tx, text, [id.into()])).await?;
        tx.commit().await?;
        Ok(erased)
    }

    /// The words of some messages from one on, and all that hangs on them; where the next piece begins.
    async fn erase_messages(
        &self,
        erased: &mut Erased,
        after: i64,
        traces: &Traces,
        now: i64,
    ) -> Result<Option<i64>, StoreError> {
        let tx = self.begin().await?;
        let text = format!(
            "select id, whatsapp_account_id, wamid, event_id from messages where id > $2 and conversation_id {} \
             order by id limit {PIECE}",
            sql::among(&tx, 1, "bigint")
        );
        let (mut ids, mut marks, mut events) = (Vec::<i64>::new(), Vec::<[Value; 3]>::new(), Vec::new());
        let mut wamids = HashSet::new();
        let values = [sql::json(&erased.conversations), after.into()];
        for row in tx.query_all_raw(sql::statement(&tx, &text, values)).await? {
            ids.push(row.try_get("", "id")?);
            events.extend(row.try_get::<Option<i64>>("", "event_id")?);
            if let Some(wamid) = row.try_get::<Option<String>>("", "wamid")? {
                wamids.insert(wamid.clone());
                let account: i64 = row.try_get("", "whatsapp_account_id")?;
                marks.push([account.into(), wamid.into(), now.into()]);
            }
        }
        mark(&tx, marks).await?;
        erased.events += strip_events(&tx, &events, traces, &wamids).await?;
        let theirs = format!("message_id {}", sql::among(&tx, 1, "bigint"));
        for text in [
            format!(
                "update attempts set wamid = null, detail = null where delivery_id in \
                 (select id from deliveries where {theirs})"
            ),
            format!(
                "delete from delivery_participants where delivery_id in (select id from deliveries where {theirs})"
            ),
            // Nor is anything tried again.
            format!(
                "update deliveries set status = 'cancelled', reason = 'erased' \
                 where status in ('queued', 'sending', 'failed', 'unknown', 'dead') and {theirs}"
            ),
            format!(
                "update deliveries set recipient = 'null', text = '', content = null, wamid = null, detail = null \
                 where {theirs}"
            ),
            format!("delete from media where {theirs}"),
        ] {
            tx.execute_raw(sql::statement(&tx, &text, [sql::json(&ids)])).await?;
        }
        let text =
            format!("update messages set text = '', wamid = null where id {}", sql::among(&tx, 1, "bigint"));
        erased.messages +=
            tx.execute_raw(sql::statement(&tx, &text, [sql::json(&ids)])).await?.rows_affected();
        tx.commit().await?;
        Ok(ids.last().copied())
    }

    /// What stands beside the messages: the reasons of turns, and what tenants' own systems were told.
    async fn erase_beside(&self, conversations: &[i64]) -> Result<(), StoreError> {
        let among = sql::among(self.read(), 1, "bigint");
        let word = match self.is_shared() {
            true => "split_part(reason, ':', 1)",
            false => "substr(reason, 1, instr(reason || ':', ':') - 1)",
        };
        for text in [
            format!(
                "update turns set status = case when status = 'dead' then 'dropped' else status end, reason = {word} \
                 where id in (select id from turns where conversation_id {among} \
                     and (status = 'dead' or reason like '%:%') limit {PIECE})"
            ),
            format!(
                "delete from event_deliveries where id in \
                 (select id from event_deliveries where conversation_id {among} limit {PIECE})"
            ),
        ] {
            self.repeat(&text, [sql::json(conversations)]).await?;
        }
        Ok(())
    }

    /// Takes the traces out of all events, but for those that still wait to be read: they bring somebody new.
    async fn erase_events(&self, traces: &Traces) -> Result<u64, StoreError> {
        let (mut erased, mut after) = (0, 0);
        let last = self.last_event_id().await?;
        while after < last && !traces.names.is_empty() {
            let upto = (after + LOOK).min(last);
            let db = self.read();
            let holds: Vec<String> = traces
                .names
                .values()
                .enumerate()
                .map(|(n, until)| {
                    format!("(e.received_at <= {until} and {})", sql::holds(db, "e.raw", n + 4))
                })
                .collect();
            let text = format!(
                "select e.id from webhook_events e where e.id > $1 and e.id <= $2 \
                 and (e.phone_number_id is null or e.phone_number_id {}) and ({}) and not exists \
                 (select 1 from event_states s where s.event_id = e.id and s.state = 'received')",
                sql::among(db, 3, "text"),
                holds.join(" or ")
            );
            let values: [Value; 3] = [after.into(), upto.into(), sql::json(&traces.numbers)];
            // As they stand in JSON.
            let names =
                traces.names.keys().map(|name| serde_json::json!(name).to_string().into_bytes().into());
            let values = values.into_iter().chain(names);
            let rows = db.query_all_raw(sql::statement(db, &text, values)).await?;
            let ids = rows.iter().map(|row| row.try_get("", "id")).collect::<Result<Vec<i64>, _>>()?;
            for ids in ids.chunks(PIECE) {
                let tx = self.begin().await?;
                erased += strip_events(&tx, ids, traces, &HashSet::new()).await?;
                tx.commit().await?;
            }
            after = upto;
        }
        Ok(erased)
    }
}

fn parsed(traces: &str) -> Result<Traces, StoreError> {
    serde_json::from_str(traces).map_err(|e| StoreError::Query(e.to_string()))
}

/// Nobody is known to have gone by these names; those from before are traces too, of the time until they were changed.
async fn forget_renames(
    tx: &DatabaseTransaction,
    (tenant, scope): (&str, &str),
    traces: &mut Traces,
) -> Result<(), StoreError> {
    let text = format!(
        "delete from contact_renames where tenant_id = $1 and scope = $2 and current {} returning previous, at",
        sql::among(tx, 3, "text")
    );
    let mut now: Vec<String> = traces.names.keys().cloned().collect();
    while !now.is_empty() {
        let values: [Value; 3] = [tenant.into(), scope.into(), sql::json(&now)];
        now.clear();
        for row in tx.query_all_raw(sql::statement(tx, &text, values)).await? {
            let previous: String = row.try_get("", "previous")?;
            traces.add(previous.clone(), row.try_get::<i64>("", "at")? + LATE);
            now.push(previous);
        }
    }
    Ok(())
}

/// Somebody goes from their bodies; those without anybody else's words go altogether.
async fn strip_events(
    tx: &DatabaseTransaction,
    ids: &[i64],
    traces: &Traces,
    wamids: &HashSet<String>,
) -> Result<u64, StoreError> {
    let (mut stripped, mut empty) = (0, Vec::new());
    let text =
        format!("select id, raw, received_at from webhook_events where id {}", sql::among(tx, 1, "bigint"));
    for row in tx.query_all_raw(sql::statement(tx, &text, [sql::json(ids)])).await? {
        let id: i64 = row.try_get("", "id")?;
        let mut names = traces.names_at(row.try_get("", "received_at")?);
        names.extend(wamids.iter().cloned());
        let Some(raw) = strip::without(&row.try_get::<Vec<u8>>("", "raw")?, &names) else {
            empty.push(id);
            continue;
        };
        let text = "update webhook_events set raw = $1 where id = $2";
        stripped += tx.execute_raw(sql::statement(tx, text, [raw.into(), id.into()])).await?.rows_affected();
    }
    Ok(stripped + empty_events(tx, &empty).await?)
}

/// Their bodies go; their digests stay, so that the same body is not stored once more.
async fn empty_events(tx: &DatabaseTransaction, ids: &[i64]) -> Result<u64, StoreError> {
    let among = sql::among(tx, 2, "bigint");
    let text = format!("update webhook_events set raw = $1 where raw <> $1 and id {among}");
    let values: [Value; 2] = [b"{}".to_vec().into(), sql::json(ids)];
    let emptied = tx.execute_raw(sql::statement(tx, &text, values)).await?.rows_affected();
    let text = format!(
        "delete from event_states where state <> 'received' and event_id {}",
        sql::among(tx, 1, "bigint")
    );
    tx.execute_raw(sql::statement(tx, &text, [sql::json(ids)])).await?;
    Ok(emptied)
}
