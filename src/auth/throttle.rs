//! How often somebody may guess a password: per address and per account, each failure beyond the free ones doubles
//! the wait.
//!
//! A try counts as a failure until it has succeeded, so that many at once are not all the first. In memory alone: an
//! instance that was restarted begins anew, which costs an attacker more than it gives.

use std::net::IpAddr;
use std::time::Duration;

use moka::ops::compute::Op;
use moka::sync::Cache;

use super::token;

/// What is remembered at once, and for how long after the last try.
const REMEMBERED: u64 = 50_000;
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// Failures without a wait: an address may stand for an office, an account for one person.
const FREE_ADDRESS: u32 = 20;
const FREE_ACCOUNT: u32 = 5;
/// First and longest wait, in milliseconds.
const FIRST: i64 = 1_000;
const LONGEST: i64 = 15 * 60_000;

#[derive(Debug, Clone, Copy, Default)]
struct Tries {
    failed: u32,
    /// Nothing is tried before, Unix milliseconds.
    until: i64,
}

/// Counts tries. Clones share the counts.
#[derive(Debug, Clone)]
pub struct Throttle(Cache<String, Tries>);

impl Default for Throttle {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(REMEMBERED).time_to_live(FORGOTTEN).build())
    }
}

/// A try under way; it stays a failure unless [`Attempt::succeeded`].
#[derive(Debug)]
pub struct Attempt {
    tries: Cache<String, Tries>,
    address: String,
    account: String,
}

impl Throttle {
    /// Begins a try at `account`, any word, from `address`.
    ///
    /// # Errors
    /// How long to wait instead.
    pub fn begin(&self, address: IpAddr, account: &str, now: i64) -> Result<Attempt, Duration> {
        let attempt = Attempt {
            tries: self.0.clone(),
            address: format!("address {}", network(address)),
            // Of one length, however long the word.
            account: format!("account {}", token::digest(account)),
        };
        for (key, free) in [(&attempt.address, FREE_ADDRESS), (&attempt.account, FREE_ACCOUNT)] {
            let wait = self.count(key, free, now);
            if wait > 0 {
                return Err(Duration::from_millis(wait.unsigned_abs()));
            }
        }
        Ok(attempt)
    }

    /// Counts a try; or how many milliseconds it is too early.
    fn count(&self, key: &str, free: u32, now: i64) -> i64 {
        let mut wait = 0;
        self.0.entry_by_ref(key).and_compute_with(|known| {
            let mut tries = known.map(|entry| entry.into_value()).unwrap_or_default();
            wait = tries.until - now;
            if wait > 0 {
                return Op::Nop;
            }
            tries.failed = tries.failed.saturating_add(1);
            if let Some(doublings) = tries.failed.checked_sub(free) {
                tries.until = now + (FIRST << doublings.min(20)).min(LONGEST);
            }
            Op::Put(tries)
        });
        wait
    }
}

impl Attempt {
    /// The password was right: the account's count is forgotten, the address's is as it was before. No more, or an
    /// attacker with one account of his own could guess at all others for ever.
    pub fn succeeded(self) {
        self.tries.invalidate(&self.account);
        self.tries.entry(self.address).and_compute_with(|known| {
            match known.map(|entry| entry.into_value()) {
                Some(tries) => Op::Put(Tries { failed: tries.failed.saturating_sub(1), until: 0 }),
                None => Op::Nop,
            }
        });
    }
}

/// Who has one IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(throttle: &Throttle, address: &str, account: &str, now: i64) -> Option<u64> {
        throttle.begin(address.parse().unwrap(), account, now).err().map(|wait| wait.as_millis() as u64)
    }

    #[test]
    fn an_accounts_wait_doubles_from_wherever_it_is_guessed() {
        let throttle = Throttle::default();
        for n in 0..5 {
            assert_eq!(waits(&throttle, &format!("10.0.0.{n}"), "ada", 0), None);
        }
        // The fifth failure began the first wait; tries that come too early do not make it longer.
        assert_eq!(waits(&throttle, "10.0.1.1", "ada", 0), Some(1_000));
        assert_eq!(waits(&throttle, "10.0.1.1", "ada", 999), Some(1));
        assert_eq!(waits(&throttle, "10.0.1.1", "bob", 0), None);
        let mut now = 1_000;
        for wait in [2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000, 900_000, 900_000]
        {
            assert_eq!(waits(&throttle, "10.0.2.1", "ada", now), None);
            assert_eq!(waits(&throttle, "10.0.2.2", "ada", now), Some(wait));
            now += wait as i64;
        }
    }

    #[test]
    fn an_address_is_slowed_whatever_the_accounts() {
        let throttle = Throttle::default();
        for n in 0..20 {
            assert_eq!(waits(&throttle, "2001:db8:1:2::5", &format!("user {n}"), 0), None);
        }
        assert_eq!(waits(&throttle, "2001:db8:1:2:ffff::9", "somebody", 0), Some(1_000));
        assert_eq!(waits(&throttle, "2001:db8:1:3::5", "somebody", 0), None);
    }

    #[test]
    fn a_success_forgives_the_account_and_itself_alone() {
        let throttle = Throttle::default();
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        for n in 0..20 {
            throttle.begin(address, "own", 0).unwrap().succeeded();
            assert!(throttle.begin(address, &format!("victim {n}"), 0).is_ok(), "{n}");
        }
        assert!(throttle.begin(address, "own", 0).is_err());
    }
}
