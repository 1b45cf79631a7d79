//! Tests of [`super`], with bodies in the shapes Meta sends.

use serde_json::json;

use super::*;
use crate::graph::payload::split;

/// A change as the door hands it over.
fn change(field: &str, value: &Value) -> Change {
    let body = json!({"object": "whatsapp_business_account",
        "entry": [{"id": "102290129340398", "changes": [{"field": field, "value": value}]}]});
    split(body.to_string().as_bytes()).unwrap().changes.remove(0)
}

fn items(mut value: Value) -> Vec<Item> {
    value["messaging_product"] = json!("whatsapp");
    value["metadata"] = json!({"display_phone_number": "15550783881", "phone_number_id": "106540352242922"});
    normalize(&change("messages", &value))
}

fn inbound(items: Vec<Item>) -> Inbound {
    match items.into_iter().next() {
        Some(Item::Message(inbound)) => inbound,
        other => panic!("no message: {other:?}"),
    }
}

/// One message with a sender, its own fields added.
fn said(mut fields: Value) -> Inbound {
    for (key, value) in [("from", "16505551234"), ("id", "wamid.A"), ("timestamp", "1749416383")] {
        if fields.get(key).is_none() {
            fields[key] = json!(value);
        }
    }
    inbound(items(json!({"messages": [fields]})))
}

#[test]
fn a_text_message_whole() {
    let inbound = inbound(items(json!({
        "contacts": [{"profile": {"name": "Sheena Nelson"}, "wa_id": "16505551234", "user_id": "US.1349", "parent_user_id": "US.ENT.11"}],
        "messages": [{"from": "16505551234", "from_user_id": "US.1349", "id": "wamid.HBgL=", "timestamp": "1749416383",
            "type": "text", "text": {"body": "Does it come in another color?"}}]})));
    let expected = Inbound {
        phone_number_id: "106540352242922".into(),
        business_account_id: "102290129340398".into(),
        wamid: "wamid.HBgL=".into(),
        sender: Sender {
            wa_id: Some("16505551234".into()),
            user_id: Some("US.1349".into()),
            parent_user_id: Some("US.ENT.11".into()),
            name: Some("Sheena Nelson".into()),
        },
        sent_at: 1_749_416_383_000,
        kind: "text".into(),
        text: "Does it come in another color?".into(),
        answerable: true,
        media: None,
        voice: Voice::Customer,
    };
    assert_eq!(inbound, expected);
}

#[test]
fn every_type_reads_well() {
    for (message, text, answerable) in [
        (json!({"type": "text", "text": {"body": "سلام 👋"}}), "سلام 👋", true),
        (json!({"type": "text", "text": {"body": " "}}), "[Empty text]", false),
        (json!({"type": "button", "button": {"payload": "P", "text": "Yes"}}), "Yes", true),
        (
            json!({"type": "interactive", "interactive": {"type": "button_reply", "button_reply": {"id": "1", "title": "Cancel"}}}),
            "Cancel",
            true,
        ),
        (
            json!({"type": "interactive", "interactive": {"type": "list_reply", "list_reply": {"id": "1", "title": "Priority", "description": "Next day"}}}),
            "Priority",
            true,
        ),
        (
            json!({"type": "interactive", "interactive": {"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent",
            "response_json": "{\"flow_token\":\"t\",\"date\":\"2026-11-20\",\"seats\":2,\"extras\":[\"a\",\"b\"]}"}}}),
            "date: 2026-11-20\nextras: a, b\nseats: 2",
            true,
        ),
        (
            json!({"type": "interactive", "interactive": {"type": "nfm_reply", "nfm_reply": {"body": "Sent", "response_json": "{\"flow_token\":\"t\"}"}}}),
            "Sent",
            true,
        ),
        (
            json!({"type": "interactive", "interactive": {"type": "nfm_reply", "nfm_reply": {"response_json": "no json"}}}),
            "no json",
            true,
        ),
        (
            json!({"type": "interactive", "interactive": {"type": "call_permission_reply", "call_permission_reply": {"response": "accept"}}}),
            "[Interactive: call_permission_reply]",
            false,
        ),
        (json!({"type": "image", "image": {"id": "1", "caption": "This one"}}), "This one", true),
        (json!({"type": "image", "image": {"id": "1"}}), "[Image]", true),
        (json!({"type": "video", "video": {"id": "1"}}), "[Video]", true),
        (json!({"type": "audio", "audio": {"id": "1", "voice": true}}), "[Voice message]", true),
        (json!({"type": "audio", "audio": {"id": "1"}}), "[Audio]", true),
        (json!({"type": "sticker", "sticker": {"id": "1"}}), "[Sticker]", true),
        (
            json!({"type": "document", "document": {"id": "1", "filename": "bill.pdf"}}),
            "[Document: bill.pdf]",
            true,
        ),
        (json!({"type": "document", "document": {"id": "1"}}), "[Document]", true),
        (
            json!({"type": "location", "location": {"latitude": 37.5, "longitude": -122.25, "name": "Philz", "address": "101 Forest Ave", "url": "https://p.co"}}),
            "Location: Philz, 101 Forest Ave (37.5, -122.25) https://p.co",
            true,
        ),
        (json!({"type": "location", "location": {"latitude": 1, "longitude": 2}}), "Location: (1, 2)", true),
        (
            json!({"type": "contacts", "contacts": [
            {"name": {"formatted_name": "Barbara J."}, "phones": [{"phone": "+1 650"}], "emails": [{"email": "b@x.co"}]},
            {"name": {"first_name": "Ann"}}, {"org": {"company": "Acme"}}, {"vcard": "…"}]}),
            "Contact: Barbara J., +1 650, b@x.co\nContact: Ann\nContact: Acme\nContact: without a name",
            true,
        ),
        (
            json!({"type": "order", "order": {"catalog_id": "1", "text": "Gift wrap", "product_items": [
            {"product_retailer_id": "SKU1", "quantity": 2, "item_price": 9.99, "currency": "USD"}, {}]}}),
            "Order:\n- 2 × SKU1 at 9.99 USD\n- ? × ?\nGift wrap",
            true,
        ),
        (
            json!({"type": "reaction", "reaction": {"message_id": "m", "emoji": "👍"}}),
            "[Reaction: 👍]",
            false,
        ),
        (json!({"type": "reaction", "reaction": {"message_id": "m"}}), "[Reaction removed]", false),
        (
            json!({"type": "system", "system": {"body": "User A changed", "type": "user_changed_number"}}),
            "User A changed",
            false,
        ),
        (
            json!({"type": "edit", "edit": {"original_message_id": "m", "message": {"type": "text", "text": {"body": "new"}}}}),
            "[Edited: new]",
            false,
        ),
        (
            json!({"type": "edit", "edit": {"message": {"type": "edit", "edit": {}}}}),
            "[Edited message]",
            false,
        ),
        (json!({"type": "revoke", "revoke": {"original_message_id": "m"}}), "[Deleted message]", false),
        (
            json!({"type": "unsupported", "unsupported": {"type": "poll_creation"}, "errors": [{"code": 131051}]}),
            "[Unsupported message: poll_creation]",
            false,
        ),
        (json!({"type": "unsupported", "errors": [{"code": 131051}]}), "[Unsupported message]", false),
        (json!({"type": "hologram", "hologram": {}}), "[Message of type hologram]", false),
        (json!({"text": {"body": "typeless"}}), "[Message of type unknown]", false),
        (json!({"type": "text", "text": "not an object"}), "[Empty text]", false),
        (json!({"type": "text", "text": {"body": "hi"}, "group_id": "G1"}), "hi", false),
    ] {
        let inbound = said(message.clone());
        assert_eq!((inbound.text.as_str(), inbound.answerable), (text, answerable), "{message}");
        assert_eq!(inbound.kind, message["type"].as_str().unwrap_or("unknown"));
    }
}

#[test]
fn a_sender_is_joined_by_identity_never_by_place() {
    let contacts = json!([
        {"profile": {"name": "Other"}, "wa_id": "1", "user_id": "US.1"},
        {"profile": {"username": "@ann"}, "user_id": "US.2"},
        {"profile": {"name": "Old owner"}, "wa_id": "3", "user_id": "US.3"},
        {"profile": {"name": "Legacy"}, "wa_id": 4},
    ]);
    let of = |from: Value| {
        let mut message = json!({"id": "w", "type": "text", "text": {"body": "x"}});
        message.as_object_mut().unwrap().extend(from.as_object().unwrap().clone());
        inbound(items(json!({"contacts": contacts, "messages": [message]}))).sender
    };
    for (from, wa_id, user_id, name) in [
        (json!({"from": "1"}), Some("1"), Some("US.1"), Some("Other")),
        (json!({"from_user_id": "US.1"}), Some("1"), Some("US.1"), Some("Other")),
        (json!({"from_user_id": "US.2"}), None, Some("US.2"), Some("@ann")),
        (json!({"from": "3", "from_user_id": "US.new"}), Some("3"), Some("US.new"), None),
        (json!({"from": 4, "from_user_id": "US.4"}), Some("4"), Some("US.4"), Some("Legacy")),
        (json!({"from": "+15"}), Some("15"), None, None),
        (json!({"from": "US.13491208655302741918"}), None, Some("US.13491208655302741918"), None),
        (json!({"from": "US.2"}), None, Some("US.2"), Some("@ann")),
    ] {
        let sender = of(from.clone());
        assert_eq!(
            (sender.wa_id.as_deref(), sender.user_id.as_deref(), sender.name.as_deref()),
            (wa_id, user_id, name),
            "{from}"
        );
    }
}

#[test]
fn statuses_carry_their_error_and_attempt() {
    let status = |fields: Value| {
        let items = items(json!({"statuses": [fields]}));
        match items.into_iter().next() {
            Some(Item::Status(update)) => update,
            other => panic!("no status: {other:?}"),
        }
    };
    let failed = status(
        json!({"id": "wamid.S", "status": "failed", "timestamp": 1750263773, "recipient_id": "1650",
        "biz_opaque_callback_data": "attempt-7",
        "errors": [{"code": 131047, "title": "Re-engagement message", "error_data": {"details": "More than 24 hours"}}]}),
    );
    let expected = StatusUpdate {
        phone_number_id: "106540352242922".into(),
        wamid: "wamid.S".into(),
        status: Some(DeliveryStatus::Failed),
        at: 1_750_263_773_000,
        callback: Some("attempt-7".into()),
        error_code: Some(131047),
        error_text: Some("More than 24 hours".into()),
        participant: None,
        pricing: None,
    };
    assert_eq!(failed, expected);
    for (word, expected) in [
        ("sent", Some(DeliveryStatus::Sent)),
        ("delivered", Some(DeliveryStatus::Delivered)),
        ("read", Some(DeliveryStatus::Read)),
        ("played", Some(DeliveryStatus::Played)),
        ("deleted", None),
        ("dead", None),
        ("cancelled", None),
    ] {
        assert_eq!(status(json!({"id": "w", "status": word})).status, expected, "{word}");
    }
}

#[test]
fn a_file_is_known_by_metas_id() {
    let part = json!({"id": "881", "mime_type": "application/pdf", "sha256": "ab=", "filename": "bill.pdf"});
    let with = said(json!({"type": "document", "document": part}));
    let expected = Attachment {
        id: "881".into(),
        mime_type: "application/pdf".into(),
        sha256: Some("ab=".into()),
        filename: Some("bill.pdf".into()),
    };
    assert_eq!(with.media, Some(expected));
    for without in [
        json!({"type": "image", "image": {"caption": "lost"}}),
        json!({"type": "order", "order": {"id": "1"}}),
    ] {
        assert_eq!(said(without).media, None);
    }
}

#[test]
fn one_bad_item_spoils_no_other() {
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let body = format!(
        r#"{{"entry":[{{"id":"W","changes":[{{"field":"messages","value":{{"metadata":{{"phone_number_id":1}},
        "contacts":[null,7,{{"wa_id":"9","profile":{{"name":"\ud83dA\u0000nn"}}}}],
        "messages":[7,{{"id":"no sender","type":"text"}},{{"from":"9","type":"text"}},{{"from":"9","id":"d","x":{deep}}},
            {{"from":"9","id":"{}"}},{{"from":"9","id":"ok","timestamp":"soon","type":"text","text":{{"body":"\u0000hi\ud83d","body":"hi\ud83d"}}}}],
        "statuses":["x",{{"status":"sent"}},{{"id":"s","status":"sent"}}],
        "errors":[{{"code":130429,"title":"Rate limit hit"}},{{}}]}}}}]}}]}}"#,
        "w".repeat(256)
    );
    let items = normalize(&split(body.as_bytes()).unwrap().changes[0]);
    let short: Vec<String> = items
        .iter()
        .map(|item| match item {
            Item::Message(m) => format!("{} {} {} {:?}", m.wamid, m.text, m.sent_at, m.sender.name),
            Item::Status(s) => format!("{} {:?}", s.wamid, s.status),
            Item::Notice { reason } => reason.clone(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        short,
        [
            "message without a usable ID",
            "message without a sender",
            "message without a usable ID",
            "message without a usable ID",
            "message without a usable ID",
            "ok hi\u{fffd} 0 Some(\"\u{fffd}Ann\")",
            "status without a usable ID",
            "status without a usable ID",
            "s Some(Sent)",
            "Meta reports error 130429: Rate limit hit",
            "Meta reports an error",
        ]
    );
}

#[test]
fn only_the_field_messages_yields_messages() {
    let value = json!({"metadata": {"phone_number_id": "1"},
        "messages": [{"from": "2", "id": "w", "type": "text", "text": {"body": "old"}}]});
    for field in
        ["standby", "history", "smb_message_echoes", "message_echoes", "calls", "user_preferences", "", "neu"]
    {
        let items = normalize(&change(field, &value));
        assert!(matches!(&items[..], [Item::Notice { .. }]), "{field}: {items:?}");
    }
}

#[test]
fn routing_comes_from_the_change_alone() {
    let mut change = change(
        "messages",
        &json!({"metadata": {"phone_number_id": "1"}, "messages": [{"from": "2", "id": "w"}]}),
    );
    change.phone_number_id = Some("verified".into());
    assert_eq!(inbound(normalize(&change)).phone_number_id, "verified");
    change.phone_number_id = None;
    assert_eq!(normalize(&change), [notice("no phone number ID")]);
}

#[test]
fn an_empty_change_still_says_so() {
    for value in [json!({}), json!({"conversation_context": {}}), json!({"messages": []})] {
        assert!(matches!(&items(value)[..], [Item::Notice { .. }]));
    }
    for value in [json!(null), json!(7), json!([])] {
        assert_eq!(normalize(&change("messages", &value)), [notice("no readable value")]);
    }
}
