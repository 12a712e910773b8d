//! A history carried out on the rule and on the model at once, and compared after every step.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};

use lembro::{
    Action, Changes, Clock, Commit, Entry, Epoch, Identity, Lease, Login, Look, Lookup, ManualClock, Now, Outcome,
    Owner, Record, Result, SessionId, Store, Version, Write,
};

use super::compare::sight_of;
use super::history::{Begun, CLIENTS, Does, Expected, History, Made, Named, OWNERS, Request, Setting, Step, Wait};
use super::model::{Model, Session};
use super::words::{Answer, Base, Edit, Instant, NewId, Origin, Sent, Sight, Written};

/// A store of one row, as its documentation says to write one.
pub(super) struct OneRow {
    pub(super) row: Mutex<Held>,
    clock: Clock,
    is_on_calendar: bool,
}

#[derive(Default)]
pub(super) struct Held {
    pub(super) entry: Option<Entry>,
    epoch: Option<Epoch>,
    /// What the last call answered and wrote.
    pub(super) outcome: Option<Outcome>,
    pub(super) written: Option<Written>,
}

impl OneRow {
    pub(super) fn now(&self) -> Now {
        if self.is_on_calendar { Now::on_calendar(&self.clock) } else { Now::of(&self.clock) }
    }
}

impl Held {
    fn keep(&mut self, write: Write) {
        self.written = Some(match write {
            Write::Nothing => Written::Nothing,
            Write::Put(entry) => {
                self.entry = Some(entry);
                Written::Row
            }
            Write::Remove => {
                self.entry = None;
                Written::Removal
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
        (held.outcome, held.written) = (None, Some(Written::Nothing));
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
    /// Every id there was.
    pub(super) ids: Vec<SessionId>,
    seen: Vec<Sighting>,
    sent: Vec<(SessionId, Commit, Sent)>,
    epochs: [u64; OWNERS.len()],
    /// The upper half of the versions of each incarnation.
    pub(super) incarnations: BTreeMap<Origin, u64>,
}

/// Carries a history out and compares; which cases it met.
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
                // What was sent as a repeat stays one.
                let is_repeated = *is_repeated || sent.is_repeated;
                self.send(by, id, &commit, &Sent { is_repeated, ..sent });
            }
            Step::Touch(by) => self.act(by, None, Does::Touch),
            Step::End(by) => self.act(by, None, Does::End),
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
            // As it is after the look: a visit can note when the session got its id.
            self.seen.push(Sighting { record: stored.record, session: self.model.session.clone().unwrap() });
        }
    }

    /// A look, a touch or the end, by the version of a sighting if there is one.
    fn act(&mut self, by: &Request, seen: Option<Sighting>, does: Does) {
        let (id, lease, now) = (self.cookies[by.client], self.setting.leases[by.lease], self.now());
        let (version, held) = seen.map(|Sighting { record, session }| (record.version(), session.version())).unzip();
        let (action, answered) = match does {
            Does::Look => {
                let (Some(version), Some(held)) = (version, held) else { return };
                let sight = self.model.hold(id, held, &lease, now);
                assert_eq!(sight_of(&self.store.look(&id, Look::Held(version), &lease).unwrap()), sight);
                assert_eq!(self.store.row.lock().unwrap().written, Some(Written::Nothing));
                return;
            }
            Does::Touch => (Action::Touch(version), self.model.touch(id, held, &lease, now)),
            Does::End => (Action::End(version), self.model.end(id, held, now)),
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

    fn commit(&mut self, by: &Request, made: &Made) {
        let id = self.cookies[by.client];
        let Some((commit, base)) = self.expectation(made) else { return };
        let (new_id, identity) = match made.named {
            Named::Keep => (NewId::Keep, Identity::Keep),
            Named::Renew(seed) => (NewId::Renew(seed), Identity::Renew(seed)),
            Named::Replace | Named::ReplaceElsewhere => {
                let fresh = SessionId::random().unwrap();
                let new = if matches!(made.named, Named::Replace) { id.renewed(&fresh) } else { fresh };
                (NewId::Replace(new), Identity::Replace(new))
            }
        };
        let mut commit = commit.with(changes(&made.edits)).identity(identity);
        let mut login = None;
        if let Some((owner, begun)) = &made.login {
            let present = self.epochs[*owner];
            let begun = match begun {
                Begun::WithTheCommit => None,
                Begun::Now => Some(present),
                Begun::Before(ends) => Some(present.saturating_sub(*ends)),
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
        let sent = Sent { serial: self.sent.len(), base, edits, new_id, login, is_repeated: made.is_repeated };
        self.sent.push((id, commit.clone(), sent.clone()));
        self.send(by, id, &commit, &sent);
    }

    /// A commit that expects what the client saw.
    fn expectation(&self, made: &Made) -> Option<(Commit, Base)> {
        // Most histories go on with a session.
        let is_over = self.model.live(self.now()).is_none() && made.seen == 0 && made.ahead == 0;
        if matches!(made.expected, Expected::Absent) || is_over {
            return Some((Commit::create().unwrap(), Base::Absent));
        }
        let Sighting { record, session } = back(&self.seen, made.seen)?;
        let mut seen = session.version();
        seen.commits = seen.commits.checked_add(made.ahead)?;
        let version = Version::from_u64(record.version().to_u64() + u64::from(made.ahead));
        Some(match made.expected {
            Expected::Exactly => (Commit::exactly(version).unwrap(), Base::Exactly(seen)),
            _ => (Commit::merge(version).unwrap(), Base::Merge(seen)),
        })
    }

    fn send(&mut self, by: &Request, id: SessionId, commit: &Commit, sent: &Sent) {
        let lease = self.setting.leases[by.lease];
        let owner = sent.login.as_ref().and_then(|(name, _)| OWNERS.iter().position(|owner| owner == name));
        let epoch = owner.filter(|_| self.setting.has_owners).map(|owner| self.epochs[owner]);
        self.store.row.lock().unwrap().epoch = epoch.map(Epoch::from_u64);
        let answered = self.model.commit(id, sent, &lease, self.now(), epoch);
        let got = self.store.commit(&id, commit, &lease);
        self.compare_outcome(by, got, &answered);
        if answered.1 == Written::Row {
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
