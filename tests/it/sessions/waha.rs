//! Sessions at a stand-in of a WAHA server: its codes, waits, shapes, signatures and retries.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;
use switchboard::sandbox::http_client;
use switchboard::sandbox::waha::{Options, Version, WahaStandIn};

use super::*;
use crate::on_both_databases;

const KEY: &str = "key-of-the-engine";

/// A server that wants a key, and is quick.
fn engine(version: Version) -> WahaStandIn {
    let (patience, retry) = (Duration::from_millis(50), Duration::from_millis(100));
    WahaStandIn::start(Options { version, key: Some(KEY.into()), patience, retry }).unwrap()
}

/// A service beside it.
async fn beside(world: &World, waha: &WahaStandIn, more: &[(&str, &str)]) -> Service {
    let mut variables = vec![("WAHA_API_URL", waha.base_url.as_str()), ("WAHA_API_KEY", KEY)];
    variables.extend(more);
    world.start_with(&variables).await
}

/// A session that `phone` is linked to.
async fn linked(waha: &WahaStandIn, tenant: &Tenant, name: &str, phone: &str, bot: Option<&str>) -> Value {
    tenant.pairing(name, bot).await;
    assert!(waha.scan(name, phone), "it shows no code");
    tenant.session(name, "connected").await
}

/// Somebody posts a webhook; status and answer.
async fn post(service: &Service, query: &str, body: &Value, key: Option<&str>) -> (u16, Value) {
    let text = body.to_string();
    let url = format!("{}/api/webhook/waha{query}", service.running.url());
    let mut request = http_client().unwrap().post(url).header("Content-Type", "application/json");
    if let Some(key) = key {
        let mut mac = <Hmac<Sha512> as KeyInit>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        request = request.header("X-Webhook-Hmac", hex::encode(mac.finalize().into_bytes()));
    }
    let answer = request.body(text).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

on_both_databases! {
    async fn b_28_three_tenants_on_one_engine_never_meet(db: Db) {
        let (world, waha) = (World::fast(db), engine(Version::Modern));
        let service = beside(&world, &waha, &[]).await;
        for (id, phone) in [("5", "15550000005"), ("12", "15550000012"), ("3", "15550000003")] {
            let tenant = service.tenant(id).await;
            let connect = format!("/api/tenants/{id}/whatsapp/connect");
            let begun = tenant.expect("POST", &connect, Value::Null).await;
            let name = format!("tenant_{id}");
            assert_eq!(begun["session"], name.as_str());
            let url = begun["qr_url"].as_str().unwrap();
            assert!(!url.contains(KEY) && !url.contains(&waha.base_url), "{url}");
            tenant.until(&format!("/api/v1/sessions/{name}"), |s| s["state"] == "pairing" && !s["qr"].is_null()).await;
            let status = format!("/api/tenants/{id}/whatsapp/status");
            let scanning = json!({ "connected": false, "status": "SCAN_QR_CODE", "message": "Scan QR code to connect" });
            assert_eq!(tenant.expect("GET", &status, Value::Null).await, scanning);
            // The next code takes the place of the first.
            let page = format!("/api/v1/sessions/{name}/qr");
            let first = tenant.expect("GET", &page, Value::Null).await;
            waha.next_code(&name);
            let second = tenant.until(&page, |now| now["version"] != first["version"]).await;
            assert!(second["qr"] != first["qr"] && second["expired"] == false);
            waha.scan(&name, phone);
            tenant.session(&name, "connected").await;
            let connected = json!({ "connected": true, "status": "WORKING", "phone": phone, "session": name });
            assert_eq!(tenant.expect("GET", &status, Value::Null).await, connected);
            let webhook = waha.config(&name)["webhooks"][0].clone();
            assert!(webhook["url"].as_str().unwrap().ends_with(&format!("/api/webhook/waha?tenant_id={id}")));
            assert_eq!(webhook["hmac"]["key"].as_str().unwrap().len(), 64);
        }
        let gone = service.tenant("12").await;
        gone.expect("POST", "/api/tenants/12/whatsapp/disconnect", Value::Null).await;
        assert_eq!(waha.status("tenant_12").as_deref(), Some("STOPPED"));
        for id in ["5", "3"] {
            assert_eq!(waha.status(&format!("tenant_{id}")).as_deref(), Some("WORKING"));
            let path = format!("/api/v1/sessions/tenant_{id}");
            assert_eq!(service.tenant(id).await.expect("GET", &path, Value::Null).await["state"], "connected");
        }
        // It was only stopped: no code is needed to come back. Deleted, it is gone from the engine too.
        gone.expect("POST", "/api/12/whatsapp/connect", Value::Null).await;
        assert_eq!(gone.session("tenant_12", "connected").await["phone"], "15550000012");
        gone.expect("DELETE", "/api/v1/sessions/tenant_12", Value::Null).await;
        assert_eq!(waha.status("tenant_12"), None);
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn b_21_what_comes_by_waha_is_answered_once_and_what_is_nobodys_never(db: Db) {
        let (world, waha) = (World::fast(db), engine(Version::Modern));
        let service = beside(&world, &waha, &[]).await;
        chatbot(&service, "5", "shop-bot").await;
        let tenant = service.tenant("5").await;
        linked(&waha, &tenant, "tenant_5", "15550000005", Some("shop-bot")).await;
        // Two events tell of each message; groups, channels, status posts and our own words are nobody's question.
        let wamid = waha.write("tenant_5", &format!("{CUSTOMER}@c.us"), "Hello?");
        for chat in ["120363000@g.us", "120363111@newsletter", "status@broadcast"] {
            waha.write("tenant_5", chat, "Hello, all");
        }
        let sent = async |n: usize| waha.sent().len() == n;
        service.wait_until("an answer", async || sent(1).await).await;
        let answer = waha.sent().remove(0);
        assert_eq!((answer.chat.as_str(), answer.typed), ("15551234567@c.us", true));
        assert_eq!(waha.seen()[0]["messageIds"], json!([wamid]));
        let all = tenant.until("/api/v1/conversations", |all| all[0]["contact"]["name"] == "Alice").await;
        let path = format!("/api/v1/conversations/{}/messages", all[0]["id"].as_str().unwrap());
        let read = tenant.until(&path, |all| all[0]["deliveries"][0]["status"] == "read").await;
        assert_eq!((read.as_array().unwrap().len(), all.as_array().unwrap().len()), (2, 1));
        assert_eq!(world.responder.count(), 1);
        // The same person under a hidden id is the same contact, as long as the engine knows whose it is.
        waha.know("777@lid", CUSTOMER);
        waha.write("tenant_5", "777@lid", "It is me");
        service.wait_until("another answer", async || sent(2).await).await;
        let talk = tenant.expect("GET", &path, Value::Null).await;
        assert_eq!(talk.as_array().unwrap().len(), 4, "{talk}");
        // Somebody whose phone nobody knows is answered under the hidden id.
        waha.write("tenant_5", "888@lid", "You do not know me");
        service.wait_until("a third answer", async || sent(3).await).await;
        assert_eq!(waha.sent()[2].chat, "888@lid");
        tenant.until("/api/v1/conversations", |all| all.as_array().is_some_and(|all| all.len() == 2)).await;
        // A person who answers on the phone has the conversation: the chatbot is silent.
        waha.write_on_phone("tenant_5", &format!("{CUSTOMER}@c.us"), "Ada here");
        let path = format!("/api/v1/conversations/{}", all[0]["id"].as_str().unwrap());
        tenant.until(&path, |talk| !talk["handedOverUntil"].is_null()).await;
        waha.write("tenant_5", &format!("{CUSTOMER}@c.us"), "Thanks, Ada");
        let messages = format!("{path}/messages");
        tenant.until(&messages, |all| all[0]["text"] == "Thanks, Ada" && all[0]["note"] == "handed_over").await;
        assert_eq!((waha.sent().len(), world.responder.count()), (3, 3));
        // Every webhook was taken at the first try.
        assert!(waha.posted().iter().all(|(_, status)| *status == Some(200)), "{:?}", waha.posted());
        // B-26: what is to be watched is there.
        let metrics = tenant.request("GET", "/metrics").send().await.unwrap().text().await.unwrap();
        for name in ["switchboard_session_states_total", "switchboard_session_writes_total{outcome=\"stored\"}",
            "switchboard_session_pairings_total{outcome=\"paired\"}"] {
            assert!(metrics.contains(name), "{name}");
        }
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn b_08_a_webhook_finds_its_tenant_in_three_ways_and_never_by_guessing(db: Db) {
        let (world, waha) = (World::fast(db), engine(Version::Modern));
        let service = beside(&world, &waha, &[("WAHA_WEBHOOK_HMAC_KEY", "key-for-those-made-elsewhere")]).await;
        let (five, six) = (service.tenant("5").await, service.tenant("six").await);
        linked(&waha, &five, "tenant_5", "15550000005", None).await;
        linked(&waha, &six, "front", "15550000006", None).await;
        let key = waha.config("tenant_5")["webhooks"][0]["hmac"]["key"].as_str().unwrap().to_owned();
        let other = waha.config("front")["webhooks"][0]["hmac"]["key"].as_str().unwrap().to_owned();
        let message = |session: &str, id: &str, from: &str| {
            json!({ "event": "message", "session": session, "payload": {
                "id": format!("false_{from}_{id}"), "timestamp": 1_800_000_000, "from": from, "fromMe": false, "body": id,
            }})
        };
        let someone = "15557770001@c.us";
        let unknown = (200, json!({ "status": "error", "message": "Tenant not found" }));
        let took = |tenant: Value| (200, json!({ "status": "received", "tenant_id": tenant }));
        // By the address, whatever the session is called at its engine.
        let body = message("default", "A1", someone);
        assert_eq!(post(&service, "?tenant_id=5", &body, Some(&key)).await, took(json!(5)));
        assert_eq!(post(&service, "?tenant_id=six", &message("front", "A2", someone), Some(&other)).await, took(json!("six")));
        // By the session's name.
        assert_eq!(post(&service, "", &message("tenant_5", "A3", someone), Some(&key)).await, took(json!(5)));
        // By the customer's phone: only one session knows her.
        let alone = "15557770002@c.us";
        assert_eq!(post(&service, "?tenant_id=5", &message("tenant_5", "A4", alone), Some(&key)).await.0, 200);
        five.until("/api/v1/conversations", |all| all.as_array().is_some_and(|all| all.len() == 2)).await;
        six.until("/api/v1/conversations", |all| all.as_array().is_some_and(|all| all.len() == 1)).await;
        assert_eq!(post(&service, "", &message("elsewhere", "A5", alone), Some(&key)).await, took(json!(5)));
        // Both know the other one, and nobody knows a third; nor does an address speak for another's session.
        for (query, body) in [
            ("", message("elsewhere", "B1", someone)),
            ("", message("elsewhere", "B2", "15557770003@c.us")),
            ("?tenant_id=99", message("tenant_5", "B3", someone)),
            ("?tenant_id=six", message("tenant_5", "B4", someone)),
        ] {
            assert_eq!(post(&service, query, &body, Some(&key)).await, unknown, "{query} {body}");
        }
        // Nobody speaks for a session without its own key.
        for (key, id) in [(None, "C1"), (Some(other.as_str()), "C2"), (Some("key-for-those-made-elsewhere"), "C3")] {
            let answer = post(&service, "?tenant_id=5", &message("tenant_5", id, someone), key).await;
            assert_eq!(answer, (401, json!({ "status": "error", "message": "Invalid signature" })));
        }
        // What is no event is taken, and forgotten: it would only come again.
        assert_eq!(post(&service, "?tenant_id=5", &json!(["nonsense"]), Some(&key)).await.0, 200);
        // The same again, at once and later, is one message.
        let again = message("tenant_5", "D1", alone);
        let posts = (0..5).map(|_| post(&service, "?tenant_id=5", &again, Some(&key)));
        for answer in futures_util::future::join_all(posts).await {
            assert_eq!(answer, took(json!(5)));
        }
        five.until("/api/v1/conversations", |all| all[0]["contact"]["phone"] == "15557770002").await;
        let talk = five.expect("GET", "/api/v1/conversations", Value::Null).await[0]["id"].clone();
        let path = format!("/api/v1/conversations/{}/messages", talk.as_str().unwrap());
        let words = |all: &Value| {
            let mut words: Vec<String> =
                all.as_array().unwrap().iter().map(|m| m["text"].as_str().unwrap().to_owned()).collect();
            words.sort();
            words
        };
        let talk = five.until(&path, |all| words(all).len() >= 3).await;
        assert_eq!(words(&talk), ["A4", "A5", "D1"]);
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn an_older_waha_with_its_one_session_serves_as_well(db: Db) {
        let (world, waha) = (World::fast(db), engine(Version::Old));
        let service = beside(&world, &waha, &[("ALLOW_UNSIGNED_WEBHOOKS", "true")]).await;
        chatbot(&service, "5", "shop-bot").await;
        let tenant = service.tenant("5").await;
        // It says that it has room for one, called default.
        let (status, problem) = tenant.call("POST", "/api/v1/sessions", json!({})).await;
        assert_eq!((status, &problem["code"]), (502, &json!("engine_refused")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("only 'default' session"), "{problem}");
        linked(&waha, &tenant, "default", "15550000005", Some("shop-bot")).await;
        waha.write("default", &format!("{CUSTOMER}@c.us"), "Hello?");
        service.wait_until("an answer", async || waha.sent().len() == 1).await;
        // Without ids that version fails; they were there.
        assert_eq!(waha.seen().len(), 1);
        let all = tenant.until("/api/v1/conversations", |all| !all[0].is_null()).await;
        let path = format!("/api/v1/conversations/{}/messages", all[0]["id"].as_str().unwrap());
        tenant.until(&path, |all| all[0]["deliveries"][0]["status"] == "read").await;
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn an_engine_that_goes_away_is_told_within_ten_seconds_and_nothing_is_lost(db: Db) {
        // In real time: this is about seconds.
        let (world, waha) = (World::new(db), engine(Version::Modern));
        let service = beside(&world, &waha, &[]).await;
        let tenant = service.tenant("5").await;
        linked(&waha, &tenant, "shop", "15550000005", None).await;
        waha.stop().await;
        let gone = tokio::time::Instant::now();
        let away = tenant.until("/api/v1/sessions/shop", |s| s["reason"] == "engine_unreachable").await;
        assert!(gone.elapsed() < Duration::from_secs(10), "{:?}", gone.elapsed());
        assert_eq!(away["state"], "disconnected");
        let (status, problem) = tenant.call("POST", "/api/v1/sessions/shop/restart", Value::Null).await;
        assert_eq!((status, &problem["code"]), (502, &json!("engine_unreachable")), "{problem}");
        let words = json!({ "to": CUSTOMER, "message": "kept" });
        tenant.expect("POST", "/api/v1/sessions/shop/messages", words).await;
        waha.set_key(Some("another-key"));
        waha.resume().unwrap();
        tenant.until("/api/v1/sessions/shop", |s| s["reason"] == "key_refused").await;
        waha.set_key(Some(KEY));
        tenant.session("shop", "connected").await;
        service.wait_until("what waited has left", async || waha.sent().len() == 1).await;
        // A word that is new to us is a person's matter, and passes.
        waha.turn("shop", "PASSKEY_REQUIRED");
        let odd = tenant.until("/api/v1/sessions/shop", |s| s["reason"] == "needs_attention").await;
        assert_eq!((&odd["state"], &odd["detail"]), (&json!("failed"), &json!("PASSKEY_REQUIRED")));
        waha.turn("shop", "WORKING");
        tenant.session("shop", "connected").await;
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn b_16_old_sessions_are_put_away_and_used_ones_never(db: Db) {
        let (world, waha) = (World::fast(db), engine(Version::Modern));
        let production =
            [("APP_ENV", "production"), ("SWITCHBOARD_KEYS", "a-test-key-that-is-long-enough-to-be-one")];
        let service = beside(&world, &waha, &production).await;
        let tenant = service.tenant("5").await;
        for (n, name) in ["old", "recent", "busy"].into_iter().enumerate() {
            linked(&waha, &tenant, name, &format!("1555000000{n}"), None).await;
        }
        for name in ["old", "recent"] {
            tenant.expect("POST", &format!("/api/v1/sessions/{name}/stop"), Value::Null).await;
            tenant.until(&format!("/api/v1/sessions/{name}"), |s| s["reason"] == "stopped").await;
        }
        service.running.stop().await;
        let now = world.clock.now_ms();
        for (name, days) in [("old", 31), ("recent", 29), ("busy", 90)] {
            let at = now - days * 86_400_000;
            let aged = format!(
                "update whatsapp_sessions set created_at = {at}, state_at = {at}, connected_at = {at}, \
                 disconnected_at = case when state = 'connected' then null else {at} end where name = '{name}' returning name"
            );
            assert_eq!(world.db.texts(&aged).await, [name]);
        }
        let service = beside(&world, &waha, &production).await;
        let tenant = service.tenant("5").await;
        tenant.session("busy", "connected").await;
        let cleanup = "/api/whatsapp/cleanup-old-sessions";
        let done = tenant.expect("POST", cleanup, json!({ "daysOld": 30 })).await;
        assert_eq!((&done["deletedCount"], &done["daysOld"]), (&json!(1), &json!(30)));
        let left = tenant.expect("GET", "/api/whatsapp/sessions", Value::Null).await;
        let names: Vec<&str> = left.as_array().unwrap().iter().map(|s| s["clientId"].as_str().unwrap()).collect();
        assert_eq!(names, ["recent", "busy"]);
        assert_eq!((waha.status("old"), waha.status("busy").as_deref()), (None, Some("WORKING")));
        // B-27: a device that was linked 27 days ago is about to be asked again.
        let aged = format!(
            "update whatsapp_sessions set paired_at = {} where name = 'busy' returning name",
            world.clock.now_ms() - 27 * 86_400_000
        );
        assert_eq!(world.db.texts(&aged).await, ["busy"]);
        let busy = tenant.expect("GET", "/api/v1/sessions/busy", Value::Null).await;
        assert_eq!(busy["ageDays"], 27);
        assert!(busy["warning"].as_str().unwrap().contains("27 days ago"), "{busy}");
        service.running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b_10_two_instances_never_watch_one_session_and_one_takes_over_from_the_other() {
    let Some(db) = Db::postgres().await else { return };
    let (world, waha) = (World::fast(db), engine(Version::Modern));
    let first = beside(&world, &waha, &[]).await;
    chatbot(&first, "5", "shop-bot").await;
    let tenant = first.tenant("5").await;
    linked(&waha, &tenant, "shop", "15550000005", Some("shop-bot")).await;
    let second = beside(&world, &waha, &[]).await;
    let owner = "select cast(owner as text) from whatsapp_sessions where name = 'shop'";
    let before = world.db.texts(owner).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.db.texts(owner).await, before, "it is watched by whoever watched it");
    // What the second instance takes in and is told to do, the first one does.
    let there = second.tenant("5").await;
    let words = json!({ "to": CUSTOMER, "message": "by the other one" });
    there.expect("POST", "/api/v1/sessions/shop/messages", words).await;
    first.wait_until("it has left", async || waha.sent().len() == 1).await;
    assert_eq!(waha.sent()[0].text, "by the other one");
    first.running.stop().await;
    second.wait_until("it has another owner", async || world.db.texts(owner).await != before).await;
    assert_eq!(there.session("shop", "connected").await["qr"], Value::Null);
    waha.write("shop", &format!("{CUSTOMER}@c.us"), "Still there?");
    second.wait_until("it answers", async || waha.sent().len() == 2).await;
    second.running.stop().await;
}

/// What is sealed is nowhere in clear: neither the key of its webhooks nor the code it shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b_23_a_dump_of_the_database_shows_no_key_and_no_code() {
    let (world, waha) = (World::fast(Db::sqlite()), engine(Version::Modern));
    let service = beside(&world, &waha, &[]).await;
    let tenant = service.tenant("5").await;
    tenant.pairing("shop", None).await;
    let raw = tenant.request("GET", "/api/v1/sessions/shop/qr?format=raw").send().await.unwrap();
    let raw = raw.text().await.unwrap();
    let key = waha.config("shop")["webhooks"][0]["hmac"]["key"].as_str().unwrap().to_owned();
    service.running.stop().await;
    let dump =
        world.db.texts("select coalesce(webhook_key, '') || coalesce(qr, '') from whatsapp_sessions").await;
    assert!(dump[0].starts_with("v1.") && !dump[0].contains(&raw) && !dump[0].contains(&key), "{dump:?}");
}
