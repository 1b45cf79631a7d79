//! A turn: freeze its members, ask the responder, commit the answer together with what is to be sent.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use super::{Conversations, Waiting, waiting};
use crate::message::{Entry, Recipient, Role};
use crate::outbox::{Parcel, format};
use crate::responder::{Answer, Call, Failure};
use crate::routing::Account;
use crate::store::StoreError;
use crate::store::conversations::ConversationRef;
use crate::store::media::MediaRow;
use crate::store::replies::{Enqueued, Reply};
use crate::store::turns::{CloseTurn, OpenTurn, Opened, Turn, TurnEnd};
use crate::telemetry::metric;
use crate::telemetry::traces::TARGET;

/// Waits before the retries of a question.
const RETRIES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(10), Duration::from_secs(30)];
/// All tries of one turn together.
const BUDGET: Duration = Duration::from_secs(90);
/// Longest text WhatsApp takes in one message.
const BUBBLE: usize = 4_096;

impl Conversations {
    /// A new turn of these messages.
    pub(super) async fn take_turn(
        &self,
        conversation: &ConversationRef,
        account: &Account,
        mut members: Vec<Waiting>,
    ) -> Result<(), StoreError> {
        if account.chatbot.paused {
            return self.stay_silent(conversation, &members, "chatbot_paused").await;
        }
        if !account.status.takes_messages() {
            return self.stay_silent(conversation, &members, "account_inactive").await;
        }
        let turn_id = Uuid::now_v7();
        let open = OpenTurn {
            turn_id,
            place: account.place.clone(),
            conversation_id: conversation.id,
            thread_id: conversation.thread_id,
            members: members.iter().map(|m| m.message_id).collect(),
            now: self.0.clock.now_ms(),
        };
        let opened = self.patiently(|| self.0.store.stations().write(open.clone())).await?;
        let in_line = match opened {
            Opened::Asking(in_line) => in_line,
            Opened::Silent(why) => return self.stay_silent(conversation, &members, why).await,
            Opened::Behind => {
                // Another instance took in something older: first a look at the database, then these again.
                if let Some(live) = self.lock().get_mut(&conversation.id) {
                    live.cold = true;
                    members.into_iter().rev().for_each(|member| live.waiting.push_front(member));
                }
                return Ok(());
            }
        };
        members.retain(|member| in_line.contains(&member.message_id));
        if members.is_empty() {
            return Ok(());
        }
        self.answer_turn(conversation, account, turn_id, members).await
    }

    /// Takes messages out of the line that nobody answers; what was said belongs to the history all the same.
    async fn stay_silent(
        &self,
        conversation: &ConversationRef,
        members: &[Waiting],
        why: &str,
    ) -> Result<(), StoreError> {
        let ids: Vec<i64> = members.iter().map(|m| m.message_id).collect();
        self.patiently(|| self.0.store.drop_pending(&ids, why)).await?;
        members.iter().for_each(|member| self.0.memory.add(conversation.id, Role::User, &member.text));
        Ok(())
    }

    /// A turn that was being asked when its instance stopped: the same members, the same key.
    pub(super) async fn resume_turn(
        &self,
        conversation: &ConversationRef,
        account: &Account,
        turn: Turn,
    ) -> Result<(), StoreError> {
        let ids = turn.member_ids();
        // A dead turn's members are history in memory already.
        self.0.memory.forget(conversation.id);
        let members = self.patiently(|| self.0.store.messages(&ids)).await?;
        self.answer_turn(conversation, account, turn.id, members.into_iter().map(waiting).collect()).await
    }

    async fn answer_turn(
        &self,
        conversation: &ConversationRef,
        account: &Account,
        turn_id: Uuid,
        members: Vec<Waiting>,
    ) -> Result<(), StoreError> {
        let (chatbot, messages) = (account.place.chatbot_id.as_str(), members.len() as u64);
        let span = tracing::info_span!(target: TARGET, "turn", turn = %turn_id, chatbot, messages);
        self.settle_turn(conversation, account, turn_id, members).instrument(span).await
    }

    async fn settle_turn(
        &self,
        conversation: &ConversationRef,
        account: &Account,
        turn_id: Uuid,
        members: Vec<Waiting>,
    ) -> Result<(), StoreError> {
        let ids: Vec<i64> = members.iter().map(|m| m.message_id).collect();
        let others = account.chatbot.history_limit.saturating_sub(members.len());
        let mut entries = self.patiently(|| self.0.memory.last(conversation, others, &ids)).await?;
        let links = self.links(account, &ids).await?;
        entries.extend(members.iter().map(|m| {
            let link = links.get(&Some(m.message_id)).map(|link| format!("\n{link}"));
            Entry { role: Role::User, content: format!("{}{}", m.text, link.unwrap_or_default()) }
        }));
        let accounts = self.patiently(|| self.0.routing.accounts(&conversation.phone_number_id)).await?;
        let shadow = account.is_shadow(&accounts);
        if account.chatbot.typing && account.status.may_send() && !shadow && !account.is_session() {
            self.show_typing(account, &members);
        }

        let started = self.0.clock.now_ms();
        let Some((asked, calls)) = self.ask(conversation, account, turn_id, &entries).await else {
            return Ok(()); // stopping: the turn stays open and is asked again by whoever comes next
        };
        metrics::histogram!(metric::RESPONDER_SECONDS, "chatbot" => bot_label(account))
            .record((self.0.clock.now_ms() - started) as f64 / 1000.0);
        let (end, reason, text, author, hand_off) = match asked {
            Ok(Answer { text, hand_off }) => (TurnEnd::Answered, None, Some(text), "chatbot", hand_off),
            Err(failure) => {
                metrics::counter!(metric::TURNS_DEAD, "chatbot" => bot_label(account), "reason" => failure.reason).increment(1);
                tracing::warn!(turn = %turn_id, chatbot = account.place.chatbot_id, tenant = account.place.tenant_id,
                    reason = failure.reason, detail = failure.detail, "a turn got no answer");
                let why = format!("{}: {}", failure.reason, failure.detail);
                (TurnEnd::Dead, Some(why), account.chatbot.fallback_text.clone(), "fallback", false)
            }
        };
        let close = CloseTurn {
            turn_id,
            place: account.place.clone(),
            conversation_id: conversation.id,
            thread_id: conversation.thread_id,
            end,
            reason,
            attempts: calls,
            reply: text.as_ref().map(|text| Reply {
                author,
                kind: "text".to_owned(),
                text: text.clone(),
                parts: if shadow { Vec::new() } else { bubbles(text) },
                content: None,
                recipient: conversation.recipient.clone(),
            }),
            // What nobody reads ends nothing.
            hand_over: hand_off && !shadow,
            now: self.0.clock.now_ms(),
        };
        let enqueued = self.patiently(|| self.0.store.stations().write(close.clone())).await?;
        for member in &members {
            self.0.memory.add(conversation.id, Role::User, &member.text);
        }
        let Some(enqueued) = enqueued else {
            // It was ended before: by this very write, if only the news of its commit was lost. The database knows.
            self.0.memory.forget(conversation.id);
            self.0.outbox.recover(conversation.id);
            return Ok(());
        };
        if let Some(reply) = close.reply {
            if author == "chatbot" {
                self.0.memory.add(conversation.id, Role::Assistant, &reply.text);
            }
            metrics::counter!(metric::MESSAGES, "direction" => "out", "chatbot" => bot_label(account))
                .increment(1);
            self.0.outbox.hand_on(conversation.id, parcels(conversation, enqueued, reply));
        }
        Ok(())
    }

    /// Message → link to its file, for chatbots that want them.
    async fn links(
        &self,
        account: &Account,
        ids: &[i64],
    ) -> Result<HashMap<Option<i64>, String>, StoreError> {
        if !account.chatbot.media_links {
            return Ok(HashMap::new());
        }
        let files = self.patiently(|| self.0.store.media_of_messages(ids)).await?;
        let link = |file: MediaRow| (file.message_id, self.0.outbox.media().link(file.id, file.created_at));
        Ok(files.into_iter().filter(|file| file.status != "failed").map(link).collect())
    }

    /// Asks until there is an answer, no hope, or no time. `None`: this instance is stopping.
    async fn ask(
        &self,
        conversation: &ConversationRef,
        account: &Account,
        turn_id: Uuid,
        entries: &[Entry],
    ) -> Option<(Result<Answer, Failure>, i64)> {
        let bot = &account.chatbot;
        let call = Call {
            turn_id,
            chatbot_id: &bot.id,
            api_key: bot.api_key.as_ref(),
            settings: &bot.responder,
            entries,
            unique_client_id: &conversation.unique_conv_id,
            phone: match &conversation.recipient {
                Recipient::Phone(digits) => Some(digits),
                Recipient::UserId(_) => None,
            },
            seen: None,
        };
        let deadline = Instant::now() + self.0.clock.pause(BUDGET);
        let mut calls = 0;
        loop {
            let asked =
                tokio::time::timeout_at(deadline, self.0.responders.ask(&call, self.0.clock.now_ms())).await;
            let Ok(asked) = asked else {
                let detail = format!("no answer within {} s", BUDGET.as_secs());
                return Some((
                    Err(Failure { reason: "responder_timeout", detail, try_again: false }),
                    calls + 1,
                ));
            };
            let retry = usize::try_from(calls).ok().and_then(|n| Some(self.0.clock.pause(*RETRIES.get(n)?)));
            calls += 1;
            let asked = asked.and_then(visible);
            match (asked, retry) {
                (Err(failure), Some(wait)) if failure.try_again && Instant::now() + wait < deadline => {
                    tracing::debug!(turn = %turn_id, reason = failure.reason, "asking again");
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.0.stop.cancelled() => return None,
                    }
                }
                (asked, _) => return Some((asked, calls)),
            }
        }
    }

    /// Blue ticks and "typing…" while the responder thinks. Not worth waiting for, nor a retry.
    fn show_typing(&self, account: &Account, members: &[Waiting]) {
        let Some(last) = members.last().filter(|m| !m.wamid.is_empty()) else { return };
        let Ok(permit) = self.0.typing.clone().try_acquire_owned() else { return };
        let (graph, number) = (self.0.outbox.graph().clone(), account.place.phone_number_id.clone());
        let (credentials, wamid) = (account.credentials.clone(), last.wamid.clone());
        tokio::spawn(async move {
            if let Err(error) = graph.mark_read_and_type(&number, &credentials, &wamid).await {
                tracing::debug!(%error, "no typing indicator");
            }
            drop(permit);
        });
    }
}

fn bot_label(account: &Account) -> String {
    account.place.chatbot_id.clone()
}

/// An answer of which formatting leaves nothing (a comment, a lone `<br>`) is none.
fn visible(mut answer: Answer) -> Result<Answer, Failure> {
    // No text in PostgreSQL may hold it.
    answer.text.retain(|c| c != '\0');
    if bubbles(&answer.text).is_empty() {
        let detail = "nothing of the responder's answer can be shown".into();
        return Err(Failure { reason: "responder_empty", detail, try_again: true });
    }
    Ok(answer)
}

/// An answer as WhatsApp shows it: one bubble, more only when it must be.
pub fn bubbles(markdown: &str) -> Vec<String> {
    format::split(&format::to_whatsapp(markdown), BUBBLE)
}

/// The deliveries of a reply, ready to be sent.
pub fn parcels(conversation: &ConversationRef, enqueued: Enqueued, reply: Reply) -> Vec<Parcel> {
    let parts = enqueued.deliveries.into_iter().zip(reply.parts).enumerate();
    parts
        .map(|(part, (delivery_id, text))| Parcel {
            delivery_id,
            message_id: enqueued.message_id,
            part: part as i64,
            account_id: conversation.account_id,
            phone_number_id: conversation.phone_number_id.clone(),
            text,
            content: None,
            attempts: 0,
            next_at: 0,
        })
        .collect()
}
