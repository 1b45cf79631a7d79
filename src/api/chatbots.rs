//! Chatbots: who answers, how, and with what patience.

use actix_web::http::StatusCode;
use actix_web::web;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Parts;
use super::answer::{self, Answer, Listing, Page, Success, Time};
use super::body::{self, Body, Field, Fields, any, number, text};
use super::guard::{Caller, Manager, Reader};
use super::problem::{ApiError, Code};
use super::responder::{self, ResponderChange};
use crate::ids::ChatbotId;
use crate::responder::Settings;
use crate::routing::chatbot_key_place;
use crate::secret;
use crate::store::StoreError;
use crate::store::chatbots::Chatbot;

/// A chatbot.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChatbotView {
    id: String,
    name: String,
    /// Its key at the responder, masked; null when it has none.
    api_key: Option<String>,
    responder: Settings,
    /// How long it waits for more messages before it answers, in milliseconds; 0: each message its own turn.
    coalesce_ms: i64,
    /// How long it waits at most.
    coalesce_max_ms: i64,
    /// Entries of the talk given to the responder.
    history_limit: i64,
    /// What a customer reads when there is no answer; null: nothing.
    fallback_text: Option<String>,
    /// Whether customers see "typing" while it thinks.
    typing: bool,
    /// Whether its responder gets a link to each file a customer sends, good for a day.
    media_links: bool,
    /// Whether it is silent for now.
    paused: bool,
    /// Whether a customer gets a person by writing "human", "agente", "اپراتور" and the like.
    hand_off_words: bool,
    created_at: Time,
    updated_at: Time,
}

/// A chatbot to be made, or what changes about one: absent fields stay, null ones go back to their default.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChatbotChange {
    /// Only for a new one: 1 to 64 letters, digits, dots, hyphens or underscores; made up unless given.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    id: Field<String>,
    /// The id unless given.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    name: Field<String>,
    /// The key at its responder; write-only.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    api_key: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<Settings>)]
    responder: Field<ResponderChange>,
    /// 0 to 60,000; 800 unless given.
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    coalesce_ms: Field<i64>,
    /// At least `coalesceMs`, at most 300,000; 5,000 unless given.
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    coalesce_max_ms: Field<i64>,
    /// 1 to 100; 10 unless given.
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    history_limit: Field<i64>,
    /// At most 4,096 characters; null: none.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    fallback_text: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    typing: Field<bool>,
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    media_links: Field<bool>,
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    paused: Field<bool>,
    /// Whether a customer gets a person by writing "human", "agente", "اپراتور" and the like; true unless given.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    hand_off_words: Field<bool>,
}

impl ChatbotChange {
    /// Writes it into a chatbot. True: the key was taken away, because it belonged to another host.
    fn apply(self, parts: &Parts, chatbot: &mut Chatbot, mut fields: Fields) -> Result<bool, ApiError> {
        let default = Chatbot::new(&chatbot.id, &chatbot.tenant_id, 0);
        if let Some(name) = fields.optional("name", self.name, text(200)) {
            chatbot.name = name.unwrap_or(default.name);
        }
        let before = Settings::parse(&chatbot.responder);
        let after = responder::merge(&mut fields, &before, self.responder, parts.allow_private_responders);
        let moved = responder::host(&before) != responder::host(&after);
        let key = fields.optional("apiKey", self.api_key, body::secret(1));
        let orphaned = moved && key.is_none() && chatbot.api_key.is_some();
        if let Some(key) = key {
            chatbot.api_key = key.map(|key| seal(parts, chatbot, &key));
        } else if orphaned {
            chatbot.api_key = None;
        }
        if let Some(ms) = fields.optional("coalesceMs", self.coalesce_ms, number(0..=60_000)) {
            chatbot.coalesce_ms = ms.unwrap_or(default.coalesce_ms);
        }
        if let Some(ms) = fields.optional("coalesceMaxMs", self.coalesce_max_ms, number(0..=300_000)) {
            chatbot.coalesce_max_ms = ms.unwrap_or(default.coalesce_max_ms);
        }
        if chatbot.coalesce_max_ms < chatbot.coalesce_ms {
            fields.wrong("coalesceMaxMs", "must not be below coalesceMs");
        }
        if let Some(limit) = fields.optional("historyLimit", self.history_limit, number(1..=100)) {
            chatbot.history_limit = limit.unwrap_or(default.history_limit);
        }
        if let Some(words) = fields.optional("fallbackText", self.fallback_text, text(4096)) {
            chatbot.fallback_text = words;
        }
        if let Some(typing) = fields.optional("typing", self.typing, any) {
            chatbot.typing = typing.unwrap_or(default.typing);
        }
        if let Some(links) = fields.optional("mediaLinks", self.media_links, any) {
            chatbot.media_links = links.unwrap_or(default.media_links);
        }
        if let Some(paused) = fields.optional("paused", self.paused, any) {
            chatbot.paused = paused.unwrap_or(default.paused);
        }
        if let Some(words) = fields.optional("handOffWords", self.hand_off_words, any) {
            chatbot.hand_off_words = words.unwrap_or(default.hand_off_words);
        }
        fields.done()?;
        let unwritable = |_| ApiError::new(Code::Internal, "The responder's settings cannot be stored.");
        chatbot.responder = serde_json::to_string(&after).map_err(unwritable)?;
        Ok(orphaned)
    }

    fn is_empty(&self) -> bool {
        let Self {
            id,
            name,
            api_key,
            responder,
            coalesce_ms,
            coalesce_max_ms,
            history_limit,
            fallback_text,
            ..
        } = self;
        let numbers = [coalesce_ms, coalesce_max_ms, history_limit].iter().any(|field| field.is_there());
        let texts = [id, name, api_key, fallback_text].iter().any(|field| field.is_there());
        let switches = [&self.typing, &self.media_links, &self.paused, &self.hand_off_words];
        let switches = switches.iter().any(|field| field.is_there());
        !(numbers || texts || switches || responder.is_there())
    }
}

/// Makes a chatbot.
#[utoipa::path(post, path = "/api/v1/chatbots", tag = "chatbots", request_body = ChatbotChange,
    responses((status = 201, body = Success<ChatbotView>)))]
pub async fn create(caller: Manager, parts: web::Data<Parts>, body: Body) -> Answer {
    let mut new: ChatbotChange = body.read()?;
    let mut fields = Fields::default();
    let id = std::mem::take(&mut new.id);
    let id = fields.given("id", id, |id| id.parse::<ChatbotId>().map_err(|e| e.to_string()));
    let id = id.map_or_else(|| Uuid::now_v7().simple().to_string(), |id| id.to_string());
    let now = parts.clock.now_ms();
    let mut chatbot = Chatbot::new(&id, caller.tenant.as_str(), now);
    new.apply(&parts, &mut chatbot, fields)?;
    let taken = || ApiError::new(Code::Exists, "There is a chatbot with this id.");
    if parts.store.chatbot_anywhere(&id).await?.is_some_and(|there| there.deleted_at.is_none()) {
        return Err(taken());
    }
    let saved = parts.store.save_chatbot(&chatbot, &caller.audit("chatbot.create", &id, now)).await;
    saved.map_err(|error| if matches!(error, StoreError::Conflict) { taken() } else { error.into() })?;
    answer::success(StatusCode::CREATED, "Chatbot created", view(&parts, chatbot))
}

/// Lists the tenant's chatbots, by id.
#[utoipa::path(get, path = "/api/v1/chatbots", tag = "chatbots", params(Page),
    responses((status = 200, body = Listing<ChatbotView>)))]
pub async fn list(caller: Reader, parts: web::Data<Parts>, page: web::Query<Page>) -> Answer {
    let slice = page.slice::<String>()?;
    let after = slice.after.as_deref().unwrap_or_default();
    let rows = parts.store.chatbot_page(caller.tenant.as_str(), after, slice.fetch()).await?;
    slice.answer(rows, |row| row.id.clone(), |row| view(&parts, row))
}

/// One chatbot.
#[utoipa::path(get, path = "/api/v1/chatbots/{id}", tag = "chatbots", params(("id" = String, Path)),
    responses((status = 200, body = Success<ChatbotView>)))]
pub async fn one(caller: Reader, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    answer::ok("Chatbot", view(&parts, caller.chatbot(&parts, &id).await?))
}

/// Changes a chatbot (merge patch). A new host for its responder without a new `apiKey` takes the key away: it must
/// not be sent to somebody it was not given to.
#[utoipa::path(patch, path = "/api/v1/chatbots/{id}", tag = "chatbots", params(("id" = String, Path)),
    request_body = ChatbotChange, responses((status = 200, body = Success<ChatbotView>)))]
pub async fn change(caller: Manager, parts: web::Data<Parts>, id: web::Path<String>, body: Body) -> Answer {
    let mut chatbot = caller.chatbot(&parts, &id).await?;
    let change: ChatbotChange = body.read()?;
    if change.is_empty() {
        return Err(ApiError::new(Code::Invalid, "Nothing to change was given."));
    }
    let mut fields = Fields::default();
    if change.id.is_there() {
        fields.wrong("id", "cannot be changed");
    }
    let orphaned = change.apply(&parts, &mut chatbot, fields)?;
    chatbot.updated_at = parts.clock.now_ms();
    parts.store.save_chatbot(&chatbot, &caller.audit("chatbot.change", &id, chatbot.updated_at)).await?;
    routes_changed(&parts, &caller, &id).await?;
    let message = if orphaned {
        "Chatbot changed. Its API key was removed, because it belonged to another host: give a new one."
    } else {
        "Chatbot changed"
    };
    answer::ok(message, view(&parts, chatbot))
}

/// Puts a chatbot away, and its integrations with it. Its conversations stay readable.
#[utoipa::path(delete, path = "/api/v1/chatbots/{id}", tag = "chatbots", params(("id" = String, Path)),
    responses((status = 200, body = Success<ChatbotView>)))]
pub async fn remove(caller: Manager, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    let chatbot = caller.chatbot(&parts, &id).await?;
    let line = caller.audit("chatbot.delete", &id, parts.clock.now_ms());
    for number in parts.store.delete_chatbot(caller.tenant.as_str(), &id, &line).await? {
        parts.store.free_number(&number).await?;
        parts.routing.changed(&number).await;
    }
    answer::ok("Chatbot deleted", view(&parts, chatbot))
}

/// Every number of a chatbot is to use its new settings at once.
async fn routes_changed(parts: &Parts, caller: &Caller, id: &str) -> Result<(), ApiError> {
    for account in caller.accounts(parts, id, None).await? {
        parts.routing.changed(&account.phone_number_id).await;
    }
    Ok(())
}

/// A chatbot's key as it is stored.
pub(super) fn seal(parts: &Parts, chatbot: &Chatbot, key: &str) -> String {
    parts.ring.seal(key, &chatbot_key_place(&chatbot.tenant_id, &chatbot.id))
}

fn view(parts: &Parts, chatbot: Chatbot) -> ChatbotView {
    let place = chatbot_key_place(&chatbot.tenant_id, &chatbot.id);
    let masked = chatbot.api_key.map(|sealed| {
        // What cannot be opened any more is shown as it is: there, and nobody's to see.
        parts
            .ring
            .open(&sealed, &place)
            .map_or("••••".to_owned(), |key| secret::mask(key.expose_secret()))
    });
    ChatbotView {
        id: chatbot.id,
        name: chatbot.name,
        api_key: masked,
        responder: Settings::parse(&chatbot.responder),
        coalesce_ms: chatbot.coalesce_ms,
        coalesce_max_ms: chatbot.coalesce_max_ms,
        history_limit: chatbot.history_limit,
        fallback_text: chatbot.fallback_text,
        typing: chatbot.typing,
        media_links: chatbot.media_links,
        paused: chatbot.paused,
        hand_off_words: chatbot.hand_off_words,
        created_at: Time(chatbot.created_at),
        updated_at: Time(chatbot.updated_at),
    }
}
