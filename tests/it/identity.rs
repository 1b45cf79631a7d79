//! Customers change phones, user IDs and shapes: the talk follows the person, never the number.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::news::News;
use switchboard::sandbox::graph::Sent;
use switchboard::sandbox::response_api::Answer;
use switchboard::sandbox::webhook::Incoming;

use crate::at_a_desk;
use crate::harness::shared::Desk;

const WHO: &str =
    "select u.unique_conv_id from whatsapp_conversations u where u.phone_number_id = $number order by u.id";

/// A customer's names before and after a change.
struct Names {
    phone: String,
    new_phone: String,
    user: String,
    new_user: String,
}

impl Names {
    fn of(desk: &Desk) -> Self {
        let (phone, new_phone) = (desk.customer(), desk.customer());
        let (user, new_user) = (format!("US.{phone}"), format!("US.{new_phone}"));
        Self { phone, new_phone, user, new_user }
    }
}

fn seconds(desk: &Desk) -> i64 {
    desk.world.clock.now_ms() / 1000
}

fn system(desk: &Desk, more: Value) -> Value {
    let mut message = json!({"id": format!("wamid.{}", desk.customer()), "type": "system",
        "timestamp": seconds(desk).to_string()});
    message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"messages": [message]})
}

/// Every shape in which Meta has told it: field and value, and how the customer writes afterwards.
fn shapes(desk: &Desk, n: &Names) -> Vec<(&'static str, Value, Incoming, String)> {
    let two = |phone: &str| Incoming::text(phone, "two").with_user_id(&n.new_user);
    vec![]
        .into_iter()
        .chain([
            (
                "messages",
                system(desk, json!({"from": n.phone, "from_user_id": n.new_user, "system": {"type": "user_changed_number",
                    "body": format!("User A changed from {} to {}", n.phone, n.new_phone), "wa_id": n.new_phone,
                    "user_id": n.new_user, "previous_user_id": n.user}})),
                two(&n.new_phone),
                n.new_phone.clone(),
            ),
            (
                "messages",
                system(desk, json!({"from": n.phone, "system": {"type": "user_changed_number",
                    "body": format!("User A changed from {} to {}", n.phone, n.new_phone), "wa_id": n.new_phone}})),
                two(&n.new_phone),
                n.new_phone.clone(),
            ),
            (
                "messages",
                system(desk, json!({"system": {"type": "user_changed_user_id", "user_id": n.new_user,
                    "previous_user_id": n.user}})),
                two("0").without_phone(),
                n.new_user.clone(),
            ),
            (
                "messages",
                system(desk, json!({"from_user_id": n.new_user, "system": {"type": "user_changed_user_id",
                    "body": format!("User @a changed from {} to {}", n.user, n.new_user)}})),
                two("0").without_phone(),
                n.new_user.clone(),
            ),
            (
                "user_id_update",
                json!({"user_id_update": [{"wa_id": n.phone, "timestamp": seconds(desk),
                    "user_id": {"previous": n.user, "current": n.new_user}}]}),
                two(&n.phone),
                n.phone.clone(),
            ),
        ])
        .collect()
}

at_a_desk! {
    /// Told twice, as Meta does; nobody is asked about it; afterwards the talk goes on, to the new address.
    async fn every_shape_of_a_change_moves_the_customer(desk) {
        for shape in 0..5 {
            let n = Names::of(&desk);
            desk.say(Incoming::text(&n.phone, "one").with_user_id(&n.user)).await;
            desk.sent_are(3 * shape + 1).await;
            let (field, value, then, address) = shapes(&desk, &n).swap_remove(shape);
            desk.tell(field, value.clone()).await;
            desk.tell(field, value).await;
            desk.say(then).await;
            let sent = desk.sent_are(3 * shape + 2).await;
            assert_eq!(sent[3 * shape + 1].to, address, "shape {shape}");
            let asked = desk.asked();
            assert_eq!(asked.len(), 3 * shape + 2, "shape {shape}: nobody is asked about the change");
            let history = asked[3 * shape + 1].history();
            let user: Vec<&str> = history.iter().filter(|(role, _)| role == "user").map(|(_, w)| w.as_str()).collect();
            assert_eq!((user.first(), user.last()), (Some(&"one"), Some(&"two")), "shape {shape}");
            let client = |n: usize| asked[n].body["user"]["uniqueClientId"].clone();
            assert_eq!(client(3 * shape), client(3 * shape + 1), "shape {shape}: the id never changes");

            // Whoever has the former phone now is somebody else, by name and by history.
            let before = desk.texts(WHO).await.len();
            desk.say(Incoming::text(&n.phone, "I am new here").with_user_id(format!("{}N", n.user))).await;
            desk.sent_are(3 * shape + 3).await;
            let other = desk.asked().pop().unwrap();
            assert_eq!(other.history().len(), 1, "shape {shape}: {:?}", other.history());
            assert_eq!(other.body["user"]["uniqueClientId"], format!("whatsapp_{}_{}_2", n.phone, desk.chatbot));
            assert_eq!(desk.texts(WHO).await.len(), before + 1);
        }
    }

    /// The change comes first, then what was written before it.
    async fn a_change_of_somebody_unknown_waits_for_them(desk) {
        let n = Names::of(&desk);
        desk.tell("messages", shapes(&desk, &n).swap_remove(0).1).await;
        let late = Incoming::text(&n.phone, "written before").with_user_id(&n.user).at(seconds(&desk) - 60);
        desk.say(late).await;
        let sent = desk.sent_are(1).await;
        assert_eq!(sent[0].to, n.new_phone, "the answer goes to where they are now");
        desk.say(Incoming::text(&n.new_phone, "written after").with_user_id(&n.new_user)).await;
        desk.sent_are(2).await;
        let words: Vec<String> = desk.asked()[1].history().into_iter().map(|(_, words)| words).collect();
        assert!(words.contains(&"written before".to_owned()), "{words:?}");
        let links = "select kind || ' ' || previous from contact_renames where tenant_id = $tenant order by kind";
        assert_eq!(desk.texts(links).await, [format!("bsuid {}", n.user), format!("wa_id {}", n.phone)]);
    }

    /// A recycled number without any user ID: what tells it is the change, and nothing else.
    async fn a_number_that_was_given_up_brings_nobodys_history(desk) {
        let n = Names::of(&desk);
        desk.text(&n.phone, "my secret").await;
        desk.sent_are(1).await;
        desk.tell("messages", shapes(&desk, &n).swap_remove(1).1).await;
        desk.text(&n.phone, "who am I?").await;
        desk.sent_are(2).await;
        let asked = desk.asked();
        assert_eq!(asked[1].history(), [("user".to_owned(), "who am I?".to_owned())]);
        assert_eq!(asked[1].body["user"]["uniqueClientId"], format!("whatsapp_{}_{}_2", n.phone, desk.chatbot));
        // And the former owner is answered at the new number, with the history.
        desk.text(&n.new_phone, "still me").await;
        let sent = desk.sent_are(3).await;
        assert_eq!(sent[2].to, n.new_phone);
        assert_eq!(desk.asked()[2].history()[0].1, "my secret");
    }

    /// The change and the new owner's first words in one delivery, while the former owner is well known.
    async fn a_number_may_be_given_up_and_used_at_once(desk) {
        let n = Names::of(&desk);
        for text in ["my secret", "another"] {
            desk.text(&n.phone, text).await;
        }
        desk.sent_are(2).await;
        let mut changed = shapes(&desk, &n).swap_remove(1).1;
        changed["messages"][0]["timestamp"] = (seconds(&desk) - 5).to_string().into();
        changed["metadata"] = json!({"phone_number_id": desk.number});
        let said = json!({"messages": [desk.fresh(&n.phone, "who am I?")], "metadata": {"phone_number_id": desk.number}});
        let changes = [changed, said].map(|value| json!({"field": "messages", "value": value}));
        desk.post(json!({"object": "whatsapp_business_account", "entry": [{"id": desk.waba(), "changes": changes}]}).to_string()).await;
        desk.sent_are(3).await;
        assert_eq!(desk.asked()[2].history(), [("user".to_owned(), "who am I?".to_owned())]);
    }

    /// The phone changes while a responder thinks: what comes next is answered at the new one.
    async fn a_conversation_at_work_follows_its_customer(desk) {
        let n = Names::of(&desk);
        desk.world.responder.next(Some(&desk.chatbot), [Answer::Echo.after(Duration::from_millis(700))]);
        desk.say(Incoming::text(&n.phone, "one").with_user_id(&n.user)).await;
        desk.service.wait_until("the question", || async { desk.asked().len() == 1 }).await;
        desk.tell("messages", shapes(&desk, &n).swap_remove(0).1).await;
        desk.say(Incoming::text(&n.new_phone, "two").with_user_id(&n.new_user)).await;
        desk.texts_are("select text from messages where whatsapp_account_id = $account and direction = 'in' and note is null order by id", &["one", "two"]).await;
        assert_eq!(desk.sent().len(), 0, "it still thinks");
        assert_eq!(desk.sent_are(2).await[1].to, n.new_phone);
    }

    /// What waited, and what a responder was still thinking of, goes to where its customer is when it leaves; also when
    /// the phone is somebody else's by then, who is not told of it.
    async fn an_answer_never_goes_to_a_phone_that_was_given_up(desk) {
        let (told, untold) = (Names::of(&desk), Names::of(&desk));
        desk.service.change_account(desk.account, |a| a.status = "token_invalid".into()).await;
        for n in [&told, &untold] {
            desk.say(Incoming::text(&n.phone, "waits").with_user_id(&n.user)).await;
        }
        let waiting = "select status from deliveries where whatsapp_account_id = $account order by id";
        desk.texts_are(waiting, &["queued", "queued"]).await;
        desk.world.responder.next(Some(&desk.chatbot), [900, 900].map(|ms| Answer::Echo.after(Duration::from_millis(ms))));
        for n in [&told, &untold] {
            desk.say(Incoming::text(&n.phone, "is thought of").with_user_id(&n.user)).await;
        }
        desk.service.wait_until("the questions", || async { desk.asked().len() == 4 }).await;
        desk.tell("messages", shapes(&desk, &told).swap_remove(0).1).await;
        for n in [&told, &untold] {
            desk.say(Incoming::text(&n.phone, "I am new").with_user_id(format!("{}N", n.user))).await;
        }
        desk.service.change_account(desk.account, |a| a.status = "active".into()).await;
        let active = "select status from whatsapp_accounts where id = $account";
        desk.texts_are(active, &["active"]).await;
        desk.service.running.news.tell(News::Work).await.unwrap();
        let sent = desk.sent_are(6).await;
        let said = |sent: &Sent| sent.text().split(['\n', ':']).nth(1).unwrap_or_default().trim().to_owned();
        let mut found: Vec<(String, String)> = sent.iter().map(|sent| (sent.to.clone(), said(sent))).collect();
        found.sort();
        let mut expected = Vec::new();
        for (phone, old) in [(&told.phone, &told.new_phone), (&untold.phone, &untold.user)] {
            expected.push((phone.clone(), "I am new".to_owned()));
            expected.extend(["waits", "is thought of"].map(|text| (old.clone(), text.to_owned())));
        }
        expected.sort();
        assert_eq!(found, expected);
    }

    /// Nothing is known of the former owner but the phone that is another's now: what waits for them has nowhere to go.
    async fn what_has_no_address_any_more_is_not_sent(desk) {
        let phone = desk.customer();
        desk.service.change_account(desk.account, |a| a.status = "token_invalid".into()).await;
        desk.text(&phone, "for me alone").await;
        let standing = "select status || ' ' || coalesce(reason, '') from deliveries where whatsapp_account_id = $account \
                        order by id";
        desk.texts_are(standing, &["queued token_invalid"]).await;
        desk.say(Incoming::text("0", "Hi").with_user_id("US.here").without_phone()).await;
        desk.say(Incoming::text(&phone, "It is mine").with_user_id("US.here")).await;
        desk.texts_are("select status from deliveries where whatsapp_account_id = $account", &["queued"; 3]).await;
        desk.service.change_account(desk.account, |a| a.status = "active".into()).await;
        desk.service.running.news.tell(News::Work).await.unwrap();
        desk.sent_are(2).await;
        desk.texts_are(standing, &["failed undeliverable", "sent ", "sent "]).await;
        assert!(desk.sent().iter().all(|sent| !sent.text().contains("for me alone")));
    }

    /// Somebody known by user ID alone comes with the phone of somebody known by phone alone: perhaps they are one, perhaps
    /// the phone was given on meanwhile. Nobody can tell, so nothing that was said at the phone is shown to its owner.
    async fn a_phone_and_a_user_id_that_meet_late_stay_two(desk) {
        let (phone, user) = (desk.customer(), format!("US.{}", desk.customer()));
        let by_user = |text: &str| Incoming::text("0", text).with_user_id(&user).without_phone();
        desk.text(&phone, "said at the phone").await;
        desk.sent_are(1).await;
        desk.say(by_user("said without")).await;
        desk.sent_are(2).await;
        desk.say(Incoming::text(&phone, "said with both").with_user_id(&user)).await;
        desk.sent_are(3).await;
        desk.text(&phone, "by phone again").await;
        desk.sent_are(4).await;
        desk.say(by_user("by user ID again")).await;
        desk.sent_are(5).await;
        let asked = desk.asked();
        let client = |n: usize| asked[n].body["user"]["uniqueClientId"].clone();
        assert_ne!(client(0), client(1));
        assert_eq!([client(2), client(3), client(4)], [client(1), client(1), client(1)]);
        let words: Vec<String> = asked[4].history().into_iter().filter(|(r, _)| r == "user").map(|(_, w)| w).collect();
        assert_eq!(words, ["said without", "said with both", "by phone again", "by user ID again"]);
        // People still find what was said, under a contact without a name.
        let names = "select (select count(*) from contact_aliases a where a.contact_id = c.id) || ' ' || \
                     (select count(*) from messages m join whatsapp_conversations w on w.id = m.conversation_id \
                      where w.contact_id = c.id) from contacts c where c.tenant_id = $tenant order by c.id";
        assert_eq!(desk.texts(names).await, ["0 2", "2 8"]);
    }

    /// What its former owner wrote comes late: the phone stays with whoever has it since.
    async fn a_late_message_takes_no_phone_back(desk) {
        let n = Names::of(&desk);
        desk.say(Incoming::text(&n.phone, "one").with_user_id(&n.user).at(seconds(&desk) - 60)).await;
        desk.sent_are(1).await;
        desk.say(Incoming::text(&n.phone, "I am new").with_user_id(&n.new_user).at(seconds(&desk) - 10)).await;
        desk.sent_are(2).await;
        desk.say(Incoming::text(&n.phone, "late").with_user_id(&n.user).at(seconds(&desk) - 30)).await;
        let to: Vec<String> = desk.sent_are(3).await.into_iter().map(|sent| sent.to).collect();
        assert_eq!(to, [n.phone.clone(), n.phone.clone(), n.user.clone()]);
        desk.say(Incoming::text(&n.phone, "and on").with_user_id(&n.new_user)).await;
        assert_eq!(desk.sent_are(4).await[3].to, n.phone);
    }

    /// A phone is given to somebody else: nothing that is meant for the former owner goes there, whatever is still known
    /// of them.
    async fn nobody_is_written_to_at_a_phone_they_gave_up(desk) {
        let addresses = "select recipient from whatsapp_conversations where phone_number_id = $number order by id";
        let (known, unknown) = (desk.customer(), desk.customer());
        desk.say(Incoming::text(&known, "one").with_user_id("US.former")).await;
        desk.text(&unknown, "one").await;
        desk.sent_are(2).await;
        desk.service.change_account(desk.account, |a| a.status = "token_invalid".into()).await;
        desk.say(Incoming::text(&known, "two").with_user_id("US.former")).await;
        desk.texts_are("select status from deliveries where whatsapp_account_id = $account order by id", &["sent", "sent", "queued"]).await;
        // The phone comes with a new user ID; the other one is the present phone of somebody known by a user ID.
        desk.say(Incoming::text("0", "Hi").with_user_id("US.other").without_phone()).await;
        desk.say(Incoming::text(&known, "I am new").with_user_id("US.new")).await;
        desk.say(Incoming::text(&unknown, "It is me").with_user_id("US.other")).await;
        let phone = |digits: &str| format!(r#"{{"phone":"{digits}"}}"#);
        let expected = [r#"{"user_id":"US.former"}"#, r#"{"user_id":""}"#, &phone(&unknown), &phone(&known)];
        desk.texts_are(addresses, &expected).await;
        let held = "select recipient from deliveries where whatsapp_account_id = $account and status = 'queued' order by id";
        let held = desk.texts(held).await;
        assert_eq!(held[0], expected[0], "what waits goes where they are");
    }

    /// Chains of changes are followed, and a replay of the first does not undo the second.
    async fn a_second_change_follows_the_first(desk) {
        let (a, mut b) = (Names::of(&desk), Names::of(&desk));
        (b.phone, b.user) = (a.new_phone.clone(), a.new_user.clone());
        desk.say(Incoming::text(&a.phone, "one").with_user_id(&a.user)).await;
        desk.sent_are(1).await;
        let first = shapes(&desk, &a).swap_remove(0).1;
        desk.tell("messages", first.clone()).await;
        desk.tell("messages", shapes(&desk, &b).swap_remove(0).1).await;
        desk.tell("messages", first).await;
        desk.say(Incoming::text(&b.new_phone, "two").with_user_id(&b.new_user)).await;
        let sent = desk.sent_are(2).await;
        assert_eq!(sent[1].to, b.new_phone);
        assert_eq!(desk.asked()[1].history()[0].1, "one");
    }

    async fn a_customer_without_a_phone_is_answered_by_user_id(desk) {
        let id = format!("US.{}", desk.customer());
        for message in [Incoming::text("0", "Hi").with_user_id(&id).without_phone(), Incoming::text(&id, "Again")] {
            desk.say(message).await;
        }
        let sent = desk.sent_are(2).await;
        for sent in &sent {
            assert_eq!((sent.body["recipient"].as_str(), sent.body.get("to")), (Some(id.as_str()), None));
        }
        let asked = desk.asked();
        let metadata = &asked[1].body["user"]["metadata"];
        assert_eq!((metadata["platform"].as_str(), metadata.get("phoneNumber")), (Some("whatsapp"), None));
        assert_eq!(asked[1].body["user"]["uniqueClientId"], format!("whatsapp_{id}_{}", desk.chatbot));
        assert_eq!(asked[1].history()[0].1, "Hi");
    }

    async fn a_word_on_marketing_stays_with_the_customer(desk) {
        let (anna, bert) = (desk.customer(), desk.customer());
        let word = "select coalesce(c.marketing, '-') from contacts c join contact_aliases a on a.contact_id = c.id \
                    where c.tenant_id = $tenant and a.kind = 'wa_id' order by c.id";
        desk.text(&anna, "Hi").await;
        desk.sent_are(1).await;
        let say = |phone: &str, value: &str, at: i64| json!({"contacts": [{"wa_id": phone}], "user_preferences": [
            {"wa_id": phone, "category": "marketing_messages", "value": value, "timestamp": at.to_string()}]});
        desk.tell("user_preferences", say(&anna, "stop", 1_700_000_100)).await;
        desk.texts_are(word, &["stop"]).await;
        desk.tell("user_preferences", say(&anna, "resume", 1_700_000_050)).await;
        desk.tell("user_preferences", say(&bert, "stop", 1_700_000_050)).await;
        desk.texts_are(word, &["stop", "stop"]).await;
        desk.tell("user_preferences", say(&anna, "resume", 1_700_000_200)).await;
        desk.texts_are(word, &["resume", "stop"]).await;
        assert!(desk.rest().await.len() == 1, "marketing is not service: nothing else changed");
    }
}
