//! Onboarding beyond the five values: dry runs, Embedded Signup, registration, health, taking a number away.

use serde_json::{Value, json};
use switchboard::auth::Role;
use switchboard::ids::AccountId;
use switchboard::runtime::Clock;
use switchboard::sandbox::graph::{Call, Fault, Number, Rule, Subscription};
use switchboard::store::audit::Audit;

use super::harness::{Api, Options, integration};

const PATH: &str = "/api/v1/whatsapp/integration";
const SIGN_UP: &str = "/api/v1/whatsapp/signup";

async fn with_app() -> (Api, String) {
    let api = Api::start_with(Options { app: true, ..Options::default() }).await;
    let key = api.key("a", Role::Admin).await;
    (api, key)
}

fn popup(code: &str) -> Value {
    json!({"code": code, "phoneNumberId": "111", "businessAccountId": "waba-1", "chatbotId": "shop"})
}

#[actix_web::test]
async fn a_dry_run_checks_and_stores_nothing() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    let mut body = integration("shop", "111");
    body["dryRun"] = json!(true);
    let (status, answer) = api.call("post", PATH, &key, body.clone()).await;
    assert_eq!((status, &answer["data"]["status"]), (200, &json!("active")), "{answer}");
    assert_eq!(answer["data"]["checks"].as_array().unwrap().len(), 7);
    assert!(api.parts.store.accounts_of_number("111").await.unwrap().is_empty());
    assert!(api.parts.store.number("111").await.unwrap().is_none());
    assert!(api.parts.store.chatbot_anywhere("shop").await.unwrap().is_none());
    api.graph.revoke_token(body["accessToken"].as_str().unwrap());
    let refused = api.refuse(422, "graph_refused", "post", PATH, &key, body).await;
    assert_eq!(refused["checks"][0]["status"], "failed");
}

#[actix_web::test]
async fn a_sign_up_becomes_an_integration() {
    let (api, key) = with_app().await;
    api.graph.register(Number::new("111").waba("waba-1").token("business-token-one").pending());
    api.graph.issue_code("code-one", "business-token-one");
    let mut body = popup("code-one");
    body["pin"] = json!("123456");
    let made = api.expect(201, "post", SIGN_UP, &key, body).await;
    assert_eq!(made["status"], "active");
    for name in ["token", "number", "business_account", "connected", "token_details", "subscription"] {
        let check = made["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
        assert_eq!(check["status"], "ok", "{made}");
    }
    assert!(api.graph.subscription("waba-1").subscribed);
    assert!(!made.to_string().contains("business-token-one"), "{made}");

    // The code works once; nothing changes when it fails.
    api.refuse(422, "graph_refused", "post", SIGN_UP, &key, popup("code-one")).await;
    // Signing up again brings a new token to the same integration, and leaves what is subscribed alone.
    let ours = Subscription { subscribed: true, override_url: Some("https://ours.example/webhook".into()) };
    api.graph.set_subscription("waba-1", ours.clone());
    api.graph.register(Number::new("111").waba("waba-1").token("business-token-two"));
    api.graph.issue_code("code-two", "business-token-two");
    let again = api.expect(200, "post", SIGN_UP, &key, popup("code-two")).await;
    assert_eq!((&again["id"], &again["status"]), (&made["id"], &json!("active")));
    assert_eq!(again["accessToken"], "…-two");
    assert_eq!(api.graph.subscription("waba-1"), ours);

    // What would not fit is refused before the code is spent.
    api.graph.issue_code("code-three", "business-token-two");
    let mut elsewhere = popup("code-three");
    elsewhere["businessAccountId"] = json!("waba-9");
    api.wrong_fields("post", SIGN_UP, &key, elsewhere, &["businessAccountId"]).await;
    let path = format!("{PATH}/{}", made["id"].as_str().unwrap());
    let own = json!({"appSecret": "an-app-secret-of-its-own"});
    api.expect(200, "patch", &path, &key, own).await;
    api.refuse(409, "wrong_state", "post", SIGN_UP, &key, popup("code-three")).await;
    api.expect(200, "patch", &path, &key, json!({"appSecret": null})).await;
    api.expect(200, "post", SIGN_UP, &key, popup("code-three")).await;
}

#[actix_web::test]
async fn a_sign_up_that_fails_leaves_nothing_half_done() {
    let (api, key) = with_app().await;
    api.wrong_fields(
        "post",
        SIGN_UP,
        &key,
        json!({}),
        &["code", "phoneNumberId", "businessAccountId", "chatbotId"],
    )
    .await;
    let mut body = popup("code");
    body["pin"] = json!("12345");
    api.wrong_fields("post", SIGN_UP, &key, body, &["pin"]).await;
    // A number of another business account than the pop-up said.
    api.graph.register(Number::new("111").waba("waba-2").token("business-token-one"));
    api.graph.register(Number::new("222").waba("waba-1").token("business-token-one"));
    api.graph.issue_code("code", "business-token-one");
    api.refuse(422, "graph_refused", "post", SIGN_UP, &key, popup("code")).await;
    api.graph.fault(Rule::from(Fault::error(500, 2)).on(Call::Manage).times(1));
    api.refuse(503, "graph_unreachable", "post", SIGN_UP, &key, popup("code")).await;
    assert!(api.parts.store.accounts_of_number("111").await.unwrap().is_empty());
    assert!(api.parts.store.chatbot_anywhere("shop").await.unwrap().is_none());

    let without = Api::start().await;
    let key = without.key("a", Role::Admin).await;
    let problem = without.refuse(409, "wrong_state", "post", SIGN_UP, &key, popup("code")).await;
    assert!(problem["detail"].as_str().unwrap().contains("FACEBOOK_APP_ID"));
    let viewer = without.key("a", Role::Viewer).await;
    without.refuse(403, "forbidden", "post", SIGN_UP, &viewer, popup("code")).await;
}

#[actix_web::test]
async fn a_number_is_registered_once() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    api.graph.register(Number::new("111").waba("waba-1").pending());
    let made = api.onboard(&key, "shop", "111").await;
    let connected = |data: &Value| data["checks"][3]["status"].clone();
    assert_eq!(connected(&made), "failed");
    let path = format!("{PATH}/{}/register", made["id"].as_str().unwrap());
    api.wrong_fields("post", &path, &key, json!({"pin": "12345a"}), &["pin"]).await;
    assert_eq!(connected(&api.expect(200, "post", &path, &key, json!({"pin": "123456"})).await), "ok");
    let calls = api.graph.call_count();
    let (_, answer) = api.call("post", &path, &key, json!({"pin": "123456"})).await;
    assert_eq!(answer["message"], "The number is connected already");
    assert!(api.graph.call_count() > calls, "Meta was asked, but not to register");
    let stranger = api.key("b", Role::Admin).await;
    api.refuse(404, "not_found", "post", &path, &stranger, json!({"pin": "123456"})).await;
}

#[actix_web::test]
async fn numbers_in_use_are_asked_about_every_six_hours() {
    let clock = Clock::manual(1_750_000_000_000);
    let hand = clock.clone();
    let api = Api::start_with(Options { clock: Some(clock), ..Options::default() }).await;
    let key = api.key("a", Role::Admin).await;
    let made = api.onboard(&key, "shop", "111").await;
    let path = format!("{PATH}/{}", made["id"].as_str().unwrap());
    let status = async || api.expect(200, "get", &path, &key, Value::Null).await["status"].clone();

    let token = integration("shop", "111")["accessToken"].as_str().unwrap().to_owned();
    api.graph.revoke_token(&token);
    assert_eq!(api.parts.onboarding.recheck_in_use(10).await.unwrap(), 0);
    assert_eq!(status().await, "active", "nobody asked yet");
    hand.advance(6 * 3_600_000 + 1);
    assert_eq!(api.parts.onboarding.recheck_in_use(10).await.unwrap(), 0);
    assert_eq!(status().await, "token_invalid");
    // It works again, so the next round says so.
    api.graph.restore_token(&token);
    hand.advance(6 * 3_600_000 + 1);
    assert_eq!(api.parts.onboarding.recheck_in_use(10).await.unwrap(), 1);
    assert_eq!(status().await, "active");

    // The same once more is no change; that Meta asked for the token meanwhile is not forgotten.
    let changes = async || {
        let (_, log) = api.call("get", "/api/v1/audit?action=integration.check", &key, Value::Null).await;
        log["data"].as_array().unwrap().len()
    };
    assert_eq!(changes().await, 2);
    let AccountId(id) = made["id"].as_str().unwrap().parse().unwrap();
    let read = api.parts.store.account(id).await.unwrap().unwrap();
    api.parts.store.mark_verified(id, hand.now_ms()).await.unwrap();
    let line = Audit { actor: "test", action: "integration.change", ..Audit::default() };
    api.parts.store.save_account(&read, None, None, &line).await.unwrap();
    hand.advance(6 * 3_600_000 + 1);
    assert_eq!(api.parts.onboarding.recheck_in_use(10).await.unwrap(), 0);
    let after = api.parts.store.account(id).await.unwrap().unwrap();
    assert_eq!((changes().await, after.checked_at), (2, Some(hand.now_ms())));
    assert_eq!(after.verified_at, Some(hand.now_ms() - 6 * 3_600_000 - 1));
}

#[actix_web::test]
async fn all_numbers_are_listed_to_their_tenant() {
    let api = Api::start().await;
    let (key, stranger) = (api.key("a", Role::Viewer).await, api.key("b", Role::Admin).await);
    let admin = api.key("a", Role::Admin).await;
    for n in 1..=3 {
        api.onboard(&admin, &format!("shop-{n}"), &format!("11{n}")).await;
    }
    api.onboard(&stranger, "theirs", "999").await;
    let (_, first) = api.call("get", &format!("{PATH}s?limit=2"), &key, Value::Null).await;
    assert_eq!(first["data"].as_array().unwrap().len(), 2);
    let next = format!("{PATH}s?limit=2&cursor={}", first["nextCursor"].as_str().unwrap());
    let (_, rest) = api.call("get", &next, &key, Value::Null).await;
    assert_eq!((&rest["data"][0]["chatbotId"], &rest["nextCursor"]), (&json!("shop-3"), &Value::Null));
    assert_eq!(rest["data"].as_array().unwrap().len(), 1);
}

#[actix_web::test]
async fn meta_is_told_only_when_no_other_number_needs_its_webhooks() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    api.graph.set_subscription("waba-1", Subscription { subscribed: true, override_url: None });
    let mut ids = Vec::new();
    for (chatbot, number) in [("shop", "111"), ("support", "222"), ("third", "333")] {
        api.graph.register(Number::new(number).waba("waba-1"));
        ids.push(api.onboard(&key, chatbot, number).await["id"].as_str().unwrap().to_owned());
    }
    let remove = async |n: usize, query: &str| {
        let path = format!("{PATH}/{}{query}", ids[n]);
        api.call("delete", &path, &key, Value::Null).await.1["message"].as_str().unwrap().to_owned()
    };
    assert!(remove(0, "?unsubscribe=true").await.contains("still needs"));
    assert!(api.graph.subscription("waba-1").subscribed);
    assert_eq!(remove(1, "").await, "Integration deleted");
    assert!(remove(2, "?unsubscribe=true").await.contains("switched off"));
    assert!(!api.graph.subscription("waba-1").subscribed);
}
