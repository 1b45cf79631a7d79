//! Who listens, and what they are told: one task hears the news and hands each tenant's to its own listeners.
//!
//! A listener has a few places for news that it has not read yet. Whoever does not read is cut: it may come again, and
//! looks at everything then.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::ids::TenantId;
use crate::news::{News, Newsroom};
use crate::store::changes::Names;
use crate::store::{Store, StoreError};

/// News that may wait for one listener.
const WAITING: usize = 32;

/// How many may listen: of one tenant, and in all.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of one tenant.
    pub tenant: usize,
    /// In all.
    pub house: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { tenant: 64, house: 1_024 }
    }
}

/// Why nobody more may listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Too many of this tenant do.
    Tenant,
    /// Too many do.
    House,
    /// The server is stopping.
    Leaving,
}

/// Where pages listen. Cheap to clone.
#[derive(Clone)]
pub struct Live(Arc<Inner>);

struct Inner {
    limits: Limits,
    listeners: Mutex<Listeners>,
}

#[derive(Default)]
struct Listeners {
    leaving: bool,
    next: u64,
    /// Lines that are open, whoever reads them.
    taken: usize,
    tenants: HashMap<String, Tenant>,
}

#[derive(Default)]
struct Tenant {
    taken: usize,
    feeds: BTreeMap<u64, mpsc::Sender<Names>>,
}

/// Room for one open line; free again when dropped.
pub struct Place {
    live: Live,
    tenant: TenantId,
    feed: Option<u64>,
}

/// What one listener is told.
pub struct Feed {
    names: mpsc::Receiver<Names>,
    _place: Place,
}

impl Feed {
    /// The next names; `None`: it did not read, or the server stops.
    pub async fn next(&mut self) -> Option<Names> {
        self.names.recv().await
    }
}

impl Live {
    /// Hears the news until `stop`, which ends every line.
    pub fn open(store: Store, news: &Newsroom, stop: CancellationToken) -> Self {
        let live = Self::new(Limits::default());
        let (hub, news) = (live.clone(), news.hear());
        tokio::spawn(async move {
            tokio::select! { () = hub.hear(store, news) => {}, () = stop.cancelled() => {} }
            let mut listeners = hub.listeners();
            listeners.leaving = true;
            listeners.tenants.values_mut().for_each(|tenant| tenant.feeds.clear());
        });
        live
    }

    fn new(limits: Limits) -> Self {
        Self(Arc::new(Inner { limits, listeners: Mutex::default() }))
    }

    /// Room for a line of this tenant.
    ///
    /// # Errors
    /// When there is none.
    pub fn place(&self, tenant: &TenantId) -> Result<Place, Full> {
        self.take(&mut self.listeners(), tenant)
    }

    fn take(&self, listeners: &mut Listeners, tenant: &TenantId) -> Result<Place, Full> {
        let own = listeners.tenants.get(tenant.as_str()).map_or(0, |tenant| tenant.taken);
        match self.0.limits {
            _ if listeners.leaving => return Err(Full::Leaving),
            limits if own >= limits.tenant => return Err(Full::Tenant),
            limits if listeners.taken >= limits.house => return Err(Full::House),
            _ => {}
        }
        listeners.taken += 1;
        listeners.tenants.entry(tenant.to_string()).or_default().taken += 1;
        Ok(Place { live: self.clone(), tenant: tenant.clone(), feed: None })
    }

    /// A listener of this tenant.
    ///
    /// # Errors
    /// When there is no room.
    pub fn join(&self, tenant: &TenantId) -> Result<Feed, Full> {
        let (sender, names) = mpsc::channel(WAITING);
        let mut listeners = self.listeners();
        let mut place = self.take(&mut listeners, tenant)?;
        listeners.next += 1;
        let id = listeners.next;
        place.feed = Some(id);
        if let Some(tenant) = listeners.tenants.get_mut(tenant.as_str()) {
            tenant.feeds.insert(id, sender);
        }
        drop(listeners);
        Ok(Feed { names, _place: place })
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.listeners().tenants.is_empty()
    }

    async fn hear(&self, store: Store, mut news: Receiver<News>) {
        loop {
            let told = match news.recv().await {
                Err(RecvError::Closed) => return,
                _ if self.is_empty() => Ok(()),
                Ok(News::Changed(tenants)) => {
                    tenants.into_iter().for_each(|(tenant, names)| self.tell(&tenant, &names));
                    Ok(())
                }
                Ok(News::Routes(number)) => self.account(&store, &number).await,
                Ok(News::SessionChanged(id)) => self.session(&store, id).await,
                Ok(News::MuchChanged | News::Lost) | Err(RecvError::Lagged(_)) => {
                    self.tell_everybody();
                    Ok(())
                }
                Ok(_) => Ok(()),
            };
            if let Err(error) = told {
                tracing::debug!(%error, "whose news it is cannot be looked up");
                self.tell_everybody();
            }
        }
    }

    async fn account(&self, store: &Store, number: &str) -> Result<(), StoreError> {
        for (tenant, id) in store.names_of_number(number).await? {
            self.tell(&tenant, &Names { accounts: [id].into(), ..Names::default() });
        }
        Ok(())
    }

    async fn session(&self, store: &Store, id: i64) -> Result<(), StoreError> {
        if let Some(session) = store.session(id).await? {
            self.tell(&session.tenant_id, &Names { sessions: [id].into(), ..Names::default() });
        }
        Ok(())
    }

    fn tell_everybody(&self) {
        let tenants: Vec<String> = self.listeners().tenants.keys().cloned().collect();
        tenants.iter().for_each(|tenant| self.tell(tenant, &Names::all()));
    }

    /// Hands it to the tenant's listeners; those who have not read what was told before are cut.
    fn tell(&self, tenant: &str, names: &Names) {
        if let Some(tenant) = self.listeners().tenants.get_mut(tenant) {
            tenant.feeds.retain(|_, feed| feed.try_send(names.clone()).is_ok());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut listeners = self.live.listeners();
        listeners.taken = listeners.taken.saturating_sub(1);
        let Some(tenant) = listeners.tenants.get_mut(self.tenant.as_str()) else { return };
        tenant.taken = tenant.taken.saturating_sub(1);
        if let Some(feed) = self.feed {
            tenant.feeds.remove(&feed);
        }
        if tenant.taken == 0 {
            listeners.tenants.remove(self.tenant.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(id: i64) -> Names {
        Names { conversations: [id].into(), ..Names::default() }
    }

    #[tokio::test]
    async fn each_tenant_hears_its_own() {
        let live = Live::new(Limits::default());
        let [a, b] = ["a", "b"].map(TenantId::trusted);
        let (mut one, mut other) = (live.join(&a).unwrap(), live.join(&b).unwrap());
        live.tell("a", &names(1));
        live.tell("nobody", &names(2));
        live.tell("b", &names(3));
        live.tell_everybody();
        assert_eq!(one.next().await, Some(names(1)));
        assert_eq!(one.next().await, Some(Names::all()));
        assert_eq!(other.next().await, Some(names(3)));
    }

    #[test]
    fn there_is_room_for_so_many_and_it_is_given_back() {
        let live = Live::new(Limits { tenant: 2, house: 3 });
        let [a, b, c] = ["a", "b", "c"].map(TenantId::trusted);
        let first = live.join(&a).unwrap();
        let _second = live.place(&a).unwrap();
        assert_eq!(live.join(&a).err(), Some(Full::Tenant));
        let _third = live.join(&b).unwrap();
        assert_eq!(live.join(&c).err(), Some(Full::House));
        drop(first);
        assert!(live.join(&a).is_ok());
        assert!(live.join(&c).is_ok());
        drop((_second, _third));
        assert!(live.is_empty(), "nothing is kept of those who left");
    }

    #[tokio::test]
    async fn who_does_not_read_is_cut_and_nobody_else() {
        let live = Live::new(Limits::default());
        let a = TenantId::trusted("a");
        let (mut slow, mut quick) = (live.join(&a).unwrap(), live.join(&a).unwrap());
        for n in 0..WAITING as i64 + 5 {
            live.tell("a", &names(n));
            assert_eq!(quick.next().await, Some(names(n)));
        }
        for n in 0..WAITING as i64 {
            assert_eq!(slow.next().await, Some(names(n)));
        }
        assert_eq!(slow.next().await, None);
        live.tell("a", &names(7));
        assert_eq!(quick.next().await, Some(names(7)));
    }
}
