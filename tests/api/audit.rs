//! The audit log over the API, and what browsers are told with every answer.

use serde_json::{Value, json};
use switchboard::api::ROUTES;
use switchboard::auth::Role;

use super::harness::{ADMIN, Api, Options};

const AUDIT: &str = "/api/v1/audit";

#[actix_web::test]
async fn who_changed_what_and_from_where_stands_in_the_log() {
    let api = Api::start().await;
    api.person("ada@example.com", Some("a"), Role::Owner).await;
    let ada = api.cookie("ada@example.com").await;
    let key = api.click("post", "/api/v1/api-keys", &ada, json!({"name": "CRM"})).await.1["data"].clone();
    let bob = json!({"email": "bob@example.com", "role": "agent"});
    let bob = api.click("post", "/api/v1/users", &ada, bob).await.1["data"].clone();
    let bobs = format!("/api/v1/users/{}", bob["id"].as_str().unwrap());
    api.click("patch", &bobs, &ada, json!({"role": "viewer"})).await;
    let crm = key["key"].as_str().unwrap();
    api.expect(
        201,
        "post",
        "/api/v1/chatbots",
        crm,
        json!({"id": "bot", "name": "Bot", "apiKey": "canary-8841"}),
    )
    .await;
    // What was refused is no change.
    api.click("delete", "/api/v1/api-keys/nothing1", &ada, Value::Null).await;

    let (_, log) = api.call("get", AUDIT, crm, Value::Null).await;
    let seen: Vec<[&str; 4]> = log["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|line| line["actor"] != "test")
        .map(|line| ["actor", "action", "target", "detail"].map(|field| line[field].as_str().unwrap_or("")))
        .collect();
    let id = key["id"].as_str().unwrap();
    let by_key = format!("key:{id}");
    assert_eq!(
        seen,
        [
            [&by_key, "chatbot.create", "bot", ""],
            ["user:ada@example.com", "user.change", "bob@example.com", "agent to viewer"],
            ["user:ada@example.com", "user.invite", "bob@example.com", "agent"],
            ["user:ada@example.com", "api_key.create", id, ""],
            ["user:ada@example.com", "user.sign_in", "ada@example.com", ""],
        ]
    );
    for line in log["data"].as_array().unwrap().iter().filter(|line| line["actor"] != "test") {
        assert_eq!((&line["address"], &line["tenant"]), (&json!("127.0.0.1"), &json!("a")));
        assert!(line["at"].as_str().unwrap().ends_with('Z'));
    }
    let text = log.to_string();
    let invitation = bob["link"].as_str().unwrap().rsplit('#').next().unwrap();
    for secret in [crm.rsplit('_').next().unwrap(), "canary-8841", invitation] {
        assert!(!text.contains(secret), "{secret}");
    }

    let narrow = format!("{AUDIT}?actor=user:ada@example.com&action=user.invite");
    assert_eq!(api.call("get", &narrow, crm, Value::Null).await.1["data"].as_array().unwrap().len(), 1);
    // Page by page it is the same log, each line once.
    let mut paged = Vec::new();
    let mut path = format!("{AUDIT}?limit=2");
    loop {
        let (_, page) = api.call("get", &path, crm, Value::Null).await;
        paged.extend(page["data"].as_array().unwrap().clone());
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("{AUDIT}?limit=2&cursor={cursor}");
    }
    assert_eq!(json!(paged), log["data"]);

    // Another tenant's log is not there; the platform sees all of it.
    let other = api.key("b", Role::Admin).await;
    let (_, theirs) = api.call("get", AUDIT, &other, Value::Null).await;
    assert!(theirs["data"].as_array().unwrap().iter().all(|line| line["tenant"] == "b"), "{theirs}");
    let agent = api.key("a", Role::Agent).await;
    api.refuse(403, "forbidden", "get", AUDIT, &agent, Value::Null).await;
    let (_, all) = api.call("get", AUDIT, ADMIN, Value::Null).await;
    assert!(all["data"].as_array().unwrap().iter().any(|line| line["tenant"] == "b"));
    assert!(all["data"].as_array().unwrap().iter().any(|line| line["tenant"] == "a"));
}

#[actix_web::test]
async fn every_answer_says_what_a_browser_may_do_with_it() {
    let api = Api::start_with(Options { production: true, ..Options::default() }).await;
    let key = api.key("a", Role::Owner).await;
    let others = [("get", "/nothing"), ("get", "/api/nothing"), ("put", "/api/v1/tenants")];
    for (method, path) in ROUTES.iter().chain(&others) {
        for key in ["", &key] {
            let answer = api.request(method, path, key).send().await.unwrap();
            let header = |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().unwrap());
            let policy = header("content-security-policy");
            assert!(
                policy.contains("frame-ancestors 'none'") && policy.contains("default-src"),
                "{path} {policy}"
            );
            assert!(!policy.contains("unsafe") && !policy.contains('*'), "{path} {policy}");
            assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
            assert!(header("strict-transport-security").starts_with("max-age=31536000"), "{path}");
            assert_eq!(header("cache-control") == "no-store", path.starts_with("/api"), "{path}");
        }
    }
    let api = Api::start().await;
    let answer = api.request("get", "/health", "").send().await.unwrap();
    assert!(!answer.headers().contains_key("strict-transport-security"), "plain http says nothing of https");
}
