//! What no client sends: requests that two readers may cut differently, and paths that two readers may read differently.

use std::net::SocketAddr;
use std::time::Duration;

use switchboard::graph::signature::{HEADER, sign};
use switchboard::sandbox::http_client;
use switchboard::sandbox::webhook::text_body;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{ADMIN_KEY, APP_SECRET, Db, Onboard, SHOP, World};

/// Sends these bytes over a connection of their own; everything that came back until it was closed, or silent.
async fn told(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut line = TcpStream::connect(addr).await.unwrap();
    // Whoever is refused at the head may be cut off before all of it is sent.
    let _ = line.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut piece = vec![0; 65_536];
    while let Ok(Ok(length @ 1..)) =
        tokio::time::timeout(Duration::from_millis(400), line.read(&mut piece)).await
    {
        answer.extend_from_slice(&piece[..length]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of all answers in it.
fn statuses(answer: &str) -> Vec<u16> {
    let lines = answer.split("HTTP/1.1 ").skip(1);
    lines.map(|line| line.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0)).collect()
}

/// A second request, hidden where the first one may end for somebody.
const HIDDEN: &str = "GET /health?hidden HTTP/1.1\r\nHost: x\r\n\r\n";

/// What differs of a POST that hides another: everything between `Host` and the end.
const CUT_TWICE: &[&str] = &[
    // a length and chunks
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "Content-Length: 46\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    // two lengths, one for each reader
    "Content-Length: 0\r\nContent-Length: 41\r\n\r\n",
    "Content-Length: 41\r\nContent-Length: 0\r\n\r\n",
    "Content-Length: 0, 41\r\n\r\n",
    "Content-Length: 0\r\ncontent-length: 0\r\n\r\n",
    // lengths that are none
    "Content-Length: +0\r\n\r\n",
    "Content-Length: -1\r\n\r\n",
    "Content-Length: 0x0\r\n\r\n",
    "Content-Length: 0 0\r\n\r\n",
    "Content-Length: 99999999999999999999999\r\n\r\n",
    "Content-Length:\r\n\r\n",
    // other spellings of chunked
    "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding: identity, chunked\r\nContent-Length: 0\r\n\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n",
    "Transfer-Encoding\t: chunked\r\nContent-Length: 0\r\n\r\n",
    "Transfer-Encoding: \x0bchunked\r\nContent-Length: 0\r\n\r\n",
    "Transfer-Encoding: \"chunked\"\r\nContent-Length: 0\r\n\r\n",
    // a header that goes on in the next line
    "X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
    "Transfer-Encoding:\r\n chunked\r\nContent-Length: 0\r\n\r\n",
    "Content-Length: 0\r\n 41\r\n\r\n",
    // line ends and bytes that are none
    "X: y\rTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
    "X: y\0z\r\nContent-Length: 0\r\n\r\n",
    "Content Length: 41\r\n\r\n",
    // chunks that end early or late
    "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n0;a\nb\r\n\r\n",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_is_never_read_as_two() {
    let world = World::new(Db::sqlite());
    let service = world.start().await;
    let addr = service.running.addr;
    // Signed, so that bodies are read to their end.
    let post = |rest: &str, body: &str, end: &str| {
        let signature = sign(APP_SECRET.as_bytes(), body.as_bytes());
        format!("POST /webhook HTTP/1.1{end}Host: x{end}{HEADER}: {signature}{end}{rest}")
    };
    // Whoever sends two gets two answers: so a hidden one would show.
    for honest in ["Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
        let two = post(honest, "", "\r\n") + HIDDEN;
        assert_eq!(statuses(&told(addr, two.as_bytes()).await), [200, 200], "{honest:?}");
    }
    let all = CUT_TWICE.iter().map(async |rest| {
        let request = post(rest, "", "\r\n") + HIDDEN;
        (rest, statuses(&told(addr, request.as_bytes()).await))
    });
    for (rest, statuses) in futures_util::future::join_all(all).await {
        assert_eq!(statuses, [400], "{rest:?}");
    }
    // A line may end in a mere LF; then it does so for everybody, and the body is as long as it says.
    let bare = post(&format!("Content-Length: {}\n\n{HIDDEN}", HIDDEN.len()), HIDDEN, "\n");
    assert_eq!(statuses(&told(addr, bare.as_bytes()).await), [200]);
    service.running.stop().await;
}

/// A deflated file of so many zeros, by hand: each 13 bits say 258 more.
fn bomb(zeros: usize) -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    let (mut kept, mut count) = (0_u32, 0);
    let mut put = |bits: u32, length: u32| {
        kept |= bits << count;
        count += length;
        while count >= 8 {
            bytes.push(kept as u8);
            (kept, count) = (kept >> 8, count - 8);
        }
    };
    // The last block, with the fixed codes; then one zero, and "the same again".
    put(0b1, 1);
    put(0b01, 2);
    put(0b0000_1100, 8);
    for _ in 0..zeros / 258 {
        put(0b1010_0011, 8);
        put(0, 5);
    }
    put(0, 15);
    bytes
}

/// Bodies that are small on the line and large for whoever is careless with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_swells_is_refused_at_once() {
    let world = World::new(Db::sqlite());
    let service = world.start().await;
    let bomb = bomb(200 << 20);
    assert!(bomb.len() < 2 << 20);
    let small: Vec<u8> = bomb[..200_000].to_vec();
    let keys: String = (0..25_000).map(|n| format!("\"{n:x}\":0,")).collect();
    let bodies: [(&str, Vec<u8>); 8] = [
        ("gzip", small),
        ("deflate", vec![0x78; 1_000]),
        ("", "[".repeat(250_000).into()),
        ("", "{\"a\":".repeat(40_000).into()),
        ("", format!("{{{keys}\"id\":1}}").into()),
        ("", b"{\"id\":\"\xff\xfe\"}".to_vec()),
        ("", b"{\"id\":1e999999999}".to_vec()),
        ("", format!("{{\"coalesceMs\":{}}}", "9".repeat(100_000)).into()),
    ];
    let http = http_client().unwrap();
    for (n, (encoding, body)) in bodies.into_iter().enumerate() {
        let mut request =
            http.post(format!("{}/api/v1/chatbots", service.running.url())).bearer_auth(ADMIN_KEY);
        request = request.header("Content-Type", "application/json").body(body);
        if !encoding.is_empty() {
            request = request.header("Content-Encoding", encoding);
        }
        let asked = std::time::Instant::now();
        let status = request.send().await.unwrap().status().as_u16();
        assert!((400..500).contains(&status), "{n}: {status}");
        assert!(asked.elapsed() < Duration::from_secs(2), "{n}: {:?}", asked.elapsed());
    }
    // Meta signs what it sends: nothing is unpacked at the door, and what is stored is what came.
    let mut request =
        http.post(format!("{}/webhook", service.running.url())).header("Content-Encoding", "gzip");
    request = request.header(HEADER, sign(APP_SECRET.as_bytes(), &bomb)).body(bomb.clone());
    assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
    let stored = world.db.texts("select cast(length(raw) as text) from webhook_events").await;
    assert_eq!(stored, [bomb.len().to_string()]);
    service.running.stop().await;
}

/// Where something stands that nobody sees without a credential, however the path is written.
fn spellings(path: &str) -> Vec<String> {
    let (first, rest) = path[1..].split_once('/').unwrap();
    let encoded: String =
        rest.bytes().map(|b| if b == b'/' { "/".into() } else { format!("%{b:02X}") }).collect();
    vec![
        path.to_owned(),
        format!("{path}/"),
        format!("/{path}"),
        format!("//{first}//{rest}"),
        format!("/{first}/{encoded}"),
        format!("/{first}%2F{rest}"),
        format!("/{}/{rest}", first.to_uppercase()),
        format!("/{first}/{}", rest.to_uppercase()),
        format!("{path};a=b"),
        format!("/{first};a=b/{rest}"),
        format!("/{first}/./{rest}"),
        format!("/{first}/x/../{rest}"),
        format!("/{first}/x/%2e%2e/{rest}"),
        format!("/health/../{first}/{rest}"),
        format!("/health/..%2f{first}/{rest}"),
        format!("/docs/%2e%2e/{first}/{rest}"),
        format!("/assets/..%2f{first}%2f{rest}"),
        format!("/\\{first}\\{rest}"),
        format!("{path}%00"),
        format!("{path}%20"),
        format!("{path}%3f"),
        format!("{path}.json"),
        format!("http://elsewhere.example{path}"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_path_opens_it() {
    let world = World::new(Db::sqlite());
    let service = world.start().await;
    service.onboard(Onboard::default()).await;
    service.text(SHOP, "15551230001", "The customer's words").await;
    service.settle().await;
    let addr = service.running.addr;
    let mut asked = 0;
    for path in ["/api/v1/tenants", "/api/v1/conversations", "/api/v1/audit", "/api/whatsapp/session-info"] {
        let open = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(statuses(&told(addr, open.as_bytes()).await), [200], "{path} with a key");
        for spelling in spellings(path) {
            // Nobody's, and one that looks as if another reader had let it through.
            for more in
                ["", "X-Original-URL: /health\r\nX-Rewrite-URL: /health\r\nX-Forwarded-Prefix: /docs\r\n"]
            {
                let request =
                    format!("GET {spelling} HTTP/1.1\r\nHost: x\r\n{more}Connection: close\r\n\r\n");
                let answer = told(addr, request.as_bytes()).await;
                let statuses = statuses(&answer);
                assert!(matches!(statuses[..], [400..500]), "{spelling}: {answer}");
                asked += 1;
            }
        }
    }
    assert!(asked > 150);
    // Unsigned, the door takes nothing under any name.
    let body = text_body(SHOP, "15551230002", "Nobody signed this");
    for spelling in [
        "/webhook",
        "/webhook/",
        "//webhook",
        "/WEBHOOK",
        "/webhook;a",
        "/%77ebhook",
        "/webhook%00",
        "/x/../webhook",
    ] {
        let request = format!(
            "POST {spelling} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = told(addr, request.as_bytes()).await;
        assert!(matches!(statuses(&answer)[..], [400..500]), "{spelling}: {answer}");
    }
    assert_eq!(
        world.db.texts("select text from messages where direction = 'in'").await,
        ["The customer's words"]
    );
    service.running.stop().await;
}

/// Only what was built in is served, and a page of the dashboard is the same page wherever it is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_file_outside_is_served() {
    let world = World::new(Db::sqlite());
    let service = world.start().await;
    let addr = service.running.addr;
    let mut served = 0;
    for place in ["", "/assets", "/docs", "/login", "/whatsapp-connect", "/api/v1/media", "/static", "/page"]
    {
        for climb in [
            "..",
            "%2e%2e",
            ".%2e",
            "..%2f..",
            "%2e%2e%2f%2e%2e",
            "..%5c..",
            "..\\..",
            "....//....",
            "%252e%252e",
            "..;",
            "..%00",
        ] {
            for file in ["etc/passwd", "proc/self/environ", "Cargo.toml", ".env", "data/switchboard.db"] {
                let path = format!("{place}/{}{file}", format!("{climb}/").repeat(6));
                let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                let answer = told(addr, request.as_bytes()).await;
                for inside in ["root:", "DATABASE_URL=", "[package]", "SQLite format", "SWITCHBOARD_"] {
                    assert!(!answer.contains(inside), "{path}: {answer}");
                }
                let page = answer.contains("<!doctype html>") && statuses(&answer) == [200];
                assert!(page || matches!(statuses(&answer)[..], [400..500]), "{path}: {answer}");
                served += usize::from(page);
            }
        }
    }
    // So that what is no page was not taken for one by an unlucky word.
    assert!(served > 0, "the dashboard's own pages answer under any name below theirs");
    service.running.stop().await;
}
