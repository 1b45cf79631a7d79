//! `kill -9` at random moments under load: what was acknowledged is answered exactly once, or shown as `unknown`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use switchboard::message::DeliveryStatus;
use switchboard::sandbox::webhook::{Change, Incoming, body};
use switchboard::store::{Location, Store};
use tokio::sync::Semaphore;

use crate::harness::process::Process;
use crate::harness::{Db, Onboard, SHOP, World};
use crate::on_both_databases;

const MESSAGES: usize = 300;
const PEOPLE: usize = 30;

on_both_databases! {
    async fn killed_under_load(db: Db) {
        let world = world(db).await;
        let process = vec![Process::new(&world)];
        kill_under_load(world, process).await;
    }
}

/// Two instances on one database, of which one is killed again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_is_killed_under_load() {
    let Some(db) = Db::postgres().await else { return };
    let world = world(db).await;
    let processes = vec![Process::new(&world), Process::new(&world)];
    kill_under_load(world, processes).await;
}

on_both_databases! {
    /// SIGTERM while a responder thinks: the process ends in time, and the answer comes from the next one.
    async fn a_stop_leaves_the_rest_to_the_next_process(db: Db) {
        use switchboard::sandbox::response_api::Answer;
        let world = world(db).await;
        let mut process = Process::new(&world);
        process.start();
        process.ready().await;
        world.responder.next(None, [Answer::ServerError]);
        let delivery = body(&[Change::new(SHOP).message(Incoming::text("15550001", "Still there?"))]);
        assert_eq!(process.meta().send(delivery).await.unwrap().status, 200);
        world.responder.wait_for(1, crate::harness::SOON).await;
        let (took, well) = process.terminate();
        assert!(well && took < Duration::from_secs(15), "{took:?}");
        process.start();
        let sent = world.graph.wait_for_sent(1, Duration::from_secs(40)).await;
        assert_eq!(sent.len(), 1);
        let keys: Vec<_> = world.responder.received().into_iter().map(|r| r.idempotency_key).collect();
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0], keys[1], "the repeated call is the same call");
    }
}

async fn world(db: Db) -> World {
    let world = World::new(db);
    let service = world.start().await;
    service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
    service.running.stop().await;
    world
}

async fn kill_under_load(world: World, mut processes: Vec<Process>) {
    for process in &mut processes {
        process.start();
    }
    for process in &processes {
        process.ready().await;
    }
    let ports: Vec<_> = processes.iter().map(Process::meta).collect();
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let places = Arc::new(Semaphore::new(16));
    let mut senders = Vec::new();
    for n in 0..MESSAGES {
        let message = Incoming::text(&format!("1555300{:04}", n % PEOPLE), &format!("message {n:04}"));
        let delivery = body(&[Change::new(SHOP).message(message)]);
        let (metas, places, acknowledged) = (ports.clone(), places.clone(), acknowledged.clone());
        senders.push(tokio::spawn(async move {
            let _place = places.acquire().await.unwrap();
            // As Meta does: again until it is acknowledged, wherever the address leads.
            for attempt in n.. {
                let answer = metas[attempt % metas.len()].send(delivery.clone()).await;
                if answer.is_ok_and(|a| a.status == 200) {
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        }));
        tokio::time::sleep(Duration::from_millis(8)).await;
        // The moments are as random as the machine is busy.
        if n % 50 == 49 {
            processes[0].kill();
            tokio::time::sleep(Duration::from_millis(50)).await;
            processes[0].start();
        }
    }
    for sender in senders {
        sender.await.unwrap();
    }
    assert_eq!(acknowledged.load(Ordering::Relaxed), MESSAGES);

    // Every message has its reply, or its reply is in doubt and shown so.
    let store = Store::open(&Location::parse(&world.db.url()).unwrap()).await.unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    let (replies, doubtful) = loop {
        let mut replies: HashMap<String, usize> = HashMap::new();
        for sent in world.graph.sent() {
            *replies.entry(words(sent.text())).or_default() += 1;
        }
        let unknown =
            store.delivery_page("default", Some(DeliveryStatus::Unknown), i64::MAX, 500).await.unwrap();
        let doubtful: Vec<String> = unknown.iter().map(|d| words(&d.text)).collect();
        let open = (0..MESSAGES).map(|n| format!("message {n:04}"));
        let open = open.filter(|words| !replies.contains_key(words) && !doubtful.contains(words)).count();
        if open == 0 {
            break (replies, doubtful);
        }
        assert!(Instant::now() < end, "{open} messages have no answer");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    // Whatever was still on its way arrives now, if it was there twice.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let doubled: Vec<_> = replies.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    assert!(doubtful.len() <= PEOPLE * 7, "{} in doubt", doubtful.len());
    store.close().await;
}

/// The words of the customer inside an echo.
fn words(text: &str) -> String {
    text.split("message ").nth(1).map(|rest| format!("message {}", &rest[..4])).unwrap_or_default()
}
