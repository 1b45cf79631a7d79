//! The database stops, crawls, breaks off or is taken by others: nothing is acknowledged that is not stored, nobody
//! waits for long, and nobody has to restart anything.

use std::time::{Duration, Instant};

use sqlx::{Connection, Executor, PgConnection};
use switchboard::sandbox::http_client;
use switchboard::sandbox::webhook::text_body;

use crate::harness::line::{Break, Line};
use crate::harness::postgres::Cluster;
use crate::harness::{ADMIN_KEY, Db, Onboard, SHOP, SOON, Service, World};
use crate::ledger::{Ledger, REFUSED, person};
use crate::{At, Held};

/// Meta is to have its answer within two seconds, whatever happened; a busy machine may take a little more.
const IN_TIME: Duration = Duration::from_millis(2_400);

async fn onboarded(world: &World, database: &str) -> Service {
    let service = world.start_with(&[("DATABASE_URL", database)]).await;
    service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
    service
}

/// Posts one message that cannot be stored: 503, in time.
async fn refused(service: &Service, text: &str) -> Duration {
    let asked = Instant::now();
    let answer = service.post(text_body(SHOP, &person(REFUSED), text)).await;
    let took = asked.elapsed();
    assert!(answer.status == 503 && took < IN_TIME, "{} after {took:?}", answer.status);
    took
}

pub async fn server_stops(at: At) -> Held {
    let rounds = if at.scale.full { 50 } else { 2 };
    let cluster = Cluster::another().expect("asked for only where there is one");
    let world = World::fast(Db::Postgres(cluster.database().await));
    let service = onboarded(&world, &world.db.url()).await;
    let meta = [service.meta.clone()];
    let mut ledger = Ledger::new(20);
    let (mut slowest, mut longest) = (Duration::ZERO, Duration::ZERO);
    for round in 0..rounds {
        for _ in 0..30 {
            ledger.write(&meta).await;
        }
        cluster.stop_at_once();
        slowest = slowest.max(refused(&service, &format!("never again {round}")).await);
        cluster.start_again();
        let back = Instant::now();
        ledger.write_in_line(&meta, 1).await;
        longest = longest.max(back.elapsed());
    }
    assert!(longest < Duration::from_secs(5), "the first was taken {longest:?} after the server was back");
    ledger.all_taken().await;
    let doubtful = ledger.settled(&world, Duration::from_secs(40)).await;
    service.running.stop().await;
    Held {
        tried: format!("{rounds} crashes, {} messages", ledger.written),
        figure: format!(
            "503 after {:.2} s, taken again after {:.2} s, {doubtful} in doubt",
            slowest.as_secs_f64(),
            longest.as_secs_f64()
        ),
    }
}

pub async fn server_crawls(at: At) -> Held {
    let crowd = if at.scale.full { 1_000 } else { 100 };
    let world = World::fast(at.db().await);
    let line = Line::to(&world.db.url()).await;
    let service = onboarded(&world, &line.url).await;
    let (meta, mut ledger) = ([service.meta.clone()], Ledger::new(5));
    ledger.write_in_line(&meta, 5).await;
    ledger.settled(&world, SOON).await;
    line.slow(Duration::from_secs(2));
    let posts = (0..crowd).map(|n| {
        let service = &service;
        async move { refused(service, &format!("too slow {n}")).await }
    });
    let took = futures_util::future::join_all(posts).await;
    line.slow(Duration::ZERO);
    let back = Instant::now();
    ledger.write_in_line(&meta, 1).await;
    let back = back.elapsed();
    assert!(back < Duration::from_secs(5), "{back:?}");
    ledger.write_in_line(&meta, 5).await;
    ledger.settled(&world, SOON).await;
    service.running.stop().await;
    let slowest = took.into_iter().max().unwrap_or_default().as_secs_f64();
    Held {
        tried: format!("{crowd} at once, answers 2 s late"),
        figure: format!("503 after {slowest:.2} s at most, taken again after {:.2} s", back.as_secs_f64()),
    }
}

/// Each message's words travel to the database several times: at the door, as a message, in the answer. The line breaks
/// at each of them, before it arrives and after it was committed.
pub async fn breaks_mid_commit(at: At) -> Held {
    let rounds = if at.scale.full { 50 } else { 1 };
    let world = World::fast(at.db().await);
    let line = Line::to(&world.db.url()).await;
    let service = onboarded(&world, &line.url).await;
    let meta = [service.meta.clone()];
    let mut ledger = Ledger::new(usize::MAX);
    let mut broken = 0;
    for _ in 0..rounds {
        for when in [Break::Before, Break::Committed] {
            for skip in 0..4 {
                line.break_at(&format!("message {:06}", ledger.written), skip, when);
                ledger.write_in_line(&meta, 1).await;
                let events = world.db.texts("select cast(count(*) as text) from webhook_events").await;
                assert_eq!(events, [ledger.written.to_string()], "acknowledged, so it is there, once");
                world.graph.wait_for_sent(ledger.written, SOON).await;
                broken += usize::from(line.broke());
            }
        }
    }
    assert!(broken >= rounds * 6, "only {broken} breaks");
    let doubtful = ledger.settled(&world, SOON).await;
    assert_eq!(doubtful, 0);
    service.running.stop().await;
    Held {
        tried: format!("{broken} resets"),
        figure: format!("{} acknowledged = stored = answered once", ledger.written),
    }
}

/// Every connection of the API is taken by readers who wait; the door has its own. Then the door's, too.
pub async fn connections_taken(at: At) -> Held {
    let world = World::fast(at.db().await);
    let service = onboarded(&world, &world.db.url()).await;
    let meta = [service.meta.clone()];
    let mut ledger = Ledger::new(5);
    ledger.write_in_line(&meta, 5).await;
    ledger.settled(&world, SOON).await;

    let mut other = PgConnection::connect(&world.db.url()).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    lock.execute("lock table audit_log in access exclusive mode").await.unwrap();
    let (api, url) = (http_client().unwrap(), service.running.url());
    let readers: Vec<_> = (0..40)
        .map(|_| {
            let request = api.get(format!("{url}/api/v1/audit")).bearer_auth(ADMIN_KEY);
            tokio::spawn(async move { request.send().await.map(|answer| answer.status().as_u16()) })
        })
        .collect();
    // Longer than anybody waits for a connection.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = Instant::now();
    ledger.write_in_line(&meta, 1).await;
    let door = asked.elapsed();
    assert!(door < IN_TIME, "the door waited {door:?} for readers");
    lock.rollback().await.unwrap();
    let statuses: Vec<u16> = futures_util::future::join_all(readers)
        .await
        .into_iter()
        .map(|answer| answer.unwrap().unwrap())
        .collect();
    assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
    assert!(statuses.contains(&503), "so few connections were not all taken: {statuses:?}");
    ledger.settled(&world, SOON).await;

    let mut lock = other.begin().await.unwrap();
    lock.execute("lock table webhook_events in access exclusive mode").await.unwrap();
    let posts = (0..20).map(|n| {
        let service = &service;
        async move { refused(service, &format!("nowhere to go {n}")).await }
    });
    let slowest = futures_util::future::join_all(posts).await.into_iter().max().unwrap_or_default();
    let alive = api.get(format!("{url}/health")).send().await.unwrap().status().as_u16();
    assert_eq!(alive, 200);
    lock.rollback().await.unwrap();
    let back = Instant::now();
    ledger.write_in_line(&meta, 1).await;
    let back = back.elapsed();
    service.running.stop().await;
    Held {
        tried: "40 readers, then a locked table".into(),
        figure: format!(
            "door {:.2} s beside readers; 503 after {:.2} s, taken again after {:.2} s",
            door.as_secs_f64(),
            slowest.as_secs_f64(),
            back.as_secs_f64()
        ),
    }
}

/// The connection over which instances hear of each other ends; what is told then is found without it.
pub async fn news_lost(at: At) -> Held {
    let rounds = if at.scale.full { 200 } else { 5 };
    let world = World::fast(at.db().await);
    let a = onboarded(&world, &world.db.url()).await;
    let mut ledger = Ledger::new(1);
    ledger.write_in_line(std::slice::from_ref(&a.meta), 1).await;
    ledger.settled(&world, SOON).await;
    let b = world.start().await;
    let mut longest = Duration::ZERO;
    for _ in 0..rounds {
        // Both hear nothing more; then b takes in what a has to answer.
        let deaf = "select cast(pg_terminate_backend(pid) as text) from pg_stat_activity \
                    where query ilike 'listen%' and datname = current_database()";
        assert_eq!(world.db.texts(deaf).await.len(), 2);
        let told = Instant::now();
        ledger.write_in_line(std::slice::from_ref(&b.meta), 1).await;
        world.graph.wait_for_sent(ledger.written, SOON).await;
        longest = longest.max(told.elapsed());
        // Until both listen again.
        let listening =
            "select query from pg_stat_activity where query ilike 'listen%' and datname = current_database()";
        a.wait_until("both listen", async || world.db.texts(listening).await.len() == 2).await;
    }
    assert!(longest < Duration::from_secs(2), "found after {longest:?}");
    ledger.settled(&world, SOON).await;
    a.running.stop().await;
    b.running.stop().await;
    Held {
        tried: format!("{rounds} times both cut off"),
        figure: format!("answered {:.2} s later at most", longest.as_secs_f64()),
    }
}
