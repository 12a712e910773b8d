//! Rules of threads: each method happens at one instant, so that what is acknowledged is kept and what is ended stays ended.

use std::thread;
use std::time::Duration;

use serde_json::json;

use super::probe::{Checked, Probe, Stop, broken, done, gone, holds, new_id, other_secret, put, record, same, to};
use crate::id::SessionId;
use crate::record::Expected;
use crate::store::Outcome;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering};

super::table![
    saves_of_different_keys_at_once_all_survive,
    saves_exactly_at_once_add_up,
    no_acknowledged_save_is_lost_beside_rotations,
    no_save_or_touch_under_way_brings_a_destroyed_session_back,
    no_save_or_touch_under_way_brings_back_a_session_that_was_touched_to_its_end,
    of_creates_at_once_exactly_one_is_done,
    of_rotations_at_once_exactly_one_is_done,
    of_destroys_at_once_exactly_one_is_done,
];

const THREADS: usize = 8;

/// How often a race is run whose outcome is decided in one moment.
const ROUNDS: usize = 20;

/// No honest store needs as many attempts.
const MANY: usize = 100_000;

/// Runs the same on so many threads at once, each with its number, and gives out what they found in that order.
fn at_once<T: Send>(run: impl Fn(usize) -> Checked<T> + Sync) -> Checked<Vec<T>> {
    let start = std::sync::Barrier::new(THREADS);
    let run = |thread| {
        start.wait();
        run(thread)
    };
    thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || run(thread))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Checked<T>>| {
            thread
                .join()
                .unwrap_or_else(|_| Err(Stop::Broken("the store panicked in one of several threads".to_owned())))
        };
        // All are joined before the first problem is looked at.
        let found: Vec<_> = threads.into_iter().map(join).collect();
        found.into_iter().collect()
    })
}

fn saves_of_different_keys_at_once_all_survive(p: &Probe<'_>) -> Checked {
    const SAVES: usize = 100;
    let id = p.session(json!({}))?;
    let seen = p.found("the id", &id)?.record;
    at_once(|thread| {
        for n in 0..SAVES {
            let changes = put(&format!("{thread}.{n}"), &n)?;
            done("save", p.store.save(&id, &changes, p.long(), to(&seen)))?;
        }
        Ok(())
    })?;
    let stored = p.found("the id", &id)?.record;
    same("the keys after 8 x 100 saves of different keys", stored.len(), THREADS * SAVES)
}

fn saves_exactly_at_once_add_up(p: &Probe<'_>) -> Checked {
    const INCREMENTS: usize = 50;
    let id = p.session(json!({"n": 0}))?;
    at_once(|_| {
        for _ in 0..INCREMENTS {
            let mut attempts = 0..MANY;
            loop {
                if attempts.next().is_none() {
                    return broken("save exactly: expected it to be done in the end, found nothing but conflicts");
                }
                let seen = p.found("the id", &id)?.record;
                let n: usize = seen.get("n")?.unwrap_or_default();
                let exactly = Expected::Exactly(seen.version());
                // Somebody else's turn: the more often the version changes here, the more this shows.
                thread::yield_now();
                match p.store.save(&id, &put("n", &(n + 1))?, p.long(), exactly)? {
                    Outcome::Done => break,
                    Outcome::Conflict => thread::yield_now(),
                    Outcome::Gone => return broken("save exactly: expected Done or Conflict, found Gone"),
                }
            }
        }
        Ok(())
    })?;
    let sum = THREADS * INCREMENTS;
    holds("the sum of 8 x 50 increments", &p.found("the id", &id)?.record, json!({"n": sum}))
}

fn no_acknowledged_save_is_lost_beside_rotations(p: &Probe<'_>) -> Checked {
    const SAVES: usize = 40;
    const SAVES_TO_A_ROTATION: usize = 4;
    let first = p.session(json!({}))?;
    let seen = p.found("the id", &first)?.record;
    let current = Mutex::new(first);
    let savers = AtomicUsize::new(THREADS - 1);
    let save = |key: &str| {
        // Gone: the id died between reading it here and using it. The next one is on its way.
        for _ in 0..MANY {
            let id = *current.lock();
            match p.store.save(&id, &put(key, &1)?, p.long(), to(&seen))? {
                Outcome::Done => return Ok(()),
                Outcome::Gone => thread::yield_now(),
                Outcome::Conflict => return broken("save: expected Done or Gone, found Conflict"),
            }
        }
        broken("save with the session's current id: expected Done in the end, found nothing but Gone")
    };
    let rotations = AtomicUsize::new(0);
    let rotate = || {
        while savers.load(Ordering::SeqCst) > 0 {
            let id = *current.lock();
            let new = other_secret(&id)?;
            done("rotate beside saves", p.store.rotate(&id, &new, Duration::ZERO))?;
            *current.lock() = new;
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
        let saved = (0..SAVES).try_for_each(|n| {
            // Or on a busy machine all is saved before the first rotation is through.
            while rotations.load(Ordering::SeqCst) < n / SAVES_TO_A_ROTATION {
                thread::yield_now();
            }
            save(&format!("{thread}.{n}"))
        });
        savers.fetch_sub(1, Ordering::SeqCst);
        saved
    })?;
    let id = *current.lock();
    let stored = p.found("the last id", &id)?.record;
    same("the keys after 7 x 40 saves beside rotations", stored.len(), (THREADS - 1) * SAVES)
}

/// Ends a session with `end` while others save and touch it, and expects it to stay ended.
fn ends_for_good(p: &Probe<'_>, end: impl Fn(&SessionId) -> crate::Result<Outcome> + Sync) -> Checked {
    for _ in 0..ROUNDS {
        let id = p.session(json!({}))?;
        let seen = p.found("the id", &id)?.record;
        let (under_way, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
        at_once(|thread| {
            if thread == 0 {
                while under_way.load(Ordering::SeqCst) < THREADS {
                    thread::yield_now();
                }
                let outcome = end(&id);
                ended.store(true, Ordering::SeqCst);
                return done("the call that ends the session", outcome);
            }
            for n in 0..MANY {
                under_way.fetch_add(1, Ordering::SeqCst);
                // If it had ended before this call began, this call has to see it.
                let late = ended.load(Ordering::SeqCst);
                let (what, outcome) = if thread % 2 == 0 {
                    ("touch of a session that has ended", p.store.touch(&id, p.long()))
                } else {
                    let changes = put(&format!("{thread}.{}", n % 50), &n)?;
                    ("save to a session that has ended", p.store.save(&id, &changes, p.long(), to(&seen)))
                };
                if late {
                    return gone(what, outcome);
                }
                let _ = outcome?;
            }
            Ok(())
        })?;
        p.nothing("the id of a session that ended while others saved", &id)?;
    }
    Ok(())
}

fn no_save_or_touch_under_way_brings_a_destroyed_session_back(p: &Probe<'_>) -> Checked {
    ends_for_good(p, |id| p.store.destroy(id))
}

fn no_save_or_touch_under_way_brings_back_a_session_that_was_touched_to_its_end(p: &Probe<'_>) -> Checked {
    ends_for_good(p, |id| p.store.touch(id, Duration::ZERO))
}

/// Expects that of the outcomes of one call on several threads exactly one is `Done` and the others are `otherwise`.
fn one_done(what: &str, outcomes: &[Outcome], otherwise: Outcome) -> Checked {
    let count = |outcome| outcomes.iter().filter(|found| **found == outcome).count();
    let expected = (1, THREADS - 1);
    same(
        &format!("how many {what} at once are Done and {otherwise:?}"),
        (count(Outcome::Done), count(otherwise)),
        expected,
    )
}

fn of_creates_at_once_exactly_one_is_done(p: &Probe<'_>) -> Checked {
    for _ in 0..ROUNDS {
        let id = new_id()?;
        let outcomes = at_once(|thread| Ok(p.store.create(&id, record(json!({"by": thread})), p.long())?))?;
        one_done("creates", &outcomes, Outcome::Conflict)?;
        let winner = outcomes.iter().position(|outcome| outcome.is_done());
        holds("the entries", &p.found("the id", &id)?.record, json!({"by": winner}))?;
    }
    Ok(())
}

fn of_rotations_at_once_exactly_one_is_done(p: &Probe<'_>) -> Checked {
    for _ in 0..ROUNDS {
        let id = p.session(json!({}))?;
        let found = at_once(|_| {
            let new = other_secret(&id)?;
            Ok((new, p.store.rotate(&id, &new, Duration::ZERO)?))
        })?;
        let outcomes: Vec<_> = found.iter().map(|(_, outcome)| *outcome).collect();
        one_done("rotations", &outcomes, Outcome::Gone)?;
        for (new, outcome) in &found {
            if outcome.is_done() {
                p.found("the id of the rotation that was done", new)?;
            } else {
                p.nothing("the id of a rotation that was not done", new)?;
            }
        }
    }
    Ok(())
}

fn of_destroys_at_once_exactly_one_is_done(p: &Probe<'_>) -> Checked {
    for _ in 0..ROUNDS {
        let id = p.session(json!({}))?;
        let outcomes = at_once(|_| Ok(p.store.destroy(&id)?))?;
        one_done("destroys", &outcomes, Outcome::Gone)?;
    }
    Ok(())
}
