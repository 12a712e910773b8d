//! The entries of a session as fields of a hash.
//!
//! Each entry is a field that starts with `k`, the length of the component as a byte, and the
//! component. Fields of one letter are ours: see [`row`](super::row).

use std::borrow::Cow;

use crate::record::{Changes, Record};

/// An argument of a script.
pub(super) type Word<'a> = Cow<'a, [u8]>;

/// Changes as arguments that follow the plan, which is the first.
pub(super) struct Entries<'a> {
    /// Field and value of each to set, the field of each to remove, how the fields begin that are
    /// cleared.
    pub(super) words: Vec<Word<'a>>,
    /// How many entries are set, and their bytes.
    pub(super) set: usize,
    pub(super) bytes: usize,
    /// Which argument is the last to set, and the last to remove.
    pub(super) last_set: usize,
    pub(super) last_removed: usize,
}

/// `owner`: who logs in. `is_new`: there is no session yet.
pub(super) fn of_changes<'a>(changes: &'a Changes, owner: Option<&'a str>, is_new: bool) -> Entries<'a> {
    let (mut words, mut removed, mut cleared) = (Vec::new(), Vec::new(), Vec::new());
    if changes.clears_everything() {
        cleared.push(word("k"));
    }
    cleared.extend(changes.cleared_components().map(|component| entry(component, "").into()));
    // In front, where the script looks for it.
    match changes.csrf() {
        Some(key) => words.extend([word("c"), key.to_vec().into()]),
        None if owner.is_some() && !is_new => removed.push(word("c")),
        None => {}
    }
    words.extend(owner.into_iter().flat_map(|owner| [word("o"), word(owner)]));
    match changes.label() {
        Some(Some(label)) => words.extend([word("l"), word(label)]),
        Some(None) => removed.push(word("l")),
        None => {}
    }
    let (mut set, mut bytes) = (0, 0);
    for change in changes.keys() {
        let field = entry(change.component, change.key);
        match change.value {
            Some(value) => {
                set += 1;
                bytes += field.len() + value.len();
                words.extend([field.into(), value.into()]);
            }
            None => removed.push(field.into()),
        }
    }
    let last_set = 1 + words.len();
    let last_removed = last_set + removed.len();
    words.extend(removed.into_iter().chain(cleared));
    Entries { words, set, bytes, last_set, last_removed }
}

/// A record's entries, owner and label as fields and values.
pub(super) fn of_record(record: &Record) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    words.extend(record.owner().into_iter().flat_map(|owner| [word("o"), word(owner)]));
    words.extend(record.label().into_iter().flat_map(|label| [word("l"), word(label)]));
    words.extend(record.head().csrf.into_iter().flat_map(|key| [word("c"), key.to_vec().into()]));
    words.extend(record.entries().flat_map(|(component, key, json)| [entry(component, key).into(), word(json.get())]));
    words
}

/// How many bytes the entries of a record take.
pub(super) fn size_of_record(record: &Record) -> usize {
    record.entries().map(|(component, key, json)| 2 + component.len() + key.len() + json.get().len()).sum()
}

/// The field of an entry.
fn entry(component: &str, key: &str) -> Vec<u8> {
    // A component's name is no longer than 255 bytes.
    let length = u8::try_from(component.len()).unwrap_or(u8::MAX);
    [b"k", [length].as_slice(), component.as_bytes(), key.as_bytes()].concat()
}

pub(super) fn word(text: &str) -> Word<'_> {
    Cow::Borrowed(text.as_bytes())
}
