//! What browsers are told with every answer: which scripts may run, who may frame us, what may be kept.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::middleware::Next;

/// What pages may load: our own files, and pictures they made themselves. No inline script, no plug-in, no frame.
const PAGES: &str = "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; \
                     form-action 'self'; frame-ancestors 'none'";
/// An answer of the API is no page: it may load nothing at all.
const DATA: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const COOP: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Middleware: the headers of every answer that has not set its own. `https`: the world reaches us by https alone.
pub async fn safe(
    https: bool,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let data = request.path().starts_with("/api");
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    set(headers, CONTENT_SECURITY_POLICY, if data { DATA } else { PAGES });
    set(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(headers, X_FRAME_OPTIONS, "DENY");
    set(headers, REFERRER_POLICY, "no-referrer");
    set(headers, COOP, "same-origin");
    set(headers, CORP, "same-origin");
    if data {
        set(headers, CACHE_CONTROL, "no-store");
    }
    if https {
        set(headers, STRICT_TRANSPORT_SECURITY, "max-age=31536000; includeSubDomains");
    }
    Ok(response)
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    if !headers.contains_key(&name) {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
