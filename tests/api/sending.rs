//! Messages the business starts: to one, to many, and refused without a trace.

use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Api, CUSTOMER};
use switchboard::auth::Role;

const SEND: &str = "/api/v1/whatsapp/send?chatbotId=shop";

async fn shop(api: &Api) -> String {
    let key = api.key("a", Role::Admin).await;
    let body = json!({"id": "shop", "responder": {"kind": "echo"}, "coalesceMs": 0, "typing": false});
    api.expect(201, "post", "/api/v1/chatbots", &key, body).await;
    api.onboard(&key, "shop", "111").await;
    key
}

async fn count(api: &Api, key: &str, list: &str) -> usize {
    let (status, page) = api.call("get", &format!("/api/v1/{list}"), key, Value::Null).await;
    assert_eq!(status, 200, "{page}");
    page["data"].as_array().unwrap().len()
}

#[actix_web::test]
async fn what_is_refused_leaves_nothing_behind() {
    let api = Api::start().await;
    let key = shop(&api).await;
    let plain = json!({"to": CUSTOMER, "message": "x"});
    api.refuse(409, "window_closed", "post", SEND, &key, plain.clone()).await;
    let odd = json!({"to": CUSTOMER, "force": true, "type": "image", "image": {"id": "med_99"}});
    api.wrong_fields("post", SEND, &key, odd, &["image.id"]).await;
    let empty =
        json!({"to": CUSTOMER, "force": true, "type": "interactive", "interactive": {"type": "button"}});
    assert_eq!(api.call("post", SEND, &key, empty).await.0, 400);
    let by_id = json!({"recipient": "US.1349120865", "message": "x"});
    api.refuse(409, "window_closed", "post", SEND, &key, by_id).await;
    let off = json!({"status": "inactive"});
    let integration = "/api/v1/whatsapp/integration?chatbotId=shop";
    api.expect(200, "patch", integration, &key, off).await;
    let forced = json!({"to": CUSTOMER, "message": "x", "force": true});
    api.refuse(409, "not_active", "post", SEND, &key, forced).await;
    for list in ["contacts", "conversations", "deliveries"] {
        assert_eq!(count(&api, &key, list).await, 0, "{list}");
    }
    api.expect(200, "patch", integration, &key, json!({"status": "active"})).await;

    api.inbound("111", "wamid.1", "Hello", None).await;
    api.expect(202, "post", SEND, &key, plain).await;
    assert_eq!(count(&api, &key, "conversations").await, 1);
}

#[actix_web::test]
async fn one_call_sends_to_many_or_to_nobody() {
    let api = Api::start().await;
    let key = shop(&api).await;
    api.inbound("111", "wamid.1", "Hello", None).await;
    let (other, third) = ("15551230002", "15551230003");
    let body = json!({"type": "bulk", "message": "News", "contacts": [
        {"phone": CUSTOMER}, {"to": format!("+{other}"), "message": "News for you"}, {"number": third}]});
    let (status, refused) = api.call("post", SEND, &key, body.clone()).await;
    assert_eq!((status, &refused["code"]), (409, &json!("window_closed")), "{refused}");
    let fields: Vec<&Value> = refused["errors"].as_array().unwrap().iter().map(|e| &e["field"]).collect();
    assert_eq!(fields, ["contacts.1", "contacts.2"]);
    assert_eq!(count(&api, &key, "contacts").await, 1);

    let mut forced = body;
    forced["force"] = true.into();
    let mut call = api.request("post", SEND, &key).json(&forced).header("Idempotency-Key", "news-1");
    let (status, queued) = super::harness::read(call.try_clone().unwrap().send().await.unwrap()).await;
    assert_eq!((status, &queued["message"]), (202, &json!("3 messages queued")), "{queued}");
    let data = &queued["data"];
    assert_eq!(data["deliveries"].as_array().unwrap().len(), 3);
    assert_eq!((&data["id"], &data["status"]), (&data["deliveries"][0]["id"], &json!("queued")));
    let sent = api.graph.wait_for_sent(4, Duration::from_secs(5)).await;
    let mut said: Vec<(String, &str)> = sent.iter().map(|sent| (sent.to.clone(), sent.text())).collect();
    said.retain(|(_, words)| *words != "Hello"); // the chatbot's own answer
    said.sort();
    let expected = [(other, "News for you"), (third, "News"), (CUSTOMER, "News")];
    assert_eq!(said, expected.map(|(to, words)| (to.to_owned(), words)));
    // The same call once more is told the same and sends nothing.
    call = call.header("X-Request-ID", "again");
    let (status, again) = super::harness::read(call.send().await.unwrap()).await;
    assert_eq!((status, &again["data"]), (202, data));
    assert_eq!(count(&api, &key, "deliveries").await, 4);

    let many: Vec<Value> = (0..201).map(|n| json!({"to": format!("1555000{n:04}")})).collect();
    for (body, fields) in [
        (json!({"message": "x"}), &["contacts"][..]),
        (json!({"message": "x", "contacts": []}), &["contacts"]),
        (json!({"message": "x", "contacts": many}), &["contacts"]),
        (json!({"contacts": [{"to": CUSTOMER}]}), &["message"]),
        (json!({"message": "x", "to": CUSTOMER, "contacts": [{"to": "12"}]}), &["to", "contacts.0.to"]),
        (json!({"message": "x", "contacts": "all"}), &["contacts"]),
        (
            json!({"message": "x", "contacts": [{"to": CUSTOMER}], "template": {}, "mediaUrl": "https://example.com/a.pdf"}),
            &["template", "mediaUrl"],
        ),
    ] {
        let mut wrong = body;
        wrong["type"] = "bulk".into();
        api.wrong_fields("post", SEND, &key, wrong, fields).await;
    }
    let loose = json!({"to": CUSTOMER, "message": "x", "image": {"link": "https://example.com/a.png"}});
    api.wrong_fields("post", SEND, &key, loose, &["image"]).await;
}
