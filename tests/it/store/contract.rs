//! Promise: every store here keeps the whole contract of `Store`.

#![cfg(feature = "testing")]

use std::sync::Arc;
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

/// Runs the whole contract, of which nothing may be skipped, and afterwards has the store recompute
/// its books.
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
fn lembro_store_keeps_the_contract_with_its_defaults() {
    keeps_all(&LembroOptions::new());
}

#[test]
fn lembro_store_keeps_the_contract_with_one_shard() {
    keeps_all(&LembroOptions::new().shards(1).interval(0));
}

#[test]
fn lembro_store_keeps_the_contract_with_many_shards() {
    keeps_all(&LembroOptions::new().shards(64).max_size("16M"));
}

#[test]
fn lembro_store_keeps_the_contract_while_its_reaper_never_rests() {
    keeps_all(&LembroOptions::new().interval(1));
}

#[test]
fn lembro_store_keeps_the_contract_reopened_from_its_files_before_each_call() {
    let time = Clock::manual();
    let data = || {
        let folder = Folder::in_memory();
        move |clock: &Clock| {
            let options = LembroOptions::new().interval(0).clock(clock.clone()).persist(folder.join("sessions"));
            LembroStore::with_options(options).unwrap()
        }
    };
    keeps(&time, testing::reopened(&time, data));
}

#[test]
fn lembro_store_keeps_the_contract_in_real_time() {
    let report = testing::check(Duration::from_millis(50), || LembroStore::new().unwrap());
    assert!(report.is_kept(), "{report}");
    // Nothing but the rules that stop time.
    assert!(report.skipped().all(|(_, reason)| reason == "needs a clock that is turned by hand"), "{report}");
}

/// Nothing is broken and nothing is skipped.
#[track_caller]
fn keeps<S: Store>(time: &ManualClock, store: impl Fn() -> S) {
    let report = testing::check(time, store);
    assert!(report.is_kept() && report.skipped().count() == 0, "{report}");
}

#[test]
fn a_store_behind_arc_or_box_keeps_the_contract_and_loses_no_optional_method() {
    let time = Clock::manual();
    let options = || LembroOptions::new().interval(0);
    keeps(&time, || Arc::new(store(&time, options())) as Arc<dyn Store>);
    keeps(&time, || Box::new(store(&time, options())) as Box<dyn Store>);
}

#[test]
fn the_store_of_the_example_keeps_the_contract() {
    let time = Clock::manual();
    let report = testing::check(&time, || custom_store::MyStore::new(&time));
    assert!(report.is_kept(), "{report}");
}

#[test]
fn a_fault_store_without_faults_keeps_the_contract() {
    let time = Clock::manual();
    keeps(&time, || FaultStore::new(PlainStore::new(&time)));
}

#[test]
fn the_plain_store_keeps_the_contract() {
    let time = Clock::manual();
    keeps(&time, || PlainStore::new(&time));
}

#[test]
fn the_plain_store_keeps_the_contract_reopened_before_each_call() {
    let time = Clock::manual();
    keeps(&time, testing::reopened(&time, || opens(&time)));
}

#[test]
fn the_plain_store_keeps_the_contract_with_two_handles_on_the_same_data() {
    let time = Clock::manual();
    keeps(&time, testing::two_handles(&time, || opens(&time)));
}

fn opens(time: &ManualClock) -> impl Fn(&Clock) -> PlainStore + Send + Sync + 'static {
    let data = PlainStore::new(time);
    move |clock| data.open(clock.clone())
}
