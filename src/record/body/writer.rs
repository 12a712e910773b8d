//! Writes the bytes of a body: the head, then entries in their order.

use std::cell::Cell;
use std::mem;

use unsigned_varint::encode;

use super::{Body, CREATED, FORMAT, HAS_OWNER, HAS_TIMEOUT, Head, created_bytes};

/// Larger buffers are not kept for the next body.
const MAX_KEPT: usize = 16 * 1024;

thread_local! {
    /// The buffers of this thread's last body: what is written is copied into its block at once.
    static KEPT: Cell<[Vec<u8>; 2]> = const { Cell::new([Vec::new(), Vec::new()]) };
}

/// Names and values grow side by side; [`finish`](Self::finish) puts the values behind the names.
pub(crate) struct Writer {
    bytes: Vec<u8>,
    /// Where the names begin.
    names: usize,
    values: Vec<u8>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        // A thread that is about to end has none.
        let [bytes, values] = KEPT.try_with(Cell::take).unwrap_or_default();
        Self { bytes, names: 0, values }
    }

    /// Begins the body.
    pub(crate) fn head(&mut self, head: &Head<'_>) {
        let has = |part: bool, flag: u8| if part { flag } else { 0 };
        let flags = has(head.timeout_ms.is_some(), HAS_TIMEOUT) | has(head.owner.is_some(), HAS_OWNER);
        self.bytes.extend([FORMAT | flags, 0, 0, 0, 0, 0]);
        self.bytes.extend(created_bytes(head.created_ms));
        if let Some(timeout) = head.timeout_ms {
            self.number(timeout);
        }
        if let Some(owner) = head.owner {
            self.number(owner.len() as u64);
            self.bytes.extend_from_slice(owner.as_bytes());
        }
        self.names = self.bytes.len();
    }

    /// Begins it with the head of another one.
    pub(crate) fn head_of(&mut self, other: Body<'_>) {
        self.bytes.extend_from_slice(other.start);
        self.names = self.bytes.len();
    }

    #[inline]
    pub(crate) fn entry(&mut self, component: &str, key: &str, value: &[u8]) {
        for part in [component.as_bytes(), key.as_bytes(), value] {
            self.number(part.len() as u64);
        }
        self.bytes.extend_from_slice(component.as_bytes());
        self.bytes.extend_from_slice(key.as_bytes());
        self.values.extend_from_slice(value);
    }

    /// Copies entries that are written already.
    pub(super) fn copy(&mut self, names: &[u8], values: &[u8]) {
        self.bytes.extend_from_slice(names);
        self.values.extend_from_slice(values);
    }

    /// Ends the body: the bytes. More than it can count is written as the most that it can; [`check_limits`](super::check_limits) and
    /// [`check_count`](super::check_count) refuse both.
    pub(crate) fn finish(&mut self, entries: usize) -> &[u8] {
        let count = u16::try_from(entries).unwrap_or(u16::MAX).to_be_bytes();
        let names = u32::try_from(self.bytes.len() - self.names).unwrap_or(u32::MAX).min(0xff_ffff).to_be_bytes();
        self.bytes[1..CREATED.start].copy_from_slice(&[count[0], count[1], names[1], names[2], names[3]]);
        self.bytes.append(&mut self.values);
        &self.bytes
    }

    #[inline]
    fn number(&mut self, number: u64) {
        if let Ok(small @ 0..0x80) = u8::try_from(number) {
            return self.bytes.push(small);
        }
        self.bytes.extend_from_slice(encode::u64(number, &mut encode::u64_buffer()));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let kept = [&mut self.bytes, &mut self.values].map(|bytes| {
            bytes.clear();
            bytes.shrink_to(MAX_KEPT);
            mem::take(bytes)
        });
        let _ = KEPT.try_with(|place| place.set(kept));
    }
}
