//! Calls: scripts on sessions, until they have an answer, and what they ask for in between.

use std::fmt;
use std::time::{Duration, Instant};

use ::redis::Value;

use super::connections::{self, Connections, Failure, What};
use super::fields::{self, Word};
use super::keys::Keys;
use super::logins::Since;
use super::options::Config;
use super::plan::{self, Plan};
use super::replies::{self, Reply};
use super::row::Row;
use super::scripts::{COUNTS, END, LOOK, MARK, NOTE, Script};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::{Event, Hub};
use crate::id::{Handle, SessionId};
use crate::store::{EndReason, Epoch, Lease, Look, Lookup, Now, Outcome, Receipt};
use crate::sync::Mutex;

/// Sets know a session for so much longer than it lives: nodes of a cluster have their own clocks.
const SLACK_MS: u64 = 60 * 60 * 1000;

/// How often a script may ask for something before it is given up. Each time means that another request changed the
/// session.
const MAX_TURNS: usize = 16;

/// At most one error in such a time goes onto the channel.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// A script on one session.
#[derive(Clone)]
pub(super) struct Call<'a> {
    pub(super) script: &'static Script,
    pub(super) handle: Handle,
    pub(super) plan: Plan,
    /// Keys beside the session's.
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) words: Vec<Word<'a>>,
    /// Not a look: if its answer is lost, it may have been carried out.
    pub(super) is_write: bool,
}

impl Call<'_> {
    pub(super) fn told(self, rest: impl Into<Vec<u8>>) -> Self {
        Self { plan: Plan { rest: rest.into(), ..self.plan }, ..self }
    }
}

pub(super) struct Calls {
    pub(super) connections: Connections,
    pub(super) keys: Keys,
    pub(super) max_session_size: usize,
    pub(super) clock: Clock,
    is_manual: bool,
    pub(super) events: Hub<Event>,
    pub(super) errors: Hub<Error>,
    last_report: Mutex<Option<Instant>>,
}

impl Calls {
    pub(super) fn new(config: Config) -> Self {
        Self {
            connections: config.connections(),
            max_session_size: config.max_session_size,
            keys: Keys { prefix: config.prefix },
            is_manual: config.clock.is_some(),
            clock: config.clock.unwrap_or_default(),
            events: Hub::new(),
            errors: Hub::new(),
            last_report: Mutex::new(None),
        }
    }

    /// The time as scripts are told it: 0 for the server's own.
    pub(super) fn now(&self) -> u64 {
        if self.is_manual { Now::on_calendar(&self.clock).calendar_ms } else { 0 }
    }

    /// A script on the session with this handle, whoever has its id.
    pub(super) fn on_handle(&self, script: &'static Script, handle: Handle) -> Call<'static> {
        let plan = Plan {
            now: self.now(),
            is_repeated: false,
            in_index: true,
            digest: [0; 16],
            noted: 0,
            sure: None,
            lease: Lease::UNLIMITED,
            by: String::new(),
            rest: Vec::new(),
        };
        Call { script, handle, plan, keys: Vec::new(), words: Vec::new(), is_write: true }
    }

    pub(super) fn on_session(&self, script: &'static Script, id: &SessionId, lease: &Lease) -> Call<'static> {
        let call = self.on_handle(script, id.handle());
        Call { plan: Plan { digest: id.digest(), lease: *lease, ..call.plan }, ..call }
    }

    /// Ends a session: see [`END`].
    pub(super) fn ending(&self, call: Call<'static>, how: u8, reason: u8, epochs: [Option<Epoch>; 2]) -> Call<'static> {
        let epochs = epochs.map(|epoch| epoch.unwrap_or_default().to_u64().to_be_bytes());
        let keys = if how == b'i' { Vec::new() } else { vec![self.keys.of_why(call.handle)] };
        Call { keys, ..call }.told([&[how, reason][..], epochs.as_flattened()].concat())
    }

    /// Ends the session with this handle, if it is this owner's.
    pub(super) fn ending_handle(&self, handle: Handle, owner: Option<&str>, reason: EndReason) -> Call<'static> {
        let call = self.ending(self.on_handle(&END, handle), b'h', letter(reason), [None, None]);
        Call { plan: Plan { by: owner.unwrap_or_default().to_owned(), ..call.plan }, ..call }
    }

    /// Carries out what may be carried out twice, and says if it is not known whether it was.
    pub(super) fn write(&self, call: &Call<'_>) -> Result<Reply> {
        self.write_after(Vec::new(), call)
    }

    /// The same behind what must come first, in one round trip on one server.
    pub(super) fn write_after(&self, first: Vec<connections::Call<'_>>, call: &Call<'_>) -> Result<Reply> {
        let reply = self.send(first, call)?;
        self.settle(call, reply, |call| self.send(Vec::new(), call))
    }

    /// Sends a call behind what must come first: its answer decides.
    pub(super) fn send(&self, first: Vec<connections::Call<'_>>, call: &Call<'_>) -> Result<Reply> {
        let mut calls = first;
        calls.push(self.sent(call));
        let answer = self.connections.ask(&calls).and_then(|mut answers| {
            let last = answers.pop().transpose();
            answers.into_iter().filter_map(Result::err).for_each(|failure| drop(self.failed(failure)));
            last
        });
        let answer = answer.map_err(|failure| {
            let is_unknown = call.is_write && failure.is_unknown;
            let error = if is_unknown { Error::unknown(call.handle).caused_by(failure) } else { Error::store(failure) };
            self.report(&error);
            error
        });
        Reply::of(call.handle, &answer?.unwrap_or_default())
    }

    /// Does what a script asks for and runs it again, until it asks for nothing more.
    pub(super) fn settle<'a>(
        &self,
        call: &Call<'a>,
        mut reply: Reply,
        again: impl Fn(&Call<'a>) -> Result<Reply>,
    ) -> Result<Reply> {
        let mut call = call.clone();
        for _ in 0..MAX_TURNS {
            match reply {
                Reply::ToNote { ttl_ms, owner } => match self.note(call.handle, owner.as_deref(), ttl_ms) {
                    // A visit that the sets cannot be told of is served as a peek.
                    Err(error) if error.is_store() && !call.is_write => call.plan.rest[0] = b'p',
                    noted => {
                        noted?;
                        (call.plan.noted, call.plan.in_index) = (ttl_ms.saturating_mul(2), true);
                        // It may be another owner's by now, whose set does not know it.
                        call.plan.by = owner.unwrap_or_default();
                    }
                },
                Reply::Unsure(owner, epoch) => {
                    if self.confirm(call.handle, &owner, epoch)? {
                        call.plan.sure = Some(epoch);
                    }
                }
                reply => return Ok(reply),
            }
            reply = again(&call)?;
        }
        Err(Error::contention(call.handle, u32::try_from(MAX_TURNS).unwrap_or(u32::MAX)))
    }

    /// Looks at a session. What was read is judged by the rule itself.
    pub(super) fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        let told =
            [if how == Look::Visit { b'v' } else { b'p' }, if self.connections.is_cluster() { b'1' } else { b'0' }];
        let call = Call { is_write: false, ..self.on_session(&LOOK, id, lease) }.told(told);
        let lookup = match self.settle(&call, self.seen(&call)?, |call| self.seen(call))? {
            Reply::Seen { row: Some(row), text } => {
                self.report_trouble(&text);
                row.seen_by(id, lease)
            }
            _ => Lookup::Missing,
        };
        let handle = call.handle;
        match lookup {
            Lookup::Missing => self.events.publish(|| Event::UnknownId { handle }),
            Lookup::Superseded { recent: false } => self.events.publish(|| Event::SupersededId { handle }),
            Lookup::Superseded { recent: true } | Lookup::Found(_) => {}
        }
        Ok(lookup)
    }

    /// What a look sees. In a cluster by one script. On one server a visit is a script that writes only what is due,
    /// and all is read behind it without a script, in the same round trip: Lua takes longer over a
    /// session's data than all the rest.
    fn seen(&self, call: &Call<'_>) -> Result<Reply> {
        if self.connections.is_cluster() {
            return self.send(Vec::new(), call);
        }
        let (key, is_visit) = (self.keys.of_record(call.handle), call.plan.rest.first() == Some(&b'v'));
        let mut calls = if is_visit { vec![self.sent(call)] } else { Vec::new() };
        let reads = [("TIME", Vec::new()), ("PTTL", vec![key.clone()]), ("HGETALL", vec![key])];
        calls.extend(reads.map(|(name, keys)| connections::Call {
            what: What::Command(name),
            keys,
            words: Vec::new(),
        }));
        let mut answers = self.ask(&calls)?;
        let mut trouble = String::new();
        if is_visit {
            match Reply::of(call.handle, &answers.remove(0))? {
                Reply::Seen { text, .. } => trouble = text,
                asked @ (Reply::ToNote { .. } | Reply::Unsure(..)) => return Ok(asked),
                _ => {}
            }
        }
        let now = if self.is_manual { self.now() } else { replies::time_of(answers.first().unwrap_or(&Value::Nil))? };
        let left = answers.get(1).and_then(replies::left_of).filter(|_| !self.is_manual);
        let fields = replies::fields_of(answers.pop().unwrap_or_default())?;
        Ok(match Row::read(call.handle, now, left, &fields)? {
            Some(Row { unsure: Some((owner, epoch)), .. }) if call.plan.sure != Some(epoch) => {
                Reply::Unsure(owner, epoch)
            }
            row => Reply::Seen { row, text: trouble },
        })
    }

    pub(super) fn touch(&self, id: &SessionId, lease: &Lease) -> Result<Outcome> {
        Ok(match self.write(&self.on_session(&LOOK, id, lease).told(*b"t0"))? {
            Reply::Done { version, ttl, seed } => {
                Outcome::Done(Receipt::new(version, ttl).announcing(seed.map(|seed| id.successor(seed))))
            }
            Reply::Refused(outcome) => outcome,
            _ => Outcome::Gone,
        })
    }

    /// Has the index and the owner's set know a session for longer than it is to live.
    fn note(&self, handle: Handle, owner: Option<&str>, ttl_ms: u64) -> Result<()> {
        let mut calls = vec![self.noting(handle, ttl_ms)];
        calls.extend(owner.map(|owner| self.entering(handle, owner, ttl_ms, Since::Known, None, None)));
        self.ask(&calls).map(drop)
    }

    pub(super) fn noting(&self, handle: Handle, ttl_ms: u64) -> connections::Call<'static> {
        let words = [self.now().to_string(), handle.to_string(), noted_for(ttl_ms).to_string()];
        let words = words.map(|word| word.into_bytes().into()).into();
        connections::Call { what: What::Script(&NOTE), keys: vec![self.keys.of_index_with(handle)], words }
    }

    /// Whether the login that a session began with counts; if not, the session is ended.
    fn confirm(&self, handle: Handle, owner: &str, begun: Epoch) -> Result<bool> {
        let words =
            vec![fields::number(self.now()), handle.to_string().into_bytes().into(), fields::number(begun.to_u64())];
        let call = connections::Call { what: What::Script(&COUNTS), keys: self.keys.of_owner(owner).into(), words };
        let why = match Reply::of(handle, &self.ask_one(call)?)? {
            Reply::Counts => {
                let mark = self.on_handle(&MARK, handle).told(mark(b'c', begun));
                let plan = Plan { by: owner.to_owned(), sure: Some(begun), ..mark.plan };
                // If it ended in between, the caller will see.
                self.ask_one(self.sent(&Call { plan, ..mark })).map(drop)?;
                return Ok(true);
            }
            Reply::Refused(Outcome::AtLimit) => EndReason::Limit,
            _ => EndReason::Everywhere,
        };
        let end =
            self.ending(self.on_handle(&END, handle), b'b', letter(why), [Some(after(begun)), Some(after(begun))]);
        self.ask_one(self.sent(&Call { plan: Plan { by: owner.to_owned(), ..end.plan }, ..end })).map(drop)?;
        Ok(false)
    }

    /// A script on a session as it is sent.
    pub(super) fn sent<'c>(&self, call: &'c Call<'_>) -> connections::Call<'c> {
        let mut keys = vec![self.keys.of_record(call.handle)];
        keys.extend(call.keys.iter().cloned());
        let mut words: Vec<Word<'c>> = vec![call.plan.to_bytes().into()];
        words.extend(call.words.iter().map(|word| Word::Borrowed(&**word)));
        connections::Call { what: What::Planned(call.script), keys, words }
    }

    pub(super) fn ask_one(&self, call: connections::Call<'_>) -> Result<Value> {
        self.ask(&[call]).map(|mut answers| answers.pop().unwrap_or_default())
    }

    pub(super) fn ask(&self, calls: &[connections::Call<'_>]) -> Result<Vec<Value>> {
        let answers = self.connections.ask(calls).and_then(|answers| answers.into_iter().collect());
        answers.map_err(|failure| self.failed(failure))
    }

    pub(super) fn check_size(&self, handle: Handle, bytes: usize) -> Result<()> {
        if bytes > self.max_session_size {
            let max = self.max_session_size;
            return Err(Error::size(format!("session {handle}: {bytes} bytes, max_session_size is {max}")));
        }
        Ok(())
    }

    /// Tells of a visit that was not noted because the server does not write.
    fn report_trouble(&self, trouble: &str) {
        if trouble.is_empty() {
            return;
        }
        if trouble.starts_with("READONLY") || trouble.starts_with("-READONLY") {
            // A new connection may lead to the server that took its place.
            self.connections.forget_idle();
        }
        self.report(&Error::store(format!("a visit was not noted: {trouble}")));
    }

    fn failed(&self, failure: Failure) -> Error {
        let error = Error::store(failure);
        self.report(&error);
        error
    }

    fn report(&self, error: &Error) {
        let mut last = self.last_report.lock();
        if last.is_none_or(|last| last.elapsed() >= REPORT_EVERY) {
            *last = Some(Instant::now());
            drop(last);
            self.errors.publish(|| error.clone());
        }
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("server", &self.connections.name())
            .field("prefix", &self.keys.prefix)
            .finish_non_exhaustive()
    }
}

pub(super) fn letter(reason: EndReason) -> u8 {
    match reason {
        EndReason::Everywhere => b'e',
        EndReason::Limit => b'l',
        EndReason::Named => b'n',
    }
}

/// The same session, marked as one of this epoch.
pub(super) fn mark(how: u8, epoch: Epoch) -> Vec<u8> {
    [&[how][..], &epoch.to_u64().to_be_bytes()].concat()
}

fn after(epoch: Epoch) -> Epoch {
    Epoch::from_u64(epoch.to_u64().saturating_add(1))
}

/// For how long the sets are to know a session that lives for so long.
pub(super) fn noted_for(ttl_ms: u64) -> u64 {
    ttl_ms.saturating_mul(2).saturating_add(SLACK_MS).min(plan::NONE / 2)
}
