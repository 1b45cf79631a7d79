//! Chatbots: who answers, how, and with what patience.

use sea_orm::{ConnectionTrait, DatabaseTransaction, FromQueryResult, Value};

use super::audit::{Audit, audit};
use super::{Store, StoreError, sql};

/// A stored chatbot. `api_key` is sealed.
#[derive(Debug, Clone, FromQueryResult)]
#[allow(missing_docs)] // the columns of `chatbots`, named alike
pub struct Chatbot {
    pub id: String,
    pub tenant_id: String,
    pub name: String,
    pub api_key: Option<String>,
    pub responder: String,
    pub coalesce_ms: i64,
    pub coalesce_max_ms: i64,
    pub history_limit: i64,
    pub fallback_text: Option<String>,
    pub typing: bool,
    pub media_links: bool,
    pub paused: bool,
    pub hand_off_words: bool,
    pub created_at: i64,
    pub updated_at: i64,
    pub deleted_at: Option<i64>,
}

const CHATBOT: &str = "id, tenant_id, name, api_key, responder, coalesce_ms, coalesce_max_ms, history_limit, \
                       fallback_text, typing, media_links, paused, hand_off_words, created_at, updated_at, deleted_at";

/// What a customer reads when no answer could be had, unless the chatbot has its own words.
pub const FALLBACK_TEXT: &str = "Sorry, I can't answer right now. Please try again in a moment.";

impl Chatbot {
    /// A chatbot with every default, asked through the response API.
    pub fn new(id: &str, tenant_id: &str, now: i64) -> Self {
        Self {
            id: id.into(),
            tenant_id: tenant_id.into(),
            name: id.into(),
            api_key: None,
            responder: r#"{"kind":"response_api"}"#.into(),
            coalesce_ms: 800,
            coalesce_max_ms: 5_000,
            history_limit: 10,
            fallback_text: Some(FALLBACK_TEXT.into()),
            typing: true,
            media_links: false,
            paused: false,
            hand_off_words: true,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        }
    }
}

impl Store {
    /// Stores a chatbot as it is now: makes it, or replaces it. A deleted one of the same tenant comes back.
    pub async fn save_chatbot(&self, c: &Chatbot, line: &Audit<'_>) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        save(&tx, c).await?;
        audit(&tx, line).await?;
        Ok(tx.commit().await?)
    }

    /// The chatbot with this id, whoever's it is: only to see whether the id is free.
    pub async fn chatbot_anywhere(&self, id: &str) -> Result<Option<Chatbot>, StoreError> {
        let text = format!("select {CHATBOT} from chatbots where id = $1");
        Ok(Chatbot::find_by_statement(sql::statement(self.read(), &text, [id.into()]))
            .one(self.read())
            .await?)
    }

    /// Puts a tenant's chatbot away together with its accounts, so that their verify tokens and pairs are free; the
    /// rows stay. Returns the numbers it served.
    pub async fn delete_chatbot(
        &self,
        tenant: &str,
        id: &str,
        line: &Audit<'_>,
    ) -> Result<Vec<String>, StoreError> {
        let tx = self.begin().await?;
        let values: [Value; 3] = [tenant.into(), id.into(), line.now.into()];
        let text =
            "update chatbots set deleted_at = $3 where tenant_id = $1 and id = $2 and deleted_at is null";
        tx.execute_raw(sql::statement(&tx, text, values.clone())).await?;
        let text = "update whatsapp_accounts set deleted_at = $3, updated_at = $3 \
                    where tenant_id = $1 and chatbot_id = $2 and deleted_at is null returning phone_number_id";
        let rows = tx.query_all_raw(sql::statement(&tx, text, values)).await?;
        audit(&tx, line).await?;
        tx.commit().await?;
        Ok(rows.iter().map(|row| row.try_get("", "phone_number_id")).collect::<Result<_, _>>()?)
    }

    /// One of a tenant's chatbots.
    pub async fn chatbot(&self, tenant: &str, id: &str) -> Result<Option<Chatbot>, StoreError> {
        let text =
            format!("select {CHATBOT} from chatbots where tenant_id = $1 and id = $2 and deleted_at is null");
        let found =
            Chatbot::find_by_statement(sql::statement(self.read(), &text, [tenant.into(), id.into()]));
        Ok(found.one(self.read()).await?)
    }

    /// A page of a tenant's chatbots by id, after `after`.
    pub async fn chatbot_page(
        &self,
        tenant: &str,
        after: &str,
        limit: u64,
    ) -> Result<Vec<Chatbot>, StoreError> {
        let text = format!(
            "select {CHATBOT} from chatbots where tenant_id = $1 and deleted_at is null and id > $2 \
             and id not like 'session:%' order by id limit {limit}"
        );
        let found =
            Chatbot::find_by_statement(sql::statement(self.read(), &text, [tenant.into(), after.into()]));
        Ok(found.all(self.read()).await?)
    }
}

/// Inserts or replaces; [`StoreError::Conflict`] when the id is another tenant's.
pub(super) async fn save(tx: &DatabaseTransaction, c: &Chatbot) -> Result<(), StoreError> {
    let text = format!(
        "insert into chatbots ({CHATBOT}) values ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16) \
             on conflict (id) do update set name = excluded.name, api_key = excluded.api_key, \
             responder = excluded.responder, coalesce_ms = excluded.coalesce_ms, \
             coalesce_max_ms = excluded.coalesce_max_ms, history_limit = excluded.history_limit, \
             fallback_text = excluded.fallback_text, typing = excluded.typing, \
             media_links = excluded.media_links, paused = excluded.paused, \
             hand_off_words = excluded.hand_off_words, \
             updated_at = excluded.updated_at, deleted_at = excluded.deleted_at \
             where chatbots.tenant_id = excluded.tenant_id"
    );
    let values: [Value; 16] = [
        c.id.as_str().into(),
        c.tenant_id.as_str().into(),
        c.name.as_str().into(),
        c.api_key.clone().into(),
        c.responder.as_str().into(),
        c.coalesce_ms.into(),
        c.coalesce_max_ms.into(),
        c.history_limit.into(),
        c.fallback_text.clone().into(),
        c.typing.into(),
        c.media_links.into(),
        c.paused.into(),
        c.hand_off_words.into(),
        c.created_at.into(),
        c.updated_at.into(),
        c.deleted_at.into(),
    ];
    let done = tx.execute_raw(sql::statement(tx, &text, values)).await?;
    if done.rows_affected() == 0 {
        return Err(StoreError::Conflict);
    }
    Ok(())
}
