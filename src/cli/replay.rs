//! `switchboard replay`: stored webhook events are read once more. Messages that exist stay single.

use super::progress::{Progress, patiently};
use super::{Failure, database, say, tell};
use crate::config::{Config, Variables};
use crate::ids::EventId;
use crate::news::News;
use crate::runtime::{Clock, instant, rfc3339};
use crate::store::Store;
use crate::store::audit::Audit;
use crate::store::events::EventState;
use crate::store::mend::Which;

/// Events opened in one transaction.
const PIECE: u64 = 200;
/// Events that are shown one by one.
const SHOWN: usize = 50;

/// Reads stored webhook events once more: after a number was onboarded, say. A running service does the work.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["event", "state", "all"]))]
pub(super) struct Replay {
    #[command(flatten)]
    config: Config,
    /// This event, whatever became of it (evt_12); may be given several times.
    #[arg(long, value_name = "ID", conflicts_with_all = ["tenant", "since", "until"])]
    event: Vec<EventId>,
    /// Events that were left like this; may be given several times.
    #[arg(long)]
    state: Vec<Left>,
    /// All events of a time, those that are done too: what they brought before stays single.
    #[arg(long, requires = "since")]
    all: bool,
    /// Only those of one tenant, or of numbers that are its now.
    #[arg(long)]
    tenant: Option<String>,
    /// Only those received from here on: 2026-01-31, or 2026-01-31T12:00:00Z.
    #[arg(long, value_parser = instant)]
    since: Option<i64>,
    /// Only those received before.
    #[arg(long, value_parser = instant)]
    until: Option<i64>,
    /// Show which, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Why an event was left.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Left {
    /// No account knew its number.
    Unroutable,
    /// It could not be read or stored.
    Quarantined,
    /// Its signer may not speak for its number.
    Refused,
    /// Its account took no messages.
    Parked,
}

impl From<Left> for EventState {
    fn from(left: Left) -> Self {
        match left {
            Left::Unroutable => Self::Unroutable,
            Left::Quarantined => Self::Quarantined,
            Left::Refused => Self::Refused,
            Left::Parked => Self::Parked,
        }
    }
}

impl Replay {
    pub(super) async fn run(self, variables: &Variables) -> Result<(), Failure> {
        let (store, _single) = database(&self.config, variables).await?;
        let count = if self.event.is_empty() { self.many(&store).await? } else { self.named(&store).await? };
        if self.dry_run {
            say(format!("{count} events would be replayed"));
        } else {
            let (tenant, now) = (self.tenant.as_deref(), Clock::system().now_ms());
            let detail = count.to_string();
            let (actor, action, detail) = ("terminal", "events.replay", Some(detail.as_str()));
            let line = Audit { tenant, actor, action, target: "events", detail, now, ..Audit::default() };
            patiently(|| store.log(&line)).await?;
            tell(&store, &News::Work).await;
            say(format!("{count} events are open again; a running service reads them within seconds"));
        }
        store.close().await;
        Ok(())
    }

    async fn named(&self, store: &Store) -> Result<u64, Failure> {
        let now = Clock::system().now_ms();
        for event in &self.event {
            if self.dry_run {
                say(event);
            } else if !patiently(|| store.replay_event(event.0, now)).await? {
                return Err(format!("there is no event {event}").into());
            }
        }
        Ok(self.event.len() as u64)
    }

    async fn many(&self, store: &Store) -> Result<u64, Failure> {
        let states: Vec<&str> = self.state.iter().map(|left| EventState::from(*left).as_str()).collect();
        let which = Which {
            tenant: self.tenant.clone(),
            since: self.since.unwrap_or(0),
            until: self.until.map_or(i64::MAX, |until| until - 1),
            ..Which::default()
        };
        let now = Clock::system().now_ms();
        let mut progress = Progress::new("events");
        let (mut last, mut shown) = (0, 0);
        loop {
            // By id, onwards: what is left again a moment later is not met twice.
            let events = store.stored_events(&states, &which, true, last, PIECE).await?;
            let Some(end) = events.last() else { return Ok(progress.end()) };
            last = end.id;
            if self.dry_run {
                for e in events.iter().take(SHOWN - shown) {
                    let number = e.phone_number_id.as_deref().unwrap_or("-");
                    let (state, reason) = (e.state.as_deref().unwrap_or("done"), e.reason.as_deref());
                    let (id, at) = (EventId(e.id), rfc3339(e.received_at));
                    say(format!("{id}  {at}  {state:11}  {number}  {}", reason.unwrap_or_default()));
                }
                shown = (shown + events.len()).min(SHOWN);
                progress.add(events.len() as u64);
            } else {
                let ids: Vec<i64> = events.iter().map(|e| e.id).collect();
                progress.add(patiently(|| store.replay_events(&ids, now)).await?);
            }
        }
    }
}
