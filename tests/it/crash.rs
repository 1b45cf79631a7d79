//! A stop in the middle of the work. For `kill -9` at random moments see `tests/faults/kills.rs`.

use std::time::Duration;

use switchboard::sandbox::webhook::{Change, Incoming, body};

use crate::harness::process::Process;
use crate::harness::{Db, Onboard, SHOP, World};
use crate::on_both_databases;

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
