//! The command: one page with a session and without, over sockets and in process.

mod in_process;
mod load;
mod server;
mod servers;
mod sockets;

use std::env;

use server::{Kind, Page};

pub(crate) type AnyError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), AnyError> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => {
            sockets::compare(&Kind::ALL)?;
            in_process::compare()
        }
        ["in-process"] => in_process::compare(),
        // For a profiler, or a counter of instructions.
        ["in-process", name, requests] => in_process::run(name, requests.parse()?),
        ["serve", name, page] => servers::serve(Kind::of(name)?, Page::of(page)?),
        [..] => sockets::compare(&words.iter().map(|name| Kind::of(name)).collect::<Result<Vec<_>, _>>()?),
    }
}

/// The median of an odd number of values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
