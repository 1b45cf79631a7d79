//! The table at the end.

use serde_json::{Value, json};

use super::Run;
use super::world::Pressed;

/// Rows as they were measured.
#[derive(Default)]
pub struct Report(Vec<Row>);

struct Row {
    group: &'static str,
    what: String,
    value: f64,
    shown: String,
    target: String,
    goal: String,
    /// Whether the target is met, where there is one.
    met: Option<bool>,
    more: Value,
}

/// The middle one of these figures.
pub fn median<T>(items: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    let mut figures: Vec<f64> = items.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}

impl Report {
    /// Throughput of alternating runs with its cost; `cpu` is the target for the latter.
    pub fn run(&mut self, group: &'static str, what: &str, runs: &[Run], cpu: &str) {
        let rate = median(runs, Run::per_second);
        let [own, database] = [median(runs, |run| run.cpu), median(runs, |run| run.database_cpu)];
        let [p50, p99] = [median(runs, |run| run.pressed.p50), median(runs, |run| run.pressed.p99)];
        let shown =
            format!("{rate:>7.0}/s  {own:>5.1} + {database:>5.1} µs  p50 {p50:>5.1}  p99 {p99:>5.1} ms");
        let more = json!({ "cpuMicros": own, "databaseMicros": database, "p50": p50, "p99": p99 });
        let met = (!cpu.is_empty()).then_some(own < 300.0);
        self.push(group, what, rate, shown, [cpu, if cpu.is_empty() { "" } else { "110 µs" }], met, more);
        let sum = |count: fn(&Pressed) -> usize| runs.iter().map(|run| count(&run.pressed)).sum();
        self.wrong(group, sum(|p| p.refused), sum(|p| p.lost), sum(|p| p.doubled), sum(|p| p.disordered));
    }

    /// What went wrong in one press.
    pub fn count(&mut self, group: &'static str, pressed: &Pressed) {
        self.wrong(group, pressed.refused, pressed.lost, pressed.doubled, pressed.disordered);
    }

    fn wrong(&mut self, group: &'static str, refused: usize, lost: usize, doubled: usize, disordered: usize) {
        if group == "acks" && refused == 0 {
            return;
        }
        let all = refused + lost + doubled + disordered;
        let shown = format!("{refused} refused, {lost} lost, {doubled} doubled, {disordered} out of order");
        self.push(group, "  what went wrong", all as f64, shown, ["0", "0"], Some(all == 0), Value::Null);
    }

    /// A share of something, with the least that will do.
    pub fn ratio(&mut self, what: &str, value: f64, target: &str, goal: &str, least: f64) {
        self.push(
            "ratio",
            what,
            value,
            format!("{:.1} %", value * 100.0),
            [target, goal],
            Some(value >= least),
            Value::Null,
        );
    }

    /// A multiple of something, with the least that will do; 0 where the machine has too few cores to tell.
    pub fn times(&mut self, what: &str, value: f64, target: &str, goal: &str, least: f64) {
        let met = (least > 0.0).then_some(value >= least);
        self.push("ratio", what, value, format!("{value:.2} ×"), [target, goal], met, Value::Null);
    }

    /// A figure with its unit, and the most that will do.
    #[allow(clippy::too_many_arguments)] // a row's cells
    pub fn value(
        &mut self,
        group: &'static str,
        what: &str,
        value: f64,
        unit: &str,
        target: &str,
        goal: &str,
        most: Option<f64>,
    ) {
        let met = most.map(|most| value < most);
        let shown = if value < 100.0 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") };
        self.push(group, what, value, shown, [target, goal], met, Value::Null);
    }

    #[allow(clippy::too_many_arguments)] // a row's cells
    fn push(
        &mut self,
        group: &'static str,
        what: &str,
        value: f64,
        shown: String,
        [target, goal]: [&str; 2],
        met: Option<bool>,
        more: Value,
    ) {
        let row = Row {
            group,
            what: what.into(),
            value,
            shown,
            target: target.into(),
            goal: goal.into(),
            met,
            more,
        };
        eprintln!("{}", row.line());
        self.0.push(row);
    }

    /// For people.
    pub fn table(&self) -> String {
        let head = format!("{:<48} {:<58} {:<18} {:<9}", "", "measured", "first landing", "goal");
        let lines = self.0.iter().map(Row::line);
        std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n")
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "group": row.group, "what": row.what.trim(), "value": row.value, "target": row.target,
                "goal": row.goal, "met": row.met, "more": row.more,
            })
        };
        self.0.iter().map(row).collect()
    }
}

impl Row {
    fn line(&self) -> String {
        let mark = match self.met {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "",
        };
        format!("{:<48} {:<58} {:<18} {:<9} {mark}", self.what, self.shown, self.target, self.goal)
    }
}
