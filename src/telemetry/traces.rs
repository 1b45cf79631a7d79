//! Traces for an OpenTelemetry collector: how long the door, a turn, its responder and a send took. OTLP over HTTP in its
//! JSON form, which needs nothing that is not here anyway.
//!
//! Only spans of [`TARGET`] go out, and they hold ids of ours, counts and words of ours: never a secret, a number or a text.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;
use url::Url;
use uuid::Uuid;

use crate::runtime::{Clock, http_client};

/// The target of every span that is exported.
pub const TARGET: &str = "switchboard::trace";
/// Spans that wait to be sent; what comes while there are so many is left out.
const WAITING: usize = 8_192;
/// Spans of one request, and how long they are gathered.
const BATCH: usize = 512;
const EVERY: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Gathers spans; what brings them away is to be run by somebody.
pub(super) fn layer<S>(endpoint: &Url) -> (impl Layer<S> + use<S>, impl Future<Output = ()> + Send + use<S>)
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let (sender, spans) = channel(WAITING);
    let ours = |metadata: &Metadata<'_>| metadata.is_span() && metadata.target() == TARGET;
    let mut address = endpoint.clone();
    address.set_path(&format!("{}/v1/traces", endpoint.path().trim_end_matches('/')));
    (Gather { sender, clock: Clock::system() }.with_filter(filter_fn(ours)), bring(address, spans))
}

struct Gather {
    sender: Sender<Value>,
    clock: Clock,
}

/// What is known of a span while it lasts.
struct Open {
    trace: String,
    span: String,
    parent: Option<String>,
    /// Unix nanoseconds, to the millisecond.
    start: i64,
    since: Instant,
    fields: Fields,
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), json!({ "stringValue": format!("{value:?}") }));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), json!({ "stringValue": value }));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), json!({ "intValue": value.to_string() }));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), json!({ "intValue": value.to_string() }));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Gather {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let above = span.parent().and_then(|parent| {
            let extensions = parent.extensions();
            extensions.get::<Open>().map(|open| (open.trace.clone(), open.span.clone()))
        });
        let (trace, parent) = match above {
            Some((trace, parent)) => (trace, Some(parent)),
            None => (Uuid::new_v4().simple().to_string(), None),
        };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let start = self.clock.now_ms().saturating_mul(1_000_000);
        let name = hex::encode(&Uuid::new_v4().as_bytes()[8..]);
        span.extensions_mut().insert(Open {
            trace,
            span: name,
            parent,
            start,
            since: Instant::now(),
            fields,
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            values.record(&mut open.fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<Open>() else { return };
        let lasted = i64::try_from(open.since.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let attributes: Vec<Value> =
            open.fields.0.into_iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
        // Full: the collector is away, and nobody waits for it.
        let _ = self.sender.try_send(json!({
            "traceId": open.trace, "spanId": open.span, "parentSpanId": open.parent.unwrap_or_default(),
            "name": span.name(), "kind": 1, "attributes": attributes,
            "startTimeUnixNano": open.start.to_string(),
            "endTimeUnixNano": open.start.saturating_add(lasted).to_string(),
        }));
    }
}

/// Brings spans to the collector until nobody gathers any more.
async fn bring(address: Url, mut spans: Receiver<Value>) {
    let Ok(http) = http_client(TIMEOUT).build() else { return };
    let mut batch = Vec::with_capacity(BATCH);
    let mut away = false;
    while spans.recv_many(&mut batch, BATCH).await > 0 {
        let more = async { while batch.len() < BATCH && spans.recv_many(&mut batch, BATCH).await > 0 {} };
        let _ = tokio::time::timeout(EVERY, more).await;
        let body = request(std::mem::take(&mut batch));
        let sent =
            http.post(address.clone()).header("content-type", "application/json").body(body).send().await;
        let problem = match sent {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(answer.status().to_string()),
            Err(error) => Some(error.without_url().to_string()),
        };
        // Once an outage: traces are worth a line, and no more.
        if let Some(problem) = problem.as_ref().filter(|_| !away) {
            tracing::warn!(problem, "the collector takes no traces; they are lost until it does");
        }
        away = problem.is_some();
    }
}

fn request(spans: Vec<Value>) -> String {
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let resource = [text("service.name", "switchboard"), text("service.version", env!("CARGO_PKG_VERSION"))];
    json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{ "scope": { "name": "switchboard" }, "spans": spans }],
    }] })
    .to_string()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// A collector that takes one request; its head and body.
    fn collector() -> (Url, std::thread::JoinHandle<String>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/otlp/", listener.local_addr().unwrap()).parse().unwrap();
        let taken = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
            loop {
                let n = stream.read(&mut buffer).unwrap();
                got.extend_from_slice(&buffer[..n]);
                let text = String::from_utf8_lossy(&got).into_owned();
                let length = text
                    .to_lowercase()
                    .split("content-length: ")
                    .nth(1)
                    .map(|rest| rest.split("\r\n").next().unwrap().parse::<usize>().unwrap());
                if let (Some((_, body)), Some(length)) = (text.split_once("\r\n\r\n"), length)
                    && body.len() >= length
                {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
                    return text;
                }
            }
        });
        (url, taken)
    }

    #[tokio::test]
    async fn spans_reach_the_collector_with_their_parents() {
        let (url, taken) = collector();
        let (layer, bringing) = layer(&url);
        let bringing = tokio::spawn(bringing);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let turn =
                tracing::info_span!(target: TARGET, "turn", turn = "t-1", outcome = tracing::field::Empty);
            turn.in_scope(|| {
                tracing::info_span!(target: TARGET, "responder", tries = 2).in_scope(|| {});
                tracing::info_span!("somebody else's", secret = "x").in_scope(|| {});
            });
            turn.record("outcome", "answered");
        });
        tokio::time::timeout(Duration::from_secs(20), bringing).await.unwrap().unwrap();
        let request = taken.join().unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /otlp/v1/traces HTTP/1.1"), "{head}");
        let body: Value = serde_json::from_str(body).unwrap();
        let resource = &body["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "switchboard");
        let spans = resource["scopeSpans"][0]["spans"].as_array().unwrap();
        let [inner, outer] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!((&inner["name"], &outer["name"]), (&json!("responder"), &json!("turn")));
        assert_eq!((&inner["traceId"], &inner["parentSpanId"]), (&outer["traceId"], &outer["spanId"]));
        assert_eq!(outer["traceId"].as_str().map(str::len), Some(32));
        assert_eq!(inner["attributes"], json!([{"key": "tries", "value": {"intValue": "2"}}]));
        assert!(outer["attributes"].to_string().contains("answered"), "{outer}");
        let time = |name: &str| outer[name].as_str().unwrap().parse::<i64>().unwrap();
        assert!(time("startTimeUnixNano") > 1_600_000_000_000_000_000);
        assert!(time("endTimeUnixNano") >= time("startTimeUnixNano"));
    }
}
