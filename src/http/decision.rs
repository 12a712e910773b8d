//! What a request leads to at its end: one pure function from what is known to what is to be done.
//!
//! | the session is | store | cookie |
//! |---|---|---|
//! | never looked at | nothing | none |
//! | new and empty | nothing | none |
//! | new, with data | save | set |
//! | live, unchanged | touch if one is due | none, or rewritten if it is stale |
//! | live, changed | save | none, or rewritten if it is stale |
//! | live, its id is old | save, then a new id | set |
//! | live, opened by an id in its grace | the same, but no new id | none |
//! | destroyed here | nothing | remove, if the client has one |
//! | ended elsewhere | nothing | none |
//! | not known: the store failed | nothing | none |
//!
//! A live session's cookie is set all the same when the client does not know its id: it was regenerated, or saved for
//! the first time within the handler. A cookie is stale when it is persistent and written `touch_after` ago, when it
//! was signed by a key that is no longer the first, or when the options have it otherwise by now. Around a renewal no
//! cookie is: the client might get the old id after the new one.

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
    /// The policy wants the id renewed.
    pub(super) renewal_due: bool,
    /// The session was opened by an id that another request has rotated away.
    pub(super) in_grace: bool,
    pub(super) client: Client,
}

/// Which cookie the client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// None of ours.
    Without,
    /// One with another id than the session has now.
    Other,
    /// One with the session's id, that we would write otherwise now, and may.
    Stale,
    /// The right one, or as good as.
    Current,
}

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) store: StoreStep,
    pub(super) renew: bool,
    pub(super) cookie: CookieStep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreStep {
    Nothing,
    Touch,
    Save,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CookieStep {
    Nothing,
    /// For a session that is live by then, and for no other.
    Set,
    /// The same id again: if it is still the session's.
    Rewrite,
    Remove,
}

pub(super) fn decide(facts: Facts) -> Plan {
    let live = facts.standing == Standing::Live;
    let renew = live && facts.renewal_due && !facts.in_grace;
    let store = match facts.standing {
        Standing::New | Standing::Live if facts.changed || renew => StoreStep::Save,
        Standing::Live if facts.touch_due => StoreStep::Touch,
        _ => StoreStep::Nothing,
    };
    let cookie = match (facts.standing, facts.client) {
        (Standing::New, _) if facts.changed => CookieStep::Set,
        // The client has, or is about to get, the id that this one was rotated away for.
        (Standing::Live, _) if facts.in_grace => CookieStep::Nothing,
        (Standing::Live, _) if renew => CookieStep::Set,
        (Standing::Live, Client::Without | Client::Other) => CookieStep::Set,
        (Standing::Live, Client::Stale) => CookieStep::Rewrite,
        (Standing::Destroyed, Client::Other | Client::Stale | Client::Current) => CookieStep::Remove,
        // Not removed when it ended elsewhere: the client may have logged in anew meanwhile, in another request, and a
        // removal would take that new session's cookie away.
        _ => CookieStep::Nothing,
    };
    Plan { store, renew, cookie }
}

#[cfg(test)]
mod tests {
    use super::{Client, CookieStep, Facts, Plan, StoreStep, decide};
    use crate::session::Standing;

    /// One row of the table: what is asked of the facts (`None`: either way), and what must come out.
    struct Row {
        standing: Standing,
        changed: Option<bool>,
        touch_due: Option<bool>,
        renewal_due: Option<bool>,
        in_grace: Option<bool>,
        clients: &'static [Client],
        plan: Plan,
    }

    impl Row {
        fn covers(&self, facts: Facts) -> bool {
            let fits = |asked: Option<bool>, fact: bool| asked.is_none_or(|asked| asked == fact);
            self.standing == facts.standing
                && fits(self.changed, facts.changed)
                && fits(self.touch_due, facts.touch_due)
                && fits(self.renewal_due, facts.renewal_due)
                && fits(self.in_grace, facts.in_grace)
                && self.clients.contains(&facts.client)
        }
    }

    /// `y`, `n`, or `-` for either, in the order of `Facts`.
    fn row(
        standing: Standing,
        facts: &str,
        clients: &'static [Client],
        store: StoreStep,
        renew: bool,
        cookie: CookieStep,
    ) -> Row {
        let mut facts = facts.split_whitespace().map(|fact| match fact {
            "y" => Some(true),
            "n" => Some(false),
            "-" => None,
            other => panic!("{other:?} in the table"),
        });
        let mut next = || facts.next().expect("four facts in a row");
        let (changed, touch_due, renewal_due, in_grace) = (next(), next(), next(), next());
        let plan = Plan { store, renew, cookie };
        Row { standing, changed, touch_due, renewal_due, in_grace, clients, plan }
    }

    #[rustfmt::skip]
    fn table() -> Vec<Row> {
        use CookieStep as Cookie;
        use Standing::{Destroyed, Ended, Live, New, Unloaded, Without};
        use StoreStep::{Nothing, Save, Touch};
        const ANY: &[Client] = &[Client::Without, Client::Other, Client::Stale, Client::Current];
        const UNKNOWN: &[Client] = &[Client::Without, Client::Other];
        const STALE: &[Client] = &[Client::Stale];
        const CURRENT: &[Client] = &[Client::Current];
        const WITHOUT: &[Client] = &[Client::Without];
        const WITH: &[Client] = &[Client::Other, Client::Stale, Client::Current];
        vec![
            //              changed
            //              | touch_due
            //              | | renewal_due
            //              | | | in_grace
            row(Unloaded,  "- - - -", ANY,     Nothing, false, Cookie::Nothing),
            row(New,       "n - - -", ANY,     Nothing, false, Cookie::Nothing),
            row(New,       "y - - -", ANY,     Save,    false, Cookie::Set),
            row(Live,      "n n n n", CURRENT, Nothing, false, Cookie::Nothing),
            row(Live,      "n n n n", STALE,   Nothing, false, Cookie::Rewrite),
            row(Live,      "n n n n", UNKNOWN, Nothing, false, Cookie::Set),
            row(Live,      "n y n n", CURRENT, Touch,   false, Cookie::Nothing),
            row(Live,      "n y n n", STALE,   Touch,   false, Cookie::Rewrite),
            row(Live,      "n y n n", UNKNOWN, Touch,   false, Cookie::Set),
            row(Live,      "y - n n", CURRENT, Save,    false, Cookie::Nothing),
            row(Live,      "y - n n", STALE,   Save,    false, Cookie::Rewrite),
            row(Live,      "y - n n", UNKNOWN, Save,    false, Cookie::Set),
            row(Live,      "- - y n", ANY,     Save,    true,  Cookie::Set),
            row(Live,      "n n - y", ANY,     Nothing, false, Cookie::Nothing),
            row(Live,      "n y - y", ANY,     Touch,   false, Cookie::Nothing),
            row(Live,      "y - - y", ANY,     Save,    false, Cookie::Nothing),
            row(Ended,     "- - - -", ANY,     Nothing, false, Cookie::Nothing),
            row(Destroyed, "- - - -", WITHOUT, Nothing, false, Cookie::Nothing),
            row(Destroyed, "- - - -", WITH,    Nothing, false, Cookie::Remove),
            row(Without,   "- - - -", ANY,     Nothing, false, Cookie::Nothing),
        ]
    }

    fn all_facts() -> impl Iterator<Item = Facts> {
        let standings = [
            Standing::Unloaded,
            Standing::New,
            Standing::Live,
            Standing::Ended,
            Standing::Destroyed,
            Standing::Without,
        ];
        let clients = [Client::Without, Client::Other, Client::Stale, Client::Current];
        standings.into_iter().flat_map(move |standing| {
            clients.into_iter().flat_map(move |client| {
                (0..1_u32 << 4).map(move |bits| {
                    let bit = |place: u32| bits >> place & 1 == 1;
                    let (changed, touch_due, renewal_due, in_grace) = (bit(0), bit(1), bit(2), bit(3));
                    Facts { standing, changed, touch_due, renewal_due, in_grace, client }
                })
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
        assert_eq!(combinations, 384);
    }
}
