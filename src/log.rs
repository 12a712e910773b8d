//! The forwarding of errors and events to the application's log, through the [`log`] facade.
//!
//! ```
//! use lembro::{Sessions, LembroStore, log::{Log, suggested}};
//!
//! let sessions = Sessions::new(LembroStore::new()?); // or a `SessionLayer`
//! Log::of(sessions.errors()).events(sessions.events(), suggested).start()?;
//! # Ok::<(), lembro::Error>(())
//! ```
//!
//! A thread writes the lines, so no request waits for the logger. The thread ends when the
//! sessions and their store are dropped. The target of all lines is `lembro`.
//!
//! No line contains an id, a handle, a key's value or a password. The [number](Log::limit) of lines
//! of one kind in a period is limited. At the end of the period, one line says how many lines of
//! the kind were left out. So a store that is down, or a flood of guessed ids, does not fill the
//! disk.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use ::log::Level;
use crossbeam_channel::{Receiver, after, never, select};

use crate::error::{Error, Result};
use crate::event::Event;
use crate::sync::thread;
use crate::units::{Input, Setting};

/// The target of every line.
const TARGET: &str = "lembro";

type Levels = Box<dyn Fn(&Event) -> Option<Level> + Send>;

/// Forwards errors, and events on request, to the [`log`] facade. See the [module](self).
#[must_use = "it forwards nothing until it is started"]
pub struct Log {
    errors: Receiver<Error>,
    events: Option<Receiver<Event>>,
    levels: Levels,
    lines: usize,
    period: Input<Duration>,
}

/// The level of an event in most applications: `Warn` for an id that may be stolen, a refused
/// session, and the eviction of a session with an owner; `Info` for a restored or written snapshot,
/// a `clear` and a lost change; `Debug` for the other events.
pub fn suggested(event: &Event) -> Option<Level> {
    Some(match event {
        Event::SupersededId { .. }
        | Event::Refused { .. }
        | Event::TurnedAway { .. }
        | Event::Evicted { owned: true, .. } => Level::Warn,
        Event::Cleared { .. } | Event::Snapshot { .. } | Event::Restored { .. } | Event::LostChange { .. } => {
            Level::Info
        }
        _ => Level::Debug,
    })
}

impl Log {
    /// Forwards these errors, at level `Error`, or `Warn` for a [wrong
    /// option](crate::Error::is_option).
    pub fn of(errors: Receiver<Error>) -> Self {
        Self { errors, events: None, levels: Box::new(|_| None), lines: 5, period: Input::new(MINUTE) }
    }

    /// Forwards these events too. `levels` returns the level of an event, or `None` to leave it
    /// out.
    /// [`suggested`] fits most applications.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::{Event, LembroStore, log::Log};
    /// use log::Level;
    ///
    /// let store = LembroStore::new()?;
    /// let levels = |event: &Event| match event {
    ///     Event::SupersededId { .. } => Some(Level::Error),
    ///     Event::Evicted { owned: true, .. } => Some(Level::Warn),
    ///     _ => None,
    /// };
    /// Log::of(store.errors()).events(store.events(), levels).start()?;
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn events(self, events: Receiver<Event>, levels: impl Fn(&Event) -> Option<Level> + Send + 'static) -> Self {
        Self { events: Some(events), levels: Box::new(levels), ..self }
    }

    /// The maximum number of lines of one kind in a period, and the length of a period: a
    /// [`Duration`], a text such as `"10s"`, or a number of milliseconds. A period begins with its
    /// first line. Default: 5 in a minute.
    ///
    /// A kind is one variant of [`Event`] or one predicate of [`Error`]. Evictions of sessions with
    /// an owner are a kind of their own.
    pub fn limit(self, lines: usize, period: impl Into<Setting>) -> Self {
        Self { lines, period: period.into().into(), ..self }
    }

    /// Starts the thread that writes the lines. It ends when all senders of errors and events are
    /// dropped. If the logger panics, the thread calls it again for the next line.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`] if the limit's lines or period are zero, or the period is no duration;
    /// [`Error::is_background`] if the thread does not start.
    pub fn start(self) -> Result<()> {
        let period = self.period.check("period", MINUTE)?;
        if period.is_zero() || self.lines == 0 {
            return Err(Error::option("limit", "no line, or no time: nothing would be written, or all"));
        }
        let writer = Writer { levels: self.levels, lines: self.lines, kinds: BTreeMap::new() };
        let thread = thread::Builder::new().name("lembro-log".to_owned());
        let started = thread.spawn(move || writer.run(self.errors, self.events, period));
        started.map(drop).map_err(|error| Error::background(format!("the thread for the log did not start: {error}")))
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// The state of the thread that writes the lines.
struct Writer {
    levels: Levels,
    lines: usize,
    /// The number of lines of each kind in this period, and the level of the last one.
    kinds: BTreeMap<&'static str, (usize, Level)>,
}

/// A line, and the kind whose limit it counts against.
struct Line {
    kind: &'static str,
    level: Level,
    text: String,
}

impl Writer {
    fn run(mut self, errors: Receiver<Error>, events: Option<Receiver<Event>>, period: Duration) {
        let (mut errors, mut events, mut end) = (Some(errors), events, None);
        let (no_error, no_event, no_end) = (never(), never(), never());
        while errors.is_some() || events.is_some() {
            select! {
                recv(errors.as_ref().unwrap_or(&no_error)) -> error => match error {
                    Ok(error) => self.note(describe_error(&error)),
                    // No sender is left.
                    Err(_) => errors = None,
                },
                recv(events.as_ref().unwrap_or(&no_event)) -> event => match event {
                    Ok(event) => self.note_event(&event),
                    Err(_) => events = None,
                },
                recv(end.as_ref().unwrap_or(&no_end)) -> _ => {
                    self.sum_up();
                    end = None;
                }
            }
            // If no line was noted, no period runs, and the thread waits for the next message only.
            if end.is_none() && !self.kinds.is_empty() {
                end = Some(after(period));
            }
        }
        self.sum_up();
    }

    fn note_event(&mut self, event: &Event) {
        let level = catch_unwind(AssertUnwindSafe(|| (self.levels)(event))).unwrap_or_default();
        if let Some(level) = level {
            self.note(describe_event(event, level));
        }
    }

    /// Counts a line, and writes it unless its kind has reached the limit in this period.
    fn note(&mut self, Line { kind, level, text }: Line) {
        let (count, last) = self.kinds.entry(kind).or_insert((0, level));
        (*count, *last) = (count.saturating_add(1), level);
        if *count <= self.lines {
            write(level, &text);
        }
    }

    /// Ends the period, with a line for each kind that exceeded the limit.
    fn sum_up(&mut self) {
        for (kind, (count, level)) in std::mem::take(&mut self.kinds) {
            if count > self.lines {
                write(level, &format!("{kind}: {} times more", count - self.lines));
            }
        }
    }
}

/// The logger is the application's code, and may panic.
fn write(level: Level, text: &str) {
    let _ = catch_unwind(AssertUnwindSafe(|| ::log::log!(target: TARGET, level, "{text}")));
}

/// A line about an event, without the handle.
fn describe_event(event: &Event, level: Level) -> Line {
    let (kind, rest) = match event {
        Event::Expired { bytes, .. } => ("an expired session was removed", format!(", {bytes} bytes")),
        Event::Evicted { bytes, owned: true, .. } => {
            ("a session with an owner was evicted to free memory", format!(", {bytes} bytes"))
        }
        Event::Evicted { bytes, .. } => ("a session was evicted to free memory", format!(", {bytes} bytes")),
        Event::Destroyed { .. } => ("a session was ended on request", String::new()),
        Event::Cleared { sessions } => ("all sessions were removed", format!(", {sessions}")),
        Event::Purged { sessions, took } => ("a purge ended", format!(" after {took:?}: {sessions} sessions expired")),
        Event::Snapshot { sessions, bytes, took } => {
            ("a snapshot was written", format!(" in {took:?}: {sessions} sessions, {bytes} bytes"))
        }
        Event::Restored { sessions, expired, evicted, refused, took } => {
            let rest = format!("{sessions} sessions; {expired} had expired, {evicted} evicted, {refused} refused");
            ("a snapshot was restored", format!(" in {took:?}: {rest}"))
        }
        Event::Refused { bytes, .. } => ("a session was refused because it is too large", format!(", {bytes} bytes")),
        Event::TurnedAway { .. } => ("a session without an owner was refused: the store is full", String::new()),
        Event::UnknownId { .. } => ("an id was presented that opens no session", String::new()),
        Event::LostChange { .. } => ("a change was lost because its session had ended", String::new()),
        Event::SupersededId { .. } => ("a superseded id was presented, possibly a stolen one", String::new()),
    };
    Line { kind, level, text: format!("{kind}{rest}") }
}

type ErrorKind = (fn(&Error) -> bool, &'static str);

/// The kinds of errors whose text names a session or quotes a client. Each has another text, which
/// is written instead.
const NAMELESS: [ErrorKind; 7] = [
    (Error::is_unknown, "it is not known whether a write was carried out"),
    (Error::is_contention, "a change was given up because others overtook it"),
    (Error::is_lost, "a change was lost because its session had ended"),
    (Error::is_taken, "a session was not stored because its id is taken"),
    (Error::is_id, "a text is no session id"),
    (Error::is_size, "a session, or a part of it, was refused because it is too large"),
    (Error::is_corrupt, "a stored session is damaged"),
];

/// The other kinds of errors. Their own text is written.
const NAMED: [ErrorKind; 5] = [
    (Error::is_store, "the store failed"),
    (Error::is_option, "an option is wrong"),
    (Error::is_background, "something failed in the background"),
    (Error::is_full, "the store is full"),
    (|_| true, "an error"),
];

/// A line about an error. It has the causes of a store's failure only, because other causes may
/// quote a value.
fn describe_error(error: &Error) -> Line {
    let of = |kinds: &[ErrorKind]| kinds.iter().find(|(is, _)| is(error)).map(|(_, kind)| *kind);
    let nameless = of(&NAMELESS);
    let mut text = nameless.map_or_else(|| error.to_string(), ToOwned::to_owned);
    let mut cause = error.is_store().then(|| error.source()).flatten();
    while let Some(source) = cause {
        text += &format!(": {source}");
        cause = source.source();
    }
    let level = if error.is_option() { Level::Warn } else { Level::Error };
    Line { kind: nameless.or(of(&NAMED)).unwrap_or("an error"), level, text }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("lines", &self.lines).field("period", &self.period).finish_non_exhaustive()
    }
}
