//! Signing in and out, the first person, and what a browser's cookie is good for.

use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::{Value, json};
use switchboard::api::setup;
use switchboard::auth::{Role, password};
use switchboard::ids::UserId;
use switchboard::runtime::Clock;
use switchboard::store::people::User;
use switchboard::store::tenants::Audit;

use super::harness::{ADMIN, Api, Options, read};

pub const PASSWORD: &str = "correct horse battery";

impl Api {
    /// Somebody who may sign in with [`PASSWORD`]; of the platform without a tenant.
    pub async fn person(&self, email: &str, tenant: Option<&str>, role: Role) -> UserId {
        if let Some(tenant) = tenant {
            self.key(tenant, Role::Owner).await;
        }
        let id = UserId::new(self.parts.clock.now_ms());
        let user = User {
            id: id.0,
            tenant_id: tenant.map(str::to_owned),
            email: email.into(),
            name: "Ada".into(),
            role: role.as_str().into(),
            password_hash: Some(password::hash(&PASSWORD.into()).unwrap()),
            link_expires_at: None,
            created_at: self.parts.clock.now_ms(),
        };
        let line = Audit { actor: "test", action: "test", ..Audit::default() };
        self.parts.store.upsert_user(&user, &line).await.unwrap();
        id
    }

    pub async fn try_sign_in(&self, email: &str, password: &str) -> Response {
        let body = json!({"email": email, "password": password});
        self.request("post", "/api/v1/sign-in", "").json(&body).send().await.unwrap()
    }

    /// The cookie of a sign-in.
    pub async fn cookie(&self, email: &str) -> String {
        let response = self.try_sign_in(email, PASSWORD).await;
        assert_eq!(response.status(), 200);
        cookie(&response)
    }

    /// A call by cookie, as a browser sends it from our own page.
    pub async fn click(&self, method: &str, path: &str, cookie: &str, body: Value) -> (u16, Value) {
        let request = self.request(method, path, "").header("cookie", cookie);
        let request = request.header("sec-fetch-site", "same-origin");
        let request = if body.is_null() { request } else { request.json(&body) };
        read(request.send().await.unwrap()).await
    }
}

/// What the answer sets, as a browser sends it back.
pub fn cookie(response: &Response) -> String {
    let set = response.headers()["set-cookie"].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

#[actix_web::test]
async fn a_sign_in_is_good_wherever_a_key_is() {
    let api = Api::start().await;
    let id = api.person("ada@example.com", Some("a"), Role::Admin).await;
    let response = api.try_sign_in(" Ada@Example.com", PASSWORD).await;
    let set = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    for part in ["switchboard=", "; Path=/", "; HttpOnly", "; SameSite=Lax", "; Max-Age=2592000"] {
        assert!(set.contains(part), "{set}");
    }
    let cookie = cookie(&response);
    let me = read(response).await.1["data"].clone();
    assert_eq!(me["id"], id.to_string());
    assert_eq!(
        (&me["kind"], &me["role"], &me["platform"]),
        (&json!("person"), &json!("admin"), &json!(false))
    );
    assert_eq!((&me["email"], &me["tenant"]["id"]), (&json!("ada@example.com"), &json!("a")));
    assert_eq!(me["tenants"], json!([{"id": "a", "name": "a"}]));
    assert_eq!(api.click("get", "/api/v1/me", &cookie, Value::Null).await.1["data"], me);
    let (status, key) = api.click("post", "/api/v1/api-keys", &cookie, json!({"name": "CRM"})).await;
    assert_eq!(status, 201, "{key}");
    // The token itself is nowhere in the database.
    let token = cookie.split_once('=').unwrap().1;
    assert!(api.parts.store.sign_in(token).await.unwrap().is_none());
    // A person does what their role may, no more.
    let (status, _) = api.click("get", "/api/v1/tenants", &cookie, Value::Null).await;
    assert_eq!(status, 403);

    // A key knows itself too.
    let me = api.expect(200, "get", "/api/v1/me", key["data"]["key"].as_str().unwrap(), Value::Null).await;
    assert_eq!((&me["kind"], &me["id"], &me["email"]), (&json!("key"), &key["data"]["id"], &Value::Null));
    // Whoever shows a bearer token is known by nothing else.
    let both = api.request("get", "/api/v1/me", "nonsense").header("cookie", &cookie);
    assert_eq!(read(both.send().await.unwrap()).await.0, 401);
}

#[actix_web::test]
async fn people_of_the_platform_choose_a_tenant() {
    let api = Api::start().await;
    api.key("a", Role::Owner).await;
    api.person("root@example.com", None, Role::Owner).await;
    let cookie = api.cookie("root@example.com").await;
    let me = api.click("get", "/api/v1/me", &cookie, Value::Null).await.1["data"].clone();
    assert_eq!((&me["platform"], &me["tenant"]["id"]), (&json!(true), &json!("default")));
    let names: Vec<&str> =
        me["tenants"].as_array().unwrap().iter().map(|t| t["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "default"]);
    let named = api.request("get", "/api/v1/me", "").header("cookie", &cookie);
    let named = read(named.header("switchboard-tenant", "a").send().await.unwrap()).await.1;
    assert_eq!(named["data"]["tenant"]["id"], "a");
}

#[actix_web::test]
async fn another_sites_page_changes_nothing() {
    let api = Api::start().await;
    api.person("ada@example.com", Some("a"), Role::Owner).await;
    let cookie = api.cookie("ada@example.com").await;
    let own = api.url.clone();
    for (headers, status) in [
        (vec![("sec-fetch-site", "same-origin")], 201),
        (vec![("origin", own.as_str())], 201),
        (vec![], 403),
        (vec![("sec-fetch-site", "cross-site")], 403),
        (vec![("sec-fetch-site", "same-site")], 403),
        (vec![("sec-fetch-site", "none")], 403),
        (vec![("origin", "https://evil.example")], 403),
        (vec![("origin", "null")], 403),
        (vec![("sec-fetch-site", "cross-site"), ("origin", own.as_str())], 403),
    ] {
        let request = api.request("post", "/api/v1/api-keys", "").header("cookie", &cookie);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let (got, answer) = read(request.json(&json!({"name": "x"})).send().await.unwrap()).await;
        assert_eq!(got, status, "{headers:?} {answer}");
        assert!(status == 201 || answer["code"] == "cross_site", "{answer}");
    }
    // Looking is fine; nobody can be signed in, or out, from elsewhere.
    let look = api.request("get", "/api/v1/me", "").header("cookie", &cookie);
    assert_eq!(read(look.header("sec-fetch-site", "none").send().await.unwrap()).await.0, 200);
    for path in ["/api/v1/sign-in", "/api/v1/sign-out", "/api/v1/setup", "/api/v1/invitation"] {
        let request = api.request("post", path, "").header("cookie", &cookie);
        let request = request.header("sec-fetch-site", "cross-site").json(&json!({}));
        assert_eq!(read(request.send().await.unwrap()).await.0, 403, "{path}");
    }
    assert_eq!(api.click("get", "/api/v1/me", &cookie, Value::Null).await.0, 200);
}

#[actix_web::test]
async fn a_sign_in_ends_by_hand_by_idling_and_in_any_case() {
    let clock = Clock::manual(1_800_000_000_000);
    let api = Api::start_with(Options { clock: Some(clock.clone()), ..Options::default() }).await;
    api.person("ada@example.com", Some("a"), Role::Owner).await;
    let alive = async |cookie: &str| api.click("get", "/api/v1/me", cookie, Value::Null).await.0 == 200;
    let hours = |hours: i64| hours * 3_600_000;

    let [first, second, third] = [
        api.cookie("ada@example.com").await,
        api.cookie("ada@example.com").await,
        api.cookie("ada@example.com").await,
    ];
    assert!(first != second && alive(&first).await && alive(&second).await);
    let signed_out = api.request("post", "/api/v1/sign-out", "").header("cookie", &first);
    let signed_out = signed_out.header("sec-fetch-site", "same-origin").send().await.unwrap();
    assert!(signed_out.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert!(!alive(&first).await && alive(&second).await);
    let everywhere = json!({"everywhere": true});
    assert_eq!(api.click("post", "/api/v1/sign-out", &second, everywhere).await.0, 200);
    assert!(!alive(&second).await && !alive(&third).await);
    // Nobody is signed in: that is what was wanted.
    assert_eq!(api.click("post", "/api/v1/sign-out", &second, Value::Null).await.0, 200);

    let idle = api.cookie("ada@example.com").await;
    clock.advance(hours(12) - 1);
    assert!(alive(&idle).await, "and this use counts");
    clock.advance(hours(12) - 1);
    assert!(alive(&idle).await);
    clock.advance(hours(12));
    assert!(!alive(&idle).await);

    let busy = api.cookie("ada@example.com").await;
    for _ in 0..(30 * 24 / 8 - 1) {
        clock.advance(hours(8));
        assert!(alive(&busy).await);
    }
    clock.advance(hours(8));
    assert!(!alive(&busy).await, "thirty days are over");
}

#[actix_web::test]
async fn guessing_is_slow_and_learns_nothing() {
    let clock = Clock::manual(1_800_000_000_000);
    let api = Api::start_with(Options { clock: Some(clock.clone()), ..Options::default() }).await;
    api.person("ada@example.com", Some("a"), Role::Owner).await;
    let mut answers = Vec::new();
    for email in ["ada@example.com", "nobody@example.com"] {
        let begun = Instant::now();
        let (status, mut answer) = read(api.try_sign_in(email, "wrong wrong").await).await;
        let took = begun.elapsed();
        assert_eq!((status, answer["code"].as_str()), (401, Some("sign_in_refused")));
        answer.as_object_mut().unwrap().remove("request_id");
        answers.push((answer, took));
    }
    assert_eq!(answers[0].0, answers[1].0);
    // Both hashed a password: a look-up alone takes a tenth of that.
    assert!(answers.iter().all(|(_, took)| *took > Duration::from_millis(5)), "{answers:?}");

    for _ in 0..4 {
        assert_eq!(api.try_sign_in("ada@example.com", "wrong wrong").await.status(), 401);
    }
    let late = api.try_sign_in("ada@example.com", PASSWORD).await;
    assert_eq!(late.headers()["retry-after"], "1");
    let (status, answer) = read(late).await;
    assert_eq!((status, &answer["code"]), (429, &json!("too_many_attempts")));
    clock.advance(1_000);
    assert_eq!(api.try_sign_in("ada@example.com", PASSWORD).await.status(), 200);
    // The address has failed 6 times; and once it came too early; it may 13 times more, whoever it guesses at.
    for n in 0..13 {
        assert_eq!(api.try_sign_in(&format!("x{n}@example.com"), "wrong wrong").await.status(), 401, "{n}");
    }
    assert_eq!(api.try_sign_in("y@example.com", "wrong wrong").await.status(), 429);

    for (body, fields) in [
        (json!({}), &["email", "password"][..]),
        (json!({"email": "nonsense", "password": 5}), &["email", "password"]),
        (json!({"email": "a@b.de", "password": "x", "role": "owner"}), &["role"]),
    ] {
        api.wrong_fields("post", "/api/v1/sign-in", "", body, fields).await;
    }
}

#[actix_web::test]
async fn the_first_person_comes_through_the_printed_link_once() {
    let api = Api::start().await;
    let store = &api.parts.store;
    let link = setup::link(store, &api.parts.ring, "https://x.example").await.unwrap().unwrap();
    let token = link.strip_prefix("https://x.example/setup#").unwrap();
    assert_eq!(api.expect(200, "get", "/api/v1/setup", "", Value::Null).await["needed"], true);
    let body = |token: &str| json!({"token": token, "email": "Root@example.com", "password": PASSWORD});
    api.refuse(401, "link_refused", "post", "/api/v1/setup", "", body("wrong")).await;
    let weak = json!({"token": token, "email": "root@example.com", "password": "password1"});
    api.wrong_fields("post", "/api/v1/setup", "", weak, &["password"]).await;

    let tries = (0..8).map(|_| api.request("post", "/api/v1/setup", "").json(&body(token)).send());
    let mut made = Vec::new();
    for response in futures_util::future::join_all(tries).await {
        let response = response.unwrap();
        match response.status().as_u16() {
            201 => made.push(cookie(&response)),
            status => assert_eq!(status, 401),
        }
    }
    assert_eq!(made.len(), 1, "one of eight at once");
    let me = api.click("get", "/api/v1/me", &made[0], Value::Null).await.1["data"].clone();
    assert_eq!(
        (&me["role"], &me["platform"], &me["email"]),
        (&json!("owner"), &json!(true), &json!("root@example.com"))
    );
    assert_eq!(setup::link(store, &api.parts.ring, "").await.unwrap(), None);
    assert_eq!(api.expect(200, "get", "/api/v1/setup", "", Value::Null).await["needed"], false);
    api.refuse(401, "link_refused", "post", "/api/v1/setup", "", body(token)).await;
    // Another database under the same keys has another link.
    tokio::time::sleep(Duration::from_millis(2)).await;
    let other = Api::start().await;
    assert_ne!(
        setup::link(&other.parts.store, &other.parts.ring, "https://x.example").await.unwrap(),
        Some(link)
    );
    assert_eq!(api.expect(200, "get", "/api/v1/me", ADMIN, Value::Null).await["kind"], "key");
}
