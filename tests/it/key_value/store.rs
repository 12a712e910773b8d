//! The key-value store: the whole contract on several backends, its costs, owners and restarts.

#[path = "../../../examples/kv_files.rs"]
#[allow(dead_code, reason = "its `main` is not called here")]
mod kv_files;
#[path = "../../../examples/kv_sqlite.rs"]
#[allow(dead_code, reason = "its `main` is not called here")]
mod kv_sqlite;

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::support::key_values::{Call, Map};
use crate::support::scratch::Folder;
use crate::support::session::{save_login, save_value};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kv_files::Files;
use kv_sqlite::Sqlite;
use lembro::testing;
use lembro::{
    AtLimit, Clock, Commit, EndReason, Error, Identity, KeyValue, KeyValueStore, Lease, Limit, Login, ManualClock,
    Outcome, Owner, Owners as _, Result, SessionId, Sessions, Store,
};

/// The rules that need a list of all sessions, which no backend can give.
const SKIPPED: [&str; 5] = [
    "expired sessions are neither counted nor listed",
    "all lists and len counts every live session once",
    "sessions that their owner ended are neither counted nor listed",
    "lists give out the ids that open the sessions, or none, and those of owners none",
    "clear destroys every session",
];

#[track_caller]
fn keeps<S: Store>(time: &ManualClock, store: impl Fn() -> S) {
    let report = testing::check(time, store);
    assert!(report.is_kept(), "{report}");
    assert_eq!(report.skipped().map(|(rule, _)| rule.name()).collect::<Vec<_>>(), SKIPPED);
}

/// Runs the contract on one store, and on one that is reopened before each call. `data` creates
/// new, empty data, and returns a function that opens a backend on it.
#[track_caller]
fn keeps_reopened_too<K: KeyValue, D: Fn() -> K + Send + Sync + 'static>(data: impl Fn(&ManualClock) -> D) {
    let time = Clock::manual();
    keeps(&time, || KeyValueStore::with_clock(data(&time)(), &time));
    keeps(
        &time,
        testing::reopened(&time, || {
            let open = data(&time);
            move |clock: &Clock| KeyValueStore::with_clock(open(), clock.clone())
        }),
    );
}

fn shared(map: Map) -> impl Fn() -> Arc<Map> {
    let map = Arc::new(map);
    move || Arc::clone(&map)
}

#[test]
fn contract_on_a_map() {
    keeps_reopened_too(|_| shared(Map::default()));
}

#[test]
fn contract_on_a_map_that_expires() {
    keeps_reopened_too(|time| shared(Map::punctual(time)));
}

/// Paths that were not used before, in a folder in memory.
struct Paths(Folder, AtomicU32);

impl Paths {
    fn new() -> Self {
        Self(Folder::in_memory(), AtomicU32::new(0))
    }

    fn next(&self) -> PathBuf {
        self.0.join(self.1.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

#[test]
fn contract_on_files() {
    let paths = Paths::new();
    keeps_reopened_too(|_| {
        let folder = paths.next();
        move || Files::open(folder.clone()).unwrap()
    });
}

#[test]
fn contract_on_a_database_table() {
    let paths = Paths::new();
    keeps_reopened_too(|_| {
        let file = paths.next();
        move || Sqlite::open(&file).unwrap()
    });
}

#[test]
fn examples_remove_only_expired_entries() {
    let (folder, hour) = (Folder::new(), Duration::from_secs(60 * 60));
    let files = Files::open(folder.to_path_buf()).unwrap();
    for key in ["over", "kept"] {
        files.set(key, b"bytes", hour).unwrap();
    }
    let ago = |span| SystemTime::now() - span;
    File::options().append(true).open(folder.join("over")).unwrap().set_modified(ago(2 * hour)).unwrap();
    fs::write(folder.join("crashed.new"), b"half").unwrap();
    files.purge().unwrap();
    assert_eq!(folder.names(), ["crashed.new", "kept"]);
    File::options().append(true).open(folder.join("crashed.new")).unwrap().set_modified(ago(2 * hour)).unwrap();
    files.purge().unwrap();
    assert_eq!(folder.names(), ["kept"]);

    let sqlite = Sqlite::open(Path::new(":memory:")).unwrap();
    sqlite.set("over", b"bytes", Duration::ZERO).unwrap();
    sqlite.set("kept", b"bytes", hour).unwrap();
    assert_eq!(sqlite.purge().unwrap(), 1);
    assert_eq!((sqlite.get("over").unwrap(), sqlite.get("kept").unwrap()), (None, Some(b"bytes".to_vec())));
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

type MapStore = KeyValueStore<Arc<Map>>;

fn on_a_map() -> (MapStore, Arc<Map>, ManualClock) {
    let time = Clock::manual();
    let map = Arc::new(Map::punctual(&time));
    (KeyValueStore::with_clock(Arc::clone(&map), &time), map, time)
}

fn ada() -> Owner {
    Owner::new("ada").unwrap()
}

fn log_in(store: &impl Store, login: Login, minutes: u32) -> (SessionId, Outcome) {
    let id = SessionId::random().unwrap();
    let commit = Commit::create().unwrap().log_in(login);
    (id, store.commit(&id, &commit, &Lease::new(minutes * MINUTE)).unwrap())
}

#[test]
fn keys_are_short_and_hold_no_id() {
    let (store, map, _) = on_a_map();
    let name = "Ada Lovelace, \u{e9}".repeat(14);
    let (id, outcome) = log_in(&store, Login::new(Owner::new(&name).unwrap()), 1);
    assert!(outcome.is_done());
    let keys = map.keys();
    let [owner, session] = &keys[..] else { panic!("{keys:?}") };
    assert_eq!(session, &format!("lembro-session-{:016x}", id.handle().to_u64()));
    assert!(owner.starts_with("lembro-owner-") && owner.len() == 77);
    for key in &keys {
        assert!(key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'), "{key}");
        let bytes = map.bytes(key).unwrap();
        // The secret is the last 16 bytes of the 24 of an id.
        let text = id.expose();
        let secret = URL_SAFE_NO_PAD.decode(&text).unwrap().split_off(8);
        assert!(!bytes.windows(16).any(|part| part == secret), "{key}");
        assert!(!bytes.windows(21).any(|part| part == &text.as_bytes()[11..]), "{key}");
    }
}

#[test]
fn sessions_live_on_three_methods() {
    let (store, _, _) = on_a_map();
    let sessions = Sessions::new(store);
    let mut session = sessions.generate().unwrap();
    save_value(&mut session, "cart", "tea");
    let old = session.id().unwrap();
    let mut session = sessions.load(&old).unwrap().unwrap();
    session.regenerate().unwrap();
    session.modify("visits", |visits: &mut Option<u32>| *visits.get_or_insert(0) += 1).unwrap();
    assert!(sessions.load(&old).unwrap().is_none());
    let mut session = sessions.load(&session.id().unwrap()).unwrap().unwrap();
    assert_eq!(session.get_str("cart").unwrap().as_deref(), Some("tea"));
    session.log_out().unwrap();
    assert!(sessions.load(&session.id().unwrap()).unwrap().is_none());
    let id = SessionId::random().unwrap();
    let record = [("cart", "cups")].into_iter().collect();
    sessions.create_session(&id, record).unwrap();
    assert!(sessions.load(&id).unwrap().is_some());
    assert!(sessions.store().all().is_err_and(|error| error.is_unsupported()));
}

#[test]
fn requests_cost_the_documented_calls() {
    use Call::{Get, Set};
    let (store, map, time) = on_a_map();
    let lease = Lease { touch_after: MINUTE, ..Lease::new(60 * MINUTE) };
    let (id, _) = log_in(&store, Login::new(ada()), 60);
    assert_eq!(map.calls(), [Get, Get, Set, Set]);
    let version = store.visit(&id, &lease).unwrap().found().unwrap().record.version();
    assert_eq!(map.calls(), [Get]);
    time.advance(2 * MINUTE);
    store.visit(&id, &lease).unwrap();
    assert_eq!(map.calls(), [Get, Get, Set]);
    assert!(store.commit(&id, &Commit::merge(version).unwrap(), &lease).unwrap().is_done());
    assert_eq!(map.calls(), [Get, Set]);
}

#[test]
fn log_out_everywhere_reaches_prolonged_sessions() {
    let (store, map, time) = on_a_map();
    let (id, _) = log_in(&store, Login::new(ada()), 10);
    for _ in 0..100 {
        time.advance(9 * MINUTE);
        assert!(store.visit(&id, &Lease::new(10 * MINUTE)).unwrap().found().is_some());
    }
    // The owner's entry was written less than once per idle timeout.
    let sets = map.calls().into_iter().filter(|call| *call == Call::Set).count();
    assert!(sets < 170, "{sets} sets for 100 visits");
    assert_eq!(store.count(&ada()).unwrap(), 1);
    assert_eq!(store.destroy_all(&ada(), None).unwrap(), 1);
    assert!(store.get(&id).unwrap().is_none());
}

#[test]
fn epochs_are_kept_for_a_day() {
    let (store, map, time) = on_a_map();
    let begun = store.epoch(&ada()).unwrap();
    store.destroy_all(&ada(), None).unwrap();
    let store = KeyValueStore::with_clock(map, time.restarted());
    let first = store.epoch(&ada()).unwrap();
    assert!(first > begun);
    let late = Login { begun: Some(begun), ..Login::new(ada()) };
    time.advance(DAY);
    assert_eq!(log_in(&store, late, 1).1, Outcome::LoginRevoked);
    time.advance(MINUTE);
    // The entry is no longer kept, and the next epoch is still larger than that of any login.
    assert!(store.epoch(&ada()).unwrap() < first);
    store.destroy_all(&ada(), None).unwrap();
    let second = store.epoch(&ada()).unwrap();
    store.destroy_all(&ada(), None).unwrap();
    assert!(first < second && second < store.epoch(&ada()).unwrap());
}

#[test]
fn ended_sessions_leave_the_owners_entry() {
    let (store, map, time) = on_a_map();
    let owner_bytes = || map.bytes(map.keys().iter().find(|key| key.contains("owner")).unwrap()).unwrap().len();
    let live: Vec<_> = (0..3).map(|_| log_in(&store, Login::new(ada()), 600).0).collect();
    for _ in 0..50 {
        let (id, _) = log_in(&store, Login::new(ada()), 1);
        assert!(store.destroy(&id).unwrap().is_done());
        assert!(log_in(&store, Login::new(ada()), 1).1.is_done());
        time.advance(MINUTE);
    }
    // 21 bytes, and 8 for each of at most 8 handles.
    assert!(owner_bytes() <= 21 + 8 * 8, "{} bytes", owner_bytes());
    let calls = map.calls().len();
    assert!(calls < 100 * 8, "{calls} calls for 103 logins");
    assert_eq!(store.count(&ada()).unwrap(), live.len());
    assert_eq!(store.destroy_all(&ada(), None).unwrap(), live.len());
}

#[test]
fn failed_logins_leave_harmless_handles() {
    let (store, map, _) = on_a_map();
    let limit = Some(Limit { max: 1, at_limit: AtLimit::RefuseNewest });
    let commit = || Commit::create().unwrap().log_in(Login { limit, ..Login::new(ada()) });
    let (id, lease) = (SessionId::random().unwrap(), Lease::new(MINUTE));
    // The calls: get the owner's entry, the session's for the trial and for the step; set both.
    map.fail(4, testing::When::Before);
    let refused = store.commit(&id, &commit(), &lease).unwrap_err();
    assert!(map.heal() && refused.is_store() && !refused.is_unknown());
    map.fail(5, testing::When::Before);
    assert!(store.commit(&id, &commit(), &lease).unwrap_err().is_unknown());
    assert!(map.heal() && map.keys().len() == 1);
    assert_eq!((store.count(&ada()).unwrap(), store.destroy_all(&ada(), None).unwrap()), (0, 0));
    assert!(store.commit(&SessionId::random().unwrap(), &commit(), &lease).unwrap().is_done());
}

#[test]
fn unreadable_entries_block_no_login() {
    let (store, map, _) = on_a_map();
    let limit = Some(Limit { max: 1, at_limit: AtLimit::EndOldest });
    let (id, _) = log_in(&store, Login::new(ada()), 1);
    let key = map.keys().into_iter().find(|key| key.contains("session")).unwrap();
    map.put(&key, b"torn");
    assert!(store.get(&id).unwrap_err().is_corrupt());
    let (other, outcome) = log_in(&store, Login { limit, ..Login::new(ada()) }, 1);
    assert!(outcome.is_done() && store.count(&ada()).unwrap() == 1);
    assert_eq!(store.destroy_all(&ada(), None).unwrap(), 1);
    // The entry is removed.
    assert!(map.bytes(&key).is_none() && store.get(&other).unwrap().is_none());
    assert_eq!(store.end_reason(&other).unwrap(), Some(EndReason::LoggedOutEverywhere));
}

#[test]
fn race_requests_of_one_user_lose_nothing() {
    let (store, _, _) = on_a_map();
    let sessions = Sessions::new(store);
    let mut session = sessions.generate().unwrap();
    save_login(&mut session, "ada");
    let id = session.id().unwrap();
    thread::scope(|scope| {
        for thread in 0..4 {
            let sessions = &sessions;
            scope.spawn(move || {
                for turn in 0..50 {
                    let mut session = sessions.load(&id).unwrap().unwrap();
                    save_value(&mut session, &format!("{thread}.{turn}"), &turn);
                    session.modify("sum", |sum: &mut Option<u32>| *sum.get_or_insert(0) += 1).unwrap().unwrap();
                }
            });
        }
    });
    let session = sessions.load(&id).unwrap().unwrap();
    assert_eq!((session.get("sum").unwrap(), session.keys().unwrap().count()), (Some(200_u32), 201));
}

#[test]
fn race_visits_beside_log_out_everywhere() {
    let (store, _, _) = on_a_map();
    for _ in 0..50 {
        let ids: Vec<_> = (0..4).map(|_| log_in(&store, Login::new(ada()), 1).0).collect();
        let begun = Some(store.epoch(&ada()).unwrap());
        thread::scope(|scope| {
            for id in &ids {
                let store = &store;
                // Each prolongs its session beyond the owner's entry, so it needs the owner's lock.
                scope.spawn(move || store.visit(id, &Lease::new(600 * MINUTE)).unwrap());
                scope.spawn(move || {
                    let Some(found) = store.get(id).unwrap() else { return };
                    let replace = Identity::Replace(id.renewed(&SessionId::random().unwrap()));
                    let commit = Commit::merge(found.record.version()).unwrap().with_identity(replace);
                    let login = Login { begun, ..Login::new(ada()) };
                    let _ = store.commit(id, &commit.log_in(login), &Lease::new(600 * MINUTE)).unwrap();
                });
            }
            scope.spawn(|| store.destroy_all(&ada(), None).unwrap());
        });
        assert_eq!(store.count(&ada()).unwrap(), 0);
        assert!(ids.iter().all(|id| store.get(id).unwrap().is_none()));
    }
}

/// A map whose `set` first calls a function.
struct BeforeSet<F>(Map, F);

impl<F: Fn() -> Result<()> + Send + Sync + 'static> KeyValue for BeforeSet<F> {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.0.get(key)
    }
    fn set(&self, key: &str, bytes: &[u8], ttl: Duration) -> Result<()> {
        (self.1)()?;
        self.0.set(key, bytes, ttl)
    }
    fn remove(&self, key: &str) -> Result<()> {
        self.0.remove(key)
    }
}

#[test]
fn visits_to_a_full_backend_become_peeks() {
    static IS_FULL: AtomicBool = AtomicBool::new(false);
    let set = || if IS_FULL.load(Ordering::Relaxed) { Err(Error::full()) } else { Ok(()) };
    let time = Clock::manual();
    let sessions = Sessions::new(KeyValueStore::with_clock(BeforeSet(Map::default(), set), &time));
    let mut session = sessions.generate().unwrap();
    save_value(&mut session, "cart", "tea");
    time.advance(10 * MINUTE);
    IS_FULL.store(true, Ordering::Relaxed);
    let mut session = sessions.load(&session.id().unwrap()).unwrap().unwrap();
    assert_eq!(session.get_str("cart").unwrap().as_deref(), Some("tea"));
    session.insert("cart", "cups").unwrap();
    assert!(session.save().unwrap_err().is_full());
}

#[test]
fn log_out_everywhere_continues_after_a_failure() {
    let (store, map, _) = on_a_map();
    let ids: Vec<_> = (0..4).map(|_| log_in(&store, Login::new(ada()), 1).0).collect();
    // The owner's entry is read and written, then the first session's entry is read.
    map.fail(4, testing::When::Before);
    assert!(store.destroy_all(&ada(), None).is_err() && map.heal());
    let left: Vec<_> = ids.iter().map(|id| store.get(id).unwrap().is_some()).collect();
    assert_eq!(left, [true, false, false, false]);
    assert_eq!(store.destroy_all(&ada(), None).unwrap(), 1);
}

#[test]
fn pruned_sessions_do_not_come_back() {
    let time = Clock::manual();
    // The backend keeps expired entries.
    let store = KeyValueStore::with_clock(Map::default(), &time);
    let (old, _) = log_in(&store, Login::new(ada()), 1);
    time.advance(2 * MINUTE);
    for _ in 0..10 {
        assert!(log_in(&store, Login::new(ada()), 10).1.is_done());
    }
    time.set_wall(Clock::from(&time).wall() - 2 * MINUTE);
    let is_back = store.get(&old).unwrap().is_some();
    store.destroy_all(&ada(), None).unwrap();
    assert!(!is_back && store.get(&old).unwrap().is_none());
}

#[test]
fn panicking_backend_leaves_no_lock() {
    let sets = AtomicU32::new(0);
    let set = move || {
        assert!(sets.fetch_add(1, Ordering::Relaxed) > 1, "the driver's own");
        Ok(())
    };
    let store = KeyValueStore::new(BeforeSet(Map::default(), set));
    let id = SessionId::random().unwrap();
    let create = Commit::create().unwrap().log_in(Login::new(ada()));
    for _ in 0..2 {
        assert!(catch_unwind(AssertUnwindSafe(|| store.commit(&id, &create, &Lease::new(MINUTE)))).is_err());
    }
    assert!(store.commit(&id, &create, &Lease::new(MINUTE)).unwrap().is_done());
    assert_eq!(store.count(&ada()).unwrap(), 1);
}
