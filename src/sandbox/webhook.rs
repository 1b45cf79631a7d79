//! Meta's webhook deliveries: bodies as Meta writes them, signed and posted to a running server.

mod status;

use serde_json::{Value, json};

pub use status::Status;

use super::{http_client, now_ms};
use crate::graph::signature;

/// A customer's message, as it stands in a webhook body.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Meta's message ID; a fresh random one unless set.
    pub wamid: String,
    /// The customer's phone, digits only; `None` for someone who hides behind a username.
    pub from: Option<String>,
    /// The customer's BSUID, if Meta names one.
    pub user_id: Option<String>,
    /// The name on the customer's profile.
    pub name: Option<String>,
    /// When it was written, Unix seconds.
    pub timestamp: i64,
    kind: String,
    content: Value,
}

impl Incoming {
    /// A message of any type: `content` is what stands under the key named like the type.
    pub fn new(from: &str, kind: &str, content: Value) -> Self {
        Self {
            wamid: new_wamid(),
            from: Some(from.trim_start_matches('+').to_owned()),
            user_id: None,
            name: None,
            timestamp: now_ms() / 1000,
            kind: kind.to_owned(),
            content,
        }
    }

    /// Plain text.
    pub fn text(from: &str, body: &str) -> Self {
        Self::new(from, "text", json!({ "body": body }))
    }

    /// The quick-reply button of a template.
    pub fn button(from: &str, payload: &str, text: &str) -> Self {
        Self::new(from, "button", json!({ "payload": payload, "text": text }))
    }

    /// A pressed reply button.
    pub fn button_reply(from: &str, id: &str, title: &str) -> Self {
        let reply = json!({ "type": "button_reply", "button_reply": { "id": id, "title": title } });
        Self::new(from, "interactive", reply)
    }

    /// A chosen row of a list.
    pub fn list_reply(from: &str, id: &str, title: &str) -> Self {
        let reply = json!({ "type": "list_reply", "list_reply": { "id": id, "title": title } });
        Self::new(from, "interactive", reply)
    }

    /// A picture, with or without words under it.
    pub fn image(from: &str, caption: Option<&str>) -> Self {
        let mut content = media("image/jpeg");
        if let Some(caption) = caption {
            content["caption"] = caption.into();
        }
        Self::new(from, "image", content)
    }

    /// A voice message.
    pub fn voice(from: &str) -> Self {
        let mut content = media("audio/ogg; codecs=opus");
        content["voice"] = true.into();
        Self::new(from, "audio", content)
    }

    /// A file.
    pub fn document(from: &str, filename: &str) -> Self {
        let mut content = media("application/pdf");
        content["filename"] = filename.into();
        Self::new(from, "document", content)
    }

    /// A place on the map.
    pub fn location(from: &str, latitude: f64, longitude: f64) -> Self {
        Self::new(from, "location", json!({ "latitude": latitude, "longitude": longitude }))
    }

    /// An emoji put on the message `wamid`.
    pub fn reaction(from: &str, wamid: &str, emoji: &str) -> Self {
        Self::new(from, "reaction", json!({ "message_id": wamid, "emoji": emoji }))
    }

    /// With this message ID.
    pub fn with_wamid(self, wamid: impl Into<String>) -> Self {
        Self { wamid: wamid.into(), ..self }
    }

    /// From a customer whose profile shows this name.
    pub fn with_name(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// From a customer with this BSUID.
    pub fn with_user_id(self, user_id: impl Into<String>) -> Self {
        Self { user_id: Some(user_id.into()), ..self }
    }

    /// Without a phone number, as customers with a username appear.
    pub fn without_phone(self) -> Self {
        Self { from: None, ..self }
    }

    /// Written at this time, Unix seconds.
    pub fn at(self, timestamp: i64) -> Self {
        Self { timestamp, ..self }
    }

    fn message(&self) -> Value {
        let mut message = json!({
            "id": self.wamid,
            "timestamp": self.timestamp.to_string(),
            "type": self.kind,
            (self.kind.as_str()): self.content,
        });
        set(&mut message, "from", &self.from);
        set(&mut message, "from_user_id", &self.user_id);
        message
    }

    fn contact(&self) -> Value {
        let mut contact = json!({ "profile": {} });
        set(&mut contact["profile"], "name", &self.name);
        set(&mut contact, "wa_id", &self.from);
        set(&mut contact, "user_id", &self.user_id);
        contact
    }
}

/// One `messages` change: everything that happened on one business number.
#[derive(Debug, Clone)]
pub struct Change {
    phone_number_id: String,
    business_account_id: String,
    field: String,
    messages: Vec<Incoming>,
    statuses: Vec<Status>,
}

impl Change {
    /// A change for this number; its WABA is `waba-<number>` unless said otherwise.
    pub fn new(phone_number_id: &str) -> Self {
        Self {
            phone_number_id: phone_number_id.to_owned(),
            business_account_id: format!("waba-{phone_number_id}"),
            field: "messages".to_owned(),
            messages: Vec::new(),
            statuses: Vec::new(),
        }
    }

    /// Under this WABA.
    pub fn waba(self, id: &str) -> Self {
        Self { business_account_id: id.to_owned(), ..self }
    }

    /// As a change of another field, e.g. `smb_message_echoes`.
    pub fn field(self, field: &str) -> Self {
        Self { field: field.to_owned(), ..self }
    }

    /// One more message.
    pub fn message(mut self, message: Incoming) -> Self {
        self.messages.push(message);
        self
    }

    /// One more status.
    pub fn status(mut self, status: Status) -> Self {
        self.statuses.push(status);
        self
    }

    fn entry(&self) -> Value {
        let mut value = json!({
            "messaging_product": "whatsapp",
            "metadata": {
                "display_phone_number": super::graph::display_number(&self.phone_number_id),
                "phone_number_id": self.phone_number_id,
            },
        });
        if !self.messages.is_empty() {
            value["contacts"] = self.messages.iter().map(Incoming::contact).collect();
            value["messages"] = self.messages.iter().map(Incoming::message).collect();
        }
        if !self.statuses.is_empty() {
            value["statuses"] = self.statuses.iter().map(Status::json).collect();
        }
        json!({ "id": self.business_account_id, "changes": [{ "field": self.field, "value": value }] })
    }
}

/// The whole body: each change in an entry of its own.
pub fn body(changes: &[Change]) -> String {
    json!({
        "object": "whatsapp_business_account",
        "entry": changes.iter().map(Change::entry).collect::<Vec<_>>(),
    })
    .to_string()
}

/// The body of a single text message, the commonest of all.
pub fn text_body(phone_number_id: &str, from: &str, text: &str) -> String {
    body(&[Change::new(phone_number_id).message(Incoming::text(from, text))])
}

/// A message ID that never was before.
pub fn new_wamid() -> String {
    format!("wamid.{}", uuid::Uuid::new_v4().simple())
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

/// Signs bodies and posts them, as Meta does.
#[derive(Debug, Clone)]
pub struct Sender {
    client: reqwest::Client,
    url: String,
    app_secret: String,
}

impl Sender {
    /// Delivers to `url` (the whole of it, with `/webhook`), signed with `app_secret`.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(url: impl Into<String>, app_secret: impl Into<String>) -> reqwest::Result<Self> {
        Ok(Self { client: http_client()?, url: url.into(), app_secret: app_secret.into() })
    }

    /// Signs and posts these bytes.
    ///
    /// # Errors
    /// When no answer came: refused, cut, or too slow.
    pub async fn send(&self, body: impl Into<String>) -> reqwest::Result<Answer> {
        let body = body.into();
        let signature = signature::sign(self.app_secret.as_bytes(), body.as_bytes());
        self.send_as(body, Some(&signature)).await
    }

    /// Posts these bytes under a signature of the caller's choice, or none: for forgeries.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_as(&self, body: String, signature: Option<&str>) -> reqwest::Result<Answer> {
        let mut request = self.client.post(&self.url).header("Content-Type", "application/json").body(body);
        if let Some(signature) = signature {
            request = request.header(signature::HEADER, signature);
        }
        answer(request).await
    }

    /// Asks as Meta does when a callback URL is set.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn verify(&self, verify_token: &str, challenge: &str) -> reqwest::Result<Answer> {
        let query =
            [("hub.mode", "subscribe"), ("hub.challenge", challenge), ("hub.verify_token", verify_token)];
        answer(self.client.get(&self.url).query(&query)).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    Ok(Answer { status: response.status().as_u16(), body: response.text().await? })
}

fn media(mime_type: &str) -> Value {
    json!({ "id": uuid::Uuid::new_v4().as_u128().to_string()[..15], "mime_type": mime_type, "sha256": "" })
}

/// Meta leaves absent things out; it never writes null.
fn set(object: &mut Value, key: &str, value: &Option<String>) {
    value.iter().for_each(|value| object[key] = value.as_str().into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_hold_what_meta_writes() {
        let change = Change::new("123456789")
            .waba("42")
            .message(
                Incoming::text("+15551234567", "Hi").with_name("Ann").with_wamid("wamid.1").at(1_700_000_000),
            )
            .message(Incoming::image("15551234567", Some("See")).with_user_id("US.1").without_phone())
            .status(Status::new("wamid.2", "sent", "+15551234567").with_callback("attempt"))
            .status(Status::new("wamid.3", "failed", "US.1").with_error(131026, "Undeliverable"));
        let body: Value = serde_json::from_str(&body(&[change])).unwrap();
        assert_eq!(body["object"], "whatsapp_business_account");
        assert_eq!(body["entry"][0]["id"], "42");
        let value = &body["entry"][0]["changes"][0]["value"];
        assert_eq!(value["metadata"]["phone_number_id"], "123456789");
        let text = json!({
            "id": "wamid.1", "from": "15551234567", "timestamp": "1700000000",
            "type": "text", "text": { "body": "Hi" },
        });
        assert_eq!(value["messages"][0], text);
        assert_eq!(value["contacts"][0], json!({ "profile": { "name": "Ann" }, "wa_id": "15551234567" }));
        assert_eq!(value["messages"][1].get("from"), None);
        assert_eq!(value["messages"][1]["from_user_id"], "US.1");
        assert_eq!(value["messages"][1]["image"]["caption"], "See");
        assert_eq!(value["statuses"][0]["recipient_id"], "15551234567");
        assert_eq!(value["statuses"][0]["biz_opaque_callback_data"], "attempt");
        assert_eq!(value["statuses"][1]["recipient_user_id"], "US.1");
        assert_eq!(value["statuses"][1]["errors"][0]["code"], 131026);
    }

    #[test]
    fn a_change_without_messages_has_no_contacts() {
        let body: Value =
            serde_json::from_str(&body(&[Change::new("1").status(Status::new("w", "read", "1"))])).unwrap();
        let value = &body["entry"][0]["changes"][0]["value"];
        assert_eq!((value.get("contacts"), value.get("messages")), (None, None));
    }
}
