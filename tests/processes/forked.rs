//! Work that is done in a forked child and in this process.

use std::io::{Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use fork::Fork;

/// Runs `work` in a forked child, and then in this process; what each of them returns, one line
/// each.
pub(crate) fn forked(work: impl Fn() -> Vec<String>) -> [Vec<String>; 2] {
    let (mut output, mut input) = std::io::pipe().unwrap();
    match fork::fork().unwrap() {
        Fork::Child => {
            drop(output);
            // A child that hangs is a failure, not a test that never ends.
            thread::spawn(|| {
                thread::sleep(Duration::from_secs(30));
                std::process::exit(3);
            });
            let done = catch_unwind(AssertUnwindSafe(&work)).map(|lines| input.write_all(lines.join("\n").as_bytes()));
            drop(input);
            std::process::exit(if matches!(done, Ok(Ok(()))) { 0 } else { 2 });
        }
        Fork::Parent(child) => {
            drop(input);
            let ours = work();
            let mut theirs = String::new();
            output.read_to_string(&mut theirs).unwrap();
            assert_eq!(fork::waitpid(child).unwrap(), 0, "the child failed");
            [theirs.lines().map(str::to_owned).collect(), ours]
        }
    }
}
