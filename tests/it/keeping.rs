//! What is done beside a running service: keys are changed, and what is old is forgotten.

use std::time::Duration;

use sea_orm::{ConnectionTrait, Database, Statement};
use switchboard::news::News;
use switchboard::runtime::Clock;
use switchboard::sandbox::webhook::{Change, Incoming, body};

use crate::events_out::api;
use crate::harness::process::run;
use crate::harness::{ADMIN_KEY, Db, HELP, Onboard, SHOP, SOON, Service, World, verify_token};
use crate::on_both_databases;

const ANNA: &str = "15551230001";
const BERT: &str = "15551230002";
const CARL: &str = "15551230003";
const DAY: i64 = 86_400_000;

/// One number from the database itself.
async fn number(db: &Db, question: &str) -> i64 {
    let connection = Database::connect(db.url()).await.unwrap();
    let statement = Statement::from_string(connection.get_database_backend(), question);
    let row = connection.query_one_raw(statement).await.unwrap().unwrap();
    connection.close().await.unwrap();
    row.try_get_by_index(0).unwrap()
}

async fn until<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    let end = tokio::time::Instant::now() + SOON;
    while !check().await {
        assert!(tokio::time::Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

on_both_databases! {
    /// New keys in three steps, with the service at work: add, seal again, take the old one away.
    async fn keys_are_rotated_beside_the_service(db: Db) {
        const OLD: &str = "a-test-key-that-is-long-enough-to-be-one";
        let both = "k2:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,a-test-key-that-is-long-enough-to-be-one";
        let new = "k2:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert!(both.ends_with(OLD));
        let world = World::new(db);
        let service = world.start().await;
        let own = Onboard { app_secret: Some("the-apps-own-secret"), status: "inactive", ..Onboard::default() };
        let account = service.onboard(own).await;
        let own_meta = switchboard::sandbox::webhook::Sender::new(
            format!("{}/webhook", service.running.url()), "the-apps-own-secret").unwrap();
        let early = body(&[Change::new(SHOP).message(Incoming::text(ANNA, "Too early"))]);
        assert_eq!(own_meta.send(early).await.unwrap().status, 200);
        let endpoint = serde_json::json!({"url": "http://127.0.0.1:9/"});
        let (_, made) = api(&service, "default", "POST", "/event-endpoints", endpoint).await;
        let rotate = format!("/event-endpoints/{}/rotate-secret", made["data"]["id"].as_str().unwrap());
        assert_eq!(api(&service, "default", "POST", &rotate, serde_json::Value::Null).await.0, 200);
        let once = async |service: &Service| {
            let http = switchboard::sandbox::http_client().unwrap();
            let request = http.post(format!("{}/api/v1/api-keys", service.running.url())).bearer_auth(ADMIN_KEY);
            let request = request.header("Idempotency-Key", "once").json(&serde_json::json!({"name": "CRM"}));
            request.send().await.unwrap().json::<serde_json::Value>().await.unwrap()["data"]["key"].clone()
        };
        let key = once(&service).await;
        assert!(key.is_string());
        service.settle().await;
        service.running.stop().await;

        let service = world.start_with(&[("SWITCHBOARD_KEYS", both)]).await;
        let (well, said) = run(&world, &[("SWITCHBOARD_KEYS", both)], &["rotate-keys"]).await;
        assert!(well, "{said}");
        // The chatbot's key, three secrets of the account, two of the endpoint, an answer.
        assert!(said.contains("7 secrets are sealed by the newest key now, 1 verify tokens hashed"), "{said}");
        assert!(said.contains("1 stored events") && said.contains("nothing is sealed by an older key any more"), "{said}");
        let (well, said) = run(&world, &[("SWITCHBOARD_KEYS", both)], &["rotate-keys"]).await;
        assert!(well && said.contains("0 secrets are sealed") && said.contains("0 stored events"), "{said}");
        assert!(!said.contains("secret-") && !said.contains("token-of"), "{said}");
        assert_eq!(once(&service).await, key, "the same answer, from under the newer key");
        let sealed = world.db.texts("select answer from idempotency_keys where key = 'once'").await;
        assert!(sealed[0].contains("k2"), "{sealed:?}");
        service.running.stop().await;

        let (well, said) = run(&world, &[], &["rotate-keys"]).await;
        assert!(!well && said.contains("sealed by key k2"), "a key that is missing is named: {said}");
        let service = world.start_with(&[("SWITCHBOARD_KEYS", new)]).await;
        service.change_account(account, |stored| stored.status = "active".into()).await;
        let verified = service.meta.verify(&verify_token("ecommerce-chatbot-id"), "42").await.unwrap();
        assert_eq!((verified.status, verified.body.as_str()), (200, "42"));
        // What was parked before the rotation still knows whose secret signed it.
        assert_eq!(service.running.store.reopen_events("default", SHOP, 0).await.unwrap(), 1);
        service.running.news.tell(News::Work).await.unwrap();
        let sent = world.graph.wait_for_sent(1, SOON).await;
        assert!(sent[0].text().contains("Too early"));
        service.settle().await;
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Everything old goes, its people too, but for open work; what Meta delivers once more is not answered once more.
    async fn what_is_old_is_forgotten(db: Db) {
        let clock = Clock::manual(switchboard::sandbox::now_ms());
        let world = World { clock: clock.clone(), ..World::new(db) };
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let held = Onboard { chatbot: "support-chatbot-id", number: HELP, status: "token_invalid", ..Onboard::default() };
        service.onboard(held).await;
        service.text(HELP, CARL, "The answer to this waits for a token").await;
        let old = body(&[Change::new(SHOP).message(Incoming::text(ANNA, "Old"))]);
        assert_eq!(service.post(old.clone()).await.status, 200);
        service.text(SHOP, BERT, "Old too").await;
        service.settle().await;
        let files = "insert into media (tenant_id, message_id, status, next_at, created_at, mime_type)";
        for from in ["select tenant_id, id, 'failed', 0, created_at, 'a/b' from messages where direction = 'in'",
            "select 'default', null, 'stored', 0, 1, 'a/b'", "select 'default', null, 'stored', 0, 9000000000000, 'a/b'"] {
            world.db.texts(&format!("{files} {from} returning mime_type")).await;
        }
        clock.advance(3 * DAY);
        service.text(SHOP, BERT, "New").await;
        service.settle().await;
        service.running.stop().await;

        let service = world.start_with(&[("RETENTION_DAYS", "2")]).await;
        until("the old conversation goes", || async {
            number(&world.db, "select count(*) from whatsapp_conversations").await == 2
        }).await;
        // "New" is three days old by its own time, so it was stored and not answered.
        for (table, left) in [("messages", 2), ("contacts", 2), ("threads", 2), ("contact_aliases", 2), ("webhook_events", 1),
            ("turns", 0), ("deliveries", 1), ("attempts", 0), ("pending_messages", 0), ("dedupe_marks", 3),
            ("media", 1)] {
            assert_eq!(number(&world.db, &format!("select count(*) from {table}")).await, left, "{table}");
        }
        assert_eq!(service.post(old).await.status, 200);
        service.settle().await;
        assert_eq!(number(&world.db, "select count(*) from messages").await, 2);
        assert_eq!((world.responder.count(), world.graph.sent_count()), (3, 2));
        service.running.stop().await;
    }
}
