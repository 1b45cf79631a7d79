//! Files: callers upload what they will send, and fetch what customers sent.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderMap, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};

use super::Parts;
use super::answer::{self, Answer, Success, Time};
use super::guard::{Reader, Replier};
use super::problem::{ApiError, Code};
use crate::graph::media::LARGEST;
use crate::graph::multipart;
use crate::ids::MediaId;
use crate::media::link_is_good;
use crate::store::media::{MediaFile, MediaRow};

/// What a form may weigh beside its file, in bytes.
const FORM: usize = 64 << 10;
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

/// Keeps a file to be sent, of at most 16 MB: as the raw body, or as the field `file` of a form.
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
    let too_large = || ApiError::new(Code::TooLarge, format!("A file may have {LARGEST} bytes."));
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| ApiError::new(Code::Unreadable, "The body broke off."))?;
        if bytes.len() + chunk.len() > LARGEST + FORM {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    let file = read(request.headers(), named.into_inner().filename, &bytes)?;
    if file.content.len() > LARGEST {
        return Err(too_large());
    }
    let tenant = caller.tenant.as_str();
    let id = parts.store.save_media(tenant, file, parts.clock.now_ms()).await?;
    let row = parts.store.media(Some(tenant), id).await?.ok_or_else(|| ApiError::not_found("file"))?;
    answer::success(StatusCode::CREATED, "The file is stored", MediaView::from(row))
}

fn read(headers: &HeaderMap, filename: Option<String>, body: &[u8]) -> Result<MediaFile, ApiError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let (mime_type, filename, content) = if kind.to_ascii_lowercase().starts_with("multipart/") {
        let form = multipart::read(kind, body)
            .ok_or_else(|| ApiError::new(Code::Unreadable, "The body is no multipart/form-data."))?;
        let file = form.into_iter().find(|part| part.name == "file");
        let file = file.ok_or_else(|| ApiError::field("file", "is required"))?;
        (file.mime_type.unwrap_or_default(), file.filename, file.content)
    } else {
        (kind.to_owned(), filename, body)
    };
    if content.is_empty() {
        return Err(ApiError::field("file", "must not be empty"));
    }
    let bare = mime_type.split(';').next().unwrap_or_default().trim();
    let word = |text: &str| {
        !text.is_empty()
            && text.len() <= 100
            && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-._".contains(&c))
    };
    if !bare.split_once('/').is_some_and(|(kind, subtype)| word(kind) && word(subtype)) {
        return Err(ApiError::field("Content-Type", "must name the file's type, such as image/png"));
    }
    let tidy = |name: String| name.chars().filter(|c| !c.is_control()).take(200).collect::<String>();
    Ok(MediaFile {
        mime_type: mime_type.trim().to_ascii_lowercase(),
        filename: filename.map(tidy).filter(|name| !name.trim().is_empty()),
        sha256: hex::encode(Sha256::digest(content)),
        content: content.to_vec(),
    })
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
            "stored" => return Ok(serve(parts.store.media_file(id).await?.ok_or_else(missing)?)),
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
fn serve(file: MediaFile) -> HttpResponse {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_. ".contains(c) { c } else { '_' };
    let name: String = file.filename.as_deref().unwrap_or("file").chars().map(plain).collect();
    // Only what is a type is said to be one: it came from outside.
    let sane =
        file.mime_type.bytes().all(|c| c.is_ascii_graphic() || c == b' ') && file.mime_type.contains('/');
    let mime_type = if sane { file.mime_type.as_str() } else { "application/octet-stream" };
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, mime_type))
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(file.content)
}
