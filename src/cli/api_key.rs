//! `switchboard api-key`: keys for the integration API, made where the database is.

use secrecy::ExposeSecret;

use super::{Failure, database, say};
use crate::auth::Role;
use crate::auth::api_key::ApiKey;
use crate::config::{Config, Variables};
use crate::runtime::Clock;
use crate::store::tenants::{ApiKeyRow, Audit, DEFAULT_TENANT};

/// Makes, lists and revokes API keys.
#[derive(Debug, clap::Args)]
pub(super) struct ApiKeys {
    #[command(flatten)]
    config: Config,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Makes a key and prints it, this once.
    Create {
        /// What people call it.
        #[arg(long, default_value = "command line")]
        name: String,
        /// owner, admin, agent or viewer.
        #[arg(long, default_value = "admin", value_parser = role)]
        role: Role,
        /// Whose key it is.
        #[arg(long, default_value = DEFAULT_TENANT, conflicts_with = "platform")]
        tenant: String,
        /// A key of the platform: it may act for every tenant.
        #[arg(long)]
        platform: bool,
    },
    /// Lists keys, without their secrets.
    List {
        /// Whose keys; the platform's when absent.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Makes a key useless at once.
    Revoke {
        /// The eight characters after `sb_live_`.
        id: String,
    },
}

fn role(word: &str) -> Result<Role, String> {
    Role::parse(word).ok_or_else(|| "expected owner, admin, agent or viewer".to_owned())
}

impl ApiKeys {
    pub(super) async fn run(self, variables: &Variables) -> Result<(), Failure> {
        let (store, _single) = database(&self.config, variables).await?;
        let now = Clock::system().now_ms();
        store.ensure_default_tenant(now).await?;
        match self.what {
            What::Create { name, role, tenant, platform } => {
                let tenant = (!platform).then_some(tenant);
                if let Some(id) = &tenant
                    && store.tenant(id).await?.is_none()
                {
                    return Err(format!("there is no tenant `{id}`").into());
                }
                let key = ApiKey::generate();
                let row = ApiKeyRow {
                    id: key.id().to_owned(),
                    tenant_id: tenant.clone(),
                    name,
                    role: role.as_str().to_owned(),
                    secret_hash: key.digest(),
                    created_at: now,
                    last_used_at: None,
                    revoked_at: None,
                };
                store.create_api_key(&row, &line("api_key.create", tenant.as_deref(), &row.id, now)).await?;
                say(key.reveal().expose_secret());
            }
            What::List { tenant } => {
                for key in store.api_keys(tenant.as_deref()).await? {
                    let state = if key.revoked_at.is_some() { "revoked" } else { "live" };
                    say(format!("{}  {:7}  {:6}  {}", key.id, state, key.role, key.name));
                }
            }
            What::Revoke { id } => {
                let key = store.api_key(&id).await?.ok_or_else(|| format!("there is no key `{id}`"))?;
                let tenant = key.tenant_id.as_deref();
                if !store.revoke_api_key(tenant, &id, &line("api_key.revoke", tenant, &id, now)).await? {
                    return Err(format!("the key `{id}` is revoked already").into());
                }
                say(format!("{id} is revoked"));
            }
        }
        store.close().await;
        Ok(())
    }
}

fn line<'a>(action: &'a str, tenant: Option<&'a str>, target: &'a str, now: i64) -> Audit<'a> {
    Audit { tenant, actor: "command line", action, target, now, ..Audit::default() }
}
