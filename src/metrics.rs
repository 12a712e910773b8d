//! A store's figures for Prometheus, or for another recorder of the [`metrics`] facade.
//!
//! One line publishes them every five seconds, for as long as the store lives:
//!
//! ```
//! use lembro::{LembroStore, metrics::Metrics};
//!
//! let store = LembroStore::new()?;
//! Metrics::of(&store).publish_every("5s")?;
//! # Ok::<(), lembro::Error>(())
//! ```
//!
//! Requests pay nothing for it: the store counts anyway, and its counters are copied out when
//! figures are published, under each shard's read lock for the time of a few additions. The
//! recorder runs after that, under no lock.
//!
//! # What is published
//!
//! | name | type | unit | what it is |
//! |---|---|---|---|
//! | `lembro_sessions` | gauge | sessions | in memory, expired ones that were not purged yet among them |
//! | `lembro_owned_sessions` | gauge | sessions | those of them with an owner: somebody is logged in |
//! | `lembro_bytes` | gauge | bytes | what the sessions take, as they count for `max_size` |
//! | `lembro_owned_bytes` | gauge | bytes | what those with an owner take |
//! | `lembro_max_bytes` | gauge | bytes | `max_size`: the bound of `lembro_bytes` |
//! | `lembro_hits_total` | counter | lookups | that found their session |
//! | `lembro_misses_total` | counter | lookups | that did not: expired, destroyed, or a guess |
//! | `lembro_superseded_ids_total` | counter | uses | of an id whose place another one took, later than a request in flight could |
//! | `lembro_created_total` | counter | sessions | stored for the first time |
//! | `lembro_saved_total` | counter | saves | merged into a session |
//! | `lembro_touched_total` | counter | touches | that prolonged a session |
//! | `lembro_destroyed_total` | counter | sessions | ended because somebody asked for it |
//! | `lembro_expired_total` | counter | sessions | removed because their time ran out |
//! | `lembro_evictions_total` | counter | sessions | removed to free memory; `owned="true"`: somebody was logged in, `owned="false"`: nobody |
//! | `lembro_turned_away_total` | counter | sessions | refused because the store was full |
//! | `lembro_refused_total` | counter | sessions | refused because they were larger than `max_session_size` |
//! | `lembro_events_missed_total` | counter | messages | events and errors that did not fit into a subscriber's queue |
//! | `lembro_purge_seconds` | histogram | seconds | how long each purge of expired sessions took; its count is the number of purges |
//! | `lembro_last_purge_timestamp_seconds` | gauge | Unix time | when the last purge ended; from the first one on |
//! | `lembro_last_snapshot_timestamp_seconds` | gauge | Unix time | when the last compaction of the files began; from the first one on |
//!
//! A store with a [name](Metrics::name) has it in the label `store` of each. What to look at:
//!
//! | question | query |
//! |---|---|
//! | how full is it? | `lembro_bytes / lembro_max_bytes` |
//! | do visitors find their sessions? | `rate(lembro_hits_total[5m]) / (rate(lembro_hits_total[5m]) + rate(lembro_misses_total[5m]))` |
//! | is somebody logged out for want of memory? | `increase(lembro_evictions_total{owned="true"}[1h]) > 0` |
//! | are stolen ids tried? | `increase(lembro_superseded_ids_total[10m])` |
//! | does the reaper still run? | `time() - lembro_last_purge_timestamp_seconds`, against [`interval`](crate::LembroOptions::interval) |
//!
//! # With Prometheus
//!
//! `metrics-exporter-prometheus` is the recorder, and has a listener of its own. Where there is a
//! server anyway, a route of it does: this one publishes when it is scraped, so the figures are
//! those of that moment.
//!
//! ```
//! use std::io::Read as _;
//! use lembro::{LembroStore, metrics::{Metrics, PURGE_SECONDS}};
//! use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
//! # type Anything = Box<dyn std::error::Error>;
//!
//! // Without buckets the exporter would make quantiles of it, which cannot be added up over several processes.
//! let purges = Matcher::Full("lembro_purge_seconds".to_owned());
//! let prometheus = PrometheusBuilder::new().set_buckets_for_metric(purges, &PURGE_SECONDS)?.install_recorder()?;
//!
//! let store = LembroStore::new()?;
//! let metrics = Metrics::of(&store).name("shop");
//!
//! // What the handler of GET /metrics answers, as "text/plain; version=0.0.4":
//! metrics.publish();
//! let text = prometheus.render();
//! assert!(text.contains(r#"lembro_max_bytes{store="shop"} 1048576"#));
//! # Ok::<(), Anything>(())
//! ```
//!
//! # What is not
//!
//! Figures about a `RedisStore`: its server's exporter has those. When it fails, or any other
//! store, [`Sessions::errors`](crate::Sessions::errors) tells, and what is counted there is the
//! application's to name.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{SystemTime, UNIX_EPOCH};

use ::metrics::{Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use crossbeam_channel::{Receiver, select, tick};

use crate::error::{Error, Result};
use crate::memory::{LembroStore, Purge, Stats, StatsHandle};
use crate::sync::thread;
use crate::units::Setting;

/// Buckets for `lembro_purge_seconds`, as upper bounds: from 0.1 ms, a small store, to 1 s, where
/// something is wrong.
pub const PURGE_SECONDS: [f64; 9] = [0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0];

const PURGES: &str = "lembro_purge_seconds";

type Gauge = (&'static str, Unit, &'static str, fn(&Stats) -> Option<f64>);

const GAUGES: [Gauge; 7] = [
    ("lembro_sessions", Unit::Count, "Sessions in memory.", |stats| whole(stats.sessions)),
    ("lembro_owned_sessions", Unit::Count, "Sessions with an owner.", |stats| whole(stats.owned_sessions)),
    ("lembro_bytes", Unit::Bytes, "Bytes that sessions take.", |stats| whole(stats.bytes)),
    ("lembro_owned_bytes", Unit::Bytes, "Bytes that sessions with an owner take.", |stats| whole(stats.owned_bytes)),
    ("lembro_max_bytes", Unit::Bytes, "The most bytes that sessions may take.", |stats| whole(stats.max_size)),
    ("lembro_last_purge_timestamp_seconds", Unit::Seconds, "When the last purge ended.", |stats| {
        stats.last_purge.map(|purge| unix(purge.at))
    }),
    (
        "lembro_last_snapshot_timestamp_seconds",
        Unit::Seconds,
        "When the last compaction of the files began.",
        |stats| stats.last_snapshot.map(|snapshot| unix(snapshot.at)),
    ),
];

/// Name, labels, description, value. Rows of one name differ in their labels alone.
type Counter = (&'static str, &'static [(&'static str, &'static str)], &'static str, fn(&Stats) -> u64);

const EVICTIONS: (&str, &str) = ("lembro_evictions_total", "Sessions removed to free memory.");

const COUNTERS: [Counter; 13] = [
    ("lembro_hits_total", &[], "Lookups that found their session.", |stats| stats.hits),
    ("lembro_misses_total", &[], "Lookups that did not find a session.", |stats| stats.misses),
    ("lembro_superseded_ids_total", &[], "Late uses of ids that others took the place of.", |stats| stats.superseded),
    ("lembro_created_total", &[], "Sessions stored for the first time.", |stats| stats.created),
    ("lembro_saved_total", &[], "Saves merged into a session.", |stats| stats.saved),
    ("lembro_touched_total", &[], "Touches that prolonged a session.", |stats| stats.touched),
    ("lembro_destroyed_total", &[], "Sessions ended because somebody asked for it.", |stats| stats.destroyed),
    ("lembro_expired_total", &[], "Sessions removed because their time ran out.", |stats| stats.expired),
    (EVICTIONS.0, &[("owned", "true")], EVICTIONS.1, |stats| stats.evicted_owned),
    // The two are not read at one instant.
    (EVICTIONS.0, &[("owned", "false")], EVICTIONS.1, |stats| stats.evicted.saturating_sub(stats.evicted_owned)),
    ("lembro_turned_away_total", &[], "Sessions without an owner refused because the store was full.", |stats| {
        stats.turned_away
    }),
    ("lembro_refused_total", &[], "Sessions refused because they were too large.", |stats| stats.refused),
    ("lembro_events_missed_total", &[], "Messages that did not fit into a queue.", |stats| stats.events_missed),
];

/// Publishes the figures of one [`LembroStore`], without keeping it alive: when it is gone nothing
/// more is published.
///
/// To whichever recorder the application installed, before or after. Without one it costs next to
/// nothing. The [module](self) has the list of figures.
#[must_use]
pub struct Metrics {
    watch: StatsHandle,
    name: Option<String>,
}

impl Metrics {
    /// For the figures of this store. Its counters are published from their beginning, its purges
    /// from now on.
    pub fn of(store: &LembroStore) -> Self {
        Self { watch: store.stats_handle(), name: None }
    }

    /// Gives every figure the label `store` with this value. Needed as soon as there is a second
    /// store: figures that have the same name and labels are the same to a recorder. Default: no
    /// such label.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Publishes the figures of this moment, for a program that knows when they are read: at a
    /// scrape, say.
    ///
    /// The recorder is called on this thread. At most 1,024 purges wait for it; more of them
    /// between two publications are missing from the histogram.
    pub fn publish(&self) {
        self.watch.purges.try_iter().for_each(|purge| self.record(&purge));
        let Some(stats) = self.watch.stats() else { return };
        for (name, unit, description, value) in GAUGES {
            if let Some(value) = value(&stats) {
                describe_gauge!(name, unit, description);
                gauge!(name, self.labels(&[])).set(value);
            }
        }
        for (name, labels, description, value) in COUNTERS {
            describe_counter!(name, Unit::Count, description);
            // Not the difference to the last time: so nothing is lost that was published before a
            // recorder was there.
            counter!(name, self.labels(labels)).absolute(value(&stats));
        }
    }

    /// Publishes now and then at this interval, from a thread of its own that ends with the store:
    /// a [`Duration`](std::time::Duration), a number of milliseconds, or a text such as `"5s"`.
    /// Purges are told when they happen.
    ///
    /// Shorter than the interval of the scrapes, which is a minute by default and seldom below 15
    /// s; 5 s is a good value. A recorder that panics is reported on
    /// [`errors`](LembroStore::errors), and called again the next time. Install it before this:
    /// a purge before there is a recorder is missing from the histogram, while counters catch up.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`] when the interval is zero or no duration, [`Error::is_background`] when the thread does not
    /// start.
    pub fn publish_every(self, interval: impl Into<Setting>) -> Result<()> {
        let interval = interval.into().duration("publish_every")?;
        if interval.is_zero() {
            return Err(Error::option("publish_every", "without any time in between there is nothing else to do"));
        }
        self.publish();
        let ticks = tick(interval);
        let thread = thread::Builder::new().name("lembro-metrics".to_owned());
        let started = thread.spawn(move || self.run(&ticks));
        started.map(drop).map_err(|error| Error::background(format!("the thread for metrics did not start: {error}")))
    }

    fn run<T>(&self, ticks: &Receiver<T>) {
        loop {
            let purged = select! {
                recv(self.watch.purges) -> purge => match purge {
                    Ok(purge) => Some(purge),
                    // The store is gone.
                    Err(_) => return,
                },
                recv(ticks) -> _ => None,
            };
            let told = catch_unwind(AssertUnwindSafe(|| match purged {
                Some(purge) => self.record(&purge),
                None => self.publish(),
            }));
            if told.is_err() {
                self.watch.report(&Error::background("the recorder of metrics panicked"));
            }
        }
    }

    fn record(&self, purge: &Purge) {
        describe_histogram!(PURGES, Unit::Seconds, "How long a purge of expired sessions took.");
        histogram!(PURGES, self.labels(&[])).record(purge.took.as_secs_f64());
    }

    fn labels(&self, own: &[(&'static str, &'static str)]) -> Vec<Label> {
        let store = self.name.iter().map(|name| Label::new("store", name.clone()));
        store.chain(own.iter().map(|(key, value)| Label::from_static_parts(key, value))).collect()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("name", &self.name).finish_non_exhaustive()
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::unnecessary_wraps,
    reason = "exact up to 2^53; the table has room for none"
)]
fn whole(number: usize) -> Option<f64> {
    Some(number as f64)
}

fn unix(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
