//! A signed webhook in, the right chatbot's reply out: once, in order, from the right number.

use std::time::Duration;

use switchboard::sandbox::webhook::{Change, Incoming, body};

use crate::harness::{HELP, Onboard, SHOP, SOON, World, token};
use crate::on_both_databases;

const ANNA: &str = "15551230001";
const BERT: &str = "15551230002";

on_both_databases! {
    /// Two tenants, two numbers: each message reaches its own chatbot only, with its key, and its reply leaves from
    /// its number with its token.
    async fn two_tenants_do_not_meet(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard { tenant: "shop", ..Onboard::default() }).await;
        let help = Onboard { tenant: "help", chatbot: "support-chatbot-id", number: HELP, ..Onboard::default() };
        service.onboard(help).await;
        service.text(SHOP, ANNA, "Where is my order?").await;
        service.text(HELP, BERT, "My login fails").await;
        let sent = world.graph.wait_for_sent(2, SOON).await;
        service.settle().await;

        for (number, chatbot, from, words) in [
            (SHOP, "ecommerce-chatbot-id", ANNA, "Where is my order?"),
            (HELP, "support-chatbot-id", BERT, "My login fails"),
        ] {
            let asked = world.responder.received_for(chatbot);
            assert_eq!(asked.len(), 1);
            let request = &asked[0].body;
            assert_eq!(request["user"]["converslyWebId"], format!("key-of-{chatbot}"));
            assert_eq!(request["user"]["uniqueClientId"], format!("whatsapp_{from}_{chatbot}"));
            assert_eq!(request["user"]["metadata"]["phoneNumber"], from);
            assert_eq!(request["metadata"]["originUrl"], "whatsapp://chat");
            assert_eq!(asked[0].history(), [("user".to_owned(), words.to_owned())]);
            assert!(asked[0].idempotency_key.is_some());
            let replies: Vec<_> = sent.iter().filter(|s| s.phone_number_id == number).collect();
            assert_eq!(replies.len(), 1);
            assert_eq!(replies[0].to, from);
            assert_eq!(replies[0].token, token(chatbot));
            assert!(replies[0].text().contains(words));
        }
        service.running.stop().await;
    }
}

on_both_databases! {
    /// The same delivery five times at once, again after a restart: one row, one call, one reply.
    async fn the_same_delivery_counts_once(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let delivery = body(&[Change::new(SHOP).message(Incoming::text(ANNA, "Once, please"))]);
        let answers = futures_util::future::join_all((0..5).map(|_| service.post(delivery.clone()))).await;
        assert!(answers.iter().all(|a| a.status == 200), "{answers:?}");
        world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;
        service.running.stop().await;

        let service = world.start().await;
        assert_eq!(service.post(delivery).await.status, 200);
        service.settle().await;
        assert_eq!((world.responder.count(), world.graph.sent_count()), (1, 1));
        service.running.stop().await;
    }
}

on_both_databases! {
    /// A batch of a thousand messages of fifty people: every one is answered, each person's in order.
    async fn a_large_batch_keeps_everybodys_order(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
        let people: Vec<String> = (0..50).map(|n| format!("1555200{n:04}")).collect();
        let messages = (0..1_000).map(|n| Incoming::text(&people[n % 50], &format!("message {n:04}")));
        service.deliver(SHOP, messages).await;
        world.graph.wait_for_sent(1_000, Duration::from_secs(60)).await;
        service.settle().await;
        let unsent = "select status || ' ' || coalesce(reason, '-') || ' ' || coalesce(detail, '-') from deliveries where status <> 'sent'";
        assert_eq!(world.db.texts(unsent).await, [""; 0]);
        assert_eq!((world.responder.count(), world.graph.sent_count()), (1_000, 1_000));
        for person in &people {
            let texts: Vec<String> = world.graph.sent_to(person).iter().map(|s| number_in(s.text())).collect();
            let mut sorted = texts.clone();
            sorted.sort();
            assert_eq!(texts.len(), 20);
            assert_eq!(texts, sorted, "out of order for {person}");
        }
        service.running.stop().await;
    }
}

/// "… message 0042 …" → "0042".
fn number_in(text: &str) -> String {
    text.split("message ").nth(1).unwrap_or_default().chars().take(4).collect()
}

on_both_databases! {
    /// What comes while the responder thinks is the next turn, together; history follows turns.
    async fn messages_during_a_turn_form_the_next_one(db: Db) {
        use switchboard::sandbox::response_api::Answer;
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard { change: |bot| bot.coalesce_ms = 50, ..Onboard::default() }).await;
        world.responder.next(None, [Answer::Text("First answer".into()).after(Duration::from_millis(700))]);
        service.text(SHOP, ANNA, "one").await;
        world.responder.wait_for(1, SOON).await;
        service.text(SHOP, ANNA, "two").await;
        service.text(SHOP, ANNA, "three").await;
        world.graph.wait_for_sent(2, SOON).await;
        service.settle().await;
        let asked = world.responder.received();
        assert_eq!(asked.len(), 2);
        let said: Vec<(String, String)> = [("user", "one"), ("assistant", "First answer"), ("user", "two"), ("user", "three")]
            .map(|(role, words)| (role.to_owned(), words.to_owned()))
            .to_vec();
        assert_eq!(asked[1].history(), said);
        service.running.stop().await;

        // The same from the database, after a restart.
        let service = world.start().await;
        service.text(SHOP, ANNA, "four").await;
        world.graph.wait_for_sent(3, SOON).await;
        service.settle().await;
        let history = world.responder.received()[2].history();
        assert_eq!(history[..4], said);
        assert_eq!(history.last().unwrap().1, "four");
        service.running.stop().await;
    }
}
