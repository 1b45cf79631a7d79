//! Signing in and out, and what callers may know of themselves.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::http::StatusCode;
use actix_web::http::header::SET_COOKIE;
use actix_web::{HttpRequest, web};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Parts;
use super::answer::{self, Answer, Success};
use super::body::{Body, Checked, Field, Fields, any};
use super::cookie::Cookie;
use super::credential::{IDLE, LONGEST, Person, SignedIn};
use super::guard::{Caller, Reader};
use super::problem::{ApiError, Code};
use crate::auth::password::{self, Hashing};
use crate::auth::throttle::Throttle;
use crate::auth::{Role, token};
use crate::config::TrustedProxy;
use crate::ids::{TenantId, UserId};
use crate::store::people::User;
use crate::store::tenants::Audit;

/// Tenants that a person of the platform is told at once; the others are in `GET /api/v1/tenants`.
const TENANTS: u64 = 200;

/// What signing in works with. Cheap to clone.
#[derive(Clone)]
#[allow(missing_docs)] // their types say what they are
pub struct People {
    pub throttle: Throttle,
    pub hashing: Hashing,
    pub cookie: Cookie,
    /// Whose word on a caller's address counts.
    pub proxy: TrustedProxy,
    /// Where links lead, without a slash at the end.
    pub public_url: String,
}

impl People {
    /// For a server that people reach at `public_url`.
    pub fn new(public_url: String, production: bool, proxy: TrustedProxy) -> Self {
        let cookie = Cookie::new(&public_url, production);
        Self { throttle: Throttle::default(), hashing: Hashing::default(), cookie, proxy, public_url }
    }

    /// Where a request comes from, as far as we believe it.
    pub fn address(&self, request: &HttpRequest) -> IpAddr {
        let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        self.proxy.client(peer, |name| {
            let lines: Vec<&str> =
                request.headers().get_all(name).filter_map(|line| line.to_str().ok()).collect();
            (!lines.is_empty()).then(|| lines.join(","))
        })
    }
}

/// E-mail address and password.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Credentials {
    #[serde(default)]
    #[schema(value_type = String, required, example = "ada@example.com")]
    email: Field<String>,
    #[serde(default)]
    #[schema(value_type = String, required, format = Password)]
    password: Field<String>,
}

/// Whether other devices are meant too.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignOut {
    /// Ends every sign-in of this person.
    #[serde(default)]
    #[schema(value_type = bool)]
    everywhere: Field<bool>,
}

/// Another password for oneself.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewPassword {
    #[serde(default)]
    #[schema(value_type = String, required, format = Password)]
    current_password: Field<String>,
    /// 8 to 128 characters, and none of the most common ones.
    #[serde(default)]
    #[schema(value_type = String, required, format = Password, min_length = 8, max_length = 128)]
    password: Field<String>,
}

/// Who calls.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// A person's id, or the public part of a key.
    id: String,
    /// `person` or `key`.
    kind: &'static str,
    email: Option<String>,
    name: Option<String>,
    role: Role,
    /// Whether they belong to the platform, and may name a tenant in `Switchboard-Tenant`.
    platform: bool,
    /// Whose things they see.
    tenant: TenantName,
    /// Tenants they may choose: their own, or the first two hundred for the platform.
    tenants: Vec<TenantName>,
    csrf: Csrf,
}

/// A tenant by name.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantName {
    id: String,
    name: String,
}

/// What a request needs that changes something by the cookie of a sign-in: one of these headers, which browsers set by
/// themselves on requests from our own pages.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Csrf {
    /// Always `same-origin`.
    rule: &'static str,
    headers: [&'static str; 2],
}

/// Signs a person in: the answer sets a cookie, which is good wherever an API key is.
#[utoipa::path(post, path = "/api/v1/sign-in", tag = "sign-in", security(()), request_body = Credentials,
    responses((status = 200, body = Success<Me>)))]
pub async fn sign_in(request: HttpRequest, parts: web::Data<Parts>, body: Body) -> Answer {
    parts.people.cookie.refuse_other_sites(&request, false)?;
    let given: Credentials = body.read()?;
    let mut fields = Fields::default();
    let email = fields.required("email", given.email, email);
    let password = fields.required("password", given.password, any);
    fields.done()?;
    let (email, password) = (email.unwrap_or_default(), password.unwrap_or_default().into());
    let tried = prove(&parts, &request, &email, password).await?;
    let user = tried.ok_or_else(|| {
        ApiError::new(Code::SignInRefused, "Nobody signs in with this e-mail address and password.")
    })?;
    begin(&parts, &request, StatusCode::OK, user).await
}

/// Who has this e-mail address and password; takes the same time for nobody's.
async fn prove(
    parts: &Parts,
    request: &HttpRequest,
    email: &str,
    password: SecretString,
) -> Result<Option<User>, ApiError> {
    let address = parts.people.address(request);
    let attempt = parts.people.throttle.begin(address, email, parts.clock.now_ms());
    let attempt = attempt.map_err(ApiError::too_many)?;
    let user = parts.store.user_by_email(email).await?;
    let stored = user.as_ref().and_then(|user| user.password_hash.clone());
    if !parts.people.hashing.verify(password, stored).await? {
        return Ok(None);
    }
    attempt.succeeded();
    Ok(user)
}

/// Signs somebody in who has just proved who they are.
pub(super) async fn begin(parts: &Parts, request: &HttpRequest, status: StatusCode, user: User) -> Answer {
    let now = parts.clock.now_ms();
    let token = token::generate();
    let sign_in = token::digest(token.expose_secret());
    let actor = format!("user:{}", user.email);
    let address = parts.people.address(request).to_string();
    let line = Audit {
        tenant: user.tenant_id.as_deref(),
        actor: &actor,
        address: Some(&address),
        action: "user.sign_in",
        target: &user.email,
        detail: None,
        now,
    };
    if !parts.store.create_sign_in(&user, &sign_in, now + LONGEST, now - IDLE, &line).await? {
        return Err(ApiError::new(Code::SignInRefused, "The password was changed at this moment."));
    }
    let caller = Caller {
        tenant: user.tenant_id.as_deref().map_or_else(TenantId::default_tenant, TenantId::trusted),
        role: Role::parse(&user.role).unwrap_or(Role::Viewer),
        actor,
        address,
        is_platform: user.tenant_id.is_none(),
        person: Some(Person {
            id: UserId(user.id).to_string(),
            email: Some(user.email),
            name: Some(user.name),
            sign_in: Some(SignedIn { user: user.id, hash: sign_in }),
        }),
        named: false,
    };
    let mut answer = answer::success(status, "Signed in", view(parts, caller).await?)?;
    give_cookie(&mut answer, &parts.people.cookie.set(token.expose_secret(), LONGEST / 1000));
    Ok(answer)
}

fn give_cookie(answer: &mut actix_web::HttpResponse, cookie: &str) {
    if let Ok(cookie) = cookie.parse() {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
}

/// Ends the sign-in of the cookie, if it is one, and takes the cookie away.
#[utoipa::path(post, path = "/api/v1/sign-out", tag = "sign-in", security(()), request_body = SignOut,
    responses((status = 200, body = Success<SignedOut>)))]
pub async fn sign_out(request: HttpRequest, parts: web::Data<Parts>, body: Body) -> Answer {
    parts.people.cookie.refuse_other_sites(&request, false)?;
    let given: SignOut = body.read()?;
    let mut fields = Fields::default();
    let everywhere = fields.given("everywhere", given.everywhere, any).unwrap_or(false);
    fields.done()?;
    if let Some(token) = parts.people.cookie.read(request.headers()) {
        parts.people.cookie.refuse_other_sites(&request, true)?;
        parts.store.end_sign_in(&token::digest(token), everywhere).await?;
    }
    let mut answer = answer::ok("Signed out", SignedOut { id: "sign-in" })?;
    give_cookie(&mut answer, &parts.people.cookie.set("", 0));
    Ok(answer)
}

/// Nobody is signed in any more.
#[derive(Serialize, ToSchema)]
pub struct SignedOut {
    /// Always `sign-in`.
    id: &'static str,
}

/// Who calls, what they may do, and for which tenants.
#[utoipa::path(get, path = "/api/v1/me", tag = "sign-in", responses((status = 200, body = Success<Me>)))]
pub async fn me(caller: Reader, parts: web::Data<Parts>) -> Answer {
    answer::ok("You", view(&parts, caller.0).await?)
}

/// Changes one's own password; every other sign-in of this person is over.
#[utoipa::path(post, path = "/api/v1/me/password", tag = "sign-in", request_body = NewPassword,
    responses((status = 200, body = Success<Me>)))]
pub async fn change_password(
    caller: Reader,
    request: HttpRequest,
    parts: web::Data<Parts>,
    body: Body,
) -> Answer {
    let person = caller.person.as_ref();
    let Some((email, sign_in)) = person.and_then(|p| p.email.clone().zip(p.sign_in.clone())) else {
        return Err(ApiError::new(Code::Forbidden, "Only a person who signed in here has a password."));
    };
    let given: NewPassword = body.read()?;
    let mut fields = Fields::default();
    let current = fields.required("currentPassword", given.current_password, any);
    let password = fields.required("password", given.password, good_password);
    fields.done()?;
    let current = current.unwrap_or_default().into();
    if prove(&parts, &request, &email, current).await?.is_none() {
        return Err(ApiError::field("currentPassword", "is not right"));
    }
    let hash = parts.people.hashing.hash(password.unwrap_or_default()).await?;
    let line = caller.audit("user.password", &email, parts.clock.now_ms());
    parts.store.set_password(sign_in.user, &hash, &sign_in.hash, &line).await?;
    answer::ok("Password changed; you are signed out elsewhere", view(&parts, caller.0).await?)
}

/// An e-mail address, in the form it is kept.
pub(super) fn email(text: String) -> Checked<String> {
    crate::auth::email(&text).ok_or_else(|| "must be an e-mail address".to_owned())
}

/// A password that is good enough to have.
pub(super) fn good_password(text: String) -> Checked<SecretString> {
    let password = text.into();
    password::check(&password).map_err(|error| error.to_string())?;
    Ok(password)
}

async fn view(parts: &Parts, caller: Caller) -> Result<Me, ApiError> {
    let name = |tenant: crate::store::tenants::Tenant| TenantName { id: tenant.id, name: tenant.name };
    let own = parts.store.tenant(caller.tenant.as_str()).await?.map(name);
    let tenant = own.ok_or_else(|| ApiError::not_found("tenant"))?;
    let tenants = if caller.is_platform {
        parts.store.tenant_page("", TENANTS).await?.into_iter().map(name).collect()
    } else {
        vec![tenant.clone()]
    };
    let key = || caller.actor.trim_start_matches("key:").to_owned();
    let person = caller.person.as_ref();
    Ok(Me {
        id: person.map_or_else(key, |person| person.id.clone()),
        kind: if person.is_some() { "person" } else { "key" },
        email: person.and_then(|person| person.email.clone()),
        name: person.and_then(|person| person.name.clone()),
        role: caller.role,
        platform: caller.is_platform,
        tenant,
        tenants,
        csrf: Csrf { rule: "same-origin", headers: ["Sec-Fetch-Site", "Origin"] },
    })
}
