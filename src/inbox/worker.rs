//! The station's one loop: take what waits, read it, route it, append it, hand it on.
//!
//! A batch is finished before the next begins, and an event waits while another instance has an older one of the same
//! person, so nothing overtakes anything on its way to a conversation. Numbers have their events read in turn, so that
//! nobody waits for all that another one got.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::broadcast::{self, error::TryRecvError};
use tokio::sync::mpsc;

use super::normalize::normalize;
use super::route::{self, Known};
use super::{Inbox, Parts};
use crate::conversation::Waiting;
use crate::graph::payload::Change;
use crate::message::Item;
use crate::news::News;
use crate::store::StoreError;
use crate::store::events::{End, Event, EventState, Process};
use crate::store::told::{About, Told};
use crate::telemetry::metric;

/// Events taken from the database at once.
const BATCH: usize = 256;
/// Events read at once; each kilobyte of one counts as another.
const SHARE: usize = 256;
/// Events that wait in memory for somebody else's older one; with more, all of them wait in the database.
const WAITING: usize = 2_048;
/// How often the database is searched for events that nobody holds.
const PATROL: Duration = Duration::from_secs(2);
/// First pause before looking again whether somebody else's older event is done.
const SHORTLY: Duration = Duration::from_millis(10);
/// Pause before the database is tried again.
const PAUSE: Duration = Duration::from_millis(300);
/// An event of ours that is open for so long never reached memory, in milliseconds.
const FORGOTTEN: i64 = 60_000;

pub(super) async fn run(parts: Parts, inbox: Inbox, mut queue: mpsc::Receiver<Event>) {
    let known = Known::default();
    let mut news = parts.news.hear();
    let mut renamed = parts.news.hear();
    let mut batch = Vec::new();
    // What is in hand, oldest first; and of it, what was looked at and waits for somebody else's older event.
    let (mut events, mut waiting): (Vec<Event>, Vec<Event>) = Default::default();
    let (mut pause, mut looked, mut held) = (SHORTLY, Instant::now(), 0);
    loop {
        let (spilled, more) = (inbox.spill().active, !events.is_empty());
        let got = tokio::select! {
            biased;
            () = parts.stop.cancelled() => break,
            got = queue.recv_many(&mut batch, super::WAITING), if !spilled || !queue.is_empty() => got,
            () = std::future::ready(()), if more => 0,
            () = tokio::time::sleep(pause), if !waiting.is_empty() => 0,
            // Work may lie in the database: at once if it spilled, else every now and then, or on news of it.
            () = patrol(spilled, &mut news), if waiting.is_empty() => 0,
        };
        inbox.0.in_hand.fetch_add(got, Ordering::AcqRel);
        held += size(&batch);
        events.append(&mut batch);
        let mut found_some = false;
        if (got == 0 && !more) || looked.elapsed() > PATROL {
            looked = Instant::now();
            match from_database(&parts, &inbox, waiting.is_empty()).await {
                Ok(found) => {
                    found_some = !found.is_empty();
                    events.extend(found);
                }
                Err(error) => {
                    tracing::warn!(%error, "the inbox cannot look into the database");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        events.sort_by_key(|e| e.id);
        events.dedup_by_key(|e| e.id);
        events.retain(|e| waiting.binary_search_by_key(&e.id, |w| w.id).is_err());
        inbox.0.in_hand.store(events.len() + waiting.len(), Ordering::Release);
        if heard_of_names(&mut renamed) {
            known.forget_all();
        }
        let waited = waiting.len();
        waiting.extend(share(&mut events));
        waiting.sort_by_key(|e| e.id);
        // These are ours until they are processed: the database's absence is waited for.
        loop {
            match work_off(&parts, &known, &mut waiting).await {
                Ok(()) => break,
                Err(StoreError::Fenced) => return,
                Err(_) if parts.stop.is_cancelled() => return,
                Err(error) => {
                    tracing::warn!(%error, "the inbox waits for the database");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        if waiting.len() >= WAITING {
            put_back(&parts, &inbox, &mut waiting).await;
        }
        inbox.0.in_hand.store(events.len() + waiting.len(), Ordering::Release);
        let left = size(&events) + size(&waiting);
        inbox.0.bytes.fetch_add(left.wrapping_sub(held), Ordering::Relaxed);
        held = left;
        pause = if found_some || waiting.len() < waited.max(1) { SHORTLY } else { (pause * 2).min(PATROL) };
    }
}

fn size(events: &[Event]) -> usize {
    events.iter().map(|e| e.raw.len()).sum()
}

/// Takes out what is read next: the first event of each number, then the second of each, and so on.
fn share(events: &mut Vec<Event>) -> Vec<Event> {
    let mut lines: HashMap<Option<&str>, usize> = HashMap::new();
    let mut order: Vec<(usize, usize)> = Vec::with_capacity(events.len());
    for (at, event) in events.iter().enumerate() {
        let place = lines.entry(event.phone_number_id.as_deref()).or_default();
        order.push((*place, at));
        *place += 1;
    }
    order.sort_unstable();
    let mut weight = 0;
    let chosen = order.into_iter().map(|(_, at)| &events[at]).take_while(|event| {
        let room = weight < SHARE;
        weight += 1 + event.raw.len() / 1_024;
        room
    });
    let chosen: HashSet<i64> = chosen.map(|event| event.id).collect();
    events.extract_if(.., |event| chosen.contains(&event.id)).collect()
}

/// Whether somebody's names changed since the last look, as far as can be told: what is known by names is void then.
fn heard_of_names(news: &mut broadcast::Receiver<News>) -> bool {
    let mut heard = false;
    loop {
        match news.try_recv() {
            Ok(News::Names | News::Lost) | Err(TryRecvError::Lagged(_)) => heard = true,
            Ok(_) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return heard,
        }
    }
}

async fn patrol(spilled: bool, news: &mut tokio::sync::broadcast::Receiver<News>) {
    if spilled {
        return;
    }
    let work = async {
        loop {
            match news.recv().await {
                Ok(News::Work | News::Lost) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {
                    return;
                }
                Ok(_) => {}
                Err(tokio::sync::broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    let _ = tokio::time::timeout(PATROL, work).await;
}

/// What the database holds for nobody, and what did not fit into memory. `empty`: nothing is in hand, so what has been
/// ours for long was forgotten.
async fn from_database(parts: &Parts, inbox: &Inbox, empty: bool) -> Result<Vec<Event>, StoreError> {
    let spilled = std::mem::take(&mut inbox.spill().ids);
    for ids in spilled.chunks(500) {
        parts.store.release_events(ids).await.inspect_err(|_| inbox.spill().ids.extend_from_slice(ids))?;
    }
    let forgotten = if empty { parts.clock.now_ms() - FORGOTTEN } else { i64::MIN };
    let events = parts.store.claim_events(BATCH as u64, forgotten).await?;
    let mut spill = inbox.spill();
    if events.len() == BATCH || events.len() == 1 {
        // There is more, or may be: one alone is all that is given where one of them is suspected.
        spill.active = true;
    } else if events.is_empty() && spill.ids.is_empty() {
        spill.active = false;
    }
    drop(spill);
    Ok(events)
}

/// Works off what is in hand, and leaves those whose people have an older open event elsewhere. They stay ours, so that
/// what comes after them waits for them in its turn.
async fn work_off(parts: &Parts, known: &Known, events: &mut Vec<Event>) -> Result<(), StoreError> {
    let mut lanes: Vec<i64> = events.iter().filter_map(|e| e.lane).collect();
    lanes.sort_unstable();
    lanes.dedup();
    let oldest = match parts.store.is_shared() && !lanes.is_empty() {
        true => parts.store.oldest_elsewhere(&lanes).await?,
        false => HashMap::new(),
    };
    let waits = |e: &Event| e.lane.and_then(|lane| oldest.get(&lane)).is_some_and(|id| *id < e.id);
    process(parts, known, events.iter().filter(|e| !waits(e))).await?;
    events.retain(waits);
    Ok(())
}

async fn process(
    parts: &Parts,
    known: &Known,
    events: impl Iterator<Item = &Event>,
) -> Result<(), StoreError> {
    let now = parts.clock.now_ms();
    let mut jobs: Vec<Process> = Vec::new();
    let mut alarming: BTreeSet<&str> = BTreeSet::new();
    for event in events {
        match read(event) {
            Ok(items) => match route::route(&parts.routing, known, event, items, now).await {
                Ok(job) => {
                    if job.statuses.iter().any(|status| status.account_status.is_some()) {
                        alarming.extend(event.phone_number_id.as_deref());
                    }
                    jobs.extend(job.in_pieces());
                }
                // Not the database's absence, so waiting would stop everybody behind it.
                Err(StoreError::Query(error)) => {
                    tracing::error!(event = event.id, error, "an event could not be routed");
                    jobs.push(quarantine(event.id, "its accounts could not be read".into(), now));
                }
                Err(error) => return Err(error),
            },
            Err(reason) => jobs.push(quarantine(event.id, reason, now)),
        }
    }
    if jobs.iter().any(|job| changes_names(&job.told)) {
        // Whoever is known by a name may not be the one who writes under it now.
        jobs.iter_mut().flat_map(|job| &mut job.appends).for_each(|append| append.known = None);
    }
    let outcomes = parts.store.stations().write_all(jobs.iter().cloned()).await;
    let mut elsewhere: HashMap<i64, Vec<i64>> = HashMap::new();
    let mut failed = None;
    for (job, outcome) in jobs.into_iter().zip(outcomes) {
        match outcome {
            Ok(appended) => {
                spread(parts, known, &job.told).await;
                hand_on(parts, known, job, appended, &mut elsewhere);
            }
            // Its own data is at fault: trying again would not help, and would stop everything behind it.
            Err(StoreError::Query(error)) => {
                tracing::error!(event = job.event_id, error, "an event could not be stored as messages");
                let aside = quarantine(job.event_id, "its messages could not be stored".into(), now);
                parts.store.stations().write(aside).await?;
            }
            // What is stored is handed on all the same: trying again would take it for a repetition.
            Err(error) => failed = Some(error),
        }
    }
    for number in alarming {
        look_again(parts, number).await;
    }
    for (owner, ids) in elsewhere {
        if let Err(error) = parts.news.tell(News::Conversations { owner, ids }).await {
            tracing::warn!(%error, owner, "another instance will find its messages by itself");
        }
    }
    failed.map_or(Ok(()), Err)
}

fn changes_names(told: &[Told]) -> bool {
    told.iter().any(|told| matches!(told, Told::Person { what: About::Names(_), .. }))
}

/// What was told changes what is held in memory, here and elsewhere.
async fn spread(parts: &Parts, known: &Known, told: &[Told]) {
    for told in told {
        if let Told::Business { news, numbers, .. } = told
            && news.effect.is_about_accounts()
        {
            for number in numbers {
                parts.routing.changed(number).await;
            }
        }
    }
    if changes_names(told) {
        known.forget_all();
        if let Err(error) = parts.news.tell(News::Names).await {
            tracing::warn!(%error, "other instances may know somebody by former names for a while");
        }
    }
}

/// A failed message may have said something of its account: everybody is to know.
async fn look_again(parts: &Parts, number: &str) {
    let before = parts.routing.accounts(number).await;
    parts.routing.changed(number).await;
    let (Ok(before), Ok(after)) = (before, parts.routing.accounts(number).await) else { return };
    for (was, is) in before.iter().zip(after.iter()) {
        if was.status != is.status {
            let (account, tenant) = (is.place.account_id, &is.place.tenant_id);
            tracing::error!(account, tenant, status = ?is.status, "an account needs its people");
        }
    }
}

fn hand_on(
    parts: &Parts,
    known: &Known,
    job: Process,
    appended: Vec<Option<crate::store::messages::Appended>>,
    elsewhere: &mut HashMap<i64, Vec<i64>>,
) {
    for (append, appended) in job.appends.into_iter().zip(appended) {
        let Some(appended) = appended else { continue };
        if append.message.media.is_some() {
            parts.media.wake();
        }
        metrics::counter!(metric::MESSAGES, "direction" => "in", "chatbot" => append.place.chatbot_id.clone())
            .increment(1);
        if !appended.mine {
            elsewhere.extend(appended.owner.map(|owner| (owner, Vec::new())));
            if let Some(ids) = appended.owner.and_then(|owner| elsewhere.get_mut(&owner)) {
                ids.push(appended.conversation.id);
            }
            continue;
        }
        if !append.message.voice.is_customer() {
            // It may stand before what is being answered just now: the database knows the order.
            parts.conversations.forget(appended.conversation.id);
            continue;
        }
        let was_known = append.known.is_some_and(|known| known.id == appended.conversation.id);
        known.add(append.place.account_id, append.message.sender, appended.conversation.clone());
        if append.note.is_some() {
            parts.conversations.note(&appended, &append.message.text);
        } else {
            let waiting = Waiting {
                message_id: appended.message_id,
                wamid: append.message.wamid,
                text: append.message.text,
            };
            parts.conversations.hand_on(&appended, was_known, waiting);
        }
    }
}

/// Events that wait for another instance's older ones must not take the place of those that need not wait. In the
/// database they are nobody's until their turn comes, and what comes after them waits for them there.
async fn put_back(parts: &Parts, inbox: &Inbox, events: &mut Vec<Event>) {
    let ids: Vec<i64> = events.iter().map(|e| e.id).collect();
    match parts.store.release_events(&ids).await {
        Ok(()) => events.clear(),
        Err(error) => tracing::warn!(%error, "the inbox keeps in memory what it cannot put back"),
    }
    inbox.spill().active = true;
}

/// Reads an event; whatever it holds must not stop the station.
fn read(event: &Event) -> Result<Vec<Item>, String> {
    let change = Change {
        entry_id: event.entry_id.clone(),
        field: event.field.clone(),
        phone_number_id: event.phone_number_id.clone(),
        raw: event.raw.clone(),
    };
    catch_unwind(AssertUnwindSafe(|| normalize(&change))).map_err(|_| "reading it failed".to_owned())
}

fn quarantine(event_id: i64, reason: String, now: i64) -> Process {
    metrics::counter!(metric::EVENTS_QUARANTINED).increment(1);
    let end = End::Left(EventState::Quarantined, reason, None);
    Process { event_id, appends: Vec::new(), statuses: Vec::new(), told: Vec::new(), end, now }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_turn() {
        let event = |id: i64, number: &str, kilobytes: usize| Event {
            id,
            entry_id: String::new(),
            field: String::new(),
            phone_number_id: Some(number.into()),
            verified_by: String::new(),
            by_platform: true,
            raw: vec![0; kilobytes << 10],
            received_at: 0,
            lane: None,
            tenant_id: None,
        };
        let mut events: Vec<Event> = (0..5).map(|id| event(id, "loud", 100)).collect();
        events.push(event(5, "quiet", 1));
        let ids = |events: &[Event]| events.iter().map(|e| e.id).collect::<Vec<_>>();
        assert_eq!(ids(&share(&mut events)), [0, 1, 2, 5]);
        assert_eq!(ids(&share(&mut events)), [3, 4]);
        assert!(events.is_empty() && share(&mut events).is_empty());
    }
}
