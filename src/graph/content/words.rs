//! What a message object says in words: for people, for search, for the chatbot's memory.

use serde_json::{Map, Value};

/// The words of a message object; a label such as `[Image]` where it has none.
pub fn words(message: &Map<String, Value>) -> String {
    let kind = message.get("type").and_then(Value::as_str).unwrap_or("text");
    let part = message.get(kind).unwrap_or(&Value::Null);
    let said = match kind {
        "text" => text(&part["body"]),
        "image" | "video" | "audio" | "document" | "sticker" => text(&part["caption"]),
        "interactive" => text(&part["body"]["text"]),
        "template" => text(&part["name"]).map(|name| format!("[Template: {}]", with_parameters(&name, part))),
        "location" => Some(location(part)),
        "contacts" => Some(cards(part)),
        "reaction" => text(&part["emoji"]).map(|emoji| format!("[Reaction: {emoji}]")),
        _ => None,
    };
    said.unwrap_or_else(|| match (kind, text(&part["filename"])) {
        ("document", Some(name)) => format!("[Document: {name}]"),
        ("audio", _) if part["voice"] == true => "[Voice message]".to_owned(),
        ("reaction", _) => "[Reaction removed]".to_owned(),
        (kind, _) => {
            let mut letters = kind.chars();
            let first = letters.next().map(|c| c.to_ascii_uppercase());
            format!("[{}]", first.into_iter().chain(letters).collect::<String>())
        }
    })
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned)
}

/// `order_ready: Anna, 42`: what was filled in tells people more than the name alone.
fn with_parameters(name: &str, template: &Value) -> String {
    let components = template["components"].as_array().into_iter().flatten();
    let parameters = components.flat_map(|c| c["parameters"].as_array().into_iter().flatten());
    let filled: Vec<String> = parameters.filter_map(|p| text(&p["text"])).collect();
    if filled.is_empty() { name.to_owned() } else { format!("{name}: {}", filled.join(", ")) }
}

fn location(part: &Value) -> String {
    let place: Vec<String> = [text(&part["name"]), text(&part["address"])].into_iter().flatten().collect();
    let number = |value: &Value| text(value).unwrap_or_else(|| value.to_string());
    let point = format!("({}, {})", number(&part["latitude"]), number(&part["longitude"]));
    if place.is_empty() {
        format!("Location: {point}")
    } else {
        format!("Location: {} {point}", place.join(", "))
    }
}

fn cards(part: &Value) -> String {
    let card = |card: &Value| {
        let name = text(&card["name"]["formatted_name"]);
        let phones = card["phones"].as_array().into_iter().flatten().filter_map(|p| text(&p["phone"]));
        format!("Contact: {}", name.into_iter().chain(phones).collect::<Vec<_>>().join(", "))
    };
    part.as_array().into_iter().flatten().map(card).collect::<Vec<_>>().join("\n")
}
