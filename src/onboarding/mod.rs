//! From five values to a number that works: what Graph says decides whether an account is active.
//!
//! A number belongs to a tenant from the moment Graph confirmed it. While Graph cannot be reached an account is
//! `pending`: its events are kept, nothing is answered, and it is checked again.

mod verify;

use secrecy::SecretString;

use crate::graph::client::{Credentials, GraphClient};
use crate::news::{News, Newsroom};
use crate::routing::{Routing, sealed_place};
use crate::runtime::Clock;
use crate::secret::{Ring, SecretError};
use crate::store::accounts::{Account, Number};
use crate::store::tenants::Audit;
use crate::store::{Store, StoreError};
pub use verify::{Check, Outcome, Report, Request, Verdict, verify};

/// How far back parked events are still worth answering, in milliseconds.
const WINDOW: i64 = 86_400_000;
/// How often Graph is asked about a number in use, in milliseconds. Four calls each.
const HEALTH_PERIOD: i64 = 6 * 3_600_000;
/// Who stands in the audit log for what is done unasked.
const ACTOR: &str = "onboarding";
/// `status_reason` of an account whose number was confirmed for another tenant.
pub const NUMBER_TAKEN: &str = "number_taken";

/// What onboarding works with. Cheap to clone.
#[derive(Clone)]
#[allow(missing_docs)] // their types say what they are
pub struct Onboarding {
    pub store: Store,
    pub ring: Ring,
    pub routing: Routing,
    pub news: Newsroom,
    pub graph: GraphClient,
    pub clock: Clock,
    /// Off: accounts are active at once, with every check skipped.
    pub verify: bool,
    /// Our own app: its id and secret, to look into tokens made for it.
    pub app: Option<(String, SecretString)>,
    /// Where webhooks reach us from outside, e.g. `https://example.com/webhook`.
    pub webhook_url: Option<String>,
}

impl Onboarding {
    /// Where an account's webhooks should go.
    pub fn webhook_of<'a>(&'a self, account: &'a Account) -> Option<&'a str> {
        account.webhook_url.as_deref().or(self.webhook_url.as_deref())
    }

    /// An account's secrets, open.
    ///
    /// # Errors
    /// [`StoreError::Query`] when the key ring does not open them.
    pub fn credentials(&self, account: &Account) -> Result<Credentials, StoreError> {
        let open = |sealed: &str, column| self.ring.open(sealed, &sealed_place(account, column));
        let unusable =
            |error: SecretError| StoreError::Query(format!("a stored secret cannot be read: {error}"));
        let app_secret = account.app_secret.as_deref().map(|sealed| open(sealed, "app_secret"));
        Ok(Credentials {
            token: open(&account.access_token, "access_token").map_err(unusable)?,
            app_secret: app_secret.transpose().map_err(unusable)?,
        })
    }

    /// Asks Graph about an account with these credentials, stored or about to be.
    pub async fn ask(&self, account: &Account, credentials: &Credentials) -> Report {
        if !self.verify {
            return Report::skipped(account.display_phone_number.clone());
        }
        let request = Request {
            phone_number_id: &account.phone_number_id,
            business_account_id: &account.business_account_id,
            credentials,
            app: self.app.as_ref().map(|(id, secret)| (id.as_str(), secret)),
            webhook_url: self.webhook_of(account),
        };
        verify(&self.graph, &request).await
    }

    /// The claim on an account's number, once it is confirmed.
    pub fn claim(account: &Account) -> Number {
        Number {
            phone_number_id: account.phone_number_id.clone(),
            tenant_id: account.tenant_id.clone(),
            business_account_id: account.business_account_id.clone(),
            display_phone_number: account.display_phone_number.clone(),
        }
    }

    /// Asks Graph about a stored account again and stores what follows: confirmed, it becomes active (unless a person
    /// switched it off); refused, one that was in use needs a new token.
    ///
    /// # Errors
    /// From the database.
    pub async fn recheck(&self, account: &Account) -> Result<(Account, Report), StoreError> {
        let report = self.ask(account, &self.credentials(account)?).await;
        // People may have changed it while Graph thought: what was asked is void then.
        let Some(mut now) = self.store.account(account.id).await? else {
            return Ok((account.clone(), report));
        };
        let same = now.access_token == account.access_token
            && now.business_account_id == account.business_account_id
            && now.deleted_at.is_none();
        if !same {
            return Ok((now, report));
        }
        let (known, before) = (now.clone(), now.status.clone());
        let in_use = ["active", "restricted"].contains(&before.as_str());
        report.note(&mut now, self.clock.now_ms());
        match &report.verdict {
            // What Meta restricted stays so until the number can send again.
            Verdict::Confirmed { .. } if before == "restricted" && !report.can_send() => {}
            Verdict::Confirmed { .. } if before != "inactive" => {
                now.status = "active".to_owned();
                now.status_reason = None;
            }
            Verdict::Refused { token: true, .. } if in_use => {
                now.status = "token_invalid".to_owned();
                now.status_reason = Some("token_invalid".to_owned());
            }
            Verdict::Refused { .. } if before == "pending" => {
                now.status_reason = Some("graph_refused".to_owned());
            }
            _ => {}
        }
        let confirmed = matches!(report.verdict, Verdict::Confirmed { .. });
        let said = |a: &Account| {
            (a.status.clone(), a.status_reason.clone(), a.checks.clone(), a.display_phone_number.clone())
        };
        // Every few hours the same: that is no change, and no line in the log of changes.
        if said(&known) == said(&now) {
            self.store.mark_checked(now.id, self.clock.now_ms()).await?;
            return Ok((now, report));
        }
        let claim = confirmed.then(|| Self::claim(&now));
        let target = now.id.to_string();
        let line = Audit {
            tenant: Some(&now.tenant_id),
            actor: ACTOR,
            action: "integration.check",
            target: &target,
            now: self.clock.now_ms(),
            ..Audit::default()
        };
        match self.store.save_account(&now, None, claim.as_ref(), &line).await {
            Err(StoreError::Conflict) => {
                now.status = "inactive".to_owned();
                now.status_reason = Some(NUMBER_TAKEN.to_owned());
                self.store.save_account(&now, None, None, &line).await?;
            }
            other => drop(other?),
        }
        self.changed(&now, before != "active" && now.status == "active").await?;
        Ok((now, report))
    }

    /// Asks again about accounts that wait for Graph, the longest waiting first; returns how many are active now.
    ///
    /// # Errors
    /// From the database; what was checked before stays checked.
    pub async fn recheck_pending(&self, limit: u64) -> Result<usize, StoreError> {
        let pending = self.store.pending_accounts(limit).await?;
        self.recheck_each(&pending).await
    }

    /// Asks about numbers in use that were not asked about for six hours: at most `limit` at once. One whose token died
    /// unnoticed says so before a customer finds out; one that works again is active again.
    ///
    /// # Errors
    /// From the database; what was checked before stays checked.
    pub async fn recheck_in_use(&self, limit: u64) -> Result<usize, StoreError> {
        let since = self.clock.now_ms() - HEALTH_PERIOD;
        let due = self.store.unchecked_accounts(since, limit).await?;
        self.recheck_each(&due).await
    }

    async fn recheck_each(&self, accounts: &[Account]) -> Result<usize, StoreError> {
        let mut activated = 0;
        for account in accounts {
            let before = account.status.as_str();
            let (now, report) = self.recheck(account).await?;
            activated += usize::from(before != "active" && now.status == "active");
            if matches!(report.verdict, Verdict::Unreachable) {
                break; // the next one would wait for the same
            }
        }
        Ok(activated)
    }

    /// Tells everybody that a number's accounts changed. Activated: what was parked for it is opened again, as far
    /// as it may still be answered.
    ///
    /// # Errors
    /// From the database.
    pub async fn changed(&self, account: &Account, activated: bool) -> Result<(), StoreError> {
        self.routing.changed(&account.phone_number_id).await;
        if activated {
            let since = self.clock.now_ms() - WINDOW;
            self.store.reopen_events(&account.tenant_id, &account.phone_number_id, since).await?;
            if let Err(error) = self.news.tell(News::Work).await {
                tracing::warn!(%error, "other instances will notice new work by themselves");
            }
        }
        Ok(())
    }
}
