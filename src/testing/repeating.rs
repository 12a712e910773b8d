//! Rules of repeating: a commit whose answer was lost is sent again, and never carried out twice.

use serde_json::json;

use super::fixture::{Checked, Fixture, broken, new_id, owner, put, same};
use crate::id::SessionId;
use crate::store::{AtLimit, Commit, Limit, Login, Outcome};

super::table![
    a_repeated_create_is_done_and_not_carried_out_twice,
    a_repeated_new_id_is_done_and_not_carried_out_twice,
    a_repeated_login_is_done_and_counts_once,
    a_repeated_merge_is_not_carried_out_twice,
    a_repeated_compare_and_swap_is_not_carried_out_twice,
    a_repeat_of_what_was_never_carried_out_is_carried_out_once_or_unknown,
    a_repeat_at_the_version_that_it_was_made_for_is_carried_out,
];

/// How many other commits are made between a commit and its repeat: none, few enough for every store
/// that remembers nonces, and more than it must remember.
const BETWEEN: std::ops::Range<u64> = 0..7;

fn a_repeated_create_is_done_and_not_carried_out_twice(p: &Fixture<'_>) -> Checked {
    let (id, create) = (new_id()?, Commit::create()?.with(put("n", &0)?).repeated());
    let version = p.done(&id, &create)?.version;
    let session = super::fixture::Session { id, version };
    p.done(&id, &session.put("n", &1)?)?;
    let seen = p.found("the id", &id)?;
    same("the version in the receipt", p.done(&id, &create)?.version, seen.record.version())?;
    p.unchanged("the session", &id, &seen)?;
    p.says(&id, &Commit::create()?.repeated(), Outcome::Taken)
}

fn a_repeated_new_id_is_done_and_not_carried_out_twice(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({}))?;
    let (new, replace) = session.replace()?;
    let replace = replace.with(put("n", &0)?).repeated();
    let after = super::fixture::Session { id: new, version: p.done(&session.id, &replace)?.version };
    p.done(&new, &after.put("n", &1)?)?;
    let seen = p.found("the new id", &new)?;
    for id in [session.id, new] {
        same("the id that a repeat announces", p.done(&id, &replace)?.announce, Some(new))?;
        p.unchanged("the session", &new, &seen)?;
    }
    Ok(())
}

fn a_repeated_login_is_done_and_counts_once(p: &Fixture<'_>) -> Checked {
    let owners = p.owners()?;
    let ada = Login { limit: Some(Limit { max: 1, at_limit: AtLimit::RefuseNewest }), ..Login::new(owner("ada")?) };
    let (id, create) = (new_id()?, Commit::create()?.log_in(ada.clone()));
    let (new, login) = p.session(json!({}))?.log_in(Login { owner: owner("bob")?, ..ada })?;
    for (id, opens, commit) in [(id, id, create), (new, new, login)] {
        for commit in [commit.clone(), commit.clone().repeated(), commit.repeated()] {
            p.done(&id, &commit)?;
            p.found("the id after a login", &opens)?;
        }
    }
    for name in ["ada", "bob"] {
        same("how many sessions the owner has", owners.count(&owner(name)?)?, 1)?;
    }
    Ok(())
}

/// Expects a repeat of what was carried out before to be done or unknown, and to change nothing.
fn changes_nothing(p: &Fixture<'_>, id: &SessionId, commit: &Commit) -> Checked {
    let seen = p.found("the id", id)?;
    match p.commit(id, &commit.clone().repeated()) {
        Err(error) if error.is_unknown() => {}
        Ok(Outcome::Done(receipt)) => same("the version in the receipt", receipt.version, seen.record.version())?,
        found => return broken(format!("a repeat: expected Done or an error with `is_unknown`, found {found:?}")),
    }
    p.unchanged("the session", id, &seen)
}

fn a_repeated_merge_is_not_carried_out_twice(p: &Fixture<'_>) -> Checked {
    for between in BETWEEN {
        let session = p.session(json!({}))?;
        let commit = session.put("n", "first")?;
        p.done(&session.id, &commit)?;
        for n in 0..between {
            p.done(&session.id, &session.put("n", &n)?)?;
        }
        changes_nothing(p, &session.id, &commit)?;
    }
    Ok(())
}

fn a_repeated_compare_and_swap_is_not_carried_out_twice(p: &Fixture<'_>) -> Checked {
    for between in BETWEEN {
        let session = p.session(json!({}))?;
        let commit = session.exactly("n", "first")?;
        p.done(&session.id, &commit)?;
        for n in 0..between {
            p.done(&session.id, &session.put("n", &n)?)?;
        }
        // Not Changed: it would be tried again with what it has changed itself.
        changes_nothing(p, &session.id, &commit)?;
    }
    Ok(())
}

fn a_repeat_of_what_was_never_carried_out_is_carried_out_once_or_unknown(p: &Fixture<'_>) -> Checked {
    for between in BETWEEN {
        let session = p.session(json!({}))?;
        for n in 0..between {
            p.done(&session.id, &session.put(&n.to_string(), &n)?)?;
        }
        let seen = p.found("the id", &session.id)?;
        let commit = session.put("late", &1)?.repeated();
        match p.commit(&session.id, &commit) {
            Err(error) if error.is_unknown() => p.unchanged("the session", &session.id, &seen)?,
            Ok(Outcome::Done(_)) => {
                let late = p.found("the id", &session.id)?.record.get::<i32>("late")?;
                same("what a repeat that is done has set", late, Some(1))?;
                changes_nothing(p, &session.id, &commit)?;
            }
            found => return broken(format!("a repeat: expected Done or an error with `is_unknown`, found {found:?}")),
        }
    }
    Ok(())
}

fn a_repeat_at_the_version_that_it_was_made_for_is_carried_out(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({}))?;
    p.done(&session.id, &session.put("n", &1)?.repeated())?;
    let session = super::fixture::Session { version: p.found("the id", &session.id)?.record.version(), ..session };
    p.done(&session.id, &session.exactly("n", &2)?.repeated())?;
    p.holds(&session.id, json!({"n": 2}))
}
