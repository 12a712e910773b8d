//! The session id: a public handle that names a session, and a secret that opens it.
//!
//! A store finds a session by its handle and then compares the secret in constant time, so the time
//! of a lookup tells nothing about the secret (CVE-2019-16782). Logs and lists show the handle
//! alone, which gives no access. Files and databases contain only digests of secrets. A new id has
//! the same handle and a new secret, so the session's row keeps its key.
//!
//! The secret has 128 random bits, as OWASP ASVS 5.0, 7.2.3 asks.

mod secret_check;

use std::array::from_fn;
use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::rngs::{StdRng, SysRng};
use rand::{Rng as _, SeedableRng as _};
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

pub(crate) use self::secret_check::{Digest, SecretCheck, is_same};
use crate::clock::fine_nanos;
use crate::error::{Error, Result};

const HANDLE_BYTES: usize = 8;
const SECRET_BYTES: usize = 16;
const ID_BYTES: usize = HANDLE_BYTES + SECRET_BYTES;

/// The public name of a session: safe in logs, events, lists of devices and database keys.
///
/// It gives no access, and stays the same when the session gets a new id. Its text is 11 URL-safe
/// characters.
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

    /// Makes the handle from a number that [`to_u64`](Self::to_u64) returned.
    pub fn from_u64(number: u64) -> Self {
        Self(number.to_be_bytes())
    }
}

impl FromStr for Handle {
    type Err = Error;

    /// # Errors
    ///
    /// [`Error::is_id`] if the text is not the 11 characters of a handle.
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

/// The secret half of an id. `==` compares in constant time.
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
        is_same(&self.0, &other.0)
    }
}

impl Eq for Secret {}

/// The id of a session: 24 bytes, written as 32 URL-safe characters. It gives access to the
/// session.
///
/// Each id has exactly one text. The text is as sensitive as a password, so `SessionId` has no
/// `Display`: only [`expose`](Self::expose) returns the text. `Debug` shows the [`Handle`] only,
/// and `==` compares the secrets in constant time.
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
    /// [`Error::is_store`] if the system's random source fails. There is no weaker fallback.
    #[doc(alias = "generate")]
    pub fn random() -> Result<Self> {
        random_bytes().map(Self::from_bytes)
    }

    /// Derives an id from the session id of another system, such as express-session. The id is the
    /// first 24 bytes of the text's SHA-256.
    ///
    /// Use it to move sessions from that system without a new login. The id is exactly as hard to
    /// guess as `text`.
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
        Self::from_bytes(from_fn(|n| digest[n]))
    }

    /// The public half of the id.
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// The text of the whole id, secret included, for a cookie or another channel that only the
    /// session's user reads.
    pub fn expose(&self) -> String {
        let mut bytes = [0; ID_BYTES];
        bytes[..HANDLE_BYTES].copy_from_slice(&self.handle.0);
        bytes[HANDLE_BYTES..].copy_from_slice(&self.secret.0);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Returns a new id for this session, with the same handle and the secret of `fresh`. Pass it
    /// to [`Identity::Replace`](crate::Identity::Replace).
    #[must_use]
    pub fn renewed(&self, fresh: &Self) -> Self {
        Self { handle: self.handle, secret: fresh.secret }
    }

    /// Returns true if `secret` is the secret of this id. Compares in constant time.
    #[inline]
    pub(crate) fn has_secret(&self, secret: &[u8; SECRET_BYTES]) -> bool {
        is_same(&self.secret.0, secret)
    }

    pub(crate) fn new(handle: Handle, secret: Secret) -> Self {
        Self { handle, secret }
    }

    fn from_bytes(bytes: [u8; ID_BYTES]) -> Self {
        let (handle, secret) = (from_fn(|n| bytes[n]), from_fn(|n| bytes[HANDLE_BYTES + n]));
        Self { handle: Handle(handle), secret: Secret(secret) }
    }
}

impl FromStr for SessionId {
    type Err = Error;

    /// Parses exactly 32 characters of `A-Z a-z 0-9 - _`, with no space or quotes around them.
    ///
    /// # Errors
    ///
    /// [`Error::is_id`] for any other text. The message does not repeat the text.
    fn from_str(text: &str) -> Result<Self> {
        decode(text, "id").map(Self::from_bytes)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({}, ..)", self.handle)
    }
}

/// Reads `N` bytes of base64url. The last character of a handle has two spare bits, and the decoder
/// refuses a text in which they are set, so each value has one text.
fn decode<const N: usize>(text: &str, what: &str) -> Result<[u8; N]> {
    let expected = (N * 4).div_ceil(3);
    // The length is checked first, so that a text of a megabyte is not decoded.
    if text.len() != expected {
        return Err(Error::id(format!("{what} has {} bytes, expected {expected}", text.len())));
    }
    let mut bytes = [0; N];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(length) if length == N => Ok(bytes),
        _ => Err(Error::id(format!("{what} is not base64url text"))),
    }
}

/// Draws secure random bytes from the thread's generator. The operating system seeds the generator
/// at first and again after every `RESEED_AFTER` draws. A system call for every draw would be a
/// large part of the cost of creating a session.
///
/// `rand::rng()` does the same, but panics if the system cannot seed it, and no request may panic.
/// After a fork, the child has a copy of the generator and would draw the same bytes as its parent.
/// So each draw compares the process id, which takes one system call, with that of the process that
/// seeded the generator.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let process = std::process::id();
    draw(Some(process), |generator| {
        let mut bytes = [0; N];
        generator.fill_bytes(&mut bytes);
        bytes
    })
}

/// A random number from the same generator, for values that are no secret: versions, nonces, the
/// seed of a renewal.
///
/// The system call for the process id would take a tenth of the time of a commit. So the number is
/// combined with the time in nanoseconds instead. After a fork, parent and child draw the same
/// number only if they draw in the same nanosecond.
pub(crate) fn random_number() -> Result<u64> {
    // Odd, so that different times give different numbers.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let number = draw(None, StdRng::next_u64)?;
    Ok(number ^ fine_nanos().wrapping_mul(SPREAD))
}

/// The random generator of a thread.
struct Generator {
    random: StdRng,
    /// The number of draws until the generator is seeded again.
    left: u32,
    /// The id of the process that seeded the generator.
    process: u32,
}

impl Generator {
    fn new(process: u32) -> Result<Self> {
        const RESEED_AFTER: u32 = 4096;
        Ok(Self { random: StdRng::try_from_rng(&mut SysRng).map_err(Error::random)?, left: RESEED_AFTER, process })
    }
}

/// Draws from the thread's generator. If `process` is given and another process seeded the
/// generator, it is seeded again first.
#[inline]
fn draw<T>(process: Option<u32>, draw: impl Fn(&mut StdRng) -> T) -> Result<T> {
    thread_local! {
        static GENERATOR: RefCell<Option<Generator>> = const { RefCell::new(None) };
    }
    let drawn = GENERATOR.try_with(|slot| {
        let mut slot = slot.borrow_mut();
        let is_usable = |kept: &Generator| kept.left > 0 && process.is_none_or(|process| process == kept.process);
        if !slot.as_ref().is_some_and(is_usable) {
            *slot = None;
        }
        let generator = match &mut *slot {
            Some(generator) => generator,
            empty => empty.insert(Generator::new(process.unwrap_or_else(std::process::id))?),
        };
        generator.left -= 1;
        Ok(draw(&mut generator.random))
    });
    // A thread that is ending may have dropped its generator already.
    drawn.unwrap_or_else(|_| Generator::new(0).map(|mut generator| draw(&mut generator.random)))
}
