//! Which other sites' pages may read our answers: those of a component token's site, at the addresses that bear its tag.
//! Everywhere else there is not one word of CORS, so browsers keep other sites out.

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue,
    ORIGIN, VARY,
};
use actix_web::middleware::Next;
use actix_web::web;

use super::super::Parts;
use super::token::is_site;

/// Below here stand the addresses that components call.
const BELOW: &str = "/api/v1/components/";

/// Middleware: answers a browser's question beforehand, and names the site in every answer to it.
pub async fn for_sites(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    if !request.path().starts_with(BELOW) {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let site = site_of(&request);
    let asks =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match &site {
        Some(_) if asks => request.into_response(HttpResponse::NoContent().finish()),
        _ => next.call(request).await?.map_into_boxed_body(),
    };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let Some(site) = site else { return Ok(response) };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, site);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("x-request-id, retry-after"));
    if asks {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        let allowed = "authorization, content-type, idempotency-key";
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    Ok(response)
}

/// The asking site, if the address is its own.
fn site_of(request: &ServiceRequest) -> Option<HeaderValue> {
    let origin = request.headers().get(ORIGIN)?;
    let parts = request.app_data::<web::Data<Parts>>()?;
    let tag = request.path().strip_prefix(BELOW)?.split('/').next()?;
    is_site(&parts.ring, tag, origin.to_str().ok()?).then(|| origin.clone())
}
