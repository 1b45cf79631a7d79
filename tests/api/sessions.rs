//! Sessions over the API: what is refused and why, who sees what, and the very words of older systems.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::auth::Role;

use crate::harness::{ADMIN, Api, Options, WEBHOOK};

const PATH: &str = "/api/v1/sessions";

impl Api {
    /// A session that shows its code.
    async fn pairing(&self, key: &str, name: &str) -> Value {
        self.expect(201, "post", PATH, key, json!({ "name": name })).await;
        self.until(&format!("{PATH}/{name}"), key, |s| s["state"] == "pairing" && !s["qr"].is_null()).await
    }

    /// A session that `phone` is linked to.
    async fn linked(&self, key: &str, name: &str, phone: &str) -> Value {
        self.pairing(key, name).await;
        assert!(self.phones.scan_session(name, phone).await);
        self.until(&format!("{PATH}/{name}"), key, |s| s["state"] == "connected").await
    }
}

#[actix_web::test]
async fn what_cannot_be_meant_is_refused_by_its_field() {
    let api = Api::start().await;
    let key = api.key("5", Role::Admin).await;
    for (body, fields) in [
        (json!({ "name": "with blanks" }), vec!["name"]),
        (json!({ "name": "x".repeat(55) }), vec!["name"]),
        (json!({ "name": "tenant_6" }), vec!["name"]),
        (json!({ "name": "ses_6" }), vec!["name"]),
        (json!({ "engine": "telepathy" }), vec!["engine"]),
        (json!({ "phoneNumber": "12" }), vec!["phoneNumber"]),
        (
            json!({ "pace": { "minGapSeconds": 0, "dailyCap": -1 } }),
            vec!["pace.minGapSeconds", "pace.dailyCap"],
        ),
        (json!({ "pace": { "fast": true } }), vec!["pace.fast"]),
        (json!({ "colour": "blue" }), vec!["colour"]),
    ] {
        api.wrong_fields("post", PATH, &key, body, &fields).await;
    }
    api.refuse(404, "not_found", "post", PATH, &key, json!({ "chatbotId": "nobody" })).await;
    // The first one is called after its tenant, the next one is not to be guessed.
    let first = api.expect(201, "post", PATH, &key, json!({})).await;
    assert_eq!((&first["name"], &first["isDefault"]), (&json!("tenant_5"), &json!(true)));
    let second = api.expect(201, "post", PATH, &key, json!({})).await;
    assert!(second["name"].as_str().unwrap().starts_with("wa-"), "{second}");
    assert_eq!(second["isDefault"], false);
    api.refuse(409, "already_exists", "post", PATH, &key, json!({ "name": "tenant_5" })).await;

    let messages = format!("{PATH}/tenant_5/messages");
    for (body, fields) in [
        (json!({}), vec!["to", "message"]),
        (json!({ "to": "abc", "message": " " }), vec!["to", "message"]),
        (json!({ "to": "15551234567", "message": "x".repeat(4_097) }), vec!["message"]),
        (json!({ "contacts": [] }), vec!["contacts"]),
        (json!({ "contacts": [{ "phone": "12", "message": "x" }] }), vec!["contacts.0.to"]),
        (json!({ "contacts": [{ "phone": "15551234567" }] }), vec!["message"]),
        (json!({ "to": "15551234567", "message": "x", "queue": "no" }), vec!["queue"]),
        (json!({ "to": "15551234567", "message": "x", "type": "poem" }), vec!["type"]),
    ] {
        api.wrong_fields("post", &messages, &key, body, &fields).await;
    }
    let one = format!("{PATH}/tenant_5");
    api.wrong_fields("patch", &one, &key, json!({ "isDefault": false }), &["isDefault"]).await;
    api.wrong_fields(
        "patch",
        &one,
        &key,
        json!({ "pace": { "quietFrom": "9" } }),
        &["pace.quietFrom", "pace.quietUntil"],
    )
    .await;
    api.refuse(400, "invalid", "patch", &one, &key, json!({})).await;
    let changed = api.expect(200, "patch", &one, &key, json!({ "pace": { "dailyCap": 7 } })).await;
    assert_eq!((&changed["pace"]["dailyCap"], &changed["pace"]["newContactsCap"]), (&json!(7), &json!(30)));
    let back = api.expect(200, "patch", &one, &key, json!({ "pace": { "dailyCap": null } })).await;
    assert_eq!(back["pace"]["dailyCap"], 200);
    // Another one becomes the default; the name of a deleted one is free.
    let second = format!("{PATH}/{}", second["name"].as_str().unwrap());
    assert_eq!(
        api.expect(200, "patch", &second, &key, json!({ "isDefault": true })).await["isDefault"],
        true
    );
    assert_eq!(api.expect(200, "get", &one, &key, Value::Null).await["isDefault"], false);
    api.expect(200, "delete", &second, &key, Value::Null).await;
    assert_eq!(api.expect(200, "get", &one, &key, Value::Null).await["isDefault"], true);
    api.refuse(404, "not_found", "get", &second, &key, Value::Null).await;
}

#[actix_web::test]
async fn only_those_who_may_link_a_phone_see_the_code() {
    let api = Api::start().await;
    let admin = api.key("a", Role::Admin).await;
    api.pairing(&admin, "shop").await;
    for role in [Role::Viewer, Role::Agent] {
        let key = api.key("a", role).await;
        let seen = api.expect(200, "get", &format!("{PATH}/shop"), &key, Value::Null).await;
        assert_eq!((&seen["state"], &seen["qrUrl"]), (&json!("pairing"), &Value::Null));
        assert_eq!(api.call("get", "/api/whatsapp/status", &key, Value::Null).await.1["qrCode"], Value::Null);
        for (method, path) in [
            ("get", format!("{PATH}/shop/qr")),
            ("get", "/api/whatsapp/qr".to_owned()),
            ("post", format!("{PATH}/shop/pairing-code")),
            ("post", format!("{PATH}/shop/logout")),
            ("post", "/api/tenants/a/whatsapp/connect".to_owned()),
            ("post", "/api/whatsapp/connect".to_owned()),
        ] {
            api.refuse(403, "forbidden", method, &path, &key, Value::Null).await;
        }
    }
    let viewer = api.key("a", Role::Viewer).await;
    api.refuse(403, "forbidden", "post", &format!("{PATH}/shop/messages"), &viewer, json!({})).await;
    for path in [PATH, "/api/v1/sessions/shop/qr", "/api/whatsapp/status", "/api/tenants/a/whatsapp/status"] {
        api.refuse(401, "unauthenticated", "get", path, "", Value::Null).await;
    }
    let other = api.key("b", Role::Owner).await;
    for path in ["/api/tenants/a/whatsapp/status", "/api/v1/sessions/shop"] {
        api.refuse(404, "not_found", "get", path, &other, Value::Null).await;
    }
    api.refuse(404, "not_found", "post", "/api/tenants/a/whatsapp/connect", &other, Value::Null).await;
    api.refuse(404, "not_found", "post", "/api/a/whatsapp/connect", &other, Value::Null).await;
}

#[actix_web::test]
async fn b_05_to_b_07_a_tenants_session_speaks_the_words_of_the_older_system() {
    let api = Api::start().await;
    let key = api.key("5", Role::Admin).await;
    let status = "/api/tenants/5/whatsapp/status";
    let get = async || api.call("get", status, &key, Value::Null).await;
    assert_eq!(get().await, (200, json!({ "connected": false, "message": "WhatsApp not configured" })));
    let stop = async || api.call("post", "/api/tenants/5/whatsapp/disconnect", &key, Value::Null).await.1;
    assert_eq!(stop().await, json!({ "success": true, "message": "Already disconnected" }));

    let (code, connect) = api.call("post", "/api/tenants/5/whatsapp/connect", &key, Value::Null).await;
    let url = connect["qr_url"].as_str().unwrap().to_owned();
    let host = WEBHOOK.trim_end_matches("/webhook");
    assert!(code == 200 && url.starts_with(&format!("{host}/api/v1/session-qr/")), "{connect}");
    let said = json!({
        "success": true, "qr_url": url, "session": "tenant_5",
        "message": "Scan QR code with your WhatsApp to connect",
    });
    assert_eq!(connect, said);
    api.until(&format!("{PATH}/tenant_5"), &key, |s| s["state"] == "pairing" && !s["qr"].is_null()).await;
    let scanning =
        json!({ "connected": false, "status": "SCAN_QR_CODE", "message": "Scan QR code to connect" });
    assert_eq!(get().await.1, scanning);
    let picture = api.request("get", &url[host.len()..], "").send().await.unwrap();
    assert_eq!(picture.headers()["content-type"], "image/png");
    // The short address is the same.
    assert_eq!(api.call("post", "/api/5/whatsapp/connect", &key, Value::Null).await.1["session"], "tenant_5");

    api.phones.scan_session("tenant_5", "15550001111").await;
    api.until(&format!("{PATH}/tenant_5"), &key, |s| s["state"] == "connected").await;
    let connected =
        json!({ "connected": true, "status": "WORKING", "phone": "15550001111", "session": "tenant_5" });
    assert_eq!(get().await.1, connected);
    api.phones.forget("tenant_5").await;
    api.until(&format!("{PATH}/tenant_5"), &key, |s| s["reason"] == "engine_forgot").await;
    assert_eq!(get().await.1, json!({ "connected": false, "message": "Session not found" }));
    assert_eq!(stop().await, json!({ "success": true, "message": "WhatsApp disconnected" }));
    assert_eq!(stop().await, json!({ "success": true, "message": "Already disconnected" }));
    assert_eq!(get().await.1, json!({ "connected": false, "message": "WhatsApp not configured" }));
    // A tenant that had a number in an older system is found by it; the platform may name any.
    let names = json!({ "externalIds": { "legacy_int": "12" } });
    api.expect(200, "patch", "/api/v1/tenants/5", ADMIN, names).await;
    let by_number = api.call("get", "/api/tenants/12/whatsapp/status", &key, Value::Null).await;
    assert_eq!(by_number.1["message"], "WhatsApp not configured");
    assert_eq!(api.call("get", status, ADMIN, Value::Null).await.0, 200);
}

#[actix_web::test]
async fn a_callers_one_session_speaks_two_older_systems_words_at_once() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    let status = async || api.call("get", "/api/whatsapp/status", &key, Value::Null).await.1;
    let none = status().await;
    assert_eq!(
        (&none["success"], &none["isConnected"], &none["status"]),
        (&json!(true), &json!(false), &json!("disconnected"))
    );
    assert_eq!(
        (&none["data"]["isReady"], &none["data"]["connectionStatus"]),
        (&json!(false), &json!("disconnected"))
    );
    let problem = api.refuse(404, "not_found", "get", "/api/whatsapp/qr", &key, Value::Null).await;
    assert_eq!(problem["success"], false);
    let begun = api.call("post", "/api/whatsapp/connect", &key, Value::Null).await;
    assert_eq!((begun.0, &begun.1["status"]), (200, &json!("connecting")));
    let mut qr = Value::Null;
    for _ in 0..200 {
        qr = api.call("get", "/api/whatsapp/qr", &key, Value::Null).await.1;
        if qr["success"] == true {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(qr["data"]["qrCode"].as_str().unwrap().starts_with("data:image/png;base64,"), "{qr}");
    let waiting = status().await;
    assert_eq!(
        (&waiting["status"], &waiting["data"]["connectionStatus"]),
        (&json!("waiting_scan"), &json!("qr_ready"))
    );
    assert_eq!(waiting["qrCode"], qr["data"]["qrCode"]);
    api.phones.scan_session("tenant_a", "15550001111").await;
    api.until(&format!("{PATH}/tenant_a"), &key, |s| s["state"] == "connected").await;
    let ready = status().await;
    for (field, value) in [
        ("isConnected", json!(true)),
        ("status", json!("connected")),
        ("phoneNumber", json!("15550001111")),
        ("qrCode", Value::Null),
    ] {
        assert_eq!(ready[field], value, "{field} in {ready}");
    }
    assert!(ready["connectedAt"].is_string() && ready["data"]["clientId"] == "tenant_a");
    let connected = api.call("get", "/api/whatsapp/qr", &key, Value::Null).await;
    assert_eq!((connected.0, &connected.1["data"]["qrCode"]), (200, &Value::Null));
    // Every way a number and words were ever called.
    for body in [
        json!({ "number": "15551234567", "message": "x" }),
        json!({ "phoneNumber": "+15551234567", "message": "x", "contactId": "c1" }),
        json!({ "type": "single", "to": "15551234567", "message": "x" }),
        json!({ "type": "bulk", "contacts": [{ "phone": "15551234567", "message": "x" }] }),
    ] {
        let (code, sent) = api.call("post", "/api/whatsapp/send", &key, body).await;
        assert_eq!((code, &sent["success"]), (200, &json!(true)), "{sent}");
        assert!(sent["messageId"].as_str().unwrap().starts_with("dlv_") && sent["timestamp"].is_string());
    }
    // The line of this number alone, with whom each is for.
    let number = api.expect(200, "get", &format!("{PATH}/tenant_a"), &key, Value::Null).await["id"].clone();
    let line = format!("/api/v1/deliveries?phoneNumberId={}", number.as_str().unwrap());
    let line = api.expect(200, "get", &line, &key, Value::Null).await;
    assert_eq!((line.as_array().unwrap().len(), &line[0]["to"]), (4, &json!("15551234567")));
    let none = api.expect(200, "get", "/api/v1/deliveries?phoneNumberId=ses_9", &key, Value::Null).await;
    assert_eq!(none, json!([]));
    let info = api.expect(200, "get", "/api/whatsapp/session-info", &key, Value::Null).await;
    assert_eq!((&info["connectionStatus"], &info["maxReconnectAttempts"]), (&json!("ready"), &json!(5)));
    assert_eq!((&info["storage"]["mode"], &info["healthChecksActive"]), (&json!("file"), &json!(true)));
    let data = api.expect(200, "post", "/api/whatsapp/reconnect", &key, Value::Null).await;
    assert_eq!(data["clientId"], "tenant_a");
    for path in ["sessions", "cleanup-old-sessions"] {
        let method = if path == "sessions" { "get" } else { "post" };
        api.refuse(403, "forbidden", method, &format!("/api/whatsapp/{path}"), &key, Value::Null).await;
    }
    for said in ["WhatsApp disconnected", "Already disconnected"] {
        let gone = api.call("post", "/api/whatsapp/disconnect", &key, Value::Null).await.1;
        assert_eq!((&gone["success"], &gone["message"]), (&json!(true), &json!(said)));
        api.until(&format!("{PATH}/tenant_a"), &key, |s| s["state"] == "logged_out").await;
    }
}

#[actix_web::test]
async fn b_17_a_clean_up_removes_what_nobody_can_read_and_nothing_else() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    let folder = api.parts.session_path.clone();
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in [("good.json", "{\"v\":1}"), ("cut.json", "{\"v\":"), ("notes.txt", "no json")] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let done = api.expect(200, "post", "/api/whatsapp/cleanup-sessions", &key, Value::Null).await;
    assert_eq!(done["deletedCount"], 1);
    let info = api.expect(200, "get", "/api/whatsapp/session-info", &key, Value::Null).await;
    let names: Vec<&str> =
        info["storage"]["files"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["good.json", "notes.txt"]);
}

#[actix_web::test]
async fn in_production_sessions_are_listed_without_any_keys() {
    let api = Api::start_with(Options { production: true, ..Options::default() }).await;
    let (a, b) = (api.key("a", Role::Admin).await, api.key("b", Role::Admin).await);
    api.linked(&a, "shop", "15550001111").await;
    api.pairing(&b, "help").await;
    let list = async |key: &str| api.expect(200, "get", "/api/whatsapp/sessions", key, Value::Null).await;
    let own = list(&a).await;
    assert_eq!(
        (own.as_array().unwrap().len(), &own[0]["clientId"], &own[0]["isActive"]),
        (1, &json!("shop"), &json!(true))
    );
    assert!(!own.to_string().contains("session_data") && !own.to_string().contains("webhook"));
    assert_eq!(list(ADMIN).await.as_array().unwrap().len(), 2);
    // Fresh ones are not old.
    let none = api.expect(200, "post", "/api/whatsapp/cleanup-old-sessions", &a, json!({})).await;
    assert_eq!((&none["deletedCount"], &none["daysOld"]), (&json!(0), &json!(30)));
    api.wrong_fields("post", "/api/whatsapp/cleanup-old-sessions", &a, json!({ "daysOld": 0 }), &["daysOld"])
        .await;
}

#[actix_web::test]
async fn a_page_that_listens_hears_every_turn() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    api.pairing(&key, "shop").await;
    let mut line = api.request("get", &format!("{PATH}/shop/events"), &key).send().await.unwrap();
    assert_eq!(line.headers()["content-type"], "text/event-stream");
    let mut heard = String::new();
    let mut scanned = false;
    while !heard.contains("\"connected\"") {
        let chunk =
            tokio::time::timeout(Duration::from_secs(20), line.chunk()).await.expect("silence").unwrap();
        heard.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        if !std::mem::replace(&mut scanned, true) {
            assert!(heard.starts_with("event: session\n") && heard.contains("\"pairing\""), "{heard}");
            api.phones.scan_session("shop", "15550001111").await;
        }
    }
}
