//! Rules of time: when a session expires, what prolongs it and what does not.

use std::time::Duration;

use serde_json::json;

use super::probe::{Checked, Probe, data, done, gone, holds, new_id, optional, other_secret, put, record, same, to};
use crate::id::SessionId;
use crate::record::Record;

super::table![
    the_clock_is_the_one_the_store_goes_by,
    the_time_left_runs_down,
    a_session_lives_until_the_last_moment,
    a_session_is_gone_for_every_method_once_its_time_is_over,
    a_session_is_gone_for_every_method_at_the_instant_of_its_deadline,
    create_takes_the_handle_of_an_expired_session,
    set_takes_the_handle_of_an_expired_session,
    get_does_not_prolong,
    touch_sets_a_longer_time,
    touch_sets_a_shorter_time,
    touch_for_no_time_ends_the_session,
    touch_leaves_data_and_version_alone,
    touch_never_creates,
    save_sets_the_time,
    save_for_no_time_ends_the_session,
    a_time_beyond_every_clock_never_ends,
    expired_sessions_are_not_counted,
    expired_sessions_are_not_listed,
];

fn the_clock_is_the_one_the_store_goes_by(p: &Probe<'_>) -> Checked {
    p.clock()?;
    let before = (p.store.clock().now(), p.store.clock().wall());
    p.pass(1);
    let after = (before.0 + p.units(1), before.1 + p.units(1));
    same("the store's clock, a minute later", (p.store.clock().now(), p.store.clock().wall()), after)
}

fn the_time_left_runs_down(p: &Probe<'_>) -> Checked {
    p.clock()?;
    let id = p.session_for(json!({}), p.units(5))?;
    p.pass(2);
    p.left("the time left, two minutes later", p.found("the id", &id)?.ttl, p.units(3))
}

fn a_session_lives_until_the_last_moment(p: &Probe<'_>) -> Checked {
    let clock = p.clock()?;
    let id = p.session_for(json!({"user": "ada"}), p.units(1))?;
    let last = Duration::from_secs(1);
    clock.advance(p.units(1).saturating_sub(last));
    let stored = p.found("the id, a second before the end", &id)?;
    same("the time left, a second before the end", stored.ttl, last)?;
    done("touch, a second before the end", p.store.touch(&id, last))?;
    done("save, a second before the end", p.store.save(&id, &put("n", &1)?, last, to(&stored.record)))?;
    let new = other_secret(&id)?;
    done("rotate, a second before the end", p.store.rotate(&id, &new, Duration::ZERO))?;
    done("destroy, a second before the end", p.store.destroy(&new))
}

/// Expects every method to find nothing, each on a session of its own, so that none can hide what another one did.
fn all_gone(p: &Probe<'_>, when: &str, ids: &[(SessionId, Record)]) -> Checked {
    let (store, long) = (p.store, p.long());
    let mut ids = ids.iter();
    let mut next = || ids.next().ok_or_else(|| super::Stop::Broken("too few sessions for this rule".to_owned()));
    let (id, _) = next()?;
    p.nothing(when, id)?;
    let (id, seen) = next()?;
    gone(&format!("save with {when}"), store.save(id, &put("ghost", &1)?, long, to(seen)))?;
    p.nothing(&format!("{when}, after the save"), id)?;
    let (id, _) = next()?;
    gone(&format!("touch with {when}"), store.touch(id, long))?;
    p.nothing(&format!("{when}, after the touch"), id)?;
    let (id, _) = next()?;
    let new = other_secret(id)?;
    gone(&format!("rotate with {when}"), store.rotate(id, &new, p.units(1)))?;
    p.nothing(&format!("{when}, after the rotate"), id)?;
    p.nothing(&format!("the new id of {when}, after the rotate"), &new)?;
    let (id, _) = next()?;
    gone(&format!("destroy with {when}"), store.destroy(id))
}

fn sessions_about_to_expire(p: &Probe<'_>) -> Checked<Vec<(SessionId, Record)>> {
    let ids = (0..5).map(|_| {
        let (id, begun) = (new_id()?, record(json!({"user": "ada"})).admit(p.store.clock().wall())?);
        done("create", p.store.create(&id, begun.clone(), p.short()))?;
        Ok((id, begun))
    });
    ids.collect()
}

fn a_session_is_gone_for_every_method_once_its_time_is_over(p: &Probe<'_>) -> Checked {
    let ids = sessions_about_to_expire(p)?;
    p.over();
    all_gone(p, "an expired id", &ids)
}

fn a_session_is_gone_for_every_method_at_the_instant_of_its_deadline(p: &Probe<'_>) -> Checked {
    let clock = p.clock()?;
    let ids = sessions_about_to_expire(p)?;
    clock.advance(p.short());
    all_gone(p, "an id that expires in this instant", &ids)
}

fn create_takes_the_handle_of_an_expired_session(p: &Probe<'_>) -> Checked {
    let id = p.session_for(json!({"user": "ada"}), p.short())?;
    p.over();
    let other = other_secret(&id)?;
    done("create with an expired handle", p.store.create(&other, record(json!({"user": "bob"})), p.long()))?;
    holds("the entries", &p.found("the new id", &other)?.record, json!({"user": "bob"}))?;
    p.nothing("the expired id", &id)
}

fn set_takes_the_handle_of_an_expired_session(p: &Probe<'_>) -> Checked {
    let id = p.session_for(json!({"user": "ada"}), p.short())?;
    p.over();
    let other = other_secret(&id)?;
    p.store.set(&other, record(json!({"user": "bob"})), p.long())?;
    holds("the entries", &p.found("the new id", &other)?.record, json!({"user": "bob"}))?;
    p.nothing("the expired id", &id)
}

fn get_does_not_prolong(p: &Probe<'_>) -> Checked {
    let id = p.session_for(json!({}), p.units(4))?;
    for _ in 0..5 {
        // Found or not: with real time a slow machine may already be late.
        let _ = p.store.get(&id)?;
        p.pass(1);
    }
    p.nothing("an id that was only read", &id)
}

fn touch_sets_a_longer_time(p: &Probe<'_>) -> Checked {
    let id = p.session_for(json!({}), p.short())?;
    done("touch", p.store.touch(&id, p.long()))?;
    p.left("the time left after a longer touch", p.found("the id", &id)?.ttl, p.long())?;
    p.over();
    p.found("an id that was touched, after its first time is over", &id)?;
    Ok(())
}

fn touch_sets_a_shorter_time(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({}))?;
    done("touch", p.store.touch(&id, p.long() / 10))?;
    p.left("the time left after a shorter touch", p.found("the id", &id)?.ttl, p.long() / 10)?;
    done("touch", p.store.touch(&id, p.short()))?;
    p.over();
    p.nothing("an id that was touched, after its shorter time is over", &id)
}

fn touch_for_no_time_ends_the_session(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({}))?;
    done("touch for no time", p.store.touch(&id, Duration::ZERO))?;
    p.nothing("the id", &id)
}

fn touch_leaves_data_and_version_alone(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({"user": "ada"}))?;
    let seen = p.found("the id", &id)?.record;
    done("touch", p.store.touch(&id, p.long() * 2))?;
    let touched = p.found("the id", &id)?.record;
    same("the data after a touch", data(&touched)?, data(&seen)?)?;
    same("the version after a touch", touched.version(), seen.version())
}

fn touch_never_creates(p: &Probe<'_>) -> Checked {
    let (unknown, destroyed) = (new_id()?, p.session(json!({}))?);
    done("destroy", p.store.destroy(&destroyed))?;
    for (whose, id) in [("an unknown id", unknown), ("a destroyed id", destroyed)] {
        gone(&format!("touch with {whose}"), p.store.touch(&id, p.long()))?;
        p.nothing(whose, &id)?;
    }
    Ok(())
}

fn save_sets_the_time(p: &Probe<'_>) -> Checked {
    let (longer, shorter) = (p.session_for(json!({}), p.short())?, p.session(json!({}))?);
    for (id, ttl) in [(longer, p.long()), (shorter, p.short())] {
        let seen = p.found("the id", &id)?;
        done("save", p.store.save(&id, &put("n", &1)?, ttl, to(&seen.record)))?;
    }
    p.left("the time left after a save", p.found("the id", &longer)?.ttl, p.long())?;
    p.over();
    p.found("an id that was saved for longer, after its first time is over", &longer)?;
    p.nothing("an id that was saved for less, after that time is over", &shorter)
}

fn save_for_no_time_ends_the_session(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({}))?;
    let seen = p.found("the id", &id)?;
    done("save for no time", p.store.save(&id, &put("n", &1)?, Duration::ZERO, to(&seen.record)))?;
    p.nothing("the id", &id)
}

fn a_time_beyond_every_clock_never_ends(p: &Probe<'_>) -> Checked {
    let (created, set, touched, saved) = (new_id()?, new_id()?, p.session(json!({}))?, p.session(json!({}))?);
    let seen = p.found("the id", &saved)?;
    done("create for ever", p.store.create(&created, Record::new(), Duration::MAX))?;
    p.store.set(&set, Record::new(), Duration::MAX)?;
    done("touch for ever", p.store.touch(&touched, Duration::MAX))?;
    done("save for ever", p.store.save(&saved, &put("n", &1)?, Duration::MAX, to(&seen.record)))?;
    p.pass(1);
    for id in [created, set, touched, saved] {
        p.found("an id that never expires", &id)?;
    }
    let new = other_secret(&created)?;
    done("rotate with a grace that never ends", p.store.rotate(&created, &new, Duration::MAX))?;
    p.found("the old id in a grace that never ends", &created).map(drop)
}

fn expired_sessions_are_not_counted(p: &Probe<'_>) -> Checked {
    optional(p.store.len())?;
    p.session(json!({}))?;
    for _ in 0..3 {
        p.session_for(json!({}), p.short())?;
    }
    p.over();
    same("len with one live and three expired sessions", p.store.len()?, 1_usize)
}

fn expired_sessions_are_not_listed(p: &Probe<'_>) -> Checked {
    optional(p.store.all().map(drop))?;
    let live = p.session(json!({}))?;
    for _ in 0..3 {
        p.session_for(json!({}), p.short())?;
    }
    p.over();
    let listed: Vec<_> = p.store.all()?.map(|one| one.map(|one| one.handle)).collect::<Result<_, _>>()?;
    same("the handles of all with one live and three expired sessions", listed, vec![live.handle()])
}
