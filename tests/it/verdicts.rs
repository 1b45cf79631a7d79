//! Every row of Meta's error codes, end to end: as the answer to a send, and as a `failed` status afterwards.

use switchboard::sandbox::graph::{Fault, Rule};
use switchboard::sandbox::webhook::{Change, Status, body};

use crate::harness::{Onboard, SHOP, SOON, Service, World};
use crate::on_both_databases;

const ANNA: &str = "15551230001";

/// What a code leads to.
#[derive(Clone, Copy)]
enum Then {
    /// Sent by the second attempt.
    Again,
    /// Nobody knows; one attempt.
    Doubt,
    /// Failed; the account goes on.
    Fails,
    /// Failed, and the customer wants no more.
    OptsOut,
    /// Failed; the account is restricted.
    Restricts,
    /// Held, and the account with it.
    Holds,
}

use Then::*;

const ROWS: &[(&[i64], Then, &str)] = &[
    (&[4, 80_007, 130_429], Again, "rate_limited"),
    (&[131_056], Again, "pair_limited"),
    (&[133_016], Restricts, "registration_limited"),
    (&[1, 2, 131_000, 131_016, 131_057, 133_004], Doubt, "meta_unavailable"),
    (&[131_047], Fails, "window_closed"),
    (&[131_026], Fails, "undeliverable"),
    (&[131_049], Fails, "marketing_limited"),
    (&[131_050], OptsOut, "opted_out"),
    (&[131_048], Restricts, "spam_limited"),
    (&[131_064], Restricts, "template_misuse"),
    (&[131_051, 131_008, 131_009, 100, 33, 135_000], Fails, "bad_request"),
    (&[131_021], Fails, "own_number"),
    (&[131_052, 131_053], Fails, "media_failed"),
    (&[131_062], Fails, "phone_needed"),
    (&[131_030], Fails, "recipient_not_allowed"),
    (&[131_037, 131_045, 133_010, 133_000, 133_006, 133_015], Restricts, "number_not_ready"),
    (&[131_042], Restricts, "payment_missing"),
    (&[131_031, 368], Restricts, "account_restricted"),
    (&[130_497], Fails, "country_restricted"),
    (&[0, 190], Holds, "token_invalid"),
    (&[3, 10, 200, 299, 131_005], Holds, "permission_missing"),
    (
        &[132_000, 132_001, 132_005, 132_007, 132_012, 132_015, 132_016, 132_018, 132_068, 132_069],
        Fails,
        "template_invalid",
    ),
    (&[130_403], Fails, "contact_blocked"),
    (&[130_472], Fails, "experiment"),
    (&[134_100, 134_101, 134_102, 131_055, 131_063], Fails, "marketing_api"),
    (&[136_024], Fails, "already_verified"),
    (&[139_000, 138_000, 131_200, 147_001], Fails, "not_supported"),
];

/// Number, what became of its message, the attempts, the account and its reason, whether the customer opted out.
const OUTCOMES: &str = "select a.phone_number_id || ' ' || d.status || ' ' || coalesce(d.reason, '-') || ' ' || \
    cast(d.attempts as text) || ' ' || a.status || ' ' || coalesce(a.status_reason, '-') || \
    case when p.marketing = 'stop' then ' out' else '' end \
    from deliveries d join whatsapp_accounts a on a.id = d.whatsapp_account_id \
    join whatsapp_conversations c on c.id = d.conversation_id join contacts p on p.id = c.contact_id order by d.id";

fn codes() -> impl Iterator<Item = (i64, Then, &'static str)> {
    ROWS.iter().flat_map(|(codes, then, reason)| codes.iter().map(|code| (*code, *then, *reason)))
}

fn number(code: i64) -> String {
    (7_000_000 + code).to_string()
}

/// A number for each code, so that none spoils another's account.
async fn onboard(service: &Service, code: i64) {
    let (chatbot, number) = (format!("bot-{code}"), number(code));
    let wish = Onboard {
        chatbot: &chatbot,
        number: &number,
        change: |bot| bot.typing = false,
        ..Onboard::default()
    };
    service.onboard(wish).await;
}

on_both_databases! {
    async fn every_code_as_an_answer(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        let mut expected = Vec::new();
        for (code, then, reason) in codes() {
            onboard(&service, code).await;
            world.graph.fault(Rule::from(Fault::error(400, code)).id(&number(code)));
            service.text(&number(code), ANNA, "Hello").await;
            service.settle().await;
            let outcome = match then {
                Again => "sent - 2 active -".to_owned(),
                Doubt => format!("unknown {reason} 1 active -"),
                Fails => format!("failed {reason} 1 active -"),
                OptsOut => format!("failed {reason} 1 active - out"),
                Restricts => format!("failed {reason} 1 restricted {reason}"),
                Holds => format!("queued {reason} 1 token_invalid {reason}"),
            };
            expected.push(format!("{} {outcome}", number(code)));
        }
        // Longer than any retry would take: nothing else is tried again.
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        let held = |line: &String| line.replace("queued permission_missing", "queued token_invalid");
        let outcomes: Vec<String> = world.db.texts(OUTCOMES).await.iter().map(held).collect();
        assert_eq!(outcomes, expected.iter().map(held).collect::<Vec<_>>());
        service.running.stop().await;
    }
}

on_both_databases! {
    /// Taken at first, refused afterwards: the delivery has failed whatever the code, and account and customer are acted upon.
    async fn every_code_as_a_failed_status(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        let mut expected = Vec::new();
        for (n, (code, then, reason)) in codes().enumerate() {
            onboard(&service, code).await;
            service.text(&number(code), ANNA, "Hello").await;
            let sent = world.graph.wait_for_sent(n + 1, SOON).await;
            service.settle().await;
            let failed = Status::new(&sent[n].wamid, "failed", ANNA).with_error(code, "Refused");
            assert_eq!(service.post(body(&[Change::new(&number(code)).status(failed)])).await.status, 200);
            service.settle().await;
            let account = match then {
                Again | Doubt | Fails => "active -".to_owned(),
                OptsOut => "active - out".to_owned(),
                Restricts => format!("restricted {reason}"),
                Holds => format!("token_invalid {reason}"),
            };
            expected.push(format!("{} failed {reason} 1 {account}", number(code)));
            // At once, not when memory forgets: what the account may do is known here.
            let known = &service.running.routing.accounts(&number(code)).await.unwrap()[0];
            assert_eq!(known.status.may_send(), !matches!(then, Holds), "{code}");
        }
        assert_eq!(world.db.texts(OUTCOMES).await, expected);
        service.running.stop().await;
    }
}

on_both_databases! {
    /// A failure from before the new token says nothing of the new token; one that comes before our own record of the
    /// send counts like any other.
    async fn a_failed_status_counts_by_its_time(db: Db) {
        let world = World::fast(db);
        let service = world.start().await;
        let id = service.onboard(Onboard { change: |bot| bot.typing = false, ..Onboard::default() }).await;
        service.text(SHOP, ANNA, "Hello").await;
        let sent = world.graph.wait_for_sent(1, SOON).await;
        service.settle().await;
        let failed = Status::new(&sent[0].wamid, "failed", ANNA).with_error(190, "Expired");
        let now = switchboard::sandbox::now_ms();
        service.change_account(id, |account| account.updated_at = now).await;
        let old = Status { timestamp: now / 1_000 - 60, ..failed };
        assert_eq!(service.post(body(&[Change::new(SHOP).status(old)])).await.status, 200);
        service.settle().await;
        assert!(world.db.texts(OUTCOMES).await[0].ends_with("failed token_invalid 1 active -"));

        world.graph.fault(Fault::Hang(std::time::Duration::from_millis(1_200)));
        service.text(SHOP, ANNA, "Again").await;
        let sent = world.graph.wait_for_sent(2, SOON).await;
        let early = Status::new(&sent[1].wamid, "failed", ANNA).with_error(131_042, "No money");
        assert_eq!(service.post(body(&[Change::new(SHOP).status(early)])).await.status, 200);
        service.settle().await;
        assert!(world.db.texts(OUTCOMES).await[1].ends_with("failed payment_missing 1 restricted payment_missing"));
        let known = &service.running.routing.accounts(SHOP).await.unwrap()[0];
        assert_eq!(known.status, switchboard::routing::Status::Restricted);
        service.running.stop().await;
    }
}
