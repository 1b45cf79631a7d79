//! What goes in and out through a session: answers of chatbots, and messages the business starts.

use super::*;
use crate::on_both_databases;

on_both_databases! {
    async fn b_21_a_chatbot_answers_at_a_session_as_at_an_official_number(db: Db) {
        let world = World::fast(db);
        let service = sandbox(&world).await;
        chatbot(&service, "a", "shop-bot").await;
        let tenant = service.tenant("a").await;
        linked(&world, &tenant, "shop", "15550001111", Some("shop-bot")).await;
        let wamid = world.phones.write("shop", CUSTOMER, "Hello?").await.unwrap();
        service.wait_until("an answer", async || !texts(&world, "shop").is_empty()).await;
        let answer = &world.phones.arrived("shop")[0];
        assert_eq!(answer.to, format!("{CUSTOMER}@c.us"));
        assert!(answer.text.contains("Hello?") && answer.typed, "{answer:?}");
        assert_eq!(world.phones.read("shop"), [wamid]);
        assert_eq!(world.graph.call_count(), 0, "Graph has nothing to do with it");
        // It stands in the conversations like any other, and was asked for like any other.
        let conversation = tenant.until("/api/v1/conversations", |all| all[0]["contact"]["phone"] == CUSTOMER).await;
        assert_eq!(conversation[0]["uniqueClientId"], format!("whatsapp_{CUSTOMER}_shop-bot"));
        let path = format!("/api/v1/conversations/{}/messages", conversation[0]["id"].as_str().unwrap());
        let read = |all: &Value| all[0]["deliveries"][0]["status"] == "read";
        assert_eq!(tenant.until(&path, read).await.as_array().unwrap().len(), 2);
        // A message of one of our own numbers is not answered: two chatbots would talk for ever.
        world.phones.write("shop", "15550001111", "Hello, me").await.unwrap();
        tenant.until("/api/v1/conversations", |all| all.as_array().is_some_and(|all| all.len() == 2)).await;
        // Another chatbot, then nobody: at once.
        chatbot(&service, "a", "other-bot").await;
        tenant.expect("PATCH", "/api/v1/sessions/shop", json!({ "chatbotId": "other-bot" })).await;
        world.phones.write("shop", CUSTOMER, "And now?").await.unwrap();
        service.wait_until("another answer", async || texts(&world, "shop").len() == 2).await;
        assert_eq!(world.responder.received().last().unwrap().chatbot(), "other-bot");
        tenant.expect("PATCH", "/api/v1/sessions/shop", json!({ "chatbotId": null })).await;
        world.phones.write("shop", CUSTOMER, "Nobody there?").await.unwrap();
        let silent = tenant.until("/api/v1/conversations", |all| all.as_array().is_some_and(|all| all.len() == 4)).await;
        let path = format!("/api/v1/conversations/{}/messages", silent[0]["id"].as_str().unwrap());
        tenant.until(&path, |all| all[0]["note"] == "chatbot_paused").await;
        assert_eq!(texts(&world, "shop").len(), 2);
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn b_18_what_the_business_starts_leaves_in_order_with_random_gaps_over_a_restart(db: Db) {
        let world = World::fast(db);
        let service = sandbox(&world).await;
        let tenant = service.tenant("a").await;
        linked(&world, &tenant, "shop", "15550001111", None).await;
        let pace = json!({ "pace": quick() });
        tenant.expect("PATCH", "/api/v1/sessions/shop", pace).await;
        let people: Vec<Value> =
            (0..30).map(|n| json!({ "phone": format!("1555200{n:04}1"), "message": format!("news {n}") })).collect();
        let (status, queued) =
            tenant.call("POST", "/api/v1/sessions/shop/messages", json!({ "contacts": people })).await;
        assert_eq!(status, 202, "{queued}");
        let ids: Vec<String> = queued["data"]["deliveries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|d| d["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(ids.len(), 30);
        // One is taken back while it waits.
        let cancelled = tenant.call("DELETE", &format!("/api/v1/deliveries/{}", ids[20]), Value::Null).await;
        assert_eq!(cancelled.0, 200, "{}", cancelled.1);
        service.wait_until("some have left", async || texts(&world, "shop").len() >= 5).await;
        service.running.stop().await;
        let service = sandbox(&world).await;
        let tenant = service.tenant("a").await;
        service.wait_until("all have left", async || texts(&world, "shop").len() >= 29).await;
        let wished: Vec<String> = (0..30).filter(|n| *n != 20).map(|n| format!("news {n}")).collect();
        assert_eq!(texts(&world, "shop"), wished);
        let arrived = world.phones.arrived("shop");
        assert!(arrived.iter().all(|message| message.typed));
        // At a fiftieth of the time: 20 to 40 ms, 60 to 80 ms after each tenth, and the typing.
        let gaps: Vec<u128> = arrived.windows(2).map(|pair| (pair[1].at - pair[0].at).as_millis()).collect();
        assert!(gaps.iter().all(|gap| *gap >= 20), "{gaps:?}");
        assert!(gaps.iter().collect::<std::collections::HashSet<_>>().len() > 5, "they are all alike: {gaps:?}");
        assert!(gaps[9] >= 60 && gaps[19] >= 60, "no pause after each tenth: {gaps:?}");
        let last = format!("/api/v1/deliveries/{}", ids[29]);
        tenant.until(&last, |d| d["status"] == "read").await;
        let queue = tenant.session("shop", "connected").await["queue"].clone();
        assert_eq!((&queue["started"], &queue["sentToday"]), (&json!(0), &json!(29)));
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn b_18_caps_hold_what_the_business_starts_and_never_an_answer(db: Db) {
        let world = World::fast(db);
        let service = sandbox(&world).await;
        chatbot(&service, "a", "shop-bot").await;
        let tenant = service.tenant("a").await;
        linked(&world, &tenant, "shop", "15550001111", Some("shop-bot")).await;
        let mut pace = quick();
        pace["newContactsCap"] = json!(2);
        pace["dailyCap"] = json!(4);
        tenant.expect("PATCH", "/api/v1/sessions/shop", json!({ "pace": pace })).await;
        // A customer who has written is no stranger.
        world.phones.write("shop", CUSTOMER, "Hi").await.unwrap();
        service.wait_until("an answer", async || texts(&world, "shop").len() == 1).await;
        let letter = |to: &str, words: &str| json!({ "to": to, "message": words });
        for words in ["one", "two"] {
            tenant.expect("POST", "/api/v1/sessions/shop/messages", letter(CUSTOMER, words)).await;
        }
        let mut last = Value::Null;
        for n in 0..3 {
            let to = format!("1555300{n:04}1");
            last = tenant.expect("POST", "/api/v1/sessions/shop/messages", letter(&to, "stranger")).await;
        }
        let path = format!("/api/v1/deliveries/{}", last["id"].as_str().unwrap());
        tenant.until(&path, |d| d["reason"] == "daily_cap").await;
        assert_eq!(texts(&world, "shop")[1..], ["one", "two", "stranger", "stranger"]);
        tenant.expect("PATCH", "/api/v1/sessions/shop", json!({ "pace": { "dailyCap": 100 } })).await;
        tenant.until(&path, |d| d["reason"] == "new_contacts_cap").await;
        world.phones.write("shop", CUSTOMER, "Still there?").await.unwrap();
        service.wait_until("an answer all the same", async || texts(&world, "shop").len() == 6).await;
        // B-19 and B-20: a number without WhatsApp is told of, not tried for ever.
        tenant.expect("PATCH", "/api/v1/sessions/shop", json!({ "pace": { "newContactsCap": 9 } })).await;
        tenant.until(&path, |d| d["status"] == "read").await;
        let nobody = tenant.expect("POST", "/api/v1/sessions/shop/messages", letter("15554440000", "x")).await;
        let path = format!("/api/v1/deliveries/{}", nobody["id"].as_str().unwrap());
        assert_eq!(tenant.until(&path, |d| d["status"] == "failed").await["reason"], "undeliverable");
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn an_answer_that_the_engine_does_not_take_waits_and_is_sent_once(db: Db) {
        let world = World::fast(db);
        let service = sandbox(&world).await;
        let tenant = service.tenant("a").await;
        linked(&world, &tenant, "shop", "15550001111", None).await;
        world.phones.deafen("shop", true);
        let words = json!({ "to": CUSTOMER, "message": "once" });
        let queued = tenant.expect("POST", "/api/v1/sessions/shop/messages", words).await;
        let path = format!("/api/v1/deliveries/{}", queued["id"].as_str().unwrap());
        tenant.until(&path, |d| d["status"] == "queued" && d["reason"] == "session_disconnected").await;
        world.phones.deafen("shop", false);
        tenant.until(&path, |d| d["status"] == "read").await;
        assert_eq!(texts(&world, "shop"), ["once"]);
        service.running.stop().await;
    }
}
