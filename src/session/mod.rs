//! One user's session: a map of values, and the commit of a request's changes to it.
//!
//! ```text
//!              first look                    save
//!   unloaded ─────────────▶ new ───────────────────────▶ live ──┐ save, touch, reload, regenerate
//!       │                    ▲                            │ ▲───┘
//!       │ found              │ regenerate                 │ log_out, or the store no longer has it
//!       └────────────────────┼──────────▶ live            ▼
//!                            └─────────────────────────  ended
//! ```
//!
//! The first look reads the store. If no presented id opens a session, a *new* session begins under
//! a new id and keeps the values that the request sets. A session is *ended* if it was destroyed,
//! expired or evicted while a `Session` held it, or if a login in another request has just
//! superseded its id.
//!
//! A draft collects the request's actions: changed keys, a new id, a login. Nothing changes before
//! the draft is committed, not even the id.

mod commit;
mod component;
mod csrf;
mod draft;
mod fork;
#[cfg_attr(not(feature = "web"), expect(dead_code, reason = "only the cookie layer asks"))]
mod inputs;
mod login;
mod look;
mod map;
mod modify;
mod save;
mod state;
mod times;

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::time::Duration;

pub use self::commit::Saved;
pub use self::component::Component;
use self::draft::{Draft, UnknownCommit};
pub use self::fork::Step;
#[cfg(feature = "web")]
pub(crate) use self::inputs::{Credential, Inputs};
use self::state::{AppliedCommit, LoadedSession, State};
#[cfg(feature = "web")]
pub(crate) use self::state::{Candidate, MAX_COOKIES};
pub(crate) use self::state::{Candidates, Carrier, Ending, Stage};
use crate::context::Context;
use crate::error::Result;
use crate::event::Event;
use crate::id::{Handle, SessionId};
use crate::record::Record;
use crate::store::{Commit, Look, Presented, Receipt, Store};
use crate::sync::Arc;

/// One user's session: a map with string keys and values of any type that serde can write as JSON.
///
/// The session reads the store once, at its first look. It remembers which keys changed, and
/// [`save`](Self::save) merges those into the record that is stored at that moment, so parallel
/// requests of one user lose none of each other's changes. If two of them set the same key, the
/// last one wins; for counters and lists there is [`modify`](Self::modify). A session that was
/// logged out elsewhere stays ended.
///
/// In a server, the cookie layer loads and saves the session. A session that is dropped discards
/// its unsaved changes, so a handler that panics changes nothing. A session can move to another
/// thread, but two threads cannot share it: for a WebSocket's thread there is
/// [`fork`](Self::fork).
///
/// # Errors
///
/// The first method that needs the stored session looks it up. If the store or the random source
/// fails during this first look, the method returns that error, and the next method looks again.
/// After the first look, reading a key does not ask the store.
///
/// # Examples
///
/// ```
/// use lembro::{LembroStore, Saved, Sessions};
///
/// let sessions = Sessions::new(LembroStore::new()?);
/// let mut session = sessions.generate()?;
/// session.insert("user", "ada")?;
/// session.insert("visits", &1)?;
/// assert_eq!(session.save()?, Saved::Written);
/// assert_eq!(session.save()?, Saved::Unchanged);
///
/// let again = sessions.load(&session.id()?)?.expect("it was saved");
/// assert_eq!(again.get_str("user")?.as_deref(), Some("ada"));
/// # Ok::<(), lembro::Error>(())
/// ```
pub struct Session {
    context: Arc<Context>,
    presented: Candidates,
    /// The carrier of the id that the first look found. `None` if it found nothing.
    opened_by: Cell<Option<Carrier>>,
    /// The request came over https.
    https: bool,
    /// A peek if the request must not prolong the session.
    first_look: Look,
    /// Empty until the first look.
    state: OnceCell<State>,
    draft: Draft,
    /// A commit whose outcome is unknown. The commit is sent again before anything else. It is
    /// boxed, because it is rare and large.
    unknown: Option<Box<UnknownCommit>>,
    /// A commit of this `Session` set an id that the client does not know yet.
    owes_id: bool,
    /// True if no response can announce a new id any more.
    sealed: bool,
}

impl Session {
    /// A session that the first look will search for under these ids.
    #[inline]
    pub(crate) fn unloaded(context: Arc<Context>, presented: Candidates) -> Self {
        Self {
            context,
            presented,
            opened_by: Cell::new(None),
            https: false,
            first_look: Look::Visit,
            state: OnceCell::new(),
            draft: Draft::default(),
            unknown: None,
            owes_id: false,
            sealed: false,
        }
    }

    /// A session that is not stored yet.
    pub(crate) fn generate(context: Arc<Context>) -> Result<Self> {
        let id = (context.ids)()?;
        Ok(Self { state: State { id, stage: Stage::New }.into(), ..Self::unloaded(context, Candidates::default()) })
    }

    /// The stored session with this id. Never creates a session.
    pub(crate) fn load(context: Arc<Context>, id: &SessionId) -> Result<Option<Self>> {
        let mut presented = Candidates::default();
        presented[0] = Some((*id).into());
        let mut session = Self::unloaded(context, presented);
        match session.find_presented()? {
            Some(found) if matches!(found.stage, Stage::Live(_)) => session.state = found.into(),
            _ => return Ok(None),
        }
        Ok(Some(session))
    }

    /// The session that this commit has created.
    pub(crate) fn created(context: Arc<Context>, id: SessionId, commit: Commit, receipt: &Receipt) -> Self {
        let applied = AppliedCommit { read: None, commit, now: context.now() };
        let stage = Stage::Live(LoadedSession::after(applied, receipt, Presented::Current));
        Self { state: State { id, stage }.into(), ..Self::unloaded(context, Candidates::default()) }
    }

    /// The id under which the session is stored. [`log_in`](Self::log_in) and
    /// [`regenerate`](Self::regenerate) replace it at the next [`save`](Self::save).
    ///
    /// A [new](Self::is_new) session will be stored under this id, unless another session takes the
    /// id first.
    ///
    /// # Errors
    ///
    /// If the first look fails.
    pub fn id(&self) -> Result<SessionId> {
        Ok(self.state()?.id)
    }

    /// The public part of the id, for logs and lists. [`regenerate`](Self::regenerate) does not
    /// change it.
    ///
    /// # Errors
    ///
    /// If the first look fails.
    pub fn handle(&self) -> Result<Handle> {
        Ok(self.state()?.id.handle())
    }

    /// Returns true if nothing is stored under this session's id yet.
    ///
    /// # Errors
    ///
    /// If the first look fails.
    pub fn is_new(&self) -> Result<bool> {
        Ok(matches!(self.state()?.stage, Stage::New))
    }

    /// Returns true if the session ended while this `Session` held it: it was destroyed, expired or
    /// evicted, or a login in another request has just superseded its id.
    ///
    /// The answer is that of the last call that asked the store. [`save`](Self::save),
    /// [`touch`](Self::touch) and [`reload`](Self::reload) ask the store again.
    ///
    /// # Errors
    ///
    /// If the first look fails.
    pub fn is_gone(&self) -> Result<bool> {
        Ok(matches!(self.state()?.stage, Stage::Ended(_)))
    }

    /// Returns true if there are unsaved changes.
    pub fn is_changed(&self) -> bool {
        !self.draft.is_empty() || self.unknown.is_some()
    }

    /// The store that holds the session.
    pub fn store(&self) -> &dyn Store {
        &self.context.store
    }

    /// Returns true after the first look.
    pub(crate) fn is_loaded(&self) -> bool {
        self.state.get().is_some()
    }

    /// The time that a session has left now.
    fn remaining(&self, live: &LoadedSession) -> Duration {
        live.ttl.saturating_sub(self.context.clock.now().saturating_sub(live.seen_at))
    }

    /// Returns the state. Makes the first look if there was none.
    fn state(&self) -> Result<&State> {
        if let Some(state) = self.state.get() {
            return Ok(state);
        }
        let state = self.look_up()?;
        Ok(self.state.get_or_init(|| state))
    }

    /// The state, or the error of a store that is down. Operations call this if they need the store
    /// even though the policy lets requests go on without it.
    fn require_store(&self) -> Result<&State> {
        match self.state()? {
            State { stage: Stage::StoreUnavailable(error), .. } => Err(error.clone()),
            state => Ok(state),
        }
    }

    fn set_state(&mut self, id: SessionId, stage: Stage) {
        self.state = State { id, stage }.into();
    }

    /// Marks the session as ended and reports lost changes. The draft is dropped, because it must
    /// neither be read nor go into a session that begins next.
    fn end(&mut self, ending: Ending) {
        let is_lost = ending != Ending::Here && self.is_changed();
        self.discard();
        if let Some(state) = self.state.get_mut() {
            state.stage = Stage::Ended(ending);
            let handle = state.id.handle();
            if is_lost {
                self.context.events.publish(|| Event::LostChange { handle });
            }
        }
    }

    /// Discards the draft and the commit whose outcome is unknown.
    fn discard(&mut self) {
        (self.draft, self.unknown) = (Draft::default(), None);
    }

    /// The record that the draft's changes will apply to.
    fn stored_record(&self) -> Result<Option<&Record>> {
        let record = match (&self.unknown, &self.state()?.stage) {
            (Some(unknown), _) => Some(&unknown.record),
            (None, Stage::Live(live)) => Some(live.record(&self.context.lease)),
            (None, Stage::New | Stage::Ended(_) | Stage::StoreUnavailable(_)) => None,
        };
        Ok(record.filter(|record| !self.draft.discards(record)))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.state.get().map(|state| &state.stage) {
            None => "unloaded",
            Some(Stage::New) => "new",
            Some(Stage::Live(_)) => "live",
            Some(Stage::Ended(_)) => "ended",
            Some(Stage::StoreUnavailable(_)) => "store unavailable",
        };
        f.debug_struct("Session")
            .field("handle", &self.state.get().map(|state| state.id.handle()))
            .field("stage", &stage)
            .field("changed", &self.is_changed())
            .finish_non_exhaustive()
    }
}
