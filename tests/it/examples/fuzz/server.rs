//! A server example that runs on a port of its own, and a client that gives up in time.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// An example answers a well-formed request within it; a request that breaks off needs less.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the client ends what it sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// It reads the answer.
    Waits,
    /// It says that nothing more comes, and reads the answer.
    Finishes,
    /// It leaves at once.
    Leaves,
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Code(u16),
    Closed,
    /// Nothing, for as long as the client waited.
    Silent,
    NotRead,
}

pub(crate) struct Example {
    pub(crate) name: &'static str,
    process: Child,
    port: u16,
    /// What it prints on its error channel: a panic, for one.
    said: Arc<Mutex<String>>,
}

impl Example {
    pub(crate) fn start(name: &'static str, arguments: &[&str]) -> Self {
        // Beside the folder of this test's own program.
        let mut folder: PathBuf = std::env::current_exe().unwrap();
        folder.pop();
        folder.set_file_name("examples");
        let mut process = Command::new(folder.join(name))
            .arg("0")
            .args(arguments)
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cargo build --examples --features full,redis ({error})"));
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.by_ref().map(Result::unwrap).find(|line| line.contains("http://")).unwrap();
        let port = line.split("127.0.0.1:").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
        thread::spawn(move || lines.for_each(drop));
        let said = Arc::new(Mutex::new(String::new()));
        let (kept, mut errors) = (Arc::clone(&said), BufReader::new(process.stderr.take().unwrap()));
        thread::spawn(move || {
            let mut line = Vec::new();
            while errors.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { name, process, port, said }
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What cannot be mended: the process has ended, or one of its threads has.
    pub(crate) fn damage(&mut self) -> Option<String> {
        let said = self.said.lock().unwrap().clone();
        match self.process.try_wait().unwrap() {
            Some(status) => Some(format!("{status}\n{said}")),
            None => said.contains("panicked").then_some(said),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The status of the first answer, and its head.
    pub(crate) fn send(&self, bytes: &[u8], end: End) -> (Status, String) {
        let mut stream = self.connect();
        // A server may answer and close before it has read everything.
        let _ = stream.write_all(bytes);
        match end {
            End::Leaves => return (Status::NotRead, String::new()),
            End::Finishes => drop(stream.shutdown(Shutdown::Write)),
            End::Waits => {}
        }
        let mut answer = BufReader::new(stream);
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match answer.read_until(b'\n', &mut head) {
                    Ok(0) => return (Status::Closed, String::new()),
                    Ok(_) => {}
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                        return (Status::Silent, String::new());
                    }
                    Err(_) => return (Status::Closed, String::new()),
                }
            }
            let head = String::from_utf8(head).unwrap();
            let code = head[9..12].parse().unwrap();
            // "Continue": the answer follows.
            if code != 100 {
                return (Status::Code(code), head);
            }
        }
    }

    /// A page, head and body, which must be there.
    pub(crate) fn get(&self, path: &str, cookie: &str) -> String {
        let mut stream = self.connect();
        let cookie = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
        let host = self.host();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Connection: close\r\n\r\n").unwrap();
        let mut page = Vec::new();
        stream.read_to_end(&mut page).unwrap_or_else(|error| panic!("{}: {path}: {error}", self.name));
        let page = String::from_utf8(page).unwrap();
        assert!(page.starts_with("HTTP/1.1 200"), "{}: {page:.300}", self.name);
        page
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
