//! Files: what customers send is fetched beside the talk; what callers upload goes to Meta once.

use serde_json::{Value, json};
use switchboard::sandbox::graph::{Call, Fault, File, GraphStandIn, Rule};
use switchboard::sandbox::http_client;
use switchboard::sandbox::webhook::Incoming;
use switchboard::store::media::QUOTA;

use crate::harness::{ADMIN_KEY, Onboard, SHOP, SOON, Service, World};
use crate::on_both_databases;

const ANNA: &str = "15551230001";
const FILES: &str = "select status || ' ' || coalesce(reason, '-') || ' ' || coalesce(cast(size as text), '-') from media order by id";
const SEND: &str = "/api/v1/whatsapp/send?chatbotId=ecommerce-chatbot-id";

async fn quiet(db: crate::harness::Db) -> (World, Service) {
    let world = World::fast(db);
    let service = world.start().await;
    service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
    (world, service)
}

/// A customer's file, as Meta tells of it.
fn document(graph: &GraphStandIn, file: File, caption: &str) -> Incoming {
    let part = json!({"mime_type": file.mime_type, "sha256": file.sha256, "filename": "bill \"1\".pdf", "caption": caption,
        "id": graph.put_file(file)});
    Incoming::new(ANNA, "document", part)
}

async fn call(service: &Service, method: &str, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}{path}", service.running.url());
    let client = http_client().unwrap();
    let request = if method == "get" { client.get(url) } else { client.post(url).json(&body) };
    let answer = request.bearer_auth(ADMIN_KEY).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

async fn becomes(world: &World, service: &Service, expected: &[&str]) {
    service.wait_until("files", async || world.db.texts(FILES).await == expected).await;
}

on_both_databases! {
    async fn a_customers_file_is_fetched_and_served_to_people(db: Db) {
        let (world, service) = quiet(db).await;
        let file = File::new("application/pdf", "%PDF and more");
        let message = document(&world.graph, file.clone(), "My bill");
        service.deliver(SHOP, [message.clone()]).await;
        service.deliver(SHOP, [message]).await;
        let sent = world.graph.wait_for_sent(1, SOON).await;
        assert!(sent[0].text().contains("My bill"));
        becomes(&world, &service, &["stored - 13"]).await;

        let (_, list) = call(&service, "get", "/api/v1/conversations", Value::Null).await;
        let path = format!("/api/v1/conversations/{}/messages", list["data"][0]["id"].as_str().unwrap());
        let (_, said) = call(&service, "get", &path, Value::Null).await;
        let seen = &said["data"][1]["media"];
        assert_eq!((&seen["mimeType"], &seen["sha256"]), (&json!("application/pdf"), &json!(file.sha256)));
        let url = format!("{}/api/v1/media/{}", service.running.url(), seen["id"].as_str().unwrap());
        let client = http_client().unwrap();
        let answer = client.get(&url).bearer_auth(ADMIN_KEY).send().await.unwrap();
        for (name, value) in [
            ("content-type", "application/pdf"),
            ("content-disposition", "attachment; filename=\"bill _1_.pdf\""),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.headers()[name], value);
        }
        assert_eq!(answer.bytes().await.unwrap(), file.bytes);
        assert_eq!(client.get(&url).send().await.unwrap().status(), 401);
        let other = client.get(&url).bearer_auth(ADMIN_KEY).header("Switchboard-Tenant", "b");
        assert_eq!(other.send().await.unwrap().status(), 404);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Meta is away, gives another file, or loses its words: again. Too large, foreign or gone: never. The text never waits.
    async fn a_file_that_fails_holds_nothing_up(db: Db) {
        let (world, service) = quiet(db).await;
        let good = File::new("image/png", "good");
        for rule in [
            Rule::from(Fault::error(500, 131_000)).on(Call::Media),
            Rule::from(Fault::HangUp).on(Call::Fetch),
            Rule::from(Fault::error(401, 190)).on(Call::Media),
        ] {
            world.graph.fault(rule);
        }
        service.deliver(SHOP, [document(&world.graph, good.clone(), "1")]).await;
        world.graph.wait_for_sent(1, SOON).await;
        becomes(&world, &service, &["stored - 4"]).await;
        let hidden = File { url: Some("http://127.0.0.1:9/secret".into()), ..good.clone() };
        let large = File::new("application/pdf", vec![0; (100 << 20) + 1]);
        for (caption, file) in [("2", hidden), ("3", large)] {
            service.deliver(SHOP, [document(&world.graph, file, caption)]).await;
            service.settle().await;
        }
        service.deliver(SHOP, [Incoming::image(ANNA, Some("4"))]).await;
        assert_eq!(world.graph.wait_for_sent(4, SOON).await.len(), 4);
        becomes(&world, &service, &["stored - 4", "failed foreign_host -", "failed too_large -", "failed bad_request -"]).await;
        let attempts = world.db.texts("select cast(attempts as text) from media order by id").await;
        assert_eq!(attempts, ["4", "1", "1", "1"]);

        // Bytes that are not what they are said to be are not kept, however often they are fetched.
        let swapped = File { sha256: "0".repeat(64), ..good };
        service.deliver(SHOP, [document(&world.graph, swapped, "5")]).await;
        service.wait_until("tries", async || {
            world.db.texts("select cast(attempts as text) from media order by id").await.last().is_some_and(|n| n != "0" && n != "1")
        }).await;
        assert_eq!(world.db.texts(FILES).await[4], "waiting checksum -");
        assert_eq!(world.graph.wait_for_sent(5, SOON).await.len(), 5);
        let failed = world.db.texts("select 'med_' || cast(id as text) from media where reason = 'too_large'").await;
        let (status, problem) = call(&service, "get", &format!("/api/v1/media/{}", failed[0]), Value::Null).await;
        assert_eq!((status, &problem["code"]), (410, &json!("media_failed")));
        service.running.stop().await;
    }
}

on_both_databases! {
    /// A chatbot that asks for it gets a link that works without a key; the link of one file opens no other.
    async fn a_responder_gets_a_signed_link(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        // Where this instance is reached is known only now.
        service.running.stop().await;
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let service = world.start_with(&[("PUBLIC_URL", &format!("http://127.0.0.1:{port}"))]).await;
        let change = |bot: &mut switchboard::store::chatbots::Chatbot| {
            bot.typing = false;
            bot.media_links = true;
        };
        service.onboard(Onboard { change, ..Onboard::default() }).await;
        for n in 0..2 {
            // Even before the file is there.
            world.graph.fault(Rule::from(Fault::Slow(std::time::Duration::from_millis(700))).on(Call::Fetch));
            service.deliver(SHOP, [document(&world.graph, File::new("image/png", format!("file {n}")), "Look")]).await;
            world.responder.wait_for(n + 1, SOON).await;
        }
        service.text(SHOP, ANNA, "No file").await;
        let asked = world.responder.wait_for(3, SOON).await;
        let said = |n: usize| asked[n].history().last().unwrap().1.clone();
        assert_eq!(said(2), "No file");
        let links: Vec<String> = (0..2).map(|n| said(n).strip_prefix("Look\n").unwrap().to_owned()).collect();
        let base = format!("http://127.0.0.1:{port}");
        let get = async |link: &str| {
            let url = link.replace(&base, &service.running.url());
            http_client().unwrap().get(url).send().await.unwrap()
        };
        for (n, link) in links.iter().enumerate() {
            assert!(link.starts_with(&base), "{link}");
            let answer = get(link).await;
            assert_eq!((answer.status().as_u16(), answer.text().await.unwrap()), (200, format!("file {n}")));
        }
        let (path, query) = links[0].split_once('?').unwrap();
        let (_, other) = links[1].split_once('?').unwrap();
        let later = query.replace("expires=", "expires=9");
        for wrong in [path.to_owned(), format!("{path}?{other}"), format!("{path}?{later}"), format!("{path}?{query}0")] {
            assert_eq!(get(&wrong).await.status(), 401, "{wrong}");
        }
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Uploaded here once, at Meta once for all messages; again when Meta was not there.
    async fn an_upload_goes_to_meta_when_it_is_first_sent(db: Db) {
        let (world, service) = quiet(db).await;
        let client = http_client().unwrap();
        let url = format!("{}/api/v1/media", service.running.url());
        let post = |kind: &str, body: Vec<u8>| {
            client.post(format!("{url}?filename=a.png")).bearer_auth(ADMIN_KEY).header("Content-Type", kind).body(body).send()
        };
        let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"b.pdf\"\r\n\
            Content-Type: application/pdf\r\n\r\n%PDF\r\n--b--\r\n";
        let mut ids = Vec::new();
        for (kind, body) in [("image/png", b"png".to_vec()), ("multipart/form-data; boundary=b", form.into())] {
            let answer = post(kind, body).await.unwrap();
            assert_eq!(answer.status(), 201);
            let data: Value = answer.json::<Value>().await.unwrap()["data"].clone();
            assert_eq!(data["status"], "stored");
            ids.push(data["id"].as_str().unwrap().to_owned());
        }
        for (kind, body, status) in [
            ("image/png", Vec::new(), 400),
            ("nonsense", b"x".to_vec(), 400),
            ("multipart/form-data; boundary=x", b"x".to_vec(), 400),
            ("image/png", vec![0; (100 << 20) + 1], 413),
            ("multipart/form-data; boundary=b", vec![0; (16 << 20) + 1], 413),
        ] {
            assert_eq!(post(kind, body).await.unwrap().status(), status, "{kind}");
        }
        assert_eq!(world.graph.file_count(), 0, "nothing is sent, so nothing is at Meta");
        // Room is taken by what only begins to arrive.
        let store = &service.running.store;
        let begin = |most| store.begin_upload("default", "image/png", None, most, 0);
        let arriving = begin(QUOTA - 100).await.unwrap().unwrap();
        assert_eq!(begin(100).await.unwrap(), None);
        let full = post("image/png", vec![0; 100]).await.unwrap();
        assert_eq!(full.status(), 507);
        store.drop_upload(arriving).await.unwrap();

        let image = |id: &str| json!({"to": ANNA, "type": "image", "image": {"id": id}, "force": true});
        for (id, field) in [(ids[1].as_str(), "image.id"), ("med_999", "image.id")] {
            let (status, problem) = call(&service, "post", SEND, image(id)).await;
            assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!(field)), "{problem}");
        }
        world.graph.fault(Rule::from(Fault::HangUp).on(Call::Media));
        for n in 0..3 {
            assert_eq!(call(&service, "post", SEND, image(&ids[0])).await.0, 202);
            let sent = world.graph.wait_for_sent(n + 1, SOON).await;
            let at_meta = sent[n].body["image"]["id"].as_str().unwrap();
            assert_eq!(world.graph.file(at_meta), Some(File::new("image/png", "png")));
        }
        assert_eq!(world.graph.file_count(), 1);
        // A header is a place for a file too.
        let document = json!({"to": ANNA, "force": true, "type": "interactive", "interactive": {
            "type": "button", "header": {"type": "document", "document": {"id": ids[1]}}, "body": {"text": "Sign?"},
            "action": {"buttons": [{"type": "reply", "reply": {"id": "y", "title": "Yes"}}]}}});
        assert_eq!(call(&service, "post", SEND, document).await.0, 202);
        let sent = world.graph.wait_for_sent(4, SOON).await;
        let at_meta = sent[3].body["interactive"]["header"]["document"]["id"].as_str().unwrap();
        assert_eq!(world.graph.file(at_meta).unwrap().bytes, "%PDF");
        service.settle().await;
        let attempts = world.db.texts("select cast(attempts as text) || status from deliveries order by id").await;
        assert_eq!(attempts, ["2sent", "1sent", "1sent", "1sent"]);
        // A document of 20 MB goes out, and comes in, piece by piece.
        let long: Vec<u8> = (0..20_u32 << 20).map(|n| (n % 251) as u8).collect();
        let answer = post("application/pdf", long.clone()).await.unwrap();
        let id = answer.json::<Value>().await.unwrap()["data"]["id"].as_str().unwrap().to_owned();
        let wrong = json!({"to": ANNA, "type": "video", "video": {"id": id}, "force": true});
        assert_eq!(call(&service, "post", SEND, wrong).await.0, 400);
        let right = json!({"to": ANNA, "type": "document", "document": {"id": id}, "force": true});
        assert_eq!(call(&service, "post", SEND, right).await.0, 202);
        let sent = world.graph.wait_for_sent(5, SOON).await;
        let at_meta = sent[4].body["document"]["id"].as_str().unwrap();
        assert!(world.graph.file(at_meta).unwrap().bytes == long, "not the same bytes");
        let url = format!("{}/api/v1/media/{id}", service.running.url());
        let back = client.get(&url).bearer_auth(ADMIN_KEY).send().await.unwrap();
        assert_eq!(back.headers()["content-length"], (20 << 20).to_string().as_str());
        assert!(back.bytes().await.unwrap() == long, "not the same bytes");
        // Room ends somewhere, and nothing is left of what had none.
        world.db.execute("update media set size = 2147483640 where filename = 'b.pdf'").await.unwrap();
        let full = post("image/png", vec![1; 9]).await.unwrap();
        assert_eq!(full.status(), 507);
        assert_eq!(full.json::<Value>().await.unwrap()["errors"][0]["field"], "file");
        world.db.execute("update media set size = 4 where filename = 'b.pdf'").await.unwrap();
        let kept = world.db.texts("select status from media").await;
        assert_eq!(kept, ["stored"; 3], "neither what was refused, nor what had no room");
        // Known for thirty days, also to the next process.
        service.running.stop().await;
        let service = world.start().await;
        assert_eq!(call(&service, "post", SEND, image(&ids[0])).await.0, 202);
        world.graph.wait_for_sent(6, SOON).await;
        assert_eq!(world.graph.file_count(), 3);
        service.running.stop().await;
    }
}
