//! Webhooks in the shapes of 2024.10 and 2026, as they become changes.

use super::*;

fn event(body: Value) -> Event {
    Event::parse(body.to_string().as_bytes()).unwrap()
}

fn change(body: Value) -> Option<(String, Value)> {
    let mut changes = event(body).changes("ses_7", None);
    assert!(changes.len() <= 1);
    let change = changes.pop()?;
    assert_eq!((change.entry_id.as_str(), change.phone_number_id.as_deref()), ("ses_7", Some("ses_7")));
    let raw: Value = serde_json::from_slice(&change.raw).unwrap();
    assert_eq!(raw["value"]["metadata"]["phone_number_id"], "ses_7");
    Some((change.field, raw["value"].clone()))
}

fn message(payload: Value) -> Option<Value> {
    let body = json!({ "event": "message.any", "session": "default", "me": { "id": "5511900000001@c.us" }, "payload": payload });
    let (field, value) = change(body)?;
    assert_eq!(field, "messages");
    Some(value["messages"][0].clone())
}

#[test]
fn a_text_of_2024_becomes_metas_and_leaves_its_keys_behind() {
    let body = json!({
        "event": "message", "session": "default", "metadata": { "tenant": "t1" },
        "me": { "id": "5511900000001@c.us", "pushName": "me" },
        "payload": {
            "id": "false_5511988887777@c.us_3AF1C97AA0920E157EF1", "timestamp": 1795200056,
            "from": "5511988887777@c.us", "fromMe": false, "body": "hello", "hasMedia": false, "ack": null,
            "ackName": "UNKNOWN", "replyTo": null,
            "_data": { "pushName": "Alice", "message": { "conversation": "hello" }, "secret": "canary" },
        },
        "engine": "NOWEB",
    });
    let (field, value) = change(body).unwrap();
    assert_eq!(field, "messages");
    assert_eq!(
        value,
        json!({
            "metadata": { "phone_number_id": "ses_7" },
            "contacts": [{ "wa_id": "5511988887777", "profile": { "name": "Alice" } }],
            "messages": [{
                "id": "false_5511988887777@c.us_3AF1C97AA0920E157EF1", "timestamp": "1795200056", "type": "text",
                "text": { "body": "hello" }, "from": "5511988887777",
            }],
        })
    );
    assert!(!value.to_string().contains("canary"));
}

#[test]
fn both_events_of_a_message_are_the_same_bytes() {
    let body = |event: &str, more: Value| {
        let mut body = json!({ "session": "s", "event": event, "payload": {
            "id": "false_15551@c.us_A", "timestamp": 1795200056, "from": "15551234567@c.us", "body": "x", "fromMe": false,
        }});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        super::tests::event(body).changes("ses_7", None).pop().unwrap().raw
    };
    assert_eq!(body("message", json!({})), body("message.any", json!({ "id": "evt_1", "timestamp": 9 })));
}

#[test]
fn nobodys_question_is_nothing_to_keep() {
    let text =
        |from: &str| json!({ "id": format!("false_{from}_A"), "from": from, "fromMe": false, "body": "x" });
    for from in ["120363@g.us", "1203@newsletter", "status@broadcast", "15551@broadcast"] {
        assert_eq!(message(text(from)), None, "{from}");
    }
    // The protocol's own talk has no words; what it shares is a key.
    let share = json!({ "protocolMessage": { "type": "APP_STATE_SYNC_KEY_SHARE", "keyData": "canary" } });
    assert_eq!(
        message(
            json!({ "id": "true_5511900000001@c.us_3A", "from": "5511900000001@c.us", "fromMe": true, "_data": share })
        ),
        None
    );
    // Our own words, come back to us.
    let own = json!({ "id": "true_15551234567@c.us_3E", "to": "15551234567@c.us", "fromMe": true, "source": "api", "body": "x" });
    assert_eq!(message(own), None);
    for kind in ["session.status", "presence.update", "group.v2.join", "message.reaction", "anything"] {
        assert_eq!(
            change(json!({ "event": kind, "session": "s", "payload": text("15551234567@c.us") })),
            None
        );
    }
    for broken in [
        "",
        "[]",
        "{}",
        "{\"session\":1,\"event\":2}",
        "{\"event\":\"message\",\"session\":\"s\",\"payload\":",
    ] {
        assert!(Event::parse(broken.as_bytes()).is_none_or(|event| event.changes("ses_7", None).is_empty()));
    }
    for payload in
        [Value::Null, json!([]), json!({ "from": 7 }), json!({ "from": "15551234567@c.us", "body": "x" })]
    {
        assert_eq!(message(payload), None);
    }
}

#[test]
fn a_person_at_the_phone_is_an_echo() {
    let body = json!({ "event": "message.any", "session": "s", "me": { "id": "5511900000001@c.us" }, "payload": {
        "id": "true_15551234567@c.us_3EB0", "timestamp": { "low": 1795200060, "high": 0, "unsigned": true },
        "fromMe": true, "source": "app", "body": "Ada here", "to": "15551234567@c.us",
    }});
    let (field, value) = change(body).unwrap();
    let echo = &value["message_echoes"][0];
    assert_eq!(field, "smb_message_echoes");
    assert_eq!((&echo["to"], &echo["from"]), (&json!("15551234567"), &json!("5511900000001")));
    assert_eq!((&echo["id"], &echo["timestamp"]), (&json!("3EB0"), &json!("1795200060")));
}

#[test]
fn a_hidden_id_stays_whole_and_gets_its_phone_where_one_is_known() {
    let hidden =
        json!({ "id": "false_777@lid_A", "timestamp": 1, "from": "777@lid", "fromMe": false, "body": "x" });
    let alone = message(hidden.clone()).unwrap();
    assert_eq!((&alone["from"], &alone["from_user_id"]), (&Value::Null, &json!("777@lid")));
    for data in [
        json!({ "key": { "senderPn": "15551234567@s.whatsapp.net" } }),
        json!({ "key": { "remoteJidAlt": "15551234567@s.whatsapp.net" } }),
        json!({ "Info": { "SenderAlt": "15551234567:3@s.whatsapp.net" } }),
    ] {
        let mut known = hidden.clone();
        known["_data"] = data;
        let both = message(known).unwrap();
        assert_eq!((&both["from"], &both["from_user_id"]), (&json!("15551234567"), &json!("777@lid")));
    }
    let event = event(json!({ "event": "message", "session": "s", "payload": hidden }));
    assert_eq!((event.lid(), event.phone()), (Some("777@lid"), None));
    let asked = event.changes("ses_7", Some("15551234567".into())).pop().unwrap();
    assert!(String::from_utf8(asked.raw).unwrap().contains("\"wa_id\":\"15551234567\""));
}

#[test]
fn what_is_no_text_keeps_its_kind_and_its_words() {
    let with = |more: Value| {
        let mut payload =
            json!({ "id": "false_15551234567@c.us_A", "timestamp": 1, "from": "15551234567@c.us" });
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message(payload).unwrap()
    };
    let media = |mime: &str| json!({ "hasMedia": true, "media": { "mimetype": mime, "filename": "a.b", "url": "http://waha/x" } });
    for (mime, kind) in [
        ("image/jpeg", "image"),
        ("image/webp", "sticker"),
        ("video/mp4", "video"),
        ("audio/ogg; codecs=opus", "audio"),
        ("application/pdf", "document"),
    ] {
        let message = with(media(mime));
        assert_eq!(message["type"], kind);
        assert_eq!((&message[kind]["filename"], &message[kind]["id"]), (&json!("a.b"), &Value::Null));
    }
    let mut captioned = media("image/png");
    captioned["body"] = json!("look");
    assert_eq!(with(captioned)["image"]["caption"], "look");
    assert_eq!(with(media("audio/ogg; codecs=opus"))["audio"]["voice"], true);
    let place = json!({ "location": { "latitude": "1.5", "longitude": "2.5", "description": "Here" } });
    assert_eq!(with(place)["location"], json!({ "latitude": "1.5", "longitude": "2.5", "name": "Here" }));
    let card = "BEGIN:VCARD\nFN:Ada\nTEL;type=CELL:+15551234567\nEND:VCARD";
    let cards = with(json!({ "vCards": [card, 7] }));
    assert_eq!(
        cards["contacts"],
        json!([{ "name": { "formatted_name": "Ada" }, "phones": [{ "phone": "+15551234567" }] }])
    );
}

#[test]
fn acknowledgements_are_statuses_by_the_bare_id() {
    let ack = |id: &str, level: i64| {
        change(json!({ "event": "message.ack", "session": "s", "payload": { "id": id, "fromMe": true, "ack": level } }))
            .map(|(_, value)| value["statuses"][0].clone())
    };
    for (level, word) in [(-1, "failed"), (1, "sent"), (2, "delivered"), (3, "read"), (4, "played")] {
        for id in ["true_15551234567@c.us_3EB0", "true_777@lid_3EB0", "3EB0", "true_1@g.us_3EB0_15551@c.us"] {
            assert_eq!(ack(id, level), Some(json!({ "id": "3EB0", "status": word })), "{id}");
        }
    }
    assert_eq!((ack("true_1@c.us_A", 0), ack("true_1@c.us_A", 9)), (None, None));
    let theirs = json!({ "event": "message.ack", "session": "s", "payload": { "id": "false_1@c.us_A", "fromMe": false, "ack": 3 } });
    assert_eq!(change(theirs), None);
}

#[test]
fn a_phone_is_told_from_everything_else() {
    for (jid, digits) in [
        ("15551234567@c.us", Some("15551234567")),
        ("15551234567:12@s.whatsapp.net", Some("15551234567")),
        ("15551234567", Some("15551234567")),
        ("777@lid", None),
        ("120363@g.us", None),
        ("@c.us", None),
        ("+15551234567@c.us", None),
        ("", None),
    ] {
        assert_eq!(digits_of(jid).as_deref(), digits, "{jid}");
    }
}
