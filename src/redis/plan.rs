//! The plan: a script on one session, and what it is told. Everything but the entries is packed
//! into one argument, because each argument costs Lua as much as a command.
//!
//! ```text
//!   1  '1' if it was sent before
//!   2  now (8; 0: the server's time)
//!  10  how the usual row begins: layout, 's'ure, digest of the secret (18)
//!  28  the lease: idle (8), 36 lifetime (8)
//!  44  noted for (8)
//!  52  where the script's own part begins (2)
//!  54  whether the session is held (1), and its incarnation (4)
//!  59  epoch that is sure (8)
//!  67  whether the index was told (1)
//!  68  more of the lease: idle (8), 76 lifetime (8), both if remembered, 84 touch_after (8),
//!      92 renew_after (8), 100 grace (8)
//! 108  the owner that it was noted for, or that logs in
//!      the script's own
//! ```
//!
//! Numbers are big-endian, times milliseconds.

use std::time::Duration;

use super::fields::{self, Entries, Word};
use super::row::LAYOUT;
use super::scripts::Script;
use crate::id::{Digest, Handle, SecretCheck, SessionId};
use crate::record::{MAX_KEYS, MAX_MILLIS, Record, Version};
use crate::store::{Commit, Epoch, Expect, Identity, Lease};

/// Where the owner begins in a plan.
const OWNER: usize = 108;

/// No time, no epoch: 2^53, from where on Lua's numbers are not exact.
pub(super) const NONE: u64 = 1 << 53;

/// No session lives longer than 2^50 ms, some 35,000 years.
const FOREVER: u64 = 1 << 50;

/// "No timeout of its own" among numbers of six bytes.
pub(super) const NO_TIME: u64 = (1 << 48) - 1;

/// A script on one session.
#[derive(Clone)]
pub(super) struct Plan<'a> {
    pub(super) script: &'static Script,
    pub(super) handle: Handle,
    /// Keys beside the session's.
    pub(super) keys: Vec<Vec<u8>>,
    /// Arguments behind the plan: entries.
    pub(super) words: Vec<Word<'a>>,
    /// Not a look: if its answer is lost, it may have been carried out.
    pub(super) is_write: bool,
    /// It was sent before, and may have been carried out.
    pub(super) is_repeated: bool,
    /// Not only the owner's set, the index of all sessions knows it too.
    pub(super) in_index: bool,
    /// The presented one; zeros where the session is named by its handle.
    pub(super) secret: SecretCheck,
    /// Of this incarnation the session is meant, too, if its id was renewed.
    pub(super) held: Option<Version>,
    /// The sets know the session for so many milliseconds from now; 0: as its row says.
    pub(super) noted: u64,
    /// The epoch of a login that is known to count.
    pub(super) sure: Option<Epoch>,
    pub(super) lease: Lease,
    /// The owner that it was noted for, or that logs in.
    pub(super) by: String,
    pub(super) rest: Vec<u8>,
}

impl Plan<'static> {
    /// For the session with this handle.
    pub(super) fn new(script: &'static Script, handle: Handle) -> Self {
        let (keys, words, rest) = (Vec::new(), Vec::new(), Vec::new());
        let (is_write, is_repeated, in_index, noted, sure) = (true, false, true, 0, None);
        let (secret, held, lease, by) = (SecretCheck::Digest(Digest::default()), None, Lease::UNLIMITED, String::new());
        Self {
            script,
            handle,
            keys,
            words,
            is_write,
            is_repeated,
            in_index,
            secret,
            held,
            noted,
            sure,
            lease,
            by,
            rest,
        }
    }

    /// For the session that an id opens.
    pub(super) fn of(script: &'static Script, id: &SessionId, lease: &Lease) -> Self {
        Self { secret: SecretCheck::of(id), lease: *lease, ..Self::new(script, id.handle()) }
    }
}

impl Plan<'_> {
    pub(super) fn by(self, owner: &str) -> Self {
        Self { by: owner.to_owned(), ..self }
    }

    pub(super) fn told(self, rest: impl Into<Vec<u8>>) -> Self {
        Self { rest: rest.into(), ..self }
    }

    /// `now`: milliseconds of a clock that tests turn by hand; 0: the server's time.
    pub(super) fn to_bytes(&self, now: u64) -> Vec<u8> {
        let Lease { idle, lifetime, remembered, touch_after, renew_after, grace } = self.lease;
        let (long_idle, long_life) = remembered.unwrap_or((idle, lifetime));
        let mut bytes = Vec::with_capacity(OWNER + self.by.len() + self.rest.len());
        let numbers = |bytes: &mut Vec<u8>, numbers: &[u64]| {
            numbers.iter().for_each(|number| bytes.extend(number.to_be_bytes()));
        };
        bytes.push(if self.is_repeated { b'1' } else { b'0' });
        numbers(&mut bytes, &[now]);
        bytes.extend([LAYOUT, b's']);
        bytes.extend(self.secret.digest());
        numbers(&mut bytes, &[millis(idle), lifetime.map_or(NONE, millis), self.noted]);
        // An owner is no longer than 255 bytes.
        let rest = u16::try_from(OWNER + self.by.len()).unwrap_or(u16::MAX);
        bytes.extend(rest.to_be_bytes());
        bytes.push(u8::from(self.held.is_some()));
        bytes.extend(incarnation(self.held.unwrap_or_default()));
        numbers(&mut bytes, &[self.sure.map_or(NONE, Epoch::to_u64)]);
        bytes.push(u8::from(self.in_index));
        let times =
            [long_life.map_or(NONE, millis), millis(touch_after), renew_after.map_or(NONE, millis), millis(grace)];
        numbers(&mut bytes, &[millis(long_idle)]);
        numbers(&mut bytes, &times);
        bytes.extend(self.by.as_bytes());
        bytes.extend(&self.rest);
        bytes
    }
}

/// The incarnation of a version.
fn incarnation(version: Version) -> [u8; 4] {
    let [a, b, c, d, ..] = version.to_u64().to_be_bytes();
    [a, b, c, d]
}

/// A login as the scripts are told of it: the epoch it began in, that of the owner, the handle.
pub(super) fn login(begun: Option<Epoch>, epoch: Option<Epoch>, handle: Handle) -> Vec<u8> {
    let [begun, epoch] = [begun, epoch].map(|epoch| epoch.map_or(NONE, Epoch::to_u64).to_be_bytes());
    [&begun[..], &epoch, handle.to_string().as_bytes()].concat()
}

/// A commit and the limits of a session, and the entries as the arguments that follow the plan.
///
/// ```text
/// what it must find: 'a'bsent, 'i'ncarnation, 'e'xactly (1) · that version (8) · nonce (8) ·
/// identity: '=' if all but the entries stays as it is, 'k'eep, re'n'ew, 'r'eplace (1) · most
/// entries (4) · most bytes (4) · entries that are set (4) · their bytes (4) · which of the
/// arguments is the last to set (4) · and the last to remove (4); unless '=': whether it logs in
/// (1) · new timeout (8) · whether remembered from now on (1; 2: as it was) · the incarnation that
/// it begins (4) · digest of the new secret (16) · seed (8)
/// ```
pub(super) fn commit<'a>(id: &SessionId, commit: &'a Commit, max_bytes: usize) -> (Vec<u8>, Entries<'a>) {
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
    let timeout = changes.timeout().map_or(NONE, |timeout| timeout.map_or(NO_TIME, own_timeout));
    let owner = commit.login.as_ref().map(|login| login.owner.as_str());
    let entries = fields::of_changes(changes, owner, kind == b'a');
    let counts = [MAX_KEYS, max_bytes, entries.set, entries.bytes, entries.last_set, entries.last_removed];
    let is_plain = identity == b'k'
        && kind != b'a'
        && owner.is_none()
        && timeout == NONE
        && changes.remembered().is_none()
        && changes.csrf().is_none();
    let mut rest = Vec::with_capacity(128);
    rest.push(kind);
    rest.extend(base);
    rest.extend(commit.nonce.to_be_bytes());
    rest.push(if is_plain { b'=' } else { identity });
    counts.iter().for_each(|count| rest.extend(u32::try_from(*count).unwrap_or(u32::MAX).to_be_bytes()));
    if is_plain {
        return (rest, entries);
    }
    rest.push(u8::from(owner.is_some()));
    rest.extend(timeout.to_be_bytes());
    rest.push(changes.remembered().map_or(2, u8::from));
    rest.extend(incarnation(Version::first(commit.nonce)));
    rest.extend(new);
    rest.extend(seed.to_be_bytes());
    (rest, entries)
}

/// A record that is stored as it is, its entries as the arguments that follow the plan.
pub(super) fn put(how: u8, ttl: u64, record: &Record) -> (Vec<u8>, Vec<Word<'_>>) {
    let head = record.head();
    let bytes = u32::try_from(fields::size_of_record(record)).unwrap_or(u32::MAX);
    let entries = u16::try_from(record.len()).unwrap_or(u16::MAX);
    let mut rest = vec![u8::from(head.owner.is_some()), how];
    rest.extend(ttl.to_be_bytes());
    let version = record.version().to_u64().to_be_bytes();
    rest.extend(&version[..4]);
    let since = head.owner.map_or(0, |owner| owner.since_ms);
    let times = [head.created_ms, since, head.id_since_ms.unwrap_or(0), head.timeout_ms.unwrap_or(NO_TIME)];
    times.iter().for_each(|time| rest.extend(&time.to_be_bytes()[2..]));
    rest.extend(&version[4..]);
    rest.extend(bytes.to_be_bytes());
    rest.extend(entries.to_be_bytes());
    rest.push(2 * u8::from(head.remembered) + 4 * u8::from(head.owner.is_some()));
    (rest, fields::of_record(record))
}

/// A timeout of a session's own as its record has it.
fn own_timeout(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis()).unwrap_or(MAX_MILLIS).min(MAX_MILLIS)
}

/// The longest time that a session of a lease and with this timeout of its own can have.
pub(super) fn longest(lease: &Lease, timeout: Option<Duration>) -> u64 {
    let long_idle = lease.remembered.map_or(lease.idle, |(idle, _)| idle);
    millis(timeout.unwrap_or(lease.idle).max(long_idle)).min(CENTURY)
}

/// What a [`Lease`] takes for ever.
const CENTURY: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// Milliseconds, rounded up: a time that is not over is not none.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).min(FOREVER)
}
