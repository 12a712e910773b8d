//! A real server for one test, which ends with the value, and what else tests need around it.
#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod certificates;
pub(crate) mod cluster;
pub(crate) mod proxy;
pub(crate) mod sentinels;

use std::error::Error as _;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const INSTALL: &str = "redis-server is needed for these tests: apt-get update && apt-get install -y redis-server";

pub(crate) struct Server {
    process: Child,
    folder: PathBuf,
    pub(crate) port: u16,
    arguments: Vec<String>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with::<&str>(&[])
    }

    /// Starts a server with further arguments on its command line.
    pub(crate) fn with<S: AsRef<str>>(arguments: &[S]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("lembro-redis-{}-{number}", std::process::id()));
        let arguments: Vec<String> = arguments.iter().map(|argument| argument.as_ref().to_owned()).collect();
        // Another process may take the port before the server does.
        for _ in 0..10 {
            let port = free_port();
            std::fs::create_dir_all(&folder).unwrap();
            let process = spawn(port, &folder, &arguments);
            let mut server = Self { process, folder: folder.clone(), port, arguments: arguments.clone() };
            if server.is_up() {
                return server;
            }
        }
        panic!("redis-server does not come up");
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// A connection that bypasses the store.
    pub(crate) fn connect(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    /// Runs a command that bypasses the store.
    pub(crate) fn query<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        redis::cmd(words[0]).arg(&words[1..]).query(&mut self.connect()).unwrap()
    }

    pub(crate) fn run(&self, words: &[&str]) {
        self.query::<redis::Value>(words);
    }

    pub(crate) fn empty(&self) {
        self.run(&["FLUSHALL"]);
    }

    /// Closes the connections of all clients.
    pub(crate) fn close_connections(&self) {
        self.run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }

    /// Stops the process (`SIGSTOP`) until the value is dropped: the server accepts connections and
    /// does not answer.
    pub(crate) fn freeze(&self) -> Frozen {
        freeze(self.id())
    }

    /// Ends the process by `SIGKILL`.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts the server again, at the same port and in the same folder.
    pub(crate) fn restart(&mut self) {
        self.process = spawn(self.port, &self.folder, &self.arguments);
        assert!(self.is_up(), "redis-server does not come up again");
    }

    fn is_up(&mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            let client = redis::Client::open(self.url()).unwrap();
            let answers = TcpStream::connect(("127.0.0.1", self.port)).is_ok()
                && client.get_connection().is_ok_and(|mut link| match redis::cmd("PING").exec(&mut link) {
                    Ok(()) => true,
                    // The server requires a password, so it is up.
                    Err(error) => error.code() == Some("NOAUTH"),
                });
            if answers {
                return true;
            }
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

pub(crate) struct Frozen {
    id: u32,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal("CONT", self.id);
    }
}

/// Stops a process until the value is dropped.
pub(crate) fn freeze(id: u32) -> Frozen {
    signal("STOP", id);
    Frozen { id }
}

pub(crate) fn signal(name: &str, id: u32) {
    // The command of the shell, because not every machine has a program of that name.
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status().unwrap();
    assert!(status.success());
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The error and all its causes in one line.
pub(crate) fn text_of(error: &lembro::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Tells threads to stop when it is dropped, so that a failing test does not wait for them for
/// ever.
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Waits up to five seconds for a condition.
#[track_caller]
pub(crate) fn soon(condition: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(5), "{condition}: not within five seconds");
        thread::sleep(Duration::from_millis(10));
    }
}

fn spawn(port: u16, folder: &PathBuf, arguments: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(folder)
        .arg("--unixsocket")
        .arg(folder.join("socket"))
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{INSTALL} ({error})"))
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
