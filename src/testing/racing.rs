//! Rules of parallel calls. Each call takes effect at one instant, so acknowledged commits are kept
//! and ended sessions stay ended. The answers are not compared with those of the plain store.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

use super::fixture::{CodeRule, Fixture, SeenSession, put};
use super::verdict::{Checked, Verdict, broken, same};
use crate::error::Result;
use crate::id::SessionId;
use crate::record::{Changes, Record};
use crate::store::{AtLimit, Commit, EndReason, Identity, Lease, Limit, Login, Look, Outcome, Owner};

pub(super) const RULES: &[CodeRule] = &[
    CodeRule::new("commits of different keys at once all survive", |fixture| {
        let session = fixture.session(&Record::new())?;
        at_once(|thread| {
            (0..100).try_for_each(|n| {
                match commit(fixture, &session.id, &session.put(&format!("{thread}.{n}"), &n)?)? {
                    Outcome::Done(_) => Ok(()),
                    found => broken(format!("a commit: expected Done, found {found:?}")),
                }
            })
        })?;
        same("the keys after 8 x 100 commits of different keys", stored(fixture, &session.id)?.len(), THREADS * 100)
    }),
    CodeRule::new("compare and swap at once adds up", |fixture| {
        let id = fixture.session(&[("n", 0)].into_iter().collect())?.id;
        at_once(|_| (0..50).try_for_each(|_| increment(fixture, &id)))?;
        same("the sum of 8 x 50 increments", stored(fixture, &id)?.get("n")?, Some(THREADS * 50))
    }),
    CodeRule::new("no acknowledged commit is lost beside new ids", no_commit_is_lost_beside_new_ids),
    CodeRule::new("no commit, touch or visit under way brings a destroyed session back", |fixture| {
        ends_for_good(fixture, || fixture.session(&Record::new()), |id| fixture.store.destroy(id).map(drop))
    }),
    CodeRule::new("no commit, touch or visit under way brings back a session that its owner ended", |fixture| {
        let owners = fixture.owners()?;
        let end = |id: &SessionId| owners.destroy_handle(id.handle(), None, EndReason::Revoked).map(drop);
        ends_for_good(fixture, || fixture.session_of("ada"), end)
    }),
    CodeRule::new("of creates at once exactly one is done", |fixture| {
        for _ in 0..ROUNDS {
            let id = SessionId::random()?;
            let outcomes = at_once(|thread| Ok(commit(fixture, &id, &Commit::create()?.with(put("by", &thread)?))?))?;
            let winner = one_done(&outcomes, Outcome::Taken)?;
            same("whose create is stored", stored(fixture, &id)?.get("by")?, Some(winner))?;
        }
        Ok(())
    }),
    CodeRule::new("of new ids at once exactly one is done", |fixture| {
        for _ in 0..ROUNDS {
            let session = fixture.session(&Record::new())?;
            let found = at_once(|_| {
                let (new, replace) = session.replace()?;
                Ok((new, commit(fixture, &session.id, &replace)?))
            })?;
            let outcomes: Vec<_> = found.iter().map(|(_, outcome)| *outcome).collect();
            let winner = one_done(&outcomes, Outcome::Superseded)?;
            for (n, (new, _)) in found.iter().enumerate() {
                same("whether a new id opens the session", fixture.store.get(new)?.is_some(), n == winner)?;
            }
        }
        Ok(())
    }),
    CodeRule::new("of destroys at once exactly one is done", |fixture| {
        for _ in 0..ROUNDS {
            let id = fixture.session(&Record::new())?.id;
            one_done(&at_once(|_| Ok(fixture.store.destroy(&id)?))?, Outcome::Gone)?;
        }
        Ok(())
    }),
    CodeRule::new("renewals at once agree on the new id", |fixture| {
        // The login creates the session, so that no superseded id is in its grace.
        let begun =
            || fixture.committed(&SessionId::random()?, &Commit::create()?.log_in(Login::new(Owner::new("ada")?)));
        let sessions = (0..ROUNDS).map(|_| begun()).collect::<Checked<Vec<_>>>()?;
        fixture.over();
        let lease = Lease { renew_after: Some(fixture.units(1)), grace: fixture.units(2), ..fixture.lease() };
        for session in sessions {
            let found = at_once(|thread| {
                let renew = session.merge(Changes::new())?.with_identity(Identity::Renew(thread as u64));
                let outcome = fixture.store.commit(&session.id, &renew, &lease)?;
                Ok(outcome.receipt().and_then(|receipt| receipt.announce))
            })?;
            let agree = found[0].is_some() && found.iter().all(|new| *new == found[0]);
            same("whether all announce the same new id", agree, true)?;
        }
        Ok(())
    }),
    CodeRule::new("of logins beside destroy_all none is left over", |fixture| {
        let (owners, ada) = (fixture.owners()?, Owner::new("ada")?);
        for _ in 0..20 {
            let login = Login { begun: Some(owners.epoch(&ada)?), ..Login::new(ada.clone()) };
            let sessions = (0..8).map(|_| fixture.session(&Record::new())).collect::<Checked<Vec<_>>>()?;
            at_once(|thread| {
                if thread == 0 {
                    return Ok(owners.destroy_all(&ada, None).map(drop)?);
                }
                // The login may be refused, or `destroy_all` may end its session.
                let (session, lease) = (sessions[thread], fixture.lease());
                Ok(fixture.store.commit(&session.id, &session.replace()?.1.log_in(login.clone()), &lease).map(drop)?)
            })?;
            same("the sessions that are left", owners.count(&ada)?, 0)?;
        }
        Ok(())
    }),
    CodeRule::new("logins at once never exceed the limit", |fixture| {
        let owners = fixture.owners()?;
        for (name, at_limit) in [("ada", AtLimit::EndOldest), ("bob", AtLimit::RefuseNewest)] {
            let login = Login { limit: Some(Limit { max: 3, at_limit }), ..Login::new(Owner::new(name)?) };
            at_once(|_| {
                for _ in 0..3 {
                    match fixture.store.commit(
                        &SessionId::random()?,
                        &Commit::create()?.log_in(login.clone()),
                        &fixture.lease(),
                    )? {
                        // A login that raced with others may be refused under either policy.
                        Outcome::Done(_) | Outcome::AtLimit => {}
                        found => return broken(format!("a login: expected Done or AtLimit, found {found:?}")),
                    }
                }
                Ok(())
            })?;
            // The threads have ended. A count beside logins does not show a single instant.
            let left = owners.count(&login.owner)?;
            same(&format!("whether {left} sessions are 1 to 3"), (1..=3).contains(&left), true)?;
        }
        Ok(())
    }),
];

const THREADS: usize = 8;

/// How often a rule repeats a race of single calls.
const ROUNDS: usize = 20;

/// The attempts after which a rule gives up. A correct store needs far fewer.
const MANY: usize = 100_000;

/// Calls `run` on all threads at once, with the thread's number. Returns the results in the order
/// of the threads.
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
        // All threads are joined before the first error returns.
        let found: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect();
        found.into_iter().collect()
    })
}

fn commit(fixture: &Fixture<'_>, id: &SessionId, commit: &Commit) -> Result<Outcome> {
    fixture.store.commit(id, commit, &fixture.lease())
}

fn stored(fixture: &Fixture<'_>, id: &SessionId) -> Checked<Record> {
    match fixture.store.get(id)? {
        Some(stored) => Ok(stored.record),
        None => broken("a look after a race: expected the session, found none"),
    }
}

fn increment(fixture: &Fixture<'_>, id: &SessionId) -> Checked {
    for _ in 0..MANY {
        let seen = stored(fixture, id)?;
        let n: usize = seen.get("n")?.unwrap_or_default();
        // Lets another thread run, so that the version changes as often as possible.
        thread::yield_now();
        match commit(fixture, id, &SeenSession { id: *id, version: seen.version() }.exactly("n", &(n + 1))?)? {
            Outcome::Done(_) => return Ok(()),
            Outcome::Changed => thread::yield_now(),
            found => return broken(format!("compare and swap: expected Done or Changed, found {found:?}")),
        }
    }
    broken("compare and swap: expected Done in the end, found nothing but Changed")
}

/// Seven threads repeat each of their commits until it is done, while one thread replaces the id.
fn no_commit_is_lost_beside_new_ids(fixture: &Fixture<'_>) -> Checked {
    const COMMITS: usize = 40;
    let (current, committing) = (Mutex::new(fixture.session(&Record::new())?), AtomicUsize::new(THREADS - 1));
    let commit_until_done = |key: &str| {
        for _ in 0..MANY {
            let session = *current.lock();
            match commit(fixture, &session.id, &session.put(key, &1)?)? {
                Outcome::Done(_) => return Ok(()),
                // The id was replaced after this thread read it. The next attempt uses the new id.
                Outcome::Superseded | Outcome::Gone => thread::yield_now(),
                found => return broken(format!("a commit: expected Done or Superseded, found {found:?}")),
            }
        }
        broken("a commit with the session's current id: expected Done in the end, found nothing but Superseded")
    };
    let replace = || {
        let (id, replace) = current.lock().replace()?;
        let found = commit(fixture, &{ current.lock().id }, &replace)?;
        let Outcome::Done(receipt) = found else { return broken(format!("a new id: expected Done, found {found:?}")) };
        *current.lock() = SeenSession { id, version: receipt.version };
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
            (0..COMMITS).try_for_each(|n| commit_until_done(&format!("{thread}.{n}")))
        };
        committing.fetch_sub(usize::from(thread > 0), Ordering::SeqCst);
        done
    })?;
    let last = current.lock().id;
    same("the keys after 7 x 40 commits beside new ids", stored(fixture, &last)?.len(), (THREADS - 1) * COMMITS)
}

/// Ends a session with `end` while other threads use it, and expects it to stay ended.
fn ends_for_good(
    fixture: &Fixture<'_>,
    session: impl Fn() -> Checked<SeenSession>,
    end: impl Fn(&SessionId) -> Result<()> + Sync,
) -> Checked {
    for _ in 0..ROUNDS {
        let (session, lease) = (session()?, fixture.lease());
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
                // If the session ended before this call began, this call must not find it.
                let is_ended = ended.load(Ordering::SeqCst);
                let is_there = match thread % 3 {
                    0 => fixture.store.touch(&session.id, &lease)?.is_done(),
                    1 => fixture.store.look(&session.id, Look::Visit, &lease)?.found().is_some(),
                    _ => commit(fixture, &session.id, &session.put(&format!("{thread}.{}", n % 50), &n)?)?.is_done(),
                };
                if is_ended {
                    return same("whether a session that has ended is there", is_there, false);
                }
            }
            Ok(())
        })?;
        same("whether the session is there after all", fixture.store.get(&session.id)?.is_some(), false)?;
    }
    Ok(())
}

/// Expects that exactly one of these outcomes of parallel calls is `Done`, and all others are
/// `otherwise`. Returns the index of the `Done` outcome.
fn one_done(outcomes: &[Outcome], otherwise: Outcome) -> Checked<usize> {
    let done: Vec<usize> = (0..outcomes.len()).filter(|n| outcomes[*n].is_done()).collect();
    let others = outcomes.iter().filter(|outcome| **outcome == otherwise).count();
    same(&format!("how many at once are Done and {otherwise:?}"), (done.len(), others), (1, THREADS - 1))?;
    Ok(done[0])
}
