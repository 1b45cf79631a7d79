//! A place in a JSON value, with its path: what is wrong there is noted and the reading goes on.

use std::cell::RefCell;

use serde_json::Value;
use unicode_segmentation::UnicodeSegmentation;
use url::Url;

use super::Wrong;

/// Absent things are `null`, as everywhere in Meta's JSON.
pub(super) struct At<'a> {
    value: &'a Value,
    path: String,
    notes: &'a RefCell<Vec<Wrong>>,
}

impl<'a> At<'a> {
    pub fn top(value: &'a Value, notes: &'a RefCell<Vec<Wrong>>) -> Self {
        Self { value, path: String::new(), notes }
    }

    pub fn at(&self, key: &str) -> At<'a> {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        At { value: &self.value[key], path, notes: self.notes }
    }

    pub fn wrong(&self, message: impl Into<String>) {
        self.notes.borrow_mut().push(Wrong { field: self.path.clone(), message: message.into() });
    }

    pub fn is_there(&self) -> bool {
        !self.value.is_null()
    }

    pub fn absent(&self, kind: &str) {
        if self.is_there() {
            self.wrong(format!("is not taken with {kind}"));
        }
    }

    /// Whether it is an object; otherwise that is noted.
    pub fn object(&self) -> bool {
        if !self.value.is_object() {
            self.wrong(if self.is_there() { "must be an object" } else { "is required" });
        }
        self.value.is_object()
    }

    /// The items of an array of 1 to `most`.
    pub fn each(&self, most: usize) -> Vec<At<'a>> {
        let items = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        if items.is_empty() || items.len() > most {
            self.wrong(format!("must be a list of 1 to {most}"));
            return Vec::new();
        }
        let item = |(n, value)| At { value, path: format!("{}.{n}", self.path), notes: self.notes };
        items.iter().enumerate().map(item).collect()
    }

    /// Notes it unless it is text with 1 to `most` characters.
    pub fn text(&self, most: usize) {
        self.read(most);
    }

    /// The same, and the text.
    pub fn read(&self, most: usize) -> Option<&'a str> {
        let text = self.value.as_str().filter(|t| !t.trim().is_empty() && t.chars().count() <= most);
        if text.is_none() {
            self.wrong(format!("must have 1 to {most} characters"));
        }
        text
    }

    pub fn maybe_text(&self, most: usize) {
        if self.is_there() {
            self.text(most);
        }
    }

    pub fn maybe_bool(&self) {
        if self.is_there() && !self.value.is_boolean() {
            self.wrong("must be true or false");
        }
    }

    /// Notes it unless it is this word.
    pub fn is(&self, word: &str) {
        self.word(&[word]);
    }

    /// One of these words.
    pub fn word(&self, words: &[&str]) -> Option<&'a str> {
        let word = self.value.as_str().filter(|word| words.contains(word));
        if word.is_none() {
            let all = words.join(", ");
            self.wrong(if words.len() == 1 {
                format!("must be {all}")
            } else {
                format!("must be one of {all}")
            });
        }
        word
    }

    /// A number, perhaps written as text, from `-most` to `most`.
    pub fn number(&self, most: f64) {
        let number = self.value.as_f64().or_else(|| self.value.as_str()?.trim().parse().ok());
        if !number.is_some_and(|number| number.abs() <= most) {
            self.wrong(format!("must be a number from -{most} to {most}"));
        }
    }

    pub fn url(&self, most: usize) {
        let url = self.value.as_str().filter(|url| url.len() <= most).and_then(|url| Url::parse(url).ok());
        if !url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            self.wrong(format!("must be an http or https URL of at most {most} characters"));
        }
    }

    /// One emoji, or nothing at all: that takes a reaction back.
    pub fn emoji(&self) {
        let one = |text: &str| text.graphemes(true).count() == 1 && text.len() <= 64 && !text.is_ascii();
        if !self.value.as_str().is_some_and(|text| text.is_empty() || one(text)) {
            self.wrong("must be one emoji, or empty to take the reaction back");
        }
    }
}
