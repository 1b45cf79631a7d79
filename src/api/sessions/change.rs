//! Changing a session: who answers, whether it is the default, how fast the business may write.

use actix_web::web;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::Parts;
use super::super::answer::{self, Answer, Success};
use super::super::body::{Body, Field, Fields, any};
use super::super::guard::Manager;
use super::super::problem::{ApiError, Code};
use super::{SessionView, find, line, view};
use crate::channel::pace::Pace;

/// What changes about a session.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionChange {
    /// Who answers from now on; null: nobody.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    chatbot_id: Field<String>,
    /// True makes it the one that is meant where a call names none.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    is_default: Field<bool>,
    /// Merged field by field; null brings the defaults back.
    #[serde(default)]
    #[schema(value_type = Option<Pace>)]
    pace: Field<Value>,
}

/// Changes a session, at once.
#[utoipa::path(patch, path = "/api/v1/sessions/{name}", tag = "sessions", params(("name" = String, Path)),
    request_body = SessionChange, responses((status = 200, body = Success<SessionView>)))]
pub async fn change(caller: Manager, parts: web::Data<Parts>, name: web::Path<String>, body: Body) -> Answer {
    let session = find(&caller, &parts, &name).await?;
    let change: SessionChange = body.read()?;
    if !change.chatbot_id.is_there() && !change.is_default.is_there() && !change.pace.is_there() {
        return Err(ApiError::new(Code::Invalid, "Nothing to change was given."));
    }
    let mut fields = Fields::default();
    let chatbot = fields.optional("chatbotId", change.chatbot_id, any);
    let is_default = fields.given("isDefault", change.is_default, |wanted| match wanted {
        true => Ok(true),
        false => Err("can only become true; make another session the default".to_owned()),
    });
    let before = Pace::parse(&session.pace);
    let pace = match fields.optional("pace", change.pace, |changes| merged(&before, changes)) {
        None => before,
        Some(pace) => pace.unwrap_or_default(),
    };
    check(&mut fields, &pace);
    fields.done()?;
    let now = parts.clock.now_ms();
    if let Some(chatbot) = chatbot {
        let chatbot = match chatbot {
            Some(id) => Some(caller.chatbot(&parts, &id).await?),
            None => None,
        };
        parts.sessions.bind(&session, chatbot, now).await?;
    }
    let line = line(&caller, &parts, "session.change", &session);
    let pace = serde_json::to_string(&pace).unwrap_or_default();
    parts.store.change_session_settings(&session, is_default.unwrap_or(false), &pace, &line).await?;
    parts.sessions.has_work(session.id).await;
    let session = find(&caller, &parts, &name).await?;
    answer::ok("Session changed", view(&caller, &parts, session).await?)
}

/// RFC 7396 on the pace: null brings a field's default back.
fn merged(before: &Pace, changes: Value) -> Result<Pace, String> {
    let (Value::Object(changes), Ok(Value::Object(mut pace))) = (changes, serde_json::to_value(before))
    else {
        return Err("expected an object".to_owned());
    };
    for (name, value) in changes {
        match value.is_null() {
            true => drop(pace.remove(&name)),
            false => drop(pace.insert(name, value)),
        }
    }
    serde_json::from_value(Value::Object(pace)).map_err(|error| error.to_string())
}

/// Notes what is wrong with a pace.
pub(super) fn check(fields: &mut Fields, pace: &Pace) {
    for (field, message) in pace.check() {
        fields.wrong(&format!("pace.{field}"), message);
    }
}
