//! What Meta bills: the first price told of each message, on its delivery and summed by day.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, Value};
use time::macros::format_description;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::analytics::Asked;
use super::{Store, StoreError, sql};
use crate::message::Pricing;

/// Counts prices (attempt, delivery, price, when by Meta's clock), each attempt's first one once.
pub(super) async fn count<'a>(
    tx: &DatabaseTransaction,
    prices: impl Iterator<Item = (Uuid, i64, &'a Pricing, i64)>,
) -> Result<(), DbErr> {
    let mut first: HashMap<Uuid, (i64, &Pricing, i64)> = HashMap::new();
    for (attempt, delivery, pricing, at) in prices {
        first.entry(attempt).or_insert((delivery, pricing, at));
    }
    if first.is_empty() {
        return Ok(());
    }
    let text = format!(
        "update attempts set priced = true where priced is null and id in ({}) returning id",
        sql::list(1, first.len())
    );
    let rows = tx.query_all_raw(sql::statement(tx, &text, first.keys().map(|id| Value::from(*id)))).await?;
    let fresh = rows.iter().map(|row| row.try_get("", "id")).collect::<Result<HashSet<Uuid>, _>>()?;
    // In one order everywhere, so that two instances cannot wait for each other.
    let mut alike: BTreeMap<(String, &str, &str, bool), Vec<i64>> = BTreeMap::new();
    for (_, (delivery, p, at)) in first.iter().filter(|(id, _)| fresh.contains(*id)) {
        alike.entry((day(*at), &p.category, &p.kind, p.billable)).or_default().push(*delivery);
    }
    for ((day, category, kind, billable), deliveries) in alike {
        let words: [Value; 4] = [day.into(), category.into(), kind.into(), billable.into()];
        let ids = sql::json(deliveries);
        let values = words.iter().cloned().chain([ids.clone()]);
        let among = sql::among(tx, 5, "bigint");
        let text = format!(
            "insert into usage_days (tenant_id, chatbot_id, day, category, type, billable, messages) \
             select d.tenant_id, m.chatbot_id, $1, $2, $3, $4, count(*) from deliveries d \
             join messages m on m.id = d.message_id where d.id {among} \
             group by d.tenant_id, m.chatbot_id order by d.tenant_id, m.chatbot_id \
             on conflict (tenant_id, day, chatbot_id, category, type, billable) \
             do update set messages = usage_days.messages + excluded.messages"
        );
        tx.execute_raw(sql::statement(tx, &text, values)).await?;
        let among = sql::among(tx, 4, "bigint");
        let text = format!(
            "update deliveries set price_category = $1, price_type = $2, billable = $3 \
             where price_category is null and id {among}"
        );
        let values = words.into_iter().skip(1).chain([ids]);
        tx.execute_raw(sql::statement(tx, &text, values)).await?;
    }
    Ok(())
}

/// `2026-11-20`, in UTC.
fn day(ms: i64) -> String {
    OffsetDateTime::from_unix_timestamp(ms.div_euclid(1_000))
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
        .date()
        .to_string()
}

/// Messages of one day that Meta prices alike.
#[derive(Debug, FromQueryResult)]
pub(super) struct UsageDay {
    pub tenant_id: String,
    pub chatbot_id: String,
    day: String,
    /// `service`, `utility`, `marketing` …
    pub category: String,
    /// `regular`, `free_customer_service` …
    pub kind: String,
    /// Whether they cost something.
    pub billable: bool,
    /// How many.
    pub messages: i64,
}

impl UsageDay {
    /// Days since 1970.
    pub fn day(&self) -> i64 {
        let date = Date::parse(&self.day, format_description!("[year]-[month]-[day]"));
        date.map_or(0, |date| i64::from(date.to_julian_day() - OffsetDateTime::UNIX_EPOCH.to_julian_day()))
    }
}

impl Store {
    /// What Meta priced of a tenant's or everybody's messages, since a day.
    pub(super) async fn usage(&self, asked: Asked<'_>) -> Result<Vec<UsageDay>, StoreError> {
        let text = "select tenant_id, chatbot_id, day, category, type as kind, billable, messages from usage_days \
                    where ($1 = '' or tenant_id = $1) and ($2 = '' or chatbot_id = $2) and day >= $3";
        let values: [Value; 3] = [
            asked.tenant.unwrap_or_default().into(),
            asked.chatbot.unwrap_or_default().into(),
            day(asked.since).into(),
        ];
        Ok(UsageDay::find_by_statement(sql::statement(self.read(), text, values)).all(self.read()).await?)
    }
}
