//! Alerts: what people have to know, said once in fifteen minutes, the last two hundred kept.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, Value};

use super::events::EventState;
use super::{Store, StoreError, sql};

/// The same is not said again within this time, in milliseconds.
pub(super) const QUIET: i64 = 15 * 60_000;
/// Alerts kept.
const KEPT: i64 = 200;
/// Tries to post one, and how long one that fails waits for the next, in milliseconds.
const TRIES: i64 = 5;
const WAIT: i64 = 60_000;

/// What there is to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Meta refuses an account's access token.
    AccountTokenInvalid,
    /// Meta restricts an account.
    AccountRestricted,
    /// Meta tells of a business account what its people should know.
    BusinessNews,
    /// Somebody's app speaks for a number that is not theirs.
    SecretBindingRefused,
    /// Many bodies with a wrong signature.
    SignaturesRefused,
    /// Something waits for longer than a minute.
    WorkWaits,
    /// Many sends whose answer was lost.
    DeliveriesUnknown,
    /// Many sends given up.
    DeliveriesDead,
    /// Many turns without an answer.
    TurnsDead,
    /// Many events of numbers that nobody has.
    EventsUnroutable,
    /// A responder failed so often that it is left alone for a while.
    ResponderResting,
    /// The database did not answer.
    DatabaseAway,
    /// The database is slow to answer.
    DatabaseSlow,
    /// A session is no longer linked.
    SessionLost,
    /// An event endpoint was switched off.
    EndpointDisabled,
}

impl Kind {
    /// The stored and told word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccountTokenInvalid => "account_token_invalid",
            Self::AccountRestricted => "account_restricted",
            Self::BusinessNews => "business_news",
            Self::SecretBindingRefused => "secret_binding_refused",
            Self::SignaturesRefused => "signatures_refused",
            Self::WorkWaits => "work_waits",
            Self::DeliveriesUnknown => "deliveries_unknown",
            Self::DeliveriesDead => "deliveries_dead",
            Self::TurnsDead => "turns_dead",
            Self::EventsUnroutable => "events_unroutable",
            Self::ResponderResting => "responder_resting",
            Self::DatabaseAway => "database_away",
            Self::DatabaseSlow => "database_slow",
            Self::SessionLost => "session_lost",
            Self::EndpointDisabled => "endpoint_disabled",
        }
    }
}

/// An alert to be raised.
#[derive(Debug, Clone)]
pub struct Alert<'a> {
    /// What kind of thing.
    pub kind: Kind,
    /// What it is about; with the kind, what is not said twice.
    pub subject: &'a str,
    /// Whose it is; none: the platform's.
    pub tenant: Option<&'a str>,
    /// Which account, if it is about one.
    pub account: Option<i64>,
    /// One or two sentences for people; no secrets, no words of customers, no phone numbers.
    pub text: String,
    /// Unix milliseconds.
    pub now: i64,
}

impl<'a> Alert<'a> {
    /// An alert of the platform's own.
    pub fn new(kind: Kind, subject: &'a str, text: impl Into<String>, now: i64) -> Self {
        Self { kind, subject, tenant: None, account: None, text: text.into(), now }
    }
}

/// A stored alert.
#[derive(Debug, Clone, FromQueryResult)]
#[allow(missing_docs)] // the columns of `alerts`, named alike
pub struct AlertRow {
    pub id: i64,
    pub kind: String,
    pub tenant_id: Option<String>,
    pub account_id: Option<i64>,
    pub text: String,
    pub at: i64,
    pub ended_at: Option<i64>,
}

impl AlertRow {
    /// Whether what it tells of lasts until it is mended; the others are of a moment.
    pub fn lasts(&self) -> bool {
        const LASTING: [Kind; 9] = [
            Kind::AccountTokenInvalid,
            Kind::AccountRestricted,
            Kind::WorkWaits,
            Kind::DeliveriesUnknown,
            Kind::DeliveriesDead,
            Kind::TurnsDead,
            Kind::EventsUnroutable,
            Kind::ResponderResting,
            Kind::SessionLost,
        ];
        LASTING.iter().any(|kind| kind.as_str() == self.kind)
    }
}

const ALERT: &str = "id, kind, tenant_id, account_id, text, at, ended_at";

/// Raises an alert in the transaction of what it is about, unless the same was said a moment ago.
pub(super) async fn raise(tx: &DatabaseTransaction, alert: &Alert<'_>) -> Result<(), DbErr> {
    let text = "insert into alerts (kind, subject, slot, tenant_id, account_id, text, at, next_at) \
                select $1, $2, $3, $4, $5, $6, $7, $7 where not exists \
                (select 1 from alerts where kind = $1 and subject = $2 and at > $8) on conflict do nothing";
    let values: [Value; 8] = [
        alert.kind.as_str().into(),
        alert.subject.into(),
        (alert.now / QUIET).into(),
        alert.tenant.into(),
        alert.account.into(),
        alert.text.as_str().into(),
        alert.now.into(),
        (alert.now - QUIET).into(),
    ];
    if tx.execute_raw(sql::statement(tx, text, values)).await?.rows_affected() == 1 {
        let text = "delete from alerts where id <= (select max(id) from alerts) - $1";
        tx.execute_raw(sql::statement(tx, text, [KEPT.into()])).await?;
    }
    Ok(())
}

/// An event is left in `state`: if somebody's app spoke for a number that is not theirs, that number's people are to
/// know.
pub(super) async fn left(
    tx: &DatabaseTransaction,
    state: EventState,
    tenant: Option<&str>,
    now: i64,
) -> Result<(), DbErr> {
    if state != EventState::Refused {
        return Ok(());
    }
    let words = "Webhooks for one of your numbers were signed by another app's secret, and refused: \
                 give the account its appSecret if the app is yours.";
    let subject = tenant.unwrap_or_default();
    raise(tx, &Alert { tenant, ..Alert::new(Kind::SecretBindingRefused, subject, words, now) }).await
}

impl Store {
    /// Raises an alert, unless the same was said a moment ago. Never fails: whoever raises it has other things to do.
    pub async fn alert(&self, alert: Alert<'_>) {
        if let Err(error) = self.keep_alert(&alert).await {
            tracing::warn!(kind = alert.kind.as_str(), %error, "an alert could not be kept");
        }
    }

    /// The same, for those who can wait and do it again.
    pub async fn keep_alert(&self, alert: &Alert<'_>) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        raise(&tx, alert).await?;
        Ok(tx.commit().await?)
    }

    /// A page of alerts, newest first, older than `before`: a tenant's, or everybody's.
    pub async fn alert_page(
        &self,
        tenant: Option<&str>,
        before: i64,
        limit: u64,
    ) -> Result<Vec<AlertRow>, StoreError> {
        let text = format!(
            "select {ALERT} from alerts where id < $1 and ($2 = '' or tenant_id = $2) order by id desc limit {limit}"
        );
        let values: [Value; 2] = [before.into(), tenant.unwrap_or_default().into()];
        Ok(AlertRow::find_by_statement(sql::statement(self.read(), &text, values)).all(self.read()).await?)
    }

    /// Whether an alert is to be posted: a look that costs no write.
    pub async fn alerts_due(&self, now: i64) -> Result<bool, StoreError> {
        let text = "select 1 as one from alerts where posted_at is null and tries < $2 and next_at <= $1";
        let values: [Value; 2] = [now.into(), TRIES.into()];
        Ok(self.read().query_one_raw(sql::statement(self.read(), text, values)).await?.is_some())
    }

    /// Takes the alerts that are to be posted, oldest first. Each is due again a minute later, a few times, unless it
    /// was posted.
    pub async fn claim_alerts(&self, now: i64) -> Result<Vec<AlertRow>, StoreError> {
        let tx = self.begin().await?;
        let skip = if self.is_shared() { "for update skip locked" } else { "" };
        let text = format!(
            "update alerts set tries = tries + 1, next_at = $2 where id in (select id from alerts \
             where posted_at is null and tries < $3 and next_at <= $1 order by id limit 20 {skip}) returning {ALERT}"
        );
        let values: [Value; 3] = [now.into(), (now + WAIT).into(), TRIES.into()];
        let mut found = AlertRow::find_by_statement(sql::statement(&tx, &text, values)).all(&tx).await?;
        tx.commit().await?;
        found.sort_unstable_by_key(|alert| alert.id);
        Ok(found)
    }

    /// It was posted.
    pub async fn alert_posted(&self, id: i64, now: i64) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "update alerts set posted_at = $2 where id = $1";
        tx.execute_raw(sql::statement(&tx, text, [id.into(), now.into()])).await?;
        Ok(tx.commit().await?)
    }

    /// Tenants with at least `many` of something that was lost since `since`: (kind, tenant, how many).
    pub async fn losses(&self, since: i64, many: i64) -> Result<Vec<(Kind, String, i64)>, StoreError> {
        let text = "select status, tenant_id, count(*) as n from deliveries where status in ('unknown', 'dead') \
                    and created_at > $1 group by status, tenant_id having count(*) >= $2 \
                    union all select 'turn', tenant_id, count(*) from turns where status = 'dead' \
                    and created_at > $1 group by tenant_id having count(*) >= $2";
        let values: [Value; 2] = [since.into(), many.into()];
        let rows = self.read().query_all_raw(sql::statement(self.read(), text, values)).await?;
        let mut losses = Vec::with_capacity(rows.len());
        for row in rows {
            let kind = match row.try_get::<String>("", "status")?.as_str() {
                "unknown" => Kind::DeliveriesUnknown,
                "dead" => Kind::DeliveriesDead,
                _ => Kind::TurnsDead,
            };
            losses.push((kind, row.try_get("", "tenant_id")?, row.try_get("", "n")?));
        }
        Ok(losses)
    }

    /// Of the last thousand events, those that came since `since` for numbers that nobody has.
    pub async fn unroutable(&self, since: i64) -> Result<i64, StoreError> {
        let text = "select count(*) as n from event_states where state = 'unroutable' and at > $1 \
                    and event_id > (select coalesce(max(id), 0) from webhook_events) - 1000";
        let row = self.read().query_one_raw(sql::statement(self.read(), text, [since.into()])).await?;
        Ok(row.map(|row| row.try_get("", "n")).transpose()?.unwrap_or(0))
    }

    /// Whose a chatbot is.
    pub async fn tenant_of_chatbot(&self, id: &str) -> Result<Option<String>, StoreError> {
        let text = "select tenant_id from chatbots where id = $1";
        let row = self.read().query_one_raw(sql::statement(self.read(), text, [id.into()])).await?;
        Ok(row.map(|row| row.try_get("", "tenant_id")).transpose()?)
    }
}
