//! A chatbot fails: the customer is told once, the reason is kept, and nobody else notices.

use std::time::{Duration, Instant};

use switchboard::news::News;
use switchboard::sandbox::response_api::{Answer, Behaviour};
use switchboard::sandbox::webhook::Incoming;
use switchboard::store::chatbots::FALLBACK_TEXT;

use crate::harness::{HELP, Onboard, SHOP, SOON, World};
use crate::on_both_databases;

const ANNA: &str = "15551230001";

on_both_databases! {
    /// Every way to fail ends the same: retries, one fallback text, a dead turn with its reason.
    async fn every_failure_ends_in_one_fallback(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        let slow = Answer::Echo.after(Duration::from_secs(20));
        let cases: [(&str, Behaviour, Option<usize>, &str); 9] = [
            ("500", Answer::ServerError.into(), Some(5), "responder_error"),
            ("no-success", Answer::Refused.into(), Some(5), "responder_failed"),
            ("empty", Answer::Empty.into(), Some(5), "responder_empty"),
            ("invisible", Answer::Text("<!-- nothing -->\n<br>".into()).into(), Some(5), "responder_empty"),
            ("no-json", Answer::NotJson.into(), Some(5), "responder_unreadable"),
            ("hang-up", Answer::HangUp.into(), None, "responder_broken"),
            ("slow", slow, None, "responder_timeout"),
            ("400", Answer::BadRequest.into(), Some(1), "responder_refused"),
            ("origin", Answer::UnknownOrigin.into(), Some(1), "responder_config"),
        ];
        for (n, (chatbot, behaviour, ..)) in cases.iter().enumerate() {
            world.responder.behave(Some(chatbot), behaviour.clone());
            let change: fn(&mut switchboard::store::chatbots::Chatbot) =
                |bot| bot.responder = r#"{"kind":"response_api","timeoutMs":150}"#.into();
            let number = format!("80{n}");
            service.onboard(Onboard { chatbot, number: &number, change, ..Onboard::default() }).await;
            service.text(&number, ANNA, "Hello?").await;
        }
        world.graph.wait_for_sent(cases.len(), SOON).await;
        service.settle().await;
        let sent = world.graph.sent();
        assert_eq!(sent.len(), cases.len());
        assert!(sent.iter().all(|s| s.text() == FALLBACK_TEXT));
        for (chatbot, _, calls, reason) in cases {
            let asked = world.responder.received_for(chatbot);
            assert!(calls.is_none_or(|calls| calls == asked.len()), "{chatbot}: {}", asked.len());
            let keys: std::collections::HashSet<_> = asked.iter().map(|r| r.idempotency_key.clone()).collect();
            assert_eq!(keys.len(), 1, "a repeated question is the same question");
            let dead = format!("select reason from turns where status = 'dead' and chatbot_id = '{chatbot}'");
            let dead = world.db.texts(&dead).await;
            assert!(dead.len() == 1 && dead[0].starts_with(&format!("{reason}: ")), "{chatbot}: {dead:?}");
        }
        // The next question goes out without the fallback in its history.
        world.responder.clear();
        service.text("800", ANNA, "Better?").await;
        world.graph.wait_for_sent(10, SOON).await;
        service.settle().await;
        let words: Vec<String> = world.responder.received()[0].history().into_iter().map(|(_, words)| words).collect();
        assert_eq!(words, ["Hello?", "Better?"]);
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn nobody_listens_then_somebody_does(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        world.responder.stop().await;
        service.text(SHOP, ANNA, "Anybody?").await;
        world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;
        let dead = service.running.store.dead_turns("default", i64::MAX, 10).await.unwrap();
        assert!(dead.len() == 1 && dead[0].attempts == 5);
        assert!(dead[0].reason.as_ref().is_some_and(|r| r.starts_with("responder_unreachable: ")));
        world.responder.resume().unwrap();

        // A person asks again: the same question, and this time an answer.
        assert!(service.running.store.reopen_turn("default", dead[0].id).await.unwrap());
        service.running.news.tell(News::Work).await.unwrap();
        let sent = world.graph.wait_for_sent(2, SOON).await;
        service.settle().await;
        assert!(sent[0].text() == FALLBACK_TEXT && sent[1].text().contains("Anybody?"));
        assert_eq!(world.responder.received()[0].history().len(), 1);
        assert_eq!(world.responder.received()[0].idempotency_key, Some(dead[0].id.to_string()));
        assert!(!service.running.store.reopen_turn("default", dead[0].id).await.unwrap(), "not dead any more");

        // Where nothing is to be said, nothing is said.
        service.onboard(Onboard { chatbot: "mute", number: HELP, change: |bot| bot.fallback_text = None, ..Onboard::default() }).await;
        world.responder.behave(Some("mute"), Answer::BadRequest);
        service.text(HELP, ANNA, "Anybody?").await;
        world.responder.wait_for(2, SOON).await;
        service.settle().await;
        assert_eq!(world.graph.sent_count(), 2);
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn a_passing_failure_is_not_noticed(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        world.responder.next(None, [Answer::ServerError, Answer::Empty, Answer::NotJson]);
        service.text(SHOP, ANNA, "Fourth time lucky").await;
        let sent = world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;
        let asked = world.responder.received();
        assert_eq!((asked.len(), world.graph.sent_count()), (4, 1));
        assert!(sent[0].text().contains("Fourth time lucky"));
        assert!(asked.iter().all(|r| r.body == asked[0].body && r.idempotency_key == asked[0].idempotency_key));
        assert_eq!(world.db.texts("select status || cast(attempts as text) from turns").await, ["answered4"]);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Two chatbots at one address: the one that always fails rests, the other is asked as ever.
    async fn the_breaker_stops_the_bad_one_alone(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard { chatbot: "bad", ..Onboard::default() }).await;
        service.onboard(Onboard { chatbot: "good", number: HELP, ..Onboard::default() }).await;
        world.responder.behave(Some("bad"), Answer::ServerError);
        for n in 0..8 {
            service.text(SHOP, &format!("1555600000{n}"), "Hello?").await;
        }
        world.graph.wait_for_sent(8, SOON).await;
        service.settle().await;
        assert!(world.graph.sent().iter().all(|s| s.text() == FALLBACK_TEXT));
        let calls = world.responder.received_for("bad").len();
        assert!((10..20).contains(&calls), "{calls} of 40 calls");
        let resting = "select reason from turns where status = 'dead' and reason like 'responder_resting%'";
        assert!(!world.db.texts(resting).await.is_empty());
        service.text(HELP, ANNA, "You are fine").await;
        let sent = world.graph.wait_for_sent(9, SOON).await;
        service.settle().await;
        assert!(sent[8].text().contains("You are fine"));
        assert_eq!(world.responder.received_for("good").len(), 1);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Tenant A's chatbot thinks for seconds about a hundred people; tenant B's people wait for nobody.
    async fn a_slow_tenant_delays_no_other(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard { tenant: "slow", chatbot: "thinker", ..Onboard::default() }).await;
        service.onboard(Onboard { tenant: "quick", chatbot: "quick", number: HELP, ..Onboard::default() }).await;
        world.responder.behave(Some("thinker"), Answer::Text("Well …".into()).after(Duration::from_secs(6)));
        let thinkers = (0..100).map(|n| Incoming::text(&format!("15556001{n:03}"), "Think!"));
        service.deliver(SHOP, thinkers).await;
        world.responder.wait_for(100, SOON).await;
        let began = Instant::now();
        for n in 0..10 {
            service.text(HELP, &format!("15556002{n:03}"), "Quick!").await;
        }
        world.graph.wait_for_sent(10, SOON).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}");
        let sent = world.graph.wait_for_sent(110, SOON).await;
        assert!(sent[..10].iter().all(|s| s.phone_number_id == HELP));
        service.settle().await;
        let other = "select status || ' ' || coalesce(reason, '-') || ' ' || coalesce(detail, '-') from deliveries where status <> 'sent' \
                     union all select 'turn ' || status || ' ' || coalesce(reason, '-') from turns where status <> 'answered' \
                     union all select 'waits' from pending_messages";
        assert_eq!(world.db.texts(other).await, [""; 0]);
        assert_eq!(world.graph.sent_count(), 110);
        service.running.stop().await;
    }
}
