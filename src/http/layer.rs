//! `SessionLayer`: from the head of a request to its session, and from the session to the headers of the response.

use std::fmt;

use crossbeam_channel::Receiver;

use super::cookie::SessionCookie;
use super::decision::{CookieStep, Facts, StoreStep, decide};
use super::options::{CookieLifetime, CookieOptions};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::policy::Policy;
use crate::session::{Saved, Session, Standing};
use crate::sessions::Sessions;
use crate::store::Store;
use crate::sync::Arc;

/// Sessions in cookies: [`load`](Self::load) before the handler, [`finish`](Self::finish) after it.
///
/// Works with every [`Store`] and every server. Cheap to clone: one for each worker thread. Two layers with cookies of
/// different names can stand side by side.
///
/// # Examples
///
/// ```
/// use lembro::LembroStore;
/// use lembro::http::{RequestHead, SessionLayer};
///
/// let layer = SessionLayer::new(LembroStore::new()?);
///
/// let first_visit = RequestHead::default();
/// let mut session = layer.load(first_visit.clone());
/// session.insert("user", "ada")?;
/// let finished = layer.finish(session, first_visit)?;
/// let (name, cookie) = finished.headers().next().expect("a new session is announced");
/// assert_eq!(name, "Set-Cookie");
/// assert!(cookie.starts_with("id=") && cookie.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/"));
///
/// let returning = RequestHead::new([&cookie[..cookie.find(';').unwrap()]]);
/// let session = layer.load(returning.clone());
/// assert_eq!(session.get::<&str>("user")?, Some("ada"));
/// assert_eq!(layer.finish(session, returning)?.headers().count(), 0);
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
    /// use lembro::http::SessionLayer;
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
    /// [`Error::is_option`] when the policy cannot work.
    pub fn policy(self, policy: Policy) -> Result<Self> {
        Ok(Self { sessions: self.sessions.under(policy)?, ..self })
    }

    /// The same with another cookie.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`] when browsers would drop or misread such a cookie, with the option and its value.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::LembroStore;
    /// use lembro::http::{CookieOptions, SessionLayer};
    ///
    /// let layer = SessionLayer::new(LembroStore::new()?);
    /// let error = layer.cookie(CookieOptions::new().name("__Host-id").secure(false)).unwrap_err();
    /// assert_eq!(error.to_string(), "name: a cookie named \"__Host-id\" needs secure, or browsers drop it");
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn cookie(self, options: CookieOptions) -> Result<Self> {
        options.check()?;
        Ok(Self { cookie: Arc::new(SessionCookie::new(options)), ..self })
    }

    /// The session of a request: the one that its cookie leads to, or a new one.
    ///
    /// Never fails: a cookie that is malformed, unknown or expired means a new session under a new id. Reads nothing from
    /// the store; the session does, when the handler first looks into it.
    #[expect(single_use_lifetimes, reason = "`impl Trait` cannot leave it out yet")]
    pub fn load<'r>(&self, request: impl Into<RequestHead<'r>>) -> Session {
        self.sessions.open(self.cookie.candidates(&request.into()))
    }

    /// Ends the request: saves the session if it changed, touches it if that is due, and says which headers the response
    /// needs. `request` is the one that the session was loaded for.
    ///
    /// At most one write. A session that nobody looked at costs nothing; one that is new and empty is neither stored
    /// nor announced; one that ended meanwhile stays ended, and its response sets no cookie. A handler that panics never
    /// gets here, so it changes nothing.
    ///
    /// Any session of the same [`sessions`](Self::sessions) may be given in place of the loaded one, for instance the one that
    /// [`create_session`](Sessions::create_session) made: the client gets its id.
    ///
    /// # Errors
    ///
    /// When the store failed, or [`Error::is_limit`] when the session would be too large. Then there is no header to send
    /// and the response is up to the application.
    #[expect(single_use_lifetimes, reason = "`impl Trait` cannot leave it out yet")]
    pub fn finish<'r>(&self, mut session: Session, request: impl Into<RequestHead<'r>>) -> Result<Finished> {
        // Nobody looked: not even the cookies are read again.
        if session.standing() == Standing::Unloaded {
            return Ok(Finished::new(Saved::Unchanged));
        }
        let plan = decide(self.facts(&session, &request.into())?);
        let saved = match plan.store {
            StoreStep::Save => session.save()?,
            StoreStep::Touch => session.touch()?,
            StoreStep::Nothing if session.is_gone()? => Saved::Gone,
            StoreStep::Nothing => Saved::Unchanged,
        };
        let mut finished = Finished::new(saved);
        match plan.cookie {
            // Only what is stored is announced: it may have ended just now, or it is new and holds nothing after all.
            CookieStep::Set if session.standing() == Standing::Live => {
                let persistent = self.cookie.options().lifetime == CookieLifetime::Persistent;
                let max_age = persistent.then(|| session.time_left());
                finished.add(SET_COOKIE, self.cookie.announcing(&session.id()?, max_age));
            }
            CookieStep::Remove => finished.add(SET_COOKIE, self.cookie.removal()),
            CookieStep::Set | CookieStep::Nothing => {}
        }
        Ok(finished)
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

    /// What the client presented is read from the request and not from the session, which may have been opened some
    /// other way.
    fn facts(&self, session: &Session, request: &RequestHead<'_>) -> Result<Facts> {
        let presented = self.cookie.candidates(request);
        Ok(Facts {
            standing: session.standing(),
            changed: session.changed(),
            touch_due: session.touch_due(),
            prolonged: session.was_prolonged(),
            id_known: presented.contains(&Some(session.id()?)),
            any_id: presented[0].is_some(),
            persistent: self.cookie.options().lifetime == CookieLifetime::Persistent,
        })
    }
}

impl fmt::Debug for SessionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer").field("sessions", &self.sessions).field("cookie", self.cookie.options()).finish()
    }
}

const SET_COOKIE: &str = "Set-Cookie";

/// What the layer needs to know of a request: its `Cookie` headers.
///
/// An adapter makes one from its framework's request, borrowing the header texts. Bytes, because what clients send
/// need not be text.
///
/// # Examples
///
/// ```
/// use lembro::http::RequestHead;
///
/// let from_text = RequestHead::new(["theme=dark; id=7sNlGhvxmlqT5aSMbX0Pcw6kSJzXbF1R"]);
/// let from_bytes = RequestHead::new([b"theme=dark".as_slice(), b"tracker=\xff"]);
/// let without_cookies = RequestHead::default();
/// # let _ = (from_text, from_bytes, without_cookies);
/// ```
#[derive(Clone, Default)]
pub struct RequestHead<'r> {
    // Nearly every request has one Cookie header (RFC 6265, 5.4), and then nothing is allocated.
    first: Option<&'r [u8]>,
    // HTTP/2 may send several (RFC 9113, 8.2.3).
    others: Vec<&'r [u8]>,
}

impl<'r> RequestHead<'r> {
    /// A request with these values of `Cookie` headers, in their order; the headers' names are not part of them.
    pub fn new<T: AsRef<[u8]> + ?Sized + 'r>(cookies: impl IntoIterator<Item = &'r T>) -> Self {
        let mut cookies = cookies.into_iter().map(T::as_ref);
        Self { first: cookies.next(), others: cookies.collect() }
    }

    pub(super) fn cookies(&self) -> impl Iterator<Item = &'r [u8]> {
        self.first.into_iter().chain(self.others.iter().copied())
    }
}

impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the values: there are secrets in them.
        f.debug_struct("RequestHead").field("cookies", &self.cookies().count()).finish_non_exhaustive()
    }
}

/// The end of a request: the headers that its response needs, and what became of the session.
#[must_use = "its headers belong into the response, or the client never learns its id"]
pub struct Finished {
    headers: Vec<(&'static str, String)>,
    saved: Saved,
}

impl Finished {
    fn new(saved: Saved) -> Self {
        Self { headers: Vec::new(), saved }
    }

    fn add(&mut self, name: &'static str, value: String) {
        self.headers.push((name, value));
    }

    /// The headers to add to the response, as names and values, all of them visible ASCII.
    ///
    /// To add: a response can have several `Set-Cookie` headers, and none of the application's may be replaced.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.headers.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// What became of the session. [`Saved::Gone`]: it ended while the handler ran, here or elsewhere, and what the
    /// handler changed in it is lost.
    pub fn saved(&self) -> Saved {
        self.saved
    }
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the values: there is a secret in them.
        let names: Vec<_> = self.headers().map(|(name, _)| name).collect();
        f.debug_struct("Finished").field("headers", &names).field("saved", &self.saved).finish()
    }
}
