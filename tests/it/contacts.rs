//! People find conversations and contacts, read all that was said, hand it out, and erase it for good.

use serde_json::{Value, json};
use switchboard::sandbox::graph::{Fault, File};
use switchboard::sandbox::webhook::{Change, Incoming, Status, body};

use crate::events_out::api;
use crate::harness::{Db, HELP, Onboard, SHOP, SOON, Service, World};
use crate::on_both_databases;

const ANNA: &str = "15551230001";
const BERT: &str = "15559990002";

async fn get(service: &Service, path: &str) -> Value {
    let (status, answer) = api(service, "default", "GET", path, Value::Null).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// The ids of a list's rows, whose `name` is as given.
async fn found(service: &Service, path: &str) -> Vec<String> {
    let list = get(service, path).await;
    list["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// Every word of every row of the tables that hold words.
async fn everything(db: &Db) -> String {
    let mut all = Vec::new();
    for (table, columns) in [
        ("messages", "text || coalesce(wamid, '')"),
        (
            "deliveries",
            "recipient || text || coalesce(content, '') || coalesce(wamid, '') || coalesce(detail, '')",
        ),
        ("attempts", "coalesce(wamid, '') || coalesce(detail, '')"),
        ("turns", "coalesce(reason, '')"),
        ("contacts", "coalesce(name, '')"),
        ("contact_aliases", "value"),
        ("whatsapp_conversations", "recipient || unique_conv_id"),
        ("event_deliveries", "payload"),
        ("audit_log", "action || target || coalesce(detail, '')"),
    ] {
        all.extend(db.texts(&format!("select {columns} from {table}")).await);
    }
    let raw = match db {
        Db::Sqlite(_) => "select cast(raw as text) from webhook_events",
        Db::Postgres(_) => "select convert_from(raw, 'UTF8') from webhook_events",
    };
    all.extend(db.texts(raw).await);
    all.join("\n")
}

on_both_databases! {
    /// By words, by a piece of a phone number, by a name; and only one's own.
    async fn what_people_remember_is_found(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let help = Onboard { tenant: "help", chatbot: "support-chatbot-id", number: HELP, ..Onboard::default() };
        service.onboard(help).await;
        service.deliver(SHOP, [Incoming::text(ANNA, "Is the PINK one 50% off_now?").with_name("Ánna Karenina")]).await;
        service.deliver(SHOP, [Incoming::text(BERT, "I want a green one").with_name("Bert")]).await;
        service.text(HELP, ANNA, "A pink screen").await;
        service.settle().await;

        let conversations = found(&service, "/conversations").await;
        let [bert, anna] = &conversations[..] else { panic!("{conversations:?}") };
        for (q, ids) in [
            ("pink", vec![anna]), ("PINK", vec![anna]), ("50%25%20off_now", vec![anna]), ("50_", vec![]), ("%25", vec![anna]),
            ("one", vec![bert, anna]), ("karenina", vec![anna]), ("%2B1%20(555)%20999", vec![bert]), ("1555", vec![bert, anna]),
            ("screen", vec![]), ("%27%20or%201%3D1", vec![]), ("%20", vec![bert, anna]),
        ] {
            let expected: Vec<String> = ids.into_iter().cloned().collect();
            assert_eq!(found(&service, &format!("/conversations?q={q}")).await, expected, "{q}");
        }
        let page = get(&service, "/conversations?q=one&limit=1").await;
        let next = format!("/conversations?q=one&limit=1&cursor={}", page["nextCursor"].as_str().unwrap());
        assert_eq!((found(&service, &next).await, page["data"][0]["id"].as_str()), (vec![anna.clone()], Some(bert.as_str())));

        let hand_over = format!("/conversations/{anna}/hand-over");
        assert_eq!(api(&service, "default", "POST", &hand_over, Value::Null).await.0, 200);
        assert_eq!(found(&service, "/conversations?handedOver=true").await, std::slice::from_ref(anna));
        assert_eq!(found(&service, "/conversations?handedOver=false&q=one").await, std::slice::from_ref(bert));
        let (status, wrong) = api(&service, "default", "GET", "/conversations?handedOver=x", Value::Null).await;
        assert_eq!((status, wrong["errors"][0]["field"].as_str()), (400, Some("handedOver")));

        let contacts = get(&service, "/contacts").await;
        assert_eq!(contacts["data"].as_array().unwrap().len(), 2);
        assert_eq!((&contacts["data"][1]["name"], &contacts["data"][1]["phone"]), (&json!("Ánna Karenina"), &json!(ANNA)));
        assert_eq!(contacts["data"][1]["conversations"], 1);
        for (q, count) in [("KARENINA", 1), ("9990002", 1), ("555", 2), ("pink", 0)] {
            assert_eq!(found(&service, &format!("/contacts?q={q}")).await.len(), count, "{q}");
        }
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Handed out whole; erased whole; and whoever writes again is somebody new, in the memory of the service too.
    async fn a_contact_is_exported_and_erased(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let twin = Onboard { chatbot: "second-chatbot-id", mode: "shadow", ..Onboard::default() };
        service.onboard(twin).await;
        let listening = json!({"url": "http://127.0.0.1:9/"});
        assert_eq!(api(&service, "default", "POST", "/event-endpoints", listening).await.0, 201);
        let old = body(&[Change::new(SHOP).message(Incoming::text(ANNA, "Is the pink one here?").with_name("Anna"))]);
        assert_eq!(service.post(old.clone()).await.status, 200);
        service.settle().await;
        let sent = world.graph.wait_for_sent(1, SOON).await;
        let change = Change::new(SHOP).status(Status::new(&sent[0].wamid, "read", ANNA));
        assert_eq!(service.post(body(&[change])).await.status, 200);
        world.graph.fault(Fault::error(400, 131_026));
        let photo = File::new("image/png", "pink pixels");
        let photo = json!({"id": world.graph.put_file(photo), "mime_type": "image/png", "caption": "And the pink hat?"});
        service.deliver(SHOP, [Incoming::new(ANNA, "image", photo)]).await;
        let stored = "select 'stored' from media where status = 'stored'";
        service.wait_until("the photo is here", async || world.db.texts(stored).await.len() == 2).await;
        service.text(SHOP, BERT, "Green, please").await;
        service.settle().await;

        let anna = found(&service, &format!("/contacts?q={ANNA}")).await.remove(0);
        let path = format!("/contacts/{anna}");
        for (method, path) in [("GET", path.clone()), ("GET", format!("{path}/export")), ("GET", format!("{path}/timeline")),
            ("DELETE", path.clone())] {
            assert_eq!(api(&service, "help", method, &path, Value::Null).await.0, 404, "{method} {path}");
        }
        let one = get(&service, &path).await;
        assert_eq!((&one["data"]["aliases"][0]["kind"], &one["data"]["aliases"][0]["value"]), (&json!("wa_id"), &json!(ANNA)));
        assert_eq!(one["data"]["threads"][0]["phoneNumberId"], SHOP);
        let page = get(&service, &format!("{path}/timeline?limit=3")).await;
        let rest = get(&service, &format!("{path}/timeline?cursor={}", page["nextCursor"].as_str().unwrap())).await;
        // Two questions and two answers, of two chatbots.
        assert_eq!(page["data"].as_array().unwrap().len() + rest["data"].as_array().unwrap().len(), 8);
        let export = get(&service, &format!("{path}/export")).await;
        let said = export["data"]["messages"].as_array().unwrap();
        assert_eq!((said.len(), said[0]["text"].as_str()), (8, Some("Is the pink one here?")));
        assert_eq!((export["data"]["talks"].as_array().unwrap().len(), &export["data"]["phone"]), (2, &json!(ANNA)));
        assert!(export["data"]["messages"].to_string().contains(r#""status":"read""#));

        let before = everything(&world.db).await;
        assert!(before.contains("pink") && before.contains(ANNA) && before.contains("Green"));
        let (status, erased) = api(&service, "default", "DELETE", &path, Value::Null).await;
        assert_eq!((status, &erased["data"]["messages"], &erased["data"]["events"]), (200, &json!(8), &json!(3)));
        let after = everything(&world.db).await;
        for gone in ["pink", ANNA, "Anna", sent[0].wamid.as_str()] {
            assert!(!after.contains(gone), "{gone} is left: {after}");
        }
        assert!(after.contains("Green") && after.contains(BERT), "somebody else's");
        assert_eq!(world.db.texts(stored).await, [""; 0]);
        assert_eq!(world.db.texts("select action from audit_log where target like 'ctc_%' order by id").await,
            ["contact.export", "contact.erase"]);
        assert_eq!(api(&service, "default", "GET", &path, Value::Null).await.0, 404);
        assert_eq!(api(&service, "default", "DELETE", &path, Value::Null).await.0, 404);
        assert_eq!(found(&service, "/contacts").await.len(), 1);
        assert_eq!(found(&service, "/conversations").await.len(), 2, "those of the other");
        let counted = get(&service, "/analytics?chatbotId=ecommerce-chatbot-id").await;
        assert_eq!(counted["data"][0]["userMessages"], 3, "counts stay: {counted}");

        // The same body once more is nobody's question; a new one is, without the past.
        let (asked, answered) = (world.responder.count(), world.graph.sent_count());
        assert_eq!(service.post(old).await.status, 200);
        service.settle().await;
        assert_eq!((world.responder.count(), world.graph.sent_count()), (asked, answered));
        service.deliver(SHOP, [Incoming::text(ANNA, "Hello again")]).await;
        service.settle().await;
        let calls = world.responder.received_for("ecommerce-chatbot-id");
        assert_eq!(calls.last().unwrap().history(), [("user".to_owned(), "Hello again".to_owned())]);
        assert!(world.graph.sent_to(ANNA).last().unwrap().text().contains("Hello again"));
        let again = found(&service, &format!("/contacts?q={ANNA}")).await;
        assert!(again.len() == 1 && again[0] != anna);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Counted by chatbot and by day, for people and for spreadsheets.
    async fn figures_are_counted(db: Db) {
        use switchboard::sandbox::response_api::Answer;
        let world = World::fast(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let help = Onboard { tenant: "help", chatbot: "support-chatbot-id", number: HELP, ..Onboard::default() };
        service.onboard(help).await;
        service.text(HELP, ANNA, "Somebody else's").await;
        for from in [ANNA, BERT, ANNA] {
            service.text(SHOP, from, "Hello").await;
            service.settle().await;
        }
        world.graph.fault(Fault::error(400, 131_026));
        service.text(SHOP, ANNA, "Lost").await;
        service.settle().await;
        world.responder.next(None, [Answer::BadRequest]);
        service.text(SHOP, BERT, "Unanswered").await;
        service.settle().await;
        let conversation = found(&service, "/conversations").await.remove(0);
        let reply = format!("/conversations/{conversation}/messages");
        assert_eq!(api(&service, "default", "POST", &reply, json!({"message": "I am here"})).await.0, 202);
        service.settle().await;
        let sent = world.graph.sent().into_iter().find(|sent| sent.phone_number_id == SHOP && sent.to == ANNA).unwrap();
        let priced = Status::new(&sent.wamid, "sent", ANNA).with_pricing("service", "regular", true);
        assert_eq!(service.post(body(&[Change::new(SHOP).status(priced)])).await.status, 200);
        service.settle().await;

        let list = get(&service, "/analytics").await;
        assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list}");
        let of = &list["data"][0];
        for (name, value) in [("userMessages", 5), ("aiResponses", 4), ("agentResponses", 1), ("fallbacks", 1), ("answered", 4),
            ("unanswered", 1), ("totalContacts", 2), ("activeConversations", 2), ("totalMessages", 11), ("failures", 1), ("billable", 1)] {
            assert_eq!(of[name], value, "{name}: {of}");
        }
        assert_eq!((&of["id"], &of["failureReasons"]), (&json!("ecommerce-chatbot-id"), &json!({"undeliverable": 1})));
        assert_eq!(of["priced"], json!({"service regular": 1}));
        let (p50, p95) = (of["latencyP50"].as_i64().unwrap(), of["latencyP95"].as_i64().unwrap());
        assert!(0 <= p50 && p50 <= p95 && p95 < 20_000, "{of}");
        let days = get(&service, "/analytics/per-day?days=2").await;
        let sum = |name: &str| days["data"].as_array().unwrap().iter().map(|day| day[name].as_i64().unwrap()).sum::<i64>();
        assert_eq!((sum("userMessages"), sum("answered"), sum("failures"), sum("billable")), (5, 4, 1, 1));
        assert_eq!(get(&service, "/analytics?chatbotId=nobody").await["data"], json!([]));

        let http = switchboard::sandbox::http_client().unwrap();
        let all = http.get(format!("{}/api/v1/analytics?format=csv", service.running.url()));
        let csv = all.bearer_auth(crate::harness::ADMIN_KEY).send().await.unwrap();
        assert_eq!(csv.headers()["content-type"], "text/csv; charset=utf-8");
        let csv = csv.text().await.unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        assert!(lines.len() == 3 && lines[0].starts_with("tenant,id,"), "the platform sees all: {csv}");
        assert!(lines[1].starts_with("default,ecommerce-chatbot-id,") && lines[1].contains("undeliverable=1"), "{csv}");
        for (path, field) in [("/analytics?days=0", "days"), ("/analytics/per-day?format=xml", "format")] {
            let (status, wrong) = api(&service, "default", "GET", path, Value::Null).await;
            assert_eq!((status, wrong["errors"][0]["field"].as_str()), (400, Some(field)));
        }
        service.running.stop().await;
    }
}
