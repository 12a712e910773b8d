//! Rules of rotating: the new id opens the session, the old one does not, or only for its grace.

use std::time::Duration;

use serde_json::json;

use super::probe::{Checked, Probe, broken, done, gone, holds, new_id, other_secret, put, record, refused, to};
use crate::error::Error;
use crate::id::SessionId;
use crate::record::Record;

super::table![
    rotate_gives_the_session_a_new_id_and_changes_nothing_else,
    the_old_id_is_dead_for_every_method,
    rotate_refuses_an_id_with_another_handle,
    rotate_takes_the_secret_of_the_session,
    rotate_never_creates,
    an_id_in_its_grace_is_told_from_the_current_one,
    an_id_in_its_grace_gets_saves_and_touches,
    an_id_in_its_grace_destroys,
    an_id_in_its_grace_does_not_rotate,
    the_old_id_is_dead_for_every_method_after_its_grace,
    the_grace_is_over_at_the_instant_it_ends,
    an_id_two_rotations_old_is_dead,
    a_rotation_without_grace_ends_an_earlier_grace,
    a_grace_ends_with_the_session,
];

/// A session, its id before and after a rotation with this grace, and its record.
fn rotated(p: &Probe<'_>, grace: Duration) -> Checked<(SessionId, SessionId, Record)> {
    let old = p.session(json!({"user": "ada"}))?;
    let seen = p.found("the id", &old)?.record;
    let new = other_secret(&old)?;
    done("rotate", p.store.rotate(&old, &new, grace))?;
    Ok((old, new, seen))
}

fn rotate_gives_the_session_a_new_id_and_changes_nothing_else(p: &Probe<'_>) -> Checked {
    for grace in [Duration::ZERO, p.long()] {
        let old = p.session(json!({"user": "ada"}))?;
        let seen = p.found("the old id", &old)?;
        let new = other_secret(&old)?;
        done("rotate", p.store.rotate(&old, &new, grace))?;
        p.unchanged("the session with its new id", &new, &seen)?;
        // The request that logs in read the session before it rotated: its save still fits.
        done("save with the new id", p.store.save(&new, &put("in", &true)?, p.long(), to(&seen.record)))?;
        holds("the entries", &p.found("the new id", &new)?.record, json!({"user": "ada", "in": true}))?;
    }
    Ok(())
}

fn the_old_id_is_dead_for_every_method(p: &Probe<'_>) -> Checked {
    let (old, new, seen) = rotated(p, Duration::ZERO)?;
    let before = p.found("the new id", &new)?;
    p.dead("an id that was rotated away", &old, &seen)?;
    p.unchanged("the session", &new, &before)
}

fn rotate_refuses_an_id_with_another_handle(p: &Probe<'_>) -> Checked {
    let (id, other) = (p.session(json!({"user": "ada"}))?, new_id()?);
    let seen = p.found("the id", &id)?;
    let rotated = p.store.rotate(&id, &other, Duration::ZERO);
    refused("rotate to an id with another handle", rotated, Error::is_id, "is_id")?;
    p.unchanged("the session", &id, &seen)?;
    p.nothing("the refused id", &other)
}

fn rotate_takes_the_secret_of_the_session(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({"user": "ada"}))?;
    let (wrong, new) = (other_secret(&id)?, other_secret(&id)?);
    for grace in [Duration::ZERO, p.long()] {
        gone("rotate with a wrong secret", p.store.rotate(&wrong, &new, grace))?;
        p.nothing("the id it wanted", &new)?;
        p.nothing("the wrong id", &wrong)?;
        p.found("the right id", &id)?;
    }
    Ok(())
}

fn rotate_never_creates(p: &Probe<'_>) -> Checked {
    let (unknown, destroyed) = (new_id()?, p.session(json!({}))?);
    done("destroy", p.store.destroy(&destroyed))?;
    for (whose, id) in [("an unknown id", unknown), ("a destroyed id", destroyed)] {
        let new = other_secret(&id)?;
        gone(&format!("rotate with {whose}"), p.store.rotate(&id, &new, p.long()))?;
        p.nothing(whose, &id)?;
        p.nothing(&format!("the new id for {whose}"), &new)?;
    }
    Ok(())
}

fn an_id_in_its_grace_is_told_from_the_current_one(p: &Probe<'_>) -> Checked {
    let (old, new, _) = rotated(p, p.long())?;
    for (whose, id, expected) in [("the old id, in its grace", old, true), ("the new id", new, false)] {
        let stored = p.found(whose, &id)?;
        if stored.in_grace != expected {
            return broken(format!("{whose} got a session with `in_grace` {}", stored.in_grace));
        }
    }
    Ok(())
}

fn an_id_in_its_grace_gets_saves_and_touches(p: &Probe<'_>) -> Checked {
    let (old, new, seen) = rotated(p, p.long())?;
    holds("the entries", &p.found("the old id", &old)?.record, json!({"user": "ada"}))?;
    done("save with the old id", p.store.save(&old, &put("cart", &1)?, p.long(), to(&seen)))?;
    done("touch with the old id", p.store.touch(&old, p.long() * 2))?;
    // One session: what the old id did is seen with the new one, which stays the session's id.
    let stored = p.found("the new id", &new)?;
    holds("the entries", &stored.record, json!({"user": "ada", "cart": 1}))?;
    p.left("the time left", stored.ttl, p.long() * 2)?;
    done("rotate with the new id", p.store.rotate(&new, &other_secret(&new)?, Duration::ZERO))
}

fn an_id_in_its_grace_destroys(p: &Probe<'_>) -> Checked {
    let (old, new, seen) = rotated(p, p.long())?;
    done("destroy with the old id", p.store.destroy(&old))?;
    p.dead("the old id of a destroyed session", &old, &seen)?;
    p.dead("the new id of a destroyed session", &new, &seen)
}

fn an_id_in_its_grace_does_not_rotate(p: &Probe<'_>) -> Checked {
    let (old, new, _) = rotated(p, p.long())?;
    let third = other_secret(&old)?;
    gone("rotate with the old id", p.store.rotate(&old, &third, Duration::ZERO))?;
    p.nothing("the id it wanted", &third)?;
    p.found("the new id", &new).map(drop)
}

fn the_old_id_is_dead_for_every_method_after_its_grace(p: &Probe<'_>) -> Checked {
    let (old, new, seen) = rotated(p, p.short())?;
    p.over();
    let before = p.found("the new id", &new)?;
    p.dead("an id after its grace", &old, &seen)?;
    p.unchanged("the session", &new, &before)
}

fn the_grace_is_over_at_the_instant_it_ends(p: &Probe<'_>) -> Checked {
    let clock = p.clock()?;
    let (old, _, seen) = rotated(p, p.units(1))?;
    let last = Duration::from_secs(1);
    clock.advance(p.units(1).saturating_sub(last));
    p.found("the old id, a second before its grace ends", &old)?;
    clock.advance(last);
    p.dead("an id whose grace ends in this instant", &old, &seen)
}

fn an_id_two_rotations_old_is_dead(p: &Probe<'_>) -> Checked {
    let (first, second, seen) = rotated(p, p.long())?;
    let third = other_secret(&second)?;
    done("rotate again", p.store.rotate(&second, &third, p.long()))?;
    p.dead("the id before the last one", &first, &seen)?;
    p.found("the last id, in its grace", &second)?;
    p.found("the new id", &third).map(drop)
}

fn a_rotation_without_grace_ends_an_earlier_grace(p: &Probe<'_>) -> Checked {
    let (first, second, seen) = rotated(p, p.long())?;
    let third = other_secret(&second)?;
    done("rotate again, without grace", p.store.rotate(&second, &third, Duration::ZERO))?;
    p.dead("the id before the last one", &first, &seen)?;
    p.dead("the last id", &second, &seen)?;
    p.found("the new id", &third).map(drop)
}

fn a_grace_ends_with_the_session(p: &Probe<'_>) -> Checked {
    let (old, new, _) = rotated(p, p.long())?;
    done("destroy with the new id", p.store.destroy(&new))?;
    p.nothing("the old id of a destroyed session", &old)?;
    done("create again", p.store.create(&new, record(json!({"user": "bob"})), p.long()))?;
    let second = p.found("the id of the second session", &new)?;
    p.dead("an old id of the first session", &old, &second.record)?;
    p.unchanged("the second session", &new, &second)
}
