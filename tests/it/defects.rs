//! What an earlier service of this kind did wrong, one test each, so that this one never does.

use std::time::{Duration, Instant};

use serde_json::json;
use switchboard::graph::signature::{HEADER, sign};
use switchboard::sandbox::graph::{Fault, Rule};
use switchboard::sandbox::http_client;
use switchboard::sandbox::response_api::Answer;
use switchboard::sandbox::webhook::{Change, Incoming, Status, body, text_body};

use crate::harness::{APP_SECRET, Onboard, SHOP, SOON, World, token, verify_token};
use crate::{at_a_desk, on_both_databases};

const DELIVERIES: &str = "select status || ' ' || coalesce(reason, '-') from deliveries where whatsapp_account_id = $account order by id";

at_a_desk! {
    /// It read the oldest ten messages, so from the eleventh on the responder never saw the question.
    async fn defect_01_the_newest_message_is_always_asked(desk) {
        let anna = desk.customer();
        for n in 1..=7 {
            desk.text(&anna, &format!("question {n}")).await;
            desk.sent_are(n).await;
        }
        let history = desk.asked().pop().unwrap().history();
        assert_eq!((history.len(), history[9].1.as_str()), (10, "question 7"));
    }

    /// An answer with sources could not be stored, after it was sent: the customer heard "Sorry" as well.
    async fn defect_02_an_answer_with_sources_is_one_message(desk) {
        // The stand-in always names a source.
        desk.world.responder.next(Some(&desk.chatbot), [Answer::Text("It is {\"in\"} [1], [2] https://x.y/a'b".into())]);
        desk.text(&desk.customer(), "Where?").await;
        desk.sent_are(1).await;
        let texts = "select text from messages where whatsapp_account_id = $account and author = 'chatbot'";
        assert_eq!(desk.texts(texts).await, ["It is {\"in\"} [1], [2] https://x.y/a'b"]);
        assert_eq!(desk.rest().await.len(), 1);
    }

    /// Its update of statuses always failed.
    async fn defect_03_delivered_and_read_are_recorded(desk) {
        let anna = desk.customer();
        desk.text(&anna, "Hi").await;
        let wamid = desk.sent_are(1).await[0].wamid.clone();
        for word in ["delivered", "read"] {
            desk.post(body(&[Change::new(&desk.number).status(Status::new(&wamid, word, &anna))])).await;
        }
        desk.texts_are("select status || case when delivered_at > 0 and read_at > 0 then ' both' else '' end from deliveries \
            where whatsapp_account_id = $account", &["read both"]).await;
    }

    async fn defect_04_a_repeated_delivery_is_answered_once(desk) {
        let text = desk.body(Incoming::text(&desk.customer(), "once"));
        for _ in 0..3 {
            desk.post(text.clone()).await;
        }
        // The same message in other words around it, as another subscribed app's delivery brings it.
        desk.post(text.replacen("\"messaging_product\"", "\"x\":1,\"messaging_product\"", 1)).await;
        assert_eq!((desk.rest().await.len(), desk.questions().len()), (1, 1));
    }

    /// It skipped the check where the header was absent, and checked decoded text instead of bytes.
    async fn defect_05_nothing_unsigned_comes_in(desk) {
        let text = desk.body(Incoming::text(&desk.customer(), "PLACE")).replace("PLACE", "\\u00e4 \u{e4}");
        let url = format!("{}/webhook", desk.service.running.url());
        let answer = http_client().unwrap().post(&url).body(text.clone()).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (401, r#"{"success":false,"error":"Invalid signature"}"#));
        let signature = sign(APP_SECRET.as_bytes(), text.as_bytes());
        let answer = http_client().unwrap().post(url).header(HEADER, signature).body(text).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        desk.sent_are(1).await;
        assert_eq!(desk.questions(), ["ä ä"]);
    }

    /// Its limit for bodies was 100 kB.
    async fn defect_06_a_batch_of_two_megabytes_is_taken(desk) {
        let people: Vec<String> = (0..4).map(|_| desk.customer()).collect();
        let filler = "x".repeat(500_000);
        let change = people.iter().fold(Change::new(&desk.number), |change, phone| change.message(Incoming::text(phone, &filler)));
        desk.post(body(&[change])).await;
        desk.sent_are(4).await;
    }

    /// It dropped every event that named no number.
    async fn defect_07_events_without_a_number_reach_their_business(desk) {
        let value = json!({"event": "REJECTED", "message_template_id": 1, "message_template_name": "sale", "message_template_language": "es", "reason": "ABUSIVE_CONTENT"});
        desk.tell_of(&desk.waba(), "message_template_status_update", &value).await;
        desk.texts_are("select name || ' ' || status || ' ' || reason from templates where tenant_id = $tenant", &["sale REJECTED ABUSIVE_CONTENT"]).await;
    }

    /// One slow responder blocked everybody behind it, and what could not be sent was stored as sent.
    async fn defect_09_nobody_waits_for_anothers_responder(desk) {
        let (chatbot, number) = (format!("{}-slow", desk.chatbot), format!("{}9", desk.number));
        desk.another(&chatbot, |wish| wish.number = &number).await;
        desk.world.responder.behave(Some(&chatbot), Answer::Echo.after(Duration::from_secs(20)));
        let anna = desk.customer();
        let both = [Change::new(&number).message(Incoming::text(&anna, "slow")), Change::new(&desk.number).message(Incoming::text(&anna, "quick"))];
        let began = Instant::now();
        desk.post(body(&both)).await;
        desk.sent_are(1).await;
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());

        desk.world.graph.fault(Rule::from(Fault::error(400, 131_026)).id(&desk.number));
        desk.text(&anna, "again").await;
        desk.texts_are(DELIVERIES, &["sent -", "failed undeliverable"]).await;
        let ids = "select coalesce(wamid, 'none') from deliveries where whatsapp_account_id = $account and status = 'failed'";
        assert_eq!(desk.texts(ids).await, ["none"]);
    }

    /// It knew neither media nor the window nor any error.
    async fn defect_10_media_are_stored_and_errors_understood(desk) {
        let anna = desk.customer();
        for message in [Incoming::voice(&anna), Incoming::image(&anna, Some("this one")), Incoming::reaction(&anna, "w", "👍")] {
            desk.say(message).await;
        }
        desk.sent_are(2).await;
        desk.texts_are("select kind || ': ' || text from messages where whatsapp_account_id = $account and direction = 'in' order by id",
            &["audio: [Voice message]", "image: this one", "reaction: [Reaction: 👍]"]).await;
        desk.world.graph.fault(Rule::from(Fault::error(400, 131_047)).id(&desk.number));
        desk.text(&anna, "late").await;
        desk.texts_are(DELIVERIES, &["sent -", "sent -", "failed window_closed"]).await;
    }

    /// It stored tokens in clear, and gave them away on every read. Its logs: see the trap of that name.
    async fn defect_11_no_secret_is_readable(desk) {
        let columns = "select access_token || ' ' || verify_token || ' ' || verify_token_hash from whatsapp_accounts where id = $account";
        let stored = desk.texts(columns).await.join(" ");
        let seen = desk.api("GET", &format!("/api/v1/whatsapp/integration?chatbotId={}", desk.chatbot)).await.to_string();
        assert!(seen.contains(&desk.number), "{seen}");
        for secret in [token(&desk.chatbot), verify_token(&desk.chatbot), format!("key-of-{}", desk.chatbot)] {
            assert!(!stored.contains(&secret) && !seen.contains(&secret), "{secret}");
        }
    }

    async fn defect_12_markdown_is_formatted_and_length_respected(desk) {
        let long = format!("# Title\n\n**bold** and [a link](https://x.y)\n\n{}", "word ".repeat(1_200));
        desk.world.responder.next(Some(&desk.chatbot), [Answer::Text(long)]);
        desk.text(&desk.customer(), "Everything").await;
        let sent = desk.sent_are(2).await;
        assert!(sent[0].text().contains("*bold*") && !sent[0].text().contains("**") && !sent[0].text().contains("]("), "{}", sent[0].text());
        assert!(sent.iter().all(|s| s.text().chars().count() <= 4_096));
    }

    /// It kept answering over the person who had taken over.
    async fn defect_13_a_person_is_not_talked_over(desk) {
        let anna = desk.customer();
        desk.text(&anna, "one").await;
        desk.sent_are(1).await;
        let conversation = desk.conversation(&anna).await;
        desk.api_with("POST", &format!("/api/v1/conversations/{conversation}/messages"), json!({"message": "Maria here"})).await;
        desk.sent_are(2).await;
        desk.text(&anna, "two").await;
        assert_eq!(desk.rest().await.len(), 2);
        assert_eq!(desk.texts("select author from messages where conversation_id in (select id from whatsapp_conversations where whatsapp_account_id = $account) \
            and direction = 'out' order by id limit 2").await, ["chatbot", "person"]);
    }

    /// Two messages at once made two contacts, and two questions that did not know of each other.
    async fn defect_14_two_messages_at_once_are_one_talk(desk) {
        let anna = desk.customer();
        tokio::join!(desk.text(&anna, "first"), desk.text(&anna, "second"));
        desk.sent_are(2).await;
        assert_eq!(desk.asked()[1].history().iter().filter(|(role, _)| role == "user").count(), 2, "the second knows of the first");
        let contacts = format!("select cast(count(*) as text) from contact_aliases where value = '{anna}'");
        assert_eq!(desk.texts(&contacts).await, ["1"]);
        assert_eq!(desk.texts("select cast(count(*) as text) from whatsapp_conversations where whatsapp_account_id = $account").await, ["1"]);
    }
}

on_both_databases! {
    /// It said 200 and worked in memory: every deploy lost messages.
    async fn defect_08_what_was_acknowledged_survives_a_deploy(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        world.responder.behave(None, Answer::ServerError);
        service.text(SHOP, "15551230001", "Still there?").await;
        world.responder.wait_for(1, SOON).await;
        service.running.stop().await;
        world.responder.behave(None, Answer::Text("Here".into()));
        let service = world.start().await;
        let sent = world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;
        assert_eq!((world.graph.sent_count(), sent[0].text()), (1, "Here"));
        assert_eq!(service.post(text_body(SHOP, "15551230002", "And now?")).await.status, 200);
        world.graph.wait_for_sent(2, SOON).await;
        service.running.stop().await;
    }
}
