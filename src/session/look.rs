//! Looks: the first one, which finds the session of a request, and later ones.

use super::Session;
use super::state::{Candidate, Ending, LoadedSession, Stage, State};
use crate::error::Result;
use crate::event::Event;
use crate::id::SessionId;
use crate::store::{Look, Lookup, Store, Stored};

impl Session {
    /// Makes this request a peek, which reads the session and does not prolong it. Call it before
    /// the first look in requests of a page that polls, so that the idle timeout ends the session
    /// of a user who left the page open (OWASP ASVS 5.0, 7.3.1).
    ///
    /// A commit still prolongs the session; so does [`touch`](Self::touch).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "web")] {
    /// use lembro::web::{RequestHead, SessionLayer};
    /// # use lembro::LembroStore;
    ///
    /// let layer = SessionLayer::new(LembroStore::new()?);
    /// let mut session = layer.load(RequestHead::default());
    /// let unread = session.peek().get::<u32>("unread")?.unwrap_or(0);
    /// # assert_eq!(unread, 0);
    /// # }
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn peek(&mut self) -> &mut Self {
        self.first_look = Look::Peek;
        self
    }

    /// The first look: tries the presented ids in their order. If none opens a session, a new one
    /// begins under an id that this crate draws.
    pub(super) fn look_up(&self) -> Result<State> {
        let stage = match self.find_presented() {
            Ok(Some(state)) => return Ok(state),
            Ok(None) => Stage::New,
            Err(error) if error.is_store() && self.context.policy.goes_on_without() => Stage::StoreUnavailable(error),
            Err(error) => return Err(error),
        };
        Ok(State { id: (self.context.ids)()?, stage })
    }

    /// The session that a presented id opens. If none does, but another request's login has just
    /// superseded one of the ids, the session has ended for this request.
    pub(super) fn find_presented(&self) -> Result<Option<State>> {
        let mut superseded = None;
        for Candidate { id, carrier, .. } in self.presented.iter().flatten() {
            match self.visit_or_peek(id)? {
                Lookup::Found(stored) => {
                    self.opened_by.set(Some(*carrier));
                    return Ok(Some(State { id: *id, stage: self.loaded(stored) }));
                }
                Lookup::Superseded { recent: true } if superseded.is_none() => {
                    self.opened_by.set(Some(*carrier));
                    superseded = Some(State { id: *id, stage: Stage::Ended(Ending::Superseded) });
                }
                Lookup::Superseded { recent: true } => {}
                Lookup::Superseded { recent: false } => {
                    self.context.events.publish(|| Event::SupersededId { handle: id.handle() });
                }
                Lookup::Missing => self.context.events.publish(|| Event::UnknownId { handle: id.handle() }),
            }
        }
        Ok(superseded)
    }

    /// Looks one id up. If the store can read but fails to note a visit, the request is served as a
    /// peek. The reporting store has published the failure.
    fn visit_or_peek(&self, id: &SessionId) -> Result<Lookup> {
        let (store, lease) = (&self.context.store, &self.context.lease);
        store.look(id, self.first_look, lease).or_else(|error| {
            if !error.is_store() || self.first_look == Look::Peek {
                return Err(error);
            }
            store.inner().look(id, Look::Peek, lease).map_err(|_| error)
        })
    }

    /// Reads the session again and keeps the draft. Returns how the session ended, if it did.
    pub(super) fn refresh(&mut self) -> Result<Option<Ending>> {
        let State { id, stage: Stage::Live(live) } = self.state()? else { return Ok(None) };
        let id = *id;
        match self.peek_held(&id, live)? {
            Ok(stored) => {
                self.set_state(id, self.loaded(stored));
                Ok(None)
            }
            Err(ending) => Ok(Some(ending)),
        }
    }

    /// The stored session, even if its id was renewed since, or how it ended.
    pub(super) fn peek_held(&self, id: &SessionId, live: &LoadedSession) -> Result<Result<Stored, Ending>> {
        Ok(match self.context.store.look(id, Look::Held(live.version), &self.context.lease)? {
            // A session of another incarnation is not the one that this request loaded.
            Lookup::Found(stored) if stored.record.version().is_same_incarnation(live.version) => Ok(stored),
            Lookup::Superseded { recent: true } => Err(Ending::Superseded),
            Lookup::Found(_) | Lookup::Superseded { recent: false } | Lookup::Missing => Err(Ending::Elsewhere),
        })
    }

    pub(super) fn loaded(&self, stored: Stored) -> Stage {
        Stage::Live(LoadedSession::read(stored, self.context.clock.now()))
    }
}
