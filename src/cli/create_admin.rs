//! `switchboard create-admin`: a person who may sign in. There is no default password.

use std::io::{IsTerminal, Read, Write};

use secrecy::SecretString;

use super::{Failure, database, say};
use crate::auth::{self, password};
use crate::config::{Config, Variables};
use crate::ids::UserId;
use crate::runtime::Clock;
use crate::store::people::User;
use crate::store::tenants::Audit;

/// Makes a person who may sign in, or gives them a new password.
#[derive(Debug, clap::Args)]
pub(super) struct CreateAdmin {
    #[command(flatten)]
    config: Config,
    /// Their e-mail address.
    email: String,
    /// Their name.
    #[arg(long, default_value = "")]
    name: String,
    /// Whose people they belong to; the platform's own unless given, who may act for every tenant.
    #[arg(long)]
    tenant: Option<String>,
}

impl CreateAdmin {
    pub(super) async fn run(self, variables: &Variables) -> Result<(), Failure> {
        let email = auth::email(&self.email).ok_or("expected an e-mail address, such as you@example.com")?;
        let (store, _single) = database(&self.config, variables).await?;
        let now = Clock::system().now_ms();
        store.ensure_default_tenant(now).await?;
        if let Some(tenant) = &self.tenant
            && store.tenant(tenant).await?.is_none()
        {
            return Err(format!("there is no tenant `{tenant}`").into());
        }
        let password = ask()?;
        password::check(&password)?;
        let user = User {
            id: UserId::new(now).0,
            tenant_id: self.tenant,
            name: if self.name.is_empty() { email.clone() } else { self.name },
            role: "owner".to_owned(),
            password_hash: Some(password::hash(&password)?),
            link_expires_at: None,
            created_at: now,
            email,
        };
        let line = Audit {
            tenant: user.tenant_id.as_deref(),
            actor: "command line",
            action: "user.save",
            target: &user.email,
            now,
            ..Audit::default()
        };
        store.upsert_user(&user, &line).await?;
        store.close().await;
        let whose = user.tenant_id.map_or("the platform".to_owned(), |tenant| format!("`{tenant}`"));
        say(format!("{} may sign in as owner of {whose}", user.email));
        Ok(())
    }
}

/// From standard input: typed, or piped in by a script.
fn ask() -> Result<SecretString, Failure> {
    let mut typed = String::new();
    if std::io::stdin().is_terminal() {
        eprint!("Password (it will be shown as you type): ");
        std::io::stderr().flush()?;
        std::io::stdin().read_line(&mut typed)?;
    } else {
        std::io::stdin().take(4_096).read_to_string(&mut typed)?;
    }
    Ok(typed.trim_end_matches(['\r', '\n']).to_owned().into())
}
