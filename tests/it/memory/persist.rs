//! Restarts: every acknowledged session is restored, and no ended one is.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lembro::{
    Changes, Clock, EndReason, Event, Lease, LembroOptions, LembroStore, Lookup, ManualClock, Outcome, Presented,
    Record, SessionId, Store,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::scratch::Folder;
use crate::support::steps::{
    create, create_for, create_owned, exactly, found, is_there, login, new_id, owner, owners, presented, renew,
    renewed, renewing, replace, replacement, save, touch, version_of,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn options(time: &ManualClock) -> LembroOptions {
    LembroOptions::new().interval(0).max_size("4M").clock(time)
}

/// A store with files, and the stores of later processes that read them.
struct Restart {
    folder: Folder,
    time: ManualClock,
    store: LembroStore,
}

impl Restart {
    fn new() -> Self {
        Self::of(|options| options)
    }

    fn of(set: impl Fn(LembroOptions) -> LembroOptions) -> Self {
        let (time, folder) = (Clock::manual(), Folder::in_memory());
        // The clock of the next process begins at another instant.
        time.advance(7 * HOUR);
        let store = LembroStore::with_options(set(options(&time)).persist(folder.join("sessions"))).unwrap();
        Self { folder, time, store }
    }

    fn after(&self, down: Duration) -> (LembroStore, ManualClock, Folder) {
        self.with(down, |options| options)
    }

    /// The store after a crash, or after `close` if the store was closed.
    fn with(&self, down: Duration, set: impl Fn(LembroOptions) -> LembroOptions) -> (LembroStore, ManualClock, Folder) {
        let (folder, time) = (self.folder.image(), Clock::manual());
        time.set_wall(Clock::from(&self.time).wall() + down);
        let store = LembroStore::with_options(set(options(&time)).persist(folder.join("sessions"))).unwrap();
        store.validate().unwrap();
        (store, time, folder)
    }
}

fn record(entries: &[(&str, &str, Value)]) -> Record {
    let mut changes = Changes::new();
    for (component, key, value) in entries {
        changes.insert(component, key, value).unwrap();
    }
    changes.apply(&Record::new()).unwrap()
}

fn user(name: &str) -> Record {
    record(&[("", "user", json!(name))])
}

/// Whether the store has the whole id. Otherwise it has the digest of the secret.
fn is_known(store: &LembroStore, id: &SessionId) -> bool {
    let listed = store.all().unwrap().map(Result::unwrap).find(|listed| listed.handle == id.handle()).unwrap();
    assert!(listed.id.is_none_or(|known| known == *id));
    listed.id.is_some()
}

#[derive(Clone, Debug)]
struct Spec {
    entries: Vec<(u8, u8, Value)>,
    owner: Option<u8>,
    timeout: Option<u32>,
    ttl: u64,
    saves: u8,
    visited: bool,
    rotated: bool,
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(|number| json!(number)),
        ".{0,40}".prop_map(|text| json!(text)),
        prop::collection::vec(any::<bool>(), 0..4).prop_map(|list| json!({ "list": list })),
    ]
}

fn spec() -> impl Strategy<Value = Spec> {
    let entries = prop::collection::vec((0..3_u8, 0..4_u8, value()), 0..6);
    let marks = (any::<bool>(), any::<bool>());
    (entries, prop::option::of(0..3_u8), prop::option::of(1..1_000_000_u32), 1..40_u64, 0..3_u8, marks).prop_map(
        |(entries, owner, timeout, ttl, saves, (visited, rotated))| Spec {
            entries,
            owner,
            timeout,
            ttl,
            saves,
            visited,
            rotated,
        },
    )
}

impl Spec {
    fn store_in(&self, store: &LembroStore) -> SessionId {
        let mut changes = Changes::new();
        for (component, key, value) in &self.entries {
            changes.insert(["", "shop", "forum"][usize::from(*component)], &format!("key {key}"), value).unwrap();
        }
        let (mut id, ttl) = (new_id(), Duration::from_secs(self.ttl));
        changes.set_timeout(self.timeout.map(|millis| Duration::from_millis(millis.into())));
        changes.set_label(self.timeout.map(|millis| format!("label {millis}")).as_deref()).unwrap();
        changes.remember(self.visited);
        let owner = self.owner.map(|owner| format!("owner {owner}"));
        let record = changes.apply(&Record::new()).unwrap();
        assert!(create_for(store, &id, &record, owner.as_deref(), ttl).unwrap().is_done());
        for number in 0..self.saves {
            let mut more = Changes::new();
            more.insert("", "saved", &number).unwrap();
            assert!(exactly(store, &id, &more, ttl, version_of(store, &id)).unwrap().is_done());
        }
        if self.rotated {
            let new = renewed(&id);
            let lease = Lease { renew_after: Some(HOUR), ..Lease::new(ttl) };
            assert!(replace(store, &id, &new, &lease).unwrap().is_done());
            id = new;
        }
        if self.visited {
            store.get(&id).unwrap();
        }
        id
    }
}

#[test]
fn reused_handle_is_written_once() {
    let Restart { store, .. } = &Restart::of(|options| options.shards(1));
    let (first, other) = (new_id(), new_id());
    for id in [first, other] {
        store.set(&id, user("ada"), HOUR).unwrap();
    }
    for id in [first, other] {
        assert!(store.destroy(&id).unwrap().is_done());
    }
    let again = first.renewed(&new_id());
    store.set(&again, user("bob"), HOUR).unwrap();
    store.close().unwrap();
    assert_eq!(store.stats().last_snapshot.unwrap().sessions, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn model_restart_keeps_all_sessions(
        specs in prop::collection::vec(spec(), 0..40), shards in 0..5_u32, down in 0..30_u64, millis in 0..1000_u64,
    ) {
        let before = Restart::new();
        let ids: Vec<_> = specs.iter().map(|spec| spec.store_in(&before.store)).collect();
        before.time.advance(Duration::from_millis(millis));
        let down = Duration::from_secs(down);
        let (after, _, _folder) = before.with(down, |options| options.shards(1 << shards));

        let mut live = 0;
        for (id, spec) in ids.iter().zip(&specs) {
            let old = before.store.get(id).unwrap();
            let expected = old.filter(|old| old.ttl > down);
            // The first look compares the digest, the second one the secret.
            for _ in 0..2 {
                let found = after.get(id).unwrap();
                prop_assert_eq!(found.as_ref().map(|found| &found.record), expected.as_ref().map(|old| &old.record));
                let Some((found, old)) = found.zip(expected.as_ref()) else { continue };
                prop_assert_eq!(found.ttl + down, old.ttl);
                prop_assert_eq!(found.record.version(), old.record.version());
                prop_assert_eq!(found.record.created_at(), old.record.created_at());
                prop_assert_eq!(found.record.owner().map(str::to_owned), spec.owner.map(|owner| format!("owner {owner}")));
                prop_assert_eq!(found.record.owner_since(), old.record.owner_since());
                prop_assert_eq!(found.record.id_since(), old.record.id_since());
                prop_assert_eq!(found.presented, Presented::Current);
            }
            prop_assert!(after.get(&renewed(id)).unwrap().is_none());
            live += usize::from(expected.is_some());
        }
        prop_assert_eq!(after.len().unwrap(), live);
        let restored = after.stats().restored.unwrap();
        prop_assert_eq!((restored.sessions, restored.evicted, restored.refused), (live, 0, 0));
        for owner in 0..3 {
            let owned = |store: &LembroStore| owners(store).list(&crate::support::steps::owner(&format!("owner {owner}"))).unwrap();
            let still = owned(&before.store).into_iter().filter(|listed| listed.stored.ttl > down).count();
            prop_assert_eq!(owned(&after).len(), still);
        }
        after.validate().unwrap();
    }
}

#[test]
fn restored_session_has_a_digest_until_visited() {
    let before = Restart::new();
    let (id, other) = (new_id(), new_id());
    for id in [id, other] {
        before.store.set(&id, user("ada"), HOUR).unwrap();
    }
    let (store, _, _folder) = before.after(SECOND);
    assert!(!is_known(&store, &id));
    let events = store.events();
    assert!(matches!(events.recv().unwrap(), Event::Restored { sessions: 2, .. }));

    // A wrong secret is not cached.
    let guess = renewed(&id);
    assert!(store.get(&guess).unwrap().is_none());
    assert!(!is_known(&store, &id));

    let bytes = store.bytes();
    assert!(store.get(&id).unwrap().is_some());
    assert!(is_known(&store, &id) && !is_known(&store, &other));
    assert_eq!(store.bytes(), bytes);
    assert!(store.get(&guess).unwrap().is_none());
    store.validate().unwrap();
}

#[test]
fn unvisited_session_survives_two_restarts() {
    let before = Restart::new();
    let (id, old) = (new_id(), new_id());
    let new = renewed(&old);
    before.store.set(&id, user("ada"), HOUR).unwrap();
    before.store.set(&old, user("bob"), HOUR).unwrap();
    assert!(replace(&before.store, &old, &new, &Lease::new(HOUR)).unwrap().is_done());
    let (store, time, folder) = before.after(SECOND);
    let between = Restart { folder, time, store };
    let (store, _, _folder) = between.after(SECOND);
    assert_eq!(found(&store, &id).record, found(&before.store, &id).record);
    assert_eq!(peek(&store, &old), Lookup::Superseded { recent: true });
    assert_eq!(presented(&store, &new), Presented::Current);
}

fn peek(store: &LembroStore, id: &SessionId) -> Lookup {
    store.look(id, lembro::Look::Peek, &Lease::new(HOUR)).unwrap()
}

#[test]
fn all_actions_work_on_restored_sessions() {
    let before = Restart::new();
    let [saved, touched, rotated, replaced, destroyed] = std::array::from_fn(|_| new_id());
    for id in [saved, touched, rotated, replaced, destroyed] {
        before.store.set(&id, user("ada"), HOUR).unwrap();
    }
    let version = version_of(&before.store, &saved);
    let (store, _, _folder) = before.after(SECOND);

    let mut changes = Changes::new();
    changes.insert("", "theme", "dark").unwrap();
    assert!(exactly(&store, &saved, &changes, HOUR, version).unwrap().is_done());
    assert_eq!(exactly(&store, &saved, &changes, HOUR, version).unwrap(), Outcome::Changed);

    assert_eq!(touch(&store, &renewed(&touched), 2 * HOUR).unwrap(), Outcome::Gone);
    assert!(touch(&store, &touched, 2 * HOUR).unwrap().is_done());
    assert_eq!(found(&store, &touched).ttl, 2 * HOUR);

    let new = renewed(&rotated);
    assert!(replace(&store, &rotated, &new, &Lease::new(HOUR)).unwrap().is_done());
    assert!(is_known(&store, &new));
    assert_eq!(peek(&store, &rotated), Lookup::Superseded { recent: true });

    assert!(store.set(&renewed(&replaced), user("eve"), HOUR).unwrap_err().is_taken());
    assert_eq!(create(&store, &replaced, &user("eve"), HOUR).unwrap(), Outcome::Taken);
    store.set(&replaced, user("bob"), HOUR).unwrap();
    assert_eq!(found(&store, &replaced).record.get_str("user").unwrap().as_deref(), Some("bob"));

    assert_eq!(store.destroy(&renewed(&destroyed)).unwrap(), Outcome::Gone);
    assert!(store.destroy(&destroyed).unwrap().is_done());
    assert!(store.get(&destroyed).unwrap().is_none());
    store.validate().unwrap();
}

const MINUTE: Duration = Duration::from_secs(60);

/// A store with one session of Ada, whose ids are renewed after an hour, with a grace of a minute.
fn renewable() -> (Restart, SessionId, Lease) {
    let (before, id) = (Restart::new(), new_id());
    let lease = Lease { renew_after: Some(HOUR), ..renewing(5 * HOUR, MINUTE) };
    assert!(create_owned(&before.store, &id, &user("ada"), "ada", 5 * HOUR).unwrap().is_done());
    before.time.advance(HOUR);
    (before, id, lease)
}

fn visit(store: &LembroStore, id: &SessionId, lease: &Lease) -> Option<Presented> {
    store.visit(id, lease).unwrap().found().map(|stored| stored.presented)
}

#[test]
fn superseded_id_keeps_its_grace() {
    let (before, old, lease) = renewable();
    let new = renewed(&old);
    assert!(replace(&before.store, &old, &new, &lease).unwrap().is_done());
    let bytes = before.store.bytes();
    let (store, time, _folder) = before.after(20 * SECOND);
    assert_eq!(store.bytes(), bytes);
    let events = store.events();
    assert!(matches!(events.recv().unwrap(), Event::Restored { sessions: 1, .. }));
    time.advance(39 * SECOND);
    assert_eq!(peek(&store, &old), Lookup::Superseded { recent: true });
    assert_eq!(touch(&store, &old, HOUR).unwrap(), Outcome::Superseded);
    time.advance(SECOND);
    assert_eq!(peek(&store, &old), Lookup::Superseded { recent: false });
    assert!(!is_known(&store, &new), "a superseded id does not reveal the current one");
    assert_eq!(visit(&store, &new, &lease), Some(Presented::Current));
    // A restart after the end of the grace.
    let (store, _, _folder) = before.after(MINUTE);
    assert_eq!(peek(&store, &old), Lookup::Superseded { recent: false });
    assert_eq!(visit(&store, &new, &lease), Some(Presented::Current));
}

#[test]
fn pending_renewal_survives_a_restart() {
    let (before, old, lease) = renewable();
    let new = renew(&before.store, &old, &lease);
    let bytes = before.store.bytes();
    // The response was lost, and the server was down for longer than the grace.
    let (store, time, folder) = before.after(HOUR);
    assert_eq!(store.bytes(), bytes);
    assert_eq!(visit(&store, &old, &lease), Some(Presented::Renewing(new)));
    assert_eq!(presented(&store, &new), Presented::Current);
    // The second announcement is lost, too. From now on the old id has an hour.
    let again = Restart { folder, time, store };
    let (store, time, _folder) = again.after(HOUR / 2);
    assert_eq!(visit(&store, &old, &lease), Some(Presented::Renewing(new)));
    time.advance(HOUR / 2);
    assert_eq!(peek(&store, &old), Lookup::Superseded { recent: false });
    assert_eq!(visit(&store, &new, &lease), Some(Presented::Current));
    assert!(is_known(&store, &new), "it was presented");
    store.validate().unwrap();
}

#[test]
fn previous_id_keeps_its_grace() {
    let (before, old, lease) = renewable();
    let new = renew(&before.store, &old, &lease);
    assert_eq!(visit(&before.store, &new, &lease), Some(Presented::Current));
    let bytes = before.store.bytes();
    let (store, time, _folder) = before.after(20 * SECOND);
    assert_eq!(store.bytes(), bytes);
    assert_eq!(visit(&store, &old, &lease), Some(Presented::Previous));
    assert!(!is_known(&store, &new), "the previous id does not reveal the current one");
    // A commit keeps the previous id.
    assert!(save(&store, &old, &Changes::new(), HOUR, version_of(&store, &old)).unwrap().is_done());
    assert_eq!((store.bytes(), presented(&store, &old)), (bytes, Presented::Previous));
    time.advance(40 * SECOND);
    assert_eq!(peek(&store, &old), Lookup::Superseded { recent: false });
    assert_eq!(visit(&store, &new, &lease), Some(Presented::Current));
    store.validate().unwrap();
}

#[test]
fn destroy_all_spares_a_restored_session() {
    let (before, ada) = (Restart::new(), owner("ada"));
    let [here, there, visited] = std::array::from_fn(|_| new_id());
    for id in [here, there, visited] {
        assert!(create_owned(&before.store, &id, &Record::new(), "ada", HOUR).unwrap().is_done());
    }
    let (store, _, _folder) = before.after(SECOND);
    assert!(is_there(&store, &visited));
    assert_eq!(owners(&store).destroy_all(&ada, Some(here.handle())).unwrap(), 2);
    assert!(is_there(&store, &here));
    // Only the id itself gives the reason.
    for id in [there, visited] {
        assert_eq!(owners(&store).end_reason(&id).unwrap(), Some(EndReason::LoggedOutEverywhere));
        assert_eq!(owners(&store).end_reason(&renewed(&id)).unwrap(), None);
    }
    assert!(owners(&store).destroy_handle(here.handle(), Some(&ada), EndReason::Revoked).unwrap().is_done());
    assert_eq!(owners(&store).end_reason(&here).unwrap(), Some(EndReason::Revoked));
}

#[test]
fn both_ids_of_a_renewal_have_an_end_reason() {
    let (before, old, lease) = renewable();
    let new = renew(&before.store, &old, &lease);
    let (store, _, _folder) = before.after(SECOND);
    assert_eq!(owners(&store).destroy_all(&owner("ada"), None).unwrap(), 1);
    for id in [old, new] {
        assert_eq!(owners(&store).end_reason(&id).unwrap(), Some(EndReason::LoggedOutEverywhere));
    }
    assert_eq!(owners(&store).end_reason(&renewed(&old)).unwrap(), None);
}

#[test]
fn login_from_before_a_restart_stays_revoked() {
    let (before, ada) = (Restart::new(), owner("ada"));
    let begun = owners(&before.store).epoch(&ada).unwrap();
    owners(&before.store).destroy_all(&ada, None).unwrap();
    let (store, _, _folder) = before.after(SECOND);
    let id = new_id();
    store.set(&id, user("ada"), HOUR).unwrap();
    let log_in = |begun| {
        let login = lembro::Login { begun: Some(begun), ..login("ada") };
        let commit = replacement(version_of(&store, &id), &renewed(&id)).log_in(login);
        store.commit(&id, &commit, &Lease::new(HOUR)).unwrap()
    };
    assert_eq!(log_in(begun), Outcome::LoginRevoked);
    assert!(log_in(owners(&store).epoch(&ada).unwrap()).is_done());
}

#[test]
fn revocations_survive_restarts() {
    for closed in [false, true] {
        let before = Restart::new();
        let begun = owners(&before.store).epoch(&owner("ada")).unwrap();
        let [everywhere, named] = [(); 2].map(|()| new_id());
        for (id, name) in [(everywhere, "ada"), (named, "bob")] {
            assert!(create_owned(&before.store, &id, &Record::new(), name, HOUR).unwrap().is_done());
        }
        assert_eq!(owners(&before.store).destroy_all(&owner("ada"), None).unwrap(), 1);
        assert!(owners(&before.store).destroy_handle(named.handle(), None, EndReason::Revoked).unwrap().is_done());
        // From the journal that has the end, and from the first frames of later journals.
        let mut current = before;
        for _ in 0..3 {
            if closed {
                current.store.close().unwrap();
            }
            let (store, time, folder) = current.after(SECOND);
            current = Restart { folder, time, store };
            let store = &current.store;
            for (id, reason) in [(everywhere, EndReason::LoggedOutEverywhere), (named, EndReason::Revoked)] {
                assert_eq!(owners(store).end_reason(&id).unwrap(), Some(reason));
                assert_eq!(owners(store).end_reason(&renewed(&id)).unwrap(), None);
            }
            for (name, expected) in [("ada", false), ("bob", true), ("cat", true)] {
                let login = lembro::Login { begun: Some(begun), ..login(name) };
                let commit = lembro::Commit::create().unwrap().log_in(login);
                let outcome = store.commit(&new_id(), &commit, &Lease::new(HOUR)).unwrap();
                assert_eq!(outcome.is_done(), expected, "{name}: {outcome:?}");
            }
        }
    }
}

#[test]
fn calendar_set_back_prolongs_no_session() {
    for (down, closed) in [(MINUTE, false), (MINUTE, true), (50 * 365 * 24 * HOUR, false)] {
        let (before, [id, other]) = (Restart::new(), [new_id(), new_id()]);
        before.store.set(&id, user("ada"), HOUR).unwrap();
        before.time.advance(MINUTE);
        before.store.set(&other, user("bob"), HOUR).unwrap();
        if closed {
            before.store.close().unwrap();
        }
        before.time.set_wall(Clock::from(&before.time).wall() - down);
        let (store, ..) = before.after(Duration::ZERO);
        // Each has the time that it had at the last write.
        assert_eq!(found(&store, &id).ttl, 59 * MINUTE);
        assert_eq!(found(&store, &other).ttl, HOUR);
    }
}

#[test]
fn calendar_set_forward_ends_sessions() {
    let (before, [id, other]) = (Restart::new(), [new_id(), new_id()]);
    before.store.set(&id, user("ada"), HOUR).unwrap();
    before.store.set(&other, user("bob"), 3 * HOUR).unwrap();
    let (store, _, folder) = before.after(2 * HOUR);
    assert!(!is_there(&store, &id) && found(&store, &other).ttl == HOUR);
    // A corrected calendar restores no session and prolongs none.
    drop(store);
    let time = Clock::manual();
    time.set_wall(Clock::from(&before.time).wall());
    let store = LembroStore::with_options(options(&time).persist(folder.join("sessions"))).unwrap();
    assert!(!is_there(&store, &id) && found(&store, &other).ttl == HOUR);
}

#[test]
fn calendar_jump_prolongs_no_session() {
    for back in [true, false] {
        let (before, id) = (Restart::new(), new_id());
        let wall = Clock::from(&before.time).wall();
        before.time.set_wall(if back { wall - HOUR } else { wall + HOUR });
        before.store.set(&new_id(), user("bob"), HOUR).unwrap();
        before.time.set_wall(wall);
        before.store.set(&id, user("ada"), 3 * HOUR).unwrap();
        let (store, ..) = before.after(Duration::ZERO);
        assert_eq!(found(&store, &id).ttl, if back { 3 * HOUR } else { 2 * HOUR });
    }
}

#[test]
fn visit_counts_after_a_restart() {
    let lease = Lease { touch_after: 5 * MINUTE, ..Lease::new(HOUR) };
    for (closed_before, closed_after) in [(false, false), (true, false), (false, true)] {
        let (before, [visited, committed, left]) = (Restart::new(), [new_id(), new_id(), new_id()]);
        for id in [visited, committed, left] {
            before.store.set(&id, user("ada"), HOUR).unwrap();
        }
        let mut current = before;
        if closed_before {
            current.store.close().unwrap();
            let (store, time, folder) = current.after(SECOND);
            current = Restart { folder, time, store };
        }
        // Far beyond the deadline of the last commit. Some steps are within `touch_after`.
        for step in 0..60 {
            current.time.advance(2 * MINUTE);
            assert!(current.store.visit(&visited, &lease).unwrap().found().is_some());
            if step < 20 {
                assert!(
                    save(&current.store, &committed, &Changes::new(), HOUR, version_of(&current.store, &committed))
                        .unwrap()
                        .is_done()
                );
            }
        }
        if closed_after {
            current.store.close().unwrap();
        }
        let (store, ..) = current.after(SECOND);
        let ttl = found(&store, &visited).ttl;
        assert!(ttl + SECOND + lease.touch_after >= HOUR, "{ttl:?}");
        assert!(!is_there(&store, &left) && !is_there(&store, &committed));
        assert_eq!(store.len().unwrap(), 1);
    }
}

#[test]
fn commit_after_a_visit_sets_the_deadline() {
    let (before, id) = (Restart::new(), new_id());
    before.store.set(&id, user("ada"), HOUR).unwrap();
    assert!(touch(&before.store, &id, 5 * HOUR).unwrap().is_done());
    assert!(save(&before.store, &id, &Changes::new(), MINUTE, version_of(&before.store, &id)).unwrap().is_done());
    let (store, ..) = before.after(HOUR);
    assert!(!is_there(&store, &id));
}

#[test]
fn eviction_is_the_same_after_a_crash() {
    let before = Restart::of(|options| options.max_size("8K").shards(1));
    let ids: Vec<_> = (0..60).map(|_| new_id()).collect();
    for (number, id) in ids.iter().enumerate() {
        before.store.set(id, user(&"x".repeat(300)), HOUR).unwrap();
        // Visits are not in the journal. They decide what is evicted.
        if number % 3 == 0 {
            before.store.visit(id, &Lease::new(HOUR)).unwrap();
        }
    }
    let live: Vec<_> = ids.iter().map(|id| is_there(&before.store, id)).collect();
    let (store, ..) = before.with(SECOND, |options| options.max_size("8K").shards(1));
    assert!(before.store.stats().evicted > 20);
    assert_eq!(ids.iter().map(|id| is_there(&store, id)).collect::<Vec<_>>(), live);
}

#[test]
fn expired_sessions_are_not_restored() {
    let before = Restart::new();
    for seconds in [1, 10, 100] {
        before.store.set(&new_id(), user("ada"), seconds * SECOND).unwrap();
    }
    let forever = new_id();
    before.store.set(&forever, user("ada"), Duration::MAX).unwrap();
    before.time.advance(SECOND);
    before.store.close().unwrap();
    let (store, ..) = before.after(9 * SECOND);
    assert_eq!(before.store.stats().last_snapshot.unwrap().sessions, 3);
    let restored = store.stats().restored.unwrap();
    assert_eq!((restored.sessions, restored.expired), (2, 1));
    assert_eq!(found(&store, &forever).ttl, 100 * 365 * 24 * HOUR, "as long as any lease lets it live");
}

#[test]
fn less_room_keeps_owned_and_visited_sessions() {
    let before = Restart::new();
    // The visited sessions are the oldest.
    let [regulars, visitors, members] = std::array::from_fn(|class| {
        let owner = (class == 2).then_some("ada");
        let ids: Vec<_> = (0..if class == 1 { 1000 } else { 40 }).map(|_| new_id()).collect();
        for id in &ids {
            assert!(create_for(&before.store, id, &user("guest"), owner, HOUR).unwrap().is_done());
        }
        ids
    });
    for id in &regulars {
        before.store.get(id).unwrap();
    }
    before.store.close().unwrap();
    let (store, _, _folder) = before.with(SECOND, |options| options.max_size("32K").shards(1));
    let restored = store.stats().restored.unwrap();
    assert_eq!(restored.sessions + restored.evicted, 1080);
    assert_eq!(store.stats().evicted, restored.evicted as u64);
    assert_eq!(store.stats().evicted_owned, 0);
    let alive = |ids: &[SessionId]| ids.iter().filter(|id| store.get(id).unwrap().is_some()).count();
    assert_eq!((alive(&members), alive(&regulars)), (40, 40));
    let left = alive(&visitors);
    assert!(left < 400, "{left}");
    // Most of those are the newest ones.
    let newest = alive(&visitors[500..]);
    assert!(newest > left / 2, "{newest} of {left}");
}

#[test]
fn survivors_of_a_flood_survive_the_next() {
    let small = |options: LembroOptions| options.max_size("64K").shards(1);
    let before = Restart::of(small);
    let flood = |store: &LembroStore| (0..1000).for_each(|_| store.set(&new_id(), user("guest"), HOUR).unwrap());
    let regulars: Vec<_> = (0..40).map(|_| new_id()).collect();
    for id in &regulars {
        before.store.set(id, user("ada"), HOUR).unwrap();
        before.store.get(id).unwrap();
    }
    flood(&before.store);
    before.store.close().unwrap();
    let (store, ..) = before.with(SECOND, small);
    assert_eq!(store.stats().restored.unwrap().evicted, 0);
    flood(&store);
    assert!(regulars.iter().all(|id| store.get(id).unwrap().is_some()));
}

#[test]
fn too_large_sessions_are_not_restored() {
    let before = Restart::new();
    let (small, large) = (new_id(), new_id());
    before.store.set(&small, user("ada"), HOUR).unwrap();
    before.store.set(&large, user(&"ada ".repeat(1000)), HOUR).unwrap();
    let (store, _, _folder) = before.with(SECOND, |options| options.max_session_size("2K"));
    let restored = store.stats().restored.unwrap();
    assert_eq!((restored.sessions, restored.refused), (1, 1));
    assert!(store.get(&small).unwrap().is_some() && store.get(&large).unwrap().is_none());
}

/// Stops the writers, also after a failed assertion.
struct StopAtTheEnd<'a>(&'a AtomicBool);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn race_crash_during_a_compaction() {
    const IDS: usize = 200;
    let before = Restart::of(|options| options.max_size("8M"));
    let (ids, fill): (Vec<_>, _) = ((0..IDS).map(|_| new_id()).collect(), "x".repeat(4000));
    let pair =
        |number: usize| record(&[("", "one", json!(number)), ("shop", "same", json!(number)), ("", "x", json!(fill))]);
    for id in &ids {
        before.store.set(id, pair(0), HOUR).unwrap();
    }
    let acknowledged: Vec<_> = (0..IDS).map(|_| AtomicUsize::new(0)).collect();
    let (stop, compactions) = (AtomicBool::new(false), before.store.events());
    thread::scope(|scope| {
        let _stop = StopAtTheEnd(&stop);
        for half in 0..2 {
            let (store, stop, ids, pair, acknowledged) = (&before.store, &stop, &ids, &pair, &acknowledged);
            scope.spawn(move || {
                for number in 1.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let place = half * IDS / 2 + number % (IDS / 2);
                    store.set(&ids[place], pair(number), HOUR).unwrap();
                    acknowledged[place].store(number, Ordering::SeqCst);
                    let passing = new_id();
                    store.set(&passing, pair(number), HOUR).unwrap();
                    assert!(store.destroy(&passing).unwrap().is_done());
                }
            });
        }
        let (mut seen, began) = (0, Instant::now());
        while seen < 3 {
            assert!(began.elapsed() < Duration::from_secs(300), "the journal grows and is not compacted");
            let known: Vec<_> = acknowledged.iter().map(|number| number.load(Ordering::SeqCst)).collect();
            let (store, _, _folder) = before.with(SECOND, |options| options.max_size("8M"));
            for (id, known) in ids.iter().zip(known) {
                let record = store.get(id).unwrap().expect("it was there before, during and after").record;
                let one = record.get::<usize>("one").unwrap().unwrap();
                assert_eq!(record.get_in::<usize>("shop", "same").unwrap(), Some(one));
                assert!(one >= known, "{one} after {known}");
            }
            // Each thread has one short-lived session.
            assert!(store.len().unwrap() <= ids.len() + 2, "a destroyed session is in the files");
            seen += compactions.try_iter().filter(|event| matches!(event, Event::Snapshot { .. })).count();
        }
    });
    before.store.validate().unwrap();
}

#[test]
fn race_first_visits_after_a_restart() {
    let before = Restart::new();
    let ids: Vec<_> = (0..1000).map(|_| new_id()).collect();
    for id in &ids {
        before.store.set(id, user("ada"), HOUR).unwrap();
    }
    let versions: Vec<_> = ids.iter().map(|id| version_of(&before.store, id)).collect();
    let (store, _, _folder) = before.after(SECOND);
    let start = Barrier::new(4);
    thread::scope(|scope| {
        for thread in 0..4 {
            let (store, start, ids, versions) = (&store, &start, &ids, &versions);
            scope.spawn(move || {
                for (number, (id, version)) in ids.iter().zip(versions).enumerate() {
                    start.wait();
                    if thread % 2 == 0 {
                        store.get(id).unwrap();
                    } else if number % 2 == 0 {
                        let mut changes = Changes::new();
                        changes.insert("", &format!("thread {thread}"), &number).unwrap();
                        assert!(save(store, id, &changes, HOUR, *version).unwrap().is_done());
                    } else {
                        let _ = store.destroy(id).unwrap();
                    }
                }
            });
        }
    });
    for (number, id) in ids.iter().enumerate() {
        let found = store.get(id).unwrap().map(|stored| stored.record.len());
        assert_eq!(found, (number % 2 == 0).then_some(3), "session {number}");
    }
    store.validate().unwrap();
}

#[test]
fn close_writes_a_snapshot_and_unlocks() {
    let (folder, id) = (Folder::new(), new_id());
    let path = folder.join("sessions");
    let options: LembroOptions = serde_json::from_value(json!({ "persist": path, "interval": 0 })).unwrap();
    let store = LembroStore::with_options(options.clone()).unwrap();
    assert!(store.stats().restored.is_none(), "the first start");
    let events = store.events();
    store.set(&id, user("ada"), HOUR).unwrap();
    assert!(store.stats().journal_bytes > 100);
    store.clone().close().unwrap();
    store.close().unwrap();
    assert_eq!(folder.names(), ["sessions", "sessions.journal.2", "sessions.lock"]);
    assert!(matches!(events.try_iter().last(), Some(Event::Snapshot { sessions: 1, bytes: 100.., .. })));
    assert!(is_there(&store, &id), "looks still succeed");
    let refused = [
        store.set(&new_id(), user("bob"), HOUR).unwrap_err(),
        store.destroy(&id).unwrap_err(),
        store.clear().unwrap_err(),
        owners(&store).destroy_all(&owner("ada"), None).unwrap_err(),
        owners(&store).destroy_handle(id.handle(), None, EndReason::Revoked).unwrap_err(),
    ];
    for error in refused {
        let expected = format!("sessions in {}: the store is closed, so nothing more is written", path.display());
        assert!(error.is_persist() && error.is_store() && error.to_string() == expected, "{error}");
    }

    // The closed store still exists, and another one may open the files.
    let next = LembroStore::with_options(options.clone()).unwrap();
    assert!(is_there(&store, &id) && is_there(&next, &id));
    assert_eq!(next.stats().restored.unwrap().changes, 0);
    next.set(&new_id(), user("bob"), HOUR).unwrap();
    drop(next);
    let store = LembroStore::with_options(options).unwrap();
    let restored = store.stats().restored.unwrap();
    assert_eq!((restored.sessions, restored.changes), (2, 1), "a dropped store has all changes in its files");
    LembroStore::with_options(LembroOptions::new()).unwrap().close().unwrap();
}

#[test]
fn large_files_are_read_in_little_memory() {
    const MAX: u64 = 1 << 19;
    let before = Restart::of(|options| options.max_size("128M"));
    let (fill, twice) = ("x".repeat(2000), "y".repeat(2000));
    let ids: Vec<_> = (0..6_000).map(|_| new_id()).collect();
    let known: Vec<_> = ids[..20].to_vec();
    // Each session has two rows in the files.
    for text in [&fill, &twice] {
        for (number, id) in ids.iter().enumerate() {
            let record = record(&[("", "x", json!(text))]);
            if number < 20 {
                let ttl = if text == &fill { HOUR } else { 2 * HOUR };
                if text == &fill {
                    assert!(create_owned(&before.store, id, &record, "ada", ttl).unwrap().is_done());
                } else {
                    assert!(touch(&before.store, id, ttl).unwrap().is_done());
                }
            } else {
                before.store.set(id, record, HOUR).unwrap();
            }
        }
    }
    for closed in [false, true] {
        if closed {
            before.store.close().unwrap();
        }
        let size: u64 =
            before.folder.names().iter().map(|name| before.folder.join(name).metadata().unwrap().len()).sum();
        assert!(size > 10 << 20, "{size}");
        let (folder, time) = (before.folder.image(), Clock::manual());
        time.set_wall(Clock::from(&before.time).wall());
        let options = options(&time).max_size(MAX).persist(folder.join("sessions"));
        let mut store = None;
        let cost = allocation_counter::measure(|| store = Some(LembroStore::with_options(options).unwrap()));
        let (store, peak) = (store.unwrap(), cost.bytes_max);
        assert!(peak < 16 * MAX, "{peak}");
        assert!(u64::try_from(cost.bytes_current).unwrap() < 2 * MAX, "{}", cost.bytes_current);
        let restored = store.stats().restored.unwrap();
        assert!(store.bytes() as u64 <= MAX && store.bytes() as u64 > MAX / 2);
        assert!(restored.evicted > 5_000, "{restored:?}");
        // Owned sessions stay.
        assert!(known.iter().all(|id| is_there(&store, id)), "closed: {closed}");
        assert_eq!(store.stats().evicted, restored.evicted as u64);
        store.validate().unwrap();
    }
}
