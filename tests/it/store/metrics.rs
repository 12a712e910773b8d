//! Metrics as Prometheus gets them: a real exporter behind a real socket.

#![cfg(feature = "metrics")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ::metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, with_local_recorder};
use lembro::metrics::{Metrics, PURGE_SECONDS};
use lembro::{Clock, Lease, LembroOptions, LembroStore, Record, SessionId, Store, WhenFull};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::support::scratch::Folder;
use crate::support::steps::{create, create_for, log_in, renewed, replace, touch};

const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(20);

fn exporter() -> PrometheusRecorder {
    let purges = Matcher::Full("lembro_purge_seconds".to_owned());
    PrometheusBuilder::new().set_buckets_for_metric(purges, &PURGE_SECONDS).unwrap().build_recorder()
}

/// The result of a scrape: the type of each family and the value of each series.
#[derive(Debug, Default)]
struct Scrape {
    types: BTreeMap<String, String>,
    helps: BTreeSet<String>,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    /// Scrapes over a socket, as Prometheus does.
    fn of(exporter: &PrometheusHandle) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        let exporter = exporter.clone();
        let serving = thread::spawn(move || {
            let mut client = BufReader::new(listener.accept().unwrap().0);
            // The whole head is read, because closing a connection with unread bytes resets it.
            let head: Vec<_> =
                client.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            assert_eq!(head[0], "GET /metrics HTTP/1.1");
            let (page, kind) = (exporter.render(), "Content-Type: text/plain; version=0.0.4\r\nConnection: close");
            let head = format!("HTTP/1.1 200 OK\r\n{kind}\r\nContent-Length: {}\r\n\r\n", page.len());
            client.get_mut().write_all(&[head, page].concat().into_bytes()).unwrap();
        });
        let text = ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap();
        serving.join().unwrap();
        Self::read(&text)
    }

    /// Reads the exposition format 0.0.4, and panics at anything else.
    fn read(text: &str) -> Self {
        let mut scrape = Self::default();
        assert!(text.ends_with('\n'), "the last line has no end");
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, _) = help.split_once(' ').unwrap();
                assert!(scrape.helps.insert(name.to_owned()), "a second help: {line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(scrape.types.insert(name.to_owned(), kind.to_owned()).is_none(), "a second type: {line}");
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let name = series.split('{').next().unwrap();
                assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte)), "{line}");
                assert!(scrape.types.contains_key(&family(name)), "a series without a type: {line}");
                let value = value.parse().unwrap();
                assert!(scrape.series.insert(series.to_owned(), value).is_none(), "twice: {line}");
            }
        }
        scrape
    }

    #[track_caller]
    fn value(&self, series: &str) -> f64 {
        *self.series.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", self.series))
    }

    #[track_caller]
    fn is(&self, expected: &[(&str, f64)]) {
        for (series, value) in expected {
            let found = self.value(series);
            assert!((found - value).abs() < 1e-9, "{series} is {found}, not {value}");
        }
    }
}

/// The name of the family: the lines of a histogram have endings.
fn family(name: &str) -> String {
    let endings = ["_bucket", "_sum", "_count"];
    let bare = endings.iter().find_map(|end| name.strip_suffix(end)).filter(|bare| *bare == "lembro_purge_seconds");
    bare.unwrap_or(name).to_owned()
}

fn record(bytes: usize) -> Record {
    [("key", "x".repeat(bytes))].into_iter().collect()
}

fn add(store: &LembroStore) -> SessionId {
    let id = SessionId::random().unwrap();
    assert!(create(store, &id, &record(10), HOUR).unwrap().is_done());
    id
}

/// A store that has done some of everything under a manual clock, and its expected figures.
fn busy() -> (LembroStore, Vec<(&'static str, f64)>) {
    let time = Clock::manual();
    let options = LembroOptions::new().interval(0).max_session_size(400).clock(&time);
    let store = LembroStore::with_options(options).unwrap();
    let metrics = [add(&store), add(&store), add(&store), add(&store), add(&store)];
    let [one, two, three, four, five] = &metrics;
    assert!(log_in(&store, one, &renewed(one), "ada", &Lease::new(2 * HOUR)).unwrap().is_done());
    for id in [two, three] {
        assert!(touch(&store, id, HOUR / 2).unwrap().is_done());
    }
    assert!(store.destroy(four).unwrap().is_done());
    assert!(store.get(four).unwrap().is_none());
    // A superseded id, later than a request in flight could send it; and a guess.
    let lease = Lease { grace: Duration::ZERO, ..Lease::new(HOUR) };
    assert!(replace(&store, five, &renewed(five), &lease).unwrap().is_done());
    assert!(store.get(five).unwrap().is_none() && store.get(&renewed(five)).unwrap().is_none());
    assert!(store.set(&SessionId::random().unwrap(), record(500), HOUR).unwrap_err().is_size());
    time.advance(HOUR / 2);
    let stats = store.stats();
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let (bytes, owned_bytes) = (stats.bytes as f64, stats.owned_bytes as f64);
    assert!(owned_bytes > 100.0 && bytes > 2.0 * owned_bytes, "{stats:?}");
    let expected = vec![
        ("lembro_sessions", 4.0),
        ("lembro_owned_sessions", 1.0),
        ("lembro_bytes", bytes),
        ("lembro_owned_bytes", owned_bytes),
        ("lembro_max_bytes", 1_048_576.0),
        // The reads of the versions before the two commits.
        ("lembro_hits_total", 2.0),
        ("lembro_misses_total", 3.0),
        ("lembro_superseded_ids_total", 1.0),
        ("lembro_created_total", 5.0),
        ("lembro_saved_total", 2.0),
        ("lembro_touched_total", 2.0),
        ("lembro_destroyed_total", 1.0),
        ("lembro_expired_total", 0.0),
        (r#"lembro_evictions_total{owned="true"}"#, 0.0),
        (r#"lembro_evictions_total{owned="false"}"#, 0.0),
        ("lembro_turned_away_total", 0.0),
        ("lembro_refused_total", 1.0),
        ("lembro_events_missed_total", 0.0),
    ];
    (store, expected)
}

#[test]
fn scrape_has_counters_and_purges() {
    let (store, expected) = busy();
    let (recorder, metrics) = (exporter(), Metrics::of(&store));
    let scrape = |recorder: &PrometheusRecorder| {
        with_local_recorder(recorder, || metrics.publish());
        Scrape::of(&recorder.handle())
    };
    let first = scrape(&recorder);
    first.is(&expected);
    assert!(!first.series.keys().any(|series| series.contains("_purge_")), "no purge yet: {first:#?}");

    assert_eq!((store.purge(), store.purge()), (2, 0));
    let second = scrape(&recorder);
    second.is(&[("lembro_sessions", 2.0), ("lembro_expired_total", 2.0), ("lembro_touched_total", 2.0)]);
    second.is(&[("lembro_purge_seconds_count", 2.0), (r#"lembro_purge_seconds_bucket{le="+Inf"}"#, 2.0)]);
    assert!(second.value("lembro_purge_seconds_sum") > 0.0);
    // The manual clock began in September 2001.
    second.is(&[("lembro_last_purge_timestamp_seconds", 1_000_001_800.0)]);

    // A purge is published once.
    let third = scrape(&recorder);
    assert_eq!(second.series, third.series);
}

#[test]
fn metrics_are_the_documented_ones() {
    let (time, folder) = (Clock::manual(), Folder::new());
    time.advance(HOUR / 2);
    let options = LembroOptions::new().interval(0).clock(&time).persist(folder.join("sessions"));
    let store = LembroStore::with_options(options).unwrap();
    let metrics = Metrics::of(&store);
    store.purge();
    let recorder = exporter();
    with_local_recorder(&recorder, || metrics.publish());
    let scrape = Scrape::of(&recorder.handle());

    let source = include_str!("../../../src/metrics.rs");
    let documented: BTreeMap<_, _> = source
        .lines()
        .filter_map(|line| {
            let mut columns = line.strip_prefix("//! | `lembro_")?.split('|');
            let name = format!("lembro_{}", columns.next()?.trim().trim_end_matches('`'));
            let kind = columns.next()?.trim().to_owned();
            Some((name, kind))
        })
        .collect();
    assert_eq!(documented.len(), 20);
    assert_eq!(scrape.types, documented);
    assert_eq!(scrape.helps.len(), documented.len(), "{:?}", scrape.helps);
    scrape.is(&[("lembro_last_snapshot_timestamp_seconds", 1_000_001_800.0)]);
}

#[test]
fn evictions_and_refusals_are_counted() {
    let store = LembroStore::with_options(LembroOptions::new().interval(0).max_size("64K")).unwrap();
    for number in 0..500 {
        let (id, owner) = (SessionId::random().unwrap(), (number % 2 == 0).then_some("ada"));
        assert!(create_for(&store, &id, &record(100), owner, HOUR).unwrap().is_done());
    }
    let stats = store.stats();
    assert!(stats.evicted_owned > 0 && stats.evicted > stats.evicted_owned, "{stats:?}");
    let recorder = exporter();
    with_local_recorder(&recorder, || Metrics::of(&store).publish());
    #[expect(clippy::cast_precision_loss, reason = "small")]
    Scrape::of(&recorder.handle()).is(&[
        (r#"lembro_evictions_total{owned="true"}"#, stats.evicted_owned as f64),
        (r#"lembro_evictions_total{owned="false"}"#, (stats.evicted - stats.evicted_owned) as f64),
    ]);

    let options = LembroOptions::new().interval(0).max_size("64K").when_full(WhenFull::RefuseAnonymous);
    let full = LembroStore::with_options(options).unwrap();
    while create(&full, &SessionId::random().unwrap(), &record(100), HOUR).is_ok() {}
    let recorder = exporter();
    with_local_recorder(&recorder, || Metrics::of(&full).publish());
    Scrape::of(&recorder.handle()).is(&[("lembro_turned_away_total", 1.0)]);
}

#[test]
fn named_stores_have_their_own_series() {
    let (one, two) = (LembroStore::new().unwrap(), LembroStore::new().unwrap());
    let (first, second) = (Metrics::of(&one).name("shop"), Metrics::of(&two).name(r#"the "office""#));
    add(&one);
    add(&two);
    add(&two);
    two.purge();
    let recorder = exporter();
    with_local_recorder(&recorder, || [&first, &second].map(Metrics::publish));
    let scrape = Scrape::of(&recorder.handle());
    scrape.is(&[
        (r#"lembro_sessions{store="shop"}"#, 1.0),
        (r#"lembro_sessions{store="the \"office\""}"#, 2.0),
        (r#"lembro_evictions_total{store="shop",owned="true"}"#, 0.0),
        (r#"lembro_purge_seconds_count{store="the \"office\""}"#, 1.0),
    ]);
    assert!(!scrape.series.contains_key("lembro_sessions"), "{scrape:#?}");
}

#[test]
fn counters_never_decrease() {
    let store = LembroStore::with_options(LembroOptions::new().interval(0).max_size("256K")).unwrap();
    let (recorder, metrics) = (exporter(), Metrics::of(&store));
    let over = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while over.load(Ordering::Relaxed) == 0 {
                    let id = add(&store);
                    assert!(store.get(&id).is_ok() && store.destroy(&SessionId::random().unwrap()).is_ok());
                }
            });
        }
        let mut before = Scrape::default();
        for round in 0..40 {
            if round % 10 == 9 {
                store.clear().unwrap();
            }
            with_local_recorder(&recorder, || metrics.publish());
            let scrape = Scrape::of(&recorder.handle());
            for (series, value) in scrape.series.iter().filter(|(series, _)| series.contains("_total")) {
                assert!(*value >= before.series.get(series).copied().unwrap_or(0.0), "{series} went down to {value}");
            }
            assert!(scrape.value("lembro_bytes") <= scrape.value("lembro_max_bytes"));
            before = scrape;
        }
        over.store(1, Ordering::Relaxed);
        assert!(before.value("lembro_hits_total") > 0.0 && before.value("lembro_destroyed_total") > 0.0);
    });
}

/// The one recorder of the process, as an application installs it.
struct Global {
    exporter: PrometheusRecorder,
    /// The name of a store at whose figures it panics.
    touchy: &'static str,
    panics: AtomicUsize,
}

impl Recorder for Global {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.exporter.describe_counter(name, unit, text);
    }
    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.exporter.describe_gauge(name, unit, text);
    }
    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.exporter.describe_histogram(name, unit, text);
    }
    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.exporter.register_counter(key, metadata)
    }
    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.exporter.register_gauge(key, metadata)
    }
    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        if key.labels().any(|label| label.value() == self.touchy) {
            self.panics.fetch_add(1, Ordering::Relaxed);
            panic!("a recorder's own trouble");
        }
        self.exporter.register_histogram(key, metadata)
    }
}

fn publishers() -> usize {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let names = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "lembro-metrics").count()
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

// One test, because all threads of a process have one recorder.
#[test]
fn publisher_survives_panics_and_ends() {
    let (one, touchy) = (LembroStore::new().unwrap(), LembroStore::new().unwrap());
    add(&one);
    add(&one);
    // Counters are right although they begin before there is a recorder.
    Metrics::of(&one).name("one").publish_every(Duration::from_millis(5)).unwrap();
    let global = Arc::new(Global { exporter: exporter(), touchy: "touchy", panics: AtomicUsize::new(0) });
    assert!(::metrics::set_global_recorder(Arc::clone(&global)).is_ok());
    let handle = global.exporter.handle();
    let shows = |text: &str| handle.render().lines().any(|line| line == text);
    until("two sessions", || shows(r#"lembro_created_total{store="one"} 2"#));
    add(&one);
    until("a third", || shows(r#"lembro_created_total{store="one"} 3"#));
    one.purge();
    until("the purge", || shows(r#"lembro_purge_seconds_count{store="one"} 1"#));

    let errors = touchy.errors();
    // Within the hour only the purges wake the thread.
    Metrics::of(&touchy).name("touchy").publish_every("1h").unwrap();
    assert!(shows(r#"lembro_created_total{store="touchy"} 0"#), "the first publication is at once");
    for round in 1..=2 {
        touchy.purge();
        assert_eq!(errors.recv_timeout(PATIENCE).unwrap().to_string(), "the recorder of metrics panicked");
        assert_eq!(global.panics.load(Ordering::Relaxed), round);
    }
    assert_eq!(touchy.stats().sessions, 0, "the store works on");

    if cfg!(target_os = "linux") {
        assert_eq!(publishers(), 2);
    }
    drop((one, touchy));
    until("the threads have ended", || publishers() == 0);
}

#[test]
fn impossible_interval_is_refused() {
    let store = LembroStore::new().unwrap();
    for (interval, sentence) in [("0s", "without any time"), ("often", "\"often\" is not a duration")] {
        let error = Metrics::of(&store).publish_every(interval).unwrap_err();
        assert!(error.is_option(), "{error}");
        let text = error.to_string();
        assert!(text.contains("publish_every") && text.contains(sentence), "{text}");
    }
}

#[test]
fn recorder_runs_under_no_lock() {
    /// A recorder that uses the store in every call.
    struct Curious(LembroStore, PrometheusRecorder);
    impl Curious {
        fn work(&self) {
            let id = add(&self.0);
            assert!(self.0.destroy(&id).unwrap().is_done());
            self.0.clear().unwrap();
            self.0.purge();
            assert_eq!(self.0.stats().sessions, 0);
        }
    }
    impl Recorder for Curious {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
            self.work();
        }
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
            self.work();
        }
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
            self.work();
            self.1.register_counter(key, metadata)
        }
        fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
            self.work();
            self.1.register_gauge(key, metadata)
        }
        fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
            self.1.register_histogram(key, metadata)
        }
    }
    let store = LembroStore::with_options(LembroOptions::new().interval(0).shards(1)).unwrap();
    let metrics = Metrics::of(&store);
    let (done, finished) = crossbeam_channel::bounded(1);
    thread::spawn(move || {
        let curious = Curious(store, exporter());
        let told = catch_unwind(AssertUnwindSafe(|| with_local_recorder(&curious, || metrics.publish())));
        done.send(told.is_ok()).unwrap();
    });
    assert_eq!(finished.recv_timeout(PATIENCE), Ok(true), "it waits for a lock that its caller holds");
}
