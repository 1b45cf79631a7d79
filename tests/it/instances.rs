//! Several instances on one database: they share the work, agree on the routes, and inherit from each other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use switchboard::app::{self, Options, Role};
use switchboard::config::Config;
use switchboard::routing::Status;
use switchboard::sandbox::response_api::Answer;
use switchboard::sandbox::webhook::text_body;
use switchboard::store::attempts::StartAttempt;
use switchboard::store::{Location, Store, StoreError, migrate_up};

use crate::harness::{ADMIN_KEY, Db, Onboard, SHOP, SOON, Service, World};
use crate::on_both_databases;

const ANNA: &str = "15551230001";

fn person(n: usize) -> String {
    format!("15558000{n:03}")
}

/// What was said to this person, as the numbers in the questions it answers.
fn answers(world: &World, person: &str) -> Vec<String> {
    let number = |text: &str| text.split('#').nth(1).unwrap_or("?").chars().take(3).collect();
    world.graph.sent_to(person).iter().map(|s| number(s.text())).collect()
}

async fn both_settle(a: &Service, b: &Service) {
    a.settle().await;
    b.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_delivery_to_both_is_answered_once() {
    let Some(db) = Db::postgres().await else { return };
    let world = World::new(db);
    let (a, b) = join(world.start(), world.start()).await;
    a.onboard(Onboard::default()).await;
    let bodies: Vec<String> = (0..20).map(|n| text_body(SHOP, &person(n), &format!("#{n:03}"))).collect();
    let twice = bodies.iter().map(|body| join(a.post(body.clone()), b.post(body.clone())));
    for (one, two) in join_all(twice).await {
        assert_eq!((one.status, two.status), (200, 200));
    }
    world.graph.wait_for_sent(20, SOON).await;
    both_settle(&a, &b).await;
    assert_eq!((world.responder.count(), world.graph.sent_count()), (20, 20));
    for n in 0..20 {
        assert_eq!(answers(&world, &person(n)), [format!("{n:03}")]);
    }
    join(a.running.stop(), b.running.stop()).await;
}

/// Each message may come in anywhere; whoever has the conversation answers, in the order in which they came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_stays_with_its_instance_and_in_order() {
    let Some(db) = Db::postgres().await else { return };
    let world = World::new(db);
    let (a, b) = join(world.start(), world.start()).await;
    a.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
    a.text(SHOP, ANNA, "#000").await;
    world.graph.wait_for_sent(1, SOON).await;
    let owner = "select cast(owner as text) from whatsapp_conversations";
    let owned = world.db.texts(owner).await;
    assert_eq!(owned, [a.running.store.instance().to_string()]);
    for n in 1..40 {
        let service = if n % 3 == 0 { &a } else { &b };
        service.text(SHOP, ANNA, &format!("#{n:03}")).await;
    }
    world.graph.wait_for_sent(40, SOON).await;
    both_settle(&a, &b).await;
    assert_eq!(answers(&world, ANNA), (0..40).map(|n| format!("{n:03}")).collect::<Vec<_>>());
    assert_eq!(world.db.texts(owner).await, owned);
    assert_eq!(world.responder.count(), 40);

    // A leaves in good order: B has it at once.
    a.running.stop().await;
    let began = Instant::now();
    b.text(SHOP, ANNA, "#040").await;
    world.graph.wait_for_sent(41, SOON).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}: longer than news take", began.elapsed());
    b.settle().await;
    b.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_on_one_is_seen_by_the_other_within_two_seconds() {
    let Some(db) = Db::postgres().await else { return };
    let world = World::new(db);
    let (a, b) = join(world.start(), world.start()).await;
    let status =
        async || b.running.routing.accounts(SHOP).await.unwrap().first().map(|account| account.status);
    assert_eq!(status().await, None, "nobody's, and remembered as such");
    let id = a.onboard(Onboard::default()).await;
    for (word, expected) in
        [("active", Status::Active), ("inactive", Status::Inactive), ("restricted", Status::Restricted)]
    {
        a.change_account(id, |account| account.status = word.into()).await;
        let changed = Instant::now();
        b.wait_until(word, async || status().await == Some(expected)).await;
        assert!(changed.elapsed() < Duration::from_secs(2), "{word}: {:?}", changed.elapsed());
    }
    join(a.running.stop(), b.running.stop()).await;
}

/// A dies with everything in hand, as by `kill -9`; B inherits it when the lease is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_instance_had_in_hand_is_answered_by_another() {
    let Some(db) = Db::postgres().await else { return };
    let world = Arc::new(World::new(db));
    let dying = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let starting = world.clone();
    let a = dying.spawn(async move { starting.start().await }).await.unwrap();
    let b = world.start().await;
    a.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
    world.responder.behave(None, Answer::Echo.after(Duration::from_secs(60)));
    for n in 0..10 {
        a.text(SHOP, &person(n), "#000").await;
    }
    let asked_by_a = world.responder.wait_for(10, SOON).await;
    for n in 0..10 {
        a.text(SHOP, &person(n), "#001").await;
    }
    dying.shutdown_background();
    let died = Instant::now();
    world.responder.behave(None, Answer::Echo);
    for n in 0..10 {
        b.text(SHOP, &person(n), "#002").await;
        b.text(SHOP, &person(100 + n), "#000").await;
    }
    world.graph.wait_for_sent(10, Duration::from_secs(8)).await;
    assert_eq!(world.graph.sent_count(), 10, "who was nobody's does not wait");
    world.graph.wait_for_sent(40, Duration::from_secs(30)).await;
    let took = died.elapsed();
    assert!(took < Duration::from_secs(24), "{took:?}");
    b.settle().await;
    for n in 0..10 {
        assert_eq!(answers(&world, &person(n)), ["000", "001", "002"]);
    }
    assert_eq!(world.graph.sent_count(), 40);
    // Asked again under the same keys: whoever keeps count can see that it is a repetition.
    let keys = |requests: &[switchboard::sandbox::response_api::Received]| {
        let mut keys: Vec<_> = requests.iter().filter_map(|r| r.idempotency_key.clone()).collect();
        keys.sort();
        keys.dedup();
        keys
    };
    let first = keys(&asked_by_a);
    assert_eq!((first.len(), keys(&world.responder.received()).len()), (10, 40));
    b.running.stop().await;
}

/// A is taken for dead while it still works: what it planned is void, so nothing is said twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_taken_for_dead_says_nothing_more_in_its_old_name() {
    let Some(db) = Db::postgres().await else { return };
    let world = World::new(db);
    let (a, b) = join(world.start(), world.start()).await;
    a.onboard(Onboard::default()).await;
    world.responder.next(None, (0..5).map(|_| Answer::Text("#old".into()).after(Duration::from_secs(3))));
    for n in 0..5 {
        a.text(SHOP, &person(n), "#000").await;
    }
    world.responder.wait_for(5, SOON).await;
    let old = a.running.store.instance();
    let buried = format!("delete from instances where id = {old} returning name");
    assert_eq!(world.db.texts(&buried).await.len(), 1);
    b.running.news.tell(switchboard::news::News::Work).await.unwrap();
    world.graph.wait_for_sent(5, SOON).await;
    a.wait_until("a new name", async || a.running.store.instance() != old).await;
    // A works on, under its new name.
    a.text(SHOP, &person(9), "#009").await;
    world.graph.wait_for_sent(6, SOON).await;
    both_settle(&a, &b).await;
    for n in 0..5 {
        assert_eq!(answers(&world, &person(n)), ["000"]);
    }
    assert_eq!(world.graph.sent_count(), 6);
    join(a.running.stop(), b.running.stop()).await;
}

on_both_databases! {
    /// What was planned in an earlier life of this process is void, although the process lives again.
    async fn a_plan_of_an_earlier_life_is_refused(db: Db) {
        let location = Location::parse(&db.url()).unwrap();
        migrate_up(&location).await.unwrap();
        let store = Store::open(&location).await.unwrap();
        let plan = StartAttempt { delivery_id: 1, account_id: 1, attempt_id: uuid::Uuid::now_v7(), now: 0 };
        let first = store.join("first").await.unwrap();
        assert!(first.stations().write(plan.clone()).await.unwrap().is_none(), "there is no such delivery");
        let second = store.join("second").await.unwrap();
        assert_eq!(second.instance_count().await.unwrap(), 1, "nobody waits for the lease of the first");
        assert!(matches!(first.stations().write(plan.clone()).await, Err(StoreError::Fenced)));
        assert!(matches!(first.interrupted_deliveries(1, 0).await, Err(StoreError::Fenced)));
        assert!(second.stations().write(plan).await.unwrap().is_none());
        assert_eq!(second.interrupted_deliveries(1, 0).await.unwrap(), 0);
        store.close().await;
    }
}

/// Two instances lock the same rows crosswise and PostgreSQL breaks one off: it is done again, and nobody is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_nobodys_failure() {
    use sea_orm::{ConnectionTrait, Database, TransactionTrait};
    let Some(db) = Db::postgres().await else { return };
    let world = World::new(db);
    let service = world.start().await;
    service.onboard(Onboard::default()).await;
    service.text(SHOP, &person(1), "Hello").await;
    world.graph.wait_for_sent(1, SOON).await;
    service.settle().await;
    world.db.execute("update deliveries set status = 'queued'").await.unwrap();
    let database = Database::connect(world.db.url()).await.unwrap();
    let other = database.begin().await.unwrap();
    // The one that looks for the cycle first is the one that is broken off.
    other.execute_unprepared("set local deadlock_timeout = '30s'").await.unwrap();
    other.execute_unprepared("update deliveries set told = told where id = 1").await.unwrap();
    let writer = service.running.store.stations().clone();
    let start = StartAttempt { delivery_id: 1, account_id: 1, attempt_id: uuid::Uuid::now_v7(), now: 1 };
    let writing = tokio::spawn(async move { writer.write_all([start]).await });
    let waits =
        "select query from pg_stat_activity where wait_event_type = 'Lock' and query like '%deliveries%'";
    service.wait_until("the writer waits", async || !world.db.texts(waits).await.is_empty()).await;
    other.execute_unprepared("select id from instances for update").await.unwrap();
    other.commit().await.unwrap();
    let outcomes = writing.await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Some(_)))), "{outcomes:?}");
    let deadlocks = "select deadlocks || '' from pg_stat_database where datname = current_database()";
    // A heartbeat may have stood in the way as well.
    let counted = async || world.db.texts(deadlocks).await != ["0"];
    service.wait_until("counted", counted).await;
    service.running.stop().await;
}

/// The account was read, its chatbot was not yet: a change that comes just then must not be undone by what was read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_read_before_a_change_is_not_kept_after_it() {
    use sea_orm::{ConnectionTrait, Database, TransactionTrait};
    let Some(db) = Db::postgres().await else { return };
    let world = World::new(db);
    let service = world.start().await;
    let id = service.onboard(Onboard::default()).await;
    let database = Database::connect(world.db.url()).await.unwrap();
    let lock = database.begin().await.unwrap();
    lock.execute_unprepared("lock table chatbots in access exclusive mode").await.unwrap();
    let routing = service.running.routing.clone();
    let reading = tokio::spawn(async move { routing.accounts(SHOP).await });
    let waits =
        "select query from pg_stat_activity where wait_event_type = 'Lock' and query like '%chatbots%'";
    service.wait_until("the reader waits", async || !world.db.texts(waits).await.is_empty()).await;
    service.change_account(id, |account| account.status = "restricted".into()).await;
    lock.commit().await.unwrap();
    reading.await.unwrap().unwrap();
    let status = service.running.routing.accounts(SHOP).await.unwrap()[0].status;
    assert_eq!(status, Status::Restricted);
    service.running.stop().await;
}

on_both_databases! {
    /// A stop during a long call: what was owned is free, although the call is not over.
    async fn whoever_is_stopped_leaves_in_time(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        world.responder.behave(None, Answer::Echo.after(Duration::from_secs(60)));
        service.text(SHOP, ANNA, "#000").await;
        world.responder.wait_for(1, SOON).await;
        let began = Instant::now();
        service.running.stop().await;
        assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
        assert_eq!(world.db.texts("select name from instances").await, [""; 0]);
    }
}

on_both_databases! {
    /// A little at a time: the other survivors want their part of what a dead instance left.
    async fn what_a_dead_instance_left_is_taken_over_in_steps(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
        world.responder.behave(None, Answer::Echo.after(Duration::from_secs(60)));
        for n in 0..5 {
            service.text(SHOP, &person(n), "#000").await;
        }
        world.responder.wait_for(5, SOON).await;
        service.running.stop().await;
        let store = Store::open(&Location::parse(&world.db.url()).unwrap()).await.unwrap();
        let one = store.join("one").await.unwrap();
        let (first, more) = one.claim_conversations(i64::MAX, 3).await.unwrap();
        assert_eq!((first.len(), more), (3, true));
        if store.is_shared() {
            let another = Store::open(&Location::parse(&world.db.url()).unwrap()).await.unwrap();
            let two = another.join("two").await.unwrap();
            let (second, more) = two.claim_conversations(i64::MAX, 3).await.unwrap();
            assert_eq!((second.len(), more), (2, false));
            assert!(second.iter().all(|id| !first.contains(id)));
            another.close().await;
        } else {
            let (rest, more) = one.claim_conversations(i64::MAX, 3).await.unwrap();
            assert_eq!((rest.len(), more), (5, false), "the rest, and all that is ours");
        }
        store.close().await;
    }
}

/// One takes in and serves the API, the other works: what a person says through the first, the second knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_persons_reply_through_another_instance_is_history_at_once() {
    let Some(db) = Db::postgres().await else { return };
    let world = World::new(db);
    let worker = world.start().await;
    let config = Config::load(&world.variables()).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Options { role: Role::Web, clock: world.clock.clone(), ..Options::default() };
    let web = app::start(&config, listener, options).await.unwrap();
    worker.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
    worker.text(SHOP, ANNA, "#000").await;
    world.graph.wait_for_sent(1, SOON).await;

    let api = switchboard::runtime::http_client(SOON).build().unwrap();
    let call = async |path: &str, body: serde_json::Value| {
        let url = format!("{}/api/v1/conversations{path}", web.url());
        let request = if body.is_null() { api.get(url) } else { api.post(url).json(&body) };
        let answer = request.bearer_auth(ADMIN_KEY).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json::<serde_json::Value>().await.unwrap()
    };
    let list = call("", serde_json::Value::Null).await;
    let id = list["data"][0]["id"].as_str().unwrap().to_owned();
    call(&format!("/{id}/messages"), serde_json::json!({"text": "A person speaks"})).await;
    world.graph.wait_for_sent(2, SOON).await;
    call(&format!("/{id}/hand-back"), serde_json::json!({})).await;
    worker.text(SHOP, ANNA, "#001").await;
    world.graph.wait_for_sent(3, SOON).await;
    let asked = world.responder.received().pop().unwrap().history();
    let words: Vec<&str> = asked.iter().map(|(_, words)| words.as_str()).collect();
    assert_eq!((words.len(), words[2]), (4, "A person speaks"), "{words:?}");
    web.stop().await;
    worker.running.stop().await;
}
