//! Schedules of everything that can go wrong, drawn from a seed: messages, statuses, people and faults in any order,
//! played against the service with its stand-ins, and held against the five promises (`promises`).
//!
//! A seed draws the same schedule again; when threads and sockets run is not drawn. What fails is made as short as it
//! can be, and printed with its seed: `cargo test --test faults -- schedules --seed N --cases 1`.

mod instance;
mod play;
mod promises;

use std::time::Instant;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};

use crate::{At, Held};

/// How many people write.
const PEOPLE: usize = 4;
/// How long a shorter schedule that fails too is looked for, in milliseconds.
const SHORTER: u32 = 60_000;

/// One of the two numbers, each of its own tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Desk {
    /// Each message is its own turn; no fallback.
    Shop,
    /// Messages are answered together; who gets no answer is told so.
    Help,
}

/// How a chatbot misbehaves.
#[derive(Debug, Clone, Copy)]
enum Folly {
    ServerError,
    Refused,
    NotJson,
    HangUp,
    Slow,
}

/// How Graph misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// Too fast for this customer: certainly not sent.
    PairLimit,
    /// Refused for good.
    Refused,
    /// Fails, perhaps after sending.
    ServerError,
    /// Takes it, and the answer is lost.
    LosesAnswer,
    /// Hangs up before it takes anything.
    HangsUp,
    /// Takes it, and its answer comes late: a status may overtake it.
    Late,
}

/// One step of a schedule. Whatever picks among things takes them in a circle; where there are none, nothing happens.
#[derive(Debug, Clone)]
enum Step {
    /// A person writes some messages, in one body or in several, each brought so many times at once.
    Write { desk: Desk, person: usize, count: usize, together: bool, copies: usize },
    /// An old message comes again, as it was or told anew.
    Again { pick: usize, anew: bool },
    /// Meta tells how far an answer got.
    Status { pick: usize, word: usize, callback: bool },
    /// The platform sends something to a person who wrote before, twice under one key.
    Send { desk: Desk, person: usize },
    /// A person takes over, or gives back.
    Hand { desk: Desk, person: usize, over: bool },
    /// Everything the shop's chatbot and number gave up is tried again.
    Retry,
    /// The chatbot misbehaves so many times.
    Chatbot { desk: Desk, folly: Folly, times: usize },
    /// Graph misbehaves so many times.
    Graph { desk: Desk, trouble: Trouble, times: usize },
    /// The database refuses for so many milliseconds, while all goes on.
    Refuse { millis: u64 },
    /// An instance is stopped, and starts again.
    Restart { which: usize },
    /// An instance is gone between two steps of whatever it does; another starts.
    Kill { which: usize },
    /// An instance is taken for dead while it works.
    Bury { which: usize },
    /// The clock stands so many half hours away from what it should say.
    Jump { half_hours: i64 },
    /// Nothing, for so many milliseconds.
    Pause { millis: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let desk = || prop_oneof![3 => Just(Desk::Shop), 2 => Just(Desk::Help)];
    let which = 0..2_usize;
    let pick = any::<prop::sample::Index>().prop_map(|index| index.index(10_000));
    let folly = prop_oneof![
        Just(Folly::ServerError),
        Just(Folly::Refused),
        Just(Folly::NotJson),
        Just(Folly::HangUp),
        Just(Folly::Slow)
    ];
    let trouble = prop_oneof![
        2 => Just(Trouble::PairLimit),
        1 => Just(Trouble::Refused),
        1 => Just(Trouble::ServerError),
        1 => Just(Trouble::LosesAnswer),
        1 => Just(Trouble::HangsUp),
        2 => Just(Trouble::Late)
    ];
    prop_oneof![
        10 => (desk(), 0..PEOPLE, 1..4_usize, any::<bool>(), 1..4_usize).prop_map(
            |(desk, person, count, together, copies)| Step::Write { desk, person, count, together, copies }),
        2 => (pick.clone(), any::<bool>()).prop_map(|(pick, anew)| Step::Again { pick, anew }),
        3 => (pick, 0..3_usize, any::<bool>()).prop_map(
            |(pick, word, callback)| Step::Status { pick, word, callback }),
        2 => (desk(), 0..PEOPLE).prop_map(|(desk, person)| Step::Send { desk, person }),
        2 => (desk(), 0..PEOPLE, any::<bool>()).prop_map(|(desk, person, over)| Step::Hand { desk, person, over }),
        1 => Just(Step::Retry),
        2 => (desk(), folly, 1..7_usize).prop_map(|(desk, folly, times)| Step::Chatbot { desk, folly, times }),
        2 => (desk(), trouble, 1..7_usize).prop_map(|(desk, trouble, times)| Step::Graph { desk, trouble, times }),
        1 => (50..800_u64).prop_map(|millis| Step::Refuse { millis }),
        1 => which.clone().prop_map(|which| Step::Restart { which }),
        2 => which.clone().prop_map(|which| Step::Kill { which }),
        1 => which.prop_map(|which| Step::Bury { which }),
        1 => (-2..3_i64).prop_map(|half_hours| Step::Jump { half_hours }),
        2 => (0..150_u64).prop_map(|millis| Step::Pause { millis }),
    ]
}

/// Plays as many schedules as there is time for.
pub async fn schedules(at: At) -> Held {
    // The runner of cases is no future, and each case has a runtime of its own.
    match tokio::task::spawn_blocking(move || all(at)).await {
        Ok(held) => held,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn all(at: At) -> Held {
    let (cases, first) = (at.scale.cases, at.scale.seed);
    let schedule = prop::collection::vec(step(), 12..30);
    let (began, mut totals) = (Instant::now(), promises::Totals::default());
    for seed in first..first + cases as u64 {
        let config = Config {
            cases: 1,
            max_shrink_time: SHORTER,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(seed),
            ..Config::default()
        };
        // Only the schedule as it was drawn counts, not the shorter ones.
        let counted = std::cell::RefCell::new(promises::Totals::default());
        let run = TestRunner::new(config).run(&schedule, |steps| {
            *counted.borrow_mut() = play::play(at, &steps).map_err(TestCaseError::fail)?;
            Ok(())
        });
        match run {
            Ok(()) => totals += counted.into_inner(),
            Err(TestError::Fail(why, steps)) => panic!("--seed {seed} --cases 1: {why}; shortest: {steps:?}"),
            Err(TestError::Abort(why)) => panic!("--seed {seed}: {why}"),
        }
    }
    Held {
        tried: format!("{cases} schedules from seed {first}"),
        figure: format!("{totals}, {:.1} s each", began.elapsed().as_secs_f64() / cases.max(1) as f64),
    }
}
