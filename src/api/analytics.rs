//! Figures for people and invoices: what was said, answered and lost, by chatbot and by day; also as CSV.

use std::collections::BTreeMap;

use actix_web::http::header::CONTENT_DISPOSITION;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Parts;
use super::answer::{Answer, Listing, rfc3339};
use super::guard::Reader;
use super::problem::ApiError;
use crate::store::analytics::{Asked, Figures, Key};

const DAY: i64 = 86_400_000;
/// What stands first in a line of CSV; the rest by its name.
const FIRST: [&str; 4] = ["date", "tenant", "chatbotId", "id"];
/// Longest time that is counted, in days.
const LONGEST: i64 = 366;

/// What is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct Which {
    /// Of one chatbot; all of them unless given.
    chatbot_id: Option<String>,
    /// So many days back, today included: 1 to 366; 30 unless given. Days are those of UTC.
    #[param(value_type = Option<u64>)]
    days: Option<String>,
    /// `json` (unless given) or `csv`.
    format: Option<String>,
}

/// Figures of a chatbot over some time. Those of `total…`, `unique…` and `active…` are of all time, or of the last 24 hours.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChatbotFigures {
    /// The chatbot.
    id: String,
    tenant: String,
    /// Customers who ever talked to it.
    total_contacts: i64,
    /// The same, as older callers know it.
    unique_contacts: i64,
    unique_whatsapp_conversations: i64,
    /// Conversations in which something was said within 24 hours.
    active_conversations: i64,
    total_messages: i64,
    #[serde(flatten)]
    figures: FiguresView,
}

/// Figures of a chatbot on one day.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DayFigures {
    /// `<chatbot>/<date>`.
    id: String,
    /// As `2026-01-31`, UTC.
    date: String,
    tenant: String,
    chatbot_id: String,
    #[serde(flatten)]
    figures: FiguresView,
}

/// What was said, answered and lost.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FiguresView {
    /// Messages of customers.
    user_messages: i64,
    /// Answers of the chatbot.
    ai_responses: i64,
    /// Messages of people.
    agent_responses: i64,
    /// Messages sent through the API.
    api_messages: i64,
    /// Texts sent because there was no answer.
    fallbacks: i64,
    /// Conversations in which something was said.
    conversations: i64,
    /// Questions that got an answer.
    answered: i64,
    /// Questions that got none.
    unanswered: i64,
    /// How long an answer took in the middle, in milliseconds.
    latency_p50: Option<i64>,
    /// How long it took at most for 95 of 100.
    latency_p95: Option<i64>,
    /// Deliveries that reached the phone, read ones too.
    delivered: i64,
    read: i64,
    /// Deliveries that failed, were given up, or nobody knows of.
    failures: i64,
    /// The same, by reason.
    failure_reasons: BTreeMap<String, i64>,
    /// Messages that Meta charges for, by the day it said so.
    billable: i64,
    /// All that Meta priced, by category and type: `{"service free_customer_service": 7}`.
    priced: BTreeMap<String, i64>,
}

impl From<Figures> for FiguresView {
    fn from(figures: Figures) -> Self {
        Self {
            user_messages: figures.received,
            ai_responses: figures.by_chatbot,
            agent_responses: figures.by_people,
            api_messages: figures.by_api,
            fallbacks: figures.fallbacks,
            conversations: figures.conversations,
            answered: figures.answered,
            unanswered: figures.dead,
            latency_p50: figures.p50,
            latency_p95: figures.p95,
            delivered: figures.delivered,
            read: figures.read,
            failures: figures.failures.values().sum(),
            failure_reasons: figures.failures,
            billable: figures.billable,
            priced: figures.priced,
        }
    }
}

/// Figures of each chatbot: a tenant's; everybody's for the platform that names no tenant.
#[utoipa::path(get, path = "/api/v1/analytics", tag = "analytics", params(Which),
    responses((status = 200, body = Listing<ChatbotFigures>)))]
pub async fn chatbots(caller: Reader, parts: web::Data<Parts>, which: web::Query<Which>) -> Answer {
    let (asked, csv) = which.read(&caller.scope(), parts.clock.now_ms(), false)?;
    let mut figures = parts.store.figures(asked).await?;
    let active = parts.clock.now_ms() - DAY;
    let standing = parts.store.standing(asked.tenant, asked.chatbot, active).await?;
    for key in standing.keys() {
        figures.entry(key.clone()).or_default();
    }
    let rows = figures.into_iter().map(|(key, figures)| {
        let (talks, contacts, active) = standing.get(&key).copied().unwrap_or_default();
        let figures = FiguresView::from(figures);
        let own = figures.ai_responses + figures.agent_responses + figures.api_messages + figures.fallbacks;
        ChatbotFigures {
            id: key.1,
            tenant: key.0,
            total_contacts: contacts,
            unique_contacts: contacts,
            unique_whatsapp_conversations: talks,
            active_conversations: active,
            total_messages: figures.user_messages + own,
            figures,
        }
    });
    answer(rows.collect(), csv, "analytics")
}

/// Figures of each chatbot day by day, oldest first; days on which nothing happened are left out.
#[utoipa::path(get, path = "/api/v1/analytics/per-day", tag = "analytics", params(Which),
    responses((status = 200, body = Listing<DayFigures>)))]
pub async fn per_day(caller: Reader, parts: web::Data<Parts>, which: web::Query<Which>) -> Answer {
    let (asked, csv) = which.read(&caller.scope(), parts.clock.now_ms(), true)?;
    let figures = parts.store.figures(asked).await?;
    let mut rows: Vec<(Key, Figures)> = figures.into_iter().collect();
    rows.sort_by(|(a, _), (b, _)| (a.2, &a.0, &a.1).cmp(&(b.2, &b.0, &b.1)));
    let rows = rows.into_iter().map(|((tenant, chatbot_id, day), figures)| {
        let date: String = rfc3339(day * DAY).chars().take(10).collect();
        DayFigures { id: format!("{chatbot_id}/{date}"), date, tenant, chatbot_id, figures: figures.into() }
    });
    answer(rows.collect(), csv, "analytics-per-day")
}

impl Which {
    /// What the store is asked, and whether CSV is wanted.
    fn read<'a>(
        &'a self,
        tenant: &Option<&'a str>,
        now: i64,
        by_day: bool,
    ) -> Result<(Asked<'a>, bool), ApiError> {
        let days = match self.days.as_deref().map(str::parse) {
            None => 30,
            Some(Ok(days @ 1..=LONGEST)) => days,
            Some(_) => return Err(ApiError::field("days", format!("must be from 1 to {LONGEST}"))),
        };
        let csv = match self.format.as_deref() {
            None | Some("json") => false,
            Some("csv") => true,
            Some(_) => return Err(ApiError::field("format", "must be json or csv")),
        };
        let since = (now / DAY - days + 1) * DAY;
        Ok((Asked { tenant: *tenant, chatbot: self.chatbot_id.as_deref(), since, by_day }, csv))
    }
}

fn answer<T: Serialize>(rows: Vec<T>, as_csv: bool, name: &str) -> Answer {
    if !as_csv {
        return Ok(HttpResponse::Ok().json(Listing { success: true, data: rows, next_cursor: None }));
    }
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.csv\"")))
        .body(csv(&rows)))
}

/// One line for each row under a line of names; what holds several values is one cell, `reason=count` by `reason=count`.
fn csv<T: Serialize>(rows: &[T]) -> String {
    use serde_json::Value;
    let mut text = String::new();
    for (n, row) in rows.iter().enumerate() {
        let Ok(Value::Object(cells)) = serde_json::to_value(row) else { continue };
        let mut cells: Vec<(String, Value)> = cells.into_iter().collect();
        cells.sort_by_key(|(name, _)| FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len()));
        if n == 0 {
            let names: Vec<&str> = cells.iter().map(|(name, _)| name.as_str()).collect();
            text += &names.join(",");
            text += "\r\n";
        }
        let cells: Vec<String> = cells.iter().map(|(_, value)| cell(value)).collect();
        text += &cells.join(",");
        text += "\r\n";
    }
    text
}

fn cell(value: &serde_json::Value) -> String {
    use serde_json::Value;
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        Value::Object(map) => {
            map.iter().map(|(name, n)| format!("{name}={n}")).collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    };
    // A cell that begins like a formula would be one in a spreadsheet.
    let text = match text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !value.is_number() {
        true => format!("'{text}"),
        false => text,
    };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cell_is_no_formula_and_no_second_cell() {
        let rows = [json!({"a": "=1+1", "b": -5, "c": null, "d": "x,\"y\"", "e": {"r": 2, "s": 1}, "id": 7})];
        assert_eq!(csv(&rows), "id,a,b,c,d,e\r\n7,'=1+1,-5,,\"x,\"\"y\"\"\",r=2; s=1\r\n");
        assert_eq!(csv::<FiguresView>(&[]), "");
    }
}
