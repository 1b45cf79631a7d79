//! What a change says about a WABA, its numbers and its templates: recorded, and acted on where waiting would hurt.

use serde_json::Value;

use super::{id, words};
use crate::graph::payload::Change;
use crate::message::{BusinessNews, Effect, Item, NumberNews, Severity, TemplateNews};

/// Longest detail kept, in characters.
const DETAIL: usize = 1_000;

/// Whether a field tells about a business.
pub(super) fn reads(field: &str) -> bool {
    [
        "account_alerts",
        "account_review_update",
        "account_settings_update",
        "account_update",
        "business_capability_update",
        "business_status_update",
        "business_username_update",
        "business_username_updates",
        "flows",
        "message_template_components_update",
        "message_template_quality_update",
        "message_template_status_update",
        "partner_solutions",
        "payment_configuration_update",
        "phone_number_name_update",
        "phone_number_quality_update",
        "security",
        "template_category_update",
        "template_correct_category_detection",
    ]
    .contains(&field)
}

/// Reads the news of one of those fields.
pub(super) fn news(change: &Change, value: &Value) -> Item {
    let word = |name: &str| id(&value[name]);
    let event = ["event", "decision", "alert_type"].into_iter().find_map(word);
    let event = event.or_else(|| id(&value["alert_info"]["alert_type"]));
    let event = event.unwrap_or_else(|| change.field.to_uppercase());
    let (severity, effect) = match change.field.as_str() {
        "account_update" => account(&event, value),
        "account_review_update" => match event.as_str() {
            "APPROVED" => (Severity::Info, Effect::CheckAgain("review_rejected")),
            "REJECTED" => (Severity::Critical, Effect::Restrict("review_rejected")),
            _ => (Severity::Warning, Effect::None),
        },
        "account_alerts" => (alarm(value), Effect::None),
        "security" => (Severity::Warning, Effect::None),
        "business_capability_update" => {
            let limit = ["max_daily_conversations_per_business", "max_daily_conversation_per_phone"];
            let messaging_limit = limit.into_iter().find_map(word);
            (Severity::Info, Effect::Number(NumberNews { messaging_limit, ..NumberNews::default() }))
        }
        "phone_number_quality_update" | "phone_number_name_update" => number(&change.field, &event, value),
        field if field.contains("template") => template(field, &event, value),
        _ => (Severity::Info, Effect::None),
    };
    // For news of partners the entry is a business portfolio.
    let business = id(&value["waba_info"]["waba_id"]).unwrap_or_else(|| change.entry_id.clone());
    let mut said = Vec::new();
    flatten("", value, &mut said);
    let detail: String = said.join("; ").chars().take(DETAIL).collect();
    Item::Business(BusinessNews {
        business_account_id: business,
        event: event.chars().take(80).collect(),
        severity,
        detail: (!detail.is_empty()).then_some(detail),
        effect,
    })
}

fn account(event: &str, value: &Value) -> (Severity, Effect) {
    let off = |reason| (Severity::Critical, Effect::SwitchOff(reason));
    match event {
        "PARTNER_REMOVED" => off("partner_removed"),
        "PARTNER_APP_UNINSTALLED" => off("partner_app_uninstalled"),
        "ACCOUNT_OFFBOARDED" => off("account_offboarded"),
        "ACCOUNT_DELETED" => off("account_deleted"),
        "DISABLED_UPDATE" => {
            // A word, or a list of one.
            let state = &value["ban_info"]["waba_ban_state"];
            match words(state).or_else(|| words(&state[0])).as_deref() {
                Some(state) if state.starts_with("SCHEDULE") => (Severity::Warning, Effect::None),
                Some("REINSTATE") => (Severity::Info, Effect::CheckAgain("account_disabled")),
                _ => off("account_disabled"),
            }
        }
        "ACCOUNT_RESTRICTION" => (Severity::Critical, Effect::Restrict("account_restricted")),
        "ACCOUNT_VIOLATION" => (Severity::Warning, Effect::None),
        "ACCOUNT_RECONNECTED" => (Severity::Info, Effect::CheckAgain("account_offboarded")),
        "PARTNER_ADDED" => (Severity::Info, Effect::CheckAgain("partner_removed")),
        "PARTNER_APP_INSTALLED" => (Severity::Info, Effect::CheckAgain("partner_app_uninstalled")),
        _ => (Severity::Info, Effect::None),
    }
}

fn alarm(value: &Value) -> Severity {
    let told = words(&value["alert_info"]["alert_severity"]).or_else(|| words(&value["alert_severity"]));
    match told.as_deref() {
        Some("CRITICAL" | "HIGH") => Severity::Critical,
        Some("INFORMATIONAL" | "INFO" | "LOW") => Severity::Info,
        _ => Severity::Warning,
    }
}

fn number(field: &str, event: &str, value: &Value) -> (Severity, Effect) {
    let digits = words(&value["display_phone_number"]).unwrap_or_default();
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    let mut news = NumberNews { digits: Some(digits), ..NumberNews::default() };
    let mut severity = Severity::Info;
    if field == "phone_number_name_update" {
        news.name_status = Some(event.to_owned());
        if event == "APPROVED" {
            news.verified_name = words(&value["requested_verified_name"]);
        } else {
            severity = Severity::Warning;
        }
    } else {
        // Of the events only these speak of quality; the others move limits.
        news.quality = Some(event.to_owned()).filter(|event| event.ends_with("FLAGGED"));
        news.messaging_limit =
            id(&value["max_daily_conversations_per_business"]).or_else(|| id(&value["current_limit"]));
        if ["FLAGGED", "DOWNGRADE"].contains(&event) {
            severity = Severity::Warning;
        }
    }
    (severity, Effect::Number(news))
}

fn template(field: &str, event: &str, value: &Value) -> (Severity, Effect) {
    let part = |name: &str| id(&value[&format!("message_template_{name}")]);
    let mut news = TemplateNews {
        name: words(&value["message_template_name"]).unwrap_or_default(),
        language: part("language").unwrap_or_default(),
        template_id: part("id"),
        category: part("category"),
        reason: words(&value["reason"]).filter(|reason| reason != "NONE"),
        ..TemplateNews::default()
    };
    if news.name.is_empty() || news.name.len() > 512 || news.language.len() > 40 {
        return (Severity::Info, Effect::None);
    }
    let mut severity = Severity::Info;
    match field {
        "message_template_status_update" => {
            news.status = Some(event.to_owned());
            if ["REJECTED", "PAUSED", "DISABLED", "FLAGGED", "LIMIT_EXCEEDED"].contains(&event) {
                severity = Severity::Warning;
            }
        }
        "message_template_quality_update" => {
            news.quality = id(&value["new_quality_score"]);
            if news.quality.as_deref() == Some("RED") {
                severity = Severity::Warning;
            }
        }
        // Another category is another price.
        "template_category_update" => {
            news.category = id(&value["new_category"]);
            severity = Severity::Warning;
        }
        _ => {}
    }
    (severity, Effect::Template(news))
}

/// Every plain word of a value as `path: word`.
fn flatten(path: &str, value: &Value, said: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(name, _)| *name != "messaging_product") {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, said);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| flatten(path, item, said)),
        Value::Null => {}
        Value::String(text) => said.push(format!("{path}: {text}")),
        other => said.push(format!("{path}: {other}")),
    }
}

#[cfg(test)]
mod tests;
