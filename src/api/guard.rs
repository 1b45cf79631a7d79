//! Who calls, for which tenant, and whether they may: extractors that know the caller, and loaders that find the
//! caller's own things alone.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::{FromRequest, HttpRequest, web};
use secrecy::ExposeSecret;

use super::Parts;
use super::problem::{ApiError, Code};
use crate::auth::api_key::ApiKey;
use crate::auth::{Permission, Role};
use crate::ids::{ConversationId, TenantId};
use crate::secret;
use crate::store::accounts::Account;
use crate::store::chatbots::Chatbot;
use crate::store::conversations::{ConversationRef, ConversationRow};
use crate::store::tenants::Audit;

/// The header in which a platform key names the tenant it acts for.
pub const TENANT: &str = "Switchboard-Tenant";
/// A key's last use is noted once in so many milliseconds.
const NOTED: i64 = 60_000;

/// Whoever calls, with the tenant they act for.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Whose things they see.
    pub tenant: TenantId,
    /// What they may do.
    pub role: Role,
    /// For the audit log: `key:ab12cd34` or `platform`.
    pub actor: String,
    /// Whether they hold a platform key.
    pub is_platform: bool,
    /// Whether a platform key names its tenant, rather than acting for the default one.
    named: bool,
}

/// A credential that was recognised: the tenant it belongs to (none: the platform), role, actor.
struct Credential {
    tenant: Option<TenantId>,
    role: Role,
    actor: String,
}

impl Caller {
    async fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let parts = parts(request)?;
        let credential = match bearer(request.headers()) {
            Some(token) => recognise(&parts, token).await?,
            None => None,
        };
        let credential = credential.ok_or_else(|| {
            ApiError::new(Code::Unauthenticated, "Send Authorization: Bearer with a valid API key.")
        })?;
        let Credential { tenant, role, actor } = credential;
        if let Some(tenant) = tenant {
            return Ok(Self { tenant, role, actor, is_platform: false, named: false });
        }
        let named = request.headers().get(TENANT);
        let tenant = match named {
            None => TenantId::default_tenant(),
            Some(name) => {
                let id: Option<TenantId> = name.to_str().ok().and_then(|name| name.parse().ok());
                let stored = match id {
                    Some(id) => parts.store.tenant(id.as_str()).await?.map(|_| id),
                    None => None,
                };
                stored.ok_or_else(|| ApiError::new(Code::NotFound, format!("{TENANT} names no tenant.")))?
            }
        };
        Ok(Self { tenant, role, actor, is_platform: true, named: named.is_some() })
    }

    fn may(self, permission: Permission) -> Result<Self, ApiError> {
        if self.role.can(permission) {
            return Ok(self);
        }
        let detail = format!("The role {} does not suffice for this.", self.role.as_str());
        Err(ApiError::new(Code::Forbidden, detail))
    }

    /// Only the platform goes on from here.
    pub fn platform(&self) -> Result<(), ApiError> {
        if self.is_platform {
            return Ok(());
        }
        Err(ApiError::new(Code::Forbidden, "Only a platform key may do that."))
    }

    /// Whose events are seen: everybody's by a platform key that names no tenant.
    pub fn scope(&self) -> Option<&str> {
        (!self.is_platform || self.named).then_some(self.tenant.as_str())
    }

    /// A line for the audit log.
    pub fn audit<'a>(&'a self, action: &'a str, target: &'a str, now: i64) -> Audit<'a> {
        Audit { tenant: Some(self.tenant.as_str()), actor: &self.actor, action, target, now }
    }

    /// The caller's chatbot of this id, or 404.
    pub async fn chatbot(&self, parts: &Parts, id: &str) -> Result<Chatbot, ApiError> {
        let found = parts.store.chatbot(self.tenant.as_str(), id).await?;
        found.ok_or_else(|| ApiError::not_found("chatbot"))
    }

    /// The caller's accounts of a chatbot; of one number, if given. A chatbot that is not theirs has none.
    pub async fn accounts(
        &self,
        parts: &Parts,
        chatbot: &str,
        number: Option<&str>,
    ) -> Result<Vec<Account>, ApiError> {
        // The store reads an empty name as "any".
        if chatbot.is_empty() || number == Some("") {
            return Ok(Vec::new());
        }
        Ok(parts.store.accounts(self.tenant.as_str(), Some(chatbot), number).await?)
    }

    /// The caller's conversation of this id, or 404; with what is needed to go on with it.
    pub async fn conversation(
        &self,
        parts: &Parts,
        id: &str,
    ) -> Result<(ConversationRow, ConversationRef), ApiError> {
        let missing = || ApiError::not_found("conversation");
        let ConversationId(id) = id.parse().map_err(|_| missing())?;
        let row = parts.store.conversation(self.tenant.as_str(), id).await?.ok_or_else(missing)?;
        let reference = parts.store.conversation_ref(id).await?.ok_or_else(missing)?;
        Ok((row, reference))
    }
}

fn parts(request: &HttpRequest) -> Result<web::Data<Parts>, ApiError> {
    let parts = request.app_data::<web::Data<Parts>>().cloned();
    parts.ok_or_else(|| ApiError::new(Code::Internal, "The API was started without its parts."))
}

/// The token of `Authorization: Bearer …`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

async fn recognise(parts: &Parts, token: &str) -> Result<Option<Credential>, ApiError> {
    if parts.admin_key.as_ref().is_some_and(|key| secret::equal(key.expose_secret(), token)) {
        return Ok(Some(Credential { tenant: None, role: Role::Owner, actor: "platform".to_owned() }));
    }
    let Some(key) = ApiKey::parse(token) else { return Ok(None) };
    let row = parts.store.api_key(key.id()).await?;
    let Some(row) = row.filter(|row| key.matches(&row.secret_hash) && row.revoked_at.is_none()) else {
        return Ok(None);
    };
    let now = parts.clock.now_ms();
    if row.last_used_at.is_none_or(|at| now - at >= NOTED)
        && let Err(error) = parts.store.touch_api_key(&row.id, now).await
    {
        tracing::warn!(%error, "a key's last use could not be noted");
    }
    Ok(Role::parse(&row.role).map(|role| Credential {
        tenant: row.tenant_id.as_deref().map(TenantId::trusted),
        role,
        actor: format!("key:{}", row.id),
    }))
}

/// Whether the bearer is the platform itself.
pub async fn is_platform(request: &HttpRequest) -> Result<bool, ApiError> {
    match bearer(request.headers()) {
        Some(token) => Ok(recognise(&*parts(request)?, token)
            .await?
            .is_some_and(|credential| credential.tenant.is_none())),
        None => Ok(false),
    }
}

macro_rules! callers {
    ($($name:ident $permission:ident $what:literal;)*) => {$(
        #[doc = $what]
        #[derive(Debug, Clone)]
        pub struct $name(pub Caller);

        impl Deref for $name {
            type Target = Caller;

            fn deref(&self) -> &Caller {
                &self.0
            }
        }

        impl FromRequest for $name {
            type Error = ApiError;
            type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                let request = request.clone();
                Box::pin(async move { Caller::of(&request).await?.may(Permission::$permission).map(Self) })
            }
        }
    )*};
}

callers! {
    Reader Read "A caller who may look: everybody with a valid key.";
    Replier Reply "A caller who may answer customers, retry and cancel.";
    Manager Manage "A caller who may change numbers, chatbots and keys.";
}
