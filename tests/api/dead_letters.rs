//! What ended badly, and what was left: listed, and tried again one by one or by what it shares.

use serde_json::{Value, json};

use super::harness::{ADMIN, Api};
use switchboard::auth::Role;
use switchboard::sandbox::graph::{Fault, Rule};
use switchboard::store::events::EventState;

const LETTERS: &str = "/api/v1/dead-letters";
const RETRY: &str = "/api/v1/dead-letters/retry";
const REPLAY: &str = "/api/v1/events/replay";
const SEND: &str = "/api/v1/whatsapp/send?chatbotId=shop";

/// A chatbot that says what it is told, on number 111.
async fn echo(api: &Api, tenant: &str) -> String {
    let key = api.key(tenant, Role::Admin).await;
    let body = json!({"id": "shop", "responder": {"kind": "echo"}, "coalesceMs": 0, "typing": false});
    api.expect(201, "post", "/api/v1/chatbots", &key, body).await;
    api.onboard(&key, "shop", "111").await;
    key
}

async fn send(api: &Api, key: &str, to: &str, wished: &str) {
    let queued =
        api.expect(202, "post", SEND, key, json!({"to": to, "message": "Hello", "force": true})).await;
    let path = format!("/api/v1/deliveries/{}", queued["id"].as_str().unwrap());
    api.until(&path, key, |data| data["status"] == wished).await;
}

#[actix_web::test]
async fn what_failed_is_listed_and_tried_again_by_its_reason() {
    let api = Api::start().await;
    let key = echo(&api, "a").await;
    let other = api.key("b", Role::Admin).await;
    api.graph.fault(Rule::from(Fault::error(400, 131_026)).times(2));
    send(&api, &key, "+15551230001", "failed").await;
    send(&api, &key, "+15551230002", "failed").await;
    api.graph.fault(Fault::LoseAnswer);
    send(&api, &key, "+15551230003", "unknown").await;
    let lost = api.graph.sent_count();

    let list = async |key: &str, query: &str| {
        let (status, page) = api.call("get", &format!("{LETTERS}?{query}"), key, Value::Null).await;
        assert_eq!(status, 200, "{page}");
        page
    };
    let failed = list(&key, "status=failed").await;
    let letter = &failed["data"][0];
    assert_eq!(failed["data"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&letter["kind"], &letter["tenant"], &letter["reason"]),
        (&json!("message"), &json!("a"), &json!("undeliverable"))
    );
    assert!(letter["advice"].is_string() && letter["age"].is_i64() && letter["text"].is_null());
    let first = list(&key, "status=failed&limit=1").await;
    let cursor = first["nextCursor"].as_str().unwrap();
    let second = list(&key, &format!("status=failed&limit=1&cursor={cursor}")).await;
    assert_eq!(
        (&first["data"][0]["id"], &second["data"][0]["id"]),
        (&failed["data"][0]["id"], &failed["data"][1]["id"])
    );
    assert!(second["nextCursor"].is_null());
    assert_eq!(list(&other, "status=failed").await["data"], json!([]), "another tenant's");
    assert_eq!(
        list(ADMIN, "status=failed").await["data"].as_array().unwrap().len(),
        2,
        "the platform sees all"
    );
    assert_eq!(list(&key, "status=failed&reason=window_closed").await["data"], json!([]));
    assert_eq!(list(&key, "status=failed&until=2020-01-01").await["data"], json!([]));
    api.wrong_fields(
        "get",
        &format!("{LETTERS}?status=sent&since=x"),
        &key,
        Value::Null,
        &["status", "since"],
    )
    .await;

    let viewer = api.key("a", Role::Viewer).await;
    api.refuse(403, "forbidden", "post", RETRY, &viewer, json!({})).await;
    api.wrong_fields("post", RETRY, &key, json!({"status": "sent", "since": 5}), &["status", "since"]).await;
    api.refuse(409, "confirmation_needed", "post", RETRY, &key, json!({"status": "unknown"})).await;
    let nothing = api.expect(200, "post", RETRY, &other, json!({"status": "failed"})).await;
    assert_eq!((&nothing["found"], &nothing["retried"]), (&json!(0), &json!(0)));
    let wish = json!({"status": "failed", "reason": "undeliverable", "since": "2020-01-01"});
    let done = api.expect(200, "post", RETRY, &key, wish.clone()).await;
    assert_eq!((&done["found"], &done["retried"], &done["more"]), (&json!(2), &json!(2), &json!(false)));
    for letter in failed["data"].as_array().unwrap() {
        // Nobody patrols here: each is nudged by one more wish, which finds it in line already.
        let conversation =
            letter["conversationId"].as_str().unwrap().trim_start_matches("cnv_").parse().unwrap();
        api.parts.nudge(conversation).await;
    }
    api.graph.wait_for_sent(lost + 2, std::time::Duration::from_secs(5)).await;
    let again = api.expect(200, "post", RETRY, &key, wish).await;
    assert_eq!(again["found"], 0, "tried once");
    let doubles = json!({"status": "unknown", "confirm": true});
    assert_eq!(api.expect(200, "post", RETRY, &key, doubles).await["retried"], 1);
    let logged =
        api.parts.store.audit_page(Some("a"), None, Some("dead_letters.retry"), i64::MAX, 9).await.unwrap();
    let details: Vec<_> = logged.iter().map(|line| line.detail.as_deref().unwrap()).collect();
    assert_eq!(details, ["1", "0", "2"]);
}

#[actix_web::test]
async fn many_events_are_read_again() {
    let api = Api::start().await;
    let key = echo(&api, "a").await;
    let other = api.key("b", Role::Admin).await;
    let parked = api.event("111", "1", Some(EventState::Parked)).await;
    let refused = api.event("111", "2", Some(EventState::Refused)).await;
    let done = api.event("111", "3", None).await;
    let id = |id: i64| json!(format!("evt_{id}"));

    let agent = api.key("a", Role::Agent).await;
    api.refuse(403, "forbidden", "post", REPLAY, &agent, json!({"since": "2020-01-01"})).await;
    api.wrong_fields("post", REPLAY, &key, json!({}), &["since"]).await;
    api.wrong_fields("post", REPLAY, &key, json!({"states": ["done"], "after": "3"}), &["states", "after"])
        .await;
    let dry = json!({"since": "2020-01-01", "dryRun": true});
    let seen = api.expect(200, "post", REPLAY, &key, dry.clone()).await;
    assert_eq!((&seen["found"], &seen["replayed"]), (&json!(3), &json!(0)));
    assert_eq!(seen["events"], json!([id(parked), id(refused), id(done)]));
    assert_eq!(api.expect(200, "post", REPLAY, &other, dry).await["found"], 0, "another tenant's number");
    let late = json!({"states": ["parked", "refused"], "until": "2020-01-01"});
    assert_eq!(api.expect(200, "post", REPLAY, &key, late).await["found"], 0);
    let some = json!({"states": ["parked", "refused"]});
    let replayed = api.expect(200, "post", REPLAY, &key, some.clone()).await;
    assert_eq!((&replayed["replayed"], &replayed["nextAfter"]), (&json!(2), &Value::Null));
    let (_, open) = api.call("get", "/api/v1/events?state=received", &key, Value::Null).await;
    assert_eq!(open["data"].as_array().unwrap().len(), 2);
    assert_eq!(api.expect(200, "post", REPLAY, &key, some).await["found"], 0, "they wait already");
    let after = json!({"since": "2020-01-01", "after": id(refused)});
    assert_eq!(api.expect(200, "post", REPLAY, &key, after).await["events"], json!([id(done)]));
}
