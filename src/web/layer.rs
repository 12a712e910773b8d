//! `SessionLayer`: opens the session of a request, and makes the response's headers at the end.

use std::fmt;

use crossbeam_channel::Receiver;

use super::attributes::CookieLifetime;
use super::cookie::SessionCookie;
use super::decision::{ClientStep, StoreStep, decide};
use super::finished::{CacheRule, Finished};
use super::head::RequestHead;
use super::options::CookieOptions;
use super::token::{SessionToken, TokenOptions};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::lifecycle::Sessions;
use crate::policy::Policy;
use crate::session::{Carrier, Ending, Saved, Session, Stage};
use crate::store::{Presented, Store};
use crate::sync::Arc;
use crate::units::choice;

/// Connects requests to sessions by cookies or [tokens](Self::token). Call [`load`](Self::load)
/// before the handler and [`finish`](Self::finish) after it, or [`fail`](Self::fail) if the handler
/// failed. [`around`](Self::around) and the adapters do this in one call.
///
/// It works with every [`Store`] and every server. Clones are cheap and share the sessions, so each
/// worker thread can have one. Two layers whose cookies have different names can run side by side.
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
/// assert_eq!(layer.finish(&mut session)?.cookie(), None); // the client has it already
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone)]
pub struct SessionLayer {
    pub(super) sessions: Sessions,
    cookie: Arc<SessionCookie>,
    token: Option<Arc<SessionToken>>,
    pub(super) lost_change: LostChange,
}

/// How the adapters answer a lost change. A change is lost if the session ended, or was superseded
/// by a login in another request, while the handler used it.
///
/// With both values the event [`LostChange`](Event::LostChange) is raised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LostChange {
    /// Sends the handler's response.
    #[default]
    Serve,
    /// Fails with an error that [`is_lost`](Error::is_lost). The response is a plain 409
    /// (Conflict), or the application's page for the error.
    Refuse,
}

choice!(LostChange, "lost_change", ["serve" => Serve, "refuse" => Refuse]);

impl SessionLayer {
    /// Makes a layer for the sessions in `store`, with the default [`Policy`] and
    /// [`CookieOptions`].
    pub fn new(store: impl Store) -> Self {
        Self::with_sessions(Sessions::new(store))
    }

    /// Makes a layer for existing [`Sessions`], with their policy and their source of ids.
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

    /// Replaces the policy. Earlier subscriptions to the layer end.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`] if the policy cannot work, alone or with the cookie.
    pub fn policy(self, policy: Policy) -> Result<Self> {
        self.cookie.options().check(&policy)?;
        Ok(Self { sessions: self.sessions.under(policy)?, ..self })
    }

    /// Replaces the cookie's options.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`], with the option and its value, if options contradict each other or the
    /// standard, so that browsers would drop or misread the cookie.
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

    /// Adds a token in a header, in place of the cookie or beside it.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`], with the option and its value, if a header's name is malformed or has
    /// another meaning.
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

    /// Sets how the adapters answer a lost change. Default: [`LostChange::Serve`].
    #[must_use]
    pub fn lost_change(self, lost_change: LostChange) -> Self {
        Self { lost_change, ..self }
    }

    /// Returns the session that the request's cookie or token opens, or a new one.
    ///
    /// Never fails. If the cookie is malformed, unknown or expired, the session is a new one under
    /// a new id. `load` does not read the store; the handler's first look does. That look is a
    /// visit, unless it is a [`peek`](Session::peek).
    #[expect(single_use_lifetimes, reason = "`impl Trait` cannot leave it out yet")]
    pub fn load<'r>(&self, request: impl Into<RequestHead<'r>>) -> Session {
        let request = request.into();
        let presented = self.cookie.presented(&request, self.token.as_deref());
        let https = self.cookie.is_kept_over(&request, presented.iter().flatten().next().is_some());
        self.sessions.open(presented, https)
    }

    /// Ends the request: saves the session if it changed, begins the renewal of its id if that is
    /// due, and returns the headers for the response.
    ///
    /// Call it before the response is sent, so that the client's next request finds what this one
    /// saved. After `finish`, [`log_in`](Session::log_in) and [`regenerate`](Session::regenerate)
    /// are errors, because no response can announce a new id. If the handler panicked or failed,
    /// call [`fail`](Self::fail) instead, which saves nothing more.
    ///
    /// `finish` makes at most one commit. If the outcome of an earlier commit is unknown, it
    /// repeats that commit first. If the handler neither read nor changed the session, the store is
    /// not asked. A new, empty session is neither stored nor announced. If the session ended
    /// elsewhere, it stays ended, and the response sets no cookie. But if the handler logged a user
    /// in, a new session begins.
    ///
    /// # Errors
    ///
    /// Those of [`Session::save`]. Then the application makes the response, with the headers from
    /// [`fail`](Self::fail).
    pub fn finish(&self, session: &mut Session) -> Result<Finished> {
        session.seal();
        let Some(stage) = session.stage() else { return Ok(self.finished(Saved::Unchanged, CacheRule::Public)) };
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
            // A renewal that cannot be written does not fail the page. The next request tries
            // again.
            Err(error) if !facts.changed && error.is_store() => Saved::Unchanged,
            saved => saved?,
        };
        let is_announced = plan.announcement().is_some_and(|step| Self::is_announced(step, plan.store, session));
        let rule = if session.stage() == Some(Stage::New) { CacheRule::Varies } else { CacheRule::Private };
        let mut finished = self.finished(saved, rule);
        finished.is_lost = saved == Saved::Gone && facts.changed && stage != Stage::Ended(Ending::Here);
        if is_announced {
            self.announce(&mut finished, session, plan.cookie.announces(), plan.token.announces())?;
        }
        if plan.cookie == ClientStep::Remove {
            finished.cookie = Some(self.cookie.removal(session.is_https()));
            finished.clear_site_data = self.cookie.site_data();
        }
        if plan.token == ClientStep::Remove {
            finished.token = Some(String::new());
        }
        Ok(finished)
    }

    /// Returns true if the response tells the client an id after the store's step.
    fn is_announced(step: ClientStep, store: StoreStep, session: &mut Session) -> bool {
        match step {
            // A login in another request may have replaced the id, and its response may reach the
            // client before this one. Without a commit, only the store can tell. If the store
            // fails, the id is not announced; the failure is reported, and the page is served.
            ClientStep::SetRenewed | ClientStep::Rewrite if store == StoreStep::Nothing => {
                session.is_current().unwrap_or(false)
            }
            // An earlier commit of this request drew the id, and only this response can announce
            // it. So the id is announced even if the store fails.
            ClientStep::Set if store == StoreStep::Nothing => session.is_current().unwrap_or(true),
            ClientStep::SetRenewed => matches!(session.stage(), Some(Stage::Live(Presented::Renewing(_)))),
            // The session may have ended just now, or it may be new and still empty.
            ClientStep::Set | ClientStep::Rewrite => {
                matches!(session.stage(), Some(Stage::Live(Presented::Current | Presented::Renewing(_))))
            }
            ClientStep::Remove | ClientStep::Nothing => false,
        }
    }

    /// Ends a request that failed: saves nothing more, and returns the headers for the error page.
    ///
    /// The headers announce an id that the client does not know: the id of an earlier commit of
    /// this request, or of a pending renewal. If the outcome of that commit [is
    /// unknown](Error::is_unknown), the store is asked once more whether the id opens the session.
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
        let rule = if session.stage().is_some() { CacheRule::Private } else { CacheRule::Public };
        let mut finished = self.finished(Saved::Unchanged, rule);
        if session.owes_id() {
            let cookie = self.has_cookie() && session.announces_in(Carrier::Cookie);
            let token = self.token.is_some() && session.announces_in(Carrier::Token);
            // The request has failed already. If the announcement fails too, the client keeps its
            // id.
            let _announced = self.announce(&mut finished, session, cookie, token);
        }
        finished
    }

    fn finished(&self, saved: Saved, rule: CacheRule) -> Finished {
        Finished::new(saved, rule, self.token.clone())
    }

    /// Returns true if the layer reads and sets a cookie.
    fn has_cookie(&self) -> bool {
        self.token.as_ref().is_none_or(|token| token.is_beside_cookie())
    }

    /// Returns the layer's sessions, for jobs and administration without a request.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Subscribes to the events of the sessions and the store: see [`Sessions::events`].
    pub fn events(&self) -> Receiver<Event> {
        self.sessions.events()
    }

    /// Subscribes to the store's failures, also those in the background: see [`Sessions::errors`].
    ///
    /// An error that [`is_option`](Error::is_option) is not the store's. It reports that a new
    /// client got a `Secure` cookie over plain http, where browsers drop it. The layer reports it
    /// once, if it has a subscriber, and serves the request.
    pub fn errors(&self) -> Receiver<Error> {
        self.sessions.errors()
    }

    /// Tells the client the id of a live session, in its cookie, in its token, or in both.
    fn announce(&self, finished: &mut Finished, session: &Session, in_cookie: bool, in_token: bool) -> Result<()> {
        let id = session.announced_id().map_or_else(|| session.id(), Ok)?;
        if in_cookie {
            let max_age = self.is_persistent(session)?.then(|| session.time_left());
            self.sessions.warn(|| self.cookie.warning(session.is_https()));
            let now = self.sessions.clock().wall();
            finished.cookie = Some(self.cookie.announcement(&id, max_age, now, session.is_https()));
        }
        if let Some(token) = self.token.as_ref().filter(|_| in_token) {
            finished.token = Some(token.announcement(&id, self.cookie.signer()));
        }
        Ok(())
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
        f.debug_struct("SessionLayer")
            .field("sessions", &self.sessions)
            .field("cookie", self.cookie.options())
            .field("token", &self.token)
            .field("lost_change", &self.lost_change)
            .finish()
    }
}
