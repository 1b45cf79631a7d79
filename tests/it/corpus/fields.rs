//! Every other field, as its page shows it, as the dashboard's button "Test" sends it, and without anything in it.

use super::{Case, value};

const SAID: &str =
    r#"{"id":"$ID","from":"$FROM","timestamp":"$NOW","type":"text","text":{"body":"Not for you"}}"#;

/// About a number: the members of the value beside the number. None of it is a question.
const OF_NUMBERS: &[(&str, &str)] = &[
    (
        "messages",
        r#""errors":[{"code":130429,"title":"Rate limit hit","message":"x","error_data":{"details":"x"},"href":"x"}]"#,
    ),
    ("messages", r#""contacts":[{"wa_id":"$FROM"}]"#),
    (
        "messages",
        r#""conversation_context":{"summary":{"text":"x"}},"user_actions":[{"action_type":"marketing_messages_link_click","timestamp":"1"}]"#,
    ),
    (
        "smb_message_echoes",
        r#""message_echoes":[{"from":"15550783881","to":"$FROM","id":"$ID","timestamp":"$NOW","type":"text","text":{"body":"Here's the info"}}]"#,
    ),
    (
        "smb_message_echoes",
        r#""message_echoes":[{"from":"15550783881","to":"$FROM","id":"$ID","timestamp":"$NOW","type":"image","image":{"id":"1","mime_type":"image/jpeg"}}]"#,
    ),
    (
        "smb_message_echoes",
        r#""message_echoes":[{"from":"15550783881","to":"$FROM","id":"$ID","timestamp":"$NOW","type":"revoke","revoke":{"original_message_id":"w"}}]"#,
    ),
    (
        "smb_message_echoes",
        r#""message_echoes":[{"from":"15550783881","id":"$ID","timestamp":"$NOW","type":"text","text":{"body":"to nobody"}}]"#,
    ),
    (
        "smb_message_echoes",
        r#""message_echoes":[{"from":"15550783881","to":"$FROM","to_user_id":"$USER","group_id":"G","id":"$ID","timestamp":"$NOW","type":"text","text":{"body":"to a group"}}]"#,
    ),
    (
        "message_echoes",
        r#""message_echoes":[{"from":"15550783881","to":"$FROM","id":"$ID","timestamp":"$NOW","type":"text","text":{"body":"Ours, or another's"}}]"#,
    ),
    (
        "message_echoes",
        r#""message_echoes":[{"to_user_id":"$USER","id":"$ID","timestamp":"$NOW","type":"template","template":{"name":"x"}}]"#,
    ),
    ("message_echoes", r#""message_echoes":{}"#),
    (
        "history",
        r#""history":[{"metadata":{"phase":0,"chunk_order":1,"progress":55},"threads":[{"id":"$FROM","messages":[{"from":"$FROM","id":"$ID","timestamp":"$NOW","type":"text","text":{"body":"old"},"history_context":{"status":"read"}}]}]}]"#,
    ),
    ("history", r#""history":[{"errors":[{"code":2593109,"title":"declined","message":"x"}]}]"#),
    (
        "history",
        r#""contacts":[{"wa_id":"$FROM"}],"messages":[{"from":"$FROM","id":"$ID","timestamp":"$NOW","type":"image","image":{"id":"1","caption":"half a year old"}}]"#,
    ),
    (
        "smb_app_state_sync",
        r#""state_sync":[{"type":"contact","contact":{"full_name":"Pablo","first_name":"Pablo","phone_number":"$FROM"},"action":"add","metadata":{"timestamp":"1"}}]"#,
    ),
    (
        "calls",
        r#""calls":[{"id":"wacid.$FROM","to":"15550783881","from":"$FROM","event":"connect","timestamp":"$NOW","direction":"USER_INITIATED","session":{"sdp_type":"offer","sdp":"v=0"}}]"#,
    ),
    (
        "calls",
        r#""contacts":[{"profile":{"name":"A"},"wa_id":"$FROM"}],"calls":[{"id":"wacid.2$FROM","to":"1","from":"$FROM","event":"terminate","direction":"USER_INITIATED","timestamp":"$NOW","duration":34,"status":"COMPLETED"}]"#,
    ),
    (
        "calls",
        r#""calls":[{"id":"wacid.3$FROM","to":"$FROM","from":"15550783881","event":"connect","direction":"BUSINESS_INITIATED","timestamp":"$NOW"}]"#,
    ),
    (
        "calls",
        r#""statuses":[{"id":"wacid.x","timestamp":"$NOW","type":"call","status":"RINGING","recipient_id":"$FROM"}]"#,
    ),
    (
        "user_preferences",
        r#""contacts":[{"profile":{"name":"A"},"wa_id":"$FROM"}],"user_preferences":[{"wa_id":"$FROM","detail":"User requested to stop marketing messages","category":"marketing_messages","value":"stop","timestamp":1731705721}]"#,
    ),
    (
        "user_preferences",
        r#""user_preferences":[{"user_id":"$USER","category":"marketing_messages","value":"resume","timestamp":"1731705722"}]"#,
    ),
    (
        "user_preferences",
        r#""user_preferences":[{"wa_id":"$FROM","category":"utility_messages","value":"stop"}]"#,
    ),
    ("user_preferences", r#""user_preferences":[{"wa_id":"$FROM","value":"perhaps"}]"#),
    (
        "user_id_update",
        r#""user_id_update":[{"wa_id":"$FROM","user_id":{"previous":"$USER","current":"US.9$FROM"},"parent_user_id":{"previous":"US.ENT.1","current":"US.ENT.2"},"timestamp":"$NOW"}]"#,
    ),
    ("user_id_update", r#""user_id_update":[{"user_id":{"current":"US.8$FROM"}}]"#),
    ("user_id_update", r#""user_id_update":{"user_id":"$USER"}"#),
    ("automatic_events", r#""automatic_events":[{"id":"$ID","event_name":"LeadSubmitted","timestamp":1}]"#),
    ("tracking_events", r#""tracking_events":[{}]"#),
    ("consumer_profile", r#""profile":{}"#),
    (
        "group_lifecycle_update",
        r#""groups":[{"timestamp":"1","group_id":"G","type":"group_create","request_id":"r","subject":"S","invite_link":"https://chat.whatsapp.com/L"}]"#,
    ),
    (
        "group_participants_update",
        r#""groups":[{"timestamp":"1","group_id":"G","type":"group_participants_add","added_participants":[{"wa_id":"$FROM"}]}]"#,
    ),
    (
        "group_settings_update",
        r#""groups":[{"timestamp":"1","group_id":"G","type":"group_settings_update"}]"#,
    ),
    ("group_status_update", r#""groups":[{"timestamp":"1","group_id":"G","type":"group_suspend"}]"#),
];

/// About a business: entry and value.
const OF_BUSINESSES: &[(&str, &str, &str)] = &[
    (
        "account_alerts",
        "$WABA",
        r#"{"entity_type":"BUSINESS","entity_id":"1","alert_info":{"alert_severity":"WARNING","alert_status":"NONE","alert_type":"OBA_APPROVED","alert_description":"x"}}"#,
    ),
    (
        "account_alerts",
        "$WABA",
        r#"{"entity_type":"PHONE_NUMBER","entity_id":"$PNID","alert_severity":"CRITICAL","alert_type":"INCREASED_CAPABILITIES_ELIGIBILITY_FAILED"}"#,
    ),
    ("account_review_update", "$OTHER", r#"{"decision":"APPROVED"}"#),
    ("account_review_update", "$OTHER", r#"{"decision":"REJECTED"}"#),
    ("account_review_update", "$OTHER", r#"{"decision":"PENDING"}"#),
    (
        "account_settings_update",
        "$WABA",
        r#"{"timestamp":"1","type":"phone_number_settings","phone_number_settings":{"phone_number_id":"$PNID","calling":{"status":"DISABLED"}}}"#,
    ),
    ("account_update", "$OTHER", r#"{"phone_number":"16505551111","event":"VERIFIED_ACCOUNT"}"#),
    (
        "account_update",
        "$OTHER",
        r#"{"event":"ACCOUNT_VIOLATION","violation_info":{"violation_type":"ALCOHOL"}}"#,
    ),
    (
        "account_update",
        "$OTHER",
        r#"{"event":"ACCOUNT_RESTRICTION","restriction_info":[{"restriction_type":"RESTRICTED_BIZ_INITIATED_MESSAGING","expiration":1641848690}]}"#,
    ),
    (
        "account_update",
        "$OTHER",
        r#"{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":["SCHEDULE_FOR_DISABLE"],"waba_ban_date":"June 1, 2021"}}"#,
    ),
    ("account_update", "$OTHER", r#"{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":"REINSTATE"}}"#),
    (
        "account_update",
        "$OTHER",
        r#"{"event":"AD_ACCOUNT_LINKED","waba_info":{"waba_id":"$OTHER","ad_account_id":"1"}}"#,
    ),
    (
        "account_update",
        "portfolio",
        r#"{"event":"PARTNER_ADDED","waba_info":{"waba_id":"$OTHER","owner_business_id":"2"}}"#,
    ),
    (
        "account_update",
        "portfolio",
        r#"{"event":"PARTNER_APP_INSTALLED","waba_info":{"waba_id":"$OTHER","partner_app_id":"3"}}"#,
    ),
    (
        "account_update",
        "portfolio",
        r#"{"event":"PARTNER_CLIENT_CERTIFICATION_STATUS_UPDATE","partner_client_certification_info":{"status":"APPROVED"}}"#,
    ),
    (
        "account_update",
        "$OTHER",
        r#"{"event":"AUTH_INTL_PRICE_ELIGIBILITY_UPDATE","auth_international_rate_eligibility":{"start_time":1}}"#,
    ),
    ("account_update", "$OTHER", r#"{"event":"ACCOUNT_RECONNECTED"}"#),
    ("account_update", "$OTHER", r#"{"event":7}"#),
    ("account_update", "$OTHER", r#"{}"#),
    (
        "business_capability_update",
        "$WABA",
        r#"{"max_daily_conversations_per_business":2000,"max_phone_numbers_per_business":25}"#,
    ),
    (
        "business_capability_update",
        "$WABA",
        r#"{"max_daily_conversation_per_phone":100000,"max_phone_numbers_per_waba":25}"#,
    ),
    ("business_status_update", "$WABA", r#"{"event":"COMPROMISED_NOTIFICATION"}"#),
    (
        "business_username_update",
        "$WABA",
        r#"{"display_phone_number":"15550783881","username":"jaspers","status":"approved"}"#,
    ),
    ("business_username_updates", "$WABA", r#"{"username":"jaspers","status":"reserved"}"#),
    (
        "flows",
        "$WABA",
        r#"{"event":"FLOW_STATUS_CHANGE","message":"x","flow_id":"6627390910605886","old_status":"DRAFT","new_status":"PUBLISHED"}"#,
    ),
    (
        "flows",
        "$WABA",
        r#"{"event":"ENDPOINT_ERROR_RATE","flow_id":"1","error_rate":14.28,"errors":[{"error_type":"INVALID_SCREEN_TRANSITION","error_rate":66.66,"error_count":2}]}"#,
    ),
    (
        "message_template_components_update",
        "$WABA",
        r#"{"message_template_id":1,"message_template_name":"order","message_template_language":"en_US","message_template_element":"Thanks {{1}}","message_template_buttons":[{"message_template_button_type":"URL","message_template_button_text":"x"}]}"#,
    ),
    (
        "message_template_quality_update",
        "$WABA",
        r#"{"previous_quality_score":"GREEN","new_quality_score":"YELLOW","message_template_id":806312974732579,"message_template_name":"welcome","message_template_language":"en-US"}"#,
    ),
    (
        "message_template_status_update",
        "$WABA",
        r#"{"event":"APPROVED","message_template_id":1689556908129832,"message_template_name":"order","message_template_language":"en-US","reason":"NONE","message_template_category":"UTILITY"}"#,
    ),
    (
        "message_template_status_update",
        "$WABA",
        r#"{"event":"REJECTED","message_template_id":1,"message_template_name":"order","message_template_language":"en","reason":"INVALID_FORMAT"}"#,
    ),
    (
        "message_template_status_update",
        "$WABA",
        r#"{"event":"PAUSED","message_template_id":1,"message_template_name":"order","message_template_language":"en","other_info":{"title":"FIRST_PAUSE","description":"x"}}"#,
    ),
    (
        "message_template_status_update",
        "$WABA",
        r#"{"event":"PENDING_DELETION","message_template_name":"o'rder; --","message_template_language":"en"}"#,
    ),
    ("message_template_status_update", "$WABA", r#"{"event":"APPROVED"}"#),
    (
        "template_category_update",
        "$WABA",
        r#"{"message_template_id":278077987957091,"message_template_name":"welcome","message_template_language":"en-US","new_category":"MARKETING","correct_category":"MARKETING","category_update_timestamp":1}"#,
    ),
    (
        "template_correct_category_detection",
        "$WABA",
        r#"{"message_template_id":1,"message_template_name":"welcome","message_template_language":"en","category":"UTILITY","correct_category":"MARKETING"}"#,
    ),
    (
        "partner_solutions",
        "portfolio",
        r#"{"event":"SOLUTION_CREATED","solution_id":"774485461512159","solution_status":"INITIATED"}"#,
    ),
    (
        "payment_configuration_update",
        "$WABA",
        r#"{"configuration_name":"x","provider_name":"razorpay","provider_mid":"1","status":"Needs Testing","created_timestamp":1,"updated_timestamp":2}"#,
    ),
    (
        "phone_number_name_update",
        "$WABA",
        r#"{"display_phone_number":"15550783881","decision":"APPROVED","requested_verified_name":"Lucky Shrub","rejection_reason":null}"#,
    ),
    (
        "phone_number_name_update",
        "$WABA",
        r#"{"display_phone_number":"15550783881","decision":"DEFERRED","requested_verified_name":"Lucky","rejection_reason":"NAME_EMPLOYEE_ISSUE"}"#,
    ),
    (
        "phone_number_quality_update",
        "$WABA",
        r#"{"display_phone_number":"15550783881","event":"ONBOARDING","current_limit":"TIER_NOT_SET","old_limit":"TIER_50"}"#,
    ),
    (
        "phone_number_quality_update",
        "$WABA",
        r#"{"display_phone_number":null,"event":"THROUGHPUT_UPGRADE","max_daily_conversations_per_business":"TIER_UNLIMITED"}"#,
    ),
    (
        "security",
        "$WABA",
        r#"{"display_phone_number":"15550783881","event":"PIN_CHANGED","requester":"61555822107539"}"#,
    ),
    ("security", "$WABA", r#"{"event":"PIN_RESET_REQUEST"}"#),
    (
        "messaging_handovers",
        "$WABA",
        r#"{"messaging_product":"whatsapp","type":"control_passed","timestamp":"1","sender":{"phone_number":"$FROM"},"recipient":{"phone_number_id":"$PNID"},"control_passed":{"metadata":"m"},"conversation_context":{"summary":{"text":"Wants a refund"}}}"#,
    ),
    (
        "messaging_handovers",
        "$WABA",
        r#"{"type":"control_taken","recipient":{"phone_number_id":"$PNID"},"control_taken":{}}"#,
    ),
    (
        "messaging_handovers",
        "$WABA",
        r#"{"type":"control_lost","sender":{"phone_number":"$FROM"},"recipient":{"phone_number_id":"$PNID"}}"#,
    ),
    (
        "messaging_handovers",
        "$WABA",
        r#"{"sender":{"user_id":"$USER"},"recipient":{"phone_number_id":"$PNID"},"control_passed":{}}"#,
    ),
    ("messaging_handovers", "$WABA", r#"{}"#),
    ("account_update", "portfolio", r#"{"event":"PARTNER_REMOVED","waba_info":{"waba_id":"$OTHER"}}"#),
    ("account_update", "$OTHER", r#"{"event":"ACCOUNT_DELETED"}"#),
];

/// Fields of the dashboard's button, which sends them about numbers and businesses that do not exist.
const DASHBOARD: &[&str] = &[
    "messages",
    "account_alerts",
    "account_update",
    "account_review_update",
    "business_capability_update",
    "message_template_status_update",
    "phone_number_name_update",
    "phone_number_quality_update",
    "security",
    "flows",
    "history",
    "smb_message_echoes",
    "smb_app_state_sync",
    "calls",
    "user_preferences",
    "message_template_quality_update",
    "template_category_update",
    "tomorrows_field",
    "",
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (field, members) in OF_NUMBERS {
        cases.push(Case::change(members, 0, "$WABA", field, &value(members)));
    }
    for members in [
        format!(r#""standby":{{"messages":[{SAID}],"contacts":[{{"wa_id":"$FROM"}}]}}"#),
        r#""standby":{"message_echoes":[{"id":"$ID","to":"$FROM","timestamp":"$NOW","type":"text","text":{"body":"An agent"}}]}"#.to_owned(),
        r#""standby":{"statuses":[{"id":"$ID","status":"read","timestamp":"$NOW"}]}"#.to_owned(),
        r#""standby":[]"#.to_owned(),
        format!(r#""messages":[{SAID}]"#),
    ] {
        cases.push(Case::change(&members, 0, "$WABA", "standby", &value(&members)));
    }
    cases.push(Case::change(
        "with messages",
        0,
        "$WABA",
        "tomorrows_field",
        &value(&format!(r#""messages":[{SAID}]"#)),
    ));
    for (field, entry, value) in OF_BUSINESSES {
        cases.push(Case::change(value, 0, entry, field, value));
    }
    let message = r#"{"from":"16315551181","id":"ABGGFlA5Fpa$FROM","timestamp":"1504902988","type":"text","text":{"body":"this is a text message"}}"#;
    let metadata = r#"{"display_phone_number":"16505551111","phone_number_id":"123456123"}"#;
    let contact =
        r#"{"profile":{"name":"test user name"},"wa_id":"16315551181","user_id":"US.13491208655302741918"}"#;
    let value = format!(
        r#"{{"messaging_product":"whatsapp","metadata":{metadata},"contacts":[{contact}],"messages":[{message}],"event":"PARTNER_REMOVED","decision":"REJECTED"}}"#
    );
    for field in DASHBOARD {
        cases.push(Case::change("from the dashboard", 0, "0", field, &value));
        cases.push(Case::change("without a value", 0, "$WABA", field, "null"));
    }
    cases
}
