//! A backend of three methods: a map that drops expired entries, counts calls, and fails on demand.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use lembro::testing::When;
use lembro::{Clock, Error, KeyValue, ManualClock, Result};

#[derive(Default)]
pub(crate) struct Map {
    state: Mutex<State>,
    /// The clock by which it drops entries. Without one it keeps them for good.
    clock: Option<Clock>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, (Vec<u8>, SystemTime)>,
    calls: Vec<Call>,
    fault: Option<(usize, When)>,
}

/// A call that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Get,
    Set,
    Remove,
}

impl Map {
    /// A map that drops each entry at the very end of its time to live.
    pub(crate) fn punctual(time: &ManualClock) -> Self {
        Self { clock: Some(Clock::from(time)), ..Self::default() }
    }

    /// Lets the nth call from now on fail; 1 is the next one.
    pub(crate) fn fail(&self, nth: usize, when: When) {
        let mut state = self.state.lock().unwrap();
        state.fault = Some((state.calls.len() + nth, when));
    }

    /// Lets no call fail any more. Returns true if a chosen call has failed.
    pub(crate) fn heal(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        let calls = state.calls.len();
        state.fault.take().is_some_and(|(nth, _)| nth <= calls)
    }

    /// The calls since the last call of this.
    pub(crate) fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.state.lock().unwrap().entries.keys().cloned().collect()
    }

    pub(crate) fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        self.state.lock().unwrap().entries.get(key).map(|(bytes, _)| bytes.clone())
    }

    /// Puts other bytes under a key, without a call.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(10_000_000_000);
        self.state.lock().unwrap().entries.entry(key.to_owned()).or_insert((Vec::new(), far)).0 = bytes.to_vec();
    }

    fn on<T>(&self, call: Call, run: impl FnOnce(&mut State, SystemTime) -> T) -> Result<T> {
        let mut state = self.state.lock().unwrap();
        state.calls.push(call);
        let now = self.clock.as_ref().map_or(SystemTime::UNIX_EPOCH, Clock::wall);
        let calls = state.calls.len();
        let when = state.fault.filter(|(nth, _)| *nth == calls).map(|(_, when)| when);
        if when == Some(When::Before) {
            return Err(Error::store("a fault was asked for"));
        }
        if self.clock.is_some() {
            state.entries.retain(|_, (_, until)| *until > now);
        }
        let done = run(&mut state, now);
        if when.is_some() { Err(Error::store("the answer was lost")) } else { Ok(done) }
    }
}

impl KeyValue for Map {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.on(Call::Get, |state, _| state.entries.get(key).map(|(bytes, _)| bytes.clone()))
    }

    fn set(&self, key: &str, bytes: &[u8], ttl: Duration) -> Result<()> {
        assert!(!ttl.is_zero() && ttl.subsec_nanos() == 0, "a time to live of {ttl:?}");
        self.on(Call::Set, |state, now| drop(state.entries.insert(key.to_owned(), (bytes.to_vec(), now + ttl))))
    }

    fn remove(&self, key: &str) -> Result<()> {
        self.on(Call::Remove, |state, _| drop(state.entries.remove(key)))
    }
}
