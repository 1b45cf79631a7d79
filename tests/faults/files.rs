//! Where the database lies: its disk is full, or somebody else holds its lock.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sqlx::{Connection, Executor, SqliteConnection};
use switchboard::sandbox::webhook::text_body;
use switchboard::secret;

use crate::harness::postgres::Cluster;
use crate::harness::process::Process;
use crate::harness::{Db, Onboard, SHOP, SOON, World};
use crate::ledger::{Ledger, REFUSED, at_rest, open, person};
use crate::{At, Held};

/// As in `outages`.
const IN_TIME: Duration = Duration::from_millis(2_400);

async fn onboarded(db: Db) -> (World, Process) {
    let world = World::new(db);
    let service = world.start().await;
    service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
    service.running.stop().await;
    let mut process = Process::new(&world);
    process.start();
    process.ready().await;
    (world, process)
}

/// A small disk of its own, in memory; gone with this.
struct Disk(PathBuf);

impl Disk {
    /// `None` where one may not mount.
    fn mount(place: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(place);
        mount.output().is_ok_and(|done| done.status.success()).then(|| Self(place.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Something else takes all the room there is.
fn fill(filler: &Path) {
    let mut size = 16 << 20;
    while size > 0 {
        let mut file = std::fs::File::options().append(true).create(true).open(filler).unwrap();
        match std::io::Write::write_all(&mut file, &vec![0; size]) {
            Ok(()) => {}
            Err(_) => size /= 2,
        }
    }
}

/// The server's disk: it refuses what needs room, or crashes over its log; whoever runs it makes room and starts it.
pub async fn servers_disk_full(at: At) -> Held {
    let rounds = if at.scale.full { 10 } else { 1 };
    let Some(cluster) = Cluster::on_a_small_disk(160) else {
        return Held { tried: "nothing: no right to mount".into(), figure: "not tried here".into() };
    };
    let filler = cluster.folder().join("filler");
    let (world, mut process) = onboarded(Db::Postgres(cluster.database().await)).await;
    let meta = [process.meta()];
    let mut ledger = Ledger::new(10);
    let (mut refused, mut slowest, mut crashes) = (0, Duration::ZERO, 0);
    for _ in 0..rounds {
        ledger.write_in_line(&meta, 5).await;
        ledger.settled(&world, SOON).await;
        fill(&filler);
        let mut full = 0;
        for n in 0..1_000 {
            if full == 10 {
                break;
            }
            // What cannot be packed, so that it needs its room.
            let noise = hex::encode(secret::random::<100_000>());
            let asked = Instant::now();
            let body = text_body(SHOP, &person(REFUSED), &format!("{n} {noise}"));
            let status = meta[0].send(body).await.unwrap().status;
            assert!(
                asked.elapsed() < IN_TIME && matches!(status, 200 | 503),
                "{status} {:?}",
                asked.elapsed()
            );
            full += usize::from(status == 503);
            slowest = slowest.max(asked.elapsed());
        }
        assert_eq!(full, 10, "there was room all the time");
        refused += full;
        std::fs::remove_file(&filler).unwrap();
        // It may have crashed, and may not have been able to come back by itself.
        crashes += usize::from(cluster.try_to_start());
    }
    let back = Instant::now();
    ledger.write_in_line(&meta, 5).await;
    let back = back.elapsed();
    // What was stored when there was room is answered now, at length.
    let end = Instant::now() + SOON;
    while !at_rest(&world.db).await {
        assert!(Instant::now() < end, "still open: {:?}", open(&world.db).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let aside = world.db.texts("select state || ': ' || coalesce(reason, '') from event_states").await;
    assert_eq!(aside, [""; 0], "a full disk is nobody's fault");
    ledger.settled(&world, SOON).await;
    process.kill();
    Held {
        tried: format!("{rounds} times full"),
        figure: format!(
            "{refused} × 503 after {:.2} s at most, {crashes} crashes, taken again after {:.2} s",
            slowest.as_secs_f64(),
            back.as_secs_f64()
        ),
    }
}

pub async fn disk_full(at: At) -> Held {
    let rounds = if at.scale.full { 20 } else { 2 };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let Some(disk) = Disk::mount(folder.path()) else {
        return Held { tried: "nothing: no right to mount".into(), figure: "not tried here".into() };
    };
    let filler = folder.path().join("filler");
    let (world, mut process) = onboarded(Db::Sqlite(folder)).await;
    let meta = [process.meta()];
    let mut ledger = Ledger::new(10);
    let (mut refused, mut slowest) = (0, Duration::ZERO);
    for _ in 0..rounds {
        ledger.write_in_line(&meta, 5).await;
        ledger.settled(&world, SOON).await;
        fill(&filler);
        let mut full = 0;
        // What the file has room for inside is used up first.
        for n in 0..3_000 {
            if full == 10 {
                break;
            }
            let asked = Instant::now();
            let body = text_body(SHOP, &person(REFUSED), &format!("{n} {}", "no room ".repeat(5_000)));
            let status = meta[0].send(body).await.unwrap().status;
            assert!(asked.elapsed() < IN_TIME && matches!(status, 200 | 503), "{status}");
            full += usize::from(status == 503);
            slowest = slowest.max(asked.elapsed());
        }
        assert_eq!(full, 10, "there was room all the time");
        refused += full;
        std::fs::remove_file(&filler).unwrap();
    }
    // Without a restart, and the file is sound.
    let back = Instant::now();
    ledger.write_in_line(&meta, 5).await;
    let back = back.elapsed();
    let sound = world.db.texts("pragma integrity_check").await;
    assert_eq!(sound, ["ok"]);
    ledger.settled(&world, SOON).await;
    process.kill();
    drop((world, disk));
    Held {
        tried: format!("{rounds} times full"),
        figure: format!(
            "{refused} × 503 after {:.2} s at most, taken again after {:.2} s, file sound",
            slowest.as_secs_f64(),
            back.as_secs_f64()
        ),
    }
}

pub async fn locked(at: At) -> Held {
    let held = Duration::from_secs(if at.scale.full { 10 } else { 3 });
    let (world, mut process) = onboarded(at.db().await).await;
    let meta = [process.meta()];
    let mut ledger = Ledger::new(10);
    ledger.write_in_line(&meta, 5).await;
    let mut other = SqliteConnection::connect(&world.db.url()).await.unwrap();
    other.execute("begin exclusive").await.unwrap();
    let began = Instant::now();
    let (mut refused, mut slowest) = (0, Duration::ZERO);
    while began.elapsed() < held {
        let asked = Instant::now();
        let answer = meta[0].send(text_body(SHOP, &person(REFUSED), "locked out")).await.unwrap();
        assert!(answer.status == 503 && asked.elapsed() < IN_TIME, "{}", answer.status);
        slowest = slowest.max(asked.elapsed());
        refused += 1;
    }
    other.execute("rollback").await.unwrap();
    let back = Instant::now();
    ledger.write_in_line(&meta, 5).await;
    let back = back.elapsed();
    assert!(back < Duration::from_secs(5), "{back:?}");
    ledger.settled(&world, SOON).await;
    process.kill();
    Held {
        tried: format!("{:.0} s", held.as_secs_f64()),
        figure: format!(
            "{refused} × 503 after {:.2} s at most, taken again after {:.2} s",
            slowest.as_secs_f64(),
            back.as_secs_f64()
        ),
    }
}
