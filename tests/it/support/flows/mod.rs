//! Flows of browsers through every situation of the cookie layer, over a store that fails at every
//! call in turn.
//!
//! A flow is a series of requests of one or several browsers. It runs first without a fault, and
//! then once for each of its calls to the store. That call fails, before or after it was carried
//! out, and the browser goes on without faults. Promises:
//!
//! - (a) While its session lives, the client has a cookie that opens it, or it can log in again at
//!   once.
//! - (b) No session shows another user's data.
//! - (c) The browser's next request finds every acknowledged change.
//! - (d) A change that was reported as not written is not written.
//! - (e) Each failure is reported on `layer.errors()`, and once.
//! - (f) After a logout that succeeded, no cookie that the browser had opens a session.

mod each;
mod ledger;
mod store;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use lembro::{ManualClock, Policy, Store, StoreDown};

use self::each::{Flow, flows, policy};
use self::store::FaultKind;
use self::world::{Browser, CallStyle, World};

const KINDS: [FaultKind; 3] = [FaultKind::Before, FaultKind::After, FaultKind::Lost];

/// Of two faults in a run, the repeat of the first commit may meet the second.
const PAIRS: [[FaultKind; 2]; 4] =
    [[FaultKind::Before; 2], [FaultKind::After; 2], [FaultKind::Lost; 2], [FaultKind::After, FaultKind::Before]];

/// Faults further apart meet in no request.
const APART: usize = 5;

/// More calls than any flow makes: a flow beyond it does not end.
const MOST_CALLS: usize = 200;

/// Runs of flows, their faults and their broken promises.
#[derive(Default)]
pub(crate) struct Tally {
    runs: usize,
    faults: usize,
    requests: usize,
    complaints: BTreeMap<String, Vec<String>>,
}

impl Tally {
    /// One run. Returns how many faults were met.
    fn run(
        &mut self,
        backend: &dyn Fn() -> (Arc<dyn Store>, ManualClock),
        flow: &Flow,
        way: CallStyle,
        store_down: StoreDown,
        faults: &[(usize, FaultKind)],
    ) -> usize {
        let policy: Policy = (flow.policy)(policy().store_down(store_down));
        let world = World::new(backend(), policy, way, faults);
        let mut browser = Browser::default();
        (flow.run)(&world, &mut browser);
        world.go_on(&mut browser, flow.user, flow.is_strict);
        world.check_reports();
        let met = world.met();
        if met == faults.len() {
            self.runs += 1;
            self.faults += met;
            self.requests += world.requests();
        }
        for complaint in world.complaints() {
            let runs = self.complaints.entry(complaint).or_default();
            // The requests of the first failure help to find it.
            let trace = if runs.is_empty() { world.trace() } else { String::new() };
            runs.push(format!("{}: {way:?}, {store_down:?}, {faults:?}{trace}", flow.name));
        }
        met
    }

    /// Runs every flow without a fault, and with a fault at each of its calls. With `is_in_pairs`,
    /// also with a second fault after the first.
    pub(crate) fn all(backend: &dyn Fn() -> (Arc<dyn Store>, ManualClock), is_in_pairs: bool) -> Self {
        let mut tally = Self::default();
        let ways = [
            (CallStyle::ByHand, StoreDown::FailClosed),
            (CallStyle::ByHand, StoreDown::Anonymous),
            (CallStyle::Adapter, StoreDown::FailClosed),
        ];
        for (flow, (way, store_down)) in flows().iter().flat_map(|flow| ways.map(|way| (flow, way))) {
            tally.run(backend, flow, way, store_down, &[]);
            for kind in KINDS {
                let calls = tally
                    .each_call(1, flow, |tally, call| tally.run(backend, flow, way, store_down, &[(call, kind)]) == 1);
                assert!(calls > 0, "{}: no call", flow.name);
            }
            for [kind, then] in if is_in_pairs && flow.stands_two { &PAIRS[..] } else { &[] } {
                tally.each_call(1, flow, |tally, call| {
                    let met = tally.each_call(call + 1, flow, |tally, second| {
                        second <= call + APART
                            && tally.run(backend, flow, way, store_down, &[(call, *kind), (second, *then)]) == 2
                    });
                    met > 0
                });
            }
        }
        tally
    }

    /// Calls `run` with the number of each call from `first` on, until it reports that there was no
    /// such call. Returns the number of calls.
    fn each_call(&mut self, first: usize, flow: &Flow, mut run: impl FnMut(&mut Self, usize) -> bool) -> usize {
        let calls = (first..).take_while(|call| {
            assert!(*call < MOST_CALLS, "{}: too many calls", flow.name);
            run(self, *call)
        });
        calls.count()
    }

    pub(crate) fn finish(self, at_least: usize) {
        let Self { runs, faults, requests, complaints } = self;
        println!("{runs} runs, {faults} faults, {requests} requests");
        for (complaint, runs) in &complaints {
            println!(
                "{complaint}\n    in {} runs, such as\n    {}",
                runs.len(),
                runs[..runs.len().min(6)].join("\n    ")
            );
        }
        assert!(complaints.is_empty(), "{} promises broken", complaints.len());
        assert!(runs >= at_least, "only {runs} runs");
    }
}
