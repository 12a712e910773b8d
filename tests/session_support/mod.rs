//! What the tests of sessions share: a store under a manual clock, and a store that counts, fails and overtakes.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

#[cfg(feature = "http")]
pub(crate) mod site;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use lembro::{
    Changes, Clock, Error, Expected, LembroOptions, LembroStore, Listing, ManualClock, Outcome, Record, Result,
    Session, SessionId, Sessions, Store, Stored,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);

/// A store that holds four mebibytes, has no thread, and stands still in time.
pub(crate) fn manual_store() -> (LembroStore, ManualClock) {
    let time = Clock::manual();
    let options = LembroOptions::new().interval(0).max_size("4M").clock(&time);
    (LembroStore::with_options(options).unwrap(), time)
}

/// Sessions in such a store.
pub(crate) fn manual_sessions() -> (Sessions, LembroStore, ManualClock) {
    let (store, time) = manual_store();
    (Sessions::new(store.clone()), store, time)
}

/// Every counter, queue and index of the store adds up.
#[track_caller]
pub(crate) fn validate(store: &LembroStore) {
    #[cfg(feature = "testing")]
    store.validate().unwrap();
    let _ = store;
}

/// A stored session with `user` in it.
pub(crate) fn stored_session(sessions: &Sessions) -> Session {
    let mut session = sessions.generate().unwrap();
    session.insert("user", "ada").unwrap();
    assert_eq!(session.save().unwrap(), lembro::Saved::Written);
    session
}

/// A second handle on the same session.
#[track_caller]
pub(crate) fn load_again(sessions: &Sessions, session: &Session) -> Session {
    sessions.load(&session.id().unwrap()).unwrap().expect("the session is stored")
}

/// Ends the test if `work` does not end: a deadlock must be a failure, not a build that hangs.
#[track_caller]
pub(crate) fn ends_soon<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, waiting) = mpsc::channel();
    let thread = thread::spawn(move || drop(done.send(work())));
    match waiting.recv_timeout(Duration::from_secs(60)) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("deadlock: not done after a minute"),
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("a thread that returns has sent"),
        },
    }
}

type Hook = Box<dyn FnOnce() + Send>;

/// How often a [`Probe`] was asked for what.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) get: AtomicUsize,
    pub(crate) create: AtomicUsize,
    pub(crate) save: AtomicUsize,
    pub(crate) touch: AtomicUsize,
    pub(crate) rotate: AtomicUsize,
    pub(crate) destroy: AtomicUsize,
}

impl Calls {
    /// All of them, and from zero again.
    pub(crate) fn take(&self) -> [(&'static str, usize); 6] {
        [
            ("get", &self.get),
            ("create", &self.create),
            ("save", &self.save),
            ("touch", &self.touch),
            ("rotate", &self.rotate),
            ("destroy", &self.destroy),
        ]
        .map(|(name, count)| (name, count.swap(0, Ordering::SeqCst)))
    }

    /// Only those that happened.
    pub(crate) fn happened(&self) -> Vec<(&'static str, usize)> {
        self.take().into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

/// A store around another that counts calls, fails on demand, and lets something happen just before a save.
#[derive(Clone)]
pub(crate) struct Probe {
    inner: LembroStore,
    pub(crate) calls: Arc<Calls>,
    broken: Arc<AtomicBool>,
    before_save: Arc<Mutex<Option<Hook>>>,
    before_rotate: Arc<Mutex<Option<Hook>>>,
}

impl Probe {
    pub(crate) fn new(inner: LembroStore) -> Self {
        Self {
            inner,
            calls: Arc::default(),
            broken: Arc::default(),
            before_save: Arc::default(),
            before_rotate: Arc::default(),
        }
    }

    /// Fails every call until told otherwise.
    pub(crate) fn break_down(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    /// Runs `hook` once, right before the next save reaches the store.
    pub(crate) fn before_next_save(&self, hook: impl FnOnce() + Send + 'static) {
        *self.before_save.lock().unwrap() = Some(Box::new(hook));
    }

    /// Runs `hook` once, right before the next rotation reaches the store.
    pub(crate) fn before_next_rotate(&self, hook: impl FnOnce() + Send + 'static) {
        *self.before_rotate.lock().unwrap() = Some(Box::new(hook));
    }

    fn count(&self, counter: &AtomicUsize) -> Result<()> {
        counter.fetch_add(1, Ordering::SeqCst);
        if self.broken.load(Ordering::SeqCst) { Err(Error::store("unplugged")) } else { Ok(()) }
    }
}

impl Store for Probe {
    fn get(&self, id: &SessionId) -> Result<Option<Stored>> {
        self.count(&self.calls.get)?;
        self.inner.get(id)
    }

    fn create(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<Outcome> {
        self.count(&self.calls.create)?;
        self.inner.create(id, record, ttl)
    }

    fn set(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<()> {
        self.inner.set(id, record, ttl)
    }

    fn save(&self, id: &SessionId, changes: &Changes, ttl: Duration, expected: Expected) -> Result<Outcome> {
        self.count(&self.calls.save)?;
        let hook = self.before_save.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        self.inner.save(id, changes, ttl, expected)
    }

    fn touch(&self, id: &SessionId, ttl: Duration) -> Result<Outcome> {
        self.count(&self.calls.touch)?;
        self.inner.touch(id, ttl)
    }

    fn rotate(&self, id: &SessionId, new: &SessionId, grace: Duration) -> Result<Outcome> {
        let hook = self.before_rotate.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        self.count(&self.calls.rotate)?;
        self.inner.rotate(id, new, grace)
    }

    fn destroy(&self, id: &SessionId) -> Result<Outcome> {
        self.count(&self.calls.destroy)?;
        self.inner.destroy(id)
    }

    fn all(&self) -> Result<Listing<'_>> {
        self.inner.all()
    }

    fn len(&self) -> Result<usize> {
        self.inner.len()
    }

    fn clock(&self) -> Clock {
        self.inner.clock()
    }
}

/// Sessions over a [`Probe`].
pub(crate) fn probed_sessions() -> (Sessions, Probe, ManualClock) {
    let (store, time) = manual_store();
    let probe = Probe::new(store);
    (Sessions::new(probe.clone()), probe, time)
}
