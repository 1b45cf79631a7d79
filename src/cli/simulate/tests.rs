//! Each command against a server of its own.

use std::sync::{Arc, Mutex};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use clap::Parser;

use super::*;
use crate::graph::signature::{self, Signature};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    simulate: Simulate,
}

/// A webhook that checks signatures as a server would; `fail_every` nth is answered with 503.
#[derive(Clone, Default)]
struct Server {
    bodies: Arc<Mutex<Vec<Value>>>,
    fail_every: Option<usize>,
}

impl Server {
    fn start(&self, secret: &'static str) -> String {
        let this = self.clone();
        let post = move |request: HttpRequest, body: web::Bytes| {
            let header = request.headers().get(signature::HEADER).unwrap().to_str().unwrap();
            let answer = if !Signature::parse(header).unwrap().matches(secret.as_bytes(), &body) {
                HttpResponse::Unauthorized().finish()
            } else {
                let mut bodies = this.bodies.lock().unwrap();
                bodies.push(serde_json::from_slice(&body).unwrap());
                match this.fail_every {
                    Some(n) if bodies.len().is_multiple_of(n) => HttpResponse::ServiceUnavailable().finish(),
                    _ => HttpResponse::Ok().json(json!({ "success": true })),
                }
            };
            std::future::ready(answer)
        };
        let verify = |query: web::Query<std::collections::HashMap<String, String>>| async move {
            match query.get("hub.verify_token").map(String::as_str) {
                Some("right") => HttpResponse::Ok().body(query["hub.challenge"].clone()),
                _ => HttpResponse::Forbidden().body("Forbidden"),
            }
        };
        let server = HttpServer::new(move || {
            App::new().service(web::resource("/webhook").post(post.clone()).get(verify))
        });
        let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        tokio::spawn(server.run());
        url
    }
}

/// Whether the command ended well.
async fn run(arguments: &[&str]) -> bool {
    let command = Command::parse_from([&["simulate"], arguments].concat());
    command.simulate.run().await == ExitCode::SUCCESS
}

#[tokio::test(flavor = "multi_thread")]
async fn plays_a_message_and_a_status() {
    let server = Server::default();
    let url = server.start("s1");
    let common = ["--url", &url, "--secret", "s1,s0", "--phone-number-id", "77"];
    let message = ["message", "--from", "+1555", "--text", "Hi", "--wamid", "w1", "--json"];
    assert!(run(&[&message[..], &common].concat()).await);
    assert!(run(&[&["status", "--wamid", "w9", "--status", "read"], &common[..]].concat()).await);
    let bodies = server.bodies.lock().unwrap().clone();
    let value = |n: usize| bodies[n]["entry"][0]["changes"][0]["value"].clone();
    assert_eq!(value(0)["metadata"]["phone_number_id"], "77");
    assert_eq!(value(0)["messages"][0]["text"]["body"], "Hi");
    assert_eq!(
        (&value(0)["messages"][0]["from"], &value(0)["messages"][0]["id"]),
        (&json!("1555"), &json!("w1"))
    );
    assert_eq!(
        (&value(1)["statuses"][0]["id"], &value(1)["statuses"][0]["status"]),
        (&json!("w9"), &json!("read"))
    );

    assert!(!run(&["message", "--url", &url, "--secret", "another"]).await);
    assert!(!run(&["message", "--url", "http://127.0.0.1:9"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn verifies_a_callback() {
    let url = Server::default().start("");
    assert!(run(&["verify", "--url", &url, "--verify-token", "right"]).await);
    assert!(!run(&["verify", "--url", &url, "--verify-token", "wrong"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_every_number_and_customer_in_turn() {
    let server = Server::default();
    let url = server.start(DEMO_APP_SECRET);
    let load =
        ["load", "--url", &url, "--secret", DEMO_APP_SECRET, "--count", "500", "--conversations", "10"];
    let numbers = ["--phone-number-id", "1", "--phone-number-id", "2", "--text", "n={n}"];
    assert!(run(&[&load[..], &numbers].concat()).await);
    let bodies = server.bodies.lock().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let mut wamids = std::collections::BTreeSet::new();
    for body in bodies.iter() {
        let value = &body["entry"][0]["changes"][0]["value"];
        let message = &value["messages"][0];
        assert_eq!(message["from"], value["contacts"][0]["wa_id"]);
        let n: usize = message["text"]["body"].as_str().unwrap().strip_prefix("n=").unwrap().parse().unwrap();
        assert_eq!(message["from"], (15_550_000_000 + n % 10).to_string());
        assert_eq!(value["metadata"]["phone_number_id"], if n.is_multiple_of(2) { "1" } else { "2" });
        seen.insert(n);
        wamids.insert(message["id"].to_string());
    }
    assert_eq!((bodies.len(), seen.len(), wamids.len()), (500, 500, 500));
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_a_rate_and_tells_of_failures() {
    let server = Server { fail_every: Some(20), ..Server::default() };
    let url = server.start(DEMO_APP_SECRET);
    let load = ["load", "--url", &url, "--secret", DEMO_APP_SECRET, "--count", "100", "--json"];
    let began = Instant::now();
    assert!(!run(&[&load[..], &["--rate", "400", "--connections", "8"]].concat()).await);
    let took = began.elapsed().as_secs_f64();
    assert!((0.24..2.0).contains(&took), "100 at 400/s took {took} s");
    assert_eq!(server.bodies.lock().unwrap().len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_too_much_and_too_far() {
    for arguments in [
        &["--count", "1000001"][..],
        &["--count", "0"],
        &["--connections", "0"],
        &["--rate", "NaN"],
        &["--url", "http://192.0.2.1/webhook"],
        &["--url", "http://127.0.0.1:9/webhook"],
    ] {
        assert!(!run(&[&["load"], arguments].concat()).await, "{arguments:?}");
    }
}
