//! An erasure beside everything else: what arrives meanwhile, what stops it, and what it was called before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::sandbox::webhook::{Change, Status, body};
use switchboard::store::tenants::Audit;

use crate::events_out::api;
use crate::harness::{Db, Onboard, SHOP, SOON, Service, World};
use crate::on_both_databases;

const ANNA: &str = "15551230001";
const BERT: &str = "15559990002";
const WORDS: &str = "select text from messages where text like '%pink%'";

async fn contact(service: &Service, who: &str) -> String {
    let (_, list) = api(service, "default", "GET", &format!("/contacts?q={who}"), Value::Null).await;
    list["data"][0]["id"].as_str().unwrap_or_else(|| panic!("{list}")).to_owned()
}

async fn erase(service: &Service, contact: &str) -> u16 {
    api(service, "default", "DELETE", &format!("/contacts/{contact}"), Value::Null).await.0
}

/// The bodies of all stored events.
async fn raw(db: &Db) -> String {
    let question = match db {
        Db::Sqlite(_) => "select cast(raw as text) from webhook_events order by id",
        Db::Postgres(_) => "select convert_from(raw, 'UTF8') from webhook_events order by id",
    };
    db.texts(question).await.join("\n")
}

/// Makes the database refuse to take words out of messages, or lets it again.
async fn refuse(db: &Db, refuse: bool) {
    let statements = match (db, refuse) {
        (Db::Sqlite(_), true) => vec![
            "create trigger refuse before update of text on messages when new.text = '' \
             begin select raise(abort, 'refused'); end",
        ],
        (Db::Sqlite(_), false) => vec!["drop trigger refuse"],
        (Db::Postgres(_), true) => vec![
            "create function refuse() returns trigger language plpgsql as $$ begin raise 'refused'; end $$",
            "create trigger refuse before update of text on messages for each row when (new.text = '') \
             execute function refuse()",
        ],
        (Db::Postgres(_), false) => vec!["drop trigger refuse on messages"],
    };
    for statement in statements {
        db.execute(statement).await.unwrap();
    }
}

on_both_databases! {
    /// Something stops it half-way. Whoever writes then is somebody new already; done again, or by the service itself at
    /// its next start, it is ended.
    async fn what_was_begun_is_ended(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        for (who, said) in [(ANNA, "pink"), (BERT, "pinker")] {
            service.text(SHOP, who, said).await;
            service.settle().await;
        }
        let (anna, bert) = (contact(&service, ANNA).await, contact(&service, BERT).await);
        refuse(&world.db, true).await;
        assert_eq!((erase(&service, &anna).await, erase(&service, &bert).await), (500, 500));
        assert_eq!(world.db.texts(WORDS).await.len(), 4);
        service.text(SHOP, ANNA, "Hello again").await;
        service.settle().await;
        let asked = world.responder.received().pop().unwrap();
        assert_eq!(asked.history(), [("user".to_owned(), "Hello again".to_owned())]);
        refuse(&world.db, false).await;
        assert_eq!((erase(&service, &anna).await, erase(&service, &anna).await), (200, 404));
        assert_eq!(world.db.texts(WORDS).await.len(), 2, "Bert's");
        service.running.stop().await;
        // One that can never be ended is nobody else's.
        let broken = "update contacts set erasing = 'unreadable' where erased_at is not null and erasing is null";
        world.db.execute(broken).await.unwrap();
        let service = world.start().await;
        let over = "select id || '' from contacts where erasing <> 'unreadable'";
        service.wait_until("ended", async || world.db.texts(over).await.is_empty()).await;
        assert_eq!(world.db.texts(WORDS).await.len(), 0);
        let raw = raw(&world.db).await;
        assert!(!raw.contains("pink") && !raw.contains(BERT) && raw.contains("Hello again"), "{raw}");
        let log = "select action from audit_log where action = 'contact.erase'";
        assert_eq!(world.db.texts(log).await.len(), 2, "once each");
        service.running.stop().await;
    }
}

/// Another instance is just storing a message of the contact. It is erased with the rest, although it was committed
/// after the erasure began.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_at_the_same_moment_is_erased_too() {
    use sea_orm::{ConnectionTrait, Database, TransactionTrait};
    let Some(db) = Db::postgres().await else { return };
    let world = World::fast(db);
    let service = world.start().await;
    service.onboard(Onboard::default()).await;
    service.text(SHOP, ANNA, "pink").await;
    service.settle().await;
    let anna = contact(&service, ANNA).await;
    let database = Database::connect(world.db.url()).await.unwrap();
    let other = database.begin().await.unwrap();
    // As the stations do it: the conversation is touched by what is stored in it.
    for text in [
        "insert into messages (tenant_id, whatsapp_account_id, conversation_id, chatbot_id, direction, author, wamid, kind, \
         text, sent_at, created_at) select tenant_id, whatsapp_account_id, conversation_id, chatbot_id, direction, author, \
         'wamid.late', kind, 'pink and late', sent_at, created_at from messages where direction = 'in'",
        "update whatsapp_conversations set last_message_at = last_message_at + 1",
    ] {
        other.execute_unprepared(text).await.unwrap();
    }
    let url = service.running.url();
    let erasing = tokio::spawn(async move {
        let http = switchboard::sandbox::http_client().unwrap();
        let request =
            http.delete(format!("{url}/api/v1/contacts/{anna}")).bearer_auth(crate::harness::ADMIN_KEY);
        request.send().await.unwrap().status().as_u16()
    });
    let waits = "select query from pg_stat_activity where wait_event_type = 'Lock' and query like '%whatsapp_conversations%'";
    service.wait_until("the erasure waits", async || !world.db.texts(waits).await.is_empty()).await;
    other.commit().await.unwrap();
    assert_eq!(erasing.await.unwrap(), 200);
    assert_eq!(world.db.texts(WORDS).await, [""; 0]);
    service.running.stop().await;
}

on_both_databases! {
    /// Under the phone it had before as well, but not what its next owner said.
    async fn former_names_are_searched_for_too(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let new = "15551239999";
        service.text(SHOP, ANNA, "the old phone's words").await;
        service.settle().await;
        let sent = world.graph.wait_for_sent(1, SOON).await.remove(0);
        let status = Status::new(&sent.wamid, "delivered", ANNA);
        let change = Change::new(SHOP).status(status);
        service.post(body(&[change])).await;
        let change = json!({"from": ANNA, "id": "wamid.changed", "type": "system",
            "timestamp": (world.clock.now_ms() / 1000).to_string(),
            "system": {"type": "user_changed_number", "body": format!("from {ANNA} to {new}"), "wa_id": new}});
        let value = json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": SHOP}, "messages": [change]});
        service.post(json!({"object": "whatsapp_business_account", "entry": [{"id": "waba-123456789",
            "changes": [{"field": "messages", "value": value}]}]}).to_string()).await;
        service.settle().await;
        let anna = contact(&service, new).await;
        // What comes long after is its next owner's.
        service.text(SHOP, ANNA, "the next owner's words").await;
        service.settle().await;
        world.db.execute("update webhook_events set received_at = received_at + 86400000 \
                          where id = (select max(id) from webhook_events)").await.unwrap();
        assert_eq!(erase(&service, &anna).await, 200);
        let raw = raw(&world.db).await;
        assert_eq!(raw.matches(ANNA).count(), raw.lines().last().unwrap().matches(ANNA).count(), "{raw}");
        assert!(raw.contains("the next owner's words") && !raw.contains(new) && !raw.contains("old phone"), "{raw}");
        service.running.stop().await;
    }
}

on_both_databases! {
    /// A large one goes in pieces: whoever else writes is not kept waiting until its end.
    async fn others_write_while_much_is_erased(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        service.text(SHOP, ANNA, "pink").await;
        service.settle().await;
        world.db.execute("insert into messages (tenant_id, whatsapp_account_id, conversation_id, chatbot_id, direction, \
            author, wamid, kind, text, sent_at, created_at) with recursive n(i) as (select 1 union all select i + 1 from n \
            where i < 4000) select tenant_id, whatsapp_account_id, conversation_id, chatbot_id, 'in', 'contact', \
            'wamid.' || i, 'text', 'pink ' || i, sent_at, created_at from messages, n where direction = 'in'").await.unwrap();
        let (store, over) = (service.running.store.clone(), Arc::new(AtomicBool::new(false)));
        let commits = Arc::new(AtomicUsize::new(0));
        let other = tokio::spawn({
            let (store, over, commits) = (store.clone(), over.clone(), commits.clone());
            async move {
                while !over.load(Ordering::Acquire) {
                    store.hold_delivery(0, "nobody's").await.unwrap();
                    commits.fetch_add(1, Ordering::AcqRel);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
        let line = Audit { action: "contact.erase", target: "1", now: world.clock.now_ms(), ..Audit::default() };
        let before = commits.load(Ordering::Acquire);
        let erased = store.erase_contact("default", 1, &line).await.unwrap().unwrap();
        let during = commits.load(Ordering::Acquire) - before;
        over.store(true, Ordering::Release);
        other.await.unwrap();
        assert_eq!((erased.messages, world.db.texts(WORDS).await.len()), (4002, 0));
        assert!(during >= 10, "only {during} others got between");

        world.db.execute("delete from dedupe_marks").await.unwrap();
        world.db.execute("insert into dedupe_marks (whatsapp_account_id, wamid, at) with recursive n(i) as \
            (select 1 union all select i + 1 from n where i < 2500) select 1, 'wamid.' || i, i from n").await.unwrap();
        assert_eq!(store.sweep(30 * 86_400_000 + 2_500).await.unwrap(), 2_499, "all but the youngest");
        service.running.stop().await;
    }
}
