//! Reading what a caller sent: JSON bodies whose every wrong field is named at once.
//!
//! A body is read inside the handler, after the caller is known: strangers learn nothing of its rules.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::problem::{ApiError, Code, FieldError};

/// Largest body, in bytes.
pub const MAX_BODY: usize = 256 * 1024;

/// The bytes a caller sent, unread.
pub struct Body {
    bytes: web::Bytes,
    is_json: bool,
}

impl Body {
    /// Reads it; an empty body is `{}`. Unknown fields are refused by the types that ask for it.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        if self.bytes.is_empty() {
            return serde_json::from_str("{}").map_err(explain);
        }
        if !self.is_json {
            return Err(ApiError::new(Code::NotJson, "Send the body with Content-Type: application/json."));
        }
        serde_json::from_slice(&self.bytes).map_err(explain)
    }
}

impl FromRequest for Body {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let kind =
            request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_json =
            kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"));
        let bytes = web::Bytes::from_request(request, payload);
        Box::pin(async move {
            let too_large = |_| ApiError::new(Code::TooLarge, format!("A body may have {MAX_BODY} bytes."));
            Ok(Self { bytes: bytes.await.map_err(too_large)?, is_json })
        })
    }
}

/// serde's words as a problem; the field is named where serde names one.
fn explain(error: serde_json::Error) -> ApiError {
    let words = error.to_string();
    match (words.split('`').nth(1), error.classify()) {
        (Some(field), serde_json::error::Category::Data) if words.starts_with("unknown field") => {
            ApiError::field(field, "is not a field of this request")
        }
        (Some(field), serde_json::error::Category::Data) if words.starts_with("duplicate field") => {
            ApiError::field(field, "is there twice")
        }
        _ => ApiError::new(Code::Unreadable, "The body is not a JSON object."),
    }
}

/// A field of a body: absent, null, a value, or something of another kind. Never fails by itself, so that the other
/// fields are read too.
#[derive(Debug, Clone, Default)]
pub enum Field<T> {
    /// Not there.
    #[default]
    Absent,
    /// `null`.
    Null,
    /// As expected.
    Given(T),
    /// Not as expected: what is wrong, and below which field, if serde says so.
    Wrong(Option<String>, String),
}

impl<T> Field<T> {
    /// Whether the caller wrote it at all.
    pub fn is_there(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    /// This one, or the other if this is absent: for fields with two names.
    pub fn or(self, other: Self) -> Self {
        if self.is_there() { self } else { other }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.is_null() {
            return Ok(Self::Null);
        }
        if has_nul(&value) {
            return Ok(Self::Wrong(None, "must not contain U+0000".to_owned()));
        }
        let read = T::deserialize(&value);
        // To JSON 100.0 is a whole number.
        let read = read.or_else(|error| serde_json::from_value(whole(value)).map_err(|_| error));
        Ok(read.map_or_else(
            |error| {
                let words = error.to_string();
                if words.starts_with("unknown field") {
                    let inner = words.split('`').nth(1).map(str::to_owned);
                    return Self::Wrong(inner, "is not a field of this request".to_owned());
                }
                // What was given is left out: it may be a secret in the wrong place.
                let expected = words.rsplit_once("expected ").map_or("another kind of value", |(_, e)| e);
                Self::Wrong(None, format!("expected {expected}"))
            },
            Self::Given,
        ))
    }
}

/// The same with every number that has no fraction written without a point.
fn whole(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(n) if n.fract() == 0.0 && n.abs() < 9_007_199_254_740_992.0 => (n as i64).into(),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(whole).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, whole(value))).collect(),
        other => other,
    }
}

/// PostgreSQL takes no text with U+0000.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// What a field may be: the value as it is kept, or what would have been right.
pub type Checked<T> = Result<T, String>;

/// Takes fields and collects what is wrong with them.
#[derive(Debug, Default)]
pub struct Fields(Vec<FieldError>);

impl Fields {
    /// A field that must be there. `None` means that something is wrong and noted.
    pub fn required<T, U>(
        &mut self,
        name: &str,
        field: Field<T>,
        check: impl FnOnce(T) -> Checked<U>,
    ) -> Option<U> {
        match self.optional(name, field, check) {
            Some(Some(value)) => return Some(value),
            Some(None) => self.wrong(name, "must not be null"),
            None if self.has(name) => {}
            None => self.wrong(name, "is required"),
        }
        None
    }

    /// A field that may be absent (`None`) or null (`Some(None)`). A wrong one is noted and `None` too.
    pub fn optional<T, U>(
        &mut self,
        name: &str,
        field: Field<T>,
        check: impl FnOnce(T) -> Checked<U>,
    ) -> Option<Option<U>> {
        match field {
            Field::Absent => None,
            Field::Null => Some(None),
            Field::Given(value) => match check(value) {
                Ok(value) => Some(Some(value)),
                Err(message) => {
                    self.wrong(name, message);
                    None
                }
            },
            Field::Wrong(below, message) => {
                let name = below.map_or_else(|| name.to_owned(), |below| format!("{name}.{below}"));
                self.wrong(&name, message);
                None
            }
        }
    }

    /// A field that may be absent, but not null.
    pub fn given<T, U>(
        &mut self,
        name: &str,
        field: Field<T>,
        check: impl FnOnce(T) -> Checked<U>,
    ) -> Option<U> {
        match self.optional(name, field, check) {
            Some(None) => {
                self.wrong(name, "must not be null");
                None
            }
            other => other.flatten(),
        }
    }

    /// Notes what is wrong with a field.
    pub fn wrong(&mut self, name: &str, message: impl Into<String>) {
        self.0.push(FieldError { field: name.to_owned(), message: message.into() });
    }

    /// Whether something is wrong with a field, or below it.
    pub fn has(&self, name: &str) -> bool {
        let below = format!("{name}.");
        self.0.iter().any(|e| e.field == name || e.field.starts_with(&below))
    }

    /// An error if anything was wrong.
    pub fn done(self) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(ApiError::fields(self.0)) }
    }
}

/// Takes any value.
pub fn any<T>(value: T) -> Checked<T> {
    Ok(value)
}

/// A day or a time, as Unix milliseconds.
pub fn moment(text: String) -> Checked<i64> {
    crate::runtime::instant(&text)
}

/// Text that is not blank and has at most `longest` characters.
pub fn text(longest: usize) -> impl Fn(String) -> Checked<String> {
    move |text| {
        let length = text.chars().count();
        if text.trim().is_empty() || length > longest {
            return Err(format!("must have 1 to {longest} characters"));
        }
        Ok(text)
    }
}

/// A token or secret: visible ASCII, so that every header can carry it.
pub fn secret(shortest: usize) -> impl Fn(String) -> Checked<String> {
    move |text| {
        if !(shortest..=4096).contains(&text.len()) || !text.bytes().all(|c| c.is_ascii_graphic()) {
            return Err(format!("must have {shortest} to 4096 characters, without blanks"));
        }
        Ok(text)
    }
}

/// A word of letters that are `allowed`, `1..=longest` of them.
pub fn word(
    longest: usize,
    allowed: fn(u8) -> bool,
    what: &'static str,
) -> impl Fn(String) -> Checked<String> {
    move |text| {
        if (1..=longest).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(text);
        }
        Err(format!("must be 1 to {longest} {what}"))
    }
}

/// A whole number within bounds.
pub fn number(bounds: std::ops::RangeInclusive<i64>) -> impl Fn(i64) -> Checked<i64> {
    move |n| {
        if bounds.contains(&n) {
            return Ok(n);
        }
        Err(format!("must be from {} to {}", bounds.start(), bounds.end()))
    }
}
