//! The comparison over sockets: each server with sessions and without, in alternating turns.

use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::load;
use crate::median::{AnyError, median};
use crate::process::{Kind, Page, Server};

/// Visitors that return.
const VISITORS: usize = 1_000;
/// New visitors, by which the memory of a session is measured.
const ARRIVALS: usize = 50_000;
/// Requests before the first turn.
const WARM_UP: usize = 10_000;
/// Turns of each server. Odd, for the median; many and short, so that other work on the machine
/// hits both servers of a pair.
const TURNS: usize = 51;
const REQUESTS: usize = 2_000;

struct Turn {
    elapsed: Duration,
    cpu: Duration,
}

struct Run {
    server: Server,
    cookies: Vec<String>,
    turns: Vec<Turn>,
}

impl Run {
    fn start(kind: Kind, page: Page) -> Result<Self, AnyError> {
        let server = Server::start(kind, page)?;
        let mut cookies = load::arrive(&server.address, VISITORS)?;
        match page {
            Page::With if cookies.iter().any(String::is_empty) => return Err("a visitor got no cookie".into()),
            Page::With => {}
            // A header of the same length, so that reading it adds nothing to the difference.
            Page::Without => cookies.fill(format!("id={}", "x".repeat(43))),
        }
        // Servers allocate on first use, and node compiles code that has run for a while.
        load::visit(&server.address, &cookies, WARM_UP)?;
        Ok(Self { server, cookies, turns: Vec::new() })
    }

    fn turn(&mut self) -> Result<(), AnyError> {
        let before = self.server.cpu()?;
        let elapsed = load::visit(&self.server.address, &self.cookies, REQUESTS)?;
        self.turns.push(Turn { elapsed, cpu: self.server.cpu()?.since(&before) });
        Ok(())
    }

    fn requests_per_second(&self) -> f64 {
        median(self.turns.iter().map(|turn| REQUESTS as f64 / turn.elapsed.as_secs_f64()))
    }

    /// The processor time per request of each turn, in microseconds.
    fn cpu_per_request(&self) -> impl Iterator<Item = f64> {
        self.turns.iter().map(|turn| turn.cpu.as_secs_f64() * 1e6 / REQUESTS as f64)
    }
}

/// Keeps this process, and those that it starts, on one core. Between two cores the cost of waking
/// a thread of the server varies by more than a session costs.
fn stay_on_one_core() -> Result<(), AnyError> {
    let all = sched_getaffinity(None)?;
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|&core| all.is_set(core)).ok_or("no core")?);
    Ok(sched_setaffinity(None, &one)?)
}

pub(crate) fn compare(kinds: &[Kind]) -> Result<(), AnyError> {
    stay_on_one_core()?;
    println!(
        "| server, sessions | requests/s without | with | CPU us/request without | with | added | bytes/session |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for &kind in kinds {
        let (mut with, mut without) = (Run::start(kind, Page::With)?, Run::start(kind, Page::Without)?);
        for turn in 0..TURNS {
            let pair = if turn % 2 == 0 { [&mut with, &mut without] } else { [&mut without, &mut with] };
            pair.into_iter().try_for_each(Run::turn)?;
        }
        let added = median(with.cpu_per_request().zip(without.cpu_per_request()).map(|(with, without)| with - without));
        let before = with.server.resident()?;
        load::arrive(&with.server.address, ARRIVALS)?;
        println!(
            "| {} | {:.0} | {:.0} | {:.1} | {:.1} | {added:.1} | {:.0} |",
            kind.title(),
            without.requests_per_second(),
            with.requests_per_second(),
            median(without.cpu_per_request()),
            median(with.cpu_per_request()),
            (with.server.resident()? - before) / ARRIVALS as f64,
        );
    }
    Ok(())
}
