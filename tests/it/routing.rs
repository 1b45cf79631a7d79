//! Whose is a message, and is anybody asked?

use std::time::Duration;

use switchboard::sandbox::response_api::Answer;
use switchboard::sandbox::webhook::{Change, Incoming, body};

use crate::harness::{HELP, Onboard, SHOP, SOON, World, token};
use crate::on_both_databases;

const ANNA: &str = "15551230001";
const BERT: &str = "15551230002";
const STATES: &str = "select state || ': ' || coalesce(reason, '') from event_states order by event_id";
const NOTES: &str =
    "select text || ': ' || coalesce(note, 'asked') from messages where direction = 'in' order by id";

on_both_databases! {
    /// Meta's number is not ours yet: kept, and answered when it is.
    async fn an_unknown_number_waits_until_somebody_has_it(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.text(SHOP, ANNA, "Is anybody there?").await;
        service.settle().await;
        assert_eq!(world.db.texts(STATES).await, ["unroutable: no account has this number"]);
        service.onboard(Onboard::default()).await;
        // The memory of "nobody's" ended with it.
        service.text(SHOP, BERT, "Now there is").await;
        world.graph.wait_for_sent(1, SOON).await;

        let event: i64 = world.db.texts("select cast(event_id as text) from event_states").await[0].parse().unwrap();
        for _ in 0..2 {
            assert!(service.running.store.replay_event(event, 0).await.unwrap());
            service.running.news.tell(switchboard::news::News::Work).await.unwrap();
            world.graph.wait_for_sent(2, SOON).await;
            service.wait_until("nothing open", async || world.db.texts(STATES).await.is_empty()).await;
            service.settle().await;
        }
        assert_eq!((world.graph.sent_to(ANNA).len(), world.graph.sent_to(BERT).len()), (1, 1), "replayed, not repeated");
        service.running.stop().await;
    }
}

on_both_databases! {
    /// What each status of an account means for its messages.
    async fn the_status_of_an_account_decides(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        let mut accounts = Vec::new();
        for (n, status) in ["active", "restricted", "token_invalid", "pending", "inactive"].into_iter().enumerate() {
            let number = (700 + n).to_string();
            let chatbot = format!("bot-{status}");
            let wish = Onboard { chatbot: &chatbot, number: &number, status, ..Onboard::default() };
            accounts.push(service.onboard(wish).await);
            service.text(&number, ANNA, &format!("To {status}")).await;
        }
        let gone = service.onboard(Onboard { chatbot: "bot-gone", number: "709", ..Onboard::default() }).await;
        service.change_account(gone, |a| a.deleted_at = Some(1)).await;
        service.text("709", ANNA, "To a deleted one").await;
        world.graph.wait_for_sent(2, SOON).await;
        service.settle().await;

        let mut asked: Vec<String> = world.responder.received().iter().map(|r| r.chatbot().to_owned()).collect();
        asked.sort();
        assert_eq!(asked, ["bot-active", "bot-restricted", "bot-token_invalid"]);
        let mut sent: Vec<String> = world.graph.sent().iter().map(|s| s.phone_number_id.clone()).collect();
        sent.sort();
        assert_eq!(sent, ["700", "701"]);
        let held = "select status || ': ' || coalesce(reason, '') from deliveries where status <> 'sent'";
        assert_eq!(world.db.texts(held).await, ["queued: token_invalid"]);
        assert_eq!(world.db.texts(STATES).await, ["parked: account_pending", "parked: account_inactive", "parked: account_deleted"]);
        // Parked is invisible: no contact, no conversation, no claim on the wamid.
        let visible = "select text from messages where whatsapp_account_id not in (select id from whatsapp_accounts \
                       where status in ('active', 'restricted', 'token_invalid') and deleted_at is null)";
        assert_eq!(world.db.texts(visible).await, [""; 0]);

        // Graph confirms the pending one: what waited is answered, once.
        service.change_account(accounts[3], |a| a.status = "active".into()).await;
        assert_eq!(service.running.store.reopen_events("default", "703", 0).await.unwrap(), 1);
        service.running.news.tell(switchboard::news::News::Work).await.unwrap();
        world.graph.wait_for_sent(3, SOON).await;
        assert_eq!(service.running.store.reopen_events("default", "703", 0).await.unwrap(), 0);
        service.settle().await;
        assert_eq!(world.graph.sent().last().map(|s| s.phone_number_id.clone()), Some("703".into()));

        // Switched on again: at once, for what comes from now on.
        service.change_account(accounts[4], |a| a.status = "active".into()).await;
        service.text("704", BERT, "And now?").await;
        world.graph.wait_for_sent(4, SOON).await;
        service.settle().await;
        assert_eq!((world.graph.sent_count(), world.graph.sent_to(BERT).len()), (4, 1));
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Two chatbots on one number each answer, in conversations of their own; then one is primary.
    async fn chatbots_share_a_number(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        let first = service.onboard(Onboard { chatbot: "first", ..Onboard::default() }).await;
        service.onboard(Onboard { chatbot: "second", ..Onboard::default() }).await;
        service.text(SHOP, ANNA, "Hello both").await;
        let sent = world.graph.wait_for_sent(2, SOON).await;
        service.settle().await;
        let mut by: Vec<&str> = sent.iter().map(|s| s.token.as_str()).collect();
        by.sort_unstable();
        assert_eq!(by, [token("first"), token("second")]);
        for chatbot in ["first", "second"] {
            let asked = world.responder.received_for(chatbot);
            assert_eq!(asked.len(), 1);
            assert_eq!(asked[0].body["user"]["uniqueClientId"], format!("whatsapp_{ANNA}_{chatbot}"));
        }

        // One that fails, slowly, keeps the other from nothing.
        world.responder.behave(Some("first"), Answer::ServerError.after(Duration::from_secs(3)));
        service.text(SHOP, BERT, "Still there?").await;
        let sent = world.graph.wait_for_sent(3, Duration::from_secs(2)).await;
        assert_eq!(sent.last().map(|s| s.token.clone()), Some(token("second")));
        world.responder.behave(Some("first"), Answer::Echo);
        service.settle().await;

        world.responder.clear();
        world.graph.clear();
        service.change_account(first, |a| a.mode = "primary".into()).await;
        service.text(SHOP, ANNA, "Only one").await;
        world.responder.wait_for(2, SOON).await;
        world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;
        assert_eq!(world.responder.count(), 2, "a shadow is asked, too");
        let sent = world.graph.sent();
        assert_eq!((sent.len(), sent[0].token.clone()), (1, token("first")));
        let shadows = "select text from messages where author = 'chatbot' and chatbot_id = 'second' and not exists \
                       (select 1 from deliveries where message_id = messages.id)";
        assert_eq!(world.db.texts(shadows).await.len(), 1, "its answer is stored and not sent");

        service.change_account(first, |a| a.mode = "shadow".into()).await;
        service.text(SHOP, ANNA, "The other one").await;
        world.graph.wait_for_sent(2, SOON).await;
        service.settle().await;
        assert_eq!(world.graph.sent()[1].token, token("second"));

        // Nobody reads a shadow's answer, so what it says of the conversation counts for nothing either.
        world.responder.behave(Some("first"), Answer::Handoff("A person will see to it.".into()));
        world.responder.behave(Some("second"), Answer::Text("with a\u{0}hole".into()));
        for n in 3..=4 {
            service.text(SHOP, ANNA, "And now?").await;
            let sent = world.graph.wait_for_sent(n, SOON).await;
            assert_eq!(sent.last().map(|sent| sent.text()), Some("with ahole"));
            service.settle().await;
        }
        service.running.stop().await;
    }
}

on_both_databases! {
    /// As large as Meta's batches get, times three chatbots.
    async fn a_full_batch_reaches_every_chatbot_of_the_number(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        for chatbot in ["one", "two", "three"] {
            let change: fn(&mut switchboard::store::chatbots::Chatbot) = |bot| {
                bot.typing = false;
                bot.coalesce_ms = 50;
            };
            service.onboard(Onboard { chatbot, change, ..Onboard::default() }).await;
        }
        let people: Vec<String> = (0..10).map(|n| format!("155570000{n}")).collect();
        service.deliver(SHOP, (0..1_000).map(|n| Incoming::text(&people[n % 10], &format!("message {n:04}")))).await;
        world.graph.wait_for_sent(30, SOON).await;
        service.settle().await;
        assert_eq!(world.db.texts(STATES).await, [""; 0]);
        assert_eq!(world.db.texts("select text from messages where direction = 'in'").await.len(), 3_000);
        assert_eq!(world.db.texts("select cast(message_id as text) from pending_messages").await, [""; 0]);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Stored with the reason why nobody was asked.
    async fn some_messages_are_stored_and_never_answered(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard { display: Some("+1 555 010-0001"), ..Onboard::default() }).await;
        service.onboard(Onboard { chatbot: "other", number: HELP, display: Some("+15550100002"), ..Onboard::default() }).await;
        let now = switchboard::sandbox::now_ms() / 1000;
        let kinds = [
            Incoming::reaction(ANNA, "wamid.x", "👍"),
            Incoming::new(ANNA, "system", serde_json::json!({"body": "User changed", "type": "user_changed_number"})),
            Incoming::new(ANNA, "unsupported", serde_json::json!({"type": "poll_creation"})),
            Incoming::new(ANNA, "edit", serde_json::json!({"original_message_id": "w", "message": {"type": "text", "text": {"body": "x"}}})),
            Incoming::new(ANNA, "revoke", serde_json::json!({"original_message_id": "w"})),
            Incoming::new(ANNA, "something_new", serde_json::json!({})),
            Incoming::text(ANNA, "Old").at(now - 86_400 - 60),
            Incoming::text("15550100002", "From our own other number"),
        ];
        service.deliver(SHOP, kinds).await;
        // Other fields than `messages` are never answered, whatever they hold.
        for field in ["standby", "history", "smb_message_echoes", "message_echoes", "never_heard_of"] {
            let change = Change::new(SHOP).field(field).message(Incoming::text(ANNA, "Not for us"));
            assert_eq!(service.post(body(&[change])).await.status, 200);
        }
        service.settle().await;
        assert_eq!((world.responder.count(), world.graph.sent_count()), (0, 0));
        let notes = world.db.texts(NOTES).await;
        assert_eq!(notes.len(), 8, "{notes:?}");
        assert!(notes[..6].iter().all(|n| n.ends_with(": not_answerable")), "{notes:?}");
        assert_eq!(notes[6..], ["Old: stale", "From our own other number: own_number"]);
        let ignored = world.db.texts("select state from event_states").await;
        assert_eq!(ignored, ["ignored"; 5]);

        // What can be read is answered: nearly a day old, without a readable time, media, buttons, places.
        let no_time = body(&[Change::new(SHOP).message(Incoming::text(BERT, "When?").at(12_345))]);
        let no_time = no_time.replace(r#""12345""#, r#""soon""#);
        assert_eq!(service.post(no_time).await.status, 200);
        service.deliver(SHOP, [
            Incoming::text(ANNA, "Nearly a day").at(now - 86_400 + 600),
            Incoming::image(ANNA, None),
            Incoming::image(ANNA, Some("A caption")),
            Incoming::voice(ANNA),
            Incoming::document(ANNA, "terms.pdf"),
            Incoming::location(ANNA, 1.5, 2.5),
            Incoming::button(ANNA, "payload", "Yes"),
            Incoming::button_reply(ANNA, "id", "Blue"),
            Incoming::list_reply(ANNA, "id", "Row"),
        ]).await;
        world.graph.wait_for_sent(10, SOON).await;
        service.settle().await;
        let asked: Vec<String> =
            world.responder.received().iter().map(|r| r.history().last().unwrap().1.clone()).filter(|t| t != "When?").collect();
        assert_eq!(asked, [
            "Nearly a day", "[Image]", "A caption", "[Voice message]", "[Document: terms.pdf]",
            "Location: (1.5, 2.5)", "Yes", "Blue", "Row",
        ]);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// One bad item costs itself alone; three numbers of one body reach their own chatbots.
    async fn a_mixed_body_is_taken_apart(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard { tenant: "a", ..Onboard::default() }).await;
        service.onboard(Onboard { tenant: "b", chatbot: "bot-b", number: HELP, ..Onboard::default() }).await;
        let bad = Incoming::text(ANNA, "Without an id").with_wamid("");
        let nobody = Incoming::text(ANNA, "From nobody").without_phone();
        let twice = Incoming::text(ANNA, "Twice").with_wamid("wamid.twice");
        let mixed = body(&[
            Change::new(SHOP).message(bad).message(nobody).message(twice.clone()).message(twice.clone()),
            Change::new("404").message(Incoming::text(ANNA, "To nobody")),
            // The same id on another number is another message.
            Change::new(HELP).message(twice),
        ]);
        let strange = mixed.replacen(r#""entry":["#, r#""entry":[7,{"changes":"?"},{"id":1,"changes":[null]},"#, 1);
        assert_eq!(service.post(strange).await.status, 200);
        world.graph.wait_for_sent(2, SOON).await;
        service.settle().await;
        let mut said: Vec<(String, String)> =
            world.responder.received().iter().map(|r| (r.chatbot().to_owned(), r.history()[0].1.clone())).collect();
        said.sort();
        assert_eq!(said, [("bot-b".into(), "Twice".into()), ("ecommerce-chatbot-id".into(), "Twice".into())]);
        assert_eq!(world.graph.sent_count(), 2);
        service.running.stop().await;
    }
}
