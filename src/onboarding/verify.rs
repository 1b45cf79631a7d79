//! Checks of one number with Graph, each with its own result; only identity decides, the rest advises.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::graph::client::{Credentials, GraphClient, SendFailure};
use crate::graph::errors::Reaction;
use crate::graph::onboarding::{PhoneNumber, TokenInfo};
use crate::store::accounts::Account;
use secrecy::SecretString;

/// Permissions a token needs.
const SCOPES: [&str; 2] = ["whatsapp_business_messaging", "whatsapp_business_management"];
/// All checks, in the order of a report.
const NAMES: [&str; 7] =
    ["token", "number", "business_account", "connected", "token_details", "subscription", "webhook"];

/// What Graph is asked about.
pub struct Request<'a> {
    /// The number.
    pub phone_number_id: &'a str,
    /// The WABA it is said to belong to.
    pub business_account_id: &'a str,
    /// With whose word.
    pub credentials: &'a Credentials,
    /// Our own app, id and secret.
    pub app: Option<(&'a str, &'a SecretString)>,
    /// Where webhooks should go.
    pub webhook_url: Option<&'a str>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Needs somebody.
    Failed,
    /// Not known, or not asked.
    Skipped,
}

/// One check of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// `token`, `number`, `business_account`, `connected`, `token_details`, `subscription` or `webhook`.
    pub name: String,
    /// How it went.
    pub status: Outcome,
    /// One sentence for people.
    pub detail: String,
}

/// What all checks come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The token may use the number, and the number belongs to the WABA.
    Confirmed {
        /// As people write it.
        display_phone_number: Option<String>,
    },
    /// Graph says no.
    Refused {
        /// Whether the token itself is no longer valid.
        token: bool,
        /// Why, for people.
        detail: String,
    },
    /// Graph did not answer.
    Unreachable,
}

/// The checks and what they come to.
#[derive(Debug, Clone)]
pub struct Report {
    /// One per name, always all.
    pub checks: Vec<Check>,
    /// What they come to.
    pub verdict: Verdict,
}

impl Report {
    /// The report of nobody asking.
    pub fn skipped(display_phone_number: Option<String>) -> Self {
        let mut checks = Checks::default();
        checks.rest("verification is switched off (ONBOARDING_VERIFY=off)");
        Self { checks: checks.0, verdict: Verdict::Confirmed { display_phone_number } }
    }

    /// Whether Meta says that the number can send.
    pub fn can_send(&self) -> bool {
        self.checks.iter().any(|check| check.name == "connected" && check.status == Outcome::Ok)
    }

    /// Writes it into the account it is about.
    pub fn note(&self, account: &mut Account, now: i64) {
        account.checks = serde_json::to_string(&self.checks).ok();
        account.checked_at = Some(now);
        if let Verdict::Confirmed { display_phone_number: Some(shown) } = &self.verdict {
            account.display_phone_number = Some(shown.clone());
        }
    }
}

#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn add(&mut self, status: Outcome, detail: impl Into<String>) {
        let name = NAMES.get(self.0.len()).copied().unwrap_or_default().to_owned();
        self.0.push(Check { name, status, detail: detail.into() });
    }

    fn ok(&mut self, detail: &str) {
        self.add(Outcome::Ok, detail);
    }

    /// What is left was not asked.
    fn rest(&mut self, why: &str) {
        while self.0.len() < NAMES.len() {
            self.add(Outcome::Skipped, why);
        }
    }

    fn refused(mut self, token: bool, detail: String) -> Report {
        self.add(Outcome::Failed, detail.clone());
        self.rest("not asked after the failure above");
        Report { checks: self.0, verdict: Verdict::Refused { token, detail } }
    }

    fn unreachable(mut self) -> Report {
        self.rest("Meta did not answer; it is asked again by itself");
        Report { checks: self.0, verdict: Verdict::Unreachable }
    }
}

/// Meta's no; `None` when it was no answer at all, or "later".
fn refusal(failure: &SendFailure) -> Option<(bool, String)> {
    match failure {
        SendFailure::Refused { error, .. } if error.verdict().reaction != Reaction::RetryLater => {
            Some((error.verdict().reason == "token_invalid", error.to_string()))
        }
        _ => None,
    }
}

/// Asks Graph everything about a number.
pub async fn verify(graph: &GraphClient, request: &Request<'_>) -> Report {
    let mut checks = Checks::default();
    let number = match graph.phone_number(request.phone_number_id, request.credentials).await {
        Ok(number) => number,
        Err(failure) => match refusal(&failure) {
            Some((true, detail)) => return checks.refused(true, detail),
            Some((false, detail)) => {
                checks.ok("Meta knows the token");
                return checks.refused(false, detail);
            }
            None => return checks.unreachable(),
        },
    };
    checks.ok("Meta accepts the token");
    checks.ok("the token may use the number");

    let listed = graph.waba_phone_numbers(request.business_account_id, request.credentials).await;
    let said = number.waba_id().map(|id| id == request.business_account_id);
    let elsewhere = "the number does not belong to this WhatsApp Business Account";
    match (said, listed) {
        (Some(false), _) => return checks.refused(false, elsewhere.to_owned()),
        (_, Ok(ids)) if ids.iter().any(|id| id == request.phone_number_id) => {
            checks.ok("the number belongs to the account");
        }
        (_, Ok(_)) => return checks.refused(false, elsewhere.to_owned()),
        (Some(true), Err(_)) => checks.ok("the number belongs to the account, says its health report"),
        (None, Err(failure)) => match refusal(&failure) {
            Some((token, detail)) => return checks.refused(token, detail),
            None => return checks.unreachable(),
        },
    }

    connected(&mut checks, &number);
    token_details(&mut checks, graph, request, &number).await;
    subscription(&mut checks, graph, request, &number).await;
    webhook(&mut checks, request, &number);
    let display_phone_number = number.display_phone_number;
    Report { checks: checks.0, verdict: Verdict::Confirmed { display_phone_number } }
}

fn connected(checks: &mut Checks, number: &PhoneNumber) {
    let problems: Vec<&str> =
        number.entities.iter().flat_map(|entity| &entity.problems).map(String::as_str).collect();
    match (number.status.as_deref(), number.can_send_message.as_deref()) {
        (Some("CONNECTED"), Some("AVAILABLE" | "LIMITED") | None) => checks.ok("the number can send"),
        (status, _) => {
            let status = status.unwrap_or("unknown");
            let words = format!("the number cannot send yet: its status is {status}. {}", problems.join(" "));
            checks.add(Outcome::Failed, words.trim_end());
        }
    }
}

/// Only the secret of the token's own app opens it.
async fn token_details(
    checks: &mut Checks,
    graph: &GraphClient,
    request: &Request<'_>,
    number: &PhoneNumber,
) {
    let own = number.app_id().zip(request.credentials.app_secret.as_ref());
    let ours = request.app.filter(|(id, _)| number.app_id().is_none_or(|app| app == *id));
    let Some((app, secret)) = own.or(ours) else {
        return checks.add(Outcome::Skipped, "the token's app secret is not known here");
    };
    match graph.debug_token(&request.credentials.token, app, secret).await {
        Ok(info) => match complaint(&info, request.business_account_id) {
            Some(complaint) => checks.add(Outcome::Failed, complaint),
            None => checks.ok("the token has the permissions it needs and does not expire"),
        },
        Err(failure) if refusal(&failure).is_some() => {
            checks.add(Outcome::Failed, format!("the app secret does not open the token: {failure}"));
        }
        Err(_) => checks.add(Outcome::Skipped, "Meta did not answer"),
    }
}

fn complaint(info: &TokenInfo, waba: &str) -> Option<String> {
    if !info.is_valid {
        return Some(info.error.clone().unwrap_or_else(|| "Meta calls the token invalid".to_owned()));
    }
    if let Some(missing) = SCOPES.iter().find(|scope| !info.scopes.iter().any(|granted| granted == *scope)) {
        return Some(format!("the token lacks the permission {missing}"));
    }
    let limited = |(scope, targets): &(String, Vec<String>)| {
        SCOPES.contains(&scope.as_str()) && !targets.iter().any(|target| target == waba)
    };
    if info.granular_scopes.iter().any(limited) {
        return Some("the token's permissions are limited to other WhatsApp Business Accounts".to_owned());
    }
    match info.expires_at {
        None | Some(0) => None,
        Some(_) => Some("the token expires; use one of a system user, which does not".to_owned()),
    }
}

async fn subscription(checks: &mut Checks, graph: &GraphClient, request: &Request<'_>, number: &PhoneNumber) {
    match graph.subscribed_apps(request.business_account_id, request.credentials).await {
        Ok(apps) => {
            let app = number.app_id();
            if apps.iter().any(|subscribed| app.is_none_or(|app| app == subscribed.id)) {
                checks.ok("the app gets the account's webhooks");
            } else {
                checks.add(Outcome::Failed, "the app is not subscribed to the account: call /subscribe");
            }
        }
        Err(_) => checks.add(Outcome::Skipped, "Meta did not say which apps are subscribed"),
    }
}

fn webhook(checks: &mut Checks, request: &Request<'_>, number: &PhoneNumber) {
    let hooks = &number.webhooks;
    let levels = [&hooks.phone_number, &hooks.whatsapp_business_account, &hooks.application];
    match (levels.into_iter().flatten().next(), request.webhook_url) {
        (_, None) => {
            checks.add(Outcome::Skipped, "neither webhookUrl nor PUBLIC_URL says where they should go")
        }
        (None, _) => checks.add(Outcome::Skipped, "Meta did not say where the webhooks go"),
        (Some(there), Some(ours)) if there == ours => checks.ok("the webhooks come here"),
        (Some(there), Some(_)) => {
            checks.add(
                Outcome::Failed,
                format!("the webhooks go to {there}: change that at Meta, or call /subscribe"),
            );
        }
    }
}
