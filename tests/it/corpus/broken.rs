//! Bodies that are signed and odd: JSON that is none, members of other kinds than they should be, sizes that nobody
//! should send.

use super::{Case, value};

/// Whole bodies.
const BODIES: &[&str] = &[
    "",
    " ",
    "null",
    "true",
    "7",
    r#""text""#,
    "[]",
    "{}",
    "{",
    "}",
    r#"{"object"}"#,
    r#"{"object":"whatsapp_business_account""#,
    r#"{"object":"whatsapp_business_account"}"#,
    r#"{"object":"whatsapp_business_account","entry":null}"#,
    r#"{"object":"whatsapp_business_account","entry":[]}"#,
    r#"{"object":"whatsapp_business_account","entry":{}}"#,
    r#"{"object":"whatsapp_business_account","entry":"one"}"#,
    r#"{"object":"whatsapp_business_account","entry":[null,7,"x",[],{}]}"#,
    r#"{"object":"whatsapp_business_account","entry":[{"id":"$WABA","changes":null}]}"#,
    r#"{"object":"whatsapp_business_account","entry":[{"id":"$WABA","changes":{}}]}"#,
    r#"{"object":"whatsapp_business_account","entry":[{"id":"$WABA","changes":[null,7,[],{}]}]}"#,
    r#"{"object":"whatsapp_business_account","entry":[{"id":{},"changes":[{"field":["messages"],"value":[]}]}]}"#,
    r#"{"object":"whatsapp_business_account","entry":[{"id":"$WABA","changes":[{"field":"messages","value":"text"}]}]}"#,
    r#"{"object":"WHATSAPP_BUSINESS_ACCOUNT","entry":[]}"#,
    r#"{"object":"page","entry":[{"messaging":[{"message":{"text":"$FROM"}}]}]}"#,
    r#"{"object":"instagram","entry":[{"id":"1","changes":[{"field":"messages"}]}]}"#,
    r#"{"object":null,"entry":[]}"#,
    r#"{"object":7,"entry":[]}"#,
    r#"{"object":"whatsapp_business_account","entry":[]} trailing"#,
    r#"{"object":"whatsapp_business_account","entry":[],}"#,
    r#"{'object':'whatsapp_business_account'}"#,
    "\u{feff}{\"object\":\"whatsapp_business_account\",\"entry\":[]}",
    r#"{"object":"whatsapp_business_account","entry":[{"id":"\ud800","changes":[{"field":"\udfff","value":{"metadata":{"phone_number_id":"\u0000"}}}]}]}"#,
];

/// Messages of a readable kind whose other members are odd, and whether they are answered all the same.
const MESSAGES: &[(usize, &str)] = &[
    (1, r#""id":"$ID","from":$FROM,"timestamp":$NOW"#),
    (1, r#""id":"$ID","from":"+$FROM","timestamp":"$NOW""#),
    (1, r#""id":"$ID","from":" $FROM ","timestamp":" $NOW ""#),
    (1, r#""id":"$ID","from":"$FROM""#),
    (1, r#""id":"$ID","from":"$FROM","timestamp":null"#),
    (1, r#""id":"$ID","from":"$FROM","timestamp":"soon""#),
    (1, r#""id":"$ID","from":"$FROM","timestamp":-5"#),
    (1, r#""id":"$ID","from":"$FROM","timestamp":"99999999999999999999""#),
    (1, r#""id":"$ID","from":"$FROM","timestamp":9223372036854775807"#),
    (1, r#""id":"$ID","from":"$FROM","timestamp":1.5"#),
    (1, r#""id":"$ID","from":"$FROM","timestamp":{"a":1}"#),
    (0, r#""id":"$ID","from":"$FROM","timestamp":"1""#),
    (1, r#""id":"$ID","from_user_id":"$USER","timestamp":"$NOW""#),
    (1, r#""id":"$ID","from":"$USER","timestamp":"$NOW""#),
    (1, r#""id":"$ID","from":"","from_user_id":"$USER","timestamp":"$NOW""#),
    (
        1,
        r#""id":"$ID","from":null,"from_user_id":"$USER","from_parent_user_id":"US.ENT.$FROM","timestamp":"$NOW""#,
    ),
    (1, r#""id":"$ID","from":"$FROM","from":"$FROM","timestamp":"$NOW","timestamp":"$NOW""#),
    (1, r#""\u0069d":"$ID","from":"$FROM","timestamp":"$NOW""#),
    (0, r#""id":"$ID","timestamp":"$NOW""#),
    (0, r#""id":"$ID","from":"","timestamp":"$NOW""#),
    (0, r#""id":"$ID","from":{},"timestamp":"$NOW""#),
    (0, r#""id":"$ID","from":["$FROM"],"timestamp":"$NOW""#),
    (0, r#""from":"$FROM","timestamp":"$NOW""#),
    (0, r#""id":"","from":"$FROM","timestamp":"$NOW""#),
    (0, r#""id":null,"from":"$FROM","timestamp":"$NOW""#),
    (0, r#""id":["$ID"],"from":"$FROM","timestamp":"$NOW""#),
    (1, r#""id":"'; drop table messages; --$FROM","from":"$FROM","timestamp":"$NOW""#),
    (1, r#""id":"wamid.\u0000\ud83d$FROM","from":"$FROM","timestamp":"$NOW""#),
];

/// Values around one good message: what stands beside it is odd. `$GOOD` is that message.
const VALUES: &[(usize, &str)] = &[
    (1, r#""contacts":null,"messages":[$GOOD]"#),
    (1, r#""contacts":"Anna","messages":[$GOOD]"#),
    (1, r#""contacts":[null,7,[],{"wa_id":{}},{"profile":null}],"messages":[$GOOD]"#),
    (
        1,
        r#""contacts":[{"wa_id":"1","user_id":"US.other","profile":{"name":"Somebody else"}}],"messages":[$GOOD]"#,
    ),
    (
        1,
        r#""contacts":[{"wa_id":"$FROM","profile":{"name":"\u0000\ud800 O'Neil \\ \"x\" \u202e"}}],"messages":[$GOOD]"#,
    ),
    (1, r#""contacts":{"wa_id":"$FROM","profile":{"name":["a"]}},"messages":[$GOOD]"#),
    (1, r#""messages":$GOOD"#),
    (1, r#""messages":[$GOOD,$GOOD]"#),
    (1, r#""messages":[null,7,"x",[],{},$GOOD]"#),
    (1, r#""messages":[$GOOD],"statuses":"none","errors":{"code":"?"}"#),
    (1, r#""messages":[$GOOD],"statuses":[null,{},{"id":"x"},{"status":"sent"},{"id":{},"status":[]}]"#),
    (1, r#""messages":[],"messages":[$GOOD]"#),
    (1, r#""m\u0065ssages":[$GOOD]"#),
    (0, r#""Messages":[$GOOD]"#),
    (0, r#""messages":null"#),
    (0, r#""messages":"hello""#),
    (0, r#""statuses":[],"messages":[]"#),
];

/// What stands in the place of a number's id, for a message that nobody gets.
const NUMBERS: &[&str] =
    &["null", "\"\"", "\" \"", "{}", "[\"$PNID\"]", "\"$PNID'\"", "-1", "0.5", "\"\\u0000\"", "true"];

pub(super) fn cases() -> Vec<Case> {
    let good =
        r#"{"id":"$ID","from":"$FROM","timestamp":"$NOW","type":"text","text":{"body":"the good one"}}"#;
    let mut cases: Vec<Case> = BODIES.iter().map(|body| Case::new(*body, 0, *body)).collect();
    let of = |name: &str, answers, members: &str| {
        Case::change(name, answers, "$WABA", "messages", &value(members))
    };
    for (answers, members) in MESSAGES {
        let text = format!(r#""messages":[{{{members},"type":"text","text":{{"body":"Hello?"}}}}]"#);
        cases.push(of(members, *answers, &text));
    }
    for (answers, members) in VALUES {
        cases.push(of(members, *answers, &members.replace("$GOOD", good)));
    }
    for id in NUMBERS {
        let value = format!(r#"{{"metadata":{{"phone_number_id":{id}}},"messages":[{good}]}}"#);
        cases.push(Case::change(id, 0, "$WABA", "messages", &value));
    }
    let metadata = r#""metadata":{"phone_number_id":"$PNID"}"#;
    let whole = |value: &str| {
        format!(
            r#"{{"entry":[{{"changes":[{{"value":{value},"field":"messages"}}]}}],"object":"whatsapp_business_account"}}"#
        )
    };
    cases.extend([
        Case::new("keys in another order, no entry id", 1, whole(&format!(r#"{{"messages":[{good}],{metadata}}}"#))),
        Case::new("an entry id that is a number", 1, whole(&format!(r#"{{{metadata},"messages":[{good}]}}"#)).replacen("{\"changes\"", "{\"id\":7,\"changes\"", 1)),
        Case::new("spaces everywhere", 1, whole(&format!(r#"{{{metadata},"messages":[{good}]}}"#)).replace("\":", "\" :\n\t ")),
        Case::new("a wish at the end of time", 0, whole(&format!(r#"{{{metadata},"messages":[{}]}}"#, good.replace("$NOW", "9223372036854775").replace("the good one", "human")))),
        Case::new("no metadata", 0, whole(&format!(r#"{{"messages":[{good}]}}"#))),
        Case::new("nested deeper than anybody looks", 1, whole(&format!(r#"{{{metadata},"messages":[{{"deep":{}1{}}},{good}]}}"#, "[".repeat(100), "]".repeat(100)))),
        Case::new("nested without end", 0, whole(&format!(r#"{{{metadata},"messages":[{}{}]}}"#, "[".repeat(100_000), "]".repeat(100_000)))),
        Case::new("a long number", 0, whole(&format!(r#"{{"metadata":{{"phone_number_id":"{}"}},"messages":[{good}]}}"#, "9".repeat(5_000)))),
        Case::new("a long id", 0, whole(&format!(r#"{{{metadata},"messages":[{}]}}"#, good.replace("$ID", &"w".repeat(5_000))))),
        Case::new("a long sender", 0, whole(&format!(r#"{{{metadata},"messages":[{}]}}"#, good.replace("$FROM", &"1".repeat(5_000))))),
        Case::new("a long text", 1, whole(&format!(r#"{{{metadata},"messages":[{}]}}"#, good.replace("the good one", &"long ".repeat(700))))),
        Case::new("a long type", 0, whole(&format!(r#"{{{metadata},"messages":[{}]}}"#, good.replace("\"text\",", &format!("\"{}\",", "t".repeat(5_000)))))),
        Case::new("a long name", 1, whole(&format!(r#"{{{metadata},"contacts":[{{"wa_id":"$FROM","profile":{{"name":"{}"}}}}],"messages":[{good}]}}"#, "n".repeat(50_000)))),
        Case::new("a long field", 0, whole("{}").replace("messages", &"f".repeat(5_000))),
        Case::new("many members", 1, whole(&format!(r#"{{{metadata},{}"messages":[{good}]}}"#, (0..5_000).map(|n| format!("\"k{n}\":{n},")).collect::<String>()))),
        Case::new("many contacts", 1, whole(&format!(r#"{{{metadata},"contacts":[{}{{}}],"messages":[{good}]}}"#, "{\"wa_id\":\"1\"},".repeat(2_000)))),
        Case::new("many empty changes", 0, whole("{}").replacen("[{\"value\"", &format!("[{}{{\"value\"", "{},".repeat(3_000)), 1)),
    ]);
    cases
}
