//! The results on disk: everything as `results.json`, and what a reader wants to see as `table.md`.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::goals::Verdict;
use crate::rows::Row;

/// What was measured, where and when.
#[derive(Debug, Serialize)]
pub struct Report {
    /// When.
    pub date: String,
    /// Of which state of the repository.
    pub commit: String,
    /// On which machine.
    pub machine: Machine,
    /// Of which versions.
    pub versions: Vec<String>,
    /// What was reached.
    pub goals: Vec<Verdict>,
    /// All figures.
    pub rows: Vec<Row>,
}

/// A machine.
#[derive(Debug, Serialize)]
pub struct Machine {
    processor: String,
    cores: usize,
    memory_gib: u64,
    system: String,
    rustc: String,
    /// Of the processor time that was wanted meanwhile, what the host gave to others.
    stolen_percent: f64,
}

/// Processor time since the machine was started, in ticks: all that was wanted, and what of it the host gave to others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ticks {
    wanted: u64,
    stolen: u64,
}

impl Ticks {
    /// Until now. Nothing where the system does not tell.
    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let ticks: Vec<u64> = stat.split_whitespace().skip(1).take(8).map_while(|number| number.parse().ok()).collect();
        let [user, nice, system, _idle, _waiting, interrupts, soft, stolen] = ticks[..] else { return Self::default() };
        Self { wanted: user + nice + system + interrupts + soft + stolen, stolen }
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn stolen_percent_since(self, before: Self) -> f64 {
        100.0 * (self.stolen - before.stolen) as f64 / (self.wanted - before.wanted).max(1) as f64
    }
}

/// Where results are written to.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results")
}

impl Report {
    /// A report of now and here, of measurements that began `since`.
    pub fn new(rows: Vec<Row>, goals: Vec<Verdict>, since: Ticks) -> Self {
        let date = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let commit =
            said(Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]));
        Self {
            date: date.format(&Rfc3339).unwrap_or_default(),
            commit,
            machine: Machine::here(since),
            versions: versions(),
            goals,
            rows,
        }
    }

    /// Writes both files.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written to.
    pub fn write(&self) -> io::Result<()> {
        fs::create_dir_all(folder())?;
        fs::write(folder().join("results.json"), serde_json::to_string_pretty(self)? + "\n")?;
        fs::write(folder().join("table.md"), self.table())
    }

    fn table(&self) -> String {
        let mut table = String::new();
        self.times(&mut table);
        for (title, work, lead) in [
            ("Sessions kept under a flood, 10 bots to 1 request", "survival", "hits and whole lives in percent"),
            ("The worst single login while growing to 1M sessions", "growth", "microseconds"),
            (
                "Purge of 10,000 out of 1M sessions, and a thread that reads meanwhile",
                "purge",
                "purge in ms, reads in us",
            ),
            ("Heap per session", "heap", "in the session's own JSON"),
            ("All sessions at once", "whole", "lembro alone"),
        ] {
            self.figures(&mut table, title, work, lead);
        }
        let Machine { processor, cores, memory_gib, system, rustc, stolen_percent } = &self.machine;
        _ = writeln!(
            table,
            "Measured {} at commit `{}` on {processor}, {cores} cores, {memory_gib} GiB, {system}, {rustc}, with {}. \
             The host kept {stolen_percent:.1} % of the processor time for others meanwhile: longest waits are its own as often as a store's.",
            &self.date[..self.date.len().min(10)],
            self.commit,
            self.versions.join(", ")
        );
        table
    }

    /// The paired measurements: a row for each circumstance, a column for each store.
    fn times(&self, table: &mut String) {
        for work in ["get", "cycle", "create", "churn"] {
            let rows: Vec<_> = self.rows.iter().filter(|row| row.work == work && row.unit == "ns").collect();
            let stores = firsts(rows.iter().filter(|row| row.ratio.is_some()).map(|row| row.store.as_str()));
            if stores.is_empty() {
                continue;
            }
            _ = writeln!(table, "### {work}: lembro's time, and how many times as long the others take\n");
            _ = writeln!(table, "| | lembro | {} |", stores.join(" | "));
            _ = writeln!(table, "|---|---|{}", "---|".repeat(stores.len()));
            for case in firsts(rows.iter().map(|row| row.case.as_str())) {
                let of = |store: &str| rows.iter().find(|row| row.case == case && row.store == store);
                let own = of("lembro").map_or_else(String::new, |row| format!("{:.0} ns", row.value));
                let ratio = |store: &&str| match of(store).and_then(|row| row.ratio) {
                    Some(ratio) => format!("{:.2} ({:.2} to {:.2})", ratio.median, ratio.low, ratio.high),
                    None => String::new(),
                };
                let ratios: Vec<_> = stores.iter().map(ratio).collect();
                _ = writeln!(table, "| {case} | {own} | {} |", ratios.join(" | "));
            }
            table.push('\n');
        }
    }

    /// Figures by themselves: a row for each of them, a column for each store.
    fn figures(&self, table: &mut String, title: &str, work: &str, lead: &str) {
        let rows: Vec<_> = self.rows.iter().filter(|row| row.work == work).collect();
        let stores = firsts(rows.iter().map(|row| row.store.as_str()));
        if stores.is_empty() {
            return;
        }
        _ = writeln!(
            table,
            "### {title} ({lead})\n\n| | {} |\n|---|{}",
            stores.join(" | "),
            "---|".repeat(stores.len())
        );
        for case in firsts(rows.iter().map(|row| row.case.as_str())) {
            let of = |store: &&str| {
                let row = rows.iter().find(|row| row.case == case && row.store == **store);
                row.map_or_else(String::new, |row| format!("{} {}", figure(row.value), row.unit))
            };
            let figures: Vec<_> = stores.iter().map(of).collect();
            _ = writeln!(table, "| {case} | {} |", figures.join(" | "));
        }
        table.push('\n');
    }
}

impl Machine {
    fn here(since: Ticks) -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown processor");
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib: u64 = memory.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0);
        Self {
            processor: name.trim_start_matches([' ', '\t', ':']).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: (kib + (1 << 19)) >> 20,
            system: said(Command::new("uname").arg("-s")),
            rustc: said(Command::new("rustc").arg("--version")),
            stolen_percent: Ticks::now().stolen_percent_since(since),
        }
    }
}

/// The first line that a program prints; nothing if it cannot be run.
fn said(program: &mut Command) -> String {
    let output = program.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_owned()
}

/// The peers with the versions that cargo chose.
fn versions() -> Vec<String> {
    const PEERS: [&str; 9] = [
        "dashmap",
        "lru",
        "mini-moka",
        "moka",
        "papaya",
        "parking_lot",
        "quick_cache",
        "tower-sessions-memory-store",
        "tower-sessions-moka-store",
    ];
    let mut tree = Command::new("cargo");
    tree.args(["tree", "--depth", "1", "--prefix", "none", "--manifest-path"]);
    tree.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    let lines = tree.output().map(|output| output.stdout).unwrap_or_default();
    let version = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, version) = (words.next()?, words.next()?);
        PEERS.contains(&name).then(|| format!("{name} {}", version.trim_start_matches('v')))
    };
    String::from_utf8_lossy(&lines).lines().filter_map(version).collect()
}

/// Each text once, in the order in which they come first.
pub(crate) fn firsts<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut firsts = Vec::new();
    for text in texts {
        if !firsts.contains(&text) {
            firsts.push(text);
        }
    }
    firsts
}

/// As many digits as a figure deserves.
fn figure(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
