//! What a change says about people: what they heard from others, who has their thread, what they are called now, what
//! they wish for, that they called.

use serde_json::{Value, json};

use super::{id, millis, notice, read, sender, spoken, words};
use crate::graph::payload::{Change, RawObject};
use crate::message::{Consent, Inbound, Item, Rename, Routed, Sender, Voice};

/// What the business said without us.
pub(super) fn echoes(change: &Change, value: &RawObject, voice: Voice) -> Vec<Item> {
    let contacts = read(value, "contacts");
    let echoes = read(value, "message_echoes");
    echoes.iter().map(|m| spoken(change, &contacts, m, voice).unwrap_or_else(notice)).collect()
}

/// What is said in a thread that somebody else has: both sides are kept, nobody is answered.
pub(super) fn standby(change: &Change, value: &RawObject) -> Vec<Item> {
    let inner = value.get("standby").and_then(|inner| RawObject::parse(inner.get()).ok());
    let Some(inner) = inner else { return vec![notice("standby: nothing in it")] };
    let contacts = read(&inner, "contacts");
    let said = |name, voice| {
        let messages = read(&inner, name);
        let said = |m: &Value| spoken(change, &contacts, m, voice).unwrap_or_else(notice);
        messages.iter().map(said).collect::<Vec<_>>()
    };
    let mut items = said("messages", Voice::Overheard);
    items.extend(said("message_echoes", Voice::Other));
    if items.is_empty() {
        items.push(notice("standby: news of messages that are not ours"));
    }
    items
}

/// To whom the business spoke.
pub(super) fn addressee(message: &Value, contacts: &[Value]) -> Option<Sender> {
    let first = |names: [&str; 2]| names.map(|name| &message[name]).into_iter().find(|v| !v.is_null());
    let phone = first(["to", "recipient_id"]).unwrap_or(&Value::Null);
    person(phone, first(["to_user_id", "recipient_user_id"]).unwrap_or(&Value::Null), contacts)
}

/// Somebody of whom these two names are told.
fn person(phone: &Value, user_id: &Value, contacts: &[Value]) -> Option<Sender> {
    sender(&json!({ "from": phone, "from_user_id": user_id }), contacts)
}

/// A thread came to us or went to another.
pub(super) fn routed(value: &Value) -> Item {
    let kind = id(&value["type"]);
    let is = |word: &str| kind.as_deref() == Some(word) || (kind.is_none() && !value[word].is_null());
    let ours = match (is("control_passed"), is("control_taken")) {
        (true, _) => true,
        (_, true) => false,
        _ => return notice("a hand-over of a kind we do not know"),
    };
    let who = &value["sender"];
    match person(&who["phone_number"], &who["user_id"], &[]) {
        Some(customer) => Item::Routed(Routed { customer, ours, at: millis(&value["timestamp"]) }),
        None => notice("a hand-over that names no customer"),
    }
}

/// The names a customer has after a `system` message: those are whose message it is.
pub(super) fn system_names(message: &Value) -> Option<Sender> {
    match renamed(message)? {
        Item::Rename(rename) => {
            let Rename { previous, current, .. } = rename;
            Some(Sender {
                wa_id: current.wa_id,
                user_id: current.user_id.or(previous.user_id),
                parent_user_id: current.parent_user_id,
                name: None,
            })
        }
        _ => None,
    }
}

/// The change of names that a `system` message tells. Meta has written it in several ways: the new phone in `wa_id` or
/// `new_wa_id`, the former user ID in `previous_user_id` or only in the sentence "… changed from OLD to NEW".
pub(super) fn renamed(message: &Value) -> Option<Item> {
    let system = &message["system"];
    if id(&message["type"]).as_deref() != Some("system") {
        return None;
    }
    let told = sentence(&words(&system["body"]).unwrap_or_default());
    let phone = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    let (phones, users) = match told {
        Some((old, new)) if phone(&old) && phone(&new) => (Some((old, new)), None),
        Some((old, new)) if !phone(&old) && !phone(&new) => (None, Some((old, new))),
        _ => (None, None),
    };
    let (old_phone, new_phone) = phones.unzip();
    let (old_user, new_user) = users.unzip();
    let from = sender(message, &[]).unwrap_or_default();
    match id(&system["type"])?.as_str() {
        "user_changed_number" | "customer_changed_number" => {
            let current = Sender {
                wa_id: id(&system["wa_id"]).or_else(|| id(&system["new_wa_id"])).or(new_phone).map(plain),
                user_id: id(&system["user_id"]),
                parent_user_id: id(&system["parent_user_id"]),
                name: None,
            };
            let previous = Sender {
                wa_id: from.wa_id.or(old_phone).filter(|old| Some(old) != current.wa_id.as_ref()),
                user_id: id(&system["previous_user_id"])
                    .or(from.user_id)
                    .filter(|old| Some(old) != current.user_id.as_ref()),
                ..Sender::default()
            };
            rename(previous, current, millis(&message["timestamp"]))
        }
        "user_changed_user_id" => {
            let current = Sender {
                user_id: id(&system["user_id"]).or(new_user),
                wa_id: id(&system["wa_id"]).or(from.wa_id).map(plain),
                parent_user_id: id(&system["parent_user_id"]),
                name: None,
            };
            let previous = Sender {
                user_id: id(&system["previous_user_id"])
                    .or(old_user)
                    .or(from.user_id)
                    .filter(|old| Some(old) != current.user_id.as_ref()),
                ..Sender::default()
            };
            rename(previous, current, millis(&message["timestamp"]))
        }
        _ => None,
    }
}

fn rename(previous: Sender, current: Sender, at: i64) -> Option<Item> {
    let known = previous.wa_id.is_some() || previous.user_id.is_some();
    let named = current.wa_id.is_some() || current.user_id.is_some();
    (known && named).then_some(Item::Rename(Rename { previous, current, at }))
}

fn plain(phone: String) -> String {
    phone.trim_start_matches('+').to_owned()
}

/// `(OLD, NEW)` of "User X changed from OLD to NEW".
fn sentence(body: &str) -> Option<(String, String)> {
    let (_, rest) = body.rsplit_once("changed from ")?;
    let (old, new) = rest.split_once(" to ")?;
    let name = |word: &str| {
        let word = word.trim().trim_start_matches('+').trim_end_matches(['.', ',', ';']);
        let whole = (1..=160).contains(&word.len()) && !word.contains(char::is_whitespace);
        whole.then(|| word.to_owned())
    };
    Some((name(old)?, name(new.split_whitespace().next()?)?))
}

/// Changes of names as the field `user_id_update` tells them.
pub(super) fn id_updates(value: &RawObject) -> Vec<Item> {
    let updates = read(value, "user_id_update");
    let one = |update: &Value| {
        let of = |time: &str| Sender {
            user_id: id(&update["user_id"][time]),
            parent_user_id: id(&update["parent_user_id"][time]),
            ..Sender::default()
        };
        let mut current = of("current");
        current.wa_id = id(&update["wa_id"]).map(plain);
        let read = rename(of("previous"), current, millis(&update["timestamp"]));
        read.unwrap_or_else(|| notice("a new user ID without the former or the current one"))
    };
    updates.iter().map(one).collect()
}

/// Whether customers want marketing messages.
pub(super) fn preferences(value: &RawObject) -> Vec<Item> {
    let contacts = read(value, "contacts");
    let one = |preference: &Value| {
        let wanted = match words(&preference["value"]).as_deref() {
            Some("stop") => false,
            Some("resume") => true,
            _ => return notice("a preference we do not know"),
        };
        if words(&preference["category"]).is_some_and(|category| category != "marketing_messages") {
            return notice("a preference we do not know");
        }
        match person(&preference["wa_id"], &preference["user_id"], &contacts) {
            Some(customer) => {
                Item::Consent(Consent { customer, wanted, at: millis(&preference["timestamp"]) })
            }
            None => notice("a preference of nobody"),
        }
    };
    read(value, "user_preferences").iter().map(one).collect()
}

/// Calls of customers: each is one message of the talk, answered by nobody here; it opens the window like any other.
pub(super) fn calls(change: &Change, value: &RawObject) -> Vec<Item> {
    let contacts = read(value, "contacts");
    let one = |call: &Value| {
        if words(&call["direction"]).as_deref() == Some("BUSINESS_INITIATED") {
            return notice("a call of the business");
        }
        let spoken = spoken(change, &contacts, call, Voice::Customer);
        match spoken {
            Ok(Item::Message(call)) => Item::Message(Inbound {
                kind: "call".into(),
                text: "[Call]".into(),
                answerable: false,
                ..call
            }),
            Ok(_) => notice("a call we could not read"),
            Err(why) => notice(why),
        }
    };
    let calls = read(value, "calls");
    let mut items: Vec<Item> = calls.iter().map(one).collect();
    if items.is_empty() && !read(value, "statuses").is_empty() {
        items.push(notice("news of a call of the business"));
    }
    items
}

#[cfg(test)]
mod tests;
