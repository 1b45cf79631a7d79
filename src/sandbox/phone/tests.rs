//! The phone's API over real sockets, against a webhook that answers like a chatbot.

use std::time::{Duration, Instant};

use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::*;
use crate::graph::signature::{self, Signature};
use crate::sandbox::graph::StatusWebhook;
use crate::sandbox::http_client;
use crate::sandbox::server::StandInServer;

struct World {
    graph: Arc<GraphStandIn>,
    server: StandInServer,
    client: reqwest::Client,
    _webhook: StandInServer,
}

/// A phone whose webhook accepts what is signed with `secret`.
fn world(secret: &str) -> World {
    let webhook = StandInServer::start(|config| {
        let post = |request: HttpRequest, body: web::Bytes| async move {
            let header = request.headers().get(signature::HEADER).unwrap().to_str().unwrap();
            match Signature::parse(header).unwrap().matches(b"right", &body) {
                true => HttpResponse::Ok().finish(),
                false => HttpResponse::Unauthorized().finish(),
            }
        };
        config.route("/webhook", web::post().to(post));
    })
    .unwrap();
    let graph = Arc::new(GraphStandIn::start().unwrap());
    let sender = Sender::new(format!("{}/webhook", webhook.base_url()), secret).unwrap();
    let numbers: Numbers = Arc::new(|| {
        let number = BusinessNumber { phone_number_id: "123".into(), label: "Shop".into() };
        Box::pin(async { vec![number] })
    });
    let trace: Trace = Arc::new(|wamid| {
        Box::pin(async { vec![Station { name: "received".into(), at_ms: 7, detail: wamid }] })
    });
    let phone = Arc::new(Phone::new(graph.clone(), sender, numbers, trace));
    let server = StandInServer::start(move |config| phone.clone().configure()(config)).unwrap();
    World { graph, server, client: http_client().unwrap(), _webhook: webhook }
}

impl World {
    fn url(&self, path: &str) -> String {
        format!("{}/sandbox{path}", self.server.base_url())
    }

    async fn write(&self, from: &str, text: &str) -> (u16, Value) {
        let draft = json!({ "phoneNumberId": "123", "from": from, "name": "Ann", "text": text });
        let answer = self.client.post(self.url("/api/messages")).json(&draft).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn chat(&self, from: &str, wamid: &str) -> Value {
        let url = self.url(&format!("/api/chat?phoneNumberId=123&from={from}{wamid}"));
        self.client.get(url).send().await.unwrap().json().await.unwrap()
    }

    async fn graph(&self, body: Value) {
        let url = format!("{}/v26.0/123/messages", self.graph.base_url);
        let answer = self.client.post(url).bearer_auth("t").json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_a_talk_with_typing_ticks_and_the_way() {
    let world = world("right");
    let (status, written) = world.write("15551", "Hello").await;
    assert_eq!((status, &written["status"]), (200, &json!(200)));
    let wamid = written["wamid"].as_str().unwrap();
    let chat = world.chat("15551", "").await;
    assert_eq!((&chat["bubbles"][0]["text"], &chat["bubbles"][0]["mine"]), (&json!("Hello"), &json!(true)));
    assert_eq!((&chat["bubbles"][0]["state"], &chat["typing"]), (&json!("accepted"), &json!(false)));
    assert_eq!(chat["stations"], json!([{ "name": "received", "atMs": 7, "detail": wamid }]));

    let read = json!({ "messaging_product": "whatsapp", "status": "read", "message_id": wamid,
                       "typing_indicator": { "type": "text" } });
    world.graph(read).await;
    let chat = world.chat("15551", "").await;
    assert_eq!((&chat["bubbles"][0]["state"], &chat["typing"]), (&json!("read"), &json!(true)));

    let mut statuses = StatusWebhook::new(format!("{}/webhook", world._webhook.base_url()), "right").unwrap();
    statuses.delays = [1, 2, 3].map(Duration::from_millis);
    world.graph.set_status_webhook(Some(statuses));
    tokio::time::sleep(Duration::from_millis(2)).await;
    let answer = json!({ "messaging_product": "whatsapp", "to": "+15551", "type": "text",
                         "text": { "body": "Hi *Ann*" } });
    world.graph(answer).await;
    let deadline = Instant::now() + Duration::from_secs(5);
    let chat = loop {
        let chat = world.chat("15551", "").await;
        if chat["bubbles"][1]["state"] == "read" {
            break chat;
        }
        assert!(Instant::now() < deadline, "{chat}");
    };
    assert_eq!((&chat["bubbles"][1]["text"], &chat["typing"]), (&json!("Hi *Ann*"), &json!(false)));

    let (_, second) = world.write("15551", "And?").await;
    assert_eq!(world.chat("15551", "").await["wamid"], second["wamid"]);
    assert_eq!(world.chat("15551", &format!("&wamid={wamid}")).await["stations"][0]["detail"], wamid);
    assert_eq!(
        world.chat("15552", "").await,
        json!({
            "typing": false, "bubbles": [], "wamid": null, "stations": [],
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_the_webhook_refuses_is_shown_as_refused() {
    let world = world("wrong");
    assert_eq!(world.write("15551", "Hello").await.1["status"], 401);
    assert_eq!(world.chat("15551", "").await["bubbles"][0]["state"], "refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_drafts_that_mean_nothing() {
    let world = world("right");
    for (from, text) in [("+1555", "x"), ("12", "x"), ("15551", " "), ("15551", &"x".repeat(4097))] {
        let (status, answer) = world.write(from, text).await;
        assert!(status == 400 && answer["error"].is_string(), "{from}");
    }
    assert_eq!(world.chat("15551", "").await["bubbles"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_brings_everything_along() {
    let world = world("right");
    let page = world.client.get(world.url("")).send().await.unwrap();
    assert!(page.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'self'"));
    let page = page.text().await.unwrap();
    for forbidden in ["style=", "<style", "onclick", "https://", "http://"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    let mut assets = 0;
    for attribute in page.split(['"']).filter(|part| part.starts_with("/sandbox/")) {
        let asset = world.client.get(format!("{}{attribute}", world.server.base_url())).send().await.unwrap();
        assert_eq!(asset.status(), 200, "{attribute}");
        assets += 1;
    }
    assert_eq!(assets, 2);
    assert!(!include_str!("../page/phone.js").contains("innerHTML"));
    let numbers: Value =
        world.client.get(world.url("/api/numbers")).send().await.unwrap().json().await.unwrap();
    assert_eq!(numbers, json!([{ "phoneNumberId": "123", "label": "Shop" }]));
}

#[test]
fn typing_ends_with_the_answer_or_after_25_seconds() {
    let written = Written {
        phone_number_id: "1".into(),
        from: "15551".into(),
        wamid: "w".into(),
        text: String::new(),
        at_ms: 0,
        answer: Some(200),
    };
    let read =
        |wamid: &str, typing| Read { phone_number_id: "1".into(), wamid: wamid.into(), typing, at_ms: 1_000 };
    let mine = [written];
    assert!(is_typing(&mine, &[], &[read("w", true)], 25_999));
    assert!(!is_typing(&mine, &[], &[read("w", true)], 26_000));
    assert!(!is_typing(&mine, &[], &[read("w", false)], 1_001));
    assert!(!is_typing(&mine, &[], &[read("another", true)], 1_001));
}
