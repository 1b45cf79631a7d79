//! What Meta bills: the first price told of each message, on its delivery and summed by day.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, Value};
use time::OffsetDateTime;
use uuid::Uuid;

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
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct UsageDay {
    /// `2026-11-20`, in UTC.
    pub day: String,
    /// Whose messages.
    pub chatbot_id: String,
    /// `service`, `utility`, `marketing` …
    pub category: String,
    /// `regular`, `free_customer_service` …
    pub kind: String,
    /// Whether they cost something.
    pub billable: bool,
    /// How many.
    pub messages: i64,
}

impl Store {
    /// A tenant's priced messages since a day (`2026-11-20`), oldest day first.
    pub async fn usage_days(&self, tenant: &str, since: &str) -> Result<Vec<UsageDay>, StoreError> {
        let text = "select day, chatbot_id, category, type as kind, billable, messages from usage_days \
                    where tenant_id = $1 and day >= $2 order by day, chatbot_id, category, type, billable";
        let found =
            UsageDay::find_by_statement(sql::statement(self.read(), text, [tenant.into(), since.into()]));
        Ok(found.all(self.read()).await?)
    }
}
