//! Who signed a body: the platform, one of the accounts it claims to be about, or, within a bound, anyone we know.

use secrecy::{ExposeSecret, SecretString};

use super::Parts;
use crate::graph::payload;
use crate::graph::signature::Signature;
use crate::store::StoreError;

/// Bytes hashed at most for a body whose signer it does not name itself.
const HASHED: usize = 32 << 20;
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
        let claimed = payload::peek(self.body);
        let mut accounts = Vec::new();
        for number in &claimed.phone_number_ids {
            accounts.extend(door.routing.accounts(number).await?.iter().cloned());
        }
        if claimed.phone_number_ids.is_empty() {
            for business in &claimed.business_account_ids {
                accounts.extend(door.routing.accounts_of_business(business).await?.iter().cloned());
            }
        }
        let everyone = door.routing.every_secret().await?;
        let others = everyone.iter().take(HASHED / self.body.len().max(1_024));
        let mut candidates = accounts.iter().flat_map(|a| &a.secrets).chain(others);
        Ok(candidates
            .find(|secret| signed(secret))
            .map(|secret| Verified { by: door.routing.fingerprint(secret), by_platform: false }))
    }
}
