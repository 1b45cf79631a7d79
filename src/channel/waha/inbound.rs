//! What a WAHA webhook says, as changes in Meta's shape: so that whatever comes in by a session takes the very road of
//! an official number's messages.
//!
//! Only what is needed is taken over: `_data` may hold keys of the account.

use serde_json::{Map, Value, json};

use crate::graph::payload::{Change, parse_lenient};

/// A webhook of WAHA, read as far as it matters.
#[derive(Debug, Clone)]
pub struct Event {
    /// The session's name.
    pub session: String,
    /// `message`, `message.any`, `message.ack`, `session.status`, …
    pub kind: String,
    /// What it is about.
    payload: Value,
    /// Our own number there, digits.
    me: Option<String>,
}

impl Event {
    /// Reads it; `None`: it is none.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut body: Map<String, Value> = match parse_lenient(body).ok()? {
            Value::Object(body) => body,
            _ => return None,
        };
        let word = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            session: word(body.get("session"))?,
            kind: word(body.get("event"))?,
            me: body.get("me").and_then(|me| digits_of(me["id"].as_str()?)),
            payload: body.remove("payload").unwrap_or_default(),
        })
    }

    /// Of the session that has this number.
    pub fn with_number(self, me: Option<String>) -> Self {
        Self { me, ..self }
    }

    /// The digits of the customer it is about, if they are there to be seen.
    pub fn phone(&self) -> Option<String> {
        self.alternative().or_else(|| digits_of(self.chat()?))
    }

    /// The customer's hidden id, when there is nothing else.
    pub fn lid(&self) -> Option<&str> {
        self.chat().filter(|chat| chat.ends_with("@lid") && self.alternative().is_none())
    }

    /// The chat: with whom, whoever wrote.
    fn chat(&self) -> Option<&str> {
        let text = |name: &str| self.payload[name].as_str().filter(|text| !text.is_empty());
        // What we wrote ourselves comes from us; its id still names the chat.
        if self.payload["fromMe"] == true {
            return text("to").or_else(|| text("id")?.split('_').nth(1));
        }
        text("from")
    }

    /// A phone that some engines give beside a hidden id.
    fn alternative(&self) -> Option<String> {
        if !self.chat()?.ends_with("@lid") {
            return None;
        }
        let data = &self.payload["_data"];
        let (key, info) = (&data["key"], &data["Info"]);
        let beside = [&key["senderPn"], &key["remoteJidAlt"], &info["SenderAlt"], &info["RecipientAlt"]];
        beside.into_iter().find_map(|jid| digits_of(jid.as_str()?))
    }

    /// As changes for this session's number; none: there is nothing to keep. `phone`: whose hidden id it is.
    pub fn changes(&self, key: &str, phone: Option<String>) -> Vec<Change> {
        let value = match self.kind.as_str() {
            "message" | "message.any" => self.message(key, phone),
            "message.ack" => self.ack(key),
            _ => None,
        };
        value.into_iter().map(|(field, value)| change(key, field, value)).collect()
    }

    fn message(&self, key: &str, phone: Option<String>) -> Option<(&'static str, Value)> {
        let (p, chat) = (&self.payload, self.chat()?);
        let person = chat.ends_with("@c.us") || chat.ends_with("@s.whatsapp.net") || chat.ends_with("@lid");
        let own = p["fromMe"] == true;
        // Groups, channels and status posts are nobody's talk with us.
        if !person {
            return None;
        }
        let (kind, content) = content(p)?;
        let phone = phone.or_else(|| self.phone());
        let mut message = Map::new();
        let seconds = seconds(&p["timestamp"]);
        let id = p["id"].as_str()?;
        message.insert("id".into(), if own { bare_id(id) } else { id.to_owned() }.into());
        message.insert("timestamp".into(), seconds.to_string().into());
        message.insert("type".into(), kind.into());
        message.insert(kind.into(), content);
        if own {
            // Only what a person typed on the phone; what we send comes back to us as well.
            if p["source"] != "app" || self.me.is_some() && self.me == phone {
                return None;
            }
            message.insert("from".into(), self.me.clone().into());
            message.insert("to".into(), phone.clone().map_or_else(|| chat.into(), Value::from));
            let value = json!({ "metadata": { "phone_number_id": key }, "message_echoes": [message] });
            return Some(("smb_message_echoes", value));
        }
        let mut contact = Map::new();
        if let Some(phone) = phone {
            message.insert("from".into(), phone.clone().into());
            contact.insert("wa_id".into(), phone.into());
        }
        if chat.ends_with("@lid") {
            message.insert("from_user_id".into(), chat.into());
            contact.insert("user_id".into(), chat.into());
        }
        let data = &p["_data"];
        let names = [&data["pushName"], &data["notifyName"], &data["Info"]["PushName"]];
        if let Some(name) = names.into_iter().find_map(|name| name.as_str().filter(|n| !n.is_empty())) {
            contact.insert("profile".into(), json!({ "name": name }));
        }
        Some(("messages", value(key, "messages", message, Some(contact))))
    }

    fn ack(&self, key: &str) -> Option<(&'static str, Value)> {
        let p = &self.payload;
        if p["fromMe"] != true {
            return None;
        }
        let status = match p["ack"].as_i64()? {
            -1 => "failed",
            1 => "sent",
            2 => "delivered",
            3 => "read",
            4 => "played",
            _ => return None,
        };
        let mut entry = Map::new();
        entry.insert("id".into(), bare_id(p["id"].as_str()?).into());
        entry.insert("status".into(), status.into());
        // The time of the message, which is all WAHA tells, would say when it was written.
        Some(("messages", value(key, "statuses", entry, None)))
    }
}

fn value(key: &str, list: &str, item: Map<String, Value>, contact: Option<Map<String, Value>>) -> Value {
    let mut value = Map::new();
    value.insert("metadata".into(), json!({ "phone_number_id": key }));
    if let Some(contact) = contact {
        value.insert("contacts".into(), json!([contact]));
    }
    value.insert(list.to_owned(), json!([item]));
    Value::Object(value)
}

fn change(key: &str, field: &'static str, value: Value) -> Change {
    let raw = json!({ "field": field, "value": value }).to_string().into_bytes();
    Change { entry_id: key.to_owned(), field: field.to_owned(), phone_number_id: Some(key.to_owned()), raw }
}

/// A text from somebody, as a change for a session's number: for engines that live in this process.
pub fn text(key: &str, id: &str, from: &str, name: Option<&str>, text: &str, seconds: i64) -> Change {
    let mut message = Map::new();
    message.insert("id".into(), id.into());
    message.insert("timestamp".into(), seconds.to_string().into());
    message.insert("type".into(), "text".into());
    message.insert("text".into(), json!({ "body": text }));
    message.insert("from".into(), from.into());
    let mut contact = Map::new();
    contact.insert("wa_id".into(), from.into());
    if let Some(name) = name {
        contact.insert("profile".into(), json!({ "name": name }));
    }
    change(key, "messages", value(key, "messages", message, Some(contact)))
}

/// News of a message we sent, likewise.
pub fn status(key: &str, id: &str, status: &str) -> Change {
    let mut entry = Map::new();
    entry.insert("id".into(), id.into());
    entry.insert("status".into(), status.into());
    change(key, "messages", value(key, "statuses", entry, None))
}

/// Type and content as Meta writes them. `None`: a message of the protocol, which says nothing to anybody.
fn content(p: &Value) -> Option<(&'static str, Value)> {
    let body = p["body"].as_str().filter(|body| !body.trim().is_empty());
    if p["hasMedia"] == true {
        let media = &p["media"];
        let mime = media["mimetype"].as_str().unwrap_or_default();
        let kind = match mime.split('/').next().unwrap_or_default() {
            "image" if mime == "image/webp" => "sticker",
            "image" => "image",
            "video" => "video",
            "audio" => "audio",
            _ => "document",
        };
        let mut content = Map::new();
        for (name, value) in [("caption", body), ("filename", media["filename"].as_str())] {
            content.extend(value.map(|value| (name.to_owned(), value.into())));
        }
        if kind == "audio" && mime.contains("opus") {
            content.insert("voice".into(), true.into());
        }
        return Some((kind, content.into()));
    }
    let place = &p["location"];
    if place.is_object() {
        let fields = [("latitude", "latitude"), ("longitude", "longitude"), ("name", "description")];
        let given = fields.into_iter().filter(|(_, theirs)| !place[theirs].is_null());
        let content: Map<String, Value> =
            given.map(|(ours, theirs)| (ours.to_owned(), place[theirs].clone())).collect();
        return Some(("location", content.into()));
    }
    let cards: Vec<Value> = p["vCards"].as_array().into_iter().flatten().filter_map(card).collect();
    if !cards.is_empty() {
        return Some(("contacts", cards.into()));
    }
    body.map(|body| ("text", json!({ "body": body })))
}

fn card(card: &Value) -> Option<Value> {
    let field = |name: &str| {
        let line = card.as_str()?.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let name = field("FN")?;
    let phones: Vec<Value> = field("TEL").into_iter().map(|phone| json!({ "phone": phone })).collect();
    Some(json!({ "name": { "formatted_name": name }, "phones": phones }))
}

/// Unix seconds; a long number may come in two halves. 0 when unreadable.
fn seconds(value: &Value) -> i64 {
    let number = value.as_i64().or_else(|| value["low"].as_i64());
    let number = number.or_else(|| value.as_str()?.parse().ok()).unwrap_or(0);
    // Some write milliseconds.
    if number > 100_000_000_000 { number / 1_000 } else { number }
}

/// `15551234567` of `15551234567:3@s.whatsapp.net`; `None` for whatever is no phone.
pub fn digits_of(jid: &str) -> Option<String> {
    let (user, server) = jid.split_once('@').unwrap_or((jid, "c.us"));
    let digits = user.split(':').next().unwrap_or_default();
    let phone = matches!(server, "c.us" | "s.whatsapp.net")
        && (5..=20).contains(&digits.len())
        && digits.bytes().all(|c| c.is_ascii_digit());
    phone.then(|| digits.to_owned())
}

/// `3EB0…` of `true_15551234567@c.us_3EB0…`: the same however the chat is called.
pub fn bare_id(id: &str) -> String {
    let mut parts = id.split('_');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("true" | "false"), Some(chat), Some(id)) if chat.contains('@') => id.to_owned(),
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests;
