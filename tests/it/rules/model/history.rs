//! Histories: random requests of a few clients to one session, and the time between them.

use std::time::Duration;

use lembro::Lease;
use proptest::prelude::*;

use super::session::Edit;

pub(crate) const CLIENTS: usize = 3;
pub(crate) const OWNERS: [&str; 2] = ["ada", "grace"];

#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) setting: Setting,
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// Deadlines are on the calendar.
    pub(crate) is_on_calendar: bool,
    pub(crate) has_owners: bool,
    /// The lease of the policy, and that of another application or of an earlier policy.
    pub(crate) leases: [Lease; 2],
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Look {
        by: Request,
        is_visit: bool,
    },
    /// A look, a touch or the end, with a version that was seen this many looks ago.
    Held {
        by: Request,
        seen: usize,
        does: HeldAction,
    },
    Commit {
        by: Request,
        made: CommitDraft,
    },
    /// A commit of this many commits ago, sent again, and marked as repeated or not.
    Again {
        by: Request,
        back: usize,
        is_repeated: bool,
    },
    Touch(Request),
    End(Request),
    /// A `set` of the record that was seen this many looks ago, or of a new one.
    Set {
        by: Request,
        seen: Option<usize>,
        edits: Vec<Edit>,
        ttl: Duration,
    },
    EndAllOf(usize),
    Pass(Wait),
    /// The calendar is set.
    Jump {
        by: Duration,
        is_back: bool,
    },
    /// The client presents the id of another one, as a thief or a second tab does.
    Join {
        client: usize,
        with: usize,
    },
    /// The client presents an earlier id, or a guess.
    Dig {
        client: usize,
        back: Option<usize>,
    },
    Purge,
    ThroughBytes,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum HeldAction {
    Look,
    Touch,
    End,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) client: usize,
    pub(crate) lease: usize,
    /// The response never arrives, nor an id in it.
    pub(crate) is_lost: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum BasePlan {
    Absent,
    Merge,
    Exactly,
}

#[derive(Clone, Debug)]
pub(crate) enum IdPlan {
    Keep,
    Renew(u64),
    Replace,
    ReplaceElsewhere,
}

/// The choices for a commit.
#[derive(Clone, Debug)]
pub(crate) struct CommitDraft {
    pub(crate) expected: BasePlan,
    /// The version that it is based on, counted back from the last one seen.
    pub(crate) seen: usize,
    /// How many commits that version is ahead, because a failover lost these commits.
    pub(crate) ahead: u32,
    pub(crate) edits: Vec<Edit>,
    pub(crate) named: IdPlan,
    pub(crate) login: Option<(usize, LoginStart)>,
    pub(crate) is_repeated: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum LoginStart {
    WithTheCommit,
    Now,
    /// Before this many calls of "log out everywhere".
    Before(u64),
}

#[derive(Clone, Debug)]
pub(crate) enum Wait {
    For(Duration),
    /// Until the session's deadline, or a nanosecond before.
    Deadline(Duration),
}

fn seconds(choices: &'static [u64]) -> impl Strategy<Value = Duration> {
    prop::sample::select(choices).prop_map(Duration::from_secs)
}

fn lease() -> impl Strategy<Value = Lease> {
    let lifetime = || prop_oneof![Just(None), seconds(&[150, 1_000]).prop_map(Some)];
    let idle = || prop_oneof![8 => seconds(&[40, 100, 300]), 1 => Just(Duration::MAX), 1 => Just(Duration::ZERO)];
    let remembered = prop_oneof![Just(None), (seconds(&[500, 2_000]), lifetime()).prop_map(Some)];
    let renew_after = prop_oneof![1 => Just(None), 5 => seconds(&[0, 10, 30, 90]).prop_map(Some)];
    (idle(), lifetime(), remembered, seconds(&[0, 5, 60]), renew_after, seconds(&[0, 10, 20, 60])).prop_map(
        |(idle, lifetime, remembered, touch_after, renew_after, grace)| Lease {
            lifetime,
            remembered,
            touch_after,
            renew_after,
            grace,
            ..Lease::new(idle)
        },
    )
}

fn setting() -> impl Strategy<Value = Setting> {
    let has_owners = prop::bool::weighted(0.9);
    (any::<bool>(), has_owners, lease(), lease()).prop_map(|(is_on_calendar, has_owners, one, two)| Setting {
        is_on_calendar,
        has_owners,
        leases: [one, two],
    })
}

/// Usually 0, or a few.
fn few() -> impl Strategy<Value = usize> {
    prop_oneof![6 => Just(0_usize), 2 => Just(1), 1 => 0..8_usize]
}

fn request() -> impl Strategy<Value = Request> {
    let lease = prop_oneof![7 => Just(0_usize), 1 => Just(1)];
    let client = prop_oneof![3 => Just(0), 2 => 0..CLIENTS];
    (client, lease, prop::bool::weighted(0.25)).prop_map(|(client, lease, is_lost)| Request { client, lease, is_lost })
}

fn edit() -> impl Strategy<Value = Edit> {
    let component = || prop::sample::select(&["", "", "cart"][..]).prop_map(str::to_owned);
    let key = || "[a-c]".prop_map(|key| key);
    let timeouts = [0, 700, 5_000_000, 40_000_000, 40_000_700, 400_000_000_u64].map(Duration::from_micros);
    prop_oneof![
        12 => (component(), key(), 0..100_u8).prop_map(|(component, key, value)| Edit::Set(component, key, value.to_string())),
        4 => (component(), key()).prop_map(|(component, key)| Edit::Unset(component, key)),
        2 => Just(Edit::Clear),
        2 => component().prop_map(Edit::ClearComponent),
        2 => prop::option::weighted(0.7, prop::sample::select(timeouts.to_vec())).prop_map(Edit::Timeout),
        2 => any::<bool>().prop_map(Edit::Remember),
        2 => prop::option::weighted(0.7, "[a-z]{0,9}").prop_map(Edit::Label),
    ]
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop_oneof![60 => prop::collection::vec(edit(), 0..4), 1 => Just(vec![Edit::Flood])]
}

fn login() -> impl Strategy<Value = (usize, LoginStart)> {
    let begun =
        prop_oneof![Just(LoginStart::WithTheCommit), Just(LoginStart::Now), (1..3_u64).prop_map(LoginStart::Before)];
    (prop_oneof![2 => Just(0_usize), 1 => Just(1)], begun)
}

fn made() -> impl Strategy<Value = CommitDraft> {
    let expected = prop_oneof![1 => Just(BasePlan::Absent), 8 => Just(BasePlan::Merge), 2 => Just(BasePlan::Exactly)];
    let identity = prop_oneof![
        4 => Just((IdPlan::Keep, None)),
        9 => any::<u64>().prop_map(|seed| (IdPlan::Renew(seed), None)),
        2 => Just((IdPlan::Replace, None)),
        5 => login().prop_map(|login| (IdPlan::Replace, Some(login))),
        1 => login().prop_map(|login| (IdPlan::Keep, Some(login))),
        1 => (any::<u64>(), login()).prop_map(|(seed, login)| (IdPlan::Renew(seed), Some(login))),
        1 => prop::option::of(login()).prop_map(|login| (IdPlan::ReplaceElsewhere, login)),
    ];
    let ahead = prop_oneof![20 => Just(0_u32), 1 => 1..9_u32, 1 => Just(u32::MAX)];
    (expected, few(), ahead, edits(), identity, prop::bool::weighted(0.1)).prop_map(
        |(expected, seen, ahead, edits, (named, login), is_repeated)| CommitDraft {
            expected,
            seen,
            ahead,
            edits,
            named,
            login,
            is_repeated,
        },
    )
}

fn wait() -> impl Strategy<Value = Wait> {
    prop_oneof![
        8 => seconds(&[1, 5, 10, 20, 30, 60]).prop_map(Wait::For),
        1 => seconds(&[120, 150, 1_000]).prop_map(Wait::For),
        2 => prop::sample::select(vec![1, 999_999, 1_000_000, 2_500_000_000_u64])
            .prop_map(|nanos| Wait::For(Duration::from_nanos(nanos))),
        1 => (0..2_u64).prop_map(|early| Wait::Deadline(Duration::from_nanos(early))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let client = || 0..CLIENTS;
    let ttl = prop_oneof![
        4 => seconds(&[0, 30, 300]),
        1 => Just(Duration::MAX),
        // A little more than 64 bits of nanoseconds can count.
        1 => Just(Duration::from_secs(18_446_744_074)),
        1 => Just(Duration::from_nanos(1_500_000_001)),
    ];
    let set_keys = prop::collection::vec("[a-c]", 0..3)
        .prop_map(|keys| keys.into_iter().map(|key| Edit::Set(String::new(), key, "7".to_owned())).collect());
    prop_oneof![
        30 => (request(), prop::bool::weighted(0.8)).prop_map(|(by, is_visit)| Step::Look { by, is_visit }),
        34 => (request(), made()).prop_map(|(by, made)| Step::Commit { by, made }),
        8 => (request(), few(), prop::bool::weighted(0.8))
            .prop_map(|(by, back, is_repeated)| Step::Again { by, back, is_repeated }),
        3 => request().prop_map(Step::Touch),
        4 => held(),
        1 => request().prop_map(Step::End),
        1 => (request(), prop::option::of(few()), set_keys, ttl)
            .prop_map(|(by, seen, edits, ttl)| Step::Set { by, seen, edits, ttl }),
        1 => (0..OWNERS.len()).prop_map(Step::EndAllOf),
        26 => wait().prop_map(Step::Pass),
        1 => (seconds(&[10, 60, 700, 1_500_000_000]), any::<bool>())
            .prop_map(|(by, is_back)| Step::Jump { by, is_back }),
        5 => (client(), client()).prop_map(|(client, with)| Step::Join { client, with }),
        2 => (client(), prop::option::weighted(0.8, few())).prop_map(|(client, back)| Step::Dig { client, back }),
        2 => Just(Step::Purge),
        4 => Just(Step::ThroughBytes),
    ]
}

fn held() -> impl Strategy<Value = Step> {
    let does = prop_oneof![5 => Just(HeldAction::Look), 3 => Just(HeldAction::Touch), 1 => Just(HeldAction::End)];
    (request(), few(), does).prop_map(|(by, seen, does)| Step::Held { by, seen, does })
}

/// A small commit of a client that is logged in, which renews its id if that is due.
fn small_commit() -> impl Strategy<Value = Step> {
    let small = prop::collection::vec(edit(), 0..2);
    (request(), any::<u64>(), small, few()).prop_map(|(by, seed, edits, seen)| {
        let (expected, named) = (BasePlan::Merge, IdPlan::Renew(seed));
        Step::Commit {
            by,
            made: CommitDraft { expected, seen, ahead: 0, edits, named, login: None, is_repeated: false },
        }
    })
}

fn login_of(client: usize) -> Step {
    let made = CommitDraft {
        expected: BasePlan::Absent,
        seen: 0,
        ahead: 0,
        edits: Vec::new(),
        named: IdPlan::Keep,
        login: Some((0, LoginStart::WithTheCommit)),
        is_repeated: false,
    };
    Step::Commit { by: Request { client, lease: 0, is_lost: false }, made }
}

/// Clients that share one long login, so that ids are renewed.
fn calm_history() -> impl Strategy<Value = History> {
    let calm = (lease(), seconds(&[0, 10, 30, 90])).prop_map(|(lease, after)| Lease {
        idle: lease.idle.max(Duration::from_secs(100)),
        renew_after: Some(after),
        ..lease
    });
    let visit = request().prop_map(|by| Step::Look { by, is_visit: true });
    let step = prop_oneof![
        8 => visit,
        6 => small_commit(),
        1 => held(),
        1 => (request(), few()).prop_map(|(by, seen)| {
            Step::Set { by, seen: Some(seen), edits: Vec::new(), ttl: Duration::from_secs(300) }
        }),
        8 => seconds(&[1, 5, 10, 20, 30]).prop_map(|span| Step::Pass(Wait::For(span))),
        6 => step(),
    ];
    let history = (calm, setting(), any::<(bool, bool)>(), prop::collection::vec(step, 1..60));
    history.prop_map(|(lease, mut setting, (is_without_renewal, is_deaf), mut steps)| {
        setting.leases[0] = lease;
        if is_without_renewal {
            setting.leases[1] = Lease { renew_after: None, ..lease };
        }
        if is_deaf {
            steps.iter_mut().for_each(lose_the_response);
        }
        steps.insert(0, login_of(0));
        History { setting, steps }
    })
}

/// Makes a client continue with its old id, as a thief does.
fn lose_the_response(step: &mut Step) {
    if let Step::Look { by, .. } | Step::Commit { by, .. } = step {
        by.is_lost = true;
    }
}

pub(crate) fn history() -> impl Strategy<Value = History> {
    let any = (setting(), prop::collection::vec(step(), 1..60));
    prop_oneof![any.prop_map(|(setting, steps)| History { setting, steps }), calm_history()]
}
