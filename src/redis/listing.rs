//! All sessions: listed, counted, cleared, and taken over from another store.

use ::redis::Value;

use super::calls::{Call, Calls};
use super::connections::{self, Repeat};
use super::keys::INDEX_PARTS;
use super::owners::handles;
use super::replies::{is, outcome};
use super::scripts::{CREATE, FORGET, INDEXED, IS_THERE, PEEK, Script, WIPE};
use super::{RedisStore, fields};
use crate::error::Result;
use crate::id::{Handle, Proof};
use crate::store::{Listed, Outcome};

/// How many sessions one round trip is about.
pub(super) const BATCH: usize = 256;

impl RedisStore {
    /// Takes sessions over from another store, as its [`all`](crate::Store::all) lists them: cookies go on working. How many were
    /// new here; those whose handle is there already are left as they are.
    ///
    /// Sessions from a [`LembroStore`](crate::LembroStore) are taken over even if it has only digests of their secrets, because it
    /// [restored](crate::LembroOptions::restore) them. Ids in their grace are not: nobody lists them. Stop the requests that go to
    /// the other store first, or what they write after their session was listed is lost.
    ///
    /// # Errors
    ///
    /// When the other store or the server failed, or a session is larger than
    /// [`max_session_size`](super::RedisOptions::max_session_size). What was taken over by then stays, and it can be called again.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use lembro::redis::RedisStore;
    /// use lembro::{LembroOptions, LembroStore, Store};
    ///
    /// // The file that the old process wrote when it stopped.
    /// let memory = LembroStore::with_options(LembroOptions::new().max_size("64M").restore("sessions.lembro"))?;
    /// let redis = RedisStore::new("redis://127.0.0.1:6379")?;
    /// let taken_over = redis.take_over(memory.all()?)?;
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("import", "migrate"))]
    pub fn take_over(&self, sessions: impl IntoIterator<Item = Result<Listed>>) -> Result<usize> {
        let mut taken_over = 0;
        for listed in sessions {
            let Listed { handle, id, stored } = listed?;
            let digest = id.map_or(stored.record.state().proof, |id| Proof::of(&id)).digest();
            let call = Call::without_id(&CREATE, handle).digest(&digest).ttl(stored.ttl);
            if outcome(&self.calls.add(call, &stored.record, None)?)? == Outcome::Done {
                taken_over += 1;
            }
        }
        Ok(taken_over)
    }
}

impl Calls {
    pub(super) fn all(&self) -> impl Iterator<Item = Result<Listed>> + '_ {
        let parts = (0..INDEX_PARTS).flat_map(|part| match self.indexed(part) {
            Ok(handles) => handles.chunks(BATCH).map(|batch| Ok(batch.to_vec())).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        });
        parts.flat_map(|batch| match batch.and_then(|batch| self.look_at(&PEEK, &batch)) {
            Err(error) => vec![Err(error)],
            Ok(replies) => replies.into_iter().filter_map(|(handle, reply)| self.listed(handle, reply)).collect(),
        })
    }

    pub(super) fn len(&self) -> Result<usize> {
        let mut sessions = 0;
        for part in 0..INDEX_PARTS {
            for batch in self.indexed(part)?.chunks(BATCH) {
                for (_, reply) in self.look_at(&IS_THERE, batch)? {
                    sessions += usize::from(reply? == Value::Int(1));
                }
            }
        }
        Ok(sessions)
    }

    pub(super) fn clear(&self) -> Result<()> {
        for part in 0..INDEX_PARTS {
            for batch in self.indexed(part)?.chunks(BATCH) {
                let wipes: Vec<_> = batch.iter().map(|handle| Call::without_id(&WIPE, *handle)).collect();
                let calls: Vec<_> = wipes.iter().map(|call| self.on_session(call, "", None)).collect();
                let replies = self.send(&calls, Repeat::Once)?;
                // What the index knows and is not there may be on its way: noted, and created in a moment.
                let were_there = batch.iter().zip(&replies).filter(|(_, reply)| **reply == Value::Int(1));
                let names: Vec<_> = were_there.map(|(handle, _)| handle.to_string().into_bytes().into()).collect();
                if names.is_empty() {
                    continue;
                }
                self.send(&[self.on_index(&FORGET, part, names)], Repeat::Once)?;
            }
        }
        Ok(())
    }

    /// What a script says of each of these sessions that is there: one that cannot be read does not hide the others.
    pub(super) fn look_at(&self, script: &'static Script, handles: &[Handle]) -> Result<Vec<(Handle, Result<Value>)>> {
        let mut found = Vec::with_capacity(handles.len());
        for batch in handles.chunks(BATCH) {
            let looks: Vec<_> = batch.iter().map(|handle| Call::without_id(script, *handle)).collect();
            let calls: Vec<_> = looks.iter().map(|call| self.on_session(call, "", None)).collect();
            let replies = self.send(&calls, Repeat::Once)?;
            for ((handle, call), reply) in batch.iter().zip(&looks).zip(replies) {
                let reply = self.settle(call, reply);
                // That the sets know too much is no event.
                if !reply.as_ref().is_ok_and(|reply| is(reply, "Gone")) {
                    found.push((*handle, reply));
                }
            }
        }
        Ok(found)
    }

    fn indexed(&self, part: u64) -> Result<Vec<Handle>> {
        let replies = self.send(&[self.on_index(&INDEXED, part, Vec::new())], Repeat::Once)?;
        handles(replies.last().unwrap_or(&Value::Nil))
    }

    fn on_index<'c>(&self, script: &'static Script, part: u64, words: Vec<fields::Word<'c>>) -> connections::Call<'c> {
        connections::Call { script, keys: vec![self.keys.of_index(part)], words }
    }
}
