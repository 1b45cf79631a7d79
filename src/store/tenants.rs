//! Tenants, their names elsewhere, and their API keys.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, Value};

use super::audit::audit;
use super::{Store, StoreError, sql};

pub use super::audit::Audit;

/// The tenant a platform key acts for when it names none; there from the first start.
pub const DEFAULT_TENANT: &str = "default";

/// A business.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Tenant {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// An API key, without its secret.
#[derive(Debug, Clone, FromQueryResult)]
pub struct ApiKeyRow {
    /// Public part.
    pub id: String,
    /// Its tenant; none for a platform key.
    pub tenant_id: Option<String>,
    /// What people call it.
    pub name: String,
    /// `owner`, `admin`, `agent`, `viewer`.
    pub role: String,
    /// SHA-256 of the secret part.
    pub secret_hash: String,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds, to the minute.
    pub last_used_at: Option<i64>,
    /// Unix milliseconds.
    pub revoked_at: Option<i64>,
}

const KEY: &str = "id, tenant_id, name, role, secret_hash, created_at, last_used_at, revoked_at";

async fn insert_external_ids(
    tx: &DatabaseTransaction,
    tenant: &str,
    external_ids: &[(String, String)],
) -> Result<(), DbErr> {
    let rows =
        external_ids.iter().map(|(kind, value)| -> [Value; 3] { [kind.into(), value.into(), tenant.into()] });
    if !external_ids.is_empty() {
        tx.execute_raw(sql::insert(tx, "tenant_external_ids (kind,value,tenant_id)", rows, "")).await?;
    }
    Ok(())
}

impl Store {
    /// Makes a tenant with its names elsewhere. [`StoreError::Conflict`] when the id or a name is taken.
    pub async fn create_tenant(
        &self,
        id: &str,
        name: &str,
        external_ids: &[(String, String)],
        audit_line: &Audit<'_>,
    ) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "insert into tenants (id, name, created_at) values ($1, $2, $3)";
        tx.execute_raw(sql::statement(&tx, text, [id.into(), name.into(), audit_line.now.into()])).await?;
        insert_external_ids(&tx, id, external_ids).await?;
        audit(&tx, audit_line).await?;
        Ok(tx.commit().await?)
    }

    /// Makes the default tenant, if it is not there.
    pub async fn ensure_default_tenant(&self, now: i64) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text =
            "insert into tenants (id, name, created_at) values ($1, 'Default', $2) on conflict do nothing";
        tx.execute_raw(sql::statement(&tx, text, [DEFAULT_TENANT.into(), now.into()])).await?;
        Ok(tx.commit().await?)
    }

    /// The tenant that goes by this name elsewhere.
    pub async fn tenant_called(&self, kind: &str, value: &str) -> Result<Option<String>, StoreError> {
        let text = "select tenant_id from tenant_external_ids where kind = $1 and value = $2";
        let row =
            self.read().query_one_raw(sql::statement(self.read(), text, [kind.into(), value.into()])).await?;
        Ok(row.map(|row| row.try_get("", "tenant_id")).transpose()?)
    }

    /// One tenant.
    pub async fn tenant(&self, id: &str) -> Result<Option<Tenant>, StoreError> {
        let text = "select id, name, created_at from tenants where id = $1";
        Ok(Tenant::find_by_statement(sql::statement(self.read(), text, [id.into()])).one(self.read()).await?)
    }

    /// A page of all tenants by id, after `after`.
    pub async fn tenant_page(&self, after: &str, limit: u64) -> Result<Vec<Tenant>, StoreError> {
        let text =
            format!("select id, name, created_at from tenants where id > $1 order by id limit {limit}");
        Ok(Tenant::find_by_statement(sql::statement(self.read(), &text, [after.into()]))
            .all(self.read())
            .await?)
    }

    /// The names a tenant goes by elsewhere: (kind, value).
    pub async fn external_ids(&self, tenant: &str) -> Result<Vec<(String, String)>, StoreError> {
        let text = "select kind, value from tenant_external_ids where tenant_id = $1 order by kind, value";
        let rows = self.read().query_all_raw(sql::statement(self.read(), text, [tenant.into()])).await?;
        Ok(rows
            .iter()
            .map(|r| Ok((r.try_get("", "kind")?, r.try_get("", "value")?)))
            .collect::<Result<_, DbErr>>()?)
    }

    /// Renames a tenant; replaces its names elsewhere, if given. [`StoreError::Conflict`] when one is another's.
    pub async fn update_tenant(
        &self,
        id: &str,
        name: &str,
        external_ids: Option<&[(String, String)]>,
        line: &Audit<'_>,
    ) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "update tenants set name = $2 where id = $1";
        tx.execute_raw(sql::statement(&tx, text, [id.into(), name.into()])).await?;
        if let Some(external_ids) = external_ids {
            let text = "delete from tenant_external_ids where tenant_id = $1";
            tx.execute_raw(sql::statement(&tx, text, [id.into()])).await?;
            insert_external_ids(&tx, id, external_ids).await?;
        }
        audit(&tx, line).await?;
        Ok(tx.commit().await?)
    }

    /// Stores a new API key.
    pub async fn create_api_key(&self, key: &ApiKeyRow, line: &Audit<'_>) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "insert into api_keys (id, tenant_id, name, role, secret_hash, created_at) \
                    values ($1, $2, $3, $4, $5, $6)";
        let values: [Value; 6] = [
            key.id.as_str().into(),
            key.tenant_id.clone().into(),
            key.name.as_str().into(),
            key.role.as_str().into(),
            key.secret_hash.as_str().into(),
            key.created_at.into(),
        ];
        tx.execute_raw(sql::statement(&tx, text, values)).await?;
        audit(&tx, line).await?;
        Ok(tx.commit().await?)
    }

    /// The key with this public part, revoked or not.
    pub async fn api_key(&self, id: &str) -> Result<Option<ApiKeyRow>, StoreError> {
        let text = format!("select {KEY} from api_keys where id = $1");
        Ok(ApiKeyRow::find_by_statement(sql::statement(self.read(), &text, [id.into()]))
            .one(self.read())
            .await?)
    }

    /// A tenant's keys, or the platform's.
    pub async fn api_keys(&self, tenant: Option<&str>) -> Result<Vec<ApiKeyRow>, StoreError> {
        let which = if tenant.is_some() { "tenant_id = $1" } else { "tenant_id is null" };
        let text = format!("select {KEY} from api_keys where {which} order by created_at, id");
        let values = tenant.map(Value::from);
        Ok(ApiKeyRow::find_by_statement(sql::statement(self.read(), &text, values)).all(self.read()).await?)
    }

    /// Revokes a key. False when there is none (or it is revoked already).
    pub async fn revoke_api_key(
        &self,
        tenant: Option<&str>,
        id: &str,
        line: &Audit<'_>,
    ) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let which = if tenant.is_some() { "tenant_id = $3" } else { "$3 = '' and tenant_id is null" };
        let text =
            format!("update api_keys set revoked_at = $2 where id = $1 and revoked_at is null and {which}");
        let values: [Value; 3] = [id.into(), line.now.into(), tenant.unwrap_or_default().into()];
        let done = tx.execute_raw(sql::statement(&tx, &text, values)).await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        audit(&tx, line).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Notes that a key was used; at most once a minute.
    pub async fn touch_api_key(&self, id: &str, now: i64) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "update api_keys set last_used_at = $2 where id = $1";
        tx.execute_raw(sql::statement(&tx, text, [id.into(), now.into()])).await?;
        Ok(tx.commit().await?)
    }
}
