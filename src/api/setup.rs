//! Links that let somebody choose a password: the set-up link of an empty database, and invitations.
//!
//! There is no default password. As long as nobody may sign in, whoever can read the server's output holds the set-up
//! link: it follows from the keys and the database, so that every instance prints, and takes, the same.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Parts;
use super::answer::{self, Answer, Success};
use super::body::{Body, Field, Fields, any, text};
use super::problem::{ApiError, Code};
use super::sign_in::{Me, begin, email, good_password};
use crate::auth::token;
use crate::ids::UserId;
use crate::secret::{self, Ring};
use crate::store::people::User;
use crate::store::tenants::{Audit, DEFAULT_TENANT};
use crate::store::{Store, StoreError};

/// The first person, who belongs to the platform and owns it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FirstPerson {
    /// What stands behind `#` in the set-up link.
    #[serde(default)]
    #[schema(value_type = String, required)]
    token: Field<String>,
    #[serde(default)]
    #[schema(value_type = String, required, example = "ada@example.com")]
    email: Field<String>,
    /// What people call them; the e-mail address unless given.
    #[serde(default)]
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    name: Field<String>,
    /// 8 to 128 characters, and none of the most common ones.
    #[serde(default)]
    #[schema(value_type = String, required, format = Password, min_length = 8, max_length = 128)]
    password: Field<String>,
}

/// What an invited person chooses.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Acceptance {
    /// What stands behind `#` in the link.
    #[serde(default)]
    #[schema(value_type = String, required)]
    token: Field<String>,
    /// What people call them; as the invitation says unless given.
    #[serde(default)]
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    name: Field<String>,
    /// 8 to 128 characters, and none of the most common ones.
    #[serde(default)]
    #[schema(value_type = String, required, format = Password, min_length = 8, max_length = 128)]
    password: Field<String>,
}

/// Whether anybody may sign in yet.
#[derive(Serialize, ToSchema)]
pub struct SetupState {
    /// Always `setup`.
    id: &'static str,
    /// Nobody may: the set-up link is good.
    needed: bool,
}

/// The link that makes the first person, while there is none: `{public_url}/setup#…`.
///
/// # Errors
/// The database.
pub async fn link(store: &Store, ring: &Ring, public_url: &str) -> Result<Option<String>, StoreError> {
    Ok(setup_token(store, ring).await?.map(|token| format!("{public_url}/setup#{token}")))
}

async fn setup_token(store: &Store, ring: &Ring) -> Result<Option<String>, StoreError> {
    if !store.nobody_yet().await? {
        return Ok(None);
    }
    // Another database has another link, also under the same keys.
    let born = store.tenant(DEFAULT_TENANT).await?.map(|tenant| tenant.created_at);
    Ok(born.map(|born| ring.keyed_hash("setup", &born.to_string())))
}

/// Says whether the first person is still to be made.
#[utoipa::path(get, path = "/api/v1/setup", tag = "setup", security(()),
    responses((status = 200, body = Success<SetupState>)))]
pub async fn state(parts: web::Data<Parts>) -> Answer {
    let needed = parts.store.nobody_yet().await?;
    let words = if needed { "Open the set-up link that the server printed" } else { "Set up" };
    answer::ok(words, SetupState { id: "setup", needed })
}

/// Makes the first person, with the link that the server printed, and signs them in.
#[utoipa::path(post, path = "/api/v1/setup", tag = "setup", security(()), request_body = FirstPerson,
    responses((status = 201, body = Success<Me>)))]
pub async fn set_up(request: HttpRequest, parts: web::Data<Parts>, body: Body) -> Answer {
    parts.people.cookie.refuse_other_sites(&request, false)?;
    let given: FirstPerson = body.read()?;
    let mut fields = Fields::default();
    let token = fields.required("token", given.token, any);
    let address = fields.required("email", given.email, email);
    let name = fields.given("name", given.name, text(200));
    let password = fields.required("password", given.password, good_password);
    fields.done()?;
    let refused = || ApiError::new(Code::LinkRefused, "Take the set-up link that the server printed last.");
    let good = setup_token(&parts.store, &parts.ring).await?.ok_or_else(refused)?;
    if !secret::equal(&good, &token.unwrap_or_default()) {
        return Err(refused());
    }
    let now = parts.clock.now_ms();
    let address = address.unwrap_or_default();
    let user = User {
        id: UserId::new(now).0,
        tenant_id: None,
        name: name.unwrap_or_else(|| address.clone()),
        role: "owner".to_owned(),
        password_hash: Some(parts.people.hashing.hash(password.unwrap_or_default()).await?),
        link_expires_at: None,
        created_at: now,
        email: address,
    };
    let from = parts.people.address(&request).to_string();
    let line = Audit {
        actor: "setup",
        address: Some(&from),
        action: "user.create",
        target: &user.email,
        detail: Some("owner"),
        tenant: None,
        now,
    };
    if !parts.store.create_first_user(&user, &line).await? {
        return Err(refused());
    }
    begin(&parts, &request, StatusCode::CREATED, user).await
}

/// Takes an invitation, or a link for a forgotten password: its person has this password, and is signed in.
#[utoipa::path(post, path = "/api/v1/invitation", tag = "setup", security(()), request_body = Acceptance,
    responses((status = 200, body = Success<Me>)))]
pub async fn accept(request: HttpRequest, parts: web::Data<Parts>, body: Body) -> Answer {
    parts.people.cookie.refuse_other_sites(&request, false)?;
    let given: Acceptance = body.read()?;
    let mut fields = Fields::default();
    let token = fields.required("token", given.token, any);
    let name = fields.given("name", given.name, text(200));
    let password = fields.required("password", given.password, good_password);
    fields.done()?;
    let refused =
        || ApiError::new(Code::LinkRefused, "It was used, replaced or is too old; ask for another.");
    let link = token::digest(&token.unwrap_or_default());
    let now = parts.clock.now_ms();
    let user = parts.store.user_of_link(&link, now).await?.ok_or_else(refused)?;
    let hash = parts.people.hashing.hash(password.unwrap_or_default()).await?;
    let actor = format!("user:{}", user.email);
    let from = parts.people.address(&request).to_string();
    let line = Audit {
        tenant: user.tenant_id.as_deref(),
        actor: &actor,
        address: Some(&from),
        action: "user.accept",
        target: &user.email,
        detail: None,
        now,
    };
    if !parts.store.take_link(&link, name.as_deref(), &hash, &line).await? {
        return Err(refused());
    }
    let name = name.unwrap_or_else(|| user.name.clone());
    begin(&parts, &request, StatusCode::OK, User { password_hash: Some(hash), name, ..user }).await
}
