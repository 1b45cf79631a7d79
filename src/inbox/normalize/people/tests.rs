//! Tests of [`super`], with values in the shapes Meta has sent.

use serde_json::json;

use super::*;
use crate::graph::payload::split;
use crate::inbox::normalize::normalize;

fn items(field: &str, mut value: Value) -> Vec<Item> {
    value["metadata"] = json!({"display_phone_number": "15550783881", "phone_number_id": "1"});
    let body = json!({"entry": [{"id": "W", "changes": [{"field": field, "value": value}]}]});
    normalize(&split(body.to_string().as_bytes()).unwrap().changes[0])
}

fn names(sender: &Sender) -> String {
    let parts = [&sender.wa_id, &sender.user_id, &sender.parent_user_id];
    parts.map(|part| part.clone().unwrap_or_else(|| "-".into())).join(" ")
}

fn change(items: &[Item]) -> Option<String> {
    items.iter().find_map(|item| match item {
        Item::Rename(r) => Some(format!("{} => {} at {}", names(&r.previous), names(&r.current), r.at)),
        _ => None,
    })
}

#[test]
fn every_shape_of_a_change_of_names_is_read() {
    for (system, from, expected) in [
        (
            json!({"type": "user_changed_number", "body": "User A changed from 111 to 222", "wa_id": "222"}),
            json!({"from": "111"}),
            Some("111 - - => 222 - - at 5000"),
        ),
        (
            json!({"type": "customer_changed_number", "body": "A changed from +111 to +222.", "new_wa_id": "222"}),
            json!({"from": "111"}),
            Some("111 - - => 222 - - at 5000"),
        ),
        (
            json!({"type": "user_changed_number", "body": "A changed from 111 to 222", "wa_id": "222",
                "user_id": "US.2", "previous_user_id": "US.1"}),
            json!({"from": "111", "from_user_id": "US.2"}),
            Some("111 US.1 - => 222 US.2 - at 5000"),
        ),
        (
            json!({"type": "user_changed_number", "body": "A changed from 111 to 222"}),
            json!({}),
            Some("111 - - => 222 - - at 5000"),
        ),
        (
            json!({"type": "user_changed_user_id", "user_id": "US.2", "previous_user_id": "US.1",
                "parent_user_id": "US.ENT.2"}),
            json!({}),
            Some("- US.1 - => - US.2 US.ENT.2 at 5000"),
        ),
        (
            json!({"type": "user_changed_user_id", "body": "User @a changed from US.1 to US.2"}),
            json!({"from_user_id": "US.2"}),
            Some("- US.1 - => - US.2 - at 5000"),
        ),
        (
            json!({"type": "user_changed_user_id", "body": "User @a changed from US.1 to US.2.", "user_id": "US.2"}),
            json!({"from": "111"}),
            Some("- US.1 - => 111 US.2 - at 5000"),
        ),
        (json!({"type": "user_changed_user_id", "user_id": "US.2"}), json!({}), None),
        (
            json!({"type": "customer_identity_changed", "body": "A changed from 1 to 2"}),
            json!({"from": "1"}),
            None,
        ),
        (json!("changed from 1 to 2"), json!({"from": "1"}), None),
    ] {
        let mut message = json!({"id": "w", "timestamp": "5", "type": "system", "system": system});
        message.as_object_mut().unwrap().extend(from.as_object().unwrap().clone());
        let items = items("messages", json!({"messages": [message]}));
        assert_eq!(change(&items).as_deref(), expected, "{system}");
        if expected.is_some() {
            assert!(
                matches!(&items[0], Item::Message(m) if !m.answerable && m.kind == "system"),
                "{items:?}"
            );
        }
    }
    let update = json!({"user_id_update": [{"wa_id": "111", "timestamp": "5", "detail": "…",
        "user_id": {"previous": "US.1", "current": "US.2"},
        "parent_user_id": {"previous": "US.ENT.1", "current": "US.ENT.2"}}, {"user_id": "US.3"}]});
    let items = items("user_id_update", update);
    assert_eq!(change(&items).as_deref(), Some("- US.1 US.ENT.1 => 111 US.2 US.ENT.2 at 5000"));
    assert!(matches!(&items[1..], [Item::Notice { .. }]));
}

#[test]
fn echoes_have_their_customer_in_to() {
    let echo = json!({"from": "15550783881", "to": "16505551234", "id": "w", "timestamp": "5", "type": "text",
        "text": {"body": "I am Maria"}});
    for (field, voice) in [("smb_message_echoes", Voice::Person), ("message_echoes", Voice::Anybody)] {
        let items = items(field, json!({"message_echoes": [echo, {"id": "x"}]}));
        let [Item::Message(said), Item::Notice { .. }] = &items[..] else { panic!("{items:?}") };
        assert_eq!((said.voice, said.answerable, said.text.as_str()), (voice, false, "I am Maria"));
        assert_eq!(names(&said.sender), "16505551234 - -");
    }
    let group = json!({"id": "w", "to": "1", "group_id": "G"});
    let items = items("smb_message_echoes", json!({"message_echoes": [group]}));
    assert!(matches!(&items[..], [Item::Notice { .. }]));
}

#[test]
fn standby_is_heard_on_both_sides() {
    let customer = json!({"from": "16505551234", "id": "w", "type": "text", "text": {"body": "Hello?"}});
    let other = json!({"to": "16505551234", "id": "v", "type": "text", "text": {"body": "Hi, this is Meta"}});
    let value = json!({"standby": {"messages": [customer], "message_echoes": [other], "statuses": [{}]}});
    let items = items("standby", value);
    let [Item::Message(asked), Item::Message(said)] = &items[..] else { panic!("{items:?}") };
    assert_eq!((asked.wamid.as_str(), asked.voice, asked.answerable), ("standby:w", Voice::Overheard, false));
    assert_eq!((said.wamid.as_str(), said.voice, said.answerable), ("v", Voice::Other, false));
}

#[test]
fn hand_overs_are_read_with_and_without_a_type() {
    for (value, expected) in [
        (
            json!({"type": "control_passed", "sender": {"phone_number": "1"}, "timestamp": 5}),
            Some((true, "1 - -")),
        ),
        (json!({"type": "control_taken", "sender": {"user_id": "US.1"}}), Some((false, "- US.1 -"))),
        (
            json!({"control_passed": {"metadata": "m"}, "sender": {"phone_number": "+1"}}),
            Some((true, "1 - -")),
        ),
        (json!({"type": "control_passed"}), None),
        (json!({"type": "control_passed", "sender": "1"}), None),
        (json!({"type": "control_doubled", "sender": {"phone_number": "1"}}), None),
    ] {
        let items = items("messaging_handovers", value.clone());
        let read = match &items[..] {
            [Item::Routed(r)] => Some((r.ours, names(&r.customer))),
            [Item::Notice { .. }] => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(read.as_ref().map(|(ours, who)| (*ours, who.as_str())), expected, "{value}");
    }
}

#[test]
fn wishes_about_marketing_and_calls_are_read() {
    let value = json!({"contacts": [{"wa_id": "1", "user_id": "US.1"}], "user_preferences": [
        {"wa_id": "1", "category": "marketing_messages", "value": "stop", "timestamp": 5},
        {"user_id": "US.2", "category": "marketing_messages", "value": "resume"},
        {"wa_id": "1", "value": "perhaps"}, {"value": "stop"}, {"wa_id": "1", "category": "service", "value": "stop"}, 7]});
    let read: Vec<Option<(String, bool)>> = items("user_preferences", value)
        .iter()
        .map(|item| match item {
            Item::Consent(c) => Some((names(&c.customer), c.wanted)),
            _ => None,
        })
        .collect();
    let expected =
        [Some(("1 US.1 -".into(), false)), Some(("- US.2 -".into(), true)), None, None, None, None];
    assert_eq!(read, expected);

    let value = json!({"calls": [
        {"id": "c1", "from": "1", "event": "connect", "direction": "USER_INITIATED", "timestamp": "5"},
        {"id": "c2", "from": "2", "event": "terminate", "direction": "BUSINESS_INITIATED"}, {"id": "c3"}]});
    let items = items("calls", value);
    let [Item::Message(call), Item::Notice { .. }, Item::Notice { .. }] = &items[..] else {
        panic!("{items:?}")
    };
    assert_eq!((call.kind.as_str(), call.text.as_str(), call.answerable), ("call", "[Call]", false));
}
