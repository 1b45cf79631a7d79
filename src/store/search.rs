//! Finding conversations and contacts by what people remember of them: words, a phone number, a name.
//!
//! Names and numbers are found at once. Words are looked for conversation by conversation, the latest first, and only so
//! far in one look; the rest is looked through from there.

use sea_orm::{DatabaseConnection, FromQueryResult, QueryResult, Value};

use super::conversations::{ConversationRow, SEEN};
use super::{Store, StoreError, sql};

/// Conversations looked through at once.
const LOOK: u64 = 2_000;
/// Fewer digits are no phone number to look for.
const DIGITS: usize = 3;

/// Which conversations of a tenant.
#[derive(Debug, Clone, Default)]
pub struct Wanted<'a> {
    /// Of one chatbot.
    pub chatbot: Option<&'a str>,
    /// Of one contact.
    pub contact: Option<i64>,
    /// Whether a person has it, at this time (Unix milliseconds).
    pub handed_over: Option<(bool, i64)>,
    /// What is remembered of it: part of a text, of a phone number, of a name.
    pub words: Option<&'a str>,
}

/// What is looked for, as parameters: the words as they are, in small letters, and as digits.
struct Words([Value; 3]);

impl Words {
    fn of(text: &str) -> Self {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let is_number =
            digits.len() >= DIGITS && text.chars().all(|c| c.is_ascii_digit() || " +-().".contains(c));
        let digits = if is_number { digits } else { String::new() };
        Self([text.into(), text.to_lowercase().into(), digits.into()])
    }

    /// Whether contact `p` goes by them; they are parameters `$n` and the two after it.
    fn name(db: &DatabaseConnection, n: usize) -> String {
        let (typed, small) = (sql::holds(db, "p.name", n), sql::holds(db, "lower(p.name)", n + 1));
        let digits = sql::holds(db, "a.value", n + 2);
        format!(
            "({typed} or {small} or (${} <> '' and exists (select 1 from contact_aliases a \
             where a.contact_id = p.id and a.kind in ('wa_id', 'phone') and {digits})))",
            n + 2
        )
    }
}

impl Store {
    /// A page of conversations, latest first; `before` is the last one's (time, id) of the page above. With fewer than
    /// `limit` of them comes where the look ended, if there is more to look through.
    pub async fn find_conversations(
        &self,
        tenant: &str,
        wanted: &Wanted<'_>,
        before: (i64, i64),
        limit: u64,
    ) -> Result<(Vec<ConversationRow>, Option<(i64, i64)>), StoreError> {
        let db = self.read();
        let look = if wanted.words.is_some() { LOOK } else { limit };
        let (handed_over, now) = match wanted.handed_over {
            None => ("$6 = $6", 0),
            Some((true, now)) => ("t.hand_over_until > $6", now),
            Some((false, now)) => ("(t.hand_over_until is null or t.hand_over_until <= $6)", now),
        };
        let window = format!(
            "from whatsapp_conversations c join threads t on t.id = c.thread_id where c.tenant_id = $1 \
             and (c.last_message_at < $2 or (c.last_message_at = $2 and c.id < $3)) and c.erased_at is null \
             and ($4 = '' or c.chatbot_id = $4) and ($5 = 0 or t.contact_id = $5) and {handed_over} \
             order by c.last_message_at desc, c.id desc limit {look}"
        );
        let values: [Value; 6] = [
            tenant.into(),
            before.0.into(),
            before.1.into(),
            wanted.chatbot.unwrap_or_default().into(),
            wanted.contact.unwrap_or_default().into(),
            now.into(),
        ];
        let mut more: Vec<Value> = Vec::new();
        let matching = match wanted.words {
            None => String::new(),
            Some(words) => {
                more.extend(Words::of(words).0);
                let (typed, small) = (sql::holds(db, "m.text", 7), sql::holds(db, "lower(m.text)", 8));
                let name = Words::name(db, 7);
                format!(
                    "and ({name} or exists (select 1 from messages m where m.conversation_id = c.id \
                     and ({typed} or {small})))"
                )
            }
        };
        let text = format!(
            "select {SEEN} where c.id in (select id from (select c.id {window}) as w) {matching} \
             order by c.last_message_at desc, c.id desc limit {limit}"
        );
        let all = values.clone().into_iter().chain(more);
        let rows = ConversationRow::find_by_statement(sql::statement(db, &text, all)).all(db).await?;
        if wanted.words.is_none() || rows.len() as u64 == limit {
            return Ok((rows, None));
        }
        let text = format!("select c.last_message_at as at, c.id as id {window}");
        let seen = sea_orm::ConnectionTrait::query_all_raw(db, sql::statement(db, &text, values)).await?;
        let place = |row: &QueryResult| Ok::<_, StoreError>((row.try_get("", "at")?, row.try_get("", "id")?));
        let end = seen.last().filter(|_| seen.len() as u64 == LOOK).map(place).transpose()?;
        Ok((rows, end))
    }

    /// A page of a tenant's contacts, the latest first, of before `before`; those that go by these words, if given.
    pub async fn find_contacts(
        &self,
        tenant: &str,
        words: Option<&str>,
        before: i64,
        limit: u64,
    ) -> Result<Vec<super::contact_book::ContactRow>, StoreError> {
        let db = self.read();
        let matching = words.map(|_| format!("and {}", Words::name(db, 3))).unwrap_or_default();
        let text = format!(
            "select {} where p.tenant_id = $1 and p.id < $2 and p.erased_at is null {matching} \
             order by p.id desc limit {limit}",
            super::contact_book::SEEN
        );
        let more = words.map(|words| Words::of(words).0).into_iter().flatten();
        let values = [tenant.into(), before.into()].into_iter().chain(more);
        Ok(super::contact_book::ContactRow::find_by_statement(sql::statement(db, &text, values))
            .all(db)
            .await?)
    }
}
