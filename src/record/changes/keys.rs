//! The changed keys in their order, with all names and all values in one buffer each.
//!
//! A change lives for one request, and each allocation costs as much as the rest of it: so a request makes three of them,
//! however many keys it changes.

use std::ops::Range;

use serde::Serialize;

use super::Change;
use crate::error::{Error, Result};
use crate::record::body;

/// What is reserved for the first key, so that most requests never need more: keys, bytes of their names, bytes of their values.
const ROOM: (usize, usize, usize) = (8, 64, 512);

/// So many bytes may be left over by keys that were changed again before anything is moved.
const MAX_UNUSED: usize = 4096;

#[derive(Clone, Default)]
pub(super) struct Keys {
    /// Sorted by component and key, each pair once.
    places: Vec<Place>,
    names: String,
    /// JSON.
    values: Vec<u8>,
    /// Bytes of both that no place leads to any more.
    unused: usize,
}

/// Where a changed key lies.
#[derive(Clone)]
struct Place {
    /// Component and key, one behind the other.
    name: Range<usize>,
    component_bytes: usize,
    /// `None`: the key is removed.
    value: Option<Range<usize>>,
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Change<'_>> {
        self.places.iter().map(|place| {
            let (component, key) = self.name(place);
            Change { component, key, value: self.value(place) }
        })
    }

    /// What was last done to a key: `None` if nothing, else its new value or `Some(None)` for "removed".
    pub(super) fn find(&self, component: &str, key: &str) -> Option<Option<&[u8]>> {
        let number = self.position(component, key).ok()?;
        Some(self.value(&self.places[number]))
    }

    pub(super) fn insert<T: Serialize + ?Sized>(&mut self, component: &str, key: &str, value: &T) -> Result<()> {
        body::check_name(component, key)?;
        let start = self.values.len();
        if start == 0 {
            self.values.reserve(ROOM.2);
        }
        let written = serde_json::to_writer(&mut self.values, value).map_err(|source| Error::write_value(key, source));
        if let Err(error) = written.and_then(|()| body::check_value(key, self.values.len() - start)) {
            self.values.truncate(start);
            return Err(error);
        }
        self.put(component, key, Some(start..self.values.len()));
        Ok(())
    }

    pub(super) fn remove(&mut self, component: &str, key: &str) -> Result<()> {
        body::check_name(component, key)?;
        self.put(component, key, None);
        Ok(())
    }

    /// Forgets what was done to any key.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Forgets what was done to the keys of a component.
    pub(super) fn clear_component(&mut self, component: &str) {
        let Self { places, names, unused, .. } = self;
        places.retain(|place| {
            let is_kept = names[place.name.clone()][..place.component_bytes] != *component;
            if !is_kept {
                *unused += place.name.len() + place.value.as_ref().map_or(0, Range::len);
            }
            is_kept
        });
        self.settle();
    }

    fn put(&mut self, component: &str, key: &str, value: Option<Range<usize>>) {
        match self.position(component, key) {
            Ok(number) => {
                let before = std::mem::replace(&mut self.places[number].value, value);
                self.unused += before.map_or(0, |value| value.len());
                self.settle();
            }
            Err(number) => {
                let place = self.named(component, key, value);
                self.places.insert(number, place);
            }
        }
    }

    /// A place with this name, which it writes down.
    fn named(&mut self, component: &str, key: &str, value: Option<Range<usize>>) -> Place {
        let start = self.names.len();
        if start == 0 {
            self.places.reserve(ROOM.0);
            self.names.reserve(ROOM.1);
        }
        self.names.push_str(component);
        self.names.push_str(key);
        Place { name: start..self.names.len(), component_bytes: component.len(), value }
    }

    /// Moves everything together once most of it is unused, so that a key may be changed any number of times.
    fn settle(&mut self) {
        let used = self.names.len() + self.values.len() - self.unused;
        if self.unused <= MAX_UNUSED.max(used) {
            return;
        }
        let mut settled = Self::default();
        for Change { component, key, value } in self.iter() {
            let start = settled.values.len();
            settled.values.extend_from_slice(value.unwrap_or_default());
            let value = value.map(|_| start..settled.values.len());
            let place = settled.named(component, key, value);
            settled.places.push(place);
        }
        *self = settled;
    }

    fn position(&self, component: &str, key: &str) -> Result<usize, usize> {
        let name = [component.as_bytes(), key.as_bytes()];
        // Of bytes, because a text is asked at each cut whether it may be cut there.
        self.places.binary_search_by(|place| {
            let (component, key) = self.names.as_bytes()[place.name.clone()].split_at(place.component_bytes);
            body::order([component, key], name)
        })
    }

    /// Component and key.
    fn name(&self, place: &Place) -> (&str, &str) {
        self.names[place.name.clone()].split_at(place.component_bytes)
    }

    fn value(&self, place: &Place) -> Option<&[u8]> {
        place.value.clone().map(|value| &self.values[value])
    }
}

impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Keys {}
