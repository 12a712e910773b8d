//! Rules of new ids: at once only the new one opens the session, and the superseded one is known.

use std::time::Duration;

use serde_json::json;

use super::fixture::{Checked, Fixture, Session, data, done, new_id, other_secret, owner, put, refused, same};
use crate::error::Error;
use crate::store::{Commit, Identity, Lease, Login, Look, Lookup, Outcome, Presented};

super::table![
    a_new_id_takes_the_place_of_the_old_one_and_changes_nothing_else,
    a_new_id_and_its_changes_are_one_commit,
    a_superseded_id_is_dead_for_every_method,
    a_superseded_id_is_recent_for_its_grace,
    the_grace_of_a_superseded_id_ends_at_its_instant,
    a_new_id_begins_a_new_incarnation,
    a_new_id_has_the_same_handle,
    a_new_id_never_creates,
    an_id_superseded_twice_is_unknown,
    a_superseded_id_ends_with_its_session,
    a_new_id_needs_the_version_that_it_compares_with,
    a_new_id_is_noted_under_a_lease_that_renews,
    a_login_needs_a_new_id,
];

fn a_new_id_takes_the_place_of_the_old_one_and_changes_nothing_else(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({"user": "ada"}))?;
    let seen = p.found("the old id", &session.id)?;
    let (new, replace) = session.replace()?;
    let receipt = p.done(&session.id, &replace)?;
    same("the id to announce", receipt.announce, Some(new))?;
    let stored = p.found("the new id", &new)?;
    same("how the new id stands", stored.presented, Presented::Current)?;
    same("the data", data(&stored.record)?, data(&seen.record)?)?;
    p.left("the time left", stored.ttl, p.long())?;
    p.nothing("the old id", &session.id)
}

fn a_new_id_and_its_changes_are_one_commit(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({"user": "ada"}))?;
    let (new, replace) = session.replace()?;
    p.done(&session.id, &replace.with(put("in", &true)?))?;
    p.holds(&new, json!({"user": "ada", "in": true}))
}

fn a_superseded_id_is_dead_for_every_method(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({"user": "ada"}))?;
    let new = p.replaced(&session)?;
    let before = p.found("the new id", &new.id)?;
    p.dead("a superseded id", &session, Outcome::Superseded)?;
    p.unchanged("the session", &new.id, &before)
}

fn a_superseded_id_is_recent_for_its_grace(p: &Fixture<'_>) -> Checked {
    for (grace, recent) in [(p.long(), true), (p.short(), false), (Duration::ZERO, false)] {
        let (session, lease) = (p.session(json!({}))?, Lease { grace, ..p.lease(p.long()) });
        let (new, replace) = session.replace()?;
        done("a new id", p.store.commit(&session.id, &replace, &lease))?;
        if !recent && !grace.is_zero() {
            same("at first", p.look(&session.id, Look::Visit)?, Lookup::Superseded { recent: true })?;
            p.over();
        }
        for how in [Look::Peek, Look::Visit] {
            same("a look with a superseded id", p.look(&session.id, how)?, Lookup::Superseded { recent })?;
        }
        p.says(&session.id, &session.put("ghost", &1)?, Outcome::Superseded)?;
        p.found("the new id", &new)?;
    }
    Ok(())
}

fn the_grace_of_a_superseded_id_ends_at_its_instant(p: &Fixture<'_>) -> Checked {
    let (clock, last) = (p.clock()?, Duration::from_secs(1));
    let (session, lease) = (p.session(json!({}))?, Lease { grace: p.units(1), ..p.lease(p.long()) });
    done("a new id", p.store.commit(&session.id, &session.replace()?.1, &lease))?;
    for (wait, recent) in [(p.units(1).saturating_sub(last), true), (last, false)] {
        clock.advance(wait);
        same("a look with a superseded id", p.look(&session.id, Look::Peek)?, Lookup::Superseded { recent })?;
    }
    Ok(())
}

fn a_new_id_begins_a_new_incarnation(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({}))?;
    let new = p.replaced(&session)?;
    let seen = p.found("the new id", &new.id)?;
    // A request that read the session before is not let into what it has become, by the new id neither.
    p.says(&new.id, &session.put("ghost", &1)?, Outcome::Gone)?;
    p.says(&new.id, &session.exactly("ghost", &1)?, Outcome::Gone)?;
    p.unchanged("the session", &new.id, &seen)?;
    p.done(&new.id, &new.exactly("n", &1)?).map(drop)
}

fn a_new_id_has_the_same_handle(p: &Fixture<'_>) -> Checked {
    let (session, other) = (p.session(json!({"user": "ada"}))?, new_id()?);
    let seen = p.found("the id", &session.id)?;
    let replace = session.put("ghost", &1)?.identity(Identity::Replace(other));
    refused("a new id with another handle", p.commit(&session.id, &replace), Error::is_id, "is_id")?;
    p.unchanged("the session", &session.id, &seen)?;
    p.nothing("the refused id", &other)
}

fn a_new_id_never_creates(p: &Fixture<'_>) -> Checked {
    let destroyed = p.session(json!({}))?;
    done("destroy", p.store.destroy(&destroyed.id))?;
    for id in [new_id()?, destroyed.id] {
        let (new, replace) = Session { id, ..destroyed }.replace()?;
        p.says(&id, &replace, Outcome::Gone)?;
        p.nothing("the id", &id)?;
        p.nothing("the new id", &new)?;
    }
    Ok(())
}

fn an_id_superseded_twice_is_unknown(p: &Fixture<'_>) -> Checked {
    let first = p.session(json!({}))?;
    let second = p.replaced(&first)?;
    let third = p.replaced(&second)?;
    same("a look with the first id", p.look(&first.id, Look::Visit)?, Lookup::Missing)?;
    p.dead("the id before the last one", &first, Outcome::Gone)?;
    p.dead("the last id", &second, Outcome::Superseded)?;
    p.found("the new id", &third.id).map(drop)
}

fn a_superseded_id_ends_with_its_session(p: &Fixture<'_>) -> Checked {
    let old = p.session(json!({}))?;
    let new = p.replaced(&old)?;
    done("destroy with the new id", p.store.destroy(&new.id))?;
    same("a look with the old id", p.look(&old.id, Look::Visit)?, Lookup::Missing)?;
    p.done(&new.id, &Commit::create()?)?;
    let second = p.found("the id of the second session", &new.id)?;
    p.dead("a superseded id of the first session", &old, Outcome::Gone)?;
    p.unchanged("the second session", &new.id, &second)
}

fn a_new_id_needs_the_version_that_it_compares_with(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({}))?;
    p.done(&session.id, &session.put("a", &1)?)?;
    let (seen, new) = (p.found("the id", &session.id)?, other_secret(&session.id)?);
    p.says(&session.id, &session.exactly("a", &2)?.identity(Identity::Replace(new)), Outcome::Changed)?;
    p.unchanged("the session", &session.id, &seen)?;
    p.nothing("the refused id", &new)
}

fn a_new_id_is_noted_under_a_lease_that_renews(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({}))?;
    let made = p.found("the id", &session.id)?.record.id_since();
    p.pass(1);
    let (new, replace) = session.replace()?;
    let lease = Lease { renew_after: Some(p.long()), ..p.lease(p.long()) };
    done("a new id", p.store.commit(&session.id, &replace, &lease))?;
    let since = p.found("the new id", &new)?.record.id_since();
    same("whether the new id is younger than the first one", since > made, true)
}

fn a_login_needs_a_new_id(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({}))?;
    let seen = p.found("the id", &session.id)?;
    for identity in [Identity::Keep, Identity::Renew(1)] {
        let mut changes = put("in", &true)?;
        changes.remember(true);
        let login = session.merge(changes)?.identity(identity).log_in(Login::new(owner("ada")?));
        refused("a login without a new id", p.commit(&session.id, &login), Error::is_id, "is_id")?;
        p.unchanged("the session", &session.id, &seen)?;
    }
    Ok(())
}
