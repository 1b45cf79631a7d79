//! Acceptance scenarios that need a service of their own: restarts, outages, rotations, deploys.

use std::time::{Duration, Instant};

use switchboard::graph::signature::{HEADER, sign};
use switchboard::sandbox::http_client;
use switchboard::sandbox::response_api::Answer;
use switchboard::sandbox::webhook::{Sender, text_body};

use crate::harness::line::Line;
use crate::harness::{APP_SECRET, Db, HELP, Onboard, SHOP, SOON, World, verify_token};
use crate::on_both_databases;

const ANNA: &str = "15551230001";

/// The shared token and a known one serve although the database is away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_03_the_shared_token_serves_without_a_database() {
    let Some(db) = Db::postgres().await else { return };
    let world = World::fast(db);
    let line = Line::to(&world.db.url()).await;
    let service = world.start_with(&[("DATABASE_URL", &line.url)]).await;
    service.onboard(Onboard::default()).await;
    let own = verify_token("ecommerce-chatbot-id");
    assert_eq!(service.meta.verify(&own, "1").await.unwrap().status, 200);
    line.cut().await;
    for (token, status) in [(own.as_str(), 200), ("the-shared-verify-token", 200), ("wrong", 403)] {
        assert_eq!(service.meta.verify(token, "1").await.unwrap().status, status, "{token}");
    }
    line.mend().await;
    service.running.stop().await;
}

on_both_databases! {
    /// Two secrets are good while one replaces the other; an account's own ones as well.
    async fn a_10_an_old_secret_is_good_until_it_is_dropped(db: Db) {
        let world = World::fast(db);
        let service = world.start_with(&[("FACEBOOK_APP_SECRET", "new-secret-of-the-app,old-secret-of-the-app")]).await;
        service.onboard(Onboard::default()).await;
        let own = service.onboard(Onboard { chatbot: "own", number: HELP, app_secret: Some("own-new"), ..Onboard::default() }).await;
        let ring = &service.running.ring;
        let row = service.running.store.account(own).await.unwrap().unwrap();
        let former = ring.seal("own-old", &switchboard::routing::sealed_place(&row, "previous_app_secret"));
        service.change_account(own, |a| a.previous_app_secret = Some(former)).await;
        let url = format!("{}/webhook", service.running.url());
        let post = async |secret: &str, number: &str| Sender::new(&url, secret).unwrap().send(text_body(number, ANNA, secret)).await.unwrap().status;
        for (secret, number) in [("new-secret-of-the-app", SHOP), ("old-secret-of-the-app", SHOP), ("own-new", HELP), ("own-old", HELP)] {
            assert_eq!(post(secret, number).await, 200, "{secret}");
        }
        world.graph.wait_for_sent(4, SOON).await;
        service.change_account(own, |a| a.previous_app_secret = None).await;
        assert_eq!(post("own-old", HELP).await, 401);
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn a_16_a_message_is_known_after_a_restart(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let text = text_body(SHOP, ANNA, "Hello");
        service.post(text.clone()).await;
        world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;
        service.running.stop().await;
        let service = world.start().await;
        // As it was, and as another delivery would bring it: with other bytes around the same message.
        for again in [text.clone(), text.replacen("\"messaging_product\"", "\"more\":1,\"messaging_product\"", 1)] {
            assert_eq!(service.post(again).await.status, 200);
        }
        service.settle().await;
        assert_eq!((world.responder.count(), world.graph.sent_count()), (1, 1));
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Stopped while a responder thinks and another message waits: nothing is lost, nothing is said twice. For `kill -9` at
    /// every moment see `crash.rs`.
    async fn a_32_a_restart_in_the_middle(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        service.text(SHOP, "15551230002", "Done before").await;
        world.graph.wait_for_sent(1, SOON).await;
        world.responder.behave(None, Answer::ServerError);
        service.text(SHOP, ANNA, "one").await;
        world.responder.wait_for(2, SOON).await;
        service.text(SHOP, ANNA, "two").await;
        service.running.stop().await;
        world.responder.behave(None, Answer::Echo);
        let service = world.start().await;
        world.graph.wait_for_sent(3, SOON).await;
        service.settle().await;
        let said: Vec<String> = world.graph.sent_to(ANNA).iter().map(|s| s.text().to_owned()).collect();
        assert!(said.len() == 2 && said[0].contains("one") && said[1].contains("two"), "{said:?}");
        assert_eq!(world.graph.sent_to("15551230002").len(), 1);
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn a_33_a_stop_takes_nothing_new_and_leaves_in_time(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        world.responder.behave(None, Answer::Echo.after(Duration::from_millis(300)));
        service.text(SHOP, ANNA, "Quickly, before you go").await;
        world.responder.wait_for(1, SOON).await;
        let (url, began) = (format!("{}/webhook", service.running.url()), Instant::now());
        service.running.stop().await;
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        assert!(http_client().unwrap().post(url).send().await.is_err(), "nobody listens");
        let service = world.start().await;
        world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;
        assert_eq!(world.graph.sent_count(), 1);
        service.running.stop().await;
    }
}

/// Meta is asked to come again, and does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_34_a_database_that_is_away_loses_nothing() {
    let Some(db) = Db::postgres().await else { return };
    let world = World::fast(db);
    let line = Line::to(&world.db.url()).await;
    let service = world.start_with(&[("DATABASE_URL", &line.url)]).await;
    service.onboard(Onboard::default()).await;
    line.cut().await;
    let body = text_body(SHOP, ANNA, "During the outage");
    let signature = sign(APP_SECRET.as_bytes(), body.as_bytes());
    let request = http_client().unwrap().post(format!("{}/webhook", service.running.url()));
    let answer = request.header(HEADER, signature).body(body.clone()).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers().contains_key("retry-after")), (503, true));
    line.mend().await;
    service.wait_until("a 200", async || service.post(body.clone()).await.status == 200).await;
    world.graph.wait_for_sent(1, SOON).await;
    service.settle().await;
    assert_eq!((world.responder.count(), world.graph.sent_count()), (1, 1));
    service.running.stop().await;
}
