//! `Sessions`: generates, loads, creates and ends sessions on any store.

mod owner;

use std::fmt;

use crossbeam_channel::Receiver;

pub use self::owner::{OwnedSession, OwnerSessions};
use crate::clock::Clock;
use crate::context::{Context, IdSource};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::{Handle, SessionId};
use crate::policy::Policy;
use crate::record::{Changes, Record};
use crate::session::Session;
use crate::store::{Commit, EndReason, Outcome, Store};
use crate::sync::Arc;

/// Generates, loads and creates the sessions in one store, under one [`Policy`].
///
/// In a server, `SessionLayer` wraps a `Sessions` and adds the cookie. Without a server, `Sessions`
/// is for code that has no cookies: jobs, tests, other protocols. A clone is cheap and shares the
/// store.
///
/// # Examples
///
/// ```
/// use lembro::{LembroStore, Sessions};
///
/// let sessions = Sessions::new(LembroStore::new()?);
/// let mut session = sessions.generate()?;
/// session.insert("user", "ada")?;
/// session.save()?;
/// assert!(sessions.load(&session.id()?)?.is_some());
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone)]
pub struct Sessions {
    context: Arc<Context>,
}

impl Sessions {
    /// Sessions in `store`, with the default [`Policy`].
    pub fn new(store: impl Store) -> Self {
        Self::build(store, Policy::new())
    }

    /// Sessions in `store`, with a policy of your own.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`] if a value of the policy is wrong, such as a timeout of zero, or
    /// contradicts another one.
    pub fn with_policy(store: impl Store, policy: Policy) -> Result<Self> {
        policy.check()?;
        Ok(Self::build(store, policy))
    }

    fn build(store: impl Store, policy: Policy) -> Self {
        Self { context: Arc::new(Context::new(Arc::new(store), policy, Arc::new(SessionId::random))) }
    }

    /// Draws the ids of new sessions from `source`, such as [`SessionId::derive`] over another
    /// system's ids. Default: [`SessionId::random`].
    ///
    /// Change the source only if another system must know the ids. A client that can guess them can
    /// act as any user. If an id is taken, another one is drawn, up to 16 times.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::{LembroStore, SessionId, Sessions};
    ///
    /// let source = || Ok(SessionId::derive("from elsewhere"));
    /// let sessions = Sessions::new(LembroStore::new()?).id_source(source);
    /// assert_eq!(sessions.generate()?.id()?, SessionId::derive("from elsewhere"));
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias = "genid")]
    #[must_use]
    pub fn id_source(self, source: impl Fn() -> Result<SessionId> + Send + Sync + 'static) -> Self {
        self.rebuilt(self.context.policy.clone(), Arc::new(source))
    }

    /// The same sessions under another policy.
    #[cfg(feature = "web")]
    pub(crate) fn under(self, policy: Policy) -> Result<Self> {
        policy.check()?;
        Ok(self.rebuilt(policy, Arc::clone(&self.context.ids)))
    }

    fn rebuilt(&self, policy: Policy, ids: IdSource) -> Self {
        let store = Arc::clone(self.context.store.inner());
        Self { context: Arc::new(Context::new(store, policy, ids)) }
    }

    /// A new, empty session. [`save`](Session::save) stores it, if it has data or an owner by then.
    ///
    /// # Errors
    ///
    /// If the random source fails.
    pub fn generate(&self) -> Result<Session> {
        Session::generate(Arc::clone(&self.context))
    }

    /// The session with this id; `None` if there is none. The call counts as a visit and prolongs
    /// the session.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn load(&self, id: &SessionId) -> Result<Option<Session>> {
        Session::load(Arc::clone(&self.context), id)
    }

    /// Creates and stores a session under an id that another system knows. The session has the data
    /// of this record, which may be empty (`Record::new()`), no owner, and the current time as its
    /// creation.
    ///
    /// # Errors
    ///
    /// [`Error::is_taken`] if the id is taken; [`Error::is_size`] if the data is too large; or if
    /// the store fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::{LembroStore, Record, SessionId, Sessions};
    ///
    /// let sessions = Sessions::new(LembroStore::new()?);
    /// let id = SessionId::derive("s:J7mR2vXq9cW4hT8yB3nL6kPz");
    /// let session = sessions.create_session(&id, [("user", "ada")].into_iter().collect())?;
    /// assert_eq!(session.get_str("user")?.as_deref(), Some("ada"));
    /// assert!(sessions.create_session(&id, Record::new()).unwrap_err().is_taken());
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("createNewSession", "createSession"))]
    #[expect(clippy::needless_pass_by_value, reason = "it becomes the session's")]
    pub fn create_session(&self, id: &SessionId, data: Record) -> Result<Session> {
        data.check()?;
        let (context, commit) = (&self.context, Commit::create()?.with(Changes::from(&data)));
        match context.store.commit(id, &commit, &context.lease)? {
            Outcome::Done(receipt) => Ok(Session::created(Arc::clone(context), *id, commit, &receipt)),
            _ => Err(Error::taken(id.handle())),
        }
    }

    /// The sessions of one owner, to list and to end them. This call reads nothing from the store.
    ///
    /// # Errors
    ///
    /// [`Error::is_size`] if the owner is empty or longer than 255 bytes;
    /// [`Error::is_unsupported`] if the store does not implement [`Owners`](crate::Owners).
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions};
    /// # let sessions = Sessions::new(LembroStore::new()?);
    /// # let mut here = sessions.generate()?;
    /// # here.log_in("user-42")?;
    /// # here.save()?;
    /// let user = sessions.owner("user-42")?;
    /// for device in user.list()? {
    ///     println!("{}, last seen {:?}", device.label.unwrap_or_default(), device.last_seen);
    ///     if device.handle != here.handle()? {
    ///         let _ended = user.destroy(device.handle)?;
    ///     }
    /// }
    /// assert_eq!(user.destroy_all()?, 1); // log out everywhere
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("sessions_of", "findByPrincipalName"))]
    pub fn owner(&self, owner: &str) -> Result<OwnerSessions<'_>> {
        OwnerSessions::new(&self.context, owner)
    }

    /// Ends one session by its handle, with any owner or none. Use it for administrators, and for a
    /// session that an [`Event`] named. If a user chooses from a list of devices, use
    /// [`OwnerSessions::destroy`].
    ///
    /// # Errors
    ///
    /// [`Error::is_unsupported`] if the store does not implement [`Owners`](crate::Owners); or if
    /// the store fails.
    pub fn destroy(&self, handle: Handle) -> Result<Outcome> {
        self.context.owners("the sessions of one owner")?.destroy_handle(handle, None, EndReason::Revoked)
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.context.policy
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        &self.context.store
    }

    /// The store's clock.
    pub fn clock(&self) -> &Clock {
        &self.context.clock
    }

    /// Subscribes to the events of these sessions from now on, such as ids that open no session,
    /// and to those of the store, such as evictions.
    ///
    /// Each subscriber has a queue of 1,024 events. An event that does not fit is dropped.
    pub fn events(&self) -> Receiver<Event> {
        self.context.subscribe()
    }

    /// Subscribes to the store's failures from now on: those that callers of these sessions receive
    /// too, and those in the background, which no caller receives.
    ///
    /// Each subscriber has a queue of 1,024 errors. An error that does not fit is dropped.
    pub fn errors(&self) -> Receiver<Error> {
        self.context.subscribe_errors()
    }

    /// Publishes an error on `errors()`, unless it was published before.
    #[cfg(feature = "web")]
    pub(crate) fn report(&self, error: &Error) {
        self.context.store.report(error);
    }

    /// Publishes a warning about the application's setup, if there is a subscriber.
    #[cfg(feature = "web")]
    pub(crate) fn warn(&self, warning: impl FnOnce() -> Option<Error>) {
        self.context.store.warn(warning);
    }

    /// The session that one of these ids opens, or a new one. The first look reads the store.
    #[cfg(feature = "web")]
    pub(crate) fn open(&self, presented: crate::session::Candidates, https: bool) -> Session {
        Session::unloaded(Arc::clone(&self.context), presented).over(https)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("policy", self.policy()).finish_non_exhaustive()
    }
}
