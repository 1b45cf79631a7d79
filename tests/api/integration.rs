//! Integrations: onboarding, its refusals, changes that take effect at once, and who sees what.

use serde_json::{Value, json};

use super::harness::{Api, Options, WEBHOOK, integration};
use switchboard::auth::Role;
use switchboard::graph::client::Credentials;
use switchboard::routing::Status;
use switchboard::sandbox::graph::{Call, Fault, Number, Rule, Subscription};

const PATH: &str = "/api/v1/whatsapp/integration";

fn of(chatbot: &str) -> String {
    format!("{PATH}?chatbotId={chatbot}")
}

async fn status_of(api: &Api, number: &str) -> Vec<Status> {
    api.parts.routing.accounts(number).await.unwrap().iter().map(|account| account.status).collect()
}

fn check(data: &Value, name: &str) -> String {
    let checks = data["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name);
    found.and_then(|check| check["status"].as_str()).unwrap_or_default().to_owned()
}

#[actix_web::test]
async fn a_number_comes_to_a_chatbot() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    let mut body = integration("shop", "111");
    body["appSecret"] = json!("an-app-secret-of-thirty-two-chars");
    body["apiKey"] = json!("responder-key-of-the-shop");
    body["accessToken"] = json!("EAAGaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaax9Qz");
    // Nobody is told of a number before it is known: the absence is remembered, and forgotten at once.
    assert!(status_of(&api, "111").await.is_empty());
    let made = api.expect(201, "post", PATH, &key, body).await;
    assert_eq!(made["status"], "active");
    assert_eq!(made["displayPhoneNumber"], "+888111", "as Graph writes it");
    assert_eq!(made["callbackUrl"], WEBHOOK);
    assert_eq!(made["mode"], "all");
    for name in ["token", "number", "business_account", "connected", "token_details"] {
        assert_eq!(check(&made, name), "ok", "{name}: {made}");
    }
    assert_eq!(check(&made, "subscription"), "failed");
    assert_eq!(made["checks"].as_array().unwrap().len(), 7);
    assert_eq!(status_of(&api, "111").await, [Status::Active]);

    // Write-only: masked in every answer, sealed at rest, usable inside.
    let (_, seen) = api.call("get", &of("shop"), &key, Value::Null).await;
    assert_eq!((&seen["data"], &seen["success"]), (&made, &json!(true)));
    assert_eq!(made["accessToken"], "EAAG…x9Qz");
    let row = api.parts.store.accounts("a", Some("shop"), None).await.unwrap().remove(0);
    for secret in ["EAAGaaaa", "verify-shop", "an-app-secret", "responder-key"] {
        assert!(!seen.to_string().contains(secret), "{secret}");
        let chatbot = api.parts.store.chatbot("a", "shop").await.unwrap().unwrap();
        assert!(!format!("{row:?}{chatbot:?}").contains(secret), "{secret}");
    }
    let account = api.parts.routing.accounts("111").await.unwrap()[0].clone();
    assert_eq!(
        secrecy::ExposeSecret::expose_secret(account.chatbot.api_key.as_ref().unwrap()),
        "responder-key-of-the-shop"
    );
    assert_eq!(api.parts.routing.account_of_verify_token("verify-shop-111").await, Some(row.id));

    api.refuse(409, "already_exists", "post", PATH, &key, integration("shop", "111")).await;
    // A second chatbot may share the number.
    api.onboard(&key, "support", "111").await;
    assert_eq!(status_of(&api, "111").await.len(), 2);
}

#[actix_web::test]
async fn every_wrong_value_is_named() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    api.onboard(&key, "shop", "111").await;
    let required = ["chatbotId", "phoneNumberId", "accessToken", "verifyToken", "businessAccountId"];
    api.wrong_fields("post", PATH, &key, json!({}), &required).await;
    for (field, values) in [
        ("chatbotId", vec![json!(""), json!("a b"), json!(5), Value::Null, json!("x".repeat(65))]),
        ("phoneNumberId", vec![json!("12a"), json!(""), json!(123), json!("1".repeat(33))]),
        ("accessToken", vec![json!(""), json!("with blank"), json!("ctrl\u{1}")]),
        ("verifyToken", vec![json!("short"), json!("1234567"), json!("verify-shop-111")]),
        ("businessAccountId", vec![json!("a/b"), json!(""), json!("x".repeat(65))]),
        (
            "webhookUrl",
            vec![json!("nowhere"), json!("ftp://x"), json!(format!("https://x.example/{}", "y".repeat(200)))],
        ),
        ("appSecret", vec![json!("short"), json!("")]),
        ("displayPhoneNumber", vec![json!("call me")]),
        ("mode", vec![json!("some"), Value::Null]),
        ("tenantId", vec![json!("b")]),
        ("status", vec![json!("active")]),
    ] {
        for value in values {
            let mut body = integration("other", "222");
            body[field] = value;
            api.wrong_fields("post", PATH, &key, body, &[field]).await;
        }
    }
    let mut body = integration("other", "222");
    body["verifyToken"] = json!("seven77");
    body["webhookUrl"] = json!("x");
    api.wrong_fields("post", PATH, &key, body, &["verifyToken", "webhookUrl"]).await;
    assert!(api.parts.store.chatbot("a", "other").await.unwrap().is_none());
}

#[actix_web::test]
async fn what_graph_refuses_is_not_stored() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    api.graph.register(Number::new("111").waba("waba-1").token("the-right-token"));
    let refused = api.refuse(422, "graph_refused", "post", PATH, &key, integration("shop", "111")).await;
    assert_eq!(check(&refused, "token"), "failed");
    assert_eq!(check(&refused, "number"), "skipped");
    // Somebody else's business account, with a token that may use the number.
    let mut body = integration("shop", "111");
    body["accessToken"] = json!("the-right-token");
    body["businessAccountId"] = json!("waba-2");
    let refused = api.refuse(422, "graph_refused", "post", PATH, &key, body).await;
    assert_eq!(
        (check(&refused, "token"), check(&refused, "business_account")),
        ("ok".into(), "failed".into())
    );
    assert!(api.parts.store.accounts_of_number("111").await.unwrap().is_empty());
    assert!(api.parts.store.number("111").await.unwrap().is_none());
    assert!(api.parts.store.chatbot_anywhere("shop").await.unwrap().is_none());
}

#[actix_web::test]
async fn while_graph_is_away_a_number_waits() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    let rival = api.key("b", Role::Admin).await;
    api.graph.stop().await;
    let made = api.onboard(&key, "shop", "111").await;
    assert_eq!((&made["status"], &made["statusReason"]), (&json!("pending"), &json!("graph_unreachable")));
    assert_eq!(status_of(&api, "111").await, [Status::Pending]);
    assert!(api.parts.store.number("111").await.unwrap().is_none(), "pending reserves nothing");
    let path = format!("{PATH}/{}", made["id"].as_str().unwrap());
    let still = api.expect(200, "post", &format!("{path}/check"), &key, Value::Null).await;
    assert_eq!(still["status"], "pending");
    let still = api.expect(200, "patch", &path, &key, json!({"status": "active"})).await;
    assert_eq!(still["status"], "pending");
    let moved = json!({"businessAccountId": "waba-9"});
    api.refuse(503, "graph_unreachable", "patch", &path, &key, moved).await;

    api.graph.resume().unwrap();
    let now = api.expect(200, "post", &format!("{path}/check"), &key, Value::Null).await;
    assert_eq!((&now["status"], &now["statusReason"]), (&json!("active"), &Value::Null));
    assert_eq!(status_of(&api, "111").await, [Status::Active]);
    assert_eq!(api.parts.store.number("111").await.unwrap().unwrap().tenant_id, "a");
    // Confirmed for one tenant, it is nobody else's.
    api.refuse(409, "number_taken", "post", PATH, &rival, integration("rivals", "111")).await;
}

#[actix_web::test]
async fn a_confirmed_claim_wins_over_a_pending_one() {
    let api = Api::start().await;
    let (early, late) = (api.key("a", Role::Admin).await, api.key("b", Role::Admin).await);
    api.graph.stop().await;
    let pending = api.onboard(&early, "shop", "111").await;
    api.graph.resume().unwrap();
    assert_eq!(api.onboard(&late, "rivals", "111").await["status"], "active");
    assert_eq!(api.parts.onboarding.recheck_pending(10).await.unwrap(), 0);
    let path = format!("{PATH}/{}", pending["id"].as_str().unwrap());
    let lost = api.expect(200, "get", &path, &early, Value::Null).await;
    assert_eq!((&lost["status"], &lost["statusReason"]), (&json!("inactive"), &json!("number_taken")));
    api.refuse(409, "number_taken", "patch", &path, &early, json!({"status": "active"})).await;
}

#[actix_web::test]
async fn the_background_confirms_what_waits() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    api.graph.fault(Rule::from(Fault::error(500, 2)).on(Call::Manage).times(1));
    assert_eq!(api.onboard(&key, "shop", "111").await["status"], "pending");
    assert_eq!(api.parts.onboarding.recheck_pending(10).await.unwrap(), 1);
    assert_eq!(status_of(&api, "111").await, [Status::Active]);
}

#[actix_web::test]
async fn nothing_unknown_or_anothers_is_told_apart() {
    let api = Api::start().await;
    let (key, other) = (api.key("a", Role::Admin).await, api.key("b", Role::Owner).await);
    let made = api.onboard(&key, "shop", "111").await;
    let own = format!("{PATH}/{}", made["id"].as_str().unwrap());
    for path in
        [of("shop"), of("nothing"), own.clone(), format!("{PATH}/acc_999"), format!("{PATH}/x"), of("")]
    {
        let (status, answer) = api.call("get", &path, &other, Value::Null).await;
        assert_eq!(
            (status, &answer["success"], &answer["data"]),
            (200, &json!(false), &Value::Null),
            "{path}"
        );
        let change = json!({"mode": "shadow"});
        api.refuse(404, "not_found", "patch", &path, &other, change).await;
        api.refuse(404, "not_found", "delete", &path, &other, Value::Null).await;
    }
    for action in ["check", "subscribe"] {
        api.refuse(404, "not_found", "post", &format!("{own}/{action}"), &other, json!({})).await;
    }
    api.refuse(404, "not_found", "post", PATH, &other, integration("shop", "222")).await;
    api.wrong_fields("get", PATH, &key, Value::Null, &["chatbotId"]).await;
    assert_eq!(status_of(&api, "111").await, [Status::Active]);
}

#[actix_web::test]
async fn several_numbers_must_be_told_apart() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    api.onboard(&key, "shop", "111").await;
    api.onboard(&key, "shop", "222").await;
    for (method, body) in
        [("get", Value::Null), ("patch", json!({"mode": "shadow"})), ("delete", Value::Null)]
    {
        let problem = api.refuse(409, "number_unclear", method, &of("shop"), &key, body).await;
        assert!(problem["detail"].as_str().unwrap().contains("111, 222"));
    }
    let one = format!("{}&phoneNumberId=222", of("shop"));
    assert_eq!(api.expect(200, "get", &one, &key, Value::Null).await["phoneNumberId"], "222");
    api.expect(200, "delete", &one, &key, Value::Null).await;
    assert_eq!(api.expect(200, "get", &of("shop"), &key, Value::Null).await["phoneNumberId"], "111");
}

#[actix_web::test]
async fn changes_take_effect_at_once() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    let made = api.onboard(&key, "shop", "111").await;
    let change = async |body: Value| api.expect(200, "patch", &of("shop"), &key, body).await;
    api.refuse(400, "invalid", "patch", &of("shop"), &key, json!({})).await;
    for (body, field) in [
        (json!({"verifyToken": "short"}), "verifyToken"),
        (json!({"accessToken": null}), "accessToken"),
        (json!({"status": "pending"}), "status"),
        (json!({"phoneNumberId": "222"}), "phoneNumberId"),
        (json!({"chatbotId": "x"}), "chatbotId"),
        (json!({"webhookUrl": "x"}), "webhookUrl"),
    ] {
        api.wrong_fields("patch", &of("shop"), &key, body, &[field]).await;
    }

    let off = change(json!({"status": "inactive"})).await;
    assert_eq!((&off["status"], &off["statusReason"]), (&json!("inactive"), &json!("switched_off")));
    assert_eq!(status_of(&api, "111").await, [Status::Inactive]);
    let on = change(json!({"status": "active"})).await;
    assert_eq!((&on["status"], &on["statusReason"]), (&json!("active"), &Value::Null));
    assert_eq!(status_of(&api, "111").await, [Status::Active]);

    // A new token is asked about first; what Graph refuses changes nothing.
    api.graph.revoke_token("stolen");
    let problem =
        api.refuse(422, "graph_refused", "patch", &of("shop"), &key, json!({"accessToken": "stolen"})).await;
    assert_eq!(check(&problem, "token"), "failed");
    let before = api.parts.store.accounts("a", Some("shop"), None).await.unwrap().remove(0);
    let refused = async || {
        let (store, now) = (&api.parts.store, api.parts.clock.now_ms());
        let (word, token) = ("token_invalid", &before.access_token);
        store.set_account_status(before.id, word, word, token, now).await.unwrap()
    };
    assert!(refused().await);
    let held = api.expect(200, "get", &of("shop"), &key, Value::Null).await;
    assert!(held["advice"].as_str().unwrap().contains("new one"), "{held}");
    let healed = change(json!({"accessToken": "fresh-token"})).await;
    assert_eq!((&healed["status"], &healed["statusReason"]), (&json!("active"), &Value::Null));
    // Graph's word on the old token comes late, for a send that was under way: the new one is none the worse.
    assert!(!refused().await);
    assert_eq!(api.expect(200, "get", &of("shop"), &key, Value::Null).await["status"], "active");

    // App secrets move on: both sign for a while.
    let secrets = async || -> Vec<String> {
        let account = api.parts.routing.accounts("111").await.unwrap()[0].clone();
        account.secrets.iter().map(|s| secrecy::ExposeSecret::expose_secret(s).to_owned()).collect()
    };
    change(json!({"appSecret": "first-secret"})).await;
    assert_eq!(secrets().await, ["first-secret"]);
    change(json!({"appSecret": "second-secret"})).await;
    assert_eq!(secrets().await, ["second-secret", "first-secret"]);
    change(json!({"appSecret": null})).await;
    assert!(secrets().await.is_empty());

    change(json!({"verifyToken": "another-token"})).await;
    assert!(api.parts.routing.account_of_verify_token("another-token").await.is_some());
    assert!(api.parts.routing.account_of_verify_token("verify-shop-111").await.is_none());
    let by_id = format!("{PATH}/{}", made["id"].as_str().unwrap());
    let changed =
        api.expect(200, "patch", &by_id, &key, json!({"webhookUrl": "https://own.example/hook"})).await;
    assert_eq!(changed["callbackUrl"], "https://own.example/hook");
}

#[actix_web::test]
async fn a_number_has_one_primary() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    let mut body = integration("one", "111");
    body["mode"] = json!("primary");
    api.expect(201, "post", PATH, &key, body).await;
    let mut body = integration("two", "111");
    body["mode"] = json!("primary");
    api.refuse(409, "primary_taken", "post", PATH, &key, body).await;
    api.onboard(&key, "two", "111").await;
    api.refuse(409, "primary_taken", "patch", &of("two"), &key, json!({"mode": "primary"})).await;
    api.expect(200, "patch", &of("one"), &key, json!({"mode": "shadow"})).await;
    api.expect(200, "patch", &of("two"), &key, json!({"mode": "primary"})).await;
}

#[actix_web::test]
async fn the_same_pair_comes_back_to_its_row() {
    let api = Api::start().await;
    let (key, other) = (api.key("a", Role::Admin).await, api.key("b", Role::Admin).await);
    let first = api.onboard(&key, "shop", "111").await;
    api.expect(200, "delete", &of("shop"), &key, Value::Null).await;
    assert_eq!(status_of(&api, "111").await, [Status::Inactive]);
    let (_, gone) = api.call("get", &of("shop"), &key, Value::Null).await;
    assert_eq!(gone["success"], false);
    // Its number and its verify token are free meanwhile.
    let mut body = integration("rivals", "111");
    body["verifyToken"] = json!("verify-shop-111");
    api.expect(201, "post", PATH, &other, body).await;
    api.refuse(
        409,
        "number_taken",
        "post",
        PATH,
        &key,
        json!({
            "chatbotId": "shop", "phoneNumberId": "111", "accessToken": "t", "verifyToken": "another-one",
            "businessAccountId": "waba-1",
        }),
    )
    .await;
    api.expect(200, "delete", "/api/v1/chatbots/rivals", &other, Value::Null).await;
    let again = api.onboard(&key, "shop", "111").await;
    assert_eq!((&again["id"], &again["status"]), (&first["id"], &json!("active")));
}

#[actix_web::test]
async fn a_foreign_override_is_never_replaced_silently() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    api.graph.register(Number::new("111").waba("waba-1"));
    let made = api.onboard(&key, "shop", "111").await;
    let path = format!("{PATH}/{}/subscribe", made["id"].as_str().unwrap());
    let foreign = Subscription { subscribed: true, override_url: Some("https://rival.example/hook".into()) };
    api.graph.set_subscription("waba-1", foreign.clone());
    for body in [json!({}), json!({"override": false})] {
        let problem = api.refuse(409, "foreign_override", "post", &path, &key, body).await;
        assert!(problem["detail"].as_str().unwrap().contains("https://rival.example/hook"));
        assert_eq!(api.graph.subscription("waba-1"), foreign);
    }
    let done = api.expect(200, "post", &path, &key, json!({"override": false, "force": true})).await;
    assert_eq!(check(&done, "subscription"), "ok");
    assert_eq!(api.graph.subscription("waba-1"), Subscription { subscribed: true, override_url: None });
    // Meta asks the URL for the verify token; nobody answers at this one.
    api.refuse(422, "graph_refused", "post", &path, &key, json!({})).await;
    api.wrong_fields("post", &path, &key, json!({"force": 1}), &["force"]).await;
}

#[actix_web::test]
async fn without_verification_nobody_is_asked() {
    let api = Api::start_with(Options { unverified: true, ..Options::default() }).await;
    let (key, other) = (api.key("a", Role::Admin).await, api.key("b", Role::Admin).await);
    let made = api.onboard(&key, "shop", "111").await;
    assert_eq!(made["status"], "active");
    assert!(made["checks"].as_array().unwrap().iter().all(|check| check["status"] == "skipped"));
    assert_eq!(api.graph.call_count(), 0);
    api.refuse(409, "number_taken", "post", PATH, &other, integration("rivals", "111")).await;
}

#[actix_web::test]
async fn credentials_open_as_they_were_given() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    api.onboard(&key, "shop", "111").await;
    let row = api.parts.store.accounts("a", Some("shop"), None).await.unwrap().remove(0);
    let Credentials { token, app_secret } = api.parts.onboarding.credentials(&row).unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&token), "token-of-shop-111");
    assert!(app_secret.is_none());
}
