//! Comparisons: what was answered and what can be seen of a row, with what the model says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lembro::{Error, Look, Lookup, Outcome, Presented, Record, Result, Store as _, Version};

use super::history::Request;
use super::model::Session;
use super::words::{Answer, Seen, Sight, Written};
use super::world::World;

impl World {
    pub(super) fn compare_outcome(
        &mut self,
        by: &Request,
        got: Result<Outcome>,
        (answer, written): &(Answer, Written),
    ) {
        let got = match got {
            Ok(outcome) => self.answer_of(outcome, answer),
            Err(error) => refusal_of(&error),
        };
        assert_eq!(got, *answer);
        assert_eq!(self.store.row.lock().unwrap().written, Some(*written));
        if let Answer::Done { announce: Some(id), .. } = got {
            self.announce(by, id);
        }
    }

    fn answer_of(&mut self, outcome: Outcome, answer: &Answer) -> Answer {
        match outcome {
            Outcome::Done(receipt) => Answer::Done {
                version: self.seen_of(receipt.version, answer),
                ttl: receipt.ttl,
                announce: receipt.announce,
            },
            Outcome::Gone => Answer::Gone,
            Outcome::Superseded => Answer::Superseded,
            Outcome::Taken => Answer::Taken,
            Outcome::Changed => Answer::Changed,
            Outcome::LoginRevoked => Answer::LoginRevoked,
            Outcome::AtLimit => unreachable!(),
        }
    }

    /// The model's name of a version. A number that was never met is that of the incarnation in the
    /// answer.
    fn seen_of(&mut self, version: Version, answer: &Answer) -> Seen {
        let (number, commits) = (version.to_u64() >> 32, u32::try_from(version.to_u64() & 0xffff_ffff).unwrap());
        if let Some((incarnation, _)) = self.incarnations.iter().find(|(_, known)| **known == number) {
            return Seen { incarnation: *incarnation, commits };
        }
        let Answer::Done { version: Seen { incarnation, .. }, .. } = *answer else {
            panic!("done, and not {answer:?}")
        };
        assert_eq!(self.incarnations.insert(incarnation, number), None, "one incarnation has two numbers");
        Seen { incarnation, commits }
    }

    /// Everything that can be seen of a row is as the model says.
    pub(super) fn compare(&self) {
        let (now, lease) = (self.now(), self.setting.leases[0]);
        let watched: Vec<_> = self.cookies.iter().chain(self.ids.iter().rev().take(4)).copied().collect();
        for id in watched {
            let sight = self.model.peek(id, &lease, now);
            assert_eq!(sight_of(&self.store.look(&id, Look::Peek, &lease).unwrap()), sight);
            assert_eq!(self.store.row.lock().unwrap().written, Some(Written::Nothing), "a peek");
            let is_open = matches!(sight, Sight::Current(_) | Sight::Renewing(..) | Sight::Previous(_));
            assert!(self.store.get(&id).unwrap().is_some() || !is_open);
        }
        let held = self.store.row.lock().unwrap();
        let listed = held.entry.as_ref().and_then(|entry| entry.listed(self.ids[0].handle(), self.store.now()));
        assert_eq!(listed.is_some(), self.model.live(now).is_some());
        let (Some(entry), Some(session)) = (&held.entry, &self.model.session) else {
            assert!(held.entry.is_none() && self.model.session.is_none());
            return;
        };
        let millis = session.ends.as_nanos().div_ceil(1_000_000);
        assert_eq!(u128::try_from(entry.deadline_ms()).unwrap(), millis);
        assert_eq!(entry.ttl(self.store.now()), session.ends.saturating_sub(now.clock));
        compare_data(entry.record(), session);
    }
}

fn compare_data(record: &Record, session: &Session) {
    let entries = record
        .entries()
        .map(|(component, key, value)| ((component.to_owned(), key.to_owned()), value.get().to_owned()));
    assert!(entries.eq(session.keys.clone()));
    let calendar = |since: Duration| -> SystemTime { UNIX_EPOCH + since };
    assert_eq!(record.created_at(), Some(calendar(session.created)));
    let login = session.login.as_ref();
    assert_eq!(record.owner(), login.map(|(owner, _)| &**owner));
    assert_eq!(record.owner_since(), login.map(|(_, since)| calendar(*since)));
    assert_eq!(record.id_since(), Some(calendar(session.id_since.unwrap_or(session.created))));
    assert_eq!((record.label(), record.timeout()), (session.label.as_deref(), session.timeout));
    assert_eq!(record.is_remembered(), session.is_remembered);
}

pub(super) fn sight_of(lookup: &Lookup) -> Sight {
    match lookup {
        Lookup::Missing => Sight::Missing,
        Lookup::Superseded { recent } => Sight::Superseded { recent: *recent },
        Lookup::Found(stored) => match stored.presented {
            Presented::Current => Sight::Current(stored.ttl),
            Presented::Renewing(id) => Sight::Renewing(stored.ttl, id),
            Presented::Previous => Sight::Previous(stored.ttl),
        },
    }
}

fn refusal_of(error: &Error) -> Answer {
    match () {
        () if error.is_unknown() => Answer::Unknown,
        () if error.is_id() => Answer::BadId,
        () if error.is_size() => Answer::TooLarge,
        () => panic!("{error}"),
    }
}
