//! Measures lembro beside its peers, says whether it reaches its goals, and writes the figures down.

use std::env;
use std::process::ExitCode;

use peers::{child, suite};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let Some((child::ONE, rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        child::main(rest);
        return ExitCode::SUCCESS;
    }
    for (name, workload) in suite::WORKLOADS {
        if arguments.is_empty() || arguments.iter().any(|wanted| wanted == name) {
            for row in workload() {
                match row.ratio {
                    Some(ratio) => println!("{} {} {} {:.0} {} {:.2} ({:.2}..{:.2})", row.work, row.case, row.store, row.value, row.unit, ratio.median, ratio.low, ratio.high),
                    None => println!("{} {} {} {:.2} {}", row.work, row.case, row.store, row.value, row.unit),
                }
            }
        }
    }
    ExitCode::SUCCESS
}
