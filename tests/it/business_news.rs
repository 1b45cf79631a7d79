//! What Meta tells about WABAs, numbers and templates: it reaches those it is about, and nobody else.

use serde_json::{Value, json};
use switchboard::sandbox::webhook::Sender;

use crate::at_a_desk;
use crate::harness::shared::Desk;

const STATUS: &str =
    "select status || ' ' || coalesce(status_reason, '-') from whatsapp_accounts where id = $account";
const EVENTS: &str = "select field || ' ' || event || ' ' || severity || ' ' || coalesce(action, '-') from account_events \
                      where tenant_id = $tenant order by id";

fn signed_by(desk: &Desk, secret: &str) -> Sender {
    Sender::new(format!("{}/webhook", desk.service.running.url()), secret).unwrap()
}

fn body(entry: &str, field: &str, value: &Value) -> String {
    json!({"object": "whatsapp_business_account", "entry": [{"id": entry, "time": 1_700_000_000,
        "changes": [{"field": field, "value": value}]}]})
    .to_string()
}

at_a_desk! {
    async fn account_events_change_what_an_account_may_do(desk) {
        let ban = |state: &str| json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": state}});
        let event = |word: &str| json!({ "event": word });
        for (start, value, status) in [
            ("active", event("PARTNER_REMOVED"), "inactive partner_removed"),
            ("token_invalid", event("PARTNER_APP_UNINSTALLED"), "inactive partner_app_uninstalled"),
            ("restricted", event("ACCOUNT_OFFBOARDED"), "inactive account_offboarded"),
            ("restricted", event("ACCOUNT_DELETED"), "inactive account_deleted"),
            ("active", ban("SCHEDULE_FOR_DISABLE"), "active -"),
            ("active", json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": ["SCHEDULE_FOR_DISABLE"]}}), "active -"),
            ("active", ban("DISABLE"), "inactive account_disabled"),
            ("active", json!({"event": "ACCOUNT_RESTRICTION", "restriction_info": [{"restriction_type": "X"}]}),
                "restricted account_restricted"),
            // Without a valid token nothing can be sent anyway; a person's own switch stays as it is.
            ("token_invalid", event("ACCOUNT_RESTRICTION"), "token_invalid -"),
            ("inactive", event("ACCOUNT_RECONNECTED"), "inactive -"),
        ] {
            desk.service.change_account(desk.account, |a| {
                (a.status, a.status_reason) = (start.into(), None);
            })
            .await;
            let seen = desk.texts(EVENTS).await.len();
            desk.tell_of(&desk.waba(), "account_update", &with_mark(value.clone(), seen)).await;
            desk.service.wait_until("the event", || async { desk.texts(EVENTS).await.len() > seen }).await;
            assert_eq!(desk.texts(STATUS).await, [status], "{start} {value}");
        }
        // People read it again, newest first; of another tenant nothing is said.
        let path = format!("/api/v1/whatsapp/integration/acc_{}/events", desk.account);
        let page = desk.api("GET", &format!("{path}?limit=4")).await;
        let told: Vec<_> = page["data"].as_array().unwrap().iter().map(|e| (e["event"].clone(), e["action"].clone())).collect();
        let expected = [("ACCOUNT_RECONNECTED", Value::Null), ("ACCOUNT_RESTRICTION", Value::Null),
            ("ACCOUNT_RESTRICTION", json!("restricted")), ("DISABLED_UPDATE", json!("inactive"))];
        assert_eq!(told, expected.map(|(event, action)| (json!(event), action)));
        let rest = desk.api("GET", &format!("{path}?cursor={}", page["nextCursor"].as_str().unwrap())).await;
        assert_eq!(rest["data"].as_array().unwrap().len(), 6, "{rest}");
        assert_eq!(desk.api("GET", "/api/v1/whatsapp/integration/acc_999999/events").await["status"], 404);
    }

    /// What was switched off for a reason is asked about again when Meta takes it back.
    async fn what_meta_takes_back_is_checked_again(desk) {
        let customer = desk.customer();
        desk.tell_of("portfolio", "account_update", &json!({"event": "PARTNER_REMOVED", "waba_info": {"waba_id": desk.waba()}})).await;
        desk.texts_are(STATUS, &["inactive partner_removed"]).await;
        desk.text(&customer, "Anybody there?").await;
        let parked = "select state || ' ' || coalesce(reason, '') from event_states where phone_number_id = $number";
        desk.texts_are(parked, &["parked account_inactive"]).await;
        desk.tell_of(&desk.waba(), "account_update", &json!({"event": "ACCOUNT_RECONNECTED"})).await;
        desk.tell_of(&desk.waba(), "account_update", &json!({"event": "PARTNER_ADDED"})).await;
        desk.texts_are(STATUS, &["pending -"]).await;
        let expected = ["account_update PARTNER_REMOVED critical inactive", "account_update ACCOUNT_RECONNECTED info -",
            "account_update PARTNER_ADDED info pending"];
        assert_eq!(desk.texts(EVENTS).await, expected);
        assert_eq!(desk.sent().len(), 0);
    }

    /// Whoever merely claims a number hears nothing of its business.
    async fn a_claim_hears_nothing_of_a_business(desk) {
        desk.service.change_account(desk.account, |a| a.status = "pending".into()).await;
        desk.tell_of(&desk.waba(), "account_update", &json!({"event": "ACCOUNT_OFFBOARDED"})).await;
        let state = format!("select s.state || ': ' || coalesce(s.tenant_id, '-') from event_states s \
            join webhook_events e on e.id = s.event_id where e.entry_id = '{}'", desk.waba());
        desk.texts_are(&state, &["unroutable: -"]).await;
        assert_eq!((desk.texts(STATUS).await, desk.texts(EVENTS).await), (vec!["pending -".to_owned()], vec![]));
    }

    /// Told of another's WABA, or signed by another's secret: nothing changes.
    async fn only_the_right_secret_speaks_for_a_business(desk) {
        let number = format!("{}7", desk.number);
        let (chatbot, secret) = (format!("{}-own", desk.chatbot), format!("secret of {}", desk.number));
        let own = desk.another(&chatbot, |wish| {
            wish.number = &number;
            wish.app_secret = Some(&secret);
        })
        .await;
        let removed = json!({"event": "PARTNER_REMOVED"});
        let status = format!("select status from whatsapp_accounts where id in ({own}, $account) order by id");
        // The platform speaks for accounts without a secret, the account's secret for itself.
        desk.tell_of(&format!("waba-{number}"), "account_update", &removed).await;
        let forged = signed_by(&desk, &secret).send(body(&desk.waba(), "account_update", &removed)).await.unwrap();
        assert_eq!(forged.status, 200);
        desk.tell_of("waba-of-nobody", "account_update", &removed).await;
        desk.rest().await;
        assert_eq!(desk.texts(&status).await, ["active", "active"]);
        assert_eq!(desk.texts(EVENTS).await, [""; 0]);
        let genuine = body(&format!("waba-{number}"), "account_update", &removed);
        signed_by(&desk, &secret).send(genuine).await.unwrap();
        desk.texts_are(&status, &["active", "inactive"]).await;
    }

    /// People and the tenant's own systems hear of what happened to an account.
    async fn a_switched_off_account_is_told_of(desk) {
        let receiver = crate::harness::receiver::Receiver::start();
        desk.api_with("POST", "/api/v1/event-endpoints", json!({"url": receiver.url, "types": ["account.status", "message.received"]})).await;
        let echo = json!({"message_echoes": [{"to": desk.customer(), "id": format!("w{}", desk.number), "timestamp": "1700000000",
            "type": "text", "text": {"body": "Not a customer's"}}]});
        desk.tell("smb_message_echoes", echo).await;
        desk.tell_of(&desk.waba(), "account_update", &json!({"event": "ACCOUNT_RESTRICTION"})).await;
        desk.texts_are(STATUS, &["restricted account_restricted"]).await;
        desk.tell_of(&desk.waba(), "account_update", &json!({"event": "ACCOUNT_DELETED"})).await;
        let told: Vec<Value> = receiver.wait_for(2).await.iter().map(|call| call.json()["data"].clone()).collect();
        let told: Vec<(&str, &str)> = told.iter().map(|d| (d["status"].as_str().unwrap(), d["reason"].as_str().unwrap())).collect();
        assert_eq!(told, [("restricted", "account_restricted"), ("inactive", "account_deleted")]);
        let alerts = desk.api("GET", "/api/v1/alerts").await;
        let mut kinds: Vec<&str> = alerts["data"].as_array().unwrap().iter().map(|a| a["kind"].as_str().unwrap()).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["account_restricted", "business_news"]);
    }

    async fn templates_are_known_by_name_and_language(desk) {
        let template = |more: Value| {
            let mut value = json!({"message_template_id": 77, "message_template_name": "order_sent",
                "message_template_language": "en_US"});
            value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            value
        };
        let known = "select name || ' ' || language || ' ' || template_id || ' ' || coalesce(status, '-') || ' ' || \
            coalesce(category, '-') || ' ' || coalesce(quality, '-') || ' ' || coalesce(reason, '-') || ' ' || last_event \
            from templates where tenant_id = $tenant order by language";
        for (field, more, expected) in [
            ("message_template_status_update", json!({"event": "APPROVED", "reason": "NONE", "message_template_category": "UTILITY"}),
                "order_sent en_US 77 APPROVED UTILITY - - APPROVED"),
            ("message_template_quality_update", json!({"previous_quality_score": "GREEN", "new_quality_score": "YELLOW"}),
                "order_sent en_US 77 APPROVED UTILITY YELLOW - MESSAGE_TEMPLATE_QUALITY_UPDATE"),
            ("template_category_update", json!({"previous_category": "UTILITY", "new_category": "MARKETING"}),
                "order_sent en_US 77 APPROVED MARKETING YELLOW - TEMPLATE_CATEGORY_UPDATE"),
            ("message_template_status_update", json!({"event": "PAUSED", "reason": "LOW_QUALITY"}),
                "order_sent en_US 77 PAUSED MARKETING YELLOW LOW_QUALITY PAUSED"),
        ] {
            desk.tell_of(&desk.waba(), field, &template(more)).await;
            desk.texts_are(known, &[expected]).await;
        }
        desk.tell_of(&desk.waba(), "message_template_status_update",
            &template(json!({"event": "APPROVED", "message_template_language": "es"}))).await;
        desk.texts_are("select language from templates where tenant_id = $tenant order by language", &["en_US", "es"]).await;
        let reasons = "select s.reason from event_states s join webhook_events e on e.id = s.event_id where e.entry_id = ";
        assert_eq!(desk.texts(&format!("{reasons}'{}'", desk.waba())).await, [""; 0], "done, not ignored");
    }

    async fn numbers_keep_what_meta_thinks_of_them(desk) {
        let number = format!("{}5", desk.number);
        let chatbot = format!("{}-n", desk.chatbot);
        desk.another(&chatbot, |wish| {
            wish.number = &number;
            wish.display = Some("+1 555-078-3881");
        })
        .await;
        let waba = format!("waba-{number}");
        let known = format!("select coalesce(quality, '-') || ' ' || coalesce(messaging_limit, '-') || ' ' || \
            coalesce(verified_name, '-') || ' ' || coalesce(name_status, '-') from numbers where phone_number_id = '{number}'");
        for (field, value, expected) in [
            ("phone_number_quality_update", json!({"display_phone_number": "15550783881", "event": "FLAGGED", "current_limit": "TIER_2K"}),
                "FLAGGED TIER_2K - -"),
            ("phone_number_quality_update", json!({"display_phone_number": "15550783882", "event": "UNFLAGGED", "current_limit": "TIER_9"}),
                "FLAGGED TIER_2K - -"),
            ("phone_number_name_update", json!({"display_phone_number": "15550783881", "decision": "APPROVED",
                "requested_verified_name": "Lucky Shrub"}), "FLAGGED TIER_2K Lucky Shrub APPROVED"),
            ("phone_number_quality_update", json!({"display_phone_number": "15550783881", "event": "UPGRADE", "current_limit": "TIER_10K"}),
                "FLAGGED TIER_10K Lucky Shrub APPROVED"),
            ("business_capability_update", json!({"max_daily_conversations_per_business": "TIER_100K"}),
                "FLAGGED TIER_100K Lucky Shrub APPROVED"),
        ] {
            let seen = desk.texts(EVENTS).await.len();
            desk.tell_of(&waba, field, &value).await;
            desk.service.wait_until("the event", || async { desk.texts(EVENTS).await.len() > seen }).await;
            assert_eq!(desk.texts(&known).await, [expected], "{field} {value}");
        }
        assert_eq!(desk.texts(EVENTS).await[0], "phone_number_quality_update FLAGGED warning -");
    }

    async fn every_other_field_is_kept_with_a_reason(desk) {
        let reason = format!("select coalesce(s.reason, 'done') from webhook_events e left join event_states s on s.event_id = e.id \
            where e.entry_id = '{}' order by e.id desc limit 1", desk.waba());
        for (field, expected) in [
            ("history", "history: old messages of the phone app"),
            ("smb_app_state_sync", "the phone app's address book"),
            ("group_lifecycle_update", "groups are not answered"),
            ("group_participants_update", "groups are not answered"),
            ("group_settings_update", "groups are not answered"),
            ("group_status_update", "groups are not answered"),
            ("automatic_events", "a measurement for advertisers"),
            ("tracking_events", "a measurement for advertisers"),
            ("consumer_profile", "a customer's profile"),
            ("something_new", "field not known: something_new"),
        ] {
            desk.tell(field, json!({"messages": [{"id": "w", "from": "1", "type": "text", "text": {"body": "old"}}]})).await;
            desk.texts_are(&reason, &[expected]).await;
        }
        for field in ["account_alerts", "account_review_update", "account_settings_update", "business_status_update",
            "business_username_update", "business_username_updates", "flows", "message_template_components_update",
            "partner_solutions", "payment_configuration_update", "security", "template_correct_category_detection"] {
            let seen = desk.texts(EVENTS).await.len();
            desk.tell_of(&desk.waba(), field, &json!({"event": "SOMETHING"})).await;
            desk.service.wait_until(field, || async { desk.texts(EVENTS).await.len() > seen }).await;
            assert_eq!(desk.texts(&reason).await, ["done"], "{field}");
        }
        assert_eq!(desk.rest().await.len(), 0);
        assert_eq!(desk.texts(STATUS).await, ["active -"]);
    }
}

/// Makes equal events different deliveries.
fn with_mark(mut value: Value, mark: usize) -> Value {
    value["mark"] = mark.into();
    value
}
