//! What whoever is on call looks at: how much stands where, how old it is, and how long things take.

use switchboard::sandbox::response_api::Answer;

use crate::harness::{ADMIN_KEY, HELP, Onboard, SHOP, World};
use crate::on_both_databases;

on_both_databases! {
    async fn what_stands_at_each_station_is_counted(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        let account = service.onboard(Onboard::default()).await;
        world.responder.next(None, [Answer::BadRequest]);
        service.text(SHOP, "15551230001", "Unanswered").await;
        service.settle().await;
        service.change_account(account, |a| a.status = "token_invalid".into()).await;
        service.text(SHOP, "15551230001", "Held").await;
        service.text(HELP, "15551230001", "Nobody's").await;
        let held = "select 'held' from deliveries where status = 'queued'";
        service.wait_until("held", async || world.db.texts(held).await.len() == 1).await;
        service.wait_until("nobody's", async || {
            world.db.texts("select 'one' from event_states where state = 'unroutable'").await.len() == 1
        }).await;
        let items = service.running.store.items().await.unwrap();
        let count = |station, state| items.iter().find(|i| (i.0, i.1) == (station, state)).map(|i| i.2);
        for (station, state, n) in [("inbox", "received", 0), ("inbox", "unroutable", 1), ("conversation", "waiting", 0),
            ("conversation", "asking", 0), ("conversation", "dead", 1), ("outbox", "queued", 1), ("outbox", "dead", 0)] {
            assert_eq!(count(station, state), Some(n), "{station} {state}: {items:?}");
        }
        let http = switchboard::sandbox::http_client().unwrap();
        let url = format!("{}/metrics", service.running.url());
        let shown = async || {
            let metrics = http.get(&url).bearer_auth(ADMIN_KEY).send().await.unwrap().text().await.unwrap();
            // Other tests of this process count here too, so only that it is there.
            ["switchboard_items{station=\"inbox\",state=\"unroutable\"}", "switchboard_items{station=\"outbox\",state=\"queued\"}",
                "switchboard_oldest_waiting_seconds{station=\"conversation\"}", "switchboard_webhook_seconds_bucket{le=\"0.25\"}",
                "switchboard_send_seconds_bucket{le=\"1\"}", "switchboard_responder_seconds_bucket"]
                .into_iter().all(|name| metrics.contains(name))
        };
        service.wait_until("told", shown).await;
        service.running.stop().await;
    }
}
