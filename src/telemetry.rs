//! What the program says about itself: logs for people, numbers for Prometheus.
//!
//! And, where a collector is named, traces. None of them ever holds a body, a query string (it may carry a verify token), a name or a phone number.

pub mod traces;

use std::{io::IsTerminal, sync::OnceLock};

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::Span;
use tracing_actix_web::{RequestId, RootSpanBuilder};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};
use url::Url;

/// What is logged unless `RUST_LOG` says otherwise: ourselves, and the libraries only when they complain.
/// sqlx and sea-orm would write statements with their values.
pub const DEFAULT_FILTER: &str = "warn,switchboard=info,sqlx=off,sea_orm=off,sea_orm_migration=info";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Short lines for a person at a terminal.
    Text,
    /// One JSON object a line, for a log collector.
    Json,
}

/// Why logging or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` is not a filter.
    #[error("RUST_LOG: expected a filter such as `info` or `warn,switchboard=debug`: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// What should be the collector's address is none.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT: expected an address such as `http://localhost:4318`")]
    Collector,
    /// Another part of the process already has the recorder.
    #[error("metrics: {0}")]
    Recorder(#[from] metrics_exporter_prometheus::BuildError),
}

/// Starts logging to standard error, and bringing traces to the collector at `traces`. `filter` is the value of `RUST_LOG`;
/// a second call in one process keeps the first one's settings.
///
/// # Errors
/// [`TelemetryError::Filter`] for an unreadable filter.
pub fn init(format: Format, filter: Option<&str>, traces: Option<&str>) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(filter.unwrap_or(DEFAULT_FILTER))?;
    // Spans for the collector are none of the log's, whatever it is told to hold.
    let filter = filter.add_directive(format!("{}=off", traces::TARGET).parse()?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let collector = traces.map(collector).transpose()?;
    let traces = collector.map(|endpoint| {
        let (layer, bringing) = traces::layer(&endpoint);
        tokio::spawn(bringing);
        layer
    });
    let registry = tracing_subscriber::registry().with(traces);
    // `Err` means that logging is on already, as when several tests start an app in one process.
    let _ = match format {
        Format::Text => {
            let lines = lines.with_target(false).with_ansi(std::io::stderr().is_terminal());
            registry.with(lines.with_filter(filter)).try_init()
        }
        Format::Json => registry.with(lines.json().flatten_event(true).with_filter(filter)).try_init(),
    };
    Ok(())
}

/// Where traces go.
fn collector(address: &str) -> Result<Url, TelemetryError> {
    let url =
        address.parse().ok().filter(|url: &Url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    url.ok_or(TelemetryError::Collector)
}

/// Names of the metrics, so that what is counted and what is described cannot drift apart.
pub mod metric {
    /// Counter: changes that were stored, by `new` (`yes`, or `no` for a repeated delivery).
    pub const EVENTS: &str = "switchboard_events_total";
    /// Counter: bodies whose signature was missing, malformed or wrong.
    pub const SIGNATURES_REFUSED: &str = "switchboard_signatures_refused_total";
    /// Counter: verifications with a wrong token.
    pub const VERIFICATIONS_REFUSED: &str = "switchboard_verifications_refused_total";
    /// Counter: bodies answered with 503.
    pub const WEBHOOKS_UNAVAILABLE: &str = "switchboard_webhooks_unavailable_total";
    /// Counter: changes signed by another account's secret than their number's.
    pub const SECRET_BINDING_REFUSED: &str = "switchboard_secret_binding_refused_total";
    /// Counter: events that could not be read or stored.
    pub const EVENTS_QUARANTINED: &str = "switchboard_events_quarantined_total";
    /// Counter: messages by `direction` (`in`, `out`) and `chatbot`.
    pub const MESSAGES: &str = "switchboard_messages_total";
    /// Histogram, seconds: how long a turn's answer took, tries and waits included, by `chatbot`.
    pub const RESPONDER_SECONDS: &str = "switchboard_responder_seconds";
    /// Counter: turns without an answer, by `chatbot` and `reason`.
    pub const TURNS_DEAD: &str = "switchboard_turns_dead_total";
    /// Counter: attempts by `outcome` (accepted, refused, not_sent, unknown) and Meta's `code`.
    pub const SENDS: &str = "switchboard_sends_total";
    /// Counter: tries to fetch a customer's file, by `outcome` (stored, missed, failed).
    pub const MEDIA: &str = "switchboard_media_total";
    /// Counter: deliveries of which nobody knows whether they went out.
    pub const DELIVERIES_UNKNOWN: &str = "switchboard_deliveries_unknown_total";
    /// Counter: tries to tell tenants' systems of an event, by `outcome` (delivered, refused, timeout, …).
    pub const EVENT_TRIES: &str = "switchboard_event_tries_total";
    /// Counter: webhooks of WAHA for which no tenant is known.
    pub const EVENTS_UNRESOLVED: &str = "switchboard_waha_unresolved_total";
    /// Counter: sessions that came to stand elsewhere, by `state` and `reason`.
    pub const SESSION_STATES: &str = "switchboard_session_states_total";
    /// Counter: writes of what was seen of sessions, by `outcome` (stored, failed): how reliably they are kept, and how
    /// reliable the database is to them.
    pub const SESSION_WRITES: &str = "switchboard_session_writes_total";
    /// Counter: pairings by `outcome` (paired, failed): the success rate of linking phones.
    pub const SESSION_PAIRINGS: &str = "switchboard_session_pairings_total";
    /// Counter: runs of a clean-up, by `what` (sessions, files).
    pub const SESSION_CLEANUPS: &str = "switchboard_session_cleanups_total";
    /// Counter: what they removed.
    pub const SESSION_CLEANED: &str = "switchboard_session_cleaned_total";
    /// Gauge, Unix seconds: when the last one ran.
    pub const SESSION_CLEANUP_AT: &str = "switchboard_session_cleanup_timestamp_seconds";
    /// Histogram, seconds: how long Meta waited for our answer to a webhook that was stored.
    pub const WEBHOOK_SECONDS: &str = "switchboard_webhook_seconds";
    /// Histogram, seconds: how long Graph took for a message.
    pub const SEND_SECONDS: &str = "switchboard_send_seconds";
    /// Gauge: items at each `station` (inbox, conversation, outbox), by `state`.
    pub const ITEMS: &str = "switchboard_items";
    /// Gauge, seconds: age of the oldest item waiting, by `station` (inbox, conversation, outbox).
    pub const OLDEST_WAITING_SECONDS: &str = "switchboard_oldest_waiting_seconds";
}

/// Bucket edges in seconds: fine around Meta's 250 ms and 1 s, up to a responder's 90 s.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 90.0];

/// The process's metrics: `render()` gives the Prometheus text, `run_upkeep()` wants a call every few seconds.
/// The recorder is installed at the first call; every app of one process shares it.
///
/// # Errors
/// [`TelemetryError::Recorder`] when another recorder is installed already.
pub fn metrics() -> Result<PrometheusHandle, TelemetryError> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    static INSTALLING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one_at_a_time = INSTALLING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()?;
    describe();
    Ok(HANDLE.get_or_init(|| handle).clone())
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(metric::EVENTS, "Changes stored; new=no is a repeated delivery");
    describe_counter!(metric::SIGNATURES_REFUSED, "Webhook bodies with a missing or wrong signature");
    describe_counter!(metric::VERIFICATIONS_REFUSED, "Verifications with a wrong token");
    describe_counter!(metric::WEBHOOKS_UNAVAILABLE, "Webhook bodies answered with 503");
    describe_counter!(metric::SECRET_BINDING_REFUSED, "Changes signed by another account's secret");
    describe_counter!(metric::EVENTS_QUARANTINED, "Events that could not be read or stored");
    describe_counter!(metric::MEDIA, "Tries to fetch a customer's file, by outcome");
    describe_counter!(metric::MESSAGES, "Messages by direction and chatbot");
    describe_histogram!(metric::RESPONDER_SECONDS, "Time until a turn's answer, by chatbot");
    describe_counter!(metric::TURNS_DEAD, "Turns without an answer, by chatbot and reason");
    describe_counter!(metric::SENDS, "Attempts to send by outcome and Meta's code");
    describe_counter!(metric::DELIVERIES_UNKNOWN, "Deliveries that may or may not have gone out");
    describe_counter!(metric::EVENT_TRIES, "Tries to tell tenants' systems of an event, by outcome");
    describe_counter!(metric::EVENTS_UNRESOLVED, "Webhooks of WAHA for which no tenant is known");
    describe_counter!(metric::SESSION_STATES, "Sessions that came to stand elsewhere, by state and reason");
    describe_counter!(metric::SESSION_WRITES, "Writes of what was seen of sessions, by outcome");
    describe_counter!(metric::SESSION_PAIRINGS, "Phones that were linked, or not, by outcome");
    describe_counter!(metric::SESSION_CLEANUPS, "Runs of a clean-up of sessions or their files");
    describe_counter!(metric::SESSION_CLEANED, "Sessions or files removed by clean-ups");
    describe_gauge!(metric::SESSION_CLEANUP_AT, "When a clean-up last ran");
    describe_histogram!(metric::WEBHOOK_SECONDS, "Time until a stored webhook was answered");
    describe_histogram!(metric::SEND_SECONDS, "Time Graph took for a message");
    describe_gauge!(metric::ITEMS, "Items at each station, by state");
    describe_gauge!(metric::OLDEST_WAITING_SECONDS, "Age of the oldest waiting item by station");
}

/// The span around every request, for `TracingLogger::<RequestSpan>::new()`: method, route pattern, request id
/// and status. The library's own would log the full target, and with it verify tokens and phone numbers.
#[derive(Debug)]
pub struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        use actix_web::HttpMessage;
        let request_id = request.extensions().get::<RequestId>().map(ToString::to_string).unwrap_or_default();
        tracing::info_span!(
            "request",
            method = %request.method(),
            route = request.match_pattern().as_deref().unwrap_or("unmatched"),
            request_id,
            status = tracing::field::Empty,
        )
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        let status = match outcome {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        span.record("status", status.as_u16());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    use actix_web::{App, HttpResponse, test, web};
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;
        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[test]
    async fn a_request_is_logged_by_its_pattern_without_its_secrets() {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(lines.clone())
            .with_ansi(false)
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::CLOSE)
            .finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let app = test::init_service(
            App::new()
                .wrap(tracing_actix_web::TracingLogger::<RequestSpan>::new())
                .route("/contacts/{phone}", web::get().to(HttpResponse::Forbidden)),
        )
        .await;
        for uri in ["/contacts/15551234567?hub.verify_token=hunter2", "/15551234567?token=hunter2"] {
            test::call_service(&app, test::TestRequest::get().uri(uri).to_request()).await;
        }
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("/contacts/{phone}") && text.contains("status=403"), "{text}");
        assert!(text.contains("unmatched") && text.contains("status=404"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("15551234567"), "{text}");
    }

    #[test]
    async fn metrics_are_one_for_the_process_and_speak_prometheus() {
        let (first, second) = (metrics().unwrap(), metrics().unwrap());
        metrics::counter!(metric::SENDS, "outcome" => "refused", "code" => "131056").increment(2);
        metrics::histogram!(metric::RESPONDER_SECONDS).record(0.2);
        for text in [first.render(), second.render()] {
            assert!(
                text.contains("switchboard_sends_total{outcome=\"refused\",code=\"131056\"} 2"),
                "{text}"
            );
            assert!(text.contains("switchboard_responder_seconds_bucket{le=\"0.25\"}"), "{text}");
        }
    }

    #[test]
    async fn a_filter_is_read_or_refused() {
        assert!(EnvFilter::try_new(DEFAULT_FILTER).is_ok());
        assert!(matches!(init(Format::Json, Some("switchboard=loud"), None), Err(TelemetryError::Filter(_))));
    }

    #[test]
    async fn traces_go_to_an_address_or_nowhere() {
        for address in ["localhost:4318", "ftp://localhost", "http://", "4318", ""] {
            assert!(matches!(collector(address), Err(TelemetryError::Collector)), "{address}");
        }
        assert!(collector("http://localhost:4318").is_ok());
    }
}
