//! The session as the peers keep it: a map of JSON values, with a time at which it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coarsetime::Instant;
use serde_json::{Map, Value};

use crate::stores::HOUR;
use crate::work::Data;

/// A session's keys and values.
pub type Values = Map<String, Value>;

/// A session's values from what the application has.
pub fn build(data: &Data) -> Values {
    let mut map = Map::new();
    map.insert("user_id".into(), data.user_id.into());
    map.insert("csrf".into(), data.csrf.as_str().into());
    map.insert("cart".into(), serde_json::to_value(data.cart).expect("plain values"));
    map.insert("flash".into(), data.flash.as_str().into());
    map.insert("signed_in_at".into(), data.at.into());
    map.insert("seen_at".into(), data.at.into());
    map.insert("locale".into(), data.locale.into());
    map
}

/// Reads the two typed keys of a request.
pub fn read(map: &Values) -> u64 {
    let user = map["user_id"].as_u64().expect("a number");
    let csrf = map["csrf"].as_str().expect("a text");
    user + csrf.len() as u64
}

/// A copy with one key changed: what others hold stays as it is.
pub fn changed(map: &Values, at: u64) -> Values {
    let mut map = map.clone();
    change(&mut map, at);
    map
}

/// Changes the key.
pub fn change(map: &mut Values, at: u64) {
    *map.get_mut("seen_at").expect("every session has it") = at.into();
}

/// About how many bytes of JSON the map is: what a bound by size needs to know of every session that is stored.
pub fn estimate(map: &Values) -> u32 {
    fn of(value: &Value) -> usize {
        match value {
            Value::Null | Value::Bool(_) => 4,
            Value::Number(_) => 8,
            Value::String(text) => text.len() + 2,
            Value::Array(values) => values.iter().map(|one| of(one) + 1).sum(),
            Value::Object(map) => entries(map),
        }
    }
    fn entries(map: &Values) -> usize {
        map.iter().map(|(key, value)| key.len() + 4 + of(value)).sum()
    }
    u32::try_from(entries(map)).unwrap_or(u32::MAX)
}

/// Now, on the kernel's coarse clock.
pub fn now() -> u64 {
    Instant::now_without_cache_update().as_ticks()
}

/// The moment so far ahead.
pub fn ahead(ttl: Duration) -> u64 {
    now().saturating_add(coarsetime::Duration::from(ttl).as_ticks())
}

/// A session that may be shared: replaced as a whole when it is saved, prolonged where it lies.
#[derive(Debug)]
pub struct Entry {
    expires: AtomicU64,
    /// Its weight.
    pub bytes: u32,
    /// Its data.
    pub map: Values,
}

impl Entry {
    /// A session with its data and the time it has.
    pub fn new(map: Values, ttl: Duration) -> Self {
        Self { expires: AtomicU64::new(ahead(ttl)), bytes: estimate(&map), map }
    }

    /// The time it has left, if any.
    pub fn left(&self) -> Option<u64> {
        self.left_at(now())
    }

    /// The time it has left at a moment.
    pub fn left_at(&self, now: u64) -> Option<u64> {
        let expires = self.expires.load(Ordering::Relaxed);
        (expires > now).then(|| expires - now)
    }

    /// Prolongs it.
    pub fn touch(&self, ttl: Duration) {
        self.expires.store(ahead(ttl), Ordering::Relaxed);
    }
}

/// A request on a session that was found: reads two keys, then prolongs it, or puts a changed copy in its place. `None` if the session
/// is over, or was when the copy came.
pub fn cycle(entry: &Arc<Entry>, change: Option<u64>, replace: impl FnOnce(Arc<Entry>) -> bool) -> Option<u64> {
    entry.left()?;
    let read = read(&entry.map);
    match change {
        Some(at) => replace(Arc::new(Entry::new(changed(&entry.map, at), HOUR))).then_some(read),
        None => {
            entry.touch(HOUR);
            Some(read)
        }
    }
}
