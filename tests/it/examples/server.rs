//! A server example that runs on a port of its own, and a client that gives up in time.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
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
    printed: Arc<Mutex<String>>,
    /// Its error channel: a panic, for one.
    said: Arc<Mutex<String>>,
}

impl Example {
    pub(crate) fn start(name: &'static str, arguments: &[&str]) -> Self {
        let mut process = Command::new(built().join(name))
            .arg("0")
            .args(arguments)
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut printed = String::new();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let port = loop {
            let line = lines.next().unwrap_or_else(|| panic!("{name} does not say where it is: {printed}"));
            printed.push_str(&line);
            if let Some((_, address)) = line.split_once("http://127.0.0.1:") {
                break address.split('/').next().unwrap().parse().unwrap();
            }
            printed.push('\n');
        };
        let printed = Arc::new(Mutex::new(printed));
        let kept = Arc::clone(&printed);
        thread::spawn(move || lines.for_each(|line| kept.lock().unwrap().push_str(&line)));
        let said = Arc::new(Mutex::new(String::new()));
        let (kept, mut errors) = (Arc::clone(&said), BufReader::new(process.stderr.take().unwrap()));
        thread::spawn(move || {
            let mut line = Vec::new();
            while errors.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { name, process, port, printed, said }
    }

    /// Everything that it has printed.
    pub(crate) fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    /// Ends it by a signal, and gives how it ended.
    #[cfg(unix)]
    pub(crate) fn end(&mut self, signal: &str) -> ExitStatus {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.process.wait().unwrap()
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

/// The folder of the examples, which are built first: a test that runs alone has none yet.
pub(crate) fn built() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        // This test is `<target>/<profile>/deps/examples-..`.
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().and_then(Path::parent).unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([
            "build",
            "--quiet",
            "--examples",
            "--features",
            if cfg!(feature = "redis") { "full,redis" } else { "full" },
        ]);
        cargo.arg("--target-dir").arg(profile.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "the examples do not build");
        profile.join("examples")
    })
}
