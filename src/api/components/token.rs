//! Component tokens: what a page of somebody else's holds for one of our components, for minutes.
//!
//! A token is signed, not stored. It says whose it is, for which component, for what alone, and on which site; and by
//! which API key it was asked for, with which it ends. No other route takes one, and these routes take nothing else.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{HOST, HeaderMap, ORIGIN};
use actix_web::{FromRequest, HttpRequest, web};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::super::Parts;
use super::super::credential;
use super::super::guard::Caller;
use super::super::problem::{ApiError, Code};
use crate::auth::{Permission, Role};
use crate::ids::TenantId;
use crate::secret::{self, Ring};

/// What every token begins with.
const PREFIX: &str = "sbct_";
/// What the hashes are for: a token's signature, and a site's tag.
const TOKEN: &str = "component-token";
const SITE: &str = "component-site";
/// Length of a site's tag.
const TAG: usize = 24;

/// Which component a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Component {
    /// `<whatsapp-connect>`: links a number by QR code.
    Connect,
    /// `<whatsapp-send>`: writes to one customer.
    Send,
}

impl Component {
    /// What whoever asks for such a token must be allowed to do themselves.
    pub fn needs(self) -> Permission {
        match self {
            Self::Connect => Permission::Manage,
            Self::Send => Permission::Reply,
        }
    }
}

/// What a token says. The page reads it too: nothing here is a secret from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// For which component.
    pub component: Component,
    /// The only site whose pages may use it, `https://crm.example.com`.
    pub origin: String,
    /// The site's tag: stands in the addresses that its pages call.
    pub site: String,
    /// Until when, Unix milliseconds.
    pub expires: i64,
    /// Whose.
    pub tenant: String,
    /// By which API key it was asked for.
    pub key: String,
    /// Which session to link; none: the tenant's default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<i64>,
    /// Through which account to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<i64>,
    /// To which phone,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// or in which conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<i64>,
}

impl Claims {
    /// The token that says this.
    pub fn sign(&self, ring: &Ring) -> String {
        let said = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default());
        format!("{PREFIX}{said}.{}", ring.keyed_hash(TOKEN, &said))
    }

    /// What it is good for, whichever token says so: for whom, through what, and in which component.
    pub fn target(&self) -> String {
        serde_json::json!([self.component, self.session, self.account, self.to, self.conversation])
            .to_string()
    }

    /// Reads a token of ours; `None` for anything else. Whether it is still good is another question.
    pub fn read(ring: &Ring, token: &str) -> Option<Self> {
        let (said, signature) = token.strip_prefix(PREFIX)?.split_once('.')?;
        let genuine = ring.keyed_hashes(TOKEN, said).iter().any(|known| secret::equal(known, signature));
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(said).ok()?).ok().filter(|_| genuine)
    }
}

/// The tag of a site: only who asked for a token for it knows it. An address with it answers that site alone.
pub fn site(ring: &Ring, origin: &str) -> String {
    let mut tag = ring.keyed_hash(SITE, origin);
    tag.truncate(TAG);
    tag
}

/// Whether this is the tag of that site.
pub fn is_site(ring: &Ring, tag: &str, origin: &str) -> bool {
    ring.keyed_hashes(SITE, origin)
        .iter()
        .any(|known| known.get(..TAG).is_some_and(|k| secret::equal(k, tag)))
}

/// The site whose page asks, as browsers name it; our own, where they name none because it is ours.
pub fn asking(headers: &HeaderMap) -> Option<String> {
    let word = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(origin) = word(ORIGIN.as_str()) {
        return Some(origin.to_owned());
    }
    let ours = word("sec-fetch-site") == Some("same-origin");
    // A page of ours is reached as its host says; http is for development alone.
    word(HOST.as_str()).filter(|_| ours).map(|host| format!("//{host}"))
}

/// Whoever holds a component token, and what it is for.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// The tenant, in the name of the API key.
    pub caller: Caller,
    /// What the token says.
    pub claims: Claims,
}

impl Embedded {
    /// Whoever sent a request.
    pub(in crate::api) async fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let parts = request.app_data::<web::Data<Parts>>().cloned();
        let parts =
            parts.ok_or_else(|| ApiError::new(Code::Internal, "The API was started without its parts."))?;
        let over = |words: &str| ApiError::new(Code::Unauthenticated, words);
        let token = credential::bearer(request.headers());
        let claims = token.and_then(|token| Claims::read(&parts.ring, token));
        let claims = claims.ok_or_else(|| over("Send Authorization: Bearer with a component token."))?;
        let site = asking(request.headers()).unwrap_or_default();
        let own =
            claims.origin == site || claims.origin.split_once(':').is_some_and(|(_, rest)| rest == site);
        if !own || request.match_info().get("site") != Some(claims.site.as_str()) {
            return Err(ApiError::new(Code::CrossSite, "This token is for pages of another site."));
        }
        if claims.expires <= parts.clock.now_ms() {
            return Err(over("This page's permission has ended: ask for a new token."));
        }
        let key = parts.store.api_key(&claims.key).await?;
        let key = key.filter(|key| {
            let theirs = key.tenant_id.as_ref().is_none_or(|tenant| *tenant == claims.tenant);
            theirs && key.revoked_at.is_none()
        });
        let role = key.and_then(|key| Role::parse(&key.role));
        let role = role.filter(|role| role.can(claims.component.needs()));
        let role = role.ok_or_else(|| over("The API key that asked for this token is revoked."))?;
        let caller = Caller {
            tenant: TenantId::trusted(&claims.tenant),
            role,
            actor: format!("component:{}", claims.key),
            address: parts.people.address(request).to_string(),
            person: None,
            is_platform: false,
            named: false,
        };
        Ok(Self { caller, claims })
    }

    /// Only for this component.
    pub fn only(self, component: Component) -> Result<Self, ApiError> {
        if self.claims.component == component {
            return Ok(self);
        }
        Err(ApiError::new(Code::Forbidden, "This token is for another component."))
    }
}

impl FromRequest for Embedded {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { Self::of(&request).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(keys: &str) -> Ring {
        Ring::parse(&keys.into()).unwrap()
    }

    const OLD: &str = "old:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const NEW: &str = "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn claims() -> Claims {
        Claims {
            component: Component::Send,
            origin: "https://crm.example.com".into(),
            site: "tag".into(),
            expires: 5,
            tenant: "a".into(),
            key: "k".into(),
            session: None,
            account: Some(3),
            to: Some("15551234567".into()),
            conversation: None,
        }
    }

    #[test]
    fn only_what_we_signed_is_read() {
        let (old, new) = (ring(OLD), ring(NEW));
        let token = claims().sign(&old);
        assert_eq!(Claims::read(&old, &token), Some(claims()));
        assert_eq!(Claims::read(&new, &token), None);
        assert_eq!(Claims::read(&ring(&format!("{NEW},{OLD}")), &token), Some(claims()), "keys are rotated");
        let (said, signature) = token.strip_prefix(PREFIX).unwrap().split_once('.').unwrap();
        let other = Claims { tenant: "b".into(), ..claims() }.sign(&old);
        let other = other.strip_prefix(PREFIX).unwrap().split_once('.').unwrap().0.to_owned();
        for wrong in [
            format!("{PREFIX}{other}.{signature}"),
            format!("{PREFIX}{said}."),
            format!("{PREFIX}{said}"),
            format!("{said}.{signature}"),
            format!("{PREFIX}.{signature}"),
            String::new(),
        ] {
            assert_eq!(Claims::read(&old, &wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_tag_is_good_for_its_own_site() {
        let (old, both) = (ring(OLD), ring(&format!("{NEW},{OLD}")));
        let tag = site(&old, "https://crm.example.com");
        assert_eq!(tag.len(), TAG);
        assert!(is_site(&both, &tag, "https://crm.example.com"));
        for (tag, origin) in [
            (tag.as_str(), "https://crm.example.com:8443"),
            (tag.as_str(), "http://crm.example.com"),
            (tag.as_str(), "null"),
            (&tag[..TAG - 1], "https://crm.example.com"),
            ("", "https://crm.example.com"),
        ] {
            assert!(!is_site(&both, tag, origin), "{tag} {origin}");
        }
    }
}
