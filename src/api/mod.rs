//! The integration API: the table of its routes, and the parts its handlers work with.

mod alerts;
mod analytics;
pub mod answer;
mod api_keys;
mod audit;
mod body;
mod bulk;
mod chatbots;
pub mod components;
mod contacts;
mod conversations;
mod dead_letters;
mod cookie;
mod credential;
mod deliveries;
mod docs;
mod document;
mod event_deliveries;
mod event_endpoints;
mod events;
pub mod guard;
pub mod headers;
mod idempotency;
mod integration;
pub mod live;
mod overview;
mod media;
mod outgoing;
pub mod problem;
mod responder;
mod send;
pub mod setup;
mod sign_in;
mod supabase;
mod sessions;
mod system;
mod tenants;
pub mod trace;
mod users;
mod try_out;

use std::sync::{Arc, PoisonError, RwLock};

use actix_web::middleware::from_fn;
use actix_web::web;
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

use crate::auth::supabase::Supabase;
use crate::channel::Sessions;
use crate::conversation::Conversations;
use crate::news::{News, Newsroom};
use crate::onboarding::Onboarding;
use crate::responder::Responders;
use crate::routing::Routing;
use crate::runtime::Clock;
use crate::secret::Ring;
use crate::store::{Store, StoreError};

pub use document::document;
pub use live::Live;
pub use sign_in::People;

/// What the handlers work with; handed to the server as `web::Data`. Cheap to clone.
#[derive(Clone)]
#[allow(missing_docs)] // their types say what they are
pub struct Parts {
    pub store: Store,
    pub ring: Ring,
    pub routing: Routing,
    pub news: Newsroom,
    pub live: Live,
    pub stations: Stations,
    pub onboarding: Onboarding,
    pub sessions: Sessions,
    /// The address the world reaches us under.
    pub public_url: String,
    /// The session that is meant where none is named, if not the tenant's default.
    pub client_id: Option<String>,
    /// Where keys lie in development.
    pub session_path: std::path::PathBuf,
    pub clock: Clock,
    pub people: People,
    /// A project whose people may call with its tokens.
    pub supabase: Option<Supabase>,
    pub responders: Responders,
    /// The bootstrap key that opens every tenant.
    pub admin_key: Option<SecretString>,
    /// Outside production `/metrics` is open.
    pub production: bool,
    /// Whether responders may live in private networks.
    pub allow_private_responders: bool,
    pub metrics: PrometheusHandle,
    /// Opens `/metrics` and nothing else.
    pub metrics_token: Option<SecretString>,
    /// Once cancelled, `/ready` sends new callers elsewhere.
    pub draining: CancellationToken,
    /// Unix milliseconds.
    pub started_at: i64,
}

/// The conversation station as it is now: replaced when an instance lost its lease and began anew; none meanwhile.
#[derive(Clone, Default)]
pub struct Stations(Arc<RwLock<Option<Conversations>>>);

impl Stations {
    /// These from now on; `None`: none until further notice.
    pub fn set(&self, conversations: Option<Conversations>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = conversations;
    }

    /// Those that run now.
    pub fn get(&self) -> Option<Conversations> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Parts {
    /// There is new work of a conversation in the database: see [`Conversations::nudge`]. Never fails: work that
    /// nobody was told of is found by those who look for it.
    pub async fn nudge(&self, id: i64) {
        let told = match self.stations.get() {
            Some(conversations) => conversations.nudge(&self.news, id).await,
            None => self.tell_owner(id).await,
        };
        if let Err(error) = told {
            tracing::warn!(conversation = id, %error, "new work will be noticed later");
        }
    }

    /// Where nobody works: the conversation's owner has an older memory of it than the database.
    async fn tell_owner(&self, id: i64) -> Result<(), StoreError> {
        let owner = self.store.claim_conversation(id).await?;
        let news = owner.map_or(News::Work, |owner| News::Conversations { owner, ids: vec![id] });
        self.news.tell(news).await
    }
}

macro_rules! routes {
    ($($path:literal { $($method:ident $($handler:ident)::+),+ $(,)? })*) => {
        /// Every route: method and path. A path's pattern stands behind a colon.
        pub const ROUTES: &[(&str, &str)] = &[$($((stringify!($method), $path)),+),*];

        /// Serves them all, and problems for everything else below `/api`. Whoever serves other addresses there must
        /// be configured before.
        pub fn configure(config: &mut web::ServiceConfig) {
            $(config.service(
                web::resource($path)
                    $(.route(web::$method().to($($handler)::+)))+
                    .default_service(web::to(problem::wrong_method))
                    .app_data(web::PayloadConfig::new(body::MAX_BODY))
                    .app_data(web::QueryConfig::default().error_handler(problem::unreadable_query))
                    .wrap(from_fn(idempotency::once))
                    .wrap(from_fn(problem::identified))
                    .wrap(from_fn(components::cors::for_sites)),
            );)*
            docs::configure(config);
            config.service(
                web::scope("/api")
                    .default_service(web::to(problem::unknown_path))
                    .wrap(from_fn(problem::identified)),
            );
        }

        #[derive(OpenApi)]
        #[openapi(
            info(
                title = "Switchboard",
                description = "Many chatbots behind one WhatsApp webhook: tenants, numbers, chatbots, conversations. \
                    Every failure is an `application/problem+json`; every secret is write-only.",
            ),
            paths($($($($handler)::+,)+)*),
            components(schemas(problem::Problem, crate::message::DeliveryStatus)),
            security(("apiKey" = []), ("signIn" = [])),
        )]
        struct Document;
    };
}

routes! {
    "/api/v1/sign-in" { post sign_in::sign_in }
    "/api/v1/sign-out" { post sign_in::sign_out }
    "/api/v1/me" { get sign_in::me }
    "/api/v1/me/password" { post sign_in::change_password }
    "/api/v1/setup" { get setup::state, post setup::set_up }
    "/api/v1/invitation" { post setup::accept }
    "/api/v1/users" { get users::list, post users::invite }
    "/api/v1/users/{id}" { get users::one, patch users::change, delete users::remove }
    "/api/v1/users/{id}/link" { post users::link }
    "/api/v1/tenants" { get tenants::list, post tenants::create }
    "/api/v1/tenants/{id}" { get tenants::one, patch tenants::change }
    "/api/v1/api-keys" { get api_keys::list, post api_keys::create }
    "/api/v1/api-keys/{id}" { delete api_keys::revoke }
    "/api/v1/audit" { get audit::list }
    "/api/v1/chatbots" { get chatbots::list, post chatbots::create }
    "/api/v1/chatbots/{id}" { get chatbots::one, patch chatbots::change, delete chatbots::remove }
    "/api/v1/chatbots/{id}/test" { post try_out::try_out }
    "/api/v1/whatsapp/integration" {
        get integration::get,
        post integration::create::create,
        patch integration::change::change,
        delete integration::remove::remove,
    }
    "/api/v1/whatsapp/integration/{id}" {
        get integration::get_one,
        patch integration::change::change_one,
        delete integration::remove::remove_one,
    }
    "/api/v1/whatsapp/integration/{id}/events" { get integration::events::events }
    "/api/v1/whatsapp/integration/{id}/check" { post integration::check }
    "/api/v1/whatsapp/integration/{id}/subscribe" { post integration::subscribe }
    "/api/v1/whatsapp/integration/{id}/register" { post integration::signup::register }
    "/api/v1/whatsapp/integrations" { get integration::list::list }
    "/api/v1/whatsapp/signup" { post integration::signup::sign_up }
    "/api/v1/whatsapp/send" { post send::send }
    "/api/v1/conversations" { get conversations::list }
    "/api/v1/conversations/{id}" { get conversations::one }
    "/api/v1/conversations/{id}/messages" { get conversations::messages, post conversations::reply }
    "/api/v1/conversations/{id}/hand-over" { post conversations::hand_over }
    "/api/v1/conversations/{id}/hand-back" { post conversations::hand_back }
    "/api/v1/contacts" { get contacts::list }
    "/api/v1/contacts/{id}" { get contacts::one, delete contacts::erase }
    "/api/v1/contacts/{id}/timeline" { get contacts::timeline }
    "/api/v1/contacts/{id}/export" { get contacts::export }
    "/api/v1/contacts/{id}/opt-out" { post contacts::opt_out }
    "/api/v1/contacts/{id}/opt-in" { post contacts::opt_in }
    "/api/v1/deliveries" { get deliveries::list }
    "/api/v1/deliveries/{id}" { get deliveries::one, delete deliveries::cancel }
    "/api/v1/deliveries/{id}/retry" { post deliveries::retry }
    "/api/v1/media" { post media::upload }
    "/api/v1/media/{id}" { get media::one }
    "/api/v1/events" { get events::list }
    "/api/v1/events/replay" { post events::replay_many }
    "/api/v1/events/{id}" { get events::one }
    "/api/v1/events/{id}/replay" { post events::replay }
    "/api/v1/dead-letters" { get dead_letters::list }
    "/api/v1/dead-letters/retry" { post dead_letters::retry }
    "/api/v1/overview" { get overview::get }
    "/api/v1/trace/{wamid:.+}" { get trace::one }
    "/api/v1/event-endpoints" { get event_endpoints::list, post event_endpoints::create }
    "/api/v1/event-endpoints/{id}" {
        get event_endpoints::one,
        patch event_endpoints::change,
        delete event_endpoints::remove,
    }
    "/api/v1/event-endpoints/{id}/rotate-secret" { post event_endpoints::rotate }
    "/api/v1/event-deliveries" { get event_deliveries::list }
    "/api/v1/event-deliveries/{id}" { get event_deliveries::one }
    "/api/v1/event-deliveries/{id}/retry" { post event_deliveries::retry }
    "/api/v1/live" { get live::live }
    "/api/v1/alerts" { get alerts::list }
    "/api/v1/analytics" { get analytics::chatbots }
    "/api/v1/analytics/per-day" { get analytics::per_day }
    "/api/v1/sessions" { get sessions::list, post sessions::create }
    "/api/v1/sessions/{name}" { get sessions::one, patch sessions::change::change, delete sessions::remove }
    "/api/v1/sessions/{name}/qr" { get sessions::qr::qr }
    "/api/v1/sessions/{name}/pairing-code" { post sessions::qr::pairing_code }
    "/api/v1/sessions/{name}/start" { post sessions::start }
    "/api/v1/sessions/{name}/stop" { post sessions::stop }
    "/api/v1/sessions/{name}/restart" { post sessions::restart }
    "/api/v1/sessions/{name}/logout" { post sessions::logout }
    "/api/v1/sessions/{name}/messages" { post sessions::messages::send }
    "/api/v1/sessions/{name}/events" { get sessions::events::events }
    "/api/v1/component-tokens" { post components::create }
    "/api/v1/components/{site}/session" { get components::connect::session }
    "/api/v1/components/{site}/session/connect" { post components::connect::connect }
    "/api/v1/components/{site}/session/disconnect" { post components::connect::disconnect }
    "/api/v1/components/{site}/session/pairing-code" { post components::connect::pairing_code }
    "/api/v1/components/{site}/recipient" { get components::send::recipient }
    "/api/v1/components/{site}/messages" { post components::send::write }
    "/api/v1/components/{site}/messages/{id}" { get components::send::fate }
    "/api/v1/session-qr/{token}" { get sessions::qr::by_link }
    "/api/tenants/{tenant_id}/whatsapp/connect" { post sessions::tenant::connect }
    "/api/tenants/{tenant_id}/whatsapp/status" { get sessions::tenant::status }
    "/api/tenants/{tenant_id}/whatsapp/disconnect" { post sessions::tenant::disconnect }
    "/api/whatsapp/status" { get sessions::single::status }
    "/api/whatsapp/qr" { get sessions::single::qr }
    "/api/whatsapp/session-info" { get sessions::single::info }
    "/api/whatsapp/sessions" { get sessions::upkeep::sessions }
    "/api/whatsapp/connect" { post sessions::single::connect }
    "/api/whatsapp/disconnect" { post sessions::single::disconnect }
    "/api/whatsapp/send" { post sessions::messages::send_single }
    "/api/whatsapp/reconnect" { post sessions::single::reconnect }
    "/api/whatsapp/cleanup-sessions" { post sessions::upkeep::clean_files }
    "/api/whatsapp/cleanup-old-sessions" { post sessions::upkeep::clean_old }
    "/api/{tenant_id}/whatsapp/connect" { post sessions::tenant::connect_short }
    "/openapi.json" { get system::openapi }
    "/health" { get system::health }
    "/ready" { get system::ready }
    "/metrics" { get system::metrics }
}
