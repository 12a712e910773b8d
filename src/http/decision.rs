//! What a request leads to at its end: one pure function from what is known to what is to be done.
//!
//! | the session is | store | cookie |
//! |---|---|---|
//! | never looked at | nothing | none |
//! | new and empty | nothing | none |
//! | new, with data | save | set |
//! | live, unchanged | touch if one is due | none |
//! | live, changed | save | none |
//! | destroyed here | nothing | remove, if the client has one |
//! | ended elsewhere | nothing | none |
//!
//! A live session's cookie is set all the same when the client does not know its id (it was regenerated, or saved for
//! the first time within the handler), and, if the cookie is persistent, whenever its time was prolonged.

use crate::session::Standing;

/// What is known when the handler is done.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states: the states are `standing`")]
pub(super) struct Facts {
    pub(super) standing: Standing,
    /// There is something to save.
    pub(super) changed: bool,
    /// The policy wants this visit noted.
    pub(super) touch_due: bool,
    /// The handler wrote the session by hand: its time began anew.
    pub(super) prolonged: bool,
    /// The client presented the id that the session has now.
    pub(super) id_known: bool,
    /// The client presented an id, whichever.
    pub(super) any_id: bool,
    /// The cookie has a `Max-Age` that ends with the session.
    pub(super) persistent: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) store: StoreStep,
    pub(super) cookie: CookieStep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreStep {
    Nothing,
    Touch,
    Save,
}

/// Carried out after the store's step. `Set` is for a session that is live then, and for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CookieStep {
    Nothing,
    Set,
    Remove,
}

pub(super) fn decide(facts: &Facts) -> Plan {
    let store = match facts.standing {
        Standing::New | Standing::Live if facts.changed => StoreStep::Save,
        Standing::Live if facts.touch_due => StoreStep::Touch,
        _ => StoreStep::Nothing,
    };
    let prolonged = facts.prolonged || store != StoreStep::Nothing;
    let cookie = match facts.standing {
        Standing::New if facts.changed => CookieStep::Set,
        Standing::Live if !facts.id_known || (facts.persistent && prolonged) => CookieStep::Set,
        Standing::Destroyed if facts.any_id => CookieStep::Remove,
        // Not removed when it ended elsewhere: the client may have logged in anew meanwhile, in another request, and a
        // removal would take that new session's cookie away.
        _ => CookieStep::Nothing,
    };
    Plan { store, cookie }
}
