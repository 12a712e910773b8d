//! Aging of main: generations that advance with the visits to main's sessions.
//!
//! An abandoned session looks like one that is between two visits. Only the visits to other
//! sessions since its last visit tell them apart. A generation ends when a fifth of main's sessions
//! were visited in it, and a session that was not visited for many generations counts as abandoned.
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
/// sessions are visited equally often at random times, at most 0.6 % (0.8^23) count so by mistake.
const MAX_IDLE_GENERATIONS: u8 = 24;

/// The number of generations in which all of main is examined once.
const EXAMINATION_CYCLE: usize = 4;

#[derive(Debug)]
pub(super) struct Aging {
    /// Wraps around. A session not examined for 256 generations is then found abandoned later.
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

    /// The previous generation. A new session gets it, so that a visit in the present one counts.
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
