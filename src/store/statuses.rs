//! What Meta reports of our messages: statuses never regress, and may come before we know the message's id.

use std::collections::{HashMap, HashSet};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, Value};
use uuid::Uuid;

use super::deliveries::FinishAttempt;
use super::sql;
use crate::message::DeliveryStatus;

/// One status for the accounts of one number.
#[derive(Debug, Clone)]
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
    pub reason: Option<&'static str>,
    /// Meta's words.
    pub detail: Option<String>,
    /// Unix milliseconds by our clock.
    pub now: i64,
}

#[derive(FromQueryResult)]
struct Found {
    attempt_id: Uuid,
    wamid: Option<String>,
    delivery_id: i64,
    account_id: i64,
}

const FOUND: &str = "select a.id as attempt_id, a.wamid, d.id as delivery_id, d.whatsapp_account_id as account_id \
                     from attempts a join deliveries d on d.id = a.delivery_id";

/// Applies statuses to the deliveries they speak of.
pub(super) async fn apply(tx: &DatabaseTransaction, group: &[&ApplyStatus]) -> Result<(), DbErr> {
    if group.is_empty() {
        return Ok(());
    }
    let by_wamid = format!("{FOUND} where a.wamid {}", sql::among(tx, 1, "text"));
    let wamids = sql::json(group.iter().map(|s| &s.wamid));
    let mut found = Found::find_by_statement(sql::statement(tx, &by_wamid, [wamids])).all(tx).await?;
    let known: HashSet<&str> = found.iter().filter_map(|f| f.wamid.as_deref()).collect();
    let called: Vec<Value> = group
        .iter()
        .filter(|s| !known.contains(s.wamid.as_str()))
        .filter_map(|s| s.attempt_id.map(Value::from))
        .collect();
    if !called.is_empty() {
        let text = format!("{FOUND} where a.wamid is null and a.id in ({})", sql::list(1, called.len()));
        found.extend(Found::find_by_statement(sql::statement(tx, &text, called)).all(tx).await?);
    }
    let by_wamid: HashMap<&str, &Found> =
        found.iter().filter_map(|f| Some((f.wamid.as_deref()?, f))).collect();
    let by_attempt: HashMap<Uuid, &Found> = found.iter().map(|f| (f.attempt_id, f)).collect();
    let mut updates: HashMap<(&'static str, i64), Vec<i64>> = HashMap::new();
    let mut early: Vec<[Value; 7]> = Vec::new();
    for s in group {
        let hit = by_wamid.get(s.wamid.as_str()).or_else(|| by_attempt.get(&s.attempt_id?)).copied();
        match hit.filter(|f| s.account_ids.contains(&f.account_id)) {
            Some(f) => {
                if f.wamid.is_none() {
                    adopt(tx, f, &s.wamid).await?;
                }
                match s.status {
                    DeliveryStatus::Failed => fail(tx, f.delivery_id, s).await?,
                    status => updates.entry((status.as_str(), s.at)).or_default().push(f.delivery_id),
                }
            }
            None if hit.is_none() => early.extend(s.account_ids.iter().map(|account| -> [Value; 7] {
                [
                    (*account).into(),
                    s.wamid.as_str().into(),
                    s.status.as_str().into(),
                    s.at.into(),
                    s.code.into(),
                    s.detail.clone().into(),
                    s.now.into(),
                ]
            })),
            None => {}
        }
    }
    for ((status, at), ids) in updates {
        advance(tx, status, at, &ids).await?;
    }
    if !early.is_empty() {
        let head = "early_statuses (whatsapp_account_id,wamid,status,at,code,detail,stored_at)";
        tx.execute_raw(sql::insert(tx, head, early, "")).await?;
    }
    Ok(())
}

/// Matches the statuses that overtook the answers to these attempts.
pub(super) async fn apply_early(tx: &DatabaseTransaction, group: &[FinishAttempt]) -> Result<(), DbErr> {
    let by_wamid: HashMap<&str, &FinishAttempt> =
        group.iter().filter_map(|f| Some((f.wamid.as_deref()?, f))).collect();
    if by_wamid.is_empty() {
        return Ok(());
    }
    let text = format!(
        "delete from early_statuses where wamid {} returning whatsapp_account_id, wamid, status, at, code, detail",
        sql::among(tx, 1, "text")
    );
    let rows = tx.query_all_raw(sql::statement(tx, &text, [sql::json(by_wamid.keys())])).await?;
    for row in rows {
        let wamid: String = row.try_get("", "wamid")?;
        let account: i64 = row.try_get("", "whatsapp_account_id")?;
        // Whoever may speak for another number only is not believed about this one.
        let Some(f) = by_wamid.get(wamid.as_str()).filter(|f| f.account_id == account) else { continue };
        let status: String = row.try_get("", "status")?;
        let at: i64 = row.try_get("", "at")?;
        match DeliveryStatus::parse(&status) {
            Some(DeliveryStatus::Failed) => {
                let status = ApplyStatus {
                    account_ids: vec![f.account_id],
                    wamid: wamid.clone(),
                    attempt_id: None,
                    status: DeliveryStatus::Failed,
                    at,
                    code: row.try_get("", "code")?,
                    reason: None,
                    detail: row.try_get("", "detail")?,
                    now: f.now,
                };
                fail(tx, f.delivery_id, &status).await?;
            }
            Some(status) => advance(tx, status.as_str(), at, &[f.delivery_id]).await?,
            None => {}
        }
    }
    Ok(())
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
        DeliveryStatus::Read | DeliveryStatus::Played => "read_at",
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
    let reason = s.reason.unwrap_or("refused_later");
    let values: [Value; 5] =
        [s.at.into(), s.code.into(), reason.into(), s.detail.clone().into(), delivery_id.into()];
    tx.execute_raw(sql::statement(tx, &text, values)).await?;
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
