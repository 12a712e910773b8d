//! Rules of ending: destroy is final; and of the optional methods that see all sessions at once.

use serde_json::json;

use super::Rule;
use super::fixture::{Checked, broken, optional, other_secret, put};
use crate::record::Record;
use crate::store::{Commit, EndReason, Store};

pub(super) const RULES: &[Rule] = &[
    Rule::new("a destroyed session is gone for every method", |p| {
        let session = p.session(json!({"user": "ada"}))?;
        p.destroy(&session.id)?;
        p.everything(&session)
    }),
    Rule::new("destroy ends one session and no other", |p| {
        let (one, two) = (p.session(json!({"user": "ada"}))?.id, p.session(json!({"user": "bob"}))?.id);
        p.destroy(&one)?;
        p.get(&two).map(drop)
    }),
    Rule::new("destroy frees the handle", |p| {
        let id = p.session(json!({"user": "ada"}))?.id;
        p.destroy(&id)?;
        p.committed(&other_secret(&id)?, &Commit::create()?, &p.lease(p.long()))?;
        p.get(&id).map(drop)
    }),
    Rule::new("all lists and len counts every live session once", |p| {
        p.all()?;
        let sessions = (0..120).map(|n| p.session(json!({"n": n}))).collect::<Checked<Vec<_>>>()?;
        p.all()?;
        // The same sessions, changed in every way there is.
        p.merge(&sessions[0], put("a", &1)?)?;
        p.touch(&sessions[1].id, &p.lease(p.long()))?;
        p.replaced(&sessions[2])?;
        p.set(&sessions[3].id, &Record::new(), p.long())?;
        p.visit(&sessions[4].id)?;
        p.destroy(&sessions[5].id)?;
        p.all()
    }),
    Rule::new("all gives out the ids that open the sessions, or none", |p| {
        p.replaced(&p.session(json!({}))?)?;
        for listed in optional(p.store.all())? {
            if let Some(id) = listed?.id
                && p.get(&id)?.is_none()
            {
                return broken("all: expected the id that opens the session, or none, found another one");
            }
        }
        Ok(())
    }),
    Rule::new("sessions that their owner ended are neither counted nor listed", |p| {
        let (_, named, _) = (p.session_of("ada")?, p.session_of("bob")?, p.session(json!({}))?);
        p.destroy_all("ada", None)?;
        p.end(&named.id, None, EndReason::Named)?;
        p.all()
    }),
    Rule::new("clear destroys every session", |p| {
        let sessions = (0..40).map(|n| p.session(json!({"n": n}))).collect::<Checked<Vec<_>>>()?;
        optional(p.store.clear())?;
        p.plain.clear()?;
        sessions.iter().try_for_each(|session| p.everything(session))?;
        p.session(json!({"after": true})).map(drop)
    }),
];
