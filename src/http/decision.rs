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

pub(super) fn decide(facts: Facts) -> Plan {
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

#[cfg(test)]
mod tests {
    use super::{CookieStep, Facts, Plan, StoreStep, decide};
    use crate::session::Standing;

    /// One row of the table: what is asked of the facts (`None`: either way), and what must come out.
    struct Row {
        standing: Standing,
        changed: Option<bool>,
        touch_due: Option<bool>,
        prolonged: Option<bool>,
        id_known: Option<bool>,
        any_id: Option<bool>,
        persistent: Option<bool>,
        plan: Plan,
    }

    impl Row {
        fn covers(&self, facts: Facts) -> bool {
            let fits = |asked: Option<bool>, fact: bool| asked.is_none_or(|asked| asked == fact);
            self.standing == facts.standing
                && fits(self.changed, facts.changed)
                && fits(self.touch_due, facts.touch_due)
                && fits(self.prolonged, facts.prolonged)
                && fits(self.id_known, facts.id_known)
                && fits(self.any_id, facts.any_id)
                && fits(self.persistent, facts.persistent)
        }
    }

    /// `y`, `n`, or `-` for either, in the order of `Facts`.
    fn row(standing: Standing, facts: &str, store: StoreStep, cookie: CookieStep) -> Row {
        let mut facts = facts.split_whitespace().map(|fact| match fact {
            "y" => Some(true),
            "n" => Some(false),
            "-" => None,
            other => panic!("{other:?} in the table"),
        });
        let mut next = || facts.next().expect("six facts in a row");
        Row {
            standing,
            changed: next(),
            touch_due: next(),
            prolonged: next(),
            id_known: next(),
            any_id: next(),
            persistent: next(),
            plan: Plan { store, cookie },
        }
    }

    #[rustfmt::skip]
    fn table() -> Vec<Row> {
        use CookieStep as Cookie;
        use Standing::{Destroyed, Ended, Live, New, Unloaded};
        use StoreStep::{Nothing, Save, Touch};
        vec![
            //              changed
            //              | touch_due
            //              | | prolonged
            //              | | | id_known
            //              | | | | any_id
            //              | | | | | persistent
            row(Unloaded,  "- - - - - -", Nothing, Cookie::Nothing),
            row(New,       "n - - - - -", Nothing, Cookie::Nothing),
            row(New,       "y - - - - -", Save,    Cookie::Set),
            row(Live,      "n n - y - n", Nothing, Cookie::Nothing),
            row(Live,      "n n n y - y", Nothing, Cookie::Nothing),
            row(Live,      "n n y y - y", Nothing, Cookie::Set),
            row(Live,      "n n - n - -", Nothing, Cookie::Set),
            row(Live,      "n y - y - n", Touch,   Cookie::Nothing),
            row(Live,      "n y - y - y", Touch,   Cookie::Set),
            row(Live,      "n y - n - -", Touch,   Cookie::Set),
            row(Live,      "y - - y - n", Save,    Cookie::Nothing),
            row(Live,      "y - - y - y", Save,    Cookie::Set),
            row(Live,      "y - - n - -", Save,    Cookie::Set),
            row(Ended,     "- - - - - -", Nothing, Cookie::Nothing),
            row(Destroyed, "- - - - n -", Nothing, Cookie::Nothing),
            row(Destroyed, "- - - - y -", Nothing, Cookie::Remove),
        ]
    }

    fn all_facts() -> impl Iterator<Item = Facts> {
        let standings = [Standing::Unloaded, Standing::New, Standing::Live, Standing::Ended, Standing::Destroyed];
        standings.into_iter().flat_map(|standing| {
            (0..1_u32 << 6).map(move |bits| {
                let bit = |place: u32| bits >> place & 1 == 1;
                Facts {
                    standing,
                    changed: bit(0),
                    touch_due: bit(1),
                    prolonged: bit(2),
                    id_known: bit(3),
                    any_id: bit(4),
                    persistent: bit(5),
                }
            })
        })
    }

    #[test]
    fn every_combination_of_facts_leads_to_what_the_table_says() {
        let table = table();
        let mut combinations = 0;
        for facts in all_facts() {
            let rows: Vec<_> = table.iter().filter(|row| row.covers(facts)).collect();
            assert_eq!(rows.len(), 1, "the table must have one row, and no more, for {facts:?}");
            assert_eq!(decide(facts), rows[0].plan, "{facts:?}");
            combinations += 1;
        }
        assert_eq!(combinations, 320);
    }
}
