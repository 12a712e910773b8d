//! Rules of logins: what becomes of the session, epochs, and limits.

use std::sync::Barrier;
use std::thread;

use serde_json::json;

use super::fixture::{Checked, Fixture, Session, broken, data, done, holds, new_id, owner, put, same};
use super::owning::has;
use super::racing::at_once;
use crate::store::{AtLimit, Commit, EndReason, Epoch, Limit, Login, Outcome};

super::table![
    a_login_keeps_what_an_anonymous_session_holds,
    a_login_over_another_owner_leaves_nothing_of_that_owner,
    a_login_notes_its_time,
    a_login_that_began_before_destroy_all_is_revoked,
    a_login_that_began_after_destroy_all_is_let_in,
    a_new_session_begins_with_a_login_that_still_counts_or_not_at_all,
    epochs_never_go_back,
    at_the_limit_the_oldest_session_ends,
    at_the_limit_the_newest_login_is_refused,
    a_login_again_is_within_the_limit,
    of_logins_beside_destroy_all_none_is_left_over,
    logins_at_once_never_exceed_the_limit,
];

/// A login of ada that began in this epoch.
fn begun(name: &str, epoch: Epoch) -> Checked<Login> {
    Ok(Login { begun: Some(epoch), ..Login::new(owner(name)?) })
}

fn limited(name: &str, max: usize, at_limit: AtLimit) -> Checked<Login> {
    Ok(Login { limit: Some(Limit { max, at_limit }), ..Login::new(owner(name)?) })
}

fn a_login_keeps_what_an_anonymous_session_holds(p: &Fixture<'_>) -> Checked {
    let anonymous = p.session(json!({"cart": 1, "theme": "dark"}))?;
    p.done(&anonymous.id, &anonymous.put("late", &1)?)?;
    let (new, login) = anonymous.log_in(Login::new(owner("ada")?))?;
    p.done(&anonymous.id, &login.with(put("theme", "light")?))?;
    p.holds(&new, json!({"cart": 1, "theme": "light", "late": 1}))?;
    p.dead("the id from before the login", &anonymous, Outcome::Superseded)
}

fn a_login_over_another_owner_leaves_nothing_of_that_owner(p: &Fixture<'_>) -> Checked {
    let mut changes = put("role", "admin")?;
    changes.set_label(Some("ada's phone"))?;
    changes.remember(true);
    changes.set_timeout(Some(p.long()));
    let ada = p.session_of("ada")?;
    p.done(&ada.id, &ada.merge(changes)?)?;
    let made = p.found("the id", &ada.id)?.record.created_at();
    p.pass(1);
    let (new, login) = ada.log_in(Login::new(owner("grace")?))?;
    p.done(&ada.id, &login.with(put("theme", "dark")?))?;
    let record = p.found("the new id", &new)?.record;
    holds("the entries", &record, json!({"theme": "dark"}))?;
    let noted = (record.owner(), record.label(), record.timeout(), record.is_remembered());
    same("owner, label, timeout and remembered", noted, (Some("grace"), None, None, false))?;
    same("whether the session is younger", record.created_at() > made, true)?;
    p.says(&ada.id, &ada.put("ghost", &1)?, Outcome::Superseded)
}

fn a_login_notes_its_time(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({}))?;
    p.pass(1);
    let first = p.logged_in(&session, Login::new(owner("ada")?))?;
    let since = |session: &Session| p.found("the id", &session.id).map(|stored| stored.record.owner_since());
    let noted = since(&first)?;
    same(
        "whether the login is younger than the session",
        noted > p.found("the id", &first.id)?.record.created_at(),
        true,
    )?;
    p.pass(1);
    p.done(&first.id, &first.put("n", &1)?)?;
    same("owner_since after a commit", since(&first)?, noted)?;
    let second = p.logged_in(&first, Login::new(owner("ada")?))?;
    same("whether the second login is younger", since(&second)? > noted, true)
}

fn a_login_that_began_before_destroy_all_is_revoked(p: &Fixture<'_>) -> Checked {
    let (owners, ada, session) = (p.owners()?, owner("ada")?, p.session(json!({"cart": 1}))?);
    let (before, epoch) = (p.found("the id", &session.id)?, owners.epoch(&ada)?);
    owners.destroy_all(&ada, None)?;
    let (new, login) = session.log_in(begun("ada", epoch)?)?;
    p.says(&session.id, &login.with(put("in", &true)?), Outcome::LoginRevoked)?;
    p.unchanged("the session that was to be logged in", &session.id, &before)?;
    p.nothing("the refused id", &new)?;
    has(p, "ada", &[])?;
    // Another owner's epoch is none of it.
    let other = owners.epoch(&owner("bob")?)?;
    owners.destroy_all(&ada, None)?;
    let session = p.logged_in(&session, begun("bob", other)?)?;
    has(p, "bob", &[session])
}

fn a_login_that_began_after_destroy_all_is_let_in(p: &Fixture<'_>) -> Checked {
    let (owners, ada) = (p.owners()?, owner("ada")?);
    p.session_of("ada")?;
    owners.destroy_all(&ada, None)?;
    let session = p.logged_in(&p.session(json!({}))?, begun("ada", owners.epoch(&ada)?)?)?;
    has(p, "ada", &[session])
}

fn a_new_session_begins_with_a_login_that_still_counts_or_not_at_all(p: &Fixture<'_>) -> Checked {
    let (owners, ada) = (p.owners()?, owner("ada")?);
    let create = |login| -> Checked<Commit> { Ok(Commit::create()?.with(put("in", &true)?).log_in(login)) };
    let (late, id) = (new_id()?, new_id()?);
    let epoch = owners.epoch(&ada)?;
    owners.destroy_all(&ada, None)?;
    p.says(&late, &create(begun("ada", epoch)?)?, Outcome::LoginRevoked)?;
    p.nothing("a session whose login came too late", &late)?;
    has(p, "ada", &[])?;
    let login = create(begun("ada", owners.epoch(&ada)?)?)?;
    let session = Session { id, version: p.done(&id, &login)?.version };
    has(p, "ada", &[session])?;
    p.holds(&id, json!({"in": true}))?;
    p.left("the time left of the new session", p.found("the id", &id)?.ttl, p.long())
}

fn epochs_never_go_back(p: &Fixture<'_>) -> Checked {
    let (owners, ada) = (p.owners()?, owner("ada")?);
    let mut epochs = vec![owners.epoch(&ada)?];
    for _ in 0..5 {
        // With sessions and without, and time in between.
        p.session_of("ada")?;
        owners.destroy_all(&ada, None)?;
        epochs.push(owners.epoch(&ada)?);
        owners.destroy_all(&ada, None)?;
        epochs.push(owners.epoch(&ada)?);
        p.pass(u32::from(epochs.len() < 6));
    }
    same("whether each destroy_all begins a later epoch", epochs.is_sorted_by(|one, two| one < two), true)?;
    let last = owners.epoch(&ada)?;
    same("the epoch without a destroy_all", Some(&last), epochs.last())?;
    for epoch in epochs.into_iter().filter(|epoch| *epoch != last) {
        p.says(&new_id()?, &Commit::create()?.log_in(begun("ada", epoch)?), Outcome::LoginRevoked)?;
    }
    Ok(())
}

fn at_the_limit_the_oldest_session_ends(p: &Fixture<'_>) -> Checked {
    let (owners, login) = (p.owners()?, limited("ada", 2, AtLimit::EndOldest)?);
    let (bob, mut sessions) = (p.session_of("bob")?, Vec::new());
    for _ in 0..2 {
        sessions.push(p.logged_in(&p.session(json!({}))?, login.clone())?);
        p.pass(1);
    }
    // The one that was used last is still the one that was logged in first, whatever it holds.
    p.done(&sessions[0].id, &sessions[0].merge(super::finding::cleared("n")?)?)?;
    let third = p.session(json!({}))?;
    let (new, commit) = third.log_in(login)?;
    let third = Session { id: new, version: p.done(&third.id, &commit)?.version };
    has(p, "ada", &[sessions[1], third])?;
    p.dead("the session that was logged in first", &sessions[0], Outcome::Gone)?;
    same("why it ended", owners.why_ended(&sessions[0].id)?, Some(EndReason::Limit))?;
    // The limit was lowered.
    let fourth = p.logged_in(&p.session(json!({}))?, limited("ada", 1, AtLimit::EndOldest)?)?;
    has(p, "ada", &[fourth])?;
    has(p, "bob", &[bob])
}

fn at_the_limit_the_newest_login_is_refused(p: &Fixture<'_>) -> Checked {
    has(p, "ada", &[])?;
    let login = limited("ada", 1, AtLimit::RefuseNewest)?;
    let (first, session) = (p.logged_in(&p.session(json!({}))?, login.clone())?, p.session(json!({"cart": 1}))?);
    let (seen, id) = (p.found("the id", &session.id)?, new_id()?);
    let (new, commit) = session.log_in(login.clone())?;
    p.says(&session.id, &commit.with(put("in", &true)?), Outcome::AtLimit)?;
    p.says(&id, &Commit::create()?.log_in(login.clone()), Outcome::AtLimit)?;
    p.unchanged("the session that was to be logged in", &session.id, &seen)?;
    p.nothing("the refused id", &new)?;
    p.nothing("the id of a session that was not created", &id)?;
    has(p, "ada", &[first])?;
    done("destroy", p.store.destroy(&first.id))?;
    let session = p.logged_in(&session, login)?;
    has(p, "ada", &[session])
}

fn a_login_again_is_within_the_limit(p: &Fixture<'_>) -> Checked {
    has(p, "ada", &[])?;
    for at_limit in [AtLimit::RefuseNewest, AtLimit::EndOldest] {
        let login = limited("ada", 1, at_limit)?;
        let mut session = p.logged_in(&p.session(json!({"cart": 1}))?, login.clone())?;
        for _ in 0..2 {
            session = p.logged_in(&session, login.clone())?;
            has(p, "ada", &[session])?;
        }
        let found = data(&p.found("the id", &session.id)?.record)?;
        same("the entries", &found["entries"], &json!({"": {"cart": 1}}))?;
        done("destroy", p.store.destroy(&session.id))?;
    }
    Ok(())
}

fn of_logins_beside_destroy_all_none_is_left_over(p: &Fixture<'_>) -> Checked {
    const LOGINS: usize = 4;
    let (owners, ada) = (p.owners()?, owner("ada")?);
    for _ in 0..20 {
        let sessions = (0..LOGINS).map(|_| p.session(json!({}))).collect::<Checked<Vec<_>>>()?;
        let login = begun("ada", owners.epoch(&ada)?)?;
        let start = Barrier::new(LOGINS + 1);
        thread::scope(|scope| {
            let enter = |session: &Session| -> Checked {
                let (_, commit) = session.log_in(login.clone())?;
                start.wait();
                // Let in and ended, or not let in: both are right.
                Ok(p.commit(&session.id, &commit).map(drop)?)
            };
            let logins: Vec<_> = sessions.iter().map(|session| scope.spawn(move || enter(session))).collect();
            start.wait();
            owners.destroy_all(&ada, None)?;
            logins.into_iter().try_for_each(|login| login.join().unwrap_or_else(|_| broken("a login panicked")))
        })?;
        has(p, "ada", &[])?;
    }
    Ok(())
}

fn logins_at_once_never_exceed_the_limit(p: &Fixture<'_>) -> Checked {
    const MAX: usize = 3;
    let owners = p.owners()?;
    for (name, at_limit) in [("ada", AtLimit::EndOldest), ("bob", AtLimit::RefuseNewest)] {
        let login = limited(name, MAX, at_limit)?;
        at_once(|_| {
            for _ in 0..3 {
                let session = p.session(json!({}))?;
                match p.commit(&session.id, &session.log_in(login.clone())?.1)? {
                    // A login that raced with others may be refused under either policy.
                    Outcome::Done(_) | Outcome::AtLimit => {}
                    found => return broken(format!("a login: expected Done or AtLimit, found {found:?}")),
                }
                let count = owners.count(&login.owner)?;
                if count > MAX {
                    return broken(format!("sessions beside logins at once: expected {MAX} at most, found {count}"));
                }
            }
            Ok(())
        })?;
        same("whether sessions are left of 24 logins at once", owners.count(&login.owner)? > 0, true)?;
    }
    Ok(())
}
