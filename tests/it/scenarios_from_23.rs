//! Acceptance scenarios of the send and of what follows it, by their numbers. Where another file goes deeper, here is the
//! plain case.

use serde_json::json;
use switchboard::sandbox::graph::{Fault, File, Number, Rule};
use switchboard::sandbox::response_api::Answer;
use switchboard::sandbox::webhook::{Change, Incoming, Status, body};

use crate::at_a_desk;
use crate::harness::shared::Desk;

const DELIVERIES: &str = "select status || ' ' || coalesce(reason, '-') from deliveries where whatsapp_account_id = $account order by id";

async fn tell(desk: &Desk, status: Status) {
    desk.post(body(&[Change::new(&desk.number).status(status)])).await;
}

fn fault(desk: &Desk, fault: Fault) {
    desk.world.graph.fault(Rule::from(fault).id(&desk.number));
}

at_a_desk! {
    async fn a_23_rate_limits_are_waited_out(desk) {
        fault(&desk, Fault::Error { http: 429, code: 130_429, retry_after: None });
        fault(&desk, Fault::error(400, 131_056));
        desk.text(&desk.customer(), "Hello").await;
        desk.sent_are(1).await;
        desk.texts_are(DELIVERIES, &["sent -"]).await;
        let tries = "select cast(d.attempts as text) from deliveries d where d.whatsapp_account_id = $account";
        assert_eq!(desk.texts(tries).await, ["3"]);
    }

    async fn a_24_an_invalid_token(desk) {
        fault(&desk, Fault::error(401, 190));
        desk.text(&desk.customer(), "Hello").await;
        desk.texts_are(DELIVERIES, &["queued token_invalid"]).await;
        desk.texts_are("select status from whatsapp_accounts where id = $account", &["token_invalid"]).await;
        desk.service.change_account(desk.account, |a| a.status = "active".into()).await;
        desk.sent_are(1).await;
    }

    async fn a_25_a_doubtful_send_is_shown_and_not_repeated(desk) {
        fault(&desk, Fault::LoseAnswer);
        let anna = desk.customer();
        desk.text(&anna, "Hello").await;
        desk.texts_are(DELIVERIES, &["unknown answer_lost"]).await;
        assert_eq!(desk.rest().await.len(), 1);
    }

    async fn a_26_what_will_never_arrive(desk) {
        for (code, expected) in [(131_047, "failed window_closed"), (131_026, "failed undeliverable")] {
            let seen = desk.texts(DELIVERIES).await.len();
            fault(&desk, Fault::error(400, code));
            desk.text(&desk.customer(), "Hello").await;
            let state = || async { desk.texts(DELIVERIES).await.get(seen).cloned() };
            desk.service.wait_until("the refusal", || async { state().await.as_deref() == Some(expected) }).await;
        }
    }

    async fn a_27_statuses_in_any_order(desk) {
        let anna = desk.customer();
        desk.text(&anna, "Hello").await;
        let wamid = desk.sent_are(1).await[0].wamid.clone();
        for word in ["read", "delivered", "sent"] {
            tell(&desk, Status::new(&wamid, word, &anna)).await;
        }
        desk.texts_are("select status || case when delivered_at > 0 and read_at > 0 and sent_at > 0 then ' all' else '' end \
            from deliveries where whatsapp_account_id = $account", &["read all"]).await;
    }

    async fn a_28_a_failed_status_has_its_reason(desk) {
        let anna = desk.customer();
        desk.text(&anna, "Hello").await;
        let wamid = desk.sent_are(1).await[0].wamid.clone();
        desk.texts_are(DELIVERIES, &["sent -"]).await;
        tell(&desk, Status::new(&wamid, "failed", &anna).with_error(131_026, "Undeliverable")).await;
        desk.texts_are(DELIVERIES, &["failed undeliverable"]).await;
    }

    async fn a_29_a_templates_status(desk) {
        let value = json!({"event": "APPROVED", "message_template_id": 1, "message_template_name": "hello", "message_template_language": "es"});
        desk.tell_of(&desk.waba(), "message_template_status_update", &value).await;
        desk.texts_are("select name || ' ' || status from templates where tenant_id = $tenant", &["hello APPROVED"]).await;
    }

    async fn a_30_every_kind_of_message(desk) {
        let anna = desk.customer();
        let messages = [
            Incoming::image(&anna, None), Incoming::voice(&anna), Incoming::document(&anna, "bill.pdf"),
            Incoming::location(&anna, 1.5, 2.5), Incoming::reaction(&anna, "w", "👍"),
            Incoming::new(&anna, "unsupported", json!({"type": "poll_creation"})),
        ];
        for message in messages {
            desk.say(message).await;
        }
        desk.rest().await;
        let stored = "select text from messages where whatsapp_account_id = $account and direction = 'in' order by id";
        let expected = ["[Image]", "[Voice message]", "[Document: bill.pdf]", "Location: (1.5, 2.5)", "[Reaction: 👍]",
            "[Unsupported message: poll_creation]"];
        assert_eq!(desk.texts(stored).await[..6], expected);
        assert!(desk.questions().iter().all(|q| !q.contains("Reaction") && !q.contains("Unsupported")));
    }

    async fn a_31_nine_thousand_characters_of_markdown(desk) {
        let paragraph = format!("**bold** {}", "word ".repeat(100));
        let long = vec![paragraph; 18].join("\n\n");
        assert!(long.len() > 9_000);
        desk.world.responder.next(Some(&desk.chatbot), [Answer::Text(long)]);
        desk.text(&desk.customer(), "Everything, please").await;
        let sent = desk.sent_are(3).await;
        assert!(sent.iter().all(|s| s.text().chars().count() <= 4_096 && s.text().contains("*bold*") && !s.text().contains("**")));
        desk.texts_are(DELIVERIES, &["sent -"; 3]).await;
    }

    async fn a_35_a_change_over_the_api_counts_at_once(desk) {
        desk.text(&desk.customer(), "one").await;
        desk.sent_are(1).await;
        let answer = desk.api_with("PATCH", &format!("/api/v1/chatbots/{}", desk.chatbot), json!({"paused": true})).await;
        assert_eq!(answer["success"], true, "{answer}");
        desk.text(&desk.customer(), "two").await;
        let notes = "select note from messages where whatsapp_account_id = $account and note is not null";
        desk.texts_are(notes, &["chatbot_paused"]).await;
        let answer = desk.api_with("PATCH", &format!("/api/v1/chatbots/{}", desk.chatbot), json!({"paused": false, "handOffWords": false})).await;
        assert_eq!(answer["data"]["handOffWords"], false, "{answer}");
        desk.text(&desk.customer(), "human").await;
        desk.sent_are(2).await;
    }

    /// What the API's own tests go through in detail.
    async fn a_36_an_integration_from_birth_to_end(desk) {
        let (number, chatbot) = (format!("{}36", desk.number), format!("{}-new", desk.chatbot));
        desk.world.graph.register(Number::new(&number).waba("waba-36"));
        let new = json!({"chatbotId": chatbot, "phoneNumberId": number, "accessToken": "a-new-access-token",
            "verifyToken": format!("verify-{number}"), "businessAccountId": "waba-36", "webhookUrl": "https://example.com/webhook"});
        let made = desk.api_with("POST", "/api/v1/whatsapp/integration", new.clone()).await;
        assert_eq!((&made["success"], &made["data"]["status"]), (&json!(true), &json!("active")), "{made}");
        assert_eq!(desk.api_with("POST", "/api/v1/whatsapp/integration", new.clone()).await["status"], 409);
        let mut short = new;
        (short["chatbotId"], short["verifyToken"]) = ("another".into(), "short".into());
        assert_eq!(desk.api_with("POST", "/api/v1/whatsapp/integration", short).await["status"], 400);
        let path = format!("/api/v1/whatsapp/integration?chatbotId={chatbot}");
        assert!(!desk.api("GET", &path).await.to_string().contains("a-new-access-token"));
        assert_eq!(desk.api_with("PATCH", &path, json!({})).await["status"], 400);
        let anna = desk.customer();
        desk.service.deliver(&number, [Incoming::text(&anna, "Hi")]).await;
        let asked = || async { desk.world.responder.received_for(&chatbot).len() == 1 };
        desk.service.wait_until("the new chatbot's question", asked).await;
        assert_eq!(desk.api("DELETE", &path).await["success"], true);
        desk.service.deliver(&number, [Incoming::text(&anna, "Still there?")]).await;
        let state = format!("select reason from event_states where phone_number_id = '{number}'");
        desk.texts_are(&state, &["account_deleted"]).await;
        let strangers = desk.api("GET", "/api/v1/whatsapp/integration?chatbotId=ecommerce-chatbot-id").await;
        assert_eq!((&strangers["success"], &strangers["data"]), (&json!(false), &serde_json::Value::Null));
    }

    async fn a_37_a_person_and_back(desk) {
        let anna = desk.customer();
        desk.text(&anna, "one").await;
        desk.sent_are(1).await;
        let conversation = desk.conversation(&anna).await;
        desk.api("POST", &format!("/api/v1/conversations/{conversation}/hand-over")).await;
        desk.text(&anna, "two").await;
        let notes = "select note from messages where whatsapp_account_id = $account and note is not null";
        desk.texts_are(notes, &["handed_over"]).await;
        desk.api("POST", &format!("/api/v1/conversations/{conversation}/hand-back")).await;
        desk.text(&anna, "three").await;
        desk.sent_are(2).await;
        assert_eq!(desk.asked().pop().unwrap().history()[2].1, "two");
    }

    async fn a_38_a_customer_with_a_username_only(desk) {
        let user = format!("US.{}", desk.customer());
        desk.say(Incoming::text("0", "Hi").with_user_id(&user).without_phone()).await;
        assert_eq!(desk.sent_are(1).await[0].body["recipient"], user);
    }

    /// Everything a customer left, by the phone number alone: handed out whole, then gone. `contacts` goes deeper.
    async fn a_39_a_customer_wants_to_be_forgotten(desk) {
        let (anna, bert) = (desk.customer(), desk.customer());
        desk.text(&bert, "Bert's words").await;
        desk.sent_are(1).await;
        desk.text(&anna, "A pink hat").await;
        desk.sent_are(2).await;
        fault(&desk, Fault::error(400, 131_026));
        desk.text(&anna, "A pink scarf").await;
        let failed = "select reason from deliveries where whatsapp_account_id = $account and status = 'failed'";
        desk.texts_are(failed, &["undeliverable"]).await;
        desk.world.responder.next(Some(&desk.chatbot), [Answer::BadRequest]);
        let photo = desk.world.graph.put_file(File::new("image/png", "pink pixels"));
        desk.say(Incoming::new(&anna, "image", json!({"id": photo, "mime_type": "image/png", "caption": "A pink photo"}))).await;
        let files = "select status from media where tenant_id = $tenant";
        desk.texts_are(files, &["stored"]).await;
        let dead = "select status from turns where tenant_id = $tenant and status = 'dead'";
        desk.texts_are(dead, &["dead"]).await;
        let letters = || async {
            let lists = ["dead", "failed"].map(|status| format!("/api/v1/dead-letters?status={status}"));
            let [dead, failed] = lists.each_ref().map(|path| desk.api("GET", path));
            [dead.await, failed.await].map(|list| list["data"].as_array().unwrap().len())
        };
        assert_eq!(letters().await, [1, 1], "a turn and a delivery");

        let found = desk.api("GET", &format!("/api/v1/contacts?q={anna}")).await;
        assert_eq!(found["data"].as_array().unwrap().len(), 1, "{found}");
        let contact = format!("/api/v1/contacts/{}", found["data"][0]["id"].as_str().unwrap());
        let export = desk.api("GET", &format!("{contact}/export")).await["data"].clone();
        assert_eq!(export["phone"], anna);
        let said = export["messages"].to_string();
        for words in ["A pink hat", "A pink scarf", "A pink photo", "undeliverable", "med_"] {
            assert!(said.contains(words), "{words} is not handed out: {said}");
        }
        assert!(!said.contains("Bert"), "{said}");

        assert_eq!(desk.api("DELETE", &contact).await["success"], true);
        assert_eq!(desk.api("GET", &format!("/api/v1/contacts?q={anna}")).await["data"], json!([]));
        assert_eq!((desk.texts(files).await, desk.texts(dead).await, letters().await), (vec![], vec![], [0, 0]));
        let words = "select text from messages where whatsapp_account_id = $account and text <> '' \
            union all select text from deliveries where whatsapp_account_id = $account and text <> '' \
            union all select value from contact_aliases where tenant_id = $tenant \
            union all select coalesce(name, '') from contacts where tenant_id = $tenant and erased_at is not null";
        let left = desk.texts(words).await.join(" ");
        assert!(left.contains("Bert's words") && !left.contains("pink") && !left.contains(&anna), "{left}");
        assert_eq!(desk.api("GET", &contact).await["status"], 404);
    }
}
