//! What sealing promises: only the right key, in the right place, unchanged.

use proptest::prelude::*;

use super::*;

const OLD: &str = "old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW: &str = "new:__________________________________________8";
const BARE: &str = "a-secret-as-hosts-generate-them-0123456789";

fn ring(keys: &str) -> Ring {
    Ring::parse(&keys.into()).unwrap()
}

fn place(row: i64) -> Place {
    Place::new(&"5".parse().unwrap(), "whatsapp_accounts", "access_token", row)
}

#[test]
fn opens_what_it_sealed_and_only_there() {
    let ring = ring(OLD);
    let sealed = ring.seal("EAAG-token", &place(7));
    assert!(sealed.starts_with("v1.old.") && !sealed.contains("EAAG"), "{sealed}");
    assert_ne!(sealed, ring.seal("EAAG-token", &place(7)), "every sealing has its own nonce");
    assert_eq!(ring.open(&sealed, &place(7)).unwrap().expose_secret(), "EAAG-token");

    let tenant = |id: &str, table, column| Place::new(&id.parse().unwrap(), table, column, 7);
    for elsewhere in [
        place(70),
        tenant("6", "whatsapp_accounts", "access_token"),
        tenant("5", "chatbots", "access_token"),
        tenant("5", "whatsapp_accounts", "app_secret"),
    ] {
        assert!(matches!(ring.open(&sealed, &elsewhere), Err(SecretError::Refused)), "{elsewhere:?}");
    }
}

#[test]
fn opens_under_older_keys_and_says_what_to_rotate() {
    let (old, both, new) = (ring(OLD), ring(&format!("{NEW}, {OLD}")), ring(NEW));
    let sealed = old.seal("secret", &place(1));
    assert_eq!(both.open(&sealed, &place(1)).unwrap().expose_secret(), "secret");
    assert!(old.is_current(&sealed) && !both.is_current(&sealed));
    assert!(both.is_current(&both.seal("secret", &place(1))));
    assert!(matches!(new.open(&sealed, &place(1)), Err(SecretError::UnknownKey(id)) if id == "old"));
    // The same name over another key.
    let impostor = ring(&NEW.replace("new", "old"));
    assert!(matches!(impostor.open(&sealed, &place(1)), Err(SecretError::Refused)));
}

#[test]
fn refuses_every_truncation_and_every_flipped_character() {
    let ring = ring(OLD);
    let sealed = ring.seal("secret", &place(1));
    for end in 0..sealed.len() {
        assert!(ring.open(&sealed[..end], &place(1)).is_err(), "{end}");
    }
    for at in 0..sealed.len() {
        let mut changed = sealed.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(ring.open(std::str::from_utf8(&changed).unwrap(), &place(1)).is_err(), "{at}");
    }
}

proptest! {
    #[test]
    fn garbage_neither_opens_nor_panics(text in ".*", tail in "[A-Za-z0-9_-]{0,120}") {
        let ring = ring(OLD);
        prop_assert!(ring.open(&text, &place(1)).is_err());
        let shaped = format!("v1.old.{tail}");
        prop_assert!(ring.open(&shaped, &place(1)).is_err());
    }

    #[test]
    fn any_bytes_come_back(bytes: Vec<u8>) {
        let ring = ring(BARE);
        let sealed = ring.seal(&bytes, &place(1));
        let opened = ring.open_bytes(&sealed, &place(1)).unwrap();
        prop_assert_eq!(opened.expose_secret(), &bytes[..]);
    }

    #[test]
    fn any_ring_is_read_or_refused(text in "[a-z:,=+/ -]{0,80}") {
        let _ = Ring::parse(&text.into());
    }

    #[test]
    fn a_mask_shows_at_most_eight_characters(text in ".{0,200}") {
        let shown = mask(&text);
        prop_assert!(shown.chars().count() <= 9);
        prop_assert!(text.chars().count() >= 16 || shown == "••••");
    }
}

#[test]
fn reads_keys_in_every_form_hosts_give_them() {
    // A bare secret is stretched; its id is its own, so it stays the same at every start.
    let sealed = ring(BARE).seal("secret", &place(1));
    assert_eq!(ring(&format!("{NEW},{BARE}")).open(&sealed, &place(1)).unwrap().expose_secret(), "secret");
    // Render gives padded base64 without an id.
    ring("q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=");
    for wrong in
        ["", ",", "short", "k1:c2hvcnQ=", "k.1:AAAA", ":AAAA", &format!("{OLD},{OLD}"), &"x".repeat(31)]
    {
        let error = Ring::parse(&wrong.into()).unwrap_err().to_string();
        assert!(error.contains("newest first"), "{wrong}: {error}");
    }
    let error = Ring::parse(&"k1:hunter2hunter2".into()).unwrap_err().to_string();
    assert!(error.contains("k1") && !error.contains("hunter2"), "{error}");
    assert_eq!(format!("{:?}", ring(&format!("{NEW},{OLD}"))), r#"["new", "old"]"#);
}

#[test]
fn hashes_are_apart_by_purpose_and_key() {
    let both = ring(&format!("{NEW},{OLD}"));
    let hashes = both.keyed_hashes("verify-token", "token");
    assert_eq!(
        hashes,
        [ring(NEW).keyed_hash("verify-token", "token"), ring(OLD).keyed_hash("verify-token", "token")]
    );
    assert_eq!(both.keyed_hash("verify-token", "token"), hashes[0]);
    assert_ne!(hashes[0], hashes[1]);
    assert_ne!(hashes[0], both.keyed_hash("app-secret", "token"));
    assert_ne!(hashes[0], both.keyed_hash("verify-token", "Token"));
    assert!(hashes.iter().all(|hash| hash.len() == 64));
    // Stored rows depend on this value: a change here would lose every one of them.
    assert_eq!(
        ring(OLD).keyed_hash("verify-token", "token"),
        "5e5d61952c3dfd7f2730f4a8719e0335e377690d9c4c51d27652554b4a16834e"
    );
}

#[test]
fn the_key_file_is_made_once_and_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/switchboard.keys");
    let sealed = Ring::generate_file(&path).unwrap().seal("secret", &place(1));
    assert_eq!(
        Ring::generate_file(&path).unwrap().open(&sealed, &place(1)).unwrap().expose_secret(),
        "secret"
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left aside");

    // Many starters at once agree on one key.
    let path = folder.path().join("many.keys");
    let rings: Vec<_> = std::thread::scope(|scope| {
        let starters: Vec<_> = (0..8).map(|_| scope.spawn(|| Ring::generate_file(&path).unwrap())).collect();
        starters.into_iter().map(|starter| starter.join().unwrap()).collect()
    });
    assert!(rings.iter().all(|ring| ring.keyed_hash("", "") == rings[0].keyed_hash("", "")));

    assert!(matches!(Ring::generate_file(folder.path()), Err(SecretError::File { .. })));
    std::fs::write(&path, "").unwrap();
    assert!(matches!(Ring::generate_file(&path), Err(SecretError::Ring(_))));
}

#[test]
fn masks_and_compares() {
    assert_eq!(mask(&format!("EAAG{}x9Qz", "b".repeat(40))), "EAAG…x9Qz");
    assert_eq!(mask("0123456789abcdef"), "…cdef");
    assert_eq!(mask("0123456789abcde"), "••••");
    assert_eq!(mask(""), "••••");
    assert!(equal("token", "token") && !equal("token", "Token") && !equal("token", "token "));
}
