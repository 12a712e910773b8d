//! The model: sessions and the ids that open them, by the promises of `web/model`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lembro::{AtLimit, Handle, SessionId};

use super::history::Setting;

const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const IDLE: Duration = Duration::from_secs(30 * 60);
pub(crate) const LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);
pub(crate) const REMEMBERED: (Duration, Duration) =
    (Duration::from_secs(3 * 60 * 60), Duration::from_secs(9 * 60 * 60));
pub(crate) const RENEW_AFTER: Duration = Duration::from_secs(15 * 60);
pub(crate) const GRACE: Duration = MINUTE;

pub(crate) type Data = BTreeMap<&'static str, u32>;

/// A session with one incarnation: a login and `regenerate` begin another.
pub(crate) type Incarnation = (Handle, u32);

/// A stored session.
#[derive(Debug)]
pub(crate) struct StoredSession {
    pub(crate) owner: Option<usize>,
    pub(crate) data: Data,
    pub(crate) incarnation: u32,
    is_remembered: bool,
    is_ended: bool,
    /// Its creation or its owner's login.
    began: Duration,
    deadline: Duration,
    pub(crate) current: SessionId,
    pub(crate) id_since: Duration,
    pub(crate) pending: Option<PendingRenewal>,
    /// The id that a login or `regenerate` superseded last, and the end of its grace.
    superseded: Option<(SessionId, Duration)>,
}

/// A timed renewal whose new id was not presented yet.
#[derive(Debug)]
pub(crate) struct PendingRenewal {
    pub(crate) new: SessionId,
    announced_twice: bool,
}

/// An id that a browser may have.
struct KnownId {
    id: SessionId,
    leads_to: Incarnation,
    /// The end of an id that was renewed.
    ends: Duration,
}

/// The session as a handle has read it, and the changes that the handle has not committed.
#[derive(Clone, Default)]
pub(crate) struct Holder {
    pub(crate) browser: usize,
    pub(crate) seen: Seen,
    pub(crate) view: View,
    pub(crate) puts: BTreeMap<&'static str, Option<u32>>,
    /// The owner, and the epoch that the login began in.
    pub(crate) login: Option<(usize, Option<u32>)>,
    pub(crate) is_regenerated: bool,
    pub(crate) remember: Option<bool>,
    /// A commit of this handle gave the session an id that the client does not know.
    pub(crate) owes: bool,
    pub(crate) has_logged_in: bool,
}

#[derive(Clone, Default)]
pub(crate) struct View {
    pub(crate) id: Option<SessionId>,
    pub(crate) owner: Option<usize>,
    pub(crate) data: Data,
    is_remembered: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Seen {
    /// No look yet.
    #[default]
    Nothing,
    New,
    Incarnation(Incarnation),
    LoggedOut,
    /// Ended elsewhere. `superseded` means by a login whose response is in flight.
    Ended {
        superseded: bool,
    },
}

/// The outcome of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitOutcome {
    Unchanged,
    Written,
    Gone,
    /// By the limit of the owner's sessions.
    Refused,
}

pub(crate) struct Model {
    setting: Setting,
    pub(crate) now: Duration,
    pub(crate) kept: BTreeMap<Handle, StoredSession>,
    known: Vec<KnownId>,
    pub(crate) epochs: [u32; 3],
    pub(crate) met: BTreeSet<&'static str>,
}

impl Holder {
    pub(crate) fn is_changed(&self) -> bool {
        !self.puts.is_empty() || self.login.is_some() || self.is_regenerated || self.remember.is_some()
    }

    pub(crate) fn discard(&mut self) {
        self.puts.clear();
        (self.login, self.is_regenerated, self.remember) = (None, false, None);
    }

    pub(crate) fn end(&mut self, seen: Seen) {
        self.discard();
        (self.seen, self.view) = (seen, View::default());
    }

    /// Goes on as a new session, with the same draft.
    pub(crate) fn begin(&mut self) {
        (self.seen, self.view, self.is_regenerated) = (Seen::New, View::default(), false);
    }

    /// Returns true if the uncommitted login is another owner's.
    fn wipes(&self, owner: Option<usize>) -> bool {
        self.login.is_some_and(|(login, _)| owner.is_some_and(|owner| owner != login))
    }

    pub(crate) fn owner(&self) -> Option<usize> {
        self.login.map(|(owner, _)| owner).or(self.view.owner)
    }

    /// The data that the handler reads.
    pub(crate) fn reads(&self) -> Data {
        let base = if self.wipes(self.view.owner) { Data::new() } else { self.view.data.clone() };
        put(base, &self.puts)
    }
}

fn put(mut data: Data, puts: &BTreeMap<&'static str, Option<u32>>) -> Data {
    for (&key, value) in puts {
        match value {
            Some(value) => drop(data.insert(key, *value)),
            None => drop(data.remove(key)),
        }
    }
    data
}

impl Model {
    pub(crate) fn new(setting: Setting) -> Self {
        let (kept, known) = (BTreeMap::new(), Vec::new());
        Self { setting, now: Duration::ZERO, kept, known, epochs: [0; 3], met: BTreeSet::new() }
    }

    pub(crate) fn meet(&mut self, case: &'static str) {
        self.met.insert(case);
    }

    pub(crate) fn is_live(&self, handle: Handle) -> bool {
        self.kept.get(&handle).is_some_and(|kept| !kept.is_ended && self.now < kept.deadline)
    }

    /// Returns true if the session lives, and no login or `regenerate` has replaced the
    /// incarnation.
    pub(crate) fn holds(&self, (handle, incarnation): Incarnation) -> bool {
        self.is_live(handle) && self.kept[&handle].incarnation == incarnation
    }

    /// Every id that was announced, with the session that it opens.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (SessionId, Option<&StoredSession>)> {
        self.known.iter().map(|known| (known.id, self.opens(known).map(|handle| &self.kept[&handle])))
    }

    pub(crate) fn leads_to(&self, id: &SessionId) -> Option<Incarnation> {
        self.known.iter().find(|known| known.id == *id).map(|known| known.leads_to)
    }

    fn opens(&self, known: &KnownId) -> Option<Handle> {
        (self.holds(known.leads_to) && self.now < known.ends).then_some(known.leads_to.0)
    }

    /// The session that this id opens.
    pub(crate) fn opened_by(&self, id: &SessionId) -> Option<Handle> {
        self.known.iter().find(|known| known.id == *id).and_then(|known| self.opens(known))
    }

    /// The time that the session has left if it is prolonged now.
    fn full(&self, kept: &StoredSession) -> Duration {
        let (idle, lifetime) = if kept.is_remembered { REMEMBERED } else { (IDLE, LIFETIME) };
        idle.min((kept.began + lifetime).saturating_sub(self.now))
    }

    /// A commit, or a touch.
    pub(crate) fn prolong(&mut self, handle: Handle) {
        let full = self.full(&self.kept[&handle]);
        self.kept.get_mut(&handle).unwrap().deadline = self.now + full;
    }

    fn know(&mut self, id: SessionId, leads_to: Incarnation) {
        self.known.push(KnownId { id, leads_to, ends: Duration::MAX });
    }

    pub(crate) fn end(&mut self, handle: Handle) {
        self.kept.get_mut(&handle).unwrap().is_ended = true;
    }

    pub(crate) fn sessions_of(&self, owner: usize) -> Vec<Handle> {
        let of_owner = self.kept.iter().filter(|(handle, kept)| kept.owner == Some(owner) && self.is_live(**handle));
        of_owner.map(|(handle, _)| *handle).collect()
    }

    /// Ends the sessions of an owner except one, and revokes the logins under way.
    pub(crate) fn end_all(&mut self, owner: usize, except: Option<Handle>) -> usize {
        self.epochs[owner] += 1;
        let mut ended = self.sessions_of(owner);
        ended.retain(|handle| Some(*handle) != except);
        ended.iter().for_each(|handle| self.end(*handle));
        ended.len()
    }

    /// The first look of a request that presents these ids.
    pub(crate) fn look(&mut self, holder: &mut Holder, presented: &[SessionId], is_visit: bool) {
        if let Some((id, handle)) = presented.iter().find_map(|id| Some((*id, self.opened_by(id)?))) {
            if is_visit {
                self.visit(id, handle);
            }
            holder.view.id = Some(id);
            holder.seen = Seen::Incarnation((handle, self.kept[&handle].incarnation));
            return self.read(holder, handle);
        }
        let in_flight = presented.iter().any(|id| self.is_superseded(id, true));
        holder.seen = if in_flight { Seen::Ended { superseded: true } } else { Seen::New };
        if in_flight {
            self.meet("superseded within the grace");
        } else if !presented.is_empty() {
            self.meet("a cookie that opens nothing");
        }
    }

    /// Prolongs the session if that is due, and notes which ids the browser has.
    fn visit(&mut self, id: SessionId, handle: Handle) {
        let kept = &self.kept[&handle];
        let (full, left) = (self.full(kept), kept.deadline.saturating_sub(self.now));
        let is_due = full.abs_diff(left) >= self.setting.touch_after.min(full / 2);
        if is_due {
            self.prolong(handle);
        }
        let (now, kept) = (self.now, self.kept.get_mut(&handle).unwrap());
        let Some(pending) = &mut kept.pending else { return };
        let ends = if id == pending.new {
            let old = std::mem::replace(&mut kept.current, id);
            (kept.id_since, kept.pending) = (now, None);
            self.met.insert("a renewed id is presented");
            let end = self.known.iter().find(|known| known.id == old).map_or(now, |known| known.ends);
            Some((old, end.min(now + GRACE)))
        } else if !pending.announced_twice {
            pending.announced_twice = true;
            self.met.insert("a renewed id is announced again");
            Some((id, now + RENEW_AFTER))
        } else {
            None
        };
        if let Some((old, end)) = ends {
            let known = self.known.iter_mut().find(|known| known.id == old).unwrap();
            known.ends = end;
        }
    }

    /// A timed renewal begins.
    pub(crate) fn renew(&mut self, handle: Handle, new: SessionId) {
        let kept = self.kept.get_mut(&handle).unwrap();
        (kept.pending, kept.superseded) = (Some(PendingRenewal { new, announced_twice: false }), None);
        let leads_to = (handle, kept.incarnation);
        self.know(new, leads_to);
    }

    pub(crate) fn is_renewal_due(&self, handle: Handle) -> bool {
        let kept = &self.kept[&handle];
        self.setting.renews && kept.owner.is_some() && self.now >= kept.id_since + RENEW_AFTER
    }

    /// The handler reads the stored session.
    pub(crate) fn read(&self, holder: &mut Holder, handle: Handle) {
        let StoredSession { owner, data, is_remembered, .. } = &self.kept[&handle];
        holder.view = View { id: holder.view.id, owner: *owner, data: data.clone(), is_remembered: *is_remembered };
    }

    /// Returns true if a login superseded this id, less than a grace ago or at any time.
    fn is_superseded(&self, id: &SessionId, recently: bool) -> bool {
        let Some(kept) = self.leads_to(id).and_then(|(handle, _)| self.kept.get(&handle)) else { return false };
        let is_it = |(superseded, until): (SessionId, Duration)| superseded == *id && (!recently || self.now < until);
        self.is_live(self.leads_to(id).unwrap().0) && kept.superseded.is_some_and(is_it)
    }

    /// Goes on after the session has ended for a handle. A login begins another session.
    fn outlive(&mut self, holder: &mut Holder, recently: bool) {
        let superseded = holder.view.id.is_some_and(|id| self.is_superseded(&id, recently));
        // Without a login, changes of an owner's session go into no other session.
        if holder.login.is_none() && (superseded || !holder.is_regenerated || holder.view.owner.is_some()) {
            self.meet("a change of a session that ended");
            return holder.end(Seen::Ended { superseded });
        }
        if superseded && holder.view.owner.is_none() {
            self.meet("two logins at once");
            for (key, value) in holder.view.data.clone() {
                holder.puts.entry(key).or_insert(Some(value));
            }
            holder.puts.retain(|_, value| value.is_some());
            holder.remember = holder.remember.or(holder.view.is_remembered.then_some(true));
        }
        holder.begin();
    }

    /// The handle has noticed that its session ended.
    pub(crate) fn end_holder(&self, holder: &mut Holder) {
        let superseded = holder.view.id.is_some_and(|id| self.is_superseded(&id, false));
        holder.end(Seen::Ended { superseded });
    }

    /// The value that `modify` reads before it changes it.
    pub(crate) fn read_again(&mut self, holder: &mut Holder) {
        let Seen::Incarnation(held) = holder.seen else { return };
        if self.holds(held) { self.read(holder, held.0) } else { self.outlive(holder, true) }
    }

    /// Commits a draft. `id`: the session's id after it.
    pub(crate) fn commit(&mut self, holder: &mut Holder, id: SessionId) -> CommitOutcome {
        match holder.seen {
            Seen::LoggedOut => return CommitOutcome::Gone,
            Seen::Ended { .. } => {
                holder.discard();
                return CommitOutcome::Gone;
            }
            _ if !holder.is_changed() => return CommitOutcome::Unchanged,
            _ => {}
        }
        if let Seen::Incarnation(held) = holder.seen
            && !self.holds(held)
        {
            self.outlive(holder, false);
            if holder.seen != Seen::New {
                return CommitOutcome::Gone;
            }
        }
        let handle = if let Seen::Incarnation((handle, _)) = holder.seen { Some(handle) } else { None };
        let is_hollow = holder.login.is_none() && holder.puts.values().all(Option::is_none);
        if handle.is_none() && is_hollow {
            return CommitOutcome::Unchanged;
        }
        if let Some(refused) = self.log_in(holder, handle) {
            return refused;
        }
        self.write(holder, handle, id)
    }

    /// The effect of a login on the owner's other sessions, or the reason that refuses it.
    fn log_in(&mut self, holder: &mut Holder, handle: Option<Handle>) -> Option<CommitOutcome> {
        let (owner, begun) = holder.login?;
        if begun.is_some_and(|begun| begun < self.epochs[owner]) {
            self.meet("a login that was revoked");
            holder.end(Seen::Ended { superseded: false });
            return Some(CommitOutcome::Gone);
        }
        let (max, at_limit) = self.setting.limit?;
        let mut others = self.sessions_of(owner);
        others.retain(|other| Some(*other) != handle);
        let surplus = (others.len() + 1).saturating_sub(max);
        if surplus > 0 && at_limit == AtLimit::RefuseNewest {
            self.meet("a login that the limit refused");
            return Some(CommitOutcome::Refused);
        }
        others.sort_by_key(|other| (self.kept[other].began, *other));
        for other in others.into_iter().take(surplus) {
            self.meet("a session that the limit ended");
            self.end(other);
        }
        None
    }

    fn write(&mut self, holder: &mut Holder, handle: Option<Handle>, id: SessionId) -> CommitOutcome {
        let has_new_id = handle.is_none() || holder.login.is_some() || holder.is_regenerated;
        let handle = handle.unwrap_or_else(|| {
            self.kept.insert(id.handle(), StoredSession::new(id, self.now));
            id.handle()
        });
        let (now, kept) = (self.now, self.kept.get_mut(&handle).unwrap());
        if holder.wipes(kept.owner) {
            self.met.insert("a login over another owner's session");
            (kept.data, kept.is_remembered) = (Data::new(), false);
        }
        kept.data = put(std::mem::take(&mut kept.data), &holder.puts);
        kept.is_remembered = holder.remember.unwrap_or(kept.is_remembered);
        if let Some((owner, _)) = holder.login {
            (kept.owner, kept.began) = (Some(owner), now);
        }
        if has_new_id {
            kept.superseded = (kept.incarnation > 0).then_some((kept.current, now + GRACE));
            (kept.current, kept.id_since, kept.pending) = (id, now, None);
            kept.incarnation += 1;
            holder.owes = true;
        }
        let incarnation = kept.incarnation;
        let was_remembered = holder.view.is_remembered && !holder.wipes(holder.view.owner);
        holder.view = View {
            id: if has_new_id { Some(id) } else { holder.view.id },
            owner: holder.owner(),
            data: holder.reads(),
            is_remembered: holder.remember.unwrap_or(was_remembered),
        };
        holder.has_logged_in |= holder.login.is_some();
        holder.seen = Seen::Incarnation((handle, incarnation));
        holder.discard();
        if has_new_id {
            self.know(id, (handle, incarnation));
        }
        self.prolong(handle);
        CommitOutcome::Written
    }

    /// Logs out: ends the session of the handle, and those that the other presented ids open.
    pub(crate) fn log_out(&mut self, holder: &mut Holder, presented: &[SessionId]) -> usize {
        let mut ended = Vec::new();
        if let Seen::Incarnation(held) = holder.seen
            && self.holds(held)
        {
            ended.push(held.0);
        }
        ended.extend(presented.iter().filter_map(|id| self.opened_by(id)));
        ended.sort();
        ended.dedup();
        ended.iter().for_each(|handle| self.end(*handle));
        holder.end(Seen::LoggedOut);
        ended.len()
    }
}

impl StoredSession {
    fn new(id: SessionId, now: Duration) -> Self {
        Self {
            owner: None,
            data: Data::new(),
            incarnation: 0,
            is_remembered: false,
            is_ended: false,
            began: now,
            deadline: now,
            current: id,
            id_since: now,
            pending: None,
            superseded: None,
        }
    }
}
