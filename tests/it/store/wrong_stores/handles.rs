//! Stores that are wrong when they are opened twice, because they trust their own memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use lembro::testing::PlainStore;
use lembro::{
    Action, Clock, Entry, Epoch, Handle, Lease, Look, Lookup, Now, Outcome, Owners as _, Result, SessionId, Store,
    Write,
};

use super::wrap::Wrap;

/// A store that is wrong when it is reopened, or when there are two on the same data.
pub(crate) struct WrongData {
    pub(crate) name: &'static str,
    pub(crate) open: fn(&Data, &Clock) -> Box<dyn Store>,
    pub(crate) is_reopened: bool,
    pub(crate) caught_by: &'static [&'static str],
}

/// The data that outlives a process.
#[derive(Clone)]
pub(crate) struct Data {
    plain: PlainStore,
    rows: Arc<Mutex<BTreeMap<Handle, Vec<u8>>>>,
}

impl Data {
    pub(crate) fn new() -> Self {
        Self { plain: PlainStore::new(Clock::system()), rows: Arc::default() }
    }
}

/// A table of rows without owners, which is right but for the faults in its fields.
struct Table {
    rows: Arc<Mutex<BTreeMap<Handle, Vec<u8>>>>,
    clock: Clock,
    now: fn(&Clock) -> Now,
    column: fn(Vec<u8>) -> Vec<u8>,
    /// A cache of the rows that this process has read or written.
    cache: Option<Mutex<BTreeMap<Handle, Vec<u8>>>>,
    /// The lock of a call that reads and writes in two transactions.
    lock: Option<Mutex<()>>,
    /// The sessions that this process has ended without removing their rows.
    ended: Option<Mutex<BTreeSet<Handle>>>,
}

impl Table {
    fn right(data: &Data, clock: &Clock) -> Self {
        let (rows, clock) = (Arc::clone(&data.rows), clock.clone());
        Self { rows, clock, now: Now::on_calendar, column: |row| row, cache: None, lock: None, ended: None }
    }

    fn step<T>(&self, id: &SessionId, ask: impl FnOnce(Option<&Entry>, Now) -> Result<(T, Write)>) -> Result<T> {
        let handle = id.handle();
        let _own = self.lock.as_ref().map(|lock| lock.lock().unwrap());
        let mut rows = self.rows.lock().unwrap();
        let cached = self.cache.as_ref().and_then(|cache| cache.lock().unwrap().get(&handle).cloned());
        let row = cached.or_else(|| rows.get(&handle).cloned());
        let ended = self.ended.as_ref().map(|ended| ended.lock().unwrap());
        let row = row.filter(|_| ended.as_ref().is_none_or(|ended| !ended.contains(&handle)));
        if self.lock.is_some() {
            drop(rows);
            sleep(Duration::from_micros(100));
            rows = self.rows.lock().unwrap();
        }
        let row = row.map(|bytes| Entry::from_bytes(&bytes)).transpose()?;
        let (answer, write) = ask(row.as_ref(), (self.now)(&self.clock))?;
        match (write, ended) {
            (Write::Put(row), ended) => {
                let bytes = (self.column)(row.to_bytes());
                if let Some(cache) = &self.cache {
                    cache.lock().unwrap().insert(handle, bytes.clone());
                }
                ended.map(|mut ended| ended.remove(&handle));
                rows.insert(handle, bytes);
            }
            (Write::Remove, Some(mut ended)) => drop(ended.insert(handle)),
            (Write::Remove, None) => {
                rows.remove(&handle);
                if let Some(cache) = &self.cache {
                    cache.lock().unwrap().remove(&handle);
                }
            }
            (Write::Nothing, _) => {}
        }
        Ok(answer)
    }
}

impl Store for Table {
    fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        self.step(id, |row, now| Ok(Entry::look(row, id, how, lease, now)))
    }
    fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        self.step(id, |row, now| Entry::apply(row, id, action, lease, now, None))
    }
    fn clock(&self) -> Clock {
        self.clock.clone()
    }
}

/// The bytes of a row without its second secret, which follows format, its kind, number of nonces,
/// deadline, version and digest.
fn without_second_secret(mut row: Vec<u8>) -> Vec<u8> {
    if row[1] != 0 {
        row[1] = 0;
        row.drain(35..67);
    }
    row
}

pub(crate) const RIGHT: WrongData = WrongData {
    name: "none",
    open: |data, clock| Box::new(Table::right(data, clock)),
    is_reopened: true,
    caught_by: &[],
};

pub(crate) const WRONG: &[WrongData] = &[
    WrongData {
        name: "deadlines from Clock::now, which begins at zero in each process",
        open: |data, clock| Box::new(Table { now: Now::of, ..Table::right(data, clock) }),
        is_reopened: true,
        caught_by: &[
            "a session is gone for every method once its time is over",
            "the time left runs down",
            "a peek does not prolong",
            "the store does what the rule says",
        ],
    },
    WrongData {
        name: "a table without a column for the second secret",
        open: |data, clock| Box::new(Table { column: without_second_secret, ..Table::right(data, clock) }),
        is_reopened: true,
        caught_by: &[
            "a superseded id is recent for its grace",
            "a renewal leaves both ids open until the new one is presented",
            "the store does what the rule says",
        ],
    },
    WrongData {
        name: "a destroy that is not written before the answer",
        open: |data, clock| Box::new(Table { ended: Some(Mutex::default()), ..Table::right(data, clock) }),
        is_reopened: true,
        caught_by: &["a destroyed session is gone for every method", "destroy ends one session and no other"],
    },
    WrongData {
        name: "epochs that are counted from zero in each process",
        open: |data, clock| {
            let mut store = Wrap::over(data.plain.open(clock.clone()));
            let opened = data.plain.epoch(&lembro::Owner::new("ada").unwrap()).unwrap().to_u64();
            store.epoch = Box::new(move |right, owner| {
                Ok(Epoch::from_u64(right.store.epoch(owner)?.to_u64().saturating_sub(opened)))
            });
            Box::new(store)
        },
        is_reopened: true,
        caught_by: &["epochs never go back", "a login that began after destroy_all is let in"],
    },
    WrongData {
        name: "a cache in each process",
        open: |data, clock| Box::new(Table { cache: Some(Mutex::default()), ..Table::right(data, clock) }),
        is_reopened: false,
        caught_by: &[
            "a commit merges into what is stored now",
            "a destroyed session is gone for every method",
            "the store does what the rule says",
        ],
    },
    WrongData {
        name: "a lock in each process, and no transaction around reading and writing",
        open: |data, clock| Box::new(Table { lock: Some(Mutex::default()), ..Table::right(data, clock) }),
        is_reopened: false,
        caught_by: &["commits of different keys at once all survive", "compare and swap at once adds up"],
    },
];
