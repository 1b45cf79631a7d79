//! Tenants' own systems are told what happened: signed, tried again, each tenant its own.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::runtime::{Clock, rfc3339};
use switchboard::sandbox::response_api::Answer;
use switchboard::sandbox::webhook::{Change, Incoming, Status, body};

use crate::harness::receiver::Receiver;
use crate::harness::{ADMIN_KEY, HELP, Onboard, SHOP, SOON, Service, World};
use crate::on_both_databases;

const ANNA: &str = "15551230001";
const HOUR: i64 = 3_600_000;

/// A call of the API by the platform, in a tenant's name.
pub async fn api(service: &Service, tenant: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
    let http = switchboard::sandbox::http_client().unwrap();
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = http.request(method, format!("{}/api/v1{path}", service.running.url()));
    request = request.bearer_auth(ADMIN_KEY).header("Switchboard-Tenant", tenant);
    if !body.is_null() {
        request = request.json(&body);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

/// Makes an endpoint; its id and secret.
async fn listen(service: &Service, tenant: &str, url: &str, types: &[&str]) -> (String, String) {
    let wish = json!({"url": url, "types": types});
    let (status, made) = api(service, tenant, "POST", "/event-endpoints", wish).await;
    assert_eq!(status, 201, "{made}");
    let word = |name: &str| made["data"][name].as_str().unwrap().to_owned();
    (word("id"), word("secret"))
}

/// The deliveries of a tenant in one status.
async fn deliveries(service: &Service, tenant: &str, status: &str) -> Vec<Value> {
    let path = format!("/event-deliveries?status={status}");
    let (_, page) = api(service, tenant, "GET", &path, Value::Null).await;
    page["data"].as_array().unwrap().clone()
}

/// Waits until so many deliveries stand in this status.
async fn wait_for(service: &Service, status: &str, count: usize) -> Vec<Value> {
    let end = tokio::time::Instant::now() + SOON;
    loop {
        let found = deliveries(service, "default", status).await;
        if found.len() == count {
            return found;
        }
        assert!(tokio::time::Instant::now() < end, "{} {status} of {count}: {found:?}", found.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

on_both_databases! {
    async fn a_message_is_told_from_arrival_to_reading(db: Db) {
        let world = World { clock: Clock::system().with_pace(0.02), ..World::new(db) };
        let service = world.start().await;
        let account = service.onboard(Onboard::default()).await;
        let help = Onboard { tenant: "help", chatbot: "support-chatbot-id", number: HELP, ..Onboard::default() };
        service.onboard(help).await;
        let [all, others, few] = [Receiver::start(), Receiver::start(), Receiver::start()];
        let (_, secret) = listen(&service, "default", &all.url, &[]).await;
        listen(&service, "help", &others.url, &[]).await;
        listen(&service, "default", &few.url, &["turn.dead", "account.status"]).await;

        service.text(SHOP, ANNA, "Where is my order?").await;
        let sent = world.graph.wait_for_sent(1, SOON).await;
        let calls = all.wait_for(2).await;
        assert!(calls.iter().all(|call| call.is_signed_by(&secret)), "{calls:?}");
        let received = &all.of("message.received")[0].json();
        assert_eq!(received["data"]["text"], "Where is my order?");
        assert_eq!(received["data"]["from"]["phone"], ANNA);
        assert_eq!(received["data"]["accountId"], format!("acc_{account}"));
        assert!(received["timestamp"].as_str().unwrap().ends_with('Z'));
        let told = &all.of("message.sent")[0].json()["data"];
        assert_eq!((told["wamid"].as_str(), told["to"]["phone"].as_str()), (Some(sent[0].wamid.as_str()), Some(ANNA)));
        assert_eq!(told["conversationId"], received["data"]["conversationId"]);
        assert_eq!((told["part"].as_i64(), told["parts"].as_i64()), (Some(1), Some(1)));

        // Each step is told once, and none that comes too late.
        for status in ["read", "delivered", "read"] {
            let change = Change::new(SHOP).waba("waba-123456789");
            let answer = service.post(body(&[change.status(Status::new(&sent[0].wamid, status, ANNA))])).await;
            assert_eq!(answer.status, 200);
            service.settle().await;
        }
        all.wait_for(3).await;
        world.responder.next(None, [Answer::BadRequest]);
        service.text(SHOP, ANNA, "And now?").await;
        all.wait_for(6).await;
        service.settle().await;
        let statuses: Vec<Value> = all.of("message.status").iter().map(|c| c.json()["data"]["status"].clone()).collect();
        assert_eq!(statuses, ["read"]);
        assert_eq!(all.of("turn.dead").len(), 1);
        assert_eq!(all.of("message.sent")[1].json()["data"]["author"], "fallback");

        let store = &service.running.store;
        let used = store.account(account).await.unwrap().unwrap().access_token;
        assert!(store.set_account_status(account, "token_invalid", "token_invalid", &used, world.clock.now_ms()).await.unwrap());
        few.wait_for(2).await;
        let account_status = &few.of("account.status")[0].json()["data"];
        assert_eq!((account_status["status"].as_str(), account_status["chatbotId"].as_str()),
            (Some("token_invalid"), Some("ecommerce-chatbot-id")));
        assert!(others.calls().is_empty(), "another tenant's events: {:?}", others.calls());
        assert!(deliveries(&service, "help", "delivered").await.is_empty());
        service.running.stop().await;
    }
}

on_both_databases! {
    /// One tenant's systems never answer; another's are told at once all the same.
    async fn who_never_answers_keeps_nobody_else_waiting(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard { change: |bot| bot.paused = true, ..Onboard::default() }).await;
        let help = Onboard { tenant: "help", chatbot: "support-chatbot-id", number: HELP, ..Onboard::default() };
        service.onboard(help).await;
        let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let nowhere = format!("http://{}/", silent.local_addr().unwrap());
        for _ in 0..10 {
            listen(&service, "default", &nowhere, &["message.received"]).await;
        }
        let well = Receiver::start();
        listen(&service, "help", &well.url, &["message.received"]).await;
        let many = (0..12).map(|n| Incoming::text(ANNA, &format!("message {n}")));
        service.deliver(SHOP, many).await;
        let begun = "select 'x' from event_deliveries where tenant_id = 'default' and attempts > 0";
        service.wait_until("the silence", async || world.db.texts(begun).await.len() >= 16).await;
        let before = tokio::time::Instant::now();
        service.text(HELP, ANNA, "Hello").await;
        well.wait_for(1).await;
        assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
        // Nothing is taken that there is no room for.
        assert_eq!(world.db.texts(begun).await.len(), 16);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Eight tries over a day and more, then dead; a person may have it told again.
    async fn what_fails_is_tried_again_and_then_dead(db: Db) {
        let clock = Clock::manual(switchboard::sandbox::now_ms()).with_pace(0.02);
        let world = World { clock: clock.clone(), ..World::new(db) };
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let receiver = Receiver::start();
        listen(&service, "default", &receiver.url, &["message.received"]).await;
        receiver.answer(500);
        service.text(SHOP, ANNA, "Hello").await;
        for tries in 1..=8 {
            receiver.wait_for(tries).await;
            // Recorded: not the minute after which another process would try it again.
            let lease = rfc3339(clock.now_ms() + 60_000);
            let waits = async || match deliveries(&service, "default", "queued").await.pop() {
                Some(d) => d["attempts"] == tries && d["nextAt"] != lease.as_str(),
                None => tries == 8,
            };
            while !waits().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
            assert_eq!(receiver.calls().len(), tries, "not before its time");
            clock.advance(12 * HOUR);
        }
        let dead = wait_for(&service, "dead", 1).await.remove(0);
        assert_eq!((dead["attempts"].as_i64(), dead["responseStatus"].as_i64()), (Some(8), Some(500)));
        assert_eq!(dead["reason"], "refused");
        let ids: Vec<String> = receiver.calls().into_iter().map(|call| call.id).collect();
        assert!(ids.iter().all(|id| Some(id.as_str()) == dead["id"].as_str()), "{ids:?}");

        receiver.answer(302);
        let retry = format!("/event-deliveries/{}/retry", ids[0]);
        assert_eq!(api(&service, "help", "POST", &retry, Value::Null).await.0, 404);
        assert_eq!(api(&service, "default", "POST", &retry, Value::Null).await.0, 202);
        receiver.wait_for(9).await;
        // Heard before it is recorded.
        while wait_for(&service, "queued", 1).await[0]["reason"] != "redirect" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        receiver.answer(200);
        clock.advance(HOUR);
        let told = wait_for(&service, "delivered", 1).await.remove(0);
        let (_, one) = api(&service, "default", "GET", &format!("/event-deliveries/{}", ids[0]), Value::Null).await;
        assert_eq!(one["data"]["payload"]["data"]["text"], "Hello");
        assert!(told.get("payload").is_none() && !one.to_string().contains("the words of an answer"));
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn an_endpoint_that_is_gone_or_only_fails_is_switched_off(db: Db) {
        let clock = Clock::manual(switchboard::sandbox::now_ms()).with_pace(0.02);
        let world = World { clock: clock.clone(), ..World::new(db) };
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let receiver = Receiver::start();
        let (id, _) = listen(&service, "default", &receiver.url, &["message.received"]).await;
        let path = format!("/event-endpoints/{id}");
        receiver.answer(410);
        service.text(SHOP, ANNA, "one").await;
        assert_eq!(wait_for(&service, "dead", 1).await[0]["reason"], "endpoint_disabled");
        let (_, off) = api(&service, "default", "GET", &path, Value::Null).await;
        assert_eq!((off["data"]["disabled"].as_bool(), off["data"]["disabledReason"].as_str()), (Some(true), Some("gone")));
        service.text(SHOP, ANNA, "unheard").await;
        service.settle().await;

        receiver.answer(500);
        let (status, on) = api(&service, "default", "PATCH", &path, json!({"disabled": false})).await;
        assert_eq!((status, on["data"]["disabled"].as_bool()), (200, Some(false)));
        service.text(SHOP, ANNA, "two").await;
        receiver.wait_for(2).await;
        assert_eq!(wait_for(&service, "queued", 1).await.len(), 1);
        clock.advance(5 * 24 * HOUR + HOUR);
        wait_for(&service, "dead", 2).await;
        let (_, off) = api(&service, "default", "GET", &path, Value::Null).await;
        assert_eq!(off["data"]["disabledReason"], "failing");
        let (_, alerts) = api(&service, "default", "GET", "/alerts", Value::Null).await;
        let said: Vec<&Value> = alerts["data"].as_array().unwrap().iter().filter(|a| a["kind"] == "endpoint_disabled").collect();
        assert_eq!(said.len(), 2, "{alerts}");
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn two_secrets_sign_for_a_day(db: Db) {
        let clock = Clock::manual(switchboard::sandbox::now_ms()).with_pace(0.02);
        let world = World { clock: clock.clone(), ..World::new(db) };
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let receiver = Receiver::start();
        let (id, first) = listen(&service, "default", &receiver.url, &["message.received"]).await;
        let rotate = format!("/event-endpoints/{id}/rotate-secret");
        assert_eq!(api(&service, "help", "POST", &rotate, Value::Null).await.0, 404);
        let (status, rotated) = api(&service, "default", "POST", &rotate, Value::Null).await;
        let second = rotated["data"]["secret"].as_str().unwrap();
        assert!(status == 200 && first != second);
        service.text(SHOP, ANNA, "one").await;
        let call = receiver.wait_for(1).await.remove(0);
        assert!(call.is_signed_by(&first) && call.is_signed_by(second) && call.signatures.len() == 2);
        clock.advance(25 * HOUR);
        service.text(SHOP, ANNA, "two").await;
        let call = receiver.wait_for(2).await.remove(1);
        assert!(!call.is_signed_by(&first) && call.is_signed_by(second) && call.signatures.len() == 1);
        let (_, shown) = api(&service, "default", "GET", "/event-endpoints", Value::Null).await;
        assert!(!shown.to_string().contains("whsec_"), "{shown}");
        service.running.stop().await;
    }
}

on_both_databases! {
    /// What was told before the process died is told by the next one; a private address is never called in production.
    async fn what_waits_survives_a_restart_and_the_guard_holds(db: Db) {
        let clock = Clock::manual(switchboard::sandbox::now_ms()).with_pace(0.02);
        let world = World { clock: clock.clone(), ..World::new(db) };
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let receiver = Receiver::start();
        listen(&service, "default", &receiver.url, &["message.received"]).await;
        receiver.answer(503);
        service.text(SHOP, ANNA, "one").await;
        receiver.wait_for(1).await;
        wait_for(&service, "queued", 1).await;
        service.settle().await;
        service.running.stop().await;

        clock.advance(HOUR);
        let service = world.start_with(&[("ALLOW_PRIVATE_RESPONDERS", "false")]).await;
        let end = tokio::time::Instant::now() + SOON;
        while wait_for(&service, "queued", 1).await[0]["reason"] != "forbidden_address" {
            assert!(tokio::time::Instant::now() < end);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(receiver.calls().len(), 1);
        let (status, refused) = api(&service, "default", "POST", "/event-endpoints", json!({"url": receiver.url})).await;
        assert_eq!((status, refused["errors"][0]["field"].as_str()), (400, Some("url")));
        service.running.stop().await;

        clock.advance(HOUR);
        receiver.answer(200);
        let service = world.start().await;
        receiver.wait_for(2).await;
        wait_for(&service, "delivered", 1).await;
        service.running.stop().await;
    }
}

on_both_databases! {
    /// What a person types into the business's phone is sent without us; other systems hear of it all the same.
    async fn what_the_business_says_past_us_is_told(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let receiver = Receiver::start();
        listen(&service, "default", &receiver.url, &["message.sent", "message.received"]).await;
        let mut echo: Value = serde_json::from_str(&body(&[Change::new(SHOP).waba(&format!("waba-{SHOP}"))])).unwrap();
        let change = &mut echo["entry"][0]["changes"][0];
        change["field"] = json!("smb_message_echoes");
        let at = (world.clock.now_ms() / 1000).to_string();
        change["value"]["message_echoes"] = json!([{"from": "15550000000", "to": ANNA, "id": "wamid.typed", "timestamp": at,
            "type": "text", "text": {"body": "Maria here"}}]);
        assert_eq!(service.post(echo.to_string()).await.status, 200);
        let told = receiver.wait_for(1).await.remove(0);
        let data = &told.json()["data"];
        assert_eq!((told.kind().as_str(), &data["author"], &data["deliveryId"]), ("message.sent", &json!("person"), &Value::Null));
        assert_eq!((&data["to"]["phone"], &data["text"], &data["wamid"]), (&json!(ANNA), &json!("Maria here"), &json!("wamid.typed")));
        service.settle().await;
        service.running.stop().await;
    }
}
