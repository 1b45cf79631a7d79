//! Calls of the API as a tenant's people make them, by the platform's key.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::sandbox::http_client;
use switchboard::store::audit::Audit;

use super::{ADMIN_KEY, SOON, Service};

/// The API in the name of one tenant.
pub struct Tenant {
    url: String,
    id: String,
    http: reqwest::Client,
}

impl Service {
    /// A tenant, made unless it is there.
    pub async fn tenant(&self, id: &str) -> Tenant {
        let line = Audit { tenant: Some(id), actor: "test", action: "tenant.create", ..Audit::default() };
        if self.running.store.tenant(id).await.unwrap().is_none() {
            self.running.store.create_tenant(id, id, &[], &line).await.unwrap();
        }
        Tenant { url: self.running.url(), id: id.to_owned(), http: http_client().unwrap() }
    }
}

impl Tenant {
    /// A request, to be sent.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, format!("{}{path}", self.url));
        request.bearer_auth(ADMIN_KEY).header("Switchboard-Tenant", &self.id)
    }

    /// One call; a body of null is none. Status and answer.
    pub async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = self.request(method, path);
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    /// A call that must succeed; its `data`, or all of it where there is none.
    pub async fn expect(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        if answer["data"].is_null() { answer } else { answer["data"].clone() }
    }

    /// Asks again until the answer is as wished; it.
    pub async fn until(&self, path: &str, wished: impl Fn(&Value) -> bool) -> Value {
        let end = tokio::time::Instant::now() + SOON;
        loop {
            let answer = self.expect("GET", path, Value::Null).await;
            if wished(&answer) {
                return answer;
            }
            assert!(tokio::time::Instant::now() < end, "{path} never became as wished: {answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The session in this state.
    pub async fn session(&self, name: &str, state: &str) -> Value {
        self.until(&format!("/api/v1/sessions/{name}"), |session| session["state"] == state).await
    }

    /// A new session that shows its QR code.
    pub async fn pairing(&self, name: &str, chatbot: Option<&str>) -> Value {
        let body = json!({ "name": name, "chatbotId": chatbot });
        self.expect("POST", "/api/v1/sessions", body).await;
        self.until(&format!("/api/v1/sessions/{name}"), |s| s["state"] == "pairing" && !s["qr"].is_null())
            .await
    }
}
