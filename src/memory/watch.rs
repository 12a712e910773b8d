//! A weak handle on a store for the metrics, which must not keep it alive.

use std::sync::Weak;

use crossbeam_channel::Receiver;

use super::shards::Shards;
use super::stats::{Purge, Stats};
use crate::error::Error;
use crate::sync::Arc;

pub(crate) struct Watch {
    shards: Weak<Shards>,
    /// The purges since the watch began. The channel closes when the store is gone, which wakes its
    /// receiver.
    pub(crate) purges: Receiver<Purge>,
}

impl Watch {
    pub(super) fn new(shards: &Arc<Shards>) -> Self {
        Self { shards: Arc::downgrade(shards), purges: shards.purges.subscribe() }
    }

    /// The figures at this moment; `None` once the store is gone.
    pub(crate) fn stats(&self) -> Option<Stats> {
        self.shards.upgrade().map(|shards| shards.stats())
    }

    /// Publishes an error to the subscribers of the store's background errors.
    pub(crate) fn report(&self, error: &Error) {
        if let Some(shards) = self.shards.upgrade() {
            shards.errors.publish(|| error.clone());
        }
    }
}
