//! `cycle`: what one request does. It finds its session and reads two typed keys; three in ten change a key and save, the
//! others only prolong the session.

use std::hint::black_box;

use super::{operations, piece, short, threads_of};
use crate::pairs::compare;
use crate::rows::Row;
use crate::stores::{Lembro, Peer, Room};
use crate::work::{Data, Id, Spread, changes};

type Requests = (Vec<Id>, Vec<Option<u64>>);

pub(crate) fn requests<P: Peer>(store: &P, (ids, changes): &Requests) {
    for (id, change) in ids.iter().zip(changes) {
        black_box(store.cycle(id, *change).expect("it is there"));
    }
}

/// Measures one store beside lembro.
pub fn run<P: Peer>(sessions: usize, rounds: usize) -> Vec<Row> {
    let ids = Id::many(sessions);
    let base = Lembro::filled(Room::Plenty, &ids, Data::new);
    let peer = P::filled(Room::Plenty, &ids, Data::new);
    let control = Lembro::filled(Room::Plenty, &ids, Data::new);
    let mut rows = Vec::new();
    for (spread, threads, most) in [
        (Spread::Uniform, 1, 10_000),
        (Spread::Uniform, 2, 10_000),
        (Spread::Uniform, 16, 4_000),
        (Spread::Zipf, 1, 10_000),
        (Spread::Zipf, 2, 10_000),
    ] {
        let count = operations(most, threads, &|id| _ = black_box(peer.cycle(id, None)), &ids, spread);
        let draw = |count| (spread.draw(&ids, count), changes(count));
        let compared = compare(
            rounds,
            &mut || piece(most, threads, &draw, &|stream| requests(&base, stream)),
            &mut || piece(most, threads, &draw, &|stream| requests(&control, stream)),
            &mut || piece(count, threads, &draw, &|stream| requests(&peer, stream)),
        );
        let case = format!("{} {}, {}", short(sessions), spread.name(), threads_of(threads));
        rows.extend(Row::compared("cycle", case, P::NAME, compared));
    }
    // Millions of small pieces: the end of the process frees them at once.
    std::mem::forget((base, control, peer));
    rows
}
