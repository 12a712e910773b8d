//! What a request leads to at its end: one pure function from what is known to what is to be done.
//!
//! | the session is | store | cookie |
//! |---|---|---|
//! | new and empty | nothing | none |
//! | new, with data | save | set |
//! | live, unchanged | nothing | none, or rewritten if it is stale |
//! | live, changed | save | none, or rewritten if it is stale |
//! | live, its id is old | save, which begins a renewal | the renewed id |
//! | live, a renewal is pending | nothing, or save if it changed | the renewed id |
//! | live, opened by an id in its grace | nothing, or save if it changed | none |
//! | live, gets a new id by a login or `regenerate` | save | set |
//! | logged out here | nothing | remove, if the client has one |
//! | ended elsewhere | nothing, or a save that says so if it changed | none |
//! | not known: the store failed | nothing | none |
//!
//! A visit is noted at the first look, not here. A live session's cookie is set all the same when
//! the client does not know its id: it was replaced, or the session was saved for the first time
//! within the handler. A cookie is stale when it is persistent and written `touch_after` ago, when
//! it was signed by a key that is no longer the first, or when the options have it otherwise by
//! now. Shortly before a renewal none is rewritten: the client might get the old id after the new.

use crate::session::{Client, Ending, Facts, Stage};
use crate::store::Presented;

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) store: StoreStep,
    pub(super) cookie: CookieStep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreStep {
    Nothing,
    Save,
    /// Save, and have a timed renewal begin in the same commit.
    Renew,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CookieStep {
    Nothing,
    /// For a session that is live by then, and for no other.
    Set,
    /// The id of the pending renewal, if there is one by then.
    SetRenewed,
    /// The same id again: if it is still the session's.
    Rewrite,
    Remove,
}

pub(super) fn decide(facts: Facts) -> Plan {
    let store = match facts.stage {
        Stage::Live(Presented::Current) if facts.renewal_due => StoreStep::Renew,
        // A change of a session that has ended is lost, and the save says so.
        Stage::New | Stage::Live(_) | Stage::Ended(_) if facts.changed => StoreStep::Save,
        _ => StoreStep::Nothing,
    };
    let cookie = match (facts.stage, facts.client) {
        (Stage::New, _) if facts.changed => CookieStep::Set,
        // After a login or `regenerate` too, whichever id the request presented.
        (Stage::Live(_), Client::Without | Client::Other) => CookieStep::Set,
        // The client has, or is about to get, the id that took the place of this one.
        (Stage::Live(Presented::Previous), _) => CookieStep::Nothing,
        (Stage::Live(Presented::Renewing(_)), _) => CookieStep::SetRenewed,
        (Stage::Live(_), _) if store == StoreStep::Renew => CookieStep::SetRenewed,
        (Stage::Live(_), Client::Stale) => CookieStep::Rewrite,
        (Stage::Ended(Ending::Here), Client::Other | Client::Stale | Client::Current) => CookieStep::Remove,
        // Not removed when it ended elsewhere: the client may have logged in again, in another
        // request, and a removal would take that new session's cookie away.
        _ => CookieStep::Nothing,
    };
    Plan { store, cookie }
}

#[cfg(test)]
mod tests {
    use super::{Client, CookieStep, Ending, Facts, Plan, Stage, StoreStep, decide};
    use crate::id::SessionId;
    use crate::store::Presented;

    type Seen = Stage<Presented, ()>;

    /// One row of the table: what is asked of the facts (`None`: either way), and what must come
    /// out.
    struct Row {
        stages: Vec<Seen>,
        changed: Option<bool>,
        renewal_due: Option<bool>,
        clients: &'static [Client],
        plan: Plan,
    }

    impl Row {
        fn covers(&self, facts: Facts) -> bool {
            let fits = |asked: Option<bool>, fact: bool| asked.is_none_or(|asked| asked == fact);
            self.stages.contains(&facts.stage)
                && fits(self.changed, facts.changed)
                && fits(self.renewal_due, facts.renewal_due)
                && self.clients.contains(&facts.client)
        }
    }

    fn renewing() -> Presented {
        Presented::Renewing(SessionId::derive("the next one"))
    }

    /// `y`, `n`, or `-` for either.
    fn row(stages: &[Seen], facts: &str, clients: &'static [Client], store: StoreStep, cookie: CookieStep) -> Row {
        let asked = |fact: &str| match fact {
            "y" => Some(true),
            "n" => Some(false),
            "-" => None,
            other => panic!("{other:?} in the table"),
        };
        let facts: Vec<_> = facts.split_whitespace().map(asked).collect();
        let [changed, renewal_due] = facts[..] else { panic!("two facts in a row") };
        Row { stages: stages.to_vec(), changed, renewal_due, clients, plan: Plan { store, cookie } }
    }

    #[rustfmt::skip]
    fn table() -> Vec<Row> {
        use CookieStep as Cookie;
        use StoreStep::{Nothing, Renew, Save};
        const ANY: &[Client] = &[Client::Without, Client::Other, Client::Stale, Client::Current];
        const UNKNOWN: &[Client] = &[Client::Without, Client::Other];
        const KNOWN: &[Client] = &[Client::Stale, Client::Current];
        const STALE: &[Client] = &[Client::Stale];
        const CURRENT: &[Client] = &[Client::Current];
        const WITHOUT: &[Client] = &[Client::Without];
        const WITH: &[Client] = &[Client::Other, Client::Stale, Client::Current];
        let new = &[Stage::New];
        let live = &[Stage::Live(Presented::Current)];
        let renewing = &[Stage::Live(renewing())];
        let previous = &[Stage::Live(Presented::Previous)];
        let elsewhere = &[Stage::Ended(Ending::Elsewhere), Stage::Ended(Ending::Superseded)];
        let here = &[Stage::Ended(Ending::Here)];
        let without = &[Stage::Without(())];
        vec![
            //              changed
            //              | renewal_due
            row(new,       "n -", ANY,     Nothing, Cookie::Nothing),
            row(new,       "y -", ANY,     Save,    Cookie::Set),
            row(live,      "n n", CURRENT, Nothing, Cookie::Nothing),
            row(live,      "n n", STALE,   Nothing, Cookie::Rewrite),
            row(live,      "n n", UNKNOWN, Nothing, Cookie::Set),
            row(live,      "y n", CURRENT, Save,    Cookie::Nothing),
            row(live,      "y n", STALE,   Save,    Cookie::Rewrite),
            row(live,      "y n", UNKNOWN, Save,    Cookie::Set),
            row(live,      "- y", KNOWN,   Renew,   Cookie::SetRenewed),
            row(live,      "- y", UNKNOWN, Renew,   Cookie::Set),
            row(renewing,  "n -", KNOWN,   Nothing, Cookie::SetRenewed),
            row(renewing,  "n -", UNKNOWN, Nothing, Cookie::Set),
            row(renewing,  "y -", KNOWN,   Save,    Cookie::SetRenewed),
            row(renewing,  "y -", UNKNOWN, Save,    Cookie::Set),
            row(previous,  "n -", KNOWN,   Nothing, Cookie::Nothing),
            row(previous,  "n -", UNKNOWN, Nothing, Cookie::Set),
            row(previous,  "y -", KNOWN,   Save,    Cookie::Nothing),
            row(previous,  "y -", UNKNOWN, Save,    Cookie::Set),
            row(elsewhere, "n -", ANY,     Nothing, Cookie::Nothing),
            row(elsewhere, "y -", ANY,     Save,    Cookie::Nothing),
            row(here,      "n -", WITHOUT, Nothing, Cookie::Nothing),
            row(here,      "n -", WITH,    Nothing, Cookie::Remove),
            row(here,      "y -", WITHOUT, Save,    Cookie::Nothing),
            row(here,      "y -", WITH,    Save,    Cookie::Remove),
            row(without,   "- -", ANY,     Nothing, Cookie::Nothing),
        ]
    }

    fn all_facts() -> Vec<Facts> {
        let stages = [
            Stage::New,
            Stage::Live(Presented::Current),
            Stage::Live(renewing()),
            Stage::Live(Presented::Previous),
            Stage::Ended(Ending::Here),
            Stage::Ended(Ending::Elsewhere),
            Stage::Ended(Ending::Superseded),
            Stage::Without(()),
        ];
        let mut all = Vec::new();
        for stage in stages {
            for client in [Client::Without, Client::Other, Client::Stale, Client::Current] {
                for (changed, renewal_due) in [(false, false), (false, true), (true, false), (true, true)] {
                    all.push(Facts { stage, changed, renewal_due, client });
                }
            }
        }
        all
    }

    #[test]
    fn every_combination_of_facts_leads_to_what_the_table_says() {
        let (table, all) = (table(), all_facts());
        for facts in &all {
            let rows: Vec<_> = table.iter().filter(|row| row.covers(*facts)).collect();
            assert_eq!(rows.len(), 1, "the table must have one row, and no more, for {facts:?}");
            assert_eq!(decide(*facts), rows[0].plan, "{facts:?}");
        }
        assert_eq!(all.len(), 128);
    }
}
