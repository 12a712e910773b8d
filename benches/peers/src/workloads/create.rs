//! `create`: a login. A fresh id, a session built from what the application knows, and its place in a store that grows from empty.
//!
//! Each store has a process of its own every time: what a large one leaves behind in the allocator would slow the next one down.

use std::hint::black_box;

use super::threads_of;
use crate::child;
use crate::pairs::{compare, side_by_side};
use crate::rows::Row;
use crate::stores::{Peer, Room};
use crate::work::Data;

const SESSIONS: usize = 30_000;

/// What so many logins took in each of the threads, per login.
pub fn run<P: Peer>(threads: usize) -> Vec<Row> {
    let store = P::new(Room::Plenty);
    let users: Vec<Vec<Data>> = (0..threads)
        .map(|thread| (0..SESSIONS).map(|number| Data::new(thread * SESSIONS + number)).collect())
        .collect();
    let log_in = |user: &Data| _ = black_box(store.create(user));
    let works = users.iter().map(|users| Box::new(|| users.iter().for_each(log_in)) as Box<dyn FnOnce() + Send>);
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let each = side_by_side(works.collect()).as_secs_f64() * 1e9 / SESSIONS as f64;
    vec![Row::new("create", threads_of(threads), P::NAME, each, "ns")]
}

/// Measures one store beside lembro, with processes in pairs.
pub fn compared(store: &str, threads: usize, rounds: usize) -> Vec<Row> {
    let one = |store: &str| child::measure("create", store, &[threads])[0].value;
    let compared = compare(rounds, &mut || one("lembro"), &mut || one("lembro"), &mut || one(store));
    Row::compared("create", threads_of(threads), store, compared)
}
