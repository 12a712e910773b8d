//! The bytes of a row: refused, or taken for exactly what they are, and the rule has an answer to all
//! of it.

use std::time::Duration;

use lembro::{Action, Clock, Commit, Entry, Expect, Identity, Lease, Look, Now, Outcome, SessionId, Write};

fn id() -> SessionId {
    SessionId::derive("from outside")
}

fn lease() -> Lease {
    let hour = Duration::from_secs(3600);
    let lifetime = Some(24 * hour);
    Lease { lifetime, remembered: Some((24 * hour, None)), renew_after: Some(hour), ..Lease::new(hour) }
}

pub fn check(bytes: &[u8]) {
    let entry = match Entry::from_bytes(bytes) {
        Err(error) => {
            assert!(error.is_corrupt(), "{error}");
            return;
        }
        Ok(entry) => entry,
    };
    assert_eq!(entry.to_bytes(), bytes, "there is one form of everything");
    assert!(entry.deadline_ms() >= 0);
    let now = Now::on_calendar(&Clock::from(&Clock::manual()));
    assert_eq!(entry.listed(id().handle(), now).is_some(), !entry.ttl(now).is_zero());
    for how in [Look::Peek, Look::Visit] {
        let (lookup, write) = Entry::look(Some(&entry), &id(), how, &lease(), now);
        assert!(lookup.found().is_none_or(|stored| stored.record == *entry.record()));
        check_write(write);
    }
    let version = entry.record().version();
    for commit in [Commit::create(), Commit::merge(version), Commit::exactly(version)] {
        let mut commit = commit.unwrap().identity(Identity::Renew(7));
        commit.changes.insert("fuzz", "key", "value").unwrap();
        let is_absent = commit.expect() == Expect::Absent;
        match Entry::apply(Some(&entry), &id(), &Action::Commit(&commit), &lease(), now, None) {
            Ok((outcome, write)) => {
                assert!(!is_absent || outcome.is_done() == entry.ttl(now).is_zero());
                check_write(write);
            }
            Err(error) => assert!(error.is_size(), "{error}"),
        }
    }
    for action in [Action::Touch, Action::End, Action::Put(entry.record(), Duration::from_secs(60))] {
        let (outcome, write) = Entry::apply(Some(&entry), &id(), &action, &lease(), now, None).unwrap();
        assert!(outcome.is_done() || matches!(outcome, Outcome::Gone | Outcome::Superseded | Outcome::Taken));
        check_write(write);
    }
}

/// What is written can be read again.
fn check_write(write: Write) {
    if let Write::Put(row) = write {
        let bytes = row.to_bytes();
        assert_eq!(Entry::from_bytes(&bytes).unwrap().to_bytes(), bytes);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let time = Clock::manual();
    let mut rows = Vec::new();
    let mut entry: Option<Entry> = None;
    let mut step = |action: &Action<'_>| {
        let now = Now::on_calendar(&Clock::from(&time));
        let (outcome, write) = Entry::apply(entry.as_ref(), &id(), action, &lease(), now, None).unwrap();
        if let Write::Put(row) = write {
            rows.push(row.to_bytes());
            entry = Some(row);
        }
        time.advance(Duration::from_secs(3600) / 2);
        outcome.receipt().unwrap().version
    };
    let mut create = Commit::create().unwrap();
    create.changes.insert("cart", "items", &[1, 2, 3]).unwrap();
    create.changes.set_label(Some("Firefox")).unwrap();
    let owner = lembro::Owner::new("ada").unwrap();
    let mut version = step(&Action::Commit(&create.log_in(lembro::Login::new(owner))));
    for _ in 0..6 {
        let commit = Commit::merge(version).unwrap().identity(Identity::Renew(7));
        version = step(&Action::Commit(&commit));
    }
    let replaced = Commit::merge(version).unwrap().identity(Identity::Replace(id().renewed(&SessionId::derive("new"))));
    step(&Action::Commit(&replaced));
    rows
}
