//! The stand-in's endpoints, as WAHA answers them: codes, shapes and waits.

use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Data, Json, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Line, Sent, State, Version, fresh_id};
use crate::sandbox::{lock, now_ms};

pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/ping", web::get().to(async || HttpResponse::Ok().json(json!({ "message": "pong" }))))
        .service(
            web::scope("/api")
                .wrap(from_fn(guard))
                .service(web::resource("/sessions").get(list).post(create))
                .service(web::resource("/sessions/{name}").get(one).put(replace).delete(remove))
                .route("/sessions/{name}/{action}", web::post().to(act))
                .route("/server/version", web::get().to(version))
                .route("/contacts/check-exists", web::get().to(check_exists))
                .route("/sendText", web::post().to(send_text))
                .route("/sendSeen", web::post().to(send_seen))
                .route("/startTyping", web::post().to(typing))
                .route("/stopTyping", web::post().to(typing))
                .route("/{name}/auth/qr", web::get().to(qr))
                .route("/{name}/auth/request-code", web::post().to(request_code))
                .route("/{name}/lids/{lid}", web::get().to(lid)),
        );
}

async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let wanted = request.app_data::<Data<State>>().and_then(|state| lock(&state.options).key.clone());
    let given = request.headers().get("X-Api-Key").and_then(|key| key.to_str().ok());
    if wanted.is_some() && wanted.as_deref() != given {
        let answer =
            HttpResponse::Unauthorized().json(json!({ "message": "Unauthorized", "statusCode": 401 }));
        return Ok(request.into_response(answer).map_into_boxed_body());
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

async fn version(state: Data<State>) -> HttpResponse {
    let version = if lock(&state.options).version == Version::Old { "2024.10.8" } else { "2026.7.1" };
    HttpResponse::Ok().json(json!({ "version": version, "engine": "NOWEB", "tier": "CORE", "browser": null }))
}

fn unprocessable(message: &str) -> HttpResponse {
    HttpResponse::UnprocessableEntity()
        .json(json!({ "message": message, "error": "Unprocessable Entity", "statusCode": 422 }))
}

fn missing() -> HttpResponse {
    HttpResponse::NotFound().json(json!({ "message": "Session not found", "statusCode": 404 }))
}

fn info(state: &State, name: &str) -> Option<Value> {
    let line = lock(&state.lines).get(name).cloned()?;
    let me = if line.status == "WORKING" { state.me(name) } else { Value::Null };
    Some(
        json!({ "name": name, "status": line.status, "config": line.config, "me": me, "engine": { "engine": "NOWEB" } }),
    )
}

async fn list(state: Data<State>, query: Query<Value>) -> HttpResponse {
    let names: Vec<String> = lock(&state.lines).keys().cloned().collect();
    let all = query["all"] == "true";
    let infos = names.iter().filter_map(|name| info(&state, name));
    let shown: Vec<Value> = infos.filter(|info| all || info["status"] != "STOPPED").collect();
    HttpResponse::Ok().json(shown)
}

async fn create(state: Data<State>, body: Json<Value>) -> HttpResponse {
    let name = body["name"].as_str().unwrap_or("default").to_owned();
    if lock(&state.options).version == Version::Old && name != "default" {
        return unprocessable(
            "WAHA Core support only 'default' session. If you want to run more, get WAHA PLUS.",
        );
    }
    if lock(&state.lines).contains_key(&name) {
        return unprocessable(&format!("Session '{name}' already exists. Use PUT to update it."));
    }
    let line = Line {
        status: "STOPPED".into(),
        config: body["config"].clone(),
        phone: None,
        round: 0,
        seed: fresh_id(),
    };
    lock(&state.lines).insert(name.clone(), line);
    if body["start"] != false {
        run(&state, &name);
    }
    HttpResponse::Created().json(info(&state, &name))
}

/// Starting, then working or showing a code.
fn run(state: &Data<State>, name: &str) {
    state.turn(name, "STARTING");
    let (state, name) = (state.clone(), name.to_owned());
    actix_web::rt::spawn(async move {
        actix_web::rt::time::sleep(Duration::from_millis(30)).await;
        let (starting, linked) = match lock(&state.lines).get(&name) {
            Some(line) => (line.status == "STARTING", line.phone.is_some()),
            None => return,
        };
        if starting {
            state.turn(&name, if linked { "WORKING" } else { "SCAN_QR_CODE" });
        }
    });
}

async fn one(state: Data<State>, name: Path<String>) -> HttpResponse {
    info(&state, &name).map_or_else(missing, |info| HttpResponse::Ok().json(info))
}

async fn replace(state: Data<State>, name: Path<String>, body: Json<Value>) -> HttpResponse {
    match lock(&state.lines).get_mut(name.as_str()) {
        Some(line) => line.config = body["config"].clone(),
        None => return missing(),
    }
    HttpResponse::Ok().json(info(&state, &name))
}

async fn remove(state: Data<State>, name: Path<String>) -> HttpResponse {
    lock(&state.lines).remove(name.as_str());
    HttpResponse::Ok().finish()
}

async fn act(state: Data<State>, path: Path<(String, String)>) -> HttpResponse {
    let (name, action) = path.into_inner();
    let Some(running) = lock(&state.lines).get(&name).map(|line| line.status != "STOPPED") else {
        return missing();
    };
    match action.as_str() {
        "start" if running => {}
        "start" => run(&state, &name),
        "stop" => state.turn(&name, "STOPPED"),
        "restart" => run(&state, &name),
        "logout" => {
            if let Some(line) = lock(&state.lines).get_mut(&name) {
                line.phone = None;
                line.seed = fresh_id();
            }
            if running {
                run(&state, &name);
            }
        }
        _ => return HttpResponse::NotFound().finish(),
    }
    HttpResponse::Created().json(info(&state, &name))
}

/// Waits for a session to stand there; the 422 of one that does not.
async fn ready(state: &State, name: &str, wanted: &str) -> Result<(), HttpResponse> {
    let patience = lock(&state.options).patience;
    let end = actix_web::rt::time::Instant::now() + patience;
    loop {
        let status = lock(&state.lines).get(name).map(|line| line.status.clone());
        match status {
            None => return Err(missing()),
            Some(status) if status == wanted => return Ok(()),
            Some(status) if actix_web::rt::time::Instant::now() >= end => {
                return Err(HttpResponse::UnprocessableEntity().json(json!({
                    "error": "Session status is not as expected. Try again later or restart the session",
                    "session": name, "status": status, "expected": [wanted],
                })));
            }
            Some(_) => actix_web::rt::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn qr(state: Data<State>, name: Path<String>) -> HttpResponse {
    if let Err(answer) = ready(&state, &name, "SCAN_QR_CODE").await {
        return answer;
    }
    let value =
        lock(&state.lines).get(name.as_str()).map(|line| format!("2@{}{},a,b,c", line.seed, line.round));
    HttpResponse::Ok().json(json!({ "value": value }))
}

async fn request_code(state: Data<State>, name: Path<String>) -> HttpResponse {
    match ready(&state, &name, "SCAN_QR_CODE").await {
        Ok(()) => HttpResponse::Created().json(json!({ "code": "ABCD-EFGH" })),
        Err(answer) => answer,
    }
}

async fn lid(state: Data<State>, path: Path<(String, String)>) -> HttpResponse {
    let (_, lid) = path.into_inner();
    let phone = lock(&state.lids).get(&lid).map(|phone| format!("{phone}@c.us"));
    HttpResponse::Ok().json(json!({ "lid": lid, "pn": phone }))
}

#[derive(Deserialize)]
struct Exists {
    phone: String,
    session: String,
}

/// Numbers that end in 0000 have no WhatsApp.
async fn check_exists(state: Data<State>, query: Query<Exists>) -> HttpResponse {
    if let Err(answer) = ready(&state, &query.session, "WORKING").await {
        return answer;
    }
    let exists = !query.phone.ends_with("0000");
    let chat = exists.then(|| format!("{}@c.us", query.phone));
    HttpResponse::Ok().json(json!({ "numberExists": exists, "chatId": chat }))
}

async fn typing(state: Data<State>, request: HttpRequest, body: Json<Value>) -> HttpResponse {
    let (session, chat) = (word(&body, "session"), word(&body, "chatId"));
    if let Err(answer) = ready(&state, &session, "WORKING").await {
        return answer;
    }
    if request.path().ends_with("startTyping") {
        lock(&state.typing).insert(format!("{session}/{chat}"), true);
    }
    HttpResponse::Created().json(json!({ "result": true }))
}

async fn send_seen(state: Data<State>, body: Json<Value>) -> HttpResponse {
    if let Err(answer) = ready(&state, &word(&body, "session"), "WORKING").await {
        return answer;
    }
    if body["messageId"].is_null() && lock(&state.options).version == Version::Old {
        let words = "Cannot read properties of undefined (reading 'includes')";
        return HttpResponse::InternalServerError()
            .json(json!({ "statusCode": 500, "exception": { "message": words, "name": "TypeError" } }));
    }
    lock(&state.seen).push(body.into_inner());
    HttpResponse::Created().finish()
}

async fn send_text(state: Data<State>, body: Json<Value>) -> HttpResponse {
    let (session, chat, text) = (word(&body, "session"), word(&body, "chatId"), word(&body, "text"));
    if let Err(answer) = ready(&state, &session, "WORKING").await {
        return answer;
    }
    let id = fresh_id();
    let typed = lock(&state.typing).remove(&format!("{session}/{chat}")).unwrap_or(false);
    lock(&state.sent).push(Sent {
        session: session.clone(),
        chat: chat.clone(),
        text: text.clone(),
        id: id.clone(),
        typed,
    });
    let whole = format!("true_{chat}_{id}");
    // Our own words come back to us, as `message.any` has it.
    let own = json!({
        "id": whole, "timestamp": { "low": now_ms() / 1000, "high": 0, "unsigned": true },
        "from": state.me(&session)["id"], "to": chat, "fromMe": true, "source": "api", "body": text,
        "hasMedia": false, "ack": 1, "ackName": "SERVER",
    });
    state.tell(&session, "message.any", own);
    let acks = lock(&state.acks).clone();
    let (told, name, acked) = (state.clone(), session.clone(), whole.clone());
    actix_web::rt::spawn(async move {
        for ack in acks {
            actix_web::rt::time::sleep(Duration::from_millis(40)).await;
            let payload = json!({ "id": acked, "from": told.me(&name)["id"], "fromMe": true, "ack": ack });
            told.tell(&name, "message.ack", payload);
        }
    });
    HttpResponse::Created().json(match lock(&state.options).version {
        Version::Modern => json!({ "id": whole, "timestamp": now_ms() / 1000, "fromMe": true, "body": text }),
        Version::Old => json!({
            "key": { "remoteJid": chat.replace("@c.us", "@s.whatsapp.net"), "fromMe": true, "id": id },
            "message": { "extendedTextMessage": { "text": text } },
            "messageTimestamp": (now_ms() / 1000).to_string(), "status": "PENDING",
        }),
    })
}

fn word(body: &Value, name: &str) -> String {
    body[name].as_str().unwrap_or_default().to_owned()
}
