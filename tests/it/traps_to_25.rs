//! The traps of Meta's webhook, numbered, one test each: signatures, shapes, people, statuses.

use serde_json::{Value, json};
use switchboard::graph::signature::{HEADER, sign};
use switchboard::sandbox::http_client;
use switchboard::sandbox::webhook::{Change, Incoming, Sender, Status, body, new_wamid};

use crate::at_a_desk;
use crate::harness::shared::Desk;
use crate::harness::{APP_SECRET, Onboard};

/// Status and body of an answer to these bytes under these headers.
async fn post(desk: &Desk, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let mut request = http_client().unwrap().post(format!("{}/webhook", desk.service.running.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.body(body.to_owned()).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// A customer's message, written long ago.
fn said(from: &str, text: &str) -> Value {
    json!({"id": new_wamid(), "from": from, "timestamp": "1700000000", "type": "text", "text": {"body": text}})
}

at_a_desk! {
    async fn trap_01_exactly_200(desk) {
        let answer = desk.service.post(desk.body(Incoming::text(&desk.customer(), "Hi"))).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"success":true,"message":"Webhook received"}"#));
    }

    async fn trap_02_the_signature_is_over_raw_bytes(desk) {
        let escaped = desk.body(Incoming::text(&desk.customer(), "PLACE")).replace("PLACE", r"\u00e4\u00f6 \/ ok");
        let signature = sign(APP_SECRET.as_bytes(), escaped.as_bytes());
        let unescaped = escaped.replace(r"\u00e4\u00f6 \/", "äö /");
        assert_eq!(post(&desk, &[(HEADER, &signature)], &unescaped).await.0, 401);
        assert_eq!(post(&desk, &[(HEADER, &signature)], &escaped).await.0, 200);
        desk.sent_are(1).await;
        assert_eq!(desk.questions(), ["äö / ok"]);
    }

    async fn trap_03_sha_1_is_refused(desk) {
        let text = desk.body(Incoming::text(&desk.customer(), "Hi"));
        for name in ["X-Hub-Signature", HEADER] {
            assert_eq!(post(&desk, &[(name, "sha1=dec6a680679a968e7e0319355b23599cbfc54502")], &text).await.0, 401);
        }
    }

    async fn trap_04_a_secret_speaks_for_its_own_accounts(desk) {
        let (number, chatbot) = (format!("{}4", desk.number), format!("{}-own", desk.chatbot));
        let secret = format!("secret-{number}");
        desk.another(&chatbot, |wish| {
            wish.number = &number;
            wish.app_secret = Some(&secret);
        })
        .await;
        let own = Sender::new(format!("{}/webhook", desk.service.running.url()), &secret).unwrap();
        let forged = desk.body(Incoming::text(&desk.customer(), "Forged"));
        assert_eq!(own.send(forged).await.unwrap().status, 200);
        assert_eq!(desk.rest().await.len(), 0);
        let state = "select state from event_states where phone_number_id = $number";
        assert_eq!(desk.texts(state).await, ["refused"]);
    }

    async fn trap_05_three_mebibytes(desk) {
        let text = desk.body(Incoming::text(&desk.customer(), "Large"));
        let padded = |size: usize| format!("{text}{}", " ".repeat(size - text.len()));
        assert_eq!(desk.service.post(padded((3 << 20) + 1)).await.status, 413);
        desk.post(padded(3 << 20)).await;
        desk.sent_are(1).await;
    }

    async fn trap_06_a_thousand_updates_in_one_body(desk) {
        let anna = desk.customer();
        let mut change = Change::new(&desk.number).message(Incoming::text(&anna, "Hi"));
        for n in 0..499 {
            change = change.message(Incoming::reaction(&anna, "wamid.x", "👍"));
            change = change.status(Status::new(&format!("wamid.{}.{n}", desk.number), "read", &anna));
        }
        change = change.status(Status::new(&format!("wamid.{}", desk.number), "read", &anna));
        desk.post(body(&[change])).await;
        desk.sent_are(1).await;
        desk.texts_are("select cast(count(*) as text) from messages where whatsapp_account_id = $account and direction = 'in'", &["500"]).await;
        desk.texts_are("select cast(count(*) as text) from early_statuses where whatsapp_account_id = $account", &["500"]).await;
    }

    async fn trap_07_one_bad_item_spoils_no_other(desk) {
        let value = json!({"messages": [7, null, {"id": "x"}, {"from": "1"}, desk.fresh(&desk.customer(), "good"), {"id": {}}],
            "statuses": ["?"], "errors": [{}]});
        desk.tell("messages", value).await;
        desk.sent_are(1).await;
        assert_eq!(desk.questions(), ["good"]);
    }

    async fn trap_08_messages_and_statuses_mixed(desk) {
        let anna = desk.customer();
        desk.text(&anna, "one").await;
        let wamid = desk.sent_are(1).await[0].wamid.clone();
        let change = Change::new(&desk.number).message(Incoming::text(&anna, "two")).status(Status::new(&wamid, "read", &anna));
        desk.post(body(&[change])).await;
        desk.sent_are(2).await;
        desk.texts_are("select status from deliveries where whatsapp_account_id = $account order by id", &["read", "sent"]).await;
    }

    async fn trap_09_three_tenants_in_one_body(desk) {
        let numbers = [format!("{}1", desk.number), format!("{}2", desk.number)];
        for number in &numbers {
            let chatbot = format!("bot-of-{number}");
            let tenant = format!("tenant-of-{number}");
            let wish = Onboard { tenant: &tenant, chatbot: &chatbot, number, ..Onboard::default() };
            desk.service.onboard(wish).await;
        }
        let anna = desk.customer();
        let all = [&desk.number, &numbers[0], &numbers[1]];
        let changes: Vec<Change> =
            all.iter().map(|n| Change::new(n).message(Incoming::text(&anna, &format!("for {n}")))).collect();
        desk.post(body(&changes)).await;
        let answers = || desk.world.graph.sent().into_iter().filter(|s| s.to == anna).collect::<Vec<_>>();
        desk.service.wait_until("three answers", || async { answers().len() == 3 }).await;
        for sent in answers() {
            assert!(sent.text().contains(&format!("for {}", sent.phone_number_id)), "{}", sent.text());
        }
    }

    async fn trap_10_unknown_fields_and_types(desk) {
        desk.tell("tomorrows_field", json!({"messages": [said("1", "?")]})).await;
        desk.say(Incoming::new(&desk.customer(), "hologram", json!({"id": "1"}))).await;
        assert_eq!(desk.rest().await.len(), 0);
        assert_eq!(desk.texts("select kind from messages where whatsapp_account_id = $account and note is not null").await, ["hologram"]);
    }

    async fn trap_11_no_contacts(desk) {
        desk.tell("messages", json!({"messages": [desk.fresh(&desk.customer(), "Hi")]})).await;
        desk.sent_are(1).await;
    }

    async fn trap_12_neither_from_nor_wa_id(desk) {
        let user = format!("US.{}", desk.customer());
        desk.say(Incoming::text("0", "Hi").with_user_id(&user).without_phone()).await;
        assert_eq!(desk.sent_are(1).await[0].body["recipient"], user);
        let mut nobody = said("", "who?");
        nobody.as_object_mut().unwrap().remove("from");
        desk.tell("messages", json!({"messages": [nobody]})).await;
        desk.texts_are("select reason from event_states where phone_number_id = $number", &["message without a sender"]).await;
    }

    async fn trap_13_a_user_id_in_from(desk) {
        let user = format!("US.{}", desk.customer());
        desk.say(Incoming::text(&user, "Hi")).await;
        assert_eq!(desk.sent_are(1).await[0].body["recipient"], user);
    }

    async fn trap_14_ids_and_times_as_numbers(desk) {
        let (from, now) = (desk.customer(), desk.world.clock.now_ms() / 1000);
        let number = &desk.number;
        desk.post(format!(
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":1,"changes":[{{"field":"messages","value":{{"metadata":
            {{"phone_number_id":{number}}},"messages":[{{"id":"w{from}","from":{from},"timestamp":{now},"type":"text",
            "text":{{"body":"Hi"}}}}]}}}}]}}]}}"#
        ))
        .await;
        assert_eq!(desk.sent_are(1).await[0].to, from);
    }

    async fn trap_15_a_nul_in_text_and_name(desk) {
        let message = Incoming::text(&desk.customer(), "be\u{0}fore").with_name("An\u{0}na");
        desk.say(message).await;
        desk.sent_are(1).await;
        assert_eq!(desk.questions(), ["before"]);
        assert_eq!(desk.texts("select name from contacts where tenant_id = $tenant").await, ["Anna"]);
    }

    async fn trap_16_half_a_surrogate_pair(desk) {
        desk.post(desk.body(Incoming::text(&desk.customer(), "PLACE")).replace("PLACE", r"a\ud83db")).await;
        desk.sent_are(1).await;
        assert_eq!(desk.questions(), ["a\u{fffd}b"]);
    }

    async fn trap_17_the_same_message_again(desk) {
        let number = format!("{}7", desk.number);
        let chatbot = format!("bot-of-{number}");
        desk.another(&chatbot, |wish| wish.number = &number).await;
        let anna = desk.customer();
        let message = Incoming::text(&anna, "once");
        // Twice in a body, in two bodies at a time; and, with the same id, to another number.
        let twice = Change::new(&desk.number).message(message.clone()).message(message.clone());
        let other = body(&[Change::new(&number).message(message.clone())]);
        tokio::join!(desk.post(body(&[twice])), desk.post(desk.body(message.clone())), desk.post(other));
        desk.post(desk.body(message)).await;
        let others = || async { desk.world.responder.received_for(&chatbot).len() == 1 };
        desk.service.wait_until("the other number's question", others).await;
        assert_eq!(desk.rest().await.len(), 1);
    }

    async fn trap_18_statuses_out_of_order(desk) {
        let anna = desk.customer();
        desk.text(&anna, "Hi").await;
        let wamid = desk.sent_are(1).await[0].wamid.clone();
        let state = "select status || case when sent_at is null then '' else ' sent' end || case when delivered_at is null \
            then '' else ' delivered' end from deliveries where whatsapp_account_id = $account";
        for (word, expected) in [("read", "read sent"), ("delivered", "read sent delivered"), ("sent", "read sent delivered")] {
            desk.post(body(&[Change::new(&desk.number).status(Status::new(&wamid, word, &anna))])).await;
            desk.texts_are(state, &[expected]).await;
        }
    }

    async fn trap_19_played_and_words_nobody_knows(desk) {
        let anna = desk.customer();
        desk.text(&anna, "Hi").await;
        let wamid = desk.sent_are(1).await[0].wamid.clone();
        for word in ["warped", "dead", "played", "deleted"] {
            desk.post(body(&[Change::new(&desk.number).status(Status::new(&wamid, word, &anna))])).await;
        }
        desk.texts_are("select status from deliveries where whatsapp_account_id = $account", &["played"]).await;
    }

    async fn trap_20_history_with_messages(desk) {
        desk.tell("history", json!({"messages": [desk.fresh(&desk.customer(), "half a year old")]})).await;
        assert_eq!(desk.rest().await.len(), 0);
    }

    async fn trap_21_the_phone_apps_echo(desk) {
        let anna = desk.customer();
        let mut echo = desk.fresh("15550000000", "Maria here");
        echo["to"] = anna.clone().into();
        desk.tell("smb_message_echoes", json!({ "message_echoes": [echo] })).await;
        desk.text(&anna, "thanks").await;
        assert_eq!(desk.rest().await.len(), 0, "a person has it");
    }

    async fn trap_22_standby(desk) {
        let message = desk.fresh(&desk.customer(), "to another agent");
        desk.tell("standby", json!({"standby": {"messages": [message]}})).await;
        desk.tell("standby", json!({"messages": [desk.fresh(&desk.customer(), "odd")]})).await;
        assert_eq!(desk.rest().await.len(), 0);
    }

    async fn trap_23_a_hand_over_without_metadata(desk) {
        let anna = desk.customer();
        desk.text(&anna, "Hi").await;
        desk.sent_are(1).await;
        let taken = json!({"type": "control_taken", "timestamp": (desk.world.clock.now_ms() / 1000).to_string(),
            "sender": {"phone_number": anna}, "recipient": {"phone_number_id": desk.number}});
        desk.tell_of(&desk.waba(), "messaging_handovers", &taken).await;
        desk.texts_are("select hand_over_reason from threads where phone_number_id = $number", &["control_taken"]).await;
        // One that names nobody is kept.
        let nobody = json!({"type": "control_passed", "recipient": {"phone_number_id": desk.number}});
        desk.tell_of(&desk.waba(), "messaging_handovers", &nobody).await;
        desk.texts_are("select reason from event_states where phone_number_id = $number", &["a hand-over that names no customer"]).await;
    }

    async fn trap_24_system_messages_have_no_contacts(desk) {
        let (old, new) = (desk.customer(), desk.customer());
        let system = json!({"id": new_wamid(), "from": old, "timestamp": "1700000000", "type": "system",
            "system": {"type": "user_changed_number", "wa_id": new, "body": format!("A changed from {old} to {new}")}});
        desk.tell("messages", json!({ "messages": [system] })).await;
        assert_eq!(desk.rest().await.len(), 0);
        let kept = desk.texts("select kind || ' ' || note from messages where whatsapp_account_id = $account and note is not null");
        assert_eq!(kept.await, ["system not_answerable"]);
    }

    async fn trap_25_a_recycled_number(desk) {
        let phone = desk.customer();
        for (user, text) in [("US.former", "my secret"), ("US.new", "who am I?")] {
            desk.say(Incoming::text(&phone, text).with_user_id(user)).await;
        }
        desk.sent_are(2).await;
        let asked = desk.asked().into_iter().find(|r| r.history().last().is_some_and(|(_, w)| w == "who am I?")).unwrap();
        assert_eq!(asked.history().len(), 1);
        assert_eq!(asked.body["user"]["uniqueClientId"], format!("whatsapp_{phone}_{}_2", desk.chatbot));
    }
}
