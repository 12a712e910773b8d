//! `Gate`: where slow requests wait until the test lets them go on.

use std::sync::{Condvar, Mutex};

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
