//! Validation of a shard in tests.

use std::collections::HashMap;

use super::Shard;
use crate::memory::queue::charge;
use crate::record::{Class, Record};
use crate::store::is_expired;
use crate::sync::Ordering;

impl Shard {
    /// Recomputes every counter, every queue and both indexes. Returns an error if one is wrong.
    pub(in crate::memory) fn validate(&self) -> Result<(), String> {
        self.table.validate(|record| self.hash_of(record.state().handle))?;
        let records: HashMap<u32, &Record> =
            self.table.iter().map(|record| (record.state().slot.load(Ordering::SeqCst), record)).collect();
        if records.len() != self.table.len() || self.queues.len() != self.table.len() {
            return Err(format!(
                "{} sessions, {} slots, {} queued",
                self.table.len(),
                records.len(),
                self.queues.len()
            ));
        }
        self.queues.validate(|slot| records.get(&slot).map_or(0, |record| charge(record)))?;
        for slot in (0..self.queues.slots()).filter_map(|slot| u32::try_from(slot).ok()) {
            let record = records.get(&slot);
            self.expiry.validate(slot, record.map(|record| record.state().deadline.load(Ordering::SeqCst)))?;
            if let Some(record) = record
                && self.in_slot(slot).is_none_or(|found| !found.same_block(record))
            {
                return Err(format!("slot {slot} does not lead to its session"));
            }
        }
        for class in Class::ALL {
            let is_wrong = |slot: &u32| {
                records.get(slot).is_none_or(|record| {
                    record.state().class() != class || (class == Class::Owned) != record.is_owned()
                })
            };
            if let Some(slot) = self.queues.iter(class).find(is_wrong) {
                return Err(format!("slot {slot} is in the wrong queue, {class:?}"));
            }
        }
        if self.bytes() > self.limits.budget {
            return Err(format!("{} bytes, {} allowed", self.bytes(), self.limits.budget));
        }
        if self.wrong_victims > 0 {
            let wrong = self.wrong_victims;
            return Err(format!("{wrong} sessions with an owner were evicted while the others exceeded their share"));
        }
        let owned: Vec<_> = self.table.iter().filter(|record| record.is_owned()).collect();
        if self.owners.len() != owned.len() {
            return Err(format!("{} sessions have an owner, {} are indexed", owned.len(), self.owners.len()));
        }
        for record in owned {
            let name = record.owner().unwrap_or_default();
            if !self.owned_by(name, 0).any(|found| found.same_block(record)) && !is_expired(record, 0) {
                return Err(format!("session {} is not found by its owner", record.state().handle));
            }
        }
        Ok(())
    }
}
