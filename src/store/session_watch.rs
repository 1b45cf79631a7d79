//! Who watches a session, and what the watcher writes.
//!
//! It is bound to its lease and to the epoch it looked at: a command that came meanwhile, or a new owner, makes what it
//! saw void.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Value};

use super::alerts::{self, Alert, Kind};
use super::conversations::FREE;
use super::event_deliveries::{Told, tell};
use super::event_endpoints::{EventType, Listeners};
use super::sessions::Session;
use super::{Store, StoreError, sql};
use crate::runtime::rfc3339;

/// What is to be watched: whatever should run, and what a command has not yet ended at the engine.
const WATCHED: &str = "deleted_at is null and (wanted = 'running' or reason in ('stopping', 'logging_out'))";

impl Store {
    /// Takes up to `limit` sessions that are to be watched and that no living instance watches, and tells all that
    /// this instance watches now. What is taken over shows that it is being restored.
    pub async fn claim_sessions(&self, limit: u64, now: i64) -> Result<Vec<i64>, StoreError> {
        let tx = self.begin_fenced().await?;
        let skip = if self.is_shared() { "for update skip locked" } else { "" };
        let text = format!(
            "update whatsapp_sessions set owner = $1, \
             state_at = case when wanted = 'running' and paired and state = 'connected' then $2 else state_at end, \
             reason = case when wanted = 'running' and paired and state = 'connected' then 'restoring' else reason end, \
             state = case when wanted = 'running' and paired and state = 'connected' then 'connecting' else state end \
             where id in (select id from whatsapp_sessions where {WATCHED} and {FREE} order by id limit {limit} {skip})"
        );
        tx.execute_raw(sql::statement(&tx, &text, [self.instance().into(), now.into()])).await?;
        tx.commit().await?;
        let text = format!("select id from whatsapp_sessions where owner = $1 and {WATCHED}");
        let rows =
            self.read().query_all_raw(sql::statement(self.read(), &text, [self.instance().into()])).await?;
        Ok(rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, _>>()?)
    }

    /// The session as its watcher found it, if it is still this instance's.
    pub async fn own_session(&self, id: i64) -> Result<Option<Session>, StoreError> {
        let which = format!("id = $1 and owner = $2 and {WATCHED}");
        Ok(self.find_sessions(&which, [id.into(), self.instance().into()]).await?.pop())
    }

    /// Writes what the watcher saw; `turned`: it stands elsewhere now, and people are told. False: a command came
    /// meanwhile, or another instance watches it now.
    pub async fn observe_session(&self, seen: &Session, turned: bool) -> Result<bool, StoreError> {
        let tx = self.begin_fenced().await?;
        let text = "update whatsapp_sessions set state = $3, reason = $4, detail = $5, state_at = $6, paired = $7, \
                    phone = $8, push_name = $9, qr = $10, qr_version = $11, qr_at = $12, qr_expires_at = $13, \
                    reconnects = $14, retry_at = $15, first_connected_at = $16, paired_at = $17, connected_at = $18, \
                    disconnected_at = $19, wanted = $20, updated_at = $21 \
                    where id = $1 and owner = $2 and epoch = $22 and deleted_at is null";
        let values: [Value; 22] = [
            seen.id.into(),
            self.instance().into(),
            seen.state.as_str().into(),
            seen.reason.as_str().into(),
            seen.detail.clone().into(),
            seen.state_at.into(),
            seen.paired.into(),
            seen.phone.clone().into(),
            seen.push_name.clone().into(),
            seen.qr.clone().into(),
            seen.qr_version.into(),
            seen.qr_at.into(),
            seen.qr_expires_at.into(),
            seen.reconnects.into(),
            seen.retry_at.into(),
            seen.first_connected_at.into(),
            seen.paired_at.into(),
            seen.connected_at.into(),
            seen.disconnected_at.into(),
            seen.wanted.as_str().into(),
            seen.updated_at.into(),
            seen.epoch.into(),
        ];
        let done = tx.execute_raw(sql::statement(&tx, text, values)).await?;
        if done.rows_affected() == 1 && seen.phone.is_some() {
            // A message from one of our own numbers is never answered.
            let text = "update numbers set display_phone_number = $2 where phone_number_id = $1";
            let values: [Value; 2] = [seen.key().into(), seen.phone.clone().into()];
            tx.execute_raw(sql::statement(&tx, text, values)).await?;
        }
        if done.rows_affected() == 1 && turned {
            told(&tx, &self.listeners, seen).await?;
        }
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }
}

/// Tells the tenant's systems where a session stands, and people that it needs them.
async fn told(tx: &DatabaseTransaction, listeners: &Listeners, session: &Session) -> Result<(), DbErr> {
    let (tenant, kind, now) = (session.tenant_id.as_str(), EventType::SessionStatus, session.updated_at);
    if listeners.wants(tenant, kind) {
        let data = serde_json::json!({
            "sessionId": session.key(), "name": session.name, "state": session.state, "reason": session.reason,
            "at": rfc3339(session.state_at),
        });
        tell(tx, listeners, [Told { tenant, conversation: None, kind, data, now }]).await?;
    }
    if matches!(session.state.as_str(), "logged_out" | "failed") && session.wanted == "running" {
        let key = session.key();
        let text = format!(
            "The session {} is {} ({}). What it has to send is kept until it is linked again.",
            session.name,
            session.state.replace('_', " "),
            session.reason
        );
        let alert = Alert { tenant: Some(tenant), ..Alert::new(Kind::SessionLost, &key, text, now) };
        alerts::raise(tx, &alert).await?;
    }
    Ok(())
}
