//! Every route of the description × who calls: nobody, a lesser role, another tenant, the caller it is for.
//!
//! A route that is not in the table fails the first test; a thing that `{id}` may stand for is taken from its own list,
//! so a new kind of thing has one made in [`furnish`].

use std::collections::BTreeMap;

use serde_json::{Value, json};
use switchboard::api::components;
use switchboard::auth::Role;
use switchboard::store::events::EventState;

use super::harness::{ADMIN, Api, Options, read};

/// Who may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Everybody: who signs in has no key yet, and machines ask how it stands.
    Open,
    /// A tenant's caller of this role, or more.
    Role(Role),
    /// The platform alone; of this role, or more.
    Platform(Role),
    /// A page of another site that holds a component's token, and nobody else.
    Component,
}

const TABLE: &[(Need, &[&str])] = &[
    (
        Need::Open,
        &[
            "post /api/v1/sign-in",
            "post /api/v1/sign-out",
            "get /api/v1/setup",
            "post /api/v1/setup",
            "post /api/v1/invitation",
            "get /api/v1/session-qr/{token}",
            "get /openapi.json",
            "get /health",
            "get /ready",
            "get /metrics", // outside production; see `access`
        ],
    ),
    (
        Need::Role(Role::Viewer),
        &[
            "get /api/v1/me",
            "post /api/v1/me/password",
            "get /api/v1/tenants/{id}",
            "get /api/v1/chatbots",
            "get /api/v1/chatbots/{id}",
            "get /api/v1/whatsapp/integration",
            "get /api/v1/whatsapp/integrations",
            "get /api/v1/whatsapp/integration/{id}",
            "get /api/v1/whatsapp/integration/{id}/events",
            "get /api/v1/conversations",
            "get /api/v1/conversations/{id}",
            "get /api/v1/conversations/{id}/messages",
            "get /api/v1/deliveries",
            "get /api/v1/deliveries/{id}",
            "get /api/v1/events",
            "get /api/v1/events/{id}",
            "get /api/v1/dead-letters",
            "get /api/v1/trace/{wamid}",
            "get /api/v1/media/{id}",
            "get /api/v1/event-deliveries",
            "get /api/v1/event-deliveries/{id}",
            "get /api/v1/alerts",
            "get /api/v1/live",
            "get /api/v1/overview",
            "get /api/v1/contacts",
            "get /api/v1/contacts/{id}",
            "get /api/v1/contacts/{id}/timeline",
            "get /api/v1/analytics",
            "get /api/v1/analytics/per-day",
            "get /api/v1/sessions",
            "get /api/v1/sessions/{name}",
            "get /api/v1/sessions/{name}/events",
            "get /api/tenants/{tenant_id}/whatsapp/status",
            "get /api/whatsapp/status",
            "get /api/whatsapp/session-info",
        ],
    ),
    (
        Need::Role(Role::Agent),
        &[
            "post /api/v1/component-tokens",
            "post /api/v1/whatsapp/send",
            "post /api/v1/media",
            "post /api/v1/conversations/{id}/messages",
            "post /api/v1/conversations/{id}/hand-over",
            "post /api/v1/conversations/{id}/hand-back",
            "post /api/v1/contacts/{id}/opt-out",
            "post /api/v1/contacts/{id}/opt-in",
            "post /api/v1/deliveries/{id}/retry",
            "delete /api/v1/deliveries/{id}",
            "post /api/v1/dead-letters/retry",
            "post /api/v1/event-deliveries/{id}/retry",
            "post /api/v1/sessions/{name}/messages",
            "post /api/whatsapp/send",
        ],
    ),
    (
        Need::Role(Role::Admin),
        &[
            "get /api/v1/audit",
            "get /api/v1/contacts/{id}/export",
            "delete /api/v1/contacts/{id}",
            "get /api/v1/users",
            "get /api/v1/users/{id}",
            "get /api/v1/api-keys",
            "post /api/v1/api-keys",
            "delete /api/v1/api-keys/{id}",
            "post /api/v1/chatbots",
            "patch /api/v1/chatbots/{id}",
            "delete /api/v1/chatbots/{id}",
            "post /api/v1/chatbots/{id}/test",
            "post /api/v1/whatsapp/integration",
            "patch /api/v1/whatsapp/integration",
            "delete /api/v1/whatsapp/integration",
            "patch /api/v1/whatsapp/integration/{id}",
            "delete /api/v1/whatsapp/integration/{id}",
            "post /api/v1/whatsapp/integration/{id}/check",
            "post /api/v1/whatsapp/integration/{id}/subscribe",
            "post /api/v1/whatsapp/integration/{id}/register",
            "post /api/v1/whatsapp/signup",
            "post /api/v1/events/replay",
            "post /api/v1/events/{id}/replay",
            "get /api/v1/event-endpoints",
            "post /api/v1/event-endpoints",
            "get /api/v1/event-endpoints/{id}",
            "patch /api/v1/event-endpoints/{id}",
            "delete /api/v1/event-endpoints/{id}",
            "post /api/v1/event-endpoints/{id}/rotate-secret",
            "post /api/v1/sessions",
            "patch /api/v1/sessions/{name}",
            "delete /api/v1/sessions/{name}",
            "get /api/v1/sessions/{name}/qr",
            "post /api/v1/sessions/{name}/pairing-code",
            "post /api/v1/sessions/{name}/start",
            "post /api/v1/sessions/{name}/stop",
            "post /api/v1/sessions/{name}/restart",
            "post /api/v1/sessions/{name}/logout",
            "post /api/tenants/{tenant_id}/whatsapp/connect",
            "post /api/tenants/{tenant_id}/whatsapp/disconnect",
            "post /api/{tenant_id}/whatsapp/connect",
            "get /api/whatsapp/qr",
            "get /api/whatsapp/sessions",
            "post /api/whatsapp/connect",
            "post /api/whatsapp/disconnect",
            "post /api/whatsapp/reconnect",
            "post /api/whatsapp/cleanup-sessions",
            "post /api/whatsapp/cleanup-old-sessions",
        ],
    ),
    (
        Need::Role(Role::Owner),
        &[
            "post /api/v1/users",
            "patch /api/v1/users/{id}",
            "delete /api/v1/users/{id}",
            "post /api/v1/users/{id}/link",
        ],
    ),
    (
        Need::Component,
        &[
            "get /api/v1/components/{site}/session",
            "post /api/v1/components/{site}/session/connect",
            "post /api/v1/components/{site}/session/disconnect",
            "post /api/v1/components/{site}/session/pairing-code",
            "get /api/v1/components/{site}/recipient",
            "post /api/v1/components/{site}/messages",
            "get /api/v1/components/{site}/messages/{id}",
        ],
    ),
    (Need::Platform(Role::Viewer), &["get /api/v1/tenants"]),
    (Need::Platform(Role::Admin), &["post /api/v1/tenants", "patch /api/v1/tenants/{id}"]),
];

/// Where the id in an address is not the first of the list above it.
const WAMID: &str = "wamid.of-the-first-tenant";
/// Stands in everything the first tenant has, and in nothing else.
pub const MARK: &str = "canary7391";

/// Every route, and who may.
pub fn rows() -> Vec<(Need, &'static str, &'static str)> {
    let split = |(need, routes): &(Need, &'static [&'static str])| {
        let need = *need;
        routes.iter().map(move |route| {
            let (method, path) = route.split_once(' ').unwrap();
            (need, method, path)
        })
    };
    TABLE.iter().flat_map(split).collect()
}

/// What everybody may call.
pub fn open() -> Vec<&'static str> {
    rows().into_iter().filter(|(need, ..)| *need == Need::Open).map(|(_, _, path)| path).collect()
}

/// One of everything, marked.
pub async fn furnish(api: &Api) -> BTreeMap<&'static str, String> {
    let owner = api.key("a", Role::Owner).await;
    let bot = format!("bot-{MARK}");
    api.onboard(&owner, &bot, "100200300").await;
    let endpoint = json!({"url": format!("http://127.0.0.1:1/{MARK}")});
    api.expect(201, "post", "/api/v1/event-endpoints", &owner, endpoint).await;
    api.inbound("100200300", WAMID, MARK, None).await;
    api.event("100200300", MARK, Some(EventState::Unroutable)).await;
    let all = format!("/api/v1/conversations?chatbotId={bot}");
    let talk = api.until(&all, &owner, |data| data[0]["id"].is_string()).await[0]["id"].clone();
    let messages = format!("/api/v1/conversations/{}/messages", talk.as_str().unwrap());
    api.expect(202, "post", &messages, &owner, json!({"message": MARK})).await;
    // A person has it, so nobody answers; from here on nothing moves.
    let settled = |data: &Value| data[0]["deliveries"][0]["status"] == "sent" && !data[1]["note"].is_null();
    api.until(&messages, &owner, settled).await;
    let person = json!({"email": format!("{MARK}@example.com"), "role": "agent"});
    api.expect(201, "post", "/api/v1/users", &owner, person).await;
    api.expect(201, "post", "/api/v1/api-keys", &owner, json!({"name": MARK})).await;
    let file = api.request("post", &format!("/api/v1/media?filename={MARK}"), &owner);
    let file = read(file.header("content-type", "image/png").body(MARK).send().await.unwrap()).await.1;
    // The first session keeps its code, and with it the link; the second one is what `{name}` stands for.
    let path = format!("/api/v1/sessions/code-{MARK}");
    for name in ["code", "shop"] {
        let session = json!({"name": format!("{name}-{MARK}"), "chatbotId": bot});
        api.expect(201, "post", "/api/v1/sessions", &owner, session).await;
    }
    let code = api.until(&path, &owner, |session| session["qrUrl"].is_string()).await["qrUrl"].clone();
    let mut ids = BTreeMap::from([
        ("/api/v1/tenants", "a".to_owned()),
        ("/api/v1/components", components::token::site(&api.parts.ring, "https://crm.example.com")),
        ("/api/v1/trace", WAMID.to_owned()),
        ("/api/v1/media", file["data"]["id"].as_str().unwrap().to_owned()),
        ("/api/v1/session-qr", code.as_str().unwrap().rsplit_once('/').unwrap().1.to_owned()),
        ("/api/tenants", "a".to_owned()),
        ("/api", "a".to_owned()),
    ]);
    for (_, _, path) in rows() {
        if let Some((list, _)) = path.split_once("/{")
            && !ids.contains_key(list)
        {
            let query =
                if list.ends_with("/integration") { format!("?chatbotId={bot}") } else { String::new() };
            let (status, found) = api.call("get", &format!("{list}{query}"), &owner, Value::Null).await;
            let data = &found["data"];
            let one = if data.is_array() { data.as_array().unwrap().last() } else { Some(data) };
            let id = one.and_then(|thing| thing["id"].as_str());
            let id = id
                .unwrap_or_else(|| panic!("{list} ({status}) is empty: have one made in `furnish`: {found}"));
            ids.insert(list, id.to_owned());
        }
    }
    ids
}

/// The address of the first tenant's thing.
pub fn address(path: &str, ids: &BTreeMap<&'static str, String>) -> String {
    let Some((list, rest)) = path.split_once("/{") else { return path.to_owned() };
    let after = rest.split_once('}').unwrap().1;
    format!("{list}/{}{after}", ids[list])
}

/// How a thing that is not there is told: for older callers looking for an integration is a success without one.
fn absent(method: &str, path: &str) -> u16 {
    let by_name = ["/integration", "/integration/{id}"].iter().any(|end| path.ends_with(end));
    if method == "get" && by_name { 200 } else { 404 }
}

/// A line of events never ends by itself.
fn goes_on(path: &str) -> bool {
    path == "/api/v1/live" || (path.contains("/sessions/") && path.ends_with("/events"))
}

/// What is there in production only, or only while a code is shown.
fn sometimes(path: &str) -> bool {
    ["/api/whatsapp/sessions", "/api/whatsapp/cleanup-old-sessions", "/api/whatsapp/qr"].contains(&path)
}

async fn call(api: &Api, method: &str, path: &str, key: &str) -> (u16, Value) {
    let body = if method == "get" || method == "delete" { Value::Null } else { json!({}) };
    let (status, mut answer) = if goes_on(path) {
        let response = api.request(method, path, key).send().await.unwrap();
        // What it says first is of the same making as the session itself.
        if response.status() == 200 { (200, Value::Null) } else { read(response).await }
    } else {
        api.call(method, path, key, body).await
    };
    if let Some(answer) = answer.as_object_mut() {
        answer.remove("request_id");
    }
    (status, answer)
}

#[actix_web::test]
async fn every_route_says_who_may_call_it() {
    let api = Api::start().await;
    let (_, document) = api.call("get", "/openapi.json", "", Value::Null).await;
    let mut described: Vec<String> = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        described.extend(item.as_object().unwrap().keys().map(|method| format!("{method} {path}")));
    }
    let mut table: Vec<String> = rows().iter().map(|(_, method, path)| format!("{method} {path}")).collect();
    described.sort();
    table.sort();
    let missing: Vec<_> = described.iter().filter(|route| !table.contains(route)).collect();
    assert!(missing.is_empty(), "say in TABLE who may call: {missing:#?}");
    assert_eq!(table, described, "and each once, as long as it is there");
}

#[actix_web::test]
async fn nobody_does_more_than_their_role() {
    let api = Api::start().await;
    let ids = furnish(&api).await;
    let mut keys = Vec::new();
    for role in Role::ALL {
        keys.push((role, api.key("a", role).await, api.key_row(None, role).await));
    }
    let mut rows = rows();
    // What removes things comes last, the inner before the outer.
    rows.sort_by_key(|(_, method, path)| (*method == "delete", std::cmp::Reverse(path.len())));
    for (need, method, path) in rows {
        let address = address(path, &ids);
        let (least, platform) = match need {
            Need::Open => {
                let status = api.request(method, &address, "").send().await.unwrap().status();
                assert!(![403, 404, 405].contains(&status.as_u16()), "{method} {path}: {status}");
                continue;
            }
            Need::Role(least) => (least, false),
            Need::Platform(least) => (least, true),
            Need::Component => {
                let keys = keys.iter().flat_map(|(_, tenants, platforms)| [tenants, platforms]);
                for key in keys.map(String::as_str).chain(["", ADMIN]) {
                    assert_eq!(call(&api, method, &address, key).await.0, 401, "{method} {path}");
                }
                continue;
            }
        };
        assert_eq!(call(&api, method, &address, "").await.0, 401, "{method} {path} without a key");
        for (role, tenants, platforms) in &keys {
            let (status, answer) = call(&api, method, &address, tenants).await;
            let may = *role >= least && !platform;
            let password = path == "/api/v1/me/password"; // a key has none, whatever its role
            if !(may && sometimes(path)) {
                assert_eq!(status == 403, !may || password, "{method} {path} as {role:?}: {status} {answer}");
            }
            assert_ne!(status, 401, "{method} {path} as {role:?}");
            if may && method == "get" && !path.ends_with("/integration") && !sometimes(path) {
                assert_eq!(status, 200, "{method} {path} as {role:?}: {answer}");
            }
            if platform {
                let (status, answer) = call(&api, method, &address, platforms).await;
                assert_eq!(
                    status == 403,
                    *role < least,
                    "{method} {path} as the platform's {role:?}: {answer}"
                );
            }
        }
    }
}

#[actix_web::test]
async fn another_tenants_things_are_not_there() {
    let api = Api::start().await;
    let ids = furnish(&api).await;
    let own = api.key("a", Role::Owner).await;
    let other = api.key("b", Role::Owner).await;
    let unknown = |path: &str| {
        let nothing = ids.keys().map(|list| {
            let kind = ids[list].split_once('_').map(|(kind, _)| format!("{kind}_999999"));
            let uuid =
                uuid::Uuid::try_parse(&ids[list]).map(|_| "01900000-0000-7000-8000-000000000000".to_owned());
            (*list, uuid.ok().or(kind).unwrap_or_else(|| "nothing".to_owned()))
        });
        address(path, &nothing.collect())
    };
    let mut before = Vec::new();
    let reads: Vec<_> = rows()
        .into_iter()
        .filter(|(need, method, _)| *method == "get" && matches!(need, Need::Role(_)))
        .collect();
    for (_, method, path) in &reads {
        before.push(call(&api, method, &address(path, &ids), &own).await);
    }
    for (need, method, path) in rows() {
        if !matches!(need, Need::Role(_)) {
            continue;
        }
        let theirs = address(path, &ids);
        let (status, answer) = call(&api, method, &theirs, &other).await;
        assert!(!answer.to_string().contains(MARK), "{method} {path}: {answer}");
        if path.contains('{') {
            assert_eq!(status, absent(method, path), "{method} {path}: {answer}");
            assert!(answer["data"].is_null(), "{method} {path}: {answer}");
            // Nor can it be told from what nobody has.
            assert_eq!((status, answer), call(&api, method, &unknown(path), &other).await, "{method} {path}");
        }
        // What names the first tenant in a query changes nothing; neither does a header.
        for query in
            ["tenant=a", "tenantId=a&tenant_id=a&Switchboard-Tenant=a", &format!("chatbotId=bot-{MARK}")]
        {
            let join = if theirs.contains('?') { '&' } else { '?' };
            let request = api.request(method, &format!("{theirs}{join}{query}"), &other);
            let request =
                request.header("switchboard-tenant", "a").header("x-tenant", "a").header("x-tenant-id", "a");
            if goes_on(path) {
                let expected = if path.contains('{') { 404 } else { 200 };
                assert_eq!(request.send().await.unwrap().status(), expected, "{path}?{query}");
                continue;
            }
            let request = if *method == *"get" { request } else { request.json(&json!({})) };
            let (_, answer) = read(request.send().await.unwrap()).await;
            assert!(!answer.to_string().contains(MARK), "{method} {path}?{query}: {answer}");
        }
    }
    // Nothing of all that has changed anything.
    for ((_, method, path), before) in reads.iter().zip(before) {
        // Other callers' own lines, last uses, and what tells the time.
        let alive = ["audit", "api-keys", "overview", "/whatsapp/status", "/qr"];
        if alive.iter().any(|list| path.ends_with(list)) || path.contains("session") {
            continue;
        }
        assert_eq!(call(&api, method, &address(path, &ids), &own).await, before, "{path}");
    }
}

/// The platform sees a tenant's things in that tenant's name alone.
#[actix_web::test]
async fn the_platform_acts_for_one_tenant_at_a_time() {
    let api = Api::start_with(Options::default()).await;
    let ids = furnish(&api).await;
    api.key("b", Role::Owner).await;
    for (need, method, path) in rows() {
        if !matches!(need, Need::Role(_))
            || method != "get"
            || !path.contains('{')
            || path.contains("/tenants/")
        {
            continue;
        }
        let address = address(path, &ids);
        for (tenant, expected) in [("a", 200), ("b", absent(method, path))] {
            let request = api.request(method, &address, ADMIN).header("switchboard-tenant", tenant);
            let response = request.send().await.unwrap();
            if goes_on(path) {
                assert_eq!(response.status(), expected, "{path} for {tenant}");
                continue;
            }
            let (status, answer) = read(response).await;
            assert_eq!(status, expected, "{path} for {tenant}: {answer}");
        }
    }
}
