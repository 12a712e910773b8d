//! Records as JSON for people and other tools: `{"created_at": .., "timeout": .., "owner": .., "entries": {component: {key: value}}}`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::Record;
use super::body::{self, Entry, Head};

/// The public shape. Values are parsed, so it can be written in any format, not in JSON alone.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    /// Milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<u64>,
    /// Milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    entries: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let mut entries: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
        for (component, key, value) in self.entries() {
            let value = serde_json::from_str(value.get()).map_err(serde::ser::Error::custom)?;
            entries.entry(component.to_owned()).or_default().insert(key.to_owned(), value);
        }
        let since = |at: SystemTime| millis(at.duration_since(UNIX_EPOCH).unwrap_or_default());
        let created_at = self.created_at().map(since);
        let (timeout, owner) = (self.timeout().map(millis), self.owner().map(str::to_owned));
        Shape { created_at, timeout, owner, entries }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shape = Shape::deserialize(deserializer)?;
        shape.owner.as_deref().map_or(Ok(()), body::check_owner).map_err(D::Error::custom)?;
        let created_at = shape.created_at.and_then(|millis| UNIX_EPOCH.checked_add(Duration::from_millis(millis)));
        let head = Head::default().with_created_at(created_at).with_owner(shape.owner.as_deref());
        let head = head.with_timeout(shape.timeout.map(Duration::from_millis));
        let entries = shape
            .entries
            .iter()
            .flat_map(|(component, keys)| keys.iter().map(move |(key, value)| (component, key, value.to_string())));
        let entries: Vec<_> = entries.collect();
        let entries = entries.iter().map(|(component, key, value)| Entry { component, key, value: value.as_bytes() });
        let record = Self::written(&head, entries);
        body::check_limits(record.body()).map_err(D::Error::custom)?;
        Ok(record)
    }
}
