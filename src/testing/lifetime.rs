//! Rules of time: when a session expires, what prolongs it, and which limits its time is computed from.

use std::time::Duration;

use serde_json::json;

use super::fixture::{
    Checked, Fixture, OVER, Session, data, done, gone, new_id, optional, other_secret, owner, put, record, same, says,
};
use crate::record::{Changes, Record};
use crate::store::{Commit, Lease, Login, Look, Lookup, Outcome};

super::table![
    the_clock_is_the_one_the_store_goes_by,
    the_time_left_runs_down,
    a_session_lives_until_the_last_moment,
    a_session_is_gone_for_every_method_once_its_time_is_over,
    a_session_is_gone_for_every_method_at_the_instant_of_its_deadline,
    create_takes_the_handle_of_an_expired_session,
    set_takes_the_handle_of_an_expired_session,
    a_peek_does_not_prolong,
    a_visit_prolongs,
    a_visit_is_noted_once_per_touch_after_and_at_half_of_the_time,
    touch_sets_a_longer_time,
    touch_and_visit_set_a_shorter_time,
    touch_leaves_data_and_version_alone,
    touch_never_creates,
    a_commit_sets_the_time,
    a_timeout_of_its_own_takes_the_place_of_the_idle_timeout,
    no_session_outlives_its_lifetime,
    the_lifetime_begins_anew_at_a_login,
    a_remembered_session_has_limits_of_its_own,
    the_time_is_computed_from_what_is_stored_now,
    a_session_without_time_left_is_not_found_and_not_removed,
    a_time_beyond_every_clock_never_ends,
    expired_sessions_are_not_counted,
    expired_sessions_are_not_listed,
];

fn the_clock_is_the_one_the_store_goes_by(p: &Fixture<'_>) -> Checked {
    p.clock()?;
    let clock = p.store.clock();
    let (now, wall) = (clock.now(), clock.wall());
    p.pass(1);
    same("the store's clock, a minute later", (clock.now(), clock.wall()), (now + p.units(1), wall + p.units(1)))
}

fn the_time_left_runs_down(p: &Fixture<'_>) -> Checked {
    p.clock()?;
    let id = p.session_for(json!({}), p.units(5))?.id;
    p.pass(2);
    p.left("the time left, two minutes later", p.found("the id", &id)?.ttl, p.units(3))
}

fn a_session_lives_until_the_last_moment(p: &Fixture<'_>) -> Checked {
    let (clock, last) = (p.clock()?, Duration::from_secs(1));
    let session = p.session_for(json!({"user": "ada"}), p.units(1))?;
    clock.advance(p.units(1).saturating_sub(last));
    same("the time left, a second before the end", p.found("the id", &session.id)?.ttl, last)?;
    done("touch, a second before the end", p.store.touch(&session.id, &p.lease(last)))?;
    done("commit, a second before the end", p.store.commit(&session.id, &session.put("n", &1)?, &p.lease(last)))?;
    let (new, replace) = session.replace()?;
    done("a new id, a second before the end", p.store.commit(&session.id, &replace, &p.lease(last)))?;
    done("destroy, a second before the end", p.store.destroy(&new)).map(drop)
}

/// Expects every method to find nothing, each on a session of its own, so that none can hide what
/// another one did.
fn all_gone(p: &Fixture<'_>, when: &str, wait: impl FnOnce()) -> Checked {
    let (store, lease) = (p.store, p.lease(p.long()));
    let about_to_expire = (0..7).map(|_| p.session_for(json!({"user": "ada"}), p.short()));
    let about_to_expire = about_to_expire.collect::<Checked<Vec<Session>>>()?;
    wait();
    for (n, session) in about_to_expire.iter().enumerate() {
        let (id, (new, replace)) = (&session.id, session.replace()?);
        match n {
            0 => p.nothing(when, id)?,
            1 => same("a visit", store.visit(id, &lease)?, Lookup::Missing)?,
            2 => gone(&format!("touch with {when}"), store.touch(id, &lease))?,
            3 => gone(&format!("destroy with {when}"), store.destroy(id))?,
            4 => p.says(id, &session.put("ghost", &1)?, Outcome::Gone)?,
            5 => p.says(id, &session.exactly("ghost", &1)?, Outcome::Gone)?,
            _ => p.says(id, &replace, Outcome::Gone)?,
        }
        p.nothing(&format!("{when}, after that"), id)?;
        p.nothing(&format!("the new id of {when}"), &new)?;
    }
    Ok(())
}

fn a_session_is_gone_for_every_method_once_its_time_is_over(p: &Fixture<'_>) -> Checked {
    all_gone(p, "an expired id", || p.over())
}

fn a_session_is_gone_for_every_method_at_the_instant_of_its_deadline(p: &Fixture<'_>) -> Checked {
    let clock = p.clock()?;
    all_gone(p, "an id that expires in this instant", || clock.advance(p.short()))
}

fn create_takes_the_handle_of_an_expired_session(p: &Fixture<'_>) -> Checked {
    let id = p.session_for(json!({"user": "ada"}), p.short())?.id;
    p.over();
    let other = other_secret(&id)?;
    p.done(&other, &Commit::create()?.with(put("user", "bob")?))?;
    p.holds(&other, json!({"user": "bob"}))?;
    p.nothing("the expired id", &id)
}

fn set_takes_the_handle_of_an_expired_session(p: &Fixture<'_>) -> Checked {
    let id = p.session_for(json!({"user": "ada"}), p.short())?.id;
    p.over();
    let other = other_secret(&id)?;
    p.store.set(&other, record(json!({"user": "bob"})), p.long())?;
    p.holds(&other, json!({"user": "bob"}))?;
    p.nothing("the expired id", &id)
}

fn a_peek_does_not_prolong(p: &Fixture<'_>) -> Checked {
    let id = p.session_for(json!({}), p.units(4))?.id;
    for _ in 0..5 {
        // Found or not: with real time a slow machine may already be late.
        let _ = p.store.get(&id)?;
        let _ = p.look(&id, Look::Peek)?;
        p.pass(1);
    }
    p.nothing("an id that was only read", &id)
}

fn a_visit_prolongs(p: &Fixture<'_>) -> Checked {
    let session = p.session_for(json!({"user": "ada"}), p.short())?;
    let visited = p.look(&session.id, Look::Visit)?.found();
    p.left("the time left, as the visit says", visited.map(|stored| stored.ttl).unwrap_or_default(), p.long())?;
    p.over();
    let stored = p.found("an id that was visited, after its first time is over", &session.id)?;
    same("the version after a visit", stored.record.version(), session.version)
}

fn a_visit_is_noted_once_per_touch_after_and_at_half_of_the_time(p: &Fixture<'_>) -> Checked {
    p.clock()?;
    let lease = Lease { touch_after: p.units(3), ..p.lease(p.units(100)) };
    let short = Lease { touch_after: p.units(50), ..p.lease(p.units(10)) };
    // Time left after a visit, units after the last one that was noted.
    for (lease, after, left) in [(lease, 2, 98), (lease, 3, 100), (short, 4, 6), (short, 5, 10)] {
        let id = p.session_for(json!({}), lease.idle)?.id;
        p.pass(after);
        let visited = p.store.visit(&id, &lease)?.found();
        let what = format!("the time left after a visit, {after} minutes after the last one");
        same(&what, visited.map(|stored| stored.ttl), Some(p.units(left)))?;
        same(&what, p.found("the id", &id)?.ttl, p.units(left))?;
    }
    Ok(())
}

fn touch_sets_a_longer_time(p: &Fixture<'_>) -> Checked {
    let id = p.session_for(json!({}), p.short())?.id;
    let receipt = done("touch", p.store.touch(&id, &p.lease(p.long())))?;
    p.left("the time in the receipt of a touch", receipt.ttl, p.long())?;
    p.left("the time left after a longer touch", p.found("the id", &id)?.ttl, p.long())?;
    p.over();
    p.found("an id that was touched, after its first time is over", &id).map(drop)
}

fn touch_and_visit_set_a_shorter_time(p: &Fixture<'_>) -> Checked {
    let (touched, visited) = (p.session(json!({}))?.id, p.session(json!({}))?.id);
    done("touch", p.store.touch(&touched, &p.lease(p.long() / 10)))?;
    p.left("the time left after a shorter touch", p.found("the id", &touched)?.ttl, p.long() / 10)?;
    done("touch", p.store.touch(&touched, &p.lease(p.short())))?;
    p.store.visit(&visited, &p.lease(p.short()))?;
    p.over();
    p.nothing("an id that was touched, after its shorter time is over", &touched)?;
    p.nothing("an id that was visited, after its shorter time is over", &visited)
}

fn touch_leaves_data_and_version_alone(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({"user": "ada"}))?;
    let seen = p.found("the id", &session.id)?.record;
    let receipt = done("touch", p.store.touch(&session.id, &p.lease(p.long() * 2)))?;
    let touched = p.found("the id", &session.id)?.record;
    same("the data after a touch", data(&touched)?, data(&seen)?)?;
    same("the versions after a touch", (touched.version(), receipt.version), (session.version, session.version))
}

fn touch_never_creates(p: &Fixture<'_>) -> Checked {
    let (unknown, destroyed) = (new_id()?, p.session(json!({}))?.id);
    done("destroy", p.store.destroy(&destroyed))?;
    for (whose, id) in [("an unknown id", unknown), ("a destroyed id", destroyed)] {
        gone(&format!("touch with {whose}"), p.store.touch(&id, &p.lease(p.long())))?;
        p.nothing(whose, &id)?;
    }
    Ok(())
}

fn a_commit_sets_the_time(p: &Fixture<'_>) -> Checked {
    let (longer, shorter) = (p.session_for(json!({}), p.short())?, p.session(json!({}))?);
    for (session, idle) in [(longer, p.long()), (shorter, p.short())] {
        let receipt = done("commit", p.store.commit(&session.id, &session.put("n", &1)?, &p.lease(idle)))?;
        p.left("the time in the receipt", receipt.ttl, idle)?;
    }
    p.left("the time left after a commit", p.found("the id", &longer.id)?.ttl, p.long())?;
    p.over();
    p.found("an id with a longer commit, after its first time is over", &longer.id)?;
    p.nothing("an id with a shorter commit, after that time is over", &shorter.id)
}

/// Expects the time left after a commit, a touch and a visit under this lease.
fn has(p: &Fixture<'_>, what: &str, session: &Session, lease: &Lease, ttl: Duration) -> Checked {
    let committed = done("commit", p.store.commit(&session.id, &session.put("n", &1)?, lease))?;
    p.left(&format!("the time left after a commit, {what}"), committed.ttl, ttl)?;
    let touched = done("touch", p.store.touch(&session.id, lease))?;
    p.left(&format!("the time left after a touch, {what}"), touched.ttl, ttl)?;
    let visited = p.store.visit(&session.id, lease)?.found().map(|stored| stored.ttl);
    p.left(&format!("the time left after a visit, {what}"), visited.unwrap_or_default(), ttl)?;
    p.left(&format!("the time left, {what}"), p.found("the id", &session.id)?.ttl, ttl)
}

fn a_timeout_of_its_own_takes_the_place_of_the_idle_timeout(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({}))?;
    let lease = Lease { lifetime: Some(p.units(600)), ..p.lease(p.units(100)) };
    for (timeout, ttl) in [(Some(p.units(300)), 300), (Some(p.units(40)), 40), (Some(p.units(900)), 600), (None, 100)] {
        let mut changes = Changes::new();
        changes.set_timeout(timeout);
        p.done(&session.id, &session.merge(changes)?)?;
        has(p, &format!("with the timeout {timeout:?}"), &session, &lease, p.units(ttl))?;
    }
    Ok(())
}

fn no_session_outlives_its_lifetime(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({}))?;
    let lease = |lifetime| Lease { lifetime: Some(lifetime), ..p.lease(p.units(8)) };
    has(p, "at the beginning of its lifetime", &session, &lease(p.units(100)), p.units(8))?;
    p.pass(4);
    has(p, "4 units into a lifetime of 10", &session, &lease(p.units(10)), p.units(6))?;
    p.pass(7);
    p.nothing("a session whose lifetime is over", &session.id)
}

fn the_lifetime_begins_anew_at_a_login(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({}))?;
    let lease = Lease { lifetime: Some(p.units(10)), ..p.lease(p.units(8)) };
    p.pass(4);
    let session = p.logged_in(&session, Login::new(owner("ada")?))?;
    has(p, "after the login", &session, &lease, p.units(8))?;
    p.pass(4);
    has(p, "4 units after the login", &session, &lease, p.units(6))
}

fn a_remembered_session_has_limits_of_its_own(p: &Fixture<'_>) -> Checked {
    let (session, remembered) = (p.session(json!({}))?, (p.units(200), Some(p.units(500))));
    let lease = Lease { lifetime: Some(p.units(100)), remembered: Some(remembered), ..p.lease(p.units(50)) };
    for (is_remembered, ttl) in [(true, 200), (false, 50)] {
        let mut changes = Changes::new();
        changes.remember(is_remembered);
        p.done(&session.id, &session.merge(changes)?)?;
        has(p, &format!("remembered: {is_remembered}"), &session, &lease, p.units(ttl))?;
    }
    Ok(())
}

fn the_time_is_computed_from_what_is_stored_now(p: &Fixture<'_>) -> Checked {
    // Another request has the session remembered; the touch and the commit of this one read it before.
    let session = p.session(json!({}))?;
    let lease = Lease { remembered: Some((p.long(), None)), ..p.lease(p.units(50)) };
    let mut changes = Changes::new();
    changes.remember(true);
    done("commit", p.store.commit(&session.id, &session.merge(changes)?, &lease))?;
    has(p, "beside another request's \"remember me\"", &session, &lease, p.long())
}

fn a_session_without_time_left_is_not_found_and_not_removed(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({"user": "ada"}))?;
    p.pass(1);
    let seen = p.found("the id", &session.id)?;
    // As if the calendar had jumped: by this lease the lifetime is over.
    for lease in [Lease::new(Duration::ZERO), Lease { lifetime: Some(p.units(1) / 2), ..p.lease(p.long()) }] {
        for how in [Look::Peek, Look::Visit] {
            same("a look for no time", p.store.look(&session.id, how, &lease)?, Lookup::Missing)?;
        }
        gone("touch for no time", p.store.touch(&session.id, &lease))?;
        says("commit for no time", p.store.commit(&session.id, &session.put("n", &1)?, &lease), Outcome::Gone)?;
        p.unchanged("the session", &session.id, &seen)?;
    }
    p.done(&session.id, &session.put("n", &1)?).map(drop)
}

fn a_time_beyond_every_clock_never_ends(p: &Fixture<'_>) -> Checked {
    let forever = p.lease(Duration::MAX);
    let (created, touched) = (p.session_for(json!({}), Duration::MAX)?, p.session(json!({}))?);
    let (set, saved) = (new_id()?, p.session(json!({}))?);
    p.store.set(&set, Record::new(), Duration::MAX)?;
    done("touch for ever", p.store.touch(&touched.id, &forever))?;
    done("commit for ever", p.store.commit(&saved.id, &saved.put("n", &1)?, &forever))?;
    p.pass(OVER);
    for id in [created.id, set, touched.id, saved.id] {
        p.found("an id that never expires", &id)?;
    }
    let (grace, (_, replace)) = (Lease { grace: Duration::MAX, ..forever }, created.replace()?);
    done("a new id with a grace that never ends", p.store.commit(&created.id, &replace, &grace))?;
    same("the old id", p.look(&created.id, Look::Visit)?, Lookup::Superseded { recent: true })
}

fn expired_sessions_are_not_counted(p: &Fixture<'_>) -> Checked {
    optional(p.store.len())?;
    p.session(json!({}))?;
    for _ in 0..3 {
        p.session_for(json!({}), p.short())?;
    }
    p.over();
    same("len with one live and three expired sessions", p.store.len()?, 1_usize)
}

fn expired_sessions_are_not_listed(p: &Fixture<'_>) -> Checked {
    optional(p.store.all().map(drop))?;
    let live = p.session(json!({}))?;
    for _ in 0..3 {
        p.session_for(json!({}), p.short())?;
    }
    p.over();
    let listed: Vec<_> = p.store.all()?.map(|one| one.map(|one| one.handle)).collect::<Result<_, _>>()?;
    same("the handles of all with one live and three expired sessions", listed, vec![live.id.handle()])
}
