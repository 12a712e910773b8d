//! The client: sends commands and scripts, carries out what replies require, reports failures.

use std::fmt;
use std::time::{Duration, Instant};

use ::redis::Value;

use super::connection::{Command, Verb};
use super::hints::{Hints, ServerTime};
use super::invocation::Invocation;
use super::keys::KeyNames;
use super::lua::{Arg, LuaScript, NONE};
use super::options::ResolvedOptions;
use super::owner_scripts::{CONFIRM_LOGIN, INDEX_ADD, OWNER_ADD};
use super::pool::ConnectionPool;
use super::replies::Reply;
use super::session_scripts::{END, SET_EPOCH};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::Broadcast;
use crate::id::Handle;
use crate::store::{AtLimit, EndReason, Epoch, Limit, Now, Outcome};
use crate::sync::Mutex;

/// How much longer than needed the index and the owner's set hold a session, because each node of a
/// cluster has its own clock.
const INDEX_SLACK_MS: u64 = 60 * 60 * 1000;

/// How many times a script is run again before the request fails. More than a few repeats happen
/// only if other requests keep changing the session.
const MAX_ATTEMPTS: usize = 16;

/// The shortest time between two reported errors.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Client {
    pub(super) pool: ConnectionPool,
    pub(super) keys: KeyNames,
    pub(super) max_session_size: usize,
    pub(super) clock: Clock,
    /// True if a test sets `clock`, which then replaces the server's clock.
    pub(super) is_manual: bool,
    pub(super) hints: Hints,
    pub(super) server_time: ServerTime,
    /// Subscribers to errors that no caller receives.
    pub(super) background_errors: Broadcast<Error>,
    /// Subscribers to errors that a caller also receives.
    pub(super) request_errors: Broadcast<Error>,
    last_report: Mutex<Option<Instant>>,
}

/// A session to add to its owner's set.
pub(super) struct OwnerMember<'a> {
    pub(super) handle: Handle,
    pub(super) owner: &'a str,
    /// How long the session lives.
    pub(super) ttl_ms: u64,
    pub(super) since: LoginTime,
    pub(super) limit: Option<Limit>,
}

#[derive(Clone, Copy)]
pub(super) enum LoginTime {
    /// The login happens now, and the limit may refuse it.
    Now,
    /// The owner's set already holds the time.
    Known,
    /// The time in milliseconds since 1970.
    At(u64),
}

impl Client {
    pub(super) fn new(options: ResolvedOptions) -> Self {
        Self {
            pool: options.pool(),
            max_session_size: options.max_session_size,
            keys: KeyNames { prefix: options.prefix },
            is_manual: options.clock.is_some(),
            clock: options.clock.unwrap_or_default(),
            hints: Hints::new(),
            server_time: ServerTime::default(),
            background_errors: Broadcast::new(),
            request_errors: Broadcast::new(),
            last_report: Mutex::new(None),
        }
    }

    /// The time as scripts take it: 0 for the server's.
    pub(super) fn now(&self) -> u64 {
        if self.is_manual { Now::on_calendar(&self.clock).calendar_ms } else { 0 }
    }

    /// Runs a script that is safe to repeat. An error says whether the outcome is unknown.
    pub(super) fn write(&self, invocation: &Invocation<'_>) -> Result<Reply> {
        self.write_after(Vec::new(), invocation)
    }

    /// Runs commands and then a script. On one server, all of them take one round trip.
    pub(super) fn write_after(&self, first: Vec<Command<'_>>, invocation: &Invocation<'_>) -> Result<Reply> {
        self.hints.set(invocation.handle, 0);
        let reply = self.send(first, invocation)?;
        self.settle(invocation, reply, |invocation| self.send(Vec::new(), invocation))
    }

    /// Sends commands and a script. Returns the script's reply; refused commands are only reported.
    pub(super) fn send(&self, first: Vec<Command<'_>>, invocation: &Invocation<'_>) -> Result<Reply> {
        let mut commands = first;
        commands.push(self.command(invocation));
        let answer = self.pool.ask(&commands).and_then(|mut answers| {
            let last = answers.pop().transpose();
            let failures = answers.into_iter().filter_map(Result::err).map(Error::store);
            failures.for_each(|failure| self.report(&self.background_errors, &failure));
            last
        });
        let answer = answer.map_err(|failure| {
            let is_unknown = invocation.is_write && failure.is_unknown;
            let error =
                if is_unknown { Error::unknown(invocation.handle).caused_by(failure) } else { Error::store(failure) };
            self.reported(error)
        });
        Reply::of(invocation.handle, &answer?.unwrap_or_default())
    }

    /// Carries out the indexing or confirming that replies require, and repeats the script.
    pub(super) fn settle<'a>(
        &self,
        invocation: &Invocation<'a>,
        mut reply: Reply,
        run: impl Fn(&Invocation<'a>) -> Result<Reply>,
    ) -> Result<Reply> {
        if !matches!(reply, Reply::MustIndex { .. } | Reply::Unconfirmed(..)) {
            return Ok(reply);
        }
        let mut invocation = invocation.clone();
        for _ in 0..MAX_ATTEMPTS {
            match reply {
                Reply::MustIndex { ttl_ms, owner } => match self.index(invocation.handle, owner.as_deref(), ttl_ms) {
                    // If the sets cannot be written, the visit is served as a peek.
                    Err(error) if error.is_store() && !invocation.is_write => invocation.script_args[0] = b'p',
                    indexed => {
                        indexed?;
                        (invocation.index_for, invocation.in_index) = (ttl_ms.saturating_mul(2), true);
                        // If the owner changed since, the next reply requires the new owner's set.
                        invocation.owner = owner.unwrap_or_default();
                    }
                },
                Reply::Unconfirmed(owner, epoch) => {
                    if self.confirm(invocation.handle, &owner, epoch)? {
                        invocation.confirmed = Some(epoch);
                    }
                }
                reply => return Ok(reply),
            }
            reply = run(&invocation)?;
        }
        Err(Error::contention(invocation.handle, u32::try_from(MAX_ATTEMPTS).unwrap_or(u32::MAX)))
    }

    /// Adds a session to the index and to its owner's set, for longer than it will live.
    fn index(&self, handle: Handle, owner: Option<&str>, ttl_ms: u64) -> Result<()> {
        let mut commands = vec![self.index_add(handle, ttl_ms)];
        let member = owner.map(|owner| OwnerMember { handle, owner, ttl_ms, since: LoginTime::Known, limit: None });
        commands.extend(member.map(|member| self.owner_add(&member, None)));
        self.ask(&commands).map(drop)
    }

    /// Confirms a session's login, or ends the session if the login was revoked or lost its slot.
    fn confirm(&self, handle: Handle, owner: &str, begun: Epoch) -> Result<bool> {
        let check = self.on_owner(&CONFIRM_LOGIN, owner, [handle.to_string(), begun.to_u64().to_string()]);
        let reply = Reply::of(handle, &self.ask_one(check)?)?;
        let after = Epoch::from_u64(begun.to_u64().saturating_add(1));
        // If the session ended or logged in again since, neither script changes it.
        let invocation = match reply {
            Reply::Ok => {
                let set = Invocation::new(&SET_EPOCH, handle).with_owner(owner).with(begun.to_u64().to_be_bytes());
                Invocation { confirmed: Some(begun), ..set }
            }
            Reply::Refused(Outcome::AtLimit) => self.revocation(handle, owner, EndReason::Limit, after, after),
            _ => self.revocation(handle, owner, EndReason::LoggedOutEverywhere, after, after),
        };
        self.ask_one(self.command(&invocation))?;
        Ok(matches!(reply, Reply::Ok))
    }

    /// The script that ends the session with this handle and, if `owner` is given, this owner.
    pub(super) fn ending(&self, handle: Handle, owner: Option<&str>, reason: EndReason) -> Invocation<'static> {
        let invocation = Invocation::new(&END, handle).with_owner(owner.unwrap_or_default());
        let keys = vec![self.keys.of_end_reason(handle)];
        Invocation { keys, ..invocation.with(end_args(b'h', reason_letter(reason), [0, 0])) }
    }

    /// Like `ending`, if the session's epoch is older than `epoch`, too. `previous`: see [`END`].
    pub(super) fn revocation(
        &self,
        handle: Handle,
        owner: &str,
        reason: EndReason,
        epoch: Epoch,
        previous: Epoch,
    ) -> Invocation<'static> {
        let epochs = [epoch, previous].map(Epoch::to_u64);
        self.ending(handle, Some(owner), reason).with(end_args(b'r', reason_letter(reason), epochs))
    }

    /// The command that runs a script on a session.
    pub(super) fn command<'c>(&self, invocation: &'c Invocation<'_>) -> Command<'c> {
        let mut keys = vec![self.keys.of_record(invocation.handle)];
        keys.extend(invocation.keys.iter().cloned());
        let mut args: Vec<Arg<'c>> = vec![invocation.to_bytes(self.now()).into()];
        args.extend(invocation.args.iter().map(|arg| Arg::Borrowed(&**arg)));
        Command { verb: Verb::Session(invocation.script), keys, args }
    }

    /// Adds a session to the index.
    pub(super) fn index_add(&self, handle: Handle, ttl_ms: u64) -> Command<'static> {
        let args = [handle.to_string(), index_ms(ttl_ms).to_string()];
        self.script(&INDEX_ADD, vec![self.keys.of_index_with(handle)], args)
    }

    /// Adds a session to its owner's set. `gone`: the examined sessions that no longer exist.
    pub(super) fn owner_add(&self, member: &OwnerMember<'_>, gone: Option<&[Handle]>) -> Command<'static> {
        let OwnerMember { handle, owner, ttl_ms, since, limit } = member;
        let is_refused = limit.is_some_and(|limit| limit.at_limit == AtLimit::RefuseNewest);
        let args = [
            handle.to_string(),
            index_ms(*ttl_ms).to_string(),
            match since {
                LoginTime::Now => "now".to_owned(),
                LoginTime::Known => "known".to_owned(),
                LoginTime::At(millis) => millis.to_string(),
            },
            limit.map_or_else(String::new, |limit| limit.max.to_string()),
            if is_refused { "r" } else { "" }.to_owned(),
            if gone.is_some() { "examined" } else { "" }.to_owned(),
        ];
        let gone = gone.unwrap_or_default().iter().map(Handle::to_string);
        self.on_owner(&OWNER_ADD, owner, args.into_iter().chain(gone))
    }

    /// The command that runs a script on an owner's keys.
    pub(super) fn on_owner(
        &self,
        script: &'static LuaScript,
        owner: &str,
        args: impl IntoIterator<Item = String>,
    ) -> Command<'static> {
        self.script(script, self.keys.of_owner(owner).into(), args)
    }

    fn script(
        &self,
        script: &'static LuaScript,
        keys: Vec<Vec<u8>>,
        args: impl IntoIterator<Item = String>,
    ) -> Command<'static> {
        let args = [self.now().to_string()].into_iter().chain(args).map(|arg| arg.into_bytes().into());
        Command { verb: Verb::Script(script), keys, args: args.collect() }
    }

    /// Runs a command on one key.
    pub(super) fn read(&self, name: &'static str, key: Vec<u8>, args: &[&'static str]) -> Result<Value> {
        let args = args.iter().map(|arg| arg.as_bytes().into()).collect();
        self.ask_one(Command { verb: Verb::Name(name), keys: vec![key], args })
    }

    pub(super) fn ask_one(&self, command: Command<'_>) -> Result<Value> {
        self.ask(&[command]).map(|mut answers| answers.pop().unwrap_or_default())
    }

    pub(super) fn ask(&self, commands: &[Command<'_>]) -> Result<Vec<Value>> {
        let answers = self.pool.ask(commands).and_then(|answers| answers.into_iter().collect());
        answers.map_err(|failure| self.reported(Error::store(failure)))
    }

    pub(super) fn check_size(&self, handle: Handle, bytes: usize) -> Result<()> {
        let max = self.max_session_size;
        if bytes > max {
            return Err(Error::size(format!("session {handle}: {bytes} bytes, max_session_size is {max}")));
        }
        Ok(())
    }

    /// Reports an error that the caller receives.
    fn reported(&self, error: Error) -> Error {
        self.report(&self.request_errors, &error);
        error
    }

    pub(super) fn report(&self, to: &Broadcast<Error>, error: &Error) {
        let mut last = self.last_report.lock();
        if last.is_none_or(|last| last.elapsed() >= REPORT_INTERVAL) {
            *last = Some(Instant::now());
            drop(last);
            to.publish(|| error.clone());
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("server", &self.pool.name())
            .field("prefix", &self.keys.prefix)
            .finish_non_exhaustive()
    }
}

/// The letter that the server stores for an end reason.
pub(super) fn reason_letter(reason: EndReason) -> u8 {
    match reason {
        EndReason::LoggedOutEverywhere => b'e',
        EndReason::Limit => b'l',
        EndReason::Revoked => b'n',
    }
}

/// The arguments of [`END`].
pub(super) fn end_args(mode: u8, reason: u8, epochs: [u64; 2]) -> Vec<u8> {
    [&[mode, reason][..], epochs.map(u64::to_be_bytes).as_flattened()].concat()
}

/// How long the index and the owner's set hold a session that lives for `ttl_ms`.
fn index_ms(ttl_ms: u64) -> u64 {
    ttl_ms.saturating_mul(2).saturating_add(INDEX_SLACK_MS).min(NONE / 2)
}
