//! Where a session stands, why, and what a person can do about it; and how that follows from what its engine says.

use std::time::Duration;

use super::engine::{EngineError, Me, Seen};

/// Tries to bring a session back before a person is asked.
pub const RECONNECTS: i64 = 5;
/// Wait before the first of them; each further one waits twice as long, up to the last.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// A connection that lasts so long was a good one: tries are counted anew, in milliseconds.
const GOOD: i64 = 60_000;
/// An engine that starts for so long is stuck, in milliseconds.
const STUCK: i64 = 60_000;

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident $word:literal)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$doc])* $variant),* }

        impl $name {
            /// The stored and served word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
    };
}

words! {
    /// Where a session stands.
    State {
        /// It shows a QR or a code and waits for the phone.
        Pairing "pairing"
        /// It is on its way to a connection, the first or the next.
        Connecting "connecting"
        /// Messages come and go.
        Connected "connected"
        /// It is switched off, or its engine is away.
        Disconnected "disconnected"
        /// The phone no longer knows it.
        LoggedOut "logged_out"
        /// Nobody scanned its QR codes.
        Expired "expired"
        /// It needs a person.
        Failed "failed"
    }
}

impl State {
    /// Reads the stored word.
    pub fn parse(word: &str) -> Self {
        use State::*;
        let all = [Pairing, Connecting, Connected, Disconnected, LoggedOut, Expired];
        all.into_iter().find(|state| state.as_str() == word).unwrap_or(Failed)
    }
}

/// A reason: its code, one sentence, what to do.
type Reason = (&'static str, &'static str, &'static str);

const NOTHING: &str = "Nothing to do.";
const START: &str = "Start it again, or log it out.";

const REASONS: [Reason; 22] = [
    (
        "scan_qr",
        "The QR code waits to be scanned.",
        "Open WhatsApp on the phone, Linked devices, Link a device, and scan.",
    ),
    ("starting", "The engine prepares a QR code.", NOTHING),
    ("restoring", "The connection is being restored.", NOTHING),
    ("reconnecting", "The connection was lost and is being tried again.", NOTHING),
    ("connected", "The number is connected.", NOTHING),
    ("stopping", "The session is being stopped.", NOTHING),
    ("stopped", "The session was stopped; the phone is still linked.", "Start it when it is wanted again."),
    ("logging_out", "The session is being logged out.", NOTHING),
    ("logged_out", "The session was logged out.", "Start it and scan the new QR code."),
    (
        "phone_logged_out",
        "The phone has unlinked this device; what waits to be sent is kept.",
        "Start it and scan the new QR code.",
    ),
    (
        "engine_forgot",
        "The engine no longer has this session's keys; what waits to be sent is kept.",
        "Start it and scan the new QR code.",
    ),
    (
        "restored",
        "The database was brought back from a copy, and this session does not go on by itself.",
        "See that it runs nowhere else, then start it; where a QR code is shown, scan it again.",
    ),
    ("qr_expired", "Nobody scanned the QR codes in time.", "Start it for a new QR code."),
    (
        "engine_unreachable",
        "The engine does not answer; what waits to be sent is kept.",
        "See that the engine runs and that WAHA_API_URL is its address; nothing needs to be scanned again.",
    ),
    (
        "key_refused",
        "The engine refuses our key.",
        "Set WAHA_API_KEY to the key that the engine was started with.",
    ),
    (
        "engine_refused",
        "The engine refuses to run this session.",
        "Read the engine's words; it may be an old version or out of room.",
    ),
    ("engine_failed", "The engine could not keep the session.", START),
    (
        "max_reconnect_exceeded",
        "The connection did not come back after several tries.",
        "See that the phone has a connection, then reconnect.",
    ),
    (
        "needs_attention",
        "The engine asks for something we do not know.",
        "Look at the engine's own page for this session.",
    ),
    (
        "silent",
        "The session says it is connected, but WhatsApp does not answer through it.",
        "It is restarted by itself; reconnect if it stays so.",
    ),
    (
        "crashed",
        "The watcher of this session stopped by a fault of ours and starts again.",
        "If it stays so, restart the session.",
    ),
    ("unknown", "The session stands where we know nothing of.", START),
];

/// The sentence and the advice for a reason.
pub fn explain(reason: &str) -> (&'static str, &'static str) {
    let found = REASONS.iter().find(|(code, ..)| *code == reason);
    let (_, sentence, advice) = found.unwrap_or(&REASONS[REASONS.len() - 1]);
    (sentence, advice)
}

/// What is known of a session before the engine is asked.
#[derive(Debug, Clone, Copy)]
pub struct Past {
    /// Where it stood.
    pub state: State,
    /// Whether it was for want of tries.
    pub given_up: bool,
    /// How long it has stood there, in milliseconds.
    pub age: i64,
    /// Whether the engine should hold keys that a phone confirmed.
    pub paired: bool,
    /// Tries so far.
    pub reconnects: i64,
    /// Earliest time of the next, from now, in milliseconds.
    pub retry_in: i64,
}

/// What is to be done at the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Nothing,
    /// Make it run; it may not exist there.
    Start,
    /// Stop and start it.
    Restart,
    /// Get the QR code it shows.
    ShowQr,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Where it stands now.
    pub state: State,
    /// Why.
    pub reason: &'static str,
    /// The engine's own words.
    pub detail: Option<String>,
    /// See [`Past::paired`].
    pub paired: bool,
    /// Tries so far, this one included.
    pub reconnects: i64,
    /// Wait before the next try.
    pub wait: Duration,
    /// What to do.
    pub act: Act,
    /// Who it is, when connected.
    pub me: Option<Me>,
}

impl Past {
    fn now(self, state: State, reason: &'static str) -> Decision {
        let (paired, reconnects) = (self.paired, self.reconnects);
        let (detail, wait, act, me) = (None, Duration::ZERO, Act::Nothing, None);
        Decision { state, reason, detail, paired, reconnects, wait, act, me }
    }

    /// It rests where it is until a person acts.
    fn rests(self) -> bool {
        self.given_up || matches!(self.state, State::LoggedOut | State::Expired)
    }

    fn retry(self, act: Act) -> Option<Decision> {
        if self.reconnects >= RECONNECTS {
            return Some(self.now(State::Failed, "max_reconnect_exceeded"));
        }
        if self.retry_in > 0 {
            return None;
        }
        let doubled = FIRST_WAIT * 2_u32.pow(u32::try_from(self.reconnects).unwrap_or(0).min(10));
        let again = self.now(State::Connecting, if self.paired { "reconnecting" } else { "starting" });
        Some(Decision { reconnects: self.reconnects + 1, wait: doubled.min(LONGEST_WAIT), act, ..again })
    }
}

/// What follows from what the engine says. `None`: everything stays as it is.
pub fn decide(past: Past, seen: Result<Seen, EngineError>) -> Option<Decision> {
    use State::*;
    let seen = match seen {
        Ok(seen) => seen,
        Err(_) if past.rests() => return None,
        Err(EngineError::Unreachable(words)) => {
            return Some(Decision { detail: Some(words), ..past.now(Disconnected, "engine_unreachable") });
        }
        Err(EngineError::KeyRefused) => return Some(past.now(Disconnected, "key_refused")),
        Err(EngineError::Refused(words)) => {
            return Some(Decision { detail: Some(words), ..past.now(Failed, "engine_refused") });
        }
    };
    match seen {
        Seen::Working(me) => {
            let good = past.state == Connected && past.age >= GOOD;
            let reconnects = if good { 0 } else { past.reconnects };
            let now = past.now(Connected, "connected");
            Some(Decision { paired: true, reconnects, me: Some(me), ..now })
        }
        Seen::Odd(word) => Some(Decision { detail: Some(word), ..past.now(Failed, "needs_attention") }),
        _ if past.rests() => None,
        Seen::Pairing | Seen::Unlinked if past.paired => {
            Some(Decision { paired: false, ..past.now(LoggedOut, "phone_logged_out") })
        }
        Seen::Pairing => Some(Decision { act: Act::ShowQr, ..past.now(Pairing, "scan_qr") }),
        Seen::Absent if past.paired => {
            Some(Decision { paired: false, ..past.now(LoggedOut, "engine_forgot") })
        }
        Seen::Failed if past.state == Pairing => Some(past.now(Expired, "qr_expired")),
        Seen::Absent | Seen::Stopped => past.retry(Act::Start),
        Seen::Failed | Seen::Unlinked => past.retry(Act::Restart),
        Seen::Reconnecting(words) => {
            let now = past.now(Connecting, if past.paired { "reconnecting" } else { "starting" });
            Some(Decision { detail: Some(words), ..now })
        }
        Seen::Starting if past.state == Connecting && past.age > STUCK => past.retry(Act::Restart),
        Seen::Starting if past.state == Connecting => None,
        Seen::Starting => Some(past.now(Connecting, if past.paired { "reconnecting" } else { "starting" })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(state: State, paired: bool) -> Past {
        Past { state, given_up: false, age: 0, paired, reconnects: 0, retry_in: 0 }
    }

    fn now(past: Past, seen: Seen) -> Option<(State, &'static str, bool, Act)> {
        decide(past, Ok(seen)).map(|d| (d.state, d.reason, d.paired, d.act))
    }

    fn me() -> Me {
        Me { phone: Some("15550001111".into()), name: None }
    }

    #[test]
    fn a_first_pairing_goes_from_qr_to_connected_or_expires() {
        use State::*;
        let fresh = past(Connecting, false);
        assert_eq!(now(fresh, Seen::Starting), None);
        assert_eq!(now(fresh, Seen::Pairing), Some((Pairing, "scan_qr", false, Act::ShowQr)));
        let showing = past(Pairing, false);
        assert_eq!(now(showing, Seen::Working(me())), Some((Connected, "connected", true, Act::Nothing)));
        assert_eq!(now(showing, Seen::Failed), Some((Expired, "qr_expired", false, Act::Nothing)));
        // It rests there: nobody stands before the screen, and codes would be made for ever.
        for seen in [Seen::Failed, Seen::Stopped, Seen::Absent, Seen::Pairing, Seen::Starting] {
            assert_eq!(now(past(Expired, false), seen), None);
        }
    }

    #[test]
    fn a_phone_that_unlinks_ends_the_session_until_a_person_acts() {
        use State::*;
        let lost = Some((LoggedOut, "phone_logged_out", false, Act::Nothing));
        assert_eq!(now(past(Connected, true), Seen::Pairing), lost);
        assert_eq!(now(past(Connecting, true), Seen::Pairing), lost);
        assert_eq!(now(past(Connected, true), Seen::Unlinked), lost);
        assert_eq!(now(past(Connected, true), Seen::Absent).unwrap().1, "engine_forgot");
        assert_eq!(now(past(LoggedOut, false), Seen::Pairing), None);
    }

    #[test]
    fn reconnects_are_bounded_and_wait_longer_each_time() {
        let mut past = past(State::Connected, true);
        let mut waits = Vec::new();
        for _ in 0..RECONNECTS {
            let decision = decide(past, Ok(Seen::Failed)).unwrap();
            assert_eq!((decision.state, decision.act), (State::Connecting, Act::Restart));
            waits.push(decision.wait.as_secs());
            past = Past { state: decision.state, reconnects: decision.reconnects, ..past };
            assert_eq!(
                decide(Past { retry_in: 1, ..past }, Ok(Seen::Stopped)).filter(|d| d.act != Act::Nothing),
                None
            );
        }
        assert_eq!(waits, [5, 10, 20, 40, 80]);
        let end = decide(past, Ok(Seen::Failed)).unwrap();
        assert_eq!((end.state, end.reason, end.paired), (State::Failed, "max_reconnect_exceeded", true));
        let end = Past { state: State::Failed, given_up: true, ..past };
        assert_eq!(decide(end, Ok(Seen::Stopped)), None);
        assert_eq!(
            decide(end, Ok(Seen::Working(me()))).unwrap().reconnects,
            RECONNECTS,
            "one good second is no cure"
        );
        let cured = Past { state: State::Connected, age: GOOD, ..past };
        assert_eq!(decide(cured, Ok(Seen::Working(me()))).unwrap().reconnects, 0);
    }

    #[test]
    fn an_engine_that_brings_a_connection_back_itself_is_left_alone() {
        let lost = || Seen::Reconnecting("stream ended".into());
        let hour = Past { age: 3_600_000, ..past(State::Connecting, true) };
        for past in [past(State::Connected, true), hour] {
            let decision = decide(past, Ok(lost())).unwrap();
            assert_eq!((decision.state, decision.reason), (State::Connecting, "reconnecting"));
            assert_eq!((decision.act, decision.reconnects), (Act::Nothing, 0));
            assert_eq!(decision.detail.as_deref(), Some("stream ended"));
        }
    }

    #[test]
    fn an_engine_that_is_away_changes_nothing_about_the_pairing() {
        let gone = || Err(EngineError::Unreachable("refused".into()));
        let decision = decide(past(State::Connected, true), gone()).unwrap();
        assert_eq!((decision.state, decision.reason), (State::Disconnected, "engine_unreachable"));
        assert!(decision.paired && decision.reconnects == 0 && decision.act == Act::Nothing);
        assert_eq!(decide(past(State::LoggedOut, false), gone()), None);
        let odd = decide(past(State::Connected, true), Ok(Seen::Odd("PASSKEY_REQUIRED".into()))).unwrap();
        assert_eq!((odd.reason, odd.detail.as_deref()), ("needs_attention", Some("PASSKEY_REQUIRED")));
    }

    #[test]
    fn every_reason_has_a_sentence_of_its_own() {
        let all = [
            "scan_qr",
            "connected",
            "stopped",
            "restored",
            "phone_logged_out",
            "key_refused",
            "needs_attention",
        ];
        let sentences: std::collections::HashSet<_> =
            all.map(|reason| explain(reason).0).into_iter().collect();
        assert_eq!(sentences.len(), all.len());
        assert_eq!(explain("nonsense"), explain("unknown"));
    }
}
