//! One service per database for many small tests: each gets a desk of its own (tenant, number, chatbot) and sees only
//! what happens there.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::sandbox::graph::Sent;
use switchboard::sandbox::http_client;
use switchboard::sandbox::response_api::Received;
use switchboard::sandbox::webhook::{Change, Incoming, body, new_wamid};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use super::{ADMIN_KEY, Db, Onboard, SOON, Service, World, postgres};

/// Which database.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// A world with a running service, for as long as the test process lives.
pub struct Shared {
    pub world: World,
    pub service: Service,
}

/// Where one test works.
pub struct Desk {
    pub world: &'static World,
    pub service: &'static Service,
    pub tenant: String,
    pub chatbot: String,
    pub number: String,
    /// The account of the chatbot on the number.
    pub account: i64,
    n: usize,
    customers: AtomicUsize,
}

/// Makes `name::sqlite` and `name::postgres` of each test, at a desk of the shared service.
#[macro_export]
macro_rules! at_a_desk {
    ($($(#[$meta:meta])* async fn $name:ident($desk:ident) $body:block)*) => {$(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn test($desk: $crate::harness::shared::Desk) $body

            $(#[$meta])*
            #[test]
            fn sqlite() {
                $crate::harness::shared::run($crate::harness::shared::Kind::Sqlite, test);
            }

            $(#[$meta])*
            #[test]
            fn postgres() {
                $crate::harness::shared::run($crate::harness::shared::Kind::Postgres, test);
            }
        }
    )*};
}

/// Runs a test; nothing to do where there is no PostgreSQL.
pub fn run<F: Future<Output = ()>>(kind: Kind, test: fn(Desk) -> F) {
    // The service lives on this runtime, so all its tests do.
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let build =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    RUNTIME.get_or_init(build).block_on(async {
        if let Some(shared) = shared(kind).await {
            test(Desk::new(shared).await).await;
        }
    });
}

async fn shared(kind: Kind) -> Option<&'static Shared> {
    static SQLITE: OnceCell<Option<Shared>> = OnceCell::const_new();
    static POSTGRES: OnceCell<Option<Shared>> = OnceCell::const_new();
    let start = || async {
        let db = match kind {
            Kind::Sqlite => Db::Sqlite(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()),
            Kind::Postgres => Db::Postgres(postgres::database().await?),
        };
        let world = World::fast(db);
        let service = world.start().await;
        Some(Shared { world, service })
    };
    let cell = if kind == Kind::Sqlite { &SQLITE } else { &POSTGRES };
    cell.get_or_init(start).await.as_ref()
}

impl Desk {
    async fn new(shared: &'static Shared) -> Self {
        static DESKS: AtomicUsize = AtomicUsize::new(1);
        let n = DESKS.fetch_add(1, Ordering::Relaxed);
        let (tenant, chatbot, number) = (format!("tenant-{n}"), format!("bot-{n}"), format!("8800{n:05}"));
        let (world, service) = (&shared.world, &shared.service);
        let customers = AtomicUsize::new(1);
        let mut desk = Self { world, service, tenant, chatbot, number, account: 0, n, customers };
        desk.account = desk.another(&desk.chatbot, |_| {}).await;
        desk
    }

    /// Another chatbot on the desk's number, or on another one of its tenant; its account.
    pub async fn another<'a>(&'a self, chatbot: &'a str, change: impl FnOnce(&mut Onboard<'a>)) -> i64 {
        let mut wish = Onboard {
            tenant: &self.tenant,
            chatbot,
            number: &self.number,
            change: |bot| bot.typing = false,
            ..Onboard::default()
        };
        change(&mut wish);
        self.service.onboard(wish).await
    }

    /// A phone that nobody had before.
    pub fn customer(&self) -> String {
        format!("1555{:04}{:03}", self.n, self.customers.fetch_add(1, Ordering::Relaxed))
    }

    /// The WABA of the desk's number.
    pub fn waba(&self) -> String {
        format!("waba-{}", self.number)
    }

    /// Meta delivers a text; its id.
    pub async fn text(&self, from: &str, text: &str) -> String {
        self.say(Incoming::text(from, text)).await
    }

    /// Meta delivers a message; its id.
    pub async fn say(&self, message: Incoming) -> String {
        let wamid = message.wamid.clone();
        self.service.deliver(&self.number, [message]).await;
        wamid
    }

    /// Meta delivers a change about the desk's number.
    pub async fn tell(&self, field: &str, mut value: Value) {
        value["messaging_product"] = "whatsapp".into();
        value["metadata"] = json!({"display_phone_number": "15550000000", "phone_number_id": self.number});
        self.tell_of(&self.waba(), field, &value).await;
    }

    /// Meta delivers a change of this entry.
    pub async fn tell_of(&self, entry: &str, field: &str, value: &Value) {
        let change = json!({"field": field, "value": value});
        self.post(
            json!({"object": "whatsapp_business_account",
            "entry": [{"id": entry, "time": 1_700_000_000, "changes": [change]}]})
            .to_string(),
        )
        .await;
    }

    /// Meta delivers this body; it must be acknowledged.
    pub async fn post(&self, body: String) {
        let answer = self.service.post(body).await;
        assert_eq!((answer.status, answer.body.contains("\"success\":true")), (200, true), "{}", answer.body);
    }

    /// What was asked of the desk's chatbot.
    pub fn asked(&self) -> Vec<Received> {
        self.world.responder.received_for(&self.chatbot)
    }

    /// What was sent from the desk's number.
    pub fn sent(&self) -> Vec<Sent> {
        self.world.graph.sent().into_iter().filter(|sent| sent.phone_number_id == self.number).collect()
    }

    /// Waits until so many messages left the desk's number.
    pub async fn sent_are(&self, n: usize) -> Vec<Sent> {
        self.service.wait_until("sent", || async { self.sent().len() >= n }).await;
        self.sent()
    }

    /// Waits until everything delivered so far has taken effect: a stranger's message, which came after it, is answered.
    /// Returns what was sent to others.
    pub async fn rest(&self) -> Vec<Sent> {
        let stranger = self.customer();
        self.text(&stranger, "the stranger's message").await;
        let answered = || async { self.sent().iter().any(|sent| sent.to == stranger) };
        self.service.wait_until("the stranger's answer", answered).await;
        // What was asked before the stranger may be a moment from being sent.
        tokio::time::sleep(Duration::from_millis(30)).await;
        self.sent().into_iter().filter(|sent| !sent.text().contains("the stranger's message")).collect()
    }

    /// The rows of a question that selects one column of text; `$number` and `$tenant` stand for the desk's.
    pub async fn texts(&self, question: &str) -> Vec<String> {
        let question = question
            .replace("$number", &format!("'{}'", self.number))
            .replace("$tenant", &format!("'{}'", self.tenant))
            .replace("$account", &self.account.to_string());
        self.world.db.texts(&question).await
    }

    /// Waits until a question has these rows.
    pub async fn texts_are(&self, question: &str, expected: &[&str]) {
        let end = tokio::time::Instant::now() + SOON;
        loop {
            let found = self.texts(question).await;
            if found == expected {
                return;
            }
            assert!(tokio::time::Instant::now() < end, "{question}: {found:?}, not {expected:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A customer's text as it stands in a value, written now.
    pub fn fresh(&self, from: &str, text: &str) -> Value {
        let now = (self.world.clock.now_ms() / 1000).to_string();
        json!({"id": new_wamid(), "from": from, "timestamp": now, "type": "text", "text": {"body": text}})
    }

    /// The last words of every question, sorted; without the strangers'.
    pub fn questions(&self) -> Vec<String> {
        let asked = self.asked().into_iter().filter_map(|r| Some(r.history().pop()?.1));
        let mut asked: Vec<String> = asked.filter(|words| words != "the stranger's message").collect();
        asked.sort();
        asked
    }

    /// Calls the API for the desk's tenant.
    pub async fn api(&self, method: &str, path: &str) -> Value {
        self.api_with(method, path, Value::Null).await
    }

    /// The same with a body.
    pub async fn api_with(&self, method: &str, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.service.running.url());
        let mut request = http_client()
            .unwrap()
            .request(method.parse().unwrap(), url)
            .bearer_auth(ADMIN_KEY)
            .header("Switchboard-Tenant", &self.tenant);
        if !body.is_null() {
            request = request.json(&body);
        }
        request.send().await.unwrap().json().await.unwrap()
    }

    /// The conversation with a customer, as the API names it.
    pub async fn conversation(&self, phone: &str) -> String {
        let all = self.api("GET", "/api/v1/conversations?limit=100").await;
        let is_it = |c: &&Value| c["contact"]["phone"] == phone;
        let found = all["data"].as_array().and_then(|all| all.iter().find(is_it));
        found.unwrap_or_else(|| panic!("no conversation: {all}"))["id"].as_str().unwrap().to_owned()
    }

    /// A body with one message for the desk's number.
    pub fn body(&self, message: Incoming) -> String {
        body(&[Change::new(&self.number).message(message)])
    }
}
