//! What goes over the wire: answers of Redis, and records and changes as the words of a call.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, UNIX_EPOCH};

use lembro::{Changes, EndReason, Error, Outcome, Record, Result, Version};
use serde_json::value::RawValue;

/// What Redis answers, as far as these scripts need it.
#[derive(Debug)]
pub(crate) enum Reply {
    Nothing,
    Number(i64),
    Text(Vec<u8>),
    List(Vec<Reply>),
}

pub(crate) fn read(connection: &mut BufReader<UnixStream>) -> io::Result<Reply> {
    let mut line = String::new();
    connection.read_line(&mut line)?;
    let (kind, rest) = line.trim_end().split_at_checked(1).ok_or(io::ErrorKind::UnexpectedEof)?;
    let number = || rest.parse::<i64>().map_err(io::Error::other);
    Ok(match kind {
        "+" => Reply::Text(rest.as_bytes().to_vec()),
        ":" => Reply::Number(number()?),
        "$" | "*" if number()? < 0 => Reply::Nothing,
        "$" => {
            let mut text = vec![0; usize::try_from(number()?).map_err(io::Error::other)? + 2];
            connection.read_exact(&mut text)?;
            text.truncate(text.len() - 2);
            Reply::Text(text)
        }
        "*" => Reply::List((0..number()?).map(|_| read(connection)).collect::<io::Result<_>>()?),
        _ => return Err(io::Error::other(rest.to_owned())),
    })
}

/// Whose a session is and since which epoch, if a script says that it must know whether that is over.
pub(crate) fn owned(reply: &Reply) -> Option<(Vec<u8>, Vec<u8>)> {
    let Reply::List(answer) = reply else { return None };
    match answer.as_slice() {
        [Reply::Text(word), Reply::Text(owner), Reply::Text(epoch)] if word == b"Owned" => {
            Some((owner.clone(), epoch.clone()))
        }
        _ => None,
    }
}

pub(crate) fn unexpected(reply: &Reply) -> Error {
    Error::store(format!("an answer that no script gives: {reply:?}"))
}

pub(crate) fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(Error::store)
}

pub(crate) fn number(bytes: &[u8]) -> Result<u64> {
    text(bytes)?.parse().map_err(|error: std::num::ParseIntError| Error::store(error))
}

/// Sooner than Redis' own limit, later than anybody lives: 2^52 ms, still exact in Lua.
pub(crate) fn redis_ttl(ttl: Duration) -> Vec<u8> {
    ttl.as_millis().min(1 << 52).to_string().into_bytes()
}

pub(crate) fn letter(reason: EndReason) -> Vec<u8> {
    match reason {
        EndReason::Everywhere => b"e".to_vec(),
        EndReason::Limit => b"l".to_vec(),
        _ => b"n".to_vec(),
    }
}

pub(crate) fn outcome(reply: &Reply) -> Result<Outcome> {
    match reply {
        Reply::Text(text) if text == b"Done" => Ok(Outcome::Done),
        Reply::Text(text) if text == b"Gone" => Ok(Outcome::Gone),
        Reply::Text(text) if text == b"Conflict" => Ok(Outcome::Conflict),
        other => Err(Error::store(format!("an answer that no script gives: {other:?}"))),
    }
}

pub(crate) fn prefix(component: &str) -> Vec<u8> {
    [b"k", [u8::try_from(component.len()).unwrap()].as_slice(), component.as_bytes()].concat()
}

pub(crate) fn millis(time: Duration) -> Vec<u8> {
    time.as_millis().to_string().into_bytes()
}

pub(crate) fn hex(version: Version) -> Vec<u8> {
    format!("{:016x}", version.to_u64()).into_bytes()
}

/// A record as fields and values.
pub(crate) fn to_fields(record: &Record, epoch: Option<Vec<u8>>) -> Vec<Vec<u8>> {
    let created = record.created_at().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let mut fields = vec![b"v".to_vec(), hex(record.version()), b"c".to_vec(), millis(created)];
    fields.extend(record.timeout().into_iter().flat_map(|timeout| [b"t".to_vec(), millis(timeout)]));
    fields.extend(record.owner().into_iter().flat_map(|owner| [b"o".to_vec(), owner.as_bytes().to_vec()]));
    fields.extend(epoch.into_iter().flat_map(|epoch| [b"e".to_vec(), epoch]));
    for (component, key, json) in record.entries() {
        fields.extend([[prefix(component), key.as_bytes().to_vec()].concat(), json.get().as_bytes().to_vec()]);
    }
    fields
}

/// The record that fields and values are. `None`: this store did not write them.
pub(crate) fn from_fields(fields: &[Reply]) -> Option<Record> {
    let (mut parts, mut version, mut created) = (Changes::new(), None, None);
    for pair in fields.chunks_exact(2) {
        let [Reply::Text(field), Reply::Text(value)] = pair else { return None };
        let text = std::str::from_utf8(value);
        let millis = || text.ok()?.parse().ok().map(Duration::from_millis);
        match field.as_slice() {
            b"v" => version = u64::from_str_radix(text.ok()?, 16).ok().map(Version::from_u64),
            b"c" => created = Some(UNIX_EPOCH + millis()?),
            b"t" => parts.set_timeout(Some(millis()?)),
            b"o" => parts.set_owner(Some(text.ok()?)).ok()?,
            [b'k', length, name @ ..] => {
                let (component, key) = std::str::from_utf8(name).ok()?.split_at_checked(usize::from(*length))?;
                parts.insert(component, key, serde_json::from_slice::<&RawValue>(value).ok()?).ok()?;
            }
            _ => {}
        }
    }
    parts.apply(&Record::new()).ok()?.with_version(version?).admit(created?).ok()
}

/// Changes as the arguments of the save script.
pub(crate) fn to_verbs(changes: &Changes, epoch: Option<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut verbs = Vec::new();
    let mut put = |field: Vec<u8>, value: Option<Vec<u8>>| match value {
        Some(value) => verbs.extend([b"set".to_vec(), field, value]),
        None => verbs.extend([b"del".to_vec(), field]),
    };
    changes.timeout().into_iter().for_each(|timeout| put(b"t".to_vec(), timeout.map(millis)));
    if let Some(owner) = changes.owner() {
        put(b"o".to_vec(), owner.map(|owner| owner.as_bytes().to_vec()));
        put(b"e".to_vec(), epoch);
    }
    for change in changes.keys() {
        let field = [prefix(change.component), change.key.as_bytes().to_vec()].concat();
        put(field, change.value.map(<[u8]>::to_vec));
    }
    let everything = changes.clears_everything().then(|| b"k".to_vec());
    let cleared = everything.into_iter().chain(changes.cleared_components().map(prefix));
    let cleared: Vec<_> = cleared.flat_map(|prefix| [b"clear".to_vec(), prefix]).collect();
    [cleared, verbs].concat()
}
