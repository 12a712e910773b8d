//! `SessionLayer`: from the head of a request to its session, and from the session to the headers
//! of the response.

use std::fmt;

use crossbeam_channel::Receiver;

use super::cookie::SessionCookie;
use super::decision::{Step, StoreStep, decide};
use super::finished::{Caching, Finished};
use super::head::RequestHead;
use super::options::{CookieLifetime, CookieOptions};
use super::token::{SessionToken, TokenOptions};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::lifecycle::Sessions;
use crate::policy::Policy;
use crate::session::{Carrier, Ending, Saved, Session, Stage};
use crate::store::{Presented, Store};
use crate::sync::Arc;

/// Sessions in cookies, or in [tokens](Self::token): [`load`](Self::load) before the handler,
/// [`finish`](Self::finish) after it, or [`fail`](Self::fail) if the handler failed.
/// [`around`](Self::around), and the adapters on top of it, do all three in one call.
///
/// Works with every [`Store`] and every server. Cheap to clone: one for each worker thread. Two
/// layers with cookies of different names can stand side by side.
///
/// # Examples
///
/// ```
/// use lembro::LembroStore;
/// use lembro::web::{RequestHead, SessionLayer};
///
/// let layer = SessionLayer::new(LembroStore::new()?);
///
/// let first_visit = RequestHead::default();
/// let mut session = layer.load(first_visit);
/// session.insert("user", "ada")?;
/// let finished = layer.finish(&mut session)?;
/// let cookie = finished.cookie().expect("a new session is announced");
/// assert!(cookie.starts_with("id=") && cookie.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/"));
///
/// let returning = RequestHead::new([&cookie[..cookie.find(';').unwrap()]]);
/// let mut session = layer.load(returning);
/// assert_eq!(session.get_str("user")?.as_deref(), Some("ada"));
/// assert_eq!(layer.finish(&mut session)?.cookie(), None); // it has it already
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone)]
pub struct SessionLayer {
    pub(super) sessions: Sessions,
    cookie: Arc<SessionCookie>,
    token: Option<Arc<SessionToken>>,
    pub(super) lost_change: LostChange,
}

/// What the adapters answer when a change was lost: the session ended, or was superseded by a login
/// in another request, while the handler had it.
///
/// The event [`LostChange`](Event::LostChange) is raised either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LostChange {
    /// What the handler said.
    #[default]
    Serve,
    /// An error that [`is_lost`](Error::is_lost): a plain 409 (Conflict), or what the application
    /// makes of it.
    Refuse,
}

impl SessionLayer {
    /// Sessions in `store`, with the default [`Policy`] and [`CookieOptions`].
    pub fn new(store: impl Store) -> Self {
        Self::with_sessions(Sessions::new(store))
    }

    /// The same for [`Sessions`] that are there already, with their policy and their source of ids.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::{LembroStore, SessionId, Sessions};
    /// use lembro::web::SessionLayer;
    ///
    /// let sessions = Sessions::new(LembroStore::new()?).id_source(SessionId::random);
    /// let layer = SessionLayer::with_sessions(sessions);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn with_sessions(sessions: Sessions) -> Self {
        let cookie = Arc::new(SessionCookie::new(CookieOptions::new()));
        Self { sessions, cookie, token: None, lost_change: LostChange::default() }
    }

    /// The same with another policy. Subscriptions to the layer made before this end.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`] when the policy cannot work, or not with the cookie.
    pub fn policy(self, policy: Policy) -> Result<Self> {
        self.cookie.options().check(&policy)?;
        Ok(Self { sessions: self.sessions.under(policy)?, ..self })
    }

    /// The same with another cookie.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`] when options contradict each other or the standard, so that browsers
    /// would drop or misread the cookie: with the option and its value.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::LembroStore;
    /// use lembro::web::{CookieOptions, SessionLayer};
    ///
    /// let layer = SessionLayer::new(LembroStore::new()?);
    /// let error = layer.cookie(CookieOptions::new().name("__Host-id").secure(false)).unwrap_err();
    /// assert_eq!(error.to_string(), "name: a cookie named \"__Host-id\" needs secure, always, or browsers drop it");
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn cookie(self, options: CookieOptions) -> Result<Self> {
        options.check(self.sessions.policy())?;
        Ok(Self { cookie: Arc::new(SessionCookie::new(options)), ..self })
    }

    /// The same with a token in a header, in place of the cookie or beside it.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`] when a header's name is none, or means something else: with the option
    /// and its value.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::LembroStore;
    /// use lembro::web::{SessionLayer, TokenOptions};
    ///
    /// let options = TokenOptions::new().response_header("X-Session-Token").beside_cookie(true);
    /// let layer = SessionLayer::new(LembroStore::new()?).token(options)?;
    ///
    /// let error = layer.token(TokenOptions::new().header("Accept")).unwrap_err();
    /// assert!(error.to_string().starts_with("header: \"Accept\" means something to browsers"));
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn token(self, options: TokenOptions) -> Result<Self> {
        Ok(Self { token: Some(Arc::new(SessionToken::new(options)?)), ..self })
    }

    /// The same with another answer to a lost change. Default: [`LostChange::Serve`].
    #[must_use]
    pub fn lost_change(self, lost_change: LostChange) -> Self {
        Self { lost_change, ..self }
    }

    /// The session of a request: the one that its cookie leads to, or a new one.
    ///
    /// Never fails: a cookie that is malformed, unknown or expired means a new session under a new
    /// id. Reads nothing from the store; the session does, when the handler first looks into it,
    /// and that look is the visit.
    #[expect(single_use_lifetimes, reason = "`impl Trait` cannot leave it out yet")]
    pub fn load<'r>(&self, request: impl Into<RequestHead<'r>>) -> Session {
        let request = request.into();
        let presented = self.cookie.presented(&request, self.token.as_deref());
        let https = self.cookie.is_kept_over(&request, presented.iter().flatten().next().is_some());
        self.sessions.open(presented, https)
    }

    /// Ends the request: saves the session if it changed, begins the renewal of its id if that is
    /// due, and says which headers the response needs.
    ///
    /// At most one commit, and before it the repeat of one whose outcome is unknown. A session that
    /// was not looked at costs nothing; one that is new and empty is neither stored nor announced;
    /// one that ended elsewhere stays ended, and its response sets no cookie, unless the handler
    /// logged in: then a new session begins. Call it before the response is sent: then the client's
    /// next request, however quick, finds what this one saved. After it a login and
    /// [`regenerate`](Session::regenerate) are errors, because the headers are made.
    ///
    /// A handler that panics never gets here, so nothing of it is saved but what it committed
    /// itself.
    ///
    /// # Errors
    ///
    /// As [`Session::save`]. Then the response is up to the application, with the headers that
    /// [`fail`](Self::fail) gives.
    pub fn finish(&self, session: &mut Session) -> Result<Finished> {
        session.seal();
        let Some(stage) = session.stage() else { return Ok(Finished::new(Saved::Unchanged, Caching::Free)) };
        let persistent = if self.has_cookie() { Some(self.is_persistent(session)?) } else { None };
        let facts = session.inputs(stage, persistent, self.token.is_some())?;
        let plan = decide(facts);
        if plan.store == StoreStep::Renew {
            session.begin_renewal();
        }
        let saved = match (plan.store, stage) {
            (StoreStep::Save | StoreStep::Renew, _) => session.save(),
            (StoreStep::Nothing, Stage::Ended(_)) => Ok(Saved::Gone),
            (StoreStep::Nothing, Stage::StoreUnavailable(())) => Ok(Saved::Skipped),
            (StoreStep::Nothing, _) => Ok(Saved::Unchanged),
        };
        let saved = match saved {
            // A renewal that cannot be written is no reason for a page less: the next request tries
            // again.
            Err(error) if !facts.changed && error.is_store() => Saved::Unchanged,
            saved => saved?,
        };
        let is_announced = plan.announcing().is_some_and(|step| Self::is_announced(step, plan.store, session));
        let caching = if session.stage() == Some(Stage::New) { Caching::Varies } else { Caching::Private };
        let is_lost = saved == Saved::Gone && facts.changed && stage != Stage::Ended(Ending::Here);
        let mut finished = Finished::new(saved, caching).lost(is_lost).of(self.token.as_ref());
        if is_announced {
            finished = self.announce(finished, session, plan.cookie.announces(), plan.token.announces())?;
        }
        if plan.cookie == Step::Remove {
            let site_data = self.cookie.site_data();
            finished = finished.with_cookie(self.cookie.removal(session.is_https())).with_clear_site_data(site_data);
        }
        if plan.token == Step::Remove {
            finished = finished.with_token(String::new());
        }
        Ok(finished)
    }

    /// Whether the response tells the client an id.
    fn is_announced(step: Step, store: StoreStep, session: &mut Session) -> bool {
        match step {
            // Not an id that a login has just replaced in another request: its response may reach
            // the client before this one. A commit has found out. If the store cannot say, which it
            // has reported, the page is served all the same.
            Step::SetRenewed | Step::Rewrite if store == StoreStep::Nothing => session.is_current().unwrap_or(false),
            // An earlier commit of this request gave it its id. Only this response can announce it,
            // so it does if the store cannot say whether the session still exists.
            Step::Set if store == StoreStep::Nothing => session.is_current().unwrap_or(true),
            Step::SetRenewed => matches!(session.stage(), Some(Stage::Live(Presented::Renewing(_)))),
            // Only what is stored is announced: it may have ended just now, or it is new and holds
            // nothing after all.
            Step::Set | Step::Rewrite => {
                matches!(session.stage(), Some(Stage::Live(Presented::Current | Presented::Renewing(_))))
            }
            Step::Remove | Step::Nothing => false,
        }
    }

    /// Ends a request that failed: nothing more is saved. What the response owes the client all the
    /// same is an id that it does not know: one that a commit gave the session by then, or that of
    /// a renewal that is pending. If the outcome of that commit [is unknown](Error::is_unknown),
    /// the store is asked once more whether the id opens the session.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::LembroStore;
    /// use lembro::web::{RequestHead, SessionLayer};
    ///
    /// let layer = SessionLayer::new(LembroStore::new()?);
    /// let mut session = layer.load(RequestHead::default());
    /// session.log_in("user-42")?;
    /// session.save()?;
    /// // The template fails after that: the error page brings the cookie.
    /// assert!(layer.fail(&mut session).cookie().is_some());
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn fail(&self, session: &mut Session) -> Finished {
        session.seal();
        session.resolve_unknown_id();
        let caching = if session.stage().is_some() { Caching::Private } else { Caching::Free };
        let finished = || Finished::new(Saved::Unchanged, caching).of(self.token.as_ref());
        if !session.owes_id() {
            return finished();
        }
        let cookie = self.has_cookie() && session.announces_in(Carrier::Cookie);
        let token = self.token.is_some() && session.announces_in(Carrier::Token);
        self.announce(finished(), session, cookie, token).unwrap_or_else(|_| finished())
    }

    /// Whether the layer reads and sets a cookie.
    fn has_cookie(&self) -> bool {
        self.token.as_ref().is_none_or(|token| token.is_beside_cookie())
    }

    /// The sessions behind the layer, for what has no request: jobs, administration.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Subscribes to what the sessions and the store notice: see [`Sessions::events`].
    pub fn events(&self) -> Receiver<Event> {
        self.sessions.events()
    }

    /// Subscribes to the store's failures, in the background too: see [`Sessions::errors`].
    ///
    /// One that [`is_option`](Error::is_option) is not of the store: a `Secure` cookie was given to
    /// a new client over plain http, where browsers drop it. The layer reports it once, when it has
    /// a subscriber, and serves the request.
    pub fn errors(&self) -> Receiver<Error> {
        self.sessions.errors()
    }

    /// Tells the client the id of a live session, in its cookie, in its token, or in both.
    fn announce(&self, finished: Finished, session: &Session, in_cookie: bool, in_token: bool) -> Result<Finished> {
        let id = session.announced_id().map_or_else(|| session.id(), Ok)?;
        let mut finished = finished;
        if in_cookie {
            self.sessions.warn(|| self.cookie.warning(session.is_https()));
            let max_age = self.is_persistent(session)?.then(|| session.time_left());
            let now = self.sessions.clock().wall();
            finished = finished.with_cookie(self.cookie.announcing(&id, max_age, now, session.is_https()));
        }
        if let Some(token) = self.token.as_ref().filter(|_| in_token) {
            finished = finished.with_token(token.announcing(&id, self.cookie.signer()));
        }
        Ok(finished)
    }

    fn is_persistent(&self, session: &Session) -> Result<bool> {
        match self.cookie.options().lifetime {
            CookieLifetime::BrowserSession => Ok(false),
            CookieLifetime::Persistent => Ok(true),
            CookieLifetime::Remembered => Ok(session.stage().is_some() && session.is_remembered()?),
        }
    }
}

impl fmt::Debug for SessionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, cookie, token, lost_change } = self;
        let options = cookie.options();
        f.debug_struct("SessionLayer")
            .field("sessions", sessions)
            .field("cookie", options)
            .field("token", token)
            .field("lost_change", lost_change)
            .finish()
    }
}
