//! Rules of time: when a session expires, what prolongs it, and which limits its time is computed from.

use std::time::Duration;

use serde_json::json;

use super::Rule;
use super::fixture::{Checked, Fixture, Session, login, new_id, noted, other_secret, same};
use crate::record::{Changes, Record};
use crate::store::{Commit, Lease, Look};

pub(super) const RULES: &[Rule] = &[
    Rule::new("the clock is the one the store goes by", |p| {
        p.clock()?;
        let clock = p.store.clock();
        let (now, wall) = (clock.now() + p.units(1), clock.wall() + p.units(1));
        p.pass(1);
        same("the store's clock, a minute later", (clock.now(), clock.wall()), (now, wall))
    }),
    Rule::new("the time left runs down", |p| {
        let session = p.session_for(json!({}), p.units(5))?;
        p.pass(2);
        p.get(&session.id).map(drop)
    }),
    Rule::new("a session lives until the last moment", |p| {
        let clock = p.clock()?;
        last_moment(p, || clock.advance(p.short().saturating_sub(Duration::from_nanos(1))))
    }),
    Rule::new("a session is gone for every method once its time is over", |p| last_moment(p, || p.over())),
    Rule::new("a session is gone for every method at the instant of its deadline", |p| {
        let clock = p.clock()?;
        last_moment(p, || clock.advance(p.short()))
    }),
    Rule::new("create takes the handle of an expired session", |p| {
        let id = p.session_for(json!({"user": "ada"}), p.short())?.id;
        p.over();
        p.committed(&other_secret(&id)?, &Commit::create()?, &p.lease(p.long()))?;
        p.get(&id).map(drop)
    }),
    Rule::new("set takes the handle of an expired session", |p| {
        let id = p.session_for(json!({"user": "ada"}), p.short())?.id;
        p.over();
        p.set(&other_secret(&id)?, &Record::new(), p.long())?;
        p.get(&id).map(drop)
    }),
    Rule::new("a peek does not prolong", |p| {
        let id = p.session_for(json!({}), p.short())?.id;
        p.look(&id, Look::Peek, &p.lease(p.long()))?;
        p.get(&id)?;
        p.over();
        p.get(&id).map(drop)
    }),
    Rule::new("a visit prolongs", |p| {
        let id = p.session_for(json!({"user": "ada"}), p.short())?.id;
        p.visit(&id)?;
        p.get(&id)?;
        p.over();
        p.get(&id).map(drop)
    }),
    Rule::new("a visit is noted once per touch_after, and at half of the time", |p| {
        p.clock()?;
        for (idle, touch_after, visits) in [(100, 3, [2, 1, 3]), (10, 50, [4, 1, 5])] {
            let lease = Lease { touch_after: p.units(touch_after), ..p.lease(p.units(idle)) };
            let id = p.session_for(json!({}), lease.idle)?.id;
            for wait in visits {
                p.pass(wait);
                p.look(&id, Look::Visit, &lease)?;
                p.get(&id)?;
            }
        }
        Ok(())
    }),
    Rule::new("touch sets a longer time", |p| {
        let id = p.session_for(json!({}), p.short())?.id;
        p.touch(&id, &p.lease(p.long()))?;
        p.over();
        p.get(&id).map(drop)
    }),
    Rule::new("touch and visit set a shorter time", |p| {
        let (touched, visited) = (p.session(json!({}))?.id, p.session(json!({}))?.id);
        p.touch(&touched, &p.lease(p.short()))?;
        p.look(&visited, Look::Visit, &p.lease(p.short()))?;
        p.get(&visited)?;
        p.over();
        p.get(&touched)?;
        p.get(&visited).map(drop)
    }),
    Rule::new("touch leaves data and version alone", |p| {
        let session = p.session(json!({"user": "ada"}))?;
        p.touch(&session.id, &p.lease(p.long() * 2))?;
        p.commit(&session.id, &session.exactly("n", &1)?).map(drop)
    }),
    Rule::new("touch never creates", |p| {
        let destroyed = p.session(json!({}))?.id;
        p.destroy(&destroyed)?;
        p.touch(&destroyed, &p.lease(p.long()))?;
        p.touch(&new_id()?, &p.lease(p.long())).map(drop)
    }),
    Rule::new("a commit sets the time", |p| {
        let (longer, shorter) = (p.session_for(json!({}), p.short())?, p.session(json!({}))?);
        p.commit(&longer.id, &longer.put("n", &1)?)?;
        p.commit_for(&shorter.id, &shorter.put("n", &1)?, &p.lease(p.short()))?;
        p.over();
        p.get(&longer.id)?;
        p.get(&shorter.id).map(drop)
    }),
    Rule::new("a timeout of its own takes the place of the idle timeout, within the lifetime", |p| {
        let session = p.session(json!({}))?;
        let lease = Lease { lifetime: Some(p.units(600)), ..p.lease(p.units(100)) };
        for timeout in [Some(p.units(300)), Some(p.units(40)), Some(p.units(900)), None] {
            p.merge(&session, noted(timeout, None, false)?)?;
            prolonged(p, &session, &lease)?;
        }
        Ok(())
    }),
    Rule::new("no session outlives its lifetime", |p| {
        let (session, lease) = (p.session(json!({}))?, Lease { lifetime: Some(p.units(10)), ..p.lease(p.units(8)) });
        for wait in [0, 4, 7] {
            p.pass(wait);
            prolonged(p, &session, &lease)?;
        }
        Ok(())
    }),
    Rule::new("the lifetime begins again at a login", |p| {
        let (mut session, lease) =
            (p.session(json!({}))?, Lease { lifetime: Some(p.units(10)), ..p.lease(p.units(8)) });
        for _ in 0..2 {
            p.pass(4);
            let login = session.replace()?.1.log_in(login("ada")?);
            session = p.committed(&session.id, &login, &lease)?;
            prolonged(p, &session, &lease)?;
        }
        Ok(())
    }),
    Rule::new("a remembered session has limits of its own", |p| {
        let (session, remembered) = (p.session(json!({}))?, (p.units(200), Some(p.units(500))));
        let limits = Lease { lifetime: Some(p.units(100)), ..p.lease(p.units(50)) };
        for is_remembered in [true, false] {
            p.merge(&session, noted(None, None, is_remembered)?)?;
            prolonged(p, &session, &Lease { remembered: Some(remembered), ..limits })?;
            prolonged(p, &session, &limits)?;
        }
        Ok(())
    }),
    Rule::new("the time is computed from what is stored now", |p| {
        // Another request has the session remembered; the touch and the commit of this one read it before.
        let session = p.session(json!({}))?;
        let lease = Lease { remembered: Some((p.long(), None)), ..p.lease(p.units(50)) };
        p.commit_for(&session.id, &session.merge(noted(None, None, true)?)?, &lease)?;
        prolonged(p, &session, &lease)
    }),
    Rule::new("a session without time left is not found and not removed", |p| {
        let session = p.session(json!({"user": "ada"}))?;
        p.pass(1);
        // As if the calendar had jumped: by these leases the lifetime is over.
        for lease in [Lease::new(Duration::ZERO), Lease { lifetime: Some(p.units(1) / 2), ..p.lease(p.long()) }] {
            prolonged(p, &session, &lease)?;
            p.look(&session.id, Look::Peek, &lease)?;
            p.commit_for(&session.id, &session.replace()?.1, &lease)?;
        }
        p.committed(&session.id, &session.put("n", &1)?, &p.lease(p.long())).map(drop)
    }),
    Rule::new("a time beyond every clock never ends", |p| {
        let forever = Lease { grace: Duration::MAX, ..p.lease(Duration::MAX) };
        let (created, set) = (p.session_for(json!({}), Duration::MAX)?, new_id()?);
        p.set(&set, &Record::new(), Duration::MAX)?;
        prolonged(p, &created, &forever)?;
        p.over();
        p.get(&set)?;
        p.commit_for(&created.id, &created.replace()?.1, &forever)?;
        p.visit(&created.id).map(drop)
    }),
    Rule::new("expired sessions are neither counted nor listed", |p| {
        for idle in [p.long(), p.short(), p.short()] {
            p.session_for(json!({}), idle)?;
        }
        p.all()?;
        p.over();
        p.all()
    }),
];

/// A commit, a touch and a visit under this lease.
fn prolonged(p: &Fixture<'_>, session: &Session, lease: &Lease) -> Checked {
    p.commit_for(&session.id, &session.merge(Changes::new())?, lease)?;
    p.touch(&session.id, lease)?;
    p.look(&session.id, Look::Visit, lease)?;
    p.get(&session.id).map(drop)
}

/// Each method on a session of its own that is about to expire, so that none can hide what another did.
fn last_moment(p: &Fixture<'_>, wait: impl FnOnce()) -> Checked {
    let sessions = (0..7).map(|_| p.session_for(json!({"user": "ada"}), p.short()));
    let sessions = sessions.collect::<Checked<Vec<_>>>()?;
    wait();
    for (way, session) in sessions.iter().enumerate() {
        let (id, lease) = (&session.id, p.lease(p.long()));
        match way {
            0 => p.get(id).map(drop)?,
            1 => p.visit(id).map(drop)?,
            2 => p.touch(id, &lease).map(drop)?,
            3 => p.destroy(id).map(drop)?,
            4 => p.commit(id, &session.put("a", &1)?).map(drop)?,
            5 => p.commit(id, &session.exactly("a", &1)?).map(drop)?,
            _ => p.commit(id, &session.replace()?.1).map(drop)?,
        }
        p.get(id)?;
    }
    Ok(())
}
