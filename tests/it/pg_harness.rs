//! The PostgreSQL harness itself: fresh databases, apart from each other, gone at the end.

use crate::harness::postgres;
use sqlx::{Connection, Executor, PgConnection};

async fn count(connection: &mut PgConnection, question: &'static str) -> i64 {
    sqlx::query_scalar(question).fetch_one(connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_are_fresh_and_apart_and_vanish() {
    let (Some(one), Some(two)) = (postgres::database().await, postgres::database().await) else { return };
    assert_ne!(one.url, two.url);
    let mut in_one = PgConnection::connect(&one.url).await.unwrap();
    in_one.execute("CREATE TABLE only_here (id bigint)").await.unwrap();
    let mut in_two = PgConnection::connect(&two.url).await.unwrap();
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'only_here'";
    assert_eq!(count(&mut in_one, tables).await, 1);
    assert_eq!(count(&mut in_two, tables).await, 0);
    let durable: String = sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&mut in_two).await.unwrap();
    assert_eq!(durable, "on");

    // Dropped although a connection is still open.
    let url = one.url.clone();
    drop(one);
    assert!(PgConnection::connect(&url).await.is_err());
    assert!(in_one.ping().await.is_err());
    assert!(in_two.ping().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tests_may_ask_at_once() {
    let all = futures_util::future::join_all((0..8).map(|_| postgres::database())).await;
    let urls: std::collections::HashSet<_> = all.iter().flatten().map(|database| &database.url).collect();
    assert_eq!(urls.len(), all.iter().flatten().count());
}
