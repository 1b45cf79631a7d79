//! What people have to know reaches them: once, and only whom it concerns.

use std::time::Duration;

use serde_json::Value;
use switchboard::app::{self, Options, Role};
use switchboard::config::Config;
use switchboard::runtime::Clock;
use switchboard::sandbox::webhook::Sender;

use crate::events_out::api;
use crate::harness::line::Line;
use crate::harness::receiver::Receiver;
use crate::harness::{Db, HELP, Onboard, SHOP, Service, World};
use crate::on_both_databases;

const ANNA: &str = "15551230001";

on_both_databases! {
    async fn people_are_told_once_and_only_of_their_own(db: Db) {
        let clock = Clock::manual(switchboard::sandbox::now_ms()).with_pace(0.02);
        let world = World { clock: clock.clone(), ..World::new(db) };
        let operator = Receiver::start();
        operator.answer(500);
        let service = world.start_with(&[("ALERT_WEBHOOK_URL", &operator.url)]).await;
        let account = service.onboard(Onboard { tenant: "shop", ..Onboard::default() }).await;
        let own_app = Onboard { tenant: "help", chatbot: "support-chatbot-id", number: HELP,
            app_secret: Some("the-apps-own-secret"), ..Onboard::default() };
        service.onboard(own_app).await;
        let store = &service.running.store;
        let used = store.account(account).await.unwrap().unwrap().access_token;

        // A target that refuses is asked again later, and disturbs nobody meanwhile.
        for status in ["token_invalid", "active", "token_invalid"] {
            store.set_account_status(account, status, "", &used, clock.now_ms()).await.unwrap();
        }
        operator.wait_for(1).await;
        operator.answer(200);
        clock.advance(61_000);
        let said = operator.wait_for(2).await[1].json();
        assert_eq!(said["kind"], "account_token_invalid");
        assert_eq!((said["tenant"].as_str(), said["account"].as_str()), (Some("shop"), Some(format!("acc_{account}").as_str())));
        assert!(said["text"].as_str().unwrap().contains("access token") && said["at"].as_str().unwrap().ends_with('Z'));

        // The platform's secret may not speak for an account with its own.
        service.text(HELP, ANNA, "forged").await;
        service.text(HELP, ANNA, "forged again").await;
        let said = operator.wait_for(3).await[2].json();
        assert_eq!((said["kind"].as_str(), said["tenant"].as_str()), (Some("secret_binding_refused"), Some("help")));

        let stranger = Sender::new(format!("{}/webhook", service.running.url()), "not-our-secret").unwrap();
        for n in 0..30 {
            assert_eq!(stranger.send(format!("{{\"n\":{n}}}")).await.unwrap().status, 401);
        }
        assert_eq!(operator.wait_for(4).await[3].json()["kind"], "signatures_refused");
        clock.advance(16 * 60_000);
        store.set_account_status(account, "restricted", "", &used, clock.now_ms()).await.unwrap();
        store.set_account_status(account, "token_invalid", "", &used, clock.now_ms()).await.unwrap();
        operator.wait_for(6).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!(operator.calls().len(), 6, "{:?}", operator.calls());

        let kinds = async |tenant: &str| {
            let (_, page) = api(&service, tenant, "GET", "/alerts", Value::Null).await;
            page["data"].as_array().unwrap().iter().map(|a| a["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(kinds("help").await, ["secret_binding_refused"]);
        assert_eq!(kinds("shop").await, ["account_token_invalid", "account_restricted", "account_token_invalid"]);
        let all = switchboard::sandbox::http_client().unwrap().get(format!("{}/api/v1/alerts?limit=4", service.running.url()));
        let all: Value = all.bearer_auth(crate::harness::ADMIN_KEY).send().await.unwrap().json().await.unwrap();
        assert_eq!(all["data"].as_array().unwrap().len(), 4);
        assert!(all["nextCursor"].is_string());

        // What lasts is open until it is mended; what happened in a moment has no end.
        let states = async || {
            let (_, page) = api(&service, "shop", "GET", "/alerts", Value::Null).await;
            let alerts = page["data"].as_array().unwrap().clone();
            alerts.iter().map(|a| (a["state"].as_str().unwrap().to_owned(), a["endedAt"].is_string())).collect::<Vec<_>>()
        };
        assert!(states().await.iter().any(|(state, _)| state == "open"));
        store.set_account_status(account, "active", "", &used, clock.now_ms()).await.unwrap();
        service.wait_until("all of it is over", || async {
            states().await.iter().all(|(state, ended)| state == "over" && *ended)
        }).await;
        let (_, page) = api(&service, "help", "GET", "/alerts", Value::Null).await;
        assert_eq!((&page["data"][0]["state"], &page["data"][0]["endedAt"]), (&"moment".into(), &Value::Null));
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Work that nobody does, and many answers lost at once.
    async fn what_stands_still_or_gets_lost_is_noticed(db: Db) {
        use switchboard::sandbox::graph::{Fault, Rule};
        let clock = Clock::manual(switchboard::sandbox::now_ms()).with_pace(0.02);
        let world = World { clock: clock.clone(), ..World::new(db) };
        world.graph.fault(Rule::from(Fault::LoseAnswer).times(12));
        let operator = Receiver::start();
        let service = world.start_with(&[("ALERT_WEBHOOK_URL", &operator.url)]).await;
        service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
        for n in 0..12 {
            service.text(SHOP, &format!("1555123{n:04}"), "Hello").await;
        }
        let said = operator.wait_for(1).await[0].json();
        assert_eq!((said["kind"].as_str(), said["tenant"].as_str()), (Some("deliveries_unknown"), Some("default")));
        service.settle().await;
        service.running.stop().await;

        // Nothing works in a process that only serves.
        let mut variables = world.variables();
        variables.insert("ALERT_WEBHOOK_URL".into(), operator.url.clone());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let options = Options { role: Role::Web, clock: clock.clone(), ..Options::default() };
        let running = app::start(&Config::load(&variables).unwrap(), listener, options).await.unwrap();
        let meta = Sender::new(format!("{}/webhook", running.url()), crate::harness::APP_SECRET).unwrap();
        let service = Service { running, meta };
        service.text(SHOP, ANNA, "Is anybody there?").await;
        clock.advance(62_000);
        let said = operator.wait_for(2).await[1].json();
        assert_eq!(said["kind"], "work_waits");
        assert!(said["text"].as_str().unwrap().contains("inbox") && said.get("tenant").is_none());
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Numbers that nobody has, a responder that only fails, and what Meta says cannot wait.
    async fn what_others_do_is_noticed(db: Db) {
        use switchboard::sandbox::response_api::Answer;
        use switchboard::sandbox::webhook::{Change, body};
        let clock = Clock::manual(switchboard::sandbox::now_ms()).with_pace(0.02);
        let world = World { clock: clock.clone(), ..World::new(db) };
        let (operator, listener) = (Receiver::start(), Receiver::start());
        let service = world.start_with(&[("ALERT_WEBHOOK_URL", &operator.url)]).await;
        service.onboard(Onboard { tenant: "shop", change: |bot| bot.typing = false, ..Onboard::default() }).await;
        let wish = serde_json::json!({"url": listener.url, "types": ["account.status"]});
        assert_eq!(api(&service, "shop", "POST", "/event-endpoints", wish).await.0, 201);
        let heard = async |kind: &str, tenant: Option<&str>| {
            service.wait_until(kind, || async {
                operator.calls().iter().any(|call| {
                    let said = call.json();
                    said["kind"] == kind && said.get("tenant").and_then(Value::as_str) == tenant
                })
            }).await;
        };
        for n in 0..10 {
            service.text("555000111", ANNA, &format!("Is anybody there? {n}")).await;
        }
        heard("events_unroutable", None).await;
        world.responder.behave(None, Answer::ServerError);
        for n in 0..12 {
            service.text(SHOP, &format!("1555124{n:04}"), "Hello").await;
        }
        heard("responder_resting", Some("shop")).await;
        heard("turns_dead", Some("shop")).await;
        let value = serde_json::json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE", "waba_ban_date": "1"}});
        let mut change: Value = serde_json::from_str(&body(&[Change::new(SHOP).waba(&format!("waba-{SHOP}"))])).unwrap();
        change["entry"][0]["changes"][0] = serde_json::json!({"field": "account_update", "value": value});
        assert_eq!(service.post(change.to_string()).await.status, 200);
        heard("business_news", Some("shop")).await;
        let told = listener.wait_for(1).await;
        assert_eq!((told.len(), told[0].json()["data"]["status"].as_str()), (1, Some("inactive")));
        service.running.stop().await;
    }
}

/// A database that goes away cannot keep an alert: it is posted at once, and once more when the database is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_is_noticed() {
    let Some(db) = Db::postgres().await else { return };
    let line = Line::to(&db.url()).await;
    let world = World::fast(db);
    let operator = Receiver::start();
    let more = [("ALERT_WEBHOOK_URL", operator.url.as_str()), ("DATABASE_URL", &line.url)];
    let service = world.start_with(&more).await;
    line.cut().await;
    assert!(operator.wait_for(1).await[0].json()["text"].as_str().unwrap().contains("does not answer"));
    line.mend().await;
    let back = operator.wait_for(2).await[1].json();
    assert_eq!(back["kind"], "database_away");
    assert!(back["text"].as_str().unwrap().contains("is back"));
    service.running.stop().await;
}
