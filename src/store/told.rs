//! What Meta tells besides messages and statuses: about people's names and wishes, and about WABAs, their numbers and
//! templates. Everything here may be told again and changes nothing then.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Value};

use super::alerts::{self, Alert, Kind};
use super::contacts::{self, Scope};
use super::event_endpoints::Listeners;
use super::threads::{self, CONTROL_TAKEN, Control};
use super::{sql, telling};
use crate::message::{BusinessNews, Consent, Effect, NumberNews, Rename, Routed, Severity, TemplateNews};

/// One thing told.
#[derive(Debug, Clone)]
pub enum Told {
    /// About one of a tenant's customers.
    Person {
        /// The tenant.
        tenant_id: String,
        /// The WABA within which the customer's names hold.
        scope: String,
        /// The number it happened on.
        phone_number_id: String,
        /// What.
        what: About,
    },
    /// About a WABA in which a tenant has accounts.
    Business {
        /// The tenant.
        tenant_id: String,
        /// Its accounts there, as far as the signature may speak for them.
        accounts: Vec<i64>,
        /// Their numbers.
        numbers: Vec<String>,
        /// What.
        news: BusinessNews,
        /// Its field.
        field: String,
        /// Unix milliseconds.
        at: i64,
    },
}

/// What is told about a customer. Its time is readable.
#[derive(Debug, Clone)]
pub enum About {
    /// Other names.
    Names(Rename),
    /// Who has the thread.
    Thread(Routed),
    /// A word on marketing messages.
    Marketing(Consent),
}

/// Applies what an event told.
pub(super) async fn apply(
    tx: &DatabaseTransaction,
    told: &Told,
    event_id: i64,
    now: i64,
) -> Result<(), DbErr> {
    match told {
        Told::Person { tenant_id, scope, phone_number_id, what } => {
            let scope = Scope { tenant: tenant_id, scope };
            match what {
                About::Names(change) => contacts::rename(tx, scope, change).await,
                About::Marketing(consent) => contacts::consent(tx, scope, consent, now).await,
                About::Thread(Routed { customer, ours, at }) => {
                    let found = threads::find(tx, scope, customer, *at, phone_number_id).await?;
                    let Some(thread) = found else { return Ok(()) };
                    let control = if *ours { Control::Passed } else { Control::HandOver(CONTROL_TAKEN) };
                    threads::apply(tx, thread, control, *at, now).await
                }
            }
        }
        Told::Business { tenant_id, accounts, news, field, at, .. } => {
            let text = "select 1 as known from account_events where tenant_id = $1 and event_id = $2";
            let values = [tenant_id.as_str().into(), event_id.into()];
            if tx.query_one_raw(sql::statement(tx, text, values)).await?.is_some() {
                return Ok(());
            }
            let action = match &news.effect {
                Effect::None => None,
                Effect::Template(template) => {
                    template_news(tx, tenant_id, news, template, *at).await?;
                    None
                }
                Effect::Number(number) => {
                    number_news(tx, accounts, number, *at).await?;
                    None
                }
                Effect::SwitchOff(why) => {
                    let from = "status <> 'inactive'";
                    set(tx, accounts, "inactive", Some(why), from, now).await?
                }
                Effect::Restrict(why) => {
                    set(tx, accounts, "restricted", Some(why), "status = 'active'", now).await?
                }
                Effect::CheckAgain(why) => {
                    // Reasons are words of ours.
                    let from = format!("status in ('inactive', 'restricted') and status_reason = '{why}'");
                    set(tx, accounts, "pending", None, &from, now).await?
                }
            };
            let text = "insert into account_events (tenant_id, business_account_id, field, event, severity, detail, \
                        action, event_id, at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing";
            let values: [Value; 9] = [
                tenant_id.as_str().into(),
                news.business_account_id.as_str().into(),
                field.as_str().into(),
                news.event.as_str().into(),
                news.severity.as_str().into(),
                news.detail.clone().into(),
                action.into(),
                event_id.into(),
                (*at).into(),
            ];
            if tx.execute_raw(sql::statement(tx, text, values)).await?.rows_affected() == 0
                || news.severity == Severity::Info
                || action == Some("restricted")
            {
                return Ok(());
            }
            let (business, event) = (&news.business_account_id, &news.event);
            let subject = format!("{business} {event}");
            let words = format!("Meta tells of the business account {business}: {event} ({field}).");
            let alert = Alert::new(Kind::BusinessNews, &subject, words, now);
            alerts::raise(tx, &Alert { tenant: Some(tenant_id), ..alert }).await
        }
    }
}

/// Tells tenants' own systems of the accounts that have another status by these, told since `since`.
pub(super) async fn tell<'a>(
    tx: &DatabaseTransaction,
    listeners: &Listeners,
    told: impl Iterator<Item = &'a Told>,
    since: i64,
) -> Result<(), DbErr> {
    let about_accounts = told.filter_map(|told| match told {
        Told::Business { accounts, news, .. } if news.effect.is_about_accounts() => Some(accounts),
        _ => None,
    });
    let accounts: Vec<i64> = about_accounts.flatten().copied().collect();
    if accounts.is_empty() {
        return Ok(());
    }
    let among = sql::among(tx, 2, "bigint");
    let text = format!("select id from whatsapp_accounts where updated_at >= $1 and id {among}");
    for row in tx.query_all_raw(sql::statement(tx, &text, [since.into(), sql::json(accounts)])).await? {
        telling::account_event(tx, listeners, row.try_get("", "id")?, since).await?;
    }
    Ok(())
}

/// Gives accounts a status, where `from` holds; the status, if any account got it.
async fn set(
    tx: &DatabaseTransaction,
    accounts: &[i64],
    status: &'static str,
    reason: Option<&str>,
    from: &str,
    now: i64,
) -> Result<Option<&'static str>, DbErr> {
    let text = format!(
        "update whatsapp_accounts set status = $1, status_reason = $2, checked_at = null, updated_at = $3 \
         where deleted_at is null and {from} and id in ({}) returning id",
        sql::list(4, accounts.len())
    );
    let first: [Value; 3] = [status.into(), reason.into(), now.into()];
    let values = first.into_iter().chain(accounts.iter().map(|id| (*id).into()));
    let changed = tx.query_all_raw(sql::statement(tx, &text, values)).await?;
    for row in &changed {
        telling::account_alert(tx, row.try_get("", "id")?, now).await?;
    }
    Ok((!changed.is_empty()).then_some(status))
}

async fn template_news(
    tx: &DatabaseTransaction,
    tenant: &str,
    news: &BusinessNews,
    template: &TemplateNews,
    at: i64,
) -> Result<(), DbErr> {
    // An older event fills in what is missing and changes nothing else.
    let column = |name: &str| {
        format!(
            "{name} = case when excluded.told_at >= templates.told_at \
             then coalesce(excluded.{name}, templates.{name}) else coalesce(templates.{name}, excluded.{name}) end"
        )
    };
    let columns = ["template_id", "status", "category", "quality", "reason"].map(column).join(", ");
    let text = format!(
        "insert into templates (tenant_id, business_account_id, name, language, template_id, status, category, quality, \
         reason, last_event, told_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         on conflict (tenant_id, business_account_id, name, language) do update set {columns}, \
         last_event = case when excluded.told_at >= templates.told_at then excluded.last_event \
             else templates.last_event end, \
         told_at = case when excluded.told_at >= templates.told_at then excluded.told_at else templates.told_at end"
    );
    let values: [Value; 11] = [
        tenant.into(),
        news.business_account_id.as_str().into(),
        template.name.as_str().into(),
        template.language.as_str().into(),
        template.template_id.clone().into(),
        template.status.clone().into(),
        template.category.clone().into(),
        template.quality.clone().into(),
        template.reason.clone().into(),
        news.event.as_str().into(),
        at.into(),
    ];
    tx.execute_raw(sql::statement(tx, &text, values)).await?;
    Ok(())
}

/// Only numbers of these accounts, and of them those with the digits, if it names some.
async fn number_news(
    tx: &DatabaseTransaction,
    accounts: &[i64],
    news: &NumberNews,
    at: i64,
) -> Result<(), DbErr> {
    let text = format!(
        "select distinct n.phone_number_id, coalesce(n.display_phone_number, a.display_phone_number) as shown \
         from numbers n join whatsapp_accounts a on a.phone_number_id = n.phone_number_id \
         and a.tenant_id = n.tenant_id where a.id in ({})",
        sql::list(1, accounts.len())
    );
    let ids = accounts.iter().map(|id| (*id).into());
    for row in tx.query_all_raw(sql::statement(tx, &text, ids)).await? {
        let shown: Option<String> = row.try_get("", "shown")?;
        let shown: String = shown.unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
        if news.digits.as_ref().is_some_and(|digits| *digits != shown) {
            continue;
        }
        let text = "update numbers set quality = coalesce($2, quality), verified_name = coalesce($3, verified_name), \
                    name_status = coalesce($4, name_status), messaging_limit = coalesce($5, messaging_limit), \
                    told_at = $6 where phone_number_id = $1 and coalesce(told_at, 0) <= $6";
        let values: [Value; 6] = [
            row.try_get::<String>("", "phone_number_id")?.into(),
            news.quality.clone().into(),
            news.verified_name.clone().into(),
            news.name_status.clone().into(),
            news.messaging_limit.clone().into(),
            at.into(),
        ];
        tx.execute_raw(sql::statement(tx, text, values)).await?;
    }
    Ok(())
}
