//! A tenant's people, and the platform's: who may sign in, and what each may do.

use actix_web::http::StatusCode;
use actix_web::web;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Parts;
use super::answer::{self, Answer, Listing, Page, Success, Time};
use super::body::{Body, Field, Fields, any, text};
use super::guard::{Caller, Manager, Owner};
use super::problem::{ApiError, Code};
use super::sign_in::email;
use crate::auth::{Role, token};
use crate::ids::UserId;
use crate::store::StoreError;
use crate::store::people::User;

/// How long a link is good, in milliseconds.
const LINK: i64 = 7 * 24 * 3_600_000;

/// A person who may sign in, or was invited to.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    id: String,
    email: String,
    name: String,
    role: String,
    /// Whether they belong to the platform, and may act for every tenant.
    platform: bool,
    /// `active`, or `invited`: no password chosen yet.
    status: &'static str,
    /// Until when their link is good, if they have one.
    link_expires_at: Option<Time>,
    created_at: Time,
}

/// A person with a new link: the only time it is shown.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkView {
    /// Give it to them and to nobody else: whoever opens it chooses the password. Good once, for a week.
    link: String,
    #[serde(flatten)]
    view: UserView,
}

/// Somebody to be invited.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Invitation {
    #[serde(default)]
    #[schema(value_type = String, required, example = "ada@example.com")]
    email: Field<String>,
    /// What people call them; the e-mail address unless given.
    #[serde(default)]
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    name: Field<String>,
    #[serde(default)]
    #[schema(value_type = Role, required)]
    role: Field<Role>,
    /// One of the platform's own people; the platform alone may ask for that.
    #[serde(default)]
    #[schema(value_type = bool)]
    platform: Field<bool>,
}

/// What changes about a person.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserChange {
    #[serde(default)]
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    name: Field<String>,
    #[serde(default)]
    #[schema(value_type = Role)]
    role: Field<Role>,
}

/// Whose people.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Whose {
    /// `true`: the platform's own people, for the platform.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    platform: Option<String>,
}

/// Lists people in the order they came.
#[utoipa::path(get, path = "/api/v1/users", tag = "users", params(Page, Whose),
    responses((status = 200, body = Listing<UserView>)))]
pub async fn list(
    caller: Manager,
    parts: web::Data<Parts>,
    page: web::Query<Page>,
    whose: web::Query<Whose>,
) -> Answer {
    let slice = page.slice::<Uuid>()?;
    let platform = match whose.platform.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(ApiError::field("platform", "must be true or false")),
    };
    if platform {
        caller.platform()?;
    }
    let tenant = (!platform).then_some(caller.tenant.as_str());
    let rows = parts.store.user_page(tenant, slice.after.unwrap_or(Uuid::nil()), slice.fetch()).await?;
    slice.answer(rows, |user| user.id, view)
}

/// Invites somebody: the answer holds the link with which they choose a password.
#[utoipa::path(post, path = "/api/v1/users", tag = "users", request_body = Invitation,
    responses((status = 201, body = Success<LinkView>)))]
pub async fn invite(caller: Owner, parts: web::Data<Parts>, body: Body) -> Answer {
    let new: Invitation = body.read()?;
    let mut fields = Fields::default();
    let email = fields.required("email", new.email, email);
    let name = fields.given("name", new.name, text(200));
    let role = fields.required("role", new.role, any);
    let platform = fields.given("platform", new.platform, any).unwrap_or(false);
    fields.done()?;
    if platform {
        caller.platform()?;
    }
    let now = parts.clock.now_ms();
    let email = email.unwrap_or_default();
    let user = User {
        id: UserId::new(now).0,
        tenant_id: (!platform).then(|| caller.tenant.to_string()),
        name: name.unwrap_or_else(|| email.clone()),
        role: role.unwrap_or(Role::Viewer).as_str().to_owned(),
        password_hash: None,
        link_expires_at: Some(now + LINK),
        created_at: now,
        email,
    };
    let token = token::generate();
    let mut line = caller.audit("user.invite", &user.email, now);
    (line.tenant, line.detail) = (user.tenant_id.as_deref(), Some(user.role.as_str()));
    let made = parts.store.invite_user(&user, &token::digest(token.expose_secret()), &line).await;
    made.map_err(|error| match error {
        StoreError::Conflict => ApiError::new(Code::Exists, "Somebody has this e-mail address already."),
        other => other.into(),
    })?;
    let link = invitation(&parts, token.expose_secret());
    answer::success(
        StatusCode::CREATED,
        "Invited; the link is not shown again",
        LinkView { link, view: view(user) },
    )
}

/// One person.
#[utoipa::path(get, path = "/api/v1/users/{id}", tag = "users", params(("id" = String, Path)),
    responses((status = 200, body = Success<UserView>)))]
pub async fn one(caller: Manager, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    answer::ok("Person", view(caller.user(&parts, &id).await?))
}

/// Changes a person's name or role, at once and everywhere. There is always an owner.
#[utoipa::path(patch, path = "/api/v1/users/{id}", tag = "users", params(("id" = String, Path)),
    request_body = UserChange, responses((status = 200, body = Success<UserView>)))]
pub async fn change(caller: Owner, parts: web::Data<Parts>, id: web::Path<String>, body: Body) -> Answer {
    let user = caller.user(&parts, &id).await?;
    let change: UserChange = body.read()?;
    if !change.name.is_there() && !change.role.is_there() {
        return Err(ApiError::new(Code::Invalid, "Nothing to change was given."));
    }
    let mut fields = Fields::default();
    let name = fields.given("name", change.name, text(200));
    let role = fields.given("role", change.role, any);
    fields.done()?;
    let line = line(&caller, "user.change", &user, parts.clock.now_ms());
    let role = role.map(|role: Role| role.as_str());
    let user = parts.store.change_user(&user, name.as_deref(), role, &line).await?;
    answer::ok("Person changed", view(user))
}

/// Removes a person; their sign-ins are over at once. The last owner stays.
#[utoipa::path(delete, path = "/api/v1/users/{id}", tag = "users", params(("id" = String, Path)),
    responses((status = 200, body = Success<UserView>)))]
pub async fn remove(caller: Owner, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    let user = caller.user(&parts, &id).await?;
    parts.store.remove_user(&user, &line(&caller, "user.remove", &user, parts.clock.now_ms())).await?;
    answer::ok("Person removed", view(user))
}

/// Makes a new link for a person who lost theirs, or their password; the one before is void.
#[utoipa::path(post, path = "/api/v1/users/{id}/link", tag = "users", params(("id" = String, Path)),
    responses((status = 200, body = Success<LinkView>)))]
pub async fn link(caller: Owner, parts: web::Data<Parts>, id: web::Path<String>) -> Answer {
    let mut user = caller.user(&parts, &id).await?;
    let (token, now) = (token::generate(), parts.clock.now_ms());
    user.link_expires_at = Some(now + LINK);
    let digest = token::digest(token.expose_secret());
    let line = line(&caller, "user.link", &user, now);
    parts.store.set_user_link(user.id, &digest, now + LINK, &line).await?;
    let link = invitation(&parts, token.expose_secret());
    answer::ok("The link is not shown again", LinkView { link, view: view(user) })
}

fn line<'a>(
    caller: &'a Caller,
    action: &'a str,
    user: &'a User,
    now: i64,
) -> crate::store::tenants::Audit<'a> {
    let mut line = caller.audit(action, &user.email, now);
    line.tenant = user.tenant_id.as_deref();
    line
}

/// Behind a `#`, so that it reaches no server's log.
fn invitation(parts: &Parts, token: &str) -> String {
    format!("{}/invite#{token}", parts.people.public_url)
}

fn view(user: User) -> UserView {
    UserView {
        id: UserId(user.id).to_string(),
        email: user.email,
        name: user.name,
        role: user.role,
        platform: user.tenant_id.is_none(),
        status: if user.password_hash.is_some() { "active" } else { "invited" },
        link_expires_at: user.link_expires_at.map(Time),
        created_at: Time(user.created_at),
    }
}
