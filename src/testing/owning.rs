//! Rules of owners, for stores that have powers over them: what is listed, and what ends.

use std::collections::BTreeSet;

use serde_json::json;

use super::finding::cleared;
use super::fixture::{Checked, Fixture, Session, done, gone, holds, new_id, other_secret, owner, put, record, same};
use crate::id::Handle;
use crate::record::Changes;
use crate::store::{Commit, EndReason, Lease, Login, Look, Outcome};

super::table![
    list_has_the_live_sessions_of_an_owner_and_no_others,
    list_has_no_id_that_opens_a_session,
    an_owner_comes_with_a_login_and_changes_with_another,
    an_owner_comes_and_goes_with_set,
    a_session_stays_its_owners_whatever_else_happens_to_it,
    sessions_that_ended_have_no_owner,
    destroy_all_ends_all_sessions_of_an_owner_and_no_others,
    destroy_all_spares_the_session_that_the_excepted_id_opens,
    both_ids_of_a_renewal_are_spared_with_their_session_and_end_with_it,
    destroy_by_handle_ends_one_session,
    destroy_by_handle_compares_the_owner,
    destroy_by_handle_frees_the_handle,
    why_a_session_ended_is_told_to_its_id_and_to_no_other,
];

/// Expects these sessions to be an owner's, and no others.
pub(super) fn has(p: &Fixture<'_>, name: &str, sessions: &[Session]) -> Checked {
    let (owners, owner) = (p.owners()?, owner(name)?);
    let expected: BTreeSet<Handle> = sessions.iter().map(|session| session.id.handle()).collect();
    let listed = owners.list(&owner)?;
    let found: BTreeSet<Handle> = listed.iter().map(|session| session.handle).collect();
    same(&format!("the list of {name:?}"), &found, &expected)?;
    same(&format!("the length of the list of {name:?}"), listed.len(), expected.len())?;
    same(&format!("the count of {name:?}"), owners.count(&owner)?, expected.len())
}

fn list_has_the_live_sessions_of_an_owner_and_no_others(p: &Fixture<'_>) -> Checked {
    has(p, "ada", &[])?;
    let ada = (0..60).map(|_| p.session_of("ada")).collect::<Checked<Vec<_>>>()?;
    let bob = [p.session_of("bob")?];
    p.session(json!({"anonymous": true}))?;
    for (name, sessions) in [("ada", &*ada), ("bob", &bob), ("ad", &[]), ("Ada", &[])] {
        has(p, name, sessions)?;
    }
    for listed in p.owners()?.list(&owner("bob")?)? {
        holds("the entries of a listed session", &listed.stored.record, json!({"cart": 1}))?;
        p.left("the time left of a listed session", listed.stored.ttl, p.long())?;
        same("the version of a listed session", listed.stored.record.version(), bob[0].version)?;
    }
    Ok(())
}

fn list_has_no_id_that_opens_a_session(p: &Fixture<'_>) -> Checked {
    p.session_of("ada")?;
    let listed = p.owners()?.list(&owner("ada")?)?;
    same("the ids in a list", listed.iter().filter_map(|session| session.id).next(), None)
}

fn an_owner_comes_with_a_login_and_changes_with_another(p: &Fixture<'_>) -> Checked {
    has(p, "ada", &[])?;
    let ada = p.session_of("ada")?;
    has(p, "ada", &[ada])?;
    same("the owner", p.found("the id", &ada.id)?.record.owner(), Some("ada"))?;
    let bob = p.logged_in(&ada, Login::new(owner("bob")?))?;
    has(p, "ada", &[])?;
    has(p, "bob", &[bob])?;
    let (id, create) = (new_id()?, Commit::create()?.log_in(Login::new(owner("ada")?)));
    let created = Session { id, version: p.done(&id, &create)?.version };
    has(p, "ada", &[created])
}

fn an_owner_comes_and_goes_with_set(p: &Fixture<'_>) -> Checked {
    has(p, "ada", &[])?;
    let ada = p.session_of("ada")?;
    let moved = Session { id: new_id()?, ..ada };
    p.store.set(&moved.id, p.found("the id", &ada.id)?.record, p.long())?;
    has(p, "ada", &[ada, moved])?;
    p.store.set(&ada.id, record(json!({})), p.long())?;
    has(p, "ada", &[moved])
}

fn a_session_stays_its_owners_whatever_else_happens_to_it(p: &Fixture<'_>) -> Checked {
    has(p, "ada", &[])?;
    let session = p.session_of("ada")?;
    for changes in [put("theme", "dark")?, cleared("owner")?, Changes::new()] {
        p.done(&session.id, &session.merge(changes)?)?;
        has(p, "ada", &[session])?;
    }
    done("touch", p.store.touch(&session.id, &p.lease(p.long() * 2)))?;
    p.look(&session.id, Look::Visit)?;
    has(p, "ada", &[session])?;
    let session = p.replaced(&session)?;
    has(p, "ada", &[session])?;
    // And the same owner once more.
    let session = p.logged_in(&session, Login::new(owner("ada")?))?;
    has(p, "ada", &[session])?;
    p.holds(&session.id, json!({"owner": 1}))
}

fn sessions_that_ended_have_no_owner(p: &Fixture<'_>) -> Checked {
    has(p, "ada", &[])?;
    let (kept, destroyed, expired) = (p.session_of("ada")?, p.session_of("ada")?, p.session_of("ada")?);
    done("destroy", p.store.destroy(&destroyed.id))?;
    done("touch", p.store.touch(&expired.id, &p.lease(p.short())))?;
    has(p, "ada", &[kept, expired])?;
    p.over();
    has(p, "ada", &[kept])?;
    same("what destroy_all counts", p.owners()?.destroy_all(&owner("ada")?, None)?, 1)?;
    has(p, "ada", &[])
}

fn destroy_all_ends_all_sessions_of_an_owner_and_no_others(p: &Fixture<'_>) -> Checked {
    let (owners, ada) = (p.owners()?, owner("ada")?);
    let sessions = (0..60).map(|_| p.session_of("ada")).collect::<Checked<Vec<_>>>()?;
    let (bob, anonymous) = (p.session_of("bob")?.id, p.session(json!({}))?.id);
    let others = [p.found("another owner's", &bob)?, p.found("an anonymous one", &anonymous)?];
    same("what destroy_all counts", owners.destroy_all(&ada, None)?, sessions.len())?;
    for session in &sessions {
        p.dead("an id of an owner who logged out everywhere", session, Outcome::Gone)?;
    }
    has(p, "ada", &[])?;
    p.unchanged("another owner's session", &bob, &others[0])?;
    p.unchanged("an anonymous session", &anonymous, &others[1])?;
    same("what a second destroy_all counts", owners.destroy_all(&ada, None)?, 0)
}

fn destroy_all_spares_the_session_that_the_excepted_id_opens(p: &Fixture<'_>) -> Checked {
    let (owners, ada) = (p.owners()?, owner("ada")?);
    let (here, there) = (p.session_of("ada")?, p.session_of("ada")?);
    let seen = p.found("the excepted id", &here.id)?;
    same("what destroy_all counts", owners.destroy_all(&ada, Some(&here.id))?, 1)?;
    p.unchanged("the excepted session", &here.id, &seen)?;
    p.nothing("the other session", &there.id)?;
    has(p, "ada", &[here])?;
    // A handle is no proof.
    same("what destroy_all counts", owners.destroy_all(&ada, Some(&other_secret(&here.id)?))?, 1)?;
    p.nothing("a session that was excepted with a wrong secret", &here.id)
}

fn both_ids_of_a_renewal_are_spared_with_their_session_and_end_with_it(p: &Fixture<'_>) -> Checked {
    let (owners, ada) = (p.owners()?, owner("ada")?);
    let (old, there) = (p.session_of("ada")?, p.session_of("ada")?);
    p.over();
    let lease = Lease { renew_after: Some(p.units(1)), grace: p.short(), ..p.lease(p.long()) };
    let new = super::renewing::renew(p, &old, &lease)?.unwrap_or(old.id);
    // A request that came with either id may log out all others, not itself.
    for (id, ended) in [(&old.id, 1), (&new, 0)] {
        same("what destroy_all counts", owners.destroy_all(&ada, Some(id))?, ended)?;
        p.found("an id of the spared session", id)?;
    }
    p.nothing("the other session", &there.id)?;
    same("what destroy_all counts", owners.destroy_all(&ada, None)?, 1)?;
    p.dead("the old id of the session", &old, Outcome::Gone)?;
    p.dead("the new id of the session", &Session { id: new, ..old }, Outcome::Gone)
}

fn destroy_by_handle_ends_one_session(p: &Fixture<'_>) -> Checked {
    let (owners, ada) = (p.owners()?, owner("ada")?);
    let (one, two, anonymous) = (p.session_of("ada")?, p.session_of("ada")?, p.session(json!({}))?);
    let end = |session: &Session, owner| owners.destroy(session.id.handle(), owner, EndReason::Named);
    same("the version of the ended session", done("destroy", end(&one, Some(&ada)))?.version, one.version)?;
    p.dead("an id whose handle was destroyed", &one, Outcome::Gone)?;
    has(p, "ada", &[two])?;
    gone("destroy again", end(&one, Some(&ada)))?;
    done("destroy of an anonymous session", end(&anonymous, None))?;
    p.nothing("the anonymous session", &anonymous.id)?;
    done("destroy by an administrator", end(&two, None)).map(drop)
}

fn destroy_by_handle_compares_the_owner(p: &Fixture<'_>) -> Checked {
    let owners = p.owners()?;
    let (ada, anonymous) = (p.session_of("ada")?.id, p.session(json!({}))?.id);
    for id in [ada, anonymous] {
        let seen = p.found("the id", &id)?;
        gone("destroy for another owner", owners.destroy(id.handle(), Some(&owner("bob")?), EndReason::Named))?;
        p.unchanged("the session", &id, &seen)?;
    }
    Ok(())
}

fn destroy_by_handle_frees_the_handle(p: &Fixture<'_>) -> Checked {
    let owners = p.owners()?;
    let (named, everywhere) = (p.session_of("ada")?.id, p.session_of("ada")?.id);
    done("destroy", owners.destroy(named.handle(), None, EndReason::Named))?;
    owners.destroy_all(&owner("ada")?, None)?;
    for id in [named, everywhere] {
        let other = other_secret(&id)?;
        p.done(&other, &Commit::create()?.with(put("n", &1)?))?;
        p.holds(&other, json!({"n": 1}))?;
        p.nothing("the ended id", &id)?;
    }
    Ok(())
}

fn why_a_session_ended_is_told_to_its_id_and_to_no_other(p: &Fixture<'_>) -> Checked {
    let owners = p.owners()?;
    let (everywhere, named, out) = (p.session_of("ada")?.id, p.session_of("bob")?.id, p.session_of("eve")?.id);
    same("why a live session ended", owners.why_ended(&named)?, None)?;
    owners.destroy_all(&owner("ada")?, None)?;
    done("destroy", owners.destroy(named.handle(), None, EndReason::Named))?;
    done("destroy", p.store.destroy(&out))?;
    same("why, after destroy_all", owners.why_ended(&everywhere)?, Some(EndReason::Everywhere))?;
    same("why, after destroy by handle", owners.why_ended(&named)?, Some(EndReason::Named))?;
    same("why, after a logout", owners.why_ended(&out)?, None)?;
    same("why, asked with a wrong secret", owners.why_ended(&other_secret(&named)?)?, None)
}
