//! The architecture: arrows between modules point down, only the clock reads the time, every file
//! says what it is.

use std::fs;
use std::path::{Path, PathBuf};

/// From the request down. A module may use those of later rows, and its own parts.
const LAYERS: [&[&str]; 10] = [
    &["testing"],
    &["config"],
    &["web", "metrics", "log"],
    &["lifecycle"],
    &["session"],
    &["context"],
    // Side by side: neither knows the other.
    &["memory", "redis", "key_value", "policy"],
    &["store"],
    &["record"],
    // The ground: see below.
    &["units", "event", "id", "error", "clock", "sync"],
];

/// What the ground may use of the ground.
const GROUND: [(&str, &[&str]); 6] = [
    ("units", &["error"]),
    ("event", &["id", "sync"]),
    ("error", &["sync"]),
    ("id", &["clock", "error"]),
    ("clock", &["sync"]),
    ("sync", &[]),
];

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder that end so, but those that were built or fetched.
pub(super) fn files(folder: &Path, extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !["target", "node_modules"].iter().any(|name| path.ends_with(name)) {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|other| other == extension) {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

fn sources() -> Vec<(PathBuf, String)> {
    let files = files(&root().join("src"), "rs");
    assert!(files.len() > 20);
    files
}

/// The name of the top-level module that a file belongs to.
fn module(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The code of a file: no comments, and nothing from its tests on.
pub(super) fn code(text: &str) -> String {
    let before_tests = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let is_text = |line: &str| ["//", "doc = "].iter().any(|start| line.trim_start().starts_with(start));
    let lines = before_tests.lines().filter(|line| !is_text(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules that a file's code names after `crate::`.
fn used(code: &str) -> Vec<String> {
    let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let names = code.split("crate::").skip(1).map(name);
    names.filter(|name| name.chars().next().is_some_and(char::is_lowercase)).collect()
}

fn rank(module: &str) -> usize {
    let rank = LAYERS.iter().position(|layer| layer.contains(&module));
    rank.unwrap_or_else(|| panic!("module `{module}` has no place in the layers"))
}

#[test]
fn arrows_point_down() {
    for (path, text) in sources() {
        let from = module(&path);
        if from == "lib" {
            continue;
        }
        for to in used(&code(&text)).into_iter().filter(|to| *to != from) {
            let allowed = match GROUND.iter().find(|(name, _)| *name == from) {
                Some((_, ground)) => ground.contains(&to.as_str()),
                None => rank(&from) < rank(&to),
            };
            assert!(allowed, "{} uses `{to}`: an arrow that points up", path.display());
        }
    }
}

#[test]
fn only_the_clock_reads_the_time() {
    // The contract suite waits for stores whose time is real, and a client of a server waits for it
    // in real time.
    let real = ["clock", "testing", "redis"];
    for (path, text) in sources().into_iter().filter(|(path, _)| !real.contains(&module(path).as_str())) {
        for call in ["Instant::now", "SystemTime::now", "clock_gettime", "sleep("] {
            assert!(!code(&text).contains(call), "{} calls {call}", path.display());
        }
    }
}

#[test]
fn pure_modules_use_no_clock() {
    for (path, text) in sources() {
        let is_pure = ["record", "policy"].contains(&module(&path).as_str())
            || path.to_string_lossy().contains("store/rule/")
            || path.ends_with("web/decision.rs");
        if is_pure {
            for name in ["clock", "event", "context"] {
                assert!(!used(&code(&text)).contains(&name.to_owned()), "{} uses `{name}`", path.display());
            }
        }
    }
}

#[test]
fn store_failures_are_reported_in_one_place() {
    for (path, text) in sources() {
        if ["session", "lifecycle", "web"].contains(&module(&path).as_str()) {
            assert!(!code(&text).contains("errors.publish"), "{} reports by itself", path.display());
        }
    }
}

#[test]
fn shard_knows_no_lock() {
    for (path, text) in sources() {
        let name = path.to_string_lossy();
        if ["shard", "table.rs", "queue.rs", "expiry.rs"].iter().any(|part| name.contains(&format!("/memory/{part}"))) {
            assert!(!code(&text).contains("Lock") && !code(&text).contains("Mutex"), "{name} names a lock");
        }
    }
}

#[test]
fn web_layer_names_no_store_or_framework() {
    for (path, text) in sources().into_iter().filter(|(path, _)| module(path) == "web") {
        assert!(!code(&text).contains("LembroStore"), "{} names a store", path.display());
        let code = code(&text);
        for framework in ["tiny_http", "rouille", "http"] {
            // The name of a path that begins with it, and not of our own module.
            let path_of = format!("{framework}::");
            let mut found = code.match_indices(&path_of).map(|(place, _)| &code[..place]);
            let named = found.any(|before| {
                !before.ends_with("self::") && !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
            });
            assert!(!named || path.ends_with(format!("web/{framework}.rs")), "{} names {framework}", path.display());
        }
    }
}

#[test]
fn functions_stay_short() {
    for (path, text) in sources() {
        let mut start = None;
        for (number, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            if start.is_none() && (line.contains("fn ") && line.trim_end().ends_with('{')) {
                start = Some((number, line.len() - line.trim_start().len()));
            }
            if let Some((first, indent)) = start
                && line.trim_end() == format!("{}}}", " ".repeat(indent))
            {
                assert!(
                    number - first < 70,
                    "{}:{}: a function of {} lines",
                    path.display(),
                    first + 1,
                    number - first
                );
                start = None;
            }
        }
    }
}
