//! The entries in a backend: their keys, and the layouts of their bytes.

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::id::Handle;
use crate::store::{EndReason, Entry, Epoch, take};

/// The version of the layout of an owner's entry.
const FORMAT: u8 = 1;

pub(super) fn session_key(handle: Handle) -> String {
    format!("lembro-session-{:016x}", handle.to_u64())
}

/// The key contains a digest, because an owner's name may be long, and is private. The digits are
/// hexadecimal, because not every backend distinguishes `a` from `A`.
pub(super) fn owner_key(owner: &str) -> String {
    Sha256::digest(owner).iter().fold("lembro-owner-".to_owned(), |key, byte| format!("{key}{byte:02x}"))
}

/// The entry of a session: its row and, if the session was ended, the reason. The numbers in
/// parentheses are lengths in bytes:
///
/// ```text
/// 0, or the reason why it ended (1) · listed until (8) · the row, as Entry::to_bytes writes it
/// ```
pub(super) struct SessionEntry {
    pub(super) ended: Option<EndReason>,
    /// The owner's entry, which lists this session, is kept at least until this time, in
    /// milliseconds since 1970. Without an owner it is 0.
    pub(super) listed_until: u64,
    pub(super) row: Entry,
}

const REASONS: [EndReason; 3] = [EndReason::LoggedOutEverywhere, EndReason::Revoked, EndReason::Limit];

impl SessionEntry {
    /// The row; `None` if the session was ended.
    pub(super) fn live(&self) -> Option<&Entry> {
        self.ended.is_none().then_some(&self.row)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let reason = REASONS.into_iter().zip(1..).find(|(reason, _)| Some(*reason) == self.ended);
        let mut bytes = vec![reason.map_or(0, |(_, number)| number)];
        bytes.extend(self.listed_until.to_be_bytes());
        bytes.extend(self.row.to_bytes());
        bytes
    }

    pub(super) fn from_bytes(mut bytes: &[u8]) -> Result<Self> {
        let unreadable = || Error::corrupt("the session's entry is not readable");
        let [number] = take(&mut bytes).ok_or_else(unreadable)?;
        let ended = match usize::from(number).checked_sub(1) {
            None => None,
            Some(index) => Some(*REASONS.get(index).ok_or_else(unreadable)?),
        };
        let listed_until = u64::from_be_bytes(take(&mut bytes).ok_or_else(unreadable)?);
        Ok(Self { ended, listed_until, row: Entry::from_bytes(bytes)? })
    }
}

/// The entry of an owner: the epoch, and the handles of the owner's sessions. Some of these
/// sessions may have ended or have another owner by now, so each session's own entry must be read.
///
/// ```text
/// format (1) · epoch (8) · kept until (8) · pruned at this length (4) · handles (8 each)
/// ```
pub(super) struct OwnerEntry {
    pub(super) epoch: Epoch,
    /// The time until which the entry is kept, in milliseconds since 1970. It is after the deadline
    /// of every listed session, and never decreases.
    pub(super) until: u64,
    /// The number of handles at which the next pruning is due.
    prune_at: u32,
    pub(super) handles: Vec<Handle>,
}

impl OwnerEntry {
    /// An entry with fewer handles than this is not pruned.
    const FEW: u32 = 8;

    pub(super) fn is_pruning_due(&self) -> bool {
        self.handles.len() >= self.prune_at as usize
    }

    /// Removes the handles for which `is_session` returns false. The next pruning is due at twice
    /// the number of handles that are left. So the cost of pruning per login does not grow with the
    /// number of handles.
    pub(super) fn prune(&mut self, is_session: impl FnMut(&Handle) -> bool) {
        self.handles.retain(is_session);
        self.prune_at = u32::try_from(self.handles.len() * 2).unwrap_or(u32::MAX).max(Self::FEW);
    }

    /// Adds the handle of a session, and keeps the entry until the given time.
    pub(super) fn add(&mut self, handle: Handle, until: u64) {
        if !self.handles.contains(&handle) {
            self.handles.push(handle);
        }
        self.keep_until(until);
    }

    pub(super) fn keep_until(&mut self, until: u64) {
        self.until = self.until.max(until);
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend(self.epoch.to_u64().to_be_bytes());
        bytes.extend(self.until.to_be_bytes());
        bytes.extend(self.prune_at.to_be_bytes());
        bytes.extend(self.handles.iter().flat_map(|handle| handle.to_u64().to_be_bytes()));
        bytes
    }

    pub(super) fn from_bytes(bytes: Option<&[u8]>) -> Result<Self> {
        let none = Self { epoch: Epoch::default(), until: 0, prune_at: Self::FEW, handles: Vec::new() };
        bytes.map_or(Some(none), Self::parse).ok_or_else(|| Error::corrupt("the owner's entry is not readable"))
    }

    fn parse(mut bytes: &[u8]) -> Option<Self> {
        let [format] = take(&mut bytes)?;
        let epoch = Epoch::from_u64(u64::from_be_bytes(take(&mut bytes)?));
        let until = u64::from_be_bytes(take(&mut bytes)?);
        let prune_at = u32::from_be_bytes(take(&mut bytes)?);
        let (handles, rest) = bytes.as_chunks();
        let handles = handles.iter().map(|bytes| Handle::from_u64(u64::from_be_bytes(*bytes))).collect();
        (format == FORMAT && rest.is_empty()).then_some(Self { epoch, until, prune_at, handles })
    }
}
