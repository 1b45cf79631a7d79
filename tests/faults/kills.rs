//! Processes that end, or stand still, at the worst moment: what was acknowledged is answered once, or shown as in
//! doubt.

use std::collections::HashSet;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use switchboard::sandbox::graph::{Fault, GraphStandIn, Options, Rule};
use switchboard::sandbox::http_client;
use switchboard::sandbox::response_api::{Answer, ResponseApiStandIn};
use switchboard::sandbox::webhook::{Change, Status, body};

use crate::harness::process::Process;
use crate::harness::{ADMIN_KEY, Onboard, SHOP, SOON, World};
use crate::ledger::{self, Ledger};
use crate::{At, Held};

const PEOPLE: usize = 30;
/// Messages between two kills.
const EACH: usize = 40;

/// A world with a chatbot that answers each message by itself; its stand-ins remember everything.
pub async fn world(at: At, messages: usize) -> World {
    let keep = messages * 2 + 1_000;
    let world = World {
        graph: GraphStandIn::start_with(Options { keep, ..Options::default() }).unwrap(),
        responder: ResponseApiStandIn::start_with(keep).unwrap(),
        ..World::new(at.db().await)
    };
    let service = world.start().await;
    service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
    service.running.stop().await;
    world
}

pub async fn killed(at: At) -> Held {
    under_load(at, 1).await
}

pub async fn one_of_two_killed(at: At) -> Held {
    under_load(at, 2).await
}

/// Kills the first of some instances again and again while messages come in.
async fn under_load(at: At, instances: usize) -> Held {
    let cycles = at.scale.cycles;
    let world = world(at, cycles * EACH).await;
    let mut processes: Vec<_> = (0..instances).map(|_| Process::new(&world)).collect();
    processes.iter_mut().for_each(Process::start);
    for process in &processes {
        process.ready().await;
    }
    let meta: Vec<_> = processes.iter().map(Process::meta).collect();
    let mut ledger = Ledger::new(PEOPLE);
    for cycle in 0..cycles {
        for _ in 0..EACH {
            ledger.write(&meta).await;
            tokio::time::sleep(Duration::from_millis(8)).await;
        }
        // The moments are as random as the machine is busy. Every third time the host asked politely and lost patience.
        if cycle % 3 == 2 {
            processes[0].signal(Signal::SIGTERM);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        processes[0].kill();
        tokio::time::sleep(Duration::from_millis(30)).await;
        processes[0].start();
    }
    let refused = ledger.all_taken().await;
    if !at.scale.full {
        bury_all_but(&world, &processes).await;
    }
    let doubtful = ledger.settled(&world, Duration::from_secs(60)).await;
    // A call may be repeated; whoever counts its keys has an effect for each message, once.
    let keys: HashSet<_> = world.responder.received().into_iter().map(|r| r.idempotency_key).collect();
    assert_eq!(keys.len(), ledger.written, "keys of calls");
    assert!(doubtful <= PEOPLE * cycles, "{doubtful} in doubt");
    Held {
        tried: format!("{cycles} kills, {} messages", ledger.written),
        figure: format!("0 lost, 0 doubled, {doubtful} in doubt, {refused} brought again"),
    }
}

/// What the living do after fifteen seconds.
pub async fn bury_all_but<'a>(world: &World, living: impl IntoIterator<Item = &'a Process>) {
    let living: Vec<String> = living.into_iter().map(|p| format!("name not like '% {}'", p.id())).collect();
    world.db.execute(&format!("delete from instances where {}", living.join(" and "))).await.unwrap();
}

/// Graph took the message and its answer is on its way when the process ends.
pub async fn killed_after_a_send(at: At) -> Held {
    let tries = if at.scale.full { 100 } else { 3 };
    let world = world(at, tries * 2).await;
    let mut process = Process::new(&world);
    let mut ledger = Ledger::new(1);
    let meta = [process.meta()];
    process.start();
    process.ready().await;
    for _ in 0..tries {
        world.graph.fault(Rule::from(Fault::Hang(Duration::from_secs(60))));
        let before = ledger.written;
        ledger.write_in_line(&meta, 1).await;
        assert_eq!(world.graph.wait_for_sent(before + 1, SOON).await.len(), before + 1, "Graph has it");
        process.kill();
        process.start();
        process.ready().await;
        bury_all_but(&world, [&process]).await;
        // What comes after it does not wait for the doubt to be settled.
        ledger.write_in_line(&meta, 1).await;
        assert_eq!(ledger.settled(&world, Duration::from_secs(40)).await, 1, "shown as in doubt");
        // Meta tells what became of it, by the attempt's own mark.
        let sent = &world.graph.sent()[before];
        let told = Status::new(&sent.wamid, "delivered", &sent.to)
            .with_callback(sent.callback.as_deref().unwrap_or_default());
        ledger::bring(&meta, 0, body(&[Change::new(SHOP).status(told)])).await;
        let end = Instant::now() + SOON;
        while ledger.settled(&world, SOON).await > 0 {
            assert!(Instant::now() < end, "the doubt is not settled");
        }
    }
    assert_eq!(world.graph.sent_count(), ledger.written);
    Held {
        tried: format!("{tries} kills"),
        figure: format!("{tries} shown as unknown, 0 sent again, {tries} settled by Meta's status"),
    }
}

/// One instance stands still with calls and sends open, longer than its lease; then it goes on as if nothing were.
pub async fn frozen(at: At) -> Held {
    const OPEN: usize = 5;
    let world = world(at, 100).await;
    let (mut a, mut b) = (Process::new(&world), Process::new(&world));
    a.start();
    a.ready().await;
    let mut ledger = Ledger::new(2 * OPEN);
    // Half of them are being sent, half are being asked, when it freezes.
    world.graph.fault(Rule::from(Fault::Hang(Duration::from_secs(2))).times(OPEN));
    ledger.write_in_line(&[a.meta()], OPEN).await;
    world.graph.wait_for_sent(OPEN, SOON).await;
    world.responder.behave(None, Answer::Echo.after(Duration::from_secs(2)));
    ledger.write_in_line(&[a.meta()], OPEN).await;
    world.responder.wait_for(2 * OPEN, SOON).await;
    a.signal(Signal::SIGSTOP);
    let stopped = Instant::now();
    world.responder.behave(None, Answer::Echo);
    b.start();
    b.ready().await;
    if at.scale.full {
        tokio::time::sleep(Duration::from_secs(90)).await;
    } else {
        bury_all_but(&world, [&b]).await;
    }
    ledger.write_in_line(&[b.meta()], 2 * OPEN).await;
    let doubtful = ledger.settled(&world, Duration::from_secs(40)).await;
    assert!(doubtful <= OPEN, "{doubtful} in doubt");
    let frozen = stopped.elapsed();
    a.signal(Signal::SIGCONT);
    let end = Instant::now() + Duration::from_secs(30);
    while world.db.texts("select cast(count(*) as text) from instances").await != ["2"] {
        assert!(Instant::now() < end, "it does not begin a new life");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let meta = [a.meta(), b.meta()];
    ledger.write_in_line(&meta, 4 * OPEN).await;
    let left = ledger.settled(&world, Duration::from_secs(40)).await;
    Held {
        tried: format!("frozen for {:.0} s", frozen.as_secs_f64()),
        figure: format!("{} answered once; {doubtful} in doubt meanwhile, {left} at the end", ledger.written),
    }
}

/// A stop while a responder thinks, a body is half sent, and connections idle.
pub async fn stopped_with_everything_open(at: At) -> Held {
    let world = world(at, 100).await;
    let mut process = Process::new(&world).with("SESSION_ENGINE", "sandbox");
    process.start();
    process.ready().await;
    world.responder.next(None, (0..5).map(|_| Answer::Echo.after(Duration::from_secs(30))));
    let mut ledger = Ledger::new(5);
    ledger.write_in_line(&[process.meta()], 5).await;
    world.responder.wait_for(5, SOON).await;
    let open: Vec<TcpStream> = (0..20)
        .map(|n| {
            let mut line = TcpStream::connect(("127.0.0.1", process.port)).unwrap();
            let half = [
                "",
                "POST /webhook HTTP/1.1\r\nHost: x\r\n",
                "POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
            ];
            line.write_all(half[n % 3].as_bytes()).unwrap();
            line
        })
        .collect();
    let lines = listening(&process, 3).await;
    let (took, well) = process.terminate();
    assert!(well && took < Duration::from_secs(15), "{took:?}, {well}");
    drop(open);
    for line in lines {
        // Ended in good order: whoever listened connects again, to the next process.
        let rest = line.text().await;
        assert!(rest.is_ok(), "a stream was cut off: {rest:?}");
    }
    assert_eq!(world.db.texts("select name from instances").await, [""; 0], "what it owned is free");
    process.start();
    process.ready().await;
    assert_eq!(ledger.settled(&world, Duration::from_secs(30)).await, 0);
    Held {
        tried: "5 calls, 20 connections, 3 streams".into(),
        figure: format!("ended after {:.1} s, all answered by the next", took.as_secs_f64()),
    }
}

/// Pages that follow a session: so many streams of events, each with its first one behind it.
async fn listening(process: &Process, count: usize) -> Vec<reqwest::Response> {
    let (http, url) = (http_client().unwrap(), format!("http://127.0.0.1:{}/api/v1/sessions", process.port));
    let made =
        http.post(&url).bearer_auth(ADMIN_KEY).json(&json!({ "name": "followed" })).send().await.unwrap();
    assert_eq!(made.status().as_u16(), 201, "{:?}", made.text().await);
    let mut lines = Vec::new();
    for _ in 0..count {
        let events = http.get(format!("{url}/followed/events")).bearer_auth(ADMIN_KEY);
        let mut line = events.send().await.unwrap();
        let first = line.chunk().await.unwrap().unwrap_or_default();
        assert!(first.starts_with(b"event: session"), "{first:?}");
        lines.push(line);
    }
    lines
}
