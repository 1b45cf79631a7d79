//! What a chatbot is asked, when, and what becomes of its answer.

use std::time::Duration;

use switchboard::sandbox::response_api::{Answer, Received};
use switchboard::sandbox::webhook::Incoming;

use crate::harness::{HELP, Onboard, SHOP, SOON, World, token};
use crate::on_both_databases;

const ANNA: &str = "15551230001";
const BERT: &str = "15551230002";

/// The conversation given, one word per entry: `u:` or `a:` and what was said.
fn talk(request: &Received) -> Vec<String> {
    request.history().iter().map(|(role, words)| format!("{}:{words}", &role[..1])).collect()
}

on_both_databases! {
    /// A pause ends a turn; whoever never pauses is answered all the same.
    async fn quick_messages_are_asked_together_but_not_for_ever(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        let change: fn(&mut switchboard::store::chatbots::Chatbot) = |bot| {
            bot.coalesce_ms = 700;
            bot.coalesce_max_ms = 1_500;
        };
        service.onboard(Onboard { change, ..Onboard::default() }).await;
        let began = switchboard::sandbox::now_ms();
        for words in ["one", "two", "three"] {
            service.text(SHOP, ANNA, words).await;
        }
        world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;
        let asked = world.responder.received();
        assert_eq!(asked.len(), 1);
        assert_eq!(talk(&asked[0]), ["u:one", "u:two", "u:three"]);
        assert!(asked[0].at_ms - began >= 700);

        let began = switchboard::sandbox::now_ms();
        for n in 0..12 {
            service.text(SHOP, BERT, &format!("{n:02}")).await;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        world.graph.wait_for_sent(3, SOON).await;
        service.settle().await;
        let asked = &world.responder.received()[1..];
        assert!((2..=4).contains(&asked.len()), "{}", asked.len());
        assert!((1_400..2_900).contains(&(asked[0].at_ms - began)), "{}", asked[0].at_ms - began);
        let users: Vec<String> = talk(asked.last().unwrap()).into_iter().filter(|e| e.starts_with("u:")).collect();
        assert_eq!(users.last().map(String::as_str), Some("u:11"));
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Without coalescing each message is a turn; what waits for its turn is no history yet, not even after a restart.
    async fn each_message_its_own_turn(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let words = |n: usize| Answer::Text(format!("re {n}"));
        world.responder.next(None, (0..7).map(words));
        service.deliver(SHOP, [Incoming::text(ANNA, "0"), Incoming::text(ANNA, "1"), Incoming::text(ANNA, "2")]).await;
        world.graph.wait_for_sent(3, SOON).await;
        service.settle().await;
        service.running.stop().await;

        let service = world.start().await;
        service.deliver(SHOP, (3..7).map(|n| Incoming::text(ANNA, &n.to_string()))).await;
        world.graph.wait_for_sent(7, SOON).await;
        service.settle().await;
        let mut told = Vec::new();
        for (n, request) in world.responder.received().iter().enumerate() {
            told.push(format!("u:{n}"));
            assert_eq!(talk(request), told[told.len().saturating_sub(10)..], "call {n}");
            told.push(format!("a:re {n}"));
        }
        let said: Vec<String> = world.graph.sent().iter().map(|s| s.text().to_owned()).collect();
        assert_eq!(said, (0..7).map(|n| format!("re {n}")).collect::<Vec<_>>());
        service.running.stop().await;
    }
}

on_both_databases! {
    /// The newest entries, oldest first, the question last: the original lost it from the eleventh message on.
    async fn history_is_the_newest_and_ends_with_the_question(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard { change: |bot| bot.history_limit = 5, ..Onboard::default() }).await;
        world.responder.behave(None, Answer::Text("ok".into()));
        for n in 0..15 {
            service.text(SHOP, ANNA, &format!("question {n}")).await;
            world.graph.wait_for_sent(n + 1, SOON).await;
        }
        service.settle().await;
        let expected = ["u:question 12", "a:ok", "u:question 13", "a:ok", "u:question 14"];
        assert_eq!(talk(world.responder.received().last().unwrap()), expected);
        service.running.stop().await;
        // The same from the database.
        let service = world.start().await;
        service.text(SHOP, ANNA, "question 15").await;
        world.graph.wait_for_sent(16, SOON).await;
        let expected = ["u:question 13", "a:ok", "u:question 14", "a:ok", "u:question 15"];
        assert_eq!(talk(world.responder.received().last().unwrap()), expected);
        service.settle().await;
        service.running.stop().await;
    }
}

on_both_databases! {
    /// The answer that hands over is still sent; then a person has the thread, for every chatbot of the number.
    async fn a_hand_over_silences_the_whole_thread(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard { chatbot: "first", ..Onboard::default() }).await;
        service.onboard(Onboard { chatbot: "second", ..Onboard::default() }).await;
        service.text(SHOP, ANNA, "Hello").await;
        world.graph.wait_for_sent(2, SOON).await;
        service.settle().await;
        // Late, so that the other chatbot is asked before a person has the thread.
        let late = Answer::Handoff("A person will help".into()).after(Duration::from_millis(1_500));
        world.responder.next(Some("first"), [late]);
        service.text(SHOP, ANNA, "A person, please").await;
        world.graph.wait_for_sent(4, SOON).await;
        service.settle().await;
        assert!(world.graph.sent().iter().any(|s| s.text() == "A person will help"));

        service.text(SHOP, ANNA, "Are you there?").await;
        service.text(SHOP, BERT, "Somebody else").await;
        world.graph.wait_for_sent(6, SOON).await;
        service.settle().await;
        assert_eq!(world.graph.sent_to(ANNA).len(), 4);
        let notes = "select text || ': ' || coalesce(note, 'asked') from messages where direction = 'in' and text like 'Are%'";
        assert_eq!(world.db.texts(notes).await, ["Are you there?: handed_over"; 2]);

        // Handed back: what was said meanwhile is history.
        let thread = world.db.texts("select cast(id as text) from threads where hand_over_until is not null").await;
        let thread: i64 = thread[0].parse().unwrap();
        service.running.store.hand_over(thread, 0, "test").await.unwrap();
        world.responder.clear();
        service.text(SHOP, ANNA, "Back again").await;
        world.graph.wait_for_sent(8, SOON).await;
        service.settle().await;
        let told = talk(&world.responder.received_for("first")[0]);
        assert_eq!(told[told.len() - 3..], ["a:A person will help", "u:Are you there?", "u:Back again"]);
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn a_paused_chatbot_listens_and_is_silent(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard { change: |bot| bot.paused = true, ..Onboard::default() }).await;
        service.text(SHOP, ANNA, "Said to nobody").await;
        service.settle().await;
        assert_eq!(world.responder.count(), 0);
        assert_eq!(world.db.texts("select note from messages").await, ["chatbot_paused"]);
        service.change_chatbot("default", "ecommerce-chatbot-id", SHOP, |bot| bot.paused = false).await;
        service.text(SHOP, ANNA, "Awake?").await;
        world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;
        assert_eq!(talk(&world.responder.received()[0]), ["u:Said to nobody", "u:Awake?"]);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Longer than one message may be: in pieces, in order, as WhatsApp writes it; the customer sees "typing" meanwhile.
    async fn a_long_answer_comes_in_order(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let paragraphs: Vec<String> = (0..90).map(|n| format!("**Point {n:02}** {}", "word ".repeat(18))).collect();
        let answer = paragraphs.join("\n\n");
        assert!(answer.len() > 9_000);
        world.responder.behave(None, Answer::Text(answer).after(Duration::from_millis(300)));
        service.deliver(SHOP, [Incoming::text(ANNA, "Tell me everything").with_wamid("wamid.everything")]).await;
        let sent = world.graph.wait_for_sent(3, SOON).await;
        service.settle().await;
        assert_eq!(world.graph.sent_count(), 3);
        assert!(sent.iter().all(|s| s.text().encode_utf16().count() <= 4_096 && !s.text().contains("**")));
        let all: String = sent.iter().map(|s| format!("{}\n\n", s.text())).collect();
        let points: Vec<&str> = all.split("*Point ").skip(1).map(|rest| &rest[..2]).collect();
        assert_eq!(points, (0..90).map(|n| format!("{n:02}")).collect::<Vec<_>>());
        let reads = world.graph.reads();
        assert_eq!((reads.len(), reads[0].wamid.as_str(), reads[0].typing), (1, "wamid.everything", true));
        service.running.stop().await;
    }
}

on_both_databases! {
    /// A number given to another person brings another conversation: nobody reads what the former one said.
    async fn people_are_known_by_more_than_their_number(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let ask = async |message: Incoming| {
            let n = world.graph.sent_count() + 1;
            service.deliver(SHOP, [message]).await;
            world.graph.wait_for_sent(n, SOON).await;
            service.settle().await;
            let request = world.responder.received().pop().unwrap();
            let id = request.body["user"]["uniqueClientId"].as_str().unwrap().to_owned();
            (id, talk(&request).len(), world.graph.sent().pop().unwrap())
        };
        let plain = "whatsapp_15551230001_ecommerce-chatbot-id";
        // Known by phone alone; then with an id of her own; then by that id alone.
        assert_eq!(ask(Incoming::text(ANNA, "1")).await.0, plain);
        assert_eq!(ask(Incoming::text(ANNA, "2").with_user_id("US.1")).await.1, 3);
        let (id, entries, sent) = ask(Incoming::text(ANNA, "3").with_user_id("US.1").without_phone()).await;
        assert_eq!((id.as_str(), entries), (plain, 5));
        assert_eq!((sent.to.as_str(), sent.body["recipient"].as_str()), ("US.1", Some("US.1")));
        // The same phone, another person.
        let (id, entries, sent) = ask(Incoming::text(ANNA, "4").with_user_id("US.2")).await;
        assert_eq!((id, entries, sent.to.as_str()), (format!("{plain}_2"), 1, ANNA));
        assert_eq!(ask(Incoming::text(ANNA, "5").with_user_id("US.2")).await.1, 3);
        // Never seen with a phone.
        let (id, entries, sent) = ask(Incoming::text("", "6").with_user_id("US.77").without_phone()).await;
        assert_eq!((id.as_str(), entries), ("whatsapp_US.77_ecommerce-chatbot-id", 1));
        assert_eq!((sent.body.get("to"), sent.body["recipient"].as_str()), (None, Some("US.77")));
        let request = world.responder.received().pop().unwrap();
        assert_eq!(request.body["user"]["metadata"], serde_json::json!({"platform": "whatsapp"}));
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn other_kinds_of_responders_answer_too(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard { chatbot: "model-bot", ..Onboard::default() }).await;
        let base = format!("{}/v1", world.responder.base_url);
        service.change_chatbot("default", "model-bot", SHOP, |bot| {
            bot.responder = serde_json::json!({
                "kind": "openai", "baseUrl": base, "model": "small-model", "systemPrompt": "Be kind.",
            }).to_string();
        }).await;
        let echo = |bot: &mut switchboard::store::chatbots::Chatbot| bot.responder = r#"{"kind":"echo"}"#.into();
        service.onboard(Onboard { chatbot: "parrot", number: HELP, change: echo, ..Onboard::default() }).await;
        service.text(SHOP, ANNA, "Hello model").await;
        service.text(HELP, ANNA, "Hello parrot").await;
        let sent = world.graph.wait_for_sent(2, SOON).await;
        service.settle().await;
        let parrot = sent.iter().find(|s| s.phone_number_id == HELP).unwrap();
        assert_eq!((parrot.text(), parrot.token.clone()), ("Hello parrot", token("parrot")));
        let asked = world.responder.received();
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].path, "/v1/chat/completions");
        assert_eq!(asked[0].authorization.as_deref(), Some("Bearer key-of-model-bot"));
        assert_eq!(talk(&asked[0]), ["s:Be kind.", "u:Hello model"]);
        assert!(sent.iter().any(|s| s.phone_number_id == SHOP && s.text().contains("You said: Hello model")));
        service.running.stop().await;
    }
}
