//! Rules of threads: each call happens at one instant, so that what is acknowledged is kept and what is
//! ended stays ended.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::json;

use super::fixture::{Checked, Fixture, Session, Stop, broken, gone, new_id, put, same};
use crate::id::SessionId;
use crate::record::Changes;
use crate::store::{Commit, EndReason, Identity, Lease, Look, Outcome};

super::table![
    commits_of_different_keys_at_once_all_survive,
    compare_and_swap_at_once_adds_up,
    no_acknowledged_commit_is_lost_beside_new_ids,
    no_commit_or_touch_under_way_brings_a_destroyed_session_back,
    no_commit_or_touch_under_way_brings_back_a_session_that_its_owner_ended,
    of_creates_at_once_exactly_one_is_done,
    of_new_ids_at_once_exactly_one_is_done,
    of_destroys_at_once_exactly_one_is_done,
    renewals_at_once_agree_on_the_new_id,
];

const THREADS: usize = 8;

/// How often a race is run whose outcome is decided in one moment.
const ROUNDS: usize = 20;

/// No honest store needs as many attempts.
const MANY: usize = 100_000;

/// Runs the same on so many threads at once, each with its number, and gives out what they found in
/// that order.
pub(super) fn at_once<T: Send>(run: impl Fn(usize) -> Checked<T> + Sync) -> Checked<Vec<T>> {
    let start = std::sync::Barrier::new(THREADS);
    let run = |thread| {
        start.wait();
        run(thread)
    };
    thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || run(thread))).collect();
        let panicked = || Err(Stop::Broken("the store panicked in one of several threads".to_owned()));
        // All are joined before the first problem is looked at.
        let found: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect();
        found.into_iter().collect()
    })
}

fn commits_of_different_keys_at_once_all_survive(p: &Fixture<'_>) -> Checked {
    const COMMITS: usize = 100;
    let session = p.session(json!({}))?;
    at_once(|thread| {
        (0..COMMITS).try_for_each(|n| p.done(&session.id, &session.put(&format!("{thread}.{n}"), &n)?).map(drop))
    })?;
    let stored = p.found("the id", &session.id)?.record;
    same("the keys after 8 x 100 commits of different keys", stored.len(), THREADS * COMMITS)
}

fn compare_and_swap_at_once_adds_up(p: &Fixture<'_>) -> Checked {
    const INCREMENTS: usize = 50;
    let id = p.session(json!({"n": 0}))?.id;
    let increment = || {
        for _ in 0..MANY {
            let seen = p.found("the id", &id)?.record;
            let session = Session { id, version: seen.version() };
            let n: usize = seen.get("n")?.unwrap_or_default();
            // Another thread's turn: the more often the version changes here, the more this shows.
            thread::yield_now();
            match p.commit(&id, &session.exactly("n", &(n + 1))?)? {
                Outcome::Done(_) => return Ok(()),
                Outcome::Changed => thread::yield_now(),
                found => return broken(format!("compare and swap: expected Done or Changed, found {found:?}")),
            }
        }
        broken("compare and swap: expected Done in the end, found nothing but Changed")
    };
    at_once(|_| (0..INCREMENTS).try_for_each(|_| increment()))?;
    p.holds(&id, json!({"n": THREADS * INCREMENTS}))
}

fn no_acknowledged_commit_is_lost_beside_new_ids(p: &Fixture<'_>) -> Checked {
    const COMMITS: usize = 40;
    const COMMITS_TO_A_NEW_ID: usize = 4;
    let current = Mutex::new(p.session(json!({}))?);
    let present = || *current.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let committing = AtomicUsize::new(THREADS - 1);
    let commit = |key: &str| {
        // Superseded: between reading the id here and using it. The next one is on its way.
        for _ in 0..MANY {
            let session = present();
            match p.commit(&session.id, &session.put(key, &1)?)? {
                Outcome::Done(_) => return Ok(()),
                Outcome::Superseded | Outcome::Gone => thread::yield_now(),
                found => return broken(format!("a commit: expected Done or Superseded, found {found:?}")),
            }
        }
        broken("a commit with the session's current id: expected Done in the end, found nothing but Superseded")
    };
    let rotations = AtomicUsize::new(0);
    let rotate = || {
        while committing.load(Ordering::SeqCst) > 0 {
            let new = p.replaced(&present())?;
            *current.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = new;
            rotations.fetch_add(1, Ordering::SeqCst);
            thread::yield_now();
        }
        Ok(())
    };
    at_once(|thread| {
        if thread == 0 {
            let rotated = rotate();
            rotations.store(usize::MAX, Ordering::SeqCst);
            return rotated;
        }
        let committed = (0..COMMITS).try_for_each(|n| {
            // Or on a busy machine all is committed before the first new id is through.
            while rotations.load(Ordering::SeqCst) < n / COMMITS_TO_A_NEW_ID {
                thread::yield_now();
            }
            commit(&format!("{thread}.{n}"))
        });
        committing.fetch_sub(1, Ordering::SeqCst);
        committed
    })?;
    let stored = p.found("the last id", &present().id)?.record;
    same("the keys after 7 x 40 commits beside new ids", stored.len(), (THREADS - 1) * COMMITS)
}

/// Ends a session with `end` while others commit to it and touch it, and expects it to stay ended.
fn ends_for_good(
    p: &Fixture<'_>,
    session: impl Fn() -> Checked<Session>,
    end: impl Fn(&SessionId) -> crate::Result<()> + Sync,
) -> Checked {
    for _ in 0..ROUNDS {
        let session = session()?;
        let (under_way, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
        at_once(|thread| {
            if thread == 0 {
                while under_way.load(Ordering::SeqCst) < THREADS {
                    thread::yield_now();
                }
                let outcome = end(&session.id);
                ended.store(true, Ordering::SeqCst);
                return Ok(outcome?);
            }
            for n in 0..MANY {
                under_way.fetch_add(1, Ordering::SeqCst);
                // If it had ended before this call began, this call has to see it.
                let late = ended.load(Ordering::SeqCst);
                let outcome = match thread % 3 {
                    0 => p.store.touch(&session.id, &p.lease(p.long())),
                    1 => p.look(&session.id, Look::Visit).map(|_| Ok(Outcome::Gone))?,
                    _ => p.commit(&session.id, &session.put(&format!("{thread}.{}", n % 50), &n)?),
                };
                if late {
                    return gone("a call after the session has ended", outcome);
                }
                let _ = outcome?;
            }
            Ok(())
        })?;
        p.nothing("the id of a session that ended while others used it", &session.id)?;
    }
    Ok(())
}

fn no_commit_or_touch_under_way_brings_a_destroyed_session_back(p: &Fixture<'_>) -> Checked {
    ends_for_good(p, || p.session(json!({})), |id| p.store.destroy(id).map(drop))
}

fn no_commit_or_touch_under_way_brings_back_a_session_that_its_owner_ended(p: &Fixture<'_>) -> Checked {
    let owners = p.owners()?;
    let end = |id: &SessionId| owners.destroy(id.handle(), None, EndReason::Named).map(drop);
    ends_for_good(p, || p.session_of("ada"), end)
}

/// Expects that of the outcomes of one call on several threads exactly one is `Done` and the others are
/// `otherwise`. Gives out which one.
fn one_done(what: &str, outcomes: &[Outcome], otherwise: Outcome) -> Checked<usize> {
    let done: Vec<usize> = (0..outcomes.len()).filter(|n| outcomes[*n].is_done()).collect();
    let others = outcomes.iter().filter(|outcome| **outcome == otherwise).count();
    same(&format!("how many {what} at once are Done and {otherwise:?}"), (done.len(), others), (1, THREADS - 1))?;
    Ok(done[0])
}

fn of_creates_at_once_exactly_one_is_done(p: &Fixture<'_>) -> Checked {
    for _ in 0..ROUNDS {
        let id = new_id()?;
        let outcomes = at_once(|thread| Ok(p.commit(&id, &Commit::create()?.with(put("by", &thread)?))?))?;
        let winner = one_done("creates", &outcomes, Outcome::Taken)?;
        p.holds(&id, json!({"by": winner}))?;
    }
    Ok(())
}

fn of_new_ids_at_once_exactly_one_is_done(p: &Fixture<'_>) -> Checked {
    for _ in 0..ROUNDS {
        let session = p.session(json!({}))?;
        let found = at_once(|_| {
            let (new, replace) = session.replace()?;
            Ok((new, p.commit(&session.id, &replace)?))
        })?;
        let outcomes: Vec<_> = found.iter().map(|(_, outcome)| *outcome).collect();
        let winner = one_done("new ids", &outcomes, Outcome::Superseded)?;
        for (n, (new, _)) in found.iter().enumerate() {
            same("whether a new id opens the session", p.store.get(new)?.is_some(), n == winner)?;
        }
    }
    Ok(())
}

fn of_destroys_at_once_exactly_one_is_done(p: &Fixture<'_>) -> Checked {
    for _ in 0..ROUNDS {
        let id = p.session(json!({}))?.id;
        one_done("destroys", &at_once(|_| Ok(p.store.destroy(&id)?))?, Outcome::Gone)?;
    }
    Ok(())
}

fn renewals_at_once_agree_on_the_new_id(p: &Fixture<'_>) -> Checked {
    let lease = Lease { renew_after: Some(p.units(1)), grace: p.short(), ..p.lease(p.long()) };
    let sessions = (0..ROUNDS).map(|_| p.session_of("ada")).collect::<Checked<Vec<_>>>()?;
    p.over();
    for session in sessions {
        let found = at_once(|thread| {
            let renew = session.merge(Changes::new())?.identity(Identity::Renew(thread as u64));
            Ok(p.store.commit(&session.id, &renew, &lease)?.receipt().and_then(|receipt| receipt.announce))
        })?;
        same("whether a new id is announced", found[0].is_some(), true)?;
        same("whether all announce the same one", found.iter().all(|new| *new == found[0]), true)?;
    }
    Ok(())
}
