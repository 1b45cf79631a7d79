//! Copies of the database: made while it works, whole, and brought back only by wish.

use std::path::Path;
use std::time::Duration;

use switchboard::sandbox::webhook::{Change, Incoming, body};

use crate::harness::process::run;
use crate::harness::{Db, Onboard, SHOP, SOON, Service, World};

const ANNA: &str = "15551230001";
const BERT: &str = "15551230002";

/// A copy made under load is whole, and brings everything back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_the_embedded_database_is_whole() {
    let world = World::new(Db::sqlite());
    let Db::Sqlite(folder) = &world.db else { unreachable!() };
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let copy = file("copy.db");
    let service = world.start().await;
    service.onboard(Onboard::default()).await;
    service.text(SHOP, ANNA, "before").await;
    service.settle().await;
    let load = send_more(&service);
    let (well, said) = run(&world, &[], &["backup", &copy]).await;
    assert!(well && said.contains("checked copy"), "{said}");
    let (well, said) = run(&world, &[], &["backup", &copy]).await;
    assert!(!well && said.contains("not overwritten"), "{said}");
    load.await.unwrap();
    service.settle().await;
    let (well, said) = run(&world, &[], &["restore", &copy, "--force"]).await;
    assert!(!well && said.contains("another switchboard process"), "{said}");
    let answered = world.graph.sent_count();
    service.running.stop().await;

    let (well, said) = run(&world, &[], &["restore", &copy]).await;
    assert!(!well && said.contains("--force"), "{said}");
    std::fs::write(file("nonsense"), "not a database at all, but long enough to be looked at".repeat(50))
        .unwrap();
    let (well, _) = run(&world, &[], &["restore", &file("nonsense"), "--force"]).await;
    assert!(!well && Path::new(&file("test.db")).exists());
    let (well, said) = run(&world, &[], &["restore", &copy, "--force"]).await;
    assert!(well && said.contains("before-"), "{said}");
    let kept = std::fs::read_dir(folder.path()).unwrap().filter_map(Result::ok);
    assert_eq!(kept.filter(|e| e.file_name().to_string_lossy().contains("before-")).count(), 1);
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&copy).unwrap().permissions()) & 0o777,
        0o600
    );

    let service = world.start().await;
    assert!(world.db.texts("select text from messages").await.len() >= 2);
    service.text(SHOP, BERT, "after").await;
    service
        .wait_until("an answer after the restore", || async {
            world.graph.sent_to(BERT).iter().any(|sent| sent.text().contains("after"))
        })
        .await;
    assert!(world.graph.sent_count() > answered);
    service.settle().await;
    service.running.stop().await;
}

/// Forty messages, one after the other, while something else happens.
fn send_more(service: &Service) -> tokio::task::JoinHandle<()> {
    let meta = service.meta.clone();
    tokio::spawn(async move {
        for n in 0..40 {
            let message = Incoming::text(&format!("1555400{n:04}"), "more");
            assert_eq!(meta.send(body(&[Change::new(SHOP).message(message)])).await.unwrap().status, 200);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
}

/// PostgreSQL is copied by its own tools; what was there before is replaced only by wish, and never under a service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_postgres_brings_everything_back() {
    let installed = |tool| std::process::Command::new(tool).arg("--version").output().is_ok();
    let Some(db) = Db::postgres().await.filter(|_| installed("pg_dump") && installed("pg_restore")) else {
        return;
    };
    let path = [("PATH", std::env::var("PATH").unwrap_or_default())];
    let path: Vec<(&str, &str)> = path.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (world, folder) = (World::new(db), tempfile::tempdir().unwrap());
    let copy = folder.path().join("copy.dump").to_str().unwrap().to_owned();
    let service = world.start().await;
    service.onboard(Onboard::default()).await;
    service.text(SHOP, ANNA, "before").await;
    service.settle().await;
    let (well, said) = run(&world, &path, &["backup", &copy]).await;
    assert!(well && said.contains("holds a copy"), "{said}");
    let (well, said) = run(&world, &path, &["backup", &copy]).await;
    assert!(!well && said.contains("not overwritten"), "{said}");
    service.text(SHOP, BERT, "lost").await;
    service.settle().await;
    let (well, said) = run(&world, &path, &["restore", &copy, "--force"]).await;
    assert!(!well && said.contains("at work"), "{said}");
    service.running.stop().await;
    let (well, said) = run(&world, &path, &["restore", &copy]).await;
    assert!(!well && said.contains("--force"), "{said}");
    let (well, said) = run(&world, &path, &["restore", &copy, "--force"]).await;
    assert!(well, "{said}");
    assert_eq!(world.db.texts("select text from messages where direction = 'in'").await, ["before"]);

    let service = world.start().await;
    service.text(SHOP, BERT, "after").await;
    service
        .wait_until("an answer", || async {
            world.graph.sent_to(BERT).iter().any(|s| s.text().contains("after"))
        })
        .await;
    service.settle().await;
    service.running.stop().await;
}

/// Without PostgreSQL's tools the commands say what to run, without the password.
#[tokio::test]
async fn without_its_tools_it_is_said_how_postgres_is_copied() {
    let (world, folder) = (World::new(Db::sqlite()), tempfile::tempdir().unwrap());
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(file("old.dump"), "").unwrap();
    let environment = [("DATABASE_URL", "postgres://me:s3cret@db.example/app"), ("PATH", "")];
    for (command, name, tool) in [("backup", "new.dump", "pg_dump"), ("restore", "old.dump", "pg_restore")] {
        let (well, said) = run(&world, &environment, &[command, &file(name)]).await;
        assert!(well && said.contains(tool) && said.contains("me@db.example/app"), "{said}");
        assert_eq!(said.contains("set status = '\\''unknown'\\''"), command == "restore", "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
    assert!(!std::path::Path::new(&file("new.dump")).exists());
}

/// What was under way when a copy was made is not done once more by itself; a person may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_copy_had_under_way_is_not_done_again() {
    let path = [("PATH", std::env::var("PATH").unwrap_or_default())];
    let path: Vec<(&str, &str)> = path.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let installed = |tool| std::process::Command::new(tool).arg("--version").output().is_ok();
    let postgres = Db::postgres().await.filter(|_| installed("pg_dump") && installed("pg_restore"));
    for db in [Some(Db::sqlite()), postgres].into_iter().flatten() {
        let (world, folder) = (World::new(db), tempfile::tempdir().unwrap());
        let copy = folder.path().join("copy").to_str().unwrap().to_owned();
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        for from in [ANNA, BERT] {
            service.text(SHOP, from, "before").await;
        }
        service.settle().await;
        service.running.stop().await;
        // As it stands in the middle of all that.
        for statement in [
            "update deliveries set status = case when id = 1 then 'queued' else 'sending' end",
            "update turns set status = 'asking'",
            "insert into pending_messages (message_id, conversation_id, at) select min(id), min(conversation_id), 0 from messages",
            "insert into event_states (event_id, state, at) select min(id), 'received', 0 from webhook_events",
            "insert into event_states (event_id, state, at) select max(id), 'parked', 0 from webhook_events",
            &session("own", "native"),
            &session("theirs", "waha"),
            "insert into session_keys (tenant_id, session_id, kind, k1, k2, value, generation) \
             select tenant_id, id, 'device', '', '', 'sealed', 7 from whatsapp_sessions where name = 'own'",
        ] {
            world.db.execute(statement).await.unwrap();
        }
        let open = "select state from event_states union all select status from turns union all \
                    select status from deliveries union all select wanted from whatsapp_sessions union all \
                    select value from session_keys order by 1";
        let before = world.db.texts(open).await;
        let commands = [
            &["backup", &copy][..],
            &["restore", &copy, "--force", "--resume"],
            &["restore", &copy, "--force"],
        ];
        for command in commands {
            let (well, said) = run(&world, &path, command).await;
            assert!(well, "{said}");
            if command.contains(&"--resume") {
                assert_eq!(world.db.texts(open).await, before, "by wish");
            }
        }
        let (asked, sent) = (world.responder.count(), world.graph.sent_count());
        let service = world.start().await;
        service.text(SHOP, BERT, "after").await;
        service.wait_until("an answer", async || world.graph.sent_count() > sent).await;
        service.settle().await;
        assert_eq!((world.responder.count(), world.graph.sent_count()), (asked + 1, sent + 1));
        for (question, answer) in [
            ("select status from deliveries where reason = 'restored'", "unknown"),
            ("select status from turns where reason = 'restored'", "dead"),
        ] {
            assert_eq!(world.db.texts(question).await, [answer; 2], "{question}");
        }
        let stopped = "select name || ' ' || wanted || ' ' || state || ' ' || reason || ' ' || keys_generation || \
                       case when paired then ' paired' else '' end from whatsapp_sessions order by name";
        let (own, theirs) =
            ("own stopped logged_out restored 8", "theirs stopped disconnected restored 7 paired");
        assert_eq!(world.db.texts(stopped).await, [own, theirs]);
        assert!(
            world.db.texts("select value from session_keys").await.is_empty(),
            "old keys break conversations"
        );
        let noted = "select text from messages where note = 'restored' union all \
                     select reason from event_states where state = 'quarantined'";
        assert_eq!(world.db.texts(noted).await, ["before", "restored", "restored"]);
        let retry = ["dead-letters", "retry", "--status", "unknown", "--accept-doubles"];
        let (well, said) = run(&world, &path, &retry).await;
        assert!(well && said.starts_with("2 of 2"), "{said}");
        world.graph.wait_for_sent(sent + 3, SOON).await;
        service.settle().await;
        service.running.stop().await;
    }
}

/// A connected session of the first tenant.
fn session(name: &str, engine: &str) -> String {
    format!(
        "insert into whatsapp_sessions (tenant_id, name, engine, is_default, wanted, state, reason, state_at, paired, \
         pace, keys_generation, created_at, updated_at) select min(id), '{name}', '{engine}', false, 'running', \
         'connected', 'connected', 0, true, '{{}}', 7, 0, 0 from tenants"
    )
}
