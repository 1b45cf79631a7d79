//! How fast may we send? As fast as Meta takes it, and no faster once it complained.
//!
//! Nobody can know a number's limit beforehand (80, 1,000 or 20 messages a second) nor how much of a customer's burst
//! is left, so nothing is slowed down until Meta refuses for that reason. Then the number, or the pair of number and
//! customer, keeps the documented distance for ten minutes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Distance between messages of a number that was refused: 20 a second, the lowest documented limit.
pub const NUMBER: Duration = Duration::from_millis(50);
/// Distance between messages to one customer who got too many.
pub const PAIR: Duration = Duration::from_secs(6);
/// How long a refusal is remembered.
const REMEMBERED_MS: i64 = 600_000;

/// Who is slowed down. Cheap to clone; time comes in.
#[derive(Debug, Clone, Default)]
pub struct Pacing(Arc<Mutex<HashMap<String, Slot>>>);

#[derive(Debug)]
struct Slot {
    distance: i64,
    next_at: i64,
    until: i64,
}

impl Pacing {
    /// Milliseconds to wait before `key` may send; takes that place in the line.
    pub fn wait(&self, key: &str, now: i64) -> i64 {
        let mut slots = self.0.lock().unwrap_or_else(|e| e.into_inner());
        if slots.is_empty() {
            return 0;
        }
        let Some(slot) = slots.get_mut(key) else { return 0 };
        // Later than it can be: the clock went back meanwhile.
        if (now >= slot.until && now >= slot.next_at) || slot.until - now > REMEMBERED_MS {
            slots.remove(key);
            return 0;
        }
        let at = slot.next_at.max(now);
        slot.next_at = at + slot.distance;
        at - now
    }

    /// A message of `key` left only now: the next one keeps its distance from that.
    pub fn sent(&self, key: &str, now: i64) {
        let mut slots = self.0.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(slot) = slots.get_mut(key) {
            slot.next_at = slot.next_at.max(now + slot.distance);
        }
    }

    /// Meta refused `key` for its speed.
    pub fn slow_down(&self, key: &str, distance: Duration, now: i64) {
        let distance = i64::try_from(distance.as_millis()).unwrap_or(REMEMBERED_MS);
        let mut slots = self.0.lock().unwrap_or_else(|e| e.into_inner());
        slots.retain(|_, slot| now < slot.until || now < slot.next_at);
        let slot = slots.entry(key.to_owned()).or_insert(Slot { distance, next_at: now, until: 0 });
        slot.next_at = slot.next_at.max(now + distance);
        slot.until = now + REMEMBERED_MS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_distance_only_after_a_refusal_and_only_for_a_while() {
        let pacing = Pacing::default();
        assert_eq!([pacing.wait("a", 0), pacing.wait("a", 0)], [0, 0]);
        pacing.slow_down("a", PAIR, 0);
        assert_eq!(pacing.wait("a", 0), 6_000);
        assert_eq!(pacing.wait("a", 0), 12_000, "each takes its own place");
        assert_eq!(pacing.wait("b", 0), 0, "others are not slowed");
        assert_eq!(pacing.wait("a", 20_000), 0);
        assert_eq!(pacing.wait("a", 20_000), 6_000);
        pacing.sent("a", 26_500);
        assert_eq!(pacing.wait("a", 26_500), 6_000, "from when it really left");
        assert_eq!(pacing.wait("a", REMEMBERED_MS + 1), 0);
        assert_eq!(pacing.wait("a", REMEMBERED_MS + 1), 0, "forgotten");
    }
}
