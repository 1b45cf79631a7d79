//! The station's one loop: take what waits, read it, route it, append it, hand it on.
//!
//! A batch is finished before the next begins, so nothing overtakes anything on its way to a conversation.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
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
use crate::telemetry::metric;

/// Events taken at once.
const BATCH: usize = 256;
/// How often the database is searched for events that nobody holds.
const PATROL: Duration = Duration::from_secs(2);
/// Pause before the database is tried again.
const PAUSE: Duration = Duration::from_millis(300);
/// An event of ours that is open for so long never reached memory, in milliseconds.
const FORGOTTEN: i64 = 60_000;

pub(super) async fn run(parts: Parts, inbox: Inbox, mut queue: mpsc::Receiver<Event>) {
    let known = Known::default();
    let mut news = parts.news.hear();
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let spilled = inbox.spill().active;
        let got = tokio::select! {
            biased;
            () = parts.stop.cancelled() => break,
            got = queue.recv_many(&mut batch, BATCH), if !spilled || !queue.is_empty() => got,
            // Work may lie in the database: at once if it spilled, else every now and then, or on news of it.
            () = patrol(spilled, &mut news) => 0,
        };
        let events = if got > 0 {
            let events = std::mem::take(&mut batch);
            let size: usize = events.iter().map(|e| e.raw.len()).sum();
            inbox.0.bytes.fetch_sub(size, Ordering::Relaxed);
            events
        } else {
            match from_database(&parts, &inbox).await {
                Ok(events) => events,
                Err(error) => {
                    tracing::warn!(%error, "the inbox cannot look into the database");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
        };
        inbox.0.in_hand.store(events.len(), Ordering::Release);
        // These are ours until they are processed: the database's absence is waited for.
        loop {
            match process(&parts, &known, &events, got > 0).await {
                Ok(()) => break,
                Err(StoreError::Fenced) => return,
                Err(_) if parts.stop.is_cancelled() => return,
                Err(error) => {
                    tracing::warn!(%error, "the inbox waits for the database");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        inbox.0.in_hand.store(0, Ordering::Release);
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

/// What the database holds for nobody, and what did not fit into memory.
async fn from_database(parts: &Parts, inbox: &Inbox) -> Result<Vec<Event>, StoreError> {
    let spilled = std::mem::take(&mut inbox.spill().ids);
    for ids in spilled.chunks(500) {
        parts.store.release_events(ids).await.inspect_err(|_| inbox.spill().ids.extend_from_slice(ids))?;
    }
    let events = parts.store.claim_events(BATCH as u64, parts.clock.now_ms() - FORGOTTEN).await?;
    if events.is_empty() {
        let mut spill = inbox.spill();
        if spill.ids.is_empty() {
            spill.active = false;
        }
    }
    Ok(events)
}

/// Of what just came in, the events whose people have an older open event in another instance's hands go back to the
/// database: whoever is free takes them when the older ones are done.
async fn wait_for_others<'a>(parts: &Parts, events: &'a [Event]) -> Result<Vec<&'a Event>, StoreError> {
    let lanes: Vec<i64> = events.iter().filter_map(|e| e.lane).collect();
    if !parts.store.is_shared() || lanes.is_empty() {
        return Ok(events.iter().collect());
    }
    let newest = events.iter().map(|e| e.id).max().unwrap_or_default();
    let held = parts.store.lanes_held_elsewhere(&lanes, newest).await?;
    let (later, now): (Vec<&Event>, Vec<&Event>) =
        events.iter().partition(|e| e.lane.is_some_and(|lane| held.contains(&lane)));
    if !later.is_empty() {
        parts.store.release_events(&later.iter().map(|e| e.id).collect::<Vec<_>>()).await?;
    }
    Ok(now)
}

async fn process(parts: &Parts, known: &Known, events: &[Event], fresh: bool) -> Result<(), StoreError> {
    let events = if fresh { wait_for_others(parts, events).await? } else { events.iter().collect() };
    let now = parts.clock.now_ms();
    let mut jobs: Vec<Process> = Vec::with_capacity(events.len());
    for event in events {
        match read(event) {
            Ok(items) => {
                jobs.extend(route::route(&parts.routing, known, event, items, now).await?.in_pieces())
            }
            Err(reason) => jobs.push(quarantine(event.id, reason, now)),
        }
    }
    let writes = jobs.iter().map(|job| parts.store.stations().write(job.clone()));
    let outcomes = join_all(writes).await;
    let mut elsewhere: HashMap<i64, Vec<i64>> = HashMap::new();
    for (job, outcome) in jobs.into_iter().zip(outcomes) {
        match outcome {
            Ok(appended) => hand_on(parts, known, job, appended, &mut elsewhere),
            // Its own data is at fault: trying again would not help, and would stop everything behind it.
            Err(StoreError::Query(error)) => {
                tracing::error!(event = job.event_id, error, "an event could not be stored as messages");
                let aside = quarantine(job.event_id, "its messages could not be stored".into(), now);
                parts.store.stations().write(aside).await?;
            }
            Err(error) => return Err(error),
        }
    }
    for (owner, ids) in elsewhere {
        if let Err(error) = parts.news.tell(News::Conversations { owner, ids }).await {
            tracing::warn!(%error, owner, "another instance will find its messages by itself");
        }
    }
    Ok(())
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
        metrics::counter!(metric::MESSAGES, "direction" => "in", "chatbot" => append.place.chatbot_id)
            .increment(1);
        if !appended.mine {
            elsewhere.extend(appended.owner.map(|owner| (owner, Vec::new())));
            if let Some(ids) = appended.owner.and_then(|owner| elsewhere.get_mut(&owner)) {
                ids.push(appended.conversation.id);
            }
            continue;
        }
        let was_known = append.known.is_some();
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
    Process { event_id, appends: Vec::new(), statuses: Vec::new(), end, now }
}
