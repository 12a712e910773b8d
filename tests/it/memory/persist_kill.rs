//! `kill -9` under load: after the restart every acknowledged commit is there, and no ended session
//! is back.
#![cfg(unix)]

use std::collections::HashMap;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use lembro::{AtLimit, Changes, Lease, LembroOptions, LembroStore, Limit, Login, SessionId, Store};

use crate::support::scratch::Folder;
use crate::support::steps::{create_owned, creation, login, new_id, owner, owners, replacement, save, version_of};

/// The variable with the folder, set in the process that is killed.
const VICTIM: &str = "LEMBRO_TEST_VICTIM";

/// The variable with the number of kills; 10 without it.
const KILLS: &str = "LEMBRO_KILLS";

const HOUR: Duration = Duration::from_secs(3600);
const LEASE: Lease = Lease::new(HOUR);
const THREADS: u64 = 4;

/// How many sessions a thread has at a time.
const SESSIONS: usize = 40;

/// The victim's log: a line before each action and one after it was acknowledged, each appended
/// with one write.
const DIARY: &str = "diary";

/// The file with the sessions that a victim starts with.
const START: &str = "start";

fn open(folder: &Path) -> LembroStore {
    let options = LembroOptions::new().interval(0).max_size("64M").persist(folder.join("sessions"));
    LembroStore::with_options(options).expect("the files are whole")
}

/// The state of an id: the value in its session, or 0 if it opens none.
type States = HashMap<String, u64>;

/// The expected states, from the diary and the restarts.
#[derive(Default)]
struct Knowledge {
    /// As last acknowledged.
    states: States,
    /// The action of each thread that was not acknowledged yet.
    under_way: HashMap<u64, Vec<(String, u64)>>,
    acknowledged: u64,
}

impl Knowledge {
    /// A line is `B thread id=value id=value..` or `A thread`. A line that the kill cut off is
    /// ignored, because its action did not begin.
    fn read(&mut self, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        let (kind, thread) = (words.next()?, words.next()?.parse().ok()?);
        match kind {
            "B" => {
                let changes = words.map(|word| {
                    word.split_once('=').and_then(|(id, value)| Some((id.to_owned(), value.parse().ok()?)))
                });
                self.under_way.insert(thread, changes.collect::<Option<_>>()?);
            }
            "A" => {
                self.states.extend(self.under_way.remove(&thread)?);
                self.acknowledged += 1;
            }
            _ => return None,
        }
        Some(())
    }

    /// Compares with the store after a restart, whose states are expected from then on.
    fn check(&mut self, store: &LembroStore) {
        let found = |id: &str| value_of(store, &id.parse().unwrap());
        let pending: Vec<_> = self.under_way.drain().flat_map(|(_, changes)| changes).collect();
        for (id, value) in pending {
            let (before, now) = (self.states.get(&id).copied().unwrap_or(0), found(&id));
            assert!(now == before || now == value, "{id}: {now}, which is neither {before} nor {value}");
            self.states.insert(id, now);
        }
        for (id, value) in &self.states {
            assert_eq!(found(id), *value, "{id}");
        }
        let live = self.states.values().filter(|value| **value > 0).count();
        assert_eq!(store.len().unwrap(), live, "sessions that were never announced");
    }
}

fn filling(value: u64) -> String {
    "x".repeat(usize::try_from(value % 3000).unwrap())
}

fn changes(value: u64) -> Changes {
    let mut changes = Changes::new();
    changes.insert("", "value", &value).unwrap();
    changes.insert("", "filling", &filling(value)).unwrap();
    changes
}

fn value_of(store: &LembroStore, id: &SessionId) -> u64 {
    let Some(stored) = store.get(id).unwrap() else { return 0 };
    let value = stored.record.get("value").unwrap().unwrap();
    assert_eq!(stored.record.get_str("filling").unwrap().unwrap(), filling(value), "half a commit");
    value
}

#[test]
fn kill_loses_no_acknowledged_change() {
    if let Some(folder) = env::var_os(VICTIM) {
        work_for_ever(Path::new(&folder));
    }
    let kills: u64 = env::var(KILLS).map_or(10, |kills| kills.parse().unwrap());
    let folder = Folder::new();
    let (mut known, mut compacted, mut halves) = (Knowledge::default(), 0, 0);
    for kill in 0..kills {
        let lines = known.states.iter().filter(|(_, value)| **value > 0);
        let mut lines: Vec<_> = lines.map(|(id, value)| format!("{value} {id}\n")).collect();
        lines.sort_by_key(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap());
        fs::write(folder.join(START), lines.concat()).unwrap();
        File::create(folder.join(DIARY)).unwrap();
        let name = "memory::persist_kill::kill_loses_no_acknowledged_change";
        let mut victim = Command::new(env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(VICTIM, &*folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let length = || fs::metadata(folder.join(DIARY)).unwrap().len();
        for _ in 0..60_000 {
            if length() > 0 {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        // The upkeep runs once a second. Most kills are near that.
        let random = new_id().handle().to_u64();
        let range = [0..1_000, 900..1_300, 950..1_150][usize::try_from(kill % 3).unwrap()].clone();
        let files = || folder.names().into_iter().filter(|name| name.starts_with("sessions")).collect::<Vec<_>>();
        let before = files();
        thread::sleep(Duration::from_millis(range.start + random % (range.end - range.start)));
        assert!(victim.try_wait().unwrap().is_none(), "it ended by itself");
        victim.kill().unwrap();
        victim.wait().unwrap();

        let after = files();
        compacted += u64::from(before != after);
        halves += u64::from(after.len() != before.len());
        for name in after {
            assert_eq!(fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let diary = fs::read_to_string(folder.join(DIARY)).unwrap();
        assert!(diary.len() > 1000, "kill {kill}: it did nothing");
        diary.lines().for_each(|line| _ = known.read(line));
        let store = open(&folder);
        known.check(&store);
        store.validate().unwrap();
        // Ended ids are checked after some restarts, and then forgotten.
        if kill % 4 == 3 {
            known.states.retain(|_, value| *value > 0);
        }
        if kill % 2 == 0 {
            store.close().unwrap();
        }
        drop(store);
        assert_eq!(files().len(), 3, "{:?}", files());
    }
    println!(
        "{kills} kills, {} acknowledged actions; {compacted} after a compaction had begun, {halves} in one",
        known.acknowledged
    );
    assert!(compacted > 0);
}

/// Four threads at work on sessions of their own.
fn work_for_ever(folder: &Path) -> ! {
    let store = open(folder);
    let diary = OpenOptions::new().append(true).open(folder.join(DIARY)).unwrap();
    let start = fs::read_to_string(folder.join(START)).unwrap();
    let start: Vec<_> = start.lines().map(|line| line.split_once(' ').unwrap()).collect();
    let first = start.last().map_or(0, |(value, _)| value.parse().unwrap()) / 16 + 1;
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let mut own = [Vec::new(), Vec::new()];
            for (value, id) in &start {
                let value: u64 = value.parse().unwrap();
                if value % THREADS == thread {
                    own[usize::from(value % 16 >= 8)].push((id.parse().unwrap(), value));
                }
            }
            let worker = Worker { store: &store, diary: &diary, thread, number: first, own };
            scope.spawn(move || worker.work());
        }
    });
    unreachable!("no worker ends")
}

struct Worker<'a> {
    store: &'a LembroStore,
    diary: &'a File,
    thread: u64,
    number: u64,
    /// The sessions of the owner without a limit, and of the one with it, with their values.
    own: [Vec<(SessionId, u64)>; 2],
}

impl Worker<'_> {
    fn work(mut self) {
        loop {
            let random = new_id().handle().to_u64();
            let place = usize::try_from(random >> 16).unwrap() % self.own[0].len().max(1);
            match random % 100 {
                _ if self.own[0].len() < SESSIONS / 2 => self.create(),
                0..10 if self.own[0].len() < SESSIONS => self.create(),
                0..50 => self.commit(place),
                50..70 => self.rotate(place),
                70..80 => self.log_out(place),
                80..99 => self.log_in_at_the_limit(),
                _ => self.log_out_everywhere(),
            }
        }
    }

    /// A value that encodes its thread and whether its owner has a limit.
    fn value(&mut self, has_limit: bool) -> u64 {
        self.number += 1;
        self.number * 16 + u64::from(has_limit) * 8 + self.thread
    }

    fn act(&self, changes: &[(SessionId, u64)], act: impl FnOnce()) {
        let changes: String = changes.iter().map(|(id, value)| format!(" {}={value}", id.expose())).collect();
        self.say(&format!("B {}{changes}\n", self.thread));
        act();
        self.say(&format!("A {}\n", self.thread));
    }

    fn say(&self, line: &str) {
        assert_eq!((&*self.diary).write(line.as_bytes()).unwrap(), line.len());
    }

    fn name(&self) -> String {
        format!("owner {}", self.thread)
    }

    fn create(&mut self) {
        let (id, value) = (new_id(), self.value(false));
        let record = changes(value).apply(&lembro::Record::new()).unwrap();
        self.act(&[(id, value)], || {
            assert!(create_owned(self.store, &id, &record, &self.name(), HOUR).unwrap().is_done());
        });
        self.own[0].push((id, value));
    }

    fn commit(&mut self, place: usize) {
        let ((id, _), value) = (self.own[0][place], self.value(false));
        let version = version_of(self.store, &id);
        self.act(&[(id, value)], || assert!(save(self.store, &id, &changes(value), HOUR, version).unwrap().is_done()));
        self.own[0][place].1 = value;
    }

    fn rotate(&mut self, place: usize) {
        let (id, value) = self.own[0][place];
        let new = crate::support::steps::renewed(&id);
        let commit = replacement(version_of(self.store, &id), &new);
        self.act(&[(id, 0), (new, value)], || assert!(self.store.commit(&id, &commit, &LEASE).unwrap().is_done()));
        self.own[0][place].0 = new;
    }

    fn log_out(&mut self, place: usize) {
        let (id, _) = self.own[0].swap_remove(place);
        self.act(&[(id, 0)], || assert!(self.store.destroy(&id).unwrap().is_done()));
    }

    /// The limit is two sessions: the oldest ends.
    fn log_in_at_the_limit(&mut self) {
        let (id, value) = (new_id(), self.value(true));
        let limit = Some(Limit { max: 2, at_limit: AtLimit::EndOldest });
        let login = Login { limit, ..login(&format!("limited {}", self.thread)) };
        let commit = creation(&lembro::Record::new()).with(changes(value)).log_in(login);
        let surplus = (self.own[1].len() + 1).saturating_sub(2);
        let mut expected: Vec<_> = self.own[1].drain(..surplus).map(|(id, _)| (id, 0)).collect();
        expected.push((id, value));
        self.act(&expected, || assert!(self.store.commit(&id, &commit, &LEASE).unwrap().is_done()));
        self.own[1].push((id, value));
    }

    fn log_out_everywhere(&mut self) {
        let ended: Vec<_> = self.own[0].drain(..).map(|(id, _)| (id, 0)).collect();
        let name = self.name();
        self.act(&ended, || assert_eq!(owners(self.store).destroy_all(&owner(&name), None).unwrap(), ended.len()));
    }
}
