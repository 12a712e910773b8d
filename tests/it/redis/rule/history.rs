//! Random histories of one session: operations, leases and changes.

use std::time::Duration;

use lembro::{Changes, Lease};
use proptest::prelude::*;

/// An operation. Its numbers choose among the ids, versions and commits that exist then.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Look {
        id: usize,
        visit: bool,
        lease: usize,
    },
    Commit {
        id: usize,
        expect: Expect,
        version: usize,
        changes: Vec<Change>,
        identity: NewId,
        login: Option<LoginOp>,
        lease: usize,
    },
    /// Sends an earlier commit again.
    Repeat {
        commit: usize,
        lease: usize,
    },
    /// Makes so many commits, and then repeats the last one before them.
    Others {
        id: usize,
        commits: usize,
    },
    Touch {
        id: usize,
        lease: usize,
    },
    /// A look, a touch or the end, with a version that was read earlier.
    Held {
        id: usize,
        what: usize,
        version: usize,
        lease: usize,
    },
    Put {
        id: usize,
        record: usize,
        ttl_ms: u64,
    },
    End {
        id: usize,
    },
    EndAll {
        owner: usize,
        except: Option<usize>,
    },
    Wait {
        ms: u64,
    },
    /// Sets the calendar.
    Jump {
        ms: i64,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Expect {
    Absent,
    Incarnation,
    Exactly,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum NewId {
    Keep,
    Renew,
    Replace,
}

#[derive(Clone, Debug)]
pub(super) struct LoginOp {
    pub(super) owner: usize,
    /// How many epochs of the owner ago the login began. `None`: with the commit.
    pub(super) begun: Option<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Insert(usize, usize, u64),
    Remove(usize, usize),
    Clear,
    ClearComponent(usize),
    Timeout(Option<u64>),
    Remember(bool),
    Label(Option<bool>),
    /// So many keys that two such changes exceed the limit.
    Many(usize),
}

const COMPONENTS: [&str; 3] = ["", "cart", "c"];
const KEYS: [&str; 3] = ["a", "key", "é\0"];

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => (0..3_usize, 0..3_usize, any::<u64>()).prop_map(|(c, k, v)| Change::Insert(c, k, v)),
        3 => (0..3_usize, 0..3_usize).prop_map(|(c, k)| Change::Remove(c, k)),
        1 => Just(Change::Clear),
        1 => (0..3_usize).prop_map(Change::ClearComponent),
        2 => prop::option::weighted(0.8, prop_oneof![1 => Just(0), 3 => 1..2_000_u64, 2 => 10_000..100_000_u64])
            .prop_map(Change::Timeout),
        2 => any::<bool>().prop_map(Change::Remember),
        2 => any::<Option<bool>>().prop_map(Change::Label),
        2 => (0..3_usize).prop_map(Change::Many),
    ]
}

/// A commit that asks for a new id and changes nothing else.
pub(super) fn renewal(id: usize, lease: usize) -> Op {
    Op::Commit {
        id,
        expect: Expect::Incarnation,
        version: 0,
        changes: Vec::new(),
        identity: NewId::Renew,
        login: None,
        lease,
    }
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let expect = prop_oneof![2 => Just(Expect::Absent), 5 => Just(Expect::Incarnation), 2 => Just(Expect::Exactly)];
    let identity = prop_oneof![4 => Just(NewId::Keep), 4 => Just(NewId::Renew), 2 => Just(NewId::Replace)];
    let who = (prop_oneof![3 => Just(0_usize), 1 => Just(1)], prop::option::weighted(0.8, 0..4_usize))
        .prop_map(|(owner, begun)| LoginOp { owner, begun });
    // Mostly the latest ids and commits.
    let recent = || prop_oneof![4 => 0..2_usize, 2 => 0..3_usize, 1 => 0..100_usize];
    let commit = (
        recent(),
        expect,
        prop_oneof![4 => Just(0_usize), 1 => 0..20_usize],
        prop::collection::vec(change(), 0..4),
        identity,
        prop::option::weighted(0.2, who),
        prop_oneof![2 => 0..3_usize, 1 => 3..5_usize],
    );
    let commit = commit.prop_map(|(id, expect, version, changes, identity, login, lease)| Op::Commit {
        id,
        expect,
        version,
        changes,
        identity,
        login,
        lease,
    });
    let renewal = (0..2_usize, 0..3_usize).prop_map(|(id, lease)| renewal(id, lease));
    prop_oneof![
        4 => renewal,
        11 => (recent(), prop::bool::weighted(0.8), prop_oneof![4 => 0..3_usize, 1 => 3..5_usize]).prop_map(|(id, visit, lease)| Op::Look { id, visit, lease }),
        10 => commit,
        3 => (prop_oneof![1 => 0..3_usize, 2 => 3..12_usize], 0..5_usize).prop_map(|(commit, lease)| Op::Repeat { commit, lease }),
        2 => (recent(), 1..7_usize).prop_map(|(id, commits)| Op::Others { id, commits }),
        2 => (recent(), 0..5_usize).prop_map(|(id, lease)| Op::Touch { id, lease }),
        4 => (recent(), 0..6_usize, prop_oneof![1 => Just(0_usize), 1 => 0..20_usize], 0..5_usize)
            .prop_map(|(id, what, version, lease)| Op::Held { id, what, version, lease }),
        1 => (recent(), 0..20_usize, prop_oneof![1 => Just(0), 4 => 1..5_000_u64])
            .prop_map(|(id, record, ttl_ms)| Op::Put { id, record, ttl_ms }),
        1 => (1..100_usize).prop_map(|id| Op::End { id }),
        2 => (prop_oneof![3 => Just(0_usize), 1 => Just(1)], prop::option::weighted(0.8, 0..3_usize)).prop_map(|(owner, except)| Op::EndAll { owner, except }),
        5 => prop_oneof![2 => 1..600_u64, 6 => (1..8_u64).prop_map(|n| n * 100), 1 => 600..1_500_u64, 1 => 1_500..30_000_u64].prop_map(|ms| Op::Wait { ms }),
        1 => (-20_000..20_000_i64).prop_map(|ms| Op::Jump { ms }),
    ]
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn lease(number: usize) -> Lease {
    let base = Lease { touch_after: ms(400), grace: ms(500), ..Lease::new(ms(2_000)) };
    match number {
        0 => Lease { renew_after: Some(ms(300)), ..base },
        1 => {
            Lease { renew_after: Some(ms(900)), lifetime: Some(ms(7_000)), remembered: Some((ms(9_000), None)), ..base }
        }
        2 => Lease { lifetime: Some(ms(5_001)), grace: Duration::ZERO, renew_after: Some(ms(1)), ..base },
        3 => Lease { remembered: Some((ms(500), Some(ms(1_500)))), touch_after: Duration::ZERO, ..base },
        _ => Lease::UNLIMITED,
    }
}

pub(super) fn changes_of(list: &[Change]) -> Changes {
    let mut changes = Changes::new();
    for change in list {
        match change {
            Change::Insert(component, key, value) => {
                changes.insert(COMPONENTS[*component], KEYS[*key], value).unwrap();
            }
            Change::Remove(component, key) => changes.remove(COMPONENTS[*component], KEYS[*key]).unwrap(),
            Change::Clear => changes.clear(),
            Change::ClearComponent(component) => changes.clear_component(COMPONENTS[*component]),
            Change::Timeout(timeout) => changes.set_timeout(timeout.map(ms)),
            Change::Remember(remembered) => changes.remember(*remembered),
            Change::Label(label) => changes.set_label(label.map(|one| if one { "a phone" } else { "" })).unwrap(),
            Change::Many(which) => {
                (0..600).for_each(|n| changes.insert("many", &format!("{}", n + which * 400), &n).unwrap());
            }
        }
    }
    changes
}
