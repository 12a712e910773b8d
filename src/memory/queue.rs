//! Eviction queues: three lists in one slab, and the bytes that their sessions are charged.
//!
//! The lists are linked by slot numbers. A session starts in *probation* and moves to *main* if it
//! is visited there. Sessions with an owner have a list of their own. The shard chooses the
//! victims.
//!
//! The charge of a session is its block, a second secret included, and a constant share of the
//! structures that find and order it:
//!
//! - a fifth of a group of 64 bytes in a table that is between 57 and 85 % full: 15 to 23 bytes, 19
//!   on average;
//! - a queue node of 16 bytes and an expiry tick of 4, in slabs that grow by a quarter: 20 to 25,
//!   22 on average.
//!
//! The share is a constant so that a session's charge changes only when its block does. A session
//! with 300 bytes of JSON is charged about 418 bytes. The test `memory/accounting` compares the sum
//! with the memory that the allocator gave out.

use crate::id::Handle;
use crate::record::{Class, Record};

/// A session's share of table, queues and expiry index, in bytes.
pub(super) const OVERHEAD: usize = 41;

/// The share of the owner index for a session with an owner: 8 bytes in a tree whose nodes are two
/// thirds full.
const OWNER_OVERHEAD: usize = 18;

/// The bytes that a session is charged.
pub(super) fn charge(record: &Record) -> usize {
    record.size() + OVERHEAD + if record.is_owned() { OWNER_OVERHEAD } else { 0 }
}

/// The slot number that means "none".
const NONE: u32 = u32::MAX;

/// A session's place in its list, in 16 bytes. It holds the handle, by which the shard's table
/// finds the row, so there is no cycle of pointers.
#[derive(Debug)]
struct Node {
    handle: Handle,
    /// The neighbour towards the older end.
    older: u32,
    /// The neighbour towards the newer end; in a free node, the next free one.
    newer: u32,
}

#[derive(Clone, Copy, Debug)]
struct List {
    oldest: u32,
    newest: u32,
    len: usize,
    bytes: usize,
}

const EMPTY: List = List { oldest: NONE, newest: NONE, len: 0, bytes: 0 };

#[derive(Debug)]
pub(super) struct EvictionQueues {
    nodes: Vec<Node>,
    free: u32,
    lists: [List; Class::ALL.len()],
}

impl EvictionQueues {
    pub(super) fn new() -> Self {
        Self { nodes: Vec::new(), free: NONE, lists: [EMPTY; Class::ALL.len()] }
    }

    /// The bytes of all three lists.
    pub(super) fn bytes(&self) -> usize {
        self.lists.iter().map(|list| list.bytes).sum()
    }

    pub(super) fn bytes_of(&self, class: Class) -> usize {
        self.lists[class as usize].bytes
    }

    pub(super) fn len_of(&self, class: Class) -> usize {
        self.lists[class as usize].len
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.lists.iter().map(|list| list.len).sum()
    }

    /// The number of slots, used and free: one more than the largest slot number given out.
    pub(super) fn slots(&self) -> usize {
        self.nodes.len()
    }

    /// The session in a slot. A free slot has the handle of an earlier session.
    pub(super) fn handle(&self, slot: u32) -> Option<Handle> {
        self.nodes.get(slot as usize).map(|node| node.handle)
    }

    /// Adds a session at the newer end of its list and returns its slot.
    pub(super) fn push(&mut self, class: Class, handle: Handle, bytes: usize) -> u32 {
        let slot = self.free;
        let slot = if slot == NONE {
            // The slab grows by a quarter. If it doubled, its free half would add up to a tenth to
            // the charge of each small session.
            if self.nodes.len() == self.nodes.capacity() {
                self.nodes.reserve_exact((self.nodes.len() / 4).max(16));
            }
            self.nodes.push(Node { handle, older: NONE, newer: NONE });
            // `LembroOptions` refuses a `max_size` with room for more than `u32::MAX` sessions.
            u32::try_from(self.nodes.len() - 1).unwrap_or(NONE)
        } else {
            let node = &mut self.nodes[slot as usize];
            self.free = node.newer;
            node.handle = handle;
            slot
        };
        self.link(slot, class, bytes);
        slot
    }

    /// Removes a session and frees its slot.
    pub(super) fn remove(&mut self, slot: u32, class: Class, bytes: usize) {
        self.unlink(slot, class, bytes);
        self.nodes[slot as usize].newer = self.free;
        self.free = slot;
    }

    /// Moves a session to the newer end of a list: its own or another.
    pub(super) fn move_to(&mut self, slot: u32, from: Class, to: Class, bytes: usize) {
        self.unlink(slot, from, bytes);
        self.link(slot, to, bytes);
    }

    /// Updates the bytes of a list after the charge of one of its sessions changed.
    pub(super) fn recharge(&mut self, class: Class, old: usize, new: usize) {
        let list = &mut self.lists[class as usize];
        list.bytes = list.bytes - old + new;
    }

    /// The oldest session of a list, other than `except`.
    pub(super) fn oldest(&self, class: Class, except: Option<u32>) -> Option<u32> {
        let mut slot = self.lists[class as usize].oldest;
        if Some(slot) == except {
            slot = self.nodes[slot as usize].newer;
        }
        (slot != NONE).then_some(slot)
    }

    /// The slots of a list, oldest first.
    pub(super) fn iter(&self, class: Class) -> impl Iterator<Item = u32> + '_ {
        self.chain(self.lists[class as usize].oldest)
    }

    /// The slots from `first` on, along `newer`.
    fn chain(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        let valid = |slot: u32| (slot != NONE).then_some(slot);
        std::iter::successors(valid(first), move |slot| valid(self.nodes[*slot as usize].newer))
    }

    fn link(&mut self, slot: u32, class: Class, bytes: usize) {
        let list = &mut self.lists[class as usize];
        let older = std::mem::replace(&mut list.newest, slot);
        list.len += 1;
        list.bytes += bytes;
        if older == NONE {
            list.oldest = slot;
        } else {
            self.nodes[older as usize].newer = slot;
        }
        let node = &mut self.nodes[slot as usize];
        (node.older, node.newer) = (older, NONE);
    }

    fn unlink(&mut self, slot: u32, class: Class, bytes: usize) {
        let Node { older, newer, .. } = self.nodes[slot as usize];
        let list = &mut self.lists[class as usize];
        list.len -= 1;
        list.bytes -= bytes;
        if older == NONE {
            list.oldest = newer;
        }
        if newer == NONE {
            list.newest = older;
        }
        if older != NONE {
            self.nodes[older as usize].newer = newer;
        }
        if newer != NONE {
            self.nodes[newer as usize].older = older;
        }
    }

    /// Recomputes links, lengths and bytes, and compares them with the fields.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self, bytes_of: impl Fn(u32) -> usize) -> Result<(), String> {
        let mut linked = 0;
        for class in Class::ALL {
            let list = &self.lists[class as usize];
            let (mut older, mut len, mut bytes) = (NONE, 0, 0);
            for slot in self.iter(class) {
                if self.nodes[slot as usize].older != older {
                    return Err(format!("{class:?}: slot {slot} does not point back at {older}"));
                }
                (older, len, bytes) = (slot, len + 1, bytes + bytes_of(slot));
                if len > self.nodes.len() {
                    return Err(format!("{class:?}: the list is a ring"));
                }
            }
            if (older, len, bytes) != (list.newest, list.len, list.bytes) {
                return Err(format!(
                    "{class:?}: newest, length, bytes are {:?}, found {:?}",
                    list,
                    (older, len, bytes)
                ));
            }
            linked += len;
        }
        let free = self.chain(self.free).take(self.nodes.len() + 1).count();
        if linked + free != self.nodes.len() {
            return Err(format!("{linked} linked and {free} free slots of {}", self.nodes.len()));
        }
        Ok(())
    }
}
