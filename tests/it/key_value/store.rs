//! Promise: a store on a backend of three methods keeps the whole contract, owners included, also
//! over a restart.

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
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kv_files::Files;
use kv_sqlite::Sqlite;
use lembro::testing;
use lembro::{
    AtLimit, Clock, Commit, EndReason, Error, Identity, KeyValue, KeyValueStore, Lease, Limit, Login, ManualClock,
    Outcome, Owner, Owners as _, Result, Saved, SessionId, Sessions, Store,
};

/// The rules that need a list of all sessions, which three methods cannot give.
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

/// Runs it on one store, and on one that is opened again before each call. `data` makes new, empty
/// data; what it returns opens a backend on them.
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
fn on_a_map_that_keeps_everything_the_contract_holds() {
    keeps_reopened_too(|_| shared(Map::default()));
}

#[test]
fn on_a_map_that_drops_each_entry_when_its_time_is_over_the_contract_holds() {
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
fn on_files_in_a_folder_the_contract_holds() {
    let paths = Paths::new();
    keeps_reopened_too(|_| {
        let folder = paths.next();
        move || Files::open(folder.clone()).unwrap()
    });
}

#[test]
fn on_a_table_of_a_database_the_contract_holds() {
    let paths = Paths::new();
    keeps_reopened_too(|_| {
        let file = paths.next();
        move || Sqlite::open(&file).unwrap()
    });
}

#[test]
fn the_examples_remove_what_is_over_and_nothing_else() {
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
fn a_key_is_short_and_plain_and_holds_neither_an_id_nor_a_name() {
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
fn sessions_on_three_methods_have_their_whole_life() {
    let (store, _, _) = on_a_map();
    let sessions = Sessions::new(store);
    let mut session = sessions.generate().unwrap();
    session.insert("cart", "tea").unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
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
fn a_request_costs_the_calls_that_the_documentation_names() {
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
fn log_out_everywhere_reaches_a_session_however_long_it_was_prolonged() {
    let (store, map, time) = on_a_map();
    let (id, _) = log_in(&store, Login::new(ada()), 10);
    for _ in 0..100 {
        time.advance(9 * MINUTE);
        assert!(store.visit(&id, &Lease::new(10 * MINUTE)).unwrap().found().is_some());
    }
    // The owner's entry was written again about as often as half of its time had passed twice.
    let sets = map.calls().into_iter().filter(|call| *call == Call::Set).count();
    assert!(sets < 170, "{sets} sets for 100 visits");
    assert_eq!(store.count(&ada()).unwrap(), 1);
    assert_eq!(store.destroy_all(&ada(), None).unwrap(), 1);
    assert!(store.get(&id).unwrap().is_none());
}

#[test]
fn an_epoch_is_kept_for_a_day_and_never_goes_back() {
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
    // Now nothing of it is kept, and still the next one is larger than any that a login began in.
    assert!(store.epoch(&ada()).unwrap() < first);
    store.destroy_all(&ada(), None).unwrap();
    let second = store.epoch(&ada()).unwrap();
    store.destroy_all(&ada(), None).unwrap();
    assert!(first < second && second < store.epoch(&ada()).unwrap());
}

#[test]
fn handles_of_sessions_that_ended_leave_an_owners_list() {
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
fn a_login_that_fails_behind_the_owners_list_leaves_a_handle_that_counts_for_nothing() {
    let (store, map, _) = on_a_map();
    let limit = Some(Limit { max: 1, at_limit: AtLimit::RefuseNewest });
    let commit = || Commit::create().unwrap().log_in(Login { limit, ..Login::new(ada()) });
    let (id, lease) = (SessionId::random().unwrap(), Lease::new(MINUTE));
    // The owner's entry, the trial, the session's entry, the owner's again, and the session itself.
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
fn an_entry_that_cannot_be_read_blocks_neither_a_login_nor_log_out_everywhere() {
    let (store, map, _) = on_a_map();
    let limit = Some(Limit { max: 1, at_limit: AtLimit::EndOldest });
    let (id, _) = log_in(&store, Login::new(ada()), 1);
    let key = map.keys().into_iter().find(|key| key.contains("session")).unwrap();
    map.put(&key, b"torn");
    assert!(store.get(&id).unwrap_err().is_corrupt());
    let (other, outcome) = log_in(&store, Login { limit, ..Login::new(ada()) }, 1);
    assert!(outcome.is_done() && store.count(&ada()).unwrap() == 1);
    assert_eq!(store.destroy_all(&ada(), None).unwrap(), 1);
    // It is gone for good, and not just unread.
    assert!(map.bytes(&key).is_none() && store.get(&other).unwrap().is_none());
    assert_eq!(store.why_ended(&other).unwrap(), Some(EndReason::Everywhere));
}

#[test]
fn requests_of_one_user_at_once_lose_nothing() {
    let (store, _, _) = on_a_map();
    let sessions = Sessions::new(store);
    let mut session = sessions.generate().unwrap();
    session.log_in("ada").unwrap();
    session.save().unwrap();
    let id = session.id().unwrap();
    thread::scope(|scope| {
        for thread in 0..4 {
            let sessions = &sessions;
            scope.spawn(move || {
                for turn in 0..50 {
                    let mut session = sessions.load(&id).unwrap().unwrap();
                    session.insert(&format!("{thread}.{turn}"), &turn).unwrap();
                    session.save().unwrap();
                    session.modify("sum", |sum: &mut Option<u32>| *sum.get_or_insert(0) += 1).unwrap().unwrap();
                }
            });
        }
    });
    let session = sessions.load(&id).unwrap().unwrap();
    assert_eq!((session.get("sum").unwrap(), session.keys().unwrap().count()), (Some(200_u32), 201));
}

#[test]
fn a_visit_that_prolongs_beside_log_out_everywhere_brings_no_session_back() {
    let (store, _, _) = on_a_map();
    for _ in 0..50 {
        let ids: Vec<_> = (0..4).map(|_| log_in(&store, Login::new(ada()), 1).0).collect();
        let begun = Some(store.epoch(&ada()).unwrap());
        thread::scope(|scope| {
            for id in &ids {
                let store = &store;
                // Each outlives its owner's entry, so it needs the owner's lock, too.
                scope.spawn(move || store.visit(id, &Lease::new(600 * MINUTE)).unwrap());
                scope.spawn(move || {
                    let Some(found) = store.get(id).unwrap() else { return };
                    let replace = Identity::Replace(id.renewed(&SessionId::random().unwrap()));
                    let commit = Commit::merge(found.record.version()).unwrap().identity(replace);
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

#[test]
fn a_visit_that_a_full_backend_refuses_to_note_is_served_as_a_peek() {
    struct Full(Map, AtomicBool);
    impl KeyValue for Full {
        fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
            self.0.get(key)
        }
        fn set(&self, key: &str, bytes: &[u8], ttl: Duration) -> Result<()> {
            if self.1.load(Ordering::Relaxed) { Err(Error::full()) } else { self.0.set(key, bytes, ttl) }
        }
        fn remove(&self, key: &str) -> Result<()> {
            self.0.remove(key)
        }
    }
    let (time, backend) = (Clock::manual(), Arc::new(Full(Map::default(), AtomicBool::new(false))));
    let sessions = Sessions::new(KeyValueStore::with_clock(Arc::clone(&backend), &time));
    let mut session = sessions.generate().unwrap();
    session.insert("cart", "tea").unwrap();
    session.save().unwrap();
    time.advance(10 * MINUTE);
    backend.1.store(true, Ordering::Relaxed);
    let mut session = sessions.load(&session.id().unwrap()).unwrap().unwrap();
    assert_eq!(session.get_str("cart").unwrap().as_deref(), Some("tea"));
    session.insert("cart", "cups").unwrap();
    assert!(session.save().unwrap_err().is_full());
}

#[test]
fn a_session_that_cannot_be_ended_keeps_no_other_one_from_log_out_everywhere() {
    let (store, map, _) = on_a_map();
    let ids: Vec<_> = (0..4).map(|_| log_in(&store, Login::new(ada()), 1).0).collect();
    // The owner's entry is read and written, then that of the first session is read.
    map.fail(4, testing::When::Before);
    assert!(store.destroy_all(&ada(), None).is_err() && map.heal());
    let left: Vec<_> = ids.iter().map(|id| store.get(id).unwrap().is_some()).collect();
    assert_eq!(left, [true, false, false, false]);
    assert_eq!(store.destroy_all(&ada(), None).unwrap(), 1);
}

#[test]
fn a_session_that_left_its_owners_list_stays_away_when_the_calendar_is_set_back() {
    let time = Clock::manual();
    // It keeps what has expired.
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
fn a_backend_that_panics_leaves_no_lock_behind() {
    struct Panics(Map, AtomicU32);
    impl KeyValue for Panics {
        fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
            self.0.get(key)
        }
        fn set(&self, key: &str, bytes: &[u8], ttl: Duration) -> Result<()> {
            assert!(self.1.fetch_add(1, Ordering::Relaxed) > 1, "the driver's own");
            self.0.set(key, bytes, ttl)
        }
        fn remove(&self, key: &str) -> Result<()> {
            self.0.remove(key)
        }
    }
    let store = KeyValueStore::new(Panics(Map::default(), AtomicU32::new(0)));
    let id = SessionId::random().unwrap();
    let create = Commit::create().unwrap().log_in(Login::new(ada()));
    for _ in 0..2 {
        assert!(catch_unwind(AssertUnwindSafe(|| store.commit(&id, &create, &Lease::new(MINUTE)))).is_err());
    }
    assert!(store.commit(&id, &create, &Lease::new(MINUTE)).unwrap().is_done());
    assert_eq!(store.count(&ada()).unwrap(), 1);
}
