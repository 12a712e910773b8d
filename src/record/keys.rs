//! The changed keys of a session, sorted. One buffer holds all names, and one holds all values.
//!
//! The changes live for one request. Allocating the buffers would cost as much as all other work on
//! the changes, so a thread keeps the buffers for its next request.

use std::cell::Cell;
use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::entries::order;
use super::{exact, limits};
use crate::error::Result;

/// The buffers are compacted only if keys that changed again left more unused bytes than this.
const MAX_UNUSED: usize = 4096;

/// The most capacity that a thread keeps in its buffers: keys, bytes of names, bytes of values.
const MAX_BUFFERS: (usize, usize, usize) = (64, 4 * 1024, 16 * 1024);

thread_local! {
    /// The buffers of the thread's last request.
    static BUFFERS: Cell<Option<Box<Buffers>>> = const { Cell::new(None) };
}

/// One changed key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    /// The component, `""` for the session's own keys.
    pub component: &'a str,
    /// The key.
    pub key: &'a str,
    /// The new value as JSON; `None`: the key is removed.
    pub value: Option<&'a [u8]>,
}

impl fmt::Debug for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.value.is_some() { "set" } else { "removed" };
        write!(f, "{:?}.{:?} {verb}", self.component, self.key)
    }
}

/// The changed keys of a session; `None` until a key changes.
#[derive(Clone, Default)]
pub(super) struct ChangedKeys(Option<Box<Buffers>>);

#[derive(Clone, Default)]
struct Buffers {
    /// Sorted by component and key, each pair once.
    spans: Vec<ChangeSpan>,
    names: String,
    /// The values as JSON, one after the other.
    values: Vec<u8>,
    /// The bytes of `names` and `values` that no span refers to.
    unused: usize,
}

/// The position of a changed key in the buffers.
#[derive(Clone)]
struct ChangeSpan {
    /// Component and key, one after the other.
    name: Range<usize>,
    component_bytes: usize,
    /// `None`: the key is removed.
    value: Option<Range<usize>>,
}

impl ChangedKeys {
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |buffers| buffers.spans.len())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Change<'_>> {
        self.0.iter().flat_map(|buffers| buffers.iter())
    }

    /// The new value of a key; `Some(None)` if the key was removed, `None` if it was not changed.
    pub(super) fn find(&self, component: &str, key: &str) -> Option<Option<&[u8]>> {
        let buffers = self.0.as_ref()?;
        let index = buffers.position(component, key).ok()?;
        Some(buffers.value(&buffers.spans[index]))
    }

    pub(super) fn insert<T: Serialize + ?Sized>(&mut self, component: &str, key: &str, value: &T) -> Result<()> {
        limits::check_name(component, key)?;
        let buffers = self.buffers();
        let start = buffers.values.len();
        let written = exact::write(key, value, &mut buffers.values);
        if let Err(error) = written.and_then(|()| limits::check_value(key, buffers.values.len() - start)) {
            buffers.values.truncate(start);
            return Err(error);
        }
        buffers.put(component, key, Some(start..buffers.values.len()));
        Ok(())
    }

    /// Sets a key to JSON that was checked before; with `None`, removes the key.
    pub(super) fn put_raw(&mut self, component: &str, key: &str, json: Option<&[u8]>) {
        let buffers = self.buffers();
        let start = buffers.values.len();
        buffers.values.extend_from_slice(json.unwrap_or_default());
        let value = json.map(|_| start..buffers.values.len());
        buffers.put(component, key, value);
    }

    pub(super) fn remove(&mut self, component: &str, key: &str) -> Result<()> {
        limits::check_name(component, key)?;
        self.buffers().put(component, key, None);
        Ok(())
    }

    /// Drops the changes of every key.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Drops the changes of a component's keys.
    pub(super) fn clear_component(&mut self, component: &str) {
        if let Some(buffers) = &mut self.0 {
            buffers.clear_component(component);
        }
    }

    fn buffers(&mut self) -> &mut Buffers {
        // While a thread ends, `BUFFERS` may already be destroyed.
        self.0.get_or_insert_with(|| BUFFERS.try_with(Cell::take).ok().flatten().unwrap_or_default())
    }
}

impl Drop for ChangedKeys {
    fn drop(&mut self) {
        if let Some(mut buffers) = self.0.take() {
            buffers.clear();
            let _ = BUFFERS.try_with(|cell| cell.set(Some(buffers)));
        }
    }
}

impl Buffers {
    fn iter(&self) -> impl Iterator<Item = Change<'_>> {
        self.spans.iter().map(|span| {
            let (component, key) = self.name(span);
            Change { component, key, value: self.value(span) }
        })
    }

    fn clear(&mut self) {
        let Self { spans, names, values, unused } = self;
        spans.clear();
        spans.shrink_to(MAX_BUFFERS.0);
        names.clear();
        names.shrink_to(MAX_BUFFERS.1);
        values.clear();
        values.shrink_to(MAX_BUFFERS.2);
        *unused = 0;
    }

    fn clear_component(&mut self, component: &str) {
        let Self { spans, names, unused, .. } = self;
        spans.retain(|span| {
            let is_kept = names[span.name.clone()][..span.component_bytes] != *component;
            if !is_kept {
                *unused += span.name.len() + span.value.as_ref().map_or(0, Range::len);
            }
            is_kept
        });
        self.compact();
    }

    fn put(&mut self, component: &str, key: &str, value: Option<Range<usize>>) {
        match self.position(component, key) {
            Ok(index) => {
                let before = std::mem::replace(&mut self.spans[index].value, value);
                self.unused += before.map_or(0, |value| value.len());
                self.compact();
            }
            Err(index) => {
                let span = self.push_name(component, key, value);
                self.spans.insert(index, span);
            }
        }
    }

    /// Appends a component and a key to `names`, and returns their span with this value.
    fn push_name(&mut self, component: &str, key: &str, value: Option<Range<usize>>) -> ChangeSpan {
        let start = self.names.len();
        self.names.push_str(component);
        self.names.push_str(key);
        ChangeSpan { name: start..self.names.len(), component_bytes: component.len(), value }
    }

    /// Compacts the buffers if most of their bytes are unused. So they do not grow if a request
    /// changes the same key again and again.
    fn compact(&mut self) {
        let used = self.names.len() + self.values.len() - self.unused;
        if self.unused <= MAX_UNUSED.max(used) {
            return;
        }
        let mut compacted = Self::default();
        for Change { component, key, value } in self.iter() {
            let start = compacted.values.len();
            compacted.values.extend_from_slice(value.unwrap_or_default());
            let value = value.map(|_| start..compacted.values.len());
            let span = compacted.push_name(component, key, value);
            compacted.spans.push(span);
        }
        *self = compacted;
    }

    fn position(&self, component: &str, key: &str) -> Result<usize, usize> {
        let name = [component.as_bytes(), key.as_bytes()];
        // The names are compared as bytes, because slicing a `str` checks its boundaries each time.
        self.spans.binary_search_by(|span| {
            let (component, key) = self.names.as_bytes()[span.name.clone()].split_at(span.component_bytes);
            order([component, key], name)
        })
    }

    fn name(&self, span: &ChangeSpan) -> (&str, &str) {
        self.names[span.name.clone()].split_at(span.component_bytes)
    }

    fn value(&self, span: &ChangeSpan) -> Option<&[u8]> {
        span.value.clone().map(|value| &self.values[value])
    }
}

impl PartialEq for ChangedKeys {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for ChangedKeys {}
