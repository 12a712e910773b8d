//! Records as JSON for people and other tools:
//! `{"created_at": .., "timeout": .., "owner": .., "entries": {component: {key: value}}}`.

mod value;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use self::value::Json;
use super::body::{self, Entry, Head, Owned};
use super::{Record, Version};

/// The public shape. Instants are milliseconds since 1970; the timeout is milliseconds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner_since: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id_since: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    remembered: bool,
    entries: BTreeMap<Cow<'a, str>, BTreeMap<Cow<'a, str>, Json<'a>>>,
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entries: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (component, key, value) in self.entries() {
            entries.entry(component.into()).or_default().insert(key.into(), Json(Cow::Borrowed(value)));
        }
        let head = self.head();
        let shape = Shape {
            created_at: Some(head.created_ms).filter(|millis| *millis > 0),
            timeout: head.timeout_ms,
            owner: head.owner.map(|owner| owner.by.to_owned()),
            owner_since: head.owner.map(|owner| owner.since_ms),
            id_since: head.id_since_ms,
            label: head.label.map(str::to_owned),
            remembered: head.remembered,
            entries,
        };
        shape.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shape = Shape::deserialize(deserializer)?;
        let (owner, label) = (shape.owner.as_deref(), shape.label.as_deref());
        owner.map_or(Ok(()), body::check_owner).map_err(D::Error::custom)?;
        label.map_or(Ok(()), body::check_label).map_err(D::Error::custom)?;
        let since_ms = shape.owner_since.or(shape.created_at).unwrap_or(0);
        let head = Head {
            created_ms: shape.created_at.unwrap_or(0),
            timeout_ms: shape.timeout,
            owner: owner.map(|by| Owned { by, since_ms }),
            id_since_ms: shape.id_since,
            label,
            remembered: shape.remembered,
            csrf: None,
        };
        let entries = shape.entries.iter().flat_map(|(component, keys)| {
            keys.iter().map(move |(key, value)| Entry { component, key, value: value.0.get().as_bytes() })
        });
        let record = Self::written(&head, Version::default(), entries);
        body::check_limits(record.body()).map_err(D::Error::custom)?;
        Ok(record)
    }
}
