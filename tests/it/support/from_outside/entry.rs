//! The bytes of a row, as a database keeps them: refused, or a row that answers every call.

use std::time::Duration;

use lembro::{
    Action, Changes, Clock, Commit, Entry, Identity, Lease, Login, Look, Lookup, Now, Owner, Presented, Record,
    SessionId, Version, Write,
};

pub fn check(bytes: &[u8]) {
    let entry = match Entry::from_bytes(bytes) {
        Ok(entry) => entry,
        Err(error) => return assert!(error.is_corrupt(), "{error}"),
    };
    check_bytes(&entry);
    let time = Clock::manual();
    let lease = Lease { renew_after: Some(Duration::ZERO), lifetime: Some(HOUR), ..Lease::new(HOUR) };
    for lease in [Lease::UNLIMITED, Lease::new(HOUR), lease] {
        for id in [current(), current().renewed(&SessionId::derive("new")), SessionId::derive("another")] {
            check_rule(&entry, &id, &lease, Now::on_calendar(&Clock::from(&time)));
        }
    }
}

/// The bytes of a row are read as the same row.
fn check_bytes(entry: &Entry) {
    let bytes = entry.to_bytes();
    let again = Entry::from_bytes(&bytes).unwrap();
    assert_eq!(again.to_bytes(), bytes);
    assert_eq!((again.record(), again.deadline_ms()), (entry.record(), entry.deadline_ms()));
    assert_eq!(again.record().version(), entry.record().version());
    assert!(entry.deadline_ms() >= 0 && format!("{entry:?}").starts_with("Entry"));
}

/// Each call has an answer, and each row to write has bytes.
fn check_rule(entry: &Entry, id: &SessionId, lease: &Lease, now: Now) {
    let is_live = !entry.ttl(now).is_zero();
    assert_eq!(entry.listed(id.handle(), now).is_some(), is_live);
    for how in [Look::Peek, Look::Visit, Look::Held(entry.record().version())] {
        let (lookup, write) = Entry::look(Some(entry), id, how, lease, now);
        if let Lookup::Found(stored) = &lookup {
            assert!(is_live && !stored.ttl.is_zero());
            // The first visit with a new id notes its time, beside the data.
            let written = if let Write::Put(written) = &write { written } else { entry };
            assert_eq!(&stored.record, written.record());
            assert!(data(&stored.record).eq(data(entry.record())));
            assert_eq!(stored.record.version(), entry.record().version());
            assert!(!matches!(stored.presented, Presented::Renewing(new) if new == *id || new.handle() != id.handle()));
        }
        assert!(is_live || matches!(write, Write::Nothing));
        check_write(&write);
    }
    let (record, version) = (Record::new(), entry.record().version());
    let new = id.renewed(&SessionId::derive("next"));
    let merge = |version| Commit::merge(version).unwrap().with(changes());
    let commits = [
        Commit::create().unwrap().with(changes()),
        merge(version),
        merge(Version::from_u64(7)),
        merge(version).repeated(),
        Commit::exactly(version).unwrap().with(changes()).with_identity(Identity::Renew(7)),
        merge(version).with_identity(Identity::Replace(new)).log_in(Login::new(Owner::new("grace").unwrap())),
        merge(version).log_in(Login::new(Owner::new("ada").unwrap())),
    ];
    let actions = commits
        .iter()
        .map(Action::Commit)
        .chain([None, Some(version)].into_iter().flat_map(|held| [Action::Touch(held), Action::End(held)]))
        .chain([Action::Put(&record, HOUR)]);
    for action in actions {
        match Entry::apply(Some(entry), id, &action, lease, now, None) {
            Ok((outcome, write)) => {
                assert!(outcome.is_done() || matches!(write, Write::Nothing), "{outcome:?} {write:?}");
                check_write(&write);
            }
            Err(error) => assert!(error.is_size() || error.is_unknown() || error.is_id(), "{error}"),
        }
    }
}

fn data(record: &Record) -> impl Iterator<Item = (&str, &str, &str)> {
    record.entries().map(|(component, key, value)| (component, key, value.get()))
}

fn check_write(write: &Write) {
    if let Write::Put(entry) = write {
        check_bytes(entry);
        assert!(Record::from_bytes(entry.record().as_bytes()).is_ok());
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// The id whose digest the seeds hold.
fn current() -> SessionId {
    SessionId::derive("ada")
}

fn changes() -> Changes {
    let mut changes = Changes::new();
    changes.insert("", "seen", &true).unwrap();
    changes
}

/// A row of each kind: new, changed, with a new id, and at both stages of a renewal.
pub fn seeds() -> Vec<Vec<u8>> {
    let (id, time) = (current(), Clock::manual());
    let lease = Lease { renew_after: Some(Duration::ZERO), ..Lease::new(HOUR) };
    let now = || Now::on_calendar(&Clock::from(&time));
    let commit = |row: Option<&Entry>, commit: &Commit| {
        let (outcome, write) = Entry::apply(row, &id, &Action::Commit(commit), &lease, now(), None).unwrap();
        let Write::Put(entry) = write else { panic!("{outcome:?}") };
        (entry, outcome.receipt().and_then(|receipt| receipt.announce))
    };
    let login = Login::new(Owner::new("ada").unwrap());
    let (created, _) = commit(None, &Commit::create().unwrap().with(changes()).log_in(login));
    let merge = |row: &Entry| Commit::merge(row.record().version()).unwrap();
    let mut changed = created.clone();
    for _ in 0..5 {
        changed = commit(Some(&changed), &merge(&changed)).0;
    }
    let new = id.renewed(&SessionId::derive("new"));
    let (replaced, _) = commit(Some(&changed), &merge(&changed).with_identity(Identity::Replace(new)));
    time.advance(HOUR / 2);
    let (pending, successor) = commit(Some(&changed), &merge(&changed).with_identity(Identity::Renew(7)));
    let (_, confirmed) = Entry::look(Some(&pending), &successor.unwrap(), Look::Visit, &lease, now());
    let Write::Put(previous) = confirmed else { panic!("{confirmed:?}") };
    // The previous id as a pending one: they differ only in this byte.
    let mut crossed = previous.to_bytes();
    crossed[1] = pending.to_bytes()[1];
    let rows = [created, changed, replaced, pending, previous];
    rows.iter().map(Entry::to_bytes).chain([crossed]).collect()
}
