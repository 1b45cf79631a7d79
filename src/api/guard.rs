//! Who calls, for which tenant, and whether they may: extractors that know the caller, and loaders that find the
//! caller's own things alone.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};

use super::Parts;
use super::credential::{self, Credential, Person};
use super::problem::{ApiError, Code};
use crate::auth::{Permission, Role};
use crate::ids::{ConversationId, TenantId, UserId};
use crate::store::accounts::Account;
use crate::store::chatbots::Chatbot;
use crate::store::conversations::{ConversationRef, ConversationRow};
use crate::store::people::User;
use crate::store::tenants::Audit;

/// The header in which a platform key names the tenant it acts for.
pub const TENANT: &str = "Switchboard-Tenant";

/// Whoever calls, with the tenant they act for.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Whose things they see.
    pub tenant: TenantId,
    /// What they may do.
    pub role: Role,
    /// For the audit log: `key:ab12cd34`, `user:ada@example.com` or `platform`.
    pub actor: String,
    /// Where they call from.
    pub address: String,
    /// Who they are, if they signed in.
    pub person: Option<Person>,
    /// Whether they belong to the platform.
    pub is_platform: bool,
    /// Whether they name their tenant, rather than act for the default one.
    pub(super) named: bool,
}

impl Caller {
    /// Whoever sent a request.
    pub(super) async fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let parts = parts(request)?;
        let credential = credential::of(&parts, request).await?.ok_or_else(|| {
            let detail = "Send Authorization: Bearer with a valid API key, or sign in.";
            ApiError::new(Code::Unauthenticated, detail)
        })?;
        let Credential { tenant, role, actor, person } = credential;
        let address = parts.people.address(request).to_string();
        if let Some(tenant) = tenant {
            return Ok(Self { tenant, role, actor, address, person, is_platform: false, named: false });
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
        Ok(Self { tenant, role, actor, address, person, is_platform: true, named: named.is_some() })
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
        Err(ApiError::new(Code::Forbidden, "Only the platform may do that."))
    }

    /// The platform, acting for this tenant.
    pub fn acting_for(self, tenant: &str) -> Self {
        Self { tenant: TenantId::trusted(tenant), named: true, ..self }
    }

    /// Whose events are seen: everybody's by a platform key that names no tenant.
    pub fn scope(&self) -> Option<&str> {
        (!self.is_platform || self.named).then_some(self.tenant.as_str())
    }

    /// A line for the audit log.
    pub fn audit<'a>(&'a self, action: &'a str, target: &'a str, now: i64) -> Audit<'a> {
        let tenant = Some(self.tenant.as_str());
        Audit { tenant, actor: &self.actor, address: Some(&self.address), action, target, now, detail: None }
    }

    /// The caller's chatbot of this id, or 404.
    pub async fn chatbot(&self, parts: &Parts, id: &str) -> Result<Chatbot, ApiError> {
        let found = parts.store.chatbot(self.tenant.as_str(), id).await?;
        found.ok_or_else(|| ApiError::not_found("chatbot"))
    }

    /// One of the caller's people, or 404; the platform's own are people of every platform caller.
    pub async fn user(&self, parts: &Parts, id: &str) -> Result<User, ApiError> {
        let missing = || ApiError::not_found("person");
        let UserId(id) = id.parse().map_err(|_| missing())?;
        let user = parts.store.user(id).await?.ok_or_else(missing)?;
        let theirs = match &user.tenant_id {
            Some(tenant) => tenant == self.tenant.as_str(),
            None => self.is_platform,
        };
        if theirs { Ok(user) } else { Err(missing()) }
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

/// Whether the platform itself calls.
pub async fn is_platform(request: &HttpRequest) -> Result<bool, ApiError> {
    let credential = credential::of(&*parts(request)?, request).await?;
    Ok(credential.is_some_and(|credential| credential.tenant.is_none()))
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
    Owner Own "A caller who may manage people.";
}
