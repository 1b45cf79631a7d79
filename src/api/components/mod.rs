//! Components for other people's pages: the tokens they hold, and the few things these may do.

pub mod connect;
pub mod cors;
pub mod send;
pub mod token;

use actix_web::http::StatusCode;
use actix_web::web;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::Parts;
use super::answer::{self, Answer, Success, Time};
use super::body::{Body, Checked, Field, Fields, any};
use super::cookie::is_loopback;
use super::guard::{Caller, Replier};
use super::problem::{ApiError, Code};
use super::{outgoing, sessions};
use crate::ids::ContactId;
use crate::routing::Status;
use crate::store::accounts::Account;
use crate::store::search::Wanted;
use token::{Claims, Component};

/// How long a token is good, in seconds: at least, at most, and unless given.
const SHORTEST: i64 = 10;
const LONGEST: i64 = 900;
const USUAL: i64 = 600;

/// What a token is to be for.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewToken {
    #[serde(default)]
    #[schema(value_type = Component, required)]
    component: Field<Component>,
    /// The site whose pages may use it, as browsers name it: `https://crm.example.com`.
    #[serde(default)]
    #[schema(value_type = String, required)]
    origin: Field<String>,
    /// Good for so many seconds, 10 to 900; 600 unless given.
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    ttl_seconds: Field<i64>,
    /// For `connect`: the session to link; the tenant's default one, made when first connected, unless given. For `send`:
    /// the session to send through.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    session: Field<String>,
    /// For `send`: the chatbot whose number sends. Needed where several numbers could.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    chatbot_id: Field<String>,
    /// For `send`: 7 to 15 digits with their country code; `+` may lead.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    to: Field<String>,
    /// For `send`, instead of `to`: a contact of the tenant, written to where they were last talked with.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    contact: Field<String>,
}

/// A token for a page.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenView {
    /// The site's tag, which stands in the addresses the component calls.
    id: String,
    /// For the component's attribute `token`; not shown again.
    token: String,
    component: Component,
    origin: String,
    expires_at: Time,
}

/// Makes a token that lets a page of another site show one component, for minutes: for one session to link, or for one
/// customer to write to. It ends with the API key that asked for it. Linking takes a key of an admin, writing one of an agent.
#[utoipa::path(post, path = "/api/v1/component-tokens", tag = "components", request_body = NewToken,
    responses((status = 201, body = Success<TokenView>)))]
pub async fn create(caller: Replier, parts: web::Data<Parts>, body: Body) -> Answer {
    let new: NewToken = body.read()?;
    let mut fields = Fields::default();
    let component = fields.required("component", new.component, any);
    let origin = fields.required("origin", new.origin, |origin| site(&origin, parts.production));
    let ttl = fields.given("ttlSeconds", new.ttl_seconds, |ttl| match ttl {
        SHORTEST..=LONGEST => Ok(ttl),
        _ => Err(format!("must be from {SHORTEST} to {LONGEST}")),
    });
    let session = fields.given("session", new.session, any);
    let chatbot = fields.given("chatbotId", new.chatbot_id, any);
    let to = fields.given("to", new.to, outgoing::phone);
    let contact = fields.given("contact", new.contact, any);
    match component {
        Some(Component::Connect) => {
            for (name, given) in [("chatbotId", &chatbot), ("to", &to), ("contact", &contact)] {
                if given.is_some() {
                    fields.wrong(name, "is for the component send alone");
                }
            }
        }
        Some(Component::Send) if to.is_some() == contact.is_some() && !fields.has("to") => {
            fields.wrong("to", "or contact is required, one of them");
        }
        _ => {}
    }
    fields.done()?;
    let (Some(component), Some(origin)) = (component, origin) else {
        return Err(ApiError::new(Code::Invalid, "Something is missing."));
    };
    let Some(key) = caller.actor.strip_prefix("key:") else {
        let detail = "Only an API key of its own may ask for a token: the token ends with it.";
        return Err(ApiError::new(Code::Forbidden, detail));
    };
    if !caller.role.can(component.needs()) {
        let detail = format!("The role {} does not suffice for this component.", caller.role.as_str());
        return Err(ApiError::new(Code::Forbidden, detail));
    }
    let expires = parts.clock.now_ms() + ttl.unwrap_or(USUAL) * 1_000;
    let tag = token::site(&parts.ring, &origin);
    let session = match session {
        Some(name) => Some(sessions::find(&caller, &parts, &name).await?),
        None => None,
    };
    let mut claims = Claims {
        component,
        origin: origin.clone(),
        site: tag.clone(),
        expires,
        tenant: caller.tenant.to_string(),
        key: key.to_owned(),
        session: session.as_ref().map(|session| session.id),
        account: None,
        to,
        conversation: None,
    };
    if component == Component::Send {
        let key = session.map(|session| session.key());
        let theirs = match &contact {
            Some(contact) => {
                Some(last_talk(&caller, &parts, contact, chatbot.as_deref(), key.as_deref()).await?)
            }
            None => None,
        };
        match theirs {
            Some(conversation) => claims.conversation = Some(conversation),
            None => {
                claims.account = Some(sender(&caller, &parts, chatbot.as_deref(), key.as_deref()).await?.id)
            }
        }
    }
    parts.store.log(&caller.audit("component_token.create", &origin, parts.clock.now_ms())).await?;
    let token = claims.sign(&parts.ring);
    let view = TokenView { id: tag, token, component, origin, expires_at: Time(expires) };
    answer::success(StatusCode::CREATED, "Token created; it is not shown again", view)
}

/// A site as browsers name it: scheme, host and port, nothing else. Without https only in development, or on this machine.
fn site(origin: &str, production: bool) -> Checked<String> {
    let url = Url::parse(origin).map_err(|_| "must be like https://crm.example.com".to_owned())?;
    let name = url.origin().ascii_serialization();
    if name != origin.trim_end_matches('/') || !["https", "http"].contains(&url.scheme()) {
        return Err("must be a site alone, like https://crm.example.com".to_owned());
    }
    if url.scheme() == "http" && production && !is_loopback(&url) {
        return Err("must begin with https://".to_owned());
    }
    Ok(name)
}

/// Where a contact was last talked with, among the numbers that could send now.
async fn last_talk(
    caller: &Caller,
    parts: &Parts,
    contact: &str,
    chatbot: Option<&str>,
    number: Option<&str>,
) -> Result<i64, ApiError> {
    let missing = || ApiError::not_found("contact with a conversation on a number that could send");
    let ContactId(contact) = contact.parse().map_err(|_| missing())?;
    let wanted = Wanted { chatbot, contact: Some(contact), handed_over: None, words: None };
    let newest = (i64::MAX, i64::MAX);
    let usable = usable(caller, parts, chatbot, number).await?;
    let (rows, _) = parts.store.find_conversations(caller.tenant.as_str(), &wanted, newest, 50).await?;
    let meant =
        rows.into_iter().find(|row| usable.iter().any(|account| account.id == row.whatsapp_account_id));
    meant.map(|row| row.id).ok_or_else(missing)
}

/// The account to send through: the one that is named, or the only one there is.
async fn sender(
    caller: &Caller,
    parts: &Parts,
    chatbot: Option<&str>,
    number: Option<&str>,
) -> Result<Account, ApiError> {
    let mut accounts = usable(caller, parts, chatbot, number).await?;
    match accounts.len() {
        0 => Err(ApiError::not_found("number that could send")),
        1 => accounts.pop().ok_or_else(|| ApiError::not_found("number that could send")),
        _ => Err(ApiError::field("chatbotId", "or session is required: several numbers could send")),
    }
}

/// The accounts that send, of this chatbot and number if they are named.
async fn usable(
    caller: &Caller,
    parts: &Parts,
    chatbot: Option<&str>,
    number: Option<&str>,
) -> Result<Vec<Account>, ApiError> {
    let mut accounts = parts.store.accounts(caller.tenant.as_str(), chatbot, number).await?;
    accounts
        .retain(|account| account.deleted_at.is_none() && Status::parse(&account.status).takes_messages());
    Ok(accounts)
}
