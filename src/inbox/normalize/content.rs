//! What a message says, as one text for responders and people, and whether it can be answered.

use serde_json::Value;

use super::words;
use crate::graph::payload::parse_lenient;

/// The readable text of a message of this `kind`, and whether a responder can do something with it.
pub(super) fn read(kind: &str, message: &Value) -> (String, bool) {
    let part = &message[kind];
    let said = match kind {
        "text" => words(&part["body"]),
        "button" => words(&part["text"]).or_else(|| words(&part["payload"])),
        "interactive" => interactive(part),
        "image" | "video" | "audio" | "document" | "sticker" => Some(media(kind, part)),
        "location" => Some(location(part)),
        "contacts" => cards(part),
        "order" => order(part),
        _ => None,
    };
    match said {
        Some(text) => (text, true),
        None => (label(kind, message), false),
    }
}

/// What stands in the talk for a message nobody is asked about.
fn label(kind: &str, message: &Value) -> String {
    let part = &message[kind];
    match kind {
        "reaction" => match words(&part["emoji"]) {
            Some(emoji) => format!("[Reaction: {emoji}]"),
            None => "[Reaction removed]".to_owned(),
        },
        "system" => words(&part["body"]).unwrap_or_else(|| "[System message]".to_owned()),
        "edit" => {
            let edited = &part["message"];
            // One step only: an edit of an edit is no text, and a hostile one must not be followed down.
            match words(&edited["type"]).filter(|kind| kind != "edit") {
                Some(kind) => format!("[Edited: {}]", read(&kind, edited).0),
                None => "[Edited message]".to_owned(),
            }
        }
        "revoke" => "[Deleted message]".to_owned(),
        "unsupported" => match words(&part["type"]) {
            Some(what) => format!("[Unsupported message: {what}]"),
            None => "[Unsupported message]".to_owned(),
        },
        "interactive" => match words(&part["type"]) {
            Some(what) => format!("[Interactive: {what}]"),
            None => "[Interactive]".to_owned(),
        },
        "text" | "button" | "contacts" | "order" => format!("[Empty {kind}]"),
        other => format!("[Message of type {other}]"),
    }
}

fn interactive(part: &Value) -> Option<String> {
    let kind = words(&part["type"])?;
    let reply = &part[&kind];
    match kind.as_str() {
        "button_reply" | "list_reply" => words(&reply["title"]).or_else(|| words(&reply["id"])),
        "nfm_reply" => form(reply),
        _ => None,
    }
}

/// A flow's answer: `response_json` is a string that holds JSON. One `field: value` a line; Meta's own
/// `flow_token` says nothing to a reader.
fn form(reply: &Value) -> Option<String> {
    let json = words(&reply["response_json"]);
    let fields = json.as_deref().and_then(|json| parse_lenient(json.as_bytes()).ok());
    match fields {
        Some(Value::Object(fields)) => {
            let lines = fields.iter().filter(|(name, _)| *name != "flow_token");
            let lines: Vec<String> = lines.map(|(name, value)| format!("{name}: {}", plain(value))).collect();
            if lines.is_empty() { words(&reply["body"]) } else { Some(lines.join("\n")) }
        }
        _ => json.or_else(|| words(&reply["body"])),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn media(kind: &str, part: &Value) -> String {
    if let Some(caption) = words(&part["caption"]) {
        return caption;
    }
    match kind {
        "image" => "[Image]".to_owned(),
        "video" => "[Video]".to_owned(),
        "sticker" => "[Sticker]".to_owned(),
        "audio" if part["voice"] == true => "[Voice message]".to_owned(),
        "audio" => "[Audio]".to_owned(),
        _ => match words(&part["filename"]) {
            Some(name) => format!("[Document: {name}]"),
            None => "[Document]".to_owned(),
        },
    }
}

fn location(part: &Value) -> String {
    let place = [words(&part["name"]), words(&part["address"])];
    let place: Vec<String> = place.into_iter().flatten().collect();
    let mut text = "Location:".to_owned();
    if !place.is_empty() {
        text = format!("{text} {}", place.join(", "));
    }
    if let (Some(latitude), Some(longitude)) = (words(&part["latitude"]), words(&part["longitude"])) {
        text = format!("{text} ({latitude}, {longitude})");
    }
    match words(&part["url"]) {
        Some(url) => format!("{text} {url}"),
        None => text,
    }
}

/// One line per shared contact: name (it can be missing), phones, e-mail addresses.
fn cards(part: &Value) -> Option<String> {
    let lines: Vec<String> = part.as_array()?.iter().map(card).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn card(card: &Value) -> String {
    let name = &card["name"];
    let full = [words(&name["first_name"]), words(&name["last_name"])];
    let full = full.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let shown = words(&name["formatted_name"])
        .or_else(|| (!full.is_empty()).then_some(full))
        .or_else(|| words(&card["org"]["company"]));
    let list = |array: &str, key: &str| {
        let items = card[array].as_array().into_iter().flatten();
        items.filter_map(|item| words(&item[key])).collect::<Vec<_>>()
    };
    let parts: Vec<String> =
        shown.into_iter().chain(list("phones", "phone")).chain(list("emails", "email")).collect();
    format!("Contact: {}", if parts.is_empty() { "without a name".to_owned() } else { parts.join(", ") })
}

/// The basket, one product a line, then what the customer wrote with it.
fn order(part: &Value) -> Option<String> {
    let items = part["product_items"].as_array().into_iter().flatten().map(|item| {
        let word = |key: &str| words(&item[key]).unwrap_or_else(|| "?".to_owned());
        let price = match (words(&item["item_price"]), words(&item["currency"])) {
            (Some(price), Some(currency)) => format!(" at {price} {currency}"),
            (Some(price), None) => format!(" at {price}"),
            _ => String::new(),
        };
        format!("- {} × {}{price}", word("quantity"), word("product_retailer_id"))
    });
    let lines: Vec<String> = items.chain(words(&part["text"])).collect();
    (!lines.is_empty()).then(|| format!("Order:\n{}", lines.join("\n")))
}
