//! Replies of scripts and commands, parsed in one place.

use std::time::Duration;

use ::redis::Value;

use super::row::{self, HashRow};
use crate::error::{Error, Result};
use crate::id::Handle;
use crate::record::{MAX_KEYS, Version};
use crate::store::{Epoch, Outcome, Receipt};

/// The reply of a script.
pub(super) enum Reply {
    /// `seed` is there if a timed renewal is pending and the request came with the old id.
    Done {
        version: Version,
        ttl: Duration,
        seed: Option<u64>,
    },
    /// Nothing was written.
    Refused(Outcome),
    /// The result of a look. `row` exists if the look asked for the fields. `text` is the owner, or
    /// the error of a visit that could not be written.
    Seen {
        row: Option<HashRow>,
        text: String,
    },
    /// Nothing was written, because the index and the owner's set do not hold the session for
    /// `ttl_ms` yet.
    MustIndex {
        ttl_ms: u64,
        owner: Option<String>,
    },
    /// Nothing was written, because this login is not confirmed yet.
    Unconfirmed(String, Epoch),
    /// An owner's epoch, and sessions to end.
    Added(Epoch, Vec<Handle>),
    /// Nothing was written, because these sessions of the owner must be examined first.
    MustExamine(Vec<Handle>),
    Ok,
}

impl Reply {
    pub(super) fn of(handle: Handle, reply: &Value) -> Result<Self> {
        let parts = match reply {
            Value::Array(parts) => parts,
            Value::BulkString(done) => return Self::done(done).ok_or_else(|| unexpected(reply)),
            _ => return Err(unexpected(reply)),
        };
        Ok(match (text(parts.first().unwrap_or(&Value::Nil))?, parts.get(1..).unwrap_or_default()) {
            ("gone", []) => Self::Refused(Outcome::Gone),
            ("superseded", []) => Self::Refused(Outcome::Superseded),
            ("taken", []) => Self::Refused(Outcome::Taken),
            ("changed", []) => Self::Refused(Outcome::Changed),
            ("revoked", []) => Self::Refused(Outcome::LoginRevoked),
            ("limit", []) => Self::Refused(Outcome::AtLimit),
            ("seen", [now, left, Value::Array(fields), trouble]) => {
                let left = i64::try_from(whole(left)?).unwrap_or(i64::MAX);
                Self::Seen {
                    row: HashRow::read(handle, whole(now)?, Some(left), fields)?,
                    text: text(trouble)?.to_owned(),
                }
            }
            ("index", [ttl, owner]) => {
                let owner = Some(text(owner)?.to_owned()).filter(|owner| !owner.is_empty());
                Self::MustIndex { ttl_ms: whole(ttl)?, owner }
            }
            ("ask", [owner, epoch]) => Self::Unconfirmed(text(owner)?.to_owned(), epoch_of(epoch)?),
            ("added", [epoch, sessions]) => Self::Added(epoch_of(epoch)?, handles(sessions)?),
            ("examine", [sessions]) => Self::MustExamine(handles(sessions)?),
            ("ok", []) => Self::Ok,
            ("unknown", []) => return Err(Error::unknown(handle)),
            ("keys", [keys]) => {
                let keys = whole(keys)?;
                return Err(Error::size(format!("{keys} keys in one session, at most {MAX_KEYS} are allowed")));
            }
            ("bytes", [bytes]) => {
                let bytes = whole(bytes)?;
                return Err(Error::size(format!("{bytes} bytes in one session, more than max_session_size")));
            }
            ("format", [layout]) => return Err(row::other_layout(handle, bytes(layout)?)),
            _ => return Err(unexpected(reply)),
        })
    }

    /// The outcome of a script that ends or writes a session.
    pub(super) fn outcome(self, receipt: impl FnOnce(Version, Duration, Option<u64>) -> Receipt) -> Outcome {
        match self {
            Self::Done { version, ttl, seed } => Outcome::Done(receipt(version, ttl, seed)),
            Self::Refused(outcome) => outcome,
            _ => Outcome::Gone,
        }
    }

    /// Version, time and possibly seed, eight bytes each.
    fn done(bytes: &[u8]) -> Option<Self> {
        let mut numbers = bytes.chunks_exact(8).filter_map(|eight| eight.try_into().ok()).map(u64::from_be_bytes);
        let (version, ttl) = (Version::from_u64(numbers.next()?), Duration::from_millis(numbers.next()?));
        Some(Self::Done { version, ttl, seed: numbers.next() })
    }
}

pub(super) fn handles(reply: &Value) -> Result<Vec<Handle>> {
    let Value::Array(handles) = reply else { return Err(unexpected(reply)) };
    handles.iter().map(|handle| text(handle)?.parse()).collect()
}

/// Parses an owner's epoch. If none is stored, the owner is in the first epoch.
pub(super) fn epoch_of(reply: &Value) -> Result<Epoch> {
    if *reply == Value::Nil {
        return Ok(Epoch::default());
    }
    text(reply)?.parse().map(Epoch::from_u64).map_err(|error: std::num::ParseIntError| Error::store(error))
}

/// The reply of a visit on one server: the time, the time that the session has left, and the error
/// if the visit could not be written.
pub(super) fn visited(reply: &Value) -> Option<(u64, i64, String)> {
    let Value::BulkString(bytes) = reply else { return None };
    let (now, (left, trouble)) =
        bytes.split_first_chunk().and_then(|(now, rest)| Some((now, rest.split_first_chunk()?)))?;
    let trouble = String::from_utf8_lossy(trouble).into_owned();
    Some((u64::from_be_bytes(*now), i64::from_be_bytes(*left), trouble))
}

/// The server's time, in milliseconds.
pub(super) fn time_of(reply: &Value) -> Result<u64> {
    let Value::Array(parts) = reply else { return Err(unexpected(reply)) };
    let [seconds, micros] = parts.as_slice() else { return Err(unexpected(reply)) };
    let number = |part| text(part)?.parse::<u64>().map_err(Error::store);
    Ok(number(seconds)?.saturating_mul(1_000).saturating_add(number(micros)? / 1_000))
}

/// The milliseconds until a key expires. -1: it has no expiry; -2: there is no such key.
pub(super) fn left_of(reply: &Value) -> Option<i64> {
    if let Value::Int(left) = reply { Some(*left) } else { None }
}

/// Fields and values, in version 2 or 3 of the protocol.
pub(super) fn fields_of(reply: Value) -> Result<Vec<Value>> {
    match reply {
        Value::Array(fields) => Ok(fields),
        Value::Map(pairs) => Ok(pairs.into_iter().flat_map(|(field, value)| [field, value]).collect()),
        other => Err(unexpected(&other)),
    }
}

pub(super) fn bytes(reply: &Value) -> Result<&[u8]> {
    match reply {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.as_bytes()),
        other => Err(unexpected(other)),
    }
}

pub(super) fn text(reply: &Value) -> Result<&str> {
    str::from_utf8(bytes(reply)?).map_err(Error::store)
}

fn whole(reply: &Value) -> Result<u64> {
    match reply {
        Value::Int(number) => Ok(u64::try_from(*number).unwrap_or(0)),
        other => Err(unexpected(other)),
    }
}

pub(super) fn unexpected(reply: &Value) -> Error {
    // The error leaves out the value, which may be a user's data.
    let kind = match reply {
        Value::Nil => "nothing",
        Value::Int(_) => "a number",
        Value::Array(_) => "a list",
        _ => "something",
    };
    Error::store(format!("the server answered with {kind} that no script of lembro gives"))
}
