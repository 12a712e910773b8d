//! One measurement in a process of its own: what it is asked for, and how the answer comes back.

use std::env;
use std::process::{Command, Stdio};

use crate::for_store;
use crate::rows::Row;
use crate::workloads::{churn, create, curves, cycle, get, growth, purge, survival, whole};

/// The argument that makes a process a child.
pub const ONE: &str = "--one";

/// Does one measurement in a process of its own: which work, whose, and how much of it.
pub fn measure(work: &str, store: &str, numbers: &[usize]) -> Vec<Row> {
    let mut child = Command::new(env::current_exe().expect("a path to this program"));
    child.args([ONE, work, store]).args(numbers.iter().map(usize::to_string));
    rows_of(&mut child)
}

/// The rows that a program prints.
pub fn rows_of(program: &mut Command) -> Vec<Row> {
    let output = program.stderr(Stdio::inherit()).output().expect("the program starts");
    assert!(output.status.success(), "{program:?} failed");
    serde_json::from_slice(&output.stdout).expect("rows")
}

/// What the child does.
pub fn main(arguments: &[String]) {
    let [work, store, numbers @ ..] = arguments else { panic!("{ONE} work store numbers..") };
    let numbers: Vec<usize> = numbers.iter().map(|number| number.parse().expect("a number")).collect();
    let rows = one(work, store, &numbers);
    println!("{}", serde_json::to_string(&rows).expect("plain figures"));
}

fn one(work: &str, store: &str, numbers: &[usize]) -> Vec<Row> {
    match (work, numbers) {
        ("get", [sessions, rounds]) => for_store!(store, get::run(*sessions, *rounds)),
        ("cycle", [sessions, rounds]) => for_store!(store, cycle::run(*sessions, *rounds)),
        ("create", [threads]) => for_store!(store, create::run(*threads)),
        ("churn", []) => churn::bound(),
        ("churn", [rounds]) => for_store!(store, churn::run(*rounds)),
        ("survival", [percent, burst]) => for_store!(store, survival::run(*percent, *burst)),
        ("purge", [sessions]) => for_store!(store, purge::run(*sessions)),
        ("purge touched", [sessions]) => purge::touched(*sessions),
        ("curves sessions", [sessions]) => curves::sessions(*sessions),
        ("curves payload", [bytes]) => curves::payload(*bytes),
        ("curves threads", [threads]) => curves::threads(*threads),
        ("whole", [sessions]) => whole::run(*sessions),
        ("growth", [sessions]) => for_store!(store, growth::run(*sessions)),
        _ => panic!("there is no work \"{work}\" with {numbers:?}"),
    }
}
