//! More than there is room for, and for long: who is refused is told so at once, and nothing grows.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use switchboard::cli::simulate::http1::Connection;
use switchboard::graph::signature;
use switchboard::sandbox::webhook::{Change, Incoming, Status, body};

use crate::harness::process::Process;
use crate::harness::{APP_SECRET, Onboard, SHOP, World};
use crate::ledger::{at_rest, person, rows_are_whole};
use crate::{At, Held};

async fn started(at: At) -> (World, Process) {
    let world = World::new(at.db().await);
    let service = world.start().await;
    service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
    service.running.stop().await;
    let mut process = Process::new(&world);
    process.start();
    process.ready().await;
    (world, process)
}

/// Posts a body over a connection of its own; the status and how long it took. No connection counts as 0.
pub async fn post(port: u16, body: &str) -> (u16, Duration) {
    let began = Instant::now();
    let mut line = Connection::new(([127, 0, 0, 1], port).into(), "localhost", "/webhook");
    let signed = signature::sign(APP_SECRET.as_bytes(), body.as_bytes());
    let status = line.post(&signed, body.as_bytes()).await.unwrap_or(0);
    (status, began.elapsed())
}

/// A status of a message nobody sent: it is stored, and nothing follows from it.
fn status(n: usize) -> String {
    body(&[Change::new(SHOP).status(Status::new(&format!("wamid.none.{n}"), "read", "15550000001"))])
}

/// Connections that say nothing, half a head, or half a body; those who speak properly are served.
pub async fn half_open(at: At) -> Held {
    let count = if at.scale.full { 5_000 } else { 600 };
    let (_world, process) = started(at).await;
    let before = process.holds();
    let mut open: Vec<TcpStream> = Vec::with_capacity(count);
    for n in 0..count {
        let mut line = TcpStream::connect(("127.0.0.1", process.port)).unwrap();
        let signed = signature::sign(b"?", b"");
        let half = [
            String::new(),
            "POST /webhook HTTP/1.1\r\nHost: x\r\nX-Pad: ".to_owned(),
            format!(
                "POST /webhook HTTP/1.1\r\nHost: x\r\n{}: {signed}\r\nContent-Length: 9\r\n\r\n{{",
                signature::HEADER
            ),
        ];
        line.write_all(half[n % 3].as_bytes()).unwrap();
        open.push(line);
    }
    let held = process.holds();
    assert!(held.1 >= before.1 + count / 2, "they are open: {} files", held.1);
    let mut slowest = Duration::ZERO;
    let began = Instant::now();
    let mut served = 0;
    // Longer than any of them is waited for.
    while began.elapsed() < Duration::from_secs(12) {
        let (answer, took) = post(process.port, &status(served)).await;
        assert_eq!(answer, 200);
        (served, slowest) = (served + 1, slowest.max(took));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    // Who said something and did not end it is out by now. Who said nothing costs a socket until the keep-alive is over.
    let mut out = 0;
    for (n, line) in open.iter_mut().enumerate().filter(|(n, _)| n % 3 != 0) {
        line.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut answer = Vec::new();
        let ended = line.read_to_end(&mut answer).is_ok() || !answer.is_empty();
        assert!(ended, "connection {n} is still open");
        out += 1;
    }
    let grown = process.holds().0 - before.0;
    Held {
        tried: format!("{count} connections"),
        figure: format!(
            "{served} served beside them, {:.2} s at most; {out} put out; {grown:.0} MB",
            slowest.as_secs_f64()
        ),
    }
}

/// More at once than may wait: each has its 200 or its 503 within two seconds, and then all is as before.
pub async fn overload(at: At) -> Held {
    let count = if at.scale.full { 9_000 } else { 1_500 };
    let (world, process) = started(at).await;
    let port = process.port;
    let before = process.holds();
    let crowd = join_all((0..count).map(|n| async move {
        let body = status(n);
        post(port, &body).await
    }));
    let answers = crowd.await;
    let number = |status: u16| answers.iter().filter(|(it, _)| *it == status).count();
    let (taken, refused) = (number(200), number(503));
    assert_eq!(
        taken + refused,
        count,
        "neither 200 nor 503: {:?}",
        answers.iter().find(|a| a.0 != 200 && a.0 != 503)
    );
    let mut waited: Vec<Duration> =
        answers.iter().filter(|(status, _)| *status == 200).map(|(_, took)| *took).collect();
    waited.sort_unstable();
    let p99 = waited[waited.len() * 99 / 100];
    // The crowd itself runs on this machine, so this includes waiting for it.
    assert!(p99 < Duration::from_secs(10), "{p99:?}");
    let stored = world.db.texts("select cast(count(*) as text) from webhook_events").await;
    assert!(stored[0].parse::<usize>().unwrap() >= taken, "{stored:?} of {taken}");
    let (after, took) = post(port, &status(count)).await;
    assert!(after == 200 && took < Duration::from_secs(1), "{after} after {took:?}");
    let grown = process.holds().0 - before.0;
    Held {
        tried: format!("{count} at once"),
        figure: format!(
            "{taken} × 200 (p99 {:.2} s), {refused} × 503, then 200 in {:.0} ms; {grown:.0} MB",
            p99.as_secs_f64(),
            took.as_secs_f64() * 1e3
        ),
    }
}

/// A steady stream, for as long as one likes: nothing is lost, nothing is left open, memory and files do not grow.
pub async fn soak(at: At) -> Held {
    let rate = if at.scale.full { 100 } else { 50 };
    let (world, mut process) = started(at).await;
    let meta = process.meta();
    let began = Instant::now();
    let (mut written, mut warm) = (0_usize, None);
    while began.elapsed() < at.scale.soak {
        let posts = (0..5).map(|n| {
            let message = Incoming::text(&person((written + n) % 1_000), "steadily");
            let (meta, body) = (meta.clone(), body(&[Change::new(SHOP).message(message)]));
            async move { assert_eq!(meta.send(body).await.unwrap().status, 200) }
        });
        join_all(posts).await;
        written += 5;
        let due = Duration::from_secs_f64(written as f64 / f64::from(rate));
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        if began.elapsed() > at.scale.soak / 3 && warm.is_none() {
            warm = Some(process.holds());
        }
    }
    let end = process.holds();
    let warm = warm.unwrap_or(end);
    let deadline = Instant::now() + Duration::from_secs(30);
    while world.graph.sent_count() < written || !at_rest(&world.db).await {
        assert!(Instant::now() < deadline, "{} of {written} sent", world.graph.sent_count());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(world.graph.sent_count(), written);
    assert!(end.0 < warm.0 * 1.5 + 30.0, "{:.0} MB, then {:.0} MB", warm.0, end.0);
    assert!(end.1 <= warm.1 + 50, "{} files, then {}", warm.1, end.1);
    rows_are_whole(&world.db).await;
    process.kill();
    Held {
        tried: format!("{} s, {rate} a second", at.scale.soak.as_secs()),
        figure: format!(
            "{written} answered once; {:.0} → {:.0} MB, {} → {} files in the last two thirds",
            warm.0, end.0, warm.1, end.1
        ),
    }
}
