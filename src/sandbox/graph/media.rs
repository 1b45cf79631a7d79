//! Files: uploaded by businesses, sent by customers, asked for and fetched.

use std::sync::atomic::Ordering;

use actix_web::web::{Bytes, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::routes::{Refusal, bearer, with_faults};
use super::state::State;
use super::{Call, manage};
use crate::graph::multipart;
use crate::sandbox::lock;

/// A file that the stand-in keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its type.
    pub mime_type: String,
    /// The bytes.
    pub bytes: Bytes,
    /// What is told as its digest.
    pub sha256: String,
    /// Where it is said to be, when that is not here.
    pub url: Option<String>,
}

impl File {
    /// A file with its own digest.
    pub fn new(mime_type: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let sha256 = hex::encode(Sha256::digest(&bytes));
        Self { mime_type: mime_type.to_owned(), bytes, sha256, url: None }
    }
}

/// Keeps a file; its ID.
pub(super) fn keep(state: &State, file: File) -> String {
    // Digits, as Meta's are, and of a length that no number has.
    let id =
        format!("9{:08}{:07}", state.run % 100_000_000, state.next_wamid.fetch_add(1, Ordering::Relaxed));
    lock(&state.files).insert(id.clone(), file);
    id
}

fn ask<T>(answer: Result<T, Refusal>, ok: impl FnOnce(T) -> HttpResponse) -> HttpResponse {
    answer.map_or_else(Refusal::answer, ok)
}

/// `POST /{number}/media`.
pub(super) async fn upload(
    state: Data<State>,
    request: HttpRequest,
    path: Path<(String, String)>,
    body: Bytes,
) -> HttpResponse {
    let work = || {
        lock(&state.known).number(&path.1, bearer(&request)?)?;
        let kind =
            request.headers().get("Content-Type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let form = multipart::read(kind, &body).unwrap_or_default();
        let part = |name: &str| form.iter().find(|part| part.name == name);
        if part("messaging_product").is_none_or(|part| part.content != b"whatsapp") {
            return Err(Refusal::invalid("The parameter messaging_product is required."));
        }
        let (Some(file), Some(kind)) = (part("file"), part("type")) else {
            return Err(Refusal::invalid("The parameters file and type are required."));
        };
        let mime_type = String::from_utf8_lossy(kind.content).into_owned();
        Ok(keep(&state, File::new(&mime_type, Bytes::copy_from_slice(file.content))))
    };
    with_faults(&state, &request, Call::Media, &path.1, async || {
        ask(work(), |id| HttpResponse::Ok().json(json!({ "id": id })))
    })
    .await
}

/// `GET /{id}`: of a file where it is, of a number what it is.
pub(super) async fn object(
    state: Data<State>,
    request: HttpRequest,
    path: Path<(String, String)>,
    query: Query<manage::Fields>,
) -> HttpResponse {
    let id = path.1.clone();
    let Some(file) = lock(&state.files).get(&id).cloned() else {
        // Whoever names a number asks for a file of that number.
        if request.query_string().contains("phone_number_id=") {
            let gone = Refusal::invalid("Unsupported get request. Object with ID does not exist.");
            return with_faults(&state, &request, Call::Media, &id, async || gone.answer()).await;
        }
        return manage::number(state, request, path, query).await;
    };
    let info = request.connection_info().clone();
    let here = format!("http://{}/files/{id}", info.host());
    with_faults(&state, &request, Call::Media, &id, async || {
        ask(bearer(&request), |_| {
            HttpResponse::Ok().json(json!({
                "messaging_product": "whatsapp", "id": id, "url": file.url.clone().unwrap_or(here),
                "mime_type": file.mime_type, "sha256": file.sha256, "file_size": file.bytes.len().to_string(),
            }))
        })
    })
    .await
}

/// `GET /files/{id}`: the bytes, for whoever brings a token.
pub(super) async fn fetch(state: Data<State>, request: HttpRequest, id: Path<String>) -> HttpResponse {
    let Some(file) = lock(&state.files).get(id.as_str()).cloned() else {
        return HttpResponse::NotFound().finish();
    };
    with_faults(&state, &request, Call::Fetch, &id, async || {
        ask(bearer(&request), |_| {
            HttpResponse::Ok().content_type(file.mime_type.as_str()).body(file.bytes.clone())
        })
    })
    .await
}
