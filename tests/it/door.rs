//! The door: who may bring something in, and exactly what it is told.

use reqwest::Response;
use switchboard::graph::signature::{HEADER, sign};
use switchboard::sandbox::http_client;
use switchboard::sandbox::webhook::{Change, Incoming, Sender, body, text_body};

use crate::harness::{APP_SECRET, HELP, Onboard, SHOP, SOON, Service, World, verify_token};
use crate::on_both_databases;

const ANNA: &str = "15551230001";
const BERT: &str = "15551230002";
const RECEIVED: &str = r#"{"success":true,"message":"Webhook received"}"#;
const INVALID: &str = r#"{"success":false,"error":"Invalid signature"}"#;
const STATES: &str = "select state || ': ' || coalesce(reason, '') from event_states order by event_id";

/// Posts a body with these headers; status and body of the answer.
async fn post(service: &Service, headers: &[(&str, &str)], body: impl Into<String>) -> (u16, String) {
    let mut request = http_client().unwrap().post(format!("{}/webhook", service.running.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    told(request.body(body.into()).send().await.unwrap()).await
}

async fn told(response: Response) -> (u16, String) {
    (response.status().as_u16(), response.text().await.unwrap())
}

fn signed_by(service: &Service, secret: &str) -> Sender {
    Sender::new(format!("{}/webhook", service.running.url()), secret).unwrap()
}

on_both_databases! {
    async fn only_what_a_known_secret_signed_comes_in(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let text = text_body(SHOP, ANNA, "Hello");
        let good = sign(APP_SECRET.as_bytes(), text.as_bytes());
        let longer = format!("{text} ");
        let other = sign(b"another secret", text.as_bytes());
        let sha1 = format!("sha1={}", "0".repeat(40));
        for (name, headers, body) in [
            ("missing", vec![], &text),
            ("empty", vec![(HEADER, "")], &text),
            ("malformed", vec![(HEADER, "sha256=abc")], &text),
            ("without its prefix", vec![(HEADER, &good[7..])], &text),
            ("prefix in capitals", vec![(HEADER, &*good.replace("sha256", "SHA256"))], &text),
            ("too long", vec![(HEADER, &*format!("{good}0"))], &text),
            ("SHA-1 under the new name", vec![(HEADER, &*sha1)], &text),
            ("SHA-1 under the old name", vec![("X-Hub-Signature", &*sha1)], &text),
            ("another secret's", vec![(HEADER, &*other)], &text),
            ("one byte more than was signed", vec![(HEADER, &*good)], &longer),
        ] {
            assert_eq!(post(&service, &headers, body.clone()).await, (401, INVALID.to_owned()), "{name}");
        }
        assert_eq!(world.db.texts("select field from webhook_events").await, [""; 0], "nothing is stored");
        // Hexadecimal digits are the same number in capitals.
        let capitals = format!("sha256={}", good[7..].to_uppercase());
        assert_eq!(post(&service, &[(HEADER, &capitals)], text).await, (200, RECEIVED.to_owned()));
        world.graph.wait_for_sent(1, SOON).await;
        service.running.stop().await;

        // Without any secret nobody can sign.
        let service = world.start_with(&[("FACEBOOK_APP_SECRET", "")]).await;
        let empty_key = sign(b"", text_body(SHOP, ANNA, "Again").as_bytes());
        assert_eq!(post(&service, &[(HEADER, &empty_key)], text_body(SHOP, ANNA, "Again")).await.0, 401);
        assert_eq!(service.post(text_body(SHOP, ANNA, "Again")).await.body, INVALID);
        service.settle().await;
        assert_eq!(world.graph.sent_count(), 1);
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn three_mebibytes_pass_and_not_a_byte_more(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let text = text_body(SHOP, ANNA, "In a large body");
        let padded = |size: usize| format!("{text}{}", " ".repeat(size - text.len()));
        let answer = service.post(padded((3 << 20) + 1)).await;
        assert_eq!((answer.status, &*answer.body), (413, r#"{"success":false,"error":"Body over 3 MiB"}"#));
        // Nor when the size is not announced.
        let large = padded((3 << 20) + 1);
        let signature = sign(APP_SECRET.as_bytes(), large.as_bytes());
        let pieces = large.into_bytes().chunks(65_536).map(|p| Ok::<_, std::io::Error>(p.to_vec())).collect::<Vec<_>>();
        let url = format!("{}/webhook", service.running.url());
        let streamed = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
        let request = http_client().unwrap().post(url).header(HEADER, signature).body(streamed);
        assert_eq!(told(request.send().await.unwrap()).await.0, 413);

        assert_eq!(service.post(padded(3 << 20)).await.body, RECEIVED);
        world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;
        assert_eq!(world.responder.count(), 1);
        service.running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let service = World::new(crate::harness::Db::sqlite()).start().await;
    let mut line = tokio::net::TcpStream::connect(service.running.addr).await.unwrap();
    let signature = sign(APP_SECRET.as_bytes(), b"");
    let head = format!(
        "POST /webhook HTTP/1.1\r\nHost: x\r\n{HEADER}: {signature}\r\nContent-Length: 100\r\n\r\n{{"
    );
    line.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let all = line.read_to_string(&mut answer);
    tokio::time::timeout(std::time::Duration::from_secs(15), all).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    service.running.stop().await;
}

on_both_databases! {
    async fn what_is_signed_and_useless_is_taken_and_kept(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let answer = service.post(r#"{"object":"page","entry":[{"id":"1"}]}"#.into()).await;
        assert_eq!((answer.status, &*answer.body), (200, r#"{"success":true,"message":"Not a WhatsApp webhook event"}"#));
        assert_eq!(world.db.texts(STATES).await, [""; 0]);
        for odd in ["{\"object\": \"whatsapp_business_account\", \"entry\": [", "no JSON at all", "[1,2]"] {
            let answer = service.post(odd.into()).await;
            assert_eq!((answer.status, &*answer.body), (200, RECEIVED), "{odd}");
        }
        assert_eq!(service.post(body(&[])).await.body, RECEIVED, "an empty entry");
        let states = world.db.texts(STATES).await;
        assert_eq!(states.len(), 3, "{states:?}");
        assert!(states.iter().all(|s| s.starts_with("quarantined: not ")), "{states:?}");

        // Kept bytes are the bytes that came.
        let raw = "select cast(raw as text) from webhook_events where id = 2";
        if let crate::harness::Db::Sqlite(_) = world.db {
            assert_eq!(world.db.texts(raw).await, ["no JSON at all"]);
        }
        service.running.stop().await;
    }
}

on_both_databases! {
    /// The signature covers the bytes as they came: escapes, spacing and all.
    async fn escapes_and_emoji_are_verified_as_bytes_and_read_as_text(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let escaped = text_body(SHOP, ANNA, "PLACE").replace("PLACE", r"Gr\u00fc\u00dfe \ud83d\ude00 \/ \u0025 \u0000\ud83d!");
        let spaced = text_body(SHOP, BERT, "Grüße 😀 / %").replace(r#"":"#, "\" :\n\t");
        for odd in [escaped, spaced] {
            assert_eq!(service.post(odd).await.body, RECEIVED);
        }
        world.graph.wait_for_sent(2, SOON).await;
        service.settle().await;
        let mut asked: Vec<String> = world.responder.received().iter().map(|r| r.history()[0].1.clone()).collect();
        asked.sort();
        assert_eq!(asked, ["Grüße 😀 / %", "Grüße 😀 / % \u{fffd}!"]);
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn a_rotated_platform_secret_is_good_until_it_is_dropped(db: Db) {
        let world = World::new(db);
        let service = world.start_with(&[("FACEBOOK_APP_SECRET", "the-new-app-secret,the-old-app-secret")]).await;
        service.onboard(Onboard::default()).await;
        for secret in ["the-new-app-secret", "the-old-app-secret"] {
            let answer = signed_by(&service, secret).send(text_body(SHOP, ANNA, "Hi")).await.unwrap();
            assert_eq!(answer.status, 200, "{secret}");
        }
        world.graph.wait_for_sent(2, SOON).await;
        service.settle().await;
        service.running.stop().await;
        let service = world.start_with(&[("FACEBOOK_APP_SECRET", "the-new-app-secret")]).await;
        let answer = signed_by(&service, "the-old-app-secret").send(text_body(SHOP, ANNA, "Hi")).await.unwrap();
        assert_eq!(answer.status, 401);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Tenant B brings its own Meta app, so B knows a secret: it speaks for B's number and for no other.
    async fn an_accounts_own_secret_speaks_for_its_number_alone(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard { tenant: "a", ..Onboard::default() }).await;
        let b = Onboard { tenant: "b", chatbot: "bot-b", number: HELP, app_secret: Some("the-secret-of-b"), ..Onboard::default() };
        service.onboard(b).await;
        let by_b = signed_by(&service, "the-secret-of-b");

        let forged = by_b.send(text_body(SHOP, ANNA, "Forged for A")).await.unwrap();
        assert_eq!((forged.status, &*forged.body), (200, RECEIVED));
        let platform = service.post(text_body(HELP, ANNA, "By the platform, for B")).await;
        assert_eq!(platform.status, 200);
        let own = by_b.send(text_body(HELP, ANNA, "Genuine")).await.unwrap();
        assert_eq!(own.status, 200);
        let mixed = body(&[
            Change::new(SHOP).message(Incoming::text(BERT, "Smuggled to A")),
            Change::new(HELP).message(Incoming::text(BERT, "Mixed, for B")),
        ]);
        assert_eq!(by_b.send(mixed).await.unwrap().status, 200);
        world.graph.wait_for_sent(2, SOON).await;
        service.settle().await;

        let mut asked: Vec<(String, String)> =
            world.responder.received().iter().map(|r| (r.chatbot().to_owned(), r.history()[0].1.clone())).collect();
        asked.sort();
        assert_eq!(asked, [("bot-b".into(), "Genuine".into()), ("bot-b".into(), "Mixed, for B".into())]);
        assert!(world.graph.sent().iter().all(|s| s.phone_number_id == HELP && s.app_secret_proof.is_some()));
        assert_eq!(world.db.texts(STATES).await, ["refused: signed by another app's secret"; 3]);

        // The same words under the right secret are not suppressed by the forgery before them.
        let text = text_body(SHOP, ANNA, "Said once");
        assert_eq!(by_b.send(text.clone()).await.unwrap().status, 200);
        assert_eq!(service.post(text).await.status, 200);
        let sent = world.graph.wait_for_sent(3, SOON).await;
        service.settle().await;
        assert_eq!(sent.last().map(|s| s.phone_number_id.as_str()), Some(SHOP));
        service.running.stop().await;
    }
}

on_both_databases! {
    /// A commit may land although its answer is lost: Meta is told 503, comes again, and the message goes on.
    async fn what_was_stored_in_doubt_goes_on_when_it_comes_again(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard::default()).await;
        let text = text_body(SHOP, ANNA, "Hello");
        assert_eq!(service.post(text.clone()).await.status, 200);
        world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;
        let in_doubt = format!(
            "insert into event_states (event_id, state, owner, attempts, at) \
             select id, 'received', {}, 1, received_at from webhook_events returning state",
            service.running.store.instance()
        );
        assert_eq!(world.db.texts(&in_doubt).await, ["received"]);
        assert_eq!(service.post(text).await.status, 200);
        service.wait_until("the event done", async || world.db.texts(STATES).await.is_empty()).await;
        service.settle().await;
        assert_eq!(world.graph.sent_count(), 1, "and nothing is said twice");
        service.running.stop().await;
    }
}

on_both_databases! {
    /// A stranger may name as many numbers as he likes: few are looked up, so few can be asked of the database.
    async fn a_strangers_body_costs_a_handful_of_look_ups(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        let numbers: Vec<String> = (0..40).map(|n| format!("5550000{n:02}")).collect();
        let changes: Vec<Change> =
            numbers.iter().map(|n| Change::new(n).message(Incoming::text(ANNA, "Forged"))).collect();
        let answer = signed_by(&service, "nobody's").send(body(&changes)).await.unwrap();
        assert_eq!((answer.status, &*answer.body), (401, INVALID));
        let mut looked_up = 0;
        for number in &numbers {
            looked_up += usize::from(service.running.routing.remembered(number).await.is_some());
        }
        assert_eq!(looked_up, 8);
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn the_verification_gives_the_challenge_back_for_a_known_token_only(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        let id = service.onboard(Onboard::default()).await;
        service.onboard(Onboard { chatbot: "waiting", number: HELP, status: "pending", ..Onboard::default() }).await;
        service.onboard(Onboard { chatbot: "off", number: "555", status: "inactive", ..Onboard::default() }).await;
        let own = verify_token("ecommerce-chatbot-id");
        let (pending, off) = (verify_token("waiting"), verify_token("off"));
        let ask = async |query: &[(&str, &str)]| {
            let url = format!("{}/webhook", service.running.url());
            http_client().unwrap().get(url).query(query).send().await.unwrap()
        };
        let verified_at = "select case when verified_at is null then 'no' else 'yes' end from whatsapp_accounts order by id";
        assert_eq!(world.db.texts(verified_at).await, ["no", "no", "no"]);
        let long = "9".repeat(1_025);
        for (token, mode, challenge, expected) in [
            (own.as_str(), "subscribe", "1158201444", 200),
            (&pending, "subscribe", "<b>1</b>&", 200),
            ("the-shared-verify-token", "subscribe", "7", 200),
            (&off, "subscribe", "1", 403),
            ("somebody else's", "subscribe", "1", 403),
            ("", "subscribe", "1", 403),
            ("  ", "subscribe", "1", 403),
            (&own, "unsubscribe", "1", 403),
            (&own, "", "1", 403),
            (&own, "subscribe", &long, 403),
        ] {
            let answer = ask(&[("hub.mode", mode), ("hub.verify_token", token), ("hub.challenge", challenge)]).await;
            let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
            let nosniff = answer.headers().get("x-content-type-options").is_some_and(|v| v == "nosniff");
            let body = if expected == 200 { challenge } else { "Forbidden" };
            assert_eq!(told(answer).await, (expected, body.to_owned()), "{token} {mode}");
            assert_eq!(kind, "text/plain; charset=utf-8");
            assert!(nosniff || expected == 403);
        }
        for query in [
            &[("hub.mode", "subscribe"), ("hub.verify_token", &own)][..],
            &[("hub.verify_token", &own), ("hub.challenge", "1")],
            &[("hub.mode", "subscribe"), ("hub.challenge", "1")],
            &[],
        ] {
            assert_eq!(told(ask(query).await).await, (403, "Forbidden".to_owned()), "{query:?}");
        }
        let noted = async || world.db.texts(verified_at).await == ["yes", "yes", "no"];
        service.wait_until("the times of the verifications", noted).await;

        // Switched off, and on again.
        service.change_account(id, |a| a.status = "inactive".into()).await;
        assert_eq!(service.meta.verify(&own, "1").await.unwrap().status, 403);
        service.change_account(id, |a| a.status = "token_invalid".into()).await;
        assert_eq!(service.meta.verify(&own, "1").await.unwrap().status, 200);
        service.running.stop().await;
    }
}
