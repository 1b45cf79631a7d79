//! Chatbots: defaults, bounds, merge patch, and where their key may go.

use serde_json::{Value, json};

use super::harness::{Api, Options};
use switchboard::auth::Role;
use switchboard::sandbox::response_api::{Answer, ResponseApiStandIn};

const CHATBOTS: &str = "/api/v1/chatbots";

#[actix_web::test]
async fn a_chatbot_has_defaults_and_keeps_its_key_to_itself() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    let viewer = api.key("a", Role::Viewer).await;
    let body = json!({"id": "shop", "apiKey": "a-very-long-key-of-the-responder-0001"});
    let made = api.expect(201, "post", CHATBOTS, &key, body.clone()).await;
    for (field, value) in [
        ("id", json!("shop")),
        ("name", json!("shop")),
        ("apiKey", json!("a-ve…0001")),
        ("responder", json!({"kind": "response_api"})),
        ("coalesceMs", json!(800)),
        ("coalesceMaxMs", json!(5000)),
        ("historyLimit", json!(10)),
        ("typing", json!(true)),
        ("paused", json!(false)),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    assert!(made["fallbackText"].as_str().unwrap().starts_with("Sorry"));
    let stored = api.parts.store.chatbot("a", "shop").await.unwrap().unwrap();
    assert!(!stored.api_key.unwrap().contains("responder"), "sealed at rest");
    let seen = api.expect(200, "get", "/api/v1/chatbots/shop", &viewer, Value::Null).await;
    assert_eq!(seen, made);
    api.refuse(409, "already_exists", "post", CHATBOTS, &key, body).await;

    // Another tenant sees nothing of it, and cannot take its name.
    let other = api.key("b", Role::Owner).await;
    for method in ["get", "delete"] {
        api.refuse(404, "not_found", method, "/api/v1/chatbots/shop", &other, Value::Null).await;
    }
    api.refuse(404, "not_found", "patch", "/api/v1/chatbots/shop", &other, json!({"paused": true})).await;
    api.refuse(409, "already_exists", "post", CHATBOTS, &other, json!({"id": "shop"})).await;
    let (_, list) = api.call("get", CHATBOTS, &other, Value::Null).await;
    assert_eq!(list["data"], json!([]));

    api.expect(200, "delete", "/api/v1/chatbots/shop", &key, Value::Null).await;
    api.refuse(404, "not_found", "get", "/api/v1/chatbots/shop", &key, Value::Null).await;
    api.refuse(409, "already_exists", "post", CHATBOTS, &other, json!({"id": "shop"})).await;
    let back = api.expect(201, "post", CHATBOTS, &key, json!({"id": "shop"})).await;
    assert_eq!(back["apiKey"], Value::Null, "a chatbot that comes back begins anew");
}

#[actix_web::test]
async fn every_wrong_value_is_named() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    api.expect(201, "post", CHATBOTS, &key, json!({"id": "shop"})).await;
    let long = "x".repeat(4097);
    for (body, fields) in [
        (json!({"coalesceMs": -1}), &["coalesceMs"][..]),
        (json!({"coalesceMs": 60_001, "coalesceMaxMs": 300_000}), &["coalesceMs"]),
        (json!({"coalesceMs": 6_000}), &["coalesceMaxMs"]),
        (json!({"coalesceMaxMs": 300_001}), &["coalesceMaxMs"]),
        (json!({"historyLimit": 0}), &["historyLimit"]),
        (json!({"historyLimit": 101}), &["historyLimit"]),
        (json!({"historyLimit": "10"}), &["historyLimit"]),
        (json!({"fallbackText": long}), &["fallbackText"]),
        (json!({"fallbackText": " "}), &["fallbackText"]),
        (json!({"typing": "yes", "paused": 1, "name": ""}), &["name", "typing", "paused"]),
        (json!({"apiKey": "with blank"}), &["apiKey"]),
        (json!({"tenantId": "b"}), &["tenantId"]),
        (json!({"createdAt": "x"}), &["createdAt"]),
        (json!({"responder": "echo"}), &["responder"]),
        (json!({"responder": {"kind": "magic"}}), &["responder.kind"]),
        (json!({"responder": {"baseURL": "x"}}), &["responder.baseURL"]),
        (json!({"responder": {"baseUrl": "ftp://x", "path": "x"}}), &["responder.baseUrl", "responder.path"]),
        (json!({"responder": {"path": "/elsewhere"}}), &["responder.path"]),
        (json!({"responder": {"baseUrl": "https://u:p@x.example"}}), &["responder.baseUrl"]),
        (json!({"responder": {"originUrl": "nowhere"}}), &["responder.originUrl"]),
        (json!({"responder": {"timeoutMs": 999}}), &["responder.timeoutMs"]),
        (json!({"responder": {"timeoutMs": 60_001}}), &["responder.timeoutMs"]),
        (json!({"responder": {"kind": "openai"}}), &["responder.baseUrl", "responder.model"]),
    ] {
        api.wrong_fields("patch", "/api/v1/chatbots/shop", &key, body.clone(), fields).await;
        api.wrong_fields("post", CHATBOTS, &key, body, fields).await;
    }
    api.wrong_fields("patch", "/api/v1/chatbots/shop", &key, json!({"id": "shop"}), &["id"]).await;
    api.wrong_fields("post", CHATBOTS, &key, json!({"id": "a/b"}), &["id"]).await;
    api.refuse(400, "invalid", "patch", "/api/v1/chatbots/shop", &key, json!({})).await;

    let api = Api::start_with(Options { production: true, ..Options::default() }).await;
    let key = api.key("a", Role::Admin).await;
    for url in ["http://x.example", "https://127.0.0.1", "https://metadata.internal"] {
        let body = json!({"responder": {"baseUrl": url}});
        api.wrong_fields("post", CHATBOTS, &key, body, &["responder.baseUrl"]).await;
    }
}

#[actix_web::test]
async fn a_change_is_merged() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    let responder =
        json!({"kind": "openai", "baseUrl": "https://one.example/v1", "model": "m", "systemPrompt": "p"});
    let body = json!({"id": "shop", "apiKey": "key-1", "responder": responder, "coalesceMs": 0, "fallbackText": null});
    let made = api.expect(201, "post", CHATBOTS, &key, body).await;
    assert_eq!((&made["coalesceMs"], &made["fallbackText"]), (&json!(0), &Value::Null));
    let change = async |body: Value| api.expect(200, "patch", "/api/v1/chatbots/shop", &key, body).await;

    let changed =
        change(json!({"responder": {"systemPrompt": null, "timeoutMs": 5000}, "paused": true})).await;
    let merged =
        json!({"kind": "openai", "baseUrl": "https://one.example/v1", "model": "m", "timeoutMs": 5000});
    assert_eq!((&changed["responder"], &changed["paused"]), (&merged, &json!(true)));
    assert_eq!(changed["apiKey"], "••••");
    let changed = change(json!({"coalesceMs": null, "name": "Shop"})).await;
    assert_eq!(
        (&changed["coalesceMs"], &changed["name"], &changed["paused"]),
        (&json!(800), &json!("Shop"), &json!(true))
    );

    // Another path on the same host keeps the key; another host gets none, unless it is given one.
    let kept = change(json!({"responder": {"baseUrl": "https://one.example/v2"}})).await;
    assert_eq!(kept["apiKey"], "••••");
    let body = json!({"responder": {"baseUrl": "https://two.example/v1"}});
    let (_, answer) = api.call("patch", "/api/v1/chatbots/shop", &key, body).await;
    assert_eq!(answer["data"]["apiKey"], Value::Null);
    assert!(answer["message"].as_str().unwrap().contains("API key was removed"));
    let given = change(json!({"apiKey": "key-2", "responder": {"baseUrl": "https://three.example"}})).await;
    assert_eq!(given["apiKey"], "••••");
    let reset = change(json!({"responder": null, "apiKey": null})).await;
    assert_eq!((&reset["responder"], &reset["apiKey"]), (&json!({"kind": "response_api"}), &Value::Null));
}

#[actix_web::test]
async fn a_trial_shows_what_went_and_what_came() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    let responder = ResponseApiStandIn::start().unwrap();
    let secret = "a-very-long-key-of-the-responder-0001";
    let settings = json!({"baseUrl": responder.base_url, "timeoutMs": 1_000});
    let body = json!({"id": "shop", "apiKey": secret, "responder": settings});
    api.expect(201, "post", CHATBOTS, &key, body).await;
    let path = "/api/v1/chatbots/shop/test";

    let seen = api.expect(200, "post", path, &key, json!({"message": "Where is it?"})).await;
    assert_eq!((&seen["ok"], &seen["reason"]), (&json!(true), &Value::Null));
    assert!(seen["answer"].as_str().unwrap().contains("Where is it?"));
    let received = responder.received().pop().unwrap();
    assert_eq!(received.body["user"]["converslyWebId"], secret);
    assert_eq!(received.idempotency_key.as_deref(), seen["id"].as_str());
    // Word for word, but for the key.
    let request = &seen["request"];
    assert_eq!(request["method"], "POST");
    assert_eq!(request["url"], format!("{}/response", responder.base_url));
    assert_eq!(request["headers"]["content-type"], "application/json");
    let mut sent: Value = serde_json::from_str(request["body"].as_str().unwrap()).unwrap();
    assert_eq!(sent["user"]["converslyWebId"], "a-ve…0001");
    sent["user"]["converslyWebId"] = secret.into();
    assert_eq!(sent, received.body);
    let came: Value = serde_json::from_str(seen["response"]["body"].as_str().unwrap()).unwrap();
    assert_eq!((&seen["response"]["status"], &came["response"]), (&json!(200), &seen["answer"]));

    // Failures are shown as they are, as often as one asks: no breaker stands before a trial.
    for _ in 0..8 {
        responder.next(None, [Answer::ServerError]);
        let seen = api.expect(200, "post", path, &key, json!({})).await;
        assert_eq!((&seen["ok"], &seen["reason"]), (&json!(false), &json!("responder_error")));
        assert_eq!((&seen["response"]["status"], &seen["answer"]), (&json!(500), &Value::Null));
    }
    responder.stop().await;
    let seen = api.expect(200, "post", path, &key, json!({})).await;
    assert_eq!((&seen["ok"], &seen["response"]), (&json!(false), &Value::Null));
    assert!(seen["request"]["body"].as_str().unwrap().contains("Hello"));
    assert!(!seen.to_string().contains(secret));

    api.expect(200, "patch", "/api/v1/chatbots/shop", &key, json!({"responder": {"kind": "echo"}})).await;
    let seen = api.expect(200, "post", path, &key, json!({"message": "Hi"})).await;
    assert_eq!((&seen["answer"], &seen["request"]), (&json!("Hi"), &Value::Null));
    api.wrong_fields("post", path, &key, json!({"message": ""}), &["message"]).await;
    let other = api.key("b", Role::Owner).await;
    api.refuse(404, "not_found", "post", path, &other, json!({})).await;
    let agent = api.key("a", Role::Agent).await;
    api.refuse(403, "forbidden", "post", path, &agent, json!({})).await;
}

/// The whole table of spellings is with the guard; here, that every door asks it.
#[actix_web::test]
async fn no_address_of_our_own_network_is_stored_in_production() {
    let api = Api::start_with(Options { production: true, ..Options::default() }).await;
    let key = api.key("a", Role::Owner).await;
    api.expect(201, "post", "/api/v1/chatbots", &key, json!({"id": "bot", "name": "Bot"})).await;
    for url in [
        "https://127.0.0.1",
        "https://2130706433",
        "https://017700000001",
        "https://0x7f.1",
        "https://[::1]",
        "https://[::ffff:10.0.0.1]",
        "https://[64:ff9b::a00:1]",
        "https://[fdaa::3]",
        "https://169.254.169.254/latest",
        "https://10.0.0.8",
        "https://redis",
        "https://db.internal",
        "https://good.example@127.0.0.1",
        "https://good.example:22",
        "http://good.example",
        "file:///etc/passwd",
    ] {
        let change = json!({"responder": {"baseUrl": url}});
        api.wrong_fields("patch", "/api/v1/chatbots/bot", &key, change, &["responder.baseUrl"]).await;
        let new = json!({"id": "other", "name": "Other", "responder": {"kind": "openai", "model": "m", "baseUrl": url}});
        api.wrong_fields("post", "/api/v1/chatbots", &key, new, &["responder.baseUrl"]).await;
        api.wrong_fields("post", "/api/v1/event-endpoints", &key, json!({"url": url}), &["url"]).await;
    }
    let good = json!({"responder": {"baseUrl": "https://good.example"}});
    api.expect(200, "patch", "/api/v1/chatbots/bot", &key, good).await;
}
