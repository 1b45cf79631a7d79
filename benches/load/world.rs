//! Everybody outside a server under test, in one process with one thread: customers who write through Meta, the
//! response API, and Meta's Graph API. As cheap as possible, so that the server is what is measured.
//!
//! Every message carries its number; both stand-ins pass it on, so each reply is known to be the first, a second one,
//! or out of its conversation's order.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use memchr::memmem;
use serde::{Deserialize, Serialize};
use switchboard::cli::simulate::http1::Connection;
use switchboard::graph::signature;
use switchboard::sandbox::webhook::{self, Change, Incoming};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::{APP_SECRET, NUMBERS, number};

/// An answer or a reply that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the customers are to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Press {
    /// The servers' addresses; customers are spread over them.
    pub urls: Vec<String>,
    /// For how long, in seconds.
    pub seconds: f64,
    /// Customers who write at the same time, each over a connection of their own.
    pub customers: usize,
    /// Conversations of each of them.
    pub conversations: usize,
    /// Messages to one conversation before the next has its turn.
    pub in_a_row: usize,
    /// 0: a message is done when it is acknowledged. Otherwise when its reply is out; so many may be on their way
    /// for each customer, each posted after the one before was acknowledged.
    pub replies: usize,
    /// Messages a second in all; 0: each as soon as the one before is done.
    pub rate: f64,
    /// Makes the message ids of one run unlike those of others.
    pub run: usize,
    /// Bytes of a body, at least.
    pub size: usize,
    /// How long the response API thinks.
    pub think_ms: u64,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pressed {
    /// Messages done.
    pub done: usize,
    /// From the first message to the last one done.
    pub seconds: f64,
    /// Milliseconds until done.
    pub p50: f64,
    /// Likewise.
    pub p99: f64,
    /// Not acknowledged with 200.
    pub refused: usize,
    /// Acknowledged and never replied to.
    pub lost: usize,
    /// Replies beyond the first of each message.
    pub doubled: usize,
    /// Replies that overtook an earlier one of their conversation.
    pub disordered: usize,
}

/// Replies that are waited for, and what was seen.
#[derive(Default)]
struct Replies {
    open: HashMap<usize, oneshot::Sender<()>>,
    /// The newest message replied to, by customer's phone.
    newest: HashMap<u64, usize>,
    think: Duration,
    doubled: usize,
    disordered: usize,
}

type Shared = Rc<RefCell<Replies>>;

/// Prints the stand-ins' address, then obeys: one line of [`Press`] in, one line of [`Pressed`] out.
pub async fn run() -> std::io::Result<()> {
    let replies = Shared::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    let all = replies.clone();
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(stand_in(stream, all.clone()));
        }
    });
    loop {
        let mut order = String::new();
        let order =
            tokio::task::spawn_blocking(move || std::io::stdin().read_line(&mut order).map(|_| order))
                .await??;
        if order.is_empty() {
            return Ok(());
        }
        let pressed = press(serde_json::from_str(&order)?, &replies).await;
        println!("{}", serde_json::to_string(&pressed)?);
    }
}

/// Both APIs, told apart by path.
async fn stand_in(mut stream: TcpStream, replies: Shared) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut buffer: Vec<u8> = Vec::with_capacity(4096);
    let mut answer = Vec::with_capacity(512);
    loop {
        let (head, whole) = loop {
            if let Some(found) = request(&buffer) {
                break found;
            }
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        };
        let body = &buffer[head..whole];
        let json = if buffer.starts_with(b"POST /response") {
            let think = replies.borrow().think;
            let n = number_after(body, b"Message ", true)?;
            if !think.is_zero() {
                tokio::time::sleep(think).await;
            }
            format!(r#"{{"success":true,"response":"Reply {n} from the chatbot."}}"#)
        } else {
            let n = number_after(body, b"Reply ", false)?;
            replied(&mut replies.borrow_mut(), number_after(body, b"\"to\":\"+", false)? as u64, n);
            format!(r#"{{"messaging_product":"whatsapp","messages":[{{"id":"wamid.R{n}"}}]}}"#)
        };
        answer.clear();
        let _ = write!(
            answer,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{json}",
            json.len()
        );
        stream.write_all(&answer).await.ok()?;
        buffer.drain(..whole);
    }
}

/// Where the head of a request ends, and where its body does, once all of it is there.
fn request(bytes: &[u8]) -> Option<(usize, usize)> {
    let head = memmem::find(bytes, b"\r\n\r\n")? + 4;
    let length = number_after(&bytes[..head], b"content-length: ", false).unwrap_or(0);
    (bytes.len() >= head + length).then_some((head, head + length))
}

/// The number behind a word: behind its last occurrence, or its first.
fn number_after(bytes: &[u8], word: &[u8], last: bool) -> Option<usize> {
    let at = if last { memmem::rfind(bytes, word) } else { memmem::find(bytes, word) }? + word.len();
    let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |n, digit| n * 10 + usize::from(digit - b'0')))
}

fn replied(replies: &mut Replies, to: u64, n: usize) {
    let Some(open) = replies.open.remove(&n) else {
        replies.doubled += 1;
        return;
    };
    let newest = replies.newest.entry(to).or_default();
    if *newest > n {
        replies.disordered += 1;
    }
    *newest = n.max(*newest);
    let _ = open.send(());
}

async fn press(order: Press, replies: &Shared) -> Pressed {
    *replies.borrow_mut() = Replies { think: Duration::from_millis(order.think_ms), ..Replies::default() };
    let began = Instant::now();
    let next = RefCell::new(0);
    let customers = (0..order.customers).map(|c| customer(&order, c, began, &next, replies));
    let mut latencies = Vec::new();
    let (mut refused, mut lost) = (0, 0);
    for (mine, refusals, losses) in join_all(customers).await {
        latencies.extend(mine);
        refused += refusals;
        lost += losses;
    }
    let seconds = began.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let rank = |share: f64| {
        let n = (latencies.len() as f64 * share).ceil() as usize;
        latencies.get(n.saturating_sub(1)).map_or(0.0, |took: &Duration| took.as_secs_f64() * 1e3)
    };
    let replies = replies.borrow();
    let (doubled, disordered) = (replies.doubled, replies.disordered);
    Pressed {
        done: latencies.len(),
        seconds,
        p50: rank(0.5),
        p99: rank(0.99),
        refused,
        lost,
        doubled,
        disordered,
    }
}

/// One customer; how long each message took, how many were refused, how many never replied to.
async fn customer(
    order: &Press,
    me: usize,
    began: Instant,
    next: &RefCell<usize>,
    replies: &Shared,
) -> (Vec<Duration>, usize, usize) {
    let url = url::Url::parse(&order.urls[me % order.urls.len()]).expect("an address");
    let address = SocketAddr::new(
        url.host_str().and_then(|host| host.parse().ok()).expect("an IP address"),
        url.port().expect("a port"),
    );
    let mut line = Connection::new(address, url.authority(), "/webhook");
    let body = Body::new(order);
    let mut on_their_way: VecDeque<(Instant, oneshot::Receiver<()>)> = VecDeque::new();
    let (mut latencies, mut refused, mut lost) = (Vec::new(), 0, 0);
    for turn in 0.. {
        let n = next.replace_with(|n| *n + 1);
        // A message that finds no free customer at its time is late from then on; a timer's own lateness is not.
        let due = if order.rate == 0.0 {
            Instant::now()
        } else {
            began + Duration::from_secs_f64(n as f64 / order.rate)
        };
        if due.duration_since(began).as_secs_f64() >= order.seconds {
            break;
        }
        let mut since = due;
        if let Some(early) = due.checked_duration_since(Instant::now()) {
            tokio::time::sleep(early).await;
            since = Instant::now();
        }
        let person = me + order.customers * (turn / order.in_a_row % order.conversations);
        let text = body.fill(order, person, n);
        let (reply, mut heard) = oneshot::channel();
        if order.replies > 0 {
            replies.borrow_mut().open.insert(n, reply);
        }
        let signature = signature::sign(APP_SECRET.as_bytes(), text.as_bytes());
        match tokio::time::timeout(PATIENCE, line.post(&signature, text.as_bytes())).await {
            Ok(Ok(200)) => {}
            _ => {
                refused += 1;
                replies.borrow_mut().open.remove(&n);
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        }
        if order.replies == 0 {
            latencies.push(since.elapsed());
            continue;
        }
        if heard.try_recv().is_ok() {
            latencies.push(since.elapsed());
            continue;
        }
        on_their_way.push_back((since, heard));
        if on_their_way.len() == order.replies {
            await_reply(&mut on_their_way, &mut latencies, &mut lost).await;
        }
    }
    while !on_their_way.is_empty() {
        await_reply(&mut on_their_way, &mut latencies, &mut lost).await;
    }
    (latencies, refused, lost)
}

async fn await_reply(
    on_their_way: &mut VecDeque<(Instant, oneshot::Receiver<()>)>,
    latencies: &mut Vec<Duration>,
    lost: &mut usize,
) {
    let Some((since, heard)) = on_their_way.pop_front() else { return };
    match tokio::time::timeout(PATIENCE, heard).await {
        Ok(Ok(())) => latencies.push(since.elapsed()),
        _ => *lost += 1,
    }
}

/// Message ids come in no order, and a database feels that.
fn mixed(run: usize, n: usize) -> u64 {
    let mut x = ((run as u64) << 32 | n as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A body taken apart at what changes, so that writing one is copying.
struct Body(Vec<String>);

impl Body {
    fn new(order: &Press) -> Self {
        let piece = |text: &str| {
            let message = Incoming::text("\u{E000}2", text).with_wamid("\u{E000}1").with_name("Ann");
            webhook::body(&[Change::new("\u{E000}0").message(message)])
        };
        let plain = piece("Message \u{E000}3: when will my parcel come?");
        let more = " Thank you!".repeat(order.size.saturating_sub(plain.len()) / 11);
        let body = piece(&format!("Message \u{E000}3: when will my parcel come?{more}"));
        Self(body.split('\u{E000}').map(str::to_owned).collect())
    }

    fn fill(&self, order: &Press, person: usize, n: usize) -> String {
        use std::fmt::Write as _;
        let mut body = String::with_capacity(order.size + 256);
        body.push_str(&self.0[0]);
        for piece in &self.0[1..] {
            let _ = match piece.as_bytes()[0] {
                b'0' => write!(body, "{}", number(person % NUMBERS)),
                b'1' => write!(body, "wamid.HBgL{:016X}{:08X}", mixed(order.run, n), order.run),
                b'2' => write!(body, "{}", 15_550_000_000 + person),
                _ => write!(body, "{n}"),
            };
            body.push_str(&piece[1..]);
        }
        body
    }
}
