//! Gates for handlers: a test decides when a slow request goes on, and the order of two requests.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};

use super::PATIENCE;

/// A gate inside a handler, by which requests certainly overlap.
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
    /// For a handler: reports its arrival, and waits for [`open`](Self::open).
    pub fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.arrived += 1;
        self.changed.notify_all();
        let (_state, timeout) = self.changed.wait_timeout_while(state, PATIENCE, |state| !state.open).unwrap();
        assert!(!timeout.timed_out(), "the gate was not opened");
    }

    /// For a test: waits until this number of requests has arrived.
    #[track_caller]
    pub fn wait_for(&self, requests: usize) {
        let state = self.state.lock().unwrap();
        let (_state, timeout) =
            self.changed.wait_timeout_while(state, PATIENCE, |state| state.arrived < requests).unwrap();
        assert!(!timeout.timed_out(), "{requests} requests did not come to the gate");
    }

    /// For a test: lets all requests pass, also later ones.
    pub fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }
}

/// The requests that a test steps, by the names in their `hold` parameters.
#[derive(Debug, Default)]
pub struct Holds(Mutex<HashMap<String, Arc<Hold>>>);

/// The gates of one request, one in front of each [`Step`].
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
    /// The sending of the response.
    Answer,
}

impl Holds {
    /// The gates of the request of this name, which may not have arrived yet.
    pub fn of(&self, name: &str) -> Arc<Hold> {
        Arc::clone(self.0.lock().unwrap().entry(name.to_owned()).or_default())
    }
}

impl Hold {
    /// For a handler: waits until the test lets it take this step.
    pub fn pass(&self, step: Step) {
        self.gate(step).pass();
    }

    /// For a test: waits until the request has arrived.
    #[track_caller]
    pub fn wait(&self) {
        self.arrived.wait_for(1);
    }

    /// For a test: lets the request take this step, and waits until it is done. It does not wait
    /// until the browser has the response.
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

/// The 20 orders in which two requests can take their steps.
pub fn orders() -> Vec<Vec<(usize, Step)>> {
    const STEPS: [Step; 3] = [Step::Look, Step::Commit, Step::Answer];
    let halves = (0_u32..1 << 6).filter(|bits| bits.count_ones() == 3);
    let order = |bits: u32| {
        let mut taken = [0; 2];
        let next = |place: u32| {
            let request = usize::from((bits >> place) & 1 == 1);
            taken[request] += 1;
            (request, STEPS[taken[request] - 1])
        };
        (0..6).map(next).collect()
    };
    halves.map(order).collect()
}
