//! `Idempotency-Key`: what is asked twice is done once, and answered alike.

use reqwest::Response;
use serde_json::{Value, json};

use super::harness::{ADMIN, Api, CUSTOMER, Options, integration, read};
use super::postgres;
use switchboard::auth::Role;
use switchboard::store::Location;
use switchboard::store::idempotency::{Claim, Slot};

const SEND: &str = "/api/v1/whatsapp/send?chatbotId=shop";

async fn post(api: &Api, path: &str, key: &str, once: &str, body: Value) -> Response {
    api.request("post", path, key).header("Idempotency-Key", once).json(&body).send().await.unwrap()
}

fn words(text: &str) -> Value {
    json!({"to": CUSTOMER, "message": text, "force": true})
}

async fn asked_twice_is_done_once(api: Api) {
    let key = api.key("a", Role::Admin).await;
    api.onboard(&key, "shop", "111").await;
    let deliveries = async || {
        let (_, page) = api.call("get", "/api/v1/deliveries", &key, Value::Null).await;
        page["data"].as_array().unwrap().len()
    };

    let first = post(&api, SEND, &key, "one", words("Hello")).await;
    assert!(!first.headers().contains_key("idempotency-replayed"));
    let first = read(first).await;
    assert_eq!(first.0, 202);
    for _ in 0..2 {
        let again = post(&api, SEND, &key, "one", words("Hello")).await;
        assert_eq!(again.headers()["idempotency-replayed"], "true");
        assert_eq!(read(again).await, first);
    }
    assert_eq!(deliveries().await, 1);
    // Another request under the same key is a mistake: another body, another address.
    for (path, body) in [(SEND, words("Bye")), ("/api/v1/chatbots", words("Hello"))] {
        let (status, problem) = read(post(&api, path, &key, "one", body).await).await;
        assert_eq!((status, &problem["code"]), (422, &json!("idempotency_key_taken")));
    }
    // What failed may be mended and sent again.
    assert_eq!(read(post(&api, SEND, &key, "two", words("")).await).await.0, 400);
    assert_eq!(read(post(&api, SEND, &key, "two", words("Hello")).await).await.0, 202);
    assert_eq!(deliveries().await, 2);

    // However many ask at the same time.
    let crowd = (0..10).map(|_| post(&api, SEND, &key, "three", words("Together")));
    let mut done = Vec::new();
    for answer in futures_util::future::join_all(crowd).await {
        match read(answer).await {
            (202, answer) => done.push(answer["data"]["id"].clone()),
            (status, problem) => assert_eq!((status, &problem["code"]), (409, &json!("request_under_way"))),
        }
    }
    done.dedup();
    assert_eq!((done.len(), deliveries().await), (1, 3));

    // A key is its credential's own; strangers and senseless keys get nowhere.
    let colleague = api.key("a", Role::Admin).await;
    assert_eq!(read(post(&api, SEND, &colleague, "one", words("Hello")).await).await.0, 202);
    assert_eq!(deliveries().await, 4);
    assert_eq!(read(post(&api, SEND, "nobody", "one", words("Hello")).await).await.0, 401);
    for senseless in ["", "a b", &"x".repeat(256)] {
        let (status, problem) = read(post(&api, SEND, &key, senseless, words("Hello")).await).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!("Idempotency-Key")));
    }
    // The platform's key acts for one tenant at a time, and so does its Idempotency-Key.
    for tenant in ["a", "default"] {
        let request = api.request("post", "/api/v1/api-keys", ADMIN).header("Switchboard-Tenant", tenant);
        let request = request.header("Idempotency-Key", "one").json(&json!({"name": "n"}));
        assert_eq!(read(request.send().await.unwrap()).await.0, 201, "{tenant}");
    }
}

#[actix_web::test]
async fn asked_twice_is_done_once_on_sqlite() {
    asked_twice_is_done_once(Api::start().await).await;
}

#[actix_web::test]
async fn asked_twice_is_done_once_on_postgres() {
    let Some(database) = postgres::database().await else { return };
    let location = Location::Postgres(database.url.clone());
    asked_twice_is_done_once(
        Api::start_with(Options { database: Some(location), ..Options::default() }).await,
    )
    .await;
}

#[actix_web::test]
async fn every_post_that_makes_something_honours_it() {
    let api = Api::start().await;
    let key = api.key("a", Role::Owner).await;
    for (path, body) in [
        ("/api/v1/whatsapp/integration", integration("shop", "111")),
        ("/api/v1/chatbots", json!({"name": "Unnamed"})),
        ("/api/v1/api-keys", json!({"name": "n"})),
    ] {
        let first = read(post(&api, path, &key, path, body.clone()).await).await;
        assert_eq!(first.0, 201, "{path}: {}", first.1);
        assert_eq!(read(post(&api, path, &key, path, body).await).await, first, "{path}");
    }
    // A form's boundary is made up anew each time: it is the same file.
    let form = |boundary: &str| {
        let body = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\
             Content-Type: image/png\r\n\r\npng\r\n--{boundary}--\r\n"
        );
        let request = api.request("post", "/api/v1/media", &key).header("Idempotency-Key", "file");
        request.header("Content-Type", format!("multipart/form-data; boundary={boundary}")).body(body).send()
    };
    let first = read(form("x").await.unwrap()).await;
    assert_eq!(first.0, 201);
    assert_eq!(read(form("y").await.unwrap()).await, first);
    // The API key that is shown once is not lying about in clear.
    let slot = |key: &str| {
        let id = key.trim_start_matches("sb_live_").split('_').next().unwrap();
        Slot { tenant: "a".into(), actor: format!("key:{id}"), key: "/api/v1/api-keys".into() }
    };
    let digest = "another";
    assert_eq!(api.parts.store.claim_key(&slot(&key), &[digest.to_owned()], 0).await.unwrap(), Claim::Taken);
}

#[actix_web::test]
async fn a_key_is_remembered_for_a_day_and_a_lost_request_for_minutes() {
    let api = Api::start().await;
    let (store, now) = (&api.parts.store, 1_000_000_000_000);
    let slot = Slot { tenant: "a".into(), actor: "key:x".into(), key: "k".into() };
    let claim = async |digest: &str, at: i64| store.claim_key(&slot, &[digest.to_owned()], at).await.unwrap();
    assert_eq!(claim("d", now).await, Claim::Fresh);
    assert_eq!(claim("d", now + 179_000).await, Claim::UnderWay);
    assert_eq!(claim("e", now + 179_000).await, Claim::Taken);
    // Its process died: nothing was done, or the answer would be there.
    assert_eq!(claim("d", now + 181_000).await, Claim::Fresh);
    let kept = switchboard::store::idempotency::Kept { status: 202, answer: "sealed".into() };
    store.keep_answer(&slot, &kept).await.unwrap();
    store.release_key(&slot).await.unwrap();
    let day = now + 181_000 + 86_400_000;
    assert_eq!(claim("d", day).await, Claim::Answered(kept));
    assert_eq!(claim("e", day + 1).await, Claim::Fresh);
    store.sweep(day + 86_400_002).await.unwrap();
    assert_eq!(claim("f", day + 2).await, Claim::Fresh);
}
