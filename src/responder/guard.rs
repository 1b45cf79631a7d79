//! Where a tenant's responder may live: not inside our own network.
//!
//! Names are checked when they are resolved, and the addresses found are the ones connected to, so a name cannot
//! point elsewhere a moment later. Address literals never reach a resolver, so they are checked in the URL.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::runtime::http_client;

/// Why an address is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// Not a URL at all, or of another kind.
    #[error("must be an http or https URL")]
    NotHttp,
    /// In production answers and keys do not travel in clear.
    #[error("must be an https URL")]
    NotHttps,
    /// `user:password@`.
    #[error("must not hold a user name or password")]
    Credentials,
    /// Loopback, private, link-local and the like.
    #[error("must not point into a private network")]
    Private,
}

/// Checks what can be seen without resolving.
pub fn check_url(text: &str, allow_private: bool) -> Result<Url, Forbidden> {
    let url = Url::parse(text).map_err(|_| Forbidden::NotHttp)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Forbidden::NotHttp);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Forbidden::Credentials);
    }
    if allow_private {
        return Ok(url);
    }
    if url.scheme() != "https" {
        return Err(Forbidden::NotHttps);
    }
    let private = match url.host() {
        Some(Host::Ipv4(ip)) => !is_public(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => !is_public(IpAddr::V6(ip)),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || [".localhost", ".internal", ".local"].iter().any(|end| name.ends_with(end))
        }
        None => true,
    };
    if private { Err(Forbidden::Private) } else { Ok(url) }
}

/// A client that connects to public addresses only, unless private ones are allowed. Check the URL first: address
/// literals are never resolved.
///
/// # Errors
/// When TLS cannot be set up.
pub fn guarded_client(total: Duration, allow_private: bool) -> Result<reqwest::Client, reqwest::Error> {
    http_client(total).dns_resolver(Arc::new(Resolver { allow_private })).build()
}

/// Resolves names to public addresses only.
struct Resolver {
    allow_private: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let all = self.allow_private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> = found.filter(|a| all || is_public(a.ip())).collect();
            if addresses.is_empty() {
                return Err("the name points into a private network, or nowhere".into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = a == 192 && b == 0 && c == 0;
    let benchmark = a == 198 && (18..20).contains(&b);
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || shared
        || protocol
        || benchmark)
}

/// Global unicast (2000::/3) without what wraps an IPv4 address or is set aside.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    let documentation = s[0] == 0x2001 && s[1] == 0x0db8;
    let teredo_and_kin = s[0] == 0x2001 && s[1] < 0x0200;
    let six_to_four = s[0] == 0x2002;
    (s[0] & 0xe000) == 0x2000 && !documentation && !teredo_and_kin && !six_to_four
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_https_addresses_pass() {
        for good in [
            "https://api.example.com",
            "https://api.example.com:8443/x",
            "https://1.1.1.1/",
            "https://[2606:4700::1111]/",
        ] {
            assert!(check_url(good, false).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("ftp://example.com", Forbidden::NotHttp),
            ("example.com", Forbidden::NotHttp),
            ("http://example.com", Forbidden::NotHttps),
            ("https://user@example.com", Forbidden::Credentials),
            ("https://localhost", Forbidden::Private),
            ("https://localhost.", Forbidden::Private),
            ("https://metadata.internal", Forbidden::Private),
            ("https://127.0.0.1", Forbidden::Private),
            ("https://2130706433", Forbidden::Private),
            ("https://0x7f000001", Forbidden::Private),
            ("https://127.1", Forbidden::Private),
            ("https://10.0.0.8", Forbidden::Private),
            ("https://169.254.169.254", Forbidden::Private),
            ("https://100.64.0.1", Forbidden::Private),
            ("https://[::1]", Forbidden::Private),
            ("https://[::ffff:127.0.0.1]", Forbidden::Private),
            ("https://[64:ff9b::7f00:1]", Forbidden::Private),
            ("https://[2002:7f00:1::]", Forbidden::Private),
            ("https://[fdaa::3]", Forbidden::Private),
            ("https://[fe80::1]", Forbidden::Private),
        ] {
            assert_eq!(check_url(bad, false), Err(why), "{bad}");
        }
        assert!(check_url("http://127.0.0.1:8030", true).is_ok());
    }
}
