//! Where a tenant's address may lead, and where it leads when its name changes its mind.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Addresses of every network that is not the public one, in every spelling a URL knows.
const PRIVATE: &[&str] = &[
    // names of this machine and of its network
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "metadata.google.internal",
    "app.internal",
    "nas.local",
    "redis",
    "waha",
    // IPv4, plainly
    "0.0.0.0",
    "10.0.0.8",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    // the same in decimal, octal, hexadecimal, short, mixed, percent-encoded and in full-width digits
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7f.1",
    "127.1",
    "127.0.1",
    "0177.0.0.1",
    "0x7f.0.0.0x1",
    "3232235521",
    "0xA9FEA9FE",
    "2852039166",
    "%31%32%37.0.0.1",
    "１２７.0.0.1",
    "127。0。0。1",
    "0",
    // IPv6
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[fe80::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fdaa::3]",
    "[ff02::1]",
    "[100::1]",
    "[5f00::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    // IPv4 inside IPv6: mapped, compatible, translated, 6to4, Teredo
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:169.254.169.254]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::a00:1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:7f00:1::]",
];

#[test]
fn nothing_private_passes_in_any_spelling() {
    for host in PRIVATE {
        for url in [format!("https://{host}"), format!("https://{host}:8443/response")] {
            let checked = check_url(&url, false);
            // What is no host at all is refused as well.
            assert!(matches!(checked, Err(Forbidden::Private | Forbidden::NotHttp)), "{url}: {checked:?}");
        }
    }
    for good in [
        "https://api.example.com",
        "https://api.example.com:8443/x",
        "https://api.example.com:443",
        "https://1.1.1.1/",
        "https://9.255.255.255",
        "https://100.63.255.255",
        "https://172.15.0.1",
        "https://172.32.0.1",
        "https://[2606:4700::1111]/",
    ] {
        assert!(check_url(good, false).is_ok(), "{good}");
    }
    for (bad, why) in [
        ("ftp://example.com", Forbidden::NotHttp),
        ("file:///etc/passwd", Forbidden::NotHttp),
        ("gopher://example.com", Forbidden::NotHttp),
        ("example.com", Forbidden::NotHttp),
        ("https://", Forbidden::NotHttp),
        ("http://example.com", Forbidden::NotHttps),
        ("https://user@example.com", Forbidden::Credentials),
        ("https://example.com@127.0.0.1", Forbidden::Credentials),
        ("https://:x@example.com", Forbidden::Credentials),
        ("https://example.com:22", Forbidden::Port),
        ("https://example.com:25", Forbidden::Port),
    ] {
        assert_eq!(check_url(bad, false), Err(why), "{bad}");
    }
    // What looks like one host and is another.
    for disguised in [
        "https:\\\\127.0.0.1",
        "https:/127.0.0.1",
        "https:127.0.0.1",
        "https://127.0.0.1\\.example.com",
        "https://127.0.0.1#.example.com",
        "https://127.0.0.1?.example.com",
    ] {
        assert_eq!(check_url(disguised, false), Err(Forbidden::Private), "{disguised}");
    }
    assert!(check_url("http://127.0.0.1:8030", true).is_ok());
}

/// A listener nobody may reach, and a client whose names resolve as `ask` says.
async fn knock(ask: fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>, times: usize) -> usize {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let resolver = Resolver { allow_private: false, ask };
    let client = http_client(Duration::from_millis(200)).dns_resolver(Arc::new(resolver)).build().unwrap();
    let mut reached = 0;
    for _ in 0..times {
        let call = client.get(format!("http://rebinding.example:{port}/")).send();
        tokio::select! {
            answer = call => drop(answer.unwrap_err()),
            _ = listener.accept() => reached += 1,
        }
    }
    reached
}

/// The name is public when it is first asked for, and ours a moment later; or both at once.
#[tokio::test]
async fn a_name_that_changes_its_mind_leads_nowhere() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let here: fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> =
        |_| Box::pin(async { Ok(vec![([127, 0, 0, 1], 0).into()]) });
    assert_eq!(knock(here, 2).await, 0);
    let rebinding: fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> = |_| {
        Box::pin(async {
            let public = SocketAddr::from(([192, 0, 3, 1], 0));
            let here = SocketAddr::from(([127, 0, 0, 1], 0));
            let mapped: SocketAddr = "[::ffff:127.0.0.1]:0".parse().map_err(io::Error::other)?;
            Ok(match ASKED.fetch_add(1, Ordering::SeqCst) {
                0 => vec![public],
                1 => vec![here],
                2 => vec![mapped],
                _ => vec![here, public, mapped],
            })
        })
    };
    assert_eq!(knock(rebinding, 5).await, 0);
    assert!(ASKED.load(Ordering::SeqCst) >= 4, "it was asked anew each time");
    // The same listener is reached by who may: the test would see it.
    let open: fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> =
        |_| Box::pin(async { Ok(vec![([127, 0, 0, 1], 0).into()]) });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let resolver = Resolver { allow_private: true, ask: open };
    let client = http_client(Duration::from_millis(500)).dns_resolver(Arc::new(resolver)).build().unwrap();
    let url = format!("http://rebinding.example:{}/", listener.local_addr().unwrap().port());
    let call = tokio::spawn(client.get(url).send());
    assert!(tokio::time::timeout(Duration::from_secs(5), listener.accept()).await.is_ok());
    call.abort();
}

#[tokio::test]
async fn the_systems_own_resolver_is_asked() {
    let found = resolve("localhost".to_owned()).await.unwrap();
    assert!(!found.is_empty() && found.iter().all(|address| !is_public(address.ip())), "{found:?}");
}
