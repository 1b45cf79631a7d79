//! The embedded database's file: its disk is full, somebody else holds its lock.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sqlx::{Connection, Executor, SqliteConnection};
use switchboard::sandbox::webhook::text_body;

use crate::harness::process::Process;
use crate::harness::{Db, Onboard, SHOP, SOON, World};
use crate::ledger::{Ledger, REFUSED, person};
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
        // Something else takes all the room there is.
        let mut size = 16 << 20;
        while size > 0 {
            let mut file = std::fs::File::options().append(true).create(true).open(&filler).unwrap();
            match std::io::Write::write_all(&mut file, &vec![0; size]) {
                Ok(()) => {}
                Err(_) => size /= 2,
            }
        }
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
