//! How a phone links a device: codes, the scan, the log-in after it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use whatsapp_rust::NodeBuilder;
use whatsapp_rust::buffa::Message as _;
use whatsapp_rust::wacore_binary::SERVER_JID;
use whatsapp_rust::waproto::whatsapp as wa;

use super::person::Person;
use super::{Line, Linked, Out, StandIn, State, device, hidden, lock, send};

/// Codes a device gets to show.
const CODES: usize = 6;
/// What stands before a phone's signature of a device.
const ACCOUNT_SIGNATURE: [u8; 2] = [6, 0];
/// Between a device's thanks for being linked and the end of that connection. A device that is cut off sooner has not yet
/// written down what it is.
const BREATH: Duration = Duration::from_millis(100);

/// Gives a new device its codes.
pub(super) fn show(state: &Arc<State>, line: &Line) {
    let refs: Vec<String> = (0..CODES).map(|_| format!("2@{:032x}", rand::random::<u128>())).collect();
    let mut showing = lock(&state.showing);
    showing.extend(refs.iter().map(|code| (code.clone(), line.clone())));
    let refs = refs.into_iter().map(|code| NodeBuilder::new("ref").bytes(code.into_bytes()).build());
    let codes = NodeBuilder::new("pair-device").children(refs).build();
    let attrs = [("from", SERVER_JID), ("type", "set"), ("id", "codes")];
    send(line, NodeBuilder::new("iq").attrs(attrs).children([codes]).build());
}

impl StandIn {
    /// The phone with this number scans a code. False: no device shows it.
    pub async fn scan(&self, code: &str, phone: &str) -> bool {
        let mut parts = code.split(',');
        let mut part = || parts.next().unwrap_or_default();
        let (reference, _noise, identity, secret) = (part(), part(), part(), part());
        let Some(line) = lock(&self.state.showing).remove(reference) else { return false };
        let [Ok(identity), Ok(secret)] = [identity, secret].map(|text| BASE64_STANDARD.decode(text)) else {
            return false;
        };
        let mut people = self.state.people.lock().await;
        let person = people.entry(phone.to_owned()).or_insert_with(Person::new);
        let details = wa::ADVDeviceIdentity {
            raw_id: Some(1),
            timestamp: Some(1),
            key_index: Some(1),
            ..Default::default()
        };
        let details = details.encode_to_vec();
        let signed = [&ACCOUNT_SIGNATURE[..], &details, &identity].concat();
        let signature = person.identity.private_key.calculate_signature(&signed, &mut rand::rng());
        let account = wa::ADVSignedDeviceIdentity {
            details: Some(details),
            account_signature_key: Some(person.identity.public_key.public_key_bytes().to_vec()),
            account_signature: signature.ok().map(|signature| signature.to_vec()),
            ..Default::default()
        };
        let account = account.encode_to_vec();
        let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(&secret) else { return false };
        mac.update(&account);
        let container = wa::ADVSignedDeviceIdentityHMAC {
            hmac: Some(mac.finalize().into_bytes().to_vec()),
            details: Some(account),
            ..Default::default()
        };
        // What an earlier device of this phone left is gone; the phone keeps its own keys.
        lock(&self.state.linked).insert(phone.to_owned(), Linked::default());
        let children = [
            NodeBuilder::new("device-identity").bytes(container.encode_to_vec()).build(),
            NodeBuilder::new("biz").attr("name", "Shop").build(),
            NodeBuilder::new("platform").attr("name", "android").build(),
            NodeBuilder::new("device")
                .attr("jid", device(phone))
                .attr("lid", whatsapp_rust::Jid::lid_device(hidden(phone), 1))
                .build(),
        ];
        let success = NodeBuilder::new("pair-success").children(children).build();
        let attrs = [("from", SERVER_JID), ("type", "set"), ("id", "linked")];
        send(&line, NodeBuilder::new("iq").attrs(attrs).children([success]).build());
        true
    }
}

impl State {
    /// The device has taken note that it is linked; it is to log in now.
    pub async fn linked(&self, line: &Line) {
        tokio::time::sleep(BREATH).await;
        send(line, NodeBuilder::new("stream:error").attr("code", "515").build());
        let _ = line.send(Out::Close);
    }

    /// A device says whose it is. False: the phone knows no device.
    pub fn log_in(&self, phone: &str, line: &Line) -> bool {
        let mut all = lock(&self.linked);
        let Some(linked) = all.get_mut(phone) else {
            send(line, NodeBuilder::new("failure").attr("reason", "401").build());
            let _ = line.send(Out::Close);
            return false;
        };
        if let Some(other) = linked.line.replace(line.clone()) {
            let conflict = NodeBuilder::new("conflict").attr("type", "replaced").build();
            send(&other, NodeBuilder::new("stream:error").children([conflict]).build());
            let _ = other.send(Out::Close);
        }
        linked.logins += 1;
        let lid = whatsapp_rust::Jid::lid_device(hidden(phone), 1);
        let now = whatsapp_rust::wacore::time::now_secs().to_string();
        send(line, NodeBuilder::new("success").attr("t", now).attr("lid", lid).build());
        true
    }
}
