//! Pages listen to one instance and hear what another one did; and no line holds a stop.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use reqwest::Response;
use serde_json::Value;
use switchboard::sandbox::http_client;

use crate::harness::{ADMIN_KEY, Db, Onboard, SHOP, Service, World};
use crate::on_both_databases;

async fn listen(service: &Service) -> Response {
    let response = http_client()
        .unwrap()
        .get(format!("{}/api/v1/live", service.running.url()))
        .bearer_auth(ADMIN_KEY)
        .header("switchboard-tenant", Onboard::default().tenant)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    response
}

/// Until a conversation is named; how long that took.
async fn heard(line: Response, since: Instant) -> Duration {
    let (mut text, mut chunks) = (String::new(), line.bytes_stream());
    while let Some(chunk) = chunks.next().await {
        text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
            // The last line may be half there.
            let names: Value = serde_json::from_str(data).unwrap_or_default();
            if names["conversations"][0].is_string() {
                return since.elapsed();
            }
        }
    }
    panic!("the line ended: {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_at_one_instance_is_heard_at_the_other_within_two_seconds() {
    let Some(db) = Db::postgres().await else { return };
    let world = World::new(db);
    let (a, b) = futures_util::future::join(world.start(), world.start()).await;
    a.onboard(Onboard::default()).await;
    let line = listen(&b).await;
    // The listener of the other instance connects in its own time.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    a.text(SHOP, "15551230001", "hello").await;
    let took = tokio::time::timeout(Duration::from_secs(10), heard(line, began)).await.unwrap();
    assert!(took < Duration::from_secs(2), "{took:?}");
    futures_util::future::join(a.running.stop(), b.running.stop()).await;
}

on_both_databases! {
    async fn a_line_ends_with_the_server_and_holds_it_not(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let mut lines = Vec::new();
        for _ in 0..3 {
            lines.push(listen(&service).await);
        }
        let began = Instant::now();
        let ended = tokio::spawn(async move {
            for line in lines {
                let mut chunks = line.bytes_stream();
                while let Some(Ok(_)) = chunks.next().await {}
            }
        });
        service.running.stop().await;
        assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
        tokio::time::timeout(Duration::from_secs(5), ended).await.unwrap().unwrap();
    }
}
