//! Files: what customers sent, fetched from Meta as a step of its own; and what callers uploaded, to be sent.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, Value};

use super::contacts::inserted;
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

/// The bytes of a file, and what they are.
#[derive(Debug, Clone)]
pub struct MediaFile {
    /// Its type.
    pub mime_type: String,
    /// Its name, if it has one.
    pub filename: Option<String>,
    /// SHA-256, hex.
    pub sha256: String,
    /// The bytes.
    pub content: Vec<u8>,
}

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
    pub async fn media_stored(&self, id: i64, file: MediaFile) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "update media set status = 'stored', reason = null, mime_type = $2, sha256 = $3, size = $4, \
                    content = $5 where id = $1 and status = 'waiting'";
        let size = file.content.len() as i64;
        let values: [Value; 5] =
            [id.into(), file.mime_type.into(), file.sha256.into(), size.into(), file.content.into()];
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

    /// Keeps a caller's file; its id.
    pub async fn save_media(&self, tenant: &str, file: MediaFile, now: i64) -> Result<i64, StoreError> {
        let tx = self.begin().await?;
        let text = "insert into media (tenant_id, status, next_at, created_at, mime_type, filename, sha256, size, content) \
                    values ($1, 'stored', $2, $2, $3, $4, $5, $6, $7) returning id";
        let size = file.content.len() as i64;
        let values: [Value; 7] = [
            tenant.into(),
            now.into(),
            file.mime_type.into(),
            file.filename.into(),
            file.sha256.into(),
            size.into(),
            file.content.into(),
        ];
        let id = inserted(&tx, text, values).await?;
        tx.commit().await?;
        Ok(id)
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

    /// A stored file with its bytes.
    pub async fn media_file(&self, id: i64) -> Result<Option<MediaFile>, StoreError> {
        let text =
            "select mime_type, filename, sha256, content from media where id = $1 and status = 'stored'";
        let row = self.read().query_one_raw(sql::statement(self.read(), text, [id.into()])).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(MediaFile {
            mime_type: row.try_get("", "mime_type")?,
            filename: row.try_get("", "filename")?,
            sha256: row.try_get("", "sha256")?,
            content: row.try_get("", "content")?,
        }))
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
