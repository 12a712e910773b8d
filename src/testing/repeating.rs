//! Rules of repeating: a commit whose answer was lost is sent again, and never carried out twice.

use serde_json::json;

use super::Rule;
use super::fixture::{Checked, Fixture, Session, new_id, owner, put};
use crate::store::{AtLimit, Commit, Limit, Login};

pub(super) const RULES: &[Rule] = &[
    Rule::new("a repeated create is done and not carried out twice", |p| {
        let (id, create) = (new_id()?, Commit::create()?.with(put("n", &0)?).repeated());
        let session = p.committed(&id, &create, &p.lease(p.long()))?;
        p.merge(&session, put("n", &1)?)?;
        p.committed(&id, &create, &p.lease(p.long()))?;
        p.commit(&id, &Commit::create()?.repeated()).map(drop)
    }),
    Rule::new("a repeated new id is done and not carried out twice", |p| {
        let session = p.session(json!({}))?;
        let replace = session.replace()?.1.with(put("n", &0)?).repeated();
        let new = p.committed(&session.id, &replace, &p.lease(p.long()))?;
        p.merge(&new, put("n", &1)?)?;
        for id in [session.id, new.id] {
            p.committed(&id, &replace, &p.lease(p.long()))?;
        }
        Ok(())
    }),
    Rule::new("a repeated login is done and counts once", |p| {
        let limit = Some(Limit { max: 1, at_limit: AtLimit::RefuseNewest });
        for (name, session) in [("ada", None), ("bob", Some(p.session(json!({}))?))] {
            let login = Login { limit, ..Login::new(owner(name)?) };
            let (id, commit) = match session {
                Some(session) => (session.id, session.replace()?.1.log_in(login)),
                None => (new_id()?, Commit::create()?.log_in(login)),
            };
            for commit in [commit.clone(), commit.clone().repeated(), commit.repeated()] {
                p.committed(&id, &commit, &p.lease(p.long()))?;
                p.list(name)?;
            }
        }
        Ok(())
    }),
    Rule::new("a repeated merge is not carried out twice", |p| {
        later(p, |p, session| {
            let commit = session.put("n", "first")?;
            p.committed(&session.id, &commit, &p.lease(p.long())).map(|_| commit)
        })
    }),
    Rule::new("a repeated compare and swap is not carried out twice", |p| {
        // Nor is it Changed: it would be tried again with what it has changed itself.
        later(p, |p, session| {
            let commit = session.exactly("n", "first")?;
            p.committed(&session.id, &commit, &p.lease(p.long())).map(|_| commit)
        })
    }),
    Rule::new("a repeat of what was never carried out is carried out once, or unknown", |p| {
        later(p, |_, session| session.put("late", &1))?;
        later(p, |_, session| session.exactly("late", &1))
    }),
    Rule::new("a repeat at the version that it was made for is carried out", |p| {
        let (session, lease) = (p.session(json!({}))?, p.lease(p.long()));
        let session = p.committed(&session.id, &session.put("n", &1)?.repeated(), &lease)?;
        p.committed(&session.id, &session.exactly("n", &2)?.repeated(), &lease).map(drop)
    }),
];

/// Commits others between a commit and its repeats: none, few enough for a store that remembers nonces,
/// and more than it must remember.
fn later(p: &Fixture<'_>, first: impl Fn(&Fixture<'_>, &Session) -> Checked<Commit>) -> Checked {
    for between in 0..7 {
        let session = p.session(json!({}))?;
        let commit = first(p, &session)?;
        for n in 0..between {
            p.merge(&session, put("n", &n)?)?;
        }
        for _ in 0..2 {
            p.commit(&session.id, &commit.clone().repeated())?;
        }
    }
    Ok(())
}
