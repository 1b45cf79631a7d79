//! What Meta reports of our messages: statuses never regress, and may come before we know the message's id.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, Value};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::accounts::Seen;
use super::attempts::FinishAttempt;
use super::event_endpoints::Listeners;
use super::{Store, StoreError, accounts, sql, usage};
use crate::message::{DeliveryStatus, Pricing};

/// Meta's clock tells whole seconds, in milliseconds.
const TICK: i64 = 1_000;

/// One status for the accounts of one number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApplyStatus {
    /// The accounts that may be meant: those of the number, as far as the signature may speak for them.
    pub account_ids: Vec<i64>,
    /// Meta's id of our message.
    pub wamid: String,
    /// The attempt, when Meta echoes it.
    pub attempt_id: Option<Uuid>,
    /// What happened.
    pub status: DeliveryStatus,
    /// When, by Meta's clock, Unix milliseconds.
    pub at: i64,
    /// Meta's error code, when it failed.
    pub code: Option<i64>,
    /// The reason word for that code.
    pub reason: Option<String>,
    /// Meta's words.
    pub detail: Option<String>,
    /// What the code says of the account.
    pub account_status: Option<String>,
    /// Whether the code says that the customer wants no more of this kind.
    pub opted_out: bool,
    /// Whose status it is, of a message to a group.
    pub participant: Option<String>,
    /// What Meta bills.
    pub pricing: Option<Pricing>,
    /// Unix milliseconds by our clock.
    pub now: i64,
}

/// The attempt that a status speaks of.
#[derive(Clone, FromQueryResult)]
struct Found {
    attempt_id: Uuid,
    wamid: Option<String>,
    delivery_id: i64,
    account_id: i64,
}

const FOUND: &str = "select a.id as attempt_id, a.wamid, d.id as delivery_id, d.whatsapp_account_id as account_id \
                     from attempts a join deliveries d on d.id = a.delivery_id";

/// Applies statuses to the deliveries they speak of.
pub(super) async fn apply(
    tx: &DatabaseTransaction,
    listeners: &Listeners,
    group: &[&ApplyStatus],
) -> Result<(), DbErr> {
    if group.is_empty() {
        return Ok(());
    }
    let by_wamid = format!("{FOUND} where a.wamid {}", sql::among(tx, 1, "text"));
    let wamids = sql::json(group.iter().map(|s| &s.wamid));
    let mut found = Found::find_by_statement(sql::statement(tx, &by_wamid, [wamids])).all(tx).await?;
    let known: HashSet<&str> = found.iter().filter_map(|f| f.wamid.as_deref()).collect();
    let mut called: Vec<Value> = group
        .iter()
        .filter(|s| !known.contains(s.wamid.as_str()))
        .filter_map(|s| s.attempt_id.map(Value::from))
        .collect();
    if !called.is_empty() {
        // Meanwhile the answer to the attempt may have come, and with it the name under which it was not found above.
        let text = format!(
            "{FOUND} where (a.wamid is null or a.wamid {}) and a.id in ({})",
            sql::among(tx, 1, "text"),
            sql::list(2, called.len())
        );
        called.insert(0, sql::json(group.iter().map(|s| &s.wamid)));
        found.extend(Found::find_by_statement(sql::statement(tx, &text, called)).all(tx).await?);
    }
    let by_wamid: HashMap<&str, &Found> =
        found.iter().filter_map(|f| Some((f.wamid.as_deref()?, f))).collect();
    let by_attempt: HashMap<Uuid, &Found> = found.iter().map(|f| (f.attempt_id, f)).collect();
    let mut hits: Vec<(&Found, &ApplyStatus)> = Vec::with_capacity(group.len());
    let mut early: Vec<[Value; 4]> = Vec::new();
    for s in group.iter().copied() {
        let hit = by_wamid.get(s.wamid.as_str()).or_else(|| by_attempt.get(&s.attempt_id?)).copied();
        match hit {
            Some(f) if s.account_ids.contains(&f.account_id) => hits.push((f, s)),
            Some(_) => {}
            None => {
                let json = serde_json::to_string(s).map_err(|e| DbErr::Json(e.to_string()))?;
                early.extend(s.account_ids.iter().map(|account| -> [Value; 4] {
                    [(*account).into(), s.wamid.as_str().into(), json.as_str().into(), s.now.into()]
                }));
            }
        }
    }
    record(tx, listeners, &hits).await?;
    if !early.is_empty() {
        let head = "early_statuses (whatsapp_account_id,wamid,status,stored_at)";
        tx.execute_raw(sql::insert(tx, head, early, "")).await?;
    }
    Ok(())
}

/// Matches the statuses that overtook the answers to these attempts; tells the accounts that they changed.
pub(super) async fn apply_early(
    tx: &DatabaseTransaction,
    listeners: &Listeners,
    group: &[FinishAttempt],
) -> Result<HashSet<i64>, DbErr> {
    let by_wamid: HashMap<&str, &FinishAttempt> =
        group.iter().filter_map(|f| Some((f.wamid.as_deref()?, f))).collect();
    if by_wamid.is_empty() {
        return Ok(HashSet::new());
    }
    let text = format!(
        "delete from early_statuses where wamid {} returning whatsapp_account_id, status",
        sql::among(tx, 1, "text")
    );
    let rows = tx.query_all_raw(sql::statement(tx, &text, [sql::json(by_wamid.keys())])).await?;
    let mut early: Vec<(Found, ApplyStatus)> = Vec::with_capacity(rows.len());
    for row in rows {
        let account_id: i64 = row.try_get("", "whatsapp_account_id")?;
        let json: String = row.try_get("", "status")?;
        let Ok(status) = serde_json::from_str::<ApplyStatus>(&json) else { continue };
        // Whoever may speak for another number only is not believed about this one.
        let finished = by_wamid.get(status.wamid.as_str()).filter(|f| f.account_id == account_id);
        let Some(f) = finished else { continue };
        let (attempt_id, delivery_id, wamid) = (f.attempt_id, f.delivery_id, f.wamid.clone());
        early.push((Found { attempt_id, wamid, delivery_id, account_id }, status));
    }
    let hits: Vec<(&Found, &ApplyStatus)> = early.iter().map(|(f, s)| (f, s)).collect();
    record(tx, listeners, &hits).await
}

/// Writes down what the statuses say; tells the accounts that changed by it.
async fn record(
    tx: &DatabaseTransaction,
    listeners: &Listeners,
    hits: &[(&Found, &ApplyStatus)],
) -> Result<HashSet<i64>, DbErr> {
    let mut changed = HashSet::new();
    let mut updates: BTreeMap<(&'static str, i64), Vec<i64>> = BTreeMap::new();
    for (f, s) in hits {
        if f.wamid.is_none() {
            adopt(tx, f, &s.wamid).await?;
        }
        if let Some(participant) = &s.participant {
            take_part(tx, f.delivery_id, participant, s).await?;
        }
        match s.status {
            // In a group one person's failure is nobody else's.
            DeliveryStatus::Failed if s.participant.is_some() => {}
            DeliveryStatus::Failed => {
                fail(tx, f.delivery_id, s).await?;
                if s.opted_out {
                    opt_out(tx, f.delivery_id, s.at).await?;
                }
            }
            status => updates.entry((status.as_str(), s.at)).or_default().push(f.delivery_id),
        }
        if let Some(status) = &s.account_status {
            let reason = s.reason.as_deref().unwrap_or_default();
            let seen = Seen { status, reason, token: None, before: s.at + TICK, now: s.now };
            if accounts::set_status(tx, listeners, f.account_id, &seen).await? {
                changed.insert(f.account_id);
            }
        }
    }
    for ((status, at), ids) in updates {
        advance(tx, status, at, &ids).await?;
    }
    let priced =
        hits.iter().filter_map(|(f, s)| Some((f.attempt_id, f.delivery_id, s.pricing.as_ref()?, s.at)));
    usage::count(tx, priced).await?;
    Ok(changed)
}

/// An attempt whose answer was lost turns out to have gone out: it gets its id.
async fn adopt(tx: &DatabaseTransaction, found: &Found, wamid: &str) -> Result<(), DbErr> {
    let text = "update attempts set wamid = $2 where id = $1 and wamid is null";
    tx.execute_raw(sql::statement(tx, text, [found.attempt_id.into(), wamid.into()])).await?;
    let text = "update deliveries set wamid = $2 where id = $1 and wamid is null";
    tx.execute_raw(sql::statement(tx, text, [found.delivery_id.into(), wamid.into()])).await?;
    Ok(())
}

/// Every time is kept; the status only moves up.
async fn advance(tx: &DatabaseTransaction, status: &str, at: i64, ids: &[i64]) -> Result<(), DbErr> {
    let Some(target) = DeliveryStatus::parse(status) else { return Ok(()) };
    let column = match target {
        DeliveryStatus::Sent => "sent_at",
        DeliveryStatus::Delivered => "delivered_at",
        DeliveryStatus::Read => "read_at",
        DeliveryStatus::Played => "played_at",
        _ => return Ok(()),
    };
    let text = format!(
        "update deliveries set {column} = coalesce({column}, $1), \
         status = case when status in ({}) then '{status}' else status end, \
         reason = case when status in ({}) then null else reason end where id {}",
        below(target),
        below(target),
        sql::among(tx, 2, "bigint")
    );
    tx.execute_raw(sql::statement(tx, &text, [at.into(), sql::json(ids)])).await?;
    Ok(())
}

async fn fail(tx: &DatabaseTransaction, delivery_id: i64, s: &ApplyStatus) -> Result<(), DbErr> {
    let text = format!(
        "update deliveries set failed_at = coalesce(failed_at, $1), code = $2, reason = $3, detail = $4, status = 'failed' \
         where id = $5 and status in ({})",
        below(DeliveryStatus::Failed)
    );
    let reason = s.reason.as_deref().unwrap_or("refused_later");
    let values: [Value; 5] =
        [s.at.into(), s.code.into(), reason.into(), s.detail.clone().into(), delivery_id.into()];
    tx.execute_raw(sql::statement(tx, &text, values)).await?;
    Ok(())
}

/// The customer of this delivery wants no more marketing.
pub(super) async fn opt_out(tx: &DatabaseTransaction, delivery_id: i64, at: i64) -> Result<(), DbErr> {
    let text = "update contacts set marketing = 'stop', marketing_at = $2 where coalesce(marketing_at, 0) <= $2 and id in \
                (select c.contact_id from whatsapp_conversations c join deliveries d on d.conversation_id = c.id \
                where d.id = $1)";
    tx.execute_raw(sql::statement(tx, text, [delivery_id.into(), at.into()])).await?;
    Ok(())
}

async fn take_part(
    tx: &DatabaseTransaction,
    delivery_id: i64,
    participant: &str,
    s: &ApplyStatus,
) -> Result<(), DbErr> {
    let text = "insert into delivery_participants (delivery_id, participant, status, rank, at) \
                values ($1, $2, $3, $4, $5) on conflict (delivery_id, participant) do update set \
                status = excluded.status, rank = excluded.rank, at = excluded.at \
                where excluded.rank > delivery_participants.rank";
    let who: String = participant.chars().take(160).collect();
    let rank = i64::from(s.status.rank());
    let values: [Value; 5] =
        [delivery_id.into(), who.into(), s.status.as_str().into(), rank.into(), s.at.into()];
    tx.execute_raw(sql::statement(tx, text, values)).await?;
    Ok(())
}

/// The words that `target` may replace, quoted.
fn below(target: DeliveryStatus) -> String {
    use DeliveryStatus::*;
    let all = [Queued, Sending, Unknown, Sent, Failed, Dead, Cancelled, Delivered, Read];
    let words: Vec<String> =
        all.into_iter().filter(|s| s.rank() < target.rank()).map(|s| format!("'{}'", s.as_str())).collect();
    words.join(",")
}

/// How a message to a group fares with one of its people.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Participant {
    /// Phone or BSUID.
    pub participant: String,
    /// How far it got.
    pub status: String,
    /// When, by Meta's clock, Unix milliseconds.
    pub at: i64,
}

impl Store {
    /// The people of a group that told something of a delivery.
    pub async fn participants(&self, delivery_id: i64) -> Result<Vec<Participant>, StoreError> {
        let text = "select participant, status, at from delivery_participants where delivery_id = $1 \
                    order by participant";
        let found = Participant::find_by_statement(sql::statement(self.read(), text, [delivery_id.into()]));
        Ok(found.all(self.read()).await?)
    }
}
