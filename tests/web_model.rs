//! A browser whose requests and responses overtake each other and are lost, against what its user
//! would expect.
//!
//! Properties: (1) from the login's response on, every request that the browser sends is the
//! user's, whatever order the others take, as long as none is under way for longer than a grace,
//! and the id changes once in that time; (2) what a response said was saved is there; (3) no more
//! than the browser's own sessions are stored; (4) every counter, queue and index of the store
//! recomputes.
#![cfg(feature = "web")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod session_support;

use std::collections::BTreeMap;
use std::time::Duration;

use lembro::web::{CookieLifetime, CookieOptions, RequestHead};
use lembro::{Saved, Session, SessionId, Store};
use proptest::prelude::*;
use session_support::site::{Site, id_of, renewing, sent_back};
use session_support::{HOUR, MINUTE, validate};

const USER: &str = "user-42";

#[derive(Clone, Debug)]
enum Step {
    /// The browser sends a request with the cookie that it has.
    Send,
    /// The handler of a request that is under way looks at its session.
    Look(usize),
    Insert(usize, u8),
    /// It saves before it ends.
    Save(usize),
    /// The request ends; its response is under way.
    Finish(usize),
    /// The handler fails: nothing more is saved, and the response has what it owes.
    Abandon(usize),
    /// A response arrives.
    Deliver(usize),
    /// A response is lost.
    Lose(usize),
    /// A login with the browser's cookie; its response arrives after those of others, or before.
    LogIn,
    /// Rights are gained: a new id.
    Regenerate,
    Seconds(u64),
    Minutes(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let any = || any::<usize>();
    prop_oneof![
        6 => Just(Step::Send),
        4 => any().prop_map(Step::Look),
        4 => (any(), 0..4_u8).prop_map(|(request, key)| Step::Insert(request, key)),
        2 => any().prop_map(Step::Save),
        6 => any().prop_map(Step::Finish),
        1 => any().prop_map(Step::Abandon),
        6 => any().prop_map(Step::Deliver),
        2 => any().prop_map(Step::Lose),
        1 => Just(Step::LogIn),
        1 => Just(Step::Regenerate),
        4 => (1..30_u64).prop_map(Step::Seconds),
        2 => (1..40_u64).prop_map(Step::Minutes),
    ]
}

struct Request {
    session: Session,
    sent_at: Duration,
    is_users: bool,
    inserted: BTreeMap<String, u32>,
}

struct Response {
    set_cookie: Option<String>,
    since: Duration,
}

struct Browser {
    site: Site,
    cookie: String,
    is_logged_in: bool,
    under_way: Vec<Request>,
    responses: Vec<Response>,
    /// What responses said was saved since the login.
    saved: BTreeMap<String, u32>,
    counter: u32,
    /// When the browser got its id. A store remembers one other: with two changes at once, requests
    /// with the first id are not known for what they are.
    id_since: Duration,
    /// The last id that a lost response announced.
    lost: Option<SessionId>,
}

impl Browser {
    fn new(options: CookieOptions) -> Self {
        let site = Site::new(options, renewing().timeout(9_000 * HOUR).lifetime(None));
        let cookie = sent_back(&site.request("", |session| session.insert("before", &1).unwrap()));
        let (under_way, responses) = (Vec::new(), Vec::new());
        let (saved, counter, id_since) = (BTreeMap::new(), 0, Duration::ZERO);
        Self { site, cookie, is_logged_in: false, under_way, responses, saved, counter, id_since, lost: None }
    }

    fn now(&self) -> Duration {
        self.site.layer.sessions().clock().now()
    }

    fn send(&self) -> Request {
        let (cookie, sent_at) = (self.cookie.clone(), self.now());
        let session = self.site.layer.load(RequestHead::new([cookie.as_str()]));
        Request { session, sent_at, is_users: self.is_logged_in, inserted: BTreeMap::new() }
    }

    fn take(&mut self, step: &Step) {
        let pick = |which: usize, of: usize| (of > 0).then(|| which % of.max(1));
        let (requests, responses) = (self.under_way.len(), self.responses.len());
        match *step {
            Step::Send => self.under_way.push(self.send()),
            Step::Look(which) => pick(which, requests).map_or((), |place| look(&self.under_way[place])),
            Step::Insert(which, key) => {
                self.counter += 1;
                let Some(place) = pick(which, requests) else { return };
                let (request, key) = (&mut self.under_way[place], format!("key {key}"));
                look(request);
                request.session.insert(&key, &self.counter).unwrap();
                request.inserted.insert(key, self.counter);
            }
            Step::Save(which) => {
                let Some(place) = pick(which, requests) else { return };
                let saved = self.under_way[place].session.save().unwrap();
                self.note(place, saved);
            }
            Step::Finish(which) => pick(which, requests).map_or((), |place| self.finish(place)),
            Step::Abandon(which) => {
                let Some(place) = pick(which, requests) else { return };
                let owed = self.site.layer.fail(&mut self.under_way.remove(place).session);
                self.respond(owed.cookie().map(|_| sent_back(&owed)));
            }
            Step::Deliver(which) => pick(which, responses).map_or((), |place| self.deliver(place)),
            Step::Lose(which) => pick(which, responses).map_or((), |place| self.lose(place)),
            Step::LogIn => self.at_once(|session| session.log_in(USER).unwrap(), true),
            Step::Regenerate => self.at_once(|session| session.regenerate().unwrap(), false),
            Step::Seconds(seconds) => self.pass(Duration::from_secs(seconds)),
            Step::Minutes(minutes) => self.pass(Duration::from_secs(minutes * 60)),
        }
    }

    /// A request whose response arrives at once, while others are under way.
    fn at_once(&mut self, act: impl FnOnce(&mut Session), logs_in: bool) {
        // Not promised: a cookie that was written before a login and arrives after it.
        while let Some(place) = self.responses.iter().position(|response| response.set_cookie.is_some()) {
            self.deliver(place);
        }
        if self.now() < self.id_since + MINUTE {
            return;
        }
        let mut request = self.send();
        look(&request);
        act(&mut request.session);
        self.under_way.push(request);
        self.finish(self.under_way.len() - 1);
        self.is_logged_in |= logs_in;
        self.deliver(self.responses.len() - 1);
        // What is still under way was sent before, so it is not promised anything.
        self.under_way.iter_mut().for_each(|request| request.is_users = false);
    }

    fn note(&mut self, place: usize, saved: Saved) {
        let inserted = std::mem::take(&mut self.under_way[place].inserted);
        // A request from before the login can have saved before it, too.
        if saved == Saved::Written {
            self.saved.extend(inserted);
        }
    }

    fn finish(&mut self, place: usize) {
        let is_changed = self.under_way[place].session.changed();
        let Request { mut session, inserted, .. } = self.under_way.remove(place);
        let finished = self.site.layer.finish(&mut session).unwrap();
        if is_changed && finished.saved() == Saved::Written {
            self.saved.extend(inserted);
        }
        self.respond(finished.cookie().map(|_| sent_back(&finished)));
    }

    fn respond(&mut self, set_cookie: Option<String>) {
        let since = self.now();
        self.responses.push(Response { set_cookie, since });
    }

    fn deliver(&mut self, place: usize) {
        let Some(cookie) = self.responses.remove(place).set_cookie else { return };
        if id_of(&cookie) != id_of(&self.cookie) {
            self.id_since = self.now();
        }
        self.cookie = cookie;
    }

    /// A renewed id is announced until it is presented, but not for ever: the browser hears of it
    /// the second time.
    fn lose(&mut self, place: usize) {
        let announced = self.responses[place].set_cookie.as_deref().map(id_of);
        if announced.is_none() || announced != self.lost {
            self.lost = announced.or(self.lost);
            self.responses.remove(place);
        }
    }

    /// Nothing stays under way for longer than half of a grace.
    fn pass(&mut self, time: Duration) {
        let (now, limit) = (self.now() + time, MINUTE / 2);
        while let Some(place) = self.under_way.iter().position(|request| now >= request.sent_at + limit) {
            self.finish(place);
        }
        while let Some(place) = self.responses.iter().position(|response| now >= response.since + limit) {
            self.deliver(place);
        }
        self.site.time.advance(time);
    }

    /// What the browser's cookie opens.
    fn check(&self) {
        let stored = self.site.store.get(&id_of(&self.cookie)).unwrap().expect("the cookie opens the session");
        assert_eq!(stored.record.owner(), self.is_logged_in.then_some(USER));
        for (key, value) in &self.saved {
            assert_eq!(stored.record.get(key).unwrap(), Some(*value), "{key} was saved");
        }
        assert_eq!(stored.record.get("before").unwrap(), Some(1));
        assert_eq!(self.site.store.len().unwrap(), 1);
        validate(&self.site.store);
    }
}

#[track_caller]
fn look(request: &Request) {
    let owner = request.session.owner().unwrap();
    assert!(!request.is_users || owner == Some(USER), "the user is not recognised: {owner:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_user_stays_logged_in_and_loses_nothing_whatever_overtakes_what(
        persistent in any::<bool>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let lifetime = if persistent { CookieLifetime::Persistent } else { CookieLifetime::BrowserSession };
        let mut browser = Browser::new(CookieOptions::new().lifetime(lifetime));
        for step in &steps {
            browser.take(step);
            browser.check();
        }
    }
}
