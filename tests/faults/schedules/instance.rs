//! One instance in this process that can be killed, and what a database or a stand-in is told to do to it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, Executor, SqliteConnection};
use switchboard::sandbox::graph::Fault;
use switchboard::sandbox::response_api::{Answer, Behaviour};
use switchboard::store::chatbots::Chatbot;
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::{Desk, Folly, Trouble};
use crate::harness::line::Line;
use crate::harness::{Db, HELP, Onboard, SHOP, Service, World};
use crate::runtime;

/// A runtime that waits for nothing when it goes.
struct Own(Option<Runtime>);

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Own {
    async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let runtime = self.0.as_ref().expect("it is there until it is dropped");
        runtime.spawn(work).await.expect("it does not panic")
    }
}

/// An instance: everything it does is on a runtime of its own, its database at the end of a line.
pub(super) struct Instance {
    runtime: Own,
    pub(super) service: Service,
    pub(super) line: Option<Arc<Line>>,
}

impl Instance {
    pub(super) async fn start(world: &Arc<World>) -> Self {
        let line = match &world.db {
            Db::Sqlite(_) => None,
            Db::Postgres(_) => Some(Arc::new(Line::to(&world.db.url()).await)),
        };
        let url = line.as_ref().map_or_else(|| world.db.url(), |line| line.url.clone());
        let (runtime, world) = (Own(Some(runtime())), world.clone());
        let service = runtime.run(async move { world.start_with(&[("DATABASE_URL", &url)]).await }).await;
        Self { runtime, service, line }
    }

    pub(super) async fn stop(self) {
        let running = self.service.running;
        self.runtime.run(async move { running.stop().await }).await;
    }

    /// Nothing of it happens any more from here on; its number.
    pub(super) async fn kill(self) -> i64 {
        if let Some(line) = &self.line {
            line.cut().await;
        }
        drop(self.runtime);
        self.service.running.store.instance()
    }
}

impl Desk {
    pub(super) fn number(self) -> &'static str {
        if self == Self::Shop { SHOP } else { HELP }
    }

    pub(super) fn chatbot(self) -> &'static str {
        if self == Self::Shop { "shop" } else { "help" }
    }

    pub(super) fn tenant(self) -> &'static str {
        if self == Self::Shop { "default" } else { "another" }
    }

    pub(super) async fn onboard(self, service: &Service) {
        let (tenant, chatbot, number) = (self.tenant(), self.chatbot(), self.number());
        let wish = Onboard { tenant, chatbot, number, ..Onboard::default() };
        let change: fn(&mut Chatbot) = match self {
            Self::Shop => |bot| (bot.typing, bot.fallback_text) = (false, None),
            Self::Help => |bot| (bot.typing, bot.coalesce_ms, bot.coalesce_max_ms) = (false, 40, 200),
        };
        service.onboard(Onboard { change, ..wish }).await;
    }
}

impl From<Folly> for Behaviour {
    fn from(folly: Folly) -> Self {
        match folly {
            Folly::ServerError => Answer::ServerError.into(),
            Folly::Refused => Answer::Refused.into(),
            Folly::NotJson => Answer::NotJson.into(),
            Folly::HangUp => Answer::HangUp.into(),
            Folly::Slow => Answer::Echo.after(Duration::from_millis(250)),
        }
    }
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::PairLimit => Self::error(400, 131_056),
            Trouble::Refused => Self::error(400, 131_026),
            Trouble::ServerError => Self::error(500, 131_000),
            Trouble::LosesAnswer => Self::LoseAnswer,
            Trouble::HangsUp => Self::HangUp,
            Trouble::Late => Self::Hang(Duration::from_millis(150)),
        }
    }
}

/// Somebody else has the embedded database for so long.
pub(super) async fn hold_the_file(db: &Db, lasts: Duration) {
    let mut other = SqliteConnection::connect(&db.url()).await.expect("the file is there");
    // It may be a moment until whoever writes is done.
    while other.execute("begin exclusive").await.is_err() {
        sleep(Duration::from_millis(5)).await;
    }
    sleep(lasts).await;
    other.execute("rollback").await.expect("it was begun");
}
