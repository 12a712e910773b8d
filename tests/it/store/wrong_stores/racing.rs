//! Stores with races: they read and write in two steps, so another call can come between.

use std::thread::sleep;
use std::time::Duration;

use lembro::{EndReason, Login, Look, Lookup, Outcome, Owners as _, Store as _};

use super::wrap::{Right, base, is_create, login, renews, replaces};
use super::{Wrong, wrong_commit, wrong_end, wrong_everywhere, wrong_look, wrong_touch};

/// The time between the two steps: long enough for another call.
fn wait() {
    sleep(Duration::from_millis(1));
}

fn done(right: &Right, id: &lembro::SessionId) -> Outcome {
    let version = right.stored(id).unwrap().unwrap_or_default().version();
    Outcome::Done(lembro::Receipt::ended(version))
}

pub(crate) const WRONG: &[Wrong] = &[
    wrong_commit("a commit that reads, merges and writes back", |right, id, commit, lease| {
        let (Some(stored), Some(base)) = (right.stored(id)?, base(commit)) else {
            return right.commit(id, commit, lease);
        };
        let is_exact = matches!(commit.expect(), lembro::Expect::Exactly(_));
        if replaces(commit) || renews(commit) || right.store.get(id)?.is_none() {
            return right.commit(id, commit, lease);
        }
        if is_exact && stored.version() != base {
            return Ok(Outcome::Changed);
        }
        let next = commit.changes.apply(&stored)?;
        wait();
        // Another call may do the same. Then both are done.
        right.put(id, &next, lease.idle)
    })
    .caught_by(&[
        "commits of different keys at once all survive",
        "compare and swap at once adds up",
        "no commit, touch or visit under way brings a destroyed session back",
        "no commit, touch or visit under way brings back a session that its owner ended",
    ]),
    wrong_touch("a touch that reads and writes back", |right, id, lease| {
        let Some(stored) = right.store.get(id)? else { return Ok(Outcome::Gone) };
        wait();
        right.put(id, &stored.record, lease.idle)
    })
    .caught_by(&["no commit, touch or visit under way brings a destroyed session back"]),
    wrong_look("a visit that reads and writes back", |right, id, how, lease| {
        let found = right.look(id, how, lease)?;
        if let (Lookup::Found(stored), Look::Visit) = (&found, how) {
            wait();
            let _ = right.put(id, &stored.record, lease.idle)?;
        }
        Ok(found)
    })
    .caught_by(&["no commit, touch or visit under way brings back a session that its owner ended"]),
    wrong_commit("a create that looks whether the handle is free", |right, id, commit, lease| {
        if !is_create(commit) || right.stored(id)?.is_some() {
            return right.commit(id, commit, lease);
        }
        wait();
        let _ = right.end(id)?;
        right.commit(id, commit, lease)
    })
    .caught_by(&["of creates at once exactly one is done"]),
    wrong_commit("a new id that reads, destroys and creates", |right, id, commit, lease| {
        if !replaces(commit) || right.store.get(id)?.is_none() {
            return right.commit(id, commit, lease);
        }
        wait();
        right.commit(id, commit, lease).map(|outcome| if outcome.is_done() { outcome } else { done(right, id) })
    })
    .caught_by(&["of new ids at once exactly one is done"]),
    wrong_commit("a new id that loses what was committed while it was made", |right, id, commit, lease| {
        let Some(seen) = right.stored(id)?.filter(|_| replaces(commit)) else {
            return right.commit(id, commit, lease);
        };
        wait();
        let mut all = lembro::Changes::from(&seen);
        all.clear();
        for (component, key, json) in seen.entries() {
            all.insert(component, key, json)?;
        }
        right.commit(id, &commit.clone().with(all), lease)
    })
    .caught_by(&["no acknowledged commit is lost beside new ids"]),
    wrong_end("a destroy that looks whether there is something to destroy", |right, id| {
        if right.store.get(id)?.is_none() {
            return Ok(Outcome::Gone);
        }
        let ended = done(right, id);
        wait();
        right.end(id).map(|_| ended)
    })
    .caught_by(&["of destroys at once exactly one is done"]),
    wrong_commit("a login that looks at the epoch and writes a little later", |right, id, commit, lease| {
        let Some(login) = login(commit) else { return right.commit(id, commit, lease) };
        if login.begun.is_some_and(|begun| right.store.epoch(&login.owner).unwrap() != begun) {
            return Ok(Outcome::LoginRevoked);
        }
        wait();
        right.commit(id, &commit.clone().log_in(Login { begun: None, ..login }), lease)
    })
    .caught_by(&["of logins beside destroy_all none is left over"]),
    wrong_everywhere("a destroy_all that lists, and ends what it has listed", |right, owner, except| {
        let sessions = right.store.list(owner)?;
        wait();
        for one in sessions.iter().filter(|one| Some(one.handle) != except) {
            let _ = right.named(one.handle, None, EndReason::LoggedOutEverywhere)?;
        }
        Ok(sessions.len())
    })
    .caught_by(&["of logins beside destroy_all none is left over"]),
    wrong_commit("a login that counts, and writes a little later", |right, id, commit, lease| {
        let Some(login) = login(commit) else { return right.commit(id, commit, lease) };
        if let Some(limit) = login.limit {
            let Some(surplus) = limit.surplus(right.store.list(&login.owner)?, id.handle()) else {
                return Ok(Outcome::AtLimit);
            };
            for handle in surplus {
                let _ = right.named(handle, None, EndReason::Limit)?;
            }
        }
        wait();
        right.commit(id, &commit.clone().log_in(Login { limit: None, ..login }), lease)
    })
    .caught_by(&["logins at once never exceed the limit"]),
];
