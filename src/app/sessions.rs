//! Numbers linked by QR code: their engines, and the door for what they hear.

use std::sync::Arc;
use std::time::Duration;

use super::{Options, StartError, url};
use crate::channel::waha::Waha;
use crate::channel::{self, Sessions};
use crate::config::{Config, SessionEngine};
use crate::news::Newsroom;
use crate::routing::Routing;
use crate::runtime;
use crate::secret::Ring;
use crate::store::Store;
use crate::webhook::Door;
use crate::webhook::waha::WahaDoor;

/// Numbers linked by QR code, and what runs them.
pub(super) fn open(
    config: &Config,
    store: &Store,
    ring: &Ring,
    routing: &Routing,
    news: &Newsroom,
    options: &Options,
) -> Result<Sessions, StartError> {
    let wanted = &config.sessions;
    #[cfg(not(feature = "native"))]
    if wanted.session_engine == SessionEngine::Native {
        return Err(StartError::Setting(format!("SESSION_ENGINE: {}", channel::NO_NATIVE)));
    }
    let root = url("WAHA_API_URL", &wanted.waha_api_url)?;
    let callback = wanted.waha_webhook_url.clone().unwrap_or_else(|| config.public_url());
    let http = runtime::http_client(Duration::from_secs(40)).build()?;
    let engines = channel::Engines {
        waha: Waha::new(root, wanted.waha_api_key.clone(), callback, http),
        phones: (wanted.session_engine == SessionEngine::Sandbox).then(|| options.phones.clone()),
        #[cfg(feature = "native")]
        native: (wanted.session_engine == SessionEngine::Native).then(|| {
            let keys = Arc::new(store.clone());
            channel::native::Native::new(store.clone(), ring.clone(), keys, options.native.clone())
        }),
    };
    Ok(Sessions::new(channel::Parts {
        store: store.clone(),
        ring: ring.clone(),
        routing: routing.clone(),
        news: news.clone(),
        clock: options.clock.clone(),
        engines,
    }))
}

/// Where they bring what they hear, and where a WAHA server does.
pub(super) fn door(config: &Config, sessions: &Sessions, door: &Door) -> WahaDoor {
    let keeper = door.clone();
    sessions.pour_into(Arc::new(move |changes| {
        let door = keeper.clone();
        Box::pin(async move { door.take_from_session(changes).await })
    }));
    WahaDoor {
        door: door.clone(),
        sessions: sessions.clone(),
        hmac_key: config.sessions.waha_webhook_hmac_key.clone(),
        allow_unsigned: config.meta.allow_unsigned_webhooks,
        allow_keyless: !config.is_production(),
    }
}
