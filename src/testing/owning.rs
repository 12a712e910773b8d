//! Rules of owners, for stores that have powers over them: what is listed, what ends, and that no login slips past.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use serde_json::json;

use super::probe::{Checked, Probe, Stop, broken, done, gone, holds, new_id, other_secret, put, record, same, to};
use crate::id::{Handle, SessionId};
use crate::record::{Changes, Epoch, Record};
use crate::store::{EndReason, Outcome, Owners};

super::table![
    sessions_of_lists_the_live_sessions_of_an_owner_and_no_others,
    the_sessions_of_an_owner_are_listed_without_an_id_that_opens_them,
    an_owner_comes_changes_and_goes_with_saves,
    a_session_stays_its_owners_whatever_else_happens_to_it,
    sessions_that_ended_are_nobodys,
    destroy_of_ends_all_sessions_of_an_owner_and_no_others,
    destroy_of_spares_the_session_that_the_excepted_id_opens,
    an_id_in_its_grace_is_spared_with_its_session_and_ends_with_it,
    a_login_that_began_before_destroy_of_is_not_let_in,
    a_login_that_began_after_destroy_of_is_let_in,
    a_new_session_begins_with_a_login_that_still_counts_or_not_at_all,
    destroy_handle_ends_one_session,
    why_a_session_ended_is_told_to_its_id_and_to_no_other,
    of_logins_beside_destroy_of_none_is_left_over,
];

/// The store's powers, or the rule is skipped.
fn powers<'p>(p: &Probe<'p>) -> Checked<&'p dyn Owners> {
    p.store.owners().ok_or_else(|| Stop::Skipped("this store has no powers over owners".to_owned()))
}

fn owner(name: Option<&str>, epoch: Option<Epoch>) -> Checked<Changes> {
    let mut changes = put("in", &name.is_some())?;
    changes.set_owner(name)?;
    epoch.into_iter().for_each(|epoch| changes.expect_epoch(epoch));
    Ok(changes)
}

fn login(p: &Probe<'_>, id: &SessionId, changes: &Changes) -> Checked {
    let seen = p.found("the id", id)?.record;
    done("save with an owner", p.store.save(id, changes, p.long(), to(&seen)))
}

/// A session of an owner.
fn session_of(p: &Probe<'_>, name: &str) -> Checked<SessionId> {
    let id = p.session(json!({"cart": 1}))?;
    login(p, &id, &owner(Some(name), Some(powers(p)?.epoch(name)?))?)?;
    Ok(id)
}

/// Expects these sessions to be an owner's, and no others.
fn has(p: &Probe<'_>, name: &str, ids: &[SessionId]) -> Checked {
    let owners = powers(p)?;
    let expected: BTreeSet<Handle> = ids.iter().map(SessionId::handle).collect();
    let listed = owners.sessions_of(name)?;
    let found: BTreeSet<Handle> = listed.iter().map(|session| session.handle).collect();
    same(&format!("sessions_of {name:?}"), &found, &expected)?;
    same(&format!("the length of sessions_of {name:?}"), listed.len(), expected.len())?;
    same(&format!("count_of {name:?}"), owners.count_of(name)?, expected.len())
}

fn sessions_of_lists_the_live_sessions_of_an_owner_and_no_others(p: &Probe<'_>) -> Checked {
    has(p, "ada", &[])?;
    let ada = [session_of(p, "ada")?, session_of(p, "ada")?, session_of(p, "ada")?];
    let bob = [session_of(p, "bob")?];
    p.session(json!({"anonymous": true}))?;
    has(p, "ada", &ada)?;
    has(p, "bob", &bob)?;
    has(p, "ad", &[])?;
    for session in powers(p)?.sessions_of("ada")? {
        holds("the entries of a listed session", &session.stored.record, json!({"cart": 1, "in": true}))?;
        p.left("the time left of a listed session", session.stored.ttl, p.long())?;
    }
    Ok(())
}

fn the_sessions_of_an_owner_are_listed_without_an_id_that_opens_them(p: &Probe<'_>) -> Checked {
    session_of(p, "ada")?;
    for session in powers(p)?.sessions_of("ada")? {
        same("the id in a list of an owner", session.id.is_some(), false)?;
    }
    Ok(())
}

fn an_owner_comes_changes_and_goes_with_saves(p: &Probe<'_>) -> Checked {
    let id = session_of(p, "ada")?;
    same("the owner", p.found("the id", &id)?.record.owner(), Some("ada"))?;
    login(p, &id, &owner(Some("bob"), None)?)?;
    has(p, "ada", &[])?;
    has(p, "bob", &[id])?;
    login(p, &id, &owner(None, None)?)?;
    has(p, "bob", &[])?;
    same("the owner", p.found("the id", &id)?.record.owner(), None)?;
    // With the record itself, too.
    let (created, set) = (new_id()?, new_id()?);
    let owned = || -> Checked<Record> { Ok(owner(Some("ada"), None)?.apply(&record(json!({})))?) };
    done("create with an owner", p.store.create(&created, owned()?, p.long()))?;
    p.store.set(&set, owned()?, p.long())?;
    has(p, "ada", &[created, set])?;
    p.store.set(&set, record(json!({})), p.long())?;
    has(p, "ada", &[created])
}

fn a_session_stays_its_owners_whatever_else_happens_to_it(p: &Probe<'_>) -> Checked {
    let id = session_of(p, "ada")?;
    login(p, &id, &put("theme", &"dark")?)?;
    has(p, "ada", &[id])?;
    done("touch", p.store.touch(&id, p.long() * 2))?;
    has(p, "ada", &[id])?;
    let new = other_secret(&id)?;
    done("rotate", p.store.rotate(&id, &new, p.long()))?;
    has(p, "ada", &[new])?;
    let mut cleared = Changes::new();
    cleared.clear();
    login(p, &new, &cleared)?;
    has(p, "ada", &[new])
}

fn sessions_that_ended_are_nobodys(p: &Probe<'_>) -> Checked {
    let (kept, destroyed, expired) = (session_of(p, "ada")?, session_of(p, "ada")?, session_of(p, "ada")?);
    done("destroy", p.store.destroy(&destroyed))?;
    done("touch", p.store.touch(&expired, p.short()))?;
    has(p, "ada", &[kept, expired])?;
    p.over();
    has(p, "ada", &[kept])?;
    same("what destroy_of counts", powers(p)?.destroy_of("ada", None)?, 1)?;
    has(p, "ada", &[])
}

fn destroy_of_ends_all_sessions_of_an_owner_and_no_others(p: &Probe<'_>) -> Checked {
    let ids = (0..20).map(|_| session_of(p, "ada")).collect::<Checked<Vec<_>>>()?;
    let (bob, anonymous) = (session_of(p, "bob")?, p.session(json!({}))?);
    let others = [p.found("another owner's", &bob)?, p.found("nobody's", &anonymous)?];
    let seen: Vec<_> = ids.iter().map(|id| p.found("the id", id)).collect::<Checked<_>>()?;
    same("what destroy_of counts", powers(p)?.destroy_of("ada", None)?, ids.len())?;
    for (id, seen) in ids.iter().zip(&seen) {
        p.dead("an id of an owner who logged out everywhere", id, &seen.record)?;
    }
    has(p, "ada", &[])?;
    p.unchanged("another owner's session", &bob, &others[0])?;
    p.unchanged("nobody's session", &anonymous, &others[1])?;
    same("what a second destroy_of counts", powers(p)?.destroy_of("ada", None)?, 0)
}

fn destroy_of_spares_the_session_that_the_excepted_id_opens(p: &Probe<'_>) -> Checked {
    let (here, there) = (session_of(p, "ada")?, session_of(p, "ada")?);
    let seen = p.found("the excepted id", &here)?;
    same("what destroy_of counts", powers(p)?.destroy_of("ada", Some(&here))?, 1)?;
    p.unchanged("the excepted session", &here, &seen)?;
    p.nothing("the other session", &there)?;
    has(p, "ada", &[here])?;
    // A handle is no proof.
    same("what destroy_of counts", powers(p)?.destroy_of("ada", Some(&other_secret(&here)?))?, 1)?;
    p.nothing("a session that was excepted with a wrong secret", &here)
}

fn an_id_in_its_grace_is_spared_with_its_session_and_ends_with_it(p: &Probe<'_>) -> Checked {
    let (old, there) = (session_of(p, "ada")?, session_of(p, "ada")?);
    let new = other_secret(&old)?;
    done("rotate", p.store.rotate(&old, &new, p.long()))?;
    let seen = p.found("the new id", &new)?;
    // A request that came with the old id may log out all others, not itself.
    same("what destroy_of counts", powers(p)?.destroy_of("ada", Some(&old))?, 1)?;
    p.unchanged("the session that an id in its grace opens", &new, &seen)?;
    p.nothing("the other session", &there)?;
    same("what destroy_of counts", powers(p)?.destroy_of("ada", None)?, 1)?;
    p.dead("the old id of a session that ended in its grace", &old, &seen.record)?;
    p.dead("the new id of a session that ended in its grace", &new, &seen.record)
}

fn a_login_that_began_before_destroy_of_is_not_let_in(p: &Probe<'_>) -> Checked {
    let owners = powers(p)?;
    let id = p.session(json!({"cart": 1}))?;
    let before = p.found("the id", &id)?;
    let begun = owners.epoch("ada")?;
    owners.destroy_of("ada", None)?;
    let late = p.store.save(&id, &owner(Some("ada"), Some(begun))?, p.long(), to(&before.record));
    gone("a login that began before destroy_of", late)?;
    p.unchanged("the session that wanted to log in", &id, &before)?;
    has(p, "ada", &[])?;
    // Somebody else's epoch is none of it.
    let other = owners.epoch("bob")?;
    owners.destroy_of("ada", None)?;
    login(p, &id, &owner(Some("bob"), Some(other))?)?;
    has(p, "bob", &[id])
}

fn a_login_that_began_after_destroy_of_is_let_in(p: &Probe<'_>) -> Checked {
    session_of(p, "ada")?;
    powers(p)?.destroy_of("ada", None)?;
    let id = session_of(p, "ada")?;
    has(p, "ada", &[id])
}

fn a_new_session_begins_with_a_login_that_still_counts_or_not_at_all(p: &Probe<'_>) -> Checked {
    let owners = powers(p)?;
    let owned = |name| -> Checked<Record> { Ok(owner(name, None)?.apply(&record(json!({})))?) };
    let create =
        |id: &SessionId, name, begun| -> Checked<_> { Ok(owners.create_owned(id, owned(name)?, p.long(), begun)?) };
    let (late, id, nobodys) = (new_id()?, new_id()?, new_id()?);
    let (begun, other) = (owners.epoch("ada")?, owners.epoch("bob")?);
    owners.destroy_of("ada", None)?;
    same("create_owned with an epoch from before destroy_of", create(&late, Some("ada"), begun)?, Outcome::Gone)?;
    p.nothing("a session whose login came too late", &late)?;
    has(p, "ada", &[])?;
    same("create_owned with another owner's", create(&late, Some("bob"), other)?, Outcome::Done)?;
    has(p, "bob", &[late])?;
    let begun = owners.epoch("ada")?;
    same("create_owned with the owner's epoch", create(&id, Some("ada"), begun)?, Outcome::Done)?;
    same("create_owned under a handle that is taken", create(&id, Some("ada"), begun)?, Outcome::Conflict)?;
    has(p, "ada", &[id])?;
    holds("the entries of the new session", &p.found("the id", &id)?.record, json!({"in": true}))?;
    p.left("the time left of the new session", p.found("the id", &id)?.ttl, p.long())?;
    same("create_owned without an owner", create(&nobodys, None, begun)?, Outcome::Done)
}

fn destroy_handle_ends_one_session(p: &Probe<'_>) -> Checked {
    let owners = powers(p)?;
    let (one, two) = (session_of(p, "ada")?, session_of(p, "ada")?);
    let seen = p.found("the id", &one)?.record;
    done("destroy_handle", owners.destroy_handle(one.handle(), EndReason::Named))?;
    p.dead("an id whose handle was destroyed", &one, &seen)?;
    has(p, "ada", &[two])?;
    gone("destroy_handle again", owners.destroy_handle(one.handle(), EndReason::Named))?;
    let anonymous = p.session(json!({}))?;
    done("destroy_handle of nobody's session", owners.destroy_handle(anonymous.handle(), EndReason::Named))?;
    p.nothing("nobody's session", &anonymous)
}

fn why_a_session_ended_is_told_to_its_id_and_to_no_other(p: &Probe<'_>) -> Checked {
    let owners = powers(p)?;
    let (everywhere, named) = (session_of(p, "ada")?, session_of(p, "bob")?);
    same("why a live session ended", owners.why_ended(&named)?, None)?;
    owners.destroy_of("ada", None)?;
    done("destroy_handle", owners.destroy_handle(named.handle(), EndReason::Limit))?;
    same("why, after destroy_of", owners.why_ended(&everywhere)?, Some(EndReason::Everywhere))?;
    same("why, after destroy_handle", owners.why_ended(&named)?, Some(EndReason::Limit))?;
    same("why, asked with a wrong secret", owners.why_ended(&other_secret(&named)?)?, None)
}

fn of_logins_beside_destroy_of_none_is_left_over(p: &Probe<'_>) -> Checked {
    const LOGINS: usize = 4;
    let owners = powers(p)?;
    for _ in 0..20 {
        let ids = (0..LOGINS).map(|_| p.session(json!({}))).collect::<Checked<Vec<_>>>()?;
        let begun = owners.epoch("ada")?;
        let start = Barrier::new(LOGINS + 1);
        thread::scope(|scope| {
            let logins: Vec<_> = ids
                .iter()
                .map(|id| {
                    scope.spawn(|| -> Checked {
                        let seen = p.found("the id", id)?.record;
                        let changes = owner(Some("ada"), Some(begun))?;
                        start.wait();
                        // Let in and ended, or not let in: both are right.
                        p.store.save(id, &changes, p.long(), to(&seen)).map(drop)?;
                        Ok(())
                    })
                })
                .collect();
            start.wait();
            owners.destroy_of("ada", None)?;
            logins.into_iter().try_for_each(|login| match login.join() {
                Ok(checked) => checked,
                Err(_) => broken("a login panicked"),
            })
        })?;
        has(p, "ada", &[])?;
    }
    Ok(())
}
