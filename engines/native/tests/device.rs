//! A device against the stand-in of WhatsApp's server: from its first code to its end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use switchboard_native::stand_in::StandIn;
use switchboard_native::{
    Content, Device, Ears, Keys, KeysError, Message, Receipt, SendError, Settings, Stage, Step, async_trait,
};

const SHOP: &str = "15550001111";
const ALICE: &str = "15551234567";

type Place = (&'static str, String, String);

/// Keys in memory, that can be lost, and that survive the device.
#[derive(Default)]
struct Memory {
    values: Mutex<BTreeMap<Place, Vec<u8>>>,
    lost: AtomicBool,
    batches: AtomicUsize,
}

#[async_trait]
impl Keys for Memory {
    async fn get(&self, kind: &'static str, k1: &str, k2: &str) -> Result<Option<Vec<u8>>, KeysError> {
        Ok(self.values.lock().unwrap().get(&(kind, k1.to_owned(), k2.to_owned())).cloned())
    }

    async fn scan(
        &self,
        kind: &'static str,
        k1: Option<&str>,
    ) -> Result<Vec<(String, String, Vec<u8>)>, KeysError> {
        let values = self.values.lock().unwrap();
        let found = values.iter().filter(|((a, b, _), _)| *a == kind && k1.is_none_or(|k1| k1 == b));
        Ok(found.map(|((_, k1, k2), value)| (k1.clone(), k2.clone(), value.clone())).collect())
    }

    async fn write(&self, steps: Vec<Step>) -> Result<(), KeysError> {
        if self.lost.load(Ordering::Acquire) {
            return Err(KeysError::Lost);
        }
        self.batches.fetch_add(1, Ordering::AcqRel);
        let mut values = self.values.lock().unwrap();
        for Step { kind, k1, k2, value } in steps {
            match value {
                Some(value) => values.insert((kind, k1, k2), value),
                None => values.remove(&(kind, k1, k2)),
            };
        }
        Ok(())
    }
}

/// Hears, and is sometimes deaf.
#[derive(Default)]
struct Listener {
    heard: Mutex<Vec<Message>>,
    receipts: Mutex<Vec<Receipt>>,
    deaf: AtomicBool,
}

#[async_trait]
impl Ears for Listener {
    async fn heard(&self, messages: Vec<Message>) -> Result<(), String> {
        if self.deaf.load(Ordering::Acquire) {
            return Err("the database is away".to_owned());
        }
        self.heard.lock().unwrap().extend(messages);
        Ok(())
    }

    async fn receipt(&self, receipt: Receipt) {
        self.receipts.lock().unwrap().push(receipt);
    }

    async fn turned(&self) {}
}

impl Listener {
    fn texts(&self) -> Vec<String> {
        let text = |message: &Message| match &message.content {
            Content::Text(text) => text.clone(),
            other => format!("{other:?}"),
        };
        self.heard.lock().unwrap().iter().map(text).collect()
    }

    fn statuses(&self, id: &str) -> Vec<&'static str> {
        let receipts = self.receipts.lock().unwrap();
        receipts.iter().filter(|receipt| receipt.ids.iter().any(|i| i == id)).map(|r| r.status).collect()
    }
}

struct World {
    server: StandIn,
    keys: Arc<Memory>,
    ears: Arc<Listener>,
}

impl World {
    async fn new() -> Self {
        let server = StandIn::start().await.unwrap();
        Self { server, keys: Arc::default(), ears: Arc::default() }
    }

    async fn start(&self) -> Device {
        let settings = Settings {
            url: Some(self.server.url.clone()),
            version: Some((2, 3000, 1)),
            name: "Test".to_owned(),
        };
        Device::start(self.keys.clone(), self.ears.clone(), &settings).await.unwrap()
    }

    /// A device that has been scanned by the shop's phone.
    async fn linked(&self) -> Device {
        let device = self.start().await;
        let code = until("a code", || device.code()).await.0;
        assert!(self.server.scan(&code, SHOP).await);
        connected(&device).await;
        device
    }
}

/// What becomes true soon.
async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(25);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn connected(device: &Device) {
    until("connected", || matches!(device.stage(), Stage::Connected(_)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_scans_and_text_goes_both_ways() {
    let world = World::new().await;
    let device = world.start().await;
    let (code, left) = until("a code", || device.code()).await;
    assert!(code.starts_with("2@") && left <= Duration::from_secs(60), "{code} {left:?}");
    assert!(!world.server.scan("2@another,a,b,c", SHOP).await, "nobody shows that");
    let early = device.send_text(&format!("{ALICE}@c.us"), "too early", "3EB0AA").await;
    assert!(matches!(early, Err(SendError::NotSent(_))), "{early:?}");
    assert!(world.server.scan(&code, SHOP).await);
    connected(&device).await;
    let Stage::Connected(me) = device.stage() else { unreachable!() };
    assert_eq!((me.phone.as_deref(), me.name.as_deref()), (Some(SHOP), Some("Shop")));

    let id = world.server.write(SHOP, ALICE, "Hello?").await;
    until("it is heard", || (!world.ears.texts().is_empty()).then_some(())).await;
    let heard = world.ears.heard.lock().unwrap()[0].clone();
    assert_eq!((&heard.id, heard.chat.as_str()), (&id, "15551234567@s.whatsapp.net"));
    assert_eq!((heard.phone.as_deref(), heard.name.as_deref()), (Some(ALICE), Some("Alice")));
    assert_eq!((heard.own, &heard.content), (false, &Content::Text("Hello?".to_owned())));
    until("it is receipted", || world.server.receipts().contains(&(id.clone(), String::new())).then_some(()))
        .await;

    device.mark_read(&heard.chat, &id).await.unwrap();
    device.typing(&heard.chat, true).await.unwrap();
    device.typing(&heard.chat, false).await.unwrap();
    device.send_text(&heard.chat, "Good day!", "3EB0BB").await.unwrap();
    until("it arrives", || (!world.server.sent().is_empty()).then_some(())).await;
    let sent = world.server.sent()[0].clone();
    assert_eq!((sent.from.as_str(), sent.to.as_str()), (SHOP, ALICE));
    assert_eq!((sent.text.as_str(), sent.id.as_str()), ("Good day!", "3EB0BB"));
    until("it is read", || world.ears.statuses("3EB0BB").contains(&"read").then_some(())).await;
    assert!(world.ears.statuses("3EB0BB").contains(&"delivered"));
    assert!(world.server.receipts().contains(&(id, "read".to_owned())));
    assert_eq!(world.server.typed(), [ALICE]);

    // The second one is on a ratchet that has turned; and one from somebody never heard of.
    world.server.write(SHOP, ALICE, "Second").await;
    world.server.write(SHOP, "15557654321", "Third").await;
    until("all are heard", || (world.ears.texts().len() == 3).then_some(())).await;
    assert!(device.is_on_whatsapp(ALICE).await.unwrap());
    assert!(!device.is_on_whatsapp("15550000000").await.unwrap());
    device.stop().await;
    assert!(!world.server.is_connected(SHOP));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_comes_back_from_its_keys_alone_with_what_was_missed() {
    let world = World::new().await;
    let device = world.linked().await;
    world.server.write(SHOP, ALICE, "before").await;
    until("it is heard", || (world.ears.texts() == ["before"]).then_some(())).await;
    device.stop().await;
    world.server.write(SHOP, ALICE, "meanwhile").await;
    let device = world.start().await;
    connected(&device).await;
    until("what was missed", || (world.ears.texts() == ["before", "meanwhile"]).then_some(())).await;
    device.send_text(&format!("{ALICE}@c.us"), "here again", "3EB0CC").await.unwrap();
    until("it arrives", || (world.server.sent().len() == 1).then_some(())).await;
    // A connection that is cut comes back by itself.
    let logins = world.server.logins(SHOP);
    world.server.drop_line(SHOP);
    until("it logs in again", || (world.server.logins(SHOP) > logins).then_some(())).await;
    connected(&device).await;
    world.server.write(SHOP, ALICE, "after").await;
    until("it hears again", || (world.ears.texts().len() == 3).then_some(())).await;
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_receipted_that_was_not_kept() {
    let world = World::new().await;
    let device = world.linked().await;
    world.ears.deaf.store(true, Ordering::Release);
    let id = world.server.write(SHOP, ALICE, "kept?").await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(world.server.receipts().iter().all(|(receipted, _)| *receipted != id));
    // It comes again, to another life of the device, which has read it before and could not read it twice.
    device.stop().await;
    world.ears.deaf.store(false, Ordering::Release);
    let device = world.start().await;
    until("it is heard after all", || (world.ears.texts() == ["kept?"]).then_some(())).await;
    until("and receipted", || world.server.receipts().contains(&(id.clone(), String::new())).then_some(()))
        .await;
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_told_by_its_code_and_one_id_is_one_message() {
    let world = World::new().await;
    let device = world.linked().await;
    let to = format!("{ALICE}@s.whatsapp.net");
    world.server.refuse(ALICE, Some("463"));
    let refused = device.send_text(&to, "unwanted", "3EB0D1").await;
    assert_eq!(refused, Err(SendError::Refused("WhatsApp refuses it with code 463".to_owned())));
    world.server.refuse(ALICE, Some("503"));
    let later = device.send_text(&to, "later", "3EB0D2").await;
    assert!(matches!(later, Err(SendError::NotSent(_))), "{later:?}");
    world.server.refuse(ALICE, None);
    for _ in 0..2 {
        device.send_text(&to, "later", "3EB0D2").await.unwrap();
    }
    until("it arrives", || (world.server.sent().len() == 1).then_some(())).await;
    let nowhere = device.send_text("120363000000000000@g.us", "to a group", "3EB0D3").await;
    assert!(matches!(nowhere, Err(SendError::Refused(_))), "{nowhere:?}");
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_words_and_hidden_numbers_are_told_as_what_they_are() {
    let world = World::new().await;
    let device = world.linked().await;
    world.server.write_on_phone(SHOP, ALICE, "by hand").await;
    world.server.write_hidden(SHOP, "15557654321", "from nobody").await;
    until("both are heard", || (world.ears.texts().len() == 2).then_some(())).await;
    let mut heard = world.ears.heard.lock().unwrap().clone();
    heard.sort_by_key(|message| !message.own);
    assert_eq!((heard[0].own, heard[0].chat.as_str()), (true, "15551234567@s.whatsapp.net"));
    assert_eq!((heard[1].own, heard[1].chat.as_str()), (false, "915557654321@lid"));
    assert_eq!(heard[1].phone.as_deref(), Some("15557654321"));
    let names = device.names_of("915557654321@lid").await.unwrap();
    let told = ("15557654321".to_owned(), "915557654321@lid".to_owned());
    assert_eq!(names.as_ref(), Some(&told), "it came with the message");
    assert_eq!(device.names_of("15557654321@c.us").await.unwrap(), Some(told));
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_end_has_a_name() {
    let world = World::new().await;
    let device = world.linked().await;
    world.server.unlink(SHOP);
    until("unlinked", || (device.stage() == Stage::LoggedOut).then_some(())).await;
    device.stop().await;
    // Its keys are good for nothing.
    let device = world.start().await;
    until("still unlinked", || (device.stage() == Stage::LoggedOut).then_some(())).await;
    device.stop().await;
    world.keys.values.lock().unwrap().clear();
    let first = world.linked().await;
    // Two over the same keys: the older one stops, and does not come back.
    let second = world.start().await;
    connected(&second).await;
    until("replaced", || (first.stage() == Stage::Replaced).then_some(())).await;
    first.stop().await;
    // Keys that are somebody else's by now end it at the next word.
    world.keys.lost.store(true, Ordering::Release);
    world.server.write(SHOP, ALICE, "too late").await;
    until("lost", || (second.stage() == Stage::KeysLost).then_some(())).await;
    assert_eq!(world.ears.texts(), Vec::<String>::new());
    drop(second);
    world.keys.lost.store(false, Ordering::Release);
    let third = world.start().await;
    connected(&third).await;
    third.log_out().await;
    assert!(!world.server.is_linked(SHOP));
}
