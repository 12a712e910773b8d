//! What a request leads to at its end: one pure function from what is known to what is to be done.
//!
//! | the session is | store | cookie, token |
//! |---|---|---|
//! | new and empty | nothing | none |
//! | new, with data | save | set |
//! | live, unchanged | nothing | none, or written again if it is stale |
//! | live, changed | save | none, or written again if it is stale |
//! | live, its id is old | save, which begins a renewal | the renewed id |
//! | live, a renewal is pending | nothing, or save if it changed | the renewed id |
//! | live, opened by an id in its grace | nothing, or save if it changed | none |
//! | live, gets a new id by a login or `regenerate` | save | set |
//! | logged out here | nothing | remove, if the client has one |
//! | ended elsewhere | nothing, or a save that says so if it changed | none |
//! | not known: the store failed | nothing | none |
//!
//! Cookie and token are decided by the same rule, each by what the client has in it. In one of them
//! the client may be told nothing: then there is no step.
//!
//! A visit is noted at the first look, not here. A live session's cookie is set all the same when
//! the client does not know its id: it was replaced, or the session was saved for the first time
//! within the handler. A cookie is stale when it is persistent and written `touch_after` ago, when
//! it was signed by a key that is no longer the first, or when the options have it otherwise by
//! now. Shortly before a renewal none is written again: the client might get the old id after the
//! new.

use crate::session::{Credential, Ending, Inputs, Stage};
use crate::store::Presented;

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) store: StoreStep,
    pub(super) cookie: Step,
    pub(super) token: Step,
}

impl Plan {
    /// The step that tells the client an id, if there is one. If there are two they are the same,
    /// because only a request that presented nothing is answered in both.
    pub(super) fn announcing(self) -> Option<Step> {
        [self.cookie, self.token].into_iter().find(|step| step.announces())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreStep {
    Nothing,
    Save,
    /// Save, and have a timed renewal begin in the same commit.
    Renew,
}

/// What the client is told in its cookie, or in its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// For a session that is live by then, and for no other.
    Set,
    /// The id of the pending renewal, if there is one by then.
    SetRenewed,
    /// The same id again: if it is still the session's.
    Rewrite,
    Remove,
}

impl Step {
    pub(super) fn announces(self) -> bool {
        matches!(self, Self::Set | Self::SetRenewed | Self::Rewrite)
    }
}

pub(super) fn decide(facts: Inputs) -> Plan {
    let store = match facts.stage {
        Stage::Live(Presented::Current) if facts.renewal_due => StoreStep::Renew,
        // A change of a session that has ended is lost, and the save says so.
        Stage::New | Stage::Live(_) | Stage::Ended(_) if facts.changed => StoreStep::Save,
        _ => StoreStep::Nothing,
    };
    let step = |client| step(facts, store, client);
    Plan { store, cookie: step(facts.cookie), token: step(facts.token) }
}

/// What the client is told where this is what it has.
fn step(facts: Inputs, store: StoreStep, client: Credential) -> Step {
    match (facts.stage, client) {
        (_, Credential::NotUsed) => Step::Nothing,
        (Stage::New, _) if facts.changed => Step::Set,
        // After a login or `regenerate` too, whichever id the request presented.
        (Stage::Live(_), Credential::Missing | Credential::Other) => Step::Set,
        // The client has, or is about to get, the id that took the place of this one.
        (Stage::Live(Presented::Previous), _) => Step::Nothing,
        (Stage::Live(Presented::Renewing(_)), _) => Step::SetRenewed,
        (Stage::Live(_), _) if store == StoreStep::Renew => Step::SetRenewed,
        (Stage::Live(_), Credential::Stale) => Step::Rewrite,
        (Stage::Ended(Ending::Here), Credential::Other | Credential::Stale | Credential::Current) => Step::Remove,
        // Not removed when it ended elsewhere: the client may have logged in again, in another
        // request, and a removal would take that new session's cookie away.
        _ => Step::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::{Credential, Ending, Inputs, Stage, Step, StoreStep, decide};
    use crate::id::SessionId;
    use crate::store::Presented;

    type Seen = Stage<Presented, ()>;

    /// One row of the table: what is asked of the facts (`None`: either way), and what must come
    /// out.
    struct Row {
        stages: Vec<Seen>,
        changed: Option<bool>,
        renewal_due: Option<bool>,
        clients: &'static [Credential],
        store: StoreStep,
        step: Step,
    }

    impl Row {
        /// Whether it says what a client is told that has this.
        fn covers(&self, facts: Inputs, client: Credential) -> bool {
            let fits = |asked: Option<bool>, fact: bool| asked.is_none_or(|asked| asked == fact);
            self.stages.contains(&facts.stage)
                && fits(self.changed, facts.changed)
                && fits(self.renewal_due, facts.renewal_due)
                && self.clients.contains(&client)
        }
    }

    fn renewing() -> Presented {
        Presented::Renewing(SessionId::derive("the next one"))
    }

    /// `y`, `n`, or `-` for either.
    fn row(stages: &[Seen], facts: &str, clients: &'static [Credential], store: StoreStep, step: Step) -> Row {
        let asked = |fact: &str| match fact {
            "y" => Some(true),
            "n" => Some(false),
            "-" => None,
            other => panic!("{other:?} in the table"),
        };
        let facts: Vec<_> = facts.split_whitespace().map(asked).collect();
        let [changed, renewal_due] = facts[..] else { panic!("two facts in a row") };
        Row { stages: stages.to_vec(), changed, renewal_due, clients, store, step }
    }

    #[rustfmt::skip]
    fn table() -> Vec<Row> {
        use Step as Id;
        use StoreStep::{Nothing, Renew, Save};
        const ANY: &[Credential] = &[Credential::Missing, Credential::Other, Credential::Stale, Credential::Current];
        const UNKNOWN: &[Credential] = &[Credential::Missing, Credential::Other];
        const KNOWN: &[Credential] = &[Credential::Stale, Credential::Current];
        const STALE: &[Credential] = &[Credential::Stale];
        const CURRENT: &[Credential] = &[Credential::Current];
        const WITHOUT: &[Credential] = &[Credential::Missing];
        const WITH: &[Credential] = &[Credential::Other, Credential::Stale, Credential::Current];
        let new = &[Stage::New];
        let live = &[Stage::Live(Presented::Current)];
        let renewing = &[Stage::Live(renewing())];
        let previous = &[Stage::Live(Presented::Previous)];
        let elsewhere = &[Stage::Ended(Ending::Elsewhere), Stage::Ended(Ending::Superseded)];
        let here = &[Stage::Ended(Ending::Here)];
        let without = &[Stage::StoreUnavailable(())];
        vec![
            //              changed
            //              | renewal_due
            row(new,       "n -", ANY,     Nothing, Id::Nothing),
            row(new,       "y -", ANY,     Save,    Id::Set),
            row(live,      "n n", CURRENT, Nothing, Id::Nothing),
            row(live,      "n n", STALE,   Nothing, Id::Rewrite),
            row(live,      "n n", UNKNOWN, Nothing, Id::Set),
            row(live,      "y n", CURRENT, Save,    Id::Nothing),
            row(live,      "y n", STALE,   Save,    Id::Rewrite),
            row(live,      "y n", UNKNOWN, Save,    Id::Set),
            row(live,      "- y", KNOWN,   Renew,   Id::SetRenewed),
            row(live,      "- y", UNKNOWN, Renew,   Id::Set),
            row(renewing,  "n -", KNOWN,   Nothing, Id::SetRenewed),
            row(renewing,  "n -", UNKNOWN, Nothing, Id::Set),
            row(renewing,  "y -", KNOWN,   Save,    Id::SetRenewed),
            row(renewing,  "y -", UNKNOWN, Save,    Id::Set),
            row(previous,  "n -", KNOWN,   Nothing, Id::Nothing),
            row(previous,  "n -", UNKNOWN, Nothing, Id::Set),
            row(previous,  "y -", KNOWN,   Save,    Id::Nothing),
            row(previous,  "y -", UNKNOWN, Save,    Id::Set),
            row(elsewhere, "n -", ANY,     Nothing, Id::Nothing),
            row(elsewhere, "y -", ANY,     Save,    Id::Nothing),
            row(here,      "n -", WITHOUT, Nothing, Id::Nothing),
            row(here,      "n -", WITH,    Nothing, Id::Remove),
            row(here,      "y -", WITHOUT, Save,    Id::Nothing),
            row(here,      "y -", WITH,    Save,    Id::Remove),
            row(without,   "- -", ANY,     Nothing, Id::Nothing),
        ]
    }

    fn all_facts() -> Vec<Inputs> {
        let stages = [
            Stage::New,
            Stage::Live(Presented::Current),
            Stage::Live(renewing()),
            Stage::Live(Presented::Previous),
            Stage::Ended(Ending::Here),
            Stage::Ended(Ending::Elsewhere),
            Stage::Ended(Ending::Superseded),
            Stage::StoreUnavailable(()),
        ];
        let clients =
            [Credential::NotUsed, Credential::Missing, Credential::Other, Credential::Stale, Credential::Current];
        let mut all = Vec::new();
        for stage in stages {
            for (changed, renewal_due) in [(false, false), (false, true), (true, false), (true, true)] {
                for cookie in clients {
                    all.extend(clients.map(|token| Inputs { stage, changed, renewal_due, cookie, token }));
                }
            }
        }
        all
    }

    #[test]
    fn every_combination_of_facts_leads_to_what_the_table_says_for_the_cookie_and_for_the_token() {
        let (table, all) = (table(), all_facts());
        for facts in &all {
            let plan = decide(*facts);
            for (client, step) in [(facts.cookie, plan.cookie), (facts.token, plan.token)] {
                if client == Credential::NotUsed {
                    assert_eq!(step, Step::Nothing, "{facts:?}");
                    continue;
                }
                let rows: Vec<_> = table.iter().filter(|row| row.covers(*facts, client)).collect();
                assert_eq!(rows.len(), 1, "the table must have one row, and no more, for {facts:?}");
                assert_eq!((plan.store, step), (rows[0].store, rows[0].step), "{facts:?}");
            }
        }
        assert_eq!(all.len(), 800);
    }
}
