//! `switchboard rotate-keys`: everything that is sealed, sealed again by the newest key.

use secrecy::ExposeSecret;

use super::progress::{Progress, patiently};
use super::{Failure, database, say, tell};
use crate::config::{Config, Variables};
use crate::ids::TenantId;
use crate::news::News;
use crate::routing::{FINGERPRINT, VERIFY_TOKEN};
use crate::secret::{Place, Ring};
use crate::store::reseal::{Cell, SEALED, Sealed, SealedRow};
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
        for of in &SEALED {
            let mut last = None;
            loop {
                let rows = self.store.sealed_rows(of, last, PAGE).await?;
                let Some(end) = rows.last() else { break };
                last = Some(end.id.clone());
                let (mut cells, mut hashes) = (Vec::new(), Vec::new());
                for row in &rows {
                    self.row(of, row, &mut cells, &mut hashes);
                }
                self.round.resealed += patiently(|| self.store.reseal(&cells)).await?;
                self.round.rehashed += patiently(|| self.store.reseal(&hashes)).await?;
                progress.add(rows.len() as u64);
            }
        }
        progress.end();
        Ok(())
    }

    /// Plans the move of a row's cells that are not there already, and keeps what fingerprints are made of.
    fn row(&mut self, of: &Sealed, row: &SealedRow, cells: &mut Vec<Cell>, hashes: &mut Vec<Cell>) {
        for (column, sealed) in of.columns.iter().zip(&row.values) {
            let Some(sealed) = sealed else { continue };
            let (table, id) = (of.table, row.id.clone());
            let place = Place::new(&TenantId::trusted(&row.tenant), table, column, &row.name);
            let open = match self.ring.open_bytes(sealed, &place) {
                Ok(open) => open,
                Err(error) => {
                    self.round.unreadable.push(format!("{table}.{column} of {}: {error}", row.name));
                    continue;
                }
            };
            if !self.ring.is_current(sealed) {
                let new = self.ring.seal(open.expose_secret(), &place);
                cells.push(Cell { table, column, id: id.clone(), old: sealed.clone(), new });
            }
            // Keys of sessions are no text; what follows is about those that are.
            let Ok(text) = std::str::from_utf8(open.expose_secret()) else { continue };
            if *column == "verify_token"
                && let Some(old) = &row.verify_token_hash
            {
                let new = self.ring.keyed_hash(VERIFY_TOKEN, text);
                if new != *old {
                    hashes.push(Cell { table, column: "verify_token_hash", id, old: old.clone(), new });
                }
            }
            if column.ends_with("app_secret") {
                self.app_secrets.push(text.into());
            }
        }
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
