//! The changed keys in their order, with all names and all values in one buffer each.
//!
//! Changes live for one request, and each allocation costs as much as the rest of their work. So
//! the buffers stay with the thread for the next request.

use std::cell::Cell;
use std::ops::Range;

use serde::Serialize;

use super::Change;
use crate::error::Result;
use crate::record::{body, exact};

/// How many unused bytes, of keys that were changed again, stay before the buffers are compacted.
const MAX_UNUSED: usize = 4096;

/// The largest buffers that are kept for the next request: keys, bytes of names, bytes of values.
const MAX_KEPT: (usize, usize, usize) = (64, 4 * 1024, 16 * 1024);

thread_local! {
    /// The buffers of the thread's last request.
    static KEPT: Cell<Option<Box<Buffers>>> = const { Cell::new(None) };
}

/// `None` until there is a change.
#[derive(Clone, Default)]
pub(super) struct Keys(Option<Box<Buffers>>);

#[derive(Clone, Default)]
struct Buffers {
    /// Sorted by component and key, each pair once.
    places: Vec<Place>,
    names: String,
    /// JSON.
    values: Vec<u8>,
    /// Bytes of both that no place points to any more.
    unused: usize,
}

/// The position of a changed key in the buffers.
#[derive(Clone)]
struct Place {
    /// Component and key, one after the other.
    name: Range<usize>,
    component_bytes: usize,
    /// `None`: the key is removed.
    value: Option<Range<usize>>,
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |buffers| buffers.places.len())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Change<'_>> {
        self.0.iter().flat_map(|buffers| buffers.iter())
    }

    /// The last change of a key: `None` if there is none, else its new value or `Some(None)` for
    /// "removed".
    pub(super) fn find(&self, component: &str, key: &str) -> Option<Option<&[u8]>> {
        let buffers = self.0.as_ref()?;
        let number = buffers.position(component, key).ok()?;
        Some(buffers.value(&buffers.places[number]))
    }

    pub(super) fn insert<T: Serialize + ?Sized>(&mut self, component: &str, key: &str, value: &T) -> Result<()> {
        body::check_name(component, key)?;
        let buffers = self.buffers();
        let start = buffers.values.len();
        let written = exact::write(key, value, &mut buffers.values);
        if let Err(error) = written.and_then(|()| body::check_value(key, buffers.values.len() - start)) {
            buffers.values.truncate(start);
            return Err(error);
        }
        buffers.put(component, key, Some(start..buffers.values.len()));
        Ok(())
    }

    /// Sets a key to JSON that was checked before, or removes it.
    pub(super) fn put_raw(&mut self, component: &str, key: &str, json: Option<&[u8]>) {
        let buffers = self.buffers();
        let start = buffers.values.len();
        buffers.values.extend_from_slice(json.unwrap_or_default());
        let value = json.map(|_| start..buffers.values.len());
        buffers.put(component, key, value);
    }

    pub(super) fn remove(&mut self, component: &str, key: &str) -> Result<()> {
        body::check_name(component, key)?;
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
        // Thread-local buffers are gone while a thread ends.
        self.0.get_or_insert_with(|| KEPT.try_with(Cell::take).ok().flatten().unwrap_or_default())
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(mut buffers) = self.0.take() {
            buffers.clear();
            let _ = KEPT.try_with(|kept| kept.set(Some(buffers)));
        }
    }
}

impl Buffers {
    fn iter(&self) -> impl Iterator<Item = Change<'_>> {
        self.places.iter().map(|place| {
            let (component, key) = self.name(place);
            Change { component, key, value: self.value(place) }
        })
    }

    fn clear(&mut self) {
        let Self { places, names, values, unused } = self;
        places.clear();
        places.shrink_to(MAX_KEPT.0);
        names.clear();
        names.shrink_to(MAX_KEPT.1);
        values.clear();
        values.shrink_to(MAX_KEPT.2);
        *unused = 0;
    }

    /// Drops the changes of a component's keys.
    fn clear_component(&mut self, component: &str) {
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

    /// A place for this name, which it appends to the names.
    fn named(&mut self, component: &str, key: &str, value: Option<Range<usize>>) -> Place {
        let start = self.names.len();
        self.names.push_str(component);
        self.names.push_str(key);
        Place { name: start..self.names.len(), component_bytes: component.len(), value }
    }

    /// Compacts the buffers once most of their bytes are unused, so that a key may be changed any
    /// number of times.
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
        // As bytes, because slicing a `str` checks the boundaries each time.
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
        self.iter().eq(other.iter())
    }
}

impl Eq for Keys {}
