//! A part that panics: its own work is taken up again, and nothing else is stuck.

use std::time::Duration;

use switchboard::runtime::Clock;
use switchboard::sandbox::graph::Fault;

use crate::harness::{Onboard, SHOP, SOON, World};
use crate::on_both_databases;

const ANNA: &str = "15551230001";

on_both_databases! {
    /// With a pace that is no number, every wait panics: a turn has one, and so has a send that is to be repeated.
    async fn a_conversation_and_a_lane_that_panic_are_not_at_work_for_ever(db: Db) {
        let mut world = World::new(db);
        let healthy = world.clock.clone();
        let service = world.start().await;
        service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
        service.running.stop().await;
        world.clock = Clock::system().with_pace(f64::NAN);
        let service = world.start().await;
        service.text(SHOP, ANNA, "Anyone there?").await;
        service.wait_until("a turn", async || !world.db.texts("select status from turns").await.is_empty()).await;
        service.settle().await;
        assert_eq!(world.responder.count(), 0, "it panicked before it asked");
        service.running.stop().await;

        world.clock = healthy;
        let service = world.start().await;
        world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;
        service.running.stop().await;

        world.clock = Clock::system().with_pace(f64::NAN);
        let service = world.start().await;
        world.graph.fault(Fault::error(400, 131_056));
        let again = "update deliveries set status = 'queued' returning status";
        assert_eq!(world.db.texts(again).await, ["queued"]);
        service.running.news.tell(switchboard::news::News::Work).await.unwrap();
        let status = async || world.db.texts("select status from deliveries").await;
        service.wait_until("shown as in doubt", async || status().await == ["unknown"]).await;
        service.settle().await;
        service.running.stop().await;
    }
}

on_both_databases! {
    /// The inbox's task dies of a time that cannot be reckoned with: a new life begins, and it takes in what comes.
    async fn an_inbox_that_panics_begins_anew(db: Db) {
        let now = switchboard::sandbox::now_ms();
        let world = World { clock: Clock::manual(now), ..World::new(db) };
        let service = world.start().await;
        service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
        let first = service.running.store.instance();
        world.clock.advance((i64::MIN + 1_000).wrapping_sub(now));
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.clock.advance(now.wrapping_sub(i64::MIN + 1_000));
        service.text(SHOP, ANNA, "Still there?").await;
        world.graph.wait_for_sent(1, SOON).await;
        assert_ne!(service.running.store.instance(), first);
        service.settle().await;
        service.running.stop().await;
    }
}
