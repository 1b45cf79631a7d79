//! Whose is a message: number → accounts, from memory.
//!
//! Concurrent misses of one number load once; "nobody's" is remembered too, for a shorter time; the whole is bounded.
//! A change is seen at once here and within moments elsewhere ([`crate::news`]); the time to live is the backstop.

mod account;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;
use secrecy::{ExposeSecret, SecretString};

use crate::graph::client::Credentials;
use crate::ids::TenantId;
use crate::news::{News, Newsroom};
use crate::responder::Settings;
use crate::secret::{self, Ring, SecretError};
use crate::store::accounts::Account as Row;
use crate::store::chatbots::Chatbot;
use crate::store::{Store, StoreError};

/// Numbers kept in memory.
const NUMBERS: u64 = 100_000;
/// How long accounts are believed without news, and how long their absence is.
const FOUND: Duration = Duration::from_secs(60);
const MISSING: Duration = Duration::from_secs(5);
/// How long the database may think about a verify token.
const ASKING: Duration = Duration::from_millis(1_500);
/// Distinct app secrets tried for a body that names nobody we know.
const SECRETS: u64 = 256;
/// Reads of something that changes all the time.
const TRIES: usize = 4;
/// What a secret's fingerprint is hashed for; see [`Ring::keyed_hash`].
pub const FINGERPRINT: &str = "app-secret";
/// The same for verify tokens.
pub const VERIFY_TOKEN: &str = "verify-token";

pub use account::{Account, Bot, Mode, Status};
use account::{place, unreadable};

/// The accounts of one number.
pub type Accounts = Arc<[Arc<Account>]>;

struct Lifetime;

impl Expiry<String, Accounts> for Lifetime {
    fn expire_after_create(&self, _: &String, accounts: &Accounts, _: Instant) -> Option<Duration> {
        Some(if accounts.is_empty() { MISSING } else { FOUND })
    }
}

/// The look-up. Cheap to clone.
#[derive(Clone)]
pub struct Routing(Arc<Inner>);

struct Inner {
    store: Store,
    ring: Ring,
    news: Newsroom,
    numbers: Cache<String, Accounts>,
    businesses: Cache<String, Accounts>,
    everyone: Cache<(), Arc<[SecretString]>>,
    own_digits: Cache<(), Arc<HashSet<String>>>,
    /// Counts the changes, so that what was read before one is not kept after it.
    changes: AtomicU64,
    /// Hash of a verify token → account, as last seen: for when the database is away.
    verify_tokens: RwLock<HashMap<String, i64>>,
}

impl Routing {
    /// An empty memory over `store`.
    pub fn new(store: Store, ring: Ring, news: Newsroom) -> Self {
        let cache = || Cache::builder().max_capacity(NUMBERS).expire_after(Lifetime).build();
        let single = || Cache::builder().max_capacity(1).time_to_live(Duration::from_secs(10));
        Self(Arc::new(Inner {
            store,
            ring,
            news,
            numbers: cache(),
            businesses: cache(),
            everyone: single().build(),
            own_digits: Cache::builder().max_capacity(1).time_to_live(Duration::from_secs(10)).build(),
            changes: AtomicU64::new(0),
            verify_tokens: RwLock::default(),
        }))
    }

    /// Every account of a number, deleted ones included. Once Graph has confirmed whose the number is, only theirs: what
    /// others merely claim is not theirs to see.
    pub async fn accounts(&self, phone_number_id: &str) -> Result<Accounts, StoreError> {
        // A look-up without an owned key first: the common case allocates nothing.
        if let Some(found) = self.remembered(phone_number_id).await {
            return Ok(found);
        }
        let load = || async {
            let mut rows = self.0.store.accounts_of_number(phone_number_id).await?;
            if let Some(number) = self.0.store.number(phone_number_id).await? {
                rows.retain(|row| row.tenant_id == number.tenant_id);
            }
            self.open(rows).await
        };
        let before = self.0.changes.load(Ordering::Acquire);
        let loaded = self.0.numbers.try_get_with(phone_number_id.to_owned(), self.fresh(load)).await;
        if self.0.changes.load(Ordering::Acquire) != before {
            // It may have been kept just after the change.
            self.0.numbers.invalidate(phone_number_id).await;
        }
        loaded.map_err(|e: Arc<StoreError>| (*e).clone())
    }

    /// Where changes are told.
    pub fn news(&self) -> &Newsroom {
        &self.0.news
    }

    /// The accounts of a number if they are in memory: costs the database nothing.
    pub async fn remembered(&self, phone_number_id: &str) -> Option<Accounts> {
        self.0.numbers.get(phone_number_id).await
    }

    /// The accounts of a WABA, for events that name no number.
    pub async fn accounts_of_business(&self, business_account_id: &str) -> Result<Accounts, StoreError> {
        let load =
            || async { self.open(self.0.store.accounts_of_business(business_account_id).await?).await };
        let loaded = self.0.businesses.try_get_with(business_account_id.to_owned(), self.fresh(load)).await;
        loaded.map_err(|e: Arc<StoreError>| (*e).clone())
    }

    /// One account of a number.
    pub async fn account(&self, phone_number_id: &str, id: i64) -> Result<Option<Arc<Account>>, StoreError> {
        Ok(self.accounts(phone_number_id).await?.iter().find(|a| a.place.account_id == id).cloned())
    }

    /// Every distinct app secret of the accounts, up to a bound.
    pub async fn every_secret(&self) -> Result<Arc<[SecretString]>, StoreError> {
        let load = || async {
            let mut secrets: Vec<SecretString> = Vec::new();
            for row in self.0.store.accounts_with_secrets(SECRETS).await? {
                // One that cannot be read must not hide the others.
                for (secret, _) in self.secrets(&row).inspect_err(|e| complain(&row, e)).unwrap_or_default() {
                    if !secrets.iter().any(|s| secret::equal(s.expose_secret(), secret.expose_secret())) {
                        secrets.push(secret);
                    }
                }
            }
            Ok(secrets.into())
        };
        self.0.everyone.try_get_with((), self.fresh(load)).await.map_err(|e: Arc<StoreError>| (*e).clone())
    }

    /// Whether these digits are one of our own numbers: its messages are never answered, so that bots do not talk to
    /// each other for ever.
    pub async fn is_own_number(&self, digits: &str) -> Result<bool, StoreError> {
        let load = || async { Ok(Arc::new(self.0.store.own_digits().await?.into_iter().collect())) };
        let own = self.0.own_digits.try_get_with((), self.fresh(load)).await;
        Ok(own.map_err(|e: Arc<StoreError>| (*e).clone())?.contains(digits))
    }

    /// What a stored event remembers of the secret that verified it.
    pub fn fingerprint(&self, secret: &SecretString) -> String {
        self.0.ring.keyed_hash(FINGERPRINT, secret.expose_secret())
    }

    /// Which account a verify token belongs to. While the database is away, or silent: as last seen.
    pub async fn account_of_verify_token(&self, token: &str) -> Option<i64> {
        let hashes = self.0.ring.keyed_hashes(VERIFY_TOKEN, token);
        match tokio::time::timeout(ASKING, self.0.store.account_by_verify_token(&hashes)).await {
            Ok(Ok(found)) => {
                self.remember_tokens(found.iter());
                found.map(|row| row.id)
            }
            Ok(Err(_)) | Err(_) => {
                let tokens = self.0.verify_tokens.read().unwrap_or_else(|e| e.into_inner());
                hashes.iter().find_map(|hash| tokens.get(hash).copied())
            }
        }
    }

    /// Something about a number's accounts changed: forget it here, and tell the others.
    pub async fn changed(&self, phone_number_id: &str) {
        self.forget(phone_number_id).await;
        if let Err(error) = self.0.news.tell(News::Routes(phone_number_id.to_owned())).await {
            tracing::warn!(%error, "other instances will notice a change of routes within a minute");
        }
    }

    /// What `load` reads, read again if something changed meanwhile; within bounds, for there may always be a change.
    async fn fresh<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        load: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        for _ in 0..TRIES {
            let before = self.0.changes.load(Ordering::Acquire);
            let loaded = load().await?;
            if self.0.changes.load(Ordering::Acquire) == before {
                return Ok(loaded);
            }
        }
        load().await
    }

    /// Somebody else told that a number's accounts changed.
    pub async fn forget(&self, phone_number_id: &str) {
        self.0.changes.fetch_add(1, Ordering::AcqRel);
        self.0.numbers.invalidate(phone_number_id).await;
        self.0.businesses.invalidate_all();
        self.0.everyone.invalidate_all();
        self.0.own_digits.invalidate_all();
    }

    /// Some news was lost.
    pub fn forget_all(&self) {
        self.0.changes.fetch_add(1, Ordering::AcqRel);
        self.0.numbers.invalidate_all();
        self.0.businesses.invalidate_all();
        self.0.everyone.invalidate_all();
        self.0.own_digits.invalidate_all();
    }

    fn remember_tokens<'a>(&self, rows: impl Iterator<Item = &'a Row>) {
        let mut tokens = self.0.verify_tokens.write().unwrap_or_else(|e| e.into_inner());
        for row in rows {
            tokens.retain(|_, id| *id != row.id);
            if row.deleted_at.is_none() && Status::parse(&row.status) != Status::Inactive {
                tokens.insert(row.verify_token_hash.clone(), row.id);
            }
        }
    }

    async fn open(&self, rows: Vec<Row>) -> Result<Accounts, StoreError> {
        self.remember_tokens(rows.iter());
        let mut accounts = Vec::with_capacity(rows.len());
        for row in rows {
            let chatbot = self.0.store.chatbot_anywhere(&row.chatbot_id).await?;
            let Some(chatbot) = chatbot else { continue };
            match self.open_one(&row, chatbot) {
                Ok(account) => accounts.push(Arc::new(account)),
                // It hears nothing and says nothing; what comes for it waits as if it were switched off.
                Err(error) => {
                    complain(&row, &error);
                    accounts.push(Arc::new(unreadable(row)));
                }
            }
        }
        Ok(accounts.into())
    }

    fn open_one(&self, row: &Row, chatbot: Chatbot) -> Result<Account, SecretError> {
        let secrets = self.secrets(row)?;
        let token = self.0.ring.open(&row.access_token, &sealed_place(row, "access_token"))?;
        let status = Status::parse(&row.status);
        let deleted = row.deleted_at.is_some() || chatbot.deleted_at.is_some();
        Ok(Account {
            status: if deleted { Status::Inactive } else { status },
            deleted,
            mode: match row.mode.as_str() {
                "primary" => Mode::Primary,
                "shadow" => Mode::Shadow,
                _ => Mode::All,
            },
            credentials: Credentials { token, app_secret: secrets.first().map(|(secret, _)| secret.clone()) },
            fingerprints: secrets.iter().flat_map(|(_, prints)| prints.clone()).collect(),
            secrets: secrets.into_iter().map(|(secret, _)| secret).collect(),
            chatbot: Bot {
                api_key: chatbot
                    .api_key
                    .as_deref()
                    .map(|sealed| {
                        self.0.ring.open(sealed, &chatbot_key_place(&chatbot.tenant_id, &chatbot.id))
                    })
                    .transpose()?,
                responder: Settings::parse(&chatbot.responder),
                coalesce: millis(chatbot.coalesce_ms),
                coalesce_max: millis(chatbot.coalesce_max_ms),
                history_limit: usize::try_from(chatbot.history_limit).unwrap_or(10),
                fallback_text: chatbot.fallback_text,
                typing: chatbot.typing,
                media_links: chatbot.media_links,
                paused: chatbot.paused,
                hand_off_words: chatbot.hand_off_words,
                id: chatbot.id,
            },
            sealed_token: row.access_token.clone(),
            place: place(row),
        })
    }

    /// An account's own app secrets, newest first, with all their fingerprints.
    fn secrets(&self, row: &Row) -> Result<Vec<(SecretString, Vec<String>)>, SecretError> {
        let columns = [(&row.app_secret, "app_secret"), (&row.previous_app_secret, "previous_app_secret")];
        let mut secrets = Vec::new();
        for (sealed, column) in columns {
            if let Some(sealed) = sealed {
                let secret = self.0.ring.open(sealed, &sealed_place(row, column))?;
                let prints = self.0.ring.keyed_hashes(FINGERPRINT, secret.expose_secret());
                secrets.push((secret, prints));
            }
        }
        Ok(secrets)
    }
}

/// Where an account's sealed columns live.
pub fn sealed_place(row: &Row, column: &'static str) -> secret::Place {
    let name = format!("{}/{}", row.chatbot_id, row.phone_number_id);
    secret::Place::new(&TenantId::trusted(&row.tenant_id), "whatsapp_accounts", column, name)
}

/// Where a chatbot's sealed API key lives.
pub fn chatbot_key_place(tenant: &str, chatbot: &str) -> secret::Place {
    secret::Place::new(&TenantId::trusted(tenant), "chatbots", "api_key", chatbot)
}

fn complain(row: &Row, error: &SecretError) {
    tracing::error!(account = row.id, tenant = row.tenant_id, %error,
        "an account's secrets cannot be read: it counts as inactive until SWITCHBOARD_KEYS has their key");
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.max(0).unsigned_abs())
}
