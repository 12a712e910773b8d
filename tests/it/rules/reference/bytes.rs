//! The bytes of a row: one form, written out here, and refused if they are anything else.

use std::time::Duration;

use lembro::{
    Action, Clock, Commit, Entry, Handle, Identity, Lease, Look, Lookup, Now, Presented, Record, SessionId, Version,
    Write,
};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::model::derived;

const SEED: u64 = 0x0123_4567_89ab_cdef;
const VERSION: u64 = 0x0000_0007_0000_0002;

fn lease() -> Lease {
    Lease::new(Duration::from_secs(3600))
}

/// An hour from the time that a manual clock begins with, in nanoseconds.
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

/// What a peek finds; the record must be the one that the bytes hold.
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
fn the_form_of_a_row_is_fixed() {
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
fn bytes_that_are_no_row_are_refused() {
    let (id, other) = two_ids();
    let whole = bytes(&id, Some((1, &other, 0, 0)), &[1, 2, 3, 4]);
    let changed = |place: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[place] = byte;
        bytes
    };
    let mut damaged = vec![changed(0, 0), changed(0, 2), changed(1, 4), changed(1, 129), changed(1, 255)];
    // More nonces than a row keeps, even if all of them are there.
    damaged.push(bytes(&id, None, &[1, 2, 3, 4, 5]));
    damaged.push(changed(2, 255));
    damaged.push([&whole[..], b"x"].concat());
    damaged.extend((0..whole.len()).map(|length| whole[..length].to_vec()));
    for bytes in damaged {
        assert!(Entry::from_bytes(&bytes).unwrap_err().is_corrupt(), "{bytes:?}");
    }
}

#[test]
fn rows_hold_digests_and_no_debug_output_shows_one() {
    let id = SessionId::random().unwrap();
    let new = id.renewed(&SessionId::random().unwrap());
    let create = Commit::create().unwrap();
    let (outcome, Write::Put(entry)) =
        Entry::apply(None, &id, &Action::Commit(&create), &lease(), now(), None).unwrap()
    else {
        panic!("a session is created")
    };
    let version = outcome.receipt().unwrap().version;
    let replace = Commit::merge(version).unwrap().identity(Identity::Replace(new));
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
fn a_listed_row_says_how_long_it_lives_and_an_expired_one_is_not_listed() {
    let (id, _) = two_ids();
    let entry = Entry::from_bytes(&bytes(&id, None, &[])).unwrap();
    let listed = entry.listed(id.handle(), now()).unwrap();
    assert_eq!((listed.handle, listed.stored.ttl), (id.handle(), Duration::from_secs(3600)));
    assert_eq!(listed.stored.record, record());
    let time = Clock::manual();
    time.advance(Duration::from_secs(3600));
    assert!(entry.listed(Handle::from_u64(1), Now::on_calendar(&Clock::from(&time))).is_none());
}

/// A row, or nothing, or a bit of both.
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
    fn any_bytes_are_refused_or_there_is_one_form_of_them(bytes in any_bytes()) {
        match Entry::from_bytes(&bytes) {
            Err(error) => prop_assert!(error.is_corrupt()),
            Ok(entry) => prop_assert_eq!(entry.to_bytes(), bytes),
        }
    }
}
