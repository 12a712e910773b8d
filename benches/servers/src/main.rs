//! The command: one page with a session and without, over sockets and in process.

mod in_process;
mod load;
mod median;
mod pages;
mod process;
mod sockets;

use std::env;

use median::AnyError;
use process::{Kind, Page};

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
        ["serve", name, page] => pages::serve(Kind::of(name)?, Page::of(page)?),
        [..] => sockets::compare(&words.iter().map(|name| Kind::of(name)).collect::<Result<Vec<_>, _>>()?),
    }
}
