//! `kill -9` at any moment of a snapshot leaves a file that can be restored: the old one or the new one, whole.
#![cfg(unix)]

mod scratch;

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lembro::{LembroOptions, LembroStore, Record, SessionId, Store};

use self::scratch::Folder;

/// Set for the process that is killed: where it writes.
const VICTIM: &str = "LEMBRO_TEST_VICTIM";

/// How often; 10 unless this says otherwise.
const KILLS: &str = "LEMBRO_KILLS";

const HOUR: Duration = Duration::from_secs(3600);
const SESSIONS: usize = 20;
const FILLING: usize = 20;

fn open(path: &Path) -> LembroStore {
    let options = LembroOptions::new().interval(0).max_size("16M").restore(path);
    LembroStore::with_options(options).expect("the file is whole")
}

/// The generation that all sessions in the file are of; 0 without a file.
fn generation(path: &Path) -> u64 {
    let store = open(path);
    let records: Vec<_> = store.all().unwrap().map(|listed| listed.unwrap().stored.record).collect();
    let found: Vec<u64> = records.iter().filter_map(|record| record.get("generation").unwrap()).collect();
    assert!([0, SESSIONS + FILLING].contains(&records.len()), "{} sessions", records.len());
    assert!(records.is_empty() || found.len() == SESSIONS, "{} sessions with a generation", found.len());
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "two generations in one file");
    found.first().copied().unwrap_or(0)
}

#[test]
fn a_kill_at_any_moment_leaves_the_old_file_or_the_new_one() {
    if let Some(path) = env::var_os(VICTIM) {
        write_for_ever(Path::new(&path));
    }
    let kills: u64 = env::var(KILLS).map_or(10, |kills| kills.parse().unwrap());
    let folder = Folder::new();
    let path = folder.join("sessions");
    let (mut last, mut drafts) = (0, 0);
    for kill in 0..kills {
        let mut victim = Command::new(env::current_exe().unwrap())
            .args(["--exact", "a_kill_at_any_moment_leaves_the_old_file_or_the_new_one", "--nocapture"])
            .env(VICTIM, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Until it has written something, and then for a moment that is another one each time.
        let began = Instant::now();
        let written = || fs::metadata(&path).and_then(|found| found.modified()).ok();
        let before = written();
        while written() == before {
            assert!(began.elapsed() < Duration::from_secs(60), "it writes nothing");
            thread::sleep(Duration::from_millis(1));
        }
        let random = SessionId::random().unwrap().handle().to_u64();
        thread::sleep(Duration::from_micros(random % 300_000));
        victim.kill().unwrap();
        victim.wait().unwrap();

        let now = generation(&path);
        assert!(now > last, "kill {kill}: generation {now} after {last}");
        last = now;
        for name in folder.names().into_iter().filter(|name| name != "sessions") {
            let draft = folder.join(name);
            assert_eq!(fs::metadata(&draft).unwrap().permissions().mode() & 0o777, 0o600);
            fs::remove_file(draft).unwrap();
            drafts += 1;
        }
    }
    println!("{kills} kills, {drafts} of them in the middle of a file, {last} generations");
}

/// Writes generation after generation, each as a whole, from the one that is there on.
fn write_for_ever(path: &Path) -> ! {
    let store = open(path);
    let set = |name: &str, record: Record| store.set(&SessionId::derive(name), record, HOUR).unwrap();
    // Most of the time is to go into writing, so that most kills fall into it.
    for number in 0..FILLING {
        set(&format!("filling {number}"), [("filling", "x".repeat(30_000))].into_iter().collect());
    }
    for generation in generation(path) + 1.. {
        for number in 0..SESSIONS {
            set(&format!("session {number}"), [("generation", generation)].into_iter().collect());
        }
        store.snapshot(path).unwrap();
    }
    unreachable!("nobody lives so long")
}
