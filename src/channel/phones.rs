//! The sandbox's engine: virtual phones in this process, that scan, write, read and unlink when told to.
//!
//! `demo` and tests drive it; nothing here ever reaches WhatsApp.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::ear::{Ear, Heard};
use super::engine::{EngineError, Me, Qr, Seen, SendFailure, Spec};
use crate::secret;
use crate::store::StoreError;

/// How long the first code is good, how long each further one, and how many there are: as WhatsApp has it.
const FIRST: Duration = Duration::from_secs(60);
const FURTHER: Duration = Duration::from_secs(20);
const CODES: u32 = 6;
/// Messages remembered for each session.
const KEEP: usize = 1_000;

/// A message that arrived on a virtual phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Its id.
    pub id: String,
    /// To whom: an address of WhatsApp's.
    pub to: String,
    /// The words.
    pub text: String,
    /// When, by the sandbox's clock.
    pub at: Instant,
    /// Whether "typing…" was shown before.
    pub typed: bool,
}

/// Virtual phones. Cheap to clone; they outlive the service that uses them, as real ones do.
#[derive(Clone, Default)]
pub struct Phones(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    lines: HashMap<String, Line>,
    ear: Option<Ear>,
    away: Option<EngineError>,
}

struct Line {
    stage: Stage,
    since: Instant,
    /// What makes its codes its own.
    seed: String,
    phone: Option<String>,
    arrived: Vec<Arrived>,
    seen: Vec<String>,
    typing: bool,
    breaks: bool,
    deaf: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Stopped,
    Pairing,
    Working,
    Failed,
}

impl Line {
    fn new() -> Self {
        let seed = hex::encode(secret::random::<12>());
        let (arrived, seen) = Default::default();
        Self {
            stage: Stage::Pairing,
            since: Instant::now(),
            seed,
            phone: None,
            arrived,
            seen,
            typing: false,
            breaks: false,
            deaf: false,
        }
    }

    fn turn(&mut self, stage: Stage) {
        self.stage = stage;
        self.since = Instant::now();
    }

    fn run(&mut self) {
        if self.stage != Stage::Working {
            self.turn(if self.phone.is_some() { Stage::Working } else { Stage::Pairing });
        }
    }

    /// Which code it shows, and how long that is good; `None`: all are used up.
    fn code(&self) -> Option<(String, Duration)> {
        let age = self.since.elapsed();
        let (round, left) = match age.checked_sub(FIRST) {
            None => (0, FIRST - age),
            Some(more) => {
                let further = u32::try_from(more.as_secs() / FURTHER.as_secs()).unwrap_or(CODES);
                (1 + further, FURTHER * (further + 1) - more)
            }
        };
        (round < CODES).then(|| (format!("2@{}-{round},sandbox,sandbox,sandbox", self.seed), left))
    }
}

impl Phones {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this one is told what the phones do.
    pub fn tell(&self, ear: Ear) {
        self.world().ear = Some(ear);
    }

    fn line<T>(&self, name: &str, act: impl FnOnce(&mut Line) -> T) -> Result<Option<T>, EngineError> {
        let mut world = self.world();
        match &world.away {
            Some(error) => Err(error.clone()),
            None => Ok(world.lines.get_mut(name).map(act)),
        }
    }

    // ── what a person with a phone does ─────────────────────────────────────────────────────────────

    /// The phone with this number scans what it is shown. False: no session shows that code any more.
    pub async fn scan(&self, code: &str, phone: &str) -> bool {
        let shown = |line: &Line| line.stage == Stage::Pairing && line.code().is_some_and(|(c, _)| c == code);
        let name = {
            let mut world = self.world();
            let Some((name, line)) = world.lines.iter_mut().find(|(_, line)| shown(line)) else {
                return false;
            };
            line.phone = Some(phone.to_owned());
            line.turn(Stage::Working);
            name.clone()
        };
        self.told(&name, Heard::Turned).await.is_ok()
    }

    /// The phone scans whatever this session shows.
    pub async fn scan_session(&self, name: &str, phone: &str) -> bool {
        let code = self.world().lines.get(name).and_then(|line| Some(line.code()?.0));
        match code {
            Some(code) => self.scan(&code, phone).await,
            None => false,
        }
    }

    /// The phone unlinks the device.
    pub async fn unlink(&self, name: &str) {
        if let Some(line) = self.world().lines.get_mut(name) {
            line.phone = None;
            line.seed = hex::encode(secret::random::<12>());
            line.turn(Stage::Pairing);
        }
        let _ = self.told(name, Heard::Turned).await;
    }

    /// Somebody writes to the session's number; the message's id.
    ///
    /// # Errors
    /// When it could not be stored.
    pub async fn write(&self, name: &str, from: &str, text: &str) -> Result<String, StoreError> {
        let id = format!("false_{from}@c.us_{}", hex::encode_upper(secret::random::<8>()));
        let heard = Heard::Text { id: id.clone(), from: from.to_owned(), name: None, text: text.to_owned() };
        self.told(name, heard).await?;
        Ok(id)
    }

    /// What arrived from this session, oldest first.
    pub fn arrived(&self, name: &str) -> Vec<Arrived> {
        self.world().lines.get(name).map(|line| line.arrived.clone()).unwrap_or_default()
    }

    /// The messages with blue ticks.
    pub fn read(&self, name: &str) -> Vec<String> {
        self.world().lines.get(name).map(|line| line.seen.clone()).unwrap_or_default()
    }

    /// The sessions there are, with the code each shows.
    pub fn shown(&self) -> Vec<(String, Option<String>)> {
        let world = self.world();
        let code = |line: &Line| line.code().filter(|_| line.stage == Stage::Pairing).map(|(code, _)| code);
        world.lines.iter().map(|(name, line)| (name.clone(), code(line))).collect()
    }

    // ── what can go wrong ───────────────────────────────────────────────────────────────────────────

    /// The whole engine is away, or refuses us; `None`: it is back.
    pub fn away(&self, error: Option<EngineError>) {
        self.world().away = error;
    }

    /// The session loses its connection for good, and keeps its keys.
    pub async fn fail(&self, name: &str) {
        if let Some(line) = self.world().lines.get_mut(name) {
            line.turn(Stage::Failed);
        }
        let _ = self.told(name, Heard::Turned).await;
    }

    /// All its codes are used up, as if their time were over.
    pub fn exhaust(&self, name: &str) {
        if let Some(line) = self.world().lines.get_mut(name) {
            line.turn(Stage::Failed);
        }
    }

    /// The engine forgets the session, keys and all.
    pub async fn forget(&self, name: &str) {
        self.world().lines.remove(name);
        let _ = self.told(name, Heard::Turned).await;
    }

    /// The next look at this session panics.
    pub fn break_once(&self, name: &str) {
        if let Some(line) = self.world().lines.get_mut(name) {
            line.breaks = true;
        }
    }

    /// Messages of this session find it not connected, whatever it says; or no longer.
    pub fn deafen(&self, name: &str, deaf: bool) {
        if let Some(line) = self.world().lines.get_mut(name) {
            line.deaf = deaf;
        }
    }

    async fn told(&self, name: &str, heard: Heard) -> Result<(), StoreError> {
        let ear = self.world().ear.clone();
        match ear {
            Some(ear) => ear(name.to_owned(), heard).await,
            None => Ok(()),
        }
    }

    // ── what every engine does ──────────────────────────────────────────────────────────────────────

    pub(super) async fn start(&self, spec: Spec<'_>) -> Result<(), EngineError> {
        let mut world = self.world();
        if let Some(error) = &world.away {
            return Err(error.clone());
        }
        world.lines.entry(spec.name.to_owned()).or_insert_with(Line::new).run();
        Ok(())
    }

    pub(super) async fn align(&self, _: Spec<'_>) -> Result<(), EngineError> {
        Ok(())
    }

    pub(super) async fn stop(&self, name: &str) -> Result<(), EngineError> {
        self.line(name, |line| line.turn(Stage::Stopped)).map(drop)
    }

    pub(super) async fn restart(&self, name: &str) -> Result<(), EngineError> {
        let run = |line: &mut Line| {
            line.turn(Stage::Stopped);
            line.run();
        };
        self.line(name, run).map(drop)
    }

    pub(super) async fn logout(&self, name: &str) -> Result<(), EngineError> {
        let logout = |line: &mut Line| {
            line.phone = None;
            line.seed = hex::encode(secret::random::<12>());
            line.turn(Stage::Stopped);
        };
        self.line(name, logout).map(drop)
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), EngineError> {
        self.line(name, |_| ())?;
        self.world().lines.remove(name);
        Ok(())
    }

    pub(super) async fn look(&self, name: &str, _: bool) -> Result<Seen, EngineError> {
        let seen = self.line(name, |line| {
            assert!(!std::mem::take(&mut line.breaks), "the session was told to break");
            if line.stage == Stage::Pairing && line.code().is_none() {
                line.turn(Stage::Failed);
            }
            match line.stage {
                Stage::Stopped => Seen::Stopped,
                Stage::Pairing => Seen::Pairing,
                Stage::Failed => Seen::Failed,
                Stage::Working => {
                    Seen::Working(Me { phone: line.phone.clone(), name: Some("Sandbox".into()) })
                }
            }
        })?;
        Ok(seen.unwrap_or(Seen::Absent))
    }

    pub(super) async fn qr(&self, name: &str) -> Result<Option<Qr>, EngineError> {
        let code = self.line(name, |line| line.code().filter(|_| line.stage == Stage::Pairing))?;
        Ok(code.flatten().map(|(value, left)| Qr { value, lives: Some(left) }))
    }

    pub(super) async fn pairing_code(&self, name: &str, _: &str) -> Result<String, EngineError> {
        let code = self.line(name, |line| {
            let (head, tail) = line.seed.split_at(4);
            (line.stage == Stage::Pairing).then(|| format!("{head}-{}", &tail[..4]).to_ascii_uppercase())
        })?;
        code.flatten().ok_or_else(|| EngineError::Refused("it is not being paired".to_owned()))
    }

    pub(super) async fn is_alive(&self, name: &str, _: &str) -> Result<bool, EngineError> {
        Ok(self.line(name, |line| line.stage == Stage::Working && !line.deaf)?.unwrap_or(false))
    }

    /// Numbers that end in 0000 have no WhatsApp.
    pub(super) async fn address_of(&self, name: &str, phone: &str) -> Result<Option<String>, EngineError> {
        self.line(name, |_| ())?;
        Ok((!phone.ends_with("0000")).then(|| format!("{phone}@c.us")))
    }

    pub(super) async fn phone_of(&self, _: &str, _: &str) -> Result<Option<String>, EngineError> {
        Ok(None)
    }

    pub(super) async fn seen(&self, name: &str, _: &str, wamid: &str) -> Result<(), EngineError> {
        self.line(name, |line| line.seen.push(wamid.to_owned())).map(drop)
    }

    pub(super) async fn typing(&self, name: &str, _: &str, on: bool) -> Result<(), EngineError> {
        self.line(name, |line| line.typing |= on).map(drop)
    }

    pub(super) async fn send_text(
        &self,
        name: &str,
        to: &str,
        text: &str,
        _: &str,
    ) -> Result<String, SendFailure> {
        let id = format!("3EB0{}", hex::encode_upper(secret::random::<9>()));
        let sent = self.line(name, |line| {
            if line.stage != Stage::Working || line.deaf {
                return false;
            }
            if line.arrived.len() == KEEP {
                line.arrived.remove(0);
            }
            let typed = std::mem::take(&mut line.typing);
            let (id, to, text, at) = (id.clone(), to.to_owned(), text.to_owned(), Instant::now());
            line.arrived.push(Arrived { id, to, text, at, typed });
            true
        });
        match sent {
            Err(error) => return Err(SendFailure::NotSent(error.to_string())),
            Ok(Some(true)) => {}
            Ok(_) => return Err(SendFailure::NotSent("the session is not connected".to_owned())),
        }
        let (phones, name, wamid) = (self.clone(), name.to_owned(), id.clone());
        tokio::spawn(async move {
            for status in ["delivered", "read"] {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let _ = phones.told(&name, Heard::Status { id: wamid.clone(), status }).await;
            }
        });
        Ok(id)
    }
}
