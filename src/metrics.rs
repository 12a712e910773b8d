//! The publication of a store's figures, for Prometheus or another recorder of the [`metrics`]
//! facade.
//!
//! One line publishes them every five seconds, as long as the store lives:
//!
//! ```
//! use lembro::{LembroStore, metrics::Metrics};
//!
//! let store = LembroStore::new()?;
//! Metrics::of(&store).publish_every("5s")?;
//! # Ok::<(), lembro::Error>(())
//! ```
//!
//! Requests pay nothing for it, because the store keeps its counters even without metrics. A
//! publication reads the counters under each shard's read lock, and then calls the recorder under
//! no lock.
//!
//! # What is published
//!
//! | name | type | unit | what it is |
//! |---|---|---|---|
//! | `lembro_sessions` | gauge | sessions | in memory, including expired ones that are not purged yet |
//! | `lembro_owned_sessions` | gauge | sessions | with an owner: those of users who are logged in |
//! | `lembro_bytes` | gauge | bytes | memory of the sessions, which `max_size` limits |
//! | `lembro_owned_bytes` | gauge | bytes | memory of the sessions with an owner |
//! | `lembro_max_bytes` | gauge | bytes | `max_size`, the limit of `lembro_bytes` |
//! | `lembro_hits_total` | counter | looks | looks that found a session |
//! | `lembro_misses_total` | counter | looks | looks that found no session, because it had expired or ended, or the id was a guess |
//! | `lembro_superseded_ids_total` | counter | looks | looks with a superseded id that came too late to be from a request in flight |
//! | `lembro_created_total` | counter | sessions | sessions created |
//! | `lembro_saved_total` | counter | commits | commits merged into a stored session |
//! | `lembro_touched_total` | counter | touches | visits and touches that prolonged a session |
//! | `lembro_destroyed_total` | counter | sessions | sessions destroyed |
//! | `lembro_expired_total` | counter | sessions | sessions removed because they had expired |
//! | `lembro_evictions_total` | counter | sessions | sessions removed to free memory, with an owner (`owned="true"`) or without (`owned="false"`) |
//! | `lembro_turned_away_total` | counter | sessions | sessions without an owner that were refused because the store was full |
//! | `lembro_refused_total` | counter | sessions | sessions refused because they were larger than `max_session_size` |
//! | `lembro_events_missed_total` | counter | messages | events and errors that did not fit into a subscriber's queue |
//! | `lembro_purge_seconds` | histogram | seconds | how long each purge of expired sessions took; its count is the number of purges |
//! | `lembro_last_purge_timestamp_seconds` | gauge | Unix time | when the last purge ended; absent before the first |
//! | `lembro_last_snapshot_timestamp_seconds` | gauge | Unix time | when the last compaction of the files began; absent before the first |
//!
//! If the store has a [name](Metrics::name), every figure has the name in the label `store`. These
//! queries answer common questions:
//!
//! | question | query |
//! |---|---|
//! | how full is it? | `lembro_bytes / lembro_max_bytes` |
//! | do visitors find their sessions? | `rate(lembro_hits_total[5m]) / (rate(lembro_hits_total[5m]) + rate(lembro_misses_total[5m]))` |
//! | does lack of memory log users out? | `increase(lembro_evictions_total{owned="true"}[1h]) > 0` |
//! | are stolen ids tried? | `increase(lembro_superseded_ids_total[10m])` |
//! | does the reaper still run? | `time() - lembro_last_purge_timestamp_seconds`, against [`interval`](crate::LembroOptions::interval) |
//!
//! # With Prometheus
//!
//! `metrics-exporter-prometheus` is a recorder, and has a listener of its own. An application that
//! has a server can use a route instead. The route in this example publishes at each scrape, so the
//! figures are current:
//!
//! ```
//! use std::io::Read as _;
//! use lembro::{LembroStore, metrics::{Metrics, PURGE_SECONDS}};
//! use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
//! # type Anything = Box<dyn std::error::Error>;
//!
//! // Without buckets the exporter makes quantiles, which cannot be added up over several processes.
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
//! # What is not published
//!
//! The figures of a `RedisStore` are not published, because the exporter of its server has them.
//! Errors are not counted either. For every store, they arrive on
//! [`Sessions::errors`](crate::Sessions::errors).

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::metrics::{Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use crossbeam_channel::{Receiver, select, tick};

use crate::error::{Error, Result};
use crate::memory::{LembroStore, Purge, Stats, StatsHandle};
use crate::sync::thread;
use crate::units::{Input, Setting};

/// The upper bounds of buckets for `lembro_purge_seconds`: from 0.1 ms, for a small store, to 1 s,
/// which no healthy store reaches.
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

/// Name, labels, description, value. Rows with the same name have different labels.
type Counter = (&'static str, &'static [(&'static str, &'static str)], &'static str, fn(&Stats) -> u64);

const EVICTIONS: (&str, &str) = ("lembro_evictions_total", "Sessions removed to free memory.");

const COUNTERS: [Counter; 13] = [
    ("lembro_hits_total", &[], "Lookups that found their session.", |stats| stats.hits),
    ("lembro_misses_total", &[], "Lookups that did not find a session.", |stats| stats.misses),
    ("lembro_superseded_ids_total", &[], "Late uses of superseded ids.", |stats| stats.superseded),
    ("lembro_created_total", &[], "Sessions stored for the first time.", |stats| stats.created),
    ("lembro_saved_total", &[], "Saves merged into a session.", |stats| stats.saved),
    ("lembro_touched_total", &[], "Touches that prolonged a session.", |stats| stats.touched),
    ("lembro_destroyed_total", &[], "Sessions ended on request.", |stats| stats.destroyed),
    ("lembro_expired_total", &[], "Sessions removed because their time ran out.", |stats| stats.expired),
    (EVICTIONS.0, &[("owned", "true")], EVICTIONS.1, |stats| stats.evicted_owned),
    // The two counters are not read at the same instant, so the difference could be negative.
    (EVICTIONS.0, &[("owned", "false")], EVICTIONS.1, |stats| stats.evicted.saturating_sub(stats.evicted_owned)),
    ("lembro_turned_away_total", &[], "Sessions without an owner refused because the store was full.", |stats| {
        stats.turned_away
    }),
    ("lembro_refused_total", &[], "Sessions refused because they were too large.", |stats| stats.refused),
    ("lembro_events_missed_total", &[], "Messages that did not fit into a queue.", |stats| stats.events_missed),
];

/// Publishes the figures of one [`LembroStore`], without keeping it alive. The [module](self) has
/// the list of figures.
///
/// The application may install its recorder before or after it makes this value. Without a
/// recorder, a publication costs next to nothing.
#[must_use]
pub struct Metrics {
    watch: StatsHandle,
    name: Option<String>,
}

impl Metrics {
    /// Prepares the figures of this store. Counters include everything since the store was made,
    /// but the histogram of purges begins now.
    pub fn of(store: &LembroStore) -> Self {
        Self { watch: store.stats_handle(), name: None }
    }

    /// Gives every figure the label `store` with this value. Use it if the process has several
    /// stores, because a recorder treats figures with the same name and labels as one. Default: no
    /// such label.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Publishes the present figures once, for a program that knows when they are needed, for
    /// example at a scrape.
    ///
    /// The recorder is called on the calling thread. If there are more than 1,024 purges between
    /// two publications, only the first 1,024 are in the histogram.
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
            // The absolute value, so that a recorder that was installed late has the whole count.
            counter!(name, self.labels(labels)).absolute(value(&stats));
        }
    }

    /// Publishes now, and then at this interval from a background thread, which ends when the store
    /// is dropped. The interval is a [`Duration`], a text such as `"5s"`, or a number of
    /// milliseconds. Each purge is published when it ends.
    ///
    /// Use a shorter interval than that of the scrapes, which is a minute by default and seldom
    /// below 15 s. A good value is 5 s. If the recorder panics, the store reports it on
    /// [`errors`](LembroStore::errors), and the recorder is called again the next time.
    /// Install the recorder first, because purges before its installation are missing from the
    /// histogram.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`] if the interval is zero or is not a duration, [`Error::is_background`]
    /// if the thread does not start.
    pub fn publish_every(self, interval: impl Into<Setting>) -> Result<()> {
        let interval = Input::<Duration>::from(interval.into()).check("publish_every", Duration::ZERO)?;
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
                    // The store was dropped.
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
