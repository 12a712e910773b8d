//! The run of a history on the rule and on the model, compared after every step.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lembro::{
    Action, Changes, Clock, Commit, Entry, Epoch, Error, Identity, Lease, Login, Look, Lookup, ManualClock, Now,
    Outcome, Owner, Presented, Record, Result, SessionId, Store, Version, Write,
};

use super::history::{
    BasePlan, CLIENTS, CommitDraft, HeldAction, History, IdPlan, LoginStart, OWNERS, Request, Setting, Step, Wait,
};
use super::session::{
    Answer, Base, Edit, Instant, Model, ModelVersion, NewId, Origin, RowWrite, SentCommit, Session, Sight,
};

/// A store of one row, written as the documentation of `Store` shows.
pub(super) struct OneRow {
    pub(super) row: Mutex<RowSlot>,
    clock: Clock,
    is_on_calendar: bool,
}

#[derive(Default)]
pub(super) struct RowSlot {
    pub(super) entry: Option<Entry>,
    epoch: Option<Epoch>,
    /// The outcome and the write of the last call.
    pub(super) outcome: Option<Outcome>,
    pub(super) written: Option<RowWrite>,
}

impl OneRow {
    pub(super) fn now(&self) -> Now {
        if self.is_on_calendar { Now::on_calendar(&self.clock) } else { Now::of(&self.clock) }
    }
}

impl RowSlot {
    fn keep(&mut self, write: Write) {
        self.written = Some(match write {
            Write::Nothing => RowWrite::Nothing,
            Write::Put(entry) => {
                self.entry = Some(entry);
                RowWrite::Row
            }
            Write::Remove => {
                self.entry = None;
                RowWrite::Removal
            }
        });
    }
}

impl Store for OneRow {
    fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        let mut held = self.row.lock().unwrap();
        let (lookup, write) = Entry::look(held.entry.as_ref(), id, how, lease, self.now());
        held.keep(write);
        Ok(lookup)
    }

    fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        let mut held = self.row.lock().unwrap();
        (held.outcome, held.written) = (None, Some(RowWrite::Nothing));
        let epoch = action.login().and(held.epoch);
        let (outcome, write) = Entry::apply(held.entry.as_ref(), id, action, lease, self.now(), epoch)?;
        held.keep(write);
        held.outcome = Some(outcome);
        Ok(outcome)
    }

    fn clock(&self) -> Clock {
        self.clock.clone()
    }
}

/// A session as a client saw it.
#[derive(Clone)]
struct Sighting {
    record: Record,
    session: Session,
}

pub(super) struct World {
    pub(super) store: OneRow,
    time: ManualClock,
    pub(super) setting: Setting,
    pub(super) model: Model,
    pub(super) cookies: [SessionId; CLIENTS],
    /// All ids that there were.
    pub(super) ids: Vec<SessionId>,
    seen: Vec<Sighting>,
    sent: Vec<(SessionId, Commit, SentCommit)>,
    epochs: [u64; OWNERS.len()],
    /// The upper half of the versions of each incarnation.
    pub(super) incarnations: BTreeMap<Origin, u64>,
}

/// Carries out and compares a history, and returns the cases that occurred.
pub(crate) fn run(history: &History) -> BTreeMap<&'static str, usize> {
    let mut world = World::new(history.setting.clone());
    for step in &history.steps {
        world.take(step);
        world.compare();
    }
    world.model.met
}

fn back<T: Clone>(list: &[T], count: usize) -> Option<T> {
    list.iter().rev().nth(count).or(list.first()).cloned()
}

impl World {
    fn new(setting: Setting) -> Self {
        let time = Clock::manual();
        let id = SessionId::random().unwrap();
        let store = OneRow { row: Mutex::default(), clock: Clock::from(&time), is_on_calendar: setting.is_on_calendar };
        Self {
            store,
            time,
            setting,
            model: Model::default(),
            cookies: [id; CLIENTS],
            ids: vec![id],
            seen: Vec::new(),
            sent: Vec::new(),
            epochs: [0; OWNERS.len()],
            incarnations: BTreeMap::new(),
        }
    }

    pub(super) fn now(&self) -> Instant {
        let wall = self.store.clock.wall().duration_since(UNIX_EPOCH).unwrap();
        let calendar = Duration::from_millis(u64::try_from(wall.as_millis()).unwrap().max(1));
        Instant { clock: if self.setting.is_on_calendar { wall } else { self.store.clock.now() }, calendar }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Look { by, is_visit } => self.look(by, *is_visit),
            Step::Commit { by, made } => self.commit(by, made),
            Step::Again { by, back: count, is_repeated } => {
                let Some((id, commit, sent)) = back(&self.sent, *count) else { return };
                let commit = if *is_repeated { commit.repeated() } else { commit };
                // A commit that was sent as repeated stays repeated.
                let is_repeated = *is_repeated || sent.is_repeated;
                self.send(by, id, &commit, &SentCommit { is_repeated, ..sent });
            }
            Step::Touch(by) => self.act(by, None, HeldAction::Touch),
            Step::End(by) => self.act(by, None, HeldAction::End),
            Step::Held { by, seen, does } => self.act(by, back(&self.seen, *seen), *does),
            Step::Set { by, seen, edits, ttl } => self.set(by, *seen, edits, *ttl),
            Step::EndAllOf(owner) => {
                self.epochs[*owner] += 1;
                let session = self.model.session.as_ref();
                if session.is_some_and(|session| session.login.as_ref().is_some_and(|(by, _)| by == OWNERS[*owner])) {
                    self.model.session = None;
                    self.store.row.lock().unwrap().entry = None;
                }
            }
            Step::Pass(Wait::For(span)) => self.time.advance(*span),
            Step::Pass(Wait::Deadline(early)) => {
                let now = self.now();
                let left = self.model.live(now).map(|session| session.left(now));
                let left = left.filter(|left| *left < Duration::from_secs(1_000_000)).unwrap_or_default();
                self.time.advance(left.saturating_sub(*early));
            }
            Step::Jump { by, is_back } => {
                let wall = self.store.clock.wall();
                let back = || wall.duration_since(UNIX_EPOCH).unwrap().saturating_sub(*by);
                self.time.set_wall(if *is_back { UNIX_EPOCH + back() } else { wall + *by });
            }
            Step::Join { client, with } => self.cookies[*client] = self.cookies[*with],
            Step::Dig { client, back: count } => {
                let guess = || self.ids[0].renewed(&SessionId::random().unwrap());
                self.cookies[*client] = count.and_then(|count| back(&self.ids, count)).unwrap_or_else(guess);
            }
            Step::Purge => self.purge(),
            Step::ThroughBytes => {
                let mut held = self.store.row.lock().unwrap();
                let Some(entry) = &held.entry else { return };
                let bytes = entry.to_bytes();
                let again = Entry::from_bytes(&bytes).unwrap();
                assert_eq!(again.to_bytes(), bytes);
                held.entry = Some(again);
            }
        }
    }

    fn purge(&mut self) {
        let now = self.now();
        let now_ms = i64::try_from(now.clock.as_millis()).unwrap();
        let mut held = self.store.row.lock().unwrap();
        if held.entry.as_ref().is_some_and(|entry| entry.deadline_ms() <= now_ms) {
            assert!(self.model.live(now).is_none(), "a live row would be purged");
            (held.entry, self.model.session) = (None, None);
        }
    }

    fn look(&mut self, by: &Request, is_visit: bool) {
        let (id, lease) = (self.cookies[by.client], self.setting.leases[by.lease]);
        let (sight, written) = self.model.look(id, is_visit, &lease, self.now());
        let lookup = self.store.look(&id, if is_visit { Look::Visit } else { Look::Peek }, &lease).unwrap();
        assert_eq!(self.store.row.lock().unwrap().written, Some(written));
        assert_eq!(sight_of(&lookup), sight);
        if let Sight::Renewing(_, next) = sight {
            self.announce(by, next);
        }
        if let Some(stored) = lookup.found() {
            // The record after the look, because a visit can note when the session got its id.
            self.seen.push(Sighting { record: stored.record, session: self.model.session.clone().unwrap() });
        }
    }

    /// A look, a touch or the end, with the version of a sighting if there is one.
    fn act(&mut self, by: &Request, seen: Option<Sighting>, does: HeldAction) {
        let (id, lease, now) = (self.cookies[by.client], self.setting.leases[by.lease], self.now());
        let (version, held) = seen.map(|Sighting { record, session }| (record.version(), session.version())).unzip();
        let (action, answered) = match does {
            HeldAction::Look => {
                let (Some(version), Some(held)) = (version, held) else { return };
                let sight = self.model.hold(id, held, &lease, now);
                assert_eq!(sight_of(&self.store.look(&id, Look::Held(version), &lease).unwrap()), sight);
                assert_eq!(self.store.row.lock().unwrap().written, Some(RowWrite::Nothing));
                return;
            }
            HeldAction::Touch => (Action::Touch(version), self.model.touch(id, held, &lease, now)),
            HeldAction::End => (Action::End(version), self.model.end(id, held, now)),
        };
        let got = self.store.apply(&id, &action, &lease);
        self.compare_outcome(by, got, &answered);
    }

    pub(super) fn announce(&mut self, by: &Request, id: SessionId) {
        if !self.ids.contains(&id) {
            self.ids.push(id);
        }
        if !by.is_lost {
            self.cookies[by.client] = id;
        }
    }

    fn commit(&mut self, by: &Request, made: &CommitDraft) {
        let id = self.cookies[by.client];
        let Some((commit, base)) = self.expectation(made) else { return };
        let (new_id, identity) = match made.named {
            IdPlan::Keep => (NewId::Keep, Identity::Keep),
            IdPlan::Renew(seed) => (NewId::Renew(seed), Identity::Renew(seed)),
            IdPlan::Replace | IdPlan::ReplaceElsewhere => {
                let fresh = SessionId::random().unwrap();
                let new = if matches!(made.named, IdPlan::Replace) { id.renewed(&fresh) } else { fresh };
                (NewId::Replace(new), Identity::Replace(new))
            }
        };
        let mut commit = commit.with(changes(&made.edits)).with_identity(identity);
        let mut login = None;
        if let Some((owner, begun)) = &made.login {
            let present = self.epochs[*owner];
            let begun = match begun {
                LoginStart::WithTheCommit => None,
                LoginStart::Now => Some(present),
                LoginStart::Before(ends) => Some(present.saturating_sub(*ends)),
            };
            let name = OWNERS[*owner];
            commit =
                commit.log_in(Login { begun: begun.map(Epoch::from_u64), ..Login::new(Owner::new(name).unwrap()) });
            login = Some((name.to_owned(), begun));
        }
        if made.is_repeated {
            commit = commit.repeated();
        }
        let edits = made.edits.clone();
        let sent = SentCommit { serial: self.sent.len(), base, edits, new_id, login, is_repeated: made.is_repeated };
        self.sent.push((id, commit.clone(), sent.clone()));
        self.send(by, id, &commit, &sent);
    }

    /// A commit that expects the version that the client saw.
    fn expectation(&self, made: &CommitDraft) -> Option<(Commit, Base)> {
        // Most histories create another session after the end of one.
        let is_over = self.model.live(self.now()).is_none() && made.seen == 0 && made.ahead == 0;
        if matches!(made.expected, BasePlan::Absent) || is_over {
            return Some((Commit::create().unwrap(), Base::Absent));
        }
        let Sighting { record, session } = back(&self.seen, made.seen)?;
        let mut seen = session.version();
        seen.commits = seen.commits.checked_add(made.ahead)?;
        let version = Version::from_u64(record.version().to_u64() + u64::from(made.ahead));
        Some(match made.expected {
            BasePlan::Exactly => (Commit::exactly(version).unwrap(), Base::Exactly(seen)),
            _ => (Commit::merge(version).unwrap(), Base::Merge(seen)),
        })
    }

    fn send(&mut self, by: &Request, id: SessionId, commit: &Commit, sent: &SentCommit) {
        let lease = self.setting.leases[by.lease];
        let owner = sent.login.as_ref().and_then(|(name, _)| OWNERS.iter().position(|owner| owner == name));
        let epoch = owner.filter(|_| self.setting.has_owners).map(|owner| self.epochs[owner]);
        self.store.row.lock().unwrap().epoch = epoch.map(Epoch::from_u64);
        let answered = self.model.commit(id, sent, &lease, self.now(), epoch);
        let got = self.store.commit(&id, commit, &lease);
        self.compare_outcome(by, got, &answered);
        if answered.1 == RowWrite::Row {
            let record = self.store.row.lock().unwrap().entry.as_ref().unwrap().record().clone();
            self.seen.push(Sighting { record, session: self.model.session.clone().unwrap() });
        }
    }

    fn set(&mut self, by: &Request, seen: Option<usize>, edits: &[Edit], ttl: Duration) {
        let id = self.cookies[by.client];
        let now = self.now();
        let seen = seen.and_then(|count| back(&self.seen, count));
        let Sighting { record, session } = seen.unwrap_or_else(|| Sighting {
            record: changes(edits).apply(&Record::new()).unwrap(),
            session: Session::blank(now.calendar).edited(edits),
        });
        let answered = self.model.set(id, &session, ttl, now);
        let got = self.store.set(&id, record, ttl);
        assert_eq!(got.is_ok(), answered.0 != Answer::Taken);
        assert!(got.err().is_none_or(|error| error.is_taken()));
        let outcome = self.store.row.lock().unwrap().outcome.unwrap();
        self.compare_outcome(by, Ok(outcome), &answered);
    }
}

fn changes(edits: &[Edit]) -> Changes {
    let mut changes = Changes::new();
    for edit in edits {
        match edit {
            Edit::Set(component, key, value) => {
                changes.insert(component, key, &value.parse::<u8>().unwrap()).unwrap();
            }
            Edit::Unset(component, key) => changes.remove(component, key).unwrap(),
            Edit::Clear => changes.clear(),
            Edit::ClearComponent(component) => changes.clear_component(component),
            Edit::Timeout(timeout) => changes.set_timeout(*timeout),
            Edit::Remember(remembered) => changes.remember(*remembered),
            Edit::Label(label) => changes.set_label(label.as_deref()).unwrap(),
            Edit::Flood => {
                (0..=lembro::MAX_KEYS).for_each(|key| changes.insert("", &format!("f{key}"), &0).unwrap());
            }
        }
    }
    changes
}

impl World {
    pub(super) fn compare_outcome(
        &mut self,
        by: &Request,
        got: Result<Outcome>,
        (answer, written): &(Answer, RowWrite),
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

    /// The model's version for a version. A new number belongs to the incarnation in the answer.
    fn seen_of(&mut self, version: Version, answer: &Answer) -> ModelVersion {
        let (number, commits) = (version.to_u64() >> 32, u32::try_from(version.to_u64() & 0xffff_ffff).unwrap());
        if let Some((incarnation, _)) = self.incarnations.iter().find(|(_, known)| **known == number) {
            return ModelVersion { incarnation: *incarnation, commits };
        }
        let Answer::Done { version: ModelVersion { incarnation, .. }, .. } = *answer else {
            panic!("done, and not {answer:?}")
        };
        assert_eq!(self.incarnations.insert(incarnation, number), None, "one incarnation has two numbers");
        ModelVersion { incarnation, commits }
    }

    /// Compares all that a row shows with the model.
    pub(super) fn compare(&self) {
        let (now, lease) = (self.now(), self.setting.leases[0]);
        let watched: Vec<_> = self.cookies.iter().chain(self.ids.iter().rev().take(4)).copied().collect();
        for id in watched {
            let sight = self.model.peek(id, &lease, now);
            assert_eq!(sight_of(&self.store.look(&id, Look::Peek, &lease).unwrap()), sight);
            assert_eq!(self.store.row.lock().unwrap().written, Some(RowWrite::Nothing), "a peek");
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
