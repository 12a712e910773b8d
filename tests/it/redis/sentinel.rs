//! Promise: with Sentinels, a failover in mid-load costs errors in time and nothing else: every
//! request has an answer within the time limit, what the new primary has acknowledged is there, and
//! the store finds the new primary by itself.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{Commit, Saved, SessionId, Sessions, Store};

use crate::redis::behind::{create, lease, put};
use crate::redis::server::{Over, Server, free_port, freeze, signal, soon, told};

const TIMEOUT: Duration = Duration::from_millis(800);
const IN_TIME: Duration = Duration::from_millis(800 + 80 + 250);
const NAME: &str = "shop";

/// A Sentinel, which ends with its value.
struct Sentinel {
    process: Child,
    port: u16,
    /// Where it keeps what it learns.
    file: PathBuf,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.file);
    }
}

/// A primary, two replicas, and three Sentinels that agree by two.
struct Set {
    servers: Vec<Server>,
    sentinels: Vec<Sentinel>,
}

impl Set {
    fn start() -> Self {
        let password = ["--requirepass", "servers", "--masterauth", "servers", "--repl-diskless-sync-delay", "0"];
        let primary = Server::with(&password);
        let port = primary.port.to_string();
        let replica = |_| Server::with(&[&password[..], &["--replicaof", "127.0.0.1", &port]].concat());
        let servers: Vec<_> = [primary].into_iter().chain((0..2).map(replica)).collect();
        let set = Self { sentinels: (0..3).map(|_| Sentinel::start(servers[0].port)).collect(), servers };
        let knows = |sentinel: &Sentinel| {
            let told = sentinel.ask(&["MASTER", NAME]);
            let says = |key: &str, value: &str| told.windows(2).any(|pair| pair == [key, value]);
            says("num-slaves", "2") && says("num-other-sentinels", "2") && says("flags", "master")
        };
        // They say hello every two seconds.
        let began = Instant::now();
        while !set.sentinels.iter().all(knows) {
            assert!(began.elapsed() < Duration::from_secs(30), "the Sentinels do not find each other");
            thread::sleep(Duration::from_millis(50));
        }
        set
    }

    fn options(&self) -> RedisOptions {
        let urls = self.sentinels.iter().map(Sentinel::url);
        RedisOptions::new().sentinels(urls).primary(NAME).password("servers").timeout(TIMEOUT).retry_after("100ms")
    }

    fn store(&self) -> RedisStore {
        RedisStore::with_options(self.options()).unwrap()
    }

    /// A connection past the store to one of the servers.
    fn connect(&self, number: usize) -> redis::Connection {
        let url = format!("redis://:servers@127.0.0.1:{}", self.servers[number].port);
        redis::Client::open(url).unwrap().get_connection().unwrap()
    }

    /// The number of the server that two Sentinels call the primary.
    fn primary(&self) -> Option<usize> {
        let says = |sentinel: &Sentinel| sentinel.ask(&["GET-MASTER-ADDR-BY-NAME", NAME])[1].parse::<u16>().unwrap();
        let said: Vec<_> = self.sentinels.iter().map(says).collect();
        let of_two = said.iter().find(|port| said.iter().filter(|other| other == port).count() > 1)?;
        self.servers.iter().position(|server| server.port == *of_two)
    }

    /// Whether this server is no primary any more: it is down, says nothing, or is a replica.
    fn is_out(&self, number: usize) -> bool {
        let url = format!("redis://:servers@127.0.0.1:{}", self.servers[number].port);
        let link = redis::Client::open(url).unwrap().get_connection_with_timeout(Duration::from_millis(200));
        link.map_or(true, |mut link| !is_primary(&mut link))
    }

    /// Waits until another server than this one is the primary, and the only one.
    fn await_failover(&self, before: usize) -> usize {
        let began = Instant::now();
        loop {
            if let Some(primary) = self.primary().filter(|primary| *primary != before)
                && is_primary(&mut self.connect(primary))
                && self.is_out(before)
            {
                return primary;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "no failover");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn is_primary(link: &mut redis::Connection) -> bool {
    let role: Vec<redis::Value> = redis::cmd("ROLE").query(link).unwrap();
    role[0] == redis::Value::BulkString(b"master".to_vec())
}

impl Sentinel {
    fn start(primary: u16) -> Self {
        let port = free_port();
        let file = std::env::temp_dir().join(format!("lembro-sentinel-{}-{port}.conf", std::process::id()));
        let lines = [
            format!("port {port}\nbind 127.0.0.1\nrequirepass sentinels"),
            "sentinel sentinel-pass sentinels".to_owned(),
            format!("sentinel monitor {NAME} 127.0.0.1 {primary} 2\nsentinel auth-pass {NAME} servers"),
            format!("sentinel down-after-milliseconds {NAME} 2000\nsentinel failover-timeout {NAME} 10000"),
        ];
        fs::write(&file, lines.join("\n")).unwrap();
        let mut command = Command::new("redis-server");
        let process = command.arg(&file).arg("--sentinel").stdout(Stdio::null()).spawn().unwrap();
        let sentinel = Self { process, port, file };
        soon("a Sentinel", || redis::Client::open(sentinel.url()).unwrap().get_connection().is_ok());
        sentinel
    }

    fn url(&self) -> String {
        format!("redis://:sentinels@127.0.0.1:{}", self.port)
    }

    fn ask(&self, words: &[&str]) -> Vec<String> {
        let mut link = redis::Client::open(self.url()).unwrap().get_connection().unwrap();
        redis::cmd("SENTINEL").arg(words).query(&mut link).unwrap()
    }
}

/// What a request came to: which session, how long it took, whether the store acknowledged it, and
/// when.
struct Answer {
    id: SessionId,
    took: Duration,
    is_acknowledged: bool,
    at: Instant,
}

/// New sessions, one after the other, until it is over.
fn load(store: &RedisStore, is_over: &AtomicBool, answers: &Sender<Answer>) {
    let sessions = Sessions::new(store.clone());
    while !is_over.load(Ordering::SeqCst) {
        let (began, mut session) = (Instant::now(), sessions.generate().unwrap());
        session.insert("user", "ada").unwrap();
        let saved = session.save();
        let is_acknowledged = saved.is_ok_and(|saved| saved == Saved::Written);
        let (id, took) = (session.id().unwrap(), began.elapsed());
        answers.send(Answer { id, took, is_acknowledged, at: Instant::now() }).unwrap();
        if !is_acknowledged {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Has four threads send requests while `disturb` does what it does to the set, and for two seconds
/// after it. Returns their answers, and when the new primary was one.
fn under_load(set: &Set, disturb: impl FnOnce(usize)) -> (Vec<Answer>, Instant, usize) {
    let (store, is_over) = (set.store(), AtomicBool::new(false));
    let (sender, answers) = channel();
    let before = set.primary().unwrap();
    let (new_since, after) = thread::scope(|threads| {
        let over = Over(&is_over);
        for _ in 0..4 {
            let (store, is_over, sender) = (store.clone(), &is_over, sender.clone());
            threads.spawn(move || load(&store, is_over, &sender));
        }
        thread::sleep(Duration::from_secs(1));
        disturb(before);
        let after = set.await_failover(before);
        let since = Instant::now();
        thread::sleep(Duration::from_secs(2));
        drop(over);
        (since, after)
    });
    drop(sender);
    (answers.into_iter().collect(), new_since, after)
}

/// Every answer was in time, the new primary served, and all that it acknowledged is there.
fn check(set: &Set, (answers, new_since, after): &(Vec<Answer>, Instant, usize)) {
    let slowest = answers.iter().map(|answer| answer.took).max().unwrap();
    assert!(slowest < IN_TIME, "an answer took {slowest:?}");
    let acknowledged = |answer: &&Answer| answer.is_acknowledged;
    // One that began before was perhaps acknowledged by the old primary, which may have lost it.
    let by_the_new: Vec<_> =
        answers.iter().filter(acknowledged).filter(|answer| answer.at > *new_since + answer.took).collect();
    assert!(by_the_new.len() > 100, "{} sessions on the new primary", by_the_new.len());
    assert!(is_primary(&mut set.connect(*after)));
    let store = set.store();
    for answer in &by_the_new {
        if store.get(&answer.id).unwrap().is_none() {
            let seconds = answer.at.duration_since(*new_since).as_secs_f32();
            let primaries: Vec<_> = (0..3).filter(|number| !set.is_out(*number)).collect();
            panic!("lost, acknowledged {seconds} s after {after} took over; now it is {primaries:?}");
        }
    }
    let failed = answers.len() - answers.iter().filter(acknowledged).count();
    println!("{} requests, {failed} of them failed, the slowest took {slowest:?}", answers.len());
}

/// What only says what a Sentinel would: where the primary is.
struct Told {
    url: String,
    /// The port that it names; 0: it says nothing; 1: it refuses to say.
    names: Arc<AtomicU16>,
    asked: Arc<AtomicUsize>,
}

impl Told {
    fn new(names: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let (names, asked) = (Arc::new(AtomicU16::new(names)), Arc::new(AtomicUsize::new(0)));
        let (port, count) = (Arc::clone(&names), Arc::clone(&asked));
        thread::spawn(move || {
            let mut silent = Vec::new();
            for mut socket in listener.incoming().flatten() {
                let _ = socket.read(&mut [0; 1024]);
                count.fetch_add(1, Ordering::SeqCst);
                match port.load(Ordering::SeqCst).to_string() {
                    port if port == "0" => silent.push(socket),
                    port if port == "1" => write!(socket, "-NOPERM not to you\r\n").unwrap(),
                    port => write!(socket, "*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len()).unwrap(),
                }
            }
        });
        Self { url, names, asked }
    }
}

fn store_by(told: &[&Told]) -> RedisStore {
    let options = RedisOptions::new().sentinels(told.iter().map(|one| one.url.clone())).timeout(TIMEOUT);
    RedisStore::with_options(options.retry_after("100ms")).unwrap()
}

#[test]
fn a_sentinel_that_names_what_is_no_primary_any_more_is_not_believed() {
    let primary = Server::start();
    let replica = Server::with(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    let (stale, right) = (Told::new(replica.port), Told::new(primary.port));
    let store = store_by(&[&stale, &right]);
    create(&store);
    let error = store_by(&[&stale]).get(&SessionId::random().unwrap()).unwrap_err();
    assert!(told(&error).contains("the server that a Sentinel named is not the primary"), "{}", told(&error));
}

#[test]
fn silent_sentinels_cost_a_part_of_the_time_once() {
    let primary = Server::start();
    let (silent, right) = ([0; 3].map(Told::new), Told::new(primary.port));
    let store = store_by(&[&silent[0], &silent[1], &silent[2], &right]);
    let began = Instant::now();
    let id = create(&store);
    assert!(began.elapsed() < IN_TIME, "{:?}", began.elapsed());
    // A connection that is lost is replaced at the word of the one that answered.
    for _ in 0..3 {
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]).exec(&mut primary.connect()).unwrap();
        let began = Instant::now();
        assert!(store.get(&id).unwrap().is_some());
        assert!(began.elapsed() < TIMEOUT / 4, "{:?}", began.elapsed());
    }
    assert_eq!(silent.each_ref().map(|one| one.asked.load(Ordering::SeqCst)), [1; 3]);
    assert_eq!(right.asked.load(Ordering::SeqCst), 4);

    let began = Instant::now();
    let error = store_by(&[&silent[0], &silent[1]]).get(&id).unwrap_err();
    assert!(error.is_store() && began.elapsed() < IN_TIME, "{}", told(&error));
}

#[test]
fn a_commit_that_was_sent_is_unknown_when_a_sentinel_then_refuses_to_name_the_primary() {
    let primary = Server::start();
    let sentinel = Told::new(primary.port);
    let store = store_by(&[&sentinel]);
    create(&store);
    sentinel.names.store(1, Ordering::SeqCst);
    redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]).exec(&mut primary.connect()).unwrap();
    let commit = Commit::create().unwrap().with(put("key", "value"));
    let error = store.commit(&SessionId::random().unwrap(), &commit, &lease()).unwrap_err();
    assert!(error.is_unknown() && told(&error).contains("not to you"), "{}", told(&error));
}

#[test]
fn connections_to_a_primary_that_fell_silent_are_not_tried_one_by_one() {
    let (old, new) = (Server::start(), Server::start());
    let sentinel = Told::new(old.port);
    let store = store_by(&[&sentinel]);
    let id = create(&store);
    // Each thread needs a connection of its own: those before it wait with theirs.
    redis::cmd("CLIENT").arg(&["PAUSE", "300"]).exec(&mut old.connect()).unwrap();
    thread::scope(|threads| (0..6).for_each(|_| drop(threads.spawn(|| store.get(&id).unwrap()))));
    assert!(sentinel.asked.load(Ordering::SeqCst) > 2, "there are several connections");
    let _frozen = old.freeze();
    assert!(store.get(&id).unwrap_err().is_store());
    sentinel.names.store(new.port, Ordering::SeqCst);
    // One request found out; after the pause the next one is served.
    let began = Instant::now();
    soon("the new primary", || store.get(&id).is_ok_and(|found| found.is_none()));
    assert!(began.elapsed() < TIMEOUT, "{:?}", began.elapsed());
}

#[test]
#[ignore = "needs Sentinels; .ci/full runs it"]
fn a_primary_that_dies_under_load_costs_errors_in_time_and_the_new_one_keeps_what_it_acknowledges() {
    let mut set = Set::start();
    let pid = set.servers[0].id();
    let outcome = under_load(&set, |_| signal("KILL", pid));
    check(&set, &outcome);
    // It comes back as the primary that it was, and is a replica once the Sentinels tell it.
    set.servers[0].restart();
    let store = set.store();
    for _ in 0..50 {
        let id = create(&store);
        let found: bool =
            redis::cmd("EXISTS").arg(format!("lembro:{{{}}}", id.handle())).query(&mut set.connect(outcome.2)).unwrap();
        assert!(found, "written to a server that is not the primary");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "needs Sentinels; .ci/full runs it"]
fn a_primary_that_is_silent_under_load_costs_errors_in_time() {
    let set = Set::start();
    let mut frozen = None;
    let outcome = under_load(&set, |before| frozen = Some(set.servers[before].freeze()));
    check(&set, &outcome);
    drop(frozen);
}

#[test]
#[ignore = "needs Sentinels; .ci/full runs it"]
fn a_failover_that_an_administrator_begins_is_followed_by_connections_that_are_open() {
    let set = Set::start();
    let outcome = under_load(&set, |_| {
        let mut link = redis::Client::open(set.sentinels[1].url()).unwrap().get_connection().unwrap();
        redis::cmd("SENTINEL").arg("FAILOVER").arg(NAME).exec(&mut link).unwrap();
    });
    check(&set, &outcome);
}

#[test]
#[ignore = "needs Sentinels; .ci/full runs it"]
fn sentinels_that_are_silent_or_gone_cost_no_request_as_long_as_one_answers() {
    let mut set = Set::start();
    let store = set.store();
    let id = create(&store);
    let _silent = freeze(set.sentinels[0].process.id());
    set.sentinels[1].process.kill().unwrap();
    // A store that has no connection yet, whose first Sentinel says nothing, and its second is
    // gone.
    let began = Instant::now();
    let fresh = set.store();
    assert!(fresh.get(&id).unwrap().is_some());
    assert!(began.elapsed() < IN_TIME);
    // And if none answers, the error says so in time.
    set.sentinels[2].process.kill().unwrap();
    let began = Instant::now();
    let error = set.store().get(&id).unwrap_err();
    assert!(error.is_store() && began.elapsed() < IN_TIME, "{}", told(&error));
}

#[test]
#[ignore = "needs Sentinels; .ci/full runs it"]
fn a_name_that_no_sentinel_knows_and_a_wrong_password_are_told_and_not_unknown() {
    let set = Set::start();
    let commit = Commit::create().unwrap().with(put("key", "value"));
    for (options, expected) in [
        (set.options().primary("shoe"), "a Sentinel does not know a primary of this name"),
        (set.options().password("wrong"), "Password authentication failed"),
    ] {
        let store = RedisStore::with_options(options).unwrap();
        let error = store.commit(&SessionId::random().unwrap(), &commit, &lease()).unwrap_err();
        assert!(error.is_store() && !error.is_unknown(), "{}", told(&error));
        let text = told(&error);
        assert!(text.contains(expected) && text.contains("by sentinels at 127.0.0.1:"), "{text}");
        assert!(!text.contains("sentinels@") && !text.contains("wrong"), "{text}");
    }
}
