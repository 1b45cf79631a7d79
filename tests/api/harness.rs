//! A running API over a temporary database, with a stand-in of Meta's Graph API beside it.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use switchboard::api::{self, Parts, People, Stations, headers};
use switchboard::auth::Role;
use switchboard::auth::api_key::ApiKey;
use switchboard::auth::supabase::Supabase;
use switchboard::channel::phones::Phones;
use switchboard::channel::waha::Waha;
use switchboard::channel::{self, Sessions};
use switchboard::conversation::Conversations;
use switchboard::graph::client::GraphClient;
use switchboard::ids::TenantId;
use switchboard::media::Media;
use switchboard::message::{Inbound, Sender};
use switchboard::news::Newsroom;
use switchboard::onboarding::Onboarding;
use switchboard::outbox::Outbox;
use switchboard::responder::Responders;
use switchboard::routing::{Account, Routing};
use switchboard::runtime::Clock;
use switchboard::sandbox::graph::GraphStandIn;
use switchboard::sandbox::http_client;
use switchboard::secret::Ring;
use switchboard::store::accept::Accept;
use switchboard::store::events::{End, EventState, Process};
use switchboard::store::messages::Append;
use switchboard::store::tenants::{ApiKeyRow, Audit};
use switchboard::store::{Location, Store, migrate_up};
use switchboard::telemetry;

/// The bootstrap key of every test.
pub const ADMIN: &str = "admin-key-of-the-tests";
/// Where webhooks reach us, as far as the tests tell Meta.
pub const WEBHOOK: &str = "https://switchboard.example/webhook";

/// Who writes in every test.
pub const CUSTOMER: &str = "15551234567";

/// A running API and everything beside it.
pub struct Api {
    pub parts: Parts,
    pub graph: GraphStandIn,
    pub phones: Phones,
    pub url: String,
    http: reqwest::Client,
    stop: CancellationToken,
    _folder: TempDir,
}

/// How a test wants it.
#[derive(Default)]
pub struct Options {
    /// `ONBOARDING_VERIFY=off`.
    pub unverified: bool,
    /// Production's rules.
    pub production: bool,
    /// Another database than a temporary file.
    pub database: Option<Location>,
    /// A Supabase project: its address, and its secret if it has one.
    pub supabase: Option<(String, Option<String>)>,
    /// Another time than the machine's.
    pub clock: Option<Clock>,
    /// Whether the server has an app of its own at Meta: the stand-in's.
    pub app: bool,
}

impl Api {
    /// Starts one.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// Starts one.
    pub async fn start_with(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = options.database.unwrap_or_else(|| Location::Sqlite(folder.path().join("test.db")));
        migrate_up(&location).await.unwrap();
        let store = Store::open(&location).await.unwrap();
        let clock = options.clock.unwrap_or_else(Clock::system);
        store.ensure_default_tenant(clock.now_ms()).await.unwrap();
        store.join("test").await.unwrap();
        let ring = Ring::parse(&"k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into()).unwrap();
        let stop = CancellationToken::new();
        let news = Newsroom::open(store.clone(), stop.clone());
        let routing = Routing::new(store.clone(), ring.clone(), news.clone());
        let stand_in = GraphStandIn::start().unwrap();
        let graph = GraphClient::new(stand_in.base_url.parse().unwrap(), "v26.0", http_client().unwrap());
        let tasks = TaskTracker::new();
        let responders = Responders::new(None, "/response".into(), true).unwrap();
        let (keys, url) = (ring.clone(), "http://localhost".to_owned());
        let media = Media::new(store.clone(), routing.clone(), graph.clone(), clock.clone(), keys, url);
        let outbox = Outbox::new(
            store.clone(),
            routing.clone(),
            graph.clone(),
            media.clone(),
            clock.clone(),
            tasks.clone(),
            stop.clone(),
        );
        tasks.spawn(media.run(stop.clone()));
        let stations = Stations::default();
        stations.set(Some(Conversations::new(
            store.clone(),
            routing.clone(),
            responders.clone(),
            outbox,
            clock.clone(),
            tasks.clone(),
            stop.clone(),
        )));
        let phones = Phones::default();
        let nowhere = "http://127.0.0.1:9/api".parse().unwrap();
        let sessions = Sessions::new(channel::Parts {
            store: store.clone(),
            ring: ring.clone(),
            routing: routing.clone(),
            news: news.clone(),
            clock: clock.clone(),
            engines: channel::Engines {
                waha: Waha::new(nowhere, None, WEBHOOK.to_owned(), http_client().unwrap()),
                phones: Some(phones.clone()),
                #[cfg(feature = "native")]
                native: None,
            },
        });
        sessions.supervise(store.clone(), tasks.clone(), stop.clone());
        let parts = Parts {
            sessions,
            public_url: WEBHOOK.trim_end_matches("/webhook").to_owned(),
            client_id: None,
            session_path: folder.path().join("whatsapp-session"),
            onboarding: Onboarding {
                store: store.clone(),
                ring: ring.clone(),
                routing: routing.clone(),
                news: news.clone(),
                graph,
                clock: clock.clone(),
                verify: !options.unverified,
                app: options.app.then(|| ("1000000000000001".to_owned(), "the-apps-own-secret".into())),
                webhook_url: Some(WEBHOOK.to_owned()),
            },
            live: api::Live::open(store.clone(), &news, stop.clone()),
            store,
            ring,
            routing,
            news,
            stations,
            people: People::new(
                "http://127.0.0.1".into(),
                options.production,
                switchboard::config::TrustedProxy::None,
            ),
            supabase: options
                .supabase
                .map(|(url, secret)| Supabase::new(&url, secret.map(Into::into), clock.clone()).unwrap()),
            responders,
            admin_key: Some(ADMIN.into()),
            production: options.production,
            allow_private_responders: !options.production,
            metrics: telemetry::metrics().unwrap(),
            metrics_token: Some("metrics-token".into()),
            draining: CancellationToken::new(),
            started_at: clock.now_ms(),
            clock,
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let data = web::Data::new(parts.clone());
        let https = options.production;
        let app = move || {
            let safe = from_fn(move |request, next| headers::safe(https, request, next));
            App::new().app_data(data.clone()).configure(api::configure).wrap(safe)
        };
        let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
        actix_web::rt::spawn(server);
        Self { parts, graph: stand_in, phones, url, http: http_client().unwrap(), stop, _folder: folder }
    }

    /// A tenant with one key of this role.
    pub async fn key(&self, tenant: &str, role: Role) -> String {
        let now = self.parts.clock.now_ms();
        let line = Audit {
            tenant: Some(tenant),
            actor: "test",
            action: "test",
            target: tenant,
            now,
            ..Audit::default()
        };
        if self.parts.store.tenant(tenant).await.unwrap().is_none() {
            self.parts.store.create_tenant(tenant, tenant, &[], &line).await.unwrap();
        }
        self.key_row(Some(tenant), role).await
    }

    /// A key of a tenant, or of the platform.
    pub async fn key_row(&self, tenant: Option<&str>, role: Role) -> String {
        use secrecy::ExposeSecret;
        let now = self.parts.clock.now_ms();
        let line = Audit { tenant, actor: "test", action: "test", target: "test", now, ..Audit::default() };
        let key = ApiKey::generate();
        let row = ApiKeyRow {
            id: key.id().to_owned(),
            tenant_id: tenant.map(|t| TenantId::trusted(t).to_string()),
            name: "test".into(),
            role: role.as_str().into(),
            secret_hash: key.digest(),
            created_at: now,
            last_used_at: None,
            revoked_at: None,
        };
        self.parts.store.create_api_key(&row, &line).await.unwrap();
        key.reveal().expose_secret().to_owned()
    }

    /// A request, to be sent.
    pub fn request(&self, method: &str, path: &str, key: &str) -> reqwest::RequestBuilder {
        let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap();
        let request = self.http.request(method, format!("{}{path}", self.url));
        if key.is_empty() { request } else { request.bearer_auth(key) }
    }

    /// One call; a body of null is none.
    pub async fn call(&self, method: &str, path: &str, key: &str, body: Value) -> (u16, Value) {
        let request = self.request(method, path, key);
        let request = if body.is_null() { request } else { request.json(&body) };
        read(request.send().await.unwrap()).await
    }

    /// A call that must succeed with this status; its `data`.
    pub async fn expect(&self, status: u16, method: &str, path: &str, key: &str, body: Value) -> Value {
        let (got, answer) = self.call(method, path, key, body).await;
        assert_eq!(got, status, "{method} {path}: {answer}");
        assert_eq!(answer["success"], status < 400, "{answer}");
        answer["data"].clone()
    }

    /// A call that must fail like this; the problem.
    pub async fn refuse(
        &self,
        status: u16,
        code: &str,
        method: &str,
        path: &str,
        key: &str,
        body: Value,
    ) -> Value {
        let (got, answer) = self.call(method, path, key, body).await;
        assert_eq!((got, answer["code"].as_str()), (status, Some(code)), "{method} {path}: {answer}");
        answer
    }

    /// A call that must be answered 400 because of exactly these fields, in this order.
    pub async fn wrong_fields(&self, method: &str, path: &str, key: &str, body: Value, fields: &[&str]) {
        let problem = self.refuse(400, "invalid", method, path, key, body.clone()).await;
        let named: Vec<&str> =
            problem["errors"].as_array().into_iter().flatten().filter_map(|e| e["field"].as_str()).collect();
        assert_eq!(named, fields, "{method} {path} {body}: {problem}");
    }

    /// Onboards a number for a chatbot; the integration.
    pub async fn onboard(&self, key: &str, chatbot: &str, number: &str) -> Value {
        let body = integration(chatbot, number);
        self.expect(201, "post", "/api/v1/whatsapp/integration", key, body).await
    }
}

impl Api {
    /// An event as the webhook stores it; its id.
    pub async fn event(&self, number: &str, raw: &str, state: Option<EventState>) -> i64 {
        let now = self.parts.clock.now_ms();
        let accept = Accept {
            digest: Sha256::digest(format!("{number}{raw}")).into(),
            entry_id: "waba-1".into(),
            field: "messages".into(),
            phone_number_id: Some(number.into()),
            verified_by: "test".into(),
            by_platform: true,
            raw: raw.as_bytes().to_vec(),
            received_at: now,
            lane: None,
            unreadable: None,
        };
        let event_id = self.parts.store.door().write(accept).await.unwrap().expect("a new event");
        let end = state.map_or(End::Done, |state| End::Left(state, "as the test wishes".to_owned(), None));
        let process =
            Process { event_id, appends: Vec::new(), statuses: Vec::new(), told: Vec::new(), end, now };
        self.parts.store.stations().write(process).await.unwrap();
        event_id
    }

    /// A customer's message to a number, as the inbox appends it, handed to its chatbots.
    pub async fn inbound(&self, number: &str, wamid: &str, text: &str, note: Option<&'static str>) {
        self.inbound_of(number, wamid, text, note, |_| {}).await;
    }

    /// The same, changed to the test's wishes.
    pub async fn inbound_of(
        &self,
        number: &str,
        wamid: &str,
        text: &str,
        note: Option<&'static str>,
        change: impl Fn(&mut Inbound),
    ) {
        let event_id = self.event(number, &format!(r#"{{"id":"{wamid}"}}"#), None).await;
        let now = self.parts.clock.now_ms();
        let accounts = self.parts.routing.accounts(number).await.unwrap();
        let mut message = Inbound {
            phone_number_id: number.into(),
            business_account_id: "waba-1".into(),
            wamid: wamid.into(),
            sender: Sender { wa_id: Some(CUSTOMER.into()), name: Some("Ada".into()), ..Sender::default() },
            sent_at: now,
            kind: "text".into(),
            text: text.into(),
            answerable: true,
            voice: switchboard::message::Voice::Customer,
            media: None,
        };
        change(&mut message);
        let append = |account: &Arc<Account>| Append {
            place: account.place.clone(),
            message: message.clone(),
            known: None,
            note,
            control: None,
            event_id,
            now,
        };
        let appends = accounts.iter().map(append).collect();
        let process =
            Process { event_id, appends, statuses: Vec::new(), told: Vec::new(), end: End::Done, now };
        for appended in self.parts.store.stations().write(process).await.unwrap().into_iter().flatten() {
            self.parts.nudge(appended.conversation.id).await;
        }
    }

    /// Asks again until the answer is as wished; the answer.
    pub async fn until(&self, path: &str, key: &str, wished: impl Fn(&Value) -> bool) -> Value {
        let mut answer = Value::Null;
        for _ in 0..500 {
            answer = self.call("get", path, key, Value::Null).await.1;
            if wished(&answer["data"]) {
                return answer["data"].clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{path} never became as wished: {answer}");
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Status and JSON of an answer; failures must be problems.
pub async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned());
    assert!(response.headers().contains_key("x-request-id"), "every answer names its request");
    let answer: Value = response.json().await.unwrap_or_default();
    if status >= 400 {
        assert_eq!(kind.as_deref(), Some("application/problem+json"), "{answer}");
        for key in ["type", "title", "status", "detail", "code", "request_id", "error", "message"] {
            assert!(!answer[key].is_null(), "{key} is missing in {answer}");
        }
        assert_eq!(
            (answer["status"].as_u64(), answer["success"].as_bool()),
            (Some(status.into()), Some(false))
        );
    }
    (status, answer)
}

/// What a caller sends to onboard a number.
pub fn integration(chatbot: &str, number: &str) -> Value {
    json!({
        "chatbotId": chatbot,
        "phoneNumberId": number,
        "accessToken": format!("token-of-{chatbot}-{number}"),
        "verifyToken": format!("verify-{chatbot}-{number}"),
        "businessAccountId": "waba-1",
    })
}
