//! `churn`: a full store during a flood. Ten strangers log in, each of whom puts another session out, then one real user comes
//! back.

use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{operations, piece, threads_of};
use crate::pairs::compare;
use crate::rows::Row;
use crate::stores::{HOUR, Lembro, Peer, Room};
use crate::work::{Data, Id, Spread};

const CAPACITY: usize = 20_000;
const USERS: usize = 1_000;
const STRANGERS: usize = 10;
const STEPS: usize = 1_000;

fn sample() -> Data {
    Data::new(0)
}

/// A full store with its real users.
struct Full<P> {
    store: P,
    users: Mutex<Vec<Id>>,
}

impl<P: Peer> Full<P> {
    fn new() -> Self {
        let store = P::new(Room::For(CAPACITY, sample));
        let user = |number| store.create(&Data::new(number));
        let users: Vec<Id> = (0..USERS).map(user).collect();
        // They are known, before the strangers come.
        for id in &users {
            black_box(store.get(id));
        }
        (USERS..2 * CAPACITY).for_each(|number| _ = user(number));
        Self { store, users: Mutex::new(users) }
    }

    /// Sessions of strangers, made beforehand, and the users who come back in between.
    fn draw(&self, steps: usize) -> Steps<P> {
        let strangers = (0..steps * STRANGERS).map(|number| (P::fresh(), P::prepare(&Data::new(number)))).collect();
        Mutex::new((strangers, Spread::Uniform.draw(&self.users.lock().unwrap(), steps)))
    }

    fn flood(&self, steps: &Steps<P>) {
        let (mut strangers, users) = std::mem::take(&mut *steps.lock().unwrap());
        for user in users {
            for (id, session) in strangers.drain(strangers.len() - STRANGERS..) {
                self.store.insert(&id, session, HOUR);
            }
            black_box(self.store.get(&user));
        }
    }
}

type Steps<P> = Mutex<(Vec<(Id, <P as Peer>::Payload)>, Vec<Id>)>;

/// Measures one store beside lembro.
pub fn run<P: Peer>(rounds: usize) -> Vec<Row> {
    let (base, control, peer) = (Full::<Lembro>::new(), Full::<Lembro>::new(), Full::<P>::new());
    let mut rows = Vec::new();
    for threads in [1, 2] {
        let users = peer.users.lock().unwrap().clone();
        let one = |_: &Id| peer.flood(&peer.draw(1));
        let count = operations(STEPS, threads, &one, &users, Spread::Uniform);
        let compared = compare(
            rounds,
            &mut || piece(STEPS, threads, &|steps| base.draw(steps), &|steps| base.flood(steps)),
            &mut || piece(STEPS, threads, &|steps| control.draw(steps), &|steps| control.flood(steps)),
            &mut || piece(count, threads, &|steps| peer.draw(steps), &|steps| peer.flood(steps)),
        );
        rows.extend(Row::compared("churn", threads_of(threads), P::NAME, compared));
    }
    rows
}

/// How far lembro goes over its bound while two threads flood it, in sessions, as a third one sees it.
#[expect(clippy::cast_precision_loss, reason = "a few sessions")]
pub fn bound() -> Vec<Row> {
    let full = Full::<Lembro>::new();
    let bound = full.store.0.stats().max_size;
    let (done, most) = (AtomicBool::new(false), Mutex::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let mut most = most.lock().unwrap();
                *most = full.store.0.bytes().max(*most);
            }
        });
        let flood = || (0..10).for_each(|_| full.flood(&full.draw(STEPS)));
        let second = scope.spawn(flood);
        flood();
        second.join().unwrap();
        done.store(true, Ordering::Relaxed);
    });
    let over = most.into_inner().unwrap().saturating_sub(bound);
    let sessions = over as f64 / Lembro::weight(&sample()) as f64;
    vec![Row::new("churn", "most over the bound", Lembro::NAME, sessions, "sessions")]
}
