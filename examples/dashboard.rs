//! A live dashboard of a store under load, with a button that lets 5,000 bots a second in.
//!
//! Run `cargo run --release --example dashboard --features rouille`; an argument after `--` is
//! another port. Let the bots in: no user is logged out. The visitor of the page has a session in
//! the same store, which remembers the press of the button and outlives the flood.

#![expect(clippy::expect_used, clippy::print_stdout, clippy::needless_continue, reason = "an example may")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crossbeam_channel::tick;
use lembro::web::{CookieOptions, Secure, SessionLayer};
use lembro::{Handle, LembroOptions, LembroStore, Policy, Result, Session, SessionId, Sessions, Stats};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rouille::{Request, Response, Server, post_input};
use serde::Serialize;

/// The seconds that the charts show.
const SECONDS: usize = 300;
const MAX_SIZE: &str = "2M";
/// Users at a time. Each visits about every seven seconds, with four requests.
const USERS: usize = 2_000;
const VISITS_PER_STEP: usize = 3;
const BOTS_PER_STEP: u64 = 50;
const STEP: Duration = Duration::from_millis(10);

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The state that all threads share.
#[derive(Default)]
struct Board {
    over: AtomicBool,
    requests: AtomicU64,
    bots: AtomicU64,
    flood: Mutex<Option<Flood>>,
    samples: Mutex<VecDeque<Sample>>,
}

#[derive(Clone, Copy)]
struct Flood {
    pressed_by: Handle,
    since: u64,
}

/// The figures of one second. Counters cover this second alone.
#[derive(Clone, Copy, Serialize)]
struct Sample {
    second: u64,
    flood: bool,
    sessions: usize,
    owned_sessions: usize,
    bytes: usize,
    owned_bytes: usize,
    hits: u64,
    misses: u64,
    evicted: u64,
    evicted_owned: u64,
    expired: u64,
    purge_millis: f64,
    requests: u64,
    bots: u64,
}

#[derive(Serialize)]
struct News {
    max_size: usize,
    seconds: usize,
    samples: Vec<Sample>,
    /// The seconds since the flood began.
    flood: Option<u64>,
    flood_is_yours: bool,
    presses: u64,
}

fn main() -> Result<(), AnyError> {
    // Short, for the charts. With a timeout of half an hour, an interval of a minute is enough.
    let store = LembroStore::with_options(LembroOptions::new().max_size(MAX_SIZE).interval("1s"))?;
    let load = Sessions::with_policy(store.clone(), Policy::new().timeout("1m"))?;
    let layer = SessionLayer::new(store.clone()).cookie(CookieOptions::new().secure(Secure::Auto))?;
    let board = Arc::new(Board::default());

    let (told, shown) = (Arc::clone(&board), store.clone());
    ctrlc::set_handler(move || told.over.store(true, Ordering::Relaxed))?;
    let port = std::env::args().nth(1).unwrap_or_else(|| "8080".to_owned());
    let seen = Arc::clone(&board);
    let server = Server::new(format!("127.0.0.1:{port}"), move |request| {
        layer.rouille(request, |session| answer(request, session, &shown, &seen))
    })?;
    println!("Watch the store at http://{}/ and press Ctrl-C here.", server.server_addr());

    thread::scope(|scope| {
        let (users, bots) = (scope.spawn(|| users(&load, &board)), scope.spawn(|| bots(&load, &board)));
        scope.spawn(|| watch(&store, &board));
        while !board.over.load(Ordering::Relaxed) {
            server.poll_timeout(STEP);
            if users.is_finished() || bots.is_finished() {
                board.over.store(true, Ordering::Relaxed);
            }
        }
        users.join().expect("no panic")?;
        bots.join().expect("no panic")
    })?;
    store.close()?;
    println!("{}", serde_json::to_string(&store.stats())?);
    Ok(())
}

fn answer(request: &Request, session: &mut Session, store: &LembroStore, board: &Board) -> Result<Response> {
    match (request.method(), request.url().as_str()) {
        ("GET", "/") => {
            let rules = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                         img-src data:; frame-ancestors 'none'";
            let page = Response::html(include_str!("dashboard.html"));
            Ok(page.with_additional_header("Content-Security-Policy", rules))
        }
        // Each poll is a visit, so the session lives as long as the page is open. A page that must
        // not prolong its session calls `session.peek()`.
        ("GET", "/news") => news(request, session, store, board),
        // Pages on other ports of this host can send the cookie too, so the `Origin` is checked.
        ("POST", "/flood") if is_our_page(request) && is_short(request) => {
            // Not a `bool`, which rouille reads as a check box: true if the field is present.
            let is_on = match post_input!(request, { bots: String }).as_ref().map(|form| form.bots.as_str()) {
                Ok("in") => true,
                Ok("out") => false,
                _ => return Ok(Response::text("In, or out?").with_status_code(400)),
            };
            session.modify("presses", |presses: &mut Option<u64>| *presses.get_or_insert(0) += 1)?;
            let begin = Flood { pressed_by: session.handle()?, since: board.now() };
            let mut flood = board.flood.lock().expect("no panic");
            *flood = is_on.then(|| flood.unwrap_or(begin));
            drop(flood);
            news(request, session, store, board)
        }
        ("POST", "/flood") => Ok(Response::text("Not from here.").with_status_code(403)),
        _ => Ok(Response::text("Nothing here.").with_status_code(404)),
    }
}

/// The samples after the last second that the page has.
fn news(request: &Request, session: &Session, store: &LembroStore, board: &Board) -> Result<Response> {
    let after: u64 = request.get_param("after").and_then(|second| second.parse().ok()).unwrap_or(0);
    let samples = board.samples.lock().expect("no panic").iter().filter(|one| one.second > after).copied().collect();
    let flood = *board.flood.lock().expect("no panic");
    let handle = session.handle()?;
    Ok(Response::json(&News {
        max_size: store.stats().max_size,
        seconds: SECONDS,
        samples,
        flood: flood.map(|flood| board.now().saturating_sub(flood.since)),
        flood_is_yours: flood.is_some_and(|flood| flood.pressed_by == handle),
        presses: session.get::<u64>("presses")?.unwrap_or(0),
    }))
}

/// `post_input!` reads a form of any length into memory, so the announced length is checked first.
fn is_short(request: &Request) -> bool {
    request.header("Content-Length").and_then(|length| length.parse().ok()).is_some_and(|length: u64| length <= 10_000)
}

fn is_our_page(request: &Request) -> bool {
    let origin = request.header("Origin").and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, host)| Some(host) == request.header("Host"))
}

impl Board {
    /// The second of the last sample.
    fn now(&self) -> u64 {
        self.samples.lock().expect("no panic").back().map_or(0, |last| last.second)
    }

    /// Ticks until the program ends.
    fn steps(&self, step: Duration) -> impl Iterator<Item = ()> + '_ {
        tick(step).into_iter().take_while(|_| !self.over.load(Ordering::Relaxed)).map(drop)
    }
}

/// Takes a sample of the store each second.
fn watch(store: &LembroStore, board: &Board) {
    let mut before = Stats::default();
    for ((), second) in board.steps(Duration::from_secs(1)).zip(1..) {
        let stats = store.stats();
        let flood = board.flood.lock().expect("no panic").is_some();
        let sample = Sample {
            second,
            flood,
            sessions: stats.sessions,
            owned_sessions: stats.owned_sessions,
            bytes: stats.bytes,
            owned_bytes: stats.owned_bytes,
            hits: stats.hits - before.hits,
            misses: stats.misses - before.misses,
            evicted: stats.evicted - before.evicted,
            evicted_owned: stats.evicted_owned - before.evicted_owned,
            expired: stats.expired - before.expired,
            purge_millis: stats.last_purge.map_or(0.0, |purge| purge.took.as_secs_f64() * 1e3),
            requests: board.requests.swap(0, Ordering::Relaxed),
            bots: board.bots.swap(0, Ordering::Relaxed),
        };
        before = stats;
        let mut samples = board.samples.lock().expect("no panic");
        if samples.len() == SECONDS {
            samples.pop_front();
        }
        samples.push_back(sample);
    }
}

/// A user with a browser.
struct User {
    cookie: Option<SessionId>,
    is_member: bool,
    visits_left: u32,
}

impl User {
    fn new(random: &mut StdRng) -> Self {
        Self { cookie: None, is_member: random.random_ratio(3, 5), visits_left: random.random_range(4..40) }
    }

    /// Four requests: a page and its parts.
    fn visit(&mut self, sessions: &Sessions, name: &str) -> Result<()> {
        for part in 0..4 {
            let found = self.cookie.as_ref().map(|cookie| sessions.load(cookie)).transpose()?.flatten();
            let is_new = found.is_none();
            let mut session = found.map_or_else(|| sessions.generate(), Ok)?;
            if is_new {
                session.insert("basket", &["tea", "two cups"])?;
                session.insert("theme", "dark")?;
                if self.is_member {
                    session.log_in(name)?;
                }
            }
            if is_new || part == 0 {
                session.insert("visits_left", &self.visits_left)?;
                session.save()?;
            }
            self.cookie = Some(session.id()?);
        }
        Ok(())
    }
}

/// Users that return many times, then log out or stay away, and are replaced by others.
fn users(sessions: &Sessions, board: &Board) -> Result<()> {
    let mut random = StdRng::seed_from_u64(1);
    let mut users: Vec<User> = (0..USERS).map(|_| User::new(&mut random)).collect();
    for () in board.steps(STEP) {
        for _ in 0..VISITS_PER_STEP {
            let number = random.random_range(0..USERS);
            let user = &mut users[number];
            user.visit(sessions, &format!("user {number}"))?;
            board.requests.fetch_add(4, Ordering::Relaxed);
            user.visits_left -= 1;
            if user.visits_left == 0 {
                let logs_out = random.random_bool(0.5);
                if let Some(cookie) = user.cookie.take().filter(|_| logs_out)
                    && let Some(mut session) = sessions.load(&cookie)?
                {
                    session.log_out()?;
                }
                *user = User::new(&mut random);
            }
        }
    }
    Ok(())
}

/// Bots without cookies: each request is a new session that never returns.
fn bots(sessions: &Sessions, board: &Board) -> Result<()> {
    for () in board.steps(STEP) {
        if board.flood.lock().expect("no panic").is_none() {
            continue;
        }
        for _ in 0..BOTS_PER_STEP {
            let mut session = sessions.generate()?;
            session.insert("landing_page", "/?utm_source=nowhere-in-particular")?;
            session.save()?;
        }
        board.bots.fetch_add(BOTS_PER_STEP, Ordering::Relaxed);
    }
    Ok(())
}
