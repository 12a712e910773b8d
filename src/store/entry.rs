//! The entry: the row that a store keeps of a session. Its methods decide what requests do to it.

use std::time::Duration;

use super::commit::{Action, Nonces};
use super::lease::{Lease, Now};
use super::outcome::{Listed, Look, Lookup, Outcome, Stored};
use super::owners::Epoch;
use super::rule::{self, Edit, LookAnswer};
use crate::error::{Error, Result};
use crate::id::{Handle, SecretCheck, SessionId};
use crate::record::{Frame, Record, SecondSecret, StoreState, Version};
use crate::sync::Ordering;

/// The version of the layout that [`Entry::to_bytes`] writes.
const FORMAT: u8 = 1;

/// The row that a store keeps of a session: the record, the secrets that open it, its deadline, and
/// the nonces of the commits that made its last versions.
///
/// A store reads the row of an id's [`Handle`], calls [`look`](Self::look) or
/// [`apply`](Self::apply), and carries out the [`Write`] that they return. [`Store`](crate::Store)
/// has a complete example.
#[derive(Clone, Debug)]
pub struct Entry {
    record: Record,
    nonces: Nonces,
}

/// The write that a store must carry out, in the step in which it read the row.
#[derive(Clone, Debug)]
#[must_use]
pub enum Write {
    /// The row stays as it is.
    Nothing,
    /// Store this row, in place of the one that was read.
    Put(Entry),
    /// Remove the row.
    Remove,
}

impl Entry {
    /// Answers a request's look. `row`: the stored row of the id's handle, if there is one.
    #[must_use = "the row must be written"]
    pub fn look(row: Option<&Self>, id: &SessionId, how: Look, lease: &Lease, now: Now) -> (Lookup, Write) {
        let Some(row) = row else { return (Lookup::Missing, Write::Nothing) };
        let seen = rule::look(&row.record, id, how, lease, now);
        let opener = match seen.answer {
            LookAnswer::Missing => return (Lookup::Missing, Write::Nothing),
            LookAnswer::Superseded { recent } => return (Lookup::Superseded { recent }, Write::Nothing),
            LookAnswer::Found(opener) => opener,
        };
        // A visit can note when the session got its id. Then the next record has that.
        let record = seen.next.as_ref().unwrap_or(&row.record).clone();
        let lookup = Lookup::Found(Stored { record, ttl: seen.ttl, presented: opener.presented(id) });
        let edit = seen.next.map(Edit::Put).or(seen.touch.map(Edit::Deadline)).unwrap_or(Edit::Nothing);
        (lookup, Self::to_write(Some(row), edit, |row| row.nonces))
    }

    /// Carries out an action. `epoch`: the present epoch of the owner that the action
    /// [logs in](Action::login), from a store that has [`Owners`](crate::Owners).
    ///
    /// # Errors
    ///
    /// [`Error::is_size`] when the session would be too large; [`Error::is_unknown`] when the row
    /// does not show whether a repeated commit was carried out; [`Error::is_id`] when a new id has
    /// another handle, or a login has no new id. After an error the store must write nothing.
    pub fn apply(
        row: Option<&Self>,
        id: &SessionId,
        action: &Action<'_>,
        lease: &Lease,
        now: Now,
        epoch: Option<Epoch>,
    ) -> Result<(Outcome, Write)> {
        let nonces = row.map_or(Nonces::NONE, |row| row.nonces);
        let (outcome, edit) = rule::apply(row.map(|row| &row.record), &nonces, id, action, lease, now, epoch)?;
        let next = |row: &Self| match action {
            Action::Commit(commit) if commit.begins().is_none() => row.nonces.push(commit.nonce),
            _ => Nonces::NONE,
        };
        Ok((outcome, Self::to_write(row, edit, next)))
    }

    fn to_write(row: Option<&Self>, edit: Edit, nonces: impl FnOnce(&Self) -> Nonces) -> Write {
        match (edit, row) {
            (Edit::Nothing, _) | (Edit::Deadline(_), None) => Write::Nothing,
            (Edit::Remove, _) => Write::Remove,
            (Edit::Put(record), row) => Write::Put(Self { record, nonces: row.map_or(Nonces::NONE, nonces) }),
            (Edit::Deadline(deadline), Some(row)) => {
                let record = row.record.clone();
                let record = record.with_state(|state| state.deadline.store(deadline, Ordering::Relaxed));
                Write::Put(Self { record, nonces: row.nonces })
            }
        }
    }

    /// The session's data.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// When the row may be removed, in milliseconds on the clock of the store's [`Now`], which
    /// count from 1970 with [`Now::on_calendar`]. It is signed, as integers in databases are.
    pub fn deadline_ms(&self) -> i64 {
        self.record.state().deadline().div_ceil(1_000_000).cast_signed()
    }

    /// How long from now the row must be kept, for a backend that removes rows by itself. Looks and
    /// actions use the deadline inside the row instead.
    pub fn ttl(&self, now: Now) -> Duration {
        now.until(self.record.state().deadline())
    }

    /// The session for a list; `None` if it has expired.
    pub fn listed(&self, handle: Handle, now: Now) -> Option<Listed> {
        if rule::is_expired(&self.record, now.clock) {
            return None;
        }
        Some(Listed::new(handle, Stored::new(self.record.clone(), self.ttl(now))))
    }

    /// The row as bytes, for a database, a file or a snapshot. They hold digests of the secrets,
    /// and a digest opens no session.
    ///
    /// ```text
    /// format (1) · kind of the second secret (1) · number of nonces (1)
    /// · deadline (8) · version (8) · digest of the secret (16)
    /// · [second secret (32)] · nonces (8 each) · bytes of the record
    /// ```
    ///
    /// Numbers are big-endian; the deadline is in nanoseconds.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use lembro::{Action, Clock, Commit, Entry, Lease, Look, Lookup, Now, SessionId, Write};
    ///
    /// let id = SessionId::random()?;
    /// let lease = Lease::new(Duration::from_secs(60));
    /// let now = Now::on_calendar(&Clock::system());
    /// let create = Commit::create()?;
    /// let (_, write) = Entry::apply(None, &id, &Action::Commit(&create), &lease, now, None)?;
    /// let Write::Put(entry) = write else {
    ///     panic!("a session was created")
    /// };
    /// let again = Entry::from_bytes(&entry.to_bytes())?;
    /// let (lookup, _) = Entry::look(Some(&again), &id, Look::Peek, &lease, now);
    /// assert!(lookup.found().is_some());
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn to_bytes(&self) -> Vec<u8> {
        let (mut bytes, deadline) = (Vec::new(), self.record.state().deadline());
        write_row(&mut bytes, &self.record, &self.nonces, deadline, |instant| instant);
        bytes
    }

    /// Reads the bytes that [`to_bytes`](Self::to_bytes) returned.
    ///
    /// # Errors
    ///
    /// [`Error::is_corrupt`] when the bytes are not a row. No input panics.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (record, nonces) = read_row(bytes, Handle::from_u64(0), |instant| instant)?;
        Ok(Self { record, nonces })
    }
}

/// Writes a row in the layout of [`Entry::to_bytes`]. `on` converts its instants to the reader's
/// clock.
pub(crate) fn write_row(bytes: &mut Vec<u8>, row: &Record, nonces: &Nonces, deadline: u64, on: impl Fn(u64) -> u64) {
    let second = row.second().map(|second| second.on(&on).to_parts());
    let nonces = nonces.as_slice();
    bytes.extend([FORMAT, second.map_or(0, |(kind, _)| kind), u8::try_from(nonces.len()).unwrap_or(0)]);
    bytes.extend(on(deadline).to_be_bytes());
    bytes.extend(row.version().to_u64().to_be_bytes());
    bytes.extend(row.state().secret().digest());
    bytes.extend(second.iter().flat_map(|(_, second)| second));
    nonces.iter().for_each(|nonce| bytes.extend(nonce.to_be_bytes()));
    bytes.extend_from_slice(row.as_bytes());
}

/// Reads a row that [`write_row`] wrote. `on` converts its instants to the clock of this process.
pub(crate) fn read_row(bytes: &[u8], handle: Handle, on: impl Fn(u64) -> u64) -> Result<(Record, Nonces)> {
    let unreadable = || Error::corrupt("the row is not readable");
    let (state, frame, nonces, body) = parse_row(bytes, handle, on).ok_or_else(unreadable)?;
    Ok((Record::from_body(body, state, &frame)?, nonces))
}

type RowParts<'a> = (StoreState, Frame, Nonces, &'a [u8]);

fn parse_row(mut bytes: &[u8], handle: Handle, on: impl Fn(u64) -> u64) -> Option<RowParts<'_>> {
    let [format, kind, count] = take(&mut bytes)?;
    if format != FORMAT || usize::from(count) > Nonces::MOST {
        return None;
    }
    let (deadline, version) = (u64::from_be_bytes(take(&mut bytes)?), u64::from_be_bytes(take(&mut bytes)?));
    let secret = SecretCheck::Digest(take(&mut bytes)?);
    let second = match kind {
        0 => None,
        kind => Some(SecondSecret::from_parts(kind, &take(&mut bytes)?)?.on(&on)),
    };
    let mut nonces = Nonces::NONE;
    for _ in 0..count {
        nonces = nonces.push(u64::from_be_bytes(take(&mut bytes)?));
    }
    let state = StoreState::row(handle, secret, on(deadline));
    Some((state, Frame { second, version: Version::from_u64(version) }, nonces, bytes))
}

/// Removes the first bytes from a slice and returns them.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}
