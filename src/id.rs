//! The session id: a handle that names a session and may be seen, and a secret that proves it and may not.
//!
//! A store looks a session up by its handle and then compares the secret in constant time. So the look-up is no
//! timing oracle (CVE-2019-16782), logs and lists can name a session without giving it away, a store on disk keeps
//! only a digest, and a new id after login is a new secret under the same handle: one field changes in one place.
//!
//! 128 random bits of secret are what OWASP ASVS 5.0, 7.2.3 asks for; the handle adds none to that.

mod secret_check;

use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::rngs::{StdRng, SysRng};
use rand::{Rng as _, SeedableRng as _};
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

pub(crate) use self::secret_check::{Digest, SecretCheck, is_same};
use crate::error::{Error, Result};

const HANDLE_BYTES: usize = 8;
const SECRET_BYTES: usize = 16;
const ID_BYTES: usize = HANDLE_BYTES + SECRET_BYTES;

/// The public name of a session: safe in logs, events, lists of devices and database keys.
///
/// Knowing it gives no access. It stays the same when the session gets a new id. Shown as 11 URL-safe characters.
///
/// # Examples
///
/// ```
/// use lembro::{Handle, SessionId};
///
/// let id = SessionId::random()?;
/// let text = id.handle().to_string();
/// assert_eq!(text.len(), 11);
/// assert_eq!(text.parse::<Handle>()?, id.handle());
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle([u8; HANDLE_BYTES]);

impl Handle {
    /// The handle as a number, for a hash map or a database column.
    pub fn to_u64(self) -> u64 {
        u64::from_be_bytes(self.0)
    }

    /// The handle that [`to_u64`](Self::to_u64) gave.
    pub fn from_u64(number: u64) -> Self {
        Self(number.to_be_bytes())
    }
}

impl FromStr for Handle {
    type Err = Error;

    /// # Errors
    ///
    /// [`Error::is_id`] when the text is not the 11 characters of a handle.
    fn from_str(text: &str) -> Result<Self> {
        decode(text, "handle").map(Self)
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({self})")
    }
}

impl Serialize for Handle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The secret half of an id. It has no text form of its own, and comparing two takes the same time wherever they differ.
#[derive(Clone, Copy)]
pub(crate) struct Secret([u8; SECRET_BYTES]);

impl Secret {
    pub(crate) fn from_bytes(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) fn to_bytes(self) -> [u8; SECRET_BYTES] {
        self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        // As one number: `subtle` compares slices byte by byte, which takes longer than finding the session.
        u128::from_ne_bytes(self.0).ct_eq(&u128::from_ne_bytes(other.0)).into()
    }
}

impl Eq for Secret {}

/// The id of a session: 24 bytes, shown as 32 URL-safe characters, proof of who somebody is.
///
/// There is one kind of id and one text for each. It deliberately has no `Display`: the text is a password, so
/// writing it out takes the word [`expose`](Self::expose). `Debug` shows the [`Handle`] only, and `==` compares
/// in constant time.
///
/// # Examples
///
/// ```
/// use lembro::SessionId;
///
/// let id = SessionId::random()?;
/// let cookie_value = id.expose();
/// assert_eq!(cookie_value.len(), 32);
/// assert_eq!(cookie_value.parse::<SessionId>()?, id);
/// assert!(!format!("{id:?}").contains(&cookie_value));
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[doc(alias("sid", "token"))]
pub struct SessionId {
    handle: Handle,
    secret: Secret,
}

impl SessionId {
    /// The length of the text form, in characters.
    pub const TEXT_LEN: usize = ID_BYTES / 3 * 4;

    /// Draws a new id from a cryptographically secure generator that the operating system seeds.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`] when the system's random source fails. There is no weaker fallback.
    #[doc(alias = "generate")]
    pub fn random() -> Result<Self> {
        random_bytes().map(Self::from_bytes)
    }

    /// The id that stands for a text made elsewhere: the first 24 bytes of its SHA-256.
    ///
    /// For sessions that move here with their ids (express-session's `genid`, another store) and for ids that
    /// another system hands out. The result is exactly as hard to guess as `text` is.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::SessionId;
    /// let id = SessionId::derive("s:J7mR2vXq9cW4hT8yB3nL6kPz");
    /// assert_eq!(id, SessionId::derive("s:J7mR2vXq9cW4hT8yB3nL6kPz"));
    /// ```
    #[doc(alias("genid", "createNewSession"))]
    pub fn derive(text: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(text).into();
        let mut bytes = [0; ID_BYTES];
        bytes.copy_from_slice(&digest[..ID_BYTES]);
        Self::from_bytes(bytes)
    }

    /// The part that may be seen.
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// The text of the whole id, secret included: for a cookie or another channel only its owner reads.
    pub fn expose(&self) -> String {
        let mut bytes = [0; ID_BYTES];
        bytes[..HANDLE_BYTES].copy_from_slice(&self.handle.0);
        bytes[HANDLE_BYTES..].copy_from_slice(&self.secret.0);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// This session's next id: the same handle with the secret of `fresh`.
    #[must_use]
    pub fn renewed(&self, fresh: &Self) -> Self {
        Self { handle: self.handle, secret: fresh.secret }
    }

    /// Returns true if this is the secret, in constant time.
    #[inline]
    pub(crate) fn has_secret(&self, secret: &[u8; SECRET_BYTES]) -> bool {
        is_same(&self.secret.0, secret)
    }

    pub(crate) fn new(handle: Handle, secret: Secret) -> Self {
        Self { handle, secret }
    }

    fn from_bytes(bytes: [u8; ID_BYTES]) -> Self {
        let mut handle = [0; HANDLE_BYTES];
        let mut secret = [0; SECRET_BYTES];
        handle.copy_from_slice(&bytes[..HANDLE_BYTES]);
        secret.copy_from_slice(&bytes[HANDLE_BYTES..]);
        Self { handle: Handle(handle), secret: Secret(secret) }
    }
}

impl FromStr for SessionId {
    type Err = Error;

    /// Reads the text form, strictly: 32 characters of `A-Z a-z 0-9 - _`, nothing around them.
    ///
    /// # Errors
    ///
    /// [`Error::is_id`] when the text is anything else. The message does not repeat it.
    fn from_str(text: &str) -> Result<Self> {
        decode(text, "id").map(Self::from_bytes)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({}, ..)", self.handle)
    }
}

/// Reads `N` bytes of base64url. `N` is a multiple of three for ids; for handles the last character has two bits to
/// spare and the decoder refuses any text in which they are set, so one value has one text.
fn decode<const N: usize>(text: &str, what: &str) -> Result<[u8; N]> {
    let expected = (N * 4).div_ceil(3);
    // Length first: a megabyte of cookie is refused before anything looks at it.
    if text.len() != expected {
        return Err(Error::id(format!("{what} has {} bytes, expected {expected}", text.len())));
    }
    let mut bytes = [0; N];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(length) if length == N => Ok(bytes),
        _ => Err(Error::id(format!("{what} is not base64url text"))),
    }
}

/// Secure random bytes: a generator for each thread, seeded by the operating system and seeded anew every
/// `RESEED_AFTER` draws. Asking the system each time would be much of the cost of creating a session.
///
/// `rand::rng()` does the same but panics when the system cannot seed it, and no request may panic.
/// A process that forks without `exec` must not draw ids in both halves: they would repeat.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    const RESEED_AFTER: u32 = 4096;
    thread_local! {
        static GENERATOR: RefCell<Option<(StdRng, u32)>> = const { RefCell::new(None) };
    }
    GENERATOR.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|(_, left)| *left == 0) {
            *slot = Some((StdRng::try_from_rng(&mut SysRng).map_err(Error::random)?, RESEED_AFTER));
        }
        let mut bytes = [0; N];
        if let Some((generator, left)) = slot {
            generator.fill_bytes(&mut bytes);
            *left -= 1;
        }
        Ok(bytes)
    })
}
