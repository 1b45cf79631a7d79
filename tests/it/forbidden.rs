//! A tenant's responder does not lead into our own network: neither when it was stored before that was forbidden, nor
//! by a redirect.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{Onboard, SOON, World};
use crate::on_both_databases;

const ANNA: &str = "15551230001";

/// A neighbour inside the network: counts who comes, and answers all the same.
async fn neighbour(answer: String) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let visits = Arc::new(AtomicUsize::new(0));
    let count = visits.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, visits)
}

on_both_databases! {
    async fn what_was_stored_before_it_was_forbidden_is_not_asked(db: Db) {
        let world = World::fast(db);
        let service = world.start_with(&[("ALLOW_PRIVATE_RESPONDERS", "false")]).await;
        let (port, visits) = neighbour("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into()).await;
        let hosts = ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.0.0.1.nip.io"];
        for (n, host) in hosts.iter().enumerate() {
            let chatbot = format!("bot-{n}");
            let number = format!("70{n}");
            service.onboard(Onboard { chatbot: &chatbot, number: &number, ..Onboard::default() }).await;
            let url = format!(r#"{{"kind":"openai","model":"m","baseUrl":"https://{host}:{port}"}}"#);
            service.change_chatbot("default", &chatbot, &number, |bot| bot.responder = url.clone()).await;
            service.text(&number, ANNA, "Hello?").await;
        }
        world.graph.wait_for_sent(hosts.len(), SOON).await;
        service.settle().await;
        let dead = world.db.texts("select reason from turns where status = 'dead' order by chatbot_id").await;
        assert_eq!(dead.len(), hosts.len(), "{dead:?}");
        for (host, reason) in hosts.iter().zip(&dead) {
            // A name is refused when it is resolved; and this machine may not resolve foreign names at all.
            let by_name = host.ends_with("nip.io");
            let expected = if by_name { "responder_unreachable" } else { "responder_forbidden" };
            assert!(reason.starts_with(expected), "{host}: {reason}");
        }
        assert_eq!(visits.load(Ordering::SeqCst), 0);
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn a_redirect_is_not_followed(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        let (inner, inside) = neighbour("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into()).await;
        for (n, status) in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"].iter().enumerate() {
            let answer = format!("HTTP/1.1 {status}\r\nLocation: http://127.0.0.1:{inner}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let (outer, visits) = neighbour(answer).await;
            let (chatbot, number) = (format!("bot-{n}"), format!("70{n}"));
            service.onboard(Onboard { chatbot: &chatbot, number: &number, ..Onboard::default() }).await;
            let url = format!(r#"{{"kind":"response_api","baseUrl":"http://127.0.0.1:{outer}"}}"#);
            service.change_chatbot("default", &chatbot, &number, |bot| bot.responder = url.clone()).await;
            service.text(&number, ANNA, "Hello?").await;
            world.graph.wait_for_sent(n + 1, SOON).await;
            assert!(visits.load(Ordering::SeqCst) >= 1, "{status}");
        }
        assert_eq!(inside.load(Ordering::SeqCst), 0);
        service.running.stop().await;
    }
}
