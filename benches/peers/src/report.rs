//! The results as files: all figures in `table.md`, the ratios as bars in `pictures/ratios.svg`.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use time::OffsetDateTime;

use crate::measure::{QUICK, Row};

/// The results, in the order in which they were measured.
#[derive(Debug)]
pub struct Report(Vec<Row>);

impl Report {
    /// One row for each figure: of a figure that was measured several times, the median.
    pub fn new(rows: &[Row]) -> Self {
        let mut report: Vec<Row> = Vec::new();
        for row in rows {
            let is_same = |other: &&Row| (&other.title, &other.store) == (&row.title, &row.store);
            if !report.iter().any(|other| is_same(&other)) {
                let mut values: Vec<f64> = rows.iter().filter(is_same).map(|row| row.value).collect();
                values.sort_by(f64::total_cmp);
                report.push(Row { value: values[values.len() / 2], ..row.clone() });
            }
        }
        Self(report)
    }

    /// Writes both files; returns their folder. A quick run writes to the folder for temporary
    /// files.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written to.
    pub fn write(&self) -> io::Result<PathBuf> {
        let folder = match env::var_os(QUICK) {
            Some(_) => env::temp_dir().join("lembro-peers"),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("results"),
        };
        // Asked for first, because the files make another state of the repository.
        let origin = origin();
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("table.md"), format!("# Results\n\n{origin}\n\n{}", self.tables()))?;
        // In the README, and so in the package, which has nothing of this folder.
        let pictures = folder.join("../../../pictures");
        let picture = if pictures.is_dir() { pictures } else { folder.clone() };
        fs::write(picture.join("ratios.svg"), self.picture())?;
        Ok(folder)
    }

    /// The tables: first what was measured in pairs, then the other figures.
    pub fn tables(&self) -> String {
        let in_pairs = |title: &str| self.0.iter().any(|row| row.title == title && row.ratio.is_some());
        let (paired, alone): (Vec<_>, Vec<_>) = self.0.iter().partition(|row| in_pairs(&row.title));
        format!(
            "Time of one operation: lembro's, and the others' as a multiple of it, with quartiles.\n\n{}\n\
             Other figures.\n\n{}",
            table(&paired),
            table(&alone)
        )
    }

    /// Bars of the ratios: a group for each title, the shortest bar first.
    fn picture(&self) -> String {
        const LEFT: f64 = 150.0;
        let ratios = self.0.iter().filter_map(|row| row.ratio);
        let scale = 680.0 / ratios.map(|ratio| ratio.median).fold(1.0, f64::max);
        let (mut y, mut body) = (44.0, String::new());
        for title in firsts(self.0.iter().filter(|row| row.ratio.is_some()).map(|row| row.title.as_str())) {
            _ = writeln!(body, r#"<text x="12" y="{}" font-size="15">{title}</text>"#, y + 18.0);
            y += 28.0;
            let of_title = self.0.iter().filter(|row| row.title == title);
            let mut bars: Vec<_> = of_title.map(|row| (row, row.ratio.map_or(1.0, |ratio| ratio.median))).collect();
            bars.sort_by(|one, other| one.1.total_cmp(&other.1));
            for (row, ratio) in bars {
                let (colour, label) = match row.ratio {
                    Some(_) => ("#a0a8b4", format!("{ratio:.1} x")),
                    None => ("#146eb4", format!("{:.0} ns", row.value)),
                };
                let (width, middle) = (ratio * scale, y + 12.0);
                let store = row.store.replace('<', "&lt;");
                _ = writeln!(
                    body,
                    r#"<text x="{}" y="{middle}" text-anchor="end">{store}</text><rect x="{LEFT}" y="{y}" width="{width:.0}" height="15" fill="{colour}"/><text x="{:.0}" y="{middle}">{label}</text>"#,
                    LEFT - 8.0,
                    LEFT + width + 6.0
                );
                y += 20.0;
            }
        }
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="900" height="{0}" font-family="sans-serif" font-size="13" fill="#282c34">
<rect width="900" height="{0}" fill="#fff"/>
<text x="12" y="28" font-size="19">Time per operation as a multiple of lembro's: shorter is better</text>
{body}</svg>
"##,
            y + 12.0
        )
    }
}

/// A line for each title, a column for each store.
fn table(rows: &[&Row]) -> String {
    let stores = firsts(rows.iter().map(|row| row.store.as_str()));
    let mut table = format!("| | {} |\n|---|{}\n", stores.join(" | "), "---|".repeat(stores.len()));
    for title in firsts(rows.iter().map(|row| row.title.as_str())) {
        let cell = |store: &&str| match rows.iter().find(|row| row.title == title && row.store == **store) {
            Some(Row { ratio: Some(of), .. }) => format!("{:.2} ({:.2} to {:.2})", of.median, of.low, of.high),
            Some(Row { value, unit, .. }) => {
                let digits = if *value < 1.0 { 2 } else { usize::from(*value < 10.0) };
                format!("{value:.digits$} {unit}")
            }
            None => String::new(),
        };
        _ = writeln!(table, "| {title} | {} |", stores.iter().map(cell).collect::<Vec<_>>().join(" | "));
    }
    table
}

/// Each text once, in order.
fn firsts<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut firsts = Vec::new();
    for text in texts {
        if !firsts.contains(&text) {
            firsts.push(text);
        }
    }
    firsts
}

/// The date, commit, machine and versions of the measurement.
fn origin() -> String {
    const PEERS: [&str; 5] = ["dashmap", "moka", "parking_lot", "quick_cache", "tower-sessions-memory-store"];
    let first = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim_start_matches([' ', '\t', ':']).to_owned()
    };
    let processor = first("/proc/cpuinfo", "model name");
    let memory = first("/proc/meminfo", "MemTotal");
    let kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let folder = env!("CARGO_MANIFEST_DIR");
    let commit = output_of("git", &["-C", folder, "describe", "--always", "--dirty"]);
    let manifest = format!("{folder}/Cargo.toml");
    let tree = output_of("cargo", &["tree", "--depth", "1", "--prefix", "none", "--manifest-path", &manifest]);
    let versions: Vec<_> =
        tree.lines().filter(|line| PEERS.iter().any(|peer| line.starts_with(&format!("{peer} v")))).collect();
    format!(
        "Measured {} at commit `{commit}` with\n\n- {processor}, {cores} cores, {} GiB\n- {}\n- {}",
        OffsetDateTime::now_utc().date(),
        (kib + (1 << 19)) >> 20,
        output_of("rustc", &["--version"]),
        versions.join("\n- ")
    )
}

/// The output of a program; nothing if it cannot be run.
fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim_end().to_owned()
}
