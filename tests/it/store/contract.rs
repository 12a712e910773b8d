//! The contract of `Store`, run against every store of this crate.

#![cfg(feature = "testing")]

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lembro::testing::{self, FaultStore, PlainStore};
use lembro::{Clock, LembroOptions, LembroStore, ManualClock, Store};

use crate::support::scratch::Folder;

#[path = "../../../examples/custom_store.rs"]
#[allow(dead_code, reason = "its `main` is not called here")]
mod custom_store;

fn store(time: &ManualClock, options: LembroOptions) -> LembroStore {
    LembroStore::with_options(options.clock(time)).unwrap()
}

/// Runs the whole contract, skips no rule of it, and lets the store recompute its counters after
/// each rule.
#[track_caller]
fn keeps_all(options: &LembroOptions) {
    let time = Clock::manual();
    for rule in testing::rules() {
        let store = store(&time, options.clone());
        assert_eq!(rule.check(&time, || store.clone()), testing::Verdict::Kept, "{rule}");
        assert_eq!(store.validate(), Ok(()), "after: {rule}");
    }
}

#[test]
fn lembro_store_with_defaults() {
    keeps_all(&LembroOptions::new());
}

#[test]
fn lembro_store_with_one_shard() {
    keeps_all(&LembroOptions::new().shards(1).interval(0));
}

#[test]
fn lembro_store_with_many_shards() {
    keeps_all(&LembroOptions::new().shards(64).max_size("16M"));
}

#[test]
fn lembro_store_with_a_busy_reaper() {
    keeps_all(&LembroOptions::new().interval(1));
}

#[test]
fn lembro_store_reopened_before_each_call() {
    let time = Clock::manual();
    let data = || {
        let folder = Folder::in_memory();
        move |clock: &Clock| {
            let options = LembroOptions::new().interval(0).clock(clock.clone()).persist(folder.join("sessions"));
            // A child process of another test has a copy of the lock between fork and exec.
            let mut opened = (0..1000).map(|_| LembroStore::with_options(options.clone()));
            opened.find_map(|opened| opened.inspect_err(|_| thread::sleep(Duration::from_millis(1))).ok()).unwrap()
        }
    };
    keeps(&time, testing::reopened(&time, data));
}

#[test]
fn lembro_store_in_real_time() {
    let report = testing::check(Duration::from_millis(50), || LembroStore::new().unwrap());
    assert!(report.is_kept(), "{report}");
    // Only the rules that need a manual clock.
    assert!(report.skipped().all(|(_, reason)| reason == "needs a manual clock"), "{report}");
}

/// Runs the whole contract, and skips no rule of it.
#[track_caller]
fn keeps<S: Store>(time: &ManualClock, store: impl Fn() -> S) {
    let report = testing::check(time, store);
    assert!(report.is_kept() && report.skipped().count() == 0, "{report}");
}

#[test]
fn stores_behind_arc_and_box() {
    let time = Clock::manual();
    let options = || LembroOptions::new().interval(0);
    keeps(&time, || Arc::new(store(&time, options())) as Arc<dyn Store>);
    keeps(&time, || Box::new(store(&time, options())) as Box<dyn Store>);
}

#[test]
fn store_of_the_docs_example() {
    let time = Clock::manual();
    let report = testing::check(&time, || custom_store::MyStore::new(&time));
    assert!(report.is_kept(), "{report}");
}

#[test]
fn fault_store_without_faults() {
    let time = Clock::manual();
    keeps(&time, || FaultStore::new(PlainStore::new(&time)));
}

#[test]
fn plain_store() {
    let time = Clock::manual();
    keeps(&time, || PlainStore::new(&time));
}

#[test]
fn plain_store_reopened_before_each_call() {
    let time = Clock::manual();
    keeps(&time, testing::reopened(&time, || opens(&time)));
}

#[test]
fn plain_store_opened_twice() {
    let time = Clock::manual();
    keeps(&time, testing::two_handles(&time, || opens(&time)));
}

fn opens(time: &ManualClock) -> impl Fn(&Clock) -> PlainStore + Send + Sync + 'static {
    let data = PlainStore::new(time);
    move |clock| data.open(clock.clone())
}
