//! The paired workloads: a lookup, a request, a login, and new visitors in a full store.

use std::hint::black_box;
use std::mem;
use std::sync::Mutex;

use crate::measure::{Row, compare, in_a_process, piece, scaled};
use crate::peer::{Capacity, Peer};
use crate::sessions::{Data, HOUR, Id, changes};
use crate::stores::Lembro;

const SESSIONS: usize = 100_000;
const OPERATIONS: usize = 10_000;

/// Finding a session and dropping it again.
pub fn find<P: Peer>() -> Vec<Row> {
    let ids = Id::many(scaled(SESSIONS));
    let (base, control, peer) = (Lembro::filled(&ids), Lembro::filled(&ids), P::filled(&ids));
    let draw = |count| Id::requests(&ids, count);
    compare(
        "find one of 100,000 sessions",
        P::NAME,
        || piece(OPERATIONS, 1, draw, |ids: &Vec<Id>| lookups(&base, ids)),
        || piece(OPERATIONS, 1, draw, |ids: &Vec<Id>| lookups(&control, ids)),
        || piece(OPERATIONS, 1, draw, |ids: &Vec<Id>| lookups(&peer, ids)),
    )
}

/// Each lookup's address depends on the result of the one before, because a request waits for its
/// session. Otherwise the processor would overlap the cache misses of independent lookups.
fn lookups<P: Peer>(store: &P, ids: &[Id]) {
    let zero = black_box(0);
    let mut found = 0;
    for number in 0..ids.len() {
        let next = number + (usize::try_from(found).unwrap_or(0) & zero);
        found = store.get(&ids[next]).expect("it is there");
    }
    black_box(found);
}

/// Finding a session, reading two typed keys, and saving one or prolonging; with 1 and 2 threads.
pub fn request<P: Peer>() -> Vec<Row> {
    type Requests = (Vec<Id>, Vec<Option<u64>>);
    fn requests<P: Peer>(store: &P, (ids, changes): &Requests) {
        for (id, change) in ids.iter().zip(changes) {
            black_box(store.request(id, *change).expect("it is there"));
        }
    }
    let ids = Id::many(scaled(SESSIONS));
    let (base, control, peer) = (Lembro::filled(&ids), Lembro::filled(&ids), P::filled(&ids));
    let draw = |count| (Id::requests(&ids, count), changes(count));
    let titles = ["a request: find, read two keys, save or prolong", "the same in 2 threads"];
    let rows = titles.into_iter().zip([1, 2]).flat_map(|(title, threads)| {
        compare(
            title,
            P::NAME,
            || piece(OPERATIONS, threads, draw, |stream| requests(&base, stream)),
            || piece(OPERATIONS, threads, draw, |stream| requests(&control, stream)),
            || piece(OPERATIONS, threads, draw, |stream| requests(&peer, stream)),
        )
    });
    rows.collect()
}

const LOGIN: &str = "a login";

/// A fresh id, a session of the application's data, and its insert into a store that grows from
/// empty. Each store is in a process of its own every time.
pub fn login<P: Peer>() -> Vec<Row> {
    let one = |store| in_a_process("one login", store)[0].value;
    compare(LOGIN, P::NAME, || one(Lembro::NAME), || one(Lembro::NAME), || one(P::NAME))
}

/// The time of a login in this process.
pub fn one_login<P: Peer>() -> Vec<Row> {
    let store = P::new(Capacity::Unlimited);
    let draw = |count| (0..count).map(Data::new).collect();
    let log_in = |users: &Vec<Data>| users.iter().for_each(|user| _ = black_box(store.log_in(user)));
    vec![Row::new(LOGIN, P::NAME, piece(scaled(30_000), 1, draw, log_in), "ns")]
}

const FULL: usize = 20_000;
const USERS: usize = 1_000;
const VISITORS: usize = 10;

/// A full store with its users.
struct Full<P> {
    store: P,
    users: Vec<Id>,
}

/// New visitors with their sessions, and the users that return in between.
type Steps<P> = Mutex<(Vec<(Id, <P as Peer>::Payload)>, Vec<Id>)>;

impl<P: Peer> Full<P> {
    fn new() -> Self {
        let store = P::new(Capacity::Sessions(FULL));
        let log_in = |number| store.log_in(&Data::new(number));
        let users: Vec<Id> = (0..USERS).map(log_in).collect();
        // A second visit, by which a store can tell them from the visitors.
        users.iter().for_each(|id| _ = black_box(store.get(id)));
        (USERS..2 * FULL).for_each(|number| _ = log_in(number));
        Self { store, users }
    }

    /// The visitors' sessions are made beforehand, so that only storing them is timed.
    fn draw(&self, steps: usize) -> Steps<P> {
        let visitors = (0..steps * VISITORS).map(|number| (P::fresh(), P::prepare(&Data::new(number)))).collect();
        Mutex::new((visitors, Id::requests(&self.users, steps)))
    }

    fn flood(&self, steps: &Steps<P>) {
        let (mut visitors, users) = mem::take(&mut *steps.lock().unwrap());
        for user in users {
            for (id, session) in visitors.drain(visitors.len() - VISITORS..) {
                self.store.insert(&id, session, HOUR);
            }
            black_box(self.store.get(&user));
        }
    }

    fn piece(&self) -> f64 {
        piece(1_000, 1, |steps| self.draw(steps), |steps| self.flood(steps))
    }
}

/// Ten new visitors, each of whom makes the store evict a session, and one lookup of a user.
pub fn visitors<P: Peer>() -> Vec<Row> {
    let (base, control, peer) = (Full::<Lembro>::new(), Full::<Lembro>::new(), Full::<P>::new());
    let title = "10 new visitors in a store that is full";
    compare(title, P::NAME, || base.piece(), || control.piece(), || peer.piece())
}
