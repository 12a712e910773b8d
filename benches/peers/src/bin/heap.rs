//! `heap`: what a session takes in memory, in its own JSON, at several fills of the tables that hold it.
//!
//! A program of its own, because its allocator counts: `heap STORE SESSIONS..` prints rows.

use allocation_counter::measure;
use peers::for_store;
use peers::rows::Row;
use peers::stores::{Lembro, Peer, Room};
use peers::work::{Data, Id};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let store = arguments.next().expect("heap STORE SESSIONS..");
    let mut rows = Vec::new();
    for sessions in arguments.map(|number| number.parse::<usize>().expect("a number")) {
        rows.extend(for_store!(store.as_str(), self::heap(sessions)));
        if store == Lembro::NAME {
            rows.push(accounted(sessions));
        }
    }
    println!("{}", serde_json::to_string(&rows).expect("plain figures"));
}

fn filled<P: Peer>(sessions: usize) -> (P, f64) {
    let ids = Id::many(sessions);
    let mut store = None;
    let allocated = measure(|| store = Some(P::filled(Room::Plenty, &ids, Data::new)));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let bytes = allocated.bytes_current as f64;
    (store.expect("it was filled"), bytes)
}

/// Of one store with so many sessions.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn heap<P: Peer>(sessions: usize) -> Vec<Row> {
    let (_store, bytes) = filled::<P>(sessions);
    let each = bytes / sessions as f64;
    let json = Data::new(0).json_len() as f64;
    vec![
        Row::new("heap", format!("{sessions} sessions, bytes each"), P::NAME, each, "B"),
        Row::new("heap", format!("{sessions} sessions"), P::NAME, each / json, "x JSON"),
    ]
}

/// How far off lembro is with what it believes that its sessions take.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn accounted(sessions: usize) -> Row {
    let (store, bytes) = filled::<Lembro>(sessions);
    let off = 100.0 * (store.0.bytes() as f64 / bytes - 1.0).abs();
    Row::new("heap", format!("{sessions} sessions, bytes() is off by"), Lembro::NAME, off, "%")
}
