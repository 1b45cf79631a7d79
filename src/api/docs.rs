//! `/docs`: the description as a page for people. It comes with the binary, asks nobody else for anything, and reads
//! `/openapi.json` in the browser.

use actix_web::{HttpResponse, web};

/// Serves the page and its two files.
pub fn configure(config: &mut web::ServiceConfig) {
    let file = |kind: &'static str, text: &'static str| {
        web::get().to(move || async move {
            HttpResponse::Ok().content_type(kind).insert_header(("Cache-Control", "no-cache")).body(text)
        })
    };
    config
        .route("/docs", file("text/html; charset=utf-8", include_str!("docs/index.html")))
        .route("/docs/docs.css", file("text/css; charset=utf-8", include_str!("docs/docs.css")))
        .route("/docs/docs.js", file("text/javascript; charset=utf-8", include_str!("docs/docs.js")));
}
