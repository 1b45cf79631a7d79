//! The cookie of a sign-in, and whether a browser's request comes from our own pages.
//!
//! Browsers refuse `__Host-` cookies over plain http, so development on loopback has a plain name, and it alone.

use actix_web::HttpRequest;
use actix_web::http::header::{COOKIE, HOST, HeaderMap, ORIGIN};
use url::{Host, Url};

use super::problem::{ApiError, Code};

/// How the cookie is named and set; follows from where people open the dashboard.
#[derive(Debug, Clone)]
pub struct Cookie {
    secure: bool,
    /// `https://host`, as browsers write it in `Origin`.
    origin: String,
}

impl Cookie {
    /// For a server that people reach at `public_url`.
    pub fn new(public_url: &str, production: bool) -> Self {
        let url = Url::parse(public_url).ok();
        let plain = url.as_ref().is_some_and(|url| url.scheme() == "http" && is_loopback(url));
        Self {
            secure: production || !plain,
            origin: url.map(|url| url.origin().ascii_serialization()).unwrap_or_default(),
        }
    }

    fn name(&self) -> &'static str {
        if self.secure { "__Host-switchboard" } else { "switchboard" }
    }

    /// The token a browser shows.
    pub fn read<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let pairs =
            headers.get_all(COOKIE).filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
        let mut named =
            pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(name, _)| *name == self.name());
        named.next().map(|(_, token)| token).filter(|token| !token.is_empty())
    }

    /// `Set-Cookie` that gives a token to a browser, for so many seconds; 0 takes it away.
    pub fn set(&self, token: &str, seconds: i64) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}", self.name())
    }

    /// What the browser says: `Some(true)` from our own pages, `Some(false)` from elsewhere, `None` when it is no
    /// browser (or one of before 2020).
    fn is_ours(&self, headers: &HeaderMap) -> Option<bool> {
        let word = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        if let Some(site) = word("sec-fetch-site") {
            return Some(site == "same-origin");
        }
        let origin = word(ORIGIN.as_str())?;
        let host = origin.split_once("://").map(|(_, host)| host);
        Some(origin == self.origin || (host.is_some() && host == word(HOST.as_str())))
    }

    /// Refuses what another site's page sends. `strict`, where a cookie speaks for somebody: also what cannot say.
    pub fn refuse_other_sites(&self, request: &HttpRequest, strict: bool) -> Result<(), ApiError> {
        if self.is_ours(request.headers()).unwrap_or(!strict) {
            return Ok(());
        }
        let detail = "A cookie counts with Sec-Fetch-Site: same-origin, or with our own Origin, only.";
        Err(ApiError::new(Code::CrossSite, detail))
    }
}

/// Whether only this machine is reached there.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_loopback_in_development_goes_without_the_prefix() {
        for (url, production, name) in [
            ("http://127.0.0.1:3000", false, "switchboard="),
            ("http://localhost:3000", false, "switchboard="),
            ("http://[::1]:3000", false, "switchboard="),
            ("http://127.0.0.1:3000", true, "__Host-switchboard="),
            ("http://10.0.0.5:3000", false, "__Host-switchboard="),
            ("https://example.com", false, "__Host-switchboard="),
            ("nonsense", false, "__Host-switchboard="),
        ] {
            let set = Cookie::new(url, production).set("abc", 60);
            assert!(set.starts_with(name), "{url}: {set}");
            assert_eq!(set.contains("; Secure"), name.starts_with("__Host-"), "{set}");
            for part in ["; Path=/", "; Max-Age=60", "; HttpOnly", "; SameSite=Lax"] {
                assert!(set.contains(part), "{set}");
            }
            assert!(!set.contains("Domain"));
        }
    }

    #[test]
    fn only_our_own_cookie_is_read() {
        let cookie = Cookie::new("https://example.com", true);
        let read = |lines: &[&str]| {
            let mut request = TestRequest::default();
            for line in lines {
                request = request.append_header((COOKIE, *line));
            }
            cookie.read(request.to_http_request().headers()).map(str::to_owned)
        };
        assert_eq!(read(&["a=1; __Host-switchboard=tok; b=2"]), Some("tok".into()));
        assert_eq!(read(&["a=1", "__Host-switchboard=tok"]), Some("tok".into()));
        assert_eq!(read(&["switchboard=tok; x__Host-switchboard=tok", "__Host-switchboard"]), None);
        assert_eq!(read(&["__Host-switchboard="]), None);
    }

    #[test]
    fn other_sites_are_told_from_our_own_pages() {
        let cookie = Cookie::new("https://app.example.com/", true);
        for (headers, loosely, strictly) in [
            (&[][..], true, false),
            (&[("sec-fetch-site", "same-origin")], true, true),
            (&[("sec-fetch-site", "same-site")], false, false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://app.example.com")], false, false),
            (&[("sec-fetch-site", "none")], false, false),
            (&[("origin", "https://app.example.com")], true, true),
            (&[("origin", "https://app.example.com.evil.example")], false, false),
            (&[("origin", "null")], false, false),
            (&[("origin", "https://inner:8080"), ("host", "inner:8080")], true, true),
            (&[("origin", "https://evil.example"), ("host", "app.example.com")], false, false),
        ] {
            let request =
                headers.iter().fold(TestRequest::default(), |request, header| request.insert_header(*header));
            let request = request.to_http_request();
            assert_eq!(cookie.refuse_other_sites(&request, false).is_ok(), loosely, "{headers:?}");
            assert_eq!(cookie.refuse_other_sites(&request, true).is_ok(), strictly, "{headers:?}");
        }
    }
}
