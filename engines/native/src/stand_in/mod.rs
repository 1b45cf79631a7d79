//! A WhatsApp server for tests: it lets phones scan, carries encrypted text both ways, brings again what was not
//! received, refuses, drops and unlinks.
//!
//! Written from what the device asks; nobody's server is copied. Only devices that are told not to look at certificates
//! talk with it.

mod answers;
mod linking;
mod person;
mod post;
mod wire;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use whatsapp_rust::Jid;
use whatsapp_rust::NodeBuilder;
use whatsapp_rust::anyhow::Result;
use whatsapp_rust::wacore::libsignal::protocol::{KeyPair, PreKeyBundle};
use whatsapp_rust::wacore_binary::Node;

use person::Person;

/// A text that a device sent to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The phone it is linked to.
    pub from: String,
    /// Digits of whom it is for.
    pub to: String,
    /// The words.
    pub text: String,
    /// The message's id.
    pub id: String,
}

/// The server, until it is dropped.
pub struct StandIn {
    /// Where it listens: `ws://127.0.0.1:<port>`.
    pub url: String,
    state: Arc<State>,
    task: Mutex<AbortHandle>,
    address: SocketAddr,
}

struct State {
    key: KeyPair,
    /// Devices that show a code, by each of the references in it.
    showing: Mutex<HashMap<String, Line>>,
    /// Linked devices, by phone.
    linked: Mutex<HashMap<String, Linked>>,
    /// Phones, by their numbers. Held while one of them encrypts or decrypts.
    people: tokio::sync::Mutex<HashMap<String, Person>>,
    sent: Mutex<Vec<Sent>>,
    receipts: Mutex<Vec<(String, String)>>,
    typed: Mutex<Vec<String>>,
    /// Messages to this number are refused with this code.
    refused: Mutex<HashMap<String, String>>,
    /// Whether messages are left without an answer.
    mute: Mutex<bool>,
}

/// A way to a connected device.
type Line = UnboundedSender<Out>;

enum Out {
    Stanza(Box<Node>),
    Close,
}

/// What the server knows of a linked device.
#[derive(Default)]
struct Linked {
    line: Option<Line>,
    /// What others begin to talk with it by.
    identity: Option<Vec<u8>>,
    registration: u32,
    signed: Option<(u32, Vec<u8>, Vec<u8>)>,
    one_time: VecDeque<(u32, Vec<u8>)>,
    /// Messages it has not said it received, oldest first.
    waiting: VecDeque<(String, Node)>,
    logins: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The device of a phone. Its number there is always one.
fn device(phone: &str) -> Jid {
    Jid::pn_device(phone, 1)
}

fn hidden(phone: &str) -> String {
    format!("9{phone}")
}

fn text(node: &Node, name: &str) -> Option<String> {
    node.attrs.get(name).map(|value| value.as_str().into_owned())
}

fn bytes(node: Option<&Node>) -> Vec<u8> {
    node.and_then(|node| node.as_node_ref().content_bytes().map(<[u8]>::to_vec)).unwrap_or_default()
}

fn send(line: &Line, node: Node) {
    // A device that has gone hears nothing.
    let _ = line.send(Out::Stanza(Box::new(node)));
}

impl StandIn {
    /// Starts one.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            key: KeyPair::generate(&mut rand::rng()),
            showing: Mutex::default(),
            linked: Mutex::default(),
            people: tokio::sync::Mutex::default(),
            sent: Mutex::default(),
            receipts: Mutex::default(),
            typed: Mutex::default(),
            refused: Mutex::default(),
            mute: Mutex::default(),
        });
        let task = Mutex::new(tokio::spawn(listen(listener, state.clone())).abort_handle());
        Ok(Self { url: format!("ws://{address}"), state, task, address })
    }

    /// Closes its port and every connection, as when the network is gone.
    pub fn vanish(&self) {
        lock(&self.task).abort();
        let mut lines: Vec<Line> = lock(&self.state.showing).drain().map(|(_, line)| line).collect();
        lines.extend(lock(&self.state.linked).values_mut().filter_map(|linked| linked.line.take()));
        for line in lines {
            let _ = line.send(Out::Close);
        }
    }

    /// Listens again, on the same port.
    ///
    /// # Errors
    /// When somebody else took it.
    pub async fn come_back(&self) -> std::io::Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        *lock(&self.task) = tokio::spawn(listen(listener, self.state.clone())).abort_handle();
        Ok(())
    }

    /// The texts that devices sent, oldest first.
    pub fn sent(&self) -> Vec<Sent> {
        lock(&self.state.sent).clone()
    }

    /// The receipts that devices sent: the message's id, and what of it (empty: it arrived; `read`).
    pub fn receipts(&self) -> Vec<(String, String)> {
        lock(&self.state.receipts).clone()
    }

    /// To whom devices showed that they are typing.
    pub fn typed(&self) -> Vec<String> {
        lock(&self.state.typed).clone()
    }

    /// How often the device of this phone logged in.
    pub fn logins(&self, phone: &str) -> usize {
        lock(&self.state.linked).get(phone).map_or(0, |linked| linked.logins)
    }

    /// Whether the phone has a linked device.
    pub fn is_linked(&self, phone: &str) -> bool {
        lock(&self.state.linked).contains_key(phone)
    }

    /// Whether that is connected.
    pub fn is_connected(&self, phone: &str) -> bool {
        lock(&self.state.linked).get(phone).is_some_and(|linked| linked.line.is_some())
    }

    /// From now on messages to this number are refused with this code; none: no longer.
    pub fn refuse(&self, phone: &str, code: Option<&str>) {
        let mut refused = lock(&self.state.refused);
        match code {
            Some(code) => refused.insert(phone.to_owned(), code.to_owned()),
            None => refused.remove(phone),
        };
    }

    /// From now on messages are taken and not answered; or answered again.
    pub fn hush(&self, mute: bool) {
        *lock(&self.state.mute) = mute;
    }

    /// Cuts the connection of this phone's device.
    pub fn drop_line(&self, phone: &str) {
        let line = lock(&self.state.linked).get_mut(phone).and_then(|linked| linked.line.take());
        if let Some(line) = line {
            let _ = line.send(Out::Close);
        }
    }

    /// The phone unlinks its device.
    pub fn unlink(&self, phone: &str) {
        let Some(line) = lock(&self.state.linked).remove(phone).and_then(|linked| linked.line) else {
            return;
        };
        let conflict = NodeBuilder::new("conflict").attr("type", "device_removed").build();
        send(&line, NodeBuilder::new("stream:error").attr("code", "401").children([conflict]).build());
        let _ = line.send(Out::Close);
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.vanish();
    }
}

async fn listen(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        tokio::spawn(async move { serve(stream, &state).await });
    }
}

/// One connection, to its end.
async fn serve(stream: TcpStream, state: &Arc<State>) -> Result<()> {
    let (mut reader, mut writer, payload) = wire::accept(stream, &state.key).await?;
    let (line, mut out) = unbounded_channel();
    let writing = tokio::spawn(async move {
        while let Some(Out::Stanza(node)) = out.recv().await {
            writer.stanza(&node).await?;
        }
        writer.close().await
    });
    let phone = match payload.username {
        Some(username) => Some(username.to_string()),
        None => {
            linking::show(state, &line);
            None
        }
    };
    if let Some(phone) = &phone
        && !state.log_in(phone, &line)
    {
        writing.await??;
        return Ok(());
    }
    while let Ok(node) = reader.stanza().await {
        state.answer(phone.as_deref(), &line, &node).await;
    }
    // Whoever logged in again meanwhile has another line.
    if let Some(phone) = phone
        && let Some(linked) = lock(&state.linked).get_mut(&phone)
        && linked.line.as_ref().is_some_and(|now| now.same_channel(&line))
    {
        linked.line = None;
    }
    writing.abort();
    Ok(())
}

impl Linked {
    /// The next of its keys, for whoever wants to write to it.
    fn bundle(&mut self) -> Option<PreKeyBundle> {
        use whatsapp_rust::wacore::libsignal::protocol::{IdentityKey, PublicKey};
        let key = |bytes: &[u8]| PublicKey::from_djb_public_key_bytes(bytes).ok();
        let (id, signed, signature) = self.signed.clone()?;
        let one_time = self.one_time.pop_front().and_then(|(id, value)| Some((id.into(), key(&value)?)));
        let identity = IdentityKey::new(key(self.identity.as_ref()?)?);
        PreKeyBundle::new(
            self.registration,
            1.into(),
            one_time,
            id.into(),
            key(&signed)?,
            signature,
            identity,
        )
        .ok()
    }
}
