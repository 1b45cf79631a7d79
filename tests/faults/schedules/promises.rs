//! What was done in a schedule, and whether the promises hold after it:
//!
//! 1. what was acknowledged is stored, once;
//! 2. each message has one effect: one turn, one answer, one delivery of it;
//! 3. a conversation is answered in its order;
//! 4. nothing crosses from one tenant to another;
//! 5. everything ends, with a reason where it did not reach its customer.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::AddAssign;

use switchboard::sandbox::graph::Sent;
use switchboard::sandbox::webhook::Incoming;
use switchboard::store::chatbots::FALLBACK_TEXT;

use super::{Desk, Step, Trouble};
use crate::harness::{Db, World, token};
use crate::ledger::{about, person, rows_are_whole};

/// How far Meta says that a message got, in order.
pub(super) const WORDS: [&str; 3] = ["sent", "delivered", "read"];

/// A message, as it was written.
pub(super) struct Written {
    pub desk: Desk,
    pub person: usize,
    pub message: Incoming,
    /// A person has had the thread since before it was written.
    pub silent: bool,
}

/// What was done. Message `n` is the n-th of `written`, and says so.
#[derive(Default)]
pub(super) struct Book {
    pub written: Vec<Written>,
    pub notices: Vec<(Desk, usize)>,
    /// Who is with a person now.
    pub handed: HashSet<(Desk, usize)>,
    /// Who ever was.
    ever: HashSet<(Desk, usize)>,
    /// What Meta said: of which message, how far, and whether by the attempt's own mark too.
    pub told: Vec<(String, usize, bool)>,
    /// Messages that were tried again after they were given up: their answers come out of order.
    late: HashSet<usize>,
    /// Whether anything was done that may leave a doubt, and whether a chatbot misbehaved.
    may_doubt: bool,
    may_die: bool,
}

/// What the schedules came to.
#[derive(Default, Clone, Copy)]
pub(super) struct Totals {
    written: usize,
    answered: usize,
    reasoned: usize,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.written += other.written;
        self.answered += other.answered;
        self.reasoned += other.reasoned;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { written, answered, reasoned } = self;
        write!(f, "{written} messages: {answered} answered once, {reasoned} ended with a reason")
    }
}

impl Book {
    pub(super) fn new(steps: &[Step]) -> Self {
        let doubtful = |step: &Step| match step {
            Step::Graph { trouble, .. } => {
                matches!(trouble, Trouble::ServerError | Trouble::LosesAnswer | Trouble::HangsUp)
            }
            step => matches!(step, Step::Kill { .. } | Step::Bury { .. }),
        };
        let may_doubt = steps.iter().any(doubtful);
        let may_die = steps.iter().any(|step| matches!(step, Step::Chatbot { .. }));
        Self { may_doubt, may_die, ..Self::default() }
    }

    /// Whether this person wrote there.
    pub(super) fn knows(&self, desk: Desk, who: usize) -> bool {
        self.written.iter().any(|w| (w.desk, w.person) == (desk, who))
    }

    /// A person took over, or gave back: who was told of neither may be answered or not.
    pub(super) fn hands(&mut self, desk: Desk, who: usize, over: bool) {
        self.ever.insert((desk, who));
        if over {
            self.handed.insert((desk, who));
        } else if self.handed.remove(&(desk, who)) {
            // What still stood in line is answered now.
            let theirs = self.written.iter_mut().filter(|w| (w.desk, w.person) == (desk, who));
            theirs.for_each(|w| w.silent = false);
        }
    }

    /// Everything that the shop gave up until now is about to be tried again.
    pub(super) async fn retries(&mut self, db: &Db) {
        let tenant = Desk::Shop.tenant();
        let dead = format!("select text from deliveries where status = 'dead' and tenant_id = '{tenant}'");
        self.late.extend(db.texts(&dead).await.iter().filter_map(|text| about(text)));
        let numbers = numbers(db).await;
        let dead = turns(db, &numbers).await.into_iter().filter(|turn| turn.status == "dead");
        self.late.extend(dead.flat_map(|turn| turn.members));
    }
}

struct Turn {
    members: Vec<usize>,
    status: String,
}

/// Row → number of each message.
async fn numbers(db: &Db) -> HashMap<i64, usize> {
    let rows = db.texts("select cast(id as text) || ' ' || text from messages where direction = 'in'").await;
    let split = |row: &String| Some((row.split(' ').next()?.parse().ok()?, about(row)?));
    rows.iter().filter_map(split).collect()
}

async fn turns(db: &Db, numbers: &HashMap<i64, usize>) -> Vec<Turn> {
    let rows = db.texts("select status || ' ' || members from turns").await;
    let read = |row: String| {
        let (status, members) = row.split_once(' ').expect("two columns");
        let members: Vec<i64> = serde_json::from_str(members).expect("a list of ids");
        Turn { members: members.iter().map(|id| numbers[id]).collect(), status: status.to_owned() }
    };
    rows.into_iter().map(read).collect()
}

/// What a schedule came to, or which promise it broke.
pub(super) async fn hold(world: &World, book: &Book) -> Result<Totals, String> {
    let db = &world.db;
    rows_are_whole(db).await;
    let sent = world.graph.sent();

    // 1. Stored, once.
    let mut stored: Vec<usize> = (db.texts("select text from messages where direction = 'in'").await.iter())
        .map(|text| about(text).ok_or_else(|| format!("who wrote {text}?")))
        .collect::<Result<_, _>>()?;
    stored.sort_unstable();
    if stored != (0..book.written.len()).collect::<Vec<_>>() {
        return Err(format!("1: {} were acknowledged, stored are {stored:?}", book.written.len()));
    }

    // 4. From whom to whom.
    for one in &sent {
        stays_in_its_tenant(book, one)?;
    }

    // 2. One effect each.
    let answers = count(sent.iter().filter_map(|sent| about(sent.text())));
    let notices = count(sent.iter().filter_map(|sent| notice(sent.text())));
    if let Some((n, times)) = answers.iter().chain(&notices).find(|(_, times)| **times > 1) {
        return Err(format!("2: {n} was answered or sent {times} times"));
    }
    delivered_once(db, &sent).await?;
    let numbers = numbers(db).await;
    let turns = turns(db, &numbers).await;
    if let Some((n, times)) = count(turns.iter().flat_map(|t| t.members.clone())).iter().find(|t| *t.1 > 1) {
        return Err(format!("2: message {n} is part of {times} turns"));
    }

    // 3. In order.
    let mut latest: HashMap<(Desk, usize), usize> = HashMap::new();
    for n in sent.iter().filter_map(|sent| about(sent.text())).filter(|n| !book.late.contains(n)) {
        let written = &book.written[n];
        if let Some(before) = latest.insert((written.desk, written.person), n).filter(|before| *before > n) {
            return Err(format!("3: message {before} was answered before {n}"));
        }
    }

    // 5. An end, with its reason.
    let ends = ends(db).await;
    let noted = db.texts("select text from messages where direction = 'in' and note is not null").await;
    let noted: HashSet<usize> = noted.iter().filter_map(|text| about(text)).collect();
    let mut totals = Totals { written: book.written.len(), ..Totals::default() };
    for (n, written) in book.written.iter().enumerate() {
        let turn = turns.iter().find(|turn| turn.members.contains(&n));
        let last = turn.and_then(|turn| turn.members.last()).copied();
        let answered = last.is_some_and(|last| answers.contains_key(&last));
        let end = last.and_then(|last| ends.get(&format!("message {last:06}")).map(String::as_str));
        let dropped = noted.contains(&n) || turn.is_some_and(|turn| turn.status == "dropped");
        let person = (written.desk, written.person);
        if written.silent && answered {
            return Err(format!("5: a person has the thread, and message {n} was answered"));
        }
        if (dropped || end == Some("cancelled")) && !book.ever.contains(&person) {
            return Err(format!("5: nobody took over, and message {n} was dropped"));
        }
        let dead = turn.is_some_and(|turn| turn.status == "dead");
        if dead && !book.may_die || end == Some("unknown") && !book.may_doubt {
            return Err(format!("5: message {n} ended as {end:?}, and nothing was wrong"));
        }
        let reasoned = dropped || dead || matches!(end, Some("unknown" | "failed" | "dead" | "cancelled"));
        if !answered && !reasoned {
            return Err(format!("5: message {n} has neither answer nor reason: {end:?}"));
        }
        totals.answered += usize::from(answered);
        totals.reasoned += usize::from(!answered);
    }
    for n in 0..book.notices.len() {
        let end = ends.get(&format!("notice {n:06}"));
        let reasoned =
            end.is_some_and(|end| matches!(end.as_str(), "unknown" | "failed" | "dead" | "cancelled"));
        if !notices.contains_key(&n) && !reasoned {
            return Err(format!("5: notice {n} has neither gone out nor a reason: {end:?}"));
        }
    }
    statuses(db, book).await?;
    Ok(totals)
}

fn count(all: impl Iterator<Item = usize>) -> HashMap<usize, usize> {
    let mut counts = HashMap::new();
    all.for_each(|n| *counts.entry(n).or_default() += 1);
    counts
}

/// The number of something that the platform sent.
fn notice(text: &str) -> Option<usize> {
    text.strip_prefix("notice ")?.parse().ok()
}

fn stays_in_its_tenant(book: &Book, sent: &Sent) -> Result<(), String> {
    let desk = if sent.phone_number_id == Desk::Shop.number() { Desk::Shop } else { Desk::Help };
    let meant = match (about(sent.text()), notice(sent.text())) {
        (Some(n), _) => book.written.get(n).map(|w| (w.desk, w.person)),
        (_, Some(n)) => book.notices.get(n).copied(),
        // A fallback tells nobody's words.
        _ => (0..super::PEOPLE).find(|n| person(*n) == sent.to).map(|who| (desk, who)),
    };
    let known = meant.is_some_and(|(wanted, who)| wanted == desk && sent.to == person(who));
    let fallback = about(sent.text()).or(notice(sent.text())).is_some() || sent.text() == FALLBACK_TEXT;
    if known && fallback && sent.token == token(desk.chatbot()) {
        return Ok(());
    }
    Err(format!("4: {} to {} from {} with {}", sent.text(), sent.to, sent.phone_number_id, sent.token))
}

/// No delivery reached Graph twice, whatever it says.
async fn delivered_once(db: &Db, sent: &[Sent]) -> Result<(), String> {
    let id = match db {
        Db::Sqlite(_) => "lower(hex(id))",
        Db::Postgres(_) => "replace(cast(id as text), '-', '')",
    };
    let rows = db.texts(&format!("select {id} || ' ' || cast(delivery_id as text) from attempts")).await;
    let attempts: HashMap<&str, &str> = rows.iter().filter_map(|row| row.split_once(' ')).collect();
    let mut seen = HashSet::new();
    for one in sent {
        let callback = one.callback.as_deref().unwrap_or_default().replace('-', "");
        let delivery = attempts.get(callback.as_str()).ok_or_else(|| format!("2: no attempt {callback}"))?;
        if !seen.insert(delivery) {
            return Err(format!("2: delivery {delivery} went out twice: {}", one.text()));
        }
    }
    Ok(())
}

/// What became of each answer and notice, by the words it is known by.
async fn ends(db: &Db) -> HashMap<String, String> {
    let rows = db.texts("select status || ' ' || text from deliveries").await;
    let read = |row: &String| {
        let (status, text) = row.split_once(' ')?;
        let name = match about(text) {
            Some(n) => format!("message {n:06}"),
            None => text.to_owned(),
        };
        Some((name, status.to_owned()))
    };
    rows.iter().filter_map(read).collect()
}

/// What Meta told is not forgotten, and never taken back.
async fn statuses(db: &Db, book: &Book) -> Result<(), String> {
    let rows = db.texts("select wamid || ' ' || status from deliveries where wamid is not null").await;
    let now: HashMap<&str, &str> = rows.iter().filter_map(|row| row.split_once(' ')).collect();
    for (wamid, word, by_mark) in &book.told {
        let far = now.get(wamid.as_str()).map(|status| WORDS.iter().position(|word| word == status));
        match far {
            Some(Some(far)) if far >= *word => {}
            // Without the mark nobody knows whose it is, as long as the answer is lost.
            None if !by_mark => {}
            _ => return Err(format!("5: Meta told {}, and it stands as {far:?}", WORDS[*word])),
        }
    }
    Ok(())
}
