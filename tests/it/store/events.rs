//! Events and errors: every subscriber gets them, no request waits for a slow subscriber, and its
//! missed messages are counted.

use std::time::Duration;

use lembro::{
    Action, Clock, Commit, Event, Identity, Lease, LembroOptions, LembroStore, Look, Lookup, Outcome, Record,
    SessionId, Sessions, Store,
};

const HOUR: Duration = Duration::from_secs(3600);

const LEASE: Lease = Lease::new(HOUR);

fn add(store: &LembroStore) -> SessionId {
    let id = SessionId::random().unwrap();
    assert!(store.commit(&id, &Commit::create().unwrap(), &LEASE).unwrap().is_done());
    id
}

#[test]
fn subscribers_get_all_later_events() {
    let store = LembroStore::new().unwrap();
    let (early, first) = (store.events(), add(&store));
    assert!(store.destroy(&first).unwrap().is_done());
    let (late, second) = (store.events(), add(&store));
    assert!(store.destroy(&second).unwrap().is_done());

    let handles = |events: crossbeam_channel::Receiver<Event>| {
        let handle = |event| if let Event::Destroyed { handle, .. } = event { handle } else { panic!("{event:?}") };
        events.try_iter().map(handle).collect::<Vec<_>>()
    };
    assert_eq!(handles(early), [first.handle(), second.handle()]);
    assert_eq!(handles(late), [second.handle()]);
}

#[test]
fn invariant_12_slow_subscribers_hold_nothing_up() {
    let store = LembroStore::new().unwrap();
    drop(store.events());
    let (sleeper, reader) = (store.events(), store.events());
    for _ in 0..3_000 {
        let id = add(&store);
        assert!(store.destroy(&id).unwrap().is_done());
        assert!(matches!(reader.try_recv(), Ok(Event::Destroyed { .. })));
    }
    assert_eq!(sleeper.try_iter().count(), 1_024);
    assert_eq!(store.stats().events_missed, 3_000 - 1_024);
    drop(sleeper);
    let id = add(&store);
    assert!(store.destroy(&id).unwrap().is_done());
    assert_eq!(store.stats().events_missed, 3_000 - 1_024, "a subscriber that is gone misses nothing");
}

#[test]
fn guesses_and_superseded_ids_are_counted() {
    let time = Clock::manual();
    let store = LembroStore::with_options(LembroOptions::new().interval(0).clock(&time)).unwrap();
    let (id, guess) = (add(&store), SessionId::random().unwrap());
    assert!(store.get(&guess).unwrap().is_none());
    let renewed = id.renewed(&SessionId::random().unwrap());
    let version = store.get(&id).unwrap().unwrap().record.version();
    let commit = Commit::merge(version).unwrap().with_identity(Identity::Replace(renewed));
    assert!(store.commit(&id, &commit, &LEASE).unwrap().is_done());
    // In flight during the login.
    assert_eq!(store.visit(&id, &LEASE).unwrap(), Lookup::Superseded { recent: true });
    time.advance(LEASE.grace);
    assert_eq!(store.visit(&id, &LEASE).unwrap(), Lookup::Superseded { recent: false });
    assert!(store.get(&renewed).unwrap().is_some());
    // Only looks are reported.
    assert_eq!(store.touch(&id, &LEASE).unwrap(), Outcome::Superseded);
    let late = Commit::merge(version).unwrap();
    assert_eq!(store.commit(&id, &late, &LEASE).unwrap(), Outcome::Superseded);
    assert_eq!((store.stats().hits, store.stats().misses, store.stats().superseded), (2, 3, 1));
}

#[test]
fn sessions_report_unknown_ids_and_failures() {
    /// A store whose methods all fail.
    #[derive(Debug)]
    struct Broken;
    fn broken<T>() -> lembro::Result<T> {
        Err(lembro::Error::store("the cable is out"))
    }
    impl Store for Broken {
        fn look(&self, _: &SessionId, _: Look, _: &Lease) -> lembro::Result<Lookup> {
            broken()
        }
        fn apply(&self, _: &SessionId, _: &Action<'_>, _: &Lease) -> lembro::Result<Outcome> {
            broken()
        }
    }
    let sessions = Sessions::new(Broken);
    let errors = sessions.errors();
    assert!(sessions.load(&SessionId::random().unwrap()).unwrap_err().is_store());
    assert_eq!(errors.try_iter().map(|error| error.to_string()).collect::<Vec<_>>(), ["the store failed"]);
    for result in [Broken.len().map(drop), Broken.clear(), Broken.all().map(drop)] {
        assert!(result.unwrap_err().is_unsupported());
    }

    let sessions = Sessions::new(LembroStore::new().unwrap());
    let (events, id) = (sessions.events(), SessionId::random().unwrap());
    assert!(sessions.load(&id).unwrap().is_none());
    assert_eq!(events.try_recv(), Ok(Event::UnknownId { handle: id.handle() }));
}

#[test]
fn every_figure_counts_what_it_says() {
    let time = Clock::manual();
    let store = LembroStore::with_options(LembroOptions::new().interval(0).max_session_size(300).clock(&time)).unwrap();
    let (one, two, three) = (add(&store), add(&store), add(&store));
    let record = store.get(&one).unwrap().unwrap().record;
    let mut commit = Commit::merge(record.version()).unwrap();
    commit.changes.insert("", "key", &1).unwrap();
    assert!(store.commit(&one, &commit, &LEASE).unwrap().is_done());
    assert!(store.touch(&two, &Lease::new(HOUR / 2)).unwrap().is_done());
    assert!(store.destroy(&three).unwrap().is_done());
    assert!(store.get(&three).unwrap().is_none());
    let large: Record = [("key", "x".repeat(300))].into_iter().collect();
    assert!(store.set(&three, large, HOUR).unwrap_err().is_size());
    time.advance(HOUR / 2);
    store.purge();

    let stats = store.stats();
    let counted = (stats.created, stats.saved, stats.touched, stats.destroyed, stats.expired, stats.refused);
    assert_eq!(counted, (3, 1, 1, 1, 1, 1));
    assert_eq!((stats.hits, stats.misses, stats.sessions, stats.evicted), (1, 1, 1, 0));
    assert_eq!((stats.bytes, stats.max_size), (store.bytes(), 1024 * 1024));
    store.clear().unwrap();
    assert_eq!((store.stats().destroyed, store.stats().bytes), (2, 0));

    let json = serde_json::to_value(store.stats()).unwrap();
    assert_eq!(json["last_purge"]["sessions"], 1);
    assert_eq!(json["last_purge"]["at"], 1_000_001_800_000_u64);
    let event = serde_json::to_value(Event::UnknownId { handle: lembro::Handle::from_u64(1) }).unwrap();
    assert_eq!(event, serde_json::json!({"event": "unknown_id", "handle": "AAAAAAAAAAE"}));
}

#[test]
fn dropped_subscriptions_keep_little_memory() {
    let store = LembroStore::with_options(LembroOptions::new().interval(0)).unwrap();
    let end_one = || assert!(store.destroy(&add(&store)).unwrap().is_done());
    let kept = allocation_counter::measure(|| {
        for _ in 0..2_000 {
            drop(store.events());
        }
    });
    assert!(kept.bytes_current <= 2_000 * 640, "{kept:?}");
    let freed = allocation_counter::measure(end_one);
    assert!(freed.bytes_current + kept.bytes_current <= 4_096, "{freed:?} of {kept:?}");
    let kept = allocation_counter::measure(|| {
        let subscriptions: Vec<_> = (0..2_000).map(|_| store.events()).collect();
        (0..100).for_each(|_| end_one());
        assert!(subscriptions.iter().all(|events| events.len() == 100));
        drop(subscriptions);
    });
    // The messages in their queues were dropped with them.
    assert!(kept.bytes_current <= 2_000 * 640, "{kept:?}");
    let freed = allocation_counter::measure(end_one);
    assert!(freed.bytes_current + kept.bytes_current <= 4_096, "{freed:?} of {kept:?}");
}
