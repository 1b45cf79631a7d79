//! Plays one schedule: two instances on a server, one on the embedded database, and everything they are told.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use switchboard::news::News;
use switchboard::runtime::Clock;
use switchboard::sandbox::graph::{Fault, Rule};
use switchboard::sandbox::response_api::Behaviour;
use switchboard::sandbox::webhook::{Change, Incoming, Status, body};
use switchboard::sandbox::{http_client, now_ms};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::instance::{Instance, hold_the_file};
use super::promises::{self, Book, Totals, Written};
use super::{Desk, Step};
use crate::harness::line::Line;
use crate::harness::{ADMIN_KEY, Db, Service, World};
use crate::ledger::{at_rest, open, person};
use crate::{At, runtime};

/// Longest wait for anything that must happen in the end.
const PATIENCE: Duration = Duration::from_secs(40);
const HALF_HOUR: i64 = 1_800_000;

struct Stage {
    world: Arc<World>,
    instances: Vec<Instance>,
    refusing: Option<JoinHandle<()>>,
    /// Which instance is spoken to next.
    turn: usize,
    half_hours: i64,
    http: reqwest::Client,
    book: Book,
}

/// What came of a schedule, or what was not as promised.
pub(super) fn play(at: At, steps: &[Step]) -> Result<Totals, String> {
    runtime().block_on(async {
        let base = World::new(at.db().await);
        let clock = Clock::manual(now_ms()).with_pace(0.02);
        let world = Arc::new(World { clock: clock.clone(), ..base });
        let ticking = tokio::spawn(async move {
            let mut last = Instant::now();
            loop {
                sleep(Duration::from_millis(5)).await;
                let gone = last.elapsed().as_millis();
                clock.advance(gone as i64);
                last += Duration::from_millis(gone as u64);
            }
        });
        let mut instances = vec![Instance::start(&world).await];
        for desk in [Desk::Shop, Desk::Help] {
            desk.onboard(&instances[0].service).await;
        }
        if let Db::Postgres(_) = world.db {
            instances.push(Instance::start(&world).await);
        }
        let http = http_client().expect("a client");
        let book = Book::new(steps);
        let mut stage = Stage { world, instances, refusing: None, turn: 0, half_hours: 0, http, book };
        for step in steps {
            stage.step(step).await.map_err(|why| format!("{step:?}: {why}"))?;
        }
        stage.rest().await?;
        let totals = promises::hold(&stage.world, &stage.book).await?;
        for instance in stage.instances.drain(..) {
            instance.stop().await;
        }
        ticking.abort();
        Ok(totals)
    })
}

impl Stage {
    async fn step(&mut self, step: &Step) -> Result<(), String> {
        self.turn += 1;
        match *step {
            Step::Write { desk, person, count, together, copies } => {
                self.write(desk, person, count, together, copies).await
            }
            Step::Again { pick, anew } => {
                let Some(old) = self.book.written.get(pick % self.book.written.len().max(1)) else {
                    return Ok(());
                };
                let at = old.message.timestamp + i64::from(anew);
                let change = Change::new(old.desk.number()).message(old.message.clone().at(at));
                self.bring(&[change], 1).await
            }
            Step::Status { pick, word, callback } => self.tell(pick, word, callback).await,
            Step::Send { desk, person } => self.send(desk, person).await,
            Step::Hand { desk, person, over } => self.hand(desk, person, over).await,
            Step::Retry => {
                self.rest().await?;
                self.book.retries(&self.world.db).await;
                let tenant = Desk::Shop.tenant();
                self.call(tenant, "POST", "/dead-letters/retry", &json!({}), None).await.map(drop)
            }
            Step::Chatbot { desk, folly, times } => {
                let follies = (0..times).map(|_| Behaviour::from(folly));
                self.world.responder.next(Some(desk.chatbot()), follies);
                Ok(())
            }
            Step::Graph { desk, trouble, times } => {
                self.world.graph.fault(Rule::from(Fault::from(trouble)).id(desk.number()).times(times));
                Ok(())
            }
            Step::Refuse { millis } => self.refuse(Duration::from_millis(millis)).await,
            Step::Restart { which } => {
                self.calm().await;
                let which = which % self.instances.len();
                self.instances.remove(which).stop().await;
                self.instances.push(Instance::start(&self.world).await);
                Ok(())
            }
            Step::Kill { which } => {
                let which = which % self.instances.len();
                let dead = self.instances.remove(which).kill().await;
                self.calm().await;
                self.bury(dead).await;
                self.instances.push(Instance::start(&self.world).await);
                Ok(())
            }
            Step::Bury { which } => {
                self.calm().await;
                let which = which % self.instances.len();
                self.bury(self.instances[which].service.running.store.instance()).await;
                Ok(())
            }
            Step::Jump { half_hours } => {
                self.world.clock.advance((half_hours - self.half_hours) * HALF_HOUR);
                self.half_hours = half_hours;
                Ok(())
            }
            Step::Pause { millis } => {
                sleep(Duration::from_millis(millis)).await;
                Ok(())
            }
        }
    }

    fn service(&self) -> &Service {
        &self.instances[self.turn % self.instances.len()].service
    }

    async fn write(
        &mut self,
        desk: Desk,
        who: usize,
        count: usize,
        together: bool,
        copies: usize,
    ) -> Result<(), String> {
        let mut changes = Vec::new();
        for _ in 0..count {
            let n = self.book.written.len();
            let message = Incoming::text(&person(who), &format!("message {n:06}"));
            changes.push(message.clone());
            let silent = self.book.handed.contains(&(desk, who));
            self.book.written.push(Written { desk, person: who, message, silent });
        }
        let number = desk.number();
        if together {
            let change = changes.into_iter().fold(Change::new(number), Change::message);
            return self.bring(&[change], copies).await;
        }
        for message in changes {
            self.bring(&[Change::new(number).message(message)], copies).await?;
        }
        Ok(())
    }

    /// As Meta does, so many times at once and everywhere: again until it is taken.
    async fn bring(&self, changes: &[Change], copies: usize) -> Result<(), String> {
        let body = body(changes);
        let all = (0..copies).map(|copy| {
            let body = body.clone();
            async move {
                let end = Instant::now() + PATIENCE;
                for attempt in self.turn + copy.. {
                    let service = &self.instances[attempt % self.instances.len()].service;
                    match service.meta.send(body.clone()).await {
                        Ok(answer) if answer.status == 200 => return Ok(()),
                        Ok(answer) if answer.status != 503 => return Err(format!("answered {answer:?}")),
                        told if Instant::now() > end => return Err(format!("never taken: {told:?}")),
                        _ => sleep(Duration::from_millis(30)).await,
                    }
                }
                unreachable!("there is always another attempt")
            }
        });
        join_all(all).await.into_iter().collect()
    }

    async fn tell(&mut self, pick: usize, word: usize, callback: bool) -> Result<(), String> {
        let sent = self.world.graph.sent();
        let Some(sent) = sent.get(pick % sent.len().max(1)) else { return Ok(()) };
        let mut status = Status::new(&sent.wamid, promises::WORDS[word], &sent.to);
        status.callback = sent.callback.clone().filter(|_| callback);
        let change = Change::new(&sent.phone_number_id).status(status);
        self.book.told.push((sent.wamid.clone(), word, callback));
        self.bring(&[change], 1).await
    }

    async fn send(&mut self, desk: Desk, who: usize) -> Result<(), String> {
        if !self.book.knows(desk, who) {
            return Ok(());
        }
        // The customer's word is known before, or the window is closed.
        self.conversation(desk, who).await?;
        let n = self.book.notices.len();
        self.book.notices.push((desk, who));
        let path = format!("/whatsapp/send?chatbotId={}", desk.chatbot());
        let body = json!({"to": person(who), "message": format!("notice {n:06}")});
        let key = format!("notice-{n}");
        let one = self.call(desk.tenant(), "POST", &path, &body, Some(&key)).await?;
        self.turn += 1;
        let two = self.call(desk.tenant(), "POST", &path, &body, Some(&key)).await?;
        if one["data"]["id"] == two["data"]["id"] { Ok(()) } else { Err(format!("{one} and {two}")) }
    }

    async fn hand(&mut self, desk: Desk, who: usize, over: bool) -> Result<(), String> {
        if !self.book.knows(desk, who) {
            return Ok(());
        }
        let id = self.conversation(desk, who).await?;
        let word = if over { "hand-over" } else { "hand-back" };
        self.call(desk.tenant(), "POST", &format!("/conversations/{id}/{word}"), &Value::Null, None).await?;
        self.book.hands(desk, who, over);
        Ok(())
    }

    /// The conversation of somebody who wrote, as soon as that was read.
    async fn conversation(&self, desk: Desk, who: usize) -> Result<String, String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let path = "/conversations?limit=100";
            let all = self.call(desk.tenant(), "GET", path, &Value::Null, None).await?;
            let is_it = |c: &&Value| c["contact"]["phone"] == person(who).as_str();
            if let Some(found) = all["data"].as_array().and_then(|all| all.iter().find(is_it)) {
                return found["id"].as_str().map(str::to_owned).ok_or_else(|| all.to_string());
            }
            if Instant::now() > end {
                return Err(format!("no conversation with {who}: {all}"));
            }
            sleep(Duration::from_millis(30)).await;
        }
    }

    /// Calls the API until it is not out of order.
    async fn call(
        &self,
        tenant: &str,
        method: &str,
        path: &str,
        body: &Value,
        key: Option<&str>,
    ) -> Result<Value, String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let url = format!("{}/api/v1{path}", self.service().running.url());
            let method = method.parse().map_err(|_| "no method")?;
            let mut request = self.http.request(method, url).bearer_auth(ADMIN_KEY);
            request = request.header("Switchboard-Tenant", tenant);
            if let Some(key) = key {
                request = request.header("Idempotency-Key", key);
            }
            if !body.is_null() {
                request = request.json(body);
            }
            let answer = request.send().await.map_err(|error| error.to_string())?;
            let (status, answer) = (answer.status(), answer.json().await.unwrap_or_default());
            match status.as_u16() {
                200..300 => return Ok(answer),
                500..600 if Instant::now() < end => sleep(Duration::from_millis(50)).await,
                status => return Err(format!("{path}: {status} {answer}")),
            }
        }
    }

    async fn refuse(&mut self, lasts: Duration) -> Result<(), String> {
        self.calm().await;
        let lines: Vec<Arc<Line>> = self.instances.iter().filter_map(|i| i.line.clone()).collect();
        for line in &lines {
            line.cut().await;
        }
        let world = self.world.clone();
        self.refusing = Some(tokio::spawn(async move {
            if lines.is_empty() {
                hold_the_file(&world.db, lasts).await;
            } else {
                sleep(lasts).await;
            }
            for line in lines {
                // An instance that was killed meanwhile asks nothing more.
                line.mend().await;
            }
        }));
        // Until the embedded one is locked.
        sleep(Duration::from_millis(20)).await;
        Ok(())
    }

    /// The database answers again.
    async fn calm(&mut self) {
        if let Some(refusing) = self.refusing.take() {
            refusing.await.expect("it ends");
        }
    }

    /// What the others do when they heard nothing for fifteen seconds.
    async fn bury(&self, instance: i64) {
        let delete = format!("delete from instances where id = {instance}");
        while self.world.db.execute(&delete).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
        for instance in &self.instances {
            let _ = instance.service.running.news.tell(News::Work).await;
        }
    }

    /// Until nothing is open any more.
    async fn rest(&mut self) -> Result<(), String> {
        self.calm().await;
        let end = Instant::now() + PATIENCE;
        let mut quiet = 0;
        while quiet < 2 {
            quiet = if at_rest(&self.world.db).await { quiet + 1 } else { 0 };
            if Instant::now() > end {
                return Err(format!("still open: {:?}", open(&self.world.db).await));
            }
            sleep(Duration::from_millis(60)).await;
        }
        Ok(())
    }
}
