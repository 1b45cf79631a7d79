//! What Meta tells of our messages: never backwards, never of another's.

use std::time::Duration;

use switchboard::sandbox::graph::Fault;
use switchboard::sandbox::webhook::{Change, Sender, Status, body};

use crate::harness::{HELP, Onboard, SHOP, SOON, Service, World};
use crate::on_both_databases;

const ANNA: &str = "15551230001";
const DELIVERIES: &str = "select status || ' ' || coalesce(reason, '-') || ' ' || coalesce(cast(code as text), '-') || \
    case when sent_at is null then '' else ' sent' end || case when delivered_at is null then '' else ' delivered' end || \
    case when read_at is null then '' else ' read' end || case when failed_at is null then '' else ' failed' end \
    from deliveries order by id";

async fn tell(service: &Service, number: &str, status: Status) {
    let answer = service.post(body(&[Change::new(number).status(status)])).await;
    assert_eq!(answer.status, 200);
    service.settle().await;
}

on_both_databases! {
    async fn a_status_never_goes_back(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
        service.text(SHOP, ANNA, "1").await;
        let wamid = world.graph.wait_for_sent(1, SOON).await[0].wamid.clone();
        service.settle().await;
        for (word, expected) in [
            ("read", "read - - sent read"),
            ("delivered", "read - - sent delivered read"),
            ("delivered", "read - - sent delivered read"),
            ("sent", "read - - sent delivered read"),
            ("failed", "read - - sent delivered read"),
            ("deleted", "read - - sent delivered read"),
            ("dead", "read - - sent delivered read"),
            ("played", "played - - sent delivered read"),
            ("read", "played - - sent delivered read"),
        ] {
            tell(&service, SHOP, Status::new(&wamid, word, ANNA)).await;
            assert_eq!(world.db.texts(DELIVERIES).await, [expected], "after {word}");
        }

        // Refused afterwards; the code says why. All in one body, in any order.
        service.text(SHOP, ANNA, "2").await;
        let wamid = world.graph.wait_for_sent(2, SOON).await[1].wamid.clone();
        service.settle().await;
        tell(&service, SHOP, Status::new(&wamid, "failed", ANNA).with_error(131_047, "Too late")).await;
        assert_eq!(world.db.texts(DELIVERIES).await[1], "failed window_closed 131047 sent failed");
        tell(&service, SHOP, Status::new(&wamid, "sent", ANNA)).await;
        assert_eq!(world.db.texts(DELIVERIES).await[1], "failed window_closed 131047 sent failed");
        service.text(SHOP, ANNA, "3").await;
        let wamid = world.graph.wait_for_sent(3, SOON).await[2].wamid.clone();
        service.settle().await;
        let all = ["read", "sent", "delivered"].map(|word| Status::new(&wamid, word, ANNA));
        let change = all.into_iter().fold(Change::new(SHOP), Change::status);
        assert_eq!(service.post(body(&[change])).await.status, 200);
        service.settle().await;
        assert_eq!(world.db.texts(DELIVERIES).await[2], "read - - sent delivered read");
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Meta may tell of a message before it has told us its id.
    async fn a_status_may_come_before_the_answer(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
        for (n, with_callback) in [false, true].into_iter().enumerate() {
            world.graph.fault(Fault::Hang(Duration::from_millis(1_500)));
            service.text(SHOP, ANNA, "Quick").await;
            let sent = world.graph.wait_for_sent(n + 1, SOON).await.pop().unwrap();
            for word in ["delivered", "sent"] {
                let mut status = Status::new(&sent.wamid, word, ANNA);
                status.callback = sent.callback.clone().filter(|_| with_callback);
                assert_eq!(service.post(body(&[Change::new(SHOP).status(status)])).await.status, 200);
            }
            service.wait_until("statuses", async || world.db.texts("select state from event_states").await.is_empty()).await;
            let before = world.db.texts(DELIVERIES).await.pop().unwrap();
            assert_eq!(before, if with_callback { "delivered - - sent delivered" } else { "sending - -" });
            service.settle().await;
            assert_eq!(world.db.texts(DELIVERIES).await.pop().unwrap(), "delivered - - sent delivered");
            assert_eq!(world.db.texts("select wamid from deliveries order by id").await[n], sent.wamid);
        }
        assert_eq!(world.db.texts("select wamid from early_statuses").await, [""; 0]);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// The answer to a send was lost; its status tells by the attempt's id that it went out.
    async fn a_doubt_is_settled_by_the_callback_data(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
        world.graph.fault(Fault::LoseAnswer);
        service.text(SHOP, ANNA, "Did it go out?").await;
        let sent = world.graph.wait_for_sent(1, SOON).await.pop().unwrap();
        service.settle().await;
        assert_eq!(world.db.texts(DELIVERIES).await, ["unknown answer_lost -"]);
        let callback = sent.callback.unwrap();
        // Nobody's attempt, then no attempt's form: nothing happens.
        for wrong in ["018f0000-0000-7000-8000-000000000000", "not an id"] {
            tell(&service, SHOP, Status::new("wamid.other", "read", ANNA).with_callback(wrong)).await;
        }
        assert_eq!(world.db.texts(DELIVERIES).await, ["unknown answer_lost -"]);
        tell(&service, SHOP, Status::new(&sent.wamid, "delivered", ANNA).with_callback(&callback)).await;
        assert_eq!(world.db.texts(DELIVERIES).await, ["delivered - - delivered"]);
        tell(&service, SHOP, Status::new(&sent.wamid, "read", ANNA)).await;
        assert_eq!(world.db.texts(DELIVERIES).await, ["read - - delivered read"]);
        assert_eq!(world.db.texts("select d.wamid || a.wamid from deliveries d join attempts a on a.delivery_id = d.id").await,
            [format!("{0}{0}", sent.wamid)]);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// B may speak for B's number: neither B's late nor B's early words touch what A sent.
    async fn nobody_tells_of_anothers_messages(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard { tenant: "a", change: |bot| bot.typing = false, ..Onboard::default() }).await;
        let b = Onboard { tenant: "b", chatbot: "bot-b", number: HELP, app_secret: Some("the-secret-of-b"), ..Onboard::default() };
        service.onboard(b).await;
        let by_b = Sender::new(format!("{}/webhook", service.running.url()), "the-secret-of-b").unwrap();
        world.graph.fault(Fault::Hang(Duration::from_millis(1_000)));
        service.text(SHOP, ANNA, "For A").await;
        let sent = world.graph.wait_for_sent(1, SOON).await.pop().unwrap();
        let forge = async |number: &str, callback: Option<&String>| {
            let mut status = Status::new(&sent.wamid, "failed", ANNA).with_error(131_026, "Forged");
            status.callback = callback.cloned();
            assert_eq!(by_b.send(body(&[Change::new(number).status(status)])).await.unwrap().status, 200);
        };
        // While A waits for the answer, and after.
        for _ in 0..2 {
            forge(HELP, None).await;
            forge(HELP, sent.callback.as_ref()).await;
            forge(SHOP, sent.callback.as_ref()).await;
            service.settle().await;
            assert_eq!(world.db.texts(DELIVERIES).await, ["sent - - sent"]);
        }
        tell(&service, SHOP, Status::new(&sent.wamid, "read", ANNA)).await;
        assert_eq!(world.db.texts(DELIVERIES).await, ["read - - sent read"]);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Of a message to a group each person tells for herself; one person's failure is nobody else's.
    async fn a_group_has_a_status_for_each_of_its_people(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
        service.text(SHOP, ANNA, "To all").await;
        let wamid = world.graph.wait_for_sent(1, SOON).await[0].wamid.clone();
        service.settle().await;
        for (word, who) in [("delivered", "1"), ("read", "2"), ("delivered", "2"), ("failed", "3"), ("played", "4")] {
            let status = Status::new(&wamid, word, "group").of_participant(who).with_error(131_026, "Not on WhatsApp");
            tell(&service, SHOP, status).await;
        }
        assert_eq!(
            world.db.texts("select participant || ' ' || status from delivery_participants order by participant").await,
            ["1 delivered", "2 read", "3 failed", "4 played"]
        );
        assert_eq!(world.db.texts(DELIVERIES).await, ["played - - sent delivered read"]);
        assert_eq!(world.db.texts("select 'at' from deliveries where played_at is not null").await, ["at"]);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// The first price told of a message counts, once, on its day.
    async fn prices_are_summed_by_day(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
        let help = Onboard { tenant: "b", chatbot: "bot-b", number: HELP, ..Onboard::default() };
        service.onboard(Onboard { change: |bot| bot.typing = false, ..help }).await;
        for (n, number) in [SHOP, SHOP, SHOP, HELP].into_iter().enumerate() {
            service.text(number, ANNA, "Priced").await;
            world.graph.wait_for_sent(n + 1, SOON).await;
        }
        service.settle().await;
        let wamids: Vec<String> = world.graph.sent().into_iter().map(|s| s.wamid).collect();
        let at = |n: usize, word: &str, seconds: i64| Status { timestamp: seconds, ..Status::new(&wamids[n], word, ANNA) };
        let (monday, tuesday) = (1_795_391_999, 1_795_392_000);
        let change = Change::new(SHOP)
            .status(at(0, "sent", monday))
            .status(at(0, "delivered", tuesday).with_pricing("marketing", "regular", true))
            .status(at(1, "sent", monday))
            .status(at(1, "sent", monday));
        for _ in 0..2 {
            assert_eq!(service.post(body(std::slice::from_ref(&change))).await.status, 200);
        }
        service.settle().await;
        tell(&service, SHOP, at(0, "sent", tuesday)).await;
        tell(&service, SHOP, at(2, "read", tuesday).with_pricing("service", "free_customer_service", false)).await;
        tell(&service, HELP, at(3, "sent", tuesday)).await;
        let usage = async |tenant: &str, since: &str| -> Vec<String> {
            let text = "day || ' ' || chatbot_id || ' ' || category || ' ' || type || case when billable then ' true ' else ' false ' end";
            let from = format!("from usage_days where tenant_id = '{tenant}' and day >= '{since}' order by day");
            world.db.texts(&format!("select {text} || cast(messages as text) {from}")).await
        };
        let free = "2026-11-23 ecommerce-chatbot-id service free_customer_service false 1";
        assert_eq!(usage("default", "").await, ["2026-11-22 ecommerce-chatbot-id service regular true 2", free]);
        assert_eq!(usage("default", "2026-11-23").await, [free]);
        assert_eq!(usage("b", "").await, ["2026-11-23 bot-b service regular true 1"]);
        assert_eq!(
            world.db.texts("select price_category || ' ' || price_type from deliveries order by id").await,
            ["service regular", "service regular", "service free_customer_service", "service regular"]
        );
        service.running.stop().await;
    }
}
