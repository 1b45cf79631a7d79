//! `GET /api/v1/live`: who is told what, how many may listen, and when a line ends.

use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use switchboard::auth::Role;
use switchboard::runtime::Clock;

use super::harness::{ADMIN, Api, Options, integration};

/// A line that is read as it comes.
struct Line {
    response: Response,
    text: String,
}

impl Line {
    async fn open(api: &Api, key: &str) -> Self {
        Self::of(api.request("get", "/api/v1/live", key)).await
    }

    async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let mut line = Self { response, text: String::new() };
        assert_eq!(line.next().await.unwrap()["all"], true, "the first look is at everything");
        line
    }

    /// The next event; `None`: the line has ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let data = data.map(|data| serde_json::from_str(data).unwrap());
                assert!(data.is_none() || event.starts_with("event: changed\n"), "{event}");
                self.text = rest.to_owned();
                if data.is_some() {
                    return data;
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.response.chunk()).await;
            self.text.push_str(std::str::from_utf8(&chunk.expect("the line is silent").ok()??).unwrap());
        }
    }

    /// Reads on until something of this kind has this name.
    async fn hears(&mut self, kind: &str, name: &str) {
        loop {
            let names = self.next().await.expect("the line ended");
            if names[kind].as_array().unwrap().iter().any(|one| one == name) {
                return;
            }
        }
    }

    /// What came meanwhile, all of it.
    async fn so_far(&mut self) -> String {
        let mut all = String::new();
        while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(700), self.next()).await {
            all.push_str(&event.to_string());
        }
        all
    }
}

#[actix_web::test]
async fn each_tenant_hears_the_names_of_its_own_things_alone() {
    let api = Api::start().await;
    let (a, b) = (api.key("a", Role::Owner).await, api.key("b", Role::Owner).await);
    let viewer = api.key_row(Some("a"), Role::Viewer).await;
    let (mut line, mut other) = (Line::open(&api, &viewer).await, Line::open(&api, &b).await);

    let made = api.onboard(&a, "bot", "100200300").await;
    line.hears("accounts", made["id"].as_str().unwrap()).await;
    api.inbound("100200300", "wamid.1", "a secret word", None).await;
    let talks =
        api.until("/api/v1/conversations", &a, |data| data[0]["id"].is_string()).await[0]["id"].clone();
    line.hears("conversations", talks.as_str().unwrap()).await;
    let messages = format!("/api/v1/conversations/{}/messages", talks.as_str().unwrap());
    let sent = api.expect(202, "post", &messages, &a, json!({"message": "another word"})).await;
    line.hears("deliveries", sent["id"].as_str().unwrap()).await;
    let settled = |data: &Value| data[0]["deliveries"][0]["status"] == "sent";
    api.until(&messages, &a, settled).await;
    let told = line.so_far().await;
    for path in ["hand-over", "hand-back"] {
        let path = format!("/api/v1/conversations/{}/{path}", talks.as_str().unwrap());
        api.expect(200, "post", &path, &a, json!({})).await;
        line.hears("conversations", talks.as_str().unwrap()).await;
    }
    let session = api.expect(201, "post", "/api/v1/sessions", &a, json!({"name": "shop"})).await;
    line.hears("sessions", session["id"].as_str().unwrap()).await;

    // Names, and nothing that was said or by whom; and to the other tenant nothing at all.
    for word in ["word", "1555", "Ada", "bot"] {
        assert!(!told.contains(word), "{told}");
    }
    assert_eq!(other.so_far().await, "");
    // What the other one does comes to it.
    api.expect(201, "post", "/api/v1/whatsapp/integration", &b, integration("bot-b", "400500600")).await;
    assert!(other.next().await.unwrap()["accounts"][0].is_string());
}

#[actix_web::test]
async fn the_platform_listens_for_the_tenant_it_names() {
    let api = Api::start().await;
    let a = api.key("a", Role::Owner).await;
    let request = api.request("get", "/api/v1/live", ADMIN).header("switchboard-tenant", "a");
    let response = request.send().await.unwrap();
    let mut line = Line { response, text: String::new() };
    line.next().await.unwrap();
    let made = api.onboard(&a, "bot", "100200300").await;
    line.hears("accounts", made["id"].as_str().unwrap()).await;
}

#[actix_web::test]
async fn a_tenant_has_so_many_lines_and_gets_them_back() {
    // That a reader has gone is noticed with the comments, every 15 seconds; here every 150 milliseconds.
    let clock = Clock::system().with_pace(0.01);
    let api = Api::start_with(Options { clock: Some(clock), ..Options::default() }).await;
    let (a, b) = (api.key("a", Role::Owner).await, api.key("b", Role::Owner).await);
    let mut lines = Vec::new();
    for _ in 0..64 {
        lines.push(Line::open(&api, &a).await);
    }
    let refused = api.request("get", "/api/v1/live", &a).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "too_many_streams", "{problem}");
    Line::open(&api, &b).await;
    lines.pop();
    for _ in 0..200 {
        if api.request("get", "/api/v1/live", &a).send().await.unwrap().status() == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a place that is free again was not given");
}

#[actix_web::test]
async fn a_line_ends_with_the_credential_that_opened_it() {
    // Every 30 seconds the caller is looked at again; here every 150 milliseconds.
    let clock = Clock::system().with_pace(0.005);
    let api = Api::start_with(Options { clock: Some(clock), ..Options::default() }).await;
    let owner = api.key("a", Role::Owner).await;
    let key = api.expect(201, "post", "/api/v1/api-keys", &owner, json!({"name": "screen"})).await;
    let mut lost = Line::open(&api, key["key"].as_str().unwrap()).await;
    let mut kept = Line::open(&api, &owner).await;
    api.person("ada@example.com", Some("a"), Role::Agent).await;
    let cookie = api.cookie("ada@example.com").await;
    let request = api.request("get", "/api/v1/live", "").header("cookie", &cookie);
    let mut signed_in = Line::of(request.header("sec-fetch-site", "same-origin")).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(api.click("post", "/api/v1/sign-out", &cookie, json!({})).await.0, 200);
    while signed_in.next().await.is_some() {}
    let path = format!("/api/v1/api-keys/{}", key["id"].as_str().unwrap());
    api.expect(200, "delete", &path, &owner, Value::Null).await;
    while lost.next().await.is_some() {}
    // The other one goes on.
    let made = api.onboard(&owner, "bot", "100200300").await;
    kept.hears("accounts", made["id"].as_str().unwrap()).await;
}

#[actix_web::test]
async fn another_sites_page_does_not_listen() {
    let api = Api::start().await;
    let key = api.key("a", Role::Owner).await;
    let request = api.request("get", "/api/v1/live", &key).header("origin", "https://elsewhere.example");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 403);
    assert!(!response.headers().contains_key("access-control-allow-origin"));
}
