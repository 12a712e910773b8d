//! The limits of a record, and the check of bytes from outside.

use super::body::Body;
use super::entries::{RecordEntry, Width};
use super::head::{Head, MAX_TEXT_BYTES};
use super::scan::is_json;
use crate::error::{Error, Result};

/// The longest key and the longest component name, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// The most keys a session may have, over all its components.
pub const MAX_KEYS: usize = 1024;

/// Refuses parts that are beyond the limits of a record.
pub(super) fn check_parts(head: &Head<'_>, entries: &[RecordEntry<'_>]) -> Result<()> {
    check_head(head)?;
    check_count(entries.len())?;
    entries.iter().try_for_each(|entry| {
        check_name(entry.component, entry.key)?;
        check_value(entry.key, entry.value.len())
    })
}

/// Refuses a body that is beyond the limits of a record.
pub(super) fn check_body(body: Body<'_>) -> Result<()> {
    check_count(body.count())?;
    let is_short = |[component, key, _]: [usize; 3]| component <= MAX_KEY_BYTES && key <= MAX_KEY_BYTES;
    if !body.is_whole() || !body.lengths.iter().all(is_short) {
        body.iter().try_for_each(|entry| check_name(entry.component, entry.key))?;
        return Err(Error::corrupt("an entry is not readable"));
    }
    check_head(&body.head())
}

fn check_head(head: &Head<'_>) -> Result<()> {
    head.owner.map_or(Ok(()), |owner| check_owner(owner.name))?;
    head.label.map_or(Ok(()), check_label)
}

pub(super) fn check_count(entries: usize) -> Result<()> {
    if entries > MAX_KEYS {
        return Err(Error::size(format!("{entries} keys in one session, at most {MAX_KEYS} are allowed")));
    }
    Ok(())
}

pub(super) fn check_name(component: &str, key: &str) -> Result<()> {
    for (what, name) in [("component", component), ("key", key)] {
        if name.len() > MAX_KEY_BYTES {
            let start: String = name.chars().take(20).collect();
            return Err(Error::size(format!(
                "{what} {start:?}... has {} bytes, at most {MAX_KEY_BYTES} are allowed",
                name.len()
            )));
        }
    }
    Ok(())
}

pub(super) fn check_value(key: &str, bytes: usize) -> Result<()> {
    if u32::try_from(bytes).is_err() {
        let most = u32::MAX;
        return Err(Error::size(format!("the value of key {key:?} has {bytes} bytes, at most {most} are allowed")));
    }
    Ok(())
}

pub(crate) fn check_owner(owner: &str) -> Result<()> {
    if owner.is_empty() || owner.len() > MAX_TEXT_BYTES {
        return Err(Error::size(format!("owner has {} bytes, 1 to {MAX_TEXT_BYTES} are allowed", owner.len())));
    }
    Ok(())
}

pub(super) fn check_label(label: &str) -> Result<()> {
    if label.len() > MAX_TEXT_BYTES {
        return Err(Error::size(format!("label has {} bytes, at most {MAX_TEXT_BYTES} are allowed", label.len())));
    }
    Ok(())
}

/// Checks that bytes from outside are a body that this crate could have written, and returns it.
pub(super) fn validate(bytes: &[u8]) -> Result<Body<'_>> {
    let body = Body::split(bytes).ok_or(Error::corrupt("the head is not readable"))?;
    let head = Head::read(body.start).ok_or(Error::corrupt("the head is not readable"))?;
    if body.count() > MAX_KEYS {
        return Err(Error::corrupt("more keys than a record may have"));
    }
    if !head.is_in_range() {
        return Err(Error::corrupt("a time that is out of range"));
    }
    if head.owner.is_some_and(|owner| check_owner(owner.name).is_err()) {
        return Err(Error::corrupt("an owner that is empty or too long"));
    }
    // The sums of lengths below rely on this check.
    if !body.is_whole() {
        return Err(Error::corrupt("the lengths of the entries are not those of the bytes behind them"));
    }
    if body.lengths.iter().map(Width::of_longest).max().unwrap_or_default() != body.lengths.width {
        return Err(Error::corrupt("lengths in a longer form than they need"));
    }
    let (mut entries, mut last) = (body.iter(), None);
    for _ in 0..body.count() {
        let entry = entries.next().ok_or(Error::corrupt("an entry is not readable"))?;
        if last >= Some(entry.name()) {
            return Err(Error::corrupt("entries are not in order"));
        }
        if check_name(entry.component, entry.key).is_err() {
            return Err(Error::corrupt("a key is too long"));
        }
        if !is_json(entry.value) {
            return Err(Error::corrupt("a value is not JSON"));
        }
        last = Some(entry.name());
    }
    Ok(body)
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    // A test of the public functions would need a value of 4 GiB.
    #[test]
    fn a_value_that_is_longer_than_its_length_can_say_is_refused() {
        assert!(check_value("data", 0xffff_ffff).is_ok());
        let error = check_value("data", 0x1_0000_0000).unwrap_err();
        assert!(error.is_size());
        assert_eq!(error.to_string(), "the value of key \"data\" has 4294967296 bytes, at most 4294967295 are allowed");
    }
}
