//! `SessionLayer`: from the head of a request to its session, and from the session to the headers
//! of the response.

use std::fmt;

use crossbeam_channel::Receiver;

use super::cookie::{PresentedCookie, SessionCookie};
use super::decision::{Client, CookieStep, Facts, StoreStep, decide};
use super::finished::{Caching, Finished};
use super::head::RequestHead;
use super::options::{CookieLifetime, CookieOptions};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::policy::Policy;
use crate::session::{Candidates, Saved, Session, Standing};
use crate::sessions::Sessions;
use crate::store::{Presented, Store};
use crate::sync::Arc;

/// Sessions in cookies: [`load`](Self::load) before the handler, [`finish`](Self::finish) after it.
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
/// let mut session = layer.load(first_visit.clone());
/// session.insert("user", "ada")?;
/// let finished = layer.finish(session, first_visit)?;
/// let cookie = finished.cookie().expect("a new session is announced");
/// assert!(cookie.starts_with("id=") && cookie.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/"));
///
/// let returning = RequestHead::new([&cookie[..cookie.find(';').unwrap()]]);
/// let session = layer.load(returning.clone());
/// assert_eq!(session.get_str("user")?.as_deref(), Some("ada"));
/// assert_eq!(layer.finish(session, returning)?.cookie(), None); // it has it already
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone)]
pub struct SessionLayer {
    sessions: Sessions,
    cookie: Arc<SessionCookie>,
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
        Self { sessions, cookie: Arc::new(SessionCookie::new(CookieOptions::new())) }
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

    /// The session of a request: the one that its cookie leads to, or a new one.
    ///
    /// Never fails: a cookie that is malformed, unknown or expired means a new session under a new
    /// id. Reads nothing from the store; the session does, when the handler first looks into it,
    /// and that look is the visit.
    #[expect(single_use_lifetimes, reason = "`impl Trait` cannot leave it out yet")]
    pub fn load<'r>(&self, request: impl Into<RequestHead<'r>>) -> Session {
        let mut candidates = Candidates::default();
        for (candidate, presented) in candidates.iter_mut().zip(self.cookie.presented(&request.into())) {
            *candidate = presented.map(|presented| presented.id);
        }
        self.sessions.open(candidates)
    }

    /// Ends the request: saves the session if it changed, begins the renewal of its id if that is
    /// due, and says which headers the response needs. `request` is the one that the session was
    /// loaded for.
    ///
    /// At most one commit, and before it the repeat of one whose outcome is unknown. A session that
    /// was not looked at costs nothing; one that is new and empty is neither stored nor announced;
    /// one that ended elsewhere stays ended, and its response sets no cookie, unless the handler
    /// logged in: then a new session begins. A handler that panics never gets here, so nothing of
    /// it is saved but what it committed itself. Call it before the response is sent: then the
    /// client's next request, however quick, finds what this one saved.
    ///
    /// Any session of the same [`sessions`](Self::sessions) may be given in place of the loaded
    /// one, for instance the one that [`create_session`](Sessions::create_session) made: the client
    /// gets its id.
    ///
    /// # Errors
    ///
    /// As [`Session::save`]. Then there is no header to send and the response is up to the
    /// application. Call [`abandon`](Self::abandon) before, for what it owes the client all the
    /// same.
    #[expect(single_use_lifetimes, reason = "`impl Trait` cannot leave it out yet")]
    pub fn finish<'r>(&self, mut session: Session, request: impl Into<RequestHead<'r>>) -> Result<Finished> {
        // There was no look: not even the cookies are read again.
        if session.standing() == Standing::Unloaded {
            return Ok(Finished::new(Saved::Unchanged, Caching::Free));
        }
        let request = request.into();
        let facts = self.facts(&session, &request)?;
        let plan = decide(facts);
        if plan.store == StoreStep::Renew {
            session.renew_on_time();
        }
        let saved = match plan.store {
            StoreStep::Save | StoreStep::Renew => session.save(),
            StoreStep::Nothing if session.is_gone()? => Ok(Saved::Gone),
            StoreStep::Nothing if facts.standing == Standing::Without => Ok(Saved::Nowhere),
            StoreStep::Nothing => Ok(Saved::Unchanged),
        };
        let saved = match saved {
            // A renewal that cannot be written is no reason for a page less: the next request tries
            // again.
            Err(error) if !facts.changed && error.is_store() => Saved::Unchanged,
            saved => saved?,
        };
        let is_live = session.standing() == Standing::Live;
        let announced = match plan.cookie {
            // Not an id that a login has just replaced in another request: its response may reach
            // the client before this one. A commit has found out. If the store cannot say, which it
            // has reported, the page is served all the same.
            CookieStep::SetRenewed | CookieStep::Rewrite if plan.store == StoreStep::Nothing => {
                session.is_current().unwrap_or(false)
            }
            CookieStep::SetRenewed => matches!(session.how_presented(), Presented::Renewing(_)),
            // Only what is stored is announced: it may have ended just now, or it is new and holds
            // nothing after all.
            CookieStep::Set | CookieStep::Rewrite => is_live && session.how_presented() != Presented::Previous,
            CookieStep::Remove | CookieStep::Nothing => false,
        };
        let caching = if session.standing() == Standing::New { Caching::Varies } else { Caching::Private };
        let finished = Finished::new(saved, caching);
        let https = request.is_https(self.cookie.options().trust_proxy);
        if announced {
            return Ok(finished.with_cookie(self.announcement(&session, https)?));
        }
        if plan.cookie == CookieStep::Remove {
            let site_data = self.cookie.site_data();
            return Ok(finished.with_cookie(self.cookie.removal(https)).with_clear_site_data(site_data));
        }
        Ok(finished)
    }

    /// Ends a request that failed: nothing more is saved. What the response owes the client all the
    /// same is an id that it does not know: one that [`save`](Session::save) or
    /// [`modify`](Session::modify) gave the session within the handler, or that of a renewal that
    /// is pending.
    ///
    /// # Errors
    ///
    /// When the store failed.
    #[expect(single_use_lifetimes, reason = "`impl Trait` cannot leave it out yet")]
    pub fn abandon<'r>(&self, session: &Session, request: impl Into<RequestHead<'r>>) -> Result<Finished> {
        let finished = Finished::new(Saved::Unchanged, Caching::Private);
        if !session.owes_id() {
            return Ok(finished);
        }
        let https = request.into().is_https(self.cookie.options().trust_proxy);
        Ok(finished.with_cookie(self.announcement(session, https)?))
    }

    /// The sessions behind the layer, for what has no request: jobs, administration.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Subscribes to what the sessions notice: see [`Sessions::events`].
    pub fn events(&self) -> Receiver<Event> {
        self.sessions.events()
    }

    /// Subscribes to the store's failures: see [`Sessions::errors`].
    pub fn errors(&self) -> Receiver<Error> {
        self.sessions.errors()
    }

    fn facts(&self, session: &Session, request: &RequestHead<'_>) -> Result<Facts> {
        Ok(Facts {
            standing: session.standing(),
            changed: session.changed(),
            renewal_due: session.renewal_due(),
            presented: session.how_presented(),
            client: self.client(session, request)?,
        })
    }

    /// What the client has is read from the request and not from the session, which may have been
    /// opened some other way.
    fn client(&self, session: &Session, request: &RequestHead<'_>) -> Result<Client> {
        let (presented, id) = (self.cookie.presented(request), session.id()?);
        let current = |presented: &PresentedCookie| match (self.is_persistent(session), presented.written) {
            (false, None) => presented.well_signed,
            (true, Some(written)) => presented.well_signed && !session.cookie_due(written),
            _ => false,
        };
        Ok(match presented.iter().flatten().find(|presented| presented.id == id) {
            Some(_) if session.replaces_id() => Client::Other,
            Some(presented) if !current(presented) && session.may_repeat_id()? => Client::Stale,
            Some(_) => Client::Current,
            None if presented[0].is_some() => Client::Other,
            None => Client::Without,
        })
    }

    /// The `Set-Cookie` text of a live session.
    fn announcement(&self, session: &Session, https: bool) -> Result<String> {
        let max_age = self.is_persistent(session).then(|| session.time_left());
        Ok(self.cookie.announcing(&session.announced_id()?, max_age, self.sessions.clock().wall(), https))
    }

    fn is_persistent(&self, session: &Session) -> bool {
        match self.cookie.options().lifetime {
            CookieLifetime::BrowserSession => false,
            CookieLifetime::Persistent => true,
            CookieLifetime::Remembered => session.has_own_timeout(),
        }
    }
}

impl fmt::Debug for SessionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer").field("sessions", &self.sessions).field("cookie", self.cookie.options()).finish()
    }
}
