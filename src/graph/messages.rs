//! JSON bodies for `POST /{phone-number-id}/messages`.

use serde_json::{Map, Value, json};

use crate::message::Recipient;

/// A text message. `callback` (at most 512 characters) comes back in every status of it.
pub fn text(to: &Recipient, body: &str, callback: &str) -> Value {
    let has_link = body.contains("https://") || body.contains("http://");
    let mut content = Map::new();
    content.insert("type".into(), "text".into());
    content.insert("text".into(), json!({"body": body, "preview_url": has_link}));
    addressed(to, content, callback)
}

/// Any message object of Meta's (`{"type":"template","template":{…}}` …), addressed to `to`: what it says itself
/// about product, address and callback is replaced.
pub fn addressed(to: &Recipient, mut content: Map<String, Value>, callback: &str) -> Value {
    // When both stand there, Meta takes `to`: the other one must go.
    content.remove("to");
    content.remove("recipient");
    content.insert("messaging_product".into(), "whatsapp".into());
    content.insert("recipient_type".into(), "individual".into());
    content.insert("biz_opaque_callback_data".into(), callback.into());
    match to {
        // Without the plus Meta puts the business's own country code in front.
        Recipient::Phone(digits) => content.insert("to".into(), format!("+{digits}").into()),
        Recipient::UserId(id) => content.insert("recipient".into(), id.as_str().into()),
    };
    Value::Object(content)
}

/// Marks a customer's message read and shows the typing indicator, for 25 s or until the answer.
pub fn read_and_typing(wamid: &str) -> Value {
    json!({"messaging_product": "whatsapp", "status": "read", "message_id": wamid,
           "typing_indicator": {"type": "text"}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_goes_to_a_phone_with_plus_or_to_a_user_id() {
        assert_eq!(
            text(&Recipient::Phone("15551234567".into()), "Hi", "a-1"),
            json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": "+15551234567",
                "type": "text", "text": {"body": "Hi", "preview_url": false}, "biz_opaque_callback_data": "a-1"})
        );
        let to_user = text(&Recipient::UserId("US.1349".into()), "see https://a.b", "a-2");
        assert_eq!(to_user["recipient"], "US.1349");
        assert_eq!(to_user.get("to"), None);
        assert_eq!(to_user["text"]["preview_url"], true);
    }

    #[test]
    fn a_callers_own_object_keeps_its_content_and_loses_its_address() {
        let own = json!({"to": "999", "recipient": "US.9", "biz_opaque_callback_data": "theirs",
            "type": "template", "template": {"name": "hello", "language": {"code": "en"}}});
        let body = addressed(&Recipient::Phone("1".into()), own.as_object().unwrap().clone(), "ours");
        assert_eq!(body["to"], "+1");
        assert_eq!(body.get("recipient"), None);
        assert_eq!(body["template"]["name"], "hello");
        assert_eq!(body["biz_opaque_callback_data"], "ours");
    }

    #[test]
    fn reading_and_typing_go_together() {
        assert_eq!(
            read_and_typing("wamid.1"),
            json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.1", "typing_indicator": {"type": "text"}})
        );
    }
}
