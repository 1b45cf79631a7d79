//! From one stored change to what it says: messages, statuses, and what Meta tells about people and businesses.
//!
//! The change's `field` decides. Each item is read on its own, so a bad one never spoils the rest. Routing (number,
//! WABA) is taken from the [`Change`] as the door split and verified it, never read again from the body.

mod business;
mod content;
mod people;

use serde_json::Value;

use crate::graph::content::MEDIA;
use crate::graph::payload::{Change, RawObject, parse_lenient};
use crate::message::{Attachment, DeliveryStatus, Inbound, Item, Pricing, Sender, StatusUpdate, Voice};

/// Everything one change yields, in its own order. Never empty.
pub fn normalize(change: &Change) -> Vec<Item> {
    let raw = String::from_utf8_lossy(&change.raw);
    let value = RawObject::parse(&raw)
        .ok()
        .and_then(|c| RawObject::parse(c.get("value").map_or("", |v| v.get())).ok());
    let Some(value) = value else {
        return vec![notice(if change.field.is_empty() { "unreadable change" } else { "no readable value" })];
    };
    let mut items = match change.field.as_str() {
        "messages" => messages(change, &value),
        "smb_message_echoes" => people::echoes(change, &value, Voice::Person),
        "message_echoes" => people::echoes(change, &value, Voice::Anybody),
        "standby" => people::standby(change, &value),
        "messaging_handovers" => vec![people::routed(&whole(&value))],
        "user_id_update" => people::id_updates(&value),
        "user_preferences" => people::preferences(&value),
        "calls" => people::calls(change, &value),
        "" => vec![notice("unreadable change")],
        field => match (business::reads(field), kept(field)) {
            (true, _) => vec![business::news(change, &whole(&value))],
            (_, Some(why)) => vec![notice(why)],
            _ => vec![Item::Notice { reason: format!("field not known: {}", shortened(field)) }],
        },
    };
    if items.is_empty() {
        items.push(notice("nothing in it that we could read"));
    }
    items
}

/// Why a field that we know is kept and nothing else.
fn kept(field: &str) -> Option<&'static str> {
    Some(match field {
        "history" => "history: old messages of the phone app",
        "smb_app_state_sync" => "the phone app's address book",
        "group_lifecycle_update"
        | "group_participants_update"
        | "group_settings_update"
        | "group_status_update" => "groups are not answered",
        "automatic_events" | "tracking_events" => "a measurement for advertisers",
        "consumer_profile" => "a customer's profile",
        _ => return None,
    })
}

/// What is read by its own name, one thing at a time.
fn read(value: &RawObject, name: &str) -> Vec<Value> {
    value
        .items(name)
        .into_iter()
        .map(|item| parse_lenient(item.get().as_bytes()).unwrap_or_default())
        .collect()
}

/// A small value whole; what cannot be read of it is absent.
fn whole(value: &RawObject) -> Value {
    let parts = value.names().filter_map(|name| {
        let part = parse_lenient(value.get(&name)?.get().as_bytes()).ok()?;
        Some((name, part))
    });
    Value::Object(parts.collect())
}

fn messages(change: &Change, value: &RawObject) -> Vec<Item> {
    let Some(number) = &change.phone_number_id else { return vec![notice("no phone number ID")] };
    let contacts = read(value, "contacts");
    let mut items: Vec<Item> = Vec::new();
    for message in read(value, "messages") {
        items.push(spoken(change, &contacts, &message, Voice::Customer).unwrap_or_else(notice));
        items.extend(people::renamed(&message));
    }
    items.extend(read(value, "statuses").iter().map(|s| status(number, s).unwrap_or_else(notice)));
    items.extend(read(value, "errors").iter().map(|e| notice(&format!("Meta reports {}", error_words(e)))));
    if items.is_empty() {
        items.push(notice("no messages, statuses or errors"));
    }
    items
}

/// One message. The business's own words have the customer in `to`.
fn spoken(change: &Change, contacts: &[Value], message: &Value, voice: Voice) -> Result<Item, &'static str> {
    let number = change.phone_number_id.as_ref().ok_or("no phone number ID")?;
    let wamid = id(&message["id"]).ok_or("message without a usable ID")?;
    let customer = match voice {
        Voice::Customer | Voice::Overheard => {
            people::system_names(message).or_else(|| sender(message, contacts))
        }
        _ => people::addressee(message, contacts),
    };
    let kind = id(&message["type"]).unwrap_or_else(|| "unknown".to_owned());
    let (text, readable) = content::read(&kind, message);
    let in_group = !message["group_id"].is_null();
    if in_group && !voice.is_customer() {
        return Err("groups are not answered");
    }
    Ok(Item::Message(Inbound {
        phone_number_id: number.to_owned(),
        business_account_id: change.entry_id.clone(),
        // Whoever has the thread may pass it to us together with the message: that one is not this one.
        wamid: if voice == Voice::Overheard { format!("standby:{wamid}") } else { wamid },
        sender: customer.ok_or("message without a sender")?,
        sent_at: millis(&message["timestamp"]),
        text,
        answerable: voice == Voice::Customer && readable && !in_group,
        media: media(&message[&kind]).filter(|_| voice.is_customer() && MEDIA.contains(&kind.as_str())),
        kind,
        voice,
    }))
}

fn media(part: &Value) -> Option<Attachment> {
    let short = |value: &Value, most: usize| Some(words(value)?.chars().take(most).collect());
    Some(Attachment {
        id: id(&part["id"])?,
        mime_type: short(&part["mime_type"], 200).unwrap_or_else(|| "application/octet-stream".to_owned()),
        sha256: short(&part["sha256"], 100),
        filename: short(&part["filename"], 200),
    })
}

/// Who wrote it: the message's own words, filled up from the contact that is the same person. `None` when
/// neither a phone nor a user ID is known.
fn sender(message: &Value, contacts: &[Value]) -> Option<Sender> {
    let (wa_id, from_as_user) = match id(&message["from"]) {
        Some(from) => match from.strip_prefix('+').unwrap_or(&from) {
            digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                (Some(digits.to_owned()), None)
            }
            // `CC.…`: a BSUID where a phone should be. Whatever is no phone is kept whole as a user ID.
            _ => (None, Some(from)),
        },
        None => (None, None),
    };
    let user_id = id(&message["from_user_id"]).or(from_as_user);
    if wa_id.is_none() && user_id.is_none() {
        return None;
    }

    let same_user = |c: &&Value| user_id.is_some() && id(&c["user_id"]) == user_id;
    let same_phone = |c: &&Value| {
        // A phone alone proves nothing when both sides name a user: numbers get recycled.
        let undecided = user_id.is_none() || id(&c["user_id"]).is_none();
        undecided && wa_id.is_some() && id(&c["wa_id"]) == wa_id
    };
    let contact = contacts.iter().find(same_user).or_else(|| contacts.iter().find(same_phone));
    let contact = contact.unwrap_or(&Value::Null);
    let profile = &contact["profile"];
    Some(Sender {
        wa_id: wa_id.or_else(|| id(&contact["wa_id"])),
        user_id: user_id.or_else(|| id(&contact["user_id"])),
        parent_user_id: id(&message["from_parent_user_id"]).or_else(|| id(&contact["parent_user_id"])),
        name: words(&profile["name"]).or_else(|| words(&profile["username"])),
    })
}

fn status(number: &str, status: &Value) -> Result<Item, &'static str> {
    let wamid = id(&status["id"]).ok_or("status without a usable ID")?;
    // Of our own words only these are Meta's; from outside, `dead` or `cancelled` would be a lie.
    let known = id(&status["status"])
        .filter(|word| matches!(word.as_str(), "sent" | "delivered" | "read" | "played" | "failed"));
    let error = &status["errors"][0];
    Ok(Item::Status(StatusUpdate {
        phone_number_id: number.to_owned(),
        wamid,
        status: known.and_then(|word| DeliveryStatus::parse(&word)),
        at: millis(&status["timestamp"]),
        callback: words(&status["biz_opaque_callback_data"]),
        error_code: number_of(&error["code"]),
        error_text: [&error["error_data"]["details"], &error["message"], &error["title"]]
            .into_iter()
            .find_map(words),
        participant: id(&status["recipient_participant_user_id"])
            .or_else(|| id(&status["recipient_participant_id"])),
        pricing: pricing(&status["pricing"]),
    }))
}

fn pricing(pricing: &Value) -> Option<Pricing> {
    // Long words would not fit the day's table, and none of Meta's is.
    let word = |value: &Value| id(value).map(|word| word.chars().take(40).collect::<String>());
    let (category, kind) = (word(&pricing["category"]), word(&pricing["type"]));
    if category.is_none() && kind.is_none() {
        return None;
    }
    let kind = kind.unwrap_or_else(|| "unknown".to_owned());
    // `billable` is on its way out; the type says the same.
    let billable = pricing["billable"].as_bool().unwrap_or(kind == "regular");
    Some(Pricing { category: category.unwrap_or_else(|| "unknown".to_owned()), kind, billable })
}

fn error_words(error: &Value) -> String {
    let code = number_of(&error["code"]).map_or_else(|| "an error".to_owned(), |c| format!("error {c}"));
    match words(&error["title"]).or_else(|| words(&error["message"])) {
        Some(title) => format!("{code}: {}", shortened(&title)),
        None => code,
    }
}

fn notice(reason: &str) -> Item {
    Item::Notice { reason: reason.to_owned() }
}

/// An identifier, written as string or number. None of Meta's comes near 255 bytes, and a longer one would not
/// fit a database index.
fn id(value: &Value) -> Option<String> {
    words(value).map(|text| text.trim().to_owned()).filter(|text| text.len() <= 255)
}

/// A string that is not blank, or a number.
fn words(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn number_of(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// Unix seconds as string or number, in milliseconds; 0 when unreadable.
fn millis(seconds: &Value) -> i64 {
    number_of(seconds).filter(|s| *s > 0).and_then(|s| s.checked_mul(1000)).unwrap_or(0)
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
