//! `switchboard simulate`: plays Meta's signed webhooks at a running server.

pub mod http1;
mod load;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Value, json};
use url::Url;

use crate::sandbox::DEMO_APP_SECRET;
use crate::sandbox::webhook::{self, Answer, Change, Incoming, Sender, Status};

/// Plays Meta's webhooks at a running server.
#[derive(Debug, clap::Args)]
pub struct Simulate {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// A customer writes a text message.
    Message(Message),
    /// Meta tells what became of one of our messages.
    Status(StatusUpdate),
    /// Meta verifies the callback URL.
    Verify(Verify),
    /// Many messages: at a steady rate, or as fast as the connections allow.
    Load(load::Load),
}

/// Where to, and how the answer is shown.
#[derive(Debug, Clone, clap::Args)]
struct Target {
    /// The server; without a path, /webhook is meant.
    #[arg(long, default_value = "http://127.0.0.1:3000/webhook")]
    url: Url,
    /// App secrets to sign with: the first of them; the demo's when absent.
    #[arg(long, env = "FACEBOOK_APP_SECRET", hide_env_values = true, default_value = DEMO_APP_SECRET, hide_default_value = true)]
    secret: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Target {
    fn url(&self) -> Url {
        let mut url = self.url.clone();
        if url.path() == "/" {
            url.set_path("/webhook");
        }
        url
    }

    /// The variable holds current and previous secrets; a blank one means none.
    fn secret(&self) -> &str {
        let first = self.secret.split(',').next().unwrap_or_default().trim();
        if first.is_empty() { DEMO_APP_SECRET } else { first }
    }

    fn sender(&self) -> reqwest::Result<Sender> {
        Sender::new(self.url(), self.secret())
    }
}

#[derive(Debug, clap::Args)]
struct Message {
    #[command(flatten)]
    target: Target,
    /// The business number written to.
    #[arg(long, default_value = "123456789")]
    phone_number_id: String,
    /// Its WABA; `waba-<phone number id>` when absent.
    #[arg(long)]
    business_account_id: Option<String>,
    /// The customer's phone.
    #[arg(long, default_value = "15551234567")]
    from: String,
    /// The customer's name.
    #[arg(long, default_value = "Ann")]
    name: String,
    /// What the customer writes.
    #[arg(long, default_value = "Hello")]
    text: String,
    /// The message's ID; a new one when absent. The same ID twice is Meta delivering twice.
    #[arg(long)]
    wamid: Option<String>,
}

#[derive(Debug, clap::Args)]
struct StatusUpdate {
    #[command(flatten)]
    target: Target,
    /// The business number the message left from.
    #[arg(long, default_value = "123456789")]
    phone_number_id: String,
    /// The message it is about.
    #[arg(long)]
    wamid: String,
    /// sent, delivered, read, played or failed.
    #[arg(long, default_value = "delivered")]
    status: String,
    /// The customer's phone.
    #[arg(long, default_value = "15551234567")]
    from: String,
    /// The message's callback data.
    #[arg(long)]
    callback: Option<String>,
    /// The error code of a failed one.
    #[arg(long)]
    error_code: Option<i64>,
}

#[derive(Debug, clap::Args)]
struct Verify {
    #[command(flatten)]
    target: Target,
    /// The verify token to show.
    #[arg(long, env = "WHATSAPP_VERIFY_TOKEN", hide_env_values = true)]
    verify_token: String,
}

impl Simulate {
    /// Does it; the exit code is 1 when anything was not answered with 200.
    pub async fn run(self) -> ExitCode {
        let done = match self.what {
            What::Message(message) => message.run().await,
            What::Status(status) => status.run().await,
            What::Verify(verify) => verify.run().await,
            What::Load(load) => load.run().await,
        };
        match done {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }
}

/// Why nothing could be simulated.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("no answer: {}", root_cause(.0))]
    Http(#[from] reqwest::Error),
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// The last link says what happened ("connection refused"); the first only where.
fn root_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => root_cause(source),
        None => error.to_string(),
    }
}

/// Whether the answer was a 200.
type Done = Result<bool, Error>;

impl Message {
    async fn run(self) -> Done {
        let mut message = Incoming::text(&self.from, &self.text).with_name(self.name);
        if let Some(wamid) = self.wamid {
            message = message.with_wamid(wamid);
        }
        let wamid = message.wamid.clone();
        let mut change = Change::new(&self.phone_number_id).message(message);
        if let Some(waba) = &self.business_account_id {
            change = change.waba(waba);
        }
        deliver(&self.target, change, &wamid).await
    }
}

impl StatusUpdate {
    async fn run(self) -> Done {
        let mut status = Status::new(&self.wamid, &self.status, &self.from);
        status.callback = self.callback;
        status.error = self.error_code.map(|code| (code, "Simulated".to_owned()));
        deliver(&self.target, Change::new(&self.phone_number_id).status(status), &self.wamid).await
    }
}

impl Verify {
    async fn run(self) -> Done {
        let challenge = uuid::Uuid::new_v4().as_fields().0.to_string();
        let began = Instant::now();
        let answer = self.target.sender()?.verify(&self.verify_token, &challenge).await?;
        let good = answer.status == 200 && answer.body == challenge;
        show(&self.target, &answer, began, json!({ "verified": good }))?;
        Ok(good)
    }
}

async fn deliver(target: &Target, change: Change, wamid: &str) -> Done {
    let sender = target.sender()?;
    let began = Instant::now();
    let answer = sender.send(webhook::body(&[change])).await?;
    show(target, &answer, began, json!({ "wamid": wamid }))?;
    Ok(answer.status == 200)
}

fn show(target: &Target, answer: &Answer, began: Instant, mut details: Value) -> std::io::Result<()> {
    let milliseconds = began.elapsed().as_secs_f64() * 1000.0;
    if target.json {
        details["status"] = answer.status.into();
        details["body"] = answer.body.as_str().into();
        details["ms"] = milliseconds.into();
        writeln!(std::io::stdout(), "{details}")
    } else {
        writeln!(std::io::stdout(), "{} {} ({milliseconds:.1} ms)", answer.status, answer.body)
    }
}

#[cfg(test)]
mod tests;
