//! Which client address to believe when a proxy stands in front.
//!
//! Anybody can write a forwarding header, so by default none is believed and the peer is the client.

use std::net::IpAddr;

/// Whose word on the client's address counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TrustedProxy {
    /// Nobody's.
    #[default]
    None,
    /// Fly.io's edge, which sets `Fly-Client-IP` and strips what the client wrote there.
    Fly,
    /// Proxies at these addresses, each of which appends to `X-Forwarded-For`.
    Networks(Vec<Network>),
}

/// An address with the number of leading bits that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        (bits <= width).then_some(Self { address, bits })
    }

    fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= self.bits,
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= self.bits,
            _ => false,
        }
    }
}

pub(super) fn parse(text: &str) -> Result<TrustedProxy, String> {
    match text.trim() {
        "" => return Ok(TrustedProxy::None),
        "fly" => return Ok(TrustedProxy::Fly),
        _ => {}
    }
    let networks = text.split(',').map(|part| Network::parse(part.trim())).collect::<Option<Vec<_>>>();
    networks
        .map(TrustedProxy::Networks)
        .ok_or_else(|| "expected fly, or addresses and networks such as 10.0.0.0/8".to_owned())
}

impl TrustedProxy {
    /// The client's address: `peer` is who connected, `header` gives a header's values, joined by commas.
    pub fn client(&self, peer: IpAddr, header: impl Fn(&str) -> Option<String>) -> IpAddr {
        let peer = peer.to_canonical();
        match self {
            Self::None => peer,
            Self::Fly => header("Fly-Client-IP").and_then(|value| value.trim().parse().ok()).unwrap_or(peer),
            Self::Networks(networks) => {
                let trusted = |address: IpAddr| networks.iter().any(|network| network.contains(address));
                let forwarded = header("X-Forwarded-For").unwrap_or_default();
                // Read from the right, where the nearest proxy wrote: each trusted hop vouches for the next.
                let mut client = peer;
                for hop in forwarded.rsplit(',') {
                    match hop.trim().parse::<IpAddr>() {
                        Ok(address) if trusted(client) => client = address.to_canonical(),
                        _ => break,
                    }
                }
                client
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxy: &str, peer: &str, headers: &[(&str, &str)]) -> String {
        let header =
            |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        parse(proxy).unwrap().client(peer.parse().unwrap(), header).to_string()
    }

    #[test]
    fn nobody_is_believed_unless_named() {
        let forged = [("X-Forwarded-For", "6.6.6.6"), ("Fly-Client-IP", "6.6.6.6")];
        assert_eq!(client("", "1.2.3.4", &forged), "1.2.3.4");
        assert_eq!(client("10.0.0.0/8", "1.2.3.4", &forged), "1.2.3.4");
        assert_eq!(client("fly", "172.16.0.1", &[("X-Forwarded-For", "6.6.6.6")]), "172.16.0.1");
        assert_eq!(client("fly", "172.16.0.1", &[("Fly-Client-IP", "9.9.9.9")]), "9.9.9.9");
    }

    #[test]
    fn a_forged_start_of_the_chain_is_not_reached() {
        let chain = |text| [("X-Forwarded-For", text)];
        assert_eq!(client("10.0.0.0/8", "10.1.1.1", &chain("6.6.6.6, 9.9.9.9")), "9.9.9.9");
        assert_eq!(client("10.0.0.0/8", "10.1.1.1", &chain("6.6.6.6, 9.9.9.9, 10.2.2.2")), "9.9.9.9");
        assert_eq!(client("10.0.0.0/8", "10.1.1.1", &chain("9.9.9.9, rubbish")), "10.1.1.1");
        assert_eq!(client("10.0.0.0/8", "10.1.1.1", &[]), "10.1.1.1");
        assert_eq!(client("10.1.1.1", "::ffff:10.1.1.1", &chain("::ffff:9.9.9.9")), "9.9.9.9");
        assert_eq!(client("fd00::/8, 10.0.0.1", "fd12::1", &chain("2001:db8::7")), "2001:db8::7");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in ["yes", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.1,", "10.0.0.0/-1", "example.com"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
