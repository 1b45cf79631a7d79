//! Tests of [`super`], with values in the shapes Meta sends.

use serde_json::json;

use super::*;
use crate::graph::payload::split;
use crate::inbox::normalize::normalize;

fn told(field: &str, value: &Value) -> BusinessNews {
    let body = json!({"entry": [{"id": "W", "changes": [{"field": field, "value": value}]}]});
    match normalize(&split(body.to_string().as_bytes()).unwrap().changes[0]).remove(0) {
        Item::Business(news) => news,
        other => panic!("{field}: {other:?}"),
    }
}

#[test]
fn account_events_switch_off_restrict_or_warn() {
    use Effect::{CheckAgain, None, Restrict, SwitchOff};
    use Severity::{Critical, Info, Warning};
    let ban = |state: &str| json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": state}});
    for (field, value, severity, effect) in [
        ("account_update", json!({"event": "PARTNER_REMOVED"}), Critical, SwitchOff("partner_removed")),
        (
            "account_update",
            json!({"event": "PARTNER_APP_UNINSTALLED"}),
            Critical,
            SwitchOff("partner_app_uninstalled"),
        ),
        ("account_update", json!({"event": "ACCOUNT_OFFBOARDED"}), Critical, SwitchOff("account_offboarded")),
        ("account_update", json!({"event": "ACCOUNT_DELETED"}), Critical, SwitchOff("account_deleted")),
        ("account_update", ban("DISABLE"), Critical, SwitchOff("account_disabled")),
        ("account_update", json!({"event": "DISABLED_UPDATE"}), Critical, SwitchOff("account_disabled")),
        ("account_update", ban("SCHEDULE_FOR_DISABLE"), Warning, None),
        ("account_update", ban("REINSTATE"), Info, CheckAgain("account_disabled")),
        ("account_update", json!({"event": "ACCOUNT_RESTRICTION"}), Critical, Restrict("account_restricted")),
        ("account_update", json!({"event": "ACCOUNT_VIOLATION"}), Warning, None),
        ("account_update", json!({"event": "ACCOUNT_RECONNECTED"}), Info, CheckAgain("account_offboarded")),
        ("account_update", json!({"event": "PARTNER_ADDED"}), Info, CheckAgain("partner_removed")),
        ("account_update", json!({"event": "VERIFIED_ACCOUNT"}), Info, None),
        ("account_update", json!({}), Info, None),
        ("account_review_update", json!({"decision": "REJECTED"}), Critical, Restrict("review_rejected")),
        ("account_review_update", json!({"decision": "APPROVED"}), Info, CheckAgain("review_rejected")),
        ("account_review_update", json!({"decision": "PENDING"}), Warning, None),
        ("account_alerts", json!({"alert_info": {"alert_severity": "CRITICAL"}}), Critical, None),
        ("account_alerts", json!({"alert_severity": "INFORMATIONAL"}), Info, None),
        ("account_alerts", json!({"alert_type": "OBA_APPROVED"}), Warning, None),
        ("security", json!({"event": "PIN_CHANGED"}), Warning, None),
        ("partner_solutions", json!({"event": "SOLUTION_CREATED"}), Info, None),
        ("payment_configuration_update", json!({"status": "Active"}), Info, None),
    ] {
        let news = told(field, &value);
        assert_eq!((news.severity, news.effect), (severity, effect), "{field} {value}");
        assert_eq!(news.business_account_id, "W");
    }
    let partner =
        json!({"event": "PARTNER_REMOVED", "waba_info": {"waba_id": "W2", "owner_business_id": "7"}});
    let news = told("account_update", &partner);
    assert_eq!((news.business_account_id.as_str(), news.event.as_str()), ("W2", "PARTNER_REMOVED"));
    let detail = "event: PARTNER_REMOVED; waba_info.owner_business_id: 7; waba_info.waba_id: W2";
    assert_eq!(news.detail.as_deref(), Some(detail));
}

#[test]
fn numbers_and_templates_are_told_by_name() {
    let quality =
        json!({"display_phone_number": "+1 555-078", "event": "FLAGGED", "current_limit": "TIER_1K"});
    let expected = NumberNews {
        digits: Some("1555078".into()),
        quality: Some("FLAGGED".into()),
        messaging_limit: Some("TIER_1K".into()),
        ..NumberNews::default()
    };
    assert_eq!(told("phone_number_quality_update", &quality).effect, Effect::Number(expected));
    let name =
        json!({"display_phone_number": "1555078", "decision": "APPROVED", "requested_verified_name": "Shop"});
    let expected = NumberNews {
        digits: Some("1555078".into()),
        name_status: Some("APPROVED".into()),
        verified_name: Some("Shop".into()),
        ..NumberNews::default()
    };
    assert_eq!(told("phone_number_name_update", &name).effect, Effect::Number(expected));
    let limit = told("business_capability_update", &json!({"max_daily_conversation_per_phone": 250}));
    let expected = NumberNews { messaging_limit: Some("250".into()), ..NumberNews::default() };
    assert_eq!(limit.effect, Effect::Number(expected));

    let mut value = json!({"message_template_id": 12, "message_template_name": "order", "message_template_language": "en"});
    let base = TemplateNews {
        name: "order".into(),
        language: "en".into(),
        template_id: Some("12".into()),
        ..TemplateNews::default()
    };
    value["event"] = "REJECTED".into();
    value["reason"] = "INVALID_FORMAT".into();
    let expected = TemplateNews {
        status: Some("REJECTED".into()),
        reason: Some("INVALID_FORMAT".into()),
        ..base.clone()
    };
    let news = told("message_template_status_update", &value);
    assert_eq!((news.severity, news.effect), (Severity::Warning, Effect::Template(expected)));
    value = json!({"message_template_id": 12, "message_template_name": "order", "message_template_language": "en",
        "previous_category": "UTILITY", "new_category": "MARKETING", "new_quality_score": "RED"});
    let expected = TemplateNews { category: Some("MARKETING".into()), ..base.clone() };
    assert_eq!(told("template_category_update", &value).effect, Effect::Template(expected));
    let expected = TemplateNews { quality: Some("RED".into()), ..base };
    assert_eq!(told("message_template_quality_update", &value).effect, Effect::Template(expected));
    assert_eq!(told("message_template_status_update", &json!({"event": "APPROVED"})).effect, Effect::None);
}
