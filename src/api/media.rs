//! Files: callers upload what they will send, and fetch what customers sent.

use std::pin::pin;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::future::ready;
use futures_util::stream::{once, unfold};
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Parts;
use super::answer::{self, Answer, Success, Time};
use super::guard::{Reader, Replier};
use super::problem::{ApiError, Code};
use crate::graph::media::LARGEST;
use crate::graph::multipart;
use crate::ids::MediaId;
use crate::media::{Pieces, link_is_good};
use crate::store::Store;
use crate::store::media::{Arrived, MediaRow, QUOTA};

/// A form is read in memory, so it may be no larger, in bytes; the raw body of a file comes piece by piece.
const FORM: usize = 16 << 20;
/// How long a reader waits for a file that is being fetched: so often, so long.
const LOOKS: usize = 40;
const PAUSE: Duration = Duration::from_millis(250);

/// A file.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MediaView {
    /// Fetch it at `/api/v1/media/{id}`; send it as `{"image":{"id":"med_…"}}`.
    pub id: MediaId,
    /// `waiting` (being fetched from Meta), `stored`, `failed`.
    status: String,
    /// Why it is not stored, as a word.
    reason: Option<String>,
    mime_type: String,
    filename: Option<String>,
    /// In bytes.
    size: Option<i64>,
    /// Hex.
    sha256: Option<String>,
    created_at: Time,
}

impl From<MediaRow> for MediaView {
    fn from(row: MediaRow) -> Self {
        Self {
            id: MediaId(row.id),
            status: row.status,
            reason: row.reason,
            mime_type: row.mime_type,
            filename: row.filename,
            size: row.size,
            sha256: row.sha256,
            created_at: Time(row.created_at),
        }
    }
}

/// How a raw body's file is called.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Named {
    /// Only with a raw body; a form says it itself.
    filename: Option<String>,
}

/// Keeps a file to be sent, for thirty days: as the raw body, up to 100 MB, or as the field `file` of a form of up to
/// 16 MB. WhatsApp takes documents of 100 MB, video and audio of 16, images of 5, stickers of 500 KB.
#[utoipa::path(post, path = "/api/v1/media", tag = "media", params(Named),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, body = Success<MediaView>)))]
pub async fn upload(
    caller: Replier,
    parts: web::Data<Parts>,
    request: HttpRequest,
    named: web::Query<Named>,
    mut body: web::Payload,
) -> Answer {
    let kind = header(request.headers());
    let (store, tenant, now) = (&parts.store, caller.tenant.as_str(), parts.clock.now_ms());
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > LARGEST) {
        return Err(too_large(LARGEST));
    }
    let begin = async |most: usize, mime_type: String, filename: Option<String>| {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let room = store.begin_upload(tenant, &mime_type, filename.as_deref(), most, now).await?;
        let full =
            || ApiError::full("file", format!("Uploads may come to {QUOTA} bytes; they go after 30 days."));
        room.ok_or_else(full)
    };
    let is_form = kind.to_ascii_lowercase().starts_with("multipart/");
    let id = match is_form {
        true => {
            let mut form = Vec::new();
            while let Some(bytes) = next(&mut body).await? {
                if form.len() + bytes.len() > FORM {
                    return Err(too_large(FORM));
                }
                form.extend_from_slice(&bytes);
            }
            let (mime_type, filename, content) = read(&kind, &form)?;
            let id = begin(content.len(), mime_type.clone(), filename).await?;
            let whole = Bytes::copy_from_slice(content);
            keep(store, id, &mime_type, once(ready(Ok(whole)))).await.map(|()| id)
        }
        false => {
            let mime_type = mime_type(&kind)?;
            let filename = named.into_inner().filename.and_then(tidy);
            let id = begin(announced.unwrap_or(LARGEST), mime_type.clone(), filename).await?;
            let bytes = unfold(body, async |mut body| Some((next(&mut body).await.transpose()?, body)));
            keep(store, id, &mime_type, bytes).await.map(|()| id)
        }
    }?;
    let row = store.media(Some(tenant), id).await?.ok_or_else(|| ApiError::not_found("file"))?;
    answer::success(StatusCode::CREATED, "The file is stored", MediaView::from(row))
}

/// Stores the bytes of a file as they come; nothing is kept of one that does not arrive whole.
async fn keep(
    store: &Store,
    id: i64,
    mime_type: &str,
    bytes: impl Stream<Item = Result<Bytes, ApiError>>,
) -> Result<(), ApiError> {
    let arrived = async {
        let (mut pieces, mut size) = (Pieces::new(store, id), 0);
        let mut bytes = pin!(bytes);
        while let Some(some) = bytes.next().await.transpose()? {
            size += some.len();
            if size > LARGEST {
                return Err(too_large(LARGEST));
            }
            pieces.add(&some).await?;
        }
        let (digest, size) = pieces.end().await?;
        if size == 0 {
            return Err(ApiError::field("file", "must not be empty"));
        }
        Ok(Arrived { mime_type: mime_type.to_owned(), sha256: hex::encode(digest), size })
    };
    match arrived.await {
        Ok(file) => Ok(store.finish_upload(id, &file).await?),
        Err(error) => {
            store.drop_upload(id).await?;
            Err(error)
        }
    }
}

async fn next(body: &mut web::Payload) -> Result<Option<Bytes>, ApiError> {
    let broken = |_| ApiError::new(Code::Unreadable, "The body broke off.");
    body.next().await.transpose().map_err(broken)
}

fn too_large(most: usize) -> ApiError {
    ApiError::new(Code::TooLarge, format!("A file may have {most} bytes."))
}

fn header(headers: &HeaderMap) -> String {
    headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned()
}

/// The type, name and bytes of a form's file.
fn read<'a>(kind: &str, body: &'a [u8]) -> Result<(String, Option<String>, &'a [u8]), ApiError> {
    let form = multipart::read(kind, body)
        .ok_or_else(|| ApiError::new(Code::Unreadable, "The body is no multipart/form-data."))?;
    let file = form.into_iter().find(|part| part.name == "file");
    let file = file.ok_or_else(|| ApiError::field("file", "is required"))?;
    let kind = mime_type(file.mime_type.as_deref().unwrap_or("application/octet-stream"))?;
    Ok((kind, file.filename.and_then(tidy), file.content))
}

/// A type as it is kept.
fn mime_type(kind: &str) -> Result<String, ApiError> {
    let bare = kind.split(';').next().unwrap_or_default().trim();
    let word = |text: &str| {
        !text.is_empty()
            && text.len() <= 100
            && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-._".contains(&c))
    };
    if !bare.split_once('/').is_some_and(|(kind, subtype)| word(kind) && word(subtype)) {
        return Err(ApiError::field("Content-Type", "must name the file's type, such as image/png"));
    }
    Ok(kind.trim().to_ascii_lowercase())
}

fn tidy(name: String) -> Option<String> {
    let name: String = name.chars().filter(|c| !c.is_control()).take(200).collect();
    (!name.trim().is_empty()).then_some(name)
}

/// What makes a link work without a key.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Signed {
    /// Unix milliseconds.
    expires: Option<i64>,
    /// From the link, as it is.
    signature: Option<String>,
}

/// A file, to be saved: for whoever may see its conversation, and for whoever has a signed link. Waits some seconds for
/// one that is still being fetched.
#[utoipa::path(get, path = "/api/v1/media/{id}", tag = "media", params(("id" = String, Path), Signed),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream")))]
pub async fn one(
    request: HttpRequest,
    parts: web::Data<Parts>,
    id: web::Path<String>,
    signed: web::Query<Signed>,
) -> Answer {
    let missing = || ApiError::not_found("file");
    let parsed: Option<MediaId> = id.parse().ok();
    let now = parts.clock.now_ms();
    let by_link = match (parsed, signed.expires, &signed.signature) {
        (Some(id), Some(expires), Some(signature)) => link_is_good(&parts.ring, id, expires, signature, now),
        _ => false,
    };
    let tenant = if by_link { None } else { Some(Reader::extract(&request).await?.tenant.clone()) };
    let MediaId(id) = parsed.ok_or_else(missing)?;
    for _ in 0..LOOKS {
        let row = parts.store.media(tenant.as_ref().map(|t| t.as_str()), id).await?.ok_or_else(missing)?;
        match row.status.as_str() {
            "stored" => return Ok(serve(&parts.store, row)),
            "failed" => {
                let reason = row.reason.unwrap_or_default();
                return Err(ApiError::new(
                    Code::MediaFailed,
                    format!("It could not be fetched from Meta: {reason}."),
                ));
            }
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
    Err(ApiError::new(Code::MediaWaiting, "The file is still being fetched from Meta; please try again."))
}

/// Never shown as a page of ours, whatever a stranger put into it.
fn serve(store: &Store, row: MediaRow) -> HttpResponse {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_. ".contains(c) { c } else { '_' };
    let name: String = row.filename.as_deref().unwrap_or("file").chars().map(plain).collect();
    // Only what is a type is said to be one: it came from outside.
    let sane =
        row.mime_type.bytes().all(|c| c.is_ascii_graphic() || c == b' ') && row.mime_type.contains('/');
    let mime_type = if sane { row.mime_type.as_str() } else { "application/octet-stream" };
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, mime_type))
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .no_chunking(row.size.unwrap_or_default().unsigned_abs())
        .streaming(store.pieces(row.id))
}
