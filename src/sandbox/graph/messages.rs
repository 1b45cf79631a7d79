//! `POST /{number}/messages`: sending, and marking as read.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::routes::{Refusal, bearer, with_faults};
use super::state::{Kept, Read, State};
use super::{Call, Template, statuses};
use crate::graph::content;
use crate::sandbox::{lock, now_ms};

/// What is read of a request to `/messages`; the rest is kept as it is.
#[derive(Deserialize)]
struct Outgoing<'a> {
    #[serde(borrow, default)]
    messaging_product: Cow<'a, str>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    message_id: Option<Cow<'a, str>>,
    typing_indicator: Option<serde::de::IgnoredAny>,
    #[serde(borrow)]
    to: Option<Cow<'a, str>>,
    #[serde(borrow)]
    recipient: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    biz_opaque_callback_data: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(borrow, default)]
    body: Cow<'a, str>,
}

/// `POST /{number}/messages`.
pub(super) async fn post(
    state: Data<State>,
    request: HttpRequest,
    path: Path<(String, String)>,
    body: Bytes,
) -> HttpResponse {
    let id = &path.1;
    let parsed = serde_json::from_slice::<Outgoing>(&body);
    let call = if parsed.as_ref().is_ok_and(|it| it.status.is_some()) { Call::Read } else { Call::Send };
    let work = || {
        let token = bearer(&request)?;
        lock(&state.known).number(id, token)?;
        let Ok(message) = &parsed else {
            return Err(Refusal::invalid("The body is not the JSON of a message."));
        };
        if message.messaging_product != "whatsapp" {
            return Err(Refusal::invalid("The parameter messaging_product is required."));
        }
        match call {
            Call::Read => mark_read(&state, id, message),
            _ => accept(&state, &request, id, token, message, &body),
        }
    };
    let answer = async || match work() {
        Ok(answer) => HttpResponse::Ok().json(answer),
        Err(refusal) => refusal.answer(),
    };
    with_faults(&state, &request, call, id, answer).await
}

fn mark_read(state: &State, id: &str, message: &Outgoing) -> Result<Value, Refusal> {
    let (Some("read"), Some(wamid)) = (message.status.as_deref(), &message.message_id) else {
        return Err(Refusal::invalid("status must be read, with a message_id."));
    };
    lock(&state.reads).push(Read {
        phone_number_id: id.to_owned(),
        wamid: wamid.to_string(),
        typing: message.typing_indicator.is_some(),
        at_ms: now_ms(),
    });
    Ok(json!({ "success": true }))
}

/// The customer as told, or what is wrong with the message.
fn check<'a>(state: &State, message: &'a Outgoing, body: &[u8]) -> Result<&'a str, Refusal> {
    let to = match (message.to.as_deref(), message.recipient.as_deref()) {
        (Some(to), _) if to.starts_with('+') && to.len() > 1 => to,
        (Some(_), _) => return Err(Refusal::invalid("to must be a phone number that starts with +.")),
        (None, Some(recipient)) if !recipient.is_empty() => recipient,
        _ => return Err(Refusal::invalid("to or recipient is required.")),
    };
    match message.kind.as_deref().unwrap_or("text") {
        "text" => match message.text.as_ref().map(|text| text.body.chars().count()) {
            None | Some(0) => return Err(Refusal::invalid("The parameter text['body'] is required.")),
            Some(1..=4096) => {}
            Some(_) => {
                return Err(Refusal::invalid("Param text['body'] must be at most 4096 characters long."));
            }
        },
        // Read as a whole only where it must be: texts come by the thousand.
        _ => object(state, serde_json::from_slice(body).unwrap_or_default())?,
    }
    if message.biz_opaque_callback_data.as_ref().is_some_and(|data| data.chars().count() > 512) {
        return Err(Refusal::invalid("biz_opaque_callback_data must be at most 512 characters long."));
    }
    Ok(to)
}

/// What is wrong with a message object that is no text.
fn object(state: &State, mut message: Map<String, Value>) -> Result<(), Refusal> {
    if let Some(wrong) = content::check(&message).first() {
        return Err(Refusal::new(
            400,
            131_009,
            "Parameter value is not valid",
            format!("{}: {}", wrong.field, wrong.message),
        ));
    }
    let unknown = content::files(&mut message).into_iter().find(|file| {
        let id = file.part.get("id").and_then(Value::as_str);
        id.is_some_and(|id| !lock(&state.files).contains_key(id))
    });
    if let Some(unknown) = unknown {
        return Err(Refusal::new(
            400,
            131_053,
            "Media upload error",
            format!("{}: no such file", unknown.path),
        ));
    }
    let known = &lock(&state.known).templates;
    if message["type"] != "template" || known.is_empty() {
        return Ok(());
    }
    let part = &message["template"];
    let alike =
        |t: &&Template| part["name"] == t.name.as_str() && part["language"]["code"] == t.language.as_str();
    let Some(template) = known.iter().find(alike) else {
        return Err(Refusal::new(
            404,
            132_001,
            "Template name does not exist in the translation",
            "Unknown template.",
        ));
    };
    let components = part["components"].as_array().into_iter().flatten();
    let body =
        components.filter(|c| c["type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("body")));
    let given: usize = body.map(|body| body["parameters"].as_array().map_or(0, Vec::len)).sum();
    if given != template.parameters {
        let details = format!(
            "body: number of localizable_params ({given}) does not match the expected number of params ({})",
            template.parameters
        );
        return Err(Refusal::new(
            400,
            132_000,
            "Number of parameters does not match the expected number of params",
            details,
        ));
    }
    Ok(())
}

fn accept(
    state: &Data<State>,
    request: &HttpRequest,
    id: &str,
    token: &str,
    message: &Outgoing,
    body: &Bytes,
) -> Result<Value, Refusal> {
    let to = check(state, message, body)?;
    let number = state.next_wamid.fetch_add(1, Ordering::Relaxed);
    let wamid = format!("wamid.S{:08X}{number:010X}", state.run);
    let customer = to.trim_start_matches('+').to_owned();
    let identity = if to.starts_with('+') { "wa_id" } else { "user_id" };
    let answer = json!({
        "messaging_product": "whatsapp",
        "contacts": [{ "input": to, identity: customer }],
        "messages": [{ "id": wamid }],
    });
    let callback = message.biz_opaque_callback_data.as_deref().map(str::to_owned);
    let target = lock(&state.status_webhook).clone();
    if let Some(target) = target {
        let (id, wamid, to) = (id.to_owned(), wamid.clone(), customer.clone());
        actix_web::rt::spawn(statuses::announce(state.clone(), target, id, wamid, to, callback.clone()));
    }
    lock(&state.sent).push(Kept {
        phone_number_id: id.to_owned(),
        to: customer,
        token: token.to_owned(),
        app_secret_proof: proof(request.query_string()),
        callback,
        wamid,
        body: body.clone(),
        at_ms: now_ms(),
        status: None,
    });
    state.sent_count.send_modify(|count| *count += 1);
    Ok(answer)
}

fn proof(query: &str) -> Option<String> {
    query.split('&').find_map(|pair| pair.strip_prefix("appsecret_proof=")).map(str::to_owned)
}
