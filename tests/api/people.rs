//! A tenant's people: invited, changed, removed, and never without an owner.

use serde_json::{Value, json};
use switchboard::auth::Role;
use switchboard::runtime::Clock;

use super::harness::{ADMIN, Api, Options, read};
use super::sign_in::{PASSWORD, cookie};

const USERS: &str = "/api/v1/users";

fn token(made: &Value) -> String {
    made["link"].as_str().unwrap().strip_prefix("http://127.0.0.1/invite#").unwrap().to_owned()
}

#[actix_web::test]
async fn an_invitation_is_a_link_that_is_good_once() {
    let clock = Clock::manual(1_800_000_000_000);
    let api = Api::start_with(Options { clock: Some(clock.clone()), ..Options::default() }).await;
    let owner = api.key("a", Role::Owner).await;
    let body = json!({"email": "Bob@Example.com", "role": "agent", "name": "Bob"});
    let made = api.expect(201, "post", USERS, &owner, body.clone()).await;
    assert_eq!(
        (&made["email"], &made["status"], &made["role"]),
        (&json!("bob@example.com"), &json!("invited"), &json!("agent"))
    );
    api.refuse(409, "already_exists", "post", USERS, &owner, body).await;
    let (_, list) = api.call("get", USERS, &owner, Value::Null).await;
    assert!(list["data"][0]["link"].is_null() && !list.to_string().contains(&token(&made)));
    // Nobody signs in before a password was chosen.
    assert_eq!(api.try_sign_in("bob@example.com", "").await.status(), 401);

    let accept = |token: &str| json!({"token": token, "password": PASSWORD});
    api.refuse(401, "link_refused", "post", "/api/v1/invitation", "", accept("wrong")).await;
    // A week is the end of it; a new link is another.
    clock.advance(7 * 24 * 3_600_000);
    api.refuse(401, "link_refused", "post", "/api/v1/invitation", "", accept(&token(&made))).await;
    let path = format!("{USERS}/{}", made["id"].as_str().unwrap());
    let again = api.expect(200, "post", &format!("{path}/link"), &owner, Value::Null).await;
    assert_ne!(token(&again), token(&made));
    let third = api.expect(200, "post", &format!("{path}/link"), &owner, Value::Null).await;
    api.refuse(401, "link_refused", "post", "/api/v1/invitation", "", accept(&token(&again))).await;
    let request = api.request("post", "/api/v1/invitation", "").json(&accept(&token(&third)));
    let response = request.send().await.unwrap();
    let bob = cookie(&response);
    let me = read(response).await.1["data"].clone();
    assert_eq!(
        (&me["role"], &me["name"], &me["tenant"]["id"]),
        (&json!("agent"), &json!("Bob"), &json!("a"))
    );
    api.refuse(401, "link_refused", "post", "/api/v1/invitation", "", accept(&token(&third))).await;
    assert_eq!(api.expect(200, "get", &path, &owner, Value::Null).await["status"], "active");
    assert_eq!(api.click("get", "/api/v1/conversations", &bob, Value::Null).await.0, 200);
    assert_eq!(api.click("get", USERS, &bob, Value::Null).await.0, 403);

    // A link for a forgotten password ends what was signed in with the old one.
    let lost = api.expect(200, "post", &format!("{path}/link"), &owner, Value::Null).await;
    assert_eq!(api.click("get", "/api/v1/me", &bob, Value::Null).await.0, 200);
    let taken = json!({"token": token(&lost), "password": "another good one", "name": "Robert"});
    let me = api.expect(200, "post", "/api/v1/invitation", "", taken).await;
    assert_eq!(me["name"], "Robert");
    assert_eq!(api.click("get", "/api/v1/me", &bob, Value::Null).await.0, 401);

    api.wrong_fields("post", USERS, &owner, json!({"email": "x"}), &["email", "role"]).await;
    let mass = json!({"email": "x@y.de", "role": "agent", "tenantId": "b"});
    api.wrong_fields("post", USERS, &owner, mass, &["tenantId"]).await;
}

#[actix_web::test]
async fn owners_manage_people_and_one_always_stays() {
    let api = Api::start().await;
    let ada = api.person("ada@example.com", Some("a"), Role::Owner).await;
    let bob = api.person("bob@example.com", Some("a"), Role::Admin).await;
    let owner = api.cookie("ada@example.com").await;
    let admin = api.cookie("bob@example.com").await;
    let [ada, bob] = [ada, bob].map(|id| format!("{USERS}/{id}"));

    // An admin sees people and changes nobody, themselves neither.
    assert_eq!(api.click("get", USERS, &admin, Value::Null).await.1["data"].as_array().unwrap().len(), 2);
    for (method, path) in [("post", USERS), ("patch", &bob), ("delete", &bob), ("delete", &ada)] {
        assert_eq!(api.click(method, path, &admin, json!({"role": "owner"})).await.0, 403, "{method} {path}");
    }
    // The only owner stays one.
    for (method, body) in [("delete", Value::Null), ("patch", json!({"role": "admin"}))] {
        let (status, answer) = api.click(method, &ada, &owner, body).await;
        assert_eq!((status, &answer["code"]), (409, &json!("last_owner")), "{method}");
    }
    // Somebody who has not chosen a password yet is no owner to count on.
    let invited =
        api.click("post", USERS, &owner, json!({"email": "c@example.com", "role": "owner"})).await.1;
    assert_eq!(api.click("delete", &ada, &owner, Value::Null).await.0, 409);
    let invited = format!("{USERS}/{}", invited["data"]["id"].as_str().unwrap());
    assert_eq!(api.click("delete", &invited, &owner, Value::Null).await.0, 200);

    // What changes about somebody is so with their next request.
    let (status, changed) = api.click("patch", &bob, &owner, json!({"role": "owner", "name": "Bob"})).await;
    assert_eq!(
        (status, &changed["data"]["role"], &changed["data"]["name"]),
        (200, &json!("owner"), &json!("Bob"))
    );
    assert_eq!(api.click("get", "/api/v1/me", &admin, Value::Null).await.1["data"]["role"], "owner");
    assert_eq!(api.click("delete", &ada, &admin, Value::Null).await.0, 200);
    assert_eq!(api.click("get", "/api/v1/me", &owner, Value::Null).await.0, 401);
    assert_eq!(api.try_sign_in("ada@example.com", PASSWORD).await.status(), 401);
    assert_eq!(api.click("delete", &bob, &admin, Value::Null).await.0, 409);
    assert_eq!(api.click("patch", &bob, &admin, json!({})).await.0, 400);
}

/// Two owners who remove each other at the same moment: one stays.
#[actix_web::test]
async fn two_owners_cannot_both_leave() {
    let api = Api::start().await;
    for round in 0..5 {
        let tenant = format!("t{round}");
        let mut owners = Vec::new();
        for name in ["ada", "bob"] {
            let email = format!("{name}{round}@example.com");
            let id = api.person(&email, Some(&tenant), Role::Owner).await;
            owners.push((format!("{USERS}/{id}"), api.cookie(&email).await));
        }
        let (first, second) = tokio::join!(
            api.click("delete", &owners[0].0, &owners[1].1, Value::Null),
            api.click("delete", &owners[1].0, &owners[0].1, Value::Null),
        );
        let gone = [&first, &second].iter().filter(|(status, _)| *status == 200).count();
        assert_eq!(gone, 1, "{first:?} {second:?}");
    }
}

#[actix_web::test]
async fn another_tenants_people_are_not_there() {
    let api = Api::start().await;
    let theirs = api.person("eve@example.com", Some("b"), Role::Agent).await;
    let platforms = api.person("root@example.com", None, Role::Owner).await;
    let owner = api.key("a", Role::Owner).await;
    for id in [theirs.to_string(), platforms.to_string(), "nonsense".into(), UNKNOWN.into()] {
        let path = format!("{USERS}/{id}");
        api.refuse(404, "not_found", "get", &path, &owner, Value::Null).await;
        api.refuse(404, "not_found", "patch", &path, &owner, json!({"role": "viewer"})).await;
        api.refuse(404, "not_found", "delete", &path, &owner, Value::Null).await;
        api.refuse(404, "not_found", "post", &format!("{path}/link"), &owner, Value::Null).await;
    }
    assert_eq!(api.call("get", USERS, &owner, Value::Null).await.1["data"], json!([]));
    // The platform's own people are the platform's matter.
    let invite = json!({"email": "x@example.com", "role": "viewer", "platform": true});
    api.refuse(403, "forbidden", "post", USERS, &owner, invite.clone()).await;
    api.refuse(403, "forbidden", "get", &format!("{USERS}?platform=true"), &owner, Value::Null).await;
    assert_eq!(api.expect(201, "post", USERS, ADMIN, invite).await["platform"], true);
    let (_, list) = api.call("get", &format!("{USERS}?platform=true"), ADMIN, Value::Null).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    api.refuse(409, "last_owner", "delete", &format!("{USERS}/{platforms}"), ADMIN, Value::Null).await;
}

const UNKNOWN: &str = "01900000-0000-7000-8000-000000000000";

#[actix_web::test]
async fn a_new_password_ends_every_other_sign_in() {
    let api = Api::start().await;
    api.person("ada@example.com", Some("a"), Role::Viewer).await;
    let [here, there] = [api.cookie("ada@example.com").await, api.cookie("ada@example.com").await];
    let path = "/api/v1/me/password";
    let change = |current: &str, new: &str| json!({"currentPassword": current, "password": new});
    let (status, answer) = api.click("post", path, &here, change("wrong wrong", "a new good one")).await;
    assert_eq!((status, &answer["errors"][0]["field"]), (400, &json!("currentPassword")));
    let (status, answer) = api.click("post", path, &here, change(PASSWORD, "short")).await;
    assert_eq!((status, &answer["errors"][0]["field"]), (400, &json!("password")));
    assert_eq!(api.click("post", path, &here, change(PASSWORD, "a new good one")).await.0, 200);
    assert_eq!(api.click("get", "/api/v1/me", &here, Value::Null).await.0, 200);
    assert_eq!(api.click("get", "/api/v1/me", &there, Value::Null).await.0, 401);
    assert_eq!(api.try_sign_in("ada@example.com", PASSWORD).await.status(), 401);
    assert_eq!(api.try_sign_in("ada@example.com", "a new good one").await.status(), 200);
    let key = api.key("a", Role::Owner).await;
    api.refuse(403, "forbidden", "post", path, &key, change("x", "a new good one")).await;
}
