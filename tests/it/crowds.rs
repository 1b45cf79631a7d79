//! More at once than memory is meant to hold: nobody else waits for it.

use std::time::{Duration, Instant};

use serde_json::json;
use sha2::{Digest, Sha256};
use switchboard::sandbox::webhook::{Change, Incoming, body};

use crate::harness::{Db, Onboard, SHOP, SOON, World};
use crate::on_both_databases;

const ANNA: &str = "15551230001";
const BERT: &str = "15551230002";

on_both_databases! {
    /// More changes than the writer's queue has places for: the body is stored, if not at the first delivery then soon.
    async fn a_body_of_five_thousand_changes_is_stored(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let mut changes: Vec<_> = (0..5_000)
            .map(|n| json!({"field": "tomorrows_field", "value": {"n": n, "metadata": {"phone_number_id": SHOP}}}))
            .collect();
        let message: serde_json::Value = serde_json::from_str(&body(&[Change::new(SHOP).message(Incoming::text(ANNA, "Hello"))])).unwrap();
        changes.push(message["entry"][0]["changes"][0].clone());
        let whole = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]}).to_string();
        service.wait_until("a 200", async || service.post(whole.clone()).await.status == 200).await;
        let stored = "select cast(count(*) as text) from webhook_events";
        assert_eq!(world.db.texts(stored).await, ["5001"]);
        world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;
        let ignored = "select cast(count(*) as text) from event_states where state = 'ignored'";
        assert_eq!(world.db.texts(ignored).await, ["5000"]);
        assert_eq!(world.graph.sent_count(), 1);
        service.running.stop().await;
    }
}

/// An instance is frozen with an event of Anna's in hand: all of hers wait for it elsewhere, in order; Bert does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_frozen_instance_delays_nobody_else() {
    let Some(db) = Db::postgres().await else { return };
    let world = World::fast(db);
    let service = world.start().await;
    service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
    service.text(SHOP, ANNA, "First").await;
    world.graph.wait_for_sent(1, SOON).await;
    service.settle().await;
    let frozen = "insert into instances (name, expires_at) values ('frozen', 9000000000000000) returning cast(id as text)";
    let frozen = world.db.texts(frozen).await.remove(0);
    let digest: [u8; 32] = Sha256::digest(ANNA).into();
    let lane = i64::from_be_bytes(digest[..8].try_into().unwrap());
    let in_hand = format!(
        "insert into event_states (event_id, state, lane, owner, attempts, at) \
         select min(id), 'received', {lane}, {frozen}, 1, 0 from webhook_events returning state"
    );
    assert_eq!(world.db.texts(&in_hand).await, ["received"]);

    for _ in 0..30 {
        let changes: Vec<Change> =
            (0..100).map(|_| Change::new(SHOP).message(Incoming::reaction(ANNA, "w", "👍"))).collect();
        assert_eq!(service.post(body(&changes)).await.status, 200);
    }
    service.text(SHOP, ANNA, "Last").await;
    let began = Instant::now();
    service.text(SHOP, BERT, "Hello").await;
    let sent = world.graph.wait_for_sent(2, SOON).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(world.graph.sent_to(BERT).len(), 1, "{sent:?}");
    let reactions = "select cast(count(*) as text) from messages where kind = 'reaction'";
    assert_eq!(world.db.texts(reactions).await, ["0"], "they wait");

    // It thaws, or is buried.
    world.db.texts(&format!("delete from instances where id = {frozen} returning name")).await;
    world.graph.wait_for_sent(3, SOON).await;
    service.settle().await;
    assert_eq!(world.db.texts(reactions).await, ["3000"]);
    let order =
        "select cast(event_id as text) from messages where kind = 'reaction' or text = 'Last' order by id";
    let order: Vec<i64> = world.db.texts(order).await.iter().map(|id| id.parse().unwrap()).collect();
    assert!(order.is_sorted(), "{order:?}");
    service.running.stop().await;
}
