//! Component tokens: what they open, for whose pages, and how they end.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use switchboard::auth::Role;
use switchboard::runtime::Clock;

use super::harness::{ADMIN, Api, CUSTOMER, Options, read};
use super::matrix;

const SITE: &str = "https://crm.example.com";

/// A token as a page has it.
struct Held {
    token: String,
    /// What the addresses of its site begin with.
    base: String,
}

async fn mint(api: &Api, key: &str, more: Value) -> Held {
    let mut body = json!({"origin": SITE});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = api.expect(201, "post", "/api/v1/component-tokens", key, body).await;
    Held {
        token: made["token"].as_str().unwrap().to_owned(),
        base: format!("/api/v1/components/{}", made["id"].as_str().unwrap()),
    }
}

impl Held {
    fn from(&self, api: &Api, origin: &str, method: &str, path: &str) -> RequestBuilder {
        api.request(method, &format!("{}{path}", self.base), &self.token).header("origin", origin)
    }

    async fn call(&self, api: &Api, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = self.from(api, SITE, method, path);
        let request = if method == "get" { request } else { request.json(&body) };
        let response = request.send().await.unwrap();
        assert_eq!(allowed(&response), Some(SITE), "the page may read every answer, refusals too");
        read(response).await
    }

    async fn expect(&self, api: &Api, status: u16, method: &str, path: &str, body: Value) -> Value {
        let (got, answer) = self.call(api, method, path, body).await;
        assert_eq!(got, status, "{method} {path}: {answer}");
        answer
    }
}

fn allowed(response: &Response) -> Option<&str> {
    response.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap())
}

/// An address for each route, with the first tenant's things where it names any.
fn owns(path: &str, held: &Held) -> bool {
    let connect = path.contains("/session");
    let is_connect = BASE64_URL_SAFE_NO_PAD
        .decode(held.token.split(['_', '.']).nth(1).unwrap())
        .map(|said| String::from_utf8(said).unwrap().contains("\"connect\""))
        .unwrap();
    connect == is_connect
}

#[actix_web::test]
async fn a_token_opens_its_own_routes_and_no_other() {
    let api = Api::start().await;
    let ids = matrix::furnish(&api).await;
    let owner = api.key("a", Role::Owner).await;
    let connect =
        mint(&api, &owner, json!({"component": "connect", "session": format!("shop-{}", matrix::MARK)}))
            .await;
    let bot = format!("bot-{}", matrix::MARK);
    let send = mint(&api, &owner, json!({"component": "send", "to": CUSTOMER, "chatbotId": bot, "session": format!("shop-{}", matrix::MARK)})).await;
    for (need, method, path) in matrix::rows() {
        if need == matrix::Need::Open {
            continue;
        }
        for held in [&connect, &send] {
            let address = match path.strip_prefix("/api/v1/components/{site}") {
                Some(rest) => format!("{}{rest}", held.base),
                None => matrix::address(path, &ids),
            };
            let request = api.request(method, &address, &held.token).header("origin", SITE);
            let request = if method == "get" { request } else { request.json(&json!({})) };
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            if need != matrix::Need::Component {
                assert_eq!(status, 401, "{method} {path}");
                assert_eq!(allowed(&response), None, "{method} {path}");
            } else if owns(path, held) {
                assert!(![401, 403, 405].contains(&status), "{method} {path}: {status}");
                assert_eq!(allowed(&response), Some(SITE), "{method} {path}");
            } else {
                assert_eq!(status, 403, "{method} {path} with the other component's token");
            }
        }
    }
}

#[actix_web::test]
async fn who_may_ask_for_one_and_what_for() {
    let api = Api::start().await;
    let path = "/api/v1/component-tokens";
    let owner = api.key("a", Role::Owner).await;
    let agent = api.key_row(Some("a"), Role::Agent).await;
    let other = api.key("b", Role::Owner).await;
    api.expect(201, "post", "/api/v1/sessions", &other, json!({"name": "theirs"})).await;
    let connect = json!({"component": "connect", "origin": SITE});
    api.refuse(403, "forbidden", "post", path, &agent, connect.clone()).await;
    // The bootstrap key has no row that could be revoked.
    api.refuse(403, "forbidden", "post", path, ADMIN, connect.clone()).await;
    api.expect(201, "post", path, &owner, connect).await;
    for session in ["theirs", "nobodys"] {
        let body = json!({"component": "connect", "origin": SITE, "session": session});
        api.refuse(404, "not_found", "post", path, &owner, body).await;
    }
    for (body, fields) in [
        (json!({}), &["component", "origin"][..]),
        (json!({"component": "pay", "origin": SITE}), &["component"]),
        (json!({"component": "connect", "origin": "crm.example.com"}), &["origin"]),
        (json!({"component": "connect", "origin": "https://crm.example.com/page"}), &["origin"]),
        (json!({"component": "connect", "origin": "null"}), &["origin"]),
        (json!({"component": "connect", "origin": "*"}), &["origin"]),
        (json!({"component": "connect", "origin": "file:///tmp"}), &["origin"]),
        (json!({"component": "connect", "origin": SITE, "ttlSeconds": 901}), &["ttlSeconds"]),
        (json!({"component": "connect", "origin": SITE, "ttlSeconds": 0}), &["ttlSeconds"]),
        (json!({"component": "connect", "origin": SITE, "to": CUSTOMER}), &["to"]),
        (json!({"component": "send", "origin": SITE}), &["to"]),
        (json!({"component": "send", "origin": SITE, "to": "12"}), &["to"]),
        (json!({"component": "send", "origin": SITE, "tenant": "b"}), &["tenant"]),
    ] {
        api.wrong_fields("post", path, &owner, body, fields).await;
    }
    let stranger = json!({"component": "send", "origin": SITE, "to": CUSTOMER});
    api.refuse(404, "not_found", "post", path, &owner, stranger.clone()).await;
    for (bot, number) in [("one", "100200300"), ("two", "100200301")] {
        api.onboard(&owner, bot, number).await;
    }
    api.wrong_fields("post", path, &owner, stranger, &["chatbotId"]).await;
    let body = json!({"component": "send", "origin": SITE, "to": CUSTOMER, "chatbotId": "one"});
    api.expect(201, "post", path, &agent, body).await;
}

#[actix_web::test]
async fn in_production_only_sites_with_tls_get_one() {
    let api = Api::start_with(Options { production: true, ..Options::default() }).await;
    let key = api.key("a", Role::Owner).await;
    let ask = |origin: &str| json!({"component": "connect", "origin": origin});
    let path = "/api/v1/component-tokens";
    api.wrong_fields("post", path, &key, ask("http://crm.example.com"), &["origin"]).await;
    api.expect(201, "post", path, &key, ask("http://localhost:5173")).await;
    api.expect(201, "post", path, &key, ask("https://crm.example.com:8443")).await;
}

#[actix_web::test]
async fn other_sites_are_told_nothing() {
    let api = Api::start().await;
    let owner = api.key("a", Role::Owner).await;
    let held = mint(&api, &owner, json!({"component": "connect"})).await;
    let ask = |path: &str, origin: &str| {
        api.request("options", path, "")
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "authorization")
            .send()
    };
    let session = format!("{}/session", held.base);
    let answer = ask(&session, SITE).await.unwrap();
    assert_eq!((answer.status().as_u16(), allowed(&answer)), (204, Some(SITE)));
    assert_eq!(
        answer.headers()["access-control-allow-headers"],
        "authorization, content-type, idempotency-key"
    );
    assert_eq!(answer.headers()["vary"], "Origin");
    assert!(!answer.headers().contains_key("access-control-allow-credentials"));
    for (path, origin) in [
        (session.as_str(), "https://evil.example"),
        (session.as_str(), "null"),
        ("/api/v1/components/000000000000000000000000/session", SITE),
        ("/api/v1/sessions", SITE),
        ("/api/v1/component-tokens", SITE),
        ("/api/v1/me", SITE),
    ] {
        let answer = ask(path, origin).await.unwrap();
        assert_eq!(allowed(&answer), None, "{path} {origin}");
        assert!(!answer.headers().contains_key("access-control-allow-methods"), "{path} {origin}");
    }
    // The request itself, from another site, from none, and with the token of one site at the address of another.
    let response = held.from(&api, "https://evil.example", "get", "/session").send().await.unwrap();
    assert_eq!((response.status().as_u16(), allowed(&response)), (403, None));
    let plain = api.request("get", &session, &held.token).send().await.unwrap();
    assert_eq!(plain.status(), 403);
    let made = json!({"component": "connect", "origin": "https://evil.example"});
    let made = api.expect(201, "post", "/api/v1/component-tokens", &owner, made).await;
    let theirs = format!("/api/v1/components/{}/session", made["id"].as_str().unwrap());
    let request = api.request("get", &theirs, &held.token).header("origin", "https://evil.example");
    assert_eq!(request.send().await.unwrap().status(), 403);
}

#[actix_web::test]
async fn it_ends_with_its_time_and_with_its_key() {
    let clock = Clock::manual(Clock::system().now_ms());
    let api = Api::start_with(Options { clock: Some(clock.clone()), ..Options::default() }).await;
    let owner = api.key("a", Role::Owner).await;
    let key = api.expect(201, "post", "/api/v1/api-keys", &owner, json!({"name": "crm"})).await;
    let held =
        mint(&api, key["key"].as_str().unwrap(), json!({"component": "connect", "ttlSeconds": 60})).await;
    held.expect(&api, 200, "get", "/session", Value::Null).await;
    clock.advance(60_000);
    let problem = held.expect(&api, 401, "get", "/session", Value::Null).await;
    assert_eq!(problem["code"], "unauthenticated");

    let held = mint(&api, key["key"].as_str().unwrap(), json!({"component": "connect"})).await;
    held.expect(&api, 200, "get", "/session", Value::Null).await;
    let path = format!("/api/v1/api-keys/{}", key["id"].as_str().unwrap());
    api.expect(200, "delete", &path, &owner, Value::Null).await;
    held.expect(&api, 401, "get", "/session", Value::Null).await;
    // What was changed in it is nobody's.
    let mut forged = held;
    forged.token.insert(12, 'A');
    let response = forged.from(&api, SITE, "get", "/session").send().await.unwrap();
    assert_eq!(response.status(), 401);
}

#[actix_web::test]
async fn a_page_links_the_one_session_of_its_token() {
    let api = Api::start().await;
    let owner = api.key("a", Role::Owner).await;
    let held = mint(&api, &owner, json!({"component": "connect"})).await;
    let before = held.expect(&api, 200, "get", "/session", Value::Null).await["data"].clone();
    assert_eq!(
        (&before["id"], &before["state"], &before["reason"]),
        (&Value::Null, &json!("disconnected"), &json!("none"))
    );
    held.expect(&api, 200, "post", "/session/connect", json!({})).await;
    let mut session = Value::Null;
    for _ in 0..500 {
        session = held.expect(&api, 200, "get", "/session", Value::Null).await["data"].clone();
        if session["qr"].is_object() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(session["state"], "pairing");
    assert!(session["qr"]["path"].as_str().unwrap().starts_with('M'), "{session}");
    assert!(session["qr"]["side"].as_u64().unwrap() > 20 && session["qr"]["secondsLeft"].is_i64());
    held.expect(&api, 400, "post", "/session/pairing-code", json!({"phoneNumber": "12"})).await;
    let code =
        held.expect(&api, 200, "post", "/session/pairing-code", json!({"phoneNumber": "+15551230009"})).await;
    assert!(code["data"]["code"].as_str().unwrap().len() >= 8, "{code}");
    let audit = api.expect(200, "get", "/api/v1/audit", &owner, Value::Null).await;
    assert!(audit.to_string().contains("component:"), "what a page did is told apart: {audit}");
    let gone = held.expect(&api, 200, "post", "/session/disconnect", json!({})).await;
    assert_eq!(gone["data"]["qr"], Value::Null);

    // A named session that is put away is not there any more.
    api.expect(201, "post", "/api/v1/sessions", &owner, json!({"name": "shop"})).await;
    let held = mint(&api, &owner, json!({"component": "connect", "session": "shop"})).await;
    held.expect(&api, 200, "get", "/session", Value::Null).await;
    api.expect(200, "delete", "/api/v1/sessions/shop", &owner, Value::Null).await;
    held.expect(&api, 404, "get", "/session", Value::Null).await;
    held.expect(&api, 404, "post", "/session/connect", json!({})).await;
}

#[actix_web::test]
async fn a_page_writes_to_the_one_customer_of_its_token() {
    let api = Api::start().await;
    let owner = api.key("a", Role::Owner).await;
    api.onboard(&owner, "bot", "100200300").await;
    let held = mint(&api, &owner, json!({"component": "send", "to": format!("+{CUSTOMER}")})).await;
    let stranger = held.expect(&api, 200, "get", "/recipient", Value::Null).await["data"].clone();
    assert_eq!(
        (&stranger["takes"], &stranger["phone"], &stranger["id"]),
        (&json!("closed"), &json!(CUSTOMER), &Value::Null)
    );
    let talks = api.expect(200, "get", "/api/v1/conversations", &owner, Value::Null).await;
    assert_eq!(talks, json!([]), "looking makes no conversation");
    let words = json!({"message": "Your order has left."});
    held.expect(&api, 409, "post", "/messages", words.clone()).await;

    api.inbound("100200300", "wamid.1", "where is it?", None).await;
    let known = held.expect(&api, 200, "get", "/recipient", Value::Null).await["data"].clone();
    assert_eq!((&known["takes"], &known["name"]), (&json!("open"), &json!("Ada")));
    assert!(known["windowUntil"].is_string());
    for wrong in [json!({}), json!({"message": ""}), json!({"message": "x", "to": "15559999999"})] {
        held.expect(&api, 400, "post", "/messages", wrong).await;
    }
    // Sent again with its key, it goes out once.
    let mut ids = Vec::new();
    for _ in 0..2 {
        let request =
            held.from(&api, SITE, "post", "/messages").header("idempotency-key", "one").json(&words);
        let (status, answer) = read(request.send().await.unwrap()).await;
        assert_eq!(status, 202, "{answer}");
        ids.push(answer["data"]["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids[0], ids[1]);
    let path = format!("/messages/{}", ids[0]);
    let mut fate = Value::Null;
    for _ in 0..500 {
        fate = held.expect(&api, 200, "get", &path, Value::Null).await["data"].clone();
        if fate["status"] == "sent" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(fate["status"], "sent", "{fate}");
    assert!(fate["text"].is_null(), "words are not given back");

    // Another customer's message is not this token's, nor is one without a number.
    let other = mint(&api, &owner, json!({"component": "send", "to": "15557654321"})).await;
    other.expect(&api, 404, "get", &path, Value::Null).await;
    // Nor is one customer told what became of another's message, by a key that both tokens used.
    let reused = other.from(&api, SITE, "post", "/messages").header("idempotency-key", "one").json(&words);
    let (status, answer) = read(reused.send().await.unwrap()).await;
    assert_eq!((status, &answer["code"]), (422, &json!("idempotency_key_taken")), "{answer}");
    held.expect(&api, 404, "get", "/messages/dlv_999999", Value::Null).await;
    // A contact is written to where they wrote.
    let contact =
        api.expect(200, "get", "/api/v1/conversations", &owner, Value::Null).await[0]["contact"]["id"]
            .clone();
    let held = mint(&api, &owner, json!({"component": "send", "contact": contact})).await;
    held.expect(&api, 202, "post", "/messages", words).await;
    held.expect(&api, 200, "get", &path, Value::Null).await;
    let theirs = api.key("b", Role::Owner).await;
    let body = json!({"component": "send", "origin": SITE, "contact": contact});
    api.refuse(404, "not_found", "post", "/api/v1/component-tokens", &theirs, body).await;
}
