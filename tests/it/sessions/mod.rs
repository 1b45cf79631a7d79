//! Numbers linked by QR code, on the sandbox's phones and at a stand-in of a WAHA server.

mod keys;
mod life;
mod line;
#[cfg(feature = "native-stand-in")]
mod native;
mod waha;

use serde_json::{Value, json};

use crate::harness::api::Tenant;
use crate::harness::{Db, Onboard, Service, World};

/// Whom every test writes to.
const CUSTOMER: &str = "15551234567";
/// A pace without any waiting to speak of, and without warming up.
fn quick() -> Value {
    json!({ "minGapSeconds": 1, "maxGapSeconds": 2, "minPauseSeconds": 3, "maxPauseSeconds": 4, "warmUp": false })
}

/// A service whose sessions run on the sandbox's phones.
async fn sandbox(world: &World) -> Service {
    world.start_with(&[("SESSION_ENGINE", "sandbox")]).await
}

/// A session that `phone` is linked to.
async fn linked(world: &World, tenant: &Tenant, name: &str, phone: &str, chatbot: Option<&str>) -> Value {
    tenant.pairing(name, chatbot).await;
    assert!(world.phones.scan_session(name, phone).await, "it shows no code");
    tenant.session(name, "connected").await
}

/// A chatbot that answers at sessions, without an official number to speak of.
async fn chatbot(service: &Service, tenant: &str, id: &str) {
    let number = format!("1{}", id.bytes().map(u64::from).sum::<u64>());
    service.onboard(Onboard { tenant, chatbot: id, number: &number, ..Onboard::default() }).await;
}

/// What was sent to somebody from a session.
fn texts(world: &World, name: &str) -> Vec<String> {
    world.phones.arrived(name).into_iter().map(|message| message.text).collect()
}
