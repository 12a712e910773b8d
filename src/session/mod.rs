//! The session: one user's map of values, which remembers its changes and commits only those.
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
//! The store is read at the first look. If no presented id opens a session, a *new* session begins
//! under a new id, and keeps what is put into it. *Ended* means that the session ended while this
//! handle held it, or that a login in another request has just superseded its id.
//!
//! What a request does is collected in a draft: changed keys, a new id, a login. Before the draft
//! is committed nothing has changed, the id included.

mod commit;
mod component;
mod csrf;
mod draft;
#[cfg_attr(not(feature = "web"), expect(dead_code, reason = "it is the cookie layer that asks"))]
mod facts;
mod identity;
mod lifecycle;
mod live;
mod look;
mod map;
mod modify;
mod owner;
mod step;
mod times;

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::time::Duration;

pub use self::component::Component;
use self::draft::{Draft, SentCommit};
#[cfg(feature = "web")]
pub(crate) use self::facts::{Client, Facts};
pub use self::lifecycle::Saved;
use self::live::{Committed, Live};
pub use self::step::Step;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::{Handle, SessionId};
use crate::record::Record;
use crate::store::{Commit, Look, Presented, Receipt, Store};
use crate::sync::Arc;

/// How many ids one request may present in cookies: of the same name from several paths and
/// domains.
pub(crate) const MAX_COOKIES: usize = 4;

/// The ids a request presented, in the order in which they are tried. One may stand in a token.
pub(crate) type Candidates = [Option<Candidate>; MAX_COOKIES + 1];

/// What carries an id between the client and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// Sent by a browser by itself.
    Cookie,
    /// Put into a header by the client's code.
    Token,
}

/// An id that a request presented, and the cookie or the token that it stood in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: SessionId,
    pub(crate) carrier: Carrier,
    /// When the cookie was written, in seconds since 1970, if it says so.
    pub(crate) written: Option<u64>,
    /// Signed as it would be signed now.
    pub(crate) well_signed: bool,
}

impl From<SessionId> for Candidate {
    fn from(id: SessionId) -> Self {
        Self { id, carrier: Carrier::Cookie, written: None, well_signed: true }
    }
}

/// One user's session: Map-like, with string keys and values of any type that serde knows.
///
/// It reads the store at the first look, remembers which keys changed, and [`save`](Self::save)
/// merges those into what is stored at that moment. So concurrent requests of one user lose none of
/// each other's changes. If they set the same key, the last one counts; [`modify`](Self::modify) is
/// for counters and lists. A session that was logged out elsewhere stays ended.
///
/// In a server the cookie layer loads and saves it. A session that is dropped unsaved discards its
/// changes, so a handler that panics changes nothing. A session can move to another thread, but not
/// be used by two at once: a WebSocket's thread gets a second handle by [`fork`](Self::fork).
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
    /// What carried the id that the first look found; none if it found nothing.
    opened_by: Cell<Option<Carrier>>,
    /// Whether the request came over https.
    https: bool,
    /// What the first look is: a visit, unless the request is none.
    first: Look,
    /// Empty until the first look.
    state: OnceCell<State>,
    draft: Draft,
    /// Sent again before anything else is. In a box, because it is rare and large.
    sent: Option<Box<SentCommit>>,
    /// Set when a commit of this handle gave the session an id: the client does not know it yet.
    owes_id: bool,
    /// No response can announce a new id any more.
    sealed: bool,
}

/// What the first look found.
#[derive(Clone)]
struct State {
    id: SessionId,
    stage: Stage,
}

/// How a session stands. The cookie layer decides by a stage without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage<L = Live, E = Error> {
    /// Nothing is stored under this id yet.
    New,
    /// It was stored when it was last seen.
    Live(L),
    Ended(Ending),
    /// The store failed with this error, and the policy lets the request go on without a session.
    Without(E),
}

/// How a session ended for the handle that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By `log_out` on this handle.
    Here,
    /// Logged out, expired or evicted.
    Elsewhere,
    /// A login in another request superseded its id: this request is in flight beside it.
    Superseded,
}

impl Session {
    /// A session that the first look will search under these ids.
    #[inline]
    pub(crate) fn unloaded(context: Arc<Context>, presented: Candidates) -> Self {
        Self {
            context,
            presented,
            opened_by: Cell::new(None),
            https: false,
            first: Look::Visit,
            state: OnceCell::new(),
            draft: Draft::default(),
            sent: None,
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

    /// A session that this commit has created.
    pub(crate) fn created(context: Arc<Context>, id: SessionId, commit: Commit, receipt: &Receipt) -> Self {
        let committed = Committed { read: None, commit, now: context.now() };
        let stage = Stage::Live(Live::committed(committed, receipt, Presented::Current));
        Self { state: State { id, stage }.into(), ..Self::unloaded(context, Candidates::default()) }
    }

    /// The id that the session has in the store. [`log_in`](Self::log_in) and
    /// [`regenerate`](Self::regenerate) replace it at the next [`save`](Self::save). For a
    /// [new](Self::is_new) session it is the id that the session will be stored under, unless
    /// another session takes it first.
    ///
    /// # Errors
    ///
    /// When the store failed.
    pub fn id(&self) -> Result<SessionId> {
        Ok(self.state()?.id)
    }

    /// The public part of the id, for logs and lists. It survives [`regenerate`](Self::regenerate).
    ///
    /// # Errors
    ///
    /// When the store failed.
    pub fn handle(&self) -> Result<Handle> {
        Ok(self.state()?.id.handle())
    }

    /// Returns true if nothing is stored under this session's id yet.
    ///
    /// # Errors
    ///
    /// When the store failed.
    pub fn is_new(&self) -> Result<bool> {
        Ok(matches!(self.state()?.stage, Stage::New))
    }

    /// Returns true if the session ended while this handle held it: it was destroyed, expired or
    /// evicted, or a login in another request has just superseded its id.
    ///
    /// Does not ask the store; [`save`](Self::save), [`touch`](Self::touch) and
    /// [`reload`](Self::reload) do.
    ///
    /// # Errors
    ///
    /// When the store failed.
    pub fn is_gone(&self) -> Result<bool> {
        Ok(matches!(self.state()?.stage, Stage::Ended(_)))
    }

    /// Returns true if there is something to save.
    pub fn is_changed(&self) -> bool {
        !self.draft.is_empty() || self.sent.is_some()
    }

    /// The store that the session lives in.
    pub fn store(&self) -> &dyn Store {
        &self.context.store
    }

    /// Returns true if there was a look; before it the store is not asked.
    pub(crate) fn is_loaded(&self) -> bool {
        self.state.get().is_some()
    }

    fn left(&self, live: &Live) -> Duration {
        live.ttl.saturating_sub(self.context.clock.now().saturating_sub(live.seen_at))
    }

    /// The state, after a first look if there was none.
    fn state(&self) -> Result<&State> {
        if let Some(state) = self.state.get() {
            return Ok(state);
        }
        let state = self.first_look()?;
        Ok(self.state.get_or_init(|| state))
    }

    fn enter(&mut self, id: SessionId, stage: Stage) {
        self.state = State { id, stage }.into();
    }

    /// Ends the session for this handle. The draft belonged to it, so it is dropped: it must not be
    /// read, or go into a session that is begun next. What is lost by it is reported.
    fn ended(&mut self, ending: Ending) {
        let is_lost = ending != Ending::Here && self.is_changed();
        (self.draft, self.sent) = (Draft::default(), None);
        if let Some(state) = self.state.get_mut() {
            state.stage = Stage::Ended(ending);
            let handle = state.id.handle();
            if is_lost {
                self.context.events.publish(|| Event::LostChange { handle });
            }
        }
    }

    /// The record beneath the changes of the draft.
    fn stored_record(&self) -> Result<Option<&Record>> {
        let record = match (&self.sent, &self.state()?.stage) {
            (Some(sent), _) => Some(&sent.record),
            (None, Stage::Live(live)) => Some(live.record(&self.context.lease)),
            (None, Stage::New | Stage::Ended(_) | Stage::Without(_)) => None,
        };
        Ok(record.filter(|record| !self.draft.wipes(record)))
    }

    /// The state, or the error of a store that is down: for operations that must not go on without
    /// it.
    fn insist(&self) -> Result<&State> {
        match self.state()? {
            State { stage: Stage::Without(error), .. } => Err(error.clone()),
            state => Ok(state),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.state.get().map(|state| &state.stage) {
            None => "unloaded",
            Some(Stage::New) => "new",
            Some(Stage::Live(_)) => "live",
            Some(Stage::Ended(_)) => "ended",
            Some(Stage::Without(_)) => "without",
        };
        f.debug_struct("Session")
            .field("handle", &self.state.get().map(|state| state.id.handle()))
            .field("stage", &stage)
            .field("changed", &self.is_changed())
            .finish_non_exhaustive()
    }
}
