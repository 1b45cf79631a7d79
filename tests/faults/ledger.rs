//! What was said to whom, and whether the promises hold: everything acknowledged is stored and ends with an answer or
//! a reason, nothing twice, in order, and nobody's rows with anybody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use switchboard::sandbox::graph::Sent;
use switchboard::sandbox::webhook::{Change, Incoming, Sender, body};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::harness::{Db, SHOP, World};

/// What was written so far, and when. Message `n` says so, and its answer repeats it.
pub struct Ledger {
    people: usize,
    places: Arc<Semaphore>,
    under_way: JoinSet<usize>,
    /// Of each message: when it was first brought, and when it was acknowledged.
    times: Arc<Mutex<HashMap<usize, (Instant, Instant)>>>,
    /// How many messages there are.
    pub written: usize,
}

impl Ledger {
    /// Nothing is written; so many people will write in turn.
    pub fn new(people: usize) -> Self {
        let (under_way, times) = Default::default();
        Self { people, places: Arc::new(Semaphore::new(16)), under_way, times, written: 0 }
    }

    /// Brings the next message as Meta does, again until it is taken, wherever the address leads. Waits only for room:
    /// sixteen are on their way at once.
    pub async fn write(&mut self, meta: &[Sender]) {
        let place = self.places.clone().acquire_owned().await.unwrap();
        let (meta, times, n) = (meta.to_vec(), self.times.clone(), self.written);
        let incoming = Incoming::text(&person(n % self.people), &format!("message {n:06}"));
        let body = body(&[Change::new(SHOP).message(incoming)]);
        self.under_way.spawn(async move {
            let began = Instant::now();
            let refused = bring(&meta, n, body).await;
            times.lock().unwrap().insert(n, (began, Instant::now()));
            drop(place);
            refused
        });
        self.written += 1;
    }

    /// Brings so many, each after the one before was taken.
    pub async fn write_in_line(&mut self, meta: &[Sender], count: usize) {
        for _ in 0..count {
            self.write(meta).await;
            self.all_taken().await;
        }
    }

    /// Waits until all are acknowledged; how many answers were no 200.
    pub async fn all_taken(&mut self) -> usize {
        let mut refused = 0;
        while let Some(one) = self.under_way.join_next().await {
            refused += one.unwrap();
        }
        refused
    }

    /// Waits until each message has its answer, or a delivery that is shown as in doubt; then checks everything. How
    /// many are in doubt.
    pub async fn settled(&self, world: &World, within: Duration) -> usize {
        let end = Instant::now() + within;
        loop {
            let doubtful = doubtful(&world.db).await;
            if world.graph.sent_count() + doubtful.len() >= self.written {
                let answers = answers(world);
                let unanswered = |n: &usize| !answers.contains_key(n) && !doubtful.contains(n);
                if !(0..self.written).any(|n| unanswered(&n)) && at_rest(&world.db).await {
                    break;
                }
            }
            if Instant::now() > end {
                let (sent, asked, open) =
                    (world.graph.sent_count(), world.responder.count(), open(&world.db).await);
                panic!("not in time: {sent} of {} sent, {asked} asked, open: {open:?}", self.written);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // Whatever was still on its way arrives now, if it was there twice.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let answers = answers(world);
        let doubled: Vec<_> = answers.iter().filter(|(_, times)| **times > 1).collect();
        assert!(doubled.is_empty(), "answered more than once: {doubled:?}");
        let strange = |sent: &Sent| about(sent.text()).is_none() && sent.to != person(REFUSED);
        assert!(!world.graph.sent().iter().any(strange), "somebody was told something else");
        self.in_order(world);
        rows_are_whole(&world.db).await;
        doubtful(&world.db).await.len()
    }

    /// Nobody's later message was answered before an earlier one: later means brought after the other was acknowledged.
    fn in_order(&self, world: &World) {
        let times = self.times.lock().unwrap();
        let mut talks: HashMap<String, Vec<usize>> = HashMap::new();
        for sent in world.graph.sent() {
            talks.entry(sent.to.clone()).or_default().extend(about(sent.text()));
        }
        for talk in talks.values() {
            let mut latest: Option<(Instant, usize)> = None;
            for n in talk {
                let (began, acknowledged) = times[n];
                if let Some((after, other)) = latest.filter(|(after, _)| acknowledged < *after) {
                    panic!("message {other} was answered before {n}, {:?} older", after - acknowledged);
                }
                latest = latest.max(Some((began, *n)));
            }
        }
    }
}

/// Whose messages are meant to be refused. They may be stored all the same: then they are answered too.
pub const REFUSED: usize = 9_999;

/// A customer's phone.
pub fn person(n: usize) -> String {
    format!("1555300{n:04}")
}

/// As Meta does: again until it is taken; how often it was not.
pub async fn bring(meta: &[Sender], n: usize, body: String) -> usize {
    for attempt in 0.. {
        let answer = meta[(n + attempt) % meta.len()].send(body.clone()).await;
        if answer.is_ok_and(|answer| answer.status == 200) {
            return attempt;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    unreachable!("there is always another attempt")
}

async fn doubtful(db: &Db) -> Vec<usize> {
    let texts = db.texts("select text from deliveries where status = 'unknown'").await;
    texts.iter().filter_map(|text| about(text)).collect()
}

/// How often each message was answered.
fn answers(world: &World) -> HashMap<usize, usize> {
    let mut answers = HashMap::new();
    for n in world.graph.sent().iter().filter_map(|sent| about(sent.text())) {
        *answers.entry(n).or_default() += 1;
    }
    answers
}

/// The number of the message an answer is about.
pub fn about(text: &str) -> Option<usize> {
    text.split("message ").nth(1)?.get(..6)?.parse().ok()
}

/// Work that is not done. What was put aside with a reason is no work.
const OPEN: &str = "select 'event ' || state from event_states where state = 'received' \
    union all select 'waiting' from pending_messages \
    union all select 'turn ' || status from turns where status = 'asking' \
    union all select 'delivery ' || status from deliveries where status in ('queued', 'sending')";

/// The work that is open.
pub async fn open(db: &Db) -> Vec<String> {
    db.texts(OPEN).await
}

/// Whether none is.
pub async fn at_rest(db: &Db) -> bool {
    open(db).await.is_empty()
}

/// What must never stand in the database: a row of one tenant that hangs on another's, a message or an answer that is
/// there twice, an end without a reason.
pub async fn rows_are_whole(db: &Db) {
    const WRONG: [&str; 10] = [
        "select 'message of another tenant' from messages x join whatsapp_accounts a on a.id = x.whatsapp_account_id \
         where x.tenant_id <> a.tenant_id",
        "select 'conversation of another tenant' from whatsapp_conversations x join whatsapp_accounts a \
         on a.id = x.whatsapp_account_id where x.tenant_id <> a.tenant_id",
        "select 'delivery of another tenant' from deliveries x join whatsapp_accounts a \
         on a.id = x.whatsapp_account_id where x.tenant_id <> a.tenant_id",
        "select 'message in another conversation' from messages x join whatsapp_conversations c \
         on c.id = x.conversation_id where x.whatsapp_account_id <> c.whatsapp_account_id",
        "select 'turn of another tenant' from turns x join whatsapp_conversations c on c.id = x.conversation_id \
         where x.tenant_id <> c.tenant_id",
        "select 'contact of another tenant' from threads x join contacts c on c.id = x.contact_id \
         where x.tenant_id <> c.tenant_id",
        "select 'delivered twice: ' || max(text) from deliveries where turn_id is not null \
         group by turn_id, part having count(*) > 1",
        "select 'two answers to a turn' from messages where turn_id is not null and direction = 'out' \
         group by turn_id having count(*) > 1",
        "select 'put aside without a reason' from event_states where state <> 'received' and reason is null",
        "select 'given up without a reason' from deliveries where status in ('failed', 'dead', 'unknown', 'cancelled') \
         and reason is null",
    ];
    for wrong in WRONG {
        assert_eq!(db.texts(wrong).await, [""; 0]);
    }
}
