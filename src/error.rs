//! The error of the crate: one opaque type with predicates.

mod constructors;

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use crate::sync::{Arc, AtomicBool, Ordering};

/// The result type of this crate's methods that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Arc<dyn std::error::Error + Send + Sync>;

/// The error of every method in this crate that can fail.
///
/// "Not found", "expired" and "malformed cookie" are values, not errors. An error means that the
/// caller asked for something impossible, such as a key that is too long, or that the system
/// failed, such as a store that cannot be reached. Programs use the predicates, such as
/// [`is_store`](Self::is_store); the text is for people. The text names the option, key, limit or
/// handle, and never contains a session's data or the secret part of an id. (The
/// [`source`](std::error::Error::source) of an [`is_value`](Self::is_value) error is serde's own
/// and may quote the value.)
///
/// An error is cheap to clone.
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
    /// True if the error was already published on a channel.
    reported: AtomicBool,
}

/// The kinds of error, with their texts.
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

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self { inner: Arc::new(Inner { kind, reported: AtomicBool::new(false) }) }
    }
}

/// Generates the predicates: methods that return true for one kind of error.
macro_rules! predicates {
    ($($(#[$doc:meta])* $name:ident: $kind:pat,)*) => {
        $(
            $(#[$doc])*
            pub fn $name(&self) -> bool {
                matches!(self.inner.kind, $kind)
            }
        )*
    };
}

impl Error {
    /// Makes an error that [`is_store`](Self::is_store) from a backend's failure, for your own
    /// [`Store`](crate::Store).
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

    /// Makes an error that [`is_unsupported`](Self::is_unsupported), for a store without an
    /// optional operation. `what` completes "this store does not support …".
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

    /// Makes an error that [`is_taken`](Self::is_taken), for an id whose [`Handle`](crate::Handle)
    /// another session has.
    pub fn taken(handle: impl fmt::Display) -> Self {
        Kind::Taken(handle.to_string()).into()
    }

    /// Makes an error that [`is_size`](Self::is_size), for a store that checks a size itself.
    pub fn size(problem: impl Into<String>) -> Self {
        Kind::Size(problem.into()).into()
    }

    /// Makes an error that [`is_unknown`](Self::is_unknown), for a write to this session whose
    /// answer was lost.
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

    /// Makes an error that [`is_lost`](Self::is_lost), for an adapter that refuses a lost change:
    /// the session ended, or was superseded, during the request.
    pub fn lost(handle: impl fmt::Display) -> Self {
        Kind::Lost(handle.to_string()).into()
    }

    /// Makes an error that [`is_full`](Self::is_full), for a store that has no room for a session
    /// without an owner that is new or has grown.
    pub fn full() -> Self {
        Kind::Full.into()
    }

    /// Adds the cause of an [unknown](Self::unknown) outcome. Every other error stays as it is.
    #[must_use]
    pub fn caused_by(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        match &self.inner.kind {
            Kind::Unknown { handle, .. } => {
                Kind::Unknown { handle: handle.clone(), source: Some(Arc::from(source.into())) }.into()
            }
            _ => self,
        }
    }

    predicates! {
        /// True if an option or a combination of options has an impossible value, or if a text is
        /// not one of the words for an enum, such as [`EndReason`](crate::EndReason).
        is_option: Kind::Option { .. },

        /// True if a text was parsed as a session id or a handle, and is not one.
        is_id: Kind::Id(_),

        /// True if an id is taken, because a live session has its handle. Nothing was written.
        is_taken: Kind::Taken(_),

        /// True if `modify` gave up, because another request changed the session before each of its
        /// attempts to commit. Nothing was written.
        is_contention: Kind::Contention { .. },

        /// True if a key, a value, an owner, a label, the number of keys or a whole session is
        /// larger than its limit, or an owner is empty. Nothing was written.
        is_size: Kind::Size(_),

        /// True if the owner already has as many sessions as the
        /// [policy](crate::Policy::max_per_owner) allows. Nothing was written.
        is_too_many_logins: Kind::TooManyLogins(_),

        /// True if a write may have been carried out or not, because its answer was lost, and the
        /// stored session does not show which. Such an error is also [one of the
        /// store](Self::is_store).
        is_unknown: Kind::Unknown { .. },

        /// True if the store is full, and a session without an owner may not evict others. Nothing
        /// was written, so the stored session, if there is one, stays.
        is_full: Kind::Full,

        /// True if a value could not be written as JSON or read from it, or is not of the requested
        /// type.
        is_value: Kind::Value { .. },

        /// True if stored bytes are not a record.
        is_corrupt: Kind::Corrupt(_),

        /// True if the store or the random source of ids failed. Nothing was written, unless the
        /// error [is unknown](Self::is_unknown).
        is_store: Kind::Store { .. } | Kind::Random { .. } | Kind::Unknown { .. } | Kind::Persist { .. },

        /// True if the store does not have this optional operation.
        is_unsupported: Kind::Unsupported(_),

        /// True if a login, `regenerate` or `attach` came too late, because the request has ended,
        /// or if the `Session` is a [fork](crate::Session::fork). Nothing was changed.
        is_late: Kind::Late(_),

        /// True if the session ended, or was superseded by a login, during the request, so the
        /// request's changes are lost.
        is_lost: Kind::Lost(_),

        /// True if the handler of a request panicked. Nothing was saved after the panic.
        is_panic: Kind::Panic,

        /// True if work in the background failed, where no caller receives a result.
        is_background: Kind::Background(_),

        /// True if the files of [`LembroOptions::persist`](crate::LembroOptions::persist) are
        /// damaged, in use, or cannot be written. The text names the path and the problem. Such an
        /// error is also [one of the store](Self::is_store).
        is_persist: Kind::Persist { .. },
    }

    /// Marks the error as published. Returns true the first time.
    pub(crate) fn note_report(&self) -> bool {
        !self.inner.reported.swap(true, Ordering::Relaxed)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The kind's own Debug would print the source, which may quote a value.
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
