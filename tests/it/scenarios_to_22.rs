//! Acceptance scenarios of the webhook and the turn, by their numbers. Where another file goes deeper, here is
//! the plain case.

use std::time::{Duration, Instant};

use serde_json::json;
use switchboard::graph::signature::{HEADER, sign};
use switchboard::sandbox::http_client;
use switchboard::sandbox::response_api::Answer;
use switchboard::sandbox::webhook::{Change, Incoming, Sender, body, text_body};

use crate::at_a_desk;
use crate::harness::shared::Desk;
use crate::harness::verify_token;

const STATES: &str = "select state || ' ' || coalesce(reason, '') from event_states where phone_number_id = $number order by event_id";
const TURNS: &str = "select status || ' ' || coalesce(reason, '-') from turns where chatbot_id = $chatbot order by created_at";

async fn unsigned(desk: &Desk, headers: &[(&str, &str)], text: String) -> (u16, String) {
    let mut request = http_client().unwrap().post(format!("{}/webhook", desk.service.running.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.body(text).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

at_a_desk! {
    async fn a_01_verification_gives_the_challenge_back(desk) {
        let answer = desk.service.meta.verify(&verify_token(&desk.chatbot), "123").await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "123"));
        let verified = "select case when verified_at is null then 'never' else 'then' end from whatsapp_accounts where id = $account";
        desk.texts_are(verified, &["then"]).await;
    }

    /// That comparing takes the same time whatever is wrong is kept by construction, not by a clock: see
    /// `secrets_are_compared_in_one_place` in tests/architecture.rs.
    async fn a_02_a_wrong_token(desk) {
        let answer = desk.service.meta.verify("somebody else's token", "123").await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (403, "Forbidden"));
    }

    async fn a_03_the_shared_token_serves_too(desk) {
        let answer = desk.service.meta.verify("the-shared-verify-token", "9").await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "9"));
    }

    async fn a_04_an_inactive_accounts_token(desk) {
        let token = verify_token(&desk.chatbot);
        desk.service.change_account(desk.account, |a| a.status = "inactive".into()).await;
        assert_eq!(desk.service.meta.verify(&token, "1").await.unwrap().status, 403);
        let url = format!("{}/webhook?hub.mode=subscribe", desk.service.running.url());
        assert_eq!(http_client().unwrap().get(url).send().await.unwrap().status(), 403);
    }

    async fn a_05_the_happy_path(desk) {
        let other = format!("{}-other", desk.chatbot);
        let number = format!("{}5", desk.number);
        desk.another(&other, |wish| wish.number = &number).await;
        let anna = desk.customer();
        let started = Instant::now();
        desk.text(&anna, "Where is my order?").await;
        assert!(started.elapsed() < Duration::from_millis(1_500), "{:?}", started.elapsed());
        let sent = desk.sent_are(1).await;
        let asked = desk.asked();
        assert_eq!((asked.len(), desk.world.responder.received_for(&other).len()), (1, 0));
        let request = &asked[0].body;
        let query: serde_json::Value = serde_json::from_str(request["query"].as_str().unwrap()).unwrap();
        assert_eq!(query, json!([{"role": "user", "content": "Where is my order?"}]));
        assert_eq!(request["user"]["converslyWebId"], format!("key-of-{}", desk.chatbot));
        assert_eq!(request["user"]["uniqueClientId"], format!("whatsapp_{anna}_{}", desk.chatbot));
        assert_eq!((sent[0].to.as_str(), sent[0].token.as_str()), (anna.as_str(), crate::harness::token(&desk.chatbot).as_str()));
        let rows = "select channel || ' ' || direction from messages where whatsapp_account_id = $account order by id";
        assert_eq!(desk.texts(rows).await, ["WHATSAPP in", "WHATSAPP out"]);
    }

    async fn a_06_a_wrong_signature(desk) {
        let text = desk.body(Incoming::text(&desk.customer(), "Hi"));
        let wrong = sign(b"another secret", text.as_bytes());
        let answer = unsigned(&desk, &[(HEADER, &wrong)], text).await;
        assert_eq!(answer, (401, r#"{"success":false,"error":"Invalid signature"}"#.into()));
        assert_eq!(desk.texts("select field from webhook_events where phone_number_id = $number").await, [""; 0]);
    }

    async fn a_07_no_signature(desk) {
        let text = desk.body(Incoming::text(&desk.customer(), "Hi"));
        assert_eq!(unsigned(&desk, &[], text).await.0, 401);
    }

    async fn a_08_escapes_emoji_and_odd_spacing(desk) {
        let text = desk.body(Incoming::text(&desk.customer(), "PLACE")).replace("PLACE", r"\ud83d\ude00 ok").replace("\":", "\" :\n ");
        desk.post(text).await;
        desk.sent_are(1).await;
        assert_eq!(desk.questions(), ["😀 ok"]);
    }

    async fn a_09_an_accounts_own_secret(desk) {
        let (chatbot, number) = (format!("{}-own", desk.chatbot), format!("{}9", desk.number));
        let secret = format!("secret of {number}");
        desk.another(&chatbot, |wish| (wish.number, wish.app_secret) = (&number, Some(secret.as_str()))).await;
        let own = Sender::new(format!("{}/webhook", desk.service.running.url()), &secret).unwrap();
        assert_eq!(own.send(text_body(&number, &desk.customer(), "Mine")).await.unwrap().status, 200);
        let asked = || async { desk.world.responder.received_for(&chatbot).len() == 1 };
        desk.service.wait_until("its own", asked).await;
        assert_eq!(own.send(desk.body(Incoming::text(&desk.customer(), "Another's"))).await.unwrap().status, 200);
        assert_eq!(desk.rest().await.len(), 0);
    }

    async fn a_11_other_objects_and_no_json(desk) {
        let other = desk.service.post(format!(r#"{{"object":"instagram","of":"{}"}}"#, desk.number)).await;
        assert_eq!((other.status, other.body.contains("Not a WhatsApp webhook event")), (200, true));
        let odd = desk.service.post(format!("{{not JSON {}", desk.number)).await;
        assert_eq!((odd.status, odd.body.contains("Webhook received")), (200, true), "kept, for people to look at");
    }

    async fn a_12_an_unknown_number_is_answered_after_onboarding_and_replay(desk) {
        let (chatbot, number) = (format!("{}-late", desk.chatbot), format!("{}12", desk.number));
        desk.service.text(&number, &desk.customer(), "Too early").await;
        let event = format!("select cast(event_id as text) from event_states where phone_number_id = '{number}' and state = 'unroutable'");
        desk.service.wait_until("the event", || async { desk.texts(&event).await.len() == 1 }).await;
        let id: i64 = desk.texts(&event).await[0].parse().unwrap();
        desk.another(&chatbot, |wish| wish.number = &number).await;
        assert!(desk.service.running.store.replay_event(id, desk.world.clock.now_ms()).await.unwrap());
        desk.service.running.news.tell(switchboard::news::News::Work).await.unwrap();
        let asked = || async { desk.world.responder.received_for(&chatbot).len() == 1 };
        desk.service.wait_until("the answer", asked).await;
    }

    async fn a_13_an_inactive_account(desk) {
        desk.service.change_account(desk.account, |a| a.status = "inactive".into()).await;
        desk.text(&desk.customer(), "Anybody?").await;
        desk.texts_are(STATES, &["parked account_inactive"]).await;
        desk.service.change_account(desk.account, |a| a.status = "active".into()).await;
        desk.text(&desk.customer(), "Now?").await;
        desk.sent_are(1).await;
        assert!(desk.questions().contains(&"Now?".to_owned()));
    }

    async fn a_14_two_chatbots_on_a_number(desk) {
        let (second, shadow) = (format!("{}-2", desk.chatbot), format!("{}-3", desk.chatbot));
        desk.another(&second, |_| {}).await;
        desk.another(&shadow, |wish| wish.mode = "shadow").await;
        desk.world.responder.behave(Some(&desk.chatbot), Answer::BadRequest);
        let anna = desk.customer();
        desk.text(&anna, "Hello").await;
        let sent = desk.sent_are(2).await;
        assert_eq!(sent.iter().filter(|s| s.text().starts_with("Sorry")).count(), 1, "the failure of one is its own");
        let asked = || async { desk.world.responder.received_for(&shadow).len() == 1 };
        desk.service.wait_until("the shadow's question", asked).await;
        let ids = "select unique_conv_id from whatsapp_conversations where phone_number_id = $number order by unique_conv_id";
        assert_eq!(desk.texts(ids).await.len(), 3);
        assert_eq!(desk.sent().len(), 2);
    }

    async fn a_15_the_same_delivery_five_times_at_once(desk) {
        let text = desk.body(Incoming::text(&desk.customer(), "once"));
        let posts = (0..5).map(|_| desk.post(text.clone()));
        futures_util::future::join_all(posts).await;
        assert_eq!((desk.rest().await.len(), desk.questions().len()), (1, 1));
    }

    async fn a_17_a_huge_batch_in_order(desk) {
        let people: Vec<String> = (0..20).map(|_| desk.customer()).collect();
        desk.world.responder.behave(Some(&desk.chatbot), Answer::Text("ok".into()));
        let mut change = Change::new(&desk.number);
        for n in 0..200 {
            change = change.message(Incoming::text(&people[n % 20], &format!("{n}")));
        }
        let started = Instant::now();
        desk.post(body(&[change])).await;
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        desk.sent_are(200).await;
        for person in &people {
            let of = |r: &switchboard::sandbox::response_api::Received| r.body["user"]["metadata"]["phoneNumber"] == *person;
            let said = desk.asked().into_iter().filter(of).filter_map(|r| r.history().pop()?.1.parse::<usize>().ok());
            let said: Vec<usize> = said.collect();
            assert_eq!(said.len(), 10);
            assert!(said.is_sorted(), "{said:?}");
        }
    }

    async fn a_18_the_newest_ten_entries(desk) {
        desk.world.responder.behave(Some(&desk.chatbot), Answer::Text("ok".into()));
        let anna = desk.customer();
        for n in 0..15 {
            desk.text(&anna, &format!("question {n}")).await;
            desk.sent_are(n + 1).await;
        }
        let history = desk.asked().pop().unwrap().history();
        assert_eq!(history.len(), 10);
        assert_eq!((history[9].1.as_str(), history[8].1.as_str(), history[0].1.as_str()), ("question 14", "ok", "ok"));
    }

    async fn a_19_three_quick_messages_are_one_question(desk) {
        let (chatbot, number) = (format!("{}-slow", desk.chatbot), format!("{}19", desk.number));
        desk.another(&chatbot, |wish| {
            wish.number = &number;
            wish.change = |bot| (bot.coalesce_ms, bot.coalesce_max_ms) = (300, 2_000);
        })
        .await;
        let anna = desk.customer();
        for text in ["one", "two", "three"] {
            desk.service.text(&number, &anna, text).await;
        }
        let asked = || desk.world.responder.received_for(&chatbot);
        desk.service.wait_until("a question", || async { !asked().is_empty() }).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        let words: Vec<String> = asked()[0].history().into_iter().map(|(_, words)| words).collect();
        assert_eq!((asked().len(), words), (1, vec!["one".into(), "two".into(), "three".into()]));
    }

    async fn a_20_a_failing_responder_gets_five_tries_then_the_fallback(desk) {
        desk.world.responder.behave(Some(&desk.chatbot), Answer::ServerError);
        desk.text(&desk.customer(), "Hello?").await;
        let sent = desk.sent_are(1).await;
        assert!(sent[0].text().starts_with("Sorry"));
        assert_eq!(desk.asked().len(), 5);
        let dead = desk.texts(&TURNS.replace("$chatbot", &format!("'{}'", desk.chatbot))).await;
        assert!(dead.len() == 1 && dead[0].starts_with("dead responder_error"), "{dead:?}");
    }

    async fn a_21_a_responder_that_never_answers(desk) {
        let (chatbot, number) = (format!("{}-slow", desk.chatbot), format!("{}21", desk.number));
        desk.another(&chatbot, |wish| {
            wish.number = &number;
            wish.change = |bot| bot.responder = r#"{"kind":"response_api","timeoutMs":150}"#.into();
        })
        .await;
        desk.world.responder.behave(Some(&chatbot), Answer::Echo.after(Duration::from_secs(20)));
        let anna = desk.customer();
        desk.service.text(&number, &anna, "Hello?").await;
        desk.text(&anna, "And you?").await;
        desk.sent_are(1).await;
        let answers = || desk.world.graph.sent().into_iter().filter(|s| s.phone_number_id == number).collect::<Vec<_>>();
        desk.service.wait_until("the fallback", || async { answers().len() == 1 }).await;
        assert!(answers()[0].text().starts_with("Sorry"));
    }

    async fn a_22_refused_answers_and_wrong_keys(desk) {
        desk.world.responder.behave(Some(&desk.chatbot), Answer::UnknownOrigin);
        desk.text(&desk.customer(), "Hello?").await;
        desk.sent_are(1).await;
        assert_eq!(desk.asked().len(), 1, "a wrong key gets no better by asking again");
        let dead = desk.texts(&TURNS.replace("$chatbot", &format!("'{}'", desk.chatbot))).await;
        assert!(dead[0].starts_with("dead responder_config"), "{dead:?}");
    }
}
