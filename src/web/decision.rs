//! What a request leads to at its end: one pure function from what is known to what is to be done.
//!
//! | the session is | store | cookie |
//! |---|---|---|
//! | never looked at | nothing | none |
//! | new and empty | nothing | none |
//! | new, with data | save | set |
//! | live, unchanged | nothing | none, or rewritten if it is stale |
//! | live, changed | save | none, or rewritten if it is stale |
//! | live, its id is old | save, which begins a renewal | the renewed id |
//! | live, a renewal is pending | nothing, or save if it changed | the renewed id |
//! | live, opened by an id in its grace | nothing, or save if it changed | none |
//! | destroyed here | nothing | remove, if the client has one |
//! | ended elsewhere | nothing | none |
//! | not known: the store failed | nothing | none |
//!
//! A visit is noted at the first look, not here. A live session's cookie is set all the same when
//! the client does not know its id: it was replaced, or the session was saved for the first time
//! within the handler. A cookie is stale when it is persistent and written `touch_after` ago, when
//! it was signed by a key that is no longer the first, or when the options have it otherwise by
//! now. Around a renewal none is rewritten: the client might get the old id after the new one.

use crate::session::Standing;
use crate::store::Presented;

/// What is known when the handler is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) standing: Standing,
    /// There is something to save.
    pub(super) changed: bool,
    /// The policy wants the id renewed.
    pub(super) renewal_due: bool,
    /// How the id stands that opened the session.
    pub(super) presented: Presented,
    pub(super) client: Client,
}

/// Which cookie the client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// None of ours.
    Without,
    /// One with another id than the session has, or will have after the save.
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
    let is_current = facts.presented == Presented::Current;
    let store = match facts.standing {
        Standing::Live if facts.renewal_due && is_current => StoreStep::Renew,
        Standing::New | Standing::Live if facts.changed => StoreStep::Save,
        _ => StoreStep::Nothing,
    };
    let cookie = match (facts.standing, facts.client) {
        (Standing::New, _) if facts.changed => CookieStep::Set,
        // The client has, or is about to get, the id that took the place of this one.
        (Standing::Live, _) if facts.presented == Presented::Previous => CookieStep::Nothing,
        (Standing::Live, Client::Without | Client::Other) => CookieStep::Set,
        (Standing::Live, _) if store == StoreStep::Renew || !is_current => CookieStep::SetRenewed,
        (Standing::Live, Client::Stale) => CookieStep::Rewrite,
        (Standing::Destroyed, Client::Other | Client::Stale | Client::Current) => CookieStep::Remove,
        // Not removed when it ended elsewhere: the client may have logged in again, in another
        // request, and a removal would take that new session's cookie away.
        _ => CookieStep::Nothing,
    };
    Plan { store, cookie }
}

#[cfg(test)]
mod tests {
    use super::{Client, CookieStep, Facts, Plan, StoreStep, decide};
    use crate::id::SessionId;
    use crate::session::Standing;
    use crate::store::Presented;

    /// One row of the table: what is asked of the facts (`None`: either way), and what must come
    /// out.
    struct Row {
        standing: Standing,
        changed: Option<bool>,
        renewal_due: Option<bool>,
        presented: Option<Presented>,
        clients: &'static [Client],
        plan: Plan,
    }

    impl Row {
        fn covers(&self, facts: Facts) -> bool {
            let fits = |asked: Option<bool>, fact: bool| asked.is_none_or(|asked| asked == fact);
            self.standing == facts.standing
                && fits(self.changed, facts.changed)
                && fits(self.renewal_due, facts.renewal_due)
                && self.presented.is_none_or(|presented| presented == facts.presented)
                && self.clients.contains(&facts.client)
        }
    }

    fn renewing() -> Presented {
        Presented::Renewing(SessionId::derive("the next one"))
    }

    /// `y`, `n`, or `-` for either; then the id that opened the session: `c`urrent, `r`enewing,
    /// `p`revious.
    fn row(standing: Standing, facts: &str, clients: &'static [Client], store: StoreStep, cookie: CookieStep) -> Row {
        let facts: Vec<_> = facts.split_whitespace().collect();
        let [changed, renewal_due, presented] = facts[..] else { panic!("three facts in a row") };
        let asked = |fact: &str| match fact {
            "y" => Some(true),
            "n" => Some(false),
            "-" => None,
            other => panic!("{other:?} in the table"),
        };
        let presented = match presented {
            "c" => Some(Presented::Current),
            "r" => Some(renewing()),
            "p" => Some(Presented::Previous),
            "-" => None,
            other => panic!("{other:?} in the table"),
        };
        let (changed, renewal_due) = (asked(changed), asked(renewal_due));
        Row { standing, changed, renewal_due, presented, clients, plan: Plan { store, cookie } }
    }

    #[rustfmt::skip]
    fn table() -> Vec<Row> {
        use CookieStep as Cookie;
        use Standing::{Destroyed, Ended, Live, New, Unloaded, Without};
        use StoreStep::{Nothing, Renew, Save};
        const ANY: &[Client] = &[Client::Without, Client::Other, Client::Stale, Client::Current];
        const UNKNOWN: &[Client] = &[Client::Without, Client::Other];
        const KNOWN: &[Client] = &[Client::Stale, Client::Current];
        const STALE: &[Client] = &[Client::Stale];
        const CURRENT: &[Client] = &[Client::Current];
        const WITHOUT: &[Client] = &[Client::Without];
        const WITH: &[Client] = &[Client::Other, Client::Stale, Client::Current];
        vec![
            //              changed
            //              | renewal_due
            //              | | presented
            row(Unloaded,  "- - -", ANY,     Nothing, Cookie::Nothing),
            row(New,       "n - -", ANY,     Nothing, Cookie::Nothing),
            row(New,       "y - -", ANY,     Save,    Cookie::Set),
            row(Live,      "n n c", CURRENT, Nothing, Cookie::Nothing),
            row(Live,      "n n c", STALE,   Nothing, Cookie::Rewrite),
            row(Live,      "n n c", UNKNOWN, Nothing, Cookie::Set),
            row(Live,      "y n c", CURRENT, Save,    Cookie::Nothing),
            row(Live,      "y n c", STALE,   Save,    Cookie::Rewrite),
            row(Live,      "y n c", UNKNOWN, Save,    Cookie::Set),
            row(Live,      "- y c", KNOWN,   Renew,   Cookie::SetRenewed),
            row(Live,      "- y c", UNKNOWN, Renew,   Cookie::Set),
            row(Live,      "n - r", KNOWN,   Nothing, Cookie::SetRenewed),
            row(Live,      "n - r", UNKNOWN, Nothing, Cookie::Set),
            row(Live,      "y - r", KNOWN,   Save,    Cookie::SetRenewed),
            row(Live,      "y - r", UNKNOWN, Save,    Cookie::Set),
            row(Live,      "n - p", ANY,     Nothing, Cookie::Nothing),
            row(Live,      "y - p", ANY,     Save,    Cookie::Nothing),
            row(Ended,     "- - -", ANY,     Nothing, Cookie::Nothing),
            row(Destroyed, "- - -", WITHOUT, Nothing, Cookie::Nothing),
            row(Destroyed, "- - -", WITH,    Nothing, Cookie::Remove),
            row(Without,   "- - -", ANY,     Nothing, Cookie::Nothing),
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
        let ids = [Presented::Current, renewing(), Presented::Previous];
        standings.into_iter().flat_map(move |standing| {
            clients.into_iter().flat_map(move |client| {
                ids.into_iter().flat_map(move |presented| {
                    (0..1_u32 << 2).map(move |bits| {
                        let (changed, renewal_due) = (bits & 1 == 1, bits & 2 == 2);
                        Facts { standing, changed, renewal_due, presented, client }
                    })
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
        assert_eq!(combinations, 288);
    }
}
