//! Sessions that live in this process, against a WhatsApp server of our own.

use std::net::TcpListener;

use switchboard::app::{self, Options};
use switchboard::config::Config;
use switchboard::sandbox::webhook::Sender;
use switchboard_native::Settings;
use switchboard_native::stand_in::StandIn;

use super::*;
use crate::harness::APP_SECRET;
use crate::on_both_databases;

const SHOP: &str = "15550001111";

/// A service whose sessions are devices of its own, at this server, their keys in the database, as in production.
async fn beside(world: &World, server: &StandIn) -> Service {
    let mut variables = world.variables();
    let folder = std::env::temp_dir().join("switchboard-no-keys").display().to_string();
    let more = [
        ("SESSION_ENGINE", "native"),
        ("APP_ENV", "production"),
        ("SESSION_PATH", &folder),
        ("ALLOW_PRIVATE_RESPONDERS", "true"),
    ];
    variables.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let native =
        Settings { url: Some(server.url.clone()), version: Some((2, 3000, 1)), name: "Switchboard".into() };
    let options = Options { clock: world.clock.clone(), native, ..Options::default() };
    let running = app::start(&Config::load(&variables).unwrap(), listener, options).await.unwrap();
    let meta = Sender::new(format!("{}/webhook", running.url()), APP_SECRET).unwrap();
    Service { running, meta }
}

/// The code that a session shows.
async fn code(tenant: &Tenant, name: &str) -> String {
    let path = format!("/api/v1/sessions/{name}");
    tenant.until(&path, |s| s["state"] == "pairing" && !s["qr"].is_null()).await;
    let raw = tenant.request("GET", &format!("{path}/qr?format=raw")).send().await.unwrap();
    raw.text().await.unwrap()
}

/// A session that this phone is linked to.
async fn scanned(server: &StandIn, tenant: &Tenant, name: &str, phone: &str, chatbot: Option<&str>) -> Value {
    tenant.pairing(name, chatbot).await;
    assert!(server.scan(&code(tenant, name).await, phone).await, "nobody shows that code");
    tenant.session(name, "connected").await
}

async fn stored(world: &World) -> Vec<String> {
    world.db.texts("select value from session_keys").await
}

on_both_databases! {
    async fn a_session_lives_from_its_code_to_its_end(db: Db) {
        let (world, server) = (World::fast(db), StandIn::start().await.unwrap());
        let service = beside(&world, &server).await;
        chatbot(&service, "a", "shop-bot").await;
        let tenant = service.tenant("a").await;
        let linked = scanned(&server, &tenant, "shop", SHOP, Some("shop-bot")).await;
        assert_eq!((&linked["engine"], &linked["phone"]), (&json!("native"), &json!(SHOP)));
        assert!(stored(&world).await.iter().all(|value| value.starts_with("v1.")));

        // A customer is answered, and sees it being typed and read.
        let id = server.write(SHOP, CUSTOMER, "Hello?").await;
        service.wait_until("an answer", async || server.sent().len() == 1).await;
        let answer = server.sent()[0].clone();
        assert_eq!((answer.from.as_str(), answer.to.as_str()), (SHOP, CUSTOMER));
        assert!(answer.text.contains("Hello?"), "{answer:?}");
        assert_eq!(server.typed(), [CUSTOMER]);
        let receipts = server.receipts();
        assert!(receipts.contains(&(id.clone(), String::new())) && receipts.contains(&(id, "read".to_owned())));
        let all = tenant.until("/api/v1/conversations", |all| all[0]["contact"]["phone"] == CUSTOMER).await;
        let talk = format!("/api/v1/conversations/{}/messages", all[0]["id"].as_str().unwrap());
        tenant.until(&talk, |all| all[0]["deliveries"][0]["status"] == "read").await;

        // A restart brings it back without a scan, and what came meanwhile is answered once.
        service.running.stop().await;
        assert!(!server.is_connected(SHOP), "nobody holds its line while nobody runs");
        server.write(SHOP, CUSTOMER, "Still there?").await;
        let service = beside(&world, &server).await;
        let tenant = service.tenant("a").await;
        assert_eq!(tenant.session("shop", "connected").await["qr"], Value::Null);
        service.wait_until("the answer to what was missed", async || server.sent().len() == 2).await;
        assert!(server.sent()[1].text.contains("Still there?"));
        // A connection that is cut comes back by itself.
        server.drop_line(SHOP);
        service.wait_until("it is back", async || server.is_connected(SHOP)).await;
        let words = json!({ "to": CUSTOMER, "message": "News" });
        tenant.expect("POST", "/api/v1/sessions/shop/messages", words).await;
        service.wait_until("it has left", async || server.sent().len() == 3).await;

        // The person takes over on the phone; the chatbot is silent.
        server.write_on_phone(SHOP, CUSTOMER, "I am here myself").await;
        tenant.until("/api/v1/conversations", |all| !all[0]["handedOverUntil"].is_null()).await;

        server.unlink(SHOP);
        let lost = tenant.session("shop", "logged_out").await;
        assert_eq!(lost["reason"], "phone_logged_out");
        service.wait_until("its keys are gone", async || stored(&world).await.is_empty()).await;
        tenant.expect("POST", "/api/v1/sessions/shop/start", Value::Null).await;
        assert!(server.scan(&code(&tenant, "shop").await, SHOP).await);
        tenant.session("shop", "connected").await;
        tenant.expect("DELETE", "/api/v1/sessions/shop", Value::Null).await;
        assert!(!server.is_linked(SHOP), "its phone was told");
        assert!(stored(&world).await.is_empty());
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn two_tenants_at_once_hear_and_say_their_own_alone(db: Db) {
        let (world, server) = (World::fast(db), StandIn::start().await.unwrap());
        let service = beside(&world, &server).await;
        for tenant in ["a", "b"] {
            chatbot(&service, tenant, &format!("bot-{tenant}")).await;
        }
        let (a, b) = (service.tenant("a").await, service.tenant("b").await);
        tokio::join!(
            scanned(&server, &a, "one", "15550000001", Some("bot-a")),
            scanned(&server, &b, "two", "15550000002", Some("bot-b")),
        );
        server.write("15550000001", CUSTOMER, "to a").await;
        server.write("15550000002", CUSTOMER, "to b").await;
        service.wait_until("both answer", async || server.sent().len() == 2).await;
        for (phone, words) in [("15550000001", "to a"), ("15550000002", "to b")] {
            let answer = server.sent().into_iter().find(|sent| sent.from == phone).unwrap();
            assert!(answer.text.contains(words), "{answer:?}");
        }
        // One's end is not the other's.
        server.unlink("15550000001");
        a.session("one", "logged_out").await;
        assert_eq!(b.session("two", "connected").await["phone"], "15550000002");
        let owners = "select distinct tenant_id from session_keys";
        service.wait_until("its keys are gone", async || world.db.texts(owners).await == ["b"]).await;
        service.running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_instances_one_holds_the_line_and_the_other_takes_over() {
    let Some(db) = Db::postgres().await else { return };
    let (world, server) = (World::fast(db), StandIn::start().await.unwrap());
    let first = beside(&world, &server).await;
    let tenant = first.tenant("a").await;
    scanned(&server, &tenant, "shop", SHOP, None).await;
    let logins = server.logins(SHOP);
    let second = beside(&world, &server).await;
    let there = second.tenant("a").await;
    let words = json!({ "to": CUSTOMER, "message": "by whoever has the line" });
    there.expect("POST", "/api/v1/sessions/shop/messages", words).await;
    first.wait_until("it has left", async || server.sent().len() == 1).await;
    assert_eq!(server.logins(SHOP), logins, "the other one kept its hands off");
    // A command that the other instance takes is done where the session lives.
    there.expect("POST", "/api/v1/sessions/shop/restart", Value::Null).await;
    first.wait_until("it logs in anew", async || server.logins(SHOP) > logins).await;
    there.session("shop", "connected").await;
    first.running.stop().await;
    there.until("/api/v1/sessions/shop", |s| s["state"] == "connected" && s["qr"].is_null()).await;
    let words = json!({ "to": CUSTOMER, "message": "by the other one" });
    there.expect("POST", "/api/v1/sessions/shop/messages", words).await;
    second.wait_until("it has left there, too", async || server.sent().len() == 2).await;
    second.running.stop().await;
}
