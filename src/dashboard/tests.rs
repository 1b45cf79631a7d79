//! What the dashboard's files are served as.

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::{App, test as server, web};

use super::{Files, configure, takes};

async fn get(path: &str, accept: &str) -> (StatusCode, HeaderMap, web::Bytes) {
    let app = server::init_service(App::new().configure(configure)).await;
    let request = server::TestRequest::get().uri(path).insert_header(("accept-encoding", accept));
    let answer = server::call_service(&app, request.to_request()).await;
    let (status, headers) = (answer.status(), answer.headers().clone());
    (status, headers, server::read_body(answer).await)
}

/// The page's own script, as the page names it.
fn script() -> String {
    let page = String::from_utf8(Files::get("index.html").unwrap().data.into_owned()).unwrap();
    let start = page.find("src=\"/assets/").unwrap() + "src=\"".len();
    page[start..].split('"').next().unwrap().to_owned()
}

#[actix_web::test]
async fn the_page_is_served_at_its_addresses_with_a_fresh_nonce_and_no_inline_script() {
    let mut nonces = std::collections::HashSet::new();
    for path in ["/", "/login", "/setup", "/conversations", "/conversations/cnv_1", "/whatsapp-connect"] {
        let (status, headers, body) = get(path, "br").await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert_eq!(headers.get("cache-control").unwrap(), "no-cache");
        let policy = headers.get("content-security-policy").unwrap().to_str().unwrap();
        let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
        let page = String::from_utf8(body.to_vec()).unwrap();
        assert!(page.contains(&format!("content=\"{nonce}\"")), "{path}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(
            page.matches("<script").count()
                == page.matches("<script type=\"module\" crossorigin src=\"/assets/").count()
        );
        assert!(nonces.insert(nonce), "a nonce was used twice");
    }
}

#[actix_web::test]
async fn elsewhere_there_is_no_page() {
    for path in ["/api/v1/nothing", "/nothing", "/assets/nothing.js", "/assets/../index.html", "/loginx"] {
        assert_eq!(get(path, "").await.0, StatusCode::NOT_FOUND, "{path}");
    }
}

#[actix_web::test]
async fn files_are_kept_forever_and_compressed_as_the_caller_takes_it() {
    let script = script();
    let mut sizes = Vec::new();
    for (accept, encoding) in
        [("", None), ("gzip", Some("gzip")), ("gzip, br;q=0.9", Some("br")), ("br;q=0", None)]
    {
        let (status, headers, body) = get(&script, accept).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            headers.get("content-encoding").map(|value| value.to_str().unwrap()),
            encoding,
            "{accept}"
        );
        assert_eq!(headers.get("cache-control").unwrap(), "public, max-age=31536000, immutable");
        assert_eq!(headers.get("content-type").unwrap(), "text/javascript; charset=utf-8");
        sizes.push(body.len());
    }
    assert!(sizes[1] < sizes[0] && sizes[2] < sizes[1], "{sizes:?}");
    assert_eq!(get(&format!("{script}.br"), "").await.0, StatusCode::NOT_FOUND);
}

#[test]
fn an_encoding_is_taken_when_it_is_named_and_has_a_weight() {
    assert!(takes("gzip, deflate, br", "br"));
    assert!(takes("BR; q=0.1", "br"));
    assert!(!takes("gzip", "br"));
    assert!(!takes("br;q=0, gzip", "br"));
    assert!(!takes("bread", "br"));
}

/// What a person waits for at first is small, also over a slow line.
#[test]
fn the_first_load_is_below_300_kilobytes() {
    let page = String::from_utf8(Files::get("index.html").unwrap().data.into_owned()).unwrap();
    let named = page
        .split('"')
        .filter(|text| text.starts_with("/assets/") && text.ends_with("js") || text.ends_with(".css"));
    let sum: usize = named
        .map(|name| {
            let path = name.trim_start_matches('/');
            Files::get(&format!("{path}.gz")).or_else(|| Files::get(path)).unwrap().data.len()
        })
        .sum();
    assert!(sum > 50_000 && sum < 300_000, "{sum} bytes");
}
