//! Rules of timed renewal: old and new id open the session until the new one is presented, and for a
//! grace after that.

use std::time::Duration;

use serde_json::json;

use super::Rule;
use super::fixture::{Checked, Fixture, Session, broken, put, same};
use crate::id::SessionId;
use crate::record::Changes;
use crate::store::{Identity, Lease, Look, Receipt};

pub(super) const RULES: &[Rule] = &[
    Rule::new("a renewal leaves both ids open until the new one is presented", |p| {
        let (old, new) = pending(p)?;
        p.over();
        for id in [&old.id, &new] {
            p.commit(id, &old.put("n", &1)?)?;
            p.touch(id, &p.lease(p.long()))?;
            p.look(id, Look::Peek, &p.lease(p.long()))?;
        }
        Ok(())
    }),
    Rule::new("every response to the old id announces the same new one", |p| {
        let (old, new) = pending(p)?;
        // Of requests side by side each draws a seed of its own: the first one counts.
        let again = renew(p, &old, SEED + 1, &p.renews(p.short()))?;
        same("the id that a second renewal announces", again.and_then(|receipt| receipt.announce), Some(new))?;
        p.commit(&old.id, &old.put("n", &1)?)?;
        p.touch(&old.id, &p.lease(p.long()))?;
        for how in [Look::Peek, Look::Visit, Look::Visit] {
            p.look(&old.id, how, &p.renews(p.short()))?;
        }
        Ok(())
    }),
    Rule::new("a peek with the new id confirms nothing", |p| {
        let (old, new) = pending(p)?;
        p.look(&new, Look::Peek, &p.renews(p.short()))?;
        p.over();
        p.get(&old.id)?;
        p.visit(&old.id).map(drop)
    }),
    Rule::new("the first visit with the new id makes it the current one", |p| {
        let (old, new) = confirmed(p, p.long())?;
        for id in [&old.id, &new] {
            p.visit(id)?;
            p.get(id)?;
        }
        Ok(())
    }),
    Rule::new("an id in its grace looks, commits, touches, and puts a new one in its place", |p| {
        let (old, new) = confirmed(p, p.long())?;
        p.visit(&old.id)?;
        p.merge(&old, put("n", &1)?)?;
        p.touch(&old.id, &p.lease(p.long() * 2))?;
        // One session: what the old id did is seen with the new one, which stays the session's id.
        p.get(&new)?;
        p.replaced(&old)?;
        p.get(&new).map(drop)
    }),
    Rule::new("an id in its grace destroys", |p| {
        let (old, new) = confirmed(p, p.long())?;
        p.destroy(&old.id)?;
        p.everything(&Session { id: new, ..old })
    }),
    Rule::new("an id in its grace begins no renewal", |p| {
        let (old, new) = confirmed(p, p.long())?;
        p.over();
        renew(p, &old, SEED, &p.renews(p.short()))?;
        p.visit(&new).map(drop)
    }),
    Rule::new("the old id ends a grace after the new one was presented", |p| {
        let (old, new) = confirmed(p, p.short())?;
        p.visit(&old.id)?;
        p.over();
        p.visit(&old.id)?;
        p.touch(&old.id, &p.lease(p.long()))?;
        p.destroy(&old.id)?;
        p.get(&new).map(drop)
    }),
    Rule::new("the old id ends some time after it was told the new one for the second time", |p| {
        let (old, new) = pending(p)?;
        for how in [Look::Peek, Look::Visit, Look::Visit] {
            p.over();
            p.look(&old.id, how, &p.renews(p.short()))?;
        }
        p.visit(&new).map(drop)
    }),
    Rule::new("only the id of an owned session that is old enough is renewed", |p| {
        let (anonymous, owned) = (p.session(json!({}))?, p.session_of("ada")?);
        p.over();
        renew(p, &anonymous, SEED, &p.renews(p.short()))?;
        let young = Lease { renew_after: Some(p.long()), ..p.renews(p.short()) };
        for lease in [young, Lease { renew_after: None, ..young }, p.renews(p.long())] {
            renew(p, &owned, SEED, &lease)?;
            p.visit(&owned.id)?;
        }
        Ok(())
    }),
    Rule::new("work that began before a renewal is committed after it", |p| {
        let (old, new) = confirmed(p, p.short())?;
        p.over();
        p.merge(&old, put("work", &1)?)?;
        p.get(&new).map(drop)
    }),
    Rule::new("a new id at once ends a renewal and its grace", |p| {
        for (old, new) in [pending(p)?, confirmed(p, p.long())?] {
            p.replaced(&Session { id: new, ..old })?;
            p.everything(&old)?;
            p.visit(&new)?;
        }
        Ok(())
    }),
    Rule::new("a renewal ends with its session", |p| {
        let (old, new) = pending(p)?;
        p.destroy(&new)?;
        p.everything(&old)
    }),
    Rule::new("an id that was renewed is renewed again", |p| {
        let (old, new) = confirmed(p, p.short())?;
        let session = Session { id: new, ..old };
        for is_due in [false, true] {
            let renewed = renew(p, &session, SEED, &p.renews(p.short()))?.and_then(|receipt| receipt.announce);
            same("whether a third id is announced", renewed.is_some_and(|third| third != old.id), is_due)?;
            p.over();
        }
        Ok(())
    }),
];

const SEED: u64 = 0x5EED;

/// Commits with a renewal if one is due.
pub(super) fn renew(p: &Fixture<'_>, session: &Session, seed: u64, lease: &Lease) -> Checked<Option<Receipt>> {
    p.commit_for(&session.id, &session.merge(Changes::new())?.identity(Identity::Renew(seed)), lease)
}

/// A session whose renewal is pending, and its new id.
pub(super) fn pending(p: &Fixture<'_>) -> Checked<(Session, SessionId)> {
    let session = p.session_of("ada")?;
    p.over();
    match renew(p, &session, SEED, &p.renews(p.short()))?.and_then(|receipt| receipt.announce) {
        Some(new) if new != session.id => Ok((session, new)),
        found => broken(format!("a renewal that is due: expected a new id to announce, found {found:?}")),
    }
}

/// A session whose new id was presented, with both ids.
fn confirmed(p: &Fixture<'_>, grace: Duration) -> Checked<(Session, SessionId)> {
    let (old, new) = pending(p)?;
    p.look(&new, Look::Visit, &p.renews(grace)).map(|_| (old, new))
}
