//! Floods: new anonymous sessions evict no session with an owner and no visited one.

use std::time::Duration;

use lembro::{Clock, Event, Lease, LembroOptions, LembroStore, ManualClock, Record, SessionId, Store, WhenFull};

use crate::support::steps::{create, create_for, log_in, new_id, owner, owners, renewed, save, touch, version_of};

const HOUR: Duration = Duration::from_secs(3600);

/// The charge of each session below.
const WEIGHT: usize = 512;

/// A record that is charged that much with its owner.
type Sized = (Record, Option<&'static str>);

fn sized(owner: Option<&'static str>) -> Sized {
    let record = |length: usize| -> Record { [("data", "x".repeat(length))].into_iter().collect() };
    let store = LembroStore::with_options(LembroOptions::new().interval(0)).unwrap();
    // About as long as the result, so that its lengths take as many bytes.
    add(&store, &(record(300), owner));
    (record(300 + WEIGHT - store.bytes()), owner)
}

/// One shard with room for so many sessions.
fn options(sessions: usize, time: &ManualClock) -> LembroOptions {
    LembroOptions::new().interval(0).shards(1).max_size((sessions * WEIGHT) as u64).clock(time)
}

fn store_for(sessions: usize, percent: usize) -> LembroStore {
    LembroStore::with_options(options(sessions, &Clock::manual()).anonymous_share(percent)).unwrap()
}

fn add(store: &LembroStore, (record, owner): &Sized) -> SessionId {
    let id = new_id();
    assert!(create_for(store, &id, record, *owner, HOUR).unwrap().is_done());
    id
}

fn fill(store: &LembroStore, session: &Sized, sessions: usize) -> Vec<SessionId> {
    (0..sessions).map(|_| add(store, session)).collect()
}

/// How many of these sessions are there. It visits none.
fn left(store: &LembroStore, ids: &[SessionId]) -> usize {
    let listed: std::collections::HashSet<_> = store.all().unwrap().map(|listed| listed.unwrap().handle).collect();
    ids.iter().filter(|id| listed.contains(&id.handle())).count()
}

fn flood(visitors: usize) {
    let store = LembroStore::with_options(LembroOptions::new().interval(0).max_size("1M")).unwrap();
    let owned = fill(&store, &sized(Some("ada")), 1_000);
    let (visitor, events) = (sized(None), store.events());
    for n in 0..visitors {
        let id = add(&store, &visitor);
        // A visited session without an owner evicts none with one either.
        if n % 3 == 0 {
            store.get(&id).unwrap();
        }
    }
    assert_eq!(left(&store, &owned), 1_000);
    store.validate().unwrap();
    let stats = store.stats();
    assert_eq!((stats.owned_sessions, stats.owned_bytes, stats.evicted_owned), (1_000, 1_000 * WEIGHT, 0));
    assert_eq!(usize::try_from(stats.evicted).unwrap(), 1_000 + visitors - stats.sessions);
    assert!(events.try_iter().all(|event| matches!(event, Event::Evicted { owned: false, bytes: WEIGHT, .. })));
}

#[test]
fn flood_evicts_no_owned_session() {
    flood(100_000);
}

#[test]
#[ignore = "takes a while; .ci/full runs it"]
fn flood_of_a_million_evicts_no_owned_session() {
    flood(1_000_000);
}

#[test]
fn visited_sessions_survive_a_flood() {
    let (store, visitor) = (store_for(1_000, 10), sized(None));
    let regulars = fill(&store, &visitor, 800);
    regulars.iter().for_each(|id| assert!(store.get(id).unwrap().is_some()));
    fill(&store, &visitor, 10_000);
    store.validate().unwrap();
    assert_eq!(left(&store, &regulars), 800);
}

#[test]
fn visited_sessions_survive_beside_owned_ones() {
    let (store, visitor) = (store_for(1_000, 10), sized(None));
    let owned = fill(&store, &sized(Some("ada")), 500);
    let regulars = fill(&store, &visitor, 300);
    regulars.iter().for_each(|id| assert!(store.get(id).unwrap().is_some()));
    fill(&store, &visitor, 10_000);
    assert_eq!((left(&store, &owned), left(&store, &regulars)), (500, 300));
    store.validate().unwrap();
}

#[test]
fn anonymous_share_is_kept_beside_owned_sessions() {
    // Of 100 sessions. With a share of 100 % the owned ones are evicted first. With 0 % there is no
    // room for an anonymous one.
    for (percent, visitors_left) in [(0, 0), (1, 1), (10, 10), (50, 50), (100, 100)] {
        let store = store_for(100, percent);
        fill(&store, &sized(Some("ada")), 200);
        assert_eq!(store.stats().owned_sessions, 100);
        let visitors = if percent > 0 { fill(&store, &sized(None), 300) } else { Vec::new() };
        assert!(percent > 0 || create(&store, &new_id(), &sized(None).0, HOUR).unwrap_err().is_full());
        store.validate().unwrap();
        let stats = store.stats();
        let found = (stats.owned_sessions, left(&store, &visitors));
        assert_eq!(found.0 + found.1, 100);
        assert_eq!(found.1, visitors_left, "{percent} %");
    }
}

#[test]
fn visitor_can_log_in_to_a_full_store() {
    let time = Clock::manual();
    for percent in [1, 10, 100] {
        let store = LembroStore::with_options(options(100, &time).anonymous_share(percent)).unwrap();
        fill(&store, &sized(Some("ada")), 200);
        let id = add(&store, &([("csrf", "x")].into_iter().collect(), None));
        assert!(log_in(&store, &id, &renewed(&id), "bob", &Lease::new(HOUR)).unwrap().is_done());
        assert_eq!(owners(&store).count(&owner("bob")).unwrap(), 1);
        store.validate().unwrap();
    }
}

#[test]
fn anonymous_share_must_be_a_percentage() {
    let refused = |share: usize| LembroStore::with_options(LembroOptions::new().anonymous_share(share)).unwrap_err();
    assert_eq!(refused(101).to_string(), "anonymous_share: 101 is not a percentage");
    assert!(refused(usize::MAX).is_option());
    for (text, expected) in [
        (r#"{"anonymousShare": 101}"#, "anonymous_share: 101 is not a percentage"),
        (r#"{"anonymous_share": -1}"#, "anonymous_share: -1 is not a whole number"),
        (r#"{"anonymous_share": 0.5}"#, "anonymous_share: 0.5 is not a whole number"),
        (r#"{"anonymous_share": "10%"}"#, r#"anonymous_share: "10%" is not a whole number"#),
        (r#"{"whenFull": "panic"}"#, r#"when_full: "panic" is none of "evict", "refuse_anonymous""#),
    ] {
        let error = serde_json::from_str::<LembroOptions>(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn memory_options_have_two_spellings() {
    for text in [
        r#"{"anonymousShare": 0, "whenFull": "refuse_anonymous", "maxSize": "4K", "shards": 1, "interval": 0}"#,
        r#"{"anonymous_share": 0, "when_full": "refuse_anonymous", "max_size": "4K", "shards": 1, "interval": 0}"#,
    ] {
        let store = LembroStore::with_options(serde_json::from_str(text).unwrap()).unwrap();
        fill(&store, &sized(None), 8);
        assert!(create(&store, &new_id(), &sized(None).0, HOUR).unwrap_err().is_full());
    }
    assert!(serde_json::from_str::<LembroOptions>(r#"{"whenFull": "evict"}"#).is_ok());
}

/// A full store that refuses anonymous sessions, five owned and five not.
fn refusing() -> (LembroStore, ManualClock, Vec<SessionId>) {
    let time = Clock::manual();
    let store = LembroStore::with_options(options(10, &time).when_full(WhenFull::RefuseAnonymous)).unwrap();
    fill(&store, &sized(Some("ada")), 5);
    let visitors = fill(&store, &sized(None), 5);
    assert_eq!(store.bytes(), store.stats().max_size);
    (store, time, visitors)
}

#[test]
fn full_store_can_refuse_visitors() {
    let (store, _, visitors) = refusing();
    let events = store.events();
    for _ in 0..100 {
        let (id, (record, _)) = (new_id(), sized(None));
        for error in [create(&store, &id, &record, HOUR).unwrap_err(), store.set(&id, record, HOUR).unwrap_err()] {
            assert!(error.is_full() && !error.is_store() && !error.is_size());
            assert_eq!(error.to_string(), "the store is full: it has no room for this session without an owner");
        }
        assert!(store.get(&id).unwrap().is_none());
        assert!(matches!(events.try_recv(), Ok(Event::TurnedAway { handle }) if handle == id.handle()));
        let _ = events.try_iter().count();
    }
    let stats = store.stats();
    assert_eq!((stats.turned_away, stats.evicted, stats.sessions), (200, 0, 10));
    assert_eq!(left(&store, &visitors), 5);
    store.validate().unwrap();
}

#[test]
fn refusing_store_keeps_its_sessions() {
    let (store, _, visitors) = refusing();
    let mut less = lembro::Changes::new();
    less.insert("", "data", "less").unwrap();
    assert!(save(&store, &visitors[0], &less, HOUR, version_of(&store, &visitors[0])).unwrap().is_done());
    // A `set` of the same size is done, and a larger one is refused and loses nothing.
    store.set(&visitors[1], sized(None).0, HOUR).unwrap();
    let larger: Record = [("data", "y".repeat(2 * WEIGHT))].into_iter().collect();
    assert!(store.set(&visitors[1], larger, HOUR).unwrap_err().is_full());
    assert_eq!(
        store.get(&visitors[1]).unwrap().unwrap().record.get_str("data").unwrap(),
        sized(None).0.get_str("data").unwrap()
    );
    // Logins are stored, with a session before them or without.
    let lease = Lease::new(HOUR);
    assert!(log_in(&store, &visitors[0], &renewed(&visitors[0]), "bob", &lease).unwrap().is_done());
    add(&store, &([("data", "z".repeat(400))].into_iter().collect(), Some("cyd")));
    let count = |name: &str| owners(&store).count(&owner(name)).unwrap();
    assert_eq!((count("bob"), count("cyd")), (1, 1));
    assert_eq!(store.stats().turned_away, 1);
    store.validate().unwrap();
}

#[test]
fn expired_sessions_make_room_first() {
    let (store, time, visitors) = refusing();
    assert!(touch(&store, &visitors[0], HOUR / 2).unwrap().is_done());
    time.advance(HOUR / 2);
    add(&store, &sized(None));
    assert!(create(&store, &new_id(), &sized(None).0, HOUR).unwrap_err().is_full());
    assert_eq!((store.stats().expired, store.stats().evicted), (1, 0));
    // The expired session under the same handle makes room, too.
    assert!(touch(&store, &visitors[1], HOUR / 4).unwrap().is_done());
    time.advance(HOUR / 4);
    store.set(&visitors[1], sized(None).0, HOUR).unwrap();
    store.validate().unwrap();
}

#[test]
fn refused_set_loses_nothing() {
    let (store, _, visitors) = refusing();
    let (taken, before) = (renewed(&visitors[0]), store.bytes());
    assert!(store.set(&taken, sized(None).0, HOUR).unwrap_err().is_taken());
    assert!(store.set(&visitors[0], [("data", "x".repeat(9_000))].into_iter().collect(), HOUR).unwrap_err().is_size());
    assert_eq!((left(&store, &visitors), store.bytes()), (5, before));
}

#[cfg(feature = "rouille")]
#[test]
fn rouille_answers_503_to_a_refused_visitor() {
    use lembro::web::SessionLayer;
    use rouille::{Request, Response};

    let (store, _, _) = refusing();
    let layer = SessionLayer::new(store.clone());
    let visit = || {
        let request = Request::fake_http("GET", "/", vec![], vec![]);
        layer.rouille(&request, |session| -> lembro::Result<Response> {
            session.insert("cart", &1)?;
            Ok(Response::text("hello"))
        })
    };
    let errors = layer.errors();
    let refused = visit();
    assert_eq!(refused.status_code, 503);
    assert!(!refused.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("set-cookie")));
    assert!(errors.try_iter().any(|error| error.is_full()));
    store.clear().unwrap();
    assert_eq!(visit().status_code, 200);
}
