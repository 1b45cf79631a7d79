//! The dashboard: its built files, embedded, and one page for all of its addresses.
//!
//! `dashboard/dist` is built with Node and committed, so that building the server needs none. The page carries a nonce
//! of its own for the styles that its components make, since the policy allows no others; scripts are files only.

mod components;

use actix_web::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, VARY,
};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use rust_embed::RustEmbed;

/// The first words of the page's addresses; what follows them is the page's own affair.
const PAGES: [&str; 19] = [
    "analytics",
    "alerts",
    "api-keys",
    "audit",
    "chatbots",
    "contacts",
    "conversations",
    "failures",
    "invite",
    "login",
    "numbers",
    "settings",
    "setup",
    "team",
    "tenants",
    "trace",
    "webhooks",
    "welcome",
    "whatsapp-connect",
];

/// What stands in the page where its nonce belongs.
const NONCE: &str = "{{nonce}}";

#[derive(RustEmbed)]
#[folder = "dashboard/dist"]
struct Files;

/// Serves the page and its files, and the components for other people's pages.
pub fn configure(config: &mut web::ServiceConfig) {
    components::configure(config);
    config.route("/", web::get().to(page)).route("/assets/{name}", web::get().to(asset));
    for name in PAGES {
        config.route(&format!("/{name}"), web::get().to(page));
        config.route(&format!("/{name}/{{rest:.*}}"), web::get().to(page));
    }
}

/// The page, never kept: it names the files of the latest build.
async fn page() -> HttpResponse {
    let mut bytes = [0; 18];
    let index = Files::get("index.html");
    let (Some(index), Ok(())) = (index, getrandom::fill(&mut bytes)) else {
        return HttpResponse::InternalServerError().body("The dashboard cannot be shown.");
    };
    let nonce = BASE64_STANDARD_NO_PAD.encode(bytes);
    let policy = format!(
        "default-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data: blob:; media-src 'self' blob:; \
         object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .content_type("text/html; charset=utf-8")
        .body(String::from_utf8_lossy(&index.data).replace(NONCE, &nonce))
}

/// A file of the build. Its name says what is in it, so it is kept forever; compressed when the caller takes that.
async fn asset(request: HttpRequest, name: web::Path<String>) -> HttpResponse {
    let accepted =
        request.headers().get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let path = format!("assets/{name}");
    let kind = match path.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        // Compressed twins and strangers are not files of the page.
        _ => return HttpResponse::NotFound().finish(),
    };
    let compressed = [("br", "br"), ("gzip", "gz")].into_iter().find_map(|(encoding, ending)| {
        let file = takes(accepted, encoding).then(|| Files::get(&format!("{path}.{ending}")))??;
        Some((file, Some(encoding)))
    });
    let Some((file, encoding)) = compressed.or_else(|| Some((Files::get(&path)?, None))) else {
        return HttpResponse::NotFound().finish();
    };
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .insert_header((VARY, "Accept-Encoding"))
        .content_type(kind);
    if let Some(encoding) = encoding {
        answer.insert_header((CONTENT_ENCODING, encoding));
    }
    answer.body(file.data.into_owned())
}

/// Whether an `Accept-Encoding` takes this encoding: named, and not with a weight of zero.
fn takes(accepted: &str, encoding: &str) -> bool {
    accepted.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        named && weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0))
    })
}

#[cfg(test)]
mod tests;
