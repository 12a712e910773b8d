//! The error: one opaque type with predicates, which names what was wrong and never an id's secret.

mod kind;

use std::fmt;

use self::kind::Kind;
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

    /// Says that a store has no room for a session without an owner that is new or larger than
    /// before.
    pub fn full() -> Self {
        Kind::Full.into()
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
