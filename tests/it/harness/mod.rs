//! A world for one test: a database, stand-ins of Meta and of the response API, and the service itself.

pub mod api;
pub mod line;
pub mod log;
pub mod postgres;
pub mod process;
pub mod receiver;
pub mod shared;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

use secrecy::SecretString;
use switchboard::app::{self, Options, Running};
use switchboard::channel::phones::Phones;
use switchboard::config::Config;
use switchboard::news::News;
use switchboard::routing::{VERIFY_TOKEN, chatbot_key_place, sealed_place};
use switchboard::runtime::Clock;
use switchboard::sandbox::graph::GraphStandIn;
use switchboard::sandbox::response_api::ResponseApiStandIn;
use switchboard::sandbox::webhook::{self, Answer, Change, Incoming, Sender};
use switchboard::store::accounts::{Account, Number};
use switchboard::store::chatbots::Chatbot;
use switchboard::store::tenants::Audit;

/// The platform's app secret in tests.
pub const APP_SECRET: &str = "the-platforms-app-secret";
/// The platform key in tests.
pub const ADMIN_KEY: &str = "test-admin-key-0123456789";
/// The two numbers of the examples.
pub const SHOP: &str = "123456789";
pub const HELP: &str = "987654321";
/// Longest wait for something that should come at once.
pub const SOON: Duration = Duration::from_secs(20);

/// A database that outlives the service, so that a test may restart it.
pub enum Db {
    /// A file in a folder of its own.
    Sqlite(tempfile::TempDir),
    /// A database of its own on a server.
    Postgres(postgres::Database),
}

impl Db {
    pub fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub async fn postgres() -> Option<Self> {
        Some(Self::Postgres(postgres::database().await?))
    }

    /// The rows of `question`, which selects one column of text, null as empty; past the service, in the database itself.
    pub async fn texts(&self, question: &str) -> Vec<String> {
        use sea_orm::{ConnectionTrait, Database, Statement};
        let db = Database::connect(self.url()).await.unwrap();
        let statement = Statement::from_string(db.get_database_backend(), question);
        let rows = db.query_all_raw(statement).await.unwrap();
        let text = |row: &sea_orm::QueryResult| row.try_get_by_index::<Option<String>>(0).unwrap();
        let texts = rows.iter().map(|row| text(row).unwrap_or_default()).collect();
        db.close().await.unwrap();
        texts
    }

    /// Does this in the database itself, past the service.
    pub async fn execute(&self, statement: &str) -> Result<(), sea_orm::DbErr> {
        use sea_orm::{ConnectionTrait, Database};
        let db = Database::connect(self.url()).await?;
        let done = db.execute_unprepared(statement).await;
        db.close().await?;
        done.map(drop)
    }

    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}/test.db?mode=rwc", folder.path().display()),
            Self::Postgres(database) => database.url.clone(),
        }
    }
}

/// The world outside, kept over restarts of the service.
pub struct World {
    pub db: Db,
    pub graph: GraphStandIn,
    pub responder: ResponseApiStandIn,
    pub clock: Clock,
    pub phones: Phones,
}

impl World {
    pub fn new(db: Db) -> Self {
        Self {
            db,
            graph: GraphStandIn::start().unwrap(),
            responder: ResponseApiStandIn::start().unwrap(),
            clock: Clock::system(),
            phones: Phones::default(),
        }
    }

    /// As [`Self::new`], with waits between tries a fiftieth as long: 20, 60, 200, 600 ms.
    pub fn fast(db: Db) -> Self {
        Self { clock: Clock::system().with_pace(0.02), ..Self::new(db) }
    }

    pub fn variables(&self) -> BTreeMap<String, String> {
        [
            ("DATABASE_URL", self.db.url()),
            ("FACEBOOK_APP_SECRET", APP_SECRET.into()),
            ("WHATSAPP_VERIFY_TOKEN", "the-shared-verify-token".into()),
            ("GRAPH_API_BASE_URL", self.graph.base_url.clone()),
            ("RESPONSE_API_BASE_URL", self.responder.base_url.clone()),
            ("SWITCHBOARD_KEYS", "a-test-key-that-is-long-enough-to-be-one".into()),
            ("SWITCHBOARD_ADMIN_API_KEY", ADMIN_KEY.into()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    /// Starts an instance of the service.
    pub async fn start(&self) -> Service {
        self.start_with(&[]).await
    }

    /// Starts an instance with more, or other, variables.
    pub async fn start_with(&self, more: &[(&str, &str)]) -> Service {
        let mut variables = self.variables();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Engines bring what they hear to where we really are.
        variables.insert("WAHA_WEBHOOK_URL".into(), format!("http://{}", listener.local_addr().unwrap()));
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let config = Config::load(&variables).unwrap();
        let phones = self.phones.clone();
        let options = Options { clock: self.clock.clone(), phones, ..Options::default() };
        let running = app::start(&config, listener, options).await.unwrap();
        let meta = Sender::new(format!("{}/webhook", running.url()), APP_SECRET).unwrap();
        Service { running, meta }
    }
}

/// A running instance, and Meta's deliveries to it.
pub struct Service {
    pub running: Running,
    pub meta: Sender,
}

/// A chatbot on a number, as a test wants it.
pub struct Onboard<'a> {
    pub tenant: &'a str,
    pub chatbot: &'a str,
    pub number: &'a str,
    pub app_secret: Option<&'a str>,
    /// What the number is for people; makes it one of our own.
    pub display: Option<&'a str>,
    pub mode: &'a str,
    pub status: &'a str,
    pub change: fn(&mut Chatbot),
}

impl Default for Onboard<'_> {
    fn default() -> Self {
        Self {
            tenant: "default",
            chatbot: "ecommerce-chatbot-id",
            number: SHOP,
            app_secret: None,
            display: None,
            mode: "all",
            status: "active",
            change: |_| {},
        }
    }
}

impl Service {
    /// Puts a chatbot on a number, straight into the database. Answers come at once: no coalescing.
    pub async fn onboard(&self, wish: Onboard<'_>) -> i64 {
        let (store, ring) = (&self.running.store, &self.running.ring);
        let now = 1_700_000_000_000;
        let line = |action| Audit {
            tenant: Some(wish.tenant),
            actor: "test",
            action,
            target: "",
            now,
            ..Audit::default()
        };
        if store.tenant(wish.tenant).await.unwrap().is_none() {
            store.create_tenant(wish.tenant, wish.tenant, &[], &line("tenant.create")).await.unwrap();
        }
        let mut chatbot = Chatbot::new(wish.chatbot, wish.tenant, now);
        chatbot.coalesce_ms = 0;
        chatbot.api_key = Some(
            ring.seal(format!("key-of-{}", wish.chatbot), &chatbot_key_place(wish.tenant, wish.chatbot)),
        );
        (wish.change)(&mut chatbot);
        let mut account = Account {
            id: 0,
            tenant_id: wish.tenant.into(),
            transport: "cloud".into(),
            chatbot_id: wish.chatbot.into(),
            phone_number_id: wish.number.into(),
            business_account_id: format!("waba-{}", wish.number),
            display_phone_number: wish.display.map(str::to_owned),
            webhook_url: None,
            verify_token_hash: ring.keyed_hash(VERIFY_TOKEN, &verify_token(wish.chatbot)),
            verify_token: String::new(),
            access_token: String::new(),
            app_secret: None,
            previous_app_secret: None,
            mode: wish.mode.into(),
            status: wish.status.into(),
            status_reason: None,
            verified_at: None,
            checks: None,
            checked_at: None,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        };
        account.verify_token = ring.seal(verify_token(wish.chatbot), &sealed_place(&account, "verify_token"));
        account.access_token = ring.seal(token(wish.chatbot), &sealed_place(&account, "access_token"));
        account.app_secret = wish.app_secret.map(|s| ring.seal(s, &sealed_place(&account, "app_secret")));
        let claim = wish.display.map(|display| Number {
            phone_number_id: wish.number.into(),
            tenant_id: wish.tenant.into(),
            business_account_id: account.business_account_id.clone(),
            display_phone_number: Some(display.into()),
        });
        let line = line("account.create");
        let id = store.save_account(&account, Some(&chatbot), claim.as_ref(), &line).await.unwrap();
        self.running.routing.changed(wish.number).await;
        id
    }

    /// Meta delivers a text; it must be acknowledged.
    pub async fn text(&self, number: &str, from: &str, text: &str) {
        self.deliver(number, [Incoming::text(from, text)]).await;
    }

    /// Meta delivers messages in one body; it must be acknowledged.
    pub async fn deliver(&self, number: &str, messages: impl IntoIterator<Item = Incoming>) {
        let change = messages.into_iter().fold(Change::new(number), Change::message);
        let answer = self.post(webhook::body(&[change.waba(&format!("waba-{number}"))])).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// Meta delivers this body.
    pub async fn post(&self, body: String) -> Answer {
        self.meta.send(body).await.unwrap()
    }

    /// Changes an account straight in the database, and lets everybody know.
    pub async fn change_account(&self, id: i64, change: impl FnOnce(&mut Account)) {
        let mut account = self.running.store.account(id).await.unwrap().unwrap();
        change(&mut account);
        let line = Audit {
            tenant: None,
            actor: "test",
            action: "account.update",
            target: "",
            now: 0,
            ..Audit::default()
        };
        self.running.store.save_account(&account, None, None, &line).await.unwrap();
        self.running.routing.changed(&account.phone_number_id).await;
        self.running.news.tell(News::Work).await.unwrap();
    }

    /// The same for a chatbot that serves this number.
    pub async fn change_chatbot(
        &self,
        tenant: &str,
        id: &str,
        number: &str,
        change: impl FnOnce(&mut Chatbot),
    ) {
        let mut chatbot = self.running.store.chatbot(tenant, id).await.unwrap().unwrap();
        change(&mut chatbot);
        let line = Audit {
            tenant: None,
            actor: "test",
            action: "chatbot.update",
            target: "",
            now: 0,
            ..Audit::default()
        };
        self.running.store.save_chatbot(&chatbot, &line).await.unwrap();
        self.running.routing.changed(number).await;
    }

    /// What becomes true soon.
    pub async fn wait_until<F: Future<Output = bool>>(&self, what: &str, mut check: impl FnMut() -> F) {
        let end = tokio::time::Instant::now() + SOON;
        while !check().await {
            assert!(tokio::time::Instant::now() < end, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Nothing is on its way any more.
    pub async fn settle(&self) {
        assert!(self.running.idle(SOON).await, "work is left");
    }
}

/// The verify token of a chatbot's account.
pub fn verify_token(chatbot: &str) -> String {
    format!("verify-{chatbot}")
}

/// The access token of a chatbot's account.
pub fn token(chatbot: &str) -> String {
    format!("token-of-{chatbot}")
}

/// A secret, for calls that take one.
#[allow(dead_code)]
pub fn secret(text: &str) -> SecretString {
    text.to_owned().into()
}
