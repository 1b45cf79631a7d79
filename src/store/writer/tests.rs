//! The writer alone: panics, and what must not overtake what.

use super::*;

#[tokio::test]
async fn a_panic_in_a_write_is_an_error_and_the_connection_serves_on() {
    let db = sea_orm::Database::connect("sqlite::memory:").await.unwrap();
    let failed = transact::<()>(&db, async |_| panic!("what data may cause")).await.map_err(|f| f.error);
    assert!(matches!(failed, Err(StoreError::Query(_))), "{failed:?}");
    assert!(matches!(transact(&db, async |_| Ok(7)).await, Ok(7)));
}

/// Without its tables: the writes fail for their data, one after the other. With its connection closed: the first
/// fails for now, and nothing behind it is even tried.
#[tokio::test]
async fn nothing_overtakes_what_could_not_be_committed() {
    let db = sea_orm::Database::connect("sqlite::memory:").await.unwrap();
    let writer = Writer::spawn(db.clone(), Arc::default(), Listeners::default());
    let start = |n| StartAttempt { delivery_id: n, attempt_id: uuid::Uuid::nil(), account_id: 1, now: 0 };
    let wrong = writer.write_all((0..3).map(start)).await;
    assert!(wrong.iter().all(|outcome| matches!(outcome, Err(StoreError::Query(_)))), "{wrong:?}");
    db.close().await.unwrap();
    let away = writer.write_all((0..2_000).map(start)).await;
    let words = |n: usize| away[n].as_ref().unwrap_err().to_string();
    assert!(!words(0).contains("comes before"), "{}", words(0));
    assert!(words(1_999).contains("comes before"), "{}", words(1_999));
    // Another batch has nothing to do with it.
    let other = writer.write(start(1)).await.unwrap_err().to_string();
    assert!(!other.contains("comes before"), "{other}");
}
