//! Many at once, and one who takes more than a share: nobody else notices.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use switchboard::sandbox::now_ms;
use switchboard::sandbox::response_api::Answer;
use switchboard::sandbox::webhook::{Change, Incoming, Sender, body, text_body};

use crate::harness::process::Process;
use crate::harness::{Onboard, SOON, World};
use crate::ledger::rows_are_whole;
use crate::{At, Held};

const TENANTS: usize = 50;
const LOUD: usize = 0;
const SLOW: usize = 1;

fn number(tenant: usize) -> String {
    format!("77{tenant:04}")
}

/// Fifty tenants with a chatbot each; the second one's thinks for long.
async fn tenants(at: At) -> (World, Process) {
    let world = World::new(at.db().await);
    let service = world.start().await;
    for n in 0..TENANTS {
        let (tenant, chatbot, number) = (format!("tenant-{n}"), format!("bot-{n}"), number(n));
        let change: fn(&mut switchboard::store::chatbots::Chatbot) = |bot| bot.typing = false;
        let wish =
            Onboard { tenant: &tenant, chatbot: &chatbot, number: &number, change, ..Onboard::default() };
        service.onboard(wish).await;
    }
    service.running.stop().await;
    let thinks = Answer::Echo.after(Duration::from_secs(14));
    world.responder.behave(Some(&format!("bot-{SLOW}")), thinks);
    let mut process = Process::new(&world);
    process.start();
    process.ready().await;
    (world, process)
}

/// Each tenant but the first two has a new customer write twice a second, for so long. How long each waited for the
/// reply, in milliseconds, sorted.
async fn quiet_tenants(world: &World, meta: &Sender, round: usize, lasts: Duration) -> Vec<i64> {
    let steps = lasts.as_millis() as usize / 500;
    let asked = join_all((2..TENANTS).map(|tenant| async move {
        // Not all in the same moment.
        tokio::time::sleep(Duration::from_millis(tenant as u64 * 10)).await;
        let mut asked = Vec::new();
        for step in 0..steps {
            let phone = format!("1{round}{tenant:03}{step:05}");
            asked.push((phone.clone(), now_ms()));
            // As Meta does.
            while meta.send(text_body(&number(tenant), &phone, "quiet")).await.unwrap().status != 200 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        asked
    }))
    .await;
    let asked: Vec<(String, i64)> = asked.into_iter().flatten().collect();
    let end = tokio::time::Instant::now() + SOON;
    loop {
        let answered: HashMap<String, i64> =
            world.graph.sent().into_iter().map(|sent| (sent.to, sent.at_ms)).collect();
        let waited = asked.iter().map(|(phone, at)| Some(answered.get(phone)? - at));
        if let Some(mut waited) = waited.collect::<Option<Vec<i64>>>() {
            waited.sort_unstable();
            return waited;
        }
        assert!(tokio::time::Instant::now() < end, "somebody has no reply");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn p(sorted: &[i64], percent: usize) -> i64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// One tenant's chatbot thinks for 14 s, another tenant sends fifty times as much as everybody else.
pub async fn loud_and_slow(at: At) -> Held {
    let lasts = Duration::from_secs(if at.scale.full { 60 } else { 2 });
    let (world, mut process) = tenants(at).await;
    let meta = process.meta();
    quiet_tenants(&world, &meta, 0, Duration::from_secs(1)).await;
    let before = quiet_tenants(&world, &meta, 1, lasts).await;
    let noise = async {
        for n in 0.. {
            let (loud, slow) = (format!("17{n:08}"), format!("18{n:08}"));
            let meta = meta.clone();
            tokio::spawn(async move {
                let _ = meta.send(text_body(&number(LOUD), &loud, "loud")).await;
                if n % 50 == 0 {
                    let _ = meta.send(text_body(&number(SLOW), &slow, "slow")).await;
                }
            });
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let beside = tokio::select! {
        () = noise => unreachable!("it goes on"),
        waited = quiet_tenants(&world, &meta, 2, lasts) => waited,
    };
    let (before, beside) = ((p(&before, 50), p(&before, 99)), (p(&beside, 50), p(&beside, 99)));
    assert!(beside.1 < before.1 * 3 + 1_000, "p99 {} ms, {} ms beside the loud one", before.1, beside.1);
    process.kill();
    rows_are_whole(&world.db).await;
    Held {
        tried: format!("{TENANTS} tenants, {} s", lasts.as_secs()),
        figure: format!(
            "others' p50/p99 {}/{} ms alone, {}/{} ms beside them",
            before.0, before.1, beside.0, beside.1
        ),
    }
}

/// One tenant gets thousands of messages in the same second.
pub async fn burst(at: At) -> Held {
    let size = if at.scale.full { 20_000 } else { 1_000 };
    let (world, mut process) = tenants(at).await;
    let meta = process.meta();
    let before = quiet_tenants(&world, &meta, 1, Duration::from_secs(2)).await;
    let burst = join_all((0..size / 100).map(|n| {
        let messages = (0..100).map(|m| Incoming::text(&format!("17{:08}", n * 100 + m), "at once"));
        let change = messages.fold(Change::new(&number(LOUD)), Change::message);
        let meta = meta.clone();
        async move { while meta.send(body(std::slice::from_ref(&change))).await.unwrap().status != 200 {} }
    }));
    let ((), beside) =
        tokio::join!(async { drop(burst.await) }, quiet_tenants(&world, &meta, 2, Duration::from_secs(2)));
    let (before, beside) = ((p(&before, 50), p(&before, 99)), (p(&beside, 50), p(&beside, 99)));
    let left = size - world.graph.sent().iter().filter(|s| s.phone_number_id == number(LOUD)).count();
    assert!(beside.1 < 10_000, "p99 {} ms beside a burst", beside.1);
    process.kill();
    Held {
        tried: format!("{size} messages at once"),
        figure: format!(
            "others' p50/p99 {}/{} ms alone, {}/{} ms beside it; {left} of it still to send",
            before.0, before.1, beside.0, beside.1
        ),
    }
}
