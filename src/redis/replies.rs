//! What scripts answer, and what it means.

use ::redis::Value;

use super::fields;
use super::fields::Word;
use crate::error::{Error, Result};
use crate::id::Handle;
use crate::record::{Epoch, MAX_KEYS};
use crate::store::{EndReason, Outcome};

/// What a script wants before it does anything.
pub(super) enum Asked<'r> {
    Nothing,
    /// The session is to live longer than the sets know it.
    ToNote(Option<&'r str>),
    /// Nobody has looked whether this login counts.
    WhetherLoggedIn(&'r str, Epoch),
    /// The session is of this layout; empty: of none.
    ForAnotherVersion(&'r str),
}

impl<'r> Asked<'r> {
    pub(super) fn of(reply: &'r Value) -> Result<Self> {
        let Value::Array(parts) = reply else { return Ok(Self::Nothing) };
        Ok(match parts.as_slice() {
            [word, Value::Nil] if is(word, "Note") => Self::ToNote(None),
            [word] if is(word, "Note") => Self::ToNote(None),
            [word, owner] if is(word, "Note") => Self::ToNote(Some(text(owner)?)),
            [word, owner, epoch] if is(word, "Ask") => Self::WhetherLoggedIn(text(owner)?, epoch_of(epoch)?),
            [word, layout] if is(word, "Format") => Self::ForAnotherVersion(text(layout).unwrap_or_default()),
            _ => Self::Nothing,
        })
    }
}

pub(super) fn outcome(reply: &Value) -> Result<Outcome> {
    match reply {
        reply if is(reply, "Done") => Ok(Outcome::Done),
        reply if is(reply, "Gone") || is(reply, "Dead") => Ok(Outcome::Gone),
        reply if is(reply, "Conflict") => Ok(Outcome::Conflict),
        Value::Array(parts) => match parts.as_slice() {
            [word, Value::Int(keys)] if is(word, "Keys") => {
                Err(Error::limit(format!("{keys} keys in one session, at most {MAX_KEYS} are allowed")))
            }
            [word, Value::Int(bytes)] if is(word, "Bytes") => {
                Err(Error::limit(format!("{bytes} bytes in one session, more than max_session_size")))
            }
            _ => Err(unexpected(reply)),
        },
        _ => Err(unexpected(reply)),
    }
}

/// What came of putting a session in the place of another.
pub(super) fn conflict_or_done(handle: Handle, reply: &Value) -> Result<()> {
    match outcome(reply)? {
        Outcome::Done => Ok(()),
        Outcome::Conflict | Outcome::Gone => Err(Error::conflict(handle)),
    }
}

pub(super) fn is(reply: &Value, word: &str) -> bool {
    text(reply).is_ok_and(|text| text == word)
}

pub(super) fn text(reply: &Value) -> Result<&str> {
    match reply {
        Value::BulkString(bytes) => str::from_utf8(bytes).map_err(Error::store),
        Value::SimpleString(text) => Ok(text),
        other => Err(unexpected(other)),
    }
}

pub(super) fn epoch_of(reply: &Value) -> Result<Epoch> {
    text(reply)?.parse().map(Epoch::from_u64).map_err(|error: std::num::ParseIntError| Error::store(error))
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

pub(super) fn letter(reason: EndReason) -> Word<'static> {
    fields::word(match reason {
        EndReason::Everywhere => "e",
        EndReason::Limit => "l",
        EndReason::Named => "n",
    })
}

/// What `GET` would answer for a hash that was read without it; `None` if only the script can tell.
pub(super) fn as_found([left, fields]: [Value; 2], usual: &[u8]) -> Option<Value> {
    let Value::Array(pairs) = &fields else { return None };
    if pairs.is_empty() {
        return Some(Value::SimpleString("Gone".to_owned()));
    }
    let is_timed = matches!(left, Value::Int(left) if left >= 0);
    (is_timed && fields::are_usual(pairs, usual)).then(|| Value::Array(vec![left, fields, Value::Int(0)]))
}
