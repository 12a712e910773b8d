//! The command: runs all workloads and writes the results, or runs some and prints them.

use std::env;
use std::error::Error;
use std::time::Instant;

use peers::measure::{ONE, Row, in_a_process};
use peers::report::Report;
use peers::{footprint, for_store, survival, times};

/// Each workload, the stores that take part, and how often each is measured. Workloads that are
/// measured in pairs repeat by themselves.
const WORKLOADS: [(&str, &[&str], usize); 7] = [
    ("find", &["bare HashMap", "dashmap", "quick_cache", "moka", "RwLock<HashMap>", "tower-sessions"], 1),
    ("request", &["dashmap", "quick_cache", "moka", "RwLock<HashMap>", "tower-sessions", "lembro Session"], 1),
    ("login", &["dashmap", "quick_cache", "moka", "RwLock<HashMap>", "tower-sessions"], 1),
    ("visitors", &["quick_cache", "moka"], 1),
    ("memory", &["lembro", "bare HashMap", "dashmap", "quick_cache", "moka", "RwLock<HashMap>", "tower-sessions"], 1),
    ("purge", &["lembro", "dashmap", "quick_cache", "RwLock<HashMap>"], 3),
    ("survival", &["lembro", "quick_cache", "moka"], 1),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [ONE, work, store] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        println!("{}", serde_json::to_string(&one(work, store))?);
        return Ok(());
    }
    if let Some(unknown) = arguments.iter().find(|name| !WORKLOADS.iter().any(|(known, ..)| known == name)) {
        let names = WORKLOADS.map(|(name, ..)| name).join(", ");
        return Err(format!("there is no workload \"{unknown}\", but {names}").into());
    }
    let mut rows = Vec::new();
    for (work, stores, times) in WORKLOADS {
        if arguments.is_empty() || arguments.iter().any(|name| name == work) {
            let start = Instant::now();
            for store in stores {
                (0..times).for_each(|_| rows.extend(in_a_process(work, store)));
            }
            eprintln!("{work}: {:.0} s", start.elapsed().as_secs_f64());
        }
    }
    let report = Report::new(&rows);
    println!("{}", report.tables());
    // Some of the figures are no results.
    if arguments.is_empty() {
        println!("Written to {}", report.write()?.display());
    }
    Ok(())
}

fn one(work: &str, store: &str) -> Vec<Row> {
    match work {
        "find" => for_store!(store, times::find),
        "request" => for_store!(store, times::request),
        "login" => for_store!(store, times::login),
        "one login" => for_store!(store, times::one_login),
        "visitors" => for_store!(store, times::visitors),
        "survival" => for_store!(store, survival::survival),
        "purge" => for_store!(store, footprint::purge),
        "memory" => for_store!(store, footprint::memory),
        _ => panic!("there is no workload \"{work}\""),
    }
}
