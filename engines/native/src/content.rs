//! Messages as they come in, in words that are not whatsapp-rust's.

use whatsapp_rust::Jid;
use whatsapp_rust::wacore::proto_helpers::MessageExt;
use whatsapp_rust::wacore::types::events::InboundMessage;
use whatsapp_rust::wacore::types::message::{MessageCategory, MessageInfo};
use whatsapp_rust::waproto::whatsapp as wa;

/// A message between two people.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its id, unique for its chat and sender.
    pub id: String,
    /// With whom, whoever wrote: `15551234567@s.whatsapp.net` or `123@lid`.
    pub chat: String,
    /// The other one's phone, digits, if it is known.
    pub phone: Option<String>,
    /// Whether it was written on the linked phone itself, or on another of its devices.
    pub own: bool,
    /// The sender's name on the profile.
    pub name: Option<String>,
    /// When it was written, Unix seconds.
    pub at: i64,
    /// What it says.
    pub content: Content,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Words.
    Text(String),
    /// A file, which stays where it is.
    Media {
        /// As its sender's client told it.
        mime: String,
        /// Words beneath it.
        caption: Option<String>,
        /// Of a document.
        file_name: Option<String>,
        /// Whether it was spoken.
        voice: bool,
    },
    /// A place.
    Location {
        /// Degrees.
        latitude: f64,
        /// Degrees.
        longitude: f64,
        /// What it is called.
        name: Option<String>,
    },
    /// People, as vCards.
    Contacts(Vec<String>),
}

/// `None`: it is no person's message to another, or says nothing to anybody: groups, channels, status posts, and what
/// devices tell each other.
pub(crate) fn read(item: &InboundMessage) -> Option<Message> {
    let info: &MessageInfo = &item.info;
    let source = &info.source;
    let person = source.chat.is_pn() || source.chat.is_lid();
    if info.category == MessageCategory::Peer || source.is_group || !person {
        return None;
    }
    let beside = if source.is_from_me { &source.recipient_alt } else { &source.sender_alt };
    let phone = [Some(&source.chat), beside.as_ref()].into_iter().flatten().find(|jid| jid.is_pn());
    Some(Message {
        id: info.id.clone(),
        chat: source.chat.to_non_ad_string(),
        phone: phone.map(|jid: &Jid| jid.user.to_string()),
        own: source.is_from_me,
        name: Some(info.push_name.clone()).filter(|name| !name.is_empty() && !source.is_from_me),
        at: info.timestamp.timestamp(),
        content: content(&item.message)?,
    })
}

fn content(message: &wa::Message) -> Option<Content> {
    let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.trim().is_empty());
    // An edit says nothing new to a chatbot; WhatsApp hands it on as a message that holds another.
    if message.edited_message.is_set() {
        return None;
    }
    if let Some(text) = message.text_content().and_then(filled) {
        return Some(Content::Text(text));
    }
    let caption = message.get_caption().and_then(filled);
    let base = message.get_base_message();
    let media = |mime: &Option<String>, usual: &str, file_name: Option<&String>, voice| {
        let mime = mime.clone().unwrap_or_else(|| usual.to_owned());
        Some(Content::Media { mime, caption: caption.clone(), file_name: file_name.cloned(), voice })
    };
    if let Some(image) = base.image_message.as_option() {
        return media(&image.mimetype, "image/jpeg", None, false);
    }
    if let Some(video) = base.video_message.as_option() {
        return media(&video.mimetype, "video/mp4", None, false);
    }
    if let Some(audio) = base.audio_message.as_option() {
        return media(&audio.mimetype, "audio/ogg", None, audio.ptt == Some(true));
    }
    if let Some(document) = base.document_message.as_option() {
        return media(&document.mimetype, "application/octet-stream", document.file_name.as_ref(), false);
    }
    if let Some(sticker) = base.sticker_message.as_option() {
        return media(&sticker.mimetype, "image/webp", None, false);
    }
    if let Some(place) = base.location_message.as_option() {
        let (latitude, longitude) = (place.degrees_latitude?, place.degrees_longitude?);
        return Some(Content::Location { latitude, longitude, name: place.name.clone() });
    }
    if let Some(card) = base.contact_message.as_option() {
        return Some(Content::Contacts(card.vcard.iter().cloned().collect()));
    }
    if let Some(cards) = base.contacts_array_message.as_option() {
        return Some(Content::Contacts(
            cards.contacts.iter().filter_map(|card| card.vcard.clone()).collect(),
        ));
    }
    let chosen = [
        base.list_response_message.as_option().and_then(|list| list.title.clone()),
        base.template_button_reply_message.as_option().and_then(|reply| reply.selected_display_text.clone()),
    ];
    chosen.into_iter().flatten().find_map(|text| filled(&text)).map(Content::Text)
}
