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
    /// Whose key it is.
    pub tenant: String,
    /// By which credential.
    pub actor: String,
    /// As the caller gave it.
    pub key: String,
}

const THIS: &str = "tenant_id = $1 and actor = $2 and key = $3";

impl Slot {
    fn values(&self) -> [Value; 3] {
        [self.tenant.as_str().into(), self.actor.as_str().into(), self.key.as_str().into()]
    }
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
        let text = "insert into idempotency_keys (tenant_id, actor, key, digest, at) values ($1, $2, $3, $4, $5) \
                    on conflict (tenant_id, actor, key) do update \
                    set digest = $4, status = null, answer = null, at = $5 \
                    where idempotency_keys.at < $6 or (idempotency_keys.status is null and idempotency_keys.at < $7) \
                    returning id";
        let [tenant, actor, key] = slot.values();
        let values: [Value; 7] = [
            tenant,
            actor,
            key,
            digests.first().cloned().unwrap_or_default().into(),
            now.into(),
            (now - DAY).into(),
            (now - ABANDONED).into(),
        ];
        if tx.query_one_raw(sql::statement(&tx, text, values)).await?.is_some() {
            tx.commit().await?;
            return Ok(Claim::Fresh);
        }
        let text = format!("select digest, status, answer from idempotency_keys where {THIS}");
        let row = tx.query_one_raw(sql::statement(&tx, &text, slot.values())).await?;
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
        let text = format!("delete from idempotency_keys where {THIS} and status is null");
        tx.execute_raw(sql::statement(&tx, &text, slot.values())).await?;
        Ok(tx.commit().await?)
    }
}

/// Remembers an answer in the transaction that does what it tells of: neither is there without the other.
pub(super) async fn keep(tx: &DatabaseTransaction, slot: &Slot, kept: &Kept) -> Result<(), DbErr> {
    let text =
        format!("update idempotency_keys set status = $4, answer = $5 where {THIS} and status is null");
    let values: [Value; 2] = [kept.status.into(), kept.answer.as_str().into()];
    tx.execute_raw(sql::statement(tx, &text, slot.values().into_iter().chain(values))).await?;
    Ok(())
}
