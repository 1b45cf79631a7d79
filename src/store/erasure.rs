//! Erasing a contact: its names, what was said, and every copy of it. What is left only counts.
//!
//! Marks keep what is delivered once more from being answered again; whoever writes again is somebody new.

use std::collections::HashSet;

use sea_orm::{ConnectionTrait, DatabaseTransaction, Value};

use super::audit::{Audit, audit};
use super::retention::mark;
use super::{Store, StoreError, sql, strip};

/// Events looked through at once.
const LOOK: i64 = 2_000;

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
struct Traces {
    /// The numbers the contact talked to.
    numbers: Vec<String>,
    names: HashSet<String>,
}

impl Store {
    /// Erases one of a tenant's contacts. `None` when there is none. Done again after a failure, it ends what was begun.
    pub async fn erase_contact(
        &self,
        tenant: &str,
        id: i64,
        line: &Audit<'_>,
    ) -> Result<Option<Erased>, StoreError> {
        if self.contact(tenant, id).await?.is_none() {
            return Ok(None);
        }
        let threads = self.threads_of_contact(id).await?;
        let traces = Traces {
            numbers: threads.into_iter().map(|thread| thread.phone_number_id).collect(),
            names: self.aliases(id).await?.into_iter().map(|alias| alias.value).collect(),
        };
        // The events first: as long as the names are known, a failure can be made good by erasing once more.
        let last = self.last_event_id().await?;
        let mut events = self.erase_events(&traces, 0, last).await?;
        let mut erased = self.erase_words(id, traces.names.clone(), line).await?;
        events += self.erase_events(&traces, last, self.last_event_id().await?).await?;
        erased.events += events;
        Ok(Some(erased))
    }

    /// Takes the traces out of the events between two ids, but for those that still wait to be read.
    async fn erase_events(&self, traces: &Traces, mut after: i64, last: i64) -> Result<u64, StoreError> {
        let mut erased = 0;
        while after < last && !traces.names.is_empty() {
            let upto = (after + LOOK).min(last);
            let db = self.read();
            let holds: Vec<String> =
                (0..traces.names.len()).map(|n| sql::holds(db, "e.raw", n + 4)).collect();
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
                traces.names.iter().map(|name| serde_json::json!(name).to_string().into_bytes().into());
            let values = values.into_iter().chain(names);
            let rows = db.query_all_raw(sql::statement(db, &text, values)).await?;
            let ids = rows.iter().map(|row| row.try_get("", "id")).collect::<Result<Vec<i64>, _>>()?;
            if !ids.is_empty() {
                let tx = self.begin().await?;
                erased += strip_events(&tx, &ids, &traces.names).await?;
                tx.commit().await?;
            }
            after = upto;
        }
        Ok(erased)
    }

    /// Everything but the raw events that only name the contact; `names` is what it is called.
    async fn erase_words(
        &self,
        contact: i64,
        mut names: HashSet<String>,
        line: &Audit<'_>,
    ) -> Result<Erased, StoreError> {
        let tx = self.begin().await?;
        let text = "select c.id from whatsapp_conversations c join threads t on t.id = c.thread_id \
                    where t.contact_id = $1";
        let rows = tx.query_all_raw(sql::statement(&tx, text, [contact.into()])).await?;
        let conversations = rows.iter().map(|row| row.try_get("", "id")).collect::<Result<Vec<i64>, _>>()?;
        let theirs = format!("conversation_id {}", sql::among(&tx, 1, "bigint"));
        let list = [sql::json(&conversations)];
        let text = format!("select whatsapp_account_id, wamid, event_id from messages where {theirs}");
        let (mut marks, mut events) = (Vec::<[Value; 3]>::new(), Vec::new());
        for row in tx.query_all_raw(sql::statement(&tx, &text, list.clone())).await? {
            events.extend(row.try_get::<Option<i64>>("", "event_id")?);
            if let Some(wamid) = row.try_get::<Option<String>>("", "wamid")? {
                names.insert(wamid.clone());
                marks.push([
                    row.try_get::<i64>("", "whatsapp_account_id")?.into(),
                    wamid.into(),
                    line.now.into(),
                ]);
            }
        }
        for some in marks.chunks(500) {
            mark(&tx, some.to_vec()).await?;
        }
        let events = strip_events(&tx, &events, &names).await?;
        let now = line.now;
        let word = match self.is_shared() {
            true => "split_part(reason, ':', 1)",
            false => "substr(reason, 1, instr(reason || ':', ':') - 1)",
        };
        // What is under way, or could be tried again, comes to nothing: it was for somebody who is not known any more.
        for text in [
            format!("delete from pending_messages where {theirs}"),
            format!(
                "update turns set status = 'dropped', closed_at = {now} where status in ('asking', 'dead') and {theirs}"
            ),
            format!("update turns set reason = {word} where {theirs}"),
            format!(
                "update attempts set wamid = null, detail = null where delivery_id in \
                 (select id from deliveries where {theirs})"
            ),
            format!(
                "update deliveries set status = 'cancelled', reason = 'erased' \
                 where status in ('queued', 'sending', 'failed', 'unknown', 'dead') and {theirs}"
            ),
            format!(
                "update deliveries set recipient = 'null', text = '', content = null, wamid = null, detail = null where {theirs}"
            ),
            format!("delete from event_deliveries where {theirs}"),
            format!("delete from media where message_id in (select id from messages where {theirs})"),
            format!(
                "delete from delivery_participants where delivery_id in (select id from deliveries where {theirs})"
            ),
        ] {
            tx.execute_raw(sql::statement(&tx, &text, list.clone())).await?;
        }
        let text = format!("update messages set text = '', wamid = null where {theirs}");
        let messages = tx.execute_raw(sql::statement(&tx, &text, list.clone())).await?.rows_affected();
        let text = format!(
            "update whatsapp_conversations set recipient = 'null', unique_conv_id = 'erased_' || cast(id as text), \
             erased_at = {now} where id {}",
            sql::among(&tx, 1, "bigint")
        );
        tx.execute_raw(sql::statement(&tx, &text, list)).await?;
        let text = "delete from contact_renames where exists (select 1 from contact_aliases a where a.contact_id = $1 \
                    and a.tenant_id = contact_renames.tenant_id and a.scope = contact_renames.scope \
                    and a.kind = contact_renames.kind and a.value in (contact_renames.previous, contact_renames.current))";
        tx.execute_raw(sql::statement(&tx, text, [contact.into()])).await?;
        let text = "delete from contact_aliases where contact_id = $1";
        tx.execute_raw(sql::statement(&tx, text, [contact.into()])).await?;
        let text = "update contacts set name = null, erased_at = $2 where id = $1";
        tx.execute_raw(sql::statement(&tx, text, [contact.into(), now.into()])).await?;
        audit(&tx, line).await?;
        tx.commit().await?;
        Ok(Erased { messages, events, conversations })
    }
}

/// Somebody goes from their bodies; those without anybody else's words go altogether.
async fn strip_events(
    tx: &DatabaseTransaction,
    ids: &[i64],
    names: &HashSet<String>,
) -> Result<u64, StoreError> {
    let (mut stripped, mut empty) = (0, Vec::new());
    for ids in ids.chunks(500) {
        let text = format!("select id, raw from webhook_events where id {}", sql::among(tx, 1, "bigint"));
        for row in tx.query_all_raw(sql::statement(tx, &text, [sql::json(ids)])).await? {
            let id: i64 = row.try_get("", "id")?;
            let Some(raw) = strip::without(&row.try_get::<Vec<u8>>("", "raw")?, names) else {
                empty.push(id);
                continue;
            };
            let text = "update webhook_events set raw = $1 where id = $2";
            stripped +=
                tx.execute_raw(sql::statement(tx, text, [raw.into(), id.into()])).await?.rows_affected();
        }
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
