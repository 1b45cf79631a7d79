//! Who signed a body: the platform, one of the accounts it claims to be about, or, within a bound, anyone we know.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::Parts;
use crate::graph::payload;
use crate::graph::signature::Signature;
use crate::routing::Account;
use crate::store::StoreError;

/// Bytes hashed at most for a body that no secret of the platform signed.
const HASHED: usize = 32 << 20;
/// Bodies of unknown origin that may be in the database at once; fewer than its connections for reading.
pub(super) const LOOKING: usize = 3;
/// How long a body waits for its turn to be looked up.
const QUEUING: Duration = Duration::from_millis(250);
/// What stands for the secret of bodies that were accepted without one, in development.
const UNSIGNED: &str = "unsigned";

/// Bytes from anybody.
pub(super) struct Unverified<'a> {
    pub body: &'a [u8],
    pub signature: Option<Signature>,
}

/// That a secret we know signed the body.
pub(super) struct Verified {
    pub by: String,
    pub by_platform: bool,
}

impl Unverified<'_> {
    /// Finds the secret: the platform's, one of the accounts the body claims to be about, or, within a bound, anyone's
    /// (what such a body may do is decided change by change, see [`crate::routing::Account::accepts`]). `None`:
    /// nobody's.
    pub async fn verify(self, door: &Parts) -> Result<Option<Verified>, StoreError> {
        let Some(signature) = self.signature else {
            return Ok(Some(Verified { by: UNSIGNED.into(), by_platform: true }));
        };
        let signed = |secret: &SecretString| signature.matches(secret.expose_secret().as_bytes(), self.body);
        if let Some((_, by)) = door.secrets.iter().find(|(secret, _)| signed(secret)) {
            return Ok(Some(Verified { by: by.clone(), by_platform: true }));
        }
        let mut tried = Tried { left: HASHED / self.body.len().max(1_024), seen: HashSet::new() };
        let mut first = |secrets: &mut dyn Iterator<Item = &SecretString>| {
            let found = secrets.filter(|secret| tried.is_new(secret)).find(|secret| signed(secret))?;
            Some(Verified { by: door.routing.fingerprint(found), by_platform: false })
        };
        let claimed = payload::peek(self.body);
        let (mut accounts, mut unknown): (Vec<Arc<Account>>, Vec<&String>) = Default::default();
        for number in &claimed.phone_number_ids {
            match door.routing.remembered(number).await {
                Some(found) => accounts.extend(found.iter().cloned()),
                None => unknown.push(number),
            }
        }
        if let Some(verified) = first(&mut accounts.iter().flat_map(|a| &a.secrets)) {
            return Ok(Some(verified));
        }
        // From here on a stranger's body costs the database something: a few at a time, or all would wait for them.
        let place = tokio::time::timeout(QUEUING, door.looking.acquire()).await;
        let _place = place.map_err(|_| StoreError::Full)?;
        accounts.clear();
        for number in unknown {
            accounts.extend(door.routing.accounts(number).await?.iter().cloned());
        }
        if claimed.phone_number_ids.is_empty() {
            for business in &claimed.business_account_ids {
                accounts.extend(door.routing.accounts_of_business(business).await?.iter().cloned());
            }
        }
        let everyone = door.routing.every_secret().await?;
        Ok(first(&mut accounts.iter().flat_map(|a| &a.secrets).chain(everyone.iter())))
    }
}

/// What was tried for one body, and how many more secrets may be.
struct Tried {
    left: usize,
    seen: HashSet<[u8; 32]>,
}

impl Tried {
    /// Whether this secret is worth hashing the body: it was not tried, and the bound is not reached.
    fn is_new(&mut self, secret: &SecretString) -> bool {
        let new = self.left > 0 && self.seen.insert(Sha256::digest(secret.expose_secret()).into());
        self.left -= usize::from(new);
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_is_tried_once_and_only_so_many() {
        let mut tried = Tried { left: 2, seen: HashSet::new() };
        let worth = ["a", "a", "b", "c", "a"].map(|s| tried.is_new(&s.into()));
        assert_eq!(worth, [true, false, true, false, false]);
    }
}
