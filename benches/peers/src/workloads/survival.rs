//! `survival`: whether real users keep their sessions while bots log in ten times as often and never come back.
//!
//! Each user comes back twenty times after logging in, then leaves, and another one comes. Who has lost the session logs in again. Users come
//! either in bursts of four requests, as a browser loads pages, or at any time, *memoryless*. Counted from the third generation of users on.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::rows::Row;
use crate::stores::{Peer, Room};
use crate::work::{Data, Id};

const CAPACITY: usize = 2_500;
const REQUESTS: usize = 20;
const BOTS: usize = 10;

fn sample() -> Data {
    Data::new(0)
}

struct User {
    id: Id,
    /// Requests until they leave.
    left: usize,
    lost: bool,
}

#[derive(Default)]
struct Counts {
    requests: usize,
    hits: usize,
    lives: usize,
    whole: usize,
}

struct Flood<P> {
    store: P,
    users: Vec<User>,
    logins: usize,
    counts: Counts,
}

impl<P: Peer> Flood<P> {
    fn log_in(&mut self) -> Id {
        self.logins += 1;
        self.store.create(&Data::new(self.logins))
    }

    /// One request of a real user, and the bots that come meanwhile.
    fn request(&mut self, user: usize) {
        for _ in 0..BOTS {
            self.log_in();
        }
        self.counts.requests += 1;
        if self.store.get(&self.users[user].id).is_some() {
            self.counts.hits += 1;
        } else {
            self.users[user].id = self.log_in();
            self.users[user].lost = true;
        }
        self.users[user].left -= 1;
        if self.users[user].left == 0 {
            self.counts.lives += 1;
            self.counts.whole += usize::from(!self.users[user].lost);
            self.users[user] = User { id: self.log_in(), left: REQUESTS, lost: false };
        }
    }
}

/// Of one store, with so many percent of the capacity in real users who come in bursts of so many requests.
pub fn run<P: Peer>(percent: usize, burst: usize) -> Vec<Row> {
    let mut random = StdRng::seed_from_u64(1);
    let users = CAPACITY * percent / 100;
    let store = P::new(Room::For(CAPACITY, sample));
    let mut flood = Flood { store, users: Vec::new(), logins: 0, counts: Counts::default() };
    for _ in 0..users {
        let id = flood.log_in();
        // Not all of them at the same point of their lives.
        let left = random.random_range(1..=REQUESTS);
        flood.users.push(User { id, left, lost: false });
    }
    // Two generations of users until nobody remembers the empty store, and one to be counted; of a few users more of them.
    let generation = (users * REQUESTS).max(2 * CAPACITY);
    for number in 0..3 {
        if number == 2 {
            flood.counts = Counts::default();
        }
        for _ in 0..generation / burst {
            let user = random.random_range(0..users);
            (0..burst).for_each(|_| flood.request(user));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "counts")]
    let share = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
    let counts = flood.counts;
    let kind = if burst == 1 { "memoryless" } else { "bursts" };
    let row = |what: &str, value| Row::new("survival", format!("{kind}, {percent} %, {what}"), P::NAME, value, "%");
    vec![row("hits", share(counts.hits, counts.requests)), row("whole lives", share(counts.whole, counts.lives))]
}
