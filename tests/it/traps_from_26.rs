//! The traps of Meta's webhook, numbered, one test each: content, odd bodies, answers, secrets.

use serde_json::json;
use switchboard::sandbox::graph::{Fault, Rule, Subscription};
use switchboard::sandbox::response_api::Answer;
use switchboard::sandbox::webhook::Incoming;

use crate::at_a_desk;
use crate::harness::{APP_SECRET, verify_token};

at_a_desk! {
    async fn trap_26_a_stale_redelivery(desk) {
        let now = desk.world.clock.now_ms() / 1000;
        desk.say(Incoming::text(&desk.customer(), "yesterday").at(now - 86_400 - 60)).await;
        desk.say(Incoming::text(&desk.customer(), "almost").at(now - 86_400 + 60)).await;
        desk.sent_are(1).await;
        desk.rest().await;
        assert_eq!(desk.questions(), ["almost"]);
        assert_eq!(desk.texts("select note from messages where whatsapp_account_id = $account and note is not null").await, ["stale"]);
    }

    async fn trap_27_a_reaction_taken_back(desk) {
        for content in [json!({"message_id": "w"}), json!({"message_id": "w", "emoji": ""})] {
            desk.say(Incoming::new(&desk.customer(), "reaction", content)).await;
        }
        assert_eq!(desk.rest().await.len(), 0);
        let texts = "select text from messages where whatsapp_account_id = $account and note is not null";
        assert_eq!(desk.texts(texts).await, ["[Reaction removed]"; 2]);
    }

    async fn trap_28_a_forms_answer_is_a_string_of_json(desk) {
        let form = json!({"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent",
            "response_json": r#"{"flow_token":"t","seats":2,"date":"2026-11-20"}"#}});
        desk.say(Incoming::new(&desk.customer(), "interactive", form)).await;
        desk.sent_are(1).await;
        assert_eq!(desk.questions(), ["date: 2026-11-20\nseats: 2"]);
    }

    async fn trap_29_groups(desk) {
        let mut message = desk.fresh(&desk.customer(), "Hi all");
        message["group_id"] = "G1".into();
        desk.tell("messages", json!({ "messages": [message] })).await;
        assert_eq!(desk.rest().await.len(), 0);
    }

    async fn trap_30_an_unknown_number(desk) {
        let number = format!("{}0", desk.number);
        desk.service.text(&number, &desk.customer(), "Hi").await;
        desk.rest().await;
        let state = format!("select state from event_states where phone_number_id = '{number}'");
        assert_eq!(desk.texts(&state).await, ["unroutable"]);
    }

    async fn trap_31_another_object(desk) {
        let answer = desk.service.post(r#"{"object":"page","entry":[]}"#.into()).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"success":true,"message":"Not a WhatsApp webhook event"}"#));
    }

    /// As the button "Test" of Meta's dashboard sends it.
    async fn trap_32_the_dashboards_test(desk) {
        let value = json!({"messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "16505551111", "phone_number_id": "123456123"},
            "contacts": [{"profile": {"name": "test user name"}, "wa_id": "16315551181"}],
            "messages": [{"from": "16315551181", "id": format!("ABGG{}", desk.number), "timestamp": "1504902988",
                "type": "text", "text": {"body": "this is a text message"}}]});
        desk.tell_of("0", "messages", &value).await;
        let account = json!({"event": "PARTNER_REMOVED", "test": desk.number});
        desk.tell_of("0", "account_update", &account).await;
        desk.rest().await;
        let states = "select distinct s.state from event_states s join webhook_events e on e.id = s.event_id where e.entry_id = '0'";
        assert_eq!(desk.texts(states).await, ["unroutable"]);
    }

    async fn trap_33_nothing_in_it(desk) {
        for entry in ["[]", "[{}]", r#"[{"id":"1","changes":[]}]"#, r#"[{"changes":[{}]}]"#, "null"] {
            desk.post(format!(r#"{{"object":"whatsapp_business_account","entry":{entry},"of":"{}"}}"#, desk.number)).await;
        }
        desk.post(r#"{"object":"whatsapp_business_account"}"#.into()).await;
        assert_eq!(desk.rest().await.len(), 0);
    }

    async fn trap_34_a_key_twice(desk) {
        let text = desk.body(Incoming::text(&desk.customer(), "the last one counts"));
        desk.post(text.replacen(r#""text":{"#, r#""text":{"body":"the first one"},"text":{"#, 1)).await;
        desk.sent_are(1).await;
        assert_eq!(desk.questions(), ["the last one counts"]);
    }

    async fn trap_35_keys_in_any_order(desk) {
        let message = desk.fresh(&desk.customer(), "Hi");
        desk.post(format!(
            r#"{{"entry":[{{"changes":[{{"value":{{"messages":[{message}],"metadata":{{"phone_number_id":"{}"}}}},"field":"messages"}}],"id":"{}"}}],"object":"whatsapp_business_account"}}"#,
            desk.number, desk.waba()
        ))
        .await;
        desk.sent_are(1).await;
    }

    async fn trap_36_a_blank_token_is_nobodys(desk) {
        for token in ["", " ", "\t", "%00"] {
            let answer = desk.service.meta.verify(token, "1").await.unwrap();
            assert_eq!((answer.status, answer.body.as_str()), (403, "Forbidden"), "{token:?}");
        }
        assert_eq!(desk.service.meta.verify(&verify_token(&desk.chatbot), "1").await.unwrap().status, 200);
    }

    /// Subscribing without a body takes an override away; one that is not ours is left alone.
    async fn trap_37_a_foreign_override_survives(desk) {
        let foreign = Subscription { subscribed: true, override_url: Some("https://elsewhere.example/hook".into()) };
        desk.world.graph.set_subscription(&desk.waba(), foreign);
        let list = desk.api("GET", &format!("/api/v1/whatsapp/integration?chatbotId={}", desk.chatbot)).await;
        let id = list["data"]["id"].as_str().unwrap_or_else(|| panic!("{list}")).to_owned();
        desk.api_with("POST", &format!("/api/v1/whatsapp/integration/{id}/subscribe"), json!({})).await;
        let now = desk.world.graph.subscription(&desk.waba());
        assert_eq!(now.override_url.as_deref(), Some("https://elsewhere.example/hook"));
    }

    async fn trap_38_bots_do_not_talk_to_each_other(desk) {
        let (number, ours) = (format!("{}8", desk.number), format!("4930{}", desk.number));
        let chatbot = format!("bot-of-{number}");
        desk.another(&chatbot, |wish| {
            wish.number = &number;
            wish.display = Some(&ours);
        })
        .await;
        desk.text(&ours, "Hello from your other chatbot").await;
        assert_eq!(desk.rest().await.len(), 0);
        assert_eq!(desk.texts("select note from messages where whatsapp_account_id = $account and note is not null").await, ["own_number"]);
    }

    /// Neither tokens nor texts nor phones, however much is logged.
    async fn trap_39_nothing_private_in_the_logs(desk) {
        let log = crate::harness::log::recording();
        let anna = desk.customer();
        desk.text(&anna, "a very private question").await;
        desk.sent_are(1).await;
        let token = verify_token(&desk.chatbot);
        desk.service.meta.verify(&token, "1").await.unwrap();
        desk.service.meta.verify("a token that is wrong", "1").await.unwrap();
        desk.world.graph.fault(Rule::from(Fault::error(400, 131_026)).id(&desk.number));
        desk.text(&anna, "a second private question").await;
        desk.texts_are("select status from deliveries where whatsapp_account_id = $account order by id", &["sent", "failed"]).await;
        let written = log.text();
        assert!(written.contains("/webhook"), "something is logged at all");
        let access = crate::harness::token(&desk.chatbot);
        for secret in ["private question", &anna, &token, "a token that is wrong", "a%20token", &access, APP_SECRET] {
            let line = written.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret}");
        }
        assert_eq!(desk.sent()[0].token, access, "it travels in its header");
    }

    /// What a message claims as the address of its media is not asked, least of all with a token.
    async fn trap_40_no_token_to_strange_hosts(desk) {
        let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        stranger.set_nonblocking(true).unwrap();
        let url = format!("http://{}/picture.jpg", stranger.local_addr().unwrap());
        let image = json!({"id": "1", "mime_type": "image/jpeg", "url": url, "caption": "Look"});
        desk.say(Incoming::new(&desk.customer(), "image", image)).await;
        desk.sent_are(1).await;
        desk.rest().await;
        assert!(stranger.accept().is_err(), "somebody called");
    }

    async fn trap_41_a_long_answer_is_split(desk) {
        let long = (0..1_500).map(|n| format!("word{n}")).collect::<Vec<_>>().join(" ");
        desk.world.responder.next(Some(&desk.chatbot), [Answer::Text(long.clone())]);
        desk.text(&desk.customer(), "Tell me everything").await;
        let sent = desk.sent_are(4).await;
        assert!(sent.iter().all(|s| s.text().chars().count() <= 4_096));
        let whole: Vec<&str> = sent.iter().flat_map(|s| s.text().split_whitespace()).collect();
        assert!(whole.join(" ") == long, "in order, nothing lost, no word cut");
    }

    async fn trap_42_an_empty_answer_is_not_sent(desk) {
        desk.world.responder.behave(Some(&desk.chatbot), Answer::Empty);
        desk.text(&desk.customer(), "Hi").await;
        let sent = desk.sent_are(1).await;
        assert!(sent[0].text().starts_with("Sorry"), "{}", sent[0].text());
        let dead = "select status || ' ' || reason from turns where tenant_id = $tenant";
        assert!(desk.texts(dead).await[0].starts_with("dead "), "{:?}", desk.texts(dead).await);
    }
}
