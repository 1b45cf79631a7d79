//! A message as a caller writes it: plain words, or Meta's own message object. Read here, checked against Meta's limits
//! and against the customer service window.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Parts;
use super::body::{Field, Fields, any, text};
use super::bulk::{self, Addressee};
use super::problem::{ApiError, Code};
use crate::graph::content;
use crate::graph::media::fits;
use crate::ids::{MediaId, TenantId};
use crate::message::Sender;
use crate::store::sessions::session_of;

/// People in one `bulk` message, at most: all of them are stored at once.
const MANY: usize = 200;

/// How long a customer's last word allows free-form messages, in milliseconds.
pub const WINDOW: i64 = 86_400_000;

/// A message for a customer: `message` (plain words), or Meta's message object (`type` and the object named like it).
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Outgoing {
    /// 7 to 15 digits with their country code; `+` may lead. Also taken as `number` or `phoneNumber`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    to: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    number: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    phone_number: Field<String>,
    /// Instead of `to`: a business-scoped user ID such as `US.13491208655302741918`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    recipient: Field<String>,
    /// At most 4,096 characters, sent as they are. Also taken as `text`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    message: Field<String>,
    /// A file at this address goes with the words, as what its name says it is.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    media_url: Field<String>,
    /// The caller's own name for the customer, taken from older callers and not used.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    contact_id: Field<Value>,
    /// Send a free-form message although the customer last wrote more than 24 hours ago: Meta decides.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    force: Field<bool>,
    /// `text`, `image`, `video`, `audio`, `document`, `sticker`, `location`, `contacts`, `reaction`, `interactive` or
    /// `template`; or `bulk`: `message` for each of `contacts`, all of them or none.
    #[serde(default, rename = "type")]
    #[schema(value_type = Option<String>)]
    kind: Field<String>,
    /// The words again, or Meta's `{body,preview_url}`.
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    text: Field<Value>,
    /// `{link}` or `{id}` (Meta's, or `med_…` of `POST /api/v1/media`), `caption`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    image: Field<Value>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    video: Field<Value>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    audio: Field<Value>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    document: Field<Value>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    sticker: Field<Value>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    location: Field<Value>,
    #[serde(default)]
    /// Meta's contact cards; with `bulk` up to 200 people, `{to,message}` each, the common message unless they have one.
    #[schema(value_type = Option<Vec<Object>>)]
    contacts: Field<Value>,
    /// `{message_id,emoji}`; an empty emoji takes the reaction back.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    reaction: Field<Value>,
    /// Buttons, lists, links, requests for a location or for contact details.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    interactive: Field<Value>,
    /// `{name,language:{code},components}`; the one kind that needs no open window.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    template: Field<Value>,
    /// `{message_id}` of the message it answers.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    context: Field<Value>,
    /// As in Meta's own requests; not needed.
    #[serde(default, rename = "messaging_product")]
    #[schema(value_type = Option<String>)]
    messaging_product: Field<String>,
    /// As in Meta's own requests; not needed.
    #[serde(default, rename = "recipient_type")]
    #[schema(value_type = Option<String>)]
    recipient_type: Field<String>,
}

/// What is to be sent.
#[derive(Debug, Default)]
pub struct Written {
    /// Meta's type word.
    pub kind: String,
    /// What people read.
    pub text: String,
    /// Meta's message object, where it is more than the text.
    pub content: Option<Map<String, Value>>,
    /// Whether the window is not to be looked at.
    pub force: bool,
}

impl Outgoing {
    /// To whom which message: one, or with `bulk` one for each of many. Whatever is wrong is noted.
    pub fn letters(mut self, fields: &mut Fields) -> Vec<(Sender, Written)> {
        if !matches!(&self.kind, Field::Given(kind) if kind == "bulk") {
            let person = self.sender(fields);
            return vec![(person, self.written(fields))];
        }
        let force = fields.given("force", std::mem::take(&mut self.force), any).unwrap_or(false);
        let others = self.objects().into_iter().filter(|name| *name != "contacts");
        let media = self.media_url.is_there().then_some("mediaUrl");
        for name in self.address().into_iter().chain(others).chain(media) {
            fields.wrong(name, "must not stand beside contacts");
        }
        let words = fields.given("message", self.message.or(as_words(self.text)), text(content::TEXT));
        let people: Field<Vec<Addressee>> = match self.contacts {
            Field::Given(value) => serde_json::from_value(value).map_or_else(
                |_| Field::Wrong(None, "expected a list of people, {to,message} each".to_owned()),
                Field::Given,
            ),
            Field::Null => Field::Null,
            _ => Field::Absent,
        };
        let people = fields.required("contacts", people, bulk::people(MANY)).unwrap_or_default();
        let letters = bulk::letters(people, words.as_deref(), fields);
        let text = |text| Written { kind: "text".to_owned(), text, content: None, force };
        let person = |wa_id| Sender { wa_id: Some(wa_id), ..Sender::default() };
        letters.into_iter().map(|(to, words)| (person(to), text(words))).collect()
    }

    /// Whom it is for.
    fn sender(&mut self, fields: &mut Fields) -> Sender {
        let take = |field: &mut Field<String>| std::mem::take(field);
        let to = take(&mut self.to).or(take(&mut self.number)).or(take(&mut self.phone_number));
        let recipient = take(&mut self.recipient);
        if !recipient.is_there() {
            return Sender { wa_id: fields.required("to", to, phone), ..Sender::default() };
        }
        if to.is_there() {
            fields.wrong("recipient", "must not stand beside to");
        }
        Sender { user_id: fields.required("recipient", recipient, user_id), ..Sender::default() }
    }

    /// For a conversation that knows whom it is for.
    pub fn without_address(&self, fields: &mut Fields) {
        self.address().iter().for_each(|name| fields.wrong(name, "is known from the conversation"));
    }

    /// The fields that say whom it is for.
    fn address(&self) -> Vec<&'static str> {
        let address = [
            ("to", &self.to),
            ("number", &self.number),
            ("phoneNumber", &self.phone_number),
            ("recipient", &self.recipient),
        ];
        address.iter().filter(|(_, field)| field.is_there()).map(|(name, _)| *name).collect()
    }

    /// The fields that are parts of Meta's message object.
    fn objects(&self) -> Vec<&'static str> {
        let objects = [
            ("image", &self.image),
            ("video", &self.video),
            ("audio", &self.audio),
            ("document", &self.document),
            ("sticker", &self.sticker),
            ("location", &self.location),
            ("contacts", &self.contacts),
            ("reaction", &self.reaction),
            ("interactive", &self.interactive),
            ("template", &self.template),
            ("context", &self.context),
        ];
        objects.iter().filter(|(_, field)| field.is_there()).map(|(name, _)| *name).collect()
    }

    /// What it says; whatever is wrong with it is noted.
    pub fn written(self, fields: &mut Fields) -> Written {
        let objects = self.objects();
        let force = fields.given("force", self.force, any).unwrap_or(false);
        fields.optional("contactId", self.contact_id, any);
        fields.given("messaging_product", self.messaging_product, only("whatsapp"));
        fields.given("recipient_type", self.recipient_type, only("individual"));
        let is_object = matches!(&self.text, Field::Given(Value::Object(_)));
        // Older callers say that it is for one customer.
        let plain = !self.kind.is_there() || matches!(&self.kind, Field::Given(kind) if kind == "single");
        if plain && !is_object {
            objects.iter().for_each(|name| fields.wrong(name, "needs a type, and no message beside it"));
            let words = self.message.or(as_words(self.text));
            if let Some(link) = fields.given("mediaUrl", self.media_url, any) {
                let words = fields.given("message", words, text(content::CAPTION));
                return Written { force, ..with_file(link, words, fields) };
            }
            let text = fields.required("message", words, text(content::TEXT)).unwrap_or_default();
            return Written { kind: "text".to_owned(), text, content: None, force };
        }
        for (name, field) in [("message", &self.message), ("mediaUrl", &self.media_url)] {
            if field.is_there() {
                fields.wrong(name, "must not stand beside type");
            }
        }
        let mut object = Map::new();
        if let Some(kind) = fields.given("type", self.kind, any).or(is_object.then(|| "text".to_owned())) {
            object.insert("type".to_owned(), kind.into());
        }
        for (name, field) in [
            ("text", self.text),
            ("image", self.image),
            ("video", self.video),
            ("audio", self.audio),
            ("document", self.document),
            ("sticker", self.sticker),
            ("location", self.location),
            ("contacts", self.contacts),
            ("reaction", self.reaction),
            ("interactive", self.interactive),
            ("template", self.template),
            ("context", self.context),
        ] {
            if let Field::Given(value) = field {
                object.insert(name.to_owned(), value);
            }
        }
        for wrong in content::check(&object) {
            if !fields.has(&wrong.field) {
                fields.wrong(&wrong.field, wrong.message);
            }
        }
        let kind = object.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        Written { kind, text: content::words(&object), content: Some(object), force }
    }
}

/// `text` where it is the words themselves.
fn as_words(text: Field<Value>) -> Field<String> {
    match text {
        Field::Given(Value::String(words)) => Field::Given(words),
        Field::Given(_) => Field::Wrong(None, "expected a string".to_owned()),
        Field::Null => Field::Null,
        _ => Field::Absent,
    }
}

/// Notes files of ours that are not the caller's, not there, or not fit for what they are to be.
pub(super) async fn files(
    parts: &Parts,
    tenant: &TenantId,
    written: &Written,
    fields: &mut Fields,
) -> Result<(), ApiError> {
    for file in content::files(&mut written.content.clone().unwrap_or_default()) {
        let id = file.part.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let Some(MediaId(id)) = id else { continue };
        let field = format!("{}.id", file.path);
        match parts.store.media(Some(tenant.as_str()), id).await? {
            Some(row) if row.status == "stored" => {
                let size = row.size.and_then(|size| usize::try_from(size).ok()).unwrap_or_default();
                if let Err(message) = fits(file.kind, &row.mime_type, size) {
                    fields.wrong(&field, message);
                }
            }
            Some(_) => fields.wrong(&field, "is not stored"),
            None => fields.wrong(&field, "is no file of yours"),
        }
    }
    Ok(())
}

/// A file by its address, and the words below it.
fn with_file(link: String, words: Option<String>, fields: &mut Fields) -> Written {
    let path = link.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let kind = match path.rsplit('.').next().unwrap_or_default() {
        "jpg" | "jpeg" | "png" => "image",
        "mp4" | "3gp" => "video",
        // A recording has no words below it.
        "aac" | "amr" | "mp3" | "m4a" | "ogg" if words.is_none() => "audio",
        _ => "document",
    };
    let mut part = Map::from_iter([("link".to_owned(), link.into())]);
    part.extend(words.map(|words| ("caption".to_owned(), words.into())));
    let object = Map::from_iter([("type".to_owned(), kind.into()), (kind.to_owned(), part.into())]);
    for wrong in content::check(&object) {
        fields.wrong("mediaUrl", wrong.message);
    }
    Written { kind: kind.to_owned(), text: content::words(&object), content: Some(object), force: false }
}

/// Refuses what the customer refused; and what Meta would refuse: free-form words to a customer who last wrote more than
/// 24 hours ago, or never.
///
/// `thread`: theirs with the number, if they ever met.
pub(super) async fn window(
    parts: &Parts,
    thread: Option<i64>,
    phone_number_id: &str,
    written: &Written,
) -> Result<(), ApiError> {
    if let Some(thread) = thread {
        willing(parts, thread).await?;
    }
    if session_of(phone_number_id).is_some() {
        // A number linked by QR code knows no window, and no objects of Meta's.
        return match written.kind.as_str() {
            "text" => Ok(()),
            _ => Err(ApiError::field("type", "can only be text through a number linked by QR code")),
        };
    }
    if written.force || written.kind == "template" {
        return Ok(());
    }
    let since = parts.clock.now_ms() - WINDOW;
    if let Some(thread) = thread
        && parts.store.customer_wrote_at(thread).await?.is_some_and(|at| at > since)
    {
        return Ok(());
    }
    let detail = "The customer has not written within the last 24 hours: send an approved template (type template), \
                  or force: true to let Meta decide.";
    Err(ApiError::new(Code::WindowClosed, detail))
}

/// Refuses what the customer refused.
pub(super) async fn willing(parts: &Parts, thread: i64) -> Result<(), ApiError> {
    if parts.store.holder(thread).await?.opted_out_at.is_none() {
        return Ok(());
    }
    let detail = "The customer wrote STOP, or another word for it: nothing is sent before they write START.";
    Err(ApiError::new(Code::OptedOut, detail))
}

fn only(word: &'static str) -> impl Fn(String) -> Result<(), String> {
    move |given| if given == word { Ok(()) } else { Err(format!("must be {word}")) }
}

/// Digits only, as Meta's `wa_id`s are.
pub(super) fn phone(number: String) -> Result<String, String> {
    let digits = number.strip_prefix('+').unwrap_or(&number);
    let shaped = (7..=15).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit());
    if shaped && !digits.starts_with('0') {
        return Ok(digits.to_owned());
    }
    Err("must be 7 to 15 digits with their country code".to_owned())
}

/// Two letters, a dot, and what Meta made up; kept whole.
fn user_id(id: String) -> Result<String, String> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'.';
    let shaped =
        id.len() <= 140 && id.bytes().all(allowed) && id.as_bytes().get(2) == Some(&b'.') && id.len() > 3;
    if shaped { Ok(id) } else { Err("must be a business-scoped user ID such as US.1349120865".to_owned()) }
}
