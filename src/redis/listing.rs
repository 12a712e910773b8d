//! All sessions: listed, counted, cleared, and taken over from another store.

use ::redis::Value;

use super::RedisStore;
use super::calls::Calls;
use super::connections::{Command, Verb};
use super::keys::INDEX_PARTS;
use super::plan::Plan;
use super::replies::{self, Reply};
use super::scripts::{LOOK, PUT};
use crate::error::Result;
use crate::id::{Handle, SecretCheck};
use crate::store::Listed;

/// How many sessions one round trip is about.
pub(super) const BATCH: usize = 256;

impl RedisStore {
    /// Takes sessions over from another store, as its [`all`](crate::Store::all) lists them:
    /// cookies go on working. Returns how many were new here; sessions whose handle is there
    /// already are left as they are.
    ///
    /// Sessions from a [`LembroStore`](crate::LembroStore) are taken over even if it has only
    /// digests of their secrets, because it read them [from files](crate::LembroOptions::persist).
    /// Ids in their grace are not, because no list names them. Stop the requests that go to the
    /// other store first, or what they write after their session was listed is lost.
    ///
    /// # Errors
    ///
    /// When the other store or the server failed, or a session is larger than
    /// [`max_session_size`](super::RedisOptions::max_session_size). What was taken over by then
    /// stays, and it can be called again.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use lembro::redis::RedisStore;
    /// use lembro::{LembroOptions, LembroStore, Store};
    ///
    /// // The file that the old process wrote when it stopped.
    /// let options = LembroOptions::new().max_size("64M").persist("sessions.lembro");
    /// let memory = LembroStore::with_options(options)?;
    /// let redis = RedisStore::new("redis://127.0.0.1:6379")?;
    /// let taken_over = redis.take_over(memory.all()?)?;
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("import", "migrate"))]
    pub fn take_over(&self, sessions: impl IntoIterator<Item = Result<Listed>>) -> Result<usize> {
        let mut taken_over = 0;
        for listed in sessions {
            let Listed { handle, id, stored } = listed?;
            let secret = id.map_or(stored.record.state().secret(), |id| SecretCheck::of(&id));
            let plan = Plan { secret, ..Plan::new(&PUT, handle) };
            let outcome = self.calls.put(plan, b't', &stored.record, stored.ttl)?;
            taken_over += usize::from(outcome.is_done());
        }
        Ok(taken_over)
    }
}

impl Calls {
    pub(super) fn all(&self) -> impl Iterator<Item = Result<Listed>> + '_ {
        let parts = (0..INDEX_PARTS).flat_map(|part| match self.members(self.keys.of_index(part)) {
            Ok(handles) => handles.chunks(BATCH).map(|batch| Ok(batch.to_vec())).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        });
        parts.flat_map(|batch| match batch.and_then(|batch| self.listed(&batch)) {
            Err(error) => vec![Err(error)],
            Ok(listed) => listed,
        })
    }

    pub(super) fn len(&self) -> Result<usize> {
        let mut sessions = 0;
        for part in 0..INDEX_PARTS {
            for (_, reply) in self.look_at(b"e0", &self.members(self.keys.of_index(part))?)? {
                sessions += usize::from(matches!(reply?, Reply::Seen { .. }));
            }
        }
        Ok(sessions)
    }

    pub(super) fn clear(&self) -> Result<()> {
        let command = |name, keys, words| Command { verb: Verb::Name(name), keys, words };
        for part in 0..INDEX_PARTS {
            for batch in self.members(self.keys.of_index(part))?.chunks(BATCH) {
                let delete = |handle: &Handle| {
                    let [session, why] = [self.keys.of_record(*handle), self.keys.of_why(*handle)];
                    [command("DEL", vec![session], Vec::new()), command("DEL", vec![why], Vec::new())]
                };
                let answers = self.ask(&batch.iter().flat_map(delete).collect::<Vec<_>>())?;
                // What the index knows and is not there may be on its way: noted, and created in a
                // moment.
                let were_there = batch.iter().zip(answers.iter().step_by(2)).filter(|(_, one)| **one == Value::Int(1));
                let names: Vec<_> = were_there.map(|(handle, _)| handle.to_string().into_bytes().into()).collect();
                if !names.is_empty() {
                    self.ask_one(command("ZREM", vec![self.keys.of_index(part)], names))?;
                }
            }
        }
        Ok(())
    }

    /// The sessions with these handles that are live: one that cannot be read does not hide the
    /// others.
    pub(super) fn listed(&self, handles: &[Handle]) -> Result<Vec<Result<Listed>>> {
        let listed = self.look_at(b"p1", handles)?.into_iter().filter_map(|(handle, reply)| match reply {
            Ok(Reply::Seen { row, .. }) => row.map(|row| Ok(row.listed(handle))),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        });
        Ok(listed.collect())
    }

    fn look_at(&self, told: &'static [u8], handles: &[Handle]) -> Result<Vec<(Handle, Result<Reply>)>> {
        self.each(&handles.iter().map(|handle| looking(*handle, told)).collect::<Vec<_>>())
    }

    /// What each of these scripts says, many in one round trip on one server.
    pub(super) fn each(&self, plans: &[Plan<'_>]) -> Result<Vec<(Handle, Result<Reply>)>> {
        let mut replies = Vec::with_capacity(plans.len());
        for batch in plans.chunks(BATCH) {
            let answers = self.ask(&batch.iter().map(|plan| self.sent(plan)).collect::<Vec<_>>())?;
            for (plan, answer) in batch.iter().zip(answers) {
                let reply = Reply::of(plan.handle, &answer);
                let settled = reply.and_then(|reply| self.settle(plan, reply, |plan| self.send(Vec::new(), plan)));
                replies.push((plan.handle, settled));
            }
        }
        Ok(replies)
    }

    /// The handles that a set knows.
    pub(super) fn members(&self, set: Vec<u8>) -> Result<Vec<Handle>> {
        replies::handles(&self.read("ZRANGE", set, &["0", "-1"])?)
    }
}

/// A look at the session with this handle. `told`: see [`LOOK`].
pub(super) fn looking(handle: Handle, told: &[u8]) -> Plan<'static> {
    Plan { is_write: false, ..Plan::new(&LOOK, handle) }.told(told)
}
