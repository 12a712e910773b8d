//! The start: fills a new store with the sessions of the files, and says what is wrong with them.

use std::fs::{self, File};
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use super::format::{self, Noon};
use super::place::{Place, Problem};
use super::reader::{self, Contents};
use super::replay::{Pool, Replay, Touches};
use super::{Restored, journal};
use crate::event::Event;
use crate::memory::shard::Kept;
use crate::memory::shards::Shards;

/// Fills a new store with the sessions of the files. Returns what is wrong with them, if `salvage`
/// reads on all the same, and the generation of the last journal.
pub(super) fn load(
    shards: &Shards,
    place: &Place,
    salvage: bool,
    elapsed: impl Fn() -> Duration,
) -> Result<(Option<Problem>, u64), Problem> {
    let generations = place.journals().map_err(|error| format!("its folder cannot be read: {error}"))?;
    let mut noon = Noon::of(&shards.clock);
    let (mut found, mut touches) = (Vec::new(), Touches::new(noon.wall));
    for generation in &generations {
        let journal = journal::read(&place.journal(*generation), *generation, |frame| touches.frame(frame));
        // If the calendar was set back since, that prolongs no session.
        noon.wall = noon.wall.max(journal.wall);
        found.push((*generation, journal));
    }
    let mut pool = Pool::new(shards.max_size);
    let contents = read_snapshot(place, noon, &touches, |kept| pool.add(kept));
    noon.wall = noon.wall.max(contents.as_ref().map_or(0, |contents| contents.taken_at));
    let last = generations.last().copied().unwrap_or(0).max(contents.as_ref().map_or(0, |contents| contents.base));
    found.retain(|(generation, _)| contents.as_ref().is_none_or(|contents| *generation >= contents.base));
    let damage = damage(contents.as_ref(), &found);
    if let Some(problem) = damage.clone().filter(|_| !salvage) {
        return Err(problem);
    }
    let Some(contents) = contents.or_else(|| damage.as_ref().map(|_| Contents::default())) else {
        return Ok((None, last));
    };
    shards.epochs.resume(contents.epoch.unwrap_or(0));
    shards.note_evicted(pool.evicted);
    shards.begin_load();
    let done = shards.readmit(pool.kept);
    let mut replay = Replay::new(shards, noon, &touches);
    for (generation, _) in &found {
        journal::read(&place.journal(*generation), *generation, |frame| replay.frame(frame));
    }
    let damage =
        damage.or_else(|| (!replay.is_sound).then(|| "its journal holds something that is no change".to_owned()));
    if let Some(problem) = damage.clone().filter(|_| !salvage) {
        return Err(problem);
    }
    if damage.is_some() {
        // A lost epoch is replaced by a later one, which is safe.
        shards.epochs.resume(noon.wall.min(format::MAX_COUNT));
    }
    let surplus = shards.end_load();
    let restored = Restored {
        taken_at: UNIX_EPOCH.checked_add(Duration::from_nanos(contents.taken_at)).unwrap_or(UNIX_EPOCH),
        took: elapsed(),
        sessions: shards.len(),
        changes: replay.done.changes,
        expired: contents.expired,
        evicted: pool.evicted + done.evicted + replay.done.evicted + surplus,
        refused: done.refused + replay.done.refused,
    };
    *shards.restored.lock() = Some(restored);
    let Restored { sessions, expired, evicted, refused, took, .. } = restored;
    shards.events.leave(Event::Restored { sessions, expired, evicted, refused, took });
    Ok((damage, last))
}

/// The first thing that is wrong with the files that a store begins with.
fn damage(contents: Option<&Contents>, journals: &[(u64, journal::Found)]) -> Option<Problem> {
    if let Some(problem) = contents.and_then(|contents| contents.damage.as_ref()) {
        return Some(format!("the snapshot: {problem}"));
    }
    let first = contents.map_or(1, |contents| contents.base);
    for (expected, (number, (generation, found))) in (first..).zip(journals.iter().enumerate()) {
        if *generation != expected {
            return Some(format!("journal {expected} is missing"));
        }
        if let Some(problem) = &found.damage {
            return Some(format!("journal {generation}: {problem}"));
        }
        if let Some((next, after)) = journals.get(number + 1).filter(|(_, after)| after.before > found.length) {
            return Some(format!(
                "journal {generation}: it is shorter than it was when journal {next} began ({} bytes)",
                after.before
            ));
        }
        if contents.is_none() && found.wall > 0 {
            return Some("its journal is there, and the snapshot is missing".to_owned());
        }
    }
    match contents {
        Some(contents) if journals.is_empty() => Some(format!("journal {} is missing", contents.base)),
        _ => None,
    }
}

/// `None`: the file does not exist, as at the first start.
fn read_snapshot(place: &Place, noon: Noon, touches: &Touches, keep: impl FnMut(Kept)) -> Option<Contents> {
    let unreadable =
        |error: &io::Error| Contents { damage: Some(format!("it cannot be read: {error}")), ..Contents::default() };
    match fs::metadata(place.target()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return Some(unreadable(&error)),
        Ok(_) => {}
    }
    let opened = File::open(place.target()).and_then(|file| Ok((file.metadata()?.len(), file)));
    Some(match opened {
        Err(error) => unreadable(&error),
        // Most of the file is read in chunks that are larger than the buffer and bypass it.
        Ok((size, file)) => reader::read(io::BufReader::new(file), size, noon, touches, keep),
    })
}
