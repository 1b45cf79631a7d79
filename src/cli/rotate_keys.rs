//! `switchboard rotate-keys`: everything that is sealed, sealed again by the newest key.

use secrecy::ExposeSecret;
use uuid::Uuid;

use super::progress::{Progress, patiently};
use super::{Failure, database, say, tell};
use crate::config::{Config, Variables};
use crate::news::News;
use crate::notify::signature::secret_place;
use crate::routing::{FINGERPRINT, VERIFY_TOKEN, chatbot_key_place, sealed_place};
use crate::secret::{Place, Ring};
use crate::store::reseal::Cell;
use crate::store::{Store, StoreError};

/// Rows read at once, and written in one transaction.
const PAGE: u64 = 100;
/// Events looked at in one piece.
const EVENTS: i64 = 2_000;
/// A service at work may write back what it read a moment before; then it is done again.
const ROUNDS: u32 = 5;

/// Seals every stored secret again with the first key of SWITCHBOARD_KEYS. The service may run, with the same keys; when
/// this says that nothing is left, the older keys can be taken away.
#[derive(Debug, clap::Args)]
pub(super) struct RotateKeys {
    #[command(flatten)]
    config: Config,
}

/// What one round came to.
#[derive(Default)]
struct Round {
    resealed: u64,
    rehashed: u64,
    /// What no key opens, by place.
    unreadable: Vec<String>,
}

impl RotateKeys {
    pub(super) async fn run(self, variables: &Variables) -> Result<(), Failure> {
        let (store, _single) = database(&self.config, variables).await?;
        let ring = self.config.ring()?;
        let mut work = Work { store: &store, ring: &ring, app_secrets: Vec::new(), round: Round::default() };
        let (mut resealed, mut rehashed) = (0, 0);
        for round in 1.. {
            work.round().await?;
            let Round { resealed: sealed, rehashed: hashed, .. } = work.round;
            (resealed, rehashed) = (resealed + sealed, rehashed + hashed);
            if sealed + hashed == 0 {
                break;
            }
            if round == ROUNDS {
                return Err("the service keeps writing values sealed by an older key: run this again".into());
            }
        }
        say(format!("{resealed} secrets are sealed by the newest key now, {rehashed} verify tokens hashed"));
        work.app_secrets.extend(self.config.meta.facebook_app_secret.all().iter().cloned());
        say(format!("{} stored events know their secret by the newest key now", work.fingerprints().await?));
        let unreadable = std::mem::take(&mut work.round.unreadable);
        // Whoever compares a token with what is stored must not compare with what was.
        tell(&store, &News::Lost).await;
        store.close().await;
        if unreadable.is_empty() {
            say("nothing is sealed by an older key any more");
            return Ok(());
        }
        for what in &unreadable {
            say(format!("cannot be read: {what}"));
        }
        Err(format!("{} secrets stay as they are: keep every key until they are replaced", unreadable.len())
            .into())
    }
}

struct Work<'a> {
    store: &'a Store,
    ring: &'a Ring,
    /// Every app secret that was met: fingerprints of events are made of them.
    app_secrets: Vec<secrecy::SecretString>,
    round: Round,
}

impl Work<'_> {
    /// Everything once.
    async fn round(&mut self) -> Result<(), StoreError> {
        self.round = Round::default();
        self.app_secrets.clear();
        let mut progress = Progress::new("rows");
        let store = self.store;
        let mut last = String::new();
        loop {
            let rows = store.chatbots_after(&last, PAGE).await?;
            let Some(end) = rows.last() else { break };
            last.clone_from(&end.id);
            let mut cells = Vec::new();
            for row in &rows {
                let place = chatbot_key_place(&row.tenant_id, &row.id);
                let id = || row.id.as_str().into();
                self.cell(&mut cells, "chatbots", "api_key", id, row.api_key.as_deref(), &place);
            }
            self.write(cells).await?;
            progress.add(rows.len() as u64);
        }
        let mut last = 0;
        loop {
            let rows = store.accounts_after(last, PAGE).await?;
            let Some(end) = rows.last() else { break };
            last = end.id;
            let (mut cells, mut hashes) = (Vec::new(), Vec::new());
            for row in &rows {
                let table = "whatsapp_accounts";
                for (column, sealed) in [
                    ("verify_token", Some(row.verify_token.as_str())),
                    ("access_token", Some(row.access_token.as_str())),
                    ("app_secret", row.app_secret.as_deref()),
                    ("previous_app_secret", row.previous_app_secret.as_deref()),
                ] {
                    let place = sealed_place(row, column);
                    let opened = self.cell(&mut cells, table, column, || row.id.into(), sealed, &place);
                    match opened {
                        Some(token) if column == "verify_token" => {
                            let new = self.ring.keyed_hash(VERIFY_TOKEN, token.expose_secret());
                            let old = row.verify_token_hash.clone();
                            let column = "verify_token_hash";
                            if new != old {
                                hashes.push(Cell { table, column, id: row.id.into(), old, new });
                            }
                        }
                        Some(secret) if column != "access_token" => self.app_secrets.push(secret),
                        _ => {}
                    }
                }
            }
            self.write(cells).await?;
            self.round.rehashed += patiently(|| store.reseal(&hashes)).await?;
            progress.add(rows.len() as u64);
        }
        let mut last = Uuid::nil();
        loop {
            let rows = store.endpoints_after(last, PAGE).await?;
            let Some(end) = rows.last() else { break };
            last = end.id;
            let mut cells = Vec::new();
            for row in &rows {
                for (column, sealed) in [
                    ("secret", Some(row.secret.as_str())),
                    ("previous_secret", row.previous_secret.as_deref()),
                ] {
                    let place = secret_place(&row.tenant_id, row.id, column);
                    self.cell(&mut cells, "event_endpoints", column, || row.id.into(), sealed, &place);
                }
            }
            self.write(cells).await?;
            progress.add(rows.len() as u64);
        }
        progress.end();
        Ok(())
    }

    /// Plans a cell's move, unless it is there already; its value, if it can be read.
    fn cell(
        &mut self,
        cells: &mut Vec<Cell>,
        table: &'static str,
        column: &'static str,
        id: impl Fn() -> sea_orm::Value,
        sealed: Option<&str>,
        place: &Place,
    ) -> Option<secrecy::SecretString> {
        let sealed = sealed?;
        match self.ring.open(sealed, place) {
            Ok(open) => {
                if !self.ring.is_current(sealed) {
                    let new = self.ring.seal(open.expose_secret(), place);
                    cells.push(Cell { table, column, id: id(), old: sealed.to_owned(), new });
                }
                Some(open)
            }
            Err(error) => {
                self.round.unreadable.push(format!("{table}.{column} of {:?}: {error}", id()));
                None
            }
        }
    }

    async fn write(&mut self, cells: Vec<Cell>) -> Result<(), StoreError> {
        if !cells.is_empty() {
            self.round.resealed += patiently(|| self.store.reseal(&cells)).await?;
        }
        Ok(())
    }

    /// Stored events remember which secret verified them, by a keyed hash: without this they could not be replayed once
    /// the older keys are gone.
    async fn fingerprints(&self) -> Result<u64, StoreError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for secret in &self.app_secrets {
            let mut prints = self.ring.keyed_hashes(FINGERPRINT, secret.expose_secret()).into_iter();
            let Some(newest) = prints.next() else { continue };
            pairs.extend(prints.map(|old| (old, newest.clone())));
        }
        pairs.sort_unstable();
        pairs.dedup();
        let last = self.store.last_event_id().await?;
        let mut progress = Progress::new("events");
        let mut replaced = 0;
        for chunk in pairs.chunks(200) {
            let mut from = 0;
            while from < last {
                let upto = from + EVENTS;
                replaced += patiently(|| self.store.replace_fingerprints(chunk, from, upto)).await?;
                progress.add(EVENTS.unsigned_abs());
                from = upto;
            }
        }
        progress.end();
        Ok(replaced)
    }
}
