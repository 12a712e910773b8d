//! The session as the peers keep it: a map of JSON values with a deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coarsetime::Instant;
use serde_json::{Map, Value};

use crate::sessions::{Data, HOUR};

/// A session's keys and values.
pub type Values = Map<String, Value>;

/// A session's values from the application's data.
pub fn build(data: &Data) -> Values {
    let mut map = Map::new();
    map.insert("user_id".into(), data.user_id.into());
    map.insert("csrf".into(), data.csrf.as_str().into());
    map.insert("cart".into(), serde_json::to_value(data.cart).expect("plain values"));
    map.insert("flash".into(), data.flash.into());
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

/// A copy with one key changed. Requests that hold the original keep their snapshot.
pub fn changed(map: &Values, at: u64) -> Values {
    let mut map = map.clone();
    *map.get_mut("seen_at").expect("every session has it") = at.into();
    map
}

/// About how many bytes of JSON the map is. A store that is bounded by size needs it for every
/// session that is stored.
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

/// Now, on the kernel's coarse clock, which lembro reads too.
pub fn now() -> u64 {
    Instant::now_without_cache_update().as_ticks()
}

fn deadline(ttl: Duration) -> u64 {
    now().saturating_add(coarsetime::Duration::from(ttl).as_ticks())
}

/// A session that requests share: a save replaces it as a whole, a touch changes its deadline.
#[derive(Debug)]
pub struct Entry {
    deadline: AtomicU64,
    /// Its size by [`estimate`].
    pub bytes: u32,
    /// Its data.
    pub values: Values,
}

impl Entry {
    /// A session with its data and its time to live.
    pub fn new(values: Values, ttl: Duration) -> Arc<Self> {
        Arc::new(Self { deadline: AtomicU64::new(deadline(ttl)), bytes: estimate(&values), values })
    }

    /// The ticks it has left at a moment; `None` if it has expired.
    pub fn left_at(&self, now: u64) -> Option<u64> {
        self.deadline.load(Ordering::Relaxed).checked_sub(now).filter(|left| *left > 0)
    }

    /// Prolongs it.
    pub fn touch(&self, ttl: Duration) {
        self.deadline.store(deadline(ttl), Ordering::Relaxed);
    }

    /// A request: reads two keys, then puts a changed copy in its place or prolongs it. `None` if
    /// the session has expired, or if `replace` says that it is no longer there.
    pub fn request(&self, change: Option<u64>, replace: impl FnOnce(Arc<Self>) -> bool) -> Option<u64> {
        self.left_at(now())?;
        let read = read(&self.values);
        match change {
            Some(at) => replace(Self::new(changed(&self.values, at), HOUR)).then_some(read),
            None => {
                self.touch(HOUR);
                Some(read)
            }
        }
    }
}
