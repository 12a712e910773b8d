//! Leases and instants.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lembro::{Action, Changes, Clock, Commit, Entry, Lease, Look, Now, Record, SessionId, Write};

const HOUR: Duration = Duration::from_secs(3600);
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

fn created(changes: Changes, lease: &Lease, now: Now) -> Record {
    let (id, commit) = (SessionId::random().unwrap(), Commit::create().unwrap().with(changes));
    let (_, write) = Entry::apply(None, &id, &Action::Commit(&commit), lease, now, None).unwrap();
    let Write::Put(entry) = write else { panic!("a session is created") };
    entry.record().clone()
}

#[test]
fn a_lease_of_an_idle_timeout_limits_nothing_else() {
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
fn a_session_lives_for_its_own_timeout_and_at_most_what_is_left_of_its_lifetime() {
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
    // The calendar is set back: a beginning in the future has used up nothing.
    time.set_wall(UNIX_EPOCH);
    assert_eq!(ttls(), [HOUR, HOUR, 3 * HOUR, 10 * HOUR]);
    assert_eq!(Lease::UNLIMITED.ttl(&patient, now()), CENTURY);
    assert_eq!(Lease::UNLIMITED.ttl(&remembered, now()), CENTURY);
}

#[test]
fn deadlines_go_by_the_clock_or_by_the_calendar() {
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
    // Before 1970 there is no time; a millisecond after it begins stands for all of that.
    let before: SystemTime = UNIX_EPOCH - HOUR;
    time.set_wall(before);
    assert_eq!(calendars(), [UNIX_EPOCH + Duration::from_millis(1); 2]);
    assert_eq!(deadline(Now::on_calendar(&clock)), 3_600_000);
}

/// Whether a visit under this lease prolongs a session that has `left`.
fn is_touched(lease: &Lease, left: Duration) -> bool {
    let (id, now) = (SessionId::random().unwrap(), Now::of(&Clock::from(&Clock::manual())));
    let create = Commit::create().unwrap();
    let (_, write) = Entry::apply(None, &id, &Action::Commit(&create), &Lease::new(left), now, None).unwrap();
    let Write::Put(entry) = write else { panic!("a session is created") };
    !matches!(Entry::look(Some(&entry), &id, Look::Visit, lease, now).1, Write::Nothing)
}

#[test]
fn a_visit_is_noted_once_per_touch_after_and_when_there_is_too_much_left() {
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
