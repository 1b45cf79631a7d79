//! Several processes and several faults at once; and what stops whoever touches it.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use switchboard::sandbox::webhook::text_body;

use crate::harness::process::Process;
use crate::harness::{SHOP, SOON};
use crate::kills::{bury_all_but, world};
use crate::ledger::{Ledger, REFUSED, person};
use crate::schemas::LATER;
use crate::{At, Held};

/// Three processes on one server: one is frozen, one killed, one stopped and started on the schema of a later version,
/// all while messages come in. In the end all three work.
pub async fn three_at_once(at: At) -> Held {
    let rounds = if at.scale.full { 20 } else { 1 };
    let world = world(at, rounds * 400).await;
    let mut all = [Process::new(&world), Process::new(&world), Process::new(&world)];
    for process in &mut all {
        process.start();
        process.ready().await;
    }
    let mut ledger = Ledger::new(40);
    for round in 0..rounds {
        let meta: Vec<_> = all.iter().map(Process::meta).collect();
        let (frozen, killed, renewed) = (round % 3, (round + 1) % 3, (round + 2) % 3);
        for _ in 0..60 {
            ledger.write(&meta).await;
        }
        ledger.all_taken().await;
        // Nobody gets an answer from one that stands still, so Meta comes to the others.
        let others = [meta[killed].clone(), meta[renewed].clone()];
        // Half of those who may be on their way at once: the others go on.
        for _ in 0..8 {
            ledger.write(&meta[frozen..=frozen]).await;
        }
        all[frozen].signal(Signal::SIGSTOP);
        for _ in 0..30 {
            ledger.write(&others).await;
        }
        all[killed].kill();
        all[killed].start();
        let (_, well) = all[renewed].terminate();
        assert!(well, "it ends in good order");
        if round == 0 {
            for change in LATER {
                world.db.execute(change).await.unwrap();
            }
        }
        all[renewed].start();
        all[killed].ready().await;
        all[renewed].ready().await;
        if at.scale.full {
            tokio::time::sleep(Duration::from_secs(20)).await;
        } else {
            bury_all_but(&world, [&all[killed], &all[renewed]]).await;
        }
        for _ in 0..60 {
            ledger.write(&others).await;
        }
        all[frozen].signal(Signal::SIGCONT);
        ledger.all_taken().await;
        for _ in 0..60 {
            ledger.write(&meta).await;
        }
        ledger.all_taken().await;
    }
    let doubtful = ledger.settled(&world, Duration::from_secs(60)).await;
    let end = Instant::now() + SOON;
    while world.db.texts("select name from instances").await.len() != 3 {
        assert!(Instant::now() < end, "not all of them are back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Held {
        tried: format!("{rounds} × 3 faults, {} messages", ledger.written),
        figure: format!("0 lost, 0 doubled, {doubtful} in doubt, 3 at work in the end"),
    }
}

/// An event that ends whoever touches it: here the database stands still over it, and the process is killed then. It is
/// set aside after five tries, alone; what came with it is answered.
pub async fn poison(at: At) -> Held {
    const BESIDE: usize = 12;
    let world = world(at, 100).await;
    for statement in [
        "create function stand_still() returns trigger language plpgsql as \
         $$ begin if new.text like '%poison%' then perform pg_sleep(60); end if; return new; end $$",
        "create trigger stand_still before insert on messages for each row execute function stand_still()",
    ] {
        world.db.execute(statement).await.unwrap();
    }
    let mut process = Process::new(&world);
    process.start();
    process.ready().await;
    let (meta, mut ledger) = ([process.meta()], Ledger::new(BESIDE));
    ledger.write_in_line(&meta, 1).await;
    let taken = meta[0].send(text_body(SHOP, &person(REFUSED), "poison")).await.unwrap();
    assert_eq!(taken.status, 200);
    ledger.write_in_line(&meta, BESIDE - 1).await;
    let aside = "select reason from event_states where state = 'quarantined'";
    let still = "select cast(pid as text) from pg_stat_activity where wait_event = 'PgSleep' \
                 and datname = current_database()";
    let (end, mut deaths) = (Instant::now() + Duration::from_secs(60), 0);
    while world.db.texts(aside).await.is_empty() {
        assert!(Instant::now() < end, "{deaths} deaths, and it is still in hand");
        if world.db.texts(still).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(30)).await;
            continue;
        }
        process.kill();
        deaths += 1;
        // What a server notices by itself after a while: nobody is there any more.
        world.db.texts(&still.replace("pid as text", "pg_terminate_backend(pid) as text")).await;
        world.db.execute("delete from instances").await.unwrap();
        process.start();
        process.ready().await;
    }
    assert_eq!(world.db.texts(aside).await, ["it stopped its worker five times"]);
    assert!((5..=6).contains(&deaths), "{deaths} deaths");
    ledger.settled(&world, SOON).await;
    // And it goes on.
    ledger.write_in_line(&meta, 5).await;
    ledger.settled(&world, SOON).await;
    Held {
        tried: format!("{deaths} deaths of 1 event"),
        figure: format!("set aside alone; {} beside and after it answered once", ledger.written),
    }
}
