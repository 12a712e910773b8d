//! Rules of logins: what becomes of the session, epochs, and limits.

use serde_json::json;

use super::Rule;
use super::fixture::{Checked, broken, login, new_id, noted, owner, put, same};
use super::racing::at_once;
use crate::store::{AtLimit, Commit, Epoch, Limit, Login, Outcome};

pub(super) const RULES: &[Rule] = &[
    Rule::new("a login keeps what an anonymous session holds", |p| {
        let anonymous = p.session(json!({"cart": 1, "theme": "dark"}))?;
        p.merge(&anonymous, noted(None, Some("a phone"), false)?)?;
        let login = anonymous.replace()?.1.log_in(login("ada")?).with(put("theme", "light")?);
        p.commit(&anonymous.id, &login)?;
        p.everything(&anonymous)
    }),
    Rule::new("a login over another owner leaves nothing of that owner", |p| {
        let ada = p.session_of("ada")?;
        p.merge(&ada, noted(Some(p.long()), Some("ada's phone"), true)?)?;
        p.pass(1);
        let login = ada.replace()?.1.log_in(login("grace")?).with(put("theme", "dark")?);
        p.commit(&ada.id, &login)?;
        p.everything(&ada)
    }),
    Rule::new("a login notes its time", |p| {
        let mut session = p.session(json!({}))?;
        let mut since = p.found(&session.id)?.created_at();
        for _ in 0..2 {
            p.pass(1);
            session = p.logged_in(&session, login("ada")?)?;
            p.merge(&session, put("n", &1)?)?;
            let noted = p.found(&session.id)?.owner_since();
            same("whether the login is later than what was before", noted > since, true)?;
            since = noted;
        }
        Ok(())
    }),
    Rule::new("a login that began before destroy_all is revoked", |p| {
        let session = p.session(json!({"cart": 1}))?;
        let (epoch, other) = (p.epoch("ada")?, p.epoch("bob")?);
        p.destroy_all("ada", None)?;
        let (new, replace) = session.replace()?;
        p.commit(&session.id, &replace.log_in(begun("ada", epoch)?).with(put("in", &true)?))?;
        p.commit(&new_id()?, &Commit::create()?.log_in(begun("ada", epoch)?))?;
        p.get(&new)?;
        p.list("ada")?;
        // Another owner's epoch is none of it.
        p.logged_in(&session, begun("bob", other)?)?;
        p.list("bob").map(drop)
    }),
    Rule::new("a login that began after destroy_all is let in", |p| {
        p.session_of("ada")?;
        p.destroy_all("ada", None)?;
        let begun = begun("ada", p.epoch("ada")?)?;
        p.logged_in(&p.session(json!({}))?, begun.clone())?;
        p.committed(&new_id()?, &Commit::create()?.log_in(begun), &p.lease(p.long()))?;
        p.list("ada").map(drop)
    }),
    Rule::new("epochs never go back", |p| {
        let mut epochs = vec![p.epoch("ada")?];
        for _ in 0..4 {
            // With sessions and without, and with time in between.
            p.session_of("ada")?;
            for _ in 0..2 {
                p.destroy_all("ada", None)?;
                epochs.push(p.epoch("ada")?);
                p.pass(1);
            }
        }
        same("whether each destroy_all begins a later epoch", epochs.is_sorted_by(|one, two| one < two), true)?;
        let commit = |epoch| -> Checked<_> { Ok(Commit::create()?.log_in(begun("ada", epoch)?)) };
        epochs.into_iter().try_for_each(|epoch| p.commit(&new_id()?, &commit(epoch)?).map(drop))
    }),
    Rule::new("at the limit the session that was logged in first ends", |p| {
        let (bob, limit) = (p.session_of("bob")?, limited("ada", 2, AtLimit::EndOldest)?);
        let first = p.logged_in(&p.session(json!({}))?, limit.clone())?;
        p.pass(1);
        p.logged_in(&p.session(json!({}))?, limit.clone())?;
        p.pass(1);
        // The one that is used last is still the one that was logged in first, whatever it holds.
        p.merge(&first, super::fixture::cleared("n")?)?;
        // The limit is lowered at last.
        for login in [limit, limited("ada", 1, AtLimit::EndOldest)?] {
            p.logged_in(&p.session(json!({}))?, login)?;
            p.pass(1);
            p.list("ada")?;
            p.why_ended(&first.id)?;
        }
        p.everything(&first)?;
        p.get(&bob.id).map(drop)
    }),
    Rule::new("at the limit the newest login is refused", |p| {
        let limit = limited("ada", 1, AtLimit::RefuseNewest)?;
        p.owners()?;
        let (first, session) = (p.logged_in(&p.session(json!({}))?, limit.clone())?, p.session(json!({"cart": 1}))?);
        let (new, replace) = session.replace()?;
        p.commit(&session.id, &replace.log_in(limit.clone()).with(put("in", &true)?))?;
        p.commit(&new_id()?, &Commit::create()?.log_in(limit.clone()))?;
        p.get(&new)?;
        p.list("ada")?;
        p.destroy(&first.id)?;
        p.logged_in(&session, limit)?;
        p.list("ada").map(drop)
    }),
    Rule::new("a session that logs in again counts once", |p| {
        p.owners()?;
        for (name, at_limit) in [("ada", AtLimit::RefuseNewest), ("bob", AtLimit::EndOldest)] {
            let mut session = p.session(json!({"cart": 1}))?;
            for _ in 0..3 {
                p.pass(1);
                session = p.logged_in(&session, limited(name, 1, at_limit)?)?;
                p.list(name)?;
            }
        }
        Ok(())
    }),
    Rule::new("of logins beside destroy_all none is left over", |p| {
        let (owners, ada) = (p.owners()?, owner("ada")?);
        for _ in 0..20 {
            let login = begun("ada", owners.epoch(&ada)?)?;
            let sessions = (0..8).map(|_| p.session(json!({}))).collect::<Checked<Vec<_>>>()?;
            at_once(|thread| {
                if thread == 0 {
                    return Ok(owners.destroy_all(&ada, None).map(drop)?);
                }
                // Let in and ended, or not let in: both are right.
                let (session, lease) = (sessions[thread], p.lease(p.long()));
                Ok(p.store.commit(&session.id, &session.replace()?.1.log_in(login.clone()), &lease).map(drop)?)
            })?;
            same("the sessions that are left", owners.count(&ada)?, 0)?;
        }
        Ok(())
    }),
    Rule::new("logins at once never exceed the limit", |p| {
        let owners = p.owners()?;
        for (name, at_limit) in [("ada", AtLimit::EndOldest), ("bob", AtLimit::RefuseNewest)] {
            let login = limited(name, 3, at_limit)?;
            at_once(|_| {
                for _ in 0..3 {
                    match p.store.commit(&new_id()?, &Commit::create()?.log_in(login.clone()), &p.lease(p.long()))? {
                        // A login that raced with others may be refused under either policy.
                        Outcome::Done(_) | Outcome::AtLimit => {}
                        found => return broken(format!("a login: expected Done or AtLimit, found {found:?}")),
                    }
                    let count = owners.count(&login.owner)?;
                    same("whether there are 3 sessions at most beside logins at once", count <= 3, true)?;
                }
                Ok(())
            })?;
            same("whether sessions are left of 24 logins at once", owners.count(&login.owner)? > 0, true)?;
        }
        Ok(())
    }),
];

/// A login that began in this epoch.
fn begun(name: &str, epoch: Epoch) -> Checked<Login> {
    Ok(Login { begun: Some(epoch), ..login(name)? })
}

fn limited(name: &str, max: usize, at_limit: AtLimit) -> Checked<Login> {
    Ok(Login { limit: Some(Limit { max, at_limit }), ..login(name)? })
}
