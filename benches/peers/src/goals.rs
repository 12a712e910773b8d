//! What lembro is to reach, and whether it does.

use serde::Serialize;

use crate::rows::Row;

/// What is asked of a figure.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    /// The peer's time, in lembro's, is at least this.
    Ratio(f64),
    /// The figure is at least this.
    AtLeast(f64),
    /// The figure is at most this.
    AtMost(f64),
}
use Wanted::{AtLeast, AtMost, Ratio};

/// All peers but those that promise less: whoever of them comes closest to lembro.
const FASTEST: &str = "the fastest peer";

/// Stores that the fastest peer is not looked for among: they hold no snapshot, or are lembro.
const NO_PEERS: [&str; 4] = ["lembro", "lembro Sessions", "bare HashMap", "dashmap in place"];

const LEMBRO: &str = "lembro";

/// Work, case, store, and what is wanted.
const GOALS: [(&str, &str, &str, Wanted); 52] = [
    ("get", "100k uniform, 1 thread, serialized", "dashmap", Ratio(1.3)),
    ("get", "1M uniform, 1 thread, serialized", "dashmap", Ratio(1.5)),
    ("get", "100k uniform, 1 thread, serialized", "quick_cache", Ratio(1.45)),
    ("get", "1M uniform, 1 thread, serialized", "quick_cache", Ratio(1.8)),
    ("get", "100k uniform, 1 thread, serialized", "moka", Ratio(3.5)),
    ("get", "1M uniform, 1 thread, serialized", "moka", Ratio(3.5)),
    ("get", "100k uniform, 1 thread, serialized", "tower-sessions memory", Ratio(5.0)),
    ("get", "1M uniform, 1 thread, serialized", "tower-sessions memory", Ratio(5.0)),
    ("get", "100k uniform, 1 thread, serialized", "bare HashMap", Ratio(1.0)),
    ("get", "1M uniform, 1 thread, serialized", "bare HashMap", Ratio(1.0)),
    ("get", "100k uniform, 2 threads, throughput", "dashmap", Ratio(1.8)),
    ("get", "100k uniform, 2 threads, throughput", "quick_cache", Ratio(2.0)),
    ("get", "100k uniform, 2 threads, throughput", "moka", Ratio(12.0)),
    ("get", "100k uniform, 2 threads, throughput", "tower-sessions memory", Ratio(12.0)),
    ("get", "100k uniform, 2 threads, throughput", "tower-sessions moka", Ratio(12.0)),
    ("cycle", "100k uniform, 1 thread", FASTEST, Ratio(2.5)),
    ("cycle", "100k uniform, 2 threads", FASTEST, Ratio(3.5)),
    ("cycle", "100k uniform, 1 thread", "dashmap in place", Ratio(1.4)),
    ("cycle", "100k uniform, 1 thread", "moka", Ratio(6.0)),
    ("cycle", "100k uniform, 2 threads", "moka", Ratio(15.0)),
    ("cycle", "100k uniform, 1 thread", "tower-sessions memory", Ratio(7.0)),
    ("cycle", "100k uniform, 2 threads", "tower-sessions memory", Ratio(20.0)),
    ("cycle", "100k uniform, 16 threads", "dashmap", Ratio(3.5)),
    ("create", "1 thread", FASTEST, Ratio(4.5)),
    ("create", "2 threads", FASTEST, Ratio(4.0)),
    ("growth", "worst", LEMBRO, AtMost(2_000.0)),
    ("churn", "1 thread", "quick_cache", Ratio(3.0)),
    ("churn", "2 threads", "quick_cache", Ratio(6.0)),
    ("churn", "1 thread", "moka", Ratio(6.0)),
    ("churn", "2 threads", "moka", Ratio(15.0)),
    // One for each thread.
    ("churn", "most over the bound", LEMBRO, AtMost(2.0)),
    ("survival", "bursts, 20 %, hits", LEMBRO, AtLeast(98.5)),
    ("survival", "memoryless, 20 %, hits", LEMBRO, AtLeast(87.0)),
    ("purge", "1 % expired, time", LEMBRO, AtMost(5.0)),
    ("purge", "1 % expired, a read, p99.9", LEMBRO, AtMost(15.0)),
    ("purge", "1 % expired, a read, worst", LEMBRO, AtMost(100.0)),
    ("purge", "1 % expired, all others touched, a read, worst", LEMBRO, AtMost(500.0)),
    ("heap", "75000 sessions", LEMBRO, AtMost(1.42)),
    ("heap", "100000 sessions", LEMBRO, AtMost(1.42)),
    ("heap", "750000 sessions", LEMBRO, AtMost(1.42)),
    ("heap", "1000000 sessions", LEMBRO, AtMost(1.42)),
    ("heap", "75000 sessions, bytes() is off by", LEMBRO, AtMost(8.0)),
    ("heap", "100000 sessions, bytes() is off by", LEMBRO, AtMost(8.0)),
    ("heap", "750000 sessions, bytes() is off by", LEMBRO, AtMost(8.0)),
    ("heap", "1000000 sessions, bytes() is off by", LEMBRO, AtMost(8.0)),
    ("curves", "sessions, 10000, worst create", LEMBRO, AtMost(2.0)),
    ("curves", "sessions, 100000, worst create", LEMBRO, AtMost(2.0)),
    ("curves", "sessions, 1000000, worst create", LEMBRO, AtMost(2.0)),
    ("curves", "sessions, 2000000, worst create", LEMBRO, AtMost(2.0)),
    ("whole", "len of 1M, worst login and logout", LEMBRO, AtMost(2_000.0)),
    ("whole", "all of 1M, worst login and logout", LEMBRO, AtMost(2_000.0)),
    ("whole", "clear of 1M, worst login and logout", LEMBRO, AtMost(2_000.0)),
];

/// A goal, and how far lembro has come.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Of which work.
    pub work: String,
    /// Under which circumstances.
    pub case: String,
    /// Beside whom; lembro itself for a figure of its own.
    pub store: String,
    /// What was measured.
    pub figure: f64,
    /// What was wanted.
    pub goal: f64,
    /// Its unit; `x` of lembro's time for ratios.
    pub unit: String,
    /// Whether it was reached.
    pub ok: bool,
}

impl Verdict {
    /// The line that is printed.
    pub fn line(&self) -> String {
        let Self { work, case, store, figure, goal, unit, ok } = self;
        let verdict = if *ok { "ok" } else { "FALLS SHORT" };
        format!("{work} [{case}] {store} {figure:.2} {unit} (goal {goal}) {verdict}")
    }
}

/// One verdict for each goal that something was measured for.
pub fn judge(rows: &[Row]) -> Vec<Verdict> {
    GOALS.into_iter().filter_map(|(work, case, store, wanted)| verdict(rows, work, case, store, wanted)).collect()
}

fn verdict(rows: &[Row], work: &str, case: &str, store: &str, wanted: Wanted) -> Option<Verdict> {
    let ratio = |row: &Row| row.ratio.map(|ratio| ratio.median);
    let of_case = || rows.iter().filter(|row| row.work == work && row.case == case);
    let row = if store == FASTEST {
        let peers = of_case().filter(|row| !NO_PEERS.contains(&row.store.as_str()) && row.ratio.is_some());
        peers.min_by(|one, other| ratio(one).unwrap_or(f64::NAN).total_cmp(&ratio(other).unwrap_or(f64::NAN)))?
    } else {
        of_case().find(|row| row.store == store)?
    };
    let (figure, goal, ok) = match wanted {
        Ratio(goal) => ratio(row).map(|figure| (figure, goal, figure >= goal))?,
        AtLeast(goal) => (row.value, goal, row.value >= goal),
        AtMost(goal) => (row.value, goal, row.value <= goal),
    };
    let unit = if matches!(wanted, Ratio(_)) { "x" } else { &row.unit };
    let store = if store == FASTEST { format!("{FASTEST}, {}", row.store) } else { store.to_owned() };
    Some(Verdict { work: work.into(), case: case.into(), store, figure, goal, unit: unit.into(), ok })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::Quartiles;

    fn row(case: &str, store: &str, ratio: f64) -> Row {
        let ratio = Some(Quartiles { low: ratio, median: ratio, high: ratio });
        Row { ratio, ..Row::new("create", case, store, 1.0, "ns") }
    }

    #[test]
    fn the_fastest_peer_is_the_one_with_the_smallest_ratio() {
        let rows = [row("1 thread", "moka", 9.0), row("1 thread", "dashmap", 4.6), row("2 threads", "papaya", 1.0)];
        let verdicts = judge(&rows);
        assert_eq!(verdicts[0].store, "the fastest peer, dashmap");
        assert!(verdicts[0].ok);
        assert!(!verdicts[1].ok);
    }

    #[test]
    fn whoever_promises_less_is_not_the_fastest_peer() {
        let rows = [row("1 thread", "dashmap in place", 1.0), row("1 thread", "dashmap", 5.0)];
        assert!(judge(&rows)[0].ok);
    }

    #[test]
    fn a_figure_that_is_not_a_number_reaches_no_goal() {
        assert!(!judge(&[row("1 thread", "dashmap", f64::NAN)])[0].ok);
        assert!(!judge(&[Row::new("growth", "worst", "lembro", f64::NAN, "us")])[0].ok);
    }
}
