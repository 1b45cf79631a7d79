//! A session as it changes: server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::{HttpRequest, web};
use futures_util::stream;
use tokio::sync::broadcast::Receiver;
use tokio::time::Instant;

use super::super::Parts;
use super::super::answer::Answer;
use super::super::guard::{Caller, Reader};
use super::super::live::{Identity, Place, event_stream};
use super::{SessionView, find, view};
use crate::news::News;

/// A comment every so often, so that nobody between takes the line for dead.
const COMMENT: Duration = Duration::from_secs(15);
/// After so long the caller connects again, with a credential that is looked at again.
const LONGEST: Duration = Duration::from_secs(600);

struct Line {
    caller: Caller,
    parts: web::Data<Parts>,
    name: String,
    id: i64,
    news: Receiver<News>,
    ends: Instant,
    first: bool,
    identity: Identity,
    _place: Place,
}

/// The session now and whenever it changes, as server-sent events: each is called `session` and carries what
/// `GET /api/v1/sessions/{name}` gives as `data`. The line ends after ten minutes; browsers connect again by themselves.
#[utoipa::path(get, path = "/api/v1/sessions/{name}/events", tag = "sessions", params(("name" = String, Path)),
    responses((status = 200, content_type = "text/event-stream", body = SessionView)))]
pub async fn events(
    caller: Reader,
    parts: web::Data<Parts>,
    name: web::Path<String>,
    request: HttpRequest,
) -> Answer {
    let news = parts.news.hear();
    let id = find(&caller, &parts, &name).await?.id;
    let place = parts.live.place(&caller.tenant)?;
    let identity = Identity::new(&request, &parts, &caller);
    let ends = Instant::now() + LONGEST;
    let name = name.into_inner();
    let line = Line { caller: caller.0, parts, name, id, news, ends, first: true, identity, _place: place };
    let body = stream::unfold(line, |mut line| async move {
        let event = line.next().await?;
        Some((Ok::<_, Infallible>(web::Bytes::from(event)), line))
    });
    Ok(event_stream().streaming(body))
}

impl Line {
    /// The next event; `None` ends the line.
    async fn next(&mut self) -> Option<String> {
        if !std::mem::take(&mut self.first) && !self.changed().await? {
            return Some(": here\n\n".to_owned());
        }
        let session = find(&self.caller, &self.parts, &self.name).await.ok()?;
        let view = view(&self.caller, &self.parts, session).await.ok()?;
        let json = serde_json::to_string(&view).ok()?;
        Some(format!("event: session\nretry: 3000\ndata: {json}\n\n"))
    }

    /// Whether it changed, or only time went by; `None`: enough.
    async fn changed(&mut self) -> Option<bool> {
        use tokio::sync::broadcast::error::RecvError;
        let (stop, id) = (self.parts.draining.clone(), self.id);
        let news = &mut self.news;
        let hear = async move {
            loop {
                match news.recv().await {
                    Ok(News::SessionChanged(changed)) if changed == id => return Some(true),
                    Ok(News::Lost) | Err(RecvError::Lagged(_)) => return Some(true),
                    Ok(_) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        };
        tokio::select! {
            told = hear => told,
            () = self.identity.over() => None,
            () = stop.cancelled() => None,
            () = tokio::time::sleep_until(self.ends) => None,
            () = tokio::time::sleep(COMMENT) => Some(false),
        }
    }
}
