//! Input from outside, which is refused or works: the targets of `tests/fuzz`, for a moment.
#![cfg(all(feature = "web", feature = "testing"))]

use crate::support::from_outside::{TARGETS, Target, snapshot};
use lembro::{Clock, Owner, Owners as _, Store};
use proptest::prelude::*;
use proptest::sample::Index;

/// A change of a fuzzer to a seed.
#[derive(Clone, Debug)]
enum Mutation {
    Byte(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Cut(Index),
    /// A copy of a part to another place.
    Repeat(Index, Index, usize),
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let piece = |from: usize, length: usize, all: usize| from..from.saturating_add(length).min(all);
        match self {
            _ if bytes.is_empty() => {}
            Self::Byte(place, byte) => {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            Self::Insert(place, more) => {
                let place = place.index(bytes.len());
                bytes.splice(place..place, more.iter().copied());
            }
            Self::Remove(place, length) => drop(bytes.drain(piece(place.index(bytes.len()), *length, bytes.len()))),
            Self::Cut(place) => bytes.truncate(place.index(bytes.len())),
            Self::Repeat(from, to, length) => {
                let copied = bytes[piece(from.index(bytes.len()), *length, bytes.len())].to_vec();
                let to = to.index(bytes.len());
                bytes.splice(to..to, copied);
            }
        }
    }
}

/// Any byte, or a separator of texts from outside.
fn any_byte() -> impl Strategy<Value = u8> {
    prop_oneof![any::<u8>(), prop::sample::select(&b";,.=\"\\ \n%[]{}0"[..])]
}

fn any_mutation() -> impl Strategy<Value = Mutation> {
    let piece = prop::collection::vec(any_byte(), 1..9);
    prop_oneof![
        3 => (any::<Index>(), any_byte()).prop_map(|(place, byte)| Mutation::Byte(place, byte)),
        1 => (any::<Index>(), piece).prop_map(|(place, more)| Mutation::Insert(place, more)),
        1 => (any::<Index>(), 1..20_usize).prop_map(|(place, length)| Mutation::Remove(place, length)),
        1 => any::<Index>().prop_map(Mutation::Cut),
        1 => (any::<(Index, Index)>(), 1..80_usize).prop_map(|((from, to), length)| Mutation::Repeat(from, to, length)),
    ]
}

fn any_target() -> impl Strategy<Value = &'static Target> {
    (0..TARGETS.len()).prop_map(|which| &TARGETS[which])
}

#[test]
fn fuzzing_seeds_are_understood() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(seeds.len() >= 3, "{}", target.name);
        seeds.iter().for_each(|seed| (target.check)(seed));
    }
}

#[test]
fn all_snapshot_forms_lead_to_sessions() {
    let forms: Vec<_> = snapshot::seeds().iter().map(|seed| snapshot::file(seed).unwrap()).collect();
    for (file, sessions) in forms.iter().zip([0, 0, 0, 1, 1, 1, 5, 5, 5]) {
        let folder = snapshot::Folder::new();
        let store = snapshot::restore(&folder.write(file, snapshot::base(file), &[]), &Clock::manual()).unwrap();
        assert_eq!(store.len().unwrap(), sessions);
    }
}

// Found by fuzzing: the next "log out everywhere" would have overflowed, and not revoked a login.
#[test]
fn snapshots_with_the_last_epoch_are_refused() {
    let (folder, sessions_alone) = (snapshot::Folder::new(), [2]);
    let restore = |epoch: u64| {
        let file = snapshot::file(&[&sessions_alone[..], &[0; 8], &epoch.to_be_bytes()].concat()).unwrap();
        snapshot::restore(&folder.write(&file, 0, &[]), &Clock::manual())
    };
    for epoch in [u64::MAX, u64::MAX / 2 + 1] {
        assert!(restore(epoch).unwrap_err().is_persist());
    }
    let store = restore(u64::MAX / 2).unwrap();
    let ada = Owner::new("ada").unwrap();
    let before = store.epoch(&ada).unwrap();
    store.destroy_all(&ada, None).unwrap();
    assert!(store.epoch(&ada).unwrap() > before);
}

proptest! {
    // Several readers share the seeds.
    #![proptest_config(ProptestConfig::with_cases(4 * ProptestConfig::default().cases))]

    #[test]
    fn model_any_bytes_are_refused_or_work(target in any_target(), bytes in prop::collection::vec(any_byte(), 0..300)) {
        (target.check)(&bytes);
    }

    #[test]
    fn model_mutations_are_refused_or_work(
        target in any_target(),
        seed in any::<Index>(),
        mutations in prop::collection::vec(any_mutation(), 1..5),
    ) {
        let mut seeds = (target.seeds)();
        let mut bytes = seeds.swap_remove(seed.index(seeds.len()));
        mutations.iter().for_each(|mutation| mutation.apply(&mut bytes));
        (target.check)(&bytes);
    }

    #[test]
    fn model_mutated_snapshots_are_refused(mutations in prop::collection::vec(any_mutation(), 1..5)) {
        let whole = snapshot::file(&snapshot::seeds()[6]).unwrap();
        let mut file = whole.clone();
        mutations.iter().for_each(|mutation| mutation.apply(&mut file));
        let folder = snapshot::Folder::new();
        match snapshot::restore(&folder.write(&file, snapshot::base(&whole), &[]), &Clock::manual()) {
            Ok(_) => prop_assert!(file == whole),
            Err(error) => prop_assert!(error.is_persist(), "{}", error),
        }
    }
}
