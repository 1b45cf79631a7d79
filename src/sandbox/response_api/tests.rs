//! The stand-in over real sockets.

use std::time::{Duration, Instant};

use reqwest::{Client, Response};
use serde_json::{Value, json};

use super::*;
use crate::sandbox::http_client;

fn start() -> (ResponseApiStandIn, Client) {
    (ResponseApiStandIn::start().unwrap(), http_client().unwrap())
}

fn request(chatbot: &str, turns: &[(&str, &str)]) -> Value {
    let turns: Vec<_> =
        turns.iter().map(|(role, content)| json!({ "role": role, "content": content })).collect();
    json!({
        "query": Value::from(turns).to_string(), "mode": "default", "chatbotId": chatbot,
        "user": { "uniqueClientId": format!("whatsapp_1555_{chatbot}"), "converslyWebId": "key-abc",
                  "metadata": { "platform": "whatsapp", "phoneNumber": "1555" } },
        "metadata": { "originUrl": "whatsapp://chat" },
    })
}

async fn ask(api: &ResponseApiStandIn, client: &Client, body: &Value) -> reqwest::Result<Response> {
    let post = client.post(format!("{}/response", api.base_url)).json(body);
    post.header("X-Request-ID", "r1").header("Idempotency-Key", "turn-1").send().await
}

async fn read(response: Response) -> (u16, Value) {
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn echoes_with_its_name_key_and_memory() {
    let (api, client) = start();
    let turns = [("user", "Hello"), ("assistant", "Hi"), ("user", "Where is it?")];
    let body = request("support-chatbot-id", &turns);
    let (status, answer) = read(ask(&api, &client, &body).await.unwrap()).await;
    assert_eq!((status, &answer["success"]), (200, &json!(true)));
    let words = answer["response"].as_str().unwrap();
    for part in ["**support-chatbot-id**", "…abc", "Where is it?", "2 messages"] {
        assert!(words.contains(part), "{words}");
    }
    let received = api.wait_for(1, Duration::from_secs(5)).await;
    assert_eq!(received[0].body, body);
    assert_eq!(received[0].chatbot(), "support-chatbot-id");
    assert_eq!(received[0].history()[1], ("assistant".to_owned(), "Hi".to_owned()));
    assert_eq!(received[0].idempotency_key.as_deref(), Some("turn-1"));
    assert_eq!(received[0].request_id.as_deref(), Some("r1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_callers_to_the_contract() {
    let (api, client) = start();
    let good = request("a", &[("user", "x")]);
    assert_eq!(ask(&api, &client, &good).await.unwrap().status(), 200);
    for (pointer, wrong) in [
        ("/query", json!("hello")),
        ("/query", json!([{ "role": "user", "content": "not a string" }])),
        ("/query", json!("[]")),
        ("/query", json!(r#"[{"role":"assistant","content":"last"}]"#)),
        ("/query", json!(r#"[{"role":"bot","content":"x"},{"role":"user","content":"x"}]"#)),
        ("/chatbotId", json!("")),
        ("/user/uniqueClientId", json!(null)),
        ("/metadata/originUrl", json!("")),
    ] {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = wrong;
        assert_eq!(ask(&api, &client, &body).await.unwrap().status(), 400, "{body}");
    }
    assert_eq!(api.count(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn misbehaves_as_told_and_then_as_usual() {
    let (api, client) = start();
    let (a, b) = (request("a", &[("user", "x")]), request("b", &[("user", "x")]));
    api.behave(None, Answer::Text("everyone".into()));
    api.behave(Some("a"), Answer::Handoff("a person comes".into()));
    api.next(Some("a"), [Answer::ServerError, Answer::UnknownOrigin, Answer::BadRequest, Answer::Refused]);
    api.next(Some("a"), [Answer::Empty]);
    let (_, answer) = read(ask(&api, &client, &b).await.unwrap()).await;
    assert_eq!((&answer["response"], answer.get("action")), (&json!("everyone"), None));
    assert_eq!(ask(&api, &client, &a).await.unwrap().status(), 500);
    let (status, answer) = read(ask(&api, &client, &a).await.unwrap()).await;
    assert_eq!(status, 500);
    assert!(answer["error"].as_str().unwrap().to_lowercase().contains("invalid api key and origin mapping"));
    assert_eq!(ask(&api, &client, &a).await.unwrap().status(), 400);
    assert_eq!(read(ask(&api, &client, &a).await.unwrap()).await.1["success"], false);
    assert_eq!(read(ask(&api, &client, &a).await.unwrap()).await.1["response"], "");
    let (_, answer) = read(ask(&api, &client, &a).await.unwrap()).await;
    assert_eq!((&answer["response"], &answer["action"]), (&json!("a person comes"), &json!("handoff")));

    api.next(None, [Answer::NotJson, Answer::HangUp]);
    let not_json = ask(&api, &client, &b).await.unwrap();
    assert!(not_json.status() == 200 && not_json.json::<Value>().await.is_err());
    assert!(ask(&api, &client, &b).await.is_err());

    api.next(None, [Answer::Echo.after(Duration::from_millis(60))]);
    let began = Instant::now();
    assert_eq!(ask(&api, &client, &b).await.unwrap().status(), 200);
    assert!(began.elapsed() >= Duration::from_millis(60));
    assert_eq!((api.received_for("a").len(), api.received_for("b").len()), (6, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_connections_while_stopped() {
    let (api, client) = start();
    let body = request("a", &[("user", "x")]);
    assert_eq!(ask(&api, &client, &body).await.unwrap().status(), 200);
    api.stop().await;
    assert!(ask(&api, &client, &body).await.unwrap_err().is_connect());
    api.resume().unwrap();
    assert_eq!(ask(&api, &client, &body).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn completes_chats_like_openai() {
    let (api, client) = start();
    let url = format!("{}/v1/chat/completions", api.base_url);
    let messages = json!([{ "role": "system", "content": "Be kind." }, { "role": "user", "content": "Hi" }]);
    let body = json!({ "model": "m1", "messages": messages });
    let (status, answer) =
        read(client.post(&url).bearer_auth("sk-1").json(&body).send().await.unwrap()).await;
    assert_eq!((status, &answer["object"]), (200, &json!("chat.completion")));
    assert!(answer["choices"][0]["message"]["content"].as_str().unwrap().contains("You said: Hi"));
    let received = api.received_for("m1");
    assert_eq!(received[0].authorization.as_deref(), Some("Bearer sk-1"));
    assert_eq!(received[0].history().len(), 2);
    api.next(None, [Answer::ServerError]);
    assert_eq!(client.post(&url).json(&body).send().await.unwrap().status(), 500);
}
