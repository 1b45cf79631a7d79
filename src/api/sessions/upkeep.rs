//! Keeping house: which sessions there are, old ones put away, files that are good for nothing removed.

use std::path::Path;
use std::time::Duration;

use actix_web::web;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::Parts;
use super::super::answer::{self, Answer, Success, Time};
use super::super::body::{Body, Field, Fields, number};
use super::super::guard::{Caller, Manager};
use super::super::problem::{ApiError, Code};
use super::DAY;
use crate::telemetry::metric;

/// Days after which an idle session is put away, unless the caller says otherwise.
const OLD: i64 = 30;
/// Files shown, at most.
const FILES: usize = 200;

/// A session, as a line of a list; never its keys.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    id: String,
    client_id: String,
    is_active: bool,
    state: String,
    created_at: Time,
    updated_at: Time,
}

/// Everywhere but in production these two were never there.
fn in_production(parts: &Parts) -> Result<(), ApiError> {
    if parts.production {
        return Ok(());
    }
    Err(ApiError::new(Code::Forbidden, "This is there in production only."))
}

/// The sessions there are: the caller's own; all of them for a platform key that names no tenant.
#[utoipa::path(get, path = "/api/whatsapp/sessions", tag = "single session",
    responses((status = 200, body = Success<Vec<Entry>>)))]
pub async fn sessions(caller: Manager, parts: web::Data<Parts>) -> Answer {
    in_production(&parts)?;
    let mut all = parts.store.every_session().await?;
    all.retain(|session| caller.scope().is_none_or(|tenant| tenant == session.tenant_id));
    let entries = all.into_iter().map(|session| Entry {
        id: session.key(),
        is_active: session.state == "connected",
        client_id: session.name,
        state: session.state,
        created_at: Time(session.created_at),
        updated_at: Time(session.updated_at),
    });
    answer::ok("Sessions", entries.collect::<Vec<_>>())
}

/// How old is old.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Old {
    /// Days without a connection; 30 unless given.
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    days_old: Field<i64>,
}

/// What was put away.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Removed {
    deleted_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    days_old: Option<i64>,
    timestamp: Time,
}

/// Puts away the caller's sessions that nobody has used for long. A connected one is never old.
#[utoipa::path(post, path = "/api/whatsapp/cleanup-old-sessions", tag = "single session", request_body = Old,
    responses((status = 200, body = Success<Removed>)))]
pub async fn clean_old(caller: Manager, parts: web::Data<Parts>, body: Body) -> Answer {
    in_production(&parts)?;
    let old: Old = body.read()?;
    let mut fields = Fields::default();
    let days = fields.given("daysOld", old.days_old, number(1..=3_650)).unwrap_or(OLD);
    fields.done()?;
    let now = parts.clock.now_ms();
    let idle = parts.store.idle_sessions(caller.scope(), now - days * DAY).await?;
    let mut deleted_count = 0;
    for session in idle {
        let caller: &Caller = &caller;
        parts.sessions.delete(&session, &caller.audit("session.cleanup", &session.name, now)).await?;
        deleted_count += 1;
    }
    swept("sessions", deleted_count, now);
    answer::ok("Old sessions removed", Removed { deleted_count, days_old: Some(days), timestamp: Time(now) })
}

fn swept(what: &'static str, count: usize, now: i64) {
    tracing::info!(event = "session_cleanup", what, count);
    metrics::counter!(metric::SESSION_CLEANUPS, "what" => what).increment(1);
    metrics::counter!(metric::SESSION_CLEANED, "what" => what).increment(count as u64);
    metrics::gauge!(metric::SESSION_CLEANUP_AT, "what" => what).set(now as f64 / 1000.0);
}

/// Where keys of sessions lie.
#[derive(Serialize, ToSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// `file` in development, `database` in production; a WAHA server keeps its own.
    mode: &'static str,
    exists: bool,
    writable: bool,
    files: Vec<File>,
}

/// One of its files.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct File {
    name: String,
    size: u64,
    age_seconds: u64,
}

/// What lies in the folder of keys.
pub(super) async fn storage(parts: &Parts) -> Storage {
    let (folder, production) = (parts.session_path.clone(), parts.production);
    let look = move || {
        let mode = if production { "database" } else { "file" };
        let Ok(meta) = std::fs::metadata(&folder) else { return Storage { mode, ..Storage::default() } };
        let files = files(&folder).into_iter().take(FILES).map(|(name, size, age)| File {
            name,
            size,
            age_seconds: age.as_secs(),
        });
        Storage { mode, exists: true, writable: !meta.permissions().readonly(), files: files.collect() }
    };
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

/// Name, size and age of the folder's own files.
fn files(folder: &Path) -> Vec<(String, u64, Duration)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .filter_map(|entry| {
            let meta = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            let age = meta.modified().ok()?.elapsed().unwrap_or_default();
            Some((entry.file_name().to_string_lossy().into_owned(), meta.len(), age))
        })
        .collect();
    files.sort();
    files
}

/// Removes files of keys that nobody can read. A session's own file is never old.
#[utoipa::path(post, path = "/api/whatsapp/cleanup-sessions", tag = "single session",
    responses((status = 200, body = Success<Removed>)))]
pub async fn clean_files(_: Manager, parts: web::Data<Parts>) -> Answer {
    let folder = parts.session_path.clone();
    let sweep = move || {
        let broken = |name: &str| {
            let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
            name.ends_with(".json") && serde_json::from_str::<serde_json::Value>(&text).is_err()
        };
        let names = files(&folder).into_iter().map(|(name, ..)| name).filter(|name| broken(name));
        names.filter(|name| std::fs::remove_file(folder.join(name)).is_ok()).count()
    };
    let deleted_count = tokio::task::spawn_blocking(sweep).await.unwrap_or_default();
    let now = parts.clock.now_ms();
    swept("files", deleted_count, now);
    answer::ok("Unreadable files removed", Removed { deleted_count, days_old: None, timestamp: Time(now) })
}
