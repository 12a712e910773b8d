//! The error: one opaque type with predicates, which names what was wrong and never an id's secret.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::sync::{Arc, AtomicBool, Ordering};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Arc<dyn std::error::Error + Send + Sync>;

/// What went wrong.
///
/// "Not found", "expired" and "malformed cookie" are values, not errors. An error means that the
/// caller asked for something impossible (a wrong option, a key that is too long) or that the
/// system failed (a store that cannot be reached). Programs ask the predicates; the text is for
/// people. The text names the option, key, limit or handle, and never contains a session's data or
/// the secret part of an id. (The [`source`](std::error::Error::source) of an
/// [`is_value`](Self::is_value) error is serde's own and may quote the value.)
///
/// It is cheap to clone, so that the same error can be returned and published.
///
/// # Examples
///
/// ```
/// use lembro::{LembroOptions, LembroStore};
///
/// let error = LembroStore::with_options(LembroOptions::new().max_size("plenty")).unwrap_err();
/// assert!(error.is_option());
/// assert_eq!(error.to_string(), "max_size: \"plenty\" is not a size such as 4194304 or \"4M\"");
/// ```
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

struct Inner {
    kind: Kind,
    /// Whether it was published on a channel already.
    reported: AtomicBool,
}

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error("{option}: {problem}")]
    Option { option: Cow<'static, str>, problem: String },
    #[error("session id: {0}")]
    Id(String),
    #[error("session {0}: the id is taken already")]
    Taken(String),
    #[error("session {handle}: changed by others {attempts} times in a row, gave up")]
    Contention { handle: String, attempts: u32 },
    #[error("{0}")]
    Size(String),
    #[error("the owner is logged in {0} times already, which is as often as the policy allows")]
    TooManyLogins(usize),
    #[error("session {handle}: it is not known whether the write was carried out")]
    Unknown { handle: String, source: Option<Source> },
    #[error("the store is full: it has no room for this session without an owner")]
    Full,
    #[error("key {key:?}: {action}")]
    Value { key: String, action: &'static str, source: Option<Source> },
    #[error("stored record: {0}")]
    Corrupt(Cow<'static, str>),
    #[error("the store failed")]
    Store { source: Source },
    #[error("this store does not support {0}")]
    Unsupported(&'static str),
    #[error("{0} on a handle that no response follows: the client would never learn its id")]
    Late(&'static str),
    #[error("session {0}: it ended, or got another id, under the request, so its changes are lost")]
    Lost(String),
    #[error("the handler panicked")]
    #[cfg_attr(not(feature = "web"), expect(dead_code, reason = "it is the cookie layer that runs handlers"))]
    Panic,
    #[error("the operating system's random source failed")]
    Random { source: Source },
    #[error("{0}")]
    Background(String),
    #[error("sessions in {}: {problem}", path.display())]
    Persist { path: PathBuf, problem: String },
}

impl Error {
    /// Wraps the failure of a store's own backend: what a custom [`Store`](crate::Store) returns.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::error::Error as _;
    /// use lembro::Error;
    ///
    /// let error = Error::store(std::io::Error::other("connection refused"));
    /// assert!(error.is_store());
    /// assert_eq!(error.source().unwrap().to_string(), "connection refused");
    /// ```
    pub fn store(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Kind::Store { source: Arc::from(source.into()) }.into()
    }

    /// Says that a store does not have an optional power. `what` completes "this store does not
    /// support …".
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::Error;
    /// let error = Error::unsupported("counting its sessions");
    /// assert!(error.is_unsupported());
    /// assert_eq!(error.to_string(), "this store does not support counting its sessions");
    /// ```
    pub fn unsupported(what: &'static str) -> Self {
        Kind::Unsupported(what).into()
    }

    /// Says that an id could not be used because another session has its [`Handle`](crate::Handle).
    pub fn taken(handle: impl fmt::Display) -> Self {
        Kind::Taken(handle.to_string()).into()
    }

    /// Says that something is larger or smaller than it may be: what a store returns that checks a
    /// size by itself.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::Error;
    /// assert!(Error::size("1025 keys in one session, at most 1024 are allowed").is_size());
    /// ```
    pub fn size(problem: impl Into<String>) -> Self {
        Kind::Size(problem.into()).into()
    }

    /// Says that a write to this session may have been carried out or not: its answer was lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::{Error, SessionId};
    ///
    /// let id = SessionId::random()?;
    /// let lost = std::io::Error::other("the connection broke off");
    /// let error = Error::unknown(id.handle()).caused_by(lost);
    /// assert!(error.is_unknown() && error.is_store());
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn unknown(handle: impl fmt::Display) -> Self {
        Kind::Unknown { handle: handle.to_string(), source: None }.into()
    }

    /// Says that a session ended, or was superseded, under a request: what an adapter returns that
    /// refuses a lost change.
    pub fn lost(handle: impl fmt::Display) -> Self {
        Kind::Lost(handle.to_string()).into()
    }

    /// The same [unknown](Self::unknown) outcome with its cause. Every other error stays as it is.
    #[must_use]
    pub fn caused_by(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        match &self.inner.kind {
            Kind::Unknown { handle, .. } => {
                Kind::Unknown { handle: handle.clone(), source: Some(Arc::from(source.into())) }.into()
            }
            _ => self,
        }
    }

    /// An option, or a combination of options, has an impossible value.
    pub fn is_option(&self) -> bool {
        matches!(self.inner.kind, Kind::Option { .. })
    }

    /// Text that should have been a session id or a handle is not one.
    pub fn is_id(&self) -> bool {
        matches!(self.inner.kind, Kind::Id(_))
    }

    /// An id is taken already: a live session has its handle. Nothing was written.
    pub fn is_taken(&self) -> bool {
        matches!(self.inner.kind, Kind::Taken(_))
    }

    /// Other requests overtook `modify` so often that it gave up. Nothing was written.
    pub fn is_contention(&self) -> bool {
        matches!(self.inner.kind, Kind::Contention { .. })
    }

    /// A key, a value, an owner, a label, the number of keys or a whole session is larger than its
    /// limit, or an owner is empty. Nothing was written.
    pub fn is_size(&self) -> bool {
        matches!(self.inner.kind, Kind::Size(_))
    }

    /// The owner is logged in as often as the [policy](crate::Policy::max_per_owner) allows.
    /// Nothing was written.
    pub fn is_too_many_logins(&self) -> bool {
        matches!(self.inner.kind, Kind::TooManyLogins(_))
    }

    /// A write may have been carried out or not: its answer was lost, and what is stored does not
    /// tell. Such an error [is one of the store](Self::is_store), too.
    pub fn is_unknown(&self) -> bool {
        matches!(self.inner.kind, Kind::Unknown { .. })
    }

    /// The store is full, and a session without an owner may evict no others for its place. Nothing
    /// was written; what was stored of it stays.
    pub fn is_full(&self) -> bool {
        matches!(self.inner.kind, Kind::Full)
    }

    /// A value could not be written as JSON, could not be read back from it, or was not of the type
    /// that was asked for.
    pub fn is_value(&self) -> bool {
        matches!(self.inner.kind, Kind::Value { .. })
    }

    /// Stored bytes are not a record.
    pub fn is_corrupt(&self) -> bool {
        matches!(self.inner.kind, Kind::Corrupt(_))
    }

    /// The store, or the random source that ids come from, failed. Nothing was written, unless it
    /// [is unknown](Self::is_unknown) whether something was.
    pub fn is_store(&self) -> bool {
        matches!(
            self.inner.kind,
            Kind::Store { .. } | Kind::Random { .. } | Kind::Unknown { .. } | Kind::Persist { .. }
        )
    }

    /// The store does not have this optional power.
    pub fn is_unsupported(&self) -> bool {
        matches!(self.inner.kind, Kind::Unsupported(_))
    }

    /// A login or another new id came too late: the request has ended, or the handle is one for
    /// another thread. Nothing was changed.
    pub fn is_late(&self) -> bool {
        matches!(self.inner.kind, Kind::Late(_))
    }

    /// The session ended, or was superseded by a login, while the request held it, so what the
    /// request changed is lost.
    pub fn is_lost(&self) -> bool {
        matches!(self.inner.kind, Kind::Lost(_))
    }

    /// The handler of a request panicked. Nothing more of it was saved.
    pub fn is_panic(&self) -> bool {
        matches!(self.inner.kind, Kind::Panic)
    }

    /// Something failed in the background, where no caller receives a result.
    pub fn is_background(&self) -> bool {
        matches!(self.inner.kind, Kind::Background(_))
    }

    /// Notes that the error is published. Returns true the first time.
    pub(crate) fn note_report(&self) -> bool {
        !self.inner.reported.swap(true, Ordering::Relaxed)
    }

    /// The files of [`LembroOptions::persist`](crate::LembroOptions::persist) are damaged, in use,
    /// or cannot be written. The text names the path and says what is wrong. Such an error
    /// [is one of the store](Self::is_store), too.
    pub fn is_persist(&self) -> bool {
        matches!(self.inner.kind, Kind::Persist { .. })
    }

    pub(crate) fn option(option: impl Into<Cow<'static, str>>, problem: impl Into<String>) -> Self {
        Kind::Option { option: option.into(), problem: without_middle(problem.into()) }.into()
    }

    /// The same about an option of a section of a configuration, by its whole path.
    #[cfg(feature = "web")]
    pub(crate) fn within(self, section: &'static str) -> Self {
        match &self.inner.kind {
            // Some are about the section as a whole.
            Kind::Option { option, problem } if section.ends_with(&**option) => Self::option(section, problem),
            Kind::Option { option, problem } => Self::option(format!("{section}.{option}"), problem),
            _ => self,
        }
    }

    /// Says that a store has no room for a session without an owner that is new or larger than
    /// before.
    pub fn full() -> Self {
        Kind::Full.into()
    }

    pub(crate) fn id(problem: impl Into<String>) -> Self {
        Kind::Id(problem.into()).into()
    }

    pub(crate) fn contention(handle: impl fmt::Display, attempts: u32) -> Self {
        Kind::Contention { handle: handle.to_string(), attempts }.into()
    }

    pub(crate) fn late(what: &'static str) -> Self {
        Kind::Late(what).into()
    }

    #[cfg(feature = "web")]
    pub(crate) fn panic() -> Self {
        Kind::Panic.into()
    }

    pub(crate) fn too_many_logins(max: usize) -> Self {
        Kind::TooManyLogins(max).into()
    }

    pub(crate) fn write_value(key: &str, source: serde_json::Error) -> Self {
        Self::value(key, "the value cannot be written as JSON", Some(source))
    }

    pub(crate) fn read_value(key: &str, source: serde_json::Error) -> Self {
        Self::value(key, "the value is not of the type asked for", Some(source))
    }

    /// Says why a value is refused that JSON would not give back.
    pub(crate) fn refuse_value(key: &str, problem: &'static str) -> Self {
        Self::value(key, problem, None)
    }

    fn value(key: &str, action: &'static str, source: Option<serde_json::Error>) -> Self {
        Kind::Value { key: key.to_owned(), action, source: source.map(|source| Arc::new(source) as Source) }.into()
    }

    pub(crate) fn corrupt(problem: impl Into<Cow<'static, str>>) -> Self {
        Kind::Corrupt(problem.into()).into()
    }

    pub(crate) fn random(source: rand::rngs::SysError) -> Self {
        Kind::Random { source: Arc::new(source) }.into()
    }

    pub(crate) fn persist(path: &Path, problem: impl Into<String>) -> Self {
        Kind::Persist { path: path.to_owned(), problem: problem.into() }.into()
    }

    pub(crate) fn background(problem: impl Into<String>) -> Self {
        Kind::Background(problem.into()).into()
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self { inner: Arc::new(Inner { kind, reported: AtomicBool::new(false) }) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the kind's own Debug: that would print the source, which may quote a value.
        f.debug_tuple("Error").field(&format_args!("{}", self.inner.kind)).finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner.kind, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.kind.source()
    }
}

/// A sentence that quotes a value of any length: what is wrong with it stands behind it.
fn without_middle(text: String) -> String {
    // No sentence of ours is as long without such a value.
    const EACH: usize = 400;
    if text.len() <= 2 * EACH {
        return text;
    }
    let mut begin = EACH;
    let mut end = text.len() - EACH;
    while !text.is_char_boundary(begin) {
        begin -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    format!("{} ... {}", &text[..begin], &text[end..])
}
