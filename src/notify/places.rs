//! Room for tries at the same time: so much in all, so much for each tenant, given out in the order of asking.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Tries at once: for one tenant, and in all.
const PER_TENANT: usize = 16;
const AT_ONCE: usize = 256;

/// Room for one try, until it is dropped.
pub struct Place {
    _own: OwnedSemaphorePermit,
    _shared: OwnedSemaphorePermit,
}

/// All of it.
pub struct Places {
    shared: Arc<Semaphore>,
    tenants: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Default for Places {
    fn default() -> Self {
        Self { shared: Arc::new(Semaphore::new(AT_ONCE)), tenants: Mutex::default() }
    }
}

impl Places {
    /// Between one and `most` places, as soon as there is one. A tenant that has all of its own keeps nobody waiting.
    pub async fn take(&self, tenant: &str, most: usize) -> Vec<Place> {
        let own = {
            let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(PER_TENANT));
            tenants.entry(tenant.to_owned()).or_insert_with(new).clone()
        };
        let mut places = Vec::with_capacity(most);
        if let Ok(_own) = own.clone().acquire_owned().await
            && let Ok(_shared) = self.shared.clone().acquire_owned().await
        {
            places.push(Place { _own, _shared });
        }
        while places.len() < most
            && let Ok(_own) = own.clone().try_acquire_owned()
            && let Ok(_shared) = self.shared.clone().try_acquire_owned()
        {
            places.push(Place { _own, _shared });
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tenants_full_room_is_its_own_affair() {
        let places = Places::default();
        let mut taken = Vec::new();
        for _ in 0..PER_TENANT / 8 {
            taken.extend(places.take("a", 8).await);
        }
        assert_eq!(taken.len(), PER_TENANT);
        let soon = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, places.take("a", 8)).await.is_err());
        assert_eq!(places.take("b", 8).await.len(), 8);
        taken.truncate(PER_TENANT - 3);
        assert_eq!(places.take("a", 8).await.len(), 3);
    }
}
