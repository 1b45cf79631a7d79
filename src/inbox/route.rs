//! From an event's items to rows: whose each is, and whether it is to be answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use uuid::Uuid;

use crate::graph::errors::{self, Reaction};
use crate::inbox::wishes::{Wish, wish};
use crate::message::{BusinessNews, Consent, Inbound, Item, Rename, Routed, Sender, StatusUpdate, Voice};
use crate::routing::{Account, Accounts, Routing, Status};
use crate::store::StoreError;
use crate::store::conversations::ConversationRef;
use crate::store::events::{End, Event, EventState, Process};
use crate::store::messages::Append;
use crate::store::statuses::ApplyStatus;
use crate::store::threads::Control;
use crate::store::told::{About, Told};
use crate::telemetry::metric;

/// A message older than this by Meta's clock is stored and not answered, in milliseconds.
const STALE: i64 = 86_400_000;

/// How far Meta's clock may be ahead of ours, in milliseconds.
const AHEAD: i64 = 3_600_000;

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

    /// Somebody goes by other names: nobody is known by any.
    pub fn forget_all(&self) {
        self.0.invalidate_all();
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
    let mut process = Process {
        event_id: event.id,
        appends: Vec::new(),
        statuses: Vec::new(),
        told: Vec::new(),
        end: End::Done,
        now,
    };
    if let Some(news) = items.iter().find_map(|item| match item {
        Item::Business(news) => Some(news),
        _ => None,
    }) {
        return business(routing, event, news, process).await;
    }
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
    let (heard, refused) = heard(event, present);
    if heard.is_empty() {
        process.end = refusal(&refused);
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
                message.sent_at = timed(message.sent_at, event);
                let (note, wish) = reading(routing, &message, now).await?;
                process.appends.extend(taking.iter().map(|account| {
                    let control = control(message.voice, wish, account, account.is_shadow(&all));
                    Append {
                        place: account.place.clone(),
                        known: known.get(account.place.account_id, &message.sender),
                        message: message.clone(),
                        note: note.or(control.filter(|_| message.voice.is_customer()).and_then(silencing)),
                        control,
                        event_id: event.id,
                        now,
                    }
                }));
            }
            Item::Status(status) => {
                told = true;
                process.statuses.extend(apply(status, &taking, now));
            }
            Item::Rename(change) => {
                let at = timed(change.at, event);
                person(&mut process, &taking, || About::Names(Rename { at, ..change.clone() }));
                told = true;
            }
            Item::Routed(thread) => {
                let at = timed(thread.at, event);
                person(&mut process, &taking, || About::Thread(Routed { at, ..thread.clone() }));
                told = true;
            }
            Item::Consent(word) => {
                let at = timed(word.at, event);
                person(&mut process, &taking, || About::Marketing(Consent { at, ..word.clone() }));
                told = true;
            }
            Item::Business(_) | Item::Notice { .. } => {}
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

/// The accounts for which the secret that signed the event may speak, and the others.
fn heard<'a>(
    event: &Event,
    accounts: Vec<&'a Arc<Account>>,
) -> (Vec<&'a Arc<Account>>, Vec<&'a Arc<Account>>) {
    let (heard, refused): (Vec<_>, Vec<_>) =
        accounts.into_iter().partition(|a| a.accepts(&event.verified_by, event.by_platform));
    if !refused.is_empty() {
        metrics::counter!(metric::SECRET_BINDING_REFUSED).increment(1);
        tracing::warn!(event = event.id, "signed by a secret that may not speak for this number: refused");
    }
    (heard, refused)
}

fn refusal(refused: &[&Arc<Account>]) -> End {
    End::Left(EventState::Refused, "signed by another app's secret".into(), seen_by(refused))
}

/// News of a WABA reach every tenant with accounts there, and nobody else.
async fn business(
    routing: &Routing,
    event: &Event,
    news: &BusinessNews,
    mut process: Process,
) -> Result<Process, StoreError> {
    let accounts: Accounts = routing.accounts_of_business(&news.business_account_id).await?;
    // A claim that Graph has not confirmed lets nobody hear of the business.
    let ours = |a: &&Arc<Account>| event.tenant_id.as_ref().is_none_or(|tenant| *tenant == a.place.tenant_id);
    let present = accounts.iter().filter(ours).filter(|a| a.status != Status::Pending);
    let (heard, refused) = heard(event, present.collect());
    if heard.is_empty() {
        process.end = match refused.is_empty() {
            true => {
                let why = "no confirmed account of this business account".into();
                End::Left(EventState::Unroutable, why, event.tenant_id.clone())
            }
            false => refusal(&refused),
        };
        return Ok(process);
    }
    let mut by_tenant: BTreeMap<&str, Vec<&Arc<Account>>> = BTreeMap::new();
    for account in heard {
        by_tenant.entry(&account.place.tenant_id).or_default().push(account);
    }
    process.told.extend(by_tenant.into_iter().map(|(tenant, accounts)| Told::Business {
        tenant_id: tenant.to_owned(),
        accounts: accounts.iter().map(|a| a.place.account_id).collect(),
        numbers: accounts.iter().map(|a| a.place.phone_number_id.clone()).collect(),
        news: news.clone(),
        field: event.field.clone(),
        at: event.received_at,
    }));
    Ok(process)
}

/// Something about a customer, once for each of those who know the customer.
fn person(process: &mut Process, accounts: &[&Arc<Account>], what: impl Fn() -> About) {
    let mut places: Vec<_> = accounts.iter().map(|a| &a.place).collect();
    places.dedup_by(|a, b| a.tenant_id == b.tenant_id && a.scope == b.scope);
    process.told.extend(places.into_iter().map(|place| Told::Person {
        tenant_id: place.tenant_id.clone(),
        scope: place.scope.clone(),
        phone_number_id: place.phone_number_id.clone(),
        what: what(),
    }));
}

/// A time that could not be read, or that has not come yet, tells nothing.
fn timed(at: i64, event: &Event) -> i64 {
    if (1..event.received_at + AHEAD).contains(&at) { at } else { event.received_at }
}

/// Why nobody is asked, if so; and what the customer wishes for, in a word.
async fn reading(
    routing: &Routing,
    message: &Inbound,
    now: i64,
) -> Result<(Option<&'static str>, Option<Wish>), StoreError> {
    match message.voice {
        Voice::Customer => {}
        Voice::Overheard | Voice::Other => return Ok((Some("standby"), None)),
        Voice::Person | Voice::Anybody => return Ok((None, None)),
    }
    if let Some(digits) = &message.sender.wa_id
        && routing.is_own_number(digits).await?
    {
        return Ok((Some("own_number"), None));
    }
    if !message.answerable {
        return Ok((Some("not_answerable"), None));
    }
    let own_words = ["text", "button", "interactive"].contains(&message.kind.as_str());
    let wish = if own_words { wish(&message.text) } else { None };
    let stale = message.sent_at < now - STALE;
    // Who wanted silence yesterday wants it today; who wanted a person does not wait any more.
    Ok((stale.then_some("stale"), wish.filter(|wish| !stale || *wish != Wish::Person)))
}

/// What a message does to its thread.
fn control(voice: Voice, wish: Option<Wish>, account: &Account, shadow: bool) -> Option<Control> {
    match (voice, wish) {
        (Voice::Person | Voice::Anybody, _) => Some(Control::HandOver("person")),
        (_, Some(Wish::Stop)) => Some(Control::OptOut),
        (_, Some(Wish::Start)) => Some(Control::OptIn),
        (_, Some(Wish::Person)) if account.chatbot.hand_off_words && !shadow => {
            Some(Control::HandOver("asked_for_person"))
        }
        _ => None,
    }
}

/// Why nobody is asked about a message that does this.
fn silencing(control: Control) -> Option<&'static str> {
    match control {
        Control::OptOut => Some("opted_out"),
        Control::HandOver(why) => Some(why),
        Control::OptIn | Control::Passed => None,
    }
}

fn apply(status: &StatusUpdate, accounts: &[&Arc<Account>], now: i64) -> Option<ApplyStatus> {
    let verdict = status.error_code.and_then(errors::verdict);
    Some(ApplyStatus {
        account_ids: accounts.iter().map(|a| a.place.account_id).collect(),
        wamid: status.wamid.clone(),
        attempt_id: status.callback.as_deref().and_then(|id| Uuid::parse_str(id).ok()),
        status: status.status?,
        at: if status.at > 0 { status.at } else { now },
        code: status.error_code,
        reason: verdict.map(|verdict| verdict.reason.to_owned()),
        detail: status.error_text.clone(),
        account_status: verdict.and_then(|verdict| verdict.account_status()).map(str::to_owned),
        opted_out: verdict.is_some_and(|verdict| verdict.reaction == Reaction::OptedOut),
        participant: status.participant.clone(),
        pricing: status.pricing.clone(),
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
