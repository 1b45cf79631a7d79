//! The owner's phone at `/sandbox/handset`: scan the QR code of a session, unlink it, write to it as a customer would,
//! and read what it sends.

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::DefaultHeaders;
use actix_web::web::{self, Data, Json, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use serde::Deserialize;
use serde_json::json;

use crate::channel::phones::Phones;

/// Messages of a session that are shown.
const SHOWN: usize = 20;

/// Mounts the page and its API. Before `/sandbox` itself, which would take its addresses.
pub fn configure(phones: Phones) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        let headers = DefaultHeaders::new()
            .add((CONTENT_SECURITY_POLICY, "default-src 'self'; base-uri 'none'; frame-ancestors 'none'"))
            .add((X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .add((REFERRER_POLICY, "no-referrer"))
            .add((CACHE_CONTROL, "no-store"));
        let asset = |kind: &'static str, text: &'static str| {
            web::get().to(move || async move { HttpResponse::Ok().content_type(kind).body(text) })
        };
        config.service(
            web::scope("/sandbox/handset")
                .app_data(Data::new(phones))
                .wrap(headers)
                .route("", asset("text/html; charset=utf-8", include_str!("page/handset.html")))
                .route(
                    "/handset.js",
                    asset("text/javascript; charset=utf-8", include_str!("page/handset.js")),
                )
                .route("/handset.css", asset("text/css; charset=utf-8", include_str!("page/handset.css")))
                .route("/phone.css", asset("text/css; charset=utf-8", include_str!("page/phone.css")))
                .route("/sessions", web::get().to(sessions))
                .route("/scan", web::post().to(scan))
                .route("/unlink", web::post().to(unlink))
                .route("/write", web::post().to(write)),
        );
    }
}

/// The sessions there are: whether each shows a code, and what it sent last.
async fn sessions(phones: Data<Phones>) -> impl Responder {
    let mut shown = phones.shown();
    shown.sort();
    let sessions = shown.into_iter().map(|(name, code)| {
        let mut arrived = phones.arrived(&name);
        let arrived = arrived.split_off(arrived.len().saturating_sub(SHOWN));
        let arrived = arrived.into_iter().map(|message| json!({ "to": message.to, "text": message.text }));
        json!({ "name": name, "code": code, "arrived": arrived.collect::<Vec<_>>() })
    });
    Json(sessions.collect::<Vec<_>>())
}

#[derive(Deserialize)]
struct Act {
    session: String,
    #[serde(default)]
    phone: String,
    #[serde(default)]
    text: String,
}

impl Act {
    fn has_phone(&self) -> bool {
        (5..=15).contains(&self.phone.len()) && self.phone.bytes().all(|byte| byte.is_ascii_digit())
    }
}

fn refused(words: &str) -> HttpResponse {
    HttpResponse::BadRequest().json(json!({ "error": words }))
}

async fn scan(phones: Data<Phones>, act: Json<Act>) -> HttpResponse {
    if !act.has_phone() {
        return refused("A phone number has 5 to 15 digits.");
    }
    match phones.scan_session(&act.session, &act.phone).await {
        true => HttpResponse::Ok().json(json!({ "linked": true })),
        false => refused("That session shows no code."),
    }
}

async fn unlink(phones: Data<Phones>, act: Json<Act>) -> HttpResponse {
    phones.unlink(&act.session).await;
    HttpResponse::Ok().json(json!({ "linked": false }))
}

async fn write(phones: Data<Phones>, act: Json<Act>) -> HttpResponse {
    if !act.has_phone() || act.text.trim().is_empty() {
        return refused("Somebody's number, and words.");
    }
    match phones.write(&act.session, &act.phone, &act.text).await {
        Ok(id) => HttpResponse::Ok().json(json!({ "id": id })),
        Err(error) => HttpResponse::ServiceUnavailable().json(json!({ "error": error.to_string() })),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{App, test};
    use serde_json::Value;

    use super::*;
    use crate::channel::engine::{Engine, Spec};

    #[actix_web::test]
    async fn the_owner_scans_writes_and_unlinks() {
        let phones = Phones::default();
        let engine = Engine::Sandbox(phones.clone());
        engine.start(Spec { name: "shop", tenant: "a", webhook_key: None }).await.unwrap();
        let app = test::init_service(App::new().configure(configure(phones.clone()))).await;
        let post = async |what: &str, body: Value| {
            let request = test::TestRequest::post().uri(&format!("/sandbox/handset/{what}")).set_json(body);
            test::call_service(&app, request.to_request()).await.status().as_u16()
        };
        let sessions = async || -> Value {
            test::call_and_read_body_json(
                &app,
                test::TestRequest::get().uri("/sandbox/handset/sessions").to_request(),
            )
            .await
        };
        assert!(sessions().await[0]["code"].is_string());
        assert_eq!(post("scan", json!({ "session": "shop", "phone": "x" })).await, 400);
        assert_eq!(post("scan", json!({ "session": "none", "phone": "15550001111" })).await, 400);
        assert_eq!(post("scan", json!({ "session": "shop", "phone": "15550001111" })).await, 200);
        assert!(sessions().await[0]["code"].is_null());
        engine.send_text("shop", "15551234567@c.us", "Hi", "").await.unwrap();
        assert_eq!(sessions().await[0]["arrived"], json!([{ "to": "15551234567@c.us", "text": "Hi" }]));
        assert_eq!(
            post("write", json!({ "session": "shop", "phone": "15551234567", "text": " " })).await,
            400
        );
        assert_eq!(
            post("write", json!({ "session": "shop", "phone": "15551234567", "text": "Hello?" })).await,
            200
        );
        assert_eq!(post("unlink", json!({ "session": "shop" })).await, 200);
        assert!(sessions().await[0]["code"].is_string());
    }
}
