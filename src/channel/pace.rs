//! How fast a business may write to people through an ordinary number, so that the number lives.
//!
//! Answers are not slowed down here: this is for messages that the business starts. Gaps are random within bounds, every
//! tenth is followed by a longer pause, nights are quiet, days have caps, and strangers a smaller one. A number that is
//! new to us starts with few a day and earns more.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::secret;
use crate::store::session_sends::Sent;

const DAY: i64 = 86_400_000;
const MINUTE: i64 = 60_000;
/// Messages of a new number's first day, and how many more each further day.
const FIRST_DAY: i64 = 20;
const FURTHER: i64 = 20;
/// A longer pause follows so many messages.
const ROUND: i64 = 10;

/// How fast messages that the business starts may leave through a session. Every bound may be changed; the defaults are
/// careful on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Pace {
    /// Whether nothing is started until further notice. Answers go on.
    pub paused: bool,
    /// Seconds between two messages, at least.
    pub min_gap_seconds: i64,
    /// And at most.
    pub max_gap_seconds: i64,
    /// Seconds after every tenth message, at least.
    pub min_pause_seconds: i64,
    /// And at most.
    pub max_pause_seconds: i64,
    /// Messages a day.
    pub daily_cap: i64,
    /// Of those, to people who never wrote and were never written to.
    pub new_contacts_cap: i64,
    /// Whether a number that is new to us starts with 20 a day and gets 20 more each day.
    pub warm_up: bool,
    /// When nothing is started, as `HH:MM` of the clock below; null: never quiet.
    pub quiet_from: Option<String>,
    /// When it may begin again.
    pub quiet_until: Option<String>,
    /// The clock that days and quiet hours go by: minutes east of UTC.
    pub utc_offset_minutes: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            paused: false,
            min_gap_seconds: 4,
            max_gap_seconds: 15,
            min_pause_seconds: 30,
            max_pause_seconds: 90,
            daily_cap: 200,
            new_contacts_cap: 30,
            warm_up: true,
            quiet_from: None,
            quiet_until: None,
            utc_offset_minutes: 0,
        }
    }
}

/// Whether the next message may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Now.
    Go,
    /// Not before then (Unix milliseconds), for this reason.
    Wait(i64, &'static str),
}

/// What the gate looks at.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Unix milliseconds.
    pub now: i64,
    /// When the gap after the last one ends.
    pub next_send_at: i64,
    /// Today's messages.
    pub sent: Sent,
    /// Whether the next one goes to a stranger.
    pub new_contact: bool,
    /// When the number was first connected.
    pub since: i64,
}

impl Pace {
    /// Reads the stored one; whatever is unreadable has the defaults.
    pub fn parse(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }

    /// What is wrong with it: field and words.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        let mut within = |field, value: i64, bounds: std::ops::RangeInclusive<i64>| {
            if !bounds.contains(&value) {
                wrong.push((field, format!("must be from {} to {}", bounds.start(), bounds.end())));
            }
        };
        within("minGapSeconds", self.min_gap_seconds, 1..=3_600);
        within("maxGapSeconds", self.max_gap_seconds, self.min_gap_seconds.clamp(1, 3_600)..=3_600);
        within("minPauseSeconds", self.min_pause_seconds, 1..=86_400);
        within("maxPauseSeconds", self.max_pause_seconds, self.min_pause_seconds.clamp(1, 86_400)..=86_400);
        within("dailyCap", self.daily_cap, 0..=100_000);
        within("newContactsCap", self.new_contacts_cap, 0..=100_000);
        within("utcOffsetMinutes", self.utc_offset_minutes, -720..=840);
        for (field, time) in [("quietFrom", &self.quiet_from), ("quietUntil", &self.quiet_until)] {
            if time.as_deref().is_some_and(|time| minutes(time).is_none()) {
                wrong.push((field, "must be a time such as 21:30".to_owned()));
            }
        }
        if self.quiet_from.is_some() != self.quiet_until.is_some() {
            wrong.push(("quietUntil", "must be there together with quietFrom".to_owned()));
        }
        wrong
    }

    /// When today began, by the session's clock.
    pub fn today(&self, now: i64) -> i64 {
        let offset = self.utc_offset_minutes * MINUTE;
        (now + offset).div_euclid(DAY) * DAY - offset
    }

    /// Today's cap for a number that was first connected `since`.
    pub fn cap(&self, since: i64, now: i64) -> i64 {
        let age = (self.today(now) - self.today(since)).max(0) / DAY;
        let earned = FIRST_DAY + FURTHER * age;
        if self.warm_up { self.daily_cap.min(earned) } else { self.daily_cap }
    }

    /// Whether the next message that the business starts may leave.
    pub fn gate(&self, facts: Facts) -> Gate {
        let (now, tomorrow) = (facts.now, self.today(facts.now) + DAY);
        if self.paused {
            // Whoever lets it go on wakes the line.
            return Gate::Wait(tomorrow, "paused");
        }
        if let Some(until) = self.quiet(now) {
            return Gate::Wait(until, "quiet_hours");
        }
        let cap = self.cap(facts.since, now);
        if facts.sent.messages >= cap {
            return Gate::Wait(tomorrow, if cap < self.daily_cap { "warm_up" } else { "daily_cap" });
        }
        if facts.new_contact && facts.sent.new_contacts >= self.new_contacts_cap {
            return Gate::Wait(tomorrow, "new_contacts_cap");
        }
        if facts.next_send_at > now { Gate::Wait(facts.next_send_at, "paced") } else { Gate::Go }
    }

    /// When the quiet hours that it is in now end.
    fn quiet(&self, now: i64) -> Option<i64> {
        let (from, until) = (minutes(self.quiet_from.as_deref()?)?, minutes(self.quiet_until.as_deref()?)?);
        let today = self.today(now);
        let at = (now - today) / MINUTE;
        let quiet = if from <= until { (from..until).contains(&at) } else { at >= from || at < until };
        let end = today + until * MINUTE;
        quiet.then(|| if end > now { end } else { end + DAY })
    }

    /// How long to wait after the `sent`-th message of the day.
    pub fn gap(&self, sent: i64) -> Duration {
        let (low, high) = if sent > 0 && sent % ROUND == 0 {
            (self.min_pause_seconds, self.max_pause_seconds)
        } else {
            (self.min_gap_seconds, self.max_gap_seconds)
        };
        between(seconds(low), seconds(high))
    }
}

fn seconds(n: i64) -> Duration {
    Duration::from_secs(n.max(0).unsigned_abs())
}

/// How long a person would type this, more or less; shorter the more waits behind it.
pub fn typing(text: &str, waiting: i64) -> Duration {
    let typed = Duration::from_millis(50 * text.chars().count().min(60) as u64);
    let typed = typed.clamp(Duration::from_secs(1), Duration::from_secs(3));
    let share = 1 + u32::try_from(waiting.clamp(0, 40)).unwrap_or(0) / 4;
    between(typed.mul_f64(0.8), typed.mul_f64(1.2)) / share
}

/// Anything from `low` to `high`.
pub fn between(low: Duration, high: Duration) -> Duration {
    let part = u64::from_be_bytes(secret::random()) as f64 / u64::MAX as f64;
    low + high.saturating_sub(low).mul_f64(part)
}

/// Minutes since midnight of `HH:MM`.
fn minutes(time: &str) -> Option<i64> {
    let (hours, minutes) = time.split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|c| c.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_800_000_000_000 / DAY * DAY + DAY / 2;

    fn facts() -> Facts {
        Facts { now: NOON, next_send_at: 0, sent: Sent::default(), new_contact: false, since: 0 }
    }

    fn sent(messages: i64, new_contacts: i64) -> Sent {
        Sent { messages, new_contacts }
    }

    #[test]
    fn caps_end_with_the_day_and_strangers_have_their_own() {
        let pace = Pace { daily_cap: 50, new_contacts_cap: 3, ..Pace::default() };
        let tomorrow = NOON + DAY / 2;
        assert_eq!(pace.gate(facts()), Gate::Go);
        assert_eq!(pace.gate(Facts { sent: sent(50, 0), ..facts() }), Gate::Wait(tomorrow, "daily_cap"));
        let strangers = Facts { sent: sent(5, 3), ..facts() };
        assert_eq!(pace.gate(strangers), Gate::Go);
        let stranger = Facts { new_contact: true, ..strangers };
        assert_eq!(pace.gate(stranger), Gate::Wait(tomorrow, "new_contacts_cap"));
        let paced = Facts { next_send_at: NOON + 5, ..facts() };
        assert_eq!(pace.gate(paced), Gate::Wait(NOON + 5, "paced"));
    }

    #[test]
    fn a_young_number_earns_its_cap() {
        let pace = Pace::default();
        let caps: Vec<i64> = [0, 1, 5, 30].map(|days| pace.cap(NOON - days * DAY, NOON)).into();
        assert_eq!(caps, [20, 40, 120, 200]);
        assert_eq!(Pace { warm_up: false, ..pace.clone() }.cap(NOON, NOON), 200);
        let full = Facts { since: NOON, sent: sent(20, 0), ..facts() };
        assert_eq!(pace.gate(full), Gate::Wait(NOON + DAY / 2, "warm_up"));
    }

    #[test]
    fn nothing_is_started_while_it_is_paused() {
        let paused = Pace { paused: true, ..Pace::default() };
        assert_eq!(paused.gate(facts()), Gate::Wait(NOON + DAY / 2, "paused"));
    }

    #[test]
    fn nights_are_quiet_by_the_sessions_own_clock() {
        let night = |offset| Pace {
            quiet_from: Some("21:00".into()),
            quiet_until: Some("08:30".into()),
            utc_offset_minutes: offset,
            ..Pace::default()
        };
        assert_eq!(night(0).gate(facts()), Gate::Go);
        let late = Facts { now: NOON + 10 * 3_600_000, ..facts() };
        let morning = NOON + DAY / 2 + (8 * 60 + 30) * MINUTE;
        assert_eq!(night(0).gate(late), Gate::Wait(morning, "quiet_hours"));
        let early = Facts { now: morning - 1, ..facts() };
        assert_eq!(night(0).gate(early), Gate::Wait(morning, "quiet_hours"));
        assert_eq!(night(0).gate(Facts { now: morning, ..facts() }), Gate::Go);
        // 22:00 in Greenwich is 12:00 at -10:00, and noon in Greenwich is 22:00 at +10:00.
        assert_eq!(night(-600).gate(late), Gate::Go);
        assert!(matches!(night(600).gate(facts()), Gate::Wait(_, "quiet_hours")));
    }

    #[test]
    fn gaps_stay_within_their_bounds_and_are_not_all_alike() {
        let pace = Pace::default();
        let gaps: std::collections::HashSet<u128> = (1..10).map(|n| pace.gap(n).as_millis()).collect();
        assert!(gaps.len() > 1 && gaps.iter().all(|ms| (4_000..=15_000).contains(ms)), "{gaps:?}");
        assert!((30_000..=90_000).contains(&pace.gap(10).as_millis()));
        assert!((800..=1_200).contains(&typing("Hi", 0).as_millis()));
        assert!((2_400..=3_600).contains(&typing(&"x".repeat(500), 0).as_millis()));
        assert!(typing("Hi", 40).as_millis() < 120);
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        assert_eq!(Pace::default().check(), []);
        let odd = Pace {
            min_gap_seconds: 0,
            max_gap_seconds: -1,
            daily_cap: -1,
            quiet_from: Some("25:00".into()),
            ..Pace::default()
        };
        let named: Vec<&str> = odd.check().into_iter().map(|(field, _)| field).collect();
        assert_eq!(named, ["minGapSeconds", "maxGapSeconds", "dailyCap", "quietFrom", "quietUntil"]);
        assert_eq!(minutes("07:05"), Some(425));
        assert!(["7:05", "24:00", "12:60", "ab:cd", "+1:00", ""].iter().all(|time| minutes(time).is_none()));
    }
}
