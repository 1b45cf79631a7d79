//! Accounts (one number serving one chatbot) and numbers (whose a number is).

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, Value};

use super::audit::{Audit, audit};
use super::chatbots::{self, Chatbot};
use super::contacts::inserted;
use super::event_endpoints::Listeners;
use super::{Store, StoreError, sql, telling};

/// A stored account. Tokens and secrets are sealed.
#[derive(Debug, Clone, FromQueryResult)]
#[allow(missing_docs)] // the columns of `whatsapp_accounts`, named alike
pub struct Account {
    pub id: i64,
    pub tenant_id: String,
    pub transport: String,
    pub chatbot_id: String,
    pub phone_number_id: String,
    pub business_account_id: String,
    pub display_phone_number: Option<String>,
    pub webhook_url: Option<String>,
    pub verify_token_hash: String,
    pub verify_token: String,
    pub access_token: String,
    pub app_secret: Option<String>,
    pub previous_app_secret: Option<String>,
    pub mode: String,
    pub status: String,
    pub status_reason: Option<String>,
    pub verified_at: Option<i64>,
    pub checks: Option<String>,
    pub checked_at: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
    pub deleted_at: Option<i64>,
}

const FIELDS: &str = "tenant_id, transport, chatbot_id, phone_number_id, business_account_id, display_phone_number, \
    webhook_url, verify_token_hash, verify_token, access_token, app_secret, previous_app_secret, mode, status, \
    status_reason, verified_at, checks, checked_at, created_at, updated_at, deleted_at";

impl Account {
    fn values(&self) -> [Value; 21] {
        [
            self.tenant_id.as_str().into(),
            self.transport.as_str().into(),
            self.chatbot_id.as_str().into(),
            self.phone_number_id.as_str().into(),
            self.business_account_id.as_str().into(),
            self.display_phone_number.clone().into(),
            self.webhook_url.clone().into(),
            self.verify_token_hash.as_str().into(),
            self.verify_token.as_str().into(),
            self.access_token.as_str().into(),
            self.app_secret.clone().into(),
            self.previous_app_secret.clone().into(),
            self.mode.as_str().into(),
            self.status.as_str().into(),
            self.status_reason.clone().into(),
            self.verified_at.into(),
            self.checks.clone().into(),
            self.checked_at.into(),
            self.created_at.into(),
            self.updated_at.into(),
            self.deleted_at.into(),
        ]
    }
}

/// A number and its owner.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Number {
    /// Routing key.
    pub phone_number_id: String,
    /// Whose it is, since Graph confirmed it.
    pub tenant_id: String,
    /// Its WABA.
    pub business_account_id: String,
    /// As people write it.
    pub display_phone_number: Option<String>,
}

/// What Meta said of an account.
pub(super) struct Seen<'a> {
    /// What it is now.
    pub status: &'a str,
    /// Why, as a word.
    pub reason: &'a str,
    /// The token that it was said of, as it is sealed, if that is known.
    pub token: Option<&'a str>,
    /// Said of how it stood then, Unix milliseconds.
    pub before: i64,
    /// Unix milliseconds.
    pub now: i64,
}

/// Changes what an account may do, unless somebody changed it since, or it has another token: what was so before then
/// says nothing of what it is now. False when nothing was changed.
pub(super) async fn set_status(
    tx: &DatabaseTransaction,
    listeners: &Listeners,
    id: i64,
    seen: &Seen<'_>,
) -> Result<bool, DbErr> {
    let text = "update whatsapp_accounts set status = $2, status_reason = $3, updated_at = $4 \
                where id = $1 and status <> $2 and status <> 'inactive' and deleted_at is null and updated_at <= $5 \
                and ($6 = '' or access_token = $6)";
    let values: [Value; 6] = [
        id.into(),
        seen.status.into(),
        seen.reason.into(),
        seen.now.into(),
        seen.before.into(),
        seen.token.unwrap_or_default().into(),
    ];
    let was = telling::standing(tx, id).await?;
    let changed = tx.execute_raw(sql::statement(tx, text, values)).await?.rows_affected() == 1;
    if changed {
        telling::account(tx, listeners, id, was, seen.now).await?;
    }
    Ok(changed)
}

impl Store {
    /// The accounts that `which` picks, deleted ones included unless it says otherwise.
    async fn find_accounts(
        &self,
        which: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<Account>, StoreError> {
        let text = format!("select id, {FIELDS} from whatsapp_accounts where {which}");
        Ok(Account::find_by_statement(sql::statement(self.read(), &text, values)).all(self.read()).await?)
    }

    /// Every account of a number, deleted ones too: for routing.
    pub async fn accounts_of_number(&self, phone_number_id: &str) -> Result<Vec<Account>, StoreError> {
        self.find_accounts("phone_number_id = $1 order by id", [phone_number_id.into()]).await
    }

    /// The accounts of a WABA that are not deleted: for events that name no number.
    pub async fn accounts_of_business(&self, business_account_id: &str) -> Result<Vec<Account>, StoreError> {
        self.find_accounts(
            "business_account_id = $1 and deleted_at is null order by id limit 256",
            [business_account_id.into()],
        )
        .await
    }

    /// Accounts with an app secret of their own, for bodies that name nobody we know. At most `limit`.
    pub async fn accounts_with_secrets(&self, limit: u64) -> Result<Vec<Account>, StoreError> {
        let which = format!("app_secret is not null and deleted_at is null order by id limit {limit}");
        self.find_accounts(&which, []).await
    }

    /// The account whose verify token has one of these hashes, unless it is inactive or deleted.
    pub async fn account_by_verify_token(&self, hashes: &[String]) -> Result<Option<Account>, StoreError> {
        let which = format!(
            "deleted_at is null and status <> 'inactive' and verify_token_hash in ({})",
            sql::list(1, hashes.len())
        );
        Ok(self.find_accounts(&which, hashes.iter().map(|h| h.as_str().into())).await?.pop())
    }

    /// Whether another account than `except` has this verify token.
    pub async fn verify_token_taken(&self, hashes: &[String], except: i64) -> Result<bool, StoreError> {
        let which = format!(
            "deleted_at is null and id <> $1 and verify_token_hash in ({})",
            sql::list(2, hashes.len())
        );
        let values = [except.into()].into_iter().chain(hashes.iter().map(|h| h.as_str().into()));
        Ok(!self.find_accounts(&which, values).await?.is_empty())
    }

    /// All accounts that are not deleted, of every tenant: for those who look after the whole.
    pub async fn every_account(&self) -> Result<Vec<Account>, StoreError> {
        self.find_accounts("deleted_at is null order by id", []).await
    }

    /// One account.
    pub async fn account(&self, id: i64) -> Result<Option<Account>, StoreError> {
        Ok(self.find_accounts("id = $1", [id.into()]).await?.pop())
    }

    /// A tenant's accounts that are not deleted; of one chatbot, of one number, if given.
    pub async fn accounts(
        &self,
        tenant: &str,
        chatbot: Option<&str>,
        phone_number_id: Option<&str>,
    ) -> Result<Vec<Account>, StoreError> {
        let which = "tenant_id = $1 and deleted_at is null and ($2 = '' or chatbot_id = $2) \
                     and ($3 = '' or phone_number_id = $3) order by id limit 1000";
        let values: [Value; 3] =
            [tenant.into(), chatbot.unwrap_or_default().into(), phone_number_id.unwrap_or_default().into()];
        self.find_accounts(which, values).await
    }

    /// A page of a tenant's accounts that are not deleted, the oldest first.
    pub async fn accounts_page(
        &self,
        tenant: &str,
        after: i64,
        limit: u64,
    ) -> Result<Vec<Account>, StoreError> {
        let which = format!("tenant_id = $1 and id > $2 and deleted_at is null order by id limit {limit}");
        self.find_accounts(&which, [tenant.into(), after.into()]).await
    }

    /// Official numbers in use that Graph was not asked about since, the longest ago first.
    pub async fn unchecked_accounts(&self, since: i64, limit: u64) -> Result<Vec<Account>, StoreError> {
        let which = format!(
            "deleted_at is null and transport = 'cloud' and status in ('active', 'restricted', 'token_invalid') \
             and (checked_at is null or checked_at < $1) order by checked_at nulls first limit {limit}"
        );
        self.find_accounts(&which, [since.into()]).await
    }

    /// Accounts that wait for Graph to confirm them.
    pub async fn pending_accounts(&self, limit: u64) -> Result<Vec<Account>, StoreError> {
        let which = format!(
            "deleted_at is null and status = 'pending' order by checked_at nulls first limit {limit}"
        );
        self.find_accounts(&which, []).await
    }

    /// Stores an account as it is now; with a new chatbot, and the claim on the number, in the same transaction.
    /// Returns its id. [`StoreError::Conflict`]: the number, the pair or the verify token is somebody's already.
    pub async fn save_account(
        &self,
        account: &Account,
        chatbot: Option<&Chatbot>,
        claim: Option<&Number>,
        line: &Audit<'_>,
    ) -> Result<i64, StoreError> {
        let tx = self.begin().await?;
        if let Some(chatbot) = chatbot {
            chatbots::save(&tx, chatbot).await?;
            audit(&tx, &Audit { action: "chatbot.save", target: &chatbot.id, ..line.clone() }).await?;
        }
        if let Some(number) = claim {
            let text = "insert into numbers (phone_number_id, tenant_id, business_account_id, display_phone_number, \
                        confirmed_at) values ($1, $2, $3, $4, $5) on conflict (phone_number_id) do update set \
                        business_account_id = excluded.business_account_id, \
                        display_phone_number = excluded.display_phone_number \
                        where numbers.tenant_id = excluded.tenant_id";
            let values: [Value; 5] = [
                number.phone_number_id.as_str().into(),
                number.tenant_id.as_str().into(),
                number.business_account_id.as_str().into(),
                number.display_phone_number.clone().into(),
                line.now.into(),
            ];
            if tx.execute_raw(sql::statement(&tx, text, values)).await?.rows_affected() == 0 {
                return Err(StoreError::Conflict);
            }
        }
        let before = telling::standing(&tx, account.id).await?;
        let id = if account.id == 0 {
            let text = format!(
                "insert into whatsapp_accounts ({FIELDS}) values ({}) returning id",
                sql::list(1, account.values().len())
            );
            inserted(&tx, &text, account.values()).await?
        } else {
            // When Meta asked for the token may have been noted since this was read, while Graph was asked. Of another
            // token that says nothing.
            let token = 2 + FIELDS.split(", ").take_while(|name| name.trim() != "verify_token_hash").count();
            let column = |(n, name): (usize, &str)| match (name.trim(), n + 2) {
                ("verified_at", n) => format!(
                    "verified_at = case when verify_token_hash = ${token} and verified_at > coalesce(${n}, 0) \
                     then verified_at else ${n} end"
                ),
                (name, n) => format!("{name} = ${n}"),
            };
            let columns: Vec<String> = FIELDS.split(", ").enumerate().map(column).collect();
            let text = format!("update whatsapp_accounts set {} where id = $1", columns.join(", "));
            let values = [account.id.into()].into_iter().chain(account.values());
            tx.execute_raw(sql::statement(&tx, &text, values)).await?;
            account.id
        };
        telling::account(&tx, &self.listeners, id, before, line.now).await?;
        audit(&tx, line).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Whose a number is.
    pub async fn number(&self, phone_number_id: &str) -> Result<Option<Number>, StoreError> {
        let text = "select phone_number_id, tenant_id, business_account_id, display_phone_number from numbers \
                    where phone_number_id = $1";
        let found = Number::find_by_statement(sql::statement(self.read(), text, [phone_number_id.into()]));
        Ok(found.one(self.read()).await?)
    }

    /// A number without accounts is free for another tenant.
    pub async fn free_number(&self, phone_number_id: &str) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "delete from numbers where phone_number_id = $1 and not exists \
                    (select 1 from whatsapp_accounts where phone_number_id = $1 and deleted_at is null)";
        tx.execute_raw(sql::statement(&tx, text, [phone_number_id.into()])).await?;
        Ok(tx.commit().await?)
    }

    /// Every number of ours as digits: a message from one of them is never answered.
    pub async fn own_digits(&self) -> Result<Vec<String>, StoreError> {
        let text =
            "select display_phone_number as digits from numbers where display_phone_number is not null";
        let rows = self.read().query_all_raw(sql::statement(self.read(), text, [])).await?;
        let mut digits = Vec::with_capacity(rows.len());
        for row in rows {
            let shown: String = row.try_get("", "digits")?;
            digits.push(shown.chars().filter(char::is_ascii_digit).collect());
        }
        Ok(digits)
    }

    /// Changes what an account may do, from inside: Graph said so of the token that is sealed in `used`. False when it
    /// says so already, or has another token by now.
    pub async fn set_account_status(
        &self,
        id: i64,
        status: &str,
        reason: &str,
        used: &str,
        now: i64,
    ) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let seen = Seen { status, reason, token: Some(used), before: i64::MAX, now };
        let changed = set_status(&tx, &self.listeners, id, &seen).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// Graph was asked again and said nothing new.
    pub async fn mark_checked(&self, id: i64, now: i64) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "update whatsapp_accounts set checked_at = $2 where id = $1";
        tx.execute_raw(sql::statement(&tx, text, [id.into(), now.into()])).await?;
        Ok(tx.commit().await?)
    }

    /// Meta asked, and the token was this account's.
    pub async fn mark_verified(&self, id: i64, now: i64) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "update whatsapp_accounts set verified_at = $2 where id = $1";
        tx.execute_raw(sql::statement(&tx, text, [id.into(), now.into()])).await?;
        Ok(tx.commit().await?)
    }
}
