//! Events, errors and figures of a store, printed while a generated load overfills it.
//!
//! Run `cargo run --release --example observe`; an argument after `--` is the number of seconds.
//! Change `max_size` or the policy, and compare how many users find their session.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{select, tick};
use lembro::{Event, LembroOptions, LembroStore, Policy, SessionId, Sessions};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), AnyError> {
    let seconds = std::env::args().nth(1).map_or(Ok(10), |text| text.parse())?;
    let store = LembroStore::with_options(LembroOptions::new().max_size("1M").interval("1s"))?;
    // Short, so that sessions expire within seconds.
    let policy = Policy::new().timeout("2s").touch_after("500ms");
    let sessions = Sessions::with_policy(store.clone(), policy)?;

    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let users = scope.spawn(|| users(&sessions, &over));
        let bots = scope.spawn(|| bots(&sessions, &over));
        scope.spawn(|| {
            watch(&store, Duration::from_secs(seconds));
            over.store(true, Ordering::Relaxed);
        });
        let ((served, found), flooded) = (users.join().expect("no panic")?, bots.join().expect("no panic")?);
        println!("\n{served} requests of users, {found} of them found their session; {flooded} of bots");
        Ok(())
    })
}

/// Prints the events of each second, and how full the store is.
fn watch(store: &LembroStore, time: Duration) {
    let (events, errors, seconds) = (store.events(), store.errors(), tick(Duration::from_secs(1)));
    let (start, mut seen) = (Instant::now(), BTreeMap::<&str, u64>::new());
    while start.elapsed() < time {
        select! {
            recv(events) -> event => *seen.entry(event.map_or("closed", kind)).or_default() += 1,
            recv(errors) -> error => println!("error: {error:?}"),
            recv(seconds) -> _ => {
                let stats = store.stats();
                let share = stats.bytes * 100 / stats.max_size;
                println!("{:>6} sessions, {share:>3} % of {} bytes; since the last line: {seen:?}", stats.sessions, stats.max_size);
                if let Some(purge) = stats.last_purge {
                    println!("       last purge: {} sessions in {:?}; events missed: {}", purge.sessions, purge.took, stats.events_missed);
                }
                seen.clear();
            }
        }
    }
    println!("\n{}", serde_json::to_string_pretty(&store.stats()).expect("figures are JSON"));
}

fn kind(event: Event) -> &'static str {
    match event {
        Event::Expired { .. } => "expired",
        Event::Evicted { .. } => "evicted",
        Event::Destroyed { .. } => "destroyed",
        Event::Purged { .. } => "purged",
        Event::UnknownId { .. } => "unknown id",
        Event::SupersededId { .. } => "superseded id",
        _ => "other",
    }
}

/// Two hundred users that return, and log out now and then. Returns the number of requests, and of
/// those that found their session.
fn users(sessions: &Sessions, over: &AtomicBool) -> Result<(u64, u64), lembro::Error> {
    let mut ids: Vec<Option<SessionId>> = vec![None; 200];
    let mut found = 0;
    for request in 0.. {
        if over.load(Ordering::Relaxed) {
            return Ok((request, found));
        }
        let user = usize::try_from(request).unwrap_or(0) * 7 % ids.len();
        let known = ids[user].as_ref().map(|id| sessions.load(id)).transpose()?.flatten();
        found += u64::from(known.is_some());
        let mut session = known.map_or_else(|| sessions.generate(), Ok)?;
        session.modify("visits", |visits: &mut Option<u64>| *visits.get_or_insert(0) += 1)?;
        ids[user] = Some(session.id()?);
        if request % 5_000 == 0 {
            session.log_out()?;
        }
        thread::sleep(Duration::from_micros(200));
    }
    Ok((0, found))
}

/// Bots: each request is a new session that never returns. Returns the number of requests.
fn bots(sessions: &Sessions, over: &AtomicBool) -> Result<u64, lembro::Error> {
    for request in 0.. {
        if over.load(Ordering::Relaxed) {
            return Ok(request);
        }
        let mut session = sessions.generate()?;
        session.insert("landing_page", "/?utm_source=nowhere-in-particular")?;
        session.save()?;
        thread::sleep(Duration::from_micros(100));
    }
    Ok(0)
}
