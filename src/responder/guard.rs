//! Where a tenant's responder may live: not inside our own network.
//!
//! Names are checked when they are resolved, and the addresses found are the ones connected to, so a name cannot
//! point elsewhere a moment later. Address literals never reach a resolver, so they are checked in the URL.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
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
    /// One that belongs to mail, shells and the like.
    #[error("must use port 443, or one from 1024")]
    Port,
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
            // A name without a dot is one of our own network, if anybody's.
            !name.contains('.') || [".localhost", ".internal", ".local"].iter().any(|end| name.ends_with(end))
        }
        None => true,
    };
    if private {
        return Err(Forbidden::Private);
    }
    if url.port().is_some_and(|port| port < 1024) {
        return Err(Forbidden::Port);
    }
    Ok(url)
}

/// A client that connects to public addresses only, unless private ones are allowed. Check the URL first: address
/// literals are never resolved.
///
/// # Errors
/// When TLS cannot be set up.
pub fn guarded_client(total: Duration, allow_private: bool) -> Result<reqwest::Client, reqwest::Error> {
    http_client(total).dns_resolver(Arc::new(Resolver { allow_private, ask: resolve })).build()
}

/// Resolves names to public addresses only.
struct Resolver {
    allow_private: bool,
    ask: fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>,
}

fn resolve(name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
    Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (all, found) = (self.allow_private, (self.ask)(name.as_str().to_owned()));
        Box::pin(async move {
            let mut addresses = found.await?;
            addresses.retain(|address| all || is_public(address.ip()));
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
    let relay = a == 192 && b == 88 && c == 99;
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || shared
        || protocol
        || benchmark
        || relay)
}

/// Global unicast (2000::/3) without what wraps an IPv4 address or is set aside.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    let documentation = (s[0] == 0x2001 && s[1] == 0x0db8) || (s[0] == 0x3fff && s[1] < 0x1000);
    let teredo_and_kin = s[0] == 0x2001 && s[1] < 0x0200;
    let six_to_four = s[0] == 0x2002;
    (s[0] & 0xe000) == 0x2000 && !documentation && !teredo_and_kin && !six_to_four
}

#[cfg(test)]
mod tests;
