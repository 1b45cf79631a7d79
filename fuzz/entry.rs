//! What strangers' bytes go through first, one function each: any bytes at all go in, and what must always hold is
//! asserted. Run by the fuzzer (`fuzz_targets/`), and on stable over the corpus and random bytes by `tests/fuzz.rs`.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::OnceLock;

use secrecy::ExposeSecret;
use switchboard::channel::waha::inbound::Event;
use switchboard::graph::payload::{Change, parse_lenient, peek, split};
use switchboard::graph::signature::{Signature, sign};
use switchboard::ids::TenantId;
use switchboard::inbox::normalize::normalize;
use switchboard::message::{Inbound, Item};
use switchboard::outbox::format;
use switchboard::responder::check_url;
use switchboard::secret::{Place, Ring};

/// The first line is a signature header, the rest a body.
pub fn signature_header(data: &[u8]) {
    let (header, body) =
        data.iter().position(|byte| *byte == b'\n').map_or((data, &[][..]), |at| data.split_at(at));
    if let Some(signature) = std::str::from_utf8(header).ok().and_then(Signature::parse) {
        assert_eq!((header.len(), &header[..7]), (71, &b"sha256="[..]), "the one form there is");
        assert!(!signature.matches(b"nobody's secret", body), "nobody can have found it");
    }
    let signature = Signature::parse(&sign(data, body)).expect("our own form");
    assert!(signature.matches(data, body));
    assert!(!signature.matches(data, &[body, b" "].concat()));
}

/// A webhook's body, from the envelope to what it says.
pub fn webhook(data: &[u8]) {
    let named = peek(data);
    assert!(named.phone_number_ids.len() <= 8 && named.business_account_ids.len() <= 8);
    let read = parse_lenient(data);
    let Ok(parts) = split(data) else { return };
    assert!(read.is_ok(), "a body that can be taken apart can be read");
    for change in &parts.changes {
        sense(change);
    }
}

/// What a change says can be stored, and is about the number it came for.
fn sense(change: &Change) {
    let items = normalize(change);
    assert!(!items.is_empty(), "nothing vanishes without a word");
    for item in items {
        if let Item::Message(Inbound { phone_number_id, business_account_id, wamid, kind, text, .. }) = item {
            assert_eq!(Some(&phone_number_id), change.phone_number_id.as_ref());
            assert_eq!(business_account_id, change.entry_id);
            assert!(!wamid.is_empty(), "without it nothing could be told apart");
            assert!(
                ![wamid, kind, text].iter().any(|it| it.contains('\0')),
                "no text in PostgreSQL may hold it"
            );
        }
    }
}

/// A chatbot's answer, as it is sent.
pub fn markdown(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let shown = format::to_whatsapp(&text);
    assert!(shown.len() <= 40 * text.len() + 100, "{} became {}", text.len(), shown.len());
    for limit in [2, 20, 100, 4_096] {
        for piece in format::split(&shown, limit) {
            assert!(!piece.trim().is_empty() && piece.encode_utf16().count() <= limit, "{limit}");
        }
    }
}

/// An address where a tenant says that its chatbot lives.
pub fn url_guard(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(url) = check_url(&text, false) else { return };
    assert_eq!((url.scheme(), url.username(), url.password()), ("https", "", None));
    assert!(url.port().is_none_or(|port| port >= 1024), "{url}");
    let ip = match url.host().expect("there is somebody to ask") {
        url::Host::Domain(name) => {
            return assert!(name.contains('.') && !name.ends_with(".localhost"), "{url}");
        }
        url::Host::Ipv4(ip) => IpAddr::V4(ip),
        url::Host::Ipv6(ip) => IpAddr::V6(ip),
    };
    let inside = match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.to_ipv4_mapped().is_some() || ip.is_unique_local() || ip == Ipv6Addr::LOCALHOST,
    };
    assert!(!inside && !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast(), "{url}");
    // What was taken is what will be connected to: the text as it stands reads the same once more.
    assert_eq!(check_url(url.as_str(), false).as_ref(), Ok(&url));
}

/// What the database says is a sealed secret.
pub fn sealed_secret(data: &[u8]) {
    static RING: OnceLock<Ring> = OnceLock::new();
    let ring =
        RING.get_or_init(|| Ring::parse(&"a-key-that-fuzzing-uses-and-nobody-else".into()).expect("a key"));
    let tenant: TenantId = "tenant".parse().expect("a tenant's name");
    let place = |row: u8| Place::new(&tenant, "table", "column", row);
    let text = String::from_utf8_lossy(data);
    assert!(ring.open(&text, &place(0)).is_err() && ring.open_bytes(&text, &place(0)).is_err());
    let sealed = ring.seal(data, &place(0));
    assert_eq!(ring.open_bytes(&sealed, &place(0)).expect("what we sealed").expose_secret(), data);
    assert!(ring.open_bytes(&sealed, &place(1)).is_err(), "in another row it is nothing");
    // The bytes say which character is changed, and into what.
    let mut other = sealed.clone().into_bytes();
    let at = data.iter().fold(0, |at, byte| (at * 31 + usize::from(*byte)) % other.len());
    other[at] = if other[at] == b'x' { b'y' } else { b'x' };
    assert!(ring.open_bytes(&String::from_utf8_lossy(&other), &place(0)).is_err(), "changed at {at}");
}

/// What a WAHA server posts.
pub fn waha_event(data: &[u8]) {
    const KEY: &str = "ses_1";
    let Some(event) = Event::parse(data) else { return };
    if let Some(phone) = event.phone() {
        assert!(!phone.is_empty() && phone.bytes().all(|byte| byte.is_ascii_digit()), "{phone}");
    }
    for change in event.changes(KEY, None) {
        assert_eq!(change.phone_number_id.as_deref(), Some(KEY), "a session speaks for its own number alone");
        sense(&change);
    }
    let _ = event.lid();
}
