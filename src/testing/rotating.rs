//! Rules of new ids: at once only the new one opens the session, and the superseded one is known.

use std::time::Duration;

use serde_json::json;

use super::Rule;
use super::fixture::{Session, login, new_id, noted, put};
use crate::store::{Commit, Identity, Lease, Look};

pub(super) const RULES: &[Rule] = &[
    Rule::new("a new id takes the place of the old one at once", |p| {
        let session = p.session(json!({"user": "ada"}))?;
        p.replaced(&session).map(drop)
    }),
    Rule::new("a new id and the changes with it are one commit", |p| {
        let session = p.session(json!({"user": "ada"}))?;
        p.commit(&session.id, &session.replace()?.1.with(put("in", &true)?)).map(drop)
    }),
    Rule::new("a superseded id opens nothing, and every method says that it is superseded", |p| {
        let session = p.session(json!({"user": "ada"}))?;
        let new = p.replaced(&session)?;
        p.everything(&session)?;
        p.get(&new.id).map(drop)
    }),
    Rule::new("a superseded id is recent for its grace", |p| {
        for grace in [p.long(), p.short(), Duration::ZERO] {
            let session = p.session(json!({}))?;
            p.commit_for(&session.id, &session.replace()?.1, &Lease { grace, ..p.lease(p.long()) })?;
            p.visit(&session.id)?;
            p.over();
            p.visit(&session.id)?;
            p.everything(&session)?;
        }
        Ok(())
    }),
    Rule::new("the grace of a superseded id ends at its instant", |p| {
        let (clock, last, session) = (p.clock()?, Duration::from_nanos(1), p.session(json!({}))?);
        p.commit_for(&session.id, &session.replace()?.1, &Lease { grace: p.units(1), ..p.lease(p.long()) })?;
        for wait in [p.units(1).saturating_sub(last), last] {
            clock.advance(wait);
            p.get(&session.id)?;
        }
        Ok(())
    }),
    Rule::new("a new id begins a new incarnation", |p| {
        let session = p.session(json!({}))?;
        let new = p.replaced(&session)?;
        // A request that read the session before is not let into what it has become, by the new id neither.
        p.commit(&new.id, &session.put("ghost", &1)?)?;
        p.commit(&new.id, &session.exactly("ghost", &1)?)?;
        p.everything(&new)
    }),
    Rule::new("a new id has the same handle", |p| {
        let (session, other) = (p.session(json!({"user": "ada"}))?, new_id()?);
        p.commit(&session.id, &session.put("ghost", &1)?.identity(Identity::Replace(other)))?;
        p.get(&other).map(drop)
    }),
    Rule::new("a new id never creates", |p| {
        let destroyed = p.session(json!({}))?;
        p.destroy(&destroyed.id)?;
        for id in [new_id()?, destroyed.id] {
            let (new, replace) = Session { id, ..destroyed }.replace()?;
            p.commit(&id, &replace)?;
            p.get(&new)?;
        }
        Ok(())
    }),
    Rule::new("an id superseded twice is unknown", |p| {
        let first = p.session(json!({}))?;
        let second = p.replaced(&first)?;
        let third = p.replaced(&second)?;
        p.everything(&first)?;
        p.everything(&second)?;
        p.get(&third.id).map(drop)
    }),
    Rule::new("a superseded id ends with its session", |p| {
        let old = p.session(json!({}))?;
        let new = p.replaced(&old)?;
        p.destroy(&new.id)?;
        p.visit(&old.id)?;
        p.commit(&new.id, &Commit::create()?)?;
        p.everything(&old)?;
        p.get(&new.id).map(drop)
    }),
    Rule::new("a new id is refused if the version is not the one that it compares with", |p| {
        let session = p.session(json!({}))?;
        p.merge(&session, put("a", &1)?)?;
        let (new, _) = session.replace()?;
        p.commit(&session.id, &session.exactly("a", &2)?.identity(Identity::Replace(new)))?;
        p.get(&new).map(drop)
    }),
    Rule::new("the age of a new id is noted under a lease that renews ids", |p| {
        for renew_after in [Some(p.long()), None] {
            let session = p.session(json!({}))?;
            p.pass(1);
            let lease = Lease { renew_after, ..p.lease(p.long()) };
            let new = p.committed(&session.id, &session.replace()?.1, &lease)?;
            let found = p.found(&new.id)?;
            super::fixture::same("the id's age", found.id_since() > found.created_at(), renew_after.is_some())?;
        }
        Ok(())
    }),
    Rule::new("a login on a session needs a new id", |p| {
        let session = p.session(json!({}))?;
        for identity in [Identity::Keep, Identity::Renew(1)] {
            let login = session.merge(noted(None, Some("a phone"), true)?)?.identity(identity).log_in(login("ada")?);
            p.commit_for(&session.id, &login, &p.renews(p.short()))?;
        }
        p.look(&session.id, Look::Visit, &p.renews(p.short())).map(drop)
    }),
];
