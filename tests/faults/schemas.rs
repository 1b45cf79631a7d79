//! The schema is older, broken half-way, or newer than the program.

use switchboard::store::{Location, migrate_down, migrate_up, migration_status};

use crate::harness::process::{Process, run};
use crate::harness::{Db, SOON, World};
use crate::ledger::Ledger;
use crate::{At, Held, Kind};

/// What a later version did to the schema.
pub const LATER: [&str; 3] = [
    "insert into seaql_migrations (version, applied_at) values ('m9999_of_the_future', 0)",
    "alter table messages add column of_the_future text",
    "create table of_the_future (id bigint)",
];

fn location(db: &Db) -> Location {
    Location::parse(&db.url()).unwrap()
}

/// On a server one migrates and the other waits; beside the embedded database the second is told that it is one too many.
pub async fn two_starters(at: At) -> Held {
    let tries = if at.scale.full { 50 } else { 2 };
    let world = World::new(at.db().await);
    for _ in 0..tries {
        let mut both = [Process::new(&world), Process::new(&world)];
        both.iter_mut().for_each(Process::start);
        if at.kind == Kind::Postgres {
            for process in &both {
                process.ready().await;
            }
        } else {
            let ready = async |process: &Process| process.ready().await;
            tokio::select! { () = ready(&both[0]) => {}, () = ready(&both[1]) => {} }
            let (well, said) = run(&world, &[("PORT", "0")], &["serve"]).await;
            assert!(!well && said.contains("open in another switchboard process"), "{said}");
        }
        both.iter_mut().for_each(Process::kill);
        migrate_down(&location(&world.db)).await.unwrap();
    }
    Held { tried: format!("{tries} pairs, no schema"), figure: "one migrated, both orders fine".into() }
}

/// Something is in the way of a table in the middle of the migration.
pub async fn migration_fails(at: At) -> Held {
    let world = World::new(at.db().await);
    world.db.execute("create table deliveries (mine integer)").await.unwrap();
    let before = tables(at, &world.db).await;
    let (well, said) = run(&world, &[("PORT", "0")], &["serve"]).await;
    assert!(!well && said.contains("cannot be prepared") && said.contains("deliveries"), "{said}");
    assert_eq!(tables(at, &world.db).await, before, "what was done before it is taken back");
    world.db.execute("drop table deliveries").await.unwrap();
    let service = world.start().await;
    service.running.stop().await;
    let pending = migration_status(&location(&world.db)).await.unwrap();
    assert!(pending.iter().all(|(_, applied)| *applied));
    Held { tried: "1 obstacle".into(), figure: "rolled back whole, named, started after it was gone".into() }
}

/// The next version has been there: it added a column and its migration's name. This version goes on serving, also
/// after a restart.
pub async fn newer_schema(at: At) -> Held {
    let world = World::new(at.db().await);
    migrate_up(&location(&world.db)).await.unwrap();
    for change in LATER {
        world.db.execute(change).await.unwrap();
    }
    let service = world.start().await;
    service.onboard(crate::harness::Onboard::default()).await;
    let mut ledger = Ledger::new(5);
    ledger.write_in_line(std::slice::from_ref(&service.meta), 5).await;
    ledger.settled(&world, SOON).await;
    service.running.stop().await;
    Held { tried: "1 restart".into(), figure: "5 answered once by the older program".into() }
}

/// What exists besides the list of migrations, which may stay empty.
async fn tables(at: At, db: &Db) -> Vec<String> {
    let question = match at.kind {
        Kind::Sqlite => "select name from sqlite_master where name not like 's%ql%' order by name",
        Kind::Postgres => {
            "select tablename::text from pg_tables where schemaname = current_schema() \
             and tablename <> 'seaql_migrations' order by 1"
        }
    };
    db.texts(question).await
}
