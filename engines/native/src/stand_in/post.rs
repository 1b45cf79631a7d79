//! Messages and receipts between phones and devices.

use std::sync::Arc;

use whatsapp_rust::buffa::MessageField;
use whatsapp_rust::wacore::messages::wrap_device_sent;
use whatsapp_rust::wacore::proto_helpers::{MessageBuilderExt, MessageExt};
use whatsapp_rust::wacore_binary::{Node, SERVER_JID};
use whatsapp_rust::waproto::whatsapp as wa;
use whatsapp_rust::{Jid, NodeBuilder};

use super::answers::phone_of;
use super::person::Person;
use super::{Line, Sent, StandIn, State, bytes, device, hidden, lock, send, text};

fn now() -> String {
    whatsapp_rust::wacore::time::now_secs().to_string()
}

fn fresh_id() -> String {
    format!("3EB0{:018X}", rand::random::<u64>())
}

impl StandIn {
    /// Somebody writes to the number of a linked phone; the message's id. It comes when the device is connected.
    pub async fn write(&self, phone: &str, from: &str, words: &str) -> String {
        let id = fresh_id();
        let attrs = vec![("from", Jid::pn(from).to_string()), ("notify", "Alice".to_owned())];
        self.state.mail(phone, from, &id, attrs, &wa::Message::text(words)).await;
        id
    }

    /// The same from somebody who hides his number from others, though not from us.
    pub async fn write_hidden(&self, phone: &str, from: &str, words: &str) -> String {
        let id = fresh_id();
        let (lid, pn) = (Jid::lid(hidden(from)).to_string(), Jid::pn(from).to_string());
        let attrs = vec![("from", lid), ("sender_pn", pn), ("addressing_mode", "lid".to_owned())];
        self.state.mail(phone, from, &id, attrs, &wa::Message::text(words)).await;
        id
    }

    /// A person writes on the linked phone itself.
    pub async fn write_on_phone(&self, phone: &str, to: &str, words: &str) -> String {
        let (id, to) = (fresh_id(), Jid::pn(to).to_string());
        let message = wrap_device_sent(wa::Message::text(words), to.clone());
        let attrs = vec![("from", Jid::pn(phone).to_string()), ("recipient", to)];
        self.state.mail(phone, phone, &id, attrs, &message).await;
        id
    }
}

impl State {
    /// Encrypts a message of this person's for the device and brings it, at once or when the device comes.
    async fn mail(
        &self,
        phone: &str,
        from: &str,
        id: &str,
        mut attrs: Vec<(&'static str, String)>,
        message: &wa::Message,
    ) {
        let to = device(phone);
        let mut people = self.people.lock().await;
        let person = people.entry(from.to_owned()).or_insert_with(Person::new);
        if !person.knows(&to) {
            let bundle = lock(&self.linked).get_mut(phone).and_then(|linked| linked.bundle());
            let Some(bundle) = bundle else { return };
            person.meet(&to, &bundle).await.expect("the device's keys are good");
        }
        let (kind, sealed) = person.encrypt(&to, message).await.expect("they have met");
        let enc = NodeBuilder::new("enc").attrs([("v", "2"), ("type", kind)]).bytes(sealed).build();
        attrs.extend([("id", id.to_owned()), ("t", now()), ("type", "text".to_owned())]);
        let node = NodeBuilder::new("message").attrs(attrs).children([enc]).build();
        let mut all = lock(&self.linked);
        let Some(linked) = all.get_mut(phone) else { return };
        linked.waiting.push_back((id.to_owned(), node.clone()));
        if let Some(line) = &linked.line {
            send(line, node);
        }
    }

    /// What the device has not said it received comes again, and that this is all.
    pub fn bring_what_waits(&self, phone: &str, line: &Line) {
        let all = lock(&self.linked);
        let Some(linked) = all.get(phone) else { return };
        for (_, node) in &linked.waiting {
            let mut node = node.clone();
            node.attrs.insert("offline", "0");
            send(line, node);
        }
        let offline = NodeBuilder::new("offline").attr("count", linked.waiting.len().to_string()).build();
        send(line, NodeBuilder::new("ib").attr("from", SERVER_JID).children([offline]).build());
    }

    /// The phone gives its new device the key to the account's settings.
    pub async fn share_settings(&self, phone: &str) {
        let key = wa::message::AppStateSyncKey {
            key_id: MessageField::some(wa::message::AppStateSyncKeyId {
                key_id: Some(vec![0, 0, 0, 0, 0, 1]),
            }),
            key_data: MessageField::some(wa::message::AppStateSyncKeyData {
                key_data: Some(vec![7; 32]),
                fingerprint: MessageField::some(wa::message::AppStateSyncKeyFingerprint {
                    raw_id: Some(1),
                    current_index: Some(0),
                    device_indexes: Vec::new(),
                }),
                timestamp: Some(1),
            }),
        };
        let share = wa::message::AppStateSyncKeyShare { keys: vec![key] };
        let protocol = wa::message::ProtocolMessage {
            r#type: Some(wa::message::protocol_message::Type::APP_STATE_SYNC_KEY_SHARE),
            app_state_sync_key_share: MessageField::some(share),
            ..Default::default()
        };
        let message = wa::Message { protocol_message: MessageField::some(protocol), ..Default::default() };
        let attrs = vec![("from", Jid::pn(phone).to_string()), ("category", "peer".to_owned())];
        self.mail(phone, phone, &fresh_id(), attrs, &message).await;
    }

    /// A device sends a message: each of its copies is opened by whom it is for.
    pub async fn deliver(self: &Arc<Self>, phone: &str, line: &Line, node: &Node) {
        let (id, to) = (text(node, "id").unwrap_or_default(), text(node, "to").unwrap_or_default());
        let Ok(chat) = to.parse::<Jid>() else { return };
        let code = lock(&self.refused).get(&phone_of(&chat)).cloned();
        if *lock(&self.mute) {
            return;
        }
        let mut ack =
            vec![("class", "message".to_owned()), ("id", id.clone()), ("from", to.clone()), ("t", now())];
        ack.extend(code.clone().map(|code| ("error", code)));
        send(line, NodeBuilder::new("ack").attrs(ack).build());
        if code.is_some() {
            return;
        }
        let participants = node.get_optional_child("participants").and_then(|all| all.children());
        let mut copies: Vec<(Jid, &Node)> = Vec::new();
        for copy in participants.unwrap_or_default() {
            let to = copy.attrs.get("jid").and_then(|jid| jid.to_jid());
            copies.extend(to.zip(copy.get_optional_child("enc")));
        }
        copies.extend(node.get_optional_child("enc").map(|enc| (chat.clone(), enc)));
        for (whom, enc) in copies {
            let (whom, kind) = (phone_of(&whom), text(enc, "type").unwrap_or_default());
            let mut people = self.people.lock().await;
            let Some(person) = people.get_mut(&whom) else { continue };
            let read = person.decrypt(&device(phone), &kind, &bytes(Some(enc))).await;
            if whom != phone_of(&chat) || whom == phone {
                continue; // a copy for the phone's own other devices
            }
            let words = read.as_ref().and_then(MessageExt::text_content);
            // Whoever gets the same id again shows nothing new.
            let mut sent = lock(&self.sent);
            if let Some(words) = words
                && !sent.iter().any(|known| known.id == id)
            {
                sent.push(Sent { from: phone.to_owned(), to: whom, text: words.to_owned(), id: id.clone() });
            }
            for kind in [None, Some("read")] {
                let attrs = [("id", id.clone()), ("from", to.clone()), ("t", now())];
                let attrs = attrs.into_iter().chain(kind.map(|kind| ("type", kind.to_owned())));
                send(line, NodeBuilder::new("receipt").attrs(attrs).build());
            }
        }
    }

    /// A device says that messages arrived, or that they were read.
    pub fn receipt(&self, phone: &str, line: &Line, node: &Node) {
        let kind = text(node, "type").unwrap_or_default();
        let first = text(node, "id").unwrap_or_default();
        let more = node.get_optional_child("list").and_then(|list| list.children()).unwrap_or_default();
        let ids = [first.clone()].into_iter().chain(more.iter().filter_map(|item| text(item, "id")));
        for id in ids {
            if let Some(linked) = lock(&self.linked).get_mut(phone)
                && kind != "read"
                && kind != "retry"
            {
                linked.waiting.retain(|(waiting, _)| *waiting != id);
            }
            // A device that nobody looks at says so, and that a message arrived all the same.
            let kind = if kind == "inactive" { String::new() } else { kind.clone() };
            lock(&self.receipts).push((id, kind));
        }
        let mut attrs = vec![("class", "receipt".to_owned()), ("id", first), ("t", now())];
        attrs.extend(text(node, "to").map(|to| ("from", to)));
        attrs.extend(Some(kind).filter(|kind| !kind.is_empty()).map(|kind| ("type", kind)));
        send(line, NodeBuilder::new("ack").attrs(attrs).build());
    }
}
