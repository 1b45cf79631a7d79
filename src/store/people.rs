//! People who may sign in, the links that let them choose a password, and their sign-ins.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, Value};
use uuid::Uuid;

use super::audit::{Audit, audit};
use super::tenants::DEFAULT_TENANT;
use super::{Store, StoreError, sql};

/// A person who may sign in, or was invited to.
#[derive(Debug, Clone, FromQueryResult)]
pub struct User {
    /// Its id.
    pub id: Uuid,
    /// Whose people they belong to; none: the platform's.
    pub tenant_id: Option<String>,
    /// In lower case.
    pub email: String,
    /// What people call them.
    pub name: String,
    /// `owner`, `admin`, `agent`, `viewer`.
    pub role: String,
    /// As Argon2id; none until an invitation is taken.
    pub password_hash: Option<String>,
    /// Until when their link is good, Unix milliseconds; none: there is none.
    pub link_expires_at: Option<i64>,
    /// Unix milliseconds.
    pub created_at: i64,
}

const USER: &str = "id, tenant_id, email, name, role, password_hash, link_expires_at, created_at";

/// Somebody's sign-in, as a request shows it.
#[derive(Debug, Clone, FromQueryResult)]
pub struct SignIn {
    /// Who it is.
    pub user_id: Uuid,
    /// Whose people they belong to; none: the platform's.
    pub tenant_id: Option<String>,
    /// Their e-mail address.
    pub email: String,
    /// What people call them.
    pub name: String,
    /// As it is now, not as it was at the sign-in.
    pub role: String,
    /// Last used, Unix milliseconds, to the minute.
    pub seen_at: i64,
    /// Over at the latest, Unix milliseconds.
    pub expires_at: i64,
}

/// Why a change of people was not made.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// Nobody would be left who may manage people.
    #[error("the last owner")]
    LastOwner,
    /// Not there (any more).
    #[error("not there")]
    Missing,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DbErr> for PeopleError {
    fn from(error: DbErr) -> Self {
        Self::Store(error.into())
    }
}

/// Whoever changes a tenant's people waits here for each other: what is counted stays true until the commit.
async fn one_at_a_time(tx: &DatabaseTransaction, tenant: Option<&str>) -> Result<(), DbErr> {
    let text = "update tenants set name = name where id = $1";
    tx.execute_raw(sql::statement(tx, text, [tenant.unwrap_or(DEFAULT_TENANT).into()])).await?;
    Ok(())
}

async fn find(
    db: &impl ConnectionTrait,
    which: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Option<User>, DbErr> {
    let text = format!("select {USER} from users where {which}");
    User::find_by_statement(sql::statement(db, &text, values)).one(db).await
}

async fn insert(tx: &DatabaseTransaction, user: &User, link_hash: Option<&str>) -> Result<(), DbErr> {
    let text = format!(
        "insert into users ({USER}, link_hash) values ({})",
        sql::list(1, 9) // as many as are named
    );
    let values: [Value; 9] = [
        user.id.into(),
        user.tenant_id.clone().into(),
        user.email.as_str().into(),
        user.name.as_str().into(),
        user.role.as_str().into(),
        user.password_hash.clone().into(),
        user.link_expires_at.into(),
        user.created_at.into(),
        link_hash.into(),
    ];
    tx.execute_raw(sql::statement(tx, &text, values)).await?;
    Ok(())
}

async fn end_sign_ins(tx: &DatabaseTransaction, user: Uuid, but: &str) -> Result<(), DbErr> {
    let text = "delete from sign_ins where user_id = $1 and token_hash <> $2";
    tx.execute_raw(sql::statement(tx, text, [user.into(), but.into()])).await?;
    Ok(())
}

/// Refuses when `user` is the only owner of their tenant (or of the platform) who can sign in.
async fn not_the_last_owner(tx: &DatabaseTransaction, user: &User) -> Result<(), PeopleError> {
    if user.role != "owner" || user.password_hash.is_none() {
        return Ok(());
    }
    let text = "select id from users where role = 'owner' and password_hash is not null and id <> $1 \
                and coalesce(tenant_id, '') = $2 limit 1";
    let tenant = user.tenant_id.as_deref().unwrap_or_default();
    let other = tx.query_one_raw(sql::statement(tx, text, [user.id.into(), tenant.into()])).await?;
    other.map(drop).ok_or(PeopleError::LastOwner)
}

impl Store {
    /// Whether nobody may sign in yet and nobody was invited.
    pub async fn nobody_yet(&self) -> Result<bool, StoreError> {
        let text = "select id from users limit 1";
        Ok(self.read().query_one_raw(sql::statement(self.read(), text, [])).await?.is_none())
    }

    /// Makes the first person. False when there is somebody already.
    pub async fn create_first_user(&self, user: &User, line: &Audit<'_>) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        one_at_a_time(&tx, None).await?;
        if tx.query_one_raw(sql::statement(&tx, "select id from users limit 1", [])).await?.is_some() {
            return Ok(false);
        }
        insert(&tx, user, None).await?;
        audit(&tx, line).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Invites somebody: a person without a password, and the hash of the link that lets them choose one.
    /// [`StoreError::Conflict`] when the e-mail address is taken.
    pub async fn invite_user(
        &self,
        user: &User,
        link_hash: &str,
        line: &Audit<'_>,
    ) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        insert(&tx, user, Some(link_hash)).await?;
        audit(&tx, line).await?;
        Ok(tx.commit().await?)
    }

    /// Makes a person with a password, or gives the one with this e-mail address another password, role and tenant;
    /// whatever sign-ins they had are over.
    pub async fn upsert_user(&self, user: &User, line: &Audit<'_>) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        match find(&tx, "email = $1", [user.email.as_str().into()]).await? {
            None => insert(&tx, user, None).await?,
            Some(known) => {
                let text = "update users set tenant_id = $2, role = $3, password_hash = $4, link_hash = null, \
                            link_expires_at = null where id = $1";
                let values: [Value; 4] = [
                    known.id.into(),
                    user.tenant_id.clone().into(),
                    user.role.as_str().into(),
                    user.password_hash.clone().into(),
                ];
                tx.execute_raw(sql::statement(&tx, text, values)).await?;
                end_sign_ins(&tx, known.id, "").await?;
            }
        }
        audit(&tx, line).await?;
        Ok(tx.commit().await?)
    }

    /// The person with this e-mail address, in lower case.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<User>, StoreError> {
        Ok(find(self.read(), "email = $1", [email.into()]).await?)
    }

    /// A person.
    pub async fn user(&self, id: Uuid) -> Result<Option<User>, StoreError> {
        Ok(find(self.read(), "id = $1", [id.into()]).await?)
    }

    /// A page of a tenant's people (or of the platform's) in the order they came, after `after`.
    pub async fn user_page(
        &self,
        tenant: Option<&str>,
        after: Uuid,
        limit: u64,
    ) -> Result<Vec<User>, StoreError> {
        let text = format!(
            "select {USER} from users where coalesce(tenant_id, '') = $1 and id > $2 order by id limit {limit}"
        );
        let values = [tenant.unwrap_or_default().into(), after.into()];
        Ok(User::find_by_statement(sql::statement(self.read(), &text, values)).all(self.read()).await?)
    }

    /// Gives a person another name or role; `None`: the one they have. The person as they are now.
    pub async fn change_user(
        &self,
        user: &User,
        name: Option<&str>,
        role: Option<&str>,
        line: &Audit<'_>,
    ) -> Result<User, PeopleError> {
        let tx = self.begin().await?;
        one_at_a_time(&tx, user.tenant_id.as_deref()).await?;
        let mut now = find(&tx, "id = $1", [user.id.into()]).await?.ok_or(PeopleError::Missing)?;
        if role.is_some_and(|role| role != "owner") {
            not_the_last_owner(&tx, &now).await?;
        }
        let detail = role.map(|role| format!("{} to {role}", now.role));
        now.name = name.map_or(now.name, str::to_owned);
        now.role = role.map_or(now.role, str::to_owned);
        let text = "update users set name = $2, role = $3 where id = $1";
        let values = [now.id.into(), now.name.as_str().into(), now.role.as_str().into()];
        tx.execute_raw(sql::statement(&tx, text, values)).await?;
        audit(&tx, &Audit { detail: detail.as_deref(), ..line.clone() }).await?;
        tx.commit().await?;
        Ok(now)
    }

    /// Removes a person, with their sign-ins.
    pub async fn remove_user(&self, user: &User, line: &Audit<'_>) -> Result<(), PeopleError> {
        let tx = self.begin().await?;
        one_at_a_time(&tx, user.tenant_id.as_deref()).await?;
        let now = find(&tx, "id = $1", [user.id.into()]).await?.ok_or(PeopleError::Missing)?;
        not_the_last_owner(&tx, &now).await?;
        end_sign_ins(&tx, user.id, "").await?;
        tx.execute_raw(sql::statement(&tx, "delete from users where id = $1", [user.id.into()])).await?;
        audit(&tx, line).await?;
        Ok(tx.commit().await?)
    }

    /// A new link for a person; the one before is void.
    pub async fn set_user_link(
        &self,
        id: Uuid,
        link_hash: &str,
        expires_at: i64,
        line: &Audit<'_>,
    ) -> Result<(), PeopleError> {
        let tx = self.begin().await?;
        let text = "update users set link_hash = $2, link_expires_at = $3 where id = $1";
        let values = [id.into(), link_hash.into(), expires_at.into()];
        let done = tx.execute_raw(sql::statement(&tx, text, values)).await?;
        if done.rows_affected() == 0 {
            return Err(PeopleError::Missing);
        }
        audit(&tx, line).await?;
        Ok(tx.commit().await?)
    }

    /// Whose link it is, while it is good.
    pub async fn user_of_link(&self, link_hash: &str, now: i64) -> Result<Option<User>, StoreError> {
        Ok(find(self.read(), "link_hash = $1 and link_expires_at > $2", [link_hash.into(), now.into()])
            .await?)
    }

    /// Takes a link: its person has this password from now on, and no sign-in from before. False when somebody took
    /// it meanwhile.
    pub async fn take_link(
        &self,
        link_hash: &str,
        name: Option<&str>,
        password_hash: &str,
        line: &Audit<'_>,
    ) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let values = [link_hash.into(), line.now.into()];
        let Some(user) = find(&tx, "link_hash = $1 and link_expires_at > $2", values).await? else {
            return Ok(false);
        };
        let text = "update users set password_hash = $2, name = $3, link_hash = null, link_expires_at = null \
                    where id = $1 and link_hash = $4";
        let name = name.unwrap_or(&user.name);
        let values = [user.id.into(), password_hash.into(), name.into(), link_hash.into()];
        if tx.execute_raw(sql::statement(&tx, text, values)).await?.rows_affected() == 0 {
            return Ok(false);
        }
        end_sign_ins(&tx, user.id, "").await?;
        audit(&tx, line).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Gives a person another password; all their sign-ins but the one named are over.
    pub async fn set_password(
        &self,
        id: Uuid,
        password_hash: &str,
        keep: &str,
        line: &Audit<'_>,
    ) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text =
            "update users set password_hash = $2, link_hash = null, link_expires_at = null where id = $1";
        tx.execute_raw(sql::statement(&tx, text, [id.into(), password_hash.into()])).await?;
        end_sign_ins(&tx, id, keep).await?;
        audit(&tx, line).await?;
        Ok(tx.commit().await?)
    }

    /// Signs somebody in who has proved this password, and forgets sign-ins that are over anyway. False when they have
    /// another one by now, or are gone.
    pub async fn create_sign_in(
        &self,
        user: &User,
        token_hash: &str,
        expires_at: i64,
        idle_since: i64,
        line: &Audit<'_>,
    ) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let text = "delete from sign_ins where expires_at <= $1 or seen_at <= $2";
        tx.execute_raw(sql::statement(&tx, text, [line.now.into(), idle_since.into()])).await?;
        let text = "insert into sign_ins (token_hash, user_id, created_at, seen_at, expires_at) \
                    select $1, id, $3, $3, $4 from users where id = $2 and password_hash = $5";
        let values: [Value; 5] = [
            token_hash.into(),
            user.id.into(),
            line.now.into(),
            expires_at.into(),
            user.password_hash.clone().into(),
        ];
        if tx.execute_raw(sql::statement(&tx, text, values)).await?.rows_affected() == 0 {
            return Ok(false);
        }
        audit(&tx, line).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The sign-in of this token, whether or not it is over.
    pub async fn sign_in(&self, token_hash: &str) -> Result<Option<SignIn>, StoreError> {
        let text = "select u.id as user_id, u.tenant_id, u.email, u.name, u.role, s.seen_at, s.expires_at \
                    from sign_ins s join users u on u.id = s.user_id where s.token_hash = $1";
        let statement = sql::statement(self.read(), text, [token_hash.into()]);
        Ok(SignIn::find_by_statement(statement).one(self.read()).await?)
    }

    /// Notes that a sign-in was used.
    pub async fn touch_sign_in(&self, token_hash: &str, now: i64) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let text = "update sign_ins set seen_at = $2 where token_hash = $1";
        tx.execute_raw(sql::statement(&tx, text, [token_hash.into(), now.into()])).await?;
        Ok(tx.commit().await?)
    }

    /// Ends a sign-in, or all of that person.
    pub async fn end_sign_in(&self, token_hash: &str, everywhere: bool) -> Result<(), StoreError> {
        let which = if everywhere {
            "user_id = (select user_id from sign_ins where token_hash = $1)"
        } else {
            "token_hash = $1"
        };
        let tx = self.begin().await?;
        let text = format!("delete from sign_ins where {which}");
        tx.execute_raw(sql::statement(&tx, &text, [token_hash.into()])).await?;
        Ok(tx.commit().await?)
    }
}
