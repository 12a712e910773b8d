//! Rules of timed renewal: old and new id open the session until the new one is presented, and for a
//! grace after that.

use std::time::Duration;

use serde_json::json;

use super::fixture::{Checked, Fixture, Session, broken, done, gone, same, says};
use crate::id::SessionId;
use crate::record::Changes;
use crate::store::{Identity, Lease, Look, Lookup, Outcome, Presented};

super::table![
    a_renewal_leaves_both_ids_open_until_the_new_one_is_presented,
    every_response_to_the_old_id_announces_the_same_new_one,
    a_peek_with_the_new_id_confirms_nothing,
    the_first_visit_with_the_new_id_makes_it_the_current_one,
    an_id_in_its_grace_looks_commits_and_touches,
    an_id_in_its_grace_destroys,
    an_id_in_its_grace_begins_no_renewal,
    the_old_id_ends_a_grace_after_the_new_one_was_presented,
    the_old_id_ends_some_time_after_it_was_told_the_new_one_twice,
    only_an_owned_session_whose_id_is_old_enough_is_renewed,
    work_that_began_before_a_renewal_is_committed_after_it,
    a_new_id_at_once_ends_a_renewal_and_its_grace,
    a_renewal_ends_with_its_session,
    a_confirmed_id_is_renewed_again,
];

/// A lease under which ids are renewed at the age of a unit, with this grace.
fn renews(p: &Fixture<'_>, grace: Duration) -> Lease {
    Lease { renew_after: Some(p.units(1)), grace, ..p.lease(p.long()) }
}

/// A session whose renewal is pending, and its new id.
fn pending(p: &Fixture<'_>) -> Checked<(Session, SessionId)> {
    let session = p.session_of("ada")?;
    p.over();
    match renew(p, &session, &renews(p, p.short()))? {
        Some(new) if new.handle() == session.id.handle() && new != session.id => Ok((session, new)),
        found => broken(format!("a renewal that is due: expected a new id to announce, found {found:?}")),
    }
}

/// Commits with a renewal if one is due, and gives out the id to announce.
pub(super) fn renew(p: &Fixture<'_>, session: &Session, lease: &Lease) -> Checked<Option<SessionId>> {
    let commit = session.merge(Changes::new())?.identity(Identity::Renew(SEED));
    Ok(done("a commit that renews", p.store.commit(&session.id, &commit, lease))?.announce)
}

const SEED: u64 = 0x5EED;

/// Looks and expects the session, opened by an id that stands like this.
fn stands(p: &Fixture<'_>, id: &SessionId, how: Look, lease: &Lease, expected: Presented) -> Checked {
    match p.store.look(id, how, lease)? {
        Lookup::Found(stored) => same("how the id stands", stored.presented, expected),
        found => broken(format!("a look: expected the session, opened by an id that is {expected:?}, found {found:?}")),
    }
}

fn a_renewal_leaves_both_ids_open_until_the_new_one_is_presented(p: &Fixture<'_>) -> Checked {
    let lease = renews(p, p.short());
    let (old, new) = pending(p)?;
    p.over();
    p.done(&old.id, &old.put("old", &1)?)?;
    p.done(&new, &old.put("new", &1)?)?;
    for id in [&old.id, &new] {
        p.holds(id, json!({"cart": 1, "old": 1, "new": 1}))?;
        done("touch", p.store.touch(id, &lease))?;
    }
    Ok(())
}

fn every_response_to_the_old_id_announces_the_same_new_one(p: &Fixture<'_>) -> Checked {
    let lease = renews(p, p.long());
    let (old, new) = pending(p)?;
    // Of requests side by side each draws a seed of its own: the first one counts.
    let other = old.put("n", &1)?.identity(Identity::Renew(SEED + 1));
    let receipt = done("another commit that renews", p.store.commit(&old.id, &other, &lease))?;
    same("the id that a second renewal announces", receipt.announce, Some(new))?;
    same("the id that a commit announces", p.done(&old.id, &old.put("n", &1)?)?.announce, Some(new))?;
    same("the id that a touch announces", done("touch", p.store.touch(&old.id, &lease))?.announce, Some(new))?;
    for how in [Look::Peek, Look::Visit, Look::Visit] {
        stands(p, &old.id, how, &lease, Presented::Renewing(new))?;
    }
    same("the id that a commit with the new one announces", p.done(&new, &old.put("n", &1)?)?.announce, None)
}

fn a_peek_with_the_new_id_confirms_nothing(p: &Fixture<'_>) -> Checked {
    let lease = renews(p, p.short());
    let (old, new) = pending(p)?;
    stands(p, &new, Look::Peek, &lease, Presented::Current)?;
    stands(p, &old.id, Look::Peek, &lease, Presented::Renewing(new))
}

fn the_first_visit_with_the_new_id_makes_it_the_current_one(p: &Fixture<'_>) -> Checked {
    let lease = renews(p, p.short());
    let (old, new) = pending(p)?;
    let before = p.found("the new id", &new)?.record;
    stands(p, &new, Look::Visit, &lease, Presented::Current)?;
    stands(p, &old.id, Look::Visit, &lease, Presented::Previous)?;
    stands(p, &new, Look::Visit, &lease, Presented::Current)?;
    let after = p.found("the new id", &new)?.record;
    same("the version after the confirmation", after.version(), before.version())?;
    same("whether the new id is younger", after.id_since() > before.id_since(), true)
}

/// A session whose new id was presented, with both ids.
fn confirmed(p: &Fixture<'_>, grace: Duration) -> Checked<(Session, SessionId)> {
    let (old, new) = pending(p)?;
    stands(p, &new, Look::Visit, &renews(p, grace), Presented::Current)?;
    Ok((old, new))
}

fn an_id_in_its_grace_looks_commits_and_touches(p: &Fixture<'_>) -> Checked {
    let (old, new) = confirmed(p, p.long())?;
    same("the id that a commit announces", p.done(&old.id, &old.put("n", &1)?)?.announce, None)?;
    done("touch with the old id", p.store.touch(&old.id, &p.lease(p.long() * 2)))?;
    // One session: what the old id did is seen with the new one, which stays the session's id.
    p.holds(&new, json!({"cart": 1, "n": 1}))?;
    p.left("the time left", p.found("the new id", &new)?.ttl, p.long() * 2)?;
    p.holds(&old.id, json!({"cart": 1, "n": 1}))
}

fn an_id_in_its_grace_destroys(p: &Fixture<'_>) -> Checked {
    let (old, new) = confirmed(p, p.long())?;
    done("destroy with the old id", p.store.destroy(&old.id))?;
    p.dead("the old id of a destroyed session", &old, Outcome::Gone)?;
    p.dead("the new id of a destroyed session", &Session { id: new, ..old }, Outcome::Gone)
}

fn an_id_in_its_grace_begins_no_renewal(p: &Fixture<'_>) -> Checked {
    let (old, new) = confirmed(p, p.long())?;
    p.over();
    same("the id to announce", renew(p, &old, &renews(p, p.short()))?, None)?;
    stands(p, &new, Look::Visit, &p.lease(p.long()), Presented::Current)
}

fn the_old_id_ends_a_grace_after_the_new_one_was_presented(p: &Fixture<'_>) -> Checked {
    let (old, new) = confirmed(p, p.short())?;
    p.found("the old id, in its grace", &old.id)?;
    p.over();
    for how in [Look::Peek, Look::Visit] {
        same("a look after the grace", p.look(&old.id, how)?, Lookup::Superseded { recent: false })?;
    }
    let ended = p.store.touch(&old.id, &p.lease(p.long()));
    says("touch after the grace", ended, Outcome::Superseded)?;
    says("destroy after the grace", p.store.destroy(&old.id), Outcome::Superseded)?;
    p.found("the new id", &new).map(drop)
}

fn the_old_id_ends_some_time_after_it_was_told_the_new_one_twice(p: &Fixture<'_>) -> Checked {
    let lease = renews(p, p.short());
    let (old, new) = pending(p)?;
    for visit in [Look::Peek, Look::Visit] {
        p.over();
        stands(p, &old.id, visit, &lease, Presented::Renewing(new))?;
    }
    // That visit was the second announcement, after that of the commit.
    p.over();
    same("a look after that", p.look(&old.id, Look::Visit)?, Lookup::Superseded { recent: false })?;
    stands(p, &new, Look::Visit, &lease, Presented::Current)
}

fn only_an_owned_session_whose_id_is_old_enough_is_renewed(p: &Fixture<'_>) -> Checked {
    let (anonymous, owned) = (p.session(json!({}))?, p.session_of("ada")?);
    p.over();
    same("the id to announce of an anonymous session", renew(p, &anonymous, &renews(p, p.short()))?, None)?;
    let young = Lease { renew_after: Some(p.long()), ..p.lease(p.long()) };
    let never = Lease { renew_after: None, grace: p.short(), ..young };
    let too_long_a_grace = renews(p, p.long());
    for lease in [young, never, too_long_a_grace] {
        same("the id to announce", renew(p, &owned, &lease)?, None)?;
        stands(p, &owned.id, Look::Visit, &lease, Presented::Current)?;
    }
    Ok(())
}

fn work_that_began_before_a_renewal_is_committed_after_it(p: &Fixture<'_>) -> Checked {
    let (old, new) = confirmed(p, p.short())?;
    p.over();
    p.done(&old.id, &old.put("work", &1)?)?;
    p.holds(&new, json!({"cart": 1, "work": 1}))
}

fn a_new_id_at_once_ends_a_renewal_and_its_grace(p: &Fixture<'_>) -> Checked {
    for ((old, new), why) in [(pending(p)?, Outcome::Superseded), (confirmed(p, p.long())?, Outcome::Gone)] {
        let third = p.replaced(&Session { id: new, ..old })?;
        p.nothing("the second id", &new)?;
        p.dead("the first id", &old, why)?;
        p.found("the new id", &third.id)?;
    }
    Ok(())
}

fn a_renewal_ends_with_its_session(p: &Fixture<'_>) -> Checked {
    let (old, new) = pending(p)?;
    done("destroy with the new id", p.store.destroy(&new))?;
    for id in [old.id, new] {
        gone("touch", p.store.touch(&id, &p.lease(p.long())))?;
        p.nothing("an id of a destroyed session", &id)?;
    }
    Ok(())
}

fn a_confirmed_id_is_renewed_again(p: &Fixture<'_>) -> Checked {
    let (old, new) = confirmed(p, p.short())?;
    let session = Session { id: new, ..old };
    same("the id to announce in the grace of the last renewal", renew(p, &session, &renews(p, p.short()))?, None)?;
    p.over();
    let third = renew(p, &session, &renews(p, p.short()))?;
    same("whether a third id is announced", third.is_some_and(|third| ![old.id, new].contains(&third)), true)
}
