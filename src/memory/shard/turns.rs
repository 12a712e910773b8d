//! Aging: finds the abandoned sessions in main. Time is counted in turns, and visits to main's
//! sessions advance it.
//!
//! At any moment an abandoned session looks like one that is between two visits. The difference is
//! how often other sessions were visited since. A turn ends when a fifth of main's sessions were
//! visited in it, however often each; a session that was not visited for many turns is abandoned.
//! Seconds would not do, because a chat and a tax form are visited at different rates. The number
//! of evictions would not do either, because a flood drives it. A flood reads nothing, so it does
//! not advance the turn.

use super::Shard;
use crate::record::{Class, Record};
use crate::sync::{AtomicU32, Ordering};

/// One in so many sessions in main is visited in a turn. If fewer are ever in use, the turn does
/// not advance: a few busy sessions say nothing about the others.
const VISITED: usize = 5;

/// After so many turns without a visit a session counts as abandoned. If all sessions are visited
/// equally often at random times, that is wrong for one in a thousand.
const PATIENCE: u8 = 24;

/// All of main is examined once in so many turns.
const LAP: usize = 4;

/// How many sessions are examined in one eviction, to bound the time of an insert.
const LOOKS: usize = 16;

#[derive(Debug)]
pub(super) struct Turns {
    /// Wraps around: a session that is not examined for that long is found some turns later.
    turn: u8,
    /// How many sessions in main were visited in this turn.
    visitors: AtomicU32,
    /// How many sessions are still to be examined in this turn.
    looks: usize,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { turn: 0, visitors: AtomicU32::new(0), looks: 0 }
    }

    /// The turn that a new session gets: the one before, so that a visit in this one counts.
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
    /// Notes a visit to a session. Runs under the read lock, and writes only once in a turn, so
    /// that other readers find the cache line clean.
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

    /// An abandoned session in main, if there is one among the next to be examined.
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
