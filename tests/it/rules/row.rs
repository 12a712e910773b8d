//! Rows of a store: the layout of their bytes, their deadlines, and the leases that set these.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lembro::{
    Action, Changes, Clock, Commit, Entry, Handle, Identity, Lease, Look, Lookup, Now, Presented, Record, SessionId,
    Version, Write,
};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::rules::model::session::derived;

const SEED: u64 = 0x0123_4567_89ab_cdef;
const VERSION: u64 = 0x0000_0007_0000_0002;

fn lease() -> Lease {
    Lease::new(Duration::from_secs(3600))
}

/// An hour after the beginning of a manual clock, in nanoseconds.
fn deadline() -> u64 {
    (1_000_000_000 + 3600) * 1_000_000_000
}

fn now() -> Now {
    Now::on_calendar(&Clock::from(&Clock::manual()))
}

fn digest(id: &SessionId) -> Vec<u8> {
    let bytes = id.expose();
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes).unwrap();
    Sha256::digest(&bytes[8..])[..16].to_vec()
}

fn record() -> Record {
    [("user", "ada")].into_iter().collect()
}

/// The bytes of a row, written by hand.
fn bytes(id: &SessionId, second: Option<(u8, &SessionId, u64, u64)>, nonces: &[u64]) -> Vec<u8> {
    let kind = second.map_or(0, |(kind, ..)| kind);
    let mut bytes = vec![1, kind, u8::try_from(nonces.len()).unwrap()];
    bytes.extend(deadline().to_be_bytes());
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend(digest(id));
    if let Some((_, other, seed, until)) = second {
        bytes.extend(digest(other));
        bytes.extend(seed.to_be_bytes());
        bytes.extend(until.to_be_bytes());
    }
    nonces.iter().for_each(|nonce| bytes.extend(nonce.to_be_bytes()));
    bytes.extend_from_slice(record().as_bytes());
    bytes
}

fn two_ids() -> (SessionId, SessionId) {
    let id = SessionId::random().unwrap();
    (id, id.renewed(&SessionId::random().unwrap()))
}

/// The result of a peek. The record must be the one in the bytes.
fn presented(entry: &Entry, id: &SessionId) -> Result<Presented, Lookup> {
    match Entry::look(Some(entry), id, Look::Peek, &lease(), now()).0 {
        Lookup::Found(stored) => {
            assert_eq!((&stored.record, stored.ttl), (&record(), Duration::from_secs(3600)));
            assert_eq!(stored.record.version(), Version::from_u64(VERSION));
            Ok(stored.presented)
        }
        other => Err(other),
    }
}

#[test]
fn layout_of_a_row_is_fixed() {
    let (id, other) = two_ids();
    let next = derived(id, SEED);
    let (never, soon) = (u64::MAX, deadline());
    let recent = Err(Lookup::Superseded { recent: true });
    let cases = [
        (None, Ok(Presented::Current), (other, Err(Lookup::Missing))),
        (Some((1, &other, 0, soon)), Ok(Presented::Current), (other, recent)),
        (Some((1, &other, 0, 0)), Ok(Presented::Current), (other, Err(Lookup::Superseded { recent: false }))),
        (Some((2, &next, SEED, never)), Ok(Presented::Renewing(next)), (next, Ok(Presented::Current))),
        (Some((2, &next, SEED, 0)), Err(Lookup::Superseded { recent: false }), (next, Ok(Presented::Current))),
        (Some((3, &other, 0, soon)), Ok(Presented::Current), (other, Ok(Presented::Previous))),
        (Some((3, &other, 0, 0)), Ok(Presented::Current), (other, Err(Lookup::Superseded { recent: false }))),
    ];
    for (second, by_id, (other, by_other)) in cases {
        for nonces in [&[][..], &[5], &[9, 8, 7, u64::MAX]] {
            let bytes = bytes(&id, second, nonces);
            let entry = Entry::from_bytes(&bytes).unwrap();
            assert_eq!(entry.to_bytes(), bytes);
            assert_eq!((presented(&entry, &id), presented(&entry, &other)), (by_id.clone(), by_other.clone()));
            assert_eq!((entry.deadline_ms(), entry.ttl(now())), (1_000_003_600_000, Duration::from_secs(3600)));
        }
    }
}

#[test]
fn invalid_rows_are_refused() {
    let (id, other) = two_ids();
    let whole = bytes(&id, Some((1, &other, 0, 0)), &[1, 2, 3, 4]);
    let changed = |place: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[place] = byte;
        bytes
    };
    let mut damaged = vec![changed(0, 0), changed(0, 2), changed(1, 4), changed(1, 129), changed(1, 255)];
    // More nonces than a row keeps.
    damaged.push(bytes(&id, None, &[1, 2, 3, 4, 5]));
    damaged.push(changed(2, 255));
    damaged.push([&whole[..], b"x"].concat());
    damaged.extend((0..whole.len()).map(|length| whole[..length].to_vec()));
    for bytes in damaged {
        assert!(Entry::from_bytes(&bytes).unwrap_err().is_corrupt(), "{bytes:?}");
    }
}

#[test]
fn rows_hold_digests_and_debug_hides_them() {
    let id = SessionId::random().unwrap();
    let new = id.renewed(&SessionId::random().unwrap());
    let create = Commit::create().unwrap();
    let (outcome, Write::Put(entry)) =
        Entry::apply(None, &id, &Action::Commit(&create), &lease(), now(), None).unwrap()
    else {
        panic!("a session is created")
    };
    let version = outcome.receipt().unwrap().version;
    let replace = Commit::merge(version).unwrap().with_identity(Identity::Replace(new));
    let row = Some(&entry);
    let (_, Write::Put(entry)) = Entry::apply(row, &id, &Action::Commit(&replace), &lease(), now(), None).unwrap()
    else {
        panic!("the id is replaced")
    };
    let bytes = entry.to_bytes();
    for id in [id, new] {
        let text = id.expose();
        let secret = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text).unwrap();
        assert!(!bytes.windows(16).any(|window| *window == secret[8..]));
        assert!(bytes.windows(16).any(|window| *window == digest(&id)));
    }
    assert!(format!("{entry:?}").starts_with("Entry { record: Record {"));
}

#[test]
fn expired_rows_are_not_listed() {
    let (id, _) = two_ids();
    let entry = Entry::from_bytes(&bytes(&id, None, &[])).unwrap();
    let listed = entry.listed(id.handle(), now()).unwrap();
    assert_eq!((listed.handle, listed.stored.ttl), (id.handle(), Duration::from_secs(3600)));
    assert_eq!(listed.stored.record, record());
    let time = Clock::manual();
    time.advance(Duration::from_secs(3600));
    assert!(entry.listed(Handle::from_u64(1), Now::on_calendar(&Clock::from(&time))).is_none());
}

/// Random bytes, or those of a row, damaged or not.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let id = SessionId::derive("any");
    let whole = (0..4_u8, 0..5_usize).prop_map(move |(kind, nonces)| {
        let second = (kind > 0).then_some((kind, &id, SEED, u64::MAX));
        bytes(&id, second, &[1, 2, 3, 4][..nonces])
    });
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let damaged = (whole, damage, any::<prop::sample::Index>()).prop_map(|(mut bytes, damage, cut)| {
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(cut.index(2 * bytes.len()));
        bytes
    });
    prop_oneof![prop::collection::vec(any::<u8>(), 0..200), damaged]
}

proptest! {
    #[test]
    fn model_any_row_bytes(bytes in any_bytes()) {
        match Entry::from_bytes(&bytes) {
            Err(error) => prop_assert!(error.is_corrupt()),
            Ok(entry) => prop_assert_eq!(entry.to_bytes(), bytes),
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

fn created(changes: Changes, lease: &Lease, now: Now) -> Record {
    let (id, commit) = (SessionId::random().unwrap(), Commit::create().unwrap().with(changes));
    let (_, write) = Entry::apply(None, &id, &Action::Commit(&commit), lease, now, None).unwrap();
    let Write::Put(entry) = write else { panic!("a session is created") };
    entry.record().clone()
}

#[test]
fn new_lease_limits_only_idle_time() {
    let expected = Lease {
        idle: HOUR,
        lifetime: None,
        remembered: None,
        touch_after: Duration::ZERO,
        renew_after: None,
        grace: Duration::from_secs(60),
    };
    assert_eq!(Lease::new(HOUR), expected);
    assert_eq!(Lease::UNLIMITED, Lease { idle: Duration::MAX, ..expected });
}

#[test]
fn own_timeout_and_lifetime_limit_the_ttl() {
    let time = Clock::manual();
    let now = || Now::of(&Clock::from(&time));
    let lease = Lease { lifetime: Some(3 * HOUR), remembered: Some((10 * HOUR, Some(20 * HOUR))), ..Lease::new(HOUR) };
    let begun = now();
    let plain = created(Changes::new(), &lease, begun);
    let changed = |change: fn(&mut Changes)| {
        let mut changes = Changes::new();
        change(&mut changes);
        created(changes, &lease, begun)
    };
    let patient = changed(|changes| changes.set_timeout(Some(CENTURY * 2)));
    let remembered = changed(|changes| changes.remember(true));
    let ttls = || [&Record::new(), &plain, &patient, &remembered].map(|record| lease.ttl(record, now()));
    assert_eq!(ttls(), [HOUR, HOUR, 3 * HOUR, 10 * HOUR]);
    time.advance(5 * HOUR / 2);
    assert_eq!(ttls(), [HOUR, HOUR / 2, HOUR / 2, 10 * HOUR]);
    time.advance(15 * HOUR);
    assert_eq!(ttls(), [HOUR, Duration::ZERO, Duration::ZERO, 5 * HOUR / 2]);
    // After the calendar was set back, a beginning in the future counts as now.
    time.set_wall(UNIX_EPOCH);
    assert_eq!(ttls(), [HOUR, HOUR, 3 * HOUR, 10 * HOUR]);
    assert_eq!(Lease::UNLIMITED.ttl(&patient, now()), CENTURY);
    assert_eq!(Lease::UNLIMITED.ttl(&remembered, now()), CENTURY);
}

#[test]
fn deadlines_follow_clock_or_calendar() {
    let time = Clock::manual();
    let clock = Clock::from(&time);
    let deadline = |now: Now| {
        let (id, commit) = (SessionId::random().unwrap(), Commit::create().unwrap());
        match Entry::apply(None, &id, &Action::Commit(&commit), &Lease::new(HOUR), now, None).unwrap() {
            (_, Write::Put(entry)) => entry.deadline_ms(),
            _ => panic!("a session is created"),
        }
    };
    assert_eq!((deadline(Now::of(&clock)), deadline(Now::on_calendar(&clock))), (3_601_000, 1_000_003_600_000));
    time.set_wall(UNIX_EPOCH + HOUR);
    assert_eq!((deadline(Now::of(&clock)), deadline(Now::on_calendar(&clock))), (3_601_000, 7_200_000));
    let calendars = || [Now::of(&clock), Now::on_calendar(&clock)].map(|now| now.calendar());
    assert_eq!(calendars(), [UNIX_EPOCH + HOUR; 2]);
    // The calendar has no time before the first millisecond of 1970.
    let before: SystemTime = UNIX_EPOCH - HOUR;
    time.set_wall(before);
    assert_eq!(calendars(), [UNIX_EPOCH + Duration::from_millis(1); 2]);
    assert_eq!(deadline(Now::on_calendar(&clock)), 3_600_000);
}

/// Returns true if a visit under this lease prolongs a session that has `left`.
fn is_touched(lease: &Lease, left: Duration) -> bool {
    let (id, now) = (SessionId::random().unwrap(), Now::of(&Clock::from(&Clock::manual())));
    let create = Commit::create().unwrap();
    let (_, write) = Entry::apply(None, &id, &Action::Commit(&create), &Lease::new(left), now, None).unwrap();
    let Write::Put(entry) = write else { panic!("a session is created") };
    !matches!(Entry::look(Some(&entry), &id, Look::Visit, lease, now).1, Write::Nothing)
}

#[test]
fn visits_prolong_once_per_touch_after() {
    let cases = [
        ("just touched", 3_600, 3_600, false),
        ("59 s ago", 3_600, 3_541, false),
        ("60 s ago", 3_600, 3_540, true),
        ("long ago", 3_600, 1, true),
        ("short timeout, touched", 20, 20, false),
        ("short timeout, not yet half over", 20, 11, false),
        ("short timeout, half over", 20, 10, true),
        ("the policy became stricter", 600, 3_600, true),
        ("a rounding error more than it should have", 600, 601, false),
    ];
    for (what, full, left, due) in cases {
        let lease = Lease { touch_after: Duration::from_secs(60), ..Lease::new(Duration::from_secs(full)) };
        assert_eq!(is_touched(&lease, Duration::from_secs(left)), due, "{what}");
    }
    let every = Lease::new(Duration::from_secs(10));
    assert!(is_touched(&every, Duration::from_nanos(9_999_999_999)));
    assert!(!is_touched(&every, every.idle), "nothing to note");
}
