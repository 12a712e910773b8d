//! `growth`: the longest that a single login waits while the store grows from nothing to a million sessions.

use std::time::Duration;

use super::own_time;
use crate::rows::Row;
use crate::stores::{HOUR, Peer, Room};
use crate::work::Data;

/// Logins one after the other; ids and sessions are made beforehand, so that only storing them is timed.
pub fn run<P: Peer>(sessions: usize) -> Vec<Row> {
    let store = P::new(Room::Plenty);
    let mut waits: Vec<Duration> = Vec::with_capacity(sessions);
    for number in 0..sessions {
        let (id, payload) = (P::fresh(), P::prepare(&Data::new(number)));
        waits.push(own_time(|| store.insert(&id, payload, HOUR)));
    }
    waits.sort_unstable();
    let at = |share: f64| {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in the list"
        )]
        let place = ((waits.len() - 1) as f64 * share) as usize;
        waits[place].as_secs_f64() * 1e6
    };
    [("p50", 0.5), ("p99.9", 0.999), ("p99.99", 0.9999), ("worst", 1.0)]
        .into_iter()
        .map(|(case, share)| Row::new("growth", case, P::NAME, at(share), "us"))
        .collect()
}
