//! Rules of owners, for stores that have powers over them: what is listed, and what ends.

use serde_json::json;

use super::Rule;
use super::fixture::{Checked, cleared, login, new_id, other_secret, owner, put, same};
use super::renewing::pending;
use crate::record::{Changes, Record};
use crate::store::{Commit, EndReason};

pub(super) const RULES: &[Rule] = &[
    Rule::new("list has the live sessions of an owner and no others", |p| {
        p.list("ada")?;
        (0..60).try_for_each(|_| p.session_of("ada").map(drop))?;
        (p.session_of("bob")?, p.session(json!({"anonymous": true}))?);
        ["ada", "bob", "ad", "Ada"].into_iter().try_for_each(|name| p.list(name).map(drop))
    }),
    Rule::new("list has no id that opens a session", |p| {
        p.session_of("ada")?;
        let listed = p.owners()?.list(&owner("ada")?)?;
        same("an id in a list", listed.iter().filter_map(|session| session.id).next(), None)
    }),
    Rule::new("an owner comes with a login and changes with another", |p| {
        p.list("ada")?;
        let ada = p.session_of("ada")?;
        p.list("ada")?;
        p.logged_in(&ada, login("bob")?)?;
        p.list("ada")?;
        p.list("bob")?;
        p.commit(&new_id()?, &Commit::create()?.log_in(login("ada")?))?;
        p.list("ada").map(drop)
    }),
    Rule::new("an owner comes and goes with set", |p| {
        let ada = p.session_of("ada")?;
        p.set(&new_id()?, &p.found(&ada.id)?, p.long())?;
        p.list("ada")?;
        p.set(&ada.id, &Record::new(), p.long())?;
        p.list("ada").map(drop)
    }),
    Rule::new("a session stays its owner's, whatever else happens to it", |p| {
        let mut session = p.session_of("ada")?;
        for changes in [put("theme", "dark")?, cleared("owner")?, Changes::new()] {
            p.merge(&session, changes)?;
            p.list("ada")?;
        }
        p.touch(&session.id, &p.lease(p.long() * 2))?;
        p.list("ada")?;
        session = p.replaced(&session)?;
        p.list("ada")?;
        p.logged_in(&session, login("ada")?)?;
        p.list("ada").map(drop)
    }),
    Rule::new("sessions that ended have no owner", |p| {
        let (destroyed, expired, _) = (p.session_of("ada")?, p.session_of("ada")?, p.session_of("ada")?);
        p.destroy(&destroyed.id)?;
        p.touch(&expired.id, &p.lease(p.short()))?;
        p.list("ada")?;
        p.over();
        p.list("ada")?;
        p.destroy_all("ada", None)?;
        p.list("ada").map(drop)
    }),
    Rule::new("destroy_all ends all sessions of an owner and no others", |p| {
        let sessions = (0..60).map(|_| p.session_of("ada")).collect::<Checked<Vec<_>>>()?;
        let (bob, anonymous) = (p.session_of("bob")?, p.session(json!({}))?);
        p.destroy_all("ada", None)?;
        sessions.iter().try_for_each(|session| p.everything(session))?;
        (p.list("ada")?, p.list("bob")?);
        (p.get(&bob.id)?, p.get(&anonymous.id)?);
        p.destroy_all("ada", None).map(drop)
    }),
    Rule::new("destroy_all spares the session that the excepted id opens", |p| {
        let (here, there) = (p.session_of("ada")?, p.session_of("ada")?);
        // A handle is no proof.
        for id in [here.id, other_secret(&here.id)?] {
            p.destroy_all("ada", Some(&id))?;
            (p.get(&here.id)?, p.get(&there.id)?);
            p.list("ada")?;
        }
        Ok(())
    }),
    Rule::new("both ids of a renewal are spared with their session and end with it", |p| {
        p.owners()?;
        let (old, new) = pending(p)?;
        for except in [Some(&old.id), Some(&new), None] {
            p.session_of("ada")?;
            p.destroy_all("ada", except)?;
            p.list("ada")?;
            (p.get(&old.id)?, p.get(&new)?);
        }
        p.everything(&old)
    }),
    Rule::new("destroy by handle ends one session", |p| {
        let (one, two, anonymous) = (p.session_of("ada")?, p.session_of("ada")?, p.session(json!({}))?);
        for (id, owner) in [(one.id, Some("ada")), (one.id, Some("ada")), (anonymous.id, None), (two.id, None)] {
            p.end(&id, owner, EndReason::Named)?;
            p.list("ada")?;
        }
        p.everything(&one)
    }),
    Rule::new("destroy by handle compares the owner", |p| {
        for id in [p.session_of("ada")?.id, p.session(json!({}))?.id] {
            p.end(&id, Some("bob"), EndReason::Named)?;
        }
        Ok(())
    }),
    Rule::new("destroy by handle and destroy_all free the handle", |p| {
        let (named, everywhere) = (p.session_of("ada")?.id, p.session_of("ada")?.id);
        p.end(&named, None, EndReason::Named)?;
        p.destroy_all("ada", None)?;
        for id in [named, everywhere] {
            p.committed(&other_secret(&id)?, &Commit::create()?, &p.lease(p.long()))?;
            p.get(&id)?;
        }
        Ok(())
    }),
    Rule::new("why a session ended is told to its id and to no other", |p| {
        let (everywhere, named, out) = (p.session_of("ada")?.id, p.session_of("bob")?.id, p.session_of("eve")?.id);
        p.why_ended(&named)?;
        p.destroy_all("ada", None)?;
        p.end(&named, None, EndReason::Named)?;
        p.destroy(&out)?;
        [everywhere, named, out, other_secret(&named)?].iter().try_for_each(|id| p.why_ended(id).map(drop))
    }),
];
