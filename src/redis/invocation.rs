//! The invocation: a script on one session, and its arguments.
//!
//! All arguments but the entries are packed into one, because each costs Lua as much as a command:
//!
//! ```text
//!   1  '1' if the invocation was sent before
//!   2  now (8; 0: the server's time)
//!  10  beginning of most rows: layout, 's' (login confirmed), digest of the secret (18)
//!  28  lease: idle (8), 36 lifetime (8)
//!  44  how long the session is indexed from now on (8)
//!  52  offset of the script's own arguments (2)
//!  54  whether the session is held (1), and its incarnation (4)
//!  59  epoch of a confirmed login (8)
//!  67  whether the session is in the index (1)
//!  68  lease of a remembered session: idle (8), 76 lifetime (8)
//!  84  lease: touch_after (8), 92 renew_after (8), 100 grace (8)
//! 108  owner that the session is indexed for, or that logs in
//!      the script's own arguments
//! ```
//!
//! Numbers are big-endian, times milliseconds.

use std::time::Duration;

use super::lua::{Arg, LuaScript, NONE};
use super::row::{self, EntryArgs, LAYOUT, NO_TIMEOUT};
use crate::id::{Digest, Handle, SecretCheck, SessionId};
use crate::record::{MAX_KEYS, MAX_MILLIS, Record, Version};
use crate::store::{Commit, Epoch, Expect, Identity, Lease};

/// The offset of the owner.
const OWNER: usize = 108;

/// No session lives longer than 2^50 ms, some 35,000 years.
const FOREVER: u64 = 1 << 50;

/// The longest idle timeout, in milliseconds. A longer one counts as a century.
const CENTURY: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// A script on one session, with its arguments.
#[derive(Clone)]
pub(super) struct Invocation<'a> {
    pub(super) script: &'static LuaScript,
    pub(super) handle: Handle,
    /// Keys after the session's.
    pub(super) keys: Vec<Vec<u8>>,
    /// Arguments after the packed one: entries.
    pub(super) args: Vec<Arg<'a>>,
    /// False for a look. If the answer to a write is lost, the outcome is unknown.
    pub(super) is_write: bool,
    /// It was sent before, and may have been carried out.
    pub(super) is_repeated: bool,
    /// The session was added to the index of all sessions, not only to the owner's set.
    pub(super) in_index: bool,
    /// The presented secret; zeros if the request names the session by its handle.
    pub(super) secret: SecretCheck,
    /// The request also opens a session of this incarnation, even if the id was renewed since.
    pub(super) held: Option<Version>,
    /// Milliseconds from now that the index and the owner's set hold the session. 0: see the row.
    pub(super) index_for: u64,
    /// The epoch of the session's login, if the login is confirmed.
    pub(super) confirmed: Option<Epoch>,
    pub(super) lease: Lease,
    /// The owner that the session is indexed for, or that logs in.
    pub(super) owner: String,
    pub(super) script_args: Vec<u8>,
}

impl Invocation<'static> {
    /// A script on the session with this handle.
    pub(super) fn new(script: &'static LuaScript, handle: Handle) -> Self {
        Self {
            script,
            handle,
            keys: Vec::new(),
            args: Vec::new(),
            is_write: true,
            is_repeated: false,
            in_index: true,
            secret: SecretCheck::Digest(Digest::default()),
            held: None,
            index_for: 0,
            confirmed: None,
            lease: Lease::UNLIMITED,
            owner: String::new(),
            script_args: Vec::new(),
        }
    }

    /// A script on the session that an id opens.
    pub(super) fn of(script: &'static LuaScript, id: &SessionId, lease: &Lease) -> Self {
        Self { secret: SecretCheck::of(id), lease: *lease, ..Self::new(script, id.handle()) }
    }
}

impl Invocation<'_> {
    pub(super) fn with_owner(self, owner: &str) -> Self {
        Self { owner: owner.to_owned(), ..self }
    }

    pub(super) fn with(self, script_args: impl Into<Vec<u8>>) -> Self {
        Self { script_args: script_args.into(), ..self }
    }

    /// `now`: milliseconds of a clock that a test sets; 0: the server's time.
    pub(super) fn to_bytes(&self, now: u64) -> Vec<u8> {
        let Lease { idle, lifetime, remembered, touch_after, renew_after, grace } = self.lease;
        let (long_idle, long_life) = remembered.unwrap_or((idle, lifetime));
        let or_none = |span: Option<Duration>| span.map_or(NONE, millis);
        let mut bytes = Vec::with_capacity(OWNER + self.owner.len() + self.script_args.len());
        let numbers = |bytes: &mut Vec<u8>, numbers: &[u64]| {
            numbers.iter().for_each(|number| bytes.extend(number.to_be_bytes()));
        };
        bytes.push(if self.is_repeated { b'1' } else { b'0' });
        numbers(&mut bytes, &[now]);
        bytes.extend([LAYOUT, b's']);
        bytes.extend(self.secret.digest());
        numbers(&mut bytes, &[millis(idle), or_none(lifetime), self.index_for]);
        // An owner has at most 255 bytes.
        let offset = u16::try_from(OWNER + self.owner.len()).unwrap_or(u16::MAX);
        bytes.extend(offset.to_be_bytes());
        bytes.push(u8::from(self.held.is_some()));
        bytes.extend(incarnation(self.held.unwrap_or_default()));
        numbers(&mut bytes, &[self.confirmed.map_or(NONE, Epoch::to_u64)]);
        bytes.push(u8::from(self.in_index));
        let times = [millis(long_idle), or_none(long_life), millis(touch_after), or_none(renew_after), millis(grace)];
        numbers(&mut bytes, &times);
        bytes.extend(self.owner.as_bytes());
        bytes.extend(&self.script_args);
        bytes
    }
}

/// The incarnation of a version.
fn incarnation(version: Version) -> [u8; 4] {
    let [a, b, c, d, ..] = version.to_u64().to_be_bytes();
    [a, b, c, d]
}

/// The arguments of a login: the epoch it began in, the owner's epoch, the handle.
pub(super) fn login(begun: Option<Epoch>, epoch: Option<Epoch>, handle: Handle) -> Vec<u8> {
    let [begun, epoch] = [begun, epoch].map(|epoch| epoch.map_or(NONE, Epoch::to_u64).to_be_bytes());
    [&begun[..], &epoch, handle.to_string().as_bytes()].concat()
}

/// The arguments of a commit: a packed part and the entries.
///
/// ```text
/// precondition: 'a'bsent, 'i'ncarnation, 'e'xactly (1) · its version (8) · nonce (8) · identity:
/// '=' if only entries change, 'k'eep, re'n'ew, 'r'eplace (1) · limit of entries (4) · limit of
/// bytes (4) · entries that are set (4) · their bytes (4) · position of the last argument to set
/// (4) · and of the last to remove (4); unless '=': whether it logs in (1) · new timeout (8) · new
/// value of remembered (1; 2: unchanged) · incarnation that begins (4) · digest of the new secret
/// (16) · seed (8)
/// ```
pub(super) fn commit<'a>(id: &SessionId, commit: &'a Commit, max_bytes: usize) -> (Vec<u8>, EntryArgs<'a>) {
    let (kind, base) = match commit.expect() {
        Expect::Absent => (b'a', [0; 8]),
        Expect::Incarnation(version) => (b'i', version.to_u64().to_be_bytes()),
        Expect::Exactly(version) => (b'e', version.to_u64().to_be_bytes()),
    };
    let (identity, new, seed) = match commit.identity {
        Identity::Keep => (b'k', [0; 16], 0),
        Identity::Renew(seed) => (b'n', id.successor(seed).digest(), seed),
        Identity::Replace(new) => (b'r', new.digest(), 0),
    };
    let changes = &commit.changes;
    let timeout = changes.timeout().map_or(NONE, |timeout| timeout.map_or(NO_TIMEOUT, own_timeout));
    let owner = commit.login.as_ref().map(|login| login.owner.as_str());
    let entries = row::args_of_changes(changes, owner, kind == b'a');
    let counts = [MAX_KEYS, max_bytes, entries.set, entries.bytes, entries.last_set, entries.last_removed];
    let is_plain = identity == b'k'
        && kind != b'a'
        && owner.is_none()
        && timeout == NONE
        && changes.remembered().is_none()
        && changes.csrf().is_none();
    let mut packed = Vec::with_capacity(128);
    packed.push(kind);
    packed.extend(base);
    packed.extend(commit.nonce.to_be_bytes());
    packed.push(if is_plain { b'=' } else { identity });
    counts.iter().for_each(|count| packed.extend(u32::try_from(*count).unwrap_or(u32::MAX).to_be_bytes()));
    if !is_plain {
        packed.push(u8::from(owner.is_some()));
        packed.extend(timeout.to_be_bytes());
        packed.push(changes.remembered().map_or(2, u8::from));
        packed.extend(incarnation(Version::first(commit.nonce)));
        packed.extend(new);
        packed.extend(seed.to_be_bytes());
    }
    (packed, entries)
}

/// The arguments of a record to store: a packed part and the entries.
pub(super) fn put(mode: u8, ttl: u64, record: &Record) -> (Vec<u8>, Vec<Arg<'_>>) {
    let head = record.head();
    let bytes = u32::try_from(row::size_of_record(record)).unwrap_or(u32::MAX);
    let entries = u16::try_from(record.len()).unwrap_or(u16::MAX);
    let mut packed = vec![u8::from(head.owner.is_some()), mode];
    packed.extend(ttl.to_be_bytes());
    let version = record.version().to_u64().to_be_bytes();
    packed.extend(&version[..4]);
    let since = head.owner.map_or(0, |owner| owner.since_ms);
    let times = [head.created_ms, since, head.id_since_ms.unwrap_or(0), head.timeout_ms.unwrap_or(NO_TIMEOUT)];
    times.iter().for_each(|time| packed.extend(&time.to_be_bytes()[2..]));
    packed.extend(&version[4..]);
    packed.extend(bytes.to_be_bytes());
    packed.extend(entries.to_be_bytes());
    packed.push(2 * u8::from(head.remembered) + 4 * u8::from(head.owner.is_some()));
    (packed, row::args_of_record(record))
}

/// A session's own timeout as its record stores it.
fn own_timeout(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis()).unwrap_or(MAX_MILLIS).min(MAX_MILLIS)
}

/// The longest time that a session with this lease and a timeout of its own can get.
pub(super) fn longest(lease: &Lease, timeout: Option<Duration>) -> u64 {
    let long_idle = lease.remembered.map_or(lease.idle, |(idle, _)| idle);
    millis(timeout.unwrap_or(lease.idle).max(long_idle)).min(CENTURY)
}

/// Milliseconds, rounded up, so that a short time does not become zero.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).min(FOREVER)
}
