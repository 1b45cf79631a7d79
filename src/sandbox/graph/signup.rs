//! Embedded Signup's end: a code for a token, and the registration of a number.

use std::time::Instant;

use actix_web::web::{Bytes, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Call;
use super::manage::{APP_ID, manage};
use super::routes::{Refusal, with_faults};
use super::state::State;
use crate::sandbox::lock;

#[derive(Deserialize)]
pub(super) struct Exchange {
    client_id: String,
    client_secret: String,
    code: String,
}

pub(super) async fn access_token(
    state: Data<State>,
    request: HttpRequest,
    query: Query<Exchange>,
) -> HttpResponse {
    with_faults(&state, &request, Call::Manage, "oauth", async || {
        if query.client_id != APP_ID || query.client_secret.is_empty() {
            return Refusal::new(400, 101, "Error validating application", "Not this app.").answer();
        }
        // Once, and for a short time.
        let found = lock(&state.known).codes.remove(&query.code).filter(|(_, until)| Instant::now() < *until);
        match found {
            Some((token, _)) => HttpResponse::Ok().json(json!({
                "access_token": token, "token_type": "bearer",
            })),
            None => Refusal::new(
                400,
                100,
                "Invalid verification code format.",
                "The code was used, or is too old.",
            )
            .answer(),
        }
    })
    .await
}

pub(super) async fn register(
    state: Data<State>,
    request: HttpRequest,
    path: Path<(String, String)>,
    body: Bytes,
) -> HttpResponse {
    manage(&state, &request, &path.1, async |token| {
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let pin = body["pin"].as_str().unwrap_or_default();
        if body["messaging_product"] != "whatsapp" || pin.len() != 6 {
            return Err(Refusal::invalid("messaging_product and a pin of six digits are expected."));
        }
        lock(&state.known).number(&path.1, token)?.status = "CONNECTED".to_owned();
        Ok(json!({ "success": true }))
    })
    .await
}
