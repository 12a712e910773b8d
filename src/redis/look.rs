//! Looks and touches: one script in a cluster, a pipeline on one server.

use ::redis::Value;

use super::client::Client;
use super::connection::{Command, Verb};
use super::invocation::Invocation;
use super::replies::{self, Reply};
use super::row::HashRow;
use super::session_scripts::LOOK;
use crate::error::{Error, Result};
use crate::id::SessionId;
use crate::record::Version;
use crate::store::{Lease, Look, Lookup, Outcome, Receipt};

impl Client {
    /// Looks at a session; the rule judges the row. If a hint says that the visit writes nothing, a
    /// peek reads the row first, and the script runs only if the visit must write after all.
    pub(super) fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        let (handle, second, is_visit) = (id.handle(), self.clock.nanos() / 1_000_000_000, how == Look::Visit);
        let is_quiet = is_visit && !self.pool.is_cluster() && self.hints.is_quiet(handle, second);
        let mut lookup = Lookup::Missing;
        for is_script in [is_visit && !is_quiet, true] {
            let Some(row) = self.row_of(id, if is_script { b'v' } else { b'p' }, lease)? else { break };
            let quiet_for = row.quiet_for(lease).as_secs();
            let is_due;
            (lookup, is_due) = row.look(id, if is_script { Look::Peek } else { how }, lease);
            if is_visit {
                self.hints.set(handle, if is_due { 0 } else { second + quiet_for });
            }
            if !is_due {
                break;
            }
        }
        Ok(lookup)
    }

    /// Reads a row. `mode`: 'v'isit, which prolongs the session, or 'p'eek.
    pub(super) fn row_of(&self, id: &SessionId, mode: u8, lease: &Lease) -> Result<Option<HashRow>> {
        let with_fields = if self.pool.is_cluster() { b'1' } else { b'0' };
        let invocation = Invocation { is_write: false, ..Invocation::of(&LOOK, id, lease) }.with([mode, with_fields]);
        Ok(match self.settle(&invocation, self.look_once(&invocation)?, |invocation| self.look_once(invocation))? {
            Reply::Seen { row: Some(row), text } => {
                self.report_refused_visit(&text);
                Some(row)
            }
            _ => None,
        })
    }

    /// In a cluster a look is one script. On one server, `HGETALL` reads the hash, because Lua
    /// takes longer over a session's data than over all the rest. In the same round trip, a visit
    /// runs a script that writes the due changes, and a peek asks for the time left.
    fn look_once(&self, invocation: &Invocation<'_>) -> Result<Reply> {
        if self.pool.is_cluster() {
            return self.send(Vec::new(), invocation);
        }
        let (asked_at, key) = (self.clock.nanos(), self.keys.of_record(invocation.handle));
        let command = |name, keys| Command { verb: Verb::Name(name), keys, args: Vec::new() };
        let is_visit = invocation.script_args.first() == Some(&b'v');
        let now = if self.is_manual { Some(self.now()) } else { self.server_time.at(asked_at) };
        let mut commands = Vec::with_capacity(3);
        if is_visit {
            commands.push(self.command(invocation));
        } else {
            commands.push(command("PTTL", vec![key.clone()]));
            commands.extend(now.is_none().then(|| command("TIME", Vec::new())));
        }
        commands.push(command("HGETALL", vec![key]));
        let mut answers = self.ask(&commands)?;
        let (fields, first) = (answers.pop().unwrap_or_default(), answers.first().unwrap_or(&Value::Nil));
        let (mut read, mut left, mut trouble) = (None, replies::left_of(first), String::new());
        if is_visit {
            let Some((time, ttl, text)) = replies::visited(first) else { return Reply::of(invocation.handle, first) };
            (read, left, trouble) = (Some(time), Some(ttl), text);
        } else if now.is_none() {
            read = Some(replies::time_of(answers.get(1).unwrap_or(&Value::Nil))?);
        }
        read.into_iter().for_each(|now| self.server_time.set(asked_at, self.clock.nanos(), now));
        let (now, fields) = (read.or(now).unwrap_or_default(), replies::fields_of(fields)?);
        Ok(match HashRow::read(invocation.handle, now, left.filter(|_| !self.is_manual), &fields)? {
            Some(HashRow { unconfirmed: Some((owner, epoch)), .. }) if invocation.confirmed != Some(epoch) => {
                Reply::Unconfirmed(owner, epoch)
            }
            row => Reply::Seen { row, text: trouble },
        })
    }

    pub(super) fn touch(&self, id: &SessionId, held: Option<Version>, lease: &Lease) -> Result<Outcome> {
        let invocation = Invocation { held, ..Invocation::of(&LOOK, id, lease) };
        let receipt = |version, ttl, seed: Option<u64>| {
            Receipt::new(version, ttl).announcing(seed.map(|seed| id.successor(seed)))
        };
        Ok(self.write(&invocation.with(*b"t0"))?.outcome(receipt))
    }

    /// Reports a visit that the server refused to write.
    fn report_refused_visit(&self, trouble: &str) {
        if trouble.is_empty() {
            return;
        }
        if trouble.starts_with("READONLY") || trouble.starts_with("-READONLY") {
            // A new connection may lead to the new primary.
            self.pool.forget_idle();
        }
        self.report(&self.background_errors, &Error::store(format!("a visit was not noted: {trouble}")));
    }
}
