//! Buttons, lists, links and requests.

use std::collections::HashSet;

use super::at::At;
use super::{CAPTION, MEDIA, TEXT, URL, media};

/// Kinds with limits of their own, then those that Meta alone judges.
const KINDS: [&str; 13] = [
    "button",
    "list",
    "cta_url",
    "location_request_message",
    "request_contact_info",
    "flow",
    "product",
    "product_list",
    "catalog_message",
    "address_message",
    "order_details",
    "voice_call",
    "call_permission_request",
];

pub(super) fn check(part: &At) {
    let Some(kind) = part.at("type").word(&KINDS) else { return };
    frame(kind, part);
    let action = part.at("action");
    if !action.object() {
        return;
    }
    match kind {
        "button" => buttons(&action),
        "list" => rows(&action),
        "cta_url" => {
            action.at("name").is("cta_url");
            let parameters = action.at("parameters");
            if parameters.object() {
                parameters.at("display_text").text(20);
                parameters.at("url").url(URL);
            }
        }
        "location_request_message" => action.at("name").is("send_location"),
        "request_contact_info" => action.at("name").is("request_contact_info"),
        _ => {}
    }
}

/// Header, body and footer.
fn frame(kind: &str, part: &At) {
    let header = part.at("header");
    if header.is_there() && header.object() {
        let kinds = if kind == "list" { &["text"][..] } else { &["text", "image", "video", "document"] };
        match header.at("type").word(kinds) {
            Some("text") => header.at("text").text(60),
            Some(file) if MEDIA.contains(&file) && header.at(file).object() => media(file, &header.at(file)),
            _ => {}
        }
    }
    let body = part.at("body");
    // A product or a call stands for itself.
    let needs_words = !matches!(kind, "product" | "product_list" | "catalog_message");
    if (body.is_there() || needs_words) && body.object() {
        body.at("text").text(if kind == "list" { TEXT } else { CAPTION });
    }
    let footer = part.at("footer");
    if footer.is_there() && footer.object() {
        footer.at("text").text(60);
    }
}

fn buttons(action: &At) {
    let (mut ids, mut titles) = (HashSet::new(), HashSet::new());
    for button in action.at("buttons").each(3) {
        button.at("type").is("reply");
        let reply = button.at("reply");
        if reply.object() {
            once(&reply.at("id"), 256, &mut ids);
            once(&reply.at("title"), 20, &mut titles);
        }
    }
}

fn rows(action: &At) {
    action.at("button").text(20);
    let sections = action.at("sections").each(10);
    let (mut ids, mut count) = (HashSet::new(), 0);
    for section in &sections {
        if sections.len() > 1 {
            section.at("title").text(24);
        } else {
            section.at("title").maybe_text(24);
        }
        for row in section.at("rows").each(10) {
            count += 1;
            once(&row.at("id"), 200, &mut ids);
            row.at("title").text(24);
            row.at("description").maybe_text(72);
        }
    }
    if count > 10 {
        action.at("sections").wrong("may have 10 rows in all");
    }
}

/// Text that no other of its kind has.
fn once<'a>(text: &At<'a>, most: usize, seen: &mut HashSet<&'a str>) {
    if let Some(word) = text.read(most)
        && !seen.insert(word)
    {
        text.wrong("is there twice");
    }
}
