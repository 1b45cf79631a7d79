//! Figures: what was said, answered and lost, by chatbot and by day (UTC).
//!
//! Counted when asked for. Rows stand in the order of time, so that only those of the days in question are looked at.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, QueryResult, Value};
use uuid::Uuid;

use super::{Store, StoreError, sql};

const DAY: i64 = 86_400_000;

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Of one tenant, or of all.
    pub tenant: Option<&'a str>,
    /// Of one chatbot.
    pub chatbot: Option<&'a str>,
    /// From here on, Unix milliseconds.
    pub since: i64,
    /// Each day by itself; otherwise all days together, as day 0.
    pub by_day: bool,
}

/// Whose figures: tenant, chatbot, and the day as days since 1970.
pub type Key = (String, String, i64);

/// Figures of a chatbot.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Messages of customers.
    pub received: i64,
    /// Answers of the chatbot.
    pub by_chatbot: i64,
    /// Texts sent because there was no answer.
    pub fallbacks: i64,
    /// Messages of people.
    pub by_people: i64,
    /// Messages the business sent through the API.
    pub by_api: i64,
    /// Conversations in which something was said.
    pub conversations: i64,
    /// Turns that got an answer, and those that got none.
    pub answered: i64,
    /// See `answered`.
    pub dead: i64,
    /// How long an answer took, in milliseconds: half of them at most so long.
    pub p50: Option<i64>,
    /// The same for 95 of 100.
    pub p95: Option<i64>,
    /// Deliveries that reached the phone.
    pub delivered: i64,
    /// Deliveries that were read.
    pub read: i64,
    /// Deliveries that failed, were given up, or nobody knows of, by reason.
    pub failures: BTreeMap<String, i64>,
    /// Messages that Meta charges for, by the day it said so.
    pub billable: i64,
    /// All that Meta priced, by category and type.
    pub priced: BTreeMap<String, i64>,
}

/// What a chatbot has at all: (conversations, contacts, conversations of the last day).
pub type Standing = (i64, i64, i64);

impl Store {
    /// Figures by chatbot, and by day if asked.
    pub async fn figures(&self, asked: Asked<'_>) -> Result<BTreeMap<Key, Figures>, StoreError> {
        let first = self.first_message_since(asked.since).await?;
        let mut all: BTreeMap<Key, Figures> = BTreeMap::new();
        let day = |column: &str| match asked.by_day {
            true => format!("{column} / {DAY}"),
            false => "cast(0 as bigint)".to_owned(),
        };
        let whose = "($2 = '' or m.tenant_id = $2) and ($3 = '' or m.chatbot_id = $3)";
        let key = format!("m.tenant_id, m.chatbot_id, {}", day("m.created_at"));
        let names = [asked.tenant.unwrap_or_default().into(), asked.chatbot.unwrap_or_default().into()];

        let count = |author: &str| format!("sum(case when m.author = '{author}' then 1 else 0 end)");
        let text = format!(
            "select m.tenant_id, m.chatbot_id, {} as day, {} as received, {} as by_chatbot, {} as fallbacks, \
             {} as by_people, {} as by_api, count(distinct m.conversation_id) as conversations \
             from messages m where m.id >= $1 and {whose} group by {key}",
            day("m.created_at"),
            count("contact"),
            count("chatbot"),
            count("fallback"),
            count("person"),
            count("api"),
        );
        let values = [Value::from(first)].into_iter().chain(names.clone());
        for row in self.rows(&text, values.clone()).await? {
            let of = all.entry(key_of(&row)?).or_default();
            let get = |name: &str| row.try_get::<i64>("", name);
            of.received = get("received")?;
            of.by_chatbot = get("by_chatbot")?;
            of.fallbacks = get("fallbacks")?;
            of.by_people = get("by_people")?;
            of.by_api = get("by_api")?;
            of.conversations = get("conversations")?;
        }

        let text = format!(
            "select m.tenant_id, m.chatbot_id, {} as day, d.status, \
             case when d.status in ('failed', 'dead', 'unknown') then coalesce(d.reason, d.status) end as reason, \
             count(*) as n from deliveries d join messages m on m.id = d.message_id \
             where d.message_id >= $1 and {whose} \
             and d.status in ('delivered', 'read', 'played', 'failed', 'dead', 'unknown') group by {key}, 4, 5",
            day("m.created_at")
        );
        for row in self.rows(&text, values).await? {
            let of = all.entry(key_of(&row)?).or_default();
            let n: i64 = row.try_get("", "n")?;
            match row.try_get::<Option<String>>("", "reason")? {
                Some(reason) => *of.failures.entry(reason).or_default() += n,
                None => {
                    of.delivered += n;
                    if row.try_get::<String>("", "status")? != "delivered" {
                        of.read += n;
                    }
                }
            }
        }
        for priced in self.usage(asked).await? {
            let day = if asked.by_day { priced.day() } else { 0 };
            let of = all.entry((priced.tenant_id, priced.chatbot_id, day)).or_default();
            of.billable += if priced.billable { priced.messages } else { 0 };
            *of.priced.entry(format!("{} {}", priced.category, priced.kind)).or_default() += priced.messages;
        }
        self.latencies(asked, names, &day("created_at"), &mut all).await?;
        Ok(all)
    }

    async fn latencies(
        &self,
        asked: Asked<'_>,
        names: [Value; 2],
        day: &str,
        all: &mut BTreeMap<Key, Figures>,
    ) -> Result<(), StoreError> {
        // Turns are named in the order of time; a day more, since clocks differ.
        let ms = u128::from((asked.since - DAY).max(0).unsigned_abs());
        let text = format!(
            "with t as (select tenant_id, chatbot_id, {day} as day, status, closed_at - created_at as ms, \
             row_number() over (partition by tenant_id, chatbot_id, {day}, status order by closed_at - created_at) as n, \
             count(*) over (partition by tenant_id, chatbot_id, {day}, status) as c \
             from turns where id >= $1 and ($2 = '' or tenant_id = $2) and ($3 = '' or chatbot_id = $3) \
             and created_at >= $4 and status in ('answered', 'dead') and closed_at is not null) \
             select tenant_id, chatbot_id, day, sum(case when status = 'answered' then 1 else 0 end) as answered, \
             sum(case when status = 'dead' then 1 else 0 end) as dead, \
             max(case when status = 'answered' and n = (c * 50 + 99) / 100 then ms end) as p50, \
             max(case when status = 'answered' and n = (c * 95 + 99) / 100 then ms end) as p95 \
             from t group by tenant_id, chatbot_id, day"
        );
        let values = [Uuid::from_u128(ms << 80).into()].into_iter().chain(names).chain([asked.since.into()]);
        for row in self.rows(&text, values).await? {
            let of = all.entry(key_of(&row)?).or_default();
            of.answered = row.try_get("", "answered")?;
            of.dead = row.try_get("", "dead")?;
            of.p50 = row.try_get("", "p50")?;
            of.p95 = row.try_get("", "p95")?;
        }
        Ok(())
    }

    /// What each chatbot has at all; `since`: from when on a conversation counts as active.
    pub async fn standing(
        &self,
        tenant: Option<&str>,
        chatbot: Option<&str>,
        since: i64,
    ) -> Result<BTreeMap<Key, Standing>, StoreError> {
        let text = "select tenant_id, chatbot_id, cast(0 as bigint) as day, count(*) as conversations, \
                    count(distinct contact_id) as contacts, \
                    sum(case when last_message_at >= $3 then 1 else 0 end) as active from whatsapp_conversations \
                    where ($1 = '' or tenant_id = $1) and ($2 = '' or chatbot_id = $2) group by tenant_id, chatbot_id";
        let values = [tenant.unwrap_or_default().into(), chatbot.unwrap_or_default().into(), since.into()];
        let mut all = BTreeMap::new();
        for row in self.rows(text, values).await? {
            let get = |name: &str| row.try_get::<i64>("", name);
            all.insert(key_of(&row)?, (get("conversations")?, get("contacts")?, get("active")?));
        }
        Ok(all)
    }

    /// The first message stored at or after `since`; one after the last if there is none. Halves the distance each time,
    /// since ids and times grow together.
    async fn first_message_since(&self, since: i64) -> Result<i64, StoreError> {
        let ends = "select coalesce(min(id), 0) as low, coalesce(max(id), 0) as high from messages";
        let Some(row) = self.rows(ends, []).await?.pop() else { return Ok(0) };
        let (mut low, mut high): (i64, i64) = (row.try_get("", "low")?, row.try_get::<i64>("", "high")? + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let text = "select id, created_at from messages where id >= $1 order by id limit 1";
            match self.rows(text, [middle.into()]).await?.pop() {
                Some(row) if row.try_get::<i64>("", "created_at")? < since => {
                    low = row.try_get::<i64>("", "id")? + 1;
                }
                _ => high = middle,
            }
        }
        Ok(low)
    }

    async fn rows(
        &self,
        text: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>, StoreError> {
        Ok(self.read().query_all_raw(sql::statement(self.read(), text, values)).await?)
    }
}

fn key_of(row: &QueryResult) -> Result<Key, StoreError> {
    Ok((row.try_get("", "tenant_id")?, row.try_get("", "chatbot_id")?, row.try_get("", "day")?))
}
