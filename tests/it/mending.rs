//! What was left, failed or was given up is opened again at a terminal, beside a running service.

use serde_json::{Value, json};
use switchboard::sandbox::response_api::Answer;
use switchboard::sandbox::webhook::Incoming;

use crate::events_out::api;
use crate::harness::process::run;
use crate::harness::{HELP, Onboard, SHOP, SOON, World};
use crate::on_both_databases;

const ANNA: &str = "15551230001";
const BERT: &str = "15551230002";

on_both_databases! {
    /// A number that is onboarded late, and answers that were given up: seen, filtered, tried again.
    async fn what_was_left_is_taken_up_beside_the_service(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.text(HELP, ANNA, "Is anybody there?").await;
        service.onboard(Onboard { change: |bot| bot.fallback_text = None, ..Onboard::default() }).await;
        world.responder.next(None, [Answer::BadRequest]);
        service.text(SHOP, BERT, "No answer").await;
        service.settle().await;
        service.onboard(Onboard { tenant: "help", chatbot: "support-chatbot-id", number: HELP, ..Onboard::default() }).await;

        for too_little in [&["replay"][..], &["replay", "--all"]] {
            let (well, said) = run(&world, &[], too_little).await;
            assert!(!well && said.contains("required"), "{said}");
        }
        let unroutable = ["replay", "--state", "unroutable", "--tenant"];
        let (well, said) = run(&world, &[], &[&unroutable[..], &["default"]].concat()).await;
        assert!(well && said.starts_with("0 events"), "another tenant's number: {said}");
        let (_, said) = run(&world, &[], &[&unroutable[..], &["help", "--until", "2020-01-01"]].concat()).await;
        assert!(said.starts_with("0 events"), "{said}");
        let (_, said) = run(&world, &[], &[&unroutable[..], &["help", "--dry-run"]].concat()).await;
        assert!(said.contains("evt_1 ") && said.contains("1 events would be replayed"), "{said}");
        assert_eq!(world.graph.sent_count(), 0);
        let (well, said) = run(&world, &[], &[&unroutable[..], &["help", "--since", "2020-01-01"]].concat()).await;
        assert!(well && said.starts_with("1 events"), "{said}");
        assert_eq!(world.graph.wait_for_sent(1, SOON).await[0].phone_number_id, HELP);
        service.settle().await;
        let everything = ["replay", "--all", "--since", "2020-01-01"];
        let (well, said) = run(&world, &[], &everything).await;
        assert!(well && said.starts_with("2 events"), "done ones too: {said}");
        let (well, _) = run(&world, &[], &["replay", "--event", "evt_1"]).await;
        let (missing, said) = run(&world, &[], &["replay", "--event", "evt_99"]).await;
        assert!(well && !missing && said.contains("there is no event evt_99"), "{said}");

        let (well, said) = run(&world, &[], &["dead-letters", "list", "--tenant", "help"]).await;
        assert!(well && said.starts_with("0 in all"), "{said}");
        let (_, said) = run(&world, &[], &["dead-letters", "list"]).await;
        assert!(said.contains("turn") && said.contains("1 in all") && !said.contains("No answer"), "{said}");
        let reason = said.split_whitespace().nth(4).unwrap().trim_end_matches(':').to_owned();
        let (_, said) = run(&world, &[], &["dead-letters", "retry", "--reason", "window_closed"]).await;
        assert!(said.starts_with("0 of 0"), "{said}");
        let (well, said) = run(&world, &[], &["dead-letters", "retry", "--reason", &reason]).await;
        assert!(well && said.starts_with("1 of 1"), "{said}");
        let sent = world.graph.wait_for_sent(2, SOON).await;
        assert!(sent[1].to == BERT && sent[1].text().contains("No answer"));
        service.settle().await;
        assert_eq!(world.graph.sent_count(), 2, "the replayed event was answered once");
        let logged = world.db.texts("select actor || ' ' || action || ' ' || detail from audit_log \
            where actor = 'terminal' order by id").await;
        assert_eq!(logged, ["terminal events.replay 0", "terminal events.replay 0", "terminal events.replay 1",
            "terminal events.replay 2", "terminal events.replay 1", "terminal dead_letters.retry 0",
            "terminal dead_letters.retry 1"]);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Deliveries that failed, and those nobody knows of.
    async fn deliveries_are_tried_again_with_consent(db: Db) {
        use switchboard::sandbox::graph::Fault;
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
        // Two bubbles: the second is not sent because the first fails.
        world.responder.next(None, [Answer::Text("long ".repeat(1_500))]);
        world.graph.fault(Fault::error(400, 131_026));
        service.text(SHOP, ANNA, "Hello").await;
        service.settle().await;
        world.graph.fault(Fault::LoseAnswer);
        service.text(SHOP, BERT, "Hello").await;
        service.settle().await;
        assert_eq!(world.graph.sent_count(), 1, "the lost one did arrive");

        let (well, said) = run(&world, &[], &["dead-letters", "retry", "--status", "unknown"]).await;
        assert!(!well && said.contains("--accept-doubles"), "{said}");
        let (well, said) = run(&world, &[], &["dead-letters", "retry", "--status", "failed"]).await;
        assert!(well && said.starts_with("1 of 1"), "{said}");
        let sent = world.graph.wait_for_sent(3, SOON).await;
        assert!(sent[1..].iter().all(|s| s.to == ANNA), "both parts: {sent:?}");
        let unknown = ["dead-letters", "retry", "--status", "unknown", "--accept-doubles"];
        let (well, said) = run(&world, &[], &unknown).await;
        assert!(well && said.starts_with("1 of 1"), "{said}");
        assert_eq!(world.graph.wait_for_sent(4, SOON).await[3].to, BERT);
        service.settle().await;
        service.running.stop().await;
    }
}

on_both_databases! {
    /// After STOP nothing goes out: not what a person or a system had sent before, held up or failed, not by a retry, nor
    /// what is in line for whatever reason.
    async fn stop_stops_what_waits_and_what_is_tried_again(db: Db) {
        use switchboard::sandbox::graph::Fault;
        let world = World::fast(db);
        let service = world.start().await;
        let account = service.onboard(Onboard { change: |bot| bot.fallback_text = None, ..Onboard::default() }).await;
        world.graph.fault(Fault::error(400, 131_026));
        service.text(SHOP, ANNA, "Hello").await;
        service.settle().await;
        service.change_account(account, |stored| stored.status = "token_invalid".into()).await;
        let message = json!({"to": ANNA, "message": "Your order is on its way"});
        let path = "/whatsapp/send?chatbotId=ecommerce-chatbot-id";
        let (status, sent) = api(&service, "default", "POST", path, message).await;
        assert_eq!(status, 202, "{sent}");
        let how = "select status || ' ' || coalesce(reason, '') from deliveries order by id";
        let failed = "failed undeliverable";
        service.wait_until("held", async || world.db.texts(how).await == [failed, "queued token_invalid"]).await;
        service.text(SHOP, ANNA, "STOP").await;
        service.wait_until("withdrawn", async || world.db.texts(how).await == [failed, "cancelled opted_out"]).await;

        service.change_account(account, |stored| stored.status = "active".into()).await;
        let (_, list) = api(&service, "default", "GET", "/deliveries?status=failed", Value::Null).await;
        let path = format!("/deliveries/{}/retry", list["data"][0]["id"].as_str().unwrap());
        let (status, refused) = api(&service, "default", "POST", &path, json!({})).await;
        assert_eq!((status, &refused["code"]), (409, &json!("opted_out")), "{refused}");
        let (_, said) = run(&world, &[], &["dead-letters", "retry", "--status", "failed"]).await;
        assert!(said.starts_with("0 of 1"), "{said}");
        world.db.execute("update deliveries set status = 'queued', reason = null").await.unwrap();
        service.running.stop().await;
        let service = world.start().await;
        service.wait_until("cancelled", async || world.db.texts(how).await == ["cancelled opted_out"; 2]).await;
        assert_eq!(world.graph.sent_count(), 0);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Of somebody who was erased nothing can be tried again: there is nobody it could reach.
    async fn an_erased_contacts_failures_are_not_opened_again(db: Db) {
        use switchboard::sandbox::graph::Fault;
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard { change: |bot| bot.fallback_text = None, ..Onboard::default() }).await;
        for fault in [Fault::error(400, 131_026), Fault::LoseAnswer] {
            world.graph.fault(fault);
            service.text(SHOP, ANNA, "Hello").await;
            service.settle().await;
        }
        world.responder.next(None, [Answer::BadRequest]);
        service.text(SHOP, ANNA, "No answer").await;
        service.settle().await;
        let (_, contacts) = api(&service, "default", "GET", "/contacts", Value::Null).await;
        let path = format!("/contacts/{}", contacts["data"][0]["id"].as_str().unwrap());
        assert_eq!(api(&service, "default", "DELETE", &path, Value::Null).await.0, 200);
        for status in ["failed", "unknown", "dead"] {
            let (well, said) =
                run(&world, &[], &["dead-letters", "retry", "--status", status, "--accept-doubles"]).await;
            assert!(well && said.starts_with("0 of 0"), "{status}: {said}");
        }
        let deliveries = world.db.texts("select status || ' ' || reason from deliveries").await;
        assert_eq!(deliveries, ["cancelled erased"; 2]);
        assert_eq!(world.db.texts("select status from turns where status <> 'answered'").await, ["dropped"]);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// What one customer said is erased from an event that nobody could read yet; what the other said is still answered.
    async fn an_erasure_leaves_other_peoples_messages(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.text(HELP, BERT, "Nothing of hers").await;
        let both = [Incoming::text(ANNA, "Mine, pink"), Incoming::text(BERT, "Not hers, green")];
        service.deliver(HELP, both).await;
        service.settle().await;
        let wish = Onboard { tenant: "help", chatbot: "support-chatbot-id", number: HELP, ..Onboard::default() };
        service.onboard(wish).await;
        service.text(HELP, ANNA, "Now you know me").await;
        service.settle().await;
        let (_, contacts) = api(&service, "help", "GET", "/contacts", Value::Null).await;
        let path = format!("/contacts/{}", contacts["data"][0]["id"].as_str().unwrap());
        assert_eq!(api(&service, "help", "DELETE", &path, Value::Null).await.0, 200);
        let (well, said) = run(&world, &[], &["replay", "--state", "unroutable", "--tenant", "help"]).await;
        assert!(well && said.starts_with("2 events"), "{said}");
        let said = "select text from messages where direction = 'in' and text <> '' order by id";
        let left = ["Nothing of hers", "Not hers, green"];
        service.wait_until("the other's", async || world.db.texts(said).await == left).await;
        service.settle().await;
        assert_eq!(world.graph.sent_to(BERT).len(), 2);
        service.running.stop().await;
    }
}
