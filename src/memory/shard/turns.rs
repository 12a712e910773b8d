//! Turns: the time in which main's sessions grow old, measured in how many of them are visited.
//!
//! Who has left looks like who has not come back yet. What tells them apart is how often the others came meanwhile. A turn is over when a
//! fifth of main's sessions were visited in it, however often each; whom nobody visited for many turns has left. Seconds
//! would not do, a chat and a tax form have different ones; nor the number of evictions, for then a flood would make time fly. A
//! flood visits nothing, and time stands still.

use super::Shard;
use crate::record::{Class, Record};
use crate::sync::{AtomicU32, Ordering};

/// One in so many sessions in main is visited in a turn. If there are never as many in use, none is judged by them: a few busy ones
/// are not everybody.
const VISITED: usize = 5;

/// After so many turns a session that nobody visited counts as left. Of sessions that are visited equally often, at any time,
/// one in a thousand is unlucky.
const PATIENCE: u8 = 24;

/// In so many turns all of main is looked at once.
const LAP: usize = 4;

/// How many sessions are looked at in one eviction: it bounds how long an insert can take.
const LOOKS: usize = 16;

#[derive(Debug)]
pub(super) struct Turns {
    /// Goes round: a session that is forgotten for so long is found some turns later.
    turn: u8,
    /// How many sessions in main were visited in this turn.
    visitors: AtomicU32,
    /// How many are still to be looked at in this turn.
    looks: usize,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { turn: 0, visitors: AtomicU32::new(0), looks: 0 }
    }

    /// What newcomers are noted with: the turn before, so that a visit in this one counts.
    pub(super) fn last(&self) -> u8 {
        self.turn.wrapping_sub(1)
    }

    fn advance(&mut self, sessions: usize) {
        let visitors = self.visitors.get_mut();
        if *visitors as usize > sessions / VISITED {
            *visitors = 0;
            self.turn = self.turn.wrapping_add(1);
            self.looks = sessions.div_ceil(LAP);
        }
    }

    fn has_left(&self, record: &Record) -> bool {
        self.turn.wrapping_sub(record.state().turn.load(Ordering::Relaxed)) >= PATIENCE
    }
}

impl Shard {
    /// Somebody came back to a session. Under the read lock, and written only once in a turn: a second reader must not find the
    /// line dirty.
    pub(in crate::memory) fn visit(&self, record: &Record) {
        let state = record.state();
        if !state.visited.load(Ordering::Relaxed) {
            state.visited.store(true, Ordering::Relaxed);
        }
        if state.class() == Class::Main && state.turn.load(Ordering::Relaxed) != self.turns.turn {
            state.turn.store(self.turns.turn, Ordering::Relaxed);
            self.turns.visitors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A session in main that somebody has left, if there is one among the next that are to be looked at.
    pub(super) fn left_behind(&mut self, keep: u32) -> Option<u32> {
        self.turns.advance(self.queue.len_of(Class::Main));
        for _ in 0..LOOKS.min(self.turns.looks) {
            self.turns.looks -= 1;
            let slot = self.queue.oldest(Class::Main, Some(keep))?;
            if self.turns.has_left(self.in_slot(slot)?) {
                return Some(slot);
            }
            self.move_to(slot, Class::Main, Class::Main);
        }
        None
    }
}
