//! `switchboard demo`: the whole job on one machine, with nothing configured.
//!
//! The service is the real one, on its own database under `data/demo`; Meta's Graph API and the response API are
//! stand-ins on loopback sockets. The two tenants are onboarded through the integration API, as a platform would.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{Failure, say};
use crate::api::trace;
use crate::app::{self, Options};
use crate::auth::api_key::ApiKey;
use crate::auth::password;
use crate::channel::phones::Phones;
use crate::config::{Config, Variables};
use crate::ids::UserId;
use crate::runtime::Clock;
use crate::sandbox::graph::{GraphStandIn, Number, StatusWebhook};
use crate::sandbox::phone::{BusinessNumber, Phone, Station};
use crate::sandbox::response_api::ResponseApiStandIn;
use crate::sandbox::webhook::Sender;
use crate::sandbox::{self, DEMO_APP_SECRET, handset};
use crate::secret::random;
use crate::store::Store;
use crate::store::people::User;
use crate::store::tenants::Audit;
use crate::telemetry::{self, Format};

/// Everything at once on this machine, without configuration: service, stand-ins, two tenants, a phone.
#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// Port to listen on; the next free one is taken when it is in use.
    #[arg(long, env = "PORT", default_value_t = 3000)]
    port: u16,
    /// Folder of the demo's database.
    #[arg(long, default_value = "data/demo")]
    data: PathBuf,
}

/// The two examples: tenant, chatbot, number, WABA, verify token.
const TENANTS: [[&str; 5]; 2] = [
    ["ecommerce", "ecommerce-chatbot-id", "123456789", "100000000000001", "ecommerce-token-123"],
    ["support", "support-chatbot-id", "987654321", "100000000000002", "support-token-456"],
];

/// Who signs in at the demo: one of the platform's people, who sees both tenants.
const DEMO_PERSON: &str = "demo@example.com";

impl Demo {
    pub(super) async fn run(self) -> Result<(), Failure> {
        telemetry::init(Format::Text, Some("warn"), None)?;
        let graph = Arc::new(GraphStandIn::start()?);
        graph.approve("hello_world", "en_US", 0);
        graph.approve("order_ready", "en", 2);
        let responder = ResponseApiStandIn::start()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port))
            .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let url = format!("http://{}", listener.local_addr()?);
        let key = ApiKey::generate();
        let config = self.settings(&url, &graph, &responder, key.reveal().expose_secret())?;

        let webhook = format!("{url}/webhook");
        let known: Arc<std::sync::OnceLock<Store>> = Arc::default();
        let phone = phone(graph.clone(), Sender::new(&webhook, DEMO_APP_SECRET)?, known.clone());
        let phones = Phones::default();
        let owners = phones.clone();
        let more = move |pages: &mut actix_web::web::ServiceConfig| {
            handset::configure(owners.clone())(pages);
            phone.clone().configure()(pages);
        };
        let options = Options { more: Some(Arc::new(more)), phones, ..Options::default() };
        let running = app::start(&config, listener, options).await?;
        let _ = known.set(running.store.clone());
        let password = sign_in(&running.store).await?;
        onboard(&url, key.reveal().expose_secret(), &graph).await?;
        graph.set_status_webhook(Some(StatusWebhook::new(&webhook, DEMO_APP_SECRET)?));

        say("Switchboard is running, with two chatbots behind one webhook.\n");
        say(format!("  Open  {url}/sandbox  and write to a chatbot as a customer would.\n"));
        say(format!("  The dashboard:  {url}/login  as  {DEMO_PERSON}  with  {password}"));
        say(format!("  or filled in:   {url}/login#{DEMO_PERSON}:{password}\n"));
        say(format!("  Link a number by QR code there, and scan it at  {url}/sandbox/handset\n"));
        say("  The same from a terminal:");
        say(format!("    switchboard simulate message --url {url} --phone-number-id 123456789 --text Hello"));
        say("  And what the API knows of it:");
        say(format!("    curl -H 'Authorization: Bearer {}' \\", key.reveal().expose_secret()));
        say(format!("         -H 'Switchboard-Tenant: ecommerce' {url}/api/v1/conversations\n"));
        say("  Ctrl-C ends it.");
        Ok(running.until_stopped().await?)
    }

    /// The demo's settings: nobody else's, whatever the environment says.
    fn settings(
        &self,
        url: &str,
        graph: &GraphStandIn,
        responder: &ResponseApiStandIn,
        key: &str,
    ) -> Result<Config, Failure> {
        let variables: Variables = [
            ("DATABASE_URL", format!("sqlite://{}/switchboard.db?mode=rwc", self.data.display())),
            ("PUBLIC_URL", url.to_owned()),
            ("FACEBOOK_APP_SECRET", DEMO_APP_SECRET.to_owned()),
            ("GRAPH_API_BASE_URL", graph.base_url.clone()),
            ("RESPONSE_API_BASE_URL", responder.base_url.clone()),
            ("SWITCHBOARD_ADMIN_API_KEY", key.to_owned()),
            ("SESSION_ENGINE", "sandbox".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        Ok(Config::load(&variables)?)
    }
}

/// Makes the person who may sign in at the demo, with a new password each time; the password.
async fn sign_in(store: &Store) -> Result<String, Failure> {
    let now = Clock::system().now_ms();
    let password = hex::encode(random::<6>());
    let user = User {
        id: UserId::new(now).0,
        tenant_id: None,
        email: DEMO_PERSON.to_owned(),
        name: "Demo".to_owned(),
        role: "owner".to_owned(),
        password_hash: Some(password::hash(&password.clone().into())?),
        link_expires_at: None,
        created_at: now,
    };
    let line = Audit { actor: "demo", action: "user.save", target: DEMO_PERSON, now, ..Audit::default() };
    store.upsert_user(&user, &line).await?;
    Ok(password)
}

/// Makes the two tenants, unless an earlier run did.
async fn onboard(url: &str, key: &str, graph: &GraphStandIn) -> Result<(), Failure> {
    let http = sandbox::http_client()?;
    for [tenant, chatbot, number, business, verify_token] in TENANTS {
        let token = format!("demo-access-token-of-{tenant}");
        graph.register(Number::new(number).waba(business).token(&token));
        let post = |path: &str, body: Value| {
            let call = http.post(format!("{url}/api/v1/{path}")).bearer_auth(key).json(&body);
            call.header("Switchboard-Tenant", if path == "tenants" { "default" } else { tenant }).send()
        };
        let made = post("tenants", json!({ "id": tenant, "name": tenant })).await?;
        accept(tenant, made).await?;
        let integration = json!({
            "chatbotId": chatbot, "phoneNumberId": number, "accessToken": token, "verifyToken": verify_token,
            "businessAccountId": business, "webhookUrl": format!("{url}/webhook"),
        });
        if let Some(made) = accept(tenant, post("whatsapp/integration", integration).await?).await? {
            let id = made["data"]["id"].as_str().unwrap_or_default();
            accept(tenant, post(&format!("whatsapp/integration/{id}/subscribe"), json!({})).await?).await?;
        }
    }
    Ok(())
}

/// What was made; `None` when it is there from an earlier run.
async fn accept(tenant: &str, answer: reqwest::Response) -> Result<Option<Value>, Failure> {
    let status = answer.status();
    if status == 409 {
        return Ok(None);
    }
    let text = answer.text().await?;
    if !status.is_success() {
        return Err(format!("onboarding {tenant}: {status} {text}").into());
    }
    Ok(Some(serde_json::from_str(&text)?))
}

/// The customer's phone, and its view of the message's way.
fn phone(graph: Arc<GraphStandIn>, sender: Sender, store: Arc<std::sync::OnceLock<Store>>) -> Arc<Phone> {
    let numbers = || {
        let label = |[_, chatbot, number, ..]: [&str; 5]| BusinessNumber {
            phone_number_id: number.into(),
            label: chatbot.into(),
        };
        async move { TENANTS.map(label).to_vec() }.boxed()
    };
    let trace = move |wamid: String| {
        let store = store.get().cloned();
        async move {
            let Some(store) = store else { return Vec::new() };
            let traces = trace::trace(&store, None, &wamid).await.unwrap_or_default();
            let stations = traces.into_iter().flat_map(|t| t.stations);
            stations.map(|s| Station { name: s.name.into(), at_ms: s.at.0, detail: s.detail }).collect()
        }
        .boxed()
    };
    Arc::new(Phone::new(graph, sender, Arc::new(numbers), Arc::new(trace)))
}
