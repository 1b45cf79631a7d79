//! Files, beside the river: what customers send is fetched as a step of its own that no text waits for; what callers
//! uploaded goes to Meta when it is first sent; and a responder gets a signed link that ends.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use moka::future::Cache;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::graph::client::{GraphClient, SendFailure};
use crate::graph::errors::{GraphError, Reaction};
use crate::graph::media::FetchFailure;
use crate::ids::MediaId;
use crate::routing::{Account, Routing};
use crate::runtime::Clock;
use crate::secret::{self, Ring};
use crate::store::media::{Arrived, MediaJob};
use crate::store::{Store, StoreError};
use crate::telemetry::metric;

/// Files fetched at once; each has a piece in memory.
const AT_ONCE: usize = 4;
/// How often the database is searched for files that are due.
const PATROL: Duration = Duration::from_secs(5);
/// Whoever takes a file has it for so long, in milliseconds; after a crash somebody else takes it then. Longer than a
/// transfer.
const TAKEN: i64 = 330_000;
/// Bytes of a file that are kept together.
const PIECE: usize = 1 << 20;
/// Waits between tries: 4^n seconds, at most this.
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 3_600);
/// Meta's ID of a customer's file is good for seven days; of an upload for thirty, of which one is left unused.
const FETCHABLE: i64 = 7 * 86_400_000;
const UPLOADED: i64 = 29 * 86_400_000;
/// A responder's link works for a day from the file's arrival, in milliseconds.
const LINKED: i64 = 86_400_000;
/// What a link's signature is for; see [`Ring::keyed_hash`].
const LINK: &str = "media-link";

/// The station. Cheap to clone.
#[derive(Clone)]
pub struct Media(Arc<Inner>);

struct Inner {
    store: Store,
    routing: Routing,
    graph: GraphClient,
    clock: Clock,
    ring: Ring,
    public_url: String,
    wake: Notify,
    /// (file, number) → Meta's ID: of many who want it at once, one uploads.
    uploads: Cache<(i64, String), String>,
}

/// Why a file has no ID at Meta.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UploadFailure {
    /// Our database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Meta.
    #[error(transparent)]
    Graph(#[from] SendFailure),
}

impl Media {
    /// `public_url`: where responders reach us, without a slash at the end.
    pub fn new(
        store: Store,
        routing: Routing,
        graph: GraphClient,
        clock: Clock,
        ring: Ring,
        public_url: String,
    ) -> Self {
        let uploads = Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(3_600)).build();
        Self(Arc::new(Inner { store, routing, graph, clock, ring, public_url, wake: Notify::new(), uploads }))
    }

    /// There is a file to be fetched.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// Fetches what is due until `stop`; what is under way then is fetched by the next life.
    pub async fn run(self, stop: CancellationToken) {
        let mut under_way: JoinSet<()> = JoinSet::new();
        loop {
            let now = self.0.clock.now_ms();
            let free = AT_ONCE - under_way.len();
            let jobs = match free {
                0 => Ok(Vec::new()),
                free => self.0.store.claim_media(now, now + TAKEN, free).await,
            };
            match jobs {
                Ok(jobs) => {
                    let all_taken = !jobs.is_empty();
                    for job in jobs {
                        let media = self.clone();
                        under_way.spawn(async move { media.fetch(job).await });
                    }
                    if all_taken && under_way.len() < AT_ONCE {
                        continue;
                    }
                }
                Err(error) => tracing::warn!(%error, "files to be fetched could not be looked for"),
            }
            tokio::select! {
                Some(_) = under_way.join_next() => {}
                () = self.0.wake.notified() => {}
                () = tokio::time::sleep(self.0.clock.pause(PATROL)) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn fetch(&self, job: MediaJob) {
        let (outcome, done) = match self.get(&job).await {
            Ok(file) => ("stored", self.0.store.media_stored(job.id, &file).await),
            Err(missed) => {
                let now = self.0.clock.now_ms();
                let expired = now - job.created_at > FETCHABLE;
                let exponent = u32::try_from(job.attempts - 1).unwrap_or(0).min(8);
                let wait = self.0.clock.pause(Duration::from_secs(4_u64.pow(exponent)).min(LONGEST_WAIT));
                let next_at = now + i64::try_from(wait.as_millis()).unwrap_or(0);
                let again = (missed.again && !expired).then_some(next_at);
                tracing::info!(
                    media = job.id,
                    reason = missed.reason,
                    again = again.is_some(),
                    "a file was not fetched"
                );
                let outcome = if again.is_some() { "missed" } else { "failed" };
                (outcome, self.0.store.media_missed(job.id, missed.reason, again).await)
            }
        };
        metrics::counter!(metric::MEDIA, "outcome" => outcome).increment(1);
        if let Err(error) = done {
            tracing::warn!(media = job.id, %error, "a file is fetched again");
        }
    }

    async fn get(&self, job: &MediaJob) -> Result<Arrived, Missed> {
        let account = self.0.routing.account(&job.phone_number_id, job.whatsapp_account_id).await;
        let Ok(Some(account)) = account.map(|found| found.filter(|a| a.status.may_send())) else {
            return Err(Missed { reason: "account_not_active", again: true });
        };
        let credentials = &account.credentials;
        let info = self.0.graph.media_info(&job.phone_number_id, credentials, &job.graph_id).await?;
        let mut download = self.0.graph.download(credentials, &info).await?;
        let mut pieces = Pieces::new(&self.0.store, job.id);
        while let Some(bytes) = download.next().await? {
            pieces.add(&bytes).await?;
        }
        let (digest, size) = pieces.end().await?;
        if let Some(told) = info.sha256.as_deref().or(job.sha256.as_deref())
            && !is_digest(told, &digest)
        {
            return Err(Missed { reason: "checksum", again: true });
        }
        let mime_type = info.mime_type.unwrap_or_else(|| job.mime_type.clone());
        Ok(Arrived { mime_type, sha256: hex::encode(digest), size })
    }

    /// Meta's ID of a stored file, for messages of this account's number: uploaded unless it is there already.
    pub async fn graph_id(&self, account: &Account, id: i64) -> Result<String, UploadFailure> {
        let number = account.place.phone_number_id.clone();
        let uploaded = self.0.uploads.try_get_with((id, number), self.upload(account, id)).await;
        uploaded.map_err(|error: Arc<UploadFailure>| (*error).clone())
    }

    async fn upload(&self, account: &Account, id: i64) -> Result<String, UploadFailure> {
        let (store, number) = (&self.0.store, account.place.phone_number_id.as_str());
        let now = self.0.clock.now_ms();
        if let Some(known) = store.uploaded(id, number, now).await? {
            return Ok(known);
        }
        let row = store.media(None, id).await?.filter(|row| row.status == "stored");
        let Some((file, size)) = row.and_then(|row| Some((row.clone(), row.size?))) else {
            return Err(gone().into());
        };
        let filename = file.filename.as_deref().unwrap_or("file");
        let graph = &self.0.graph;
        let uploaded = graph
            .upload(
                number,
                &account.credentials,
                &file.mime_type,
                filename,
                size.unsigned_abs(),
                store.pieces(id),
            )
            .await?;
        store.save_upload(id, number, &uploaded, now + UPLOADED).await?;
        Ok(uploaded)
    }

    /// A link to a file that needs no key, good for a day from `made_at` (Unix milliseconds). The same every time.
    pub fn link(&self, id: i64, made_at: i64) -> String {
        let (id, expires) = (MediaId(id), made_at + LINKED);
        let signature = self.0.ring.keyed_hash(LINK, &format!("{id}.{expires}"));
        format!("{}/api/v1/media/{id}?expires={expires}&signature={signature}", self.0.public_url)
    }
}

/// Whether a link is ours and still good.
pub fn link_is_good(ring: &Ring, id: MediaId, expires: i64, signature: &str, now: i64) -> bool {
    let right = || ring.keyed_hashes(LINK, &format!("{id}.{expires}"));
    now < expires && right().iter().any(|hash| secret::equal(hash, signature))
}

/// The bytes of a file on their way into the database.
pub struct Pieces<'a> {
    store: &'a Store,
    id: i64,
    next: i64,
    gathered: Vec<u8>,
    digest: Sha256,
    size: i64,
}

impl<'a> Pieces<'a> {
    /// For this file, from its beginning.
    pub fn new(store: &'a Store, id: i64) -> Self {
        Self { store, id, next: 0, gathered: Vec::new(), digest: Sha256::new(), size: 0 }
    }

    /// More of them; what makes a piece is stored.
    ///
    /// # Errors
    /// From the database.
    pub async fn add(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.digest.update(bytes);
        self.size += bytes.len() as i64;
        for some in bytes.chunks(PIECE) {
            self.gathered.extend_from_slice(some);
            if self.gathered.len() >= PIECE {
                self.store().await?;
            }
        }
        Ok(())
    }

    /// That was all: its digest, and its size in bytes.
    ///
    /// # Errors
    /// From the database.
    pub async fn end(mut self) -> Result<([u8; 32], i64), StoreError> {
        if !self.gathered.is_empty() || self.next == 0 {
            self.store().await?;
        }
        Ok((self.digest.finalize().into(), self.size))
    }

    async fn store(&mut self) -> Result<(), StoreError> {
        self.store.save_piece(self.id, self.next, std::mem::take(&mut self.gathered)).await?;
        self.next += 1;
        Ok(())
    }
}

/// Why a file was not fetched this time.
struct Missed {
    reason: &'static str,
    again: bool,
}

impl From<StoreError> for Missed {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "a file could not be stored");
        Self { reason: "not_stored", again: true }
    }
}

impl From<FetchFailure> for Missed {
    fn from(failure: FetchFailure) -> Self {
        match failure {
            FetchFailure::TooLarge => Self { reason: "too_large", again: false },
            FetchFailure::ForeignHost => Self { reason: "foreign_host", again: false },
            FetchFailure::Graph(SendFailure::Refused { error, .. }) => {
                let verdict = error.verdict();
                Self { reason: verdict.reason, again: verdict.reaction != Reaction::Permanent }
            }
            FetchFailure::Graph(_) => Self { reason: "graph_unreachable", again: true },
        }
    }
}

/// Meta writes digests in hex here and in base64 there.
fn is_digest(told: &str, digest: &[u8; 32]) -> bool {
    let told = told.trim();
    told.is_empty()
        || told.eq_ignore_ascii_case(&hex::encode(digest))
        || told == BASE64_STANDARD.encode(digest)
}

/// As Meta says it of media it does not have.
fn gone() -> SendFailure {
    let message = "the file is not there any more".to_owned();
    let error = GraphError {
        http: 0,
        code: Some(131_053),
        message,
        details: None,
        fbtrace_id: None,
        is_transient: false,
    };
    SendFailure::Refused { error, retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_in_hex_and_base64() {
        let digest: [u8; 32] = Sha256::digest("x").into();
        for told in
            [hex::encode(digest), hex::encode_upper(digest), BASE64_STANDARD.encode(digest), String::new()]
        {
            assert!(is_digest(&told, &digest), "{told}");
        }
        assert!(!is_digest("2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4882", &digest));
    }

    #[test]
    fn a_link_is_good_for_its_file_and_its_time() {
        let ring = Ring::parse(&"a-key-of-thirty-two-characters-at-least".into()).unwrap();
        let signature = ring.keyed_hash(LINK, "med_7.1000");
        assert!(link_is_good(&ring, MediaId(7), 1_000, &signature, 999));
        assert!(!link_is_good(&ring, MediaId(7), 1_000, &signature, 1_000));
        assert!(!link_is_good(&ring, MediaId(8), 1_000, &signature, 999));
        assert!(!link_is_good(&ring, MediaId(7), 2_000, &signature, 999));
        assert!(!link_is_good(&ring, MediaId(7), 1_000, "", 999));
    }
}
