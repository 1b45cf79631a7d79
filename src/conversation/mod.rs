//! Station 2: one conversation at a time, always in order; the responder is asked for a whole turn.
//!
//! A conversation with something to answer has an entry in memory and one task. Messages that arrive within the
//! coalescing window, or while the responder is busy, form the next turn together. What this process just committed
//! comes here in memory; the database is read only for what it did not see itself (a restart, another instance).

mod history;
mod turn;

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::news::{News, Newsroom};
use crate::outbox::Outbox;
use crate::responder::Responders;
use crate::routing::{Account, Routing};
use crate::runtime::Clock;
use crate::store::conversations::ConversationRef;
use crate::store::messages::{Appended, Message};
use crate::store::{Store, StoreError};
use history::Memory;

/// Calls under way at once, for one chatbot and for one tenant: beyond that, conversations wait their turn, so that a
/// slow responder takes nobody else's place.
const PER_CHATBOT: usize = 4_096;
const PER_TENANT: usize = 8_192;
/// Typing indicators under way at once; more are left out.
const TYPING: usize = 256;

/// A message that waits for a turn.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Its row.
    pub message_id: i64,
    /// Meta's id, for the read receipt.
    pub wamid: String,
    /// What it says.
    pub text: String,
}

/// The station. Cheap to clone.
#[derive(Clone)]
pub struct Conversations(Arc<Inner>);

struct Inner {
    store: Store,
    routing: Routing,
    responders: Responders,
    outbox: Outbox,
    clock: Clock,
    live: Mutex<HashMap<i64, Live>>,
    memory: Memory,
    permits: Mutex<HashMap<String, Arc<Semaphore>>>,
    typing: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A conversation with work.
struct Live {
    /// As it was last seen: its customer may go to another address.
    conversation: ConversationRef,
    waiting: VecDeque<Waiting>,
    first_at: Instant,
    last_at: Instant,
    /// There may be more in the database than here.
    cold: bool,
}

impl Conversations {
    /// An idle station. Its tasks are counted by `tasks` and take nothing new after `stop`.
    pub fn new(
        store: Store,
        routing: Routing,
        responders: Responders,
        outbox: Outbox,
        clock: Clock,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            memory: Memory::new(store.clone()),
            store,
            routing,
            responders,
            outbox,
            clock,
            live: Mutex::default(),
            permits: Mutex::default(),
            typing: Arc::new(Semaphore::new(TYPING)),
            tasks,
            stop,
        }))
    }

    /// Takes over a message that was just appended to a conversation of ours. `known`: the conversation was ours
    /// before, so memory is complete.
    pub fn hand_on(&self, appended: &Appended, known: bool, waiting: Waiting) {
        let conversation = &appended.conversation;
        if appended.first {
            self.0.memory.begin(conversation.id);
        }
        self.wake(conversation.clone(), Some(waiting), !known && !appended.first);
    }

    /// A message that is stored and not answered still belongs to the history.
    pub fn note(&self, appended: &Appended, text: &str) {
        if appended.first {
            self.0.memory.begin(appended.conversation.id);
        }
        self.0.memory.add(appended.conversation.id, crate::message::Role::User, text);
    }

    /// There is new work of a conversation in the database (a person's message, a retry): whoever owns it gets to it.
    pub async fn nudge(&self, news: &Newsroom, id: i64) -> Result<(), StoreError> {
        match self.0.store.claim_conversation(id).await? {
            Some(owner) if owner != self.0.store.instance() => {
                news.tell(News::Conversations { owner, ids: vec![id] }).await
            }
            _ => {
                self.forget(id);
                self.0.outbox.recover(id);
                self.recover(id).await
            }
        }
    }

    /// Looks in the database for open work of a conversation of ours, unless it is at work already.
    pub async fn recover(&self, id: i64) -> Result<(), StoreError> {
        if self.lock().contains_key(&id) {
            return Ok(());
        }
        if let Some(conversation) = self.0.store.conversation_ref(id).await? {
            self.wake(conversation, None, true);
        }
        Ok(())
    }

    /// Somebody else changed a conversation of ours (a person answered, took over): memory of it is not to be trusted.
    pub fn forget(&self, id: i64) {
        self.0.memory.forget(id);
        if let Some(live) = self.lock().get_mut(&id) {
            live.cold = true;
        }
    }

    /// Some news was lost: any of them may have been changed.
    pub fn forget_all(&self) {
        self.0.memory.forget_all();
        self.lock().values_mut().for_each(|live| live.cold = true);
    }

    /// Conversations at work.
    pub fn busy(&self) -> usize {
        self.lock().len()
    }

    fn wake(&self, conversation: ConversationRef, waiting: Option<Waiting>, cold: bool) {
        let id = conversation.id;
        let now = Instant::now();
        let mut live = self.lock();
        match live.get_mut(&id) {
            Some(live) => {
                if live.waiting.is_empty() {
                    live.first_at = now;
                }
                live.last_at = now;
                live.cold |= cold;
                live.conversation = conversation;
                // It may have been read from the database a moment ago.
                let known = |w: &Waiting| live.waiting.iter().any(|it| it.message_id == w.message_id);
                if let Some(waiting) = waiting.filter(|w| !known(w)) {
                    live.waiting.push_back(waiting);
                }
            }
            None => {
                let waiting = waiting.into_iter().collect();
                live.insert(id, Live { conversation, waiting, first_at: now, last_at: now, cold });
                drop(live);
                let station = self.clone();
                self.0.tasks.spawn(async move {
                    match AssertUnwindSafe(station.run(id)).catch_unwind().await {
                        Ok(Ok(())) => return,
                        // Fenced: another instance has it. Anything else: what is open is looked up again.
                        Ok(Err(error)) => tracing::warn!(conversation = id, %error, "a conversation pauses"),
                        Err(_) => tracing::error!(conversation = id, "a conversation's task panicked"),
                    }
                    station.0.memory.forget(id);
                    station.lock().remove(&id);
                });
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i64, Live>> {
        self.0.live.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Turn after turn until nothing waits.
    async fn run(&self, id: i64) -> Result<(), StoreError> {
        loop {
            let cold = self.lock().get_mut(&id).is_some_and(|live| std::mem::take(&mut live.cold));
            if cold {
                self.load(id).await?;
            }
            let Some(conversation) = self.lock().get(&id).map(|live| live.conversation.clone()) else {
                return Ok(());
            };
            let find = || self.0.routing.account(&conversation.phone_number_id, conversation.account_id);
            let account = self.patiently(find).await?;
            let Some(account) = account.filter(|_| !self.0.stop.is_cancelled()) else {
                self.lock().remove(&id);
                return Ok(());
            };
            self.settle(id, &account).await;
            let _permits = self.permits(&account).await;
            if self.0.stop.is_cancelled() {
                continue;
            }
            let (members, conversation) = {
                let mut live = self.lock();
                let Some(entry) = live.get_mut(&id) else { return Ok(()) };
                let count = if account.chatbot.coalesce.is_zero() { 1 } else { entry.waiting.len() };
                let count = count.min(entry.waiting.len());
                let members: Vec<Waiting> = entry.waiting.drain(..count).collect();
                entry.first_at = Instant::now();
                if members.is_empty() && !entry.cold {
                    // Under the same lock: what arrives from now on starts a new task.
                    live.remove(&id);
                    return Ok(());
                }
                (members, entry.conversation.clone())
            };
            if !members.is_empty() {
                self.take_turn(&conversation, &account, members).await?;
            }
        }
    }

    /// Reads what is open in the database: a turn that was being asked, messages that wait, deliveries.
    async fn load(&self, id: i64) -> Result<(), StoreError> {
        let Some(conversation) = self.patiently(|| self.0.store.conversation_ref(id)).await? else {
            self.lock().remove(&id);
            return Ok(());
        };
        if let Some(live) = self.lock().get_mut(&id) {
            live.conversation = conversation.clone();
        }
        self.0.outbox.recover(id);
        if let Some(turn) = self.patiently(|| self.0.store.open_turn(id)).await? {
            let find = || self.0.routing.account(&conversation.phone_number_id, conversation.account_id);
            if let Some(account) = self.patiently(find).await? {
                self.resume_turn(&conversation, &account, turn).await?;
            }
        }
        let stored = self.patiently(|| self.0.store.pending_messages(id)).await?;
        let mut live = self.lock();
        if let Some(live) = live.get_mut(&id) {
            live.waiting.extend(stored.into_iter().map(waiting));
            live.waiting.make_contiguous().sort_by_key(|w| w.message_id);
            let mut last = 0;
            live.waiting.retain(|w| std::mem::replace(&mut last, w.message_id) != w.message_id);
        }
        Ok(())
    }

    /// Waits until the customer pauses, but not for ever.
    async fn settle(&self, id: i64, account: &Account) {
        let bot = &account.chatbot;
        if bot.coalesce.is_zero() {
            return;
        }
        loop {
            let due = match self.lock().get(&id) {
                Some(live) if !live.waiting.is_empty() => {
                    (live.last_at + bot.coalesce).min(live.first_at + bot.coalesce_max.max(bot.coalesce))
                }
                _ => return,
            };
            if due <= Instant::now() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = self.0.stop.cancelled() => return,
            }
        }
    }

    async fn permits(&self, account: &Account) -> [Option<tokio::sync::OwnedSemaphorePermit>; 2] {
        let place = &account.place;
        let chatbot = self.semaphore(format!("bot:{}", place.chatbot_id), PER_CHATBOT);
        let tenant = self.semaphore(format!("tenant:{}", place.tenant_id), PER_TENANT);
        // Chatbot first: whoever waits for a busy chatbot holds none of the tenant's places.
        [chatbot.acquire_owned().await.ok(), tenant.acquire_owned().await.ok()]
    }

    fn semaphore(&self, key: String, places: usize) -> Arc<Semaphore> {
        let mut permits = self.0.permits.lock().unwrap_or_else(|e| e.into_inner());
        permits.entry(key).or_insert_with(|| Arc::new(Semaphore::new(places))).clone()
    }

    /// See [`Store::patiently`]; the end is when the station's tasks are closed.
    async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        work: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        self.0.store.patiently(|| self.0.tasks.is_closed(), work).await
    }
}

fn waiting(message: Message) -> Waiting {
    Waiting { message_id: message.id, wamid: message.wamid.unwrap_or_default(), text: message.text }
}
