//! Helpers of the tests of sessions: a store under a manual clock, a probe that counts calls and
//! fails on demand, and a store of rows.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use crossbeam_channel::Sender;
use lembro::{
    Action, Clock, Entry, Error, Event, Expect, Handle, Lease, LembroOptions, LembroStore, Listing, Look, Lookup,
    ManualClock, Now, Outcome, Owners, Result, Saved, Session, SessionId, Sessions, Store, Write,
};
use serde::Serialize;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);

/// A store of four mebibytes, without a reaper, under a manual clock.
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

/// Checks that every counter, queue and index of the store agrees.
#[track_caller]
pub(crate) fn validate(store: &LembroStore) {
    #[cfg(feature = "testing")]
    store.validate().unwrap();
    let _ = store;
}

/// Adds one to a counter, for `modify`.
pub(crate) fn increment(count: &mut Option<u64>) -> u64 {
    let count = count.get_or_insert(0);
    *count += 1;
    *count
}

/// A stored session with `user` in it.
pub(crate) fn stored_session(sessions: &Sessions) -> Session {
    let mut session = sessions.generate().unwrap();
    save_value(&mut session, "user", "ada");
    session
}

/// A stored session in a store under a manual clock.
pub(crate) fn manual_session() -> (Sessions, Session, LembroStore, ManualClock) {
    let (sessions, store, time) = manual_sessions();
    let session = stored_session(&sessions);
    (sessions, session, store, time)
}

/// Inserts a value and saves it.
#[track_caller]
pub(crate) fn save_value<T: Serialize + ?Sized>(session: &mut Session, key: &str, value: &T) {
    session.insert(key, value).unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
}

/// Logs a user in and saves that.
#[track_caller]
pub(crate) fn save_login(session: &mut Session, user: &str) {
    session.log_in(user).unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
}

/// A second handle on the same session.
#[track_caller]
pub(crate) fn load_again(sessions: &Sessions, session: &Session) -> Session {
    sessions.load(&session.id().unwrap()).unwrap().expect("the session is stored")
}

/// Runs `work` and fails if it takes a minute, so that a deadlock does not hang the build.
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

/// The numbers of calls to a [`Probe`], by kind.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) visit: AtomicUsize,
    pub(crate) peek: AtomicUsize,
    pub(crate) create: AtomicUsize,
    pub(crate) commit: AtomicUsize,
    pub(crate) touch: AtomicUsize,
    pub(crate) destroy: AtomicUsize,
}

impl Calls {
    /// Returns all numbers and sets them to zero.
    pub(crate) fn take(&self) -> [(&'static str, usize); 6] {
        [
            ("visit", &self.visit),
            ("peek", &self.peek),
            ("create", &self.create),
            ("commit", &self.commit),
            ("touch", &self.touch),
            ("destroy", &self.destroy),
        ]
        .map(|(name, count)| (name, count.swap(0, Ordering::SeqCst)))
    }

    /// Returns the numbers that are not zero, and sets them to zero.
    pub(crate) fn happened(&self) -> Vec<(&'static str, usize)> {
        self.take().into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

/// The way in which a [`Probe`] fails a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The commit fails and is not carried out.
    Refused,
    /// The request is lost: the outcome is unknown, and the commit is not carried out.
    RequestLost,
    /// The reply is lost: the outcome is unknown, and the commit is carried out.
    ReplyLost,
}

/// A store around another one that counts calls, fails on demand, and runs a hook before a commit.
#[derive(Clone)]
pub(crate) struct Probe {
    inner: Arc<dyn Store>,
    pub(crate) calls: Arc<Calls>,
    broken: Arc<AtomicBool>,
    before_commit: Arc<Mutex<Option<Hook>>>,
    next_commits: Arc<Mutex<VecDeque<Fault>>>,
}

impl Probe {
    pub(crate) fn new(inner: impl Store) -> Self {
        Self {
            inner: Arc::new(inner),
            calls: Arc::default(),
            broken: Arc::default(),
            before_commit: Arc::default(),
            next_commits: Arc::default(),
        }
    }

    /// Makes every call fail, or none.
    pub(crate) fn break_down(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    /// Runs `hook` once, before the next commit reaches the store.
    pub(crate) fn before_next_commit(&self, hook: impl FnOnce() + Send + 'static) {
        *self.before_commit.lock().unwrap() = Some(Box::new(hook));
    }

    /// Gives the next commits these faults.
    pub(crate) fn fail_next_commits(&self, faults: impl IntoIterator<Item = Fault>) {
        *self.next_commits.lock().unwrap() = faults.into_iter().collect();
    }

    fn count(&self, counter: &AtomicUsize) -> Result<()> {
        counter.fetch_add(1, Ordering::SeqCst);
        if self.broken.load(Ordering::SeqCst) { Err(Error::store("unplugged")) } else { Ok(()) }
    }

    fn counter(&self, action: &Action<'_>) -> &AtomicUsize {
        match action {
            Action::Commit(commit) if commit.expect() == Expect::Absent => &self.calls.create,
            Action::Commit(_) | Action::Put(..) => &self.calls.commit,
            Action::Touch(_) => &self.calls.touch,
            Action::End(_) => &self.calls.destroy,
        }
    }
}

impl Store for Probe {
    fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        self.count(if how == Look::Visit { &self.calls.visit } else { &self.calls.peek })?;
        self.inner.look(id, how, lease)
    }

    fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        let mut fault = None;
        if let Action::Commit(_) = action {
            if let Some(hook) = { self.before_commit.lock().unwrap().take() } {
                hook();
            }
            fault = self.next_commits.lock().unwrap().pop_front();
        }
        self.count(self.counter(action))?;
        let outcome = match fault {
            None => return self.inner.apply(id, action, lease),
            Some(Fault::Refused) => return Err(Error::store("refused")),
            Some(Fault::RequestLost) => Ok(()),
            Some(Fault::ReplyLost) => self.inner.apply(id, action, lease).map(drop),
        };
        outcome.and(Err(Error::unknown(id.handle())))
    }

    fn all(&self) -> Result<Listing<'_>> {
        self.inner.all()
    }

    fn len(&self) -> Result<usize> {
        self.inner.len()
    }

    fn owners(&self) -> Option<&dyn Owners> {
        self.inner.owners()
    }

    fn clock(&self) -> Clock {
        self.inner.clock()
    }

    fn send_events(&self, to: Sender<Event>) {
        self.inner.send_events(to);
    }

    fn send_errors(&self, to: Sender<Error>) {
        self.inner.send_errors(to);
    }
}

/// Sessions over a [`Probe`].
pub(crate) fn probed_sessions() -> (Sessions, Probe, ManualClock) {
    let (store, time) = manual_store();
    let probe = Probe::new(store);
    (Sessions::new(probe.clone()), probe, time)
}

/// A stored session over a [`Probe`].
pub(crate) fn probed_session() -> (Sessions, Session, Probe, ManualClock) {
    let (sessions, probe, time) = probed_sessions();
    let session = stored_session(&sessions);
    (sessions, session, probe, time)
}

/// A store of rows. Like a store outside the process, it keeps the nonces of the last commits.
pub(crate) struct RowStore {
    rows: Mutex<HashMap<Handle, Entry>>,
    time: ManualClock,
}

impl RowStore {
    pub(crate) fn new(time: &ManualClock) -> Self {
        Self { rows: Mutex::default(), time: time.clone() }
    }

    /// Sessions over a [`Probe`] around a store of rows.
    pub(crate) fn probed_sessions() -> (Sessions, Probe) {
        let probe = Probe::new(Self::new(&Clock::manual()));
        (Sessions::new(probe.clone()), probe)
    }

    fn keep(rows: &mut HashMap<Handle, Entry>, id: &SessionId, write: Write) {
        match write {
            Write::Nothing => {}
            Write::Put(row) => drop(rows.insert(id.handle(), row)),
            Write::Remove => drop(rows.remove(&id.handle())),
        }
    }
}

impl Store for RowStore {
    fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        let mut rows = self.rows.lock().unwrap();
        let (lookup, write) = Entry::look(rows.get(&id.handle()), id, how, lease, Now::of(&self.clock()));
        Self::keep(&mut rows, id, write);
        Ok(lookup)
    }

    fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        let mut rows = self.rows.lock().unwrap();
        let (outcome, write) = Entry::apply(rows.get(&id.handle()), id, action, lease, Now::of(&self.clock()), None)?;
        Self::keep(&mut rows, id, write);
        Ok(outcome)
    }

    fn len(&self) -> Result<usize> {
        Ok(self.rows.lock().unwrap().len())
    }

    fn clock(&self) -> Clock {
        Clock::from(&self.time)
    }
}
