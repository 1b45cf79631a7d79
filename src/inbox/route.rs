//! From an event's items to rows: whose each is, and whether it is to be answered.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use uuid::Uuid;

use crate::graph::errors;
use crate::message::{Inbound, Item, Sender, StatusUpdate};
use crate::routing::{Account, Routing, Status};
use crate::store::StoreError;
use crate::store::conversations::ConversationRef;
use crate::store::events::{End, Event, EventState, Process};
use crate::store::messages::Append;
use crate::store::statuses::ApplyStatus;
use crate::telemetry::metric;

/// A message older than this by Meta's clock is stored and not answered, in milliseconds.
const STALE: i64 = 86_400_000;

/// Conversations remembered, and how long after their last message.
const KNOWN: u64 = 200_000;
const IDLE: Duration = Duration::from_secs(1_800);

/// Conversations that are ours: (account, sender) → conversation. Gone with the lease.
pub(super) struct Known(Cache<(i64, Sender), ConversationRef>);

impl Default for Known {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(KNOWN).time_to_idle(IDLE).build())
    }
}

impl Known {
    fn get(&self, account_id: i64, sender: &Sender) -> Option<ConversationRef> {
        self.0.get(&(account_id, sender.clone()))
    }

    pub fn add(&self, account_id: i64, sender: Sender, conversation: ConversationRef) {
        self.0.insert((account_id, sender), conversation);
    }
}

/// Decides what becomes of an event.
pub(super) async fn route(
    routing: &Routing,
    known: &Known,
    event: &Event,
    items: Vec<Item>,
    now: i64,
) -> Result<Process, StoreError> {
    let mut process =
        Process { event_id: event.id, appends: Vec::new(), statuses: Vec::new(), end: End::Done, now };
    let Some(number) = &event.phone_number_id else {
        let accounts = routing.accounts_of_business(&event.entry_id).await?;
        let theirs = |a: &&Arc<Account>| {
            a.status != Status::Pending && a.accepts(&event.verified_by, event.by_platform)
        };
        let tenant = accounts.iter().find(theirs).map(|a| a.place.tenant_id.clone());
        process.end = End::Left(EventState::Ignored, reason_of(&items, event), tenant);
        return Ok(process);
    };
    let all = routing.accounts(number).await?;
    // What was set aside for one tenant never becomes another's, whoever has the number by now.
    let ours = |a: &&Arc<Account>| event.tenant_id.as_ref().is_none_or(|tenant| *tenant == a.place.tenant_id);
    let present: Vec<&Arc<Account>> = all.iter().filter(ours).filter(|a| !a.deleted).collect();
    if present.is_empty() {
        process.end = match all.iter().find(ours) {
            Some(gone) => {
                End::Left(EventState::Parked, "account_deleted".into(), Some(gone.place.tenant_id.clone()))
            }
            None => {
                let why = "no account has this number".into();
                End::Left(EventState::Unroutable, why, event.tenant_id.clone())
            }
        };
        return Ok(process);
    }
    let (heard, refused): (Vec<_>, Vec<_>) =
        present.into_iter().partition(|a| a.accepts(&event.verified_by, event.by_platform));
    if !refused.is_empty() {
        metrics::counter!(metric::SECRET_BINDING_REFUSED).increment(1);
        tracing::warn!(event = event.id, "signed by a secret that may not speak for this number: refused");
    }
    if heard.is_empty() {
        let tenant = seen_by(&refused);
        process.end = End::Left(EventState::Refused, "signed by another app's secret".into(), tenant);
        return Ok(process);
    }
    let tenant = seen_by(&heard);
    let (taking, parked): (Vec<&Arc<Account>>, Vec<_>) =
        heard.into_iter().partition(|a| a.status.takes_messages());

    let mut told = false;
    for item in &items {
        match item {
            Item::Message(message) => {
                told = true;
                let mut message = message.clone();
                if message.sent_at == 0 {
                    message.sent_at = event.received_at; // Meta's time is unreadable: that is no sign of age
                }
                let note = note(routing, &message, now).await?;
                process.appends.extend(taking.iter().map(|account| Append {
                    place: account.place.clone(),
                    known: known.get(account.place.account_id, &message.sender),
                    message: message.clone(),
                    note,
                    event_id: event.id,
                    now,
                }));
            }
            Item::Status(status) => {
                told = true;
                process.statuses.extend(apply(status, &taking, now));
            }
            Item::Notice { .. } => {}
        }
    }
    if let Some(account) = parked.first().filter(|_| told) {
        let why = format!("account_{:?}", account.status).to_lowercase();
        process.end = End::Left(EventState::Parked, why, tenant);
    } else if !told {
        process.end = End::Left(EventState::Ignored, reason_of(&items, event), tenant);
    }
    Ok(process)
}

/// Who may see what was set aside. A claim that Graph has not confirmed shows nobody anything.
fn seen_by(accounts: &[&Arc<Account>]) -> Option<String> {
    accounts.iter().find(|a| a.status != Status::Pending).map(|a| a.place.tenant_id.clone())
}

/// Why nobody is asked, if so.
async fn note(routing: &Routing, message: &Inbound, now: i64) -> Result<Option<&'static str>, StoreError> {
    if !message.answerable {
        return Ok(Some("not_answerable"));
    }
    if message.sent_at < now - STALE {
        return Ok(Some("stale"));
    }
    if let Some(digits) = &message.sender.wa_id
        && routing.is_own_number(digits).await?
    {
        return Ok(Some("own_number"));
    }
    Ok(None)
}

fn apply(status: &StatusUpdate, accounts: &[&Arc<Account>], now: i64) -> Option<ApplyStatus> {
    Some(ApplyStatus {
        account_ids: accounts.iter().map(|a| a.place.account_id).collect(),
        wamid: status.wamid.clone(),
        attempt_id: status.callback.as_deref().and_then(|id| Uuid::parse_str(id).ok()),
        status: status.status?,
        at: if status.at > 0 { status.at } else { now },
        code: status.error_code,
        reason: status.error_code.and_then(errors::verdict).map(|verdict| verdict.reason),
        detail: status.error_text.clone(),
        now,
    })
}

fn reason_of(items: &[Item], event: &Event) -> String {
    let reasons = items.iter().filter_map(|item| match item {
        Item::Notice { reason } => Some(reason.as_str()),
        _ => None,
    });
    let mut reasons: Vec<&str> = reasons.collect();
    reasons.dedup();
    reasons.truncate(5);
    if reasons.is_empty() { format!("field {} is only kept", event.field) } else { reasons.join("; ") }
}
