//! A line in which nobody waits for all that somebody else put there: what belongs to an account waits in a lane of its
//! own, and the lanes are served in turn, alternating with what is everybody's.

use std::collections::{HashMap, VecDeque};

/// See above. Within a lane, and within what is everybody's, the order is kept.
pub(super) struct Fair<T> {
    common: VecDeque<T>,
    lanes: HashMap<i64, VecDeque<T>>,
    /// Lanes with something in them, the next one first.
    turns: VecDeque<i64>,
    lanes_next: bool,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self { common: VecDeque::new(), lanes: HashMap::new(), turns: VecDeque::new(), lanes_next: false }
    }
}

impl<T> Fair<T> {
    /// `None`: everybody's.
    pub(super) fn push(&mut self, lane: Option<i64>, item: T) {
        let Some(lane) = lane else { return self.common.push_back(item) };
        let items = self.lanes.entry(lane).or_default();
        if items.is_empty() {
            self.turns.push_back(lane);
        }
        items.push_back(item);
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        self.lanes_next = !self.lanes_next;
        if self.lanes_next {
            self.pop_lane().or_else(|| self.common.pop_front())
        } else {
            self.common.pop_front().or_else(|| self.pop_lane())
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.common.is_empty() && self.turns.is_empty()
    }

    fn pop_lane(&mut self) -> Option<T> {
        let lane = self.turns.pop_front()?;
        let items = self.lanes.get_mut(&lane)?;
        let item = items.pop_front();
        if items.is_empty() {
            self.lanes.remove(&lane);
        } else {
            self.turns.push_back(lane);
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::Fair;

    #[test]
    fn each_lane_in_its_turn_and_in_order() {
        let mut line = Fair::default();
        for n in 0..4 {
            line.push(Some(1), format!("loud {n}"));
        }
        line.push(Some(2), "quiet".into());
        line.push(None, "door 0".into());
        line.push(None, "door 1".into());
        let mut order: Vec<String> = Vec::new();
        while let Some(next) = line.pop() {
            order.push(next);
        }
        assert_eq!(order, ["loud 0", "door 0", "quiet", "door 1", "loud 1", "loud 2", "loud 3"]);
        assert!(line.is_empty() && line.lanes.is_empty());
        line.push(Some(1), "again".into());
        assert_eq!(line.pop().as_deref(), Some("again"));
    }
}
