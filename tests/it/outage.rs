//! The database goes away and comes back: nothing acknowledged is lost, nothing is said twice, nobody restarts anything.

use std::time::{Duration, Instant};

use switchboard::graph::signature::{HEADER, sign};
use switchboard::sandbox::http_client;
use switchboard::sandbox::response_api::Answer;
use switchboard::sandbox::webhook::text_body;

use crate::harness::line::Line;
use crate::harness::{APP_SECRET, Db, Onboard, SHOP, SOON, World, verify_token};
use crate::on_both_databases;

/// A world whose service reaches its database over a line that can be cut.
async fn over_a_line() -> Option<(World, Line)> {
    let world = World::fast(Db::postgres().await?);
    let line = Line::to(&world.db.url()).await;
    Some((world, line))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn meta_is_asked_to_come_again_and_verification_goes_on() {
    let Some((world, line)) = over_a_line().await else { return };
    let service = world.start_with(&[("DATABASE_URL", &line.url)]).await;
    service.onboard(Onboard::default()).await;
    let own = verify_token("ecommerce-chatbot-id");
    assert_eq!(service.meta.verify(&own, "1").await.unwrap().status, 200);

    line.cut().await;
    let url = format!("{}/webhook", service.running.url());
    let client = http_client().unwrap();
    let started = Instant::now();
    let posts = (0..8).map(|n| {
        let body = text_body(SHOP, &format!("1555200000{n}"), "During the outage");
        let signature = sign(APP_SECRET.as_bytes(), body.as_bytes());
        let request = client.post(&url).header(HEADER, signature).body(body.clone());
        async move {
            // One after the other in time, so that later ones come while earlier ones still wait.
            tokio::time::sleep(Duration::from_millis(300 * n)).await;
            let asked = Instant::now();
            let answer = request.send().await.unwrap();
            (body, answer.status(), answer.headers().get("retry-after").cloned(), asked.elapsed())
        }
    });
    let told = futures_util::future::join_all(posts).await;
    for (_, status, retry_after, took) in &told {
        assert_eq!(*status, 503);
        assert!(retry_after.as_ref().is_some_and(|v| v.to_str().unwrap().parse::<u64>().unwrap() > 0));
        assert!(*took < Duration::from_millis(2_300), "{took:?}");
    }
    // A secret that could not be looked up is no wrong one.
    let unknown = service.meta.send_as(text_body("31", "1", "?"), Some(&sign(b"?", b""))).await.unwrap();
    assert_eq!(unknown.status, 503);
    for (token, status) in [(own.as_str(), 200), ("the-shared-verify-token", 200), ("another", 403)] {
        assert_eq!(service.meta.verify(token, "1").await.unwrap().status, status, "{token}");
    }
    assert!(started.elapsed() < Duration::from_secs(12), "the lease was not meant to run out");

    line.mend().await;
    let back = Instant::now();
    let again =
        told.iter().map(|(body, ..)| async { while service.post(body.clone()).await.status != 200 {} });
    futures_util::future::join_all(again).await;
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    world.graph.wait_for_sent(8, SOON).await;
    service.settle().await;
    assert_eq!((world.responder.count(), world.graph.sent_count()), (8, 8));
    service.running.stop().await;
}

/// A server that takes questions and never answers is worse than one that is gone: nothing fails by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_database_makes_nobody_wait() {
    let Some((world, line)) = over_a_line().await else { return };
    let service = world.start_with(&[("DATABASE_URL", &line.url)]).await;
    service.onboard(Onboard::default()).await;
    let own = verify_token("ecommerce-chatbot-id");
    assert_eq!(service.meta.verify(&own, "1").await.unwrap().status, 200);

    line.hush();
    let body = text_body(SHOP, "15552000001", "During the silence");
    let posts = async {
        let asked = Instant::now();
        let unknown = text_body("31", "1", "?");
        let forged = sign(b"?", b"");
        let (known, unknown) =
            tokio::join!(service.post(body.clone()), service.meta.send_as(unknown, Some(&forged)));
        assert_eq!((known.status, unknown.unwrap().status), (503, 503));
        assert!(asked.elapsed() < Duration::from_millis(2_300), "{:?}", asked.elapsed());
    };
    let strangers = (0..12).map(async |n| {
        let (asked, forged) = (Instant::now(), sign(b"?", b""));
        let answer = service.meta.send_as(text_body(&format!("32{n}"), "1", "?"), Some(&forged)).await;
        assert_eq!(answer.unwrap().status, 503);
        asked.elapsed()
    });
    let strangers = async {
        let took = futures_util::future::join_all(strangers).await;
        let waited = took.iter().filter(|took| **took > Duration::from_millis(1_200)).count();
        assert!(waited <= 3, "only a few may occupy the database: {took:?}");
    };
    let verifications = [(own.as_str(), 200), ("the-shared-verify-token", 200), ("another", 403)];
    let verifications = verifications.map(async |(token, status)| {
        let asked = Instant::now();
        assert_eq!(service.meta.verify(token, "1").await.unwrap().status, status, "{token}");
        assert!(asked.elapsed() < Duration::from_millis(2_300), "{token}: {:?}", asked.elapsed());
    });
    tokio::join!(posts, strangers, futures_util::future::join_all(verifications));

    line.speak();
    service.wait_until("an answer", async || service.post(body.clone()).await.status == 200).await;
    world.graph.wait_for_sent(1, SOON).await;
    service.settle().await;
    assert_eq!((world.responder.count(), world.graph.sent_count()), (1, 1));
    service.running.stop().await;
}

/// The line is cut while messages are at every station.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_answered_once() {
    let Some((world, line)) = over_a_line().await else { return };
    let service = world.start_with(&[("DATABASE_URL", &line.url)]).await;
    service.onboard(Onboard::default()).await;
    world.responder.behave(None, Answer::Echo.after(Duration::from_millis(40)));
    let person = |n: usize| format!("1555300{:04}", n % 20);
    let mut acknowledged = 0;
    let mut waiting = Vec::new();
    for round in 0..2 {
        for n in 0..60 {
            let body = text_body(SHOP, &person(n), &format!("message {round}{n:04}"));
            match service.post(body.clone()).await.status {
                200 => acknowledged += 1,
                503 => waiting.push(body),
                other => panic!("{other}"),
            }
            if n == 40 {
                line.cut().await;
            }
            if n == 42 {
                line.mend().await;
            }
        }
        // As Meta does.
        while let Some(body) = waiting.pop() {
            if service.post(body.clone()).await.status == 200 {
                acknowledged += 1
            } else {
                waiting.push(body)
            }
        }
    }
    assert_eq!(acknowledged, 120);
    world.graph.wait_for_sent(120, SOON).await;
    // Longer than anything takes that is only found by looking for it.
    service.settle().await;
    let states = world
        .db
        .texts("select status || ': ' || coalesce(reason, '') from deliveries where status <> 'sent'")
        .await;
    assert_eq!(states, [""; 0]);
    assert_eq!(world.db.texts("select state from event_states").await, [""; 0]);
    assert_eq!(world.graph.sent_count(), 120);
    let mut said: Vec<String> = world.graph.sent().iter().map(|s| s.text().to_owned()).collect();
    said.sort();
    said.dedup();
    assert_eq!(said.len(), 120, "each answer once");
    service.running.stop().await;
}

on_both_databases! {
    /// Whoever does not wait for the 200 will send again; but what was stored is worked on already.
    async fn a_caller_who_hangs_up_changes_nothing(db: Db) {
        use std::io::Write;
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        for n in 0..40 {
            let body = text_body(SHOP, &format!("155540000{n:02}"), "Not waiting");
            let signature = sign(APP_SECRET.as_bytes(), body.as_bytes());
            let mut line = std::net::TcpStream::connect(service.running.addr).unwrap();
            write!(line, "POST /webhook HTTP/1.1\r\nHost: x\r\n{HEADER}: {signature}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
            tokio::time::sleep(Duration::from_micros(200 * n)).await;
            drop(line);
        }
        let stored = || async { world.db.texts("select cast(id as text) from webhook_events").await.len() };
        service.wait_until("an event", async || stored().await > 0).await;
        service.wait_until("everything answered", async || {
            world.graph.sent_count() == stored().await && world.db.texts("select state from event_states").await.is_empty()
        }).await;
        service.running.stop().await;
    }
}
