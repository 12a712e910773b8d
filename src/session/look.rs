//! Looks: the first one, which finds the session of a request, and later ones.

use super::live::Live;
use super::{Candidate, Ending, Session, Stage, State};
use crate::error::Result;
use crate::event::Event;
use crate::id::SessionId;
use crate::store::{Look, Lookup, Store, Stored};

impl Session {
    /// Tries the presented ids in their order. If none opens a session, a new one begins, under an
    /// id that this crate draws.
    pub(super) fn first_look(&self) -> Result<State> {
        let stage = match self.find_presented() {
            Ok(Some(state)) => return Ok(state),
            Ok(None) => Stage::New,
            Err(error) if error.is_store() && self.context.policy.goes_on_without() => Stage::Without(error),
            Err(error) => return Err(error),
        };
        Ok(State { id: (self.context.ids)()?, stage })
    }

    /// The session that a presented id opens. If there is none, but another request's login has
    /// just superseded one of the ids, the session is over for this request.
    pub(super) fn find_presented(&self) -> Result<Option<State>> {
        let mut in_flight = None;
        for Candidate { id, carrier, .. } in self.presented.iter().flatten() {
            match self.look(id)? {
                Lookup::Found(stored) => {
                    self.opened_by.set(Some(*carrier));
                    return Ok(Some(State { id: *id, stage: self.live(stored) }));
                }
                Lookup::Superseded { recent: true } if in_flight.is_none() => {
                    self.opened_by.set(Some(*carrier));
                    in_flight = Some(State { id: *id, stage: Stage::Ended(Ending::Superseded) });
                }
                Lookup::Superseded { recent: true } => {}
                Lookup::Superseded { recent: false } => {
                    self.context.events.publish(|| Event::SupersededId { handle: id.handle() });
                }
                Lookup::Missing => self.context.events.publish(|| Event::UnknownId { handle: id.handle() }),
            }
        }
        Ok(in_flight)
    }

    /// The first look. If the store fails to note a visit but can read, the request is served as a
    /// peek; the store has reported the failure.
    fn look(&self, id: &SessionId) -> Result<Lookup> {
        let (store, lease) = (&self.context.store, &self.context.lease);
        store.look(id, self.first, lease).or_else(|error| {
            if !error.is_store() || self.first == Look::Peek {
                return Err(error);
            }
            store.inner().look(id, Look::Peek, lease).map_err(|_| error)
        })
    }

    /// Reads what is stored now, and keeps what is not committed. Returns how the session ended, if
    /// it did.
    pub(super) fn look_again(&mut self) -> Result<Option<Ending>> {
        let State { id, stage: Stage::Live(live) } = self.state()? else { return Ok(None) };
        let id = *id;
        match self.peek_at(&id, live)? {
            Ok(stored) => {
                self.enter(id, self.live(stored));
                Ok(None)
            }
            Err(ending) => Ok(Some(ending)),
        }
    }

    /// What is stored now of this session, also if its id was renewed since; or how it ended.
    pub(super) fn peek_at(&self, id: &SessionId, live: &Live) -> Result<Result<Stored, Ending>> {
        Ok(match self.context.store.look(id, Look::Held(live.version), &self.context.lease)? {
            // Another session under the same id is not the one that this handle held.
            Lookup::Found(stored) if stored.record.version().is_same_incarnation(live.version) => Ok(stored),
            Lookup::Superseded { recent: true } => Err(Ending::Superseded),
            Lookup::Found(_) | Lookup::Superseded { recent: false } | Lookup::Missing => Err(Ending::Elsewhere),
        })
    }

    pub(super) fn live(&self, stored: Stored) -> Stage {
        Stage::Live(Live::read(stored, self.context.clock.now()))
    }
}
