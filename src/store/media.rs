//! Files: what customers sent, fetched from Meta as a step of its own; and what callers uploaded, to be sent.

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, Value};

use super::messages::Append;
use super::{Store, StoreError, sql};

/// A file without its bytes.
#[derive(Debug, Clone, FromQueryResult)]
pub struct MediaRow {
    /// Its id.
    pub id: i64,
    /// The message it came with; none: a caller uploaded it.
    pub message_id: Option<i64>,
    /// `waiting` (to be fetched), `stored`, `failed`.
    pub status: String,
    /// Why it is not stored, as a word.
    pub reason: Option<String>,
    /// Its type.
    pub mime_type: String,
    /// Its name, if it has one.
    pub filename: Option<String>,
    /// In bytes, once stored.
    pub size: Option<i64>,
    /// Hex, once stored.
    pub sha256: Option<String>,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// A file that is to be fetched.
#[derive(Debug, Clone, FromQueryResult)]
#[allow(missing_docs)] // the columns of `media`, named alike
pub struct MediaJob {
    pub id: i64,
    pub whatsapp_account_id: i64,
    pub phone_number_id: String,
    pub graph_id: String,
    pub mime_type: String,
    pub sha256: Option<String>,
    pub attempts: i64,
    pub created_at: i64,
}

/// What is known of a file once all of its bytes are here.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// Its type.
    pub mime_type: String,
    /// SHA-256, hex.
    pub sha256: String,
    /// In bytes.
    pub size: i64,
}

/// What one tenant's uploads may come to, in bytes: 2 GB.
pub const QUOTA: i64 = 2 << 30;

const ROW: &str = "id, message_id, status, reason, mime_type, filename, size, sha256, created_at";

/// Notes the files of new messages, to be fetched at once. `fresh`: each message with its id.
pub(super) async fn expect(tx: &DatabaseTransaction, fresh: &[(i64, &Append)]) -> Result<(), DbErr> {
    let rows: Vec<[Value; 11]> = fresh
        .iter()
        .filter_map(|(message_id, a)| {
            let file = a.message.media.as_ref()?;
            Some([
                a.place.tenant_id.as_str().into(),
                a.place.account_id.into(),
                a.place.phone_number_id.as_str().into(),
                (*message_id).into(),
                file.id.as_str().into(),
                file.mime_type.as_str().into(),
                file.filename.clone().into(),
                file.sha256.clone().into(),
                "waiting".into(),
                a.now.into(),
                a.now.into(),
            ])
        })
        .collect();
    if !rows.is_empty() {
        let head = "media (tenant_id,whatsapp_account_id,phone_number_id,message_id,graph_id,mime_type,filename,\
                    sha256,status,next_at,created_at)";
        tx.execute_raw(sql::insert(tx, head, rows, "")).await?;
    }
    Ok(())
}

impl Store {
    /// Takes files that are due to be fetched; nobody else gets them before `until`.
    pub async fn claim_media(&self, now: i64, until: i64, limit: usize) -> Result<Vec<MediaJob>, StoreError> {
        let tx = self.begin().await?;
        let skip = if self.is_shared() { "for update skip locked" } else { "" };
        // Each tenant's oldest first, then each one's second: many files of one hold up nobody else's.
        let turn = format!(
            "select id from (select id, next_at, row_number() over (partition by tenant_id order by next_at, id) as turn \
             from media where status = 'waiting' and next_at <= $1) as due order by turn, next_at limit {}",
            limit * 4
        );
        let text = format!(
            "update media set next_at = $2, attempts = attempts + 1 where id in (select id from media \
             where status = 'waiting' and next_at <= $1 and id in ({turn}) order by next_at limit {limit} {skip}) \
             returning id, whatsapp_account_id, phone_number_id, graph_id, mime_type, sha256, attempts, created_at"
        );
        let jobs = MediaJob::find_by_statement(sql::statement(&tx, &text, [now.into(), until.into()]));
        let jobs = jobs.all(&tx).await?;
        tx.commit().await?;
        Ok(jobs)
    }

    /// It is fetched.
    pub async fn media_stored(&self, id: i64, file: &Arrived) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "update media set status = 'stored', reason = null, mime_type = $2, sha256 = $3, size = $4 \
                    where id = $1 and status = 'waiting'";
        let values: [Value; 4] =
            [id.into(), file.mime_type.as_str().into(), file.sha256.as_str().into(), file.size.into()];
        tx.execute_raw(sql::statement(&tx, text, values)).await?;
        Ok(tx.commit().await?)
    }

    /// It was not fetched: again at `next_at`, or never.
    pub async fn media_missed(&self, id: i64, reason: &str, next_at: Option<i64>) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "update media set status = $2, reason = $3, next_at = coalesce($4, next_at) \
                    where id = $1 and status = 'waiting'";
        let status = if next_at.is_some() { "waiting" } else { "failed" };
        let values: [Value; 4] = [id.into(), status.into(), reason.into(), next_at.into()];
        tx.execute_raw(sql::statement(&tx, text, values)).await?;
        Ok(tx.commit().await?)
    }

    /// A caller's file whose bytes, `most` of them, are arriving; its id. Their room is taken from now on: none when the
    /// tenant's uploads would come to more than [`QUOTA`].
    pub async fn begin_upload(
        &self,
        tenant: &str,
        mime_type: &str,
        filename: Option<&str>,
        most: i64,
        now: i64,
    ) -> Result<Option<i64>, StoreError> {
        let tx = self.begin().await?;
        let text = "insert into media (tenant_id, status, next_at, created_at, mime_type, filename, size) \
                    select $1, 'arriving', $2, $2, $3, $4, $5 where $5 + (select cast(coalesce(sum(size), 0) as bigint) \
                    from media where tenant_id = $1 and message_id is null) <= $6 returning id";
        let values: [Value; 6] =
            [tenant.into(), now.into(), mime_type.into(), filename.into(), most.into(), QUOTA.into()];
        let row = tx.query_one_raw(sql::statement(&tx, text, values)).await?;
        tx.commit().await?;
        Ok(row.map(|row| row.try_get("", "id")).transpose()?)
    }

    /// All of it is here.
    pub async fn finish_upload(&self, id: i64, file: &Arrived) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "update media set status = 'stored', mime_type = $2, sha256 = $3, size = $4 where id = $1";
        let values: [Value; 4] =
            [id.into(), file.mime_type.as_str().into(), file.sha256.as_str().into(), file.size.into()];
        tx.execute_raw(sql::statement(&tx, text, values)).await?;
        Ok(tx.commit().await?)
    }

    /// It did not arrive whole.
    pub async fn drop_upload(&self, id: i64) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "delete from media where id = $1 and message_id is null";
        tx.execute_raw(sql::statement(&tx, text, [id.into()])).await?;
        Ok(tx.commit().await?)
    }

    /// Uploads that began before `before` and never ended, because their caller or this process went away.
    pub async fn drop_abandoned(&self, before: i64) -> Result<u64, StoreError> {
        let tx = self.begin().await?;
        let text = "delete from media where status = 'arriving' and created_at < $1";
        let gone = tx.execute_raw(sql::statement(&tx, text, [before.into()])).await?.rows_affected();
        tx.commit().await?;
        Ok(gone)
    }

    /// Puts a piece of a file in its place; what a broken try before left there goes.
    pub async fn save_piece(&self, id: i64, piece: i64, content: Vec<u8>) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        if piece == 0 {
            let text = "delete from media_pieces where media_id = $1";
            tx.execute_raw(sql::statement(&tx, text, [id.into()])).await?;
        }
        let text = "insert into media_pieces (media_id, piece, content) values ($1, $2, $3)";
        let values: [Value; 3] = [id.into(), piece.into(), content.into()];
        tx.execute_raw(sql::statement(&tx, text, values)).await?;
        Ok(tx.commit().await?)
    }

    /// The bytes of a file, piece after piece.
    pub fn pieces(&self, id: i64) -> impl Stream<Item = Result<Bytes, StoreError>> + Send + use<> {
        let store = self.clone();
        try_unfold((store, 0_i64), move |(store, piece)| async move {
            let text = "select content from media_pieces where media_id = $1 and piece = $2";
            let found = sql::statement(store.read(), text, [id.into(), piece.into()]);
            let Some(row) = store.read().query_one_raw(found).await? else { return Ok(None) };
            let content: Vec<u8> = row.try_get("", "content")?;
            Ok(Some((Bytes::from(content), (store, piece + 1))))
        })
    }

    /// A file of a tenant; of anybody if none is named.
    pub async fn media(&self, tenant: Option<&str>, id: i64) -> Result<Option<MediaRow>, StoreError> {
        let text = format!("select {ROW} from media where ($1 = '' or tenant_id = $1) and id = $2");
        let values: [Value; 2] = [tenant.unwrap_or_default().into(), id.into()];
        Ok(MediaRow::find_by_statement(sql::statement(self.read(), &text, values)).one(self.read()).await?)
    }

    /// The files of these messages.
    pub async fn media_of_messages(&self, ids: &[i64]) -> Result<Vec<MediaRow>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let text =
            format!("select {ROW} from media where message_id in ({}) order by id", sql::list(1, ids.len()));
        let values = ids.iter().map(|id| Value::from(*id));
        Ok(MediaRow::find_by_statement(sql::statement(self.read(), &text, values)).all(self.read()).await?)
    }

    /// Meta's ID of a file for messages of this number, while it is good.
    pub async fn uploaded(&self, id: i64, number: &str, now: i64) -> Result<Option<String>, StoreError> {
        let text = "select graph_id from media_uploads where media_id = $1 and phone_number_id = $2 and expires_at > $3";
        let values: [Value; 3] = [id.into(), number.into(), now.into()];
        let row = self.read().query_one_raw(sql::statement(self.read(), text, values)).await?;
        Ok(row.map(|row| row.try_get("", "graph_id")).transpose()?)
    }

    /// Meta keeps a file under this ID until then.
    pub async fn save_upload(
        &self,
        id: i64,
        number: &str,
        graph_id: &str,
        expires_at: i64,
    ) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "insert into media_uploads (media_id, phone_number_id, graph_id, expires_at) values ($1, $2, $3, $4) \
                    on conflict (media_id, phone_number_id) do update set graph_id = excluded.graph_id, \
                    expires_at = excluded.expires_at";
        let values: [Value; 4] = [id.into(), number.into(), graph_id.into(), expires_at.into()];
        tx.execute_raw(sql::statement(&tx, text, values)).await?;
        Ok(tx.commit().await?)
    }
}
