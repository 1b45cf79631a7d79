//! A stored event without one of the people in it: what others said in it stays.

use std::collections::HashSet;

use serde_json::Value;

/// What is left of a change's JSON once every item that is known by one of `names` is gone, and every other mention.
/// `None`: nothing of anybody else's, or it cannot be read well enough to say so.
pub(super) fn without(raw: &[u8], names: &HashSet<String>) -> Option<Vec<u8>> {
    let whole: Value = serde_json::from_slice(raw).ok()?;
    let mut left = whole.clone();
    strip(&mut left, names);
    // Nothing found: whoever is meant goes by a name that is not known any more.
    if left == whole {
        return None;
    }
    let told = left.get("value")?.as_object()?;
    // Contacts only say who the others are.
    let others =
        told.iter().any(|(key, items)| key != "contacts" && items.as_array().is_some_and(|i| !i.is_empty()));
    others.then(|| left.to_string().into_bytes())
}

fn strip(value: &mut Value, names: &HashSet<String>) {
    let named = |value: &Value| value.as_str().is_some_and(|text| names.contains(text));
    match value {
        Value::Array(items) => {
            items.retain(|item| {
                !named(item) && !item.as_object().is_some_and(|item| item.values().any(named))
            });
            items.iter_mut().for_each(|item| strip(item, names));
        }
        Value::Object(fields) => {
            fields.retain(|_, field| !named(field));
            fields.values_mut().for_each(|field| strip(field, names));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn left(value: &Value) -> Option<Value> {
        let names = ["anna".to_owned(), "wamid.1".to_owned()].into();
        without(json!({"field": "messages", "value": value}).to_string().as_bytes(), &names)
            .map(|raw| serde_json::from_slice::<Value>(&raw).unwrap()["value"].take())
    }

    #[test]
    fn what_others_said_stays() {
        let mixed = json!({
            "metadata": {"phone_number_id": "1"},
            "contacts": [{"wa_id": "anna", "profile": {"name": "Anna"}}, {"wa_id": "bert"}],
            "messages": [{"from": "anna", "text": {"body": "mine"}}, {"id": "wamid.1"},
                {"from": "bert", "context": {"from": "anna"}, "contacts": [{"phones": [{"wa_id": "anna"}]}]}],
            "statuses": [{"recipient_id": "anna"}],
        });
        let others = json!({
            "metadata": {"phone_number_id": "1"},
            "contacts": [{"wa_id": "bert"}],
            "messages": [{"from": "bert", "context": {}, "contacts": [{"phones": []}]}],
            "statuses": [],
        });
        assert_eq!(left(&mixed), Some(others));
        assert_eq!(left(&json!({"contacts": [{"wa_id": "bert"}], "messages": [{"from": "anna"}]})), None);
        assert_eq!(left(&json!({"messages": [{"from": "called otherwise"}]})), None);
        assert_eq!(without(b"anna, but no JSON", &["anna".to_owned()].into()), None);
    }
}
