//! What the server answers to each question of a device.

use std::sync::Arc;

use whatsapp_rust::wacore_binary::{Node, SERVER_JID};
use whatsapp_rust::{Jid, NodeBuilder};

use super::person::Person;
use super::{Line, State, bytes, hidden, lock, send, text};

/// Whose number this address is.
pub(super) fn phone_of(jid: &Jid) -> String {
    let user = jid.user.to_string();
    if jid.is_lid() { user.strip_prefix(&hidden("")).unwrap_or_default().to_owned() } else { user }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

impl State {
    /// Does what a stanza asks for. `phone`: whose device it is; none: it shows a code.
    pub async fn answer(self: &Arc<Self>, phone: Option<&str>, line: &Line, node: &Node) {
        match (node.tag.as_ref(), phone) {
            ("iq", None) if node.get_optional_child("pair-device-sign").is_some() => self.linked(line).await,
            ("iq", Some(phone)) if text(node, "type").is_none_or(|kind| kind != "result") => {
                self.iq(phone, line, node).await;
            }
            ("message", Some(phone)) => self.deliver(phone, line, node).await,
            ("receipt", Some(phone)) => self.receipt(phone, line, node),
            ("chatstate", Some(_)) if node.get_optional_child("composing").is_some() => {
                let to = node.attrs.get("to").and_then(|to| to.to_jid()).map(|to| phone_of(&to));
                lock(&self.typed).extend(to);
            }
            _ => {}
        }
    }

    async fn iq(self: &Arc<Self>, phone: &str, line: &Line, node: &Node) {
        let set = text(node, "type").is_some_and(|kind| kind == "set");
        let child = |name: &str| node.get_optional_child(name);
        let mut fails = false;
        let result: Option<Node> = match text(node, "xmlns").as_deref() {
            Some("encrypt") if set => {
                if child("registration").is_some() {
                    self.keep_keys(phone, node);
                }
                None
            }
            Some("encrypt") if child("count").is_some() => {
                let count = lock(&self.linked).get(phone).map_or(0, |linked| linked.one_time.len());
                Some(NodeBuilder::new("count").attr("value", count.to_string()).build())
            }
            Some("encrypt") if child("key").is_some() => Some(self.keys(child("key")).await),
            // The device would compare; there is nothing to compare with.
            Some("encrypt") => {
                fails = true;
                Some(NodeBuilder::new("error").attrs([("code", "503"), ("text", "not-here")]).build())
            }
            Some("usync") => child("usync").map(|usync| self.usync(usync)),
            Some("w:sync:app:state") => {
                let names = child("sync").and_then(|sync| sync.children()).unwrap_or_default();
                let nothing = |wanted: &Node| {
                    let name = text(wanted, "name").unwrap_or_default();
                    NodeBuilder::new("collection").attr("name", name).attr("version", "0").build()
                };
                Some(NodeBuilder::new("sync").children(names.iter().map(nothing)).build())
            }
            Some("privacy") => Some(NodeBuilder::new("privacy").build()),
            Some("blocklist") => Some(NodeBuilder::new("list").build()),
            Some("abt") => Some(NodeBuilder::new("props").build()),
            _ => None,
        };
        let kind = if fails { "error" } else { "result" };
        let attrs = [
            ("from", text(node, "to").unwrap_or_else(|| SERVER_JID.to_owned())),
            ("type", kind.to_owned()),
            ("id", text(node, "id").unwrap_or_default()),
        ];
        send(line, NodeBuilder::new("iq").attrs(attrs).children(result).build());
        if child("active").is_some() {
            self.bring_what_waits(phone, line);
        }
        if child("remove-companion-device").is_some() {
            lock(&self.linked).remove(phone);
        }
        if set && child("registration").is_some() {
            self.share_settings(phone).await;
        }
    }

    /// What others will begin to talk with the device by.
    fn keep_keys(&self, phone: &str, node: &Node) {
        let key = |node: &Node| {
            (number(&bytes(node.get_optional_child("id"))), bytes(node.get_optional_child("value")))
        };
        let mut all = lock(&self.linked);
        let Some(linked) = all.get_mut(phone) else { return };
        linked.registration = number(&bytes(node.get_optional_child("registration")));
        linked.identity = Some(bytes(node.get_optional_child("identity")));
        if let Some(signed) = node.get_optional_child("skey") {
            let (id, value) = key(signed);
            linked.signed = Some((id, value, bytes(signed.get_optional_child("signature"))));
        }
        let list = node.get_optional_child("list").and_then(|list| list.children());
        linked.one_time.extend(list.unwrap_or_default().iter().map(key));
    }

    /// The keys of those the device wants to write to.
    async fn keys(&self, wanted: Option<&Node>) -> Node {
        let mut people = self.people.lock().await;
        let mut users = Vec::new();
        for user in wanted.and_then(|wanted| wanted.children()).unwrap_or_default() {
            let Some(jid) = user.attrs.get("jid").and_then(|jid| jid.to_jid()) else { continue };
            let person = people.entry(phone_of(&jid)).or_insert_with(Person::new);
            let leaf = |name: &'static str, value: Vec<u8>| NodeBuilder::new(name).bytes(value).build();
            let id = |id: u32| leaf("id", id.to_be_bytes()[1..].to_vec());
            let identity = person.identity.public_key.public_key_bytes().to_vec();
            let registration = person.registration.to_be_bytes().to_vec();
            let (signed, signature, one_time) = person.bundle();
            let signed = [
                id(1),
                leaf("value", signed.public_key.public_key_bytes().to_vec()),
                leaf("signature", signature.to_vec()),
            ];
            let mut children = vec![
                leaf("registration", registration),
                leaf("type", vec![5]),
                leaf("identity", identity),
                NodeBuilder::new("skey").children(signed).build(),
            ];
            if let Some((number, value)) = one_time {
                children.push(NodeBuilder::new("key").children([id(number), leaf("value", value)]).build());
            }
            users.push(NodeBuilder::new("user").attr("jid", jid).children(children).build());
        }
        NodeBuilder::new("list").children(users).build()
    }

    /// Who is on WhatsApp, and with which devices: everybody with his phone alone, but for numbers that end in 0000.
    fn usync(&self, usync: &Node) -> Node {
        let asked = usync.get_optional_child("query").and_then(|query| query.children()).unwrap_or_default();
        let users = usync.get_optional_child("list").and_then(|list| list.children()).unwrap_or_default();
        let answer = |user: &Node| {
            let named = user.attrs.get("jid").and_then(|jid| jid.to_jid());
            let typed = user.get_optional_child("contact").and_then(Node::content_as_string);
            let typed = typed.map(|phone| Jid::pn(phone.trim_start_matches('+')));
            let jid = named.or(typed)?;
            let there = !jid.user.ends_with("0000");
            let told = asked.iter().filter_map(|protocol| match protocol.tag.as_ref() {
                "devices" => {
                    let phone = NodeBuilder::new("device").attr("id", "0").build();
                    let list = NodeBuilder::new("device-list").children([phone]).build();
                    Some(NodeBuilder::new("devices").children([list]).build())
                }
                "contact" => {
                    Some(NodeBuilder::new("contact").attr("type", if there { "in" } else { "out" }).build())
                }
                _ => None,
            });
            Some(NodeBuilder::new("user").attr("jid", jid.to_non_ad()).children(told).build())
        };
        let list = NodeBuilder::new("list").children(users.iter().filter_map(answer)).build();
        let attrs = ["sid", "mode", "context"].map(|name| (name, text(usync, name).unwrap_or_default()));
        NodeBuilder::new("usync").attrs(attrs).children([NodeBuilder::new("result").build(), list]).build()
    }
}
