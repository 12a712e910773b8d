//! Calls: scripts on sessions, until they have an answer, and what they ask for in between.

use std::fmt;
use std::time::{Duration, Instant};

use ::redis::Value;

use super::connections::{Command, Connections, Failure, Verb};
use super::fields::Word;
use super::hints::{Hints, ServerTime};
use super::keys::Keys;
use super::logins::{Entrance, Since};
use super::options::ResolvedOptions;
use super::plan::{self, Plan};
use super::replies::{self, Reply};
use super::row::Row;
use super::scripts::{COUNTS, END, LOOK, MARK, NOTE, Script};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::Hub;
use crate::id::{Handle, SessionId};
use crate::record::Version;
use crate::store::{EndReason, Epoch, Lease, Look, Lookup, Now, Outcome, Receipt};
use crate::sync::Mutex;

/// Sets know a session for so much longer than it lives: nodes of a cluster have their own clocks.
const SLACK_MS: u64 = 60 * 60 * 1000;

/// How often a script may ask for something before it is given up. Each time means that another
/// request changed the session.
const MAX_TURNS: usize = 16;

/// At most one error in such a time goes onto the channel.
const REPORT_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Calls {
    pub(super) connections: Connections,
    pub(super) keys: Keys,
    pub(super) max_session_size: usize,
    pub(super) clock: Clock,
    is_manual: bool,
    hints: Hints,
    server_time: ServerTime,
    /// What no caller receives.
    pub(super) unheard: Hub<Error>,
    pub(super) errors: Hub<Error>,
    last_report: Mutex<Option<Instant>>,
}

impl Calls {
    pub(super) fn new(config: ResolvedOptions) -> Self {
        Self {
            connections: config.pool(),
            max_session_size: config.max_session_size,
            keys: Keys { prefix: config.prefix },
            is_manual: config.clock.is_some(),
            clock: config.clock.unwrap_or_default(),
            hints: Hints::new(),
            server_time: ServerTime::default(),
            unheard: Hub::new(),
            errors: Hub::new(),
            last_report: Mutex::new(None),
        }
    }

    /// The time as scripts are told it: 0 for the server's own.
    pub(super) fn now(&self) -> u64 {
        if self.is_manual { Now::on_calendar(&self.clock).calendar_ms } else { 0 }
    }

    /// Ends the session with this handle, if it is this owner's.
    pub(super) fn ending(&self, handle: Handle, owner: Option<&str>, reason: EndReason) -> Plan<'static> {
        let plan = Plan::new(&END, handle).by(owner.unwrap_or_default()).told(ending(b'h', letter(reason), [0, 0]));
        Plan { keys: vec![self.keys.of_why(handle)], ..plan }
    }

    /// The same if it is of an epoch before this one. `before`: see [`END`].
    pub(super) fn burial(
        &self,
        handle: Handle,
        owner: &str,
        reason: EndReason,
        epoch: Epoch,
        before: Epoch,
    ) -> Plan<'static> {
        let epochs = [epoch, before].map(Epoch::to_u64);
        self.ending(handle, Some(owner), reason).told(ending(b'b', letter(reason), epochs))
    }

    /// Carries out what may be carried out twice, and says if it is not known whether it was.
    pub(super) fn write(&self, call: &Plan<'_>) -> Result<Reply> {
        self.write_after(Vec::new(), call)
    }

    /// The same behind what must come first, in one round trip on one server.
    pub(super) fn write_after(&self, first: Vec<Command<'_>>, call: &Plan<'_>) -> Result<Reply> {
        self.hints.note(call.handle, 0);
        let reply = self.send(first, call)?;
        self.settle(call, reply, |call| self.send(Vec::new(), call))
    }

    /// Sends a call behind what must come first: its answer decides.
    pub(super) fn send(&self, first: Vec<Command<'_>>, call: &Plan<'_>) -> Result<Reply> {
        let mut calls = first;
        calls.push(self.sent(call));
        let answer = self.connections.ask(&calls).and_then(|mut answers| {
            let last = answers.pop().transpose();
            let failures = answers.into_iter().filter_map(Result::err).map(Error::store);
            failures.for_each(|failure| self.report(&self.unheard, &failure));
            last
        });
        let answer = answer.map_err(|failure| {
            let is_unknown = call.is_write && failure.is_unknown;
            let error = if is_unknown { Error::unknown(call.handle).caused_by(failure) } else { Error::store(failure) };
            self.report(&self.errors, &error);
            error
        });
        Reply::of(call.handle, &answer?.unwrap_or_default())
    }

    /// Does what a script asks for and runs it again, until it asks for nothing more.
    pub(super) fn settle<'a>(
        &self,
        call: &Plan<'a>,
        mut reply: Reply,
        again: impl Fn(&Plan<'a>) -> Result<Reply>,
    ) -> Result<Reply> {
        if !matches!(reply, Reply::ToNote { .. } | Reply::Unsure(..)) {
            return Ok(reply);
        }
        let mut call = call.clone();
        for _ in 0..MAX_TURNS {
            match reply {
                Reply::ToNote { ttl_ms, owner } => match self.note(call.handle, owner.as_deref(), ttl_ms) {
                    // A visit that the sets cannot be told of is served as a peek.
                    Err(error) if error.is_store() && !call.is_write => call.rest[0] = b'p',
                    noted => {
                        noted?;
                        (call.noted, call.in_index) = (ttl_ms.saturating_mul(2), true);
                        // It may be another owner's by now, whose set does not know it.
                        call.by = owner.unwrap_or_default();
                    }
                },
                Reply::Unsure(owner, epoch) => {
                    if self.confirm(call.handle, &owner, epoch)? {
                        call.sure = Some(epoch);
                    }
                }
                reply => return Ok(reply),
            }
            reply = again(&call)?;
        }
        Err(Error::contention(call.handle, u32::try_from(MAX_TURNS).unwrap_or(u32::MAX)))
    }

    /// Looks at a session. What was read is judged by the rule itself. If a visit was not due a
    /// moment ago, it is read first as by a peek, and the script follows if there is something to
    /// note.
    pub(super) fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        let (handle, second, is_visit) = (id.handle(), self.clock.nanos() / 1_000_000_000, how == Look::Visit);
        let is_quiet = is_visit && !self.connections.is_cluster() && self.hints.is_quiet(handle, second);
        let mut lookup = Lookup::Missing;
        for is_script in [is_visit && !is_quiet, true] {
            let Some(row) = self.row_of(id, if is_script { b'v' } else { b'p' }, lease)? else { break };
            let quiet_for = row.quiet_for(lease).as_secs();
            let is_due;
            (lookup, is_due) = row.seen_by(id, if is_script { Look::Peek } else { how }, lease);
            if is_visit {
                self.hints.note(handle, if is_due { 0 } else { second + quiet_for });
            }
            if !is_due {
                break;
            }
        }
        Ok(lookup)
    }

    /// The row that a look reads. `how`: 'v'isit, which is noted, or 'p'eek.
    pub(super) fn row_of(&self, id: &SessionId, how: u8, lease: &Lease) -> Result<Option<Row>> {
        let all = if self.connections.is_cluster() { b'1' } else { b'0' };
        let call = Plan { is_write: false, ..Plan::of(&LOOK, id, lease) }.told([how, all]);
        Ok(match self.settle(&call, self.seen(&call)?, |call| self.seen(call))? {
            Reply::Seen { row: Some(row), text } => {
                self.report_trouble(&text);
                Some(row)
            }
            _ => None,
        })
    }

    /// What a look sees. In a cluster by one script. On one server a visit is a script that writes
    /// only what is due, and the hash is read behind it without a script, in the same round trip:
    /// Lua takes longer over a session's data than all the rest.
    fn seen(&self, call: &Plan<'_>) -> Result<Reply> {
        if self.connections.is_cluster() {
            return self.send(Vec::new(), call);
        }
        let (asked, key) = (self.clock.nanos(), self.keys.of_record(call.handle));
        let command = |name, keys| Command { verb: Verb::Name(name), keys, words: Vec::new() };
        let is_visit = call.rest.first() == Some(&b'v');
        let now = if self.is_manual { Some(self.now()) } else { self.server_time.at(asked) };
        let mut calls = Vec::with_capacity(3);
        if is_visit {
            calls.push(self.sent(call));
        } else {
            calls.push(command("PTTL", vec![key.clone()]));
            calls.extend(now.is_none().then(|| command("TIME", Vec::new())));
        }
        calls.push(command("HGETALL", vec![key]));
        let mut answers = self.ask(&calls)?;
        let (fields, first) = (answers.pop().unwrap_or_default(), answers.first().unwrap_or(&Value::Nil));
        let (mut read, mut left, mut trouble) = (None, replies::left_of(first), String::new());
        if is_visit {
            let Some((time, ttl, text)) = replies::visited(first) else { return Reply::of(call.handle, first) };
            (read, left, trouble) = (Some(time), Some(ttl), text);
        } else if now.is_none() {
            read = Some(replies::time_of(answers.get(1).unwrap_or(&Value::Nil))?);
        }
        read.into_iter().for_each(|now| self.server_time.learn(asked, self.clock.nanos(), now));
        let (now, fields) = (read.or(now).unwrap_or_default(), replies::fields_of(fields)?);
        Ok(match Row::read(call.handle, now, left.filter(|_| !self.is_manual), &fields)? {
            Some(Row { unsure: Some((owner, epoch)), .. }) if call.sure != Some(epoch) => Reply::Unsure(owner, epoch),
            row => Reply::Seen { row, text: trouble },
        })
    }

    pub(super) fn touch(&self, id: &SessionId, held: Option<Version>, lease: &Lease) -> Result<Outcome> {
        let plan = Plan { held, ..Plan::of(&LOOK, id, lease) };
        Ok(match self.write(&plan.told(*b"t0"))? {
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
        let entrance = owner.map(|owner| Entrance { handle, owner, ttl_ms, since: Since::Known, limit: None });
        calls.extend(entrance.map(|entrance| self.entering(&entrance, None)));
        self.ask(&calls).map(drop)
    }

    pub(super) fn noting(&self, handle: Handle, ttl_ms: u64) -> Command<'static> {
        let words = [handle.to_string(), noted_for(ttl_ms).to_string()];
        self.script(&NOTE, vec![self.keys.of_index_with(handle)], words)
    }

    /// Whether the login that a session began with counts; if not, the session is ended.
    fn confirm(&self, handle: Handle, owner: &str, begun: Epoch) -> Result<bool> {
        let counts = self.on_owner(&COUNTS, owner, [handle.to_string(), begun.to_u64().to_string()]);
        let reply = Reply::of(handle, &self.ask_one(counts)?)?;
        let after = Epoch::from_u64(begun.to_u64().saturating_add(1));
        // If the session ended or logged in again in between, the caller will see.
        let plan = match reply {
            Reply::Counts => {
                Plan { sure: Some(begun), ..Plan::new(&MARK, handle).by(owner).told(begun.to_u64().to_be_bytes()) }
            }
            Reply::Refused(Outcome::AtLimit) => self.burial(handle, owner, EndReason::Limit, after, after),
            _ => self.burial(handle, owner, EndReason::Everywhere, after, after),
        };
        self.ask_one(self.sent(&plan))?;
        Ok(matches!(reply, Reply::Counts))
    }

    /// A plan as it is sent.
    pub(super) fn sent<'c>(&self, plan: &'c Plan<'_>) -> Command<'c> {
        let mut keys = vec![self.keys.of_record(plan.handle)];
        keys.extend(plan.keys.iter().cloned());
        let mut words: Vec<Word<'c>> = vec![plan.to_bytes(self.now()).into()];
        words.extend(plan.words.iter().map(|word| Word::Borrowed(&**word)));
        Command { verb: Verb::Planned(plan.script), keys, words }
    }

    /// A script on an owner's keys.
    pub(super) fn on_owner(
        &self,
        script: &'static Script,
        owner: &str,
        words: impl IntoIterator<Item = String>,
    ) -> Command<'static> {
        self.script(script, self.keys.of_owner(owner).into(), words)
    }

    fn script(
        &self,
        script: &'static Script,
        keys: Vec<Vec<u8>>,
        words: impl IntoIterator<Item = String>,
    ) -> Command<'static> {
        let words = [self.now().to_string()].into_iter().chain(words).map(|word| word.into_bytes().into());
        Command { verb: Verb::Script(script), keys, words: words.collect() }
    }

    /// A command on one key.
    pub(super) fn read(&self, name: &'static str, key: Vec<u8>, words: &[&'static str]) -> Result<Value> {
        let words = words.iter().map(|word| word.as_bytes().into()).collect();
        self.ask_one(Command { verb: Verb::Name(name), keys: vec![key], words })
    }

    pub(super) fn ask_one(&self, call: Command<'_>) -> Result<Value> {
        self.ask(&[call]).map(|mut answers| answers.pop().unwrap_or_default())
    }

    pub(super) fn ask(&self, calls: &[Command<'_>]) -> Result<Vec<Value>> {
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
        self.report(&self.unheard, &Error::store(format!("a visit was not noted: {trouble}")));
    }

    fn failed(&self, failure: Failure) -> Error {
        let error = Error::store(failure);
        self.report(&self.errors, &error);
        error
    }

    fn report(&self, to: &Hub<Error>, error: &Error) {
        let mut last = self.last_report.lock();
        if last.is_none_or(|last| last.elapsed() >= REPORT_EVERY) {
            *last = Some(Instant::now());
            drop(last);
            to.publish(|| error.clone());
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

/// What [`END`] is told.
pub(super) fn ending(how: u8, reason: u8, epochs: [u64; 2]) -> Vec<u8> {
    [&[how, reason][..], epochs.map(u64::to_be_bytes).as_flattened()].concat()
}

/// For how long the sets are to know a session that lives for so long.
pub(super) fn noted_for(ttl_ms: u64) -> u64 {
    ttl_ms.saturating_mul(2).saturating_add(SLACK_MS).min(plan::NONE / 2)
}
