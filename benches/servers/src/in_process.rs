//! The comparison without sockets: axum's router alone, with lembro, and with tower-sessions.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;

use crate::median::{AnyError, median};
use crate::pages;

const VISITORS: usize = 1_000;
/// Odd, for the median.
const TURNS: usize = 101;
const REQUESTS: usize = 2_000;

struct Subject {
    router: Router,
    cookies: Vec<String>,
    /// The processor time per request of each turn, in microseconds.
    turns: Vec<f64>,
}

impl Subject {
    fn new(name: &str, runtime: &Runtime) -> Result<Self, AnyError> {
        let router = match name {
            "alone" => pages::without(),
            "lembro" => pages::with_lembro()?,
            "tower-sessions" => pages::with_tower_sessions(),
            _ => return Err("alone, lembro or tower-sessions".into()),
        };
        let mut cookies = Vec::new();
        for _ in 0..VISITORS {
            let response = runtime.block_on(router.clone().oneshot(Request::new(Body::empty())))?;
            let line = response.headers().get(header::SET_COOKIE).map(|line| line.to_str()).transpose()?;
            let none = format!("id={}", "x".repeat(43));
            cookies.push(line.and_then(|line| line.split(';').next()).map_or(none, str::to_owned));
        }
        Ok(Self { router, cookies, turns: Vec::new() })
    }

    fn turn(&mut self, runtime: &Runtime, requests: usize) -> Result<(), AnyError> {
        let request = |number: usize| {
            let cookie = self.cookies[number % VISITORS].as_str();
            Request::builder()
                .uri("/")
                .header(header::HOST, "localhost")
                .header(header::COOKIE, cookie)
                .body(Body::empty())
        };
        let requests = (0..requests).map(request).collect::<Result<Vec<_>, _>>()?;
        let count = requests.len();
        let start = processor_time()?;
        runtime.block_on(async {
            for request in requests {
                let response = self.router.clone().oneshot(request).await?;
                assert!(response.status().is_success());
            }
            Ok::<_, AnyError>(())
        })?;
        self.turns.push(processor_time()?.saturating_sub(start).as_secs_f64() * 1e6 / count as f64);
        Ok(())
    }
}

/// The processor time of this thread, which other work on the machine does not lengthen.
fn processor_time() -> Result<Duration, AnyError> {
    Ok(clock_gettime(ClockId::ThreadCPUTime).try_into()?)
}

pub(crate) fn compare() -> Result<(), AnyError> {
    let runtime = Builder::new_current_thread().build()?;
    let mut subjects = ["alone", "lembro", "tower-sessions"].map(|name| Subject::new(name, &runtime));
    for _ in 0..TURNS {
        for subject in &mut subjects {
            subject.as_mut().map_err(|error| error.to_string())?.turn(&runtime, REQUESTS)?;
        }
    }
    let [alone, lembro, tower] = subjects.map(|subject| subject.map(|subject| subject.turns).unwrap_or_default());
    let added = |with: &[f64]| median(with.iter().zip(&alone).map(|(with, alone)| with - alone));
    let (of_lembro, of_tower) = (added(&lembro), added(&tower));
    println!("\n| axum in process | CPU us/request | added |\n|---|---:|---:|");
    println!("| alone | {:.2} | |", median(alone.iter().copied()));
    println!("| lembro | {:.2} | {of_lembro:.2} |", median(lembro));
    println!("| tower-sessions | {:.2} | {of_tower:.2} |", median(tower));
    println!("\nlembro adds {:.2} of what tower-sessions adds.", of_lembro / of_tower);
    Ok(())
}

pub(crate) fn run(name: &str, requests: usize) -> Result<(), AnyError> {
    let runtime = Builder::new_current_thread().build()?;
    Subject::new(name, &runtime)?.turn(&runtime, requests)
}
