//! Accounting: the bytes that a store counts are those that the allocator gave out.

use std::time::Duration;

use lembro::{EndReason, Lease, LembroOptions, LembroStore, Owner, Owners as _, Record, SessionId, Sessions, Store};
use serde_json::{Value, json};

use crate::support::steps::{create_for, renewed, replace};

const HOUR: Duration = Duration::from_secs(3600);

/// In 16 shards. At about 1,797 sessions a shard's slabs grow by a quarter and its table by an
/// eighth. These numbers are between two steps, just before one, and just after.
const SESSIONS: [usize; 3] = [25_000, 27_500, 30_000];

/// The session of a shop: six keys and about 300 bytes of JSON.
fn session(number: usize) -> Value {
    json!({
        "user_id": format!("user-{number:08}"),
        "csrf": format!("{:032x}", number as u128 * 0x9E37_79B9_7F4A_7C15),
        "cart": [{"sku": "TEA-0042", "quantity": 2}, {"sku": "CUP-0007", "quantity": 1 + number % 9}],
        "flash": "Your changes have been saved. Thank you for your patience, we will write as soon as it is on its way.",
        "signed_in_at": 1_790_000_000_u64 + number as u64,
        "locale": "pt-BR",
    })
}

fn record(session: &Value) -> Record {
    session.as_object().unwrap().clone().into_iter().collect()
}

struct Measured {
    json: usize,
    heap: usize,
    counted: usize,
}

/// Owners with three sessions each.
#[expect(clippy::unnecessary_wraps, reason = "one of two kinds of sessions")]
fn owned(number: usize) -> Option<String> {
    Some(format!("user-{:08}", number / 3))
}

fn anonymous(_: usize) -> Option<String> {
    None
}

fn fill(sessions: usize) -> Measured {
    fill_with(sessions, anonymous)
}

fn fill_with(sessions: usize, owner: fn(usize) -> Option<String>) -> Measured {
    let store = LembroStore::with_options(LembroOptions::new().interval(0).max_size("1G").shards(16)).unwrap();
    let mut json = 0;
    let ids: Vec<_> = (0..sessions).map(|_| SessionId::random().unwrap()).collect();
    let info = allocation_counter::measure(|| {
        for (number, id) in ids.iter().enumerate() {
            let session = session(number);
            json += session.to_string().len();
            assert!(create_for(&store, id, &record(&session), owner(number).as_deref(), HOUR).unwrap().is_done());
        }
    });
    assert_eq!(store.len().unwrap(), sessions);
    store.validate().unwrap();
    Measured { json, heap: usize::try_from(info.bytes_current).unwrap(), counted: store.bytes() }
}

#[test]
fn bytes_match_the_heap_within_8_percent() {
    for sessions in SESSIONS {
        let Measured { json, heap, counted } = fill(sessions);
        #[expect(clippy::cast_precision_loss, reason = "a ratio of numbers far below 2^52")]
        let ratio = |one: usize, other: usize| one as f64 / other as f64;
        let (per_json, off) = (ratio(heap, json), ratio(counted, heap));
        println!(
            "{sessions} sessions of {} B JSON: {} B of heap each, {per_json:.3} x JSON, bytes() is {off:.3} of it",
            json / sessions,
            heap / sessions
        );
        assert!((270..330).contains(&(json / sessions)));
        assert!(per_json <= 1.42, "{per_json:.3} x the JSON at {sessions} sessions");
        assert!((0.92..=1.08).contains(&off), "bytes() is {off:.3} of the heap at {sessions} sessions");
    }
}

#[test]
fn bytes_of_owned_sessions_match_the_heap() {
    for sessions in SESSIONS {
        let (with, without) = (fill_with(sessions, owned), fill(sessions));
        #[expect(clippy::cast_precision_loss, reason = "a ratio of numbers far below 2^52")]
        let off = with.counted as f64 / with.heap as f64;
        println!(
            "{sessions} owned sessions: {} B of heap each, {} more than without an owner, bytes() is {off:.3} of it",
            with.heap / sessions,
            (with.heap - without.heap) / sessions
        );
        assert!((0.92..=1.08).contains(&off), "bytes() is {off:.3} of the heap at {sessions} sessions");
    }
}

/// The heap and the counted bytes of 1,000 of these sessions in one shard without owners. Another
/// table changes both, and a dependency's allocations the first. A change to owners must change
/// neither.
const BEFORE_OWNERS: (i64, usize) = (419_116, 416_000);

#[test]
fn anonymous_sessions_cost_no_owner_index() {
    let heap = |owner: fn(usize) -> Option<String>, sessions: usize| {
        let options = LembroOptions::new().interval(0).max_size("1G").shards(1);
        let store = LembroStore::with_options(options).unwrap();
        let ids: Vec<_> = (0..sessions).map(|_| SessionId::random().unwrap()).collect();
        // Allocates the thread's buffers.
        assert!(create_for(&store, &ids[0], &record(&session(0)), None, HOUR).unwrap().is_done());
        store.clear().unwrap();
        let info = allocation_counter::measure(|| {
            for (number, id) in ids.iter().enumerate() {
                let (record, owner) = (record(&session(number)), owner(number));
                assert!(create_for(&store, id, &record, owner.as_deref(), HOUR).unwrap().is_done());
            }
        });
        (info.bytes_current, store.bytes())
    };
    let (anonymous, counted) = heap(anonymous, 1_000);
    println!("1,000 sessions without an owner: {anonymous} B of heap, counted as {counted}");
    let (owned, counted_owned) = heap(owned, 1_000);
    // The time of the login, and the name with its length.
    let noted = 6 + 1 + "user-00000000".len();
    println!("1,000 sessions with one: {owned} B of heap, counted as {counted_owned}");
    assert_eq!(counted_owned - counted, 1_000 * (noted + 18));
    assert_eq!((anonymous, counted), BEFORE_OWNERS);
}

#[test]
fn second_secret_costs_32_bytes() {
    let store = LembroStore::with_options(LembroOptions::new().interval(0).shards(1)).unwrap();
    let ids: Vec<_> = (0..100).map(|_| SessionId::random().unwrap()).collect();
    for (number, id) in ids.iter().enumerate() {
        assert!(create_for(&store, id, &record(&session(number)), None, HOUR).unwrap().is_done());
    }
    let rotate = |id: &SessionId| {
        let (new, before) = (renewed(id), store.bytes());
        let info = allocation_counter::measure(|| {
            assert!(replace(&store, id, &new, &Lease::new(HOUR)).unwrap().is_done());
        });
        (new, info.bytes_current, store.bytes() - before)
    };
    // The first one of a thread leaves a buffer for the others.
    rotate(&ids[50]);
    for id in &ids[..50] {
        let (new, heap, counted) = rotate(id);
        assert_eq!((heap, counted), (32, 32));
        // A session has one second secret: the next one replaces it.
        assert_eq!(rotate(&new).1, 0);
    }
    store.validate().unwrap();
}

#[test]
fn mass_purge_frees_memory() {
    let time = lembro::Clock::manual();
    let store = LembroStore::with_options(LembroOptions::new().interval(0).max_size("1G").clock(&time)).unwrap();
    let peak = allocation_counter::measure(|| {
        for number in 0..100_000 {
            store.set(&SessionId::random().unwrap(), record(&session(number)), HOUR).unwrap();
        }
    });
    let rest = allocation_counter::measure(|| {
        time.advance(HOUR);
        assert_eq!(store.purge(), 100_000);
    });
    store.validate().unwrap();
    assert_eq!(store.bytes(), 0);
    let left = peak.bytes_current + rest.bytes_current;
    assert!(left < peak.bytes_current / 100, "{left} of {} bytes are left", peak.bytes_current);
}

/// `max_size` does not count epochs, reasons of ends and the buffers of a thread. (Subscriptions
/// that were dropped: `tests/it/store/events.rs`.)
#[test]
fn memory_beside_the_sessions_is_bounded() {
    let store = LembroStore::with_options(LembroOptions::new().interval(0).max_size("1M")).unwrap();
    let sessions = Sessions::new(store.clone());
    let mut number = 0;
    let mut happen = |times: usize| {
        for _ in 0..times {
            number += 1;
            // The longest name, and another one each time.
            let owner = Owner::new(&format!("{number:0255}")).unwrap();
            assert_eq!(store.destroy_all(&owner, None).unwrap(), 0);
            store.epoch(&owner).unwrap();
            assert!(sessions.load(&SessionId::random().unwrap()).unwrap().is_none());
            let id = SessionId::random().unwrap();
            assert!(create_for(&store, &id, &Record::new(), Some(owner.as_str()), HOUR).unwrap().is_done());
            assert!(store.destroy_handle(id.handle(), Some(&owner), EndReason::Revoked).unwrap().is_done());
            assert!(store.end_reason(&id).unwrap().is_some());
        }
    };
    // Until everything has its largest size.
    happen(5_000);
    let grown = allocation_counter::measure(|| happen(20_000)).bytes_current;
    assert_eq!(store.bytes(), 0);
    assert!(grown < 256 << 10, "{grown} bytes more after 20,000 of everything");
}
