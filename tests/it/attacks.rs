//! What people try who mean no good: words that look like SQL, tenants named where none is asked for, a house without
//! secrets, and the database's own roles.

use serde_json::{Value, json};
use switchboard::sandbox::http_client;

use crate::harness::{ADMIN_KEY, Db, HELP, Onboard, SHOP, Service, World};
use crate::on_both_databases;

const ANNA: &str = "15551230001";
const BERT: &str = "15551230002";

/// Every route that is read without an id and ends, with the names of its parameters.
async fn lists(service: &Service) -> Vec<(String, Vec<String>)> {
    let url = format!("{}/openapi.json", service.running.url());
    let document: Value = http_client().unwrap().get(url).send().await.unwrap().json().await.unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let ends = |item: &Value| item["get"]["responses"]["200"]["content"]["text/event-stream"].is_null();
    let reads = paths.filter(|(path, item)| item["get"].is_object() && ends(item) && !path.contains('{'));
    let names = |item: &Value| {
        let all = item["get"]["parameters"].as_array().into_iter().flatten();
        all.filter(|p| p["in"] == "query").filter_map(|p| p["name"].as_str().map(str::to_owned)).collect()
    };
    reads.map(|(path, item)| (path.clone(), names(item))).collect()
}

/// Two tenants, a customer of each, and a key of the first tenant.
async fn two_tenants(db: Db) -> (World, Service, String) {
    let world = World::fast(db);
    let service = world.start().await;
    let quiet = Onboard { change: |bot| bot.typing = false, ..Onboard::default() };
    service.onboard(Onboard { tenant: "mine", chatbot: "mine", number: SHOP, ..quiet }).await;
    let quiet = Onboard { change: |bot| bot.typing = false, ..Onboard::default() };
    service.onboard(Onboard { tenant: "theirs", chatbot: "theirs-bot", number: HELP, ..quiet }).await;
    service.text(SHOP, ANNA, "Anna's words").await;
    service.text(HELP, BERT, "Bert's words").await;
    service.settle().await;
    let made = service.tenant("mine").await.expect("POST", "/api/v1/api-keys", json!({"name": "mine"})).await;
    (world, service, made["key"].as_str().unwrap().to_owned())
}

on_both_databases! {
    async fn words_that_look_like_sql_are_words(db: Db) {
        const WORDS: [&str; 8] = [
            "' or '1'='1", "'; drop table messages; --", "\") or 1=1 --", "%", "_", "\\", "a\0b", "1 union select null",
        ];
        let (world, service, _) = two_tenants(db).await;
        let before = world.db.texts("select cast(count(*) as text) from messages").await;
        let (http, mut asked) = (http_client().unwrap(), 0);
        for (path, names) in lists(&service).await {
            for (name, word) in names.iter().flat_map(|name| WORDS.map(|word| (name, word))) {
                let request = http.get(format!("{}{path}", service.running.url())).query(&[(name, word)]);
                let request = request.bearer_auth(ADMIN_KEY).header("Switchboard-Tenant", "mine");
                let answer = request.send().await.unwrap();
                let (status, body) = (answer.status().as_u16(), answer.text().await.unwrap());
                assert!(status < 500, "{path}?{name}={word}: {status} {body}");
                assert!(!body.contains("Bert") && !body.contains(BERT), "{path}?{name}={word}: {body}");
                asked += 1;
            }
        }
        assert!(asked > 100, "{asked}");
        assert_eq!(world.db.texts("select cast(count(*) as text) from messages").await, before);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// In the query, twice in the head, in a cookie: whoever has a key has its tenant.
    async fn a_tenant_named_anywhere_else_is_not_believed(db: Db) {
        let (_world, service, key) = two_tenants(db).await;
        let http = http_client().unwrap();
        let mut shown = 0;
        // What machines read of the whole house in development is not a tenant's.
        for (path, _) in lists(&service).await.into_iter().filter(|(path, _)| path.starts_with("/api/")) {
            for query in ["", "tenant=theirs&tenantId=theirs&tenant_id=theirs&tenant_id=mine", "chatbotId=theirs-bot"] {
                let request = http.get(format!("{}{path}?{query}", service.running.url())).bearer_auth(&key);
                let request = ["Switchboard-Tenant", "Switchboard-Tenant", "X-Tenant", "X-Tenant-Id", "Tenant-Id"]
                    .into_iter().fold(request, |request, name| request.header(name, "theirs"))
                    .header("Cookie", "tenant=theirs; tenant_id=theirs");
                let answer = request.send().await.unwrap();
                let (status, body) = (answer.status().as_u16(), answer.text().await.unwrap());
                assert!(status < 500, "{path}?{query}: {status} {body}");
                for theirs in ["Bert", BERT, HELP, "theirs-bot\""] {
                    assert!(!body.contains(theirs), "{path}?{query}: {body}");
                }
                shown += usize::from(body.contains(ANNA));
            }
        }
        assert!(shown > 0, "one's own is there to be seen");
        service.running.stop().await;
    }
}

/// Started with nothing but a database: whatever could be asked is refused, and no message gets in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_secret_nothing_is_open() {
    let world = World::new(Db::sqlite());
    let none =
        ["FACEBOOK_APP_SECRET", "WHATSAPP_VERIFY_TOKEN", "SWITCHBOARD_ADMIN_API_KEY"].map(|name| (name, ""));
    let service = world.start_with(&none).await;
    let http = http_client().unwrap();
    let mut refused = 0;
    for (path, _) in lists(&service).await {
        for key in ["", "undefined", "null", "admin", ADMIN_KEY] {
            let request = http.get(format!("{}{path}", service.running.url())).bearer_auth(key);
            let status = request.send().await.unwrap().status().as_u16();
            refused += usize::from(matches!(status, 401 | 403));
            let open = ["/health", "/ready", "/metrics", "/openapi.json", "/api/v1/setup"];
            assert!(
                matches!(status, 401 | 403) || open.iter().any(|it| path.starts_with(it)),
                "{path}: {status}"
            );
        }
    }
    assert!(refused > 50, "{refused}");
    let body = switchboard::sandbox::webhook::text_body(SHOP, ANNA, "Let me in");
    for secret in ["", "undefined", "null"] {
        let signed = switchboard::graph::signature::sign(secret.as_bytes(), body.as_bytes());
        assert_eq!(
            service.meta.send_as(body.clone(), Some(&signed)).await.unwrap().status,
            401,
            "{secret:?}"
        );
        assert_eq!(service.meta.verify(secret, "1").await.unwrap().status, 403, "{secret:?}");
    }
    assert_eq!(service.meta.send_as(body, None).await.unwrap().status, 401);
    assert_eq!(world.db.texts("select cast(id as text) from webhook_events").await, [""; 0]);
    service.running.stop().await;
}

/// Hosts such as Supabase let everybody in as a role of their own, and grant it whatever is made: it sees no row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_beside_ours_reads_and_writes_nothing() {
    let Some(db) = Db::postgres().await else { return };
    let (world, service, _) = two_tenants(db).await;
    let role = format!("anon_{}", uuid::Uuid::new_v4().simple());
    for statement in [
        format!("create role {role} nologin"),
        format!("grant usage on schema public to {role}"),
        format!("grant all on all tables in schema public to {role}"),
    ] {
        world.db.execute(&statement).await.unwrap();
    }
    let tables = world.db.texts("select tablename::text from pg_tables where schemaname = 'public'").await;
    assert!(tables.len() > 30, "{tables:?}");
    for table in &tables {
        let count = format!(
            "create function seen_in_{table}() returns text language plpgsql as \
             $$ begin set local role {role}; return (select count(*) from {table}); end $$"
        );
        world.db.execute(&count).await.unwrap();
        assert_eq!(world.db.texts(&format!("select seen_in_{table}()")).await, ["0"], "{table}");
    }
    let insert =
        format!("set local role {role}; insert into tenants (id, name, created_at) values ('x', 'x', 0)");
    let refused = world.db.execute(&format!("begin; {insert}; commit")).await.unwrap_err().to_string();
    assert!(refused.contains("row-level security"), "{refused}");
    service.running.stop().await;
    for statement in [format!("drop owned by {role}"), format!("drop role {role}")] {
        world.db.execute(&statement).await.unwrap();
    }
}
