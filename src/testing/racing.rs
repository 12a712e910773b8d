//! Rules of threads: each call takes effect at one instant, so what is acknowledged is kept and
//! what is ended stays ended. The plain store takes no part in these.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

use super::fixture::{Checked, Fixture, broken, same};
use super::request::{Session, put};
use super::{Rule, Verdict};
use crate::error::Result;
use crate::id::SessionId;
use crate::record::{Changes, Record};
use crate::store::{AtLimit, Commit, EndReason, Identity, Lease, Limit, Login, Look, Outcome, Owner};

pub(super) const RULES: &[Rule] = &[
    Rule::new("commits of different keys at once all survive", |p| {
        let session = p.session(&Record::new())?;
        at_once(|thread| {
            (0..100).try_for_each(|n| match commit(p, &session.id, &session.put(&format!("{thread}.{n}"), &n)?)? {
                Outcome::Done(_) => Ok(()),
                found => broken(format!("a commit: expected Done, found {found:?}")),
            })
        })?;
        same("the keys after 8 x 100 commits of different keys", stored(p, &session.id)?.len(), THREADS * 100)
    }),
    Rule::new("compare and swap at once adds up", |p| {
        let id = p.session(&[("n", 0)].into_iter().collect())?.id;
        at_once(|_| (0..50).try_for_each(|_| increment(p, &id)))?;
        same("the sum of 8 x 50 increments", stored(p, &id)?.get("n")?, Some(THREADS * 50))
    }),
    Rule::new("no acknowledged commit is lost beside new ids", no_commit_is_lost_beside_new_ids),
    Rule::new("no commit, touch or visit under way brings a destroyed session back", |p| {
        ends_for_good(p, || p.session(&Record::new()), |id| p.store.destroy(id).map(drop))
    }),
    Rule::new("no commit, touch or visit under way brings back a session that its owner ended", |p| {
        let owners = p.owners()?;
        let end = |id: &SessionId| owners.destroy_handle(id.handle(), None, EndReason::Named).map(drop);
        ends_for_good(p, || p.session_of("ada"), end)
    }),
    Rule::new("of creates at once exactly one is done", |p| {
        for _ in 0..ROUNDS {
            let id = SessionId::random()?;
            let outcomes = at_once(|thread| Ok(commit(p, &id, &Commit::create()?.with(put("by", &thread)?))?))?;
            let winner = one_done(&outcomes, Outcome::Taken)?;
            same("whose create is stored", stored(p, &id)?.get("by")?, Some(winner))?;
        }
        Ok(())
    }),
    Rule::new("of new ids at once exactly one is done", |p| {
        for _ in 0..ROUNDS {
            let session = p.session(&Record::new())?;
            let found = at_once(|_| {
                let (new, replace) = session.replace()?;
                Ok((new, commit(p, &session.id, &replace)?))
            })?;
            let outcomes: Vec<_> = found.iter().map(|(_, outcome)| *outcome).collect();
            let winner = one_done(&outcomes, Outcome::Superseded)?;
            for (n, (new, _)) in found.iter().enumerate() {
                same("whether a new id opens the session", p.store.get(new)?.is_some(), n == winner)?;
            }
        }
        Ok(())
    }),
    Rule::new("of destroys at once exactly one is done", |p| {
        for _ in 0..ROUNDS {
            let id = p.session(&Record::new())?.id;
            one_done(&at_once(|_| Ok(p.store.destroy(&id)?))?, Outcome::Gone)?;
        }
        Ok(())
    }),
    Rule::new("renewals at once agree on the new id", |p| {
        // Created with the login: an id that was superseded would have its grace first.
        let begun = || p.committed(&SessionId::random()?, &Commit::create()?.log_in(Login::new(Owner::new("ada")?)));
        let sessions = (0..ROUNDS).map(|_| begun()).collect::<Checked<Vec<_>>>()?;
        p.over();
        let lease = Lease { renew_after: Some(p.units(1)), grace: p.units(2), ..p.lease() };
        for session in sessions {
            let found = at_once(|thread| {
                let renew = session.merge(Changes::new())?.with_identity(Identity::Renew(thread as u64));
                let outcome = p.store.commit(&session.id, &renew, &lease)?;
                Ok(outcome.receipt().and_then(|receipt| receipt.announce))
            })?;
            let agree = found[0].is_some() && found.iter().all(|new| *new == found[0]);
            same("whether all announce the same new id", agree, true)?;
        }
        Ok(())
    }),
    Rule::new("of logins beside destroy_all none is left over", |p| {
        let (owners, ada) = (p.owners()?, Owner::new("ada")?);
        for _ in 0..20 {
            let login = Login { begun: Some(owners.epoch(&ada)?), ..Login::new(ada.clone()) };
            let sessions = (0..8).map(|_| p.session(&Record::new())).collect::<Checked<Vec<_>>>()?;
            at_once(|thread| {
                if thread == 0 {
                    return Ok(owners.destroy_all(&ada, None).map(drop)?);
                }
                // Let in and ended, or not let in: both are right.
                let (session, lease) = (sessions[thread], p.lease());
                Ok(p.store.commit(&session.id, &session.replace()?.1.log_in(login.clone()), &lease).map(drop)?)
            })?;
            same("the sessions that are left", owners.count(&ada)?, 0)?;
        }
        Ok(())
    }),
    Rule::new("logins at once never exceed the limit", |p| {
        let owners = p.owners()?;
        for (name, at_limit) in [("ada", AtLimit::EndOldest), ("bob", AtLimit::RefuseNewest)] {
            let login = Login { limit: Some(Limit { max: 3, at_limit }), ..Login::new(Owner::new(name)?) };
            at_once(|_| {
                for _ in 0..3 {
                    match p.store.commit(&SessionId::random()?, &Commit::create()?.log_in(login.clone()), &p.lease())? {
                        // A login that raced with others may be refused under either policy.
                        Outcome::Done(_) | Outcome::AtLimit => {}
                        found => return broken(format!("a login: expected Done or AtLimit, found {found:?}")),
                    }
                }
                Ok(())
            })?;
            // Counted after the threads: a count beside logins is not the picture of one instant.
            let left = owners.count(&login.owner)?;
            same(&format!("whether {left} sessions are 1 to 3"), (1..=3).contains(&left), true)?;
        }
        Ok(())
    }),
];

const THREADS: usize = 8;

/// How often a race is run whose outcome is decided in one moment.
const ROUNDS: usize = 20;

/// No honest store needs as many attempts.
const MANY: usize = 100_000;

/// Runs the same on so many threads at once, each with its number, and returns what they found in
/// that order.
fn at_once<T: Send>(run: impl Fn(usize) -> Checked<T> + Sync) -> Checked<Vec<T>> {
    let start = std::sync::Barrier::new(THREADS);
    let run = |thread| {
        start.wait();
        run(thread)
    };
    thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || run(thread))).collect();
        let panicked = || Err(Verdict::Broken("the store panicked in one of several threads".to_owned()));
        // All are joined before the first problem is looked at.
        let found: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect();
        found.into_iter().collect()
    })
}

fn commit(p: &Fixture<'_>, id: &SessionId, commit: &Commit) -> Result<Outcome> {
    p.store.commit(id, commit, &p.lease())
}

fn stored(p: &Fixture<'_>, id: &SessionId) -> Checked<Record> {
    match p.store.get(id)? {
        Some(stored) => Ok(stored.record),
        None => broken("a look after a race: expected the session, found none"),
    }
}

fn increment(p: &Fixture<'_>, id: &SessionId) -> Checked {
    for _ in 0..MANY {
        let seen = stored(p, id)?;
        let n: usize = seen.get("n")?.unwrap_or_default();
        // Another thread's turn: the more often the version changes here, the more this shows.
        thread::yield_now();
        match commit(p, id, &Session { id: *id, version: seen.version() }.exactly("n", &(n + 1))?)? {
            Outcome::Done(_) => return Ok(()),
            Outcome::Changed => thread::yield_now(),
            found => return broken(format!("compare and swap: expected Done or Changed, found {found:?}")),
        }
    }
    broken("compare and swap: expected Done in the end, found nothing but Changed")
}

/// Seven threads commit, each key until it is done, while one replaces the id.
fn no_commit_is_lost_beside_new_ids(p: &Fixture<'_>) -> Checked {
    const COMMITS: usize = 40;
    let (current, committing) = (Mutex::new(p.session(&Record::new())?), AtomicUsize::new(THREADS - 1));
    let insist = |key: &str| {
        for _ in 0..MANY {
            let session = *current.lock();
            match commit(p, &session.id, &session.put(key, &1)?)? {
                Outcome::Done(_) => return Ok(()),
                // The id was replaced between reading it here and using it; the next one is on its
                // way.
                Outcome::Superseded | Outcome::Gone => thread::yield_now(),
                found => return broken(format!("a commit: expected Done or Superseded, found {found:?}")),
            }
        }
        broken("a commit with the session's current id: expected Done in the end, found nothing but Superseded")
    };
    let replace = || {
        let (id, replace) = current.lock().replace()?;
        let found = commit(p, &{ current.lock().id }, &replace)?;
        let Outcome::Done(receipt) = found else { return broken(format!("a new id: expected Done, found {found:?}")) };
        *current.lock() = Session { id, version: receipt.version };
        Ok(())
    };
    at_once(|thread| {
        let done = if thread == 0 {
            std::iter::repeat_with(|| committing.load(Ordering::SeqCst)).take_while(|left| *left > 0).try_for_each(
                |_| {
                    thread::yield_now();
                    replace()
                },
            )
        } else {
            (0..COMMITS).try_for_each(|n| insist(&format!("{thread}.{n}")))
        };
        committing.fetch_sub(usize::from(thread > 0), Ordering::SeqCst);
        done
    })?;
    let last = current.lock().id;
    same("the keys after 7 x 40 commits beside new ids", stored(p, &last)?.len(), (THREADS - 1) * COMMITS)
}

/// Ends a session with `end` while others use it, and expects it to stay ended.
fn ends_for_good(
    p: &Fixture<'_>,
    session: impl Fn() -> Checked<Session>,
    end: impl Fn(&SessionId) -> Result<()> + Sync,
) -> Checked {
    for _ in 0..ROUNDS {
        let (session, lease) = (session()?, p.lease());
        let (under_way, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
        at_once(|thread| {
            if thread == 0 {
                while under_way.load(Ordering::SeqCst) < THREADS {
                    thread::yield_now();
                }
                let done = end(&session.id);
                ended.store(true, Ordering::SeqCst);
                return Ok(done?);
            }
            for n in 0..MANY {
                under_way.fetch_add(1, Ordering::SeqCst);
                // If it had ended before this call began, this call has to see it.
                let late = ended.load(Ordering::SeqCst);
                let is_there = match thread % 3 {
                    0 => p.store.touch(&session.id, &lease)?.is_done(),
                    1 => p.store.look(&session.id, Look::Visit, &lease)?.found().is_some(),
                    _ => commit(p, &session.id, &session.put(&format!("{thread}.{}", n % 50), &n)?)?.is_done(),
                };
                if late {
                    return same("whether a session that has ended is there", is_there, false);
                }
            }
            Ok(())
        })?;
        same("whether the session is there after all", p.store.get(&session.id)?.is_some(), false)?;
    }
    Ok(())
}

/// Expects that of the outcomes of one call on several threads exactly one is `Done` and the others
/// are `otherwise`. Returns which one.
fn one_done(outcomes: &[Outcome], otherwise: Outcome) -> Checked<usize> {
    let done: Vec<usize> = (0..outcomes.len()).filter(|n| outcomes[*n].is_done()).collect();
    let others = outcomes.iter().filter(|outcome| **outcome == otherwise).count();
    same(&format!("how many at once are Done and {otherwise:?}"), (done.len(), others), (1, THREADS - 1))?;
    Ok(done[0])
}
