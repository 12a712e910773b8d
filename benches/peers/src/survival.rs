//! Users' sessions beside bots: the share of requests that find their session in a full store.
//!
//! Each user visits twenty times after logging in, then leaves, and another one comes. A user
//! without a session logs in again. For each visit ten bots log in, which never return. Visits come
//! in bursts of four, as a browser loads pages, or one at a time. The first two generations of
//! users only fill the store.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::measure::{Row, scaled};
use crate::peer::{Capacity, Peer};
use crate::sessions::{Data, Id};

const VISITS: usize = 20;
const BOTS: usize = 10;

struct User {
    id: Id,
    visits_left: usize,
}

struct Flood<P> {
    store: P,
    users: Vec<User>,
    logins: usize,
}

impl<P: Peer> Flood<P> {
    fn log_in(&mut self) -> Id {
        self.logins += 1;
        self.store.log_in(&Data::new(self.logins))
    }

    /// Ten bots, then a visit of a user. Returns true if the session was found.
    fn visit(&mut self, user: usize) -> bool {
        for _ in 0..BOTS {
            self.log_in();
        }
        let found = self.store.get(&self.users[user].id).is_some();
        if !found {
            self.users[user].id = self.log_in();
        }
        self.users[user].visits_left -= 1;
        if self.users[user].visits_left == 0 {
            self.users[user] = User { id: self.log_in(), visits_left: VISITS };
        }
        found
    }
}

/// Users that take 20, 50 and 80 % of the capacity, with both kinds of visits.
pub fn survival<P: Peer>() -> Vec<Row> {
    let cases = [20, 50, 80].into_iter().flat_map(|percent| [(percent, 4, "in bursts"), (percent, 1, "at random")]);
    cases.map(|(percent, burst, kind)| case::<P>(percent, burst, kind)).collect()
}

fn case<P: Peer>(percent: usize, burst: usize, kind: &str) -> Row {
    let capacity = scaled(2_500);
    let mut random = StdRng::seed_from_u64(1);
    let mut flood = Flood { store: P::new(Capacity::Sessions(capacity)), users: Vec::new(), logins: 0 };
    let count = capacity * percent / 100;
    for _ in 0..count {
        let user = User { id: flood.log_in(), visits_left: random.random_range(1..=VISITS) };
        flood.users.push(user);
    }
    let generation = (count * VISITS).max(2 * capacity);
    let (mut visits, mut found) = (0, 0);
    for number in 0..3 {
        for _ in 0..generation / burst {
            let user = random.random_range(0..count);
            let hits = (0..burst).filter(|_| flood.visit(user)).count();
            if number == 2 {
                visits += burst;
                found += hits;
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "counts")]
    let share = 100.0 * found as f64 / visits as f64;
    Row::new(
        &format!("users' sessions kept beside bots, users {percent} % of the capacity, {kind}"),
        P::NAME,
        share,
        "%",
    )
}
