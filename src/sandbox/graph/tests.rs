//! The stand-in over real sockets.

use std::time::{Duration, Instant};

use actix_web::{HttpRequest, HttpResponse, web};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::graph::signature::{self, Signature};
use crate::sandbox::http_client;

struct Caller {
    graph: GraphStandIn,
    client: Client,
}

impl Caller {
    fn new(options: Options) -> Self {
        Self { graph: GraphStandIn::start_with(options).unwrap(), client: http_client().unwrap() }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v26.0/{path}", self.graph.base_url)
    }

    async fn send(&self, number: &str, body: Value) -> reqwest::Result<Response> {
        let url = self.url(&format!("{number}/messages"));
        self.client.post(url).bearer_auth("token").json(&body).send().await
    }

    async fn get(&self, token: &str, path: &str) -> (u16, Value) {
        read(self.client.get(self.url(path)).bearer_auth(token).send().await.unwrap()).await
    }
}

async fn read(response: Response) -> (u16, Value) {
    (response.status().as_u16(), response.json().await.unwrap())
}

fn text(to: &str, body: &str) -> Value {
    json!({ "messaging_product": "whatsapp", "to": to, "type": "text", "text": { "body": body },
            "biz_opaque_callback_data": "attempt-1" })
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_accepted_and_remembered_in_order() {
    let caller = Caller::new(Options { keep: 2, strict: false });
    let url = caller.url("123/messages?appsecret_proof=abc");
    let first = caller.client.post(url).bearer_auth("secret").json(&text("+1555", "one")).send();
    let (status, answer) = read(first.await.unwrap()).await;
    assert_eq!((status, &answer["contacts"][0]["wa_id"]), (200, &json!("1555")));
    let sent = caller.graph.sent_to("+1555");
    assert_eq!(answer["messages"][0]["id"], sent[0].wamid.as_str());
    assert_eq!((sent[0].text(), sent[0].token.as_str()), ("one", "secret"));
    assert_eq!(sent[0].callback.as_deref(), Some("attempt-1"));
    assert_eq!(sent[0].app_secret_proof.as_deref(), Some("abc"));
    assert_eq!(sent[0].phone_number_id, "123");

    let mut to_bsuid = text("", "two");
    to_bsuid.as_object_mut().unwrap().remove("to");
    to_bsuid["recipient"] = "US.77".into();
    let (_, answer) = read(caller.send("123", to_bsuid).await.unwrap()).await;
    assert_eq!(answer["contacts"][0]["user_id"], "US.77");
    caller.send("124", text("+1555", "three")).await.unwrap();
    let sent = caller.graph.wait_for_sent(3, Duration::from_secs(5)).await;
    assert_eq!(sent.iter().map(Sent::text).collect::<Vec<_>>(), ["two", "three"]);
    assert_eq!(caller.graph.sent_count(), 3);
    caller.graph.clear();
    assert_eq!(caller.graph.wait_for_sent(1, Duration::from_millis(20)).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_messages_are_refused_in_metas_shape() {
    let caller = Caller::new(Options::default());
    for wrong in [
        text("1555", "no plus"),
        text("+1555", ""),
        text("+1555", &"é".repeat(4097)),
        json!({ "messaging_product": "whatsapp", "type": "text", "text": { "body": "nobody" } }),
        json!({ "to": "+1555", "type": "text", "text": { "body": "no product" } }),
        json!({ "messaging_product": "whatsapp", "to": "+1555", "type": "image" }),
        json!({ "messaging_product": "whatsapp", "status": "read" }),
        json!([]),
    ] {
        let (status, answer) = read(caller.send("123", wrong.clone()).await.unwrap()).await;
        let code = if wrong["type"] == "image" { 131_009 } else { 100 };
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{wrong}");
    }
    let anonymous = caller.client.post(caller.url("123/messages")).json(&text("+1", "x")).send();
    let (status, answer) = read(anonymous.await.unwrap()).await;
    assert_eq!((status, &answer["error"]["code"]), (401, &json!(190)));
    assert_eq!(caller.graph.sent_count(), 0);
    assert_eq!(caller.send("123", text("+1555", &"é".repeat(4096))).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_and_typing_are_remembered_apart() {
    let caller = Caller::new(Options::default());
    let read = json!({ "messaging_product": "whatsapp", "status": "read", "message_id": "wamid.x",
                       "typing_indicator": { "type": "text" } });
    assert_eq!(caller.send("123", read).await.unwrap().status(), 200);
    let reads = caller.graph.reads();
    assert_eq!((reads[0].wamid.as_str(), reads[0].typing), ("wamid.x", true));
    assert_eq!(caller.graph.sent_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_strike_the_calls_they_are_meant_for() {
    let caller = Caller::new(Options::default());
    let graph = &caller.graph;
    let limited = Fault::Error { http: 429, code: 130429, retry_after: Some(7) };
    graph.fault(Rule::from(limited).id("123").times(2));
    assert_eq!(caller.send("999", text("+1", "another number")).await.unwrap().status(), 200);
    for _ in 0..2 {
        let response = caller.send("123", text("+1", "x")).await.unwrap();
        assert_eq!(response.headers()["Retry-After"], "7");
        let (status, answer) = read(response).await;
        assert_eq!((status, &answer["error"]["code"]), (429, &json!(130429)));
    }
    assert_eq!(caller.send("123", text("+1", "x")).await.unwrap().status(), 200);

    graph.fault(Rule::from(Fault::error(503, 2)).on(Call::Manage));
    assert_eq!(caller.send("123", text("+1", "x")).await.unwrap().status(), 200);
    assert_eq!(caller.get("token", "123").await.0, 503);
    assert_eq!(caller.get("token", "123").await.0, 200);

    graph.clear();
    graph.fault(Fault::LoseAnswer);
    assert!(caller.send("123", text("+1", "answer lost")).await.is_err());
    assert_eq!(graph.sent_count(), 1);
    graph.fault(Fault::HangUp);
    assert!(caller.send("123", text("+1", "never seen")).await.is_err());
    assert_eq!(graph.sent_count(), 1);

    graph.fault(Fault::Hang(Duration::from_millis(300)));
    let began = Instant::now();
    let hanging = caller.send("123", text("+1", "accepted at once"));
    let (answer, sent) = tokio::join!(hanging, async {
        graph.wait_for_sent(2, Duration::from_secs(5)).await;
        began.elapsed()
    });
    assert_eq!(answer.unwrap().status(), 200);
    assert!(sent < Duration::from_millis(250) && began.elapsed() >= Duration::from_millis(300));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_one_refuses_and_comes_back_on_the_same_port() {
    let caller = Caller::new(Options::default());
    caller.send("123", text("+1", "one")).await.unwrap();
    caller.graph.stop().await;
    assert!(caller.send("123", text("+1", "refused")).await.unwrap_err().is_connect());
    caller.graph.resume().unwrap();
    caller.send("123", text("+1", "two")).await.unwrap();
    assert_eq!(caller.graph.sent().iter().map(Sent::text).collect::<Vec<_>>(), ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_belong_to_their_waba_and_their_tokens() {
    let caller = Caller::new(Options { strict: true, ..Options::default() });
    caller.graph.register(Number::new("123").waba("42").token("good").display("15550001111"));
    let (status, number) = caller.get("good", "123?fields=status,display_phone_number,health_status").await;
    assert_eq!((status, &number["status"]), (200, &json!("CONNECTED")));
    assert_eq!(number["display_phone_number"], "+15550001111");
    assert_eq!(number["health_status"]["entities"][1]["id"], "42");
    assert_eq!(number.get("verified_name"), None);
    let (_, numbers) = caller.get("good", "42/phone_numbers?fields=id").await;
    assert_eq!(numbers, json!({ "data": [{ "id": "123" }] }));
    assert_eq!(caller.get("bad", "123").await.1["error"]["code"], 190);
    assert_eq!(caller.get("good", "124").await.1["error"]["code"], 100);
    assert_eq!(caller.get("good", "43/phone_numbers").await.1["error"]["code"], 100);
    let (_, token) = caller.get("app|secret", "debug_token?input_token=good").await;
    assert_eq!(token["data"]["is_valid"], true);
    caller.graph.revoke_token("good");
    assert_eq!(caller.get("good", "123").await.0, 401);
    caller.graph.restore_token("good");
    assert_eq!(caller.get("good", "123").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lenient_one_knows_a_number_from_its_first_use() {
    let caller = Caller::new(Options::default());
    assert_eq!(caller.get("any", "987654321").await.1["display_phone_number"], "+888987654321");
    let (_, numbers) = caller.get("any", "some-waba/phone_numbers?fields=id").await;
    assert_eq!(numbers["data"][0]["id"], "987654321");
    assert_eq!(caller.get("any", "not-a-number").await.0, 400);
}

/// A server that answers the verification GET for the token `right` and passes on what is posted to it.
fn callback() -> (StandInServer, mpsc::UnboundedReceiver<(String, String)>) {
    let (posted, received) = mpsc::unbounded_channel();
    let server = StandInServer::start(move |config| {
        let posted = posted.clone();
        let verify = |query: web::Query<std::collections::HashMap<String, String>>| async move {
            match query.get("hub.verify_token").map(String::as_str) {
                Some("right") => HttpResponse::Ok().body(query["hub.challenge"].clone()),
                _ => HttpResponse::Forbidden().finish(),
            }
        };
        let post = move |request: HttpRequest, body: String| {
            let header = request.headers().get(signature::HEADER).unwrap().to_str().unwrap().to_owned();
            posted.send((header, body)).unwrap();
            std::future::ready(HttpResponse::Ok().finish())
        };
        config.service(web::resource("/webhook").get(verify).post(post));
    });
    (server.unwrap(), received)
}

#[tokio::test(flavor = "multi_thread")]
async fn overrides_are_verified_and_wiped_by_a_bare_subscription() {
    let caller = Caller::new(Options::default());
    let (server, _received) = callback();
    let url = format!("{}/webhook", server.base_url());
    let apps = "waba-1/subscribed_apps";
    let subscribe = |token: &str| {
        let body = json!({ "override_callback_uri": url, "verify_token": token });
        caller.client.post(caller.url(apps)).bearer_auth("t").json(&body).send()
    };
    assert_eq!(caller.get("t", apps).await.1, json!({ "data": [] }));
    let (status, answer) = read(subscribe("wrong").await.unwrap()).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(2200)));
    assert!(!caller.graph.subscription("waba-1").subscribed);
    assert_eq!(subscribe("right").await.unwrap().status(), 200);
    assert_eq!(caller.get("t", apps).await.1["data"][0]["override_callback_uri"], url.as_str());
    caller.client.post(caller.url(apps)).bearer_auth("t").send().await.unwrap();
    assert_eq!(caller.get("t", apps).await.1["data"][0].get("override_callback_uri"), None);
    caller.client.delete(caller.url(apps)).bearer_auth("t").send().await.unwrap();
    assert_eq!(caller.get("t", apps).await.1, json!({ "data": [] }));

    let body = json!({ "webhook_configuration": { "override_callback_uri": url, "verify_token": "right" } });
    caller.client.post(caller.url("123")).bearer_auth("t").json(&body).send().await.unwrap();
    let (_, number) = caller.get("t", "123?fields=webhook_configuration").await;
    assert_eq!(number["webhook_configuration"]["phone_number"], url.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_messages_yield_signed_statuses_in_order() {
    let caller = Caller::new(Options::default());
    caller.graph.register(Number::new("123").waba("42").token("token"));
    let (server, mut received) = callback();
    let mut target = StatusWebhook::new(format!("{}/webhook", server.base_url()), "secret").unwrap();
    target.delays = [5, 10, 15].map(Duration::from_millis);
    caller.graph.set_status_webhook(Some(target));
    caller.send("123", text("+1555", "hello")).await.unwrap();
    let wamid = caller.graph.sent()[0].wamid.clone();
    for expected in ["sent", "delivered", "read"] {
        let (header, body) =
            tokio::time::timeout(Duration::from_secs(5), received.recv()).await.unwrap().unwrap();
        assert!(Signature::parse(&header).unwrap().matches(b"secret", body.as_bytes()));
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["entry"][0]["id"], "42");
        let status = &body["entry"][0]["changes"][0]["value"]["statuses"][0];
        assert_eq!((&status["status"], &status["id"]), (&json!(expected), &json!(wamid)));
        assert_eq!(status["biz_opaque_callback_data"], "attempt-1");
        assert_eq!(status["recipient_id"], "1555");
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while caller.graph.sent()[0].status != Some("read") {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_uploaded_found_fetched_and_sent() {
    let caller = Caller::new(Options::default());
    let id = caller.graph.put_file(File::new("image/png", "bytes"));
    let (status, info) = caller.get("token", &id).await;
    assert_eq!((status, &info["mime_type"], &info["file_size"]), (200, &json!("image/png"), &json!("5")));
    let url = info["url"].as_str().unwrap();
    assert_eq!(caller.client.get(url).send().await.unwrap().status(), 401, "a token is needed");
    let bytes = caller.client.get(url).bearer_auth("token").send().await.unwrap().bytes().await.unwrap();
    assert_eq!(bytes, "bytes");

    let image = |id: &str| json!({ "messaging_product": "whatsapp", "to": "+1555", "type": "image", "image": { "id": id } });
    assert_eq!(caller.send("123", image(&id)).await.unwrap().status(), 200);
    let (_, answer) = read(caller.send("123", image("404")).await.unwrap()).await;
    assert_eq!(answer["error"]["code"], 131_053);
    let upload = caller.client.post(caller.url("123/media")).bearer_auth("token").body("no form");
    assert_eq!(read(upload.send().await.unwrap()).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn known_templates_are_the_only_ones_once_there_is_one() {
    let caller = Caller::new(Options::default());
    let template = |name: &str, parameters: usize| {
        let parameters = vec![json!({ "type": "text", "text": "x" }); parameters];
        let components = if parameters.is_empty() {
            json!([])
        } else {
            json!([{ "type": "body", "parameters": parameters }])
        };
        let mut template = json!({ "name": name, "language": { "code": "en" }, "components": components });
        if components == json!([]) {
            template.as_object_mut().unwrap().remove("components");
        }
        json!({ "messaging_product": "whatsapp", "to": "+1555", "type": "template", "template": template })
    };
    assert_eq!(caller.send("123", template("anything", 3)).await.unwrap().status(), 200);
    caller.graph.approve("order", "en", 2);
    for (name, parameters, code) in [
        ("order", 2, None),
        ("order", 1, Some(132_000)),
        ("other", 2, Some(132_001)),
        ("order", 0, Some(132_000)),
    ] {
        let (_, answer) = read(caller.send("123", template(name, parameters)).await.unwrap()).await;
        assert_eq!(answer["error"]["code"].as_i64(), code, "{name} {parameters}");
    }
}
