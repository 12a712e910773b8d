//! One user's session: a map of values that remembers what changed, and saves just that.
//!
//! ```text
//!              first look                    save
//!   unloaded ─────────────▶ new ───────────────────────▶ live ──┐ save, touch, reload, regenerate
//!       │                    ▲                            │ ▲───┘
//!       │ found              │ regenerate                 │ destroy, or the store no longer has it
//!       └────────────────────┼──────────▶ live            ▼
//!                            └─────────────────────────  gone
//! ```
//!
//! The store is read when somebody first looks. A cookie that leads nowhere gives a *new* session, under a new id, and
//! whatever is put into it is kept. *Gone* means only: it was there, and it ended while we held it.

mod component;
mod identity;
mod lifecycle;
mod live;
mod map;
mod modify;
mod owner;
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "it is the cookie layer that asks"))]
mod standing;

use std::cell::OnceCell;
use std::fmt;
use std::time::{Duration, SystemTime};

pub use self::component::Component;
pub(crate) use self::identity::LEMBRO;
pub use self::lifecycle::Saved;
use self::live::Live;
pub(crate) use self::owner::{LABEL, OWNER_SINCE};
#[cfg(feature = "http")]
pub(crate) use self::standing::Standing;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::{Handle, SessionId};
use crate::record::{Changes, Record};
use crate::shared::Shared;
use crate::store::{Store, Stored};
use crate::sync::Arc;

/// How many ids one request may present: cookies of the same name from several paths and domains.
pub(crate) const MAX_CANDIDATES: usize = 4;

/// The ids a request presented, in its order.
pub(crate) type Candidates = [Option<SessionId>; MAX_CANDIDATES];

/// One user's session: Map-like, with string keys and values of any type that serde knows.
///
/// It reads the store once, when it is first looked at, remembers which keys changed, and [`save`](Self::save) merges
/// those into what is stored at that moment: requests of one user that run side by side lose nothing of each other's,
/// unless they set the same key, and then the last one counts ([`modify`](Self::modify) is for counters and lists).
/// A session that was destroyed elsewhere stays destroyed.
///
/// In a server the cookie layer loads and saves it. Dropping a session that was not saved discards its changes, so a
/// handler that panics changes nothing. A session can move to another thread (a WebSocket's, say) but not be used by
/// two at once: load a second one there.
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
/// assert_eq!(again.get::<&str>("user")?, Some("ada"));
/// # Ok::<(), lembro::Error>(())
/// ```
pub struct Session {
    shared: Arc<Shared>,
    presented: Candidates,
    /// Empty until somebody looks.
    state: OnceCell<State>,
    changes: Changes,
    /// Whether this handle has put a new id in the place of the one it found.
    rotated: bool,
    /// Whether somebody logged in, or tried to: then going on without a session would be wrong.
    regenerated: bool,
}

/// What is known after the first look.
#[derive(Clone)]
struct State {
    id: SessionId,
    stage: Stage,
}

#[derive(Clone)]
enum Stage {
    /// Nothing is stored under this id yet.
    New,
    Live(Live),
    /// It ended. `asked`: by `destroy` on this very session.
    Gone {
        asked: bool,
    },
    /// The store failed, like this, and the policy says to go on without a session.
    Without(Error),
}

impl Session {
    /// A session that will be looked for under these ids.
    pub(crate) fn unloaded(shared: Arc<Shared>, presented: Candidates) -> Self {
        Self { shared, presented, state: OnceCell::new(), changes: Changes::new(), rotated: false, regenerated: false }
    }

    /// A session that nobody has stored yet.
    pub(crate) fn generate(shared: Arc<Shared>) -> Result<Self> {
        let id = (shared.ids)()?;
        Ok(Self::entered(shared, State { id, stage: Stage::New }))
    }

    /// The stored session with this id. None is begun in its place, so no id is drawn.
    pub(crate) fn load(shared: Arc<Shared>, id: &SessionId) -> Result<Option<Self>> {
        let mut presented = Candidates::default();
        presented[0] = Some(*id);
        let mut session = Self::unloaded(shared, presented);
        let Some(state) = session.find_presented()? else { return Ok(None) };
        session.state = OnceCell::from(state);
        Ok(Some(session))
    }

    /// A session that was stored a moment ago.
    pub(crate) fn stored(shared: Arc<Shared>, id: SessionId, record: Record) -> Self {
        let (seen_at, ttl) = (shared.clock.now(), shared.ttl(record.times()));
        let live = Live::new(record, seen_at, ttl);
        Self::entered(shared, State { id, stage: Stage::Live(live) })
    }

    fn entered(shared: Arc<Shared>, state: State) -> Self {
        let (presented, changes) = (Candidates::default(), Changes::new());
        Self { shared, presented, state: OnceCell::from(state), changes, rotated: false, regenerated: false }
    }

    /// The id. Of a [`new`](Self::is_new) session: the one it will be stored under, unless somebody takes it first.
    ///
    /// # Errors
    ///
    /// When the store failed.
    pub fn id(&self) -> Result<SessionId> {
        Ok(self.state()?.id)
    }

    /// The part of the id that may be seen: for logs and lists. It survives [`regenerate`](Self::regenerate).
    ///
    /// # Errors
    ///
    /// When the store failed.
    pub fn handle(&self) -> Result<Handle> {
        Ok(self.state()?.id.handle())
    }

    /// Whether nothing is stored under this session's id yet.
    ///
    /// # Errors
    ///
    /// When the store failed.
    pub fn is_new(&self) -> Result<bool> {
        Ok(matches!(self.state()?.stage, Stage::New))
    }

    /// Whether the session ended while we held it: destroyed here or elsewhere, expired, or evicted.
    ///
    /// Asks nobody: the store tells on [`save`](Self::save), [`touch`](Self::touch) and [`reload`](Self::reload).
    ///
    /// # Errors
    ///
    /// When the store failed.
    pub fn is_gone(&self) -> Result<bool> {
        Ok(matches!(self.state()?.stage, Stage::Gone { .. }))
    }

    /// Whether there is something to save.
    pub fn changed(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The idle timeout: the session's own, else the policy's.
    ///
    /// # Errors
    ///
    /// When the store failed.
    pub fn timeout(&self) -> Result<Duration> {
        let own = match self.changes.timeout() {
            Some(changed) => changed,
            None => self.stored_record()?.and_then(Record::timeout),
        };
        Ok(own.unwrap_or(self.shared.policy.idle()))
    }

    /// Gives the session an idle timeout of its own ("remember me"), to the millisecond; `None` takes it away. Counts
    /// from the next save. The policy's `lifetime` still ends it.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`] for a timeout of zero: to end a session, [`destroy`](Self::destroy) it. When the store failed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// # use lembro::{LembroStore, Sessions};
    /// # let mut session = Sessions::new(LembroStore::new()?).generate()?;
    /// assert_eq!(session.timeout()?, Duration::from_secs(60 * 60));
    /// session.set_timeout(Duration::from_secs(8 * 60 * 60))?;
    /// assert_eq!(session.timeout()?, Duration::from_secs(8 * 60 * 60));
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn set_timeout(&mut self, timeout: impl Into<Option<Duration>>) -> Result<()> {
        let timeout = timeout.into();
        if timeout.is_some_and(|timeout| timeout < Duration::from_millis(1)) {
            return Err(Error::option("timeout", "a session's own timeout is at least a millisecond"));
        }
        self.state()?;
        self.changes.set_timeout(timeout);
        Ok(())
    }

    /// When the session ends if nobody uses it again; `None` while nothing is stored, and when it is gone.
    ///
    /// # Errors
    ///
    /// When the store failed.
    #[doc(alias = "expiration")]
    pub fn expires_at(&self) -> Result<Option<SystemTime>> {
        let Stage::Live(live) = &self.state()?.stage else { return Ok(None) };
        // A policy that became stricter since it was stored counts at once.
        let left = self.left(live).min(self.shared.ttl(live.times()));
        Ok(self.shared.clock.wall().checked_add(left))
    }

    /// The store that the session lives in.
    pub fn store(&self) -> &dyn Store {
        &*self.shared.store
    }

    /// Whether anybody has looked yet; until then the store was not asked.
    pub(crate) fn is_loaded(&self) -> bool {
        self.state.get().is_some()
    }

    fn left(&self, live: &Live) -> Duration {
        live.ttl.saturating_sub(self.shared.clock.now().saturating_sub(live.seen_at))
    }

    /// The state; looks for the session first if nobody has.
    fn state(&self) -> Result<&State> {
        if let Some(state) = self.state.get() {
            return Ok(state);
        }
        let state = self.look()?;
        Ok(self.state.get_or_init(|| state))
    }

    /// Tries the presented ids in their order; none of them leads anywhere: a new session, under an id of ours.
    fn look(&self) -> Result<State> {
        let stage = match self.find_presented() {
            Ok(Some(state)) => return Ok(state),
            Ok(None) => Stage::New,
            Err(error) if error.is_store() && self.shared.policy.goes_on_without() => Stage::Without(error),
            Err(error) => return Err(error),
        };
        Ok(State { id: (self.shared.ids)()?, stage })
    }

    fn find_presented(&self) -> Result<Option<State>> {
        for id in self.presented.iter().flatten() {
            if let Some(live) = self.find(id)? {
                return Ok(Some(State { id: *id, stage: Stage::Live(live) }));
            }
            self.shared.events.publish(|| Event::UnknownId { handle: id.handle() });
        }
        Ok(None)
    }

    fn find(&self, id: &SessionId) -> Result<Option<Live>> {
        let Some(stored) = self.shared.seen(self.shared.store.get(id))? else { return Ok(None) };
        // The store keeps a session for as long as it was told; a policy that became stricter since counts at once.
        if self.shared.ttl(stored.record.times()).is_zero() {
            return Ok(None);
        }
        let Stored { record, ttl, in_grace } = stored;
        Ok(Some(Live::new(record, self.shared.clock.now(), ttl).in_grace(in_grace)))
    }

    fn enter(&mut self, id: SessionId, stage: Stage) {
        self.state = OnceCell::from(State { id, stage });
    }

    fn stored_record(&self) -> Result<Option<&Record>> {
        match &self.state()?.stage {
            Stage::Live(live) => Ok(Some(live.record())),
            Stage::New | Stage::Gone { .. } | Stage::Without(_) => Ok(None),
        }
    }

    /// For what would be wrong without the store: fails if it did.
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
            Some(Stage::Gone { .. }) => "gone",
            Some(Stage::Without(_)) => "without",
        };
        f.debug_struct("Session")
            .field("handle", &self.state.get().map(|state| state.id.handle()))
            .field("stage", &stage)
            .field("changed", &self.changed())
            .finish_non_exhaustive()
    }
}
