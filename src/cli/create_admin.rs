//! `switchboard create-admin`: a person who may sign in. There is no default password.

use std::io::{IsTerminal, Read, Write};

use secrecy::SecretString;

use super::{Failure, database, say};
use crate::auth::password;
use crate::config::{Config, Variables};
use crate::runtime::Clock;
use crate::store::tenants::{Audit, DEFAULT_TENANT};

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
    /// Whose people they belong to.
    #[arg(long, default_value = DEFAULT_TENANT)]
    tenant: String,
}

impl CreateAdmin {
    pub(super) async fn run(self, variables: &Variables) -> Result<(), Failure> {
        let email = self.email.trim().to_lowercase();
        if !email.split_once('@').is_some_and(|(who, host)| !who.is_empty() && host.contains('.')) {
            return Err("expected an e-mail address, such as you@example.com".into());
        }
        let (store, _single) = database(&self.config, variables).await?;
        let now = Clock::system().now_ms();
        store.ensure_default_tenant(now).await?;
        if store.tenant(&self.tenant).await?.is_none() {
            return Err(format!("there is no tenant `{}`", self.tenant).into());
        }
        let password = ask()?;
        password::check(&password)?;
        let hash = password::hash(&password)?;
        let line = Audit {
            tenant: Some(&self.tenant),
            actor: "command line",
            action: "user.save",
            target: &email,
            now,
        };
        store.upsert_user(&self.tenant, &email, &self.name, "owner", &hash, &line).await?;
        store.close().await;
        say(format!("{email} may sign in as owner of `{}`", self.tenant));
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
