//! Sentinels: a real set of servers and Sentinels for one test, and fake Sentinels.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lembro::redis::{RedisOptions, RedisStore};

use super::{Server, free_port, soon};

/// The time limit of a round trip.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(800);

/// The name of the primary.
pub(crate) const NAME: &str = "shop";

/// A Sentinel, which ends with the value.
pub(crate) struct Sentinel {
    pub(crate) process: Child,
    port: u16,
    /// Its configuration, which it also writes.
    file: PathBuf,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.file);
    }
}

/// A primary, two replicas, and three Sentinels, of which two must agree.
pub(crate) struct SentinelSet {
    pub(crate) servers: Vec<Server>,
    pub(crate) sentinels: Vec<Sentinel>,
}

impl SentinelSet {
    pub(crate) fn start() -> Self {
        let password = ["--requirepass", "servers", "--masterauth", "servers", "--repl-diskless-sync-delay", "0"];
        let primary = Server::with(&password);
        let port = primary.port.to_string();
        let replica = |_| Server::with(&[&password[..], &["--replicaof", "127.0.0.1", &port]].concat());
        let servers: Vec<_> = [primary].into_iter().chain((0..2).map(replica)).collect();
        let set = Self { sentinels: (0..3).map(|_| Sentinel::start(servers[0].port)).collect(), servers };
        let knows = |sentinel: &Sentinel| {
            let state = sentinel.ask(&["MASTER", NAME]);
            let says = |key: &str, value: &str| state.windows(2).any(|pair| pair == [key, value]);
            says("num-slaves", "2") && says("num-other-sentinels", "2") && says("flags", "master")
        };
        // They announce themselves every two seconds.
        let began = Instant::now();
        while !set.sentinels.iter().all(knows) {
            assert!(began.elapsed() < Duration::from_secs(30), "the Sentinels do not find each other");
            thread::sleep(Duration::from_millis(50));
        }
        set
    }

    pub(crate) fn options(&self) -> RedisOptions {
        let urls = self.sentinels.iter().map(Sentinel::url);
        RedisOptions::new().sentinels(urls).primary(NAME).password("servers").timeout(TIMEOUT).retry_after("100ms")
    }

    pub(crate) fn store(&self) -> RedisStore {
        RedisStore::with_options(self.options()).unwrap()
    }

    /// A connection to one of the servers that bypasses the store.
    pub(crate) fn connect(&self, number: usize) -> redis::Connection {
        let url = format!("redis://:servers@127.0.0.1:{}", self.servers[number].port);
        redis::Client::open(url).unwrap().get_connection().unwrap()
    }

    /// The number of the server that two Sentinels call the primary.
    pub(crate) fn primary(&self) -> Option<usize> {
        let says = |sentinel: &Sentinel| sentinel.ask(&["GET-MASTER-ADDR-BY-NAME", NAME])[1].parse::<u16>().unwrap();
        let said: Vec<_> = self.sentinels.iter().map(says).collect();
        let of_two = said.iter().find(|port| said.iter().filter(|other| other == port).count() > 1)?;
        self.servers.iter().position(|server| server.port == *of_two)
    }

    /// Returns true if this server is not the primary: it is down, does not answer, or is a
    /// replica.
    pub(crate) fn is_out(&self, number: usize) -> bool {
        let url = format!("redis://:servers@127.0.0.1:{}", self.servers[number].port);
        let link = redis::Client::open(url).unwrap().get_connection_with_timeout(Duration::from_millis(200));
        link.map_or(true, |mut link| !is_primary(&mut link))
    }

    /// Waits until another server than this one is the primary, and the only one.
    pub(crate) fn await_failover(&self, before: usize) -> usize {
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

pub(crate) fn is_primary(link: &mut redis::Connection) -> bool {
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

    pub(crate) fn url(&self) -> String {
        format!("redis://:sentinels@127.0.0.1:{}", self.port)
    }

    fn ask(&self, words: &[&str]) -> Vec<String> {
        let mut link = redis::Client::open(self.url()).unwrap().get_connection().unwrap();
        redis::cmd("SENTINEL").arg(words).query(&mut link).unwrap()
    }
}

/// A server that answers only the question for the primary, as a Sentinel does.
pub(crate) struct FakeSentinel {
    pub(crate) url: String,
    /// The port that it names. 0: it does not answer; 1: it refuses.
    pub(crate) names: Arc<AtomicU16>,
    pub(crate) asked: Arc<AtomicUsize>,
}

impl FakeSentinel {
    pub(crate) fn new(names: u16) -> Self {
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
