//! What ours is compared with: the same HTTP server and the same checks, with less behind them.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement, TransactionTrait};
use serde_json::json;
use sha2::{Digest, Sha256};
use switchboard::graph::client::GraphClient;
use switchboard::graph::messages;
use switchboard::graph::payload::{self, Change};
use switchboard::graph::signature::{self, Signature};
use switchboard::inbox::normalize::normalize;
use switchboard::message::{Entry, Item, Recipient, Role};
use switchboard::news::Newsroom;
use switchboard::outbox::format;
use switchboard::responder::{Call, Responders};
use switchboard::routing::Routing;
use switchboard::runtime;
use switchboard::secret::Ring;
use switchboard::store::{Location, Store};
use tokio_util::sync::CancellationToken;

use super::{APP_SECRET, Failure, KEYS};

/// What happens to a body that is signed and about a number we know.
#[derive(Clone)]
enum Then {
    /// Nothing.
    Nothing,
    /// It is stored, in a transaction of its own.
    Store(DatabaseConnection),
    /// The response API is asked and the answer sent; nothing is stored.
    Forward(Arc<(Responders, GraphClient)>),
}

#[derive(Clone)]
struct Server {
    routing: Routing,
    then: Then,
}

/// Runs one of them over the accounts of `database`; prints its address. Never ends.
pub async fn run(kind: &str, database: &str, world: &str) -> Result<(), Failure> {
    let location = Location::parse(database)?;
    let store = Store::open(&location).await?;
    let ring = Ring::parse(&KEYS.to_owned().into())?;
    let routing = Routing::new(store.clone(), ring, Newsroom::open(store, CancellationToken::new()));
    let then = match kind {
        "one-tx" => Then::Store(connect(&location).await?),
        "forward" => Then::Forward(Arc::new((
            Responders::new(Some(world.parse()?), "/response".into(), true)?,
            GraphClient::new(world.parse()?, "v26.0", runtime::http_client(Duration::from_secs(30)).build()?),
        ))),
        _ => Then::Nothing,
    };
    let server = web::Data::new(Server { routing, then });
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}", listener.local_addr()?);
    let app = move || App::new().app_data(server.clone()).route("/webhook", web::post().to(receive));
    Ok(HttpServer::new(app).disable_signals().listen(listener)?.run().await?)
}

/// As durable as ours: SQLite with a log and `synchronous=FULL` over one connection, PostgreSQL with its defaults.
async fn connect(location: &Location) -> Result<DatabaseConnection, Failure> {
    let (url, connections) = match location {
        Location::Sqlite(path) => (format!("sqlite://{}?mode=rwc", path.display()), 1),
        Location::Postgres(url) => (url.clone(), 16),
    };
    let mut options = ConnectOptions::new(url);
    options.max_connections(connections).min_connections(connections).sqlx_logging(false);
    options.acquire_timeout(Duration::from_secs(20)).test_before_acquire(false);
    options.map_sqlx_sqlite_opts(|o| o.pragma("journal_mode", "wal").pragma("synchronous", "full"));
    Ok(Database::connect(options).await?)
}

async fn receive(server: web::Data<Server>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let header = request.headers().get(signature::HEADER);
    let signature = header.and_then(|value| Signature::parse(value.to_str().ok()?));
    if !signature.is_some_and(|signature| signature.matches(APP_SECRET.as_bytes(), &body)) {
        return HttpResponse::Unauthorized().finish();
    }
    match work(&server, &body).await {
        Ok(()) => HttpResponse::Ok().json(json!({ "success": true, "message": "Webhook received" })),
        Err(error) => {
            eprintln!("{error}");
            HttpResponse::ServiceUnavailable().finish()
        }
    }
}

async fn work(server: &Server, body: &[u8]) -> Result<(), Failure> {
    for change in payload::split(body)?.changes {
        let number = change.phone_number_id.as_deref().ok_or("no number")?;
        let accounts = server.routing.accounts(number).await?;
        let account = accounts.first().ok_or("nobody's number")?;
        match &server.then {
            Then::Nothing => {}
            Then::Store(db) => store(db, change).await?,
            Then::Forward(clients) => {
                for item in normalize(&change) {
                    let Item::Message(message) = item else { continue };
                    let phone = message.sender.wa_id.ok_or("no phone")?;
                    let turn_id = uuid::Uuid::now_v7();
                    let call = Call {
                        turn_id,
                        chatbot_id: &account.chatbot.id,
                        api_key: account.chatbot.api_key.as_ref(),
                        settings: &account.chatbot.responder,
                        entries: &[Entry { role: Role::User, content: message.text }],
                        unique_client_id: &format!("whatsapp_{phone}_{}", account.chatbot.id),
                        phone: Some(&phone),
                        seen: None,
                    };
                    let answer = clients.0.ask(&call, 0).await?;
                    let text = format::to_whatsapp(&answer.text);
                    let body = messages::text(&Recipient::Phone(phone), &text, &turn_id.to_string());
                    clients.1.send(number, &account.credentials, &body).await?;
                }
            }
        }
    }
    Ok(())
}

/// The same two rows, the event and that it is open, with one commit, as it is usually written.
async fn store(db: &DatabaseConnection, change: Change) -> Result<(), Failure> {
    let text = "insert into webhook_events (digest,entry_id,field,phone_number_id,verified_by,by_platform,raw,\
                received_at) values ($1,$2,$3,$4,$5,$6,$7,$8) on conflict do nothing returning id";
    let state = "insert into event_states (event_id,state,phone_number_id,attempts,at) values ($1,'received',$2,1,$3)";
    let values = [
        Sha256::digest(&change.raw).to_vec().into(),
        change.entry_id.into(),
        change.field.into(),
        change.phone_number_id.clone().into(),
        "".into(),
        true.into(),
        change.raw.into(),
        0_i64.into(),
    ];
    let tx = db.begin().await?;
    let backend = db.get_database_backend();
    if let Some(row) = tx.query_one_raw(Statement::from_sql_and_values(backend, text, values)).await? {
        let id: i64 = row.try_get("", "id")?;
        let values = [id.into(), change.phone_number_id.into(), 0_i64.into()];
        tx.execute_raw(Statement::from_sql_and_values(backend, state, values)).await?;
    }
    Ok(tx.commit().await?)
}
