//! Aging of main: generations that advance with the visits to main's sessions.
//!
//! At any moment an abandoned session looks like one that is between two visits. They differ in how
//! often other sessions were visited since. A generation ends when a fifth of main's sessions were
//! visited in it, and a session that was not visited for many generations counts as abandoned.
//!
//! Seconds would not do as a measure, because a chat and a tax form are visited at different rates.
//! The number of evictions would not do either, because a flood of new sessions drives it. A flood
//! reads nothing, so it does not advance the generation.

use crate::record::Record;
use crate::sync::{AtomicU32, Ordering};

/// The divisor for the share of main's sessions that are visited in a generation. If fewer are in
/// use, the generation does not advance, because a few busy sessions say nothing about the others.
const VISITED_SHARE: usize = 5;

/// The number of generations without a visit after which a session counts as abandoned. If all
/// sessions are visited equally often at random times, that is wrong for one in a thousand.
const MAX_IDLE_GENERATIONS: u8 = 24;

/// All of main is examined once in so many generations.
const EXAMINATION_CYCLE: usize = 4;

#[derive(Debug)]
pub(super) struct Aging {
    /// Wraps around: a session that is not examined for 256 generations is found some later.
    generation: u8,
    /// How many of main's sessions were visited in this generation.
    visitors: AtomicU32,
    /// How many sessions are left to examine in this generation.
    pub(super) unexamined: usize,
}

impl Aging {
    pub(super) fn new() -> Self {
        Self { generation: 0, visitors: AtomicU32::new(0), unexamined: 0 }
    }

    /// The generation that a new session gets: the last one, so that a visit in this one counts.
    pub(super) fn last_generation(&self) -> u8 {
        self.generation.wrapping_sub(1)
    }

    /// Begins the next generation if enough of main's `sessions` were visited.
    pub(super) fn advance(&mut self, sessions: usize) {
        let visitors = self.visitors.get_mut();
        if *visitors as usize > sessions / VISITED_SHARE {
            *visitors = 0;
            self.generation = self.generation.wrapping_add(1);
            self.unexamined = sessions.div_ceil(EXAMINATION_CYCLE);
        }
    }

    /// Notes a visit to a session in main. It writes only once in a generation, so that other
    /// readers find the cache line clean.
    pub(super) fn visit(&self, record: &Record) {
        let generation = &record.state().generation;
        if generation.load(Ordering::Relaxed) != self.generation {
            generation.store(self.generation, Ordering::Relaxed);
            self.visitors.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn is_abandoned(&self, record: &Record) -> bool {
        self.generation.wrapping_sub(record.state().generation.load(Ordering::Relaxed)) >= MAX_IDLE_GENERATIONS
    }
}
