//! Sending: what Meta's answers mean for the message, its neighbours and its account.

use std::time::Duration;

use switchboard::message::DeliveryStatus;
use switchboard::news::News;
use switchboard::routing::sealed_place;
use switchboard::sandbox::graph::{Fault, Rule};
use switchboard::sandbox::response_api::Answer;
use switchboard::store::attempts::{FinishAttempt, StartAttempt};
use uuid::Uuid;

use crate::harness::{HELP, Onboard, SHOP, SOON, Service, World, token};
use crate::on_both_databases;

const ANNA: &str = "15551230001";
const BERT: &str = "15551230002";
const DELIVERIES: &str = "select status || ' ' || coalesce(reason, '-') || ' ' || coalesce(cast(code as text), '-') \
                          from deliveries order by id";
const ATTEMPTS: &str = "select coalesce(outcome, '?') || ' ' || coalesce(cast(code as text), '-') from attempts order by started_at, id";
const LONG: fn() -> String = || "A sentence of some words. ".repeat(400);

/// A world with one chatbot that shows no "typing", so that every call to Graph is a send.
async fn quiet(db: crate::harness::Db) -> (World, Service, i64) {
    let world = World::fast(db);
    let service = world.start().await;
    let id = service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
    (world, service, id)
}

on_both_databases! {
    /// Too fast for the number: later, as late as Meta asks, and once.
    async fn a_rate_limit_is_waited_out(db: Db) {
        let (world, service, _) = quiet(db).await;
        world.graph.fault(Fault::Error { http: 429, code: 130_429, retry_after: Some(1) });
        world.graph.fault(Fault::error(400, 4));
        let began = switchboard::sandbox::now_ms();
        service.text(SHOP, ANNA, "Too fast").await;
        let sent = world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;
        assert!(sent[0].at_ms - began >= 1_000);
        assert_eq!(world.graph.sent_count(), 1);
        assert_eq!(world.db.texts(DELIVERIES).await, ["sent - -"]);
        assert_eq!(world.db.texts(ATTEMPTS).await, ["refused 130429", "refused 4", "accepted -"]);
        assert_eq!(sent[0].token, token("ecommerce-chatbot-id"));
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Too fast for one customer: six seconds (here a fiftieth of it) between her messages, and nobody else waits.
    async fn a_pair_limit_slows_one_customer_down(db: Db) {
        let (world, service, _) = quiet(db).await;
        world.graph.fault(Fault::error(400, 131_056));
        for words in ["1", "2", "3"] {
            service.text(SHOP, ANNA, words).await;
        }
        service.text(SHOP, BERT, "Meanwhile").await;
        let sent = world.graph.wait_for_sent(4, SOON).await;
        service.settle().await;
        let anna: Vec<_> = sent.iter().filter(|s| s.to == ANNA).collect();
        assert!(anna[0].text().contains("said: 1") && anna[1].text().contains("said: 2") && anna[2].text().contains("said: 3"));
        for pair in anna.windows(2) {
            assert!(pair[1].at_ms - pair[0].at_ms >= 90, "{}", pair[1].at_ms - pair[0].at_ms);
        }
        assert_eq!(world.db.texts(DELIVERIES).await, ["sent - -"; 4]);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// A token that is no longer good: everything waits, in order, and leaves with the new one.
    async fn an_invalid_token_holds_the_account_until_there_is_a_new_one(db: Db) {
        let (world, service, id) = quiet(db).await;
        service.onboard(Onboard { chatbot: "other", number: HELP, ..Onboard::default() }).await;
        world.graph.revoke_token(&token("ecommerce-chatbot-id"));
        for words in ["first", "second"] {
            service.text(SHOP, ANNA, words).await;
        }
        service.text(SHOP, BERT, "mine").await;
        world.responder.wait_for(3, SOON).await;
        service.settle().await;
        assert_eq!(world.graph.sent_count(), 0);
        assert!(world.graph.call_count() <= 2, "{} calls with a bad token", world.graph.call_count());
        let account = service.running.store.account(id).await.unwrap().unwrap();
        assert_eq!((account.status.as_str(), account.status_reason.as_deref()), ("token_invalid", Some("token_invalid")));
        assert!(world.db.texts("select status from deliveries").await.iter().all(|s| s == "queued"));
        // The neighbour's number is not held; and this one's people are still listened to.
        service.text(HELP, ANNA, "Elsewhere").await;
        service.text(SHOP, ANNA, "third").await;
        world.responder.wait_for(5, SOON).await;
        world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;

        let sealed = service.running.ring.seal("the new token", &sealed_place(&account, "access_token"));
        service.change_account(id, |a| {
            a.access_token = sealed;
            a.status = "active".into();
        }).await;
        world.graph.wait_for_sent(5, SOON).await;
        service.settle().await;
        let anna: Vec<_> = world.graph.sent_to(ANNA).into_iter().filter(|s| s.phone_number_id == SHOP).collect();
        let order: Vec<bool> =
            anna.iter().zip(["first", "second", "third"]).map(|(s, words)| s.text().contains(words)).collect();
        assert_eq!(order, [true; 3]);
        assert_eq!((anna.len(), world.graph.sent_to(BERT).len(), world.graph.sent_count()), (3, 1, 5));
        assert!(anna.iter().all(|s| s.token == "the new token"));
        assert!(world.db.texts(DELIVERIES).await.iter().all(|d| d == "sent - -"));
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Refused for good: not again, nor the rest of that answer; the next answer goes out.
    async fn a_refusal_ends_that_answer_alone(db: Db) {
        let (world, service, id) = quiet(db).await;
        for (code, reason) in [(131_047, "window_closed"), (131_026, "undeliverable"), (100, "bad_request")] {
            world.graph.clear();
            world.responder.next(None, [Answer::Text(LONG())]);
            // The first part passes, the second does not.
            world.graph.fault(Rule::from(Fault::Slow(Duration::ZERO)));
            world.graph.fault(Fault::error(400, code));
            service.text(SHOP, ANNA, "Tell me all").await;
            service.text(SHOP, ANNA, "And then?").await;
            world.graph.wait_for_sent(2, SOON).await;
            service.settle().await;
            assert_eq!((world.graph.sent_count(), world.graph.call_count()), (2, 3));
            let all = world.db.texts(DELIVERIES).await;
            let expected = ["sent - -".to_owned(), format!("failed {reason} {code}"), "cancelled earlier_part_failed -".into(), "sent - -".into()];
            assert_eq!(all[all.len() - 4..], expected);
        }
        assert_eq!(service.running.store.account(id).await.unwrap().unwrap().status, "active");
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Perhaps sent: shown as `unknown`, never repeated; what follows goes out.
    async fn a_doubtful_send_is_never_repeated(db: Db) {
        let (world, service, _) = quiet(db).await;
        let faults = [Fault::LoseAnswer, Fault::HangUp, Fault::error(500, 131_000), Fault::error(503, 2), Fault::error(502, 999_999)];
        for fault in faults.clone() {
            world.graph.fault(fault);
            service.text(SHOP, ANNA, "In doubt").await;
        }
        service.text(SHOP, ANNA, "Certain").await;
        world.graph.wait_for_sent(2, SOON).await;
        service.settle().await;
        // Longer than any retry would take.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!((world.graph.call_count(), world.graph.sent_count()), (faults.len() + 1, 2));
        let statuses = world.db.texts("select status from deliveries order by id").await;
        assert_eq!(statuses, ["unknown", "unknown", "unknown", "unknown", "unknown", "sent"]);
        assert!(world.graph.sent()[1].text().contains("Certain"));
        service.running.stop().await;

        // Nor by the next life.
        let service = world.start().await;
        service.settle().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(world.graph.call_count(), faults.len() + 1);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Certainly not sent: again, until the retries are used up.
    async fn a_refused_connection_is_tried_again_and_at_last_given_up(db: Db) {
        let (world, service, _) = quiet(db).await;
        world.graph.stop().await;
        service.text(SHOP, ANNA, "Given up").await;
        service.wait_until("dead", async || world.db.texts(DELIVERIES).await == ["dead graph_unreachable -"]).await;
        assert_eq!(world.db.texts(ATTEMPTS).await, ["not_sent -"; 5]);
        service.text(SHOP, ANNA, "In time").await;
        service.wait_until("tried", async || world.db.texts(ATTEMPTS).await.len() > 6).await;
        world.graph.resume().unwrap();
        let sent = world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;
        assert!(sent[0].text().contains("In time"));
        assert_eq!(world.graph.sent_count(), 1);
        assert_eq!(world.db.texts(DELIVERIES).await, ["dead graph_unreachable -", "sent - -"]);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Stopped between two tries, it goes on in the next life; what waited stands in order behind it.
    async fn what_waits_survives_a_restart(db: Db) {
        let (world, service, _) = quiet(db).await;
        world.graph.fault(Fault::Error { http: 429, code: 130_429, retry_after: Some(3) });
        service.text(SHOP, ANNA, "first").await;
        service.text(SHOP, ANNA, "second").await;
        service.wait_until("refused once", async || world.db.texts(ATTEMPTS).await == ["refused 130429"]).await;
        world.responder.wait_for(2, SOON).await;
        service.running.stop().await;
        let service = world.start().await;
        let due: i64 = world.db.texts("select cast(next_at as text) from deliveries order by id limit 1").await[0].parse().unwrap();
        let sent = world.graph.wait_for_sent(2, SOON).await;
        service.settle().await;
        assert!(sent[0].at_ms >= due, "{} ms too early", due - sent[0].at_ms);
        assert!(sent[0].text().contains("first") && sent[1].text().contains("second"));
        assert_eq!(world.db.texts(DELIVERIES).await, ["sent - -"; 2]);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// A person's wish is a new start: it has as many tries as the first time.
    async fn what_is_dead_has_all_its_tries_when_a_person_wants_it(db: Db) {
        let (world, service, _) = quiet(db).await;
        world.graph.stop().await;
        service.text(SHOP, ANNA, "Given up").await;
        let store = &service.running.store;
        let dead = async || world.db.texts(DELIVERIES).await == ["dead graph_unreachable -"];
        service.wait_until("dead", dead).await;
        assert!(store.retry_delivery("default", 1, &[DeliveryStatus::Dead], 0).await.unwrap());
        service.running.news.tell(News::Work).await.unwrap();
        service.wait_until("tried again", async || world.db.texts(ATTEMPTS).await.len() > 5).await;
        service.wait_until("dead again", dead).await;
        assert_eq!(world.db.texts(ATTEMPTS).await, ["not_sent -"; 10]);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// An attempt that was given up and ends late is recorded, and does not speak for the one that followed it.
    async fn a_late_end_of_an_earlier_attempt_changes_nothing(db: Db) {
        let (world, service, _) = quiet(db).await;
        service.text(SHOP, ANNA, "Hello").await;
        world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;
        let (store, stations) = (&service.running.store, service.running.store.stations());
        let attempts: Vec<Uuid> = (0..2).map(|_| Uuid::now_v7()).collect();
        for (attempt_id, now) in attempts.iter().zip([i64::MAX - 1, i64::MAX]) {
            world.db.texts("update deliveries set status = 'queued' returning status").await;
            let start = StartAttempt { delivery_id: 1, account_id: 1, attempt_id: *attempt_id, now };
            assert!(stations.write(start).await.unwrap().is_some());
        }
        let finish = |n: usize, status| FinishAttempt {
            attempt_id: attempts[n],
            delivery_id: 1,
            account_id: 1,
            outcome: "refused",
            wamid: None,
            code: None,
            detail: None,
            status,
            reason: Some("bad_request"),
            opted_out: false,
            next_at: 0,
            now: 0,
        };
        stations.write(finish(0, DeliveryStatus::Failed)).await.unwrap();
        let delivery = async || store.delivery("default", 1).await.unwrap().unwrap();
        assert_eq!(delivery().await.status, "sending");
        stations.write(finish(1, DeliveryStatus::Failed)).await.unwrap();
        assert_eq!(delivery().await.status, "failed");
        let outcomes = world.db.texts("select outcome from attempts order by started_at").await;
        assert_eq!(outcomes, ["accepted", "refused", "refused"]);
        service.running.stop().await;
    }
}

/// Too fast for the number: afterwards its messages keep 50 ms distance, whoever they are for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limit_slows_the_number_down() {
    let world = World::new(crate::harness::Db::sqlite());
    let service = world.start().await;
    service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
    world.graph.fault(Fault::error(429, 130_429));
    service.text(SHOP, ANNA, "Too fast").await;
    world.graph.wait_for_sent(1, SOON).await;
    let began = switchboard::sandbox::now_ms();
    for n in 0..10 {
        service.text(SHOP, &format!("1555124000{n}"), "Another").await;
    }
    let sent = world.graph.wait_for_sent(11, SOON).await;
    // Nine distances lie between the first place in the line and the last.
    assert!(sent[10].at_ms - began >= 9 * 50, "{}", sent[10].at_ms - began);
    service.settle().await;
    service.running.stop().await;
}
