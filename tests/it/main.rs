//! The real service on real sockets and real databases, with stand-ins for the world outside.

mod alerts;
mod attacks;
mod contacts;
mod copies;
mod business_news;
mod conversation_control;
mod corpus;
mod canary;
mod crash;
mod crowds;
mod defects;
mod door;
mod erasure;
mod events_out;
mod failing_chatbots;
mod forbidden;
mod gauges;
#[allow(dead_code)] // some of it serves tests/faults alone
mod harness;
mod identity;
mod instances;
mod keeping;
mod live;
mod main_job;
mod mending;
mod media;
mod outage;
mod outbox;
mod panics;
mod people;
mod pg_harness;
mod routing;
mod scenarios_from_23;
mod scenarios_to_22;
mod scenarios_whole;
mod sessions;
mod schema;
mod statuses;
mod strangers;
mod traps_from_26;
mod traps_to_25;
mod turns;
mod verdicts;
mod wire;

/// Makes `name::sqlite` and `name::postgres` of one test over a [`harness::Db`].
#[macro_export]
macro_rules! on_both_databases {
    ($(#[$meta:meta])* async fn $name:ident($db:ident: Db) $body:block) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn test($db: $crate::harness::Db) $body

            $(#[$meta])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                test($crate::harness::Db::sqlite()).await;
            }

            $(#[$meta])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(db) = $crate::harness::Db::postgres().await {
                    test(db).await;
                }
            }
        }
    };
}
