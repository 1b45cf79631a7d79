//! One message for each of many people, as callers write it.

use serde::Deserialize;
use utoipa::ToSchema;

use super::body::{Field, Fields, text};
use super::outgoing::phone;
use crate::graph::content::TEXT;

/// One of many.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Addressee {
    /// Also taken as `phone`, `number` or `phoneNumber`.
    #[serde(alias = "phone", alias = "number", alias = "phoneNumber")]
    to: String,
    /// Theirs; the common one unless given.
    message: Option<String>,
}

/// Between one and `most` people.
pub fn people(most: usize) -> impl Fn(Vec<Addressee>) -> Result<Vec<Addressee>, String> {
    move |people| match people.len() {
        n if (1..=most).contains(&n) => Ok(people),
        _ => Err(format!("must be 1 to {most} people")),
    }
}

/// To whom which words: their own, or the common ones. Whatever is wrong with them is noted under `contacts.n`.
pub fn letters(people: Vec<Addressee>, common: Option<&str>, fields: &mut Fields) -> Vec<(String, String)> {
    let mut letters = Vec::with_capacity(people.len());
    for (n, person) in people.into_iter().enumerate() {
        let field = format!("contacts.{n}");
        let to = fields.given(&format!("{field}.to"), Field::Given(person.to), phone);
        let own = person.message.map_or(Field::Absent, Field::Given);
        let own = fields.given(&format!("{field}.message"), own, text(TEXT));
        match (to, own.or_else(|| common.map(str::to_owned))) {
            (Some(to), Some(words)) => letters.push((to, words)),
            (_, None) if !fields.has(&field) && !fields.has("message") => {
                fields.wrong("message", "is required where a person has none of their own");
            }
            _ => {}
        }
    }
    letters
}
