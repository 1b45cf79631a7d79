//! The keys of sessions as they are kept: sealed, in batches, never older than what is there.

use std::sync::Arc;

use secrecy::ExposeSecret;
use switchboard::channel::keys::{Change, Drawer, Entry, Keys, KeysError, Owner};

use super::*;
use crate::on_both_databases;

/// A session in a running service, which watches it; and whose keys they are.
async fn session(world: &World, service: &Service, name: &str) -> Owner {
    let tenant = service.tenant("a").await;
    linked(world, &tenant, name, "15550001111", None).await;
    Owner::from(&service.running.store.session_named(name).await.unwrap().unwrap())
}

async fn drawer(service: &Service, owner: &Owner) -> Drawer {
    let keys = Arc::new(service.running.store.clone());
    Drawer::open(keys, service.running.ring.clone(), owner.clone()).await.unwrap()
}

fn step(kind: &'static str, k1: &str, value: Option<&[u8]>) -> switchboard::channel::keys::Step {
    (kind, k1.to_owned(), String::new(), value.map(|value| value.to_vec().into()))
}

async fn found(drawer: &Drawer, kind: &str) -> Vec<(String, Vec<u8>)> {
    let all = drawer.scan(kind, None).await.unwrap();
    all.into_iter().map(|(k1, _, value)| (k1, value.expose_secret().to_vec())).collect()
}

on_both_databases! {
    async fn keys_are_sealed_written_in_batches_and_wiped_for_good(db: Db) {
        let world = World::fast(db);
        let service = sandbox(&world).await;
        let owner = session(&world, &service, "shop").await;
        let drawer = drawer(&service, &owner).await;
        // Bytes that are no text, and more of them than one statement takes.
        let many = (0..1_200).map(|n| step("pre_key", &format!("{n:04}"), Some(&[0xff, 0xfe, n as u8])));
        drawer.write(many.collect()).await.unwrap();
        let steps = vec![
            step("device", "", Some(b"first")),
            step("device", "", Some(b"the-secret-of-this-device")),
            step("pre_key", "0007", None),
            step("session", "twice", Some(b"gone in the same batch")),
            step("session", "twice", None),
        ];
        drawer.write(steps).await.unwrap();
        assert_eq!(found(&drawer, "device").await, [(String::new(), b"the-secret-of-this-device".to_vec())]);
        let pre_keys = found(&drawer, "pre_key").await;
        assert_eq!((pre_keys.len(), &pre_keys[7]), (1_199, &("0008".to_owned(), vec![0xff, 0xfe, 8])));
        assert!(drawer.get("session", "twice", "").await.unwrap().is_none());
        assert_eq!(service.running.store.generation(&owner).await.unwrap(), 2);
        // None of it lies there in clear, and none opens in another row.
        let dump = world.db.texts("select value from session_keys").await;
        assert!(dump.iter().all(|value| value.starts_with("v1.")), "{}", dump[0]);
        world.db.execute("update session_keys set k1 = 'moved' where kind = 'device'").await.unwrap();
        assert!(matches!(drawer.get("device", "moved", "").await, Err(KeysError::Unreadable(_))));

        drawer.wipe().await.unwrap();
        assert!(service.running.store.all(&owner).await.unwrap().is_empty());
        assert_eq!(service.running.store.generation(&owner).await.unwrap(), 3, "nothing older comes back");
        drawer.write(vec![step("device", "", Some(b"a new one"))]).await.unwrap();
        service.tenant("a").await.expect("DELETE", "/api/v1/sessions/shop", Value::Null).await;
        assert!(world.db.texts("select value from session_keys").await.is_empty());
        assert!(matches!(drawer.write(vec![step("device", "", Some(b"x"))]).await, Err(KeysError::Stale)));
        service.running.stop().await;
    }
}

on_both_databases! {
    async fn keys_never_go_back_and_never_have_two_writers(db: Db) {
        let world = World::fast(db);
        let service = sandbox(&world).await;
        let owner = session(&world, &service, "shop").await;
        let (one, other) = (drawer(&service, &owner).await, drawer(&service, &owner).await);
        one.write(vec![step("session", "bob", Some(b"1"))]).await.unwrap();
        // The other has not seen that, and must not write over it; nor ever again.
        for _ in 0..2 {
            let late = other.write(vec![step("session", "bob", Some(b"0"))]).await;
            assert!(matches!(late, Err(KeysError::Stale)), "{late:?}");
        }
        one.write(vec![step("session", "bob", Some(b"2"))]).await.unwrap();
        assert_eq!(found(&one, "session").await, [("bob".to_owned(), b"2".to_vec())]);
        let store = &service.running.store;
        let entries = store.all(&owner).await.unwrap();
        assert_eq!(entries[0].generation, 2);
        // What another place kept is taken only if it is newer.
        for older in [1, 2] {
            assert!(matches!(store.replace(&owner, older, entries.clone()).await, Err(KeysError::Stale)));
        }
        let newer = Entry { k1: "eve".into(), generation: 9, ..entries[0].clone() };
        store.replace(&owner, 9, vec![newer.clone()]).await.unwrap();
        assert_eq!(store.all(&owner).await.unwrap(), std::slice::from_ref(&newer));
        // An instance that does not watch the session writes nothing at all.
        world.db.execute("update whatsapp_sessions set owner = owner + 1").await.unwrap();
        let stolen = store.write(&owner, 9, vec![Change::Put(newer)]).await;
        assert!(matches!(stolen, Err(KeysError::Stale)), "{stolen:?}");
        service.running.stop().await;
    }
}

#[cfg(not(feature = "native"))]
#[tokio::test]
async fn an_engine_that_was_not_built_in_is_refused_with_how_to_build_it() {
    use switchboard::app::{self, Options};
    use switchboard::config::Config;

    let world = World::new(Db::sqlite());
    let mut variables = world.variables();
    variables.insert("SESSION_ENGINE".into(), "native".into());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = Config::load(&variables).unwrap();
    let error = app::start(&config, listener, Options::default()).await.err().unwrap().to_string();
    assert!(error.starts_with("SESSION_ENGINE: ") && error.contains("--features native"), "{error}");
}
