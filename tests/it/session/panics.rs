//! User code: a panic in it changes nothing, and no lock is held while it runs.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use crate::support::session::{HOUR, ends_soon, load_again, save_value, stored_session, validate};
use lembro::{LembroOptions, LembroStore, Saved, Session, SessionId, Sessions, Store};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

thread_local! {
    /// The action of the values below while they are written or read.
    static DURING: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

fn user_code_runs() {
    let hook = DURING.with_borrow_mut(Option::take);
    if let Some(mut hook) = hook {
        hook();
    }
}

/// Runs `work` with user code that calls `hook` once, where this crate runs it.
fn during<T>(hook: impl FnMut() + 'static, work: impl FnOnce() -> T) -> T {
    DURING.set(Some(Box::new(hook)));
    let result = work();
    assert!(DURING.take().is_none(), "user code was never called");
    result
}

fn panics<T>(work: impl FnOnce() -> T) {
    struct OnPurpose;
    let result = catch_unwind(AssertUnwindSafe(|| during(|| resume_unwind(Box::new(OnPurpose)), work)));
    DURING.take();
    assert!(result.err().is_some_and(|panic| panic.is::<OnPurpose>()), "it should have panicked");
}

#[derive(Default)]
struct Hooked(u64);

impl Serialize for Hooked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        user_code_runs();
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Hooked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        user_code_runs();
        u64::deserialize(deserializer).map(Self)
    }
}

fn shared_store() -> (LembroStore, Sessions) {
    // With one shard, all sessions are behind the same lock.
    let store = LembroStore::with_options(LembroOptions::new().shards(1).max_size("4M")).unwrap();
    (store.clone(), Sessions::new(store))
}

fn shown(session: &Session) -> Vec<(String, String)> {
    session.iter().unwrap().map(|(key, value)| (key.to_owned(), value.get().to_owned())).collect()
}

/// Expects that `work` leaves the session and the store as they were, and no lock taken.
fn unharmed(work: impl Fn(&mut Session)) {
    let (store, sessions) = shared_store();
    let mut session = stored_session(&sessions);
    save_value(&mut session, "count", &7);
    session.insert("unsaved", &1).unwrap();
    let id = session.id().unwrap();
    let (before, stats) = (shown(&session), store.stats());
    let stored = store.get(&id).unwrap().unwrap().record;

    work(&mut session);

    assert_eq!(shown(&session), before);
    assert!(session.is_changed() && !session.is_gone().unwrap());
    let now = store.get(&id).unwrap().unwrap().record;
    assert_eq!((now.version(), now), (stored.version(), stored));
    assert_eq!((store.stats().saved, store.bytes()), (stats.saved, stats.bytes));
    validate(&store);
    let elsewhere = sessions.clone();
    ends_soon(move || {
        let mut other = elsewhere.load(&id).unwrap().unwrap();
        save_value(&mut other, "other", &1);
    });
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_eq!(load_again(&sessions, &session).len().unwrap(), 4);
    validate(&store);
}

#[test]
fn panic_in_a_modify_changes_nothing() {
    unharmed(|session| {
        panics(|| {
            session.modify("count", |count: &mut Option<u64>| {
                *count = Some(1_000);
                user_code_runs();
            })
        });
    });
}

#[test]
fn panic_in_serialize_changes_nothing() {
    unharmed(|session| panics(|| session.insert("count", &Hooked(8))));
    unharmed(|session| panics(|| session.component("cart").insert("new", &Hooked(8))));
    unharmed(|session| panics(|| session.modify("absent", |count: &mut Option<Hooked>| *count = Some(Hooked(8)))));
}

#[test]
fn panic_in_deserialize_changes_nothing() {
    unharmed(|session| panics(|| session.get::<Hooked>("count").map(drop)));
    unharmed(|session| panics(|| session.take::<Hooked>("count").map(drop)));
    unharmed(|session| panics(|| session.modify("count", |_: &mut Option<Hooked>| ())));
}

#[test]
fn panic_in_a_handler_saves_nothing() {
    let (store, sessions) = shared_store();
    let session = stored_session(&sessions);
    let id = session.id().unwrap();
    let handler = {
        let sessions = sessions.clone();
        thread::spawn(move || {
            let mut session = sessions.load(&id).unwrap().unwrap();
            session.insert("user", "half done").unwrap();
            session.clear().unwrap();
            resume_unwind(Box::new("on purpose"));
        })
    };
    assert!(handler.join().is_err());
    validate(&store);
    assert_eq!(load_again(&sessions, &session).get_str("user").unwrap().as_deref(), Some("ada"));
    ends_soon(move || assert_eq!(load_again(&sessions, &session).touch().unwrap(), Saved::Written));
}

/// Calls every method that takes a lock, on this session and on others of the same shard.
fn use_everything(store: &LembroStore, sessions: &Sessions, id: SessionId) {
    let mut other = stored_session(sessions);
    assert!(store.get(&id).unwrap().is_some());
    assert!(store.len().unwrap() >= 2 && store.all().unwrap().count() >= 2);
    let mut same = sessions.load(&id).unwrap().unwrap();
    save_value(&mut same, "from inside", &1);
    assert_eq!(same.touch().unwrap(), Saved::Written);
    other.regenerate().unwrap();
    assert_eq!(other.save().unwrap(), Saved::Written);
    other.modify("count", |count: &mut Option<u64>| *count = Some(1)).unwrap();
    other.log_out().unwrap();
    drop((sessions.events(), sessions.errors(), store.events()));
    store.purge();
    validate(store);
}

/// The same again from a second thread, which also finds a reentrant lock.
fn use_everything_twice(store: &LembroStore, sessions: &Sessions, id: SessionId) {
    use_everything(store, sessions, id);
    let (store, sessions) = (store.clone(), sessions.clone());
    thread::spawn(move || use_everything(&store, &sessions, id)).join().unwrap();
}

fn free_of_locks(work: impl FnOnce(&mut Session) + Send + 'static) {
    ends_soon(move || {
        let (store, sessions) = shared_store();
        let mut session = stored_session(&sessions);
        save_value(&mut session, "count", &7);
        let id = session.id().unwrap();
        let (inner_store, inner_sessions) = (store.clone(), sessions.clone());
        during(move || use_everything_twice(&inner_store, &inner_sessions, id), || work(&mut session));
        assert!(!session.is_gone().unwrap());
        validate(&store);
    });
}

#[test]
fn no_lock_is_held_during_modify() {
    free_of_locks(|session| {
        let mut runs = 0;
        let result = session.modify("count", |count: &mut Option<u64>| {
            runs += 1;
            user_code_runs();
            *count = count.map(|count| count + 1);
        });
        // The user code saved to the same session, so the first attempt was overtaken.
        assert_eq!((result.unwrap(), runs), (Some(()), 2));
        assert_eq!(session.get::<u64>("count").unwrap(), Some(8));
        assert_eq!(session.get::<u64>("from inside").unwrap(), Some(1));
    });
}

#[test]
fn no_lock_is_held_during_serde() {
    free_of_locks(|session| session.insert("count", &Hooked(8)).unwrap());
    free_of_locks(|session| assert_eq!(session.get::<Hooked>("count").unwrap().unwrap().0, 7));
    free_of_locks(|session| assert_eq!(session.take::<Hooked>("count").unwrap().unwrap().0, 7));
    free_of_locks(|session| {
        session.modify("count", |count: &mut Option<Hooked>| *count = Some(Hooked::default())).unwrap();
    });
}

#[test]
fn no_lock_is_held_while_an_id_is_drawn() {
    ends_soon(|| {
        let (store, sessions) = shared_store();
        let plain = sessions.clone();
        let id = stored_session(&sessions).id().unwrap();
        let inner = store.clone();
        let own = sessions.id_source(move || {
            use_everything_twice(&inner, &plain, id);
            SessionId::random()
        });
        let mut session = own.generate().unwrap();
        save_value(&mut session, "a", &1);
        session.regenerate().unwrap();
        assert_eq!(session.save().unwrap(), Saved::Written);
        validate(&store);
    });
}

#[test]
fn modify_may_destroy_its_own_session() {
    ends_soon(|| {
        let (store, sessions) = shared_store();
        let mut session = stored_session(&sessions);
        let id = session.id().unwrap();
        let result = session.modify("user", |_: &mut Option<String>| {
            let _ = store.destroy(&id).unwrap();
        });
        assert_eq!(result.unwrap(), None);
        assert!(session.is_gone().unwrap());
        assert_eq!(store.len().unwrap(), 0);
        validate(&store);
    });
}

#[test]
fn open_listing_blocks_no_call() {
    ends_soon(|| {
        let (store, sessions) = shared_store();
        let session = stored_session(&sessions);
        stored_session(&sessions);
        let mut listing = store.all().unwrap();
        assert!(listing.next().unwrap().is_ok());
        use_everything_twice(&store, &sessions, session.id().unwrap());
        store.set(&SessionId::random().unwrap(), lembro::Record::new(), HOUR).unwrap();
        assert!(listing.count() >= 1);
    });
}
