//! Distinctive secrets are put in through every door; then everything that leaves the house is searched for them: the
//! database, its copy, the log at its most talkative, metrics, and every answer that is not meant to show one.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use switchboard::sandbox::graph::{Fault, Number};
use switchboard::sandbox::http_client;
use switchboard::sandbox::response_api::Answer;
use switchboard::sandbox::webhook::{Change, Incoming, Sender, Status, body};

use crate::harness::process::run;
use crate::harness::{Db, SHOP, SOON, World};
use crate::on_both_databases;

const PHONE: &str = "15550417733";
const TEXT: &str = "canary-text-of-a-customer";
const REPLY: &str = "canary-text-of-a-chatbot";
const PERSON: &str = "canary-text-of-a-person";
const FOREIGN: &str = "15550417734";

/// A secret by name: a canary, and long enough for whatever it is.
fn secret(name: &str) -> String {
    format!("canary-{name}-6f1e0c9ab2d84735")
}

/// The service in a process, its log in a file, and everything it answers.
struct House {
    url: String,
    child: Child,
    http: reqwest::Client,
    variables: Vec<(String, String)>,
    folder: tempfile::TempDir,
    /// Everything that must show no secret.
    answers: Vec<String>,
    /// Everything that must be found nowhere.
    secrets: BTreeMap<String, String>,
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl House {
    async fn start(world: &World) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let key = BASE64_STANDARD.encode(b"canary-root-key-of-32-bytes-long");
        let mut secrets: BTreeMap<String, String> =
            [("root key", key.clone())].map(|(n, s)| (n.into(), s)).into();
        let mut variables: Vec<(String, String)> = world.variables().into_iter().collect();
        for name in [
            "FACEBOOK_APP_SECRET",
            "WHATSAPP_VERIFY_TOKEN",
            "SWITCHBOARD_ADMIN_API_KEY",
            "METRICS_TOKEN",
            "SUPABASE_JWT_SECRET",
            "SUPABASE_SERVICE_ROLE_KEY",
            "WAHA_API_KEY",
            "WAHA_WEBHOOK_HMAC_KEY",
        ] {
            secrets.insert(name.into(), secret(name));
            variables.push((name.into(), secret(name)));
        }
        variables.push(("SWITCHBOARD_KEYS".into(), format!("k1:{key}")));
        variables.push(("SUPABASE_URL".into(), "http://127.0.0.1:9".into()));
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_switchboard"))
            .arg("serve")
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .env("PORT", port.to_string())
            .env("RUST_LOG", "trace")
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("log"))
            .spawn()
            .unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let http = http_client().unwrap();
        let house = Self { url, child, http, variables, folder, answers: Vec::new(), secrets };
        let end = std::time::Instant::now() + SOON;
        while house.http.get(format!("{}/ready", house.url)).send().await.is_err() {
            assert!(std::time::Instant::now() < end, "the process does not answer: {}", house.log());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        house
    }

    fn log(&self) -> String {
        let read = |name: &str| std::fs::read(self.folder.path().join(name)).unwrap();
        String::from_utf8_lossy(&read("log")).into_owned()
    }

    fn hide(&mut self, name: &str, secret: &str) {
        self.secrets.insert(name.to_owned(), secret.to_owned());
    }

    /// A call as the platform in the name of its tenant; its answer is searched later.
    async fn call(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let (status, answer) = self.quietly(method, path, body).await;
        self.answers.push(format!("{method} {path}: {answer}"));
        (status, answer)
    }

    /// The same, where the answer shows a secret this once.
    async fn quietly(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.url));
        let request = request.bearer_auth(secret("SWITCHBOARD_ADMIN_API_KEY"));
        // What is remembered for a repetition must hold no secret in clear either.
        let request = request.header("idempotency-key", uuid::Uuid::now_v7().to_string());
        let request = if body.is_null() { request } else { request.json(&body) };
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn meta(&self, app_secret: &str, body: String) -> u16 {
        let sender = Sender::new(format!("{}/webhook", self.url), app_secret).unwrap();
        sender.send(body).await.unwrap().status
    }

    /// The first person, people, keys, and guesses at all of them.
    async fn people(&mut self) {
        let printed = std::fs::read_to_string(self.folder.path().join("stdout")).unwrap();
        let token = printed.split("/setup#").nth(1).unwrap().lines().next().unwrap().to_owned();
        let (wrong, password, next) = (secret("wrong-password"), secret("password"), secret("next-password"));
        for (name, secret) in
            [("wrong password", &wrong), ("password", &password), ("next password", &next), ("setup", &token)]
        {
            self.hide(name, secret);
        }
        let made = self.http.post(format!("{}/api/v1/setup", self.url));
        let made = made.json(&json!({"token": token, "email": "root@example.com", "password": password}));
        let made = made.send().await.unwrap();
        assert_eq!(made.status(), 201);
        let cookie = made.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        self.hide("sign-in", cookie.split_once('=').unwrap().1);
        self.answers.push(made.text().await.unwrap());
        let change = self.http.post(format!("{}/api/v1/me/password", self.url)).header("cookie", &cookie);
        let change = change.header("sec-fetch-site", "same-origin");
        let change =
            change.json(&json!({"currentPassword": password, "password": next})).send().await.unwrap();
        assert_eq!(change.status(), 200);
        self.answers.push(change.text().await.unwrap());
        self.call("POST", "/api/v1/sign-in", json!({"email": "root@example.com", "password": wrong})).await;
        self.call("POST", "/api/v1/invitation", json!({"token": wrong, "password": wrong})).await;
        self.call(
            "POST",
            "/api/v1/setup",
            json!({"token": wrong, "email": "x@example.com", "password": wrong}),
        )
        .await;
        let (_, invited) =
            self.quietly("POST", "/api/v1/users", json!({"email": "bob@example.com", "role": "agent"})).await;
        self.hide("invitation", invited["data"]["link"].as_str().unwrap().split_once('#').unwrap().1);
        let (_, key) = self.quietly("POST", "/api/v1/api-keys", json!({"name": "CRM"})).await;
        let key = key["data"]["key"].as_str().unwrap().to_owned();
        self.hide("api key", key.rsplit('_').next().unwrap());
        let guess = secret("guessed-token");
        self.hide("guess", &guess);
        for credential in [
            format!("Bearer {guess}"),
            format!("Bearer {key}"),
            format!("Basic {guess}"),
            format!("Bearer eyJ.{guess}.x"),
        ] {
            for path in ["/api/v1/me", "/metrics", "/nothing"] {
                let request =
                    self.http.get(format!("{}{path}", self.url)).header("authorization", &credential);
                let answer = request.header("cookie", format!("switchboard={guess}")).send().await.unwrap();
                self.answers.push(answer.text().await.unwrap());
            }
        }
    }

    /// Numbers, chatbots, endpoints: with every secret they have, and each secret in every wrong place.
    async fn onboard(&mut self, world: &World) {
        let [access, verify, app, previous, chatbot] =
            ["access-token", "verify-token", "app-secret", "next-app-secret", "chatbot-key"].map(secret);
        for secret in [&access, &verify, &app, &previous, &chatbot] {
            self.hide(secret, secret);
        }
        world.graph.register(Number::new(SHOP).waba("waba-1").token(&access));
        let (status, made) = self
            .call(
                "POST",
                "/api/v1/whatsapp/integration",
                json!({
                "chatbotId": "shop", "phoneNumberId": SHOP, "accessToken": access, "verifyToken": verify,
                "businessAccountId": "waba-1", "appSecret": app, "apiKey": chatbot}),
            )
            .await;
        assert_eq!((status, &made["data"]["status"]), (201, &json!("active")), "{made}");
        let account = format!("/api/v1/whatsapp/integration/{}", made["data"]["id"].as_str().unwrap());
        self.call("PATCH", &account, json!({"appSecret": previous})).await;
        self.call("POST", &format!("{account}/check"), Value::Null).await;
        self.call("PATCH", "/api/v1/chatbots/shop", json!({"coalesceMs": 0, "apiKey": chatbot})).await;
        let endpoint = json!({"url": "http://127.0.0.1:9/hooks"});
        let (_, endpoint) = self.quietly("POST", "/api/v1/event-endpoints", endpoint).await;
        self.hide("endpoint", endpoint["data"]["secret"].as_str().unwrap().trim_start_matches("whsec_"));
        // Refused by Meta; and every field holds a secret that belongs elsewhere.
        let token = format!("1234|{}", secret("refused-token"));
        self.hide("refused token", &token);
        let refused = json!({"chatbotId": "other", "phoneNumberId": SHOP, "accessToken": token,
            "verifyToken": secret("another-verify-token"), "businessAccountId": "waba-1"});
        self.call("POST", "/api/v1/whatsapp/integration", refused).await;
        for (path, fields) in [
            (
                "/api/v1/whatsapp/integration",
                &["chatbotId", "phoneNumberId", "businessAccountId", "webhookUrl", "mode", "accessToken"][..],
            ),
            ("/api/v1/chatbots", &["id", "responder", "coalesceMs", "typing", "nonsense"]),
            ("/api/v1/api-keys", &["role", "nonsense"]),
            ("/api/v1/users", &["email", "role", "platform"]),
            ("/api/v1/event-endpoints", &["url", "types"]),
            ("/api/v1/whatsapp/send?chatbotId=shop", &["to", "message", "type"]),
        ] {
            for field in fields {
                for value in [json!(token), json!([token]), json!({ "x": token })] {
                    let (status, answer) = self.quietly("POST", path, json!({ *field: value })).await;
                    assert!((400..500).contains(&status), "{path} {field}: {status} {answer}");
                    self.answers.push(format!("{path} {field}: {answer}"));
                }
            }
        }
    }

    /// What customers, chatbots and people say, with everything going wrong that can.
    async fn talk(&mut self, world: &World) {
        let app = secret("next-app-secret");
        for token in [secret("verify-token"), secret("WHATSAPP_VERIFY_TOKEN"), secret("wrong-verify-token")] {
            let query = format!("hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1");
            let answer = self.http.get(format!("{}/webhook?{query}", self.url)).send().await.unwrap();
            self.answers.push(answer.text().await.unwrap());
        }
        self.hide("wrong verify token", &secret("wrong-verify-token"));
        let bodies =
            |text: &str| body(&[Change::new(SHOP).waba("waba-1").message(Incoming::text(PHONE, text))]);
        assert_eq!(self.meta(&secret("wrong-app-secret"), bodies(TEXT)).await, 401);
        world.responder.behave(None, Answer::Text(REPLY.into()));
        assert_eq!(self.meta(&app, bodies(TEXT)).await, 200);
        world.graph.wait_for_sent(1, SOON).await;
        for code in [131_000, 190, 131_047] {
            world.graph.fault(Fault::error(400, code));
        }
        world.responder.behave(None, Answer::ServerError);
        assert_eq!(self.meta(&app, bodies(&format!("{TEXT} again"))).await, 200);
        let status = Status::new("wamid.nobodys", "failed", PHONE).with_error(131_026, TEXT);
        assert_eq!(self.meta(&app, body(&[Change::new(SHOP).waba("waba-1").status(status)])).await, 200);
        assert_eq!(
            self.meta(&app, format!(r#"{{"object":"whatsapp_business_account","entry":"{TEXT} {PHONE}"}}"#))
                .await,
            200
        );
        let send = json!({"to": FOREIGN, "message": PERSON});
        self.quietly("POST", "/api/v1/whatsapp/send?chatbotId=shop", send).await;
        let (_, list) = self.quietly("GET", "/api/v1/conversations", Value::Null).await;
        let talk = list["data"][0]["id"].as_str().unwrap().to_owned();
        self.quietly("POST", &format!("/api/v1/conversations/{talk}/messages"), json!({"message": PERSON}))
            .await;
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    }

    /// Everything that may be read.
    async fn look_around(&mut self) {
        let (_, document) = self.quietly("GET", "/openapi.json", Value::Null).await;
        for (path, item) in document["paths"].as_object().unwrap() {
            // A line of events never ends by itself.
            if item["get"].is_object() && !item["get"].to_string().contains("text/event-stream") {
                self.call("GET", &path.replace("{id}", "shop"), Value::Null).await;
                self.call("GET", &format!("{path}?chatbotId=shop"), Value::Null).await;
            }
        }
    }
}

/// Everybody's way to write it down.
fn spellings(secret: &str) -> Vec<String> {
    let mut percent = String::new();
    for byte in secret.bytes() {
        percent.push_str(&if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        });
    }
    vec![
        secret.to_owned(),
        percent,
        hex::encode(secret),
        BASE64_STANDARD.encode(secret).trim_end_matches('=').to_owned(),
    ]
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    memchr::memmem::find(haystack, needle.as_bytes()).is_some()
}

on_both_databases! {
    async fn no_secret_is_found_outside_its_place(db: Db) {
        let world = World::new(db);
        let mut house = House::start(&world).await;
        house.people().await;
        house.onboard(&world).await;
        house.talk(&world).await;
        house.look_around().await;

        let copy: PathBuf = house.folder.path().join("copy");
        let variables: Vec<(&str, &str)> = house.variables.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let (_, said) = run(&world, &variables, &["backup", copy.to_str().unwrap()]).await;
        let (_, doctor) = run(&world, &variables, &["doctor"]).await;
        let mut places = vec![
            ("the log".to_owned(), house.log().into_bytes()),
            ("backup's words".to_owned(), said.into_bytes()),
            ("doctor's words".to_owned(), doctor.into_bytes()),
            ("its copy".to_owned(), std::fs::read(&copy).unwrap()),
        ];
        places.extend(house.answers.iter().map(|answer| ("an answer".to_owned(), answer.clone().into_bytes())));
        match &world.db {
            Db::Sqlite(folder) => for entry in std::fs::read_dir(folder.path()).unwrap() {
                let path = entry.unwrap().path();
                places.push((path.display().to_string(), std::fs::read(path).unwrap()));
            },
            Db::Postgres(_) => {
                let tables = world.db.texts("select tablename::text from pg_tables where schemaname = current_schema()").await;
                for table in tables {
                    let rows = world.db.texts(&format!("select t::text from {table} t")).await;
                    places.push((table, rows.join("\n").into_bytes()));
                }
            }
        }
        let kept = world.db.texts("select key from idempotency_keys").await.len();
        assert!(kept >= 5, "{kept}");
        assert!(house.answers.len() > 100 && house.secrets.len() > 20 && contains(&places[0].1, "TRACE"));
        for (name, secret) in &house.secrets {
            for spelling in spellings(secret) {
                for (place, bytes) in &places {
                    let around = || String::from_utf8_lossy(bytes).lines().find(|line| line.contains(&spelling)).unwrap_or_default().to_owned();
                    assert!(!contains(bytes, &spelling), "{name} stands in {place}: {}", around());
                }
            }
        }
        // What people say is kept, and shown to who may see it; the log and the metrics know nothing of it.
        let metrics = house.quietly("GET", "/metrics", Value::Null).await.1.to_string();
        for said in [TEXT, REPLY, PERSON, PHONE, FOREIGN] {
            for (place, text) in [("the log", &house.log()), ("the metrics", &metrics)] {
                let line = text.lines().find(|line| line.contains(said));
                assert_eq!(line, None, "{said} stands in {place}");
            }
        }
        assert!(metrics.contains("switchboard_messages_total"));
    }
}
