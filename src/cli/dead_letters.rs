//! `switchboard dead-letters`: deliveries and turns that ended badly, listed or tried once more.

use uuid::Uuid;

use super::progress::{Progress, patiently};
use super::{Failure, database, say, tell};
use crate::config::{Config, Variables};
use crate::ids::{DeliveryId, TurnId};
use crate::news::News;
use crate::runtime::{Clock, instant, rfc3339};
use crate::store::Store;
use crate::store::audit::Audit;
use crate::store::mend::Which;

/// Things read, and written in one transaction.
const PIECE: u64 = 200;

/// Lists what ended badly, or has it tried once more by the running service.
#[derive(Debug, clap::Args)]
pub(super) struct DeadLetters {
    #[command(flatten)]
    config: Config,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Shows them, oldest first.
    List(Filter),
    /// Sends deliveries again, and asks responders again.
    Retry {
        #[command(flatten)]
        filter: Filter,
        /// Needed for `--status unknown`: those may have arrived, and would arrive twice.
        #[arg(long)]
        accept_doubles: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Filter {
    /// Only of one tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Only for this reason, e.g. window_closed or responder_timeout.
    #[arg(long)]
    reason: Option<String>,
    /// dead: given up (deliveries and turns); failed: refused by Meta; unknown: nobody knows whether it went out.
    #[arg(long, default_value = "dead")]
    status: Status,
    /// Only from here on: 2026-01-31, or 2026-01-31T12:00:00Z.
    #[arg(long, value_parser = instant)]
    since: Option<i64>,
    /// Only those before.
    #[arg(long, value_parser = instant)]
    until: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Status {
    Dead,
    Failed,
    Unknown,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

impl Filter {
    fn which(&self) -> Which {
        Which {
            tenant: self.tenant.clone(),
            reason: self.reason.clone(),
            since: self.since.unwrap_or(0),
            until: self.until.map_or(i64::MAX, |until| until - 1),
        }
    }
}

impl DeadLetters {
    pub(super) async fn run(self, variables: &Variables) -> Result<(), Failure> {
        let (filter, retry) = match &self.what {
            What::List(filter) => (filter, false),
            What::Retry { filter, accept_doubles } => {
                if filter.status == Status::Unknown && !accept_doubles {
                    let why = "customers may get these twice: look first, then say --accept-doubles";
                    return Err(why.into());
                }
                (filter, true)
            }
        };
        let (store, _single) = database(&self.config, variables).await?;
        let mut progress = Progress::new("dead letters");
        let mut found = deliveries(&store, filter, retry, &mut progress).await?;
        if filter.status == Status::Dead {
            found += turns(&store, filter, retry, &mut progress).await?;
        }
        let done = progress.end();
        if retry {
            let now = Clock::system().now_ms();
            let (tenant, target) = (filter.tenant.as_deref(), filter.status.as_str());
            let detail = done.to_string();
            let (actor, action, detail) = ("terminal", "dead_letters.retry", Some(detail.as_str()));
            let line = Audit { tenant, actor, action, target, detail, now, ..Audit::default() };
            patiently(|| store.log(&line)).await?;
            tell(&store, &News::Work).await;
            say(format!("{done} of {found} are tried again; a running service takes them up within seconds"));
            if done < found {
                say("the rest waits for another turn of the same conversation: run this again later");
            }
        } else {
            say(format!("{found} in all"));
        }
        store.close().await;
        Ok(())
    }
}

async fn deliveries(
    store: &Store,
    filter: &Filter,
    retry: bool,
    progress: &mut Progress,
) -> Result<u64, Failure> {
    let (which, status) = (filter.which(), filter.status.as_str());
    let (mut last, mut found) = (0, 0);
    loop {
        let rows = store.lost_deliveries(status, &which, last, PIECE).await?;
        let Some(end) = rows.last() else { return Ok(found) };
        (last, found) = (end.id, found + rows.len() as u64);
        if retry {
            let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
            let now = Clock::system().now_ms();
            progress.add(patiently(|| store.requeue_deliveries(&ids, status, now)).await?);
        } else {
            for row in &rows {
                show(&DeliveryId(row.id), &row.tenant_id, &row.status, row.reason.as_deref(), row.created_at);
            }
        }
    }
}

async fn turns(store: &Store, filter: &Filter, retry: bool, progress: &mut Progress) -> Result<u64, Failure> {
    let which = filter.which();
    let (mut last, mut found) = (Uuid::nil(), 0);
    loop {
        let rows = store.lost_turns(&which, last, PIECE).await?;
        let Some(end) = rows.last() else { return Ok(found) };
        (last, found) = (end.id, found + rows.len() as u64);
        if retry {
            let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
            progress.add(patiently(|| store.reopen_turns(&ids)).await?);
        } else {
            for row in &rows {
                show(&TurnId(row.id), &row.tenant_id, "turn", row.reason.as_deref(), row.created_at);
            }
        }
    }
}

fn show(id: &impl ToString, tenant: &str, status: &str, reason: Option<&str>, created_at: i64) {
    let (id, reason) = (id.to_string(), reason.unwrap_or_default());
    say(format!("{id:12}  {}  {status:7}  {tenant}  {reason}", rfc3339(created_at)));
}
