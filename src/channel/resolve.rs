//! Whose webhook is it? Three ways to know, in this order: the address says the tenant, the session's name does, the
//! customer's phone is known to one tenant alone.

use super::Sessions;
use super::waha::inbound::Event;
use crate::store::StoreError;
use crate::store::sessions::Session;

impl Sessions {
    /// The session an event of WAHA's belongs to, and how that was found out. None: nobody's, or not certainly
    /// anybody's. `tenant`: what the address says.
    ///
    /// # Errors
    /// The database's.
    pub async fn resolve(
        &self,
        event: &Event,
        tenant: Option<&str>,
    ) -> Result<Option<(Session, &'static str)>, StoreError> {
        let store = &self.0.parts.store;
        let runs_at_waha = |session: &Session| session.engine == "waha";
        let named = store.session_named(&event.session).await?.filter(runs_at_waha);
        if let Some(tenant) = tenant.filter(|tenant| !tenant.is_empty()) {
            let tenant = match store.tenant(tenant).await? {
                Some(tenant) => Some(tenant.id),
                None => store.tenant_by_external_id("legacy_int", tenant).await?,
            };
            let Some(tenant) = tenant else { return Ok(None) };
            let found = match named {
                // One tenant's address must not bring in what another's number heard.
                Some(session) => Some(session).filter(|session| session.tenant_id == tenant),
                // A session that was made elsewhere, under a name of its own.
                None => store.default_session(&tenant).await?.filter(runs_at_waha),
            };
            return Ok(found.map(|session| (session, "query")));
        }
        if let Some(session) = named {
            return Ok(Some((session, "session")));
        }
        if let Some(tenant) = event.session.strip_prefix("tenant_") {
            let found = store.default_session(tenant).await?.filter(runs_at_waha);
            return Ok(found.map(|session| (session, "session")));
        }
        let Some(phone) = event.phone() else { return Ok(None) };
        let mut known = store.sessions_knowing(&phone).await?;
        known.retain(runs_at_waha);
        match (known.pop(), known.pop()) {
            (Some(session), None) => Ok(Some((session, "phone"))),
            _ => Ok(None),
        }
    }
}
