//! What goes out, what failed and why, who answers, and what became of one message.

use serde_json::{Value, json};

use super::harness::{ADMIN, Api, CUSTOMER, Options};
use super::postgres;
use switchboard::auth::Role;
use switchboard::sandbox::graph::Fault;
use switchboard::store::Location;
use switchboard::store::events::EventState;

const SEND: &str = "/api/v1/whatsapp/send?chatbotId=shop";
const DELIVERIES: &str = "/api/v1/deliveries";
const CONVERSATIONS: &str = "/api/v1/conversations";

/// A chatbot that says what it is told, at once, on number 111.
async fn echo(api: &Api, tenant: &str) -> String {
    let key = api.key(tenant, Role::Admin).await;
    let body = json!({"id": "shop", "responder": {"kind": "echo"}, "coalesceMs": 0, "typing": false});
    api.expect(201, "post", "/api/v1/chatbots", &key, body).await;
    api.onboard(&key, "shop", "111").await;
    key
}

fn id(data: &Value) -> String {
    data["id"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn a_message_is_queued_sent_and_listed() {
    let api = Api::start().await;
    let key = echo(&api, "a").await;
    let body = json!({"to": "+15551234567", "message": "Your *order* is ready", "force": true});
    let queued = api.expect(202, "post", SEND, &key, body).await;
    assert_eq!(queued["status"], "queued");
    let path = format!("{DELIVERIES}/{}", id(&queued));
    let sent = api.until(&path, &key, |data| data["status"] == "sent").await;
    assert_eq!((&sent["attempts"], &sent["tries"][0]["outcome"]), (&json!(1), &json!("accepted")));
    assert_eq!(sent["kind"], "message");
    // As it was written: what people write is no Markdown.
    assert_eq!(api.graph.sent_to(CUSTOMER)[0].text(), "Your *order* is ready");

    for body in [
        json!({"number": "15551234567", "message": "x", "force": true}),
        json!({"phoneNumber": "15551234567", "text": "y", "force": true}),
    ] {
        let again = api.expect(202, "post", SEND, &key, body).await;
        assert_eq!(again["conversationId"], queued["conversationId"]);
    }
    api.graph.wait_for_sent(3, std::time::Duration::from_secs(5)).await;

    let (_, list) = api.call("get", CONVERSATIONS, &key, Value::Null).await;
    let conversation = &list["data"][0];
    assert_eq!(conversation["id"], queued["conversationId"]);
    assert_eq!(conversation["contact"]["phone"], CUSTOMER);
    assert_eq!(conversation["uniqueClientId"], "whatsapp_15551234567_shop");
    let path = format!("{CONVERSATIONS}/{}/messages", id(conversation));
    let said = api.expect(200, "get", &path, &key, Value::Null).await;
    assert_eq!(said.as_array().unwrap().len(), 3);
    assert_eq!(
        (&said[0]["text"], &said[0]["author"], &said[0]["direction"]),
        (&json!("y"), &json!("api"), &json!("out"))
    );
    assert_eq!(said[2]["deliveries"][0]["status"], "sent");
    let (_, page) = api.call("get", &format!("{path}?limit=2"), &key, Value::Null).await;
    let next = format!("{path}?limit=2&cursor={}", page["nextCursor"].as_str().unwrap());
    let (_, page) = api.call("get", &next, &key, Value::Null).await;
    assert_eq!(
        (page["data"][0]["id"].clone(), page["nextCursor"].clone()),
        (said[2]["id"].clone(), Value::Null)
    );

    let long = "é".repeat(4097);
    for (body, fields) in [
        (json!({}), &["to", "message"][..]),
        (json!({"to": "0123456789", "message": "x", "force": true}), &["to"]),
        (json!({"to": "123456", "message": "x", "force": true}), &["to"]),
        (json!({"to": "1234567890123456", "message": "x", "force": true}), &["to"]),
        (json!({"to": "abc", "message": " "}), &["to", "message"]),
        (json!({"to": CUSTOMER, "message": long}), &["message"]),
        (json!({"to": CUSTOMER, "message": "x", "chatbotId": "y"}), &["chatbotId"]),
    ] {
        api.wrong_fields("post", SEND, &key, body, fields).await;
    }
    let body = json!({"to": CUSTOMER, "message": "x", "force": true});
    api.wrong_fields("post", "/api/v1/whatsapp/send", &key, body.clone(), &["chatbotId"]).await;
    api.refuse(404, "not_found", "post", "/api/v1/whatsapp/send?chatbotId=none", &key, body.clone()).await;
    api.onboard(&key, "shop", "222").await;
    api.refuse(409, "number_unclear", "post", SEND, &key, body.clone()).await;
    let one = format!("{SEND}&phoneNumberId=222");
    api.expect(202, "post", &one, &key, body.clone()).await;
    let off = json!({"status": "inactive"});
    let integration = "/api/v1/whatsapp/integration?chatbotId=shop&phoneNumberId=222";
    api.expect(200, "patch", integration, &key, off).await;
    api.refuse(409, "not_active", "post", &one, &key, body).await;
}

#[actix_web::test]
async fn older_callers_send_as_they_did() {
    let api = Api::start().await;
    let key = echo(&api, "a").await;
    let send = async |more: Value| {
        let mut body = json!({"phoneNumber": CUSTOMER, "contactId": 7, "force": true});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        api.expect(202, "post", SEND, &key, body).await
    };
    let song = "https://files.example/song.mp3";
    for more in [
        json!({"type": "single", "message": "z"}),
        json!({"message": "Look", "mediaUrl": "https://files.example/a.PNG?x=1"}),
        json!({"mediaUrl": song}),
        json!({"message": "Listen", "mediaUrl": song}),
    ] {
        send(more).await;
    }
    let sent = api.graph.wait_for_sent(4, std::time::Duration::from_secs(5)).await;
    let said: Vec<Value> = sent.into_iter().map(|sent| sent.body).collect();
    assert_eq!(said[0]["text"]["body"], "z");
    let image = json!({"link": "https://files.example/a.PNG?x=1", "caption": "Look"});
    assert_eq!((&said[1]["type"], &said[1]["image"]), (&json!("image"), &image));
    assert_eq!((&said[2]["type"], &said[2]["audio"]), (&json!("audio"), &json!({"link": song})));
    assert_eq!(said[3]["document"], json!({"link": song, "caption": "Listen"}));
    let ftp = json!({"to": CUSTOMER, "mediaUrl": "ftp://files.example/a.png"});
    api.wrong_fields("post", SEND, &key, ftp, &["mediaUrl"]).await;
}

#[actix_web::test]
async fn what_is_another_tenants_is_not_there() {
    let api = Api::start().await;
    let key = echo(&api, "a").await;
    let other = api.key("b", Role::Owner).await;
    let queued =
        api.expect(202, "post", SEND, &key, json!({"to": CUSTOMER, "message": "x", "force": true})).await;
    api.graph.wait_for_sent(1, std::time::Duration::from_secs(5)).await;
    let event = api.event("111", r#"{"id":"wamid.E"}"#, Some(EventState::Parked)).await;
    let wamid = api.graph.sent()[0].wamid.clone();
    let delivery = format!("{DELIVERIES}/{}", id(&queued));
    let conversation = format!("{CONVERSATIONS}/{}", queued["conversationId"].as_str().unwrap());
    let words = json!({"message": "x", "force": true});
    for (method, path, body) in [
        ("get", delivery.clone(), Value::Null),
        ("post", format!("{delivery}/retry"), json!({})),
        ("delete", delivery, Value::Null),
        ("get", conversation.clone(), Value::Null),
        ("get", format!("{conversation}/messages"), Value::Null),
        ("post", format!("{conversation}/messages"), words.clone()),
        ("post", format!("{conversation}/hand-over"), Value::Null),
        ("post", format!("{conversation}/hand-back"), Value::Null),
        ("get", format!("/api/v1/events/evt_{event}"), Value::Null),
        ("post", format!("/api/v1/events/evt_{event}/replay"), Value::Null),
        ("get", format!("/api/v1/trace/{wamid}"), Value::Null),
        ("post", SEND.to_owned(), json!({"to": CUSTOMER, "message": "x", "force": true})),
    ] {
        api.refuse(404, "not_found", method, &path, &other, body).await;
    }
    for path in [DELIVERIES, CONVERSATIONS, "/api/v1/events", "/api/v1/chatbots"] {
        let (status, list) = api.call("get", path, &other, Value::Null).await;
        assert_eq!((status, &list["data"]), (200, &json!([])), "{path}");
        let (_, own) = api.call("get", path, &key, Value::Null).await;
        assert_eq!(own["data"].as_array().unwrap().len(), 1, "{path}");
    }
}

#[actix_web::test]
async fn what_waits_may_be_withdrawn_and_what_is_doubtful_needs_a_word() {
    let api = Api::start().await;
    let key = echo(&api, "a").await;
    let body = json!({"to": CUSTOMER, "message": "x", "force": true});
    let account = api.parts.store.accounts("a", Some("shop"), None).await.unwrap().remove(0);
    let status = async |status: &str| {
        let (store, now) = (&api.parts.store, api.parts.clock.now_ms());
        let token = &account.access_token;
        assert!(store.set_account_status(account.id, status, status, token, now).await.unwrap());
        api.parts.routing.changed("111").await;
    };
    status("token_invalid").await;
    let held = api.expect(202, "post", SEND, &key, body.clone()).await;
    let path = format!("{DELIVERIES}/{}", id(&held));
    api.until(&path, &key, |data| data["reason"] == "token_invalid").await;
    let withdrawn = api.expect(200, "delete", &path, &key, Value::Null).await;
    assert_eq!(withdrawn["status"], "cancelled");
    api.refuse(409, "wrong_state", "delete", &path, &key, Value::Null).await;
    api.refuse(409, "wrong_state", "post", &format!("{path}/retry"), &key, json!({})).await;

    let held = api.expect(202, "post", SEND, &key, body.clone()).await;
    let path = format!("{DELIVERIES}/{}", id(&held));
    api.until(&path, &key, |data| data["reason"] == "token_invalid").await;
    status("active").await;
    api.graph.fault(Fault::LoseAnswer);
    api.expect(200, "post", &format!("{path}/retry"), &key, Value::Null).await;
    api.until(&path, &key, |data| data["status"] == "unknown").await;
    let retry = format!("{path}/retry");
    for body in [Value::Null, json!({"confirm": false})] {
        let problem = api.refuse(409, "confirmation_needed", "post", &retry, &key, body).await;
        assert!(problem["detail"].as_str().unwrap().contains("twice"));
    }
    api.wrong_fields("post", &retry, &key, json!({"confirm": "yes"}), &["confirm"]).await;
    api.wrong_fields("post", &retry, &key, json!({"force": true}), &["force"]).await;
    api.expect(200, "post", &retry, &key, json!({"confirm": true})).await;
    let sent = api.until(&path, &key, |data| data["status"] == "sent").await;
    assert_eq!(sent["tries"].as_array().unwrap().len(), 2);
    assert_eq!(api.graph.sent_count(), 2, "the doubtful one had gone out");

    api.graph.fault(Fault::error(400, 131_026));
    let lost = api.expect(202, "post", SEND, &key, body).await;
    let path = format!("{DELIVERIES}/{}", id(&lost));
    let failed = api.until(&path, &key, |data| data["status"] == "failed").await;
    assert_eq!((&failed["reason"], &failed["code"]), (&json!("undeliverable"), &json!(131_026)));
    assert!(failed["advice"].as_str().unwrap().contains("not on WhatsApp"));
    let (_, list) = api.call("get", &format!("{DELIVERIES}?status=failed"), &key, Value::Null).await;
    assert_eq!((list["data"].as_array().unwrap().len(), &list["data"][0]["id"]), (1, &failed["id"]));
    api.wrong_fields("get", &format!("{DELIVERIES}?status=lost"), &key, Value::Null, &["status"]).await;
    let retried = api.expect(200, "post", &format!("{path}/retry"), &key, json!({})).await;
    assert_eq!((&retried["code"], &retried["failedAt"]), (&Value::Null, &Value::Null));
    api.until(&path, &key, |data| data["status"] == "sent").await;
}

#[actix_web::test]
async fn a_turn_without_an_answer_can_be_asked_again() {
    let api = Api::start().await;
    let key = echo(&api, "a").await;
    let nowhere = json!({"responder": {"kind": "response_api"}, "fallbackText": null});
    api.expect(200, "patch", "/api/v1/chatbots/shop", &key, nowhere).await;
    for n in 0..3 {
        api.inbound("111", &format!("wamid.{n}"), &format!("hello {n}"), None).await;
        let wanted = n + 1;
        let dead = format!("{DELIVERIES}?status=dead");
        api.until(&dead, &key, |data| data.as_array().is_some_and(|all| all.len() == wanted)).await;
    }
    api.expect(200, "patch", "/api/v1/chatbots/shop", &key, json!({"responder": {"kind": "echo"}})).await;
    api.expect(202, "post", SEND, &key, json!({"to": CUSTOMER, "message": "x", "force": true})).await;
    api.graph.wait_for_sent(1, std::time::Duration::from_secs(5)).await;

    // Both kinds in one list, each once, whatever the page.
    for limit in 1..6 {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let (_, page) =
                api.call("get", &format!("{DELIVERIES}?limit={limit}{cursor}"), &key, Value::Null).await;
            seen.extend(
                page["data"].as_array().unwrap().iter().map(|row| row["kind"].as_str().unwrap().to_owned()),
            );
            let Some(next) = page["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, ["message", "turn", "turn", "turn"], "limit {limit}");
    }

    let (_, list) = api.call("get", &format!("{DELIVERIES}?status=dead"), &key, Value::Null).await;
    let turn = &list["data"][2];
    assert_eq!((&turn["kind"], &turn["reason"]), (&json!("turn"), &json!("responder_missing")));
    let path = format!("{DELIVERIES}/{}", id(turn));
    assert_eq!(api.expect(200, "get", &path, &key, Value::Null).await["tries"], json!([]));
    api.refuse(409, "wrong_state", "delete", &path, &key, Value::Null).await;
    let other = api.key("b", Role::Owner).await;
    api.refuse(404, "not_found", "post", &format!("{path}/retry"), &other, json!({})).await;
    api.expect(200, "post", &format!("{path}/retry"), &key, json!({})).await;
    let sent = api.graph.wait_for_sent(2, std::time::Duration::from_secs(5)).await;
    assert_eq!(sent[1].text(), "hello 0");
    api.refuse(404, "not_found", "post", &format!("{path}/retry"), &key, json!({})).await;
}

#[actix_web::test]
async fn a_person_takes_over_and_hands_back() {
    let api = Api::start().await;
    let key = echo(&api, "a").await;
    api.inbound("111", "wamid.1", "one", None).await;
    api.graph.wait_for_sent(1, std::time::Duration::from_secs(5)).await;
    let (_, list) = api.call("get", CONVERSATIONS, &key, Value::Null).await;
    assert_eq!(
        (&list["data"][0]["handedOverUntil"], &list["data"][0]["contact"]["name"]),
        (&Value::Null, &json!("Ada"))
    );
    let path = format!("{CONVERSATIONS}/{}", id(&list["data"][0]));
    let handed = api.expect(200, "post", &format!("{path}/hand-over"), &key, Value::Null).await;
    assert!(handed["handedOverUntil"].is_string());

    api.inbound("111", "wamid.2", "two", None).await;
    let messages = format!("{path}/messages");
    let said = api.until(&messages, &key, |data| data[0]["note"] == "handed_over").await;
    assert!(said[0]["explanation"].as_str().unwrap().contains("person"));
    let answer = api.expect(202, "post", &messages, &key, json!({"text": "a person speaks"})).await;
    api.until(&format!("{DELIVERIES}/{}", id(&answer)), &key, |data| data["status"] == "sent").await;
    api.wrong_fields("post", &messages, &key, json!({"message": ""}), &["message"]).await;

    let back = api.expect(200, "post", &format!("{path}/hand-back"), &key, Value::Null).await;
    assert_eq!(back["handedOverUntil"], Value::Null);
    api.inbound("111", "wamid.3", "three", None).await;
    let sent = api.graph.wait_for_sent(3, std::time::Duration::from_secs(5)).await;
    let texts: Vec<&str> = sent.iter().map(|message| message.text()).collect();
    assert_eq!(texts, ["one", "a person speaks", "three"]);
    // A person's word alone takes the conversation too.
    api.expect(202, "post", &messages, &key, json!({"message": "mine"})).await;
    assert!(api.expect(200, "get", &path, &key, Value::Null).await["handedOverUntil"].is_string());
}

/// On both databases: these questions are the most particular ones.
async fn events_and_traces(api: Api) {
    let key = echo(&api, "a").await;
    let rival = api.key("b", Role::Admin).await;
    api.inbound("111", "wamid.HBg/x+=", "hello", None).await;
    api.graph.wait_for_sent(1, std::time::Duration::from_secs(5)).await;
    let trace = "/api/v1/trace/wamid.HBg%2Fx%2B%3D";
    let followed = api.until(trace, &key, |data| data[0]["stations"].to_string().contains("\"sent\"")).await;
    let names: Vec<&str> =
        followed[0]["stations"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    for name in
        ["received", "stored", "routed", "appended", "turn", "asked", "answered", "queued", "attempt", "sent"]
    {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
    assert_eq!(followed[0]["explanation"], "The answer is sent.");
    assert_eq!((&followed[0]["outcome"], &followed[0]["reason"]), (&json!("sent"), &Value::Null));
    let ours = format!("/api/v1/trace/{}", api.graph.sent()[0].wamid);
    let followed = api.expect(200, "get", &ours, &key, Value::Null).await;
    assert_eq!(followed[0]["explanation"], "The answer is sent.");
    assert!(followed[0]["stations"].to_string().contains("attempt"));
    api.inbound("111", "wamid.old", "hello?", Some("stale")).await;
    let silent = api.expect(200, "get", "/api/v1/trace/wamid.old", &key, Value::Null).await;
    assert!(silent[0]["explanation"].as_str().unwrap().contains("older than 24 hours"));
    assert_eq!((&silent[0]["outcome"], &silent[0]["reason"]), (&json!("silent"), &json!("stale")));

    // An event nobody could route: the platform's to see, until the number is somebody's.
    let lost = api.event("999", r#"{"id":"wamid.lost"}"#, Some(EventState::Unroutable)).await;
    let parked = api.event("111", "not json", Some(EventState::Quarantined)).await;
    let events = async |key: &str, query: &str| -> Vec<String> {
        let data = api.expect(200, "get", &format!("/api/v1/events{query}"), key, Value::Null).await;
        data.as_array().unwrap().iter().map(id).collect()
    };
    assert_eq!(events(ADMIN, "?state=unroutable").await, [format!("evt_{lost}")]);
    assert!(events(&key, "?state=unroutable").await.is_empty());
    assert_eq!(events(&key, "?state=quarantined").await, [format!("evt_{parked}")]);
    assert_eq!(events(&key, "?state=done").await.len(), 2);
    assert_eq!(events(&key, "").await.len(), 3);
    assert!(events(&rival, "").await.is_empty());
    let request = api.request("get", "/api/v1/events", ADMIN).header("Switchboard-Tenant", "b");
    let (_, named) = super::harness::read(request.send().await.unwrap()).await;
    assert_eq!(named["data"], json!([]), "a platform key that names a tenant sees with its eyes");
    api.wrong_fields("get", "/api/v1/events?state=odd", &key, Value::Null, &["state"]).await;
    let why = api.expect(200, "get", "/api/v1/trace/wamid.lost", ADMIN, Value::Null).await;
    assert!(why[0]["explanation"].as_str().unwrap().contains("unroutable"));
    api.refuse(404, "not_found", "get", "/api/v1/trace/wamid.lost", &key, Value::Null).await;

    // A mere claim on a number shows none of its events.
    api.graph.stop().await;
    let pending = api.onboard(&rival, "rivals", "999").await;
    assert_eq!(pending["status"], "pending");
    assert!(events(&rival, "").await.is_empty());

    let path = format!("/api/v1/events/evt_{parked}");
    let (_, list) = api.call("get", "/api/v1/events?state=quarantined", &key, Value::Null).await;
    assert!(list["data"][0]["raw"].is_null(), "bodies are not listed");
    assert_eq!(api.expect(200, "get", &path, &key, Value::Null).await["raw"], "not json");
    let lost = format!("/api/v1/events/evt_{lost}");
    assert_eq!(api.expect(200, "get", &lost, ADMIN, Value::Null).await["raw"]["id"], "wamid.lost");
    let replayed = api.expect(200, "post", &format!("{path}/replay"), &key, Value::Null).await;
    assert_eq!((&replayed["state"], &replayed["reason"]), (&json!("received"), &Value::Null));
    assert_eq!(api.expect(200, "get", &path, &key, Value::Null).await["state"], "received");
}

#[actix_web::test]
async fn events_are_seen_by_whom_they_concern() {
    events_and_traces(Api::start().await).await;
}

#[actix_web::test]
async fn events_are_seen_by_whom_they_concern_on_postgres() {
    let Some(database) = postgres::database().await else { return };
    let options = Options { database: Some(Location::Postgres(database.url.clone())), ..Options::default() };
    events_and_traces(Api::start_with(options).await).await;
}

#[actix_web::test]
async fn lists_and_retries_work_on_postgres() {
    let Some(database) = postgres::database().await else { return };
    let options = Options { database: Some(Location::Postgres(database.url.clone())), ..Options::default() };
    let api = Api::start_with(options).await;
    let key = echo(&api, "a").await;
    api.graph.fault(Fault::error(400, 131_026));
    let lost =
        api.expect(202, "post", SEND, &key, json!({"to": CUSTOMER, "message": "x", "force": true})).await;
    let path = format!("{DELIVERIES}/{}", id(&lost));
    api.until(&path, &key, |data| data["status"] == "failed").await;
    api.expect(200, "post", &format!("{path}/retry"), &key, json!({})).await;
    api.until(&path, &key, |data| data["status"] == "sent").await;
    let (_, list) = api.call("get", &format!("{DELIVERIES}?limit=1"), &key, Value::Null).await;
    assert_eq!(list["data"][0]["id"], lost["id"]);
    let change = json!({"name": "A", "externalIds": {"crm": "1"}});
    api.expect(200, "patch", "/api/v1/tenants/a", ADMIN, change).await;
    api.expect(200, "delete", "/api/v1/chatbots/shop", &key, Value::Null).await;
    let (_, gone) = api.call("get", "/api/v1/whatsapp/integration?chatbotId=shop", &key, Value::Null).await;
    assert_eq!(gone["success"], false);
}

#[actix_web::test]
async fn metas_own_message_objects_go_out_as_they_are() {
    let api = Api::start().await;
    let key = echo(&api, "a").await;
    api.inbound("111", "wamid.in", "hello", Some("not_answerable")).await;
    let interactive = json!({"type": "button", "body": {"text": "Choose"},
        "action": {"buttons": [{"type": "reply", "reply": {"id": "y", "title": "Yes"}}]}});
    let objects = [
        ("text", json!({"body": "see https://a.b", "preview_url": true}), "see https://a.b"),
        ("image", json!({"link": "https://a.b/c.png", "caption": "Look"}), "Look"),
        ("location", json!({"latitude": 1, "longitude": 2}), "Location: (1, 2)"),
        ("reaction", json!({"message_id": "wamid.in", "emoji": "👍"}), "[Reaction: 👍]"),
        ("interactive", interactive, "Choose"),
        ("contacts", json!([{"name": {"formatted_name": "Ann", "first_name": "Ann"}}]), "Contact: Ann"),
        (
            "template",
            json!({"name": "hello_world", "language": {"code": "en_US"}}),
            "[Template: hello_world]",
        ),
    ];
    let mut conversation = String::new();
    for (n, (kind, part, said)) in objects.iter().enumerate() {
        let mut body = json!({"messaging_product": "whatsapp", "to": CUSTOMER, "type": kind, *kind: part});
        if *kind == "text" {
            body["context"] = json!({"message_id": "wamid.in"});
        }
        let queued = api.expect(202, "post", SEND, &key, body).await;
        let path = format!("{DELIVERIES}/{}", id(&queued));
        let sent = api.until(&path, &key, |data| data["status"] == "sent").await;
        assert_eq!((&sent["text"], &sent["content"][kind]), (&json!(said), part));
        let body = &api.graph.sent()[n].body;
        assert_eq!((&body["type"], &body[kind], &body["to"]), (&json!(kind), part, &json!("+15551234567")));
        assert_eq!(body["context"].is_null(), *kind != "text");
        conversation = queued["conversationId"].as_str().unwrap().to_owned();
    }
    // A person's reply takes the same.
    let messages = format!("{CONVERSATIONS}/{conversation}/messages");
    let sticker = json!({"type": "sticker", "sticker": {"link": "https://a.b/c.webp"}});
    let queued = api.expect(202, "post", &messages, &key, sticker).await;
    api.until(&format!("{DELIVERIES}/{}", id(&queued)), &key, |data| data["status"] == "sent").await;
    let said = api.expect(200, "get", &messages, &key, Value::Null).await;
    assert_eq!(
        (&said[0]["type"], &said[0]["text"], &said[0]["author"]),
        (&json!("sticker"), &json!("[Sticker]"), &json!("person"))
    );

    for (body, fields) in [
        (json!({"to": CUSTOMER, "type": "image", "image": {}}), &["image"][..]),
        (json!({"to": CUSTOMER, "type": "image", "message": "x"}), &["message", "image"]),
        (json!({"to": CUSTOMER, "type": 7}), &["type"]),
        (json!({"to": CUSTOMER, "text": {"body": ""}}), &["text.body"]),
        (json!({"to": CUSTOMER, "text": 7}), &["message"]),
        (json!({"to": CUSTOMER, "template": {"name": "x"}}), &["template", "message"]),
        (json!({"to": CUSTOMER, "message": "x", "force": "yes"}), &["force"]),
        (json!({"to": CUSTOMER, "message": "x", "messaging_product": "sms"}), &["messaging_product"]),
        (json!({"to": CUSTOMER, "recipient": "US.1", "message": "x"}), &["recipient"]),
        (json!({"recipient": "15551234567", "message": "x"}), &["recipient"]),
    ] {
        api.wrong_fields("post", SEND, &key, body, fields).await;
    }
    api.wrong_fields("post", &messages, &key, json!({"to": CUSTOMER, "message": "x"}), &["to"]).await;
}

/// A stranger and a customer who wrote too long ago get templates only; a reaction opens no window.
async fn the_window_is_kept(api: Api) {
    let key = echo(&api, "a").await;
    let user = json!({"recipient": "US.13491208655302741918", "message": "x"});
    let problem = api.refuse(409, "window_closed", "post", SEND, &key, user.clone()).await;
    assert!(problem["detail"].as_str().unwrap().contains("template"));
    let template = json!({"recipient": "US.13491208655302741918", "type": "template",
        "template": {"name": "hello", "language": {"code": "en"}}});
    api.expect(202, "post", SEND, &key, template).await;
    let sent = api.graph.wait_for_sent(1, std::time::Duration::from_secs(5)).await;
    assert_eq!((sent[0].to.as_str(), sent[0].body.get("to")), ("US.13491208655302741918", None));
    let mut forced = user;
    forced["force"] = true.into();
    api.expect(202, "post", SEND, &key, forced).await;
    api.graph.wait_for_sent(2, std::time::Duration::from_secs(5)).await;

    let day = 86_400_000;
    let words = json!({"to": CUSTOMER, "message": "x"});
    for (n, (ago, kind, open)) in
        [(day + 1_000, "text", false), (0, "reaction", false), (day - 60_000, "image", true)]
            .into_iter()
            .enumerate()
    {
        let wamid = format!("wamid.{n}");
        api.inbound_of("111", &wamid, "hello", Some("stale"), |message| {
            message.sent_at -= ago;
            message.kind = kind.to_owned();
        })
        .await;
        let (_, list) = api.call("get", CONVERSATIONS, &key, Value::Null).await;
        let path = format!("{CONVERSATIONS}/{}", id(&list["data"][0]));
        assert_eq!(
            api.expect(200, "get", &path, &key, Value::Null).await["windowUntil"].is_string(),
            open,
            "{kind}"
        );
        for path in [SEND.to_owned(), format!("{path}/messages")] {
            let mut body = words.clone();
            if path != SEND {
                body.as_object_mut().unwrap().remove("to");
            }
            if open {
                api.expect(202, "post", &path, &key, body).await;
            } else {
                api.refuse(409, "window_closed", "post", &path, &key, body).await;
                let (_, handed) = api
                    .call("get", &format!("{CONVERSATIONS}/{}", id(&list["data"][0])), &key, Value::Null)
                    .await;
                assert_eq!(handed["data"]["handedOverUntil"], Value::Null, "nobody took over");
            }
        }
    }
}

#[actix_web::test]
async fn free_form_needs_an_open_window() {
    the_window_is_kept(Api::start().await).await;
}

#[actix_web::test]
async fn free_form_needs_an_open_window_on_postgres() {
    let Some(database) = postgres::database().await else { return };
    let options = Options { database: Some(Location::Postgres(database.url.clone())), ..Options::default() };
    the_window_is_kept(Api::start_with(options).await).await;
}
