//! The replies: what scripts answer, parsed in one place.

use std::time::Duration;

use ::redis::Value;

use super::row::{self, Row};
use crate::error::{Error, Result};
use crate::id::Handle;
use crate::record::{MAX_KEYS, Version};
use crate::store::{Epoch, Outcome};

/// What a script answers.
pub(super) enum Reply {
    /// It is done. `seed`: a timed renewal is pending, and the id is the one that it replaces.
    Done {
        version: Version,
        ttl: Duration,
        seed: Option<u64>,
    },
    /// It is not, and nothing was written.
    Refused(Outcome),
    /// What a look found: the row, if all was asked for; the owner, or why the visit was not noted.
    Seen {
        row: Option<Row>,
        text: String,
    },
    /// The session is to live for so long, and its owner's set or the index does not know it until
    /// then.
    ToNote {
        ttl_ms: u64,
        owner: Option<String>,
    },
    /// A login of this owner and epoch was not confirmed yet.
    Unsure(String, Epoch),
    /// An owner's epoch, and sessions.
    Entered(Epoch, Vec<Handle>),
    /// An owner's other sessions, to be looked at first.
    Others(Vec<Handle>),
    Counts,
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
            ("seen", [now, left, Value::Array(fields), word]) => {
                let left = i64::try_from(whole(left)?).unwrap_or(i64::MAX);
                Self::Seen { row: Row::read(handle, whole(now)?, Some(left), fields)?, text: text(word)?.to_owned() }
            }
            ("note", [ttl, owner]) => {
                let owner = Some(text(owner)?.to_owned()).filter(|owner| !owner.is_empty());
                Self::ToNote { ttl_ms: whole(ttl)?, owner }
            }
            ("ask", [owner, epoch]) => Self::Unsure(text(owner)?.to_owned(), epoch_of(epoch)?),
            ("entered", [epoch, sessions]) => Self::Entered(epoch_of(epoch)?, handles(sessions)?),
            ("others", [sessions]) => Self::Others(handles(sessions)?),
            ("counts", []) => Self::Counts,
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

    /// Version, time and, if there is one, seed: eight bytes each.
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

/// An epoch; an owner without one has the first.
pub(super) fn epoch_of(reply: &Value) -> Result<Epoch> {
    if *reply == Value::Nil {
        return Ok(Epoch::default());
    }
    text(reply)?.parse().map(Epoch::from_u64).map_err(|error: std::num::ParseIntError| Error::store(error))
}

/// What a visit is told on one server: the time, what the session has left, and why it was not
/// noted.
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

/// The milliseconds that a key has left; below zero: it has none.
pub(super) fn left_of(reply: &Value) -> Option<i64> {
    if let Value::Int(left) = reply { Some(*left) } else { None }
}

/// Fields and values, in the older protocol or the newer.
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
    // No values: they are the users'.
    let kind = match reply {
        Value::Nil => "nothing",
        Value::Int(_) => "a number",
        Value::Array(_) => "a list",
        _ => "something",
    };
    Error::store(format!("the server answered with {kind} that no script of lembro gives"))
}
