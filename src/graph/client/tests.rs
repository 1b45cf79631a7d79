//! Tests of [`super`], over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::JoinHandle;

use serde_json::json;

use super::*;
use crate::graph::errors::Reaction;
use crate::message::Recipient;

/// A server that gives each connection one of `answers` (raw bytes) and hands back the requests it got.
pub(in crate::graph) fn serve(answers: Vec<Vec<u8>>) -> (GraphClient, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let handle = std::thread::spawn(move || {
        let answer_one = |answer: Vec<u8>| {
            let (mut stream, _) = listener.accept().unwrap();
            let request = read_request(&mut stream);
            // A client that has read enough may hang up first.
            let _ = stream.write_all(&answer);
            let _ = stream.shutdown(Shutdown::Both);
            request
        };
        answers.into_iter().map(answer_one).collect()
    });
    (client(&format!("http://{address}/"), Duration::from_secs(10)), handle)
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "request cut off: {text}");
        seen.extend_from_slice(&buffer[..count]);
    }
}

fn client(base: &str, patience: Duration) -> GraphClient {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .read_timeout(patience)
        .build()
        .unwrap();
    GraphClient::new(base.parse().unwrap(), "v26.0", http)
}

/// A client of a port where nobody listens any more.
fn unreachable() -> GraphClient {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    client(&format!("http://{closed}"), Duration::from_secs(10))
}

pub(in crate::graph) fn answer(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
        .into_bytes()
}

pub(in crate::graph) fn credentials() -> Credentials {
    Credentials { token: "EAAtoken".into(), app_secret: Some("app-secret".into()) }
}

async fn send_to(client: &GraphClient) -> Result<Accepted, SendFailure> {
    let body = messages::text(&Recipient::Phone("15551234567".into()), "Hi", "attempt-1");
    client.send("106540352242922", &credentials(), &body).await
}

async fn send_and_get(raw: Vec<u8>) -> Result<Accepted, SendFailure> {
    let (client, server) = serve(vec![raw]);
    let result = send_to(&client).await;
    server.join().unwrap();
    result
}

#[tokio::test]
async fn a_send_carries_token_proof_and_body_and_returns_the_wamid() {
    let ok = r#"{"messaging_product":"whatsapp","contacts":[{"input":"+15551234567","wa_id":"15551234567"}],"messages":[{"id":"wamid.X"}]}"#;
    let (client, server) = serve(vec![answer("200 OK", ok)]);
    assert_eq!(send_to(&client).await, Ok(Accepted { wamid: "wamid.X".into() }));
    let request = server.join().unwrap().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let proof = signature::app_secret_proof(b"app-secret", b"EAAtoken");
    assert!(
        head.starts_with(&format!("POST /v26.0/106540352242922/messages?appsecret_proof={proof} HTTP/1.1"))
    );
    assert!(head.to_lowercase().contains("authorization: bearer eaatoken"));
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["to"], "+15551234567");
    assert_eq!(body["biz_opaque_callback_data"], "attempt-1");
}

#[tokio::test]
async fn reading_and_typing_needs_no_message_id() {
    let (client, server) = serve(vec![answer("200 OK", r#"{"success":true}"#)]);
    let without_secret = Credentials { app_secret: None, ..credentials() };
    assert_eq!(client.mark_read_and_type("1/../2", &without_secret, "wamid.1").await, Ok(()));
    let request = server.join().unwrap().remove(0);
    assert!(request.starts_with("POST /v26.0/1%2F..%2F2/messages HTTP/1.1"), "{request}");
    assert!(request.contains(r#""typing_indicator":{"type":"text"}"#));
}

#[tokio::test]
async fn metas_no_is_a_refusal_with_its_verdict() {
    let body = r#"{"error":{"code":131056,"message":"(#131056) pair rate limit hit EAAtoken"}}"#;
    let raw = answer("400 Bad Request\r\nRetry-After: 7", body);
    match send_and_get(raw).await {
        Err(SendFailure::Refused { error, retry_after }) => {
            assert_eq!(error.verdict().reaction, Reaction::PairLimit);
            assert_eq!(error.message, "(#131056) pair rate limit hit [token]");
            assert_eq!(retry_after, Some(Duration::from_secs(7)));
        }
        other => panic!("{other:?}"),
    }
    for (status, body, reaction) in [
        ("401 Unauthorized", r#"{"error":{"code":190,"message":"expired"}}"#, Reaction::TokenInvalid),
        ("200 OK", r#"{"error":{"code":131047}}"#, Reaction::WindowClosed),
        ("302 Found", "", Reaction::Permanent),
    ] {
        match send_and_get(answer(status, body)).await {
            Err(SendFailure::Refused { error, .. }) => {
                assert_eq!(error.verdict().reaction, reaction, "{status}")
            }
            other => panic!("{status}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_lost_or_odd_answer_is_ambiguous() {
    let too_large = format!(r#"{{"messages":[{{"id":"w"}}],"x":"{}"}}"#, "x".repeat(MAX_ANSWER));
    for (why, raw) in [
        ("hung up", Vec::new()),
        ("cut off", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"messages\"".to_vec()),
        ("refusal cut off", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 99\r\n\r\n{\"error\"".to_vec()),
        ("Meta's fault", answer("500 Internal Server Error", r#"{"error":{"code":131000}}"#)),
        ("Meta's fault, politely", answer("400 Bad Request", r#"{"error":{"code":131016}}"#)),
        ("gateway's fault", answer("502 Bad Gateway", "<html>")),
        ("not JSON", answer("200 OK", "<html>")),
        ("no ID", answer("200 OK", r#"{"messages":[]}"#)),
        ("too large", answer("200 OK", &too_large)),
    ] {
        let result = send_and_get(raw).await;
        assert!(matches!(result, Err(SendFailure::Ambiguous { .. })), "{why}: {result:?}");
    }
}

#[tokio::test]
async fn silence_is_ambiguous() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let result = send_to(&client(&base, Duration::from_millis(100))).await;
    assert!(matches!(result, Err(SendFailure::Ambiguous { .. })), "{result:?}");
}

#[tokio::test]
async fn no_connection_or_no_handshake_means_not_sent() {
    let result = send_to(&unreachable()).await;
    assert!(matches!(result, Err(SendFailure::NotSent(_))), "{result:?}");

    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = plain.accept().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 this is not TLS\r\n\r\n");
    });
    let result = send_to(&client(&format!("https://{address}"), Duration::from_secs(10))).await;
    assert!(matches!(result, Err(SendFailure::NotSent(_))), "{result:?}");
}

#[tokio::test]
async fn secrets_are_never_shown() {
    let failure = send_to(&unreachable()).await.unwrap_err();
    let shown = format!("{:?} {failure} {failure:?}", credentials());
    for secret in ["EAAtoken", "app-secret", "appsecret_proof"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let broken = Credentials { token: "EAA\ntoken".into(), app_secret: None };
    let result = unreachable().send("1", &broken, &json!({})).await;
    let Err(SendFailure::Refused { error, .. }) = result else { panic!("{result:?}") };
    assert_eq!(error.verdict().reason, "token_invalid");
    assert!(!error.to_string().contains("EAA"));
}
