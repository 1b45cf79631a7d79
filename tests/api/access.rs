//! Who may call, what a failure looks like, tenants and API keys.

use serde_json::{Value, json};

use super::harness::{ADMIN, Api, Options, read};
use switchboard::api::ROUTES;
use switchboard::auth::Role;

/// A path of the table with something in its placeholders.
fn filled(path: &str) -> String {
    let parts: Vec<&str> =
        path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
    parts.join("/")
}

#[actix_web::test]
async fn every_route_needs_a_valid_key() {
    let api = Api::start().await;
    let revoked = api.key("a", Role::Owner).await;
    let id = &revoked["sb_live_".len()..]["".len()..8];
    let now = api.parts.clock.now_ms();
    let line = switchboard::store::tenants::Audit {
        tenant: Some("a"),
        actor: "t",
        action: "t",
        target: id,
        now,
        ..Default::default()
    };
    assert!(api.parts.store.revoke_api_key(Some("a"), id, &line).await.unwrap());
    let tampered = format!("{}x", &ADMIN[..ADMIN.len() - 1]);
    let open = super::matrix::open();
    for (method, path) in ROUTES.iter().filter(|(_, path)| path.starts_with("/api/") && !open.contains(path))
    {
        for key in ["", "nonsense", &tampered, &revoked, &format!("sb_live_{id}_{}", "x".repeat(43))] {
            let response = api.request(method, &filled(path), key).body("{").send().await.unwrap();
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            assert_eq!(read(response).await.0, 401, "{method} {path} {key}");
        }
    }
}

#[actix_web::test]
async fn only_the_platform_names_a_tenant() {
    let api = Api::start().await;
    let key = api.key("a", Role::Owner).await;
    let platform = api.key_row(None, Role::Admin).await;
    let named = async |key: &str, tenant: &str| {
        let request = api.request("post", "/api/v1/api-keys", key).header("Switchboard-Tenant", tenant);
        let (status, answer) = read(request.json(&json!({"name": "n"})).send().await.unwrap()).await;
        let id = answer["data"]["id"].as_str().unwrap_or_default().to_owned();
        let row = api.parts.store.api_key(&id).await.unwrap();
        (status, row.and_then(|row| row.tenant_id))
    };
    assert_eq!(named(ADMIN, "a").await, (201, Some("a".into())));
    assert_eq!(named(&platform, "a").await, (201, Some("a".into())));
    assert_eq!(named(ADMIN, "nobody").await.0, 404);
    assert_eq!(named(ADMIN, "not a tenant").await.0, 404);
    // A tenant's key acts for its tenant, whatever it says.
    assert_eq!(named(&key, "default").await, (201, Some("a".into())));
    let made = api.expect(201, "post", "/api/v1/api-keys", ADMIN, json!({"name": "n"})).await;
    let row = api.parts.store.api_key(made["id"].as_str().unwrap()).await.unwrap().unwrap();
    assert_eq!(row.tenant_id.as_deref(), Some("default"));
}

#[actix_web::test]
async fn a_key_is_shown_once_and_noted_once_a_minute() {
    let api = Api::start().await;
    let owner = api.key("a", Role::Owner).await;
    let keys = "/api/v1/api-keys";
    let made = api.expect(201, "post", keys, &owner, json!({"name": "CRM", "role": "agent"})).await;
    let key = made["key"].as_str().unwrap();
    assert_eq!((made["name"].as_str(), made["role"].as_str()), (Some("CRM"), Some("agent")));
    let tenant = api.expect(200, "get", "/api/v1/tenants/a", key, Value::Null).await;
    assert_eq!(tenant["id"], "a");

    let (_, list) = api.call("get", keys, &owner, Value::Null).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    assert!(!list.to_string().contains(key.rsplit('_').next().unwrap()));
    assert!(list["data"][1]["lastUsedAt"].is_string() && list["data"][1]["key"].is_null());

    let path = format!("{keys}/{}", made["id"].as_str().unwrap());
    let revoked = api.expect(200, "delete", &path, &owner, Value::Null).await;
    assert!(revoked["revokedAt"].is_string());
    api.refuse(404, "not_found", "delete", &path, &owner, Value::Null).await;
    api.refuse(401, "unauthenticated", "get", "/api/v1/tenants/a", key, Value::Null).await;

    let admin = api.key("a", Role::Admin).await;
    api.refuse(403, "forbidden", "post", keys, &admin, json!({"name": "x", "role": "owner"})).await;
    let owners = format!("{keys}/{}", &owner[8..16]);
    api.refuse(403, "forbidden", "delete", &owners, &admin, Value::Null).await;
    api.wrong_fields("post", keys, &admin, json!({"role": "king", "name": ""}), &["name", "role"]).await;
}

#[actix_web::test]
async fn failures_say_what_and_which() {
    let api = Api::start().await;
    let key = api.key("a", Role::Owner).await;
    for path in ["/api/v1/nothing", "/api/v2/tenants", "/api"] {
        api.refuse(404, "not_found", "get", path, &key, Value::Null).await;
    }
    let response = api.request("put", "/api/v1/tenants", &key).send().await.unwrap();
    assert_eq!(response.headers()["allow"], "GET, POST");
    assert_eq!(read(response).await.0, 405);

    let send = async |body: &'static str, kind: &str| {
        let request = api.request("post", "/api/v1/api-keys", &key).header("content-type", kind);
        let (status, answer) = read(request.body(body).send().await.unwrap()).await;
        (status, answer["code"].as_str().unwrap_or_default().to_owned(), answer["errors"][0]["field"].clone())
    };
    assert_eq!(send("{", "application/json").await, (400, "unreadable".into(), Value::Null));
    assert_eq!(send("[]", "application/json").await.0, 400);
    assert_eq!(send(r#"{"name":"x"}"#, "text/plain").await.1, "not_json");
    // Mass assignment is refused and the field named.
    let sent = send(r#"{"name":"x","tenantId":"b"}"#, "application/json; charset=utf-8").await;
    assert_eq!(sent, (400, "invalid".into(), "tenantId".into()));
    assert_eq!(send(r#"{"name":5}"#, "application/json").await.2, "name");
    assert_eq!(send("", "application/json").await.2, "name");
    let large = api.request("post", "/api/v1/api-keys", &key).body(" ".repeat(300_000)).send().await.unwrap();
    assert_eq!(read(large).await.0, 413);

    let given = api.request("get", "/api/v1/tenants/b", &key).header("x-request-id", "my-id.7");
    let response = given.send().await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "my-id.7");
    assert_eq!(read(response).await.1["request_id"], "my-id.7");
    let insane = api.request("get", "/api/v1/tenants/b", &key).header("x-request-id", "a b");
    let response = insane.send().await.unwrap();
    assert_ne!(response.headers()["x-request-id"], "a b");
}

#[actix_web::test]
async fn tenants_are_the_platforms_matter() {
    let api = Api::start().await;
    let key = api.key("a", Role::Owner).await;
    let tenants = "/api/v1/tenants";
    let body = json!({"id": "5", "name": "Five", "externalIds": {"crm": "77"}});
    let made = api.expect(201, "post", tenants, ADMIN, body.clone()).await;
    assert_eq!((&made["id"], &made["externalIds"]["crm"]), (&json!("5"), &json!("77")));
    assert!(made["createdAt"].as_str().unwrap().ends_with('Z'));
    api.refuse(409, "already_exists", "post", tenants, ADMIN, body).await;
    let twin = json!({"name": "Twin", "externalIds": {"crm": "77"}});
    api.refuse(409, "already_exists", "post", tenants, ADMIN, twin).await;
    let unnamed = api.expect(201, "post", tenants, ADMIN, json!({"name": "Unnamed"})).await;
    assert!(!unnamed["id"].as_str().unwrap().is_empty());
    api.wrong_fields("post", tenants, ADMIN, json!({"id": "a b"}), &["id", "name"]).await;

    let change = json!({"name": "Cinq", "externalIds": {"crm": null, "erp": "8"}});
    let changed = api.expect(200, "patch", "/api/v1/tenants/5", ADMIN, change).await;
    assert_eq!((&changed["name"], &changed["externalIds"]), (&json!("Cinq"), &json!({"erp": "8"})));
    api.refuse(400, "invalid", "patch", "/api/v1/tenants/5", ADMIN, json!({})).await;
    api.refuse(404, "not_found", "patch", "/api/v1/tenants/6", ADMIN, json!({"name": "x"})).await;

    // A tenant sees itself and nobody else.
    assert_eq!(api.expect(200, "get", "/api/v1/tenants/a", &key, Value::Null).await["id"], "a");
    api.refuse(404, "not_found", "get", "/api/v1/tenants/5", &key, Value::Null).await;
    api.refuse(403, "forbidden", "get", tenants, &key, Value::Null).await;
    api.refuse(403, "forbidden", "patch", "/api/v1/tenants/a", &key, json!({"name": "x"})).await;

    // Pages: every tenant once, in order.
    let mut seen = Vec::new();
    let mut path = format!("{tenants}?limit=2");
    loop {
        let (status, page) = api.call("get", &path, ADMIN, Value::Null).await;
        assert_eq!(status, 200, "{page}");
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= 2);
        seen.extend(data.iter().map(|t| t["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("{tenants}?limit=2&cursor={cursor}");
    }
    let mut sorted = seen.clone();
    sorted.sort();
    assert_eq!((seen.len(), &seen), (4, &sorted));
    for (query, field) in
        [("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"), ("cursor=%25", "cursor")]
    {
        api.wrong_fields("get", &format!("{tenants}?{query}"), ADMIN, Value::Null, &[field]).await;
    }
}

#[actix_web::test]
async fn machines_are_told_how_it_stands() {
    let api = Api::start().await;
    let (status, health) = api.call("get", "/health", "", Value::Null).await;
    assert_eq!((status, &health["status"]), (200, &json!("OK")));
    assert!(health["uptime"].as_f64().unwrap() >= 0.0 && health["timestamp"].is_string());
    assert_eq!(api.call("get", "/ready", "", Value::Null).await.0, 200);
    assert_eq!(api.call("get", "/metrics", "", Value::Null).await.0, 200);
    api.parts.draining.cancel();
    let response = api.request("get", "/ready", "").send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.json::<Value>().await.unwrap()["status"], "draining");

    let api = Api::start_with(Options { production: true, ..Options::default() }).await;
    let tenant = api.key("a", Role::Owner).await;
    for (key, expected) in [("", 401), (&tenant, 401), ("metrics-token", 200), (ADMIN, 200)] {
        let response = api.request("get", "/metrics", key).send().await.unwrap();
        assert_eq!(response.status(), expected, "{key}");
    }
    // The scraper's token opens nothing else.
    api.refuse(401, "unauthenticated", "get", "/api/v1/tenants", "metrics-token", Value::Null).await;
}
