//! The model's commits: their preconditions, and the sessions that result.

use lembro::{Lease, MAX_KEYS, SessionId};

use super::session::{
    Answer, Base, Instant, Model, NewId, Origin, RowWrite, SentCommit, Session, Sight, Validity, derived,
};

impl Model {
    /// `epoch`: the epoch of the owner that logs in, if the store has owners.
    pub(crate) fn commit(
        &mut self,
        id: SessionId,
        sent: &SentCommit,
        lease: &Lease,
        now: Instant,
        epoch: Option<u64>,
    ) -> (Answer, RowWrite) {
        match self.commit_to(id, sent, lease, now, epoch) {
            Ok(session) => {
                let (ttl, announce) = (session.allowance(lease, now), announced(&session, id, sent));
                let answer = Answer::Done { version: session.version(), ttl, announce };
                if ttl.is_zero() && self.live(now).is_none() {
                    self.meet("created for no time");
                    return (answer, RowWrite::Nothing);
                }
                self.session = Some(Session { ends: now.after(ttl), ..session });
                (answer, RowWrite::Row)
            }
            Err((case, answer)) => {
                self.meet(case);
                (answer, RowWrite::Nothing)
            }
        }
    }

    /// The session after the commit, or the case and the answer if nothing is written.
    fn commit_to(
        &mut self,
        id: SessionId,
        sent: &SentCommit,
        lease: &Lease,
        now: Instant,
        epoch: Option<u64>,
    ) -> Result<Session, (&'static str, Answer)> {
        let is_revoked =
            sent.login.as_ref().is_some_and(|(_, begun)| begun.zip(epoch).is_some_and(|(one, two)| one < two));
        let Some(old) = self.live(now).cloned() else {
            return match sent.base {
                Base::Absent if is_revoked => Err(("create: revoked", Answer::LoginRevoked)),
                // The first commit may have logged in, and its owner out everywhere since.
                Base::Absent if sent.is_repeated && matches!(sent.login, Some((_, None))) => {
                    Err(("create: repeated login", Answer::Unknown))
                }
                Base::Absent => {
                    self.meet("created");
                    let ids = vec![(id, Validity::Everything)];
                    let begun_by = Origin::Commit(sent.serial);
                    let mut session = Session { begun_by, ids, ..Session::blank(now.calendar) };
                    session.edit(&sent.edits);
                    self.log_in(&mut session, sent, now);
                    fits(session)
                }
                Base::Merge(_) | Base::Exactly(_) => Err(("commit: gone", Answer::Gone)),
            };
        };
        self.check_base(&old, id, sent, now)?;
        if old.allowance(lease, now).is_zero() {
            return Err(("commit: lifetime over", Answer::Gone));
        }
        if is_revoked {
            return Err(("commit: revoked", Answer::LoginRevoked));
        }
        match sent.new_id {
            NewId::Replace(new) if new.handle() != id.handle() => return Err(("other handle", Answer::BadId)),
            NewId::Keep | NewId::Renew(_) if sent.login.is_some() => return Err(("login on old id", Answer::BadId)),
            _ => {}
        }
        let mut session = old.clone();
        if old.login.as_ref().zip(sent.login.as_ref()).is_some_and(|((old, _), (new, _))| old != new) {
            self.meet("another owner");
            session = Session { ids: old.ids.clone(), ..Session::blank(now.calendar) };
        }
        session.edit(&sent.edits);
        let mut session = fits(session)?;
        self.log_in(&mut session, sent, now);
        next_version(&old, &mut session, sent);
        self.next_ids(&old, &mut session, id, sent, lease, now);
        Ok(session)
    }

    /// Checks that the commit was made for this live session, and was not carried out before.
    fn check_base(
        &mut self,
        old: &Session,
        id: SessionId,
        sent: &SentCommit,
        now: Instant,
    ) -> Result<(), (&'static str, Answer)> {
        let done = |case, announce| Err((case, Answer::Done { version: old.version(), ttl: old.left(now), announce }));
        let begins = matches!((sent.base, sent.new_id), (Base::Absent, _) | (_, NewId::Replace(_)));
        if begins && old.begun_by == Origin::Commit(sent.serial) {
            return match (sent.base, sent.new_id) {
                (Base::Merge(_) | Base::Exactly(_), NewId::Replace(new)) => done("replace: done before", Some(new)),
                _ => done("create: done before", None),
            };
        }
        let (seen, is_exact) = match sent.base {
            Base::Absent => return Err(("commit: taken", Answer::Taken)),
            Base::Merge(seen) => (seen, false),
            Base::Exactly(seen) => (seen, true),
        };
        if seen.incarnation != old.begun_by {
            if sent.is_repeated {
                return Err(("repeat: another incarnation", Answer::Unknown));
            }
            return Err(match self.open(id, now) {
                Err(Sight::Superseded { .. }) => ("commit: superseded", Answer::Superseded),
                _ => ("commit: another session", Answer::Gone),
            });
        }
        let last = old.commits.len().saturating_sub(4);
        if old.commits[last..].contains(&sent.serial) {
            return done("commit: done before", old.next_of(id));
        }
        // Whether it was carried out is unknown if its base is too old, or ahead of the session. A
        // commit with a new id is recognized by its incarnation.
        let since = i64::try_from(old.commits.len()).unwrap() - i64::from(seen.commits);
        if sent.is_repeated && !begins && !(0..=4).contains(&since) {
            return Err(("repeat: out of sight", Answer::Unknown));
        }
        if sent.is_repeated {
            self.meet("repeat: not done before");
        }
        if is_exact && since != 0 {
            return Err(("commit: changed", Answer::Changed));
        }
        if old.good(id).is_none() {
            self.meet("committed by a forgotten id");
        }
        Ok(())
    }

    fn log_in(&mut self, session: &mut Session, sent: &SentCommit, now: Instant) {
        if let Some((owner, _)) = &sent.login {
            self.meet("logged in");
            session.login = Some((owner.clone(), now.calendar));
        }
    }

    fn next_ids(
        &mut self,
        old: &Session,
        session: &mut Session,
        id: SessionId,
        sent: &SentCommit,
        lease: &Lease,
        now: Instant,
    ) {
        match sent.new_id {
            NewId::Keep => self.meet("kept"),
            NewId::Replace(new) => {
                self.meet("replaced");
                let until = now.after(lease.grace);
                session.ids = vec![(new, Validity::Everything), (old.current(), Validity::Nothing { until })];
                if lease.renew_after.is_some() {
                    session.id_since = Some(now.calendar);
                }
            }
            NewId::Renew(seed) => {
                let age = now.calendar.saturating_sub(old.id_since.unwrap_or(old.created));
                let is_old = lease.renew_after.is_some_and(|after| after.max(lease.grace) <= age);
                let is_under_way = old.ids.iter().any(|(_, good)| match good {
                    Validity::Coming => true,
                    Validity::Left { until } | Validity::Nothing { until } => now.clock < *until,
                    _ => false,
                });
                let case = match () {
                    () if old.login.is_none() => "renew: no owner",
                    () if is_under_way => "renew: under way",
                    () if !is_old => "renew: too young",
                    () if old.current() != id => "renew: not the id",
                    () => "renewed",
                };
                self.meet(case);
                if case == "renewed" {
                    let next = derived(id, seed);
                    session.ids = vec![(id, Validity::Leaving { next, until: None }), (next, Validity::Coming)];
                }
            }
        }
    }
}

fn next_version(old: &Session, session: &mut Session, sent: &SentCommit) {
    if matches!(sent.new_id, NewId::Replace(_)) {
        session.begun_by = Origin::Commit(sent.serial);
        session.commits.clear();
    } else {
        session.begun_by = old.begun_by;
        session.commits.push(sent.serial);
    }
}

fn announced(session: &Session, id: SessionId, sent: &SentCommit) -> Option<SessionId> {
    match (sent.base, sent.new_id) {
        (Base::Absent, _) => None,
        (_, NewId::Replace(new)) => Some(new),
        _ => session.next_of(id),
    }
}

fn fits(session: Session) -> Result<Session, (&'static str, Answer)> {
    if session.keys.len() > MAX_KEYS { Err(("too many keys", Answer::TooLarge)) } else { Ok(session) }
}
