//! `get`: finding a session by its id, among 100,000 or a million, and dropping it again.
//!
//! *Serialized* is what a request's handler waits: each lookup needs the result of the one before. *Throughput* lets the processor overlap
//! independent lookups, which hides their cache misses from each other.

use std::hint::black_box;

use super::{operations, piece, short, threads_of};
use crate::pairs::compare;
use crate::rows::Row;
use crate::stores::{Lembro, Peer, Room};
use crate::work::{Data, Id, Spread};

const OPERATIONS: usize = 10_000;

/// Each lookup's address depends on what the one before found.
pub(crate) fn serialized<P: Peer>(store: &P, ids: &[Id]) {
    let nothing = black_box(0);
    let mut found = 0;
    for number in 0..ids.len() {
        let next = number + (usize::try_from(found).unwrap_or(0) & nothing);
        found = store.get(&ids[next]).expect("it is there");
    }
    black_box(found);
}

pub(crate) fn throughput<P: Peer>(store: &P, ids: &[Id]) {
    for id in ids {
        black_box(store.get(id).expect("it is there"));
    }
}

/// Measures one store beside lembro.
pub fn run<P: Peer>(sessions: usize, rounds: usize) -> Vec<Row> {
    let ids = Id::many(sessions);
    let base = Lembro::filled(Room::Plenty, &ids, Data::new);
    let peer = P::filled(Room::Plenty, &ids, Data::new);
    let control = Lembro::filled(Room::Plenty, &ids, Data::new);
    let mut rows = Vec::new();
    for spread in [Spread::Uniform, Spread::Zipf] {
        for threads in [1, 2] {
            let count = operations(OPERATIONS, threads, &|id| _ = black_box(peer.get(id)), &ids, spread);
            let draw = |count| spread.draw(&ids, count);
            let mut add = |view: &str, compared| {
                let case = format!("{} {}, {}, {view}", short(sessions), spread.name(), threads_of(threads));
                rows.extend(Row::compared("get", case, P::NAME, compared));
            };
            add(
                "serialized",
                compare(
                    rounds,
                    &mut || piece(OPERATIONS, threads, &draw, &|ids| serialized(&base, ids)),
                    &mut || piece(OPERATIONS, threads, &draw, &|ids| serialized(&control, ids)),
                    &mut || piece(count, threads, &draw, &|ids| serialized(&peer, ids)),
                ),
            );
            add(
                "throughput",
                compare(
                    rounds,
                    &mut || piece(OPERATIONS, threads, &draw, &|ids| throughput(&base, ids)),
                    &mut || piece(OPERATIONS, threads, &draw, &|ids| throughput(&control, ids)),
                    &mut || piece(count, threads, &draw, &|ids| throughput(&peer, ids)),
                ),
            );
        }
    }
    // Millions of small pieces: the end of the process frees them at once.
    std::mem::forget((base, control, peer));
    rows
}
