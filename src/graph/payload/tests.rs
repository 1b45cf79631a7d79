//! Tests of [`super`]: envelopes as Meta sends them, and as nobody should.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn one(body: &str) -> Change {
    let mut changes = split(body.as_bytes()).unwrap().changes;
    assert_eq!(changes.len(), 1, "{body}");
    changes.remove(0)
}

#[test]
fn takes_every_change_of_every_entry_with_its_own_bytes() {
    let body = r#"{"object":"whatsapp_business_account","entry":[
        {"id":"102290129340398","changes":[
            {"value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550783881","phone_number_id":"106540352242922"},"messages":[{"id":"wamid.1"}]},"field":"messages"},
            { "field" : "account_update", "value" : {"event":"DISABLED_UPDATE"} }]},
        {"id":"2","time":1,"changes":[
            {"value":{"recipient":{"phone_number_id":"77"},"type":"control_passed"},"field":"messaging_handovers"}]}]}"#;
    let split = split(body.as_bytes()).unwrap();
    assert_eq!(split.object, "whatsapp_business_account");
    let seen: Vec<_> = split
        .changes
        .iter()
        .map(|c| (c.entry_id.as_str(), c.field.as_str(), c.phone_number_id.as_deref()))
        .collect();
    assert_eq!(
        seen,
        [
            ("102290129340398", "messages", Some("106540352242922")),
            ("102290129340398", "account_update", None),
            ("2", "messaging_handovers", Some("77")),
        ]
    );
    assert_eq!(
        split.changes[1].raw,
        br#"{ "field" : "account_update", "value" : {"event":"DISABLED_UPDATE"} }"#
    );
}

#[test]
fn is_lenient_where_serde_would_refuse() {
    for (why, change, field, number) in [
        (
            "numeric ids",
            r#"{"field":"messages","value":{"metadata":{"phone_number_id":123}}}"#,
            "messages",
            "123",
        ),
        (
            "duplicate keys",
            r#"{"field":"x","field":"messages","value":{"metadata":{"phone_number_id":"1","phone_number_id":"2"}}}"#,
            "messages",
            "2",
        ),
        (
            "lone surrogate",
            r#"{"field":"messages","value":{"t":"\ud83d","metadata":{"phone_number_id":"3"}}}"#,
            "messages",
            "3",
        ),
        (
            "surrogate in a key",
            r#"{"field":"messages","\ud83d":1,"value":{"metadata":{"phone_number_id":"4"}}}"#,
            "messages",
            "4",
        ),
        (
            "NUL",
            r#"{"field":"mess\u0000ages","value":{"metadata":{"phone_number_id":"5"}}}"#,
            "messages",
            "5",
        ),
        (
            "escaped key",
            r#"{"fi\u0065ld":"messages","value":{"metadat\u0061":{"phone_number_id":"6"}}}"#,
            "messages",
            "6",
        ),
        (
            "null metadata",
            r#"{"field":"messages","value":{"metadata":null,"recipient":{"phone_number_id":"7"}}}"#,
            "messages",
            "7",
        ),
    ] {
        let change = one(&format!(r#"{{"entry":[{{"changes":[{change}],"id":9}}],"object":"page"}}"#));
        assert_eq!(change.field, field, "{why}");
        assert_eq!(change.phone_number_id.as_deref(), Some(number), "{why}");
        assert_eq!(change.entry_id, "9", "{why}");
    }
    let invalid_utf8 =
        b"{\"object\":\"o\",\"entry\":[{\"id\":\"1\",\"changes\":[{\"field\":\"f\",\"x\":\"\xff\"}]}]}";
    assert_eq!(split(invalid_utf8).unwrap().changes[0].field, "f");
}

#[test]
fn one_odd_item_spoils_no_other() {
    let body = r#"{"object":"o","entry":[7,null,{"id":"1","changes":["x",{"field":"messages"}]},{"id":"2","changes":{"field":"security"}}]}"#;
    let split = split(body.as_bytes()).unwrap();
    let seen: Vec<_> = split
        .changes
        .iter()
        .map(|c| (c.entry_id.as_str(), c.field.as_str(), std::str::from_utf8(&c.raw).unwrap()))
        .collect();
    assert_eq!(
        seen,
        [
            ("", "", "7"),
            ("", "", "null"),
            ("1", "", "\"x\""),
            ("1", "messages", r#"{"field":"messages"}"#),
            ("2", "security", r#"{"field":"security"}"#),
        ]
    );
}

#[test]
fn nothing_in_nothing_out() {
    for body in [
        "{}",
        r#"{"object":"o"}"#,
        r#"{"entry":null}"#,
        r#"{"entry":[]}"#,
        r#"{"entry":[{}]}"#,
        r#"{"entry":[{"id":"1","changes":[]}]}"#,
        r#"{"entry":[{"id":"1","changes":null}]}"#,
    ] {
        assert_eq!(split(body.as_bytes()).unwrap().changes, [], "{body}");
    }
}

#[test]
fn says_what_it_could_not_read_without_quoting_it() {
    for body in ["", "secret", "{", r#"{"a":1} secret"#, r#""secret""#, "[]", "1", "null"] {
        let error = split(body.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("not "), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn deep_nesting_neither_overflows_nor_spoils_the_envelope() {
    let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    let body =
        format!(r#"{{"object":"o","entry":[{{"id":"1","changes":[{{"field":"f","value":{deep}}}]}}]}}"#);
    assert_eq!(one(&body).field, "f");
    assert!(parse_lenient(deep.as_bytes()).is_err());
    assert!(split(deep.as_bytes()).is_err());
}

#[test]
fn parses_what_a_database_can_hold() {
    for (raw, expected) in [
        (r#""a\u0000b""#, json!("ab")),
        (r#""\ud83d""#, json!("\u{fffd}")),
        (r#""\ude00x""#, json!("\u{fffd}x")),
        (r#""\ud83d\ude00""#, json!("😀")),
        (r#""\ud83d\ud83d\ude00""#, json!("\u{fffd}😀")),
        (r#""\ud83d\n""#, json!("\u{fffd}\n")),
        (r#""\\u0000 \\\u0000 \" \/ \u00e9""#, json!("\\u0000 \\ \" / é")),
        (r#"{"a":1,"a":{"b":2}}"#, json!({"a": {"b": 2}})),
        (r#"{"k\u0000":1}"#, json!({"k": 1})),
        (r#"18446744073709551615"#, json!(18446744073709551615u64)),
    ] {
        assert_eq!(parse_lenient(raw.as_bytes()).unwrap(), expected, "{raw}");
    }
    assert_eq!(parse_lenient(b"\"\xf0\x28\"").unwrap(), json!("\u{fffd}("));
    for raw in ["", r#""\u""#, r#""\ud8""#, "\"\\", r#""\ué000""#] {
        assert!(parse_lenient(raw.as_bytes()).is_err(), "{raw}");
    }
}

#[test]
fn peeks_at_ids_only() {
    let body = br#"{"entry" : [ { "id" : "102", "changes":[{"value":{"metadata":{"phone_number_id" :
        "106"},"messages":[{"id":"wamid.HBg=","text":{"body":"\"phone_number_id\":\"666\""}}]}},
        {"value":{"metadata":{"phone_number_id":106}}},{"value":{"recipient":{"phone_number_id":107}}}]},
        {"changes":[],"id":0}]}"#;
    let peek = peek(body);
    assert_eq!(peek.phone_number_ids, ["106", "107"]);
    assert_eq!(peek.business_account_ids, ["102", "0"]);
}

#[test]
fn peeking_is_bounded() {
    let many: String = (0..1000).map(|i| format!(r#"{{"id":"{i}","phone_number_id":{i}}},"#)).collect();
    let many = peek(many.as_bytes());
    assert_eq!(many.phone_number_ids.len(), PEEK_LIMIT);
    assert_eq!(many.business_account_ids.len(), PEEK_LIMIT);
    for nothing in [
        format!(r#""id":"{}""#, "9".repeat(65)),
        r#""id":"#.into(),
        r#""id":"12"#.into(),
        r#""id":{}"#.into(),
    ] {
        assert_eq!(peek(nothing.as_bytes()), Peek::default(), "{nothing}");
    }
}

proptest! {
    #[test]
    fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..200), text in r#"[\\u0dD8c3"{}:,\[\]é ]{0,60}"#) {
        for bytes in [&body[..], text.as_bytes()] {
            let _ = (split(bytes), peek(bytes), parse_lenient(bytes));
        }
    }

    /// Whatever Meta can write, we read: any text, escaped as Meta escapes it.
    #[test]
    fn reads_any_text(text in any::<String>()) {
        let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        let read = parse_lenient(format!("\"{escaped}\"").as_bytes()).unwrap();
        prop_assert_eq!(read, json!(text.replace('\0', "")));
    }
}
