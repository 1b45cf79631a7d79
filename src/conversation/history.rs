//! What was said, as a responder is told it.
//!
//! History follows turns, not the clock: what a customer wrote while an answer was on its way stands after that
//! answer. Fallback texts are left out. The tail of live conversations is kept in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use moka::sync::Cache;

use crate::message::{Entry, Role};
use crate::store::conversations::ConversationRef;
use crate::store::messages::Message;
use crate::store::turns::Turn;
use crate::store::{Store, StoreError};

/// Conversations remembered, how long after their last turn, and how many entries of each.
const CONVERSATIONS: u64 = 50_000;
const IDLE: Duration = Duration::from_secs(900);
/// No chatbot may ask for a longer history.
pub const LONGEST: usize = 100;

/// The tails of conversations.
pub(super) struct Memory {
    store: Store,
    tails: Cache<i64, Arc<Mutex<VecDeque<Entry>>>>,
}

impl Memory {
    pub fn new(store: Store) -> Self {
        Self { store, tails: Cache::builder().max_capacity(CONVERSATIONS).time_to_idle(IDLE).build() }
    }

    /// A conversation that starts now has nothing to be read.
    pub fn begin(&self, id: i64) {
        self.tails.insert(id, Arc::default());
    }

    pub fn forget(&self, id: i64) {
        self.tails.invalidate(&id);
    }

    pub fn forget_all(&self) {
        self.tails.invalidate_all();
    }

    /// Adds an entry, if the conversation is remembered; otherwise it is read with the rest when needed.
    pub fn add(&self, id: i64, role: Role, content: &str) {
        if let Some(tail) = self.tails.get(&id) {
            let mut tail = tail.lock().unwrap_or_else(|e| e.into_inner());
            tail.push_back(Entry { role, content: content.to_owned() });
            if tail.len() > LONGEST {
                tail.pop_front();
            }
        }
    }

    /// The last `limit` entries, oldest first. `except`: members of the turn at hand, which are not history yet.
    pub async fn last(
        &self,
        conversation: &ConversationRef,
        limit: usize,
        except: &[i64],
    ) -> Result<Vec<Entry>, StoreError> {
        let tail = self.tail(conversation, except).await?;
        let tail = tail.lock().unwrap_or_else(|e| e.into_inner());
        Ok(tail.iter().skip(tail.len().saturating_sub(limit)).cloned().collect())
    }

    async fn tail(
        &self,
        conversation: &ConversationRef,
        except: &[i64],
    ) -> Result<Arc<Mutex<VecDeque<Entry>>>, StoreError> {
        if let Some(tail) = self.tails.get(&conversation.id) {
            return Ok(tail);
        }
        let messages = self.store.last_messages(conversation.id, 2 * LONGEST as u64).await?;
        let turns = self.store.last_turns(conversation.id, LONGEST as u64).await?;
        let mut entries: VecDeque<Entry> = in_turns(&messages, &turns, except).into();
        entries.drain(..entries.len().saturating_sub(LONGEST));
        let tail = Arc::new(Mutex::new(entries));
        self.tails.insert(conversation.id, tail.clone());
        Ok(tail)
    }
}

/// Puts messages (by id) into the order of their turns.
fn in_turns(messages: &[Message], turns: &[Turn], except: &[i64]) -> Vec<Entry> {
    // A turn stands where its last member stands.
    let mut anchor_of_member: HashMap<i64, i64> = HashMap::new();
    let mut anchor_of_turn = HashMap::new();
    for turn in turns {
        let members = turn.member_ids();
        let anchor = members.iter().max().copied().unwrap_or(0);
        anchor_of_turn.insert(turn.id, anchor);
        anchor_of_member.extend(members.into_iter().map(|member| (member, anchor)));
    }
    let mut placed: Vec<((i64, u8, i64), Entry)> = Vec::with_capacity(messages.len());
    for message in messages.iter().filter(|m| m.author != "fallback" && !except.contains(&m.id)) {
        let (role, place) = if message.direction == "in" {
            (Role::User, (anchor_of_member.get(&message.id).copied().unwrap_or(message.id), 0, message.id))
        } else {
            let anchor = message.turn_id.and_then(|turn| anchor_of_turn.get(&turn).copied());
            (Role::Assistant, (anchor.unwrap_or(message.id), 1, message.id))
        };
        placed.push((place, Entry { role, content: message.text.clone() }));
    }
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, entry)| entry).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn message(id: i64, author: &str, turn_id: Option<Uuid>) -> Message {
        Message {
            id,
            conversation_id: 1,
            direction: if author == "contact" { "in" } else { "out" }.into(),
            author: author.into(),
            wamid: None,
            kind: "text".into(),
            text: format!("{author} {id}"),
            note: None,
            turn_id,
            event_id: None,
            sent_at: 0,
            created_at: 0,
        }
    }

    fn turn(id: Uuid, members: &[i64]) -> Turn {
        Turn {
            id,
            conversation_id: 1,
            chatbot_id: "b".into(),
            members: serde_json::to_string(members).unwrap(),
            status: "answered".into(),
            attempts: 1,
            reason: None,
            created_at: 0,
            closed_at: None,
        }
    }

    /// 1 is asked; 2 and 3 arrive before its answer 4; a fallback and a person's words follow.
    #[test]
    fn what_arrives_while_an_answer_is_on_its_way_stands_after_it() {
        let (a, b) = (Uuid::now_v7(), Uuid::now_v7());
        let messages = [
            message(1, "contact", None),
            message(2, "contact", None),
            message(3, "contact", None),
            message(4, "chatbot", Some(a)),
            message(5, "fallback", Some(b)),
            message(6, "contact", None),
            message(7, "person", None),
            message(8, "contact", None),
        ];
        let entries = in_turns(&messages, &[turn(a, &[1]), turn(b, &[2, 3])], &[8]);
        let said: Vec<&str> = entries.iter().map(|e| e.content.as_str()).collect();
        assert_eq!(said, ["contact 1", "chatbot 4", "contact 2", "contact 3", "contact 6", "person 7"]);
    }
}
