//! Measures lembro beside its peers, says whether it reaches its goals, and writes the figures down.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use peers::report::{Report, Ticks};
use peers::rows::{self, Row};
use peers::{child, goals, plot, suite};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let Some((child::ONE, rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        child::main(rest);
        return Ok(ExitCode::SUCCESS);
    }
    for argument in &arguments {
        if !suite::WORKLOADS.iter().any(|(name, _)| name == argument) {
            let names = suite::WORKLOADS.map(|(name, _)| name).join(", ");
            return Err(format!("there is no workload \"{argument}\", but {names}").into());
        }
    }
    let since = Ticks::now();
    let mut figures = Vec::new();
    for (name, workload) in suite::WORKLOADS {
        if arguments.is_empty() || arguments.iter().any(|wanted| wanted == name) {
            let start = Instant::now();
            let rows = rows::merged(workload());
            eprintln!("{name}: {} figures in {:.0} s", rows.len(), start.elapsed().as_secs_f64());
            if !arguments.is_empty() {
                rows.iter().for_each(show);
            }
            figures.extend(rows);
        }
    }
    let verdicts = goals::judge(&figures);
    verdicts.iter().for_each(|verdict| println!("{}", verdict.line()));
    let missed = verdicts.iter().filter(|verdict| !verdict.ok).count();
    println!("{} of {} goals reached", verdicts.len() - missed, verdicts.len());
    // Some of the figures are no results.
    if arguments.is_empty() {
        // Before anything is written, which would make another state of the repository.
        let report = Report::new(figures, verdicts, since);
        plot::all(&report.rows)?;
        report.write()?;
    }
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(row: &Row) {
    let Row { work, case, store, value, unit, ratio } = row;
    let ratio = ratio.map_or_else(String::new, |of| format!(" = {:.2} x ({:.2} to {:.2})", of.median, of.low, of.high));
    eprintln!("  {work} [{case}] {store}: {value:.2} {unit}{ratio}");
}
