//! `Gate`: where slow requests wait until the test lets them go on. `Holds`: gates at the moments
//! of one request, so that a test decides the order of two.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};

use super::PATIENCE;

/// Holds requests up in the middle of their handlers, so that they overlap for certain.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    arrived: usize,
    open: bool,
}

impl Gate {
    /// For a handler: says that it is here, and waits for [`open`](Self::open).
    pub fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.arrived += 1;
        self.changed.notify_all();
        let (_state, timeout) = self.changed.wait_timeout_while(state, PATIENCE, |state| !state.open).unwrap();
        assert!(!timeout.timed_out(), "nobody opened the gate");
    }

    /// For a test: waits until so many requests are at the gate.
    #[track_caller]
    pub fn wait_for(&self, requests: usize) {
        let state = self.state.lock().unwrap();
        let (_state, timeout) =
            self.changed.wait_timeout_while(state, PATIENCE, |state| state.arrived < requests).unwrap();
        assert!(!timeout.timed_out(), "{requests} requests did not come to the gate");
    }

    /// For a test: lets everybody through, those who come later too.
    pub fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }
}

/// The requests that a test leads step by step, each by the name in its `hold` parameter.
#[derive(Debug, Default)]
pub struct Holds(Mutex<HashMap<String, Arc<Hold>>>);

/// The gates of one request: before its session is looked at, before its handler goes on, and
/// before its response is sent.
#[derive(Debug, Default)]
pub struct Hold {
    arrived: Gate,
    looked: Gate,
    answered: Gate,
}

/// The part of a request between two gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The first look at the session.
    Look,
    /// The handler, and the end of the request, with its commit.
    Commit,
    /// The response goes to the browser.
    Answer,
}

impl Holds {
    /// The request of this name, before or after it comes.
    pub fn of(&self, name: &str) -> Arc<Hold> {
        Arc::clone(self.0.lock().unwrap().entry(name.to_owned()).or_default())
    }
}

impl Hold {
    /// For a handler: one gate after another, around its own work.
    pub fn pass(&self, step: Step) {
        self.gate(step).pass();
    }

    /// For a test: waits until the request is here.
    #[track_caller]
    pub fn wait(&self) {
        self.arrived.wait_for(1);
    }

    /// For a test: lets the request take this step, and waits until it has. What the browser does
    /// with an answer is not waited for.
    #[track_caller]
    pub fn take(&self, step: Step) {
        self.gate(step).wait_for(1);
        self.gate(step).open();
        match step {
            Step::Look => self.looked.wait_for(1),
            Step::Commit => self.answered.wait_for(1),
            Step::Answer => {}
        }
    }

    /// The gate in front of a step.
    fn gate(&self, step: Step) -> &Gate {
        match step {
            Step::Look => &self.arrived,
            Step::Commit => &self.looked,
            Step::Answer => &self.answered,
        }
    }
}

/// Every order in which two requests can take their steps: 20.
pub fn orders() -> Vec<Vec<(usize, Step)>> {
    const STEPS: [Step; 3] = [Step::Look, Step::Commit, Step::Answer];
    let halves = (0_u32..1 << 6).filter(|bits| bits.count_ones() == 3);
    let order = |bits: u32| {
        let mut taken = [0; 2];
        let turn = |place: u32| {
            let request = usize::from((bits >> place) & 1 == 1);
            taken[request] += 1;
            (request, STEPS[taken[request] - 1])
        };
        (0..6).map(turn).collect()
    };
    halves.map(order).collect()
}
