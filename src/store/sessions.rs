//! Sessions: numbers linked by QR code, as people make, change, command and delete them.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, Value};

use super::audit::{Audit, audit};
use super::chatbots::{self, Chatbot};
use super::contacts::inserted;
use super::{Store, StoreError, sql};

/// A stored session. `webhook_key` and `qr` are sealed.
#[derive(Debug, Clone, FromQueryResult)]
#[allow(missing_docs)] // the columns of `whatsapp_sessions`, named alike
pub struct Session {
    pub id: i64,
    pub tenant_id: String,
    pub name: String,
    pub engine: String,
    pub chatbot_id: Option<String>,
    pub is_default: bool,
    pub wanted: String,
    pub state: String,
    pub reason: String,
    pub detail: Option<String>,
    pub state_at: i64,
    pub paired: bool,
    pub phone: Option<String>,
    pub push_name: Option<String>,
    pub webhook_key: Option<String>,
    pub qr: Option<String>,
    pub qr_version: i64,
    pub qr_at: Option<i64>,
    pub qr_expires_at: Option<i64>,
    pub qr_link_until: i64,
    pub reconnects: i64,
    pub retry_at: i64,
    pub pace: String,
    pub next_send_at: i64,
    pub first_connected_at: Option<i64>,
    pub paired_at: Option<i64>,
    pub connected_at: Option<i64>,
    pub disconnected_at: Option<i64>,
    pub epoch: i64,
    pub owner: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
    pub deleted_at: Option<i64>,
}

const SESSION: &str = "id, tenant_id, name, engine, chatbot_id, is_default, wanted, state, reason, detail, state_at, \
    paired, phone, push_name, webhook_key, qr, qr_version, qr_at, qr_expires_at, qr_link_until, reconnects, retry_at, pace, \
    next_send_at, first_connected_at, paired_at, connected_at, disconnected_at, epoch, owner, created_at, updated_at, \
    deleted_at";

/// The routing key of a session's number.
pub fn key_of(id: i64) -> String {
    format!("ses_{id}")
}

/// Which session a routing key means; `None` for an official number.
pub fn session_of(phone_number_id: &str) -> Option<i64> {
    phone_number_id.strip_prefix("ses_")?.parse().ok()
}

/// The chatbot that stands for "nobody answers": made with the session, silent, and no caller can name one so.
pub fn silent_chatbot(id: i64) -> String {
    format!("session:{id}")
}

impl Session {
    /// Its number's routing key.
    pub fn key(&self) -> String {
        key_of(self.id)
    }
}

impl Store {
    pub(super) async fn find_sessions(
        &self,
        which: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<Session>, StoreError> {
        let text = format!("select {SESSION} from whatsapp_sessions where {which}");
        Ok(Session::find_by_statement(sql::statement(self.read(), &text, values)).all(self.read()).await?)
    }

    /// One session, deleted ones included.
    pub async fn session(&self, id: i64) -> Result<Option<Session>, StoreError> {
        Ok(self.find_sessions("id = $1", [id.into()]).await?.pop())
    }

    /// The session of this name, whoever's it is: names are one for all tenants, as they are at the engine.
    pub async fn session_named(&self, name: &str) -> Result<Option<Session>, StoreError> {
        Ok(self.find_sessions("name = $1 and deleted_at is null", [name.into()]).await?.pop())
    }

    /// A tenant's sessions by age, after `after`.
    pub async fn session_page(
        &self,
        tenant: &str,
        after: i64,
        limit: u64,
    ) -> Result<Vec<Session>, StoreError> {
        let which = format!("tenant_id = $1 and deleted_at is null and id > $2 order by id limit {limit}");
        self.find_sessions(&which, [tenant.into(), after.into()]).await
    }

    /// The session that a tenant's calls mean when they name none.
    pub async fn default_session(&self, tenant: &str) -> Result<Option<Session>, StoreError> {
        let which = "tenant_id = $1 and is_default and deleted_at is null";
        Ok(self.find_sessions(which, [tenant.into()]).await?.pop())
    }

    /// Every session that is not deleted, of every tenant: for those who look after the whole.
    pub async fn every_session(&self) -> Result<Vec<Session>, StoreError> {
        self.find_sessions("deleted_at is null order by id", []).await
    }

    /// Stores a new session with its number; the tenant's first is its default. Its id. [`StoreError::Conflict`]: the
    /// name is taken.
    pub async fn create_session(&self, new: &Session, line: &Audit<'_>) -> Result<i64, StoreError> {
        let tx = self.begin().await?;
        let text = "insert into whatsapp_sessions (tenant_id, name, engine, chatbot_id, is_default, wanted, state, \
                    reason, state_at, paired, pace, created_at, updated_at) values ($1, $2, $3, $4, \
                    not exists (select 1 from whatsapp_sessions where tenant_id = $1 and is_default and deleted_at is null), \
                    $5, $6, $7, $8, $9, $10, $8, $8) returning id";
        let values: [Value; 10] = [
            new.tenant_id.as_str().into(),
            new.name.as_str().into(),
            new.engine.as_str().into(),
            new.chatbot_id.clone().into(),
            new.wanted.as_str().into(),
            new.state.as_str().into(),
            new.reason.as_str().into(),
            line.now.into(),
            new.paired.into(),
            new.pace.as_str().into(),
        ];
        let id = inserted(&tx, text, values).await?;
        let text = "insert into numbers (phone_number_id, tenant_id, business_account_id, confirmed_at) \
                    values ($1, $2, $1, $3)";
        let values: [Value; 3] = [key_of(id).into(), new.tenant_id.as_str().into(), line.now.into()];
        tx.execute_raw(sql::statement(&tx, text, values)).await?;
        audit(&tx, line).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Keeps the key that signs the engine's webhooks, sealed to the session's id.
    pub async fn set_session_key(&self, id: i64, sealed: &str) -> Result<(), StoreError> {
        self.change_session("webhook_key = $2 where id = $1", [id.into(), sealed.into()]).await.map(drop)
    }

    /// Lets the picture be fetched by its link until then.
    pub async fn open_qr_link(&self, id: i64, until: i64) -> Result<(), StoreError> {
        self.change_session("qr_link_until = $2 where id = $1", [id.into(), until.into()]).await.map(drop)
    }

    /// Makes `chatbot` the one that answers at a session: its account becomes the session's only one. What was written
    /// through another account before stays readable, and what it has queued is still sent. `tokens`, which
    /// nobody uses: hash of the verify token, that and the access token sealed.
    pub async fn bind_session(
        &self,
        session: &Session,
        chatbot: &Chatbot,
        tokens: [&str; 3],
        now: i64,
    ) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        if chatbot.id == silent_chatbot(session.id) {
            chatbots::save(&tx, chatbot).await?;
        }
        let key = session.key();
        let text = "update whatsapp_accounts set deleted_at = $3, updated_at = $3 \
                    where phone_number_id = $1 and chatbot_id <> $2 and deleted_at is null";
        let values: [Value; 3] = [key.as_str().into(), chatbot.id.as_str().into(), now.into()];
        tx.execute_raw(sql::statement(&tx, text, values)).await?;
        let text = "insert into whatsapp_accounts (tenant_id, transport, chatbot_id, phone_number_id, \
                    business_account_id, verify_token_hash, verify_token, access_token, mode, status, created_at, \
                    updated_at) values ($1, 'session', $2, $3, $3, $4, $5, $6, 'all', 'active', $7, $7) \
                    on conflict (chatbot_id, phone_number_id) do update set deleted_at = null, \
                    updated_at = excluded.updated_at";
        let values: [Value; 7] = [
            session.tenant_id.as_str().into(),
            chatbot.id.as_str().into(),
            key.as_str().into(),
            tokens[0].into(),
            tokens[1].into(),
            tokens[2].into(),
            now.into(),
        ];
        tx.execute_raw(sql::statement(&tx, text, values)).await?;
        let text = "update whatsapp_sessions set chatbot_id = $2, updated_at = $3 where id = $1";
        let bound = (chatbot.id != silent_chatbot(session.id)).then(|| chatbot.id.clone());
        tx.execute_raw(sql::statement(&tx, text, [session.id.into(), bound.into(), now.into()])).await?;
        Ok(tx.commit().await?)
    }

    /// Changes what people may change: the pace, and which session is its tenant's default.
    pub async fn change_session_settings(
        &self,
        session: &Session,
        make_default: bool,
        pace: &str,
        line: &Audit<'_>,
    ) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        if make_default {
            let text = "update whatsapp_sessions set is_default = $3 where tenant_id = $1 and id <> $2 and is_default";
            let values: [Value; 3] = [session.tenant_id.as_str().into(), session.id.into(), false.into()];
            tx.execute_raw(sql::statement(&tx, text, values)).await?;
        }
        let text = "update whatsapp_sessions set is_default = (is_default or $2), pace = $3, updated_at = $4 \
                    where id = $1";
        let values: [Value; 4] = [session.id.into(), make_default.into(), pace.into(), line.now.into()];
        tx.execute_raw(sql::statement(&tx, text, values)).await?;
        audit(&tx, line).await?;
        Ok(tx.commit().await?)
    }

    /// A person's command: what is wanted from now on, and where the session stands until the engine has done it. Tries
    /// are counted anew. False: it is deleted.
    pub async fn command_session(
        &self,
        id: i64,
        command: &Command,
        line: &Audit<'_>,
    ) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let text = "update whatsapp_sessions set wanted = $2, state = $3, reason = $4, detail = null, state_at = $5, \
                    paired = (paired and $6), qr = case when $7 then qr end, reconnects = 0, retry_at = 0, \
                    epoch = epoch + 1, updated_at = $5 where id = $1 and deleted_at is null";
        let values: [Value; 7] = [
            id.into(),
            command.wanted.into(),
            command.state.into(),
            command.reason.into(),
            line.now.into(),
            command.keeps_pairing.into(),
            command.keeps_qr.into(),
        ];
        let done = tx.execute_raw(sql::statement(&tx, text, values)).await?;
        audit(&tx, line).await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Puts a session away: its name and number are free, its accounts are deleted, what it said stays.
    pub async fn delete_session(&self, session: &Session, line: &Audit<'_>) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        forget(&tx, session, line.now).await?;
        audit(&tx, line).await?;
        Ok(tx.commit().await?)
    }

    /// Sessions that nobody has used since `before`: not connected, not wanted or never paired. Those of one tenant,
    /// if given.
    pub async fn idle_sessions(&self, tenant: Option<&str>, before: i64) -> Result<Vec<Session>, StoreError> {
        let which = "deleted_at is null and state <> 'connected' and ($1 = '' or tenant_id = $1) \
                     and coalesce(disconnected_at, created_at) < $2 and state_at < $2 order by id";
        self.find_sessions(which, [tenant.unwrap_or_default().into(), before.into()]).await
    }

    /// The name under which the first version of the tenant's table knows its session; `None` clears it.
    pub async fn set_waha_session_name(&self, tenant: &str, name: Option<&str>) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "update tenants set waha_session_name = $2 where id = $1";
        tx.execute_raw(sql::statement(&tx, text, [tenant.into(), name.into()])).await?;
        Ok(tx.commit().await?)
    }

    /// See [`Store::set_waha_session_name`].
    pub async fn waha_session_name(&self, tenant: &str) -> Result<Option<String>, StoreError> {
        let text = "select waha_session_name from tenants where id = $1";
        let row = self.read().query_one_raw(sql::statement(self.read(), text, [tenant.into()])).await?;
        Ok(row.map(|row| row.try_get("", "waha_session_name")).transpose()?.flatten())
    }

    /// The tenant whose name in another system is this one.
    pub async fn tenant_by_external_id(&self, kind: &str, value: &str) -> Result<Option<String>, StoreError> {
        let text = "select tenant_id from tenant_external_ids where kind = $1 and value = $2";
        let row =
            self.read().query_one_raw(sql::statement(self.read(), text, [kind.into(), value.into()])).await?;
        Ok(row.map(|row| row.try_get("", "tenant_id")).transpose()?)
    }

    /// The sessions whose contacts have this phone, two at most: one is an answer, two are none.
    pub async fn sessions_knowing(&self, phone: &str) -> Result<Vec<Session>, StoreError> {
        let which = "deleted_at is null and id in (select s.id from whatsapp_sessions s \
                     join contact_aliases a on a.tenant_id = s.tenant_id and a.scope = 'ses_' || s.id \
                     and a.kind = 'wa_id' and a.value = $1) limit 2";
        self.find_sessions(which, [phone.into()]).await
    }

    async fn change_session(
        &self,
        change: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let text = format!("update whatsapp_sessions set {change}");
        let done = tx.execute_raw(sql::statement(&tx, &text, values)).await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }
}

/// What a person wants of a session.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// `running` or `stopped`.
    pub wanted: &'static str,
    /// Where it stands until the engine has done it.
    pub state: &'static str,
    /// Why.
    pub reason: &'static str,
    /// Whether the phone stays linked.
    pub keeps_pairing: bool,
    /// Whether the QR stays on the screen meanwhile.
    pub keeps_qr: bool,
}

async fn forget(tx: &DatabaseTransaction, session: &Session, now: i64) -> Result<(), DbErr> {
    let text = "update whatsapp_sessions set deleted_at = $2, updated_at = $2, wanted = 'stopped', is_default = $3, \
                qr = null, webhook_key = null, keys_generation = keys_generation + 1, epoch = epoch + 1 \
                where id = $1 and deleted_at is null";
    tx.execute_raw(sql::statement(tx, text, [session.id.into(), now.into(), false.into()])).await?;
    let text = "delete from session_keys where session_id = $1";
    tx.execute_raw(sql::statement(tx, text, [session.id.into()])).await?;
    let key = session.key();
    let text = "update whatsapp_accounts set deleted_at = $2, updated_at = $2 where phone_number_id = $1 \
                and deleted_at is null";
    tx.execute_raw(sql::statement(tx, text, [key.as_str().into(), now.into()])).await?;
    let text = "update deliveries set status = 'cancelled', reason = 'session_deleted' \
                where status in ('queued', 'sending') and status = 'queued' and whatsapp_account_id in (select id from whatsapp_accounts where phone_number_id = $1)";
    tx.execute_raw(sql::statement(tx, text, [key.as_str().into()])).await?;
    tx.execute_raw(sql::statement(tx, "delete from numbers where phone_number_id = $1", [key.into()]))
        .await?;
    let text = "update tenants set waha_session_name = null where id = $1 and waha_session_name = $2";
    let values: [Value; 2] = [session.tenant_id.as_str().into(), session.name.as_str().into()];
    tx.execute_raw(sql::statement(tx, text, values)).await?;
    // Whoever is oldest now is meant where none is named.
    let text = "update whatsapp_sessions set is_default = $2 where id = (select min(id) from whatsapp_sessions \
                where tenant_id = $1 and deleted_at is null) and not exists (select 1 from whatsapp_sessions \
                where tenant_id = $1 and is_default and deleted_at is null)";
    let values: [Value; 2] = [session.tenant_id.as_str().into(), true.into()];
    tx.execute_raw(sql::statement(tx, text, values)).await?;
    Ok(())
}
