//! Whose a Supabase sign-in is: the tenant that the operator noted of it, else one of its own.

use serde_json::Value;
use uuid::Uuid;

use super::Parts;
use super::credential::{Credential, Person};
use super::problem::{ApiError, Code};
use crate::auth::Role;
use crate::auth::jwt::Claims;
use crate::auth::supabase::SupabaseError;
use crate::ids::TenantId;
use crate::store::StoreError;
use crate::store::tenants::Audit;

/// What a tenant calls a person of the project: see [`own_tenant`].
const SUPABASE_USER: &str = "supabase_user";
/// What `app_metadata` may name a tenant by, beside its id, and what that is called among a tenant's external ids.
const NAMES: [(&str, &str); 3] =
    [("tenant_id", "legacy_int"), ("agency_id", "agency"), ("client_id", "client_id")];

/// The caller that a token of the project belongs to; `None` when it is not believed.
pub async fn credential(parts: &Parts, token: &str) -> Result<Option<Credential>, ApiError> {
    let Some(supabase) = &parts.supabase else { return Ok(None) };
    let claims = match supabase.verify(token).await {
        Ok(claims) => claims,
        Err(SupabaseError::Bad(error)) => {
            tracing::debug!(%error, "a Supabase token is refused");
            return Ok(None);
        }
        Err(error @ SupabaseError::Unreachable) => {
            tracing::warn!(%error, "nobody of the Supabase project can be recognised");
            return Err(ApiError::new(
                Code::Unavailable,
                "The sign-in service does not answer; please try again.",
            ));
        }
    };
    let (tenant, role) = match noted_tenant(parts, &claims.app_metadata).await? {
        Some(tenant) => (tenant, noted_role(&claims.app_metadata)),
        None => (own_tenant(parts, &claims).await?, Role::Owner),
    };
    Ok(Some(Credential {
        tenant: Some(TenantId::trusted(&tenant)),
        role,
        actor: format!("supabase:{}", claims.sub),
        person: Some(Person {
            id: claims.sub,
            name: claims.email.clone(),
            email: claims.email,
            sign_in: None,
        }),
    }))
}

/// The tenant that `app_metadata` names: by its id, or by a name it has elsewhere.
async fn noted_tenant(parts: &Parts, noted: &Value) -> Result<Option<String>, ApiError> {
    for (field, kind) in NAMES {
        let name = match &noted[field] {
            Value::Null => continue,
            Value::String(name) => name.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let found = match name.parse::<TenantId>() {
            Ok(id) if field == "tenant_id" => parts.store.tenant(id.as_str()).await?.map(|tenant| tenant.id),
            _ => None,
        };
        let found = match found {
            Some(id) => Some(id),
            None => parts.store.tenant_called(kind, &name).await?,
        };
        // Whoever is noted elsewhere must not get a tenant of their own by a slip of the pen.
        let unknown = || ApiError::new(Code::Forbidden, format!("app_metadata.{field} names no tenant."));
        return found.map(Some).ok_or_else(unknown);
    }
    Ok(None)
}

/// What the operator lets them do in a tenant that is not their own.
fn noted_role(noted: &Value) -> Role {
    let words = ["switchboard_role", "role"].map(|field| noted[field].as_str().unwrap_or_default());
    let word = words.into_iter().find(|word| !word.is_empty()).unwrap_or_default();
    match word {
        "manager" => Role::Admin,
        // Nothing noted, or a word of another application: enough to answer customers.
        word => Role::parse(word).unwrap_or(Role::Agent),
    }
}

/// The tenant of somebody nobody noted anything of; made when they come for the first time.
async fn own_tenant(parts: &Parts, claims: &Claims) -> Result<String, ApiError> {
    let known = async || parts.store.tenant_called(SUPABASE_USER, &claims.sub).await;
    if let Some(tenant) = known().await? {
        return Ok(tenant);
    }
    let id = Uuid::now_v7().simple().to_string();
    let actor = format!("supabase:{}", claims.sub);
    let line = Audit {
        tenant: Some(&id),
        actor: &actor,
        action: "tenant.create",
        target: &id,
        now: parts.clock.now_ms(),
        ..Audit::default()
    };
    let names = [(SUPABASE_USER.to_owned(), claims.sub.clone())];
    let name = claims.email.as_deref().unwrap_or(&claims.sub);
    match parts.store.create_tenant(&id, name, &names, &line).await {
        Ok(()) => Ok(id),
        // They came twice at once: the other request made it.
        Err(StoreError::Conflict) => {
            known().await?.ok_or_else(|| ApiError::new(Code::Internal, "Your tenant could not be made."))
        }
        Err(error) => Err(error.into()),
    }
}
