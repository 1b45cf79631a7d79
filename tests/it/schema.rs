//! The schema itself: it goes down without a trace, up again, and can be pasted.

use switchboard::store::{Location, migrate_down, migrate_up};

use crate::harness::{Db, World};
use crate::on_both_databases;

on_both_databases! {
    async fn it_goes_down_without_a_trace_and_up_again(db: Db) {
        let location = Location::parse(&db.url()).unwrap();
        for _ in 0..2 {
            migrate_up(&location).await.unwrap();
            migrate_down(&location).await.unwrap();
        }
        let left = match location {
            Location::Postgres(_) => "select proname::text from pg_proc p join pg_namespace n on n.oid = \
                pronamespace where nspname = current_schema() union all select tablename::text from pg_tables \
                where schemaname = current_schema() and tablename <> 'seaql_migrations'",
            _ => "select name from sqlite_master where name not like 'sqlite_%' and name not like 'seaql%'",
        };
        assert_eq!(db.texts(left).await, Vec::<String>::new());
        World::new(db).start().await.running.stop().await;
    }
}

#[tokio::test]
async fn the_printed_sql_makes_the_same_tables() {
    let (Some(pasted), Some(migrated)) = (Db::postgres().await, Db::postgres().await) else { return };
    pasted.execute(&migration::postgres_sql()).await.unwrap();
    migrate_up(&Location::parse(&migrated.url()).unwrap()).await.unwrap();
    let columns = "select concat_ws(' ', table_name, column_name, data_type, is_nullable) from \
        information_schema.columns where table_schema = current_schema() and table_name <> 'seaql_migrations' \
        union all select concat_ws(' ', event_object_table, trigger_name, event_manipulation) \
        from information_schema.triggers order by 1";
    let made = pasted.texts(columns).await;
    assert!(made.len() > 100, "{}", made.len());
    assert_eq!(made, migrated.texts(columns).await);
}
