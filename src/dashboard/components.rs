//! The components for other people's pages: one script each, without a build, that any site may load.
//!
//! Their address names the version of their attributes and events; what is in them may change within it, so browsers ask
//! again whether they did.

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, ETAG, EntityTag, HeaderName, IF_NONE_MATCH,
};
use actix_web::{HttpRequest, HttpResponse, web};
use sha2::{Digest, Sha256};

/// What both begin with, and then each of them.
const CONNECT: &str = concat!(
    include_str!("../../dashboard/components/element.js"),
    include_str!("../../dashboard/components/whatsapp-connect.js")
);
const SEND: &str = concat!(
    include_str!("../../dashboard/components/element.js"),
    include_str!("../../dashboard/components/whatsapp-send.js")
);
/// Other sites load it: the house rule that only our own pages may is not for these.
const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Serves them.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    for (name, script) in [("whatsapp-connect", CONNECT), ("whatsapp-send", SEND)] {
        let tag = hex::encode(&Sha256::digest(script)[..12]);
        let give = move |request: HttpRequest| std::future::ready(give(&request, script, &tag));
        config.route(&format!("/components/v1/{name}.js"), web::get().to(give));
    }
}

fn give(request: &HttpRequest, script: &'static str, tag: &str) -> HttpResponse {
    let known = request.headers().get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let known = known.is_some_and(|tags| tags.contains(tag) || tags.trim() == "*");
    let status = if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let mut answer = HttpResponse::build(status);
    answer
        .insert_header((ETAG, EntityTag::new_strong(tag.to_owned()).to_string()))
        .insert_header((CACHE_CONTROL, "public, max-age=300, must-revalidate"))
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((CORP, "cross-origin"))
        .content_type("text/javascript; charset=utf-8");
    if known { answer.finish() } else { answer.body(script) }
}

#[cfg(test)]
mod tests {
    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    use actix_web::{App, http::header::IF_NONE_MATCH};

    #[actix_web::test]
    async fn any_site_may_load_them_and_keeps_them_until_they_change() {
        let app = init_service(App::new().configure(super::configure)).await;
        for name in ["whatsapp-connect", "whatsapp-send"] {
            let path = format!("/components/v1/{name}.js");
            let answer = call_service(&app, TestRequest::get().uri(&path).to_request()).await;
            assert_eq!(answer.status(), 200);
            let header = |name: &str| answer.headers().get(name).unwrap().to_str().unwrap().to_owned();
            assert_eq!(header("access-control-allow-origin"), "*");
            assert_eq!(header("cross-origin-resource-policy"), "cross-origin");
            let tag = header("etag");
            let script = String::from_utf8(read_body(answer).await.to_vec()).unwrap();
            assert!(script.contains(&format!("customElements.define('{name}'")));
            assert!(script.len() < 32_000, "{} bytes", script.len());
            // Nothing that a strict policy of the page around it would refuse.
            for word in ["innerHTML", "eval(", "import ", "style=", ".cookie", "localStorage"] {
                assert!(!script.contains(word), "{word}");
            }
            let again = TestRequest::get().uri(&path).insert_header((IF_NONE_MATCH, tag)).to_request();
            assert_eq!(call_service(&app, again).await.status(), 304);
        }
        let other = TestRequest::get().uri("/components/v1/element.js").to_request();
        assert_eq!(call_service(&app, other).await.status(), 404);
    }
}
