//! What changes, told to pages as it happens: server-sent events with the names of what to look at again, never with
//! what is in them.

mod hub;

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream;
use serde::Serialize;
use utoipa::ToSchema;

use super::Parts;
use super::answer::Answer;
use super::guard::{Caller, Reader};
use super::problem::{ApiError, Code};
use crate::ids::{AccountId, ConversationId, DeliveryId};
use crate::store::changes::Names;
use crate::store::sessions::key_of;
pub use hub::{Feed, Live, Place};

/// A comment every so often, so that nobody between takes the line for dead.
const COMMENT: Duration = Duration::from_secs(15);
/// How often the caller's credential is looked at again.
const RECHECK: Duration = Duration::from_secs(30);

/// What to look at again.
#[derive(Serialize, ToSchema)]
pub struct Changed {
    /// Too much to name it, or some news was lost: everything.
    all: bool,
    /// Conversations: something was said, or somebody else has them.
    conversations: Vec<ConversationId>,
    /// Deliveries that got further, or failed.
    deliveries: Vec<DeliveryId>,
    /// Integrations that are new, changed or gone.
    accounts: Vec<AccountId>,
    /// Sessions that stand elsewhere.
    sessions: Vec<String>,
}

impl From<Names> for Changed {
    fn from(names: Names) -> Self {
        Self {
            all: names.all,
            conversations: names.conversations.into_iter().map(ConversationId).collect(),
            deliveries: names.deliveries.into_iter().map(DeliveryId).collect(),
            accounts: names.accounts.into_iter().map(AccountId).collect(),
            sessions: names.sessions.into_iter().map(key_of).collect(),
        }
    }
}

/// Whether a caller still is who they were when their line began.
pub(super) struct Identity(Pin<Box<dyn Future<Output = ()>>>);

impl Identity {
    /// The caller of `request`, known just now.
    pub fn new(request: &HttpRequest, parts: &Parts, caller: &Caller) -> Self {
        let (request, known, every) = (request.clone(), caller.clone(), parts.clock.pause(RECHECK));
        Self(Box::pin(async move {
            loop {
                tokio::time::sleep(every).await;
                match Caller::of(&request).await {
                    Ok(caller) if (&caller.tenant, caller.role) == (&known.tenant, known.role) => {}
                    // Nothing is told while the database is away, and the next look comes soon.
                    Err(error) if error.is(Code::Unavailable) => {}
                    _ => return,
                }
            }
        }))
    }

    /// Resolves once the caller may look no more, or not at the same: signed out, revoked, with another role, or moved to
    /// another tenant. A look that was begun goes on where it was at the next call, however busy the line is.
    pub async fn over(&mut self) {
        self.0.as_mut().await;
    }
}

struct Line {
    feed: Feed,
    identity: Identity,
    comment: Duration,
    first: bool,
}

/// What changes, as server-sent events called `changed`: look at what they name again. The first one names everything.
/// A comment comes every 15 seconds; a line without any for 40 is dead, and to be opened anew. It ends when the caller may
/// look no more, when it is not read, and when the server stops. Of one tenant 64 are open at once (429 beyond), on one
/// server 1,024 (503).
#[utoipa::path(get, path = "/api/v1/live", tag = "live",
    responses((status = 200, content_type = "text/event-stream", body = Changed)))]
pub async fn live(caller: Reader, parts: web::Data<Parts>, request: HttpRequest) -> Answer {
    // Another site's page could not read it, but would take a place.
    parts.people.cookie.refuse_other_sites(&request, false)?;
    let feed = parts.live.join(&caller.tenant)?;
    let identity = Identity::new(&request, &parts, &caller);
    let comment = parts.clock.pause(COMMENT);
    let line = Line { feed, identity, comment, first: true };
    let body = stream::unfold(line, |mut line| async move {
        let event = line.next().await?;
        Some((Ok::<_, Infallible>(web::Bytes::from(event)), line))
    });
    Ok(event_stream().streaming(body))
}

/// The head of an answer that goes on.
pub(super) fn event_stream() -> actix_web::HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(("X-Accel-Buffering", "no"));
    answer
}

impl Line {
    /// The next event; `None` ends the line.
    async fn next(&mut self) -> Option<String> {
        if std::mem::take(&mut self.first) {
            return told(Names::all());
        }
        tokio::select! {
            biased;
            () = self.identity.over() => None,
            names = self.feed.next() => told(names?),
            () = tokio::time::sleep(self.comment) => Some(": here\n\n".to_owned()),
        }
    }
}

fn told(names: Names) -> Option<String> {
    let json = serde_json::to_string(&Changed::from(names)).ok()?;
    Some(format!("event: changed\nretry: 3000\ndata: {json}\n\n"))
}

impl From<hub::Full> for ApiError {
    fn from(full: hub::Full) -> Self {
        match full {
            hub::Full::Tenant => {
                Self::new(Code::TooManyLines, "Too many pages of this tenant listen already; please poll.")
            }
            hub::Full::House => Self::new(Code::Busy, "Too many pages listen already; please poll."),
            hub::Full::Leaving => Self::new(Code::Busy, "This server is about to stop; please try again."),
        }
    }
}
