//! Circuit breakers: who fails too often is left alone for a while, then asked once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Outcomes are counted over this long, in milliseconds.
const WINDOW: i64 = 60_000;
/// At least so many outcomes before anything is concluded.
const ENOUGH: u32 = 10;
/// First rest; doubled after each failed probe, up to [`LONGEST`].
const REST: i64 = 5_000;
/// Longest rest.
const LONGEST: i64 = 60_000;
/// Beyond so many keys, those at peace are forgotten.
const KEYS: usize = 50_000;

/// A set of breakers by key. Cheap to clone; time comes in.
#[derive(Debug, Clone, Default)]
pub struct Breaker(Arc<Mutex<HashMap<String, State>>>);

#[derive(Debug, Default)]
struct State {
    since: i64,
    good: u32,
    bad: u32,
    /// While it rests: until when, and how long the rest is.
    rest: Option<(i64, i64)>,
}

impl Breaker {
    /// Whether a call may go out now. After a rest this lets one probe through, and nobody else until it is back.
    pub fn allows(&self, key: &str, now: i64) -> bool {
        let mut states = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let Some(State { rest: Some((until, length)), .. }) = states.get_mut(key) else { return true };
        // A rest that ends later than it can: the clock went back meanwhile.
        if now < *until && *until - now <= *length {
            return false;
        }
        *until = now + *length;
        true
    }

    /// The keys that rest, or are being probed.
    pub fn resting(&self) -> Vec<String> {
        let states = self.0.lock().unwrap_or_else(|e| e.into_inner());
        states.iter().filter(|(_, state)| state.rest.is_some()).map(|(key, _)| key.clone()).collect()
    }

    /// Tells how a call ended.
    pub fn record(&self, key: &str, good: bool, now: i64) {
        let mut states = self.0.lock().unwrap_or_else(|e| e.into_inner());
        if states.len() > KEYS {
            states.retain(|_, s| s.rest.is_some() || now - s.since < WINDOW);
        }
        if !states.contains_key(key) {
            states.insert(key.to_owned(), State { since: now, ..State::default() });
        }
        let Some(state) = states.get_mut(key) else { return };
        if let Some((until, length)) = state.rest {
            if good {
                *state = State { since: now, ..State::default() };
            } else if now >= until - length {
                let length = (length * 2).min(LONGEST);
                state.rest = Some((now + length, length));
            }
            return;
        }
        if now - state.since > WINDOW {
            *state = State { since: now, ..State::default() };
        }
        if good {
            state.good += 1
        } else {
            state.bad += 1
        }
        if state.good + state.bad >= ENOUGH && state.bad * 2 >= state.good + state.bad {
            state.rest = Some((now + REST, REST));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_after_failures_probes_once_and_heals() {
        let breaker = Breaker::default();
        for n in 0..9 {
            breaker.record("a", false, n);
            assert!(breaker.allows("a", n));
        }
        breaker.record("a", false, 9);
        assert!(!breaker.allows("a", 10));
        assert_eq!(breaker.resting(), ["a"]);
        assert!(breaker.allows("b", 10), "another key is untouched");
        assert!(breaker.allows("a", 9 + REST), "one probe");
        assert!(!breaker.allows("a", 10 + REST), "only one");
        breaker.record("a", false, 11 + REST);
        assert!(!breaker.allows("a", 9 + 2 * REST), "a failed probe doubles the rest");
        assert!(breaker.allows("a", 11 + 3 * REST));
        breaker.record("a", true, 12 + 3 * REST);
        assert!(breaker.allows("a", 13 + 3 * REST), "a good probe ends it");
        assert!(breaker.resting().is_empty());
    }

    #[test]
    fn few_failures_among_many_successes_change_nothing() {
        let breaker = Breaker::default();
        for n in 0..100 {
            breaker.record("a", n % 3 != 0, n);
            assert!(breaker.allows("a", n));
        }
    }
}
