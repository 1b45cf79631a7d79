//! From what is written to what tenants' own systems are told, and people alerted of: the payloads, in the public names
//! of things.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, FromQueryResult};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::alerts::{self, Alert, Kind};
use super::event_deliveries::{Told, tell};
use super::event_endpoints::{EventType, Listeners};
use super::events::Process;
use super::messages::{Append, Appended};
use super::sql;
use super::turns::{CloseTurn, TurnEnd};
use crate::ids::{AccountId, ContactId, ConversationId, DeliveryId, MessageId, TurnId};
use crate::message::{DeliveryStatus, Recipient};
use crate::runtime::rfc3339;

/// What events brought: messages that are new, and how far ours got.
pub(super) async fn processed(
    tx: &DatabaseTransaction,
    listeners: &Listeners,
    group: &[Process],
    outputs: &[Vec<Option<Appended>>],
) -> Result<(), DbErr> {
    let appended = group.iter().flat_map(|p| &p.appends).zip(outputs.iter().flatten());
    let events = appended.filter_map(|(append, appended)| {
        let (tenant, appended) = (append.place.tenant_id.as_str(), appended.as_ref()?);
        // What the business says past us goes out as well.
        let is_customers = append.message.voice.is_customer();
        let kind = if is_customers { EventType::MessageReceived } else { EventType::MessageSent };
        listeners.wants(tenant, kind).then(|| Told {
            tenant,
            conversation: Some(appended.conversation.id),
            kind,
            data: if is_customers { received(append, appended) } else { said(append, appended) },
            now: append.now,
        })
    });
    tell(tx, listeners, events).await?;
    let wamids: Vec<&str> = group.iter().flat_map(|p| &p.statuses).map(|s| s.wamid.as_str()).collect();
    if !listeners.any(EventType::MessageStatus) || wamids.is_empty() {
        return Ok(());
    }
    let text = format!("select distinct delivery_id from attempts where wamid {}", sql::among(tx, 1, "text"));
    let rows = tx.query_all_raw(sql::statement(tx, &text, [sql::json(wamids)])).await?;
    let ids = rows.iter().map(|row| row.try_get("", "delivery_id")).collect::<Result<Vec<i64>, _>>()?;
    deliveries(tx, listeners, ids, group[0].now).await
}

fn received(append: &Append, appended: &Appended) -> Json {
    let (place, message) = (&append.place, &append.message);
    json!({
        "messageId": MessageId(appended.message_id),
        "conversationId": ConversationId(appended.conversation.id),
        "contactId": ContactId(appended.conversation.contact_id),
        "accountId": AccountId(place.account_id),
        "chatbotId": place.chatbot_id,
        "phoneNumberId": place.phone_number_id,
        "wamid": message.wamid,
        "from": {
            "phone": message.sender.wa_id,
            "userId": message.sender.user_id,
            "name": message.sender.name,
        },
        "kind": message.kind,
        "text": message.text,
        "note": append.note,
        "sentAt": rfc3339(message.sent_at),
    })
}

/// What the business said through its phone, or through somebody else's program.
fn said(append: &Append, appended: &Appended) -> Json {
    let (place, message) = (&append.place, &append.message);
    json!({
        "deliveryId": null,
        "messageId": MessageId(appended.message_id),
        "conversationId": ConversationId(appended.conversation.id),
        "accountId": AccountId(place.account_id),
        "chatbotId": place.chatbot_id,
        "turnId": null,
        "wamid": message.wamid,
        "author": "person",
        "to": { "phone": message.sender.wa_id, "userId": message.sender.user_id },
        "text": message.text,
        "part": 1,
        "parts": 1,
        "sentAt": rfc3339(message.sent_at),
    })
}

#[derive(FromQueryResult)]
struct Step {
    id: i64,
    tenant_id: String,
    whatsapp_account_id: i64,
    conversation_id: i64,
    message_id: i64,
    turn_id: Option<Uuid>,
    part: i64,
    parts: i64,
    recipient: String,
    text: String,
    status: String,
    told: Option<String>,
    reason: Option<String>,
    code: Option<i64>,
    wamid: Option<String>,
    sent_at: Option<i64>,
    delivered_at: Option<i64>,
    read_at: Option<i64>,
    played_at: Option<i64>,
    failed_at: Option<i64>,
    author: String,
    chatbot_id: String,
}

/// `message.sent` and `message.status` for those of these deliveries that got further since they were told of last.
pub(super) async fn deliveries(
    tx: &DatabaseTransaction,
    listeners: &Listeners,
    ids: impl IntoIterator<Item = i64>,
    now: i64,
) -> Result<(), DbErr> {
    if !listeners.any(EventType::MessageSent) && !listeners.any(EventType::MessageStatus) {
        return Ok(());
    }
    let lock = if tx.get_database_backend() == DbBackend::Postgres { "for update of d" } else { "" };
    let text = format!(
        "select d.id, d.tenant_id, d.whatsapp_account_id, d.conversation_id, d.message_id, d.turn_id, d.part, d.parts, \
         d.recipient, d.text, d.status, d.told, d.reason, d.code, d.wamid, d.sent_at, d.delivered_at, d.read_at, \
         d.played_at, d.failed_at, m.author, m.chatbot_id from deliveries d join messages m on m.id = d.message_id \
         where d.status not in ('queued', 'sending') and (d.told is null or d.told <> d.status) and d.id {} \
         order by d.id {lock}",
        sql::among(tx, 1, "bigint")
    );
    let ids = [sql::json(ids)];
    let steps = Step::find_by_statement(sql::statement(tx, &text, ids)).all(tx).await?;
    if steps.is_empty() {
        return Ok(());
    }
    let text = format!("update deliveries set told = status where id {}", sql::among(tx, 1, "bigint"));
    tx.execute_raw(sql::statement(tx, &text, [sql::json(steps.iter().map(|step| step.id))])).await?;
    let events = steps.iter().flat_map(|step| {
        let kinds = step.kinds().into_iter().filter(|kind| listeners.wants(&step.tenant_id, *kind));
        kinds.map(|kind| Told {
            tenant: &step.tenant_id,
            conversation: Some(step.conversation_id),
            kind,
            data: step.data(kind, now),
            now,
        })
    });
    tell(tx, listeners, events).await
}

impl Step {
    /// Its sending may be told late: together with its reading, if that overtook it.
    fn kinds(&self) -> Vec<EventType> {
        let went = |word: &str| matches!(word, "sent" | "delivered" | "read" | "played");
        let mut kinds = Vec::new();
        if went(&self.status) && !self.told.as_deref().is_some_and(went) {
            kinds.push(EventType::MessageSent);
        }
        if self.status != DeliveryStatus::Sent.as_str() {
            kinds.push(EventType::MessageStatus);
        }
        kinds
    }

    fn data(&self, kind: EventType, now: i64) -> Json {
        let mut data = json!({
            "deliveryId": DeliveryId(self.id),
            "messageId": MessageId(self.message_id),
            "conversationId": ConversationId(self.conversation_id),
            "accountId": AccountId(self.whatsapp_account_id),
            "chatbotId": self.chatbot_id,
            "turnId": self.turn_id.map(TurnId),
            "wamid": self.wamid,
        });
        let more = match kind {
            EventType::MessageStatus => json!({
                "status": self.status,
                "reason": self.reason,
                "code": self.code,
                "at": rfc3339(self.at().unwrap_or(now)),
            }),
            _ => json!({
                "author": self.author,
                "to": match serde_json::from_str(&self.recipient) {
                    Ok(Recipient::Phone(phone)) => json!({ "phone": phone }),
                    Ok(Recipient::UserId(id)) => json!({ "userId": id }),
                    Err(_) => Json::Null,
                },
                "text": self.text,
                "part": self.part + 1,
                "parts": self.parts,
                "sentAt": rfc3339(self.sent_at.unwrap_or(now)),
            }),
        };
        if let (Some(data), Json::Object(more)) = (data.as_object_mut(), more) {
            data.extend(more);
        }
        data
    }

    /// When it came to stand where it stands; Meta may tell later.
    fn at(&self) -> Option<i64> {
        match self.status.as_str() {
            "delivered" => self.delivered_at,
            "read" => self.read_at,
            "played" => self.played_at,
            "failed" | "dead" => self.failed_at,
            _ => None,
        }
    }
}

/// `turn.dead`, for the turns of a group that were ended by it.
pub(super) async fn dead_turns<T>(
    tx: &DatabaseTransaction,
    listeners: &Listeners,
    group: &[CloseTurn],
    closed: &[Option<T>],
) -> Result<(), DbErr> {
    const KIND: EventType = EventType::TurnDead;
    let dead = group.iter().zip(closed).filter(|(t, closed)| t.end == TurnEnd::Dead && closed.is_some());
    let events = dead.filter(|(t, _)| listeners.wants(&t.place.tenant_id, KIND)).map(|(t, _)| Told {
        tenant: &t.place.tenant_id,
        conversation: Some(t.conversation_id),
        kind: KIND,
        data: json!({
            "turnId": TurnId(t.turn_id),
            "conversationId": ConversationId(t.conversation_id),
            "accountId": AccountId(t.place.account_id),
            "chatbotId": t.place.chatbot_id,
            "phoneNumberId": t.place.phone_number_id,
            "reason": t.reason,
            "attempts": t.attempts,
        }),
        now: t.now,
    });
    tell(tx, listeners, events).await
}

/// What an account may do, for a comparison afterwards.
#[derive(Debug, PartialEq, Eq, FromQueryResult)]
pub(super) struct Standing {
    tenant_id: String,
    chatbot_id: String,
    phone_number_id: String,
    status: String,
    status_reason: Option<String>,
    deleted: bool,
}

impl Standing {
    fn word(&self) -> &str {
        if self.deleted { "deleted" } else { &self.status }
    }
}

/// An account's standing; none while it is not there.
pub(super) async fn standing(tx: &DatabaseTransaction, id: i64) -> Result<Option<Standing>, DbErr> {
    let text = "select tenant_id, chatbot_id, phone_number_id, status, status_reason, deleted_at is not null as deleted \
                from whatsapp_accounts where id = $1";
    Standing::find_by_statement(sql::statement(tx, text, [id.into()])).one(tx).await
}

/// If an account stands elsewhere than `before`: `account.status`, and an alert of what needs its people.
pub(super) async fn account(
    tx: &DatabaseTransaction,
    listeners: &Listeners,
    id: i64,
    before: Option<Standing>,
    now: i64,
) -> Result<(), DbErr> {
    let Some(a) = standing(tx, id).await? else { return Ok(()) };
    if before.is_some_and(|before| before.word() == a.word()) {
        return Ok(());
    }
    account_event(tx, listeners, id, now).await?;
    account_alert(tx, id, now).await
}

/// `account.status`, as the account stands now.
pub(super) async fn account_event(
    tx: &DatabaseTransaction,
    listeners: &Listeners,
    id: i64,
    now: i64,
) -> Result<(), DbErr> {
    const KIND: EventType = EventType::AccountStatus;
    let Some(a) = standing(tx, id).await? else { return Ok(()) };
    if !listeners.wants(&a.tenant_id, KIND) {
        return Ok(());
    }
    let data = json!({
        "accountId": AccountId(id),
        "chatbotId": a.chatbot_id,
        "phoneNumberId": a.phone_number_id,
        "status": a.word(),
        "reason": a.status_reason,
    });
    tell(tx, listeners, [Told { tenant: &a.tenant_id, conversation: None, kind: KIND, data, now }]).await
}

/// An alert, if the account stands where it needs its people.
pub(super) async fn account_alert(tx: &DatabaseTransaction, id: i64, now: i64) -> Result<(), DbErr> {
    let Some(a) = standing(tx, id).await? else { return Ok(()) };
    let (kind, words) = match a.word() {
        "token_invalid" => (
            Kind::AccountTokenInvalid,
            "Meta refuses its access token: its answers wait until it gets a new one.",
        ),
        "restricted" => {
            (Kind::AccountRestricted, "Meta restricts it: look at the number in Meta's business settings.")
        }
        _ => return Ok(()),
    };
    let subject = AccountId(id).to_string();
    let text = format!("Account {subject} of chatbot {}: {words}", a.chatbot_id);
    let (tenant, account) = (Some(a.tenant_id.as_str()), Some(id));
    alerts::raise(tx, &Alert { tenant, account, ..Alert::new(kind, &subject, text, now) }).await
}
