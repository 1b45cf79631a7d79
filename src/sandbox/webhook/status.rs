//! What Meta tells of the business's own messages.

use serde_json::{Value, json};

use super::{now_ms, set};

/// What Meta tells about one of the business's messages.
#[derive(Debug, Clone)]
pub struct Status {
    /// The message it is about.
    pub wamid: String,
    /// `sent`, `delivered`, `read`, `played`, `failed` or any other word.
    pub status: String,
    /// The customer's phone, digits only, or BSUID.
    pub recipient: String,
    /// Unix seconds.
    pub timestamp: i64,
    /// `biz_opaque_callback_data` of the message.
    pub callback: Option<String>,
    /// Code and title of the error of a `failed` one.
    pub error: Option<(i64, String)>,
    /// Who of a group it is about.
    pub participant: Option<String>,
    /// Category, type, and whether it costs something; a `sent` one is a regular service message unless said otherwise.
    pub pricing: Option<(String, String, bool)>,
}

impl Status {
    /// A status of the message `wamid`, now.
    pub fn new(wamid: &str, status: &str, recipient: &str) -> Self {
        Self {
            wamid: wamid.to_owned(),
            status: status.to_owned(),
            recipient: recipient.trim_start_matches('+').to_owned(),
            timestamp: now_ms() / 1000,
            callback: None,
            error: None,
            participant: None,
            pricing: (status == "sent").then(|| ("service".to_owned(), "regular".to_owned(), true)),
        }
    }

    /// Echoing the callback data given when the message was sent.
    pub fn with_callback(self, data: impl Into<String>) -> Self {
        Self { callback: Some(data.into()), ..self }
    }

    /// With an error, as `failed` ones carry it.
    pub fn with_error(self, code: i64, title: impl Into<String>) -> Self {
        Self { error: Some((code, title.into())), ..self }
    }

    /// About this person of a group.
    pub fn of_participant(self, phone: &str) -> Self {
        Self { participant: Some(phone.to_owned()), ..self }
    }

    /// With this price.
    pub fn with_pricing(self, category: &str, kind: &str, billable: bool) -> Self {
        Self { pricing: Some((category.to_owned(), kind.to_owned(), billable)), ..self }
    }

    pub(super) fn json(&self) -> Value {
        let is_bsuid = self.recipient.contains('.');
        let mut status = json!({
            "id": self.wamid,
            "status": self.status,
            "timestamp": self.timestamp.to_string(),
            (if is_bsuid { "recipient_user_id" } else { "recipient_id" }): self.recipient,
        });
        set(&mut status, "biz_opaque_callback_data", &self.callback);
        if let Some((category, kind, billable)) = &self.pricing {
            status["pricing"] = json!({
                "billable": billable, "pricing_model": "PMP", "type": kind, "category": category,
            });
        }
        if self.participant.is_some() {
            status["recipient_type"] = "group".into();
            set(&mut status, "recipient_participant_id", &self.participant);
        }
        if let Some((code, title)) = &self.error {
            status["errors"] = json!([{
                "code": code, "title": title, "message": title, "error_data": { "details": title },
            }]);
        }
        status
    }
}
