//! What is set aside for one tenant never becomes another's to see or to answer; and one account's trouble is its own.

use switchboard::news::News;
use switchboard::store::accounts::Number;
use switchboard::store::tenants::Audit;
use switchboard::store::turns::{CloseTurn, OpenTurn, Opened, TurnEnd};

use crate::harness::{HELP, Onboard, SHOP, SOON, World};
use crate::on_both_databases;

const ANNA: &str = "15551230001";
const IN_LINE: &str = "insert into pending_messages (message_id, conversation_id, at) \
                       select id, conversation_id, 1 from messages returning cast(message_id as text)";
const STATES: &str = "select state || ': ' || coalesce(tenant_id, '-') from event_states order by event_id";

/// Graph confirmed the number for this tenant.
async fn confirm(service: &crate::harness::Service, account: i64, tenant: &str, number: &str) {
    let store = &service.running.store;
    let row = store.account(account).await.unwrap().unwrap();
    let claim = Number {
        phone_number_id: number.into(),
        tenant_id: tenant.into(),
        business_account_id: row.business_account_id.clone(),
        display_phone_number: None,
    };
    let line = Audit {
        tenant: Some(tenant),
        actor: "test",
        action: "confirm",
        target: number,
        now: 1,
        ..Audit::default()
    };
    store.save_account(&row, None, Some(&claim), &line).await.unwrap();
    service.running.routing.changed(number).await;
}

on_both_databases! {
    /// Somebody merely claims a number: they see nothing of it, neither before nor after it is confirmed for another.
    async fn a_claim_shows_nothing(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        let claim = Onboard { tenant: "claimer", chatbot: "claiming-bot", status: "pending", ..Onboard::default() };
        service.onboard(claim).await;
        service.text(SHOP, ANNA, "Before it was confirmed").await;
        service.wait_until("parked", async || !world.db.texts(STATES).await.is_empty()).await;
        service.settle().await;
        assert_eq!(world.db.texts(STATES).await, ["parked: -"]);

        let owner = service.onboard(Onboard { tenant: "owner", chatbot: "owners-bot", ..Onboard::default() }).await;
        confirm(&service, owner, "owner", SHOP).await;
        service.text(SHOP, ANNA, "After it was confirmed").await;
        world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;
        assert_eq!(world.db.texts(STATES).await, ["parked: -"], "the owner's message is plainly done");
        assert_eq!(world.responder.received_for("claiming-bot").len(), 0);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// A number goes to another tenant: what waited for the former one is neither reopened nor replayed for the new one.
    async fn what_waited_for_a_former_owner_stays_theirs(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        let former = Onboard { tenant: "former", chatbot: "former-bot", status: "inactive", ..Onboard::default() };
        let id = service.onboard(former).await;
        confirm(&service, id, "former", SHOP).await;
        service.text(SHOP, ANNA, "For the former owner").await;
        service.wait_until("parked", async || !world.db.texts(STATES).await.is_empty()).await;
        service.settle().await;
        assert_eq!(world.db.texts(STATES).await, ["parked: former"]);

        service.change_account(id, |a| a.deleted_at = Some(1)).await;
        service.running.store.free_number(SHOP).await.unwrap();
        let next = service.onboard(Onboard { tenant: "next", chatbot: "next-bot", ..Onboard::default() }).await;
        confirm(&service, next, "next", SHOP).await;
        assert_eq!(service.running.store.reopen_events("next", SHOP, 0).await.unwrap(), 0);
        let event = world.db.texts("select cast(event_id as text) from event_states").await[0].parse().unwrap();
        assert!(service.running.store.replay_event(event, 1).await.unwrap());
        service.running.news.tell(News::Work).await.unwrap();
        service.wait_until("set aside again", async || world.db.texts(STATES).await == ["unroutable: former"]).await;
        service.settle().await;
        assert_eq!(world.graph.sent_count(), 0);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// An account whose secrets no key opens: it is silent, and nobody else notices.
    async fn an_unreadable_account_is_alone_with_it(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        let broken = service.onboard(Onboard { app_secret: Some("its-own-secret"), ..Onboard::default() }).await;
        service.change_account(broken, |a| a.access_token = "v1.lost.AAAA".into()).await;
        service.change_account(broken, |a| a.app_secret = Some("v1.lost.AAAA".into())).await;
        let own = Onboard { tenant: "other", chatbot: "other-bot", number: HELP, app_secret: Some("others-secret"), ..Onboard::default() };
        service.onboard(own).await;
        service.text(SHOP, ANNA, "Can you hear me?").await;
        let change = switchboard::sandbox::webhook::Change::new(HELP)
            .message(switchboard::sandbox::webhook::Incoming::text(ANNA, "And you?"));
        let meta = switchboard::sandbox::webhook::Sender::new(format!("{}/webhook", service.running.url()), "others-secret");
        let answer = meta.unwrap().send(switchboard::sandbox::webhook::body(&[change])).await.unwrap();
        assert_eq!(answer.status, 200);
        let sent = world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;
        assert_eq!(sent[0].phone_number_id, HELP);
        assert_eq!(world.db.texts(STATES).await, ["parked: default"]);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// The news of a commit is lost and the write is repeated: a turn stays itself, and its answer single.
    async fn a_repeated_write_finds_what_it_did(db: Db) {
        let world = World::new(db);
        let service = world.start().await;
        service.onboard(Onboard { change: |bot| bot.paused = true, ..Onboard::default() }).await;
        service.text(SHOP, ANNA, "One").await;
        service.settle().await;
        let store = &service.running.store;
        let account = service.running.routing.accounts(SHOP).await.unwrap()[0].clone();
        let message: i64 = world.db.texts("select cast(id as text) from messages").await[0].parse().unwrap();
        world.db.texts(IN_LINE).await;
        let now = world.clock.now_ms();
        let open = OpenTurn {
            turn_id: uuid::Uuid::now_v7(),
            place: account.place.clone(),
            conversation_id: 1,
            thread_id: 1,
            members: vec![message],
            now,
        };
        for _ in 0..2 {
            assert_eq!(store.stations().write(open.clone()).await.unwrap(), Opened::Asking(vec![message]));
        }
        let close = CloseTurn {
            turn_id: open.turn_id,
            place: account.place.clone(),
            conversation_id: 1,
            thread_id: 1,
            end: TurnEnd::Dropped,
            reason: None,
            attempts: 0,
            reply: None,
            hand_over: false,
            now,
        };
        assert!(store.stations().write(close.clone()).await.unwrap().is_some());
        assert!(store.stations().write(close).await.unwrap().is_none(), "ended once");
        service.running.stop().await;
    }
}
