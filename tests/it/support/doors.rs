//! Every public door that takes a text, on any store: `tests/it/input/limits.rs` says what must
//! hold there.

use lembro::{Changes, Error, Handle, Owner, Session, SessionId, Sessions};

pub(crate) const MIB: usize = 1 << 20;

/// What is given at a door, and what comes back: an error, or nothing found.
pub(crate) type Door = fn(&Sessions, &mut Session, &str) -> Result<bool, Error>;

/// Doors where a long text is an error.
pub(crate) const REFUSING: [(&str, Door); 14] = [
    ("log_in", |_, session, text| session.log_in(text).map(|()| true)),
    ("log_in_since", |sessions, session, text| {
        let epoch = sessions.owner("ada")?.epoch()?;
        session.log_in_since(text, epoch).map(|()| true)
    }),
    ("owner", |sessions, _, text| sessions.owner(text).map(|_| true)),
    ("Owner::new", |_, _, text| Owner::new(text).map(|_| true)),
    ("set_label", |_, session, text| session.set_label(text).map(|()| true)),
    ("insert", |_, session, text| session.insert(text, &1).map(|()| true)),
    ("modify", |_, session, text| session.modify(text, |value: &mut Option<u8>| *value = Some(1)).map(|_| true)),
    ("component, insert", |_, session, text| session.component(text).insert("key", &1).map(|()| true)),
    ("component, key", |_, session, text| session.component("cart").insert(text, &1).map(|()| true)),
    ("Changes::insert", |_, _, text| Changes::new().insert("", text, &1).map(|()| true)),
    ("Changes::remove", |_, _, text| Changes::new().remove(text, "key").map(|()| true)),
    ("Changes::set_label", |_, _, text| Changes::new().set_label(Some(text)).map(|()| true)),
    ("SessionId", |_, _, text| text.parse::<SessionId>().map(|_| true)),
    ("Handle", |_, _, text| text.parse::<Handle>().map(|_| true)),
];

/// Doors where a long text is not found.
pub(crate) const FINDING_NOTHING: [(&str, Door); 7] = [
    ("get", |_, session, text| Ok(session.get::<String>(text)?.is_some())),
    ("get_str", |_, session, text| Ok(session.get_str(text)?.is_some())),
    ("contains_key", |_, session, text| session.contains_key(text)),
    ("remove", |_, session, text| session.remove(text)),
    ("take", |_, session, text| Ok(session.take::<String>(text)?.is_some())),
    ("consume", |_, session, text| Ok(session.consume::<String>(text)?.is_some())),
    ("check_csrf", |_, session, text| session.check_csrf(text)),
];

/// Those of `REFUSING` where an empty text means nothing; elsewhere it is a key like any other.
pub(crate) const REFUSED_IF_EMPTY: [&str; 6] = ["log_in", "log_in_since", "owner", "Owner::new", "SessionId", "Handle"];
