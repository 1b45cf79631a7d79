//! Meta's message objects: what each may hold, checked before Meta is asked, and what each says in words.
//!
//! Everything wrong is named at once. What Meta may add tomorrow passes: unknown keys are Meta's to judge.

mod at;
mod interactive;
mod words;

use serde_json::{Map, Value};

use at::At;
pub use words::words;

/// The types a caller may send.
pub const TYPES: [&str; 11] = [
    "text",
    "image",
    "video",
    "audio",
    "document",
    "sticker",
    "location",
    "contacts",
    "reaction",
    "interactive",
    "template",
];

/// Types of which a file is the content.
pub const MEDIA: [&str; 5] = ["image", "video", "audio", "document", "sticker"];

/// Longest text and caption, in characters.
pub const TEXT: usize = 4_096;
/// Longest words below a file, in characters.
pub const CAPTION: usize = 1_024;
const URL: usize = 2_048;
const ID: usize = 512;

/// One thing that is wrong with a message object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The field, nested ones with dots, items by number: `interactive.action.buttons.0.reply.title`.
    pub field: String,
    /// What would have been right.
    pub message: String,
}

/// Everything that is wrong with `{"type":"image","image":{…},"context":{…}}`; empty: Meta has no reason to refuse it.
pub fn check(message: &Map<String, Value>) -> Vec<Wrong> {
    let object = Value::Object(message.clone());
    let wrong = Default::default();
    let all = At::top(&object, &wrong);
    if let Some(kind) = all.at("type").word(&TYPES) {
        for other in TYPES.iter().filter(|other| **other != kind && message.contains_key(**other)) {
            all.at(other).wrong(format!("does not belong to a message of type {kind}"));
        }
        content(kind, &all.at(kind));
        let context = all.at("context");
        if context.is_there() && context.object() {
            context.at("message_id").text(ID);
            if kind == "reaction" {
                context.wrong("does not belong to a reaction");
            }
        }
    }
    wrong.into_inner()
}

fn content(kind: &str, part: &At) {
    if kind == "contacts" {
        return part.each(257).iter().for_each(card);
    }
    if !part.object() {
        return;
    }
    match kind {
        "text" => {
            part.at("body").text(TEXT);
            part.at("preview_url").maybe_bool();
        }
        "location" => {
            part.at("latitude").number(90.0);
            part.at("longitude").number(180.0);
            part.at("name").maybe_text(1_000);
            part.at("address").maybe_text(1_000);
        }
        "reaction" => {
            part.at("message_id").text(ID);
            part.at("emoji").emoji();
        }
        "interactive" => interactive::check(part),
        "template" => template(part),
        _ => media(kind, part),
    }
}

/// A file by exactly one of `id` and `link`.
fn media(kind: &str, part: &At) {
    let (id, link) = (part.at("id"), part.at("link"));
    match (id.is_there(), link.is_there()) {
        (true, false) => id.text(ID),
        (false, true) => link.url(URL),
        _ => part.wrong("must have exactly one of id and link"),
    }
    let (caption, filename) = (part.at("caption"), part.at("filename"));
    match kind {
        "image" | "video" | "document" => caption.maybe_text(CAPTION),
        _ => caption.absent(kind),
    }
    match kind {
        "document" => filename.maybe_text(240),
        _ => filename.absent(kind),
    }
    part.at("voice").maybe_bool();
}

fn card(card: &At) {
    let name = card.at("name");
    if !card.object() || !name.object() {
        return;
    }
    name.at("formatted_name").text(1_000);
    let parts = ["first_name", "last_name", "middle_name", "suffix", "prefix"];
    if !parts.iter().any(|part| name.at(part).is_there()) {
        name.wrong("must have a first_name, or another part of the name, beside formatted_name");
    }
    if card.at("phones").is_there() {
        card.at("phones").each(100).iter().for_each(|phone| phone.at("phone").text(100));
    }
}

fn template(part: &At) {
    if let Some(name) = part.at("name").read(512)
        && !name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
    {
        part.at("name").wrong("must be small letters, digits and underscores");
    }
    if part.at("language").object() {
        part.at("language").at("code").text(16);
    }
    if !part.at("components").is_there() {
        return;
    }
    for component in part.at("components").each(20) {
        let known = ["header", "body", "button", "carousel", "limited_time_offer"];
        if let Some(kind) = component.at("type").read(32)
            && !known.contains(&kind.to_ascii_lowercase().as_str())
        {
            component.at("type").wrong(format!("must be one of {}", known.join(", ")));
        }
        let parameters = component.at("parameters");
        if !parameters.is_there() {
            continue;
        }
        for parameter in parameters.each(100) {
            match parameter.at("type").read(32) {
                Some("text") => parameter.at("text").text(CAPTION),
                Some(kind) if MEDIA.contains(&kind) && parameter.at(kind).object() => {
                    media(kind, &parameter.at(kind));
                }
                _ => {}
            }
        }
    }
}

/// A file in a message object.
pub struct File<'a> {
    /// Its type word.
    pub kind: &'a str,
    /// Where it stands, with dots.
    pub path: String,
    /// The object that holds its `id` or `link`.
    pub part: &'a mut Map<String, Value>,
}

/// Every file in a message object, wherever it stands.
pub fn files(message: &mut Map<String, Value>) -> Vec<File<'_>> {
    let mut found = Vec::new();
    walk(message, "", &mut found);
    found
}

fn walk<'a>(object: &'a mut Map<String, Value>, path: &str, found: &mut Vec<File<'a>>) {
    for (key, value) in object {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            Value::Object(part) => {
                if MEDIA.contains(&key.as_str()) {
                    found.push(File { kind: key, path, part });
                } else {
                    walk(part, &path, found);
                }
            }
            Value::Array(items) => {
                for (n, item) in items.iter_mut().enumerate() {
                    if let Value::Object(inner) = item {
                        walk(inner, &format!("{path}.{n}"), found);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
