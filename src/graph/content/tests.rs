//! Tests of [`super`]: what passes, what is named, what is said.

use serde_json::json;

use super::*;

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn of(kind: &str, part: Value) -> Value {
    json!({"type": kind, kind: part})
}

fn wrong(value: Value) -> Vec<String> {
    check(&object(value)).into_iter().map(|w| w.field).collect()
}

fn buttons(titles: &[&str]) -> Value {
    let buttons: Vec<Value> = titles
        .iter()
        .map(|t| json!({"type": "reply", "reply": {"id": format!("id-{t}"), "title": t}}))
        .collect();
    of("interactive", json!({"type": "button", "body": {"text": "Choose"}, "action": {"buttons": buttons}}))
}

fn list(sections: usize, rows: usize) -> Value {
    let row = |s: usize, r: usize| json!({"id": format!("{s}-{r}"), "title": "A row"});
    let section = |s: usize| json!({"title": format!("S {s}"), "rows": (0..rows).map(|r| row(s, r)).collect::<Vec<_>>()});
    let sections: Vec<Value> = (0..sections).map(section).collect();
    let action = json!({"button": "Open", "sections": sections});
    of("interactive", json!({"type": "list", "body": {"text": "Choose"}, "action": action}))
}

fn card() -> Value {
    json!({"name": {"formatted_name": "Ann Lee", "first_name": "Ann"}, "phones": [{"phone": "+15551234567"}]})
}

#[test]
fn what_meta_takes_passes_and_says_something() {
    let link = "https://example.com/a.png";
    for (message, said) in [
        (of("text", json!({"body": "é".repeat(4_096), "preview_url": true})), "é".repeat(4_096)),
        (of("image", json!({"link": link, "caption": "Look"})), "Look".into()),
        (of("image", json!({"id": "123"})), "[Image]".into()),
        (of("document", json!({"id": "1", "filename": "bill.pdf"})), "[Document: bill.pdf]".into()),
        (of("audio", json!({"id": "1", "voice": true})), "[Voice message]".into()),
        (of("sticker", json!({"id": "1"})), "[Sticker]".into()),
        (
            of("location", json!({"latitude": 52.5, "longitude": "13.4", "name": "Here"})),
            "Location: Here (52.5, 13.4)".into(),
        ),
        (of("contacts", json!([card()])), "Contact: Ann Lee, +15551234567".into()),
        (of("reaction", json!({"message_id": "wamid.1", "emoji": "👩🏽‍🚒"})), "[Reaction: 👩🏽‍🚒]".into()),
        (of("reaction", json!({"message_id": "wamid.1", "emoji": ""})), "[Reaction removed]".into()),
        (buttons(&["A", "B", "C"]), "Choose".into()),
        (list(2, 5), "Choose".into()),
        (list(1, 10), "Choose".into()),
        (
            of(
                "interactive",
                json!({"type": "cta_url", "body": {"text": "See"}, "header": {"type": "image", "image": {"link": link}},
                "action": {"name": "cta_url", "parameters": {"display_text": "Open", "url": link}}}),
            ),
            "See".into(),
        ),
        (
            of(
                "interactive",
                json!({"type": "location_request_message", "body": {"text": "Where?"}, "action": {"name": "send_location"}}),
            ),
            "Where?".into(),
        ),
        (
            of(
                "interactive",
                json!({"type": "request_contact_info", "body": {"text": "Who?"}, "action": {"name": "request_contact_info"}}),
            ),
            "Who?".into(),
        ),
        (
            of("template", json!({"name": "hello_world", "language": {"code": "en_US"}})),
            "[Template: hello_world]".into(),
        ),
        (
            of(
                "template",
                json!({"name": "order", "language": {"code": "en"}, "components": [
                {"type": "header", "parameters": [{"type": "image", "image": {"id": "9"}}]},
                {"type": "body", "parameters": [{"type": "text", "text": "Ann"}, {"type": "text", "text": "42"}]}]}),
            ),
            "[Template: order: Ann, 42]".into(),
        ),
        (json!({"type": "text", "text": {"body": "x"}, "context": {"message_id": "wamid.1"}}), "x".into()),
    ] {
        assert_eq!(check(&object(message.clone())), [], "{message}");
        assert_eq!(words(&object(message)), said);
    }
}

#[test]
fn what_meta_would_refuse_is_named() {
    let long = |n: usize| "é".repeat(n);
    let action =
        |action: Value| of("interactive", json!({"type": "button", "body": {"text": "x"}, "action": action}));
    let mut crowded = buttons(&["A"]);
    crowded["interactive"]["footer"] = json!({"text": long(61)});
    crowded["interactive"]["header"] = json!({"type": "text", "text": long(61)});
    crowded["interactive"]["body"] = json!({"text": long(1_025)});
    let mut pictured = list(1, 1);
    pictured["interactive"]["header"] = json!({"type": "image", "image": {"id": "1"}});
    let mut rows = list(1, 2);
    rows["interactive"]["action"]["sections"][0]["rows"] =
        json!([{"id": long(201), "title": long(25), "description": long(73)}, {"id": "a", "title": ""}]);
    for (message, fields) in [
        (json!({}), &["type"][..]),
        (json!({"type": "hologram"}), &["type"]),
        (json!({"type": "text"}), &["text"]),
        (of("text", json!({"body": long(4_097)})), &["text.body"]),
        (of("text", json!({"body": " ", "preview_url": 1})), &["text.body", "text.preview_url"]),
        (json!({"type": "text", "text": {"body": "x"}, "image": {"id": "1"}}), &["image"]),
        (of("image", json!({})), &["image"]),
        (of("image", json!({"id": "1", "link": "https://a.b"})), &["image"]),
        (of("image", json!({"link": "ftp://a.b"})), &["image.link"]),
        (of("video", json!({"id": "1", "caption": long(1_025)})), &["video.caption"]),
        (
            of("audio", json!({"id": "1", "caption": "x", "filename": "y"})),
            &["audio.caption", "audio.filename"],
        ),
        (
            of("location", json!({"latitude": 91, "longitude": "east"})),
            &["location.latitude", "location.longitude"],
        ),
        (of("contacts", json!([])), &["contacts"]),
        (of("contacts", json!([{"name": {"formatted_name": "Ann"}}])), &["contacts.0.name"]),
        (of("reaction", json!({"emoji": "👍👍"})), &["reaction.message_id", "reaction.emoji"]),
        (of("reaction", json!({"message_id": "w", "emoji": "a"})), &["reaction.emoji"]),
        (
            json!({"type": "reaction", "reaction": {"message_id": "w", "emoji": "👍"}, "context": {"message_id": "w"}}),
            &["context"],
        ),
        (json!({"type": "text", "text": {"body": "x"}, "context": {}}), &["context.message_id"]),
        (of("interactive", json!({"type": "carousel?"})), &["interactive.type"]),
        (of("interactive", json!({"type": "button"})), &["interactive.body", "interactive.action"]),
        (action(json!({"buttons": []})), &["interactive.action.buttons"]),
        (buttons(&["A", "B", "C", "D"]), &["interactive.action.buttons"]),
        (
            buttons(&["A", "A"]),
            &["interactive.action.buttons.1.reply.id", "interactive.action.buttons.1.reply.title"],
        ),
        (buttons(&[&long(21)]), &["interactive.action.buttons.0.reply.title"]),
        (crowded, &["interactive.header.text", "interactive.body.text", "interactive.footer.text"]),
        (pictured, &["interactive.header.type"]),
        (list(2, 6), &["interactive.action.sections"]),
        (list(11, 1), &["interactive.action.sections"]),
        (list(1, 11), &["interactive.action.sections.0.rows"]),
        (
            rows,
            &[
                "interactive.action.sections.0.rows.0.id",
                "interactive.action.sections.0.rows.0.title",
                "interactive.action.sections.0.rows.0.description",
                "interactive.action.sections.0.rows.1.title",
            ],
        ),
        (
            of(
                "interactive",
                json!({"type": "cta_url", "body": {"text": "x"}, "action": {"name": "url", "parameters": {"url": "x"}}}),
            ),
            &[
                "interactive.action.name",
                "interactive.action.parameters.display_text",
                "interactive.action.parameters.url",
            ],
        ),
        (
            of(
                "interactive",
                json!({"type": "location_request_message", "body": {"text": "x"}, "action": {}}),
            ),
            &["interactive.action.name"],
        ),
        (of("template", json!({"name": "Hello World"})), &["template.name", "template.language"]),
        (
            of(
                "template",
                json!({"name": "a", "language": {}, "components": [
                {"type": "tail"}, {"type": "body", "parameters": [{"type": "text"}]}]}),
            ),
            &[
                "template.language.code",
                "template.components.0.type",
                "template.components.1.parameters.0.text",
            ],
        ),
    ] {
        assert_eq!(wrong(message.clone()), fields, "{message}");
    }
}

#[test]
fn every_file_is_found_wherever_it_stands() {
    let mut message = object(json!({"type": "template", "template": {"components": [
        {"type": "header", "parameters": [{"type": "image", "image": {"id": "med_1"}}]}]},
        "interactive": {"header": {"document": {"id": "med_2"}}}, "video": {"link": "x"}}));
    let mut seen = Vec::new();
    for file in files(&mut message) {
        seen.push(format!("{} {}", file.kind, file.path));
        file.part.insert("id".into(), "meta's".into());
    }
    seen.sort();
    assert_eq!(
        seen,
        [
            "document interactive.header.document",
            "image template.components.0.parameters.0.image",
            "video video"
        ]
    );
    assert_eq!(message["interactive"]["header"]["document"]["id"], "meta's");
}
