//! The decision at the end of a request: a pure function from the facts about the session to the
//! steps for the store and for the client.
//!
//! | the session is | store | cookie, token |
//! |---|---|---|
//! | new and empty | nothing | none |
//! | new, with data | save | set |
//! | live, unchanged | nothing | none, or rewritten if it is stale |
//! | live, changed | save | none, or rewritten if it is stale |
//! | live, its id is due for renewal | save, which begins the renewal | the renewed id |
//! | live, a renewal is pending | nothing, or save if it changed | the renewed id |
//! | live, opened by an id in its grace | nothing, or save if it changed | none |
//! | live, gets a new id by a login or `regenerate` | save | set |
//! | logged out here | nothing | remove, if the client has one |
//! | ended elsewhere | nothing, or save if it changed, which reports the lost change | none |
//! | unknown, because the store failed | nothing | none |
//!
//! Cookie and token are the two carriers of an id. The step for each depends on the id that the
//! client presented in that carrier. A carrier that the layer does not use for this client has no
//! step.
//!
//! No step notes the visit, because the request's first look has done so. The cookie of a live
//! session is also set if the client does not know the session's id: the id was replaced, or the
//! handler saved a new session. A cookie is stale if it is persistent and was written `touch_after`
//! ago, if its signing key is no longer the first key, or if the options have changed. Shortly
//! before a renewal a stale cookie is not rewritten, because the client might receive the old id
//! after the new one.

use crate::session::{Credential, Ending, Inputs, Stage};
use crate::store::Presented;

/// The steps at the end of a request, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndPlan {
    pub(super) store: StoreStep,
    pub(super) cookie: ClientStep,
    pub(super) token: ClientStep,
}

impl EndPlan {
    /// The step that tells the client an id, if there is one. If cookie and token both have such a
    /// step, the steps are equal, because the request presented no id in either carrier.
    pub(super) fn announcement(self) -> Option<ClientStep> {
        [self.cookie, self.token].into_iter().find(|step| step.announces())
    }
}

/// The step for the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreStep {
    Nothing,
    Save,
    /// Save, and begin a timed renewal in the same commit.
    Renew,
}

/// The step for the client's cookie or token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientStep {
    Nothing,
    /// Tell the client the id, if the session is live after the store's step.
    Set,
    /// Tell the client the id of the pending renewal, if there is one after the store's step.
    SetRenewed,
    /// Tell the client the same id again, if it is still the session's.
    Rewrite,
    Remove,
}

impl ClientStep {
    pub(super) fn announces(self) -> bool {
        matches!(self, Self::Set | Self::SetRenewed | Self::Rewrite)
    }
}

/// Decides the steps by the table at the top of this file.
pub(super) fn decide(facts: Inputs) -> EndPlan {
    let store = match facts.stage {
        Stage::Live(Presented::Current) if facts.renewal_due => StoreStep::Renew,
        // A change of a session that has ended is lost, and the save reports the loss.
        Stage::New | Stage::Live(_) | Stage::Ended(_) if facts.changed => StoreStep::Save,
        _ => StoreStep::Nothing,
    };
    let step = |client| client_step(facts, store, client);
    EndPlan { store, cookie: step(facts.cookie), token: step(facts.token) }
}

/// The step for one carrier, cookie or token. `client` is the state of the client's credential in
/// it.
fn client_step(facts: Inputs, store: StoreStep, client: Credential) -> ClientStep {
    match (facts.stage, client) {
        (_, Credential::NotUsed) => ClientStep::Nothing,
        (Stage::New, _) if facts.changed => ClientStep::Set,
        // After a login or `regenerate` the client has another id than the session.
        (Stage::Live(_), Credential::Missing | Credential::Other) => ClientStep::Set,
        // The client has, or will soon get, the id that replaced this one.
        (Stage::Live(Presented::Previous), _) => ClientStep::Nothing,
        (Stage::Live(Presented::Renewing(_)), _) => ClientStep::SetRenewed,
        (Stage::Live(_), _) if store == StoreStep::Renew => ClientStep::SetRenewed,
        (Stage::Live(_), Credential::Stale) => ClientStep::Rewrite,
        (Stage::Ended(Ending::Here), Credential::Other | Credential::Stale | Credential::Current) => ClientStep::Remove,
        // If the session ended elsewhere, the client may have logged in again in another request. A
        // removal would delete the new session's cookie.
        _ => ClientStep::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientStep, Credential, Ending, Inputs, Stage, StoreStep, decide};
    use crate::id::SessionId;
    use crate::store::Presented;

    type StageFact = Stage<Presented, ()>;

    /// One row of the table: the facts that it covers (`None` covers both) and the steps.
    struct DecisionRow {
        stages: Vec<StageFact>,
        changed: Option<bool>,
        renewal_due: Option<bool>,
        clients: &'static [Credential],
        store: StoreStep,
        step: ClientStep,
    }

    impl DecisionRow {
        /// Returns true if the row covers these facts and what the client has.
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

    /// One row. `facts` has `y`, `n` or `-` (either) for `changed` and for `renewal_due`.
    fn row(
        stages: &[StageFact],
        facts: &str,
        clients: &'static [Credential],
        store: StoreStep,
        step: ClientStep,
    ) -> DecisionRow {
        let asked = |fact: &str| match fact {
            "y" => Some(true),
            "n" => Some(false),
            "-" => None,
            other => panic!("{other:?} in the table"),
        };
        let facts: Vec<_> = facts.split_whitespace().map(asked).collect();
        let [changed, renewal_due] = facts[..] else { panic!("two facts in a row") };
        DecisionRow { stages: stages.to_vec(), changed, renewal_due, clients, store, step }
    }

    #[rustfmt::skip]
    fn table() -> Vec<DecisionRow> {
        use ClientStep as Id;
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
    fn facts_lead_to_the_steps_of_the_table() {
        let (table, all) = (table(), all_facts());
        for facts in &all {
            let plan = decide(*facts);
            for (client, step) in [(facts.cookie, plan.cookie), (facts.token, plan.token)] {
                if client == Credential::NotUsed {
                    assert_eq!(step, ClientStep::Nothing, "{facts:?}");
                    continue;
                }
                let rows: Vec<_> = table.iter().filter(|row| row.covers(*facts, client)).collect();
                assert_eq!(rows.len(), 1, "rows for {facts:?}");
                assert_eq!((plan.store, step), (rows[0].store, rows[0].step), "{facts:?}");
            }
        }
        assert_eq!(all.len(), 800);
    }
}
