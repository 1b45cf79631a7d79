//! Every shape that Meta is known to send, and many that nobody should: each is acknowledged at once, what can be
//! answered is answered once, and the service lives.

mod broken;
mod fields;
mod messages;

use std::time::{Duration, Instant};

use switchboard::graph::signature::{HEADER, sign};
use switchboard::sandbox::http_client;
use switchboard::sandbox::webhook::new_wamid;

use crate::at_a_desk;
use crate::harness::APP_SECRET;
use crate::harness::shared::Desk;

/// A body, and how many answers its sender gets. In the body `$FROM` stands for a phone and `$USER` for a user ID that
/// nobody had before, `$ID` for a fresh message ID, `$NOW` for the time, `$PNID` and `$WABA` for the desk's number and
/// its business, `$OTHER` for a business of the same tenant that may be switched off.
struct Case {
    name: String,
    body: String,
    answers: usize,
}

impl Case {
    fn new(name: impl Into<String>, answers: usize, body: impl Into<String>) -> Self {
        Self { name: name.into(), body: body.into(), answers }
    }

    /// One change.
    fn change(name: &str, answers: usize, entry: &str, field: &str, value: &str) -> Self {
        let change = format!(r#"{{"value":{value},"field":"{field}"}}"#);
        let head = r#"{"object":"whatsapp_business_account","entry":[{"id":""#;
        Self::new(
            format!("{field} {name}"),
            answers,
            format!(r#"{head}{entry}","time":1739321024,"changes":[{change}]}}]}}"#),
        )
    }
}

/// A value of the desk's number with these members.
fn value(members: &str) -> String {
    let metadata = r#"{"display_phone_number":"15550783881","phone_number_id":"$PNID"}"#;
    format!(r#"{{"messaging_product":"whatsapp","metadata":{metadata},{members}}}"#)
}

async fn deliver(meta: &reqwest::Client, desk: &Desk, body: Vec<u8>) -> (u16, String, Duration) {
    let signature = sign(APP_SECRET.as_bytes(), &body);
    let request = meta.post(format!("{}/webhook", desk.service.running.url()));
    let began = Instant::now();
    let answer = request.header(HEADER, signature).body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap(), began.elapsed())
}

at_a_desk! {
    async fn every_shape_is_taken_and_only_questions_are_answered(desk) {
        let (chatbot, number) = (format!("{}-other", desk.chatbot), format!("{}99", desk.number));
        desk.another(&chatbot, |wish| wish.number = &number).await;
        let cases: Vec<Case> =
            [messages::cases(), fields::cases(), broken::cases()].into_iter().flatten().collect();
        assert!(cases.len() >= 150, "{}", cases.len());
        let now = (desk.world.clock.now_ms() / 1000).to_string();
        let (meta, mut people) = (http_client().unwrap(), Vec::new());
        for case in &cases {
            let phone = desk.customer();
            let body = case.body.replace("$FROM", &phone).replace("$USER", &format!("US.{phone}")).replace("$NOW", &now)
                .replace("$PNID", &desk.number).replace("$WABA", &desk.waba()).replace("$OTHER", &format!("waba-{number}"));
            let body = body.split("$ID").collect::<Vec<_>>().join(&new_wamid());
            let (status, answer, took) = deliver(&meta, &desk, body.into_bytes()).await;
            assert_eq!(status, 200, "{}: {answer}", case.name);
            assert!(took < Duration::from_millis(1_500), "{}: {took:?}", case.name);
            people.push(phone);
        }
        // Bytes that are no text at all, inside what is otherwise a message.
        let phone = desk.customer();
        let odd = desk.body(switchboard::sandbox::webhook::Incoming::text(&phone, "PLACE")).into_bytes();
        let at = odd.windows(5).position(|w| w == b"PLACE").unwrap();
        assert_eq!(deliver(&meta, &desk, [&odd[..at], &[0xff, 0xfe, 0xc3], &odd[at + 5..]].concat()).await.0, 200);
        people.push(phone);

        let expected: usize = cases.iter().map(|case| case.answers).sum::<usize>() + 1;
        desk.sent_are(expected).await;
        let sent = desk.rest().await;
        let mut wrong = Vec::new();
        for (n, phone) in people.iter().enumerate() {
            let (name, answers) = cases.get(n).map_or(("no text at all", 1), |case| (&case.name, case.answers));
            let theirs = sent.iter().filter(|s| s.to.trim_start_matches("US.") == phone).count();
            if theirs != answers {
                wrong.push(format!("{name}: {theirs}, not {answers}"));
            }
        }
        assert_eq!(wrong, [""; 0]);
        assert_eq!(sent.len(), expected);
        let waiting = "select reason from event_states where state = 'received' and phone_number_id = $number";
        desk.texts_are(waiting, &[]).await;
        let failed = "select reason from event_states where reason like 'its %' or reason like 'reading it%'";
        assert_eq!(desk.texts(failed).await, [""; 0], "nothing failed inside");
        let health = http_client().unwrap().get(format!("{}/health", desk.service.running.url())).send().await.unwrap();
        assert_eq!(health.status(), 200);
    }
}
