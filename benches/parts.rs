//! The parts every message passes, one by one.

use std::hint::black_box;
use std::sync::LazyLock;

use divan::Bencher;
use switchboard::graph::payload;
use switchboard::graph::signature::{self, Signature};
use switchboard::inbox::normalize::normalize;
use switchboard::news::Newsroom;
use switchboard::outbox::format;
use switchboard::routing::{Routing, VERIFY_TOKEN, sealed_place};
use switchboard::sandbox::webhook;
use switchboard::secret::Ring;
use switchboard::store::accounts::Account;
use switchboard::store::chatbots::Chatbot;
use switchboard::store::tenants::Audit;
use switchboard::store::{Location, Store, migrate_up};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SECRET: &[u8] = b"an-app-secret-as-long-as-metas-";
const NUMBER: &str = "123456789012345";

fn main() {
    divan::main();
}

/// A text webhook of about 1 KB.
static BODY: LazyLock<String> =
    LazyLock::new(|| webhook::text_body(NUMBER, "15551234567", &"Where is my parcel? ".repeat(29)));

#[divan::bench]
fn signature_of_1_kb(bencher: Bencher) {
    let header = signature::sign(SECRET, BODY.as_bytes());
    bencher.bench(|| {
        let signature = Signature::parse(black_box(&header));
        assert!(signature.is_some_and(|signature| signature.matches(SECRET, BODY.as_bytes())));
    });
}

#[divan::bench]
fn split() -> payload::Split {
    payload::split(black_box(BODY.as_bytes())).unwrap()
}

#[divan::bench]
fn normalise(bencher: Bencher) {
    let split = payload::split(BODY.as_bytes()).unwrap();
    bencher.bench(|| normalize(black_box(&split.changes[0])));
}

/// Look-ups in memory, over a real database that holds one account.
static ROUTING: LazyLock<(Routing, i64, tokio::runtime::Runtime, tempfile::TempDir)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (routing, id) = runtime.block_on(async {
        let location = Location::Sqlite(folder.path().join("bench.db"));
        migrate_up(&location).await.unwrap();
        let store = Store::open(&location).await.unwrap();
        store.ensure_default_tenant(0).await.unwrap();
        let ring = ring();
        let chatbot = Chatbot::new("bot", "default", 0);
        let mut account = Account {
            id: 0,
            tenant_id: "default".into(),
            transport: "cloud".into(),
            chatbot_id: "bot".into(),
            phone_number_id: NUMBER.into(),
            business_account_id: "waba".into(),
            display_phone_number: None,
            webhook_url: None,
            verify_token_hash: ring.keyed_hash(VERIFY_TOKEN, "verify-token"),
            verify_token: String::new(),
            access_token: String::new(),
            app_secret: None,
            previous_app_secret: None,
            mode: "all".into(),
            status: "active".into(),
            status_reason: None,
            verified_at: None,
            checks: None,
            checked_at: None,
            created_at: 0,
            updated_at: 0,
            deleted_at: None,
        };
        account.access_token = ring.seal("token", &sealed_place(&account, "access_token"));
        let line = Audit {
            tenant: Some("default"),
            actor: "bench",
            action: "create",
            target: "",
            now: 0,
            ..Audit::default()
        };
        let id = store.save_account(&account, Some(&chatbot), None, &line).await.unwrap();
        let news = Newsroom::open(store.clone(), CancellationToken::new());
        (Routing::new(store, ring, news), id)
    });
    (routing, id, runtime, folder)
});

fn ring() -> Ring {
    Ring::parse(&"a-benchmark-key-that-is-long-enough-to-be-one".to_owned().into()).unwrap()
}

#[divan::bench]
fn accounts_of_a_number_cached(bencher: Bencher) {
    use futures_util::FutureExt;
    let (routing, _, runtime, _) = &*ROUTING;
    assert_eq!(runtime.block_on(routing.accounts(NUMBER)).unwrap().len(), 1);
    // Ready at once, so it is polled without a runtime: what is measured is the look-up alone.
    bencher.bench(|| routing.accounts(black_box(NUMBER)).now_or_never().unwrap().unwrap());
}

#[divan::bench]
fn account_cached(bencher: Bencher) {
    use futures_util::FutureExt;
    let (routing, id, runtime, _) = &*ROUTING;
    assert!(runtime.block_on(routing.account(NUMBER, *id)).unwrap().is_some());
    bencher.bench(|| routing.account(black_box(NUMBER), *id).now_or_never().unwrap().unwrap());
}

#[divan::bench]
fn markdown_to_whatsapp() -> String {
    const ANSWER: &str = "# Your parcel\n\nIt is **on its way** and comes *tomorrow*:\n\n- left our house on `Monday`\n\
        - [follow it](https://example.com/track/1)\n\n1. Have your code ready\n2. Sign ~~twice~~ once\n\n> Thank you!\n";
    format::to_whatsapp(black_box(ANSWER))
}

#[divan::bench]
fn open_a_sealed_secret(bencher: Bencher) {
    use switchboard::ids::TenantId;
    use switchboard::secret::Place;
    let ring = ring();
    let place = Place::new(&TenantId::trusted("default"), "whatsapp_accounts", "access_token", "bot/1");
    let sealed = ring.seal("EAAG".repeat(50), &place);
    bencher.bench(|| ring.open(black_box(&sealed), &place).unwrap());
}
