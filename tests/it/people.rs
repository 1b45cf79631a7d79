//! Sign-ins over restarts and several instances.

use std::time::{Duration, Instant};

use futures_util::future::join;
use serde_json::{Value, json};
use switchboard::sandbox::http_client;

use crate::harness::{ADMIN_KEY, Db, Service, World};
use crate::on_both_databases;

const PASSWORD: &str = "correct horse battery";

impl Service {
    async fn call(&self, method: &str, path: &str, header: (&str, &str), body: Value) -> reqwest::Response {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = http_client().unwrap().request(method, format!("{}/api/v1{path}", self.running.url()));
        let request = request.header(header.0, header.1).header("sec-fetch-site", "same-origin");
        request.json(&body).send().await.unwrap()
    }

    /// The first person, by the printed link; their cookie.
    async fn set_up(&self) -> String {
        let link = self.running.setup_link.clone().expect("nobody is there yet");
        let token = link.split_once("/setup#").unwrap().1;
        let body = json!({"token": token, "email": "root@example.com", "password": PASSWORD});
        let made = self.call("POST", "/setup", ("x-none", ""), body).await;
        assert_eq!(made.status(), 201);
        let set = made.headers()["set-cookie"].to_str().unwrap();
        set.split(';').next().unwrap().to_owned()
    }

    async fn role(&self, cookie: &str) -> Option<String> {
        let me = self.call("GET", "/me", ("cookie", cookie), json!({})).await;
        let me: Value = me.json().await.unwrap();
        me["data"]["role"].as_str().map(str::to_owned)
    }
}

on_both_databases! {
    async fn a_sign_in_outlives_a_restart_and_the_link_does_not(db: Db) {
        let world = World::new(db);
        let before = world.start().await;
        let link = before.running.setup_link.clone();
        before.running.stop().await;
        let service = world.start().await;
        assert_eq!(service.running.setup_link, link, "printed again as long as nobody took it");
        let cookie = service.set_up().await;
        service.running.stop().await;
        let service = world.start().await;
        assert_eq!(service.running.setup_link, None);
        assert_eq!(service.role(&cookie).await.as_deref(), Some("owner"));
        service.running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_about_people_and_keys_is_so_everywhere_within_two_seconds() {
    let Some(db) = Db::postgres().await else { return };
    let world = World::new(db);
    let (a, b) = join(world.start(), world.start()).await;
    assert_eq!(a.running.setup_link, b.running.setup_link);
    a.set_up().await;
    let bearer = format!("Bearer {ADMIN_KEY}");
    let admin = ("authorization", bearer.as_str());
    let invite = json!({"email": "bob@example.com", "role": "agent"});
    let bob: Value = a.call("POST", "/users", admin, invite).await.json().await.unwrap();
    let token = bob["data"]["link"].as_str().unwrap().split_once('#').unwrap().1.to_owned();
    // A link made by one is taken by the other.
    let accepted =
        b.call("POST", "/invitation", ("x-none", ""), json!({"token": token, "password": PASSWORD})).await;
    assert_eq!(accepted.status(), 200);
    let cookie = accepted.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(b.role(&cookie).await.as_deref(), Some("agent"));

    let path = format!("/users/{}", bob["data"]["id"].as_str().unwrap());
    let within = async |what: &str, wished: Option<&str>| {
        let changed = Instant::now();
        b.wait_until(what, async || b.role(&cookie).await.as_deref() == wished).await;
        assert!(changed.elapsed() < Duration::from_secs(2), "{what}: {:?}", changed.elapsed());
    };
    assert_eq!(a.call("PATCH", &path, admin, json!({"role": "viewer"})).await.status(), 200);
    within("another role", Some("viewer")).await;
    assert_eq!(a.call("DELETE", &path, admin, Value::Null).await.status(), 200);
    within("removed", None).await;

    let key: Value = a.call("POST", "/api-keys", admin, json!({"name": "x"})).await.json().await.unwrap();
    let bearer = format!("Bearer {}", key["data"]["key"].as_str().unwrap());
    assert_eq!(b.call("GET", "/me", ("authorization", &bearer), json!({})).await.status(), 200);
    let path = format!("/api-keys/{}", key["data"]["id"].as_str().unwrap());
    assert_eq!(a.call("DELETE", &path, admin, Value::Null).await.status(), 200);
    assert_eq!(b.call("GET", "/me", ("authorization", &bearer), json!({})).await.status(), 401);
    join(a.running.stop(), b.running.stop()).await;
}

on_both_databases! {
    async fn nothing_changes_the_audit_log(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.set_up().await;
        let lines = "select action from audit_log order by id";
        let before = world.db.texts(lines).await;
        assert_eq!(before, ["user.create", "user.sign_in"]);
        let mut attacks = vec!["update audit_log set actor = 'nobody'", "delete from audit_log"];
        if service.running.store.is_shared() {
            attacks.push("truncate audit_log");
        }
        for attack in attacks {
            let error = world.db.execute(attack).await.expect_err(attack).to_string();
            assert!(error.contains("audit log"), "{attack}: {error}");
        }
        assert_eq!(world.db.texts(lines).await, before);
        service.running.stop().await;
    }
}
