//! The log: a real logger gets a line for each error and for chosen events, with a limit for each
//! kind, and never a session's id, handle or value.
#![cfg(all(feature = "log", feature = "testing"))]

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use ::log::{Level, LevelFilter};
use lembro::log::{Log, suggested};
use lembro::testing::{FaultStore, When};
use lembro::{Error, Event, Handle, LembroOptions, LembroStore, Session, SessionId, Sessions, Store};

const PATIENCE: Duration = Duration::from_secs(20);

/// The target of `env_logger`, which sends each line to the running test.
struct Pipe;

static LINES: Mutex<Option<Sender<String>>> = Mutex::new(None);

impl Write for Pipe {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8(text.to_vec()).unwrap();
        let sender = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        sender.iter().for_each(|sender| drop(sender.send(line.trim_end().to_owned())));
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines of one test, which has the logger for itself.
struct Lines {
    lines: Receiver<String>,
    _alone: MutexGuard<'static, ()>,
}

impl Lines {
    fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        static LOGGER: OnceLock<()> = OnceLock::new();
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        LOGGER.get_or_init(|| {
            let mut logger = env_logger::Builder::new();
            logger.filter_level(LevelFilter::Trace).target(env_logger::Target::Pipe(Box::new(Pipe)));
            logger.format(|out, record| {
                let text = record.args().to_string();
                assert!(!text.contains("panic now"), "the logger panics");
                writeln!(out, "{} {} {text}", record.target(), record.level())
            });
            logger.init();
        });
        let (sender, lines) = channel();
        *LINES.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        Self { lines, _alone: alone }
    }

    #[track_caller]
    fn next(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    /// The remaining lines, when the threads have ended.
    fn rest(&self) -> Vec<String> {
        *LINES.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.lines.iter().collect()
    }
}

fn store() -> LembroStore {
    LembroStore::with_options(LembroOptions::new().interval(0)).unwrap()
}

fn session(sessions: &Sessions) -> Session {
    let mut session = sessions.generate().unwrap();
    session.insert("user", "ada").unwrap();
    session
}

fn handle() -> Handle {
    SessionId::derive("some session").handle()
}

/// The lines about these errors and events, until all senders are dropped.
fn written(errors: &[Error], events: &[Event], log: impl FnOnce(Log) -> Log) -> Vec<String> {
    let lines = Lines::new();
    let ((error, errors_heard), (event, events_heard)) =
        (crossbeam_channel::unbounded(), crossbeam_channel::unbounded());
    errors.iter().for_each(|one| error.send(one.clone()).unwrap());
    events.iter().for_each(|one| event.send(*one).unwrap());
    let (told, done) = channel::<()>();
    let levels = move |event: &Event| {
        let _ = &told;
        suggested(event)
    };
    log(Log::of(errors_heard).events(events_heard, levels)).start().unwrap();
    drop((error, event));
    // The thread has ended when it has dropped its receivers.
    assert_eq!(done.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    lines.rest()
}

#[test]
fn log_forwards_errors_of_layer_and_store() {
    let lines = Lines::new();
    let faults = FaultStore::new(store());
    faults.fail_all(None, When::Before);
    let sessions = Sessions::new(faults);
    Log::of(sessions.errors()).start().unwrap();
    assert!(session(&sessions).save().is_err());
    let line = lines.next();
    assert!(line.starts_with("lembro ERROR the store failed: "), "{line}");
}

#[test]
fn log_writes_events_at_chosen_levels() {
    let lines = Lines::new();
    let store = store();
    let sessions = Sessions::new(store.clone());
    let levels = |event: &Event| match event {
        Event::Destroyed { .. } => Some(Level::Trace),
        Event::UnknownId { .. } => Some(Level::Error),
        _ => None,
    };
    Log::of(sessions.errors()).events(sessions.events(), levels).start().unwrap();
    let mut session = session(&sessions);
    session.save().unwrap();
    let id = session.id().unwrap();
    session.log_out().unwrap();
    assert_eq!(lines.next(), "lembro TRACE a session was ended on request");
    store.purge();
    assert!(sessions.load(&id).unwrap().is_none());
    assert_eq!(lines.next(), "lembro ERROR an id was presented that opens no session");
}

#[test]
fn no_line_has_an_id_handle_or_value() {
    let (handle, bytes) = (handle(), 512);
    let took = Duration::from_millis(3);
    let errors = [
        Error::taken(handle),
        Error::size(format!("session {handle}: 70000 bytes, max_session_size is 65536")),
        Error::full(),
        Error::store(io::Error::other("connection refused")),
        Error::unsupported("counting its sessions"),
        "not an id".parse::<SessionId>().unwrap_err(),
        LembroStore::with_options(LembroOptions::new().shards(3)).unwrap_err(),
    ];
    let events = [
        Event::Expired { handle, bytes },
        Event::Evicted { handle, bytes, owned: true },
        Event::Evicted { handle, bytes, owned: false },
        Event::Destroyed { handle, bytes },
        Event::Cleared { sessions: 7 },
        Event::Purged { sessions: 7, took },
        Event::Snapshot { sessions: 7, bytes: 4096, took },
        Event::Restored { sessions: 7, expired: 1, evicted: 2, refused: 3, took },
        Event::Refused { handle, bytes },
        Event::TurnedAway { handle },
        Event::UnknownId { handle },
        Event::LostChange { handle },
        Event::SupersededId { handle },
    ];
    let mut lines = written(&errors, &events, |log| log);
    lines.sort();
    let all = lines.join("\n");
    assert!(!all.contains(&handle.to_string()) && !all.contains("not an id"), "{all}");
    let expected = "\
lembro DEBUG a purge ended after 3ms: 7 sessions expired
lembro DEBUG a session was ended on request
lembro DEBUG a session was evicted to free memory, 512 bytes
lembro DEBUG an expired session was removed, 512 bytes
lembro DEBUG an id was presented that opens no session
lembro ERROR a session was not stored because its id is taken
lembro ERROR a session, or a part of it, was refused because it is too large
lembro ERROR a text is no session id
lembro ERROR the store failed: connection refused
lembro ERROR the store is full: it has no room for this session without an owner
lembro ERROR this store does not support counting its sessions
lembro INFO a change was lost because its session had ended
lembro INFO a snapshot was restored in 3ms: 7 sessions; 1 had expired, 2 evicted, 3 refused
lembro INFO a snapshot was written in 3ms: 7 sessions, 4096 bytes
lembro INFO all sessions were removed, 7
lembro WARN a session was refused because it is too large, 512 bytes
lembro WARN a session with an owner was evicted to free memory, 512 bytes
lembro WARN a session without an owner was refused: the store is full
lembro WARN a superseded id was presented, possibly a stolen one
lembro WARN shards: 3 is not a power of two from 1 to 64";
    assert_eq!(all, expected);
}

#[test]
fn log_limits_lines_of_one_kind() {
    let handle = handle();
    let errors: Vec<_> = (0..1000).map(|number| Error::store(io::Error::other(format!("number {number}")))).collect();
    let lines = written(&errors, &[Event::UnknownId { handle }; 3], |log| log.limit(2, "1h"));
    let of = |level: &str| lines.iter().filter(|line| line.contains(level)).cloned().collect::<Vec<_>>();
    let expected = ["the store failed: number 0", "the store failed: number 1", "the store failed: 998 times more"];
    assert_eq!(of("ERROR"), expected.map(|text| format!("lembro ERROR {text}")));
    let (unknown, more) = ("an id was presented that opens no session", ": 1 times more");
    assert_eq!(of("DEBUG"), [unknown, unknown, &format!("{unknown}{more}")].map(|text| format!("lembro DEBUG {text}")));
}

#[test]
fn log_period_ends_by_itself() {
    let lines = Lines::new();
    let (sender, errors) = crossbeam_channel::unbounded();
    Log::of(errors).limit(1, 200).start().unwrap();
    for _ in 0..3 {
        // Both must be in the queue before the period ends. Otherwise there is a line too many.
        sender.send(Error::full()).unwrap();
        sender.send(Error::full()).unwrap();
        assert!(lines.next().contains("no room"));
        assert_eq!(lines.next(), "lembro ERROR the store is full: 1 times more");
    }
}

#[test]
fn panicking_logger_stops_nothing() {
    let lines = Lines::new();
    let (sender, errors) = crossbeam_channel::unbounded();
    let (events, heard) = crossbeam_channel::unbounded();
    let levels = |event: &Event| match event {
        Event::Cleared { .. } => panic!("no level for that"),
        event => suggested(event),
    };
    Log::of(errors).events(heard, levels).start().unwrap();
    sender.send(Error::store(io::Error::other("panic now"))).unwrap();
    events.send(Event::Cleared { sessions: 1 }).unwrap();
    sender.send(Error::full()).unwrap();
    assert!(lines.next().contains("the store is full"));
    events.send(Event::TurnedAway { handle: handle() }).unwrap();
    assert!(lines.next().contains("WARN a session without an owner"));
}

#[test]
fn log_thread_ends_with_the_store() {
    let _lines = Lines::new();
    let store = store();
    let sessions = Sessions::new(store.clone());
    let (alive, ended) = channel::<()>();
    let levels = move |event: &Event| {
        let _ = &alive;
        suggested(event)
    };
    Log::of(sessions.errors()).events(sessions.events(), levels).start().unwrap();
    drop(sessions);
    assert!(ended.recv_timeout(Duration::from_millis(50)).is_err(), "the store can still send events");
    store.clear().unwrap();
    drop(store);
    assert_eq!(ended.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn log_limit_of_nothing_is_refused() {
    for (lines, period, problem) in [
        (0, "1m", "limit: no line, or no time: nothing would be written, or all"),
        (5, "0s", "limit: no line, or no time: nothing would be written, or all"),
        (5, "soon", "period: \"soon\" is not a duration such as \"5m\" or \"1h 30m\""),
    ] {
        let error = Log::of(store().errors()).limit(lines, period).start().unwrap_err();
        assert_eq!((error.is_option(), error.to_string().as_str()), (true, problem));
    }
}
