//! Scripts on sessions and owners: called until they have an answer, and their answers.

use std::fmt;
use std::time::{Duration, Instant};

use ::redis::Value;

use super::connections::{self, Connections, Failure, Repeat};
use super::fields::{self, Word};
use super::keys::Keys;
use super::options::Config;
use super::replies::{Asked, as_found, epoch_of, is, letter, unexpected};
use super::scripts::{BURY, CONFIRM, ENTER, EPOCH, GET, NOTE, Script};
use crate::error::{Error, Result};
use crate::event::{Event, Hub};
use crate::id::{Handle, Proof, SessionId};
use crate::record::{Epoch, Record};
use crate::store::{EndReason, Listed, Stored};
use crate::sync::Mutex;

/// Sets know a session for so much longer than it lives: nodes of a cluster have their own clocks.
const SLACK: Duration = Duration::from_secs(60 * 60);

/// No session lives longer: 2^50 ms, some 35,000 years, exact in Lua's numbers.
const FOREVER: u128 = 1 << 50;

/// How often a script may ask for something before it is given up. Each time means that somebody else was at the session.
const MAX_TURNS: usize = 16;

/// At most one error in such a time goes onto the channel.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// A script on one session.
pub(super) struct Call<'a> {
    script: &'static Script,
    handle: Handle,
    digest: Vec<u8>,
    ttl: Duration,
    noted: &'static str,
    repeat: Repeat,
    more: Vec<Word<'a>>,
}

impl<'a> Call<'a> {
    pub(super) fn new(script: &'static Script, id: &SessionId) -> Self {
        Self { digest: digest(id).to_vec(), ..Self::without_id(script, id.handle()) }
    }

    /// For whoever has no id.
    pub(super) fn without_id(script: &'static Script, handle: Handle) -> Self {
        let (digest, ttl, more) = (Vec::new(), Duration::ZERO, Vec::new());
        Self { script, handle, digest, ttl, noted: "", repeat: Repeat::Once, more }
    }

    pub(super) fn digest(self, digest: &[u8]) -> Self {
        Self { digest: digest.to_vec(), ..self }
    }

    pub(super) fn ttl(self, ttl: Duration) -> Self {
        Self { ttl, ..self }
    }

    /// The index and the owner's set know it.
    pub(super) fn noted(self) -> Self {
        Self { noted: "noted", ..self }
    }

    pub(super) fn repeat(self, repeat: Repeat) -> Self {
        Self { repeat, ..self }
    }

    pub(super) fn with(mut self, words: impl IntoIterator<Item = Word<'a>>) -> Self {
        self.more.extend(words);
        self
    }
}

/// What tells one id of a session from another: half of the SHA-256 of its secret. Whoever reads the database can open
/// nothing with it.
pub(super) fn digest(id: &SessionId) -> [u8; 16] {
    Proof::of(id).digest()
}

pub(super) struct Calls {
    connections: Connections,
    pub(super) keys: Keys,
    pub(super) max_session_size: usize,
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
            events: Hub::new(),
            errors: Hub::new(),
            last_report: Mutex::new(None),
        }
    }

    pub(super) fn ping(&self) -> Result<()> {
        // As good as any, and whoever may not do this may do nothing.
        self.epoch("").map(drop)
    }

    /// Runs a script on a session until it neither asks nor has to be noted.
    pub(super) fn run(&self, call: &Call<'_>) -> Result<Value> {
        let replies = self.send(&[self.on_session(call, call.noted, None)], call.repeat)?;
        self.settle(call, replies.into_iter().next_back().unwrap_or_default())
    }

    /// The same for one that has had its first answer.
    pub(super) fn settle(&self, call: &Call<'_>, mut reply: Value) -> Result<Value> {
        let (mut noted, mut sure) = (call.noted.to_owned(), None);
        for _ in 0..MAX_TURNS {
            match Asked::of(&reply)? {
                Asked::Nothing => {
                    if is(&reply, "Dead") {
                        self.events.publish(|| Event::DeadIdUsed { handle: call.handle });
                    }
                    return Ok(reply);
                }
                Asked::ToNote(owner) => {
                    self.note(call.handle, owner, call.ttl)?;
                    // It may be somebody else's by now, whose set does not know it.
                    noted = format!("for {}", owner.unwrap_or_default());
                }
                Asked::WhetherLoggedIn(owner, epoch) => {
                    if self.confirm(call.handle, owner, epoch)? {
                        sure = Some(epoch);
                    }
                }
                Asked::ForAnotherVersion("") => return Err(not_ours(call.handle)),
                Asked::ForAnotherVersion(layout) => {
                    return Err(Error::corrupt(format!(
                        "session {} has layout {layout}, and this version of lembro knows layout {} only",
                        call.handle,
                        super::scripts::FORMAT
                    )));
                }
            }
            let replies = self.send(&[self.on_session(call, &noted, sure)], call.repeat)?;
            reply = replies.into_iter().next_back().unwrap_or_default();
        }
        Err(Error::contention(call.handle, u32::try_from(MAX_TURNS).unwrap_or(u32::MAX)))
    }

    /// Runs a script that stores a session anew. `begun`: only if a login of that epoch still counts.
    pub(super) fn add(&self, call: Call<'_>, record: &Record, begun: Option<Epoch>) -> Result<Value> {
        let (handle, ttl) = (call.handle, call.ttl);
        self.check_size(handle, fields::size_of_record(record))?;
        let login = match record.owner() {
            None => None,
            Some(owner) => match self.begin_login(handle, owner, ttl, begun)? {
                Some(epoch) => Some((owner, epoch)),
                None => return Ok(Value::SimpleString("Gone".to_owned())),
            },
        };
        let call = call.noted().with(fields::of_record(record, login.map(|(_, epoch)| epoch)));
        let Some((owner, epoch)) = login else {
            // In one round trip.
            let calls = [self.noting(handle, ttl), self.on_session(&call, call.noted, None)];
            let replies = self.send(&calls, call.repeat)?;
            return self.settle(&call, replies.into_iter().next_back().unwrap_or_default());
        };
        let reply = self.run(&call)?;
        if is(&reply, "Done") && !self.confirm(handle, owner, epoch)? {
            return Ok(Value::SimpleString("Gone".to_owned()));
        }
        Ok(reply)
    }

    pub(super) fn check_size(&self, handle: Handle, bytes: usize) -> Result<()> {
        if bytes > self.max_session_size {
            let max = self.max_session_size;
            return Err(Error::limit(format!("session {handle}: {bytes} bytes, max_session_size is {max}")));
        }
        Ok(())
    }

    /// The epoch that a session may log in with; `None`: that login is over.
    pub(super) fn begin_login(
        &self,
        handle: Handle,
        owner: &str,
        ttl: Duration,
        begun: Option<Epoch>,
    ) -> Result<Option<Epoch>> {
        let epoch = self.note(handle, Some(owner), ttl)?;
        Ok(epoch.filter(|epoch| begun.is_none_or(|begun| begun >= *epoch)))
    }

    /// Has the index and the owner's set know a session for longer than it is to live. The owner's epoch.
    fn note(&self, handle: Handle, owner: Option<&str>, ttl: Duration) -> Result<Option<Epoch>> {
        let Some(owner) = owner else { return self.send(&[self.noting(handle, ttl)], Repeat::Once).map(|_| None) };
        let words = [handle.to_string().into_bytes(), noted_for(ttl)];
        let entering = self.on_owner(&ENTER, owner, words.map(Into::into).into());
        let replies = self.send(&[self.noting(handle, ttl), entering], Repeat::Once)?;
        replies.last().map(epoch_of).transpose()
    }

    fn noting(&self, handle: Handle, ttl: Duration) -> connections::Call<'static> {
        let words = [handle.to_string().into_bytes(), noted_for(ttl)];
        let keys = vec![self.keys.of_index_with(handle)];
        connections::Call { script: &NOTE, keys, words: words.map(Into::into).into() }
    }

    /// Whether the login that a session began with still counts; if not, the session is ended.
    pub(super) fn confirm(&self, handle: Handle, owner: &str, begun: Epoch) -> Result<bool> {
        let now = self.epoch(owner)?;
        if begun < now {
            self.bury(&[handle], owner, now, now)?;
            return Ok(false);
        }
        let call = Call::without_id(&CONFIRM, handle).with([fields::word(owner)]);
        let confirmed = self.send(&[self.on_session(&call, call.noted, Some(begun))], Repeat::Once)?;
        // It may have ended meanwhile; whoever asked will see.
        drop(confirmed);
        Ok(true)
    }

    pub(super) fn epoch(&self, owner: &str) -> Result<Epoch> {
        let replies = self.send(&[self.on_owner(&EPOCH, owner, Vec::new())], Repeat::Once)?;
        epoch_of(replies.last().unwrap_or(&Value::Nil))
    }

    /// Ends those of these sessions that are of this owner and of an earlier epoch. How many there were, without logins that did
    /// not count even `before`.
    pub(super) fn bury(&self, handles: &[Handle], owner: &str, epoch: Epoch, before: Epoch) -> Result<usize> {
        let mut ended = 0;
        for batch in handles.chunks(super::listing::BATCH) {
            let epochs = || [epoch, before].map(|epoch| fields::number(epoch.to_u64()).into());
            let bury = |handle: &Handle| {
                let call = Call::without_id(&BURY, *handle);
                call.with([letter(EndReason::Everywhere), fields::word(owner)]).with(epochs())
            };
            let burials: Vec<_> = batch.iter().map(bury).collect();
            let calls: Vec<_> = burials.iter().map(|call| self.on_session(call, call.noted, None)).collect();
            let replies = self.send(&calls, Repeat::Once)?;
            ended += replies.iter().filter(|reply| **reply == Value::Int(1)).count();
        }
        Ok(ended)
    }

    pub(super) fn on_session<'c>(
        &self,
        call: &'c Call<'_>,
        noted: &'c str,
        sure: Option<Epoch>,
    ) -> connections::Call<'c> {
        let ttl = u64::try_from(call.ttl.as_millis().min(FOREVER)).unwrap_or(u64::MAX);
        let sure = sure.map_or_else(String::new, |epoch| epoch.to_u64().to_string());
        let found = if noted.is_empty() && sure.is_empty() { sure } else { format!("{sure} {noted}") };
        let mut words = vec![fields::usual(&call.digest).into(), fields::number(ttl).into(), found.into_bytes().into()];
        words.extend(call.more.iter().map(|word| Word::Borrowed(&**word)));
        let mut keys = vec![self.keys.of_record(call.handle)];
        if call.script.needs_all_keys {
            keys.push(self.keys.of_why(call.handle));
        }
        connections::Call { script: call.script, keys, words }
    }

    pub(super) fn on_owner<'c>(
        &self,
        script: &'static Script,
        owner: &str,
        words: Vec<Word<'c>>,
    ) -> connections::Call<'c> {
        connections::Call { script, keys: self.keys.of_owner(owner), words }
    }

    pub(super) fn send(&self, calls: &[connections::Call<'_>], repeat: Repeat) -> Result<Vec<Value>> {
        self.connections.call(calls, repeat).map_err(|failure| self.failed(failure))
    }

    fn failed(&self, failure: Failure) -> Error {
        let error = Error::store(failure);
        let mut last = self.last_report.lock();
        if last.is_none_or(|last| last.elapsed() >= REPORT_EVERY) {
            *last = Some(Instant::now());
            drop(last);
            self.errors.publish(|| error.clone());
        }
        error
    }

    /// The session that an id opens. Without a script if that is enough: Lua takes longer over a session than all the rest.
    pub(super) fn find(&self, id: &SessionId) -> Result<Option<Stored>> {
        let call = Call::new(&GET, id);
        let key = self.keys.of_record(call.handle);
        let read = self.connections.read(&key).map_err(|failure| self.failed(failure))?;
        let reply = match read.and_then(|read| as_found(read, &fields::usual(&call.digest))) {
            Some(reply) => reply,
            None => self.run(&call)?,
        };
        self.stored(call.handle, &reply)
    }

    /// A session that was looked at without its id; `None` if it is not there.
    pub(super) fn listed(&self, handle: Handle, reply: Result<Value>) -> Option<Result<Listed>> {
        let stored = reply.and_then(|reply| self.stored(handle, &reply)).transpose()?;
        Some(stored.map(|stored| Listed::new(handle, stored)))
    }

    /// What `GET` found.
    pub(super) fn stored(&self, handle: Handle, reply: &Value) -> Result<Option<Stored>> {
        match reply {
            Value::Array(parts) => match parts.as_slice() {
                [Value::Int(left), Value::Array(fields), Value::Int(grace)] => {
                    let record = fields::to_record(fields).ok_or_else(|| not_ours(handle))?;
                    let left = Duration::from_millis(u64::try_from(*left).unwrap_or(0));
                    Ok(Some(Stored::new(record, left).in_grace(*grace == 1)))
                }
                _ => Err(unexpected(reply)),
            },
            reply if is(reply, "Gone") => {
                self.events.publish(|| Event::UnknownId { handle });
                Ok(None)
            }
            reply if is(reply, "Dead") => Ok(None),
            _ => Err(unexpected(reply)),
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

fn not_ours(handle: Handle) -> Error {
    Error::corrupt(format!("session {handle} is not what lembro wrote"))
}

fn noted_for(ttl: Duration) -> Vec<u8> {
    let millis = ttl.as_millis().min(FOREVER) * 2 + SLACK.as_millis();
    fields::number(u64::try_from(millis).unwrap_or(u64::MAX))
}
