//! Who has the talk: the chatbot, a person, somebody else at Meta, or nobody because the customer wants silence.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::sandbox::graph::{Fault, Rule};
use switchboard::sandbox::response_api::Answer;
use switchboard::sandbox::webhook::{Incoming, new_wamid};

use crate::at_a_desk;
use crate::harness::shared::Desk;

const NOTES: &str = "select author || ': ' || text || coalesce(' (' || note || ')', '') from messages \
                     where whatsapp_account_id = $account order by id";
const THREADS: &str = "select coalesce(hand_over_reason, '-') || case when opted_out_at is null then '' else ' out' end \
                       from threads where phone_number_id = $number order by id";

/// What the business wrote without us.
fn echo(to: &str, wamid: &str, text: &str, at: i64) -> Value {
    json!({"message_echoes": [{"from": "15550000000", "to": to, "id": wamid, "timestamp": at.to_string(),
        "type": "text", "text": {"body": text}}]})
}

fn seconds(desk: &Desk) -> i64 {
    desk.world.clock.now_ms() / 1000
}

fn said(history: &[(String, String)]) -> Vec<(&str, &str)> {
    history.iter().map(|(role, words)| (role.as_str(), words.as_str())).collect()
}

at_a_desk! {
    /// A person answers from the phone app: the chatbot is silent until it is handed back, and knows then what was said.
    async fn a_person_at_the_phone_takes_over(desk) {
        let anna = desk.customer();
        desk.world.responder.behave(Some(&desk.chatbot), Answer::Text("the answer".into()));
        desk.text(&anna, "one").await;
        desk.sent_are(1).await;
        let wamid = new_wamid();
        let maria = echo(&anna, &wamid, "Maria here", seconds(&desk));
        desk.tell("smb_message_echoes", maria.clone()).await;
        desk.texts_are(THREADS, &["person"]).await;
        desk.text(&anna, "two").await;
        desk.texts_are(NOTES, &["contact: one", "chatbot: the answer", "person: Maria here", "contact: two (handed_over)"])
            .await;
        assert_eq!(desk.rest().await.len(), 2, "the first answer and the stranger's");
        let stored = "select wamid from messages where author = 'person' and whatsapp_account_id = $account";
        assert_eq!(desk.texts(stored).await, [wamid]);

        let conversation = desk.conversation(&anna).await;
        let answer = desk.api("POST", &format!("/api/v1/conversations/{conversation}/hand-back")).await;
        assert_eq!(answer["success"], true, "{answer}");
        // The same echo once more is no new word of the person.
        desk.tell("smb_message_echoes", json!({"contacts": [], "message_echoes": maria["message_echoes"]})).await;
        desk.text(&anna, "three").await;
        desk.sent_are(3).await;
        let asked = desk.asked().pop().unwrap().history();
        let talk = [("user", "one"), ("assistant", "the answer"), ("assistant", "Maria here"), ("user", "two"), ("user", "three")];
        assert_eq!(said(&asked), talk);
    }

    /// 24 hours after the person's last word, each word counting anew.
    async fn a_hand_over_ends_by_itself(desk) {
        let anna = desk.customer();
        let day = 86_400;
        // A day ago but for two seconds; the other order, and one from before: neither shortens it.
        for (text, at) in [("first", seconds(&desk) - day + 2), ("older", seconds(&desk) - day + 1), ("old", 1_700_000_000)] {
            desk.tell("smb_message_echoes", echo(&anna, &new_wamid(), text, at)).await;
        }
        desk.texts_are(THREADS, &["person"]).await;
        desk.text(&anna, "too early").await;
        desk.texts_are("select note from messages where note is not null and whatsapp_account_id = $account", &["handed_over"])
            .await;
        tokio::time::sleep(Duration::from_millis(2_100)).await;
        desk.text(&anna, "late enough").await;
        desk.sent_are(1).await;
        let asked = desk.asked().pop().unwrap().history();
        let talk = [("assistant", "first"), ("assistant", "older"), ("assistant", "old"), ("user", "too early"), ("user", "late enough")];
        assert_eq!(said(&asked), talk);
    }

    /// `message_echoes` repeats our own sends too, even before Graph has answered us.
    async fn our_own_echoes_are_nobody_elses(desk) {
        let anna = desk.customer();
        desk.world.graph.fault(Rule::from(Fault::Hang(Duration::from_millis(400))).id(&desk.number));
        desk.text(&anna, "one").await;
        let sent = desk.sent_are(1).await;
        desk.tell("message_echoes", echo(&anna, &sent[0].wamid, sent[0].text(), seconds(&desk))).await;
        desk.texts_are("select status from deliveries where whatsapp_account_id = $account", &["sent"]).await;
        desk.tell("message_echoes", json!({"message_echoes": [
            echo(&anna, &sent[0].wamid, "again", seconds(&desk))["message_echoes"][0]]})).await;
        desk.text(&anna, "two").await;
        desk.sent_are(2).await;
        desk.texts_are("select status from deliveries where whatsapp_account_id = $account", &["sent", "sent"]).await;
        desk.tell("message_echoes", echo(&anna, &new_wamid(), "Another app here", seconds(&desk))).await;
        desk.texts_are(THREADS, &["person"]).await;
        desk.text(&anna, "three").await;
        assert_eq!(desk.rest().await.len(), 2);
    }

    /// Meta's routing gives the thread to somebody else and back; what was said meanwhile is known.
    async fn metas_routing_takes_and_gives(desk) {
        let anna = desk.customer();
        let now = seconds(&desk);
        let routed = |kind: &str, at: i64| json!({"messaging_product": "whatsapp", "type": kind, "timestamp": at.to_string(),
            "sender": {"phone_number": anna}, "recipient": {"phone_number_id": desk.number}});
        let tell = async |kind: &str, at: i64| desk.tell_of(&desk.waba(), "messaging_handovers", &routed(kind, at)).await;
        desk.text(&anna, "one").await;
        desk.sent_are(1).await;
        tell("control_taken", now - 10).await;
        desk.texts_are(THREADS, &["control_taken"]).await;
        let overheard = json!({"standby": {
            "messages": [{"id": new_wamid(), "from": anna, "timestamp": now.to_string(), "type": "text", "text": {"body": "two"}}],
            "message_echoes": [{"id": new_wamid(), "to": anna, "timestamp": now.to_string(), "type": "text", "text": {"body": "Meta's agent"}}]}});
        desk.tell("standby", overheard).await;
        // An event from before the hand-over does not undo it.
        tell("control_passed", now - 20).await;
        desk.text(&anna, "three").await;
        assert_eq!(desk.rest().await.len(), 1);
        tell("control_passed", now - 5).await;
        desk.text(&anna, "four").await;
        desk.sent_are(3).await;
        let asked = desk.asked().pop().unwrap().history();
        let words: Vec<&str> = said(&asked).into_iter().map(|(_, words)| words).filter(|w| !w.contains("one") || *w == "one").collect();
        assert_eq!(words, ["one", "two", "Meta's agent", "three", "four"]);
        let notes = "select note from messages where whatsapp_account_id = $account and note is not null order by id";
        assert_eq!(desk.texts(notes).await, ["standby", "standby", "handed_over"]);

        // A person who took over meanwhile keeps the thread when Meta passes it to us.
        tell("control_taken", now).await;
        desk.tell("smb_message_echoes", echo(&anna, &new_wamid(), "Maria here", seconds(&desk))).await;
        tell("control_passed", now + 1).await;
        desk.text(&anna, "five").await;
        desk.rest().await;
        assert_eq!(desk.texts(THREADS).await[0], "person");
    }

    async fn a_customer_gets_a_person_by_a_word(desk) {
        let mut count = 0;
        for word in ["Human", "¡Agente!", "اپراتور", "talk to a human"] {
            let customer = desk.customer();
            desk.text(&customer, word).await;
            desk.text(&customer, "are you there?").await;
            count += 2;
        }
        assert_eq!(desk.rest().await.len(), 0);
        let notes = desk.texts("select note from messages where whatsapp_account_id = $account and note is not null").await;
        assert_eq!(notes.len(), count, "{notes:?}");
        assert_eq!(notes.iter().filter(|n| *n == "asked_for_person").count(), 4);
        let mixed = desk.customer();
        desk.text(&mixed, "Is a human able to lift it?").await;
        desk.sent_are(2).await;
        let pressed = desk.customer();
        desk.say(Incoming::button_reply(&pressed, "1", "Operator")).await;
        assert_eq!(desk.rest().await.len(), 1);
    }

    /// Two chatbots on a number, of which one does not know the words: the thread is the person's all the same. Where
    /// no chatbot knows them, they are words like any other.
    async fn the_words_are_the_chatbots_choice(desk) {
        let (one, other) = (format!("{}-b", desk.chatbot), format!("{}-c", desk.chatbot));
        desk.another(&one, |wish| wish.change = |bot| bot.hand_off_words = false).await;
        let number = format!("{}9", desk.number);
        desk.another(&other, |wish| {
            wish.number = &number;
            wish.change = |bot| bot.hand_off_words = false;
        })
        .await;
        let anna = desk.customer();
        desk.text(&anna, "human").await;
        desk.service.text(&number, &anna, "human").await;
        let asked = || async { desk.world.responder.received_for(&other).len() == 1 };
        desk.service.wait_until("a question", asked).await;
        desk.rest().await;
        let to_anna = |chatbot: &str| {
            let all = desk.world.responder.received_for(chatbot);
            all.into_iter().filter(|r| r.body["user"]["metadata"]["phoneNumber"] == anna).count()
        };
        assert_eq!((to_anna(&desk.chatbot), to_anna(&one), to_anna(&other)), (0, 0, 1));
    }

    /// Until START nothing is said, by no chatbot of the number, not even what was on its way.
    async fn who_says_stop_hears_nothing_more(desk) {
        let second = format!("{}-b", desk.chatbot);
        desk.another(&second, |_| {}).await;
        for (stop, start) in [("STOP", "START"), ("Baja", "alta"), ("لغو", "شروع"), ("unsubscribe", "Unstop")] {
            let anna = desk.customer();
            let before = desk.rest().await.iter().filter(|sent| sent.to != anna).count();
            desk.world.responder.next(Some(&desk.chatbot), [Answer::Text("too late".into()).after(Duration::from_millis(300))]);
            desk.text(&anna, "question").await;
            let asked = || async { desk.asked().iter().any(|r| r.body["user"]["metadata"]["phoneNumber"] == anna) };
            desk.service.wait_until("the question", asked).await;
            desk.text(&anna, stop).await;
            desk.text(&anna, "hello?").await;
            let dropped = "select reason from turns where status = 'dropped' and tenant_id = $tenant";
            let end = desk.texts(dropped).await.len() + 1;
            desk.service.wait_until("the drop", || async { desk.texts(dropped).await.len() >= end.min(1) }).await;
            tokio::time::sleep(Duration::from_millis(350)).await;
            let to_anna: Vec<_> = desk.sent().into_iter().filter(|sent| sent.to == anna).collect();
            assert!(to_anna.iter().all(|sent| !sent.text().contains("too late")), "{to_anna:?}");
            let so_far = to_anna.len();
            let path = format!("/api/v1/whatsapp/send?chatbotId={}", desk.chatbot);
            let refused = desk.api_with("POST", &path, json!({"to": anna, "message": "Still there?"})).await;
            assert_eq!((&refused["status"], &refused["code"]), (&json!(409), &json!("opted_out")), "{refused}");
            desk.text(&anna, start).await;
            let answered = || async { desk.sent().iter().filter(|sent| sent.to == anna).count() >= so_far + 2 };
            desk.service.wait_until("both answer again", answered).await;
            assert!(before <= desk.sent().len());
        }
    }

    /// A person blocks a customer as if they had written STOP, and lets them back.
    async fn a_person_silences_a_customer_and_lets_them_back(desk) {
        let anna = desk.customer();
        desk.text(&anna, "hello").await;
        let answers = || desk.sent().iter().filter(|sent| sent.to == anna).count();
        desk.service.wait_until("the answer", || async { answers() == 1 }).await;
        let found = desk.api_with("GET", &format!("/api/v1/contacts?q={anna}"), Value::Null).await;
        let contact = format!("/api/v1/contacts/{}", found["data"][0]["id"].as_str().unwrap());
        let silent = desk.api_with("POST", &format!("{contact}/opt-out"), json!({})).await;
        assert!(silent["data"]["threads"][0]["optedOutAt"].is_string(), "{silent}");
        let path = format!("/api/v1/whatsapp/send?chatbotId={}", desk.chatbot);
        let refused = desk.api_with("POST", &path, json!({"to": anna, "message": "News"})).await;
        assert_eq!(refused["code"], "opted_out", "{refused}");
        let back = desk.api_with("POST", &format!("{contact}/opt-in"), json!({})).await;
        assert_eq!(back["data"]["threads"][0]["optedOutAt"], Value::Null, "{back}");
        desk.text(&anna, "again").await;
        desk.service.wait_until("the next answer", || async { answers() == 2 }).await;
    }

    /// The person is quicker than the chatbot: its answer would come too late.
    async fn a_person_interrupts_a_thinking_chatbot(desk) {
        let anna = desk.customer();
        desk.world.responder.next(Some(&desk.chatbot), [Answer::Text("slow answer".into()).after(Duration::from_millis(400))]);
        desk.text(&anna, "question").await;
        desk.service.wait_until("the question", || async { desk.asked().len() == 1 }).await;
        desk.tell("smb_message_echoes", echo(&anna, &new_wamid(), "I have it", seconds(&desk))).await;
        let turns = "select status || ' ' || coalesce(reason, '') from turns where tenant_id = $tenant";
        desk.texts_are(turns, &["dropped handed_over"]).await;
        assert_eq!(desk.rest().await.len(), 0);
    }

    /// `action: handoff`: this answer is still sent, then a person has it, for all chatbots of the number.
    async fn a_responder_hands_over(desk) {
        let anna = desk.customer();
        desk.world.responder.next(Some(&desk.chatbot), [Answer::Handoff("A colleague will write to you".into())]);
        desk.text(&anna, "I want to complain").await;
        let sent = desk.sent_are(1).await;
        assert_eq!(sent[0].text(), "A colleague will write to you");
        desk.texts_are(THREADS, &["responder"]).await;
        desk.text(&anna, "hello?").await;
        assert_eq!(desk.rest().await.len(), 1);
    }

    /// Over the API; the person's own answer is in the history.
    async fn an_agent_takes_over_and_hands_back(desk) {
        let anna = desk.customer();
        desk.text(&anna, "one").await;
        desk.sent_are(1).await;
        let conversation = desk.conversation(&anna).await;
        let path = |end: &str| format!("/api/v1/conversations/{conversation}/{end}");
        desk.api("POST", &path("hand-over")).await;
        desk.text(&anna, "two").await;
        desk.service
            .wait_until("silence", || async { desk.texts(NOTES).await.iter().any(|n| n.contains("two (handed_over)")) })
            .await;
        desk.api_with("POST", &path("messages"), json!({"message": "Maria here"})).await;
        desk.sent_are(2).await;
        desk.api("POST", &path("hand-back")).await;
        desk.text(&anna, "three").await;
        desk.sent_are(3).await;
        let asked = desk.asked().pop().unwrap().history();
        let talk = said(&asked);
        assert_eq!((talk[0], talk[2], talk[3], talk[4]), (("user", "one"), ("user", "two"), ("assistant", "Maria here"), ("user", "three")));
    }

    /// A reaction, a call and a change of names are no question; a call stands in the talk.
    async fn a_call_is_kept_in_the_talk(desk) {
        let anna = desk.customer();
        let call = |event: &str| json!({"calls": [{"id": format!("wacid.{anna}"), "from": anna, "to": "15550000000",
            "event": event, "direction": "USER_INITIATED", "timestamp": seconds(&desk).to_string()}]});
        desk.tell("calls", call("connect")).await;
        desk.tell("calls", call("terminate")).await;
        desk.text(&anna, "I just called").await;
        desk.sent_are(1).await;
        assert_eq!(said(&desk.asked()[0].history()), [("user", "[Call]"), ("user", "I just called")]);
        let kinds = "select kind || ' ' || coalesce(note, '') from messages where whatsapp_account_id = $account and direction = 'in'";
        assert_eq!(desk.texts(kinds).await, ["call not_answerable", "text "]);
    }
}
