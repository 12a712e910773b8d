//! The model of a session: a list of ids with their validity, a map of keys, and times as spans.
//!
//! It keeps whole secrets, and all commits that there were.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lembro::{Lease, MAX_KEYS, SessionId};
use sha2::{Digest as _, Sha256};

const NEVER: Duration = Duration::from_nanos(u64::MAX);

/// One instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instant {
    /// On the clock of the deadlines.
    pub(crate) clock: Duration,
    /// Since 1970, in whole milliseconds.
    pub(crate) calendar: Duration,
}

impl Instant {
    /// The deadline after a span. A span of zero is over for every reader.
    pub(super) fn after(self, span: Duration) -> Duration {
        if span.is_zero() { Duration::ZERO } else { self.clock.saturating_add(span).min(NEVER) }
    }
}

/// The beginning of an incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// The commit with this serial number.
    Commit(usize),
    /// The call of `set` with this serial number.
    Set(usize),
}

/// A version: an incarnation, and the number of its commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModelVersion {
    pub(crate) incarnation: Origin,
    pub(crate) commits: u32,
}

#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Set(String, String, String),
    Unset(String, String),
    Clear,
    ClearComponent(String),
    Timeout(Option<Duration>),
    Remember(bool),
    Label(Option<String>),
    /// One key more than a session may have.
    Flood,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Base {
    Absent,
    Merge(ModelVersion),
    Exactly(ModelVersion),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum NewId {
    Keep,
    Renew(u64),
    Replace(SessionId),
}

/// A commit as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct SentCommit {
    pub(crate) serial: usize,
    pub(crate) base: Base,
    pub(crate) edits: Vec<Edit>,
    pub(crate) new_id: NewId,
    /// The owner, and the epoch in which the login began.
    pub(crate) login: Option<(String, Option<u64>)>,
    pub(crate) is_repeated: bool,
}

/// The answer that the rule must give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done { version: ModelVersion, ttl: Duration, announce: Option<SessionId> },
    Gone,
    Superseded,
    Taken,
    Changed,
    LoginRevoked,
    Unknown,
    BadId,
    TooLarge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    Missing,
    Superseded { recent: bool },
    Current(Duration),
    Renewing(Duration, SessionId),
    Previous(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowWrite {
    Nothing,
    Row,
    Removal,
}

/// Component and key, and the value as JSON.
pub(crate) type Keys = BTreeMap<(String, String), String>;

const CENTURY: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);

/// The validity of an id of a session.
#[derive(Clone, Copy, Debug)]
pub(super) enum Validity {
    Everything,
    /// It opens the session until then, and announces the next id. `None`: the end is not set yet.
    Leaving {
        next: SessionId,
        until: Option<Duration>,
    },
    /// It opens the session, and a visit makes it the current id.
    Coming,
    /// It opens the session until then.
    Left {
        until: Duration,
    },
    /// It opens nothing. Until then a request with it counts as in flight.
    Nothing {
        until: Duration,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(super) begun_by: Origin,
    /// The commits since the incarnation began.
    pub(super) commits: Vec<usize>,
    pub(crate) keys: Keys,
    pub(crate) created: Duration,
    pub(crate) login: Option<(String, Duration)>,
    pub(crate) id_since: Option<Duration>,
    pub(crate) label: Option<String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) is_remembered: bool,
    pub(crate) ends: Duration,
    pub(super) ids: Vec<(SessionId, Validity)>,
}

/// The content of a store under one handle.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) session: Option<Session>,
    sets: usize,
    /// How often each case occurred.
    pub(crate) met: BTreeMap<&'static str, usize>,
}

impl Session {
    /// A session without data.
    pub(crate) fn blank(created: Duration) -> Session {
        Session {
            begun_by: Origin::Set(usize::MAX),
            commits: Vec::new(),
            keys: Keys::new(),
            created,
            login: None,
            id_since: None,
            label: None,
            timeout: None,
            is_remembered: false,
            ends: Duration::ZERO,
            ids: Vec::new(),
        }
    }

    pub(crate) fn version(&self) -> ModelVersion {
        ModelVersion { incarnation: self.begun_by, commits: u32::try_from(self.commits.len()).unwrap() }
    }

    pub(crate) fn left(&self, now: Instant) -> Duration {
        self.ends.saturating_sub(now.clock)
    }

    pub(crate) fn current(&self) -> SessionId {
        let is_current = |good: &Validity| matches!(good, Validity::Everything | Validity::Leaving { .. });
        self.ids.iter().find(|(_, good)| is_current(good)).unwrap().0
    }

    pub(super) fn good(&self, id: SessionId) -> Option<Validity> {
        self.ids.iter().find(|(one, _)| *one == id).map(|(_, good)| *good)
    }

    pub(super) fn next_of(&self, id: SessionId) -> Option<SessionId> {
        match self.good(id) {
            Some(Validity::Leaving { next, .. }) => Some(next),
            _ => None,
        }
    }

    /// The time that the session has if it is prolonged now.
    pub(super) fn allowance(&self, lease: &Lease, now: Instant) -> Duration {
        let remembered = lease.remembered.filter(|_| self.is_remembered);
        let (idle, lifetime) = remembered.unwrap_or((lease.idle, lease.lifetime));
        let idle = self.timeout.unwrap_or(idle).min(CENTURY);
        let began = self.login.as_ref().map_or(self.created, |(_, since)| self.created.max(*since));
        lifetime.map_or(idle, |lifetime| idle.min(lifetime.saturating_sub(now.calendar.saturating_sub(began))))
    }

    pub(crate) fn edited(mut self, edits: &[Edit]) -> Self {
        self.edit(edits);
        self
    }

    pub(super) fn edit(&mut self, edits: &[Edit]) {
        for edit in edits {
            match edit.clone() {
                Edit::Set(component, key, value) => drop(self.keys.insert((component, key), value)),
                Edit::Unset(component, key) => drop(self.keys.remove(&(component, key))),
                Edit::Clear => self.keys.clear(),
                Edit::ClearComponent(component) => self.keys.retain(|(other, _), _| *other != component),
                Edit::Timeout(timeout) => self.timeout = timeout.map(to_the_millisecond),
                Edit::Remember(remembered) => self.is_remembered = remembered,
                Edit::Label(label) => self.label = label,
                Edit::Flood => {
                    let name = |key| (String::new(), format!("f{key}"));
                    self.keys.extend((0..=MAX_KEYS).map(|key| (name(key), "0".to_owned())));
                }
            }
        }
    }
}

fn to_the_millisecond(span: Duration) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap())
}

/// The id that a timed renewal derives.
pub(crate) fn derived(id: SessionId, seed: u64) -> SessionId {
    let mut bytes = URL_SAFE_NO_PAD.decode(id.expose()).unwrap();
    let digest = Sha256::digest([&b"lembro renewal 1"[..], &bytes[8..], &seed.to_be_bytes()].concat());
    bytes[8..].copy_from_slice(&digest[..16]);
    URL_SAFE_NO_PAD.encode(bytes).parse().unwrap()
}

impl Model {
    pub(super) fn meet(&mut self, case: &'static str) {
        *self.met.entry(case).or_default() += 1;
    }

    /// A peek that is not counted among the cases.
    pub(crate) fn peek(&self, id: SessionId, lease: &Lease, now: Instant) -> Sight {
        let mut copy = Self { session: self.session.clone(), ..Self::default() };
        copy.look(id, false, lease, now).0
    }

    /// The session, if its time is not over.
    pub(crate) fn live(&self, now: Instant) -> Option<&Session> {
        self.session.as_ref().filter(|session| now.clock < session.ends)
    }

    /// The validity of an id now, if it opens the session.
    pub(super) fn open(&mut self, id: SessionId, now: Instant) -> Result<(Validity, Session), Sight> {
        let Some(session) = self.live(now).cloned() else {
            self.meet(if self.session.is_some() { "expired" } else { "none" });
            return Err(Sight::Missing);
        };
        let (case, opened) = match session.good(id) {
            None => ("guess", Err(Sight::Missing)),
            Some(good @ Validity::Everything) => ("current", Ok(good)),
            Some(good @ Validity::Leaving { until: None, .. }) => ("leaving", Ok(good)),
            Some(good @ Validity::Leaving { until: Some(until), .. }) if now.clock < until => {
                ("leaving again", Ok(good))
            }
            Some(Validity::Leaving { .. }) => ("leaving over", Err(Sight::Superseded { recent: false })),
            Some(good @ Validity::Coming) => ("coming", Ok(good)),
            Some(good @ Validity::Left { until }) if now.clock < until => ("left", Ok(good)),
            Some(Validity::Left { .. }) => ("left over", Err(Sight::Superseded { recent: false })),
            Some(Validity::Nothing { until }) if now.clock < until => ("dead", Err(Sight::Superseded { recent: true })),
            Some(Validity::Nothing { .. }) => ("dead long", Err(Sight::Superseded { recent: false })),
        };
        self.meet(case);
        opened.map(|good| (good, session))
    }

    /// The session, if the id opens it or it is the session that is held.
    fn open_held(&mut self, id: SessionId, held: Option<ModelVersion>, now: Instant) -> Result<Session, Sight> {
        let opened = self.open(id, now).map(|(_, session)| session);
        let is_held = |session: &&Session| held.is_some_and(|held| held.incarnation == session.begun_by);
        match (opened, self.live(now).filter(is_held).cloned()) {
            (Err(_), Some(session)) => {
                self.meet("held");
                Ok(session)
            }
            (Err(sight), None) if held.is_some() => {
                self.meet("not held");
                Err(sight)
            }
            (opened, _) => opened,
        }
    }

    /// A peek at the session of this incarnation.
    pub(super) fn hold(&mut self, id: SessionId, held: ModelVersion, lease: &Lease, now: Instant) -> Sight {
        let peeked = self.peek(id, lease, now);
        let Some(ttl) = self.live(now).map(|session| session.allowance(lease, now).min(session.left(now))) else {
            return peeked;
        };
        let is_closed = matches!(peeked, Sight::Missing | Sight::Superseded { .. });
        match self.open_held(id, Some(held), now) {
            Ok(_) if is_closed && !ttl.is_zero() => Sight::Previous(ttl),
            _ => peeked,
        }
    }

    pub(crate) fn look(&mut self, id: SessionId, is_visit: bool, lease: &Lease, now: Instant) -> (Sight, RowWrite) {
        if self.live(now).is_some_and(|session| session.allowance(lease, now).is_zero()) {
            self.meet("look: lifetime over");
            return (Sight::Missing, RowWrite::Nothing);
        }
        let (good, mut session) = match self.open(id, now) {
            Ok(opened) => opened,
            Err(sight) => return (sight, RowWrite::Nothing),
        };
        let (full, left) = (session.allowance(lease, now), session.left(now));
        let mut written = RowWrite::Nothing;
        let most = full.abs_diff(left);
        let is_due = is_visit && !most.is_zero() && (most >= lease.touch_after || most >= full / 2);
        if is_due {
            self.meet(if left > full { "visit shortens" } else { "visit prolongs" });
            session.ends = now.after(full);
            written = RowWrite::Row;
        } else if is_visit {
            self.meet("visit not due");
        }
        let ttl = if is_due { full } else { full.min(left) };
        let sight = match good {
            Validity::Everything | Validity::Coming => Sight::Current(ttl),
            Validity::Leaving { next, .. } => Sight::Renewing(ttl, next),
            Validity::Left { .. } => Sight::Previous(ttl),
            Validity::Nothing { .. } => unreachable!(),
        };
        match good {
            Validity::Coming if is_visit => {
                self.meet("confirmed");
                let old = session.current();
                let end = session.ids.iter().find_map(|(one, good)| match good {
                    Validity::Leaving { until, .. } if *one == old => *until,
                    _ => None,
                });
                let until = end.map_or(now.after(lease.grace), |end| end.min(now.after(lease.grace)));
                if end.is_some_and(|end| end <= now.clock) {
                    self.meet("confirmed after the old id's end");
                }
                session.ids = vec![(id, Validity::Everything), (old, Validity::Left { until })];
                session.id_since = Some(now.calendar);
                written = RowWrite::Row;
            }
            Validity::Leaving { next, until: None } if is_visit && lease.renew_after.is_some() => {
                self.meet("announced again");
                let longest = lease.renew_after.unwrap().max(lease.grace);
                let until = now.after(longest.max(Duration::from_millis(1)));
                session.ids = vec![(id, Validity::Leaving { next, until: Some(until) }), (next, Validity::Coming)];
                written = RowWrite::Row;
            }
            _ => {}
        }
        self.session = Some(session);
        (sight, written)
    }

    pub(crate) fn touch(
        &mut self,
        id: SessionId,
        held: Option<ModelVersion>,
        lease: &Lease,
        now: Instant,
    ) -> (Answer, RowWrite) {
        match self.open_held(id, held, now) {
            Err(Sight::Superseded { .. }) => (Answer::Superseded, RowWrite::Nothing),
            Err(_) => (Answer::Gone, RowWrite::Nothing),
            Ok(session) if session.allowance(lease, now).is_zero() => {
                self.meet("touch: lifetime over");
                (Answer::Gone, RowWrite::Nothing)
            }
            Ok(mut session) => {
                self.meet("touched");
                let ttl = session.allowance(lease, now);
                session.ends = now.after(ttl);
                let answer = Answer::Done { version: session.version(), ttl, announce: session.next_of(id) };
                self.session = Some(session);
                (answer, RowWrite::Row)
            }
        }
    }

    pub(crate) fn end(&mut self, id: SessionId, held: Option<ModelVersion>, now: Instant) -> (Answer, RowWrite) {
        match self.open_held(id, held, now) {
            Err(Sight::Superseded { .. }) => (Answer::Superseded, RowWrite::Nothing),
            Err(_) => (Answer::Gone, RowWrite::Nothing),
            Ok(session) => {
                self.meet("ended");
                self.session = None;
                let answer = Answer::Done { version: session.version(), ttl: Duration::ZERO, announce: None };
                (answer, RowWrite::Removal)
            }
        }
    }

    /// Puts other data in place of the session.
    pub(crate) fn set(&mut self, id: SessionId, data: &Session, ttl: Duration, now: Instant) -> (Answer, RowWrite) {
        let is_live = self.live(now).is_some();
        let is_current = matches!(self.open(id, now), Ok((Validity::Everything | Validity::Leaving { .. }, _)));
        if is_live && !is_current {
            self.meet("set: taken");
            return (Answer::Taken, RowWrite::Nothing);
        }
        let begun_by = Origin::Set(self.sets);
        self.sets += 1;
        let ids = vec![(id, Validity::Everything)];
        let session = Session { begun_by, commits: Vec::new(), ids, ends: now.after(ttl), ..data.clone() };
        let answer = Answer::Done { version: session.version(), ttl, announce: None };
        if ttl.is_zero() {
            self.meet(if is_live { "set: ended" } else { "set: nothing" });
            if is_live {
                self.session = None;
            }
            return (answer, if is_live { RowWrite::Removal } else { RowWrite::Nothing });
        }
        self.meet("set");
        self.session = Some(session);
        (answer, RowWrite::Row)
    }
}
