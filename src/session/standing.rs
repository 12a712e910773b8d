//! Where a session stands when a request ends. Asks nobody: it is what the session itself knows.

use std::time::Duration;

use super::{Session, Stage, State};

/// The states of a session, as the end of a request tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody looked, so the store was not asked.
    Unloaded,
    /// Nothing is stored under its id yet.
    New,
    /// It was stored when it was last seen.
    Live,
    /// It ended elsewhere while we held it.
    Ended,
    /// It was destroyed here, and nothing was begun after that.
    Destroyed,
}

impl Session {
    pub(crate) fn standing(&self) -> Standing {
        match self.state.get().map(|state| &state.stage) {
            None => Standing::Unloaded,
            Some(Stage::New) => Standing::New,
            Some(Stage::Live(_)) => Standing::Live,
            Some(Stage::Gone { asked: false }) => Standing::Ended,
            Some(Stage::Gone { asked: true }) => Standing::Destroyed,
        }
    }

    /// Whether a save, a touch or a `modify` of this handle has set the session's time.
    pub(crate) fn was_prolonged(&self) -> bool {
        self.prolonged
    }

    /// Whether a visit without changes is to be noted in the store.
    pub(crate) fn touch_due(&self) -> bool {
        match self.state.get() {
            Some(State { stage: Stage::Live(live), .. }) => {
                self.shared.policy.touch_due(self.shared.ttl(&live.record), self.left(live))
            }
            _ => false,
        }
    }

    /// The time that the session has left; none unless it is live.
    pub(crate) fn time_left(&self) -> Duration {
        match self.state.get() {
            Some(State { stage: Stage::Live(live), .. }) => self.left(live),
            _ => Duration::ZERO,
        }
    }
}
