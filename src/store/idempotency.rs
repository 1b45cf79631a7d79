//! Answers to requests that carried an `Idempotency-Key`, kept for a day: a repetition gets the same one.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Value};

use super::{Store, StoreError, sql};

/// How long an answer is kept, in milliseconds.
const DAY: i64 = 86_400_000;
/// A request that is under way for so long has died with its process, in milliseconds.
const ABANDONED: i64 = 180_000;

/// One key of one caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Whose key it is: tenant and credential.
    pub scope: String,
    /// As the caller gave it.
    pub key: String,
}

/// What is to be said again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// HTTP status.
    pub status: i64,
    /// The body, sealed.
    pub answer: String,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nothing: the request is to be answered now.
    Fresh,
    /// It was answered.
    Answered(Kept),
    /// It is being answered.
    UnderWay,
    /// It belongs to another request.
    Taken,
}

impl Store {
    /// Takes a key for a request with this digest, or says what became of the one that had it. The digest under each key
    /// of the ring, the newest first: at least one.
    pub async fn claim_key(&self, slot: &Slot, digests: &[String], now: i64) -> Result<Claim, StoreError> {
        let tx = self.begin().await?;
        let text = "insert into idempotency_keys (scope, key, digest, at) values ($1, $2, $3, $4) \
                    on conflict (scope, key) do update set digest = $3, status = null, answer = null, at = $4 \
                    where idempotency_keys.at < $5 or (idempotency_keys.status is null and idempotency_keys.at < $6) \
                    returning scope";
        let (scope, key) = (slot.scope.as_str(), slot.key.as_str());
        let values: [Value; 6] = [
            scope.into(),
            key.into(),
            digests.first().cloned().unwrap_or_default().into(),
            now.into(),
            (now - DAY).into(),
            (now - ABANDONED).into(),
        ];
        if tx.query_one_raw(sql::statement(&tx, text, values)).await?.is_some() {
            tx.commit().await?;
            return Ok(Claim::Fresh);
        }
        let text = "select digest, status, answer from idempotency_keys where scope = $1 and key = $2";
        let row = tx.query_one_raw(sql::statement(&tx, text, [scope.into(), key.into()])).await?;
        tx.commit().await?;
        // Let go of just now: whoever asks again finds it free.
        let Some(row) = row else { return Ok(Claim::UnderWay) };
        if !digests.contains(&row.try_get::<String>("", "digest")?) {
            return Ok(Claim::Taken);
        }
        let kept: (Option<i64>, Option<String>) = (row.try_get("", "status")?, row.try_get("", "answer")?);
        Ok(match kept {
            (Some(status), Some(answer)) => Claim::Answered(Kept { status, answer }),
            _ => Claim::UnderWay,
        })
    }

    /// Remembers an answer, unless it was remembered together with what it tells of.
    pub async fn keep_answer(&self, slot: &Slot, kept: &Kept) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        keep(&tx, slot, kept).await?;
        Ok(tx.commit().await?)
    }

    /// Forgets a key whose request came to nothing.
    pub async fn release_key(&self, slot: &Slot) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "delete from idempotency_keys where scope = $1 and key = $2 and status is null";
        let values: [Value; 2] = [slot.scope.as_str().into(), slot.key.as_str().into()];
        tx.execute_raw(sql::statement(&tx, text, values)).await?;
        Ok(tx.commit().await?)
    }
}

/// Remembers an answer in the transaction that does what it tells of: neither is there without the other.
pub(super) async fn keep(tx: &DatabaseTransaction, slot: &Slot, kept: &Kept) -> Result<(), DbErr> {
    let text = "update idempotency_keys set status = $3, answer = $4 where scope = $1 and key = $2 and status is null";
    let values: [Value; 4] = [
        slot.scope.as_str().into(),
        slot.key.as_str().into(),
        kept.status.into(),
        kept.answer.as_str().into(),
    ];
    tx.execute_raw(sql::statement(tx, text, values)).await?;
    Ok(())
}

/// Forgets what is older than a day.
pub(super) async fn sweep(tx: &DatabaseTransaction, now: i64) -> Result<(), DbErr> {
    let text = "delete from idempotency_keys where at < $1";
    tx.execute_raw(sql::statement(tx, text, [(now - DAY).into()])).await?;
    Ok(())
}
