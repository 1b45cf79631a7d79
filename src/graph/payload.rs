//! The webhook envelope: takes a body apart into its changes without understanding what they say.
//!
//! Everything here is lenient on purpose. A body that Meta signed and we cannot read would come back for seven
//! days, so one odd entry, key or character must cost that item alone. `serde`'s derive refuses duplicate keys
//! and lone surrogates; [`RawObject`] does not even look at them.

use std::borrow::Cow;
use std::fmt;

use memchr::memmem;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// How many distinct ids of each kind [`peek`] reports at most: each may cost a stranger's body a look-up.
pub const PEEK_LIMIT: usize = 8;

/// A webhook body, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// `whatsapp_business_account` for everything we can use; empty when absent.
    pub object: String,
    /// Every change of every entry, in the order received. May be empty.
    pub changes: Vec<Change>,
}

/// One change of one entry: the unit that is stored, routed and erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The entry's `id`, usually a WABA; empty when absent.
    pub entry_id: String,
    /// What the change is about, e.g. `messages`; empty when absent or when `raw` is no change at all.
    pub field: String,
    /// The business number it names, in `value.metadata` or (hand-overs) in `value.recipient`.
    pub phone_number_id: Option<String>,
    /// The change's own JSON, bytes as received (invalid UTF-8 already replaced). When an entry could not be
    /// taken apart, the whole entry.
    pub raw: Vec<u8>,
}

/// Ids found in a body nobody has verified yet: good for choosing which secrets to try, for nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peek {
    /// Distinct values of `phone_number_id`.
    pub phone_number_ids: Vec<String>,
    /// Distinct values of any `id` that could be a WABA's; holds foreign ids too.
    pub business_account_ids: Vec<String>,
}

/// Why a body or a change could not be read. Never quotes the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON, or nested deeper than we follow.
    #[error("not readable as JSON (line {line}, column {column})")]
    Json {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// JSON, but no object where one must be.
    #[error("not a JSON object")]
    NotAnObject,
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        if error.is_data() {
            return Self::NotAnObject;
        }
        Self::Json { line: error.line(), column: error.column() }
    }
}

/// Takes a verified body apart. Fails only when the body as a whole is no JSON object.
///
/// A missing or empty `entry` or `changes` yields nothing; one of a wrong type yields a [`Change`] that holds
/// its raw bytes under an empty field.
pub fn split(body: &[u8]) -> Result<Split, Unreadable> {
    let body = String::from_utf8_lossy(body);
    let top = RawObject::parse(&body)?;
    let object = top.get("object").and_then(scalar).unwrap_or_default();
    let mut changes = Vec::new();
    for raw_entry in top.items("entry") {
        let Ok(entry) = RawObject::parse(raw_entry.get()) else {
            changes.push(Change::opaque(String::new(), raw_entry));
            continue;
        };
        let entry_id = entry.get("id").and_then(scalar).unwrap_or_default();
        for raw_change in entry.items("changes") {
            changes.push(match RawObject::parse(raw_change.get()) {
                Ok(change) => Change::read(&entry_id, &change, raw_change),
                Err(_) => Change::opaque(entry_id.clone(), raw_change),
            });
        }
    }
    Ok(Split { object, changes })
}

impl Change {
    fn read(entry_id: &str, change: &RawObject, raw: &RawValue) -> Self {
        let value = change.get("value").and_then(|value| RawObject::parse(value.get()).ok());
        let number_in = |place| {
            let part = RawObject::parse(value.as_ref()?.get(place)?.get()).ok()?;
            part.get("phone_number_id").and_then(scalar).filter(|id| !id.is_empty())
        };
        Self {
            entry_id: entry_id.to_owned(),
            field: change.get("field").and_then(scalar).unwrap_or_default(),
            phone_number_id: number_in("metadata").or_else(|| number_in("recipient")),
            raw: raw.get().as_bytes().to_vec(),
        }
    }

    fn opaque(entry_id: String, raw: &RawValue) -> Self {
        Self { entry_id, field: String::new(), phone_number_id: None, raw: raw.get().as_bytes().to_vec() }
    }
}

/// Collects the ids of an **unverified** body without parsing it: at most [`PEEK_LIMIT`] of each kind, each at
/// most 64 characters, linear in the body's length. Over-approximates; keys written with escapes are missed.
pub fn peek(body: &[u8]) -> Peek {
    Peek {
        phone_number_ids: values_of(body, b"\"phone_number_id\""),
        business_account_ids: values_of(body, b"\"id\""),
    }
}

fn values_of(body: &[u8], key: &[u8]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for at in memmem::find_iter(body, key) {
        let Some(id) = id_after(&body[at + key.len()..]) else { continue };
        if !found.iter().any(|known| known == id) {
            found.push(id.to_owned());
            if found.len() == PEEK_LIMIT {
                break;
            }
        }
    }
    found
}

fn id_after(rest: &[u8]) -> Option<&str> {
    let rest = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let (quoted, rest) = match rest.strip_prefix(b"\"") {
        Some(inner) => (true, inner),
        None => (false, rest),
    };
    let id_byte = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let length = rest.iter().take(65).take_while(|byte| id_byte(byte)).count();
    let (id, after) = rest.split_at(length);
    let fits = (1..=64).contains(&length) && (!quoted || after.first() == Some(&b'"'));
    fits.then(|| std::str::from_utf8(id).ok()).flatten()
}

/// Reads any JSON so that every database can hold it: lone surrogates become U+FFFD, U+0000 is dropped, invalid
/// UTF-8 is replaced, of duplicate keys the last wins. Nesting beyond 128 levels is [`Unreadable`].
pub fn parse_lenient(raw: &[u8]) -> Result<Value, Unreadable> {
    let text = String::from_utf8_lossy(raw);
    Ok(serde_json::from_str(&mend_escapes(&text))?)
}

/// Rewrites the `\u` escapes that `serde_json` or a database would refuse.
fn mend_escapes(json: &str) -> Cow<'_, str> {
    if memmem::find(json.as_bytes(), b"\\u").is_none() {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let low_follows = || unit(&rest[6..]).is_some_and(|low| (0xDC00..0xE000).contains(&low));
        let (keep, take) = match unit(rest) {
            Some(0) => ("", 6),
            Some(0xD800..0xDC00) if low_follows() => (&rest[..12], 12),
            Some(0xD800..0xE000) => ("\\ufffd", 6),
            Some(_) => (&rest[..6], 6),
            // Both characters of `\\` or `\"` go at once, or the second would be taken for a new escape.
            None => {
                let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                (&rest[..length], length)
            }
        };
        out.push_str(keep);
        rest = &rest[take..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The UTF-16 unit of a `\uXXXX` at the start of `text`.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

/// A JSON object whose keys and values are still raw text: nothing inside is judged before it is asked for.
pub struct RawObject<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'a> RawObject<'a> {
    /// Reads one object; nesting inside it does not matter.
    pub fn parse(json: &'a str) -> Result<Self, Unreadable> {
        Ok(serde_json::from_str(json)?)
    }

    /// The last value under `name`; a `null` counts as absent.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        let (_, value) = self.0.iter().rev().find(|(key, _)| is_key(key, name))?;
        (value.get() != "null").then_some(*value)
    }

    /// The keys, escapes resolved; one that cannot be read is left out.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.0
            .iter()
            .filter_map(|(key, _)| Some(parse_lenient(key.get().as_bytes()).ok()?.as_str()?.to_owned()))
    }

    /// The items of the array under `name`: none when it is absent, the value itself when it is no array.
    pub fn items(&self, name: &str) -> Vec<&'a RawValue> {
        let Some(value) = self.get(name) else { return Vec::new() };
        serde_json::from_str(value.get()).unwrap_or_else(|_| vec![value])
    }
}

fn is_key(key: &RawValue, name: &str) -> bool {
    let key = key.get();
    if key.contains('\\') {
        // An escaped spelling names the same key, or two readers of one body could disagree about it.
        return parse_lenient(key.as_bytes()).is_ok_and(|key| key == name);
    }
    key.strip_prefix('"').and_then(|key| key.strip_suffix('"')) == Some(name)
}

/// A string's text, or a number's digits as written.
fn scalar(raw: &RawValue) -> Option<String> {
    let raw = raw.get();
    match raw.as_bytes().first()? {
        b'"' if !raw.contains('\\') => Some(raw[1..raw.len() - 1].to_owned()),
        b'"' => parse_lenient(raw.as_bytes()).ok()?.as_str().map(str::to_owned),
        b'-' | b'0'..=b'9' => Some(raw.to_owned()),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for RawObject<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = RawObject<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(8);
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(RawObject(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests;
