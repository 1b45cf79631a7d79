//! The world outside misbehaves: responders that never end, names that nobody knows, a clock that jumps.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use switchboard::runtime::Clock;
use switchboard::sandbox::graph::Fault;
use switchboard::sandbox::response_api::Answer;
use switchboard::store::chatbots::FALLBACK_TEXT;

use crate::harness::{Onboard, SHOP, SOON, Service, World};
use crate::ledger::{Ledger, person, rows_are_whole};
use crate::{At, Held};

/// What a server of this kind sends after it was asked.
fn never_ending(kind: usize, mut line: TcpStream) -> std::io::Result<()> {
    let _ = line.read(&mut [0; 4_096])?;
    line.write_all(match kind {
        0 => b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n".as_slice(),
        1 => b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n",
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
    })?;
    loop {
        if kind < 2 {
            line.write_all(&[b' '; 16_384])?;
        } else {
            line.write_all(b" ")?;
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Answers without end, of a hundred megabytes, a byte at a time; and a name that leads nowhere.
pub async fn endless_answers(at: At) -> Held {
    let people = if at.scale.full { 100 } else { 10 };
    let world = World::fast(at.db().await);
    let service = world.start().await;
    const KINDS: [&str; 4] = ["endless", "huge", "dripping", "nowhere"];
    for (kind, chatbot) in KINDS.into_iter().enumerate() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = match kind {
            3 => "http://nobody.invalid".to_owned(),
            _ => format!("http://{}", server.local_addr().unwrap()),
        };
        std::thread::spawn(move || {
            for line in server.incoming().map_while(Result::ok) {
                std::thread::spawn(move || never_ending(kind, line));
            }
        });
        let number = format!("90{kind}");
        service.onboard(Onboard { chatbot, number: &number, ..Onboard::default() }).await;
        service
            .change_chatbot("default", chatbot, &number, |bot| {
                bot.typing = false;
                bot.responder = format!(r#"{{"kind":"response_api","baseUrl":"{url}","timeoutMs":400}}"#);
            })
            .await;
    }
    let before = resident();
    for n in 0..people {
        for kind in 0..KINDS.len() {
            service.text(&format!("90{kind}"), &person(n), "Say something").await;
        }
    }
    let expected = people * KINDS.len();
    let end = Instant::now() + Duration::from_secs(40);
    let mut most = before;
    while world.graph.sent_count() < expected {
        assert!(Instant::now() < end, "{} of {expected} fallbacks", world.graph.sent_count());
        most = most.max(resident());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(world.graph.sent().iter().all(|sent| sent.text() == FALLBACK_TEXT));
    let grown = most - before;
    // At most 256 KB of each answer is held.
    assert!(grown < 100.0, "{grown:.0} MB more");
    for (chatbot, reason) in [
        ("endless", "responder_too_long"),
        ("huge", "responder_too_long"),
        ("dripping", "responder_timeout"),
        ("nowhere", "responder_unreachable"),
    ] {
        let why = format!(
            "select reason from turns where status = 'dead' and chatbot_id = '{chatbot}' \
             and reason not like '{reason}%' and reason not like 'responder_resting%'"
        );
        assert_eq!(world.db.texts(&why).await, [""; 0]);
    }
    service.running.stop().await;
    Held {
        tried: format!("{expected} questions"),
        figure: format!("{expected} fallbacks with their reason, at most {grown:.0} MB more"),
    }
}

/// Resident memory of this process, in megabytes.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).map_or(0.0, |kb: f64| kb / 1024.0)
}

/// The machine's clock jumps, with a retry waiting, a turn open, a number slowed down and a breaker open: nothing waits
/// for the old time to come again, and nothing is done twice.
pub async fn clock_jumps(at: At) -> Held {
    const HOUR: i64 = 3_600_000;
    let base = World::new(at.db().await);
    let clock = Clock::manual(base.clock.now_ms()).with_pace(0.02);
    let world = World { clock, ..base };
    let mut service = world.start().await;
    service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
    let mut ledger = Ledger::new(3);
    let (mut jumps, mut longest) = (0, Duration::ZERO);
    for by in [HOUR, -HOUR, -HOUR, HOUR, 2 * HOUR, -3 * HOUR] {
        for restart in [false, true] {
            let calls = world.graph.call_count();
            if restart {
                // A send is to be repeated, and a turn is open, when the process ends.
                world.graph.fault(Fault::error(400, 131_056));
                ledger.write_in_line(std::slice::from_ref(&service.meta), 1).await;
                wait(&service, async || world.graph.call_count() > calls).await;
                world.responder.next(None, [Answer::ServerError]);
                ledger.write_in_line(std::slice::from_ref(&service.meta), 1).await;
                service.running.stop().await;
                world.clock.advance(by);
                service = world.start().await;
            } else {
                world.clock.advance(by);
            }
            jumps += 1;
            let began = Instant::now();
            ledger.write_in_line(std::slice::from_ref(&service.meta), 3).await;
            assert_eq!(ledger.settled(&world, SOON).await, 0);
            longest = longest.max(began.elapsed());
        }
    }
    assert!(longest < Duration::from_secs(10), "{longest:?}");
    // A breaker opened in the future lets a question through now.
    service.running.stop().await;
    service = world.start().await;
    world.responder.behave(None, Answer::ServerError);
    for n in 0..10 {
        service.text(SHOP, &person(100 + n), "Anybody?").await;
    }
    world.graph.wait_for_sent(ledger.written + 10, SOON).await;
    world.responder.behave(None, Answer::Echo);
    world.clock.advance(-HOUR);
    service.text(SHOP, &person(200), "And now?").await;
    wait(&service, async || world.graph.sent().iter().any(|sent| sent.text().contains("And now?"))).await;
    rows_are_whole(&world.db).await;
    service.running.stop().await;
    Held {
        tried: format!("{jumps} jumps of up to 3 h"),
        figure: format!(
            "{} answered once, {:.1} s after a jump at most; a breaker healed",
            ledger.written,
            longest.as_secs_f64()
        ),
    }
}

async fn wait<F: Future<Output = bool>>(service: &Service, check: impl FnMut() -> F) {
    service.wait_until("what a clock must not delay", check).await;
}
