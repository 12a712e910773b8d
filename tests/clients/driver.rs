//! The driver of real HTTP clients, with their own cookie jars, against lembro's examples.
//!
//! Each client does the same: a first visit and a return, a login by a form with a CSRF token, the
//! page behind it, a logout, a request with the old cookie, then the same with the tokens of the
//! example `api`.
//!
//! The scripts beside this file are `curl` (`client.sh`), Python's `requests` and `httpx`
//! (`client.py`), Node's `fetch` with `tough-cookie` (`client.mjs`, after `npm install`) and both
//! of the JDK's clients (`Client.java`); `ureq` is in `tests/clients.rs`. A client that is not
//! installed is skipped, unless `LEMBRO_CLIENTS=all`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// The running examples, each a process with its own port. They end when this is dropped.
#[derive(Debug)]
pub struct Examples {
    processes: Vec<Child>,
    /// The addresses of `counter`, `login`, `api` and `touche`, without a trailing slash.
    pub addresses: [String; 4],
}

impl Examples {
    /// Starts the examples; the first call builds them.
    pub fn start() -> Self {
        let mut processes = Vec::new();
        let addresses = ["counter", "login", "api", "touche"].map(|example| {
            let server = Command::new(built().join(example)).arg("0").stdout(Stdio::piped()).spawn();
            let mut server = server.unwrap_or_else(|error| panic!("{example}: {error}"));
            let mut line = String::new();
            BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
            processes.push(server);
            let address = line.split_whitespace().find(|word| word.starts_with("http://"));
            address.unwrap_or_else(|| panic!("{example} prints no address")).trim_end_matches('/').to_owned()
        });
        Self { processes, addresses }
    }
}

impl Drop for Examples {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The folder of the built examples.
fn built() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let names = ["counter", "login", "api", "touche"].map(|name| ["--example", name]).concat();
        let output = Command::new(env!("CARGO"))
            .args(["build", "--message-format=json", "--features", "rouille,tiny_http,http"])
            .args(names)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "the examples do not build");
        let said = String::from_utf8(output.stdout).unwrap();
        let login = said.split("\"executable\":\"").skip(1).find_map(|rest| rest.split('"').next());
        Path::new(login.expect("cargo names what it built")).parent().unwrap().to_owned()
    })
}

/// Runs `command`, a script of this folder, with the examples' addresses as further arguments.
/// `probe` succeeds if the client is installed.
pub fn run(client: &str, probe: &[&str], command: &[&str]) {
    let folder = env!("CARGO_MANIFEST_DIR");
    let new = |words: &[&str]| {
        let mut new = Command::new(words[0]);
        new.args(&words[1..]).current_dir(folder);
        new
    };
    if !new(probe).output().is_ok_and(|output| output.status.success()) {
        let all = std::env::var("LEMBRO_CLIENTS").is_ok_and(|wanted| wanted == "all");
        assert!(!all, "{client} is not installed");
        eprintln!("{client} is not installed: skipped");
        return;
    }
    let examples = Examples::start();
    let output = new(command).args(&examples.addresses).output().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(output.status.success(), "{client}: {}\n{said}", output.status);
}
