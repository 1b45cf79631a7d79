//! The life of a session: paired, connected, lost, found again.

use super::*;
use crate::on_both_databases;

on_both_databases! {
    async fn b_01_two_tenants_link_their_phones_at_once(db: Db) {
        let world = World::fast(db);
        let service = sandbox(&world).await;
        let (a, b) = (service.tenant("a").await, service.tenant("b").await);
        let (first, second) = tokio::join!(a.pairing("shop", None), b.pairing("help", None));
        assert_eq!((&first["phone"], &second["phone"]), (&Value::Null, &Value::Null));
        let codes: Vec<_> = world.phones.shown().into_iter().filter_map(|(_, code)| code).collect();
        assert!(codes.len() == 2 && codes[0] != codes[1]);
        world.phones.scan_session("shop", "15550001111").await;
        world.phones.scan_session("help", "15550002222").await;
        assert_eq!(a.session("shop", "connected").await["phone"], "15550001111");
        assert_eq!(b.session("help", "connected").await["phone"], "15550002222");
        // B-02: what is another's is not there, by any address.
        for (method, path) in [
            ("GET", "/api/v1/sessions/help"),
            ("GET", "/api/v1/sessions/help/qr"),
            ("GET", "/api/v1/sessions/help/events"),
            ("POST", "/api/v1/sessions/help/messages"),
            ("POST", "/api/v1/sessions/help/logout"),
            ("DELETE", "/api/v1/sessions/help"),
        ] {
            assert_eq!(a.call(method, path, json!({})).await.0, 404, "{method} {path}");
        }
        assert_eq!(a.expect("GET", "/api/v1/sessions", Value::Null).await.as_array().unwrap().len(), 1);
        // Each writes from its own number.
        let words = json!({ "to": CUSTOMER, "message": "from the shop" });
        a.expect("POST", "/api/v1/sessions/shop/messages", words).await;
        service.wait_until("it has arrived", async || !texts(&world, "shop").is_empty()).await;
        assert_eq!(texts(&world, "shop"), ["from the shop"]);
        assert!(texts(&world, "help").is_empty());
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn b_03_a_code_stays_until_there_is_a_new_one_and_b_04_one_click_renews_it(db: Db) {
        let world = World::fast(db);
        let service = sandbox(&world).await;
        let tenant = service.tenant("a").await;
        let first = tenant.pairing("shop", None).await["qr"]["version"].clone();
        let path = "/api/v1/sessions/shop/qr";
        let mut pictures = std::collections::HashSet::new();
        for _ in 0..20 {
            let page = tenant.expect("GET", path, Value::Null).await;
            assert_eq!((&page["version"], &page["expired"]), (&first, &json!(false)));
            pictures.insert(page["qr"].as_str().unwrap().to_owned());
        }
        assert_eq!(pictures.len(), 1, "the picture changed without a new code");
        for (form, kind, starts) in [
            ("png", "image/png", &b"\x89PNG"[..]),
            ("svg", "image/svg+xml", b"<svg"),
            ("dataurl", "text/plain; charset=utf-8", b"data:image/png;base64,"),
            ("raw", "text/plain; charset=utf-8", b"2@"),
        ] {
            let answer = tenant.request("GET", &format!("{path}?format={form}")).send().await.unwrap();
            assert_eq!(answer.headers()["content-type"], kind);
            assert_eq!(answer.headers()["cache-control"], "no-store");
            assert!(answer.bytes().await.unwrap().starts_with(starts), "{form}");
        }
        // B-22: the link needs no sign-in, names no engine, and is of no use once the number is linked.
        let url = tenant.session("shop", "pairing").await["qrUrl"].as_str().unwrap().to_owned();
        let local = format!("{}{}", service.running.url(), &url[url.find("/api/").unwrap()..]);
        let bare = switchboard::sandbox::http_client().unwrap();
        let picture = bare.get(&local).send().await.unwrap();
        assert_eq!((picture.status().as_u16(), &picture.headers()["content-type"]), (200, &"image/png".parse().unwrap()));
        let wrong = format!("{}0", &local[..local.len() - 1]);
        assert_eq!(bare.get(&wrong).send().await.unwrap().status(), 404);
        // All codes are used up: the last one stays, greyed.
        world.phones.exhaust("shop");
        let expired = tenant.session("shop", "expired").await;
        assert_eq!((&expired["reason"], &expired["qr"]["expired"]), (&json!("qr_expired"), &json!(true)));
        assert!(!tenant.expect("GET", path, Value::Null).await["qr"].is_null());
        tenant.expect("POST", "/api/v1/sessions/shop/start", Value::Null).await;
        tenant.until("/api/v1/sessions/shop", |s| s["state"] == "pairing" && s["qr"]["expired"] == false).await;
        // By code instead of picture.
        let phone = json!({ "phoneNumber": "+15550001111" });
        let code = tenant.expect("POST", "/api/v1/sessions/shop/pairing-code", phone).await["code"].clone();
        assert_eq!(code.as_str().unwrap().len(), 9, "{code}");
        world.phones.scan_session("shop", "15550001111").await;
        assert!(tenant.session("shop", "connected").await["qr"].is_null());
        assert_eq!(bare.get(&local).send().await.unwrap().status(), 404);
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn b_09_a_restart_brings_every_session_back_by_itself(db: Db) {
        let world = World::fast(db);
        let service = sandbox(&world).await;
        let tenant = service.tenant("a").await;
        for n in 0..3 {
            linked(&world, &tenant, &format!("s{n}"), &format!("1555000{n:04}"), None).await;
        }
        tenant.expect("POST", "/api/v1/sessions/s2/stop", Value::Null).await;
        tenant.until("/api/v1/sessions/s2", |s| s["reason"] == "stopped").await;
        let key = tenant.session("s0", "connected").await["id"].clone();
        service.running.stop().await;

        world.phones.away(Some(switchboard::channel::engine::EngineError::Unreachable("asleep".into())));
        let service = sandbox(&world).await;
        let tenant = service.tenant("a").await;
        // Nobody opened a page. While the engine is away, that is said; nothing is to be scanned again.
        let away = tenant.until("/api/v1/sessions/s0", |s| s["reason"] == "engine_unreachable").await;
        assert_eq!((&away["id"], &away["qr"]), (&key, &Value::Null));
        world.phones.away(None);
        for name in ["s0", "s1"] {
            assert_eq!(tenant.session(name, "connected").await["qr"], Value::Null);
        }
        assert_eq!(tenant.session("s2", "disconnected").await["reason"], "stopped");
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn b_11_a_phone_that_unlinks_pauses_its_line_until_it_is_linked_again(db: Db) {
        let world = World::fast(db);
        let service = sandbox(&world).await;
        let tenant = service.tenant("a").await;
        linked(&world, &tenant, "shop", "15550001111", None).await;
        world.phones.unlink("shop").await;
        let lost = tenant.session("shop", "logged_out").await;
        assert_eq!((&lost["reason"], &lost["qr"]), (&json!("phone_logged_out"), &Value::Null));
        assert!(lost["sentence"].as_str().unwrap().contains("unlinked") && lost["advice"] != "");
        let alerts = tenant.expect("GET", "/api/v1/alerts", Value::Null).await;
        assert!(alerts.to_string().contains("session_lost"), "{alerts}");
        // What is written meanwhile is kept, and says why it waits.
        let words = json!({ "to": CUSTOMER, "message": "later" });
        let queued = tenant.expect("POST", "/api/v1/sessions/shop/messages", words.clone()).await;
        let path = format!("/api/v1/deliveries/{}", queued["id"].as_str().unwrap());
        let waiting = tenant.expect("GET", &path, Value::Null).await;
        assert_eq!((&waiting["status"], &waiting["reason"]), (&json!("queued"), &json!("session_logged_out")));
        let mut now = words;
        now["queue"] = json!(false);
        let (status, problem) = tenant.call("POST", "/api/v1/sessions/shop/messages", now).await;
        assert_eq!((status, &problem["code"]), (409, &json!("not_connected")), "{problem}");

        tenant.expect("POST", "/api/v1/sessions/shop/start", Value::Null).await;
        tenant.until("/api/v1/sessions/shop", |s| s["state"] == "pairing" && !s["qr"].is_null()).await;
        world.phones.scan_session("shop", "15550001111").await;
        tenant.until(&path, |d| d["status"] == "read").await;
        assert_eq!(texts(&world, "shop"), ["later"]);
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn b_12_reconnects_are_bounded_and_a_person_starts_them_anew(db: Db) {
        let world = World::fast(db);
        let service = sandbox(&world).await;
        let tenant = service.tenant("a").await;
        linked(&world, &tenant, "shop", "15550001111", None).await;
        // Its engine fails again and again; each time it is brought back, until it is not.
        let path = "/api/v1/sessions/shop";
        let end = tokio::time::Instant::now() + crate::harness::SOON;
        loop {
            world.phones.fail("shop").await;
            let session = tenant.expect("GET", path, Value::Null).await;
            if session["reason"] == "max_reconnect_exceeded" {
                assert_eq!((&session["state"], &session["reconnects"]), (&json!("failed"), &json!(5)));
                break;
            }
            assert!(tokio::time::Instant::now() < end, "{session}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        tenant.expect("POST", "/api/v1/sessions/shop/restart", Value::Null).await;
        let back = tenant.session("shop", "connected").await;
        assert_eq!((&back["reconnects"], &back["phone"]), (&json!(0), &json!("15550001111")));
        // One session's trouble, and even a fault of ours, is nobody else's.
        linked(&world, &tenant, "other", "15550002222", None).await;
        world.phones.break_once("shop");
        let words = json!({ "to": CUSTOMER, "message": "still here" });
        tenant.expect("POST", "/api/v1/sessions/other/messages", words.clone()).await;
        service.wait_until("the other sends", async || texts(&world, "other") == ["still here"]).await;
        tenant.expect("POST", "/api/v1/sessions/shop/messages", words).await;
        service.wait_until("it is watched again", async || texts(&world, "shop") == ["still here"]).await;
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn an_engine_that_is_away_or_refuses_our_key_is_told_with_its_reason(db: Db) {
        use switchboard::channel::engine::EngineError;
        let world = World::fast(db);
        let service = sandbox(&world).await;
        let tenant = service.tenant("a").await;
        linked(&world, &tenant, "shop", "15550001111", None).await;
        world.phones.away(Some(EngineError::Unreachable("connection refused".into())));
        let away = tenant.until("/api/v1/sessions/shop", |s| s["reason"] == "engine_unreachable").await;
        assert_eq!((&away["state"], &away["detail"]), (&json!("disconnected"), &json!("connection refused")));
        for path in ["/api/v1/sessions/shop/restart", "/api/tenants/a/whatsapp/connect"] {
            let (status, problem) = tenant.call("POST", path, json!({})).await;
            assert_eq!((status, &problem["code"]), (502, &json!("engine_unreachable")), "{path} {problem}");
        }
        // Nothing is made that the engine did not take.
        assert_eq!(tenant.call("POST", "/api/v1/sessions", json!({ "name": "more" })).await.0, 502);
        assert_eq!(tenant.call("GET", "/api/v1/sessions/more", Value::Null).await.0, 404);
        let words = json!({ "to": CUSTOMER, "message": "kept" });
        tenant.expect("POST", "/api/v1/sessions/shop/messages", words).await;
        world.phones.away(Some(EngineError::KeyRefused));
        tenant.until("/api/v1/sessions/shop", |s| s["reason"] == "key_refused").await;
        world.phones.away(None);
        tenant.session("shop", "connected").await;
        service.wait_until("nothing was lost", async || texts(&world, "shop") == ["kept"]).await;
        service.running.stop().await;
    }
}

/// What tells the test below that it is alone in its process.
const ALONE: &str = "SESSIONS_MEASURED_ALONE";

/// How much one more session costs, with its watcher at work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b_25_a_hundred_sessions_in_one_process_cost_little_each() {
    const SESSIONS: usize = 100;
    if std::env::var_os(ALONE).is_none() {
        // Memory is the process's: in one of its own, the other tests are not measured with it.
        let name = "sessions::life::b_25_a_hundred_sessions_in_one_process_cost_little_each";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        // What a panic looks up for its backtrace would be measured too.
        let child = child.args(["--exact", name, "--nocapture"]).env(ALONE, "1").env("RUST_BACKTRACE", "0");
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        eprintln!("{}", said.lines().find(|line| line.contains("resident")).unwrap());
        return;
    }
    let world = World::new(Db::sqlite());
    let service = sandbox(&world).await;
    let tenant = service.tenant("a").await;
    linked(&world, &tenant, "first", "15550000001", None).await;
    let before = resident();
    for n in 0..SESSIONS {
        let body = json!({ "name": format!("s{n}") });
        tenant.expect("POST", "/api/v1/sessions", body).await;
    }
    for n in 0..SESSIONS {
        let name = format!("s{n}");
        world.phones.scan_session(&name, &format!("1555100{n:04}")).await;
        tenant.session(&name, "connected").await;
    }
    world.phones.break_once("s7");
    let words = json!({ "to": CUSTOMER, "message": "hello" });
    tenant.expect("POST", "/api/v1/sessions/s99/messages", words).await;
    service.wait_until("the last one sends", async || texts(&world, "s99") == ["hello"]).await;
    let each = resident().saturating_sub(before) / SESSIONS as u64;
    eprintln!("{each} bytes resident for each of {SESSIONS} connected sessions");
    assert!(each < 200_000, "{each} bytes for each session");
    service.running.stop().await;
}

/// This process's resident memory, in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}
